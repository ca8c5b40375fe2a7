//! A small PKI, and whoever it has certified.

use std::sync::Arc;

use exhibit_client::ClientIdentity;
use exhibit_evidence::{Body, Head, SignedStatement, Statement, StreamName, sign};
use exhibit_pki::{
    Certificate, Identity, KeyPurpose, Role, Signer, SoftwareSigner, Timestamp, TrustDomain,
    issue::{EndEntity, Issuance, issue_end_entity, issue_issuing_ca, issue_root},
};
use exhibit_tlog::Hash;
use zeroize::Zeroizing;

pub const ALL_ROLES: [Role; 7] =
    [Role::Camera, Role::Custodian, Role::Investigator, Role::Auditor, Role::Admin, Role::Appliance, Role::Authority];

/// A root, an issuing authority, and whom it certified.
pub struct Pki {
    pub root: Certificate,
    pub issuing: Certificate,
    issuing_key: SoftwareSigner,
}

/// A certificate with its key.
#[derive(Clone)]
pub struct Party {
    pub certificate: Certificate,
    pub key: Arc<SoftwareSigner>,
}

pub fn time(text: &str) -> Timestamp {
    Timestamp::parse(text).unwrap()
}

pub fn key(scalar: u8) -> SoftwareSigner {
    SoftwareSigner::from_scalar(&Zeroizing::new([scalar; 48])).unwrap()
}

fn issuance(serial: u8) -> Issuance {
    Issuance { not_before: time("2020-01-01T00:00:00.000Z"), not_after: time("2056-01-01T00:00:00.000Z"), serial: [serial; 16] }
}

impl Pki {
    /// Two PKIs with other `seed`s have nothing in common.
    pub fn new(seed: u8) -> Self {
        let (root_key, issuing_key) = (key(seed), key(seed + 1));
        let domain = TrustDomain::parse("city.example").unwrap();
        let root = issue_root("City Root", &domain, &root_key, &issuance(seed)).unwrap();
        let issuing = issue_issuing_ca("City Issuing", issuing_key.public_key(), &ALL_ROLES, &root, &root_key, &issuance(2)).unwrap();
        Self { root, issuing, issuing_key }
    }

    pub fn party(&self, subject: &str, role: Role, purpose: KeyPurpose, scalar: u8) -> Party {
        self.certify(subject, role, purpose, scalar, &[])
    }

    fn certify(&self, subject: &str, role: Role, purpose: KeyPurpose, scalar: u8, server_names: &[String]) -> Party {
        let key = key(scalar);
        let identity = Identity::parse(&format!("spiffe://city.example/{subject}")).unwrap();
        let entity = EndEntity { identity: &identity, public_key: key.public_key(), purpose, roles: &[role], server_names };
        let certificate = issue_end_entity(&entity, &self.issuing, &self.issuing_key, &issuance(scalar)).unwrap();
        Party { certificate, key: Arc::new(key) }
    }

    pub fn appliance(&self) -> Party {
        self.certify("appliance/1", Role::Appliance, KeyPurpose::Signing, 40, &["localhost".into(), "127.0.0.1".into()])
    }

    pub fn camera(&self) -> Party {
        self.party("camera/102", Role::Camera, KeyPurpose::Signing, 41)
    }

    pub fn custodian(&self) -> Party {
        self.party("user/c1", Role::Custodian, KeyPurpose::Signing, 42)
    }

    pub fn custodian_wrapping(&self) -> Party {
        self.party("user/c1", Role::Custodian, KeyPurpose::Wrapping, 43)
    }

    pub fn authority(&self) -> Party {
        self.party("authority/1", Role::Authority, KeyPurpose::Signing, 44)
    }

    pub fn identity(&self, party: &Party) -> ClientIdentity {
        ClientIdentity { certificate: party.certificate.clone(), chain: vec![self.issuing.clone()], signer: party.key.clone() }
    }
}

pub fn signed(party: &Party, log: Hash, stream: &str, seq: u64, prev: Hash, observed: Head, body: Body) -> SignedStatement {
    let stream = StreamName::parse(stream).unwrap();
    let statement = Statement { log, stream, seq, prev, issued: time("2026-11-20T12:00:02.000Z"), observed, body };
    sign(&statement, &party.certificate, party.key.as_ref()).unwrap()
}

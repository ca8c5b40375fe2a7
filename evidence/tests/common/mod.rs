//! A small PKI of fixed keys and statements of every issuer, for the tests of signatures.

#![allow(dead_code, clippy::unwrap_used)]

pub mod der;
pub mod remembered;
#[path = "../../../pki/tests/support/token.rs"]
pub mod token;

use exhibit_evidence::{
    AttachmentRef, Body, Head, Statement, StreamName,
    body::{Access, CertificateBody, Export, Fetch, Gap, GapCause, Grant, Recipients, Segment, SeqRange},
};
use exhibit_pki::{
    Certificate, Identity, KeyPurpose, PublicKey, Role, Signer, SignerError, SoftwareSigner, Timestamp, TrustDomain,
    issue::{EndEntity, Issuance, issue_end_entity, issue_issuing_ca, issue_root},
};
use exhibit_tlog::Hash;
use p256::ecdsa::signature::hazmat::PrehashSigner;
use remembered::Remembering;

/// Before everything that is issued in tests.
pub const NOT_BEFORE: &str = "2026-01-01T00:00:00.000Z";
/// After everything that is issued in tests.
pub const NOT_AFTER: &str = "2056-01-01T00:00:00.000Z";
/// When the test statements were issued.
pub const ISSUED: &str = "2026-11-20T12:00:02.345Z";

/// A root, an issuing authority, and whom it certified.
pub struct Pki {
    pub root: Certificate,
    pub issuing: Certificate,
    issuing_key: SoftwareSigner,
}

/// A certificate with its key.
pub struct Party {
    pub certificate: Certificate,
    pub key: SoftwareSigner,
}

impl Pki {
    pub fn new() -> Self {
        let root_key = key(1);
        let issuing_key = key(2);
        let domain = TrustDomain::parse("city.example").unwrap();
        let root = issue_root("City Root", &domain, &Remembering(&root_key), &issuance(1)).unwrap();
        let roles = [Role::Camera, Role::Custodian, Role::Investigator, Role::Auditor, Role::Admin, Role::Appliance, Role::Authority];
        let root_key = Remembering(&root_key);
        let issuing = issue_issuing_ca("City Issuing", issuing_key.public_key(), &roles, &root, &root_key, &issuance(2)).unwrap();
        Self { root, issuing, issuing_key }
    }
    /// A party with the key of `scalar`, such as `camera/102`.
    pub fn party(&self, subject: &str, roles: &[Role], purpose: KeyPurpose, scalar: u8) -> Party {
        let key = key(scalar);
        let certificate = self.certify(subject, roles, purpose, scalar, key.public_key());
        Party { certificate, key }
    }
    /// A certificate for a key of any suite.
    pub fn certify(&self, subject: &str, roles: &[Role], purpose: KeyPurpose, serial: u8, public_key: &PublicKey) -> Certificate {
        let identity = Identity::parse(&format!("spiffe://city.example/{subject}")).unwrap();
        let entity = EndEntity { identity: &identity, public_key, purpose, roles, server_names: &[] };
        issue_end_entity(&entity, &self.issuing, &Remembering(&self.issuing_key), &issuance(serial)).unwrap()
    }
    pub fn camera(&self) -> Party {
        self.party("camera/102", &[Role::Camera], KeyPurpose::Signing, 3)
    }
}

/// A key on P-256 with the signatures of RFC 6979, which are the same in every run: what only devices have otherwise.
pub struct P256Key {
    key: p256::ecdsa::SigningKey,
    public_key: PublicKey,
}

impl P256Key {
    pub fn new(scalar: u8) -> Self {
        let key = p256::ecdsa::SigningKey::from_slice(&[scalar; 32]).unwrap();
        let public_key = PublicKey::from_sec1(key.verifying_key().to_sec1_point(false).as_bytes()).unwrap();
        Self { key, public_key }
    }
}

impl Signer for P256Key {
    fn public_key(&self) -> &PublicKey {
        &self.public_key
    }
    fn sign_digest(&self, digest: &[u8]) -> Result<Vec<u8>, SignerError> {
        let signature: p256::ecdsa::Signature = self.key.sign_prehash(digest).unwrap();
        Ok(signature.to_bytes().to_vec())
    }
}

pub fn key(scalar: u8) -> SoftwareSigner {
    SoftwareSigner::from_scalar(&zeroize::Zeroizing::new([scalar; 48])).unwrap()
}

fn issuance(serial: u8) -> Issuance {
    Issuance { not_before: time(NOT_BEFORE), not_after: time(NOT_AFTER), serial: [serial; 16] }
}

pub fn time(text: &str) -> Timestamp {
    Timestamp::parse(text).unwrap()
}

pub fn stream(name: &str) -> StreamName {
    StreamName::parse(name).unwrap()
}

pub fn statement(name: &str, body: Body) -> Statement {
    Statement {
        log: Hash([0x11; 32]),
        stream: stream(name),
        seq: 7,
        prev: Hash([0x22; 32]),
        issued: time(ISSUED),
        observed: Head { size: 4211, root: Hash([0x33; 32]) },
        body,
    }
}

pub fn segment() -> Segment {
    Segment {
        slot: 2,
        salt: [0x44; 16],
        start: time("2026-11-20T12:00:00.120Z"),
        duration_ms: 2000,
        media_type: "video/mp4".to_owned(),
        random_access: true,
        fragment_lengths: vec![40_016, 12_016, 11_016, 9_016],
        ciphertext_root: Hash([0x55; 32]),
        commitment_root: Hash([0x66; 32]),
        attachments: vec![],
    }
}

pub fn segment_statement() -> Statement {
    statement("camera/102/main/20261120T115958Z", Body::Segment(segment()))
}

pub fn gap() -> Body {
    Body::Gap(Gap { cause: GapCause::Power, from: time(NOT_BEFORE), to: time(ISSUED), attachments: vec![] })
}

pub fn fetch() -> Body {
    let ranges = vec![SeqRange { stream: stream("camera/102/main/20261120T115958Z"), first: 1, last: 5 }];
    Body::Fetch(Fetch { grant: None, ranges, attachments: vec![AttachmentRef::of("purpose", &[7; 40], true)] })
}

pub fn export() -> Body {
    let ranges = vec![SeqRange { stream: stream("camera/102/main/20261120T115958Z"), first: 1, last: 5 }];
    Body::Export(Export { fetch: Hash([0x77; 32]), ranges, manifest: Hash([0x88; 32]), attachments: vec![] })
}

pub fn recipients() -> Body {
    Body::Recipients(Recipients {
        scope: "camera/102".to_owned(),
        number: 1,
        replaces: None,
        recipients: vec![[0x99; 32]],
        custodians: vec![[0xaa; 32]],
        threshold: 1,
        expires: time(NOT_AFTER),
        attachments: vec![],
    })
}

pub fn grant() -> Body {
    let attachments = vec![AttachmentRef::of("terms", &[7; 40], true), AttachmentRef::of("wraps", &[8; 40], true)];
    Body::Grant(Grant { scope: "camera/102".to_owned(), attachments })
}

pub fn certificate() -> Body {
    let attachments = vec![AttachmentRef::of("certificate", &[9; 40], false)];
    Body::Certificate(CertificateBody { fingerprint: [0xbb; 32], replaces: None, attachments })
}

pub fn unknown() -> Body {
    let body = serde_json::json!({"attachments": [], "degrees": 21});
    Body::Unknown { type_name: "weather/v1".to_owned(), attachments: vec![], body }
}

pub fn access() -> Body {
    Body::Access(Access { fetch: Hash([0x77; 32]), granted: false, attachments: vec![] })
}

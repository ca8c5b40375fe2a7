//! What a certificate authority states: certificates, their revocation, and the evidence on which a device was enrolled.
//!
//! It reads no certificate, no list and no evidence: see `exhibit_pki`.

use exhibit_pki::{Fingerprint, Identity, Timestamp, crl::RevocationReason};
use sha2::{Digest, Sha256};

use super::{
    AttachmentRef,
    form::{BodyForm, Demand, Issuer, lacks, words},
    read::{as_hash, attachments, optional_fingerprint},
};
use crate::{
    Statement,
    json::{JsonError, Object, ObjectWriter},
};

/// What stands first in the context of the certification of a device's key.
pub const ENROLMENT_CONTEXT: &[u8] = b"exhibit/enrolment/v1";

/// `certificate/v1`
#[derive(Clone, Debug, PartialEq)]
pub struct CertificateBody {
    /// Fingerprint of the certificate put on the ledger.
    pub fingerprint: Fingerprint,
    /// Fingerprint of the live one that it replaces.
    pub replaces: Option<Fingerprint>,
    /// `certificate`, `issuer-0` …
    pub attachments: Vec<AttachmentRef>,
}

/// `certificate-revocation/v1`: it has no end, also where the reason is `certificate-hold`.
#[derive(Clone, Debug, PartialEq)]
pub struct CertificateRevocation {
    /// Fingerprint of the certificate.
    pub fingerprint: Fingerprint,
    /// From when its key is not to be believed; perhaps before the statement, perhaps after.
    pub since: Timestamp,
    /// Why, in the words of RFC 5280; `None` is `unspecified`.
    pub reason: Option<RevocationReason>,
    /// `crl`, if a list was made with it
    pub attachments: Vec<AttachmentRef>,
}

/// `enrolment/v1`: on what evidence a device got its certificate.
#[derive(Clone, Debug, PartialEq)]
pub struct Enrolment {
    /// Fingerprint of the device's certificate.
    pub fingerprint: Fingerprint,
    /// What was demanded.
    pub policy: DevicePolicy,
    /// The nonce of the certification, drawn by the authority; `None` for `software` and nothing else.
    pub nonce: Option<[u8; 32]>,
    /// What the device's TPM said, and whose it is; nothing for `software`.
    pub attachments: Vec<AttachmentRef>,
}

words! {
    /// What an authority demanded of a device, from most to least.
    DevicePolicy {
        /// A TPM whose vendor's certificate was seen.
        Attested = "attested",
        /// A TPM whose endorsement key is on a list.
        AllowListed = "allow-listed",
        /// Nothing: the key may be anywhere.
        Software = "software",
    }
}

/// The words of RFC 5280 section 5.3.1, in lower case with hyphens. `removeFromCRL` is none of them: what is on a ledger stays there.
pub const REVOCATION_REASONS: [(&str, Option<RevocationReason>); 9] = [
    ("unspecified", None),
    ("key-compromise", Some(RevocationReason::KeyCompromise)),
    ("ca-compromise", Some(RevocationReason::AuthorityCompromise)),
    ("affiliation-changed", Some(RevocationReason::AffiliationChanged)),
    ("superseded", Some(RevocationReason::Superseded)),
    ("cessation-of-operation", Some(RevocationReason::CessationOfOperation)),
    ("certificate-hold", Some(RevocationReason::Hold)),
    ("privilege-withdrawn", Some(RevocationReason::PrivilegeWithdrawn)),
    ("aa-compromise", Some(RevocationReason::AttributeAuthorityCompromise)),
];

/// The qualifying data that a device's key must be certified for: SHA-256 of the authority's nonce and the context, which is whose key it
/// shall be (docs/formats/attestation.md). So what one device said serves no other's enrolment.
pub fn enrolment_qualifying_data(nonce: &[u8; 32], identity: &Identity) -> [u8; 32] {
    let uri = identity.to_string();
    let length = u16::try_from(uri.len()).expect("a domain has at most 255 bytes, an id at most 64");
    Sha256::new().chain_update(nonce).chain_update(ENROLMENT_CONTEXT).chain_update(length.to_be_bytes()).chain_update(uri).finalize().into()
}

impl BodyForm for CertificateBody {
    const TYPE: &'static str = "certificate/v1";
    const ISSUER: Issuer = Issuer::AUTHORITY;
    const ATTACHMENTS: &'static [Demand] = &[Demand::kept("certificate"), Demand::kept("issuer-").numbered()];

    fn read(object: &mut Object) -> Result<Self, JsonError> {
        Ok(Self {
            fingerprint: object.bytes("fingerprint")?,
            replaces: optional_fingerprint(object, "replaces")?,
            attachments: attachments(object)?,
        })
    }
    fn write(&self, members: ObjectWriter) -> ObjectWriter {
        members.bytes("fingerprint", &self.fingerprint).optional_hash("replaces", as_hash(self.replaces).as_ref())
    }
    fn attachments(&self) -> &[AttachmentRef] {
        &self.attachments
    }
}

impl BodyForm for CertificateRevocation {
    const TYPE: &'static str = "certificate-revocation/v1";
    const ISSUER: Issuer = Issuer::AUTHORITY;
    const ATTACHMENTS: &'static [Demand] = &[Demand::kept("crl").or_none()];

    fn read(object: &mut Object) -> Result<Self, JsonError> {
        Ok(Self {
            fingerprint: object.bytes("fingerprint")?,
            since: object.time("since")?,
            reason: object.one_of("reason", &REVOCATION_REASONS)?,
            attachments: attachments(object)?,
        })
    }
    fn write(&self, members: ObjectWriter) -> ObjectWriter {
        let (word, _) = REVOCATION_REASONS.iter().find(|(_, reason)| *reason == self.reason).expect("every reason has a word");
        members.bytes("fingerprint", &self.fingerprint).time("since", self.since).string("reason", word)
    }
    fn attachments(&self) -> &[AttachmentRef] {
        &self.attachments
    }
}

/// What a device's TPM says of its keys, in the structures of docs/formats/attestation.md.
const SAID_BY_A_TPM: [&str; 5] = ["ek-public", "ak-public", "certify", "certify-signature", "key-public"];
/// The certificate of the endorsement key, by the TPM's vendor.
const ENDORSEMENT_CERTIFICATE: &str = "ek-certificate";

impl BodyForm for Enrolment {
    const TYPE: &'static str = "enrolment/v1";
    const ISSUER: Issuer = Issuer::AUTHORITY;
    const ATTACHMENTS: &'static [Demand] = &[
        Demand::kept("ek-certificate").or_none(),
        Demand::kept("ek-issuer-").numbered(),
        Demand::kept("ek-public").or_none(),
        Demand::kept("ak-public").or_none(),
        Demand::kept("certify").or_none(),
        Demand::kept("certify-signature").or_none(),
        Demand::kept("key-public").or_none(),
    ];

    fn read(object: &mut Object) -> Result<Self, JsonError> {
        let enrolment = Self {
            fingerprint: object.bytes("fingerprint")?,
            policy: object.one_of("policy", DevicePolicy::WORDS)?,
            nonce: object.optional_hash("nonce")?.map(|nonce| nonce.0),
            attachments: attachments(object)?,
        };
        if enrolment.nonce.is_none() != (enrolment.policy == DevicePolicy::Software) {
            return Err(object.error("nonce", "is null in an enrolment of software and only there"));
        }
        Ok(enrolment)
    }
    fn write(&self, members: ObjectWriter) -> ObjectWriter {
        members
            .bytes("fingerprint", &self.fingerprint)
            .string("policy", self.policy.as_str())
            .optional_hash("nonce", self.nonce.map(exhibit_tlog::Hash).as_ref())
    }
    fn attachments(&self) -> &[AttachmentRef] {
        &self.attachments
    }
    fn check(&self, _: &Statement) -> Result<(), JsonError> {
        let has = |name: &str| self.attachments.iter().any(|attachment| attachment.name == name);
        let missing = SAID_BY_A_TPM.into_iter().find(|name| !has(name));
        match (self.policy, missing) {
            (DevicePolicy::Software, _) if !self.attachments.is_empty() => {
                Err(JsonError("body.attachments is not empty, and there is no evidence of software".to_owned()))
            }
            (DevicePolicy::Software, _) => Ok(()),
            (_, Some(name)) => Err(lacks(name)),
            (DevicePolicy::Attested, None) if !has(ENDORSEMENT_CERTIFICATE) => Err(lacks(ENDORSEMENT_CERTIFICATE)),
            (_, None) => Ok(()),
        }
    }
}

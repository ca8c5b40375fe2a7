//! X.509 certificates of our profiles, parsed strictly. A value of this type has been checked against its profile, not against a chain.

use crate::{Identity, PublicKey, Role, Timestamp};

/// SHA-256 of a certificate's DER: its ESSCertIDv2 hash, and how statements name it.
pub type Fingerprint = [u8; 32];

/// What the key of a certificate is for. Signing and wrapping are separate certificates for people.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum KeyPurpose {
    /// Signs certificates and CRLs.
    Authority,
    /// Signs statements and TLS handshakes (digitalSignature).
    Signing,
    /// Receives wrapped keys (keyAgreement).
    Wrapping,
}

/// A certificate whose form is one of our profiles (docs/formats/certificates.md).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Certificate {
    // der: Vec<u8>, fingerprint, parsed fields
}

/// Why bytes are not a certificate of ours.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CertificateError {
    /// Not DER, or more than a certificate.
    #[error("not a DER certificate")]
    Malformed,
    /// Well-formed but outside the profiles.
    #[error("not a certificate of our profiles: {0}")]
    Profile(&'static str),
}

impl Certificate {
    /// Parses and checks the profile: version 3, suite in the closed list, key usage one of the three, subjectKeyIdentifier present,
    /// basicConstraints consistent, no unknown critical extension; end entities have exactly one SPIFFE URI in the SAN (DNS names and IP
    /// addresses may stand beside it) and at least one role.
    pub fn from_der(der: &[u8]) -> Result<Self, CertificateError> {
        todo!()
    }
    /// From PEM: one `CERTIFICATE` block.
    pub fn from_pem(pem: &str) -> Result<Self, CertificateError> {
        todo!()
    }
    /// All certificates of a PEM file, in order.
    pub fn all_from_pem(pem: &str) -> Result<Vec<Self>, CertificateError> {
        todo!()
    }
    /// The bytes as they came.
    pub fn der(&self) -> &[u8] {
        todo!()
    }
    /// PEM with LF line ends.
    pub fn to_pem(&self) -> String {
        todo!()
    }
    /// SHA-256 of the DER.
    pub fn fingerprint(&self) -> &Fingerprint {
        todo!()
    }
    /// The subjectKeyIdentifier.
    pub fn subject_key_identifier(&self) -> &[u8] {
        todo!()
    }
    /// The DER of the issuer's Name, and the serial number's bytes: how CMS recipients name it.
    pub fn issuer_der(&self) -> &[u8] {
        todo!()
    }
    /// The DER of the subject's Name.
    pub fn subject_der(&self) -> &[u8] {
        todo!()
    }
    /// The serial number's content octets.
    pub fn serial(&self) -> &[u8] {
        todo!()
    }
    /// The subject's common name, for people to read.
    pub fn common_name(&self) -> &str {
        todo!()
    }
    /// The SPIFFE identity; `None` for CA certificates.
    pub fn identity(&self) -> Option<&Identity> {
        todo!()
    }
    /// The roles that this certificate asserts.
    pub fn roles(&self) -> &[Role] {
        todo!()
    }
    /// True if `role` is asserted.
    pub fn has_role(&self, role: Role) -> bool {
        self.roles().contains(&role)
    }
    /// What the key is for.
    pub fn purpose(&self) -> KeyPurpose {
        todo!()
    }
    /// The key.
    pub fn public_key(&self) -> &PublicKey {
        todo!()
    }
    /// First moment of validity.
    pub fn not_before(&self) -> Timestamp {
        todo!()
    }
    /// Last moment of validity.
    pub fn not_after(&self) -> Timestamp {
        todo!()
    }
    /// The signed part's DER, and the signature over it.
    pub fn tbs_der(&self) -> &[u8] {
        todo!()
    }
    /// The issuer's signature over `tbs_der` (DER ECDSA-Sig-Value).
    pub fn signature(&self) -> &[u8] {
        todo!()
    }
}

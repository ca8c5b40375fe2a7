//! Issuing certificates of our profiles.

use crate::{Certificate, Identity, KeyPurpose, PublicKey, Role, Signer, SignerError, Timestamp};

/// What goes into an end entity's certificate.
pub struct EndEntity<'a> {
    /// The SPIFFE identity; the common name is its subject (`camera/102`).
    pub identity: &'a Identity,
    /// The certified key.
    pub public_key: &'a PublicKey,
    /// Signing (with clientAuth, and serverAuth for appliances) or wrapping.
    pub purpose: KeyPurpose,
    /// The roles, at least one.
    pub roles: &'a [Role],
    /// DNS names and IP addresses (as text) that TLS clients reach it by.
    pub server_names: &'a [String],
}

/// Validity and serial number of a new certificate.
pub struct Issuance {
    /// From.
    pub not_before: Timestamp,
    /// To.
    pub not_after: Timestamp,
    /// 16 random bytes; the top bit is cleared and the value made non-zero.
    pub serial: [u8; 16],
}

/// A self-signed root. `common_name` is for people.
pub fn issue_root(common_name: &str, signer: &dyn Signer, issuance: &Issuance) -> Result<Certificate, SignerError> {
    todo!()
}

/// An issuing CA (pathLen 0) under `issuer`, which may assert `roles`.
pub fn issue_issuing_ca(
    common_name: &str,
    public_key: &PublicKey,
    roles: &[Role],
    issuer: &Certificate,
    signer: &dyn Signer,
    issuance: &Issuance,
) -> Result<Certificate, SignerError> {
    todo!()
}

/// An end entity's certificate under `issuer`.
pub fn issue_end_entity(
    entity: &EndEntity<'_>,
    issuer: &Certificate,
    signer: &dyn Signer,
    issuance: &Issuance,
) -> Result<Certificate, SignerError> {
    todo!()
}

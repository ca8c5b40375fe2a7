//! PKCS#10 certificate requests: made by whoever holds a key, judged by the authority.

use crate::{Identity, PublicKey, Signer, SignerError, Verifier};

/// A request whose self-signature has been verified: its sender holds the key.
#[derive(Clone, Debug)]
pub struct CertificateRequest {
    // public key, common name, identity if the SAN asks for one, dns names, ip addresses
}

/// Why a request was refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RequestError {
    /// Not DER, more than one request, or too large.
    #[error("not a certificate request")]
    Malformed,
    /// The key is not of a suite that we certify.
    #[error("the request's key is not one that can be certified (P-384 is needed)")]
    Key,
    /// The self-signature does not verify.
    #[error("the request is not signed by its own key")]
    Signature,
}

impl CertificateRequest {
    /// Parses DER and verifies the self-signature.
    pub fn from_der(der: &[u8], verifier: &dyn Verifier) -> Result<Self, RequestError> {
        todo!()
    }
    /// The same from PEM (`CERTIFICATE REQUEST`).
    pub fn from_pem(pem: &str, verifier: &dyn Verifier) -> Result<Self, RequestError> {
        todo!()
    }
    /// The key to be certified.
    pub fn public_key(&self) -> &PublicKey {
        todo!()
    }
    /// The identity that it asks for, if any. The authority decides; a request is only a wish.
    pub fn identity(&self) -> Option<&Identity> {
        todo!()
    }
}

/// Makes a PEM request for `identity`, signed by `signer`.
pub fn build_request_pem(identity: &Identity, signer: &dyn Signer) -> Result<String, SignerError> {
    todo!()
}

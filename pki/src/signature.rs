//! Signatures: the closed list of suites, and the traits through which keys of any kind sign and any implementation verifies.

use zeroize::Zeroizing;

/// The suites that a statement or a certificate may be signed with. The list is closed; each is named in the verdict.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Suite {
    /// ECDSA on P-384 with SHA-384; s at most n/2 in statements.
    EcdsaP384Sha384,
}

/// A public key of one of the suites.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct PublicKey {
    suite: Suite,
    /// Uncompressed SEC 1 point, 97 bytes on P-384; checked to be on the curve.
    point: Vec<u8>,
}

/// The signature does not verify. It says no more, so that nothing can be learnt from it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the signature does not verify")]
pub struct BadSignature;

/// A key could not sign.
#[derive(Debug, thiserror::Error)]
#[error("the key could not sign: {0}")]
pub struct SignerError(pub String);

/// Verifies signatures: pure Rust where it must build everywhere, aws-lc-rs where it must be fast; the same vectors on both.
pub trait Verifier: Send + Sync {
    /// Checks a DER `ECDSA-Sig-Value` over `message` (which the suite hashes).
    fn verify(&self, key: &PublicKey, message: &[u8], signature: &[u8]) -> Result<(), BadSignature>;
}

/// Signs with a private key, wherever that is: a file, a TPM, a card.
pub trait Signer: Send + Sync {
    /// The public half.
    fn public_key(&self) -> &PublicKey;
    /// Signs a SHA-384 digest and returns `r || s`, 48 bytes each, big-endian. s may be high: `sign` makes it low.
    fn sign_sha384(&self, digest: &[u8; 48]) -> Result<[u8; 96], SignerError>;
    /// Signs `message` and returns a DER `ECDSA-Sig-Value` with s at most n/2.
    fn sign(&self, message: &[u8]) -> Result<Vec<u8>, SignerError> {
        todo!()
    }
}

/// The pure-Rust verifier (p384).
#[derive(Clone, Copy, Debug, Default)]
pub struct RustCrypto;

/// A private key in memory, zeroised when dropped; deterministic ECDSA (RFC 6979).
pub struct SoftwareSigner {
    // p384::ecdsa::SigningKey and the PublicKey
}

impl PublicKey {
    /// From a DER SubjectPublicKeyInfo.
    pub fn from_spki_der(spki: &[u8]) -> Result<Self, BadSignature> {
        todo!()
    }
    /// From an uncompressed SEC 1 point on P-384 (97 bytes).
    pub fn from_sec1(point: &[u8]) -> Result<Self, BadSignature> {
        todo!()
    }
    /// The DER SubjectPublicKeyInfo.
    pub fn to_spki_der(&self) -> Vec<u8> {
        todo!()
    }
    /// The uncompressed SEC 1 point.
    pub fn as_sec1(&self) -> &[u8] {
        &self.point
    }
    /// The suite.
    pub fn suite(&self) -> Suite {
        self.suite
    }
}

impl SoftwareSigner {
    /// From a 48-byte big-endian scalar, which the caller drew at random; an error (draw again) if it is 0 or not below n.
    pub fn from_scalar(scalar: &Zeroizing<[u8; 48]>) -> Result<Self, SignerError> {
        todo!()
    }
    /// From PKCS#8, PEM (`BEGIN PRIVATE KEY`).
    pub fn from_pkcs8_pem(pem: &str) -> Result<Self, SignerError> {
        todo!()
    }
    /// As PKCS#8, PEM.
    pub fn to_pkcs8_pem(&self) -> Zeroizing<String> {
        todo!()
    }
    /// The raw ECDH shared secret (48-byte x coordinate) with a peer's uncompressed SEC 1 point: for keys that unwrap.
    pub fn agree(&self, peer_sec1: &[u8]) -> Result<Zeroizing<[u8; 48]>, SignerError> {
        todo!()
    }
}

/// Checks that a DER `ECDSA-Sig-Value` on P-384 is canonical DER with 0 < r, s < n and s at most n/2.
pub fn is_low_s_p384(signature: &[u8]) -> bool {
    todo!()
}

//! Signatures: the closed list of suites, and the traits through which keys of any kind sign and any implementation verifies.
//!
//! It does not know what is signed, nor whose a key is.

mod ecdsa;
mod key;
mod rsa;
mod software;
mod verifiers;

use sha2::{Digest, Sha256, Sha384};

pub(crate) use key::parse_p256_point;
pub use key::{KeyError, PublicKey};
pub(crate) use rsa::encrypt_oaep_2048;
pub use software::SoftwareSigner;
#[cfg(feature = "aws-lc")]
pub use verifiers::AwsLc;
pub use verifiers::RustCrypto;

/// The suites that a statement may be signed with, and that a key is of. The list is closed; each is named in the verdict. Who may have
/// which is decided by the profiles of certificates, and why there are these three in docs/decisions/0005. ML-DSA (FIPS 204) will be the
/// next: its keys are known by name already, and refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Suite {
    /// ECDSA on P-384 with SHA-384; s at most n/2 in statements.
    EcdsaP384Sha384,
    /// ECDSA on P-256 with SHA-256; s at most n/2 in statements.
    EcdsaP256Sha256,
    /// RSASSA-PKCS1-v1_5 with SHA-384, of 3072 to 4096 bits, with the exponent 65537.
    RsaPkcs1Sha384,
}

impl std::fmt::Display for Suite {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.pad(match self {
            Self::EcdsaP384Sha384 => "ECDSA P-384 with SHA-384",
            Self::EcdsaP256Sha256 => "ECDSA P-256 with SHA-256",
            Self::RsaPkcs1Sha384 => "RSA PKCS #1 v1.5 with SHA-384",
        })
    }
}

impl Suite {
    /// All suites.
    pub const ALL: [Self; 3] = [Self::EcdsaP384Sha384, Self::EcdsaP256Sha256, Self::RsaPkcs1Sha384];

    /// The digest of `message` by the suite's hash function: 48 bytes of SHA-384 or 32 of SHA-256.
    pub fn digest(self, message: &[u8]) -> Vec<u8> {
        match self {
            Self::EcdsaP384Sha384 | Self::RsaPkcs1Sha384 => Sha384::digest(message).to_vec(),
            Self::EcdsaP256Sha256 => Sha256::digest(message).to_vec(),
        }
    }

    /// True if `signature` has the form that a statement's must have, of which there is one for each signature. ECDSA: canonical DER of an
    /// `ECDSA-Sig-Value` with 0 < r < n and 0 < s <= n/2, since (r, n - s) verifies too. RSA: as long as a modulus may be; that it is as long
    /// as its key's, and below it, is seen when it is verified.
    pub fn is_canonical(self, signature: &[u8]) -> bool {
        match self {
            Self::EcdsaP384Sha384 => ecdsa::parse_p384(signature).is_some_and(|signature| signature == signature.normalize_s()),
            Self::EcdsaP256Sha256 => ecdsa::parse_p256(signature).is_some_and(|signature| signature == signature.normalize_s()),
            Self::RsaPkcs1Sha384 => rsa::MODULUS_BYTES.contains(&signature.len()),
        }
    }
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
    /// Checks a signature of the key's suite over `message` (which the suite hashes): a DER `ECDSA-Sig-Value`, whose s may be high, since
    /// other authorities leave it so in certificates; or an RSA signature, as long as the modulus.
    fn verify(&self, key: &PublicKey, message: &[u8], signature: &[u8]) -> Result<(), BadSignature>;
}

/// Signs with a private key, wherever that is: a file, a TPM, a card.
pub trait Signer: Send + Sync {
    /// The public half.
    fn public_key(&self) -> &PublicKey;
    /// Signs a digest that `Suite::digest` of the key's suite made. Returns for ECDSA `r || s`, both as long as the curve's order, big-endian
    /// (s may be high: `sign` makes it low), and for RSA the signature, as long as the modulus.
    fn sign_digest(&self, digest: &[u8]) -> Result<Vec<u8>, SignerError>;
    /// Signs `message` and returns the one form of `Suite::is_canonical`.
    fn sign(&self, message: &[u8]) -> Result<Vec<u8>, SignerError> {
        let key = self.public_key();
        let raw = self.sign_digest(&key.suite().digest(message))?;
        let signature = match key.suite() {
            Suite::EcdsaP384Sha384 => ecdsa::low_s_der_p384(&raw),
            Suite::EcdsaP256Sha256 => ecdsa::low_s_der_p256(&raw),
            // One wrong signature of a device that computes by the Chinese remainder theorem gives its key away: none leaves unchecked.
            Suite::RsaPkcs1Sha384 => RustCrypto.verify(key, message, &raw).is_ok().then_some(raw),
        };
        signature.ok_or_else(|| SignerError("it gave what is not a signature of its suite".to_owned()))
    }
}

//! The closed lists of suites: of keys that attest or are attested, and of endorsement keys. P-384 first; the others are for TPMs that have no other.
//!
//! It does not know what a key is for: attributes are judged elsewhere.

use super::{
    public::{Curve, KeyParameters, PublicArea},
    wire::HashAlgorithm,
};
use crate::{PublicKey, Suite};

/// The templates of endorsement keys that are understood (TCG, *EK Credential Profile for TPM Family 2.0*, section 2.2.1.4: H-3, L-2 and L-1). In each
/// the key is as strong as the hash of its name and the cipher of what is wrapped to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum EndorsementSuite {
    /// P-384, SHA-384, AES-256.
    EccP384,
    /// P-256, SHA-256, AES-128.
    EccP256,
    /// RSA of 2048 bits with the exponent 65537, SHA-256, AES-128: what most TPMs have a certificate for.
    Rsa2048,
}

impl std::fmt::Display for EndorsementSuite {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.pad(match self {
            Self::EccP384 => "P-384 with SHA-384 and AES-256",
            Self::EccP256 => "P-256 with SHA-256 and AES-128",
            Self::Rsa2048 => "RSA-2048 with SHA-256 and AES-128",
        })
    }
}

impl EndorsementSuite {
    /// That of a public area, if its key, its scheme (none), the hash of its name and its cipher are those of one suite.
    pub(super) fn of(public: &PublicArea) -> Option<Self> {
        let (suite, name, cipher_bits) = match public.parameters() {
            KeyParameters::Ecc { curve: Curve::P384, ecdsa: None, .. } => (Self::EccP384, HashAlgorithm::Sha384, 256),
            KeyParameters::Ecc { curve: Curve::P256, ecdsa: None, .. } => (Self::EccP256, HashAlgorithm::Sha256, 128),
            KeyParameters::Rsa { modulus, exponent: RSA_EXPONENT } if modulus.len() == RSA_MODULUS_BYTES => {
                (Self::Rsa2048, HashAlgorithm::Sha256, 128)
            }
            _ => return None,
        };
        (public.name_algorithm() == name && public.storage_key_bits() == Some(cipher_bits)).then_some(suite)
    }
}

/// The key of a public area that signs, if its curve, its scheme and the hash of its name are those of one suite, it wraps nothing, and its point is on
/// the curve.
pub(super) fn signing_key(public: &PublicArea) -> Option<PublicKey> {
    let KeyParameters::Ecc { curve, ecdsa: Some(hash), point } = public.parameters() else { return None };
    if !matches!((curve, hash), (Curve::P384, HashAlgorithm::Sha384) | (Curve::P256, HashAlgorithm::Sha256)) {
        return None;
    }
    if public.name_algorithm() != *hash || public.storage_key_bits().is_some() {
        return None;
    }
    PublicKey::from_sec1(point).ok()
}

/// The hash that a signing key's suite signs.
pub(super) fn hash_of(suite: Suite) -> HashAlgorithm {
    match suite {
        Suite::EcdsaP384Sha384 | Suite::RsaPkcs1Sha384 => HashAlgorithm::Sha384,
        Suite::EcdsaP256Sha256 => HashAlgorithm::Sha256,
    }
}

/// What the TCG's templates have, written as zero or out.
const RSA_EXPONENT: u32 = 65537;
const RSA_MODULUS_BYTES: usize = 2048 / 8;

//! Public keys of the suites, from and to their one SubjectPublicKeyInfo.
//!
//! It does not know who holds them.

use const_oid::{ObjectIdentifier, db::rfc5912::RSA_ENCRYPTION};
use der::{Any, AnyRef, Decode, Encode, Sequence, asn1::BitString};
use zeroize::Zeroizing;

use super::{Suite, rsa::RsaKey};

/// A public key of one of the suites.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct PublicKey {
    suite: Suite,
    /// What the BIT STRING subjectPublicKey holds: a point that was checked to be on the curve, or an `RSAPublicKey` within the limits.
    bytes: Vec<u8>,
}

/// The key is not one of the suites'.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct KeyError(pub &'static str);

/// `SubjectPublicKeyInfo` (RFC 5280 section 4.1).
#[derive(Sequence)]
struct KeyInfo {
    algorithm: Algorithm,
    key: BitString,
}

#[derive(Sequence)]
struct Algorithm {
    oid: ObjectIdentifier,
    parameters: Option<Any>,
}

impl PublicKey {
    /// From a DER SubjectPublicKeyInfo in the one encoding of its suite: id-ecPublicKey, the named curve and an uncompressed point (RFC
    /// 5480); or rsaEncryption, NULL and an `RSAPublicKey` (RFC 3279 section 2.3.1) of 3072 to 4096 bits with the exponent 65537.
    pub fn from_spki_der(spki: &[u8]) -> Result<Self, KeyError> {
        if let Some(point) = spki.strip_prefix(P384_SPKI_PREFIX) {
            return Self::point(Suite::EcdsaP384Sha384, point);
        }
        if let Some(point) = spki.strip_prefix(P256_SPKI_PREFIX) {
            return Self::point(Suite::EcdsaP256Sha256, point);
        }
        let info = KeyInfo::from_der(spki).map_err(|_| UNKNOWN)?;
        match info.algorithm.oid {
            RSA_ENCRYPTION => {
                let key = info.key.as_bytes().ok_or(UNKNOWN)?.to_vec();
                RsaKey::parse(&key)?;
                let key = Self { suite: Suite::RsaPkcs1Sha384, bytes: key };
                if key.to_spki_der() == spki { Ok(key) } else { Err(KeyError("an RSA key's parameters are not NULL")) }
            }
            ML_DSA_44 | ML_DSA_65 | ML_DSA_87 => Err(KeyError("ML-DSA is not among the suites yet")),
            _ => Err(UNKNOWN),
        }
    }

    /// From an uncompressed SEC 1 point, whose length tells the curve: 97 bytes on P-384, 65 on P-256.
    pub fn from_sec1(point: &[u8]) -> Result<Self, KeyError> {
        match point.len() {
            P384_POINT_BYTES => Self::point(Suite::EcdsaP384Sha384, point),
            P256_POINT_BYTES => Self::point(Suite::EcdsaP256Sha256, point),
            _ => Err(NO_POINT),
        }
    }

    fn point(suite: Suite, point: &[u8]) -> Result<Self, KeyError> {
        let on_curve = match suite {
            Suite::EcdsaP384Sha384 => parse_p384_point(point).is_some(),
            Suite::EcdsaP256Sha256 => parse_p256_point(point).is_some(),
            Suite::RsaPkcs1Sha384 => false,
        };
        if on_curve { Ok(Self { suite, bytes: point.to_vec() }) } else { Err(NO_POINT) }
    }

    /// The DER SubjectPublicKeyInfo.
    pub fn to_spki_der(&self) -> Vec<u8> {
        match self.suite {
            Suite::EcdsaP384Sha384 => [P384_SPKI_PREFIX, &self.bytes].concat(),
            Suite::EcdsaP256Sha256 => [P256_SPKI_PREFIX, &self.bytes].concat(),
            Suite::RsaPkcs1Sha384 => {
                let encodes = "an RSA key of at most 4096 bits encodes";
                let algorithm = Algorithm { oid: RSA_ENCRYPTION, parameters: Some(AnyRef::NULL.into()) };
                KeyInfo { algorithm, key: BitString::from_bytes(&self.bytes).expect(encodes) }.to_der().expect(encodes)
            }
        }
    }

    /// What the BIT STRING subjectPublicKey holds: the uncompressed SEC 1 point, or the DER `RSAPublicKey` (RFC 8017 appendix A.1.1).
    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// The suite that it verifies, or would verify if it were not for wrapping.
    pub fn suite(&self) -> Suite {
        self.suite
    }

    /// RSAES-OAEP (RFC 8017 section 7.1) of `message`, at most 64 bytes, with SHA-256, MGF1 of SHA-256 and no label; `seed` is fresh
    /// randomness for this one message. `None` if this is no RSA key.
    pub fn encrypt_oaep_sha256(&self, message: &[u8], seed: &Zeroizing<[u8; 32]>) -> Option<Vec<u8>> {
        match self.suite {
            Suite::RsaPkcs1Sha384 => RsaKey::parse(&self.bytes).ok()?.encrypt_oaep_sha256(message, seed),
            Suite::EcdsaP384Sha384 | Suite::EcdsaP256Sha256 => None,
        }
    }
}

/// Only the uncompressed form, which is the one that is so long: there is one encoding for a key.
pub(super) fn parse_p384_point(sec1: &[u8]) -> Option<p384::PublicKey> {
    let point: &[u8; P384_POINT_BYTES] = sec1.try_into().ok()?;
    p384::PublicKey::from_sec1_bytes(point).ok()
}

pub(crate) fn parse_p256_point(sec1: &[u8]) -> Option<p256::PublicKey> {
    let point: &[u8; P256_POINT_BYTES] = sec1.try_into().ok()?;
    p256::PublicKey::from_sec1_bytes(point).ok()
}

const UNKNOWN: KeyError = KeyError("the key is of no suite in use (ECDSA on P-384 or P-256, RSA)");
const NO_POINT: KeyError = KeyError("the key is not an uncompressed point on its curve");

/// 0x04, x, y (SEC 1 section 2.3.3).
const P384_POINT_BYTES: usize = 97;
const P256_POINT_BYTES: usize = 65;
/// What a DER SubjectPublicKeyInfo on P-384 begins with (RFC 5480): all but the point.
const P384_SPKI_PREFIX: &[u8] = &[
    0x30, 0x76, 0x30, 0x10, 0x06, 0x07, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01, 0x06, 0x05, 0x2b, 0x81, 0x04, 0x00, 0x22, 0x03, 0x62, 0,
];
/// The same on P-256.
const P256_SPKI_PREFIX: &[u8] = &[
    0x30, 0x59, 0x30, 0x13, 0x06, 0x07, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01, 0x06, 0x08, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x03, 0x01,
    0x07, 0x03, 0x42, 0,
];
/// FIPS 204's identifiers (RFC 9881).
const ML_DSA_44: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.16.840.1.101.3.4.3.17");
const ML_DSA_65: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.16.840.1.101.3.4.3.18");
const ML_DSA_87: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.16.840.1.101.3.4.3.19");

//! Ephemeral-static ECDH on either curve, and the key that it wraps with (RFC 5753).
//!
//! It does not know certificates, nor what is wrapped.

use aes_kw::AesKw;
use const_oid::{
    ObjectIdentifier,
    db::{
        rfc5753::{DH_SINGLE_PASS_STD_DH_SHA_256_KDF_SCHEME, DH_SINGLE_PASS_STD_DH_SHA_384_KDF_SCHEME},
        rfc5911, rfc5912,
    },
};
use der::{Encode, Sequence, asn1::OctetString};
use exhibit_pki::{PublicKey, Suite};
use sha2::{Sha256, Sha384};
use spki::AlgorithmIdentifierOwned;
use zeroize::Zeroizing;

use super::KEY_BYTES;

/// The curves of wrapping keys. The hash of the KDF is as strong as the curve.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Curve {
    P384,
    P256,
}

/// `ECC-CMS-SharedInfo` (RFC 5753 section 7.2); no user keying material, since the ephemeral key is fresh.
#[derive(Sequence)]
struct SharedInfo {
    key_info: AlgorithmIdentifierOwned,
    #[asn1(context_specific = "2", tag_mode = "EXPLICIT")]
    key_length_bits: OctetString,
}

impl Curve {
    pub const ALL: [Self; 2] = [Self::P384, Self::P256];

    /// The curve of a wrapping key; `None` for RSA.
    pub fn of(key: &PublicKey) -> Option<Self> {
        match key.suite() {
            Suite::EcdsaP384Sha384 => Some(Self::P384),
            Suite::EcdsaP256Sha256 => Some(Self::P256),
            Suite::RsaPkcs1Sha384 => None,
        }
    }

    pub fn oid(self) -> ObjectIdentifier {
        match self {
            Self::P384 => rfc5912::SECP_384_R_1,
            Self::P256 => rfc5912::SECP_256_R_1,
        }
    }

    /// dhSinglePass-stdDH with the KDF of the curve.
    pub fn scheme(self) -> ObjectIdentifier {
        match self {
            Self::P384 => DH_SINGLE_PASS_STD_DH_SHA_384_KDF_SCHEME,
            Self::P256 => DH_SINGLE_PASS_STD_DH_SHA_256_KDF_SCHEME,
        }
    }

    /// The length of a private key, and of the shared secret, an x coordinate.
    pub fn scalar_bytes(self) -> usize {
        match self {
            Self::P384 => 48,
            Self::P256 => 32,
        }
    }

    /// The length of an uncompressed point.
    pub fn point_bytes(self) -> usize {
        1 + 2 * self.scalar_bytes()
    }

    /// True if this is an uncompressed point on the curve, and not the one at infinity.
    pub fn is_point(self, sec1: &[u8]) -> bool {
        PublicKey::from_sec1(sec1).is_ok_and(|key| Self::of(&key) == Some(self))
    }

    /// The point of an ephemeral private key, and its shared secret with a peer's point; `None` if the scalar is 0 or not below n, or the
    /// peer is no point.
    pub fn agree(self, scalar: &[u8], peer: &[u8]) -> Option<(Vec<u8>, Zeroizing<Vec<u8>>)> {
        match self {
            Self::P384 => {
                use p384::elliptic_curve::sec1::ToSec1Point;
                let ephemeral = p384::SecretKey::from_slice(scalar).ok()?;
                let shared = ephemeral.diffie_hellman(&p384::PublicKey::from_sec1_bytes(peer).ok()?);
                let secret = Zeroizing::new(shared.raw_secret_bytes().to_vec());
                Some((ephemeral.public_key().to_sec1_point(false).as_bytes().to_vec(), secret))
            }
            Self::P256 => {
                use p256::elliptic_curve::sec1::ToSec1Point;
                let ephemeral = p256::SecretKey::from_slice(scalar).ok()?;
                let shared = ephemeral.diffie_hellman(&p256::PublicKey::from_sec1_bytes(peer).ok()?);
                let secret = Zeroizing::new(shared.raw_secret_bytes().to_vec());
                Some((ephemeral.public_key().to_sec1_point(false).as_bytes().to_vec(), secret))
            }
        }
    }

    /// RFC 5753 section 7.2: the ANSI X9.63 KDF over the shared secret, bound to the use of its result.
    pub fn key_wrap(self, shared: &[u8]) -> AesKw<aes::Aes256> {
        use aes_gcm::KeyInit;
        let key_length_bits = OctetString::new(KEY_LENGTH_BITS.to_be_bytes()).expect("four bytes are an octet string");
        let info = SharedInfo { key_info: aes256_wrap(), key_length_bits }.to_der().expect("constants encode");
        let mut key = Zeroizing::new([0; KEY_BYTES]);
        let derived = match self {
            Self::P384 => ansi_x963_kdf::derive_key_into::<Sha384>(shared, &info, &mut *key),
            Self::P256 => ansi_x963_kdf::derive_key_into::<Sha256>(shared, &info, &mut *key),
        };
        derived.expect("one block of the hash is within the limits of the KDF");
        AesKw::new_from_slice(&*key).expect("the key of AES-256 has 32 bytes")
    }
}

/// Its parameters are absent (RFC 3565 section 2.3.2).
pub(super) fn aes256_wrap() -> AlgorithmIdentifierOwned {
    AlgorithmIdentifierOwned { oid: rfc5911::ID_AES_256_WRAP, parameters: None }
}

const KEY_LENGTH_BITS: u32 = 256;

//! The foreign suites: P-384, P-256 and RSA, with SHA-256 or longer. Timestamping authorities and TPM vendors use them; no statement does.
//!
//! It does not know what was signed.

use const_oid::{
    ObjectIdentifier,
    db::rfc5912::{
        ECDSA_WITH_SHA_256, ECDSA_WITH_SHA_384, ECDSA_WITH_SHA_512, ID_EC_PUBLIC_KEY, ID_MGF_1, ID_RSASSA_PSS, ID_SHA_256, ID_SHA_384,
        ID_SHA_512, RSA_ENCRYPTION, SECP_256_R_1, SECP_384_R_1, SHA_256_WITH_RSA_ENCRYPTION, SHA_384_WITH_RSA_ENCRYPTION,
        SHA_512_WITH_RSA_ENCRYPTION,
    },
};
use der::{Any, Decode, Encode, Sequence, asn1::UintRef};
use p384::ecdsa::signature::hazmat::PrehashVerifier;
use rsa::{BoxedUint, Pkcs1v15Sign, Pss, RsaPublicKey, traits::PublicKeyParts};
use sha2::{Digest as _, Sha256, Sha384, Sha512};
use x509_cert::spki::{AlgorithmIdentifierOwned, SubjectPublicKeyInfoOwned};

/// A hash function of the foreign suites, and of the digests that a timestamp token may be over.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum DigestAlgorithm {
    /// SHA-256
    Sha256,
    /// SHA-384
    Sha384,
    /// SHA-512
    Sha512,
}

impl DigestAlgorithm {
    /// The digest of `message`.
    pub(crate) fn digest(self, message: &[u8]) -> Vec<u8> {
        match self {
            Self::Sha256 => Sha256::digest(message).to_vec(),
            Self::Sha384 => Sha384::digest(message).to_vec(),
            Self::Sha512 => Sha512::digest(message).to_vec(),
        }
    }

    pub(crate) fn digest_bytes(self) -> usize {
        match self {
            Self::Sha256 => 32,
            Self::Sha384 => 48,
            Self::Sha512 => 64,
        }
    }

    /// The hash function that is named; parameters are absent or NULL (RFC 5754 section 2).
    pub(crate) fn of(algorithm: &AlgorithmIdentifierOwned) -> Option<Self> {
        match algorithm.oid {
            _ if !absent_or_null(algorithm) => None,
            ID_SHA_256 => Some(Self::Sha256),
            ID_SHA_384 => Some(Self::Sha384),
            ID_SHA_512 => Some(Self::Sha512),
            _ => None,
        }
    }

    pub(crate) fn identifier(self) -> AlgorithmIdentifierOwned {
        let oid = match self {
            Self::Sha256 => ID_SHA_256,
            Self::Sha384 => ID_SHA_384,
            Self::Sha512 => ID_SHA_512,
        };
        AlgorithmIdentifierOwned { oid, parameters: None }
    }
}

/// A public key that verifies.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Key {
    P256(p256::ecdsa::VerifyingKey),
    P384(p384::ecdsa::VerifyingKey),
    Rsa(Box<RsaPublicKey>),
}

/// A signature algorithm with all its parameters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Scheme {
    Ecdsa(DigestAlgorithm),
    RsaPkcs1(DigestAlgorithm),
    /// The mask is made with the same hash, and the salt is as long as its digest.
    RsaPss(DigestAlgorithm),
}

/// `RSAPublicKey` (RFC 8017 appendix A.1.1).
#[derive(Sequence)]
struct RsaKey<'a> {
    modulus: UintRef<'a>,
    exponent: UintRef<'a>,
}

/// `RSASSA-PSS-params` (RFC 4055 section 3.1). Its defaults are those of SHA-1, so all is stated; the trailer field is not.
#[derive(Sequence)]
struct PssParameters {
    #[asn1(context_specific = "0", tag_mode = "EXPLICIT")]
    hash: AlgorithmIdentifierOwned,
    #[asn1(context_specific = "1", tag_mode = "EXPLICIT")]
    mask: AlgorithmIdentifierOwned,
    #[asn1(context_specific = "2", tag_mode = "EXPLICIT")]
    salt_bytes: u8,
}

impl Key {
    pub fn of(spki: &SubjectPublicKeyInfoOwned) -> Option<Self> {
        let bytes = spki.subject_public_key.as_bytes()?;
        match spki.algorithm.oid {
            ID_EC_PUBLIC_KEY => match spki.algorithm.parameters.as_ref()?.decode_as::<ObjectIdentifier>().ok()? {
                // RFC 5480 section 2.2 leaves it open to support compressed points; keys that are compared have one encoding here.
                _ if bytes.first() != Some(&UNCOMPRESSED) => None,
                SECP_256_R_1 => p256::ecdsa::VerifyingKey::from_sec1_bytes(bytes).ok().map(Self::P256),
                SECP_384_R_1 => p384::ecdsa::VerifyingKey::from_sec1_bytes(bytes).ok().map(Self::P384),
                _ => None,
            },
            // RFC 3279 section 2.3.1: NULL, and not nothing.
            RSA_ENCRYPTION if spki.algorithm.parameters.as_ref().is_some_and(Any::is_null) => Self::rsa(bytes),
            _ => None,
        }
    }

    fn rsa(der: &[u8]) -> Option<Self> {
        let key = RsaKey::from_der(der).ok()?;
        // A larger number than this would only cost time.
        if key.exponent.as_bytes().len() > RSA_EXPONENT_BYTES_MAX {
            return None;
        }
        let number = |number: UintRef<'_>| BoxedUint::from_be_slice_vartime(number.as_bytes());
        let key = RsaPublicKey::new_with_size_limits(number(key.modulus), number(key.exponent), RSA_BITS_MIN..=RSA_BITS_MAX).ok()?;
        let fits = key.e().bits() >= RSA_EXPONENT_BITS_MIN;
        fits.then(|| Self::Rsa(Box::new(key)))
    }

    /// True if `signature` over `message` is by this key. The numbers of ECDSA are DER; s may be above half of the order.
    pub fn verifies(&self, scheme: Scheme, message: &[u8], signature: &[u8]) -> bool {
        match (self, scheme) {
            (Self::P256(key), Scheme::Ecdsa(hash)) => {
                p256::ecdsa::Signature::from_der(signature).is_ok_and(|found| key.verify_prehash(&hash.digest(message), &found).is_ok())
            }
            (Self::P384(key), Scheme::Ecdsa(hash)) => {
                p384::ecdsa::Signature::from_der(signature).is_ok_and(|found| key.verify_prehash(&hash.digest(message), &found).is_ok())
            }
            (Self::Rsa(key), Scheme::RsaPkcs1(hash)) => {
                let padding = match hash {
                    DigestAlgorithm::Sha256 => Pkcs1v15Sign::new::<Sha256>(),
                    DigestAlgorithm::Sha384 => Pkcs1v15Sign::new::<Sha384>(),
                    DigestAlgorithm::Sha512 => Pkcs1v15Sign::new::<Sha512>(),
                };
                key.verify(padding, &hash.digest(message), signature).is_ok()
            }
            (Self::Rsa(key), Scheme::RsaPss(hash)) => {
                let digest = hash.digest(message);
                match hash {
                    DigestAlgorithm::Sha256 => key.verify(Pss::<Sha256>::new(), &digest, signature),
                    DigestAlgorithm::Sha384 => key.verify(Pss::<Sha384>::new(), &digest, signature),
                    DigestAlgorithm::Sha512 => key.verify(Pss::<Sha512>::new(), &digest, signature),
                }
                .is_ok()
            }
            _ => false,
        }
    }
}

impl Scheme {
    /// The algorithm of a certificate's signature, which names its hash.
    pub fn of(algorithm: &AlgorithmIdentifierOwned) -> Option<Self> {
        use DigestAlgorithm::{Sha256, Sha384, Sha512};
        let parameters_fit = match algorithm.oid {
            ECDSA_WITH_SHA_256 | ECDSA_WITH_SHA_384 | ECDSA_WITH_SHA_512 => algorithm.parameters.is_none(),
            ID_RSASSA_PSS => true,
            _ => absent_or_null(algorithm),
        };
        match algorithm.oid {
            _ if !parameters_fit => None,
            ECDSA_WITH_SHA_256 => Some(Self::Ecdsa(Sha256)),
            ECDSA_WITH_SHA_384 => Some(Self::Ecdsa(Sha384)),
            ECDSA_WITH_SHA_512 => Some(Self::Ecdsa(Sha512)),
            SHA_256_WITH_RSA_ENCRYPTION => Some(Self::RsaPkcs1(Sha256)),
            SHA_384_WITH_RSA_ENCRYPTION => Some(Self::RsaPkcs1(Sha384)),
            SHA_512_WITH_RSA_ENCRYPTION => Some(Self::RsaPkcs1(Sha512)),
            ID_RSASSA_PSS => Self::pss(algorithm.parameters.as_ref()?),
            _ => None,
        }
    }

    /// The algorithm of a SignerInfo, in which rsaEncryption too may stand for PKCS#1 (RFC 3370 section 3.2) and the hash must be `digest`.
    pub fn of_signer(algorithm: &AlgorithmIdentifierOwned, digest: DigestAlgorithm) -> Option<Self> {
        if algorithm.oid == RSA_ENCRYPTION && absent_or_null(algorithm) {
            return Some(Self::RsaPkcs1(digest));
        }
        Self::of(algorithm).filter(|scheme| scheme.hash() == digest)
    }

    fn hash(self) -> DigestAlgorithm {
        match self {
            Self::Ecdsa(hash) | Self::RsaPkcs1(hash) | Self::RsaPss(hash) => hash,
        }
    }

    fn pss(parameters: &Any) -> Option<Self> {
        let parameters = PssParameters::from_der(&parameters.to_der().ok()?).ok()?;
        let hash = DigestAlgorithm::of(&parameters.hash)?;
        let mask = parameters.mask.parameters.as_ref()?.decode_as::<AlgorithmIdentifierOwned>().ok()?;
        let fits = parameters.mask.oid == ID_MGF_1
            && DigestAlgorithm::of(&mask) == Some(hash)
            && usize::from(parameters.salt_bytes) == hash.digest_bytes();
        fits.then_some(Self::RsaPss(hash))
    }
}

pub(crate) fn absent_or_null(algorithm: &AlgorithmIdentifierOwned) -> bool {
    algorithm.parameters.as_ref().is_none_or(Any::is_null)
}

/// SEC 1 section 2.3.3.
const UNCOMPRESSED: u8 = 4;
/// What authorities used in the years whose tokens are still to be judged.
const RSA_BITS_MIN: usize = 2048;
/// Nobody uses longer ones; verifying takes time that grows with the square.
const RSA_BITS_MAX: usize = 8192;
/// RFC 8017 leaves it open; 65537 is what everybody uses, and its 17 bits are the least that is believed.
const RSA_EXPONENT_BITS_MIN: u32 = 17;
/// No key in use has an exponent of more than 32 bits.
const RSA_EXPONENT_BYTES_MAX: usize = 4;

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use der::{Any, Tag, asn1::BitString};

    use super::*;

    fn identifier(oid: ObjectIdentifier, parameters: Option<Any>) -> AlgorithmIdentifierOwned {
        AlgorithmIdentifierOwned { oid, parameters }
    }

    fn null() -> Option<Any> {
        Some(Any::null())
    }

    /// PSS with SHA-384 throughout, but for what is given.
    fn pss(mask: ObjectIdentifier, mask_hash: Option<Any>, salt_bytes: u8) -> AlgorithmIdentifierOwned {
        let parameters = PssParameters { hash: identifier(ID_SHA_384, null()), mask: identifier(mask, mask_hash), salt_bytes };
        identifier(ID_RSASSA_PSS, Some(Any::encode_from(&parameters).unwrap()))
    }

    fn hash(oid: ObjectIdentifier) -> Option<Any> {
        Some(Any::encode_from(&identifier(oid, null())).unwrap())
    }

    #[test]
    fn pss_is_one_hash_throughout() {
        assert_eq!(Scheme::of(&pss(ID_MGF_1, hash(ID_SHA_384), 48)), Some(Scheme::RsaPss(DigestAlgorithm::Sha384)));
        for (defect, algorithm) in [
            ("a mask that is not MGF1", pss(ID_RSASSA_PSS, hash(ID_SHA_384), 48)),
            ("a mask of another hash", pss(ID_MGF_1, hash(ID_SHA_256), 48)),
            ("a mask of no hash", pss(ID_MGF_1, None, 48)),
            ("a mask whose hash is NULL", pss(ID_MGF_1, null(), 48)),
            ("a salt shorter than the digest", pss(ID_MGF_1, hash(ID_SHA_384), 47)),
            ("a salt longer than the digest", pss(ID_MGF_1, hash(ID_SHA_384), 49)),
            ("no parameters, which would be SHA-1", identifier(ID_RSASSA_PSS, None)),
            ("NULL parameters", identifier(ID_RSASSA_PSS, null())),
        ] {
            assert_eq!(Scheme::of(&algorithm), None, "{defect}");
        }
        assert_eq!(
            Scheme::of_signer(&pss(ID_MGF_1, hash(ID_SHA_384), 48), DigestAlgorithm::Sha256),
            None,
            "another hash than the signer's"
        );
    }

    #[test]
    fn parameters_are_those_of_the_algorithm() {
        let some = || Some(Any::new(Tag::OctetString, &b"x"[..]).unwrap());
        assert!(Scheme::of(&identifier(SHA_256_WITH_RSA_ENCRYPTION, null())).is_some());
        assert!(Scheme::of(&identifier(SHA_256_WITH_RSA_ENCRYPTION, None)).is_some());
        assert_eq!(Scheme::of(&identifier(SHA_256_WITH_RSA_ENCRYPTION, some())), None, "RSA with parameters");
        assert_eq!(Scheme::of_signer(&identifier(RSA_ENCRYPTION, some()), DigestAlgorithm::Sha256), None, "rsaEncryption with parameters");
        assert!(Scheme::of(&identifier(ECDSA_WITH_SHA_256, None)).is_some());
        assert_eq!(Scheme::of(&identifier(ECDSA_WITH_SHA_256, null())), None, "ECDSA with NULL");
        assert_eq!(Scheme::of(&identifier(RSA_ENCRYPTION, null())), None, "a certificate's signature that names no hash");
    }

    #[test]
    fn an_rsa_key_has_the_parameters_and_the_size_of_one() {
        let of_bits = |parameters: Option<Any>, first: u8, modulus_bytes: usize, exponent: &[u8]| {
            let mut modulus = vec![0xff; modulus_bytes];
            modulus[0] = first;
            let number = |bytes| UintRef::new(bytes).unwrap();
            let key = RsaKey { modulus: number(&modulus), exponent: number(exponent) }.to_der().unwrap();
            let subject_public_key = BitString::from_bytes(&key).unwrap();
            Key::of(&SubjectPublicKeyInfoOwned { algorithm: identifier(RSA_ENCRYPTION, parameters), subject_public_key })
        };
        let key = |parameters, modulus_bytes, exponent: &[u8]| of_bits(parameters, 0xc5, modulus_bytes, exponent);
        let f4 = &[1, 0, 1];
        assert!(of_bits(null(), 0x80, 256, f4).is_some());
        assert!(key(null(), 256, f4).is_some());
        assert!(key(null(), 1024, f4).is_some());
        assert!(key(null(), 256, &[1, 0, 0, 1]).is_some());
        for (defect, found) in [
            ("no parameters", key(None, 256, f4)),
            ("parameters that are not NULL", key(Some(Any::new(Tag::OctetString, &b"x"[..]).unwrap()), 256, f4)),
            ("2047 bits", of_bits(null(), 0x7f, 256, f4)),
            ("2040 bits", key(null(), 255, f4)),
            ("8193 bits", of_bits(null(), 1, 1025, f4)),
            ("8200 bits", key(null(), 1025, f4)),
            ("an exponent of 16 bits", key(null(), 256, &[0xff, 0xff])),
            ("an exponent of 33 bits", key(null(), 256, &[1, 0, 0, 0, 1])),
            ("an even exponent", key(null(), 256, &[1, 0, 0])),
        ] {
            assert!(found.is_none(), "{defect}");
        }
    }
}

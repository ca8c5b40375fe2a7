//! Signatures: the closed list of suites, and the traits through which keys of any kind sign and any implementation verifies.
//!
//! It does not know what is signed, nor whose a key is.

use der::{Decode, Encode, Sequence, asn1::UintRef};
use p384::{
    FieldBytes, NistP384, PublicKey as P384PublicKey, SecretKey,
    ecdsa::{
        Signature, SigningKey, VerifyingKey,
        signature::{Verifier as _, hazmat::PrehashSigner},
    },
    elliptic_curve::ecdh::diffie_hellman,
    pkcs8::{DecodePrivateKey, EncodePrivateKey, LineEnding},
};
use sha2::{Digest, Sha384};
use zeroize::Zeroizing;

/// The suites that a statement or a certificate may be signed with. The list is closed; each is named in the verdict.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Suite {
    /// ECDSA on P-384 with SHA-384; s at most n/2 in statements.
    EcdsaP384Sha384,
}

impl std::fmt::Display for Suite {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::EcdsaP384Sha384 => f.pad("ECDSA P-384 with SHA-384"),
        }
    }
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
        let raw = self.sign_sha384(&Sha384::digest(message).into())?;
        let signature = Signature::from_slice(&raw).map_err(|_| SignerError("it returned numbers out of range".to_owned()))?;
        Ok(to_der(&signature.normalize_s()))
    }
}

/// The pure-Rust verifier (p384).
#[derive(Clone, Copy, Debug, Default)]
pub struct RustCrypto;

impl Verifier for RustCrypto {
    fn verify(&self, key: &PublicKey, message: &[u8], signature: &[u8]) -> Result<(), BadSignature> {
        match key.suite {
            Suite::EcdsaP384Sha384 => {
                let signature = parse_p384(signature).ok_or(BadSignature)?;
                let key = VerifyingKey::from_sec1_bytes(&key.point).map_err(|_| BadSignature)?;
                key.verify(message, &signature).map_err(|_| BadSignature)
            }
        }
    }
}

/// The fast verifier (aws-lc-rs).
#[cfg(feature = "aws-lc")]
#[derive(Clone, Copy, Debug, Default)]
pub struct AwsLc;

#[cfg(feature = "aws-lc")]
impl Verifier for AwsLc {
    fn verify(&self, key: &PublicKey, message: &[u8], signature: &[u8]) -> Result<(), BadSignature> {
        use aws_lc_rs::signature::{ECDSA_P384_SHA384_ASN1, UnparsedPublicKey};
        match key.suite {
            Suite::EcdsaP384Sha384 => {
                // The same strict parser as in pure Rust, so that the two can not differ over encodings.
                parse_p384(signature).ok_or(BadSignature)?;
                UnparsedPublicKey::new(&ECDSA_P384_SHA384_ASN1, &key.point).verify(message, signature).map_err(|_| BadSignature)
            }
        }
    }
}

impl PublicKey {
    /// From a DER SubjectPublicKeyInfo: id-ecPublicKey, the named curve secp384r1 and an uncompressed point, which have one encoding.
    pub fn from_spki_der(spki: &[u8]) -> Result<Self, BadSignature> {
        Self::from_sec1(spki.strip_prefix(P384_SPKI_PREFIX).ok_or(BadSignature)?)
    }

    /// From an uncompressed SEC 1 point on P-384 (97 bytes).
    pub fn from_sec1(point: &[u8]) -> Result<Self, BadSignature> {
        parse_point(point).ok_or(BadSignature)?;
        Ok(Self { suite: Suite::EcdsaP384Sha384, point: point.to_vec() })
    }

    /// The DER SubjectPublicKeyInfo.
    pub fn to_spki_der(&self) -> Vec<u8> {
        match self.suite {
            Suite::EcdsaP384Sha384 => [P384_SPKI_PREFIX, &self.point].concat(),
        }
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

/// A private key in memory, zeroised when dropped; deterministic ECDSA (RFC 6979).
pub struct SoftwareSigner {
    key: SigningKey,
    public_key: PublicKey,
}

impl SoftwareSigner {
    /// From a 48-byte big-endian scalar, which the caller drew at random; an error (draw again) if it is 0 or not below n.
    pub fn from_scalar(scalar: &Zeroizing<[u8; 48]>) -> Result<Self, SignerError> {
        let key = SigningKey::from_slice(scalar.as_slice()).map_err(|_| SignerError("the number is not a private key".to_owned()))?;
        Ok(Self::from_key(key))
    }

    /// From PKCS#8, PEM (`BEGIN PRIVATE KEY`).
    pub fn from_pkcs8_pem(pem: &str) -> Result<Self, SignerError> {
        let key = SecretKey::from_pkcs8_pem(pem).map_err(|_| SignerError("it is not a P-384 private key in PKCS#8 PEM".to_owned()))?;
        Ok(Self::from_key(SigningKey::from(&key)))
    }

    /// As PKCS#8, PEM.
    pub fn to_pkcs8_pem(&self) -> Zeroizing<String> {
        SecretKey::from(&self.key).to_pkcs8_pem(LineEnding::LF).expect("a P-384 key has a PKCS#8 form")
    }

    /// The raw ECDH shared secret (48-byte x coordinate) with a peer's uncompressed SEC 1 point: for keys that unwrap.
    pub fn agree(&self, peer_sec1: &[u8]) -> Result<Zeroizing<[u8; 48]>, SignerError> {
        // A point that is not on the curve would give the private key away bit by bit.
        let peer = parse_point(peer_sec1).ok_or_else(|| SignerError("the other key is not a point on P-384".to_owned()))?;
        let shared = diffie_hellman::<NistP384>(self.key.as_nonzero_scalar(), peer.as_affine());
        let mut secret = Zeroizing::new([0; 48]);
        secret.copy_from_slice(shared.raw_secret_bytes());
        Ok(secret)
    }

    fn from_key(key: SigningKey) -> Self {
        let point = key.verifying_key().to_sec1_point(false).as_bytes().to_vec();
        Self { key, public_key: PublicKey { suite: Suite::EcdsaP384Sha384, point } }
    }
}

impl Signer for SoftwareSigner {
    fn public_key(&self) -> &PublicKey {
        &self.public_key
    }

    fn sign_sha384(&self, digest: &[u8; 48]) -> Result<[u8; 96], SignerError> {
        let signature: Signature = self.key.sign_prehash(digest).map_err(|error| SignerError(error.to_string()))?;
        Ok(signature.to_bytes().into())
    }
}

impl std::fmt::Debug for SoftwareSigner {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SoftwareSigner").field("public_key", &hex::encode(&self.public_key.point)).finish_non_exhaustive()
    }
}

/// Checks that a DER `ECDSA-Sig-Value` on P-384 is canonical DER with 0 < r, s < n and s at most n/2.
pub fn is_low_s_p384(signature: &[u8]) -> bool {
    parse_p384(signature).is_some_and(|signature| signature == signature.normalize_s())
}

/// `ECDSA-Sig-Value` (RFC 3279 section 2.2.3).
#[derive(Sequence)]
struct EcdsaSigValue<'a> {
    r: UintRef<'a>,
    s: UintRef<'a>,
}

/// DER has one encoding for a number, and the decoder takes no other.
fn parse_p384(der: &[u8]) -> Option<Signature> {
    let value = EcdsaSigValue::from_der(der).ok()?;
    let scalar = |number: UintRef<'_>| {
        let bytes = number.as_bytes();
        let mut scalar = FieldBytes::default();
        let padding = scalar.len().checked_sub(bytes.len())?;
        scalar[padding..].copy_from_slice(bytes);
        Some(scalar)
    };
    Signature::from_scalars(scalar(value.r)?, scalar(value.s)?).ok()
}

fn to_der(signature: &Signature) -> Vec<u8> {
    let (r, s) = signature.split_bytes();
    let number = "48 bytes are a number that DER can hold";
    EcdsaSigValue { r: UintRef::new(&r).expect(number), s: UintRef::new(&s).expect(number) }.to_der().expect(number)
}

fn parse_point(sec1: &[u8]) -> Option<P384PublicKey> {
    let uncompressed = sec1.len() == P384_POINT_BYTES && sec1[0] == 0x04;
    if uncompressed { P384PublicKey::from_sec1_bytes(sec1).ok() } else { None }
}

/// An uncompressed point: 0x04, x, y.
const P384_POINT_BYTES: usize = 97;
/// What a DER SubjectPublicKeyInfo on P-384 begins with (RFC 5480): all but the point.
const P384_SPKI_PREFIX: &[u8] = &[
    0x30, 0x76, 0x30, 0x10, 0x06, 0x07, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01, 0x06, 0x05, 0x2b, 0x81, 0x04, 0x00, 0x22, 0x03, 0x62, 0,
];

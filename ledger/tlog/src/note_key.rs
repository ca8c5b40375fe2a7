//! Keys that verify signed notes: Ed25519 and ECDSA (signed-note), cosignatures with Ed25519 and ML-DSA-44 (tlog-cosignature).
//!
//! It does not know the private halves, nor whom to trust.

use std::fmt;
use std::sync::Arc;

use base64ct::{Base64, Encoding};
use ml_dsa::MlDsa44;
use p384::ecdsa::signature::hazmat::PrehashVerifier;
use sha2::{Digest, Sha256};

use crate::cosignature::{NO_TIME, ed25519_message, ml_dsa_44_message, ml_dsa_44_subtree_message};
use crate::note::KEY_ID_SIZE_BYTES;
use crate::{Hash, NoteError, NoteSignature, Subtree};

/// A public key that verifies note signatures: `name+hex(keyID)+base64(type || key)`.
#[derive(Clone)]
pub struct VerifierKey {
    name: String,
    key_id: [u8; KEY_ID_SIZE_BYTES],
    public: PublicKey,
}

#[derive(Clone)]
pub(crate) enum PublicKey {
    Ed25519(ed25519_dalek::VerifyingKey),
    EcdsaP256(p256::ecdsa::VerifyingKey),
    EcdsaP384(p384::ecdsa::VerifyingKey),
    Ed25519Cosignature(ed25519_dalek::VerifyingKey),
    /// Shared, because it is kept expanded to some twenty kilobytes.
    MlDsa44(Arc<ml_dsa::VerifyingKey<MlDsa44>>),
}

/// How a note key signs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum NoteAlgorithm {
    /// Type 0x01: Ed25519 over the note's text.
    Ed25519,
    /// Type 0x02: ECDSA on P-256 over the SHA-256 of the note's text.
    EcdsaP256,
    /// Type 0x02: ECDSA on P-384, over the SHA-256 too.
    EcdsaP384,
    /// Type 0x04: Ed25519 over the `cosignature/v1` message of tlog-cosignature, with a time.
    Ed25519Cosignature,
    /// Type 0x06: ML-DSA-44 over the `subtree/v1` message of tlog-cosignature, with a time.
    MlDsa44,
}

impl NoteAlgorithm {
    /// The signature type of signed-note.
    pub fn type_byte(self) -> u8 {
        match self {
            Self::Ed25519 => 0x01,
            Self::EcdsaP256 | Self::EcdsaP384 => 0x02,
            Self::Ed25519Cosignature => 0x04,
            Self::MlDsa44 => 0x06,
        }
    }

    /// Whether its lines are cosignatures, which carry a time: what a witness signs with.
    pub fn is_cosignature(self) -> bool {
        matches!(self, Self::Ed25519Cosignature | Self::MlDsa44)
    }

    /// Whether a log signs its checkpoints with it. ML-DSA-44 is for both: tlog-checkpoint has logs cosign their own.
    pub fn is_log_signature(self) -> bool {
        self != Self::Ed25519Cosignature
    }
}

impl fmt::Display for NoteAlgorithm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Ed25519 => "Ed25519",
            Self::EcdsaP256 => "ECDSA P-256",
            Self::EcdsaP384 => "ECDSA P-384",
            Self::Ed25519Cosignature => "Ed25519 cosignature",
            Self::MlDsa44 => "ML-DSA-44",
        })
    }
}

impl VerifierKey {
    /// Parses `name+hex(keyID)+base64(type || key)`.
    pub fn parse(text: &str) -> Result<Self, NoteError> {
        if text.len() > KEY_TEXT_SIZE_BYTES_MAX {
            return Err(NoteError::Key("it is too long"));
        }
        // Base64 has plus signs of its own; a name has none.
        let mut parts = text.splitn(3, '+');
        let (Some(name), Some(key_id), Some(key)) = (parts.next(), parts.next(), parts.next()) else {
            return Err(NoteError::Key("it has not three parts"));
        };
        let key = Base64::decode_vec(key).map_err(|_| NoteError::Key("it is not canonical base64"))?;
        let public = match key.split_first() {
            Some((&0x01, key)) => PublicKey::Ed25519(ed25519(key)?),
            Some((&0x02, key)) => PublicKey::ecdsa(key)?,
            Some((&0x04, key)) => PublicKey::Ed25519Cosignature(ed25519(key)?),
            Some((&0x06, key)) => PublicKey::ml_dsa_44(key)?,
            _ => return Err(NoteError::Key("its type is not Ed25519 (1, 4), ECDSA (2) or ML-DSA-44 (6)")),
        };
        let verifier = Self::new(name, public)?;
        if hex::encode(verifier.key_id) != key_id {
            return Err(NoteError::Key("its id is not that of its name and key"));
        }
        Ok(verifier)
    }

    /// The key of a log whose ECDSA key is held elsewhere, a TPM's: from its SubjectPublicKeyInfo (DER, P-256 or P-384, uncompressed).
    pub fn ecdsa(name: &str, public_key_info: &[u8]) -> Result<Self, NoteError> {
        Self::new(name, PublicKey::ecdsa(public_key_info)?)
    }

    pub(crate) fn new(name: &str, public: PublicKey) -> Result<Self, NoteError> {
        let refused = |character: char| character == '+' || character.is_whitespace() || character.is_control();
        if name.is_empty() || name.len() > KEY_NAME_SIZE_BYTES_MAX || name.contains(refused) {
            return Err(NoteError::Key("a name has 1 to 255 bytes, without spaces, control characters or plus signs"));
        }
        // ECDSA ids are older than signed-note, and leave name and type out.
        let digest = match &public {
            PublicKey::EcdsaP256(_) | PublicKey::EcdsaP384(_) => Sha256::digest(public.bytes()),
            _ => Sha256::new().chain_update(name).chain_update("\n").chain_update(public.encode()).finalize(),
        };
        let key_id = *digest.first_chunk().expect("a SHA-256 digest is longer than a key id");
        Ok(Self { name: name.to_owned(), key_id, public })
    }

    /// The key's name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// `SHA-256(name || 0x0A || type || key)[..4]`; of an ECDSA key `SHA-256(SubjectPublicKeyInfo)[..4]`.
    pub fn key_id(&self) -> [u8; KEY_ID_SIZE_BYTES] {
        self.key_id
    }

    /// How it signs.
    pub fn algorithm(&self) -> NoteAlgorithm {
        self.public.algorithm()
    }

    /// Whether both wrap the same public key, whatever their names and types.
    pub fn has_key_of(&self, other: &Self) -> bool {
        self.public.bytes() == other.public.bytes()
    }

    /// Whether `signature` (what follows the key id in a line) is this key's on `text`.
    pub(crate) fn verifies(&self, text: &str, signature: &[u8]) -> bool {
        match &self.public {
            PublicKey::Ed25519(key) => ed25519_verifies(key, text.as_bytes(), signature),
            PublicKey::EcdsaP256(key) => p256::ecdsa::Signature::from_der(signature)
                .is_ok_and(|signature| key.verify_prehash(&Sha256::digest(text), &signature).is_ok()),
            // SHA-256 whatever the curve: that is what verifiers in the field compute.
            PublicKey::EcdsaP384(key) => p384::ecdsa::Signature::from_der(signature)
                .is_ok_and(|signature| key.verify_prehash(&Sha256::digest(text), &signature).is_ok()),
            PublicKey::Ed25519Cosignature(key) => {
                let Some((unix_s, signature)) = split_time(signature) else { return false };
                ed25519_message(unix_s, text).is_ok_and(|message| ed25519_verifies(key, &message, signature))
            }
            PublicKey::MlDsa44(key) => {
                let Some((unix_s, signature)) = split_time(signature) else { return false };
                ml_dsa_44_message(&self.name, unix_s, text).is_ok_and(|message| ml_dsa_44_verifies(key, &message, signature))
            }
        }
    }

    /// When a line of this key that has been verified says it was made. `None` for a key whose lines carry no time, and for a
    /// cosigner that makes no statement about it.
    pub fn signed_unix_s(&self, signature: &[u8]) -> Option<u64> {
        let (unix_s, _) = split_time(signature).filter(|_| self.algorithm().is_cosignature())?;
        (unix_s != NO_TIME).then_some(unix_s)
    }

    /// Verifies a cosigner's line on a subtree of the log named `origin`, an answer to `sign-subtree`. Such a line is of an
    /// ML-DSA-44 key and has no time.
    pub fn verify_subtree(&self, origin: &str, subtree: Subtree, root: &Hash, line: &NoteSignature) -> Result<(), NoteError> {
        let PublicKey::MlDsa44(key) = &self.public else {
            return Err(NoteError::Key("only ML-DSA-44 keys cosign subtrees"));
        };
        if !line.is_of(self) {
            return Err(NoteError::Missing(self.label()));
        }
        let message = ml_dsa_44_subtree_message(&self.name, origin, subtree, root)?;
        match split_time(&line.signature) {
            Some((NO_TIME, signature)) if ml_dsa_44_verifies(key, &message, signature) => Ok(()),
            _ => Err(NoteError::Signature(self.label())),
        }
    }

    /// For people: the two keys of a log have the same name.
    pub(crate) fn label(&self) -> String {
        format!("{} ({} key {})", self.name, self.algorithm(), hex::encode(self.key_id))
    }
}

impl fmt::Display for VerifierKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}+{}+{}", self.name, hex::encode(self.key_id), Base64::encode_string(&self.public.encode()))
    }
}

impl fmt::Debug for VerifierKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("VerifierKey").field(&self.label()).finish()
    }
}

impl PartialEq for VerifierKey {
    /// By name and whole key: ids are short, and meant to be.
    fn eq(&self, other: &Self) -> bool {
        self.name == other.name && self.public.encode() == other.public.encode()
    }
}

impl Eq for VerifierKey {}

impl PublicKey {
    fn ml_dsa_44(key: &[u8]) -> Result<Self, NoteError> {
        let key = key.try_into().map_err(|_| NoteError::Key("an ML-DSA-44 key has 1,312 bytes"))?;
        Ok(Self::MlDsa44(Arc::new(ml_dsa::VerifyingKey::decode(key))))
    }

    /// One encoding of each key is read: named curve, uncompressed point.
    fn ecdsa(public_key_info: &[u8]) -> Result<Self, NoteError> {
        let no_point = NoteError::Key("it is no point of its curve");
        if let Some(point) = public_key_info.strip_prefix(P256_INFO_PREFIX).filter(|point| point.len() == P256_POINT_SIZE_BYTES) {
            return Ok(Self::EcdsaP256(p256::ecdsa::VerifyingKey::from_sec1_bytes(point).map_err(|_| no_point)?));
        }
        if let Some(point) = public_key_info.strip_prefix(P384_INFO_PREFIX).filter(|point| point.len() == P384_POINT_SIZE_BYTES) {
            return Ok(Self::EcdsaP384(p384::ecdsa::VerifyingKey::from_sec1_bytes(point).map_err(|_| no_point)?));
        }
        Err(NoteError::Key("an ECDSA key is the SubjectPublicKeyInfo of an uncompressed point on P-256 or P-384"))
    }

    fn algorithm(&self) -> NoteAlgorithm {
        match self {
            Self::Ed25519(_) => NoteAlgorithm::Ed25519,
            Self::EcdsaP256(_) => NoteAlgorithm::EcdsaP256,
            Self::EcdsaP384(_) => NoteAlgorithm::EcdsaP384,
            Self::Ed25519Cosignature(_) => NoteAlgorithm::Ed25519Cosignature,
            Self::MlDsa44(_) => NoteAlgorithm::MlDsa44,
        }
    }

    /// The key as it follows its type.
    fn bytes(&self) -> Vec<u8> {
        match self {
            Self::Ed25519(key) | Self::Ed25519Cosignature(key) => key.as_bytes().to_vec(),
            Self::EcdsaP256(key) => [P256_INFO_PREFIX, key.to_sec1_point(false).as_bytes()].concat(),
            Self::EcdsaP384(key) => [P384_INFO_PREFIX, key.to_sec1_point(false).as_bytes()].concat(),
            Self::MlDsa44(key) => key.encode().to_vec(),
        }
    }

    /// `type || key`.
    fn encode(&self) -> Vec<u8> {
        [&[self.algorithm().type_byte()], &self.bytes()[..]].concat()
    }
}

fn ed25519(key: &[u8]) -> Result<ed25519_dalek::VerifyingKey, NoteError> {
    let key = key.try_into().map_err(|_| NoteError::Key("an Ed25519 key has 32 bytes"))?;
    match ed25519_dalek::VerifyingKey::from_bytes(key) {
        Ok(point) if !point.is_weak() && is_canonical(key) => Ok(point),
        _ => Err(NoteError::Key("it is no point of Ed25519 in its one encoding, or one of small order")),
    }
}

/// Whether y is below 2^255 - 19, as RFC 8032 5.1.3 demands, and curve25519-dalek does not: a key has one encoding.
fn is_canonical(encoded: &[u8; 32]) -> bool {
    let [first, rest @ .., last] = encoded;
    *first < 0xed || rest.iter().any(|byte| *byte != 0xff) || last & 0x7f != 0x7f
}

/// Strict: also refuses commitments of small order, with which one signature fits several texts.
fn ed25519_verifies(key: &ed25519_dalek::VerifyingKey, message: &[u8], signature: &[u8]) -> bool {
    ed25519_dalek::Signature::from_slice(signature).is_ok_and(|signature| key.verify_strict(message, &signature).is_ok())
}

fn ml_dsa_44_verifies(key: &ml_dsa::VerifyingKey<MlDsa44>, message: &[u8], signature: &[u8]) -> bool {
    ml_dsa::Signature::<MlDsa44>::try_from(signature).is_ok_and(|signature| key.verify_with_context(message, &[], &signature))
}

/// A `timestamped_signature` of tlog-cosignature.
fn split_time(signature: &[u8]) -> Option<(u64, &[u8])> {
    signature.split_first_chunk().map(|(time, signature)| (u64::from_be_bytes(*time), signature))
}

/// What stands before the point in a SubjectPublicKeyInfo (RFC 5480): its lengths, id-ecPublicKey and the curve.
const P256_INFO_PREFIX: &[u8] = &[
    0x30, 0x59, 0x30, 0x13, 0x06, 0x07, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01, 0x06, 0x08, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x03, 0x01,
    0x07, 0x03, 0x42, 0x00,
];
const P384_INFO_PREFIX: &[u8] = &[
    0x30, 0x76, 0x30, 0x10, 0x06, 0x07, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01, 0x06, 0x05, 0x2b, 0x81, 0x04, 0x00, 0x22, 0x03, 0x62,
    0x00,
];

/// 0x04 and both coordinates.
const P256_POINT_SIZE_BYTES: usize = 1 + 2 * 32;
const P384_POINT_SIZE_BYTES: usize = 1 + 2 * 48;

/// The longest key name: tlog-cosignature counts it in one byte.
const KEY_NAME_SIZE_BYTES_MAX: usize = 255;

/// Room for the longest name and an ML-DSA-44 key of 1,312 bytes in base64.
const KEY_TEXT_SIZE_BYTES_MAX: usize = 4096;

//! Keys of signed notes: verifier keys, Ed25519 (signed-note, type 0x01) and ML-DSA-44 (tlog-cosignature, type 0x06).
//!
//! It does not know where seeds are made or kept, nor what time it is.

use std::fmt;
use std::sync::Arc;

use base64ct::{Base64, Encoding};
use ed25519_dalek::Signer as _;
use ml_dsa::MlDsa44;
use sha2::{Digest, Sha256};
use zeroize::Zeroizing;

use crate::note::KEY_ID_SIZE_BYTES;
use crate::{Checkpoint, NoteError};

/// A public key that verifies note signatures: `name+hex(keyID)+base64(type || key)`.
#[derive(Clone)]
pub struct VerifierKey {
    name: String,
    key_id: [u8; KEY_ID_SIZE_BYTES],
    public: PublicKey,
}

#[derive(Clone)]
enum PublicKey {
    Ed25519(ed25519_dalek::VerifyingKey),
    /// Shared, because it is kept expanded to some twenty kilobytes.
    MlDsa44(Arc<ml_dsa::VerifyingKey<MlDsa44>>),
}

/// How a note key signs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum NoteAlgorithm {
    /// Type 0x01: Ed25519 over the note's text.
    Ed25519,
    /// Type 0x06: ML-DSA-44 over the `subtree/v1` message of tlog-cosignature, with a time.
    MlDsa44,
}

impl NoteAlgorithm {
    /// The signature type of signed-note.
    pub fn type_byte(self) -> u8 {
        match self {
            Self::Ed25519 => 0x01,
            Self::MlDsa44 => 0x06,
        }
    }
}

impl fmt::Display for NoteAlgorithm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Ed25519 => "Ed25519",
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
            Some((&0x01, key)) => PublicKey::ed25519(key)?,
            Some((&0x06, key)) => PublicKey::ml_dsa_44(key)?,
            _ => return Err(NoteError::Key("its type is not Ed25519 (1) or ML-DSA-44 (6)")),
        };
        let verifier = Self::new(name, public)?;
        if hex::encode(verifier.key_id) != key_id {
            return Err(NoteError::Key("its id is not that of its name and key"));
        }
        Ok(verifier)
    }

    fn new(name: &str, public: PublicKey) -> Result<Self, NoteError> {
        let refused = |character: char| character == '+' || character.is_whitespace() || character.is_control();
        if name.is_empty() || name.len() > KEY_NAME_SIZE_BYTES_MAX || name.contains(refused) {
            return Err(NoteError::Key("a name has 1 to 255 bytes, without spaces, control characters or plus signs"));
        }
        let digest = Sha256::new().chain_update(name).chain_update("\n").chain_update(public.encode()).finalize();
        let key_id = *digest.first_chunk().expect("a SHA-256 digest is longer than a key id");
        Ok(Self { name: name.to_owned(), key_id, public })
    }

    /// The key's name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// `SHA-256(name || 0x0A || type || key)[..4]`.
    pub fn key_id(&self) -> [u8; KEY_ID_SIZE_BYTES] {
        self.key_id
    }

    /// How it signs.
    pub fn algorithm(&self) -> NoteAlgorithm {
        self.public.algorithm()
    }

    /// Whether `signature` (what follows the key id in a line) is this key's on `text`.
    pub(crate) fn verifies(&self, text: &str, signature: &[u8]) -> bool {
        match &self.public {
            PublicKey::Ed25519(key) => ed25519_dalek::Signature::from_slice(signature)
                // Strict: also refuses keys and commitments of small order, with which one signature fits several texts.
                .is_ok_and(|signature| key.verify_strict(text.as_bytes(), &signature).is_ok()),
            PublicKey::MlDsa44(key) => {
                let Some((time, signature)) = signature.split_first_chunk() else { return false };
                let Ok(signature) = ml_dsa::Signature::<MlDsa44>::try_from(signature) else { return false };
                cosigned_message(&self.name, u64::from_be_bytes(*time), text)
                    .is_ok_and(|message| key.verify_with_context(&message, &[], &signature))
            }
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
    fn ed25519(key: &[u8]) -> Result<Self, NoteError> {
        let key = key.try_into().map_err(|_| NoteError::Key("an Ed25519 key has 32 bytes"))?;
        match ed25519_dalek::VerifyingKey::from_bytes(key) {
            Ok(key) if !key.is_weak() => Ok(Self::Ed25519(key)),
            _ => Err(NoteError::Key("it is no point of Ed25519, or one of small order")),
        }
    }

    fn ml_dsa_44(key: &[u8]) -> Result<Self, NoteError> {
        let key = key.try_into().map_err(|_| NoteError::Key("an ML-DSA-44 key has 1,312 bytes"))?;
        Ok(Self::MlDsa44(Arc::new(ml_dsa::VerifyingKey::decode(key))))
    }

    fn algorithm(&self) -> NoteAlgorithm {
        match self {
            Self::Ed25519(_) => NoteAlgorithm::Ed25519,
            Self::MlDsa44(_) => NoteAlgorithm::MlDsa44,
        }
    }

    /// `type || key`.
    fn encode(&self) -> Vec<u8> {
        let mut encoded = vec![self.algorithm().type_byte()];
        match self {
            Self::Ed25519(key) => encoded.extend_from_slice(key.as_bytes()),
            Self::MlDsa44(key) => encoded.extend_from_slice(&key.encode()),
        }
        encoded
    }
}

/// The longest key name: `cosigned_message` counts it in one byte.
const KEY_NAME_SIZE_BYTES_MAX: usize = 255;

/// Room for the longest name and an ML-DSA-44 key of 1,312 bytes in base64.
const KEY_TEXT_SIZE_BYTES_MAX: usize = 4096;

/// What an ML-DSA-44 line signs (tlog-cosignature): origin, size and root of the checkpoint in `text`, as the subtree from 0, not
/// the text itself. So a text that says more than these is refused, and so is one that is no checkpoint.
fn cosigned_message(cosigner: &str, unix_s: u64, text: &str) -> Result<Vec<u8>, NoteError> {
    let checkpoint = Checkpoint::from_text(text).map_err(|_| NoteError::Malformed("an ML-DSA-44 key signs checkpoints only"))?;
    if unix_s > COSIGNATURE_UNIX_S_MAX {
        return Err(NoteError::Malformed("the time of a signature is beyond 2^63"));
    }
    let subtree_start = 0_u64;
    let mut message = b"subtree/v1\n\0".to_vec();
    push_counted(&mut message, cosigner);
    message.extend_from_slice(&unix_s.to_be_bytes());
    push_counted(&mut message, &checkpoint.origin);
    message.extend_from_slice(&subtree_start.to_be_bytes());
    message.extend_from_slice(&checkpoint.size.to_be_bytes());
    message.extend_from_slice(&checkpoint.root.0);
    Ok(message)
}

fn push_counted(message: &mut Vec<u8>, text: &str) {
    message.push(u8::try_from(text.len()).expect("names and origins of more than 255 bytes are refused when parsed"));
    message.extend_from_slice(text.as_bytes());
}

/// The last time that tlog-cosignature allows.
const COSIGNATURE_UNIX_S_MAX: u64 = i64::MAX as u64;

/// Signs notes: a key of a log. Keys that sign notes sign nothing else.
pub trait NoteSigner: Send + Sync {
    /// The public half.
    fn verifier_key(&self) -> &VerifierKey;
    /// Signs the note's text at `unix_s`; the bytes that follow the key id in the line (an ML-DSA-44 line carries the time, see tlog-cosignature).
    fn sign(&self, text: &str, unix_s: u64) -> Result<Vec<u8>, NoteError>;
}

/// A log's Ed25519 note key (type 0x01). Zeroised when dropped.
pub struct Ed25519NoteSigner {
    key: ed25519_dalek::SigningKey,
    verifier: VerifierKey,
}

impl Ed25519NoteSigner {
    /// From a random seed, of which the caller keeps the zeroising copy. Fails for a name that no note could carry.
    pub fn new(name: &str, seed: &Zeroizing<[u8; 32]>) -> Result<Self, NoteError> {
        let key = ed25519_dalek::SigningKey::from_bytes(seed);
        let verifier = VerifierKey::new(name, PublicKey::Ed25519(key.verifying_key()))?;
        Ok(Self { key, verifier })
    }
}

impl NoteSigner for Ed25519NoteSigner {
    fn verifier_key(&self) -> &VerifierKey {
        &self.verifier
    }

    fn sign(&self, text: &str, _unix_s: u64) -> Result<Vec<u8>, NoteError> {
        Ok(self.key.sign(text.as_bytes()).to_bytes().to_vec())
    }
}

/// A log's ML-DSA-44 note key (type 0x06): a cosigner line under the key's own name. Zeroised when dropped.
pub struct MlDsa44NoteSigner {
    key: ml_dsa::SigningKey<MlDsa44>,
    verifier: VerifierKey,
}

impl MlDsa44NoteSigner {
    /// From a random seed, of which the caller keeps the zeroising copy. Fails for a name that no note could carry.
    pub fn new(name: &str, seed: &Zeroizing<[u8; 32]>) -> Result<Self, NoteError> {
        let seed: &ml_dsa::Seed = (&**seed).into();
        let key = ml_dsa::SigningKey::<MlDsa44>::from_seed(seed);
        let verifier = VerifierKey::new(name, PublicKey::MlDsa44(Arc::new(key.expanded_key().verifying_key())))?;
        Ok(Self { key, verifier })
    }
}

impl NoteSigner for MlDsa44NoteSigner {
    fn verifier_key(&self) -> &VerifierKey {
        &self.verifier
    }

    /// The text has to be a checkpoint: its size and root are what is signed.
    fn sign(&self, text: &str, unix_s: u64) -> Result<Vec<u8>, NoteError> {
        let message = cosigned_message(self.verifier.name(), unix_s, text)?;
        // The deterministic variant, since this crate has no randomness of its own.
        let signature =
            self.key.expanded_key().sign_deterministic(&message, &[]).map_err(|_| NoteError::Signature(self.verifier.label()))?;
        Ok([&unix_s.to_be_bytes()[..], &signature.encode()].concat())
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;
    use crate::Hash;

    #[test]
    fn signed_messages_equal_those_of_another_program() {
        let vectors = include_str!("../tests/vectors/notes.txt");
        let mut seen = 0;
        for line in vectors.lines().filter(|line| line.starts_with("message ")) {
            let [_, cosigner, time, origin, size, root, message] = line.split(' ').collect::<Vec<_>>()[..] else { panic!("{line}") };
            let root = Hash::from_base64(root).unwrap();
            let checkpoint = Checkpoint { origin: origin.to_owned(), size: size.parse().unwrap(), root };
            let ours = cosigned_message(cosigner, time.parse().unwrap(), &checkpoint.to_text()).unwrap();
            assert_eq!(hex::encode(ours), message, "{line}");
            seen += 1;
        }
        assert_eq!(seen, 3, "the vectors are not whole");
    }

    #[test]
    fn a_time_beyond_the_specification_is_refused() {
        let text = Checkpoint { origin: "exhibit.example/log".to_owned(), size: 1, root: Hash([1; 32]) }.to_text();
        let last = 9_223_372_036_854_775_807;
        assert!(cosigned_message("exhibit.example/log", last, &text).is_ok());
        assert!(cosigned_message("exhibit.example/log", last + 1, &text).is_err());
    }
}

//! C2SP signed-note: text with signature lines, verifier keys, key ids.

/// A parsed note: its text (ending in a newline) and its signature lines. Nothing is verified yet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Note {
    // text: String, signatures: Vec<NoteSignature { name, key_id: [u8;4], signature: Vec<u8> }>
}

/// A public key that verifies note signatures: `name+hex(keyID)+base64(type || key)`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VerifierKey {
    // name, key_id, algorithm (Ed25519 = 0x01, MlDsa44 = 0x06), key bytes
}

/// Why a note or key was refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NoteError {
    /// Not a signed note.
    #[error("not a signed note: {0}")]
    Malformed(&'static str),
    /// Not a verifier key.
    #[error("not a verifier key: {0}")]
    Key(&'static str),
    /// A required key has not signed.
    #[error("the note is not signed by {0}")]
    Missing(String),
    /// A line by a known key does not verify.
    #[error("the signature of {0} on the note does not verify")]
    Signature(String),
}

/// Signs notes: a key of a log. Keys that sign notes sign nothing else.
pub trait NoteSigner: Send + Sync {
    /// The public half.
    fn verifier_key(&self) -> &VerifierKey;
    /// Signs the note's text at `unix_s`; the bytes that follow the key id in the line (an ML-DSA-44 line carries the time, see tlog-cosignature).
    fn sign(&self, text: &str, unix_s: u64) -> Result<Vec<u8>, NoteError>;
}
// Note::parse(&str|&[u8]) (at most 64 KiB, at most 64 lines of signature, C2SP rules), Note::text(), Note::verify(&self, required: &[VerifierKey]) -> Result<(), NoteError>
// (every required key must have a valid line; a line of a known key that does not verify is an error; unknown lines are ignored),
// Note::sign(text, &[&dyn NoteSigner]) -> String, VerifierKey::{parse, Display, name, key_id}, Ed25519NoteSigner::new(name, seed: &Zeroizing<[u8;32]>),
// MlDsa44NoteSigner::new(name, seed: [u8;32]).
impl VerifierKey {
    /// Parses `name+hex(keyID)+base64(type || key)`.
    pub fn parse(text: &str) -> Result<Self, NoteError> {
        todo!()
    }
    /// The key's name.
    pub fn name(&self) -> &str {
        todo!()
    }
}
impl std::fmt::Display for VerifierKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        todo!()
    }
}
impl Note {
    /// Parses.
    pub fn parse(note: &str) -> Result<Self, NoteError> {
        todo!()
    }
}
/// A log's Ed25519 note key (type 0x01).
pub struct Ed25519NoteSigner {}
/// A log's ML-DSA-44 note key (type 0x06).
pub struct MlDsa44NoteSigner {}
impl Ed25519NoteSigner {
    /// From a random seed.
    pub fn new(name: &str, seed: &zeroize::Zeroizing<[u8; 32]>) -> Self {
        todo!()
    }
}
impl MlDsa44NoteSigner {
    /// From a random seed.
    pub fn new(name: &str, seed: &zeroize::Zeroizing<[u8; 32]>) -> Self {
        todo!()
    }
}
impl NoteSigner for Ed25519NoteSigner {
    fn verifier_key(&self) -> &VerifierKey {
        todo!()
    }
    fn sign(&self, text: &str, unix_s: u64) -> Result<Vec<u8>, NoteError> {
        todo!()
    }
}
impl NoteSigner for MlDsa44NoteSigner {
    fn verifier_key(&self) -> &VerifierKey {
        todo!()
    }
    fn sign(&self, text: &str, unix_s: u64) -> Result<Vec<u8>, NoteError> {
        todo!()
    }
}

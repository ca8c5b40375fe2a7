//! C2SP tlog-checkpoint: origin, size and root in a signed note.
//!
//! It does not know whether one checkpoint extends another: see `proof`.

use crate::decimal::parse_decimal;
use crate::{EMPTY_ROOT, Hash, Note, NoteError, NoteSigner, VerifierKey};

/// A log's signed head, without its signatures.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Checkpoint {
    /// The log's name.
    pub origin: String,
    /// Number of entries.
    pub size: u64,
    /// Root of the tree of that size.
    pub root: Hash,
}

/// Why a checkpoint was refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CheckpointError {
    /// The note around it.
    #[error(transparent)]
    Note(#[from] NoteError),
    /// Its text.
    #[error("not a checkpoint: {0}")]
    Malformed(&'static str),
    /// No entry, and yet not the root of the empty tree. Apart, since a witness answers it otherwise than what is malformed.
    #[error("the checkpoint of an empty tree has another root")]
    EmptyTree,
    /// Of another log. Escaped, since whoever sent the checkpoint chose the name.
    #[error("the checkpoint is of log {0:?}")]
    Origin(String),
}

/// Knows a log's origin and all of its required keys.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogVerifier {
    /// The log's name.
    pub origin: String,
    /// Every one of these must have signed (Ed25519 and ML-DSA-44).
    pub keys: Vec<VerifierKey>,
}

impl Checkpoint {
    /// The note text: three lines.
    pub fn to_text(&self) -> String {
        format!("{}\n{}\n{}\n", self.origin, self.size, self.root.to_base64())
    }

    /// Parses a note's text. Exactly three lines: extension lines would be covered by the Ed25519 signature only, so a log of
    /// ours never writes them and nobody is made to wonder who vouches for them.
    pub fn from_text(text: &str) -> Result<Self, CheckpointError> {
        let checkpoint = Self::from_text_of_any_log(text)?;
        if text.lines().count() > 3 {
            return Err(CheckpointError::Malformed("it has extension lines, which not every key signs"));
        }
        Ok(checkpoint)
    }

    /// The same of logs whose ways are not ours to choose: for witnesses. Behind the three lines there may be extension lines, none of them
    /// empty, which tlog-checkpoint does not recommend and allows.
    pub fn from_text_of_any_log(text: &str) -> Result<Self, CheckpointError> {
        let lines = text.strip_suffix('\n').ok_or(CheckpointError::Malformed("it does not end in a newline"))?;
        let mut lines = lines.split('\n');
        let (Some(origin), Some(size), Some(root)) = (lines.next(), lines.next(), lines.next()) else {
            return Err(CheckpointError::Malformed("it has fewer than three lines"));
        };
        if lines.any(str::is_empty) {
            return Err(CheckpointError::Malformed("it has an empty extension line"));
        }
        if origin.is_empty() || origin.len() > ORIGIN_SIZE_BYTES_MAX || origin.contains(char::is_control) {
            return Err(CheckpointError::Malformed("its origin is empty, too long or has control characters"));
        }
        let size = parse_decimal(size).ok_or(CheckpointError::Malformed("its size is not a canonical decimal number"))?;
        let root = Hash::from_base64(root).ok_or(CheckpointError::Malformed("its root is not 32 bytes of base64"))?;
        if size == 0 && root != EMPTY_ROOT {
            return Err(CheckpointError::EmptyTree);
        }
        Ok(Self { origin: origin.to_owned(), size, root })
    }

    /// Signs it with every signer at `unix_s`.
    pub fn sign(&self, signers: &[&dyn NoteSigner], unix_s: u64) -> Result<String, NoteError> {
        let text = self.to_text();
        if Self::from_text(&text).as_ref() != Ok(self) {
            return Err(NoteError::Malformed("its text is no checkpoint that anybody could read back"));
        }
        Note::sign(&text, signers, unix_s)
    }

    /// Parses without verifying: for display, or when the caller has verified the same bytes.
    pub fn parse_unverified(note: &str) -> Result<Self, CheckpointError> {
        Self::from_text(Note::parse(note)?.text())
    }
}

impl LogVerifier {
    /// Parses a signed checkpoint and verifies origin and every required signature.
    pub fn verify(&self, note: &str) -> Result<Checkpoint, CheckpointError> {
        let note = Note::parse(note)?;
        let checkpoint = Checkpoint::from_text(note.text())?;
        if checkpoint.origin != self.origin {
            return Err(CheckpointError::Origin(checkpoint.origin));
        }
        note.verify(&self.keys)?;
        Ok(checkpoint)
    }
}

/// The longest origin: tlog-cosignature counts it in one byte.
const ORIGIN_SIZE_BYTES_MAX: usize = 255;

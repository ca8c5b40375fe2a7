//! C2SP tlog-checkpoint: origin, size and root in a signed note.

use crate::{Hash, NoteError, NoteSigner, VerifierKey};

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
    /// Of another log.
    #[error("the checkpoint is of log {0}")]
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
        todo!()
    }
    /// Signs it with every signer at `unix_s`.
    pub fn sign(&self, signers: &[&dyn NoteSigner], unix_s: u64) -> Result<String, NoteError> {
        todo!()
    }
    /// Parses without verifying: for display, or when the caller has verified the same bytes.
    pub fn parse_unverified(note: &str) -> Result<Self, CheckpointError> {
        todo!()
    }
}

impl LogVerifier {
    /// Parses a signed checkpoint and verifies origin and every required signature.
    pub fn verify(&self, note: &str) -> Result<Checkpoint, CheckpointError> {
        todo!()
    }
}

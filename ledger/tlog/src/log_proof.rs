//! C2SP tlog-proof: the receipt of an entry.

use crate::{Checkpoint, CheckpointError, Hash, LogVerifier, ProofError};

/// A parsed `c2sp.org/tlog-proof@v1`. Nothing is verified yet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogProof {
    /// Index of the entry.
    pub index: u64,
    /// Leaf's sibling first.
    pub path: Vec<Hash>,
    /// The signed checkpoint, verbatim.
    pub checkpoint: String,
}

/// Why a receipt was refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LogProofError {
    /// Its text.
    #[error("not a tlog-proof: {0}")]
    Malformed(&'static str),
    /// The checkpoint in it.
    #[error(transparent)]
    Checkpoint(#[from] CheckpointError),
    /// The path in it.
    #[error(transparent)]
    Proof(#[from] ProofError),
}

impl LogProof {
    /// Parses strictly (at most 128 KiB; at most 63 hashes; an `extra` line is accepted and dropped).
    pub fn parse(text: &str) -> Result<Self, LogProofError> {
        todo!()
    }
    /// The text.
    pub fn to_text(&self) -> String {
        todo!()
    }
    /// Verifies checkpoint and path for the leaf hash of an entry; gives the checkpoint back.
    pub fn verify(&self, leaf: &Hash, log: &LogVerifier) -> Result<Checkpoint, LogProofError> {
        todo!()
    }
}

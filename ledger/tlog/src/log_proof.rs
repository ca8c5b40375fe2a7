//! C2SP tlog-proof: the receipt of an entry.
//!
//! It does not know the entry, only its leaf hash.

use base64ct::{Base64, Encoding};

use crate::decimal::parse_decimal;
use crate::proof::PROOF_HASHES_MAX;
use crate::{Checkpoint, CheckpointError, Hash, LogVerifier, ProofError, verify_inclusion};

/// The largest receipt: the largest note, 63 hashes and some extra data.
pub const LOG_PROOF_SIZE_BYTES_MAX: usize = 128 * 1024;

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
    /// Parses strictly (at most 128 KiB; at most 63 hashes; an `extra` line is accepted and dropped). That the checkpoint has the
    /// form of one is checked too.
    pub fn parse(text: &str) -> Result<Self, LogProofError> {
        if text.len() > LOG_PROOF_SIZE_BYTES_MAX {
            return Err(LogProofError::Malformed("it is too large"));
        }
        // No line above the checkpoint is empty, so the first blank line ends them.
        let (header, checkpoint) = text.split_once("\n\n").ok_or(LogProofError::Malformed("it has no blank line before the checkpoint"))?;
        let mut lines = header.split('\n');
        if lines.next() != Some(HEADER) {
            return Err(LogProofError::Malformed("its first line is not c2sp.org/tlog-proof@v1"));
        }
        let mut line = lines.next();
        if let Some(extra) = line.and_then(|line| line.strip_prefix("extra ")) {
            // Nothing vouches for extra data, so nothing is made of it.
            if !Base64::decode_vec(extra).is_ok_and(|extra| !extra.is_empty()) {
                return Err(LogProofError::Malformed("its extra data is not canonical base64"));
            }
            line = lines.next();
        }
        let index = line.and_then(|line| line.strip_prefix("index ")).and_then(parse_decimal);
        let index = index.ok_or(LogProofError::Malformed("it has no index line"))?;
        let mut path = Vec::new();
        for line in lines {
            if path.len() == PROOF_HASHES_MAX {
                return Err(LogProofError::Malformed("it has too many hashes"));
            }
            path.push(Hash::from_base64(line).ok_or(LogProofError::Malformed("a hash is not 32 bytes of base64"))?);
        }
        Checkpoint::parse_unverified(checkpoint)?;
        Ok(Self { index, path, checkpoint: checkpoint.to_owned() })
    }

    /// The text.
    pub fn to_text(&self) -> String {
        let mut text = format!("{HEADER}\nindex {}\n", self.index);
        for hash in &self.path {
            text.push_str(&hash.to_base64());
            text.push('\n');
        }
        text.push('\n');
        text.push_str(&self.checkpoint);
        text
    }

    /// Verifies checkpoint and path for the leaf hash of an entry; gives the checkpoint back.
    pub fn verify(&self, leaf: &Hash, log: &LogVerifier) -> Result<Checkpoint, LogProofError> {
        let checkpoint = log.verify(&self.checkpoint)?;
        verify_inclusion(leaf, self.index, checkpoint.size, &self.path, &checkpoint.root)?;
        Ok(checkpoint)
    }
}

const HEADER: &str = "c2sp.org/tlog-proof@v1";

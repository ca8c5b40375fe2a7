//! Heads: which sizes and roots are known to be of one log: of that of the bundle's checkpoint, or of one before it, whose last head genesis
//! names.
//!
//! A head with another root than the log has at its size is a fork: somebody was shown another log.

use std::collections::HashMap;

use exhibit_tlog::{Hash, verify_consistency};

use crate::Head;
use crate::bundle::CONSISTENCY_HEADER;

/// A proof of consistency is at most this long: a first line, and 63 hashes in base64.
pub(super) const PROOF_BYTES_MAX: u64 = 4 << 10;
/// What is known of a head.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum HeadState {
    /// A part of the log.
    Proven,
    /// Of another log: this one has another root at that size.
    Refuted,
    /// What should prove it does not.
    Unproven(String),
    /// Nothing shows either.
    Unknown,
}

/// The heads of the log that were proven so far.
pub(super) struct Heads {
    newest: Head,
    proven: HashMap<u64, Hash>,
}

impl Heads {
    pub fn new(newest: Head) -> Self {
        Self { newest, proven: HashMap::from([(newest.size, newest.root)]) }
    }

    /// Whether a head is larger than the log is known to have been.
    pub fn end_before(&self, head: Head) -> bool {
        head.size > self.newest.size
    }

    /// What is known of a head by the proofs so far.
    pub fn state(&self, head: Head) -> HeadState {
        match self.proven.get(&head.size) {
            Some(root) if *root == head.root => HeadState::Proven,
            Some(_) => HeadState::Refuted,
            None => HeadState::Unknown,
        }
    }

    /// Judges a head, with the proof from it to the newest if there is one. A proven one is remembered.
    pub fn judge(&mut self, head: Head, proof: Option<&[u8]>) -> HeadState {
        let known = self.state(head);
        let Some(proof) = proof.filter(|_| known != HeadState::Refuted) else { return known };
        let path = match parse(proof) {
            Ok(path) => path,
            Err(reason) => return HeadState::Unproven(reason.to_owned()),
        };
        match verify_consistency(head.size, &head.root, self.newest.size, &self.newest.root, &path) {
            Ok(()) => {
                self.proven.insert(head.size, head.root);
                HeadState::Proven
            }
            Err(error) => HeadState::Unproven(error.to_string()),
        }
    }
}

/// A line that says what it is, and the hashes, each on a line of its own.
fn parse(proof: &[u8]) -> Result<Vec<Hash>, &'static str> {
    let text = std::str::from_utf8(proof).map_err(|_| "the proof is not text")?;
    let mut lines = text.strip_suffix('\n').ok_or("the proof does not end in a newline")?.split('\n');
    if lines.next() != Some(CONSISTENCY_HEADER) {
        return Err("the proof's first line is not exhibit-consistency/v1");
    }
    lines.map(|line| Hash::from_base64(line).ok_or("a line of the proof is not 32 bytes of base64")).collect()
}

//! What a batch of candidates becomes: decided in memory, before anything is written. No I/O, no clock.

use exhibit_tlog::Hash;

/// An entry that wants a place on the ledger.
#[derive(Clone, Debug)]
pub struct Candidate {
    /// The chain's name (opaque, at most 128 bytes, no zero byte).
    pub stream: String,
    /// The place it claims in the chain.
    pub seq: u64,
    /// The leaf hash that it claims to follow; zeros at seq 0.
    pub prev: Hash,
    /// What "the same" means: equal identities at one (stream, seq) are the same statement, perhaps signed again.
    pub identity: Hash,
    /// The entry, at most 65,535 bytes.
    pub entry: Vec<u8>,
    /// Rows that the owner wants written in the same batch, under `annotations`: its indexes. Keys are the owner's; the value may be empty.
    pub annotations: Vec<(Vec<u8>, Vec<u8>)>,
}

/// Why a candidate got no place.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// It does not follow the chain's last entry.
    #[error("the chain continues at seq {expected_seq} after {expected_prev}")]
    BrokenChain {
        /// The seq that would fit.
        expected_seq: u64,
        /// The prev that would fit.
        expected_prev: Hash,
    },
    /// Another statement has that place already: kept for ever.
    #[error("another entry has this place already, at index {index}")]
    Contradiction {
        /// Its index.
        index: u64,
    },
    /// Empty, too long, or a bad stream name.
    #[error("the entry can not be stored: {0}")]
    Form(&'static str),
}

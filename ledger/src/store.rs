//! The rows in RocksDB (docs/formats/ledger.md): column families, keys, and the synced batch.

use exhibit_tlog::Hash;

/// Where an entry is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EntryPlace {
    /// Index in the log.
    pub index: u64,
    /// Leaf hash.
    pub leaf: Hash,
    /// Identity as given with the candidate.
    pub identity: Hash,
}

/// The end of a chain.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StreamHead {
    /// Its name.
    pub stream: String,
    /// The seq that comes next.
    pub next_seq: u64,
    /// Leaf hash of the last entry.
    pub leaf: Hash,
}

//! The append-only Merkle ledger in RocksDB: entries are opaque bytes with a place in a chain.
//!
//! It does not know what a segment is, who signed an entry, or what a certificate is. It owns RocksDB; nobody else uses it.

pub mod plan;
pub mod recover;
pub mod sequencer;
pub mod store;

pub use plan::{Candidate, Refusal};
pub use sequencer::{Admission, Ledger, LedgerError, Options};
pub use store::{EntryPlace, StreamHead};

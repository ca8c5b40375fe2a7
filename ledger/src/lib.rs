//! The append-only Merkle ledger in RocksDB: entries are opaque bytes with a place in a chain.
//!
//! It does not know what a segment is, who signed an entry, or what a certificate is. It owns RocksDB; nobody else uses it.

mod backup;
mod checkpoint;
mod database;
mod disk;
mod edge;
pub mod fsck;
mod head_file;
mod ledger;
mod ml_dsa;
pub mod plan;
mod proven;
pub mod rebuild;
mod recover;
mod seal;
mod sealing;
mod sequencer;
pub mod source;
mod statistics;
mod store;

pub use disk::{Disk, DiskWrite, LocalDisk};
pub use ledger::{Admission, Ledger, LedgerError, Options};
pub use ml_dsa::AwsLcMlDsa44NoteSigner;
pub use plan::{Annotation, Candidate, Refusal};
pub use seal::{HeadSeal, SealError, SealedFile, SealedHead};
pub use sequencer::{BATCH_ENTRIES_LIMIT, QUEUE_CANDIDATES_MAX};
pub use store::{EntryPlace, StreamHead};

//! The writes that the ledger's promises rest on, one at a time, so that a test or a simulation can let each of them fail.
//!
//! It does not know how they are done: RocksDB's own files, flushes and compactions lie below (ledger/tests/power_loss.rs cuts those).

use crate::LedgerError;

/// One write of the ledger.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DiskWrite {
    /// The file beside the database is made, and its folder synced.
    HeadFile,
    /// A blank database becomes a log's: synced.
    Create,
    /// A batch of entries with all their rows: synced.
    Entries,
    /// The signed checkpoint in the database: not synced by itself.
    Checkpoint,
    /// The signed checkpoint beside the database: not synced.
    Head,
}

/// Performs the ledger's writes.
pub trait Disk: Send + Sync {
    /// Calls `write`, which does the write once. An error is final: the ledger neither asks again nor goes on.
    fn perform(&self, what: DiskWrite, write: &mut dyn FnMut() -> Result<(), LedgerError>) -> Result<(), LedgerError>;
}

/// The machine's disk: every write is simply done.
#[derive(Clone, Copy, Debug, Default)]
pub struct LocalDisk;

impl Disk for LocalDisk {
    fn perform(&self, _: DiskWrite, write: &mut dyn FnMut() -> Result<(), LedgerError>) -> Result<(), LedgerError> {
        write()
    }
}

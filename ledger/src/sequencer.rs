//! One writer: gathers candidates into groups, plans, writes one synced batch, signs the head, answers.

use std::path::Path;
use std::sync::Arc;

use exhibit_tlog::{Checkpoint, Hash, NoteSigner};

use crate::{Candidate, EntryPlace, Refusal, StreamHead};

/// How a ledger is opened.
pub struct Options {
    /// The log's name.
    pub origin: String,
    /// Its note keys; every checkpoint is signed by all of them.
    pub signers: Vec<Arc<dyn NoteSigner>>,
    /// The clock that signatures are dated by: seconds since the Unix epoch.
    pub clock: Arc<dyn Fn() -> u64 + Send + Sync>,
    /// At most so many candidates share one synced write.
    pub batch_entries_max: usize,
}

/// A place on the ledger, durable and covered by a signed checkpoint.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Admission {
    /// Where it is.
    pub place: EntryPlace,
    /// False if the same statement was there before.
    pub new: bool,
    /// The signed checkpoint that covers it (the note).
    pub checkpoint: Arc<str>,
    /// Its head.
    pub head: Checkpoint,
}

/// What went wrong with the ledger itself. All but `Refused` and `Overloaded` are the operator's to mend.
#[derive(Debug, thiserror::Error)]
pub enum LedgerError {
    /// The candidate's fault.
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// Too many are waiting: try again later.
    #[error("the ledger is overloaded")]
    Overloaded,
    /// RocksDB.
    #[error("the ledger's storage failed: {0}")]
    Storage(String),
    /// What is stored contradicts itself or the signed head: nothing is served or written.
    #[error("the ledger is damaged: {0}")]
    Damaged(String),
    /// The writer has ended (after a failed sync, for instance): the process must end too.
    #[error("the ledger's writer has stopped: {0}")]
    Stopped(String),
}

/// The ledger. Cheap to clone; reads go straight to RocksDB, appends to the one writer thread.
#[derive(Clone)]
pub struct Ledger {
    // Arc<Inner>
}

impl Ledger {
    /// Opens or creates the database in `folder`, and proves its edge against the last signed head before anything else (see recover).
    pub fn open(folder: &Path, options: Options) -> Result<Self, LedgerError> {
        todo!()
    }
    /// Appends one candidate and waits until it is durable and covered by a signed checkpoint. Blocks: call it from a blocking thread.
    pub fn append(&self, candidate: Candidate) -> Result<Admission, LedgerError> {
        todo!()
    }
    /// The same without blocking: the result comes to `done`, on the writer's thread (so it must be quick, such as a oneshot send).
    pub fn append_then(&self, candidate: Candidate, done: Box<dyn FnOnce(Result<Admission, LedgerError>) + Send>) {
        todo!()
    }
    /// The newest signed checkpoint and its head. `None` while the log is empty.
    pub fn checkpoint(&self) -> Option<(Arc<str>, Checkpoint)> {
        todo!()
    }
    /// Number of entries covered by the newest signed checkpoint.
    pub fn size(&self) -> u64 {
        todo!()
    }
    /// The entry at `index`, if it is covered by a checkpoint.
    pub fn entry(&self, index: u64) -> Result<Option<Vec<u8>>, LedgerError> {
        todo!()
    }
    /// Where the entry with this place in a chain is.
    pub fn place(&self, stream: &str, seq: u64) -> Result<Option<EntryPlace>, LedgerError> {
        todo!()
    }
    /// The index of the entry with this leaf hash.
    pub fn index_of(&self, leaf: &Hash) -> Result<Option<u64>, LedgerError> {
        todo!()
    }
    /// The end of a chain.
    pub fn head(&self, stream: &str) -> Result<Option<StreamHead>, LedgerError> {
        todo!()
    }
    /// The ends of all chains whose name begins with `prefix`, in order, at most `limit`, names after `after`.
    pub fn heads(&self, prefix: &str, after: Option<&str>, limit: usize) -> Result<Vec<StreamHead>, LedgerError> {
        todo!()
    }
    /// Rows of `annotations` whose key begins with `prefix` and is not below `from`, in order, at most `limit`.
    pub fn annotations(&self, prefix: &[u8], from: &[u8], limit: usize) -> Result<Vec<(Vec<u8>, Vec<u8>)>, LedgerError> {
        todo!()
    }
    /// The receipt (`tlog-proof` text) of the entry at `index` under the newest checkpoint; `None` beyond it.
    pub fn receipt(&self, index: u64) -> Result<Option<String>, LedgerError> {
        todo!()
    }
    /// Root of the first `size` entries; `None` beyond the newest checkpoint.
    pub fn root_at(&self, size: u64) -> Result<Option<Hash>, LedgerError> {
        todo!()
    }
    /// Consistency proof from `old` to `new` entries; `None` beyond the newest checkpoint or if `old > new`.
    pub fn consistency(&self, old: u64, new: u64) -> Result<Option<Vec<Hash>>, LedgerError> {
        todo!()
    }
    /// The bytes of a hash tile (its hashes end to end); `None` if no published tree has it.
    pub fn tile(&self, tile: exhibit_tlog::tile::TileId) -> Result<Option<Vec<u8>>, LedgerError> {
        todo!()
    }
    /// The bytes of an entry bundle; `None` if no published tree has it.
    pub fn bundle(&self, bundle: exhibit_tlog::tile::BundleId) -> Result<Option<Vec<u8>>, LedgerError> {
        todo!()
    }
}

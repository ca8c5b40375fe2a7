//! The ledger as its callers see it: appends go to the one writer, reads to RocksDB, never beyond the newest signed checkpoint.
//!
//! It does not decide what becomes of a candidate (`plan`), and it does not write.

use std::fs::File;
use std::path::Path;
use std::sync::mpsc::{SyncSender, TrySendError, sync_channel};
use std::sync::{Arc, mpsc};
use std::thread::JoinHandle;

use exhibit_tlog::tile::{BundleId, TILE_WIDTH, TileId, encode_bundle, encode_tile};
use exhibit_tlog::{
    Checkpoint, Hash, LogProof, LogVerifier, NoteSigner, Subtree, prove_consistency, prove_inclusion, prove_subtree, root_at,
};

use crate::checkpoint::Signing;
use crate::edge::{TreeEdge, tile_width};
use crate::head_file::HeadFile;
use crate::plan::HashedCandidate;
use crate::recover::{prove_edge, recover};
use crate::sealing::Sealing;
use crate::sequencer::{Answer, Done, QUEUE_CANDIDATES_MAX, Shared, Shown, Waiting, Writer};
use crate::source::{newest, noted_checkpoints};
use crate::store::{HeadRow, NewestTiles, Store, TileReader, damaged};
use crate::{Annotation, Candidate, Disk, EntryPlace, HeadSeal, LocalDisk, Refusal, SealError, StreamHead};

/// How a ledger is opened.
pub struct Options {
    /// The log's name.
    pub origin: String,
    /// Its note keys; every checkpoint is signed by all of them.
    pub signers: Vec<Arc<dyn NoteSigner>>,
    /// The clock that signatures are dated by: seconds since the Unix epoch.
    pub clock: Arc<dyn Fn() -> u64 + Send + Sync>,
    /// At most so many candidates share one synced write (1 to 4,096; 1,024 is a good value).
    pub batch_entries_max: usize,
    /// What keeps the newest head outside of the ledger's folder, each for itself. Without one, a complete older copy of the folder goes
    /// unnoticed.
    pub seals: Vec<Arc<dyn HeadSeal>>,
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
    /// The newest tiles of the tree of that head.
    pub(crate) edge: Arc<TreeEdge>,
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
    /// The database is of another log or format than the configuration: nothing was changed.
    #[error("the ledger does not fit its configuration: {0}")]
    WrongLog(String),
    /// The head that is kept outside of the database can not be read or written.
    #[error("the sealed head: {0}")]
    Seal(#[from] SealError),
    /// The database does not have what was sealed, or what somebody else has seen: it is an older copy, or another tree. Nothing was changed.
    #[error("the ledger is behind what was signed: {0}")]
    Behind(String),
    /// A note key did not sign.
    #[error("the checkpoint could not be signed: {0}")]
    Signing(String),
    /// The writer has ended (after a failed sync, for instance): the process must end too.
    #[error("the ledger's writer has stopped: {0}")]
    Stopped(String),
}

/// The ledger. Cheap to clone; reads go straight to RocksDB, appends to the one writer thread.
///
/// When the last clone is dropped, what waits in the queue is still admitted and answered, and the database is closed.
#[derive(Clone)]
pub struct Ledger {
    shared: Arc<Shared>,
    /// `None` where it is only read.
    queue: Option<Arc<Queue>>,
}

impl Ledger {
    /// Opens or creates the ledger in `folder` (all of it is the ledger's), and proves its edge against the last signed head before anything
    /// else (see recover).
    pub fn open(folder: &Path, options: Options) -> Result<Self, LedgerError> {
        Self::open_on(folder, options, Arc::new(LocalDisk))
    }

    /// The same on a disk whose writes may fail.
    pub fn open_on(folder: &Path, options: Options, disk: Arc<dyn Disk>) -> Result<Self, LedgerError> {
        let batch_entries_max = options.batch_entries_max;
        let seals = options.seals.clone();
        let signing = Signing::new(options)?;
        let database = folder.join(DATABASE_FOLDER);
        create_folder(folder)?;
        create_folder(&database)?;
        let (head_file, noted) = HeadFile::open(folder, disk.clone())?;
        let (store, edge) = recover(&database, &signing, noted, disk, &seals)?;
        let sealed_size = edge.published.as_ref().map_or(0, |published| published.head.size);
        let sealing = Sealing::new(seals, sealed_size, (signing.clock)())?;
        let shown = edge.published.map(|published| Shown { published: Arc::new(published), edge: Arc::new(edge.tree.clone()) });
        let shared = Arc::new(Shared::new(store, shown));
        let writer = Writer::new(shared.clone(), signing, edge.tree, head_file, sealing, batch_entries_max);
        let queue = Queue::start(writer)?;
        Ok(Self { shared, queue: Some(Arc::new(queue)) })
    }

    /// Opens what there is of a log that goes on no more, to be read: proven as at a start against the newest head that its keys have signed, of which
    /// the public halves suffice. Nothing is written, nothing is taken, and what no checkpoint covers is not there.
    pub fn open_to_read(folder: &Path, log: &LogVerifier) -> Result<Self, LedgerError> {
        let noted = newest(noted_checkpoints(folder));
        let store = Store::open_to_read(&folder.join(DATABASE_FOLDER))?;
        let edge = prove_edge(&store, log, noted)?;
        let shown = edge.published.map(|published| Shown { published: Arc::new(published), edge: Arc::new(edge.tree) });
        Ok(Self { shared: Arc::new(Shared::new(store, shown)), queue: None })
    }

    /// Appends one candidate and waits until it is durable and covered by a signed checkpoint. Blocks: call it from a blocking thread, and
    /// never from within `append_then`'s `done`, which would wait for itself.
    pub fn append(&self, candidate: Candidate) -> Result<Admission, LedgerError> {
        let (sender, receiver) = mpsc::sync_channel(1);
        self.append_then(candidate, Box::new(move |outcome| drop(sender.send(outcome))));
        receiver.recv().expect("every candidate is answered exactly once")
    }

    /// The same without blocking: the result comes to `done`, on the writer's thread (so it must be quick, such as a oneshot send). A
    /// candidate that is not even queued, because of overload or a stopped writer, is answered at once on the caller's thread.
    pub fn append_then(&self, candidate: Candidate, done: Done) {
        let answer = Answer::new(done);
        if let Err(error) = self.shared.check_running() {
            return answer.give(Err(error));
        }
        let Some(queue) = &self.queue else { return answer.give(Err(Refusal::Ended.into())) };
        match queue.sender().try_send(Waiting { candidate: HashedCandidate::new(candidate), answer }) {
            Ok(()) => {}
            Err(TrySendError::Full(waiting)) => waiting.answer.give(Err(LedgerError::Overloaded)),
            Err(TrySendError::Disconnected(waiting)) => {
                let stopped = self.shared.check_running().err();
                waiting.answer.give(Err(stopped.unwrap_or_else(|| LedgerError::Stopped("its thread is gone".into()))));
            }
        }
    }

    /// The newest signed checkpoint and its head. `None` while the log is empty.
    pub fn checkpoint(&self) -> Option<(Arc<str>, Checkpoint)> {
        self.shared.published().map(|published| (published.note.clone(), published.head.clone()))
    }

    /// Whether the log has ended with an entry that a checkpoint covers: nothing new gets a place, for ever.
    pub fn is_ended(&self) -> Result<bool, LedgerError> {
        let size = self.readable_size()?;
        Ok(self.shared.store.last()?.is_some_and(|last| last < size))
    }

    /// Number of entries covered by the newest signed checkpoint.
    pub fn size(&self) -> u64 {
        self.shared.published().map_or(0, |published| published.head.size)
    }

    /// The entry at `index`, if it is covered by a checkpoint.
    pub fn entry(&self, index: u64) -> Result<Option<Vec<u8>>, LedgerError> {
        if index >= self.readable_size()? {
            return Ok(None);
        }
        let entry = self.shared.store.entry(index)?;
        entry.map(Some).ok_or_else(|| damaged(format_args!("entry {index} is missing")))
    }

    /// Where the entry with this place in a chain is.
    pub fn place(&self, stream: &str, seq: u64) -> Result<Option<EntryPlace>, LedgerError> {
        let size = self.readable_size()?;
        Ok(self.shared.store.place(stream, seq)?.filter(|place| place.index < size))
    }

    /// Places of a chain from `seq` on, in order of seq, at most `limit`. What it has leapt over has none, and costs nothing.
    pub fn places(&self, stream: &str, seq: u64, limit: usize) -> Result<Vec<(u64, EntryPlace)>, LedgerError> {
        let size = self.readable_size()?;
        let covered = |row: &Result<(u64, EntryPlace), LedgerError>| row.as_ref().map_or(true, |(_, place)| place.index < size);
        self.shared.store.places_of(stream, seq).take_while(covered).take(limit).collect()
    }

    /// The index of the entry with this leaf hash. If the same bytes were admitted at two places, it is the later one.
    pub fn index_of(&self, leaf: &Hash) -> Result<Option<u64>, LedgerError> {
        let size = self.readable_size()?;
        Ok(self.shared.store.index_of(leaf)?.filter(|index| *index < size))
    }

    /// The end of a chain.
    pub fn head(&self, stream: &str) -> Result<Option<StreamHead>, LedgerError> {
        let size = self.readable_size()?;
        let row = self.shared.store.head(stream)?;
        row.map_or(Ok(None), |row| self.covered_head(row, size))
    }

    /// The ends of all chains whose name begins with `prefix`, in order, at most `limit`, names after `after`.
    pub fn heads(&self, prefix: &str, after: Option<&str>, limit: usize) -> Result<Vec<StreamHead>, LedgerError> {
        let size = self.readable_size()?;
        // The next name after `after` in byte order is the one with a zero byte behind.
        let from = after.map_or(Vec::new(), |after| [after.as_bytes(), &[0]].concat()).max(prefix.as_bytes().to_vec());
        let mut heads = Vec::new();
        for row in self.shared.store.heads(&from) {
            let row = row?;
            if heads.len() >= limit || !row.head.stream.starts_with(prefix) {
                break;
            }
            heads.extend(self.covered_head(row, size)?);
        }
        Ok(heads)
    }

    /// Rows of `annotations` whose key begins with `prefix` and is not below `from`, in order, at most `limit`.
    pub fn annotations(&self, prefix: &[u8], from: &[u8], limit: usize) -> Result<Vec<Annotation>, LedgerError> {
        let size = self.readable_size()?;
        let mut rows = Vec::new();
        for row in self.shared.store.annotations(from.max(prefix)) {
            let (key, row) = row?;
            if rows.len() >= limit || !key.starts_with(prefix) {
                break;
            }
            rows.extend(row.value_at(size).map(|value| (key, value)));
        }
        Ok(rows)
    }

    /// The receipt (`tlog-proof` text) of the entry at `index` under the newest checkpoint; `None` beyond it.
    pub fn receipt(&self, index: u64) -> Result<Option<String>, LedgerError> {
        self.shared.check_running()?;
        let Some(published) = self.shared.published().filter(|published| index < published.head.size) else {
            return Ok(None);
        };
        let path = prove_inclusion(&self.newest_tiles(&published), index, published.head.size)?;
        let proof = LogProof { index, path, checkpoint: published.note.as_ref().to_owned() };
        Ok(Some(proof.to_text()))
    }

    /// The inclusion path of the entry at `index` in the first `size` entries; `None` where there is no such entry, or beyond the newest
    /// checkpoint.
    pub fn inclusion(&self, index: u64, size: u64) -> Result<Option<Vec<Hash>>, LedgerError> {
        if index >= size || size > self.readable_size()? {
            return Ok(None);
        }
        prove_inclusion(&TileReader::new(&self.shared.store), index, size).map(Some)
    }

    /// The receipt of what was admitted, under the checkpoint that came with it. It is made in memory, however far the log has grown since,
    /// unless the same statement was admitted long before.
    pub fn receipt_of(&self, admission: &Admission) -> Result<String, LedgerError> {
        let index = admission.place.index;
        let tiles = NewestTiles { edge: &admission.edge, rows: TileReader::new(&self.shared.store) };
        let path = prove_inclusion(&tiles, index, admission.head.size)?;
        Ok(LogProof { index, path, checkpoint: admission.checkpoint.as_ref().to_owned() }.to_text())
    }

    /// Root of the first `size` entries; `None` beyond the newest checkpoint.
    pub fn root_at(&self, size: u64) -> Result<Option<Hash>, LedgerError> {
        if size > self.readable_size()? {
            return Ok(None);
        }
        root_at(&TileReader::new(&self.shared.store), size).map(Some)
    }

    /// Consistency proof from `old` to `new` entries; `None` beyond the newest checkpoint or if `old > new`.
    pub fn consistency(&self, old: u64, new: u64) -> Result<Option<Vec<Hash>>, LedgerError> {
        self.shared.check_running()?;
        match self.shared.published().filter(|published| old <= new && new <= published.head.size) {
            Some(published) => prove_consistency(&self.newest_tiles(&published), old, new).map(Some),
            None if (old, new) == (0, 0) => Ok(Some(Vec::new())),
            None => Ok(None),
        }
    }

    /// The proof that a subtree is part of the first `size` entries; `None` where it is not, or beyond the newest checkpoint.
    pub fn subtree(&self, subtree: Subtree, size: u64) -> Result<Option<Vec<Hash>>, LedgerError> {
        self.shared.check_running()?;
        match self.shared.published().filter(|published| subtree.end() <= size && size <= published.head.size) {
            Some(published) => prove_subtree(&self.newest_tiles(&published), subtree, size).map(Some),
            None => Ok(None),
        }
    }

    /// The bytes of a hash tile (its hashes end to end); `None` if no published tree has it.
    pub fn tile(&self, tile: TileId) -> Result<Option<Vec<u8>>, LedgerError> {
        let TileId { level, index, width } = tile;
        if width == 0 || width > tile_width(level, index, self.readable_size()?) {
            return Ok(None);
        }
        // The row may be longer by now, but what it begins with never changes: any narrower tile is a cut of it.
        let hashes = self.shared.store.tile(level, index)?.filter(|hashes| hashes.len() >= usize::from(width));
        let hashes = hashes.ok_or_else(|| damaged(format_args!("tile {level}/{index} is missing or too short")))?;
        Ok(Some(encode_tile(&hashes[..usize::from(width)])))
    }

    /// The bytes of an entry bundle; `None` if no published tree has it.
    pub fn bundle(&self, bundle: BundleId) -> Result<Option<Vec<u8>>, LedgerError> {
        // A bundle holds the entries whose leaf hashes are in the tile of level 0 with the same index.
        if bundle.width == 0 || bundle.width > tile_width(0, bundle.index, self.readable_size()?) {
            return Ok(None);
        }
        let entries = self.shared.store.entries(bundle.index * u64::from(TILE_WIDTH), u64::from(bundle.width))?;
        let entries: Vec<&[u8]> = entries.iter().map(Vec::as_slice).collect();
        encode_bundle(&entries).map(Some).map_err(|error| damaged(format_args!("bundle {} can not be made: {error}", bundle.index)))
    }

    fn newest_tiles<'a>(&'a self, shown: &'a Shown) -> NewestTiles<'a> {
        NewestTiles { edge: &shown.edge, rows: TileReader::new(&self.shared.store) }
    }

    pub(crate) fn database(&self) -> &rocksdb::DB {
        self.shared.store.raw()
    }

    /// How many entries may be shown, unless the writer has stopped.
    pub(crate) fn readable_size(&self) -> Result<u64, LedgerError> {
        self.shared.check_running()?;
        Ok(self.size())
    }

    /// The head that a chain has in a ledger of `size` entries: a row may be of the batch that is about to be signed.
    fn covered_head(&self, row: HeadRow, size: u64) -> Result<Option<StreamHead>, LedgerError> {
        let HeadRow { mut head, last_index } = row;
        let mut index = last_index;
        while index >= size {
            head.next_seq -= 1;
            let Some(seq) = head.next_seq.checked_sub(1) else {
                return Ok(None);
            };
            let (seq, place) = self.shared.store.last_place_to(&head.stream, seq)?;
            (index, head.leaf, head.next_seq) = (place.index, place.leaf, seq + 1);
        }
        Ok(Some(head))
    }
}

/// A folder that a power cut takes away again would take the ledger with it: its name is synced, also if an earlier start made it.
fn create_folder(folder: &Path) -> Result<(), LedgerError> {
    let failed = |error| LedgerError::Storage(format!("the ledger's folder can not be made: {error}"));
    let parent = folder.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    if !parent.exists() {
        create_folder(parent)?;
    }
    match std::fs::create_dir(folder) {
        Err(error) if error.kind() != std::io::ErrorKind::AlreadyExists => Err(failed(error)),
        _ => File::open(parent).and_then(|parent| parent.sync_all()).map_err(failed),
    }
}

/// RocksDB's own folder within the ledger's.
pub(crate) const DATABASE_FOLDER: &str = "database";

/// The way to the writer, and its thread.
struct Queue {
    sender: Option<SyncSender<Waiting>>,
    writer: Option<JoinHandle<()>>,
}

impl Queue {
    fn start(writer: Writer) -> Result<Self, LedgerError> {
        let (sender, receiver) = sync_channel(QUEUE_CANDIDATES_MAX);
        let thread = std::thread::Builder::new().name("ledger-writer".into()).spawn(move || writer.run(receiver));
        let thread = thread.map_err(|error| LedgerError::Stopped(format!("its thread could not be started: {error}")))?;
        Ok(Self { sender: Some(sender), writer: Some(thread) })
    }

    fn sender(&self) -> &SyncSender<Waiting> {
        self.sender.as_ref().expect("the sender is only taken when the queue is dropped")
    }
}

impl Drop for Queue {
    fn drop(&mut self) {
        // Without senders the writer ends after what is queued. The last clone may be dropped by a callback on the writer's own thread,
        // which can not wait for itself.
        drop(self.sender.take());
        if let Some(writer) = self.writer.take()
            && writer.thread().id() != std::thread::current().id()
        {
            // A panic of the writer was told to everyone who waited.
            let _ = writer.join();
        }
    }
}

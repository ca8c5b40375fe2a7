//! Re-hashes a whole ledger and names what is damaged: entries, tiles, leaves, places and heads of chains.
//!
//! It changes nothing, and may look at a ledger that is in use. What entries mean, and what lies beside the ledger, is its owner's to say.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use exhibit_tlog::tile::TILE_WIDTH;
use exhibit_tlog::{Checkpoint, Hash, LogVerifier, leaf_hash};

use crate::edge::tile_width;
use crate::proven::ProvenTiles;
use crate::recover::check_stored_log;
use crate::source::{LedgerFolder, Source, newest_checkpoint};
use crate::store::{Store, damaged};
use crate::{EntryPlace, LedgerError};

mod chains;
mod ends;
mod state;

/// What an entry says of itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Claim {
    /// The chain.
    pub stream: String,
    /// Its place there.
    pub seq: u64,
    /// The leaf hash of the entry before it in the chain; zeros at 0.
    pub prev: Hash,
    /// What "the same" means.
    pub identity: Hash,
    /// Whether the log has ended with it.
    pub is_last: bool,
    /// Whether its chain may leap to here from its first entry: see `Candidate`.
    pub may_leap: bool,
}

/// Knows what the entries mean.
pub trait Owner: Sync {
    /// What an entry says of itself, or why it says nothing.
    fn claim(&self, entry: &[u8]) -> Result<Claim, String>;
    /// Checks what belongs to an entry and lies beside the ledger; tells each damage, and counts the bytes that it read.
    fn inspect(&self, index: u64, entry: &[u8], damages: &mut Vec<Damage>) -> u64;
}

/// One thing that is not as it must be.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Damage {
    /// What kind of thing: `entry`, `tile`, `leaf`, `place`, `chain`, `head`, `tree`, `last`, or the owner's word.
    pub part: String,
    /// Which one.
    pub name: String,
    /// What is wrong with it.
    pub defect: String,
}

impl Damage {
    /// Of one thing. Tabs and newlines, which part damages in a state file, become spaces.
    pub fn new(part: &str, name: impl ToString, defect: impl ToString) -> Self {
        let plain = |text: String| text.replace(['\t', '\n', '\r'], " ");
        Self { part: part.to_owned(), name: plain(name.to_string()), defect: plain(defect.to_string()) }
    }
}

/// How a ledger is checked.
pub struct Fsck<'a> {
    /// Whose ledger it must be.
    pub log: LogVerifier,
    /// Who knows what the entries mean.
    pub owner: &'a dyn Owner,
    /// How many threads read and hash.
    pub threads: usize,
    /// At most so many bytes a second are read, so that a ledger in use is not slowed down; `None` is no limit.
    pub bytes_per_s: Option<u64>,
    /// Keeps how far the check has come, so that it can go on after an end; removed when the check is complete.
    pub state_file: Option<PathBuf>,
    /// Is told how far it has come, about once a second.
    pub progress: &'a (dyn Fn(Progress) + Sync),
    /// Ends the check early when set; what was checked is kept in the state file.
    pub stop: &'a AtomicBool,
}

/// How far a check has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Progress {
    /// Entries that were checked.
    pub entries: u64,
    /// Entries in all.
    pub entries_total: u64,
    /// Bytes read in this run, the owner's included.
    pub bytes: u64,
}

/// What a check has found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Report {
    /// The signed head that everything was checked against.
    pub head: Checkpoint,
    /// Entries whose check is complete, those of earlier runs included.
    pub entries: u64,
    /// Whether all was checked.
    pub is_complete: bool,
    /// Everything that is damaged, in order.
    pub damages: Vec<Damage>,
}

impl Fsck<'_> {
    /// Checks the ledger in `folder`. Fails where there is nothing to check it against; whatever is damaged is in the report.
    pub fn run(&self, folder: &Path) -> Result<Report, LedgerError> {
        let ledger = LedgerFolder::open(folder)?;
        let store = ledger.store();
        check_stored_log(store, &self.log)?;
        let sources: [&dyn Source; 1] = [&ledger];
        let Some((_, head)) = newest_checkpoint(&sources, &self.log) else {
            if store.is_without_entries()? {
                let head = Checkpoint { origin: self.log.origin.clone(), size: 0, root: exhibit_tlog::EMPTY_ROOT };
                return Ok(Report { head, entries: 0, is_complete: true, damages: Vec::new() });
            }
            return Err(damaged("it has entries and no checkpoint that verifies, so there is nothing to check them against"));
        };
        let Some(tiles) = ProvenTiles::new(head.clone(), &sources) else {
            let defect =
                "its hashes do not lead to the signed root, and neither do the entries: nothing below can be told right from wrong";
            let damages = vec![Damage::new("tile", "edge", defect)];
            return Ok(Report { head, entries: 0, is_complete: false, damages });
        };
        let began = state::read(self.state_file.as_deref(), &tiles);
        let run = Run::new(self, store, &tiles, began);
        std::thread::scope(|scope| {
            for _ in 0..self.threads.clamp(1, THREADS_MAX) {
                scope.spawn(|| run.work());
            }
        });
        run.finish()
    }
}

/// One check: workers take bundles in order, and keep how far all of them have come.
struct Run<'a> {
    fsck: &'a Fsck<'a>,
    store: &'a Store,
    tiles: &'a ProvenTiles<'a>,
    next_bundle: AtomicU64,
    bytes: AtomicU64,
    began: Instant,
    done: Mutex<Done>,
}

/// What is done: everything below `bundles`, and a few beyond.
struct Done {
    bundles: u64,
    beyond: BTreeSet<u64>,
    damages: BTreeSet<Damage>,
    told: Instant,
    kept: Instant,
}

impl<'a> Run<'a> {
    fn new(fsck: &'a Fsck<'a>, store: &'a Store, tiles: &'a ProvenTiles<'a>, earlier: state::State) -> Self {
        let now = Instant::now();
        let done = Done {
            bundles: earlier.bundles,
            beyond: BTreeSet::new(),
            damages: earlier.damages.into_iter().collect(),
            told: now,
            kept: now,
        };
        let next_bundle = AtomicU64::new(done.bundles);
        Self { fsck, store, tiles, next_bundle, bytes: AtomicU64::new(0), began: now, done: Mutex::new(done) }
    }

    fn bundles_total(&self) -> u64 {
        self.tiles.head().size.div_ceil(u64::from(TILE_WIDTH))
    }

    fn work(&self) {
        while !self.fsck.stop.load(Ordering::Relaxed) {
            let index = self.next_bundle.fetch_add(1, Ordering::Relaxed);
            if index >= self.bundles_total() {
                break;
            }
            let mut damages = Vec::new();
            let bytes = self.check_bundle(index, &mut damages);
            self.bytes.fetch_add(bytes, Ordering::Relaxed);
            self.tell(index, damages);
            self.pace();
        }
    }

    /// One tile of level 0, the tiles that it is the last below, and its entries with their rows.
    fn check_bundle(&self, bundle: u64, damages: &mut Vec<Damage>) -> u64 {
        let width = u64::from(TILE_WIDTH);
        self.check_tile(0, bundle, damages);
        // Once for each tile above: with the first tile below it.
        let (mut level, mut index) = (0_u8, bundle);
        while index.is_multiple_of(width) && tile_width(level + 1, index / width, self.tiles.head().size) > 0 {
            (level, index) = (level + 1, index / width);
            self.check_tile(level, index, damages);
        }
        let Some(leaves) = self.tiles.tile(0, bundle) else {
            damages.push(Damage::new("tile", format_args!("0/{bundle}"), "no row and no entries lead to its hash in the signed tree"));
            return 0;
        };
        let mut bytes = 0;
        for (index, leaf) in (bundle * width..).zip(leaves.iter()) {
            bytes += self.check_entry(index, leaf, damages);
        }
        bytes
    }

    fn check_tile(&self, level: u8, index: u64, damages: &mut Vec<Damage>) {
        let name = format!("{level}/{index}");
        let Some(right) = self.tiles.tile(level, index) else {
            return;
        };
        // A row may have grown since the checkpoint.
        match self.store.tile(level, index) {
            Ok(Some(row)) if row.len() >= right.len() && row[..right.len()] == right[..] => {}
            Ok(Some(_)) => damages.push(Damage::new("tile", name, "does not have the hashes of the signed tree")),
            Ok(None) => damages.push(Damage::new("tile", name, "is missing")),
            Err(error) => damages.push(Damage::new("tile", name, error)),
        }
    }

    fn check_entry(&self, index: u64, leaf: &Hash, damages: &mut Vec<Damage>) -> u64 {
        let entry = match self.store.entry(index) {
            Ok(Some(entry)) if leaf_hash(&entry) == *leaf => entry,
            Ok(Some(entry)) => {
                damages.push(Damage::new("entry", index, "does not have the hash that the signed tree has for it"));
                return entry.len() as u64;
            }
            Ok(None) => {
                damages.push(Damage::new("entry", index, "is missing"));
                return 0;
            }
            Err(error) => {
                damages.push(Damage::new("entry", index, error));
                return 0;
            }
        };
        match self.store.index_of(leaf) {
            // The same bytes may have been admitted at a second place, whose index the row then names.
            Ok(Some(named)) if named == index || self.has_leaf(named, leaf) => {}
            Ok(_) => damages.push(Damage::new("leaf", leaf, format_args!("does not lead to entry {index}"))),
            Err(error) => damages.push(Damage::new("leaf", leaf, error)),
        }
        match self.fsck.owner.claim(&entry) {
            Ok(claim) => self.check_claim(EntryPlace { index, leaf: *leaf, identity: claim.identity }, &claim, damages),
            Err(defect) => damages.push(Damage::new("entry", index, defect)),
        }
        entry.len() as u64 + self.fsck.owner.inspect(index, &entry, damages)
    }

    fn has_leaf(&self, index: u64, leaf: &Hash) -> bool {
        let row = self.tiles.tile(0, index / u64::from(TILE_WIDTH));
        row.is_some_and(|row| row.get((index % u64::from(TILE_WIDTH)) as usize) == Some(leaf))
    }

    fn tell(&self, bundle: u64, damages: Vec<Damage>) {
        let mut done = self.done.lock().unwrap_or_else(PoisonError::into_inner);
        done.damages.extend(damages);
        done.beyond.insert(bundle);
        while done.beyond.first() == Some(&done.bundles) {
            done.beyond.pop_first();
            done.bundles += 1;
        }
        if done.told.elapsed() >= TELL_EVERY {
            done.told = Instant::now();
            (self.fsck.progress)(self.progress(&done));
        }
        if done.kept.elapsed() >= KEEP_EVERY {
            done.kept = Instant::now();
            self.keep(&done);
        }
    }

    fn progress(&self, done: &Done) -> Progress {
        let entries_total = self.tiles.head().size;
        let entries = (done.bundles * u64::from(TILE_WIDTH)).min(entries_total);
        Progress { entries, entries_total, bytes: self.bytes.load(Ordering::Relaxed) }
    }

    /// Sleeps until what was read is no more than the limit allows.
    fn pace(&self) {
        if let Some(limit) = self.fsck.bytes_per_s.filter(|limit| *limit > 0) {
            let due = Duration::from_secs_f64(self.bytes.load(Ordering::Relaxed) as f64 / limit as f64);
            while self.began.elapsed() < due && !self.fsck.stop.load(Ordering::Relaxed) {
                std::thread::sleep((due - self.began.elapsed().min(due)).min(TELL_EVERY));
            }
        }
    }

    fn keep(&self, done: &Done) {
        if let Some(path) = &self.fsck.state_file
            && let Err(error) = state::write(path, self.tiles.head(), done.bundles, &done.damages)
        {
            tracing::warn!(%error, "how far the check has come could not be kept: it could not go on from here");
        }
    }

    fn finish(self) -> Result<Report, LedgerError> {
        let mut done = self.done.lock().unwrap_or_else(PoisonError::into_inner);
        let are_entries_done = done.bundles == self.bundles_total();
        let is_complete = are_entries_done && self.check_chains(&mut done.damages)?;
        if is_complete {
            self.check_ends(&mut done.damages);
        }
        if is_complete {
            if let Some(path) = &self.fsck.state_file {
                state::remove(path);
            }
        } else {
            self.keep(&done);
        }
        let progress = self.progress(&done);
        (self.fsck.progress)(progress);
        let damages = std::mem::take(&mut done.damages).into_iter().collect();
        Ok(Report { head: self.tiles.head().clone(), entries: progress.entries, is_complete, damages })
    }
}

/// Beyond this a disk gains nothing.
const THREADS_MAX: usize = 64;
/// For people who watch.
const TELL_EVERY: Duration = Duration::from_secs(1);
/// So much work is lost at most when a check is ended by force.
const KEEP_EVERY: Duration = Duration::from_secs(10);

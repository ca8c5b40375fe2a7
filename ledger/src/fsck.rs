//! Re-hashes a whole ledger and names what is damaged: entries, tiles, leaves, places and heads of chains.
//!
//! It changes nothing, and may look at a ledger that is in use. What entries mean, and what lies beside the ledger, is its owner's to say.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
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
mod pace;
mod state;

pub use pace::Look;

use pace::Pace;
use state::State;

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
    /// Checks what belongs to an entry and lies beside the ledger, and tells each damage. What it reads it tells `look`, piece by piece.
    fn inspect(&self, index: u64, entry: &[u8], look: &Look<'_>, damages: &mut Vec<Damage>);
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
    /// Then, places in their chains that were checked: as many as entries in all.
    pub places: u64,
    /// Bytes read in this run, the owner's included.
    pub bytes: u64,
}

/// What a check has found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Report {
    /// The signed head that everything was checked against: the newest, or an earlier one where a check has gone on that was ended among its chains.
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
        let earlier = state::read(self.state_file.as_deref());
        let proven = ProvenTiles::new(head.clone(), &sources).map(|tiles| match earlier {
            // A check that has come to the chains ends what it began, of the tree that it began with.
            Some(State { size, root, chains: Some(_), .. }) if tiles.has(size, &root) => {
                ProvenTiles::new(Checkpoint { size, root, ..head.clone() }, &sources).unwrap_or(tiles)
            }
            _ => tiles,
        });
        let Some(tiles) = proven else {
            let defect =
                "its hashes do not lead to the signed root, and neither do the entries: nothing below can be told right from wrong";
            let damages = vec![Damage::new("tile", "edge", defect)];
            return Ok(Report { head, entries: 0, is_complete: false, damages });
        };
        // Goes on where a check of this same log was ended; from the start otherwise.
        let mut began = earlier.filter(|state| tiles.has(state.size, &state.root)).unwrap_or_default();
        began.chains = began.chains.filter(|_| began.size == tiles.head().size);
        let run = Run::new(self, store, &tiles, began);
        run.on_all_threads(|| run.work());
        let are_entries_done = run.are_entries_done();
        let is_complete = are_entries_done && run.check_chains()?;
        Ok(run.finish(is_complete))
    }
}

/// One check: workers take bundles in order, then parts of the chains, and keep how far all of them have come.
struct Run<'a> {
    fsck: &'a Fsck<'a>,
    store: &'a Store,
    tiles: &'a ProvenTiles<'a>,
    pace: Pace<'a>,
    /// Bundles that an earlier check wants to have looked at again.
    again: Vec<u64>,
    first_bundle: u64,
    next: AtomicU64,
    next_part: AtomicUsize,
    done: Mutex<Done>,
}

/// What is done: everything below `bundles`, and a few beyond.
struct Done {
    bundles: u64,
    beyond: BTreeSet<u64>,
    again: BTreeSet<u64>,
    chains: chains::Done,
    damages: BTreeSet<Damage>,
    /// What was found beyond those that are kept.
    damages_more: u64,
    told: Instant,
    kept: Instant,
}

impl<'a> Run<'a> {
    fn new(fsck: &'a Fsck<'a>, store: &'a Store, tiles: &'a ProvenTiles<'a>, earlier: State) -> Self {
        let now = Instant::now();
        let State { bundles, again, chains, .. } = earlier;
        let run_again = again.iter().copied().collect();
        let done = Done {
            bundles,
            beyond: BTreeSet::new(),
            again,
            chains: chains::Done::new(chains),
            damages: BTreeSet::new(),
            damages_more: 0,
            told: now,
            kept: now,
        };
        Self {
            fsck,
            store,
            tiles,
            pace: Pace::new(fsck.bytes_per_s, fsck.stop),
            again: run_again,
            first_bundle: bundles,
            next: AtomicU64::new(0),
            next_part: AtomicUsize::new(0),
            done: Mutex::new(done),
        }
    }

    fn bundles_total(&self) -> u64 {
        self.tiles.head().size.div_ceil(u64::from(TILE_WIDTH))
    }

    fn are_entries_done(&self) -> bool {
        let done = self.done();
        done.bundles == self.bundles_total() && !self.pace.is_stopped()
    }

    fn done(&self) -> MutexGuard<'_, Done> {
        self.done.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn on_all_threads(&self, work: impl Fn() + Sync) {
        std::thread::scope(|scope| {
            for _ in 0..self.fsck.threads.clamp(1, THREADS_MAX) {
                scope.spawn(&work);
            }
        });
    }

    fn work(&self) {
        while !self.pace.is_stopped() {
            let number = self.next.fetch_add(1, Ordering::Relaxed);
            let again = usize::try_from(number).ok().and_then(|number| self.again.get(number));
            let index = again.copied().unwrap_or_else(|| self.first_bundle + (number - self.again.len() as u64));
            if index >= self.bundles_total() {
                break;
            }
            let (look, mut damages) = (Look::new(&self.pace), Vec::new());
            self.check_bundle(index, &look, &mut damages);
            // What an end has cut off is checked by whoever goes on.
            if self.pace.is_stopped() {
                break;
            }
            self.tell(index, look.is_needed_again(), damages);
        }
    }

    /// One tile of level 0, the tiles that it is the last below, and its entries with their rows.
    fn check_bundle(&self, bundle: u64, look: &Look<'_>, damages: &mut Vec<Damage>) {
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
            return;
        };
        for (index, leaf) in (bundle * width..).zip(leaves.iter()) {
            self.check_entry(index, leaf, look, damages);
            if self.pace.is_stopped() {
                return;
            }
        }
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

    fn check_entry(&self, index: u64, leaf: &Hash, look: &Look<'_>, damages: &mut Vec<Damage>) {
        let entry = match self.store.entry(index) {
            Ok(Some(entry)) => entry,
            Ok(None) => return damages.push(Damage::new("entry", index, "is missing")),
            Err(error) => return damages.push(Damage::new("entry", index, error)),
        };
        look.read(entry.len() as u64);
        if leaf_hash(&entry) != *leaf {
            return damages.push(Damage::new("entry", index, "does not have the hash that the signed tree has for it"));
        }
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
        self.fsck.owner.inspect(index, &entry, look, damages);
    }

    fn has_leaf(&self, index: u64, leaf: &Hash) -> bool {
        let row = self.tiles.tile(0, index / u64::from(TILE_WIDTH));
        row.is_some_and(|row| row.get((index % u64::from(TILE_WIDTH)) as usize) == Some(leaf))
    }

    fn tell(&self, bundle: u64, is_needed_again: bool, damages: Vec<Damage>) {
        let mut done = self.done();
        if is_needed_again || !damages.is_empty() {
            done.again.insert(bundle);
        } else {
            done.again.remove(&bundle);
        }
        done.add(damages);
        if bundle >= done.bundles {
            done.beyond.insert(bundle);
        }
        while done.beyond.first() == Some(&done.bundles) {
            done.beyond.pop_first();
            done.bundles += 1;
        }
        self.tell_and_keep(&mut done);
    }

    fn tell_and_keep(&self, done: &mut Done) {
        if done.told.elapsed() >= TELL_EVERY {
            done.told = Instant::now();
            (self.fsck.progress)(self.progress(done));
        }
        if done.kept.elapsed() >= KEEP_EVERY {
            done.kept = Instant::now();
            self.keep(done);
        }
    }

    fn progress(&self, done: &Done) -> Progress {
        let entries_total = self.tiles.head().size;
        let entries = (done.bundles * u64::from(TILE_WIDTH)).min(entries_total);
        Progress { entries, entries_total, places: done.chains.places(), bytes: self.pace.bytes() }
    }

    fn keep(&self, done: &Done) {
        let Some(path) = &self.fsck.state_file else { return };
        let head = self.tiles.head();
        let bundles = done.bundles.min(head.size / u64::from(TILE_WIDTH));
        let again = done.again.range(..bundles).copied().collect();
        let chains = (done.bundles == self.bundles_total()).then(|| done.chains.kept());
        if let Err(error) = state::write(path, &State { size: head.size, root: head.root, bundles, again, chains }) {
            tracing::warn!(%error, "how far the check has come could not be kept: it could not go on from here");
        }
    }

    fn finish(&self, is_complete: bool) -> Report {
        let mut done = self.done();
        if is_complete {
            let mut damages = BTreeSet::new();
            self.check_ends(&mut damages);
            done.add(damages);
        }
        match &self.fsck.state_file {
            Some(path) if is_complete => state::remove(path),
            _ => self.keep(&done),
        }
        let progress = self.progress(&done);
        (self.fsck.progress)(progress);
        if done.damages_more > 0 {
            let defect = format!("{} more were found", done.damages_more);
            done.damages.insert(Damage::new("more", "damages", defect));
        }
        let damages = std::mem::take(&mut done.damages).into_iter().collect();
        Report { head: self.tiles.head().clone(), entries: progress.entries, is_complete, damages }
    }
}

impl Done {
    fn add(&mut self, damages: impl IntoIterator<Item = Damage>) {
        for damage in damages {
            if self.damages.len() < DAMAGES_MAX {
                self.damages.insert(damage);
            } else if !self.damages.contains(&damage) {
                self.damages_more += 1;
            }
        }
    }
}

/// Beyond this a disk gains nothing.
const THREADS_MAX: usize = 64;
/// For people who watch.
const TELL_EVERY: Duration = Duration::from_secs(1);
/// So much work is lost at most when a check is ended by force.
const KEEP_EVERY: Duration = Duration::from_secs(10);
/// Nobody reads more, and a disk that is gone must not take the memory too. The rest is counted.
const DAMAGES_MAX: usize = 100_000;

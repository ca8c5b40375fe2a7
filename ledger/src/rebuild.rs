//! Makes a ledger whole again, up to a signed head, from whatever has its entries: a damaged ledger, a backup, a mirror. This is repair and
//! restore in one: nothing is taken that does not hash to what the head signs, and no tree is signed that the head does not contain.
//!
//! It does not know what entries mean: their owner says what rows belong to each.

use std::path::Path;
use std::sync::Arc;
use std::sync::mpsc::channel;

use exhibit_tlog::{Checkpoint, Hash};

use crate::checkpoint::Signing;
use crate::proven::ProvenTiles;
use crate::source::Source;
use crate::{Admission, Candidate, HeadSeal, Ledger, LedgerError, Options, SealedHead};

/// Turns entries into candidates again.
pub trait Describe {
    /// The candidates that the entries from `first` on were when they were admitted: of the first one at least, and of as many behind it as can
    /// be told while `ledger` has only the entries before `first`. They share synced writes.
    fn describe(&mut self, ledger: &Ledger, first: u64, entries: &[Vec<u8>]) -> Result<Vec<Candidate>, String>;
    /// Is told the number of entries that are there, now and then.
    fn progress(&mut self, entries: u64, entries_total: u64);
}

/// Why a ledger was not made whole. What was made so far is right, and the same call goes on from there.
#[derive(Debug, thiserror::Error)]
pub enum RebuildError {
    /// The ledger itself.
    #[error(transparent)]
    Ledger(#[from] LedgerError),
    /// The head is not this log's.
    #[error("the head to be reached does not verify: {0}")]
    Head(exhibit_tlog::CheckpointError),
    /// The sources do not have the tree that was signed.
    #[error("none of the sources has the tree of {0} entries that was signed. Add a mirror that has")]
    Tree(u64),
    /// The ledger that is there is not a part of the tree that was signed.
    #[error(
        "the {have} entries that are there are not the first of the {signed} that were signed: this is a fork, and nothing is added to it"
    )]
    Fork {
        /// Entries that are there.
        have: u64,
        /// Entries of the head.
        signed: u64,
    },
    /// Entries that no source has right; the first ones.
    #[error("no source has entry {} right, nor {} more. Add a mirror that has them, or go on in a successor", .first[0], .count - 1)]
    Missing {
        /// The first of them.
        first: Vec<u64>,
        /// How many there are.
        count: u64,
    },
    /// The owner can not read an entry, or what it reads does not fit.
    #[error("entry {index} can not be put back: {defect}")]
    Entry {
        /// Which.
        index: u64,
        /// Why.
        defect: String,
    },
}

/// A tree that the log has signed, as the sources together have it.
pub struct SignedTree<'a> {
    tiles: ProvenTiles<'a>,
}

impl<'a> SignedTree<'a> {
    /// The tree of a head that was verified; fails if the sources do not have its edge.
    pub fn prove(head: &Checkpoint, sources: &'a [&'a dyn Source]) -> Result<Self, RebuildError> {
        ProvenTiles::new(head.clone(), sources).map(|tiles| Self { tiles }).ok_or(RebuildError::Tree(head.size))
    }

    /// Root of the first `size` entries; `None` where no source has a tile for it.
    #[must_use]
    pub fn root_at(&self, size: u64) -> Option<Hash> {
        self.tiles.root_at(size)
    }

    /// Shows every entry from `first` on that some source has right; fails in the end if one was missing.
    pub fn each_entry(&self, first: u64, mut visit: impl FnMut(u64, &[u8])) -> Result<(), RebuildError> {
        let (mut missing, mut count) = (Vec::new(), 0);
        let size = self.tiles.head().size;
        for bundle in first / BUNDLE_ENTRIES..size.div_ceil(BUNDLE_ENTRIES) {
            let indexes = bundle * BUNDLE_ENTRIES..((bundle + 1) * BUNDLE_ENTRIES).min(size);
            let entries = self.tiles.entries(bundle).unwrap_or_else(|| vec![None; (indexes.end - indexes.start) as usize]);
            for (index, entry) in indexes.zip(entries).filter(|(index, _)| *index >= first) {
                match entry {
                    Some(entry) => visit(index, &entry),
                    None => {
                        count += 1;
                        if missing.len() < MISSING_NAMED_MAX {
                            missing.push(index);
                        }
                    }
                }
            }
        }
        if count == 0 { Ok(()) } else { Err(RebuildError::Missing { first: missing, count }) }
    }
}

/// Brings the ledger in `folder`, which may be empty, an older copy or half made, to the tree that `note` signs. `options` are the log's; what
/// is sealed must be a part of that tree, and seals are written once it is reached.
///
/// On return the ledger is open and has exactly the entries of `note`'s head.
pub fn rebuild(
    folder: &Path,
    mut options: Options,
    note: &str,
    sources: &[&dyn Source],
    owner: &mut dyn Describe,
) -> Result<Ledger, RebuildError> {
    let seals: Vec<Arc<dyn HeadSeal>> = std::mem::take(&mut options.seals);
    let batch_entries_max = options.batch_entries_max;
    let signing = Signing::new(options)?;
    let head = signing.log.verify(note).map_err(RebuildError::Head)?;
    let tree = SignedTree::prove(&head, sources)?;
    for seal in &seals {
        seal.claim().map_err(LedgerError::from)?;
        check_sealed(&tree, seal.read().map_err(LedgerError::from)?)?;
    }
    let ledger = Ledger::open(folder, signing.into_options(batch_entries_max))?;
    let have = ledger.size();
    // An empty tree is a part of every other.
    if have > head.size || (have > 0 && ledger.root_at(have)? != tree.root_at(have)) {
        return Err(RebuildError::Fork { have, signed: head.size });
    }
    // Before anything is written, every entry must be there.
    tree.each_entry(have, |_, _| {})?;
    append(&ledger, &tree.tiles, have, owner)?;
    for seal in seals {
        let (note, head) = ledger.checkpoint().ok_or(RebuildError::Tree(head.size))?;
        seal.write(&head, &note).map_err(LedgerError::from)?;
    }
    Ok(ledger)
}

/// What was sealed was signed, and perhaps given to somebody: a log that goes on without it is a fork.
fn check_sealed(tree: &SignedTree<'_>, sealed: Option<SealedHead>) -> Result<(), LedgerError> {
    let (Some(sealed), size) = (sealed, tree.tiles.head().size) else { return Ok(()) };
    if sealed.size > size {
        return Err(LedgerError::Behind(format!("{} entries were sealed, and the head to be reached has {size}", sealed.size)));
    }
    if tree.root_at(sealed.size) != Some(sealed.root) {
        return Err(LedgerError::Behind(format!("its first {} entries are not those that were sealed", sealed.size)));
    }
    Ok(())
}

fn append(ledger: &Ledger, tiles: &ProvenTiles<'_>, from: u64, owner: &mut dyn Describe) -> Result<(), RebuildError> {
    let size = tiles.head().size;
    for bundle in from / BUNDLE_ENTRIES..size.div_ceil(BUNDLE_ENTRIES) {
        let first = bundle * BUNDLE_ENTRIES;
        let entries = tiles.entries(bundle).ok_or(RebuildError::Tree(size))?;
        let entries = entries.into_iter().collect::<Option<Vec<_>>>().ok_or(RebuildError::Missing { first: vec![first], count: 1 })?;
        let mut index = from.max(first);
        while index < first + entries.len() as u64 {
            index += append_group(ledger, index, &entries[(index - first) as usize..], owner)?;
        }
        owner.progress((first + BUNDLE_ENTRIES).min(size), size);
    }
    let reached = ledger.checkpoint().map(|(_, head)| head);
    if reached.as_ref().is_some_and(|reached: &Checkpoint| reached != tiles.head()) {
        return Err(RebuildError::Fork { have: ledger.size(), signed: size });
    }
    Ok(())
}

/// Gives how many of the entries were appended.
fn append_group(ledger: &Ledger, first: u64, entries: &[Vec<u8>], owner: &mut dyn Describe) -> Result<u64, RebuildError> {
    let wrong = |index: u64, defect: String| RebuildError::Entry { index, defect };
    let candidates = owner.describe(ledger, first, entries).map_err(|defect| wrong(first, defect))?;
    // Before anything is written: an owner that alters an entry would make the ledger sign a fork.
    if candidates.is_empty() || candidates.len() > entries.len() || candidates.iter().zip(entries).any(|(c, entry)| c.entry != *entry) {
        return Err(wrong(first, "its owner made another entry of it".to_owned()));
    }
    let count = candidates.len() as u64;
    let (sender, outcomes) = channel();
    for (index, candidate) in (first..).zip(candidates) {
        let sender = sender.clone();
        ledger.append_then(candidate, Box::new(move |outcome| drop(sender.send((index, outcome)))));
    }
    for (index, outcome) in outcomes.iter().take(count as usize) {
        match outcome {
            Ok(Admission { place, new: true, .. }) if place.index == index => {}
            Ok(_) => return Err(wrong(index, "its place is taken".to_owned())),
            Err(LedgerError::Refused(refusal)) => return Err(wrong(index, refusal.to_string())),
            Err(error) => return Err(error.into()),
        }
    }
    Ok(count)
}

const BUNDLE_ENTRIES: u64 = exhibit_tlog::tile::TILE_WIDTH as u64;
/// So many missing entries are named; a mirror is missing then.
const MISSING_NAMED_MAX: usize = 100;

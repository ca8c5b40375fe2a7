//! What an appliance can be made whole from: ledgers, mirrors, and every head of its log that anybody shows.
//!
//! It changes nothing, and decides two things: which head is the newest that can be reached, and whether anything may lie beyond it.

use std::path::Path;
use std::sync::Arc;

use exhibit_ledger::rebuild::{RebuildError, SignedTree};
use exhibit_ledger::source::{LedgerFolder, Source, noted_checkpoints};
use exhibit_ledger::{HeadSeal, Options, SealedHead};
use exhibit_tlog::{Checkpoint, LogVerifier};

use super::restore::RestoreError;
use crate::witnessing::known::{Heard, Known};

/// Everything that is known of a log.
pub struct Sources {
    log: LogVerifier,
    ledgers: Vec<LedgerFolder>,
    mirrors: Vec<Box<dyn Source>>,
    /// Signed heads, one of which is rebuilt to.
    signed: Vec<SignedHead>,
    /// Heads that the result has to contain: what was signed, and what was sealed.
    shown: Vec<SealedHead>,
    /// Heads that were the newest where they were kept, outside of any copy of the ledger.
    outside: Vec<SealedHead>,
    /// So many entries are in a ledger that does not tell which of them were signed.
    stored: u64,
    own: Own,
    is_sealed: bool,
}

/// A head under the log's signatures.
#[derive(Clone)]
pub struct SignedHead {
    /// The signed checkpoint.
    pub note: String,
    /// What it says.
    pub head: Checkpoint,
}

/// What the appliance's own ledger tells.
#[derive(Default)]
struct Own {
    /// The head that a start would go on from.
    starting: Option<u64>,
    /// The entries of a database that has lost no write, though it is damaged elsewhere.
    durable: Option<u64>,
}

impl Sources {
    /// None yet. `log` is whose heads they have to be.
    pub fn new(log: LogVerifier) -> Self {
        let own = Own::default();
        Self { log, ledgers: vec![], mirrors: vec![], signed: vec![], shown: vec![], outside: vec![], stored: 0, own, is_sealed: false }
    }

    /// The appliance's own ledger, in whatever state it is.
    pub fn add_own(&mut self, ledger: &Path, options: Options) {
        let Some((starting, size)) = self.add_folder(ledger, options) else { return };
        let durable = size.filter(|_| self.ledgers.last().is_some_and(LedgerFolder::is_whole));
        self.own = Own { starting, durable };
    }

    /// A copy of the ledger: a backup, or what an earlier attempt has made.
    pub fn add_copy(&mut self, ledger: &Path, options: Options) {
        self.add_folder(ledger, options);
    }

    /// A mirror. Its checkpoint is the newest head that it was given.
    pub fn add_mirror(&mut self, mirror: Box<dyn Source>) -> Result<(), RestoreError> {
        let defect = |defect: String| RestoreError::Mirror { name: mirror.name(), defect };
        let note = mirror.checkpoint().ok_or_else(|| defect("it has none".to_owned()))?;
        let head = self.log.verify(&note).map_err(|error| defect(error.to_string()))?;
        self.outside.push(SealedHead { size: head.size, root: head.root });
        self.add_signed(note, head);
        self.mirrors.push(mirror);
        Ok(())
    }

    /// A mirror that is configured: what it is the newest of is asked for with its signature (`add_heard`).
    pub fn add_configured(&mut self, mirror: Box<dyn Source>) {
        match mirror.checkpoint().map(|note| (self.log.verify(&note), note)) {
            Some((Ok(head), note)) => self.add_signed(note, head),
            _ => tracing::warn!(mirror = mirror.name(), "the mirror shows no checkpoint of this log"),
        }
        self.mirrors.push(mirror);
    }

    /// What witnesses and mirrors have answered. All of it has to be contained; the newest of it was kept outside if more than half of those who
    /// were asked have given their word, since whoever did not answer may have seen more.
    pub fn add_heard(&mut self, heard: Vec<Heard>) {
        let words = heard.iter().filter(|heard| heard.failed.is_none());
        let is_most = words.clone().count() * 2 > heard.len();
        let newest = words.filter_map(|heard| heard.known.as_ref()).max_by_key(|known| known.head.size);
        if let Some(known) = newest.filter(|_| is_most) {
            self.outside.push(SealedHead { size: known.head.size, root: known.head.root });
        }
        for Heard { name, known, failed } in heard {
            if let Some(reason) = failed {
                tracing::warn!(name, ?reason, "a witness or mirror does not tell what it knows of the log");
            }
            if let Some(Known { note, head }) = known {
                self.add_signed(note, head);
            }
        }
    }

    /// The newest head that anything tells of.
    pub fn last(&self) -> Option<SealedHead> {
        self.shown.iter().chain(&self.outside).copied().max_by_key(|head| head.size)
    }

    /// A signed checkpoint of that head, if anything has one.
    pub fn note_of(&self, head: &SealedHead) -> Option<String> {
        let signed = self.signed.iter().find(|signed| (signed.head.size, signed.head.root) == (head.size, head.root));
        signed.map(|signed| signed.note.clone())
    }

    /// What was sealed. All seals together bound the log only if each has a head, as at a start.
    pub fn add_seals(&mut self, seals: &[Arc<dyn HeadSeal>]) -> Result<(), RestoreError> {
        let sealed = seals.iter().map(|seal| seal.read()).collect::<Result<Vec<_>, _>>().map_err(RestoreError::Seal)?;
        self.is_sealed = !sealed.is_empty() && sealed.iter().all(Option::is_some);
        self.shown.extend(sealed.iter().flatten());
        self.outside.extend(sealed.iter().flatten());
        Ok(())
    }

    /// A signed checkpoint that somebody else holds.
    pub fn add_held(&mut self, note: &str) -> Result<(), RestoreError> {
        let head = self.log.verify(note).map_err(RestoreError::Known)?;
        self.outside.push(SealedHead { size: head.size, root: head.root });
        self.add_signed(note.to_owned(), head);
        Ok(())
    }

    /// All that give tiles and entries, the own ledger first.
    pub fn list(&self) -> Vec<&dyn Source> {
        let ledgers = self.ledgers.iter().map(|ledger| ledger as &dyn Source);
        ledgers.chain(self.mirrors.iter().map(|mirror| &**mirror)).collect()
    }

    /// Every head that the result has to contain.
    pub fn shown(&self) -> &[SealedHead] {
        &self.shown
    }

    /// The newest head whose tree `sources` have, if nothing may lie beyond it.
    pub fn target(&self, sources: &[&dyn Source]) -> Result<SignedHead, RestoreError> {
        let mut signed: Vec<&SignedHead> = self.signed.iter().collect();
        signed.sort_by_key(|signed| std::cmp::Reverse(signed.head.size));
        let newest = signed.first().ok_or(RestoreError::NoCheckpoint)?;
        let reachable = signed.iter().find(|signed| SignedTree::prove(&signed.head, sources).is_ok());
        let target = reachable.ok_or(RebuildError::Tree(newest.head.size))?;
        let size = target.head.size;
        let known = self.shown.iter().map(|head| head.size).max().unwrap_or(0).max(self.stored);
        if known > size {
            return Err(RestoreError::Behind { known, newest: size });
        }
        // What was kept outside is the newest only if it is the head that is restored: an older one tells nothing of what came behind it. The
        // own ledger goes on by the rule of every start.
        let is_outside = self.outside.iter().any(|head| head.size == size);
        let is_own = self.is_sealed && [self.own.starting, self.own.durable].contains(&Some(size));
        if is_outside || is_own { Ok((*target).clone()) } else { Err(RestoreError::Unbounded(size)) }
    }

    /// The newest signed head up to which `sources` have every entry, for a log that does not go on.
    pub fn newest_whole(&self, sources: &[&dyn Source]) -> Option<SignedHead> {
        let mut signed: Vec<&SignedHead> = self.signed.iter().collect();
        signed.sort_by_key(|signed| std::cmp::Reverse(signed.head.size));
        signed.dedup_by_key(|signed| (signed.head.size, signed.head.root));
        let is_whole =
            |signed: &&&SignedHead| SignedTree::prove(&signed.head, sources).is_ok_and(|tree| tree.each_entry(0, |_, _| {}).is_ok());
        signed.iter().find(is_whole).map(|signed| (*signed).clone())
    }

    /// Gives the size of the head that a start would go on from, and of the tree.
    fn add_folder(&mut self, ledger: &Path, options: Options) -> Option<(Option<u64>, Option<u64>)> {
        let name = ledger.display().to_string();
        let opened = LedgerFolder::open(ledger);
        let notes = opened.as_ref().map_or_else(|_| noted_checkpoints(ledger), LedgerFolder::checkpoints);
        for note in notes {
            match self.log.verify(&note) {
                Ok(head) => self.add_signed(note, head),
                Err(error) => tracing::warn!(%error, ledger = name, "a checkpoint is passed over"),
            }
        }
        // One that can not be opened is no source, and no reason to give up.
        let opened = opened.inspect_err(|error| tracing::warn!(%error, ledger = name, "this ledger can not be read")).ok()?;
        let starting = opened.starting_head(options);
        let starting = starting.inspect_err(|error| tracing::warn!(%error, ledger = name, "this ledger would not start")).ok().flatten();
        let size = opened.size().ok();
        self.stored = self.stored.max(size.unwrap_or(0));
        self.ledgers.push(opened);
        let starting_size = starting.as_ref().map(|(_, head)| head.size);
        if let Some((note, head)) = starting {
            self.add_signed(note, head);
        }
        Some((starting_size, size))
    }

    fn add_signed(&mut self, note: String, head: Checkpoint) {
        self.shown.push(SealedHead { size: head.size, root: head.root });
        self.signed.push(SignedHead { note, head });
    }
}

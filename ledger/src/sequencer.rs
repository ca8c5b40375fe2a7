//! One writer: gathers candidates into groups, plans, writes one synced batch, signs the head, answers.
//!
//! It does not serve reads, and nothing that failed is tried again: a sync that failed once may succeed the next time without the data.

use std::sync::mpsc::Receiver;
use std::sync::{Arc, OnceLock, PoisonError, RwLock};

use exhibit_tlog::{MerkleFrontier, leaf_hash, root_at};

use crate::checkpoint::{Published, Signing};
use crate::edge::TreeEdge;
use crate::plan::{Chains, Decision, check_form, plan};
use crate::store::{Store, TileReader, damaged};
use crate::{Admission, Candidate, EntryPlace, LedgerError};

/// What the writer and the readers share.
pub(crate) struct Shared {
    pub store: Store,
    published: RwLock<Option<Arc<Published>>>,
    stopped: OnceLock<String>,
}

impl Shared {
    pub fn new(store: Store, published: Option<Published>) -> Self {
        Self { store, published: RwLock::new(published.map(Arc::new)), stopped: OnceLock::new() }
    }

    /// The newest checkpoint that may be shown; what a reader sees never lies beyond it.
    pub fn published(&self) -> Option<Arc<Published>> {
        // The value is replaced in one assignment, so that a poisoned lock holds a whole one.
        self.published.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn publish(&self, published: Published) -> Arc<Published> {
        let published = Arc::new(published);
        *self.published.write().unwrap_or_else(PoisonError::into_inner) = Some(published.clone());
        published
    }

    /// Fails once the writer has ended.
    pub fn check_running(&self) -> Result<(), LedgerError> {
        self.stopped.get().map_or(Ok(()), |reason| Err(LedgerError::Stopped(reason.clone())))
    }

    /// The first reason stays.
    fn stop(&self, reason: &str) {
        if self.stopped.set(reason.to_owned()).is_ok() {
            tracing::error!(reason, "the ledger's writer has stopped");
        }
    }
}

/// Gets the outcome of one candidate.
pub(crate) type Done = Box<dyn FnOnce(Result<Admission, LedgerError>) + Send>;

/// A candidate in the queue. It is answered exactly once, whatever becomes of the writer.
pub(crate) struct Waiting {
    pub candidate: Candidate,
    pub answer: Answer,
}

/// Calls back once; if it is dropped before, then with the news that the writer has ended.
pub(crate) struct Answer(Option<Done>);

impl Answer {
    pub fn new(done: Done) -> Self {
        Self(Some(done))
    }

    pub fn give(mut self, outcome: Result<Admission, LedgerError>) {
        if let Some(done) = self.0.take() {
            done(outcome);
        }
    }
}

impl Drop for Answer {
    fn drop(&mut self) {
        if let Some(done) = self.0.take() {
            done(Err(LedgerError::Stopped(ENDED_EARLY.into())));
        }
    }
}

/// The only one who writes.
pub(crate) struct Writer {
    shared: Arc<Shared>,
    signing: Signing,
    edge: TreeEdge,
    batch_entries_max: usize,
}

impl Writer {
    pub fn new(shared: Arc<Shared>, signing: Signing, edge: TreeEdge, batch_entries_max: usize) -> Self {
        Self { shared, signing, edge, batch_entries_max: batch_entries_max.clamp(1, BATCH_ENTRIES_LIMIT) }
    }

    /// Works until the queue's senders are gone or something fails.
    pub fn run(mut self, queue: Receiver<Waiting>) {
        let _stop = StopAtEnd(self.shared.clone());
        while let Some(batch) = self.gather(&queue) {
            let (candidates, answers): (Vec<Candidate>, Vec<Answer>) = batch.into_iter().map(|w| (w.candidate, w.answer)).unzip();
            match self.admit(&candidates) {
                Ok(outcomes) => answers.into_iter().zip(outcomes).for_each(|(answer, outcome)| answer.give(outcome)),
                Err(error) => {
                    let reason = error.to_string();
                    self.shared.stop(&reason);
                    let waiting = answers.into_iter().chain(queue.try_iter().map(|waiting| waiting.answer));
                    waiting.for_each(|answer| answer.give(Err(LedgerError::Stopped(reason.clone()))));
                    return;
                }
            }
        }
    }

    /// Waits for one candidate and takes all that wait behind it: under load, groups form while the one before is being synced.
    fn gather(&self, queue: &Receiver<Waiting>) -> Option<Vec<Waiting>> {
        let mut batch = vec![queue.recv().ok()?];
        let mut bytes = batch[0].candidate.entry.len();
        while batch.len() < self.batch_entries_max && bytes < BATCH_BYTES_MAX {
            let Ok(waiting) = queue.try_recv() else {
                break;
            };
            bytes += waiting.candidate.entry.len();
            batch.push(waiting);
        }
        Some(batch)
    }

    /// One batch, from plan to published checkpoint. An error is fatal, and nobody of the batch has been told anything.
    fn admit(&mut self, candidates: &[Candidate]) -> Result<Vec<Result<Admission, LedgerError>>, LedgerError> {
        let decisions = plan(candidates, self.read_chains(candidates)?, self.edge.frontier().size());
        let new: Vec<(&Candidate, EntryPlace)> = candidates
            .iter()
            .zip(&decisions)
            .filter_map(|(candidate, decision)| match decision {
                Decision::New(place) => Some((candidate, *place)),
                Decision::Same(_) | Decision::Refused(_) => None,
            })
            .collect();
        let published = if new.is_empty() {
            self.shared.published()
        } else {
            let before = self.edge.frontier().clone();
            self.write(&new)?;
            self.check_written(&before, &new)?;
            Some(self.sign_and_publish()?)
        };
        let admit = |place: EntryPlace, new| {
            let published = published.as_ref().expect("a place was given, so the ledger is not empty and its head is signed");
            Ok(Admission { place, new, checkpoint: published.note.clone(), head: published.head.clone() })
        };
        let outcomes = decisions.into_iter().map(|decision| match decision {
            Decision::New(place) => admit(place, true),
            Decision::Same(place) => admit(place, false),
            Decision::Refused(refusal) => Err(refusal.into()),
        });
        Ok(outcomes.collect())
    }

    fn read_chains(&self, candidates: &[Candidate]) -> Result<Chains, LedgerError> {
        let store = &self.shared.store;
        let mut chains = Chains::default();
        for candidate in candidates.iter().filter(|candidate| check_form(candidate).is_ok()) {
            let (stream, seq) = (candidate.stream.as_str(), candidate.seq);
            if chains.next_seq(stream).is_none() {
                chains.know_head(stream, store.head(stream)?.map(|row| row.head).as_ref());
            }
            if chains.next_seq(stream).is_some_and(|next_seq| seq < next_seq) {
                let place = store.place(stream, seq)?;
                chains.know_place(stream, seq, place.ok_or_else(|| damaged(format_args!("the row of place {seq} of a chain is missing")))?);
            }
        }
        Ok(chains)
    }

    fn write(&mut self, new: &[(&Candidate, EntryPlace)]) -> Result<(), LedgerError> {
        let tiles = self.edge.append(new.iter().map(|(_, place)| place.leaf));
        self.shared.store.write_entries(new, &tiles, self.edge.frontier())
    }

    /// Reads back and re-hashes what was written, before it is signed: single flipped bits have ended public logs.
    fn check_written(&self, before: &MerkleFrontier, new: &[(&Candidate, EntryPlace)]) -> Result<(), LedgerError> {
        let store = &self.shared.store;
        let mut again = before.clone();
        for (index, entry) in (before.size()..).zip(store.entries(before.size(), new.len() as u64)?) {
            again.push(leaf_hash(&entry), |_, _, _| {});
            if again.size() != index + 1 {
                return Err(damaged("entries were read back out of order"));
            }
        }
        let tree = self.edge.frontier();
        if again != *tree || root_at(&TileReader::new(store), tree.size())? != tree.root() {
            return Err(damaged(format_args!(
                "what was read back for entries {} to {} is not what was written",
                before.size(),
                tree.size() - 1
            )));
        }
        Ok(())
    }

    fn sign_and_publish(&self) -> Result<Arc<Published>, LedgerError> {
        let published = self.signing.sign(self.edge.frontier())?;
        self.shared.store.write_checkpoint(&published.note)?;
        Ok(self.shared.publish(published))
    }
}

/// However the writer ends, later calls must know.
struct StopAtEnd(Arc<Shared>);

impl Drop for StopAtEnd {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.0.stop("the writer met a broken invariant; its log has the details");
        }
    }
}

const ENDED_EARLY: &str = "it ended before this entry was decided on";

/// The most that `batch_entries_max` can be set to: beyond this a batch gains nothing, and start re-hashes as many unsigned entries at most.
pub const BATCH_ENTRIES_LIMIT: usize = 4096;
/// So many candidates may wait; one more is refused as overload. With the longest entries this is 128 MiB.
pub const QUEUE_CANDIDATES_MAX: usize = 2048;
/// A batch takes no more candidates once their entries reach this, so that its sync stays short.
const BATCH_BYTES_MAX: usize = 8 * 1024 * 1024;

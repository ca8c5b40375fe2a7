//! One writer: gathers candidates into groups, plans, writes one synced batch, signs the head, answers.
//!
//! It does not serve reads, and nothing that failed is tried again: a sync that failed once may succeed the next time without the data.

use std::ops::Deref;
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::sync::{Arc, OnceLock, PoisonError, RwLock};

use exhibit_tlog::{MerkleFrontier, leaf_hash, root_at};

use crate::checkpoint::{Published, Signing};
use crate::edge::{TileRow, TreeEdge};
use crate::head_file::HeadFile;
use crate::plan::{Chains, Decision, HashedCandidate, check_form, plan};
use crate::sealing::Sealing;
use crate::store::{Store, TileReader, damaged};
use crate::{Admission, Candidate, EntryPlace, LedgerError};

/// What readers see: the newest checkpoint, and the tree that it signs.
pub(crate) struct Shown {
    pub published: Arc<Published>,
    /// Receipts of new entries are made of it, by whoever asks for them and without a look into the database.
    pub edge: Arc<TreeEdge>,
}

impl Deref for Shown {
    type Target = Published;
    fn deref(&self) -> &Published {
        &self.published
    }
}

/// What the writer and the readers share.
pub(crate) struct Shared {
    pub store: Store,
    published: RwLock<Option<Arc<Shown>>>,
    stopped: OnceLock<String>,
}

impl Shared {
    pub fn new(store: Store, published: Option<Shown>) -> Self {
        Self { store, published: RwLock::new(published.map(Arc::new)), stopped: OnceLock::new() }
    }

    /// The newest checkpoint that may be shown; what a reader sees never lies beyond it.
    pub fn published(&self) -> Option<Arc<Shown>> {
        // The value is replaced in one assignment, so that a poisoned lock holds a whole one.
        self.published.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn publish(&self, published: Shown) -> Arc<Shown> {
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
    pub candidate: HashedCandidate,
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
    head_file: HeadFile,
    sealing: Sealing,
    batch_entries_max: usize,
}

impl Writer {
    pub fn new(
        shared: Arc<Shared>,
        signing: Signing,
        edge: TreeEdge,
        head_file: HeadFile,
        sealing: Sealing,
        batch_entries_max: usize,
    ) -> Self {
        Self { shared, signing, edge, head_file, sealing, batch_entries_max: batch_entries_max.clamp(1, BATCH_ENTRIES_LIMIT) }
    }

    /// Works until the queue's senders are gone or something fails.
    pub fn run(mut self, queue: Receiver<Waiting>) {
        let _stop = StopAtEnd(self.shared.clone());
        loop {
            let first = match self.first(&queue) {
                Ok(first) => first,
                Err(RecvTimeoutError::Timeout) => {
                    self.seal();
                    continue;
                }
                Err(RecvTimeoutError::Disconnected) => break,
            };
            let batch = self.gather(first, &queue);
            let (candidates, answers): (Vec<HashedCandidate>, Vec<Answer>) = batch.into_iter().map(|w| (w.candidate, w.answer)).unzip();
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
            // After those who wait were answered.
            self.seal();
        }
        self.flush_at_the_end();
        self.sealing.finish(newest(&self.shared));
    }

    /// Whoever reads an ended log would otherwise have the end of its write-ahead log in memory, for as long as it is read.
    fn flush_at_the_end(&self) {
        let flushed = match self.shared.store.last() {
            Ok(Some(_)) => self.shared.store.flush(),
            other => other.map(drop),
        };
        if let Err(error) = flushed {
            tracing::warn!(%error, "an ended log could not be tidied up: reading it takes more memory");
        }
    }

    /// Waits for one candidate; not for longer than the head may stay unsealed.
    fn first(&self, queue: &Receiver<Waiting>) -> Result<Waiting, RecvTimeoutError> {
        match self.sealing.look_after(newest(&self.shared).as_ref()) {
            Some(limit) => queue.recv_timeout(limit),
            None => queue.recv().map_err(RecvTimeoutError::from),
        }
    }

    fn seal(&mut self) {
        self.sealing.offer((self.signing.clock)(), newest(&self.shared).as_ref());
    }

    /// Takes all that wait behind the first: under load, groups form while the one before is being synced.
    fn gather(&self, first: Waiting, queue: &Receiver<Waiting>) -> Vec<Waiting> {
        let mut batch = vec![first];
        let mut bytes = batch[0].candidate.entry.len();
        while batch.len() < self.batch_entries_max && bytes < BATCH_BYTES_MAX {
            let Ok(waiting) = queue.try_recv() else {
                break;
            };
            bytes += waiting.candidate.entry.len();
            batch.push(waiting);
        }
        batch
    }

    /// One batch, from plan to published checkpoint. An error is fatal, and nobody of the batch has been told anything.
    fn admit(&mut self, candidates: &[HashedCandidate]) -> Result<Vec<Result<Admission, LedgerError>>, LedgerError> {
        let decisions = plan(candidates, self.read_chains(candidates)?, self.edge.frontier().size());
        let new: Vec<(&Candidate, EntryPlace)> = candidates
            .iter()
            .zip(&decisions)
            .filter_map(|(candidate, decision)| match decision {
                Decision::New(place) => Some((&**candidate, *place)),
                Decision::Same(_) | Decision::Refused(_) => None,
            })
            .collect();
        let published = if new.is_empty() {
            self.shared.published()
        } else {
            let before = self.edge.frontier().clone();
            let rows = self.write(&new)?;
            let tree = self.read_back(before, &rows)?;
            Some(self.sign_and_publish(&tree)?)
        };
        let admit = |place: EntryPlace, new| {
            let published = published.as_ref().expect("a place was given, so the ledger is not empty and its head is signed");
            Ok(Admission { place, new, checkpoint: published.note.clone(), head: published.head.clone(), edge: published.edge.clone() })
        };
        let outcomes = decisions.into_iter().map(|decision| match decision {
            Decision::New(place) => admit(place, true),
            Decision::Same(place) => admit(place, false),
            Decision::Refused(refusal) => Err(refusal.into()),
        });
        Ok(outcomes.collect())
    }

    fn read_chains(&self, candidates: &[HashedCandidate]) -> Result<Chains, LedgerError> {
        let store = &self.shared.store;
        let mut chains = Chains::default();
        if store.last()?.is_some() {
            chains.know_end();
        }
        for candidate in candidates.iter().filter(|candidate| check_form(candidate).is_ok()) {
            let (stream, seq) = (candidate.stream.as_str(), candidate.seq);
            if chains.next_seq(stream).is_none() {
                chains.know_head(stream, store.head(stream)?.map(|row| row.head).as_ref());
            }
            if chains.next_seq(stream).is_some_and(|next_seq| seq < next_seq) {
                let (found, place) = store.last_place_to(stream, seq)?;
                if found == seq {
                    chains.know_place(stream, seq, place);
                }
            }
        }
        Ok(chains)
    }

    /// Gives the tile rows that were written.
    fn write(&mut self, new: &[(&Candidate, EntryPlace)]) -> Result<Vec<TileRow>, LedgerError> {
        let tiles = self.edge.append(new.iter().map(|(_, place)| place.leaf));
        self.shared.store.write_entries(new, &tiles, self.edge.frontier())?;
        Ok(tiles)
    }

    /// Reads back and re-hashes what was written after `before`: single flipped bits have ended public logs. What comes of it is signed.
    fn read_back(&self, before: MerkleFrontier, written: &[TileRow]) -> Result<ReadBack, LedgerError> {
        let store = &self.shared.store;
        let (first, size) = (before.size(), self.edge.frontier().size());
        let mut again = before;
        store.each_entry(first, size - first, |entry| again.push(leaf_hash(entry), |_, _, _| {}))?;
        let mut holds = again == store.tree()? && root_at(&TileReader::new(store), size)? == again.root();
        // The root does not lead through tiles that have become full within the batch.
        for row in written {
            holds &= store.tile(row.level, row.index)?.as_ref() == Some(&row.hashes);
        }
        if !holds {
            return Err(damaged(format_args!("what was read back for entries {first} to {} is not what was written", size - 1)));
        }
        Ok(ReadBack(again))
    }

    fn sign_and_publish(&mut self, tree: &ReadBack) -> Result<Arc<Shown>, LedgerError> {
        let published = self.signing.sign(&tree.0)?;
        self.shared.store.write_checkpoint(&published.note)?;
        self.head_file.write(published.head.size, &published.note)?;
        Ok(self.shared.publish(Shown { published: Arc::new(published), edge: Arc::new(self.edge.clone()) }))
    }
}

fn newest(shared: &Shared) -> Option<Arc<Published>> {
    shared.published().map(|shown| shown.published.clone())
}

/// A tree whose newest entries and edge were read back from the database. Only such a tree is signed.
#[derive(Debug)]
struct ReadBack(MerkleFrontier);

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

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use exhibit_tlog::{Ed25519NoteSigner, Hash, NoteSigner};
    use rocksdb::DB;
    use zeroize::Zeroizing;

    use super::*;
    use crate::database::{ENTRIES, LogTail, META, TILES};
    use crate::store::META_TREE;
    use crate::{LocalDisk, Options};

    /// Writes 300 entries and then 300, damages the rows, and reads back.
    fn read_back_after(damage: impl FnOnce(&DB)) -> Result<ReadBack, LedgerError> {
        let folder = exhibit_power_loss::scratch();
        let store = Store::open(&folder.path().join("database"), LogTail::MustBeWhole, Arc::new(LocalDisk)).unwrap().unwrap();
        let signer: Arc<dyn NoteSigner> = Arc::new(Ed25519NoteSigner::new("log", &Zeroizing::new([1; 32])).unwrap());
        let options = Options { origin: "log".into(), signers: vec![signer], clock: Arc::new(|| 1), batch_entries_max: 256, seals: vec![] };
        let (head_file, _) = HeadFile::open(folder.path(), Arc::new(LocalDisk)).unwrap();
        let shared = Arc::new(Shared::new(store, None));
        let mut writer =
            Writer::new(shared, Signing::new(options).unwrap(), TreeEdge::default(), head_file, Sealing::new(vec![], 0, 0).unwrap(), 256);
        let candidates: Vec<Candidate> = (0..600_u64)
            .map(|seq| Candidate {
                stream: "a".into(),
                seq,
                prev: Hash::default(),
                identity: Hash::default(),
                entry: seq.to_be_bytes().to_vec(),
                annotations: vec![],
                is_last: false,
                may_leap: false,
            })
            .collect();
        let place =
            |candidate: &Candidate| EntryPlace { index: candidate.seq, leaf: leaf_hash(&candidate.entry), identity: Hash::default() };
        let placed: Vec<_> = candidates.iter().map(|candidate| (candidate, place(candidate))).collect();
        writer.write(&placed[..300]).unwrap();
        let before = writer.edge.frontier().clone();
        let rows = writer.write(&placed[300..]).unwrap();
        damage(writer.shared.store.raw());
        writer.read_back(before, &rows)
    }

    fn flip(db: &DB, family: &str, key: &[u8]) {
        let family = db.cf_handle(family).unwrap();
        let mut value = db.get_cf(family, key).unwrap().unwrap();
        *value.last_mut().unwrap() ^= 1;
        db.put_cf(family, key, value).unwrap();
    }

    #[test]
    fn only_what_is_read_back_as_written_is_signed() {
        assert_eq!(read_back_after(|_| {}).unwrap().0.size(), 600);
        for index in [300_u64, 599] {
            let altered = read_back_after(|db| flip(db, ENTRIES, &index.to_be_bytes())).unwrap_err();
            assert!(matches!(altered, LedgerError::Damaged(_)), "a flipped bit in entry {index} would be signed: {altered}");
            let missing = read_back_after(|db| db.delete_cf(db.cf_handle(ENTRIES).unwrap(), index.to_be_bytes()).unwrap());
            assert!(missing.is_err(), "the missing entry {index} would be signed");
        }
        let altered = read_back_after(|db| flip(db, META, META_TREE.as_bytes())).unwrap_err();
        assert!(matches!(altered, LedgerError::Damaged(_)), "start would not find the tree that is signed: {altered}");
        for (level, index) in [(0, 1), (0, 2), (1, 0)] {
            let key = [&[level][..], &u64::to_be_bytes(index)].concat();
            let altered = read_back_after(|db| flip(db, TILES, &key)).unwrap_err();
            assert!(matches!(altered, LedgerError::Damaged(_)), "a flipped bit in tile {level}/{index} would be signed: {altered}");
        }
    }
}

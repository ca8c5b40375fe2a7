//! Every write of a scripted workload is broken twice: it fails, and it fails although it was done. Nothing acknowledged is lost, nothing is
//! tried again, and no tree is ever signed that another signed tree of its size or a later one contradicts.
#![allow(clippy::unwrap_used)]

mod common;

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Arc, Mutex};

use common::{Chain, check_consistent, open, options, signers, verify_all};
use exhibit_ledger::{Admission, Candidate, Disk, DiskWrite, Ledger, LedgerError, LocalDisk, Options};
use exhibit_tlog::{Checkpoint, Hash, NoteError, NoteSigner, VerifierKey, leaf_hash};

/// How a write breaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fault {
    /// It is not done, and says so.
    Failed,
    /// It is done, and says that it failed.
    FailedButPersisted,
}

#[test]
fn every_write_broken_twice_loses_nothing_acknowledged_and_signs_no_fork() {
    let whole = Run::new(None);
    whole.work().unwrap();
    let writes = whole.disk.writes.lock().unwrap().clone();
    for kind in [DiskWrite::HeadFile, DiskWrite::Create, DiskWrite::Entries, DiskWrite::Checkpoint, DiskWrite::Head] {
        assert!(writes.contains(&kind), "the workload does no {kind:?}");
    }
    for (number, kind) in writes.iter().enumerate() {
        for fault in [Fault::Failed, Fault::FailedButPersisted] {
            let run = Run::new(Some((number, fault)));
            let failure = run.work().expect_err("the write did not break");
            assert_eq!(run.disk.writes.lock().unwrap().get(number), Some(kind), "the workload is not the same each time");
            run.check(&format!("write {number}, {kind:?}, {fault:?}: {failure}"));
        }
    }
}

/// One run of the workload in a folder of its own.
struct Run {
    folder: tempfile::TempDir,
    disk: Arc<FaultyDisk>,
    signed: Arc<Mutex<Vec<String>>>,
    acknowledged: Mutex<Vec<Admission>>,
    sent: Mutex<Vec<Candidate>>,
}

impl Run {
    fn new(fault: Option<(usize, Fault)>) -> Self {
        let disk = Arc::new(FaultyDisk { fault, writes: Mutex::default() });
        Self { folder: exhibit_power_loss::scratch(), disk, signed: Arc::default(), acknowledged: Mutex::default(), sent: Mutex::default() }
    }

    /// Two starts, two chains, and statements that are sent twice. It ends at the first error.
    fn work(&self) -> Result<(), LedgerError> {
        let mut chains = [Chain::new("a"), Chain::new("b")];
        for _ in 0..2 {
            let ledger = Ledger::open_on(self.folder.path(), self.options(), self.disk.clone())?;
            for round in 0..2 {
                for chain in [0, 0, 1] {
                    self.append(&ledger, chains[chain].next(40))?;
                }
                let again = self.sent.lock().unwrap()[round].clone();
                assert!(!self.append(&ledger, again)?.new);
            }
        }
        Ok(())
    }

    fn append(&self, ledger: &Ledger, candidate: Candidate) -> Result<Admission, LedgerError> {
        self.sent.lock().unwrap().push(candidate.clone());
        let outcome = ledger.append(candidate);
        match &outcome {
            Ok(admission) => self.acknowledged.lock().unwrap().push(admission.clone()),
            Err(_) => self.check_stopped(ledger),
        }
        outcome
    }

    /// After a failed write nothing is promised and nothing tried again, however well the disk does.
    fn check_stopped(&self, ledger: &Ledger) {
        let writes = self.disk.writes.lock().unwrap().len();
        let again = Chain::new("another").next(10);
        assert!(matches!(ledger.append(again), Err(LedgerError::Stopped(_))), "the writer goes on after a failed write");
        assert!(matches!(ledger.entry(0), Err(LedgerError::Stopped(_))));
        assert!(matches!(ledger.receipt(0), Err(LedgerError::Stopped(_))));
        assert!(matches!(ledger.root_at(0), Err(LedgerError::Stopped(_))));
        assert_eq!(self.disk.writes.lock().unwrap().len(), writes, "something was written after a failed write");
    }

    fn check(&self, what: &str) {
        let ledger = Ledger::open_on(self.folder.path(), self.options(), Arc::new(LocalDisk));
        let ledger = ledger.unwrap_or_else(|error| panic!("{what}: it does not open again: {error}"));
        let leaves = verify_all(&ledger);
        let acknowledged = self.acknowledged.lock().unwrap();
        for admission in acknowledged.iter() {
            let found = leaves.get(admission.place.index as usize);
            assert_eq!(found, Some(&admission.place.leaf), "{what}: an acknowledged entry is lost");
        }
        let news: Vec<_> = acknowledged.iter().filter(|admission| admission.new).collect();
        let sent: Vec<Hash> = self.sent.lock().unwrap().iter().map(|candidate| leaf_hash(&candidate.entry)).collect();
        match &leaves[news.len()..] {
            [] => {}
            [in_doubt] => assert_eq!(Some(in_doubt), sent.last(), "{what}: an entry that nobody sent last"),
            more => panic!("{what}: {} entries that were never acknowledged", more.len()),
        }
        let heads = self.signed_heads(what);
        check_consistent(&ledger, &heads);
        self.go_on(ledger, what);
    }

    /// What was in doubt is sent again, and the chains go on.
    fn go_on(&self, ledger: Ledger, what: &str) {
        let sent = self.sent.lock().unwrap();
        for candidate in sent.iter() {
            let admission = ledger.append(candidate.clone()).unwrap_or_else(|error| panic!("{what}: sent again: {error}"));
            assert_eq!(admission.place.leaf, leaf_hash(&candidate.entry));
        }
        drop(ledger);
        let leaves = verify_all(&open(self.folder.path()));
        let mut distinct: Vec<Hash> = sent.iter().map(|candidate| leaf_hash(&candidate.entry)).collect();
        distinct.sort();
        distinct.dedup();
        assert_eq!(leaves.len(), distinct.len(), "{what}: an entry was counted twice");
        self.signed_heads(what);
    }

    /// Every head that a key has ever signed, published or not. One size has one root.
    fn signed_heads(&self, what: &str) -> Vec<Checkpoint> {
        let mut heads = BTreeMap::new();
        for text in self.signed.lock().unwrap().iter() {
            let head = Checkpoint::from_text(text).unwrap();
            let before = heads.insert(head.size, head.clone());
            assert!(before.is_none_or(|before| before == head), "{what}: two trees of {} entries were signed", head.size);
        }
        heads.into_values().collect()
    }

    fn options(&self) -> Options {
        let recording = |inner| -> Arc<dyn NoteSigner> { Arc::new(RecordingSigner { inner, signed: self.signed.clone() }) };
        Options { signers: signers(1).into_iter().map(recording).collect(), ..options() }
    }
}

/// Counts the writes and breaks one of them.
struct FaultyDisk {
    fault: Option<(usize, Fault)>,
    writes: Mutex<Vec<DiskWrite>>,
}

impl Disk for FaultyDisk {
    fn perform(&self, what: DiskWrite, write: &mut dyn FnMut() -> Result<(), LedgerError>) -> Result<(), LedgerError> {
        let mut writes = self.writes.lock().unwrap();
        writes.push(what);
        match self.fault {
            Some((number, fault)) if number + 1 == writes.len() => {
                if fault == Fault::FailedButPersisted {
                    write()?;
                }
                Err(LedgerError::Storage("the disk failed, as the test told it to".into()))
            }
            _ => write(),
        }
    }
}

/// Keeps every text that it signs.
struct RecordingSigner {
    inner: Arc<dyn NoteSigner>,
    signed: Arc<Mutex<Vec<String>>>,
}

impl NoteSigner for RecordingSigner {
    fn verifier_key(&self) -> &VerifierKey {
        self.inner.verifier_key()
    }

    fn sign(&self, text: &str, unix_s: u64) -> Result<Vec<u8>, NoteError> {
        self.signed.lock().unwrap().push(text.to_owned());
        self.inner.sign(text, unix_s)
    }
}

#[test]
fn a_first_start_that_breaks_can_be_made_again() {
    for number in 0..2 {
        for fault in [Fault::Failed, Fault::FailedButPersisted] {
            let folder = exhibit_power_loss::scratch();
            let disk = Arc::new(FaultyDisk { fault: Some((number, fault)), writes: Mutex::default() });
            assert!(Ledger::open_on(folder.path(), options(), disk).is_err());
            assert_eq!(starts(folder.path()), 1, "{fault:?} in write {number}");
        }
    }
}

fn starts(folder: &Path) -> u64 {
    open(folder).append(Chain::new("a").next(10)).unwrap().head.size
}

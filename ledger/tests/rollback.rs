//! A ledger that is whole and old, emptied or grown another way is told from the newest one by the head that is sealed outside of its folder.
#![allow(clippy::unwrap_used)]

mod common;

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::Duration;

use common::{Chain, FailingSigner, copy, open, options, sealed_options, signers, verifier, verify_all};
use exhibit_ledger::rebuild::{Describe, RebuildError, rebuild};
use exhibit_ledger::source::{LedgerFolder, Source};
use exhibit_ledger::{Candidate, HeadSeal, Ledger, LedgerError, Options, SealError, SealedFile, SealedHead};
use exhibit_tlog::Checkpoint;

/// A ledger's folder, and its seal beside.
struct Bench {
    root: tempfile::TempDir,
}

impl Bench {
    fn new() -> Self {
        Self { root: exhibit_power_loss::scratch() }
    }

    fn folder(&self) -> PathBuf {
        self.root.path().join("ledger")
    }

    fn seal(&self) -> PathBuf {
        self.root.path().join("seal")
    }

    fn open(&self) -> Result<Ledger, LedgerError> {
        Ledger::open(&self.folder(), sealed_options(&self.seal()))
    }

    fn append(&self, entries: u64) {
        append(&self.open().unwrap(), entries);
    }

    fn sealed_size(&self) -> u64 {
        SealedFile::new(&self.seal(), verifier()).read().unwrap().unwrap().size
    }

    /// Refused twice, the same way, without any change; and it says what to do.
    fn assert_behind(&self, what: &str) {
        let seal = fs::read(self.seal()).ok();
        for _ in 0..2 {
            let refused = self.open().err().expect("a rollback went unnoticed");
            assert!(matches!(&refused, LedgerError::Behind(text) if text.contains(what)), "{refused}");
            assert!(refused.to_string().contains("docs/operations.md"), "it does not say what to do: {refused}");
        }
        assert_eq!(fs::read(self.seal()).ok(), seal, "a refused start changed the seal");
    }
}

fn append(ledger: &Ledger, entries: u64) {
    let mut chain = Chain::of(ledger, "a");
    for _ in 0..entries {
        ledger.append(chain.next(20)).unwrap();
    }
}

#[test]
fn an_older_copy_of_the_folder_is_refused() {
    let bench = Bench::new();
    bench.append(10);
    let old = bench.root.path().join("old");
    copy(&bench.folder(), &old);
    bench.append(1);
    fs::remove_dir_all(bench.folder()).unwrap();
    fs::rename(&old, bench.folder()).unwrap();
    bench.assert_behind("11 entries were sealed and only 10 are there");
    // The copy itself is whole: only the seal tells.
    assert_eq!(verify_all(&open(&bench.folder())).len(), 10);
}

#[test]
fn an_older_copy_that_has_grown_another_way_is_refused() {
    let bench = Bench::new();
    bench.append(10);
    let old = bench.root.path().join("old");
    copy(&bench.folder(), &old);
    bench.append(5);
    fs::remove_dir_all(bench.folder()).unwrap();
    fs::rename(&old, bench.folder()).unwrap();
    let ledger = open(&bench.folder());
    let mut chain = Chain::new("another");
    (0..9).for_each(|_| drop(ledger.append(chain.next(20)).unwrap()));
    drop(ledger);
    bench.assert_behind("its first 15 entries are not those that were sealed");
}

#[test]
fn a_ledger_that_vanished_is_not_begun_again() {
    let bench = Bench::new();
    bench.append(1);
    fs::remove_dir_all(bench.folder()).unwrap();
    bench.assert_behind("1 entries were sealed and only 0 are there");
}

#[test]
fn a_seal_that_vanished_is_refused() {
    let bench = Bench::new();
    bench.append(3);
    fs::remove_file(bench.seal()).unwrap();
    bench.assert_behind("it has 3 entries and nothing is sealed");
    let empty = Bench::new();
    drop(empty.open().unwrap());
    fs::remove_file(empty.seal()).unwrap();
    empty.assert_behind("nothing is sealed");
}

/// The folder is there, with the head beside the database, and nothing tells but this head.
#[test]
fn a_database_that_vanished_is_not_begun_again() {
    let bench = Bench::new();
    append(&open(&bench.folder()), 3);
    let database = bench.folder().join("database");
    fs::remove_dir_all(&database).unwrap();
    for _ in 0..2 {
        let refused = bench.open().err().expect("a log was begun again");
        assert!(matches!(&refused, LedgerError::Damaged(text) if text.contains("the database is empty")), "{refused}");
        assert!(!bench.seal().exists(), "a refused start wrote the seal");
    }
}

/// A copy that is as new as the seal passes every check: two processes would fork the log.
#[test]
fn a_copy_does_not_go_on_beside_the_ledger_that_runs() {
    let bench = Bench::new();
    bench.append(3);
    let twin = bench.root.path().join("twin");
    copy(&bench.folder(), &twin);
    let running = bench.open().unwrap();
    for _ in 0..2 {
        let refused = Ledger::open(&twin, sealed_options(&bench.seal())).err().expect("two processes go on with one log");
        assert!(matches!(&refused, LedgerError::Seal(error) if error.defect.contains("another process")), "{refused}");
    }
    append(&running, 1);
    drop(running);
    let refused = Ledger::open(&twin, sealed_options(&bench.seal()));
    assert!(matches!(refused, Err(LedgerError::Behind(_))), "the copy is older by now");
    bench.append(1);
}

/// An old log and its successor may be sealed in one folder.
#[test]
fn seals_whose_names_differ_in_their_ends_share_no_file() {
    let bench = Bench::new();
    bench.append(2);
    let (note, head) = open(&bench.folder()).checkpoint().unwrap();
    let seals = ["head.1", "head.2", "head.new"].map(|name| SealedFile::new(&bench.root.path().join(name), verifier()));
    for seal in seals.iter().rev() {
        seal.write(&head, &note).unwrap();
    }
    for seal in &seals {
        assert_eq!(seal.read().unwrap().map(|sealed| sealed.size), Some(2), "a seal was taken by another one");
    }
}

#[test]
fn a_ledger_that_has_stopped_is_not_backed_up() {
    let bench = Bench::new();
    let failing = FailingSigner::new(signers(1).remove(0), 1);
    let ledger = Ledger::open(&bench.folder(), Options { signers: vec![Arc::new(failing), signers(1).remove(1)], ..options() }).unwrap();
    let mut chain = Chain::new("a");
    ledger.append(chain.next(20)).unwrap();
    let backup = bench.root.path().join("backup");
    ledger.append(chain.next(20)).unwrap_err();
    assert!(matches!(ledger.backup(&backup), Err(LedgerError::Stopped(_))), "the start of the ledger may drop what the backup has");
    assert!(!backup.exists());
}

/// What was sealed was signed: neither an older head nor another tree is gone back to.
#[test]
fn a_rebuild_never_ends_behind_the_seal() {
    let bench = Bench::new();
    bench.append(3);
    let older = bench.root.path().join("older");
    copy(&bench.folder(), &older);
    bench.append(2);
    let forked = bench.root.path().join("forked");
    copy(&older, &forked);
    let ledger = open(&forked);
    let mut chain = Chain::new("another");
    (0..4).for_each(|_| drop(ledger.append(chain.next(20)).unwrap()));
    drop(ledger);
    let sealed = fs::read(bench.seal()).unwrap();
    for (source, reason) in [(&older, "5 entries were sealed"), (&forked, "not those that were sealed")] {
        let source = LedgerFolder::open(source).unwrap();
        let new = bench.root.path().join("new");
        let note = source.checkpoint().unwrap();
        let refused = rebuild(&new, sealed_options(&bench.seal()), &note, &[&source], &mut Nobody).err().expect("the log was forked");
        assert!(matches!(&refused, RebuildError::Ledger(LedgerError::Behind(text)) if text.contains(reason)), "{refused}");
        assert!(!new.exists(), "a refused rebuild wrote something");
    }
    assert_eq!(fs::read(bench.seal()).unwrap(), sealed, "a refused rebuild changed the seal");
}

/// Is asked for nothing.
struct Nobody;

impl Describe for Nobody {
    fn describe(&mut self, _: &Ledger, _: u64, _: &[Vec<u8>]) -> Result<Vec<Candidate>, String> {
        Err("nothing is to be written".to_owned())
    }

    fn progress(&mut self, _: u64, _: u64) {}
}

#[test]
fn a_seal_that_does_not_verify_is_refused() {
    let bench = Bench::new();
    bench.append(3);
    let good = fs::read_to_string(bench.seal()).unwrap();
    let head = Checkpoint::parse_unverified(&good).unwrap();
    let others = signers(2);
    let forged = head.sign(&others.iter().map(|signer| &**signer).collect::<Vec<_>>(), 1).unwrap();
    for (defect, note) in
        [("empty", String::new()), ("cut", good[..40].into()), ("another log's keys", forged), ("too long", "x".repeat(1 << 20))]
    {
        fs::write(bench.seal(), note).unwrap();
        assert!(matches!(bench.open(), Err(LedgerError::Seal(_))), "{defect}");
    }
    fs::write(bench.seal(), good).unwrap();
    bench.append(1);
}

/// A failing test waits so long.
const SEALED_MAX: Duration = Duration::from_secs(60);

/// A sealed file that tells what it was given, once that is durable.
struct TellingSeal {
    file: SealedFile,
    told: Sender<u64>,
}

impl TellingSeal {
    fn new(path: &Path) -> (Self, Receiver<u64>) {
        let (told, receiver) = channel();
        (Self { file: SealedFile::new(path, verifier()), told }, receiver)
    }
}

impl HeadSeal for TellingSeal {
    fn read(&self) -> Result<Option<SealedHead>, SealError> {
        self.file.read()
    }

    fn write(&self, head: &Checkpoint, note: &str) -> Result<(), SealError> {
        self.file.write(head, note)?;
        self.told.send(head.size).unwrap();
        Ok(())
    }

    fn interval_s(&self) -> u64 {
        self.file.interval_s()
    }
}

/// Two places, one of which was rolled back with the ledger: the other tells.
#[test]
fn each_seal_is_asked_for_itself_and_none_is_written_when_one_refuses() {
    let bench = Bench::new();
    let other = bench.root.path().join("other");
    let both = || Options {
        seals: vec![Arc::new(SealedFile::new(&bench.seal(), verifier())), Arc::new(SealedFile::new(&other, verifier()))],
        ..options()
    };
    append(&Ledger::open(&bench.folder(), both()).unwrap(), 3);
    copy(&bench.folder(), &bench.root.path().join("copy"));
    let old = fs::read(bench.seal()).unwrap();
    append(&Ledger::open(&bench.folder(), both()).unwrap(), 2);
    fs::remove_dir_all(bench.folder()).unwrap();
    copy(&bench.root.path().join("copy"), &bench.folder());
    fs::write(bench.seal(), &old).unwrap();
    assert!(matches!(Ledger::open(&bench.folder(), both()), Err(LedgerError::Behind(text)) if text.contains("5 entries were sealed")));
    assert_eq!(fs::read(bench.seal()).unwrap(), old, "a refused start changed a seal");
}

#[test]
fn what_is_sealed_already_is_not_written_again() {
    let bench = Bench::new();
    let open = || {
        let (seal, told) = TellingSeal::new(&bench.seal());
        (Ledger::open(&bench.folder(), Options { seals: vec![Arc::new(seal)], ..options() }).unwrap(), told)
    };
    let (ledger, told) = open();
    append(&ledger, 1);
    drop(ledger);
    assert_eq!(told.iter().collect::<Vec<_>>(), [0, 1]);
    let (ledger, told) = open();
    drop(ledger);
    assert_eq!(told.iter().collect::<Vec<_>>(), [0_u64; 0], "the cells of a TPM wear with every start");
}

#[test]
fn the_head_is_sealed_at_start_and_stop_and_in_between() {
    let bench = Bench::new();
    let clock = Arc::new(AtomicU64::new(1000));
    let read = clock.clone();
    let (seal, told) = TellingSeal::new(&bench.seal());
    let options = Options { clock: Arc::new(move || read.load(Ordering::SeqCst)), seals: vec![Arc::new(seal)], ..options() };
    let ledger = Ledger::open(&bench.folder(), options).unwrap();
    assert_eq!(told.try_recv(), Ok(0), "a crash before the first seal would look like a seal that vanished");
    append(&ledger, 5);
    clock.fetch_add(59, Ordering::SeqCst);
    append(&ledger, 1);
    clock.fetch_add(1, Ordering::SeqCst);
    append(&ledger, 2);
    let sealed = told.recv_timeout(SEALED_MAX).expect("the interval has passed, and nothing was sealed");
    assert!((6..=8).contains(&sealed), "sealed {sealed} entries before the interval had passed");
    append(&ledger, 1);
    drop(ledger);
    assert_eq!(told.try_recv(), Ok(9), "not sealed at stop");
    // As a SIGKILL leaves it: the seal is older than the ledger, and start brings it up to date.
    let old = fs::read(bench.seal()).unwrap();
    bench.append(1);
    fs::write(bench.seal(), old).unwrap();
    let ledger = bench.open().unwrap();
    assert_eq!(bench.sealed_size(), 10, "not sealed at start");
    drop(ledger);
}

/// A log that falls quiet is as old on a copied disk as its seal lets it be.
#[test]
fn the_head_of_a_log_that_falls_quiet_is_sealed() {
    let bench = Bench::new();
    let (clock, asked) = (Arc::new(AtomicU64::new(1000)), Arc::new(AtomicU64::new(0)));
    let (read, count) = (clock.clone(), asked.clone());
    let (seal, told) = TellingSeal::new(&bench.seal());
    let clock_of = move || {
        let now = read.load(Ordering::SeqCst);
        count.fetch_add(1, Ordering::SeqCst);
        now
    };
    let options = Options { clock: Arc::new(clock_of), seals: vec![Arc::new(seal)], ..options() };
    let ledger = Ledger::open(&bench.folder(), options).unwrap();
    assert_eq!(told.recv_timeout(SEALED_MAX), Ok(0));
    let before = asked.load(Ordering::SeqCst);
    append(&ledger, 2);
    // Each batch asks for the time twice: for its signature, and for its seal, after those who wait were answered.
    while asked.load(Ordering::SeqCst) < before + 4 {
        std::thread::yield_now();
    }
    clock.fetch_add(3600, Ordering::SeqCst);
    assert_eq!(told.recv_timeout(SEALED_MAX), Ok(2), "an hour has passed, no entry has come, and what came before is not sealed");
    assert_eq!(bench.sealed_size(), 2);
    drop(ledger);
    assert_eq!(told.iter().count(), 0, "sealed twice");
}

#[test]
fn a_seal_that_can_not_be_written_stops_a_start_and_not_a_running_ledger() {
    let bench = Bench::new();
    bench.append(1);
    let nowhere = bench.root.path().join("no folder").join("seal");
    assert!(matches!(Ledger::open(&bench.root.path().join("new"), sealed_options(&nowhere)), Err(LedgerError::Seal(_))));
    let ledger = bench.open().unwrap();
    let elsewhere = bench.root.path().join("elsewhere");
    fs::rename(bench.seal(), &elsewhere).unwrap();
    fs::create_dir(bench.seal()).unwrap();
    append(&ledger, 1);
    drop(ledger);
    fs::remove_dir(bench.seal()).unwrap();
    fs::rename(elsewhere, bench.seal()).unwrap();
    assert_eq!(bench.open().unwrap().size(), 2);
}

#[test]
fn the_sealed_file_is_the_checkpoint_as_it_is_served() {
    let bench = Bench::new();
    bench.append(4);
    let served = open(Path::new(&bench.folder())).checkpoint().unwrap().0;
    assert_eq!(fs::read_to_string(bench.seal()).unwrap(), &*served);
}

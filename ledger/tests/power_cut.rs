//! A power cut within a write leaves the log torn in any way, and start goes on with all that was acknowledged; damage to what was
//! acknowledged looks much the same to RocksDB, and is refused.
#![allow(clippy::unwrap_used)]

mod common;

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use common::{Chain, FailingSigner, copy, open, options, sealed_options, signers, verify_all};
use exhibit_ledger::{Admission, Ledger, LedgerError, Options};
use exhibit_tlog::Hash;
use tempfile::TempDir;

const ACKNOWLEDGED: u32 = 20;

type Tear = fn(&mut Vec<u8>, usize);

/// What can become of the pages of a write that was not synced, from somewhere in it on.
const TEARS: [(&str, Tear); 6] = [
    (CUT_OFF, |log, from| log.truncate(from)),
    ("zeros to the end", |log, from| log[from..].fill(0)),
    ("one page of zeros", |log, from| log[from..from + 4096].fill(0)),
    ("one bit flipped", |log, from| log[from] ^= 1),
    ("bytes of an old page", |log, from| log.copy_within(1..4097, from)),
    ("zeros to beyond the end", |log, from| {
        log[from..].fill(0);
        log.resize(log.len() + 100_000, 0);
    }),
];
const CUT_OFF: &str = "cut off";

#[test]
fn a_write_torn_by_a_power_cut_costs_nothing_acknowledged() {
    let cut = PowerCut::make();
    for (name, tear) in TEARS {
        for from in [0, 7, 5000, 30_000] {
            let (folder, _) = cut.torn(tear, cut.acknowledged_bytes + from);
            let ledger = open(folder.path());
            assert!(ledger.size() >= u64::from(ACKNOWLEDGED), "{name} at {from}");
            assert_eq!(verify_all(&ledger)[..cut.leaves.len()], cut.leaves, "{name} at {from}: acknowledged entries are lost");
            // And it goes on, also after the next start.
            let next = Chain::of(&ledger, "a").next(10);
            let admission = ledger.append(next).unwrap();
            drop(ledger);
            assert_eq!(verify_all(&open(folder.path())).last(), Some(&admission.place.leaf));
        }
    }
}

#[test]
fn damage_to_what_was_acknowledged_is_refused() {
    let cut = PowerCut::make();
    for (name, tear) in TEARS {
        for part in [10, 2] {
            let (folder, log) = cut.torn(tear, cut.acknowledged_bytes - cut.acknowledged_bytes / part);
            let before = fs::read(&log).unwrap();
            for _ in 0..2 {
                let refused = Ledger::open(folder.path(), options()).err().expect("acknowledged entries are lost in silence");
                let expected = format!("a checkpoint of {ACKNOWLEDGED} entries was signed and only");
                assert!(matches!(&refused, LedgerError::Damaged(text) if text.contains(&expected)), "{name}: {refused}");
            }
            // A log that is merely shorter is whole to RocksDB; any other is left as it is, for an investigation.
            assert!(name == CUT_OFF || fs::read(&log).unwrap() == before, "{name}: a refused start changed the log");
        }
    }
}

/// Without the note beside the database, which is never synced, only the seal tells that the damage took what was acknowledged. It is asked
/// before anything is dropped.
#[test]
fn the_seal_is_asked_before_the_end_of_a_torn_log_is_dropped() {
    let root = exhibit_power_loss::scratch();
    let (folder, seal) = (root.path().join("ledger"), root.path().join("seal"));
    let ledger = Ledger::open(&folder, sealed_options(&seal)).unwrap();
    let mut chain = Chain::new("a");
    (0..20).for_each(|_| drop(ledger.append(chain.next(2000)).unwrap()));
    let middle = fs::read(log_in(&folder)).unwrap().len();
    (0..20).for_each(|_| drop(ledger.append(chain.next(2000)).unwrap()));
    drop(ledger);
    let (log, mut bytes) = (log_in(&folder), fs::read(log_in(&folder)).unwrap());
    bytes[middle + 100] ^= 1;
    fs::write(&log, &bytes).unwrap();
    fs::remove_file(folder.join("head")).unwrap();
    for _ in 0..2 {
        let refused = Ledger::open(&folder, sealed_options(&seal)).err().expect("acknowledged entries are lost in silence");
        assert!(
            matches!(&refused, LedgerError::Behind(text) if text.contains("40 entries were sealed and only 20 are there")),
            "{refused}"
        );
        assert!(fs::read(&log).unwrap() == bytes, "a refused start changed the log");
    }
}

/// A ledger whose last batch is written, but nobody was told of it.
struct PowerCut {
    folder: TempDir,
    leaves: Vec<Hash>,
    /// Length of the log when the last entry was acknowledged.
    acknowledged_bytes: usize,
}

impl PowerCut {
    fn make() -> Self {
        let folder = exhibit_power_loss::scratch();
        let failing = FailingSigner::new(signers(1).remove(0), ACKNOWLEDGED);
        let ledger = Ledger::open(folder.path(), Options { signers: vec![Arc::new(failing), signers(1).remove(1)], ..options() }).unwrap();
        let mut chain = Chain::new("a");
        let admissions: Vec<Admission> = (0..ACKNOWLEDGED).map(|_| ledger.append(chain.next(5000)).unwrap()).collect();
        let acknowledged_bytes = fs::read(log_in(folder.path())).unwrap().len();
        assert!(matches!(ledger.append(chain.next(60_000)), Err(LedgerError::Stopped(_))));
        Self { folder, leaves: admissions.iter().map(|admission| admission.place.leaf).collect(), acknowledged_bytes }
    }

    /// A copy with a damaged log, and the log's path.
    fn torn(&self, tear: Tear, from: usize) -> (TempDir, PathBuf) {
        let folder = exhibit_power_loss::scratch();
        copy(self.folder.path(), folder.path());
        let path = log_in(folder.path());
        let mut log = fs::read(&path).unwrap();
        assert!(log.len() > self.acknowledged_bytes + 60_000, "the last batch is in the log");
        tear(&mut log, from);
        fs::write(&path, log).unwrap();
        (folder, path)
    }
}

/// RocksDB's write-ahead log: there is one, since so little was written.
fn log_in(folder: &Path) -> PathBuf {
    let files = fs::read_dir(folder.join("database")).unwrap().map(|file| file.unwrap().path());
    let logs: Vec<PathBuf> = files.filter(|path| path.extension().is_some_and(|extension| extension == "log")).collect();
    let [log] = &logs[..] else { panic!("{logs:?}") };
    log.clone()
}

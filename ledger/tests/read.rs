//! What a log that goes on no more has left is read without its keys, and without a byte being changed.
#![allow(clippy::unwrap_used)]

mod common;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use common::*;
use exhibit_ledger::{Candidate, Ledger, LedgerError, Options, Refusal};
use exhibit_tlog::{LogVerifier, NoteSigner, leaf_hash, verify_consistency};

/// Every file, with its length and when it was changed. RocksDB opens a diagnostic log of its own (`LOG`), which is nobody's.
fn files(folder: &Path) -> BTreeMap<PathBuf, (u64, std::time::SystemTime)> {
    let mut files = BTreeMap::new();
    for file in std::fs::read_dir(folder).unwrap().map(Result::unwrap) {
        let (path, known) = (file.path(), file.metadata().unwrap());
        if known.is_dir() {
            files.extend(self::files(&path));
        } else if !file.file_name().to_string_lossy().starts_with("LOG") {
            files.insert(path, (known.len(), known.modified().unwrap()));
        }
    }
    files
}

fn logged_bytes(folder: &Path) -> u64 {
    let is_log = |path: &&PathBuf| path.extension().is_some_and(|extension| extension == "log");
    files(folder).iter().filter(|(path, _)| is_log(path)).map(|(_, (bytes, _))| bytes).sum()
}

#[test]
fn an_ended_log_is_read_without_its_keys_and_nothing_is_changed() {
    let folder = exhibit_power_loss::scratch();
    let ledger = open(folder.path());
    let mut chain = Chain::new("a");
    append_all(&ledger, (0..600).map(|_| chain.next(100))).into_iter().for_each(|admitted| drop(admitted.unwrap()));
    assert!(logged_bytes(folder.path()) > 0);
    let last = Candidate { is_last: true, ..chain.next(10) };
    ledger.append(last).unwrap();
    let (note, head) = ledger.checkpoint().unwrap();
    drop(ledger);
    assert_eq!(logged_bytes(folder.path()), 0, "whoever reads it has the end of its write-ahead log in memory");

    let before = files(folder.path());
    // Several at once, as the successors of successors have them.
    let [first, second] = [(); 2].map(|()| Ledger::open_to_read(folder.path(), &verifier()).unwrap());
    for ledger in [&first, &second] {
        assert_eq!(verify_all(ledger).len(), 601);
        assert_eq!((ledger.checkpoint().unwrap(), ledger.is_ended().unwrap()), ((note.clone(), head.clone()), true));
        let proof = ledger.consistency(300, 601).unwrap().unwrap();
        verify_consistency(300, &ledger.root_at(300).unwrap().unwrap(), 601, &head.root, &proof).unwrap();
        let refused = ledger.append(chain.clone().next(10)).unwrap_err();
        assert!(matches!(refused, LedgerError::Refused(Refusal::Ended)), "{refused}");
    }
    drop((first, second));
    assert_eq!(files(folder.path()), before, "reading has changed what was read");

    let other = LogVerifier { keys: signers(2).iter().map(|signer| signer.verifier_key().clone()).collect(), ..verifier() };
    assert!(matches!(Ledger::open_to_read(folder.path(), &other), Err(LedgerError::WrongLog(_))));
    let nothing = exhibit_power_loss::scratch();
    assert!(Ledger::open_to_read(nothing.path(), &verifier()).is_err());
    assert!(files(nothing.path()).is_empty(), "a log was made by reading none");
}

/// What a crash left without a signature was never shown to anybody, and nobody signs it any more.
#[test]
fn what_no_checkpoint_covers_is_not_there() {
    let folder = exhibit_power_loss::scratch();
    let failing = FailingSigner::new(signers(1).remove(0), 1);
    let signers: Vec<Arc<dyn NoteSigner>> = vec![Arc::new(failing), signers(1).remove(1)];
    let ledger = Ledger::open(folder.path(), Options { signers, ..options() }).unwrap();
    let mut chain = Chain::new("a");
    let [first, unsigned] = [chain.next(10), chain.next(10)];
    ledger.append(first.clone()).unwrap();
    ledger.append(unsigned.clone()).unwrap_err();
    drop(ledger);
    let read = Ledger::open_to_read(folder.path(), &verifier()).unwrap();
    assert_eq!((read.size(), read.entry(1).unwrap(), read.place("a", 1).unwrap()), (1, None, None));
    assert_eq!(read.index_of(&leaf_hash(&unsigned.entry)).unwrap(), None);
    assert_eq!(read.head("a").unwrap().unwrap().next_seq, 1);
    assert_eq!(verify_all(&read), [leaf_hash(&first.entry)]);
}

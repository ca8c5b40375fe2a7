//! Every kind of damage is named, a check that was ended goes on, and one beside the writer finds none.

use std::fs;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use exhibit_ledger::fsck::{Claim, Damage, Fsck, Look, Owner};
use exhibit_ledger::rebuild::rebuild;
use exhibit_ledger::source::LedgerFolder;
use exhibit_ledger::{Candidate, LedgerError};
use exhibit_tlog::{Hash, leaf_hash};
use rocksdb::DB;

use crate::bench::{Reader, SIZE, bench, check, check_with, flipped, found, line, place_key, put, tile_key, with_database};
use crate::common::{Chain, open, options, verifier};
use crate::restored::note;

#[test]
fn a_whole_ledger_has_no_damage_and_its_owner_is_asked_of_every_entry() {
    let (_keep, folder) = bench();
    for threads in [1, 4] {
        let report = check_with(&folder, threads, None, &AtomicBool::new(false)).unwrap();
        assert_eq!((report.entries, report.is_complete, report.head.size), (SIZE, true, SIZE));
        assert_eq!(report.damages, [Damage::new("object", "of 77", "its owner says so")]);
    }
}

/// A name, the change, and what is to be found: part and name.
pub type Case = (&'static str, fn(&DB), &'static [(&'static str, &'static str)]);

pub const CASES: &[Case] = &[
    ("an altered entry", |db| flipped(db, "entries", &3_u64.to_be_bytes(), 5), &[("entry", "3")]),
    ("a missing entry", |db| put(db, "entries", &300_u64.to_be_bytes(), None), &[("entry", "300")]),
    ("an altered entry in the last bundle", |db| flipped(db, "entries", &699_u64.to_be_bytes(), 0), &[("entry", "699")]),
    ("an altered tile", |db| flipped(db, "tiles", &tile_key(0, 1), 77), &[("tile", "0/1")]),
    ("a missing tile", |db| put(db, "tiles", &tile_key(0, 0), None), &[("tile", "0/0")]),
    ("an altered tile at the edge", |db| flipped(db, "tiles", &tile_key(0, 2), 3), &[("tile", "0/2")]),
    ("an altered tile of level 1", |db| flipped(db, "tiles", &tile_key(1, 0), 3), &[("tile", "1/0")]),
    ("a missing leaf", |db| put(db, "leaves", &leaf_hash(&line("b", 0)).0, None), &[("leaf", "2")]),
    ("a leaf that leads elsewhere", |db| put(db, "leaves", &leaf_hash(&line("b", 0)).0, Some(&9_u64.to_be_bytes())), &[("leaf", "2")]),
    ("an altered identity", |db| flipped(db, "places", &place_key("a", 5), 71), &[("place", "a/5")]),
    ("a missing place", |db| put(db, "places", &place_key("a", 5), None), &[("chain", "a/6"), ("place", "a/5"), ("place", "all")]),
    (
        "a place without an entry",
        |db| put(db, "places", &place_key("d", 0), Some(&[0; 72])),
        &[("head", "d"), ("place", "all"), ("place", "d/0")],
    ),
    ("a missing head", |db| put(db, "heads", b"c", None), &[("head", "c")]),
    ("an altered head", |db| flipped(db, "heads", b"c", 20), &[("head", "c")]),
    ("a log that is said to have ended", |db| put(db, "meta", b"last", Some(&699_u64.to_be_bytes())), &[("last", "entry")]),
    ("an end in the middle", |db| put(db, "meta", b"last", Some(&3_u64.to_be_bytes())), &[("last", "entry")]),
    ("an end beyond all entries", |db| put(db, "meta", b"last", Some(&700_u64.to_be_bytes())), &[("last", "entry")]),
    ("the row of an end that is none", |db| put(db, "meta", b"last", Some(b"end")), &[("last", "entry")]),
    ("an altered peak", |db| flipped(db, "meta", b"tree", 20), &[("tree", "edge")]),
    ("a tree that is said to be smaller", |db| flipped(db, "meta", b"tree", 7), &[("tree", "edge")]),
    ("no tree", |db| put(db, "meta", b"tree", None), &[("tree", "edge")]),
    ("an entry behind the tree", |db| put(db, "entries", &700_u64.to_be_bytes(), Some(b"d 0 x")), &[("tree", "edge")]),
    ("the head of no chain", |db| put(db, "heads", b"z", Some(&[1; 48])), &[("head", "z")]),
];

#[test]
fn every_kind_of_damage_is_named() {
    for (defect, change, expected) in CASES {
        let (_keep, folder) = bench();
        with_database(&folder, change);
        let report = check(&folder);
        let names: Vec<_> = found(&report).into_iter().map(|(part, name)| (part, if part == "leaf" { "2" } else { name })).collect();
        assert_eq!(names, *expected, "{defect}: {:?}", report.damages);
        assert!(report.is_complete, "{defect}");
    }
}

#[test]
fn a_link_to_another_entry_than_the_one_before_is_named() {
    let (_keep, folder) = bench();
    let stop = AtomicBool::new(false);
    let fsck = Fsck { log: verifier(), owner: &Unlinked, threads: 2, bytes_per_s: None, state_file: None, progress: &|_| {}, stop: &stop };
    let report = fsck.run(&folder).unwrap();
    assert_eq!(found(&report), [("chain", "a/0"), ("chain", "b/5")]);
}

/// Reads two entries that do not follow what is before them, though the ledger was told that they do.
struct Unlinked;

impl Owner for Unlinked {
    fn claim(&self, entry: &[u8]) -> Result<Claim, String> {
        let claim = Reader.claim(entry)?;
        let is_wrong = [("a", 0), ("b", 5)].contains(&(claim.stream.as_str(), claim.seq));
        Ok(if is_wrong { Claim { prev: Hash([9; 32]), ..claim } } else { claim })
    }

    fn inspect(&self, _: u64, _: &[u8], _: &Look<'_>, _: &mut Vec<Damage>) {}
}

#[test]
fn a_table_file_with_a_flipped_bit_is_damage_and_not_the_end_of_the_check() {
    let (_keep, folder) = bench();
    drop(open(&folder));
    let mut damaged = 0;
    for file in fs::read_dir(folder.join("database")).unwrap().map(|file| file.unwrap().path()) {
        let mut bytes = fs::read(&file).unwrap();
        if file.extension().is_some_and(|extension| extension == "sst") && bytes.len() > 20_000 {
            // In its first blocks, which hold rows.
            bytes[5000] ^= 1;
            fs::write(&file, bytes).unwrap();
            damaged += 1;
        }
    }
    assert!(damaged > 0, "no table holds rows");
    let report = check(&folder);
    let is_named = |part: &str| report.damages.iter().any(|damage| damage.part == part && damage.defect.contains("checksum"));
    assert!(is_named("place") && is_named("tile") && report.is_complete, "{} damages", report.damages.len());
    // Rows that can be read are still of use.
    let (_keep, good) = bench();
    let (damaged, mirror) = (LedgerFolder::open(&folder).unwrap(), LedgerFolder::open(&good).unwrap());
    let new = folder.with_file_name("new");
    drop(rebuild(&new, options(), &note(&mirror), &[&damaged, &mirror], &mut Reader).unwrap());
    assert_eq!(found(&check(&new)), []);
}

#[test]
fn without_a_checkpoint_that_verifies_nothing_is_called_good() {
    let (_keep, folder) = bench();
    with_database(&folder, |db| flipped(db, "meta", b"checkpoint", 60));
    assert!(matches!(check_with(&folder, 1, None, &AtomicBool::new(false)), Err(LedgerError::Damaged(_))));
    let (_keep, folder) = bench();
    let others = Fsck {
        log: exhibit_tlog::LogVerifier { origin: "another.example/log".into(), ..verifier() },
        owner: &Reader,
        threads: 1,
        bytes_per_s: None,
        state_file: None,
        progress: &|_| {},
        stop: &AtomicBool::new(false),
    };
    assert!(matches!(others.run(&folder), Err(LedgerError::WrongLog(_))));
}

#[test]
fn a_check_that_was_ended_goes_on_where_it_was() {
    let (keep, folder) = bench();
    with_database(&folder, |db| flipped(db, "entries", &3_u64.to_be_bytes(), 5));
    let state = keep.path().join("fsck.state");
    let stop = AtomicBool::new(false);
    let asked = AtomicU64::new(0);
    let ending = Ending { asked: &asked, stop: &stop, at: 300 };
    let fsck = |owner| Fsck {
        log: verifier(),
        owner,
        threads: 1,
        bytes_per_s: None,
        state_file: Some(state.clone()),
        progress: &|_| {},
        stop: &stop,
    };
    let report = fsck(&ending).run(&folder).unwrap();
    assert_eq!((report.entries, report.is_complete), (256, false), "what an end cuts off was counted as checked");
    stop.store(false, Ordering::SeqCst);
    asked.store(0, Ordering::SeqCst);
    let patient = Ending { at: u64::MAX, ..ending };
    let report = fsck(&patient).run(&folder).unwrap();
    assert_eq!((report.entries, report.is_complete, found(&report)), (SIZE, true, vec![("entry", "3")]), "what was found before is kept");
    // All but entry 3, which can not be read: the bundle that was damaged is looked at again.
    assert_eq!(asked.load(Ordering::SeqCst), SIZE - 1);
    assert!(!state.exists());
    // What was repaired meanwhile is damaged no more, and what was checked is not checked again.
    fs::write(&state, format!("exhibit-fsck/2\t{SIZE}\t{}\t2\nagain\t0\n", report.head.root)).unwrap();
    with_database(&folder, |db| flipped(db, "entries", &3_u64.to_be_bytes(), 5));
    asked.store(0, Ordering::SeqCst);
    assert_eq!(found(&fsck(&patient).run(&folder).unwrap()), []);
    assert_eq!(asked.load(Ordering::SeqCst), 256 + SIZE - 512, "it began again from the start");
    // The state of another tree counts for nothing.
    with_database(&folder, |db| flipped(db, "entries", &3_u64.to_be_bytes(), 5));
    fs::write(&state, format!("exhibit-fsck/2\t512\t{}\t2\n", Hash([9; 32]))).unwrap();
    assert_eq!(found(&fsck(&patient).run(&folder).unwrap()), [("entry", "3")]);
}

/// Sets the stop after so many entries.
#[derive(Clone, Copy)]
struct Ending<'a> {
    asked: &'a AtomicU64,
    stop: &'a AtomicBool,
    at: u64,
}

impl Owner for Ending<'_> {
    fn claim(&self, entry: &[u8]) -> Result<Claim, String> {
        Reader.claim(entry)
    }

    fn inspect(&self, _: u64, _: &[u8], _: &Look<'_>, _: &mut Vec<Damage>) {
        if self.asked.fetch_add(1, Ordering::SeqCst) + 1 >= self.at {
            self.stop.store(true, Ordering::SeqCst);
        }
    }
}

#[test]
fn a_ledger_in_use_is_checked_beside_its_writer() {
    let (_keep, folder) = bench();
    let ledger = open(&folder);
    let mut chain = Chain::of(&ledger, "a");
    let is_done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while !is_done.load(Ordering::SeqCst) {
                ledger.append(chain.next(30)).unwrap();
            }
        });
        for _ in 0..5 {
            let report = check(&folder);
            assert_eq!(found(&report), [], "{:?}", report.damages);
            assert!(report.is_complete && report.entries >= SIZE);
        }
        is_done.store(true, Ordering::SeqCst);
    });
}

/// A chain that began in the log before this one: its first entry, and then what came in this one.
#[test]
fn a_chain_that_leaps_is_whole_where_its_owner_says_so() {
    let folder = exhibit_power_loss::scratch();
    let path = folder.path().join("ledger");
    let leap_in = |path: &Path, stream: &str| {
        let ledger = open(path);
        let mut chain = Chain::new(stream);
        let first = chain.next(30);
        chain.seq = 9;
        let tail = Candidate { may_leap: true, prev: leaf_hash(&line(stream, 8)), ..chain.next(30) };
        for candidate in [first, tail.clone(), chain.next(30)] {
            ledger.append(candidate).unwrap();
        }
        assert_eq!(ledger.place(stream, 5).unwrap(), None);
        // What it leapt over is refused, and the writer goes on.
        assert!(matches!(ledger.append(Chain { seq: 5, ..Chain::new(stream) }.next(30)), Err(LedgerError::Refused(_))));
        assert_eq!(ledger.head(stream).unwrap().unwrap().next_seq, 11);
        assert!(!ledger.append(tail).unwrap().new);
    };
    leap_in(&path, "leaper");
    assert_eq!(found(&check(&path)), []);
    let ledger = open(&path);
    assert_eq!(ledger.head("leaper").unwrap().unwrap().next_seq, 11);
    drop(ledger);
    // The owner knows nothing of a log before this one, for this chain.
    leap_in(&path, "holes");
    assert_eq!(found(&check(&path)), [("chain", "holes/9")]);
}

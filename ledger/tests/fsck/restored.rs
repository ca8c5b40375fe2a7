//! What is damaged, lost or behind is made whole from a mirror: of what hashes right, and of nothing else.

use std::fs;
use std::path::Path;

use exhibit_ledger::rebuild::{Describe, RebuildError, rebuild};
use exhibit_ledger::source::{LedgerFolder, Source, TileFolder};
use exhibit_ledger::{Candidate, Ledger, LedgerError, Options, Refusal};
use exhibit_tlog::tile::{BundleId, TileId};
use exhibit_tlog::{Checkpoint, Hash};

use crate::bench::{LAST_STREAM, Reader, SIZE, bench, check, flipped, found, ledger_of, put, with_database};
use crate::common::{self, Chain, append_all, copy, open, options, sealed_options, signers, verifier, verify_all};
use crate::damage::CASES;

/// Writes what a mirror of a tree of `size` would hold.
fn mirror(ledger: &Ledger, size: u64, folder: &Path) {
    let write = |path: String, bytes: Vec<u8>| {
        let path = folder.join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, bytes).unwrap();
    };
    let (mut level, mut hashes) = (0, size);
    while hashes > 0 {
        for index in 0..hashes.div_ceil(256) {
            let width = (hashes - index * 256).min(256) as u16;
            let tile = TileId { level, index, width };
            write(format!("tile/{}", tile.path()), ledger.tile(tile).unwrap().unwrap());
            if level == 0 {
                let bundle = BundleId { index, width };
                write(format!("tile/entries/{}", bundle.path()), ledger.bundle(bundle).unwrap().unwrap());
            }
        }
        (level, hashes) = (level + 1, hashes / 256);
    }
    let head = Checkpoint { origin: common::ORIGIN.into(), size, root: ledger.root_at(size).unwrap().unwrap() };
    let keys = signers(1);
    write("checkpoint".into(), head.sign(&keys.iter().map(|key| &**key).collect::<Vec<_>>(), 1).unwrap().into_bytes());
}

pub fn note(source: &dyn Source) -> String {
    source.checkpoint().unwrap()
}

#[test]
fn what_is_damaged_is_made_whole_from_a_mirror() {
    let (keep, folder) = bench();
    let good = verify_all(&open(&folder));
    let mirrored = keep.path().join("mirror");
    mirror(&open(&folder), SIZE, &mirrored);
    for (defect, change, _) in CASES {
        let (_keep, folder) = bench();
        with_database(&folder, change);
        let (damaged, mirror) = (LedgerFolder::open(&folder).unwrap(), TileFolder::new(&mirrored));
        let new = folder.with_file_name("new");
        let seal = folder.with_file_name("seal");
        let ledger = rebuild(&new, sealed_options(&seal), &note(&mirror), &[&damaged, &mirror], &mut Reader).unwrap();
        assert_eq!(verify_all(&ledger), good, "{defect}");
        drop(ledger);
        assert_eq!(found(&check(&new)), [], "{defect}");
        assert_eq!(fs::read_to_string(&seal).unwrap(), &*open(&new).checkpoint().unwrap().0, "{defect}: not sealed");
    }
}

#[test]
fn a_log_that_has_ended_takes_nothing_more_also_after_a_start_and_a_rebuild() {
    let folder = exhibit_power_loss::scratch();
    let (first, new) = (folder.path().join("ledger"), folder.path().join("new"));
    ledger_of(&first, 20);
    let last = Candidate { is_last: true, ..Chain::new(LAST_STREAM).next(30) };
    let behind = Chain::new("d").next(30);
    let assert_ended = |ledger: &Ledger| {
        assert!(ledger.is_ended().unwrap());
        let refused = ledger.append(behind.clone());
        assert!(matches!(refused, Err(LedgerError::Refused(Refusal::Ended))), "an entry came behind the last one");
        assert_eq!(ledger.append(last.clone()).unwrap().place.index, 20, "what is there is still answered");
        assert_eq!(ledger.size(), 21);
    };
    let ledger = open(&first);
    assert!(!ledger.is_ended().unwrap());
    // In one batch with what comes behind it, or in the one before.
    let outcomes = append_all(&ledger, [last.clone(), behind.clone()]);
    assert!(outcomes[0].is_ok() && matches!(outcomes[1], Err(LedgerError::Refused(Refusal::Ended))), "{outcomes:?}");
    assert_ended(&ledger);
    drop(ledger);
    assert_ended(&open(&first));
    assert_eq!(check(&first).damages, []);
    let whole = folder.path().join("copy");
    copy(&first, &whole);
    with_database(&whole, |db| put(db, "meta", b"last", None));
    assert_eq!(found(&check(&whole)), [("last", "entry")], "an end that was removed");
    let source = LedgerFolder::open(&first).unwrap();
    let rebuilt = rebuild(&new, options(), &note(&source), &[&source], &mut Reader).unwrap();
    assert_ended(&rebuilt);
}

#[test]
fn only_what_hashes_right_is_taken_from_a_mirror() {
    let (keep, folder) = bench();
    let mirrored = keep.path().join("mirror");
    mirror(&open(&folder), SIZE, &mirrored);
    // The mirror is wrong in one entry, which the ledger has; and the ledger in another, which the mirror has.
    let bundle = mirrored.join("tile/entries/000");
    let mut bytes = fs::read(&bundle).unwrap();
    bytes[10 * 32 + 5] ^= 1;
    fs::write(&bundle, bytes).unwrap();
    with_database(&folder, |db| flipped(db, "entries", &11_u64.to_be_bytes(), 5));
    let (damaged, mirror) = (LedgerFolder::open(&folder).unwrap(), TileFolder::new(&mirrored));
    let new = keep.path().join("new");
    for sources in [[&mirror as &dyn Source, &damaged], [&damaged, &mirror]] {
        let _ = fs::remove_dir_all(&new);
        drop(rebuild(&new, options(), &note(&mirror), &sources, &mut Reader).unwrap());
        assert_eq!(found(&check(&new)), []);
    }
    // Both wrong in the same entry: it is named, and nothing is made.
    with_database(&folder, |db| flipped(db, "entries", &10_u64.to_be_bytes(), 5));
    let damaged = LedgerFolder::open(&folder).unwrap();
    fs::remove_dir_all(&new).unwrap();
    let refused = rebuild(&new, options(), &note(&mirror), &[&damaged, &mirror], &mut Reader).err().unwrap();
    assert!(matches!(&refused, RebuildError::Missing { first, count: 1 } if first == &[10]), "{refused}");
    assert_eq!(open(&new).size(), 0);
}

#[test]
fn a_backup_is_brought_to_the_newest_head_and_never_forks() {
    let (keep, folder) = bench();
    let backup = keep.path().join("backup");
    let ledger = open(&folder);
    assert_eq!(ledger.backup(&backup).unwrap(), SIZE);
    assert!(ledger.backup(&backup).is_err(), "a backup was written over");
    assert_eq!(found(&check(&backup)), []);
    drop(ledger);
    ledger_of(&folder, SIZE + 300);
    let mirrored = keep.path().join("mirror");
    let ledger = open(&folder);
    mirror(&ledger, SIZE + 300, &mirrored);
    let good = verify_all(&ledger);
    drop(ledger);

    let mirror = TileFolder::new(&mirrored);
    let seal = keep.path().join("seal");
    fs::copy(mirrored.join("checkpoint"), &seal).unwrap();
    assert!(matches!(Ledger::open(&backup, sealed_options(&seal)), Err(LedgerError::Behind(_))), "a backup is behind until it is restored");
    // It was cut off half-way once, and goes on.
    let mut tiring = Tiring(100);
    assert!(matches!(rebuild(&backup, sealed_options(&seal), &note(&mirror), &[&mirror], &mut tiring), Err(RebuildError::Entry { .. })));
    assert!(matches!(Ledger::open(&backup, sealed_options(&seal)), Err(LedgerError::Behind(_))), "half restored is behind too");
    let restored = rebuild(&backup, sealed_options(&seal), &note(&mirror), &[&mirror], &mut Reader).unwrap();
    assert_eq!(verify_all(&restored), good);
    drop(restored);
    assert_eq!(Ledger::open(&backup, sealed_options(&seal)).unwrap().size(), SIZE + 300);

    // A folder that has gone another way since the backup is left alone.
    let forked = keep.path().join("forked");
    let other = open(&forked);
    append_all(
        &other,
        (0..10).map({
            let mut chain = Chain::new("z");
            move |_| chain.next(30)
        }),
    );
    drop(other);
    let refused = rebuild(&forked, options(), &note(&mirror), &[&mirror], &mut Reader).err().unwrap();
    assert!(matches!(refused, RebuildError::Fork { have: 10, .. }), "{refused}");
    assert_eq!(open(&forked).size(), 10);
}

/// Fails after so many entries.
struct Tiring(u64);

impl Describe for Tiring {
    fn describe(&mut self, ledger: &Ledger, first: u64, entries: &[Vec<u8>]) -> Result<Vec<Candidate>, String> {
        self.0 = self.0.checked_sub(1).ok_or("cut off")?;
        Reader.describe(ledger, first, &entries[..1])
    }

    fn progress(&mut self, _: u64, _: u64) {}
}

#[test]
fn a_head_or_an_entry_that_was_made_up_is_not_reached() {
    let (keep, folder) = bench();
    let source = LedgerFolder::open(&folder).unwrap();
    let head = verifier().verify(&note(&source)).unwrap();
    let sign = |head: &Checkpoint, seed| {
        let keys = signers(seed);
        head.sign(&keys.iter().map(|key| &**key).collect::<Vec<_>>(), 1).unwrap()
    };
    let new = keep.path().join("new");
    let refused = |note: &str, options: Options| rebuild(&new, options, note, &[&source], &mut Reader).err().unwrap();
    assert!(matches!(refused(&sign(&head, 2), options()), RebuildError::Head(_)), "another log's keys");
    let other_root = Checkpoint { root: Hash([7; 32]), ..head.clone() };
    assert!(matches!(refused(&sign(&other_root, 1), options()), RebuildError::Tree(SIZE)));
    let larger = Checkpoint { size: SIZE + 1, ..head };
    assert!(matches!(refused(&sign(&larger, 1), options()), RebuildError::Tree(_)));
    let refused = rebuild(&new, options(), &note(&source), &[&source], &mut Altering).err().unwrap();
    assert!(matches!(refused, RebuildError::Entry { index: 0, .. }), "{refused}");
    assert_eq!(open(&new).size(), 0, "an altered entry was signed");
}

/// Makes another entry of each.
struct Altering;

impl Describe for Altering {
    fn describe(&mut self, _: &Ledger, _: u64, entries: &[Vec<u8>]) -> Result<Vec<Candidate>, String> {
        Ok(vec![Reader::candidate(&[&entries[0][..], b"!"].concat())?])
    }

    fn progress(&mut self, _: u64, _: u64) {}
}

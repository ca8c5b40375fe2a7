//! Every kind of damage is named by fsck, and what is damaged is made whole again from a mirror: what hashes right, and nothing else.
#![allow(clippy::unwrap_used)]

#[path = "../common/mod.rs"]
mod common;
mod pace;

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use common::{Chain, append_all, copy, open, options, sealed_options, signers, verifier, verify_all};
use exhibit_ledger::fsck::{Claim, Damage, Fsck, Look, Owner, Report};
use exhibit_ledger::rebuild::{Describe, RebuildError, rebuild};
use exhibit_ledger::source::{LedgerFolder, Source, TileFolder};
use exhibit_ledger::{Candidate, Ledger, LedgerError, Options, Refusal};
use exhibit_tlog::tile::{BundleId, TileId};
use exhibit_tlog::{Checkpoint, Hash, leaf_hash};
use rocksdb::{DB, Options as RocksOptions, WriteBatch};

/// Two full tiles and a part of a third, at level 0.
const SIZE: u64 = 700;

/// Reads the entries that common::Chain makes.
struct Reader;

impl Reader {
    fn candidate(entry: &[u8]) -> Result<Candidate, String> {
        let text = str::from_utf8(entry).map_err(|error| error.to_string())?;
        let (stream, rest) = text.split_once(' ').ok_or("it has no stream")?;
        let seq: u64 = rest.split(' ').next().unwrap().parse().map_err(|_| "it has no seq")?;
        let prev = seq.checked_sub(1).map_or(Hash::default(), |before| leaf_hash(&line(stream, before)));
        let identity = leaf_hash(format!("identity {stream} {seq}").as_bytes());
        let annotations = vec![(format!("seq/{stream}/{seq:08}").into_bytes(), vec![])];
        Ok(Candidate {
            stream: stream.into(),
            seq,
            prev,
            identity,
            entry: entry.to_vec(),
            annotations,
            is_last: stream == LAST_STREAM,
            may_leap: LEAP.contains(&(stream, seq)),
        })
    }
}

/// The log before this one has what this chain leaps over.
const LEAP: [(&str, u64); 1] = [("leaper", 9)];
/// An entry of this chain ends the log.
const LAST_STREAM: &str = "last";

fn line(stream: &str, seq: u64) -> Vec<u8> {
    Chain { stream: stream.into(), seq, prev: Hash::default() }.next(30).entry
}

impl Owner for Reader {
    fn claim(&self, entry: &[u8]) -> Result<Claim, String> {
        let Candidate { stream, seq, prev, identity, is_last, .. } = Self::candidate(entry)?;
        let may_leap = LEAP.contains(&(&stream, seq));
        Ok(Claim { stream, seq, prev, identity, is_last, may_leap })
    }

    fn inspect(&self, index: u64, _: &[u8], look: &Look<'_>, damages: &mut Vec<Damage>) {
        if index == 77 {
            damages.push(Damage::new("object", "of 77", "its owner says so"));
        }
        look.read(1000);
    }
}

impl Describe for Reader {
    fn describe(&mut self, ledger: &Ledger, first: u64, entries: &[Vec<u8>]) -> Result<Vec<Candidate>, String> {
        assert_eq!(ledger.size(), first, "an entry was described before those before it were there");
        // Groups of several sizes.
        entries.iter().take(1 + first as usize % 100).map(|entry| Self::candidate(entry)).collect()
    }

    fn progress(&mut self, _: u64, _: u64) {}
}

fn ledger_of(folder: &Path, size: u64) {
    let ledger = open(folder);
    let mut chains = ["a", "b", "c"].map(|stream| Chain::of(&ledger, stream));
    let from = ledger.size();
    append_all(&ledger, (from..size).map(|index| chains[(index % 3) as usize].next(30)))
        .into_iter()
        .for_each(|outcome| drop(outcome.unwrap()));
}

/// The ledger `SIZE` entries long, made once and copied.
fn bench() -> (tempfile::TempDir, PathBuf) {
    static MADE: std::sync::OnceLock<tempfile::TempDir> = std::sync::OnceLock::new();
    let made = MADE.get_or_init(|| {
        let folder = exhibit_power_loss::scratch();
        ledger_of(&folder.path().join("ledger"), SIZE);
        folder
    });
    let folder = exhibit_power_loss::scratch();
    copy(made.path(), folder.path());
    let ledger = folder.path().join("ledger");
    (folder, ledger)
}

fn check(folder: &Path) -> Report {
    check_with(folder, 2, None, &AtomicBool::new(false)).unwrap()
}

fn check_with(folder: &Path, threads: usize, state_file: Option<PathBuf>, stop: &AtomicBool) -> Result<Report, LedgerError> {
    let fsck = Fsck { log: verifier(), owner: &Reader, threads, bytes_per_s: None, state_file, progress: &|_| {}, stop };
    fsck.run(folder)
}

/// What was found, beside what the owner says of entry 77.
fn found(report: &Report) -> Vec<(&str, &str)> {
    let damages = report.damages.iter().filter(|damage| damage.part != "object");
    damages.map(|damage| (damage.part.as_str(), damage.name.as_str())).collect()
}

fn with_database(folder: &Path, change: impl FnOnce(&DB)) {
    let families = ["default", "entries", "places", "heads", "leaves", "tiles", "annotations", "meta"];
    change(&DB::open_cf(&RocksOptions::default(), folder.join("database"), families).unwrap());
}

fn put(db: &DB, family: &str, key: &[u8], value: Option<&[u8]>) {
    let family = db.cf_handle(family).unwrap();
    let mut batch = WriteBatch::default();
    match value {
        Some(value) => batch.put_cf(family, key, value),
        None => batch.delete_cf(family, key),
    }
    db.write(batch).unwrap();
}

fn flipped(db: &DB, family: &str, key: &[u8], byte: usize) {
    let mut value = db.get_cf(db.cf_handle(family).unwrap(), key).unwrap().unwrap();
    value[byte] ^= 1;
    put(db, family, key, Some(&value));
}

fn tile_key(level: u8, index: u64) -> Vec<u8> {
    [&[level][..], &index.to_be_bytes()].concat()
}

fn place_key(stream: &str, seq: u64) -> Vec<u8> {
    [stream.as_bytes(), &[0], &seq.to_be_bytes()].concat()
}

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
type Case = (&'static str, fn(&DB), &'static [(&'static str, &'static str)]);

const CASES: &[Case] = &[
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

fn note(source: &dyn Source) -> String {
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

//! Each kind of damage is refused at start, by name of its defect.

use std::sync::Arc;

use exhibit_tlog::{Checkpoint, Ed25519NoteSigner, Hash, MlDsa44NoteSigner, NoteSigner, leaf_hash};
use rocksdb::{DB, WriteBatch};
use tempfile::TempDir;
use zeroize::Zeroizing;

use super::*;
use crate::database::{ENTRIES, FAMILIES, LEAVES, META, TILES};
use crate::head_file::HeadFile;
use crate::ledger::DATABASE_FOLDER;
use crate::store::{META_LAST, META_TREE};
use crate::{Candidate, EntryPlace, Ledger, LocalDisk, Options};

const ORIGIN: &str = "ledger.example.org/test";
/// Two full tiles at level 0 and 88 hashes in a third; the tail of 256 begins at 344, within the second.
const SIZE: u64 = 600;

#[test]
fn an_undamaged_ledger_opens() {
    let folder = ledger_of(SIZE);
    let ledger = Ledger::open(folder.path(), options()).unwrap();
    assert_eq!(ledger.size(), SIZE);
}

#[test]
fn a_truncated_database_is_refused() {
    let longer = ledger_of(SIZE + 1);
    let note = store(&longer).meta(META_CHECKPOINT).unwrap().unwrap();
    let folder = ledger_of(SIZE);
    store(&folder).write_checkpoint(&note).unwrap();
    assert_damaged(&folder, "601 entries was signed and only 600 are there");
}

#[test]
fn a_database_emptied_of_its_entries_is_refused() {
    let folder = ledger_of(SIZE);
    damage(&folder, |db| {
        for name in FAMILIES.iter().filter(|name| **name != META) {
            db.delete_range_cf(db.cf_handle(name).unwrap(), b"".as_slice(), [0xff; 40].as_slice()).unwrap();
        }
        db.delete_cf(db.cf_handle(META).unwrap(), META_TREE).unwrap();
    });
    assert_damaged(&folder, "600 entries was signed and only 0 are there");
}

#[test]
fn a_shrunk_size_is_refused() {
    let folder = ledger_of(SIZE);
    let shorter = store(&ledger_of(SIZE - 1)).tree().unwrap();
    let peaks = shorter.peaks().iter().flat_map(|peak| peak.0);
    let row: Vec<u8> = shorter.size().to_be_bytes().into_iter().chain(peaks).collect();
    damage(&folder, |db| put(db, META, META_TREE, &row));
    assert_damaged(&folder, "the tree has 599 entries and the last one that is stored is number 600");
}

#[test]
fn a_missing_tree_is_refused() {
    let folder = ledger_of(SIZE);
    damage(&folder, |db| db.delete_cf(db.cf_handle(META).unwrap(), META_TREE).unwrap());
    assert_damaged(&folder, "the tree has 0 entries and the last one that is stored is number 600");
}

#[test]
fn an_altered_entry_in_the_tail_is_refused() {
    for index in [SIZE - 256, SIZE - 1] {
        let folder = ledger_of(SIZE);
        flip(&folder, ENTRIES, &index.to_be_bytes(), 3);
        assert_damaged(&folder, &format!("entry {index} does not have the hash"));
    }
}

#[test]
fn a_missing_entry_in_the_tail_is_refused() {
    let folder = ledger_of(SIZE);
    damage(&folder, |db| db.delete_cf(db.cf_handle(ENTRIES).unwrap(), 400_u64.to_be_bytes()).unwrap());
    assert_damaged(&folder, "entry 400 is missing");
}

#[test]
fn a_missing_or_wrong_leaf_row_is_refused() {
    for wrong in [None, Some(7_u64)] {
        let folder = ledger_of(SIZE);
        damage(&folder, |db| {
            let leaf = leaf_hash(&entry(400)).0;
            match wrong {
                None => db.delete_cf(db.cf_handle(LEAVES).unwrap(), leaf).unwrap(),
                Some(index) => put(db, LEAVES, leaf, &index.to_be_bytes()),
            }
        });
        assert_damaged(&folder, "the leaf hash of entry 400 does not lead to it");
    }
}

#[test]
fn an_altered_tile_is_refused() {
    // Below the peaks: the tile that is not full, and the level above.
    for (level, index, byte) in [(0, 2, 0), (0, 2, 87 * 32), (1, 0, 0), (1, 0, 63)] {
        let folder = ledger_of(SIZE);
        flip(&folder, TILES, &tile_key(level, index), byte);
        assert_damaged(&folder, "the tiles do not lead to the root");
    }
}

#[test]
fn an_altered_tile_below_a_full_one_is_refused() {
    // Hash 300 is neither below a peak nor in the tail.
    let folder = ledger_of(SIZE);
    flip(&folder, TILES, &tile_key(0, 1), (300 - 256) * 32);
    assert_damaged(&folder, "tile 0/1 does not lead to its hash in the level above");
}

#[test]
fn a_tile_with_a_hash_too_many_is_refused() {
    let folder = ledger_of(SIZE);
    damage(&folder, |db| {
        let row = db.get_cf(db.cf_handle(TILES).unwrap(), tile_key(0, 2)).unwrap().unwrap();
        put(db, TILES, tile_key(0, 2), &[row, vec![7; 32]].concat());
    });
    assert_damaged(&folder, "tile 0/2 has 89 hashes and should have 88");
}

#[test]
fn a_missing_tile_is_refused() {
    for (level, index) in [(0, 2), (1, 0)] {
        let folder = ledger_of(SIZE);
        damage(&folder, |db| db.delete_cf(db.cf_handle(TILES).unwrap(), tile_key(level, index)).unwrap());
        assert_damaged(&folder, &format!("tile {level}/{index} is missing"));
    }
}

#[test]
fn altered_peaks_are_refused() {
    for peak in 0..SIZE.count_ones() as usize {
        let folder = ledger_of(SIZE);
        flip(&folder, META, META_TREE.as_bytes(), 8 + peak * 32);
        assert_damaged(&folder, "the tiles do not lead to the root that is stored for 600 entries");
    }
    let folder = ledger_of(SIZE);
    // One bit more in the size: one peak too few.
    flip(&folder, META, META_TREE.as_bytes(), 7);
    assert_damaged(&folder, "the row of the tree is malformed");
}

#[test]
fn a_checkpoint_signed_by_another_key_is_refused() {
    let folder = ledger_of(SIZE);
    let head = head_of(&folder);
    for signers in [signers(2), vec![signers(1).remove(0), signers(2).remove(1)], vec![signers(1).remove(0)], vec![signers(1).remove(1)]] {
        store(&folder).write_checkpoint(&sign(&head, &signers)).unwrap();
        assert_damaged(&folder, "the stored checkpoint does not verify");
    }
}

#[test]
fn a_checkpoint_of_another_log_is_refused() {
    let folder = ledger_of(SIZE);
    let head = Checkpoint { origin: "ledger.example.org/other".into(), ..head_of(&folder) };
    store(&folder).write_checkpoint(&sign(&head, &signers(1))).unwrap();
    assert_damaged(&folder, "the stored checkpoint does not verify");
}

#[test]
fn a_fork_is_refused() {
    let folder = ledger_of(SIZE);
    for size in [SIZE, SIZE - 1, 1] {
        let head = Checkpoint { size, root: Hash([7; 32]), ..head_of(&folder) };
        store(&folder).write_checkpoint(&sign(&head, &signers(1))).unwrap();
        assert_damaged(&folder, "it was forked");
    }
}

#[test]
fn a_removed_checkpoint_is_refused() {
    let folder = ledger_of(BATCH_ENTRIES_LIMIT as u64 + 1);
    damage(&folder, |db| db.delete_cf(db.cf_handle(META).unwrap(), META_CHECKPOINT).unwrap());
    assert_damaged(&folder, "a checkpoint was removed");
}

#[test]
fn a_database_behind_the_head_beside_it_is_refused() {
    let note = store(&ledger_of(SIZE + 1)).meta(META_CHECKPOINT).unwrap().unwrap();
    for size in [0, 1, SIZE] {
        let folder = ledger_of(size);
        HeadFile::open(folder.path(), Arc::new(LocalDisk)).unwrap().0.write(SIZE + 1, &note).unwrap();
        assert_damaged(&folder, &format!("601 entries was signed and only {size} are there"));
    }
}

#[test]
fn a_head_beside_the_database_that_is_forked_or_forged_is_refused() {
    let folder = ledger_of(SIZE);
    let forked = Checkpoint { size: SIZE - 1, root: Hash([7; 32]), ..head_of(&folder) };
    HeadFile::open(folder.path(), Arc::new(LocalDisk)).unwrap().0.write(SIZE - 1, &sign(&forked, &signers(1))).unwrap();
    assert_damaged(&folder, "it was forked");
    HeadFile::open(folder.path(), Arc::new(LocalDisk)).unwrap().0.write(SIZE, &sign(&head_of(&folder), &signers(2))).unwrap();
    assert_damaged(&folder, "does not verify");
}

#[test]
fn a_head_beside_the_database_that_is_newer_than_the_checkpoint_within_is_published() {
    let folder = ledger_of(SIZE);
    append_unsigned(&store(&folder), SIZE, 1);
    let tree = store(&folder).tree().unwrap();
    let note = sign(&Checkpoint { origin: ORIGIN.into(), size: tree.size(), root: tree.root() }, &signers(1));
    HeadFile::open(folder.path(), Arc::new(LocalDisk)).unwrap().0.write(tree.size(), &note).unwrap();
    assert_eq!(&*Ledger::open(folder.path(), options()).unwrap().checkpoint().unwrap().0, note);
}

#[test]
fn another_origin_is_refused_and_changes_nothing() {
    let folder = ledger_of(SIZE);
    assert_wrong_log(&folder, Options { origin: "ledger.example.org/other".into(), ..options() });
}

#[test]
fn other_keys_are_refused_and_change_nothing() {
    let folder = ledger_of(SIZE);
    for signers in [signers(2), signers(1)[..1].to_vec(), [signers(1), signers(2)].concat()] {
        assert_wrong_log(&folder, Options { signers, ..options() });
    }
    let turned = Options { signers: signers(1).into_iter().rev().collect(), ..options() };
    assert!(Ledger::open(folder.path(), turned).is_ok(), "the order of the keys in the configuration does not matter");
}

#[test]
fn a_database_of_another_format_is_refused() {
    let folder = ledger_of(SIZE);
    damage(&folder, |db| put(db, META, META_FORMAT, b"exhibit-ledger/2"));
    let refused = Ledger::open(folder.path(), options()).err().unwrap();
    assert!(matches!(&refused, LedgerError::WrongLog(text) if text.contains("format")), "{refused}");
    for key in [META_FORMAT, META_ORIGIN, META_KEYS] {
        let folder = ledger_of(SIZE);
        damage(&folder, |db| db.delete_cf(db.cf_handle(META).unwrap(), key).unwrap());
        assert_damaged(&folder, "is missing");
    }
}

#[test]
fn entries_that_a_crash_left_unsigned_are_signed() {
    for unsigned in [1, 256, 1000] {
        for signed in [0, SIZE] {
            let folder = ledger_of(signed);
            append_unsigned(&store(&folder), signed, unsigned);
            let ledger = Ledger::open(folder.path(), options()).unwrap();
            assert_eq!(ledger.size(), signed + unsigned);
            let (note, head) = ledger.checkpoint().unwrap();
            assert_eq!(Signing::new(options()).unwrap().log.verify(&note), Ok(head.clone()));
            let leaves: Vec<Hash> = (0..head.size).map(|index| leaf_hash(&entry(index))).collect();
            assert_eq!(head.root, root_of(&leaves));
            assert_eq!(ledger.head("a").unwrap().unwrap().next_seq, head.size);
            drop(ledger);
            assert_eq!(store(&folder).meta(META_CHECKPOINT).unwrap().as_deref(), Some(&*note), "signed, but not kept");
        }
    }
}

#[test]
fn entries_behind_the_one_that_ended_the_log_are_refused() {
    let folder = ledger_of(SIZE);
    damage(&folder, |db| put(db, META, META_LAST, &(SIZE - 1).to_be_bytes()));
    Ledger::open(folder.path(), options()).unwrap();
    damage(&folder, |db| put(db, META, META_LAST, &(SIZE - 2).to_be_bytes()));
    assert_damaged(&folder, "the log has ended with entry 598, and has 600 entries");
    damage(&folder, |db| put(db, META, META_LAST, b"599"));
    assert_damaged(&folder, "the row of the last entry is malformed");
}

#[test]
fn an_altered_entry_that_a_crash_left_unsigned_is_not_signed() {
    let folder = ledger_of(SIZE);
    append_unsigned(&store(&folder), SIZE, 1000);
    flip(&folder, ENTRIES, &SIZE.to_be_bytes(), 3);
    assert_damaged(&folder, "entry 600 does not have the hash");
}

fn options() -> Options {
    Options { origin: ORIGIN.into(), signers: signers(1), clock: Arc::new(|| 1_795_132_800), batch_entries_max: 256, seals: vec![] }
}

fn signers(seed: u8) -> Vec<Arc<dyn NoteSigner>> {
    let seed = Zeroizing::new([seed; 32]);
    vec![Arc::new(Ed25519NoteSigner::new(ORIGIN, &seed).unwrap()), Arc::new(MlDsa44NoteSigner::new(ORIGIN, &seed).unwrap())]
}

fn sign(head: &Checkpoint, signers: &[Arc<dyn NoteSigner>]) -> String {
    let signers: Vec<&dyn NoteSigner> = signers.iter().map(|signer| &**signer).collect();
    head.sign(&signers, 1_795_132_800).unwrap()
}

fn entry(index: u64) -> Vec<u8> {
    format!("entry {index}").into_bytes()
}

/// A signed ledger of so many entries, closed again.
fn ledger_of(size: u64) -> TempDir {
    let folder = exhibit_power_loss::scratch();
    let store = store(&folder);
    let signing = Signing::new(options()).unwrap();
    store.create(&signing.log.origin, &keys_text(&signing.log)).unwrap();
    if size > 0 {
        append_unsigned(&store, 0, size);
        store.write_checkpoint(&Signing::new(options()).unwrap().sign(&store.tree().unwrap()).unwrap().note).unwrap();
    }
    folder
}

/// What the writer does up to the moment when it would sign.
fn append_unsigned(store: &Store, first: u64, count: u64) {
    let prev = |index: u64| index.checked_sub(1).map_or(Hash::default(), |before| leaf_hash(&entry(before)));
    let candidates: Vec<Candidate> = (first..first + count)
        .map(|index| Candidate {
            stream: "a".into(),
            seq: index,
            prev: prev(index),
            identity: Hash([3; 32]),
            entry: entry(index),
            annotations: vec![],
            is_last: false,
            may_leap: false,
        })
        .collect();
    let placed = candidates
        .iter()
        .map(|candidate| (candidate, EntryPlace { index: candidate.seq, leaf: leaf_hash(&candidate.entry), identity: candidate.identity }));
    let placed: Vec<(&Candidate, EntryPlace)> = placed.collect();
    let mut edge = read_edge(store, &store.tree().unwrap()).unwrap();
    let tiles = edge.append(placed.iter().map(|(_, place)| place.leaf));
    store.write_entries(&placed, &tiles, edge.frontier()).unwrap();
}

fn store(folder: &TempDir) -> Store {
    Store::open(&folder.path().join(DATABASE_FOLDER), LogTail::MustBeWhole, Arc::new(LocalDisk)).unwrap().unwrap()
}

fn head_of(folder: &TempDir) -> Checkpoint {
    Checkpoint::parse_unverified(&store(folder).meta(META_CHECKPOINT).unwrap().unwrap()).unwrap()
}

fn tile_key(level: u8, index: u64) -> Vec<u8> {
    [&[level][..], &index.to_be_bytes()].concat()
}

fn damage(folder: &TempDir, change: impl FnOnce(&DB)) {
    change(store(folder).raw());
}

fn put(db: &DB, family: &str, key: impl AsRef<[u8]>, value: &[u8]) {
    let mut batch = WriteBatch::default();
    batch.put_cf(db.cf_handle(family).unwrap(), key, value);
    db.write(batch).unwrap();
}

/// Changes one bit of a row.
fn flip(folder: &TempDir, family: &str, key: &[u8], byte: usize) {
    damage(folder, |db| {
        let mut value = db.get_cf(db.cf_handle(family).unwrap(), key).unwrap().unwrap();
        value[byte] ^= 1;
        put(db, family, key, &value);
    });
}

fn assert_damaged(folder: &TempDir, what: &str) {
    let refused = Ledger::open(folder.path(), options()).err().expect("a damaged ledger was opened");
    assert!(matches!(&refused, LedgerError::Damaged(text) if text.contains(what)), "expected {what:?}: {refused}");
    assert!(refused.to_string().contains("restore"), "it does not say what to do: {refused}");
}

fn assert_wrong_log(folder: &TempDir, options_of_another: Options) {
    let refused = Ledger::open(folder.path(), options_of_another).err().expect("the database of another log was opened");
    assert!(matches!(refused, LedgerError::WrongLog(_)), "{refused}");
    assert!(Ledger::open(folder.path(), options()).is_ok(), "a refused start changed the database");
}

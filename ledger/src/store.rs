//! The rows in RocksDB (docs/formats/ledger.md): column families, keys, and the synced batch.
//!
//! It does not know which rows a signed checkpoint covers: who reads for others must look at indexes.

use std::cell::RefCell;
use std::collections::{BTreeMap, HashMap};
use std::path::Path;
use std::rc::Rc;
use std::sync::Arc;

use exhibit_tlog::tile::{TILE_WIDTH, encode_tile};
use exhibit_tlog::{Hash, HashReader, MerkleFrontier, root_of};
use rocksdb::{ColumnFamily, DB, Direction, ErrorKind, IteratorMode, WriteBatch, WriteOptions};

use crate::database::{self, ANNOTATIONS, ENTRIES, HEADS, LEAVES, LogTail, META, PLACES, TILES};
use crate::disk::{Disk, DiskWrite, LocalDisk};
use crate::edge::{TREE_LEVELS_PER_TILE, TileRow, TreeEdge};
use crate::{Candidate, LedgerError};

/// Where an entry is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EntryPlace {
    /// Index in the log.
    pub index: u64,
    /// Leaf hash.
    pub leaf: Hash,
    /// Identity as given with the candidate.
    pub identity: Hash,
}

/// The end of a chain.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StreamHead {
    /// Its name.
    pub stream: String,
    /// The seq that comes next.
    pub next_seq: u64,
    /// Leaf hash of the last entry.
    pub leaf: Hash,
}

/// A head as stored: with the index of the last entry, which tells whether a checkpoint covers it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct HeadRow {
    pub head: StreamHead,
    pub last_index: u64,
}

/// An annotation as stored: its newest value, and the one before if that was of an earlier batch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct AnnotationRow {
    /// The entry that wrote the newest value.
    pub index: u64,
    pub value: Vec<u8>,
    pub earlier: Option<Vec<u8>>,
}

impl AnnotationRow {
    /// The value in a ledger of `size` entries. There is never more than one batch beyond a checkpoint, so one earlier value is enough.
    pub fn value_at(self, size: u64) -> Option<Vec<u8>> {
        if self.index < size { Some(self.value) } else { self.earlier }
    }
}

/// The database. Opening it takes RocksDB's lock: one process has it.
pub(crate) struct Store {
    db: DB,
    disk: Arc<dyn Disk>,
}

type Rows<'a> = Box<dyn Iterator<Item = Result<(Box<[u8]>, Box<[u8]>), LedgerError>> + 'a>;

impl Store {
    /// `None` if records of the write-ahead log are damaged, and that may not be.
    pub fn open(folder: &Path, log_tail: LogTail, disk: Arc<dyn Disk>) -> Result<Option<Self>, LedgerError> {
        let opened = DB::open_cf_descriptors(&database::database_options(log_tail), folder, database::families());
        match opened {
            Ok(db) => Ok(Some(Self { db, disk })),
            Err(error) if log_tail == LogTail::MustBeWhole && error.kind() == ErrorKind::Corruption => Ok(None),
            Err(error) => Err(storage(error)),
        }
    }

    /// What the database would hold without the damaged end of its write-ahead log. Changes nothing.
    pub fn open_read_only(folder: &Path) -> Result<Self, LedgerError> {
        let options = database::database_options(LogTail::MayBeTorn);
        let db = DB::open_cf_descriptors_read_only(&options, folder, database::families(), false);
        Ok(Self { db: db.map_err(storage)?, disk: Arc::new(LocalDisk) })
    }

    /// The database as it is, beside whoever has it open for writing: tables stay readable though compaction removes them.
    pub fn open_beside(folder: &Path, log_tail: LogTail) -> Result<Self, LedgerError> {
        let mut options = database::database_options(log_tail);
        options.create_if_missing(false);
        options.set_max_open_files(database::OPEN_FILES_ALL);
        let mut failure = None;
        // A table may vanish between the list of tables and its opening: the next list does not have it.
        for _ in 0..OPEN_BESIDE_TRIES {
            match DB::open_cf_descriptors_read_only(&options, folder, database::families(), false) {
                Ok(db) => return Ok(Self { db, disk: Arc::new(LocalDisk) }),
                Err(error) => failure = Some(error),
            }
        }
        Err(storage(failure.expect("it was tried")))
    }

    /// A database that nobody writes to any more. A write-ahead log that was torn when the last one ended is read as far as it goes.
    pub fn open_to_read(folder: &Path) -> Result<Self, LedgerError> {
        let open = |log_tail| {
            let mut options = database::database_options(log_tail);
            options.create_if_missing(false);
            options.set_max_open_files(database::READ_FILES_MAX);
            DB::open_cf_descriptors_read_only(&options, folder, database::families_to_read(), false)
        };
        let db = open(LogTail::MustBeWhole).or_else(|_| open(LogTail::MayBeTorn));
        Ok(Self { db: db.map_err(storage)?, disk: Arc::new(LocalDisk) })
    }

    /// Puts what is in memory and in the write-ahead log into tables: whoever opens it then has nothing to read again.
    pub fn flush(&self) -> Result<(), LedgerError> {
        for name in database::FAMILIES {
            self.db.flush_cf(self.family(name)).map_err(storage)?;
        }
        Ok(())
    }

    /// Whether the ledger has no entry.
    pub fn is_without_entries(&self) -> Result<bool, LedgerError> {
        Ok(self.last_index()?.is_none() && self.tree()?.size() == 0)
    }

    pub fn entry(&self, index: u64) -> Result<Option<Vec<u8>>, LedgerError> {
        self.get(ENTRIES, index.to_be_bytes())
    }

    /// The entries from `first` on, `count` of them; damaged if one is missing.
    pub fn entries(&self, first: u64, count: u64) -> Result<Vec<Vec<u8>>, LedgerError> {
        let mut entries = Vec::new();
        self.each_entry(first, count, |entry| entries.push(entry.to_vec()))?;
        Ok(entries)
    }

    /// The same one by one, where they lie.
    pub fn each_entry(&self, first: u64, count: u64, mut seen: impl FnMut(&[u8])) -> Result<(), LedgerError> {
        let mut rows = self.db.raw_iterator_cf(self.family(ENTRIES));
        rows.seek(first.to_be_bytes());
        for index in first..first.saturating_add(count) {
            match rows.item() {
                Some((key, entry)) if key == index.to_be_bytes() => seen(entry),
                _ => {
                    rows.status().map_err(storage)?;
                    return Err(damaged(format_args!("entry {index} is missing")));
                }
            }
            rows.next();
        }
        Ok(())
    }

    /// The highest index that any entry has.
    pub fn last_index(&self) -> Result<Option<u64>, LedgerError> {
        let Some(row) = self.db.iterator_cf(self.family(ENTRIES), IteratorMode::End).next() else {
            return Ok(None);
        };
        let (key, _) = row.map_err(storage)?;
        read_u64(&key).map(Some).ok_or_else(|| damaged("an entry has a key that is no index"))
    }

    pub fn place(&self, stream: &str, seq: u64) -> Result<Option<EntryPlace>, LedgerError> {
        let Some(value) = self.get(PLACES, place_key(stream, seq))? else {
            return Ok(None);
        };
        decode_place(&value).map(Some).ok_or_else(|| damaged(format_args!("the row of place {seq} of a chain is malformed")))
    }

    /// The last place of a chain at or below `seq`, which is below its head, and its seq: behind what it has leapt over, its first.
    pub fn last_place_to(&self, stream: &str, seq: u64) -> Result<(u64, EntryPlace), LedgerError> {
        if let Some(place) = self.place(stream, seq)? {
            return Ok((seq, place));
        }
        match self.place(stream, 0)? {
            Some(first) if self.place(stream, 1)?.is_none() => Ok((0, first)),
            _ => Err(damaged(format_args!("the row of place {seq} of a chain is missing"))),
        }
    }

    pub fn index_of(&self, leaf: &Hash) -> Result<Option<u64>, LedgerError> {
        let Some(value) = self.get(LEAVES, leaf.0)? else {
            return Ok(None);
        };
        read_u64(&value).map(Some).ok_or_else(|| damaged(format_args!("the row of leaf {leaf} is malformed")))
    }

    pub fn head(&self, stream: &str) -> Result<Option<HeadRow>, LedgerError> {
        let Some(value) = self.get(HEADS, stream)? else {
            return Ok(None);
        };
        decode_head(stream.as_bytes(), &value).map(Some).ok_or_else(|| damaged("the row of a chain's head is malformed"))
    }

    /// All heads from the name `from` on, in order.
    pub fn heads(&self, from: &[u8]) -> impl Iterator<Item = Result<HeadRow, LedgerError>> {
        self.rows(HEADS, from).map(|row| {
            let (stream, value) = row?;
            decode_head(&stream, &value).ok_or_else(|| damaged("the row of a chain's head is malformed"))
        })
    }

    /// All annotations from the key `from` on, in order.
    pub fn annotations(&self, from: &[u8]) -> impl Iterator<Item = Result<(Vec<u8>, AnnotationRow), LedgerError>> {
        self.rows(ANNOTATIONS, from).map(|row| {
            let (key, value) = row?;
            let annotation = decode_annotation(&value).ok_or_else(|| damaged("the row of an annotation is malformed"))?;
            Ok((key.into_vec(), annotation))
        })
    }

    /// All places, a chain's in order.
    pub fn places(&self, from: &str) -> impl Iterator<Item = Result<(String, u64, EntryPlace), LedgerError>> {
        self.rows(PLACES, from.as_bytes()).map(|row| {
            let (key, value) = row?;
            decode_place_key(&key)
                .zip(decode_place(&value))
                .map(|((stream, seq), place)| (stream, seq, place))
                .ok_or_else(|| damaged("the row of a place is malformed"))
        })
    }

    /// Places of one chain from `seq` on, in order.
    pub fn places_of(&self, stream: &str, seq: u64) -> impl Iterator<Item = Result<(u64, EntryPlace), LedgerError>> {
        let chain = place_key(stream, 0)[..=stream.len()].to_vec();
        let rows =
            self.rows(PLACES, &place_key(stream, seq)).take_while(move |row| row.as_ref().map_or(true, |(key, _)| key.starts_with(&chain)));
        rows.map(|row| {
            let (key, value) = row?;
            let (_, seq) = decode_place_key(&key).ok_or_else(|| damaged("the row of a place is malformed"))?;
            decode_place(&value).map(|place| (seq, place)).ok_or_else(|| damaged("the row of a place is malformed"))
        })
    }

    /// The hashes so far of a tile.
    pub fn tile(&self, level: u8, index: u64) -> Result<Option<Vec<Hash>>, LedgerError> {
        let Some(value) = self.get(TILES, tile_key(level, index))? else {
            return Ok(None);
        };
        let hashes = decode_hashes(&value).filter(|hashes| (1..=usize::from(TILE_WIDTH)).contains(&hashes.len()));
        hashes.map(Some).ok_or_else(|| damaged(format_args!("the row of tile {level}/{index} is malformed")))
    }

    /// Size and peaks of the tree that is durable, signed or not.
    pub fn tree(&self) -> Result<MerkleFrontier, LedgerError> {
        let Some(value) = self.get(META, META_TREE)? else {
            return Ok(MerkleFrontier::default());
        };
        let (size, peaks) = value.split_at_checked(8).ok_or_else(|| damaged("the row of the tree is malformed"))?;
        let frontier = read_u64(size).zip(decode_hashes(peaks)).and_then(|(size, peaks)| MerkleFrontier::from_parts(size, peaks));
        frontier.ok_or_else(|| damaged("the row of the tree is malformed"))
    }

    /// The index of the entry that the log has ended with.
    pub fn last(&self) -> Result<Option<u64>, LedgerError> {
        let row = self.get(META, META_LAST)?;
        row.map(|row| read_u64(&row).ok_or_else(|| damaged("the row of the last entry is malformed"))).transpose()
    }

    pub fn meta(&self, key: &str) -> Result<Option<String>, LedgerError> {
        let text = self.get(META, key)?.map(String::from_utf8).transpose();
        text.map_err(|_| damaged(format_args!("the row of the {key} is malformed")))
    }

    /// Whether nothing at all is stored in the families that are not empty in a ledger with entries.
    pub fn is_blank(&self) -> Result<bool, LedgerError> {
        for family in database::FAMILIES {
            if let Some(row) = self.rows(family, &[]).next() {
                return row.map(|_| false);
            }
        }
        Ok(true)
    }

    /// Makes a blank database the one of a log, synced.
    pub fn create(&self, origin: &str, keys: &str) -> Result<(), LedgerError> {
        let mut batch = WriteBatch::default();
        let meta = self.family(META);
        batch.put_cf(meta, META_FORMAT, FORMAT);
        batch.put_cf(meta, META_ORIGIN, origin);
        batch.put_cf(meta, META_KEYS, keys);
        self.write(DiskWrite::Create, batch, &database::synced())
    }

    /// Writes new entries with all their rows, and the tree with them, in one synced batch: after a crash all are there or none.
    pub fn write_entries(&self, entries: &[(&Candidate, EntryPlace)], tiles: &[TileRow], tree: &MerkleFrontier) -> Result<(), LedgerError> {
        let entry_bytes: usize = entries.iter().map(|(candidate, _)| candidate.entry.len()).sum();
        let tile_bytes: usize = tiles.iter().map(|row| row.hashes.len() * size_of::<Hash>()).sum();
        let mut batch = WriteBatch::with_capacity_bytes(entry_bytes + tile_bytes + entries.len() * ENTRY_ROWS_BYTES);
        let mut heads = BTreeMap::new();
        for (candidate, place) in entries {
            batch.put_cf(self.family(ENTRIES), place.index.to_be_bytes(), &candidate.entry);
            heads.insert(candidate.stream.as_str(), (candidate.seq + 1, place));
        }
        // In the order of their keys, as they go into RocksDB's sorted memory: each search begins where the one before has ended, which
        // takes half the time. Of equal leaves the later one stays the later.
        let mut sorted: Vec<_> = entries.iter().collect();
        sorted.sort_by_key(|(candidate, _)| (candidate.stream.as_str(), candidate.seq));
        for (candidate, place) in &sorted {
            batch.put_cf(self.family(PLACES), place_key(&candidate.stream, candidate.seq), encode_place(place));
        }
        sorted.sort_unstable_by_key(|(_, place)| (place.leaf, place.index));
        for (_, place) in &sorted {
            batch.put_cf(self.family(LEAVES), place.leaf.0, place.index.to_be_bytes());
        }
        for (stream, (next_seq, last)) in heads {
            batch.put_cf(self.family(HEADS), stream, encode_head(next_seq, last));
        }
        for row in tiles {
            batch.put_cf(self.family(TILES), tile_key(row.level, row.index), encode_tile(&row.hashes));
        }
        self.put_annotations(&mut batch, entries)?;
        if let Some((_, place)) = entries.iter().find(|(candidate, _)| candidate.is_last) {
            batch.put_cf(self.family(META), META_LAST, place.index.to_be_bytes());
        }
        batch.put_cf(self.family(META), META_TREE, [tree.size().to_be_bytes().to_vec(), encode_tile(tree.peaks())].concat());
        self.write(DiskWrite::Entries, batch, &database::synced())
    }

    fn put_annotations(&self, batch: &mut WriteBatch, entries: &[(&Candidate, EntryPlace)]) -> Result<(), LedgerError> {
        let mut newest = BTreeMap::new();
        for (candidate, place) in entries {
            newest.extend(candidate.annotations.iter().map(|(key, value)| (key, (place.index, value))));
        }
        let family = self.family(ANNOTATIONS);
        for (key, (index, value)) in newest {
            let earlier =
                self.get(ANNOTATIONS, key)?.map(|row| decode_annotation(&row).ok_or_else(|| damaged("an annotation is malformed")));
            let earlier = earlier.transpose()?.map(|row| row.value);
            batch.put_cf(family, key, encode_annotation(&AnnotationRow { index, value: value.clone(), earlier }));
        }
        Ok(())
    }

    /// Keeps the newest signed checkpoint. Not synced by itself: the tree that it signs is synced already, so what a power cut can take is
    /// this note, and start signs the same tree again. It reaches the disk with the next batch.
    pub fn write_checkpoint(&self, note: &str) -> Result<(), LedgerError> {
        let mut batch = WriteBatch::default();
        batch.put_cf(self.family(META), META_CHECKPOINT, note);
        self.write(DiskWrite::Checkpoint, batch, &database::unsynced())
    }

    fn write(&self, what: DiskWrite, batch: WriteBatch, options: &WriteOptions) -> Result<(), LedgerError> {
        let mut batch = Some(batch);
        self.disk.perform(what, &mut || {
            let batch = batch.take().expect("a write is done once");
            self.db.write_opt(batch, options).map_err(storage)
        })
    }

    fn get(&self, family: &str, key: impl AsRef<[u8]>) -> Result<Option<Vec<u8>>, LedgerError> {
        self.db.get_cf(self.family(family), key).map_err(storage)
    }

    /// All rows of a family from a key on, in order.
    fn rows(&self, family: &str, from: &[u8]) -> Rows<'_> {
        let rows = self.db.iterator_cf(self.family(family), IteratorMode::From(from, Direction::Forward));
        Box::new(rows.map(|row| row.map_err(storage)))
    }

    fn family(&self, name: &str) -> &ColumnFamily {
        self.db.cf_handle(name).expect("every column family was opened or created")
    }

    /// The rows as they are: for backups, and for tests that damage them.
    pub fn raw(&self) -> &DB {
        &self.db
    }
}

/// Reads hashes of perfect subtrees from tile rows; reads each row once.
pub(crate) struct TileReader<'a> {
    store: &'a Store,
    rows: RefCell<HashMap<TilePosition, Rc<[Hash]>>>,
}

/// Level and index.
type TilePosition = (u8, u64);

impl<'a> TileReader<'a> {
    pub fn new(store: &'a Store) -> Self {
        Self { store, rows: RefCell::default() }
    }

    fn row(&self, level: u8, index: u64) -> Result<Rc<[Hash]>, LedgerError> {
        if let Some(row) = self.rows.borrow().get(&(level, index)) {
            return Ok(row.clone());
        }
        let row = self.store.tile(level, index)?.ok_or_else(|| damaged(format_args!("tile {level}/{index} is missing")))?;
        let row: Rc<[Hash]> = row.into();
        self.rows.borrow_mut().insert((level, index), row.clone());
        Ok(row)
    }
}

/// Hashes from the newest tiles, which are in memory, or else from tile rows.
pub(crate) struct NewestTiles<'a> {
    pub edge: &'a TreeEdge,
    pub rows: TileReader<'a>,
}

impl HashReader for NewestTiles<'_> {
    type Error = LedgerError;

    fn hash(&self, tree_level: u8, position: u64) -> Result<Hash, LedgerError> {
        self.edge.node(tree_level, position).map_or_else(|| self.rows.hash(tree_level, position), Ok)
    }
}

impl HashReader for TileReader<'_> {
    type Error = LedgerError;

    fn hash(&self, tree_level: u8, position: u64) -> Result<Hash, LedgerError> {
        let (level, height) = (tree_level / TREE_LEVELS_PER_TILE, tree_level % TREE_LEVELS_PER_TILE);
        // A subtree within a tile: 2^height of its hashes.
        let first = position << height;
        let (index, start) = (first / u64::from(TILE_WIDTH), (first % u64::from(TILE_WIDTH)) as usize);
        let row = self.row(level, index)?;
        let hashes = row.get(start..start + (1 << height));
        hashes.map(root_of).ok_or_else(|| damaged(format_args!("tile {level}/{index} is too short")))
    }
}

/// `stream || 0x00 || be64(seq)`: a name has no zero byte, so no two places share a key and a chain's places are in order.
fn place_key(stream: &str, seq: u64) -> Vec<u8> {
    [stream.as_bytes(), &[0], &seq.to_be_bytes()].concat()
}

fn decode_place_key(key: &[u8]) -> Option<(String, u64)> {
    let (stream, seq) = key.split_at_checked(key.len().checked_sub(8)?)?;
    let stream = stream.strip_suffix(&[0])?;
    Some((String::from_utf8(stream.to_vec()).ok()?, read_u64(seq)?))
}

/// `level || be64(index)`.
fn tile_key(level: u8, index: u64) -> [u8; 9] {
    let mut key = [level; 9];
    key[1..].copy_from_slice(&index.to_be_bytes());
    key
}

/// `be64(index) || leaf || identity`.
fn encode_place(place: &EntryPlace) -> Vec<u8> {
    [&place.index.to_be_bytes()[..], &place.leaf.0, &place.identity.0].concat()
}

fn decode_place(value: &[u8]) -> Option<EntryPlace> {
    let (index, hashes) = value.split_at_checked(8)?;
    let [leaf, identity] = decode_hashes(hashes)?.try_into().ok()?;
    Some(EntryPlace { index: read_u64(index)?, leaf, identity })
}

/// `be64(next seq) || leaf || be64(index of the last entry)`.
fn encode_head(next_seq: u64, last: &EntryPlace) -> Vec<u8> {
    [&next_seq.to_be_bytes()[..], &last.leaf.0, &last.index.to_be_bytes()].concat()
}

fn decode_head(stream: &[u8], value: &[u8]) -> Option<HeadRow> {
    let stream = String::from_utf8(stream.to_vec()).ok()?;
    let (next_seq, rest) = value.split_at_checked(8)?;
    let (leaf, last_index) = rest.split_at_checked(32)?;
    let head = StreamHead { stream, next_seq: read_u64(next_seq).filter(|next| *next > 0)?, leaf: Hash(leaf.try_into().ok()?) };
    Some(HeadRow { head, last_index: read_u64(last_index)? })
}

/// `be64(index) || be32(length) || value`, then nothing or `0x01 || earlier value`.
fn encode_annotation(row: &AnnotationRow) -> Vec<u8> {
    let length = u32::try_from(row.value.len()).expect("an annotation's length was checked with its candidate's form");
    let mut bytes = [&row.index.to_be_bytes()[..], &length.to_be_bytes(), &row.value].concat();
    if let Some(earlier) = &row.earlier {
        bytes.push(1);
        bytes.extend_from_slice(earlier);
    }
    bytes
}

fn decode_annotation(bytes: &[u8]) -> Option<AnnotationRow> {
    let (index, rest) = bytes.split_at_checked(8)?;
    let (length, rest) = rest.split_at_checked(4)?;
    let length = u32::from_be_bytes(length.try_into().ok()?);
    let (value, rest) = rest.split_at_checked(length as usize)?;
    let earlier = match rest.split_first() {
        None => None,
        Some((1, earlier)) => Some(earlier.to_vec()),
        Some(_) => return None,
    };
    Some(AnnotationRow { index: read_u64(index)?, value: value.to_vec(), earlier })
}

fn decode_hashes(bytes: &[u8]) -> Option<Vec<Hash>> {
    let (hashes, []) = bytes.as_chunks::<32>() else {
        return None;
    };
    Some(hashes.iter().copied().map(Hash).collect())
}

fn read_u64(bytes: &[u8]) -> Option<u64> {
    bytes.try_into().ok().map(u64::from_be_bytes)
}

fn storage(error: rocksdb::Error) -> LedgerError {
    LedgerError::Storage(error.into_string())
}

/// What is damaged, and what the operator does about it.
pub(crate) fn damaged(what: impl std::fmt::Display) -> LedgerError {
    LedgerError::Damaged(format!("{what}. {REMEDY}"))
}

const REMEDY: &str = "Keep this folder as it is for an investigation, and restore the newest backup beside it; \
    what was acknowledged since then has to be collected from its issuers";

/// About what an entry's other rows take in a batch: the room for them is got at once.
const ENTRY_ROWS_BYTES: usize = 256;

/// Compaction removes tables now and then, not three times in a moment.
const OPEN_BESIDE_TRIES: u32 = 3;

/// The format of the database, and the keys under `meta`.
pub(crate) const FORMAT: &str = "exhibit-ledger/1";
pub(crate) const META_FORMAT: &str = "format";
pub(crate) const META_ORIGIN: &str = "origin";
pub(crate) const META_KEYS: &str = "keys";
pub(crate) const META_TREE: &str = "tree";
pub(crate) const META_CHECKPOINT: &str = "checkpoint";
pub(crate) const META_LAST: &str = "last";

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    /// docs/formats/ledger.md gives the same bytes.
    #[test]
    fn rows_are_as_the_format_document_says() {
        let place = EntryPlace { index: 258, leaf: Hash([1; 32]), identity: Hash([2; 32]) };
        assert_eq!(place_key("a/b", 7), b"a/b\0\0\0\0\0\0\0\0\x07");
        assert_eq!(tile_key(2, 258), *b"\x02\0\0\0\0\0\0\x01\x02");
        assert_eq!(encode_place(&place), [&b"\0\0\0\0\0\0\x01\x02"[..], &[1; 32], &[2; 32]].concat());
        assert_eq!(encode_head(8, &place), [&b"\0\0\0\0\0\0\0\x08"[..], &[1; 32], b"\0\0\0\0\0\0\x01\x02"].concat());
        let first = AnnotationRow { index: 258, value: b"new".into(), earlier: None };
        assert_eq!(encode_annotation(&first), b"\0\0\0\0\0\0\x01\x02\0\0\0\x03new");
        let second = AnnotationRow { earlier: Some(b"old".into()), ..first };
        assert_eq!(encode_annotation(&second), b"\0\0\0\0\0\0\x01\x02\0\0\0\x03new\x01old");
    }

    #[test]
    fn rows_come_back_and_damaged_ones_do_not() {
        let place = EntryPlace { index: 258, leaf: Hash([1; 32]), identity: Hash([2; 32]) };
        assert_eq!(decode_place(&encode_place(&place)), Some(place));
        let head = StreamHead { stream: "a".into(), next_seq: 8, leaf: place.leaf };
        assert_eq!(decode_head(b"a", &encode_head(8, &place)), Some(HeadRow { head, last_index: 258 }));
        assert_eq!(decode_head(b"\xff", &encode_head(8, &place)), None, "a name that is not UTF-8");
        assert_eq!(decode_head(b"a", &encode_head(0, &place)), None, "an end before the beginning");
        for cut in 0..encode_place(&place).len() {
            assert_eq!(decode_place(&encode_place(&place)[..cut]), None);
        }
        for cut in 0..encode_head(8, &place).len() {
            assert_eq!(decode_head(b"a", &encode_head(8, &place)[..cut]), None);
        }
        for earlier in [None, Some(vec![]), Some(b"old".to_vec())] {
            let row = AnnotationRow { index: 5, value: b"new".into(), earlier: earlier.clone() };
            assert_eq!(decode_annotation(&encode_annotation(&row)), Some(row.clone()));
            assert_eq!(row.clone().value_at(5), earlier, "seen before its checkpoint");
            assert_eq!(row.value_at(6), Some(b"new".to_vec()));
        }
        assert_eq!(decode_annotation(b"\0\0\0\0\0\0\0\0\0\0\0\x04new"), None);
        assert_eq!(decode_annotation(b"\0\0\0\0\0\0\0\0\0\0\0\x03new\x02"), None);
    }
}

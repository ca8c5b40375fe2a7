//! Start: proves the edge of the tree against the last signed head, and refuses a tree that shrank, forked or is damaged.
//!
//! It does not read the whole ledger: what lies behind the last tile is judged by the roots above it, and in full by fsck.

use std::path::Path;
use std::sync::Arc;

use exhibit_tlog::tile::TILE_WIDTH;
use exhibit_tlog::{HashReader, LogVerifier, MerkleFrontier, leaf_hash, root_at, root_of};

use crate::checkpoint::{Published, Signing, keys_text};
use crate::database::LogTail;
use crate::disk::Disk;
use crate::edge::{TREE_LEVELS_PER_TILE, TreeEdge, tile_width};
use crate::sequencer::BATCH_ENTRIES_LIMIT;
use crate::store::{FORMAT, META_CHECKPOINT, META_FORMAT, META_KEYS, META_ORIGIN, Store, TileReader, damaged};
use crate::{HeadSeal, LedgerError, SealedHead};

/// Opens the database in `folder` for writing, its edge proven, and signs the entries that a crash has left durable but without a
/// checkpoint. `noted` is the checkpoint that was kept beside the database.
pub(crate) fn recover(
    folder: &Path,
    signing: &Signing,
    noted: Option<String>,
    disk: Arc<dyn Disk>,
    seals: &[Arc<dyn HeadSeal>],
) -> Result<(Store, Edge), LedgerError> {
    for seal in seals {
        seal.claim()?;
    }
    let store = open_store(folder, signing, noted.as_deref(), disk, seals)?;
    let is_new = store.is_blank()?;
    if !is_new {
        check_stored_log(&store, &signing.log)?;
    } else if noted.is_some() {
        return Err(damaged("a signed checkpoint lies beside the database, and the database is empty: it was lost"));
    }
    // All before the first is written: what one of them refuses leaves the others as they are.
    let sealed: Vec<Option<SealedHead>> = seals.iter().map(|seal| check_seal(&store, &**seal, is_new)).collect::<Result<_, _>>()?;
    // A new log seals its empty head before it is made, so that from then on a ledger without its seal, and a seal without its ledger, are
    // both found.
    for seal in seals.iter().zip(&sealed).filter(|(_, sealed)| sealed.is_none()).map(|(seal, _)| seal) {
        let empty = signing.sign(&MerkleFrontier::default())?;
        seal.write(&empty.head, &empty.note)?;
    }
    if is_new {
        store.create(&signing.log.origin, &keys_text(&signing.log))?;
    }
    let mut edge = prove_edge(&store, &signing.log, noted)?;
    let size = edge.tree.frontier().size();
    if let Some(published) = &edge.published {
        signing.know(published);
    }
    if edge.published.as_ref().is_none_or(|published| published.head.size < size) && size > 0 {
        edge.published = Some(sign_again(&store, signing, edge.tree.frontier())?);
    }
    if let Some(published) = &edge.published {
        // What is sealed already is not written again: the cells of a TPM wear.
        let is_sealed = |sealed: &Option<SealedHead>| sealed.is_some_and(|sealed| sealed.size == published.head.size);
        for seal in seals.iter().zip(&sealed).filter(|(_, sealed)| !is_sealed(sealed)).map(|(seal, _)| seal) {
            seal.write(&published.head, &published.note)?;
        }
    }
    Ok((store, edge))
}

/// The edge of a ledger, which holds.
#[derive(Debug)]
pub(crate) struct Edge {
    pub tree: TreeEdge,
    /// The newest checkpoint; `None` if the ledger is empty.
    pub published: Option<Published>,
}

/// A power cut can tear what was being written, and nobody was told of that; but a damaged record in the middle of the log looks the same to
/// RocksDB. So the rest is proven without changing anything first: it must reach to the newest checkpoint, and to what was sealed.
fn open_store(
    folder: &Path,
    signing: &Signing,
    noted: Option<&str>,
    disk: Arc<dyn Disk>,
    seals: &[Arc<dyn HeadSeal>],
) -> Result<Store, LedgerError> {
    if let Some(store) = Store::open(folder, LogTail::MustBeWhole, disk.clone())? {
        return Ok(store);
    }
    let rest = Store::open_read_only(folder)?;
    let edge = prove_edge(&rest, &signing.log, noted.map(str::to_owned))?;
    for seal in seals {
        check_seal(&rest, &**seal, false)?;
    }
    drop(rest);
    let size = edge.tree.frontier().size();
    tracing::warn!(size, "the end of the write-ahead log is torn, as by a power cut: dropping what was never acknowledged");
    let store = Store::open(folder, LogTail::MayBeTorn, disk)?;
    Ok(store.expect("only a log that must be whole is not opened for its damage"))
}

/// The head that a start would go on from: the newest checkpoint, or a new one where the tree has grown beyond it. Changes nothing.
pub(crate) fn starting_head(store: &Store, signing: &Signing, noted: Option<String>) -> Result<Option<Published>, LedgerError> {
    let edge = prove_edge(store, &signing.log, noted)?;
    let tree = edge.tree.frontier();
    if let Some(published) = &edge.published {
        signing.know(published);
    }
    let published = edge.published.filter(|published| published.head.size == tree.size());
    published.map_or_else(|| (tree.size() > 0).then(|| signing.sign(tree)).transpose(), |published| Ok(Some(published)))
}

/// All checks, without writing.
pub(crate) fn prove_edge(store: &Store, log: &LogVerifier, noted: Option<String>) -> Result<Edge, LedgerError> {
    check_stored_log(store, log)?;
    let tree = store.tree()?;
    check_last_entry(store, &tree)?;
    if let Some(last) = store.last()?.filter(|last| last.saturating_add(1) != tree.size()) {
        return Err(damaged(format_args!("the log has ended with entry {last}, and has {} entries", tree.size())));
    }
    if root_at(&TileReader::new(store), tree.size())? != tree.root() {
        return Err(damaged(format_args!("the tiles do not lead to the root that is stored for {} entries", tree.size())));
    }
    let edge = read_edge(store, &tree)?;
    let stored = check_checkpoint(store, log, &tree, store.meta(META_CHECKPOINT)?)?;
    let noted = check_checkpoint(store, log, &tree, noted)?;
    let published = [stored, noted].into_iter().flatten().max_by_key(|published| published.head.size);
    check_tail(store, &tree, published.as_ref().map_or(0, |published| published.head.size))?;
    Ok(Edge { tree: edge, published })
}

/// Before anything is signed, the tree must contain what was sealed. Gives what that is; only a new log may have nothing.
fn check_seal(store: &Store, seal: &dyn HeadSeal, is_new: bool) -> Result<Option<SealedHead>, LedgerError> {
    let size = store.tree()?.size();
    let Some(sealed) = seal.read()? else {
        if is_new {
            return Ok(None);
        }
        return Err(LedgerError::Behind(format!("it has {size} entries and nothing is sealed. {SEAL_REMEDY}")));
    };
    if sealed.size > size {
        let told = match seal.holder() {
            None => format!("{} entries were sealed and only {size} are there. {SEAL_REMEDY}", sealed.size),
            Some(holder) => format!("{holder} has seen {} entries and only {size} are there. {HELD_REMEDY}", sealed.size),
        };
        return Err(LedgerError::Behind(told));
    }
    if root_at(&TileReader::new(store), sealed.size)? != sealed.root {
        let told = match seal.holder() {
            None => format!("its first {} entries are not those that were sealed. {SEAL_REMEDY}", sealed.size),
            Some(holder) => format!("its first {} entries are not those that {holder} has seen. {HELD_REMEDY}", sealed.size),
        };
        return Err(LedgerError::Behind(told));
    }
    Ok(Some(sealed))
}

const HELD_REMEDY: &str = "This folder is an older copy, or has grown another way since one was made. Do not go on from here: heads beyond it \
    were signed, and going on would fork the log. Bring back the newest folder, restore the log from a mirror, or open a successor; see \
    docs/operations.md";

const SEAL_REMEDY: &str = "This folder is an older copy, or the seal is another log's. Do not go on from here: heads beyond it were signed, and \
    signing others would fork the log. Bring back the newest folder, or restore from a backup and a mirror (docs/operations.md)";

/// The database must be this log's.
pub(crate) fn check_stored_log(store: &Store, log: &LogVerifier) -> Result<(), LedgerError> {
    let (origin, keys) = (&log.origin, keys_text(log));
    let format = store.meta(META_FORMAT)?.ok_or_else(|| damaged("the row that names the format is missing"))?;
    if format != FORMAT {
        return Err(LedgerError::WrongLog(format!(
            "the database has the format {format:?} and this program knows {FORMAT:?}. Use the program that wrote it, or migrate"
        )));
    }
    let stored_origin = store.meta(META_ORIGIN)?.ok_or_else(|| damaged("the row that names the log is missing"))?;
    if stored_origin != *origin {
        return Err(LedgerError::WrongLog(format!(
            "the database is of the log {stored_origin:?} and the configuration names {origin:?}. Correct the folder or the origin"
        )));
    }
    let stored_keys = store.meta(META_KEYS)?.ok_or_else(|| damaged("the row that names the log's keys is missing"))?;
    if stored_keys != keys {
        return Err(LedgerError::WrongLog(format!(
            "the database was made with the note keys {stored_keys:?} and the configuration has {keys:?}. Configure the log's own keys; \
             a log with other keys is another log"
        )));
    }
    Ok(())
}

fn check_last_entry(store: &Store, tree: &MerkleFrontier) -> Result<(), LedgerError> {
    let entries = store.last_index()?.map_or(0, |last| last.saturating_add(1));
    if entries == tree.size() {
        return Ok(());
    }
    Err(damaged(format_args!("the tree has {} entries and the last one that is stored is number {entries}", tree.size())))
}

/// The rows that the next entries go to, each with exactly the hashes of this size, and the end of each level against the tile below it.
fn read_edge(store: &Store, tree: &MerkleFrontier) -> Result<TreeEdge, LedgerError> {
    let width = u64::from(TILE_WIDTH);
    let mut open = Vec::new();
    let (mut level, mut hashes) = (0, tree.size());
    while hashes > 0 {
        let (index, expected) = (hashes / width, usize::from(tile_width(level, hashes / width, tree.size())));
        let row = store.tile(level, index)?.unwrap_or_default();
        if row.len() != expected {
            return Err(damaged(format_args!("tile {level}/{index} has {} hashes and should have {expected}", row.len())));
        }
        open.push(row);
        if level > 0 {
            let below = store.tile(level - 1, hashes - 1)?.unwrap_or_default();
            let last = TileReader::new(store).hash(level * TREE_LEVELS_PER_TILE, hashes - 1)?;
            if root_of(&below) != last {
                return Err(damaged(format_args!("tile {}/{} does not lead to its hash in the level above", level - 1, hashes - 1)));
            }
        }
        level += 1;
        hashes /= width;
    }
    Ok(TreeEdge::new(tree.clone(), open))
}

/// A checkpoint must verify under this log's keys, and the tree must still be the one that it signs or have grown from it.
fn check_checkpoint(
    store: &Store,
    log: &LogVerifier,
    tree: &MerkleFrontier,
    note: Option<String>,
) -> Result<Option<Published>, LedgerError> {
    let Some(note) = note else {
        return Ok(None);
    };
    let head = log.verify(&note).map_err(|error| damaged(format_args!("the stored checkpoint does not verify: {error}")))?;
    if head.size > tree.size() {
        return Err(damaged(format_args!(
            "a checkpoint of {} entries was signed and only {} are there: the end of the ledger is lost",
            head.size,
            tree.size()
        )));
    }
    if root_at(&TileReader::new(store), head.size)? != head.root {
        return Err(damaged(format_args!("the tree does not contain the one of {} entries that was signed: it was forked", head.size)));
    }
    Ok(Some(Published { note: note.into(), head }))
}

/// Re-hashes the last tile's worth of entries, and whatever is not signed yet.
fn check_tail(store: &Store, tree: &MerkleFrontier, signed_size: u64) -> Result<(), LedgerError> {
    let unsigned = tree.size() - signed_size;
    if unsigned > BATCH_ENTRIES_LIMIT as u64 {
        return Err(damaged(format_args!(
            "{unsigned} entries are not covered by the stored checkpoint, more than one batch can hold: a checkpoint was removed"
        )));
    }
    let count = unsigned.max(u64::from(TILE_WIDTH)).min(tree.size());
    let first = tree.size() - count;
    let reader = TileReader::new(store);
    for (index, entry) in (first..).zip(store.entries(first, count)?) {
        let leaf = leaf_hash(&entry);
        if reader.hash(0, index)? != leaf {
            return Err(damaged(format_args!("entry {index} does not have the hash that the tree has for it")));
        }
        // The same bytes may have been admitted at a second place, whose index this row then names.
        match store.index_of(&leaf)? {
            Some(named) if named == index || (named < tree.size() && reader.hash(0, named)? == leaf) => {}
            _ => return Err(damaged(format_args!("the leaf hash of entry {index} does not lead to it"))),
        }
    }
    Ok(())
}

/// The process ended between a synced batch and its checkpoint: nobody was answered, but the entries are there to stay.
fn sign_again(store: &Store, signing: &Signing, tree: &MerkleFrontier) -> Result<Published, LedgerError> {
    let published = signing.sign(tree)?;
    store.write_checkpoint(&published.note)?;
    tracing::info!(size = published.head.size, "signed the entries that the last run had left without a checkpoint");
    Ok(published)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests;

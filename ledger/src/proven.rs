//! Tiles that are proven against a signed head, from sources that may be damaged, old or hostile.
//!
//! From the top down: the tiles at the right edge give the root together; below them every tile has its hash in the level above.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use exhibit_tlog::tile::{BundleId, TILE_WIDTH, TileId};
use exhibit_tlog::{Checkpoint, Hash, HashReader, leaf_hash, root_at, root_of};

use crate::edge::{TREE_LEVELS_PER_TILE, tile_width};
use crate::source::Source;

/// Hashes by level and index.
type Rows = HashMap<(u8, u64), Arc<[Hash]>>;

/// The tiles of a signed tree.
pub(crate) struct ProvenTiles<'a> {
    head: Checkpoint,
    sources: &'a [&'a dyn Source],
    /// The edge, and what was asked for above level 0.
    known: Mutex<Rows>,
}

impl<'a> ProvenTiles<'a> {
    /// `head` was verified. `None` if the sources together do not have the edge of its tree.
    pub fn new(head: Checkpoint, sources: &'a [&'a dyn Source]) -> Option<Self> {
        let tiles = Self { head, sources, known: Mutex::default() };
        let size = tiles.head.size;
        let mut candidates = Vec::new();
        for level in 0..u8::MAX {
            let hashes = size.checked_shr(u32::from(level) * u32::from(TREE_LEVELS_PER_TILE)).unwrap_or(0);
            if hashes == 0 {
                break;
            }
            let (index, width) = (hashes / u64::from(TILE_WIDTH), tile_width(level, hashes / u64::from(TILE_WIDTH), size));
            if width > 0 {
                let mut rows: Vec<_> = tiles.told(level, index, width).chain(tiles.computed(level, index, width)).collect();
                rows.dedup();
                candidates.push(((level, index), rows));
            }
        }
        // Few levels of few candidates: every choice is tried until one gives the signed root.
        let choices: usize = candidates.iter().map(|(_, rows)| rows.len()).product();
        let right = (0..choices.min(CHOICES_MAX)).find_map(|mut choice| {
            let mut edge = Edge(HashMap::new());
            for (place, rows) in &candidates {
                edge.0.insert(*place, rows[choice % rows.len()].clone());
                choice /= rows.len();
            }
            (root_at(&edge, size).ok()? == tiles.head.root).then_some(edge.0)
        })?;
        *tiles.known.lock().unwrap_or_else(PoisonError::into_inner) = right;
        Some(tiles)
    }

    /// The tree's head.
    pub fn head(&self) -> &Checkpoint {
        &self.head
    }

    /// The hashes of a tile of the tree, all that it has at this size; `None` if no source has them right.
    pub fn tile(&self, level: u8, index: u64) -> Option<Arc<[Hash]>> {
        if let Some(known) = self.known.lock().unwrap_or_else(PoisonError::into_inner).get(&(level, index)) {
            return Some(known.clone());
        }
        // What is not the edge is full, and has its hash above.
        if tile_width(level, index, self.head.size) != TILE_WIDTH {
            return None;
        }
        let width = u64::from(TILE_WIDTH);
        let above = self.tile(level + 1, index / width)?[(index % width) as usize];
        let is_right = |row: &Arc<[Hash]>| root_of(row) == above;
        let right = self.told(level, index, TILE_WIDTH).find(is_right);
        let right = right.or_else(|| self.computed(level, index, TILE_WIDTH).find(is_right))?;
        if level > 0 {
            self.known.lock().unwrap_or_else(PoisonError::into_inner).insert((level, index), right.clone());
        }
        Some(right)
    }

    /// Whether the tree contains the one of so many entries with this root.
    pub fn has(&self, size: u64, root: &Hash) -> bool {
        size <= self.head.size && self.root_at(size) == Some(*root)
    }

    /// Root of the first `size` entries; `None` where a tile is missing.
    pub fn root_at(&self, size: u64) -> Option<Hash> {
        root_at(self, size).ok()
    }

    /// The entries of the bundle `index`, each `None` that no source has right; `None` as a whole if its tile is not proven.
    pub fn entries(&self, index: u64) -> Option<Vec<Option<Vec<u8>>>> {
        let leaves = self.tile(0, index)?;
        let mut found: Vec<Option<Vec<u8>>> = vec![None; leaves.len()];
        for source in self.sources {
            if found.iter().all(Option::is_some) {
                break;
            }
            let entries = source.entries(BundleId { index, width: leaves.len() as u16 });
            for ((leaf, found), entry) in leaves.iter().zip(&mut found).zip(entries) {
                if found.is_none() {
                    *found = entry.filter(|entry| leaf_hash(entry) == *leaf);
                }
            }
        }
        Some(found)
    }

    /// What the sources say that a tile is.
    fn told(&self, level: u8, index: u64, width: u16) -> impl Iterator<Item = Arc<[Hash]>> {
        let rows = self.sources.iter().filter_map(move |source| source.tile(TileId { level, index, width }));
        rows.filter(move |row| row.len() >= usize::from(width)).map(move |mut row| {
            row.truncate(usize::from(width));
            row.into()
        })
    }

    /// What a tile would be by what the sources have below it.
    fn computed(&self, level: u8, index: u64, width: u16) -> impl Iterator<Item = Arc<[Hash]>> {
        self.sources.iter().filter_map(move |source| computed(*source, level, index, width).map(Arc::from))
    }
}

/// The hashes of a tile from what a source has below it.
fn computed(source: &dyn Source, level: u8, index: u64, width: u16) -> Option<Vec<Hash>> {
    if level == 0 {
        let entries = source.entries(BundleId { index, width });
        let leaves: Option<Vec<Hash>> = entries.into_iter().take(usize::from(width)).map(|entry| Some(leaf_hash(&entry?))).collect();
        return leaves.filter(|leaves| leaves.len() == usize::from(width));
    }
    let first = index * u64::from(TILE_WIDTH);
    let below = (first..first + u64::from(width)).map(|index| source.tile(TileId { level: level - 1, index, width: TILE_WIDTH }));
    below.map(|row| row.filter(|row| row.len() == usize::from(TILE_WIDTH)).map(|row| root_of(&row))).collect()
}

impl HashReader for ProvenTiles<'_> {
    type Error = ();

    fn hash(&self, tree_level: u8, position: u64) -> Result<Hash, ()> {
        hash_in(tree_level, position, |level, index| self.tile(level, index))
    }
}

/// The tiles at the right edge, not proven yet.
struct Edge(Rows);

impl HashReader for Edge {
    type Error = ();

    fn hash(&self, tree_level: u8, position: u64) -> Result<Hash, ()> {
        hash_in(tree_level, position, |level, index| self.0.get(&(level, index)).cloned())
    }
}

/// A subtree within a tile: 2^height of its hashes.
fn hash_in(tree_level: u8, position: u64, tile: impl Fn(u8, u64) -> Option<Arc<[Hash]>>) -> Result<Hash, ()> {
    let (level, height) = (tree_level / TREE_LEVELS_PER_TILE, tree_level % TREE_LEVELS_PER_TILE);
    let (first, width) = (position << height, u64::from(TILE_WIDTH));
    let row = tile(level, first / width).ok_or(())?;
    let start = (first % width) as usize;
    row.get(start..start + (1 << height)).map(root_of).ok_or(())
}

/// Four levels (four thousand million entries) of six candidates each: a ledger and two mirrors.
const CHOICES_MAX: usize = 1296;

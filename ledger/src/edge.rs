//! The growing edge of the tree: its peaks, and its newest tiles with all that is within them.
//!
//! It does not know where rows are kept.

use std::collections::VecDeque;
use std::fmt;
use std::sync::Arc;

use exhibit_tlog::tile::TILE_WIDTH;
use exhibit_tlog::{Hash, MerkleFrontier, node_hash};

/// Tree levels from one level of tiles to the next: a full tile is 2^8 hashes.
pub(crate) const TREE_LEVELS_PER_TILE: u8 = 8;

/// All hashes so far of one tile.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct TileRow {
    /// In tiles: 8 levels of the tree each.
    pub level: u8,
    /// Within the level.
    pub index: u64,
    /// 1 to 256 of them.
    pub hashes: Vec<Hash>,
}

/// What appending needs to know of the tree, and what receipts of the newest entries are made of.
#[derive(Clone, Default, PartialEq, Eq)]
pub(crate) struct TreeEdge {
    frontier: MerkleFrontier,
    levels: Vec<EdgeLevel>,
}

/// The newest tiles of one level.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct EdgeLevel {
    /// The index of the tile that is not full yet.
    open_index: u64,
    /// It may have nothing in it.
    open: TileNodes,
    /// Those before it, the newest last: receipts of entries in them are asked for soon after.
    full: VecDeque<Arc<TileNodes>>,
}

/// The perfect subtrees within a tile so far, by their height: 0 are its hashes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct TileNodes([Vec<Hash>; TREE_LEVELS_PER_TILE as usize]);

impl TileNodes {
    fn of(row: &[Hash]) -> Self {
        let mut nodes = Self::default();
        nodes.0[0] = row.to_vec();
        for height in 1..nodes.0.len() {
            nodes.0[height] = nodes.0[height - 1].as_chunks().0.iter().map(|[left, right]| node_hash(left, right)).collect();
        }
        nodes
    }
}

/// Thousands of hashes would tell nobody anything.
impl fmt::Debug for TreeEdge {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TreeEdge").field("size", &self.frontier.size()).finish_non_exhaustive()
    }
}

impl TreeEdge {
    /// `open` are the hashes of the last tile of each level that is not full, from level 0 up.
    pub fn new(frontier: MerkleFrontier, open: Vec<Vec<Hash>>) -> Self {
        let level = |(level, row): (u32, &Vec<Hash>)| EdgeLevel {
            open_index: frontier.size().checked_shr((level + 1) * u32::from(TREE_LEVELS_PER_TILE)).unwrap_or(0),
            open: TileNodes::of(row),
            full: VecDeque::new(),
        };
        let levels = (0..).zip(&open).map(level).collect();
        Self { frontier, levels }
    }

    /// The peaks, and with them size and root.
    pub fn frontier(&self) -> &MerkleFrontier {
        &self.frontier
    }

    /// Appends leaves; gives every tile row that has changed, as it is after the last of them.
    pub fn append(&mut self, leaves: impl IntoIterator<Item = Hash>) -> Vec<TileRow> {
        let mut rows = Vec::new();
        let mut changed = Vec::new();
        let levels = &mut self.levels;
        for leaf in leaves {
            self.frontier.push(leaf, |tree_level, position, hash| {
                let (level, height) = (usize::from(tree_level / TREE_LEVELS_PER_TILE), usize::from(tree_level % TREE_LEVELS_PER_TILE));
                if height > 0 {
                    levels[level].open.0[height].push(hash);
                    return;
                }
                // The root of a tile is the last of its nodes that is told, and a hash of the tile above.
                if level > 0 {
                    rows.push(levels[level - 1].close(level - 1));
                    changed[level - 1] = false;
                }
                if levels.len() <= level {
                    levels.push(EdgeLevel::default());
                }
                changed.resize(levels.len(), false);
                changed[level] = true;
                let open = &mut levels[level];
                let before = open.open_index * u64::from(TILE_WIDTH) + open.open.0[0].len() as u64;
                assert_eq!(before, position, "the open tile holds all hashes before this one");
                open.open.0[0].push(hash);
            });
        }
        let still_open = levels.iter().enumerate().filter(|(level, _)| changed.get(*level) == Some(&true));
        rows.extend(still_open.map(|(level, tiles)| TileRow::of(level, tiles.open_index, &tiles.open)));
        rows
    }

    /// A perfect subtree, if it is within the tiles that are known here.
    pub fn node(&self, tree_level: u8, position: u64) -> Option<Hash> {
        let (level, height) = (tree_level / TREE_LEVELS_PER_TILE, tree_level % TREE_LEVELS_PER_TILE);
        let tiles = self.levels.get(usize::from(level))?;
        let per_tile = u64::from(TILE_WIDTH) >> height;
        let back = tiles.open_index.checked_sub(position / per_tile)?;
        let nodes = match back {
            0 => &tiles.open,
            back => tiles.full.get(tiles.full.len().checked_sub(usize::try_from(back).ok()?)?)?,
        };
        nodes.0[usize::from(height)].get((position % per_tile) as usize).copied()
    }
}

impl EdgeLevel {
    /// The open tile has become full: the next one is open.
    fn close(&mut self, level: usize) -> TileRow {
        let full = std::mem::take(&mut self.open);
        let row = TileRow::of(level, self.open_index, &full);
        self.open_index += 1;
        if self.full.len() == FULL_TILES_KEPT {
            self.full.pop_front();
        }
        self.full.push_back(Arc::new(full));
        row
    }
}

impl TileRow {
    fn of(level: usize, index: u64, nodes: &TileNodes) -> Self {
        Self { level: level as u8, index, hashes: nodes.0[0].clone() }
    }
}

/// Of each level. Two batches of the largest size and more, 16 KiB each.
const FULL_TILES_KEPT: usize = 64;

/// How many hashes the tile at `level`, `index` has in a tree of `size` leaves: 0 to 256.
pub(crate) fn tile_width(level: u8, index: u64, size: u64) -> u16 {
    let hashes = size.checked_shr(u32::from(level) * u32::from(TREE_LEVELS_PER_TILE)).unwrap_or(0);
    let before = index.saturating_mul(u64::from(TILE_WIDTH));
    hashes.saturating_sub(before).min(u64::from(TILE_WIDTH)) as u16
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::collections::BTreeMap;

    use exhibit_tlog::{HashReader, leaf_hash, prove_inclusion, root_of, verify_inclusion};

    use super::*;

    /// Nothing but what is in memory.
    impl HashReader for TreeEdge {
        type Error = (u8, u64);

        fn hash(&self, tree_level: u8, position: u64) -> Result<Hash, (u8, u64)> {
            self.node(tree_level, position).ok_or((tree_level, position))
        }
    }

    /// Also across the ends of tiles at both levels, and for an edge that was read from the rows again.
    #[test]
    fn receipts_of_the_newest_entries_are_made_in_memory() {
        const LEAVES: usize = 256 * 256 + 700;
        let leaves: Vec<Hash> = (0..LEAVES).map(|index| leaf_hash(&index.to_be_bytes())).collect();
        for (before, group) in [(0, 1), (1, 255), (200, 300), (255, 1), (256, 4096), (65_530, 6), (65_530, 7), (65_536, 700)] {
            let mut edge = TreeEdge::default();
            edge.append(leaves[..before].iter().copied());
            let rows = edge.levels.iter().map(|tiles| tiles.open.0[0].clone()).collect();
            let mut restored = TreeEdge::new(edge.frontier().clone(), rows);
            for edge in [&mut edge, &mut restored] {
                edge.append(leaves[before..before + group].iter().copied());
                let size = (before + group) as u64;
                let root = root_of(&leaves[..before + group]);
                for (index, leaf) in leaves.iter().enumerate().take(before + group).skip(before) {
                    let path = prove_inclusion(edge, index as u64, size);
                    let path = path.unwrap_or_else(|missing| panic!("{before} + {group}: entry {index} needs {missing:?} from elsewhere"));
                    verify_inclusion(leaf, index as u64, size, &path, &root).unwrap();
                }
            }
        }
    }

    #[test]
    fn what_is_not_in_memory_is_not_made_up() {
        let mut edge = TreeEdge::default();
        edge.append((0..30_000_u64).map(|index| leaf_hash(&index.to_be_bytes())));
        let kept_from = 30_000 / 256 - FULL_TILES_KEPT as u64;
        assert_eq!(edge.node(0, kept_from * 256), Some(leaf_hash(&(kept_from * 256).to_be_bytes())));
        for (tree_level, position) in [(0, kept_from * 256 - 1), (7, 0), (0, 30_000), (3, 30_000 / 8), (16, 0), (200, 0)] {
            assert_eq!(edge.node(tree_level, position), None, "level {tree_level}, {position}");
        }
    }

    /// However the leaves are grouped, the rows are those that RFC 6962's definition gives, at each size.
    #[test]
    fn rows_are_the_roots_of_the_tiles_below_however_leaves_are_grouped() {
        const LEAVES: u64 = 256 * 256 + 300;
        let leaves: Vec<Hash> = (0..LEAVES).map(|index| leaf_hash(&index.to_be_bytes())).collect();
        for group in [1, 7, 256, 1000] {
            let mut edge = TreeEdge::default();
            let mut rows = BTreeMap::new();
            for batch in leaves.chunks(group) {
                for row in edge.append(batch.iter().copied()) {
                    rows.insert((row.level, row.index), row.hashes);
                }
            }
            assert_eq!(edge.frontier().root(), root_of(&leaves));
            let level_0: Vec<Hash> = rows.range((0, 0)..(1, 0)).flat_map(|(_, hashes)| hashes.clone()).collect();
            assert_eq!(level_0, leaves);
            for level in [1, 2] {
                let above: Vec<Hash> = rows.range((level, 0)..(level + 1, 0)).flat_map(|(_, hashes)| hashes.clone()).collect();
                let below = rows.range((level - 1, 0)..(level, 0)).filter(|(_, hashes)| hashes.len() == 256);
                let expected: Vec<Hash> = below.map(|(_, hashes)| root_of(hashes)).collect();
                assert_eq!(above, expected, "level {level}, groups of {group}");
            }
            for ((level, index), hashes) in &rows {
                assert_eq!(hashes.len(), usize::from(tile_width(*level, *index, LEAVES)));
            }
        }
    }

    #[test]
    fn tiles_that_can_not_exist_have_no_width() {
        assert_eq!(tile_width(0, 0, 0), 0);
        assert_eq!(tile_width(0, 2, 512), 0);
        assert_eq!(tile_width(0, 2, 513), 1);
        assert_eq!(tile_width(1, 0, 255), 0);
        assert_eq!(tile_width(1, 0, 513), 2);
        assert_eq!(tile_width(8, 0, u64::MAX), 0);
        assert_eq!(tile_width(63, 0, u64::MAX), 0);
        assert_eq!(tile_width(255, u64::MAX, u64::MAX), 0);
        assert_eq!(tile_width(0, u64::MAX, u64::MAX), 0);
    }
}

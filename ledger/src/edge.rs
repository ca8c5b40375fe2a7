//! The growing edge of the tree: its peaks, and the tile rows that are not full yet.
//!
//! It does not know where rows are kept.

use exhibit_tlog::tile::TILE_WIDTH;
use exhibit_tlog::{Hash, MerkleFrontier};

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

/// What appending needs to know of the tree.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct TreeEdge {
    frontier: MerkleFrontier,
    /// Per level of tiles, the hashes of the tile that is not full yet; may be none.
    open: Vec<Vec<Hash>>,
}

impl TreeEdge {
    /// `open` are the hashes of the last tile of each level that is not full, from level 0 up.
    pub fn new(frontier: MerkleFrontier, open: Vec<Vec<Hash>>) -> Self {
        Self { frontier, open }
    }

    /// The peaks, and with them size and root.
    pub fn frontier(&self) -> &MerkleFrontier {
        &self.frontier
    }

    /// Appends leaves; gives every tile row that has changed, as it is after the last of them.
    pub fn append(&mut self, leaves: impl IntoIterator<Item = Hash>) -> Vec<TileRow> {
        let width = u64::from(TILE_WIDTH);
        let mut full = Vec::new();
        let mut changed = Vec::new();
        let open = &mut self.open;
        for leaf in leaves {
            self.frontier.push(leaf, |tree_level, position, hash| {
                if tree_level % TREE_LEVELS_PER_TILE != 0 {
                    return;
                }
                let level = tree_level / TREE_LEVELS_PER_TILE;
                let slot = usize::from(level);
                if open.len() <= slot {
                    open.push(Vec::new());
                }
                changed.resize(open.len(), None);
                let hashes = &mut open[slot];
                assert_eq!(hashes.len() as u64, position % width, "the open tile holds all hashes before this one");
                hashes.push(hash);
                changed[slot] = Some(position / width);
                if hashes.len() == usize::from(TILE_WIDTH) {
                    full.push(TileRow { level, index: position / width, hashes: std::mem::take(hashes) });
                    changed[slot] = None;
                }
            });
        }
        let still_open = changed
            .iter()
            .enumerate()
            .filter_map(|(slot, index)| index.map(|index| TileRow { level: slot as u8, index, hashes: open[slot].clone() }));
        full.extend(still_open);
        full
    }
}

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

    use exhibit_tlog::{leaf_hash, root_of};

    use super::*;

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

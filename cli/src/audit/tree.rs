//! The tree of what was judged: its edge, and the root of every full bundle, 32 bytes for 256 entries; so that the root of any earlier size
//! can be computed without the entries.
//!
//! It does not know where it is kept.

use std::collections::VecDeque;

use exhibit_tlog::tile::{TILE_HEIGHT, TILE_WIDTH};
use exhibit_tlog::{EMPTY_ROOT, Hash, HashReader, MerkleFrontier, root_at, root_of};

/// Bundles whose leaves are remembered: issuers observe heads of the last minutes.
const RECENT_MAX: usize = 64;
/// Entries of a bundle.
const WIDTH: u64 = TILE_WIDTH as u64;

/// What was judged so far, by its hashes.
#[derive(Default)]
pub struct Tree {
    frontier: MerkleFrontier,
    /// By height above bundles: the roots of perfect subtrees.
    levels: Vec<Vec<Hash>>,
    /// Leaves of the bundle at the edge.
    open: Vec<Hash>,
    /// Leaves of the last full bundles, and of those that were asked for: (bundle, leaves).
    recent: VecDeque<(u64, Vec<Hash>)>,
}

/// The leaves of this bundle have to be got first (see `Tree::remember`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MissingLeaves(pub u64);

impl Tree {
    /// From what was kept: the roots of full bundles, and the leaves after them. `None` if more leaves are open than a bundle has.
    pub fn restore(bundles: &[Hash], open: Vec<Hash>) -> Option<Self> {
        if open.len() as u64 >= WIDTH {
            return None;
        }
        let mut tree = Self::default();
        for root in bundles {
            tree.complete(*root);
        }
        // A perfect subtree's peaks are those of the tree over the roots of the bundles.
        let mut above = MerkleFrontier::default();
        bundles.iter().for_each(|root| above.push(*root, |_, _, _| {}));
        let size = bundles.len() as u64 * WIDTH;
        tree.frontier = MerkleFrontier::from_parts(size, above.peaks().to_vec()).expect("as many bits are set in 256 n as in n");
        for leaf in &open {
            tree.frontier.push(*leaf, |_, _, _| {});
        }
        tree.open = open;
        Some(tree)
    }

    /// Entries.
    pub fn size(&self) -> u64 {
        self.frontier.size()
    }

    /// Root of all.
    pub fn root(&self) -> Hash {
        self.frontier.root()
    }

    /// Leaves behind the last full bundle.
    pub fn open(&self) -> &[Hash] {
        &self.open
    }

    /// Roots of the full bundles from the given one on.
    pub fn bundles_from(&self, first: usize) -> &[Hash] {
        self.levels.first().and_then(|roots| roots.get(first..)).unwrap_or_default()
    }

    /// Takes the next entry's leaf.
    pub fn push(&mut self, leaf: Hash) {
        self.frontier.push(leaf, |_, _, _| {});
        self.open.push(leaf);
        if self.open.len() as u64 == WIDTH {
            let leaves = std::mem::take(&mut self.open);
            self.complete(root_of(&leaves));
            let bundle = self.size() / WIDTH - 1;
            self.keep(bundle, leaves);
        }
    }

    /// The root at an earlier size.
    pub fn root_at(&self, size: u64) -> Result<Hash, MissingLeaves> {
        if size == self.size() {
            return Ok(self.root());
        }
        if size == 0 { Ok(EMPTY_ROOT) } else { root_at(self, size) }
    }

    /// Takes leaves of an earlier bundle, if they are its leaves.
    pub fn remember(&mut self, bundle: u64, leaves: Vec<Hash>) -> bool {
        let known = usize::try_from(bundle).ok().and_then(|bundle| self.levels.first()?.get(bundle));
        let fits = leaves.len() as u64 == WIDTH && known == Some(&root_of(&leaves));
        if fits {
            self.keep(bundle, leaves);
        }
        fits
    }

    fn keep(&mut self, bundle: u64, leaves: Vec<Hash>) {
        self.recent.push_back((bundle, leaves));
        if self.recent.len() > RECENT_MAX {
            self.recent.pop_front();
        }
    }

    /// A full bundle's root, and every perfect subtree that it completes.
    fn complete(&mut self, root: Hash) {
        let mut hash = root;
        for level in 0.. {
            if self.levels.len() == level {
                self.levels.push(Vec::new());
            }
            let row = &mut self.levels[level];
            row.push(hash);
            if !row.len().is_multiple_of(2) {
                return;
            }
            hash = exhibit_tlog::node_hash(&row[row.len() - 2], &row[row.len() - 1]);
        }
    }
}

impl HashReader for Tree {
    type Error = MissingLeaves;

    fn hash(&self, level: u8, index: u64) -> Result<Hash, MissingLeaves> {
        if let Some(above) = level.checked_sub(TILE_HEIGHT) {
            let row = self.levels.get(usize::from(above)).map(Vec::as_slice).unwrap_or_default();
            return Ok(*usize::try_from(index).ok().and_then(|index| row.get(index)).expect("only hashes of this tree are asked for"));
        }
        let first = index << level;
        let bundle = first / WIDTH;
        let leaves = if bundle == self.size() / WIDTH {
            &self.open
        } else {
            &self.recent.iter().rev().find(|(number, _)| *number == bundle).ok_or(MissingLeaves(bundle))?.1
        };
        let offset = usize::try_from(first % WIDTH).expect("below 256");
        Ok(root_of(&leaves[offset..offset + (1 << level)]))
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use exhibit_tlog::leaf_hash;

    fn leaves(count: u64) -> Vec<Hash> {
        (0..count).map(|number| leaf_hash(&number.to_be_bytes())).collect()
    }

    #[test]
    fn roots_of_all_sizes_are_known_and_survive_being_kept() {
        let leaves = leaves(1500);
        let mut tree = Tree::default();
        leaves.iter().for_each(|leaf| tree.push(*leaf));
        let restored = Tree::restore(tree.bundles_from(0), tree.open().to_vec()).unwrap();
        assert_eq!((restored.size(), restored.root()), (1500, root_of(&leaves)));
        for size in [0, 1, 2, 255, 256, 257, 511, 512, 700, 1024, 1279, 1280, 1281, 1499, 1500] {
            assert_eq!(tree.root_at(size), Ok(root_of(&leaves[..size as usize])), "{size}");
        }
        assert_eq!(restored.root_at(1281), Ok(root_of(&leaves[..1281])), "the open bundle's leaves were kept");
        assert_eq!(restored.root_at(1280), Ok(root_of(&leaves[..1280])), "no leaf is needed at the edge of a bundle");
        let mut restored = restored;
        assert_eq!(restored.root_at(300), Err(MissingLeaves(1)));
        assert!(!restored.remember(1, leaves[..256].to_vec()), "another bundle's leaves were taken");
        assert!(!restored.remember(1, leaves[256..300].to_vec()));
        assert!(restored.remember(1, leaves[256..512].to_vec()));
        assert_eq!(restored.root_at(300), Ok(root_of(&leaves[..300])));
        assert!(Tree::restore(&[], leaves[..256].to_vec()).is_none());
    }

    #[test]
    fn memory_is_that_of_the_hashes_of_bundles() {
        let mut tree = Tree::default();
        leaves(256 * (RECENT_MAX as u64 + 10)).into_iter().for_each(|leaf| tree.push(leaf));
        assert_eq!(tree.recent.len(), RECENT_MAX);
        assert_eq!(tree.root_at(300), Err(MissingLeaves(1)), "leaves were held for ever");
    }
}

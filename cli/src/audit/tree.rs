//! The tree of what was judged: its edge, and the root of every full bundle, 32 bytes for 256 entries; so that the root of any earlier size
//! can be computed from those and the leaves of one bundle.
//!
//! It does not know where it is kept: leaves that were saved are read by whoever has them.

use std::cell::RefCell;

use exhibit_tlog::tile::{TILE_HEIGHT, TILE_WIDTH};
use exhibit_tlog::{EMPTY_ROOT, Hash, HashReader, MerkleFrontier, root_at, root_of};

/// Entries of a bundle.
const WIDTH: u64 = TILE_WIDTH as u64;

/// What was judged so far, by its hashes.
#[derive(Clone, Default)]
pub struct Tree {
    frontier: MerkleFrontier,
    /// By height above bundles: the roots of perfect subtrees.
    levels: Vec<Vec<Hash>>,
    /// Leaves of the bundle at the edge.
    open: Vec<Hash>,
    /// Leaves that were not saved yet.
    unsaved: Vec<Hash>,
}

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
        self.unsaved.push(leaf);
        self.open.push(leaf);
        if self.open.len() as u64 == WIDTH {
            let leaves = std::mem::take(&mut self.open);
            self.complete(root_of(&leaves));
        }
    }

    /// Leaves that were not saved yet: the last ones of all.
    pub fn unsaved(&self) -> &[Hash] {
        &self.unsaved
    }

    /// They are saved now, and are held no longer.
    pub fn saved(&mut self) {
        self.unsaved.clear();
    }

    /// The root at an earlier size. `read` gives so many saved leaves from an index on; where they are not those of this tree, it is asked
    /// for the error.
    pub fn root_at<E>(&self, size: u64, read: &dyn Fn(u64, usize) -> Result<Vec<Hash>, E>, other: &dyn Fn() -> E) -> Result<Hash, E> {
        if size == self.size() {
            return Ok(self.root());
        }
        if size == 0 {
            return Ok(EMPTY_ROOT);
        }
        root_at(&Past { tree: self, read, other, last: RefCell::default() }, size)
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

/// The tree with its saved leaves.
struct Past<'a, E> {
    tree: &'a Tree,
    read: &'a dyn Fn(u64, usize) -> Result<Vec<Hash>, E>,
    other: &'a dyn Fn() -> E,
    /// The bundle that was read last, with its leaves: all leaves that a root takes are of one.
    last: RefCell<Option<(u64, Vec<Hash>)>>,
}

impl<E> Past<'_, E> {
    /// The leaves of a full bundle, saved or not.
    fn leaves(&self, bundle: u64) -> Result<Vec<Hash>, E> {
        let known = usize::try_from(bundle).ok().and_then(|bundle| self.tree.levels.first()?.get(bundle));
        let saved = self.tree.size() - self.tree.unsaved.len() as u64;
        let first = bundle * WIDTH;
        let on_disk = usize::try_from(saved.saturating_sub(first).min(WIDTH)).expect("at most 256");
        let mut leaves = if on_disk > 0 { (self.read)(first, on_disk)? } else { Vec::new() };
        let behind = usize::try_from((first + on_disk as u64).saturating_sub(saved)).expect("it is in memory");
        leaves.extend(self.tree.unsaved.iter().skip(behind).take(TILE_WIDTH as usize - on_disk));
        if leaves.len() as u64 == WIDTH && known == Some(&root_of(&leaves)) { Ok(leaves) } else { Err((self.other)()) }
    }
}

impl<E> HashReader for Past<'_, E> {
    type Error = E;

    fn hash(&self, level: u8, index: u64) -> Result<Hash, E> {
        if let Some(above) = level.checked_sub(TILE_HEIGHT) {
            let row = self.tree.levels.get(usize::from(above)).map(Vec::as_slice).unwrap_or_default();
            return Ok(*usize::try_from(index).ok().and_then(|index| row.get(index)).expect("only hashes of this tree are asked for"));
        }
        let first = index << level;
        let bundle = first / WIDTH;
        let offset = usize::try_from(first % WIDTH).expect("below 256");
        let range = offset..offset + (1 << level);
        if bundle == self.tree.size() / WIDTH {
            return Ok(root_of(&self.tree.open[range]));
        }
        let mut last = self.last.borrow_mut();
        if last.as_ref().is_none_or(|(known, _)| *known != bundle) {
            *last = Some((bundle, self.leaves(bundle)?));
        }
        Ok(root_of(&last.as_ref().expect("it was just read").1[range]))
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
        let read = |first: u64, count: usize| Ok(leaves[first as usize..first as usize + count].to_vec());
        let read_saved = |first: u64, count: usize| if first + count as u64 <= 1100 { read(first, count) } else { Err("not saved yet") };
        let never = |_: u64, _: usize| Err("they were not saved");
        let other = || "other leaves";
        let sizes = [0, 1, 2, 255, 256, 257, 300, 511, 512, 700, 1024, 1279, 1280, 1281, 1499, 1500];
        // Saved here and there, in the middle of bundles and at their edges.
        let mut tree = Tree::default();
        for (number, leaf) in leaves.iter().enumerate() {
            tree.push(*leaf);
            if [3, 256, 300, 1024, 1100].contains(&(number + 1)) {
                tree.saved();
                assert!(tree.unsaved().is_empty(), "leaves were held for ever");
            }
        }
        let restored = Tree::restore(tree.bundles_from(0), tree.open().to_vec()).unwrap();
        assert_eq!((restored.size(), restored.root()), (1500, root_of(&leaves)));
        for size in sizes {
            assert_eq!(tree.root_at(size, &read_saved, &other), Ok(root_of(&leaves[..size as usize])), "{size}");
            assert_eq!(restored.root_at(size, &read, &other), Ok(root_of(&leaves[..size as usize])), "{size}");
        }
        for size in [1280, 1281, 1499] {
            assert_eq!(restored.root_at(size, &never, &other), Ok(root_of(&leaves[..size as usize])), "leaves were read in vain");
        }
        let shifted = |first: u64, count: usize| Ok(leaves[first as usize + 1..first as usize + 1 + count].to_vec());
        assert_eq!(restored.root_at(300, &shifted, &other), Err("other leaves"));
        assert_eq!(restored.root_at(300, &never, &other), Err("they were not saved"));
        assert!(Tree::restore(&[], leaves[..256].to_vec()).is_none());
    }
}

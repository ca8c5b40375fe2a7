//! Inclusion and consistency proofs (RFC 6962 2.1.1, 2.1.2; verification by RFC 9162 2.1.3.2 and 2.1.4.2), also of subtrees
//! (draft-ietf-plants-merkle-tree-certs section 4.4), with exact lengths.
//!
//! It does not know who signed a root, nor where hashes are kept.

use crate::merkle::fold_peaks;
use crate::{EMPTY_ROOT, Hash, node_hash};

/// The most hashes a proof can have: a tree of at most 2^63 leaves is at most 63 high, and no log grows past that.
pub const PROOF_HASHES_MAX: usize = 63;

/// Why a proof does not hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ProofError {
    /// The index is not below the size, or the sizes are not ordered.
    #[error("the proof is for an impossible index or size")]
    OutOfRange,
    /// Too few or too many hashes for that index and size.
    #[error("the proof has the wrong number of hashes")]
    Length,
    /// The hashes do not lead to the root.
    #[error("the proof does not lead to the root")]
    Root,
}

/// The leaves from `start` to before `end`, placed so that their own tree shares its nodes with every tree that holds them: `start`
/// is a multiple of the smallest power of two that is not below their number. So every tree is the subtree from 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Subtree {
    start: u64,
    end: u64,
}

impl Subtree {
    /// `None` when there is no such subtree, or no leaf in it.
    pub fn new(start: u64, end: u64) -> Option<Self> {
        let size = end.checked_sub(start).filter(|size| *size > 0)?;
        // Of more than 2^63 leaves the next power of two is past every leaf, so that only 0 is a multiple.
        let aligned = size.checked_next_power_of_two().map_or(start == 0, |power| start.is_multiple_of(power));
        aligned.then_some(Self { start, end })
    }

    /// Index of its first leaf.
    pub fn start(&self) -> u64 {
        self.start
    }

    /// Index after its last leaf.
    pub fn end(&self) -> u64 {
        self.end
    }
}

/// Gives hashes of perfect subtrees: `hash(level, index)` covers leaves `index << level ..` (level 0 is a leaf).
pub trait HashReader {
    /// What reading can fail with.
    type Error;
    /// One hash.
    fn hash(&self, level: u8, index: u64) -> Result<Hash, Self::Error>;
}

/// Checks that `leaf` is at `index` of the tree of `size` leaves with `root`.
pub fn verify_inclusion(leaf: &Hash, index: u64, size: u64, path: &[Hash], root: &Hash) -> Result<(), ProofError> {
    if index >= size {
        return Err(ProofError::OutOfRange);
    }
    let mut climb = Climb { first: index, node: index, last: size - 1 };
    let mut hash = *leaf;
    for sibling in path {
        hash = match climb.step()? {
            Side::Left => node_hash(sibling, &hash),
            Side::Right => node_hash(&hash, sibling),
        };
    }
    climb.at_root()?;
    if hash == *root { Ok(()) } else { Err(ProofError::Root) }
}

/// Checks that the tree `new` extends the tree `old`. Old size 0 is consistent with everything (and its root must be the empty root).
pub fn verify_consistency(old_size: u64, old_root: &Hash, new_size: u64, new_root: &Hash, path: &[Hash]) -> Result<(), ProofError> {
    let Some(old) = Subtree::new(0, old_size) else {
        if !path.is_empty() {
            return Err(ProofError::Length);
        }
        let new_holds = new_size != 0 || *new_root == EMPTY_ROOT;
        return if *old_root == EMPTY_ROOT && new_holds { Ok(()) } else { Err(ProofError::Root) };
    };
    verify_subtree(old, old_root, new_size, new_root, path)
}

/// Checks that the subtree with `subtree_root` is part of the tree of `size` leaves with `root`.
pub fn verify_subtree(subtree: Subtree, subtree_root: &Hash, size: u64, root: &Hash, path: &[Hash]) -> Result<(), ProofError> {
    if subtree.end > size {
        return Err(ProofError::OutOfRange);
    }
    // The largest perfect subtree that ends this one is where both trees still agree; at the edge of the tree they agree throughout.
    // When it is all of this subtree the proof leaves it out, because the verifier has it.
    let mut climb = Climb { first: subtree.start, node: subtree.end - 1, last: size - 1 };
    let to_top = u64::BITS - (climb.first ^ climb.node).leading_zeros();
    climb.rise(if climb.node == climb.last { to_top } else { to_top.min(climb.node.trailing_ones()) });
    let (start, path) = if climb.is_at_top() { (subtree_root, path) } else { path.split_first().ok_or(ProofError::Length)? };
    let (mut subtree_hash, mut hash) = (*start, *start);
    for sibling in path {
        let within = !climb.is_at_top();
        match climb.step()? {
            Side::Left => {
                if within {
                    subtree_hash = node_hash(sibling, &subtree_hash);
                }
                hash = node_hash(sibling, &hash);
            }
            Side::Right => hash = node_hash(&hash, sibling),
        }
    }
    climb.at_root()?;
    if subtree_hash == *subtree_root && hash == *root { Ok(()) } else { Err(ProofError::Root) }
}

/// The way from a node up to the root, of a tree whose last node on the same level is `last` (`fn` and `sn` in RFC 9162). A subtree
/// that ends with the node begins with `first` (`fn`, `sn`, `tn` in the draft).
#[derive(Clone, Copy)]
struct Climb {
    first: u64,
    node: u64,
    last: u64,
}

/// On which side of the hash so far a sibling stands.
enum Side {
    Left,
    Right,
}

impl Climb {
    /// Past the next sibling. On the right edge, levels without a sibling are skipped.
    fn step(&mut self) -> Result<Side, ProofError> {
        if self.last == 0 {
            return Err(ProofError::Length);
        }
        if self.node & 1 == 1 {
            self.rise(1);
            Ok(Side::Left)
        } else if self.node == self.last {
            // `last` is not zero, so the node has a set bit to stop at.
            self.rise(self.node.trailing_zeros() + 1);
            Ok(Side::Left)
        } else {
            self.rise(1);
            Ok(Side::Right)
        }
    }

    fn rise(&mut self, levels: u32) {
        self.first = self.first.checked_shr(levels).unwrap_or(0);
        self.node = self.node.checked_shr(levels).unwrap_or(0);
        self.last = self.last.checked_shr(levels).unwrap_or(0);
    }

    /// Whether the node covers the subtree, so that what is left of it belongs to the tree only.
    fn is_at_top(&self) -> bool {
        self.first == self.node
    }

    fn at_root(&self) -> Result<(), ProofError> {
        if self.last == 0 { Ok(()) } else { Err(ProofError::Length) }
    }
}

/// The root of the first `size` leaves.
pub fn root_at<R: HashReader>(reader: &R, size: u64) -> Result<Hash, R::Error> {
    range_root(reader, 0, size)
}

/// The inclusion path of leaf `index` in the tree of `size` leaves, leaf's sibling first. Panics unless `index < size` (the caller's invariant).
pub fn prove_inclusion<R: HashReader>(reader: &R, index: u64, size: u64) -> Result<Vec<Hash>, R::Error> {
    assert!(index < size, "leaf {index} is not in a tree of {size}");
    let mut path = Vec::new();
    let (mut start, mut end) = (0, size);
    while end - start > 1 {
        let middle = start + split(end - start);
        if index < middle {
            path.push(range_root(reader, middle, end)?);
            end = middle;
        } else {
            path.push(range_root(reader, start, middle)?);
            start = middle;
        }
    }
    path.reverse();
    Ok(path)
}

/// The consistency proof from `old` to `new` leaves; empty when `old` is 0 or `new`. Panics unless `old <= new`.
pub fn prove_consistency<R: HashReader>(reader: &R, old: u64, new: u64) -> Result<Vec<Hash>, R::Error> {
    assert!(old <= new, "a tree of {new} leaves does not extend one of {old}");
    match Subtree::new(0, old) {
        Some(old) => prove_subtree(reader, old, new),
        None => Ok(Vec::new()),
    }
}

/// The proof that a subtree is part of the tree of `size` leaves. Panics unless it ends within the tree.
pub fn prove_subtree<R: HashReader>(reader: &R, subtree: Subtree, size: u64) -> Result<Vec<Hash>, R::Error> {
    assert!(subtree.end <= size, "a tree of {size} leaves does not hold those before {}", subtree.end);
    let mut path = Vec::new();
    let (mut start, mut end) = (0, size);
    // SUBTREE_SUBPROOF of the draft, for the subtree from 0 SUBPROOF of RFC 6962 section 2.1.2, from the root down. What is yet to
    // be covered shrinks where the subtree crosses the middle, which only one that starts with the range does.
    let mut uncovered = subtree.start;
    while (start, end) != (uncovered, subtree.end) {
        let middle = start + split(end - start);
        if subtree.end <= middle {
            path.push(range_root(reader, middle, end)?);
            end = middle;
        } else {
            path.push(range_root(reader, start, middle)?);
            uncovered = uncovered.max(middle);
            start = middle;
        }
    }
    if uncovered != subtree.start {
        path.push(range_root(reader, start, end)?);
    }
    path.reverse();
    Ok(path)
}

/// The largest power of two smaller than `size`, which is at least 2.
fn split(size: u64) -> u64 {
    1 << (u64::BITS - 1 - (size - 1).leading_zeros())
}

/// The root over the leaves from `start` to before `end`, where `start` is a multiple of the largest power of two within the
/// range, as it is for every range that splitting a tree gives.
fn range_root<R: HashReader>(reader: &R, start: u64, end: u64) -> Result<Hash, R::Error> {
    let mut peaks = Vec::new();
    let mut at = start;
    while at < end {
        let level = u64::BITS - 1 - (end - at).leading_zeros();
        debug_assert_eq!(at.trailing_zeros().min(level), level, "a range starts at a boundary of its largest subtree");
        peaks.push(reader.hash(level as u8, at >> level)?);
        at += 1 << level;
    }
    Ok(fold_peaks(&peaks))
}

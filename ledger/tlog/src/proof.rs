//! Inclusion and consistency proofs (RFC 6962 2.1.1, 2.1.2; verification by RFC 9162 2.1.3.2 and 2.1.4.2), with exact lengths.
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
    let mut climb = Climb { node: index, last: size - 1 };
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
    if old_size > new_size {
        return Err(ProofError::OutOfRange);
    }
    if old_size == 0 || old_size == new_size {
        if !path.is_empty() {
            return Err(ProofError::Length);
        }
        let old_holds = old_size != 0 || *old_root == EMPTY_ROOT;
        let new_holds = old_size != new_size || old_root == new_root;
        return if old_holds && new_holds { Ok(()) } else { Err(ProofError::Root) };
    }
    // The largest perfect subtree that ends the old tree is where both trees still agree. When it is the whole old tree the proof
    // leaves it out, because the verifier has it.
    let mut climb = Climb { node: old_size - 1, last: new_size - 1 };
    climb.rise(climb.node.trailing_ones());
    let (start, path) = if old_size.is_power_of_two() { (old_root, path) } else { path.split_first().ok_or(ProofError::Length)? };
    let (mut old_hash, mut new_hash) = (*start, *start);
    for sibling in path {
        match climb.step()? {
            Side::Left => {
                old_hash = node_hash(sibling, &old_hash);
                new_hash = node_hash(sibling, &new_hash);
            }
            Side::Right => new_hash = node_hash(&new_hash, sibling),
        }
    }
    climb.at_root()?;
    if old_hash == *old_root && new_hash == *new_root { Ok(()) } else { Err(ProofError::Root) }
}

/// The way from a node up to the root, of a tree whose last node on the same level is `last` (`fn` and `sn` in RFC 9162).
#[derive(Clone, Copy)]
struct Climb {
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
        self.node = self.node.checked_shr(levels).unwrap_or(0);
        self.last = self.last.checked_shr(levels).unwrap_or(0);
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
    if old == 0 || old == new {
        return Ok(Vec::new());
    }
    let mut path = Vec::new();
    let (mut start, mut end) = (0, new);
    // SUBPROOF of RFC 6962 section 2.1.2, from the root down to the subtree that ends where the old tree ends.
    while end != old {
        let middle = start + split(end - start);
        if old <= middle {
            path.push(range_root(reader, middle, end)?);
            end = middle;
        } else {
            path.push(range_root(reader, start, middle)?);
            start = middle;
        }
    }
    if start != 0 {
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

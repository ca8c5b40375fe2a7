//! Inclusion and consistency proofs (RFC 6962 2.1.1, 2.1.2; verification by RFC 9162 2.1.3.2 and 2.1.4.2), with exact lengths.

use crate::Hash;

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

/// The root of the first `size` leaves.
pub fn root_at<R: HashReader>(reader: &R, size: u64) -> Result<Hash, R::Error> {
    todo!()
}
/// The inclusion path of leaf `index` in the tree of `size` leaves, leaf's sibling first. Panics unless `index < size` (the caller's invariant).
pub fn prove_inclusion<R: HashReader>(reader: &R, index: u64, size: u64) -> Result<Vec<Hash>, R::Error> {
    todo!()
}
/// The consistency proof from `old` to `new` leaves; empty when `old` is 0 or `new`. Panics unless `old <= new`.
pub fn prove_consistency<R: HashReader>(reader: &R, old: u64, new: u64) -> Result<Vec<Hash>, R::Error> {
    todo!()
}
/// Checks that `leaf` is at `index` of the tree of `size` leaves with `root`.
pub fn verify_inclusion(leaf: &Hash, index: u64, size: u64, path: &[Hash], root: &Hash) -> Result<(), ProofError> {
    todo!()
}
/// Checks that the tree `new` extends the tree `old`. Old size 0 is consistent with everything (and its root must be the empty root).
pub fn verify_consistency(old_size: u64, old_root: &Hash, new_size: u64, new_root: &Hash, path: &[Hash]) -> Result<(), ProofError> {
    todo!()
}

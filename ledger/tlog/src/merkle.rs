//! The Merkle tree hash of RFC 6962 section 2.1.

/// A SHA-256 hash: of a leaf, a node or a tree.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
pub struct Hash(pub [u8; 32]);
// Display, Debug: lower-case hex. Hash::from_hex (strict lower case, 64 digits), to_base64/from_base64 (standard, padded, canonical).

/// The root of the empty tree, SHA-256("").
pub const EMPTY_ROOT: Hash = Hash([0; 32]); // the real value

/// `SHA-256(0x00 || entry)`.
pub fn leaf_hash(entry: &[u8]) -> Hash {
    todo!()
}
/// `SHA-256(0x01 || left || right)`.
pub fn node_hash(left: &Hash, right: &Hash) -> Hash {
    todo!()
}
/// The root over leaf hashes.
pub fn root_of(leaves: &[Hash]) -> Hash {
    todo!()
}

/// The right edge of a tree: what is needed to append leaves and to know the root. At most 64 hashes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct MerkleFrontier {
    // size: u64, peaks: Vec<Hash> largest subtree first
}

impl MerkleFrontier {
    /// From a size and its peaks (one hash per set bit of the size, largest first); `None` if the count is wrong.
    pub fn from_parts(size: u64, peaks: Vec<Hash>) -> Option<Self> {
        todo!()
    }
    /// Number of leaves.
    pub fn size(&self) -> u64 {
        todo!()
    }
    /// The peaks, largest first.
    pub fn peaks(&self) -> &[Hash] {
        todo!()
    }
    /// Appends a leaf. `completed(level, index, hash)` is told of every perfect subtree that this leaf completes, level 0 first.
    pub fn push(&mut self, leaf: Hash, completed: impl FnMut(u8, u64, Hash)) {
        todo!()
    }
    /// The root.
    pub fn root(&self) -> Hash {
        todo!()
    }
}
impl Hash {
    /// From exactly 64 lower-case hex digits.
    pub fn from_hex(text: &str) -> Option<Self> {
        todo!()
    }
    /// Standard base64 with padding.
    pub fn to_base64(&self) -> String {
        todo!()
    }
    /// From canonical standard base64 of 32 bytes.
    pub fn from_base64(text: &str) -> Option<Self> {
        todo!()
    }
}
impl std::fmt::Display for Hash {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        todo!()
    }
}
impl std::fmt::Debug for Hash {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        todo!()
    }
}

//! The Merkle tree hash of RFC 6962 section 2.1.
//!
//! It does not know where hashes are kept, nor what a leaf stands for.

use std::fmt;

use base64ct::{Base64, Encoding};
use sha2::{Digest, Sha256};

/// A SHA-256 hash: of a leaf, a node or a tree.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
pub struct Hash(pub [u8; HASH_SIZE_BYTES]);

impl Hash {
    /// From exactly 64 lower-case hex digits.
    pub fn from_hex(text: &str) -> Option<Self> {
        // The hex crate also takes upper case, which would give one hash two spellings.
        if text.bytes().any(|digit| digit.is_ascii_uppercase()) {
            return None;
        }
        let mut hash = [0; HASH_SIZE_BYTES];
        hex::decode_to_slice(text, &mut hash).ok()?;
        Some(Self(hash))
    }

    /// Standard base64 with padding, 44 characters.
    pub fn to_base64(&self) -> String {
        Base64::encode_string(&self.0)
    }

    /// From canonical standard base64 of 32 bytes: padded, unused bits zero.
    pub fn from_base64(text: &str) -> Option<Self> {
        let mut hash = [0; HASH_SIZE_BYTES];
        let decoded = Base64::decode(text, &mut hash).ok()?;
        (decoded.len() == HASH_SIZE_BYTES).then_some(Self(hash))
    }
}

impl fmt::Display for Hash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for Hash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// Length of a SHA-256 hash.
pub const HASH_SIZE_BYTES: usize = 32;

/// The root of the empty tree, SHA-256("").
pub const EMPTY_ROOT: Hash = Hash([
    0xe3, 0xb0, 0xc4, 0x42, 0x98, 0xfc, 0x1c, 0x14, 0x9a, 0xfb, 0xf4, 0xc8, 0x99, 0x6f, 0xb9, 0x24, 0x27, 0xae, 0x41, 0xe4, 0x64, 0x9b,
    0x93, 0x4c, 0xa4, 0x95, 0x99, 0x1b, 0x78, 0x52, 0xb8, 0x55,
]);

/// `SHA-256(0x00 || entry)`.
pub fn leaf_hash(entry: &[u8]) -> Hash {
    Hash(Sha256::new().chain_update([LEAF_PREFIX]).chain_update(entry).finalize().into())
}

/// `SHA-256(0x01 || left || right)`.
pub fn node_hash(left: &Hash, right: &Hash) -> Hash {
    Hash(Sha256::new().chain_update([NODE_PREFIX]).chain_update(left.0).chain_update(right.0).finalize().into())
}

/// The root over leaf hashes.
pub fn root_of(leaves: &[Hash]) -> Hash {
    let mut frontier = MerkleFrontier::default();
    for leaf in leaves {
        frontier.push(*leaf, |_, _, _| {});
    }
    frontier.root()
}

/// The prefixes keep a node from being passed off as an entry (RFC 6962 section 2.1).
const LEAF_PREFIX: u8 = 0;
const NODE_PREFIX: u8 = 1;

/// The right edge of a tree: what is needed to append leaves and to know the root. At most 64 hashes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct MerkleFrontier {
    size: u64,
    /// One perfect subtree per set bit of `size`, largest first.
    peaks: Vec<Hash>,
}

impl MerkleFrontier {
    /// From a size and its peaks (one hash per set bit of the size, largest first); `None` if the count is wrong.
    pub fn from_parts(size: u64, peaks: Vec<Hash>) -> Option<Self> {
        (peaks.len() == size.count_ones() as usize).then_some(Self { size, peaks })
    }

    /// Number of leaves.
    pub fn size(&self) -> u64 {
        self.size
    }

    /// The peaks, largest first.
    pub fn peaks(&self) -> &[Hash] {
        &self.peaks
    }

    /// Appends a leaf. `completed(level, index, hash)` is told of every perfect subtree that this leaf completes, level 0 first.
    pub fn push(&mut self, leaf: Hash, mut completed: impl FnMut(u8, u64, Hash)) {
        let index = self.size;
        self.size = index.checked_add(1).expect("2^64 leaves can not be appended in the lifetime of a machine");
        completed(0, index, leaf);
        let mut hash = leaf;
        // Like carrying in binary addition: each trailing one of the index is a peak of the same height to merge with.
        for level in 1..=index.trailing_ones() as u8 {
            let left = self.peaks.pop().expect("there is one peak for each set bit of the size");
            hash = node_hash(&left, &hash);
            completed(level, index >> level, hash);
        }
        self.peaks.push(hash);
    }

    /// The root.
    pub fn root(&self) -> Hash {
        fold_peaks(&self.peaks)
    }
}

/// The root over adjacent perfect subtrees, largest first: each split leaves the largest power of two to the left, so they join
/// from the right.
pub(crate) fn fold_peaks(peaks: &[Hash]) -> Hash {
    peaks.iter().rev().copied().reduce(|right, left| node_hash(&left, &right)).unwrap_or(EMPTY_ROOT)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn empty_root_is_the_hash_of_nothing() {
        assert_eq!(EMPTY_ROOT.0, <[u8; 32]>::from(Sha256::digest([])));
        assert_eq!(root_of(&[]), EMPTY_ROOT);
        assert_eq!(MerkleFrontier::default().root(), EMPTY_ROOT);
    }

    #[test]
    fn hex_has_one_spelling() {
        let hash = leaf_hash(b"entry");
        let text = hash.to_string();
        assert_eq!(text, format!("{hash:?}"));
        assert_eq!(Hash::from_hex(&text), Some(hash));
        assert_eq!(Hash::from_hex(&text.to_uppercase()), None, "upper case");
        assert_eq!(Hash::from_hex(&text[..62]), None, "short");
        assert_eq!(Hash::from_hex(&text[..63]), None, "odd");
        assert_eq!(Hash::from_hex(&format!("{text}00")), None, "long");
        assert_eq!(Hash::from_hex(&format!(" {}", &text[1..])), None, "space");
        assert_eq!(Hash::from_hex(&format!("+{}", &text[1..])), None, "sign");
        assert_eq!(Hash::from_hex(""), None, "empty");
    }

    #[test]
    fn base64_has_one_spelling() {
        let hash = Hash([0xff; 32]);
        let text = hash.to_base64();
        assert_eq!(text, "//////////////////////////////////////////8=");
        assert_eq!(Hash::from_base64(&text), Some(hash));
        assert_eq!(Hash::from_base64(&text.replace("8=", "9=")), None, "unused bits set");
        assert_eq!(Hash::from_base64(text.trim_end_matches('=')), None, "no padding");
        assert_eq!(Hash::from_base64(&text.replace('/', "_")), None, "URL alphabet");
        assert_eq!(Hash::from_base64(&format!("{text}\n")), None, "newline");
        assert_eq!(Hash::from_base64(&Base64::encode_string(&[1; 31])), None, "31 bytes");
        assert_eq!(Hash::from_base64(&Base64::encode_string(&[1; 33])), None, "33 bytes");
        assert_eq!(Hash::from_base64(""), None, "empty");
    }

    #[test]
    fn frontier_takes_one_peak_per_bit() {
        assert!(MerkleFrontier::from_parts(5, vec![EMPTY_ROOT; 2]).is_some());
        assert_eq!(MerkleFrontier::from_parts(5, vec![EMPTY_ROOT; 1]), None);
        assert_eq!(MerkleFrontier::from_parts(5, vec![EMPTY_ROOT; 3]), None);
        assert_eq!(MerkleFrontier::from_parts(0, vec![EMPTY_ROOT]), None);
    }

    #[test]
    fn frontier_tells_of_each_perfect_subtree_once() {
        let leaves: Vec<Hash> = (0..70_u8).map(|i| leaf_hash(&[i])).collect();
        let mut told = Vec::new();
        let mut frontier = MerkleFrontier::default();
        for leaf in &leaves {
            frontier.push(*leaf, |level, index, hash| told.push((level, index, hash)));
            let again = MerkleFrontier::from_parts(frontier.size(), frontier.peaks().to_vec()).unwrap();
            assert_eq!(again, frontier);
        }
        let mut expected = Vec::new();
        for end in 1..=leaves.len() {
            for level in 0..=end.trailing_zeros() {
                let width = 1 << level;
                let hash = root_of(&leaves[end - width..end]);
                expected.push((level as u8, (end / width - 1) as u64, hash));
            }
        }
        assert_eq!(told, expected);
    }
}

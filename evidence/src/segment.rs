//! Segments: fragments sealed one by one, with a root over the ciphertext and a root over commitments to the plaintext.

use exhibit_tlog::Hash;
use zeroize::Zeroizing;

use crate::{StreamName, body, keytree::SlotKey};

/// Bytes of the GCM tag at the end of each ciphertext fragment.
pub const TAG_BYTES: usize = 16;
/// A segment has at most this many fragments.
pub const FRAGMENTS_MAX: usize = 256;

/// The keys of one fragment: `HKDF-Expand(slot key, "exhibit/fragment/v1" || salt || be32(index), 64)`.
pub struct FragmentKeys {
    // aes: Zeroizing<[u8;32]>, commitment: CommitmentKey
}

/// The key of a fragment's commitment: it may be disclosed with the plaintext.
#[derive(Clone)]
pub struct CommitmentKey(pub Zeroizing<[u8; 32]>);

/// Seals the fragments of one segment in order, in constant memory (one fragment).
pub struct SegmentSealer {
    // stream, seq, slot key, salt, lengths, leaves
}

/// What the statement says of the sealed fragments.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SealedSegment {
    /// Ciphertext lengths.
    pub fragment_lengths: Vec<u32>,
    /// Root over the ciphertext fragments.
    pub ciphertext_root: Hash,
    /// Root over the commitments.
    pub commitment_root: Hash,
}

/// Opens the fragments of one segment, in any order.
pub struct SegmentOpener {
    // stream, seq, body, slot key
}

/// A fragment that opened.
pub struct OpenedFragment {
    /// The plaintext.
    pub plaintext: Vec<u8>,
    /// Its commitment (the MAC, not the leaf hash).
    pub commitment: Hash,
    /// The commitment's key.
    pub key: CommitmentKey,
}

/// Why a fragment did not open.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum OpenError {
    /// No such fragment, or not of the signed length.
    #[error("fragment {0} does not exist or has another length than was signed")]
    Length(u32),
    /// The tag does not verify: another key, or damaged.
    #[error("fragment {0} does not decrypt: it is damaged, or the key is another")]
    Tag(u32),
}

impl SegmentSealer {
    /// For segment `seq` of `stream`.
    pub fn new(stream: &StreamName, seq: u64, slot_key: SlotKey, salt: [u8; 16]) -> Self {
        todo!()
    }
    /// Seals the next fragment; `last` is part of what is authenticated. Panics past 256 fragments or after the last.
    pub fn seal(&mut self, plaintext: &[u8], last: bool) -> Vec<u8> {
        todo!()
    }
    /// The roots. Panics unless the last fragment was sealed.
    pub fn finish(self) -> SealedSegment {
        todo!()
    }
}

impl SegmentOpener {
    /// For segment `seq` of `stream`, as signed in `segment`.
    pub fn new(stream: &StreamName, seq: u64, segment: &body::Segment, slot_key: SlotKey) -> Self {
        todo!()
    }
    /// Opens one fragment.
    pub fn open(&self, index: u32, ciphertext: &[u8]) -> Result<OpenedFragment, OpenError> {
        todo!()
    }
}

/// The commitment of a fragment: `HMAC-SHA-256(key, "exhibit/plain/v1" || be32(index) || u8(last) || be64(length) || plaintext)`.
pub fn commitment(key: &CommitmentKey, index: u32, last: bool, plaintext: &[u8]) -> Hash {
    todo!()
}

/// The root over commitments (each a 32-byte entry of an RFC 6962 tree).
pub fn commitment_root(commitments: &[Hash]) -> Hash {
    todo!()
}

/// Checks ciphertext fragments as they arrive, in constant memory: lengths and root as signed. What the blind appliance does.
pub struct CiphertextChecker {
    // lengths, position, hasher, leaves
}

impl CiphertextChecker {
    /// For a segment as signed.
    pub fn new(segment: &body::Segment) -> Self {
        todo!()
    }
    /// The next bytes of the payload, in pieces of any size. Bytes beyond the signed lengths make `finish` fail.
    pub fn update(&mut self, bytes: &[u8]) {
        todo!()
    }
    /// The leaf hashes of the fragments, if lengths and root are as signed.
    pub fn finish(self) -> Result<Vec<Hash>, CiphertextError> {
        todo!()
    }
}

/// The payload is not what was signed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CiphertextError {
    /// Shorter or longer.
    #[error("the payload is not as long as was signed")]
    Length,
    /// Another root.
    #[error("the payload is not what was signed")]
    Root,
}

//! Segments: fragments sealed one by one, with a root over the ciphertext and a root over commitments to the plaintext.
//!
//! It does not know what a fragment shows, nor where ciphertext is kept. Byte level: docs/formats/segment.md.

use std::fmt;

use aes_gcm::{Aes256Gcm, KeyInit, Tag, aead::AeadInOut};
use exhibit_tlog::{EMPTY_ROOT, Hash, ProofError, leaf_hash, node_hash, verify_inclusion};
use hkdf::Hkdf;
use hmac::Mac;
use rs_merkle::{Hasher, MerkleTree};
use sha2::{Digest, Sha256};
use zeroize::Zeroizing;

use crate::{
    StreamName, body,
    keytree::{SlotKey, keyed, length_prefixed},
};

/// Bytes of the GCM tag at the end of each ciphertext fragment.
pub const TAG_BYTES: usize = 16;
/// A segment has at most this many fragments.
pub const FRAGMENTS_MAX: usize = 256;

/// The keys of one fragment: `HKDF-Expand(slot key, "exhibit/fragment/v1" || salt || be32(index), 64)`.
pub struct FragmentKeys {
    aes: Zeroizing<[u8; 32]>,
    commitment: CommitmentKey,
}

/// The key of a fragment's commitment: it may be disclosed with the plaintext.
#[derive(Clone)]
pub struct CommitmentKey(pub Zeroizing<[u8; 32]>);

/// Seals the fragments of one segment in order, in constant memory (one fragment).
pub struct SegmentSealer {
    place: Place,
    slot_key: SlotKey,
    salt: [u8; 16],
    lengths: Vec<u32>,
    ciphertext_leaves: Vec<Hash>,
    commitments: Vec<Hash>,
    ended: bool,
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
    place: Place,
    slot_key: SlotKey,
    salt: [u8; 16],
    lengths: Vec<u32>,
}

/// A fragment that opened.
pub struct OpenedFragment {
    /// The plaintext.
    pub plaintext: Vec<u8>,
    /// Its commitment (the MAC, not the leaf hash). Only the root over all of a segment's says that it is the one that was signed.
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
    /// For segment `seq` of `stream`. The salt must be fresh: keys may encrypt only once.
    pub fn new(stream: &StreamName, seq: u64, slot_key: SlotKey, salt: [u8; 16]) -> Self {
        let place = Place { stream: length_prefixed(stream), seq };
        Self { place, slot_key, salt, lengths: Vec::new(), ciphertext_leaves: Vec::new(), commitments: Vec::new(), ended: false }
    }

    /// Seals the next fragment; `last` is part of what is authenticated. Panics past 256 fragments or after the last, and on a fragment
    /// that is empty or has no 32-bit length.
    pub fn seal(&mut self, plaintext: &[u8], last: bool) -> Vec<u8> {
        assert!(!self.ended, "a fragment after the last would reuse no key, but nothing would say that it belongs to the segment");
        assert!(self.lengths.len() < FRAGMENTS_MAX, "a segment has at most {FRAGMENTS_MAX} fragments");
        assert!(!plaintext.is_empty(), "an empty fragment can not be stated");
        let length = u32::try_from(plaintext.len() + TAG_BYTES).expect("a fragment's length fits 32 bits");
        let index = self.lengths.len() as u32;
        let keys = FragmentKeys::derive(&self.slot_key, &self.salt, index);

        let mut ciphertext = Vec::with_capacity(plaintext.len() + TAG_BYTES);
        ciphertext.extend_from_slice(plaintext);
        let associated_data = self.place.associated_data(index, last);
        let tag = keys
            .cipher()
            .encrypt_inout_detached(&ZERO_NONCE.into(), &associated_data, ciphertext.as_mut_slice().into())
            .expect("a fragment is far below the limit of GCM, 64 GiB");
        ciphertext.extend_from_slice(&tag);

        self.lengths.push(length);
        self.ciphertext_leaves.push(leaf_hash(&ciphertext));
        self.commitments.push(commitment(&keys.commitment, index, last, plaintext));
        self.ended = last;
        ciphertext
    }

    /// The roots. Panics unless the last fragment was sealed.
    pub fn finish(self) -> SealedSegment {
        assert!(self.ended, "the last fragment must be sealed before the segment is stated");
        SealedSegment {
            fragment_lengths: self.lengths,
            ciphertext_root: root(&self.ciphertext_leaves),
            commitment_root: commitment_root(&self.commitments),
        }
    }
}

impl SegmentOpener {
    /// For segment `seq` of `stream`, as signed in `segment`.
    pub fn new(stream: &StreamName, seq: u64, segment: &body::Segment, slot_key: SlotKey) -> Self {
        let place = Place { stream: length_prefixed(stream), seq };
        Self { place, slot_key, salt: segment.salt, lengths: segment.fragment_lengths.clone() }
    }

    /// Opens one fragment.
    pub fn open(&self, index: u32, ciphertext: &[u8]) -> Result<OpenedFragment, OpenError> {
        let signed_length = self.lengths.get(index as usize).ok_or(OpenError::Length(index))?;
        if ciphertext.len() as u64 != u64::from(*signed_length) {
            return Err(OpenError::Length(index));
        }
        let (body, tag) = ciphertext.split_last_chunk::<TAG_BYTES>().ok_or(OpenError::Length(index))?;
        let last = index as usize + 1 == self.lengths.len();
        let keys = FragmentKeys::derive(&self.slot_key, &self.salt, index);
        let mut plaintext = body.to_vec();
        let associated_data = self.place.associated_data(index, last);
        keys.cipher()
            .decrypt_inout_detached(&ZERO_NONCE.into(), &associated_data, plaintext.as_mut_slice().into(), &Tag::from(*tag))
            .map_err(|_| OpenError::Tag(index))?;
        let commitment = commitment(&keys.commitment, index, last, &plaintext);
        Ok(OpenedFragment { plaintext, commitment, key: keys.commitment })
    }
}

/// The commitment of a fragment: `HMAC-SHA-256(key, "exhibit/plain/v1" || be32(index) || u8(last) || be64(length) || plaintext)`.
pub fn commitment(key: &CommitmentKey, index: u32, last: bool, plaintext: &[u8]) -> Hash {
    let mac = keyed(&key.0)
        .chain_update(PLAIN_LABEL)
        .chain_update(index.to_be_bytes())
        .chain_update([u8::from(last)])
        .chain_update((plaintext.len() as u64).to_be_bytes())
        .chain_update(plaintext);
    Hash(mac.finalize().into_bytes().into())
}

/// The root over commitments (each a 32-byte entry of an RFC 6962 tree).
pub fn commitment_root(commitments: &[Hash]) -> Hash {
    let leaves: Vec<Hash> = commitments.iter().map(|commitment| leaf_hash(&commitment.0)).collect();
    root(&leaves)
}

/// The RFC 6962 inclusion path of fragment `index` among the leaf hashes of its segment, for [`verify_fragment`] or, among those of its
/// commitments, [`verify_commitment`]; `None` where there is no such fragment.
pub fn fragment_path(leaves: &[Hash], index: u32) -> Option<Vec<Hash>> {
    leaves.get(index as usize)?;
    let tree = tree(leaves);
    let path = tree.proof(&[index as usize]);
    Some(path.proof_hashes().iter().copied().map(Hash).collect())
}

/// Why a fragment is not shown to be one of a segment's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FragmentProofError {
    /// There is no such fragment, or it has another length.
    #[error("the fragment does not exist or has another length than was signed")]
    Length,
    /// The path does not lead from it to the signed root.
    #[error(transparent)]
    Proof(#[from] ProofError),
}

/// Checks that this ciphertext is fragment `index` of the segment, without the others. The path is judged with the signed number of
/// fragments, which whoever brings the path has no say in.
pub fn verify_fragment(segment: &body::Segment, index: u32, ciphertext: &[u8], path: &[Hash]) -> Result<(), FragmentProofError> {
    let signed_length = segment.fragment_lengths.get(index as usize).ok_or(FragmentProofError::Length)?;
    if ciphertext.len() as u64 != u64::from(*signed_length) {
        return Err(FragmentProofError::Length);
    }
    let count = segment.fragment_lengths.len() as u64;
    Ok(verify_inclusion(&leaf_hash(ciphertext), index.into(), count, path, &segment.ciphertext_root)?)
}

/// The same of a commitment: what opened, or was disclosed, is what the camera committed to as fragment `index`.
pub fn verify_commitment(segment: &body::Segment, index: u32, commitment: &Hash, path: &[Hash]) -> Result<(), ProofError> {
    let count = segment.fragment_lengths.len() as u64;
    verify_inclusion(&leaf_hash(&commitment.0), index.into(), count, path, &segment.commitment_root)
}

/// Checks ciphertext fragments as they arrive, in constant memory: lengths and root as signed. What the blind appliance does.
pub struct CiphertextChecker {
    lengths: Vec<u32>,
    ciphertext_root: Hash,
    leaves: Vec<Hash>,
    leaf: Sha256,
    /// Bytes that the current fragment still lacks; none once all fragments are there.
    missing_bytes: Option<u32>,
    surplus: bool,
}

impl CiphertextChecker {
    /// For a segment as signed.
    pub fn new(segment: &body::Segment) -> Self {
        let lengths = segment.fragment_lengths.clone();
        let missing_bytes = lengths.first().copied();
        let leaves = Vec::with_capacity(lengths.len());
        Self { lengths, ciphertext_root: segment.ciphertext_root, leaves, leaf: begin_leaf(), missing_bytes, surplus: false }
    }

    /// The next bytes of the payload, in pieces of any size. Bytes beyond the signed lengths make `finish` fail.
    pub fn update(&mut self, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            let Some(missing_bytes) = self.missing_bytes else {
                self.surplus = true;
                return;
            };
            let taken_bytes = missing_bytes.min(u32::try_from(bytes.len()).unwrap_or(u32::MAX));
            let (taken, rest) = bytes.split_at(taken_bytes as usize);
            self.leaf.update(taken);
            bytes = rest;
            self.missing_bytes = Some(missing_bytes - taken_bytes);
            if taken_bytes == missing_bytes {
                self.leaves.push(Hash(std::mem::replace(&mut self.leaf, begin_leaf()).finalize().into()));
                self.missing_bytes = self.lengths.get(self.leaves.len()).copied();
            }
        }
    }

    /// The leaf hashes of the fragments, if lengths and root are as signed.
    pub fn finish(self) -> Result<Vec<Hash>, CiphertextError> {
        if self.surplus || self.leaves.is_empty() || self.leaves.len() != self.lengths.len() {
            return Err(CiphertextError::Length);
        }
        if root(&self.leaves) != self.ciphertext_root {
            return Err(CiphertextError::Root);
        }
        Ok(self.leaves)
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

impl FragmentKeys {
    fn derive(slot_key: &SlotKey, salt: &[u8; 16], index: u32) -> Self {
        let mut okm = Zeroizing::new([0; 64]);
        Hkdf::<Sha256>::from_prk(&*slot_key.0)
            .expect("a slot's key is as long as a SHA-256 hash")
            .expand_multi_info(&[FRAGMENT_LABEL, salt, &index.to_be_bytes()], &mut *okm)
            .expect("two blocks are far below the limit of HKDF");
        let mut keys = Self { aes: Zeroizing::new([0; 32]), commitment: CommitmentKey(Zeroizing::new([0; 32])) };
        keys.aes.copy_from_slice(&okm[..32]);
        keys.commitment.0.copy_from_slice(&okm[32..]);
        keys
    }

    fn cipher(&self) -> Aes256Gcm {
        Aes256Gcm::new_from_slice(&*self.aes).expect("the key of AES-256 has 32 bytes")
    }
}

impl fmt::Debug for FragmentKeys {
    /// That they are keys, never their bytes.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("FragmentKeys(..)")
    }
}

impl fmt::Debug for CommitmentKey {
    /// That it is one, never its bytes.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("CommitmentKey(..)")
    }
}

impl fmt::Debug for SegmentSealer {
    /// How far it is, never its key.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SegmentSealer").field("seq", &self.place.seq).field("lengths", &self.lengths).finish_non_exhaustive()
    }
}

impl fmt::Debug for SegmentOpener {
    /// What it opens, never its key.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SegmentOpener").field("seq", &self.place.seq).field("lengths", &self.lengths).finish_non_exhaustive()
    }
}

impl fmt::Debug for OpenedFragment {
    /// What is signed of it, never its content.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OpenedFragment").field("commitment", &self.commitment).finish_non_exhaustive()
    }
}

/// Where a segment stands: part of what each of its fragments authenticates.
struct Place {
    /// Length-prefixed.
    stream: Vec<u8>,
    seq: u64,
}

impl Place {
    fn associated_data(&self, index: u32, last: bool) -> Vec<u8> {
        [AAD_LABEL, &self.stream, &self.seq.to_be_bytes(), &index.to_be_bytes(), &[u8::from(last)]].concat()
    }
}

/// RFC 6962 section 2.1 for rs_merkle, which builds these trees but never judges a path: its verifier takes surplus hashes.
#[derive(Clone)]
struct Rfc6962;

impl Hasher for Rfc6962 {
    type Hash = [u8; 32];

    fn hash(entry: &[u8]) -> Self::Hash {
        leaf_hash(entry).0
    }

    fn concat_and_hash(left: &Self::Hash, right: Option<&Self::Hash>) -> Self::Hash {
        // A node without a right neighbour is carried up as it is: that is what makes these trees RFC 6962's.
        right.map_or(*left, |right| node_hash(&Hash(*left), &Hash(*right)).0)
    }
}

fn tree(leaves: &[Hash]) -> MerkleTree<Rfc6962> {
    let leaves: Vec<[u8; 32]> = leaves.iter().map(|leaf| leaf.0).collect();
    MerkleTree::from_leaves(&leaves)
}

fn root(leaves: &[Hash]) -> Hash {
    tree(leaves).root().map_or(EMPTY_ROOT, Hash)
}

fn begin_leaf() -> Sha256 {
    Sha256::new().chain_update([LEAF_PREFIX])
}

/// Each key encrypts one fragment once, so the nonce has nothing to tell apart.
const ZERO_NONCE: [u8; 12] = [0; 12];
const FRAGMENT_LABEL: &[u8] = b"exhibit/fragment/v1";
const AAD_LABEL: &[u8] = b"exhibit/aad/v1";
const PLAIN_LABEL: &[u8] = b"exhibit/plain/v1";
/// RFC 6962 section 2.1.
const LEAF_PREFIX: u8 = 0;

//! The key tree of an epoch: 2^20 seconds under one root, any range of which can be disclosed with at most 38 nodes.
//!
//! It does not know what a slot's key seals, nor to whom a range is disclosed. Byte level: docs/formats/keys.md.

use std::fmt;
use std::ops::Deref;

use exhibit_tlog::Hash;
use hmac::digest::FixedOutput;
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;
use subtle::ConstantTimeEq;
use zeroize::Zeroizing;

use crate::StreamName;

/// Levels below the root.
pub const DEPTH: u8 = 20;
/// Seconds in an epoch's tree, about twelve days.
pub const SLOTS: u32 = 1 << DEPTH;
/// A cover of any range has at most this many nodes: two on each level but the two uppermost.
pub const COVER_NODES_MAX: usize = 38;
/// A tree is disclosed in at most this many nodes: those of any two ranges. On each level but the two uppermost these take at most four.
pub const NODES_MAX: usize = 72;

/// A node and its secret. `depth` 0 is the root; node `index` at `depth` covers slots `index << (20 - depth) ..`.
#[derive(Clone)]
pub struct Node {
    /// 0..=20
    pub depth: u8,
    /// Below 2^depth.
    pub index: u32,
    /// The secret.
    pub key: NodeKey,
}

/// The secret of a node. It stays in one place until it is overwritten there, wherever its owner is moved: what is moved by itself leaves
/// a copy behind on the stack.
#[derive(Clone)]
pub struct NodeKey(Box<Zeroizing<[u8; 32]>>);

/// The key of one slot (a leaf).
#[derive(Clone)]
pub struct SlotKey(pub(crate) NodeKey);

/// What somebody holds of an epoch's tree: the root, the nodes of a grant, or what is right of now. Disjoint, in order.
#[derive(Clone)]
pub struct KeyTree {
    nodes: Vec<Node>,
}

/// Why nodes are not a tree.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the key nodes overlap, are out of order, out of range or too many")]
pub struct KeyTreeError;

impl KeyTree {
    /// The whole tree.
    pub fn from_root(root: Zeroizing<[u8; 32]>) -> Self {
        Self { nodes: vec![Node { depth: 0, index: 0, key: NodeKey::new(&root) }] }
    }

    /// A part of it, as disclosed: at most 72 nodes, disjoint, in order.
    pub fn from_nodes(nodes: Vec<Node>) -> Result<Self, KeyTreeError> {
        if nodes.len() > NODES_MAX || !are_in_order(&nodes) {
            return Err(KeyTreeError);
        }
        Ok(Self { nodes })
    }

    /// What is held, in order of slots.
    pub fn nodes(&self) -> &[Node] {
        &self.nodes
    }

    /// What is held, given away: for packages.
    pub fn into_nodes(self) -> Vec<Node> {
        self.nodes
    }

    /// The key of a slot, if it is held: one HMAC for each level between the node held and the leaf, 20 at most.
    pub fn slot_key(&self, slot: u32) -> Option<SlotKey> {
        let mut node = self.nodes.iter().find(|node| node.covers(slot))?.clone();
        while node.depth < DEPTH {
            node = node.child_towards(slot);
        }
        Some(SlotKey(node.key))
    }

    /// The least nodes that open exactly `first..=last`; `None` unless all of it is held (and the range is not empty and below 2^20).
    /// At most 38 of the whole tree, of a cover and of what `forget_before` leaves.
    pub fn cover(&self, first: u32, last: u32) -> Option<Vec<Node>> {
        if first > last || last >= SLOTS {
            return None;
        }
        // Room for all from the start: a vector that grows leaves keys behind in the memory that it gives back.
        let mut cover = Vec::with_capacity(self.nodes.len() + COVER_NODES_MAX);
        let mut missing_from = first;
        for node in self.nodes.iter().filter(|node| node.last_slot() >= first && node.first_slot() <= last) {
            if node.first_slot() > missing_from {
                return None;
            }
            node.collect_cover(first, last, &mut cover);
            missing_from = node.last_slot().saturating_add(1);
        }
        (missing_from > last).then_some(cover)
    }

    /// Forgets every slot before `slot`: what is kept can not derive them. Zeroised at once.
    pub fn forget_before(&mut self, slot: u32) {
        if self.nodes.first().is_none_or(|node| node.first_slot() >= slot) {
            return;
        }
        // The old vector is dropped whole, which zeroises each key where it lies; moving its elements would leave copies behind.
        let mut kept = Vec::with_capacity(self.nodes.len() + usize::from(DEPTH));
        for node in self.nodes.iter().filter(|node| node.last_slot() >= slot) {
            node.collect_cover(slot, SLOTS - 1, &mut kept);
        }
        self.nodes = kept;
    }

    /// The epoch's commitment, if the root is held: `HMAC-SHA-256(root, "exhibit/epoch/v1" || u16-length stream)`.
    pub fn commitment(&self, stream: &StreamName) -> Option<Hash> {
        let root = self.nodes.first().filter(|node| node.depth == 0)?;
        let mac = keyed(&root.key).chain_update(EPOCH_LABEL).chain_update(length_prefixed(stream)).finalize();
        Some(Hash(mac.into_bytes().into()))
    }

    /// True if the root is held and is the one that the camera committed to. Compared in constant time.
    pub fn is_committed(&self, stream: &StreamName, commitment: &Hash) -> bool {
        self.commitment(stream).is_some_and(|own| own.0.ct_eq(&commitment.0).into())
    }
}

impl Node {
    /// The first slot that it opens.
    pub fn first_slot(&self) -> u32 {
        first_slot(self.depth, self.index)
    }

    /// The last slot that it opens.
    pub fn last_slot(&self) -> u32 {
        last_slot(self.depth, self.index)
    }

    fn covers(&self, slot: u32) -> bool {
        (self.first_slot()..=self.last_slot()).contains(&slot)
    }

    /// Where a child is, and its secret not yet.
    fn place_of(&self, side: u8) -> (u8, u32) {
        (self.depth + 1, self.index << 1 | u32::from(side))
    }

    fn child(&self, side: u8) -> Self {
        let mut key = NodeKey::new(&[0; 32]);
        // Where the key will lie: what is returned by value leaves a copy on the stack.
        keyed(&self.key).chain_update(TREE_LABEL).chain_update([side]).finalize_into((&mut **key.0).into());
        let (depth, index) = self.place_of(side);
        Self { depth, index, key }
    }

    fn child_towards(&self, slot: u32) -> Self {
        let side = slot >> (DEPTH - self.depth - 1) & 1;
        self.child(side as u8)
    }

    /// The largest subtrees of this node, some of which is in `first..=last`, that lie within that, in order. Nothing outside of it is
    /// derived: what is to be forgotten must not be computed once more.
    fn collect_cover(&self, first: u32, last: u32, cover: &mut Vec<Node>) {
        if self.first_slot() >= first && self.last_slot() <= last {
            cover.push(self.clone());
            return;
        }
        for side in [LEFT, RIGHT] {
            let (depth, index) = self.place_of(side);
            if first_slot(depth, index) <= last && last_slot(depth, index) >= first {
                self.child(side).collect_cover(first, last, cover);
            }
        }
    }
}

/// Whether each is in the tree, and none reaches into the one before.
pub(crate) fn are_in_order(nodes: &[Node]) -> bool {
    let mut free_from = 0;
    nodes.iter().all(|node| {
        let fits = node.depth <= DEPTH && node.index < 1 << node.depth && node.first_slot() >= free_from;
        // Of what is not in the tree, nothing more is asked.
        free_from = if fits { node.last_slot() + 1 } else { free_from };
        fits
    })
}

fn first_slot(depth: u8, index: u32) -> u32 {
    index << (DEPTH - depth)
}

fn last_slot(depth: u8, index: u32) -> u32 {
    first_slot(depth, index) + ((1 << (DEPTH - depth)) - 1)
}

impl NodeKey {
    /// A copy of 32 bytes, which their owner overwrites.
    pub fn new(bytes: &[u8; 32]) -> Self {
        let mut key = Box::new(Zeroizing::new([0; 32]));
        key.copy_from_slice(bytes);
        Self(key)
    }
}

impl Deref for NodeKey {
    type Target = [u8; 32];
    fn deref(&self) -> &[u8; 32] {
        &self.0
    }
}

impl PartialEq for NodeKey {
    /// In constant time.
    fn eq(&self, other: &Self) -> bool {
        self.ct_eq(&**other).into()
    }
}

impl Eq for NodeKey {}

impl fmt::Debug for NodeKey {
    /// That it is one, never its bytes.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("NodeKey(..)")
    }
}

impl fmt::Debug for Node {
    /// Where it is in the tree, never its key.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Node").field("depth", &self.depth).field("index", &self.index).finish_non_exhaustive()
    }
}

impl fmt::Debug for SlotKey {
    /// That it is one, never its bytes.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SlotKey(..)")
    }
}

impl fmt::Debug for KeyTree {
    /// Which nodes are held, never their keys.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(&self.nodes).finish()
    }
}

/// HMAC-SHA-256 under a key of 32 bytes.
pub(crate) fn keyed(key: &[u8; 32]) -> Hmac<Sha256> {
    Hmac::new_from_slice(key).expect("HMAC takes keys of any length")
}

/// A stream's name behind its length as two bytes, big-endian: how names enter what is authenticated.
pub(crate) fn length_prefixed(stream: &StreamName) -> Vec<u8> {
    let name = stream.as_str().as_bytes();
    let length = u16::try_from(name.len()).expect("a stream's name has at most 128 bytes");
    [&length.to_be_bytes(), name].concat()
}

/// Keeps tree derivation apart from every other use of HMAC under these keys.
const TREE_LABEL: &[u8] = b"exhibit/tree/v1";
const EPOCH_LABEL: &[u8] = b"exhibit/epoch/v1";
const LEFT: u8 = 0;
const RIGHT: u8 = 1;

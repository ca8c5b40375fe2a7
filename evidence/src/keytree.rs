//! The key tree of an epoch: 2^20 seconds under one root, any range of which can be disclosed with at most 38 nodes.

use exhibit_tlog::Hash;
use zeroize::Zeroizing;

use crate::StreamName;

/// Levels below the root.
pub const DEPTH: u8 = 20;
/// Seconds in an epoch's tree, about twelve days.
pub const SLOTS: u32 = 1 << DEPTH;
/// A cover of any range has at most this many nodes.
pub const COVER_NODES_MAX: usize = 38;

/// A node and its secret. `depth` 0 is the root; node `index` at `depth` covers slots `index << (20 - depth) ..`.
#[derive(Clone)]
pub struct Node {
    /// 0..=20
    pub depth: u8,
    /// Below 2^depth.
    pub index: u32,
    /// The secret.
    pub key: Zeroizing<[u8; 32]>,
}

/// The key of one slot (a leaf).
#[derive(Clone)]
pub struct SlotKey(pub(crate) Zeroizing<[u8; 32]>);

/// What somebody holds of an epoch's tree: the root, the nodes of a grant, or what is right of now. Disjoint, in order.
#[derive(Clone)]
pub struct KeyTree {
    // nodes: Vec<Node>
}

/// Why nodes are not a tree.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the key nodes overlap, are out of order or out of range")]
pub struct KeyTreeError;

impl KeyTree {
    /// The whole tree.
    pub fn from_root(root: Zeroizing<[u8; 32]>) -> Self {
        todo!()
    }
    /// A part of it, as disclosed: at most 64 nodes, disjoint, in order.
    pub fn from_nodes(nodes: Vec<Node>) -> Result<Self, KeyTreeError> {
        todo!()
    }
    /// The key of a slot, if it is held.
    pub fn slot_key(&self, slot: u32) -> Option<SlotKey> {
        todo!()
    }
    /// The least nodes that open exactly `first..=last`; `None` unless all of it is held (and the range is not empty and below 2^20).
    pub fn cover(&self, first: u32, last: u32) -> Option<Vec<Node>> {
        todo!()
    }
    /// Forgets every slot before `slot`: what is kept can not derive them. Zeroised at once.
    pub fn forget_before(&mut self, slot: u32) {
        todo!()
    }
    /// The epoch's commitment, if the root is held: `HMAC-SHA-256(root, "exhibit/epoch/v1" || u16-length stream)`.
    pub fn commitment(&self, stream: &StreamName) -> Option<Hash> {
        todo!()
    }
}
// Debug for all of these prints no key.

//! The keys of one epoch, in locked memory, forgetting the past; and which second of the epoch it is.
//!
//! It has no clock and no randomness: the root and the time come in as arguments. It does not know what the keys seal.

use std::io;

use exhibit_evidence::{
    StreamName,
    envelope::{KeyPackage, StreamKeys},
    keytree::{KeyTree, Node, NodeKey, SLOTS, SlotKey},
};
use exhibit_tlog::Hash;
use zeroize::Zeroizing;

use crate::locked::LockedPage;

/// Depth, index and secret of a node, as the page holds them.
const NODE_BYTES: usize = 1 + 4 + 32;
/// A pipeline that was silent for this long has been stopped and started: its running time is matched to the clock anew.
const STALL_MS: i64 = 5_000;

/// Why there are no keys.
#[derive(Debug, thiserror::Error)]
pub enum EpochError {
    /// The operating system locks no memory for us.
    #[error("cannot lock memory for the keys: {0}; raise the limit of locked memory (LimitMEMLOCK=, ulimit -l) to 64 KiB or more")]
    Memory(#[from] io::Error),
    /// The slot has been forgotten, or lies beyond the tree.
    #[error("slot {0} of the epoch cannot be sealed: its key is gone or never was")]
    Slot(u32),
}

/// What a camera holds of an epoch: the nodes at and right of now. Everything before is gone.
pub struct EpochKeys {
    page: LockedPage,
    nodes: usize,
    first_held: u32,
}

impl EpochKeys {
    /// The whole tree under a root drawn at random.
    pub fn begin(root: Zeroizing<[u8; 32]>) -> Result<Self, EpochError> {
        let mut keys = Self { page: LockedPage::new()?, nodes: 0, first_held: 0 };
        keys.hold(&[Node { depth: 0, index: 0, key: NodeKey::new(&root) }]);
        Ok(keys)
    }

    /// The epoch's commitment and what is wrapped to the recipients, as long as the root is held: before the first slot but 0 is used.
    pub fn root_package(&self, log: Hash, stream: &StreamName) -> Option<(Hash, KeyPackage)> {
        let commitment = self.tree().commitment(stream)?;
        let streams = vec![StreamKeys { stream: stream.clone(), nodes: self.held() }];
        Some((commitment, KeyPackage { log, streams }))
    }

    /// The key of `slot`; every slot before it is forgotten.
    pub fn slot_key(&mut self, slot: u32) -> Result<SlotKey, EpochError> {
        self.forget_before(slot)?;
        self.tree().slot_key(slot).ok_or(EpochError::Slot(slot))
    }

    /// Keeps only what opens `slot` and later ones.
    pub fn forget_before(&mut self, slot: u32) -> Result<(), EpochError> {
        if slot < self.first_held {
            return Err(EpochError::Slot(slot));
        }
        let kept = self.tree().cover(slot, SLOTS - 1).ok_or(EpochError::Slot(slot))?;
        self.hold(&kept);
        self.first_held = slot;
        Ok(())
    }

    /// The first slot whose key can still be derived.
    pub fn first_held(&self) -> u32 {
        self.first_held
    }

    /// Overwrites the whole page, so that nothing of what is not kept stays behind.
    fn hold(&mut self, nodes: &[Node]) {
        let bytes = self.page.bytes_mut();
        assert!(nodes.len() * NODE_BYTES <= bytes.len(), "a cover has at most 38 nodes, which fit a page");
        let (used, rest) = bytes.split_at_mut(nodes.len() * NODE_BYTES);
        for (node, place) in nodes.iter().zip(used.chunks_exact_mut(NODE_BYTES)) {
            place[0] = node.depth;
            place[1..5].copy_from_slice(&node.index.to_be_bytes());
            place[5..].copy_from_slice(node.key.as_ref());
        }
        zeroize::Zeroize::zeroize(rest);
        self.nodes = nodes.len();
    }

    fn held(&self) -> Vec<Node> {
        let used = &self.page.bytes()[..self.nodes * NODE_BYTES];
        let nodes = used.chunks_exact(NODE_BYTES).map(|place| {
            let key = NodeKey::new(place[5..].try_into().expect("what follows are 32 bytes"));
            Node { depth: place[0], index: u32::from_be_bytes(place[1..5].try_into().expect("four bytes")), key }
        });
        nodes.collect()
    }

    /// A copy outside the page, for one derivation: it zeroises itself at the end of the expression that asked for it.
    fn tree(&self) -> KeyTree {
        KeyTree::from_nodes(self.held()).expect("the page holds a cover, whose nodes are disjoint and in order")
    }
}

impl std::fmt::Debug for EpochKeys {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("EpochKeys").field("first_held", &self.first_held).finish_non_exhaustive()
    }
}

/// The second of an epoch in which something starts.
pub fn slot_of(started_ms: u64, epoch_began_ms: u64) -> u32 {
    let second = started_ms.saturating_sub(epoch_began_ms) / 1000;
    u32::try_from(second).unwrap_or(u32::MAX)
}

/// Matches a pipeline's running time to the monotonic clock, by the arrival of fragments.
///
/// A fragment arrives when it has ended, plus what encoding took: the least delay seen is taken for none.
#[derive(Clone, Debug, Default)]
pub struct MediaClock {
    /// Monotonic time at running time 0.
    origin_ms: Option<i64>,
}

impl MediaClock {
    /// When, by the monotonic clock, a fragment that arrived at `arrived_ms` has started. Never later than its arrival.
    pub fn started_ms(&mut self, arrived_ms: u64, start_ms: u64, duration_ms: u64) -> u64 {
        let signed = |value: u64| i64::try_from(value).unwrap_or(i64::MAX / 4);
        let seen = signed(arrived_ms) - signed(start_ms) - signed(duration_ms);
        let origin = match self.origin_ms {
            Some(origin) if (origin..=origin + STALL_MS).contains(&seen) => origin,
            _ => seen,
        };
        self.origin_ms = Some(origin);
        u64::try_from(origin + signed(start_ms)).unwrap_or(0).min(arrived_ms)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn keys() -> EpochKeys {
        EpochKeys::begin(Zeroizing::new([9; 32])).unwrap()
    }

    #[test]
    fn after_a_slot_is_used_no_earlier_key_can_be_derived() {
        let mut keys = keys();
        for slot in [1, 2, 3, 500, 501, 70_000] {
            keys.slot_key(slot).unwrap();
            let held = KeyTree::from_nodes(keys.held()).unwrap();
            for before in [0, slot / 2, slot - 1] {
                assert!(held.slot_key(before).is_none(), "slot {before} can be read by whoever steals the camera at {slot}");
            }
            assert!(keys.slot_key(slot - 1).is_err());
            assert!(held.slot_key(slot).is_some() && held.slot_key(SLOTS - 1).is_some(), "the future was forgotten too");
        }
    }

    #[test]
    fn forgotten_secrets_are_not_left_in_the_page() {
        let mut keys = keys();
        assert!(keys.page.bytes().windows(32).any(|window| window == [9; 32]), "the root is not where this test looks");
        keys.slot_key(1).unwrap();
        assert!(!keys.page.bytes().windows(32).any(|window| window == [9; 32]), "the root is still in memory");
        let many = keys.nodes;
        keys.slot_key(SLOTS - 1).unwrap();
        assert!(keys.nodes < many);
        assert!(keys.page.bytes()[keys.nodes * NODE_BYTES..].iter().all(|byte| *byte == 0), "nodes of the past are still in memory");
    }

    #[test]
    fn keys_are_those_of_the_tree_that_recipients_get() {
        let mut keys = keys();
        let stream = StreamName::parse("camera/102/main/20261120T115958Z").unwrap();
        let (commitment, package) = keys.root_package(Hash([1; 32]), &stream).unwrap();
        let tree = KeyTree::from_nodes(package.streams.into_iter().next().unwrap().nodes).unwrap();
        assert_eq!(tree.commitment(&stream), Some(commitment));
        let seal = |key: SlotKey| exhibit_evidence::segment::SegmentSealer::new(&stream, 1, key, [0; 16]).seal(b"x", true);
        assert_eq!(seal(keys.slot_key(77).unwrap()), seal(tree.slot_key(77).unwrap()));
        assert!(keys.root_package(Hash([1; 32]), &stream).is_none(), "the root outlived its first use");
    }

    #[test]
    fn the_tree_ends() {
        let mut keys = keys();
        assert!(matches!(keys.slot_key(SLOTS), Err(EpochError::Slot(SLOTS))));
        assert!(keys.slot_key(SLOTS - 1).is_ok());
    }

    #[test]
    fn slots_are_seconds_of_the_epoch() {
        assert_eq!((slot_of(10_999, 10_000), slot_of(11_000, 10_000), slot_of(9_000, 10_000)), (0, 1, 0));
    }

    #[test]
    fn media_time_follows_the_quickest_fragment_and_recovers_from_a_stall() {
        let mut clock = MediaClock::default();
        assert_eq!(clock.started_ms(10_700, 0, 500), 10_200); // 200 ms late, as far as anybody knows
        assert_eq!(clock.started_ms(11_050, 500, 500), 10_550); // this one took 50 ms
        assert_eq!(clock.started_ms(11_700, 1_000, 500), 11_050); // jitter does not move the origin
        assert_eq!(clock.started_ms(60_000, 1_500, 500), 59_500, "a stalled source was dated to before its stall");
        assert!(clock.started_ms(60_100, 100_000, 500) <= 60_100, "a segment started in the future");
    }
}

//! The key tree against vectors of an independent generator, and its covers against their definition.

#![allow(clippy::unwrap_used)]

use std::collections::BTreeSet;

use exhibit_evidence::StreamName;
use exhibit_evidence::keytree::{COVER_NODES_MAX, DEPTH, KeyTree, NODES_MAX, Node, NodeKey, SLOTS};
use proptest::prelude::*;
use serde_json::Value;
use zeroize::Zeroizing;

const LAST_SLOT: u32 = SLOTS - 1;

fn vectors() -> Value {
    serde_json::from_str(include_str!("vectors/keys.json")).unwrap()
}

fn key(json: &Value) -> Zeroizing<[u8; 32]> {
    let mut key = Zeroizing::new([0; 32]);
    hex::decode_to_slice(json.as_str().unwrap(), &mut *key).unwrap();
    key
}

fn number(json: &Value) -> u32 {
    json.as_u64().unwrap() as u32
}

fn tree() -> KeyTree {
    KeyTree::from_root(key(&vectors()["root"]))
}

fn node(depth: u8, index: u32) -> Node {
    Node { depth, index, key: NodeKey::new(&[7; 32]) }
}

fn places(nodes: &[Node]) -> Vec<(u8, u32)> {
    nodes.iter().map(|node| (node.depth, node.index)).collect()
}

/// By definition: the dyadic ranges within `first..=last` whose parent is not within it.
fn maximal_ranges(first: u32, last: u32) -> BTreeSet<(u8, u32)> {
    let mut ranges = BTreeSet::new();
    let mut slot = first;
    loop {
        let depth = (0..=DEPTH).find(|depth| {
            let size = 1 << (DEPTH - depth);
            slot.is_multiple_of(size) && slot + (size - 1) <= last
        });
        let depth = depth.unwrap();
        let size = 1 << (DEPTH - depth);
        ranges.insert((depth, slot / size));
        slot += size;
        if slot > last {
            return ranges;
        }
    }
}

#[test]
fn nodes_and_commitment_are_as_the_independent_generator_says() {
    let vectors = vectors();
    let tree = tree();
    for expected in vectors["nodes"].as_array().unwrap() {
        let (depth, index) = (number(&expected["depth"]) as u8, number(&expected["index"]));
        let first = index << (DEPTH - depth);
        let cover = tree.cover(first, first + ((1 << (DEPTH - depth)) - 1)).unwrap();
        assert_eq!(places(&cover), [(depth, index)]);
        assert_eq!(*cover[0].key, *key(&expected["key"]), "node {index} at depth {depth}");
    }
    let stream = StreamName::parse(vectors["stream"].as_str().unwrap()).unwrap();
    assert_eq!(tree.commitment(&stream).unwrap().to_string(), vectors["epoch_commitment"].as_str().unwrap());
}

#[test]
fn covers_are_as_the_independent_generator_says() {
    for expected in vectors()["covers"].as_array().unwrap() {
        let cover = tree().cover(number(&expected["first"]), number(&expected["last"])).unwrap();
        let nodes = expected["nodes"].as_array().unwrap();
        assert_eq!(cover.len(), nodes.len());
        for (node, expected) in cover.iter().zip(nodes) {
            assert_eq!((u32::from(node.depth), node.index), (number(&expected["depth"]), number(&expected["index"])));
            assert_eq!(*node.key, *key(&expected["key"]));
        }
    }
}

/// A page that quotes other values would send its readers astray.
#[test]
fn the_documents_quote_the_vectors() {
    let quotes = |page: &str, json: &Value| assert!(page.contains(json.as_str().unwrap()), "{json} is not on the page");
    let vectors = vectors();
    let page = include_str!("../../docs/formats/keys.md");
    quotes(page, &vectors["epoch_commitment"]);
    for node in vectors["nodes"].as_array().unwrap().iter().filter(|node| [(1, 0), (1, 1), (20, 0), (20, 7201)].contains(&place(node))) {
        quotes(page, &node["key"]);
    }
    let hour: Vec<_> = vectors["covers"][2]["nodes"].as_array().unwrap().iter().map(place).collect();
    assert!(page.contains(&hour.iter().map(|(depth, index)| format!("({depth}, {index})")).collect::<Vec<_>>().join(" ")));
    let page = include_str!("../../docs/formats/segment.md");
    let segment = &vectors["segment"];
    for name in ["salt", "slot_key", "ciphertext_root", "commitment_root"] {
        quotes(page, &segment[name]);
    }
    segment["fragments"].as_array().unwrap().iter().for_each(|fragment| quotes(page, &fragment["commitment"]));
    for name in ["aes_key", "commitment_key", "ciphertext_leaf"] {
        quotes(page, &segment["fragments"][1][name]);
    }
}

fn place(node: &Value) -> (u32, u32) {
    (number(&node["depth"]), number(&node["index"]))
}

#[test]
fn the_worst_range_takes_38_nodes() {
    assert_eq!(tree().cover(1, LAST_SLOT - 1).unwrap().len(), COVER_NODES_MAX);
}

/// A grant of two ranges fits: no two take more, and what is written is read again.
#[test]
fn the_worst_two_ranges_take_72_nodes() {
    let half = SLOTS / 2;
    let mut nodes = tree().cover(1, half - 2).unwrap();
    nodes.extend(tree().cover(half + 1, LAST_SLOT - 1).unwrap());
    assert_eq!(nodes.len(), NODES_MAX);
    assert!(KeyTree::from_nodes(nodes).is_ok());
}

#[test]
fn a_commitment_needs_the_root_and_tells_streams_apart() {
    let (one, other) = (StreamName::parse("camera/1/main/a").unwrap(), StreamName::parse("camera/1/main/b").unwrap());
    let mut tree = tree();
    assert_ne!(tree.commitment(&one), tree.commitment(&other));
    let commitment = tree.commitment(&one).unwrap();
    assert!(tree.is_committed(&one, &commitment));
    assert!(!tree.is_committed(&other, &commitment), "another stream's commitment");
    tree.forget_before(1);
    assert_eq!(tree.commitment(&one), None, "a commitment under a node that is not the root");
    assert!(!tree.is_committed(&one, &commitment), "a part of the tree is no root");
}

#[test]
fn an_empty_or_endless_range_has_no_cover() {
    assert!(tree().cover(5, 4).is_none());
    assert!(tree().cover(0, SLOTS).is_none());
    assert!(tree().cover(u32::MAX, u32::MAX).is_none());
    assert!(tree().slot_key(SLOTS).is_none());
}

#[test]
fn a_cover_across_a_hole_is_refused() {
    let mut nodes = tree().cover(0, 99).unwrap();
    nodes.extend(tree().cover(101, 200).unwrap());
    let holed = KeyTree::from_nodes(nodes).unwrap();
    assert!(holed.cover(0, 99).is_some());
    assert!(holed.cover(99, 101).is_none());
    assert!(holed.cover(0, 200).is_none());
    assert!(holed.cover(150, 201).is_none(), "a range that is held only in part was granted");
    assert!(holed.cover(201, 300).is_none());
    assert!(holed.slot_key(100).is_none(), "slot 100 was never disclosed");
}

#[test]
fn hostile_nodes_are_refused() {
    let refused = |nodes: Vec<Node>| KeyTree::from_nodes(nodes).is_err();
    assert!(refused(vec![node(21, 0)]), "deeper than the tree");
    assert!(refused(vec![node(255, 0)]), "far deeper than the tree");
    assert!(refused(vec![node(0, 1)]), "beside the root");
    assert!(refused(vec![node(3, 8)]), "beyond its level");
    assert!(refused(vec![node(20, u32::MAX)]), "far beyond its level");
    assert!(refused(vec![node(20, 5), node(20, 5)]), "twice the same");
    assert!(refused(vec![node(20, 6), node(20, 5)]), "out of order");
    assert!(refused(vec![node(19, 2), node(20, 5)]), "one within the other");
    assert!(refused(vec![node(0, 0), node(20, 5)]), "the root and a leaf");
    assert!(refused((0..=NODES_MAX as u32).map(|index| node(20, index)).collect()), "73 nodes");
    assert!(!refused((0..NODES_MAX as u32).map(|index| node(20, index)).collect()));
    assert!(!refused(vec![node(1, 0), node(1, 1)]));
}

#[test]
fn forgetting_twice_or_backwards_brings_nothing_back() {
    let mut tree = tree();
    tree.forget_before(5000);
    tree.forget_before(4000);
    assert!(tree.slot_key(4999).is_none());
    tree.forget_before(SLOTS);
    assert!(tree.nodes().is_empty(), "something is kept after the end");
    tree.forget_before(u32::MAX);
}

#[test]
fn debug_output_shows_no_key() {
    let tree = KeyTree::from_root(Zeroizing::new([0xab; 32]));
    let text = format!("{tree:?} {tree:#?} {:?} {:?} {:?}", tree.nodes()[0], tree.nodes()[0].key, tree.slot_key(3).unwrap());
    assert!(!text.contains("171") && !text.contains("abab"), "{text}");
    assert!(text.contains("depth: 0"), "{text}");
}

/// The bytes of a slot's key, which only a cover gives.
fn slot_bytes(tree: &KeyTree, slot: u32) -> NodeKey {
    tree.cover(slot, slot).unwrap()[0].key.clone()
}

fn range() -> impl Strategy<Value = (u32, u32)> {
    prop_oneof![(0..SLOTS, 0..SLOTS), (0..64u32, 0..64u32), (0..64u32, LAST_SLOT - 64..SLOTS)]
        .prop_map(|(one, other)| (one.min(other), one.max(other)))
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_cover_is_the_least_and_opens_exactly_its_range((first, last) in range(), inside in any::<prop::sample::Index>()) {
        let whole = tree();
        let cover = whole.cover(first, last).unwrap();
        prop_assert!(cover.len() <= COVER_NODES_MAX);
        prop_assert_eq!(places(&cover).into_iter().collect::<BTreeSet<_>>(), maximal_ranges(first, last));
        let part = KeyTree::from_nodes(cover).unwrap();
        let inside = first + inside.index((last - first + 1) as usize) as u32;
        for slot in [first, inside, last] {
            prop_assert_eq!(slot_bytes(&part, slot), slot_bytes(&whole, slot));
        }
        prop_assert!(first == 0 || part.slot_key(first - 1).is_none(), "a grant opens what is before its range");
        prop_assert!(part.slot_key(last + 1).is_none(), "a grant opens what is after its range");
    }

    #[test]
    fn what_is_left_of_now_is_gone_and_the_rest_is_as_before((now, later) in range(), step in 1..1000u32) {
        let whole = tree();
        let mut kept = whole.clone();
        kept.forget_before(now.saturating_sub(step));
        kept.forget_before(now);
        prop_assert_eq!(places(kept.nodes()).into_iter().collect::<BTreeSet<_>>(), maximal_ranges(now, LAST_SLOT));
        prop_assert!(now == 0 || kept.slot_key(now - 1).is_none(), "the past was not forgotten");
        prop_assert_eq!(slot_bytes(&kept, later), slot_bytes(&whole, later));
        let cover = kept.cover(now, later).unwrap();
        prop_assert_eq!(places(&cover).into_iter().collect::<BTreeSet<_>>(), maximal_ranges(now, later));
    }
}

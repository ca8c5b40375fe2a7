//! Key trees and fragments: what a stranger discloses or sends, against slow and obvious implementations.

use exhibit_evidence::StreamName;
use exhibit_evidence::body::Segment;
use exhibit_evidence::keytree::{DEPTH, KeyTree, Node, NodeKey, SLOTS};
use exhibit_evidence::segment::{
    CiphertextChecker, CiphertextError, OpenError, SegmentOpener, SegmentSealer, fragment_path, verify_fragment,
};
use exhibit_pki::Timestamp;
use exhibit_tlog::{Hash, leaf_hash, root_of};
use zeroize::Zeroizing;

/// `[first: 4][last: 4][forget: 4][depth, index: 4]…`: disclosed nodes, a range to cover, and a moment before which to forget.
pub fn key_tree(input: &[u8]) -> bool {
    let (words, _) = input.as_chunks::<4>();
    let [first, last, now, ..] = *words else { return false };
    // Mostly within the tree, sometimes past it.
    let [first, last, now] = [first, last, now].map(|word| u32::from_be_bytes(word) % (SLOTS + SLOTS / 16));
    let (places, _) = input[12..].as_chunks::<5>();
    let place = |[depth, index @ ..]: &[u8; 5]| (*depth, u32::from_be_bytes(*index));
    let nodes: Vec<Node> = places.iter().map(place).map(|(depth, index)| Node { depth, index, key: NodeKey::new(&[depth; 32]) }).collect();
    let Ok(mut tree) = KeyTree::from_nodes(nodes) else { return false };
    // Overflow-free in 64 bits, which the tree's own arithmetic in 32 is compared with.
    let held: Vec<(u64, u64)> = tree.nodes().iter().map(slots).collect();
    assert!(held.windows(2).all(|pair| pair[0].1 < pair[1].0), "nodes overlap");
    let holds = |slot: u32| held.iter().any(|(from, to)| (*from..=*to).contains(&slot.into()));
    for slot in [0, 1, first, last, now, first.wrapping_sub(1), last.wrapping_add(1), SLOTS - 1, SLOTS] {
        assert_eq!(tree.slot_key(slot).is_some(), holds(slot), "slot {slot}");
    }
    match tree.cover(first, last) {
        Some(cover) => {
            let covered: Vec<(u64, u64)> = cover.iter().map(slots).collect();
            assert!(covered.windows(2).all(|pair| pair[0].1 + 1 == pair[1].0), "a cover has a hole");
            assert_eq!((covered[0].0, covered[covered.len() - 1].1), (first.into(), last.into()), "a cover opens another range");
            assert_least(&cover, &held);
            let part = KeyTree::from_nodes(cover.clone());
            // What may be disclosed at once has a limit, which a stranger's nodes can exceed together.
            assert!(part.is_ok() || cover.len() > exhibit_evidence::keytree::NODES_MAX);
        }
        None => assert!(first > last || last >= SLOTS || (first..=last).any(|slot| !holds(slot)), "what is held was not covered"),
    }
    tree.forget_before(now);
    for slot in [0, now.wrapping_sub(1), now, now.saturating_add(1), last, SLOTS - 1] {
        assert_eq!(tree.slot_key(slot).is_some(), slot >= now && holds(slot), "slot {slot} after forgetting what is before {now}");
    }
    true
}

fn slots(node: &Node) -> (u64, u64) {
    let width = 1_u64 << (DEPTH - node.depth);
    (u64::from(node.index) * width, u64::from(node.index) * width + width - 1)
}

/// No two neighbours could be one node, unless they are held apart.
fn assert_least(cover: &[Node], held: &[(u64, u64)]) {
    for pair in cover.windows(2) {
        let siblings = pair[0].depth == pair[1].depth && pair[0].index % 2 == 0 && pair[0].index + 1 == pair[1].index;
        let (from, to) = (slots(&pair[0]).0, slots(&pair[1]).1);
        let held_together = held.iter().any(|(first, last)| *first <= from && to <= *last);
        assert!(!siblings || !held_together, "a cover has two nodes where one would do");
    }
}

const PLAINTEXTS: [&[u8]; 3] = [b"the first fragment", b"the second, which is a little longer", b"x"];

fn sealed() -> (StreamName, Segment, Vec<Vec<u8>>) {
    let stream = StreamName::parse("camera/102/main/20261120T115958Z").expect("it is a name");
    let slot_key = KeyTree::from_root(Zeroizing::new([1; 32])).slot_key(7).expect("the root opens every slot");
    let mut sealer = SegmentSealer::new(&stream, 7, slot_key, [2; 16]);
    let fragments = PLAINTEXTS.iter().enumerate().map(|(index, plaintext)| sealer.seal(plaintext, index == 2)).collect();
    let sealed = sealer.finish();
    let segment = Segment {
        slot: 7,
        salt: [2; 16],
        start: Timestamp::from_unix_ms(1_795_176_000_000).expect("it is a moment"),
        duration_ms: 2000,
        media_type: "video/mp4".to_owned(),
        random_access: true,
        fragment_lengths: sealed.fragment_lengths,
        ciphertext_root: sealed.ciphertext_root,
        commitment_root: sealed.commitment_root,
        attachments: Vec::new(),
    };
    (stream, segment, fragments)
}

/// The payload of the corpus: three fragments end to end.
pub fn payload() -> Vec<u8> {
    sealed().2.concat()
}

/// `[index][piece]` and a payload: opened as fragment `index`, and checked in pieces of `piece` bytes.
pub fn fragments(input: &[u8]) -> bool {
    let [index, piece, payload @ ..] = input else { return false };
    let (stream, segment, genuine) = sealed();
    let slot_key = KeyTree::from_root(Zeroizing::new([1; 32])).slot_key(7).expect("the root opens every slot");
    let opener = SegmentOpener::new(&stream, 7, &segment, slot_key);
    match opener.open(u32::from(*index), payload) {
        Ok(opened) => {
            assert_eq!(payload, genuine[usize::from(*index)], "a fragment was changed and still opens");
            assert_eq!(opened.plaintext, PLAINTEXTS[usize::from(*index)]);
        }
        Err(error) => {
            let right_length = genuine.get(usize::from(*index)).is_some_and(|fragment| fragment.len() == payload.len());
            let expected = if right_length { OpenError::Tag(u32::from(*index)) } else { OpenError::Length(u32::from(*index)) };
            assert_eq!(error, expected);
        }
    }
    let leaves: Vec<Hash> = genuine.iter().map(|fragment| leaf_hash(fragment)).collect();
    for place in 0..3 {
        let path = fragment_path(&leaves, place).expect("there is such a fragment");
        assert_eq!(verify_fragment(&segment, place, &genuine[place as usize], &path), Ok(()));
        let proven = verify_fragment(&segment, place, payload, &path).is_ok();
        assert_eq!(proven, payload == genuine[place as usize], "what was not sealed is proven, or what was is not");
    }
    let mut checker = CiphertextChecker::new(&segment);
    payload.chunks(usize::from(*piece).max(1)).for_each(|piece| checker.update(piece));
    let checked = checker.finish();
    let whole = genuine.concat();
    match checked {
        Ok(checked) => {
            assert_eq!(payload, whole, "a payload was changed and still counts as signed");
            assert_eq!(checked, leaves);
            assert_eq!(root_of(&checked), segment.ciphertext_root);
            true
        }
        Err(error) => {
            assert_ne!(payload, whole, "the payload that was signed was refused");
            assert_eq!(error, if payload.len() == whole.len() { CiphertextError::Root } else { CiphertextError::Length });
            false
        }
    }
}

//! Sealing, opening and checking a whole segment takes the memory of one fragment, however many fragments it has.

#![allow(clippy::unwrap_used)]

use exhibit_evidence::StreamName;
use exhibit_evidence::body::{SEGMENT_BYTES_MAX, Segment};
use exhibit_evidence::keytree::{KeyTree, SlotKey};
use exhibit_evidence::segment::{CiphertextChecker, SegmentOpener, SegmentSealer, TAG_BYTES, commitment_root};
use exhibit_fuzz::allocation::peak_bytes_of;
use exhibit_pki::Timestamp;
use exhibit_tlog::Hash;
use zeroize::Zeroizing;

/// A fragment of half a second at 8 Mbit/s.
const FRAGMENT_BYTES: usize = 512 << 10;
const FRAGMENTS: usize = SEGMENT_BYTES_MAX as usize / FRAGMENT_BYTES;
/// Beside a fragment: names, lengths and hashes of 16 fragments, a key schedule, a small tree.
const BESIDE_BYTES_MAX: usize = 16 << 10;

fn slot_key() -> SlotKey {
    KeyTree::from_root(Zeroizing::new([1; 32])).slot_key(7).unwrap()
}

fn stream() -> StreamName {
    StreamName::parse("camera/102/main/20261120T115958Z").unwrap()
}

fn plaintext(index: usize) -> Vec<u8> {
    vec![index as u8; FRAGMENT_BYTES]
}

/// The segment as signed, and its fragments, sealed one by one into what is here the spool.
fn sealed() -> (Segment, Vec<Vec<u8>>) {
    let mut sealer = SegmentSealer::new(&stream(), 7, slot_key(), [2; 16]);
    let spool: Vec<_> = (0..FRAGMENTS).map(|index| sealer.seal(&plaintext(index), index + 1 == FRAGMENTS)).collect();
    let sealed = sealer.finish();
    let segment = Segment {
        slot: 7,
        salt: [2; 16],
        start: Timestamp::from_unix_ms(1_795_176_000_000).unwrap(),
        duration_ms: 8000,
        media_type: "video/mp4".to_owned(),
        random_access: true,
        fragment_lengths: sealed.fragment_lengths,
        ciphertext_root: sealed.ciphertext_root,
        commitment_root: sealed.commitment_root,
        attachments: Vec::new(),
    };
    (segment, spool)
}

#[test]
fn a_segment_of_8_mib_is_sealed_in_the_memory_of_one_fragment() {
    let plaintext = plaintext(0);
    let (_, peak_bytes) = peak_bytes_of(|| {
        let mut sealer = SegmentSealer::new(&stream(), 7, slot_key(), [2; 16]);
        for index in 0..FRAGMENTS {
            // What is sealed goes out: here, nowhere.
            assert_eq!(sealer.seal(&plaintext, index + 1 == FRAGMENTS).len(), FRAGMENT_BYTES + TAG_BYTES);
        }
        sealer.finish()
    });
    assert!(peak_bytes >= FRAGMENT_BYTES, "the ciphertext of a fragment was not counted");
    assert!(peak_bytes <= FRAGMENT_BYTES + BESIDE_BYTES_MAX, "sealing took {peak_bytes} bytes");
}

#[test]
fn a_segment_of_8_mib_is_opened_in_the_memory_of_one_fragment() {
    let (segment, spool) = sealed();
    let (root, peak_bytes) = peak_bytes_of(|| {
        let opener = SegmentOpener::new(&stream(), 7, &segment, slot_key());
        let commitments: Vec<Hash> =
            (0..).zip(&spool).map(|(index, ciphertext)| opener.open(index, ciphertext).unwrap().commitment).collect();
        commitment_root(&commitments)
    });
    assert_eq!(root, segment.commitment_root);
    assert!(peak_bytes >= FRAGMENT_BYTES, "the plaintext of a fragment was not counted");
    assert!(peak_bytes <= FRAGMENT_BYTES + BESIDE_BYTES_MAX, "opening took {peak_bytes} bytes");
}

#[test]
fn a_segment_of_8_mib_is_checked_in_the_memory_of_no_fragment() {
    let (segment, spool) = sealed();
    let (checked, peak_bytes) = peak_bytes_of(|| {
        let mut checker = CiphertextChecker::new(&segment);
        spool.iter().flat_map(|fragment| fragment.chunks(64 << 10)).for_each(|piece| checker.update(piece));
        checker.finish().is_ok()
    });
    assert!(checked);
    assert!(peak_bytes <= BESIDE_BYTES_MAX, "checking took {peak_bytes} bytes");
}

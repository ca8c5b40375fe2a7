//! Fragments against vectors of an independent generator, against stock openssl, and against hands that swap, cut, move or equivocate.

#![allow(clippy::unwrap_used)]

use std::fs;
use std::process::Command;

use aes::cipher::{BlockCipherEncrypt, KeyInit};
use exhibit_evidence::StreamName;
use exhibit_evidence::body::Segment;
use exhibit_evidence::keytree::{KeyTree, Node, NodeKey, SlotKey};
use exhibit_evidence::segment::{
    CiphertextChecker, CiphertextError, CommitmentKey, FRAGMENTS_MAX, FragmentProofError, OpenError, OpenedFragment, SealedSegment,
    SegmentOpener, SegmentSealer, TAG_BYTES, commitment, commitment_root, fragment_path, verify_commitment, verify_fragment,
};
use exhibit_pki::Timestamp;
use exhibit_tlog::{Hash, ProofError, leaf_hash, root_of};
use hmac::{Hmac, Mac};
use proptest::prelude::*;
use serde_json::Value;
use sha2::Sha256;
use zeroize::Zeroizing;

#[path = "../../tests/independent/ask.rs"]
mod independent;
use independent::{assert_agrees_on, judged};

const STREAM: &str = "camera/102/main/20261120T115958Z";
const SEQ: u64 = 7;
const SALT: [u8; 16] = [0x5a; 16];

fn stream() -> StreamName {
    StreamName::parse(STREAM).unwrap()
}

/// A slot key of known bytes.
fn slot_key(bytes: [u8; 32]) -> SlotKey {
    let leaf = Node { depth: 20, index: 0, key: NodeKey::new(&bytes) };
    KeyTree::from_nodes(vec![leaf]).unwrap().slot_key(0).unwrap()
}

fn stated(sealed: &SealedSegment, salt: [u8; 16]) -> Segment {
    Segment {
        slot: 0,
        salt,
        start: Timestamp::from_unix_ms(1_795_867_200_000).unwrap(),
        duration_ms: 2000,
        media_type: "video/mp4".to_owned(),
        random_access: true,
        fragment_lengths: sealed.fragment_lengths.clone(),
        ciphertext_root: sealed.ciphertext_root,
        commitment_root: sealed.commitment_root,
        attachments: Vec::new(),
    }
}

struct Sealed {
    segment: Segment,
    fragments: Vec<Vec<u8>>,
}

fn seal(plaintexts: &[Vec<u8>]) -> Sealed {
    let mut sealer = SegmentSealer::new(&stream(), SEQ, slot_key([1; 32]), SALT);
    let last = plaintexts.len() - 1;
    let fragments = plaintexts.iter().enumerate().map(|(index, plaintext)| sealer.seal(plaintext, index == last)).collect();
    Sealed { segment: stated(&sealer.finish(), SALT), fragments }
}

fn four_fragments() -> Vec<Vec<u8>> {
    [1000, 1000, 17, 1].iter().enumerate().map(|(index, length)| vec![index as u8; *length]).collect()
}

/// Opens fragments, and remembers them for the verifier in Python.
struct Opener<'a> {
    inner: SegmentOpener,
    segment: &'a Segment,
}

impl Opener<'_> {
    fn open(&self, index: u32, fragment: &[u8]) -> Result<OpenedFragment, OpenError> {
        let lengths: Vec<String> = self.segment.fragment_lengths.iter().map(ToString::to_string).collect();
        let (seq, index_text, lengths) = (SEQ.to_string(), index.to_string(), lengths.join(" "));
        let with =
            [&[1; 32][..], &self.segment.salt, STREAM.as_bytes(), seq.as_bytes(), index_text.as_bytes(), lengths.as_bytes(), fragment];
        judged("fragment", &with, self.inner.open(index, fragment))
    }
}

fn opener(segment: &Segment) -> Opener<'_> {
    Opener { inner: SegmentOpener::new(&stream(), SEQ, segment, slot_key([1; 32])), segment }
}

fn check(segment: &Segment, payload: &[u8]) -> Result<Vec<Hash>, CiphertextError> {
    let mut checker = CiphertextChecker::new(segment);
    checker.update(payload);
    checker.finish()
}

fn vectors() -> Value {
    serde_json::from_str(include_str!("vectors/keys.json")).unwrap()
}

fn text(json: &Value) -> &str {
    json.as_str().unwrap()
}

fn bytes(json: &Value) -> Vec<u8> {
    hex::decode(text(json)).unwrap()
}

#[test]
fn a_segment_is_sealed_as_the_independent_generator_says() {
    let vectors = vectors();
    let segment = &vectors["segment"];
    let root = KeyTree::from_root(Zeroizing::new(bytes(&vectors["root"]).try_into().unwrap()));
    let key = root.slot_key(segment["slot"].as_u64().unwrap() as u32).unwrap();
    let salt: [u8; 16] = bytes(&segment["salt"]).try_into().unwrap();
    let stream = StreamName::parse(text(&vectors["stream"])).unwrap();
    let seq = segment["seq"].as_u64().unwrap();
    let mut sealer = SegmentSealer::new(&stream, seq, key.clone(), salt);
    let expected = segment["fragments"].as_array().unwrap();
    for fragment in expected {
        let ciphertext = sealer.seal(&bytes(&fragment["plaintext"]), fragment["last"].as_bool().unwrap());
        assert_eq!(hex::encode(ciphertext), text(&fragment["ciphertext"]));
    }
    let sealed = sealer.finish();
    assert_eq!(sealed.ciphertext_root.to_string(), text(&segment["ciphertext_root"]));
    assert_eq!(sealed.commitment_root.to_string(), text(&segment["commitment_root"]));

    let opener = SegmentOpener::new(&stream, seq, &stated(&sealed, salt), key);
    for (index, fragment) in expected.iter().enumerate() {
        let opened = opener.open(index as u32, &bytes(&fragment["ciphertext"])).unwrap();
        assert_eq!(hex::encode(opened.plaintext), text(&fragment["plaintext"]));
        assert_eq!(opened.commitment.to_string(), text(&fragment["commitment"]));
        assert_eq!(hex::encode(*opened.key.0), text(&fragment["commitment_key"]));
    }
}

/// The commands of docs/formats/segment.md, as they stand there but for the values.
#[test]
fn stock_openssl_checks_and_decrypts_a_fragment() {
    let folder = tempfile::tempdir().unwrap();
    let run = |command: &str| {
        let output = Command::new("bash").arg("-c").arg(command).current_dir(folder.path()).output().unwrap();
        assert!(output.status.success(), "{command}: {}", String::from_utf8_lossy(&output.stderr));
        output.stdout
    };
    let digest = |command: &str| String::from_utf8(run(command)).unwrap().trim().rsplit(' ').next().unwrap().to_owned();
    let vectors = vectors();
    let fragment = &vectors["segment"]["fragments"][1];
    let ciphertext = bytes(&fragment["ciphertext"]);
    fs::write(folder.path().join("fragment"), &ciphertext).unwrap();
    fs::write(folder.path().join("plain"), bytes(&fragment["plaintext"])).unwrap();

    let key = text(&fragment["commitment_key"]);
    let prefix = r"exhibit/plain/v1\0\0\0\1\0\0\0\0\0\0\0\0\x27";
    let command = format!("(printf '{prefix}'; cat plain) | openssl dgst -sha256 -mac HMAC -macopt hexkey:{key}");
    assert_eq!(digest(&command), text(&fragment["commitment"]));

    assert_eq!(digest(r"(printf '\0'; cat fragment) | openssl dgst -sha256"), text(&fragment["ciphertext_leaf"]));

    let key = text(&fragment["aes_key"]);
    let command = format!("head -c -16 fragment | openssl enc -d -aes-256-ctr -K {key} -iv 00000000000000000000000000000002");
    assert_eq!(run(&command), bytes(&fragment["plaintext"]));
}

#[test]
fn fragments_open_in_any_order_and_give_the_signed_commitments() {
    let plaintexts = four_fragments();
    let sealed = seal(&plaintexts);
    let opener = opener(&sealed.segment);
    let mut commitments = vec![Hash::default(); plaintexts.len()];
    for index in [3, 1, 0, 2] {
        let opened = opener.open(index as u32, &sealed.fragments[index]).unwrap();
        assert_eq!(opened.plaintext, plaintexts[index]);
        assert_eq!(commitment(&opened.key, index as u32, index == 3, &plaintexts[index]), opened.commitment);
        commitments[index] = opened.commitment;
    }
    assert_eq!(commitment_root(&commitments), sealed.segment.commitment_root);
}

#[test]
fn no_two_fragments_share_a_key() {
    let same = vec![vec![9; 64]; 3];
    let sealed = seal(&same);
    assert_ne!(sealed.fragments[0][..64], sealed.fragments[1][..64], "two fragments under one key and nonce");
    let mut sealer = SegmentSealer::new(&stream(), SEQ, slot_key([1; 32]), [0x5b; 16]);
    assert_ne!(sealer.seal(&same[0], false)[..64], sealed.fragments[0][..64], "the salt does not matter");
    let mut sealer = SegmentSealer::new(&stream(), SEQ, slot_key([2; 32]), SALT);
    assert_ne!(sealer.seal(&same[0], false)[..64], sealed.fragments[0][..64], "the slot does not matter");
}

#[test]
fn damage_is_located() {
    let sealed = seal(&four_fragments());
    let opener = opener(&sealed.segment);
    for damaged in 0..4 {
        for position in [0, sealed.fragments[damaged].len() - TAG_BYTES - 1, sealed.fragments[damaged].len() - 1] {
            let mut fragments = sealed.fragments.clone();
            fragments[damaged][position] ^= 0x80;
            for (index, fragment) in fragments.iter().enumerate() {
                let opened = opener.open(index as u32, fragment).map(|_| ());
                let expected = if index == damaged { Err(OpenError::Tag(index as u32)) } else { Ok(()) };
                assert_eq!(opened, expected, "byte {position} of fragment {damaged} was changed");
            }
            assert_eq!(check(&sealed.segment, &fragments.concat()), Err(CiphertextError::Root));
        }
    }
}

#[test]
fn fragments_swapped() {
    let sealed = seal(&four_fragments());
    let opener = opener(&sealed.segment);
    assert_eq!(opener.open(0, &sealed.fragments[1]).unwrap_err(), OpenError::Tag(0));
    assert_eq!(opener.open(1, &sealed.fragments[0]).unwrap_err(), OpenError::Tag(1));
    let swapped = [&sealed.fragments[1], &sealed.fragments[0], &sealed.fragments[2], &sealed.fragments[3]].map(Vec::as_slice).concat();
    assert_eq!(check(&sealed.segment, &swapped), Err(CiphertextError::Root));
}

#[test]
fn last_flag_changed_by_dropping_the_tail() {
    let sealed = seal(&four_fragments());
    // Even one who could sign: three fragments stated where four were sealed.
    let mut shortened = sealed.segment.clone();
    shortened.fragment_lengths.truncate(3);
    assert_eq!(opener(&shortened).open(2, &sealed.fragments[2]).unwrap_err(), OpenError::Tag(2), "a segment ends where it did not");
    let mut lengthened = sealed.segment.clone();
    lengthened.fragment_lengths.push(1017);
    assert_eq!(opener(&lengthened).open(3, &sealed.fragments[3]).unwrap_err(), OpenError::Tag(3), "a segment goes on where it ended");
}

#[test]
fn the_last_flag_is_in_the_commitment() {
    let key = CommitmentKey(Zeroizing::new([3; 32]));
    assert_ne!(commitment(&key, 0, false, b"x"), commitment(&key, 0, true, b"x"));
    assert_ne!(commitment(&key, 0, false, b"x"), commitment(&key, 1, false, b"x"));
    assert_ne!(commitment(&key, 0, false, b""), commitment(&key, 0, false, b"\0"));
}

#[test]
fn moved_to_another_seq_or_stream_or_salt() {
    let sealed = seal(&four_fragments());
    let open = |stream: &str, seq: u64, segment: &Segment, key: [u8; 32]| {
        let stream = StreamName::parse(stream).unwrap();
        SegmentOpener::new(&stream, seq, segment, slot_key(key)).open(0, &sealed.fragments[0]).map(|opened| opened.plaintext)
    };
    assert!(open(STREAM, SEQ, &sealed.segment, [1; 32]).is_ok());
    assert_eq!(open(STREAM, SEQ + 1, &sealed.segment, [1; 32]), Err(OpenError::Tag(0)));
    assert_eq!(open("camera/103/main/20261120T115958Z", SEQ, &sealed.segment, [1; 32]), Err(OpenError::Tag(0)));
    assert_eq!(open(STREAM, SEQ, &sealed.segment, [2; 32]), Err(OpenError::Tag(0)));
    let mut salted = sealed.segment.clone();
    salted.salt[0] ^= 1;
    assert_eq!(open(STREAM, SEQ, &salted, [1; 32]), Err(OpenError::Tag(0)));
}

#[test]
fn truncated_or_longer() {
    let sealed = seal(&four_fragments());
    let opener = opener(&sealed.segment);
    for index in 0..4 {
        let fragment = &sealed.fragments[index as usize];
        assert_eq!(opener.open(index, &fragment[..fragment.len() - 1]).unwrap_err(), OpenError::Length(index));
        assert_eq!(opener.open(index, &[fragment.as_slice(), &[0]].concat()).unwrap_err(), OpenError::Length(index));
        assert_eq!(opener.open(index, &[]).unwrap_err(), OpenError::Length(index));
    }
    assert_eq!(opener.open(4, &sealed.fragments[3]).unwrap_err(), OpenError::Length(4));
    assert_eq!(opener.open(u32::MAX, &sealed.fragments[3]).unwrap_err(), OpenError::Length(u32::MAX));

    let payload = sealed.fragments.concat();
    assert_eq!(check(&sealed.segment, &payload[..payload.len() - 1]), Err(CiphertextError::Length));
    assert_eq!(check(&sealed.segment, &[payload.as_slice(), &[0]].concat()), Err(CiphertextError::Length));
    assert_eq!(check(&sealed.segment, &[]), Err(CiphertextError::Length));
    let without_last = sealed.fragments[..3].concat();
    assert_eq!(check(&sealed.segment, &without_last), Err(CiphertextError::Length));
}

#[test]
fn a_segment_that_only_touches_an_interval_is_not_in_it() {
    let mut segment = seal(&four_fragments()).segment;
    let at = |ms: u64| Timestamp::from_unix_ms(1_795_176_000_000 + ms).unwrap();
    (segment.start, segment.duration_ms) = (at(2_000), 2_000);
    for (from, to, is_in) in
        [(0, 2_000, false), (0, 2_001, true), (2_000, 4_000, true), (3_999, 9_000, true), (4_000, 9_000, false), (2_500, 2_500, true)]
    {
        assert_eq!(segment.overlaps(at(from), at(to)), is_in, "from {from} to {to} ms");
    }
}

#[test]
fn lengths_that_were_never_sealed() {
    let mut segment = seal(&four_fragments()).segment;
    for lengths in [vec![], vec![0], vec![0, 0], vec![15], vec![u32::MAX], vec![16; FRAGMENTS_MAX + 1]] {
        segment.fragment_lengths = lengths.clone();
        let opener = opener(&segment);
        for payload in [&[][..], &[0; 15], &[0; 16], &[0; 40]] {
            assert!(opener.open(0, payload).is_err(), "{lengths:?}");
            assert!(check(&segment, payload).is_err(), "{lengths:?}");
        }
    }
}

#[test]
fn a_segment_of_no_fragments_is_not_a_segment() {
    let mut segment = seal(&four_fragments()).segment;
    segment.fragment_lengths.clear();
    segment.ciphertext_root = root_of(&[]);
    assert_eq!(check(&segment, &[]), Err(CiphertextError::Length));
}

#[test]
fn cuts_moved_between_fragments_change_the_root() {
    let sealed = seal(&four_fragments());
    let mut moved = sealed.segment.clone();
    moved.fragment_lengths[0] += 1;
    moved.fragment_lengths[1] -= 1;
    assert_eq!(check(&moved, &sealed.fragments.concat()), Err(CiphertextError::Root));
}

#[test]
fn a_fragment_is_proven_alone() {
    for count in [1, 2, 3, 4, 5, 8, 13, FRAGMENTS_MAX] {
        let plaintexts: Vec<Vec<u8>> = (0..count).map(|index| vec![index as u8; 3]).collect();
        let sealed = seal(&plaintexts);
        let leaves = check(&sealed.segment, &sealed.fragments.concat()).unwrap();
        let opener = opener(&sealed.segment);
        let commitments: Vec<Hash> = (0..).zip(&sealed.fragments).map(|(at, bytes)| opener.open(at, bytes).unwrap().commitment).collect();
        let commitment_leaves: Vec<Hash> = commitments.iter().map(|commitment| leaf_hash(&commitment.0)).collect();
        for (index, (fragment, commitment)) in (0..).zip(sealed.fragments.iter().zip(&commitments)) {
            let path = fragment_path(&leaves, index).unwrap();
            assert_eq!(verify_fragment(&sealed.segment, index, fragment, &path), Ok(()));
            let path = fragment_path(&commitment_leaves, index).unwrap();
            assert_eq!(verify_commitment(&sealed.segment, index, commitment, &path), Ok(()));
        }
        assert!(fragment_path(&leaves, count as u32).is_none());
    }
}

#[test]
fn what_does_not_prove_a_fragment() {
    let sealed = seal(&(0..5_u8).map(|index| vec![index; 3]).collect::<Vec<_>>());
    let leaves = check(&sealed.segment, &sealed.fragments.concat()).unwrap();
    let path = fragment_path(&leaves, 2).unwrap();
    let fragment = &sealed.fragments[2];
    let judge = |segment: &Segment, index: u32, fragment: &[u8], path: &[Hash]| verify_fragment(segment, index, fragment, path);
    assert_eq!(judge(&sealed.segment, 2, fragment, &path), Ok(()));

    let (root, length) = (Err(FragmentProofError::Proof(ProofError::Root)), Err(FragmentProofError::Proof(ProofError::Length)));
    let mut altered = path.clone();
    altered[1].0[7] ^= 1;
    let mut flipped = fragment.clone();
    flipped[0] ^= 1;
    let with_count = |count: usize| {
        let mut segment = sealed.segment.clone();
        segment.fragment_lengths.resize(count, segment.fragment_lengths[0]);
        segment
    };
    let mut other_root = sealed.segment.clone();
    other_root.ciphertext_root = sealed.segment.commitment_root;
    let mut other_length = sealed.segment.clone();
    other_length.fragment_lengths[2] += 1;
    let surplus = [path.as_slice(), &[leaves[0]]].concat();
    let cases = [
        ("a_hash_altered", judge(&sealed.segment, 2, fragment, &altered), root),
        ("a_hash_too_few", judge(&sealed.segment, 2, fragment, &path[..2]), length),
        ("a_hash_too_many", judge(&sealed.segment, 2, fragment, &surplus), length),
        ("no_path", judge(&sealed.segment, 2, fragment, &[]), length),
        ("another_place", judge(&sealed.segment, 3, fragment, &path), root),
        ("the_last_place", judge(&sealed.segment, 4, fragment, &path), length),
        ("past_the_last", judge(&sealed.segment, 5, fragment, &path), Err(FragmentProofError::Length)),
        ("a_flipped_bit", judge(&sealed.segment, 2, &flipped, &path), root),
        ("fewer_fragments_signed", judge(&with_count(4), 2, fragment, &path), length),
        ("more_fragments_signed", judge(&with_count(9), 2, fragment, &path), length),
        ("another_root", judge(&other_root, 2, fragment, &path), root),
        ("another_length_signed", judge(&other_length, 2, fragment, &path), Err(FragmentProofError::Length)),
    ];
    for (defect, judged, expected) in cases {
        assert_eq!(judged, expected, "{defect}");
    }

    let opened = opener(&sealed.segment).open(2, fragment).unwrap();
    let commitments: Vec<Hash> =
        (0..).zip(&sealed.fragments).map(|(at, bytes)| leaf_hash(&opener(&sealed.segment).open(at, bytes).unwrap().commitment.0)).collect();
    let own = fragment_path(&commitments, 2).unwrap();
    let judge = |segment: &Segment, index: u32, commitment: &Hash, path: &[Hash]| verify_commitment(segment, index, commitment, path);
    let cases = [
        ("the_path_of_the_ciphertext", judge(&sealed.segment, 2, &opened.commitment, &path), ProofError::Root),
        ("the_leaf_for_the_commitment", judge(&sealed.segment, 2, &leaf_hash(&opened.commitment.0), &own), ProofError::Root),
        ("a_commitment_in_another_place", judge(&sealed.segment, 3, &opened.commitment, &own), ProofError::Root),
        ("a_commitment_past_the_last", judge(&sealed.segment, 5, &opened.commitment, &own), ProofError::OutOfRange),
        ("a_commitment_among_fewer", judge(&with_count(4), 2, &opened.commitment, &own), ProofError::Length),
    ];
    for (defect, judged, expected) in cases {
        assert_eq!(judged, Err(expected), "{defect}");
    }
}

/// What AES-GCM does not promise: this ciphertext and tag open under two keys, to two different pictures. The commitment tells.
#[test]
fn a_ciphertext_that_opens_under_two_keys_is_caught_by_the_commitment() {
    let (one, other) = ([1; 32], [2; 32]);
    let ciphertext = open_under_both(one, other);
    let slot_keys = [slot_key(one), slot_key(other)];
    let mut segment = seal(&[vec![0; ciphertext.len() - TAG_BYTES]]).segment;
    let open = |segment: &Segment, key: &SlotKey| SegmentOpener::new(&stream(), SEQ, segment, key.clone()).open(0, &ciphertext);

    // The dishonest camera signs the root of what it sealed, and the commitment of what the first key opens.
    let first = open(&segment, &slot_keys[0]).unwrap();
    segment.ciphertext_root = root_of(&[leaf_hash(&ciphertext)]);
    segment.commitment_root = commitment_root(&[first.commitment]);
    assert!(check(&segment, &ciphertext).is_ok());

    let second = open(&segment, &slot_keys[1]).unwrap();
    assert_ne!(first.plaintext, second.plaintext, "the construction failed: both keys show the same");
    assert_ne!(commitment_root(&[second.commitment]), segment.commitment_root, "two pictures under one signature");
}

/// One fragment whose tag verifies under the fragment keys of both slots: GHASH is linear, so one block of ciphertext makes the tags meet.
fn open_under_both(one: [u8; 32], other: [u8; 32]) -> Vec<u8> {
    let name = STREAM.as_bytes();
    let aad = [b"exhibit/aad/v1".as_slice(), &[0, name.len() as u8], name, &SEQ.to_be_bytes(), &[0; 4], &[1]].concat();
    let ciphers = [one, other].map(|slot| aes::Aes256::new_from_slice(&fragment_key(&slot)).unwrap());
    let encrypt = |cipher: &aes::Aes256, block: u128| {
        let mut block = block.to_be_bytes().into();
        cipher.encrypt_block(&mut block);
        u128::from_be_bytes(block.into())
    };
    let hash_keys = ciphers.each_ref().map(|cipher| encrypt(cipher, 0));
    let masks = ciphers.each_ref().map(|cipher| encrypt(cipher, 1));
    let mut body = [0x77; 48].to_vec();
    body[32..].fill(0);
    let tags = |body: &[u8]| [0, 1].map(|which| ghash(hash_keys[which], &aad, body) ^ masks[which]);
    let [left, right] = tags(&body);
    let coefficient = square(hash_keys[0]) ^ square(hash_keys[1]);
    let block = multiply(left ^ right, inverse(coefficient));
    body[32..].copy_from_slice(&block.to_be_bytes());
    let [left, right] = tags(&body);
    assert_eq!(left, right, "the construction failed");
    body.extend_from_slice(&left.to_be_bytes());
    body
}

fn fragment_key(slot: &[u8; 32]) -> Vec<u8> {
    let info = [b"exhibit/fragment/v1".as_slice(), &SALT, &[0; 4], &[1]].concat();
    let mac = <Hmac<Sha256> as hmac::KeyInit>::new_from_slice(slot).unwrap().chain_update(info);
    mac.finalize().into_bytes().to_vec()
}

/// SP 800-38D section 6.4, over whole messages.
fn ghash(key: u128, aad: &[u8], body: &[u8]) -> u128 {
    let lengths = ((aad.len() as u128 * 8) << 64) | (body.len() as u128 * 8);
    let blocks = aad.chunks(16).chain(body.chunks(16)).map(|chunk| {
        let mut block = [0; 16];
        block[..chunk.len()].copy_from_slice(chunk);
        u128::from_be_bytes(block)
    });
    blocks.chain([lengths]).fold(0, |sum, block| multiply(sum ^ block, key))
}

/// SP 800-38D section 6.3.
fn multiply(x: u128, mut y: u128) -> u128 {
    let mut product = 0;
    for bit in (0..128).rev() {
        if x >> bit & 1 == 1 {
            product ^= y;
        }
        y = y >> 1 ^ if y & 1 == 1 { 0xe1 << 120 } else { 0 };
    }
    product
}

fn square(x: u128) -> u128 {
    multiply(x, x)
}

/// x^(2^128 - 2).
fn inverse(x: u128) -> u128 {
    let mut power = x;
    let mut product = 1 << 127;
    for _ in 1..128 {
        power = square(power);
        product = multiply(product, power);
    }
    product
}

#[test]
fn debug_output_shows_no_key_and_no_picture() {
    let sealed = seal(&[vec![0xab; 5]]);
    let opener = opener(&sealed.segment);
    let opened = opener.open(0, &sealed.fragments[0]).unwrap();
    let sealer = SegmentSealer::new(&stream(), SEQ, slot_key([0xab; 32]), SALT);
    let text = format!("{:?} {opened:?} {:?} {sealer:?} {:?}", opener.inner, opened.key, slot_key([0xab; 32]));
    assert!(!text.contains("171") && !text.contains("abab") && !text.contains(&format!("{}", opened.key.0[0])), "{text}");
}

#[test]
#[should_panic(expected = "after the last")]
fn sealing_after_the_last_panics() {
    let mut sealer = SegmentSealer::new(&stream(), SEQ, slot_key([1; 32]), SALT);
    sealer.seal(b"x", true);
    sealer.seal(b"x", true);
}

#[test]
#[should_panic(expected = "at most 256")]
fn sealing_too_many_panics() {
    let mut sealer = SegmentSealer::new(&stream(), SEQ, slot_key([1; 32]), SALT);
    for _ in 0..=FRAGMENTS_MAX {
        sealer.seal(b"x", false);
    }
}

#[test]
#[should_panic(expected = "last fragment must be sealed")]
fn stating_an_unfinished_segment_panics() {
    let mut sealer = SegmentSealer::new(&stream(), SEQ, slot_key([1; 32]), SALT);
    sealer.seal(b"x", false);
    sealer.finish();
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn what_is_sealed_opens_and_checks_in_pieces_of_any_size(
        plaintexts in prop::collection::vec(prop::collection::vec(any::<u8>(), 1..200), 1..12),
        piece in 1..300usize,
    ) {
        let sealed = seal(&plaintexts);
        let opener = opener(&sealed.segment);
        for (index, plaintext) in plaintexts.iter().enumerate() {
            prop_assert_eq!(&opener.open(index as u32, &sealed.fragments[index]).unwrap().plaintext, plaintext);
        }
        let mut checker = CiphertextChecker::new(&sealed.segment);
        let payload = sealed.fragments.concat();
        payload.chunks(piece).for_each(|chunk| checker.update(chunk));
        let leaves: Vec<Hash> = sealed.fragments.iter().map(|fragment| leaf_hash(fragment)).collect();
        prop_assert_eq!(root_of(&leaves), sealed.segment.ciphertext_root, "rs_merkle and RFC 6962 differ");
        prop_assert_eq!(checker.finish(), Ok(leaves));
    }

    #[test]
    fn no_bytes_panic_and_none_open(
        lengths in prop::collection::vec(0..40u32, 0..6),
        payload in prop::collection::vec(any::<u8>(), 0..200),
        index in 0..8u32,
    ) {
        let mut segment = seal(&[vec![1]]).segment;
        segment.fragment_lengths = lengths;
        prop_assert!(opener(&segment).open(index, &payload).is_err());
        prop_assert!(check(&segment, &payload).is_err());
    }
}

#[test]
fn the_verifier_in_python_agrees_on_every_vector() {
    let tests: [fn(); 7] = [
        fragments_open_in_any_order_and_give_the_signed_commitments,
        damage_is_located,
        fragments_swapped,
        last_flag_changed_by_dropping_the_tail,
        moved_to_another_seq_or_stream_or_salt,
        truncated_or_longer,
        lengths_that_were_never_sealed,
    ];
    assert_agrees_on(&tests, 30);
}

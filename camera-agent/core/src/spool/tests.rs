//! Every crash leaves what `open` understands, nothing is stated twice, and nothing is let go without a receipt.

#![allow(clippy::unwrap_used)]

use exhibit_evidence::{
    AttachmentRef, Body, Head,
    body::{Close, CloseReason, Continues, Epoch, EpochReason},
    keytree::KeyTree,
};
use exhibit_tlog::EMPTY_ROOT;
use zeroize::Zeroizing;

use super::*;
use crate::{
    Fragment,
    seal::{Chain, OpenSegment, SegmentStart},
    support,
};

const KEPT: usize = 100;
const MIB: u64 = 1 << 20;

fn chain(generation: &str) -> Chain {
    let pki = support::Pki::new(10);
    let stream = StreamName::parse(&format!("camera/102/main/{generation}")).unwrap();
    Chain::begin(Hash([1; 32]), stream, pki.identity(&pki.camera()))
}

fn signed(chain: &Chain, body: Body) -> SignedStatement {
    chain.state(body, support::time("2026-11-20T12:00:02.000Z"), Head { size: 0, root: EMPTY_ROOT }).unwrap()
}

fn epoch(chain: &Chain) -> (SignedStatement, Vec<u8>) {
    let wraps = vec![5; 300];
    let body = Body::Epoch(Epoch {
        commitment: Hash([2; 32]),
        started: support::time("2026-11-20T12:00:00.000Z"),
        recipients: Hash([3; 32]),
        continues: Continues { reason: EpochReason::Start, previous: None },
        attachments: vec![AttachmentRef::of("wraps", &wraps, true)],
    });
    (signed(chain, body), wraps)
}

fn segment(chain: &Chain, bytes: usize) -> (SignedStatement, Vec<u8>) {
    let key = KeyTree::from_root(Zeroizing::new([3; 32])).slot_key(5).unwrap();
    let start = SegmentStart { slot: 5, salt: [8; 16], start: support::time("2026-11-20T12:00:00.120Z") };
    let first = Fragment { bytes: vec![1; bytes - 16], begins_segment: true, random_access: true, start_ms: 0, duration_ms: 2000 };
    let (body, ciphertext) = OpenSegment::begin(chain.stream(), chain.next_seq(), key, start, first).finish("video/mp4");
    (signed(chain, Body::Segment(body)), ciphertext)
}

fn close(chain: &Chain) -> SignedStatement {
    signed(chain, Body::Close(Close { reason: CloseReason::Stop, attachments: vec![] }))
}

fn open(folder: &Path) -> Spool {
    Spool::open(folder, 100 * MIB, KEPT).unwrap()
}

/// A spool with an epoch and so many segments of 1 MiB.
pub(crate) fn filled(folder: &Path, segments: u64) -> (Spool, Chain) {
    let mut chain = chain("20261120T115958Z");
    let mut spool = open(folder);
    let (first, wraps) = epoch(&chain);
    spool.append(&first, &[&wraps], None).unwrap();
    chain.took(&first);
    for _ in 0..segments {
        append_segment(&mut spool, &mut chain);
    }
    (spool, chain)
}

fn append_segment(spool: &mut Spool, chain: &mut Chain) {
    let (signed, ciphertext) = segment(chain, MIB as usize);
    spool.append(&signed, &[], Some(&ciphertext)).unwrap();
    chain.took(&signed);
}

fn unsent(spool: &Spool) -> Vec<u64> {
    spool.unsent().map(|(_, seq)| seq).collect()
}

fn files(folder: &Path) -> Vec<String> {
    let mut names: Vec<_> = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

#[test]
fn what_was_appended_is_given_back_by_the_next_start() {
    let folder = tempfile::tempdir().unwrap();
    let (spool, chain) = filled(folder.path(), 2);
    drop(spool);
    let spool = open(folder.path());
    assert_eq!(unsent(&spool), [0, 1, 2]);
    assert_eq!(spool.payload_bytes(), 2 * MIB);
    assert_eq!(spool.newest_position(), chain.position().as_ref());
    let first = spool.load(chain.stream(), 0).unwrap();
    assert_eq!((first.attachments, first.payload), (vec![vec![5; 300]], None));
    let second = spool.load(chain.stream(), 1).unwrap();
    assert_eq!(fs::metadata(second.payload.unwrap()).unwrap().len(), MIB);
}

#[test]
fn a_crash_after_any_step_of_an_append_leaves_the_statement_whole_or_not_at_all() {
    let steps = {
        let folder = tempfile::tempdir().unwrap();
        let (spool, chain) = filled(folder.path(), 1);
        spool.append_steps(&segment(&chain, 1000).0, &[], Some(&[0; 1000])).len()
    };
    for done in 0..=steps {
        for torn in [None, Some(0), Some(500)] {
            let folder = tempfile::tempdir().unwrap();
            let (spool, mut chain) = filled(folder.path(), 1);
            let (next, ciphertext) = segment(&chain, 1000);
            let steps = spool.append_steps(&next, &[], Some(&ciphertext));
            for step in &steps[..done] {
                step.perform().unwrap();
            }
            if let (Some(length), Some(Step::Write(path, bytes))) = (torn, steps.get(done)) {
                fs::write(path, &bytes[..length.min(bytes.len())]).unwrap();
            }
            drop(spool);

            let spool = open(folder.path());
            let whole = unsent(&spool) == [0, 1, 2];
            assert!(whole || unsent(&spool) == [0, 1], "after {done} steps: {:?}", unsent(&spool));
            assert!(whole || done < steps.len(), "a statement that may have left was removed");
            for seq in unsent(&spool) {
                spool.load(chain.stream(), seq).unwrap_or_else(|error| panic!("after {done} steps: {error}"));
            }
            if whole {
                chain.took(&next);
            }
            assert_eq!(spool.newest_position(), chain.position().as_ref());
            let left = files(&folder.path().join("camera~102~main~20261120T115958Z"));
            assert_eq!(left.len(), if whole { 6 } else { 4 }, "after {done} steps something incomplete is left: {left:?}");
        }
    }
}

#[test]
fn an_entry_whose_payload_did_not_reach_the_disk_was_never_sent_and_is_removed() {
    for damage in [|path: &Path| fs::remove_file(path).unwrap(), |path: &Path| fs::write(path, b"short").unwrap()] {
        let folder = tempfile::tempdir().unwrap();
        let (spool, chain) = filled(folder.path(), 2);
        damage(&spool.path(chain.stream(), 2, Part::Payload));
        drop(spool);
        assert_eq!(unsent(&open(folder.path())), [0, 1]);
    }
}

#[test]
fn a_crash_between_head_and_first_statement_leaves_the_position_before() {
    let folder = tempfile::tempdir().unwrap();
    let (mut spool, old) = filled(folder.path(), 1);
    let next = chain("20261121T000000Z");
    spool.begin_stream(next.stream()).unwrap();
    drop(spool);
    let mut spool = open(folder.path());
    assert_eq!(spool.newest_position(), old.position().as_ref());
    assert!(spool.has_stream(next.stream()), "the name of an epoch that may have been begun is used again");
    let (first, wraps) = epoch(&next);
    spool.append(&first, &[&wraps], None).unwrap();
    drop(spool);
    assert_eq!(open(folder.path()).newest_position().unwrap().stream, *next.stream());
}

#[test]
fn the_newest_stream_is_the_one_begun_last_whatever_its_clock_said() {
    let folder = tempfile::tempdir().unwrap();
    let (mut spool, _) = filled(folder.path(), 1);
    let backwards = chain("19700101T000000Z");
    let (first, wraps) = epoch(&backwards);
    spool.append(&first, &[&wraps], None).unwrap();
    drop(spool);
    assert_eq!(open(folder.path()).newest_position().unwrap().stream, *backwards.stream());
}

#[test]
fn one_place_is_never_stated_twice() {
    let folder = tempfile::tempdir().unwrap();
    let (mut spool, chain) = filled(folder.path(), 1);
    let before_last = chain_at(&chain, 1);
    let other = close(&before_last);
    assert!(
        matches!(spool.append(&other, &[], None), Err(SpoolError::NotNext { seq: 1, .. })),
        "a second statement for (stream, 1) was made"
    );
    drop(spool);
    let mut spool = open(folder.path());
    assert!(matches!(spool.append(&other, &[], None), Err(SpoolError::NotNext { seq: 1, .. })), "a restart forgot the first");
    assert!(
        matches!(spool.append(&close(&chain_at(&chain, 3)), &[], None), Err(SpoolError::NotNext { seq: 3, .. })),
        "a hole in the chain"
    );
}

/// The same stream, as if `next_seq` came next.
fn chain_at(like: &Chain, next_seq: u64) -> Chain {
    let mut chain = chain(like.stream().generation());
    while chain.next_seq() < next_seq {
        let signed = close(&chain);
        chain.took(&signed);
    }
    chain
}

#[test]
fn ciphertext_is_let_go_only_after_its_receipt_is_synced() {
    let folder = tempfile::tempdir().unwrap();
    let (mut spool, chain) = filled(folder.path(), 2);
    let stream = chain.stream();
    // The receipt cannot be written: a folder is in its place.
    fs::create_dir(spool.path(stream, 1, Part::Receipt)).unwrap();
    assert!(matches!(spool.acknowledge(stream, 1, "receipt"), Err(SpoolError::Storage { .. })));
    assert!(spool.path(stream, 1, Part::Payload).exists(), "the ciphertext is gone and there is no receipt");
    fs::remove_dir(spool.path(stream, 1, Part::Receipt)).unwrap();

    spool.acknowledge(stream, 1, "receipt").unwrap();
    assert_eq!(spool.state_of(stream, 1), Some(ItemState::Final));
    assert!(!spool.path(stream, 1, Part::Payload).exists());
    assert_eq!(fs::read(spool.path(stream, 1, Part::Receipt)).unwrap(), b"receipt");
    assert_eq!((spool.payload_bytes(), unsent(&spool)), (MIB, vec![0, 2]));
}

#[test]
fn a_crash_between_receipt_and_letting_go_is_finished_by_the_next_start() {
    let folder = tempfile::tempdir().unwrap();
    let (spool, chain) = filled(folder.path(), 2);
    storage::replace(&spool.path(chain.stream(), 1, Part::Receipt), b"receipt").unwrap();
    drop(spool);
    let spool = open(folder.path());
    assert_eq!(spool.state_of(chain.stream(), 1), Some(ItemState::Final));
    assert!(!spool.path(chain.stream(), 1, Part::Payload).exists());
    assert_eq!(spool.payload_bytes(), MIB);
}

#[test]
fn a_full_spool_takes_no_payload_and_still_takes_what_says_so() {
    let folder = tempfile::tempdir().unwrap();
    let (spool, mut chain) = filled(folder.path(), 2);
    drop(spool);
    let mut spool = Spool::open(folder.path(), 3 * MIB - 1, KEPT).unwrap();
    let (signed, ciphertext) = segment(&chain, MIB as usize);
    assert!(matches!(spool.append(&signed, &[], Some(&ciphertext)), Err(SpoolError::Full)));
    assert_eq!(unsent(&spool), [0, 1, 2], "unsent ciphertext was evicted");
    let said = close(&chain);
    spool.append(&said, &[], None).unwrap();
    chain.took(&said);
    spool.acknowledge(chain.stream(), 1, "receipt").unwrap();
    append_segment(&mut spool, &mut chain);
}

#[test]
fn old_statements_are_pruned_but_never_unsent_ones_and_never_the_end_of_the_chain() {
    let folder = tempfile::tempdir().unwrap();
    let (spool, mut chain) = filled(folder.path(), 4);
    drop(spool);
    let mut spool = Spool::open(folder.path(), 100 * MIB, 2).unwrap();
    for seq in [0, 1, 3, 4] {
        spool.acknowledge(chain.stream(), seq, "receipt").unwrap();
    }
    let kept = |spool: &Spool| (0..6).filter(|seq| spool.state_of(chain.stream(), *seq).is_some()).collect::<Vec<_>>();
    assert_eq!(kept(&spool), [2, 3, 4], "2 is unsent, and what follows it waits for it");
    spool.acknowledge(chain.stream(), 2, "receipt").unwrap();
    assert_eq!(kept(&spool), [3, 4]);
    drop(spool);
    let mut spool = Spool::open(folder.path(), 100 * MIB, 0).unwrap();
    assert_eq!(spool.newest_position(), chain.position().as_ref());
    append_segment(&mut spool, &mut chain);
    spool.acknowledge(chain.stream(), 5, "receipt").unwrap();
    assert_eq!(spool.newest_position(), chain.position().as_ref(), "the next epoch cannot say what it continues");
}

#[test]
fn one_spool_has_one_agent() {
    let folder = tempfile::tempdir().unwrap();
    let _first = open(folder.path());
    assert!(matches!(Spool::open(folder.path(), MIB, KEPT), Err(SpoolError::Busy(_))));
}

#[test]
fn a_damaged_head_is_a_finding_and_no_reason_not_to_record() {
    let folder = tempfile::tempdir().unwrap();
    let (spool, _) = filled(folder.path(), 1);
    drop(spool);
    fs::write(folder.path().join("head"), b"{\"newest\":").unwrap();
    let spool = open(folder.path());
    assert_eq!((spool.findings().len(), unsent(&spool)), (1, vec![0, 1]));
}

#[test]
fn strange_names_in_the_folder_are_left_alone() {
    let folder = tempfile::tempdir().unwrap();
    let (spool, chain) = filled(folder.path(), 1);
    let place = spool.folder_of(chain.stream());
    drop(spool);
    for name in ["1.entry", "00000000001.entry", "000000000x.entry", "0000000001.entry.bak", "notes"] {
        fs::write(place.join(name), b"?").unwrap();
    }
    fs::create_dir(folder.path().join("lost~found")).unwrap();
    let before = files(&place);
    assert_eq!(unsent(&open(folder.path())), [0, 1]);
    assert_eq!(files(&place), before);
}

#[test]
fn what_waits_for_witnesses_keeps_its_ciphertext_until_it_is_final() {
    let folder = tempfile::tempdir().unwrap();
    let (mut spool, chain) = filled(folder.path(), 2);
    let stream = chain.stream();
    spool.keep_durable(stream, 1, "receipt").unwrap();
    assert!(matches!(spool.keep_durable(stream, 1, "receipt"), Err(SpoolError::NotNext { .. })), "it was durable already");
    drop(spool);
    let mut spool = open(folder.path());
    assert_eq!((spool.state_of(stream, 1), unsent(&spool)), (Some(ItemState::Durable), vec![0, 2]));
    assert_eq!(spool.durable().map(|(_, seq)| seq).collect::<Vec<_>>(), [1]);
    assert_eq!(spool.payload_bytes(), 2 * MIB);
    spool.load(stream, 1).unwrap();
    spool.acknowledge(stream, 1, "final").unwrap();
    assert_eq!((spool.state_of(stream, 1), spool.payload_bytes()), (Some(ItemState::Final), MIB));
    assert_eq!(fs::read(spool.path(stream, 1, Part::Receipt)).unwrap(), b"final");
    assert!(!spool.path(stream, 1, Part::Payload).exists() && !spool.path(stream, 1, Part::Durable).exists());
}

#[test]
fn a_crash_between_the_final_receipt_and_letting_go_is_finished_by_the_next_start() {
    let folder = tempfile::tempdir().unwrap();
    let (mut spool, chain) = filled(folder.path(), 2);
    spool.keep_durable(chain.stream(), 1, "receipt").unwrap();
    storage::replace(&spool.path(chain.stream(), 1, Part::Receipt), b"final").unwrap();
    drop(spool);
    let spool = open(folder.path());
    assert_eq!((spool.state_of(chain.stream(), 1), spool.payload_bytes()), (Some(ItemState::Final), MIB));
    assert!(!spool.path(chain.stream(), 1, Part::Durable).exists());
}

#[test]
fn under_pressure_the_oldest_ciphertext_that_the_ledger_has_is_let_go_and_none_that_it_has_not() {
    let folder = tempfile::tempdir().unwrap();
    let (spool, mut chain) = filled(folder.path(), 3);
    drop(spool);
    let mut spool = Spool::open(folder.path(), 3 * MIB, KEPT).unwrap();
    let stream = chain.stream().clone();
    assert!(!spool.has_room_for(MIB));
    spool.keep_durable(&stream, 2, "receipt").unwrap();
    spool.keep_durable(&stream, 3, "receipt").unwrap();
    assert!(spool.has_room_for(2 * MIB) && !spool.has_room_for(2 * MIB + 1), "only what the ledger has may be let go");
    append_segment(&mut spool, &mut chain);
    let there = |spool: &Spool, seq| spool.path(&stream, seq, Part::Payload).exists();
    assert_eq!([1, 2, 3, 4].map(|seq| there(&spool, seq)), [true, false, true, true]);
    assert_eq!(spool.state_of(&stream, 2), Some(ItemState::Durable), "its final receipt is still to be collected");
    spool.acknowledge(&stream, 2, "final").unwrap();
    assert_eq!(spool.payload_bytes(), 3 * MIB);
    append_segment(&mut spool, &mut chain);
    let (signed, ciphertext) = segment(&chain, MIB as usize);
    assert!(matches!(spool.append(&signed, &[], Some(&ciphertext)), Err(SpoolError::Full)));
    assert_eq!(unsent(&spool), [0, 1, 4, 5], "unsent ciphertext was evicted");
}

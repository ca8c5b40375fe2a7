//! The ledger from outside: appends, receipts, proofs, tiles, groups, reopening, and a writer that fails.
#![allow(clippy::unwrap_used)]

mod common;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex};

use common::{
    Chain, FailingSigner, ORIGIN, Tiles, append_all, bundled_leaves, check_consistent, open, options, signers, verifier, verify_all,
};
use exhibit_ledger::{BATCH_ENTRIES_LIMIT, Candidate, Ledger, LedgerError, Options, QUEUE_CANDIDATES_MAX, Refusal, StreamHead};
use exhibit_tlog::tile::{BundleId, TileId};
use exhibit_tlog::{Checkpoint, EMPTY_ROOT, Hash, LogProof, Note, NoteError, NoteSigner, VerifierKey, leaf_hash, root_at, root_of};

#[test]
fn an_empty_ledger_has_nothing() {
    let folder = exhibit_power_loss::scratch();
    let ledger = open(folder.path());
    assert_eq!(ledger.checkpoint(), None);
    assert_eq!(ledger.size(), 0);
    assert_eq!(ledger.entry(0).unwrap(), None);
    assert_eq!(ledger.receipt(0).unwrap(), None);
    assert_eq!(ledger.root_at(0).unwrap(), Some(EMPTY_ROOT));
    assert_eq!(ledger.root_at(1).unwrap(), None);
    assert_eq!(ledger.tile(TileId { level: 0, index: 0, width: 1 }).unwrap(), None);
    assert_eq!(ledger.bundle(BundleId { index: 0, width: 1 }).unwrap(), None);
    assert_eq!(ledger.head("a").unwrap(), None);
    drop(ledger);
    assert_eq!(open(folder.path()).size(), 0);
}

#[test]
fn an_admission_is_covered_by_its_checkpoint_and_its_receipt_verifies() {
    let folder = exhibit_power_loss::scratch();
    let ledger = open(folder.path());
    let mut chain = Chain::new("camera/102/main/1");
    for index in 0..20 {
        let candidate = chain.next(100);
        let admission = ledger.append(candidate.clone()).unwrap();
        assert!(admission.new);
        assert_eq!(admission.place.index, index);
        assert_eq!(admission.place.leaf, leaf_hash(&candidate.entry));
        assert_eq!(admission.place.identity, candidate.identity);
        assert_eq!(verifier().verify(&admission.checkpoint).unwrap(), admission.head);
        assert!(admission.head.size > index, "acknowledged without a checkpoint that covers it");
        assert_eq!(ledger.entry(index).unwrap(), Some(candidate.entry));
        assert_eq!(ledger.place("camera/102/main/1", index).unwrap(), Some(admission.place));
        let receipt = LogProof::parse(&ledger.receipt(index).unwrap().unwrap()).unwrap();
        receipt.verify(&admission.place.leaf, &verifier()).unwrap();
        assert!(receipt.verify(&leaf_hash(b"another"), &verifier()).is_err());
    }
    assert_eq!(ledger.receipt(20).unwrap(), None);
    assert_eq!(verify_all(&ledger).len(), 20);
}

/// Also long after, when the log has grown; and for a statement that comes again.
#[test]
fn what_was_admitted_has_a_receipt_under_the_checkpoint_that_came_with_it() {
    let folder = exhibit_power_loss::scratch();
    let ledger = open(folder.path());
    let mut chain = Chain::new("camera/102/main/1");
    let candidates: Vec<_> = (0..700).map(|_| chain.next(100)).collect();
    let admissions: Vec<_> = append_all(&ledger, candidates.clone()).into_iter().map(Result::unwrap).collect();
    let again: Vec<_> = append_all(&ledger, [&candidates[3], &candidates[699]].map(Clone::clone)).into_iter().map(Result::unwrap).collect();
    assert!(again.iter().all(|admission| !admission.new));
    let reopened = {
        drop(ledger);
        open(folder.path())
    };
    let late = reopened.append(candidates[5].clone()).unwrap();
    for admission in admissions.iter().chain(&again).chain([&late]) {
        let receipt = LogProof::parse(&reopened.receipt_of(admission).unwrap()).unwrap();
        assert_eq!(receipt.verify(&admission.place.leaf, &verifier()).unwrap(), admission.head);
        assert_eq!(receipt.checkpoint, *admission.checkpoint, "the receipt is for a moment that the issuer was not told of");
    }
}

#[test]
fn every_published_size_is_consistent_with_every_later_one() {
    let folder = exhibit_power_loss::scratch();
    let ledger = open(folder.path());
    let mut chain = Chain::new("a");
    let heads: Vec<Checkpoint> = (0..70).map(|_| ledger.append(chain.next(10)).unwrap().head).collect();
    for (position, old) in heads.iter().enumerate() {
        for new in &heads[position..] {
            check_consistent(&ledger, &[old.clone(), new.clone()]);
        }
    }
    assert_eq!(ledger.consistency(3, 71).unwrap(), None);
    assert_eq!(ledger.consistency(4, 3).unwrap(), None);
    assert_eq!(ledger.consistency(0, 3).unwrap(), Some(vec![]));
}

#[test]
fn tiles_and_bundles_of_every_size_lead_to_its_root() {
    const SIZE: u64 = 600;
    let folder = exhibit_power_loss::scratch();
    let ledger = open(folder.path());
    let mut chain = Chain::new("a");
    let outcomes = append_all(&ledger, (0..SIZE).map(|_| chain.next(10)));
    let leaves: Vec<Hash> = outcomes.into_iter().map(|outcome| outcome.unwrap().place.leaf).collect();
    for size in 1..=SIZE {
        let root = root_of(&leaves[..size as usize]);
        assert_eq!(root_at(&Tiles { ledger: &ledger, size }, size), Ok(root), "tiles of size {size}");
        assert_eq!(ledger.root_at(size).unwrap(), Some(root));
        if size % 50 == 0 || size % 256 < 2 {
            assert_eq!(bundled_leaves(&ledger, size), leaves[..size as usize], "bundles of size {size}");
        }
    }
}

#[test]
fn tiles_that_no_published_tree_has_are_not_served() {
    let folder = exhibit_power_loss::scratch();
    let ledger = open(folder.path());
    let mut chain = Chain::new("a");
    append_all(&ledger, (0..300).map(|_| chain.next(10)));
    let hostile = [(0, 1, 45), (0, 1, 256), (0, 0, 0), (0, 0, 257), (0, 2, 1), (1, 0, 2), (1, 1, 1), (2, 0, 1), (63, 0, 1), (255, 0, 1)];
    for (level, index, width) in hostile {
        assert_eq!(ledger.tile(TileId { level, index, width }).unwrap(), None, "{level}/{index}.p/{width}");
    }
    for (index, width) in [(1, 45), (0, 0), (0, 257), (2, 1), (u64::MAX, 1), (u64::MAX / 256 + 1, 1)] {
        assert_eq!(ledger.bundle(BundleId { index, width }).unwrap(), None, "entries/{index}.p/{width}");
        assert_eq!(ledger.tile(TileId { level: 0, index, width }).unwrap(), None, "0/{index}.p/{width}");
    }
    assert!(ledger.tile(TileId { level: 0, index: 1, width: 44 }).unwrap().is_some());
    assert!(ledger.tile(TileId { level: 1, index: 0, width: 1 }).unwrap().is_some());
}

#[test]
fn the_same_contradictions_and_broken_chains_take_no_place() {
    let folder = exhibit_power_loss::scratch();
    let ledger = open(folder.path());
    let mut chain = Chain::new("a");
    let (first, second) = (chain.next(10), chain.next(10));
    let place = ledger.append(first.clone()).unwrap().place;
    ledger.append(second).unwrap();

    let again = ledger.append(Candidate { entry: b"signed again".to_vec(), ..first.clone() }).unwrap();
    assert_eq!((again.place, again.new), (place, false), "the same statement was counted twice");
    assert!(again.head.size > place.index);

    let other = Candidate { identity: Hash([9; 32]), entry: b"another statement".to_vec(), ..first.clone() };
    let refused = ledger.append(other.clone()).unwrap_err();
    assert!(matches!(refused, LedgerError::Refused(Refusal::Contradiction { index: 0 })), "{refused}");

    let after_a_hole = Candidate { seq: 3, prev: chain.prev, ..other.clone() };
    let refused = ledger.append(after_a_hole).unwrap_err();
    let expected = Refusal::BrokenChain { expected_seq: 2, expected_prev: chain.prev };
    assert!(matches!(&refused, LedgerError::Refused(refusal) if *refusal == expected), "{refused}");

    let formless = ledger.append(Candidate { entry: vec![], ..chain.next(10) }).unwrap_err();
    assert!(matches!(formless, LedgerError::Refused(Refusal::Form(_))));

    assert_eq!(ledger.size(), 2);
    assert_eq!(ledger.index_of(&leaf_hash(&other.entry)).unwrap(), None);
    assert_eq!(verify_all(&ledger).len(), 2);
}

#[test]
fn the_same_statement_twice_in_one_batch_gets_one_place() {
    let folder = exhibit_power_loss::scratch();
    let (ledger, gate) = gated_ledger(folder.path());
    let mut chain = Chain::new("a");
    let (sender, outcomes) = channel();
    append_to(&ledger, chain.next(10), &sender);
    gate.wait_until_signing();
    let statement = chain.next(10);
    append_to(&ledger, statement.clone(), &sender);
    append_to(&ledger, Candidate { entry: b"signed again".to_vec(), ..statement.clone() }, &sender);
    append_to(&ledger, Candidate { identity: Hash([9; 32]), ..statement }, &sender);
    gate.open();
    let outcomes: Vec<_> = outcomes.iter().take(4).collect();
    let [_, Ok(new), Ok(same), Err(LedgerError::Refused(Refusal::Contradiction { index: 1 }))] = &outcomes[..] else {
        panic!("{outcomes:?}");
    };
    assert_eq!((new.place.index, new.new, same.place, same.new), (1, true, new.place, false));
    assert_eq!(verify_all(&ledger).len(), 2);
}

#[test]
fn what_waits_during_a_sync_becomes_one_group() {
    let folder = exhibit_power_loss::scratch();
    let (ledger, gate) = gated_ledger(folder.path());
    let mut chain = Chain::new("a");
    let (sender, outcomes) = channel();
    append_to(&ledger, chain.next(10), &sender);
    gate.wait_until_signing();
    for _ in 0..100 {
        append_to(&ledger, chain.next(10), &sender);
    }
    gate.open();
    let heads: Vec<u64> = outcomes.iter().take(101).map(|outcome| outcome.unwrap().head.size).collect();
    assert_eq!(heads[0], 1);
    assert!(heads[1..].iter().all(|size| *size == 101), "each of the group has its own signature: {heads:?}");
    assert_eq!(verify_all(&ledger).len(), 101);
}

#[test]
fn a_batch_is_bounded_in_bytes() {
    let folder = exhibit_power_loss::scratch();
    let (ledger, gate) = gated_ledger(folder.path());
    let mut chain = Chain::new("a");
    let (sender, outcomes) = channel();
    append_to(&ledger, chain.next(10), &sender);
    gate.wait_until_signing();
    for _ in 0..255 {
        append_to(&ledger, chain.next(60_000), &sender);
    }
    gate.open();
    let mut heads: Vec<u64> = outcomes.iter().take(256).map(|outcome| outcome.unwrap().head.size).collect();
    heads.dedup();
    assert!(heads.len() > 2, "15 MB went into one batch: {heads:?}");
}

#[test]
fn concurrent_appenders_keep_their_chains_in_order() {
    const CHAINS: usize = 24;
    const EACH: usize = 25;
    let folder = exhibit_power_loss::scratch();
    let ledger = open(folder.path());
    let heads = Mutex::new(Vec::new());
    std::thread::scope(|scope| {
        for number in 0..CHAINS {
            let (ledger, heads) = (ledger.clone(), &heads);
            scope.spawn(move || {
                let mut chain = Chain::new(&format!("chain/{number:02}"));
                for _ in 0..EACH {
                    let admission = ledger.append(chain.next(200)).unwrap();
                    heads.lock().unwrap().push(admission.head);
                }
            });
        }
    });
    assert_eq!(verify_all(&ledger).len(), CHAINS * EACH);
    for number in 0..CHAINS {
        let places = (0..EACH as u64).map(|seq| ledger.place(&format!("chain/{number:02}"), seq).unwrap().unwrap().index);
        assert!(places.is_sorted(), "chain {number} is out of order on the log");
    }
    let mut heads = heads.into_inner().unwrap();
    heads.sort_by_key(|head| head.size);
    heads.dedup();
    check_consistent(&ledger, &heads);
}

#[test]
fn nothing_is_seen_before_the_checkpoint_that_covers_it() {
    let folder = exhibit_power_loss::scratch();
    let ledger = open(folder.path());
    let mut chain = Chain::new("a");
    let first = Candidate { annotations: vec![(b"latest".to_vec(), b"first".to_vec())], ..chain.next(10) };
    let head_before = StreamHead { stream: "a".into(), next_seq: 1, leaf: leaf_hash(&first.entry) };
    ledger.append(first).unwrap();
    drop(ledger);

    let (ledger, gate) = gated_ledger(folder.path());
    let (sender, outcomes) = channel();
    let second =
        Candidate { annotations: vec![(b"latest".to_vec(), b"second".to_vec()), (b"more".to_vec(), b"row".to_vec())], ..chain.next(10) };
    append_to(&ledger, second.clone(), &sender);
    gate.wait_until_signing();
    append_to(&ledger, Chain::new("b").next(10), &sender);
    // The second entry is durable now, and not signed.
    let leaf = leaf_hash(&second.entry);
    assert_eq!(ledger.size(), 1);
    assert_eq!(ledger.entry(1).unwrap(), None);
    assert_eq!(ledger.place("a", 1).unwrap(), None);
    assert_eq!(ledger.index_of(&leaf).unwrap(), None);
    assert_eq!(ledger.head("a").unwrap(), Some(head_before.clone()));
    assert_eq!(ledger.heads("", None, 10).unwrap(), [head_before]);
    assert_eq!(ledger.annotations(b"", b"", 10).unwrap(), [(b"latest".to_vec(), b"first".to_vec())]);
    assert_eq!(ledger.receipt(1).unwrap(), None);
    assert_eq!(ledger.root_at(2).unwrap(), None);
    assert_eq!(ledger.tile(TileId { level: 0, index: 0, width: 2 }).unwrap(), None);
    assert_eq!(ledger.bundle(BundleId { index: 0, width: 2 }).unwrap(), None);
    assert!(outcomes.try_recv().is_err(), "acknowledged before it was signed");
    gate.open();
    assert_eq!(outcomes.recv().unwrap().unwrap().place.index, 1);
    assert_eq!(outcomes.recv().unwrap().unwrap().place.index, 2);
    assert_eq!(ledger.head("a").unwrap().unwrap().leaf, leaf);
    assert_eq!(ledger.head("b").unwrap().unwrap().next_seq, 1);
    assert_eq!(ledger.annotations(b"l", b"", 10).unwrap(), [(b"latest".to_vec(), b"second".to_vec())]);
}

#[test]
fn a_full_queue_is_overload_and_costs_nothing_that_was_taken() {
    let folder = exhibit_power_loss::scratch();
    let (ledger, gate) = gated_ledger(folder.path());
    let mut chain = Chain::new("a");
    let (sender, outcomes) = channel();
    append_to(&ledger, chain.next(10), &sender);
    gate.wait_until_signing();
    for _ in 0..QUEUE_CANDIDATES_MAX {
        append_to(&ledger, chain.next(10), &sender);
    }
    append_to(&ledger, chain.next(10), &sender);
    assert!(matches!(outcomes.recv().unwrap(), Err(LedgerError::Overloaded)), "the queue has no bound");
    gate.open();
    let taken = outcomes.iter().take(1 + QUEUE_CANDIDATES_MAX).filter(Result::is_ok).count();
    assert_eq!(taken, 1 + QUEUE_CANDIDATES_MAX);
}

#[test]
fn heads_and_annotations_are_listed_by_prefix_in_pages() {
    let folder = exhibit_power_loss::scratch();
    let ledger = open(folder.path());
    let names = ["camera/1/main/1", "camera/1/main/2", "camera/10/main/1", "camera/2/main/1", "user/7/1"];
    append_all(&ledger, names.iter().map(|name| Chain::new(name).next(10)));
    let listed =
        |prefix, after, limit| -> Vec<String> { ledger.heads(prefix, after, limit).unwrap().into_iter().map(|head| head.stream).collect() };
    assert_eq!(listed("", None, 10), names);
    assert_eq!(listed("camera/1/", None, 10), names[..2]);
    assert_eq!(listed("camera/", None, 2), names[..2]);
    assert_eq!(listed("camera/", Some(names[1]), 2), names[2..4]);
    assert_eq!(listed("camera/2", Some("a"), 2), names[3..4]);
    assert_eq!(listed("camera/", Some("z"), 2), [""; 0]);

    let keys = |prefix: &str, from: &str, limit| -> Vec<String> {
        let rows = ledger.annotations(prefix.as_bytes(), from.as_bytes(), limit).unwrap();
        rows.into_iter().map(|(key, _)| String::from_utf8(key).unwrap()).collect()
    };
    assert_eq!(keys("seq/user", "", 10), ["seq/user/7/1/00000000"]);
    assert_eq!(keys("seq/camera/1", "seq/camera/10", 1), ["seq/camera/10/main/1/00000000"]);
    assert_eq!(keys("seq/camera/1/", "seq/z", 1), [""; 0]);
    assert_eq!(keys("seq/", "", 3).len(), 3);
}

#[test]
fn a_reopened_ledger_goes_on_where_it_ended() {
    let folder = exhibit_power_loss::scratch();
    let mut chain = Chain::new("a");
    let mut heads = Vec::new();
    let mut before = None;
    for round in 1..=4_u64 {
        let ledger = open(folder.path());
        assert_eq!(ledger.checkpoint(), before, "another checkpoint was signed without need");
        assert_eq!(Chain::of(&ledger, "a").prev, chain.prev);
        // Past the ends of tiles: 170, 340, 510, 680.
        let outcomes = append_all(&ledger, (0..170).map(|_| chain.next(20)));
        heads.extend(outcomes.into_iter().map(|outcome| outcome.unwrap().head));
        assert_eq!(verify_all(&ledger).len() as u64, round * 170);
        before = ledger.checkpoint();
    }
    heads.dedup();
    check_consistent(&open(folder.path()), &heads);
}

/// As earlier versions of the program have left it, and as a later one may: every family by levels, old rows in a deep one and new ones above.
#[test]
fn a_database_whose_tables_lie_otherwise_goes_on() {
    let folder = exhibit_power_loss::scratch();
    let mut chains = ["a", "b"].map(Chain::new);
    for level in [Some(5), None, Some(1), None] {
        let ledger = open(folder.path());
        let candidates: Vec<Candidate> = (0..300).map(|number| chains[number % 2].next(200)).collect();
        append_all(&ledger, candidates).into_iter().for_each(|outcome| assert!(outcome.unwrap().new));
        drop(ledger);
        let mut by_levels = rocksdb::Options::default();
        by_levels.set_level_compaction_dynamic_level_bytes(false);
        let families = ["default", "entries", "places", "heads", "leaves", "tiles", "annotations", "meta"];
        let db = rocksdb::DB::open_cf_with_opts(&by_levels, folder.path().join("database"), families.map(|name| (name, by_levels.clone())));
        let db = db.unwrap();
        for family in families.map(|name| db.cf_handle(name).unwrap()) {
            db.flush_cf(family).unwrap();
            if let Some(level) = level {
                let mut compaction = rocksdb::CompactOptions::default();
                compaction.set_change_level(true);
                compaction.set_target_level(level);
                db.compact_range_cf_opt(family, None::<&[u8]>, None::<&[u8]>, &compaction);
            }
        }
    }
    let ledger = open(folder.path());
    assert_eq!(verify_all(&ledger).len(), 1200);
    for stream in ["a", "b"] {
        let chain = Chain::of(&ledger, stream);
        assert_eq!(chain.seq, 600);
        assert!((0..600).all(|seq| ledger.place(stream, seq).unwrap().is_some()), "a place is lost");
    }
    append_all(&ledger, (0..300).map(|_| chains[0].next(200))).into_iter().for_each(|outcome| assert!(outcome.unwrap().new));
    drop(ledger);
    assert_eq!(verify_all(&open(folder.path())).len(), 1500);
}

#[test]
fn a_second_opener_is_refused() {
    let folder = exhibit_power_loss::scratch();
    let _ledger = open(folder.path());
    let refused = Ledger::open(folder.path(), options()).err().unwrap();
    assert!(matches!(refused, LedgerError::Storage(_)), "{refused}");
}

#[test]
fn dropping_the_ledger_still_answers_what_was_queued() {
    let folder = exhibit_power_loss::scratch();
    let (ledger, gate) = gated_ledger(folder.path());
    let mut chain = Chain::new("a");
    let (sender, outcomes) = channel();
    append_to(&ledger, chain.next(10), &sender);
    gate.wait_until_signing();
    // The last clone lives in a callback, so that the writer's own thread drops it.
    let last = ledger.clone();
    let (reporter, report) = channel();
    let done = move |outcome| {
        let outcome: Result<exhibit_ledger::Admission, LedgerError> = outcome;
        let dropped = catch_unwind(AssertUnwindSafe(|| drop(last)));
        reporter.send((outcome.is_ok(), dropped.is_ok())).unwrap();
    };
    ledger.append_then(chain.next(10), Box::new(done));
    drop(ledger);
    gate.open();
    assert!(outcomes.recv().unwrap().is_ok());
    assert_eq!(report.recv().unwrap(), (true, true), "the writer waited for itself");
}

#[test]
fn a_failed_signature_stops_the_writer_and_the_entry_is_signed_at_the_next_start() {
    let folder = exhibit_power_loss::scratch();
    let failing = FailingSigner::new(signers(1).remove(0), 1);
    let ledger = Ledger::open(folder.path(), Options { signers: vec![Arc::new(failing), signers(1).remove(1)], ..options() }).unwrap();
    let mut chain = Chain::new("a");
    ledger.append(chain.next(10)).unwrap();
    let unsigned = chain.next(10);
    for candidate in [unsigned.clone(), chain.next(10)] {
        let error = ledger.append(candidate).unwrap_err();
        assert!(matches!(error, LedgerError::Stopped(_)), "{error}");
    }
    assert!(matches!(ledger.entry(0), Err(LedgerError::Stopped(_))));
    assert!(matches!(ledger.receipt(0), Err(LedgerError::Stopped(_))));
    drop(ledger);
    let ledger = open(folder.path());
    assert_eq!(ledger.entry(1).unwrap(), Some(unsigned.entry.clone()), "a durable entry was lost");
    assert!(!ledger.append(unsigned).unwrap().new);
    assert_eq!(verify_all(&ledger).len(), 2);
}

#[test]
fn a_panic_of_the_writer_answers_everybody() {
    let folder = exhibit_power_loss::scratch();
    let (ledger, gate) = gated_ledger(folder.path());
    let mut chain = Chain::new("a");
    let (sender, outcomes) = channel();
    append_to(&ledger, chain.next(10), &sender);
    gate.wait_until_signing();
    append_to(&ledger, chain.next(10), &sender);
    drop(sender);
    // The signer panics when its gate is gone.
    drop(gate);
    for _ in 0..2 {
        assert!(matches!(outcomes.recv().unwrap(), Err(LedgerError::Stopped(_))));
    }
    assert!(matches!(ledger.append(chain.next(10)), Err(LedgerError::Stopped(_))));
    assert!(matches!(ledger.entry(0), Err(LedgerError::Stopped(_))), "read on after the writer broke");
}

#[test]
fn without_keys_nothing_is_opened() {
    let folder = exhibit_power_loss::scratch();
    let refused = Ledger::open(folder.path(), Options { signers: vec![], ..options() }).err().unwrap();
    assert!(matches!(refused, LedgerError::WrongLog(_)));
}

#[test]
fn batches_are_bounded_however_they_are_configured() {
    for batch_entries_max in [0, 1, usize::MAX] {
        let folder = exhibit_power_loss::scratch();
        let ledger = Ledger::open(folder.path(), Options { batch_entries_max, ..options() }).unwrap();
        let mut chain = Chain::new("a");
        let outcomes = append_all(&ledger, (0..20).map(|_| chain.next(10)));
        let sizes: Vec<u64> = outcomes.into_iter().map(|outcome| outcome.unwrap().head.size).collect();
        if batch_entries_max < 2 {
            assert!(sizes.windows(2).all(|pair| pair[0] < pair[1]), "a batch was larger than configured: {sizes:?}");
        }
        assert!(sizes.is_sorted() && sizes[0] <= BATCH_ENTRIES_LIMIT as u64);
    }
}

fn append_to(ledger: &Ledger, candidate: Candidate, sender: &Sender<Result<exhibit_ledger::Admission, LedgerError>>) {
    let sender = sender.clone();
    ledger.append_then(candidate, Box::new(move |outcome| drop(sender.send(outcome))));
}

/// Signs once its gate is open; until then a batch stays durable and unsigned.
struct GatedSigner {
    inner: Arc<dyn NoteSigner>,
    signing: Sender<()>,
    opened: Mutex<Receiver<()>>,
}

/// The test's end of the gate: it stays open once opened.
struct Gate {
    signing: Receiver<()>,
    opened: Sender<()>,
}

impl Gate {
    fn wait_until_signing(&self) {
        self.signing.recv().unwrap();
    }

    fn open(&self) {
        for _ in 0..1000 {
            self.opened.send(()).unwrap();
        }
    }
}

/// The gate is to be dropped before the ledger, so that a test that fails ends: a signer without its gate panics.
fn gated_ledger(folder: &std::path::Path) -> (Ledger, Gate) {
    let (signing, is_signing) = channel();
    let (opened, is_opened) = channel();
    let gated = GatedSigner { inner: signers(1).remove(0), signing, opened: Mutex::new(is_opened) };
    let options = Options { signers: vec![Arc::new(gated), signers(1).remove(1)], ..options() };
    (Ledger::open(folder, options).unwrap(), Gate { signing: is_signing, opened })
}

impl NoteSigner for GatedSigner {
    fn verifier_key(&self) -> &VerifierKey {
        self.inner.verifier_key()
    }

    fn sign(&self, text: &str, unix_s: u64) -> Result<Vec<u8>, NoteError> {
        assert!(text.starts_with(ORIGIN));
        let _ = self.signing.send(());
        self.opened.lock().unwrap().recv().expect("the test opens the gate");
        self.inner.sign(text, unix_s)
    }
}

/// tlog-cosignature: of one key's lines, a larger tree is never dated earlier. Clocks are set back, also while nothing runs.
#[test]
fn a_clock_that_is_set_back_dates_no_larger_tree_earlier() {
    let root = exhibit_power_loss::scratch();
    let clock = Arc::new(AtomicU64::new(1_795_132_800));
    let ml_dsa = signers(1).remove(1).verifier_key().clone();
    let open_at = |unix_s: u64| {
        clock.store(unix_s, Ordering::SeqCst);
        let read = clock.clone();
        Ledger::open(root.path(), Options { clock: Arc::new(move || read.load(Ordering::SeqCst)), ..options() }).unwrap()
    };
    let dated = |ledger: &Ledger| {
        let note = Note::parse(&ledger.checkpoint().unwrap().0).unwrap();
        ml_dsa.signed_unix_s(&note.signature_of(&ml_dsa).unwrap().unwrap().signature).unwrap()
    };
    let mut chain = Chain::new("a");
    let ledger = open_at(2_000_000_000);
    ledger.append(chain.next(20)).unwrap();
    clock.store(1_900_000_000, Ordering::SeqCst);
    ledger.append(chain.next(20)).unwrap();
    assert_eq!(dated(&ledger), 2_000_000_000, "set back while it runs");
    drop(ledger);
    let ledger = open_at(1_900_000_000);
    ledger.append(chain.next(20)).unwrap();
    assert_eq!(dated(&ledger), 2_000_000_000, "set back before a start");
    clock.store(2_000_000_001, Ordering::SeqCst);
    ledger.append(chain.next(20)).unwrap();
    assert_eq!(dated(&ledger), 2_000_000_001);
}

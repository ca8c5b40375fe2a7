//! Whether a log goes on for another: what is believed, and what a hostile appliance or network can not make anybody believe.
#![allow(clippy::unwrap_used)]

mod story;
#[path = "../support/mod.rs"]
mod support;
#[path = "../../../tests/fuzz/write.rs"]
mod write;

use std::sync::atomic::{AtomicUsize, Ordering};

use base64ct::{Base64, Encoding};
use exhibit_evidence::{
    Body, Head,
    body::{Close, CloseReason, Predecessor},
    exchange::SuccessorRecord,
    succession::{Grounds, SuccessionError, approved_by, judge},
};
use exhibit_pki::{BadSignature, PublicKey, RustCrypto, Verifier};
use exhibit_tlog::Hash;
use story::*;
use support::{Log, Party, Pki, signed};

#[test]
#[ignore = "writes the seeds of the fuzz corpus (docs/testing.md)"]
fn write_the_fuzz_corpus() {
    let disaster =
        Change { is_planned: false, approves: |pki| vec![custodian(pki, 1), custodian(pki, 2)], threshold: 2, ..Change::default() };
    for (name, change) in [("plan", Change { witnesses: true, cosigns: true, ..Change::default() }), ("disaster", disaster)] {
        let Story { record, anchor, observed, custodians, threshold } = told(&change);
        let lines = [
            format!("{} {} {threshold}", observed.size, observed.root),
            custodians.iter().map(|fingerprint| Hash(*fingerprint).to_string()).collect::<Vec<_>>().join(" "),
            anchor.to_json(),
            serde_json::to_string(&record).unwrap(),
        ];
        write::seed(env!("CARGO_MANIFEST_DIR"), "successor", name, lines.join("\n").as_bytes());
    }
}

#[test]
fn a_log_that_ended_by_plan_is_followed() {
    let next = judged(&Change::default()).unwrap();
    assert_eq!((next.grounds, next.lost, next.end.size, next.same_witnesses), (Grounds::Plan, 0, 3, true));
    assert_eq!(next.anchor.verifier.origin, "city.example/log/2");
    let witnessed = judged(&Change { witnesses: true, cosigns: true, ..Change::default() }).unwrap();
    assert!(witnessed.anchor.policy.witnesses.is_some(), "the successor was believed without witnesses");
    let others =
        Change { genesis: Box::new(|genesis| genesis.witness_policy.clear()), witnesses: true, cosigns: true, ..Change::default() };
    let next = judged(&others).unwrap();
    assert!(!next.same_witnesses && next.anchor.policy.witnesses.is_some(), "who runs the log chose the camera's witnesses");
}

#[test]
fn after_a_disaster_the_custodians_say_which_log_goes_on() {
    let lost = |approves: fn(&Pki) -> Vec<Party>, threshold| Change { is_planned: false, approves, threshold, ..Change::default() };
    let next = judged(&lost(|pki| vec![custodian(pki, 1)], 1)).unwrap();
    assert_eq!((next.grounds, next.lost), (Grounds::Approval, 0));
    judged(&lost(|pki| vec![custodian(pki, 1), custodian(pki, 2)], 2)).unwrap();
    let beyond = Change { observed: Box::new(|_| Head { size: 7, root: Hash([7; 32]) }), ..lost(|pki| vec![custodian(pki, 1)], 1) };
    let beyond = Change { record: Box::new(|record| record.consistency = None), ..beyond };
    assert_eq!(judged(&beyond).unwrap().lost, 4, "what is lost is not told");

    let refused = |change: Change| match judged(&change) {
        Err(SuccessionError::NotApproved { given, .. }) => given,
        other => panic!("{other:?}"),
    };
    assert_eq!(refused(lost(|_| Vec::new(), 1)), 0, "an appliance's word moved a camera");
    assert_eq!(refused(lost(|_| Vec::new(), 0)), 0, "a threshold of none was nobody's word");
    assert_eq!(refused(lost(|pki| vec![custodian(pki, 3)], 1)), 0, "a custodian of others");
    assert_eq!(refused(lost(|pki| vec![custodian(pki, 1), custodian(pki, 1)], 2)), 1, "one custodian counted twice");
    assert_eq!(refused(lost(|pki| vec![custodian(pki, 1), first_again(pki)], 2)), 1, "one person was two custodians");
    let expired = Change {
        record: Box::new(|record| {
            record.certificates.retain(|der| *der != Base64::encode_string(custodian(&Pki::new(10), 2).certificate.der()))
        }),
        ..lost(|pki| vec![custodian(pki, 1), custodian(pki, 2)], 1)
    };
    judged(&expired).expect("an approval that can not be judged took from one that holds");
    let other_entry = Change { approved: Box::new(|body| body.entry = Hash([3; 32])), ..lost(|pki| vec![custodian(pki, 1)], 1) };
    assert_eq!(refused(other_entry), 0, "an approval of something else");
    let other_statement = Change { approved: Box::new(|body| body.statement = Hash([3; 32])), ..lost(|pki| vec![custodian(pki, 1)], 1) };
    assert_eq!(refused(other_statement), 0, "an approval of what was not read");
}

/// Only a seal knew the last head: nobody has a note of it, and the custodians have approved the genesis that names it.
#[test]
fn after_a_disaster_the_last_checkpoint_may_be_lost_too() {
    let lost = |approves: fn(&Pki) -> Vec<Party>, threshold| {
        let record = Box::new(|record: &mut SuccessorRecord| record.last_checkpoint = None);
        Change { is_planned: false, approves, threshold, record, ..Change::default() }
    };
    let next = judged(&lost(|pki| vec![custodian(pki, 1), custodian(pki, 2)], 2)).unwrap();
    assert_eq!((next.grounds, next.lost, next.end.size), (Grounds::Approval, 0, 3));
    for (given, approves) in [(0, (|_| Vec::new()) as fn(&Pki) -> Vec<Party>), (1, |pki| vec![custodian(pki, 1)])] {
        let refused = judged(&lost(approves, 2)).unwrap_err();
        assert_eq!(refused, SuccessionError::NotApproved { given, threshold: 2 });
    }
}

fn log_before(number: u8) -> Predecessor {
    Predecessor { log: Hash([number; 32]), head: Head { size: 7, root: Hash([number + 1; 32]) } }
}

/// Statements to the logs before the old one go on in the new one too, if the old one's own genesis declares these logs.
#[test]
fn the_logs_before_are_those_that_the_old_log_declares() {
    let declares = |declared: Vec<Predecessor>, earlier: Vec<Predecessor>| Change {
        declared,
        genesis: Box::new(move |genesis| genesis.earlier.clone_from(&earlier)),
        ..Change::default()
    };
    let (one, two) = (log_before(40), log_before(50));
    for declared in [vec![one.clone()], vec![one.clone(), two.clone()]] {
        judged(&declares(declared.clone(), declared)).unwrap();
        judged(&declares(vec![one.clone()], Vec::new())).unwrap();
    }
    let other_end = Predecessor { head: Head { size: 8, ..one.head }, ..one.clone() };
    let cases = [
        ("a log that the old one does not declare", vec![one.clone()], vec![one.clone(), two.clone()]),
        ("another log than it declares", vec![one.clone()], vec![two.clone()]),
        ("another end than it declares", vec![one.clone()], vec![other_end]),
        ("a log before one that declares none", Vec::new(), vec![one.clone()]),
    ];
    for (defect, declared, earlier) in cases {
        let refused = judged(&declares(declared, earlier)).unwrap_err();
        // The first log of all has nothing in these tests that is a genesis.
        assert!(matches!(refused, SuccessionError::Earlier | SuccessionError::Statement(_)), "{defect}: {refused}");
    }
    let without = Change { record: Box::new(|record| record.ended_genesis = None), ..declares(vec![one.clone()], vec![one.clone()]) };
    assert_eq!(judged(&without), Err(SuccessionError::Earlier), "nothing shows what the old log declares");
    let of_another = Change {
        record: Box::new(|record| {
            record.ended_genesis = Some(Base64::encode_string(&began_after(&Pki::new(10), &log_before(40), &[log_before(50)])));
        }),
        ..declares(vec![one.clone()], vec![one, two])
    };
    assert_eq!(judged(&of_another), Err(SuccessionError::Earlier), "the genesis of another log");
}

/// Whoever is told to have approved has: others need not be asked again.
#[test]
fn who_has_approved_has_signed_for_this_very_genesis() {
    let told = |change: Change| offered(&change, &RustCrypto, approved_by).unwrap().len();
    let by = |approves: fn(&Pki) -> Vec<Party>| Change { is_planned: false, approves, threshold: 2, ..Change::default() };
    assert_eq!(told(by(|pki| vec![custodian(pki, 1), custodian(pki, 3)])), 2, "who was not pinned has approved too");
    let other = Change { approved: Box::new(|body| body.statement = Hash([3; 32])), ..by(|pki| vec![custodian(pki, 1)]) };
    assert_eq!(told(other), 0, "an approval of another statement");
    let forged = Change {
        record: Box::new(|record| {
            let mut der = Base64::decode_vec(&record.approvals[0]).unwrap();
            // Within the signature, which stands last.
            *der.last_mut().unwrap() ^= 1;
            record.approvals[0] = Base64::encode_string(&der);
        }),
        ..by(|pki| vec![custodian(pki, 1)])
    };
    assert_eq!(told(forged), 0, "an approval with a false signature");
    assert_eq!(told(by(|_| vec![custodian(&Pki::new(20), 1)])), 0, "an approval by a certificate of another root");
}

/// Counts signatures that were verified.
struct Counting(AtomicUsize);

impl Verifier for Counting {
    fn verify(&self, key: &PublicKey, message: &[u8], signature: &[u8]) -> Result<(), BadSignature> {
        self.0.fetch_add(1, Ordering::Relaxed);
        RustCrypto.verify(key, message, signature)
    }
}

/// Authorities are found once, however many approve: for each more, its certificate's signature and its own.
#[test]
fn each_approval_costs_two_signatures() {
    let verified = |approves: fn(&Pki) -> Vec<Party>| {
        let counting = Counting(AtomicUsize::new(0));
        offered(&Change { is_planned: false, approves, ..Change::default() }, &counting, judge).unwrap();
        counting.0.into_inner()
    };
    assert_eq!(verified(|pki| vec![custodian(pki, 1), custodian(pki, 2)]) - verified(|pki| vec![custodian(pki, 1)]), 2);
}

/// What no approval mends is told before anybody is asked for one.
#[test]
fn a_log_with_a_witnesss_key_is_refused_before_approvals_are_counted() {
    let refused = judged(&Change { is_planned: false, witnesses: true, seed: 9, ..Change::default() });
    assert_eq!(refused, Err(SuccessionError::Keys("are a witness's")));
}

/// A defect, and the error that it must give.
type Case = (&'static str, Change, fn(&SuccessionError) -> bool);

fn check(cases: Vec<Case>) {
    for (defect, change, expected) in cases {
        match judged(&change) {
            Err(error) => assert!(expected(&error), "{defect}: {error:?}"),
            Ok(_) => panic!("{defect} was believed"),
        }
    }
}

#[test]
fn nobody_is_moved_by_a_genesis_that_names_something_else() {
    check(vec![
        (
            "genesis_names_another_log",
            Change { predecessor: Box::new(|named| Predecessor { log: Hash([5; 32]), ..named }), ..Change::default() },
            |error| matches!(error, SuccessionError::OtherPredecessor),
        ),
        (
            "genesis_names_another_end",
            Change {
                predecessor: Box::new(|named| Predecessor { head: Head { size: 2, root: Hash([5; 32]) }, ..named }),
                ..Change::default()
            },
            |error| matches!(error, SuccessionError::OtherPredecessor),
        ),
        (
            "genesis_names_nothing_before_it",
            Change { genesis: Box::new(|genesis| genesis.predecessor = None), ..Change::default() },
            |error| matches!(error, SuccessionError::OtherPredecessor),
        ),
        ("genesis_drops_the_root", Change { genesis: Box::new(|genesis| genesis.roots = vec![[8; 32]]), ..Change::default() }, |error| {
            matches!(error, SuccessionError::OtherRoots)
        }),
        (
            "succession_names_another_origin",
            Change { successor: Box::new(|successor| successor.origin = "city.example/log/3".into()), ..Change::default() },
            |error| matches!(error, SuccessionError::OtherSuccessor),
        ),
        (
            "succession_names_other_keys",
            Change {
                successor: Box::new(|successor| successor.keys = keys(&Log::named("city.example/log/2", 90).verifier())),
                ..Change::default()
            },
            |error| matches!(error, SuccessionError::OtherSuccessor),
        ),
        (
            "successor_without_post_quantum_key",
            Change {
                genesis: Box::new(|genesis| genesis.keys.truncate(1)),
                successor: Box::new(|successor| successor.keys.truncate(1)),
                ..Change::default()
            },
            |error| matches!(error, SuccessionError::Keys(_)),
        ),
        (
            "successor_under_the_old_name",
            Change { genesis: Box::new(|genesis| genesis.origin = support::ORIGIN.into()), ..Change::default() },
            |error| matches!(error, SuccessionError::Keys(_)),
        ),
        ("succession_is_not_the_last_entry", Change { goes_on: true, ..Change::default() }, |error| {
            matches!(error, SuccessionError::Entry(_))
        }),
    ]);
}

#[test]
fn nobody_is_moved_by_what_others_have_signed() {
    check(vec![
        ("genesis_by_a_camera", Change { signer: Pki::camera, ..Change::default() }, |error| {
            matches!(error, SuccessionError::Signature(..))
        }),
        ("succession_of_another_pki", Change { succession_signer: |_| Pki::new(20).appliance(), ..Change::default() }, |error| {
            matches!(error, SuccessionError::NoCertificate(_))
        }),
        (
            "all_of_another_pki",
            Change {
                signer: |_| Pki::new(20).appliance(),
                succession_signer: |_| Pki::new(20).appliance(),
                record: Box::new(|record| record.certificates.push(Base64::encode_string(Pki::new(20).issuing.der()))),
                ..Change::default()
            },
            |error| matches!(error, SuccessionError::Path(..)),
        ),
        ("certificates_are_kept_back", Change { record: Box::new(|record| record.certificates.clear()), ..Change::default() }, |error| {
            matches!(error, SuccessionError::NoCertificate(_))
        }),
        (
            "last_checkpoint_of_other_keys",
            Change {
                record: Box::new(|record| {
                    let mut forged = Log::with_keys(90);
                    forged.entries = old_log().entries;
                    record.last_checkpoint = Some(forged.checkpoint());
                }),
                ..Change::default()
            },
            |error| matches!(error, SuccessionError::Checkpoint(_)),
        ),
    ]);
}

#[test]
fn nobody_is_moved_by_an_end_that_nobody_has_signed() {
    check(vec![
        (
            "planned_end_without_its_checkpoint",
            Change { record: Box::new(|record| record.last_checkpoint = None), ..Change::default() },
            |error| matches!(error, SuccessionError::NoCheckpoint),
        ),
        (
            "planned_end_without_its_checkpoint_that_a_custodian_approved",
            Change {
                record: Box::new(|record| record.last_checkpoint = None),
                approves: |pki| vec![custodian(pki, 1)],
                ..Change::default()
            },
            |error| matches!(error, SuccessionError::NoCheckpoint),
        ),
        (
            "checkpoint_kept_back_to_hide_the_plan",
            Change { record: Box::new(|record| (record.last_checkpoint, record.succession) = (None, None)), ..Change::default() },
            |error| matches!(error, SuccessionError::NotApproved { given: 0, threshold: 1 }),
        ),
        (
            "disaster_with_a_checkpoint_of_another_head",
            Change {
                is_planned: false,
                approves: |pki| vec![custodian(pki, 1)],
                record: Box::new(|record| record.last_checkpoint = Some(old_log().checkpoint())),
                ..Change::default()
            },
            |error| matches!(error, SuccessionError::OtherPredecessor),
        ),
        (
            "disaster_of_another_log_without_a_checkpoint",
            Change {
                is_planned: false,
                approves: |pki| vec![custodian(pki, 1)],
                predecessor: Box::new(|named| Predecessor { log: Hash([5; 32]), ..named }),
                record: Box::new(|record| record.last_checkpoint = None),
                ..Change::default()
            },
            |error| matches!(error, SuccessionError::OtherPredecessor),
        ),
        (
            "false_proof_to_a_head_without_a_checkpoint",
            Change {
                is_planned: false,
                approves: |pki| vec![custodian(pki, 1)],
                observed: Box::new(|observed| Head { root: Hash([6; 32]), ..observed }),
                record: Box::new(|record| record.last_checkpoint = None),
                ..Change::default()
            },
            |error| matches!(error, SuccessionError::Observed { .. }),
        ),
    ]);
}

#[test]
fn nobody_is_moved_by_an_end_that_is_another_or_is_not_shown() {
    check(vec![
        ("end_without_its_witnesses", Change { witnesses: true, ..Change::default() }, |error| {
            matches!(error, SuccessionError::Witness(_))
        }),
        (
            "end_that_is_another_history",
            Change { observed: Box::new(|observed| Head { root: Hash([6; 32]), ..observed }), ..Change::default() },
            |error| matches!(error, SuccessionError::Observed { .. }),
        ),
        (
            "end_below_what_was_observed",
            Change { observed: Box::new(|_| Head { size: 9, root: Hash([6; 32]) }), ..Change::default() },
            |error| matches!(error, SuccessionError::Observed { .. }),
        ),
        (
            "no_proof_from_what_was_observed",
            Change { record: Box::new(|record| record.consistency = None), ..Change::default() },
            |error| matches!(error, SuccessionError::Observed { .. }),
        ),
        (
            "false_proof_after_a_disaster",
            Change {
                is_planned: false,
                approves: |pki| vec![custodian(pki, 1)],
                observed: Box::new(|observed| Head { root: Hash([6; 32]), ..observed }),
                ..Change::default()
            },
            |error| matches!(error, SuccessionError::Observed { .. }),
        ),
        (
            "receipt_of_genesis_from_the_old_log",
            Change { record: Box::new(|record| record.genesis.receipt = old_log().record(0).receipt), ..Change::default() },
            |error| matches!(error, SuccessionError::Receipt(..)),
        ),
        (
            "something_else_at_the_end",
            Change {
                record: Box::new(|record| {
                    let pki = Pki::new(10);
                    let body = Body::Close(Close { reason: CloseReason::Stop, attachments: Vec::new() });
                    let close = signed(&pki.camera(), Hash([1; 32]), "camera/102/main/20261120T115958Z", 1, Hash([1; 32]), NOTHING, body);
                    record.succession.as_mut().unwrap().entry = Base64::encode_string(close.der());
                }),
                ..Change::default()
            },
            |error| matches!(error, SuccessionError::Entry(_)),
        ),
        (
            "something_else_than_genesis",
            Change { record: Box::new(|record| record.genesis.clone_from(record.succession.as_ref().unwrap())), ..Change::default() },
            |error| matches!(error, SuccessionError::Entry(_)),
        ),
        (
            "entry_that_is_no_statement",
            Change { record: Box::new(|record| record.genesis.entry = Base64::encode_string(b"x")), ..Change::default() },
            |error| matches!(error, SuccessionError::Statement(_)),
        ),
        (
            "certificate_that_is_none",
            Change { record: Box::new(|record| record.certificates[0] = "x".into()), ..Change::default() },
            |error| matches!(error, SuccessionError::Malformed(_)),
        ),
    ]);
}

#[test]
fn nobody_is_moved_by_a_succession_without_its_receipt() {
    // The receipt of the succession counts, not its place in the answer.
    let elsewhere = Change {
        record: Box::new(|record| record.succession.as_mut().unwrap().receipt = old_log().record(1).receipt),
        ..Change::default()
    };
    assert!(judged(&elsewhere).is_err(), "a succession without its receipt");
}

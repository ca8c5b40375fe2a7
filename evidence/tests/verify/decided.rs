//! Who decided: the recipients that a camera obeyed, by thresholds from the pinned custodians, and second certificates of one name.

use exhibit_evidence::anchor::{AnchorPolicy, PinnedCustodians};
use exhibit_evidence::body::{Approve, Continues, EpochReason, Recipients, StreamPosition};
use exhibit_evidence::verdict::{FindingKind, Grade};
use exhibit_evidence::{Body, SignedStatement};
use exhibit_pki::{Fingerprint, KeyPurpose, Role, Timestamp};
use exhibit_tlog::Hash;

use crate::common::{NOT_AFTER, Party, stream, time};
use crate::synthetic::{Case, Extra, Issuer, Log, Recording, STARTED_MS};

/// Custodians aa (of the usual recording), b1, b2: each with a stream.
pub fn custodian(log: &Log, number: u8) -> Party {
    log.pki.party(&format!("user/b{number}"), &[Role::Custodian], KeyPurpose::Signing, 80 + number)
}

fn of(log: &Log, number: u8) -> Fingerprint {
    if number == 0 { *log.custodian.party.certificate.fingerprint() } else { *custodian(log, number).certificate.fingerprint() }
}

pub fn introduce(log: &mut Log, numbers: std::ops::RangeInclusive<u8>) {
    for number in numbers {
        let certificate = custodian(log, number).certificate;
        log.certify(&certificate, &[]);
    }
}

/// Somebody other than the usual custodian issues one statement at the start of a stream of his own.
pub fn issue_as(log: &mut Log, party: Party, name: &str, body: Body) -> u64 {
    let issuer = Issuer { party, stream: stream(name), next_seq: 0, prev: Hash::default() };
    let usual = std::mem::replace(&mut log.custodian, issuer);
    let index = log.append(|log| &mut log.custodian, STARTED_MS - 4_000, body);
    log.custodian = usual;
    index
}

pub fn approval(log: &Log, index: u64) -> Body {
    let entry = &log.entries[usize::try_from(index).unwrap()];
    Body::Approve(Approve { entry: entry.leaf_hash(), statement: entry.statement_hash(), attachments: vec![] })
}

pub fn approve(log: &mut Log, number: u8, index: u64) -> u64 {
    let body = approval(log, index);
    let generation = log.entries.len();
    issue_as(log, custodian(log, number), &format!("user/b{number}/{generation}"), body)
}

pub fn set(log: &Log, number: u64, replaces: Option<Hash>, custodians: &[u8], threshold: u64) -> Body {
    Body::Recipients(Recipients {
        scope: "camera/102".to_owned(),
        number,
        replaces,
        recipients: vec![[5; 32]],
        custodians: custodians.iter().map(|number| of(log, *number)).collect(),
        threshold,
        expires: time(NOT_AFTER),
        attachments: vec![],
    })
}

/// Replaces the usual recipients, which are number 1 by custodian aa, with what `decide` puts on the log; the last set there is obeyed.
pub fn judged(decide: Extra, pinned: &[u8], threshold: u64) -> (Vec<FindingKind>, Case) {
    let mut case = Case::recorded(Recording { recipients: Some(decide), ..Recording::default() });
    let certificates = pinned
        .iter()
        .map(|number| match number {
            0 => case.log.custodian.party.certificate.clone(),
            number => custodian(&case.log, *number).certificate,
        })
        .collect();
    case.log.policy = AnchorPolicy { custodians: Some(PinnedCustodians { certificates, threshold }), ..AnchorPolicy::default() };
    (case.faults(), case)
}

pub fn append(log: &mut Log, body: Body) -> u64 {
    log.append(|log| &mut log.custodian, STARTED_MS - 5_000, body)
}

fn leaf(log: &Log, index: u64) -> Option<Hash> {
    Some(log.leaf(index))
}

/// 1 by aa and b1 of three, 2 by b1 and b2.
fn two_of_three(log: &mut Log) {
    introduce(log, 1..=2);
    let body = set(log, 1, None, &[0, 1, 2], 2);
    let first = append(log, body);
    approve(log, 1, first);
    let body = set(log, 2, leaf(log, first), &[1, 2], 2);
    let second = issue_as(log, custodian(log, 1), "user/b1/second", body);
    approve(log, 2, second);
}

#[test]
fn recipients_that_the_threshold_decided_hold() {
    let (faults, case) = judged(two_of_three, &[0, 1, 2], 2);
    assert_eq!(faults, [], "{:#?}", case.judge().unwrap().findings);
}

/// Whoever keeps the log can put the same bytes on it again.
#[test]
fn a_set_that_was_decided_is_not_refused_when_it_is_repeated() {
    let decide: Extra = |log| {
        two_of_three(log);
        let set = log.entries.iter().rev().find(|entry| matches!(entry.statement().body, Body::Recipients(_))).unwrap().clone();
        log.entries.push(set);
    };
    let (faults, case) = judged(decide, &[0, 1, 2], 2);
    assert_eq!(faults, [FindingKind::ChainBroken], "{:#?}", case.judge().unwrap().findings);
}

/// Sets X by aa and Y by b2, both in place of the one in force, of aa, b1 and b2, two of whom decide. Gives the places of F, X and Y.
fn two_that_replace_one(log: &mut Log) -> [u64; 3] {
    introduce(log, 1..=2);
    let body = set(log, 1, None, &[0, 1, 2], 2);
    let first = append(log, body);
    approve(log, 1, first);
    let body = set(log, 2, leaf(log, first), &[0, 1, 2], 2);
    let x = append(log, body);
    let body = set(log, 3, leaf(log, first), &[0, 1, 2], 2);
    let y = issue_as(log, custodian(log, 2), "user/b2/y", body);
    [first, x, y]
}

/// The usual camera obeys the last set on the log: of X and Y, Y.
#[test]
fn sets_are_in_force_in_the_order_in_which_they_were_decided() {
    let cases: [(&str, Extra, &[FindingKind]); 4] = [
        (
            "y was decided, and x approved behind it",
            |log| {
                let [_, x, y] = two_that_replace_one(log);
                approve(log, 1, y);
                approve(log, 1, x);
            },
            &[],
        ),
        (
            "x was decided, and y approved behind it",
            |log| {
                let [_, x, y] = two_that_replace_one(log);
                approve(log, 1, x);
                approve(log, 1, y);
            },
            &[FindingKind::RecipientsThreshold],
        ),
        (
            "x was approved when y stood there, and y never",
            |log| {
                let [_, x, _] = two_that_replace_one(log);
                approve(log, 1, x);
            },
            &[FindingKind::RecipientsThreshold],
        ),
        (
            "what replaces x waits for x, and was stated before it was decided",
            |log| {
                let [_, x, y] = two_that_replace_one(log);
                let body = set(log, 4, leaf(log, x), &[0, 1, 2], 2);
                let behind_x = append(log, body);
                approve(log, 1, behind_x);
                approve(log, 1, y);
                approve(log, 1, x);
            },
            &[FindingKind::RecipientsThreshold],
        ),
    ];
    for (what, decide, expected) in cases {
        let (faults, case) = judged(decide, &[0, 1, 2], 2);
        assert_eq!(faults, expected, "{what}: {:#?}", case.judge().unwrap().findings);
    }
}

/// A set that was decided while a newer one waits is in force: a camera obeys it.
#[test]
fn a_set_that_was_approved_while_a_newer_one_waits_is_in_force() {
    let mut case = Case::recorded(Recording {
        recipients: Some(|log| {
            let [_, x, y] = two_that_replace_one(log);
            approve(log, 1, x);
            // What stands last is obeyed, and holds only if x did.
            let body = set(log, 4, leaf(log, x), &[0, 1, 2], 2);
            let behind_x = append(log, body);
            approve(log, 1, behind_x);
            approve(log, 1, y);
        }),
        ..Recording::default()
    });
    let certificates = [1, 2].map(|number| custodian(&case.log, number).certificate);
    let certificates = [case.log.custodian.party.certificate.clone()].into_iter().chain(certificates).collect();
    case.log.policy.custodians = Some(PinnedCustodians { certificates, threshold: 2 });
    assert_eq!(case.faults(), [], "{:#?}", case.judge().unwrap().findings);
}

/// Nobody has read what was not there yet.
#[test]
fn an_approval_below_what_it_names_is_none() {
    let decide: Extra = |log| {
        introduce(log, 1..=1);
        let index = set_and_append(log);
        let body = approval(log, index);
        // It was shown before it was put on the log, and so the approval has observed nothing that it could not.
        let set = log.entries.pop().unwrap();
        issue_as(log, custodian(log, 1), "user/b1/approves", body);
        log.entries.push(set);
    };
    assert_eq!(judged(decide, &[0, 1, 2], 2).0, [FindingKind::RecipientsThreshold]);
}

#[test]
fn without_pinned_custodians_nobodys_decision_is_judged() {
    let mut case = judged(|log| drop_index(set_and_append(log)), &[0, 1, 2], 2).1;
    case.log.policy = AnchorPolicy::default();
    let verdict = case.judge().unwrap();
    assert_eq!(verdict.grade, Grade::NotDemanded);
    assert!(verdict.basis.policy.custodians.is_empty(), "the verdict says that it knows none");
}

/// Each is found as that, where two of three decide.
fn assert_not_decided<const COUNT: usize>(cases: [(&str, Extra, FindingKind); COUNT]) {
    for (defect, decide, kind) in cases {
        let (faults, _) = judged(decide, &[0, 1, 2], 2);
        assert_eq!(faults, [kind], "{defect}");
    }
}

#[test]
fn recipients_that_fewer_than_the_threshold_decided_are_bad() {
    let threshold = FindingKind::RecipientsThreshold;
    assert_not_decided([
        ("one signs where two have to", |log| drop_index(set_and_append(log)), threshold),
        (
            "one signs and approves himself",
            |log| {
                let index = set_and_append(log);
                let body = approval(log, index);
                append(log, body);
            },
            threshold,
        ),
        (
            "somebody who was not pinned approves",
            |log| {
                introduce(log, 3..=3);
                let index = set_and_append(log);
                approve(log, 3, index);
            },
            threshold,
        ),
        (
            "somebody who was not pinned states it, and two who were approve",
            |log| {
                introduce(log, 1..=3);
                let body = set(log, 1, None, &[0, 1, 2], 2);
                let index = issue_as(log, custodian(log, 3), "user/b3/states", body);
                approve(log, 1, index);
                approve(log, 2, index);
            },
            threshold,
        ),
        (
            "an approval that names another statement",
            |log| {
                introduce(log, 1..=1);
                let index = set_and_append(log);
                let Body::Approve(mut body) = approval(log, index) else { unreachable!() };
                body.statement = Hash([3; 32]);
                issue_as(log, custodian(log, 1), "user/b1/approves", Body::Approve(body));
            },
            threshold,
        ),
    ]);
}

#[test]
fn recipients_that_do_not_follow_those_in_force_are_bad() {
    let threshold = FindingKind::RecipientsThreshold;
    assert_not_decided([
        (
            "a number that does not rise",
            |log| {
                two_of_three(log);
                let body = set(log, 2, leaf(log, last_set(log)), &[1, 2], 1);
                let index = issue_as(log, custodian(log, 1), "user/b1/again", body);
                approve(log, 2, index);
            },
            threshold,
        ),
        (
            "a set that replaces one that was replaced",
            |log| {
                two_of_three(log);
                let first = log.entries.iter().find(|entry| matches!(entry.statement().body, Body::Recipients(_))).unwrap().leaf_hash();
                let body = set(log, 3, Some(first), &[1, 2], 1);
                let index = issue_as(log, custodian(log, 1), "user/b1/again", body);
                approve(log, 2, index);
            },
            threshold,
        ),
        (
            "a custodian who was dismissed",
            |log| {
                two_of_three(log);
                let body = set(log, 3, leaf(log, last_set(log)), &[0], 1);
                let index = append(log, body);
                approve(log, 1, index);
            },
            threshold,
        ),
        (
            "a set that replaces what is not here",
            |log| {
                let body = set(log, 7, Some(Hash([4; 32])), &[0], 1);
                append(log, body);
            },
            FindingKind::RecipientsUnknown,
        ),
        (
            "a set that replaces one that was not decided",
            |log| {
                introduce(log, 1..=1);
                let refused = set_and_append(log);
                let body = set(log, 2, leaf(log, refused), &[0], 1);
                let index = append(log, body);
                approve(log, 1, index);
            },
            threshold,
        ),
    ]);
}

pub fn drop_index(_: u64) {}

/// Number 1 by aa alone.
fn set_and_append(log: &mut Log) -> u64 {
    let body = set(log, 1, None, &[0, 1, 2], 2);
    append(log, body)
}

fn last_set(log: &Log) -> u64 {
    let is_set = |entry: &SignedStatement| matches!(entry.statement().body, Body::Recipients(_));
    log.entries.iter().rposition(is_set).unwrap() as u64
}

#[test]
fn approvals_that_come_after_the_camera_obeyed_do_not_count() {
    let mut case = Case::recorded(Recording {
        recipients: Some(|log| {
            introduce(log, 1..=1);
            set_and_append(log);
        }),
        after: Some(|log| {
            let index = last_set(log);
            approve(log, 1, index);
        }),
        ..Recording::default()
    });
    let certificates = vec![case.log.custodian.party.certificate.clone(), custodian(&case.log, 1).certificate];
    case.log.policy.custodians = Some(PinnedCustodians { certificates, threshold: 2 });
    assert_eq!(case.faults(), [FindingKind::RecipientsThreshold]);
}

#[test]
fn one_person_with_two_certificates_counts_once() {
    let mut case = Case::recorded(Recording {
        recipients: Some(|log| {
            let twin = twin(log);
            log.certify(&twin.certificate, &[]);
            let index = set_and_append(log);
            let body = approval(log, index);
            issue_as(log, twin, "user/aa/twin", body);
        }),
        ..Recording::default()
    });
    let certificates = vec![case.log.custodian.party.certificate.clone(), twin(&case.log).certificate];
    case.log.policy.custodians = Some(PinnedCustodians { certificates, threshold: 2 });
    assert!(case.faults().contains(&FindingKind::RecipientsThreshold), "one person was a threshold of two");
}

/// Another key in the name of custodian aa.
pub fn twin(log: &Log) -> Party {
    log.pki.party("user/aa", &[Role::Custodian], KeyPurpose::Signing, 90)
}

#[test]
fn stale_recipients_are_told_and_nothing_more() {
    let case = Case::recorded(Recording {
        recipients: Some(|log| {
            let Body::Recipients(mut body) = set(log, 1, None, &[0], 1) else { unreachable!() };
            body.expires = time("2026-11-20T11:00:00.000Z");
            append(log, Body::Recipients(body));
        }),
        ..Recording::default()
    });
    let verdict = case.judge().unwrap();
    assert_eq!(verdict.grade, Grade::NotDemanded);
    assert!(verdict.findings.iter().any(|finding| finding.kind == FindingKind::RecipientsStale));
}

#[test]
fn recipients_are_obeyed_up_to_the_moment_when_they_expire() {
    let case = Case::recorded(Recording {
        recipients: Some(|log| {
            let Body::Recipients(mut body) = set(log, 1, None, &[0], 1) else { unreachable!() };
            body.expires = Timestamp::from_unix_ms(STARTED_MS).unwrap();
            append(log, Body::Recipients(body));
        }),
        ..Recording::default()
    });
    assert!(case.judge().unwrap().findings.iter().all(|finding| finding.kind != FindingKind::RecipientsStale));
}

/// The camera's next epoch, which obeys the set of that leaf hash, or the same as before.
fn next_epoch(log: &mut Log, recipients: Option<Hash>) {
    let is_epoch = |entry: &&SignedStatement| matches!(entry.statement().body, Body::Epoch(_));
    let Body::Epoch(mut epoch) = log.entries.iter().find(is_epoch).unwrap().statement().body.clone() else { unreachable!() };
    let previous = StreamPosition { stream: log.camera.stream.clone(), seq: log.camera.next_seq - 1, leaf: log.camera.prev };
    epoch.continues = Continues { reason: EpochReason::Rotation, previous: Some(previous) };
    epoch.started = time("2026-11-20T13:00:00.000Z");
    epoch.recipients = recipients.unwrap_or(epoch.recipients);
    (log.camera.stream, log.camera.next_seq, log.camera.prev) = (stream("camera/102/main/20261120T130000Z"), 0, Hash::default());
    log.append(|log| &mut log.camera, STARTED_MS + 3_600_000, Body::Epoch(epoch));
}

/// Whoever holds the camera's key sets it back to a set from before a custodian was dismissed.
#[test]
fn a_camera_that_was_set_back_to_older_recipients_is_bad() {
    let after: Extra = |log| {
        let sets = |body: &Body| matches!(body, Body::Recipients(_));
        let oldest = log.entries.iter().find(|entry| sets(&entry.statement().body)).unwrap().leaf_hash();
        next_epoch(log, Some(oldest));
    };
    let case = Case::recorded(Recording { recipients: Some(two_of_three), after: Some(after), ..Recording::default() });
    assert_eq!(case.faults(), [FindingKind::RecipientsRollback]);
}

#[test]
fn a_camera_that_goes_on_with_the_same_recipients_is_good() {
    let case =
        Case::recorded(Recording { recipients: Some(two_of_three), after: Some(|log| next_epoch(log, None)), ..Recording::default() });
    assert_eq!(case.faults(), []);
}

/// What these tests judge is judged by the verifier in Python too.
pub const TESTS: &[fn()] = &[
    recipients_that_the_threshold_decided_hold,
    recipients_are_obeyed_up_to_the_moment_when_they_expire,
    a_camera_that_goes_on_with_the_same_recipients_is_good,
    a_set_that_was_decided_is_not_refused_when_it_is_repeated,
    sets_are_in_force_in_the_order_in_which_they_were_decided,
    a_set_that_was_approved_while_a_newer_one_waits_is_in_force,
    an_approval_below_what_it_names_is_none,
    without_pinned_custodians_nobodys_decision_is_judged,
    recipients_that_fewer_than_the_threshold_decided_are_bad,
    recipients_that_do_not_follow_those_in_force_are_bad,
    approvals_that_come_after_the_camera_obeyed_do_not_count,
    one_person_with_two_certificates_counts_once,
    stale_recipients_are_told_and_nothing_more,
    a_camera_that_was_set_back_to_older_recipients_is_bad,
];

//! Continuity: why there is nothing, and what follows what, each told apart.

use exhibit_evidence::body::{
    Continues, Contradiction, Epoch, EpochReason, Fetch, Gap, GapCause, Heartbeat, Retention, SeqRange, StreamPosition,
};
use exhibit_evidence::bundle::observed_proof_path;
use exhibit_evidence::verdict::{Axis, Finding, FindingKind, Grade, Place};
use exhibit_evidence::{Body, Head, Statement, sign};
use exhibit_pki::Timestamp;
use exhibit_tlog::Hash;

use crate::common::stream;
use crate::synthetic::{CAMERA_STREAM, Case, EARLIER, Extra, ExtraAt, Log, PREDECESSOR, PREDECESSOR_SIZE, Recording, STARTED_MS};

/// Segment 3 begins five seconds late.
const HOLE_MS: u64 = 5_000;
const HOLE_FROM_MS: u64 = STARTED_MS + 4_000;
/// Where the interval that is asked for ends, and so the hole in it.
const INTERVAL_TO_MS: u64 = STARTED_MS + 8_000;

fn moment(ms: u64) -> Timestamp {
    Timestamp::from_unix_ms(ms).unwrap()
}

/// What is said of continuity, but that it holds.
fn told(case: &Case) -> Vec<(Grade, FindingKind)> {
    let verdict = case.judge().unwrap();
    let told = verdict.on(Axis::Continuity).filter(|finding| finding.kind != FindingKind::Holds);
    told.map(|finding| (finding.grade, finding.kind)).collect()
}

fn with_hole(between: ExtraAt) -> Vec<(Grade, FindingKind)> {
    told(&Case::recorded(Recording { late: Some((3, HOLE_MS)), between: Some(between), ..Recording::default() }))
}

fn gap(log: &mut Log, cause: GapCause, from_ms: u64, to_ms: u64) {
    let body = Gap { cause, from: moment(from_ms), to: moment(to_ms), attachments: vec![] };
    log.append(|log| &mut log.camera, to_ms, Body::Gap(body));
}

/// The camera begins another epoch, in a stream of its own.
fn epoch(log: &mut Log, started_ms: u64, reason: EpochReason, previous: Option<StreamPosition>) {
    let of_epoch = |entry: &&exhibit_evidence::SignedStatement| matches!(entry.statement().body, Body::Epoch(_));
    let Body::Epoch(first) = log.entries.iter().find(of_epoch).unwrap().statement().body.clone() else { unreachable!() };
    let body = Epoch { started: moment(started_ms), continues: Continues { reason, previous }, ..first };
    let usual = (log.camera.stream.clone(), log.camera.next_seq, log.camera.prev);
    (log.camera.stream, log.camera.next_seq, log.camera.prev) = (stream("camera/102/main/20261120T130000Z"), 0, Hash::default());
    log.append(|log| &mut log.camera, started_ms, Body::Epoch(body));
    (log.camera.stream, log.camera.next_seq, log.camera.prev) = usual;
}

/// A place in the usual stream, with the leaf hash that is there.
fn position(log: &Log, seq: u64) -> StreamPosition {
    let at =
        |entry: &&exhibit_evidence::SignedStatement| (entry.statement().stream.as_str(), entry.statement().seq) == (CAMERA_STREAM, seq);
    let leaf = log.entries.iter().find(at).map_or(Hash([1; 32]), exhibit_evidence::SignedStatement::leaf_hash);
    StreamPosition { stream: stream(CAMERA_STREAM), seq, leaf }
}

fn heartbeat(log: &mut Log, unsent: u64, issued_ms: u64) {
    let body = Heartbeat { uptime_s: 60, unsent, unsent_bytes: 0, last_segment: None, attachments: vec![] };
    log.append(|log| &mut log.camera, issued_ms, Body::Heartbeat(body));
}

#[test]
fn each_cause_of_a_gap_is_told_as_what_it_is() {
    let cases: [(ExtraAt, FindingKind); 4] = [
        (
            |log, number| {
                if number == 2 {
                    gap(log, GapCause::Mode, HOLE_FROM_MS, HOLE_FROM_MS + HOLE_MS)
                }
            },
            FindingKind::NotRecorded,
        ),
        (
            |log, number| {
                if number == 2 {
                    gap(log, GapCause::EvictedOffline, HOLE_FROM_MS, HOLE_FROM_MS + HOLE_MS)
                }
            },
            FindingKind::Lost,
        ),
        (
            |log, number| {
                if number == 2 {
                    gap(log, GapCause::SourceLost, HOLE_FROM_MS, HOLE_FROM_MS + HOLE_MS)
                }
            },
            FindingKind::Gap,
        ),
        (
            |log, number| {
                if number == 2 {
                    gap(log, GapCause::Power, HOLE_FROM_MS + 1_000, HOLE_FROM_MS + HOLE_MS - 1_000)
                }
            },
            FindingKind::Gap,
        ),
    ];
    for (between, kind) in cases {
        assert_eq!(with_hole(between), [(Grade::NotDemanded, kind)]);
    }
}

#[test]
fn a_second_between_two_segments_is_no_hole_and_more_is_one() {
    let late = |ms| told(&Case::recorded(Recording { late: Some((3, ms)), ..Recording::default() }));
    assert_eq!(late(1_000), []);
    assert_eq!(late(1_001), [(Grade::Undecided, FindingKind::Uncovered)]);
}

#[test]
fn a_gap_that_does_not_fill_the_hole_explains_nothing() {
    let uncovered = [(Grade::Undecided, FindingKind::Uncovered)];
    for between in [
        (|log, number| {
            if number == 2 {
                gap(log, GapCause::Mode, HOLE_FROM_MS + 1_001, HOLE_FROM_MS + HOLE_MS)
            }
        }) as ExtraAt,
        |log, number| {
            if number == 2 {
                gap(log, GapCause::Mode, HOLE_FROM_MS, INTERVAL_TO_MS - 1_001)
            }
        },
        |log, number| {
            // Two that would fill it together are two statements, and neither says that nothing lay between.
            if number == 2 {
                gap(log, GapCause::Mode, HOLE_FROM_MS, HOLE_FROM_MS + 2_000);
                gap(log, GapCause::Mode, HOLE_FROM_MS + 2_000, HOLE_FROM_MS + HOLE_MS);
            }
        },
    ] {
        assert_eq!(with_hole(between), uncovered, "a gap that begins too late, ends too early, or is two");
    }
}

#[test]
fn of_several_gaps_the_one_that_reaches_furthest_counts() {
    let told = with_hole(|log, number| {
        if number == 2 {
            gap(log, GapCause::Mode, HOLE_FROM_MS - 10_000, HOLE_FROM_MS + 9_000);
            gap(log, GapCause::Power, HOLE_FROM_MS, HOLE_FROM_MS + 1_000);
        }
    });
    assert_eq!(told, [(Grade::NotDemanded, FindingKind::NotRecorded)], "a short gap hid a long one");
}

#[test]
fn what_the_camera_still_had_is_not_received_yet() {
    let not_yet = [(Grade::Undecided, FindingKind::NotYetReceived)];
    assert_eq!(
        with_hole(|log, number| if number == 5 {
            heartbeat(log, 3, HOLE_FROM_MS + 20_000)
        }),
        not_yet
    );
    let uncovered = [(Grade::Undecided, FindingKind::Uncovered)];
    assert_eq!(
        with_hole(|log, number| if number == 5 {
            heartbeat(log, 0, HOLE_FROM_MS + 20_000)
        }),
        uncovered,
        "it had nothing"
    );
    assert_eq!(
        with_hole(|log, number| if number == 1 {
            heartbeat(log, 3, HOLE_FROM_MS - 2_000)
        }),
        uncovered,
        "that was before"
    );
}

fn with_epoch(after: Extra, late: bool) -> Vec<(Grade, FindingKind)> {
    told(&Case::recorded(Recording { late: late.then_some((3, HOLE_MS)), after: Some(after), ..Recording::default() }))
}

#[test]
fn a_state_that_was_lost_is_told_and_explains_nothing() {
    let lost = with_epoch(|log| epoch(log, HOLE_FROM_MS + 2_000, EpochReason::StateLost, None), true);
    assert_eq!(lost, [(Grade::Undecided, FindingKind::StateLost)]);
    let lost = with_epoch(
        |log| {
            let previous = position(log, 2);
            epoch(log, HOLE_FROM_MS + 2_000, EpochReason::StateLost, Some(previous));
        },
        true,
    );
    assert_eq!(lost, [(Grade::Undecided, FindingKind::StateLost)], "what was recorded after the last statement is not known");
}

#[test]
fn an_epoch_that_follows_what_is_here_explains_a_pause() {
    let pause = with_epoch(
        |log| {
            let previous = position(log, 2);
            epoch(log, HOLE_FROM_MS + 2_000, EpochReason::Start, Some(previous));
        },
        true,
    );
    assert_eq!(pause, [(Grade::NotDemanded, FindingKind::Gap)]);
}

#[test]
fn an_epoch_that_follows_what_stands_behind_the_last_segment_explains_a_pause() {
    let between: ExtraAt = |log, number| {
        if number == 2 {
            heartbeat(log, 0, HOLE_FROM_MS);
        }
    };
    let after: Extra = |log| {
        let previous = position(log, 3);
        epoch(log, HOLE_FROM_MS + 2_000, EpochReason::Start, Some(previous));
    };
    let how = Recording { late: Some((3, HOLE_MS)), between: Some(between), after: Some(after), ..Recording::default() };
    assert_eq!(told(&Case::recorded(how)), [(Grade::NotDemanded, FindingKind::Gap)]);
    let after_an_epoch_without_segments: Extra = |log| {
        let previous = position(log, 0);
        epoch(log, HOLE_FROM_MS + 2_000, EpochReason::Start, Some(previous));
    };
    assert_eq!(with_epoch(after_an_epoch_without_segments, true), [(Grade::NotDemanded, FindingKind::Gap)]);
}

/// Whoever leaves something out before the heartbeat, or puts it behind something else, has not shown what came before it.
#[test]
fn an_epoch_that_follows_what_does_not_follow_the_last_segment_explains_nothing() {
    let behind_another: ExtraAt = |log, number| {
        if number == 2 {
            log.camera.prev = Hash([9; 32]);
            heartbeat(log, 0, HOLE_FROM_MS);
        }
    };
    let with_a_leap: ExtraAt = |log, number| {
        if number == 2 {
            log.camera.next_seq += 1;
            heartbeat(log, 0, HOLE_FROM_MS);
        }
    };
    let behind_3: Extra = |log| {
        let previous = position(log, 3);
        epoch(log, HOLE_FROM_MS + 2_000, EpochReason::Start, Some(previous));
    };
    let behind_4: Extra = |log| {
        let previous = position(log, 4);
        epoch(log, HOLE_FROM_MS + 2_000, EpochReason::Start, Some(previous));
    };
    for (between, after, broken) in [(behind_another, behind_3, FindingKind::ChainBroken), (with_a_leap, behind_4, FindingKind::ChainHole)]
    {
        let how = Recording { late: Some((3, HOLE_MS)), between: Some(between), after: Some(after), ..Recording::default() };
        assert_eq!(told(&Case::recorded(how)), [(Grade::Bad, broken), (Grade::Undecided, FindingKind::Uncovered)]);
    }
}

#[test]
fn the_end_of_a_chain_that_drains_is_not_received_yet_and_another_is_missing() {
    let backlog: Extra = |log| {
        let previous = position(log, 100);
        epoch(log, STARTED_MS + 60_000, EpochReason::Backlog, Some(previous));
    };
    assert_eq!(with_epoch(backlog, false), [(Grade::Undecided, FindingKind::NotYetReceived)]);
    let rotation: Extra = |log| {
        let previous = position(log, 100);
        epoch(log, STARTED_MS + 60_000, EpochReason::Rotation, Some(previous));
    };
    assert_eq!(with_epoch(rotation, false), [(Grade::Bad, FindingKind::ChainHole)]);
}

#[test]
fn an_epoch_continues_the_very_statement_that_it_names_also_where_the_chain_went_on() {
    let right: Extra = |log| {
        let previous = position(log, 3);
        epoch(log, STARTED_MS + 60_000, EpochReason::Backlog, Some(previous));
    };
    assert_eq!(with_epoch(right, false), []);
    let wrong: Extra = |log| {
        let previous = StreamPosition { leaf: Hash([1; 32]), ..position(log, 3) };
        epoch(log, STARTED_MS + 60_000, EpochReason::Backlog, Some(previous));
    };
    assert_eq!(with_epoch(wrong, false), [(Grade::Bad, FindingKind::ChainBroken)]);
}

#[test]
fn another_device_in_the_place_is_told() {
    let told = with_epoch(
        |log| {
            let previous = position(log, 7);
            epoch(log, STARTED_MS + 60_000, EpochReason::DeviceReplaced, Some(previous));
        },
        false,
    );
    assert_eq!(told, [(Grade::NotDemanded, FindingKind::DeviceReplaced)]);
}

/// The statement at the place of segment 2 again, with another content.
pub fn other_statement(log: &Log) -> (Vec<u8>, Statement) {
    let at = |entry: &&exhibit_evidence::SignedStatement| (entry.statement().stream.as_str(), entry.statement().seq) == (CAMERA_STREAM, 2);
    let entry = log.entries.iter().find(at).unwrap();
    let other = Statement { body: crate::common::gap(), ..entry.statement().clone() };
    (entry.der().to_vec(), other)
}

pub fn contradiction(log: &mut Log, first: &[u8], second: &[u8]) {
    let attachments = vec![log.keep("first", first), log.keep("second", second)];
    let body = Contradiction { stream: stream(CAMERA_STREAM), seq: 2, attachments };
    log.append(|log| &mut log.appliance, STARTED_MS + 50_000, Body::Contradiction(body));
}

#[test]
fn two_statements_for_one_place_are_held_against_their_signer() {
    let after: Extra = |log| {
        let (first, other) = other_statement(log);
        let second = sign(&other, &log.camera.party.certificate, &log.camera.party.key).unwrap();
        contradiction(log, &first, second.der());
    };
    assert_eq!(with_epoch(after, false), [(Grade::Bad, FindingKind::Contradiction)]);
    let case = Case::recorded(Recording { after: Some(after), ..Recording::default() });
    let verdict = case.judge().unwrap();
    let told = verdict.findings.iter().find(|finding| finding.kind == FindingKind::Contradiction).unwrap();
    let is_contradiction = |entry: &exhibit_evidence::SignedStatement| matches!(entry.statement().body, Body::Contradiction(_));
    let index = case.log.entries.iter().position(is_contradiction).unwrap() as u64;
    let statement = case.log.entries[index as usize].statement();
    assert_eq!(told.place, Place { index: Some(index), ..Place::position(statement.stream.as_str(), statement.seq) });
}

/// Two statements for one place in another log than this one.
fn contradiction_in(log: &mut Log, named: Hash) {
    let (_, mut first) = other_statement(log);
    first.log = named;
    let second = Statement { issued: moment(STARTED_MS + 1), ..first.clone() };
    let [first, second] = [first, second].map(|statement| sign(&statement, &log.camera.party.certificate, &log.camera.party.key).unwrap());
    contradiction(log, first.der(), second.der());
}

#[test]
fn two_statements_for_one_place_in_the_log_before_are_held_against_their_signer_and_in_a_foreign_one_against_the_appliance() {
    let faults = |after: Extra| Case::recorded(Recording { successor: true, after: Some(after), ..Recording::default() }).faults();
    assert_eq!(faults(|log| contradiction_in(log, PREDECESSOR)), [FindingKind::Contradiction]);
    assert_eq!(faults(|log| contradiction_in(log, Hash([0xad; 32]))), [FindingKind::ContradictionFalse]);
}

#[test]
fn contradictions_that_are_none_are_held_against_the_appliance() {
    let cases: [(&str, Extra); 6] = [
        ("one statement twice", |log| {
            let (first, _) = other_statement(log);
            contradiction(log, &first.clone(), &first);
        }),
        ("a statement of another place", |log| {
            let (first, mut other) = other_statement(log);
            other.seq = 3;
            let second = sign(&other, &log.camera.party.certificate, &log.camera.party.key).unwrap();
            contradiction(log, &first, second.der());
        }),
        ("a forged signature", |log| {
            let (first, other) = other_statement(log);
            let mut second = sign(&other, &log.camera.party.certificate, &log.camera.party.key).unwrap().der().to_vec();
            *second.last_mut().unwrap() ^= 1;
            contradiction(log, &first, &second);
        }),
        ("one for another log", |log| {
            let (first, mut other) = other_statement(log);
            other.log = exhibit_tlog::Hash([0xee; 32]);
            let second = sign(&other, &log.camera.party.certificate, &log.camera.party.key).unwrap();
            contradiction(log, &first, second.der());
        }),
        ("one of before the certificate was valid", |log| {
            let (first, mut other) = other_statement(log);
            other.issued = exhibit_pki::Timestamp::from_unix_ms(1_000).unwrap();
            let second = sign(&other, &log.camera.party.certificate, &log.camera.party.key).unwrap();
            contradiction(log, &first, second.der());
        }),
        ("no statement", |log| {
            let (first, _) = other_statement(log);
            contradiction(log, &first, b"none");
        }),
    ];
    for (defect, after) in cases {
        let faults = Case::recorded(Recording { after: Some(after), ..Recording::default() }).faults();
        assert_eq!(faults, [FindingKind::ContradictionFalse], "{defect}");
    }
}

#[test]
fn content_that_a_rule_deleted_is_told_apart_from_what_is_withheld() {
    let after: Extra = |log| {
        let ranges = vec![SeqRange { stream: stream(CAMERA_STREAM), first: 3, last: 3 }];
        let body = Retention { ranges, rule: "thirty-days".to_owned(), attachments: vec![] };
        log.append(|log| &mut log.appliance, STARTED_MS + 50_000, Body::Retention(body));
    };
    let mut case = Case::recorded(Recording { after: Some(after), ..Recording::default() });
    (3..=4).for_each(|seq| case.withhold(seq));
    let verdict = case.judge().unwrap();
    let of = |kind| verdict.findings.iter().filter(|finding| finding.kind == kind).map(|finding| finding.place.seq).collect::<Vec<_>>();
    assert_eq!((of(FindingKind::Erased), of(FindingKind::Withheld)), (vec![Some(3)], vec![Some(4)]));
}

/// What the camera had still stated for the log before this one, in a chain that drains beside the new one.
fn of_predecessor(log: &mut Log, named: Hash, observed: Head) {
    let usual = (log.camera.stream.clone(), log.camera.next_seq, log.camera.prev);
    // Each in an epoch of its own, as far as the bundle has it.
    let epoch = format!("camera/102/events/20261119T1200{:02}Z", log.entries.len());
    (log.camera.stream, log.camera.next_seq, log.camera.prev) = (stream(&epoch), 7, Hash([7; 32]));
    in_own_chain(log, named, observed);
    (log.camera.stream, log.camera.next_seq, log.camera.prev) = usual;
}

fn in_own_chain(log: &mut Log, named: Hash, observed: Head) {
    let mut statement = log.draft(|log| &mut log.camera, STARTED_MS + 12_000, crate::common::gap());
    (statement.log, statement.observed) = (named, observed);
    log.append_as_drafted(|log| &mut log.camera, &statement);
}

fn first_of_predecessor(case: &Case) -> u64 {
    let entries = &case.log.entries;
    u64::try_from(entries.iter().position(|entry| entry.statement().log == PREDECESSOR).unwrap()).unwrap()
}

/// After segment 6, in a log that goes on for another.
fn continued(between: ExtraAt) -> Case {
    Case::recorded(Recording { successor: true, between: Some(between), ..Recording::default() })
}

#[test]
fn statements_for_declared_logs_before_are_accepted_and_what_they_lost_is_told() {
    let at_its_end: ExtraAt = |log, number| {
        if number == 6 {
            of_predecessor(log, PREDECESSOR, Log::predecessor_head(PREDECESSOR_SIZE));
        }
    };
    let beyond: ExtraAt = |log, number| {
        if number == 6 {
            of_predecessor(log, PREDECESSOR, Log::predecessor_head(PREDECESSOR_SIZE + 3));
        }
    };
    let earlier: ExtraAt = |log, number| {
        if number == 6 {
            of_predecessor(log, EARLIER, Log::predecessor_head(PREDECESSOR_SIZE + 1));
        }
    };
    let beyond_earlier: ExtraAt = |log, number| {
        if number == 6 {
            of_predecessor(log, EARLIER, Log::predecessor_head(PREDECESSOR_SIZE + 2));
        }
    };
    let foreign: ExtraAt = |log, number| {
        if number == 6 {
            of_predecessor(log, Hash([0xad; 32]), Log::predecessor_head(1));
        }
    };
    assert_eq!(told(&continued(at_its_end)), []);
    assert_eq!(told(&continued(beyond)), [(Grade::NotDemanded, FindingKind::LostEntries)]);
    assert_eq!(told(&continued(earlier)), [], "each log has an end of its own");
    assert_eq!(told(&continued(beyond_earlier)), [(Grade::NotDemanded, FindingKind::LostEntries)]);
    assert!(continued(foreign).faults().contains(&FindingKind::OtherLog));
    let undeclared = Case::recorded(Recording { between: Some(at_its_end), ..Recording::default() });
    assert!(undeclared.faults().contains(&FindingKind::OtherLog), "a predecessor that genesis does not declare was accepted");
}

/// Whoever runs both logs could have shown the camera another than the one that genesis names.
#[test]
fn what_was_observed_of_the_log_before_is_a_part_of_what_genesis_names() {
    let heads = |case: &Case| {
        let verdict = case.judge().unwrap();
        let of_heads = |finding: &&Finding| [FindingKind::Fork, FindingKind::HeadUnproven, FindingKind::Receipt].contains(&finding.kind);
        verdict.findings.iter().filter(of_heads).map(|finding| (finding.grade, finding.kind)).collect::<Vec<_>>()
    };
    let at = |observed: ExtraAt| {
        let mut case = continued(observed);
        case.prove_heads();
        case
    };
    let forked: ExtraAt = |log, number| {
        if number == 6 {
            of_predecessor(log, PREDECESSOR, Head { size: PREDECESSOR_SIZE, root: Hash([0x77; 32]) });
        }
    };
    assert_eq!(heads(&at(forked)), [(Grade::Bad, FindingKind::Fork)]);
    let forked_earlier: ExtraAt = |log, number| {
        if number == 6 {
            of_predecessor(log, EARLIER, Head { size: PREDECESSOR_SIZE + 1, root: Hash([0x77; 32]) });
        }
    };
    assert_eq!(heads(&at(forked_earlier)), [(Grade::Bad, FindingKind::Fork)], "the end of an earlier log is another");
    let smaller: ExtraAt = |log, number| {
        if number == 6 {
            of_predecessor(log, PREDECESSOR, Log::predecessor_head(PREDECESSOR_SIZE - 3));
        }
    };
    let mut case = at(smaller);
    assert_eq!(heads(&case), [(Grade::NotDemanded, FindingKind::HeadUnproven)]);
    let proof = observed_proof_path(first_of_predecessor(&case));
    case.files.0.insert(proof.clone(), Log::predecessor_proof(PREDECESSOR_SIZE - 3));
    assert_eq!(heads(&case), [], "the proof leads to the head that genesis names");
    case.files.0.insert(proof, Log::predecessor_proof(PREDECESSOR_SIZE - 4));
    assert_eq!(heads(&case), [(Grade::Bad, FindingKind::Receipt), (Grade::NotDemanded, FindingKind::HeadUnproven)]);
    // Two that saw a log of one size and not of one root, of which one is proven.
    let two: ExtraAt = |log, number| match number {
        5 => of_predecessor(log, PREDECESSOR, Log::predecessor_head(PREDECESSOR_SIZE - 3)),
        6 => of_predecessor(log, PREDECESSOR, Head { size: PREDECESSOR_SIZE - 3, root: Hash([0x77; 32]) }),
        _ => {}
    };
    let mut case = at(two);
    case.files.0.insert(observed_proof_path(first_of_predecessor(&case)), Log::predecessor_proof(PREDECESSOR_SIZE - 3));
    assert_eq!(heads(&case), [(Grade::Bad, FindingKind::Fork)]);
}

/// What it had seen of the log that it left says nothing of the one that it has gone on to.
#[test]
fn within_a_chain_nobody_goes_back_to_the_log_before() {
    let back: ExtraAt = |log, number| {
        if number == 6 {
            in_own_chain(log, PREDECESSOR, Log::predecessor_head(PREDECESSOR_SIZE));
        }
    };
    assert_eq!(told(&continued(back)), [(Grade::Bad, FindingKind::Observed)]);
}

/// What a later version of a camera states is held to its place, and said to be not judged.
#[test]
fn a_statement_of_an_unknown_type_is_told_and_breaks_nothing() {
    let between: ExtraAt = |log, number| {
        if number == 3 {
            let body = serde_json::json!({ "attachments": [] });
            let unknown = Body::Unknown { type_name: "weather/v3".to_owned(), attachments: vec![], body };
            log.append(|log| &mut log.camera, STARTED_MS + 6_200, unknown);
        }
    };
    let case = Case::recorded(Recording { between: Some(between), ..Recording::default() });
    assert_eq!(told(&case), [(Grade::NotDemanded, FindingKind::NotJudged)]);
    let verdict = case.judge().unwrap();
    let found = verdict.on(Axis::Continuity).find(|finding| finding.kind == FindingKind::NotJudged).unwrap();
    assert!(found.sentence.contains("weather/v3"), "{}", found.sentence);
}

/// Whoever keeps the log lets a custodian say two things in one place; of no other stream than the camera's is the whole here.
#[test]
fn no_stream_forks_whoevers_it_is() {
    let forked: Extra = |log| {
        let usual = (log.custodian.next_seq, log.custodian.prev);
        log.append(|log| &mut log.custodian, STARTED_MS + 20_000, Body::Fetch(other_fetch(1)));
        (log.custodian.next_seq, log.custodian.prev) = usual;
        log.append(|log| &mut log.custodian, STARTED_MS + 20_000, Body::Fetch(other_fetch(2)));
    };
    assert_eq!(with_epoch(forked, false), [(Grade::Bad, FindingKind::ChainBroken)], "two entries at one place");
    let unchained: Extra = |log| {
        log.append(|log| &mut log.custodian, STARTED_MS + 20_000, Body::Fetch(other_fetch(1)));
        log.custodian.prev = Hash([8; 32]);
        log.append(|log| &mut log.custodian, STARTED_MS + 20_000, Body::Fetch(other_fetch(2)));
    };
    assert_eq!(with_epoch(unchained, false), [(Grade::Bad, FindingKind::ChainBroken)], "a statement that follows another");
    let falling: Extra = |log| {
        let mut statement = log.draft(|log| &mut log.custodian, STARTED_MS + 20_000, Body::Fetch(other_fetch(1)));
        statement.observed = Head { size: 1, root: log.leaf(0) };
        log.append_as_drafted(|log| &mut log.custodian, &statement);
    };
    assert_eq!(with_epoch(falling, false), [(Grade::Bad, FindingKind::Observed)], "a log that shrank for a custodian");
}

fn other_fetch(seq: u64) -> Fetch {
    Fetch { grant: None, ranges: vec![SeqRange { stream: stream(CAMERA_STREAM), first: seq, last: seq }], attachments: vec![] }
}

#[test]
fn nothing_follows_a_close() {
    let after: Extra = |log| gap(log, GapCause::Power, STARTED_MS + 20_000, STARTED_MS + 21_000);
    assert_eq!(with_epoch(after, false), [(Grade::Bad, FindingKind::ChainBroken)]);
}

/// What these tests judge is judged by the verifier in Python too.
pub const TESTS: &[fn()] = &[
    each_cause_of_a_gap_is_told_as_what_it_is,
    a_gap_that_does_not_fill_the_hole_explains_nothing,
    of_several_gaps_the_one_that_reaches_furthest_counts,
    what_the_camera_still_had_is_not_received_yet,
    a_state_that_was_lost_is_told_and_explains_nothing,
    an_epoch_that_follows_what_is_here_explains_a_pause,
    an_epoch_that_follows_what_does_not_follow_the_last_segment_explains_nothing,
    the_end_of_a_chain_that_drains_is_not_received_yet_and_another_is_missing,
    an_epoch_continues_the_very_statement_that_it_names_also_where_the_chain_went_on,
    another_device_in_the_place_is_told,
    two_statements_for_one_place_are_held_against_their_signer,
    a_second_between_two_segments_is_no_hole_and_more_is_one,
    an_epoch_that_follows_what_stands_behind_the_last_segment_explains_a_pause,
    contradictions_that_are_none_are_held_against_the_appliance,
    two_statements_for_one_place_in_the_log_before_are_held_against_their_signer_and_in_a_foreign_one_against_the_appliance,
    content_that_a_rule_deleted_is_told_apart_from_what_is_withheld,
    statements_for_declared_logs_before_are_accepted_and_what_they_lost_is_told,
    what_was_observed_of_the_log_before_is_a_part_of_what_genesis_names,
    within_a_chain_nobody_goes_back_to_the_log_before,
    a_statement_of_an_unknown_type_is_told_and_breaks_nothing,
    no_stream_forks_whoevers_it_is,
    nothing_follows_a_close,
];

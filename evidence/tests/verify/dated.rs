//! Times that stand in entries of the log: what they bound, what the camera's TPM carries on, and how they are forged.

use exhibit_evidence::body::{DevicePolicy, TimestampBody};
use exhibit_evidence::bundle::{attachment_path, checkpoint_token_path, observed_proof_path, timestamp_proof_path};
use exhibit_evidence::verdict::{Axis, FindingKind, Grade, SegmentTime, Verdict};
use exhibit_evidence::{Body, Head};
use exhibit_pki::Timestamp;
use exhibit_tlog::Hash;

use crate::authorities::{ACCURACY_MS, Tsa, believing_time, city_time, notary, note_text};
use crate::soft_tpm::{Clock, SoftTpm};
use crate::synthetic::{ASKED, Case, ExtraAt, Log, Recording, STARTED_MS};
use crate::witnessed::worst;

/// Segment `number` ends.
fn end_ms(number: u64) -> u64 {
    STARTED_MS + number * 2_000
}

fn text(ms: u64) -> String {
    Timestamp::from_unix_ms(ms).unwrap().to_string()
}

/// The appliance puts a token over its newest checkpoint on the log.
pub fn timestamp(log: &mut Log, authority: &Tsa, at_ms: u64) -> u64 {
    timestamp_of(log, authority, at_ms, |_| ())
}

fn timestamp_of(log: &mut Log, authority: &Tsa, at_ms: u64, spoil: fn(&mut TimestampBody)) -> u64 {
    let checkpoint = log.checkpoint();
    let token = authority.token(&note_text(&checkpoint), at_ms);
    let head = Head { size: log.entries.len() as u64, root: log.root() };
    let mut body = TimestampBody { head, attachments: vec![log.keep("checkpoint", checkpoint.as_bytes()), log.keep("token-0", &token)] };
    spoil(&mut body);
    log.append(|log| &mut log.appliance, at_ms + 1_000, Body::Timestamp(body))
}

/// A recording with a token after each segment, half a second after its end.
fn dated(between: ExtraAt) -> Case {
    let mut case = Case::recorded(Recording { between: Some(between), ..Recording::default() });
    case.log.policy = believing_time();
    case.prove_heads();
    case
}

fn by_notary(log: &mut Log, number: u64) {
    timestamp(log, &notary(), end_ms(number) + 500);
}

/// A recording whose bundle has the notary's tokens.
pub fn by_notary_case() -> Case {
    dated(by_notary)
}

/// So long after each segment.
pub fn by_notary_at(log: &mut Log, number: u64, after_ms: u64) {
    timestamp(log, &notary(), end_ms(number) + after_ms);
}

fn by_city(log: &mut Log, number: u64) {
    timestamp(log, &city_time(), end_ms(number) + 500);
}

fn bounds(time: &SegmentTime) -> (Option<&str>, Option<&str>) {
    (time.not_before.first().map(|bound| bound.time.as_str()), time.not_after.first().map(|bound| bound.time.as_str()))
}

/// The times of the segments asked for: none is left out.
fn times(verdict: &Verdict) -> &[SegmentTime] {
    assert_eq!(verdict.times.len(), ASKED.count(), "a segment that was asked for has no time");
    &verdict.times
}

#[test]
fn segments_between_tokens_are_bounded_by_both() {
    let mut case = dated(by_notary);
    case.log.policy.demands = vec![Axis::Time];
    let verdict = case.judge().unwrap();
    assert_eq!(worst(&verdict, Axis::Time), (Grade::Good, FindingKind::Holds), "{:#?}", verdict.findings);
    let told = &verdict.on(Axis::Time).next().unwrap().sentence;
    assert!(told.starts_with("All 3 segments") && !told.contains("TPM"), "{told}");
    let accuracy_ms = u64::from(ACCURACY_MS);
    for (time, number) in times(&verdict).iter().zip(ASKED) {
        let (before, after) = (text(end_ms(number - 1) + 500 - accuracy_ms), text(end_ms(number) + 500 + accuracy_ms));
        assert_eq!(bounds(time), (Some(before.as_str()), Some(after.as_str())), "segment {number}");
        assert_eq!(time.not_before[0].by, "timestamping authority Notary");
        assert!(time.not_before[0].entry.is_some(), "the entry that holds the word is named");
    }
}

#[test]
fn the_operators_own_authority_is_labelled_and_does_not_meet_a_demand() {
    let mut case = dated(by_city);
    let verdict = case.judge().unwrap();
    assert_eq!(worst(&verdict, Axis::Time), (Grade::NotDemanded, FindingKind::TimeOperator));
    let told = &verdict.on(Axis::Time).next().unwrap().sentence;
    assert!(told.contains("When 3 of 3 segments"), "{told}");
    assert!(times(&verdict).iter().all(|time| !time.not_before[0].independent && !time.not_after[0].independent));
    case.log.policy.demands = vec![Axis::Time];
    assert_eq!(worst(&case.judge().unwrap(), Axis::Time), (Grade::Undecided, FindingKind::TimeOperator));
}

#[test]
fn without_proof_that_what_was_observed_is_this_log_nothing_is_bounded_from_below() {
    let mut case = dated(by_notary);
    let listed = case.manifest.entries.clone();
    listed.iter().for_each(|index| drop(case.files.0.remove(&observed_proof_path(*index))));
    let verdict = case.judge().unwrap();
    let unbounded = verdict.findings.iter().find(|finding| finding.kind == FindingKind::TimeUnbounded).unwrap();
    assert!(unbounded.sentence.starts_with("Of 3 of 3 segments"), "{}", unbounded.sentence);
    for time in times(&verdict) {
        // The heads that were timestamped are proven still, and a camera observes them only by chance.
        assert_eq!(bounds(time).0, None, "a head that was not proven bounded a segment");
        assert!(bounds(time).1.is_some());
    }
}

#[test]
fn one_proven_head_bounds_what_follows_in_the_chain() {
    let mut case = dated(by_notary);
    let first = case.camera_index[2];
    let listed = case.manifest.entries.clone();
    listed.iter().filter(|index| **index != first).for_each(|index| drop(case.files.0.remove(&observed_proof_path(*index))));
    for time in times(&case.judge().unwrap()) {
        assert_eq!(bounds(time).0, Some(text(end_ms(1)).as_str()), "what follows a statement is not older than it");
    }
}

/// A statement that names the one before as its own and leaves out a seq does not follow it: who knows what was between.
#[test]
fn nothing_is_carried_over_a_seq_that_nobody_has() {
    let mut case = dated(|log, number| {
        by_notary(log, number);
        log.camera.next_seq += u64::from(number == 3);
    });
    let first = case.camera_index[2];
    let listed = case.manifest.entries.clone();
    listed.iter().filter(|index| **index != first).for_each(|index| drop(case.files.0.remove(&observed_proof_path(*index))));
    let verdict = case.judge().unwrap();
    let bounded: Vec<_> = times(&verdict).iter().map(|time| (time.seq, bounds(time).0.is_some())).collect();
    assert_eq!(bounded, [(2, true), (3, true), (5, false)]);
}

#[test]
fn a_timestamp_that_is_not_proven_to_be_of_this_log_bounds_nothing_from_above() {
    let mut case = dated(by_notary);
    let listed = case.manifest.entries.clone();
    listed.iter().for_each(|index| drop(case.files.0.remove(&timestamp_proof_path(*index))));
    listed.iter().for_each(|index| drop(case.files.0.remove(&observed_proof_path(*index))));
    assert!(times(&case.judge().unwrap()).iter().all(|time| time.not_after.is_empty() && time.not_before.is_empty()));
}

#[test]
fn proofs_that_lead_nowhere_are_told() {
    for path in [observed_proof_path as fn(u64) -> String, timestamp_proof_path] {
        for spoilt in [&b""[..], b"exhibit-consistency/v1", b"exhibit-consistency/v1\n", b"exhibit-consistency/v2\n", b"\xff\n"] {
            let mut case = dated(by_notary);
            let index = (0..).find(|index| case.files.0.contains_key(&path(*index))).unwrap();
            case.files.0.insert(path(index), spoilt.to_vec());
            let verdict = case.judge().unwrap();
            let told = verdict.findings.iter().find(|finding| finding.kind == FindingKind::Receipt && finding.grade == Grade::Bad);
            let place = &told.unwrap_or_else(|| panic!("{spoilt:?} was taken for a proof")).place;
            assert_eq!((place.index, place.file.as_deref()), (Some(index), Some(path(index).as_str())), "the proof is not named");
        }
    }
}

#[test]
fn timestamps_that_do_not_count_are_told() {
    let cases: [(&str, ExtraAt, FindingKind); 4] = [
        (
            "a head that the checkpoint is not of",
            |log, _| {
                timestamp_of(log, &notary(), end_ms(1), |body| body.head = Head { size: body.head.size - 1, root: Hash([9; 32]) });
            },
            FindingKind::Timestamp,
        ),
        (
            "a size that the checkpoint is not of",
            |log, _| {
                timestamp_of(log, &notary(), end_ms(1), |body| body.head.size -= 1);
            },
            FindingKind::Timestamp,
        ),
        (
            "a token over another checkpoint",
            |log, _| {
                let (checkpoint, token) = (log.checkpoint(), notary().token("another", end_ms(1)));
                let head = Head { size: log.entries.len() as u64, root: log.root() };
                let attachments = vec![log.keep("checkpoint", checkpoint.as_bytes()), log.keep("token-0", &token)];
                log.append(|log| &mut log.appliance, end_ms(1), Body::Timestamp(TimestampBody { head, attachments }));
            },
            FindingKind::Timestamp,
        ),
        (
            "a checkpoint that the log did not sign",
            |log, _| {
                let head = Head { size: log.entries.len() as u64, root: log.root() };
                let attachments = vec![log.keep("checkpoint", b"not a note")];
                log.append(|log| &mut log.appliance, end_ms(1), Body::Timestamp(TimestampBody { head, attachments }));
            },
            FindingKind::Timestamp,
        ),
    ];
    for (defect, between, kind) in cases {
        let faults = dated(between).faults();
        assert!(faults.contains(&kind), "{defect}: told as {faults:?}");
    }
}

/// Which of two believed authorities is asked first makes no difference to a token that was altered.
#[test]
fn an_altered_token_of_a_believed_authority_is_no_strangers_whoever_else_is_believed() {
    let (one, other) = (notary().trust("Notary", true), city_time().trust("City", true));
    for believed in [vec![one.clone()], vec![one.clone(), other.clone()], vec![other, one]] {
        let mut case = dated(|_, _| ());
        let text = note_text(&String::from_utf8(case.file("checkpoint").clone()).unwrap());
        let token = notary().token(&text, end_ms(9));
        // Its signature, and the serial number of the certificate, which names the signer and is not signed.
        let digest = token.windows(SHA384_DER.len()).rposition(|bytes| bytes == SHA384_DER).unwrap();
        for altered in [token.len() - 1, digest - 3] {
            let mut token = token.clone();
            token[altered] ^= 1;
            case.files.0.insert(checkpoint_token_path(0), token);
            case.log.policy.timestamp_authorities.clone_from(&believed);
            assert_eq!(worst(&case.judge().unwrap(), Axis::Time), (Grade::Bad, FindingKind::Timestamp), "byte {altered}");
        }
    }
}

/// The name of the signer's digest, behind the signer's name.
const SHA384_DER: [u8; 11] = [6, 9, 0x60, 0x86, 0x48, 1, 0x65, 3, 4, 2, 2];

/// A hostile appliance shows the camera a log of its own, and the court another.
#[test]
fn a_camera_that_was_shown_another_log_tells_it() {
    let mut case = dated(|log, number| {
        if number == 1 {
            let index = timestamp(log, &notary(), end_ms(1) + 500);
            let mut gap = log.draft(|log| &mut log.camera, end_ms(1) + 900, crate::common::gap());
            gap.observed = Head { size: index, root: Hash([0x66; 32]) };
            log.append_as_drafted(|log| &mut log.camera, &gap);
        }
    });
    case.files.0.retain(|path, _| !path.ends_with(".observed"));
    let verdict = case.judge().unwrap();
    assert_eq!(worst(&verdict, Axis::Witness), (Grade::Bad, FindingKind::Fork), "{:#?}", verdict.findings);
    case.prove_heads();
    for verdict in [verdict, case.judge().unwrap()] {
        let forks: Vec<_> = verdict.findings.iter().filter(|finding| finding.kind == FindingKind::Fork).collect();
        assert_eq!(forks.len(), 1, "one statement tells of one fork: {forks:#?}");
    }
}

#[test]
fn clocks_that_exclude_each_other_are_told() {
    // The token that the camera had seen says a later time than the one over what it then made.
    let case = dated(|log, number| {
        timestamp(log, &notary(), if number < 3 { end_ms(number) + 60_000 } else { end_ms(number) });
    });
    assert!(case.faults().contains(&FindingKind::TimeContradiction));
    // By as much as both may be wrong, and by a millisecond more.
    let apart_ms = 2 * u64::from(ACCURACY_MS);
    let agree = dated(|log, number| {
        timestamp(log, &notary(), if number < 3 { end_ms(3) + 2 * u64::from(ACCURACY_MS) } else { end_ms(3) });
    });
    assert!(!agree.faults().contains(&FindingKind::TimeContradiction), "{apart_ms} ms are within what both say of themselves");
    let exclude = dated(|log, number| {
        timestamp(log, &notary(), if number < 3 { end_ms(3) + 2 * u64::from(ACCURACY_MS) + 1 } else { end_ms(3) });
    });
    assert!(exclude.faults().contains(&FindingKind::TimeContradiction), "{apart_ms} ms and one more");
}

#[test]
fn an_altered_attachment_is_named_with_its_entry_and_file() {
    let mut case = dated(by_notary);
    let of_entry = |body: &Body| body.attachments().iter().find(|attachment| attachment.name == "token-0").map(|named| named.sha256);
    let (index, sha256) =
        (0_u64..).zip(&case.log.entries).find_map(|(index, entry)| Some((index, of_entry(&entry.statement().body)?))).unwrap();
    let path = attachment_path(&sha256);
    case.file(&path)[0] ^= 1;
    let verdict = case.judge().unwrap();
    let place = &verdict.findings.iter().find(|finding| finding.kind == FindingKind::FileAltered).unwrap().place;
    assert_eq!((place.index, place.file.as_deref()), (Some(index), Some(path.as_str())));
}

#[test]
fn words_that_bound_no_segment_meet_no_demand() {
    let mut case = dated(by_notary);
    case.log.policy.demands = vec![Axis::Time];
    // An hour later there is nothing.
    case.manifest.question.from = text(STARTED_MS + 3_600_000);
    case.manifest.question.to = text(STARTED_MS + 3_610_000);
    case.manifest.segments.clear();
    case.export();
    let verdict = case.judge().unwrap();
    assert!(verdict.times.is_empty());
    assert!(verdict.on(Axis::Time).all(|finding| finding.grade != Grade::Good), "{:#?}", verdict.findings);
    assert_eq!(worst(&verdict, Axis::Time), (Grade::Undecided, FindingKind::NoEvidence));
}

#[test]
fn a_camera_whose_clock_is_behind_is_contradicted() {
    let case = dated(|log, number| {
        timestamp(log, &notary(), end_ms(number) + 60_000);
    });
    let verdict = case.judge().unwrap();
    let told = verdict.findings.iter().find(|finding| finding.kind == FindingKind::ClaimContradicted).unwrap();
    assert!(told.sentence.contains("for 3 of 3 segments"), "{}", told.sentence);
    let case = dated(|log, number| {
        timestamp(log, &notary(), end_ms(number) + 5_000);
    });
    assert!(!case.faults().contains(&FindingKind::ClaimContradicted), "a delay of seconds is none");
}

/// A camera's clock may be off by so much and no more.
const TOLERANCE_MS: u64 = 11_000;

#[test]
fn a_cameras_clock_may_be_off_by_its_tolerance_and_no_more() {
    fn behind(log: &mut Log, number: u64, more_ms: u64) {
        // Segment 3 ended by the camera's clock as long ago as it may have when the token it has seen was made.
        let seen_ms = end_ms(3) + u64::from(ACCURACY_MS) + TOLERANCE_MS;
        match number {
            0 | 1 => {}
            _ => drop(timestamp(log, &notary(), seen_ms + more_ms)),
        }
    }
    fn ahead(log: &mut Log, number: u64, less_ms: u64) {
        // Segment 3 was sealed by the camera's clock as long after the token over it as it may have been.
        let sealed_ms = end_ms(3) + 100;
        match number {
            0..3 => {}
            3 => drop(timestamp(log, &notary(), sealed_ms - u64::from(ACCURACY_MS) - TOLERANCE_MS - less_ms)),
            _ => drop(timestamp(log, &notary(), end_ms(number) + 500)),
        }
    }
    let contradicted = |between: ExtraAt| dated(between).faults().contains(&FindingKind::ClaimContradicted);
    assert!(!contradicted(|log, number| behind(log, number, 0)), "behind by the tolerance");
    assert!(contradicted(|log, number| behind(log, number, 1)), "behind by a millisecond more");
    assert!(!contradicted(|log, number| ahead(log, number, 0)), "ahead by the tolerance");
    assert!(contradicted(|log, number| ahead(log, number, 1)), "ahead by a millisecond more");
}

/// Offline from segment 1 on: the camera observes nothing new, and its TPM reads its clock after every segment.
fn offline(resets: fn(u64) -> u32) -> Case {
    let before = |log: &mut Log| {
        let certificate = log.camera.party.certificate.clone();
        let key = crate::common::key(13);
        assert_eq!(exhibit_pki::Signer::public_key(&key), certificate.public_key());
        let body = SoftTpm::new().enrolment(log, DevicePolicy::AllowListed, &key);
        log.append(|log| &mut log.authority, STARTED_MS - 8_000, Body::Enrolment(body));
        timestamp(log, &notary(), STARTED_MS - 7_000);
    };
    fn between(log: &mut Log, number: u64, resets: u32) {
        let of_enrolment = |entry: &&exhibit_evidence::SignedStatement| matches!(entry.statement().body, Body::Enrolment(_));
        let enrolment = log.entries.iter().find(of_enrolment).unwrap().leaf_hash();
        // Ten minutes pass between segments, by the count of the TPM.
        let clock = Clock { time_ms: 1_000_000 + number * 600_000, resets };
        SoftTpm::new().read_clock(log, enrolment, end_ms(number), clock);
        if number == 6 {
            timestamp(log, &notary(), STARTED_MS - 6_000 + 6 * 600_000);
        }
    }
    let hook: ExtraAt = if resets(4) == resets(5) {
        |log, number| between(log, number, 1)
    } else {
        |log, number| between(log, number, if number < 4 { 1 } else { 2 })
    };
    let mut case = Case::recorded(Recording { before: Some(before), between: Some(hook), ..Recording::default() });
    case.log.policy = believing_time();
    case.prove_heads();
    case
}

#[test]
fn the_count_of_a_tpm_bounds_what_a_camera_made_offline() {
    let verdict = offline(|_| 1).judge().unwrap();
    let wide_ms = |time: &SegmentTime| {
        let ms = |text: &str| Timestamp::parse(text).unwrap().unix_ms();
        ms(&time.not_after[0].time) - ms(&time.not_before[0].time)
    };
    assert!(!verdict.findings.iter().any(|finding| finding.kind == FindingKind::Attestation), "{:#?}", verdict.findings);
    let told = verdict.on(Axis::Time).find(|finding| finding.grade == Grade::Good).unwrap();
    assert!(told.sentence.contains("by the count of the camera's TPM"), "{}", told.sentence);
    let segment = &verdict.times[1];
    assert!(segment.not_before[0].tpm && segment.not_after[0].tpm, "{segment:#?}");
    // Segment 3 lies between the readings after segments 2 and 3: at least 72 % of 20 minutes after the first token, and at most
    // 138 % of 30 minutes.
    let since = |text: &str| Timestamp::parse(text).unwrap().unix_ms() - (STARTED_MS - 7_000);
    assert_eq!(since(&segment.not_before[0].time), 2 * 600_000 * 72 / 100 - u64::from(ACCURACY_MS));
    assert!(wide_ms(segment) < 40 * 60_000, "an hour offline was not narrowed: {}", wide_ms(segment));
}

#[test]
fn nothing_carries_over_a_reset_of_the_tpm() {
    let after = |case: Case| case.judge().unwrap().times.iter().map(|time| time.not_after[0].time.clone()).collect::<Vec<_>>();
    let (whole, reset) = (after(offline(|_| 1)), after(offline(|number| u32::from(number > 4))));
    assert!(whole[1] < whole[2], "between two readings there is a count: {whole:?}");
    assert_eq!(reset[1], reset[2], "a count across a reset was believed: {reset:?}");
}

/// A stored attachment may be as large as a statement says, and any number of entries may name it.
#[test]
fn an_attachment_that_is_longer_than_any_of_its_kind_is_not_read() {
    let mut case = dated(|log, number| {
        if number == 2 {
            timestamp_of(log, &notary(), end_ms(2) + 500, |body| body.attachments[0].length = 128 * 1024 + 1);
        }
    });
    let verdict = case.judge().unwrap();
    assert_eq!(worst(&verdict, Axis::Time), (Grade::Bad, FindingKind::FileAltered));
    assert_eq!(verdict.on(Axis::Time).next().unwrap().place.file, None, "it was read");
    let as_long_as_any = dated(|log, number| {
        if number == 2 {
            timestamp_of(log, &notary(), end_ms(2) + 500, |body| body.attachments[0].length = 128 * 1024);
        }
    });
    assert!(as_long_as_any.judge().unwrap().on(Axis::Time).next().unwrap().place.file.is_some(), "it was not read");
    case.log.policy = exhibit_evidence::anchor::AnchorPolicy::default();
    assert_eq!(worst(&case.judge().unwrap(), Axis::Time), (Grade::Bad, FindingKind::FileAltered), "whoever is believed");
}

/// For the verifier in Python, which judges the same bundles.
pub const TESTS: &[fn()] = &[
    segments_between_tokens_are_bounded_by_both,
    the_operators_own_authority_is_labelled_and_does_not_meet_a_demand,
    without_proof_that_what_was_observed_is_this_log_nothing_is_bounded_from_below,
    one_proven_head_bounds_what_follows_in_the_chain,
    a_timestamp_that_is_not_proven_to_be_of_this_log_bounds_nothing_from_above,
    proofs_that_lead_nowhere_are_told,
    timestamps_that_do_not_count_are_told,
    an_altered_token_of_a_believed_authority_is_no_strangers_whoever_else_is_believed,
    a_camera_that_was_shown_another_log_tells_it,
    clocks_that_exclude_each_other_are_told,
    a_camera_whose_clock_is_behind_is_contradicted,
    the_count_of_a_tpm_bounds_what_a_camera_made_offline,
    nothing_carries_over_a_reset_of_the_tpm,
    an_attachment_that_is_longer_than_any_of_its_kind_is_not_read,
];

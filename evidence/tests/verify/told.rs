//! How findings are told: places, words and exit codes, which programs and people go by.

use exhibit_evidence::bundle::receipt_path;
use exhibit_evidence::verdict::{Axis, Finding, FindingKind, Grade, Place};
use exhibit_evidence::verify::verify;
use exhibit_pki::Timestamp;

use crate::common::remembered::Remembered;
use crate::defects::DEFECTS;
use crate::synthetic::{CAMERA_STREAM, Case, STARTED_MS, foreign_root, other_note_key};

#[test]
fn an_exit_code_says_what_the_grade_is() {
    let codes = [Grade::Good, Grade::NotDemanded, Grade::Bad, Grade::Undecided].map(Grade::exit_code);
    assert_eq!(codes, [0, 0, 1, 2]);
}

#[test]
fn axes_and_grades_have_words_that_columns_can_be_made_of() {
    let axes = [Axis::Signature, Axis::Continuity, Axis::Witness, Axis::Time, Axis::Revocation, Axis::Device, Axis::Payload];
    let words = ["signature", "continuity", "witness", "time", "revocation", "device", "payload"];
    assert_eq!(axes.map(|axis| axis.to_string()), words);
    let grades = [Grade::Good, Grade::NotDemanded, Grade::Undecided, Grade::Bad];
    assert_eq!(grades.map(|grade| grade.to_string()), ["good", "not demanded", "undecided", "BAD"]);
    assert_eq!(format!("{:6}|{:6}|", Axis::Time, Grade::Good), "time  |good  |");
}

#[test]
fn a_place_names_what_it_is_and_nothing_else() {
    let nowhere = Place::default;
    assert_eq!(Place::entry(7), Place { index: Some(7), ..nowhere() });
    assert_eq!(Place::file("a"), Place { file: Some("a".to_owned()), ..nowhere() });
    let position = Place { stream: Some("s".to_owned()), seq: Some(3), ..nowhere() };
    assert_eq!(Place::position("s", 3), position);
    let at = Timestamp::from_unix_ms(STARTED_MS).unwrap();
    assert_eq!(Place::fragment("s", 3, 1, at), Place { fragment: Some(1), time: Some(at.to_string()), ..position });
}

fn of_kind(findings: &[Finding], kind: FindingKind) -> &Finding {
    findings.iter().find(|finding| finding.kind == kind).unwrap_or_else(|| panic!("{kind:?} is not told: {findings:#?}"))
}

#[test]
fn a_finding_is_placed_in_its_entry_and_its_stream() {
    let mut case = Case::new();
    case.replace_entry(case.fetch_index, b"not a signed statement");
    let verdict = case.judge().unwrap();
    assert_eq!(of_kind(&verdict.findings, FindingKind::EntryMalformed).place.index, Some(case.fetch_index));
    let mut case = Case::new();
    let receipt = case.file(&receipt_path(case.fetch_index - 1)).clone();
    *case.file(&receipt_path(case.fetch_index)) = receipt;
    let verdict = case.judge().unwrap();
    let place = Place { index: Some(case.fetch_index), ..Place::file(&receipt_path(case.fetch_index)) };
    assert_eq!(of_kind(&verdict.findings, FindingKind::Receipt).place, place);
    let mut case = Case::new();
    case.withhold(3);
    let verdict = case.judge().unwrap();
    let holds = verdict.on(Axis::Payload).any(|finding| (finding.grade, finding.kind) == (Grade::Good, FindingKind::Holds));
    assert!(holds, "what is disclosed holds all the same");
    let place = &of_kind(&verdict.findings, FindingKind::Withheld).place;
    assert_eq!((place.stream.as_deref(), place.seq), (Some(CAMERA_STREAM), Some(3)));
}

/// What is not proven to be of the log is not good in any way, and the bundle of a stranger is told to be one on every axis.
#[test]
fn nothing_is_good_under_a_checkpoint_that_is_not_the_logs() {
    let case = Case::new();
    let mut anchor = case.log.anchor();
    anchor.verifier.keys = vec![other_note_key()];
    let verdict = verify(&case.files, &anchor, &Remembered).unwrap();
    assert!(verdict.findings.iter().all(|finding| finding.grade != Grade::Good), "{:#?}", verdict.findings);
}

/// Else whoever writes an anchor could add a root of theirs to a log's.
#[test]
fn a_genesis_that_does_not_name_a_root_of_the_anchor_is_of_another_log() {
    let case = Case::new();
    let mut anchor = case.log.anchor();
    anchor.roots.push(foreign_root());
    let verdict = verify(&case.files, &anchor, &Remembered).unwrap();
    let sentence = &of_kind(&verdict.findings, FindingKind::OtherLog).sentence;
    assert_eq!(sentence, "The log's genesis does not fit the anchor: the anchor trusts a root that genesis does not name.");
}

/// A log under the same keys that begins otherwise is another log from its first entry on.
#[test]
fn a_genesis_that_is_not_the_anchors_is_of_another_log() {
    let mut case = Case::new();
    let mut anchor = case.log.anchor();
    anchor.log = exhibit_tlog::Hash([7; 32]);
    case.manifest.log = anchor.log.to_string();
    let json = serde_json::to_vec(&case.manifest).unwrap();
    *case.file("manifest.json") = json;
    let verdict = verify(&case.files, &anchor, &Remembered).unwrap();
    let is_told = |finding: &&Finding| (finding.kind, finding.place.index) == (FindingKind::OtherLog, Some(0));
    assert_eq!(verdict.findings.iter().filter(is_told).count(), 1, "{:#?}", verdict.findings);
}

#[test]
fn an_axis_that_has_a_fault_is_not_said_to_hold_as_well() {
    for (defect, spoil, _) in DEFECTS {
        let mut case = Case::new();
        spoil(&mut case);
        let Ok(verdict) = case.judge() else { continue };
        for axis in [Axis::Signature, Axis::Continuity, Axis::Payload] {
            let worst = verdict.on(axis).map(|finding| finding.grade).max().expect("every axis has a finding");
            let holds = verdict.on(axis).any(|finding| (finding.grade, finding.kind) == (Grade::Good, FindingKind::Holds));
            assert!(!holds || worst <= Grade::NotDemanded, "{defect}: the axis {axis} is {worst}, and holds");
        }
    }
}

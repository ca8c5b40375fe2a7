//! What was asked for: a bundle shows that, and nothing that the other axes do not judge as well.

use exhibit_evidence::anchor::{AnchorPolicy, PinnedCustodians};
use exhibit_evidence::verdict::{Axis, FindingKind, Grade};
use exhibit_evidence::verify::CannotJudge;
use exhibit_pki::Timestamp;

use crate::synthetic::{ASKED, Case, Recording, STARTED_MS, moment};
use crate::witnessed::worst;

fn asked(from: &str, to: &str) -> Case {
    let mut case = Case::new();
    (case.manifest.question.from, case.manifest.question.to) = (from.to_owned(), to.to_owned());
    case.export();
    case
}

#[test]
fn a_segment_outside_of_the_interval_is_not_shown_by_the_other_axes() {
    let verdict = asked(&moment(2), &moment(4)).judge().unwrap();
    assert_eq!(worst(&verdict, Axis::Payload), (Grade::Undecided, FindingKind::NotAskedFor), "{:#?}", verdict.findings);
    let of: Vec<_> = verdict.findings.iter().filter(|finding| finding.kind == FindingKind::NotAskedFor).map(|f| f.place.seq).collect();
    assert_eq!(of, [Some(*ASKED.end())]);
}

#[test]
fn what_a_segment_needs_to_be_decoded_belongs_to_it() {
    for (dependent, of) in [(3, vec![]), (4, vec![Some(2)]), (2, vec![Some(2)])] {
        let mut case = Case::recorded(Recording { dependent: Some(dependent), ..Recording::default() });
        case.manifest.question.from = moment(3);
        if dependent == 4 {
            // Segment 3 leads in, and stands alone: segment 2 is not needed.
            case.manifest.question.from = moment(4);
        }
        case.export();
        let verdict = case.judge().unwrap();
        let outside = verdict.findings.iter().filter(|finding| finding.kind == FindingKind::NotAskedFor);
        assert_eq!(outside.map(|finding| finding.place.seq).collect::<Vec<_>>(), of, "segment {dependent} depends on the one before it");
    }
}

#[test]
fn segments_of_another_camera_are_bad() {
    let mut case = Case::new();
    case.manifest.question.series = "camera/103/main".to_owned();
    case.export();
    assert_eq!(worst(&case.judge().unwrap(), Axis::Payload), (Grade::Bad, FindingKind::NotAskedFor));
}

#[test]
fn an_interval_without_a_segment_is_never_accounted_for() {
    let instant = moment(9);
    for (from, to) in [(instant.as_str(), instant.as_str()), (&moment(9), &moment(9).replace(".000Z", ".999Z"))] {
        let mut case = asked(from, to);
        case.manifest.segments.clear();
        case.export();
        let verdict = case.judge().unwrap();
        assert_eq!(worst(&verdict, Axis::Continuity), (Grade::Undecided, FindingKind::Uncovered), "{from} to {to}");
    }
}

#[test]
fn a_second_at_each_end_of_the_interval_is_no_hole_and_more_is_one() {
    let at = |ms: u64| Timestamp::from_unix_ms(STARTED_MS + ms).unwrap().to_string();
    // The first segment in the bundle begins after two seconds, and the last ends after twelve.
    for (from_ms, to_ms, hole_ms) in [(1_000, 13_000, None), (999, 13_000, Some(999)), (1_000, 13_001, Some(12_000))] {
        let verdict = asked(&at(from_ms), &at(to_ms)).judge().unwrap();
        let uncovered = verdict.findings.iter().filter(|finding| finding.kind == FindingKind::Uncovered);
        let places: Vec<_> = uncovered.map(|finding| finding.place.time.clone()).collect();
        assert_eq!(places, hole_ms.map(|ms| Some(at(ms))).into_iter().collect::<Vec<_>>(), "{from_ms} to {to_ms}");
    }
}

#[test]
fn what_is_asked_for_is_a_series_of_a_camera() {
    for series in ["", "camera", "camera/", "camera/102/", "user/bb", "camera/102/main/a/b/c", "Camera/102"] {
        let mut case = Case::new();
        case.manifest.question.series = series.to_owned();
        case.export();
        assert!(matches!(case.judge(), Err(CannotJudge::NotABundle(_))), "{series:?} is a series");
    }
}

/// A hostile camera, or one that is named otherwise, stops no verdict.
#[test]
fn cameras_name_their_streams_with_three_to_six_components() {
    for name in ["camera/102/20261120T115958Z", "camera/102/main/hd/20261120T115958Z", "camera/102/main/hd/left/20261120T115958Z"] {
        let mut case = Case::recorded(Recording { stream: Some(name), ..Recording::default() });
        assert_eq!(case.faults(), [], "{name}");
        let custodians = PinnedCustodians { certificates: vec![case.log.custodian.party.certificate.clone()], threshold: 1 };
        case.log.policy = AnchorPolicy { custodians: Some(custodians), ..AnchorPolicy::default() };
        assert_eq!(case.faults(), [], "{name}, with custodians");
    }
}

/// What is expired is on no list any more: whoever has the key must not date back.
#[test]
fn nothing_is_sealed_after_the_certificate_expired_whatever_the_camera_claims() {
    let recorded = |between| {
        let how = Recording { expires_ms: Some(STARTED_MS + 20_000), between: Some(between), ..Recording::default() };
        let mut case = Case::recorded(how);
        case.log.policy = crate::authorities::believing_time();
        case.prove_heads();
        case.faults()
    };
    assert!(recorded(|log, number| crate::dated::by_notary_at(log, number, 60_000)).contains(&FindingKind::CertificateExpired));
    assert_eq!(recorded(|log, number| crate::dated::by_notary_at(log, number, 500)), []);
}

#[test]
fn where_no_content_is_disclosed_none_is_good() {
    let mut case = Case::new();
    case.manifest.segments.clear();
    case.manifest.files.clear();
    case.files.0.retain(|path, _| !path.starts_with("working/"));
    case.export();
    let verdict = case.judge().unwrap();
    assert!(verdict.on(Axis::Payload).all(|finding| finding.grade == Grade::NotDemanded), "{:#?}", verdict.findings);
    assert_eq!(verdict.on(Axis::Payload).filter(|finding| finding.kind == FindingKind::Withheld).count(), 3);
}

/// For the verifier in Python, which judges the same bundles.
pub const TESTS: &[fn()] = &[
    a_segment_outside_of_the_interval_is_not_shown_by_the_other_axes,
    what_a_segment_needs_to_be_decoded_belongs_to_it,
    segments_of_another_camera_are_bad,
    an_interval_without_a_segment_is_never_accounted_for,
    a_second_at_each_end_of_the_interval_is_no_hole_and_more_is_one,
    where_no_content_is_disclosed_none_is_good,
    what_is_asked_for_is_a_series_of_a_camera,
    cameras_name_their_streams_with_three_to_six_components,
    nothing_is_sealed_after_the_certificate_expired_whatever_the_camera_claims,
];

//! The verdict on a bundle: good when nothing was touched, and for every way of spoiling it the finding that names the harm.

#![allow(clippy::unwrap_used)]

mod anchors;
mod asked_for;
mod authorities;
#[cfg(not(target_family = "wasm"))]
#[path = "../../../tests/independent/chance.rs"]
mod chance;
#[path = "../common/mod.rs"]
mod common;
mod continued;
mod copies;
mod corpus;
mod dated;
mod decided;
mod defects;
mod devices;
// They ask a process.
#[cfg(not(target_family = "wasm"))]
mod differential;
mod folders;
// It measures the processor's time.
#[cfg(not(target_family = "wasm"))]
mod growth;
mod hostile_names;
// It asks a process.
#[cfg(not(target_family = "wasm"))]
mod independent;
mod introduced;
mod issuers;
mod limits;
mod media;
mod named;
mod revoked;
mod second;
mod soft_tpm;
mod synthetic;
mod told;
mod trials;
#[cfg(not(target_family = "wasm"))]
mod webassembly;
mod witnessed;

use defects::{DEFECTS, WRONGS};
use exhibit_evidence::bundle::{Disclosure, disclosure_path, fragment_path};
use exhibit_evidence::verdict::{Axis, FindingKind, Grade};
use exhibit_evidence::verify::CannotJudge;
use exhibit_tlog::Hash;
use synthetic::{CAMERA_STREAM, Case, moment};

#[test]
fn an_untouched_bundle_is_as_good_as_its_anchor_demands() {
    let case = Case::new();
    let verdict = case.judge().unwrap();
    assert_eq!(verdict.grade, Grade::NotDemanded, "{:#?}", verdict.findings);
    for axis in [Axis::Signature, Axis::Continuity, Axis::Payload] {
        assert_eq!(verdict.on(axis).map(|finding| finding.grade).max(), Some(Grade::Good), "{:#?}", verdict.findings);
    }
    assert_eq!(verdict.counts.entries, case.manifest.entries.len() as u64 + 1, "those of the manifest, and the exporter's");
    assert_eq!(verdict.counts.fragments, 6, "each of three segments has two fragments");
    assert_eq!(
        (verdict.basis.suites.as_slice(), verdict.basis.checkpoint_suites.as_slice()),
        (&["ECDSA P-384 with SHA-384".to_owned()][..], &["Ed25519".to_owned()][..])
    );
    assert_eq!(verdict.counts.segments, 5, "the first segment lies before the interval and is not in the bundle");
}

#[test]
fn a_changed_fragment_is_named_with_segment_fragment_and_second() {
    let mut case = Case::new();
    case.file(&fragment_path(CAMERA_STREAM, 3, 1))[4] ^= 1;
    let verdict = case.judge().unwrap();
    let worst = &verdict.findings[0];
    assert_eq!((verdict.grade, worst.axis, worst.kind), (Grade::Bad, Axis::Payload, FindingKind::FragmentAltered));
    assert_eq!((worst.place.seq, worst.place.fragment), (Some(3), Some(1)), "the damage was not located");
    let second_half = moment(3).replace(":00:04.000Z", ":00:05.000Z");
    assert_eq!(worst.place.time.as_deref(), Some(second_half.as_str()), "the second was not named");
    assert_eq!(verdict.findings.iter().filter(|finding| finding.grade == Grade::Bad).count(), 1, "one byte damages one fragment");
}

#[test]
fn every_defect_is_found_and_told_as_what_it_is() {
    for (defect, spoil, kind) in DEFECTS {
        let mut case = Case::new();
        spoil(&mut case);
        let faults = case.faults();
        assert!(faults.contains(kind), "{defect}: told as {faults:?}, not as {kind:?}");
    }
}

#[test]
fn wrongs_that_were_signed_are_found() {
    for (wrong, how, kind) in WRONGS {
        let faults = Case::recorded(*how).faults();
        assert!(faults.contains(kind), "{wrong}: told as {faults:?}, not as {kind:?}");
    }
}

#[test]
fn the_anchor_of_another_log_judges_nothing() {
    let case = Case::new();
    let mut anchor = case.log.anchor();
    anchor.log = Hash([7; 32]);
    let result = exhibit_evidence::verify::verify(&case.files, &anchor, &exhibit_pki::signature::RustCrypto);
    assert!(matches!(result, Err(CannotJudge::OtherLog { .. })), "{result:?}");
}

#[test]
fn the_bundle_of_a_log_with_other_keys_is_bad() {
    let case = Case::new();
    let mut anchor = case.log.anchor();
    anchor.verifier.keys = vec![synthetic::other_note_key()];
    let verdict = exhibit_evidence::verify::verify(&case.files, &anchor, &exhibit_pki::signature::RustCrypto).unwrap();
    assert_eq!(verdict.grade, Grade::Bad, "a checkpoint by another key was believed");
    assert_eq!(verdict.counts.entries, 0);
}

#[test]
fn what_is_not_a_bundle_gets_no_verdict() {
    let mut case = Case::new();
    for manifest in [&b"{}"[..], b"", b"\xff", b"{\"type\":\"exhibit-bundle/v2\"}"] {
        case.files.0.insert("manifest.json".to_owned(), manifest.to_vec());
        assert!(matches!(case.judge(), Err(CannotJudge::NotABundle(_))));
    }
    case.files.0.remove("manifest.json");
    assert!(matches!(case.judge(), Err(CannotJudge::NotABundle(_))));
    // Each is hashed: what is listed a hundred thousand times would be read as often.
    let mut case = Case::new();
    case.manifest.files.push(case.manifest.files[0].clone());
    case.export();
    assert!(matches!(case.judge(), Err(CannotJudge::NotABundle(_))), "a file that is listed twice");
}

/// Whoever keeps the log can put anything on it. Under a receipt it is a finding against the log, and introduces nothing.
#[test]
fn what_is_on_the_ledger_and_is_no_statement_is_told() {
    for junk in [&b""[..], b"not a signed statement", &[0x30; 2_000]] {
        let mut case = Case::new();
        case.replace_entry(case.fetch_index, junk);
        assert!(case.faults().contains(&FindingKind::EntryMalformed), "{junk:?}");
    }
}

#[test]
fn a_withheld_segment_is_said_to_be_withheld() {
    let mut case = Case::new();
    case.withhold(3);
    let verdict = case.judge().unwrap();
    assert_eq!(verdict.grade, Grade::NotDemanded, "{:#?}", verdict.findings);
    let withheld =
        verdict.findings.iter().find(|finding| finding.kind == FindingKind::Withheld).expect("a withheld segment was passed over");
    assert_eq!(withheld.place.seq, Some(3));
}

#[test]
fn a_fragment_that_is_left_out_of_a_disclosure_is_said_to_be_withheld() {
    let mut case = Case::new();
    let path = disclosure_path(CAMERA_STREAM, 2);
    let mut disclosure = Disclosure::parse(case.file(&path)).unwrap();
    let left_out = disclosure.fragments.remove(1);
    *case.file(&path) = serde_json::to_vec(&disclosure).unwrap();
    let verdict = case.judge().unwrap();
    let withheld =
        verdict.findings.iter().find(|finding| finding.kind == FindingKind::Withheld).expect("a withheld fragment was passed over");
    assert_eq!((withheld.place.seq, withheld.place.fragment), (Some(2), Some(left_out.index)));
}

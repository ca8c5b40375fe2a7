//! Limits and forms that anybody's files must keep: what does not is told, or not judged, and no file takes the verdict from the others.

use exhibit_evidence::Body;
use exhibit_evidence::body::TimestampBody;
use exhibit_evidence::bundle::{
    CHECKPOINT, DISCLOSURE_BYTES_MAX, EXPORT_ENTRY, EXPORT_RECEIPT, FRAGMENT_BYTES_MAX, FileRecord, MANIFEST, MANIFEST_BYTES_MAX,
    REVOCATION_LIST_BYTES_MAX, SMALL_FILE_BYTES_MAX, attachment_path, checkpoint_token_path, disclosure_path, entry_path, fragment_path,
    observed_proof_path, receipt_path, timestamp_proof_path,
};
use exhibit_evidence::verdict::{Axis, FindingKind, Grade};
use exhibit_evidence::verify::CannotJudge;
use exhibit_tlog::Hash;
use sha2::{Digest, Sha256};

use crate::synthetic::{CAMERA_STREAM, Case, Recording, STARTED_MS};

/// What does each of these to a manifest that is otherwise the exporter's makes that there is no verdict.
const MANIFESTS: &[(&str, &str, &str)] = &[
    ("a member is unknown", r#"{"type""#, r#"{"note":1,"type""#),
    ("a member stands twice", r#"{"type""#, r#"{"software":"","type""#),
    ("a member is missing", r#""software":"test","#, ""),
    ("a member is null", r#""software":"test""#, r#""software":null"#),
    ("it was made at no time", r#""created":""#, r#""created":" "#),
    ("it asks for a user's streams", r#""series":"camera/102/main""#, r#""series":"user/102/main""#),
    ("it asks for a camera of another form", r#""series":"camera/102/main""#, r#""series":"camera/T/main""#),
    ("it asks for streams whose names are too long", r#""series":"camera/102/main""#, LONG_SERIES),
    ("its entries do not rise", r#""entries":[0,1,"#, r#""entries":[1,0,"#),
    ("it names an entry twice", r#""entries":[0,1,"#, r#""entries":[0,0,"#),
    ("it names an entry beyond all integers", r#"],"segments""#, r#",9007199254740992],"segments""#),
    ("it names an entry by a fraction", r#""entries":[0,1,"#, r#""entries":[0,1.0,"#),
    ("it names an entry below 0", r#""entries":[0,1,"#, r#""entries":[-0,1,"#),
    ("its segments do not rise", r#""segments":["#, r#""segments":[{"stream":"camera/102/main/a","seq":9},"#),
    ("it names a segment as an array", r#""segments":["#, r#""segments":[["camera/102/main/2","seq"],"#),
    ("it names a segment of no stream", r#""segments":["#, r#""segments":[{"stream":"camera/102","seq":9},"#),
    ("it names a file that lies outside", r#""path":"working/copy.mp4""#, r#""path":"working/../../copy.mp4""#),
    ("it names a file with its root", r#""path":"working/copy.mp4""#, r#""path":"/working/copy.mp4""#),
    ("it names a file in two spellings", r#""path":"working/copy.mp4""#, r#""path":"working/./copy.mp4""#),
    ("it names a file as Windows does", r#""path":"working/copy.mp4""#, r#""path":"working\\copy.mp4""#),
    ("it names a file of nine components", r#""path":"working/copy.mp4""#, r#""path":"working/2/3/4/5/6/7/8/copy.mp4""#),
    ("it names a file by a line of text", r#""path":"working/copy.mp4""#, r#""path":"working/\n.mp4""#),
    ("it names a file by no text", r#""path":"working/copy.mp4""#, r#""path":"working/\ud800""#),
    ("it says a file's hash in capitals", r#""sha256":""#, r#""sha256":"A"#),
    ("something follows it", r#"}]}"#, r#"}]}0"#),
];

const LONG_SERIES: &str = concat!(
    r#""series":"camera/102/"#,
    "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
    "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\""
);

/// What does each of these to a disclosure makes that the segment's content is not judged.
const DISCLOSURES: &[(&str, &str, &str)] = &[
    ("a member is unknown", r#"{"type""#, r#"{"note":1,"type""#),
    ("a member stands twice", r#"{"type""#, r#"{"seq":2,"type""#),
    ("it is of another seq", r#""seq":2"#, r#""seq":3"#),
    ("it has no commitments", r#""commitments":["#, r#""commitments":[],"more":["#),
    ("a commitment is in capitals", r#""commitments":[""#, r#""commitments":["A"#),
    ("a key is cut short", r#""key":""#, r#""key":"","of":""#),
    ("it discloses a fragment that the segment has not", r#""index":1"#, r#""index":2"#),
    ("it discloses a fragment that no segment has", r#""index":1"#, r#""index":256"#),
    ("it discloses a fragment twice", r#""index":1"#, r#""index":0"#),
    ("it discloses a fragment by an array", r#""fragments":["#, r#""fragments":[[],"#),
];

fn edited(path: &str, from: &str, to: &str) -> Case {
    let mut case = Case::new();
    let text = String::from_utf8(case.file(path).clone()).unwrap();
    assert!(text.contains(from), "{path} holds {from}");
    *case.file(path) = text.replacen(from, to, 1).into_bytes();
    case
}

#[test]
fn a_manifest_of_another_form_is_none() {
    for (defect, from, to) in MANIFESTS {
        let judged = edited(MANIFEST, from, to).judge();
        assert!(matches!(judged, Err(CannotJudge::NotABundle(_))), "{defect}: {:?}", judged.map(|verdict| verdict.grade));
    }
}

#[test]
fn a_disclosure_of_another_form_is_none() {
    for (defect, from, to) in DISCLOSURES {
        assert_eq!(edited(&disclosure_path(CAMERA_STREAM, 2), from, to).faults()[0], FindingKind::Commitments, "{defect}");
    }
}

/// A recording with a file of every kind.
fn with_all_kinds() -> Case {
    let mut case = Case::recorded(Recording {
        before: Some(|log| {
            let note = log.checkpoint();
            let head = exhibit_evidence::Head { size: log.entries.len() as u64, root: log.root() };
            let attachments = vec![log.keep("checkpoint", note.as_bytes()), log.keep("token-0", b"a token of nobody's")];
            log.append(|log| &mut log.appliance, STARTED_MS - 5_000, Body::Timestamp(TimestampBody { head, attachments }));
        }),
        ..Recording::default()
    });
    let list = b"a list of nobody's".to_vec();
    let sha256 = hex::encode(Sha256::digest(&list));
    case.manifest.files.push(FileRecord { path: "crls/0.crl".to_owned(), sha256, length: list.len() as u64 });
    case.files.0.insert("crls/0.crl".to_owned(), list);
    case.export();
    case.files.0.insert(checkpoint_token_path(0), b"a token of nobody's".to_vec());
    case.prove_heads();
    case
}

/// The index of the statement that was timestamped, and where its checkpoint is.
fn timestamp_of(case: &Case) -> (u64, String) {
    let is_timestamp = |(index, entry): (u64, &exhibit_evidence::SignedStatement)| match &entry.statement().body {
        Body::Timestamp(body) => Some((index, attachment_path(&body.attachments[0].sha256))),
        _ => None,
    };
    (0..).zip(&case.log.entries).find_map(is_timestamp).unwrap()
}

/// A forger must not be able to turn "bad" into "cannot judge" by a file that nobody reads.
#[test]
fn a_file_longer_than_any_of_its_kind_is_bad_and_the_rest_is_judged() {
    let (timestamped, attached) = timestamp_of(&with_all_kinds());
    let certificate = attachment_path(&Hash(*with_all_kinds().log.camera.party.certificate.fingerprint()));
    for (path, bytes_max, axis) in [
        (CHECKPOINT.to_owned(), SMALL_FILE_BYTES_MAX, Axis::Signature),
        (entry_path(0), 65_535, Axis::Signature),
        (receipt_path(9), SMALL_FILE_BYTES_MAX, Axis::Signature),
        (EXPORT_ENTRY.to_owned(), 65_535, Axis::Signature),
        (EXPORT_RECEIPT.to_owned(), SMALL_FILE_BYTES_MAX, Axis::Signature),
        (observed_proof_path(9), 4 << 10, Axis::Signature),
        (timestamp_proof_path(timestamped), 4 << 10, Axis::Signature),
        (checkpoint_token_path(0), SMALL_FILE_BYTES_MAX, Axis::Time),
        (attached, 128 << 10, Axis::Time),
        (certificate, SMALL_FILE_BYTES_MAX, Axis::Signature),
        ("crls/0.crl".to_owned(), REVOCATION_LIST_BYTES_MAX, Axis::Revocation),
        (disclosure_path(CAMERA_STREAM, 3), DISCLOSURE_BYTES_MAX, Axis::Payload),
        (fragment_path(CAMERA_STREAM, 3, 1), FRAGMENT_BYTES_MAX, Axis::Payload),
    ] {
        let mut case = with_all_kinds();
        case.file(&path).resize(usize::try_from(bytes_max).unwrap() + 1, 0);
        let verdict = case.judge().unwrap();
        let told = verdict.findings.iter().find(|finding| finding.sentence.contains(&format!("is longer than the {bytes_max} bytes")));
        let told = told.unwrap_or_else(|| panic!("{path}: {:#?}", verdict.findings));
        assert_eq!((told.axis, told.grade, told.kind), (axis, Grade::Bad, FindingKind::FileAltered), "{path}");
        assert_eq!(told.place.file.as_deref(), Some(path.as_str()));
        case.file(&path).pop();
        let verdict = case.judge().unwrap();
        let too_long = verdict.findings.iter().any(|finding| finding.sentence.contains("is longer than"));
        assert!(!too_long, "{path} is as long as a file of its kind may be");
    }
}

#[test]
fn a_manifest_longer_than_any_is_none() {
    let mut case = Case::new();
    case.file(MANIFEST).resize(usize::try_from(MANIFEST_BYTES_MAX).unwrap(), b' ');
    assert_eq!(case.faults(), [FindingKind::Export], "spaces are no part of the manifest's form, and of its hash");
    case.file(MANIFEST).push(b' ');
    assert!(matches!(case.judge(), Err(CannotJudge::Source(_))));
}

#[test]
fn what_a_statement_names_and_no_axis_reads_is_what_it_names_or_bad() {
    let terms = vec![1; 40];
    let path = attachment_path(&Hash(Sha256::digest(&terms).into()));
    let mut case = Case::new();
    case.files.0.insert(path.clone(), terms.clone());
    let verdict = case.judge().unwrap();
    assert_eq!(verdict.grade, Grade::NotDemanded, "{:#?}", verdict.findings);
    assert!(!verdict.findings.iter().any(|finding| finding.kind == FindingKind::FileUnlisted), "the terms of a grant are part of a bundle");
    for altered in [vec![2; 40], vec![1; 41], vec![]] {
        case.files.0.insert(path.clone(), altered);
        let verdict = case.judge().unwrap();
        let altered: Vec<_> = verdict.findings.iter().filter(|finding| finding.kind == FindingKind::FileAltered).collect();
        assert_eq!(altered.len(), 1, "{:#?}", verdict.findings);
        assert_eq!((altered[0].axis, altered[0].grade, altered[0].place.file.as_ref()), (Axis::Signature, Grade::Bad, Some(&path)));
    }
}

/// Two entries may hold the same bytes. Whoever keeps the log must not be able to date a decision forward by repeating it.
#[test]
fn the_first_of_two_equal_entries_counts() {
    let repeat_recipients = |log: &mut crate::synthetic::Log| {
        let recipients = log.entries.iter().find(|entry| matches!(entry.statement().body, Body::Recipients(_))).unwrap().clone();
        log.entries.push(recipients);
    };
    let case = Case::recorded(Recording { after: Some(repeat_recipients), ..Recording::default() });
    let faults = case.faults();
    assert_eq!(faults, [FindingKind::ChainBroken], "the camera's recipients came after its epoch");
}

/// A verdict is for people, and for machines that have not endless memory.
#[test]
fn what_is_found_without_end_is_counted() {
    const MISSING: u64 = 30_000;
    let mut case = Case::new();
    case.manifest.entries.extend(1_000..1_000 + MISSING);
    let manifest = serde_json::to_vec(&case.manifest).unwrap();
    *case.file(MANIFEST) = manifest;
    let verdict = case.judge().unwrap();
    let missing: Vec<_> = verdict.findings.iter().filter(|finding| finding.kind == FindingKind::FileMissing).collect();
    assert_eq!(missing.len(), 1_001, "each is told, and its receipt");
    assert!(missing[1_000].sentence.contains(&format!("found {} times more", 2 * MISSING - 1_000)), "{}", missing[1_000].sentence);
    assert!(verdict.to_json().len() < 1 << 20);
    assert_eq!(verdict.counts.entries, Case::new().judge().unwrap().counts.entries, "the others were not judged");
}

/// For the verifier in Python, which judges the same bundles.
pub const TESTS: &[fn()] = &[
    a_manifest_of_another_form_is_none,
    a_disclosure_of_another_form_is_none,
    a_file_longer_than_any_of_its_kind_is_bad_and_the_rest_is_judged,
    a_manifest_longer_than_any_is_none,
    what_a_statement_names_and_no_axis_reads_is_what_it_names_or_bad,
    the_first_of_two_equal_entries_counts,
    what_is_found_without_end_is_counted,
];

//! Names out of a bundle, in whatever is shown to people: none may move the cursor, begin a line or turn the order of what is ours.

use exhibit_evidence::bundle::{DisclosedSegment, FileRecord, disclosure_path};
use exhibit_evidence::shown::printable;
use exhibit_evidence::verdict::{FindingKind, Verdict};

use crate::synthetic::{CAMERA_STREAM, Case};

/// Clears the screen and says it holds; the same in C1; writes over the line; begins one; in Unicode; turns the order.
const PAINTS: [&str; 6] =
    ["\u{1b}[2J\u{1b}[HVERIFIED", "\u{9b}2JVERIFIED", "x\rVERIFIED", "x\nVERIFIED", "x\u{2028}VERIFIED", "x\u{202e}DEIFIREV"];

fn assert_safe(text: &str, paint: &str) {
    assert_eq!(printable(text), text, "{paint:?} reaches whoever reads");
}

/// The verdict, of which nothing that is shown holds the name as it is.
fn judged(case: &Case, paint: &str) -> Verdict {
    let verdict = case.judge().unwrap();
    verdict.findings.iter().for_each(|finding| assert_safe(&finding.sentence, paint));
    let json = verdict.to_json();
    assert_safe(&json.replace('\n', " "), paint);
    let told: serde_json::Value = serde_json::from_str(&json).unwrap();
    assert_eq!(told, serde_json::to_value(&verdict).unwrap(), "programs read another verdict");
    verdict
}

#[test]
fn a_name_in_a_finding_is_shown_and_obeyed_by_no_terminal() {
    for paint in PAINTS {
        let path = format!("working/{paint}.mp4");
        let mut case = Case::new();
        case.files.0.insert(path.clone(), b"another scene".to_vec());
        let verdict = judged(&case, paint);
        let named = verdict.findings.iter().find(|finding| finding.kind == FindingKind::FileUnlisted).unwrap();
        assert_eq!(named.place.file.as_deref(), Some(path.as_str()), "a program no longer finds the file");
        assert!(named.sentence.contains("VERIFIED") || named.sentence.contains("DEIFIREV"), "the name is not told");

        let mut case = Case::new();
        case.manifest.files.push(FileRecord { path: paint.to_owned(), sha256: paint.to_owned(), length: 1 });
        case.manifest.segments.push(DisclosedSegment { stream: paint.to_owned(), seq: 1 });
        case.manifest.segments.sort_by(|a, b| (&a.stream, a.seq).cmp(&(&b.stream, b.seq)));
        // Whoever has a bundle can write its manifest, and sign nothing.
        *case.file("manifest.json") = serde_json::to_vec(&case.manifest).unwrap();
        if let Ok(verdict) = case.judge() {
            assert!(verdict.findings.iter().any(|finding| finding.kind == FindingKind::FileMissing));
            judged(&case, paint);
        }
    }
}

#[test]
fn a_name_in_an_error_is_obeyed_by_no_terminal() {
    for paint in PAINTS {
        let member = serde_json::to_string(paint).unwrap();
        let mut case = Case::new();
        case.manifest.log = paint.to_owned();
        case.export();
        assert_safe(&case.judge().unwrap_err().to_string(), paint);
        *case.file("manifest.json") = format!("{{{member}:1}}").into_bytes();
        assert_safe(&case.judge().unwrap_err().to_string(), paint);
        let mut case = Case::new();
        *case.file(&disclosure_path(CAMERA_STREAM, 2)) = format!("{{{member}:1}}").into_bytes();
        assert!(case.faults().contains(&FindingKind::Commitments));
        judged(&case, paint);
    }
}

#[test]
fn a_name_without_end_is_cut() {
    let mut case = Case::new();
    case.files.0.insert(format!("working/{}", "x".repeat(1 << 20)), vec![]);
    let verdict = case.judge().unwrap();
    let longest = verdict.findings.iter().map(|finding| finding.sentence.chars().count()).max().unwrap();
    assert!((1_000..3_000).contains(&longest), "a sentence of {longest} characters");
}

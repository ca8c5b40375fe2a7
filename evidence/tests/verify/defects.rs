//! Ways of spoiling a bundle, each named by its defect, with the kind of fault that it must be told as.
//! What judges them is told elsewhere: our own verifier, and the independent one.

use exhibit_evidence::bundle::{disclosure_path, entry_path, fragment_path, receipt_path};
use exhibit_evidence::verdict::FindingKind;
use exhibit_evidence::{Body, Head, Statement};
use exhibit_tlog::Hash;

use crate::synthetic::{ASKED, CAMERA_STREAM, Case, Log, Recording, STARTED_MS, first_recipients};

/// A defect, what it does to the bundle, and the kind of fault that it must be told as.
pub type Defect = (&'static str, fn(&mut Case), FindingKind);

pub const DEFECTS: &[Defect] = &[
    ("a fragment is missing", |case| drop(case.files.0.remove(&fragment_path(CAMERA_STREAM, 2, 0))), FindingKind::FileMissing),
    ("a fragment is cut short", |case| case.file(&fragment_path(CAMERA_STREAM, 2, 0)).truncate(5), FindingKind::FragmentAltered),
    ("a fragment is longer", |case| case.file(&fragment_path(CAMERA_STREAM, 2, 0)).push(0), FindingKind::FragmentAltered),
    ("two fragments are swapped", swap_fragments, FindingKind::FragmentAltered),
    ("a fragment of another segment", foreign_fragment, FindingKind::FragmentAltered),
    (
        "a commitment's key is another",
        |case| replace(case, &disclosure_path(CAMERA_STREAM, 2), "\"key\":\"", "0"),
        FindingKind::FragmentAltered,
    ),
    (
        "a commitment is another",
        |case| replace(case, &disclosure_path(CAMERA_STREAM, 2), "\"commitments\":[\"", "0"),
        FindingKind::Commitments,
    ),
    ("commitments of another segment", foreign_disclosure, FindingKind::Commitments),
    ("a disclosure is missing", |case| drop(case.files.0.remove(&disclosure_path(CAMERA_STREAM, 2))), FindingKind::FileMissing),
    ("an entry's byte is changed", |case| case.file(&entry_path(8))[200] ^= 1, FindingKind::Receipt),
    ("an entry is missing", |case| drop(case.files.0.remove(&entry_path(9))), FindingKind::FileMissing),
    ("a receipt is missing", |case| drop(case.files.0.remove(&receipt_path(8))), FindingKind::FileMissing),
    ("a receipt is another entry's", swap_receipts, FindingKind::Receipt),
    ("a receipt under another checkpoint", receipt_under_another_checkpoint, FindingKind::Receipt),
    ("a receipt is not text", |case| case.file(&receipt_path(8))[0] = 0xff, FindingKind::Receipt),
    ("the checkpoint's root is another", |case| flip_line(case, "checkpoint", 2), FindingKind::Receipt),
    ("the checkpoint is missing", |case| drop(case.files.0.remove("checkpoint")), FindingKind::FileMissing),
    ("the checkpoint's signature is cut off", |case| case.file("checkpoint").truncate(40), FindingKind::Receipt),
    ("a certificate is altered", alter_certificate, FindingKind::FileAltered),
    ("a working copy is altered", |case| case.file("working/copy.mp4")[0] ^= 1, FindingKind::FileAltered),
    ("a working copy is missing", |case| drop(case.files.0.remove("working/copy.mp4")), FindingKind::FileMissing),
    (
        "a working copy is added",
        |case| drop(case.files.0.insert("working/other.mp4".to_owned(), b"another scene".to_vec())),
        FindingKind::FileUnlisted,
    ),
    ("the manifest was changed after the export", rewrite_manifest, FindingKind::Export),
    ("the exporter's statement is missing", |case| drop(case.files.0.remove("export.p7s")), FindingKind::FileMissing),
    ("the exporter's receipt is missing", |case| drop(case.files.0.remove("export.tlog-proof")), FindingKind::FileMissing),
    ("the exporter's receipt is none", |case| case.file("export.tlog-proof").clear(), FindingKind::Receipt),
    ("the exporter's statement is another", export_is_a_fetch, FindingKind::Export),
    ("a segment is left out of the middle", |case| leave_out(case, 3), FindingKind::ChainHole),
    ("the epoch is left out", |case| leave_out(case, 0), FindingKind::ChainHole),
    ("the last segment asked for is left out with what follows", leave_out_the_end, FindingKind::Uncovered),
    ("genesis is left out", |case| leave_out_index(case, 0), FindingKind::FileMissing),
    ("the recipients are left out", |case| leave_out_index(case, 5), FindingKind::Recipients),
    ("the fetch is left out", |case| leave_out_index(case, case.fetch_index), FindingKind::Export),
    ("the grant is left out", |case| leave_out_index(case, case.fetch_index - 1), FindingKind::Export),
    ("the camera's certificate is left out", |case| leave_out_index(case, 4), FindingKind::CertificateUnknown),
    ("the exporter's statement stands where the fetch does", export_in_place_of_the_fetch, FindingKind::ChainBroken),
    ("more is asked for than is there", ask_for_more, FindingKind::Uncovered),
];

/// Wrongs that were done before the log was signed: nothing in the bundle is altered, and it still does not hold.
pub const WRONGS: &[(&str, Recording, FindingKind)] = &[
    (
        "the camera's certificate came onto the ledger after its use",
        Recording { certificate_late: true, ..NONE },
        FindingKind::CertificateUnknown,
    ),
    ("the camera was certified by a stranger", Recording { foreign_certificate: true, ..NONE }, FindingKind::CertificatePath),
    ("the recipients are of another camera", Recording { other_scope: true, ..NONE }, FindingKind::Recipients),
    ("an epoch before is left out and its time called a pause", Recording { epoch_hidden: true, ..NONE }, FindingKind::Uncovered),
    (
        "the camera's certificate was introduced under another's name",
        Recording { other_fingerprint: true, ..NONE },
        FindingKind::FileAltered,
    ),
    ("the fetch asked for less than was exported", Recording { fetch_less: true, ..NONE }, FindingKind::Export),
    ("the fetch was somebody else's", Recording { fetch_by_other: true, ..NONE }, FindingKind::Export),
    ("the grant came after the fetch", Recording { grant_late: true, ..NONE }, FindingKind::Export),
    ("the camera's source stalled, and no statement says why", Recording { late: Some((3, 5_000)), ..NONE }, FindingKind::Uncovered),
    ("a statement's signature is forged", Recording { forged: Some(3), ..NONE }, FindingKind::StatementSignature),
    ("a statement follows another", Recording { unchained: Some(3), ..NONE }, FindingKind::ChainBroken),
    (
        "an authority's certificate was introduced under another's name",
        Recording { after: Some(introduce_authority), ..NONE },
        FindingKind::FileAltered,
    ),
    ("a custodian decided twice at one place", Recording { after: Some(decide_twice), ..NONE }, FindingKind::ChainBroken),
    ("a custodian's statement follows another", Recording { after: Some(decide_unchained), ..NONE }, FindingKind::ChainBroken),
    ("a custodian's statement saw less than the one before", Recording { after: Some(decide_looking_back), ..NONE }, FindingKind::Observed),
];
const NONE: Recording = Recording {
    expires_ms: None,
    stream: None,
    dependent: None,
    late: None,
    certificate_late: false,
    epoch_hidden: false,
    other_fingerprint: false,
    other_scope: false,
    fetch_less: false,
    fetch_by_other: false,
    grant_late: false,
    foreign_certificate: false,
    forged: None,
    unchained: None,
    successor: false,
    recipients: None,
    before: None,
    between: None,
    after: None,
};

/// A decision of the custodian about another camera, of which nothing in the bundle speaks.
fn decision(log: &mut Log, number: u64) -> Statement {
    let set = first_recipients(log, "camera/103", number);
    log.draft(|log| &mut log.custodian, STARTED_MS + 30_000, Body::Recipients(set))
}

fn introduce_authority(log: &mut Log) {
    let authority = log.pki.issuing.clone();
    log.certify_as(&authority, [9; 32], &[]);
}

fn decide_twice(log: &mut Log) {
    let first = decision(log, 1);
    log.append_as_drafted(|log| &mut log.custodian, &first);
    let second = Statement { seq: first.seq, prev: first.prev, ..decision(log, 2) };
    log.append_as_drafted(|log| &mut log.custodian, &second);
}

fn decide_unchained(log: &mut Log) {
    let decided = Statement { prev: Hash([8; 32]), ..decision(log, 1) };
    log.append_as_drafted(|log| &mut log.custodian, &decided);
}

fn decide_looking_back(log: &mut Log) {
    let decided = Statement { observed: Head { size: 1, root: log.leaf(0) }, ..decision(log, 1) };
    log.append_as_drafted(|log| &mut log.custodian, &decided);
}

fn export_in_place_of_the_fetch(case: &mut Case) {
    (case.log.investigator.next_seq, case.log.investigator.prev) = (0, Hash::default());
    case.export();
}

fn swap_fragments(case: &mut Case) {
    let (first, second) = (fragment_path(CAMERA_STREAM, 2, 0), fragment_path(CAMERA_STREAM, 2, 1));
    let (one, other) = (case.file(&first).clone(), case.file(&second).clone());
    *case.file(&first) = other;
    *case.file(&second) = one;
}

fn foreign_fragment(case: &mut Case) {
    let other = case.file(&fragment_path(CAMERA_STREAM, 3, 0)).clone();
    *case.file(&fragment_path(CAMERA_STREAM, 2, 0)) = other;
}

fn foreign_disclosure(case: &mut Case) {
    let other = case.file(&disclosure_path(CAMERA_STREAM, 3)).clone();
    *case.file(&disclosure_path(CAMERA_STREAM, 2)) = other;
}

/// Replaces the hex digit after `before` with `digit`, or with another if it is that already.
fn replace(case: &mut Case, path: &str, before: &str, digit: &str) {
    let text = String::from_utf8(case.file(path).clone()).unwrap();
    let at = text.find(before).unwrap() + before.len();
    let new = if &text[at..=at] == digit { "1" } else { digit };
    *case.file(path) = [&text[..at], new, &text[at + 1..]].concat().into_bytes();
}

fn swap_receipts(case: &mut Case) {
    let other = case.file(&receipt_path(9)).clone();
    *case.file(&receipt_path(8)) = other;
}

/// The log goes on and signs another checkpoint; one receipt is brought up to it. Both are true, and one tree must bear them all.
fn receipt_under_another_checkpoint(case: &mut Case) {
    let certificate = case.log.camera.party.certificate.clone();
    case.log.certify(&certificate, &[]);
    let checkpoint = case.log.checkpoint();
    let receipt = case.log.receipt(8, &checkpoint);
    *case.file(&receipt_path(8)) = receipt.into_bytes();
}

fn flip_line(case: &mut Case, path: &str, line: usize) {
    let text = String::from_utf8(case.file(path).clone()).unwrap();
    let mut lines: Vec<String> = text.split('\n').map(str::to_owned).collect();
    let first = if lines[line].starts_with('A') { "B" } else { "A" };
    lines[line].replace_range(..1, first);
    *case.file(path) = lines.join("\n").into_bytes();
}

fn alter_certificate(case: &mut Case) {
    let path = case.files.0.keys().find(|path| path.starts_with("attachments/")).unwrap().clone();
    let middle = case.file(&path).len() / 2;
    case.file(&path)[middle] ^= 1;
}

fn rewrite_manifest(case: &mut Case) {
    case.manifest.software = "something else".to_owned();
    let json = serde_json::to_vec(&case.manifest).unwrap();
    *case.file("manifest.json") = json;
}

fn export_is_a_fetch(case: &mut Case) {
    case.prove(case.fetch_index);
}

fn leave_out(case: &mut Case, seq: usize) {
    leave_out_index(case, case.camera_index[seq]);
}

fn leave_out_index(case: &mut Case, index: u64) {
    case.manifest.entries.retain(|listed| *listed != index);
    case.export();
}

fn leave_out_the_end(case: &mut Case) {
    let from = case.camera_index[usize::try_from(*ASKED.end()).unwrap()];
    let last = *case.camera_index.last().unwrap();
    case.manifest.entries.retain(|listed| !(from..=last).contains(listed));
    case.manifest.segments.pop();
    case.export();
}

fn ask_for_more(case: &mut Case) {
    case.manifest.question.from = "2026-01-20T12:00:00.000Z".to_owned();
    case.export();
}

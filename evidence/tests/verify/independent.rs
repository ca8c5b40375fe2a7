//! The verifier in Python, written from `docs/formats` alone, judges every synthetic bundle as ours does: same exit code, same faults.

use std::collections::BTreeSet;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use exhibit_evidence::Anchor;
use exhibit_evidence::bundle::fragment_path;
use exhibit_evidence::verdict::{Finding, FindingKind, Grade};
use exhibit_evidence::verify::verify;
use exhibit_pki::signature::RustCrypto;
use exhibit_tlog::Hash;

use crate::defects::{DEFECTS, WRONGS};
use crate::synthetic::{CAMERA_STREAM, Case, Recording, other_note_key};

/// Debian's own, which finds Debian's `cryptography`.
const PYTHON: &str = "/usr/bin/python3";

/// A verdict as far as two verifiers must agree: the exit code, and the kinds of what was found.
type Judged = (u64, BTreeSet<String>);

/// A bundle in a folder, and what our verifier says of it.
struct Trial {
    name: String,
    place: PathBuf,
    ours: Judged,
}

/// Bundles to be judged by both.
struct Trials {
    root: tempfile::TempDir,
    all: Vec<Trial>,
}

#[test]
fn the_independent_verifier_agrees_on_every_bundle() {
    if !python_can() {
        assert!(std::env::var_os("EXHIBIT_TEST_ALL").is_none(), "Debian's python3-cryptography is missing: run make packages");
        // Past the test harness, which would keep it for itself.
        writeln!(std::io::stderr(), "SKIPPED: the independent verifier needs Debian's python3-cryptography; run make packages").unwrap();
        return;
    }
    let trials = trials();
    let theirs = independent_verdicts(&trials.all);
    let disagreements: Vec<_> = trials.all.iter().zip(&theirs).filter(|(trial, theirs)| trial.ours != **theirs).collect();
    for (trial, theirs) in &disagreements {
        eprintln!("{}: ours {:?}, theirs {theirs:?}", trial.name, trial.ours);
    }
    assert!(disagreements.is_empty(), "the two verifiers disagree on {} of {} bundles", disagreements.len(), trials.all.len());
    let codes: BTreeSet<u64> = theirs.iter().map(|(code, _)| *code).collect();
    assert_eq!(codes, BTreeSet::from([0, 1, 2]), "good, bad and undecided bundles belong among those that were compared");
}

fn trials() -> Trials {
    let mut trials = Trials { root: tempfile::tempdir().unwrap(), all: Vec::new() };
    trials.add("untouched", &Case::new(), |_| ());
    for (defect, spoil, _) in DEFECTS {
        let mut case = Case::new();
        spoil(&mut case);
        trials.add(defect, &case, |_| ());
    }
    for (wrong, how, _) in WRONGS {
        trials.add(wrong, &Case::recorded(*how), |_| ());
    }
    for late_ms in [1_000, 1_001] {
        let how = Recording { late: Some((3, late_ms)), ..Recording::default() };
        trials.add(&format!("a segment begins {late_ms} ms late"), &Case::recorded(how), |_| ());
    }
    let mut case = Case::new();
    case.manifest.segments.retain(|segment| segment.seq != 3);
    case.export();
    trials.add("a segment is withheld", &case, |_| ());
    let mut case = Case::new();
    case.file(&fragment_path(CAMERA_STREAM, 3, 1))[4] ^= 1;
    trials.add("a byte of a fragment is changed", &case, |_| ());
    let case = Case::new();
    trials.add("the anchor is another log's", &case, |anchor| anchor.log = Hash([7; 32]));
    trials.add("the anchor has another key", &case, |anchor| anchor.verifier.keys = vec![other_note_key()]);
    trials.add("the anchor has one key more", &case, |anchor| anchor.verifier.keys.push(other_note_key()));
    trials.add("the anchor has another origin", &case, |anchor| anchor.verifier.origin.push('2'));
    trials.add("the anchor trusts another root", &case, |anchor| {
        anchor.roots = vec![crate::synthetic::foreign_root()];
    });
    for manifest in [&b"{}"[..], b"", b"\xff", b"{\"type\":\"exhibit-bundle/v2\"}"] {
        let mut case = Case::new();
        *case.file("manifest.json") = manifest.to_vec();
        trials.add("the manifest is none", &case, |_| ());
    }
    trials
}

impl Trials {
    /// Adds a case, judged by its log's anchor as `change` leaves that.
    fn add(&mut self, name: &str, case: &Case, change: fn(&mut Anchor)) {
        let mut anchor = case.log.anchor();
        change(&mut anchor);
        let place = self.root.path().join(self.all.len().to_string());
        case.files.write_to(&place.join("bundle"));
        std::fs::write(place.join("anchor.json"), anchor.to_json()).unwrap();
        let ours = match verify(&case.files, &anchor, &RustCrypto) {
            Err(_) => (2, BTreeSet::new()),
            Ok(verdict) => (exit_code(verdict.grade), verdict.findings.iter().filter(|finding| tells(finding)).map(kind_name).collect()),
        };
        self.all.push(Trial { name: name.to_owned(), place, ours });
    }
}

/// The exit codes of `exhibit verify`.
fn exit_code(grade: Grade) -> u64 {
    match grade {
        Grade::Good | Grade::NotDemanded => 0,
        Grade::Bad => 1,
        Grade::Undecided => 2,
    }
}

/// What both have to find: every fault, and what is said of content that is not there.
fn tells(finding: &Finding) -> bool {
    finding.grade > Grade::NotDemanded || matches!(finding.kind, FindingKind::Withheld | FindingKind::Gap)
}

fn kind_name(finding: &Finding) -> String {
    serde_json::to_value(finding.kind).unwrap().as_str().unwrap().to_owned()
}

fn python_can() -> bool {
    let asked = Command::new(PYTHON).args(["-c", "import cryptography"]).stderr(Stdio::null()).status();
    asked.is_ok_and(|status| status.success())
}

/// The verdicts of the independent verifier: one process judges all.
fn independent_verdicts(trials: &[Trial]) -> Vec<Judged> {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/independent/verify_bundle.py");
    let mut python = Command::new(PYTHON).arg("-B").arg(script).arg("--many").stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    let asked: String = trials.iter().map(|trial| format!("{0}/anchor.json\t{0}/bundle\n", trial.place.to_str().unwrap())).collect();
    // It answers each line as it comes, so a thread writes while the answers are read: neither pipe can fill up.
    let mut stdin = python.stdin.take().unwrap();
    let writer = std::thread::spawn(move || stdin.write_all(asked.as_bytes()));
    let output = python.wait_with_output().unwrap();
    writer.join().unwrap().unwrap();
    assert!(output.status.success(), "the independent verifier failed");
    let verdicts: Vec<Judged> = String::from_utf8(output.stdout).unwrap().lines().map(parse_verdict).collect();
    assert_eq!(verdicts.len(), trials.len(), "the independent verifier did not judge every bundle");
    verdicts
}

fn parse_verdict(line: &str) -> Judged {
    let verdict: serde_json::Value = serde_json::from_str(line).unwrap();
    let findings = verdict["findings"].as_array().unwrap().iter();
    let told = findings.filter(|finding| {
        matches!(finding["grade"].as_str(), Some("bad" | "undecided")) || matches!(finding["kind"].as_str(), Some("withheld" | "gap"))
    });
    (verdict["exit"].as_u64().unwrap(), told.map(|finding| finding["kind"].as_str().unwrap().to_owned()).collect())
}

//! The verifier in Python, written from `docs/formats` alone, judges every synthetic bundle as ours does: same exit code, same findings.

use std::collections::BTreeSet;
use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};

use exhibit_evidence::verdict::Finding;

use crate::trials::{Trial, trials};

/// Debian's own, which finds Debian's `cryptography`.
const PYTHON: &str = "/usr/bin/python3";

/// A verdict as far as two verifiers must agree: the exit code, and of what was found axis, kind and grade.
type Judged = (u64, BTreeSet<String>);

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
    let disagreements = compared(&trials.all, &theirs);
    for disagreement in &disagreements {
        eprintln!("{disagreement}");
    }
    assert!(disagreements.is_empty(), "the two verifiers disagree on {} of {} bundles", disagreements.len(), trials.all.len());
    let codes: BTreeSet<u64> = theirs.iter().map(|(code, _)| *code).collect();
    assert_eq!(codes, BTreeSet::from([0, 1, 2]), "good, bad and undecided bundles belong among those that were compared");
    let told: BTreeSet<&str> = theirs.iter().flat_map(|(_, findings)| findings).map(String::as_str).collect();
    for axis in ["signature", "continuity", "witness", "time", "revocation", "device", "payload"] {
        for what in ["holds good", "bad"] {
            let found = told.iter().any(|finding| finding.starts_with(axis) && finding.ends_with(what));
            assert!(found, "no bundle among them is {what} on the axis {axis}");
        }
    }
}

/// Where the verifier in Python says something else than ours, and what each says.
pub fn disagreements(trials: &[Trial]) -> Vec<String> {
    compared(trials, &independent_verdicts(trials))
}

fn compared(trials: &[Trial], theirs: &[Judged]) -> Vec<String> {
    let differ = trials.iter().zip(theirs).filter(|(trial, theirs)| ours(trial) != **theirs);
    let told = |(trial, theirs): (&Trial, &Judged)| {
        let ours = ours(trial);
        let (own, other) = (ours.1.difference(&theirs.1).collect::<Vec<_>>(), theirs.1.difference(&ours.1).collect::<Vec<_>>());
        format!("{}: ours says {} and alone {own:?}, theirs {} and alone {other:?}", trial.name, ours.0, theirs.0)
    };
    differ.map(told).collect()
}

/// What ours says, as far as both must agree.
fn ours(trial: &Trial) -> Judged {
    match &trial.ours {
        Err(_) => (2, BTreeSet::new()),
        Ok(verdict) => (verdict.grade.exit_code().into(), verdict.findings.iter().map(told).collect()),
    }
}

fn told(finding: &Finding) -> String {
    let word = |value: serde_json::Result<serde_json::Value>| value.unwrap().as_str().unwrap().to_owned();
    let (axis, kind, grade) = (serde_json::to_value(finding.axis), serde_json::to_value(finding.kind), serde_json::to_value(finding.grade));
    format!("{} {} {}", word(axis), word(kind), word(grade))
}

pub fn python_can() -> bool {
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
    let told = findings.map(|finding| ["axis", "kind", "grade"].map(|member| finding[member].as_str().unwrap()).join(" "));
    (verdict["exit"].as_u64().unwrap(), told.collect())
}

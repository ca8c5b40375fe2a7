//! The module for WebAssembly and the fast verifier judge every synthetic bundle as pure Rust does, to the byte.

use std::path::Path;
use std::process::Stdio;
use std::thread;

use exhibit_evidence::Anchor;
use exhibit_evidence::verify::verify;
use exhibit_pki::signature::AwsLc;

use crate::trials::{Trial, trials};

#[path = "../../wasm/tests/support/mod.rs"]
mod support;

use support::{build_verifier, can_run, node, say, succeed};

#[test]
fn webassembly_aws_lc_and_pure_rust_give_the_same_verdicts() {
    let trials = trials();
    trials.assert_every_kind_is_met();
    for trial in &trials.all {
        // By what is no anchor, nothing is judged.
        let Ok(anchor) = Anchor::parse(&std::fs::read(trial.place.join("anchor.json")).unwrap()) else { continue };
        let fast = verify(&trial.files, &anchor, &AwsLc).map_err(|error| error.to_string());
        assert_eq!(fast, trial.ours, "{}: aws-lc-rs and pure Rust disagree", trial.name);
    }
    if !can_run("the WebAssembly verifier") {
        return;
    }
    let theirs = judge_in_node(&build_verifier(), &trials.all);
    for (trial, (code, json)) in trials.all.iter().zip(&theirs) {
        match &trial.ours {
            Ok(verdict) => assert_eq!((verdict.grade.exit_code(), &verdict.to_json()), (*code, json), "{}", trial.name),
            Err(error) => {
                let told: serde_json::Value = serde_json::from_str(json).unwrap();
                assert_eq!((2, told), (*code, serde_json::json!({ "error": error, "exit": 2 })), "{}", trial.name);
            }
        }
    }
    let codes: std::collections::BTreeSet<u8> = theirs.iter().map(|(code, _)| *code).collect();
    assert_eq!(codes, [0, 1, 2].into(), "good, bad and undecided bundles belong among those that were compared");
    say(&format!("WebAssembly: the same verdict as natively on {} bundles", theirs.len()));
}

/// The exit code and the JSON for every bundle: as many processes as there are processors share them.
fn judge_in_node(module: &Path, trials: &[Trial]) -> Vec<(u8, String)> {
    let processes = thread::available_parallelism().map_or(1, usize::from);
    let shares = trials.chunks(trials.len().div_ceil(processes));
    thread::scope(|scope| {
        let judging: Vec<_> = shares.map(|share| scope.spawn(|| judge_in_one_node(module, share))).collect();
        judging.into_iter().flat_map(|judged| judged.join().unwrap()).collect()
    })
}

fn judge_in_one_node(module: &Path, trials: &[Trial]) -> Vec<(u8, String)> {
    let folder = tempfile::tempdir().unwrap();
    let asked = folder.path().join("bundles");
    let lines: String = trials.iter().map(|trial| format!("{0}/anchor.json\t{0}/bundle\n", trial.place.to_str().unwrap())).collect();
    std::fs::write(&asked, lines).unwrap();
    let mut node = node("verify.mjs");
    node.arg(module).arg("--many").stdin(Stdio::from(std::fs::File::open(&asked).unwrap()));
    let output = String::from_utf8(succeed(&mut node).stdout).unwrap();
    let answers: Vec<_> = output
        .lines()
        .map(|line| {
            let answer: serde_json::Value = serde_json::from_str(line).unwrap();
            (u8::try_from(answer["code"].as_u64().unwrap()).unwrap(), answer["json"].as_str().unwrap().to_owned())
        })
        .collect();
    assert_eq!(answers.len(), trials.len(), "the module did not judge every bundle");
    answers
}

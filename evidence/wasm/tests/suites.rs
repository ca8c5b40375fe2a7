//! Every vector in WebAssembly: the pure crates' own tests, built for wasm32 and run in Node.js, must pass there as they do here.
//!
//! Tests that need a process, a thread or a temporary folder (OpenSSL as the second implementation) can not run there, and are counted.

#![allow(clippy::unwrap_used)]

mod support;

use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use support::{can_run, cargo, node, root, say, succeed};

/// The pure crates by their folders, and how many of their tests at least must have passed: a build without tests must not pass for one.
const CRATES: &[(&str, &str, u64)] =
    &[("exhibit-tlog", "ledger/tlog", 70), ("exhibit-pki", "pki", 80), ("exhibit-evidence", "evidence", 110)];

#[test]
fn the_tests_of_the_pure_crates_pass_in_webassembly() {
    if !can_run("the pure crates' tests in WebAssembly") {
        return;
    }
    let mut build = vec!["test", "--no-run", "--target", "wasm32-wasip1"];
    build.extend(CRATES.iter().flat_map(|(name, _, _)| ["-p", name]));
    let messages = cargo(&build);
    let of = |folder: &str| {
        let manifest = root().join(folder).join("Cargo.toml");
        let of_crate = move |message: &&serde_json::Value| message["manifest_path"].as_str() == manifest.to_str();
        messages.iter().filter(of_crate).filter_map(|message| message["executable"].as_str()).collect::<Vec<_>>()
    };
    let results = run_all(CRATES.iter().flat_map(|(_, folder, _)| of(folder)).collect());
    for (name, folder, passed_min) in CRATES {
        let (mut passed, mut lacking) = (0, Vec::new());
        for program in of(folder) {
            let result = &results[program];
            let failed = result["failed"].as_array().unwrap();
            assert!(failed.is_empty(), "{program} in WebAssembly: {failed:#?}");
            passed += result["passed"].as_u64().unwrap();
            lacking.extend(result["lacking"].as_array().unwrap().iter().map(|test| test.as_str().unwrap().to_owned()));
        }
        say(&format!("WebAssembly: {passed} tests of {name} passed; {} need what it has not: {}", lacking.len(), lacking.join(", ")));
        assert!(passed >= *passed_min, "only {passed} tests of {name} were run in WebAssembly");
    }
}

/// Runs programs side by side, as many as there are processors, the largest first: it has most to do. Gives what came of each.
fn run_all(mut programs: Vec<&str>) -> BTreeMap<&str, serde_json::Value> {
    programs.sort_by_key(|program| Reverse(std::fs::metadata(program).unwrap().len()));
    let (next, results) = (AtomicUsize::new(0), Mutex::new(BTreeMap::new()));
    std::thread::scope(|scope| {
        for _ in 0..std::thread::available_parallelism().unwrap().get() {
            scope.spawn(|| {
                while let Some(program) = programs.get(next.fetch_add(1, Ordering::Relaxed)) {
                    let result = run(program);
                    results.lock().unwrap().insert(*program, result);
                }
            });
        }
    });
    results.into_inner().unwrap()
}

/// Runs the tests of a program, and gives what came of them.
fn run(program: &str) -> serde_json::Value {
    let output = succeed(node("tests/suite.mjs").arg(root()).arg(program));
    serde_json::from_slice(&output.stdout).unwrap()
}

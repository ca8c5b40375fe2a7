//! Every vector in WebAssembly: the pure crates' own tests, built for wasm32 and run in Node.js, must pass there as they do here.
//!
//! Tests that need a process, a thread or a temporary folder (OpenSSL as the second implementation) can not run there, and are counted.

#![allow(clippy::unwrap_used)]

mod support;

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
    for (name, folder, passed_min) in CRATES {
        let manifest = root().join(folder).join("Cargo.toml");
        let (mut passed, mut lacking) = (0, Vec::new());
        for message in messages.iter().filter(|message| message["manifest_path"].as_str() == manifest.to_str()) {
            let Some(program) = message["executable"].as_str() else { continue };
            let result = run(program);
            let failed = result["failed"].as_array().unwrap();
            assert!(failed.is_empty(), "{program} in WebAssembly: {failed:#?}");
            passed += result["passed"].as_u64().unwrap();
            lacking.extend(result["lacking"].as_array().unwrap().iter().map(|test| test.as_str().unwrap().to_owned()));
        }
        say(&format!("WebAssembly: {passed} tests of {name} passed; {} need what it has not: {}", lacking.len(), lacking.join(", ")));
        assert!(passed >= *passed_min, "only {passed} tests of {name} were run in WebAssembly");
    }
}

/// Runs the tests of a program, and gives what came of them.
fn run(program: &str) -> serde_json::Value {
    let output = succeed(node("tests/suite.mjs").arg(root()).arg(program));
    serde_json::from_slice(&output.stdout).unwrap()
}

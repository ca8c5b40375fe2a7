//! Builds for WebAssembly and runs in Node.js; where one of them is not to be had, says so aloud.

#![allow(dead_code)]

use std::ffi::OsStr;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

/// Whether this machine can build for WebAssembly and run it. Node.js is a package that `make packages` installs, and `make test` demands
/// it; Rust's library for WebAssembly can not be had everywhere.
pub fn can_run(what: &str) -> bool {
    let has_node = Command::new("node").arg("--version").output().is_ok_and(|output| output.status.success());
    assert!(has_node || std::env::var_os("EXHIBIT_TEST_ALL").is_none(), "Node.js is missing: run make packages");
    let has_targets = Command::new(root().join("scripts/wasm-targets.sh")).arg("--check").status().is_ok_and(|status| status.success());
    if !has_node || !has_targets {
        say(&format!("SKIPPED: {what} needs Node.js and Rust's library for WebAssembly; run make packages and scripts/wasm-targets.sh"));
    }
    has_node && has_targets
}

/// Says it past the test harness, which would keep it for itself.
pub fn say(words: &str) {
    std::io::stderr().write_all(format!("{words}\n").as_bytes()).unwrap();
}

/// The workspace.
pub fn root() -> PathBuf {
    let mut folders = Path::new(env!("CARGO_MANIFEST_DIR")).ancestors();
    folders.find(|folder| folder.join("Cargo.lock").exists()).expect("the workspace has a Cargo.lock").to_owned()
}

/// Where the programs for WebAssembly are built: beside those of this machine, so that neither waits for the other's lock.
pub fn target_folder() -> PathBuf {
    Path::new(env!("CARGO_TARGET_TMPDIR")).parent().unwrap().join("webassembly")
}

/// Builds, and gives what Cargo said of it in JSON.
pub fn cargo(arguments: &[&str]) -> Vec<serde_json::Value> {
    let mut cargo = Command::new(env!("CARGO"));
    // What this machine's programs are linked with (mold, RocksDB) is not for WebAssembly.
    for variable in ["RUSTFLAGS", "CARGO_ENCODED_RUSTFLAGS", "CARGO_BUILD_TARGET"] {
        cargo.env_remove(variable);
    }
    cargo.current_dir(root()).args(arguments).args(["--locked", "--message-format", "json-render-diagnostics", "--target-dir"]);
    let output = succeed(cargo.arg(target_folder()));
    String::from_utf8(output.stdout).unwrap().lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// Builds the verifier as it is shipped.
pub fn build_verifier() -> PathBuf {
    let messages = cargo(&["build", "--profile", "wasm", "--target", "wasm32-unknown-unknown", "-p", "exhibit-verifier-wasm"]);
    let files = messages.iter().filter_map(|message| message["filenames"].as_array()).flatten().filter_map(|file| file.as_str());
    files.map(PathBuf::from).rfind(|file| file.extension().is_some_and(|kind| kind == "wasm")).expect("Cargo names the module")
}

/// Node.js with one of the scripts of `evidence/wasm`.
pub fn node(script: &str) -> Command {
    let mut node = Command::new("node");
    node.arg("--no-warnings").arg(root().join("evidence/wasm").join(script));
    node
}

/// Runs it, which must end well.
pub fn succeed(command: &mut Command) -> Output {
    let output = command.output().unwrap();
    let name = command.get_program().to_string_lossy().into_owned();
    let arguments: Vec<_> = command.get_args().map(OsStr::to_string_lossy).collect();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{name} {} failed:\n{said}", arguments.join(" "));
    output
}

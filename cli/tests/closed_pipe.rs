//! What is found out holds, and is told by the exit code, also where nobody reads the words any more (`| head`).
#![allow(clippy::unwrap_used)]

use std::process::Command;

#[test]
fn a_reader_who_has_gone_changes_no_exit_code() {
    let folder = tempfile::tempdir().unwrap();
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    let mut command = Command::new(env!("CARGO_BIN_EXE_exhibit"));
    command.args(["--json", "verify", "no-bundle", "--anchor", "no-anchor.json"]).current_dir(folder.path());
    let outcome = command.stdout(writer).output().unwrap();
    let said = String::from_utf8_lossy(&outcome.stderr);
    assert_eq!(outcome.status.code(), Some(2), "{said}");
    assert!(!said.contains("panicked"), "{said}");
}

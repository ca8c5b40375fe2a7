//! What is done is done, and told by the exit code, also where nobody reads the words any more (`| head`).
#![allow(clippy::unwrap_used)]

use std::process::Command;

#[test]
fn a_reader_who_has_gone_changes_no_exit_code() {
    let folder = tempfile::tempdir().unwrap();
    for (words, code) in [(["init", "--domain", "city.example", "--dir", "pki"], 0), (["sign", "--dir", "none", "--csr", "no.csr"], 64)] {
        for is_json in [false, true] {
            let (reader, writer) = std::io::pipe().unwrap();
            drop(reader);
            let mut command = Command::new(env!("CARGO_BIN_EXE_exhibit-authority"));
            if is_json {
                command.arg("--json");
            }
            let folder = folder.path().join(format!("{}-{is_json}", words[0]));
            std::fs::create_dir(&folder).unwrap();
            let outcome = command.args(words).current_dir(folder).stdout(writer).output().unwrap();
            let said = String::from_utf8_lossy(&outcome.stderr);
            assert_eq!(outcome.status.code(), Some(code), "{said}");
            assert!(!said.contains("panicked"), "{said}");
        }
    }
}

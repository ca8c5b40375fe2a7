//! What the program prints of a bundle that names things to deceive whoever reads: nothing that a terminal obeys.

#![allow(clippy::unwrap_used)]

use std::path::Path;
use std::process::{Command, Output};

/// The escape character, a C1 control, a line feed, and what turns the order of writing: each paints a verdict of its own.
const PAINTS: [&str; 5] = ["\u{1b}[2J\u{1b}[HVERIFIED", "\u{9b}2JVERIFIED", "x\nVERIFIED  bundle", "x\rVERIFIED", "x\u{202e}DEIFIREV"];

/// Unpacks a seed of the fuzz corpus: `anchor.json`, and the files of the bundle, each path after its length, each file after its.
fn unpack(seed: &str, folder: &Path) {
    let packed = std::fs::read(Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/fuzz/corpus/bundle").join(seed)).unwrap();
    let mut rest = packed.as_slice();
    while let Some((length, after)) = rest.split_first_chunk::<2>() {
        let (path, after) = after.split_at(u16::from_be_bytes(*length).into());
        let (length, after) = after.split_first_chunk::<4>().unwrap();
        let (bytes, after) = after.split_at(u32::from_be_bytes(*length).try_into().unwrap());
        rest = after;
        let path = std::str::from_utf8(path).unwrap();
        let file = if path == "anchor.json" { folder.join(path) } else { folder.join("bundle").join(path) };
        std::fs::create_dir_all(file.parent().unwrap()).unwrap();
        std::fs::write(file, bytes).unwrap();
    }
}

fn verify(folder: &Path, json: bool) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_exhibit"));
    command.arg("verify").arg(folder.join("bundle")).arg("--anchor").arg(folder.join("anchor.json"));
    if json {
        command.arg("--json");
    }
    command.output().unwrap()
}

fn assert_obeyed_by_no_terminal(printed: &[u8], paint: &str) {
    let printed = std::str::from_utf8(printed).unwrap();
    for line in printed.lines() {
        assert!(line.chars().all(|character| !character.is_control() && character != '\u{202e}'), "{paint:?}: {line:?}");
    }
    let headlines = printed.lines().filter(|line| line.starts_with("VERIFIED")).count();
    assert_eq!(headlines, 0, "{paint:?} paints a headline:\n{printed}");
}

#[test]
fn a_file_s_name_paints_no_verdict() {
    for paint in PAINTS {
        let folder = tempfile::tempdir().unwrap();
        unpack("whole", folder.path());
        let name = format!("{paint}.mp4");
        std::fs::write(folder.path().join("bundle/working").join(&name), b"another scene").unwrap();
        let told = verify(folder.path(), false);
        assert_eq!(told.status.code(), Some(1), "{}", String::from_utf8_lossy(&told.stdout));
        assert!(told.stdout.starts_with(b"NOT AUTHENTIC"), "{}", String::from_utf8_lossy(&told.stdout));
        assert_obeyed_by_no_terminal(&told.stdout, paint);
        let json = verify(folder.path(), true).stdout;
        assert_obeyed_by_no_terminal(&json, paint);
        let verdict: serde_json::Value = serde_json::from_slice(&json).unwrap();
        let path = format!("working/{name}");
        let found = verdict["findings"].as_array().unwrap().iter().any(|finding| finding["place"]["file"] == path.as_str());
        assert!(found, "a program no longer finds the file {path:?}");
    }
}

#[test]
fn a_member_s_name_in_an_error_paints_no_verdict() {
    for paint in PAINTS {
        let folder = tempfile::tempdir().unwrap();
        unpack("whole", folder.path());
        let manifest = format!("{{{}:1}}", serde_json::to_string(paint).unwrap());
        std::fs::write(folder.path().join("bundle/manifest.json"), manifest).unwrap();
        for json in [false, true] {
            let told = verify(folder.path(), json);
            assert_eq!(told.status.code(), Some(2));
            assert!(!told.stderr.is_empty(), "nothing says why it can not be judged");
            assert_obeyed_by_no_terminal(&told.stdout, paint);
            assert_obeyed_by_no_terminal(&told.stderr, paint);
        }
    }
}

//! The module itself: what it asks of its host, what it offers, and its size. Its verdicts are compared in `evidence/tests/verify`.

#![allow(clippy::unwrap_used)]

#[path = "../../tests/common/hostile_folder.rs"]
mod hostile_folder;
mod support;

use exhibit_evidence::bundle::listed_name;
use hostile_folder::{ABSENT, LISTED, PLAIN, REFUSED, hostile_folder};
use support::{build_verifier, can_run, node, say, succeed};

/// Everything that the module may ask of its host. Whatever else it could reach, a clock or a random number generator, would be here.
const IMPORTS: &[&str] = &["exhibit.list function", "exhibit.open function", "exhibit.read function"];
/// Everything that it offers. The first two come from the linker, and say where its memory ends.
const EXPORTS: &[&str] = &[
    "__data_end global",
    "__heap_base global",
    "anchor function",
    "memory memory",
    "verdict function",
    "verdict_bytes function",
    "verify function",
];

/// It is downloaded, so it must not grow unseen: 1.7 MiB when this was written.
const SIZE_BYTES_MAX: u64 = 5 << 19;

#[test]
fn the_module_asks_its_host_for_files_and_nothing_else() {
    if !can_run("the WebAssembly verifier") {
        return;
    }
    let module = build_verifier();
    let output = succeed(node("tests/interface.mjs").arg(&module));
    let interface: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(interface["imports"], serde_json::json!(IMPORTS));
    assert_eq!(interface["exports"], serde_json::json!(EXPORTS));
    let (size, gzip) = (interface["size_bytes"].as_u64().unwrap(), interface["gzip_bytes"].as_u64().unwrap());
    say(&format!("WebAssembly: the verifier has {size} bytes, {gzip} with gzip"));
    assert!(size < SIZE_BYTES_MAX, "the verifier has grown to {size} bytes");
}

/// As the command line reads a folder (cli/src/bundle_folder.rs): two hosts must not differ in what a bundle holds.
#[test]
fn the_host_gives_plain_files_of_the_folder_and_nothing_else() {
    if !can_run("the host of the WebAssembly verifier") {
        return;
    }
    let outside = tempfile::tempdir().unwrap();
    let folder = hostile_folder(outside.path());
    let long = "a".repeat(300);
    let absent = [&ABSENT[..], &[&long]].concat();
    // It refuses a second spelling, where other hosts find the file: no manifest has one.
    let unreadable = [&REFUSED[..], &["movies//copy.mp4"]].concat();
    let names = PLAIN.iter().chain(&absent).chain(&unreadable);
    let output = succeed(node("tests/folder.mjs").arg(&folder).args(names));
    let told: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    let expected = [vec![1; PLAIN.len()], vec![-1; absent.len()], vec![-2; unreadable.len()]].concat();
    assert_eq!(told["opened"], serde_json::json!(expected), "{absent:?}, {unreadable:?}");
    let names: Vec<Vec<u8>> = serde_json::from_value(told["files"].clone()).unwrap();
    let mut listed: Vec<String> = names.iter().map(|name| listed_name(name)).collect();
    listed.sort();
    assert_eq!(listed, LISTED, "something that is played, or is there, is not told");
}

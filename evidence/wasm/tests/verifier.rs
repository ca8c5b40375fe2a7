//! The module itself: what it asks of its host, what it offers, and its size. Its verdicts are compared in `evidence/tests/verify`.

#![allow(clippy::unwrap_used)]

mod support;

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
    let folder = outside.path().join("bundle");
    std::fs::create_dir_all(folder.join("movies")).unwrap();
    for file in ["bundle/movies/copy.mp4", "bundle/file", "secret"] {
        std::fs::write(outside.path().join(file), b"1").unwrap();
    }
    for (target, link) in
        [("../secret", "link"), ("..", "up"), ("file", "inside"), ("movies", "working"), ("loop", "loop"), ("nothing", "dangling")]
    {
        std::os::unix::fs::symlink(target, folder.join(link)).unwrap();
    }
    let long = "a".repeat(300);
    let absent = [
        "absent",
        "link",
        "up/secret",
        "up/bundle/file",
        "inside",
        "working/copy.mp4",
        "loop",
        "loop/file",
        "dangling",
        "movies",
        "file/x",
        &long,
    ];
    let unreadable = ["../secret", "movies/../../secret", "/etc/passwd", "", "movies//copy.mp4"];
    let names = ["file", "movies/copy.mp4"].iter().chain(&absent).chain(&unreadable);
    let output = succeed(node("tests/folder.mjs").arg(&folder).args(names));
    let told: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    let expected = [vec![1; 2], vec![-1; absent.len()], vec![-2; unreadable.len()]].concat();
    assert_eq!(told["opened"], serde_json::json!(expected), "{absent:?}, {unreadable:?}");
    let files = ["dangling", "file", "inside", "link", "loop", "movies/copy.mp4", "up/", "working/"];
    assert_eq!(told["files"], serde_json::json!(files));
}

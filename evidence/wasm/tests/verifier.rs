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

//! Others' tools that judge the API (`scripts/api-tools.sh`).

use std::io::Write;
use std::path::PathBuf;
use std::process::Command;

/// Where they are. Where they can not be had the test says that it was skipped, and is a failure under `make test`. Blocks.
pub fn api_tools() -> Option<PathBuf> {
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/../scripts/api-tools.sh");
    let output = Command::new(script).output().unwrap();
    if output.status.success() {
        return Some(PathBuf::from(String::from_utf8(output.stdout).unwrap().trim_end()));
    }
    let why = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(std::env::var_os("EXHIBIT_TEST_ALL").is_none(), "{why}");
    std::io::stderr().write_all(format!("SKIPPED: {why}").as_bytes()).unwrap();
    None
}

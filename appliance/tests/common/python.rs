//! Runs the client of C2SP logs in `tests/c2sp`, with Debian's python3 and its `cryptography`.

use std::io::Write;
use std::process::{Command, Stdio};

/// Debian's own, which finds Debian's `cryptography`.
const PYTHON: &str = "/usr/bin/python3";

/// Without Debian's `cryptography` it says so, and is a failure under `make test`.
pub fn is_there() -> bool {
    let asked = Command::new(PYTHON).args(["-c", "import cryptography"]).stderr(Stdio::null()).status();
    let found = asked.is_ok_and(|status| status.success());
    if !found {
        assert!(std::env::var_os("EXHIBIT_TEST_ALL").is_none(), "Debian's python3-cryptography is missing: run make packages");
        std::io::stderr().write_all(b"SKIPPED: the C2SP client needs Debian's python3-cryptography; run make packages\n").unwrap();
    }
    found
}

/// What the client reports, or what it says is wrong. Blocks.
pub fn client(arguments: &[String]) -> Result<serde_json::Value, String> {
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/../tests/c2sp/client.py");
    let output = Command::new(PYTHON).args(["-B", script]).args(arguments).stderr(Stdio::inherit()).output().unwrap();
    let report: serde_json::Value = serde_json::from_slice(&output.stdout).expect("the client prints a line of JSON");
    if output.status.success() { Ok(report) } else { Err(report["error"].as_str().unwrap().to_owned()) }
}

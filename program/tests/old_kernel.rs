//! Confinement on a kernel whose Landlock is the first: it refuses every rename and link into another folder, so it is not used.
#![cfg(feature = "confine")]
#![allow(clippy::unwrap_used, missing_docs)]

use std::fs;
use std::path::PathBuf;
use std::process::Command;

use exhibit_program::confine::{Confinement, Files, has_landlock};

/// Answers for the kernel when a program asks which Landlock there is (seccomp_unotify(2)): the first.
const FIRST_LANDLOCK: &str = r#"
import ctypes, fcntl, os, platform, select, struct, subprocess, sys
libc = ctypes.CDLL(None, use_errno=True)
seccomp, create_ruleset = {"x86_64": 317, "aarch64": 277}[platform.machine()], 444
notify, allow = 0x7fc00000, 0x7fff0000
code = b"".join(struct.pack("HBBI", *line) for line in [(0x20, 0, 0, 0), (0x15, 0, 1, create_ruleset), (6, 0, 0, notify), (6, 0, 0, allow)])
kept = ctypes.create_string_buffer(code)
program = struct.pack("HxxxxxxP", 4, ctypes.addressof(kept))
assert libc.prctl(38, 1, 0, 0, 0) == 0
listener = libc.syscall(seccomp, 1, 8, program)
assert listener >= 0, os.strerror(ctypes.get_errno())
child = subprocess.Popen(sys.argv[1:])
asked = select.poll()
asked.register(listener, select.POLLIN)
while child.poll() is None:
    if not asked.poll(50):
        continue
    request = bytearray(80)
    fcntl.ioctl(listener, 0xC0502100, request)
    identifier, flags = struct.unpack_from("Q", request)[0], struct.unpack_from("Q", request, 32 + 16)[0]
    value, error, go_on = {1: (1, 0, 0), 2: (0, -22, 0)}.get(flags, (0, 0, 1))
    fcntl.ioctl(listener, 0xC0182101, struct.pack("QqiI", identifier, value, error, go_on))
sys.exit(child.returncode)
"#;

/// What is started says what came of it by its test's outcome.
fn outcome(within: Option<&str>, files: Files) -> String {
    let folder = tempfile::tempdir().unwrap();
    let test = std::env::current_exe().unwrap();
    let mut command = within.map_or_else(|| Command::new(&test), Command::new);
    if within.is_some() {
        command.args(["-c", FIRST_LANDLOCK]).arg(&test);
    }
    command.args(["--exact", "confines_itself", "--ignored", "--nocapture"]);
    let output = command.env("FOLDER", folder.path()).env("FILES", format!("{files:?}")).output().unwrap();
    let said = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{said}");
    said
}

#[test]
#[ignore = "the others start it: what it gives up is given up for good"]
fn confines_itself() {
    let (Some(folder), Ok(files)) = (std::env::var_os("FOLDER").map(PathBuf::from), std::env::var("FILES")) else { return };
    for name in ["staged", "objects"] {
        fs::create_dir(folder.join(name)).unwrap();
    }
    fs::write(folder.join("staged/object"), "sealed").unwrap();
    let has_landlock = has_landlock();
    let confined = Confinement { writes: vec![folder.clone()], ..Confinement::default() }.enter().unwrap();
    // What the vault does with each object.
    fs::rename(folder.join("staged/object"), folder.join("objects/object")).expect("no object would get its name");
    let is_used = confined.files != Files::Not;
    assert_eq!((is_used, has_landlock), (files != "Not", files != "Not"), "{:?}", confined.files);
    println!("asked for {files}");
}

#[test]
fn the_first_landlock_is_not_used() {
    if Command::new("python3").arg("--version").output().is_err() || !has_landlock() {
        println!("SKIPPED: there is no python3, or no Landlock");
        return;
    }
    assert!(outcome(Some("python3"), Files::Not).contains("asked for Not"), "the test did not run");
    assert!(outcome(None, Files::Kept).contains("asked for Kept"), "the test did not run");
}

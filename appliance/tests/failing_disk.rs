//! The program itself on a disk that fails one write or sync: it ends with a message instead of serving on, and the state that it leaves
//! is whole.
#![allow(clippy::unwrap_used)]

mod common;

use std::fs;
use std::io::{BufRead, BufReader, Read};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::AtomicBool;

use common::Pki;
use exhibit_appliance::maintain::fsck::{CheckOptions, check};
use exhibit_appliance::setup::{Folder, NewLog, now};
use exhibit_pki::{Identity, Role};
use exhibit_power_loss::{Failure, Shim, scratch};

/// A start makes some dozens of changes: every one of these is tried, and a few beyond.
const CHANGES_STEP: usize = 4;
const CHANGES_MAX: usize = 200;

#[test]
fn a_program_whose_disk_fails_ends_and_says_so() {
    let (shim, root) = (Shim::compile(), scratch());
    let state = root.path().join("state");
    create(&state);
    let (mut ended, mut size) = (0, 1);
    for number in (0..CHANGES_MAX).step_by(CHANGES_STEP) {
        let trace = root.path().join("trace");
        let _ = fs::remove_file(&trace);
        let mut command = Command::new(env!("CARGO_BIN_EXE_exhibit-appliance"));
        command.args(["serve", "--intake", "127.0.0.1:0", "--public", "127.0.0.1:0", "--state"]).arg(&state).env("RUST_LOG", "error");
        shim.preload(&mut command, &state, &trace, Some(Failure { number, is_done: number % (2 * CHANGES_STEP) == 0 }));
        let mut serve = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let is_ready = first_line(&mut serve).starts_with("ready");
        if is_ready {
            terminate(&serve);
        }
        let output = serve.wait_with_output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr);
        if !is_ready {
            ended += 1;
            assert_eq!(output.status.code(), Some(2), "change {number} failed, and it ended with: {said}");
            assert!(
                said.contains("Input/output error") || said.contains("os error 5"),
                "change {number}: it does not say what failed: {said}"
            );
        }
        let now_has = fsck(&state);
        assert!(now_has >= size, "change {number} failed, and entries are gone");
        size = now_has;
        // One that failed nothing has come to the end of what a start changes.
        if is_ready && output.status.success() && said.is_empty() && ended > 0 && number > 100 {
            break;
        }
    }
    assert!(ended >= 3, "only {ended} failures ended the program: a start makes more changes that matter");
}

fn create(state: &Path) {
    let (folder, pki) = (Folder::new(state), Pki::new(1 << 40));
    let request = folder.init(&Identity::parse("spiffe://city.example/appliance/1").unwrap()).unwrap();
    fs::write(state.join("appliance.pem"), pki.sign_request(&request, &[Role::Appliance], &["localhost"]).to_pem()).unwrap();
    let (chain_pem, root_pem) = (pki.issuing.to_pem(), pki.root.to_pem());
    folder
        .lock()
        .unwrap()
        .create_log(&NewLog { origin: "city.example/log/1", chain_pem: &chain_pem, root_pem: &root_pem, predecessor: None, now: now() })
        .unwrap();
}

/// What it says first; nothing if it ends before.
fn first_line(serve: &mut Child) -> String {
    let mut line = String::new();
    let mut stdout = BufReader::new(serve.stdout.take().unwrap());
    stdout.read_line(&mut line).unwrap();
    // Whatever else it says is nobody's business, but its pipe stays open until it ends.
    std::thread::spawn(move || stdout.read_to_end(&mut Vec::new()));
    line
}

fn terminate(serve: &Child) {
    assert!(Command::new("kill").args(["-TERM", &serve.id().to_string()]).status().unwrap().success());
}

/// Starts without the shim would hide a torn state: it is checked as the failure left it.
fn fsck(state: &Path) -> u64 {
    let stop = AtomicBool::new(false);
    let options = CheckOptions { threads: 1, bytes_per_s: None, state_file: None, progress: &|_| {}, stop: &stop };
    let report = check(&Folder::new(state), &options).unwrap();
    assert_eq!(report.damages, []);
    report.head.size
}

//! The program itself on a disk that fails one write or sync: it ends with a message instead of serving on, or refuses what it could not write, and the
//! state that it leaves is whole.
#![allow(clippy::unwrap_used)]

mod common;

use std::fs;
use std::io::{BufRead, BufReader, Read};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::AtomicBool;

use common::served::Served;
use common::{Connection, Pki, World, Writer, segment, stop};
use exhibit_appliance::maintain::fsck::{CheckOptions, check};
use exhibit_appliance::setup::{Folder, NewLog, now};
use exhibit_evidence::SignedStatement;
use exhibit_pki::{Identity, Role};
use exhibit_power_loss::{Failure, Operation, Shim, read_trace, scratch};

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

/// Failures that are tried while segments arrive.
const TRIALS: usize = 16;
/// Segments that a camera sends in each.
const SEGMENTS: usize = 3;

#[tokio::test(flavor = "multi_thread")]
async fn a_disk_that_fails_while_segments_arrive_loses_none_that_was_acknowledged() {
    let world = World::new().await;
    let (_, recipients) = world.set_recipients().await;
    let mut camera = Sending { writer: world.begin_epoch("20261120T115958Z", recipients).await, pending: None };
    let World { running, folder, pki, .. } = world;
    stop(running).await;
    let (shim, state, trace) = (Shim::compile(), folder.path().join("state"), folder.path().join("trace"));
    let start = |failure: Option<Failure>| {
        let _ = fs::remove_file(&trace);
        let mut command = Command::new(env!("CARGO_BIN_EXE_exhibit-appliance"));
        command.env("RUST_LOG", "error");
        shim.preload(&mut command, &state, &trace, failure);
        Served::of(command, &state)
    };

    // How many changes a start makes, and how many the segments after it.
    let served = start(None).unwrap();
    let first = changes(&trace);
    for _ in 0..SEGMENTS {
        assert_eq!(camera.send(&served, &pki).await, Some(201));
    }
    let last = changes(&trace);
    served.terminate();
    assert!(last - first >= TRIALS, "segments are {} changes", last - first);

    let (mut refused, mut ended) = (0, 0);
    for trial in 0..TRIALS {
        let number = first + (last - first) * trial / TRIALS;
        let Ok(served) = start(Some(Failure { number, is_done: trial % 4 == 3 })) else {
            ended += 1;
            continue;
        };
        let (mut sent, mut has_ended) = (0, false);
        // What was refused is sent again.
        while (sent < SEGMENTS || camera.pending.is_some()) && !has_ended {
            match camera.send(&served, &pki).await {
                Some(200 | 201) => {}
                Some(507) => refused += 1,
                Some(status) => panic!("change {number} failed, and a segment was answered {status}"),
                // It ends, or the failure was a flaw of the program.
                None => has_ended = true,
            }
            sent += 1;
            assert!(sent <= 2 * SEGMENTS, "change {number} failed, and it does not go on");
        }
        if !has_ended {
            served.signal("TERM");
        }
        // What fails beside the segments, or at the end, ends it too.
        let (code, said) = served.ended();
        if has_ended || code != Some(0) {
            ended += 1;
            assert_eq!(code, Some(2), "change {number}: {said}");
            assert!(said.contains("Input/output error") || said.contains("os error 5"), "it does not say what failed: {said}");
        }
        // Without a hand it goes on, with all that was acknowledged.
        let served = start(None).unwrap_or_else(|(_, said)| panic!("change {number} failed, and it does not start again: {said}"));
        if camera.pending.is_some() {
            assert!(matches!(camera.send(&served, &pki).await, Some(200 | 201)));
        }
        camera.is_whole(&served, &pki, &state).await;
        served.terminate();
        fsck(&state);
    }
    assert!(refused > 0 && ended > 0, "{refused} failures were refusals, {ended} ended the program: one kind was never tried");
}

/// What the shim counts, so far.
fn changes(trace: &Path) -> usize {
    const CREATES_OR_CUTS: i32 = 0o1100;
    let is_change = |operation: &&Operation| match operation {
        Operation::Open { flags, .. } => flags & CREATES_OR_CUTS != 0,
        Operation::Close(_) | Operation::Output(_) => false,
        _ => true,
    };
    read_trace(trace).iter().filter(is_change).count()
}

/// A camera that sends a segment until it is acknowledged.
struct Sending {
    writer: Writer,
    pending: Option<(SignedStatement, Vec<u8>)>,
}

impl Sending {
    /// The status; `None` where the connection broke.
    async fn send(&mut self, served: &Served, pki: &Pki) -> Option<u16> {
        let (signed, payload) = self.pending.take().unwrap_or_else(|| {
            let (seq, slot) = (self.writer.seq, 2 * self.writer.seq as u32);
            let (body, payload) = segment(&self.writer.stream, seq, slot, &[seq as u8; 4096]);
            (self.writer.next(body), payload)
        });
        let answer = match Connection::new(served.port(), &pki.root, Some(&self.writer.party)).await {
            Ok(mut connection) => connection.try_put(&signed, &[], &payload).await.ok(),
            Err(_) => None,
        };
        match answer.as_ref().map(|answer| answer.status) {
            Some(200 | 201) => (self.writer.seq, self.writer.prev) = (self.writer.seq + 1, signed.leaf_hash()),
            _ => self.pending = Some((signed, payload)),
        }
        answer.map(|answer| answer.status)
    }

    async fn is_whole(&self, served: &Served, pki: &Pki, state: &Path) {
        let mut connection = Connection::new(served.port(), &pki.root, Some(&self.writer.party)).await.unwrap();
        for seq in 0..self.writer.seq {
            assert_eq!(connection.get(&format!("/v1/streams/{}/{seq}", self.writer.stream)).await.status, 200, "seq {seq} is lost");
        }
        let folders = fs::read_dir(state.join("vault/payloads")).unwrap().map(|folder| folder.unwrap().path());
        let stored: usize = folders.map(|folder| fs::read_dir(folder).unwrap().count()).sum();
        assert!(stored as u64 >= self.writer.seq - 1, "{stored} segments are stored, {} were acknowledged", self.writer.seq - 1);
    }
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

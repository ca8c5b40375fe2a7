//! fsck beside an appliance that takes segments: at its rate, ended by a signal, and gone on with.

use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::common::{World, segment};

/// SIGTERM's bit in what /proc says of the signals that a process handles.
const HANDLES_TERM: u64 = 1 << 14;

fn fsck(state: &Path, more: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_exhibit-appliance"));
    command.args(["fsck", "--threads", "2", "--state"]).arg(state).args(more).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

/// Waits until it would not simply be killed.
fn handles_signals(child: &Child) -> bool {
    let status = std::fs::read_to_string(format!("/proc/{}/status", child.id())).unwrap();
    let handled = status.lines().find_map(|line| line.strip_prefix("SigCgt:\t")).unwrap();
    u64::from_str_radix(handled, 16).unwrap() & HANDLES_TERM != 0
}

#[tokio::test(flavor = "multi_thread")]
async fn a_running_intake_is_checked_beside_it_and_a_signal_ends_the_check() {
    let world = World::new().await;
    let (_, recipients) = world.set_recipients().await;
    let mut camera = world.begin_epoch("20261120T115958Z", recipients).await;
    let mut connection = world.connect(&world.camera).await;
    let is_over = Arc::new(AtomicBool::new(false));
    let state = world.folder.path().join("state");
    let progress = world.folder.path().join("progress").display().to_string();
    let over = is_over.clone();
    let checks = async {
        let size = world.size();
        while world.size() < size + 260 {
            tokio::task::yield_now().await;
        }
        let slow = fsck(&state, &["--mib-per-s", "1", "--progress-file", &progress]).spawn().unwrap();
        while !handles_signals(&slow) {
            tokio::task::yield_now().await;
        }
        assert!(Command::new("kill").args(["-TERM", &slow.id().to_string()]).status().unwrap().success());
        let ended = tokio::task::spawn_blocking(|| slow.wait_with_output().unwrap()).await.unwrap();
        let told = String::from_utf8_lossy(&ended.stdout).into_owned();
        assert_eq!(ended.status.code(), Some(2), "{told}{}", String::from_utf8_lossy(&ended.stderr));
        assert!(told.contains("not checked to the end"), "{told}");
        assert!(Path::new(&progress).exists(), "what it had checked is lost");
        let whole = tokio::task::spawn_blocking({
            let mut command = fsck(&state, &["--progress-file", &progress]);
            move || command.output().unwrap()
        });
        let whole = whole.await.unwrap();
        assert_eq!(whole.status.code(), Some(0), "{}{}", String::from_utf8_lossy(&whole.stdout), String::from_utf8_lossy(&whole.stderr));
        assert!(!Path::new(&progress).exists(), "the next check would begin in the middle");
        over.store(true, Ordering::SeqCst);
    };
    let intake = async {
        let mut seq = 1;
        while !is_over.load(Ordering::SeqCst) {
            // One in eight is large, so that a check takes a while.
            let length = if seq % 8 == 0 { 300_000 } else { 100 };
            let (body, ciphertext) = segment(&camera.stream, seq, seq as u32, &vec![seq as u8; length]);
            let signed = camera.next(body);
            connection.put(&signed, &[], &ciphertext).await.admitted(201, &world.anchor, &mut camera, &signed);
            seq += 1;
        }
        seq
    };
    let ((), taken) = tokio::join!(checks, intake);
    assert!(taken > 260);
    assert_eq!(*world.fatal.lock().unwrap(), [""; 0], "a check ended the appliance");
}

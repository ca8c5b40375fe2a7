//! A process that is killed at any moment, and one whose disk is full: nothing acknowledged is lost, and the tree stays consistent.
#![allow(clippy::unwrap_used)]

mod common;

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use common::{Acknowledged, Chain, open, say};
use exhibit_power_loss::{Progress, Random};

/// Set for the child: the folder of the ledger that it appends to.
const CHILD_FOLDER: &str = "EXHIBIT_LEDGER_TEST_FOLDER";
/// How often `make test` kills; `SOAK_KILLS` says another number.
const KILLS: usize = 24;
/// So many kills hit one ledger, then the next one begins. All of it is verified after each: what a kill costs grows with what came before.
const KILLS_PER_LEDGER: usize = 24;
/// One kill in so many comes while the child starts, and the others while it appends.
const KILLS_PER_START_KILL: u64 = 4;
/// A child that is killed while it starts gets so many of its parent's turns at most.
const TURNS_MAX: u64 = 4000;
const CHAINS: usize = 6;

#[test]
fn what_was_acknowledged_before_a_kill_is_there_after_it() {
    if let Some(folder) = std::env::var_os(CHILD_FOLDER) {
        return append_until_killed(Path::new(&folder));
    }
    let kills = std::env::var("SOAK_KILLS").ok().and_then(|kills| kills.parse().ok()).unwrap_or(KILLS);
    let seed = std::env::var("EXHIBIT_SEED").ok().and_then(|seed| seed.parse().ok()).unwrap_or(1);
    let mut random = Random::new(seed);
    let (mut starts, mut entries) = (0, 0);
    let mut progress = Progress::new(kills, "kills");
    for first in (0..kills).step_by(KILLS_PER_LEDGER) {
        let folder = exhibit_power_loss::scratch();
        let mut acknowledged = Acknowledged::default();
        for kill in first..kills.min(first + KILLS_PER_LEDGER) {
            let mut child = spawn_self("what_was_acknowledged_before_a_kill_is_there_after_it", folder.path(), "");
            let before = acknowledged.leaves.len();
            // The first makes the ledger, so that there is something to be killed in.
            let is_start = kill > first && random.below(KILLS_PER_START_KILL) == 0;
            if is_start {
                wait_for_start(&mut child);
                (0..random.below(TURNS_MAX)).for_each(|_| std::thread::yield_now());
                starts += 1;
            } else {
                // While several chains are being appended to.
                read(&mut acknowledged, &mut child, 1 + random.below(200));
            }
            child.kill().unwrap();
            read(&mut acknowledged, &mut child, u64::MAX);
            child.wait().unwrap();
            assert!(is_start || acknowledged.leaves.len() > before, "EXHIBIT_SEED={seed}: kill {kill}: nothing was acknowledged");
            check(&acknowledged, folder.path());
            progress.at(kill + 1);
        }
        entries += acknowledged.leaves.len();
    }
    eprintln!("{kills} kills, {starts} of them while the ledger started; {entries} entries were acknowledged");
}

#[test]
fn a_write_that_fails_stops_the_writer_and_loses_nothing_acknowledged() {
    if let Some(folder) = std::env::var_os(CHILD_FOLDER) {
        return append_until_stopped(Path::new(&folder));
    }
    let folder = exhibit_power_loss::scratch();
    let mut acknowledged = Acknowledged::default();
    // The log of RocksDB reaches this limit on files (256 or 512 KiB, by shell) soon, and the write fails with EFBIG instead of a signal.
    let limit = "trap '' XFSZ; ulimit -f 512; ";
    let mut child = spawn_self("a_write_that_fails_stops_the_writer_and_loses_nothing_acknowledged", folder.path(), limit);
    read(&mut acknowledged, &mut child, u64::MAX);
    let status = child.wait().unwrap();
    assert!(status.success(), "the child met something else than a stopped writer: {status}");
    assert!(!acknowledged.leaves.is_empty());
    check(&acknowledged, folder.path());
}

/// Reads up to `lines` whole acknowledgements.
fn read(acknowledged: &mut Acknowledged, child: &mut Child, lines: u64) {
    let output = child.stdout.as_mut().unwrap();
    // One byte at a time, so that what is behind the last line stays in the pipe.
    let mut output = BufReader::with_capacity(1, output);
    let (before, mut line) = (acknowledged.lines, String::new());
    while acknowledged.lines - before < lines {
        line.clear();
        if output.read_line(&mut line).unwrap() == 0 {
            break;
        }
        // The last line may have been cut off.
        if line.ends_with('\n') {
            acknowledged.read_line(line.trim_end());
        }
    }
}

fn check(acknowledged: &Acknowledged, folder: &Path) {
    let ledger = open(folder);
    let leaves = acknowledged.check(&ledger, "after the kill");
    for number in 0..CHAINS {
        let chain = Chain::of(&ledger, &format!("chain/{number}"));
        let indexes: Vec<u64> = (0..chain.seq).map(|seq| ledger.place(&chain.stream, seq).unwrap().unwrap().index).collect();
        assert!(indexes.is_sorted());
        if let Some(last) = indexes.last() {
            assert_eq!(leaves[*last as usize], chain.prev, "the head of a chain is not its last entry");
        }
    }
}

/// This test binary again, running one test as the child, below a shell that first does `setup`.
fn spawn_self(test: &str, folder: &Path, setup: &str) -> Child {
    let mut command = Command::new("/bin/sh");
    command.arg("-c").arg(format!("{setup}exec \"$0\" \"$@\"")).arg(std::env::current_exe().unwrap());
    command.args([test, "--exact", "--nocapture"]).env(CHILD_FOLDER, folder);
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap()
}

/// Reads up to the line that a child says before it opens the ledger.
fn wait_for_start(child: &mut Child) {
    let mut output = BufReader::with_capacity(1, child.stdout.as_mut().unwrap());
    let mut line = String::new();
    while line.trim_end() != STARTING {
        line.clear();
        assert!(output.read_line(&mut line).unwrap() > 0, "the child did not start");
    }
}

const STARTING: &str = "starting";

fn append_until_killed(folder: &Path) {
    println!("\n{STARTING}");
    let ledger = open(folder);
    std::thread::scope(|scope| {
        for number in 0..CHAINS {
            let ledger = ledger.clone();
            scope.spawn(move || {
                let mut chain = Chain::of(&ledger, &format!("chain/{number}"));
                loop {
                    say(&ledger.append(chain.next(500)).unwrap());
                }
            });
        }
    });
}

fn append_until_stopped(folder: &Path) {
    let ledger = open(folder);
    let mut chain = Chain::of(&ledger, "chain/0");
    let error = loop {
        match ledger.append(chain.next(5000)) {
            Ok(admission) => say(&admission),
            Err(error) => break error,
        }
    };
    assert!(matches!(error, exhibit_ledger::LedgerError::Stopped(_)), "{error}");
    // It must not be tried again, whatever the disk does now.
    let again = Chain::new("another").next(10);
    assert!(matches!(ledger.append(again), Err(exhibit_ledger::LedgerError::Stopped(_))));
}

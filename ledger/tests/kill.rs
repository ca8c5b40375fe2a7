//! A process that is killed at any moment, and one whose disk is full: nothing acknowledged is lost, and the tree stays consistent.
#![allow(clippy::unwrap_used)]

mod common;

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use common::{Chain, check_consistent, open, verify_all};
use exhibit_tlog::{Checkpoint, Hash};

/// Set for the child: the folder of the ledger that it appends to.
const CHILD_FOLDER: &str = "EXHIBIT_LEDGER_TEST_FOLDER";
const KILLS: u32 = 10;
const CHAINS: usize = 6;

#[test]
fn what_was_acknowledged_before_a_kill_is_there_after_it() {
    if let Some(folder) = std::env::var_os(CHILD_FOLDER) {
        return append_until_killed(Path::new(&folder));
    }
    let folder = tempfile::tempdir().unwrap();
    let mut acknowledged = Acknowledged::default();
    // A small generator with a fixed seed: the number of acknowledgements to kill after, while several chains are being appended to.
    let mut random = 0x2545_f491_4f6c_dd1d_u64;
    for round in 0..KILLS {
        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        let mut child = spawn_self("what_was_acknowledged_before_a_kill_is_there_after_it", folder.path(), "");
        let before = acknowledged.leaves.len();
        acknowledged.read(&mut child, 1 + random % 200);
        child.kill().unwrap();
        acknowledged.read(&mut child, u64::MAX);
        child.wait().unwrap();
        assert!(acknowledged.leaves.len() > before, "round {round}: nothing was acknowledged");
        acknowledged.check(folder.path());
    }
}

#[test]
fn a_write_that_fails_stops_the_writer_and_loses_nothing_acknowledged() {
    if let Some(folder) = std::env::var_os(CHILD_FOLDER) {
        return append_until_stopped(Path::new(&folder));
    }
    let folder = tempfile::tempdir().unwrap();
    let mut acknowledged = Acknowledged::default();
    // The log of RocksDB reaches this limit on files (256 or 512 KiB, by shell) soon, and the write fails with EFBIG instead of a signal.
    let limit = "trap '' XFSZ; ulimit -f 512; ";
    let mut child = spawn_self("a_write_that_fails_stops_the_writer_and_loses_nothing_acknowledged", folder.path(), limit);
    acknowledged.read(&mut child, u64::MAX);
    let status = child.wait().unwrap();
    assert!(status.success(), "the child met something else than a stopped writer: {status}");
    assert!(!acknowledged.leaves.is_empty());
    acknowledged.check(folder.path());
}

/// What a child said before it ended.
#[derive(Default)]
struct Acknowledged {
    leaves: BTreeMap<u64, Hash>,
    heads: BTreeMap<u64, Hash>,
}

impl Acknowledged {
    /// Reads up to `lines` whole acknowledgements.
    fn read(&mut self, child: &mut Child, lines: u64) {
        let output = child.stdout.as_mut().unwrap();
        // One byte at a time, so that what is behind the last line stays in the pipe.
        let mut output = BufReader::with_capacity(1, output);
        let (mut read, mut line) = (0, String::new());
        while read < lines {
            line.clear();
            if output.read_line(&mut line).unwrap() == 0 {
                break;
            }
            let Some(text) = line.strip_prefix("acknowledged ").and_then(|text| text.strip_suffix('\n')) else {
                continue;
            };
            let fields: Vec<&str> = text.split(' ').collect();
            let [index, leaf, size, root] = fields[..] else { panic!("{text}") };
            let leaf = Hash::from_hex(leaf).unwrap();
            assert_eq!(*self.leaves.entry(index.parse().unwrap()).or_insert(leaf), leaf, "one place for two entries");
            let root = Hash::from_hex(root).unwrap();
            assert_eq!(*self.heads.entry(size.parse().unwrap()).or_insert(root), root, "two roots of one size: a fork");
            read += 1;
        }
    }

    fn check(&self, folder: &Path) {
        let ledger = open(folder);
        let leaves = verify_all(&ledger);
        for (index, leaf) in &self.leaves {
            assert_eq!(leaves.get(*index as usize), Some(leaf), "acknowledged entry {index} is lost");
        }
        let origin = common::ORIGIN.to_owned();
        let heads = self.heads.iter().map(|(size, root)| Checkpoint { origin: origin.clone(), size: *size, root: *root });
        let heads: Vec<Checkpoint> = heads.chain([ledger.checkpoint().unwrap().1]).collect();
        check_consistent(&ledger, &heads);
        for number in 0..CHAINS {
            let chain = Chain::of(&ledger, &format!("chain/{number}"));
            let indexes: Vec<u64> = (0..chain.seq).map(|seq| ledger.place(&chain.stream, seq).unwrap().unwrap().index).collect();
            assert!(indexes.is_sorted());
            if let Some(last) = indexes.last() {
                assert_eq!(leaves[*last as usize], chain.prev, "the head of a chain is not its last entry");
            }
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

fn append_until_killed(folder: &Path) {
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

/// One line in one write, so that a kill leaves whole lines.
fn say(admission: &exhibit_ledger::Admission) {
    let (place, head) = (&admission.place, &admission.head);
    let line = format!("\nacknowledged {} {} {} {}\n", place.index, place.leaf, head.size, head.root);
    std::io::stdout().lock().write_all(line.as_bytes()).unwrap();
}

//! The power goes at any moment: every image of the disk that a cut can leave opens, holds everything that was acknowledged before the cut,
//! and grows from there without a fork. A shim below RocksDB records what is written and synced (tests/power-loss).
//!
//! `SOAK_CUTS=100000` tries that many images instead of a few dozen; `EXHIBIT_SEED` chooses others.
#![allow(clippy::unwrap_used)]

mod common;

use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;

use common::{Acknowledged, Chain, say, sealed_options};
use exhibit_ledger::{Ledger, LedgerError};
use exhibit_power_loss::{Cut, Disk, Failure, Operation, Progress, Random, Shim, read_trace, scratch};

/// Set for the child: the folder of the ledger that it appends to, and what it does.
const CHILD_FOLDER: &str = "EXHIBIT_LEDGER_TEST_FOLDER";
const CHILD_ENDS: &str = "EXHIBIT_LEDGER_TEST_ENDS";
/// How many images `make test` opens.
const CUTS: usize = 60;
/// How many changes are made to fail in `make test`, of the several hundred.
const FAILURES: usize = 12;
const THIS_TEST: &str = "every_image_that_a_power_cut_leaves_holds_what_was_acknowledged";

#[test]
fn every_image_that_a_power_cut_leaves_holds_what_was_acknowledged() {
    if let Some(folder) = std::env::var_os(CHILD_FOLDER) {
        return work(Path::new(&folder));
    }
    let shim = Arc::new(Shim::compile());
    let wanted = soak("SOAK_CUTS").unwrap_or(CUTS);
    let (mut tried, mut progress) = (0, Progress::new(wanted, "images"));
    // Runs are recorded until there are images enough.
    for seed in seed().. {
        tried += cut(&Bench::new(&shim), seed, wanted - tried, |more| progress.at(tried + more));
        if tried >= wanted - wanted / 4 {
            break;
        }
    }
    eprintln!("{tried} images of what a power cut leaves");
}

/// Opens some images, about so many, of what three children did; gives how many.
fn cut(bench: &Bench, seed: u64, wanted: usize, mut tell: impl FnMut(usize)) -> usize {
    // A run that is killed, one that ends in order, and one that begins from what they left: starts replay and flush.
    let runs = [bench.run(Ends::Killed, None), bench.run(Ends::InOrder, None), bench.run(Ends::Killed, None)];
    let moments: usize = runs.iter().map(Vec::len).sum();
    let mut random = Random::new(seed);
    let chance = ((moments * CUT_KINDS) as u64 / wanted.max(1) as u64).max(1);
    let mut tried = 0;
    bench.replay(&runs, |moment, disk, acknowledged| {
        for kind in [Cut::Strict, Cut::NamesOnly, Cut::Everything, Cut::Torn(seed ^ moment as u64)] {
            if random.below(chance) == 0 {
                check(disk, kind, acknowledged, &format!("EXHIBIT_SEED={seed}: cut after operation {moment} of {moments}, {kind:?}"));
                tried += 1;
                tell(tried);
            }
        }
    });
    tried
}

#[test]
fn a_change_that_fails_below_rocksdb_loses_nothing_acknowledged_even_after_a_power_cut() {
    let shim = Arc::new(Shim::compile());
    let bench = Bench::new(&shim);
    let changes = bench.run(Ends::InOrder, None).iter().filter(|operation| is_change(operation)).count();
    let seed = seed();
    let mut random = Random::new(seed);
    let (failures, mut images) = (soak("SOAK_FAILURES").unwrap_or(FAILURES), 0);
    let mut progress = Progress::new(failures, "failures");
    for round in 0..failures {
        progress.at(round);
        let bench = Bench::new(&shim);
        let failure = Failure { number: random.below(changes as u64) as usize, is_done: round % 2 == 0 };
        // The one that meets the failure, and the next start: it sees in the page cache what the disk may not have.
        let runs = [bench.run(Ends::InOrder, Some(failure)), bench.run(Ends::Killed, None)];
        let (mut last, mut moment_of_last) = (0, 0);
        let total: usize = runs.iter().map(Vec::len).sum();
        bench.replay(&runs, |moment, disk, acknowledged| {
            // After each acknowledgement that follows the failure, and at the end.
            let due = acknowledged.leaves.len() > last && moment >= runs[0].len() && moment - moment_of_last > 40;
            if due || moment + 1 == total {
                (last, moment_of_last) = (acknowledged.leaves.len(), moment);
                check(disk, Cut::Strict, acknowledged, &format!("EXHIBIT_SEED={seed}: {failure:?}, cut after operation {moment}"));
                images += 1;
            }
        });
    }
    eprintln!("{failures} changes failed, of {changes}; {images} images");
}

/// What one image must hold, and how it goes on.
fn check(disk: &Disk, cut: Cut, acknowledged: &Acknowledged, what: &str) {
    let image = scratch();
    disk.write_image(cut, image.path());
    let folder = image.path().join("ledger");
    let ledger = Ledger::open(&folder, sealed_options(&image.path().join("seal"))).unwrap_or_else(|error| panic!("{what}: {error}"));
    acknowledged.check(&ledger, what);
    let mut chain = Chain::of(&ledger, "a");
    let head = ledger.append(chain.next(10)).unwrap_or_else(|error| panic!("{what}: it does not go on: {error}")).head;
    let ended = acknowledged.heads.last_key_value().map_or(0, |(size, _)| *size);
    assert!(head.size > ended, "{what}: a size was signed again");
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Ends {
    InOrder,
    Killed,
}

/// A folder that children work in one after the other.
struct Bench {
    shim: Arc<Shim>,
    folder: tempfile::TempDir,
}

impl Bench {
    fn new(shim: &Arc<Shim>) -> Self {
        Self { shim: shim.clone(), folder: scratch() }
    }

    /// What one child did.
    fn run(&self, ends: Ends, failure: Option<Failure>) -> Vec<Operation> {
        let (root, trace) = (self.folder.path().join("root"), self.folder.path().join("trace"));
        std::fs::create_dir_all(&root).unwrap();
        let _ = std::fs::remove_file(&trace);
        let mut command = Command::new(std::env::current_exe().unwrap());
        command.args([THIS_TEST, "--exact", "--nocapture"]).env(CHILD_FOLDER, root.join("ledger"));
        command.env(CHILD_ENDS, if ends == Ends::Killed { "killed" } else { "in order" });
        self.shim.preload(&mut command, &root, &trace, failure);
        let output = command.stdin(Stdio::null()).output().unwrap();
        let told = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(failure.is_some() || output.status.success() == (ends == Ends::InOrder), "{:?}: {told}", output.status);
        read_trace(&trace)
    }

    /// Calls `at` after every operation, with the disk and what was acknowledged by then.
    fn replay(&self, runs: &[Vec<Operation>], mut at: impl FnMut(usize, &Disk, &Acknowledged)) {
        let (mut disk, mut acknowledged, mut moment) = (Disk::default(), Acknowledged::default(), 0);
        for run in runs {
            disk.begin_process();
            for operation in run {
                disk.apply(operation);
                if let Operation::Output(bytes) = operation {
                    String::from_utf8_lossy(bytes).lines().for_each(|line| acknowledged.read_line(line));
                }
                at(moment, &disk, &acknowledged);
                moment += 1;
            }
        }
        assert!(!acknowledged.leaves.is_empty(), "nothing was acknowledged");
    }
}

/// In the child: single entries and groups, then the end.
fn work(folder: &Path) {
    let Ok(ledger) = Ledger::open(folder, sealed_options(&folder.with_file_name("seal"))) else {
        return println!("\nnot opened");
    };
    let mut chains = [Chain::of(&ledger, "a"), Chain::of(&ledger, "b")];
    for round in 0..6 {
        for chain in &mut chains {
            match ledger.append(chain.next(300)) {
                Ok(admission) => say(&admission),
                Err(error) => return assert!(matches!(error, LedgerError::Stopped(_)), "{error}"),
            }
        }
        // One that has many pages: 20 entries of 3 KB in few batches.
        if round == 3 {
            let group = common::append_all(&ledger, (0..20).map(|_| chains[0].next(3000)));
            group.iter().flatten().for_each(say);
        }
    }
    if std::env::var_os(CHILD_ENDS).is_some_and(|ends| ends == "killed") {
        std::process::abort();
    }
}

fn is_change(operation: &Operation) -> bool {
    !matches!(operation, Operation::Open { .. } | Operation::Close(_) | Operation::Output(_) | Operation::Mkdir(_))
}

fn seed() -> u64 {
    std::env::var("EXHIBIT_SEED").ok().and_then(|seed| seed.parse().ok()).unwrap_or(20_261_120)
}

fn soak(name: &str) -> Option<usize> {
    std::env::var(name).ok().and_then(|number| number.parse().ok())
}

/// Strict, names only, everything, torn.
const CUT_KINDS: usize = 4;

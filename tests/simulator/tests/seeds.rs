//! Every seed that ever failed, then new ones; what fails is printed as the literal list of operations, and its seed is kept in seeds.txt.
//!
//! `SOAK_SEEDS=10000` runs so many; `EXHIBIT_SEED=7` runs that one, and with both so many from there on.
#![allow(clippy::unwrap_used)]

use std::io::Write;
use std::path::Path;

use exhibit_power_loss::Progress;
use exhibit_simulator::{Operation, Summary, plan, run};

/// New seeds in `make test`.
const SEEDS: u64 = 12;
const OPERATIONS: usize = 60;
/// In so many seeds everything happens.
const SEEDS_FOR_EVERYTHING: usize = 200;

#[test]
fn no_seed_ever_loses_or_forks_anything() {
    let number = |name: &str| std::env::var(name).ok().map(|number| number.parse::<u64>().unwrap());
    let kept = std::fs::read_to_string(seeds_file()).unwrap();
    let kept = kept.lines().filter(|line| !line.starts_with('#')).map(|line| line.trim().parse().unwrap());
    let seeds: Vec<u64> = match (number("EXHIBIT_SEED"), number("SOAK_SEEDS")) {
        (Some(seed), count) => (seed..seed + count.unwrap_or(1)).collect(),
        (None, count) => kept.chain(1..=count.unwrap_or(SEEDS)).collect(),
    };
    let mut all = Summary::default();
    let mut progress = Progress::new(seeds.len(), "seeds");
    for (done, seed) in seeds.iter().enumerate() {
        progress.at(done);
        match run(&plan(*seed, OPERATIONS)) {
            Ok(summary) => all += summary,
            Err((operations, failure)) => {
                let mut file = std::fs::OpenOptions::new().append(true).open(seeds_file()).unwrap();
                writeln!(file, "{seed}").unwrap();
                panic!("EXHIBIT_SEED={seed}: {failure}\nThe operations:\n{operations:#?}");
            }
        }
    }
    eprintln!("{} seeds: {all:?}", seeds.len());
    if seeds.len() as u64 >= SEEDS {
        let Summary {
            acknowledged,
            broken,
            refused,
            restored,
            witnessed,
            mirrored,
            failed,
            forks,
            planned,
            lost,
            leapt,
            carried,
            restated,
        } = all;
        let often = [broken, witnessed, mirrored, failed, planned + lost, leapt, carried + restated].into_iter().min();
        assert!(acknowledged > 500 && often > Some(0), "little happened: {all:?}");
        // What happens seldom, the tests below make happen.
        let seldom = [refused, restored, forks, planned, lost, carried, restated].into_iter().min();
        assert!(seeds.len() < SEEDS_FOR_EVERYTHING || seldom > Some(0), "something never happened: {all:?}");
    }
}

#[test]
fn a_seed_gives_the_same_operations_again() {
    assert_eq!(plan(7, 50), plan(7, 50));
    assert_ne!(plan(7, 50), plan(8, 50));
}

/// One of each, in an order that matters: what a seed would have to find by luck.
#[test]
fn a_rollback_after_a_broken_write_and_a_restore_is_refused() {
    let operations = [
        Operation::Record { camera: 0, count: 5 },
        Operation::UploadAll,
        Operation::Backup,
        Operation::Copy,
        Operation::Record { camera: 1, count: 20 },
        Operation::BreakWrite { after: 4, is_done: true },
        Operation::UploadAll,
        Operation::Witness { party: 0 },
        Operation::UploadAll,
        Operation::Restart,
        Operation::RollBack,
        Operation::Witness { party: 0 },
        Operation::Mirror { party: 0 },
        Operation::Lose,
        Operation::Witness { party: 1 },
        Operation::RollBack,
        Operation::Fsck,
    ];
    let summary = run(&operations).unwrap();
    assert_eq!((summary.acknowledged, summary.broken, summary.refused, summary.restored), (25, 1, 2, 1));
}

/// A log that ends by plan, one that nobody has a copy of and one whose mirror has less than was given away; whatever happens on the way.
#[test]
fn nothing_acknowledged_is_lost_over_a_succession() {
    let grow = [
        Operation::Record { camera: 0, count: 9 },
        Operation::Record { camera: 2, count: 5 },
        Operation::UploadAll,
        Operation::Observe { client: 0 },
        Operation::Witness { party: 0 },
        Operation::State { person: 0 },
        Operation::State { person: 1 },
        Operation::Mirror { party: 0 },
        Operation::Record { camera: 2, count: 3 },
    ];
    for (after, is_done) in (0..8).flat_map(|after| [(after, false), (after, true)]) {
        let mut operations = grow.to_vec();
        operations.push(Operation::Record { camera: 0, count: 3 });
        operations.extend([Operation::BreakWrite { after, is_done }, Operation::Succeed]);
        operations.extend(grow);
        operations.extend([Operation::Upload { camera: 2 }, Operation::Lose]);
        operations.extend(grow);
        operations.push(Operation::Lose);
        operations.extend(grow);
        let summary = run(&operations).unwrap_or_else(|(operations, failure)| panic!("{failure}\n{operations:#?}"));
        assert_eq!((summary.planned, summary.lost, summary.restored, summary.refused), (1, 1, 1, 1));
        // By plan: two. Lost with the second log: two each of the first two logs, of which none had been carried into the one that was restored.
        assert_eq!((summary.carried, summary.restated), (2, 4));
        assert!(summary.leapt > 0, "no chain went on behind what only a log before has");
    }
}

/// A forger shows a witness another tree of the size that it knows, and larger ones, and the power goes.
#[test]
fn a_fork_is_never_cosigned() {
    let operations = [
        Operation::Record { camera: 0, count: 3 },
        Operation::UploadAll,
        Operation::Copy,
        Operation::Record { camera: 1, count: 3 },
        Operation::UploadAll,
        Operation::Witness { party: 0 },
        Operation::RestartParty { party: 0, after_power_cut: true },
        Operation::Fork { party: 0 },
        Operation::RestartParty { party: 0, after_power_cut: true },
        Operation::Fork { party: 0 },
        Operation::Witness { party: 0 },
    ];
    let summary = run(&operations).unwrap();
    assert_eq!((summary.forks, summary.witnessed), (2, 4), "it did not happen");
}

fn seeds_file() -> &'static Path {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/seeds.txt"))
}

//! Every seed that ever failed, then new ones; what fails is printed as the literal list of operations, and its seed is kept in seeds.txt.
//!
//! `SOAK_SEEDS=10000` runs so many; `EXHIBIT_SEED=7` runs that one.
#![allow(clippy::unwrap_used)]

use std::io::Write;
use std::path::Path;

use exhibit_simulator::{Operation, Summary, plan, run};

/// New seeds in `make test`.
const SEEDS: u64 = 12;
const OPERATIONS: usize = 60;

#[test]
fn no_seed_ever_loses_or_forks_anything() {
    let number = |name: &str| std::env::var(name).ok().map(|number| number.parse::<u64>().unwrap());
    let kept = std::fs::read_to_string(seeds_file()).unwrap();
    let kept = kept.lines().filter(|line| !line.starts_with('#')).map(|line| line.trim().parse().unwrap());
    let seeds: Vec<u64> = match number("EXHIBIT_SEED") {
        Some(seed) => vec![seed],
        None => kept.chain(1..=number("SOAK_SEEDS").unwrap_or(SEEDS)).collect(),
    };
    let mut all = Summary::default();
    for seed in &seeds {
        match run(&plan(*seed, OPERATIONS)) {
            Ok(summary) => {
                all.acknowledged += summary.acknowledged;
                all.broken += summary.broken;
                all.refused += summary.refused;
                all.restored += summary.restored;
                all.witnessed += summary.witnessed;
            }
            Err((operations, failure)) => {
                let mut file = std::fs::OpenOptions::new().append(true).open(seeds_file()).unwrap();
                writeln!(file, "{seed}").unwrap();
                panic!("EXHIBIT_SEED={seed}: {failure}\nThe operations:\n{operations:#?}");
            }
        }
    }
    eprintln!("{} seeds: {all:?}", seeds.len());
    if seeds.len() as u64 >= SEEDS {
        assert!(
            all.acknowledged > 500 && all.broken > 5 && all.refused > 0 && all.restored > 0 && all.witnessed > 10,
            "little happened: {all:?}"
        );
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
        Operation::Witness,
        Operation::UploadAll,
        Operation::Restart,
        Operation::RollBack,
        Operation::Restore,
        Operation::Witness,
        Operation::RollBack,
        Operation::Fsck,
    ];
    let summary = run(&operations).unwrap();
    assert_eq!((summary.acknowledged, summary.broken, summary.refused, summary.restored), (25, 1, 2, 1));
}

fn seeds_file() -> &'static Path {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/seeds.txt"))
}

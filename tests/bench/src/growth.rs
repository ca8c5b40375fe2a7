//! `ledger_growth`: how fast a ledger is when it has grown, against when it was small; its memory, and its start (`start`), besides.

use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use exhibit_ledger::{Candidate, Ledger};

use crate::entries::{Camera, Load, options};
use crate::figure::{Figure, median};
use crate::{Failure, Programs, start};

/// How far it grows unless `BENCH_ENTRIES` says otherwise: minutes, and four gigabytes of disk.
const ENTRIES: usize = 2_000_000;
/// Below this the last part of it would be no grown ledger.
const ENTRIES_MIN: usize = 500_000;
/// Memory is told at so many entries first, then at twice as many, and so on.
const TOLD: usize = 100_000;
/// Small: from the first to the second. Before it caches and buffers fill.
const SMALL: [usize; 2] = [50_000, 150_000];
/// So many small ledgers are measured, one half before the large one grows and one after: the machine may have changed meanwhile.
const SMALL_LEDGERS: usize = 6;
/// Grown: the last fifth of all entries, as one. It has merges of all sizes but the rarest, and those that are due at its end are waited for in
/// its time.
const GROWN_PART: usize = 5;
/// All merges have ended when none was seen to run so many times, with so long between.
const SETTLED_POLLS: usize = 20;
const SETTLE_POLL: Duration = Duration::from_millis(5);
const BASELINE: &str = "ledgers of 100 thousand entries";

pub fn run(programs: &Programs) -> Result<Vec<Figure>, Failure> {
    let entries = match std::env::var("BENCH_ENTRIES") {
        Ok(text) => text.parse().map_err(|_| format!("BENCH_ENTRIES is {text:?} and should be a number of entries"))?,
        Err(_) => ENTRIES,
    };
    if entries < ENTRIES_MIN {
        return Err(format!("BENCH_ENTRIES is {entries}: below {ENTRIES_MIN} nothing has grown").into());
    }
    let mut small_rates = Vec::new();
    for _ in 0..SMALL_LEDGERS / 2 {
        small_rates.push(small(programs)?);
    }
    let folder = programs.scratch()?;
    let grown = grow(folder.path(), entries)?;
    let start = start::after_kills(folder.path())?;
    drop(folder);
    for _ in 0..SMALL_LEDGERS / 2 {
        small_rates.push(small(programs)?);
    }
    eprintln!("ledger_growth: small ledgers: {small_rates:.0?} entries/s");
    Ok(vec![Figure::new("ledger_growth", grown, "entries/s", BASELINE, median(small_rates)), start])
}

/// The rate of a ledger when it is small. What it leaves to be merged is not in it.
fn small(programs: &Programs) -> Result<f64, Failure> {
    let folder = programs.scratch()?;
    let mut growing = Growing::new(Ledger::open(folder.path(), options()?)?);
    let [begin, end] = SMALL;
    let before = growing.to(begin)?;
    let after = growing.to(end)?;
    Ok((end - begin) as f64 / (after - before).as_secs_f64())
}

/// The rate of the last part.
fn grow(folder: &Path, entries: usize) -> Result<f64, Failure> {
    let ledger = Ledger::open(folder, options()?)?;
    let mut growing = Growing::new(ledger.clone());
    let begin = entries - entries / GROWN_PART;
    let mut told = TOLD;
    while told < begin {
        eprintln!("ledger_growth: {told} entries in {:.1} s, {} MiB", growing.to(told)?.as_secs_f64(), resident_mib()?);
        told *= 2;
    }
    let before = growing.to(begin)?;
    let last = growing.to(entries)? - before;
    let settling = Instant::now();
    let mut settled = 0;
    while settled < SETTLED_POLLS {
        settled = if ledger.is_settled()? { settled + 1 } else { 0 };
        std::thread::sleep(SETTLE_POLL);
    }
    let (settling, mib) = (settling.elapsed(), resident_mib()?);
    if let Some(file) = std::env::var_os("BENCH_STATISTICS") {
        fs::write(file, ledger.storage_statistics()?)?;
    }
    drop((growing, ledger));
    let start = Instant::now();
    let size = Ledger::open(folder, options()?)?.size();
    eprintln!(
        "ledger_growth: {} entries in {:.1} s, and {:.1} s for what was to be merged; {mib} MiB; \
         start at {size} in {:.3} s",
        entries - begin,
        last.as_secs_f64(),
        settling.as_secs_f64(),
        start.elapsed().as_secs_f64()
    );
    Ok((entries - begin) as f64 / (last + settling).as_secs_f64())
}

/// A ledger under full load.
struct Growing {
    ledger: Ledger,
    fleet: Box<dyn Iterator<Item = Candidate>>,
    entries: usize,
    begin: Instant,
}

impl Growing {
    fn new(ledger: Ledger) -> Self {
        Self { ledger, fleet: Box::new(Camera::fleet()), entries: 0, begin: Instant::now() }
    }

    /// Grows to so many entries; gives the time since the beginning. Entries are made on the way: while they were made beforehand, tables would be
    /// merged in time that nobody counts.
    fn to(&mut self, entries: usize) -> Result<Duration, Failure> {
        Load::new(self.ledger.clone()).all(self.fleet.by_ref().take(entries - self.entries))?;
        self.entries = entries;
        Ok(self.begin.elapsed())
    }
}

/// What this process has in memory, without files that are merely mapped.
fn resident_mib() -> Result<u64, Failure> {
    let status = fs::read_to_string("/proc/self/status")?;
    let line = status.lines().find_map(|line| line.strip_prefix("RssAnon:")).ok_or("the kernel tells no memory")?;
    Ok(line.trim().trim_end_matches("kB").trim().parse::<u64>()? / 1024)
}

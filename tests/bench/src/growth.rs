//! `ledger_growth`: how fast a ledger is when it has grown, against when it was small; its memory and its start besides.

use std::fs;
use std::time::Instant;

use exhibit_ledger::{Candidate, Ledger};

use crate::entries::{Camera, Load, options};
use crate::figure::{Figure, median};
use crate::{Failure, Programs};

/// How far it grows unless `BENCH_ENTRIES` says otherwise: minutes, and four gigabytes of disk.
const ENTRIES: usize = 2_000_000;
/// The rate is taken over so many entries at a time.
const WINDOW: usize = 50_000;
/// Small: the windows up to here, but for the first, in which caches and buffers fill.
const SMALL: usize = 150_000;
/// Grown: so many of the last windows.
const LAST_WINDOWS: usize = 5;
const BASELINE: &str = "the same ledger at 100 thousand entries";

pub fn run(programs: &Programs) -> Result<Vec<Figure>, Failure> {
    let entries = match std::env::var("BENCH_ENTRIES") {
        Ok(text) => text.parse().map_err(|_| format!("BENCH_ENTRIES is {text:?} and should be a number of entries"))?,
        Err(_) => ENTRIES,
    };
    let windows = entries / WINDOW;
    if windows < SMALL / WINDOW + LAST_WINDOWS {
        return Err(format!("BENCH_ENTRIES is {entries}: below {} nothing has grown", SMALL + LAST_WINDOWS * WINDOW).into());
    }
    let folder = programs.scratch()?;
    let ledger = Ledger::open(folder.path(), options()?)?;
    let mut fleet = Camera::fleet();
    let mut rates = Vec::with_capacity(windows);
    let mut small_mib = 0;
    for window in 1..=windows {
        let candidates: Vec<Candidate> = fleet.by_ref().take(WINDOW).collect();
        let start = Instant::now();
        Load::new(ledger.clone()).all(candidates)?;
        rates.push(WINDOW as f64 / start.elapsed().as_secs_f64());
        if window * WINDOW == SMALL {
            small_mib = resident_mib()?;
        }
        if window.is_power_of_two() || window == windows {
            eprintln!("ledger_growth: {} entries, {:.0} entries/s, {} MiB", window * WINDOW, rates[window - 1], resident_mib()?);
        }
    }
    let grown_mib = resident_mib()?;
    drop(ledger);
    let start = Instant::now();
    let size = Ledger::open(folder.path(), options()?)?.size();
    eprintln!(
        "ledger_growth: memory {small_mib} MiB at {SMALL} entries and {grown_mib} MiB at {size}, this program's candidates among them; start in {:.3} s",
        start.elapsed().as_secs_f64()
    );
    let (small, grown) = (median(rates[1..SMALL / WINDOW].to_vec()), median(rates[windows - LAST_WINDOWS..].to_vec()));
    Ok(vec![Figure::new("ledger_growth", grown, "entries/s", BASELINE, small)])
}

/// What this process has in memory, without files that are merely mapped.
fn resident_mib() -> Result<u64, Failure> {
    let status = fs::read_to_string("/proc/self/status")?;
    let line = status.lines().find_map(|line| line.strip_prefix("RssAnon:")).ok_or("the kernel tells no memory")?;
    Ok(line.trim().trim_end_matches("kB").trim().parse::<u64>()? / 1024)
}

//! `ledger_start`: how long a large ledger takes to start after a SIGKILL under full load, with a write-ahead log to be replayed.
//!
//! The page cache survives a kill, as it does when a service crashes; after a power cut the disk has to be read besides.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use exhibit_ledger::Ledger;

use crate::Failure;
use crate::entries::{Camera, Load, options};
use crate::figure::{Figure, median};

/// Set for the child: the folder of the ledger, and how many were killed before it.
pub const CHILD_FOLDER: &str = "EXHIBIT_BENCH_LEDGER_FOLDER";
const CHILD_NUMBER: &str = "EXHIBIT_BENCH_LEDGER_RESTARTS";
const KILLS: usize = 10;
/// The first is killed after so long under load, each other one after as much more: what is written and not flushed is a little, or as much as there
/// may be (256 MiB).
const LOAD_STEP: Duration = Duration::from_millis(400);
/// In seconds: what issue and page demand at ten million entries.
const START_MAX_S: f64 = 2.0;
const OPEN: &str = "open";

/// Kills children that append to the ledger in `folder`, and starts it after each. Nobody has it open.
pub fn after_kills(folder: &Path) -> Result<Figure, Failure> {
    let (mut times, mut size) = (Vec::new(), 0);
    for number in 1..=KILLS {
        let mut child = Command::new(std::env::current_exe()?);
        child.env(CHILD_FOLDER, folder).env(CHILD_NUMBER, number.to_string());
        let mut child = child.stdin(Stdio::null()).stdout(Stdio::piped()).spawn()?;
        let mut line = String::new();
        BufReader::new(child.stdout.take().ok_or("the child has an output")?).read_line(&mut line)?;
        if line.trim_end() == OPEN {
            std::thread::sleep(LOAD_STEP * u32::try_from(number)?);
        }
        child.kill()?;
        let ended = child.wait()?;
        if line.trim_end() != OPEN || ended.code().is_some() {
            return Err(format!("the child ended by itself: {ended}").into());
        }
        let start = Instant::now();
        let ledger = Ledger::open(folder, options()?)?;
        let seconds = start.elapsed().as_secs_f64();
        eprintln!("ledger_start: kill {number} of {KILLS}: {seconds:.3} s at {} entries", ledger.size());
        if ledger.size() <= size {
            return Err("nothing was written before the kill".into());
        }
        size = ledger.size();
        times.push(seconds);
    }
    let slowest = times.iter().copied().fold(0.0, f64::max);
    eprintln!("ledger_start: median {:.3} s, slowest {slowest:.3} s at {size} entries", median(times));
    Ok(Figure::new("ledger_start", slowest, "s", "the limit at ten million entries", START_MAX_S))
}

/// In the child: appends until it is killed.
pub fn append_until_killed(folder: &Path) -> Result<(), Failure> {
    let ledger = Ledger::open(folder, options()?)?;
    println!("{OPEN}");
    let restarts = std::env::var(CHILD_NUMBER)?.parse()?;
    Load::new(ledger).all(Camera::fleet_since(restarts))
}

//! Benchmarks: each figure against its baseline in the same run, a line of JSON on standard output; what people want to know on standard error.
//!
//! It does not know what is fast enough: docs/performance.md does.

mod bundle;
mod entries;
mod figure;
mod growth;
mod intake;
mod ledger;
mod noise;
mod receipts;
mod start;
mod verify;

use std::error::Error;
use std::path::PathBuf;
use std::process::ExitCode;

use figure::Figure;
use tempfile::TempDir;

/// Every benchmark and the names of its figures, in the order in which all of them run.
const BENCHMARKS: &[(&[&str], Benchmark)] = &[
    (&["intake", "intake_limit"], intake::run),
    (&["ledger", "receipt_p50_ms", "receipt_p99_ms"], ledger::run),
    (&["ledger_growth", "ledger_start"], growth::run),
    (&["verify", "verify_pure"], verify::run),
];

/// A benchmark: measures, and gives its figures.
type Benchmark = fn(&Programs) -> Result<Vec<Figure>, Failure>;

/// Whatever went wrong ends the run: half a benchmark is none.
type Failure = Box<dyn Error>;

/// The programs under test: those that were built along with this one.
struct Programs(PathBuf);

impl Programs {
    fn path(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }

    /// A folder on the disk that the programs lie on: the system's temporary one may be memory, where a sync costs nothing.
    fn scratch(&self) -> Result<TempDir, Failure> {
        Ok(tempfile::Builder::new().prefix("exhibit-bench-").tempdir_in(&self.0)?)
    }
}

/// With names of figures, the benchmarks that they are of; without, all.
fn main() -> ExitCode {
    if let Some(folder) = std::env::var_os(start::CHILD_FOLDER) {
        let ended = start::append_until_killed(folder.as_ref());
        eprintln!("bench: a child that was to be killed has ended: {ended:?}");
        return ExitCode::from(2);
    }
    let wanted: Vec<String> = std::env::args().skip(1).collect();
    let is_wanted = |names: &[&str]| wanted.is_empty() || names.iter().any(|name| wanted.iter().any(|wanted| wanted == name));
    let names: Vec<&str> = BENCHMARKS.iter().flat_map(|(names, _)| names.iter().copied()).collect();
    if let Some(unknown) = wanted.iter().find(|wanted| !names.contains(&wanted.as_str())) {
        eprintln!("There is no benchmark {unknown}: {}", names.join(", "));
        return ExitCode::from(64);
    }
    let outcome = programs().and_then(|programs| {
        BENCHMARKS.iter().filter(|(names, _)| is_wanted(names)).try_for_each(|(_, benchmark)| {
            benchmark(&programs)?.iter().for_each(Figure::print);
            Ok(())
        })
    });
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("bench: {error}");
            ExitCode::from(2)
        }
    }
}

fn programs() -> Result<Programs, Failure> {
    let own = std::env::current_exe()?;
    Ok(Programs(own.parent().ok_or("a program lies in a folder")?.to_owned()))
}

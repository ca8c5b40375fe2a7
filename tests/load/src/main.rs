//! `exhibit-load`: cameras under load, a line of JSON for each number of them on standard output; what people read is on standard error.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Parser, ValueEnum};
use exhibit_load::judge::{Judged, judge};
use exhibit_load::run::{Figures, Links, Plan, Site, Storm, run};
use serde_json::json;

/// Puts an appliance of its own under the load of virtual cameras, and judges all that they were promised.
#[derive(Parser)]
struct Arguments {
    /// Numbers of cameras: a run for each, with an installation of its own.
    #[arg(long, value_delimiter = ',', default_values_t = [10, 100, 500, 1000, 2000])]
    cameras: Vec<usize>,
    /// Of each camera.
    #[arg(long, default_value_t = 1_000_000)]
    bits_per_s: u64,
    /// How long they record.
    #[arg(long, default_value_t = 30)]
    seconds: u64,
    /// Of these, not counted: the longest segment, and a little more.
    #[arg(long, default_value_t = 8)]
    warm_up_s: u64,
    /// How they reach the appliance.
    #[arg(long, value_enum, default_value_t = Way::Direct)]
    links: Way,
    /// Cut all links so often (`--links good` or `mixed`), at even distances.
    #[arg(long, default_value_t = 0)]
    storms: usize,
    /// Then kill the appliance, and start it again.
    #[arg(long)]
    kill: bool,
    /// Of what is left to chance.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// The cameras' disks [default: memory where there is some, since each camera has its own disk in a city].
    #[arg(long)]
    spools: Option<PathBuf>,
    /// Run nothing after the figures: without the oracle, a run says nothing about what is right.
    #[arg(long)]
    unjudged: bool,
}

#[derive(Clone, Copy, ValueEnum)]
enum Way {
    /// Loopback.
    Direct,
    /// Relays that carry everything until they are cut.
    Good,
    /// Half of the links break, each in its way.
    Mixed,
    /// One link stalls in the middle of a segment.
    OneStalls,
}

/// Memory that looks like a disk.
const MEMORY: &str = "/dev/shm";

fn main() {
    let arguments = Arguments::parse();
    for cameras in &arguments.cameras {
        load(&arguments, *cameras);
    }
}

fn load(arguments: &Arguments, cameras: usize) {
    let own = std::env::current_exe().expect("a running program knows its file");
    // On the disk that the programs lie on: the system's temporary folder may be memory, where a sync costs nothing.
    let folder = tempfile::Builder::new().prefix("exhibit-load-").tempdir_in(own.parent().expect("a program lies in a folder"));
    let folder = folder.expect("a folder beside the programs can be made");
    let spools =
        arguments.spools.clone().unwrap_or_else(|| if PathBuf::from(MEMORY).is_dir() { MEMORY.into() } else { std::env::temp_dir() });
    let spools = tempfile::Builder::new().prefix("exhibit-spools-").tempdir_in(spools).expect("the cameras' disks can be written");
    let mut site = Site::open(folder.path(), cameras);
    let mut storms = vec![Storm::Links; arguments.storms];
    storms.extend(arguments.kill.then_some(Storm::Appliance));
    let plan = Plan {
        cameras,
        bits_per_s: arguments.bits_per_s,
        warm_up: Duration::from_secs(arguments.warm_up_s),
        length: Duration::from_secs(arguments.seconds),
        seed: arguments.seed,
        links: match arguments.links {
            Way::Direct => Links::Direct,
            Way::Good => Links::Good,
            Way::Mixed => Links::Mixed,
            Way::OneStalls => Links::OneStalls,
        },
        storms,
        spools: spools.path().to_owned(),
    };
    let outcome = run(&mut site, &plan);
    let figures = outcome.figures();
    tell(cameras, &figures);
    let judged = (!arguments.unjudged).then(|| judge(&mut site, &outcome));
    print(cameras, &figures, judged.as_ref());
}

fn tell(cameras: usize, figures: &Figures) {
    let Figures { latencies, .. } = figures;
    eprintln!(
        "load: {cameras} cameras: {:.1} of {:.1} MiB/s taken; latency {:.0} ms p50, {:.0} p99, {:.0} max, {} unanswered; p99 of the median camera \
         {:.0} ms, of the worst {:.0}; CPU for a MiB {:.2} ms appliance, {:.2} cameras ({:.2} and {:.2} cores); {:.0} MiB resident, {:.0} KiB more for \
         each connection; recovery {:.1?} s",
        figures.taken_mib_per_s,
        figures.offered_mib_per_s,
        latencies.percentile_ms(50.0),
        latencies.percentile_ms(99.0),
        latencies.max_ms(),
        figures.unanswered,
        figures.median_p99_ms,
        figures.worst_p99_ms,
        figures.appliance_ms_per_mib,
        figures.cameras_ms_per_mib,
        figures.appliance_cores,
        figures.cameras_cores,
        figures.resident_mib,
        figures.kib_per_connection,
        figures.recovery_s,
    );
}

fn print(cameras: usize, figures: &Figures, judged: Option<&Judged>) {
    let Figures { latencies, .. } = figures;
    let judged = judged.map(|judged| {
        json!({
            "entries": judged.oracle.entries, "sealed": judged.sealed, "acknowledged": judged.acknowledged, "on_ledger": judged.oracle.segments,
            "spooled": judged.spooled, "receipts": judged.oracle.receipts, "checked": judged.checked,
        })
    });
    let line = json!({
        "load": cameras, "offered_mib_per_s": figures.offered_mib_per_s, "taken_mib_per_s": figures.taken_mib_per_s,
        "segments": figures.segments, "unanswered": figures.unanswered,
        "p50_ms": latencies.percentile_ms(50.0), "p99_ms": latencies.percentile_ms(99.0), "max_ms": latencies.max_ms(),
        "median_camera_p99_ms": figures.median_p99_ms, "worst_camera_p99_ms": figures.worst_p99_ms,
        "appliance_cpu_ms_per_mib": figures.appliance_ms_per_mib, "cameras_cpu_ms_per_mib": figures.cameras_ms_per_mib,
        "appliance_cores": figures.appliance_cores, "cameras_cores": figures.cameras_cores,
        "resident_mib": figures.resident_mib, "kib_per_connection": figures.kib_per_connection,
        "recovery_s": figures.recovery_s, "judged": judged,
    });
    println!("{line}");
}

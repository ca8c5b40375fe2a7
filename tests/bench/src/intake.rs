//! `intake`: segments of 1 MiB that cameras upload, verified, chained, durable and receipted, against nginx that stores the same bytes unread.
//! `intake_limit`: the same against what the processor could do if all that it did were the stages of an upload, each measured alone.
//!
//! Both have the same client, the same connections, the same pre-signed bodies and the same disk. The appliance's clock stops with the last
//! receipt, which it gives for nothing that is not durable; nginx syncs nothing, so that its clock stops after `sync -f`.

mod fleet;
mod nginx;
mod sender;
mod stages;

use std::fs::{self, File};
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use bytes::Bytes;
use exhibit_e2e::world::World;
use exhibit_load::process::{Processors, cpu_seconds};
use tokio::runtime::Runtime;

use crate::figure::{Figure, median};
use crate::{Failure, Programs};
use fleet::{CameraLoad, Fleet};
use nginx::Nginx;
use sender::Sender;
use stages::Stages;

/// Cameras, each with a connection of its own that is kept alive.
const CONNECTIONS: usize = 8;
/// More of them, to see what one upload's waiting costs.
const CONNECTIONS_MAX: usize = 256;
/// Segments of a camera in a round: half a gigabyte in all, a second or two.
const SEGMENTS: usize = 64;
/// Both are measured so often, in turns; the median counts.
const ROUNDS: usize = 5;
const BASELINE: &str = "nginx: TLS 1.3 AES-256-GCM, client certificates, DAV PUT of the same bodies by the same client, then sync -f";

const BASELINE_LIMIT: &str = "cores / sum of CPU for a segment: client and server of TLS and HTTP, SHA-256, P-384, write and sync, ledger";

pub fn run(programs: &Programs) -> Result<Vec<Figure>, Failure> {
    let folder = programs.scratch()?;
    let world = World::start_in(folder.path());
    let runtime = Runtime::new()?;
    let connections = connections()?;
    let mut fleet = runtime.block_on(Fleet::enrol(&world, connections));
    let nginx = Nginx::start(&world, folder.path())?;
    let (mut ours, mut theirs, mut limits) = (Vec::new(), Vec::new(), Vec::new());
    let cores = std::thread::available_parallelism()?.get() as f64;
    for round in 0..=ROUNDS {
        let loads = runtime.block_on(fleet.sign(&world, SEGMENTS));
        let megabytes = loads.iter().map(CameraLoad::bytes).sum::<u64>() as f64 / 1e6;
        let nginx_took = runtime.block_on(store(&nginx, &loads, round))?;
        let appliance_before = cpu_seconds(world.appliance_id());
        let processors = Processors::now();
        let appliance_took = runtime.block_on(take_in(&world, &loads))?;
        let (idle, waiting) = Processors::now().since(&processors);
        let appliance_cpu = cpu_seconds(world.appliance_id()) - appliance_before;
        let aside = folder.path().join(format!("stages-{round}"));
        let stages = Stages::measure(&aside, &runtime, &world, &loads)?;
        [nginx.store(), &aside.join("files")].into_iter().try_for_each(empty)?;
        if round == 0 {
            // Files, memory and the processor's clock are cold: it does not count.
            continue;
        }
        let (rate, baseline) = (megabytes / appliance_took.as_secs_f64(), megabytes / nginx_took.as_secs_f64());
        let limit = megabytes * cores / stages.sum();
        let each = |seconds: f64| seconds * 1000.0 / (connections * SEGMENTS) as f64;
        eprintln!(
            "intake: round {round}: {rate:.0} MB/s; nginx {baseline:.0} MB/s; limit {limit:.0} MB/s by CPU ms for a segment: \
             transport {:.2}, hash {:.2}, verify {:.2}, write {:.2}, ledger {:.2}; the appliance took {:.2}; \
             the processors were idle for {:.0} %, and waited for the disk for {:.0} %",
            each(stages.transport),
            each(stages.hash),
            each(stages.verify),
            each(stages.write),
            each(stages.ledger),
            each(appliance_cpu),
            idle * 100.0,
            waiting * 100.0
        );
        ours.push(rate);
        theirs.push(baseline);
        limits.push(limit);
    }
    let rate = median(ours);
    Ok(vec![
        Figure::new("intake", rate, "MB/s", BASELINE, median(theirs)),
        Figure::new("intake_limit", rate, "MB/s", BASELINE_LIMIT, median(limits)),
    ])
}

/// As many as the figure is defined by, unless `BENCH_CONNECTIONS` says otherwise.
fn connections() -> Result<usize, Failure> {
    let Ok(text) = std::env::var("BENCH_CONNECTIONS") else { return Ok(CONNECTIONS) };
    let number = text.parse().ok().filter(|number| (1..=CONNECTIONS_MAX).contains(number));
    number.ok_or_else(|| format!("BENCH_CONNECTIONS is {text:?} and should be a number of connections up to {CONNECTIONS_MAX}").into())
}

/// How long the appliance takes, to the last receipt. They are verified when the clock has stopped: the client's work is the same for both.
async fn take_in(world: &World, loads: &[CameraLoad]) -> Result<Duration, Failure> {
    let (took, answers) = upload(world.address(), loads, |load, number| load.path(number)).await?;
    let anchor = world.anchor();
    for (load, answers) in loads.iter().zip(answers) {
        load.verify(&answers, &anchor.verifier)?;
    }
    Ok(took)
}

/// How long nginx takes, to the end of the sync.
async fn store(nginx: &Nginx, loads: &[CameraLoad], round: usize) -> Result<Duration, Failure> {
    let begun = Instant::now();
    upload(nginx.address(), loads, |load, number| format!("/{}/{round}-{number}", load.camera())).await?;
    sync(nginx.store())?;
    Ok(begun.elapsed())
}

/// Every camera sends what it has, one after the other, on a connection that was made before; all at the same time.
async fn upload(
    address: &str,
    loads: &[CameraLoad],
    path: impl Fn(&CameraLoad, usize) -> String,
) -> Result<(Duration, Vec<Vec<Bytes>>), Failure> {
    let mut ready = Vec::new();
    for load in loads {
        let requests: Vec<(String, Bytes)> =
            load.bodies().iter().enumerate().map(|(number, body)| (path(load, number), body.clone())).collect();
        ready.push((Sender::connect(address, load.tls()).await?, requests));
    }
    let begun = Instant::now();
    let uploads: Vec<_> = ready.into_iter().map(|(sender, requests)| tokio::spawn(sender.put_all(requests))).collect();
    let mut answers = Vec::new();
    for upload in uploads {
        answers.push(upload.await??);
    }
    Ok((begun.elapsed(), answers))
}

/// Gives the room of all files below a folder back. None is removed: ext4 passes by what was deleted lately when it makes new ones (for seconds,
/// one by one), and that would be counted.
fn empty(folder: &Path) -> Result<(), Failure> {
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        if path.is_dir() { empty(&path)? } else { File::create(path).map(drop)? }
    }
    Ok(())
}

/// Until what the file system of a folder was given is on its disk.
fn sync(folder: &Path) -> Result<(), Failure> {
    let status = Command::new("sync").arg("-f").arg(folder).status()?;
    if status.success() { Ok(()) } else { Err(format!("sync -f {}: {status}", folder.display()).into()) }
}

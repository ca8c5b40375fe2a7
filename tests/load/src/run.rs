//! One run: an installation, its cameras and their links, storms in the middle of it, and what it cost.
//!
//! It judges nothing: `judge` does.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use exhibit_e2e::seed::Dice;
use exhibit_e2e::world::{Person, World};
use tokio::runtime::{Builder, Runtime};
use tokio::sync::{mpsc, watch};
use tokio::time::{Instant, sleep, sleep_until, timeout};

use crate::camera::{Camera, Footage, Pixels, Recorded, Setup, Take};
use crate::enrol::{Enrolled, enrol, pin};
use crate::latency::Latencies;
use crate::link::{Counts, Link, Weather};
use crate::process::{cpu_seconds, own, resident_bytes};

/// The cameras connect one after the other, so that a run does not begin with a storm: a handshake takes some milliseconds of both sides.
const CONNECT_EACH: Duration = Duration::from_millis(8);
/// All of them have begun within this, also where a debug build shares its cores.
const BEGIN_MAX: Duration = Duration::from_secs(300);
/// After the end of the take, for a link that works and one that does not.
const DRAIN_MAX: Duration = Duration::from_secs(120);
const DRAIN_STALLED_MAX: Duration = Duration::from_secs(2);
/// Beside one blocking thread for each recorder: what is short.
const BLOCKING_THREADS_SPARE: usize = 64;
/// People and programs that connect beside the cameras.
const CONNECTIONS_SPARE: usize = 64;

/// An installation under load.
pub struct Site {
    /// The real programs.
    pub world: World,
    /// The only recipient.
    pub custodian: Person,
    /// Who may read the log.
    pub auditor: Person,
}

impl Site {
    /// Below a folder, for at most so many cameras.
    pub fn open(parent: &Path, cameras_max: usize) -> Self {
        let world = World::start_below(parent, |state| {
            let path = state.join("appliance.toml");
            let config = std::fs::read_to_string(&path).expect("init wrote a configuration");
            let (key, connections) = ("connections_max = ", cameras_max + CONNECTIONS_SPARE);
            let others = config.lines().filter(|line| !line.starts_with(key)).map(|line| format!("{line}\n"));
            // All cameras share the address of loopback, and cut handshakes are what a storm is.
            let limits = format!(
                "[limits]\nhandshakes = {connections}\nnetwork_handshakes = {connections}\nnetwork_handshakes_per_s = {connections}\n\
                 [bans]\nattempts = 0\n"
            );
            let config = std::iter::once(format!("{key}{connections}\n")).chain(others).chain([limits]).collect::<String>();
            std::fs::write(&path, config).expect("the folder can be written");
        });
        let (custodian, auditor) = (world.person("custodian", "custodian"), world.person("auditor", "auditor"));
        Self { world, custodian, auditor }
    }
}

/// How the cameras reach the appliance.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Links {
    /// By nothing but loopback.
    Direct,
    /// By links that can be cut all at once.
    Good,
    /// By links of each kind.
    Mixed,
    /// All but one directly; that one stalls.
    OneStalls,
}

/// What happens to all cameras at the same moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Storm {
    /// Every link is cut.
    Links,
    /// The appliance is killed, and started again.
    Appliance,
}

/// What is to be run.
#[derive(Clone, Debug)]
pub struct Plan {
    /// How many cameras.
    pub cameras: usize,
    /// Of each.
    pub bits_per_s: u64,
    /// From when the cameras begin to record until figures are taken: to the first segments' end and a little more.
    pub warm_up: Duration,
    /// How long they record, that included.
    pub length: Duration,
    /// Of what is left to chance: segments' lengths, and when links break.
    pub seed: u64,
    /// How they reach the appliance.
    pub links: Links,
    /// At even distances.
    pub storms: Vec<Storm>,
    /// The cameras' disks: of memory, unless it is their disk that is measured.
    pub spools: PathBuf,
}

/// What was measured while the cameras recorded, without the time in which all began.
#[derive(Clone, Copy, Debug)]
pub struct Usage {
    /// The window.
    pub from: Instant,
    /// Its end.
    pub to: Instant,
    /// Of the appliance's process.
    pub appliance_cpu_s: f64,
    /// Of this process: cameras and links.
    pub cameras_cpu_s: f64,
    /// Resident memory of the appliance, before any camera connected.
    pub resident_before_bytes: u64,
    /// The same at the end.
    pub resident_bytes: u64,
}

/// What became of a run.
pub struct Outcome {
    /// The cameras, in their order.
    pub cameras: Vec<Camera>,
    /// The link of each.
    pub weathers: Vec<Weather>,
    /// What it cost.
    pub usage: Usage,
    /// What the links did.
    pub counts: Arc<Counts>,
    /// When storms came.
    pub storms: Vec<Instant>,
    /// When all cameras had ended.
    pub ended: Instant,
}

/// Runs it, to the end of the last camera. Blocks; of a runtime's own threads none may call it.
///
/// # Panics
/// If anything that has nothing to do with load goes wrong.
pub fn run(site: &mut Site, plan: &Plan) -> Outcome {
    let threads = plan.cameras + BLOCKING_THREADS_SPARE;
    let runtime = Builder::new_multi_thread().enable_all().max_blocking_threads(threads).build().expect("the system gives threads");
    let enrolled = runtime.block_on(enrol(&site.world, &site.custodian, plan.cameras));
    let resident_before_bytes = resident_bytes(site.world.appliance_id());
    let counts = Arc::new(Counts::default());
    let (links, weathers) = runtime.block_on(open_links(site.world.address(), plan, &counts));
    let (takes, _) = watch::channel(None);
    let running = runtime.block_on(begin(site, plan, enrolled, &links, &weathers, &takes));
    let take = Take { begin: Instant::now(), length: plan.length };
    takes.send_replace(Some(take));
    let (from, storms) = (take.begin + plan.warm_up, storm_times(plan, take));
    runtime.block_on(async { sleep_until(from).await });
    let own_before = cpu_seconds(own());
    let mut appliance_before = cpu_seconds(site.world.appliance_id());
    let mut appliance_cpu_s = 0.0;
    for (storm, at) in plan.storms.iter().zip(&storms) {
        runtime.block_on(async { sleep_until(*at).await });
        match storm {
            Storm::Links => links.iter().for_each(Link::cut_all),
            Storm::Appliance => {
                appliance_cpu_s += cpu_seconds(site.world.appliance_id()) - appliance_before;
                site.world.kill_appliance();
                site.world.start_appliance();
                appliance_before = 0.0;
            }
        }
    }
    runtime.block_on(async { sleep_until(take.end()).await });
    let usage = Usage {
        from,
        // What is due at the very end, when all cameras close their last segment at once, is no measure of anything.
        to: take.end(),
        appliance_cpu_s: appliance_cpu_s + cpu_seconds(site.world.appliance_id()) - appliance_before,
        cameras_cpu_s: cpu_seconds(own()) - own_before,
        resident_before_bytes,
        resident_bytes: resident_bytes(site.world.appliance_id()),
    };
    let cameras = runtime.block_on(end(running));
    Outcome { cameras, weathers, usage, counts, storms, ended: Instant::now() }
}

fn storm_times(plan: &Plan, take: Take) -> Vec<Instant> {
    let each = (plan.length - plan.warm_up) / u32::try_from(plan.storms.len() + 1).expect("storms are few");
    (1..).zip(&plan.storms).map(|(number, _)| take.begin + plan.warm_up + each * number).collect()
}

/// The links, and which of them is each camera's.
async fn open_links(appliance: &str, plan: &Plan, counts: &Arc<Counts>) -> (Vec<Link>, Vec<Weather>) {
    let weathers: Vec<Weather> = (0..plan.cameras)
        .map(|number| match plan.links {
            Links::Direct | Links::Good => Weather::Good,
            Links::Mixed => Weather::MIXED[number % Weather::MIXED.len()],
            Links::OneStalls if number + 1 == plan.cameras => Weather::Stalling,
            Links::OneStalls => Weather::Good,
        })
        .collect();
    let mut links = Vec::new();
    for (weather, seed) in weathers.iter().zip(plan.seed..) {
        if plan.links == Links::Direct || (plan.links == Links::OneStalls && *weather == Weather::Good) {
            continue;
        }
        links.push(Link::open(appliance, *weather, Dice::of(seed), Arc::clone(counts)).await.expect("there are ports"));
    }
    (links, weathers)
}

type Running = Vec<tokio::task::JoinHandle<Camera>>;

/// Starts every camera, and waits until each has begun its epoch.
async fn begin(
    site: &Site,
    plan: &Plan,
    enrolled: Vec<Enrolled>,
    links: &[Link],
    weathers: &[Weather],
    takes: &watch::Sender<Option<Take>>,
) -> Running {
    let (pixels, pin) = (Pixels::draw(), pin(&site.world, &site.custodian));
    let (begun, mut have_begun) = mpsc::unbounded_channel();
    let mut dice = Dice::of(plan.seed);
    // Where only one camera has a link, it is the last.
    let mut links = links.iter().rev();
    let mut running = Vec::new();
    for (enrolled, weather) in enrolled.into_iter().zip(weathers).rev() {
        let link = links.next().map_or(site.world.address(), Link::address).to_owned();
        let name = enrolled.subject.to_string().replace('/', "-");
        let setup = Setup {
            pin: pin.clone(),
            address: link,
            state: plan.spools.join(name),
            footage: Footage::draw(&mut dice, plan.bits_per_s / 8),
            drain_max: if *weather == Weather::Stalling { DRAIN_STALLED_MAX } else { DRAIN_MAX },
            enrolled,
        };
        running.push(tokio::spawn(Camera::run(setup, pixels.clone(), begun.clone(), takes.subscribe())));
        sleep(CONNECT_EACH).await;
    }
    running.reverse();
    let all = timeout(BEGIN_MAX, async {
        for _ in 0..plan.cameras {
            have_begun.recv().await.expect("a camera does not end before it has begun");
        }
    });
    all.await.unwrap_or_else(|_| panic!("not all of {} cameras have begun after {} s", plan.cameras, BEGIN_MAX.as_secs()));
    running
}

async fn end(running: Running) -> Vec<Camera> {
    let mut cameras = Vec::new();
    for camera in running {
        cameras.push(camera.await.expect("a camera does not panic"));
    }
    cameras
}

/// What a run says of cameras whose links carry everything: of the others' links, the appliance can do nothing.
#[derive(Clone, Debug)]
pub struct Figures {
    /// Cameras with good links.
    pub cameras: usize,
    /// Segments that were due in the window.
    pub segments: u64,
    /// Those of them that nobody had acknowledged when all had ended: they count with their age then.
    pub unanswered: u64,
    /// What came to be due in the window.
    pub offered_mib_per_s: f64,
    /// What was acknowledged in it.
    pub taken_mib_per_s: f64,
    /// From due to acknowledged.
    pub latencies: Latencies,
    /// The 99th percentile of the camera in the middle, in milliseconds.
    pub median_p99_ms: f64,
    /// That of the worst.
    pub worst_p99_ms: f64,
    /// Of the appliance, in milliseconds for each MiB that it acknowledged.
    pub appliance_ms_per_mib: f64,
    /// Of all cameras and links, for the same.
    pub cameras_ms_per_mib: f64,
    /// Cores that the appliance took.
    pub appliance_cores: f64,
    /// Cores that cameras and links took.
    pub cameras_cores: f64,
    /// Resident memory that the appliance has beyond what it had without cameras, for each of them.
    pub kib_per_connection: f64,
    /// Its resident memory.
    pub resident_mib: f64,
    /// From a storm until each camera had something new acknowledged, at most. Whoever never had counts until all had ended.
    pub recovery_s: Vec<f64>,
}

const MIB: f64 = (1 << 20) as f64;

impl Outcome {
    /// What it says.
    pub fn figures(&self) -> Figures {
        let good: Vec<&Camera> =
            self.cameras.iter().zip(&self.weathers).filter(|(_, weather)| **weather == Weather::Good).map(|(camera, _)| camera).collect();
        let Usage { from, to, .. } = self.usage;
        let seconds = (to - from).as_secs_f64();
        let within = |moment: Instant| from <= moment && moment < to;
        let all = || self.cameras.iter().flat_map(|camera| camera.segments.values());
        let mib = |segments: &mut dyn Iterator<Item = &Recorded>| segments.map(|segment| segment.bytes).sum::<u64>() as f64 / MIB;
        let offered = mib(&mut all().filter(|segment| within(segment.due)));
        let taken = mib(&mut all().filter(|segment| segment.acknowledged.is_some_and(within)));
        let (mut latencies, mut p99s, mut unanswered) = (Latencies::default(), Vec::new(), 0);
        for camera in &good {
            let mut own = Latencies::default();
            for segment in camera.segments.values().filter(|segment| within(segment.due)) {
                unanswered += u64::from(segment.acknowledged.is_none());
                own.record(segment.acknowledged.unwrap_or(self.ended) - segment.due);
            }
            latencies.add(&own);
            p99s.push(own.percentile_ms(99.0));
        }
        p99s.sort_by(f64::total_cmp);
        let grown = self.usage.resident_bytes.saturating_sub(self.usage.resident_before_bytes);
        Figures {
            cameras: good.len(),
            segments: latencies.count(),
            unanswered,
            offered_mib_per_s: offered / seconds,
            taken_mib_per_s: taken / seconds,
            median_p99_ms: p99s.get(p99s.len() / 2).copied().unwrap_or_default(),
            worst_p99_ms: p99s.last().copied().unwrap_or_default(),
            latencies,
            appliance_ms_per_mib: self.usage.appliance_cpu_s * 1000.0 / taken,
            cameras_ms_per_mib: self.usage.cameras_cpu_s * 1000.0 / taken,
            appliance_cores: self.usage.appliance_cpu_s / seconds,
            cameras_cores: self.usage.cameras_cpu_s / seconds,
            kib_per_connection: grown as f64 / 1024.0 / self.cameras.len() as f64,
            resident_mib: self.usage.resident_bytes as f64 / MIB,
            recovery_s: self.storms.iter().map(|storm| recovery(&good, *storm, self.ended).as_secs_f64()).collect(),
        }
    }
}

fn recovery(cameras: &[&Camera], storm: Instant, ended: Instant) -> Duration {
    let first = |camera: &&Camera| {
        let new = camera.segments.values().filter(|segment| segment.due > storm);
        new.filter_map(|segment| segment.acknowledged).min().unwrap_or(ended).saturating_duration_since(storm)
    };
    cameras.iter().map(first).max().unwrap_or_default()
}

/// A runtime for what is asked beside a run.
pub fn runtime() -> Runtime {
    Builder::new_multi_thread().enable_all().build().expect("the system gives threads")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_camera_that_never_came_back_is_not_left_out_of_the_time_that_all_took() {
        let storm = Instant::now();
        let at = |seconds| storm + Duration::from_secs(seconds);
        let camera = |segments: &[(u64, Option<u64>)]| {
            let mut camera = Camera::made_up("camera/1");
            for (number, (due, acknowledged)) in (0..).zip(segments) {
                let segment = Recorded { due: at(*due), bytes: 1, acknowledged: acknowledged.map(at) };
                camera.segments.insert(("camera/1/main/1".to_owned(), number), segment);
            }
            camera
        };
        let (back, never) = (camera(&[(1, Some(3)), (2, Some(4))]), camera(&[(0, Some(0)), (2, None)]));
        assert_eq!(recovery(&[&back], storm, at(60)).as_secs(), 3);
        assert_eq!(recovery(&[&back, &never], storm, at(60)).as_secs(), 60);
    }
}

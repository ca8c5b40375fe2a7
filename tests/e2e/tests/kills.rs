//! Nothing that was acknowledged is lost, nothing stands twice, whoever is killed and whenever.
#![allow(clippy::unwrap_used)]

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::Duration,
};

use exhibit_client::ClientError;

use exhibit_e2e::{
    agent::{AgentCamera, END_MAX, EVENT_MAX, Told, event},
    camera::SoftwareCamera,
    oracle::{self, Case, Report},
    process::Running,
    seed::Dice,
    world::{Person, World},
};
use exhibit_evidence::{Body, Head};
use tokio::{sync::watch, task::JoinHandle, time::timeout};

/// So often each is killed.
const KILLS: usize = 20;
/// The moment of the kill lies within so long of a sign of life: several uploads.
const KILL_WITHIN: Duration = Duration::from_millis(400);
/// A moving test picture without end, as fast as it can be encoded: there is always something on its way.
const SOURCE: (&str, &[&str]) = ("test:", &["--no-live-speed"]);

/// What keeps the intake busy at every moment, besides the agent: a segment of so many bytes after the other.
const PRESSED_BYTES: usize = 96 * 1024;
/// So many of them share a slot.
const PRESSED_PER_SLOT: u32 = 16;

/// An installation with one camera, whose recipient is the custodian.
struct Installation {
    world: World,
    custodian: Person,
    auditor: Person,
    camera: AgentCamera,
}

impl Installation {
    fn make() -> Self {
        let (world, custodian, auditor, camera) = AgentCamera::installed();
        Self { world, custodian, auditor, camera }
    }

    /// The head of the log, verified.
    async fn head(&self) -> Head {
        let head = self.auditor.connect(&self.world).checkpoint(None).await.unwrap();
        Head { size: head.size, root: head.root }
    }

    async fn judge(&self, told: &[Told], remembered: &[Head]) -> Report {
        let Self { world, custodian, auditor, camera } = self;
        let report = oracle::judge(&Case { world, auditor, custodian, cameras: &[camera], told, remembered }).await;
        eprintln!("{report:?}");
        assert_eq!(report.unsent, 0, "something was not uploaded after all");
        assert_eq!(report.contradictions, 0, "the camera was convicted of saying two things");
        assert!(report.receipts + told.len() as u64 > report.segments, "every statement of a camera has its receipt: {report:?}");
        assert!(report.segments >= KILLS as u64, "there was hardly anything to lose: {report:?}");
        report
    }
}

/// A second camera, that sends one segment after the other without a pause, so that every kill comes in mid-intake.
struct Presser {
    stop: Arc<AtomicBool>,
    task: JoinHandle<Vec<Told>>,
}

impl Presser {
    /// `restarts` changes when an appliance that was killed serves again.
    async fn start(made: &Installation, mut restarts: watch::Receiver<usize>) -> Self {
        let recipients = made.world.set_recipients(&made.custodian, "camera/103");
        let mut camera = SoftwareCamera::enrol(&made.world, "103");
        let mut link = camera.connect(&made.world);
        camera.begin(&mut link, recipients, &[made.custodian.wrapping().0]).await;
        let stop = Arc::new(AtomicBool::new(false));
        let asked = Arc::clone(&stop);
        let task = tokio::spawn(async move {
            let mut told = Vec::new();
            let picture = vec![0x5a; PRESSED_BYTES / 2];
            for number in 0.. {
                if asked.load(Ordering::Relaxed) {
                    break;
                }
                let (segment, ciphertext) = camera.segment(number / PRESSED_PER_SLOT, &[&picture, &picture]);
                // Signed once: what is sent again is the same.
                let signed = camera.sign(&camera.statement(Body::Segment(segment)));
                let receipt = loop {
                    restarts.mark_unchanged();
                    match camera.send(&mut link, &signed, &[], &ciphertext).await {
                        Ok(receipt) => break receipt,
                        Err(ClientError::Unreachable { .. }) => {
                            timeout(END_MAX, restarts.changed()).await.expect("it could not be reached, and was not killed").unwrap();
                        }
                        Err(other) => panic!("an appliance that was killed says something else than before: {other}"),
                    }
                };
                let statement = signed.statement();
                told.push(Told { stream: statement.stream.to_string(), seq: statement.seq, index: receipt.index });
                camera.took(&signed, &receipt);
            }
            told
        });
        Self { stop, task }
    }

    /// What it was told to be on the ledger.
    async fn finish(self) -> Vec<Told> {
        self.stop.store(true, Ordering::Relaxed);
        timeout(END_MAX, self.task).await.unwrap().unwrap()
    }
}

/// Waits until something that came after `size` entries is on the ledger, and not the first of its stream.
#[track_caller]
fn wait_beyond(agent: &mut Running, size: u64, seq: u64) {
    let acknowledged = event("acknowledged");
    let wanted = |event: &serde_json::Value| event["index"].as_u64() >= Some(size) && event["seq"].as_u64() >= Some(seq);
    agent.wait_for("acknowledgement", EVENT_MAX, |line| acknowledged(line).filter(wanted));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_appliance_that_is_killed_keeps_what_it_acknowledged() {
    let mut dice = Dice::new("an_appliance_that_is_killed_keeps_what_it_acknowledged");
    let mut made = Installation::make();
    let mut remembered = vec![made.head().await];
    let (serves_again, restarts) = watch::channel(0);
    let presser = Presser::start(&made, restarts).await;
    let mut agent = made.camera.start(&made.world, SOURCE.0, SOURCE.1);
    for number in 1..=KILLS {
        wait_beyond(&mut agent, remembered[remembered.len() - 1].size, 1);
        // This is the moment of the kill, drawn by lot, and not a wait for anything.
        thread::sleep(dice.while_below(KILL_WITHIN));
        made.world.kill_appliance();
        made.world.start_appliance();
        remembered.push(made.head().await);
        serves_again.send(number).unwrap();
    }
    wait_beyond(&mut agent, remembered[KILLS].size, 1);
    let told = presser.finish().await;
    agent.ask_to_end();
    let ended = agent.wait_for("end", END_MAX, event("ended"));
    assert_eq!((ended["unsent"].as_u64(), ended["findings"].as_u64()), (Some(0), Some(0)), "{ended}");
    assert_eq!(agent.wait_exit(END_MAX).code(), Some(0));
    let sizes: Vec<u64> = remembered.iter().map(|head| head.size).collect();
    assert!(sizes.is_sorted(), "the log shrank: {sizes:?}");
    let report = made.judge(&told, &remembered).await;
    assert!(report.segments > 10 * KILLS as u64, "the intake was hardly busy: {report:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_agent_that_is_killed_keeps_what_it_has_sealed() {
    let mut dice = Dice::new("an_agent_that_is_killed_keeps_what_it_has_sealed");
    let made = Installation::make();
    let mut remembered = vec![made.head().await];
    for _ in 0..KILLS {
        let mut agent = made.camera.start(&made.world, SOURCE.0, SOURCE.1);
        // Its epoch is on the ledger, and some of its segments.
        wait_beyond(&mut agent, remembered[remembered.len() - 1].size, 1 + dice.below(4));
        // As above.
        thread::sleep(dice.while_below(KILL_WITHIN));
        agent.kill();
        remembered.push(made.head().await);
    }
    // The last start sends what all before it have left behind.
    let last = made.camera.record(&made.world, "test:40", SOURCE.1);
    assert_eq!((last.ended("unsent"), last.ended("findings")), (0, 0), "{:?}", last.of("finding"));
    let report = made.judge(&[], &remembered).await;
    assert!(report.streams > KILLS as u64, "each start began an epoch: {report:?}");
}

//! Collects cosignatures: all witnesses at once are asked for the same checkpoint, the newest at the time, until enough have cosigned it.
//!
//! A witness need not see every checkpoint: entries below a witnessed one are final with it. It writes nothing on the ledger.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use exhibit_tlog::note::NOTE_SIZE_BYTES_MAX;
use exhibit_tlog::witness::parse_conflict;
use exhibit_tlog::{AddCheckpoint, Checkpoint, VerifierKey};
use tokio::sync::{Notify, watch};
use tokio::task::{JoinHandle, spawn_blocking};
use tokio::time::{Instant, sleep};

use super::WitnessState;
use super::peer::Peer;
use crate::appliance::Appliance;

/// How often the log is looked at for growth: what a final receipt waits for at most before anybody is asked.
const LOOK: Duration = Duration::from_millis(100);
/// So long one checkpoint is asked for while the quorum is not reached and the log grows on: the slowest link that is worth waiting for.
const ROUND_MAX: Duration = Duration::from_secs(20);
/// The first wait after a failure; it doubles.
const BACK_OFF_FIRST: Duration = Duration::from_millis(500);
/// A witness that is back is asked within a minute.
const BACK_OFF_MAX: Duration = Duration::from_secs(60);
/// A conflict tells the size to ask from; a witness that others feed too may have moved once more.
const CONFLICTS_MAX: usize = 3;

/// What is asked for.
struct Target {
    note: Arc<str>,
    head: Checkpoint,
    began: Instant,
}

type Targets = watch::Receiver<Option<Arc<Target>>>;

/// What came of asking.
enum Outcome {
    Cosigned(String),
    /// It has seen more than the target, and no more than there is.
    Ahead,
    Failed(WitnessState, String),
}

/// Collects until `draining` says so. Nothing is begun where no witness has an address.
pub fn start(appliance: &Arc<Appliance>, roots: &Path, draining: &watch::Receiver<bool>) -> Vec<JoinHandle<()>> {
    let Some(policy) = &appliance.witnessing.policy else { return Vec::new() };
    let (targets, _) = watch::channel(None);
    let newer = Arc::new(Notify::new());
    let mut running = Vec::new();
    let standings = appliance.witnessing.state().standings.clone();
    for (number, standing) in standings.into_iter().enumerate() {
        let Some(url) = standing.url else { continue };
        let keys = policy.witnesses().iter().filter(|witness| standing.names.contains(&witness.name));
        let keys: Vec<VerifierKey> = keys.map(|witness| witness.key.clone()).collect();
        match Peer::new(&url, roots) {
            Err(reason) => stand(appliance, number, None, WitnessState::Unreachable, reason),
            Ok(peer) => {
                let attendant = Attendant { appliance: appliance.clone(), number, peer, keys, size: None, newer: newer.clone() };
                running.push(until(draining.clone(), attendant.attend(targets.subscribe())));
            }
        }
    }
    if !running.is_empty() {
        running.push(until(draining.clone(), choose(appliance.clone(), targets, newer)));
    }
    running
}

/// Nothing that is under way here has to be finished.
fn until(mut draining: watch::Receiver<bool>, work: impl Future<Output = ()> + Send + 'static) -> JoinHandle<()> {
    tokio::spawn(async move {
        tokio::select! {
            _ = draining.wait_for(|draining| *draining) => {}
            () = work => {}
        }
    })
}

/// Chooses what is asked for: the newest checkpoint, whenever the one before is witnessed or has had its time.
async fn choose(appliance: Arc<Appliance>, targets: watch::Sender<Option<Arc<Target>>>, newer: Arc<Notify>) {
    loop {
        let pressed = tokio::select! {
            () = sleep(LOOK) => false,
            () = newer.notified() => true,
        };
        let Some((note, head)) = appliance.ledger.checkpoint() else { continue };
        let before = targets.borrow().clone();
        let is_due = before.is_none_or(|before| {
            let is_witnessed = *appliance.witnessing.final_size.borrow() >= before.head.size;
            head.size > before.head.size && (pressed || is_witnessed || before.began.elapsed() >= ROUND_MAX)
        });
        if is_due {
            appliance.witnessing.begin(&note, &head);
            targets.send_replace(Some(Arc::new(Target { note, head, began: Instant::now() })));
        }
    }
}

/// Asks one witness.
struct Attendant {
    appliance: Arc<Appliance>,
    number: usize,
    peer: Peer,
    keys: Vec<VerifierKey>,
    /// What it has cosigned last, as far as we know.
    size: Option<u64>,
    newer: Arc<Notify>,
}

impl Attendant {
    async fn attend(mut self, mut targets: Targets) {
        let mut back_off = BACK_OFF_FIRST;
        loop {
            let target = targets.borrow_and_update().clone();
            let Some(target) = target else {
                if targets.changed().await.is_err() {
                    return;
                }
                continue;
            };
            match self.ask(&target).await {
                Outcome::Cosigned(lines) => match self.deliver(&target, lines).await {
                    Ok(()) => {
                        back_off = BACK_OFF_FIRST;
                        self.stand(WitnessState::Cosigned, String::new());
                        if targets.changed().await.is_err() {
                            return;
                        }
                        continue;
                    }
                    Err(reason) => self.stand(WitnessState::Refuses, format!("its answer is not its cosignature: {reason}")),
                },
                Outcome::Ahead => {
                    self.newer.notify_one();
                    if targets.changed().await.is_err() {
                        return;
                    }
                    continue;
                }
                Outcome::Failed(state, reason) => self.stand(state, reason),
            }
            sleep(back_off).await;
            back_off = (back_off * 2).min(BACK_OFF_MAX);
        }
    }

    async fn ask(&mut self, target: &Target) -> Outcome {
        let size = target.head.size;
        for _ in 0..CONFLICTS_MAX {
            let old_size = self.size.unwrap_or(0);
            if old_size > size {
                // We have asked it for more before; or somebody else has.
                if old_size <= self.appliance.ledger.size() {
                    return Outcome::Ahead;
                }
                let told = format!("it has cosigned {old_size} entries, and there are only {}", self.appliance.ledger.size());
                self.size = None;
                return Outcome::Failed(WitnessState::Contradicts, told);
            }
            let proof = self.consistency(old_size, size).await;
            let Some(proof) = proof else {
                return Outcome::Failed(WitnessState::Unreachable, "the ledger gave no proof".to_owned());
            };
            let request = AddCheckpoint { old_size, proof, checkpoint: target.note.as_ref().to_owned() };
            let asked = self.peer.post("/add-checkpoint", "text/plain; charset=utf-8", request.to_text().into(), NOTE_SIZE_BYTES_MAX);
            let answer = match asked.await {
                Err(reason) => return Outcome::Failed(WitnessState::Unreachable, reason),
                Ok(answer) => answer,
            };
            let text = String::from_utf8_lossy(&answer.body).into_owned();
            match answer.status {
                200 => return Outcome::Cosigned(text),
                409 => match parse_conflict(&text) {
                    Some(known) => self.size = Some(known),
                    None => return Outcome::Failed(WitnessState::Refuses, "409 without a size".to_owned()),
                },
                422 => {
                    let told = format!("the tree of {old_size} entries that it has cosigned is not what ours of {size} begins with");
                    self.size = None;
                    return Outcome::Failed(WitnessState::Contradicts, told);
                }
                status @ (400 | 403 | 404) => return Outcome::Failed(WitnessState::Refuses, told(status, &text)),
                status => return Outcome::Failed(WitnessState::Unreachable, told(status, &text)),
            }
        }
        Outcome::Failed(WitnessState::Unreachable, "it changes faster than it can be asked".to_owned())
    }

    async fn consistency(&self, old: u64, new: u64) -> Option<Vec<exhibit_tlog::Hash>> {
        let appliance = self.appliance.clone();
        spawn_blocking(move || appliance.ledger.consistency(old, new)).await.ok()?.ok()?
    }

    async fn deliver(&mut self, target: &Arc<Target>, lines: String) -> Result<(), String> {
        let (appliance, target, keys) = (self.appliance.clone(), target.clone(), self.keys.clone());
        let size = target.head.size;
        let delivered = spawn_blocking(move || appliance.witnessing.deliver(&target.head, &lines, &keys)).await;
        delivered.map_err(|error| error.to_string())?.map_err(|error| error.to_string())?;
        self.size = Some(size);
        Ok(())
    }

    fn stand(&self, state: WitnessState, detail: String) {
        stand(&self.appliance, self.number, self.size, state, detail);
    }
}

/// Remembers how it stands with a witness; what has changed is told.
fn stand(appliance: &Appliance, number: usize, size: Option<u64>, state: WitnessState, detail: String) {
    let now_unix_s = appliance.now().unix_s();
    let mut shared = appliance.witnessing.state();
    let standing = &mut shared.standings[number];
    standing.size = size.or(standing.size);
    standing.detail = detail;
    if standing.state == state {
        return;
    }
    (standing.state, standing.since_unix_s) = (state, now_unix_s);
    let (names, detail) = (standing.names.join(", "), &standing.detail);
    match state {
        WitnessState::Unasked | WitnessState::Cosigned => tracing::info!(witness = ?names, "a witness cosigns"),
        WitnessState::Unreachable => tracing::warn!(witness = ?names, ?detail, "a witness can not be reached"),
        WitnessState::Refuses => tracing::warn!(witness = ?names, ?detail, "a witness refuses"),
        WitnessState::Contradicts => tracing::error!(
            witness = ?names,
            ?detail,
            "a witness has seen another log: this one was rolled back or forked. Stop, and see docs/operations.md"
        ),
    }
}

/// A stranger's words, for people.
fn told(status: u16, text: &str) -> String {
    let words: String = text.chars().filter(|character| !character.is_control()).take(200).collect();
    format!("{status}: {words}")
}

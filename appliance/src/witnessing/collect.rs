//! Collects cosignatures: all witnesses and mirrors at once are asked for the same checkpoint, the newest at the time, until enough have
//! cosigned it.
//!
//! A witness need not see every checkpoint: entries below a witnessed one are final with it. It writes nothing on the ledger.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use exhibit_ledger::Ledger;
use exhibit_tlog::VerifierKey;
use tokio::sync::{Notify, watch};
use tokio::task::{JoinHandle, spawn_blocking};
use tokio::time::{Instant, sleep};

use super::ask::{Asker, BackOff, Outcome, Target};
use super::mirror::Feeder;
use super::peer::Peer;
use super::{WitnessState, Witnessing};
use crate::appliance::Appliance;

/// How often the log is looked at for growth: what a final receipt waits for at most before anybody is asked.
const LOOK: Duration = Duration::from_millis(100);
/// So long one checkpoint is asked for while the quorum is not reached and the log grows on: the slowest link that is worth waiting for.
const ROUND_MAX: Duration = Duration::from_secs(20);
/// The same where no receipt waits for anybody, and only mirrors are fed: what is lost with the appliance at most.
const ROUND_UNGATED: Duration = Duration::from_secs(1);

/// A log that is witnessed: the one that is served, or one that has ended.
pub struct Witnessed {
    /// Its name.
    pub origin: String,
    /// Its ledger.
    pub ledger: Ledger,
    /// Who has seen it.
    pub witnessing: Arc<Witnessing>,
    /// Who serves it: not unused before the last of us has ended, on blocking threads too.
    pub appliance: Arc<Appliance>,
}

/// The newest checkpoint that is asked for: one, however far somebody lags.
pub(super) type Targets = watch::Receiver<Option<Arc<Target>>>;

/// Collects, and feeds mirrors, until `draining` says so. Nothing is begun where nobody has an address.
pub fn start(appliance: &Arc<Witnessed>, roots: &Path, draining: &watch::Receiver<bool>) -> Vec<JoinHandle<()>> {
    let (targets, _) = watch::channel(None);
    let newer = Arc::new(Notify::new());
    let mut running = Vec::new();
    let witnessing = &appliance.witnessing;
    let standings = witnessing.state.borrow().standings.clone();
    for (number, standing) in standings.into_iter().enumerate() {
        let Some(url) = standing.url else { continue };
        let witnesses = witnessing.policy.iter().flat_map(|policy| policy.witnesses());
        let keys = witnesses.filter(|witness| standing.names.contains(&witness.name)).map(|witness| witness.key.clone()).collect();
        match Peer::new(&url, roots) {
            Err(reason) => stand(appliance, Whom::Witness(number), None, WitnessState::Unreachable, reason),
            Ok(peer) => {
                let monitor = Peer::new(witnessing.monitoring.get(&url).unwrap_or(&url), roots);
                let attendant = Attendant { asker: Asker::new(appliance, peer, monitor), number, keys, newer: newer.clone() };
                running.push(until(draining.clone(), attendant.attend(targets.subscribe())));
            }
        }
    }
    for (number, mirror) in witnessing.mirrors.iter().enumerate() {
        match Peer::new(&mirror.url, roots) {
            Err(reason) => stand(appliance, Whom::Mirror(number), None, WitnessState::Unreachable, reason),
            Ok(peer) => {
                let monitor = Peer::new(&mirror.monitoring_url, roots);
                let feeder = Feeder::new(Asker::new(appliance, peer, monitor), number, mirror.keys.clone(), newer.clone());
                running.push(until(draining.clone(), feeder.feed(targets.subscribe())));
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
async fn choose(appliance: Arc<Witnessed>, targets: watch::Sender<Option<Arc<Target>>>, newer: Arc<Notify>) {
    loop {
        let pressed = tokio::select! {
            () = sleep(LOOK) => false,
            () = newer.notified() => true,
        };
        let Some((note, head)) = appliance.ledger.checkpoint() else { continue };
        let before = targets.borrow().clone();
        let is_due = before.is_none_or(|before| {
            let witnessing = &appliance.witnessing;
            let is_witnessed = witnessing.is_gated && *witnessing.final_size.borrow() >= before.head.size;
            let round = if witnessing.is_gated { ROUND_MAX } else { ROUND_UNGATED };
            head.size > before.head.size && (pressed || is_witnessed || before.began.elapsed() >= round)
        });
        if is_due {
            appliance.witnessing.begin(&note, &head);
            targets.send_replace(Some(Arc::new(Target { note, head, began: Instant::now() })));
        }
    }
}

/// Asks one witness.
struct Attendant {
    asker: Asker,
    number: usize,
    keys: Vec<VerifierKey>,
    newer: Arc<Notify>,
}

impl Attendant {
    async fn attend(mut self, mut targets: Targets) {
        let mut back_off = BackOff::new();
        while let Some(target) = newest(&mut targets).await {
            let failed = match self.asker.ask(&target).await {
                Outcome::Cosigned(lines) => match self.deliver(&target, lines).await {
                    Ok(()) => {
                        self.stand(WitnessState::Cosigned, String::new());
                        None
                    }
                    Err(reason) => Some((WitnessState::Refuses, format!("its answer is not its cosignature: {reason}"))),
                },
                Outcome::Ahead => {
                    self.newer.notify_one();
                    None
                }
                Outcome::Failed(state, reason) => Some((state, reason)),
            };
            match failed {
                Some((state, reason)) => {
                    self.stand(state, reason);
                    sleep(back_off.next()).await;
                }
                None => {
                    back_off.reset();
                    if targets.changed().await.is_err() {
                        return;
                    }
                }
            }
        }
    }

    async fn deliver(&mut self, target: &Arc<Target>, lines: String) -> Result<(), String> {
        let (appliance, target, keys) = (self.asker.appliance.clone(), target.clone(), self.keys.clone());
        let size = target.head.size;
        let delivered = spawn_blocking(move || appliance.witnessing.deliver(&target.head, &lines, &keys)).await;
        delivered.map_err(|error| error.to_string())?.map_err(|error| error.to_string())?;
        self.asker.size = Some(size);
        Ok(())
    }

    fn stand(&self, state: WitnessState, detail: String) {
        stand(&self.asker.appliance, Whom::Witness(self.number), self.asker.size, state, detail);
    }
}

/// What is asked for now; waits for the first.
pub(super) async fn newest(targets: &mut Targets) -> Option<Arc<Target>> {
    loop {
        if let Some(target) = targets.borrow_and_update().clone() {
            return Some(target);
        }
        targets.changed().await.ok()?;
    }
}

/// Whose standing it is, by its number among them.
#[derive(Clone, Copy)]
pub(super) enum Whom {
    Witness(usize),
    Mirror(usize),
}

/// Remembers how it stands with a witness or a mirror; what has changed is told.
pub(super) fn stand(appliance: &Witnessed, whom: Whom, size: Option<u64>, state: WitnessState, detail: String) {
    let now_unix_s = appliance.appliance.now().unix_s();
    let mut names = None;
    appliance.witnessing.state.send_modify(|shared| {
        let standing = match whom {
            Whom::Witness(number) => &mut shared.standings[number],
            Whom::Mirror(number) => &mut shared.mirrors[number],
        };
        standing.size = size.or(standing.size);
        standing.detail.clone_from(&detail);
        if standing.state != state {
            (standing.state, standing.since_unix_s) = (state, now_unix_s);
            names = Some(standing.names.join(", "));
        }
    });
    if let Some(names) = names {
        tell(whom, &names, state, &detail);
    }
}

fn tell(whom: Whom, names: &str, state: WitnessState, detail: &str) {
    let what = match whom {
        Whom::Witness(_) => "witness",
        Whom::Mirror(_) => "mirror",
    };
    match state {
        WitnessState::Unasked | WitnessState::Cosigned => tracing::info!(what, names, "a witness or mirror cosigns"),
        WitnessState::Filling => tracing::info!(what, names, detail, "a mirror is being filled"),
        WitnessState::Unreachable => tracing::warn!(what, names, detail, "a witness or mirror can not be reached"),
        WitnessState::Refuses => tracing::warn!(what, names, detail, "a witness or mirror refuses"),
        WitnessState::Contradicts => tracing::error!(
            what,
            names,
            detail,
            "a witness or mirror has seen another log: this one was rolled back or forked. Stop, and see docs/operations.md"
        ),
    }
}

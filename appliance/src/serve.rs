//! `serve`: opens the appliance, listens, says where, and ends when asked to.
//!
//! It does not know what is served.

use std::net::SocketAddr;
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use exhibit_program::logging::SECURITY;
use exhibit_program::service_manager;
use tokio::runtime::Builder;
use tokio::sync::watch;
use tokio::task::spawn_blocking;
use tokio::time::{MissedTickBehavior, interval, sleep, timeout};

use crate::api::server::{Bound, Rules};
use crate::appliance::{Appliance, Fatal};
use crate::chronicle::{ChronicleError, Clock};
use crate::config::Config;
use crate::health;
use crate::ingest::resume;
use crate::logbook::{self, Logbook};
use crate::maintain::by_itself;
use crate::maintain::control;
use crate::maintain::succeed::SucceedError;
use crate::monitoring;
use crate::predecessor::archives;
use crate::reload::reload;
use crate::setup::{Folder, SetupError};
use crate::tls::{TlsConfigs, TlsError};
use crate::witnessing::collect::{self, Witnessed};
use crate::witnessing::stamp;

/// Why the appliance does not serve.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    /// The state folder.
    #[error(transparent)]
    Setup(#[from] SetupError),
    /// TLS.
    #[error(transparent)]
    Tls(#[from] TlsError),
    /// An address.
    #[error("cannot listen on {0}: {1}")]
    Listen(SocketAddr, std::io::Error),
    /// Its own stream.
    #[error("the start could not be put on the ledger: {0}")]
    Start(#[from] ChronicleError),
    /// Threads or signals.
    #[error("the system refused threads or signals: {0}")]
    System(std::io::Error),
}

/// Where an appliance listens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Addresses {
    /// With client certificates.
    pub intake: SocketAddr,
    /// Without.
    pub public: SocketAddr,
    /// For monitoring.
    pub monitoring: Option<SocketAddr>,
}

impl Addresses {
    /// Each, by what it is for.
    pub fn named(&self) -> Vec<(String, SocketAddr)> {
        let monitoring = self.monitoring.map(|address| ("monitoring".to_owned(), address));
        [("intake".to_owned(), self.intake), ("public".to_owned(), self.public)].into_iter().chain(monitoring).collect()
    }
}

/// An appliance that listens.
pub struct Running {
    /// Where.
    pub addresses: Addresses,
    /// What it works with.
    pub appliance: Arc<Appliance>,
    /// What the listeners go by.
    rules: [Arc<Rules>; 2],
    drain: watch::Sender<bool>,
    listeners: Vec<tokio::task::JoinHandle<()>>,
}

impl Running {
    /// Opens and listens. Everything that can be wrong with the folder is told here.
    pub async fn start(folder: Folder, config: Config, clock: Clock, fatal: Fatal, logbook: Arc<Logbook>) -> Result<Self, ServeError> {
        let opened = spawn_blocking({
            let (config, opened_folder, logbook) = (config.clone(), folder.clone(), logbook.clone());
            move || -> Result<_, ServeError> {
                let locked = opened_folder.lock()?;
                // What a refused start says is kept for the next.
                logbook.begin_in(&opened_folder).unwrap_or_else(|error| not_written(&error));
                let (appliance, credentials) = Appliance::open(&locked, &config, clock, fatal)?;
                drop(locked);
                let sources = opened_folder.timestamp_sources(&config)?;
                Ok((Arc::new(appliance), TlsConfigs::new(&credentials)?, sources))
            }
        });
        let (appliance, tls, sources) = opened.await.expect("opening does not panic")?;
        let limits = &config.limits;
        let bind = |address, tls, is_intake| async move {
            let bound = Bound::new(address, tls, is_intake, config.connections_max, limits).await;
            let bound = bound.map_err(|error| ServeError::Listen(address, error))?;
            let address = bound.address().map_err(|error| ServeError::Listen(address, error))?;
            Ok::<_, ServeError>((bound, address))
        };
        let (intake, intake_address) = bind(config.intake, tls.intake, true).await?;
        let (public, public_address) = bind(config.public, tls.public, false).await?;
        let monitored = match config.monitoring {
            Some(address) => {
                let failed = |error| ServeError::Listen(address, error);
                let listener = monitoring::bind(address).await.map_err(failed)?;
                Some((listener.local_addr().map_err(failed)?, listener))
            }
            None => None,
        };
        // The last that can fail: a start that is tried again and again states nothing.
        let (started, started_folder, kept) = (appliance.clone(), folder.clone(), logbook.clone());
        let is_ended = spawn_blocking(move || state_start(&started, &started_folder, &kept)).await.expect("a statement does not panic")?;
        let rules = [intake.rules(), public.rules()];
        let (drain, draining) = watch::channel(false);
        let roots = folder.server_roots(&config);
        let (monitoring, monitored) = monitored.unzip();
        let addresses = Addresses { intake: intake_address, public: public_address, monitoring };
        let listeners = [intake, public].into_iter().map(|bound| tokio::spawn(bound.serve(appliance.clone(), draining.clone())));
        let listeners = listeners.chain(monitored.map(|bound| monitoring::serve(bound, appliance.clone(), draining.clone())));
        let listeners = listeners.chain([tokio::spawn(look_after(appliance.clone(), draining.clone()))]);
        let listeners = listeners.chain(control::serve(folder.clone(), appliance.clone(), addresses, draining.clone()));
        let own = (appliance.anchor.verifier.origin.clone(), appliance.ledger.clone(), appliance.witnessing.clone());
        // Of a log that has ended, its witnesses have to see the end.
        let ended = archives(&appliance).map(|archive| (archive.origin.clone(), archive.ledger.clone(), archive.witnessing.clone()));
        let logs: Vec<_> = std::iter::once(own).chain(ended).collect();
        let witnessed = logs.into_iter().flat_map(|(origin, ledger, witnessing)| {
            collect::start(&Arc::new(Witnessed { origin, ledger, witnessing, appliance: appliance.clone() }), &roots, &draining)
        });
        let listeners = listeners.chain(witnessed.collect::<Vec<_>>());
        let tpm = match (&config.tpm_note, &appliance.tpm_key) {
            (Some(tpm), Some(key)) => Some(appliance.tpm_notes.start(tpm.clone(), key.clone(), appliance.clone(), draining.clone())),
            (Some(_), None) => {
                tracing::warn!("the log did not begin with a TPM's key: none signs its checkpoints");
                None
            }
            (None, _) => None,
        };
        let listeners = listeners.chain(tpm);
        let interval = Duration::from_secs(config.timestamp_interval_s);
        let listeners = listeners.chain([tokio::spawn(resume::sweep(appliance.staging.clone(), draining.clone()))]);
        let log_interval = Duration::from_secs(config.log_interval_s);
        let batches = (!is_ended).then(|| logbook::state_batches(appliance.clone(), logbook, log_interval, draining.clone()));
        let listeners = listeners.chain(batches.map(tokio::spawn));
        let listeners = listeners.chain(stamp::start(&appliance, sources, &roots, interval, &draining)).collect();
        Ok(Self { addresses, appliance, rules, drain, listeners })
    }

    /// Goes by the configuration and the certificate that the folder has now, and gives what it goes by. What is wrong with them is told, and it goes
    /// on as it was.
    pub async fn reload(&self, folder: &Folder, before: Config) -> Config {
        service_manager::reloading();
        let (folder, appliance, rules) = (folder.clone(), self.appliance.clone(), self.rules.clone());
        let read = spawn_blocking(move || {
            let reloaded = reload(&folder, &before, &appliance, &rules);
            reloaded.map(|reloaded| reloaded.config).unwrap_or_else(|error| {
                tracing::error!(%error, "the configuration is not taken: it goes on as it was");
                before
            })
        });
        let config = read.await.expect("reading a configuration does not panic");
        service_manager::ready();
        config
    }

    /// Takes nothing new, and waits for what has begun.
    pub async fn stop(self, drain_max: Duration) {
        // What has no end of its own, and nothing to finish.
        self.appliance.ending.send_replace(true);
        // The listeners hold a receiver each.
        let _ = self.drain.send(true);
        let aborts: Vec<_> = self.listeners.iter().map(tokio::task::JoinHandle::abort_handle).collect();
        let ended = timeout(drain_max, async {
            for listener in self.listeners {
                if let Err(error) = listener.await {
                    tracing::error!(%error, "a listener ended otherwise than it should");
                }
            }
        });
        if ended.await.is_err() {
            tracing::warn!("some connections did not end in time and are cut off");
            // A listener's connections end with it.
            aborts.iter().for_each(tokio::task::AbortHandle::abort);
        }
    }
}

/// Serves until SIGTERM or SIGINT. `ready` is told where.
pub fn serve(
    folder: Folder,
    config: Config,
    clock: Clock,
    fatal: Fatal,
    logbook: Arc<Logbook>,
    ready: impl Fn(Addresses),
) -> Result<(), ServeError> {
    // Each upload and download takes one blocking thread at a time, at most.
    let blocking_threads = config.uploads_max + config.downloads_max + BLOCKING_THREADS_SPARE;
    let runtime = Builder::new_multi_thread().enable_all().max_blocking_threads(blocking_threads).build().map_err(ServeError::System)?;
    let served = runtime.block_on(async {
        use tokio::signal::unix::{SignalKind, signal};
        let mut terminate = signal(SignalKind::terminate()).map_err(ServeError::System)?;
        let mut interrupt = signal(SignalKind::interrupt()).map_err(ServeError::System)?;
        let mut hangup = signal(SignalKind::hangup()).map_err(ServeError::System)?;
        let (mut folder, mut config) = (folder.newest(), config);
        let (serving, serves) = watch::channel(Weak::new());
        tokio::spawn(tell_alive(serves));
        let mut succession = try_step(by_itself::resume, &folder, &clock).await;
        let mut last: Option<(Folder, Config)> = None;
        loop {
            folder = folder.newest();
            // Where it listens may have been said otherwise than in the file.
            let mut written = match (folder.config(), last.take()) {
                (Ok(written), _) => written,
                // A file that no reload takes ends nothing at a succession that did not come about.
                (Err(error), Some((before, written))) if before.path() == folder.path() => {
                    tracing::error!(%error, "the configuration is not taken: it goes on as it was");
                    written
                }
                (Err(error), _) => return Err(error.into()),
            };
            config = Config { intake: config.intake, public: config.public, monitoring: config.monitoring, ..written.clone() };
            let running = Running::start(folder.clone(), config.clone(), clock.clone(), fatal.clone(), logbook.clone()).await?;
            serving.send_replace(Arc::downgrade(&running.appliance));
            ready(running.addresses);
            service_manager::ready();
            let ends = loop {
                tokio::select! {
                    _ = terminate.recv() => break true,
                    _ = interrupt.recv() => break true,
                    _ = hangup.recv() => written = running.reload(&folder, written).await,
                    () = until_due(&running.appliance, &folder, &written, &succession) => break false,
                }
            };
            let drain_max = Duration::from_secs(written.drain_s);
            last = Some((folder.clone(), written));
            tracing::info!(target: SECURITY, ends, "ending");
            if ends {
                service_manager::stopping();
            }
            // Whoever has begun is answered, and finds the successor where this log was.
            let Addresses { intake, public, monitoring } = running.addresses;
            (config.intake, config.public, config.monitoring) = (intake, public, monitoring);
            let held = Arc::downgrade(&running.appliance);
            running.stop(drain_max).await;
            if ends {
                return Ok(());
            }
            tokio::select! {
                _ = terminate.recv() => return Ok(()),
                _ = interrupt.recv() => return Ok(()),
                () = until_unused(held, drain_max) => {}
            }
            succession = try_step(by_itself::end, &folder, &clock).await;
        }
    });
    // What is being written is finished or dropped; nothing acknowledged hangs on it.
    runtime.shutdown_timeout(SHUTDOWN_MAX);
    served
}

/// Puts the start on the ledger, unless the log has ended: true if it has.
fn state_start(appliance: &Appliance, folder: &Folder, logbook: &Logbook) -> Result<bool, ServeError> {
    let is_ended = appliance.ledger.is_ended().map_err(SetupError::from)?;
    if is_ended {
        tracing::warn!("the log has ended: it is served for reading, and takes nothing");
    } else {
        match appliance.chronicle.start(exhibit_program::version()) {
            // It can be read, and takes what it has room for as soon as there is some.
            Err(error @ ChronicleError::NoRoom(_)) => tracing::error!(%error, "this start is not on the ledger"),
            started => drop(started?),
        }
    }
    let next = appliance.chronicle.next_log_line()?;
    logbook.keep_in(folder, next).unwrap_or_else(|error| not_written(&error));
    Ok(is_ended)
}

/// Tells the service manager that the process is alive, through successions too, as long as threads answer and nothing hangs in a disk.
async fn tell_alive(serving: watch::Receiver<Weak<Appliance>>) {
    let Some(most) = service_manager::alive_interval() else { return };
    let mut ticks = interval(most);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        let appliance = serving.borrow().upgrade();
        let looked = spawn_blocking(move || appliance.and_then(|appliance| appliance.vitals.stalled_for(Instant::now()))).await;
        match looked {
            Ok(None) => service_manager::alive(),
            Ok(Some(stalled)) => tracing::error!(?stalled, "a write hangs: the service manager is not told that all is well"),
            Err(_) => {}
        }
    }
}

/// Looks how the appliance is, so that what changes over time is known, and says what has changed: in the log, and to the service manager.
async fn look_after(appliance: Arc<Appliance>, mut draining: watch::Receiver<bool>) {
    let mut looks = interval(LOOK_AFTER);
    looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut told = Vec::new();
    loop {
        tokio::select! {
            _ = draining.wait_for(|draining| *draining) => return,
            _ = looks.tick() => {}
        }
        let looked_at = appliance.clone();
        let Ok(health) = spawn_blocking(move || health::of(&looked_at)).await else { continue };
        let worst = health.reasons.first().map_or(String::new(), |worst| format!(": {}", worst.detail));
        service_manager::status(&format!("{}{worst}", health.status.as_str()));
        let now: Vec<_> = health.reasons.iter().map(|reason| (reason.code, reason.status)).collect();
        for reason in health.reasons.iter().filter(|reason| !told.contains(&(reason.code, reason.status))) {
            tracing::warn!(code = reason.code.as_str(), status = reason.status.as_str(), detail = ?reason.detail, "health");
        }
        told = now;
        appliance.vitals.publish(Arc::new(health));
    }
}

/// A step of a succession without a hand. What it lacks is the operator's to mend, and no reason to serve nothing meanwhile.
async fn try_step(step: SuccessionStep, folder: &Folder, clock: &Clock) -> Result<(), SucceedError> {
    let (folder, clock) = (folder.clone(), clock.clone());
    let done = spawn_blocking(move || step(&folder, &clock)).await.expect("a succession does not panic");
    done.inspect_err(
        |error| tracing::error!(%error, "the succession did not come about: the log is served as it is, and it is tried again later"),
    )
}

type SuccessionStep = fn(&Folder, &Clock) -> Result<(), SucceedError>;

/// Comes back when the log has reached a limit of the configuration; where the last succession failed, not soon.
async fn until_due(appliance: &Arc<Appliance>, folder: &Folder, config: &Config, last: &Result<(), SucceedError>) {
    if last.is_err() {
        sleep(SUCCESSION_RETRY).await;
    }
    loop {
        let (looked_at, folder, config) = (appliance.clone(), folder.clone(), config.clone());
        if spawn_blocking(move || by_itself::due(&looked_at, &folder, &config)).await.unwrap_or(false) {
            return;
        }
        sleep(DUE_LOOK).await;
    }
}

/// Comes back when nobody uses an appliance that was stopped: work on other threads ends after whoever asked for it. Its files are its own until then.
async fn until_unused(held: Weak<Appliance>, said_each: Duration) {
    let mut waited = Duration::ZERO;
    while held.strong_count() > 0 {
        sleep(UNUSED_LOOK).await;
        waited += UNUSED_LOOK;
        if waited >= said_each {
            tracing::warn!("the log that was stopped is still in use: its succession waits");
            waited = Duration::ZERO;
        }
    }
}

/// Witnesses take seconds, disks minutes.
const LOOK_AFTER: Duration = Duration::from_secs(10);
/// It serves all the same, on a disk that is full too.
fn not_written(error: &std::io::Error) {
    tracing::error!(%error, "log lines can not be written to their file: they are in memory until they are on the ledger");
}

/// Each try takes the log away from cameras for as long as requests last; what a succession lacks is mended by hand.
const SUCCESSION_RETRY: Duration = Duration::from_secs(60 * 60);
/// A request's work ends within milliseconds of the request.
const UNUSED_LOOK: Duration = Duration::from_millis(10);
/// A log may be a little larger or older than its limit.
const DUE_LOOK: Duration = Duration::from_secs(10);
/// For queries and opening.
const BLOCKING_THREADS_SPARE: usize = 64;
/// A write that hangs in a broken disk is not waited for.
const SHUTDOWN_MAX: Duration = Duration::from_secs(5);

//! `serve`: opens the appliance, listens, says where, and ends when asked to.
//!
//! It does not know what is served.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::runtime::Builder;
use tokio::sync::watch;
use tokio::task::spawn_blocking;
use tokio::time::{sleep, timeout};

use crate::api::server::Bound;
use crate::appliance::{Appliance, Fatal};
use crate::chronicle::{ChronicleError, Clock};
use crate::config::Config;
use crate::ingest::resume;
use crate::maintain::by_itself::{self, until_unused};
use crate::maintain::control;
use crate::maintain::succeed::SucceedError;
use crate::predecessor::archives;
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
    /// A log that is due for its successor.
    #[error("the log could not be ended: {0}")]
    Succession(#[from] SucceedError),
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
}

/// An appliance that listens.
pub struct Running {
    /// Where.
    pub addresses: Addresses,
    /// What it works with.
    pub appliance: Arc<Appliance>,
    drain: watch::Sender<bool>,
    listeners: Vec<tokio::task::JoinHandle<()>>,
}

impl Running {
    /// Opens and listens. Everything that can be wrong with the folder is told here.
    pub async fn start(folder: Folder, config: Config, clock: Clock, fatal: Fatal) -> Result<Self, ServeError> {
        let opened = spawn_blocking({
            let (config, opened_folder) = (config.clone(), folder.clone());
            move || -> Result<_, ServeError> {
                let (appliance, credentials) = Appliance::open(&opened_folder.lock()?, &config, clock, fatal)?;
                if appliance.ledger.is_ended().map_err(SetupError::from)? {
                    tracing::warn!("the log has ended: it is served for reading, and takes nothing");
                } else {
                    match appliance.chronicle.start(exhibit_program::version()) {
                        // It can be read, and takes what it has room for as soon as there is some.
                        Err(error @ ChronicleError::NoRoom(_)) => tracing::error!(%error, "this start is not on the ledger"),
                        started => drop(started?),
                    }
                }
                Ok((Arc::new(appliance), TlsConfigs::new(&credentials)?))
            }
        });
        let (appliance, tls) = opened.await.expect("opening does not panic")?;
        let limits = &config.limits;
        let bind = |address, tls, is_intake| async move {
            let bound = Bound::new(address, tls, is_intake, config.connections_max, limits).await;
            let bound = bound.map_err(|error| ServeError::Listen(address, error))?;
            let address = bound.address().map_err(|error| ServeError::Listen(address, error))?;
            Ok::<_, ServeError>((bound, address))
        };
        let (intake, intake_address) = bind(config.intake, tls.intake, true).await?;
        let (public, public_address) = bind(config.public, tls.public, false).await?;
        let (drain, draining) = watch::channel(false);
        let (roots, sources) = (folder.server_roots(&config), folder.timestamp_sources(&config)?);
        let listeners = [intake, public].into_iter().map(|bound| tokio::spawn(bound.serve(appliance.clone(), draining.clone())));
        let listeners = listeners.chain(control::serve(folder.clone(), appliance.clone(), draining.clone()));
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
        let listeners = listeners.chain(stamp::start(&appliance, sources, &roots, interval, &draining)).collect();
        Ok(Self { addresses: Addresses { intake: intake_address, public: public_address }, appliance, drain, listeners })
    }

    /// Takes nothing new, and waits for what has begun.
    pub async fn stop(self, drain_max: Duration) {
        // The listeners hold a receiver each.
        let _ = self.drain.send(true);
        let ended = timeout(drain_max, async {
            for listener in self.listeners {
                if let Err(error) = listener.await {
                    tracing::error!(%error, "a listener ended otherwise than it should");
                }
            }
        });
        if ended.await.is_err() {
            tracing::warn!("some connections did not end in time and were cut off");
        }
    }
}

/// Serves until SIGTERM or SIGINT. `ready` is told where.
pub fn serve(folder: Folder, config: Config, clock: Clock, fatal: Fatal, ready: impl Fn(Addresses)) -> Result<(), ServeError> {
    // Each upload and download takes one blocking thread at a time, at most.
    let blocking_threads = config.uploads_max + config.downloads_max + BLOCKING_THREADS_SPARE;
    let runtime = Builder::new_multi_thread().enable_all().max_blocking_threads(blocking_threads).build().map_err(ServeError::System)?;
    let drain_max = Duration::from_secs(config.drain_s);
    let served = runtime.block_on(async {
        use tokio::signal::unix::{SignalKind, signal};
        let mut terminate = signal(SignalKind::terminate()).map_err(ServeError::System)?;
        let mut interrupt = signal(SignalKind::interrupt()).map_err(ServeError::System)?;
        let (mut folder, mut config) = (folder.newest(), config);
        loop {
            folder = followed(folder, &clock).await?;
            config = Config { intake: config.intake, public: config.public, ..folder.config()? };
            let running = Running::start(folder.clone(), config.clone(), clock.clone(), fatal.clone()).await?;
            ready(running.addresses);
            let ends = tokio::select! {
                _ = terminate.recv() => true,
                _ = interrupt.recv() => true,
                () = until_due(&running.appliance, &config) => false,
            };
            tracing::info!(ends, "ending");
            // Whoever has begun is answered, and finds the successor where this log was.
            (config.intake, config.public) = (running.addresses.intake, running.addresses.public);
            let held = Arc::downgrade(&running.appliance);
            running.stop(drain_max).await;
            if ends {
                return Ok(());
            }
            if !until_unused(held, drain_max).await {
                tracing::warn!("the log is still in use: its succession waits for the next look");
                continue;
            }
            let (ended, clock) = (folder.clone(), clock.clone());
            spawn_blocking(move || by_itself::end(&ended, &clock)).await.expect("a succession does not panic")?;
        }
    });
    // What is being written is finished or dropped; nothing acknowledged hangs on it.
    runtime.shutdown_timeout(SHUTDOWN_MAX);
    served
}

/// The state of the log that is stated to, after a succession that was begun here before has been ended.
async fn followed(folder: Folder, clock: &Clock) -> Result<Folder, ServeError> {
    let clock = clock.clone();
    let resumed = spawn_blocking(move || by_itself::resume(&folder, &clock).map(|()| folder.newest()));
    Ok(resumed.await.expect("a succession does not panic")?)
}

/// Comes back when the log has reached a limit of the configuration.
async fn until_due(appliance: &Arc<Appliance>, config: &Config) {
    loop {
        let (looked_at, config) = (appliance.clone(), config.clone());
        if spawn_blocking(move || by_itself::due(&looked_at, &config)).await.unwrap_or(false) {
            return;
        }
        sleep(DUE_LOOK).await;
    }
}

/// A log may be a little larger or older than its limit.
const DUE_LOOK: Duration = Duration::from_secs(10);
/// For queries and opening.
const BLOCKING_THREADS_SPARE: usize = 64;
/// A write that hangs in a broken disk is not waited for.
const SHUTDOWN_MAX: Duration = Duration::from_secs(5);

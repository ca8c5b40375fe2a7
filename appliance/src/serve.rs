//! `serve`: opens the appliance, listens, says where, and ends when asked to.
//!
//! It does not know what is served.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::runtime::Builder;
use tokio::sync::watch;
use tokio::task::spawn_blocking;
use tokio::time::timeout;

use crate::api::server::Bound;
use crate::appliance::{Appliance, Fatal};
use crate::chronicle::{ChronicleError, Clock};
use crate::config::Config;
use crate::maintain::control;
use crate::setup::{Folder, SetupError};
use crate::tls::{TlsConfigs, TlsError};
use crate::witnessing::{collect, stamp};

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
                    appliance.chronicle.start(exhibit_program::version())?;
                }
                Ok((Arc::new(appliance), TlsConfigs::new(&credentials)?))
            }
        });
        let (appliance, tls) = opened.await.expect("opening does not panic")?;
        let bind = |address, tls, is_intake| async move {
            let bound = Bound::new(address, tls, is_intake, config.connections_max).await;
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
        let listeners = listeners.chain(collect::start(&appliance, &roots, &draining));
        let interval = Duration::from_secs(config.timestamp_interval_s);
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
pub fn serve(folder: Folder, config: Config, clock: Clock, fatal: Fatal, ready: impl FnOnce(Addresses)) -> Result<(), ServeError> {
    // Each upload and download takes one blocking thread at a time, at most.
    let blocking_threads = config.uploads_max + config.downloads_max + BLOCKING_THREADS_SPARE;
    let runtime = Builder::new_multi_thread().enable_all().max_blocking_threads(blocking_threads).build().map_err(ServeError::System)?;
    let drain_max = Duration::from_secs(config.drain_s);
    let served = runtime.block_on(async {
        use tokio::signal::unix::{SignalKind, signal};
        let mut terminate = signal(SignalKind::terminate()).map_err(ServeError::System)?;
        let mut interrupt = signal(SignalKind::interrupt()).map_err(ServeError::System)?;
        let running = Running::start(folder, config, clock, fatal).await?;
        ready(running.addresses);
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
        tracing::info!("ending");
        running.stop(drain_max).await;
        Ok(())
    });
    // What is being written is finished or dropped; nothing acknowledged hangs on it.
    runtime.shutdown_timeout(SHUTDOWN_MAX);
    served
}

/// For queries and opening.
const BLOCKING_THREADS_SPARE: usize = 64;
/// A write that hangs in a broken disk is not waited for.
const SHUTDOWN_MAX: Duration = Duration::from_secs(5);

//! The loop that performs what the other modules decide: seals on a thread of its own, spools, and uploads beside it.
//!
//! It does not know where fragments come from, nor where the signing key lives.

use std::{path::PathBuf, sync::Arc};

use exhibit_client::ClientIdentity;
use exhibit_evidence::{Pin, StreamName};
use exhibit_pki::{Subject, Timestamp};
use tokio::sync::mpsc;

use crate::{Clock, Input};

/// What a camera is told once.
#[derive(Clone)]
pub struct AgentConfig {
    /// Spool, state and cached recipients live here; made with mode 0700 if absent. One agent at a time.
    pub state_folder: PathBuf,
    /// `host:port` of the appliance's intake.
    pub appliance_address: String,
    /// Certificate, issuing authorities, key.
    pub identity: ClientIdentity,
    /// The log and the custodians, pinned at enrolment.
    pub pin: Pin,
    /// Who we are; the certificate must say the same.
    pub camera: Subject,
    /// `video/mp4`
    pub media_type: String,
    /// Limits; `AgentLimits::default()` for cameras.
    pub limits: AgentLimits,
}

/// Limits of an agent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AgentLimits {
    /// The spool takes no more segments beyond this.
    pub spool_bytes_max: u64,
    /// Entries and receipts of acknowledged statements that are kept.
    pub kept_items_max: usize,
    /// An epoch is at most this old.
    pub epoch_ms_max: u64,
    /// How often the recipients are asked for.
    pub recipients_interval_ms: u64,
    /// After the end of the source: how long to go on uploading before the rest is left to the next start.
    pub drain_ms_max: u64,
}

/// What happened, for logs and progress displays.
#[derive(Clone, Debug, PartialEq)]
pub enum AgentEvent {
    /// Waiting for what is needed to begin: say so, and go on waiting.
    Waiting(Delay),
    /// Recipients are known and an epoch has begun: the pipeline may be started at the first of these.
    EpochBegan {
        /// Its stream.
        stream: StreamName,
        /// The number of the recipients that it obeys.
        recipients_number: u64,
    },
    /// A segment is sealed, signed and synced in the spool.
    Sealed {
        /// Its stream.
        stream: StreamName,
        /// Its position.
        seq: u64,
        /// Of the ciphertext.
        bytes: u64,
        /// The camera's clock at its first frame.
        start: Timestamp,
        /// How long it plays.
        duration_ms: u64,
    },
    /// A statement is on the ledger; its receipt verified and is synced.
    Acknowledged {
        /// Its stream.
        stream: StreamName,
        /// Its position.
        seq: u64,
        /// Its index on the ledger.
        index: u64,
        /// How many statements are still to be sent.
        unsent: u64,
    },
    /// Uploading waits; recording goes on.
    UploadDelayed(Delay),
    /// The spool is full of what could not be sent: segments are dropped until there is room, and a `gap` will say so.
    SpoolFull,
    /// The spool takes segments again.
    SpoolHasRoom,
    /// The recipients have expired: recording goes on, and somebody should look.
    RecipientsStale {
        /// Their number.
        number: u64,
        /// When they expired.
        expired: Timestamp,
    },
    /// Something that a person has to look at. The evidence concerned is kept.
    Finding {
        /// The stream that it concerns, if one.
        stream: Option<StreamName>,
        /// What was found, and what to do.
        text: String,
    },
    /// The epoch was closed.
    Closed {
        /// Its stream.
        stream: StreamName,
    },
}

/// Why and how long something waits.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Delay {
    /// What failed, and what to do.
    pub reason: String,
    /// The next attempt.
    pub retry_in_ms: u64,
}

/// What an agent has done.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AgentSummary {
    /// Segments sealed.
    pub segments: u64,
    /// Statements acknowledged in this run.
    pub acknowledged: u64,
    /// Statements left for the next start.
    pub unsent: u64,
    /// Findings reported.
    pub findings: u64,
}

/// Why an agent ended before it was asked to.
#[derive(Debug, thiserror::Error)]
pub enum AgentError {
    /// The appliance said something that does not verify. Everything is kept.
    #[error("{0}; nothing was deleted: have an auditor look at the log before this camera is started again")]
    Untrustworthy(String),
}

impl AgentError {
    /// 1 if the evidence or the log does not verify, 2 if the agent could not do its work.
    pub fn exit_code(&self) -> u8 {
        match self {
            Self::Untrustworthy(_) => 1,
        }
    }
}

impl Default for AgentLimits {
    fn default() -> Self {
        Self {
            spool_bytes_max: 16 << 30,
            kept_items_max: 50_000,
            epoch_ms_max: 24 * 60 * 60 * 1000,
            recipients_interval_ms: 60_000,
            drain_ms_max: 30_000,
        }
    }
}

/// A camera's agent.
pub struct CameraAgent;

/// An agent at work.
pub struct RunningAgent {}

impl CameraAgent {
    /// Starts it on the current tokio runtime. Fragments go in, events come out (an event channel that is full or closed never stops it).
    ///
    /// ```no_run
    /// # use std::{path::PathBuf, sync::Arc};
    /// # use exhibit_camera_core::{AgentConfig, AgentError, AgentEvent, AgentLimits, CameraAgent, Fragment, Input, SystemClock};
    /// # async fn run(identity: exhibit_client::ClientIdentity, pin: exhibit_evidence::Pin, fragment: Fragment) -> Result<(), AgentError> {
    /// let config = AgentConfig {
    ///     state_folder: PathBuf::from("/var/lib/exhibit-camera-agent"),
    ///     appliance_address: "appliance.city.example:8443".into(),
    ///     camera: exhibit_pki::Subject::parse("camera/102").expect("a subject"),
    ///     media_type: "video/mp4".into(),
    ///     limits: AgentLimits::default(),
    ///     identity,
    ///     pin,
    /// };
    /// let (inputs, for_agent) = tokio::sync::mpsc::channel(16); // bounded: a slow disk holds the pipeline back
    /// let (to_us, mut events) = tokio::sync::mpsc::channel(256);
    /// let running = CameraAgent::start(config, Arc::new(SystemClock::start()), for_agent, to_us)?;
    /// tokio::spawn(async move {
    ///     while let Some(event) = events.recv().await {
    ///         if let AgentEvent::EpochBegan { .. } = event { /* start the pipeline, the first time */ }
    ///     }
    /// });
    /// // From the pipeline's thread: `inputs.blocking_send(Input::Fragment(fragment))`; a closed channel means that the agent has ended.
    /// inputs.send(Input::Fragment(fragment)).await.ok();
    /// inputs.send(Input::EndOfSource).await.ok();
    /// let summary = running.wait().await?; // AgentError::exit_code() else
    /// println!("{} segments, {} left for the next start", summary.segments, summary.unsent);
    /// # Ok(())
    /// # }
    /// ```
    pub fn start(
        config: AgentConfig,
        clock: Arc<dyn Clock>,
        inputs: mpsc::Receiver<Input>,
        events: mpsc::Sender<AgentEvent>,
    ) -> Result<RunningAgent, AgentError> {
        todo!()
    }
}

impl RunningAgent {
    /// Waits until the inputs have ended and the spool is drained (or `drain_ms_max` has passed), or until it cannot go on.
    pub async fn wait(self) -> Result<AgentSummary, AgentError> {
        todo!()
    }
}

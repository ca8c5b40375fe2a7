//! The loop that performs what the other modules decide: seals on a thread of its own, spools, and uploads beside it.
//!
//! It does not know where fragments come from, nor where the signing key lives.

use std::{
    fs::{self, DirBuilder},
    os::unix::fs::DirBuilderExt,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use exhibit_client::{Appliance, ClientError, ClientIdentity};
use exhibit_evidence::{Pin, body::EpochReason};
use exhibit_pki::{KeyPurpose, Role, Subject};
use tokio::{
    runtime::Handle,
    sync::{mpsc, watch},
    task::JoinHandle,
    time::{Instant, sleep_until, timeout},
};

use crate::{
    AgentError, AgentEvent, AgentSummary, Clock, Delay, Input,
    courier::{Courier, RecipientsFailure, newest_recipients, obtain, recipients_path},
    obtain::ObtainError,
    recipients::Obeyed,
    recorder::{Orders, Recorder, Shared},
    spool::{Spool, SpoolError},
    state::{AgentState, StateError},
    succession::{Logs, NotBelieved, go_on, has_moved},
};

/// A camera that knows recipients asks for newer ones this long before it begins without an answer.
const FIRST_ANSWER_MAX: Duration = Duration::from_secs(5);
/// How often a camera that knows no recipients asks for them, at first and at most.
const RECIPIENTS_RETRY_MS: (u64, u64) = (500, 10_000);

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
pub struct RunningAgent {
    task: JoinHandle<Result<AgentSummary, AgentError>>,
}

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
        check_identity(&config)?;
        let mut appliance = Appliance::new(&config.appliance_address, &config.identity, &config.pin.anchor)?;
        make_private(&config.state_folder)?;
        let spool = Spool::open(&config.state_folder.join("spool"), config.limits.spool_bytes_max, config.limits.kept_items_max)?;
        let (logs, lost_logs) = or_begin(&config.state_folder.join("logs.json"), |path| Logs::open(path, &config.pin.anchor))?;
        logs.successors().for_each(|anchor| appliance.go_on(anchor));
        let log = logs.current().log;
        let (state, lost) = or_begin(&config.state_folder.join("state.json"), |path| AgentState::open(path, log))?;
        let findings: Vec<String> = spool.findings().iter().cloned().chain(lost_logs).chain(lost).collect();
        let begun_before = spool.newest_position().is_some();
        let shared = Arc::new(Shared::new(config, clock, spool, state, logs, events));
        let reason = if !findings.is_empty() && !begun_before { EpochReason::StateLost } else { EpochReason::Start };
        for text in &findings {
            shared.tell(AgentEvent::Finding { stream: None, text: text.clone() });
        }
        let found = findings.len() as u64;
        let task = tokio::spawn(async move {
            let mut summary = work(shared, appliance, inputs, reason).await?;
            summary.findings += found;
            Ok(summary)
        });
        Ok(RunningAgent { task })
    }
}

impl RunningAgent {
    /// Waits until the inputs have ended and the spool is drained (or `drain_ms_max` has passed), or until it cannot go on.
    pub async fn wait(self) -> Result<AgentSummary, AgentError> {
        self.task.await.map_err(|error| AgentError::Failed(error.to_string()))?
    }
}

/// Recipients first, then recording and uploading side by side until both have ended.
async fn work(
    shared: Arc<Shared>,
    mut appliance: Appliance,
    mut inputs: mpsc::Receiver<Input>,
    reason: EpochReason,
) -> Result<AgentSummary, AgentError> {
    let Some(recipients) = first_recipients(&shared, &mut appliance, &mut inputs).await? else {
        return Ok(AgentSummary { unsent: shared.spool().unsent().count() as u64, ..AgentSummary::default() });
    };
    let reason = if has_moved(&shared, &recipients.on) { EpochReason::Succession } else { reason };
    let (orders, to_recorder) = watch::channel(Orders { recipients: Arc::new(recipients), renewals: 0, reason: EpochReason::Rotation });
    let (to_courier, spooled) = mpsc::unbounded_channel();
    let courier = Courier::new(Arc::clone(&shared), appliance, orders, spooled);
    // The epoch is begun before anything is uploaded, so that the live stream goes first from the first statement on.
    let begun = tokio::task::spawn_blocking(move || Recorder::begin(shared, to_recorder, to_courier, reason));
    let recorder = match begun.await.map_err(|error| AgentError::Failed(error.to_string()))? {
        // What fills the disk may be what is spooled, and only uploading makes room: the next start finds it.
        Err(full @ AgentError::Spool(SpoolError::Full)) => {
            courier.run().await?;
            return Err(full);
        }
        begun => begun?,
    };
    let recorder = tokio::task::spawn_blocking(move || recorder.run(inputs, &Handle::current()));
    // When the courier ends early its orders end with it, and the recorder closes the epoch and stops.
    let uploaded = courier.run().await;
    let recorded = recorder.await.map_err(|error| AgentError::Failed(error.to_string()))?;
    let mut summary = uploaded?;
    summary.segments = recorded?;
    Ok(summary)
}

/// The newest recipients if the appliance answers, else those kept from before, else it waits. `None` if it was asked to stop meanwhile.
async fn first_recipients(
    shared: &Shared,
    appliance: &mut Appliance,
    inputs: &mut mpsc::Receiver<Input>,
) -> Result<Option<Obeyed>, AgentError> {
    let number = shared.state().recipients_number();
    let anchors = shared.logs().anchors();
    let kept = match obtain(shared, &anchors).kept(&recipients_path(shared), number) {
        Ok(kept) => kept,
        Err(error) => {
            shared.tell(AgentEvent::Finding { stream: None, text: error.to_string() });
            None
        }
    };
    let mut delay_ms = RECIPIENTS_RETRY_MS.0;
    loop {
        let asked = newest_recipients(shared, appliance, kept.as_ref());
        let answer = if kept.is_some() { timeout(FIRST_ANSWER_MAX, asked).await.ok() } else { Some(asked.await) };
        let mut lacks_approvals = None;
        if let Some(Err(RecipientsFailure::Obtain(error))) = &answer
            && error.may_be_of_successor()
        {
            match go_on(shared, appliance, kept.as_ref().map(|kept| &kept.accepted)).await? {
                Ok(true) => {
                    if error.is_contradiction() {
                        shared
                            .tell(AgentEvent::Finding { stream: None, text: format!("before the camera went on in another log: {error}") });
                    }
                    continue;
                }
                Ok(false) => {}
                Err(NotBelieved { text, waits_for_custodians }) => {
                    lacks_approvals = (waits_for_custodians && error.is_excused_by_successor()).then(|| text.clone());
                    shared.tell(AgentEvent::Finding { stream: None, text });
                }
            }
        }
        let reason = match (answer, kept.as_ref()) {
            (_, Some(kept)) if lacks_approvals.is_some() => return Ok(Some(kept.clone())),
            (Some(Ok(Some(obeyed))), _) => return Ok(Some(obeyed)),
            (Some(Err(RecipientsFailure::Agent(error))), _) => return Err(error),
            (_, None) if lacks_approvals.is_some() => lacks_approvals.unwrap_or_default(),
            (Some(Err(RecipientsFailure::Obtain(error))), _) if error.is_untrustworthy() => {
                return Err(AgentError::Untrustworthy(error.to_string()));
            }
            (Some(Err(RecipientsFailure::Obtain(error))), Some(kept)) => {
                if !matches!(error, ObtainError::Client(ClientError::Unreachable { .. })) {
                    shared.tell(AgentEvent::Finding { stream: None, text: format!("{error}; recording begins with those obeyed before") });
                }
                return Ok(Some(kept.clone()));
            }
            (Some(Ok(None)) | None, Some(kept)) => return Ok(Some(kept.clone())),
            (Some(Err(RecipientsFailure::Obtain(error))), None) => error.to_string(),
            (Some(Ok(None)) | None, None) => "the appliance gave no recipients".to_owned(),
        };
        shared.tell(AgentEvent::Waiting(Delay { reason, retry_in_ms: delay_ms }));
        if stopped_within(inputs, Duration::from_millis(delay_ms)).await {
            return Ok(None);
        }
        delay_ms = (delay_ms * 2).min(RECIPIENTS_RETRY_MS.1);
    }
}

/// Waits, and tells whether it was asked to stop. Fragments that come before the first epoch have no key, and are dropped.
async fn stopped_within(inputs: &mut mpsc::Receiver<Input>, wait: Duration) -> bool {
    let until = Instant::now() + wait;
    loop {
        tokio::select! {
            () = sleep_until(until) => return false,
            input = inputs.recv() => match input {
                Some(Input::Fragment(_) | Input::SourceLost) => {}
                Some(Input::EndOfSource | Input::Stop) | None => return true,
            },
        }
    }
}

fn check_identity(config: &AgentConfig) -> Result<(), AgentError> {
    let certificate = &config.identity.certificate;
    let subject = certificate.identity().map(|identity| &identity.subject);
    let wrong = |reason: String| Err(AgentError::Identity(reason));
    if subject != Some(&config.camera) {
        return wrong(format!("the certificate is for {}, not for {}", certificate.common_name(), config.camera));
    }
    if certificate.purpose() != KeyPurpose::Signing || !certificate.has_role(Role::Camera) {
        return wrong("the certificate is not a camera's signing certificate".into());
    }
    if certificate.public_key() != config.identity.signer.public_key() {
        return wrong("the key is not the one in the certificate: enrol again".into());
    }
    Ok(())
}

fn make_private(folder: &Path) -> Result<(), AgentError> {
    let made = DirBuilder::new().recursive(true).mode(0o700).create(folder);
    made.map_err(|source| AgentError::State(StateError::Storage { path: folder.to_owned(), source }))
}

/// A damaged file is like a lost one: it is moved aside and said, and the camera begins from its pin instead of not at all.
fn or_begin<T>(path: &Path, open: impl Fn(&Path) -> Result<T, StateError>) -> Result<(T, Option<String>), AgentError> {
    match open(path) {
        Err(StateError::Damaged(_)) => {
            let aside = path.with_extension("damaged");
            fs::rename(path, &aside).map_err(|source| StateError::Storage { path: path.to_owned(), source })?;
            let finding =
                format!("{} was damaged: it was moved to {}, and the camera begins from its pin", path.display(), aside.display());
            Ok((open(path)?, Some(finding)))
        }
        other => Ok((other?, None)),
    }
}

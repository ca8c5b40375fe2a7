//! The agent at work: pipeline, core and signals wired together.
//!
//! It decides only when to start, and when to stop.

use std::{path::Path, pin::pin, sync::Arc, time::Duration};

use exhibit_camera_core::{AgentConfig, AgentError, AgentEvent, AgentSummary, CameraAgent, Input, SystemClock};
use tokio::{
    signal::unix::{Signal, SignalKind, signal},
    sync::mpsc,
    time::{Instant, sleep_until},
};

use crate::{Config, Failure, MediaSettings, Player, Report, enrol, pipeline};

/// Fragments between the pipeline and sealing: eight seconds, should the disk or the TPM be slow.
const INPUTS_MAX: usize = 16;
/// Events between the core and the terminal.
const EVENTS_MAX: usize = 256;

/// Records until the source ends or somebody asks to stop; what could not be sent by then stays in the spool.
pub async fn run(config: &Config, state: &Path, report: Report) -> Result<(), Failure> {
    let source = config.source.clone().ok_or(Failure::Usage("no source: name one with --source, or in agent.toml"))?;
    let appliance = config.appliance.clone().ok_or(Failure::Usage("no appliance: name one with --appliance, or in agent.toml"))?;
    let settings = MediaSettings { source, live_speed: config.live_speed, offset_ms: 0 };
    // Before anything is put on the ledger for a source that can not be played.
    pipeline::check(&settings.source)?;
    let enrolment = enrol::open(config, state)?;
    let signals = Signals::listen()?;
    let (inputs, for_agent) = mpsc::channel(INPUTS_MAX);
    let (to_us, events) = mpsc::channel(EVENTS_MAX);
    let agent = AgentConfig {
        state_folder: state.to_owned(),
        appliance_address: appliance,
        identity: enrolment.identity,
        pin: enrolment.pin,
        camera: enrolment.camera,
        media_type: "video/mp4".to_owned(),
        limits: config.limits(),
    };
    let running = CameraAgent::start(agent, Arc::new(SystemClock::start()), for_agent, to_us)?;
    let drain = Duration::from_secs(config.stop_drain_s.into());
    let mut work = Work { settings, inputs, report, player: None, drain, deadline: None, done: AgentSummary::default() };
    let outcome = work.until_end(running.wait(), events, signals).await;
    let played = work.player.take().map_or(Ok(()), |player| {
        player.stop();
        player.wait().map(drop)
    });
    match outcome? {
        Some(summary) => report.summary(&summary),
        None => report.cut_off(&work.done),
    }
    Ok(played?)
}

/// What is going on.
struct Work {
    settings: MediaSettings,
    inputs: mpsc::Sender<Input>,
    report: Report,
    player: Option<Player>,
    drain: Duration,
    /// Set when somebody asked to stop: until then to send what is spooled.
    deadline: Option<Instant>,
    /// Counted here too, for when the agent's own summary is not waited for.
    done: AgentSummary,
}

impl Work {
    /// The agent's summary, or none if it was not waited for.
    async fn until_end(
        &mut self,
        agent: impl Future<Output = Result<AgentSummary, AgentError>>,
        mut events: mpsc::Receiver<AgentEvent>,
        mut signals: Signals,
    ) -> Result<Option<AgentSummary>, Failure> {
        let mut agent = pin!(agent);
        loop {
            let never = Instant::now() + Duration::from_secs(86_400);
            tokio::select! {
                biased;
                Some(event) = events.recv() => self.event(&event)?,
                () = signals.next() => self.stop(),
                () = sleep_until(self.deadline.unwrap_or(never)), if self.deadline.is_some() => return Ok(None),
                ended = &mut agent => return Ok(Some(ended?)),
            }
        }
    }

    /// The pipeline starts when there is a key to seal with, once.
    fn event(&mut self, event: &AgentEvent) -> Result<(), Failure> {
        self.report.event(event);
        match event {
            AgentEvent::EpochBegan { .. } if self.player.is_none() && self.deadline.is_none() => {
                let report = self.report;
                let player = Player::start(self.settings.clone(), self.inputs.clone(), move |delay| report.source_lost(delay));
                self.player = Some(player.map_err(|error| Failure::System(format!("a thread could not start: {error}")))?);
            }
            AgentEvent::Sealed { .. } => self.done.segments += 1,
            AgentEvent::Acknowledged { .. } => self.done.acknowledged += 1,
            AgentEvent::Finding { .. } => self.done.findings += 1,
            _ => {}
        }
        Ok(())
    }

    /// Asked once, it ends what it is at; asked again, it leaves what is in the spool to the next start.
    fn stop(&mut self) {
        if self.deadline.is_some() {
            self.deadline = Some(Instant::now());
            return;
        }
        tracing::info!("stopping: the segment is finished, and what is spooled is sent for at most {} s", self.drain.as_secs());
        self.deadline = Some(Instant::now() + self.drain);
        match &self.player {
            Some(player) => player.stop(),
            // A full channel: the agent has more than enough to do, and ends when the sender is dropped.
            None => drop(self.inputs.try_send(Input::Stop)),
        }
    }
}

/// SIGTERM and SIGINT.
struct Signals {
    terminate: Signal,
    interrupt: Signal,
}

impl Signals {
    fn listen() -> Result<Self, Failure> {
        let listen = |kind| signal(kind).map_err(|error| Failure::System(format!("signals can not be listened for: {error}")));
        Ok(Self { terminate: listen(SignalKind::terminate())?, interrupt: listen(SignalKind::interrupt())? })
    }

    async fn next(&mut self) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
        }
    }
}

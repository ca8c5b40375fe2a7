//! A virtual camera: the agent's own core, which seals, signs, spools and uploads, with made-up video that comes by the clock.
//!
//! It does not know whether the appliance keeps up: what is due is recorded at its time (an open loop), and waits in the spool.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use exhibit_camera_core::{AgentConfig, AgentEvent, AgentLimits, AgentSummary, CameraAgent, Fragment, Input, SystemClock};
use exhibit_e2e::agent::Told;
use exhibit_e2e::oracle::Spooling;
use exhibit_e2e::seed::Dice;
use exhibit_e2e::world::{World, fill_random};
use exhibit_evidence::Pin;
use tokio::sync::{mpsc, watch};
use tokio::time::{Instant, sleep_until};

use crate::enrol::Enrolled;

/// As cameras make them: a CMAF chunk each half second.
const FRAGMENT_MS: u64 = 500;
/// A camera's segments play between two and six seconds, whole seconds, always the same.
const SEGMENT_S: (u64, u64) = (2, 6);
/// A pipeline that the recorder does not keep up with waits, as GStreamer's does.
const INPUTS_MAX: usize = 16;
/// Events are taken as they come; one that was dropped would be noticed, by the agent's own count.
const EVENTS_MAX: usize = 4096;
/// Beyond any that these cameras fill: of what is recorded, nothing is dropped.
const SPOOL_BYTES_MAX: u64 = 256 << 20;
/// `ftyp` and `moov` of a camera have about a kilobyte.
const INITIALISATION_BYTES: usize = 1024;

/// How a camera records.
#[derive(Clone, Debug)]
pub struct Footage {
    /// How long a segment plays.
    pub segment_ms: u64,
    /// Into the run, when its first segment begins: cameras are not in step.
    pub phase_ms: u64,
    /// On average.
    pub bytes_per_s: u64,
}

impl Footage {
    /// One of many.
    pub fn draw(dice: &mut Dice, bytes_per_s: u64) -> Self {
        let segment_ms = 1000 * (SEGMENT_S.0 + dice.below(SEGMENT_S.1 - SEGMENT_S.0 + 1));
        Self { segment_ms, phase_ms: dice.below(segment_ms), bytes_per_s }
    }

    /// Into the run, when segment `number` is complete and due. The agent knows that it is complete when the first fragment of the next one comes,
    /// or the end of all.
    fn due_ms(&self, number: u64, end_ms: u64) -> u64 {
        (self.phase_ms + (number + 1) * self.segment_ms + FRAGMENT_MS).min(end_ms)
    }

    /// Fragment `index` of segment `number`. The first has the key frame, and twice the bytes of another.
    fn fragment(&self, number: u64, index: u64, pixels: &[u8]) -> Fragment {
        let fragments = self.segment_ms / FRAGMENT_MS;
        let share = self.bytes_per_s * self.segment_ms / 1000 / (fragments + 1);
        let length = usize::try_from(if index == 0 { 2 * share } else { share }).expect("fragments fit into memory");
        let mut bytes = Vec::with_capacity(length + INITIALISATION_BYTES);
        if index == 0 {
            push_box(&mut bytes, *b"ftyp", &pixels[..16]);
            push_box(&mut bytes, *b"moov", &pixels[..INITIALISATION_BYTES - 32]);
        }
        // Other bytes for each fragment: an appliance might store the same only once.
        let from = usize::try_from((number * fragments + index) * 16).expect("runs are short") % (pixels.len() - FRAGMENT_BYTES_MAX);
        push_box(&mut bytes, *b"mdat", &pixels[from..from + length.min(FRAGMENT_BYTES_MAX)]);
        Fragment {
            bytes,
            begins_segment: index == 0,
            random_access: index == 0,
            start_ms: number * self.segment_ms + index * FRAGMENT_MS,
            duration_ms: FRAGMENT_MS,
        }
    }
}

fn push_box(bytes: &mut Vec<u8>, kind: [u8; 4], content: &[u8]) {
    bytes.extend(u32::try_from(content.len() + 8).expect("boxes are short").to_be_bytes());
    bytes.extend(kind);
    bytes.extend(content);
}

/// As much as a first fragment has at 8 Mbit/s.
const FRAGMENT_BYTES_MAX: usize = 1 << 20;

/// Noise of which all cameras cut their pictures.
#[derive(Clone)]
pub struct Pixels(Arc<Vec<u8>>);

impl Pixels {
    /// Twice as much as the largest fragment takes.
    pub fn draw() -> Self {
        let mut noise = vec![0; 2 * FRAGMENT_BYTES_MAX];
        fill_random(&mut noise);
        Self(Arc::new(noise))
    }
}

/// When all cameras record: from one moment to another, which are set when all of them have begun.
#[derive(Clone, Copy, Debug)]
pub struct Take {
    /// The first moment.
    pub begin: Instant,
    /// For so long.
    pub length: Duration,
}

impl Take {
    /// The last moment.
    pub fn end(&self) -> Instant {
        self.begin + self.length
    }

    fn at(&self, ms: u64) -> Instant {
        self.begin + Duration::from_millis(ms)
    }
}

/// What a camera is told when it starts.
pub struct Setup {
    /// Who it is.
    pub enrolled: Enrolled,
    /// The log and the custodian.
    pub pin: Pin,
    /// The appliance, or the link to it.
    pub address: String,
    /// Its disk.
    pub state: PathBuf,
    /// What it records.
    pub footage: Footage,
    /// After its end, how long it may go on uploading.
    pub drain_max: Duration,
}

/// A segment: when it was due, and when its receipt was verified and kept.
#[derive(Clone, Copy, Debug)]
pub struct Recorded {
    /// When it was complete.
    pub due: Instant,
    /// Of its ciphertext.
    pub bytes: u64,
    /// `None` if it is still in the spool.
    pub acknowledged: Option<Instant>,
}

/// What became of a camera.
pub struct Camera {
    /// `camera/<number>`
    pub subject: String,
    /// Segments by stream and position.
    pub segments: BTreeMap<(String, u64), Recorded>,
    /// What the agent counted.
    pub summary: AgentSummary,
    /// What a person would have to look at.
    pub findings: Vec<String>,
    state: PathBuf,
    told: Vec<Told>,
}

impl Spooling for Camera {
    fn state(&self) -> &Path {
        &self.state
    }

    fn told(&self, _: &World) -> Vec<Told> {
        self.told.clone()
    }
}

impl Camera {
    /// One that never was, for what is computed of cameras.
    #[cfg(test)]
    pub fn made_up(subject: &str) -> Self {
        let (segments, summary) = (BTreeMap::new(), AgentSummary::default());
        Self { subject: subject.to_owned(), segments, summary, findings: Vec::new(), state: PathBuf::new(), told: Vec::new() }
    }

    /// Starts the agent, tells `begun` when its epoch has begun, records during the take that `takes` then gives, and ends.
    pub async fn run(setup: Setup, pixels: Pixels, begun: mpsc::UnboundedSender<()>, mut takes: watch::Receiver<Option<Take>>) -> Self {
        let Setup { enrolled, pin, address, state, footage, drain_max } = setup;
        let subject = enrolled.subject.to_string();
        let limits = AgentLimits {
            spool_bytes_max: SPOOL_BYTES_MAX,
            drain_ms_max: u64::try_from(drain_max.as_millis()).expect("runs are short"),
            ..AgentLimits::default()
        };
        let config = AgentConfig {
            state_folder: state.clone(),
            appliance_address: address,
            identity: enrolled.identity,
            pin,
            camera: enrolled.subject,
            media_type: "video/mp4".to_owned(),
            limits,
        };
        let (inputs, for_agent) = mpsc::channel(INPUTS_MAX);
        let (to_us, events) = mpsc::channel(EVENTS_MAX);
        let running = CameraAgent::start(config, Arc::new(SystemClock::start()), for_agent, to_us);
        let running = running.unwrap_or_else(|error| panic!("{subject} does not start: {error}"));
        let recording = tokio::spawn(record(footage.clone(), pixels, inputs, takes.clone()));
        let mut heard = Heard::default();
        heard.listen(events, &begun, &mut takes, &footage).await;
        let summary = running.wait().await.unwrap_or_else(|error| panic!("{subject} has failed: {error}"));
        recording.await.expect("recording does not panic");
        assert_eq!(summary.segments, heard.segments.len() as u64, "{subject}: an event was lost on its way");
        Self { subject, segments: heard.segments, summary, findings: heard.findings, state, told: heard.told }
    }
}

/// What an agent has told.
#[derive(Default)]
struct Heard {
    segments: BTreeMap<(String, u64), Recorded>,
    /// What is not known as a segment: the agent's halves tell on their own, so that an acknowledgement may come before it is told what was sealed.
    early: BTreeMap<(String, u64), Instant>,
    findings: Vec<String>,
    told: Vec<Told>,
}

impl Heard {
    async fn listen(
        &mut self,
        mut events: mpsc::Receiver<AgentEvent>,
        begun: &mpsc::UnboundedSender<()>,
        takes: &mut watch::Receiver<Option<Take>>,
        footage: &Footage,
    ) {
        while let Some(event) = events.recv().await {
            let now = Instant::now();
            match event {
                // Nobody counts those of later epochs.
                AgentEvent::EpochBegan { .. } => drop(begun.send(())),
                AgentEvent::Sealed { stream, seq, bytes, .. } => {
                    let take = (*takes.borrow()).expect("segments come of a take");
                    let end_ms = u64::try_from(take.length.as_millis()).expect("runs are short");
                    // Segments are sealed in their order.
                    let due = take.at(footage.due_ms(self.segments.len() as u64, end_ms));
                    let place = (stream.as_str().to_owned(), seq);
                    let acknowledged = self.early.remove(&place);
                    self.segments.insert(place, Recorded { due, bytes, acknowledged });
                }
                AgentEvent::Acknowledged { stream, seq, index, .. } => {
                    let stream = stream.as_str().to_owned();
                    match self.segments.get_mut(&(stream.clone(), seq)) {
                        Some(segment) => segment.acknowledged = Some(now),
                        None => drop(self.early.insert((stream.clone(), seq), now)),
                    }
                    self.told.push(Told { stream, seq, index });
                }
                AgentEvent::Finding { text, .. } => self.findings.push(text),
                AgentEvent::SpoolFull => self.findings.push("the spool is full".to_owned()),
                _ => {}
            }
        }
    }
}

/// Gives each fragment at its time, or as soon after it as it is taken, until the end of the take.
async fn record(footage: Footage, pixels: Pixels, inputs: mpsc::Sender<Input>, mut takes: watch::Receiver<Option<Take>>) {
    let Ok(take) = takes.wait_for(Option::is_some).await.map(|take| take.expect("it was waited for")) else { return };
    let fragments = footage.segment_ms / FRAGMENT_MS;
    for position in 0.. {
        // A fragment is there when its last frame is.
        let due = take.at(footage.phase_ms + (position + 1) * FRAGMENT_MS);
        if due >= take.end() {
            break;
        }
        sleep_until(due).await;
        let fragment = footage.fragment(position / fragments, position % fragments, &pixels.0);
        if inputs.send(Input::Fragment(fragment)).await.is_err() {
            return;
        }
    }
    sleep_until(take.end()).await;
    // The agent may have ended by itself, which its own word tells.
    let _ = inputs.send(Input::EndOfSource).await;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_segment_has_the_bytes_of_its_rate_and_is_due_when_the_next_one_begins() {
        let footage = Footage { segment_ms: 4000, phase_ms: 700, bytes_per_s: 125_000 };
        let pixels = Pixels::draw();
        let bytes: usize = (0..8).map(|index| footage.fragment(3, index, &pixels.0).bytes.len()).sum();
        assert!((500_000..502_000).contains(&bytes), "4 s at 1 Mbit/s are {bytes} bytes");
        assert_eq!((footage.due_ms(0, 60_000), footage.due_ms(9, 60_000), footage.due_ms(99, 60_000)), (5_200, 41_200, 60_000));
        let (one, other) = (footage.fragment(0, 1, &pixels.0), footage.fragment(1, 1, &pixels.0));
        assert_ne!(one.bytes, other.bytes, "the same pictures again");
    }
}

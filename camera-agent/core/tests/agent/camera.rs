//! A camera that a test feeds, and what has come of it: at the server, and on its disk.

use exhibit_camera_core::{
    AgentConfig, AgentError, AgentEvent, AgentLimits, AgentSummary, CameraAgent, Clock, Fragment, Input, RunningAgent, SystemClock,
};
use exhibit_evidence::envelope::KeyPackage;
use exhibit_evidence::keytree::KeyTree;
use exhibit_evidence::{Body, SignedStatement, Statement, envelope};
use exhibit_pki::Subject;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::mpsc;

use crate::support::FakeAppliance;

/// Nothing that these tests await takes so long; what does, hangs.
pub const PATIENCE: Duration = Duration::from_secs(60);

pub struct Camera {
    pub inputs: mpsc::Sender<Input>,
    pub events: mpsc::Receiver<AgentEvent>,
    pub running: RunningAgent,
    pub sent_ms: u64,
}

pub fn config(fake: &FakeAppliance, folder: &Path) -> AgentConfig {
    AgentConfig {
        state_folder: folder.to_owned(),
        appliance_address: fake.address.clone(),
        identity: fake.pki.identity(&fake.pki.camera()),
        pin: fake.pin(),
        camera: Subject::parse("camera/102").unwrap(),
        media_type: "video/mp4".into(),
        limits: AgentLimits { drain_ms_max: 20_000, recipients_interval_ms: 100, ..AgentLimits::default() },
    }
}

pub fn start(config: AgentConfig) -> Camera {
    start_at(config, Arc::new(SystemClock::start()))
}

pub fn start_at(config: AgentConfig, clock: Arc<dyn Clock>) -> Camera {
    let (inputs, for_agent) = mpsc::channel(16);
    let (to_us, events) = mpsc::channel(4096);
    let running = CameraAgent::start(config, clock, for_agent, to_us).unwrap();
    Camera { inputs, events, running, sent_ms: 0 }
}

/// A server with a certified custodian and recipients for camera 102.
pub async fn appliance() -> FakeAppliance {
    let fake = FakeAppliance::start().await;
    fake.introduce(&fake.pki.custodian_wrapping().certificate, 0);
    fake.recipients(&fake.pki.custodian(), |_| {});
    fake
}

impl Camera {
    /// One segment of four fragments of half a second.
    pub async fn segment(&mut self, content: &str) {
        for part in 0..4 {
            let fragment = Fragment {
                bytes: format!("{content}.{part}").into_bytes(),
                begins_segment: part == 0,
                random_access: part == 0,
                start_ms: self.sent_ms,
                duration_ms: 500,
            };
            self.sent_ms += 500;
            self.inputs.send(Input::Fragment(fragment)).await.unwrap();
        }
    }

    pub async fn until(&mut self, what: impl Fn(&AgentEvent) -> bool) -> AgentEvent {
        let awaited = async {
            loop {
                let event = self.events.recv().await.expect("the agent has ended");
                if what(&event) {
                    return event;
                }
            }
        };
        tokio::time::timeout(PATIENCE, awaited).await.expect("it never happened")
    }

    pub async fn until_begun(&mut self) -> String {
        match self.until(|event| matches!(event, AgentEvent::EpochBegan { .. })).await {
            AgentEvent::EpochBegan { stream, .. } => stream.as_str().to_owned(),
            other => panic!("{other:?}"),
        }
    }

    pub async fn until_acknowledged(&mut self, seq: u64) {
        self.until(|event| matches!(event, AgentEvent::Acknowledged { seq: at, .. } if *at == seq)).await;
    }

    /// Until the beginning of its stream, which it is answered, is on the ledger.
    pub async fn until_at_work(&mut self) -> String {
        let stream = self.until_begun().await;
        self.until_acknowledged(0).await;
        stream
    }

    /// The first fragment of the next segment, at which the one before is sealed; an agent that has ended does not take it.
    pub async fn begin_segment(&mut self) {
        let fragment = Fragment { bytes: vec![1], begins_segment: true, random_access: true, start_ms: self.sent_ms, duration_ms: 500 };
        drop(self.inputs.send(Input::Fragment(fragment)).await);
    }

    /// Records until an epoch begins that `what` likes: orders are obeyed where a segment begins.
    pub async fn record_until_begun(&mut self, what: impl Fn(u64) -> bool) -> String {
        let recorded = async {
            loop {
                self.segment("more").await;
                while let Ok(event) = self.events.try_recv() {
                    if let AgentEvent::EpochBegan { stream, recipients_number } = event
                        && what(recipients_number)
                    {
                        return stream.as_str().to_owned();
                    }
                }
            }
        };
        tokio::time::timeout(PATIENCE, recorded).await.expect("no new epoch begins")
    }

    pub async fn end(self) -> Result<AgentSummary, AgentError> {
        self.inputs.send(Input::EndOfSource).await.ok();
        self.wait().await
    }

    pub async fn wait(self) -> Result<AgentSummary, AgentError> {
        tokio::time::timeout(PATIENCE, self.running.wait()).await.expect("the agent does not end")
    }
}

/// The statements of the camera on the log, with their indexes.
pub fn logged(fake: &FakeAppliance) -> Vec<(u64, SignedStatement)> {
    let world = fake.world();
    let statements =
        world.log.entries.iter().enumerate().skip(1).map(|(index, entry)| (index as u64, SignedStatement::parse(entry).unwrap()));
    statements.filter(|(_, signed)| signed.statement().stream.as_str().starts_with("camera/")).collect()
}

pub fn kinds(fake: &FakeAppliance) -> Vec<String> {
    logged(fake).iter().map(|(_, signed)| signed.statement().body.type_name().to_owned()).collect()
}

pub fn streams(fake: &FakeAppliance) -> Vec<Vec<Statement>> {
    let mut streams: Vec<Vec<Statement>> = Vec::new();
    for (_, signed) in logged(fake) {
        let statement = signed.statement().clone();
        match streams.iter_mut().find(|stream| stream[0].stream == statement.stream) {
            Some(stream) => stream.push(statement),
            None => streams.push(vec![statement]),
        }
    }
    streams
}

pub fn spooled(folder: &Path, extension: &str) -> usize {
    let mut count = 0;
    for stream in std::fs::read_dir(folder.join("spool")).unwrap() {
        if let Ok(files) = std::fs::read_dir(stream.unwrap().path()) {
            count += files.filter(|file| file.as_ref().unwrap().path().extension().is_some_and(|found| found == extension)).count();
        }
    }
    count
}

/// The tree that the custodian gets out of the epoch's wraps, as the server received them.
pub fn open_wraps(fake: &FakeAppliance, signed: &SignedStatement) -> KeyTree {
    let Body::Epoch(epoch) = &signed.statement().body else { panic!("not an epoch") };
    let attachment = &epoch.attachments[0];
    let stored = fake.world().attachments[&attachment.sha256].clone();
    let wrapping = fake.pki.custodian_wrapping();
    let package = envelope::open(attachment.open(&stored).unwrap(), &wrapping.certificate, wrapping.key.as_ref()).unwrap();
    let package = KeyPackage::parse(&package).unwrap();
    assert_eq!((package.log, package.streams.len()), (fake.anchor().log, 1));
    assert_eq!(package.streams[0].stream, signed.statement().stream);
    let tree = KeyTree::from_nodes(package.streams[0].nodes.clone()).unwrap();
    assert_eq!(tree.commitment(&signed.statement().stream), Some(epoch.commitment));
    tree
}

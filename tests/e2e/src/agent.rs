//! A camera as it really is: the agent's program, with its key in a TPM.
//!
//! It does not know what the agent does; its events tell.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

use exhibit_tpm::swtpm::Swtpm;
use serde_json::Value;

use crate::{
    process::{Running, program, run},
    world::{DOMAIN, Person, World},
};

/// The agent connects to its TPM, gets recipients and encodes two seconds before its first segment; a busy machine gets a minute.
pub const EVENT_MAX: Duration = Duration::from_secs(60);
/// A clip of these tests is sealed and uploaded within seconds.
pub const END_MAX: Duration = Duration::from_secs(120);

/// An enrolled camera.
pub struct AgentCamera {
    /// `camera/<id>`
    pub subject: String,
    state: PathBuf,
    tpm: Swtpm,
}

/// A statement that an agent told to be on the ledger.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Told {
    /// Its stream.
    pub stream: String,
    /// Its position there.
    pub seq: u64,
    /// Its index on the ledger.
    pub index: u64,
}

impl AgentCamera {
    /// An installation with a custodian, an auditor and one camera, whose recipient is the custodian.
    #[track_caller]
    pub fn installed() -> (World, Person, Person, Self) {
        let world = World::start();
        let (custodian, auditor) = (world.person("custodian", "custodian"), world.person("auditor", "auditor"));
        let camera = Self::enrol(&world, "102", &custodian);
        world.set_recipients(&custodian, &camera.subject);
        (world, custodian, auditor, camera)
    }

    /// Makes its key in a TPM of its own, has it certified, and installs certificate and pin.
    #[track_caller]
    pub fn enrol(world: &World, id: &str, custodian: &Person) -> Self {
        Self::enrol_with(world, id, &[custodian], 1)
    }

    /// The same, with so many of several custodians to decide.
    #[track_caller]
    pub fn enrol_with(world: &World, id: &str, custodians: &[&Person], threshold: u64) -> Self {
        let folder = |name: &str| world.folder().join(format!("{name}-{id}"));
        let (state, tpm_state, pin) = (folder("camera"), folder("tpm"), folder("pin"));
        fs::create_dir(&tpm_state).expect("the folder of this test can be written");
        let tpm = Swtpm::start(&tpm_state).expect("swtpm starts");
        let camera = Self { subject: format!("camera/{id}"), state, tpm };
        let identity = format!("spiffe://{DOMAIN}/{}", camera.subject);
        run(camera.command("enrol").args(["--identity", &identity])).expect(0);
        let certificate = folder("certificate");
        world.sign(&camera.state.join("camera.csr"), &certificate, &["camera"], &[]).expect(0);
        let mut pinned = world.exhibit_command(custodians[0]);
        pinned.args(["pin", "--threshold", &threshold.to_string(), "--out"]).arg(&pin);
        for custodian in custodians {
            pinned.args(["--custodian", &custodian.path("signing.pem")]);
        }
        run(&mut pinned).expect(0);
        let chain = world.pki().join("chain.pem");
        let mut install = camera.command("install");
        run(install.arg("--certificate").arg(&certificate).arg("--chain").arg(chain).arg("--pin").arg(&pin)).expect(0);
        camera
    }

    /// Starts the agent, telling its events.
    #[track_caller]
    pub fn start(&self, world: &World, source: &str, words: &[&str]) -> Running {
        self.start_over(world, world.address(), source, words)
    }

    /// The same over another way to the appliance.
    #[track_caller]
    pub fn start_over(&self, world: &World, address: &str, source: &str, words: &[&str]) -> Running {
        let mut command = self.command("run");
        command.args(["--source", source, "--appliance", address]).args(words);
        Running::start(&self.log_name(), &mut command, world.folder())
    }

    /// Everything that it has ever told to be on the ledger, killed since or not.
    pub fn told(&self, world: &World) -> Vec<Told> {
        let log = fs::read_to_string(world.folder().join(format!("{}.log", self.log_name()))).unwrap_or_default();
        let acknowledged = event("acknowledged");
        let told = log.lines().filter_map(acknowledged).map(|event| Told {
            stream: event["stream"].as_str().expect("streams have names").to_owned(),
            seq: event["seq"].as_u64().expect("seqs are numbers"),
            index: event["index"].as_u64().expect("indexes are numbers"),
        });
        told.collect()
    }

    /// Runs the agent until the source has ended and everything is on the ledger; its events.
    #[track_caller]
    pub fn record(&self, world: &World, source: &str, words: &[&str]) -> Recording {
        self.record_over(world, world.address(), source, words)
    }

    /// The same over another way to the appliance.
    #[track_caller]
    pub fn record_over(&self, world: &World, address: &str, source: &str, words: &[&str]) -> Recording {
        let mut agent = self.start_over(world, address, source, words);
        let mut events = Vec::new();
        loop {
            let event = agent.wait_for("end", END_MAX, any_event);
            let ended = event["event"] == "ended";
            events.push(event);
            if ended {
                break;
            }
        }
        let status = agent.wait_exit(END_MAX);
        assert_eq!(status.code(), Some(0), "the agent did not do as asked: {}", agent.last_lines());
        Recording { events }
    }

    fn command(&self, word: &str) -> Command {
        let mut command = Command::new(program("exhibit-camera-agent"));
        command.arg("--json").arg(word).arg("--state").arg(&self.state).args(["--tcti", &self.tpm.tcti()]);
        // libtss2 writes lines of its own, which say nothing that the agent does not.
        command.env("TSS2_LOG", "all+NONE");
        command
    }

    fn log_name(&self) -> String {
        self.subject.replace('/', "-")
    }

    /// What it has pinned.
    pub fn pin_path(&self, world: &World) -> PathBuf {
        world.folder().join(format!("pin-{}", self.subject.rsplit('/').next().expect("a subject has an id")))
    }

    /// The state folder.
    pub fn state(&self) -> &Path {
        &self.state
    }
}

/// What an agent told.
pub struct Recording {
    /// All events.
    pub events: Vec<Value>,
}

impl Recording {
    /// The events of a kind.
    pub fn of(&self, kind: &str) -> Vec<&Value> {
        self.events.iter().filter(|event| event["event"] == kind).collect()
    }

    /// What it counted at its end.
    pub fn ended(&self, name: &str) -> u64 {
        self.of("ended")[0][name].as_u64().expect("counts are numbers")
    }
}

/// The event that a line tells, if it tells one.
pub fn any_event(line: &str) -> Option<Value> {
    serde_json::from_str::<Value>(line).ok().filter(|value| value["event"].is_string())
}

/// The event of a kind.
pub fn event(kind: &'static str) -> impl Fn(&str) -> Option<Value> {
    move |line| any_event(line).filter(|value| value["event"] == kind)
}

/// Waits until the agent tells that a statement was acknowledged, of whose stream and seq `wanted` holds: the stream.
#[track_caller]
pub fn wait_acknowledged(agent: &mut Running, wanted: impl Fn(&str, u64) -> bool) -> String {
    let acknowledged = event("acknowledged");
    let found = |line: &str| {
        let event = acknowledged(line)?;
        let stream = event["stream"].as_str()?.to_owned();
        wanted(&stream, event["seq"].as_u64()?).then_some(stream)
    };
    agent.wait_for("acknowledgement", EVENT_MAX, found)
}

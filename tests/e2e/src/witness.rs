//! A witness as it really is: the program, on a port of its own, run by somebody else than the appliance.
//!
//! It knows nothing of what a policy demands.

use std::{
    fs,
    net::TcpListener,
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

use exhibit_evidence::Anchor;
use serde_json::Value;

use crate::process::{Running, program, run};

/// A witness listens at once; a busy machine gets a minute.
const READY_MAX: Duration = Duration::from_secs(60);

/// A witness.
pub struct Witness {
    /// What policies call it.
    pub name: String,
    /// Its verifier keys.
    pub keys: Vec<String>,
    /// The keys that it cosigns with as a mirror.
    pub mirror_keys: Vec<String>,
    state: PathBuf,
    address: String,
    running: Option<Running>,
}

impl Witness {
    /// Makes its keys, and chooses its port. It does not run yet.
    #[track_caller]
    pub fn new(folder: &Path, name: &str) -> Self {
        let state = folder.join(format!("witness-{name}"));
        let called = format!("{name}.example/witness");
        let mut init = Command::new(program("exhibit-witness"));
        run(init.args(["init", "--name", &called, "--state"]).arg(&state)).expect(0);
        let keys_of = |more: &[&str]| -> Vec<String> {
            let mut keys = Command::new(program("exhibit-witness"));
            let keys = run(keys.args(["--json", "keys", "--state"]).arg(&state).args(more)).expect(0).json();
            let keys = keys["keys"].as_array().expect("there are keys").iter();
            keys.map(|key| key.as_str().expect("keys are text").to_owned()).collect()
        };
        let (keys, mirror_keys) = (keys_of(&[]), keys_of(&["--mirror"]));
        // Whoever asks has to know the port before the witness can know the log.
        let free = TcpListener::bind("127.0.0.1:0").expect("there is a free port");
        let address = free.local_addr().expect("a listener has an address").to_string();
        Self { name: name.to_owned(), keys, mirror_keys, state, address, running: None }
    }

    /// Its lines in a policy, which names a group after it.
    pub fn policy_lines(&self) -> String {
        let Self { name, keys, address, .. } = self;
        let line = |number: usize| format!("witness {name}-{number} {} http://{address}/\n", keys[number]);
        format!("{}{}group {name} any {name}-0 {name}-1\n", line(0), line(1))
    }

    /// Makes it follow a log.
    pub fn follow(&self, anchor: &Anchor) {
        let path = self.state.join("witness.toml");
        let mut config = fs::read_to_string(&path).expect("init wrote a configuration");
        let keys: Vec<String> = anchor.verifier.keys.iter().map(|key| format!("{:?}", key.to_string())).collect();
        config.push_str(&format!("\n[[log]]\norigin = {:?}\nkeys = [{}]\n", anchor.verifier.origin, keys.join(", ")));
        fs::write(path, config).expect("the folder of this test can be written");
    }

    /// Its URL.
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// The lines by which an appliance is told to feed it.
    pub fn mirror_toml(&self) -> String {
        format!("\n[[mirror]]\nurl = {:?}\nkeys = {:?}\n", self.url(), self.mirror_keys)
    }

    /// Starts it, and waits until it serves.
    #[track_caller]
    pub fn start(&mut self, folder: &Path) {
        self.start_with(folder, &[]);
    }

    /// The same with more arguments.
    #[track_caller]
    pub fn start_with(&mut self, folder: &Path, more: &[&str]) {
        let mut command = Command::new(program("exhibit-witness"));
        command.args(["--json", "serve", "--listen", &self.address, "--state"]).arg(&self.state).args(more);
        let mut running = Running::start(&format!("witness-{}", self.name), &mut command, folder);
        running
            .wait_for("ready line", READY_MAX, |line| serde_json::from_str::<Value>(line).ok().filter(|value| value["event"] == "ready"));
        self.running = Some(running);
    }

    /// SIGKILL.
    pub fn kill(&mut self) {
        self.running.take().expect("the witness runs").kill();
    }

    /// SIGSTOP: it accepts connections, and answers nothing.
    pub fn hold(&self) {
        self.running.as_ref().expect("the witness runs").signal("STOP");
    }

    /// SIGCONT.
    pub fn release(&self) {
        self.running.as_ref().expect("the witness runs").signal("CONT");
    }
}

//! An installation in a temporary folder: authority, appliance, people, cameras, all by the real programs.
//!
//! It judges nothing. A failed test leaves the folder where it is if EXHIBIT_KEEP is set, and always shows what the programs said last.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
    sync::Arc,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use exhibit_client::{Appliance, ClientIdentity};
use exhibit_evidence::Anchor;
use exhibit_pki::{Certificate, Identity, Signer, SoftwareSigner, Timestamp, build_request_pem};
use exhibit_tlog::Hash;
use serde_json::Value;
use tempfile::TempDir;
use zeroize::Zeroizing;

use crate::process::{Outcome, Running, program, run};

/// The trust domain of these tests.
pub const DOMAIN: &str = "city.example";
/// The log's name.
pub const ORIGIN: &str = "city.example/log/1";
/// Any port that is free.
const ANY_PORT: &str = "127.0.0.1:0";
/// The appliance opens its ledger and listens within a second; a machine that is busy gets a minute.
const READY_MAX: Duration = Duration::from_secs(60);

/// The installation. Dropping it ends its programs and removes its folder.
pub struct World {
    appliance: Option<Running>,
    address: String,
    public_address: String,
    folder: TempDir,
}

/// A person with an identity folder, as `exhibit identity new` and the authority made it.
#[derive(Clone, Debug)]
pub struct Person {
    /// The folder.
    pub folder: PathBuf,
    /// `user/<id>`
    pub subject: String,
}

impl World {
    /// Makes a PKI and a log, and starts the appliance.
    pub fn start() -> Self {
        Self::start_with(|_| {})
    }

    /// The same below a folder, for those whom it matters which disk it is on.
    pub fn start_in(parent: &Path) -> Self {
        Self::start_below(parent, |_| {})
    }

    /// The same; `prepare` may change the appliance's state folder before its log is created.
    pub fn start_with(prepare: impl FnOnce(&Path)) -> Self {
        Self::start_below(&std::env::temp_dir(), prepare)
    }

    /// Both.
    pub fn start_below(parent: &Path, prepare: impl FnOnce(&Path)) -> Self {
        let mut folder = TempDir::with_prefix_in("exhibit-e2e-", parent).expect("there is a folder for temporary files");
        folder.disable_cleanup(std::env::var_os("EXHIBIT_KEEP").is_some());
        let mut world = Self { appliance: None, address: ANY_PORT.to_owned(), public_address: ANY_PORT.to_owned(), folder };
        world.authority(&["init", "--domain", DOMAIN, "--dir"], &[&world.pki()]).expect(0);
        world.create_log_with("appliance", ORIGIN, prepare);
        world.start_appliance();
        world
    }

    /// The folder that everything is in.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// The authority's folder.
    pub fn pki(&self) -> PathBuf {
        self.folder().join("pki")
    }

    /// The appliance's state.
    pub fn state(&self) -> PathBuf {
        self.folder().join("appliance")
    }

    /// The anchor's file.
    pub fn anchor_path(&self) -> PathBuf {
        self.state().join("anchor.json")
    }

    /// The anchor.
    pub fn anchor(&self) -> Anchor {
        let json = fs::read(self.anchor_path()).expect("create-log wrote an anchor");
        Anchor::parse(&json).expect("create-log wrote an anchor that parses")
    }

    /// `host:port` of the intake.
    pub fn address(&self) -> &str {
        &self.address
    }

    /// `host:port` of the public listener.
    pub fn public_address(&self) -> &str {
        &self.public_address
    }

    /// The certificates between people's and the root.
    pub fn chain(&self) -> Vec<Certificate> {
        let pem = fs::read_to_string(self.pki().join("chain.pem")).expect("init wrote a chain");
        Certificate::all_from_pem(&pem).expect("init wrote certificates")
    }

    /// Makes an appliance's state with a log of its own; it is not started.
    pub fn create_log(&self, name: &str, origin: &str) -> PathBuf {
        self.create_log_with(name, origin, |_| {})
    }

    /// Makes an appliance's state without a log: keys, certificate, configuration.
    pub fn initialise(&self, name: &str) -> PathBuf {
        let state = self.folder().join(name);
        let identity = format!("spiffe://{DOMAIN}/appliance/1");
        let servers = ["--server-name", "localhost", "--server-name", "127.0.0.1"];
        let mut init = Command::new(program("exhibit-appliance"));
        run(init.arg("init").arg("--state").arg(&state).arg("--identity").arg(identity).args(servers)).expect(0);
        let mut sign = Command::new(program("exhibit-authority"));
        sign.arg("sign").arg("--dir").arg(self.pki()).arg("--csr").arg(state.join("appliance.csr"));
        run(sign.args(["--role", "appliance"]).args(servers).arg("--out").arg(state.join("appliance.pem"))).expect(0);
        state
    }

    fn create_log_with(&self, name: &str, origin: &str, prepare: impl FnOnce(&Path)) -> PathBuf {
        let state = self.initialise(name);
        prepare(&state);
        let mut create = Command::new(program("exhibit-appliance"));
        create.arg("create-log").arg("--state").arg(&state).args(["--origin", origin]);
        run(create.arg("--chain").arg(self.pki().join("chain.pem")).arg("--root").arg(self.pki().join("root.pem"))).expect(0);
        state
    }

    /// Starts the appliance, on the addresses that it had before if it had any, and waits until it serves.
    #[track_caller]
    pub fn start_appliance(&mut self) {
        assert!(self.appliance.is_none(), "the appliance runs already");
        let mut command = Command::new(program("exhibit-appliance"));
        command.arg("--json").arg("serve").arg("--state").arg(self.state());
        command.args(["--intake", &self.address, "--public", &self.public_address]);
        let mut appliance = Running::start("appliance", &mut command, self.folder());
        let ready = appliance
            .wait_for("ready line", READY_MAX, |line| serde_json::from_str::<Value>(line).ok().filter(|value| value["event"] == "ready"));
        let address = |name: &str| ready[name].as_str().expect("the ready line names both addresses").to_owned();
        // From the second start on, it is where its clients look for it.
        (self.address, self.public_address) = (address("intake"), address("public"));
        self.appliance = Some(appliance);
    }

    /// What the appliance says when it refuses to start.
    #[track_caller]
    pub fn serve_refused(&self) -> String {
        let mut command = Command::new(program("exhibit-appliance"));
        command.arg("serve").arg("--state").arg(self.state()).args(["--intake", ANY_PORT, "--public", ANY_PORT]);
        run(&mut command).expect(2).stderr
    }

    /// The process that serves.
    pub fn appliance_id(&self) -> u32 {
        self.appliance.as_ref().expect("the appliance runs").id()
    }

    /// SIGKILL.
    pub fn kill_appliance(&mut self) {
        self.appliance.take().expect("the appliance runs").kill();
    }

    /// Runs `exhibit-authority` with words and then paths.
    pub fn authority(&self, words: &[&str], paths: &[&Path]) -> Outcome {
        run(Command::new(program("exhibit-authority")).args(words).args(paths))
    }

    /// Has the authority certify a request and put the certificate on the ledger.
    #[track_caller]
    pub fn sign(&self, csr: &Path, out: &Path, roles: &[&str], more: &[&str]) -> Outcome {
        let mut command = Command::new(program("exhibit-authority"));
        command.arg("sign").arg("--dir").arg(self.pki()).arg("--csr").arg(csr).arg("--out").arg(out).args(more);
        for role in roles {
            command.args(["--role", role]);
        }
        run(command.args(["--appliance", &self.address]).arg("--anchor").arg(self.anchor_path()))
    }

    /// Certifies a key of the test's own.
    #[track_caller]
    pub fn certify(&self, subject: &str, key: &SoftwareSigner, roles: &[&str], more: &[&str]) -> Certificate {
        let identity = Identity::parse(&format!("spiffe://{DOMAIN}/{subject}")).expect("the subject is well-formed");
        let name = format!("{}-{}", subject.replace('/', "-"), hex::encode(&key.public_key().as_bytes()[1..5]));
        let (csr, out) = (self.folder().join(format!("{name}.csr")), self.folder().join(format!("{name}.pem")));
        fs::write(&csr, build_request_pem(&identity, key).expect("a key in memory signs")).expect("the folder of this test can be written");
        self.sign(&csr, &out, roles, more).expect(0);
        read_certificate(&out)
    }

    /// A person with an identity folder and both certificates on the ledger.
    #[track_caller]
    pub fn person(&self, name: &str, role: &str) -> Person {
        let folder = self.folder().join(name);
        let mut new = Command::new(program("exhibit"));
        let made = run(new.args(["--json", "identity", "new", "--domain", DOMAIN, "--dir"]).arg(&folder)).expect(0);
        let identity = Identity::parse(&made.text("identity")).expect("identity new prints an identity");
        for purpose in ["signing", "wrapping"] {
            let (csr, out) = (folder.join(format!("{purpose}.csr")), folder.join(format!("{purpose}.pem")));
            self.sign(&csr, &out, &[role], &["--purpose", purpose]).expect(0);
        }
        fs::copy(self.pki().join("chain.pem"), folder.join("chain.pem")).expect("the chain can be copied");
        Person { folder, subject: identity.subject.to_string() }
    }

    /// Runs `exhibit --json` as somebody.
    pub fn exhibit(&self, person: &Person, words: &[&str]) -> Outcome {
        run(self.exhibit_command(person).arg("--json").args(words))
    }

    /// `exhibit`, told whom to speak to and as whom.
    pub fn exhibit_command(&self, person: &Person) -> Command {
        let mut command = Command::new(program("exhibit"));
        command.env("EXHIBIT_APPLIANCE", &self.address).env("EXHIBIT_ANCHOR", self.anchor_path());
        command.env("EXHIBIT_IDENTITY", &person.folder);
        command
    }

    /// Has a custodian say that only they can open a camera's evidence; the leaf hash of the statement.
    #[track_caller]
    pub fn set_recipients(&self, custodian: &Person, scope: &str) -> Hash {
        let (wrapping, signing) = (custodian.path("wrapping.pem"), custodian.path("signing.pem"));
        let words = ["recipients", "set", "--scope", scope, "--recipient", &wrapping, "--custodian", &signing];
        Hash::from_hex(&self.exhibit(custodian, &words).expect(0).text("leaf")).expect("a leaf hash is hex")
    }

    /// How many entries the log has, by its verified head.
    pub async fn log_size(&self, appliance: &mut Appliance) -> u64 {
        appliance.checkpoint(None).await.expect("anybody gets the head of the log").size
    }
}

impl Person {
    /// A file of the folder.
    pub fn path(&self, name: &str) -> String {
        self.folder.join(name).to_str().expect("temporary folders have plain names").to_owned()
    }

    /// Certificate, chain and key, for TLS and statements.
    pub fn identity(&self) -> ClientIdentity {
        let chain = fs::read_to_string(self.folder.join("chain.pem")).expect("the chain was copied here");
        ClientIdentity {
            certificate: read_certificate(&self.folder.join("signing.pem")),
            chain: Certificate::all_from_pem(&chain).expect("the chain is made of certificates"),
            signer: Arc::new(read_key(&self.folder.join("signing.key"))),
        }
    }

    /// Wrapping certificate and key.
    pub fn wrapping(&self) -> (Certificate, SoftwareSigner) {
        (read_certificate(&self.folder.join("wrapping.pem")), read_key(&self.folder.join("wrapping.key")))
    }

    /// A connection of their own.
    pub fn connect(&self, world: &World) -> Appliance {
        Appliance::new(world.address(), &self.identity(), &world.anchor()).expect("the address is well-formed")
    }
}

/// The moment, by this machine's clock, which all programs of a test share.
pub fn now() -> Timestamp {
    let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH).expect("the clock is after 1970");
    Timestamp::from_unix_ms(u64::try_from(since_epoch.as_millis()).expect("the clock is before the year 9999")).expect("likewise")
}

/// The moment so long ago.
pub fn past(ms: u64) -> Timestamp {
    Timestamp::from_unix_ms(now().unix_ms() - ms).expect("the clock is long after 1970")
}

/// Fills a slice with randomness.
pub fn fill_random(bytes: &mut [u8]) {
    getrandom::fill(bytes).expect("the operating system gives randomness");
}

/// A new key.
pub fn draw_key() -> SoftwareSigner {
    SoftwareSigner::draw(getrandom::fill).expect("the operating system gives randomness").expect("and what it gives is random")
}

/// Reads a certificate.
pub fn read_certificate(path: &Path) -> Certificate {
    let pem = fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    Certificate::from_pem(&pem).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// Reads a private key.
pub fn read_key(path: &Path) -> SoftwareSigner {
    let pem = Zeroizing::new(fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display())));
    SoftwareSigner::from_pkcs8_pem(&pem).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

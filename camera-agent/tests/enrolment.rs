//! Enrolment with a real software TPM: what fits is installed, and what does not fit leaves nothing behind.
#![allow(clippy::unwrap_used)]

use std::{
    fs,
    io::{BufRead as _, BufReader},
    path::{Path, PathBuf},
    process::{Command, Output, Stdio},
    time::{SystemTime, UNIX_EPOCH},
};

use exhibit_camera_agent::{Config, Failure, enrol};
use exhibit_evidence::{Anchor, Pin};
use exhibit_pki::{
    Certificate, CertificateRequest, EndEntity, Identity, Issuance, KeyPurpose, PublicKey, Role, RustCrypto, Signer, SoftwareSigner,
    Timestamp, TrustDomain, issue_end_entity, issue_issuing_ca, issue_root,
};
use exhibit_tlog::{Ed25519NoteSigner, Hash, LogVerifier, MlDsa44NoteSigner, NoteSigner};
use exhibit_tpm::swtpm::Swtpm;
use tempfile::TempDir;
use zeroize::Zeroizing;

const DAY_MS: u64 = 24 * 60 * 60 * 1000;

/// An authority with software keys, a TPM, and a folder for a camera.
struct World {
    folder: TempDir,
    tpm: Swtpm,
    issuing_key: SoftwareSigner,
    issuing: Certificate,
    pin: Pin,
}

fn key(seed: u8) -> SoftwareSigner {
    SoftwareSigner::from_scalar(&Zeroizing::new([seed; 48])).unwrap()
}

fn identity(subject: &str) -> Identity {
    Identity::parse(&format!("spiffe://city.example/{subject}")).unwrap()
}

/// Valid from `from_day` to `to_day`, counted from today.
fn issuance(from_day: i64, to_day: i64) -> Issuance {
    let now_ms = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_millis() as u64;
    let at = |day: i64| Timestamp::from_unix_ms(now_ms.checked_add_signed(day * DAY_MS as i64).unwrap()).unwrap();
    Issuance { not_before: at(from_day), not_after: at(to_day), serial: [9; 16] }
}

impl World {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let tpm_state = folder.path().join("tpm");
        fs::create_dir(&tpm_state).unwrap();
        let (root_key, issuing_key) = (key(1), key(2));
        let root = issue_root("root", &TrustDomain::parse("city.example").unwrap(), &root_key, &issuance(-10, 10)).unwrap();
        let roles = [Role::Camera, Role::Custodian];
        let issuing = issue_issuing_ca("issuing", issuing_key.public_key(), &roles, &root, &root_key, &issuance(-10, 10)).unwrap();
        let origin = "city.example/log/1";
        let keys = vec![
            Ed25519NoteSigner::new(origin, &Zeroizing::new([1; 32])).unwrap().verifier_key().clone(),
            MlDsa44NoteSigner::new(origin, &Zeroizing::new([2; 32])).unwrap().verifier_key().clone(),
        ];
        let anchor = Anchor {
            log: Hash([0x11; 32]),
            verifier: LogVerifier { origin: origin.to_owned(), keys },
            roots: vec![root],
            policy: Default::default(),
        };
        let mut world = Self {
            tpm: Swtpm::start(&tpm_state).unwrap(),
            folder,
            issuing_key,
            issuing,
            pin: Pin { anchor, custodians: vec![], threshold: 1 },
        };
        world.pin.custodians = vec![world.certify("user/7f3a", key(3).public_key(), Role::Custodian, &issuance(-1, 1))];
        world
    }

    fn certify(&self, subject: &str, public_key: &PublicKey, role: Role, issuance: &Issuance) -> Certificate {
        let identity = identity(subject);
        let entity = EndEntity { identity: &identity, public_key, purpose: KeyPurpose::Signing, roles: &[role], server_names: &[] };
        issue_end_entity(&entity, &self.issuing, &self.issuing_key, issuance).unwrap()
    }

    fn config(&self) -> Config {
        Config { tcti: self.tpm.tcti(), ..Config::default() }
    }

    fn state(&self) -> PathBuf {
        self.folder.path().join("camera")
    }

    fn write(&self, name: &str, text: &str) -> PathBuf {
        let path = self.folder.path().join(name);
        fs::write(&path, text).unwrap();
        path
    }

    /// The key that the camera asks to be certified, out of its request.
    fn requested_key(&self) -> PublicKey {
        let path = enrol::request(&self.config(), &self.state(), &identity("camera/102"), None).unwrap();
        let request = CertificateRequest::from_pem(&fs::read_to_string(path).unwrap(), &RustCrypto).unwrap();
        assert_eq!(request.identity(), Some(&identity("camera/102")));
        request.public_key().clone()
    }

    fn install(&self, certificate: &Certificate, chain: &Certificate, pin: &str) -> Result<enrol::Enrolment, Failure> {
        let (certificate, chain) = (self.write("c.pem", &certificate.to_pem()), self.write("chain.pem", &chain.to_pem()));
        enrol::install(&self.config(), &self.state(), &certificate, &chain, &self.write("pin", pin))
    }

    fn is_installed(&self) -> bool {
        self.state().join("certificate.pem").exists()
    }
}

#[test]
fn a_camera_is_enrolled_and_opened_again() {
    let world = World::new();
    let asked = world.requested_key();
    assert_eq!(world.requested_key(), asked, "asking again made another key");
    assert!(matches!(enrol::open(&world.config(), &world.state()), Err(Failure::NotEnrolled(_))));
    let certificate = world.certify("camera/102", &asked, Role::Camera, &issuance(-1, 1));
    world.install(&certificate, &world.issuing, &world.pin.to_json()).unwrap();
    let opened = enrol::open(&world.config(), &world.state()).unwrap();
    assert_eq!((opened.camera.to_string().as_str(), &opened.pin), ("camera/102", &world.pin));
    assert_eq!(opened.identity.certificate, certificate);
    // Renewed under the same pin.
    let renewed = world.certify("camera/102", &asked, Role::Camera, &issuance(-1, 5));
    world.install(&renewed, &world.issuing, &world.pin.to_json()).unwrap();
    assert_eq!(enrol::open(&world.config(), &world.state()).unwrap().identity.certificate, renewed);
}

#[test]
fn what_does_not_fit_is_not_installed() {
    let world = World::new();
    let ours = world.requested_key();
    let good = world.certify("camera/102", &ours, Role::Camera, &issuance(-1, 1));
    let pin = world.pin.to_json();
    let other_root = issue_root("other", &TrustDomain::parse("city.example").unwrap(), &key(5), &issuance(-10, 10)).unwrap();
    let foreign_pin = Pin { anchor: Anchor { roots: vec![other_root], ..world.pin.anchor.clone() }, ..world.pin.clone() };
    let cases = [
        ("another key", world.certify("camera/102", key(4).public_key(), Role::Camera, &issuance(-1, 1)), pin.clone(), "another key"),
        ("a person's", world.certify("user/7f3a", &ours, Role::Custodian, &issuance(-1, 1)), pin.clone(), "not a camera's"),
        ("another role", world.certify("camera/102", &ours, Role::Custodian, &issuance(-1, 1)), pin.clone(), "sign as a camera"),
        ("expired", world.certify("camera/102", &ours, Role::Camera, &issuance(-5, -1)), pin.clone(), "not valid at"),
        ("another root", good.clone(), foreign_pin.to_json(), "no path"),
        ("not a pin", good.clone(), "{}".to_owned(), "not an anchor"),
    ];
    for (name, certificate, pin, expected) in cases {
        let failure = world.install(&certificate, &world.issuing, &pin).unwrap_err();
        assert!(failure.to_string().contains(expected), "{name}: {failure}");
        assert!(!world.is_installed(), "{name} was installed");
    }
    assert!(!world.state().join("pin.json").exists(), "a pin stayed behind");
    world.install(&good, &world.issuing, &pin).unwrap();
}

/// Who can bring files to a camera must not be able to change the custodians by the way.
#[test]
fn another_pin_does_not_replace_the_first() {
    let world = World::new();
    let certificate = world.certify("camera/102", &world.requested_key(), Role::Camera, &issuance(-1, 1));
    world.install(&certificate, &world.issuing, &world.pin.to_json()).unwrap();
    let mallory = world.certify("user/666", key(6).public_key(), Role::Custodian, &issuance(-1, 1));
    let other = Pin { custodians: vec![mallory], ..world.pin.clone() };
    let failure = world.install(&certificate, &world.issuing, &other.to_json()).unwrap_err();
    assert!(matches!(failure, Failure::PinnedAlready(_)), "{failure}");
    assert_eq!(enrol::open(&world.config(), &world.state()).unwrap().pin, world.pin);
}

/// The certificate of one camera in another: its TPM has another key.
#[test]
fn a_stolen_state_folder_is_useless_without_its_tpm() {
    let world = World::new();
    let certificate = world.certify("camera/102", &world.requested_key(), Role::Camera, &issuance(-1, 1));
    world.install(&certificate, &world.issuing, &world.pin.to_json()).unwrap();
    let elsewhere = tempfile::tempdir().unwrap();
    let other_tpm = Swtpm::start(elsewhere.path()).unwrap();
    let config = Config { tcti: other_tpm.tcti(), ..Config::default() };
    let failure = enrol::open(&config, &world.state()).unwrap_err();
    assert!(failure.to_string().contains("another key"), "{failure}");
}

fn agent(arguments: &[&str], state: &Path) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_exhibit-camera-agent"));
    command.args(arguments).arg("--state").arg(state).output().unwrap()
}

#[test]
fn the_program_says_what_is_wrong_and_ends_with_the_code_for_it() {
    let folder = tempfile::tempdir().unwrap();
    let no_tpm = "device:/nonexistent/tpm";
    let csr = ["enrol", "--tcti", no_tpm, "--identity", "spiffe://city.example/camera/102", "--json"];
    for (arguments, code, expected) in [
        (&["run", "--source", "http://camera"][..], 64, "not a source of video"),
        (&["run", "--appliance", "a:1"], 64, "no source"),
        (&["run", "--source", "test:"], 64, "no appliance"),
        (&["run", "--source", "test:", "--appliance", "a:1"], 2, "enrol this camera first"),
        (&["run", "--source", "file:/nonexistent/clip.avi", "--appliance", "a:1"], 2, "No such file"),
        (&["enrol", "--tcti", no_tpm, "--identity", "spiffe://city.example/user/1"], 64, "not a camera's"),
        (&["enrol", "--tcti", no_tpm, "--identity", "camera/102"], 64, "identity"),
        (&csr, 2, "no TPM answers at device:/nonexistent/tpm"),
        (&["record"], 64, "unrecognized subcommand"),
    ] {
        let output = agent(arguments, folder.path());
        let said = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(code), "{arguments:?}: {said}");
        assert!(said.contains(expected), "{arguments:?}: {said}");
    }
    let printed = agent(&csr, folder.path()).stdout;
    let event: serde_json::Value = serde_json::from_slice(&printed).unwrap();
    assert_eq!((event["event"].as_str(), event["exit"].as_u64()), (Some("failed"), Some(2)));
}

/// An appliance that is not there is waited for; being asked to stop meanwhile is no failure.
#[test]
fn a_camera_without_its_appliance_waits_and_can_be_stopped() {
    let world = World::new();
    let certificate = world.certify("camera/102", &world.requested_key(), Role::Camera, &issuance(-1, 1));
    world.install(&certificate, &world.issuing, &world.pin.to_json()).unwrap();
    // The port was free a moment ago, and nothing listens on it.
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let mut process = Command::new(env!("CARGO_BIN_EXE_exhibit-camera-agent"))
        .args(["run", "--json", "--source", "test:", "--tcti", &world.tpm.tcti(), "--appliance", &format!("127.0.0.1:{port}")])
        .arg("--state")
        .arg(world.state())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let mut events = BufReader::new(process.stdout.take().unwrap())
        .lines()
        .map(|line| serde_json::from_str::<serde_json::Value>(&line.unwrap()).unwrap());
    let waiting = events.next().unwrap();
    assert_eq!(waiting["event"], "waiting", "{waiting}");
    assert!(Command::new("kill").args(["-TERM", &process.id().to_string()]).status().unwrap().success());
    let ended = events.last().unwrap();
    assert_eq!((&ended["event"], &ended["segments"]), (&"ended".into(), &0.into()), "{ended}");
    assert_eq!(process.wait().unwrap().code(), Some(0));
}

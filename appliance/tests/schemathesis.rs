//! schemathesis against a real appliance, as each kind of caller: what it makes from the OpenAPI document, good and bad, is answered as that says.
#![allow(clippy::unwrap_used, missing_docs)]

mod common;

use std::path::{Path, PathBuf};
use std::process::Command;

use common::*;
use exhibit_pki::{KeyPurpose, Role};
use tokio::task::spawn_blocking;

/// How much is made of each operation: all callers together take about a minute.
const EXAMPLES: &str = "3";
/// Another seed makes other requests.
const SEED: &str = "1";

/// No schema can say which bytes are a signed statement, or where an upload goes on: what is made for these is refused, and rightly.
const BRINGING: [&str; 2] = ["putStatement", "appendToUpload"];
/// It waits for the end of an answer before it judges it, and this one has none: `events.rs` does.
const ENDLESS: &str = "getEvents";
/// What the tool has to be told of our media types.
const HOOKS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../tests/api");
/// What is had without a certificate.
const OPEN: &str = r"^/(log/(checkpoint|witnessed|tpm|tile/\{tile\})|v1/(openapi\.json|docs)|healthz)$";

/// What the tool needs of a caller, in files.
struct Caller {
    name: &'static str,
    files: Option<(PathBuf, PathBuf)>,
    port: u16,
    /// Where everybody has the document from.
    public: u16,
}

impl Caller {
    fn new(folder: &Path, name: &'static str, party: &Party, (port, public): (u16, u16)) -> Self {
        let (chain, key) = (folder.join(format!("{name}.pem")), folder.join(format!("{name}.key")));
        let certificates: String =
            std::iter::once(&party.certificate).chain(&party.chain).map(|certificate| certificate.to_pem()).collect();
        std::fs::write(&chain, certificates).unwrap();
        std::fs::write(&key, party.signer.to_pkcs8_pem().as_bytes()).unwrap();
        Self { name, files: Some((chain, key)), port, public }
    }

    /// Runs the tool, and gives what it finds. Blocks.
    fn run(&self, tool: &Path, folder: &Path) -> Vec<String> {
        let bringing = |option: &str| BRINGING.iter().flat_map(|id| [option.to_owned(), (*id).to_owned()]).collect::<Vec<_>>();
        let mut runs = vec![bringing("--exclude-operation-id")];
        runs[0].extend(["--exclude-operation-id".to_owned(), ENDLESS.to_owned()]);
        match self.files {
            None => runs[0].extend(["--include-path-regex".to_owned(), OPEN.to_owned()]),
            Some(_) => {
                runs.push(bringing("--include-operation-id"));
                runs[1].extend(["--exclude-checks".to_owned(), "positive_data_acceptance".to_owned()]);
            }
        }
        runs.iter().filter_map(|more| self.find(tool, folder, more)).collect()
    }

    fn find(&self, tool: &Path, folder: &Path, more: &[String]) -> Option<String> {
        let url = |port: u16| format!("https://localhost:{port}");
        let mut command = Command::new(tool);
        command.current_dir(folder).args(["run", &format!("{}/v1/openapi.json", url(self.public))]);
        command.args(["--url", &url(self.port), "--tls-verify"]).arg(folder.join("root.pem"));
        // All checks are made where nothing else is said.
        command.args(["--mode", "all", "--phases", "examples,coverage,fuzzing", "--max-examples", EXAMPLES, "--seed", SEED]);
        command.args(["--generation-database", "none", "--suppress-health-check", "all", "--continue-on-failure", "--no-color"]);
        command.env("SCHEMATHESIS_HOOKS", "exhibit_hooks").env("PYTHONPATH", HOOKS).env("PYTHONDONTWRITEBYTECODE", "1");
        // What is asked of logs before is the same again: one asks for it.
        if self.name != "auditor" {
            command.args(["--exclude-path-regex", "^/v1/logs/"]);
        }
        if let Some((chain, key)) = &self.files {
            command.arg("--request-cert").arg(chain).arg("--request-cert-key").arg(key);
        }
        let output = command.args(more).output().unwrap();
        let said = String::from_utf8_lossy(&output.stdout);
        let what = format!("{}: {said}{}", self.name, String::from_utf8_lossy(&output.stderr));
        if output.status.success() { None } else { Some(what) }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn whatever_is_asked_is_answered_as_the_document_says() {
    let Some(tools) = spawn_blocking(tools::api_tools).await.unwrap() else { return };
    // It attempts much that is wrong, and that is no reason to ban it here.
    let mut world = World::with("[bans]\nattempts = 0\n").await;
    let (_, recipients) = world.set_recipients().await;
    world.begin_epoch("1a", recipients).await;
    let admin = world.pki.party("user/d", &[Role::Admin], KeyPurpose::Signing);
    world.introduce(&admin.certificate).await;
    let unknown = world.pki.party("camera/109", &[Role::Camera], KeyPurpose::Signing);
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("root.pem"), world.pki.root.to_pem()).unwrap();
    let (intake, public) = (world.running.addresses.intake.port(), world.running.addresses.public.port());
    let mut callers = vec![Caller { name: "nobody", files: None, port: public, public }];
    for (name, party) in [
        ("camera", &world.camera),
        ("custodian", &world.custodian),
        ("investigator", &world.investigator),
        ("auditor", &world.auditor),
        ("admin", &admin),
        ("authority", &world.authority.party),
        ("unknown", &unknown),
    ] {
        callers.push(Caller::new(folder.path(), name, party, (intake, public)));
    }
    let tool = tools.join("schemathesis");
    let path = folder.path().to_owned();
    let found = spawn_blocking(move || {
        // Each is a process of its own, and waits for the appliance half of the time.
        std::thread::scope(|scope| {
            let running: Vec<_> = callers.iter().map(|caller| scope.spawn(|| caller.run(&tool, &path))).collect();
            running.into_iter().flat_map(|running| running.join().unwrap()).collect::<Vec<_>>()
        })
    });
    let found = found.await.unwrap();
    assert!(found.is_empty(), "{}", found.join("\n\n"));
    assert_eq!(*world.fatal.lock().unwrap(), Vec::<String>::new());
}

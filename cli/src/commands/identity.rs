//! `exhibit identity`: a person's signing and wrapping keys, made on the person's machine; only requests leave it.

use std::fs::{self, OpenOptions};
use std::io::Write;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use clap::Subcommand;
use exhibit_pki::request::build_request_pem;
use exhibit_pki::{Identity, SoftwareSigner, Subject, TrustDomain};
use exhibit_program::EXIT_OK;

use crate::failure::Failure;
use crate::screen::{print_json, say};
use crate::session::{SIGNING_CERTIFICATE, SIGNING_KEY, WRAPPING_CERTIFICATE, WRAPPING_KEY, fill_random, read_certificate};

/// Random bytes of a user's id: an id must say nothing of its owner, since the ledger can not forget it.
const USER_ID_BYTES: usize = 8;
/// Only the owner may look into the folder, and read the keys.
const FOLDER_MODE: u32 = 0o700;
const KEY_MODE: u32 = 0o600;

/// What can be asked.
#[derive(Subcommand)]
pub enum Command {
    /// Make keys and certificate requests for a new person.
    New {
        /// The folder to make.
        #[arg(long)]
        dir: PathBuf,
        /// The trust domain, such as city.example.
        #[arg(long)]
        domain: String,
        /// The user id; drawn at random unless given. It stays on the ledger for ever: no names.
        #[arg(long)]
        id: Option<String>,
    },
    /// Show who an identity is.
    Show {
        /// The folder.
        #[arg(long, env = "EXHIBIT_IDENTITY")]
        dir: PathBuf,
    },
}

/// Runs it.
pub fn run(command: Command, json: bool) -> Result<u8, Failure> {
    match command {
        Command::New { dir, domain, id } => new(&dir, &domain, id, json),
        Command::Show { dir } => show(&dir, json),
    }
}

fn new(folder: &Path, domain: &str, id: Option<String>, json: bool) -> Result<u8, Failure> {
    let id = id.unwrap_or_else(|| {
        let mut bytes = [0; USER_ID_BYTES];
        fill_random(&mut bytes);
        hex::encode(bytes)
    });
    let domain = TrustDomain::parse(domain).map_err(|error| Failure::Usage(format!("--domain: {error}")))?;
    let subject = Subject::parse(&format!("user/{id}")).map_err(|error| Failure::Usage(format!("--id: {error}")))?;
    let identity = Identity { domain, subject };
    fs::DirBuilder::new().recursive(true).mode(FOLDER_MODE).create(folder).map_err(Failure::file("create", folder))?;
    for (key, request) in [(SIGNING_KEY, "signing.csr"), (WRAPPING_KEY, "wrapping.csr")] {
        let signer = draw_key()?;
        let pem = build_request_pem(&identity, &signer).map_err(|error| Failure::Cannot(error.to_string()))?;
        write_new(&folder.join(key), signer.to_pkcs8_pem().as_bytes(), KEY_MODE)?;
        write_new(&folder.join(request), pem.as_bytes(), 0o644)?;
    }
    if json {
        print_json(serde_json::json!({ "identity": identity.to_string(), "dir": folder }));
    } else {
        say(format!("Made {identity} in {}.", folder.display()));
        say(format!("Send signing.csr and wrapping.csr to the authority, and put what it answers there as {SIGNING_CERTIFICATE} and"));
        say(format!("{WRAPPING_CERTIFICATE}, and the authority's chain.pem beside them. The .key files must never leave this machine."));
    }
    Ok(EXIT_OK)
}

fn show(folder: &Path, json: bool) -> Result<u8, Failure> {
    let signing = read_certificate(&folder.join(SIGNING_CERTIFICATE))?;
    let wrapping = read_certificate(&folder.join(WRAPPING_CERTIFICATE))?;
    let identity = signing.identity().map(ToString::to_string).unwrap_or_default();
    let roles: Vec<_> = signing.roles().iter().map(ToString::to_string).collect();
    let (signs, wraps) = (hex::encode(signing.fingerprint()), hex::encode(wrapping.fingerprint()));
    if json {
        print_json(serde_json::json!({ "identity": identity, "roles": roles, "signing": signs, "wrapping": wraps }));
    } else {
        say(format!("identity   {identity}"));
        say(format!("roles      {}", roles.join(", ")));
        say(format!("signing    {signs}"));
        say(format!("wrapping   {wraps}"));
        say(format!("valid to   {}", signing.not_after()));
    }
    Ok(EXIT_OK)
}

fn draw_key() -> Result<SoftwareSigner, Failure> {
    let drawn = SoftwareSigner::draw(getrandom::fill).expect("the operating system gives randomness");
    drawn.map_err(|error| Failure::Cannot(format!("the randomness of this machine can not be trusted: {error}")))
}

/// Writes a file that must not exist yet: a key is never overwritten.
fn write_new(path: &Path, bytes: &[u8], mode: u32) -> Result<(), Failure> {
    let opened = OpenOptions::new().write(true).create_new(true).mode(mode).open(path);
    opened.and_then(|mut file| file.write_all(bytes).and_then(|()| file.sync_all())).map_err(Failure::file("create", path))
}

//! `exhibit-appliance`: makes an appliance's keys and log, and serves.
//!
//! Reads arguments, wires, runs; all else is in the library.

mod operate;

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;

use clap::{CommandFactory, Parser, Subcommand};
use exhibit_appliance::appliance::Appliance;
use exhibit_appliance::confine::confine;
use exhibit_appliance::ended::predecessor as predecessor_of;
use exhibit_appliance::logbook::{Kept, Logbook};
use exhibit_appliance::maintain::carry::carry;
use exhibit_appliance::predecessor::with_state;
use exhibit_appliance::serve::{Addresses, serve};
use exhibit_appliance::setup::{Folder, NewLog, now};
use exhibit_evidence::Anchor;
use exhibit_pki::Identity;
use exhibit_program::confine::become_owner;
use exhibit_program::logging::{USUAL, is_of_security};
use exhibit_program::{Documentation, EXIT_CANNOT, version};
use serde_json::json;
use tracing_subscriber::Layer;
use tracing_subscriber::filter::{LevelFilter, filter_fn};

/// The Exhibit appliance: takes sealed video from cameras, verifies it without being able to decrypt it, and puts it on a ledger.
///
/// A new appliance, in order:
///   exhibit-appliance init --state S --identity spiffe://city.example/appliance/1 --server-name appliance.city.example
///   exhibit-authority sign --csr S/appliance.csr --role appliance --server-name appliance.city.example --out S/appliance.pem …
///   exhibit-appliance create-log --state S --origin city.example/log/1 --chain chain.pem --root root.pem
///   exhibit-appliance serve --state S
///
/// Exit codes: 0 as asked, 1 a check says no (fsck, repair, restore), 2 it could not be done, 64 wrong use. RUST_LOG sets what is logged to standard error (default: info).
#[derive(Parser)]
#[command(name = "exhibit-appliance", version = version(), verbatim_doc_comment)]
struct Arguments {
    /// Print results as one line of JSON.
    #[arg(long, global = true)]
    json: bool,
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Make keys, a certificate request (appliance.csr) and a sample configuration (appliance.toml). Writes over nothing.
    Init {
        /// The folder that holds the appliance's state.
        #[arg(long)]
        state: PathBuf,
        /// Who the appliance is: spiffe://<domain>/appliance/<id>
        #[arg(long)]
        identity: Identity,
        /// A DNS name or IP address that clients reach it by (repeat for more); printed as part of what to tell the authority.
        #[arg(long, required = true)]
        server_name: Vec<String>,
    },
    /// Begin a log: write genesis as entry 0, and the anchor that everybody else trusts (anchor.json). Needs appliance.pem.
    CreateLog {
        /// The folder that holds the appliance's state.
        #[arg(long)]
        state: PathBuf,
        /// The log's name, for ever: a schema-less URL like city.example/log/1
        #[arg(long)]
        origin: String,
        /// CA certificates between the appliance's and the root (PEM).
        #[arg(long)]
        chain: PathBuf,
        /// The trusted roots (PEM).
        #[arg(long)]
        root: PathBuf,
        /// The anchor of a log that this one goes on for, after a disaster or by plan: genesis names it.
        #[arg(long, requires = "last_checkpoint")]
        predecessor: Option<PathBuf>,
        /// The predecessor's last signed checkpoint that is known: what it had beyond is lost.
        #[arg(long, requires = "predecessor")]
        last_checkpoint: Option<PathBuf>,
        /// What is left of the predecessor's state, or a backup of it: what people and authorities stated there goes on here, and it can be read.
        #[arg(long, requires = "predecessor")]
        predecessor_state: Option<PathBuf>,
        /// The predecessor's genesis, where nothing else of it is left and it had itself gone on for others: entry 0, which a bundle of it has
        /// (entries/0.p7s). What was stated to those logs can be stated again then.
        #[arg(long, requires = "predecessor", conflicts_with = "predecessor_state")]
        predecessor_genesis: Option<PathBuf>,
        /// Take a state of the predecessor that is older than its last checkpoint: what it has goes on, and the rest is known to be lost.
        #[arg(long, requires = "predecessor_state")]
        accept_older_state: bool,
    },
    /// Print the anchor.
    Anchor {
        /// The folder that holds the appliance's state.
        #[arg(long)]
        state: PathBuf,
    },
    /// Serve until SIGTERM. Prints one line when it is ready, with the ports that it listens on.
    Serve {
        /// The folder that holds the appliance's state.
        #[arg(long)]
        state: PathBuf,
        /// Listen here instead of where appliance.toml says; port 0 takes a free one.
        #[arg(long)]
        intake: Option<SocketAddr>,
        /// See --intake: for checkpoints and hash tiles, which anyone may read.
        #[arg(long)]
        public: Option<SocketAddr>,
    },
    #[command(flatten)]
    Operate(operate::Operate),
    #[command(flatten)]
    Documentation(Documentation),
}

pub(crate) type Failure = Box<dyn std::error::Error>;

fn main() -> ExitCode {
    let arguments = match exhibit_program::arguments::<Arguments>() {
        Ok(arguments) => arguments,
        Err(code) => return code,
    };
    let logbook = Arc::new(Logbook::default());
    // No other event is made for it.
    let of_security = filter_fn(is_of_security).with_max_level_hint(LevelFilter::INFO);
    exhibit_program::logging::start(USUAL, Some(Kept(logbook.clone()).with_filter(of_security).boxed()));
    match run(arguments, logbook) {
        Ok(code) => code,
        Err(error) => {
            eprintln!("exhibit-appliance: {error}");
            ExitCode::from(EXIT_CANNOT)
        }
    }
}

fn run(arguments: Arguments, logbook: Arc<Logbook>) -> Result<ExitCode, Failure> {
    let Arguments { json, command } = arguments;
    let done: Result<(), Failure> = match command {
        Command::Operate(command) => return operate::operate(command, json),
        Command::Init { state, identity, server_name } => {
            let request = Folder::new(&state).init(&identity)?;
            let names: Vec<_> = server_name.iter().map(|name| format!("--server-name {name}")).collect();
            let sign = format!("exhibit-authority sign --csr {} --role appliance {}", request.display(), names.join(" "));
            let text = format!("Keys, {} and a sample configuration are made.\nNext: {sign} --out {}", request.display(), in_state(&state));
            print(json, &json!({ "event": "initialised", "request": request, "server_names": server_name }), &text)
        }
        Command::CreateLog {
            state,
            origin,
            chain,
            root,
            predecessor,
            last_checkpoint,
            predecessor_state,
            predecessor_genesis,
            accept_older_state,
        } => {
            let (chain_pem, root_pem) = (read(&chain)?, read(&root)?);
            let before_state = predecessor_state.map(std::path::absolute).transpose()?;
            let before = match (predecessor, last_checkpoint) {
                (Some(anchor), Some(checkpoint)) => {
                    let ended = predecessor_of(&Anchor::parse(read(&anchor)?.as_bytes())?, &read(&checkpoint)?)?;
                    Some(match (before_state.as_deref(), predecessor_genesis) {
                        (Some(state), _) => with_state(ended, state, accept_older_state)?,
                        (None, Some(genesis)) => ended.with_kept_genesis(&std::fs::read(genesis)?)?,
                        (None, None) => ended,
                    })
                }
                _ => None,
            };
            let new = NewLog { origin: &origin, chain_pem: &chain_pem, root_pem: &root_pem, predecessor: None, now: now() };
            let folder = Folder::new(&state).lock()?;
            // Ended half-way, the same command goes on.
            let anchor = match before {
                Some(before) => folder.create_successor(&new, before)?,
                None => folder.create_log(&new)?,
            };
            if before_state.is_some() {
                let (appliance, _) = Appliance::open(&folder, &folder.config()?, Arc::new(now), Arc::new(|_: &str| {}))?;
                carry(&appliance)?;
            }
            print(json, &serde_json::from_str(&anchor.to_json())?, anchor.to_json().trim_end())
        }
        Command::Anchor { state } => {
            let anchor = Folder::new(&state).anchor()?.to_json();
            print(json, &serde_json::from_str(&anchor)?, anchor.trim_end())
        }
        Command::Documentation(documentation) => Ok(documentation.print(Arguments::command())?),
        Command::Serve { state, intake, public } => {
            let folder = Folder::new(&state);
            become_owner(folder.path())?;
            let mut config = folder.config()?;
            config.intake = intake.unwrap_or(config.intake);
            config.public = public.unwrap_or(config.public);
            confine(&folder, &config)?;
            let fatal = Arc::new(|reason: &str| {
                tracing::error!(reason, "the appliance can promise nothing any more and ends");
                std::process::exit(i32::from(EXIT_CANNOT));
            });
            let served = serve(folder, config, Arc::new(now), fatal, logbook, |addresses| ready(json, addresses));
            // What a start is refused for is put on the ledger by the next.
            Ok(served.inspect_err(|error| tracing::error!(error = ?error.to_string(), "it does not serve"))?)
        }
    };
    done.map(|()| ExitCode::SUCCESS)
}

fn in_state(state: &Path) -> String {
    state.join("appliance.pem").display().to_string()
}

pub(crate) fn read(path: &Path) -> Result<String, Failure> {
    std::fs::read_to_string(path).map_err(|error| format!("{}: {error}", path.display()).into())
}

/// Scripts wait for this line.
fn ready(as_json: bool, Addresses { intake, public, monitoring }: Addresses) {
    let line = json!({ "event": "ready", "intake": intake, "public": public, "monitoring": monitoring });
    let monitored = monitoring.map(|address| format!(" monitoring={address}")).unwrap_or_default();
    if let Err(error) = print(as_json, &line, &format!("ready intake={intake} public={public}{monitored}")) {
        tracing::warn!(%error, "nobody reads standard output");
    }
}

pub(crate) fn print(as_json: bool, json: &serde_json::Value, text: &str) -> Result<(), Failure> {
    Ok(if as_json { exhibit_program::print(&format!("{json}\n")) } else { exhibit_program::print(&format!("{text}\n")) }?)
}

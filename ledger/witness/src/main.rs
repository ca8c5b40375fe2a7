//! `exhibit-witness`: makes a witness's keys, and serves.
//!
//! Reads arguments, wires, runs; all else is in the library.

use std::io::Write;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use clap::{CommandFactory, Parser, Subcommand};
use exhibit_program::{Documentation, EXIT_CANNOT, version};
use exhibit_witness::api::Service;
use exhibit_witness::serve::serve;
use exhibit_witness::setup::Folder;
use serde_json::json;

/// A witness of transparency logs (C2SP tlog-witness): whoever does not trust a log's operator runs one, on a machine of their own.
///
/// It cosigns a log's checkpoint if that extends the one that it has cosigned before, and nothing else, ever.
///
/// A new witness, in order:
///   exhibit-witness init --state S --name witness.example/w1
///   (name the logs in S/witness.toml)
///   exhibit-witness serve --state S
///   exhibit-witness keys --state S --url https://witness.example/      (the lines for the policies of logs and verifiers)
///
/// With --mirror it keeps a copy of each log too (C2SP tlog-mirror), which logs upload to it, and serves it below /mirror/.
///
/// Exit codes: 0 as asked, 2 it could not be done, 64 wrong use. RUST_LOG sets what is logged to standard error (default: info).
#[derive(Parser)]
#[command(name = "exhibit-witness", version = version(), verbatim_doc_comment)]
struct Arguments {
    /// Print results as one line of JSON.
    #[arg(long, global = true)]
    json: bool,
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Make keys and a configuration (witness.toml). Writes over nothing.
    Init {
        /// The folder that holds the witness's state.
        #[arg(long)]
        state: PathBuf,
        /// The witness's name, for ever: a schema-less URL like witness.example/w1
        #[arg(long)]
        name: String,
    },
    /// Print the public keys, as lines of a C2SP tlog-policy.
    Keys {
        /// The folder that holds the witness's state.
        #[arg(long)]
        state: PathBuf,
        /// Where logs reach it: the submission prefix.
        #[arg(long)]
        url: Option<String>,
        /// The keys that it cosigns with as a mirror.
        #[arg(long)]
        mirror: bool,
    },
    /// Serve until SIGTERM. Prints one line when it is ready, with the address that it listens on.
    Serve {
        /// The folder that holds the witness's state.
        #[arg(long)]
        state: PathBuf,
        /// Listen here instead of where witness.toml says; port 0 takes a free one.
        #[arg(long)]
        listen: Option<SocketAddr>,
        /// Be a mirror (C2SP tlog-mirror) too: keep and serve a durable copy of every log, and cosign what there is a copy of.
        #[arg(long)]
        mirror: bool,
    },
    #[command(flatten)]
    Documentation(Documentation),
}

type Failure = Box<dyn std::error::Error>;

fn main() -> ExitCode {
    let arguments = match exhibit_program::arguments::<Arguments>() {
        Ok(arguments) => arguments,
        Err(code) => return code,
    };
    exhibit_program::logging::start(exhibit_program::logging::USUAL, None);
    match run(arguments) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("exhibit-witness: {error}");
            ExitCode::from(EXIT_CANNOT)
        }
    }
}

fn run(Arguments { json, command }: Arguments) -> Result<(), Failure> {
    match command {
        Command::Init { state, name } => {
            Folder::new(&state).init(&name)?;
            let next = format!("Keys and a configuration are made.\nNext: name the logs in {}", state.join("witness.toml").display());
            print(json, &json!({ "event": "initialised", "name": name }), &next)
        }
        Command::Keys { state, url, mirror } => {
            let folder = Folder::new(&state);
            let name = folder.config()?.name;
            let signers = if mirror { folder.mirror_signers(&name)? } else { folder.signers(&name)? };
            let keys: Vec<String> = signers.iter().map(|signer| signer.verifier_key().to_string()).collect();
            print(
                json,
                &json!({ "name": name, "keys": keys, "url": url }),
                &policy_lines(if mirror { "m1" } else { "w1" }, &keys, url.as_deref()),
            )
        }
        Command::Serve { state, listen, mirror } => {
            let folder = Folder::new(&state);
            let mut config = folder.config()?;
            config.listen = listen.unwrap_or(config.listen);
            config.check_listen(config.listen)?;
            if config.logs.is_empty() {
                tracing::warn!("no log is named in witness.toml: every request will be refused");
            }
            let fatal = Arc::new(|reason: &str| {
                tracing::error!(reason, "the witness can promise nothing any more and ends");
                std::process::exit(i32::from(EXIT_CANNOT));
            });
            let witness = folder.witness(&config)?;
            let now_unix_s = now_unix_s();
            for (origin, hash) in witness.logs() {
                if witness.latest(hash).is_some_and(|latest| latest.unix_s > now_unix_s) {
                    tracing::error!(
                        ?origin,
                        "this log was cosigned at a time that has not come yet: nothing of it is cosigned before. Is the clock right?"
                    );
                }
            }
            let mirror = if mirror { Some(Arc::new(folder.mirror(&config, &witness)?)) } else { None };
            let service =
                Service { witness, mirror, uploads: Arc::default(), name: config.name.clone(), clock: Arc::new(self::now_unix_s), fatal };
            Ok(serve(service, &config, folder.path(), |address| {
                if let Err(error) = print(json, &json!({ "event": "ready", "listen": address }), &format!("ready listen={address}")) {
                    tracing::warn!(%error, "nobody reads standard output");
                }
            })?)
        }
        Command::Documentation(documentation) => Ok(documentation.print(Arguments::command())?),
    }
}

/// One of its two keys suffices: whoever wants a particular one demanded names that alone.
fn policy_lines(group: &str, keys: &[String], url: Option<&str>) -> String {
    let url = url.map_or(String::new(), |url| format!(" {url}"));
    let names = ["ed25519", "ml-dsa-44"].map(|algorithm| format!("{group}-{algorithm}"));
    let mut lines: String = names.iter().zip(keys).map(|(name, key)| format!("witness {name} {key}{url}\n")).collect();
    lines.push_str(&format!("group {group} any {}", names.join(" ")));
    lines
}

/// A clock before 1970 says 0, which cosigns nothing.
fn now_unix_s() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
}

fn print(as_json: bool, json: &serde_json::Value, text: &str) -> Result<(), Failure> {
    let mut out = std::io::stdout().lock();
    if as_json {
        writeln!(out, "{json}")?
    } else {
        writeln!(out, "{text}")?
    }
    Ok(out.flush()?)
}

//! `exhibit-witness`: makes a witness's keys, and serves.
//!
//! Reads arguments, wires, runs; all else is in the library.

use std::io::Write;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use clap::{CommandFactory, Parser, Subcommand};
use exhibit_program::{Documentation, EXIT_CANNOT, EXIT_NO, EXIT_OK, version};
use exhibit_witness::api::Service;
use exhibit_witness::mirror::Watch;
use exhibit_witness::serve::serve;
use exhibit_witness::setup::Folder;
use exhibit_witness::uploads::{NETWORK_UPLOADS_MAX, UPLOADS_MAX, Uploads};
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
/// Exit codes: 0 as asked, 1 a check says no, 2 it could not be done, 64 wrong use. RUST_LOG sets what is logged to standard error (default: info).
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
    /// Re-hash all of the copies that the mirror keeps, also while it serves. Names what is damaged: tiles are made again, and from the first entry that
    /// is damaged on the log fills the copy again, once the mirror was started again. Ended half-way, it goes on where it was.
    Check {
        /// The folder that holds the witness's state.
        #[arg(long)]
        state: PathBuf,
        /// Only the copy of this log.
        #[arg(long)]
        origin: Option<String>,
        /// Read at most so many MiB a second.
        #[arg(long, default_value_t = CHECK_MIB_PER_S, value_parser = clap::value_parser!(u64).range(1..=CHECK_MIB_PER_S_MAX))]
        mib_per_s: u64,
    },
    #[command(flatten)]
    Documentation(Documentation),
}

/// A disk does several times that, so that whoever is served beside it does not wait.
const CHECK_MIB_PER_S: u64 = 32;
/// More than any disk does.
const CHECK_MIB_PER_S_MAX: u64 = 1 << 20;

type Failure = Box<dyn std::error::Error>;

fn main() -> ExitCode {
    let arguments = match exhibit_program::arguments::<Arguments>() {
        Ok(arguments) => arguments,
        Err(code) => return code,
    };
    exhibit_program::logging::start(exhibit_program::logging::USUAL, None);
    match run(arguments) {
        Ok(code) => ExitCode::from(code),
        Err(error) => {
            eprintln!("exhibit-witness: {error}");
            ExitCode::from(EXIT_CANNOT)
        }
    }
}

fn run(Arguments { json, command }: Arguments) -> Result<u8, Failure> {
    match command {
        Command::Check { state, origin, mib_per_s } => return check(&Folder::new(&state), origin.as_deref(), mib_per_s, json),
        Command::Init { state, name } => {
            Folder::new(&state).init(&name)?;
            let next = format!("Keys and a configuration are made.\nNext: name the logs in {}", state.join("witness.toml").display());
            print(json, &json!({ "event": "initialised", "name": name }), &next)?;
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
            )?;
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
            // Without TLS a proxy stands in front, whose address is everybody's: then it has to see that nobody takes all.
            let uploads = Arc::new(Uploads::new(if config.tls.is_some() { NETWORK_UPLOADS_MAX } else { UPLOADS_MAX }));
            let service = Service { witness, mirror, uploads, name: config.name.clone(), clock: Arc::new(self::now_unix_s), fatal };
            serve(service, &config, folder.path(), |address| {
                if let Err(error) = print(json, &json!({ "event": "ready", "listen": address }), &format!("ready listen={address}")) {
                    tracing::warn!(%error, "nobody reads standard output");
                }
            })?;
        }
        Command::Documentation(documentation) => documentation.print(Arguments::command())?,
    }
    Ok(EXIT_OK)
}

/// Checks the copies, and says of each what it came to.
fn check(folder: &Folder, only: Option<&str>, mib_per_s: u64, json: bool) -> Result<u8, Failure> {
    let config = folder.config()?;
    let origins = config.logs.iter().map(|log| log.origin.as_str()).filter(|origin| only.is_none_or(|only| only == *origin));
    let origins: Vec<&str> = origins.collect();
    if origins.is_empty() {
        return Err("no such log is named in witness.toml".into());
    }
    let mut code = EXIT_OK;
    for origin in origins {
        let mut pace = Pace { began: Instant::now(), bytes: 0, bytes_per_s: mib_per_s << 20, told: Instant::now() };
        let Some(checked) = folder.check(&config, origin, &mut pace)? else {
            print(
                json,
                &json!({ "origin": origin, "checked": false }),
                &format!("{origin}: no copy, or one that the log has to fill again"),
            )?;
            continue;
        };
        let damaged: Vec<String> = checked.damaged.iter().map(|path| path.display().to_string()).collect();
        let mut lines: Vec<String> =
            damaged.iter().map(|path| format!("{path} is damaged or missing")).chain(checked.unread.clone()).collect();
        lines.push(format!("{origin}: {} entries are what the checkpoint says, {} tiles were made again", checked.entries, checked.remade));
        lines.extend(checked.refill_from.map(|from| format!("start the mirror again: the log then fills the copy from entry {from} on")));
        let report = json!({ "origin": origin, "checked": true, "entries": checked.entries, "damaged": damaged, "unread": checked.unread,
            "remade": checked.remade, "refill_from": checked.refill_from });
        print(json, &report, &lines.join("\n"))?;
        if !checked.is_whole() {
            code = EXIT_NO;
        }
    }
    Ok(code)
}

/// How fast a check reads, and what it says meanwhile.
struct Pace {
    began: Instant,
    bytes: u64,
    bytes_per_s: u64,
    told: Instant,
}

impl Watch for Pace {
    fn read(&mut self, bytes: u64) {
        self.bytes += bytes;
        let due = Duration::from_secs_f64(self.bytes as f64 / self.bytes_per_s as f64);
        std::thread::sleep(due.saturating_sub(self.began.elapsed()));
    }

    fn came_to(&mut self, bundles: u64, of: u64) {
        if self.told.elapsed() >= TOLD_EVERY {
            self.told = Instant::now();
            tracing::info!(bundles, of, "checked so far");
        }
    }
}

/// Often enough to see that it goes on.
const TOLD_EVERY: Duration = Duration::from_secs(10);

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

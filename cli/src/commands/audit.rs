//! `exhibit audit`: follows a log, once or for ever, and ends with a code that cron and systemd understand.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use clap::Args;
use exhibit_client::{ClientIdentity, WebError, trusted};
use exhibit_evidence::Anchor;
use exhibit_program::{EXIT_CANNOT, EXIT_NO, EXIT_OK};
use rustls::RootCertStore;
use rustls::pki_types::{CertificateDer, pem::PemObject};
use serde_json::json;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::time::sleep;

use crate::audit::finding::{Finding, Kind};
use crate::audit::lateness::Patience;
use crate::audit::round::{Audit, Outcome};
use crate::audit::source::Source;
use crate::audit::state::State;
use crate::failure::Failure;
use crate::screen::{self, print_json, say};
use crate::session::{now, read_anchor, read_identity};

/// A long run says how far it is.
const PROGRESS_INTERVAL: Duration = Duration::from_secs(5);
/// Between two attempts to reach a server that is not there: doubled each time, up to this.
const PAUSE_MAX: Duration = Duration::from_secs(15 * 60);

/// What can be asked.
#[derive(Args)]
#[command(
    after_help = "Exit codes: 0 the log is sound; 1 there is something to see: forked, rewound, altered, missing, late, an entry that \
does not hold, or another alarm, now or not acknowledged since; 2 it could not be judged, as when the server can not be reached; 64 wrong use."
)]
pub struct Command {
    /// The log: https://host:port/log, http://host:port/log, or a folder in the layout of C2SP tlog-tiles.
    log: String,
    /// LOG is somebody's mirror of this log: attachments and what witnesses have seen come from here, tiles and entries from the mirror.
    #[arg(long, value_name = "LOG")]
    mirror_of: Option<String>,
    /// A PEM file with roots that an https server may have beside those of the anchor: for mirrors of other parties, as
    /// /etc/ssl/certs/ca-certificates.crt. It says nothing of the log, whose keys are the anchor's.
    #[arg(long, value_name = "FILE")]
    tls_roots: Option<PathBuf>,
    /// The log's anchor file: got from the operator once, over a way that can be trusted.
    #[arg(long, env = "EXHIBIT_ANCHOR")]
    anchor: PathBuf,
    /// The folder in which the audit remembers what it has seen. One for each log; it can be deleted to begin anew.
    #[arg(long)]
    state: PathBuf,
    /// The folder of the identity to act as, where the log wants to know: an auditor's.
    #[arg(long, env = "EXHIBIT_IDENTITY")]
    identity: Option<PathBuf>,
    /// Judge what is new, and end: for cron. This is the default.
    #[arg(long, conflicts_with = "follow")]
    once: bool,
    /// Go on until there is something to see (1), or until SIGTERM or SIGINT (0).
    #[arg(long)]
    follow: bool,
    /// Only the log's hashes, where its entries are not to be had: that it only grows, and that all see the same.
    #[arg(long)]
    hashes_only: bool,
    /// With --follow: seconds between two looks.
    #[arg(long, default_value_t = 60, value_parser = clap::value_parser!(u64).range(1..))]
    interval_s: u64,
    /// The log is late when it has not grown, or was not witnessed or timestamped where the anchor names by whom, for so many seconds.
    #[arg(long, default_value_t = 24 * 3600)]
    late_s: u64,
    /// A camera whose stream has not ended is silent after so many seconds.
    #[arg(long, default_value_t = 24 * 3600)]
    silent_s: u64,
    /// No answer is waited for longer than so many seconds.
    #[arg(long, default_value_t = 30, value_parser = clap::value_parser!(u64).range(1..))]
    answer_max_s: u64,
    /// A kind of finding that is an alarm too, though not everybody's: ban, erasure, refusal, revocation, replacement, reopening,
    /// succession, silent, unknown-type. May be given more than once.
    #[arg(long, value_name = "KIND")]
    alarm: Vec<Kind>,
    /// Take note of all alarms so far: those that do not come again are told no more.
    #[arg(long)]
    acknowledge: bool,
}

/// Runs it.
pub async fn run(command: Command, json: bool) -> Result<u8, Failure> {
    let anchor = read_anchor(&command.anchor)?;
    let identity = command.identity.as_deref().map(read_identity).transpose()?;
    let answer_max = Duration::from_secs(command.answer_max_s);
    let open = |log: &str, identity: Option<&ClientIdentity>| {
        let source = Source::new(log, identity, roots(&anchor, command.tls_roots.as_deref())?, answer_max);
        source.map(Arc::new).map_err(|error| match error {
            WebError::Local(reason) => Failure::Usage(reason),
            other => Failure::Cannot(other.to_string()),
        })
    };
    let (source, beside) = match &command.mirror_of {
        // A mirror is for anybody, and need not know who reads it.
        Some(log) => (open(&command.log, None)?, open(log, identity.as_ref())?),
        None => {
            let source = open(&command.log, identity.as_ref())?;
            (source.clone(), source)
        }
    };
    let judges_stamps = identity.is_some() || !command.mirror_of.as_ref().unwrap_or(&command.log).contains("://");
    let mut state = State::open(&command.state, &anchor, command.hashes_only)?;
    state.alarms.clone_from(&command.alarm);
    if command.acknowledge {
        state.open.clear();
        state.save(&[])?;
    }
    let patience = Patience { late_ms: command.late_s.saturating_mul(1000), silent_ms: command.silent_s.saturating_mul(1000) };
    let audit = Audit { anchor, source, beside, judges_stamps, hashes_only: command.hashes_only, patience };
    if command.follow { follow(&audit, &mut state, &command, json).await } else { once(&audit, &mut state, json).await }
}

/// What a TLS connection trusts: the anchor's roots, and those that this auditor adds.
fn roots(anchor: &Anchor, more: Option<&Path>) -> Result<RootCertStore, Failure> {
    let mut roots =
        trusted(&anchor.roots).map_err(|error| Failure::Cannot(format!("a root of the anchor is of no use for TLS: {error}")))?;
    let Some(path) = more else { return Ok(roots) };
    let pem = std::fs::read(path).map_err(Failure::file("read", path))?;
    let certificates: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&pem).collect();
    let certificates = certificates.map_err(|error| Failure::content(path, error))?;
    // A system's list may hold what this library knows no algorithm for.
    let (added, _) = roots.add_parsable_certificates(certificates);
    if added == 0 { Err(Failure::content(path, "it holds no certificate that can be trusted")) } else { Ok(roots) }
}

async fn once(audit: &Audit, state: &mut State, json: bool) -> Result<u8, Failure> {
    let outcome = look(audit, state, json).await?;
    tell(state, &outcome, json);
    Ok(match (state.open.is_empty(), &outcome.unavailable) {
        (false, _) => EXIT_NO,
        (true, Some(_)) => EXIT_CANNOT,
        (true, None) => EXIT_OK,
    })
}

async fn follow(audit: &Audit, state: &mut State, command: &Command, json: bool) -> Result<u8, Failure> {
    let (mut terminate, mut interrupt) = (handler(SignalKind::terminate())?, handler(SignalKind::interrupt())?);
    let interval = Duration::from_secs(command.interval_s);
    let mut pause = interval;
    let mut reached = Instant::now();
    let mut is_quiet = false;
    loop {
        let mut outcome = tokio::select! {
            outcome = look(audit, state, json) => outcome?,
            _ = terminate.recv() => return Ok(EXIT_OK),
            _ = interrupt.recv() => return Ok(EXIT_OK),
        };
        if outcome.unavailable.is_some() {
            pause = (pause * 2).min(PAUSE_MAX.max(interval));
            if reached.elapsed().as_millis() > u128::from(audit.patience.late_ms) {
                let finding = Finding::new(Kind::Late, "The log could not be reached for longer than it may be late.");
                state.save(std::slice::from_ref(&finding))?;
                outcome.findings.push(finding);
            }
        } else {
            (pause, reached) = (interval, Instant::now());
        }
        // Nothing new is not told each time.
        if !is_quiet || outcome.judged > 0 || !outcome.findings.is_empty() || outcome.unavailable.is_some() {
            tell(state, &outcome, json);
        }
        is_quiet = outcome.unavailable.is_none();
        if !state.open.is_empty() {
            return Ok(EXIT_NO);
        }
        // Nothing can come behind the end, and what its server shows from now on is another log.
        if let Some(ended) = state.memory.rest.ended.filter(|ended| state.tree.size() == ended + 1) {
            tell_end(ended, json);
            return Ok(EXIT_OK);
        }
        tokio::select! {
            () = sleep(pause) => {}
            _ = terminate.recv() => return Ok(EXIT_OK),
            _ = interrupt.recv() => return Ok(EXIT_OK),
        }
    }
}

fn handler(kind: SignalKind) -> Result<Signal, Failure> {
    signal(kind).map_err(|error| Failure::Cannot(format!("the system refuses signals: {error}")))
}

/// A round, with its progress told.
async fn look(audit: &Audit, state: &mut State, json: bool) -> Result<Outcome, Failure> {
    let mut told = Instant::now();
    let mut progress = |judged: u64, of: u64| {
        if told.elapsed() >= PROGRESS_INTERVAL {
            told = Instant::now();
            if json {
                print_json(json!({ "event": "progress", "judged": judged, "of": of }));
            } else {
                screen::tell(format!("{judged} of {of} entries judged"));
            }
        }
    };
    audit.round(state, now().unix_ms(), &mut progress).await
}

/// Says what was found, and what the log is by now.
fn tell(state: &State, outcome: &Outcome, json: bool) {
    let standing: Vec<&Finding> = state.open.iter().filter(|open| !outcome.findings.contains(open)).collect();
    let worst = state.open.iter().map(|finding| finding.kind).min();
    let word = match (worst, &outcome.unavailable) {
        (Some(kind), _) => kind.as_str(),
        (None, Some(_)) => "unavailable",
        (None, None) => "sound",
    };
    if json {
        for finding in &outcome.findings {
            print_json(event(state, finding, true));
        }
        for finding in standing {
            print_json(event(state, finding, false));
        }
        let checked = json!({
            "event": "checked", "outcome": word, "size": outcome.size, "judged": state.tree.size(), "new": outcome.judged,
            "streams": state.memory.streams.len(), "open": state.open.len(), "more": outcome.more, "unavailable": outcome.unavailable,
            "behind": outcome.behind, "undecided": outcome.undecided,
        });
        print_json(checked);
        return;
    }
    for finding in &outcome.findings {
        say(line(finding, if state.is_alarm(finding.kind) { "ALARM" } else { "note" }));
    }
    for finding in standing {
        say(line(finding, "STILL"));
    }
    if outcome.more > 0 {
        say(format!("and {} more, in findings.jsonl in the state folder", outcome.more));
    }
    if outcome.behind > 0 {
        say(format!(
            "Behind what is not there, {} entries were looked at; {} of them hang on it and are undecided until it comes.",
            outcome.behind, outcome.undecided
        ));
    }
    if let Some(reason) = &outcome.unavailable {
        screen::tell(format!("the log can not be judged now: {reason}"));
    }
    let streams = state.memory.streams.len();
    say(format!(
        "{word}: {} entries judged, {} of them new, in {streams} streams; the log has signed {}.",
        state.tree.size(),
        outcome.judged,
        outcome.size
    ));
}

/// Says that there is nothing more to follow.
fn tell_end(index: u64, json: bool) {
    if json {
        print_json(json!({ "event": "ended", "index": index }));
    } else {
        say(format!(
            "The log has ended with entry {index}, and all of it is judged: follow the log that this entry names, with its own anchor and state."
        ));
    }
}

fn event(state: &State, finding: &Finding, is_new: bool) -> serde_json::Value {
    json!({
        "event": "finding", "kind": finding.kind.as_str(), "alarm": state.is_alarm(finding.kind), "new": is_new,
        "index": finding.index, "sentence": finding.sentence,
    })
}

fn line(finding: &Finding, word: &str) -> String {
    let place = finding.index.map(|index| format!("entry {index}: ")).unwrap_or_default();
    format!("{word:<5} {:<18} {place}{}", finding.kind.as_str(), finding.sentence)
}

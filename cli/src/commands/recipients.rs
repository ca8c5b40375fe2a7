//! `exhibit recipients`: who can open a camera's evidence from now on.

use std::collections::BTreeSet;
use std::path::PathBuf;

use clap::{Args, Subcommand};
use exhibit_client::ClientError;
use exhibit_evidence::{Body, body, exchange};
use exhibit_pki::{Certificate, Fingerprint, KeyPurpose, Timestamp};
use exhibit_program::EXIT_OK;
use exhibit_tlog::Hash;

use crate::arguments::Connection;
use crate::evidence_access::Found;
use crate::failure::Failure;
use crate::screen::{print_json, say};
use crate::session::{Session, check_threshold, now, read_certificate};

/// A set is stale after a year unless it says otherwise: long enough not to be a chore, short enough that somebody looks.
const EXPIRES_DAYS_DEFAULT: u64 = 365;
const DAY_MS: u64 = 86_400_000;
/// Sets in a row that wait, as many as the appliance looks behind.
const UNDECIDED_MAX: usize = 64;

/// What can be asked.
#[derive(Subcommand)]
pub enum Command {
    /// Sign a new set and put it on the ledger.
    Set(Set),
    /// Show the newest set, and whether it waits for approvals.
    Show {
        /// Whom to speak to.
        #[command(flatten)]
        connection: Connection,
        /// Whose evidence, such as camera/102.
        #[arg(long)]
        scope: String,
    },
}

/// A new set.
#[derive(Args)]
pub struct Set {
    #[command(flatten)]
    connection: Connection,
    /// Whose evidence, such as camera/102.
    #[arg(long)]
    scope: String,
    /// A recipient's wrapping certificate (PEM); several times for several.
    #[arg(long, required = true)]
    recipient: Vec<PathBuf>,
    /// A signing certificate (PEM) of the custodians who may sign the next set.
    #[arg(long, required = true)]
    custodian: Vec<PathBuf>,
    /// How many of them must sign the next set.
    #[arg(long, default_value_t = 1)]
    threshold: u64,
    /// The number of the first set of a log that goes on for another whose sets are lost: above the last that cameras obeyed.
    #[arg(long)]
    number: Option<u64>,
    /// When the set is stale (RFC 3339 with milliseconds, UTC); recording goes on, and it is alarmed.
    #[arg(long)]
    expires: Option<String>,
}

/// Runs it.
pub async fn run(command: Command, json: bool) -> Result<u8, Failure> {
    match command {
        Command::Set(set) => run_set(set, json).await,
        Command::Show { connection, scope } => show(&connection, &scope, json).await,
    }
}

async fn run_set(set: Set, json: bool) -> Result<u8, Failure> {
    let recipients = certificates(&set.recipient, KeyPurpose::Wrapping)?;
    let custodians = certificates(&set.custodian, KeyPurpose::Signing)?;
    check_threshold(set.threshold, &custodians)?;
    let expires = match &set.expires {
        Some(text) => Timestamp::parse(text).map_err(|error| Failure::Usage(format!("--expires: {error}")))?,
        None => now().checked_add_ms(EXPIRES_DAYS_DEFAULT * DAY_MS).ok_or_else(|| Failure::Cannot("the clock is off".to_owned()))?,
    };
    let mut session = Session::open(&set.connection)?;
    let (number, replaces) = match newest(&mut session, &set.scope).await? {
        None => (set.number.unwrap_or(1), None),
        Some(_) if set.number.is_some() => {
            return Err(Failure::Usage("--number is for the first set of a log: there is one, and the next number follows".to_owned()));
        }
        Some(newest) => {
            // Not above that of a set that waits: its custodian could have taken the last number.
            let in_force = in_force(&mut session, newest).await?;
            (in_force.set.number + 1, Some(in_force.leaf))
        }
    };
    let body = body::Recipients {
        scope: set.scope.clone(),
        number,
        replaces,
        recipients: fingerprints(&recipients),
        custodians: fingerprints(&custodians),
        threshold: set.threshold,
        expires,
        attachments: vec![],
    };
    let (signed, receipt) = session.issue(Body::Recipients(body), &[]).await?;
    if json {
        print_json(serde_json::json!(
            { "scope": set.scope, "number": number, "leaf": signed.leaf_hash().to_string(), "index": receipt.index }
        ));
    } else {
        say(format!("Recipients {number} of {} are on the ledger at index {} ({}).", set.scope, receipt.index, signed.leaf_hash()));
    }
    Ok(EXIT_OK)
}

async fn show(connection: &Connection, scope: &str, json: bool) -> Result<u8, Failure> {
    let mut session = Session::open(connection)?;
    let Some(newest) = newest(&mut session, scope).await? else {
        return Err(Failure::Cannot(format!("{scope} has no recipients yet: a custodian sets them with `exhibit recipients set`")));
    };
    let (leaf, recipients) = (newest.leaf, newest.set.clone());
    let in_force = in_force(&mut session, newest).await?;
    let waits = in_force.leaf != leaf;
    let names: Vec<_> = recipients.recipients.iter().map(hex::encode).collect();
    let custodians: Vec<_> = recipients.custodians.iter().map(hex::encode).collect();
    if json {
        let value = serde_json::json!({ "scope": scope, "number": recipients.number, "leaf": leaf.to_string(), "recipients": names,
            "custodians": custodians, "threshold": recipients.threshold, "expires": recipients.expires.to_string(), "waits": waits });
        print_json(value);
    } else {
        say(format!("recipients {} of {scope}, stale after {}", recipients.number, recipients.expires));
        names.iter().for_each(|name| say(format!("  opens    {name}")));
        custodians.iter().for_each(|name| say(format!("  decides  {name} ({} of {} sign)", recipients.threshold, custodians.len())));
        if waits {
            let Stated { leaf: replaced, set } = in_force;
            say(format!("They wait until {} custodians of number {} ({replaced}) stand behind them:", set.threshold, set.number));
            say(format!("  exhibit approve entry --entry {leaf}"));
        }
    }
    Ok(EXIT_OK)
}

/// A set on the ledger.
struct Stated {
    leaf: Hash,
    set: body::Recipients,
}

/// The set in force: the newest, or the one before those that too few custodians stand behind, as the appliance and cameras count. The first of
/// all counts, since whom cameras pinned is not known here.
async fn in_force(session: &mut Session, newest: Stated) -> Result<Stated, Failure> {
    let mut candidate = newest;
    for _ in 0..UNDECIDED_MAX {
        let Some(replaced) = candidate.set.replaces else { return Ok(candidate) };
        let (signed, _) = session.appliance.entry(&replaced).await?;
        let Body::Recipients(before) = &signed.statement().body else {
            return Err(Failure::Untrustworthy("a set of recipients replaces something else".to_owned()));
        };
        let mut behind = session.approvals(&candidate.leaf, &before.custodians).await?;
        let (signed_set, receipt) = session.appliance.entry(&candidate.leaf).await?;
        behind.push(Found { signed: signed_set, receipt });
        let counted = behind.iter().filter(|found| before.custodians.contains(found.signed.signer()));
        // Everybody states in streams of their own name: a person counts once.
        let people: BTreeSet<&str> = counted.map(|found| found.signed.statement().stream.owner()).collect();
        if people.len() as u64 >= before.threshold {
            return Ok(candidate);
        }
        candidate = Stated { leaf: replaced, set: before.clone() };
    }
    Err(Failure::Cannot("too many sets wait for approvals: have one of them approved first".to_owned()))
}

/// The newest set of a scope; `None` if there is none yet.
async fn newest(session: &mut Session, scope: &str) -> Result<Option<Stated>, Failure> {
    let record: exchange::EntryRecord = match session.appliance.get_json(&format!("/v1/recipients/{scope}")).await {
        Ok(record) => record,
        Err(ClientError::Refused(problem)) if problem.status == 404 => return Ok(None),
        Err(error) => return Err(error.into()),
    };
    let (signed, _receipt) = session.appliance.open_record(&record)?;
    match &signed.statement().body {
        Body::Recipients(set) if set.scope == scope => Ok(Some(Stated { leaf: signed.leaf_hash(), set: set.clone() })),
        _ => Err(Failure::Untrustworthy(format!("the appliance answered something else than the recipients of {scope}"))),
    }
}

fn fingerprints(certificates: &[Certificate]) -> Vec<Fingerprint> {
    certificates.iter().map(|certificate| *certificate.fingerprint()).collect()
}

fn certificates(paths: &[PathBuf], purpose: KeyPurpose) -> Result<Vec<Certificate>, Failure> {
    let of = |path: &PathBuf| {
        let certificate: Certificate = read_certificate(path)?;
        let wanted = if purpose == KeyPurpose::Wrapping { "wrapping" } else { "signing" };
        if certificate.purpose() != purpose {
            return Err(Failure::content(path, format!("a {wanted} certificate is needed here")));
        }
        Ok(certificate)
    };
    paths.iter().map(of).collect()
}

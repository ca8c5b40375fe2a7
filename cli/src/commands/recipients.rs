//! `exhibit recipients`: who can open a camera's evidence from now on.

use std::path::PathBuf;

use clap::{Args, Subcommand};
use exhibit_client::ClientError;
use exhibit_evidence::{Body, body, exchange};
use exhibit_pki::{Certificate, KeyPurpose, Timestamp};
use exhibit_program::EXIT_OK;
use exhibit_tlog::Hash;

use crate::arguments::Connection;
use crate::failure::Failure;
use crate::screen::{print_json, say};
use crate::session::{Session, now, read_certificate};

/// A set is stale after a year unless it says otherwise: long enough not to be a chore, short enough that somebody looks.
const EXPIRES_DAYS_DEFAULT: u64 = 365;
const DAY_MS: u64 = 86_400_000;

/// What can be asked.
#[derive(Subcommand)]
pub enum Command {
    /// Sign a new set and put it on the ledger.
    Set(Set),
    /// Show the newest set.
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
    let recipients = fingerprints(&set.recipient, KeyPurpose::Wrapping)?;
    let custodians = fingerprints(&set.custodian, KeyPurpose::Signing)?;
    if set.threshold == 0 || set.threshold > custodians.len() as u64 {
        return Err(Failure::Usage(format!("--threshold must be 1 to {}, the number of custodians", custodians.len())));
    }
    let expires = match &set.expires {
        Some(text) => Timestamp::parse(text).map_err(|error| Failure::Usage(format!("--expires: {error}")))?,
        None => now().checked_add_ms(EXPIRES_DAYS_DEFAULT * DAY_MS).ok_or_else(|| Failure::Cannot("the clock is off".to_owned()))?,
    };
    let mut session = Session::open(&set.connection)?;
    let before = newest(&mut session, &set.scope).await?;
    let (number, replaces) = before.map_or((1, None), |(leaf, before)| (before.number + 1, Some(leaf)));
    let body = body::Recipients {
        scope: set.scope.clone(),
        number,
        replaces,
        recipients,
        custodians,
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
    let Some((leaf, recipients)) = newest(&mut session, scope).await? else {
        return Err(Failure::Cannot(format!("{scope} has no recipients yet: a custodian sets them with `exhibit recipients set`")));
    };
    let names: Vec<_> = recipients.recipients.iter().map(hex::encode).collect();
    let custodians: Vec<_> = recipients.custodians.iter().map(hex::encode).collect();
    if json {
        let value = serde_json::json!({ "scope": scope, "number": recipients.number, "leaf": leaf.to_string(), "recipients": names,
            "custodians": custodians, "threshold": recipients.threshold, "expires": recipients.expires.to_string() });
        print_json(value);
    } else {
        say(format!("recipients {} of {scope}, stale after {}", recipients.number, recipients.expires));
        names.iter().for_each(|name| say(format!("  opens    {name}")));
        custodians.iter().for_each(|name| say(format!("  decides  {name} ({} of {} sign)", recipients.threshold, custodians.len())));
    }
    Ok(EXIT_OK)
}

/// The newest set of a scope, with its leaf hash; `None` if there is none yet.
async fn newest(session: &mut Session, scope: &str) -> Result<Option<(Hash, body::Recipients)>, Failure> {
    let record: exchange::EntryRecord = match session.appliance.get_json(&format!("/v1/recipients/{scope}")).await {
        Ok(record) => record,
        Err(ClientError::Refused(problem)) if problem.status == 404 => return Ok(None),
        Err(error) => return Err(error.into()),
    };
    let (signed, _receipt) = session.appliance.open_record(&record)?;
    match &signed.statement().body {
        Body::Recipients(recipients) if recipients.scope == scope => Ok(Some((signed.leaf_hash(), recipients.clone()))),
        _ => Err(Failure::Untrustworthy(format!("the appliance answered something else than the recipients of {scope}"))),
    }
}

fn fingerprints(paths: &[PathBuf], purpose: KeyPurpose) -> Result<Vec<exhibit_pki::Fingerprint>, Failure> {
    let of = |path: &PathBuf| {
        let certificate: Certificate = read_certificate(path)?;
        let wanted = if purpose == KeyPurpose::Wrapping { "wrapping" } else { "signing" };
        if certificate.purpose() != purpose {
            return Err(Failure::content(path, format!("a {wanted} certificate is needed here")));
        }
        Ok(*certificate.fingerprint())
    };
    paths.iter().map(of).collect()
}

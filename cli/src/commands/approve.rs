//! `exhibit approve`: custodians stand behind what one alone may not decide, each with their own key: a log that goes on for one that was lost,
//! a set of recipients, a second certificate.
//!
//! What is approved is judged and shown before it is signed. How many have to approve is judged by cameras and verdicts, never by the appliance.

use std::collections::BTreeSet;
use std::path::PathBuf;

use clap::{Args, Subcommand};
use exhibit_client::Issuer;
use exhibit_evidence::body::{Approve, Genesis};
use exhibit_evidence::succession::{Grounds, SuccessionError, Trusted, approved_by, judge, statement_of};
use exhibit_evidence::{Body, Pin, SignedStatement};
use exhibit_pki::{AwsLc, Fingerprint};
use exhibit_program::{EXIT_NO, EXIT_OK};
use exhibit_tlog::Hash;

use crate::arguments::Connection;
use crate::failure::Failure;
use crate::screen::{confirm, print_json_result, say_result, tell};
use crate::session::{Session, read_pin};

/// What can be approved.
#[derive(Subcommand)]
pub enum Command {
    /// Approve the genesis of a log that goes on for one that was lost: cameras wait until enough custodians have.
    Genesis(Approval),
    /// Say which custodians have approved it, and whether they are enough; exit code 1 if they are not.
    Status(Succession),
    /// Approve an entry that another has stated, such as a set of recipients whose custodians decide together.
    Entry(Entry),
}

/// A log that goes on for another.
#[derive(Args)]
pub struct Succession {
    /// The new log: --anchor is its anchor, got from the operator over a way that can be trusted.
    #[command(flatten)]
    connection: Connection,
    /// What cameras have pinned of the log that was lost (`exhibit pin`): its anchor, the custodians, and how many have to approve.
    #[arg(long)]
    pin: PathBuf,
}

/// The approval of one.
#[derive(Args)]
pub struct Approval {
    #[command(flatten)]
    succession: Succession,
    /// Sign without asking: what is approved was read before, by `exhibit approve status`.
    #[arg(long)]
    yes: bool,
}

/// An entry of the log.
#[derive(Args)]
pub struct Entry {
    #[command(flatten)]
    connection: Connection,
    /// Its leaf hash, as whoever stated it was told.
    #[arg(long)]
    entry: String,
    /// Sign without asking: what is approved was read before.
    #[arg(long)]
    yes: bool,
}

/// Runs it.
pub async fn run(command: Command, json: bool) -> Result<u8, Failure> {
    match command {
        Command::Genesis(approval) => approve_genesis(&approval, json).await,
        Command::Status(succession) => {
            let mut session = Session::open(&succession.connection)?;
            let offered = Offered::ask(&mut session, &succession).await?;
            if !json {
                say_result(&offered.description()?)?;
            }
            offered.show_approvals(json, None)?;
            Ok(if offered.is_approved() { EXIT_OK } else { EXIT_NO })
        }
        Command::Entry(entry) => approve_entry(&entry, json).await,
    }
}

async fn approve_genesis(Approval { succession, yes }: &Approval, json: bool) -> Result<u8, Failure> {
    let mut session = Session::open(&succession.connection)?;
    let offered = Offered::ask(&mut session, succession).await?;
    if offered.is_planned {
        return Err(Failure::Cannot("the log before has ended by plan, and names this one itself: there is nothing to approve".to_owned()));
    }
    show(&offered.description()?, json)?;
    let own = *session.certificate().fingerprint();
    if !offered.pin.custodians.iter().any(|custodian| custodian.fingerprint() == &own) {
        tell("your certificate is none of those that were pinned: it counts only for cameras whose recipients in force name it");
    }
    let mut index = None;
    if offered.approved_by.contains(&own) {
        tell("you have approved this log before");
    } else {
        confirm("Cameras will trust this log with their evidence.", *yes)?;
        let body = Approve { entry: offered.genesis.leaf_hash(), statement: offered.genesis.statement_hash(), attachments: vec![] };
        index = Some(session.issue(Body::Approve(body), &[]).await?.1.index);
    }
    Offered::ask(&mut session, succession).await?.show_approvals(json, index)?;
    Ok(EXIT_OK)
}

/// A log that is said to go on for the one that was pinned, judged as a camera judges it.
struct Offered {
    pin: Pin,
    genesis: SignedStatement,
    /// True if the log before names it in its last entry.
    is_planned: bool,
    /// The custodians that count for whoever has this pin, by people.
    given: u64,
    /// Everybody whose approval holds, by certificate.
    approved_by: BTreeSet<Fingerprint>,
    /// Entries of the log before that this person has verified and that are lost.
    lost: u64,
}

impl Offered {
    /// Everything but the approvals has to hold: what no camera would believe is not worth a custodian's word.
    async fn ask(session: &mut Session, succession: &Succession) -> Result<Self, Failure> {
        let pin = read_pin(&succession.pin)?;
        if pin.anchor.log == session.anchor.log {
            return Err(Failure::Usage("--anchor must be that of the new log: it is the one of the log that was pinned".to_owned()));
        }
        let observed = Issuer::observed_of(&succession.connection.identity, &pin.anchor.log)?;
        let custodians: Vec<Fingerprint> = pin.custodians.iter().map(|custodian| *custodian.fingerprint()).collect();
        let record = session.appliance.successor_of(&pin.anchor.log, observed.size, &custodians).await?;
        let record = record.ok_or_else(|| Failure::Cannot("no log of this appliance goes on for the one that was pinned".to_owned()))?;
        let trusted = Trusted {
            anchor: &pin.anchor,
            observed,
            custodians: &custodians,
            threshold: pin.threshold,
            intermediates: session.chain(),
            verifier: &AwsLc,
        };
        let judged = judge(&record, &trusted);
        let genesis = statement(&record.genesis.entry)?;
        let (is_planned, given, lost) = match judged {
            Ok(next) => (next.grounds == Grounds::Plan, pin.threshold, next.lost),
            Err(SuccessionError::NotApproved { given, .. }) => (false, given, observed.size.saturating_sub(end_of(&genesis)?)),
            Err(error) => return Err(Failure::Untrustworthy(format!("no camera would go on in this log: {error}"))),
        };
        if genesis.leaf_hash() != session.anchor.log {
            return Err(Failure::Untrustworthy("the log that is said to go on is another one than that of --anchor".to_owned()));
        }
        let approved_by = approved_by(&record, &trusted).map_err(|error| Failure::Untrustworthy(error.to_string()))?;
        Ok(Self { pin, genesis, is_planned, given, approved_by, lost })
    }

    fn is_approved(&self) -> bool {
        self.is_planned || self.given >= self.pin.threshold
    }

    /// Which log it is, and what it goes on for.
    fn description(&self) -> Result<Vec<String>, Failure> {
        let (genesis, before) = (genesis_of(&self.genesis)?, &self.pin.anchor.verifier.origin);
        let mut lines = vec![
            format!("{} (log {})", genesis.origin, self.genesis.leaf_hash()),
            format!("  goes on for {before} (log {}), of which it knows {} entries", self.pin.anchor.log, end_of(&self.genesis)?),
        ];
        if self.lost > 0 {
            lines.push(format!("  you have verified {} entries of that log which it does not know: they are lost", self.lost));
        }
        lines.extend(genesis.keys.iter().map(|key| format!("  signs as {key}")));
        Ok(lines)
    }

    fn show_approvals(&self, json: bool, index: Option<u64>) -> Result<(), Failure> {
        let missing: Vec<String> = self.missing();
        if json {
            let genesis = genesis_of(&self.genesis)?;
            return print_json_result(serde_json::json!({
                "origin": genesis.origin, "log": self.genesis.leaf_hash().to_string(), "predecessor": self.pin.anchor.log.to_string(),
                "predecessor_size": end_of(&self.genesis)?, "lost": self.lost, "index": index, "approved": self.given,
                "threshold": self.pin.threshold, "is_approved": self.is_approved(), "missing": missing,
            }));
        }
        let mut lines: Vec<String> = index.map(|index| format!("Your approval is on the ledger at index {index}.")).into_iter().collect();
        if self.is_approved() {
            lines.push(format!("{} of {} custodians have approved it: cameras go on in it.", self.given, self.pin.threshold));
        } else {
            lines.push(format!("{} of {} custodians have approved it: cameras wait. Not yet:", self.given, self.pin.threshold));
            lines.extend(missing.iter().map(|name| format!("  {name}")));
        }
        say_result(&lines)
    }

    /// Custodians who have not approved.
    fn missing(&self) -> Vec<String> {
        let not_yet = self.pin.custodians.iter().filter(|custodian| !self.approved_by.contains(custodian.fingerprint()));
        not_yet.filter_map(|custodian| custodian.identity()).map(|identity| identity.subject.to_string()).collect()
    }
}

async fn approve_entry(command: &Entry, json: bool) -> Result<u8, Failure> {
    let leaf = Hash::from_hex(&command.entry).ok_or_else(|| Failure::Usage("--entry takes a leaf hash, 64 hex digits".to_owned()))?;
    let mut session = Session::open(&command.connection)?;
    let (approved, receipt) = session.appliance.entry(&leaf).await?;
    let statement = approved.statement();
    if matches!(statement.body, Body::Genesis(_)) {
        return Err(Failure::Usage(
            "a log is approved by `exhibit approve genesis`, which judges whether cameras would believe it".to_owned(),
        ));
    }
    let (kind, stream, seq) = (statement.type_name().to_owned(), statement.stream.to_string(), statement.seq);
    let content = String::from_utf8_lossy(approved.statement_bytes()).into_owned();
    show(&[format!("Entry {}: {kind}, {seq} of {stream}:", receipt.index), format!("  {content}")], json)?;
    confirm("You will stand behind this statement.", command.yes)?;
    let body = Approve { entry: leaf, statement: approved.statement_hash(), attachments: vec![] };
    let (signed, own) = session.issue(Body::Approve(body), &[]).await?;
    if json {
        print_json_result(serde_json::json!({ "approved": leaf.to_string(), "type": kind, "stream": stream, "seq": seq,
            "approval": signed.leaf_hash().to_string(), "index": own.index }))?;
    } else {
        say_result(&[format!("The approval is on the ledger at index {} ({}).", own.index, signed.leaf_hash())])?;
    }
    Ok(EXIT_OK)
}

/// What is to be approved, for the person who is to sign it: beside the result, where that is for a program.
fn show(lines: &[String], json: bool) -> Result<(), Failure> {
    if json {
        lines.iter().for_each(tell)
    } else {
        say_result(lines)?
    }
    Ok(())
}

fn statement(entry: &str) -> Result<SignedStatement, Failure> {
    statement_of(entry, "what the appliance answered").map_err(|error| Failure::Untrustworthy(error.to_string()))
}

fn genesis_of(signed: &SignedStatement) -> Result<&Genesis, Failure> {
    match &signed.statement().body {
        Body::Genesis(genesis) => Ok(genesis),
        _ => Err(Failure::Untrustworthy("what is offered is no genesis".to_owned())),
    }
}

/// How many entries of the log before genesis knows.
fn end_of(signed: &SignedStatement) -> Result<u64, Failure> {
    Ok(genesis_of(signed)?.predecessor.as_ref().map_or(0, |named| named.head.size))
}

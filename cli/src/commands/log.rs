//! `exhibit log`: what the appliance logged about its own security, as it stands on the ledger.

use std::collections::HashMap;
use std::collections::hash_map::Entry::{Occupied, Vacant};

use clap::{Args, Subcommand};
use exhibit_client::ClientError;
use exhibit_evidence::{Body, StreamName, body, exchange};
use exhibit_pki::{AwsLc, Certificate, Fingerprint, Timestamp, validate_path};
use exhibit_program::{EXIT_NO, EXIT_OK};
use exhibit_tlog::Hash;
use serde_json::json;

use crate::arguments::{Connection, Earlier};
use crate::evidence_access::Found;
use crate::failure::Failure;
use crate::log_reader::{Content, Event, LogReader};
use crate::screen::{print_json, say, tell};
use crate::session::Session;

/// What is done with it.
#[derive(Args)]
pub struct Command {
    #[command(subcommand)]
    what: What,
}

#[derive(Subcommand)]
enum What {
    /// Print the lines, each verified on the way, and name what is missing, altered, erased or out of order. For auditors.
    ///
    /// Entries that the appliance keeps back at the end are not seen here: compare the time that is told, or have the log audited (exhibit audit).
    ///
    /// Exit codes: 0 all that was stated up to the time that is told is there (or was erased by a statement that says so), 1 something is missing, altered
    /// or out of order, 2 it could not be read.
    Dump {
        #[command(flatten)]
        connection: Connection,
        #[command(flatten)]
        earlier: Earlier,
        /// Only lines of batches that end at this time or later. What is before is verified all the same, but for its lines.
        #[arg(long)]
        from: Option<Timestamp>,
        /// Only lines of batches that begin before this time.
        #[arg(long)]
        to: Option<Timestamp>,
    },
}

/// Entries that are asked for at a time: pages of 64.
const ENTRIES_AT_ONCE: u64 = 1024;

/// Runs it.
pub async fn run(command: Command, json: bool) -> Result<u8, Failure> {
    let What::Dump { connection, earlier, from, to } = command.what;
    let mut session = Session::open_for(&connection, &earlier)?;
    let (stream, length) = own_stream(&mut session).await?;
    let mut dump =
        Dump { reader: LogReader::default(), certificates: HashMap::new(), before: None, newest: None, lines: 0, is_whole: true, json };
    for first in (0..length).step_by(ENTRIES_AT_ONCE as usize) {
        let last = (first + ENTRIES_AT_ONCE).min(length) - 1;
        let found = session.entries(&stream, first, last).await?;
        if found.len() as u64 != last + 1 - first {
            return Err(Failure::Untrustworthy(format!("entries {first} to {last} of {} are not all shown", stream.as_str())));
        }
        for (seq, found) in (first..).zip(&found) {
            dump.follow(&stream, seq, found)?;
            dump.entry(&mut session, found, from, to).await?;
        }
    }
    let at_end = dump.reader.end();
    dump.tell(at_end);
    let (lines, is_whole, newest) = (dump.lines, dump.is_whole, dump.newest.map(|newest| newest.to_string()));
    if json {
        print_json(
            json!({ "event": "read", "stream": stream.as_str(), "entries": length, "newest": newest, "lines": lines, "whole": is_whole }),
        );
    } else {
        let (newest, is_whole) = (newest.unwrap_or_default(), if is_whole { "all there" } else { "NOT WHOLE" });
        tell(format!("{lines} lines in {length} entries of {} up to {newest}: {is_whole}", stream.as_str()));
    }
    Ok(if is_whole { EXIT_OK } else { EXIT_NO })
}

/// The stream that genesis began, and how many entries it has.
async fn own_stream(session: &mut Session) -> Result<(StreamName, u64), Failure> {
    let log = session.anchor.log;
    for record in session.streams("appliance/").await? {
        let stream = StreamName::parse(&record.stream).map_err(|error| Failure::Untrustworthy(error.to_string()))?;
        let first: exchange::EntryRecord = session.appliance.get_json(&format!("/v1/streams/{}/0", stream.as_str())).await?;
        if session.found(&first)?.signed.leaf_hash() == log {
            return Ok((stream, record.next_seq));
        }
    }
    Err(Failure::Untrustworthy("no stream begins with the genesis that the anchor names".to_owned()))
}

struct Dump {
    reader: LogReader,
    /// Those whose path leads to a root of the anchor.
    certificates: HashMap<Fingerprint, Certificate>,
    /// The leaf of the entry before.
    before: Option<Hash>,
    /// When the newest entry that was shown was signed: one that is kept back behind it is not missed here.
    newest: Option<Timestamp>,
    lines: u64,
    is_whole: bool,
    json: bool,
}

impl Dump {
    /// An entry is the next of the chain, so that none is left out.
    fn follow(&mut self, stream: &StreamName, seq: u64, found: &Found) -> Result<(), Failure> {
        let statement = found.signed.statement();
        self.newest = Some(statement.issued);
        let prev = self.before.replace(found.signed.leaf_hash()).unwrap_or(Hash([0; 32]));
        if (&statement.stream, statement.seq, statement.prev) == (stream, seq, prev) {
            return Ok(());
        }
        Err(Failure::Untrustworthy(format!("what is shown as entry {seq} of {} is not the one behind the entry before", stream.as_str())))
    }

    async fn entry(&mut self, session: &mut Session, found: &Found, from: Option<Timestamp>, to: Option<Timestamp>) -> Result<(), Failure> {
        let index = found.receipt.index;
        let leaf = found.signed.leaf_hash();
        match &found.signed.statement().body {
            Body::Log(batch) => {
                self.judge(session, found).await?;
                let is_wanted = from.is_none_or(|from| batch.to >= from) && to.is_none_or(|to| batch.from < to);
                let content = if is_wanted { content(session, batch).await? } else { Content::NotAsked };
                let events = self.reader.batch(index, leaf, batch, content);
                self.tell(events);
            }
            Body::Erasure(erasure) => {
                self.judge(session, found).await?;
                let erased = erasure.erased.iter().filter(|erased| erased.name == "lines").map(|erased| erased.entry);
                self.reader.erased(index, erased);
            }
            _ => {}
        }
        Ok(())
    }

    /// The signature, and that the certificate is the appliance's by an authority that the anchor believes.
    async fn judge(&mut self, session: &mut Session, found: &Found) -> Result<(), Failure> {
        let signer = *found.signed.signer();
        let untrustworthy = |error: &dyn std::fmt::Display| Failure::Untrustworthy(format!("entry {}: {error}", found.receipt.index));
        let certificate = match self.certificates.entry(signer) {
            Occupied(known) => known.into_mut(),
            Vacant(unknown) => unknown.insert(certificate_of(session, &signer, found.signed.statement().issued).await?),
        };
        found.signed.verify(certificate, &AwsLc).map_err(|error| untrustworthy(&error))?;
        Ok(())
    }

    fn tell(&mut self, events: Vec<Event>) {
        for event in events {
            match &event {
                Event::Line { .. } => self.lines += 1,
                Event::Finding(finding) => self.is_whole &= finding.is_allowed(),
            }
            if self.json {
                print_json(event.to_json());
            } else {
                say(event);
            }
        }
    }
}

/// The certificate that signed, from the entry that put it on the ledger.
async fn certificate_of(session: &mut Session, fingerprint: &Fingerprint, at: Timestamp) -> Result<Certificate, Failure> {
    let record: exchange::EntryRecord = session.appliance.get_json(&format!("/v1/certificates/{}", hex::encode(fingerprint))).await?;
    let found = session.found(&record)?;
    // Genesis names none: what leads from the person to the root may lead from the appliance too.
    let (mut leaf, mut authorities) = (None, session.chain().to_vec());
    for named in found.signed.statement().body.attachments() {
        let stored = session.appliance.attachment(named).await?;
        let certificate = Certificate::from_der(&stored).map_err(|error| Failure::Untrustworthy(format!("a certificate: {error}")))?;
        if certificate.fingerprint() == fingerprint { leaf = Some(certificate) } else { authorities.push(certificate) }
    }
    let leaf = leaf.ok_or_else(|| Failure::Untrustworthy("the certificate that signed is not the one that is shown".to_owned()))?;
    validate_path(&leaf, &authorities, &session.anchor.roots, at, &AwsLc).map_err(|error| Failure::Untrustworthy(error.to_string()))?;
    Ok(leaf)
}

/// The lines of a batch, if they are there and are those that were signed.
async fn content(session: &mut Session, batch: &body::LogBatch) -> Result<Content, Failure> {
    let Some(named) = batch.attachments.iter().find(|named| named.name == "lines") else { return Ok(Content::Missing) };
    match session.attachment(named).await {
        Ok(stored) => Ok(named.open(&stored).map_or(Content::Altered, |content| Content::Lines(content.to_vec()))),
        Err(Failure::Client(ClientError::Refused(problem))) if problem.status == 404 => Ok(Content::Missing),
        Err(Failure::Client(ClientError::Untrustworthy(_) | ClientError::Protocol(_))) => Ok(Content::Altered),
        Err(failure) => Err(failure),
    }
}

//! `exhibit share`: grants a range of time by wrapping the few key nodes that cover it, to the end of what was recorded or beyond.

use std::collections::BTreeMap;
use std::path::PathBuf;

use clap::Args;
use exhibit_evidence::body::{AttachmentRef, Grant};
use exhibit_evidence::envelope::{KeyPackage, StreamKeys};
use exhibit_evidence::exchange::terms::TERMS_TYPE;
use exhibit_evidence::exchange::{SlotRange, Terms};
use exhibit_evidence::keytree::SLOTS;
use exhibit_evidence::{Body, StreamName};
use exhibit_pki::{Certificate, KeyPurpose, Timestamp};
use exhibit_program::EXIT_OK;

use crate::arguments::{Connection, Earlier};
use crate::evidence_access::Opener;
use crate::failure::Failure;
use crate::screen::{print_json, say};
use crate::session::{Session, fill_random, now, read_certificate};

/// A grant is served for thirty days unless it says otherwise: a request that is older should be made again.
const EXPIRES_DAYS_DEFAULT: u64 = 30;
const DAY_MS: u64 = 86_400_000;

/// What can be asked.
#[derive(Args)]
pub struct Command {
    #[command(flatten)]
    connection: Connection,
    #[command(flatten)]
    earlier: Earlier,
    /// Whose evidence, such as camera/102.
    #[arg(long)]
    scope: String,
    /// Which of its series.
    #[arg(long, default_value = "main")]
    series: String,
    /// From, by the camera's clock (RFC 3339 with milliseconds, UTC).
    #[arg(long)]
    from: String,
    /// To. It may lie in the future: the running epoch is opened up to there.
    #[arg(long)]
    to: String,
    /// The investigator's wrapping certificate (PEM).
    #[arg(long)]
    grantee: PathBuf,
    /// Why; a case number, perhaps. It can be erased later.
    #[arg(long, default_value = "")]
    purpose: String,
    /// Until when the appliance serves it.
    #[arg(long)]
    expires: Option<String>,
}

/// Runs it.
pub async fn run(command: Command, json: bool) -> Result<u8, Failure> {
    let from = parse_time("--from", &command.from)?;
    let to = parse_time("--to", &command.to)?;
    if from >= to {
        return Err(Failure::Usage("--from must lie before --to".to_owned()));
    }
    let expires = match &command.expires {
        Some(text) => parse_time("--expires", text)?,
        None => now().checked_add_ms(EXPIRES_DAYS_DEFAULT * DAY_MS).ok_or_else(|| Failure::Cannot("the clock is off".to_owned()))?,
    };
    let grantee = read_certificate(&command.grantee)?;
    let subject = grantee.identity().map(|identity| identity.subject.to_string());
    let subject = subject.filter(|_| grantee.purpose() == KeyPurpose::Wrapping);
    let subject = subject.ok_or_else(|| Failure::content(&command.grantee, "this is not a person's wrapping certificate"))?;

    let mut session = Session::open_for(&command.connection, &command.earlier)?;
    let opener = Opener::open(&command.connection.identity)?;
    let series = format!("{}/{}", command.scope, command.series);
    let ranges = slot_ranges(&mut session, &series, from, to).await?;
    if ranges.is_empty() {
        return Err(Failure::Cannot(format!("{series} has nothing between {from} and {to}")));
    }
    let package = cover(&mut session, &opener, &ranges).await?;
    let nodes: usize = package.streams.iter().map(|keys| keys.nodes.len()).sum();
    let terms = Terms {
        type_name: TERMS_TYPE.to_owned(),
        grantee: hex::encode(grantee.fingerprint()),
        grantee_subject: subject.clone(),
        from: from.to_string(),
        to: to.to_string(),
        ranges: ranges
            .iter()
            .map(|(stream, (first, last))| SlotRange { stream: stream.as_str().to_owned(), first: *first, last: *last })
            .collect(),
        expires: expires.to_string(),
        purpose: command.purpose.clone(),
    };
    let (body, attachments) = grant(&command.scope, &terms, &package, &grantee)?;
    let attachments: Vec<&[u8]> = attachments.iter().map(Vec::as_slice).collect();
    let (signed, receipt) = session.issue(body, &attachments).await?;
    let leaf = signed.leaf_hash().to_string();
    if json {
        print_json(serde_json::json!(
            { "grant": leaf, "index": receipt.index, "streams": ranges.len(), "nodes": nodes, "grantee": subject }
        ));
    } else {
        say(format!("Granted {series} from {from} to {to} to {subject}: {nodes} key nodes of {} epochs.", ranges.len()));
        say(format!("The grant is on the ledger at index {}: {leaf}", receipt.index));
        say(format!("The appliance serves it until {expires}. What was fetched by then can not be called back."));
    }
    Ok(EXIT_OK)
}

fn parse_time(option: &str, text: &str) -> Result<Timestamp, Failure> {
    Timestamp::parse(text).map_err(|error| Failure::Usage(format!("{option}: {error}")))
}

/// Which slots of which epochs the interval is: by the epochs' clocks, widened to the segments that overlap its ends.
async fn slot_ranges(
    session: &mut Session,
    series: &str,
    from: Timestamp,
    to: Timestamp,
) -> Result<BTreeMap<StreamName, (u32, u32)>, Failure> {
    let mut ranges: BTreeMap<StreamName, (u32, u32)> = BTreeMap::new();
    for found in session.segments(series, from, to).await? {
        let Some(segment) = found.segment() else { continue };
        let range = ranges.entry(found.signed.statement().stream.clone()).or_insert((segment.slot, segment.slot));
        *range = (range.0.min(segment.slot), range.1.max(segment.slot));
    }
    if to > now() {
        widen_to_the_future(session, series, from, to, &mut ranges).await?;
    }
    Ok(ranges)
}

/// The running epoch, which is the series' newest, is opened up to `to` by arithmetic; later epochs need another grant.
async fn widen_to_the_future(
    session: &mut Session,
    series: &str,
    from: Timestamp,
    to: Timestamp,
    ranges: &mut BTreeMap<StreamName, (u32, u32)>,
) -> Result<(), Failure> {
    let streams = session.streams(&format!("{series}/")).await?;
    let Some(newest) = streams.last() else { return Ok(()) };
    let stream = StreamName::parse(&newest.stream).map_err(|error| Failure::Untrustworthy(error.to_string()))?;
    let epoch = session.epoch(&stream).await?;
    let Body::Epoch(stated) = &epoch.signed.statement().body else {
        return Err(Failure::Untrustworthy(format!("{} does not begin with an epoch statement", newest.stream)));
    };
    let slot_at = |moment: Timestamp| {
        let seconds = moment.unix_ms().saturating_sub(stated.started.unix_ms()) / 1_000;
        u32::try_from(seconds).unwrap_or(SLOTS).min(SLOTS - 1)
    };
    let range = ranges.entry(stream).or_insert((slot_at(from), slot_at(from)));
    range.1 = range.1.max(slot_at(to));
    Ok(())
}

/// The least nodes for the ranges, out of the epochs' roots.
async fn cover(session: &mut Session, opener: &Opener, ranges: &BTreeMap<StreamName, (u32, u32)>) -> Result<KeyPackage, Failure> {
    let mut package = KeyPackage { log: session.anchor.log, streams: Vec::new() };
    for (stream, (first, last)) in ranges {
        let epoch = session.epoch(stream).await?;
        let tree = opener.epoch_tree(session, &epoch.signed).await?;
        let nodes = tree
            .cover(*first, *last)
            .ok_or_else(|| Failure::Cannot(format!("slots {first} to {last} of {stream} are not held", stream = stream.as_str())))?;
        package.streams.push(StreamKeys { stream: stream.clone(), nodes });
    }
    Ok(package)
}

/// The grant's body and its attachments: the terms and the wraps, each salted so that it can be erased.
fn grant(scope: &str, terms: &Terms, package: &KeyPackage, grantee: &Certificate) -> Result<(Body, Vec<Vec<u8>>), Failure> {
    let terms = serde_json::to_vec(terms).expect("terms are plain data");
    let wraps = package.seal(std::slice::from_ref(grantee), &mut fill_random).map_err(|error| Failure::Cannot(error.to_string()))?;
    let stored = [erasable(&terms), erasable(&wraps)];
    let attachments = vec![AttachmentRef::of("terms", &stored[0], true), AttachmentRef::of("wraps", &stored[1], true)];
    Ok((Body::Grant(Grant { scope: scope.to_owned(), attachments }), stored.into()))
}

/// Bytes as they are stored beside the ledger when they may be erased one day.
pub fn erasable(bytes: &[u8]) -> Vec<u8> {
    let mut salt = [0; 32];
    fill_random(&mut salt);
    AttachmentRef::erasable_bytes(&salt, bytes)
}

//! `exhibit fetch`: signs what is asked for before a byte is served, gets the ciphertext, and opens it here, fragment by fragment.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use clap::Args;
use exhibit_client::ClientError;
use exhibit_evidence::body::{AttachmentRef, Fetch, Genesis, Segment, SeqRange, StreamPosition};
use exhibit_evidence::bundle::{DISCLOSURE_TYPE, DisclosedFragment, Disclosure, Question};
use exhibit_evidence::exchange::{EntryRecord, Terms};
use exhibit_evidence::keytree::KeyTree;
use exhibit_evidence::segment::{CiphertextChecker, SegmentOpener, commitment_root};
use exhibit_evidence::{Body, SignedStatement, StreamName};
use exhibit_pki::{Fingerprint, Timestamp};
use exhibit_program::{EXIT_NO, EXIT_OK};
use exhibit_tlog::Hash;

use crate::arguments::{Connection, Earlier};
use crate::case_folder::CaseFolder;
use crate::commands::share::erasable;
use crate::commands::time_evidence::timestamps_around;
use crate::evidence_access::{Found, Opener};
use crate::failure::Failure;
use crate::screen::{print_json, say, tell};
use crate::session::Session;

/// Terms are small: a few ranges and a purpose.
const TERMS_BYTES_MAX: u64 = 1 << 20;

/// A camera's recipients change a few times a year: so many sets are more than it lives to see, and a bound on an answer that never ends.
const RECIPIENT_SETS_MAX: usize = 1_000;

/// So many statements at the end of a chain reach back to a segment: a close follows one, and perhaps a gap.
const LAST_STATEMENTS: u64 = 8;

/// What can be asked.
#[derive(Args)]
pub struct Command {
    #[command(flatten)]
    connection: Connection,
    #[command(flatten)]
    earlier: Earlier,
    /// The grant, by its leaf hash; its interval and camera are fetched. Without it: the newest grant to this identity.
    #[arg(long, conflicts_with_all = ["series", "from", "to"])]
    grant: Option<String>,
    /// As a recipient of the camera itself: which series, such as camera/102/main.
    #[arg(long, requires = "from", requires = "to")]
    series: Option<String>,
    /// From, by the camera's clock.
    #[arg(long)]
    from: Option<String>,
    /// To.
    #[arg(long)]
    to: Option<String>,
    /// Why; a case number, perhaps. It can be erased later.
    #[arg(long, default_value = "")]
    purpose: String,
    /// The folder to make.
    #[arg(long)]
    out: PathBuf,
}

/// On what right, and what.
struct Right {
    grant: Option<Found>,
    question: Question,
    from: Timestamp,
    to: Timestamp,
    /// The trees held: of a grant, those in it; of a recipient, each epoch's own, opened when met.
    trees: BTreeMap<StreamName, KeyTree>,
}

/// Runs it.
pub async fn run(command: Command, json: bool) -> Result<u8, Failure> {
    let mut session = Session::open_for(&command.connection, &command.earlier)?;
    let opener = Opener::open(&command.connection.identity)?;
    let mut right = right(&mut session, &opener, &command).await?;
    let mut segments = session.segments(&right.question.series, right.from, right.to).await?;
    for stream in segments.iter().map(|found| found.signed.statement().stream.clone()).collect::<BTreeSet<_>>() {
        if right.grant.is_none() {
            let epoch = session.epoch(&stream).await?;
            right.trees.insert(stream, opener.epoch_tree(&mut session, &epoch.signed).await?);
        }
    }
    segments.retain(|found| held(&right.trees, found).is_some());
    tell_of_earlier(&mut session, right.from).await?;
    if segments.is_empty() {
        return Err(Failure::Cannot("nothing of the interval can be opened with this right".to_owned()));
    }
    let mut case = CaseFolder::create(&command.out)?;
    let fetch = issue_fetch(&mut session, &right, &segments, &command.purpose).await?;
    if !json {
        tell(format!("the request is on the ledger at index {}; getting {} segments", fetch.receipt.index, segments.len()));
    }
    let mut damaged = Vec::new();
    for found in &segments {
        damaged.extend(fetch_segment(&mut session, &mut case, &right.trees, found, &fetch.signed.leaf_hash()).await?);
    }
    keep_context(&mut session, &mut case, &right, &segments, &fetch).await?;
    let (count, leaf) = (case.segment_count(), fetch.signed.leaf_hash());
    case.finish(&session.anchor.log, right.question, &leaf)?;
    damaged.iter().for_each(tell);
    if json {
        print_json(serde_json::json!({ "fetch": leaf.to_string(), "segments": count, "damaged": damaged, "out": command.out }));
    } else {
        say(format!("Opened {count} segments in {}. Make a bundle of them with `exhibit export`.", command.out.display()));
    }
    Ok(if damaged.is_empty() { EXIT_OK } else { EXIT_NO })
}

/// Where the interval begins before the log does, the log before may have more of it.
async fn tell_of_earlier(session: &mut Session, from: Timestamp) -> Result<(), Failure> {
    let genesis: EntryRecord = session.appliance.get_json("/v1/index/0").await?;
    let signed = session.found(&genesis)?.signed;
    let statement = signed.statement();
    if let Body::Genesis(Genesis { predecessor: Some(before), .. }) = &statement.body
        && from < statement.issued
    {
        let (began, log) = (statement.issued, before.log);
        tell(format!("this log began at {began} and goes on for log {log}: what that one has is fetched with --of-log and its anchor"));
    }
    Ok(())
}

async fn right(session: &mut Session, opener: &Opener, command: &Command) -> Result<Right, Failure> {
    if let (Some(series), Some(from), Some(to)) = (&command.series, &command.from, &command.to) {
        let question = Question { series: series.clone(), from: from.clone(), to: to.clone() };
        let time = |text: &str| Timestamp::parse(text).map_err(|error| Failure::Usage(format!("{text:?} is {error}")));
        return Ok(Right { grant: None, from: time(from)?, to: time(to)?, question, trees: BTreeMap::new() });
    }
    let grant = find_grant(session, command.grant.as_deref()).await?;
    let terms = terms(session, &grant.signed).await?;
    if terms.grantee != hex::encode(opener.certificate().fingerprint()) {
        return Err(Failure::Cannot(format!("the grant is to another certificate ({})", terms.grantee)));
    }
    let mut package = opener.keys_of(session, &grant.signed).await?;
    let log = package.log;
    let mut trees = BTreeMap::new();
    let mut series = None;
    for keys in std::mem::take(&mut package.streams) {
        series = Some(keys.stream.series().to_owned());
        let stream = keys.stream.clone();
        let single = exhibit_evidence::envelope::KeyPackage { log: package.log, streams: vec![keys] };
        let tree = single.into_tree(&log, &stream).map_err(|error| Failure::Untrustworthy(error.to_string()))?;
        trees.insert(stream, tree);
    }
    let series = series.ok_or_else(|| Failure::Untrustworthy("the grant opens nothing".to_owned()))?;
    let time = |text: &str| Timestamp::parse(text).map_err(|error| Failure::Untrustworthy(format!("the grant's terms: {error}")));
    let (from, to) = (time(&terms.from)?, time(&terms.to)?);
    Ok(Right { grant: Some(grant), question: Question { series, from: terms.from, to: terms.to }, from, to, trees })
}

async fn find_grant(session: &mut Session, leaf: Option<&str>) -> Result<Found, Failure> {
    if let Some(leaf) = leaf {
        let hash = Hash::from_hex(leaf).ok_or_else(|| Failure::Usage("--grant takes a leaf hash, 64 hex digits".to_owned()))?;
        let (signed, receipt) = match session.appliance.entry(&hash).await {
            Err(ClientError::Refused(problem)) if problem.status == 404 && session.is_of_ended() => {
                session.stated_to().entry(&hash).await?
            }
            entry => entry?,
        };
        return Ok(Found { signed, receipt });
    }
    // By its place, whatever its issuer's clock said. The log that goes on has the grants that were carried over, and those that were made since.
    let newest = |grants: Vec<Found>| grants.into_iter().max_by_key(|found| found.receipt.index);
    let stated_since = if session.is_of_ended() { newest(session.pages_of_next("/v1/grants").await?) } else { None };
    let newest = match stated_since {
        None => newest(session.pages("/v1/grants").await?),
        found => found,
    };
    newest.ok_or_else(|| Failure::Cannot("nothing has been granted to this identity".to_owned()))
}

async fn terms(session: &mut Session, grant: &SignedStatement) -> Result<Terms, Failure> {
    let named = grant.statement().body.attachment("terms").filter(|named| named.length <= TERMS_BYTES_MAX).cloned();
    let named = named.ok_or_else(|| Failure::Untrustworthy("the grant has no terms".to_owned()))?;
    let stored = session.attachment(&named).await?;
    let content = named.open(&stored);
    let content = content.ok_or_else(|| Failure::Untrustworthy("the terms of the grant are not those that were signed".to_owned()))?;
    let Body::Grant(body) = &grant.statement().body else {
        return Err(Failure::Untrustworthy("what was given as a grant is none".to_owned()));
    };
    Terms::parse(content, &body.scope).map_err(|error| Failure::Untrustworthy(format!("the JSON of the grant's terms {error}")))
}

fn held<'a>(trees: &'a BTreeMap<StreamName, KeyTree>, found: &Found) -> Option<&'a KeyTree> {
    let segment = found.segment()?;
    trees.get(&found.signed.statement().stream).filter(|tree| tree.slot_key(segment.slot).is_some())
}

/// Signs the request for exactly these segments.
async fn issue_fetch(session: &mut Session, right: &Right, segments: &[Found], purpose: &str) -> Result<Found, Failure> {
    let mut ranges: Vec<SeqRange> = Vec::new();
    for found in segments {
        let (stream, seq) = (&found.signed.statement().stream, found.signed.statement().seq);
        match ranges.last_mut() {
            Some(range) if range.stream == *stream && range.last + 1 == seq => range.last = seq,
            _ => ranges.push(SeqRange { stream: stream.clone(), first: seq, last: seq }),
        }
    }
    let stored = if purpose.is_empty() { vec![] } else { vec![erasable(purpose.as_bytes())] };
    let attachments = stored.iter().map(|stored| AttachmentRef::of("purpose", stored, true)).collect();
    let body = Fetch { grant: right.grant.as_ref().map(|grant| grant.signed.leaf_hash()), ranges, attachments };
    let stored: Vec<&[u8]> = stored.iter().map(Vec::as_slice).collect();
    let (signed, receipt) = session.issue(Body::Fetch(body), &stored).await?;
    Ok(Found { signed, receipt })
}

/// Gets, checks and opens one segment. What is damaged is named and the rest kept, since a part of the evidence is better than none.
async fn fetch_segment(
    session: &mut Session,
    case: &mut CaseFolder,
    trees: &BTreeMap<StreamName, KeyTree>,
    found: &Found,
    fetch: &Hash,
) -> Result<Vec<String>, Failure> {
    let statement = found.signed.statement();
    let (stream, seq) = (statement.stream.as_str(), statement.seq);
    let (Some(segment), Some(tree)) = (found.segment(), held(trees, found)) else { return Ok(vec![]) };
    let slot_key = tree.slot_key(segment.slot).expect("held() has found the key");
    let length: u64 = segment.fragment_lengths.iter().map(|length| u64::from(*length)).sum();
    let ciphertext = session.appliance.get_bytes(&format!("/v1/payloads/{stream}/{seq}?fetch={fetch}"), length).await?;
    let mut checker = CiphertextChecker::new(segment);
    checker.update(&ciphertext);
    let intact = checker.finish().is_ok();

    let opener = SegmentOpener::new(&statement.stream, seq, segment, slot_key);
    let mut damaged = Vec::new();
    let mut commitments = Vec::new();
    let mut fragments = Vec::new();
    let mut rest = ciphertext.as_slice();
    for (index, length) in (0u32..).zip(&segment.fragment_lengths) {
        let (fragment, after) = rest.split_at_checked(*length as usize).unwrap_or((rest, &[]));
        rest = after;
        match opener.open(index, fragment) {
            Ok(opened) => {
                case.keep_fragment(stream, seq, index, &opened.plaintext)?;
                commitments.push(opened.commitment);
                fragments.push(DisclosedFragment { index, key: hex::encode(opened.key.0.as_slice()) });
            }
            Err(error) => damaged.push(format!("segment {seq} of {stream}, {}: {error}", about(segment, index))),
        }
    }
    if damaged.is_empty() && !intact {
        damaged.push(format!("segment {seq} of {stream}: the ciphertext is not what was signed"));
    }
    // A GCM tag does not commit to a key: only the camera's commitments say that this is the plaintext which it sealed.
    if damaged.is_empty() && commitment_root(&commitments) != segment.commitment_root {
        damaged.push(format!("segment {seq} of {stream}: it opens, but not to what the camera committed to"));
    }
    if damaged.is_empty() {
        let commitments = commitments.iter().map(ToString::to_string).collect();
        let disclosure = Disclosure { type_name: DISCLOSURE_TYPE.to_owned(), stream: stream.to_owned(), seq, commitments, fragments };
        case.keep_segment(&disclosure)?;
    }
    Ok(damaged)
}

fn about(segment: &Segment, index: u32) -> String {
    let share_ms = segment.duration_ms * u64::from(index) / segment.fragment_lengths.len().max(1) as u64;
    segment.start.checked_add_ms(share_ms).map(|time| format!("at {time}")).unwrap_or_default()
}

/// Keeps all that a verdict needs beside the segments: the chains with their epochs and what follows, recipients, grant, fetch, genesis, and
/// the certificates of everybody who signed any of it.
async fn keep_context(
    session: &mut Session,
    case: &mut CaseFolder,
    right: &Right,
    segments: &[Found],
    fetch: &Found,
) -> Result<(), Failure> {
    let mut kept: Vec<SignedStatement> = Vec::new();
    let mut spans: BTreeMap<&StreamName, (u64, u64)> = BTreeMap::new();
    for found in segments {
        let statement = found.signed.statement();
        let span = spans.entry(&statement.stream).or_insert((statement.seq, statement.seq));
        *span = (span.0.min(statement.seq), span.1.max(statement.seq));
    }
    for (stream, (first, last)) in &spans {
        if let Some(previous) = keep_epoch(session, case, &mut kept, stream).await? {
            // What the epoch continues shows that nothing stood between: its last statements, back to a segment.
            let from = spans.get(&previous.stream).map_or(previous.seq.saturating_sub(LAST_STATEMENTS - 1), |(_, last)| last + 1);
            for found in session.entries(&previous.stream, from, previous.seq).await? {
                keep(case, &mut kept, found)?;
            }
            keep_epoch(session, case, &mut kept, &previous.stream).await?;
        }
        // The statement after the last closes the interval: nothing can have stood between.
        for found in session.entries(stream, *first, last + 1).await? {
            keep(case, &mut kept, found)?;
        }
    }
    // A bundle is of one log: what was stated to the one that goes on stays there.
    let is_here = |found: &&Found| found.receipt.log == session.anchor.log;
    for found in [right.grant.as_ref(), Some(fetch)].into_iter().flatten().filter(is_here) {
        keep(case, &mut kept, Found { signed: found.signed.clone(), receipt: found.receipt.clone() })?;
    }
    for found in timestamps_around(session, segments).await? {
        keep_attachments(session, case, &found.signed).await?;
        keep(case, &mut kept, found)?;
    }
    if session.is_of_ended() {
        // It shows that the log has ended, and so why no exporter has stated anything there.
        let end = session.appliance.checkpoint(None).await?.size;
        let last: EntryRecord = session.appliance.get_json(&format!("/v1/index/{}", end.saturating_sub(1))).await?;
        let last = session.found(&last)?;
        // That of a log that was lost is anybody's, and of a camera's chain a bundle has a whole part or nothing.
        if matches!(last.signed.statement().body, Body::Succession(_)) {
            keep(case, &mut kept, last)?;
        }
    }
    let genesis: EntryRecord = session.appliance.get_json("/v1/index/0").await?;
    let genesis = session.found(&genesis)?;
    keep_attachments(session, case, &genesis.signed).await?;
    keep(case, &mut kept, genesis)?;
    keep_certificates(session, case, kept).await
}

/// Keeps the statement that began an epoch and the recipients that it obeyed, and says what it continues.
async fn keep_epoch(
    session: &mut Session,
    case: &mut CaseFolder,
    kept: &mut Vec<SignedStatement>,
    stream: &StreamName,
) -> Result<Option<StreamPosition>, Failure> {
    let epoch = session.epoch(stream).await?;
    let mut continued = None;
    if let Body::Epoch(stated) = &epoch.signed.statement().body {
        keep_recipients(session, case, kept, stated.recipients).await?;
        continued.clone_from(&stated.continues.previous);
    }
    keep(case, kept, epoch)?;
    Ok(continued)
}

/// Keeps a set of recipients and those that it replaced, back to the first, with the approvals of each by whoever may have decided on it: the
/// custodians of any of them, and those that the anchor pins. Where it pins none, whoever judges may know others: then all approvals of the first.
async fn keep_recipients(
    session: &mut Session,
    case: &mut CaseFolder,
    kept: &mut Vec<SignedStatement>,
    newest: Hash,
) -> Result<(), Failure> {
    let pinned = session.anchor.policy.custodians.as_ref().map(|pinned| &pinned.certificates);
    let mut custodians: BTreeSet<Fingerprint> = pinned.into_iter().flatten().map(|certificate| *certificate.fingerprint()).collect();
    let (mut sets, mut next, knows_first) = (Vec::new(), Some(newest), pinned.is_some());
    while let Some(leaf) = next {
        if sets.len() == RECIPIENT_SETS_MAX {
            return Err(Failure::Untrustworthy("the recipients of a camera replace each other without end".to_owned()));
        }
        let (signed, receipt) = match session.appliance.entry(&leaf).await {
            Err(ClientError::Refused(problem)) if problem.status == 404 => {
                // It was lost with the log before, and nobody has stated it again. What that means is for whoever judges the bundle.
                tell(format!(
                    "the recipients {leaf} are not on this log: who could open this evidence, or who decided on it, will not be shown"
                ));
                break;
            }
            entry => entry?,
        };
        next = None;
        if let Body::Recipients(set) = &signed.statement().body {
            custodians.extend(&set.custodians);
            next = set.replaces;
        }
        let is_new = case.keep(&Found { signed: signed.clone(), receipt })?;
        sets.push((leaf, is_new, next.is_none()));
        if is_new {
            kept.push(signed);
        }
    }
    let custodians: Vec<Fingerprint> = custodians.into_iter().collect();
    for (leaf, _, is_first) in sets.iter().filter(|(_, is_new, _)| *is_new) {
        let by = if *is_first && !knows_first { &[] } else { &custodians[..] };
        for approval in session.approvals(leaf, by).await? {
            keep(case, kept, approval)?;
        }
    }
    Ok(())
}

fn keep(case: &mut CaseFolder, kept: &mut Vec<SignedStatement>, found: Found) -> Result<(), Failure> {
    if case.keep(&found)? {
        kept.push(found.signed);
    }
    Ok(())
}

/// For every signer, the entry that put the certificate on the ledger, and then that entry's signer, until nothing new comes. Of one that replaces
/// another, that one too, and who approved of it.
async fn keep_certificates(session: &mut Session, case: &mut CaseFolder, kept: Vec<SignedStatement>) -> Result<(), Failure> {
    let mut known: BTreeSet<Fingerprint> = BTreeSet::new();
    let mut waiting: Vec<Fingerprint> = kept.iter().map(|signed| *signed.signer()).collect();
    while let Some(fingerprint) = waiting.pop() {
        if !known.insert(fingerprint) {
            continue;
        }
        let record: EntryRecord = session.appliance.get_json(&format!("/v1/certificates/{}", hex::encode(fingerprint))).await?;
        let found = session.found(&record)?;
        if !case.keep(&found)? {
            continue;
        }
        keep_attachments(session, case, &found.signed).await?;
        waiting.push(*found.signed.signer());
        let Body::Certificate(body) = &found.signed.statement().body else { continue };
        let Some(replaced) = body.replaces else { continue };
        for approval in session.approvals(&found.signed.leaf_hash(), &[]).await? {
            waiting.push(*approval.signed.signer());
            case.keep(&approval)?;
        }
        if session.is_introduced(&replaced).await? {
            waiting.push(replaced);
        }
    }
    Ok(())
}

async fn keep_attachments(session: &mut Session, case: &CaseFolder, signed: &SignedStatement) -> Result<(), Failure> {
    for named in signed.statement().body.attachments() {
        let stored = session.appliance.attachment(named).await?;
        case.keep_attachment(&named.sha256, &stored)?;
    }
    Ok(())
}

//! What a bundle holds about time: `timestamp` statements around its segments, and the proofs that the heads in them are of one log.
//!
//! It judges nothing: the verifier does.

use exhibit_client::{EndedLog, Receipts};
use exhibit_evidence::bundle::{observed_proof_path, timestamp_proof_path};
use exhibit_evidence::exchange::EntryRecord;
use exhibit_evidence::{Body, Head, SignedStatement, StreamName};
use exhibit_tlog::Hash;
use tokio::time::{Duration, Instant, sleep};

use crate::evidence_access::Found;
use crate::failure::Failure;
use crate::screen::tell;
use crate::session::Session;

/// Between two `timestamp` statements stand the appliance's other ones: an access for each fetch, mostly.
const LOOK_BACK: u64 = 1024;
/// A day of `timestamp` statements, and as many others.
const SPAN_MAX: u64 = 4096;
/// Witnesses cosign within a second, where they can be reached.
const WITNESS_WAIT: Duration = Duration::from_secs(20);
/// The TPM of an appliance signs once a minute, and takes a second.
const TPM_WAIT: Duration = Duration::from_secs(75);
/// How often the appliance is asked meanwhile.
const ASK: Duration = Duration::from_millis(500);

/// The `timestamp` statements from the last one that every segment's camera can have seen to the first one that covers every segment.
pub async fn timestamps_around(session: &mut Session, segments: &[Found]) -> Result<Vec<Found>, Failure> {
    let observed = segments.iter().map(|found| found.signed.statement().observed.size).min().unwrap_or(0);
    let last = segments.iter().map(|found| found.receipt.index).max().unwrap_or(0);
    let genesis: EntryRecord = session.appliance.get_json("/v1/index/0").await?;
    let stream = session.found(&genesis)?.signed.statement().stream.clone();
    let middle = first_not_below(session, &stream, observed).await?;
    let mut kept = Vec::new();
    for found in session.entries(&stream, middle.saturating_sub(LOOK_BACK), middle.saturating_sub(1)).await?.into_iter().rev() {
        if is_timestamp(&found).is_some() {
            kept.push(found);
            break;
        }
    }
    let mut next = middle;
    while next < middle + SPAN_MAX {
        // A page at a time: what is wanted is near.
        let page = session.entries(&stream, next, next + 63).await?;
        let Some(end) = page.last().map(|found| found.signed.statement().seq) else { break };
        next = end + 1;
        for found in page {
            let Some(head) = is_timestamp(&found) else { continue };
            kept.push(found);
            if head.size > last {
                return Ok(kept);
            }
        }
    }
    Ok(kept)
}

fn is_timestamp(found: &Found) -> Option<Head> {
    match &found.signed.statement().body {
        Body::Timestamp(body) => Some(body.head),
        _ => None,
    }
}

/// The first seq of a stream whose entry is not below `index`.
async fn first_not_below(session: &mut Session, stream: &StreamName, index: u64) -> Result<u64, Failure> {
    let records = session.streams(stream.as_str()).await?;
    let (mut low, mut high) = (0, records.first().map_or(0, |record| record.next_seq));
    while low < high {
        let seq = low + (high - low) / 2;
        let record: EntryRecord = session.appliance.get_json(&format!("/v1/streams/{stream}/{seq}")).await?;
        if record.index < index { low = seq + 1 } else { high = seq }
    }
    Ok(low)
}

/// Receipts under a checkpoint that covers the entry at `index` and that witnesses have cosigned; under the newest where there are no
/// witnesses, or none has come in time.
pub async fn receipts_over(session: &mut Session, index: u64) -> Result<Receipts, Failure> {
    let asked = Instant::now();
    let policy = &session.anchor.policy;
    let wants_tpm = policy.tpm_key.is_some() && policy.witnesses.is_none() && !session.is_of_ended();
    loop {
        if wants_tpm && let Some(receipts) = Receipts::tpm_signed(&mut session.appliance, index).await? {
            return Ok(receipts);
        }
        if let Some(receipts) = Receipts::witnessed(&mut session.appliance, index).await? {
            return Ok(receipts);
        }
        let status: serde_json::Value = session.appliance.get_json("/v1/witnesses").await?;
        let waits = status["is_gated"].as_bool().unwrap_or(false);
        if wants_tpm && !waits && asked.elapsed() < TPM_WAIT {
            sleep(ASK).await;
            continue;
        }
        if !waits || asked.elapsed() >= WITNESS_WAIT {
            if waits {
                tell("not enough witnesses have seen the log in time; the bundle is made under a checkpoint without them");
            }
            return Ok(Receipts::newest(&mut session.appliance).await?);
        }
        sleep(ASK).await;
    }
}

/// What the proofs of a bundle are made of: the log's own, and what genesis declares of the logs before it.
pub struct Proofs {
    /// Under the bundle's checkpoint.
    pub receipts: Receipts,
    before: Vec<EndedLog>,
}

impl Proofs {
    /// `genesis` is the entry at 0.
    pub fn new(receipts: Receipts, genesis: &SignedStatement) -> Self {
        let before = match &genesis.statement().body {
            Body::Genesis(genesis) => genesis.before().cloned().map(EndedLog::new).collect(),
            _ => Vec::new(),
        };
        Self { receipts, before }
    }

    /// The proofs beside an entry: of the head that it observed, and of the checkpoint that it holds. Names and contents.
    pub async fn of(&mut self, session: &mut Session, index: u64, signed: &SignedStatement) -> Result<Vec<(String, String)>, Failure> {
        let statement = signed.statement();
        let mut proofs = Vec::new();
        if let Some(path) = self.of_observed(session, signed).await? {
            proofs.push((observed_proof_path(index), text(&path)));
        }
        if let Body::Timestamp(body) = &statement.body {
            let path = self.receipts.extends(&mut session.appliance, body.head.size, &body.head.root).await?;
            proofs.push((timestamp_proof_path(index), text(&path)));
        }
        Ok(proofs)
    }

    /// A statement has observed the log that it was made for.
    async fn of_observed(&mut self, session: &mut Session, signed: &SignedStatement) -> Result<Option<Vec<Hash>>, Failure> {
        let (log, observed) = (signed.statement().log, signed.statement().observed);
        if observed.size == 0 {
            return Ok(None);
        }
        if let Some(before) = self.before.iter_mut().find(|before| *before.log() == log) {
            return Ok(before.extends(&mut session.appliance, &observed).await?);
        }
        if log != session.anchor.log || observed.size > self.receipts.head().size {
            return Ok(None);
        }
        Ok(Some(self.receipts.extends(&mut session.appliance, observed.size, &observed.root).await?))
    }
}

/// As docs/formats/bundle.md has a proof of consistency.
fn text(path: &[Hash]) -> String {
    let hashes: String = path.iter().map(|hash| format!("{}\n", hash.to_base64())).collect();
    format!("exhibit-consistency/v1\n{hashes}")
}

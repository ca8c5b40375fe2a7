//! `PUT /v1/streams/{stream}/{seq}`: judged from its first bytes on, staged while it arrives, durable before it is answered.
//!
//! It never holds a payload whole, and never sees a key.

pub mod body;
pub mod contents;
pub mod finish;
pub mod judge;
pub mod rules;
mod staging;

use std::sync::Arc;

use exhibit_evidence::{
    Body, SignedStatement, Statement, StreamName, VerifiedStatement, cms::ENTRY_BYTES_MAX, exchange::Admitted, segment::CiphertextChecker,
};
use exhibit_ledger::{EntryPlace, Ledger, LedgerError, Refusal as LedgerRefusal};
use exhibit_tlog::Hash;
use hyper::body::{Bytes, Incoming};
use sha2::{Digest, Sha256};
use tokio::task::spawn_blocking;

use crate::api::problem::{Kind, Refusal};
use crate::api::server::Peer;
use crate::appliance::Appliance;
use crate::chronicle::ChronicleError;
use crate::registry::RegistryError;
use crate::room::Use;
use crate::vault::{Object, Staged, VaultError};
use body::BodyReader;
use finish::Complete;
use judge::{Arrival, Before, Judgement, LedgerView, Logs, judge};
use staging::StagedWriter;

/// What the sender is told.
#[derive(Clone, Debug, PartialEq)]
pub struct Answered {
    /// Receipt and consistency.
    pub admitted: Admitted,
    /// False if it was there before.
    pub new: bool,
    /// False while the receipt waits for witnesses.
    pub is_final: bool,
}

/// Takes one statement with its attachments and its payload.
pub async fn put(
    appliance: Arc<Appliance>,
    peer: Arc<Peer>,
    place: (StreamName, u64),
    knows: Option<Hash>,
    body: Incoming,
    length: u64,
) -> Result<Answered, Refusal> {
    let permit = appliance.uploads.clone().try_acquire_owned();
    let _permit = permit.map_err(|_| Refusal::new(Kind::Overloaded, "too many uploads at once: try again in a moment"))?;
    let mut body = BodyReader::new(body, length);
    let entry_length = body.length().await? as usize;
    if entry_length > ENTRY_BYTES_MAX {
        return Err(Refusal::new(Kind::TooLarge, format!("a signed statement is at most {ENTRY_BYTES_MAX} bytes long")));
    }
    let entry = body.exact(entry_length).await?;
    let by = if place.0.owner().starts_with("camera/") { Use::Camera } else { Use::Person };
    let judged = judge_blocking(appliance.clone(), peer, place, knows, entry).await?;
    let verified = match judged {
        Judged::Admit(verified) => verified,
        Judged::Same((admitted, is_final)) => {
            // Answered at once; what is still on its way is read beside, so that the connection can go on.
            tokio::spawn(body.drain());
            return Ok(Answered { admitted, new: false, is_final });
        }
    };
    check_lengths(verified.statement(), &mut body).await?;
    // Held until all is on disk.
    let shared = appliance.clone();
    let _room =
        shared.room.promise(length.saturating_add(ROWS_BYTES_MAX), by).map_err(|error| Refusal::new(Kind::Storage, error.to_string()))?;
    let staged = stage_attachments(&appliance, verified.statement(), &mut body).await?;
    let payload = stage_payload(&appliance, &verified, &mut body).await?;
    let complete = Complete { verified, attachments: staged.files, read: staged.read, payload };
    let finished = spawn_blocking(move || complete.finish(&appliance)).await;
    finished.map_err(|_| Refusal::new(Kind::Internal, "the appliance failed: try again"))?
}

/// What the ledger writes for an entry beside its bytes: rows, tiles and a checkpoint.
const ROWS_BYTES_MAX: u64 = 64 * 1024;

enum Judged {
    Admit(Box<VerifiedStatement>),
    Same((Admitted, bool)),
}

/// The judge reads the ledger and verifies signatures, which is nothing for the threads that serve sockets.
async fn judge_blocking(
    appliance: Arc<Appliance>,
    peer: Arc<Peer>,
    (stream, seq): (StreamName, u64),
    knows: Option<Hash>,
    entry: Vec<u8>,
) -> Result<Judged, Refusal> {
    let judged = spawn_blocking(move || -> Result<Judged, Refusal> {
        let now = appliance.now();
        let arrival = Arrival { stream: &stream, seq, entry: &entry, peer: &peer.certificate, peer_chain: &peer.chain, knows, now };
        let archive = appliance.predecessor.as_ref().and_then(|predecessor| predecessor.archive.as_ref());
        match judge(&arrival, &logs(&appliance))? {
            // Before its payload is sent for nothing.
            Judgement::Admit(_) if appliance.ledger.is_ended().map_err(RegistryError::from)? => {
                Err(Refusal::new(Kind::Ended, LedgerRefusal::Ended.to_string()))
            }
            Judgement::Admit(verified) => Ok(Judged::Admit(verified)),
            Judgement::Same { place, statement, is_before } => Ok(Judged::Same(match archive.filter(|_| is_before) {
                Some(archive) => finish::admitted_before(archive, &place, &statement)?,
                None => finish::admitted(&appliance, &place, &statement)?,
            })),
            Judgement::Contradiction { first, second, is_before } => {
                let ledger = archive.filter(|_| is_before).map_or(&appliance.ledger, |archive| &archive.ledger);
                Err(contradict(&appliance, ledger, &first, second.signed()))
            }
        }
    });
    judged.await.map_err(|_| Refusal::new(Kind::Internal, "the appliance failed: try again"))?
}

/// What arrives is judged against.
pub fn logs(appliance: &Appliance) -> Logs<'_> {
    let before = appliance.predecessor.as_ref().map(|predecessor| {
        let archive = predecessor.archive.as_ref();
        let view = archive.map(|archive| &archive.registry as &dyn LedgerView);
        Before { log: predecessor.anchor.log, end: predecessor.end, view, is_whole: archive.is_some_and(|archive| archive.is_ended) }
    });
    Logs { log: appliance.anchor.log, view: &appliance.registry, before }
}

/// Puts on the ledger that one place was claimed twice, and says so. `ledger` has the first: ours, or that of the log before.
pub(crate) fn contradict(appliance: &Appliance, ledger: &Ledger, first: &EntryPlace, second: &SignedStatement) -> Refusal {
    let statement = second.statement();
    tracing::warn!(stream = %statement.stream, seq = statement.seq, "a contradiction");
    let first_entry = match ledger.entry(first.index) {
        Ok(Some(entry)) => entry,
        Ok(None) => return Refusal::from(crate::registry::RegistryError::Entry),
        Err(error) => return Refusal::from(crate::registry::RegistryError::from(error)),
    };
    let stated = appliance.chronicle.contradiction(&first_entry, second);
    let is_ended = matches!(&stated, Err(ChronicleError::Ledger(LedgerError::Refused(LedgerRefusal::Ended))));
    if let Err(error) = stated
        && !is_ended
    {
        appliance.heed_chronicle(&error);
        tracing::error!(%error, "a contradiction could not be put on the ledger");
        if matches!(error, ChronicleError::NoRoom(_)) {
            return Refusal::new(Kind::Storage, "there is no room to log this contradiction: the operator has to make some");
        }
        return Refusal::new(Kind::Internal, "the appliance could not log this: its operator has to see to it");
    }
    let detail = format!("entry {} has seq {} of this stream: begin another epoch, continuing this one", first.index, statement.seq);
    Refusal::new(Kind::Contradiction, detail)
}

/// What is announced must be what the statement names, to the byte.
async fn check_lengths(statement: &Statement, body: &mut BodyReader<Incoming>) -> Result<(), Refusal> {
    let named: u64 = statement.body.attachments().iter().map(|attachment| attachment.length).sum();
    let announced = u64::from(body.length().await?);
    if announced != named {
        return Err(Refusal::new(
            Kind::Attachment,
            format!("the statement names attachments of {named} bytes, {announced} were announced"),
        ));
    }
    let expected = named + statement.body.payload_length();
    if body.remaining() != expected {
        let detail = format!("{expected} bytes of attachments and payload were signed, {} are announced", body.remaining());
        return Err(Refusal::new(Kind::Payload, detail));
    }
    Ok(())
}

/// Attachments that are staged, and those that are read.
struct StagedAttachments {
    files: Vec<(Box<dyn Staged>, Object)>,
    read: Vec<(String, Vec<u8>)>,
}

async fn stage_attachments(
    appliance: &Appliance,
    statement: &Statement,
    body: &mut BodyReader<Incoming>,
) -> Result<StagedAttachments, Refusal> {
    let mut staged = StagedAttachments { files: Vec::new(), read: Vec::new() };
    for attachment in statement.body.attachments() {
        let mut read = contents::is_read(statement, &attachment.name).then(Vec::new);
        let mut writer = StagedWriter::new(appliance.vault.clone());
        let mut hasher = Sha256::new();
        let mut remaining = attachment.length;
        while remaining > 0 {
            let piece = body.piece(remaining).await?;
            remaining -= piece.len() as u64;
            hasher.update(&piece);
            if let Some(read) = &mut read {
                read.extend_from_slice(&piece);
            }
            writer.write(piece).await.map_err(refuse_vault(appliance))?;
        }
        if hasher.finalize().as_slice() != attachment.sha256.0 {
            return Err(Refusal::new(Kind::Attachment, format!("attachment {} has another SHA-256 than was signed", attachment.name)));
        }
        let file = writer.finish().await.map_err(refuse_vault(appliance))?;
        staged.files.push((file, Object::Attachment(attachment.sha256)));
        staged.read.extend(read.map(|read| (attachment.name.clone(), read)));
    }
    Ok(staged)
}

type StagedPayload = Option<(Box<dyn Staged>, Object)>;

async fn stage_payload(
    appliance: &Appliance,
    verified: &VerifiedStatement,
    body: &mut BodyReader<Incoming>,
) -> Result<StagedPayload, Refusal> {
    let Body::Segment(segment) = &verified.statement().body else { return Ok(None) };
    let mut checker = CiphertextChecker::new(segment);
    let mut writer = StagedWriter::new(appliance.vault.clone());
    while body.remaining() > 0 {
        let piece: Bytes = body.piece(u64::MAX).await?;
        checker.update(&piece);
        writer.write(piece).await.map_err(refuse_vault(appliance))?;
    }
    checker.finish().map_err(|error| Refusal::new(Kind::Payload, error.to_string()))?;
    let file = writer.finish().await.map_err(refuse_vault(appliance))?;
    Ok(Some((file, payload_object(&verified.signed().statement_hash()))))
}

/// The name of a segment's ciphertext.
pub fn payload_object(statement_hash: &Hash) -> Object {
    Object::Payload(*statement_hash)
}

pub(crate) fn refuse_vault(appliance: &Appliance) -> impl Fn(VaultError) -> Refusal + '_ {
    |error| {
        appliance.heed_vault(&error);
        error.into()
    }
}

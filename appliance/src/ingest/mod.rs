//! `PUT /v1/streams/{stream}/{seq}`: judged from its first bytes on, staged while it arrives, durable before it is answered.
//!
//! It never holds a payload whole, and never sees a key.

pub mod body;
pub mod contents;
pub mod finish;
pub mod judge;
mod receive;
pub mod recipients;
pub mod resume;
pub mod rules;
mod staging;

use std::sync::Arc;

use exhibit_evidence::{
    Body, SignedStatement, Statement, StreamName, VerifiedStatement,
    body::{Predecessor, SEGMENT_CIPHERTEXT_BYTES_MAX, Segment},
    cms::ENTRY_BYTES_MAX,
    exchange::Admitted,
    segment::CiphertextChecker,
};
use exhibit_ledger::{EntryPlace, Ledger, LedgerError, Refusal as LedgerRefusal};
use exhibit_tlog::Hash;
use hyper::body::Incoming;
use sha2::{Digest, Sha256};
use tokio::task::spawn_blocking;

use crate::api::problem::{Kind, Refusal};
use crate::api::server::Peer;
use crate::appliance::Appliance;
use crate::chronicle::ChronicleError;
use crate::places::Place;
use crate::predecessor::archives;
use crate::registry::RegistryError;
use crate::room::{Promise, Use};
use crate::vault::{Object, Staged, VaultError};
use body::BodyReader;
use judge::{Arrival, Before, JudgeError, Judgement, LedgerView, Logs, judge};
use receive::{Arriving, receive};
use resume::{Creation, Expected, Progress};
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

/// What became of a request that brings a statement, or more of one.
#[derive(Debug)]
pub enum Received {
    /// The statement is on the ledger.
    Admitted(Answered),
    /// More of it is to come.
    Kept(Progress),
}

/// A request with a body.
pub struct Sending {
    /// Who sends.
    pub peer: Arc<Peer>,
    /// Out of whose share of what there is.
    pub party: Arc<str>,
    /// What is sent.
    pub body: Incoming,
    /// What Content-Length announced.
    pub length: u64,
    /// Upload-Complete: whether this is all that is still to come. Without it, what is cut off is lost.
    pub completes: Option<bool>,
    /// Upload-Length: what all requests of the upload bring together.
    pub upload_length: Option<u64>,
}

/// Takes one statement with its attachments and its payload, or the beginning of that.
pub async fn put(appliance: Arc<Appliance>, sending: Sending, place: (StreamName, u64), knows: Option<Hash>) -> Result<Received, Refusal> {
    let sender = sending.peer.sender()?;
    let Sending { peer, party, body, length, completes, upload_length } = sending;
    if length > REPRESENTATION_BYTES_MAX {
        return Err(Refusal::new(
            Kind::TooLarge,
            format!("no statement has more than {REPRESENTATION_BYTES_MAX} bytes with all that belongs to it"),
        ));
    }
    let mut body = BodyReader::new(body, length, appliance.body_pace());
    let entry_length = body.length().await? as usize;
    if entry_length > ENTRY_BYTES_MAX {
        return Err(Refusal::new(Kind::TooLarge, format!("a signed statement is at most {ENTRY_BYTES_MAX} bytes long")));
    }
    let signed = SignedStatement::parse(&body.exact(entry_length).await?).map_err(JudgeError::from)?;
    // From now on whoever asks for it waits until it was judged.
    let hash = signed.statement_hash();
    let expected = appliance.staging.expect(&sender, hash);
    let putting = Putting { peer, sender, party, place, knows, signed, length, completes, upload_length };
    let received = putting.put(appliance, body, expected).await;
    received.map_err(|refusal| Refusal { upload: Some(Box::new(hash)), ..refusal })
}

/// A statement that was read, and what it was put with.
struct Putting {
    peer: Arc<Peer>,
    sender: String,
    party: Arc<str>,
    place: (StreamName, u64),
    knows: Option<Hash>,
    signed: SignedStatement,
    length: u64,
    completes: Option<bool>,
    upload_length: Option<u64>,
}

impl Putting {
    async fn put(self, appliance: Arc<Appliance>, mut body: BodyReader<Incoming>, expected: Expected) -> Result<Received, Refusal> {
        let Self { peer, sender, party, place, knows, signed, length, completes, upload_length } = self;
        let _place = take_place(&appliance, &party)?;
        let hash = signed.statement_hash();
        let by = if place.0.owner().starts_with("camera/") { Use::Camera } else { Use::Person };
        let verified = match judge_blocking(appliance.clone(), peer, place.clone(), knows, signed).await? {
            Judged::Admit(verified) => verified,
            Judged::Same(same) => return Ok(same_again(&appliance, &sender, &hash, body, same)),
        };
        let is_part = completes == Some(false) && is_resumable(verified.statement());
        let total = check_lengths(verified.statement(), &mut body, length, is_part).await?;
        if upload_length.is_some_and(|announced| announced != total) {
            return Err(Refusal::new(Kind::UploadLength, format!("{total} bytes were signed, and Upload-Length is another number")));
        }
        body.goes_on();
        // Held until all is on disk.
        let shared = appliance.clone();
        let _room = promise(&shared, total, by, None)?;
        let attachments = stage_attachments(&appliance, verified.statement(), &mut body).await?;
        let upload = completes.filter(|_| is_resumable(verified.statement())).map(|_| {
            let (entry, payload_length) = (verified.signed().der().to_vec(), verified.statement().body.payload_length());
            appliance.staging.begin(&sender, Creation { hash, entry, place, knows, payload_length })
        });
        drop(expected);
        let checker = segment_of(&verified).map(CiphertextChecker::new);
        let arriving = Arriving::new(StagedWriter::new(appliance.vault.clone()), checker, 0, upload);
        receive(appliance, verified, attachments, arriving, body, !is_part).await
    }
}

/// Takes more of an upload that was begun. Its statement is judged anew: much may have changed since.
pub async fn append(appliance: Arc<Appliance>, sending: Sending, hash: Hash, offset: u64) -> Result<Received, Refusal> {
    let _place = take_place(&appliance, &sending.party)?;
    let sender = sending.peer.sender()?;
    let progress = appliance.staging.settled(&sender, &hash).await?;
    let Sending { peer, body, length, completes, upload_length, .. } = sending;
    if offset != progress.offset() {
        return Err(Refusal::upload_offset(progress.offset(), offset));
    }
    let (is_part, total) = (completes == Some(false), progress.creation.length());
    let end = offset.saturating_add(length);
    if end > total || (end < total && !is_part) || upload_length.is_some_and(|announced| announced != total) {
        let detail = format!("the upload has {total} bytes, of which {offset} are here and {length} were announced");
        return Err(Refusal::new(Kind::UploadLength, detail));
    }
    let mut body = BodyReader::new(body, length, appliance.body_pace());
    body.goes_on();
    let (place, knows) = (progress.creation.place.clone(), progress.creation.knows);
    let signed = SignedStatement::parse(&progress.creation.entry).map_err(JudgeError::from)?;
    let verified = match judge_blocking(appliance.clone(), peer, place, knows, signed).await {
        Ok(Judged::Admit(verified)) => verified,
        Ok(Judged::Same(same)) => return Ok(same_again(&appliance, &sender, &hash, body, same)),
        Err(refusal) => {
            if !refusal.kind.leaves_upload() {
                appliance.staging.cancel(&sender, &hash);
            }
            return Err(refusal);
        }
    };
    let shared = appliance.clone();
    let _room = promise(&shared, length, Use::Camera, Some((&sender, &hash)))?;
    let (upload, staged) = appliance.staging.go_on(&sender, &hash, progress.received)?;
    let writer = StagedWriter::go_on(appliance.vault.clone(), staged);
    let arriving = Arriving::new(writer, None, progress.received, Some(upload));
    receive(appliance, verified, StagedAttachments::default(), arriving, body, !is_part).await
}

fn take_place(appliance: &Appliance, party: &str) -> Result<Place, Refusal> {
    appliance.uploads.take(party).map_err(|full| Refusal::overloaded("uploads", full))
}

/// Where there is no room, what is kept of other uploads makes some: it may be sent again, and what is sent now is whole.
fn promise<'a>(appliance: &'a Appliance, length: u64, by: Use, goes_on: Option<(&str, &Hash)>) -> Result<Promise<'a>, Refusal> {
    loop {
        match appliance.room.promise(length.saturating_add(ROWS_BYTES_MAX), by) {
            Ok(promise) => return Ok(promise),
            Err(_) if appliance.staging.give_up_oldest(goes_on) => {}
            Err(error) => return Err(Refusal::new(Kind::Storage, error.to_string())),
        }
    }
}

/// Answered at once; what is still on its way is read beside, so that the connection can go on. Nothing has to be kept of it any more.
fn same_again(
    appliance: &Appliance,
    sender: &str,
    hash: &Hash,
    mut body: BodyReader<Incoming>,
    (admitted, is_final): (Admitted, bool),
) -> Received {
    appliance.staging.was_admitted(sender, hash);
    body.goes_on();
    tokio::spawn(body.drain());
    Received::Admitted(Answered { admitted, new: false, is_final })
}

/// Only payloads are worth it, and what stands before them is counted alike by both sides: the statement.
fn is_resumable(statement: &Statement) -> bool {
    statement.body.payload_length() > 0 && statement.body.attachments().is_empty()
}

fn segment_of(verified: &VerifiedStatement) -> Option<&Segment> {
    match &verified.statement().body {
        Body::Segment(segment) => Some(segment),
        _ => None,
    }
}

/// The longest of all: two lengths, a statement, and as much of each kind as may belong to one.
const REPRESENTATION_BYTES_MAX: u64 = 8 + ENTRY_BYTES_MAX as u64 + rules::ATTACHMENTS_BYTES_MAX + SEGMENT_CIPHERTEXT_BYTES_MAX;

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
    signed: SignedStatement,
) -> Result<Judged, Refusal> {
    let judged = spawn_blocking(move || -> Result<Judged, Refusal> {
        let now = appliance.now();
        let arrival = Arrival { stream: &stream, seq, peer: &peer.certificate, peer_chain: &peer.chain, knows, now };
        let archive = |log: Option<Hash>| archives(&appliance).find(|archive| Some(archive.log) == log);
        match judge(signed, &arrival, &logs(&appliance))? {
            // Before its payload is sent for nothing.
            Judgement::Admit(_) if appliance.ledger.is_ended().map_err(RegistryError::from)? => {
                Err(Refusal::new(Kind::Ended, LedgerRefusal::Ended.to_string()))
            }
            Judgement::Admit(verified) => Ok(Judged::Admit(verified)),
            Judgement::Same { place, statement, on } => Ok(Judged::Same(match archive(on) {
                Some(archive) => finish::admitted_before(archive, &place, &statement)?,
                None => finish::admitted(&appliance, &place, &statement)?,
            })),
            Judgement::Contradiction { first, second, on } => {
                let ledger = archive(on).map_or(&appliance.ledger, |archive| &archive.ledger);
                Err(contradict(&appliance, ledger, &first, second.signed()))
            }
        }
    });
    judged.await.map_err(|_| Refusal::new(Kind::Internal, "the appliance failed: try again"))?
}

/// What arrives is judged against.
pub fn logs(appliance: &Appliance) -> Logs<'_> {
    let before = appliance.before.iter().map(|Predecessor { log, head }| {
        let archive = archives(appliance).find(|archive| archive.log == *log);
        let view = archive.map(|archive| &archive.registry as &dyn LedgerView);
        Before { log: *log, end: *head, view, is_whole: archive.is_some_and(|archive| archive.is_ended) }
    });
    Logs { log: appliance.anchor.log, view: &appliance.registry, before: before.collect() }
}

/// Puts on the ledger that one place was claimed twice, and says so. `ledger` has the first: ours, or that of a log before.
pub(crate) fn contradict(appliance: &Appliance, ledger: &Ledger, first: &EntryPlace, second: &SignedStatement) -> Refusal {
    let statement = second.statement();
    let first_entry = match ledger.entry(first.index) {
        Ok(Some(entry)) => entry,
        Ok(None) => return Refusal::from(crate::registry::RegistryError::Entry),
        Err(error) => return Refusal::from(crate::registry::RegistryError::from(error)),
    };
    let stated = appliance.chronicle.contradiction(&first_entry, second);
    // Once for each place: who repeats it with a stolen key must not keep other lines out of the log.
    if !matches!(stated, Ok(false)) {
        tracing::warn!(stream = %statement.stream, seq = statement.seq, "a contradiction");
    }
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

/// What is announced must be what the statement names, to the byte, and for a part not more than that. The length of the whole body, of which
/// this request has `length`.
async fn check_lengths(statement: &Statement, body: &mut BodyReader<Incoming>, length: u64, is_part: bool) -> Result<u64, Refusal> {
    let named: u64 = statement.body.attachments().iter().map(|attachment| attachment.length).sum();
    let announced = u64::from(body.length().await?);
    if announced != named {
        return Err(Refusal::new(
            Kind::Attachment,
            format!("the statement names attachments of {named} bytes, {announced} were announced"),
        ));
    }
    let expected = named + statement.body.payload_length();
    let fits = if is_part { body.remaining() <= expected } else { body.remaining() == expected };
    if !fits {
        let detail = format!("{expected} bytes of attachments and payload were signed, {} are announced", body.remaining());
        return Err(Refusal::new(Kind::Payload, detail));
    }
    Ok(length - body.remaining() + expected)
}

/// Attachments that are staged, and those that are read.
#[derive(Default)]
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
        // Written out at once: of up to 64 each would hold its end in memory.
        let file = writer.finish().await.map_err(refuse_vault(appliance))?.written().await.map_err(refuse_vault(appliance))?;
        staged.files.push((file, Object::Attachment(attachment.sha256)));
        staged.read.extend(read.map(|read| (attachment.name.clone(), read)));
    }
    Ok(staged)
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

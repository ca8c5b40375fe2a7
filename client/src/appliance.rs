//! The appliance's API as typed calls (docs/formats/api.md).
//!
//! It decides nothing: what is refused or does not verify is told to the caller, who knows what hangs on it.

use std::io;
use std::path::Path;
use std::time::Duration;

use base64ct::{Base64, Encoding};
use exhibit_evidence::{Anchor, AttachmentRef, Head, SignedStatement, Statement, exchange, exchange::by_query};
use exhibit_pki::Fingerprint;
use exhibit_tlog::{Checkpoint, Hash, LogProof, LogVerifier, Note, Policy, WitnessError, prove_consistency, verify_consistency};
use hyper::StatusCode;

use crate::{
    ClientIdentity,
    connection::{Answer, Connection, Question},
    tiles::{Missing, TileCache},
    tls::client_config,
};

/// 64 entries of 64 KiB with their receipts, in base64.
const JSON_BYTES_MAX: u64 = 16 << 20;
/// A signed note: a log's lines and those of many witnesses.
const CHECKPOINT_BYTES_MAX: u64 = exhibit_tlog::note::NOTE_SIZE_BYTES_MAX as u64;
/// A problem document says a few sentences.
const PROBLEM_BYTES_MAX: usize = 64 * 1024;
/// All attachments of a statement together: their length is written in 32 bits, and none has more than 16 MiB.
const ATTACHMENTS_BYTES_MAX: u64 = 64 << 20;
/// Before it is asked again how far an upload is: a link that broke is seen by its other end after what was still on the way, which is judged first.
const UPLOAD_PAUSES: [Duration; 3] = [Duration::from_millis(100), Duration::from_millis(400), Duration::from_millis(1600)];
/// A proof reads at most two paths of at most eight tile levels.
const TILES_MAX: usize = 64;

/// A verified receipt: the entry is on the log that the anchor names, and that log extends what was observed before.
#[derive(Clone, Debug, PartialEq)]
pub struct Receipt {
    /// The log whose receipt it is: the anchor's, or one that it goes on for.
    pub log: Hash,
    /// Index of the entry.
    pub index: u64,
    /// The `tlog-proof`, verbatim.
    pub proof: String,
    /// Its checkpoint, verified.
    pub checkpoint: Checkpoint,
    /// True if enough witnesses have cosigned the checkpoint: by the anchor's policy, or where it has none by the appliance's word.
    pub is_final: bool,
}

/// Why a call failed, by what a caller does about it.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// The appliance could not be reached or the connection broke: try again later.
    #[error("cannot reach the appliance at {address}: {source}")]
    Unreachable {
        /// Where.
        address: String,
        /// What happened.
        source: std::io::Error,
    },
    /// The appliance refused, and said why.
    #[error("{}: {}", .0.title, .0.detail)]
    Refused(Box<exchange::Problem>),
    /// The appliance said something that does not verify: a finding, never to be ignored.
    #[error("the appliance's answer does not verify: {0}")]
    Untrustworthy(String),
    /// A receipt that bears the name of another log than those that are known: it proves nothing here, and contradicts nothing either. A finding
    /// too, unless that log is shown to go on for ours.
    #[error("the appliance's answer does not verify: a receipt of another log: {0}")]
    OtherLog(String),
    /// It spoke another protocol.
    #[error("the appliance's answer is not understood: {0}")]
    Protocol(String),
    /// Nothing was sent: a file, a key or an argument on this side is not in order.
    #[error("nothing was sent: {0}")]
    Local(String),
}

/// What the paths of a log that has ended begin with, at the log that goes on for it.
pub(crate) fn path_of_ended(log: &Hash) -> String {
    format!("/v1/logs/{log}")
}

/// What a PUT brings.
struct Sent<'a> {
    path: &'a str,
    prefix: bytes::Bytes,
    payload: Option<(&'a Path, u64)>,
}

/// One keep-alive connection to the appliance, reconnecting when it broke. Not for concurrent use: one each.
pub struct Appliance {
    connection: Connection,
    /// The log's, and behind it those of the logs that it goes on for, newest first. Never empty.
    anchors: Vec<Anchor>,
    /// What stands before each path that is read: a log that has ended is read through the one that goes on for it.
    prefix: String,
    /// The upload that was cut off last, by the hash of its statement: the appliance may have kept what came.
    cut_off: Option<Hash>,
}

impl Appliance {
    /// `address` is `host:port`. Nothing is sent yet.
    pub fn new(address: &str, identity: &ClientIdentity, anchor: &Anchor) -> Result<Self, ClientError> {
        let config = client_config(identity, &anchor.roots).map_err(|error| ClientError::Local(error.to_string()))?;
        Ok(Self {
            connection: Connection::new(address, Some(config))?,
            anchors: vec![anchor.clone()],
            prefix: String::new(),
            cut_off: None,
        })
    }

    /// Reads the ended log of `anchor` at an appliance that serves a log which goes on for it. Nothing can be stated to it.
    pub fn of_ended(address: &str, identity: &ClientIdentity, anchor: &Anchor) -> Result<Self, ClientError> {
        Ok(Self { prefix: path_of_ended(&anchor.log), ..Self::new(address, identity, anchor)? })
    }

    /// From now on the log is that of `anchor`, which was judged to go on for the one before: see `exhibit_evidence::succession`.
    pub fn go_on(&mut self, anchor: &Anchor) {
        self.anchors.insert(0, anchor.clone());
    }

    /// The log's anchor.
    pub fn anchor(&self) -> &Anchor {
        &self.anchors[0]
    }

    /// What shows that another log goes on for the one named `log`, of which `size` entries were verified, with the approvals by these custodians.
    /// `None` if the appliance knows of none. Not judged.
    pub async fn successor_of(
        &mut self,
        log: &Hash,
        size: u64,
        custodians: &[Fingerprint],
    ) -> Result<Option<exchange::SuccessorRecord>, ClientError> {
        let by = by_query(custodians);
        let path = format!("/v1/successor?log={log}&size={size}{}{by}", if by.is_empty() { "" } else { "&" });
        match self.get_json(&path).await {
            Err(ClientError::Refused(problem)) if problem.status == 404 => Ok(None),
            record => record.map(Some),
        }
    }

    /// Where it is: `host:port`.
    pub fn address(&self) -> &str {
        self.connection.address()
    }

    /// Sends a statement with its attachments (in the order named) and its payload (a file, streamed), and verifies the receipt: signatures
    /// and origin of the checkpoint, inclusion of this very entry, consistency with `statement.observed`. A payload that is cut off goes on where
    /// the appliance has it, as long as more of it arrives each time; after an error the next call goes on with it.
    pub async fn put(&mut self, signed: &SignedStatement, attachments: &[&[u8]], payload: Option<&Path>) -> Result<Receipt, ClientError> {
        let statement = signed.statement();
        if !self.prefix.is_empty() {
            return Err(ClientError::Local("the log has ended: it takes nothing more".into()));
        }
        check_attachments(statement.body.attachments(), attachments)?;
        let length = statement.body.payload_length();
        if (length > 0) != payload.is_some() {
            return Err(ClientError::Local(format!(
                "the statement has a payload of {length} bytes: give it if there is one, and only then"
            )));
        }
        let mut path = format!("/v1/streams/{}/{}", statement.stream.as_str(), statement.seq);
        if self.anchors[1..].iter().any(|ended| ended.log == statement.log) {
            // A log takes what was meant for the one before from those who know both, and can verify the receipt.
            path.push_str(&format!("?log={}", self.anchor().log));
        }
        let prefix = exchange::intake_prefix(signed.der(), attachments).into();
        let sent = Sent { path: &path, prefix, payload: payload.map(|path| (path, length)) };
        let answer = self.send(signed, sent).await?;
        let is_final = answer.status != StatusCode::ACCEPTED;
        let admitted: exchange::Admitted = from_json(&accepted(answer)?)?;
        self.verify_admitted(signed, &admitted, is_final)
    }

    /// Sends it whole, or what the appliance lacks of it.
    async fn send(&mut self, signed: &SignedStatement, sent: Sent<'_>) -> Result<Answer, ClientError> {
        let Sent { path, prefix, payload } = sent;
        // What stands before the payload is counted too. Attachments are sent whole.
        let (prefix_length, hash) = (prefix.len() as u64, signed.statement_hash());
        let resumable = payload.filter(|_| signed.statement().body.attachments().is_empty());
        let whole = Question::Put { path, prefix, payload };
        let Some((file, length)) = resumable else { return self.connection.ask(&whole, JSON_BYTES_MAX).await };
        let upload = format!("/v1/uploads/{hash}");
        let (mut offset, mut begun_anew) = (0, false);
        let mut asks = self.cut_off.replace(hash) == Some(hash);
        loop {
            if std::mem::take(&mut asks) {
                // Only what was sent just now can be on its way still.
                let pauses = if begun_anew || offset > 0 { &UPLOAD_PAUSES[..] } else { &[] };
                let known = self.more_than(offset, pauses, &upload, prefix_length, length).await?;
                if known.is_some_and(|known| known <= offset) || (known.is_none() && begun_anew) {
                    // Each time more of it must have arrived: else it would be sent for ever.
                    let source = io::Error::new(io::ErrorKind::ConnectionAborted, "an upload was cut off, and no more of it has arrived");
                    return Err(ClientError::Unreachable { address: self.address().to_owned(), source });
                }
                offset = known.unwrap_or(0);
            }
            begun_anew |= offset == 0;
            let skipped = offset.saturating_sub(prefix_length);
            let rest = Question::UploadAppend { path: &upload, offset, payload: (file, length), skipped };
            match self.connection.ask(if offset > 0 { &rest } else { &whole }, JSON_BYTES_MAX).await {
                Err(ClientError::Unreachable { source, .. }) if source.kind() != io::ErrorKind::TimedOut => asks = true,
                Err(error) => return Err(error),
                // It has grown, or is not kept any more, since it was asked for.
                Ok(answer) if answer.status == StatusCode::CONFLICT && answer.upload_offset.is_some() => asks = true,
                Ok(answer) if answer.status == StatusCode::NOT_FOUND && offset > 0 && !begun_anew => offset = 0,
                // What it kept may have been spoilt on its disk: only of what came whole does this speak of our bytes.
                Ok(answer) if offset > 0 && !begun_anew && is_refused(&answer, "payload") => offset = 0,
                Ok(answer) => {
                    if !matches!(
                        answer.status,
                        StatusCode::REQUEST_TIMEOUT | StatusCode::TOO_MANY_REQUESTS | StatusCode::SERVICE_UNAVAILABLE
                    ) {
                        self.cut_off = None;
                    }
                    return Ok(answer);
                }
            }
        }
    }

    /// How far the appliance has an upload, asked until it is further than `offset` or the pauses are over: it may not have seen yet what was cut
    /// off, and know of less than it is about to keep.
    async fn more_than(
        &mut self,
        offset: u64,
        pauses: &[Duration],
        upload: &str,
        prefix_length: u64,
        length: u64,
    ) -> Result<Option<u64>, ClientError> {
        let mut known = self.upload_offset(upload, prefix_length, length).await?;
        for pause in pauses {
            if known.is_some_and(|known| known > offset) {
                break;
            }
            tokio::time::sleep(*pause).await;
            known = self.upload_offset(upload, prefix_length, length).await?;
        }
        Ok(known)
    }

    /// How far the appliance has an upload; `None` if it keeps none.
    async fn upload_offset(&mut self, upload: &str, prefix_length: u64, length: u64) -> Result<Option<u64>, ClientError> {
        let state = self.connection.ask(&Question::UploadState(upload), PROBLEM_BYTES_MAX as u64).await?;
        match state.upload_offset.filter(|_| state.status.is_success()) {
            Some(offset) if !(prefix_length..=prefix_length + length).contains(&offset) => {
                Err(ClientError::Protocol(format!("an upload of {length} bytes behind {prefix_length} is said to have {offset}")))
            }
            offset => Ok(offset),
        }
    }

    /// Fetches and verifies a head: the newest checkpoint, consistent with `observed`.
    pub async fn checkpoint(&mut self, observed: Option<&Head>) -> Result<Checkpoint, ClientError> {
        Ok(self.signed_checkpoint(observed).await?.1)
    }

    /// The same, with the signed note as receipts carry it.
    pub async fn signed_checkpoint(&mut self, observed: Option<&Head>) -> Result<(String, Checkpoint), ClientError> {
        let bytes = self.get_bytes("/log/checkpoint", CHECKPOINT_BYTES_MAX).await?;
        let note = String::from_utf8(bytes).map_err(|_| untrustworthy("the checkpoint is not text"))?;
        let checkpoint = self.anchor().verifier.verify(&note).map_err(untrustworthy)?;
        if let Some(observed) = observed {
            self.extends(observed, &Head { size: checkpoint.size, root: checkpoint.root }).await?;
        }
        Ok((note, checkpoint))
    }

    /// The newest checkpoint that the log's witnesses have cosigned, as the anchor's policy demands or, without one, as the appliance's does.
    /// `None` where there is none.
    pub async fn witnessed_checkpoint(&mut self) -> Result<Option<(String, Checkpoint)>, ClientError> {
        let bytes = match self.get_bytes("/log/witnessed", CHECKPOINT_BYTES_MAX).await {
            Err(ClientError::Refused(problem)) if problem.status == 404 => return Ok(None),
            bytes => bytes?,
        };
        let note = String::from_utf8(bytes).map_err(|_| untrustworthy("the checkpoint is not text"))?;
        let checkpoint = self.anchor().verifier.verify(&note).map_err(untrustworthy)?;
        let is_enough = match &self.anchor().policy.witnesses {
            Some(witnesses) => is_witnessed(witnesses.policy(), &self.anchor().verifier, &note)?,
            None => true,
        };
        Ok(is_enough.then_some((note, checkpoint)))
    }

    /// The newest checkpoint with a line of the key that the anchor names as the log's TPM's, verified. `None` where there is none.
    pub async fn tpm_checkpoint(&mut self) -> Result<Option<(String, Checkpoint)>, ClientError> {
        let Some(key) = self.anchor().policy.tpm_key.clone() else { return Ok(None) };
        let bytes = match self.get_bytes("/log/tpm", CHECKPOINT_BYTES_MAX).await {
            Err(ClientError::Refused(problem)) if problem.status == 404 => return Ok(None),
            bytes => bytes?,
        };
        let note = String::from_utf8(bytes).map_err(|_| untrustworthy("the checkpoint is not text"))?;
        let checkpoint = self.anchor().verifier.verify(&note).map_err(untrustworthy)?;
        let line = Note::parse(&note).and_then(|parsed| parsed.signature_of(&key).map(|line| line.is_some())).map_err(untrustworthy)?;
        Ok(line.then_some((note, checkpoint)))
    }

    /// Proves from the log's tiles that the tree `newer` extends the tree `older`. Both must have been verified before.
    pub async fn extends(&mut self, older: &Head, newer: &Head) -> Result<(), ClientError> {
        if older.size > newer.size {
            return Err(untrustworthy(format!("the log shrank from {} to {} entries", older.size, newer.size)));
        }
        let mut tiles = TileCache::new(newer.size);
        let path = self.prove(&mut tiles, |tiles| prove_consistency(tiles, older.size, newer.size)).await?;
        verify_consistency(older.size, &older.root, newer.size, &newer.root, &path)
            .map_err(|error| untrustworthy(format!("the log of {} entries does not extend that of {}: {error}", newer.size, older.size)))
    }

    /// Makes a proof, fetching the tiles that it needs. What the tiles say is for the caller to verify.
    pub(crate) async fn prove<T>(
        &mut self,
        tiles: &mut TileCache,
        proof: impl Fn(&TileCache) -> Result<T, Missing>,
    ) -> Result<T, ClientError> {
        let log = self.prefix.clone();
        self.prove_of(&log, tiles, proof).await
    }

    /// The same of the log whose paths begin with `log`.
    pub(crate) async fn prove_of<T>(
        &mut self,
        log: &str,
        tiles: &mut TileCache,
        proof: impl Fn(&TileCache) -> Result<T, Missing>,
    ) -> Result<T, ClientError> {
        for _ in 0..TILES_MAX {
            match proof(tiles) {
                Ok(proof) => return Ok(proof),
                Err(Missing(id)) => {
                    let bytes = self.bytes_at(&format!("{log}/log/tile/{}", id.path()), u64::from(id.width) * 32).await?;
                    tiles
                        .insert(id, &bytes)
                        .ok_or_else(|| ClientError::Protocol(format!("tile {} has {} bytes", id.path(), bytes.len())))?;
                }
            }
        }
        Err(ClientError::Protocol("a proof needed too many tiles".into()))
    }

    /// GET with an `Accept`-less request; JSON answers. `path` begins with `/v1/`.
    pub async fn get_json<T: serde::de::DeserializeOwned>(&mut self, path: &str) -> Result<T, ClientError> {
        let path = format!("{}{path}", self.prefix);
        from_json(&accepted(self.connection.ask(&Question::Get(&path), JSON_BYTES_MAX).await?)?)
    }

    /// GET of bytes, at most `limit`.
    pub async fn get_bytes(&mut self, path: &str, limit: u64) -> Result<Vec<u8>, ClientError> {
        let path = format!("{}{path}", self.prefix);
        self.bytes_at(&path, limit).await
    }

    async fn bytes_at(&mut self, path: &str, limit: u64) -> Result<Vec<u8>, ClientError> {
        // A refusal must fit too, or it would be reported as an answer that is too long.
        let answer = self.connection.ask(&Question::Get(path), limit.max(PROBLEM_BYTES_MAX as u64)).await?;
        let body = accepted(answer)?;
        if body.len() as u64 > limit {
            return Err(ClientError::Protocol(format!("{path} is longer than {limit} bytes")));
        }
        Ok(body.into())
    }

    /// Checks an `EntryRecord`: base64, form, receipt against the anchor. The signature of the statement is the caller's to judge.
    pub fn open_record(&self, record: &exchange::EntryRecord) -> Result<(SignedStatement, Receipt), ClientError> {
        open_record(&self.anchors, record)
    }

    /// GET of an attachment by hash, checked against it. These are the stored bytes: `AttachmentRef::open` takes an erasable one's salt off.
    pub async fn attachment(&mut self, attachment: &AttachmentRef) -> Result<Vec<u8>, ClientError> {
        let stored = self.get_bytes(&format!("/v1/attachments/{}", attachment.sha256), attachment.length).await?;
        match attachment.open(&stored) {
            Some(_) => Ok(stored),
            None => Err(untrustworthy(format!("attachment {} has another hash or length than its statement says", attachment.name))),
        }
    }

    /// The leaf-hash addressed entry: `GET /v1/entries/{leaf}`.
    pub async fn entry(&mut self, leaf: &Hash) -> Result<(SignedStatement, Receipt), ClientError> {
        let record = self.get_json(&format!("/v1/entries/{leaf}")).await?;
        let (signed, receipt) = self.open_record(&record)?;
        if signed.leaf_hash() != *leaf {
            return Err(untrustworthy("another entry was given than was asked for"));
        }
        Ok((signed, receipt))
    }

    fn verify_admitted(&self, signed: &SignedStatement, admitted: &exchange::Admitted, is_final: bool) -> Result<Receipt, ClientError> {
        let leaf = signed.leaf_hash();
        if admitted.leaf != leaf.to_string() {
            return Err(untrustworthy("the receipt is for another entry than was sent"));
        }
        let receipt = verify_receipt(&self.anchors, &leaf, admitted.index, &admitted.receipt, is_final)?;
        let Statement { log, observed, .. } = signed.statement();
        if receipt.log != *log {
            let age = |log: &Hash| self.anchors.iter().position(|anchor| anchor.log == *log);
            // What it observed was of the log before: nothing of that can be proven here.
            return match age(log).is_some_and(|stated| age(&receipt.log).is_some_and(|admitted| admitted < stated)) {
                true if admitted.consistency.is_empty() => Ok(receipt),
                true => Err(ClientError::Protocol("a consistency proof from a head of another log".into())),
                false => Err(untrustworthy("the receipt is of another log than the statement")),
            };
        }
        let path = admitted.consistency.iter().map(|hash| Hash::from_base64(hash)).collect::<Option<Vec<_>>>();
        let path = path.ok_or_else(|| ClientError::Protocol("the consistency proof is not made of hashes".into()))?;
        verify_consistency(observed.size, &observed.root, receipt.checkpoint.size, &receipt.checkpoint.root, &path)
            .map_err(|error| untrustworthy(format!("the log does not extend the head observed before: {error}")))?;
        Ok(receipt)
    }
}

/// Checks an `EntryRecord` against the anchors of a log and of those that it goes on for, without a connection: what was kept from before is
/// judged like what has just come.
pub fn open_record(anchors: &[Anchor], record: &exchange::EntryRecord) -> Result<(SignedStatement, Receipt), ClientError> {
    let der = Base64::decode_vec(&record.entry).map_err(|_| ClientError::Protocol("an entry is not base64".into()))?;
    let signed = SignedStatement::parse(&der).map_err(untrustworthy)?;
    let receipt = verify_receipt(anchors, &signed.leaf_hash(), record.index, &record.receipt, record.is_final)?;
    Ok((signed, receipt))
}

fn verify_receipt(anchors: &[Anchor], leaf: &Hash, index: u64, text: &str, told_final: bool) -> Result<Receipt, ClientError> {
    let proof = LogProof::parse(text).map_err(untrustworthy)?;
    if proof.index != index {
        return Err(untrustworthy(format!("the answer says index {index}, its receipt says {}", proof.index)));
    }
    let origin = proof.checkpoint.lines().next();
    let anchor = anchors.iter().find(|anchor| Some(anchor.verifier.origin.as_str()) == origin);
    let anchor = anchor.ok_or_else(|| ClientError::OtherLog(format!("{:?}", origin.unwrap_or_default())))?;
    let checkpoint = proof.verify(leaf, &anchor.verifier).map_err(untrustworthy)?;
    let is_final = match &anchor.policy.witnesses {
        Some(witnesses) => is_witnessed(witnesses.policy(), &anchor.verifier, &proof.checkpoint)?,
        None => told_final,
    };
    Ok(Receipt { log: anchor.log, index, proof: text.to_owned(), checkpoint, is_final })
}

/// Whether enough witnesses have cosigned. A line in a witness's name that is not its signature is a finding.
fn is_witnessed(policy: &Policy, log: &LogVerifier, note: &str) -> Result<bool, ClientError> {
    match policy.verify_of(log, note) {
        Ok(_) => Ok(true),
        Err(WitnessError::Quorum(_)) => Ok(false),
        Err(error) => Err(untrustworthy(error)),
    }
}

fn check_attachments(named: &[AttachmentRef], given: &[&[u8]]) -> Result<(), ClientError> {
    let same = named.len() == given.len() && named.iter().zip(given).all(|(named, given)| named.length == given.len() as u64);
    let total: u64 = named.iter().map(|attachment| attachment.length).sum();
    if !same || total > ATTACHMENTS_BYTES_MAX {
        return Err(ClientError::Local("the attachments are not those that the statement names".into()));
    }
    Ok(())
}

fn accepted(answer: Answer) -> Result<bytes::Bytes, ClientError> {
    if answer.status.is_success() {
        return Ok(answer.body);
    }
    let body = &answer.body[..answer.body.len().min(PROBLEM_BYTES_MAX)];
    match serde_json::from_slice::<exchange::Problem>(body) {
        // The status line is what proxies and the server agree on; a document that says otherwise does not choose for us.
        Ok(problem) if problem.status == answer.status.as_u16() => Err(ClientError::Refused(Box::new(problem))),
        _ => Err(ClientError::Protocol(format!("status {} without a reason", answer.status))),
    }
}

/// Whether an answer is a refusal of that kind.
fn is_refused(answer: &Answer, kind: &str) -> bool {
    let problem = serde_json::from_slice::<exchange::Problem>(&answer.body[..answer.body.len().min(PROBLEM_BYTES_MAX)]);
    answer.status == StatusCode::UNPROCESSABLE_ENTITY
        && problem.is_ok_and(|problem| problem.kind.strip_prefix("tag:exhibit,2026:") == Some(kind))
}

fn from_json<T: serde::de::DeserializeOwned>(bytes: &[u8]) -> Result<T, ClientError> {
    serde_json::from_slice(bytes).map_err(|error| ClientError::Protocol(error.to_string()))
}

fn untrustworthy(reason: impl ToString) -> ClientError {
    ClientError::Untrustworthy(reason.to_string())
}

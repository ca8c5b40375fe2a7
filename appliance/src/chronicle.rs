//! The appliance's own stream: genesis, starts, accesses and contradictions, signed with its own key.
//!
//! It does not know why something is stated. Calls block: make them from a blocking thread, where nobody cancels them half-way.

use std::sync::{Arc, Mutex, PoisonError, RwLock};

use exhibit_evidence::body::{BanKind, BanReason, ERASABLE_SALT_BYTES};
use exhibit_evidence::log_lines::{self, LINE_SALT_BYTES, LogLine, LogLinesError};
use exhibit_evidence::{AttachmentRef, Body, Head, SignedStatement, Statement, StreamName, body};
use exhibit_ledger::{Admission, Candidate, Ledger, LedgerError};
use exhibit_pki::{Certificate, Fingerprint, Signer, SignerError, Subject, Timestamp};
use exhibit_tlog::{EMPTY_ROOT, Hash};

use crate::logbook::Line;
use crate::room::{NoRoom, Room, Use};
use crate::rows::{self, Indexed, LogRow, Row, RowError, StreamRow};
use crate::vault::{Object, Vault, VaultError};

/// The appliance's clock.
pub type Clock = Arc<dyn Fn() -> Timestamp + Send + Sync>;

/// Writes the appliance's stream.
pub struct Chronicle {
    stream: StreamName,
    log: Hash,
    signing: RwLock<Arc<Signing>>,
    ledger: Ledger,
    vault: Arc<dyn Vault>,
    clock: Clock,
    room: Arc<Room>,
    /// One statement after the other: two with the same seq would convict the appliance itself.
    turn: Mutex<()>,
}

/// What it signs with.
struct Signing {
    certificate: Certificate,
    signer: Box<dyn Signer>,
}

/// Why nothing was stated.
#[derive(Debug, thiserror::Error)]
pub enum ChronicleError {
    /// The appliance's key.
    #[error(transparent)]
    Signer(#[from] SignerError),
    /// The attachments.
    #[error(transparent)]
    Vault(#[from] VaultError),
    /// The ledger.
    #[error(transparent)]
    Ledger(#[from] LedgerError),
    /// A row of ours.
    #[error(transparent)]
    Row(#[from] RowError),
    /// The disk.
    #[error(transparent)]
    NoRoom(#[from] NoRoom),
    /// A log line that is none.
    #[error(transparent)]
    Lines(#[from] LogLinesError),
    /// The system's source of randomness.
    #[error("the system gives no randomness: {0}")]
    Randomness(getrandom::Error),
}

impl Chronicle {
    /// Goes on with `stream`, the one that genesis began.
    pub fn new(
        stream: StreamName,
        log: Hash,
        certificate: Certificate,
        signer: Box<dyn Signer>,
        ledger: Ledger,
        vault: Arc<dyn Vault>,
        clock: Clock,
    ) -> Self {
        let room = Arc::new(Room::new(Vec::new(), 0));
        let signing = RwLock::new(Arc::new(Signing { certificate, signer }));
        Self { stream, log, signing, ledger, vault, clock, room, turn: Mutex::new(()) }
    }

    /// On disks that keep room for other things.
    #[must_use]
    pub fn within(self, room: Arc<Room>) -> Self {
        Self { room, ..self }
    }

    /// When the certificate ends that it signs with.
    pub fn certificate_ends(&self) -> Timestamp {
        self.signing().certificate.not_after()
    }

    /// Whether it signs with that certificate.
    pub fn signs_with(&self, fingerprint: &Fingerprint) -> bool {
        self.signing().certificate.fingerprint() == fingerprint
    }

    /// Who it is.
    pub fn subject(&self) -> Option<Subject> {
        self.signing().certificate.identity().map(|identity| identity.subject.clone())
    }

    /// Signs with these from now on: a certificate that was renewed.
    pub fn sign_with(&self, certificate: Certificate, signer: Box<dyn Signer>) {
        // Not in the middle of a statement.
        let _turn = self.turn.lock().unwrap_or_else(PoisonError::into_inner);
        *self.signing.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(Signing { certificate, signer });
    }

    fn signing(&self) -> Arc<Signing> {
        self.signing.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// States that the appliance has started.
    pub fn start(&self, version: &str) -> Result<Admission, ChronicleError> {
        let _turn = self.turn.lock().unwrap_or_else(PoisonError::into_inner);
        self.issue(Body::Start(body::Start { version: version.to_owned(), enrolment: None, attachments: Vec::new() }), Vec::new())
    }

    /// States that the log ends here, and which one follows. Nothing comes behind it.
    pub fn succession(&self, successor: body::Successor, reason: body::SuccessionReason) -> Result<Admission, ChronicleError> {
        let _turn = self.turn.lock().unwrap_or_else(PoisonError::into_inner);
        self.issue(Body::Succession(body::Succession { successor, reason, attachments: Vec::new() }), Vec::new())
    }

    /// States what became of a fetch, once for each outcome.
    pub fn access(&self, fetch: &Hash, granted: bool) -> Result<(), ChronicleError> {
        let _turn = self.turn.lock().unwrap_or_else(PoisonError::into_inner);
        if !self.is_marked(&rows::access_key(fetch, granted))? {
            self.issue(Body::Access(body::Access { fetch: *fetch, granted, attachments: Vec::new() }), Vec::new())?;
        }
        Ok(())
    }

    /// States that one place was claimed by two statements, once for each place: one convicts the issuer, and whoever has stolen a key must
    /// not make the log grow by signing a third and a fourth. False if it was stated before.
    pub fn contradiction(&self, first: &[u8], second: &SignedStatement) -> Result<bool, ChronicleError> {
        let statement = second.statement();
        let marker = rows::contradiction_key(&statement.stream, statement.seq);
        let _turn = self.turn.lock().unwrap_or_else(PoisonError::into_inner);
        if self.is_marked(&marker)? {
            return Ok(false);
        }
        let _room = self.room.promise(OWN_BYTES_MAX, Use::Own)?;
        let mut attachments = Vec::new();
        for (name, stored) in [("first", first), ("second", second.der())] {
            let attachment = AttachmentRef::of(name, stored, false);
            self.vault.put(Object::Attachment(attachment.sha256), stored)?;
            attachments.push(attachment);
        }
        let body = body::Contradiction { stream: statement.stream.clone(), seq: statement.seq, attachments };
        self.issue(Body::Contradiction(body), vec![(marker, Vec::new())])?;
        Ok(true)
    }

    /// States that somebody is not served until then. Who it is can be erased.
    pub fn ban(&self, kind: BanKind, reason: BanReason, until: Timestamp, subject: &str) -> Result<Admission, ChronicleError> {
        let _room = self.room.promise(OWN_BYTES_MAX, Use::Own)?;
        let mut salt = [0; ERASABLE_SALT_BYTES];
        getrandom::fill(&mut salt).map_err(ChronicleError::Randomness)?;
        let stored = AttachmentRef::erasable_bytes(&salt, subject.as_bytes());
        let attachment = AttachmentRef::of("subject", &stored, true);
        self.vault.put(Object::Attachment(attachment.sha256), &stored)?;
        let _turn = self.turn.lock().unwrap_or_else(PoisonError::into_inner);
        self.issue(Body::Ban(body::Ban { kind, reason, until: Some(until), lifts: None, attachments: vec![attachment] }), Vec::new())
    }

    /// States that an operator has lifted a ban.
    pub fn lift(&self, kind: BanKind, ban: Hash) -> Result<Admission, ChronicleError> {
        let _turn = self.turn.lock().unwrap_or_else(PoisonError::into_inner);
        let body = body::Ban { kind, reason: BanReason::Operator, until: None, lifts: Some(ban), attachments: Vec::new() };
        self.issue(Body::Ban(body), Vec::new())
    }

    /// States what others say of a checkpoint that is covered by the newest: the note with its cosignatures, and tokens over its text.
    pub fn timestamp(&self, head: Head, note: &[u8], tokens: &[Vec<u8>]) -> Result<Admission, ChronicleError> {
        let _room = self.room.promise(OWN_BYTES_MAX, Use::Own)?;
        let names = std::iter::once("checkpoint".to_owned()).chain((0..tokens.len()).map(|number| format!("token-{number}")));
        let mut attachments = Vec::new();
        for (name, stored) in names.zip(std::iter::once(note).chain(tokens.iter().map(Vec::as_slice))) {
            let attachment = AttachmentRef::of(&name, stored, false);
            self.vault.put(Object::Attachment(attachment.sha256), stored)?;
            attachments.push(attachment);
        }
        let _turn = self.turn.lock().unwrap_or_else(PoisonError::into_inner);
        self.issue(Body::Timestamp(body::TimestampBody { head, attachments }), Vec::new())
    }

    /// States log lines, of which the first has this number over all batches, and returns the number of the next. What is on the ledger already is
    /// not stated again. What the lines say can be erased, and each be shown without the others.
    pub fn log_lines(&self, first: u64, lines: &[Line]) -> Result<u64, ChronicleError> {
        let _turn = self.turn.lock().unwrap_or_else(PoisonError::into_inner);
        let LogRow { number, line: next } = self.log_row()?;
        let stated = usize::try_from(next.saturating_sub(first)).unwrap_or(usize::MAX);
        // Where the file is ahead of the ledger, what lies between is missing, and the numbers show it.
        let (Some([oldest, ..]), first) = (lines.get(stated..), first.max(next)) else { return Ok(next) };
        let lines = &lines[stated..];
        let mut salts = vec![[0; LINE_SALT_BYTES]; lines.len()];
        getrandom::fill(salts.as_flattened_mut()).map_err(ChronicleError::Randomness)?;
        let salted: Vec<LogLine<'_>> = salts.iter().zip(lines).map(|(salt, line)| LogLine { salt: *salt, text: &line.text }).collect();
        let mut salt = [0; ERASABLE_SALT_BYTES];
        getrandom::fill(&mut salt).map_err(ChronicleError::Randomness)?;
        let stored = AttachmentRef::erasable_bytes(&salt, &log_lines::encode(&salted)?);
        let attachment = AttachmentRef::of("lines", &stored, true);
        {
            // With the statement's own: each try has other salts, and would leave another object that nothing names.
            let _room = self.room.promise(stored.len() as u64 + OWN_BYTES_MAX, Use::Own)?;
            self.vault.put(Object::Attachment(attachment.sha256), &stored)?;
        }
        let (count, from) = (lines.len() as u64, oldest.at);
        // A clock that was set back in between does not make the batch one of no time.
        let to = lines.iter().map(|line| line.at).fold(from, Timestamp::max);
        let body = body::LogBatch { number, first, count, root: log_lines::root(&salted), from, to, attachments: vec![attachment] };
        let next = LogRow { number: number + 1, line: first + count };
        self.issue(Body::Log(body), vec![(rows::LOG_KEY.to_vec(), rows::to_json(&next))])?;
        Ok(next.line)
    }

    /// The number of the first log line that is not on the ledger.
    pub fn next_log_line(&self) -> Result<u64, ChronicleError> {
        Ok(self.log_row()?.line)
    }

    fn log_row(&self) -> Result<LogRow, ChronicleError> {
        Ok(self.row(rows::LOG_KEY)?.map(|value| rows::from_json(&value)).transpose()?.unwrap_or_default())
    }

    fn row(&self, key: &[u8]) -> Result<Option<Vec<u8>>, ChronicleError> {
        Ok(self.ledger.annotations(key, key, 1)?.pop().filter(|(found, _)| found == key).map(|(_, value)| value))
    }

    fn is_marked(&self, key: &[u8]) -> Result<bool, ChronicleError> {
        Ok(self.row(key)?.is_some())
    }

    /// Signs the next statement and puts it on the ledger. The caller holds the turn.
    fn issue(&self, body: Body, markers: Vec<Row>) -> Result<Admission, ChronicleError> {
        let _room = self.room.promise(OWN_BYTES_MAX, Use::Own)?;
        // The ledger shows what is durable, and nothing of ours is under way while we hold the turn.
        let head = self.ledger.head(self.stream.as_str())?;
        let (seq, prev) = head.map_or((0, Hash([0; 32])), |head| (head.next_seq, head.leaf));
        let observed =
            self.ledger.checkpoint().map_or(Head { size: 0, root: EMPTY_ROOT }, |(_, head)| Head { size: head.size, root: head.root });
        let statement = Statement { log: self.log, stream: self.stream.clone(), seq, prev, issued: (self.clock)(), observed, body };
        let signing = self.signing();
        let signed = exhibit_evidence::sign(&statement, &signing.certificate, signing.signer.as_ref())?;
        let before = self.row(&rows::stream_key(&self.stream))?;
        let before: Option<StreamRow> = before.map(|value| rows::from_json(&value)).transpose()?;
        let candidate = own_candidate(&signed, before, None, markers);
        let admission = self.ledger.append(candidate)?;
        tracing::info!(index = admission.place.index, kind = statement.type_name(), seq, "stated");
        Ok(admission)
    }
}

/// A statement with its attachments and rows: tokens and notes are below 128 KiB each.
const OWN_BYTES_MAX: u64 = 1024 * 1024;

/// The candidate for a statement of the appliance itself.
pub fn own_candidate(
    signed: &SignedStatement,
    before: Option<StreamRow>,
    certificate: Option<&Certificate>,
    markers: Vec<Row>,
) -> Candidate {
    let statement = signed.statement();
    let leaf = signed.leaf_hash();
    let signer = signed.signer();
    let (revoked, takes_force, approved_before) = (None, false, false);
    let (stream, block, issuers, terms) = (before, None, &[], None);
    let indexed = Indexed { statement, signer, leaf, stream, block, certificate, issuers, terms, revoked, takes_force, approved_before };
    let mut annotations = indexed.rows();
    annotations.extend(markers);
    Candidate {
        stream: statement.stream.as_str().to_owned(),
        seq: statement.seq,
        prev: statement.prev,
        identity: signed.statement_hash(),
        entry: signed.der().to_vec(),
        annotations,
        is_last: matches!(statement.body, Body::Succession(_)),
        may_leap: false,
    }
}

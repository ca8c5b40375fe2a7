//! What each type of statement demands of the ledger before it: the type rules of docs/formats/api.md.
//!
//! It reads no attachment (see `contents`) and no chain position, which were judged before.

use exhibit_evidence::{
    Body, SignedStatement, Statement, VerifiedStatement,
    body::{Approve, CertificateBody, CertificateRevocation, Enrolment, Export, Fetch},
};
use exhibit_pki::{Certificate, Fingerprint, KeyPurpose, Role, Timestamp};
use exhibit_tlog::Hash;

use super::judge::LedgerView;
use super::recipients;
use crate::api::problem::{Kind, Refusal};
use crate::registry::RegistryError;
use crate::rows::StreamRow;

/// All attachments of a statement together: what a stranger may make us stage beside a payload.
pub const ATTACHMENTS_BYTES_MAX: u64 = 64 * 1024 * 1024;
/// A certificate has about 1 KiB; this is what `Certificate` parses.
pub const CERTIFICATE_BYTES_MAX: u64 = 16 * 1024;
/// Clocks that nobody sets drift by minutes a year, and people wait for each other's; NTP keeps them within a second.
const CLOCK_AHEAD_MS_MAX: u64 = 5 * 60 * 1000;
/// Terms name a handful of streams; they are held in memory.
pub const TERMS_BYTES_MAX: u64 = 256 * 1024;

/// Why a statement breaks a rule.
#[derive(Debug, thiserror::Error)]
pub enum RuleError {
    /// The rule, and what to do.
    #[error("{0}")]
    Broken(String),
    /// It needs a set that was lost, or what custodians said of it, and whoever stated that may still state it again.
    #[error("{0}")]
    RecipientsLost(String),
    /// Longer than its kind may be.
    #[error("attachment {0} is longer than {1} bytes")]
    TooLarge(String, u64),
    /// The ledger could not be asked.
    #[error(transparent)]
    Registry(#[from] RegistryError),
}

impl From<RuleError> for Refusal {
    fn from(error: RuleError) -> Self {
        match error {
            RuleError::Broken(detail) => Self::new(Kind::Rule, detail),
            RuleError::RecipientsLost(detail) => Self::new(Kind::RecipientsLost, detail),
            RuleError::TooLarge(..) => Self::new(Kind::TooLarge, error.to_string()),
            RuleError::Registry(error) => error.into(),
        }
    }
}

pub(super) fn broken<T>(rule: impl Into<String>) -> Result<T, RuleError> {
    Err(RuleError::Broken(rule.into()))
}

/// True for the statement with which an authority introduces its own certificate: seq 0 of its stream.
pub fn introduces_itself(signed: &SignedStatement) -> bool {
    let statement = signed.statement();
    matches!(&statement.body, Body::Certificate(body) if statement.seq == 0 && body.fingerprint == *signed.signer())
}

/// Checks the rules of the statement's type on the log named `log`. `before` is what is known of its stream; `again` is the time of a statement that is
/// made again after a loss ([`Logs::again`](super::judge::Logs::again)).
pub fn check(
    verified: &VerifiedStatement,
    before: Option<&StreamRow>,
    view: &dyn LedgerView,
    log: &Hash,
    again: Option<Timestamp>,
    now: Timestamp,
) -> Result<(), RuleError> {
    let statement = verified.statement();
    check_attachment_lengths(statement)?;
    if statement.stream.kind() == "camera" {
        check_camera_stream(statement, before)?;
    } else if statement.log == *log
        && let Some(ahead_s) = clock_ahead(statement, now)
    {
        // Nothing is lost: whoever has set their clock states it anew. In lists by time it would be the newest until that time has come.
        return broken(format!(
            "it says to have been issued {ahead_s} s from now: set the clock of whoever signed it, or the appliance's, and state it anew"
        ));
    }
    match &statement.body {
        // It obeys a set of that log: see `judge`.
        Body::Epoch(_) if statement.log != *log => Ok(()),
        Body::Epoch(body) => recipients::check_epoch(statement, body, view),
        // What it approves may be lost, or others may have come behind it since.
        Body::Approve(body) if again.is_some() => check_approves_its_statement(body, view).map(drop),
        Body::Approve(body) => check_approve(body, view),
        // What a camera says of itself is judged by whoever reads it.
        Body::Segment(_) | Body::Gap(_) | Body::Close(_) | Body::Heartbeat(_) | Body::Config(_) | Body::Event(_) | Body::Attestation(_) => {
            Ok(())
        }
        Body::Recipients(body) => recipients::check_recipients(verified, body, view, log, again, now),
        // Its terms are an attachment: see `contents`.
        Body::Grant(_) => Ok(()),
        Body::Fetch(body) => check_fetch(body, view),
        Body::Export(body) => check_export(statement, body, view),
        Body::Certificate(body) => check_certificate(body),
        Body::CertificateRevocation(body) => check_revocation(body, view, log),
        Body::Enrolment(body) => check_enrolment(body, view, now),
        Body::Login(_) => broken("a login is shown and never put on a ledger"),
        // To admit what nothing heeds would be a promise that is not kept.
        Body::Group(_) | Body::Request(_) | Body::Revoke(_) | Body::Redaction(_) | Body::Reopen(_) | Body::Hold(_) | Body::Release(_) => {
            broken("this appliance does not heed statements of this type yet")
        }
        Body::Genesis(_)
        | Body::Succession(_)
        | Body::Start(_)
        | Body::Log(_)
        | Body::Access(_)
        | Body::Ban(_)
        | Body::Retention(_)
        | Body::Erasure(_)
        | Body::Contradiction(_)
        | Body::Timestamp(_) => broken("only the appliance itself issues statements of this type"),
        Body::Unknown { .. } => broken("this appliance does not know statements of this type"),
    }
}

/// By how many seconds the clock of whoever signed it is ahead of ours, if that is more than clocks that are kept by NTP differ. A camera's statement is taken
/// all the same, since what it has recorded can not be signed otherwise any more; that is told, and what its times are worth, a verdict says.
pub fn clock_ahead(statement: &Statement, now: Timestamp) -> Option<u64> {
    let ahead_ms = statement.issued.unix_ms().saturating_sub(now.unix_ms());
    (ahead_ms > CLOCK_AHEAD_MS_MAX).then_some(ahead_ms / 1000)
}

fn check_attachment_lengths(statement: &Statement) -> Result<(), RuleError> {
    let mut total = 0;
    for attachment in statement.body.attachments() {
        total += attachment.length;
        let length_max = match &statement.body {
            Body::Certificate(_) => CERTIFICATE_BYTES_MAX,
            Body::Grant(_) if attachment.name == "terms" => TERMS_BYTES_MAX,
            _ => exhibit_evidence::body::ATTACHMENT_BYTES_MAX,
        };
        if attachment.length > length_max {
            return Err(RuleError::TooLarge(attachment.name.clone(), length_max));
        }
    }
    if total > ATTACHMENTS_BYTES_MAX {
        return Err(RuleError::TooLarge("all together".to_owned(), ATTACHMENTS_BYTES_MAX));
    }
    Ok(())
}

fn check_camera_stream(statement: &Statement, before: Option<&StreamRow>) -> Result<(), RuleError> {
    if (statement.seq == 0) != matches!(statement.body, Body::Epoch(_)) {
        return broken("a camera's stream begins with an epoch, and has no other");
    }
    let Some(before) = before else { return Ok(()) };
    if before.closed {
        return broken("the stream was closed: begin another epoch");
    }
    if let Body::Segment(segment) = &statement.body
        && before.slot.is_some_and(|slot| segment.slot < slot)
    {
        return broken("the slot falls within the stream: it counts the seconds of the epoch");
    }
    Ok(())
}

/// What is approved is on the ledger, and the custodian has read it: a leaf hash says nothing to whoever signs it. Whether they may decide on it,
/// and how many have to, is judged by whoever heeds it. A set of recipients is approved while it is the newest of its scope: cameras ask for the
/// newest, and would not see an older one come in force.
fn check_approve(body: &Approve, view: &dyn LedgerView) -> Result<(), RuleError> {
    let Some(approved) = check_approves_its_statement(body, view)? else { return broken("what it approves is not on the ledger") };
    let Body::Recipients(set) = &approved.statement().body else { return Ok(()) };
    match view.newest_recipients(&set.scope)? {
        Some(newest) if newest.leaf != body.entry => broken(format!(
            "number {} of this scope was stated after the set that it approves: approve that, {}, or state this one anew",
            newest.body.number, newest.leaf
        )),
        _ => Ok(()),
    }
}

/// What is approved, if it is on the ledger.
fn check_approves_its_statement(body: &Approve, view: &dyn LedgerView) -> Result<Option<SignedStatement>, RuleError> {
    match view.statement(&body.entry)? {
        Some(approved) if approved.statement_hash() != body.statement => {
            broken("the statement that it approves is not the one of the entry that it names")
        }
        approved => Ok(approved),
    }
}

/// Evidence is of a device whose certificate is known.
fn check_enrolment(body: &Enrolment, view: &dyn LedgerView, now: Timestamp) -> Result<(), RuleError> {
    demand(&body.fingerprint, view, now, "a device", |certificate| {
        certificate.purpose() == KeyPurpose::Signing && certificate.has_role(Role::Camera)
    })?;
    Ok(())
}

/// Whoever may certify may take that back, also ahead of a certificate's introduction: the earliest word counts. But for what the log stands on,
/// which nobody could ever give back: its roots, and who writes it.
fn check_revocation(body: &CertificateRevocation, view: &dyn LedgerView, log: &Hash) -> Result<(), RuleError> {
    if view.roots().iter().any(|root| *root.fingerprint() == body.fingerprint) {
        return broken(
            "it revokes a root of this log, below which nobody could state anything more: a log with other roots takes a succession",
        );
    }
    if view.statement(log)?.is_some_and(|genesis| *genesis.signer() == body.fingerprint) {
        return broken("it revokes the certificate of this log's appliance: end the log by a succession");
    }
    Ok(())
}

/// Checks that a certificate is on the ledger and of the kind that belongs there.
pub fn demand(
    fingerprint: &Fingerprint,
    view: &dyn LedgerView,
    now: Timestamp,
    what: &str,
    belongs: impl Fn(&Certificate) -> bool,
) -> Result<Certificate, RuleError> {
    let fingerprint_hex = hex::encode(fingerprint);
    match view.certificate(fingerprint, now)? {
        None => broken(format!("certificate {fingerprint_hex}, named as {what}, is not on the ledger")),
        Some(Err(error)) => broken(format!("certificate {fingerprint_hex}, named as {what}, does not count: {error}")),
        Some(Ok(known)) if !known.is_valid_at(now) => broken(format!("certificate {fingerprint_hex}, named as {what}, is not valid now")),
        Some(Ok(known)) if view.revoked(known.path(), now)?.is_some() => {
            broken(format!("certificate {fingerprint_hex}, named as {what}, is revoked"))
        }
        Some(Ok(known)) if belongs(known.certificate()) => Ok(known.certificate().clone()),
        Some(Ok(_)) => broken(format!("certificate {fingerprint_hex} is not one for {what}")),
    }
}

/// Whether the grant covers what is fetched is judged when it is fetched, so that the attempt is on the ledger.
fn check_fetch(fetch: &Fetch, view: &dyn LedgerView) -> Result<(), RuleError> {
    let Some(grant) = &fetch.grant else { return Ok(()) };
    match view.statement(grant)?.as_ref().map(|signed| &signed.statement().body) {
        Some(Body::Grant(_)) => Ok(()),
        _ => broken("the grant that it names is not on the ledger"),
    }
}

fn check_export(statement: &Statement, export: &Export, view: &dyn LedgerView) -> Result<(), RuleError> {
    let Some(signed) = view.statement(&export.fetch)? else {
        return broken("the fetch that it names is not on the ledger");
    };
    let Body::Fetch(fetch) = &signed.statement().body else {
        return broken("what it names as its fetch is something else");
    };
    if signed.statement().stream.owner() != statement.stream.owner() {
        return broken("the fetch that it names is somebody else's");
    }
    let covered = |range: &exhibit_evidence::body::SeqRange| {
        fetch.ranges.iter().any(|fetched| fetched.stream == range.stream && fetched.first <= range.first && range.last <= fetched.last)
    };
    if !export.ranges.iter().all(covered) {
        return broken("it exports what its fetch does not name");
    }
    Ok(())
}

fn check_certificate(body: &CertificateBody) -> Result<(), RuleError> {
    for attachment in &body.attachments {
        let known = attachment.name == "certificate" || attachment.name.starts_with("issuer-");
        if !known || attachment.erasable {
            return broken("its attachments are `certificate` and `issuer-…`, which are never erased");
        }
    }
    if body.attachments.iter().find(|attachment| attachment.name == "certificate").map(|found| found.sha256.0) != Some(body.fingerprint) {
        return broken("the fingerprint is not that of the attachment `certificate`");
    }
    Ok(())
}

//! What becomes of an arriving statement: one decision, in the order of docs/formats/api.md, before anything is stored.
//!
//! It reads no socket, no file and no clock; the ledger is asked through `LedgerView`.

use std::sync::Arc;

use exhibit_evidence::{Body, Head, SignedStatement, SignedStatementError, Statement, StreamName, VerifiedStatement, VerifyError};
use exhibit_ledger::{EntryPlace, StreamHead};
use exhibit_pki::{AwsLc, Certificate, Fingerprint, PathError, Timestamp, ValidatedPath};
use exhibit_tlog::Hash;

use super::recipients;
use super::rules::{self, RuleError};
use crate::api::problem::{Kind, Refusal};
use crate::registry::{KnownCertificate, NewestRecipients, Registry, RegistryError};
use crate::rows::StreamRow;

/// What the judge asks the ledger.
pub trait LedgerView {
    /// See `Registry`.
    fn certificate(
        &self,
        fingerprint: &Fingerprint,
        now: Timestamp,
    ) -> Result<Option<Result<Arc<KnownCertificate>, PathError>>, RegistryError>;
    /// See `Registry`.
    fn validate(
        &self,
        certificate: &Certificate,
        more: &[Certificate],
        at: Timestamp,
    ) -> Result<Result<ValidatedPath, PathError>, RegistryError>;
    /// See `Registry`.
    fn revoked(&self, path: &[Certificate], at: Timestamp) -> Result<Option<Timestamp>, RegistryError>;
    /// See `Registry`.
    fn root_at(&self, size: u64) -> Result<Option<Hash>, RegistryError>;
    /// See `Registry`.
    fn place(&self, stream: &StreamName, seq: u64) -> Result<Option<EntryPlace>, RegistryError>;
    /// See `Registry`.
    fn head(&self, stream: &StreamName) -> Result<Option<StreamHead>, RegistryError>;
    /// See `Registry`.
    fn stream(&self, stream: &StreamName) -> Result<Option<StreamRow>, RegistryError>;
    /// See `Registry`.
    fn newest_recipients(&self, scope: &str) -> Result<Option<NewestRecipients>, RegistryError>;
    /// See `Registry`.
    fn approval(&self, approved: &Hash, custodian: &Fingerprint) -> Result<Option<Hash>, RegistryError>;
    /// See `Registry`.
    fn roots(&self) -> &[Certificate];
    /// See `Registry`.
    fn statement(&self, leaf: &Hash) -> Result<Option<SignedStatement>, RegistryError>;
}

impl LedgerView for Registry {
    fn certificate(
        &self,
        fingerprint: &Fingerprint,
        now: Timestamp,
    ) -> Result<Option<Result<Arc<KnownCertificate>, PathError>>, RegistryError> {
        Registry::certificate(self, fingerprint, now)
    }
    fn validate(
        &self,
        certificate: &Certificate,
        more: &[Certificate],
        at: Timestamp,
    ) -> Result<Result<ValidatedPath, PathError>, RegistryError> {
        Registry::validate(self, certificate, more, at)
    }
    fn revoked(&self, path: &[Certificate], at: Timestamp) -> Result<Option<Timestamp>, RegistryError> {
        Registry::revoked(self, path, at)
    }
    fn root_at(&self, size: u64) -> Result<Option<Hash>, RegistryError> {
        Registry::root_at(self, size)
    }
    fn place(&self, stream: &StreamName, seq: u64) -> Result<Option<EntryPlace>, RegistryError> {
        Registry::place(self, stream, seq)
    }
    fn head(&self, stream: &StreamName) -> Result<Option<StreamHead>, RegistryError> {
        Registry::head(self, stream)
    }
    fn stream(&self, stream: &StreamName) -> Result<Option<StreamRow>, RegistryError> {
        Registry::stream(self, stream)
    }
    fn newest_recipients(&self, scope: &str) -> Result<Option<NewestRecipients>, RegistryError> {
        Registry::newest_recipients(self, scope)
    }
    fn approval(&self, approved: &Hash, custodian: &Fingerprint) -> Result<Option<Hash>, RegistryError> {
        Registry::approval(self, approved, custodian)
    }
    fn roots(&self) -> &[Certificate] {
        Registry::roots(self)
    }
    fn statement(&self, leaf: &Hash) -> Result<Option<SignedStatement>, RegistryError> {
        Registry::statement(self, leaf)
    }
}

/// A statement that somebody sends.
pub struct Arrival<'a> {
    /// The place that the path names.
    pub stream: &'a StreamName,
    /// See above.
    pub seq: u64,
    /// The certificate of the TLS connection, whose chain TLS has verified.
    pub peer: &'a Certificate,
    /// What the peer sent above its certificate.
    pub peer_chain: &'a [Certificate],
    /// The log whose receipt the sender can verify, if it said so.
    pub knows: Option<Hash>,
    /// The appliance's clock.
    pub now: Timestamp,
}

/// The log, and those that it goes on for.
pub struct Logs<'a> {
    /// The log's name.
    pub log: Hash,
    /// What it has.
    pub view: &'a dyn LedgerView,
    /// The logs before, as its genesis declares them, newest first.
    pub before: Vec<Before<'a>>,
}

impl Logs<'_> {
    /// When the certificates of a statement are judged that is made again, since the log that it was made for, or one after that, was lost: when it says
    /// to have been made, but at no time to come. Whoever signed it may have another certificate since, and sends it by a connection that is valid now;
    /// a verdict asks for more than its word. `None` if nothing was lost: then they are judged now.
    pub fn again(&self, statement: &Statement, now: Timestamp) -> Option<Timestamp> {
        again(&self.before, &statement.log, statement.issued, now)
    }
}

fn again(before: &[Before<'_>], log: &Hash, issued: Timestamp, now: Timestamp) -> Option<Timestamp> {
    let position = before.iter().position(|before| before.log == *log)?;
    before[..=position].iter().any(|before| !before.is_whole).then(|| issued.min(now))
}

/// A log that has ended.
#[derive(Clone, Copy)]
pub struct Before<'a> {
    /// Its name.
    pub log: Hash,
    /// Its last head.
    pub end: Head,
    /// What it had, where that can be read.
    pub view: Option<&'a dyn LedgerView>,
    /// Whether that is all that it ever had.
    pub is_whole: bool,
}

/// What becomes of it.
#[derive(Debug)]
pub enum Judgement {
    /// It is on the ledger already.
    Same {
        /// Where.
        place: EntryPlace,
        /// What arrived.
        statement: Box<Statement>,
        /// On which log before; `None` if it is on this one.
        on: Option<Hash>,
    },
    /// Its place has another statement: both are proof against their issuer.
    Contradiction {
        /// The first.
        first: EntryPlace,
        /// The second.
        second: Box<VerifiedStatement>,
        /// On which log before the first is; `None` if it is on this one.
        on: Option<Hash>,
    },
    /// It gets its place once attachments and payload have come as signed.
    Admit(Box<VerifiedStatement>),
}

/// Why a statement is refused. One variant for each thing that its sender would do differently.
#[derive(Debug, thiserror::Error)]
pub enum JudgeError {
    /// Not a signed statement.
    #[error(transparent)]
    Form(#[from] SignedStatementError),
    /// The path names another place.
    #[error("the path names another stream or seq than the statement")]
    OtherPlace,
    /// The TLS certificate is not the owner's.
    #[error("{peer} does not own stream {stream}")]
    NotOwner {
        /// Whose connection it is.
        peer: String,
        /// Which stream.
        stream: StreamName,
    },
    /// Another log's leaf hash.
    #[error("the statement names another log: this one is {0}")]
    OtherLog(Hash),
    /// That of a log before, by somebody who does not know this one yet.
    #[error("the log {0} has ended: ask /v1/successor for the one that goes on, and send to that")]
    Ended(Hash),
    /// No entry introduced the signer's certificate.
    #[error("the signer's certificate {0} is not on the ledger: its authority has to put it there first")]
    UnknownCertificate(String),
    /// The path of the certificate.
    #[error(transparent)]
    Path(#[from] PathError),
    /// A certificate on the path is not valid now.
    #[error("the signer's certificate, or one above it, is not valid now: renew it")]
    NotValidNow,
    /// A certificate on the path was revoked before the statement was issued.
    #[error("the signer's certificate, or one above it, is revoked since {0}")]
    Revoked(Timestamp),
    /// The statement is signed by somebody else than the sender.
    #[error("the statement is signed by {signer}, but the connection is that of {peer}")]
    OtherSubject {
        /// Who signed.
        signer: String,
        /// Who sends.
        peer: String,
    },
    /// Purpose, owner, role or signature.
    #[error(transparent)]
    Verify(#[from] VerifyError),
    /// The observed head is not ours.
    #[error("the observed head of size {0} is not one of this log: verify a checkpoint of it first")]
    Observed(u64),
    /// The observed head fell within the stream.
    #[error("the observed head of size {0} is below that of the statement before")]
    ObservedFell(u64),
    /// It does not follow the chain.
    #[error("the chain continues at seq {expected_seq} after {expected_prev}")]
    BrokenChain {
        /// The seq that would fit.
        expected_seq: u64,
        /// The prev that would fit.
        expected_prev: Hash,
    },
    /// A rule of the type.
    #[error(transparent)]
    Rule(#[from] RuleError),
    /// The ledger could not be asked.
    #[error(transparent)]
    Registry(#[from] RegistryError),
}

/// Decides, in the order in which docs/formats/api.md lists the checks.
pub fn judge(signed: SignedStatement, arrival: &Arrival<'_>, logs: &Logs<'_>) -> Result<Judgement, JudgeError> {
    let view = logs.view;
    let statement = signed.statement();
    if (&statement.stream, statement.seq) != (arrival.stream, arrival.seq) {
        return Err(JudgeError::OtherPlace);
    }
    let peer = arrival.peer.identity().filter(|identity| identity.owns_stream(statement.stream.as_str()));
    let Some(peer) = peer else {
        return Err(JudgeError::NotOwner { peer: name_of(arrival.peer), stream: statement.stream.clone() });
    };
    // The logs since the one that it was made for, which is the last of them; none for our own.
    let before = match logs.before.iter().position(|before| before.log == statement.log) {
        None if statement.log != logs.log => return Err(JudgeError::OtherLog(logs.log)),
        Some(_) if arrival.knows != Some(logs.log) => return Err(JudgeError::Ended(statement.log)),
        position => &logs.before[..position.map_or(0, |position| position + 1)],
    };
    let again = logs.again(statement, arrival.now);
    let signer = signer(&signed, arrival, view, again.unwrap_or(arrival.now))?;
    // Trust domain and all: under two roots there may be two cameras 102.
    if signer.identity() != Some(peer) {
        return Err(JudgeError::OtherSubject { signer: name_of(&signer), peer: name_of(arrival.peer) });
    }
    let verified = signed.verify(&signer, &AwsLc)?;
    check_observed(&statement.observed, view, before.last())?;
    if let Some(place) = view.place(&statement.stream, statement.seq)? {
        return Ok(taken(place, verified, None));
    }
    for (log, archive) in before.iter().filter_map(|before| Some((before.log, before.view?))) {
        if let Some(place) = archive.place(&statement.stream, statement.seq)? {
            // A chain that goes on here needs its epoch here too: that one, and no other, is admitted once more.
            let is_same = place.identity == verified.signed().statement_hash();
            if statement.seq > 0 || !is_same {
                return Ok(taken(place, verified, Some(log)));
            }
        }
    }
    check_chain(statement, view, before)?;
    match (&statement.body, before.last()) {
        (Body::Epoch(epoch), Some(Before { view: Some(archive), is_whole: true, .. })) => {
            recipients::check_epoch(statement, epoch, *archive)?
        }
        (Body::Epoch(epoch), Some(_)) => recipients::check_epoch_of_lost(statement, epoch, view, &logs.log)?,
        _ => {}
    }
    let row = view.stream(&statement.stream)?;
    if row.as_ref().is_some_and(|row| statement.observed.size < row.observed_size) {
        return Err(JudgeError::ObservedFell(statement.observed.size));
    }
    rules::check(&verified, row.as_ref(), view, &logs.log, again, arrival.now)?;
    Ok(Judgement::Admit(Box::new(verified)))
}

/// Statements are compared, not entries: the same one under another signature is the same.
fn taken(place: EntryPlace, verified: VerifiedStatement, on: Option<Hash>) -> Judgement {
    if place.identity == verified.signed().statement_hash() {
        Judgement::Same { place, statement: Box::new(verified.statement().clone()), on }
    } else {
        Judgement::Contradiction { first: place, second: Box::new(verified), on }
    }
}

/// Of a log that has ended, a head beyond its end tells of entries that are known to be lost, and where it can not be read, any may be its.
fn check_observed(observed: &Head, view: &dyn LedgerView, before: Option<&Before<'_>>) -> Result<(), JudgeError> {
    let root = match before {
        None => view.root_at(observed.size)?,
        Some(Before { end, .. }) if observed.size == end.size => Some(end.root),
        Some(before) if observed.size > before.end.size => {
            if !before.is_whole {
                return Ok(());
            }
            None
        }
        Some(Before { view: None, .. }) => return Ok(()),
        Some(Before { view: Some(archive), is_whole, .. }) => match archive.root_at(observed.size)? {
            // What is left of it is older.
            None if !is_whole => return Ok(()),
            root => root,
        },
    };
    if root == Some(observed.root) { Ok(()) } else { Err(JudgeError::Observed(observed.size)) }
}

/// The chain's end here; for one that began in a log before, and has only its epoch here, the end there: in the newest of the logs since then that
/// has more of it than its epoch.
fn check_chain(statement: &Statement, view: &dyn LedgerView, before: &[Before<'_>]) -> Result<(), JudgeError> {
    let head = view.head(&statement.stream)?;
    let (expected_seq, expected_prev) = head.map_or((0, Hash([0; 32])), |head| (head.next_seq, head.leaf));
    if (statement.seq, statement.prev) == (expected_seq, expected_prev) {
        return Ok(());
    }
    let broken = JudgeError::BrokenChain { expected_seq, expected_prev };
    if before.is_empty() || expected_seq != 1 || statement.seq <= 1 {
        return Err(broken);
    }
    let (mut ended, mut is_closed) = (None::<StreamHead>, false);
    for archive in before.iter().filter_map(|before| before.view) {
        is_closed |= archive.stream(&statement.stream)?.is_some_and(|row| row.closed);
        let head = archive.head(&statement.stream)?;
        ended = ended.into_iter().chain(head).max_by_key(|head| head.next_seq);
    }
    let follows = ended.as_ref().is_some_and(|ended| (ended.next_seq, ended.leaf) == (statement.seq, statement.prev));
    // What a disaster took of a log before is a hole that everybody sees.
    let is_whole = before.iter().all(|before| before.is_whole);
    let is_lost = !is_whole && ended.is_none_or(|ended| statement.seq > ended.next_seq);
    match is_closed {
        true => Err(RuleError::Broken("the stream was closed: begin another epoch".to_owned()).into()),
        false if follows || is_lost => Ok(()),
        false => Err(broken),
    }
}

/// The signer's certificate, known to the ledger and valid at that time.
fn signer(signed: &SignedStatement, arrival: &Arrival<'_>, view: &dyn LedgerView, at: Timestamp) -> Result<Certificate, JudgeError> {
    if let Some(known) = view.certificate(signed.signer(), at)? {
        let known = known?;
        if !known.is_valid_at(at) {
            return Err(JudgeError::NotValidNow);
        }
        // What was signed before waited in a spool, and comes by the connection of a certificate that counts: what it is worth, the verdict says.
        if let Some(since) = view.revoked(known.path(), signed.statement().issued)? {
            return Err(JudgeError::Revoked(since));
        }
        return Ok(known.certificate().clone());
    }
    // An authority introduces itself, with the certificate of its own connection; everybody else is introduced.
    if rules::introduces_itself(signed) && arrival.peer.fingerprint() == signed.signer() {
        view.validate(arrival.peer, arrival.peer_chain, arrival.now)??;
        return Ok(arrival.peer.clone());
    }
    Err(JudgeError::UnknownCertificate(hex::encode(signed.signer())))
}

fn name_of(certificate: &Certificate) -> String {
    certificate.identity().map_or_else(|| "a certificate without identity".to_owned(), ToString::to_string)
}

impl From<JudgeError> for Refusal {
    fn from(error: JudgeError) -> Self {
        let detail = error.to_string();
        let kind = match error {
            JudgeError::Form(SignedStatementError::TooLong) => Kind::TooLarge,
            JudgeError::Form(_) | JudgeError::OtherPlace => Kind::Malformed,
            JudgeError::NotOwner { .. } | JudgeError::OtherSubject { .. } | JudgeError::Verify(VerifyError::NotOwner { .. }) => {
                Kind::NotOwner
            }
            JudgeError::OtherLog(_) => Kind::Log,
            JudgeError::Ended(_) => Kind::Ended,
            JudgeError::UnknownCertificate(_) | JudgeError::Path(_) | JudgeError::NotValidNow | JudgeError::Revoked(_) => Kind::Certificate,
            JudgeError::Verify(VerifyError::WrongCertificate | VerifyError::WrongSuite { .. } | VerifyError::NotForSigning) => {
                Kind::Certificate
            }
            JudgeError::Verify(VerifyError::Role(_)) => Kind::Role,
            JudgeError::Verify(VerifyError::Signature(_)) => Kind::Signature,
            JudgeError::Observed(_) | JudgeError::ObservedFell(_) => Kind::Observed,
            JudgeError::BrokenChain { expected_seq, expected_prev } => {
                return Self { expected: Some((expected_seq, expected_prev)), ..Self::new(Kind::Chain, detail) };
            }
            JudgeError::Rule(error) => return error.into(),
            JudgeError::Registry(error) => return error.into(),
        };
        Self::new(kind, detail)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn certificates_are_judged_at_a_statements_time_only_after_a_loss() {
        let log =
            |number: u8, is_whole| Before { log: Hash([number; 32]), end: Head { size: 1, root: Hash([0; 32]) }, view: None, is_whole };
        let at = |ms| Timestamp::from_unix_ms(ms).expect("a small number is a time");
        let (issued, now) = (at(1_000), at(9_000));
        // Newest first.
        let before = [log(3, true), log(2, false), log(1, true)];
        let judged = |number: u8, issued| again(&before, &Hash([number; 32]), issued, now);
        assert_eq!(
            judged(3, issued),
            None,
            "all that was ever stated to it is there: whoever has an expired certificate has waited too long"
        );
        assert_eq!(judged(2, issued), Some(issued));
        assert_eq!(judged(1, issued), Some(issued), "what had carried it was lost");
        assert_eq!(judged(2, at(10_000)), Some(now), "a time to come makes nothing valid");
        assert_eq!(judged(9, issued), None, "our own log, or nobody's");
    }
}

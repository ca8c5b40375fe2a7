//! Whether a log is the successor of another: what a camera or a person believes before they go on in it.
//!
//! Pure: it does not fetch. What it is given came from an appliance or a network that may be hostile; only the anchor, the head that was observed
//! and the custodians are trusted. A log that ended by plan says so itself, under its keys and before its witnesses. After a disaster it can not,
//! and the custodians have to approve the successor's genesis.

use std::collections::BTreeSet;

use base64ct::{Base64, Encoding};
use exhibit_pki::{Authorities, Certificate, Fingerprint, PathError, Verifier};
use exhibit_tlog::{
    CheckpointError, Hash, LogProof, LogProofError, LogVerifier, ProofError, VerifierKey, WitnessError, verify_consistency,
};

use crate::{
    Anchor, Body, Head, SignedStatement, SignedStatementError, VerifyError,
    anchor::WitnessPolicy,
    body::Genesis,
    exchange::{EntryRecord, SuccessorRecord},
};

/// Certificates that are looked at: those of the appliances, of as many custodians as approve, and of the authorities above them.
const CERTIFICATES_MAX: usize = 160;
/// Approvals that are looked at: a set of recipients names at most 64 custodians.
const APPROVALS_MAX: usize = 64;

/// What is trusted before a successor is judged.
pub struct Trusted<'a> {
    /// The log that has ended. Its roots and its witness policy count in the successor too.
    pub anchor: &'a Anchor,
    /// The last head of it that was verified; of size 0 if none.
    pub observed: Head,
    /// The custodians whose approval counts after a disaster: fingerprints of their signing certificates.
    pub custodians: &'a [Fingerprint],
    /// How many of them.
    pub threshold: u64,
    /// Issuing authorities, as far as known.
    pub intermediates: &'a [Certificate],
    /// Checks signatures.
    pub verifier: &'a dyn Verifier,
}

/// A log that goes on for another.
#[derive(Clone, Debug, PartialEq)]
pub struct SuccessorLog {
    /// What is trusted from now on: the new log's name and keys, and all else as before.
    pub anchor: Anchor,
    /// Where the log before it ended.
    pub end: Head,
    /// Why it is believed.
    pub grounds: Grounds,
    /// Entries that were observed of the log before and are behind its end: known to be lost.
    pub lost: u64,
    /// False if the successor's operator asks other witnesses than those that are pinned, whose word goes on to count here.
    pub same_witnesses: bool,
}

/// Why a successor is believed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Grounds {
    /// The last entry of the log before names it.
    Plan,
    /// The custodians approved it.
    Approval,
}

/// Why a log is not believed to be the successor.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SuccessionError {
    /// Base64, certificates, notes: not what it should be.
    #[error("{0} is malformed")]
    Malformed(&'static str),
    /// A statement.
    #[error(transparent)]
    Statement(#[from] SignedStatementError),
    /// The last checkpoint of the log that ended.
    #[error("the last checkpoint of the log before: {0}")]
    Checkpoint(#[from] CheckpointError),
    /// A log that has ended by plan has signed its last head.
    #[error("the log before is said to have ended by plan, and its last checkpoint was not given")]
    NoCheckpoint,
    /// Its witnesses.
    #[error("the end of the log before is not witnessed: {0}")]
    Witness(#[from] WitnessError),
    /// It does not extend what was observed.
    #[error("the end of the log before does not extend the head of {observed} entries that was observed: {reason}")]
    Observed {
        /// Entries that were observed.
        observed: u64,
        /// Why not.
        reason: String,
    },
    /// A receipt.
    #[error("the receipt of {0}: {1}")]
    Receipt(&'static str, LogProofError),
    /// The first entry of the successor is no genesis, or its last of the predecessor no succession.
    #[error("{0}")]
    Entry(&'static str),
    /// Genesis names another log, or another end of it.
    #[error("the genesis that is offered does not name this log and its last checkpoint")]
    OtherPredecessor,
    /// Logs before the one that ended, which that did not go on for, or not as it is said.
    #[error("the genesis that is offered names other logs before this one than its own genesis does, or that was not given")]
    Earlier,
    /// The last entry names another log.
    #[error("the last entry of the log before names another successor")]
    OtherSuccessor,
    /// Roots.
    #[error("the genesis that is offered does not name the roots that are trusted")]
    OtherRoots,
    /// Keys.
    #[error("the keys of the successor {0}")]
    Keys(&'static str),
    /// Nobody's certificate.
    #[error("the certificate that signed {0} was not given")]
    NoCertificate(&'static str),
    /// A certificate's path.
    #[error("the certificate that signed {0}: {1}")]
    Path(&'static str, PathError),
    /// A signature, or a role.
    #[error("{0}: {1}")]
    Signature(&'static str, VerifyError),
    /// Too few custodians, and the log before has not ended by plan.
    #[error("the log before has not ended by plan, and {given} of {threshold} custodians have approved the successor")]
    NotApproved {
        /// Who count.
        given: u64,
        /// Who are needed.
        threshold: u64,
    },
}

/// Judges what an appliance says of the log that follows.
pub fn judge(record: &SuccessorRecord, trusted: &Trusted<'_>) -> Result<SuccessorLog, SuccessionError> {
    let anchor = trusted.anchor;
    let judge = Judge::new(record, trusted)?;

    let signed = parse(&record.genesis)?;
    let Body::Genesis(genesis) = &signed.statement().body else { return Err(SuccessionError::Entry("what is offered is no genesis")) };
    let end = end(record, genesis, anchor)?;
    earlier(record, genesis, anchor)?;
    if anchor.roots.iter().any(|root| !genesis.roots.contains(root.fingerprint())) {
        return Err(SuccessionError::OtherRoots);
    }
    let verifier = keys(genesis, &anchor.verifier)?;
    judge.signed("genesis", &signed)?;
    receipt("genesis", &record.genesis, 0, &signed.leaf_hash(), &verifier)?;

    // Before anybody is asked for approvals: no number of them mends this.
    let mut policy = anchor.policy.clone();
    if let Some(witnesses) = &anchor.policy.witnesses {
        let again = WitnessPolicy::parse(witnesses.text(), &verifier);
        policy.witnesses = Some(again.map_err(|_| SuccessionError::Keys("are a witness's"))?);
    }
    let is_shown = consistent(record, &trusted.observed, &end)?;
    let grounds = match &record.succession {
        Some(succession) => {
            let last_checkpoint = record.last_checkpoint.as_deref().ok_or(SuccessionError::NoCheckpoint)?;
            if !is_shown {
                let reason = "it is shorter, or no proof was given".to_owned();
                return Err(SuccessionError::Observed { observed: trusted.observed.size, reason });
            }
            judge.plan(last_checkpoint, succession, genesis, &end)?;
            Grounds::Plan
        }
        None => {
            judge.approval(record, &signed)?;
            Grounds::Approval
        }
    };
    // The TPM's key was of the log before: what the successor's is, nobody has pinned.
    policy.tpm_key = None;
    let pinned = anchor.policy.witnesses.as_ref().map_or("", WitnessPolicy::text);
    Ok(SuccessorLog {
        anchor: Anchor { log: signed.leaf_hash(), verifier, roots: anchor.roots.clone(), policy },
        end,
        grounds,
        lost: trusted.observed.size.saturating_sub(end.size),
        same_witnesses: genesis.witness_policy == pinned,
    })
}

/// Whose approval of the genesis that is offered holds, custodians or not: fingerprints of their certificates.
pub fn approved_by(record: &SuccessorRecord, trusted: &Trusted<'_>) -> Result<BTreeSet<Fingerprint>, SuccessionError> {
    let judge = Judge::new(record, trusted)?;
    let approved = judge.approvals(record, &parse(&record.genesis)?, |_| true)?;
    Ok(approved.into_iter().map(|certificate| *certificate.fingerprint()).collect())
}

struct Judge<'a> {
    trusted: &'a Trusted<'a>,
    certificates: Vec<Certificate>,
    authorities: Authorities,
}

impl<'a> Judge<'a> {
    fn new(record: &SuccessorRecord, trusted: &'a Trusted<'a>) -> Result<Self, SuccessionError> {
        let certificates = certificates(record)?;
        let met = trusted.intermediates.iter().chain(&certificates);
        let authorities = Authorities::new(&trusted.anchor.roots, met, trusted.verifier);
        Ok(Self { trusted, certificates, authorities })
    }

    /// The old log itself: its last entry, witnessed as its anchor demands.
    fn plan(&self, last_checkpoint: &str, succession: &EntryRecord, genesis: &Genesis, end: &Head) -> Result<(), SuccessionError> {
        let anchor = self.trusted.anchor;
        if let Some(witnesses) = &anchor.policy.witnesses {
            witnesses.policy().verify_of(&anchor.verifier, last_checkpoint)?;
        }
        let signed = parse(succession)?;
        let statement = signed.statement();
        let Body::Succession(body) = &statement.body else {
            return Err(SuccessionError::Entry("the last entry of the log before is no succession"));
        };
        if statement.log != anchor.log {
            return Err(SuccessionError::Entry("the succession is of another log"));
        }
        if (&body.successor.origin, &body.successor.keys) != (&genesis.origin, &genesis.keys) {
            return Err(SuccessionError::OtherSuccessor);
        }
        // Behind a succession nothing comes: one that is not the last entry is not the end of this tree.
        let index = end.size - 1;
        let checkpoint = receipt("the succession", succession, index, &signed.leaf_hash(), &anchor.verifier)?;
        if (checkpoint.size, checkpoint.root) != (end.size, end.root) {
            return Err(SuccessionError::Entry("the receipt of the succession is not under the last checkpoint"));
        }
        self.signed("the succession", &signed).map(drop)
    }

    /// So many custodians approved this very genesis. A person counts once, with however many certificates.
    fn approval(&self, record: &SuccessorRecord, genesis: &SignedStatement) -> Result<(), SuccessionError> {
        let approved = self.approvals(record, genesis, |signer| self.trusted.custodians.contains(signer))?;
        let people: BTreeSet<String> = approved.iter().filter_map(|custodian| custodian.identity()).map(ToString::to_string).collect();
        let (given, threshold) = (people.len() as u64, self.trusted.threshold);
        // A threshold of none is nobody's word.
        if given < threshold.max(1) { Err(SuccessionError::NotApproved { given, threshold }) } else { Ok(()) }
    }

    /// Who has signed an approval of this very genesis, of those whose certificates `count`.
    fn approvals(
        &self,
        record: &SuccessorRecord,
        genesis: &SignedStatement,
        count: impl Fn(&Fingerprint) -> bool,
    ) -> Result<Vec<&Certificate>, SuccessionError> {
        let mut approved = Vec::new();
        for approval in record.approvals.iter().take(APPROVALS_MAX) {
            let signed = statement_of(approval, "an approval")?;
            let Body::Approve(body) = &signed.statement().body else { continue };
            let names_it = body.entry == genesis.leaf_hash() && body.statement == genesis.statement_hash();
            if names_it && signed.statement().log == genesis.leaf_hash() && count(signed.signer()) {
                // One that does not hold is nobody's word, and takes nothing from the others.
                approved.extend(self.signed("an approval", &signed));
            }
        }
        Ok(approved)
    }

    /// Certificate, path to a root that is trusted, role, signature.
    fn signed(&self, what: &'static str, signed: &SignedStatement) -> Result<&Certificate, SuccessionError> {
        let signer = self.certificates.iter().find(|certificate| certificate.fingerprint() == signed.signer());
        let signer = signer.ok_or(SuccessionError::NoCertificate(what))?;
        let verifier = self.trusted.verifier;
        let path = self.authorities.path(signer, signed.statement().issued, verifier);
        path.map_err(|error| SuccessionError::Path(what, error))?;
        signed.verify(signer, verifier).map_err(|error| SuccessionError::Signature(what, error))?;
        Ok(signer)
    }
}

/// Where the log before ended, as genesis says. Where a checkpoint of that is given, it has to verify.
fn end(record: &SuccessorRecord, genesis: &Genesis, anchor: &Anchor) -> Result<Head, SuccessionError> {
    let checkpoint = record.last_checkpoint.as_ref().map(|note| anchor.verifier.verify(note)).transpose()?;
    let named = genesis.predecessor.as_ref().filter(|named| named.log == anchor.log).ok_or(SuccessionError::OtherPredecessor)?;
    if checkpoint.is_some_and(|last| (last.size, last.root) != (named.head.size, named.head.root)) {
        return Err(SuccessionError::OtherPredecessor);
    }
    Ok(named.head)
}

/// What was stated to logs before the one that ended goes on in the successor: they are those which the genesis that we know by its hash declares, or
/// anybody's statements to any log could be put there.
fn earlier(record: &SuccessorRecord, genesis: &Genesis, anchor: &Anchor) -> Result<(), SuccessionError> {
    if genesis.earlier.is_empty() {
        return Ok(());
    }
    let ended = record.ended_genesis.as_deref().ok_or(SuccessionError::Earlier)?;
    let ended = statement_of(ended, "the genesis of the log before")?;
    match &ended.statement().body {
        Body::Genesis(body) if ended.leaf_hash() == anchor.log && body.declared() == genesis.earlier => Ok(()),
        _ => Err(SuccessionError::Earlier),
    }
}

/// The successor's keys: its own, and of every algorithm that the log before demands.
fn keys(genesis: &Genesis, before: &LogVerifier) -> Result<LogVerifier, SuccessionError> {
    let keys = genesis.keys.iter().map(|key| VerifierKey::parse(key)).collect::<Result<Vec<_>, _>>();
    let keys = keys.map_err(|_| SuccessionError::Keys("are malformed"))?;
    if keys.iter().any(|key| !key.algorithm().is_log_signature()) {
        return Err(SuccessionError::Keys("are a witness's"));
    }
    if genesis.origin == before.origin || keys.iter().any(|key| before.keys.iter().any(|old| old.has_key_of(key))) {
        return Err(SuccessionError::Keys("or its name are those of the log before: that would be a fork"));
    }
    if before.keys.iter().any(|old| keys.iter().all(|key| key.algorithm() != old.algorithm())) {
        return Err(SuccessionError::Keys("lack an algorithm that the log before demands"));
    }
    Ok(LogVerifier { origin: genesis.origin.clone(), keys })
}

/// Whether the end is shown to extend what was observed. A proof that is given and does not hold is refused.
fn consistent(record: &SuccessorRecord, observed: &Head, end: &Head) -> Result<bool, SuccessionError> {
    if observed.size > end.size {
        return Ok(false);
    }
    let Some(proof) = &record.consistency else { return Ok(observed.size == 0) };
    let path = proof.iter().map(|hash| Hash::from_base64(hash)).collect::<Option<Vec<_>>>();
    let path = path.ok_or(SuccessionError::Malformed("the consistency proof"))?;
    verify_consistency(observed.size, &observed.root, end.size, &end.root, &path)
        .map_err(|error: ProofError| SuccessionError::Observed { observed: observed.size, reason: error.to_string() })?;
    Ok(true)
}

fn certificates(record: &SuccessorRecord) -> Result<Vec<Certificate>, SuccessionError> {
    let malformed = || SuccessionError::Malformed("a certificate");
    let certificate = |text: &String| {
        let der = Base64::decode_vec(text).map_err(|_| malformed())?;
        Certificate::from_der(&der).map_err(|_| malformed())
    };
    record.certificates.iter().take(CERTIFICATES_MAX).map(certificate).collect()
}

fn parse(record: &EntryRecord) -> Result<SignedStatement, SuccessionError> {
    statement_of(&record.entry, "an entry")
}

/// A signed statement in base64, as a record carries it. `what` names it where it is malformed.
pub fn statement_of(entry: &str, what: &'static str) -> Result<SignedStatement, SuccessionError> {
    let der = Base64::decode_vec(entry).map_err(|_| SuccessionError::Malformed(what))?;
    Ok(SignedStatement::parse(&der)?)
}

fn receipt(
    what: &'static str,
    record: &EntryRecord,
    index: u64,
    leaf: &Hash,
    log: &LogVerifier,
) -> Result<exhibit_tlog::Checkpoint, SuccessionError> {
    let failed = |error| SuccessionError::Receipt(what, error);
    let proof = LogProof::parse(&record.receipt).map_err(failed)?;
    if proof.index != index {
        return Err(SuccessionError::Entry("a receipt is for another place than the statement must have"));
    }
    proof.verify(leaf, log).map_err(failed)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use exhibit_tlog::{EMPTY_ROOT, Ed25519NoteSigner, NoteSigner, leaf_hash};
    use zeroize::Zeroizing;

    use super::*;
    use crate::exchange::EntryRecord;

    fn key(origin: &str, seed: u8) -> VerifierKey {
        Ed25519NoteSigner::new(origin, &Zeroizing::new([seed; 32])).unwrap().verifier_key().clone()
    }

    #[test]
    fn a_log_of_one_key_goes_on_in_a_log_of_one_key() {
        let before = LogVerifier { origin: "old.example/log".to_owned(), keys: vec![key("old.example/log", 1)] };
        let genesis = Genesis {
            origin: "new.example/log".to_owned(),
            keys: vec![key("new.example/log", 2).to_string()],
            roots: vec![],
            witness_policy: String::new(),
            predecessor: None,
            earlier: Vec::new(),
            attachments: vec![],
        };
        assert_eq!(keys(&genesis, &before).unwrap().keys, [key("new.example/log", 2)]);
    }

    #[test]
    fn the_end_extends_what_was_observed_up_to_itself() {
        let end = Head { size: 1, root: leaf_hash(b"entry") };
        let record = |consistency: Option<&[&str]>| SuccessorRecord {
            last_checkpoint: None,
            consistency: consistency.map(|path| path.iter().map(|hash| (*hash).to_owned()).collect()),
            succession: None,
            ended_genesis: None,
            genesis: EntryRecord { index: 0, entry: String::new(), receipt: String::new(), is_final: true },
            certificates: vec![],
            approvals: vec![],
        };
        let nothing = Head { size: 0, root: EMPTY_ROOT };
        assert!(consistent(&record(Some(&[])), &end, &end).unwrap());
        assert!(consistent(&record(None), &nothing, &end).unwrap());
        assert!(!consistent(&record(None), &end, &end).unwrap(), "nothing shows it");
        assert!(!consistent(&record(Some(&[])), &Head { size: 2, ..end }, &end).unwrap(), "the end is known to be short of it");
        assert!(consistent(&record(Some(&[])), &Head { root: EMPTY_ROOT, ..end }, &end).is_err());
    }
}

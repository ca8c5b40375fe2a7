//! Whose word on recipients a camera takes: the custodians that it pinned, then those that they named.
//!
//! Pure: it does not know how records and certificates were fetched; receipts were verified before.

use std::collections::BTreeSet;

use exhibit_evidence::{Body, SignedStatement, VerifyError, body::Recipients};
use exhibit_pki::{Certificate, Fingerprint, KeyPurpose, PathError, Subject, Timestamp, Verifier, validate_path};
use exhibit_tlog::Hash;

/// The custodians whose word counts for the next set.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Custodians {
    /// Fingerprints of their signing certificates.
    pub fingerprints: Vec<Fingerprint>,
    /// How many of them must sign.
    pub threshold: u64,
}

/// An `approve` of a set of recipients, with the certificate that signed it.
#[derive(Clone, Debug)]
pub struct Approval {
    /// The statement.
    pub signed: SignedStatement,
    /// Whose.
    pub signer: Certificate,
}

/// A set of recipients that was accepted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Accepted {
    /// Its number.
    pub number: u64,
    /// Leaf hash of its entry.
    pub leaf: Hash,
    /// The log that it was stated to.
    pub log: Hash,
    /// Who may replace it.
    pub next: Custodians,
    /// When it is stale.
    pub expires: Timestamp,
}

/// The recipients that epochs are wrapped to.
#[derive(Clone, Debug, PartialEq)]
pub struct Obeyed {
    /// The set.
    pub accepted: Accepted,
    /// Their wrapping certificates, in the order named.
    pub certificates: Vec<Certificate>,
    /// A log that has the set: epochs that obey it are stated to that. Of a log that was lost it is on the one that goes on once a custodian has put
    /// it there.
    pub on: Hash,
}

/// What certificates are judged against.
#[derive(Clone, Copy)]
pub struct Trust<'a> {
    /// Whose recipients: us.
    pub camera: &'a Subject,
    /// The pinned roots.
    pub roots: &'a [Certificate],
    /// Issuing authorities, as far as known.
    pub intermediates: &'a [Certificate],
    /// Checks signatures.
    pub verifier: &'a dyn Verifier,
}

/// Why a set of recipients is not obeyed. The one before stays in force.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RecipientsError {
    /// Another type.
    #[error("the statement is {0}, not recipients/v1")]
    Type(String),
    /// For somebody else.
    #[error("the recipients are for {0}, not for this camera")]
    Scope(String),
    /// Not one of the custodians.
    #[error("the recipients are signed by a certificate that no custodian of this camera has: {0}")]
    NotACustodian(String),
    /// The signature, its certificate's role or stream.
    #[error(transparent)]
    Signature(#[from] VerifyError),
    /// A certificate that leads to no pinned root, or was not valid when the recipients were issued.
    #[error("certificate \"{common_name}\": {source}")]
    Path {
        /// Whose.
        common_name: String,
        /// Why.
        source: PathError,
    },
    /// Several custodians must agree.
    #[error(
        "{given} of the {threshold} custodians that it takes stand behind recipients number {number}: the others state it by `exhibit approve entry`"
    )]
    NotApproved {
        /// Of the set.
        number: u64,
        /// People who do.
        given: u64,
        /// How many it takes.
        threshold: u64,
    },
    /// An older or equal number.
    #[error("the recipients have number {offered}, and number {accepted} was obeyed before")]
    Number {
        /// Obeyed.
        accepted: u64,
        /// Offered.
        offered: u64,
    },
    /// It replaces another set than the one in force.
    #[error("recipients number {0} do not replace those that are in force")]
    Replaces(u64),
    /// Not the certificates that the statement names.
    #[error("the wrapping certificates are not those that the recipients name")]
    Certificates,
    /// A certificate that is not for wrapping.
    #[error("certificate \"{0}\" is not for wrapping keys")]
    NotForWrapping(String),
}

impl Custodians {
    /// Those of the pin.
    pub fn pinned(pin: &exhibit_evidence::Pin) -> Self {
        Self { fingerprints: pin.custodians.iter().map(|certificate| *certificate.fingerprint()).collect(), threshold: pin.threshold }
    }
}

/// Judges who says it: the next set after `in_force` (the pin's custodians before the first), without its wrapping certificates.
pub fn judge_succession(
    trust: &Trust<'_>,
    custodians: &Custodians,
    in_force: Option<&Accepted>,
    signed: &SignedStatement,
    signer: &Certificate,
    approvals: &[Approval],
) -> Result<Accepted, RecipientsError> {
    let set = recipients_of(signed)?;
    if set.scope != trust.camera.to_string() {
        return Err(RecipientsError::Scope(set.scope.clone()));
    }
    if !custodians.fingerprints.contains(signer.fingerprint()) || signed.signer() != signer.fingerprint() {
        return Err(RecipientsError::NotACustodian(signer.common_name().to_owned()));
    }
    let accepted = in_force.map_or(0, |accepted| accepted.number);
    if set.number <= accepted {
        return Err(RecipientsError::Number { accepted, offered: set.number });
    }
    // The first set of a log that goes on for another, after a disaster, may replace none: what it would name is not there.
    let begins_anew = |accepted: &Accepted| set.replaces.is_none() && signed.statement().log != accepted.log;
    if in_force.is_some_and(|accepted| set.replaces != Some(accepted.leaf) && !begins_anew(accepted)) {
        return Err(RecipientsError::Replaces(set.number));
    }
    // Its key, its stream, and the role of a custodian, which alone may state recipients.
    signed.verify(signer, trust.verifier)?;
    check_path(trust, signer, signed.statement().issued)?;
    let (given, threshold) = (people_behind(trust, custodians, signed, signer, approvals), custodians.threshold);
    if given < threshold {
        return Err(RecipientsError::NotApproved { number: set.number, given, threshold });
    }
    Ok(Accepted {
        number: set.number,
        leaf: signed.leaf_hash(),
        log: signed.statement().log,
        next: Custodians { fingerprints: set.custodians.clone(), threshold: set.threshold },
        expires: set.expires,
    })
}

/// How many custodians have signed the set or approved it. A person counts once, with however many certificates.
fn people_behind(trust: &Trust<'_>, custodians: &Custodians, set: &SignedStatement, signer: &Certificate, approvals: &[Approval]) -> u64 {
    let mut people: BTreeSet<String> = signer.identity().map(ToString::to_string).into_iter().collect();
    for approval in approvals {
        let Body::Approve(body) = &approval.signed.statement().body else { continue };
        // An approval names the statement as well, since a leaf says nothing to whoever signs it.
        let means_it = body.entry == set.leaf_hash() && body.statement == set.statement_hash();
        let is_custodians = means_it && custodians.fingerprints.contains(approval.signer.fingerprint());
        // One that does not hold is nobody's word, and takes nothing from the others.
        if is_custodians
            && approval.signed.verify(&approval.signer, trust.verifier).is_ok()
            && check_path(trust, &approval.signer, approval.signed.statement().issued).is_ok()
        {
            people.extend(approval.signer.identity().map(ToString::to_string));
        }
    }
    people.len() as u64
}

/// Judges the wrapping certificates of a set that was accepted. They are judged at the time when the custodian chose them: this camera's clock
/// may be wrong, and what was chosen stays chosen until a custodian says otherwise. `on` is the log whose receipt shows the set.
pub fn judge_certificates(
    trust: &Trust<'_>,
    accepted: Accepted,
    signed: &SignedStatement,
    certificates: Vec<Certificate>,
    on: Hash,
) -> Result<Obeyed, RecipientsError> {
    let set = recipients_of(signed)?;
    let given: Vec<Fingerprint> = certificates.iter().map(|certificate| *certificate.fingerprint()).collect();
    if given != set.recipients || signed.leaf_hash() != accepted.leaf {
        return Err(RecipientsError::Certificates);
    }
    for certificate in &certificates {
        if certificate.purpose() != KeyPurpose::Wrapping {
            return Err(RecipientsError::NotForWrapping(certificate.common_name().to_owned()));
        }
        check_path(trust, certificate, signed.statement().issued)?;
    }
    Ok(Obeyed { accepted, certificates, on })
}

/// The set in a statement.
pub fn recipients_of(signed: &SignedStatement) -> Result<&Recipients, RecipientsError> {
    match &signed.statement().body {
        Body::Recipients(set) => Ok(set),
        other => Err(RecipientsError::Type(other.type_name().to_owned())),
    }
}

fn check_path(trust: &Trust<'_>, certificate: &Certificate, at: Timestamp) -> Result<(), RecipientsError> {
    validate_path(certificate, trust.intermediates, trust.roots, at, trust.verifier)
        .map(drop)
        .map_err(|source| RecipientsError::Path { common_name: certificate.common_name().to_owned(), source })
}

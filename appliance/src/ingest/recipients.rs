//! Recipients: which set comes behind which, what an epoch may obey, and what is lost of both after a disaster.
//!
//! Who may decide is the cameras' to judge, by the custodians that they pinned: here they are asked for where what is missing could never be put there later.

use std::collections::HashSet;

use exhibit_evidence::body::{Epoch, Recipients};
use exhibit_evidence::{Body, Statement, VerifiedStatement};
use exhibit_pki::{Fingerprint, KeyPurpose, Role, Timestamp};
use exhibit_tlog::Hash;

use super::judge::LedgerView;
use super::rules::{RuleError, broken, demand};
use crate::registry::{NewestRecipients, RegistryError};

/// Sets in a row that too few custodians stand behind: who states more of them is to be talked to.
const UNDECIDED_MAX: usize = 64;

/// The set that an epoch obeys is on the log that it is stated to, and of this camera.
pub fn check_epoch(statement: &Statement, epoch: &Epoch, view: &dyn LedgerView) -> Result<(), RuleError> {
    match view.statement(&epoch.recipients)?.as_ref().map(|signed| &signed.statement().body) {
        Some(Body::Recipients(recipients)) if recipients.scope == statement.stream.owner() => Ok(()),
        _ => broken("the epoch obeys a `recipients` that is not on the ledger, or is of another camera"),
    }
}

/// An epoch of a log that was lost waits for the set that it obeys, and for those who decided on that: a verdict asks for both below it, and nobody could
/// ever put them there afterwards. Once custodians have stated a set of this camera to this log, named `log`, without it, they have given it up, and the
/// epoch is admitted as it is.
pub fn check_epoch_of_lost(statement: &Statement, epoch: &Epoch, view: &dyn LedgerView, log: &Hash) -> Result<(), RuleError> {
    let set = view.statement(&epoch.recipients)?;
    let lost = match set.as_ref().map(|signed| &signed.statement().body) {
        Some(Body::Recipients(set)) if set.scope == statement.stream.owner() => match undecided(&epoch.recipients, set, view)? {
            None => return Ok(()),
            Some((given, threshold)) => format!(
                "{given} of the {threshold} custodians who have to stand behind the recipients that the epoch obeys do so here: the others state their \
                 approvals again (`exhibit restate`), or approve {}",
                epoch.recipients
            ),
        },
        _ => "the recipients that the epoch obeys were lost with their log: the custodians state them again (`exhibit restate`), or others in their place"
            .to_owned(),
    };
    if is_begun_anew(statement.stream.owner(), view, log)? { Ok(()) } else { Err(RuleError::RecipientsLost(lost)) }
}

/// Whether custodians have stated recipients of the scope to the log named `log` itself: what was lost of those before is given up.
fn is_begun_anew(scope: &str, view: &dyn LedgerView, log: &Hash) -> Result<bool, RuleError> {
    let Some(newest) = view.newest_recipients(scope)? else { return Ok(false) };
    Ok(view.statement(&newest.leaf)?.is_some_and(|signed| signed.statement().log == *log))
}

/// How many custodians stand behind a set, and how many have to; `None` if so many do, or if nobody can know who has to. That is the set which it
/// replaces; for the first of all its own custodians, since whom cameras pinned is not known here.
fn undecided(leaf: &Hash, set: &Recipients, view: &dyn LedgerView) -> Result<Option<(u64, u64)>, RuleError> {
    let before = match &set.replaces {
        None => set.clone(),
        Some(replaced) => match view.statement(replaced)?.map(|signed| signed.statement().body.clone()) {
            Some(Body::Recipients(before)) => before,
            _ => return Ok(None),
        },
    };
    let given = people_behind(leaf, &before.custodians, view)?;
    Ok((given < before.threshold).then_some((given, before.threshold)))
}

/// What the set replaces is in force, its signer may state it, and whom it names is known.
pub fn check_recipients(
    verified: &VerifiedStatement,
    body: &Recipients,
    view: &dyn LedgerView,
    log: &Hash,
    again: Option<Timestamp>,
    now: Timestamp,
) -> Result<(), RuleError> {
    let lost = match &body.replaces {
        Some(replaced) if again.is_some() && view.statement(replaced)?.is_none() => Some(replaced),
        _ => None,
    };
    match (lost, view.newest_recipients(&body.scope)?) {
        // It is put there for whoever needs to see it, and has no force: see `takes_force`.
        (Some(_), Some(_)) if is_begun_anew(&body.scope, view, log)? => {}
        // One that came before the set that it replaces would bar that for good.
        (Some(replaced), _) => {
            return Err(RuleError::RecipientsLost(format!(
                "it replaces the set {replaced}, which was lost with its log: whoever stated that states it again first (`exhibit restate`). If nobody \
                 can, state recipients of {} anew, with a number above {}; then this one is taken, without force",
                body.scope, body.number
            )));
        }
        (None, None) if body.replaces.is_some() => return broken("it replaces a set that is not there: this is the first of its scope"),
        (None, None) => {}
        (None, Some(newest)) => replaces_that_in_force(verified, body, &newest, view)?,
    }
    // A set that is stated again after a disaster is judged at its time.
    let at = again.unwrap_or(now);
    // Without the certificates on the ledger, no camera could obey the set.
    for fingerprint in &body.recipients {
        demand(fingerprint, view, at, "a recipient", |certificate| certificate.purpose() == KeyPurpose::Wrapping)?;
    }
    let mut people = HashSet::new();
    for fingerprint in &body.custodians {
        let custodian = demand(fingerprint, view, at, "a custodian", |certificate| {
            certificate.purpose() == KeyPurpose::Signing && certificate.has_role(Role::Custodian)
        })?;
        people.extend(custodian.identity().map(ToString::to_string));
    }
    if body.threshold > people.len() as u64 {
        return broken(format!(
            "its custodians are {} people, of whom {} could never decide on the next set",
            people.len(),
            body.threshold
        ));
    }
    Ok(())
}

/// Whether a statement on the log named `log` is the newest set of its scope from then on. One that was stated to a log before, in the place of a set that is
/// not here, is not: nobody can tell who may decide on the next.
pub fn takes_force(statement: &Statement, body: &Recipients, view: &dyn LedgerView, log: &Hash) -> Result<bool, RegistryError> {
    match &body.replaces {
        Some(replaced) if statement.log != *log => Ok(view.statement(replaced)?.is_some()),
        _ => Ok(true),
    }
}

fn replaces_that_in_force(
    verified: &VerifiedStatement,
    body: &Recipients,
    newest: &NewestRecipients,
    view: &dyn LedgerView,
) -> Result<(), RuleError> {
    let in_force = in_force(newest, view)?;
    // Not above that of a set that waits, whose custodian would have the last number for ever.
    if body.replaces != Some(in_force.leaf) || body.number <= in_force.body.number {
        let NewestRecipients { leaf, body } = in_force;
        return broken(format!("number {} of this scope is in force, {leaf}: replace that, with a number above it", body.number));
    }
    if !in_force.body.custodians.contains(verified.signed().signer()) {
        return broken("its signer is not one of the custodians that the set in force names");
    }
    Ok(())
}

/// The newest set that its custodians decided: one that too few of them stand behind replaces nothing, and must not bar the others. The first
/// of all counts as decided, since whom cameras pinned is not known here. Cameras judge it anew.
fn in_force(newest: &NewestRecipients, view: &dyn LedgerView) -> Result<NewestRecipients, RuleError> {
    let mut candidate = newest.clone();
    for _ in 0..UNDECIDED_MAX {
        let Some(replaced) = candidate.body.replaces else { break };
        let before = view.statement(&replaced)?;
        let Some(Body::Recipients(before)) = before.map(|signed| signed.statement().body.clone()) else { break };
        if people_behind(&candidate.leaf, &before.custodians, view)? >= before.threshold {
            break;
        }
        candidate = NewestRecipients { leaf: replaced, body: before };
    }
    Ok(candidate)
}

/// How many of these custodians have signed a statement or an approval of it. A person counts once, with however many certificates; a certificate
/// counts that was good when it signed, whatever has become of it since.
fn people_behind(leaf: &Hash, custodians: &[Fingerprint], view: &dyn LedgerView) -> Result<u64, RuleError> {
    let mut stated: Vec<Hash> = vec![*leaf];
    for custodian in custodians {
        stated.extend(view.approval(leaf, custodian)?);
    }
    let mut people = HashSet::new();
    for stated in stated {
        let Some(signed) = view.statement(&stated)? else { continue };
        if custodians.contains(signed.signer())
            && let Some(Ok(known)) = view.certificate(signed.signer(), signed.statement().issued)?
        {
            people.extend(known.certificate().identity().map(ToString::to_string));
        }
    }
    Ok(people.len() as u64)
}

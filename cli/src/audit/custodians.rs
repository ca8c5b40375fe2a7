//! Who decides: sets of recipients, from the custodians that the anchor pins, and whose approval counts for what.
//!
//! It follows the verdict (`exhibit_evidence::verify`), entry by entry: what no verdict would count, an auditor is told of.

use std::collections::BTreeSet;

use exhibit_evidence::Body;
use exhibit_evidence::body::{Approve, Epoch, Recipients};
use exhibit_pki::{Fingerprint, Subject};
use serde::{Deserialize, Serialize};

use super::finding::{Finding, Kind};
use super::judge::{Candidate, Judge};

/// So many that stand behind a set are kept: as many as there can be custodians.
const BEHIND_MAX: usize = exhibit_evidence::body::CUSTODIANS_MAX;

/// A set of recipients on the log.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Set {
    /// Of which camera.
    pub scope: String,
    /// Its number.
    pub number: u64,
    /// Its entry.
    pub index: u64,
    /// What it replaces, by leaf hash.
    pub replaces: Option<String>,
    /// Who decides on the next, by fingerprint.
    pub custodians: Vec<String>,
    /// How many of them.
    pub threshold: u64,
    /// What an approval has to name beside the leaf.
    pub statement: String,
    /// Whose certificates it names as recipients.
    pub recipients: BTreeSet<String>,
    /// Who stands behind it: certificate and person.
    pub behind: Vec<(String, String)>,
    /// What came of it.
    pub state: Decision,
}

/// What came of a set.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Decision {
    /// Not enough custodians stand behind it.
    Waiting,
    /// It is in force from this entry on, or was.
    From(u64),
    /// It can not be decided any more.
    Refused,
}

impl Judge {
    /// A new set: what it can not be, and whether its signer alone decides it.
    pub(super) fn set(&mut self, candidate: &Candidate<'_>, set: &Recipients, findings: &mut Vec<Finding>) {
        let leaf = candidate.signed.leaf_hash().to_string();
        let signer = hex::encode(candidate.certificate.fingerprint());
        let person = candidate.signed.statement().stream.owner().to_owned();
        let whose = |fingerprint: &Fingerprint| {
            let identity = self.memory.certificates.get(fingerprint)?.identity()?.subject.to_string();
            Some(identity)
        };
        let mut new = Set {
            scope: set.scope.clone(),
            number: set.number,
            index: candidate.index,
            replaces: set.replaces.map(|replaced| replaced.to_string()),
            custodians: set.custodians.iter().map(hex::encode).collect(),
            threshold: set.threshold,
            statement: candidate.signed.statement_hash().to_string(),
            recipients: set.recipients.iter().filter_map(whose).collect(),
            behind: vec![(signer.clone(), person)],
            state: Decision::Waiting,
        };
        if let Some(reason) = self.objection(&new, &signer) {
            let sentence = format!("Set {} of the recipients of {} is none: {reason}.", set.number, set.scope);
            findings.push(Finding::of(Kind::Recipients, candidate.index, sentence));
            new.state = Decision::Refused;
        }
        let is_open = new.state == Decision::Waiting;
        self.memory.sets.insert(&leaf, new);
        if is_open {
            let mut open = self.memory.open_sets.get(&set.scope).cloned().unwrap_or_default();
            open.push(leaf);
            self.memory.open_sets.insert(&set.scope, open);
            self.decide(&set.scope, candidate.index);
        }
    }

    /// Why a set can never be decided, whoever approves of it.
    fn objection(&self, new: &Set, signer: &str) -> Option<String> {
        let current = self.memory.in_force.get(&new.scope);
        let number = current.and_then(|leaf| self.memory.sets.get(leaf)).map_or(0, |set| set.number);
        if new.number <= number {
            return Some(format!("its number is not above {number}, of the set in force"));
        }
        if new.replaces.as_ref() != current {
            let open = self.memory.open_sets.get(&new.scope);
            let waits = new.replaces.as_ref().is_some_and(|replaced| open.is_some_and(|open| open.contains(replaced)));
            // A set that an earlier log knew: who decided on it is not on this one.
            let is_of_before = !self.memory.rest.before.is_empty()
                && new.replaces.as_ref().is_some_and(|replaced| self.memory.sets.get(replaced).is_none());
            if !waits && !is_of_before {
                return Some("it replaces another set than the one in force".to_owned());
            }
        }
        let is_custodian = self.anchor.policy.custodians.is_none() || self.deciders(&new.scope).0.contains(&signer.to_owned());
        if !is_custodian && new.replaces.as_ref() == current {
            return Some("whoever signed it is not one of the custodians".to_owned());
        }
        None
    }

    /// The custodians in force for a scope, and how many of them decide.
    fn deciders(&self, scope: &str) -> (Vec<String>, u64) {
        if let Some(set) = self.memory.in_force.get(scope).and_then(|leaf| self.memory.sets.get(leaf)) {
            return (set.custodians.clone(), set.threshold);
        }
        let Some(pinned) = &self.anchor.policy.custodians else { return (Vec::new(), 0) };
        (pinned.certificates.iter().map(|certificate| hex::encode(certificate.fingerprint())).collect(), pinned.threshold)
    }

    /// Puts in force what enough custodians stand behind, one after the other.
    fn decide(&mut self, scope: &str, index: u64) {
        loop {
            let (custodians, threshold) = self.deciders(scope);
            let current = self.memory.in_force.get(scope).cloned();
            let number = current.as_ref().and_then(|leaf| self.memory.sets.get(leaf)).map_or(0, |set| set.number);
            let is_judged = self.anchor.policy.custodians.is_some();
            let of_before = |set: &Set| {
                !self.memory.rest.before.is_empty()
                    && current.is_none()
                    && set.replaces.as_ref().is_some_and(|replaced| self.memory.sets.get(replaced).is_none())
            };
            let holds = |set: &Set| {
                let people: BTreeSet<&str> =
                    set.behind.iter().filter(|(signer, _)| custodians.contains(signer)).map(|(_, person)| &**person).collect();
                // Who states a set decides on it, as whoever approves it does.
                let is_custodians = set.behind.first().is_some_and(|(signer, _)| custodians.contains(signer));
                let is_decided = !is_judged || is_custodians && people.len() as u64 >= threshold;
                set.number > number && (set.replaces == current || of_before(set)) && is_decided
            };
            let open = self.memory.open_sets.get(scope).cloned().unwrap_or_default();
            let Some(leaf) = open.iter().find(|leaf| self.memory.sets.get(leaf).is_some_and(holds)).cloned() else { return };
            let set = self.memory.sets.change(&leaf).expect("it was just found");
            set.state = Decision::From(index.max(set.index));
            let recipients = set.recipients.clone();
            let mut named = self.memory.recipients.get(scope).cloned().unwrap_or_default();
            named.extend(recipients);
            self.memory.recipients.insert(scope, named);
            self.memory.in_force.insert(scope, leaf.clone());
            // Others wait on only if they replace this one, or one that waits itself.
            self.memory.open_sets.insert(scope, open.into_iter().filter(|other| *other != leaf).collect());
        }
    }

    /// A custodian's word for a set, or for a second certificate.
    pub(super) fn approve(&mut self, candidate: &Candidate<'_>, body: &Approve) {
        let leaf = body.entry.to_string();
        // An approval names the statement as well, since a leaf says nothing to whoever signs it.
        let statement = body.statement.to_string();
        let signer = hex::encode(candidate.certificate.fingerprint());
        let person = candidate.signed.statement().stream.owner().to_owned();
        if let Some(set) = self.memory.sets.get(&leaf).filter(|set| set.state == Decision::Waiting && set.statement == statement) {
            let scope = set.scope.clone();
            let known = set.behind.len() >= BEHIND_MAX || set.behind.iter().any(|(behind, _)| *behind == signer);
            if !known {
                self.memory.sets.change(&leaf).expect("it was just found").behind.push((signer, person));
                self.decide(&scope, candidate.index);
            }
            return;
        }
        self.approve_second(candidate.index, &leaf, &statement, &signer);
    }

    /// Whether a certificate is a custodian's in force where it matters to somebody: of a camera's own set, else of any. Who was dismissed
    /// approves of nothing. Without pinned custodians the role is all that is known.
    pub(super) fn is_custodian(&self, of: Option<&Subject>, signer: &str) -> bool {
        let Some(pinned) = &self.anchor.policy.custodians else { return true };
        let is_pinned = || pinned.certificates.iter().any(|certificate| hex::encode(certificate.fingerprint()) == signer);
        let of = of.map(ToString::to_string).unwrap_or_default();
        if of.starts_with("camera/") {
            return self.deciders(&of).0.iter().any(|custodian| custodian == signer);
        }
        let mut in_force = self.memory.in_force.iter().filter_map(|(_, leaf)| self.memory.sets.get(leaf)).peekable();
        if in_force.peek().is_none() { is_pinned() } else { in_force.any(|set| set.custodians.iter().any(|custodian| custodian == signer)) }
    }

    /// What a camera obeys from an epoch on. Gives the number of it.
    pub(super) fn obeys(&mut self, candidate: &Candidate<'_>, epoch: &Epoch, findings: &mut Vec<Finding>) -> u64 {
        let (index, statement) = (candidate.index, candidate.signed.statement());
        let mut bad = |sentence: String| findings.push(Finding::of(Kind::Recipients, index, sentence));
        let set = self.memory.sets.get(&epoch.recipients.to_string()).filter(|set| set.scope == statement.stream.owner());
        let Some(set) = set else {
            if statement.log == self.anchor.log {
                bad("The camera obeys recipients that are not on the log, or not its own.".to_owned());
            }
            return 0;
        };
        if !matches!(set.state, Decision::From(from) if from < index) {
            bad(format!("The camera obeys recipients number {} that its custodians did not decide.", set.number));
        }
        let before = epoch.continues.previous.as_ref().and_then(|previous| self.memory.streams.get(previous.stream.as_str()));
        if let Some(before) = before.filter(|before| before.obeyed > set.number) {
            bad(format!("The camera obeys recipients number {} after number {}: it was set back.", set.number, before.obeyed));
        }
        set.number
    }

    /// Whether an entry is a camera's epoch, and what it obeys.
    pub(super) fn obeyed(&mut self, candidate: &Candidate<'_>, findings: &mut Vec<Finding>) -> Option<u64> {
        match &candidate.signed.statement().body {
            Body::Epoch(epoch) => Some(self.obeys(candidate, epoch, findings)),
            _ => None,
        }
    }
}

//! Second certificates: who certifies cameras and people could give anybody's name to another key. It counts only with a custodian's approval.
//!
//! It follows the verdict's rule (`exhibit_evidence::verify`), entry by entry: a certificate that goes on signing was live, whatever an authority
//! has said of it. That the first was taken back or has expired is the authority's word: where the anchor pins custodians, they approve all the same.

use std::collections::HashSet;
use std::sync::Arc;

use exhibit_evidence::body::CertificateBody;
use exhibit_pki::{Certificate, PublicKey};
use serde::{Deserialize, Serialize};

use super::finding::{Finding, Kind};
use super::judge::{Candidate, Judge};

/// So many certificates of one identity are compared with a new one: each beyond the first is told already.
const OTHERS_MAX: usize = 16;

/// A certificate that somebody got beside another.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Second {
    /// Itself, by fingerprint.
    pub own: String,
    /// Whose.
    pub who: String,
    /// What an approval has to name beside the leaf.
    pub statement: String,
    /// The one that it says to replace.
    pub replaces: Option<String>,
    /// Those that were live when it came, or have signed since.
    pub live: Vec<String>,
    /// Those that were expired or taken back when it came.
    pub dead: Vec<String>,
    /// A custodian approved before it was used.
    pub approved: bool,
    /// It has signed something.
    pub used: bool,
    /// It was told.
    pub told: bool,
}

impl Second {
    /// It names one that it replaces: of those that are live, if any is.
    fn replaces(&self) -> bool {
        let others = if self.live.is_empty() { &self.dead } else { &self.live };
        self.replaces.as_ref().is_some_and(|replaced| others.contains(replaced))
    }

    /// Why it does not count.
    fn objection(&self) -> Option<&'static str> {
        match (self.replaces(), self.approved) {
            (true, true) => None,
            (false, _) => Some("it does not say that it replaces that"),
            (true, false) => Some("no custodian approved of it before it was used"),
        }
    }

    /// `is_pinned`: the anchor names custodians, so that one has to approve even if nothing else is live.
    fn tell(&mut self, index: u64, is_pinned: bool, findings: &mut Vec<Finding>) {
        let is_alarm = is_pinned || !self.live.is_empty();
        if let Some(reason) = self.objection().filter(|_| is_alarm && !self.told) {
            self.told = true;
            let beside = self.live.first().or(self.dead.first()).map_or("", String::as_str);
            let how = if self.live.is_empty() { "after" } else { "beside" };
            let sentence = format!("{} has a second certificate, {}, {how} {beside}: {reason}.", self.who, self.own);
            findings.push(Finding::of(Kind::SecondCertificate, index, sentence));
        }
    }
}

impl Judge {
    /// A certificate is introduced. One without a word of what it replaces is told at once; else when it is used, unless it was approved.
    pub(super) fn introduced(&mut self, candidate: &Candidate<'_>, own: &Certificate, body: &CertificateBody, findings: &mut Vec<Finding>) {
        let index = candidate.index;
        let at = candidate.signed.statement().issued;
        let who = own.identity().map_or_else(|| own.common_name().to_owned(), ToString::to_string);
        if let Some(replaced) = body.replaces {
            let sentence = format!("{who} got a certificate that replaces {}.", hex::encode(replaced));
            findings.push(Finding::of(Kind::Replacement, index, sentence));
        }
        let others = self.memory.certificates.others(own, index);
        let counting = self.keys_that_count(&others);
        if others.is_empty() || counting.contains(own.public_key()) {
            return;
        }
        let others = others.iter().filter(|other| other.public_key() != own.public_key());
        let (live, dead): (Vec<_>, Vec<_>) = others.take(OTHERS_MAX).partition(|other| {
            let revoked = self.memory.revoked.get(&hex::encode(other.fingerprint()));
            // A certificate lives to the end of its last second.
            revoked.is_none_or(|revoked| revoked.since_ms > at.unix_ms()) && other.not_after().unix_s() >= at.unix_s()
        });
        let names = |all: Vec<&Arc<Certificate>>| all.into_iter().map(|other| hex::encode(other.fingerprint())).collect();
        let mut second = Second {
            own: hex::encode(own.fingerprint()),
            who,
            statement: candidate.signed.statement_hash().to_string(),
            replaces: body.replaces.map(hex::encode),
            live: names(live),
            dead: names(dead),
            approved: false,
            used: false,
            told: false,
        };
        if !second.replaces() {
            second.tell(index, self.anchor.policy.custodians.is_some(), findings);
        }
        if body.replaces.is_none() && !second.told {
            let sentence =
                format!("{} got a certificate of another key than before, {}, by the authority's word alone.", second.who, second.own);
            findings.push(Finding::of(Kind::Replacement, index, sentence));
        }
        self.memory.seconds.insert(&candidate.signed.leaf_hash().to_string(), second);
        self.watch_seconds();
    }

    /// Of the keys that somebody has had certificates of, in the order of the log: the first, or what a custodian approved in its place.
    fn keys_that_count(&self, others: &[Arc<Certificate>]) -> HashSet<PublicKey> {
        let mut keys = HashSet::new();
        for certificate in others {
            let own = hex::encode(certificate.fingerprint());
            let seconds = self.watched.get(&own).into_iter().flatten().filter_map(|leaf| self.memory.seconds.get(leaf));
            let Some(second) = seconds.filter(|second| second.own == own).find(|second| second.objection().is_none()) else {
                if keys.is_empty() {
                    keys.insert(certificate.public_key().clone());
                }
                continue;
            };
            let replaced = others.iter().find(|other| second.replaces.as_ref() == Some(&hex::encode(other.fingerprint())));
            replaced.map(|replaced| keys.remove(replaced.public_key()));
            keys.insert(certificate.public_key().clone());
        }
        keys
    }

    /// By fingerprint: in which seconds a certificate plays a part.
    pub(super) fn watch_seconds(&mut self) {
        self.watched.clear();
        for (leaf, second) in self.memory.seconds.iter() {
            for name in second.dead.iter().chain([&second.own]) {
                self.watched.entry(name.clone()).or_default().push(leaf.to_owned());
            }
        }
    }

    /// A certificate has signed an entry: then a second one is in use, and one that was thought dead is not.
    pub(super) fn signed_by(&mut self, candidate: &Candidate<'_>, findings: &mut Vec<Finding>) {
        if self.watched.is_empty() {
            return;
        }
        let signer = hex::encode(candidate.certificate.fingerprint());
        let is_pinned = self.anchor.policy.custodians.is_some();
        for leaf in self.watched.get(&signer).cloned().unwrap_or_default() {
            let Some(second) = self.memory.seconds.get(&leaf) else { continue };
            if (second.own == signer && second.used) || (second.own != signer && second.live.contains(&signer)) {
                continue;
            }
            let second = self.memory.seconds.change(&leaf).expect("it was just found");
            if second.own == signer {
                second.used = true;
            } else {
                second.live.push(signer.clone());
            }
            if second.used {
                second.tell(candidate.index, is_pinned, findings);
            }
        }
    }

    /// A custodian's word for a second certificate that was not used yet.
    pub(super) fn approve_second(&mut self, leaf: &str, statement: &str, signer: &str) {
        let Some(second) = self.memory.seconds.get(leaf) else { return };
        let identity = hex::decode(&second.own).ok().and_then(|own| own.try_into().ok());
        let certificate = identity.and_then(|own: [u8; 32]| self.memory.certificates.get(&own));
        let second = self.memory.seconds.get(leaf).expect("it was just found");
        let subject = certificate.as_ref().and_then(|certificate| certificate.identity()).map(|identity| &identity.subject);
        let counts = second.statement == statement && second.own != signer && !second.used && self.is_custodian(subject, signer);
        if counts {
            self.memory.seconds.change(leaf).expect("it was just found").approved = true;
        }
    }
}

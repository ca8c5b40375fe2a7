//! Second certificates: who certifies cameras and people could give anybody's name to another key. It counts only with a custodian's approval.
//!
//! It follows the verdict's rule (`exhibit_evidence::verify`), entry by entry: a certificate that goes on signing was live, whatever an authority
//! has said of it. That the first was taken back or has expired is the authority's word: where the anchor pins custodians, they approve all the same.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;

use exhibit_evidence::body::CertificateBody;
use exhibit_pki::{Certificate, Fingerprint, PublicKey};
use serde::{Deserialize, Serialize};

use super::certificates::{Certificates, Holder, holder};
use super::finding::{Finding, Kind};
use super::judge::{Candidate, Judge};
use super::memory::Kept;

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
    /// That was on the log below it, and of the same identity.
    pub replaces_known: bool,
    /// Those that were live when it came, or have signed since.
    pub live: Vec<String>,
    /// Those that were expired or taken back when it came.
    pub dead: Vec<String>,
    /// Where a custodian approved first, before it was used.
    pub approved: Option<u64>,
    /// It has signed something.
    pub used: bool,
    /// It was told.
    pub told: bool,
}

impl Second {
    /// It names one that it replaces: of those that are live, if any is.
    fn replaces(&self) -> bool {
        if self.live.is_empty() { self.replaces_known } else { self.replaces.as_ref().is_some_and(|replaced| self.live.contains(replaced)) }
    }

    /// Why it does not count.
    fn objection(&self) -> Option<&'static str> {
        match (self.replaces(), self.approved.is_some()) {
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

/// Where to look for second certificates: the leaves of their introductions.
#[derive(Default)]
pub struct Watched {
    /// By the fingerprint of a certificate that plays a part in it.
    by_certificate: HashMap<String, Vec<String>>,
    /// By whose they are.
    of: HashMap<String, Vec<String>>,
}

impl Watched {
    /// Of all that are known.
    pub fn of(seconds: &Kept<Second>) -> Self {
        let mut watched = Self::default();
        seconds.iter().for_each(|(leaf, second)| watched.add(leaf, second));
        watched
    }

    fn add(&mut self, leaf: &str, second: &Second) {
        for name in second.dead.iter().chain([&second.own]) {
            self.by_certificate.entry(name.clone()).or_default().push(leaf.to_owned());
        }
        self.of.entry(second.who.clone()).or_default().push(leaf.to_owned());
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
        let holder = holder(own);
        let certificates = &mut self.memory.certificates;
        let others = certificates.first_of(&holder, index, OTHERS_MAX);
        let Some(first) = others.first() else { return };
        if certificates.was_introduced_below(&holder, own.fingerprint(), index) {
            return;
        }
        let replaces_known = body.replaces.is_some_and(|replaced| certificates.was_introduced_below(&holder, &replaced, index));
        if self.keys_that_count(&holder, first.public_key()).contains(own.public_key()) {
            return;
        }
        let others = others.iter().filter(|other| other.public_key() != own.public_key());
        let (live, dead): (Vec<_>, Vec<_>) = others.partition(|other| {
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
            replaces_known,
            live: names(live),
            dead: names(dead),
            approved: None,
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
        let leaf = candidate.signed.leaf_hash().to_string();
        self.watched.add(&leaf, &second);
        self.memory.seconds.insert(&leaf, second);
    }

    /// Of the keys that somebody has had certificates of: the first, or what a custodian approved in its place, from that approval on.
    fn keys_that_count(&mut self, holder: &Holder, first: &PublicKey) -> &HashSet<PublicKey> {
        if !self.counting.contains_key(holder) {
            let seconds = self.watched.of.get(&holder.0).into_iter().flatten().filter_map(|leaf| self.memory.seconds.get(leaf));
            let approved = seconds.filter(|second| second.objection().is_none());
            let approved: BTreeMap<u64, Change> = approved.filter_map(|second| Some((second.approved?, Change::of(second)?))).collect();
            let mut keys = HashSet::from([first.clone()]);
            for change in approved.into_values() {
                change.apply(holder, &mut self.memory.certificates, &mut keys);
            }
            self.counting.insert(holder.clone(), keys);
        }
        &self.counting[holder]
    }

    /// A certificate has signed an entry: then a second one is in use, and one that was thought dead is not.
    pub(super) fn signed_by(&mut self, candidate: &Candidate<'_>, findings: &mut Vec<Finding>) {
        let signer = hex::encode(candidate.certificate.fingerprint());
        let is_pinned = self.anchor.policy.custodians.is_some();
        // Once is enough: whoever signs a million entries would have all of it looked at a million times.
        for leaf in self.watched.by_certificate.remove(&signer).unwrap_or_default() {
            let Some(second) = self.memory.seconds.get(&leaf) else { continue };
            if (second.own == signer && second.used) || (second.own != signer && second.live.contains(&signer)) {
                continue;
            }
            let second = self.memory.seconds.change(&leaf).expect("it was just found");
            if second.own == signer {
                second.used = true;
            } else {
                second.live.push(signer.clone());
                // It may count no more.
                let own = fingerprint(&second.own).and_then(|own| self.memory.certificates.get(&own));
                own.map(|own| self.counting.remove(&holder(&own)));
            }
            if second.used {
                second.tell(candidate.index, is_pinned, findings);
            }
        }
    }

    /// A custodian's word for a second certificate that was not used yet.
    pub(super) fn approve_second(&mut self, index: u64, leaf: &str, statement: &str, signer: &str) {
        let Some(second) = self.memory.seconds.get(leaf) else { return };
        let certificate = fingerprint(&second.own).and_then(|own| self.memory.certificates.get(&own));
        let second = self.memory.seconds.get(leaf).expect("it was just found");
        let subject = certificate.as_ref().and_then(|certificate| certificate.identity()).map(|identity| &identity.subject);
        let counts = second.statement == statement && second.own != signer && !second.used && self.is_custodian(subject, signer);
        if !counts || second.approved.is_some() {
            return;
        }
        let second = self.memory.seconds.change(leaf).expect("it was just found");
        second.approved = Some(index);
        let change = Change::of(second).filter(|_| second.objection().is_none());
        let holder = certificate.as_ref().map(|certificate| holder(certificate));
        if let (Some(change), Some(holder)) = (change, holder)
            && let Some(keys) = self.counting.get_mut(&holder)
        {
            change.apply(&holder, &mut self.memory.certificates, keys);
        }
    }
}

/// One key in the place of another, by certificates of theirs.
struct Change {
    own: Fingerprint,
    replaced: Fingerprint,
}

impl Change {
    fn of(second: &Second) -> Option<Self> {
        Some(Self { own: fingerprint(&second.own)?, replaced: fingerprint(second.replaces.as_ref()?)? })
    }

    /// Nothing, if the certificate is for something else than those of the holder.
    fn apply(self, of: &Holder, certificates: &mut Certificates, keys: &mut HashSet<PublicKey>) {
        let Some(own) = certificates.get(&self.own).filter(|own| holder(own) == *of) else { return };
        if let Some(replaced) = certificates.get(&self.replaced) {
            keys.remove(replaced.public_key());
        }
        keys.insert(own.public_key().clone());
    }
}

fn fingerprint(hexadecimal: &str) -> Option<Fingerprint> {
    hex::decode(hexadecimal).ok()?.try_into().ok()
}

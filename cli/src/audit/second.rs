//! Second certificates: who certifies cameras and people could give anybody's name to another key. It counts only with a custodian's approval.
//!
//! It follows the verdict's rule (`exhibit_evidence::verify`), entry by entry: a certificate that goes on signing was live, whatever an authority
//! has said of it.

use exhibit_evidence::body::CertificateBody;
use exhibit_pki::Certificate;
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
    /// Why it does not count; nothing if it does, or if it is the only one.
    fn objection(&self) -> Option<&'static str> {
        let replaces = self.replaces.as_ref().is_some_and(|replaced| self.live.contains(replaced));
        match (self.live.is_empty(), replaces, self.approved) {
            (true, ..) | (_, true, true) => None,
            (_, false, _) => Some("it does not say that it replaces that"),
            (_, true, false) => Some("no custodian approved of it before it was used"),
        }
    }

    fn tell(&mut self, index: u64, findings: &mut Vec<Finding>) {
        if let Some(reason) = self.objection().filter(|_| !self.told) {
            self.told = true;
            let beside = self.live.first().map_or("", String::as_str);
            let sentence = format!("{} has a second certificate, {}, beside {beside}: {reason}.", self.who, self.own);
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
        if others.is_empty() {
            return;
        }
        let (live, dead): (Vec<_>, Vec<_>) = others.iter().take(OTHERS_MAX).partition(|other| {
            let revoked = self.memory.revoked.get(&hex::encode(other.fingerprint()));
            // One for a day to come takes nothing back yet. A certificate lives to the end of its last second.
            !revoked.is_some_and(|revoked| revoked.at_once) && other.not_after().unix_s() >= at.unix_s()
        });
        let names = |all: Vec<&std::sync::Arc<Certificate>>| all.into_iter().map(|other| hex::encode(other.fingerprint())).collect();
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
        let replaces = second.replaces.as_ref().is_some_and(|replaced| second.live.contains(replaced));
        if !replaces {
            second.tell(index, findings);
        }
        self.memory.seconds.insert(&candidate.signed.leaf_hash().to_string(), second);
        self.watch_seconds();
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
                second.tell(candidate.index, findings);
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

//! Second certificates: who certifies cameras and people could give anybody's name to another key. It counts only with a custodian's approval.
//!
//! That the first was taken back or has expired is the authority's own word: it makes of what would be bad what is undecided, and never nothing.

use std::collections::{BTreeMap, HashMap, HashSet};

use exhibit_pki::{Certificate, Fingerprint, Identity, KeyPurpose, PublicKey, Timestamp};

use super::Judgement;
use super::approvals::Approvals;
use super::entries::{Entries, Entry};
use super::recipients::Custodians;
use super::time::Times;
use crate::Body;
use crate::verdict::{Axis, FindingKind, Grade};

/// So many certificates of one identity are asked whether they are live: each key beyond the first is told already.
const LIVE_MAX: usize = 16;

/// `custodians` are those that the anchor pins and whom they decided on; without them any certificate with the role counts.
pub(super) fn judge(
    judgement: &mut Judgement<'_>,
    entries: &Entries,
    approvals: &Approvals<'_>,
    custodians: Option<&Custodians>,
    times: &Times,
) {
    let uses = Uses::of(entries);
    let mut known: HashMap<(&Identity, KeyPurpose), Known<'_>> = HashMap::new();
    let mut revoked: HashMap<Fingerprint, Timestamp> = HashMap::new();
    for entry in &entries.held {
        if let Body::CertificateRevocation(body) = &entry.statement().body {
            revoked.entry(body.fingerprint).and_modify(|since| *since = body.since.min(*since)).or_insert(body.since);
        }
        let Some(certificate) = entries.certificates.introduced_by(entry.index) else { continue };
        let Some(identity) = certificate.identity() else { continue };
        let known = known.entry((identity, certificate.purpose())).or_default();
        known.reach(entry.index);
        if known.is_another_key(certificate) {
            let at = introduced_at(entry, times);
            // Whatever the authority says of it and of the time, a certificate that goes on signing is live.
            let is_live = |other: &Certificate| is_live(other, &revoked, at) || uses.after(other, entry.index);
            let others = known.compared.iter().filter(|other| other.public_key() != certificate.public_key());
            let live: Vec<Fingerprint> = others.filter(|other| is_live(other)).map(|other| *other.fingerprint()).collect();
            let used = uses.first(certificate);
            let approved = replaced(entry, known, &live).and_then(|replaced| {
                let approved = approved_at(entry, certificate, approvals, custodians, used);
                approved.map(|approved| (approved, replaced)).ok_or("no custodian approved of it before it was used")
            });
            let second = Second { beside: !live.is_empty(), used: used.is_some(), objection: approved.err(), pinned: custodians.is_some() };
            tell(judgement, entry, identity, &second);
            if let Ok((approved, replaced)) = approved {
                known.approved.insert(approved, (certificate.public_key(), replaced));
            }
        }
        known.add(certificate);
    }
}

/// What an identity has had so far.
#[derive(Default)]
struct Known<'a> {
    all: HashMap<Fingerprint, &'a PublicKey>,
    /// Those that count: the first key, or what a custodian approved in its place.
    keys: HashSet<&'a PublicKey>,
    /// By the entry that approved: the key that counts from there on, and the one in whose place. An entry approves of one.
    approved: BTreeMap<u64, (&'a PublicKey, &'a PublicKey)>,
    /// Of the first certificates.
    compared: Vec<&'a Certificate>,
}

impl<'a> Known<'a> {
    /// Whoever has a key that counts is who they were: a certificate that is renewed is none that comes second. Nor is one that is repeated.
    fn is_another_key(&self, certificate: &Certificate) -> bool {
        !self.keys.is_empty() && !self.keys.contains(certificate.public_key()) && !self.all.contains_key(certificate.fingerprint())
    }

    /// What was approved below an entry counts there: a custodian's word says nothing of what came before it.
    fn reach(&mut self, index: u64) {
        while let Some(first) = self.approved.first_entry().filter(|approval| *approval.key() < index) {
            let (key, replaced) = first.remove();
            self.keys.remove(replaced);
            self.keys.insert(key);
        }
    }

    fn add(&mut self, certificate: &'a Certificate) {
        if self.keys.is_empty() {
            self.keys.insert(certificate.public_key());
        }
        let is_new = self.all.insert(*certificate.fingerprint(), certificate.public_key()).is_none();
        if is_new && self.compared.len() < LIVE_MAX {
            self.compared.push(certificate);
        }
    }
}

/// When a certificate was introduced at the latest: by the authority's clock, or before, if others say so.
fn introduced_at(entry: &Entry, times: &Times) -> Timestamp {
    let issued = entry.statement().issued;
    times.of(entry).not_after.external.as_ref().map_or(issued, |bound| bound.at.min(issued))
}

/// A certificate lives to the end of the second in which it expires (docs/formats/certificates.md).
fn is_live(certificate: &Certificate, revoked: &HashMap<Fingerprint, Timestamp>, at: Timestamp) -> bool {
    revoked.get(certificate.fingerprint()).is_none_or(|since| *since > at) && certificate.not_after().unix_s() >= at.unix_s()
}

/// What is known of a certificate of another key.
struct Second {
    /// Another is live.
    beside: bool,
    /// It signed an entry of the bundle.
    used: bool,
    /// Why it does not count.
    objection: Option<&'static str>,
    /// The anchor says who the custodians are.
    pinned: bool,
}

fn tell(judgement: &mut Judgement<'_>, entry: &Entry, identity: &Identity, second: &Second) {
    let index = entry.index;
    let (grade, kind, sentence) = match second.objection {
        None => {
            let sentence = format!("From entry {index} on {identity} has another key than before, and a custodian approved of it.");
            (Grade::NotDemanded, FindingKind::KeyReplaced, sentence)
        }
        Some(reason) if second.beside => {
            let grade = if second.used { Grade::Bad } else { Grade::NotDemanded };
            let sentence = format!("Entry {index} introduces a second live certificate of {identity}: {reason}.");
            (grade, FindingKind::SecondCertificate, sentence)
        }
        Some(reason) => {
            let grade = if second.used && second.pinned { Grade::Undecided } else { Grade::NotDemanded };
            let sentence =
                format!("From entry {index} on {identity} has another key than before, by the authority's word alone: {reason}.");
            (grade, FindingKind::KeyReplaced, sentence)
        }
    };
    judgement.find(Axis::Signature, grade, kind, entry.place(), sentence);
}

/// The indexes of the first and the last entry that each certificate signed.
struct Uses(HashMap<Fingerprint, (u64, u64)>);

impl Uses {
    fn of(entries: &Entries) -> Self {
        let mut uses: HashMap<Fingerprint, (u64, u64)> = HashMap::new();
        for entry in entries.all() {
            let (first, last) = uses.entry(*entry.signer().fingerprint()).or_insert((entry.index, entry.index));
            (*first, *last) = (entry.index.min(*first), entry.index.max(*last));
        }
        Self(uses)
    }

    fn first(&self, certificate: &Certificate) -> Option<u64> {
        self.0.get(certificate.fingerprint()).map(|(first, _)| *first)
    }

    fn after(&self, certificate: &Certificate, index: u64) -> bool {
        self.0.get(certificate.fingerprint()).is_some_and(|(_, last)| *last > index)
    }
}

/// The key in whose place an entry says to introduce another: of one that is live, if any is.
fn replaced<'a>(entry: &Entry, known: &Known<'a>, live: &[Fingerprint]) -> Result<&'a PublicKey, &'static str> {
    let replaced = match &entry.statement().body {
        Body::Certificate(body) => body.replaces,
        _ => None,
    };
    let replaced = replaced.filter(|replaced| live.is_empty() || live.contains(replaced));
    replaced.and_then(|replaced| known.all.get(&replaced).copied()).ok_or("it does not say that it replaces the first")
}

/// Where on the log a custodian approved of a second certificate, if that was before it was used.
fn approved_at(
    entry: &Entry,
    certificate: &Certificate,
    approvals: &Approvals<'_>,
    custodians: Option<&Custodians>,
    first_use: Option<u64>,
) -> Option<u64> {
    let approval = approvals.of(entry).iter().find(|approval| {
        let signer = approval.signer().fingerprint();
        let counts = custodians.is_none_or(|custodians| custodians.hold(approval.index, signer)) && signer != certificate.fingerprint();
        counts && first_use.is_none_or(|used| approval.index < used)
    });
    approval.map(|approval| approval.index)
}

//! Second certificates: who certifies cameras and people could give anybody's name to another key. It counts only with a custodian's approval.

use std::collections::{HashMap, HashSet};

use exhibit_pki::{Certificate, Fingerprint, Identity, KeyPurpose, Timestamp};

use super::Judgement;
use super::approvals::Approvals;
use super::entries::{Entries, Entry};
use super::recipients::Custodians;
use crate::Body;
use crate::verdict::{Axis, FindingKind, Grade};

/// So many live certificates of one identity are compared: each beyond the first is told already.
const LIVE_MAX: usize = 16;

/// `custodians` are those that the anchor pins and whom they decided on; without them any certificate with the role counts.
pub(super) fn judge(judgement: &mut Judgement<'_>, entries: &Entries, approvals: &Approvals<'_>, custodians: Option<&Custodians>) {
    let uses = Uses::of(entries);
    let mut live: HashMap<(&Identity, KeyPurpose), Vec<&Certificate>> = HashMap::new();
    let mut revoked: HashSet<Fingerprint> = HashSet::new();
    for entry in &entries.held {
        // One for a day to come takes nothing back yet.
        if let Body::CertificateRevocation(body) = &entry.statement().body
            && body.since <= entry.statement().issued
        {
            revoked.insert(body.fingerprint);
        }
        let Some(certificate) = entries.certificates.introduced_by(entry.index) else { continue };
        let Some(identity) = certificate.identity() else { continue };
        let of_identity = live.entry((identity, certificate.purpose())).or_default();
        let issued = entry.statement().issued;
        // Whatever the authority says of it and of the time, a certificate that goes on signing is live.
        of_identity.retain(|other| is_live(other, &revoked, issued) || uses.after(other, entry.index));
        if of_identity.iter().any(|other| other.fingerprint() == certificate.fingerprint()) {
            continue;
        }
        if !of_identity.is_empty() {
            let used = uses.first(certificate);
            if let Err(reason) = approved(entry, certificate, of_identity, approvals, custodians, used) {
                let grade = if used.is_some() { Grade::Bad } else { Grade::NotDemanded };
                let sentence = format!("Entry {} introduces a second live certificate of {identity}: {reason}.", entry.index);
                judgement.find(Axis::Signature, grade, FindingKind::SecondCertificate, entry.place(), sentence);
            }
        }
        if of_identity.len() < LIVE_MAX {
            of_identity.push(certificate);
        }
    }
}

/// A certificate lives to the end of the second in which it expires (docs/formats/certificates.md).
fn is_live(certificate: &Certificate, revoked: &HashSet<Fingerprint>, at: Timestamp) -> bool {
    !revoked.contains(certificate.fingerprint()) && certificate.not_after().unix_s() >= at.unix_s()
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

fn approved(
    entry: &Entry,
    certificate: &Certificate,
    live: &[&Certificate],
    approvals: &Approvals<'_>,
    custodians: Option<&Custodians>,
    first_use: Option<u64>,
) -> Result<(), &'static str> {
    let replaced = match &entry.statement().body {
        Body::Certificate(body) => body.replaces,
        _ => None,
    };
    if !replaced.is_some_and(|replaced| live.iter().any(|other| *other.fingerprint() == replaced)) {
        return Err("it does not say that it replaces the first");
    }
    let by_custodian = approvals.of(entry).iter().any(|approval| {
        let signer = approval.signer().fingerprint();
        let counts = custodians.is_none_or(|custodians| custodians.hold(approval.index, signer)) && signer != certificate.fingerprint();
        counts && first_use.is_none_or(|used| approval.index < used)
    });
    if by_custodian { Ok(()) } else { Err("no custodian approved of it before it was used") }
}

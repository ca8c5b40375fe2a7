//! Second certificates: who certifies cameras and people could give anybody's name to another key. It counts only with a custodian's approval.

use std::collections::{HashMap, HashSet};

use exhibit_pki::{Certificate, Fingerprint, Identity, KeyPurpose, Timestamp};

use super::Judgement;
use super::approvals::Approvals;
use super::entries::{Entries, Entry};
use crate::Body;
use crate::verdict::{Axis, FindingKind, Grade};

/// So many live certificates of one identity are compared: each beyond the first is told already.
const LIVE_MAX: usize = 16;

/// A certificate that an entry introduced and that was not taken back since.
struct Live<'a> {
    certificate: &'a Certificate,
}

/// `custodians` are those that the anchor's pinned ones decided on; without them any certificate with the role counts.
pub(super) fn judge(
    judgement: &mut Judgement<'_>,
    entries: &Entries,
    approvals: &Approvals<'_>,
    custodians: Option<&HashSet<Fingerprint>>,
) {
    let first_use = first_use(entries);
    let mut live: HashMap<(&Identity, KeyPurpose), Vec<Live<'_>>> = HashMap::new();
    let mut revoked: HashSet<Fingerprint> = HashSet::new();
    for entry in &entries.held {
        if let Body::CertificateRevocation(body) = &entry.statement().body {
            revoked.insert(body.fingerprint);
        }
        let Some(certificate) = entries.certificates.introduced_by(entry.index) else { continue };
        let Some(identity) = certificate.identity() else { continue };
        let of_identity = live.entry((identity, certificate.purpose())).or_default();
        let issued = entry.statement().issued;
        of_identity.retain(|other| is_live(other.certificate, &revoked, issued));
        if of_identity.iter().any(|other| other.certificate.fingerprint() == certificate.fingerprint()) {
            continue;
        }
        if !of_identity.is_empty() {
            let used = first_use.get(certificate.fingerprint()).copied();
            if let Err(reason) = approved(entry, certificate, of_identity, approvals, custodians, used) {
                let grade = if used.is_some() { Grade::Bad } else { Grade::NotDemanded };
                let sentence = format!("Entry {} introduces a second live certificate of {identity}: {reason}.", entry.index);
                judgement.find(Axis::Signature, grade, FindingKind::SecondCertificate, entry.place(), sentence);
            }
        }
        if of_identity.len() < LIVE_MAX {
            of_identity.push(Live { certificate });
        }
    }
}

fn is_live(certificate: &Certificate, revoked: &HashSet<Fingerprint>, at: Timestamp) -> bool {
    !revoked.contains(certificate.fingerprint()) && certificate.not_after() >= at
}

/// The index of the first entry that each certificate signed.
fn first_use(entries: &Entries) -> HashMap<Fingerprint, u64> {
    let mut first: HashMap<Fingerprint, u64> = HashMap::new();
    for entry in entries.all() {
        first.entry(*entry.signer().fingerprint()).and_modify(|index| *index = entry.index.min(*index)).or_insert(entry.index);
    }
    first
}

fn approved(
    entry: &Entry,
    certificate: &Certificate,
    live: &[Live<'_>],
    approvals: &Approvals<'_>,
    custodians: Option<&HashSet<Fingerprint>>,
    first_use: Option<u64>,
) -> Result<(), &'static str> {
    let replaced = match &entry.statement().body {
        Body::Certificate(body) => body.replaces,
        _ => None,
    };
    if !replaced.is_some_and(|replaced| live.iter().any(|other| *other.certificate.fingerprint() == replaced)) {
        return Err("it does not say that it replaces the first");
    }
    let by_custodian = approvals.of(entry).iter().any(|approval| {
        let signer = approval.signer().fingerprint();
        let counts = custodians.is_none_or(|custodians| custodians.contains(signer)) && signer != certificate.fingerprint();
        counts && first_use.is_none_or(|used| approval.index < used)
    });
    if by_custodian { Ok(()) } else { Err("no custodian approved of it before it was used") }
}

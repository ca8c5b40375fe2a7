//! What is told of an entry that holds, and what is remembered of it.

use std::collections::HashMap;

use exhibit_evidence::Body;
use exhibit_pki::Timestamp;
use exhibit_tlog::Hash;

use super::finding::{Finding, Kind};
use super::judge::{Candidate, Judge, Observation};
use super::memory::Revoked;

impl Judge {
    /// What is told of an entry that holds.
    pub(super) fn tell(
        &mut self,
        candidate: &Candidate<'_>,
        stored: &HashMap<Hash, Vec<u8>>,
        findings: &mut Vec<Finding>,
    ) -> Option<Observation> {
        let (index, statement) = (candidate.index, candidate.signed.statement());
        let by = statement.stream.owner();
        let mut tell = |kind: Kind, sentence: String| findings.push(Finding::of(kind, index, sentence));
        match &statement.body {
            Body::Genesis(genesis) => {
                if let Err(reason) = self.anchor.fits(genesis) {
                    tell(Kind::Entry, format!("The log's genesis does not fit the anchor: {reason}."));
                }
                self.memory.rest.timestamp_ms = statement.issued.unix_ms();
            }
            Body::Contradiction(body) => {
                let finding = self.contradiction(candidate, body, stored);
                findings.push(finding);
            }
            Body::Ban(body) => {
                let what = if body.lifts.is_some() { "lifted a ban" } else { "banned somebody" };
                tell(Kind::Ban, format!("{by} {what}."));
            }
            Body::Erasure(body) => tell(Kind::Erasure, format!("{by} erased {} attachments.", body.erased.len())),
            Body::Access(body) if !body.granted => tell(Kind::Refusal, format!("{by} refused what fetch {} asked for.", body.fetch)),
            Body::Reopen(body) => tell(Kind::Reopening, format!("{by} had the recovery recipient open evidence of {}.", body.scope)),
            Body::Succession(body) => {
                tell(Kind::Succession, format!("The log ends here: {} follows.", body.successor.origin));
                self.memory.rest.ended.get_or_insert(index);
            }
            Body::Timestamp(body) if self.judges_stamps => return self.stamp(candidate, body, stored, findings),
            Body::Timestamp(_) => {
                self.memory.rest.timestamp_ms = self.memory.rest.timestamp_ms.max(statement.issued.unix_ms());
            }
            Body::CertificateRevocation(body) => {
                let fingerprint = hex::encode(body.fingerprint);
                tell(Kind::Revocation, format!("Certificate {fingerprint} is revoked since {}.", body.since));
                let known = self.memory.revoked.get(&fingerprint).copied();
                let since_ms = known.map_or(u64::MAX, |known| known.since_ms).min(body.since.unix_ms());
                self.memory.revoked.insert(&fingerprint, Revoked { since_ms });
            }
            Body::Recipients(set) => self.set(candidate, set, findings),
            Body::Approve(body) => self.approve(candidate, body),
            Body::Certificate(body) => {
                if let Some(own) = candidate.attached.as_ref().and_then(|attached| attached.own.as_ref()) {
                    self.introduced(candidate, own, body, findings);
                }
            }
            Body::Unknown { type_name, .. } => tell(Kind::UnknownType, format!("The entry is of type {type_name}, which is not judged.")),
            _ => {}
        }
        None
    }

    /// Whether what a certificate signs at a moment, as its issuer says, is not to be believed any more.
    pub(super) fn is_revoked(&self, fingerprint: &[u8; 32], at: Timestamp) -> bool {
        self.memory.revoked.get(&hex::encode(fingerprint)).is_some_and(|revoked| revoked.since_ms <= at.unix_ms())
    }
}

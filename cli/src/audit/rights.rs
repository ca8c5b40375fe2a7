//! Rights: who was given evidence, on what. A fetch without a right is somebody's question; that the appliance served it is for an auditor to see.
//!
//! Who a grant is to, and until when, stands in its terms, which are the parties' own: of that nothing is judged here.

use exhibit_evidence::Body;
use exhibit_evidence::body::{Access, Fetch, SeqRange};
use exhibit_pki::Role;
use exhibit_tlog::Hash;
use serde::{Deserialize, Serialize};

use super::finding::{Finding, Kind};
use super::judge::{Candidate, Judge};

/// A grant.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Granted {
    /// Of which camera.
    pub scope: String,
    /// Who gave it.
    pub by: String,
    /// The entry that took it back.
    pub revoked: Option<u64>,
}

/// A fetch.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Fetched {
    /// By whom.
    pub by: String,
    /// Stream, first and last seq.
    pub ranges: Vec<(String, u64, u64)>,
    /// Why there was no right to it.
    pub problem: Option<String>,
}

impl Judge {
    /// What an entry says of rights.
    pub(super) fn rights(&mut self, candidate: &Candidate<'_>, findings: &mut Vec<Finding>) {
        let index = candidate.index;
        let statement = candidate.signed.statement();
        let leaf = candidate.signed.leaf_hash().to_string();
        let by = statement.stream.owner().to_owned();
        let mut bad = |sentence: String| findings.push(Finding::of(Kind::Rights, index, sentence));
        match &statement.body {
            Body::Grant(grant) => {
                self.memory.grants.insert(&leaf, Granted { scope: grant.scope.clone(), by, revoked: None });
            }
            Body::Revoke(revoke) => {
                let name = revoke.grant.to_string();
                match self.memory.grants.get(&name) {
                    None => bad("It takes back a grant that is not on the log.".to_owned()),
                    Some(grant) if grant.by != by && !self.is_custodian(None, &hex::encode(candidate.certificate.fingerprint())) => {
                        bad(format!("{by} takes back a grant of {}, and is no custodian.", grant.by));
                    }
                    Some(_) => self.memory.grants.change(&name).expect("it was just found").revoked = Some(index),
                }
            }
            Body::Fetch(fetch) => {
                let problem = self.no_right(candidate, fetch);
                let ranges = fetch.ranges.iter().map(|range| (range.stream.as_str().to_owned(), range.first, range.last)).collect();
                self.memory.fetches.insert(&leaf, Fetched { by, ranges, problem });
            }
            Body::Access(access) if access.granted => {
                if let Some(problem) = self.served(access) {
                    bad(problem);
                }
            }
            Body::Export(export) => {
                if let Some(reason) = self.beyond(&export.fetch, &by, &export.ranges) {
                    bad(format!("{by} exported without a right: {reason}."));
                }
            }
            Body::Redaction(redaction) => {
                if let Some(reason) = self.beyond(&redaction.fetch, &by, &redaction.ranges) {
                    bad(format!("{by} redacted without a right: {reason}."));
                }
            }
            _ => {}
        }
    }

    /// Why whoever fetches has no right to it, as far as the log says.
    fn no_right(&self, candidate: &Candidate<'_>, fetch: &Fetch) -> Option<String> {
        let owners = || fetch.ranges.iter().map(|range| range.stream.owner());
        if let Some(grant) = &fetch.grant {
            return match self.memory.grants.get(&grant.to_string()) {
                None => Some("the grant that it names is not on the log before it".to_owned()),
                Some(Granted { revoked: Some(index), .. }) => Some(format!("the grant that it names was taken back by entry {index}")),
                Some(grant) => owners()
                    .find(|owner| *owner != grant.scope)
                    .map(|owner| format!("the grant that it names is for {} and not for {owner}", grant.scope)),
            };
        }
        if candidate.certificate.has_role(Role::Custodian) {
            return None;
        }
        let who = candidate.signed.statement().stream.owner();
        let is_recipient = |scope: &str| self.memory.recipients.get(scope).is_some_and(|named| named.contains(who));
        owners().find(|owner| !is_recipient(owner)).map(|owner| format!("{who} has no grant and is no recipient of {owner}"))
    }

    fn served(&self, access: &Access) -> Option<String> {
        match self.memory.fetches.get(&access.fetch.to_string()) {
            None => Some("The appliance served a fetch that is not on the log.".to_owned()),
            Some(Fetched { problem: Some(problem), by, .. }) => Some(format!("The appliance served {by} without a right: {problem}.")),
            Some(_) => None,
        }
    }

    /// What of the ranges was not fetched by the same person before.
    fn beyond(&self, fetch: &Hash, by: &str, ranges: &[SeqRange]) -> Option<String> {
        let Some(fetched) = self.memory.fetches.get(&fetch.to_string()) else {
            return Some("the fetch that it names is not on the log before it".to_owned());
        };
        if fetched.by != by {
            return Some(format!("the fetch that it names is {}'s", fetched.by));
        }
        if let Some(problem) = &fetched.problem {
            return Some(problem.clone());
        }
        let holds = |range: &&SeqRange| {
            let (stream, first, last) = (range.stream.as_str(), range.first, range.last);
            fetched.ranges.iter().any(|fetched| fetched.0 == stream && fetched.1 <= first && last <= fetched.2)
        };
        let beyond = ranges.iter().find(|range| !holds(range))?;
        Some(format!("its fetch does not name segments {} to {} of {}", beyond.first, beyond.last, beyond.stream))
    }
}

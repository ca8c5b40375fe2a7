//! Approvals: which custodians stand behind an entry, by signing it or by a statement that names it.

use std::collections::{HashMap, HashSet};

use exhibit_pki::{Fingerprint, Identity, Role};
use exhibit_tlog::Hash;

use super::entries::{Entries, Entry};
use crate::Body;

/// The `approve/v1` statements of a bundle, by the leaf hash of what they approve, in the order of the log.
pub(super) struct Approvals<'a>(HashMap<Hash, Vec<&'a Entry>>);

impl<'a> Approvals<'a> {
    pub fn new(entries: &'a Entries) -> Self {
        let mut approvals: HashMap<Hash, Vec<&Entry>> = HashMap::new();
        for entry in &entries.held {
            let Body::Approve(body) = &entry.statement().body else { continue };
            // An approval names the statement as well, since a leaf says nothing to whoever signs it, and so what it approves is there before.
            let is_meant = |approved: &Entry| approved.signed.statement_hash() == body.statement && approved.index < entry.index;
            let means_it = entries.by_leaf(&body.entry).is_some_and(is_meant);
            if means_it && entry.signer().has_role(Role::Custodian) {
                approvals.entry(body.entry).or_default().push(entry);
            }
        }
        Self(approvals)
    }

    /// Those of one entry.
    pub fn of(&self, entry: &Entry) -> &[&'a Entry] {
        self.0.get(&entry.leaf).map_or(&[], Vec::as_slice)
    }

    /// Where on the log `threshold` of these certificates stand behind an entry, its own signer included; `None` if they do nowhere here.
    /// A person counts once, with however many certificates.
    pub fn reached(&self, entry: &Entry, custodians: &HashSet<Fingerprint>, threshold: u64) -> Option<u64> {
        let mut people: HashSet<&Identity> = HashSet::new();
        for signed in std::iter::once(entry).chain(self.of(entry).iter().copied()) {
            if custodians.contains(signed.signer().fingerprint()) {
                people.extend(signed.signer().identity());
            }
            if people.len() as u64 >= threshold {
                return Some(signed.index);
            }
        }
        None
    }
}

//! Revocation: what was signed before a certificate's key stopped to be believed holds, what was signed after does not, and between is told.
//!
//! Moments are taken on external words alone: else an operator with a stolen key could place what it signs before the theft.

use std::collections::BTreeMap;

use exhibit_pki::crl::ListedStatus;
use exhibit_pki::{Certificate, Fingerprint, IssuedCertificate, RevocationList, Timestamp, VerifiedRevocationList};

use super::Judgement;
use super::entries::{Entries, Entry};
use super::time::Times;
use crate::Body;
use crate::bundle::{REVOCATION_FOLDER, REVOCATION_LIST_BYTES_MAX, REVOCATION_LISTS_MAX, SourceError};
use crate::verdict::{Axis, FindingKind, Grade, Place};

pub(super) fn judge(judgement: &mut Judgement<'_>, entries: &Entries, times: &Times) -> Result<(), SourceError> {
    let lists = lists(judgement, entries)?;
    let on_ledger = on_ledger(entries);
    let mut tally = Tally::default();
    for used in used_certificates(entries).values() {
        let since =
            lists.iter().filter_map(|list| listed_since(list, used.issued)).chain(on_ledger.get(used.certificate().fingerprint()).copied());
        match since.min() {
            Some(since) => judge_revoked(judgement, used, since, times),
            None => tally.count(used, times, &lists),
        }
    }
    if !lists.is_empty() || !on_ledger.is_empty() {
        tally.tell(judgement);
    }
    Ok(())
}

/// A certificate on the path of some signer, and what hangs on it.
struct Used<'a> {
    issued: IssuedCertificate<'a>,
    entries: Vec<&'a Entry>,
}

impl<'a> Used<'a> {
    fn certificate(&self) -> &'a Certificate {
        self.issued.certificate()
    }
}

/// Every certificate below the roots that a signature of the bundle hangs on. Roots are the anchor's affair.
fn used_certificates(entries: &Entries) -> BTreeMap<Fingerprint, Used<'_>> {
    let mut used: BTreeMap<Fingerprint, Used<'_>> = BTreeMap::new();
    for entry in entries.all() {
        for issued in entry.path.issued() {
            let fresh = || Used { issued, entries: Vec::new() };
            used.entry(*issued.certificate().fingerprint()).or_insert_with(fresh).entries.push(entry);
        }
    }
    used
}

/// The lists that the manifest names, each verified with the certificate of its authority, which leads to a root of the anchor.
fn lists(judgement: &mut Judgement<'_>, entries: &Entries) -> Result<Vec<VerifiedRevocationList>, SourceError> {
    let paths: Vec<&str> =
        judgement.manifest.files.iter().map(|file| file.path.as_str()).filter(|path| path.starts_with(REVOCATION_FOLDER)).collect();
    if let Some(more) = paths.len().checked_sub(REVOCATION_LISTS_MAX).filter(|more| *more > 0) {
        let sentence = format!("Of the revocation lists in the bundle, {more} were not looked at: {REVOCATION_LISTS_MAX} are.");
        judgement.lacking(Axis::Revocation, FindingKind::RevocationList, Place::default(), sentence);
    }
    let mut lists = Vec::new();
    for path in paths.into_iter().take(REVOCATION_LISTS_MAX) {
        let Some(der) = judgement.required(Axis::Revocation, path, REVOCATION_LIST_BYTES_MAX)? else { continue };
        match verified(judgement, entries, &der) {
            Ok(list) => lists.push(list),
            Err(reason) => {
                let sentence = format!("The revocation list {path} does not count: {reason}.");
                judgement.bad(Axis::Revocation, FindingKind::RevocationList, Place::file(path), sentence);
            }
        }
    }
    Ok(lists)
}

fn verified(judgement: &Judgement<'_>, entries: &Entries, der: &[u8]) -> Result<VerifiedRevocationList, String> {
    let list = RevocationList::from_der(der).map_err(|error| error.to_string())?;
    let mut refusal = "its authority is not here".to_owned();
    for issuer in entries.certificates.issuers().iter().chain(&judgement.anchor.roots).filter(|issuer| list.is_of(issuer)) {
        match list.clone().verify(issuer, judgement.verifier) {
            Ok(list) => match entries.certificates.leads_to_root(judgement, issuer, list.this_update()) {
                Ok(()) => return Ok(list),
                Err(error) => refusal = error.to_string(),
            },
            Err(error) => refusal = error.to_string(),
        }
    }
    Err(refusal)
}

/// From when a list says that the certificate's key is not to be believed.
fn listed_since(list: &VerifiedRevocationList, certificate: IssuedCertificate<'_>) -> Option<Timestamp> {
    match list.status_at(certificate, list.this_update()) {
        ListedStatus::Revoked(revocation) => Some(revocation.invalid_since.unwrap_or(revocation.revoked)),
        _ => None,
    }
}

/// From when statements of authorities say so.
fn on_ledger(entries: &Entries) -> BTreeMap<Fingerprint, Timestamp> {
    let mut since: BTreeMap<Fingerprint, Timestamp> = BTreeMap::new();
    for entry in &entries.held {
        if let Body::CertificateRevocation(body) = &entry.statement().body {
            since.entry(body.fingerprint).and_modify(|since| *since = body.since.min(*since)).or_insert(body.since);
        }
    }
    since
}

/// Good before, bad after, else undecided (DESIGN section 3).
fn judge_revoked(judgement: &mut Judgement<'_>, used: &Used<'_>, since: Timestamp, times: &Times) {
    let (mut before, mut after, mut between) = (Vec::new(), Vec::new(), Vec::new());
    for entry in &used.entries {
        let bounds = times.of(entry);
        let of = |side: &super::time::Side| side.external.as_ref().map(|bound| bound.at);
        if of(&bounds.not_after).is_some_and(|at| at < since) {
            before.push(entry);
        } else if of(&bounds.not_before).is_some_and(|at| at >= since) {
            after.push(entry);
        } else {
            between.push(entry);
        }
    }
    let name = used.certificate().common_name();
    let told = [
        (after, Grade::Bad, FindingKind::Revoked, "were sealed after that"),
        (between, Grade::Undecided, FindingKind::RevocationUndecided, "were sealed before or after that: it is not shown"),
        (before, Grade::NotDemanded, FindingKind::RevokedLater, "were sealed before that, and hold"),
    ];
    for (entries, grade, kind, what) in told {
        if let Some(first) = entries.first() {
            let sentence = format!("Certificate \"{name}\" is revoked since {since}; {} statements that hang on it {what}.", entries.len());
            judgement.find(Axis::Revocation, grade, kind, first.place(), sentence);
        }
    }
}

/// Certificates of which nothing says that they were revoked.
#[derive(Default)]
struct Tally {
    shown: usize,
    as_of: Option<Timestamp>,
    unshown: Vec<String>,
}

impl Tally {
    /// Counts a certificate as shown if a list of its issuer was made after the last statement that hangs on it, and while such a
    /// certificate would still be on it (RFC 5280 section 3.3: expired ones may be left out).
    fn count(&mut self, used: &Used<'_>, times: &Times, lists: &[VerifiedRevocationList]) {
        let sealed: Option<Vec<Timestamp>> = used.entries.iter().map(|entry| sealed_by(entry, times)).collect();
        let last = sealed.and_then(|sealed| sealed.into_iter().max());
        let shown = lists.iter().filter(|list| {
            let made = list.this_update();
            matches!(list.status_at(used.issued, made), ListedStatus::NotRevoked)
                && used.certificate().is_valid_at(made)
                && last.is_some_and(|last| made >= last)
        });
        match shown.map(VerifiedRevocationList::this_update).max() {
            Some(made) => {
                self.shown += 1;
                self.as_of = Some(self.as_of.map_or(made, |as_of| as_of.min(made)));
            }
            None => self.unshown.push(format!("\"{}\"", used.certificate().common_name())),
        }
    }

    fn tell(self, judgement: &mut Judgement<'_>) {
        if !self.unshown.is_empty() {
            let names: Vec<_> = self.unshown.iter().take(NAMES_MAX).cloned().collect();
            let sentence = format!(
                "Of {} certificates no list in the bundle shows that they were not revoked when they signed, such as {}.",
                self.unshown.len(),
                names.join(", ")
            );
            judgement.lacking(Axis::Revocation, FindingKind::RevocationUnshown, Place::default(), sentence);
        } else if let Some(as_of) = self.as_of {
            let sentence = format!("None of {} certificates was revoked as of {as_of}.", self.shown);
            judgement.find(Axis::Revocation, Grade::Good, FindingKind::Holds, Place::default(), sentence);
        }
    }
}

/// By when a statement was sealed, as others say. Its issuer's clock does not count: who has a stolen key dates back what it signs.
fn sealed_by(entry: &Entry, times: &Times) -> Option<Timestamp> {
    times.of(entry).not_after.external.as_ref().map(|bound| bound.at)
}

/// A sentence names at most this many certificates.
const NAMES_MAX: usize = 5;

//! Entries: on the ledger under the bundle's checkpoint, and signed by a certificate that was on the ledger before.

use std::collections::HashMap;
use std::rc::Rc;

use exhibit_pki::{Certificate, ValidatedPath};
use exhibit_tlog::{Hash, LogProof, leaf_hash, verify_inclusion};

use super::certificates::{LedgerCertificates, signed_by};
use super::{BundleCheckpoint, Judgement};
use crate::bundle::{EXPORT_ENTRY, EXPORT_RECEIPT, SMALL_FILE_BYTES_MAX, SourceError, entry_path, receipt_path};
use crate::cms::ENTRY_BYTES_MAX;
use crate::verdict::{Axis, FindingKind, Grade, Place};
use crate::{Body, SignedStatement, Statement};

/// An entry proven to be on the ledger; its signer is a claim.
pub(super) struct Proven {
    pub index: u64,
    pub leaf: Hash,
    pub signed: SignedStatement,
}

/// An entry proven to be on the ledger and signed by its issuer.
pub(super) struct Entry {
    proven: Proven,
    /// From the signer to a root of the anchor, at `issued`.
    pub path: Rc<ValidatedPath>,
}

impl std::ops::Deref for Entry {
    type Target = Proven;
    fn deref(&self) -> &Proven {
        &self.proven
    }
}

impl Proven {
    pub fn statement(&self) -> &Statement {
        self.signed.statement()
    }

    pub fn place(&self) -> Place {
        let statement = self.statement();
        Place { index: Some(self.index), ..Place::position(statement.stream.as_str(), statement.seq) }
    }
}

impl Entry {
    /// The certificate that signed it.
    pub fn signer(&self) -> &Certificate {
        self.path.leaf()
    }
}

/// The entries that hold, in the order of the ledger.
pub(super) struct Entries {
    /// Those of the manifest.
    pub held: Vec<Entry>,
    /// The exporter's own statement.
    pub export: Option<Entry>,
    /// The certificates that they put on the ledger.
    pub certificates: LedgerCertificates,
    by_leaf: HashMap<Hash, usize>,
    by_position: HashMap<(String, u64), usize>,
}

impl Entries {
    fn new(held: Vec<Entry>, export: Option<Entry>, certificates: LedgerCertificates) -> Self {
        let (mut by_leaf, mut by_position) = (HashMap::new(), HashMap::new());
        for (position, entry) in held.iter().enumerate() {
            // Whoever keeps the log can put the same bytes on it again: what is later must not stand for what is earlier.
            by_leaf.entry(entry.leaf).or_insert(position);
            let statement = entry.statement();
            by_position.entry((statement.stream.as_str().to_owned(), statement.seq)).or_insert(position);
        }
        Self { held, export, certificates, by_leaf, by_position }
    }

    /// The first entry with this leaf hash.
    pub fn by_leaf(&self, leaf: &Hash) -> Option<&Entry> {
        self.by_leaf.get(leaf).map(|position| &self.held[*position])
    }

    /// The first entry at a place of a stream.
    pub fn at(&self, stream: &str, seq: u64) -> Option<&Entry> {
        self.by_position.get(&(stream.to_owned(), seq)).map(|position| &self.held[*position])
    }

    /// Those of the manifest, and the exporter's, if that is another.
    pub fn all(&self) -> impl Iterator<Item = &Entry> {
        self.held.iter().chain(self.export.iter().filter(|export| !self.by_leaf.contains_key(&export.leaf)))
    }
}

/// Judges every entry of the manifest, in the order of the ledger, and the exporter's.
pub(super) fn judge(judgement: &mut Judgement<'_>, checkpoint: &BundleCheckpoint) -> Result<Entries, SourceError> {
    let mut proven = Vec::new();
    for index in &judgement.manifest.entries {
        if let Some(entry) = proven_entry(judgement, Some(*index), &entry_path(*index), &receipt_path(*index), checkpoint)? {
            proven.push(entry);
        }
    }
    if judgement.manifest.entries.first() != Some(&0) {
        let sentence = "Entry 0, the log's genesis, is not in the bundle.";
        judgement.bad(Axis::Signature, FindingKind::FileMissing, Place::entry(0), sentence);
    }
    let mut certificates = LedgerCertificates::collect(judgement, &proven)?;
    let mut held = Vec::new();
    for entry in proven {
        held.extend(judge_signature(judgement, &mut certificates, entry));
    }
    if !has_export(judgement)? {
        let (grade, sentence) = if is_ended(&held, checkpoint) {
            let ended =
                "The log has ended and takes no more statements: who exported this is stated on the log that follows, and not shown here.";
            (Grade::NotDemanded, ended)
        } else {
            // Of a log that was lost nothing can show that: whoever lost it can not state it there.
            let unknown =
                "No statement of an exporter is here. Where the log was lost, it is on the log that goes on; else it was taken away.";
            (Grade::Undecided, unknown)
        };
        judgement.find(Axis::Signature, grade, FindingKind::ExportElsewhere, Place::file(EXPORT_ENTRY), sentence);
        return Ok(Entries::new(held, None, certificates));
    }
    let export = match proven_entry(judgement, None, EXPORT_ENTRY, EXPORT_RECEIPT, checkpoint)? {
        Some(export) => judge_signature(judgement, &mut certificates, export),
        None => None,
    };
    Ok(Entries::new(held, export, certificates))
}

fn judge_signature(judgement: &mut Judgement<'_>, certificates: &mut LedgerCertificates, proven: Proven) -> Option<Entry> {
    let path = signed_by(judgement, certificates, &proven)?;
    if let Body::Genesis(genesis) = &proven.statement().body
        && let Err(reason) = judgement.anchor.fits(genesis)
    {
        let sentence = format!("The log's genesis does not fit the anchor: {reason}.");
        judgement.bad(Axis::Signature, FindingKind::OtherLog, proven.place(), sentence);
        return None;
    }
    certificates.introduce(&proven);
    judgement.counts.entries += 1;
    Some(Entry { proven, path })
}

/// Whether the last entry below the checkpoint is held, and says that nothing comes behind it.
fn is_ended(held: &[Entry], checkpoint: &BundleCheckpoint) -> bool {
    let is_last = |entry: &&Entry| entry.index + 1 == checkpoint.head.size;
    held.iter().find(is_last).is_some_and(|last| matches!(last.statement().body, Body::Succession(_)))
}

/// Whether there is anything of an exporter's statement.
fn has_export(judgement: &mut Judgement<'_>) -> Result<bool, SourceError> {
    let statement = judgement.optional(Axis::Signature, EXPORT_ENTRY, ENTRY_BYTES_MAX as u64)?;
    Ok(statement.is_some() || judgement.optional(Axis::Signature, EXPORT_RECEIPT, SMALL_FILE_BYTES_MAX)?.is_some())
}

/// Reads one entry and its receipt and proves it under the bundle's checkpoint, at an index, or (the exporter's) at that which the receipt
/// names. What fails becomes a finding.
fn proven_entry(
    judgement: &mut Judgement<'_>,
    at: Option<u64>,
    entry_file: &str,
    receipt_file: &str,
    checkpoint: &BundleCheckpoint,
) -> Result<Option<Proven>, SourceError> {
    let der = judgement.required(Axis::Signature, entry_file, ENTRY_BYTES_MAX as u64)?;
    let receipt = judgement.required(Axis::Signature, receipt_file, SMALL_FILE_BYTES_MAX)?;
    let (Some(der), Some(receipt)) = (der, receipt) else { return Ok(None) };
    let leaf = leaf_hash(&der);
    let index = match receipt_holds(&leaf, at, &receipt, checkpoint) {
        Ok(index) => index,
        Err(reason) => {
            let sentence = format!("The receipt {receipt_file} does not prove its entry: {reason}.");
            judgement.bad(Axis::Signature, FindingKind::Receipt, Place { index: at, ..Place::file(receipt_file) }, sentence);
            return Ok(None);
        }
    };
    let signed = match SignedStatement::parse(&der) {
        Ok(signed) => signed,
        Err(error) => {
            let sentence = format!("Entry {index} is on the ledger and is not a signed statement: {error}.");
            judgement.bad(Axis::Signature, FindingKind::EntryMalformed, Place { index: Some(index), ..Place::file(entry_file) }, sentence);
            return Ok(None);
        }
    };
    let statement = signed.statement();
    if !is_of_log(judgement, index, &leaf, statement) {
        let sentence = format!("Entry {index} is of another log than the anchor's.");
        judgement.bad(Axis::Signature, FindingKind::OtherLog, Place::entry(index), sentence);
        return Ok(None);
    }
    // A genesis that somebody logged later declares nothing.
    if index == 0
        && let Body::Genesis(genesis) = &statement.body
    {
        judgement.before = genesis.before().cloned().collect();
    }
    Ok(judge_observed(judgement, index, statement).then_some(Proven { index, leaf, signed }))
}

/// Genesis is the entry whose leaf hash is the log's id; all others name that, or a log before it that genesis declares.
fn is_of_log(judgement: &Judgement<'_>, index: u64, leaf: &Hash, statement: &Statement) -> bool {
    if index == 0 {
        return *leaf == judgement.anchor.log && statement.log == Hash::default();
    }
    statement.log == judgement.anchor.log || is_of_log_before(judgement, statement)
}

/// Whether the statement was made for a log before this one.
pub(super) fn is_of_log_before(judgement: &Judgement<'_>, statement: &Statement) -> bool {
    judgement.before.iter().any(|before| before.log == statement.log)
}

/// Nobody observes what comes after: false for such an entry. Of a log before this one, what was observed beyond its end is known to be lost.
fn judge_observed(judgement: &mut Judgement<'_>, index: u64, statement: &Statement) -> bool {
    let size = statement.observed.size;
    if let Some(end) = judgement.before.iter().find(|before| before.log == statement.log).map(|before| before.head.size) {
        if let Some(lost) = size.checked_sub(end).filter(|lost| *lost > 0) {
            let sentence = format!(
                "Entry {index} observed {size} entries of a log before this one, which ends at {end}: {lost} entries are known to be lost."
            );
            judgement.find(Axis::Continuity, Grade::NotDemanded, FindingKind::LostEntries, Place::entry(index), sentence);
        }
    } else if size > index {
        let sentence = format!("Entry {index} says that it observed a log of {size} entries, which came after it.");
        judgement.bad(Axis::Signature, FindingKind::Observed, Place::entry(index), sentence);
        return false;
    }
    true
}

/// The index at which the receipt proves a leaf: the one that is asked for, if one is.
fn receipt_holds(leaf: &Hash, at: Option<u64>, receipt: &[u8], checkpoint: &BundleCheckpoint) -> Result<u64, String> {
    let text = std::str::from_utf8(receipt).map_err(|_| "it is not text".to_owned())?;
    let proof = LogProof::parse(text).map_err(|error| error.to_string())?;
    if at.is_some_and(|index| index != proof.index) {
        return Err(format!("it is for entry {}", proof.index));
    }
    // One checkpoint for all: two that differ could belong to two forks of the log, each consistent in itself.
    if proof.checkpoint != checkpoint.note {
        return Err("it stands under another checkpoint than the bundle's".to_owned());
    }
    let head = &checkpoint.head;
    verify_inclusion(leaf, proof.index, head.size, &proof.path, &head.root).map_err(|error| error.to_string())?;
    Ok(proof.index)
}

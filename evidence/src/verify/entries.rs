//! Entries: on the ledger under the bundle's checkpoint, and signed by a certificate that was on the ledger before.

use std::collections::HashMap;

use exhibit_pki::{Certificate, Fingerprint, KeyPurpose, validate_path};
use exhibit_tlog::{Hash, LogProof, leaf_hash, verify_inclusion};

use super::{BundleCheckpoint, Judgement};
use crate::body::Genesis;
use crate::bundle::{Manifest, SMALL_FILE_BYTES_MAX, SourceError, attachment_path, entry_path, receipt_path};
use crate::cms::ENTRY_BYTES_MAX;
use crate::verdict::{Axis, FindingKind, Place};
use crate::{Body, SignedStatement, Statement};

/// An entry proven to be on the ledger and signed by its issuer.
pub(super) struct Entry {
    pub index: u64,
    pub leaf: Hash,
    pub signed: SignedStatement,
}

impl Entry {
    pub fn statement(&self) -> &Statement {
        self.signed.statement()
    }

    pub fn place(&self) -> Place {
        let statement = self.statement();
        Place { index: Some(self.index), ..Place::position(statement.stream.as_str(), statement.seq) }
    }
}

/// The entries that hold, in the order of the ledger, and the certificates that they put on it.
pub(super) struct Entries {
    pub held: Vec<Entry>,
    certificates: LedgerCertificates,
}

impl Entries {
    /// The entry with this leaf hash.
    pub fn by_leaf(&self, leaf: &Hash) -> Option<&Entry> {
        self.held.iter().find(|entry| entry.leaf == *leaf)
    }

    /// Judges the signature of an entry that the manifest does not list (the exporter's own).
    pub fn signature_holds(&mut self, judgement: &mut Judgement<'_>, entry: &Entry) -> bool {
        signature_holds(judgement, &mut self.certificates, entry)
    }
}

/// Judges every entry of the manifest, in the order of the ledger.
pub(super) fn judge(judgement: &mut Judgement<'_>, manifest: &Manifest, checkpoint: &BundleCheckpoint) -> Result<Entries, SourceError> {
    let mut proven = Vec::new();
    for index in &manifest.entries {
        if let Some(entry) = proven_entry(judgement, *index, &entry_path(*index), &receipt_path(*index), checkpoint)? {
            proven.push(entry);
        }
    }
    if proven.first().is_none_or(|entry| entry.index != 0) {
        let sentence = "Entry 0, the log's genesis, is not in the bundle or not proven.";
        judgement.bad(Axis::Signature, FindingKind::FileMissing, Place::entry(0), sentence);
    }
    let mut certificates = LedgerCertificates::collect(judgement, &proven)?;
    let mut held = Vec::new();
    for entry in proven {
        if signature_holds(judgement, &mut certificates, &entry) {
            judgement.counts.entries += 1;
            held.push(entry);
        }
    }
    Ok(Entries { held, certificates })
}

/// Reads one entry and its receipt and proves it under the bundle's checkpoint. What fails becomes a finding.
pub(super) fn proven_entry(
    judgement: &mut Judgement<'_>,
    index: u64,
    entry_file: &str,
    receipt_file: &str,
    checkpoint: &BundleCheckpoint,
) -> Result<Option<Entry>, SourceError> {
    let Some(der) = judgement.required(Axis::Signature, entry_file, ENTRY_BYTES_MAX as u64)? else { return Ok(None) };
    let Some(receipt) = judgement.required(Axis::Signature, receipt_file, SMALL_FILE_BYTES_MAX)? else { return Ok(None) };
    let leaf = leaf_hash(&der);
    if let Err(reason) = receipt_holds(&leaf, index, &receipt, checkpoint) {
        let sentence = format!("The receipt of entry {index} does not prove it: {reason}.");
        judgement.bad(Axis::Signature, FindingKind::Receipt, Place { index: Some(index), ..Place::file(receipt_file) }, sentence);
        return Ok(None);
    }
    let signed = match SignedStatement::parse(&der) {
        Ok(signed) => signed,
        Err(error) => {
            let sentence = format!("Entry {index} is on the ledger and is not a signed statement: {error}.");
            judgement.bad(Axis::Signature, FindingKind::EntryMalformed, Place { index: Some(index), ..Place::file(entry_file) }, sentence);
            return Ok(None);
        }
    };
    let genesis = index == 0;
    let named = signed.statement().log;
    let expected = if genesis { Hash::default() } else { judgement.anchor.log };
    if named != expected || (genesis && leaf != judgement.anchor.log) {
        let sentence = format!("Entry {index} is of another log than the anchor's.");
        judgement.bad(Axis::Signature, FindingKind::OtherLog, Place::entry(index), sentence);
        return Ok(None);
    }
    if signed.statement().observed.size > index {
        let sentence =
            format!("Entry {index} says that it observed a log of {} entries, which came after it.", signed.statement().observed.size);
        judgement.bad(Axis::Continuity, FindingKind::Observed, Place::entry(index), sentence);
    }
    Ok(Some(Entry { index, leaf, signed }))
}

fn receipt_holds(leaf: &Hash, index: u64, receipt: &[u8], checkpoint: &BundleCheckpoint) -> Result<(), String> {
    let text = std::str::from_utf8(receipt).map_err(|_| "it is not text".to_owned())?;
    let proof = LogProof::parse(text).map_err(|error| error.to_string())?;
    if proof.index != index {
        return Err(format!("it is for entry {}", proof.index));
    }
    // One checkpoint for all: two that differ could belong to two forks of the log, each consistent in itself.
    if proof.checkpoint != checkpoint.note {
        return Err("it stands under another checkpoint than the bundle's".to_owned());
    }
    verify_inclusion(leaf, index, checkpoint.head.size, &proof.path, &checkpoint.head.root).map_err(|error| error.to_string())
}

/// Certificates that entries of the bundle put on the ledger.
struct LedgerCertificates {
    /// Those that count, since the entry that introduced them was itself judged good, with the index of it.
    introduced: HashMap<Fingerprint, (u64, Certificate)>,
    /// CA certificates met anywhere: candidates for building a path, which is then validated to the anchor's roots.
    issuers: Vec<Certificate>,
    /// By index of the entry: what it introduces once it holds.
    pending: HashMap<u64, Vec<Certificate>>,
}

impl LedgerCertificates {
    fn collect(judgement: &mut Judgement<'_>, entries: &[Entry]) -> Result<Self, SourceError> {
        let mut collected = Self { introduced: HashMap::new(), issuers: Vec::new(), pending: HashMap::new() };
        for entry in entries {
            if !matches!(entry.statement().body, Body::Certificate(_) | Body::Genesis(_)) {
                continue;
            }
            for attachment in entry.statement().body.attachments() {
                let path = attachment_path(&attachment.sha256);
                let Some(stored) = judgement.required(Axis::Signature, &path, SMALL_FILE_BYTES_MAX)? else { continue };
                let certificate = attachment.open(&stored).and_then(|der| Certificate::from_der(der).ok());
                let certificate = certificate.filter(|certificate| is_named(&entry.statement().body, &attachment.name, certificate));
                let Some(certificate) = certificate else {
                    let sentence = format!("The certificate in {path} is not the one that entry {} names.", entry.index);
                    judgement.bad(
                        Axis::Signature,
                        FindingKind::FileAltered,
                        Place { index: Some(entry.index), ..Place::file(&path) },
                        sentence,
                    );
                    continue;
                };
                if certificate.purpose() == KeyPurpose::Authority {
                    collected.issuers.push(certificate.clone());
                }
                if attachment.name == INTRODUCED {
                    collected.pending.entry(entry.index).or_default().push(certificate);
                }
            }
        }
        Ok(collected)
    }

    /// The certificate that signed `entry`, if it was on the ledger below it. Two may introduce themselves: the appliance in genesis, and
    /// the authority at the start of its stream; both still have to lead to a root of the anchor.
    fn signer_of(&self, entry: &Entry) -> Option<Certificate> {
        let signer = entry.signed.signer();
        if let Some((index, certificate)) = self.introduced.get(signer) {
            return (*index < entry.index).then(|| certificate.clone());
        }
        let statement = entry.statement();
        let introduces_itself = match statement.body {
            Body::Genesis(_) => entry.index == 0,
            Body::Certificate(_) => statement.seq == 0,
            _ => false,
        };
        let own = self.pending.get(&entry.index).filter(|_| introduces_itself)?;
        own.iter().find(|certificate| certificate.fingerprint() == signer).cloned()
    }

    fn introduce(&mut self, entry: &Entry) {
        for certificate in self.pending.remove(&entry.index).unwrap_or_default() {
            self.introduced.entry(*certificate.fingerprint()).or_insert((entry.index, certificate));
        }
    }
}

/// The attachment that an entry introduces; the others are issuers, from which paths are built.
const INTRODUCED: &str = "certificate";

/// True unless the statement names another certificate than the one that is attached to be introduced.
fn is_named(body: &Body, attachment: &str, certificate: &Certificate) -> bool {
    match body {
        Body::Certificate(body) if attachment == INTRODUCED => body.fingerprint == *certificate.fingerprint(),
        _ => true,
    }
}

fn signature_holds(judgement: &mut Judgement<'_>, certificates: &mut LedgerCertificates, entry: &Entry) -> bool {
    let Some(certificate) = certificates.signer_of(entry) else {
        let sentence = format!("The certificate that signed entry {} was not on the ledger before it.", entry.index);
        judgement.bad(Axis::Signature, FindingKind::CertificateUnknown, entry.place(), sentence);
        return false;
    };
    let statement = entry.statement();
    let path = validate_path(&certificate, &certificates.issuers, &judgement.anchor.roots, statement.issued, judgement.verifier);
    if let Err(error) = path {
        let sentence = format!("The certificate that signed entry {} does not count: {error}.", entry.index);
        judgement.bad(Axis::Signature, FindingKind::CertificatePath, entry.place(), sentence);
        return false;
    }
    if let Err(error) = entry.signed.verify(&certificate, judgement.verifier) {
        let sentence = format!("Entry {} is not its signer's: {error}.", entry.index);
        judgement.bad(Axis::Signature, FindingKind::StatementSignature, entry.place(), sentence);
        return false;
    }
    if let Body::Genesis(genesis) = &statement.body
        && let Err(reason) = genesis_fits(judgement, genesis)
    {
        judgement.bad(
            Axis::Signature,
            FindingKind::OtherLog,
            entry.place(),
            format!("The log's genesis does not fit the anchor: {reason}."),
        );
        return false;
    }
    certificates.introduce(entry);
    true
}

fn genesis_fits(judgement: &Judgement<'_>, genesis: &Genesis) -> Result<(), String> {
    let anchor = judgement.anchor;
    if genesis.origin != anchor.verifier.origin {
        return Err(format!("it names the origin {}", genesis.origin));
    }
    let keys: Vec<_> = anchor.verifier.keys.iter().map(ToString::to_string).collect();
    if genesis.keys.iter().any(|key| !keys.contains(key)) {
        return Err("it names a key that the anchor does not demand".to_owned());
    }
    if anchor.roots.iter().any(|root| !genesis.roots.contains(root.fingerprint())) {
        return Err("the anchor trusts a root that genesis does not name".to_owned());
    }
    Ok(())
}

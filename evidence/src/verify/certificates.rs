//! Certificates: those that entries put on the ledger, and which of them signed an entry above.

use std::collections::{HashMap, HashSet};
use std::rc::Rc;

use exhibit_pki::path::AUTHORITIES_MAX;
use exhibit_pki::{Authorities, Certificate, Fingerprint, KeyPurpose, PathError, Timestamp, ValidatedPath};

use super::Judgement;
use super::entries::Proven;
use crate::Body;
use crate::body::ROOTS_MAX;
use crate::bundle::{SMALL_FILE_BYTES_MAX, SourceError, attachment_path};
use crate::verdict::{Axis, FindingKind, Place};

/// Certificates that entries of the bundle put on the ledger.
pub(super) struct LedgerCertificates {
    /// Those that count, since the entry that introduced them was itself judged good, with the index of it.
    introduced: HashMap<Fingerprint, (u64, Certificate)>,
    /// The anchor's roots, and of the CA certificates that were met anywhere those that lead to one.
    authorities: Authorities,
    /// By index of the entry: what it introduces once it holds.
    pending: HashMap<u64, Vec<Certificate>>,
    /// By index of the entry: what it introduced.
    by_entry: HashMap<u64, Certificate>,
    /// By signer and by which authorities are valid: the path that a search finds then. The same certificates sign most entries.
    paths: HashMap<(Fingerprint, u128), Rc<ValidatedPath>>,
}

impl LedgerCertificates {
    pub fn collect(judgement: &mut Judgement<'_>, entries: &[Proven]) -> Result<Self, SourceError> {
        let mut pending: HashMap<u64, Vec<Certificate>> = HashMap::new();
        let (mut met, mut seen) = (Vec::new(), HashSet::new());
        for entry in entries {
            if !matches!(entry.statement().body, Body::Certificate(_) | Body::Genesis(_)) {
                continue;
            }
            for attachment in entry.statement().body.attachments().iter().filter(|attachment| is_certificate(&attachment.name)) {
                let path = attachment_path(&attachment.sha256);
                judgement.judged.insert((attachment.sha256, attachment.length));
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
                if certificate.purpose() == KeyPurpose::Authority && seen.insert(*certificate.fingerprint()) {
                    met.push(certificate.clone());
                }
                if attachment.name == INTRODUCED {
                    pending.entry(entry.index).or_default().push(certificate);
                }
            }
        }
        let authorities = Authorities::new(&judgement.anchor.roots, &met, judgement.verifier);
        Ok(Self { introduced: HashMap::new(), authorities, pending, by_entry: HashMap::new(), paths: HashMap::new() })
    }

    /// The certificate that signed `entry`, if it was on the ledger below it. Two may introduce themselves: the appliance in genesis, and
    /// the authority at the start of its stream; both still have to lead to a root of the anchor.
    fn signer_of(&self, entry: &Proven) -> Option<Certificate> {
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

    /// A certificate that counts, by its fingerprint.
    pub fn introduced(&self, fingerprint: &Fingerprint) -> Option<&Certificate> {
        self.introduced.get(fingerprint).map(|(_, certificate)| certificate)
    }

    /// The certificate of a person or device that an entry put on the ledger, first or again.
    pub fn introduced_by(&self, index: u64) -> Option<&Certificate> {
        self.by_entry.get(&index)
    }

    /// The authorities that lead to a root of the anchor and are none.
    pub fn issuers(&self) -> &[Certificate] {
        self.authorities.others()
    }

    /// Whether an authority leads to a root of the anchor at a moment, or is one: an issuing authority may be pinned itself.
    pub fn leads_to_root(&self, judgement: &Judgement<'_>, authority: &Certificate, at: Timestamp) -> Result<(), PathError> {
        if judgement.anchor.roots.iter().any(|root| root.fingerprint() == authority.fingerprint() && root.is_valid_at(at)) {
            return Ok(());
        }
        self.authorities.path(authority, at, judgement.verifier).map(drop)
    }

    /// The path from `certificate` to a root of the anchor at a moment. A search finds the same as long as the same authorities are valid.
    fn path(&mut self, judgement: &Judgement<'_>, certificate: &Certificate, at: Timestamp) -> Result<Rc<ValidatedPath>, PathError> {
        let authorities = judgement.anchor.roots.iter().chain(self.issuers());
        let valid = authorities.fold(0, |valid, authority| valid << 1 | u128::from(authority.is_valid_at(at)));
        let searched = (*certificate.fingerprint(), valid);
        if let Some(path) = self.paths.get(&searched).filter(|_| certificate.is_valid_at(at)) {
            return Ok(Rc::clone(path));
        }
        let path = Rc::new(self.authorities.path(certificate, at, judgement.verifier)?);
        self.paths.insert(searched, Rc::clone(&path));
        Ok(path)
    }

    pub fn introduce(&mut self, entry: &Proven) {
        for certificate in self.pending.remove(&entry.index).unwrap_or_default() {
            self.by_entry.insert(entry.index, certificate.clone());
            self.introduced.entry(*certificate.fingerprint()).or_insert((entry.index, certificate));
        }
    }
}

const _: () = assert!(ROOTS_MAX + AUTHORITIES_MAX <= u128::BITS as usize, "which of them are valid is a bit each");

/// The attachment that an entry introduces.
const INTRODUCED: &str = "certificate";
/// `issuer-0` and so on: authorities, from which paths are built.
const ISSUER: &str = "issuer-";

/// Whether an attachment of `certificate/v1` or `genesis/v1` is a certificate. A statement may attach more than its type asks for.
fn is_certificate(name: &str) -> bool {
    let number = name.strip_prefix(ISSUER);
    name == INTRODUCED || number.is_some_and(|number| !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit()))
}

/// True unless the statement names another certificate than the one that is attached to be introduced.
fn is_named(body: &Body, attachment: &str, certificate: &Certificate) -> bool {
    match body {
        Body::Certificate(body) if attachment == INTRODUCED => body.fingerprint == *certificate.fingerprint(),
        _ => true,
    }
}

/// The path of the certificate that signed the entry, if that was on the ledger below it and the signature is its.
pub(super) fn signed_by(judgement: &mut Judgement<'_>, certificates: &mut LedgerCertificates, entry: &Proven) -> Option<Rc<ValidatedPath>> {
    let Some(certificate) = certificates.signer_of(entry) else {
        let sentence = format!("The certificate that signed entry {} was not on the ledger before it.", entry.index);
        judgement.bad(Axis::Signature, FindingKind::CertificateUnknown, entry.place(), sentence);
        return None;
    };
    let statement = entry.statement();
    let path = match certificates.path(judgement, &certificate, statement.issued) {
        Ok(path) => path,
        Err(error) => {
            let sentence = format!("The certificate that signed entry {} does not count: {error}.", entry.index);
            judgement.bad(Axis::Signature, FindingKind::CertificatePath, entry.place(), sentence);
            return None;
        }
    };
    if let Err(error) = entry.signed.verify(&certificate, judgement.verifier) {
        let sentence = format!("Entry {} is not its signer's: {error}.", entry.index);
        judgement.bad(Axis::Signature, FindingKind::StatementSignature, entry.place(), sentence);
        return None;
    }
    Some(path)
}

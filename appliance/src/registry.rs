//! What the ledger says so far: certificates, streams, recipients, entries, as the judge and the queries ask for them.
//!
//! It decides nothing and writes nothing; all it holds in memory can be read again from the ledger's rows.

use std::collections::HashMap;
use std::sync::{Arc, PoisonError, RwLock};

use exhibit_evidence::{Body, SignedStatement, StreamName, body};
use exhibit_ledger::{EntryPlace, Ledger, LedgerError, StreamHead};
use exhibit_pki::{AwsLc, Certificate, Fingerprint, PathError, Timestamp, ValidatedPath, validate_path};
use exhibit_tlog::Hash;

use crate::rows::{self, AttachmentRow, RecipientsRow, RowError, Span, StreamRow};

/// A certificate on the ledger, whose chain has been verified once.
#[derive(Debug)]
pub struct KnownCertificate {
    /// Leaf hash of the entry that introduced it.
    pub introduced_by: Hash,
    path: ValidatedPath,
}

impl KnownCertificate {
    /// The certificate.
    pub fn certificate(&self) -> &Certificate {
        self.path.leaf()
    }
    /// It, and the certificates above it up to a root.
    pub fn path(&self) -> &[Certificate] {
        self.path.certificates()
    }
    /// Signatures do not change, time does: true if the whole path is valid at that moment.
    pub fn is_valid_at(&self, at: Timestamp) -> bool {
        self.path.certificates().iter().all(|certificate| certificate.is_valid_at(at))
    }
}

/// Why the ledger could not be asked: the operator's to mend.
#[derive(Debug, thiserror::Error)]
pub enum RegistryError {
    /// The ledger itself.
    #[error(transparent)]
    Ledger(#[from] LedgerError),
    /// A row of ours.
    #[error(transparent)]
    Row(#[from] RowError),
    /// An entry that was admitted does not parse.
    #[error("an entry on the ledger is damaged")]
    Entry,
}

/// The newest `recipients` of a scope.
#[derive(Clone, Debug)]
pub struct NewestRecipients {
    /// Its leaf hash.
    pub leaf: Hash,
    /// What it says.
    pub body: body::Recipients,
}

/// Reads of the ledger, with caches over what never changes.
pub struct Registry {
    ledger: Ledger,
    roots: Vec<Certificate>,
    /// Authorities that the operator configured, beside those that the ledger introduced.
    chain: Vec<Certificate>,
    certificates: RwLock<HashMap<Fingerprint, Arc<KnownCertificate>>>,
    root_hashes: RwLock<HashMap<u64, Hash>>,
    /// All of them; `None` until they are asked for, and when one has come.
    revocations: RwLock<Option<Arc<HashMap<Fingerprint, Timestamp>>>>,
}

impl Registry {
    /// `roots` are those of genesis.
    pub fn new(ledger: Ledger, roots: Vec<Certificate>, chain: Vec<Certificate>) -> Self {
        Self { ledger, roots, chain, certificates: RwLock::default(), root_hashes: RwLock::default(), revocations: RwLock::default() }
    }

    /// The trusted roots.
    pub fn roots(&self) -> &[Certificate] {
        &self.roots
    }

    /// A certificate that an entry introduced; `None` if none did. The inner error says why its path can not be followed at that moment. One
    /// whose path was followed at another is given too, though it is not valid at this one.
    pub fn certificate(
        &self,
        fingerprint: &Fingerprint,
        at: Timestamp,
    ) -> Result<Option<Result<Arc<KnownCertificate>, PathError>>, RegistryError> {
        let cached = self.certificates.read().unwrap_or_else(PoisonError::into_inner).get(fingerprint).cloned();
        // There may be a path now by an authority that was renewed.
        if let Some(known) = cached.as_ref().filter(|known| known.is_valid_at(at) || !known.certificate().is_valid_at(at)) {
            return Ok(Some(Ok(known.clone())));
        }
        let Some(value) = self.row(&rows::certificate_key(fingerprint))? else { return Ok(None) };
        let (introduced_by, certificate) = rows::certificate_from(&value)?;
        let path = match self.validate(&certificate, &[], at)? {
            Ok(path) => path,
            Err(error) => return Ok(Some(cached.ok_or(error))),
        };
        let known = Arc::new(KnownCertificate { introduced_by, path });
        let mut certificates = self.certificates.write().unwrap_or_else(PoisonError::into_inner);
        if certificates.len() >= CERTIFICATES_CACHED_MAX {
            certificates.clear();
        }
        certificates.insert(*fingerprint, known.clone());
        Ok(Some(Ok(known)))
    }

    /// Follows the path of a certificate to a root, through the authorities known and those given.
    pub fn validate(
        &self,
        certificate: &Certificate,
        more: &[Certificate],
        at: Timestamp,
    ) -> Result<Result<ValidatedPath, PathError>, RegistryError> {
        let mut intermediates = [&self.chain, more].concat();
        for (_, der) in self.ledger.annotations(rows::ISSUER_PREFIX.as_bytes(), &[], ISSUERS_MAX)? {
            intermediates.push(Certificate::from_der(&der).map_err(|_| RowError)?);
        }
        Ok(validate_path(certificate, &intermediates, &self.roots, at, &AwsLc))
    }

    /// True if an entry introduced the certificate.
    pub fn is_known(&self, fingerprint: &Fingerprint) -> Result<bool, RegistryError> {
        let cached = self.certificates.read().unwrap_or_else(PoisonError::into_inner).contains_key(fingerprint);
        Ok(cached || self.row(&rows::certificate_key(fingerprint))?.is_some())
    }

    /// The revocation that the ledger has, also where this registry has read them all before it came.
    pub fn revocation(&self, fingerprint: &Fingerprint) -> Result<Option<Timestamp>, RegistryError> {
        let key = rows::revocation_key(fingerprint);
        Ok(self.row(&key)?.map(|value| rows::revocation_from(&key, &value)).transpose()?.map(|(_, since)| since))
    }

    /// Since when a certificate is revoked, if it is.
    pub fn revoked_since(&self, fingerprint: &Fingerprint) -> Result<Option<Timestamp>, RegistryError> {
        let read = self.revocations.read().unwrap_or_else(PoisonError::into_inner).clone();
        let revocations = match read {
            Some(revocations) => revocations,
            None => {
                // Under the lock: what comes meanwhile makes it read again, and not before.
                let mut kept = self.revocations.write().unwrap_or_else(PoisonError::into_inner);
                kept.insert(Arc::new(self.read_revocations()?)).clone()
            }
        };
        Ok(revocations.get(fingerprint).copied())
    }

    /// Since when a path does not count any more at a moment, because one of its certificates is revoked.
    pub fn revoked(&self, path: &[Certificate], at: Timestamp) -> Result<Option<Timestamp>, RegistryError> {
        for certificate in path {
            if let Some(since) = self.revoked_since(certificate.fingerprint())?.filter(|since| *since <= at) {
                return Ok(Some(since));
            }
        }
        Ok(None)
    }

    /// One has come.
    pub fn read_revocations_again(&self) {
        *self.revocations.write().unwrap_or_else(PoisonError::into_inner) = None;
    }

    fn read_revocations(&self) -> Result<HashMap<Fingerprint, Timestamp>, RegistryError> {
        let (mut revocations, mut after) = (HashMap::new(), Vec::new());
        loop {
            let page = self.ledger.annotations(rows::REVOCATION_PREFIX.as_bytes(), &after, REVOCATIONS_PAGE)?;
            let Some((last, _)) = page.last() else { return Ok(revocations) };
            after = [last.as_slice(), &[0]].concat();
            for (key, value) in &page {
                let (fingerprint, since) = rows::revocation_from(key, value)?;
                revocations.insert(fingerprint, since);
            }
        }
    }

    /// The approvals of an entry, by signer, with their leaf hashes: the first by each certificate with the role, whomever a set names. A page of
    /// them, behind a signer.
    pub fn approvals(&self, approved: &Hash, after: Option<&Fingerprint>) -> Result<Vec<(Fingerprint, Hash)>, RegistryError> {
        let prefix = rows::approval_prefix(approved);
        let from = after.map_or_else(|| prefix.clone(), |after| [rows::approval_key(approved, after), vec![0]].concat());
        let rows = self.ledger.annotations(&prefix, &from, APPROVALS_PAGE)?;
        rows.iter().map(|(key, value)| Ok((rows::approval_signer(key)?, rows::approval_leaf(value)?))).collect()
    }

    /// The same by some: however many others have approved too, these are there.
    pub fn approvals_by(&self, approved: &Hash, by: &[Fingerprint]) -> Result<Vec<(Fingerprint, Hash)>, RegistryError> {
        let mut approvals = Vec::new();
        for signer in by {
            approvals.extend(self.approval(approved, signer)?.map(|leaf| (*signer, leaf)));
        }
        Ok(approvals)
    }

    /// Leaf hash of the first approval of an entry by a custodian.
    pub fn approval(&self, approved: &Hash, custodian: &Fingerprint) -> Result<Option<Hash>, RegistryError> {
        Ok(self.row(&rows::approval_key(approved, custodian))?.map(|value| rows::approval_leaf(&value)).transpose()?)
    }

    /// The leaf hash of the entry that introduced a certificate.
    pub fn introduction(&self, fingerprint: &Fingerprint) -> Result<Option<Hash>, RegistryError> {
        let Some(value) = self.row(&rows::certificate_key(fingerprint))? else { return Ok(None) };
        Ok(Some(rows::certificate_from(&value)?.0))
    }

    /// Root of the first `size` entries; `None` beyond the newest checkpoint.
    pub fn root_at(&self, size: u64) -> Result<Option<Hash>, RegistryError> {
        // Issuers observe the newest heads, the same few again and again.
        let cached = self.root_hashes.read().unwrap_or_else(PoisonError::into_inner).get(&size).copied();
        if cached.is_some() {
            return Ok(cached);
        }
        let Some(root) = self.ledger.root_at(size)? else { return Ok(None) };
        let mut roots = self.root_hashes.write().unwrap_or_else(PoisonError::into_inner);
        if roots.len() >= ROOTS_CACHED_MAX {
            roots.clear();
        }
        roots.insert(size, root);
        Ok(Some(root))
    }

    /// Where the entry with this place in a chain is.
    pub fn place(&self, stream: &StreamName, seq: u64) -> Result<Option<EntryPlace>, RegistryError> {
        Ok(self.ledger.place(stream.as_str(), seq)?)
    }

    /// Places of a chain from `seq` on, at most `limit`.
    pub fn places(&self, stream: &StreamName, seq: u64, limit: usize) -> Result<Vec<(u64, EntryPlace)>, RegistryError> {
        Ok(self.ledger.places(stream.as_str(), seq, limit)?)
    }

    /// The end of a chain.
    pub fn head(&self, stream: &StreamName) -> Result<Option<StreamHead>, RegistryError> {
        Ok(self.ledger.head(stream.as_str())?)
    }

    /// What is known of a stream.
    pub fn stream(&self, stream: &StreamName) -> Result<Option<StreamRow>, RegistryError> {
        self.json_row(&rows::stream_key(stream))
    }

    /// What time a block of a stream's segments covers.
    pub fn block(&self, stream: &StreamName, block: u64) -> Result<Option<Span>, RegistryError> {
        self.json_row(&rows::block_key(stream, block))
    }

    /// The newest `recipients` of a scope.
    pub fn newest_recipients(&self, scope: &str) -> Result<Option<NewestRecipients>, RegistryError> {
        let Some(row): Option<RecipientsRow> = self.json_row(&rows::recipients_key(scope))? else { return Ok(None) };
        let leaf = Hash::from_hex(&row.leaf).ok_or(RowError)?;
        match self.statement(&leaf)?.map(|signed| signed.statement().body.clone()) {
            Some(Body::Recipients(body)) => Ok(Some(NewestRecipients { leaf, body })),
            _ => Err(RegistryError::Entry),
        }
    }

    /// The signed statement with this leaf hash.
    pub fn statement(&self, leaf: &Hash) -> Result<Option<SignedStatement>, RegistryError> {
        match self.ledger.index_of(leaf)? {
            None => Ok(None),
            Some(index) => self.statement_at(index).map(Some),
        }
    }

    /// The signed statement at an index that a checkpoint covers.
    pub fn statement_at(&self, index: u64) -> Result<SignedStatement, RegistryError> {
        let entry = self.ledger.entry(index)?.ok_or(RegistryError::Entry)?;
        SignedStatement::parse(&entry).map_err(|_| RegistryError::Entry)
    }

    /// Who named an attachment, after the given key: one page, with keys to go on from.
    pub fn attachment(&self, sha256: &Hash, after: &[u8]) -> Result<Vec<(Vec<u8>, AttachmentRow)>, RegistryError> {
        let found = self.ledger.annotations(&rows::attachment_prefix(sha256), after, ATTACHMENT_ROWS_PAGE)?;
        found.into_iter().map(|(key, value)| Ok((key, rows::from_json(&value)?))).collect()
    }

    /// The value of the row with exactly this key.
    pub fn row(&self, key: &[u8]) -> Result<Option<Vec<u8>>, RegistryError> {
        // Of all keys that begin with it, the key itself is the first.
        let first = self.ledger.annotations(key, key, 1)?.pop();
        Ok(first.filter(|(found, _)| found == key).map(|(_, value)| value))
    }

    fn json_row<T: serde::de::DeserializeOwned>(&self, key: &[u8]) -> Result<Option<T>, RegistryError> {
        Ok(self.row(key)?.map(|value| rows::from_json(&value)).transpose()?)
    }
}

/// At 4 KiB each, 64 MiB; a city has fewer devices and people, and what is dropped is read again.
const CERTIFICATES_CACHED_MAX: usize = 16 * 1024;
/// Heads that issuers may be a little behind with; 40 bytes each.
const ROOTS_CACHED_MAX: usize = 16 * 1024;
/// A log that has met more authorities than this has another problem.
const ISSUERS_MAX: usize = 64;
/// 64 bytes each.
const REVOCATIONS_PAGE: usize = 1024;
/// An answer has so many. Who decides is asked for by name, so that others crowd nobody out.
pub const APPROVALS_PAGE: usize = 64;
/// Most attachments are named once.
const ATTACHMENT_ROWS_PAGE: usize = 64;

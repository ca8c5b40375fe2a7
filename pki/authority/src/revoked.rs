//! What the authority remembers of whom it has revoked: `revoked.json` in its folder, from which every list (CRL) is made.
//!
//! A record that is damaged is refused, never taken for an empty one: the next list would make revoked certificates good again.

use std::fs::File;
use std::path::{Path, PathBuf};

use exhibit_evidence::body::REVOCATION_REASONS;
use exhibit_pki::crl::{NewRevocationList, Revocation, RevocationList, RevocationReason, make_revocation_list};
use exhibit_pki::{Certificate, Fingerprint, Timestamp};
use serde::{Deserialize, Serialize};

use crate::ca::Authority;
use crate::failure::Failure;
use crate::files;

/// The record.
pub struct Revoked {
    /// Freed with the process: two that change the record at once would lose what one of them wrote.
    _lock: File,
    path: PathBuf,
    record: Record,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Record {
    #[serde(rename = "type")]
    type_name: String,
    /// The number of the last list.
    number: u64,
    revocations: Vec<Entry>,
}

#[derive(Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Entry {
    fingerprint: String,
    serial: String,
    /// When the authority revoked it.
    revoked: String,
    /// Since when its key is not to be believed.
    since: String,
    reason: String,
    /// Whether that is on the ledger: what is not is on no list that is given out.
    stated: bool,
}

impl Revoked {
    /// What was recorded; nothing where nobody was ever revoked. Waits for whoever works with it.
    pub fn open(authority: &Authority) -> Result<Self, Failure> {
        let lock_path = authority.folder.join(LOCK);
        let lock = File::options().write(true).create(true).truncate(false).open(&lock_path);
        let lock = lock.and_then(|lock| lock.lock().map(|()| lock)).map_err(Failure::file("lock", &lock_path))?;
        let path = authority.folder.join(FILE);
        let record = match files::read_record_if_there(&path)? {
            None => Record { type_name: TYPE.to_owned(), number: 0, revocations: Vec::new() },
            Some(text) => serde_json::from_str(&text).map_err(|error| Failure::content(&path, error))?,
        };
        if record.type_name != TYPE {
            return Err(Failure::content(&path, format!("it is not {TYPE}")));
        }
        let revoked = Self { _lock: lock, path, record };
        revoked.revocations(|_| true)?;
        Ok(revoked)
    }

    /// Since when a certificate is revoked on the ledger.
    pub fn since(&self, fingerprint: &Fingerprint) -> Result<Option<Timestamp>, Failure> {
        let fingerprint = hex::encode(fingerprint);
        let found = self.record.revocations.iter().find(|entry| entry.fingerprint == fingerprint && entry.stated);
        found.map(|entry| self.time(&entry.since)).transpose()
    }

    /// Remembers that a certificate is to be revoked, and makes the list that says so; both before anybody hears of it.
    pub fn begin(
        &mut self,
        authority: &Authority,
        certificate: &Certificate,
        (since, reason): (Timestamp, Option<RevocationReason>),
        (now, next_update): (Timestamp, Timestamp),
    ) -> Result<RevocationList, Failure> {
        let (word, _) = REVOCATION_REASONS.iter().find(|(_, known)| *known == reason).expect("every reason has a word");
        let fingerprint = hex::encode(certificate.fingerprint());
        let before = self.record.revocations.iter().find(|entry| entry.fingerprint == fingerprint && entry.stated);
        let revoked = before.map_or_else(|| now.to_string(), |before| before.revoked.clone());
        let entry = Entry {
            serial: hex::encode(certificate.serial()),
            revoked,
            since: since.to_string(),
            reason: (*word).to_owned(),
            stated: false,
            fingerprint: fingerprint.clone(),
        };
        // What was stated of it before counts until this is.
        self.record.revocations.retain(|entry| entry.fingerprint != fingerprint || entry.stated);
        self.record.revocations.push(entry);
        let is_listed = |listed: &Entry| if listed.fingerprint == fingerprint { !listed.stated } else { listed.stated };
        self.list(authority, is_listed, now, next_update)
    }

    /// It is on the ledger.
    pub fn stated(&mut self, fingerprint: &Fingerprint) -> Result<(), Failure> {
        let fingerprint = hex::encode(fingerprint);
        let is_of = |entry: &Entry| entry.fingerprint == fingerprint;
        if !self.record.revocations.iter().any(|entry| is_of(entry) && !entry.stated) {
            return Ok(());
        }
        self.record.revocations.retain(|entry| !is_of(entry) || !entry.stated);
        self.record.revocations.iter_mut().filter(|entry| entry.fingerprint == fingerprint).for_each(|entry| entry.stated = true);
        self.write()
    }

    /// The ledger takes none of it.
    pub fn refused(&mut self, fingerprint: &Fingerprint) -> Result<(), Failure> {
        let fingerprint = hex::encode(fingerprint);
        self.record.revocations.retain(|entry| entry.fingerprint != fingerprint || entry.stated);
        self.write()
    }

    /// A new list of all that the ledger has.
    pub fn renew(&mut self, authority: &Authority, now: Timestamp, next_update: Timestamp) -> Result<RevocationList, Failure> {
        self.list(authority, |entry| entry.stated, now, next_update)
    }

    /// The number of the last list.
    pub fn number(&self) -> u64 {
        self.record.number
    }

    /// Those of which it is not known whether the ledger has their revocation.
    pub fn begun(&self) -> Vec<String> {
        self.record.revocations.iter().filter(|entry| !entry.stated).map(|entry| entry.fingerprint.clone()).collect()
    }

    /// How many are revoked on the ledger.
    pub fn count(&self) -> usize {
        self.record.revocations.iter().filter(|entry| entry.stated).count()
    }

    /// The number is used up before the list is made: no two lists have one.
    fn list(
        &mut self,
        authority: &Authority,
        is_listed: impl Fn(&Entry) -> bool,
        now: Timestamp,
        next_update: Timestamp,
    ) -> Result<RevocationList, Failure> {
        let revocations = self.revocations(is_listed)?;
        self.record.number += 1;
        self.write()?;
        let new = NewRevocationList { number: self.record.number.into(), this_update: now, next_update, revocations: &revocations };
        authority.list(|issuing, key| make_revocation_list(&new, issuing, key))
    }

    fn revocations(&self, is_listed: impl Fn(&Entry) -> bool) -> Result<Vec<Revocation>, Failure> {
        let damaged = |what: &str| Failure::content(&self.path, format!("{what} in it is malformed: put it back from a backup"));
        let revocation = |entry: &Entry| {
            let (revoked, since) = (self.time(&entry.revoked)?, self.time(&entry.since)?);
            let reason = REVOCATION_REASONS.iter().find(|(word, _)| *word == entry.reason).ok_or_else(|| damaged("a reason"))?;
            Ok(Revocation {
                serial: hex::decode(&entry.serial).map_err(|_| damaged("a serial number"))?,
                revoked,
                reason: reason.1,
                invalid_since: (since < revoked).then_some(since),
            })
        };
        self.record.revocations.iter().filter(|entry| is_listed(entry)).map(revocation).collect()
    }

    fn time(&self, text: &str) -> Result<Timestamp, Failure> {
        Timestamp::parse(text).map_err(|error| Failure::content(&self.path, error))
    }

    fn write(&self) -> Result<(), Failure> {
        let text = serde_json::to_string_pretty(&self.record).map_err(|error| Failure::content(&self.path, error))?;
        files::replace(&self.path, text.as_bytes())
    }
}

/// Where the newest list lies, DER, beside the record.
pub fn newest_list(folder: &Path) -> PathBuf {
    folder.join(LIST)
}

const FILE: &str = "revoked.json";
const LOCK: &str = "revoked.lock";
const LIST: &str = "issuing.crl";
const TYPE: &str = "exhibit-revoked/v1";

//! Finding evidence at the appliance: segments of an interval, epochs, and the keys that one's own wrapping certificate opens.
//!
//! It decides nothing about rights: what the appliance refuses comes back as a failure.

use std::path::Path;

use exhibit_client::{Appliance, ClientError, Receipt};
use exhibit_evidence::envelope::{self, KeyPackage};
use exhibit_evidence::keytree::KeyTree;
use exhibit_evidence::{Body, SignedStatement, StreamName, body, exchange};
use exhibit_pki::{Certificate, Fingerprint, SoftwareSigner, Timestamp};
use exhibit_tlog::Hash;

use crate::failure::Failure;
use crate::session::{Session, WRAPPING_CERTIFICATE, WRAPPING_KEY, read_certificate, read_key};

/// A page of a listing has at most 64 entries; this many pages are a day of two-second segments, and a bound on a server that never ends.
const PAGES_MAX: usize = 1_000;
/// A wrap is at most this long: 64 recipients, and a grant of many streams.
const WRAP_BYTES_MAX: u64 = 1 << 20;

/// An entry got from the appliance, its receipt verified.
pub struct Found {
    /// The signed statement. Whose it is, is judged by `evidence::verify`.
    pub signed: SignedStatement,
    /// Its receipt.
    pub receipt: Receipt,
}

/// The keys that open what is wrapped to a person.
pub struct Opener {
    certificate: Certificate,
    key: SoftwareSigner,
}

impl Opener {
    /// Reads the wrapping certificate and key of an identity.
    pub fn open(identity: &Path) -> Result<Self, Failure> {
        Ok(Self { certificate: read_certificate(&identity.join(WRAPPING_CERTIFICATE))?, key: read_key(&identity.join(WRAPPING_KEY))? })
    }

    /// The wrapping certificate.
    pub fn certificate(&self) -> &Certificate {
        &self.certificate
    }

    /// Gets and opens the `wraps` of a statement; the package must be for the log that is trusted, or for the one that the statement was made for:
    /// what was stated to the log before goes on here.
    pub async fn keys_of(&self, session: &mut Session, signed: &SignedStatement) -> Result<KeyPackage, Failure> {
        let named = signed.statement().body.attachment("wraps");
        let named = named.filter(|named| named.length <= WRAP_BYTES_MAX).cloned();
        let named = named.ok_or_else(|| Failure::Untrustworthy("the statement names no wrapped keys".to_owned()))?;
        let stored = session.attachment(&named).await?;
        let wrap =
            named.open(&stored).ok_or_else(|| Failure::Untrustworthy("the wrapped keys are not those that were signed".to_owned()))?;
        let content = envelope::open(wrap, &self.certificate, &self.key).map_err(|error| Failure::Cannot(error.to_string()))?;
        let package = KeyPackage::parse(&content).map_err(|error| Failure::Untrustworthy(error.to_string()))?;
        if package.log != session.anchor.log && package.log != signed.statement().log {
            return Err(Failure::Untrustworthy("the wrapped keys are for another log".to_owned()));
        }
        Ok(package)
    }

    /// The whole tree of an epoch that was wrapped to this person, checked against the camera's commitment.
    pub async fn epoch_tree(&self, session: &mut Session, epoch: &SignedStatement) -> Result<KeyTree, Failure> {
        let stream = &epoch.statement().stream;
        let package = self.keys_of(session, epoch).await?;
        let log = package.log;
        let tree = package.into_tree(&log, stream).map_err(|error| Failure::Untrustworthy(error.to_string()))?;
        let Body::Epoch(stated) = &epoch.statement().body else {
            return Err(Failure::Untrustworthy(format!("{stream} does not begin with an epoch statement")));
        };
        if !tree.is_committed(stream, &stated.commitment) {
            return Err(Failure::Untrustworthy(format!(
                "the keys that the camera wrapped for {stream} are not those that it committed to"
            )));
        }
        Ok(tree)
    }
}

impl Session {
    /// An attachment as stored: of the log that is read, or of the one that statements go to.
    pub async fn attachment(&mut self, named: &body::AttachmentRef) -> Result<Vec<u8>, Failure> {
        match self.appliance.attachment(named).await {
            Err(ClientError::Refused(problem)) if problem.status == 404 && self.is_of_ended() => {
                Ok(self.stated_to().attachment(named).await?)
            }
            stored => Ok(stored?),
        }
    }

    /// The segments of a series that overlap an interval by the camera's clock, in order of (stream, seq).
    pub async fn segments(&mut self, series: &str, from: Timestamp, to: Timestamp) -> Result<Vec<Found>, Failure> {
        let query = format!("/v1/segments?series={series}&from={from}&to={to}");
        let mut found = self.pages(&query).await?;
        // The appliance gives those that only touch it as well; in a bundle they would be what nobody asked for.
        found.retain(|found| found.segment().is_some_and(|segment| segment.overlaps(from, to)));
        Ok(found)
    }

    /// The entries of a stream from `first` to `last`, both included, as far as there are any.
    pub async fn entries(&mut self, stream: &StreamName, first: u64, last: u64) -> Result<Vec<Found>, Failure> {
        self.pages(&format!("/v1/streams/{stream}/entries?first={first}&last={last}", stream = stream.as_str())).await
    }

    /// The statement that began an epoch.
    pub async fn epoch(&mut self, stream: &StreamName) -> Result<Found, Failure> {
        let record: exchange::EntryRecord = self.appliance.get_json(&format!("/v1/streams/{}/0", stream.as_str())).await?;
        self.found(&record)
    }

    /// Every stream whose name begins with `prefix`, in order of name.
    pub async fn streams(&mut self, prefix: &str) -> Result<Vec<exchange::StreamRecord>, Failure> {
        let mut all: Vec<exchange::StreamRecord> = Vec::new();
        for _ in 0..PAGES_MAX {
            let after = all.last().map_or_else(String::new, |last| format!("&after={}", last.stream));
            let page: exchange::StreamRecords = self.appliance.get_json(&format!("/v1/streams?prefix={prefix}{after}")).await?;
            if page.streams.is_empty() {
                return Ok(all);
            }
            all.extend(page.streams);
        }
        Err(Failure::Cannot("the appliance's listing does not end: name a longer prefix".to_owned()))
    }

    /// Every page of a listing of entries.
    pub async fn pages(&mut self, query: &str) -> Result<Vec<Found>, Failure> {
        pages(&mut self.appliance, query).await
    }

    /// The same of the log that statements go to.
    pub async fn pages_of_next(&mut self, query: &str) -> Result<Vec<Found>, Failure> {
        pages(self.stated_to(), query).await
    }

    /// The first `approve` of an entry by each of these custodians; by everybody with the role, if nobody is named.
    pub async fn approvals(&mut self, leaf: &Hash, by: &[Fingerprint]) -> Result<Vec<Found>, Failure> {
        let path = format!("/v1/approvals/{leaf}");
        let mut found = Vec::new();
        for some in by.chunks(body::CUSTODIANS_MAX) {
            found.extend(self.pages(&format!("{path}?{}", exchange::by_query(some))).await?);
        }
        if by.is_empty() {
            found = self.pages(&path).await?;
        }
        found.retain(|found| matches!(&found.signed.statement().body, Body::Approve(approve) if approve.entry == *leaf));
        Ok(found)
    }

    /// Whether some entry introduced a certificate.
    pub async fn is_introduced(&mut self, fingerprint: &Fingerprint) -> Result<bool, Failure> {
        match self.appliance.get_json::<exchange::EntryRecord>(&format!("/v1/certificates/{}", hex::encode(fingerprint))).await {
            Ok(_) => Ok(true),
            Err(ClientError::Refused(problem)) if problem.status == 404 => Ok(false),
            Err(error) => Err(error.into()),
        }
    }

    /// Checks a record's receipt.
    pub fn found(&self, record: &exchange::EntryRecord) -> Result<Found, Failure> {
        let (signed, receipt) = self.appliance.open_record(record)?;
        Ok(Found { signed, receipt })
    }
}

async fn pages(appliance: &mut Appliance, query: &str) -> Result<Vec<Found>, Failure> {
    let mut all = Vec::new();
    let mut after: Option<String> = None;
    for _ in 0..PAGES_MAX {
        let page = match &after {
            None => query.to_owned(),
            Some(after) => format!("{query}{}after={after}", if query.contains('?') { '&' } else { '?' }),
        };
        let records: exchange::EntryRecords = appliance.get_json(&page).await?;
        for record in &records.entries {
            let (signed, receipt) = appliance.open_record(record)?;
            all.push(Found { signed, receipt });
        }
        after = records.next;
        if after.is_none() {
            return Ok(all);
        }
    }
    Err(Failure::Cannot("the appliance's listing does not end: ask for a shorter interval".to_owned()))
}

impl Found {
    /// The segment, if it is one.
    pub fn segment(&self) -> Option<&body::Segment> {
        match &self.signed.statement().body {
            Body::Segment(segment) => Some(segment),
            _ => None,
        }
    }
}

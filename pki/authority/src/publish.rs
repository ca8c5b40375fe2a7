//! The authority's stream on the ledger: it introduces itself, then each certificate that it issues.
//!
//! It does not issue. A statement is signed once and synced before it is sent; what was cut short is sent again, the same bytes
//! (exhibit-client's `Issuer` keeps that promise, in the authority's folder).

use exhibit_client::{Appliance, ClientError, Issuer};
use exhibit_evidence::body::{CertificateBody, CertificateRevocation};
use exhibit_evidence::{Anchor, AttachmentRef, Body, SignedStatement, exchange};
use exhibit_pki::crl::RevocationReason;
use exhibit_pki::{Certificate, Fingerprint, Timestamp};

use crate::ca::Authority;
use crate::failure::Failure;

/// An entry of the authority's.
pub struct Introduction {
    /// Its index.
    pub index: u64,
    /// Its leaf hash in hex, by which custodians approve of it.
    pub leaf: String,
}

/// The ledger, as the authority writes to it.
pub struct Ledger {
    appliance: Appliance,
    issuer: Issuer,
    /// What an earlier run had signed, and this one has delivered.
    delivered: Option<SignedStatement>,
}

impl Ledger {
    /// Connects as the authority, finishes what an earlier run left undone, and introduces the authority if nobody has: seq 0 of its stream
    /// carries its own certificate with all that leads to the root, so that every verifier can judge what follows.
    pub async fn open(authority: &Authority, address: &str, anchor: &Anchor, now: Timestamp) -> Result<Self, Failure> {
        if !anchor.roots.iter().any(|root| root.fingerprint() == authority.root.fingerprint()) {
            return Err(Failure::Cannot("the log of this anchor does not trust this authority's root: take its own anchor".to_owned()));
        }
        let identity = authority.identity();
        let series = authority.authority.identity().map(|identity| identity.subject.to_string());
        let series = series.ok_or_else(|| Failure::Cannot("authority.pem has no identity: it is not the one that init made".to_owned()))?;
        let mut appliance = Appliance::new(address, &identity, anchor)?;
        let mut issuer = Issuer::open(&authority.folder, &series, identity, anchor.log, now)?;
        let delivered = issuer.deliver_pending(&mut appliance).await?;
        if issuer.next_seq() == 0 {
            let stored = [authority.authority.der(), authority.issuing.der(), authority.root.der()];
            issuer.issue(&mut appliance, statement(&authority.authority, None, &stored), &stored, now).await?;
        }
        Ok(Self { appliance, issuer, delivered })
    }

    /// The certificate that an earlier run had meant to revoke, and that is revoked by now.
    pub fn delivered_revocation(&self) -> Option<Fingerprint> {
        match &self.delivered.as_ref()?.statement().body {
            Body::CertificateRevocation(body) => Some(body.fingerprint),
            _ => None,
        }
    }

    /// Puts a certificate on the ledger, in the place of another of the same holder, if `replaces` names one. The receipt has been verified.
    pub async fn publish(
        &mut self,
        certificate: &Certificate,
        replaces: Option<Fingerprint>,
        now: Timestamp,
    ) -> Result<Introduction, Failure> {
        let stored = [certificate.der()];
        let body = statement(certificate, replaces, &stored);
        let (signed, receipt) = self.issuer.issue(&mut self.appliance, body, &stored, now).await?;
        Ok(Introduction { index: receipt.index, leaf: signed.leaf_hash().to_string() })
    }

    /// States since when a certificate is not to be believed, with the list that says so too. The receipt has been verified.
    pub async fn revoke(
        &mut self,
        certificate: &Certificate,
        since: Timestamp,
        reason: Option<RevocationReason>,
        list: &[u8],
        now: Timestamp,
    ) -> Result<Introduction, Failure> {
        let attachments = vec![AttachmentRef::of("crl", list, false)];
        let body = CertificateRevocation { fingerprint: *certificate.fingerprint(), since, reason, attachments };
        let (signed, receipt) = self.issuer.issue(&mut self.appliance, Body::CertificateRevocation(body), &[list], now).await?;
        Ok(Introduction { index: receipt.index, leaf: signed.leaf_hash().to_string() })
    }

    /// The entry that introduced a certificate, if one did.
    pub async fn find(&mut self, certificate: &Certificate) -> Result<Option<Introduction>, Failure> {
        let path = format!("/v1/certificates/{}", hex::encode(certificate.fingerprint()));
        let record: exchange::EntryRecord = match self.appliance.get_json(&path).await {
            Ok(record) => record,
            Err(ClientError::Refused(problem)) if problem.status == NOT_FOUND => return Ok(None),
            Err(error) => return Err(error.into()),
        };
        let (signed, receipt) = self.appliance.open_record(&record)?;
        match &signed.statement().body {
            Body::Certificate(body) if body.fingerprint == *certificate.fingerprint() => {
                Ok(Some(Introduction { index: receipt.index, leaf: signed.leaf_hash().to_string() }))
            }
            _ => Err(ClientError::Untrustworthy("it gave another entry than the one that introduced the certificate".to_owned()).into()),
        }
    }
}

/// The statement that introduces `certificate`: `stored` is the certificate itself and, where it introduces itself, what issued it.
fn statement(certificate: &Certificate, replaces: Option<Fingerprint>, stored: &[&[u8]]) -> Body {
    let name = |position: usize| match position.checked_sub(1) {
        None => "certificate".to_owned(),
        Some(issuer) => format!("issuer-{issuer}"),
    };
    let attachments = stored.iter().enumerate().map(|(position, bytes)| AttachmentRef::of(&name(position), bytes, false)).collect();
    Body::Certificate(CertificateBody { fingerprint: *certificate.fingerprint(), replaces, attachments })
}

/// HTTP: there is no such entry.
const NOT_FOUND: u16 = 404;

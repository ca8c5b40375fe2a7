//! Fetches recipients and their certificates, has them judged, and keeps what was accepted, so that a camera can begin without a link.
//!
//! It does not judge: `recipients` does. What was kept is judged again, like what has just come.

use std::{
    io,
    path::{Path, PathBuf},
};

use exhibit_client::{Appliance, ClientError, Receipt, open_record};
use exhibit_evidence::{
    Anchor, Pin, SignedStatement,
    exchange::{EntryRecord, EntryRecords, by_query},
};
use exhibit_pki::{Certificate, Fingerprint, Subject, Verifier};
use exhibit_tlog::Hash;
use serde::{Deserialize, Serialize};

use crate::{
    recipients::{Accepted, Approval, Custodians, Obeyed, RecipientsError, Trust, judge_certificates, judge_succession, recipients_of},
    storage,
};

/// So many sets can be missed; a camera that was away longer is enrolled anew.
const SUCCESSION_MAX: usize = 64;
/// Approvals of one set that are looked at: as many custodians as a set names. The appliance is asked for theirs.
const APPROVALS_MAX: usize = 64;
/// A record, its signer and 64 certificates.
const KEPT_BYTES_MAX: u64 = 4 << 20;

/// Why there are no (new) recipients.
#[derive(Debug, thiserror::Error)]
pub enum ObtainError {
    /// None were set yet.
    #[error("no custodian has set recipients for this camera yet: run `exhibit recipients set`")]
    None,
    /// The appliance.
    #[error(transparent)]
    Client(#[from] ClientError),
    /// They are not to be obeyed.
    #[error("the recipients on the ledger are not obeyed: {0}")]
    Judged(#[from] RecipientsError),
    /// The certificate is not on the ledger as it must be.
    #[error("certificate {fingerprint}: {reason}")]
    Certificate {
        /// Whose, hex.
        fingerprint: String,
        /// Why not.
        reason: String,
    },
    /// The disk.
    #[error("cannot keep the recipients in {path}: {source}")]
    Storage {
        /// Which file.
        path: PathBuf,
        /// What happened.
        source: io::Error,
    },
    /// What was kept is not what we wrote.
    #[error("the recipients kept in {0} are damaged or older than those obeyed before")]
    Kept(PathBuf),
}

/// What recipients are obtained for.
pub struct Obtain<'a> {
    /// The log and the first custodians.
    pub pin: &'a Pin,
    /// The anchors of the log and of those that it goes on for.
    pub anchors: &'a [Anchor],
    /// Us.
    pub camera: &'a Subject,
    /// Issuing authorities.
    pub intermediates: &'a [Certificate],
    /// Checks signatures.
    pub verifier: &'a dyn Verifier,
}

/// What is kept, beside the certificates in force.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Kept {
    #[serde(rename = "type")]
    type_name: String,
    record: EntryRecord,
    signer: String,
    certificates: Vec<String>,
}

const TYPE: &str = "exhibit-camera-recipients/v1";

/// An entry of the ledger that states recipients.
struct Stated {
    signed: SignedStatement,
    receipt: Receipt,
}

impl Obtain<'_> {
    fn trust(&self) -> Trust<'_> {
        Trust { camera: self.camera, roots: &self.pin.anchor.roots, intermediates: self.intermediates, verifier: self.verifier }
    }

    /// Asks for the newest recipients; `None` if they are those in force, on the same log. What was accepted is synced to `keep` when this returns. Sets that too
    /// few custodians stand behind so far bar none that was decided before them.
    pub async fn newest(&self, appliance: &mut Appliance, obeyed: Option<&Obeyed>, keep: &Path) -> Result<Option<Obeyed>, ObtainError> {
        let in_force = obeyed.map(|obeyed| &obeyed.accepted);
        let (mut record, mut newest) = match self.record(appliance, &format!("/v1/recipients/{}", self.camera)).await {
            Err(ObtainError::Client(ClientError::Refused(problem))) if problem.status == 404 => return Err(ObtainError::None),
            other => other?,
        };
        if let Some(obeyed) = obeyed.filter(|obeyed| obeyed.accepted.leaf == newest.signed.leaf_hash()) {
            return self.moved(obeyed, &record, newest.receipt.log, keep);
        }
        let mut undecided = 0;
        let (accepted, signer) = loop {
            let refused = match self.follow(appliance, in_force, &newest).await {
                Err(ObtainError::Judged(refused @ RecipientsError::NotApproved { .. })) if undecided < SUCCESSION_MAX => refused,
                followed => break followed?,
            };
            let replaced = recipients_of(&newest.signed)?.replaces.filter(|leaf| in_force.is_none_or(|accepted| accepted.leaf != *leaf));
            let Some(replaced) = replaced else { return Err(refused.into()) };
            undecided += 1;
            (record, newest) = self.record(appliance, &format!("/v1/entries/{replaced}")).await?;
            if newest.signed.leaf_hash() != replaced {
                return Err(ClientError::Untrustworthy("another entry was given than was asked for".to_owned()).into());
            }
        };
        let mut certificates = Vec::new();
        for fingerprint in &recipients_of(&newest.signed)?.recipients {
            certificates.push(self.certificate(appliance, fingerprint, newest.receipt.index).await?);
        }
        let obeyed = judge_certificates(&self.trust(), accepted, &newest.signed, certificates, newest.receipt.log)?;
        write_kept(keep, &record, &signer.to_pem(), &obeyed)?;
        Ok(Some(obeyed))
    }

    /// The set in force, where another log has it now than before.
    fn moved(&self, obeyed: &Obeyed, record: &EntryRecord, on: Hash, keep: &Path) -> Result<Option<Obeyed>, ObtainError> {
        if obeyed.on == on {
            return Ok(None);
        }
        let moved = Obeyed { on, ..obeyed.clone() };
        if let Some(kept) = read_kept(keep)? {
            write_kept(keep, record, &kept.signer, &moved)?;
        }
        Ok(Some(moved))
    }

    /// What was kept, judged again; `None` if nothing was. `number_min` is what the state remembers: an older file was put in its place.
    pub fn kept(&self, keep: &Path, number_min: u64) -> Result<Option<Obeyed>, ObtainError> {
        let Some(kept) = read_kept(keep)? else { return Ok(None) };
        let damaged = || ObtainError::Kept(keep.to_owned());
        let (signed, receipt) = open_record(self.anchors, &kept.record)?;
        let signer = Certificate::from_pem(&kept.signer).map_err(|_| damaged())?;
        let certificates = kept.certificates.iter().map(|pem| Certificate::from_pem(pem)).collect::<Result<Vec<_>, _>>();
        // Its signer was judged by the custodians in force at the time, which are not kept; form, signature and paths are judged again.
        let custodians = Custodians { fingerprints: vec![*signer.fingerprint()], threshold: 1 };
        let accepted = judge_succession(&self.trust(), &custodians, None, &signed, &signer, &[])?;
        if accepted.number < number_min {
            return Err(damaged());
        }
        Ok(Some(judge_certificates(&self.trust(), accepted, &signed, certificates.map_err(|_| damaged())?, receipt.log)?))
    }

    /// From the set in force (or one that a pinned custodian signed) to the newest, each judged by the custodians that the one before named.
    async fn follow(
        &self,
        appliance: &mut Appliance,
        in_force: Option<&Accepted>,
        newest: &Stated,
    ) -> Result<(Accepted, Certificate), ObtainError> {
        let pinned = Custodians::pinned(self.pin);
        let mut behind: Vec<Stated> = Vec::new();
        let mut oldest = newest;
        while let Some(replaces) = self.missing(in_force, &pinned, &oldest.signed)? {
            if behind.len() >= SUCCESSION_MAX {
                break;
            }
            let (signed, receipt) = appliance.entry(&replaces).await?;
            behind.push(Stated { signed, receipt });
            oldest = behind.last().expect("one was just added");
        }
        let mut accepted = in_force.cloned();
        let mut last = None;
        for stated in behind.iter().rev().chain([newest]) {
            let custodians = accepted.as_ref().map_or_else(|| pinned.clone(), |accepted| accepted.next.clone());
            let signer = self.certificate(appliance, stated.signed.signer(), stated.receipt.index).await?;
            let approvals = if custodians.threshold > 1 { self.approvals(appliance, &custodians, stated).await? } else { Vec::new() };
            accepted = Some(judge_succession(&self.trust(), &custodians, accepted.as_ref(), &stated.signed, &signer, &approvals)?);
            last = Some(signer);
        }
        Ok(accepted.zip(last).expect("the newest was judged"))
    }

    /// Every approval of a set by one of these custodians.
    async fn approvals(&self, appliance: &mut Appliance, custodians: &Custodians, set: &Stated) -> Result<Vec<Approval>, ObtainError> {
        let path = format!("/v1/approvals/{}?{}", set.signed.leaf_hash(), by_query(&custodians.fingerprints));
        let records: EntryRecords = appliance.get_json(&path).await?;
        let mut approvals = Vec::new();
        for record in records.entries.iter().take(APPROVALS_MAX) {
            let (signed, receipt) = appliance.open_record(record)?;
            if custodians.fingerprints.contains(signed.signer()) {
                let signer = self.certificate(appliance, signed.signer(), receipt.index).await?;
                approvals.push(Approval { signed, signer });
            }
        }
        Ok(approvals)
    }

    /// The set that has to be judged before this one, if this one cannot be judged as it is.
    fn missing(&self, in_force: Option<&Accepted>, pinned: &Custodians, signed: &SignedStatement) -> Result<Option<Hash>, ObtainError> {
        let set = recipients_of(signed)?;
        let judgeable = match in_force {
            Some(accepted) => set.replaces == Some(accepted.leaf) || set.number <= accepted.number,
            None => pinned.fingerprints.contains(signed.signer()),
        };
        Ok(set.replaces.filter(|_| !judgeable))
    }

    async fn record(&self, appliance: &mut Appliance, path: &str) -> Result<(EntryRecord, Stated), ObtainError> {
        let record: EntryRecord = appliance.get_json(path).await?;
        let (signed, receipt) = appliance.open_record(&record)?;
        Ok((record, Stated { signed, receipt }))
    }

    /// A certificate by its fingerprint: pinned, or off the ledger, where it must stand below what uses it.
    async fn certificate(&self, appliance: &mut Appliance, fingerprint: &Fingerprint, below: u64) -> Result<Certificate, ObtainError> {
        if let Some(pinned) = self.pin.custodians.iter().find(|certificate| certificate.fingerprint() == fingerprint) {
            return Ok(pinned.clone());
        }
        let sha256 = Hash(*fingerprint);
        let refused = |reason: &str| ObtainError::Certificate { fingerprint: sha256.to_string(), reason: reason.to_owned() };
        let (_, stated) = self.record(appliance, &format!("/v1/certificates/{sha256}")).await?;
        if stated.receipt.index >= below {
            return Err(refused("it was put on the ledger after what uses it"));
        }
        let attachments = stated.signed.statement().body.attachments();
        let attachment = attachments.iter().find(|attachment| attachment.sha256 == sha256 && !attachment.erasable);
        let stored = appliance.attachment(attachment.ok_or_else(|| refused("the entry given for it does not introduce it"))?).await?;
        Certificate::from_der(&stored).map_err(|error| refused(&error.to_string()))
    }
}

/// `None` if nothing was kept.
fn read_kept(path: &Path) -> Result<Option<Kept>, ObtainError> {
    let storage = |source| ObtainError::Storage { path: path.to_owned(), source };
    let Some(bytes) = storage::read_bounded(path, KEPT_BYTES_MAX).map_err(storage)? else { return Ok(None) };
    let kept = serde_json::from_slice::<Kept>(&bytes).ok().filter(|kept| kept.type_name == TYPE);
    kept.map(Some).ok_or_else(|| ObtainError::Kept(path.to_owned()))
}

fn write_kept(path: &Path, record: &EntryRecord, signer_pem: &str, obeyed: &Obeyed) -> Result<(), ObtainError> {
    let kept = Kept {
        type_name: TYPE.to_owned(),
        record: record.clone(),
        signer: signer_pem.to_owned(),
        certificates: obeyed.certificates.iter().map(Certificate::to_pem).collect(),
    };
    let json = serde_json::to_vec_pretty(&kept).expect("records are plain data");
    storage::replace(path, &json).map_err(|source| ObtainError::Storage { path: path.to_owned(), source })
}

impl ObtainError {
    /// True for what the log that goes on for ours would say to whoever does not know it yet: receipts under its keys, and that it does not
    /// know our certificate.
    pub fn may_be_of_successor(&self) -> bool {
        self.is_excused_by_successor() || self.is_untrustworthy()
    }

    /// True for what the log that goes on says while too few custodians have approved it. A contradiction under our log's own keys is not.
    pub fn is_excused_by_successor(&self) -> bool {
        match self {
            Self::Client(ClientError::Refused(problem)) => problem.status == 403,
            error => matches!(error, Self::Client(ClientError::OtherLog(_))),
        }
    }

    /// True for an answer that contradicts our log under its own keys, or does not prove what it should.
    pub fn is_contradiction(&self) -> bool {
        matches!(self, Self::Client(ClientError::Untrustworthy(_)))
    }

    /// True for what an auditor has to see, rather than a link that is down.
    pub fn is_untrustworthy(&self) -> bool {
        matches!(self, Self::Client(ClientError::Untrustworthy(_) | ClientError::OtherLog(_)))
    }
}

//! Enrolments: on what evidence a device got its certificate, judged again.
//!
//! That a challenge was opened is the authority's word: its opening can be shown to nobody afterwards.

use std::collections::HashMap;

use exhibit_pki::attestation::{
    AttestationKey, EndorsementCertificate, EndorsementKey, EndorsementSuite, PublicArea, QualifyingData, VendorTrust,
};
use exhibit_pki::{ChainCertificate, Fingerprint, Suite};
use exhibit_tlog::Hash;

use super::super::Judgement;
use super::super::entries::{Entries, Entry};
use crate::Body;
use crate::anchor::DeviceLevel;
use crate::body::{DevicePolicy, Enrolment, enrolment_qualifying_data};
use crate::bundle::SourceError;
use crate::verdict::{Axis, FindingKind};

/// What an enrolment shows of a device.
pub(super) struct Device {
    pub level: DeviceLevel,
    /// Who stands behind its endorsement key, by a root of the anchor.
    pub vendor: Option<String>,
    /// Of which suites the keys of its TPM are.
    pub suites: Option<Suites>,
    attestation_key: Option<AttestationKey>,
}

/// The suites that an enrolment with evidence hangs on: it shows as much as the weakest of them.
pub(super) struct Suites {
    endorsement: EndorsementSuite,
    attestation: Suite,
    device: Suite,
}

impl std::fmt::Display for Suites {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { endorsement, attestation, device } = self;
        write!(f, "the TPM's endorsement key is of {endorsement}, its attestation key of {attestation}, the camera's of {device}")
    }
}

/// The enrolments that hold.
#[derive(Default)]
pub(super) struct Enrolments {
    by_leaf: HashMap<Hash, (Fingerprint, Device)>,
    /// By certificate: the leaf hash of the enrolment that says most.
    best: HashMap<Fingerprint, Hash>,
}

impl Enrolments {
    /// What is known of the device of a certificate.
    pub fn best(&self, certificate: &Fingerprint) -> Option<&Device> {
        self.by_leaf.get(self.best.get(certificate)?).map(|(_, device)| device)
    }

    /// The attestation key that an enrolment introduced, and the certificate of its device.
    pub fn attestation_key(&self, leaf: &Hash) -> Option<(&Fingerprint, &AttestationKey)> {
        let (fingerprint, device) = self.by_leaf.get(leaf)?;
        Some((fingerprint, device.attestation_key.as_ref()?))
    }

    fn add(&mut self, leaf: Hash, fingerprint: Fingerprint, device: Device) {
        if self.best(&fingerprint).is_none_or(|best| best.level < device.level) {
            self.best.insert(fingerprint, leaf);
        }
        self.by_leaf.insert(leaf, (fingerprint, device));
    }
}

pub(super) fn judge(judgement: &mut Judgement<'_>, entries: &Entries) -> Result<Enrolments, SourceError> {
    let mut enrolments = Enrolments::default();
    for entry in &entries.held {
        let Body::Enrolment(body) = &entry.statement().body else { continue };
        match judge_one(judgement, entries, entry, body)? {
            Ok(device) => enrolments.add(entry.leaf, body.fingerprint, device),
            Err(reason) => {
                let sentence = format!("The evidence of the device that entry {} enrols does not hold: {reason}.", entry.index);
                judgement.bad(Axis::Device, FindingKind::Enrolment, entry.place(), sentence);
            }
        }
    }
    Ok(enrolments)
}

fn judge_one(
    judgement: &mut Judgement<'_>,
    entries: &Entries,
    entry: &Entry,
    body: &Enrolment,
) -> Result<Result<Device, String>, SourceError> {
    let Some(nonce) = &body.nonce else {
        return Ok(Ok(Device { level: DeviceLevel::Software, vendor: None, suites: None, attestation_key: None }));
    };
    let mut parts = Vec::new();
    for name in ["ek-public", "ak-public", "certify", "certify-signature", "key-public"] {
        let Some(part) = judgement.attachment(Axis::Device, entry, name)? else { return Ok(Err(format!("{name} is not here"))) };
        parts.push(part);
    }
    let endorsement_certificate = judgement.attachment(Axis::Device, entry, "ek-certificate")?;
    if body.policy == DevicePolicy::Attested && endorsement_certificate.is_none() {
        return Ok(Err("ek-certificate is not here".to_owned()));
    }
    let Some(certificate) = entries.certificates.introduced(&body.fingerprint) else {
        return Ok(Err("the device's certificate is not in the bundle".to_owned()));
    };
    let identity = certificate.identity().ok_or("the certificate is an authority's".to_owned());
    let judged = identity.and_then(|identity| {
        let text = |error: &dyn std::fmt::Display| error.to_string();
        let public = |bytes: &[u8]| PublicArea::from_bytes(bytes).map_err(|error| text(&error));
        let endorsement_key = match (body.policy, endorsement_certificate.as_deref()) {
            (DevicePolicy::Attested, Some(padded)) => {
                let certificate = EndorsementCertificate::from_nv(padded).map_err(|error| text(&error))?;
                EndorsementKey::from_public(public(&parts[0])?, &certificate).map_err(|error| text(&error))?
            }
            _ => EndorsementKey::listed(public(&parts[0])?).map_err(|error| text(&error))?,
        };
        let key = AttestationKey::from_public(public(&parts[1])?, &endorsement_key).map_err(|error| text(&error))?;
        let expected = QualifyingData::from_digest(enrolment_qualifying_data(nonce, identity));
        let device_key = public(&parts[4])?;
        let certified =
            key.verify_certify(judgement.verifier, &parts[2], &parts[3], &expected, &device_key).map_err(|error| text(&error))?;
        if certified.public_key() != certificate.public_key() {
            return Err("the key that the TPM certified is not that of the certificate".to_owned());
        }
        let suites = Suites { endorsement: endorsement_key.suite(), attestation: key.suite(), device: certified.public_key().suite() };
        Ok((key, suites))
    });
    // An endorsement certificate that leads to no root of the anchor's vendors says no more than the authority's list.
    let vendor = match endorsement_certificate.filter(|_| body.policy == DevicePolicy::Attested) {
        Some(padded) => vendor(judgement, entry, &padded)?,
        None => None,
    };
    let level = if vendor.is_some() { DeviceLevel::Attested } else { DeviceLevel::AllowListed };
    Ok(judged.map(|(key, suites)| Device { level, vendor, suites: Some(suites), attestation_key: Some(key) }))
}

/// Manufacturer and model, if the endorsement certificate led to a root of the anchor when the device was enrolled.
fn vendor(judgement: &mut Judgement<'_>, entry: &Entry, padded: &[u8]) -> Result<Option<String>, SourceError> {
    let issuers: Vec<String> = entry.statement().body.attachments().iter().map(|attachment| attachment.name.clone()).collect();
    let mut certificates = Vec::new();
    for name in issuers.iter().filter(|name| name.starts_with("ek-issuer-")) {
        let Some(der) = judgement.attachment(Axis::Device, entry, name)? else { continue };
        certificates.extend(ChainCertificate::from_der(&der).ok());
    }
    let trust = VendorTrust { roots: &judgement.anchor.policy.endorsement_roots, certificates: &certificates };
    let verified = EndorsementCertificate::from_nv(padded).ok().and_then(|found| found.verify(&trust, entry.statement().issued).ok());
    Ok(verified.map(|vendor| {
        let manufacturer = String::from_utf8_lossy(&vendor.manufacturer()).trim_end_matches('\0').to_owned();
        format!("{}, {}", manufacturer.escape_debug(), vendor.model())
    }))
}

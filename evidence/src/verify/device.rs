//! Device: where the camera's key is, by the enrolment on the ledger and by what its TPM attests.
//!
//! What a TPM's registers should be is no part of this: that they were so is told.

mod enrolment;

use std::collections::{BTreeMap, HashMap};

use exhibit_pki::attestation::{Attest, Attested, PcrValues, QualifyingData, VerifiedTime};
use exhibit_tlog::Hash;

use super::Judgement;
use super::entries::{Entries, Entry};
use crate::Body;
use crate::Statement;
use crate::anchor::DeviceLevel;
use crate::body::{AttestationKind, attestation_qualifying_data, start_qualifying_data};
use crate::bundle::SourceError;
use crate::verdict::{Axis, FindingKind, Grade};
use enrolment::Enrolments;

/// Judges the device of each camera certificate of the series, and gives the clock readings that hold, by index of the entry.
pub(super) fn judge(judgement: &mut Judgement<'_>, entries: &Entries) -> Result<HashMap<u64, VerifiedTime>, SourceError> {
    let enrolments = enrolment::judge(judgement, entries)?;
    judge_levels(judgement, entries, &enrolments);
    let mut readings = HashMap::new();
    let mut quoted: BTreeMap<&str, (usize, &Entry)> = BTreeMap::new();
    for entry in &entries.held {
        let Some(said) = Said::of(entry.statement()) else { continue };
        match judge_attestation(judgement, entry, &said, &enrolments)? {
            Ok(Some(reading)) => drop(readings.insert(entry.index, reading)),
            Ok(None) => quoted.entry(said.whose).or_insert((0, entry)).0 += 1,
            Err(reason) => {
                let sentence = format!("What the {} TPM is said to attest in entry {} does not hold: {reason}.", said.whose, entry.index);
                judgement.bad(Axis::Device, FindingKind::Attestation, entry.place(), sentence);
            }
        }
    }
    for (whose, (count, first)) in quoted {
        let sentence = format!(
            "The {whose} TPM stated the values of its registers {count} times. Whether these are those of the right software is not judged."
        );
        judgement.find(Axis::Device, Grade::NotDemanded, FindingKind::Quote, first.place(), sentence);
    }
    Ok(readings)
}

/// What a statement says that a TPM attests.
struct Said<'a> {
    whose: &'static str,
    kind: AttestationKind,
    /// The enrolment that introduced the attestation key.
    enrolment: &'a Hash,
    qualifying_data: QualifyingData,
}

impl<'a> Said<'a> {
    fn of(statement: &'a Statement) -> Option<Self> {
        let (whose, kind, enrolment, digest) = match &statement.body {
            Body::Attestation(body) => ("camera's", body.kind, &body.enrolment, attestation_qualifying_data(statement)),
            Body::Start(body) => ("appliance's", AttestationKind::Quote, body.enrolment.as_ref()?, start_qualifying_data(statement)),
            _ => return None,
        };
        Some(Self { whose, kind, enrolment, qualifying_data: QualifyingData::from_digest(digest) })
    }
}

/// Of each certificate that signed for the camera: what is known of the device, against what the anchor accepts.
fn judge_levels(judgement: &mut Judgement<'_>, entries: &Entries, enrolments: &Enrolments) {
    let mut first_by_signer: HashMap<[u8; 32], &Entry> = HashMap::new();
    let series = judgement.manifest.question.series.clone();
    for entry in entries.held.iter().filter(|entry| entry.statement().stream.series() == series) {
        first_by_signer.entry(*entry.signer().fingerprint()).or_insert(entry);
    }
    let mut signers: Vec<&Entry> = first_by_signer.into_values().collect();
    signers.sort_by_key(|entry| entry.index);
    for entry in signers {
        let name = entry.signer().common_name();
        let Some(device) = enrolments.best(entry.signer().fingerprint()) else {
            let sentence =
                format!("No enrolment of the certificate \"{name}\" is in the bundle: where the camera's key is, is its authority's word.");
            judgement.lacking(Axis::Device, FindingKind::NoEvidence, entry.place(), sentence);
            continue;
        };
        let what = match (device.level, &device.vendor) {
            (DeviceLevel::Attested, Some(vendor)) => format!(
                "The camera's key is in a TPM whose vendor stands behind it ({vendor}), by the word of the authority that this TPM answered it"
            ),
            (DeviceLevel::Software, _) => "The camera's key was enrolled without a TPM, and can be anywhere".to_owned(),
            _ => "The camera's key is in a TPM by its authority's word; no vendor of the anchor stands behind it".to_owned(),
        };
        let what = device.suites.as_ref().map_or(what.clone(), |suites| format!("{what} ({suites})"));
        match judgement.anchor.policy.device {
            Some(least) if device.level < least => {
                let sentence = format!("{what}: the anchor accepts no less than {}.", least.as_str());
                judgement.bad(Axis::Device, FindingKind::DeviceLevel, entry.place(), sentence);
            }
            None if device.level == DeviceLevel::Software => {
                judgement.lacking(Axis::Device, FindingKind::DeviceLevel, entry.place(), format!("{what}."));
            }
            _ => judgement.find(Axis::Device, Grade::Good, FindingKind::Holds, entry.place(), format!("{what}.")),
        }
    }
}

/// A reading of the clock, or a quote (`None`), that the attestation key of the signer's own enrolment signed for this very statement.
fn judge_attestation(
    judgement: &mut Judgement<'_>,
    entry: &Entry,
    said: &Said<'_>,
    enrolments: &Enrolments,
) -> Result<Result<Option<VerifiedTime>, String>, SourceError> {
    let Some((fingerprint, key)) = enrolments.attestation_key(said.enrolment) else {
        return Ok(Err("the enrolment that it names is not here, or did not hold".to_owned()));
    };
    if fingerprint != entry.signer().fingerprint() {
        return Ok(Err("the enrolment that it names is another device's".to_owned()));
    }
    let attest = judgement.attachment(Axis::Device, entry, "attest")?;
    let signature = judgement.attachment(Axis::Device, entry, "signature")?;
    let values = judgement.attachment(Axis::Device, entry, "values")?;
    let (Some(attest), Some(signature)) = (attest, signature) else { return Ok(Err("its parts are not here".to_owned())) };
    let expected = &said.qualifying_data;
    let verifier = judgement.verifier;
    Ok(match said.kind {
        AttestationKind::Time => key.verify_time(verifier, &attest, &signature, expected).map(Some).map_err(|error| error.to_string()),
        AttestationKind::Quote => registers(&attest, &values.unwrap_or_default()).and_then(|values| {
            key.verify_quote(verifier, &attest, &signature, expected, &values).map(|_| None).map_err(|error| error.to_string())
        }),
    })
}

/// The values of the registers, end to end, in the order of the selection that was signed.
fn registers(attest: &[u8], mut values: &[u8]) -> Result<PcrValues, String> {
    let attest = Attest::from_bytes(attest).map_err(|error| error.to_string())?;
    let Attested::Quote { selection, .. } = &attest.attested else { return Err("it is no quote".to_owned()) };
    let mut found = PcrValues::new();
    for (bank, registers) in selection.banks() {
        for register in registers {
            let value = values.split_off(..bank.digest_bytes()).ok_or("there are fewer values than registers")?;
            found.add(bank, register, value).map_err(|error| error.to_string())?;
        }
    }
    if values.is_empty() { Ok(found) } else { Err("there are more values than registers".to_owned()) }
}

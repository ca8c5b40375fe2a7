//! Witness: others have seen the bundle's checkpoint, as the anchor's policy asks for.
//!
//! It knows nothing of what a time in a cosignature is good for; `time` does.

use exhibit_tlog::{Cosigner, LogVerifier, WitnessError};

use super::{BundleCheckpoint, Judgement};
use crate::anchor::WitnessPolicy;
use crate::bundle::CHECKPOINT;
use crate::verdict::{Axis, FindingKind, Grade, Place};

pub(super) fn judge(judgement: &mut Judgement<'_>, checkpoint: &BundleCheckpoint) {
    let Some(witnesses) = &judgement.anchor.policy.witnesses else { return };
    let place = Place::file(CHECKPOINT);
    match cosigners(witnesses, &judgement.anchor.verifier, &checkpoint.note) {
        Ok(Cosigned { cosigners, quorum: true }) => match listed(&cosigners) {
            Some(names) => {
                let sentence = format!("The log as it is proven here was seen by {names}: as many as the anchor's policy asks for.");
                judgement.find(Axis::Witness, Grade::Good, FindingKind::Holds, place, sentence);
            }
            // A quorum of none is met by nobody, and a demand is not met by that.
            None => {
                let sentence = "The anchor's policy asks for no witness, and none was heard.";
                judgement.lacking(Axis::Witness, FindingKind::NoEvidence, place, sentence);
            }
        },
        Ok(Cosigned { cosigners, quorum: false }) => {
            let by = listed(&cosigners).map_or("by no witness of the anchor's policy".to_owned(), |names| format!("only by {names}"));
            let sentence = format!(
                "The log as it is proven here was seen {by}, and the policy asks for more: that the operator shows everybody the same log \
                 is not proven."
            );
            judgement.lacking(Axis::Witness, FindingKind::WitnessQuorum, place, sentence);
        }
        Err(reason) => {
            let sentence = format!("A line under the checkpoint bears the name of a witness and is not its signature: {reason}.");
            judgement.bad(Axis::Witness, FindingKind::Cosignature, place, sentence);
        }
    }
}

/// The witnesses of the policy that have cosigned a checkpoint.
pub(super) struct Cosigned {
    pub cosigners: Vec<Cosigner>,
    pub quorum: bool,
}

/// Verifies a note of the log, and every line on it that claims to be of a witness of the policy.
pub(super) fn cosigners(witnesses: &WitnessPolicy, log: &LogVerifier, note: &str) -> Result<Cosigned, WitnessError> {
    match witnesses.policy().verify_of(log, note) {
        Ok(witnessed) => Ok(Cosigned { cosigners: witnessed.cosigners().to_vec(), quorum: true }),
        Err(WitnessError::Quorum(cosigners)) => Ok(Cosigned { cosigners, quorum: false }),
        Err(error) => Err(error),
    }
}

fn listed(cosigners: &[Cosigner]) -> Option<String> {
    let told: Vec<String> = cosigners
        .iter()
        .map(|cosigner| match cosigner.unix_s.and_then(|unix_s| exhibit_pki::Timestamp::from_unix_ms(unix_s.checked_mul(1_000)?)) {
            Some(time) => format!("{} ({time})", cosigner.witness),
            None => cosigner.witness.clone(),
        })
        .collect();
    (!told.is_empty()).then(|| told.join(", "))
}

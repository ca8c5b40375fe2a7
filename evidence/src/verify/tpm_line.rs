//! The TPM's line: a signature of the bundle's checkpoint by a key that can not leave the machine on which the log began.
//!
//! Nobody needs it. It shows that this head was signed there, and not by whoever had copied the log's other keys; without it nothing is shown.

use exhibit_tlog::Note;

use super::{BundleCheckpoint, Judgement};
use crate::bundle::CHECKPOINT;
use crate::verdict::{Axis, FindingKind, Grade, Place};

pub(super) fn judge(judgement: &mut Judgement<'_>, checkpoint: &BundleCheckpoint) {
    let Some(key) = &judgement.anchor.policy.tpm_key else { return };
    let place = Place::file(CHECKPOINT);
    let line = Note::parse(&checkpoint.note).and_then(|note| note.signature_of(key).map(|line| line.is_some()));
    match line {
        Ok(true) => {
            let sentence = "The checkpoint is signed by the TPM of the log's machine too: it was not made with copied keys elsewhere.";
            judgement.find(Axis::Signature, Grade::Good, FindingKind::Holds, place, sentence);
        }
        Ok(false) => {}
        Err(reason) => {
            let sentence = format!("A line under the checkpoint bears the name of the log's TPM and is not its signature: {reason}.");
            judgement.bad(Axis::Signature, FindingKind::TpmLine, place, sentence);
        }
    }
}

//! Expiry: nothing is sealed after the validity of a certificate that it hangs on, whatever its issuer's clock says.
//!
//! Paths are judged at the time that a statement claims. A key whose certificate has expired is on no revocation list any more, so a claim is
//! held against what others say.

use super::Judgement;
use super::entries::Entries;
use super::time::Times;
use crate::verdict::{Axis, FindingKind};

pub(super) fn judge(judgement: &mut Judgement<'_>, entries: &Entries, times: &Times) {
    for entry in entries.all() {
        let Some(from) = &times.of(entry).not_before.external else { continue };
        if let Some(expired) = entry.path.certificates().iter().find(|certificate| certificate.not_after().unix_s() < from.at.unix_s()) {
            let sentence = format!(
                "Entry {} was sealed no earlier than {}, by the word of {}, and certificate \"{}\" had expired at {}.",
                entry.index,
                from.at,
                from.by,
                expired.common_name(),
                expired.not_after()
            );
            judgement.bad(Axis::Signature, FindingKind::CertificateExpired, entry.place(), sentence);
        }
    }
}

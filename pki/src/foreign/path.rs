//! Paths between foreign certificates at a moment (RFC 5280 section 6, without policies and name constraints).
//!
//! It knows no clock and no revocation.

use const_oid::ObjectIdentifier;

use super::{
    certificate::{Body, ChainCertificate},
    suite::Scheme,
};
use crate::Timestamp;

/// Why a certificate does not lead to an anchor.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ChainError {
    /// No chain of the given certificates leads to an anchor.
    #[error("no path from the certificate to an anchor")]
    NoPath,
    /// A certificate on the path was not yet or no longer valid.
    #[error("a certificate on the path was not valid at that moment")]
    Validity,
    /// A certificate on the path may not certify the one below it.
    #[error("a certificate on the path may not certify the one below it")]
    NotAnIssuer,
    /// A signature on the path does not verify.
    #[error("a signature on the path does not verify")]
    Signature,
}

/// Judges that `leaf`, a certificate for `purpose`, led to one of `anchors` at `at`, and gives the anchor. An anchor is believed as it is, a
/// leaf that is one too.
pub(crate) fn check_path<'a>(
    leaf: &'a Body,
    purpose: ObjectIdentifier,
    others: &'a [&'a ChainCertificate],
    anchors: &'a [ChainCertificate],
    at: Timestamp,
) -> Result<&'a ChainCertificate, ChainError> {
    if !leaf.is_valid_at(at) {
        return Err(ChainError::Validity);
    }
    let mut search = Search { purpose, others, anchors, at, signatures_left: SIGNATURES_MAX };
    search.extend(&mut vec![leaf])
}

struct Search<'a> {
    purpose: ObjectIdentifier,
    others: &'a [&'a ChainCertificate],
    anchors: &'a [ChainCertificate],
    at: Timestamp,
    signatures_left: usize,
}

impl<'a> Search<'a> {
    /// Depth first; of several dead ends the first is reported.
    fn extend(&mut self, path: &mut Vec<&'a Body>) -> Result<&'a ChainCertificate, ChainError> {
        let subject = *path.last().expect("the path begins with the leaf");
        if let Some(anchor) = self.anchors.iter().find(|anchor| anchor.body() == subject) {
            return Ok(anchor);
        }
        let mut dead_end = ChainError::NoPath;
        let candidates = self.anchors.iter().chain(self.others.iter().copied());
        for issuer in candidates.filter(|issuer| subject.names_issuer(issuer.body())) {
            if path.contains(&issuer.body()) || path.len() == PATH_CERTIFICATES_MAX {
                continue;
            }
            // Certificates that all bear one name make a search of factorial size: it is cut short.
            let Some(left) = self.signatures_left.checked_sub(1) else { break };
            self.signatures_left = left;
            let attempt = self.check_link(subject, issuer, path.len() - 1).and_then(|()| {
                path.push(issuer.body());
                let attempt = self.extend(path);
                path.pop();
                attempt
            });
            match attempt {
                Ok(anchor) => return Ok(anchor),
                Err(error) if dead_end == ChainError::NoPath => dead_end = error,
                Err(_) => {}
            }
        }
        Err(dead_end)
    }

    fn check_link(&self, subject: &Body, issuer: &ChainCertificate, below: usize) -> Result<(), ChainError> {
        if !issuer.may_issue(self.purpose, below) {
            return Err(ChainError::NotAnIssuer);
        }
        let scheme = Scheme::of(&subject.algorithm).ok_or(ChainError::Signature)?;
        if !issuer.key().verifies(scheme, &subject.tbs, &subject.signature) {
            return Err(ChainError::Signature);
        }
        if issuer.is_valid_at(self.at) { Ok(()) } else { Err(ChainError::Validity) }
    }
}

/// The same limits as for our own paths.
const PATH_CERTIFICATES_MAX: usize = 6;
const SIGNATURES_MAX: usize = 32;

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    /// A link of RSA-4096 that is out in the world, since there are no such keys in the other tests.
    #[test]
    fn a_vendor_of_tpms_leads_to_its_root() {
        let root = ChainCertificate::from_der(include_bytes!("../../tests/vectors/attestation/infineon-root.der")).unwrap();
        let vendor = ChainCertificate::from_der(include_bytes!("../../tests/vectors/attestation/infineon-manufacturing-003.der")).unwrap();
        let roots = [root];
        let at = |text| Timestamp::parse(text).unwrap();
        let purpose = ObjectIdentifier::new_unwrap("2.23.133.8.1");
        let check = |moment| check_path(vendor.body(), purpose, &[], &roots, at(moment)).map(ChainCertificate::fingerprint);
        assert_eq!(check("2026-11-20T12:00:00.000Z"), Ok(roots[0].fingerprint()));
        assert_eq!(check("2014-11-24T15:37:15.999Z"), Err(ChainError::Validity));
        let mut altered = vendor.der().to_vec();
        *altered.last_mut().unwrap() ^= 1;
        let altered = ChainCertificate::from_der(&altered).unwrap();
        let judged = check_path(altered.body(), purpose, &[], &roots, at("2026-11-20T12:00:00.000Z"));
        assert_eq!(judged, Err(ChainError::Signature));
    }
}

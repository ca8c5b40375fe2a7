//! Paths between foreign certificates at a moment (RFC 5280 section 6, without policies and name constraints).
//!
//! It knows no clock and no revocation.

use const_oid::ObjectIdentifier;

use super::{
    certificate::{Body, ChainCertificate},
    suite::Scheme,
};
use crate::{Timestamp, links::Links};

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
    if let Some(anchor) = anchors.iter().find(|anchor| anchor.body() == leaf) {
        return Ok(anchor);
    }
    let mut authorities: Vec<&ChainCertificate> = anchors.iter().collect();
    for other in others {
        if !authorities.contains(other) {
            authorities.push(other);
        }
    }
    let mut refused = None;
    let below_max = |place: usize| authorities[place].path_length_max();
    let (links, places) = Links::find(anchors.len(), authorities.len() - anchors.len(), below_max, |subject, issuer, may_certify| {
        let (subject, issuer) = (authorities[subject], authorities[issuer]);
        let may_issue = |()| {
            if may_certify && subject.may_issue(purpose, 0) {
                check_link(subject.body(), issuer, purpose)
            } else {
                Err(ChainError::NotAnIssuer)
            }
        };
        let judged = subject.body().names_issuer(issuer.body()).then_some(()).map(may_issue);
        if let Some(Err(error)) = judged.filter(|_| leaf.names_issuer(subject.body())) {
            refused.get_or_insert(error);
        }
        judged == Some(Ok(()))
    });
    let authority = |number: usize| authorities[places[number]];
    let may = |number: usize, below: usize| {
        let issuer = authority(number);
        if !issuer.may_issue(purpose, below) {
            return Err(ChainError::NotAnIssuer);
        }
        if !issuer.is_valid_at(at) {
            return Err(ChainError::Validity);
        }
        if below == 0 { check_link(leaf, issuer, purpose) } else { Ok(()) }
    };
    let named: Vec<usize> = (0..places.len()).filter(|number| leaf.names_issuer(authority(*number).body())).collect();
    let way = links.path(&named, may, refused.unwrap_or(ChainError::NoPath))?;
    Ok(&anchors[*way.last().expect("a way ends at an anchor")])
}

/// Judges that `issuer` issued `subject`, at whatever moment: what costs nothing is asked first.
fn check_link(subject: &Body, issuer: &ChainCertificate, purpose: ObjectIdentifier) -> Result<(), ChainError> {
    if !issuer.may_issue(purpose, 0) {
        return Err(ChainError::NotAnIssuer);
    }
    let scheme = Scheme::of(&subject.algorithm).ok_or(ChainError::Signature)?;
    let verified = issuer.key().verifies(scheme, &subject.tbs, &subject.signature);
    if verified { Ok(()) } else { Err(ChainError::Signature) }
}

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

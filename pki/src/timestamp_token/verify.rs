//! Judging tokens: whose word one is, by whom that is believed, and between which moments it was given.
//!
//! It knows no clock and no revocation, and does not read tokens.

use cms::{cert::IssuerAndSerialNumber, signed_data::SignerIdentifier};
use const_oid::{ObjectIdentifier, db::rfc5912::ID_KP_TIME_STAMPING};
use der::Encode;
use x509_cert::ext::pkix::KeyUsages;

use super::{CertificateId, Imprint, Info, IssuerSerial, Nonce, TimestampToken, TimestampTokenError};
use crate::{
    Fingerprint, Timestamp,
    foreign::{Body, ChainCertificate, DigestAlgorithm, check_path, directory_name},
};

/// Who is believed about time, and how far where an authority does not say.
pub struct TimestampTrust<'a> {
    /// Roots, or the certificates of timestamping authorities themselves.
    pub anchors: &'a [ChainCertificate],
    /// Certificates that may stand on the path beside those in the token.
    pub certificates: &'a [ChainCertificate],
    /// How far a clock may be wrong whose authority does not state its accuracy, in milliseconds.
    pub accuracy_unstated_ms: u64,
}

/// Holding one is the proof that an authority that is believed signed a token over the imprint asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VerifiedTimestamp {
    earliest: Timestamp,
    latest: Timestamp,
    authority: Fingerprint,
    policy: ObjectIdentifier,
    serial: Vec<u8>,
}

impl TimestampToken {
    /// Judges that an authority led to an anchor at the moment of the token, and signed it over `imprint` and, if one was sent, `nonce`.
    pub fn verify(
        &self,
        imprint: &Imprint,
        nonce: Option<&Nonce>,
        trust: &TimestampTrust<'_>,
    ) -> Result<VerifiedTimestamp, TimestampTokenError> {
        self.verify_by(imprint, nonce, std::slice::from_ref(trust)).map(|(_, verified)| verified)
    }

    /// The same by each of `trusts` in turn, up to the first that believes it: gives the position of that. Else the first reason by which it
    /// failed that is more than being a stranger's, which another's not knowing the authority does not undo. The signature is verified once,
    /// however many there are.
    pub fn verify_by(
        &self,
        imprint: &Imprint,
        nonce: Option<&Nonce>,
        trusts: &[TimestampTrust<'_>],
    ) -> Result<(usize, VerifiedTimestamp), TimestampTokenError> {
        self.judge(imprint, nonce, trusts, |authority| authority.key().verifies(self.scheme, &self.signed_attributes, &self.signature))
    }

    fn judge(
        &self,
        imprint: &Imprint,
        nonce: Option<&Nonce>,
        trusts: &[TimestampTrust<'_>],
        mut is_signed_by: impl FnMut(&ChainCertificate) -> bool,
    ) -> Result<(usize, VerifiedTimestamp), TimestampTokenError> {
        if self.info.imprint != *imprint {
            return Err(TimestampTokenError::Imprint);
        }
        if nonce.is_some_and(|nonce| self.info.nonce.as_ref() != Some(nonce)) {
            return Err(TimestampTokenError::Nonce);
        }
        let mut refusal = TimestampTokenError::NoCertificate;
        // A token names one certificate by its hash, so that whoever has it has the same key.
        let mut signed: Option<bool> = None;
        for (position, trust) in trusts.iter().enumerate() {
            match self.judge_by(trust, |authority| *signed.get_or_insert_with(|| is_signed_by(authority))) {
                Ok(verified) => return Ok((position, verified)),
                Err(error) if refusal.is_of_strangers() => refusal = error,
                Err(_) => {}
            }
        }
        Err(refusal)
    }

    fn judge_by(
        &self,
        trust: &TimestampTrust<'_>,
        is_signed_by: impl FnOnce(&ChainCertificate) -> bool,
    ) -> Result<VerifiedTimestamp, TimestampTokenError> {
        let certificates: Vec<&ChainCertificate> = self.certificates.iter().chain(trust.certificates).chain(trust.anchors).collect();
        let named = |certificate: &&ChainCertificate| self.certificate_id.names(certificate);
        let authority = certificates.iter().copied().find(named).ok_or(TimestampTokenError::NoCertificate)?;
        self.check_authority(authority.body()).map_err(TimestampTokenError::Certificate)?;
        if !is_signed_by(authority) {
            return Err(TimestampTokenError::Signature);
        }
        let out_of_range = TimestampTokenError::Profile("its time is out of range");
        let at = Timestamp::from_unix_ms(self.info.moment.0 / 1000).ok_or(out_of_range)?;
        check_path(authority.body(), ID_KP_TIME_STAMPING, &certificates, trust.anchors, at).map_err(TimestampTokenError::Path)?;
        // Only now: what a stranger says is a stranger's word, whatever it is.
        let (earliest, latest) = self.info.bounds(trust.accuracy_unstated_ms).ok_or(out_of_range)?;
        let Info { policy, serial, .. } = self.info.clone();
        Ok(VerifiedTimestamp { earliest, latest, authority: *authority.fingerprint(), policy, serial })
    }

    fn check_authority(&self, authority: &Body) -> Result<(), &'static str> {
        let is_signer = match &self.signer {
            SignerIdentifier::IssuerAndSerialNumber(IssuerAndSerialNumber { issuer, serial_number }) => {
                issuer.to_der().is_ok_and(|issuer| issuer == authority.issuer) && serial_number.as_bytes() == authority.serial
            }
            SignerIdentifier::SubjectKeyIdentifier(key) => authority.extensions.subject_key.as_deref() == Some(key.0.as_bytes()),
        };
        if !is_signer {
            return Err("the signer is named as another than the certificate");
        }
        if self.info.authority.as_ref().is_some_and(|name| *name != authority.subject) {
            return Err("it is not of the name that the token says");
        }
        check_timestamping(authority)
    }
}

impl VerifiedTimestamp {
    /// The moment before which the authority did not sign: the token's time less its accuracy, rounded down to the millisecond.
    pub fn earliest(&self) -> Timestamp {
        self.earliest
    }

    /// The moment after which the authority did not sign: the token's time and its accuracy, rounded up to the millisecond. The digest
    /// existed by then.
    pub fn latest(&self) -> Timestamp {
        self.latest
    }

    /// The certificate of the authority.
    pub fn authority(&self) -> &Fingerprint {
        &self.authority
    }

    /// The policy under which it signed.
    pub fn policy(&self) -> ObjectIdentifier {
        self.policy
    }

    /// The token's serial number: big-endian, without leading zeros.
    pub fn serial(&self) -> &[u8] {
        &self.serial
    }
}

impl Info {
    /// The earliest and the latest moment; `None` if one is before 1970 or beyond the year 9999.
    fn bounds(&self, accuracy_unstated_ms: u64) -> Option<(Timestamp, Timestamp)> {
        let accuracy_us = match self.accuracy_us {
            Some(accuracy_us) => accuracy_us,
            None => accuracy_unstated_ms.checked_mul(1000)?,
        };
        let (earliest_us, latest_us) = (self.moment.0.checked_sub(accuracy_us)?, self.moment.0.checked_add(accuracy_us)?);
        Some((Timestamp::from_unix_ms(earliest_us / 1000)?, Timestamp::from_unix_ms(latest_us.div_ceil(1000))?))
    }
}

impl CertificateId {
    /// True if it is the hash of this certificate, and its issuer and serial number if it says them.
    fn names(&self, certificate: &ChainCertificate) -> bool {
        let issuer_fits = self.issuer_serial.as_ref().is_none_or(|IssuerSerial { issuer, serial_number }| {
            let named = |name| directory_name(name).is_some_and(|name| name == certificate.body().issuer);
            matches!(issuer.as_slice(), [name] if named(name)) && serial_number.as_bytes() == certificate.body().serial
        });
        let algorithm = self.hash_algorithm.as_ref().map_or(Some(DigestAlgorithm::Sha256), DigestAlgorithm::of);
        issuer_fits && algorithm.is_some_and(|algorithm| algorithm.digest(certificate.der()) == self.hash.as_bytes())
    }
}

/// RFC 3161 section 2.3: timestamping is the one purpose of the key, and critical. What else the certificate says must not contradict it.
pub(super) fn check_timestamping(certificate: &Body) -> Result<(), &'static str> {
    let extensions = &certificate.extensions;
    match &extensions.extended_usage {
        Some((true, usage)) if usage.0 == [ID_KP_TIME_STAMPING] => {}
        Some((false, _)) => return Err("its extended key usage is not critical"),
        Some(_) => return Err("timestamping is not the one purpose of its key"),
        None => return Err("it has no extended key usage"),
    }
    let signs = KeyUsages::DigitalSignature | KeyUsages::NonRepudiation;
    if extensions.usage.is_some_and(|usage| !signs.contains(usage.0) || usage.0.is_empty()) {
        return Err("its key usage is more than signatures");
    }
    let authority = extensions.constraints.as_ref().is_some_and(|constraints| constraints.ca);
    if authority { Err("it is a certification authority") } else { Ok(()) }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::timestamp_token::token_of_response;

    fn chain(der: &[u8]) -> [ChainCertificate; 1] {
        [ChainCertificate::from_der(der).unwrap()]
    }

    /// An anchor may name sixteen, and each token beside a checkpoint is tried with each.
    #[test]
    fn a_tokens_signature_is_verified_once_however_many_are_believed() {
        let token = token_of_response(include_bytes!("../../tests/vectors/examples/token.tsr")).unwrap();
        let [root, issuing, stranger] = [
            &include_bytes!("../../tests/vectors/examples/root.der")[..],
            include_bytes!("../../tests/vectors/examples/issuing.der"),
            include_bytes!("../../tests/vectors/attestation/infineon-root.der"),
        ]
        .map(chain);
        let trust = |anchors| TimestampTrust { anchors, certificates: &issuing, accuracy_unstated_ms: 0 };
        let trusts = [trust(&stranger), trust(&stranger), trust(&root), trust(&root)];
        let imprint = token.imprint().clone();
        let judged = |trusts: &[TimestampTrust<'_>], is_signed: bool| {
            let mut verified = 0;
            let judged = token.judge(&imprint, None, trusts, |_| {
                verified += 1;
                is_signed
            });
            (judged.map(|(position, _)| position), verified)
        };
        assert_eq!(judged(&trusts, true), (Ok(2), 1));
        assert_eq!(judged(&trusts, false), (Err(TimestampTokenError::Signature), 1));
        assert!(matches!(judged(&trusts[..2], true), (Err(TimestampTokenError::Path(_)), 1)));
        assert_eq!(judged(&[], true), (Err(TimestampTokenError::NoCertificate), 0));
        assert_eq!(token.verify_by(&imprint, None, &trusts).map(|(position, _)| position), Ok(2));
    }
}

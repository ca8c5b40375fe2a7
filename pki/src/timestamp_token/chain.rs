//! Certificates of timestamping authorities and of those who certify them, and paths between them.
//!
//! They may be other people's, so there are no identities, roles or trust domains of ours in them; it knows no clock and no revocation.

use const_oid::{
    AssociatedOid,
    db::{
        rfc5280::{
            ANY_EXTENDED_KEY_USAGE, ID_CE_INHIBIT_ANY_POLICY, ID_CE_NAME_CONSTRAINTS, ID_CE_POLICY_CONSTRAINTS, ID_CE_POLICY_MAPPINGS,
        },
        rfc5912::ID_KP_TIME_STAMPING,
    },
};
use der::{Decode, Encode};
use sha2::{Digest, Sha256};
use x509_cert::{
    certificate::Version,
    ext::{
        Extension,
        pkix::{AuthorityKeyIdentifier, BasicConstraints, ExtendedKeyUsage, KeyUsage, KeyUsages, SubjectKeyIdentifier},
    },
    spki::AlgorithmIdentifierOwned,
};

use super::suite::{Key, Scheme};
use crate::{Fingerprint, Timestamp, pem};

/// A certificate of a timestamping authority, or of one that certifies such: RFC 5280 with a key of a suite for tokens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ChainCertificate {
    der: Vec<u8>,
    fingerprint: Fingerprint,
    tbs: Vec<u8>,
    algorithm: AlgorithmIdentifierOwned,
    signature: Vec<u8>,
    pub(super) serial: Vec<u8>,
    pub(super) issuer: Vec<u8>,
    pub(super) subject: Vec<u8>,
    not_before: Timestamp,
    not_after: Timestamp,
    pub(super) key: Key,
    extensions: Extensions,
}

/// The certificate is not one that can stand on the path of a timestamping authority.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a certificate for a timestamping authority's path: {0}")]
pub struct ChainCertificateError(pub &'static str);

/// Why an authority is not believed at the moment of its token.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ChainError {
    /// No chain of the given certificates leads to an anchor.
    #[error("no path from the authority to an anchor")]
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

/// What is read of the extensions, each at most once; none that is critical is left unread.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Extensions {
    subject_key: Option<Vec<u8>>,
    authority_key: Option<Vec<u8>>,
    constraints: Option<BasicConstraints>,
    usage: Option<KeyUsage>,
    /// Critical, and what for.
    extended_usage: Option<(bool, ExtendedKeyUsage)>,
}

impl ChainCertificate {
    /// Parses DER strictly: at most 16 KiB, version 3, no extension twice, none that constrains names or policies, no unknown critical one.
    pub fn from_der(der: &[u8]) -> Result<Self, ChainCertificateError> {
        const MALFORMED: ChainCertificateError = ChainCertificateError("it is not DER, or more than a certificate");
        if der.len() > CERTIFICATE_BYTES_MAX {
            return Err(ChainCertificateError("it is too large"));
        }
        let certificate = x509_cert::Certificate::from_der(der).map_err(|_| MALFORMED)?;
        let encode = |part: der::Result<Vec<u8>>| part.map_err(|_| MALFORMED);
        if encode(certificate.to_der())? != der {
            return Err(MALFORMED);
        }
        let tbs = certificate.tbs_certificate();
        if tbs.version() != Version::V3 || certificate.signature_algorithm() != tbs.signature() {
            return Err(ChainCertificateError("it is not version 3, or names two algorithms"));
        }
        let moment = |time: x509_cert::time::Time| Timestamp::from_date_time(time.to_date_time());
        Ok(Self {
            fingerprint: Sha256::digest(der).into(),
            tbs: encode(tbs.to_der())?,
            algorithm: tbs.signature().clone(),
            signature: certificate.signature().as_bytes().ok_or(MALFORMED)?.to_vec(),
            serial: tbs.serial_number().as_bytes().to_vec(),
            issuer: encode(tbs.issuer().to_der())?,
            subject: encode(tbs.subject().to_der())?,
            not_before: moment(tbs.validity().not_before),
            not_after: moment(tbs.validity().not_after),
            key: Key::of(tbs.subject_public_key_info()).ok_or(ChainCertificateError("its key is not P-384, P-256 or RSA of 2048 bits"))?,
            extensions: Extensions::parse(tbs.extensions().map_or(&[], Vec::as_slice))?,
            der: der.to_vec(),
        })
    }

    /// From PEM: one `CERTIFICATE` block.
    pub fn from_pem(text: &str) -> Result<Self, ChainCertificateError> {
        Self::from_der(&pem::decode_one(text, "CERTIFICATE").ok_or(ChainCertificateError("it is not one PEM certificate"))?)
    }

    /// The bytes as they came.
    pub fn der(&self) -> &[u8] {
        &self.der
    }

    /// SHA-256 of the DER.
    pub fn fingerprint(&self) -> &Fingerprint {
        &self.fingerprint
    }

    /// True if it was valid at that moment: to the end of the second notAfter.
    pub fn is_valid_at(&self, at: Timestamp) -> bool {
        (self.not_before.unix_s()..=self.not_after.unix_s()).contains(&at.unix_s())
    }

    pub(super) fn subject_key(&self) -> Option<&[u8]> {
        self.extensions.subject_key.as_deref()
    }

    /// RFC 3161 section 2.3: timestamping is the one purpose of the key, and critical. What else the certificate says must not contradict it.
    pub(super) fn check_timestamping(&self) -> Result<(), &'static str> {
        match &self.extensions.extended_usage {
            Some((true, usage)) if usage.0 == [ID_KP_TIME_STAMPING] => {}
            Some((false, _)) => return Err("its extended key usage is not critical"),
            Some(_) => return Err("timestamping is not the one purpose of its key"),
            None => return Err("it has no extended key usage"),
        }
        let signs = KeyUsages::DigitalSignature | KeyUsages::NonRepudiation;
        if self.extensions.usage.is_some_and(|usage| !signs.contains(usage.0) || usage.0.is_empty()) {
            return Err("its key usage is more than signatures");
        }
        let authority = self.extensions.constraints.as_ref().is_some_and(|constraints| constraints.ca);
        if authority { Err("it is a certification authority") } else { Ok(()) }
    }

    /// True if it may certify a timestamping authority with `below` authorities between the two.
    fn may_issue(&self, below: usize) -> bool {
        let of_purpose = |(_, usage): &(bool, ExtendedKeyUsage)| {
            usage.0.iter().any(|purpose| *purpose == ID_KP_TIME_STAMPING || *purpose == ANY_EXTENDED_KEY_USAGE)
        };
        self.extensions
            .constraints
            .as_ref()
            .is_some_and(|constraints| constraints.ca && constraints.path_len_constraint.is_none_or(|most| below <= usize::from(most)))
            && self.extensions.usage.is_none_or(|usage| usage.key_cert_sign())
            && self.extensions.extended_usage.as_ref().is_none_or(of_purpose)
    }

    fn is_named_by(&self, subject: &Self) -> bool {
        let keys_agree = match (&subject.extensions.authority_key, &self.extensions.subject_key) {
            (Some(named), Some(own)) => named == own,
            _ => true,
        };
        self.subject == subject.issuer && keys_agree
    }
}

/// Judges that `leaf` led to one of `anchors` at `at`. An anchor is believed as it is, a leaf that is one too.
pub(super) fn check_path(
    leaf: &ChainCertificate,
    others: &[&ChainCertificate],
    anchors: &[ChainCertificate],
    at: Timestamp,
) -> Result<(), ChainError> {
    if !leaf.is_valid_at(at) {
        return Err(ChainError::Validity);
    }
    let mut search = Search { others, anchors, at, signatures_left: SIGNATURES_MAX };
    search.extend(&mut vec![leaf])
}

struct Search<'a> {
    others: &'a [&'a ChainCertificate],
    anchors: &'a [ChainCertificate],
    at: Timestamp,
    signatures_left: usize,
}

impl<'a> Search<'a> {
    /// Depth first; of several dead ends the first is reported.
    fn extend(&mut self, path: &mut Vec<&'a ChainCertificate>) -> Result<(), ChainError> {
        let subject = *path.last().expect("the path begins with the authority");
        if self.anchors.contains(subject) {
            return Ok(());
        }
        let mut dead_end = ChainError::NoPath;
        let candidates = self.anchors.iter().chain(self.others.iter().copied());
        for issuer in candidates.filter(|issuer| issuer.is_named_by(subject)) {
            if path.contains(&issuer) || path.len() == PATH_CERTIFICATES_MAX {
                continue;
            }
            // Certificates that all bear one name make a search of factorial size: it is cut short.
            let Some(left) = self.signatures_left.checked_sub(1) else { break };
            self.signatures_left = left;
            let mut attempt = self.check_link(subject, issuer, path.len() - 1);
            if attempt.is_ok() {
                path.push(issuer);
                attempt = self.extend(path);
                path.pop();
            }
            match attempt {
                Ok(()) => return Ok(()),
                Err(error) if dead_end == ChainError::NoPath => dead_end = error,
                Err(_) => {}
            }
        }
        Err(dead_end)
    }

    fn check_link(&self, subject: &ChainCertificate, issuer: &ChainCertificate, below: usize) -> Result<(), ChainError> {
        if !issuer.may_issue(below) {
            return Err(ChainError::NotAnIssuer);
        }
        let scheme = Scheme::of(&subject.algorithm).ok_or(ChainError::Signature)?;
        if !issuer.key.verifies(scheme, &subject.tbs, &subject.signature) {
            return Err(ChainError::Signature);
        }
        if issuer.is_valid_at(self.at) { Ok(()) } else { Err(ChainError::Validity) }
    }
}

impl Extensions {
    fn parse(extensions: &[Extension]) -> Result<Self, ChainCertificateError> {
        let mut found = Self::default();
        for (position, extension) in extensions.iter().enumerate() {
            if extensions[..position].iter().any(|earlier| earlier.extn_id == extension.extn_id) {
                return Err(ChainCertificateError("it has an extension twice"));
            }
            let value = extension.extn_value.as_bytes();
            match extension.extn_id {
                SubjectKeyIdentifier::OID => found.subject_key = Some(decode::<SubjectKeyIdentifier>(value)?.0.as_bytes().to_vec()),
                AuthorityKeyIdentifier::OID => {
                    found.authority_key = decode::<AuthorityKeyIdentifier>(value)?.key_identifier.map(|key| key.as_bytes().to_vec());
                }
                BasicConstraints::OID => found.constraints = Some(decode(value)?),
                KeyUsage::OID => found.usage = Some(decode(value)?),
                ExtendedKeyUsage::OID => found.extended_usage = Some((extension.critical, decode(value)?)),
                // RFC 5280 section 4.2: what is recognised must be processed, and these are not processed here.
                ID_CE_NAME_CONSTRAINTS | ID_CE_POLICY_MAPPINGS | ID_CE_POLICY_CONSTRAINTS | ID_CE_INHIBIT_ANY_POLICY => {
                    return Err(ChainCertificateError("it constrains names or policies, which is not supported"));
                }
                _ if extension.critical => return Err(ChainCertificateError("it has an unknown critical extension")),
                _ => {}
            }
        }
        Ok(found)
    }
}

fn decode<'a, T: Decode<'a>>(value: &'a [u8]) -> Result<T, ChainCertificateError> {
    T::from_der(value).map_err(|_| ChainCertificateError("an extension is malformed"))
}

/// The same limits as for our own certificates and paths.
const CERTIFICATE_BYTES_MAX: usize = 16 * 1024;
const PATH_CERTIFICATES_MAX: usize = 6;
const SIGNATURES_MAX: usize = 32;

//! Certificates of other people's authorities, and of those whom they certify, read strictly by RFC 5280.
//!
//! There are no identities, roles or trust domains of ours in them; it knows no clock and no other certificate.

use const_oid::{
    AssociatedOid, ObjectIdentifier,
    db::rfc5280::{
        ANY_EXTENDED_KEY_USAGE, ID_CE_INHIBIT_ANY_POLICY, ID_CE_NAME_CONSTRAINTS, ID_CE_POLICY_CONSTRAINTS, ID_CE_POLICY_MAPPINGS,
    },
};
use der::{Any, Decode, Encode, Sequence, Tag, TagNumber, Tagged, asn1::OctetString};
use sha2::{Digest, Sha256};
use x509_cert::{
    certificate::{CertificateInner, Profile, Version},
    ext::{
        Extension,
        pkix::{AuthorityKeyIdentifier, BasicConstraints, ExtendedKeyUsage, KeyUsage, SubjectAltName, SubjectKeyIdentifier},
    },
    serial_number::SerialNumber,
    spki::{AlgorithmIdentifierOwned, SubjectPublicKeyInfoOwned},
    time::Time,
};

use super::suite::Key;
use crate::{Fingerprint, Timestamp, distinguished::is_der, name, pem};

/// A certificate of an authority that others are judged by: RFC 5280 with a key of a foreign suite.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ChainCertificate {
    body: Body,
    key: Key,
}

/// The certificate is not one that can stand on a path to an anchor.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a certificate for a path to an anchor: {0}")]
pub struct ChainCertificateError(pub &'static str);

/// What re-encodes to what was read: vendors write GeneralizedTime before 2050 too, which RFC 5280 section 4.1.2.5 would have as UTCTime.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
struct AsWritten;

impl Profile for AsWritten {
    fn time_encoding(time: Time) -> der::Result<Time> {
        Ok(time)
    }
}

/// All of a certificate but its key, which need not be one that verifies.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Body {
    pub der: Vec<u8>,
    pub fingerprint: Fingerprint,
    pub tbs: Vec<u8>,
    pub algorithm: AlgorithmIdentifierOwned,
    pub signature: Vec<u8>,
    pub serial: Vec<u8>,
    pub issuer: Vec<u8>,
    pub subject: Vec<u8>,
    pub public_key: SubjectPublicKeyInfoOwned,
    not_before: Timestamp,
    not_after: Timestamp,
    pub extensions: Extensions,
}

/// What is read of the extensions, each at most once; none that is critical is left unread.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Extensions {
    pub subject_key: Option<Vec<u8>>,
    pub authority_key: Option<AuthorityKey>,
    pub constraints: Option<BasicConstraints>,
    pub usage: Option<KeyUsage>,
    /// Critical, and what for.
    pub extended_usage: Option<(bool, ExtendedKeyUsage)>,
    /// Critical, and the DER of the names, which only endorsement certificates are asked for.
    pub alternative_names: Option<(bool, Vec<u8>)>,
}

/// `AuthorityKeyIdentifier` (RFC 5280 section 4.2.1.1). Of the issuer's names only directory names are looked at, and whoever wrote the others wrote them for others.
#[derive(Clone, Debug, PartialEq, Eq, Sequence)]
pub(crate) struct AuthorityKey {
    #[asn1(context_specific = "0", tag_mode = "IMPLICIT", optional = "true")]
    key_identifier: Option<OctetString>,
    #[asn1(context_specific = "1", tag_mode = "IMPLICIT", optional = "true")]
    issuer: Option<Vec<Any>>,
    #[asn1(context_specific = "2", tag_mode = "IMPLICIT", optional = "true")]
    serial_number: Option<SerialNumber>,
}

impl ChainCertificate {
    /// Parses DER strictly: at most 16 KiB, version 3, no extension twice, none that constrains names or policies, no unknown critical one.
    pub fn from_der(der: &[u8]) -> Result<Self, ChainCertificateError> {
        let body = Body::from_der(der).map_err(ChainCertificateError)?;
        if body.extensions.alternative_names.as_ref().is_some_and(|(critical, _)| *critical) {
            return Err(ChainCertificateError(UNKNOWN_CRITICAL));
        }
        let key = Key::of(&body.public_key).ok_or(ChainCertificateError("its key is not P-384, P-256 or RSA of 2048 bits"))?;
        Ok(Self { body, key })
    }

    /// From PEM: one `CERTIFICATE` block.
    pub fn from_pem(text: &str) -> Result<Self, ChainCertificateError> {
        Self::from_der(&pem::decode_one(text, "CERTIFICATE").ok_or(ChainCertificateError("it is not one PEM certificate"))?)
    }

    /// PEM with LF line ends.
    pub fn to_pem(&self) -> String {
        pem::encode("CERTIFICATE", self.der())
    }

    /// The bytes as they came.
    pub fn der(&self) -> &[u8] {
        &self.body.der
    }

    /// SHA-256 of the DER.
    pub fn fingerprint(&self) -> &Fingerprint {
        &self.body.fingerprint
    }

    /// True if it was valid at that moment: to the end of the second notAfter.
    pub fn is_valid_at(&self, at: Timestamp) -> bool {
        self.body.is_valid_at(at)
    }

    pub(crate) fn body(&self) -> &Body {
        &self.body
    }

    pub(crate) fn key(&self) -> &Key {
        &self.key
    }

    /// How many authorities may stand between it and a leaf, by its own word.
    pub(super) fn path_length_max(&self) -> usize {
        let constraints = self.body.extensions.constraints.as_ref();
        constraints.and_then(|constraints| constraints.path_len_constraint).map_or(usize::MAX, usize::from)
    }

    /// True if it may certify for `purpose`, with `below` authorities between it and the leaf.
    pub(super) fn may_issue(&self, purpose: ObjectIdentifier, below: usize) -> bool {
        let extensions = &self.body.extensions;
        let is_authority = extensions.constraints.as_ref().is_some_and(|constraints| constraints.ca);
        let of_purpose =
            |(_, usage): &(bool, ExtendedKeyUsage)| usage.0.iter().any(|other| [purpose, ANY_EXTENDED_KEY_USAGE].contains(other));
        is_authority
            && below <= self.path_length_max()
            && extensions.usage.is_none_or(|usage| usage.key_cert_sign())
            && extensions.extended_usage.as_ref().is_none_or(of_purpose)
    }
}

impl Body {
    pub fn from_der(der: &[u8]) -> Result<Self, &'static str> {
        const MALFORMED: &str = "it is not DER, or more than a certificate";
        if der.len() > CERTIFICATE_BYTES_MAX {
            return Err("it is too large");
        }
        let certificate = CertificateInner::<AsWritten>::from_der(der).map_err(|_| MALFORMED)?;
        let encode = |part: der::Result<Vec<u8>>| part.map_err(|_| MALFORMED);
        if encode(certificate.to_der())? != der || !is_der(der) {
            return Err(MALFORMED);
        }
        let tbs = certificate.tbs_certificate();
        if tbs.issuer_unique_id().is_some() || tbs.subject_unique_id().is_some() {
            return Err("it has unique identifiers");
        }
        if tbs.version() != Version::V3 || certificate.signature_algorithm() != tbs.signature() {
            return Err("it is not version 3, or names two algorithms");
        }
        if ![tbs.issuer(), tbs.subject()].into_iter().all(name::is_well_formed) {
            return Err("a part of a name in it is empty");
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
            public_key: tbs.subject_public_key_info().clone(),
            not_before: moment(tbs.validity().not_before),
            not_after: moment(tbs.validity().not_after),
            extensions: Extensions::parse(tbs.extensions().map_or(&[], Vec::as_slice))?,
            der: der.to_vec(),
        })
    }

    pub fn is_valid_at(&self, at: Timestamp) -> bool {
        (self.not_before.unix_s()..=self.not_after.unix_s()).contains(&at.unix_s())
    }

    /// True if this certificate names `issuer` as its issuer: by name, and by all that its authority key identifier says and can be compared.
    pub fn names_issuer(&self, issuer: &Self) -> bool {
        let Some(named) = &self.extensions.authority_key else { return self.issuer == issuer.subject };
        let keys_agree = match (&named.key_identifier, &issuer.extensions.subject_key) {
            (Some(named), Some(own)) => named.as_bytes() == own,
            _ => true,
        };
        let serials_agree = named.serial_number.as_ref().is_none_or(|serial| serial.as_bytes() == issuer.serial);
        // Of the issuer's issuer, which may have several. Names of other kinds say nothing that could be compared.
        let mut directory = named.issuer.iter().flatten().filter_map(directory_name);
        let is_issuers = |name: &[u8]| name == issuer.issuer;
        let issuers_agree = directory.next().is_none_or(|first| is_issuers(first) || directory.any(is_issuers));
        self.issuer == issuer.subject && keys_agree && serials_agree && issuers_agree
    }
}

impl Extensions {
    fn parse(extensions: &[Extension]) -> Result<Self, &'static str> {
        // Before they are compared each with each.
        if extensions.len() > EXTENSIONS_MAX {
            return Err("it has too many extensions");
        }
        let mut found = Self::default();
        for (position, extension) in extensions.iter().enumerate() {
            if extensions[..position].iter().any(|earlier| earlier.extn_id == extension.extn_id) {
                return Err("it has an extension twice");
            }
            let value = extension.extn_value.as_bytes();
            match extension.extn_id {
                SubjectKeyIdentifier::OID => found.subject_key = Some(decode::<SubjectKeyIdentifier>(value)?.0.as_bytes().to_vec()),
                AuthorityKeyIdentifier::OID => {
                    found.authority_key = Some(decode(value)?);
                }
                BasicConstraints::OID => found.constraints = Some(decode(value)?),
                KeyUsage::OID => found.usage = Some(decode(value)?),
                ExtendedKeyUsage::OID => found.extended_usage = Some((extension.critical, decode(value)?)),
                SubjectAltName::OID => found.alternative_names = Some((extension.critical, value.to_vec())),
                // RFC 5280 section 4.2: what is recognised must be processed, and these are not processed here.
                ID_CE_NAME_CONSTRAINTS | ID_CE_POLICY_MAPPINGS | ID_CE_POLICY_CONSTRAINTS | ID_CE_INHIBIT_ANY_POLICY => {
                    return Err("it constrains names or policies, which is not supported");
                }
                _ if extension.critical => return Err(UNKNOWN_CRITICAL),
                _ => {}
            }
        }
        Ok(found)
    }
}

/// The DER of the Name in a GeneralName (RFC 5280 section 4.2.1.6), if it is a directoryName.
pub(crate) fn directory_name(name: &Any) -> Option<&[u8]> {
    let is_directory_name = name.tag() == Tag::ContextSpecific { constructed: true, number: TagNumber(4) };
    is_directory_name.then(|| name.value())
}

fn decode<'a, T: Decode<'a>>(value: &'a [u8]) -> Result<T, &'static str> {
    T::from_der(value).ok().filter(|_| is_der(value)).ok_or("an extension is malformed")
}

const UNKNOWN_CRITICAL: &str = "it has an unknown critical extension";
/// The same limit as for our own certificates.
const CERTIFICATE_BYTES_MAX: usize = 16 * 1024;
/// RFC 5280 has 17, and vendors add a few of their own.
const EXTENSIONS_MAX: usize = 32;

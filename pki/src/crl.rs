//! Certificate revocation lists (RFC 5280 section 5) of our authorities: made, parsed strictly, verified, and asked at a moment.
//!
//! It knows no clock and no ledger: what a revocation means for evidence that is older is judged elsewhere.

use std::{collections::BTreeMap, ops::Range, sync::Arc};

use const_oid::{
    AssociatedOid,
    db::{rfc5280::ID_CE_INVALIDITY_DATE, rfc5912::ECDSA_WITH_SHA_384},
};
use der::{
    Decode, Encode,
    asn1::{BitString, GeneralizedTime, OctetString, Uint},
};
use x509_cert::{
    Version,
    crl::{CertificateList, RevokedCert, TbsCertList},
    ext::{
        Extension,
        pkix::{AuthorityKeyIdentifier, CrlNumber, CrlReason, KeyUsage},
    },
    name::Name,
    serial_number::SerialNumber,
    time::Time,
};

use crate::{
    BadSignature, Certificate, Signer, SignerError, Timestamp, Verifier,
    certificate::{is_serial, signed_part},
    distinguished::is_der,
    issue::ecdsa_with_sha384,
    name,
    path::{IssuedCertificate, Issuer},
};

/// A list whose form is that of docs/formats/crl.md. Nothing in it is believed until `verify`.
///
/// To clone one costs nothing, however long it is, so that several authorities can be tried.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RevocationList {
    der: Arc<[u8]>,
    tbs: Range<usize>,
    signature: Vec<u8>,
    issuer_der: Vec<u8>,
    authority_key_identifier: Vec<u8>,
    number: u128,
    this_update: Timestamp,
    next_update: Timestamp,
    /// By serial number.
    revocations: Arc<BTreeMap<Vec<u8>, Revocation>>,
}

/// Holding one is the proof that the authority signed the list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VerifiedRevocationList {
    list: RevocationList,
    issuer: Issuer,
}

/// One revoked certificate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Revocation {
    /// The content octets of its serial number.
    pub serial: Vec<u8>,
    /// When the authority revoked it; whole seconds.
    pub revoked: Timestamp,
    /// Why, if the authority says so.
    pub reason: Option<RevocationReason>,
    /// Since when the key is known or feared to be in other hands, if that was earlier; whole seconds.
    pub invalid_since: Option<Timestamp>,
}

/// Why a certificate was revoked (RFC 5280 section 5.3.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum RevocationReason {
    /// The key is in other hands, or may be.
    KeyCompromise,
    /// The key of the authority is.
    AuthorityCompromise,
    /// The subject is somebody else now.
    AffiliationChanged,
    /// Another certificate is in its place.
    Superseded,
    /// It is not needed any more.
    CessationOfOperation,
    /// On hold: it may become good again.
    Hold,
    /// A role was withdrawn.
    PrivilegeWithdrawn,
    /// The key of an attribute authority is in other hands.
    AttributeAuthorityCompromise,
}

/// What goes into a new list.
pub struct NewRevocationList<'a> {
    /// Larger than that of each list before.
    pub number: u128,
    /// When it is made, rounded down to the second.
    pub this_update: Timestamp,
    /// When the next is out at the latest, rounded down to the second.
    pub next_update: Timestamp,
    /// All that are revoked, in any order.
    pub revocations: &'a [Revocation],
}

/// Why bytes are not a list, or a list is not believed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RevocationListError {
    /// Not DER, not the one encoding of its content, or too large.
    #[error("not a revocation list in DER")]
    Malformed,
    /// Well-formed, but outside the profile.
    #[error("not a revocation list of our profile: {0}")]
    Profile(&'static str),
    /// The list is of another authority than the one given.
    #[error("the revocation list is of another authority")]
    OtherIssuer,
    /// The authority may not sign lists.
    #[error("the authority's certificate does not allow it to sign revocation lists")]
    NotAnIssuer,
    /// The authority's key did not sign it.
    #[error(transparent)]
    Signature(#[from] BadSignature),
}

/// Why a list was not made.
#[derive(Debug, thiserror::Error)]
pub enum MakeListError {
    /// It would not fit the profile, or its issuer may not sign it.
    #[error("such a revocation list is not made: {0}")]
    Refused(RevocationListError),
    /// The issuer's key.
    #[error(transparent)]
    Signer(#[from] SignerError),
}

/// What a list says of a certificate at a moment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ListedStatus<'a> {
    /// The list is current, and the certificate is not on it.
    NotRevoked,
    /// The certificate is on the list.
    Revoked(&'a Revocation),
    /// The certificate is not on the list, and the list was not yet or no longer current.
    NotCurrent,
    /// The certificate is of another issuer than the list, or of another key of the issuer.
    OtherIssuer,
}

impl RevocationList {
    /// Parses strictly: the one DER encoding, version 2, ECDSA with SHA-384, all dates in order, no certificate twice, no critical extension
    /// that is not known, the authority's key identifier and the number of the list present.
    pub fn from_der(der: &[u8]) -> Result<Self, RevocationListError> {
        if der.len() > LIST_BYTES_MAX {
            return Err(Malformed);
        }
        let list = CertificateList::from_der(der).map_err(|_| Malformed)?;
        if list.to_der().map_err(|_| Malformed)? != der || !is_der(der) {
            return Err(Malformed);
        }
        let tbs = &list.tbs_cert_list;
        if tbs.version != Version::V2 {
            return Err(Profile("it is not version 2"));
        }
        let algorithm = &list.signature_algorithm;
        if *algorithm != tbs.signature || algorithm.oid != ECDSA_WITH_SHA_384 || algorithm.parameters.is_some() {
            return Err(Profile("it is not signed with ECDSA and SHA-384"));
        }
        if !name::is_well_formed(&tbs.issuer) {
            return Err(Profile("a part of its issuer's name is empty"));
        }
        let this_update = moment(tbs.this_update)?;
        let next_update = moment(tbs.next_update.ok_or(Profile("it does not say when the next one comes"))?)?;
        if this_update > next_update {
            return Err(Profile("the next one comes before it"));
        }
        let extensions = tbs.crl_extensions.as_deref().unwrap_or_default();
        let (authority_key_identifier, number) = list_extensions(extensions)?;
        Ok(Self {
            der: der.into(),
            tbs: signed_part(der, tbs, algorithm, &list.signature).ok_or(Malformed)?,
            signature: list.signature.as_bytes().ok_or(Malformed)?.to_vec(),
            issuer_der: tbs.issuer.to_der().map_err(|_| Malformed)?,
            authority_key_identifier,
            number,
            this_update,
            next_update,
            revocations: Arc::new(revocations(tbs.revoked_certificates.as_deref(), this_update)?),
        })
    }

    /// Whether the list names `issuer` as the authority that made it.
    pub fn is_of(&self, issuer: &Certificate) -> bool {
        self.issuer_der == issuer.subject_der() && self.authority_key_identifier == issuer.subject_key_identifier()
    }

    /// Judges that `issuer`, whose own certificate was judged elsewhere, signed the list and was allowed to.
    pub fn verify(self, issuer: &Certificate, verifier: &dyn Verifier) -> Result<VerifiedRevocationList, RevocationListError> {
        if !self.is_of(issuer) {
            return Err(RevocationListError::OtherIssuer);
        }
        if !may_sign_lists(issuer) {
            return Err(RevocationListError::NotAnIssuer);
        }
        verifier.verify(issuer.public_key(), &self.der[self.tbs.clone()], &self.signature)?;
        Ok(VerifiedRevocationList { list: self, issuer: Issuer::of(issuer) })
    }

    /// The bytes as they came.
    pub fn der(&self) -> &[u8] {
        &self.der
    }
}

impl VerifiedRevocationList {
    /// What the list says of `certificate` at `at`. A certificate on it is told as revoked at any moment: what `at` is worth against the
    /// moment of the revocation is for the caller to judge.
    ///
    /// It speaks of the certificates that the key which signed it has signed, and of no other: an authority that takes a new key goes on
    /// signing lists with the old one, until the last certificate of that has ended.
    pub fn status_at(&self, certificate: IssuedCertificate<'_>, at: Timestamp) -> ListedStatus<'_> {
        let list = &self.list;
        let current = (list.this_update.unix_s()..=list.next_update.unix_s()).contains(&at.unix_s());
        match list.revocations.get(certificate.certificate().serial()) {
            _ if !self.issuer.issued(certificate) => ListedStatus::OtherIssuer,
            Some(revocation) => ListedStatus::Revoked(revocation),
            None if current => ListedStatus::NotRevoked,
            None => ListedStatus::NotCurrent,
        }
    }

    /// The number of the list; of two lists of an authority the one with the larger number is newer.
    pub fn number(&self) -> u128 {
        self.list.number
    }

    /// When it was made.
    pub fn this_update(&self) -> Timestamp {
        self.list.this_update
    }

    /// The last second at which it is current.
    pub fn next_update(&self) -> Timestamp {
        self.list.next_update
    }

    /// All revocations, by serial number.
    pub fn revocations(&self) -> impl Iterator<Item = &Revocation> {
        self.list.revocations.values()
    }

    /// The bytes as they came.
    pub fn der(&self) -> &[u8] {
        self.list.der()
    }
}

/// Makes a list of `issuer`'s, whose key `signer` has.
pub fn make_revocation_list(
    list: &NewRevocationList<'_>,
    issuer: &Certificate,
    signer: &dyn Signer,
) -> Result<RevocationList, MakeListError> {
    if signer.public_key() != issuer.public_key() {
        return Err(MakeListError::Refused(RevocationListError::OtherIssuer));
    }
    if !may_sign_lists(issuer) {
        return Err(MakeListError::Refused(RevocationListError::NotAnIssuer));
    }
    let refused = |_| MakeListError::Refused(Malformed);
    let tbs_cert_list = tbs(list, issuer).map_err(refused)?;
    let signature = signer.sign(&tbs_cert_list.to_der().map_err(refused)?)?;
    let signature = BitString::from_bytes(&signature).map_err(refused)?;
    let list = CertificateList { tbs_cert_list, signature_algorithm: ecdsa_with_sha384(), signature };
    // What is made is judged by the same parser that will judge it everywhere else.
    RevocationList::from_der(&list.to_der().map_err(refused)?).map_err(MakeListError::Refused)
}

fn tbs(list: &NewRevocationList<'_>, issuer: &Certificate) -> der::Result<TbsCertList> {
    let key_identifier = Some(OctetString::new(issuer.subject_key_identifier())?);
    let authority_key = AuthorityKeyIdentifier { key_identifier, ..Default::default() };
    let mut revocations: Vec<&Revocation> = list.revocations.iter().collect();
    revocations.sort_by_key(|revocation| &revocation.serial);
    let revoked = revocations.into_iter().map(entry).collect::<der::Result<Vec<_>>>()?;
    Ok(TbsCertList {
        version: Version::V2,
        signature: ecdsa_with_sha384(),
        issuer: Name::from_der(issuer.subject_der())?,
        this_update: Time::from(list.this_update.date_time()),
        next_update: Some(Time::from(list.next_update.date_time())),
        revoked_certificates: (!revoked.is_empty()).then_some(revoked),
        crl_extensions: Some(vec![
            extension(AuthorityKeyIdentifier::OID, &authority_key)?,
            extension(CrlNumber::OID, &Uint::new(&list.number.to_be_bytes())?)?,
        ]),
    })
}

fn entry(revocation: &Revocation) -> der::Result<RevokedCert> {
    // The encoder would make a positive number of any bytes, and that would be another certificate's.
    if !is_serial(&revocation.serial) {
        return Err(der::Tag::Integer.value_error().into());
    }
    let mut extensions = Vec::new();
    if let Some(reason) = revocation.reason {
        extensions.push(extension(CrlReason::OID, &reason.code())?);
    }
    if let Some(since) = revocation.invalid_since {
        extensions.push(extension(ID_CE_INVALIDITY_DATE, &GeneralizedTime::from_date_time(since.date_time()))?);
    }
    Ok(RevokedCert {
        serial_number: SerialNumber::new(&revocation.serial)?,
        revocation_date: Time::from(revocation.revoked.date_time()),
        crl_entry_extensions: (!extensions.is_empty()).then_some(extensions),
    })
}

fn extension(extn_id: const_oid::ObjectIdentifier, value: &impl Encode) -> der::Result<Extension> {
    Ok(Extension { extn_id, critical: false, extn_value: OctetString::new(value.to_der()?)? })
}

/// RFC 5280 section 6.3.3 (f): an authority signs lists if its key usage says so. In our profiles only an authority's does.
fn may_sign_lists(issuer: &Certificate) -> bool {
    let usage = || {
        let certificate = x509_cert::Certificate::from_der(issuer.der()).ok()?;
        certificate.tbs_certificate().get_extension::<KeyUsage>().ok()?
    };
    usage().is_some_and(|(_, usage)| usage.crl_sign())
}

fn list_extensions(extensions: &[Extension]) -> Result<(Vec<u8>, u128), RevocationListError> {
    let (mut key, mut number) = (None, None);
    check_unique(extensions)?;
    for extension in extensions {
        let value = extension.extn_value.as_bytes();
        match extension.extn_id {
            // Delta lists and lists of a part of the certificates say so by extensions that are critical.
            _ if extension.critical => return Err(Profile("it has a critical extension")),
            AuthorityKeyIdentifier::OID => {
                let found = decode::<AuthorityKeyIdentifier>(value)?;
                if found.authority_cert_issuer.is_some() || found.authority_cert_serial_number.is_some() {
                    return Err(Profile("its authority key identifier has more than a key identifier"));
                }
                key = found.key_identifier;
            }
            CrlNumber::OID => {
                let octets = decode::<Uint>(value)?;
                let bytes = octets.as_bytes();
                if bytes.len() > size_of::<u128>() {
                    return Err(Profile("its number has more than 128 bits"));
                }
                number = Some(bytes.iter().fold(0, |value, byte| value << 8 | u128::from(*byte)));
            }
            _ => {}
        }
    }
    let key = key.ok_or(Profile("it has no authority key identifier"))?;
    Ok((key.as_bytes().to_vec(), number.ok_or(Profile("it has no number"))?))
}

fn revocations(entries: Option<&[RevokedCert]>, this_update: Timestamp) -> Result<BTreeMap<Vec<u8>, Revocation>, RevocationListError> {
    let mut revocations = BTreeMap::new();
    if entries.is_some_and(<[_]>::is_empty) {
        return Err(Profile("it has an empty list where there should be none"));
    }
    for entry in entries.unwrap_or_default() {
        let revocation = revocation(entry)?;
        if revocation.revoked > this_update {
            return Err(Profile("a revocation is later than the list"));
        }
        if revocations.insert(revocation.serial.clone(), revocation).is_some() {
            return Err(Profile("it has a certificate twice"));
        }
    }
    Ok(revocations)
}

fn revocation(entry: &RevokedCert) -> Result<Revocation, RevocationListError> {
    let serial = entry.serial_number.as_bytes();
    if !is_serial(serial) {
        return Err(Profile("a serial number is not positive, or longer than 20 bytes"));
    }
    let mut found = Revocation { serial: serial.to_vec(), revoked: moment(entry.revocation_date)?, reason: None, invalid_since: None };
    let extensions = entry.crl_entry_extensions.as_deref().unwrap_or_default();
    if entry.crl_entry_extensions.as_ref().is_some_and(Vec::is_empty) {
        return Err(Profile("it has an empty list where there should be none"));
    }
    check_unique(extensions)?;
    for extension in extensions {
        let value = extension.extn_value.as_bytes();
        match extension.extn_id {
            // An entry of another authority's certificate says so by an extension that is critical.
            _ if extension.critical => return Err(Profile("an entry has a critical extension")),
            CrlReason::OID => found.reason = RevocationReason::of(decode(value)?).map_err(Profile)?,
            ID_CE_INVALIDITY_DATE => {
                found.invalid_since = Some(Timestamp::from_date_time(decode::<GeneralizedTime>(value)?.to_date_time()));
            }
            _ => {}
        }
    }
    if found.invalid_since.is_some_and(|since| since > found.revoked) {
        return Err(Profile("an entry is invalid only after it was revoked"));
    }
    Ok(found)
}

impl RevocationReason {
    /// `None` where no reason is given.
    pub(crate) fn of(code: CrlReason) -> Result<Option<Self>, &'static str> {
        Ok(Some(match code {
            CrlReason::Unspecified => return Ok(None),
            CrlReason::KeyCompromise => Self::KeyCompromise,
            CrlReason::CaCompromise => Self::AuthorityCompromise,
            CrlReason::AffiliationChanged => Self::AffiliationChanged,
            CrlReason::Superseded => Self::Superseded,
            CrlReason::CessationOfOperation => Self::CessationOfOperation,
            CrlReason::CertificateHold => Self::Hold,
            CrlReason::PrivilegeWithdrawn => Self::PrivilegeWithdrawn,
            CrlReason::AaCompromise => Self::AttributeAuthorityCompromise,
            CrlReason::RemoveFromCRL => return Err("an entry takes something back, which only delta lists do"),
        }))
    }

    pub(crate) fn code(self) -> CrlReason {
        match self {
            Self::KeyCompromise => CrlReason::KeyCompromise,
            Self::AuthorityCompromise => CrlReason::CaCompromise,
            Self::AffiliationChanged => CrlReason::AffiliationChanged,
            Self::Superseded => CrlReason::Superseded,
            Self::CessationOfOperation => CrlReason::CessationOfOperation,
            Self::Hold => CrlReason::CertificateHold,
            Self::PrivilegeWithdrawn => CrlReason::PrivilegeWithdrawn,
            Self::AttributeAuthorityCompromise => CrlReason::AaCompromise,
        }
    }
}

fn check_unique(extensions: &[Extension]) -> Result<(), RevocationListError> {
    // Before they are compared each with each.
    if extensions.len() > EXTENSIONS_MAX {
        return Err(Profile("it has too many extensions"));
    }
    let twice = |(position, extension): (usize, &Extension)| extensions[..position].iter().any(|other| other.extn_id == extension.extn_id);
    if extensions.iter().enumerate().any(twice) { Err(Profile("it has an extension twice")) } else { Ok(()) }
}

/// UTCTime until 2049, GeneralizedTime after (RFC 5280 section 5.1.2.4).
fn moment(time: Time) -> Result<Timestamp, RevocationListError> {
    let date_time = time.to_date_time();
    if Time::from(date_time) != time {
        return Err(Profile("a time until 2049 is written as GeneralizedTime"));
    }
    Ok(Timestamp::from_date_time(date_time))
}

fn decode<'a, T: Decode<'a>>(value: &'a [u8]) -> Result<T, RevocationListError> {
    T::from_der(value).ok().filter(|_| is_der(value)).ok_or(Malformed)
}

use RevocationListError::{Malformed, Profile};

/// About 200,000 entries: more certificates than a city's authority gives in decades.
const LIST_BYTES_MAX: usize = 8 * 1024 * 1024;
/// RFC 5280 has six of lists and three of entries.
const EXTENSIONS_MAX: usize = 16;

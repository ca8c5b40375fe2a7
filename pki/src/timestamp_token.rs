//! Timestamp tokens (RFC 3161, RFC 5816): the word of an authority that a digest existed at a moment. Requests, tokens and our own authority.
//!
//! It knows no clock, draws nothing at random and does not know whether an authority was revoked. The pure-Rust implementations verify.

mod asn1;
mod authority;
mod request;
mod verify;

use std::collections::BTreeMap;

use cms::{
    cert::IssuerAndSerialNumber,
    content_info::{CmsVersion, ContentInfo},
    signed_data::{EncapsulatedContentInfo, SignerIdentifier, SignerInfo},
};
use const_oid::{
    ObjectIdentifier,
    db::{
        rfc3161::ID_CT_TST_INFO,
        rfc5911::{ID_AA_SIGNING_CERTIFICATE_V_2, ID_CONTENT_TYPE, ID_MESSAGE_DIGEST, ID_SIGNED_DATA},
    },
};
use der::{
    Any, Decode, Encode, Sequence,
    asn1::{OctetString, SetOfVec},
};
use x509_cert::{serial_number::SerialNumber, spki::AlgorithmIdentifierOwned};

use self::asn1::{MessageImprint, TstInfo};
pub use self::{
    authority::{AuthorityError, TimestampAuthority},
    request::{Nonce, RequestRefusal, ResponseError, TimestampRequest, token_of_response},
    verify::{TimestampTrust, VerifiedTimestamp},
};
use crate::foreign::{ChainCertificate, ChainError, DigestAlgorithm, Scheme, directory_name};
use crate::{distinguished::is_der, name};

/// What a token is over: a digest and how it was made.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Imprint {
    algorithm: DigestAlgorithm,
    digest: Vec<u8>,
}

/// A timestamp token whose form is that of docs/formats/timestamp-token.md. Nothing in it is believed until `verify`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TimestampToken {
    der: Vec<u8>,
    info: Info,
    signer: SignerIdentifier,
    certificate_id: CertificateId,
    scheme: Scheme,
    signed_attributes: Vec<u8>,
    signature: Vec<u8>,
    certificates: Vec<ChainCertificate>,
}

/// Why bytes are not a token, or a token is not believed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TimestampTokenError {
    /// Not DER, not the one encoding of its content, or not SignedData.
    #[error("not a timestamp token in DER")]
    Malformed,
    /// Well-formed, but not as RFC 3161 and our profile have it.
    #[error("not a timestamp token of the profile: {0}")]
    Profile(&'static str),
    /// It is over other bytes than those asked about.
    #[error("the token is over something else")]
    Imprint,
    /// It is not the answer to the request with this nonce.
    #[error("the token is not an answer to this request")]
    Nonce,
    /// Neither the token nor the caller has the certificate that it names.
    #[error("the certificate of the timestamping authority is missing")]
    NoCertificate,
    /// The certificate that it names is not one of a timestamping authority.
    #[error("the certificate is not one of a timestamping authority: {0}")]
    Certificate(&'static str),
    /// The authority is not believed.
    #[error("the timestamping authority is not believed: {0}")]
    Path(ChainError),
    /// The authority's key did not sign it.
    #[error("the signature on the token does not verify")]
    Signature,
}

impl TimestampTokenError {
    /// Whether the token is refused for being a stranger's: nobody who is believed has said what it says.
    pub fn is_of_strangers(&self) -> bool {
        matches!(self, Self::NoCertificate | Self::Path(_))
    }
}

/// What the authority says: `TSTInfo`, as far as it is used.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Info {
    imprint: Imprint,
    policy: ObjectIdentifier,
    serial: Vec<u8>,
    moment: Precise,
    accuracy_us: Option<u64>,
    nonce: Option<Nonce>,
    /// DER of the name that it gives to the authority.
    authority: Option<Vec<u8>>,
}

/// Microseconds since 1970.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Precise(u64);

/// `SignedData` (RFC 5652 section 5.1). That of cms has the certificates in another order than DER's.
#[derive(Sequence)]
struct SignedData {
    version: CmsVersion,
    digest_algorithms: SetOfVec<AlgorithmIdentifierOwned>,
    content: EncapsulatedContentInfo,
    /// In any order, since nothing in it is signed.
    #[asn1(context_specific = "0", tag_mode = "IMPLICIT", optional = "true")]
    certificates: Option<Vec<Any>>,
    #[asn1(context_specific = "1", tag_mode = "IMPLICIT", optional = "true")]
    revocations: Option<Vec<Any>>,
    signers: SetOfVec<SignerInfo>,
}

/// `SigningCertificateV2` (RFC 5035 section 3). The first certificate is the signer's; others and policies are not used.
#[derive(Sequence)]
struct SigningCertificateV2 {
    /// Of the first alone it is known whose it is.
    certificates: Vec<Any>,
    policies: Option<Vec<Any>>,
}

/// `ESSCertIDv2` (RFC 5035 section 4).
#[derive(Clone, Debug, PartialEq, Eq, Sequence)]
struct CertificateId {
    /// SHA-256 where it is absent.
    hash_algorithm: Option<AlgorithmIdentifierOwned>,
    hash: OctetString,
    issuer_serial: Option<IssuerSerial>,
}

/// `IssuerSerial` (RFC 5035 section 4).
#[derive(Clone, Debug, PartialEq, Eq, Sequence)]
struct IssuerSerial {
    /// GeneralNames.
    issuer: Vec<Any>,
    serial_number: SerialNumber,
}

impl Imprint {
    /// The imprint of `message`.
    pub fn of(algorithm: DigestAlgorithm, message: &[u8]) -> Self {
        Self { algorithm, digest: algorithm.digest(message) }
    }

    /// From a digest that was made elsewhere; `None` if it has not the length of the algorithm's.
    pub fn from_digest(algorithm: DigestAlgorithm, digest: &[u8]) -> Option<Self> {
        (digest.len() == algorithm.digest_bytes()).then(|| Self { algorithm, digest: digest.to_vec() })
    }

    /// How the digest was made.
    pub fn algorithm(&self) -> DigestAlgorithm {
        self.algorithm
    }

    /// The digest.
    pub fn digest(&self) -> &[u8] {
        &self.digest
    }

    fn read(imprint: &MessageImprint) -> Option<Self> {
        Self::from_digest(DigestAlgorithm::of(&imprint.hash_algorithm)?, imprint.hashed_message.as_bytes())
    }

    fn to_asn1(&self) -> der::Result<MessageImprint> {
        Ok(MessageImprint { hash_algorithm: self.algorithm.identifier(), hashed_message: OctetString::new(self.digest.as_slice())? })
    }
}

impl TimestampToken {
    /// Parses strictly: the one DER encoding, at most 64 KiB, one signer, the three signed attributes once each and agreeing with the content.
    pub fn from_der(der: &[u8]) -> Result<Self, TimestampTokenError> {
        if der.len() > TOKEN_BYTES_MAX {
            return Err(Malformed);
        }
        let signed_data = canonical_signed_data(der).ok_or(Malformed)?;
        let content = content(&signed_data)?;
        let info = canonical::<TstInfo>(content).ok_or(Malformed)?;
        let signer = one_signer(&signed_data)?;
        let digest = DigestAlgorithm::of(&signer.digest_alg).ok_or(Profile("its digest is not SHA-256, SHA-384 or SHA-512"))?;
        if !signed_data.digest_algorithms.iter().eq([&signer.digest_alg]) {
            return Err(Profile("its digest algorithms are not that of its signer"));
        }
        let scheme = Scheme::of_signer(&signer.signature_algorithm, digest).ok_or(Profile("its signature is of no suite for tokens"))?;
        let values = signed_values(signer)?;
        if signed_value::<ObjectIdentifier>(&values, ID_CONTENT_TYPE)? != ID_CT_TST_INFO {
            return Err(Profile("its signed content type is another"));
        }
        if signed_value::<OctetString>(&values, ID_MESSAGE_DIGEST)?.as_bytes() != digest.digest(content) {
            return Err(Profile("its message digest is not that of its content"));
        }
        let signing = signed_value::<SigningCertificateV2>(&values, ID_AA_SIGNING_CERTIFICATE_V_2)?;
        let named = signing.certificates.first().ok_or(Profile("it names no certificate"))?;
        let certificate_id = named.decode_as::<CertificateId>().map_err(|_| Profile("a signed attribute is malformed"))?;
        Ok(Self {
            der: der.to_vec(),
            info: Info::read(&info)?,
            signer: signer.sid.clone(),
            certificate_id,
            scheme,
            signed_attributes: signer.signed_attrs.to_der().map_err(|_| Malformed)?,
            signature: signer.signature.as_bytes().to_vec(),
            certificates: certificates(&signed_data)?,
        })
    }

    /// The bytes as they came.
    pub fn der(&self) -> &[u8] {
        &self.der
    }

    /// What it is over, as it says.
    pub fn imprint(&self) -> &Imprint {
        &self.info.imprint
    }
}

impl Info {
    fn read(info: &TstInfo) -> Result<Self, TimestampTokenError> {
        if info.version != 1 {
            return Err(Profile("its content is not version 1"));
        }
        if info.serial_number.as_bytes().len() > SERIAL_BYTES_MAX {
            return Err(Profile("its serial number has more than 160 bits"));
        }
        if info.extensions.as_ref().is_some_and(Vec::is_empty) {
            return Err(Profile("it has an empty list where there should be none"));
        }
        if info.extensions.iter().flatten().any(|extension| extension.critical) {
            return Err(Profile("it has an unknown critical extension"));
        }
        let authority = match &info.tsa {
            None => None,
            Some(name) => {
                let name = directory_name(name).ok_or(Profile("it names its authority by something else than a distinguished name"))?;
                Some(name.to_vec())
            }
        };
        let accuracy_us = match info.accuracy {
            None => None,
            Some(accuracy) => Some(accuracy.micros().ok_or(Profile("its accuracy is empty or out of range"))?),
        };
        Ok(Self {
            imprint: Imprint::read(&info.message_imprint).ok_or(Profile("its imprint is not SHA-256, SHA-384 or SHA-512"))?,
            policy: info.policy,
            serial: info.serial_number.as_bytes().to_vec(),
            moment: asn1::read_gen_time(&info.gen_time).ok_or(Profile("its time is not one to the microsecond"))?,
            accuracy_us,
            nonce: info.nonce.as_ref().map(|nonce| Nonce::read(nonce).ok_or(Profile("its nonce is too long"))).transpose()?,
            authority,
        })
    }
}

fn canonical_signed_data(der: &[u8]) -> Option<SignedData> {
    let signed_data = ContentInfo::from_der(der).ok()?.content.decode_as::<SignedData>().ok()?;
    // DER has one encoding for a value, so what is not what a re-encoding gives is not DER; and another type of content is not either.
    let content = Any::encode_from(&signed_data).ok()?;
    let again = ContentInfo { content_type: ID_SIGNED_DATA, content }.to_der().ok()?;
    (again == der && is_der(der)).then_some(signed_data)
}

fn canonical<T: for<'a> Decode<'a> + Encode>(der: &[u8]) -> Option<T> {
    T::from_der(der).ok().filter(|value| is_der(der) && value.to_der().is_ok_and(|again| again == der))
}

fn content(signed_data: &SignedData) -> Result<&[u8], TimestampTokenError> {
    if signed_data.version != CmsVersion::V3 || signed_data.revocations.is_some() {
        return Err(Profile("it is not version 3 without revocation lists"));
    }
    let content = &signed_data.content;
    if content.econtent_type != ID_CT_TST_INFO {
        return Err(Profile("its content is not TSTInfo"));
    }
    let octets = content.econtent.as_ref().filter(|value| der::Tagged::tag(*value) == der::Tag::OctetString);
    octets.map(Any::value).ok_or(Profile("it has no content"))
}

fn one_signer(signed_data: &SignedData) -> Result<&SignerInfo, TimestampTokenError> {
    let mut signers = signed_data.signers.iter();
    let (Some(signer), None) = (signers.next(), signers.next()) else {
        return Err(Profile("it does not have exactly one signer"));
    };
    let version = match signer.sid {
        SignerIdentifier::IssuerAndSerialNumber(IssuerAndSerialNumber { ref issuer, .. }) if !name::is_well_formed(issuer) => {
            return Err(Profile("a part of its signer's name is empty"));
        }
        SignerIdentifier::IssuerAndSerialNumber(_) => CmsVersion::V1,
        SignerIdentifier::SubjectKeyIdentifier(_) => CmsVersion::V3,
    };
    if signer.version != version {
        return Err(Profile("its signer's version is not that of how it is named"));
    }
    if signer.unsigned_attrs.is_some() {
        return Err(Profile("it has attributes that are not signed"));
    }
    Ok(signer)
}

/// The one value of each signed attribute, each of which is there once: RFC 5652 section 11 has that of those that are read, and the others keep to it too.
fn signed_values(signer: &SignerInfo) -> Result<BTreeMap<ObjectIdentifier, &Any>, TimestampTokenError> {
    let attributes = signer.signed_attrs.as_ref().ok_or(Profile("it has no signed attributes"))?;
    let mut values = BTreeMap::new();
    for attribute in attributes.iter() {
        let [value] = attribute.values.as_slice() else { return Err(Profile("a signed attribute does not have exactly one value")) };
        if values.insert(attribute.oid, value).is_some() {
            return Err(Profile("a signed attribute is repeated"));
        }
    }
    Ok(values)
}

fn signed_value<T: for<'a> der::Choice<'a> + for<'a> der::DecodeValue<'a, Error = der::Error>>(
    values: &BTreeMap<ObjectIdentifier, &Any>,
    kind: ObjectIdentifier,
) -> Result<T, TimestampTokenError> {
    let value = values.get(&kind).ok_or(Profile("a signed attribute is missing"))?;
    value.decode_as().map_err(|_| Profile("a signed attribute is malformed"))
}

/// Those in the token that can be used; others stand there in vain, since nothing in the set is signed.
fn certificates(signed_data: &SignedData) -> Result<Vec<ChainCertificate>, TimestampTokenError> {
    let set = signed_data.certificates.as_deref().unwrap_or_default();
    if set.len() > CERTIFICATES_MAX {
        return Err(Profile("it has too many certificates"));
    }
    let mut usable = Vec::new();
    for certificate in set {
        usable.extend(ChainCertificate::from_der(&certificate.to_der().map_err(|_| Malformed)?).ok());
    }
    Ok(usable)
}

use TimestampTokenError::{Malformed, Profile};

/// Tokens with a chain of RSA certificates have about 6 KiB.
const TOKEN_BYTES_MAX: usize = 64 * 1024;
/// A path has at most 6; some authorities send cross-certificates along.
const CERTIFICATES_MAX: usize = 16;
/// RFC 3161 section 2.4.2.
const SERIAL_BYTES_MAX: usize = 20;

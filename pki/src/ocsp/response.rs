//! Responses (RFC 6960 section 4.2), parsed strictly, verified, and asked at a moment.

use std::collections::BTreeMap;

use const_oid::db::{rfc5280::ID_CE_INVALIDITY_DATE, rfc5912::ECDSA_WITH_SHA_384, rfc6960::ID_PKIX_OCSP_BASIC};
use der::{Decode, Encode, asn1::GeneralizedTime};

use super::{
    CertificateId, OcspNonce,
    asn1::{BasicResponse, CertStatus, ResponderId, Response, ResponseStatus, SingleResponse, first_version},
    canonical, check_extensions, read_nonce,
};
use crate::{
    BadSignature, Certificate, KeyPurpose, Timestamp, Verifier,
    crl::{Revocation, RevocationReason},
    name,
    path::{IssuedCertificate, Issuer},
};

/// A response whose form is that of docs/formats/ocsp.md. Nothing in it is believed until `verify`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OcspResponse {
    der: Vec<u8>,
    data: Vec<u8>,
    signature: Vec<u8>,
    responder: Vec<u8>,
    produced: Timestamp,
    nonce: Option<OcspNonce>,
    answers: Vec<(CertificateId, Answer)>,
    certificates: Vec<Certificate>,
}

/// Holding one is the proof that a responder whom the authority named signed it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VerifiedOcspResponse {
    der: Vec<u8>,
    produced: Timestamp,
    /// The last second of the certificate of whoever signed it.
    responder_not_after: Timestamp,
    issuer: Issuer,
    /// By serial number.
    answers: BTreeMap<Vec<u8>, Answer>,
}

/// What a response says of a certificate at a moment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum OcspStatus<'a> {
    /// The authority issued it and had not revoked it.
    Good,
    /// It is revoked, whatever the moment.
    Revoked(&'a Revocation),
    /// The responder does not know of it.
    Unknown,
    /// Good, but not yet or no longer at that moment.
    NotCurrent,
    /// The response is not about this certificate, or of another authority or another key of it.
    NotAnswered,
}

/// Why there is no signed response (OCSPResponseStatus).
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum OcspRefusal {
    /// malformedRequest
    #[error("the request was not understood")]
    MalformedRequest,
    /// internalError
    #[error("the responder failed")]
    InternalError,
    /// tryLater
    #[error("the responder can not answer now")]
    TryLater,
    /// sigRequired
    #[error("the responder wants signed requests")]
    SignatureRequired,
    /// unauthorized
    #[error("the responder does not answer this")]
    Unauthorized,
}

/// Why bytes are not a response, or a response is not believed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum OcspResponseError {
    /// Not DER, not the one encoding of its content, or too large.
    #[error("not an OCSP response in DER")]
    Malformed,
    /// Well-formed, but outside the profile.
    #[error("not an OCSP response of our profile: {0}")]
    Profile(&'static str),
    /// The responder refused, which nobody signs.
    #[error("there is no answer: {0}")]
    Refused(OcspRefusal),
    /// It is not the answer to the request with this nonce.
    #[error("the response is not an answer to this request")]
    Nonce,
    /// No certificate in it makes its signer a responder of the authority.
    #[error("the response is not by a responder of the authority: {0}")]
    Responder(&'static str),
    /// The responder's key did not sign it.
    #[error(transparent)]
    Signature(#[from] BadSignature),
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Answer {
    status: Status,
    this_update: Timestamp,
    next_update: Timestamp,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Status {
    Good,
    Revoked(Revocation),
    Unknown,
}

impl OcspResponse {
    /// Parses strictly: the one DER encoding, at most 64 KiB, version 1, ECDSA with SHA-384, the responder by name, 1 to 64 answers with all
    /// their dates in order, no unknown critical extension.
    pub fn from_der(der: &[u8]) -> Result<Self, OcspResponseError> {
        if der.len() > RESPONSE_BYTES_MAX {
            return Err(Malformed);
        }
        let response: Response = canonical(der).ok_or(Malformed)?;
        let bytes = match (refusal(response.status), response.bytes) {
            (Some(refusal), None) => return Err(OcspResponseError::Refused(refusal)),
            (None, Some(bytes)) => bytes,
            _ => return Err(Profile("it is neither an answer nor a refusal")),
        };
        if bytes.kind != ID_PKIX_OCSP_BASIC {
            return Err(Profile("it is not a basic response"));
        }
        let basic: BasicResponse = canonical(bytes.response.as_bytes()).ok_or(Malformed)?;
        if basic.algorithm.oid != ECDSA_WITH_SHA_384 || basic.algorithm.parameters.is_some() {
            return Err(Profile("it is not signed with ECDSA and SHA-384"));
        }
        let data = &basic.data;
        if data.version != first_version() {
            return Err(Profile("it is not version 1"));
        }
        let ResponderId::ByName(responder) = &data.responder else {
            return Err(Profile("it names its responder by a SHA-1 hash"));
        };
        if !name::is_well_formed(responder) {
            return Err(Profile("a part of its responder's name is empty"));
        }
        let produced = moment(&data.produced);
        Ok(Self {
            der: der.to_vec(),
            data: data.to_der().map_err(|_| Malformed)?,
            signature: basic.signature.as_bytes().ok_or(Malformed)?.to_vec(),
            responder: responder.to_der().map_err(|_| Malformed)?,
            produced,
            nonce: read_nonce(data.extensions.as_deref()).map_err(Profile)?,
            answers: answers(&data.responses, produced)?,
            certificates: certificates(&basic)?,
        })
    }

    /// Judges that `issuer`, whose own certificate was judged elsewhere, has certified who signed the response as its responder at the moment
    /// of the response, and that the response is an answer to the request with `nonce`, if one was sent. Only what it says of certificates of
    /// `issuer` is kept.
    pub fn verify(
        self,
        issuer: &Certificate,
        nonce: Option<&OcspNonce>,
        verifier: &dyn Verifier,
    ) -> Result<VerifiedOcspResponse, OcspResponseError> {
        if nonce.is_some_and(|nonce| self.nonce.as_ref() != Some(nonce)) {
            return Err(OcspResponseError::Nonce);
        }
        let responder = self.responder(issuer, verifier)?;
        verifier.verify(responder.public_key(), &self.data, &self.signature)?;
        let responder_not_after = responder.not_after();
        let mut answers = BTreeMap::new();
        // A responder speaks for the authority that named it, and for no other.
        for (id, answer) in self.answers.into_iter().filter(|(id, _)| id.is_of(issuer)) {
            if answers.insert(id.serial().to_vec(), answer).is_some() {
                return Err(Profile("it answers twice for a certificate"));
            }
        }
        Ok(VerifiedOcspResponse { der: self.der, produced: self.produced, responder_not_after, issuer: Issuer::of(issuer), answers })
    }

    /// The bytes as they came.
    pub fn der(&self) -> &[u8] {
        &self.der
    }

    /// The certificate of the named responder; of several that will not do, the first is reported.
    fn responder(&self, issuer: &Certificate, verifier: &dyn Verifier) -> Result<&Certificate, OcspResponseError> {
        let mut defect = "it has no certificate of the responder";
        for certificate in self.certificates.iter().filter(|certificate| certificate.subject_der() == self.responder) {
            match check_responder(certificate, issuer, self.produced, verifier) {
                Ok(()) => return Ok(certificate),
                Err(found) if defect == "it has no certificate of the responder" => defect = found,
                Err(_) => {}
            }
        }
        Err(OcspResponseError::Responder(defect))
    }
}

impl VerifiedOcspResponse {
    /// What the response says of `certificate` at `at`. One that is revoked is told as revoked at any moment: what `at` is worth against the
    /// moment of the revocation is for the caller to judge.
    ///
    /// Good ends with the certificate of the responder: a key that is no longer looked after says when it signed, and nobody else does.
    pub fn status_at(&self, certificate: IssuedCertificate<'_>, at: Timestamp) -> OcspStatus<'_> {
        let answer = self.answers.get(certificate.certificate().serial()).filter(|_| self.issuer.issued(certificate));
        let Some(answer) = answer else { return OcspStatus::NotAnswered };
        let last = answer.next_update.min(self.responder_not_after);
        let current = (answer.this_update.unix_s()..=last.unix_s()).contains(&at.unix_s());
        match &answer.status {
            Status::Revoked(revocation) => OcspStatus::Revoked(revocation),
            Status::Unknown => OcspStatus::Unknown,
            Status::Good if current => OcspStatus::Good,
            Status::Good => OcspStatus::NotCurrent,
        }
    }

    /// When the responder signed it.
    pub fn produced(&self) -> Timestamp {
        self.produced
    }

    /// The bytes as they came.
    pub fn der(&self) -> &[u8] {
        &self.der
    }
}

/// RFC 6960 section 4.2.2.2: the authority itself certified the responder, for this purpose. Our authorities' keys sign nothing but certificates
/// and lists (RFC 5280 section 4.2.1.3), so an authority is not its own responder.
pub(super) fn check_responder(
    certificate: &Certificate,
    issuer: &Certificate,
    at: Timestamp,
    verifier: &dyn Verifier,
) -> Result<(), &'static str> {
    if certificate.purpose() != KeyPurpose::OcspSigning {
        return Err("its certificate is not one of a responder");
    }
    let key_named = certificate.authority_key_identifier() == Some(issuer.subject_key_identifier());
    if certificate.issuer_der() != issuer.subject_der() || !key_named {
        return Err("its certificate is of another authority");
    }
    if certificate.trust_domain() != issuer.trust_domain() {
        return Err("its certificate is of another trust domain");
    }
    if issuer.purpose() != KeyPurpose::Authority {
        return Err("its certificate is not issued by an authority");
    }
    if !certificate.is_valid_at(at) {
        return Err("its certificate was not valid at that moment");
    }
    let signed = verifier.verify(issuer.public_key(), certificate.tbs_der(), certificate.signature());
    signed.map_err(|_| "its certificate is not signed by the authority")
}

fn refusal(status: ResponseStatus) -> Option<OcspRefusal> {
    Some(match status {
        ResponseStatus::Successful => return None,
        ResponseStatus::MalformedRequest => OcspRefusal::MalformedRequest,
        ResponseStatus::InternalError => OcspRefusal::InternalError,
        ResponseStatus::TryLater => OcspRefusal::TryLater,
        ResponseStatus::SigRequired => OcspRefusal::SignatureRequired,
        ResponseStatus::Unauthorized => OcspRefusal::Unauthorized,
    })
}

fn answers(responses: &[SingleResponse], produced: Timestamp) -> Result<Vec<(CertificateId, Answer)>, OcspResponseError> {
    if !(1..=ANSWERS_MAX).contains(&responses.len()) {
        return Err(Profile("it does not have 1 to 64 answers"));
    }
    responses.iter().map(|response| answer(response, produced)).collect()
}

fn answer(response: &SingleResponse, produced: Timestamp) -> Result<(CertificateId, Answer), OcspResponseError> {
    let id = CertificateId::read(response.id.clone());
    let id = id.ok_or(Profile("it names a certificate by a hash or a serial number that are not ours"))?;
    let this_update = moment(&response.this_update);
    let next_update = moment(response.next_update.as_ref().ok_or(Profile("it does not say when the next one comes"))?);
    if this_update > next_update {
        return Err(Profile("the next one comes before it"));
    }
    if next_update.unix_s() - this_update.unix_s() > CURRENT_S_MAX {
        return Err(Profile("it would be current for more than ten days"));
    }
    if this_update > produced {
        return Err(Profile("it is of a time after it was made"));
    }
    let extensions = check_extensions(response.extensions.as_deref(), &[]).map_err(Profile)?;
    let invalidity = extensions.iter().find(|extension| extension.extn_id == ID_CE_INVALIDITY_DATE);
    let invalid_since =
        invalidity.map(|extension| GeneralizedTime::from_der(extension.extn_value.as_bytes()).map(|time| moment(&time))).transpose();
    let invalid_since = invalid_since.map_err(|_| Malformed)?;
    let status = match &response.status {
        CertStatus::Good(_) => Status::Good,
        CertStatus::Unknown(_) => Status::Unknown,
        CertStatus::Revoked(info) => {
            let reason = info.reason.map(RevocationReason::of).transpose().map_err(Profile)?.flatten();
            let revoked = moment(&info.time);
            if revoked > this_update {
                return Err(Profile("a revocation is later than the answer"));
            }
            if invalid_since.is_some_and(|since| since > revoked) {
                return Err(Profile("a certificate is invalid only after it was revoked"));
            }
            Status::Revoked(Revocation { serial: id.serial().to_vec(), revoked, reason, invalid_since })
        }
    };
    Ok((id, Answer { status, this_update, next_update }))
}

/// Those in the response that can be used; others stand there in vain, since nothing in the list is signed.
fn certificates(basic: &BasicResponse) -> Result<Vec<Certificate>, OcspResponseError> {
    let list = basic.certificates.as_deref().unwrap_or_default();
    if basic.certificates.is_some() && list.is_empty() {
        return Err(Profile("it has an empty list where there should be none"));
    }
    if list.len() > CERTIFICATES_MAX {
        return Err(Profile("it has too many certificates"));
    }
    let mut usable = Vec::new();
    for certificate in list {
        usable.extend(Certificate::from_der(&certificate.to_der().map_err(|_| Malformed)?).ok());
    }
    Ok(usable)
}

fn moment(time: &GeneralizedTime) -> Timestamp {
    Timestamp::from_date_time(time.to_date_time())
}

use OcspResponseError::{Malformed, Profile};

/// An answer has about 150 bytes, and the responder's certificate 600.
const RESPONSE_BYTES_MAX: usize = 64 * 1024;
/// Those of a request at most, and as many again for a responder that says more than it was asked.
const ANSWERS_MAX: usize = 64;
/// As long as the CA/Browser Forum lets answers hold (Baseline Requirements, section 4.9.10). Else a key that was stolen from a responder could
/// say once that a certificate is good, and that would hold as long as the thief likes.
const CURRENT_S_MAX: u64 = 10 * 24 * 3600;
/// The responder's; others send the authority's along. Each may cost a signature.
const CERTIFICATES_MAX: usize = 4;

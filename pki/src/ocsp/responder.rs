//! Our own responder: answers requests about the certificates of the authority that certified it.
//!
//! It knows no clock and keeps no list: whoever calls has read the one and looks up the other.

use const_oid::db::{rfc5280::ID_CE_INVALIDITY_DATE, rfc6960::ID_PKIX_OCSP_BASIC};
use der::{
    Any, Decode, Encode,
    asn1::{BitString, GeneralizedTime, Null, OctetString},
};
use x509_cert::{ext::Extension, name::Name};

use super::{
    CertificateId, OcspRequest, OcspResponse, OcspResponseError,
    asn1::{
        BasicResponse, CertStatus, ResponderId, Response, ResponseBytes, ResponseData, ResponseStatus, RevokedInfo, SingleResponse,
        first_version,
    },
};
use crate::{Certificate, KeyPurpose, Signer, SignerError, Timestamp, crl::Revocation, issue::ecdsa_with_sha384};

/// A responder of an authority of ours: P-384 with SHA-384.
pub struct OcspResponder<'a> {
    certificate: &'a Certificate,
    issuer: &'a Certificate,
    signer: &'a dyn Signer,
}

/// What an authority knows of one of its certificates.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CertificateStatus {
    /// Issued, and not revoked.
    Good,
    /// Revoked; the serial number in it is not looked at.
    Revoked(Revocation),
    /// Never issued.
    Unknown,
}

/// Why a response was not made.
#[derive(Debug, thiserror::Error)]
pub enum MakeResponseError {
    /// The certificate is not one of a responder of this authority.
    #[error("the certificate is not one of a responder of this authority")]
    Certificate,
    /// The key is not that of the certificate.
    #[error("the key is not that of the responder's certificate")]
    Key,
    /// It would not fit the profile.
    #[error("such a response is not made: {0}")]
    Refused(OcspResponseError),
    /// The responder's key.
    #[error(transparent)]
    Signer(#[from] SignerError),
}

impl<'a> OcspResponder<'a> {
    /// With the certificate of `signer`'s key, which `issuer` has certified for this.
    pub fn new(certificate: &'a Certificate, issuer: &'a Certificate, signer: &'a dyn Signer) -> Result<Self, MakeResponseError> {
        let named = certificate.issuer_der() == issuer.subject_der()
            && certificate.authority_key_identifier() == Some(issuer.subject_key_identifier());
        if certificate.purpose() != KeyPurpose::OcspSigning || !named {
            return Err(MakeResponseError::Certificate);
        }
        if certificate.public_key() != signer.public_key() {
            return Err(MakeResponseError::Key);
        }
        Ok(Self { certificate, issuer, signer })
    }

    /// The response to the bytes of a request at `at`, which holds until `next_update` (both rounded down to the second): the `status` of each
    /// serial number of the authority's, unknown for those of others, or a refusal.
    pub fn respond(
        &self,
        request: &[u8],
        status: &dyn Fn(&[u8]) -> CertificateStatus,
        at: Timestamp,
        next_update: Timestamp,
    ) -> Result<Vec<u8>, MakeResponseError> {
        let Some(request) = OcspRequest::from_der(request) else { return refuse(ResponseStatus::MalformedRequest) };
        if !self.certificate.is_valid_at(at) {
            return refuse(ResponseStatus::TryLater);
        }
        let of = |id: &CertificateId| if id.is_of(self.issuer) { status(id.serial()) } else { CertificateStatus::Unknown };
        let responses = request.ids().iter().map(|id| single(id, &of(id), at, next_update)).collect::<der::Result<_>>();
        let data = responses.and_then(|responses| self.data(&request, responses, at)).map_err(refused)?;
        let signature = self.signer.sign(&data.to_der().map_err(refused)?)?;
        let response = self.response(data, &signature).map_err(refused)?;
        // What is made is judged by the same parser that will judge it everywhere else.
        OcspResponse::from_der(&response).map_err(MakeResponseError::Refused)?;
        Ok(response)
    }

    fn data(&self, request: &OcspRequest, responses: Vec<SingleResponse>, at: Timestamp) -> der::Result<ResponseData> {
        let extensions = request.nonce().map(|nonce| Ok::<_, der::Error>(vec![nonce.extension()?])).transpose()?;
        Ok(ResponseData {
            version: first_version(),
            responder: ResponderId::ByName(Name::from_der(self.certificate.subject_der())?),
            produced: time(at),
            responses,
            extensions,
        })
    }

    fn response(&self, data: ResponseData, signature: &[u8]) -> der::Result<Vec<u8>> {
        let basic = BasicResponse {
            data,
            algorithm: ecdsa_with_sha384(),
            signature: BitString::from_bytes(signature)?,
            certificates: Some(vec![Any::from_der(self.certificate.der())?]),
        };
        let bytes = ResponseBytes { kind: ID_PKIX_OCSP_BASIC, response: OctetString::new(basic.to_der()?)? };
        Response { status: ResponseStatus::Successful, bytes: Some(bytes) }.to_der()
    }
}

fn single(id: &CertificateId, status: &CertificateStatus, at: Timestamp, next_update: Timestamp) -> der::Result<SingleResponse> {
    let mut extensions = None;
    let status = match status {
        CertificateStatus::Good => CertStatus::Good(Null),
        CertificateStatus::Unknown => CertStatus::Unknown(Null),
        CertificateStatus::Revoked(revocation) => {
            if let Some(since) = revocation.invalid_since {
                let extn_value = OctetString::new(time(since).to_der()?)?;
                extensions = Some(vec![Extension { extn_id: ID_CE_INVALIDITY_DATE, critical: false, extn_value }]);
            }
            CertStatus::Revoked(RevokedInfo { time: time(revocation.revoked), reason: revocation.reason.map(|reason| reason.code()) })
        }
    };
    Ok(SingleResponse { id: id.id.clone(), status, this_update: time(at), next_update: Some(time(next_update)), extensions })
}

/// Refusals are not signed (section 2.3).
fn refuse(status: ResponseStatus) -> Result<Vec<u8>, MakeResponseError> {
    Response { status, bytes: None }.to_der().map_err(refused)
}

fn refused(_: der::Error) -> MakeResponseError {
    MakeResponseError::Refused(OcspResponseError::Malformed)
}

fn time(moment: Timestamp) -> GeneralizedTime {
    GeneralizedTime::from_date_time(moment.date_time())
}

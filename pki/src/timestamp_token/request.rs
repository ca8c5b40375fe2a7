//! Requests for a token and responses to them (RFC 3161 sections 2.4.1 and 2.4.2).
//!
//! They know no transport; nonces are drawn by the caller.

use const_oid::ObjectIdentifier;
use der::{Encode, asn1::Uint};

use super::{
    Imprint, TOKEN_BYTES_MAX, TimestampToken, TimestampTokenError,
    asn1::{TimeStampReq, TimeStampResp},
    canonical,
};

/// A number that is drawn at random for a request, so that the answer is known for one to it: 1 to 32 bytes without leading zeros.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Nonce(Vec<u8>);

/// A request for a token.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TimestampRequest {
    /// What is to be timestamped.
    pub imprint: Imprint,
    /// The policy that is asked for, if any.
    pub policy: Option<ObjectIdentifier>,
    /// Comes back in the token.
    pub nonce: Option<Nonce>,
    /// True if the token is to bring the authority's certificates.
    pub with_certificates: bool,
}

/// Why a request is refused, as the response says it (PKIFailureInfo).
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RequestRefusal {
    /// badAlg: the imprint is not SHA-256, SHA-384 or SHA-512, or has not its length.
    #[error("the hash algorithm is not in use here")]
    Algorithm,
    /// badDataFormat: not DER, not version 1, or too large.
    #[error("not a request in DER")]
    Format,
    /// timeNotAvailable: the authority's certificate is not valid now.
    #[error("the time is not available")]
    Time,
    /// unacceptedPolicy: another than the authority's.
    #[error("the policy is not the authority's")]
    Policy,
    /// unacceptedExtension: there is none that is known here.
    #[error("the request has an extension, and none is known")]
    Extension,
}

/// Why a response brings no token.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ResponseError {
    /// Not DER, or neither a token nor a refusal.
    #[error("not a timestamp response in DER")]
    Malformed,
    /// The authority refused, with this PKIStatus.
    #[error("the timestamping authority refused (status {0})")]
    Refused(u8),
    /// It granted something that is not a token of the profile.
    #[error(transparent)]
    Token(#[from] TimestampTokenError),
}

impl Nonce {
    /// From big-endian bytes; `None` if there are none but zeros, or more than 32 without the leading ones.
    pub fn new(bytes: &[u8]) -> Option<Self> {
        let first = bytes.iter().position(|byte| *byte != 0)?;
        (bytes.len() - first <= NONCE_BYTES_MAX).then(|| Self(bytes[first..].to_vec()))
    }

    /// Another's nonce, which may be zero.
    pub(super) fn read(number: &Uint) -> Option<Self> {
        let bytes = number.as_bytes();
        (bytes.len() <= NONCE_BYTES_MAX).then(|| Self(bytes.to_vec()))
    }

    pub(super) fn to_asn1(&self) -> der::Result<Uint> {
        Uint::new(&self.0)
    }
}

impl TimestampRequest {
    /// Parses strictly: the one DER encoding of version 1, without extensions, at most 4 KiB.
    pub fn from_der(der: &[u8]) -> Result<Self, RequestRefusal> {
        if der.len() > REQUEST_BYTES_MAX {
            return Err(RequestRefusal::Format);
        }
        let request = canonical::<TimeStampReq>(der).filter(|request| request.version == VERSION).ok_or(RequestRefusal::Format)?;
        if request.extensions.is_some() {
            return Err(RequestRefusal::Extension);
        }
        let nonce = request.nonce.as_ref().map(|nonce| Nonce::read(nonce).ok_or(RequestRefusal::Format)).transpose()?;
        let imprint = Imprint::read(&request.message_imprint).ok_or(RequestRefusal::Algorithm)?;
        Ok(Self { imprint, policy: request.req_policy, nonce, with_certificates: request.cert_req })
    }

    /// The DER to send, as `application/timestamp-query`.
    pub fn to_der(&self) -> Vec<u8> {
        let encode = || {
            let request = TimeStampReq {
                version: VERSION,
                message_imprint: self.imprint.to_asn1()?,
                req_policy: self.policy,
                nonce: self.nonce.as_ref().map(Nonce::to_asn1).transpose()?,
                cert_req: self.with_certificates,
                extensions: None,
            };
            request.to_der()
        };
        encode().expect("digests and nonces have lengths that DER can hold")
    }
}

/// The token that a response (`application/timestamp-reply`) grants. It has still to be verified.
pub fn token_of_response(der: &[u8]) -> Result<TimestampToken, ResponseError> {
    if der.len() > RESPONSE_BYTES_MAX {
        return Err(ResponseError::Malformed);
    }
    let response = canonical::<TimeStampResp>(der).ok_or(ResponseError::Malformed)?;
    match (response.status.status, response.time_stamp_token) {
        (GRANTED | GRANTED_WITH_MODIFICATIONS, Some(token)) if response.status.fail_info.is_none() => {
            Ok(TimestampToken::from_der(&token.to_der().map_err(|_| ResponseError::Malformed)?)?)
        }
        (refused @ REJECTION..=STATUS_MAX, None) => Err(ResponseError::Refused(refused)),
        _ => Err(ResponseError::Malformed),
    }
}

const VERSION: u8 = 1;
/// A request has about 100 bytes.
const REQUEST_BYTES_MAX: usize = 4 * 1024;
/// A token, and what the authority says about it in words.
const RESPONSE_BYTES_MAX: usize = TOKEN_BYTES_MAX + 4 * 1024;
/// Most send 8 bytes, and nobody needs more than a digest has.
const NONCE_BYTES_MAX: usize = 32;
/// PKIStatus of section 2.4.2, and of the two that grant the second.
pub(super) const GRANTED: u8 = 0;
const GRANTED_WITH_MODIFICATIONS: u8 = 1;
pub(super) const REJECTION: u8 = 2;
/// keyUpdateWarning of RFC 4210, the last there is.
const STATUS_MAX: u8 = 6;

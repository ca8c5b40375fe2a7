//! What the library judges, remembered, so that the verifier in Python can judge the same. Each function judges as the one of the library
//! does that it is named after.
#![allow(dead_code, reason = "each test includes this module for itself, and none uses all of it")]

use exhibit_pki::{
    Certificate, CertificateError, ChainCertificate, ChainCertificateError, OcspRequest, OcspResponse, PathError, RevocationList,
    RevocationListError, RustCrypto, Timestamp, TimestampToken, TimestampTokenError, TimestampTrust, ValidatedPath, VerifiedOcspResponse,
    VerifiedRevocationList, VerifiedTimestamp,
    attestation::{EndorsementCertificate, EndorsementChainError, VendorTrust, VerifiedEndorsement},
    crl::ListedStatus,
    ocsp::{OcspNonce, OcspResponseError, OcspStatus},
    timestamp_token::{Imprint, Nonce},
    validate_path,
};

#[path = "../../../tests/independent/ask.rs"]
mod independent;
pub use independent::{Answer, assert_agrees_on, judged, remember};

pub fn read_certificate(der: &[u8]) -> Result<Certificate, CertificateError> {
    judged("certificate", &[der], Certificate::from_der(der))
}

pub fn judge_path(
    leaf: &Certificate,
    intermediates: &[Certificate],
    roots: &[Certificate],
    at: Timestamp,
) -> Result<ValidatedPath, PathError> {
    let (moment, count) = (at.unix_ms().to_string(), roots.len().to_string());
    let mut with = vec![leaf.der(), moment.as_bytes(), count.as_bytes()];
    with.extend(roots.iter().chain(intermediates).map(Certificate::der));
    judged("path", &with, validate_path(leaf, intermediates, roots, at, &RustCrypto))
}

pub fn read_chain_certificate(der: &[u8]) -> Result<ChainCertificate, ChainCertificateError> {
    judged("chain-certificate", &[der], ChainCertificate::from_der(der))
}

pub fn read_token(der: &[u8]) -> Result<TimestampToken, TimestampTokenError> {
    judged("timestamp-token", &[der], TimestampToken::from_der(der))
}

pub fn verify_token(
    token: &TimestampToken,
    imprint: &Imprint,
    nonce: &[u8],
    trust: &TimestampTrust<'_>,
) -> Result<VerifiedTimestamp, TimestampTokenError> {
    let count = trust.anchors.len().to_string();
    let mut with = vec![token.der(), imprint.digest(), nonce, count.as_bytes()];
    with.extend(trust.anchors.iter().chain(trust.certificates).map(ChainCertificate::der));
    let verified = token.verify(imprint, Nonce::new(nonce).as_ref(), trust);
    let is_told = verified.as_ref().is_err_and(TimestampTokenError::is_of_strangers);
    remember("timestamp-token-by", &with, if is_told { Answer::Told } else { Answer::of(verified.is_ok()) });
    verified
}

pub fn read_list(der: &[u8]) -> Result<RevocationList, RevocationListError> {
    judged("revocation-list", &[der], RevocationList::from_der(der))
}

pub fn verify_list(list: RevocationList, issuer: &Certificate) -> Result<VerifiedRevocationList, RevocationListError> {
    let der = list.der().to_vec();
    judged("revocation-list-by", &[&der, issuer.der()], list.verify(issuer, &RustCrypto))
}

/// Whether a list says at `at` that the leaf of a path is good. The list is `issuer`'s.
pub fn is_good_by_list(list: &VerifiedRevocationList, issuer: &Certificate, path: &ValidatedPath, at: Timestamp) -> bool {
    let good = list.status_at(path.issued().next().unwrap(), at) == ListedStatus::NotRevoked;
    is_good("good-by-list", list.der(), issuer, path, at, good)
}

/// The same of a response.
pub fn is_good_by_ocsp(response: &VerifiedOcspResponse, issuer: &Certificate, path: &ValidatedPath, at: Timestamp) -> bool {
    let good = response.status_at(path.issued().next().unwrap(), at) == OcspStatus::Good;
    is_good("good-by-ocsp", response.der(), issuer, path, at, good)
}

fn is_good(kind: &'static str, der: &[u8], issuer: &Certificate, path: &ValidatedPath, at: Timestamp, good: bool) -> bool {
    let moment = at.unix_ms().to_string();
    let certificates = path.certificates();
    let [leaf, between @ .., root] = certificates else { panic!("a path has a leaf and a root") };
    let mut with = vec![der, issuer.der(), moment.as_bytes(), leaf.der(), b"1", root.der()];
    with.extend(between.iter().map(Certificate::der));
    judged(kind, &with, good.then_some(()).ok_or(())).is_ok()
}

pub fn read_ocsp_request(der: &[u8]) -> Option<OcspRequest> {
    judged("ocsp-request", &[der], OcspRequest::from_der(der).ok_or(())).ok()
}

pub fn read_ocsp_response(der: &[u8]) -> Result<OcspResponse, OcspResponseError> {
    judged("ocsp-response", &[der], OcspResponse::from_der(der))
}

pub fn verify_ocsp(response: &[u8], issuer: &Certificate, nonce: Option<&OcspNonce>) -> Result<VerifiedOcspResponse, OcspResponseError> {
    let nonce_bytes = nonce.map(|nonce| nonce.as_bytes().to_vec()).unwrap_or_default();
    let verified = read_ocsp_response(response).and_then(|parsed| parsed.verify(issuer, nonce, &RustCrypto));
    judged("ocsp-response-by", &[response, issuer.der(), &nonce_bytes], verified)
}

pub fn verify_endorsement(nv: &[u8], trust: &VendorTrust<'_>, at: Timestamp) -> Result<VerifiedEndorsement, EndorsementChainError> {
    let (moment, count) = (at.unix_ms().to_string(), trust.roots.len().to_string());
    let mut with = vec![nv, moment.as_bytes(), count.as_bytes()];
    with.extend(trust.roots.iter().chain(trust.certificates).map(ChainCertificate::der));
    let certificate = EndorsementCertificate::from_nv(nv).expect("the padding is judged elsewhere");
    judged("endorsement-chain", &with, certificate.verify(trust, at))
}

//! The status of a certificate asked for and answered (OCSP, RFC 6960): requests, responses of a delegated responder, and our own responder.
//!
//! It knows no transport, no clock and no ledger: what a revocation means for evidence that is older is judged elsewhere.

mod asn1;
mod request;
mod responder;
mod response;

use const_oid::{ObjectIdentifier, db::rfc6960::ID_PKIX_OCSP_NONCE};
use der::{
    Decode, Encode,
    asn1::{OctetString, OctetStringRef},
};
use x509_cert::{ext::Extension, serial_number::SerialNumber, spki::SubjectPublicKeyInfoRef};

use self::asn1::CertId;
pub use self::{
    request::OcspRequest,
    responder::{CertificateStatus, MakeResponseError, OcspResponder},
    response::{OcspRefusal, OcspResponse, OcspResponseError, OcspStatus, VerifiedOcspResponse},
};
use crate::{Certificate, DigestAlgorithm, certificate::is_serial, distinguished::is_der};

/// Which certificate is asked for: hashes of its issuer's name and key, and its serial number.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CertificateId {
    id: CertId,
    algorithm: DigestAlgorithm,
}

/// What a request carries so that the answer is known for one to it (RFC 9654): 1 to 128 bytes, 32 of them drawn at random in ours.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OcspNonce(Vec<u8>);

impl CertificateId {
    /// The name, under SHA-256, of the certificate that `issuer` issued with this serial number (content octets); `None` if that is not
    /// positive or has more than 20 bytes.
    pub fn new(issuer: &Certificate, serial: &[u8]) -> Option<Self> {
        if !is_serial(serial) {
            return None;
        }
        let algorithm = DigestAlgorithm::Sha256;
        let (name, key) = issuer_hashes(issuer, algorithm)?;
        let id = CertId {
            hash_algorithm: algorithm.identifier(),
            issuer_name_hash: OctetString::new(name).ok()?,
            issuer_key_hash: OctetString::new(key).ok()?,
            serial_number: SerialNumber::new(serial).ok()?,
        };
        Self::read(id)
    }

    /// The content octets of the serial number.
    pub fn serial(&self) -> &[u8] {
        self.id.serial_number.as_bytes()
    }

    /// True if it names a certificate of `issuer`'s.
    pub fn is_of(&self, issuer: &Certificate) -> bool {
        let same =
            |(name, key): (Vec<u8>, Vec<u8>)| name == self.id.issuer_name_hash.as_bytes() && key == self.id.issuer_key_hash.as_bytes();
        issuer_hashes(issuer, self.algorithm).is_some_and(same)
    }

    /// Hashes are SHA-256, SHA-384 or SHA-512, of their length; SHA-1 is nowhere taken.
    fn read(id: CertId) -> Option<Self> {
        let algorithm = DigestAlgorithm::of(&id.hash_algorithm)?;
        let fits = [&id.issuer_name_hash, &id.issuer_key_hash].iter().all(|hash| hash.as_bytes().len() == algorithm.digest_bytes());
        (fits && is_serial(id.serial_number.as_bytes())).then_some(Self { id, algorithm })
    }
}

impl OcspNonce {
    /// From bytes that were drawn at random; `None` if there are none, or more than 128.
    pub fn new(bytes: &[u8]) -> Option<Self> {
        (1..=NONCE_BYTES_MAX).contains(&bytes.len()).then(|| Self(bytes.to_vec()))
    }

    /// The bytes.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    fn extension(&self) -> der::Result<Extension> {
        let value = OctetStringRef::new(&self.0)?.to_der()?;
        Ok(Extension { extn_id: ID_PKIX_OCSP_NONCE, critical: false, extn_value: OctetString::new(value)? })
    }
}

/// The nonce among the extensions of a request or a response, of which none is there twice and none that is critical is unknown.
fn read_nonce(extensions: Option<&[Extension]>) -> Result<Option<OcspNonce>, &'static str> {
    let extensions = check_extensions(extensions, &[ID_PKIX_OCSP_NONCE])?;
    let Some(nonce) = extensions.iter().find(|extension| extension.extn_id == ID_PKIX_OCSP_NONCE) else { return Ok(None) };
    let nonce = OctetString::from_der(nonce.extn_value.as_bytes()).ok().and_then(|value| OcspNonce::new(value.as_bytes()));
    nonce.ok_or("its nonce is not of 1 to 128 bytes").map(Some)
}

/// The extensions, each of which is there once, and none critical but those that are `known`.
fn check_extensions<'a>(extensions: Option<&'a [Extension]>, known: &[ObjectIdentifier]) -> Result<&'a [Extension], &'static str> {
    let Some(extensions) = extensions else { return Ok(&[]) };
    // RFC 5280 section 4.1: they are SIZE (1..MAX).
    if extensions.is_empty() {
        return Err("it has an empty list where there should be none");
    }
    // Before they are compared each with each.
    if extensions.len() > EXTENSIONS_MAX {
        return Err("it has too many extensions");
    }
    for (position, extension) in extensions.iter().enumerate() {
        if extensions[..position].iter().any(|earlier| earlier.extn_id == extension.extn_id) {
            return Err("it has an extension twice");
        }
        if extension.critical && !known.contains(&extension.extn_id) {
            return Err("it has an unknown critical extension");
        }
    }
    Ok(extensions)
}

/// Of the issuer's name, and of its key: the content of the subjectPublicKey.
fn issuer_hashes(issuer: &Certificate, algorithm: DigestAlgorithm) -> Option<(Vec<u8>, Vec<u8>)> {
    let spki = issuer.public_key().to_spki_der();
    let key = SubjectPublicKeyInfoRef::from_der(&spki).ok()?;
    Some((algorithm.digest(issuer.subject_der()), algorithm.digest(key.subject_public_key.as_bytes()?)))
}

/// The value, if `der` is its one DER encoding.
fn canonical<T: for<'a> Decode<'a> + Encode>(der: &[u8]) -> Option<T> {
    T::from_der(der).ok().filter(|value| is_der(der) && value.to_der().is_ok_and(|again| again == der))
}

/// RFC 9654 section 2.1.
const NONCE_BYTES_MAX: usize = 128;
/// RFC 6960 has seven, and the entries of revocation lists three more.
const EXTENSIONS_MAX: usize = 16;

//! Requests (RFC 6960 section 4.1): made for whoever asks, and read strictly by our responder.

use der::Encode;

use super::{
    CertificateId, OcspNonce,
    asn1::{Request, SingleRequest, TbsRequest, first_version},
    canonical, check_extensions, read_nonce,
};

/// A request for the status of certificates.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OcspRequest {
    ids: Vec<CertificateId>,
    nonce: Option<OcspNonce>,
}

impl OcspRequest {
    /// For certificates (1 to 16, none twice), and perhaps with a nonce; `None` if there are fewer or more, or one twice.
    pub fn new(ids: Vec<CertificateId>, nonce: Option<OcspNonce>) -> Option<Self> {
        // Before they are compared each with each.
        if !(1..=CERTIFICATES_MAX).contains(&ids.len()) {
            return None;
        }
        let twice = ids.iter().enumerate().any(|(position, id)| ids.iter().take(position).any(|earlier| earlier == id));
        (!twice).then_some(Self { ids, nonce })
    }

    /// Parses strictly: the one DER encoding of version 1, at most 8 KiB, not signed, without the requestor's name; no unknown critical
    /// extension. `None` if it is anything else, for which RFC 6960 has the one answer malformedRequest.
    pub fn from_der(der: &[u8]) -> Option<Self> {
        if der.len() > REQUEST_BYTES_MAX {
            return None;
        }
        let Request { tbs, signature } = canonical(der)?;
        if tbs.version != first_version() || tbs.requestor.is_some() || signature.is_some() {
            return None;
        }
        let nonce = read_nonce(tbs.extensions.as_deref()).ok()?;
        let read = |request: SingleRequest| {
            check_extensions(request.extensions.as_deref(), &[]).ok()?;
            CertificateId::read(request.id)
        };
        Self::new(tbs.requests.into_iter().map(read).collect::<Option<_>>()?, nonce)
    }

    /// The DER to send, as `application/ocsp-request`.
    pub fn to_der(&self) -> Vec<u8> {
        let encode = || {
            let extensions = self.nonce.as_ref().map(|nonce| Ok::<_, der::Error>(vec![nonce.extension()?])).transpose()?;
            let requests = self.ids.iter().map(|id| SingleRequest { id: id.id.clone(), extensions: None }).collect();
            let tbs = TbsRequest { version: first_version(), requestor: None, requests, extensions };
            Request { tbs, signature: None }.to_der()
        };
        encode().expect("hashes, serial numbers and nonces have lengths that DER can hold")
    }

    /// Which certificates.
    pub fn ids(&self) -> &[CertificateId] {
        &self.ids
    }

    /// The nonce.
    pub fn nonce(&self) -> Option<&OcspNonce> {
        self.nonce.as_ref()
    }
}

/// A request for one certificate has about 120 bytes.
const REQUEST_BYTES_MAX: usize = 8 * 1024;
/// People ask for one; a path has at most 6.
const CERTIFICATES_MAX: usize = 16;

//! Writes responses, flawless or not, without knowing the crates that read them.

use exhibit_pki::{
    Certificate, KeyPurpose, Signer, VerifiedOcspResponse,
    crl::{Revocation, RevocationReason},
    ocsp::{OcspNonce, OcspResponseError},
};

use crate::{judged, support::*};

pub const TOMORROW: &str = "2026-11-21T12:00:00.000Z";

/// The certificate of the city's responder (key 8).
pub fn responder(city: &City) -> Certificate {
    city.issue("authority/ocsp", &[], KeyPurpose::OcspSigning, &[], &key(8))
}

pub fn revocation(serial: &[u8]) -> Revocation {
    Revocation {
        serial: serial.to_vec(),
        revoked: at("2026-11-18T12:00:00.000Z"),
        reason: Some(RevocationReason::KeyCompromise),
        invalid_since: Some(at("2026-11-01T00:00:00.000Z")),
    }
}

pub const SHA_1: &str = "1.3.14.3.2.26";
pub const SHA_256: &str = "2.16.840.1.101.3.4.2.1";
pub const NONCE: &str = "1.3.6.1.5.5.7.48.1.2";
pub const OCSP_SIGNING: &str = "1.3.6.1.5.5.7.3.9";
pub const INVALIDITY: &str = "2.5.29.24";

pub fn sha256(message: &[u8]) -> Vec<u8> {
    <sha2::Sha256 as sha2::Digest>::digest(message).to_vec()
}

pub fn time(text: &str) -> Vec<u8> {
    tlv(0x18, &[text.as_bytes()])
}

/// CertID with SHA-256.
pub fn id(issuer: &Certificate, serial: &[u8]) -> Vec<u8> {
    let hash = |bytes: &[u8]| tlv(4, &[&sha256(bytes)]);
    tlv(
        0x30,
        &[&tlv(0x30, &[&oid(SHA_256)]), &hash(issuer.subject_der()), &hash(&issuer.public_key().to_spki_der()[23..]), &tlv(2, &[serial])],
    )
}

/// A response of the city's responder without a flaw, of which each part can be replaced. It knows nothing of the crates that read it.
#[derive(Clone)]
pub struct Response {
    pub status: Vec<u8>,
    pub kind: Vec<u8>,
    pub version: Vec<u8>,
    pub responder: Vec<u8>,
    pub produced: Vec<u8>,
    pub answers: Vec<Answer>,
    pub extensions: Vec<Vec<u8>>,
    pub algorithm: Vec<u8>,
    pub certificates: Vec<Vec<u8>>,
    pub key: u8,
}

#[derive(Clone)]
pub struct Answer {
    pub id: Vec<u8>,
    pub status: Vec<u8>,
    pub this_update: Vec<u8>,
    pub next_update: Vec<u8>,
    pub extensions: Vec<Vec<u8>>,
}

pub const GOOD: &[u8] = &[0x80, 0];

impl Response {
    pub fn good(city: &City) -> Self {
        let answer = Answer {
            id: id(&city.issuing, city.camera().serial()),
            status: GOOD.to_vec(),
            this_update: time("20261120120000Z"),
            next_update: tlv(0xa0, &[&time("20261121120000Z")]),
            extensions: vec![],
        };
        Self {
            status: vec![10, 1, 0],
            kind: oid("1.3.6.1.5.5.7.48.1.1"),
            version: vec![],
            responder: tlv(0xa1, &[responder(city).subject_der()]),
            produced: time("20261120120000Z"),
            answers: vec![answer],
            extensions: vec![extension(NONCE, false, &[4, 3, 9, 9, 9])],
            algorithm: ecdsa_with_sha384(),
            certificates: vec![responder(city).der().to_vec()],
            key: 8,
        }
    }

    pub fn with(&self, change: impl Fn(&mut Self)) -> Self {
        let mut response = self.clone();
        change(&mut response);
        response
    }

    /// With a change to its one answer.
    pub fn answer(&self, change: impl Fn(&mut Answer)) -> Self {
        self.with(|response| change(&mut response.answers[0]))
    }

    pub fn der(&self) -> Vec<u8> {
        self.der_over(&self.data())
    }

    /// ResponseData.
    pub fn data(&self) -> Vec<u8> {
        let answer = |a: &Answer| tlv(0x30, &[&a.id, &a.status, &a.this_update, &a.next_update, &optional(0xa1, &a.extensions)]);
        let answers = list(&self.answers.iter().map(answer).collect::<Vec<_>>());
        tlv(0x30, &[&self.version, &self.responder, &self.produced, &answers, &optional(0xa1, &self.extensions)])
    }

    /// With other ResponseData, signed.
    pub fn der_over(&self, data: &[u8]) -> Vec<u8> {
        let signature = tlv(3, &[&[0], &key(self.key).sign(data).unwrap()]);
        let basic = tlv(0x30, &[data, &self.algorithm, &signature, &optional(0xa0, &self.certificates)]);
        wrap(&self.status, &self.kind, &basic)
    }
}

fn list(parts: &[Vec<u8>]) -> Vec<u8> {
    tlv(0x30, &parts.iter().map(Vec::as_slice).collect::<Vec<_>>())
}

fn optional(tag: u8, parts: &[Vec<u8>]) -> Vec<u8> {
    if parts.is_empty() { vec![] } else { tlv(tag, &[&list(parts)]) }
}

pub fn wrap(status: &[u8], kind: &[u8], basic: &[u8]) -> Vec<u8> {
    tlv(0x30, &[status, &tlv(0xa0, &[&tlv(0x30, &[kind, &tlv(4, &[basic])])])])
}

pub fn nonce() -> OcspNonce {
    OcspNonce::new(&[9, 9, 9]).unwrap()
}

pub fn judge(city: &City, response: &[u8]) -> Result<VerifiedOcspResponse, OcspResponseError> {
    judged::verify_ocsp(response, &city.issuing, Some(&nonce()))
}

/// The responder's certificate, to be spoilt.
pub fn responder_forgery(city: &City) -> Forgery {
    let mut forgery = Forgery::camera(city)
        .replace(SUBJECT_KEY, tlv(4, &[b"the responder"]))
        .replace(EXTENDED_USAGE, tlv(0x30, &[&oid(OCSP_SIGNING)]))
        .replace(ALTERNATIVE_NAME, uris(&["spiffe://city.example/authority/ocsp"]))
        .without(POLICIES)
        .with(NO_CHECK, false, vec![5, 0]);
    forgery.subject = common_name("authority/ocsp");
    forgery.public_key = key(8).public_key().to_spki_der();
    forgery
}

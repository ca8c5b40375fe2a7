//! Requests for timestamps and responses to them with one flaw each: the refusal that a request must get, as we read it and as it is sent.
#![allow(clippy::unwrap_used)]

mod support;

use exhibit_pki::{
    Certificate, ChainCertificate, DigestAlgorithm, KeyPurpose, TimestampAuthority, TimestampRequest, TimestampTokenError, TimestampTrust,
    oid::TIMESTAMP_POLICY,
    timestamp_token::{Imprint, Nonce, RequestRefusal, ResponseError, token_of_response},
};
use support::*;

const SHA_384: &str = "2.16.840.1.101.3.4.2.2";
const OURS: &str = "2.25.1586047359.3.1";

/// A request without a flaw, of which each part can be replaced. It knows nothing of the crates that read it.
#[derive(Clone)]
struct Request {
    version: Vec<u8>,
    imprint: Vec<u8>,
    policy: Vec<u8>,
    nonce: Vec<u8>,
    certificates: Vec<u8>,
    extensions: Vec<u8>,
}

fn imprint(algorithm: &[u8], digest: &[u8]) -> Vec<u8> {
    tlv(0x30, &[&tlv(0x30, &[algorithm]), &tlv(4, &[digest])])
}

fn extension(critical: &[u8]) -> Vec<u8> {
    tlv(0xa0, &[&tlv(0x30, &[&oid("1.2.3"), critical, &[4, 2, 5, 0]])])
}

impl Request {
    fn good() -> Self {
        Self {
            version: vec![2, 1, 1],
            imprint: imprint(&oid(SHA_384), &[7; 48]),
            policy: oid(OURS),
            nonce: vec![2, 2, 0, 0x85],
            certificates: vec![1, 1, 0xff],
            extensions: vec![],
        }
    }

    fn with(&self, change: impl Fn(&mut Self)) -> Self {
        let mut request = self.clone();
        change(&mut request);
        request
    }

    fn hashed(&self, algorithm: &str, digest: &[u8]) -> Self {
        self.with(|request| request.imprint = imprint(&oid(algorithm), digest))
    }

    fn der(&self) -> Vec<u8> {
        tlv(0x30, &[&self.version, &self.imprint, &self.policy, &self.nonce, &self.certificates, &self.extensions])
    }
}

/// The city's authority of timestamps (key 7), asked at noon.
fn respond(request: &[u8]) -> Vec<u8> {
    let (city, signer) = (City::new(), key(7));
    let certificate = city.issue("authority/time", &[], KeyPurpose::Timestamping, &[], &signer);
    let certificate = ChainCertificate::from_der(certificate.der()).unwrap();
    let authority = TimestampAuthority::new(&certificate, &[], &signer, 1000).unwrap();
    authority.respond(request, at(NOON), [1; 16]).unwrap()
}

/// PKIStatusInfo of a refusal, by hand: rejection, the reason in words, and the bit of PKIFailureInfo as DER has it.
fn refusal(refusal: RequestRefusal, failure: &[u8]) -> Vec<u8> {
    tlv(0x30, &[&tlv(0x30, &[&[2, 1, 2], &tlv(0x30, &[&tlv(0x0c, &[refusal.to_string().as_bytes()])]), &tlv(3, &[failure])])])
}

#[test]
fn what_a_request_may_say_is_read() {
    let good = Request::good();
    let read = TimestampRequest::from_der(&good.der()).unwrap();
    let expected = TimestampRequest {
        imprint: Imprint::from_digest(DigestAlgorithm::Sha384, &[7; 48]).unwrap(),
        policy: Some(TIMESTAMP_POLICY),
        nonce: Nonce::new(&[0x85]),
        with_certificates: true,
    };
    assert_eq!(read, expected);
    assert_eq!(read.to_der(), good.der(), "another request was written than was read");
    let city = City::new();
    let chain = |certificate: &Certificate| ChainCertificate::from_der(certificate.der()).unwrap();
    // Where no certificates are asked for, the token brings none.
    let time = city.issue("authority/time", &[], KeyPurpose::Timestamping, &[], &key(7));
    let (anchors, certificates) = ([chain(&city.root)], [chain(&city.issuing), chain(&time)]);
    let trust = TimestampTrust { anchors: &anchors, certificates: &certificates, accuracy_unstated_ms: 0 };
    for (name, request) in [
        ("no policy", good.with(|r| r.policy.clear())),
        ("no nonce", good.with(|r| r.nonce.clear())),
        ("nonce zero", good.with(|r| r.nonce = vec![2, 1, 0])),
        ("nonce of 32 bytes", good.with(|r| r.nonce = tlv(2, &[&[1; 32]]))),
        ("no certificates", good.with(|r| r.certificates.clear())),
        ("SHA-256", good.hashed("2.16.840.1.101.3.4.2.1", &[7; 32])),
        ("SHA-512", good.hashed("2.16.840.1.101.3.4.2.3", &[7; 64])),
        ("NULL parameters", good.with(|r| r.imprint = imprint(&[&oid(SHA_384)[..], &[5, 0]].concat(), &[7; 48]))),
    ] {
        let token = token_of_response(&respond(&request.der())).unwrap_or_else(|error| panic!("{name}: {error}"));
        let read = TimestampRequest::from_der(&request.der()).unwrap();
        let verified = token.verify(&read.imprint, read.nonce.as_ref(), &trust);
        assert!(verified.is_ok(), "{name}: {verified:?}");
        assert_eq!(read.nonce.is_none(), request.nonce.is_empty(), "{name}: a nonce was lost");
    }
}

#[test]
fn a_request_with_a_flaw_is_refused() {
    use RequestRefusal::{Algorithm, Extension, Format, Policy};
    let good = Request::good();
    let der = good.der();
    let sha1 = "1.3.14.3.2.26";
    let cases: Vec<(&str, RequestRefusal, Vec<u8>)> = vec![
        ("nothing", Format, vec![]),
        ("cut off", Format, der[..der.len() - 1].to_vec()),
        ("a byte too many", Format, [&der[..], &[0]].concat()),
        ("a field too many", Format, good.with(|r| r.extensions = vec![0xa1, 0]).der()),
        ("a length in too many bytes", Format, [&[0x30, 0x81], &der[1..]].concat()),
        ("more than 4 KiB", Format, good.with(|r| r.extensions = tlv(0xa0, &[&tlv(0x30, &[&oid("1.2.3"), &tlv(4, &[&[0; 4096]])])])).der()),
        ("no version", Format, good.with(|r| r.version.clear()).der()),
        ("version 0", Format, good.with(|r| r.version = vec![2, 1, 0]).der()),
        ("version 2", Format, good.with(|r| r.version = vec![2, 1, 2]).der()),
        ("version 257", Format, good.with(|r| r.version = vec![2, 2, 1, 1]).der()),
        ("no imprint", Format, good.with(|r| r.imprint.clear()).der()),
        ("two imprints", Format, good.with(|r| r.imprint = [&r.imprint[..], &r.imprint].concat()).der()),
        (
            "an imprint that is no octet string",
            Format,
            good.with(|r| r.imprint = tlv(0x30, &[&tlv(0x30, &[&oid(SHA_384)]), &[5, 0]])).der(),
        ),
        ("SHA-1", Algorithm, good.hashed(sha1, &[7; 20]).der()),
        ("SHA-224", Algorithm, good.hashed("2.16.840.1.101.3.4.2.4", &[7; 28]).der()),
        ("SHA3-384", Algorithm, good.hashed("2.16.840.1.101.3.4.2.9", &[7; 48]).der()),
        ("SHA-1 that says SHA-384", Algorithm, good.hashed(SHA_384, &[7; 20]).der()),
        ("an empty digest", Algorithm, good.hashed(SHA_384, &[]).der()),
        ("a digest a byte too short", Algorithm, good.hashed(SHA_384, &[7; 47]).der()),
        ("a digest a byte too long", Algorithm, good.hashed(SHA_384, &[7; 49]).der()),
        (
            "a hash with parameters",
            Algorithm,
            good.with(|r| r.imprint = imprint(&[&oid(SHA_384)[..], &[2, 1, 1]].concat(), &[7; 48])).der(),
        ),
        ("a nonce before the policy", Format, good.with(|r| (r.policy, r.nonce) = (r.nonce.clone(), r.policy.clone())).der()),
        ("a negative nonce", Format, good.with(|r| r.nonce = vec![2, 1, 0x85]).der()),
        ("a nonce with a zero too many", Format, good.with(|r| r.nonce = vec![2, 2, 0, 1]).der()),
        ("an empty nonce", Format, good.with(|r| r.nonce = vec![2, 0]).der()),
        ("a nonce of 33 bytes", Format, good.with(|r| r.nonce = tlv(2, &[&[1; 33]])).der()),
        ("certReq written out as false", Format, good.with(|r| r.certificates = vec![1, 1, 0]).der()),
        ("certReq that is 1 and not ff", Format, good.with(|r| r.certificates = vec![1, 1, 1]).der()),
        ("an extension", Extension, good.with(|r| r.extensions = extension(&[])).der()),
        ("a critical extension", Extension, good.with(|r| r.extensions = extension(&[1, 1, 0xff])).der()),
        ("no extension in the list of them", Extension, good.with(|r| r.extensions = vec![0xa0, 0]).der()),
        ("another policy", Policy, good.with(|r| r.policy = oid("2.25.1586047359.3.2")).der()),
        ("a policy below ours", Policy, good.with(|r| r.policy = oid("2.25.1586047359.3.1.1")).der()),
    ];
    for (name, error, request) in cases {
        let failure: &[u8] = match error {
            Algorithm => &[7, 0x80],
            Format => &[2, 0x04],
            RequestRefusal::Time => &[1, 0, 0x02],
            Policy => &[0, 0, 0x01],
            Extension => &[7, 0, 0, 0x80],
        };
        // A policy that is not ours is nothing wrong with the request.
        assert_eq!(TimestampRequest::from_der(&request).err(), Some(error).filter(|error| *error != Policy), "{name}");
        let response = respond(&request);
        assert_eq!(hex::encode(&response), hex::encode(refusal(error, failure)), "{name}");
        assert_eq!(token_of_response(&response), Err(ResponseError::Refused(2)), "{name}");
    }
}

#[test]
fn a_response_with_a_flaw_brings_no_token() {
    use ResponseError::{Malformed, Refused, Token};
    let good = respond(&Request::good().der());
    // SEQUENCE { SEQUENCE { 0 }, token }
    let (granted, token) = (&good[4..9], &good[9..]);
    assert_eq!(granted, [0x30, 3, 2, 1, 0]);
    let response = |status: &[&[u8]], token: &[&[u8]]| tlv(0x30, &[&tlv(0x30, status), &token.concat()]);
    let text = tlv(0x30, &[&tlv(0x0c, &[b"as you wish"])]);
    for (name, response) in [
        ("granted", response(&[&[2, 1, 0]], &[token])),
        ("granted with a change", response(&[&[2, 1, 1]], &[token])),
        ("granted with words", response(&[&[2, 1, 0], &text], &[token])),
    ] {
        assert!(token_of_response(&response).is_ok(), "{name}");
    }
    let data = tlv(0x30, &[&oid("1.2.840.113549.1.7.1"), &tlv(0xa0, &[&[4, 0]])]);
    let failure: &[u8] = &[3, 2, 7, 0x80];
    for (name, error, response) in [
        ("nothing", Malformed, vec![]),
        ("cut off", Malformed, good[..good.len() - 1].to_vec()),
        ("a byte too many", Malformed, [&good[..], &[0]].concat()),
        ("a length in too many bytes", Malformed, [&[0x30, 0x83, 0], &good[2..]].concat()),
        ("more than a token and words", Malformed, response(&[&[2, 1, 0], &tlv(0x30, &[&tlv(0x0c, &[&[b'a'; 70_000]])])], &[token])),
        ("granted without a token", Malformed, response(&[&[2, 1, 0]], &[])),
        ("granted with a failure", Malformed, response(&[&[2, 1, 0], failure], &[token])),
        ("granted with two tokens", Malformed, response(&[&[2, 1, 0]], &[token, token])),
        ("refused with a token", Malformed, response(&[&[2, 1, 2]], &[token])),
        ("no status", Malformed, response(&[], &[token])),
        ("a status that there is not", Malformed, response(&[&[2, 1, 7]], &[])),
        ("a negative status", Malformed, response(&[&[2, 1, 0x80]], &[])),
        ("a status with a byte too many", Malformed, response(&[&[2, 2, 0, 2]], &[])),
        ("words that are not UTF-8", Malformed, response(&[&[2, 1, 2], &tlv(0x30, &[&tlv(0x0c, &[&[0xff]])])], &[])),
        ("rejection", Refused(2), response(&[&[2, 1, 2], failure], &[])),
        ("waiting", Refused(3), response(&[&[2, 1, 3]], &[])),
        ("a warning of revocation", Refused(4), response(&[&[2, 1, 4]], &[])),
        ("a notification of revocation", Refused(5), response(&[&[2, 1, 5]], &[])),
        ("a warning of a key's update", Refused(6), response(&[&[2, 1, 6]], &[])),
        ("something else in the place of the token", Token(TimestampTokenError::Malformed), response(&[&[2, 1, 0]], &[&data])),
    ] {
        assert_eq!(token_of_response(&response), Err(error), "{name}");
    }
}

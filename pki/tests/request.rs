//! Certificate requests with one flaw each, and openssl's word on who signed them.
#![allow(clippy::unwrap_used)]

mod support;

use std::{fs, process::Command};

use exhibit_pki::{CertificateRequest, KeyPurpose, RequestError, RustCrypto, Signer};
use support::*;

const EXTENSION_REQUEST: &str = "1.2.840.113549.1.9.14";

/// A camera's request without a flaw (key 3), of which each part can be replaced. It knows nothing of the crates that read it.
#[derive(Clone)]
struct Request {
    version: Vec<u8>,
    subject: Vec<u8>,
    public_key: Vec<u8>,
    /// Object identifier, critical, value.
    extensions: Vec<(&'static str, bool, Vec<u8>)>,
    /// Of the extensionRequest: each value again.
    values: usize,
    attributes: Vec<Vec<u8>>,
    algorithm: Vec<u8>,
    key: u8,
}

impl Request {
    fn good() -> Self {
        Self {
            version: vec![2, 1, 0],
            subject: common_name("camera/102"),
            public_key: key(3).public_key().to_spki_der(),
            extensions: vec![(ALTERNATIVE_NAME, false, uris(&["spiffe://city.example/camera/102"]))],
            values: 1,
            attributes: vec![],
            algorithm: ecdsa_with_sha384(),
            key: 3,
        }
    }

    fn with(&self, change: impl Fn(&mut Self)) -> Self {
        let mut request = self.clone();
        change(&mut request);
        request
    }

    fn asking(&self, extension: &'static str, critical: bool, value: &[u8]) -> Self {
        self.with(|request| request.extensions.push((extension, critical, value.to_vec())))
    }

    /// With another subject alternative name.
    fn named(&self, value: Vec<u8>) -> Self {
        self.with(|request| request.extensions[0].2 = value.clone())
    }

    fn attribute(&self) -> Vec<u8> {
        let extensions: Vec<Vec<u8>> = self
            .extensions
            .iter()
            .map(|(id, critical, value)| tlv(0x30, &[&oid(id), if *critical { &[1, 1, 0xff] } else { &[] }, &tlv(4, &[value])]))
            .collect();
        let value = tlv(0x30, &extensions.iter().map(Vec::as_slice).collect::<Vec<_>>());
        tlv(0x30, &[&oid(EXTENSION_REQUEST), &tlv(0x31, &vec![&value[..]; self.values])])
    }

    fn der(&self) -> Vec<u8> {
        let mut attributes = self.attributes.clone();
        if !self.extensions.is_empty() {
            attributes.push(self.attribute());
        }
        attributes.sort();
        let attributes = tlv(0xa0, &attributes.iter().map(Vec::as_slice).collect::<Vec<_>>());
        let info = tlv(0x30, &[&self.version, &self.subject, &self.public_key, &attributes]);
        let signature = key(self.key).sign(&info).unwrap();
        tlv(0x30, &[&info, &self.algorithm, &tlv(3, &[&[0], &signature])])
    }

    fn read(&self) -> Result<CertificateRequest, RequestError> {
        CertificateRequest::from_der(&self.der(), &RustCrypto)
    }
}

fn attribute(kind: &str, values: &[&[u8]]) -> Vec<u8> {
    tlv(0x30, &[&oid(kind), &tlv(0x31, values)])
}

#[test]
fn what_is_asked_for_is_read() {
    let good = Request::good();
    let read = good.read().unwrap();
    assert_eq!((read.identity(), read.common_name(), read.purpose()), (Some(&identity("camera/102")), Some("camera/102"), None));
    for (name, request, purpose) in [
        ("nothing", good.with(|r| r.extensions.clear()), None),
        (
            "nothing, with a challenge password",
            good.with(|r| {
                r.extensions.clear();
                r.attributes.push(attribute("1.2.840.113549.1.9.7", &[&tlv(0x0c, &[b"x"])]));
            }),
            None,
        ),
        ("a signing key", good.asking(KEY_USAGE, true, SIGNING_USAGE), Some(KeyPurpose::Signing)),
        ("a key that agrees", good.asking(KEY_USAGE, true, AGREEMENT_USAGE), Some(KeyPurpose::Wrapping)),
        ("a key that is enciphered to", good.asking(KEY_USAGE, true, &[3, 2, 5, 0x20]), Some(KeyPurpose::Wrapping)),
        ("not an authority", good.asking(BASIC_CONSTRAINTS, true, &[0x30, 0]), None),
        ("TLS", good.asking(EXTENDED_USAGE, false, &tlv(0x30, &[&oid("1.3.6.1.5.5.7.3.1"), &oid("1.3.6.1.5.5.7.3.2")])), None),
        ("a key identifier", good.asking(SUBJECT_KEY, false, &[4, 1, 1]), None),
        ("a challenge password", good.with(|r| r.attributes.push(attribute("1.2.840.113549.1.9.7", &[&tlv(0x0c, &[b"x"])]))), None),
    ] {
        assert_eq!(request.read().unwrap_or_else(|error| panic!("{name}: {error}")).purpose(), purpose, "{name}");
    }
}

#[test]
fn a_request_with_a_flaw_is_refused() {
    use RequestError::{Extension, Identity, Malformed, Signature};
    let good = Request::good();
    let constraints = Extension("the constraints of an authority");
    let usage = Extension("a key usage that is neither signing nor wrapping alone");
    let purpose = Extension("an extended key usage that is not TLS");
    let many: Vec<String> = (0..32).map(|number| format!("1.2.3.{number}")).collect();
    let many: Vec<&'static str> = many.into_iter().map(|kind| &*kind.leak()).collect();
    for (defect, error, request) in [
        ("version 2", Malformed, good.with(|r| r.version = vec![2, 1, 1])),
        (
            "a truth of BER in the subject's name",
            Malformed,
            good.with(|r| r.subject = tlv(0x30, &[&tlv(0x31, &[&tlv(0x30, &[&oid("2.5.4.99"), &[1, 1, 1]])])])),
        ),
        ("no version", Malformed, good.with(|r| r.version.clear())),
        ("two extension requests", Malformed, good.with(|r| r.attributes.push(attribute(EXTENSION_REQUEST, &[&[0x30, 0]])))),
        ("an extension request with two values", Malformed, good.with(|r| r.values = 2)),
        ("an extension request without a value", Malformed, good.with(|r| r.values = 0)),
        (
            "an extension request for nothing",
            Malformed,
            good.with(|r| {
                r.extensions.clear();
                r.attributes = vec![attribute(EXTENSION_REQUEST, &[&[0x30, 0]])];
            }),
        ),
        ("names of no form", Malformed, good.named(vec![5, 0])),
        (
            "an extension twice",
            Extension("an extension twice"),
            good.asking(ALTERNATIVE_NAME, false, &uris(&["spiffe://city.example/camera/103"])),
        ),
        (
            "33 extensions",
            Extension("too many extensions"),
            good.with(|r| r.extensions.extend(many.iter().map(|kind| (*kind, false, vec![5, 0])))),
        ),
        ("two identities", Identity, good.named(uris(&["spiffe://city.example/camera/102", "spiffe://city.example/camera/103"]))),
        ("a URI that is no identity", Identity, good.named(uris(&["https://city.example/"]))),
        ("a trust domain alone", Identity, good.named(uris(&["spiffe://city.example"]))),
        ("a mail address", Identity, good.named(tlv(0x30, &[&tlv(0x81, &[b"a@city.example"])]))),
        ("a server name with a wildcard", Identity, good.named(tlv(0x30, &[&tlv(0x82, &[b"*.city.example"])]))),
        ("an address of 5 bytes", Identity, good.named(tlv(0x30, &[&tlv(0x87, &[&[1; 5]])]))),
        ("an authority", constraints.clone(), good.asking(BASIC_CONSTRAINTS, true, &tlv(0x30, &[&[1, 1, 0xff]]))),
        ("a path length", constraints, good.asking(BASIC_CONSTRAINTS, true, &tlv(0x30, &[&[2, 1, 0]]))),
        ("an issuing key", usage.clone(), good.asking(KEY_USAGE, true, ISSUING_USAGE)),
        ("a key for both", usage.clone(), good.asking(KEY_USAGE, true, &[3, 2, 3, 0x88])),
        ("a key for nothing", usage, good.asking(KEY_USAGE, true, &[3, 1, 0])),
        ("timestamping", purpose.clone(), good.asking(EXTENDED_USAGE, true, &tlv(0x30, &[&oid("1.3.6.1.5.5.7.3.8")]))),
        (
            "OCSP signing beside TLS",
            purpose.clone(),
            good.asking(EXTENDED_USAGE, false, &tlv(0x30, &[&oid("1.3.6.1.5.5.7.3.2"), &oid("1.3.6.1.5.5.7.3.9")])),
        ),
        ("any purpose", purpose, good.asking(EXTENDED_USAGE, false, &tlv(0x30, &[&oid("2.5.29.37.0")]))),
        ("an unknown critical extension", Extension("an unknown critical extension"), good.asking("1.2.3", true, &[5, 0])),
        ("names constrained", Extension("an unknown critical extension"), good.asking("2.5.29.30", true, &[0x30, 0])),
        ("an algorithm with parameters", Signature, good.with(|r| r.algorithm = tlv(0x30, &[&oid("1.2.840.10045.4.3.3"), &[5, 0]]))),
        ("an algorithm with another hash", Signature, good.with(|r| r.algorithm = tlv(0x30, &[&oid("1.2.840.10045.4.3.2")]))),
        ("signed by another key", Signature, good.with(|r| r.key = 9)),
    ] {
        assert_eq!(request.read().err(), Some(error), "{defect}");
    }
    let written_out = good.with(|r| {
        r.extensions.clear();
        let extension = tlv(0x30, &[&oid("1.2.3"), &[1, 1, 0], &[4, 0]]);
        r.attributes = vec![attribute(EXTENSION_REQUEST, &[&tlv(0x30, &[&extension])])];
    });
    assert_eq!(written_out.read().err(), None, "what is inside of a value is the sender's own");
    let der = good.der();
    let two_in_disorder = good.with(|r| r.attributes.push(attribute("1.2.840.113549.1.9.7", &[&tlv(0x0c, &[b"x"]), &tlv(0x0c, &[b"a"])])));
    assert_eq!(two_in_disorder.read().err(), Some(Malformed), "a set in another order than DER's");
    for position in 0..der.len() {
        let mut bytes = der.clone();
        bytes[position] ^= 1;
        assert!(CertificateRequest::from_der(&bytes, &RustCrypto).is_err(), "byte {position}");
    }
    let long = good.asking("1.2.3", false, &vec![0; 17_000]);
    assert_eq!(long.read().err(), Some(Malformed), "more than 16 KiB");
}

/// Who signed a request, openssl says as well; what may be asked for, it does not know.
#[test]
fn openssl_says_the_same_about_who_signed() {
    let folder = tempfile::tempdir().unwrap();
    let good = Request::good();
    for (name, request, signed) in [
        ("good", good.clone(), true),
        ("signed by another key", good.with(|r| r.key = 9), false),
        ("another hash in the algorithm", good.with(|r| r.algorithm = tlv(0x30, &[&oid("1.2.840.10045.4.3.2")])), false),
        ("another key", good.with(|r| r.public_key = key(4).public_key().to_spki_der()), false),
        ("asking to be an authority", good.asking(BASIC_CONSTRAINTS, true, &tlv(0x30, &[&[1, 1, 0xff]])), true),
    ] {
        fs::write(folder.path().join("request"), request.der()).unwrap();
        let run = Command::new("openssl").args("req -verify -noout -inform DER -in request".split(' ')).current_dir(folder.path()).output();
        let run = run.expect("the openssl program is needed for this test: apt-get install openssl");
        let text = String::from_utf8_lossy(&run.stderr);
        assert_eq!(text.contains("verify OK"), signed, "{name}: openssl says {text}");
        assert_eq!(request.read().err() != Some(RequestError::Signature), signed, "{name}: we say otherwise");
    }
}

//! Makes what the city issues seeds of the fuzz corpus.
#![allow(clippy::unwrap_used)]

mod support;

use exhibit_pki::ocsp::{CertificateId, CertificateStatus, OcspNonce};
use exhibit_pki::timestamp_token::{Imprint, Nonce, token_of_response};
use exhibit_pki::{
    ChainCertificate, DigestAlgorithm, KeyPurpose, OcspRequest, OcspResponder, Role, Signer, TimestampAuthority, TimestampRequest,
    build_request_pem,
    crl::{NewRevocationList, Revocation, RevocationReason},
    make_revocation_list,
    oid::TIMESTAMP_POLICY,
};
use support::*;

#[path = "../../tests/fuzz/write.rs"]
mod write;

fn seed(target: &str, name: &str, input: &[u8]) {
    write::seed(env!("CARGO_MANIFEST_DIR"), target, name, input);
}

fn vector(name: &str) -> Vec<u8> {
    std::fs::read(format!("{}/tests/vectors/attestation/{name}.bin", env!("CARGO_MANIFEST_DIR"))).unwrap()
}

#[test]
#[ignore = "writes the seeds of the fuzz corpus (docs/testing.md)"]
fn write_the_fuzz_corpus() {
    let city = City::new();
    let server = city.issue("appliance/1", &[Role::Appliance], KeyPurpose::Signing, &["appliance.city.example"], &key(4));
    let wrapping = city.issue("user/aa", &[Role::Custodian], KeyPurpose::Wrapping, &[], &key(5));
    for (name, certificate) in
        [("root", &city.root), ("issuing", &city.issuing), ("camera", &city.camera()), ("server", &server), ("wrapping", &wrapping)]
    {
        seed("certificate", name, certificate.der());
        seed("chain-certificate", name, certificate.der());
    }
    seed("certificates-pem", "two", format!("{}{}", city.camera().to_pem(), city.issuing.to_pem()).as_bytes());
    let request = build_request_pem(&identity("camera/102"), &key(3)).unwrap();
    let (_, request) = der::pem::decode_vec(request.as_bytes()).unwrap();
    seed("request", "camera", &request);
    seed("certificates-pem", "request", build_request_pem(&identity("camera/102"), &key(3)).unwrap().as_bytes());
    lists(&city);
    answers(&city);
    tokens(&city);
    seed("public-key", "spki", &key(3).public_key().to_spki_der());
    seed("public-key", "point", key(3).public_key().as_bytes());
    for (name, text) in [
        ("camera", "spiffe://city.example/camera/102"),
        ("subject", "user/7f3a"),
        ("domain", "city.example"),
        ("moment", "2026-11-20T12:00:00.000Z"),
        ("last-moment", "9999-12-31T23:59:59.999Z"),
    ] {
        seed("names", name, text.as_bytes());
    }
    attestation();
}

fn lists(city: &City) {
    let revocation = |serial: u8, reason| Revocation {
        serial: vec![serial; 16],
        revoked: at("2026-11-18T12:00:00.000Z"),
        reason,
        invalid_since: Some(at("2026-11-01T00:00:00.000Z")),
    };
    let revocations = [revocation(3, Some(RevocationReason::KeyCompromise)), revocation(9, None)];
    for (name, revocations) in [("none", &revocations[..0]), ("two", &revocations[..])] {
        let new = NewRevocationList { number: 0x1ff, this_update: at(FROM), next_update: at(TO), revocations };
        // A list tells of what is past.
        let new = NewRevocationList { this_update: at("2026-11-19T00:00:00.000Z"), ..new };
        seed("revocation-list", name, make_revocation_list(&new, &city.issuing, &city.issuing_key).unwrap().der());
    }
}

fn answers(city: &City) {
    let (signer, camera) = (key(8), city.camera());
    let certificate = city.issue("authority/ocsp", &[], KeyPurpose::OcspSigning, &[], &signer);
    seed("certificate", "responder", certificate.der());
    let responder = OcspResponder::new(&certificate, &city.issuing, &signer).unwrap();
    let ids = vec![CertificateId::new(&city.issuing, camera.serial()).unwrap()];
    for (name, nonce, status) in
        [("good", OcspNonce::new(&[7; 16]), CertificateStatus::Good), ("unknown", None, CertificateStatus::Unknown)]
    {
        let request = OcspRequest::new(ids.clone(), nonce).unwrap().to_der();
        let response = responder.respond(&request, &|_| status.clone(), at(NOON), at("2026-11-21T12:00:00.000Z")).unwrap();
        seed("ocsp-request", name, &request);
        seed("ocsp-response", name, &response);
    }
    let refusal = responder.respond(b"no request", &|_| CertificateStatus::Unknown, at(NOON), at("2026-11-21T12:00:00.000Z")).unwrap();
    seed("ocsp-response", "refusal", &refusal);
}

fn tokens(city: &City) {
    let mut authority = Forgery::camera(city)
        .replace(SUBJECT_KEY, tlv(4, &[b"the authority"]))
        .replace(EXTENDED_USAGE, tlv(0x30, &[&oid("1.3.6.1.5.5.7.3.8")]))
        .criticality(EXTENDED_USAGE, true);
    authority.subject = common_name("City time");
    authority.public_key = key(8).public_key().to_spki_der();
    let certificate = ChainCertificate::from_der(&authority.sign(&city.issuing_key)).unwrap();
    seed("chain-certificate", "timestamping", certificate.der());
    let others = [ChainCertificate::from_der(city.issuing.der()).unwrap()];
    let signer = key(8);
    let authority = TimestampAuthority::new(&certificate, &others, &signer, 250).unwrap();
    for (name, algorithm, nonce) in [("sha-384", DigestAlgorithm::Sha384, Nonce::new(&[7, 1])), ("sha-256", DigestAlgorithm::Sha256, None)]
    {
        let imprint = Imprint::of(algorithm, b"a checkpoint");
        let request = TimestampRequest { imprint, policy: Some(TIMESTAMP_POLICY), nonce, with_certificates: true }.to_der();
        let response = authority.respond(&request, at(NOON), [7; 16]).unwrap();
        seed("timestamp-exchange", &format!("request-{name}"), &request);
        seed("timestamp-exchange", &format!("response-{name}"), &response);
        seed("timestamp-token", name, token_of_response(&response).unwrap().der());
    }
    seed("timestamp-exchange", "refusal", &authority.respond(b"no request", at(NOON), [7; 16]).unwrap());
}

/// Each structure behind the number by which the target tells them apart.
fn attestation() {
    let kinds: [(u8, &[&str]); 4] = [
        (0, &["ak-public", "device-key-public", "ek-p256-public", "ek-p384-public", "ek-rsa-public", "p256/p256-ak-public"]),
        (1, &["p256/rsa-certify-attest", "certify-attest", "quote-attest", "time-1-attest"]),
        (2, &["p256/rsa-certify-signature", "certify-signature", "quote-signature", "time-1-signature"]),
        (3, &["ek-p384-certificate", "ek-rsa-certificate"]),
    ];
    for (kind, names) in kinds {
        for name in names {
            seed("attestation", &name.replace('/', "-"), &[&[kind], &vector(name)[..]].concat());
        }
    }
    seed("attestation", "tpm2b", &[4, 0, 3, 1, 2, 3]);
    // The last is of another key: it can be listed, and no more.
    for (key, certificate) in [("p384", "p384"), ("rsa", "rsa"), ("p256", "rsa")] {
        let (public, certificate) = (vector(&format!("ek-{key}-public")), vector(&format!("ek-{certificate}-certificate")));
        let length = u16::try_from(public.len()).unwrap().to_be_bytes();
        seed("attestation", &format!("ek-{key}"), &[&[5], &length[..], &public, &certificate].concat());
    }
}

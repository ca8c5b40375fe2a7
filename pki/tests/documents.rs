//! The worked examples of docs/formats/ are what is made here today, byte for byte, and each is believed by whoever is to believe it.
#![allow(clippy::unwrap_used)]

#[path = "../../tests/documents/rows.rs"]
mod rows;
mod support;

use std::{fs, path::PathBuf, process::Command};

use exhibit_pki::{
    Certificate, CertificateRequest, ChainCertificate, DigestAlgorithm, EndEntity, KeyPurpose, OcspRequest, OcspResponder, OcspResponse,
    RevocationList, Role, RustCrypto, Signer, TimestampAuthority, TimestampRequest, TimestampTrust, build_request_pem,
    crl::{ListedStatus, NewRevocationList, Revocation, RevocationReason},
    issue_end_entity, make_revocation_list,
    ocsp::{CertificateId, CertificateStatus, OcspNonce, OcspStatus},
    oid::TIMESTAMP_POLICY,
    timestamp_token::{Imprint, Nonce, token_of_response},
};
use support::*;

const TOMORROW: &str = "2026-11-21T12:00:00.000Z";
const MESSAGE: &[u8] = b"a checkpoint";

fn path(path: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join(path)
}

fn page(name: &str) -> String {
    fs::read_to_string(path("../docs/formats").join(name)).unwrap()
}

/// What the city issues to everybody whom the examples are about.
struct Examples {
    city: City,
    camera: Certificate,
    responder: Certificate,
    time: Certificate,
}

impl Examples {
    fn new() -> Self {
        let city = City::new();
        let service = |name: &str, purpose, serial: u8| {
            let (identity, signer) = (identity(name), key(serial));
            let entity = EndEntity { identity: &identity, public_key: signer.public_key(), purpose, roles: &[], server_names: &[] };
            issue_end_entity(&entity, &city.issuing, &city.issuing_key, &issuance(serial)).unwrap()
        };
        let responder = service("authority/ocsp", KeyPurpose::OcspSigning, 8);
        let time = service("authority/time", KeyPurpose::Timestamping, 7);
        Self { camera: city.camera(), responder, time, city }
    }

    fn revocation(&self) -> Revocation {
        Revocation {
            serial: self.camera.serial().to_vec(),
            revoked: at("2026-11-18T12:00:00.000Z"),
            reason: Some(RevocationReason::KeyCompromise),
            invalid_since: Some(at("2026-11-01T00:00:00.000Z")),
        }
    }

    fn list(&self) -> RevocationList {
        let revocations = [self.revocation()];
        let list = NewRevocationList { number: 5, this_update: at(NOON), next_update: at(TOMORROW), revocations: &revocations };
        make_revocation_list(&list, &self.city.issuing, &self.city.issuing_key).unwrap()
    }

    fn nonce() -> OcspNonce {
        OcspNonce::new(&[9; 32]).unwrap()
    }

    fn ocsp_request(&self) -> Vec<u8> {
        let id = CertificateId::new(&self.city.issuing, self.camera.serial()).unwrap();
        OcspRequest::new(vec![id], Some(Self::nonce())).unwrap().to_der()
    }

    fn ocsp_response(&self) -> Vec<u8> {
        let signer = key(8);
        let responder = OcspResponder::new(&self.responder, &self.city.issuing, &signer).unwrap();
        let status = |_: &[u8]| CertificateStatus::Revoked(self.revocation());
        responder.respond(&self.ocsp_request(), &status, at(NOON), at(TOMORROW)).unwrap()
    }

    fn timestamp_request() -> TimestampRequest {
        TimestampRequest {
            imprint: Imprint::of(DigestAlgorithm::Sha384, MESSAGE),
            policy: Some(TIMESTAMP_POLICY),
            nonce: Nonce::new(&[9; 8]),
            with_certificates: true,
        }
    }

    fn timestamp_response(&self) -> Vec<u8> {
        let (certificate, signer) = (chain(&self.time), key(7));
        let authority = TimestampAuthority::new(&certificate, &[], &signer, 1500).unwrap();
        authority.respond(&Self::timestamp_request().to_der(), at("2026-11-20T12:00:00.340Z"), [7; 16]).unwrap()
    }

    fn request() -> Vec<u8> {
        der::pem::decode_vec(build_request_pem(&identity("camera/102"), &key(3)).unwrap().as_bytes()).unwrap().1
    }

    /// Each example by the name of its file in `tests/vectors/examples`.
    fn all(&self) -> Vec<(&'static str, Vec<u8>)> {
        vec![
            ("root.der", self.city.root.der().to_vec()),
            ("issuing.der", self.city.issuing.der().to_vec()),
            ("camera.der", self.camera.der().to_vec()),
            ("camera.csr", Self::request()),
            ("responder.der", self.responder.der().to_vec()),
            ("time.der", self.time.der().to_vec()),
            ("list.crl", self.list().der().to_vec()),
            ("status.ocsp-request", self.ocsp_request()),
            ("status.ocsp-response", self.ocsp_response()),
            ("token.tsq", Self::timestamp_request().to_der()),
            ("token.tsr", self.timestamp_response()),
        ]
    }
}

fn chain(certificate: &Certificate) -> ChainCertificate {
    ChainCertificate::from_der(certificate.der()).unwrap()
}

#[test]
#[ignore = "writes the files of the worked examples"]
fn write_the_examples() {
    for (name, bytes) in Examples::new().all() {
        fs::write(path("tests/vectors/examples").join(name), bytes).unwrap();
    }
}

#[test]
fn the_examples_are_made_again() {
    for (name, bytes) in Examples::new().all() {
        let file = fs::read(path("tests/vectors/examples").join(name)).unwrap();
        assert_eq!(hex::encode(file), hex::encode(bytes), "{name}: what is made today is not what the pages show");
    }
}

#[test]
fn the_examples_are_believed() {
    let examples = Examples::new();
    let (issuing, camera) = (&examples.city.issuing, &examples.camera);
    let asked = CertificateRequest::from_der(&Examples::request(), &RustCrypto).unwrap();
    assert_eq!((asked.identity(), asked.public_key(), camera.roles()), (camera.identity(), camera.public_key(), &[Role::Camera][..]));
    let revocation = examples.revocation();
    let list = examples.list().verify(issuing, &RustCrypto).unwrap();
    assert_eq!(list.status_at(issued(&examples.city.path(camera)), at(NOON)), ListedStatus::Revoked(&revocation));
    assert_eq!(list.status_at(issued(&examples.city.path(&examples.time)), at(NOON)), ListedStatus::NotRevoked);
    let response = OcspResponse::from_der(&examples.ocsp_response()).unwrap();
    let verified = response.verify(issuing, Some(&Examples::nonce()), &RustCrypto).unwrap();
    assert_eq!(verified.status_at(issued(&examples.city.path(camera)), at(NOON)), OcspStatus::Revoked(&revocation));
    let token = token_of_response(&examples.timestamp_response()).unwrap();
    let (anchors, certificates) = ([chain(&examples.city.root)], [chain(issuing)]);
    let trust = TimestampTrust { anchors: &anchors, certificates: &certificates, accuracy_unstated_ms: 0 };
    let request = Examples::timestamp_request();
    let verified = token.verify(&request.imprint, request.nonce.as_ref(), &trust).unwrap();
    let bounds = (verified.earliest().to_string(), verified.latest().to_string());
    assert_eq!(bounds, ("2026-11-20T11:59:58.840Z".to_owned(), "2026-11-20T12:00:01.840Z".to_owned()));
}

/// Stock tools are asked with the files themselves.
#[test]
fn openssl_believes_the_examples() {
    let folder = tempfile::tempdir().unwrap();
    let run = |arguments: &str| {
        let run = Command::new("openssl").args(arguments.split(' ')).current_dir(folder.path()).output();
        let run = run.expect("the openssl program is needed for this test: apt-get install openssl");
        let text = format!("{}{}", String::from_utf8_lossy(&run.stdout), String::from_utf8_lossy(&run.stderr));
        (run.status.success(), text)
    };
    for (name, _) in Examples::new().all() {
        fs::copy(path("tests/vectors/examples").join(name), folder.path().join(name)).unwrap();
    }
    for name in ["root", "issuing", "camera", "responder", "time"] {
        assert!(run(&format!("x509 -inform DER -in {name}.der -out {name}.pem")).0, "{name}");
    }
    assert!(run("crl -inform DER -in list.crl -out list.pem").0);
    let noon = "-attime 1795176000 -CAfile root.pem -untrusted issuing.pem";
    for (arguments, believed, says) in [
        (format!("verify -x509_strict {noon} camera.pem"), true, "camera.pem: OK"),
        (format!("verify -x509_strict {noon} -purpose timestampsign time.pem"), true, "time.pem: OK"),
        (format!("verify -x509_strict {noon} -purpose ocsphelper responder.pem"), true, "responder.pem: OK"),
        (format!("verify -x509_strict {noon} -crl_check -CRLfile list.pem time.pem"), true, "time.pem: OK"),
        (format!("verify -x509_strict {noon} -crl_check -CRLfile list.pem camera.pem"), false, "certificate revoked"),
        ("crl -inform DER -in list.crl -CAfile issuing.pem -noout".to_owned(), true, "verify OK"),
        ("req -inform DER -in camera.csr -verify -noout".to_owned(), true, "verify OK"),
        (
            "ocsp -reqin status.ocsp-request -respin status.ocsp-response -issuer issuing.pem -CAfile root.pem -attime 1795176000"
                .to_owned(),
            true,
            "Response verify OK",
        ),
        (format!("ts -verify -queryfile token.tsq -in token.tsr {noon}"), true, "Verification: OK"),
    ] {
        let (found, text) = run(&arguments);
        assert!(found == believed && text.contains(says), "openssl {arguments}: {text}");
    }
}

/// Each byte of each example stands in a row, or between the beginning and the end that a row shows.
#[test]
fn the_pages_show_the_examples() {
    let mut shown = 0;
    for name in ["attestation.md", "certificates.md", "crl.md", "ocsp.md", "timestamp-token.md"] {
        for example in page(name).split("`pki/tests/vectors/").skip(1) {
            let (file, text) = example.split_once('`').unwrap();
            // Some pages name a folder.
            let Ok(bytes) = fs::read(path("tests/vectors").join(file)) else { continue };
            shown += usize::from(rows::check(&format!("{name}, {file}"), text, &bytes) > 0);
        }
    }
    assert_eq!(shown, 8, "an example is not shown in any page");
}

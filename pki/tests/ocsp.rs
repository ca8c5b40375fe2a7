//! OCSP: openssl believes our responses and judges as we do, we read its requests and responses, and nothing with a flaw is taken.
#![allow(clippy::unwrap_used)]

#[path = "support/judged.rs"]
mod judged;
mod support;

use std::{fs, path::Path, process::Command};

use exhibit_pki::{
    BadSignature, Certificate, EndEntity, Identity, KeyPurpose, OcspRequest, OcspResponder, OcspResponse, Role, RustCrypto, Signer,
    VerifiedOcspResponse,
    crl::{Revocation, RevocationReason},
    issue_end_entity,
    ocsp::{CertificateId, CertificateStatus, MakeResponseError, OcspNonce, OcspRefusal, OcspResponseError, OcspStatus},
};
use support::*;
use tempfile::TempDir;

const TOMORROW: &str = "2026-11-21T12:00:00.000Z";

/// Runs openssl in `folder`; its output if it says yes.
fn openssl(folder: &Path, arguments: &str) -> Result<String, String> {
    let run = Command::new("openssl").args(arguments.split(' ')).current_dir(folder).output();
    let run = run.expect("the openssl program is needed for this test: apt-get install openssl");
    let output = format!("{}{}", String::from_utf8_lossy(&run.stdout), String::from_utf8_lossy(&run.stderr));
    if run.status.success() { Ok(output) } else { Err(output) }
}

fn write(folder: &TempDir, name: &str, content: impl AsRef<[u8]>) {
    fs::write(folder.path().join(name), content).unwrap();
}

fn read(folder: &TempDir, name: &str) -> Vec<u8> {
    fs::read(folder.path().join(name)).unwrap()
}

/// The certificate of the city's responder (key 8).
fn responder(city: &City) -> Certificate {
    city.issue("authority/ocsp", &[], KeyPurpose::OcspSigning, &[], &key(8))
}

fn revocation(serial: &[u8]) -> Revocation {
    Revocation {
        serial: serial.to_vec(),
        revoked: at("2026-11-18T12:00:00.000Z"),
        reason: Some(RevocationReason::KeyCompromise),
        invalid_since: Some(at("2026-11-01T00:00:00.000Z")),
    }
}

const SHA_1: &str = "1.3.14.3.2.26";
const SHA_256: &str = "2.16.840.1.101.3.4.2.1";
const NONCE: &str = "1.3.6.1.5.5.7.48.1.2";
const OCSP_SIGNING: &str = "1.3.6.1.5.5.7.3.9";
const INVALIDITY: &str = "2.5.29.24";

fn sha256(message: &[u8]) -> Vec<u8> {
    <sha2::Sha256 as sha2::Digest>::digest(message).to_vec()
}

fn extension(kind: &str, critical: bool, value: &[u8]) -> Vec<u8> {
    tlv(0x30, &[&oid(kind), if critical { &[1, 1, 0xff] } else { &[] }, &tlv(4, &[value])])
}

fn time(text: &str) -> Vec<u8> {
    tlv(0x18, &[text.as_bytes()])
}

/// CertID with SHA-256.
fn id(issuer: &Certificate, serial: &[u8]) -> Vec<u8> {
    let hash = |bytes: &[u8]| tlv(4, &[&sha256(bytes)]);
    tlv(
        0x30,
        &[&tlv(0x30, &[&oid(SHA_256)]), &hash(issuer.subject_der()), &hash(&issuer.public_key().to_spki_der()[23..]), &tlv(2, &[serial])],
    )
}

/// A response of the city's responder without a flaw, of which each part can be replaced. It knows nothing of the crates that read it.
#[derive(Clone)]
struct Response {
    status: Vec<u8>,
    kind: Vec<u8>,
    version: Vec<u8>,
    responder: Vec<u8>,
    produced: Vec<u8>,
    answers: Vec<Answer>,
    extensions: Vec<Vec<u8>>,
    algorithm: Vec<u8>,
    certificates: Vec<Vec<u8>>,
    key: u8,
}

#[derive(Clone)]
struct Answer {
    id: Vec<u8>,
    status: Vec<u8>,
    this_update: Vec<u8>,
    next_update: Vec<u8>,
    extensions: Vec<Vec<u8>>,
}

const GOOD: &[u8] = &[0x80, 0];

impl Response {
    fn good(city: &City) -> Self {
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

    fn with(&self, change: impl Fn(&mut Self)) -> Self {
        let mut response = self.clone();
        change(&mut response);
        response
    }

    /// With a change to its one answer.
    fn answer(&self, change: impl Fn(&mut Answer)) -> Self {
        self.with(|response| change(&mut response.answers[0]))
    }

    fn der(&self) -> Vec<u8> {
        let list = |parts: &[Vec<u8>]| tlv(0x30, &parts.iter().map(Vec::as_slice).collect::<Vec<_>>());
        let optional = |tag, parts: &[Vec<u8>]| if parts.is_empty() { vec![] } else { tlv(tag, &[&list(parts)]) };
        let answer = |a: &Answer| tlv(0x30, &[&a.id, &a.status, &a.this_update, &a.next_update, &optional(0xa1, &a.extensions)]);
        let answers = list(&self.answers.iter().map(answer).collect::<Vec<_>>());
        let data = tlv(0x30, &[&self.version, &self.responder, &self.produced, &answers, &optional(0xa1, &self.extensions)]);
        let signature = tlv(3, &[&[0], &key(self.key).sign(&data).unwrap()]);
        let basic = tlv(0x30, &[&data, &self.algorithm, &signature, &optional(0xa0, &self.certificates)]);
        wrap(&self.status, &self.kind, &basic)
    }
}

fn wrap(status: &[u8], kind: &[u8], basic: &[u8]) -> Vec<u8> {
    tlv(0x30, &[status, &tlv(0xa0, &[&tlv(0x30, &[kind, &tlv(4, &[basic])])])])
}

fn nonce() -> OcspNonce {
    OcspNonce::new(&[9, 9, 9]).unwrap()
}

fn judge(city: &City, response: &[u8]) -> Result<VerifiedOcspResponse, OcspResponseError> {
    judged::verify_ocsp(response, &city.issuing, Some(&nonce()))
}

/// The responder's certificate, to be spoilt.
fn responder_forgery(city: &City) -> Forgery {
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

#[test]
fn the_forger_can_write_responses_without_a_flaw() {
    let city = City::new();
    let good = Response::good(&city);
    let camera = city.camera();
    let revoked = tlv(0xa1, &[&time("20261118120000Z"), &tlv(0xa0, &[&[10, 1, 1]])]);
    let invalidity = extension(INVALIDITY, false, &time("20261101000000Z"));
    for (name, response, status) in [
        ("good", good.clone(), OcspStatus::Good),
        ("a forged responder", good.with(|r| r.certificates = vec![responder_forgery(&city).sign(&city.issuing_key)]), OcspStatus::Good),
        ("a certificate of no use beside it", good.with(|r| r.certificates.insert(0, camera.der().to_vec())), OcspStatus::Good),
        ("what is not a certificate beside it", good.with(|r| r.certificates.insert(0, vec![4, 0])), OcspStatus::Good),
        ("unknown", good.answer(|a| a.status = vec![0x82, 0]), OcspStatus::Unknown),
        (
            "revoked",
            good.answer(|a| (a.status, a.extensions) = (revoked.clone(), vec![invalidity.clone()])),
            OcspStatus::Revoked(&revocation(camera.serial())),
        ),
        ("an extension that is not critical", good.with(|r| r.extensions.push(extension("1.2.3", false, &[5, 0]))), OcspStatus::Good),
        (
            "an extension of an answer that is not critical",
            good.answer(|a| a.extensions = vec![extension("1.2.3", false, &[5, 0])]),
            OcspStatus::Good,
        ),
        ("four certificates", good.with(|r| r.certificates.extend(vec![vec![4, 0]; 3])), OcspStatus::Good),
        ("for one second", good.answer(|a| a.next_update = tlv(0xa0, &[&time("20261120120000Z")])), OcspStatus::Good),
        ("of somebody else's certificate", good.answer(|a| a.id = id(&city.issuing, &[77])), OcspStatus::NotAnswered),
        ("about another authority's certificate", good.answer(|a| a.id = id(&city.root, camera.serial())), OcspStatus::NotAnswered),
    ] {
        assert_eq!(judge(&city, &response.der()).unwrap().status_at(&camera, at(NOON)), status, "{name}");
    }
}

#[test]
fn a_response_with_a_flaw_is_refused() {
    use OcspResponseError::{Malformed, Nonce, Profile, Refused, Responder, Signature};
    let city = City::new();
    let good = Response::good(&city);
    let not_ours = Profile("it names a certificate by a hash or a serial number that are not ours");
    let camera = city.camera();
    let revoked = |parts: &[&[u8]]| tlv(0xa1, parts);
    let hashed = |kind: &str, bytes: usize| {
        let hash = tlv(4, &[&vec![1; bytes]]);
        tlv(0x30, &[&tlv(0x30, &[&oid(kind)]), &hash, &hash, &[2, 1, 77]])
    };
    let none = Profile("it has an empty list where there should be none");
    let cases: Vec<(&str, OcspResponseError, Vec<u8>)> = vec![
        ("malformedRequest", Refused(OcspRefusal::MalformedRequest), vec![0x30, 3, 10, 1, 1]),
        ("internalError", Refused(OcspRefusal::InternalError), vec![0x30, 3, 10, 1, 2]),
        ("tryLater", Refused(OcspRefusal::TryLater), vec![0x30, 3, 10, 1, 3]),
        ("sigRequired", Refused(OcspRefusal::SignatureRequired), vec![0x30, 3, 10, 1, 5]),
        ("unauthorized", Refused(OcspRefusal::Unauthorized), vec![0x30, 3, 10, 1, 6]),
        ("a status that there is not", Malformed, vec![0x30, 3, 10, 1, 4]),
        ("successful without an answer", Profile("it is neither an answer nor a refusal"), vec![0x30, 3, 10, 1, 0]),
        ("a refusal with an answer", Profile("it is neither an answer nor a refusal"), good.with(|r| r.status = vec![10, 1, 6]).der()),
        ("another kind of response", Profile("it is not a basic response"), good.with(|r| r.kind = oid("1.3.6.1.5.5.7.48.1.4")).der()),
        ("nothing", Malformed, vec![]),
        ("cut off", Malformed, good.der()[..good.der().len() - 1].to_vec()),
        ("a byte too many", Malformed, [good.der(), vec![0]].concat()),
        ("a byte too many inside", Malformed, wrap(&good.status, &good.kind, &[4, 0, 0])),
        ("65 KiB", Malformed, good.with(|r| r.extensions.push(extension("1.2.3", false, &vec![0; 65 * 1024]))).der()),
        ("version 1 written out", Malformed, good.with(|r| r.version = tlv(0xa0, &[&[2, 1, 0]])).der()),
        ("version 2", Profile("it is not version 1"), good.with(|r| r.version = tlv(0xa0, &[&[2, 1, 1]])).der()),
        (
            "signed with SHA-256",
            Profile("it is not signed with ECDSA and SHA-384"),
            good.with(|r| r.algorithm = tlv(0x30, &[&oid("1.2.840.10045.4.3.2")])).der(),
        ),
        (
            "signature algorithm with parameters",
            Profile("it is not signed with ECDSA and SHA-384"),
            good.with(|r| r.algorithm = tlv(0x30, &[&oid("1.2.840.10045.4.3.3"), &[5, 0]])).der(),
        ),
        (
            "responder by key",
            Profile("it names its responder by a SHA-1 hash"),
            good.with(|r| r.responder = tlv(0xa2, &[&tlv(4, &[&[1; 20]])])).der(),
        ),
        ("no answer", Profile("it does not have 1 to 64 answers"), good.with(|r| r.answers.clear()).der()),
        (
            "65 answers",
            Profile("it does not have 1 to 64 answers"),
            good.with(|r| r.answers = (1..=65).map(|n| Answer { id: id(&city.issuing, &[n]), ..good.answers[0].clone() }).collect()).der(),
        ),
        (
            "two answers for one certificate",
            Profile("it answers twice for a certificate"),
            good.with(|r| {
                r.answers.push(r.answers[0].clone());
                r.answers[1].status = revoked(&[&time("20261118120000Z")]);
            })
            .der(),
        ),
        ("SHA-1", not_ours, good.answer(|a| a.id = hashed(SHA_1, 20)).der()),
        ("hashes too short", not_ours, good.answer(|a| a.id = hashed(SHA_256, 31)).der()),
        ("hashes too long", not_ours, good.answer(|a| a.id = hashed(SHA_256, 33)).der()),
        ("a negative serial number", not_ours, good.answer(|a| a.id = id(&city.issuing, &[0x80])).der()),
        ("serial number zero", not_ours, good.answer(|a| a.id = id(&city.issuing, &[0])).der()),
        ("a serial number of 21 bytes", not_ours, good.answer(|a| a.id = id(&city.issuing, &[1; 21])).der()),
        ("no next update", Profile("it does not say when the next one comes"), good.answer(|a| a.next_update.clear()).der()),
        (
            "next update before this one",
            Profile("the next one comes before it"),
            good.answer(|a| a.next_update = tlv(0xa0, &[&time("20261120115959Z")])).der(),
        ),
        ("of the future", Profile("it is of a time after it was made"), good.answer(|a| a.this_update = time("20261120120001Z")).der()),
        (
            "revoked in the future",
            Profile("a revocation is later than the answer"),
            good.answer(|a| a.status = revoked(&[&time("20261120120001Z")])).der(),
        ),
        (
            "removed from a list",
            Profile("an entry takes something back, which only delta lists do"),
            good.answer(|a| a.status = revoked(&[&time("20261118120000Z"), &tlv(0xa0, &[&[10, 1, 8]])])).der(),
        ),
        (
            "a reason that there is not",
            Malformed,
            good.answer(|a| a.status = revoked(&[&time("20261118120000Z"), &tlv(0xa0, &[&[10, 1, 7]])])).der(),
        ),
        (
            "invalid after it was revoked",
            Profile("a certificate is invalid only after it was revoked"),
            good.answer(|a| {
                a.status = revoked(&[&time("20261118120000Z")]);
                a.extensions = vec![extension(INVALIDITY, false, &time("20261118120001Z"))];
            })
            .der(),
        ),
        ("an invalidity date of no form", Malformed, good.answer(|a| a.extensions = vec![extension(INVALIDITY, false, &[5, 0])]).der()),
        ("good with content", Malformed, good.answer(|a| a.status = vec![0x80, 1, 0]).der()),
        ("a status that is none", Malformed, good.answer(|a| a.status = vec![0x83, 0]).der()),
        ("a time with a fraction", Malformed, good.with(|r| r.produced = time("20261120120000.5Z")).der()),
        ("a time without seconds", Malformed, good.with(|r| r.produced = time("202611201200Z")).der()),
        (
            "a critical extension",
            Profile("it has an unknown critical extension"),
            good.with(|r| r.extensions.push(extension("1.2.3", true, &[5, 0]))).der(),
        ),
        (
            "a critical extension of an answer",
            Profile("it has an unknown critical extension"),
            good.answer(|a| a.extensions = vec![extension("1.2.3", true, &[5, 0])]).der(),
        ),
        ("extensions that are none", none, good.with(|r| r.extensions = vec![vec![]]).der()),
        ("extensions of an answer that are none", none, good.answer(|a| a.extensions = vec![vec![]]).der()),
        ("certificates that are none", none, good.with(|r| r.certificates = vec![vec![]]).der()),
        ("two nonces", Profile("it has an extension twice"), good.with(|r| r.extensions.push(r.extensions[0].clone())).der()),
        (
            "17 extensions",
            Profile("it has too many extensions"),
            good.with(|r| r.extensions = (1..=17).map(|n| extension(&format!("1.2.{n}"), false, &[5, 0])).collect()).der(),
        ),
        (
            "an empty nonce",
            Profile("its nonce is not of 1 to 128 bytes"),
            good.with(|r| r.extensions = vec![extension(NONCE, false, &[4, 0])]).der(),
        ),
        (
            "a nonce that is not an octet string",
            Profile("its nonce is not of 1 to 128 bytes"),
            good.with(|r| r.extensions = vec![extension(NONCE, false, &[9, 9, 9])]).der(),
        ),
        ("another nonce", Nonce, good.with(|r| r.extensions = vec![extension(NONCE, false, &[4, 3, 9, 9, 8])]).der()),
        ("no nonce", Nonce, good.with(|r| r.extensions.clear()).der()),
        ("five certificates", Profile("it has too many certificates"), good.with(|r| r.certificates = vec![vec![4, 0]; 5]).der()),
        ("signed by another key", Signature(BadSignature), good.with(|r| r.key = 9).der()),
        ("no certificate", Responder("it has no certificate of the responder"), good.with(|r| r.certificates.clear()).der()),
        (
            "the name of another responder",
            Responder("it has no certificate of the responder"),
            good.with(|r| r.responder = tlv(0xa1, &[&common_name("authority/other")])).der(),
        ),
        (
            "signed by the authority itself",
            Responder("its certificate is not one of a responder"),
            good.with(|r| {
                (r.responder, r.key) = (tlv(0xa1, &[city.issuing.subject_der()]), 2);
                r.certificates = vec![city.issuing.der().to_vec()];
            })
            .der(),
        ),
        (
            "signed by a camera of the authority",
            Responder("its certificate is not one of a responder"),
            good.with(|r| {
                (r.responder, r.key) = (tlv(0xa1, &[camera.subject_der()]), 3);
                r.certificates = vec![camera.der().to_vec()];
            })
            .der(),
        ),
    ];
    for (defect, error, response) in cases {
        assert_eq!(judge(&city, &response).err(), Some(error), "{defect}");
    }
}

/// The responder's certificate is what makes it one: each flaw of it alone.
#[test]
fn who_is_no_responder_of_the_authority_is_not_believed() {
    let city = City::new();
    let good = responder_forgery(&city);
    let by = |certificate: Vec<u8>| {
        let response = Response::good(&city).with(|r| r.certificates = vec![certificate.clone()]);
        judge(&city, &response.der()).err()
    };
    assert_eq!(by(good.sign(&city.issuing_key)), None);
    let defect = |text| Some(OcspResponseError::Responder(text));
    let (mut expired, mut future, mut other_name) = (good.clone(), good.clone(), good.clone());
    expired.not_after = tlv(0x17, &[b"261120115959Z"]);
    future.not_before = tlv(0x17, &[b"261120120001Z"]);
    other_name.issuer = common_name("Other");
    let other_key = good.clone().replace(AUTHORITY_KEY, tlv(0x30, &[&tlv(0x80, &[b"other"])]));
    let stranger = good.clone().replace(ALTERNATIVE_NAME, uris(&["spiffe://town.example/authority/ocsp"]));
    for (name, text, certificate) in [
        ("expired", "its certificate was not valid at that moment", expired.sign(&city.issuing_key)),
        ("not yet valid", "its certificate was not valid at that moment", future.sign(&city.issuing_key)),
        ("another issuer's name", "its certificate is of another authority", other_name.sign(&city.issuing_key)),
        ("another issuer's key identifier", "its certificate is of another authority", other_key.sign(&city.issuing_key)),
        ("another trust domain", "its certificate is of another trust domain", stranger.sign(&city.issuing_key)),
        ("signed by itself", "its certificate is not signed by the authority", good.sign(&key(8))),
        ("signed by the root", "its certificate is not signed by the authority", good.sign(&city.root_key)),
        // Outside the profile, so that it is passed over.
        (
            "for timestamps",
            "its certificate is not one of a responder",
            good.clone()
                .without(NO_CHECK)
                .criticality(EXTENDED_USAGE, true)
                .replace(EXTENDED_USAGE, tlv(0x30, &[&oid("1.3.6.1.5.5.7.3.8")]))
                .sign(&city.issuing_key),
        ),
        (
            "for everything",
            "it has no certificate of the responder",
            good.clone().replace(EXTENDED_USAGE, tlv(0x30, &[&oid("2.5.29.37.0")])).sign(&city.issuing_key),
        ),
        ("without nocheck", "it has no certificate of the responder", good.clone().without(NO_CHECK).sign(&city.issuing_key)),
    ] {
        assert_eq!(by(certificate), defect(text), "{name}");
    }
    // The root's own responder does not speak for the issuing authority, nor does an issuer that is none.
    let response = Response::good(&city).der();
    let refusal = judged::verify_ocsp(&response, &city.root, None).err();
    assert_eq!(refusal, defect("its certificate is of another authority"));
    let mut user = Forgery::camera(&city).replace(SUBJECT_KEY, tlv(4, &[city.issuing.subject_key_identifier()]));
    user.subject = city.issuing.subject_der().to_vec();
    let user = Certificate::from_der(&user.sign(&city.issuing_key)).unwrap();
    assert_eq!(judged::verify_ocsp(&response, &user, None).err(), defect("its certificate is not issued by an authority"));
    // Of two of one name that will not do the first is told.
    for (first, second, text) in [
        (&expired, &other_name, "its certificate was not valid at that moment"),
        (&other_name, &expired, "its certificate is of another authority"),
    ] {
        let list = vec![first.sign(&city.issuing_key), second.sign(&city.issuing_key)];
        let response = Response::good(&city).with(|r| r.certificates = list.clone());
        assert_eq!(judge(&city, &response.der()).err(), defect(text));
    }
    // Of two certificates of one name the one that will do is found.
    let both = Response::good(&city).with(|r| r.certificates.insert(0, expired.sign(&city.issuing_key)));
    assert!(judge(&city, &both.der()).is_ok());
}

#[test]
fn no_altered_byte_goes_unnoticed() {
    let city = City::new();
    let good = Response::good(&city);
    let der = good.der();
    // The certificates are not signed by the responder, but what is altered in them makes it no responder.
    for position in 0..der.len() {
        let mut bytes = der.clone();
        bytes[position] ^= 1;
        assert!(judge(&city, &bytes).is_err(), "byte {position}");
    }
}

#[test]
fn a_response_is_asked_at_a_moment() {
    let city = City::new();
    let camera = city.camera();
    let good = judge(&city, &Response::good(&city).der()).unwrap();
    assert_eq!(good.produced(), at(NOON));
    for (moment, status) in [
        (NOON, OcspStatus::Good),
        ("2026-11-21T12:00:00.999Z", OcspStatus::Good),
        ("2026-11-20T11:59:59.999Z", OcspStatus::NotCurrent),
        ("2026-11-21T12:00:01.000Z", OcspStatus::NotCurrent),
    ] {
        assert_eq!(good.status_at(&camera, at(moment)), status, "{moment}");
    }
    let revoked = Response::good(&city).answer(|a| a.status = tlv(0xa1, &[&time("20261118120000Z")]));
    let revoked = judge(&city, &revoked.der()).unwrap();
    for moment in [FROM, NOON, TO] {
        assert!(matches!(revoked.status_at(&camera, at(moment)), OcspStatus::Revoked(_)), "{moment}: an old revocation was forgotten");
    }
    let (mut renamed, rekeyed) =
        (Forgery::camera(&city), Forgery::camera(&city).replace(AUTHORITY_KEY, tlv(0x30, &[&tlv(0x80, &[b"other"])])));
    renamed.issuer = common_name("Other");
    let moved = Forgery::camera(&city).replace(ALTERNATIVE_NAME, uris(&["spiffe://other.example/camera/102"]));
    for (part, mut forgery) in [("name", renamed), ("key", rekeyed), ("trust domain", moved)] {
        forgery.serial = tlv(2, &[camera.serial()]);
        let certificate = Certificate::from_der(&forgery.sign(&city.issuing_key)).unwrap();
        assert_eq!(certificate.serial(), camera.serial());
        assert_eq!(good.status_at(&certificate, at(NOON)), OcspStatus::NotAnswered, "a certificate of an issuer of another {part}");
    }
}

/// The moments of a revocation may all be one.
#[test]
fn a_revocation_may_be_of_the_second_in_which_it_is_told() {
    let city = City::new();
    let noon = time("20261120120000Z");
    let response = Response::good(&city).answer(|a| {
        a.status = tlv(0xa1, &[&noon]);
        a.extensions = vec![extension(INVALIDITY, false, &noon)];
    });
    let verified = judge(&city, &response.der()).unwrap();
    let camera = city.camera();
    let OcspStatus::Revoked(found) = verified.status_at(&camera, at(NOON)) else { panic!("the revocation is not told") };
    assert_eq!((found.revoked, found.invalid_since), (at(NOON), Some(at(NOON))));
}

#[test]
fn a_request_with_a_flaw_is_not_understood() {
    let city = City::new();
    let camera_id = id(&city.issuing, city.camera().serial());
    let request = |list: &[&[u8]], before: &[u8], after: &[u8], signature: &[u8]| {
        tlv(0x30, &[&tlv(0x30, &[before, &tlv(0x30, list), after]), signature])
    };
    let single = |id: &[u8], extensions: &[u8]| tlv(0x30, &[id, extensions]);
    let one = single(&camera_id, &[]);
    let extensions = |list: &[&[u8]]| tlv(0xa2, &[&tlv(0x30, list)]);
    let good = request(&[&one], &[], &extensions(&[&extension(NONCE, false, &[4, 3, 9, 9, 9])]), &[]);
    let parsed = judged::read_ocsp_request(&good).unwrap();
    assert_eq!((parsed.ids()[0].serial(), parsed.nonce()), (city.camera().serial(), Some(&nonce())));
    assert!(parsed.ids()[0].is_of(&city.issuing) && !parsed.ids()[0].is_of(&city.root));
    assert_eq!(parsed.to_der(), good, "another request was written than was read");
    assert_eq!(OcspRequest::new(vec![CertificateId::new(&city.issuing, city.camera().serial()).unwrap()], Some(nonce())), Some(parsed));
    let sixteen: Vec<Vec<u8>> = (1..=17).map(|n| single(&id(&city.issuing, &[n]), &[])).collect();
    let sixteen: Vec<&[u8]> = sixteen.iter().map(Vec::as_slice).collect();
    assert!(judged::read_ocsp_request(&request(&sixteen[..16], &[], &[], &[])).is_some());
    let other_half = |name: usize, key: usize| {
        tlv(0x30, &[&tlv(0x30, &[&oid(SHA_256)]), &tlv(4, &[&vec![1; name]]), &tlv(4, &[&vec![1; key]]), &[2, 1, 7]])
    };
    // The name of one authority with the key of another names nobody's certificate.
    let hash = |bytes: &[u8]| tlv(4, &[&sha256(bytes)]);
    for (name, key) in [(&city.issuing, &city.root), (&city.root, &city.issuing)] {
        let algorithm = tlv(0x30, &[&oid(SHA_256)]);
        let id = tlv(0x30, &[&algorithm, &hash(name.subject_der()), &hash(key.public_key().as_bytes()), &[2, 1, 7]]);
        let parsed = OcspRequest::from_der(&request(&[&single(&id, &[])], &[], &[], &[])).unwrap();
        assert!(!parsed.ids()[0].is_of(&city.issuing) && !parsed.ids()[0].is_of(&city.root));
    }
    let ids = |count: u8| (1..=count).map(|serial| CertificateId::new(&city.issuing, &[serial]).unwrap()).collect::<Vec<_>>();
    assert!(OcspRequest::new(ids(16), None).is_some() && OcspRequest::new(ids(17), None).is_none());
    let critical_nonce = request(&[&one], &[], &extensions(&[&extension(NONCE, true, &[4, 3, 9, 9, 9])]), &[]);
    assert!(judged::read_ocsp_request(&critical_nonce).is_some(), "a nonce is known, critical or not");
    for (defect, bytes) in [
        ("nothing", vec![]),
        ("cut off", good[..good.len() - 1].to_vec()),
        ("a byte too many", [&good[..], &[0]].concat()),
        ("9 KiB", request(&[&one], &[], &extensions(&[&extension("1.2.3", false, &vec![0; 9000])]), &[])),
        ("version 1 written out", request(&[&one], &tlv(0xa0, &[&[2, 1, 0]]), &[], &[])),
        ("version 2", request(&[&one], &tlv(0xa0, &[&[2, 1, 1]]), &[], &[])),
        ("a requestor's name", request(&[&one], &tlv(0xa1, &[&tlv(0x82, &[b"a"])]), &[], &[])),
        ("a signature", request(&[&one], &[], &[], &tlv(0xa0, &[&tlv(0x30, &[])]))),
        ("no certificate", request(&[], &[], &[], &[])),
        ("17 certificates", request(&sixteen, &[], &[], &[])),
        ("a certificate twice", request(&[&one, &one], &[], &[], &[])),
        (
            "SHA-1",
            request(
                &[&single(&tlv(0x30, &[&tlv(0x30, &[&oid(SHA_1)]), &tlv(4, &[&[1; 20]]), &tlv(4, &[&[1; 20]]), &[2, 1, 7]]), &[])],
                &[],
                &[],
                &[],
            ),
        ),
        ("a name's hash too short", request(&[&single(&other_half(31, 32), &[])], &[], &[], &[])),
        ("a key's hash too short", request(&[&single(&other_half(32, 31), &[])], &[], &[], &[])),
        ("a negative serial number", request(&[&single(&id(&city.issuing, &[0x80]), &[])], &[], &[], &[])),
        ("a serial number with a byte too many", request(&[&single(&id(&city.issuing, &[0, 1]), &[])], &[], &[], &[])),
        ("extensions that are none", request(&[&one], &[], &extensions(&[]), &[])),
        ("extensions of one certificate that are none", request(&[&single(&camera_id, &tlv(0xa0, &[&[0x30, 0]]))], &[], &[], &[])),
        ("a nonce of 129 bytes", request(&[&one], &[], &extensions(&[&extension(NONCE, false, &tlv(4, &[&[1; 129]]))]), &[])),
        ("an empty nonce", request(&[&one], &[], &extensions(&[&extension(NONCE, false, &[4, 0])]), &[])),
        ("a critical extension", request(&[&one], &[], &extensions(&[&extension("1.2.3", true, &[5, 0])]), &[])),
        (
            "a critical extension of one certificate",
            request(&[&single(&camera_id, &tlv(0xa0, &[&tlv(0x30, &[&extension("1.2.3", true, &[5, 0])])]))], &[], &[], &[]),
        ),
        (
            "two nonces",
            request(&[&one], &[], &extensions(&[&extension(NONCE, false, &[4, 1, 9]), &extension(NONCE, false, &[4, 1, 8])]), &[]),
        ),
    ] {
        assert_eq!(judged::read_ocsp_request(&bytes), None, "{defect}");
    }
    assert!(OcspNonce::new(&[1; 128]).is_some() && OcspNonce::new(&[1; 129]).is_none() && OcspNonce::new(&[]).is_none());
    assert!(CertificateId::new(&city.issuing, &[0x80]).is_none() && CertificateId::new(&city.issuing, &[]).is_none());
}

#[test]
fn our_responder_answers_what_it_was_asked() {
    let city = City::new();
    let (signer, other) = (key(8), key(9));
    let certificate = responder(&city);
    let responder = OcspResponder::new(&certificate, &city.issuing, &signer).unwrap();
    assert!(matches!(OcspResponder::new(&certificate, &city.issuing, &other), Err(MakeResponseError::Key)));
    assert!(matches!(OcspResponder::new(&certificate, &city.root, &signer), Err(MakeResponseError::Certificate)));
    assert!(matches!(OcspResponder::new(&city.camera(), &city.issuing, &key(3)), Err(MakeResponseError::Certificate)));
    // Each half of who certified it, alone.
    let mut renamed = responder_forgery(&city);
    renamed.issuer = common_name("Other");
    let rekeyed = responder_forgery(&city).replace(AUTHORITY_KEY, tlv(0x30, &[&tlv(0x80, &[b"other"])]));
    for forgery in [renamed, rekeyed] {
        let certificate = Certificate::from_der(&forgery.sign(&city.issuing_key)).unwrap();
        assert!(matches!(OcspResponder::new(&certificate, &city.issuing, &signer), Err(MakeResponseError::Certificate)));
    }
    let camera = city.camera();
    let user = city.issue("user/8c1", &[Role::Investigator], KeyPurpose::Signing, &[], &key(5));
    let user = reissued(&city, &user, 4);
    let ids = [(&city.issuing, camera.serial()), (&city.issuing, user.serial()), (&city.issuing, &[9][..]), (&city.root, &[5][..])];
    let ids = ids.map(|(issuer, serial)| CertificateId::new(issuer, serial).unwrap()).to_vec();
    let request = OcspRequest::new(ids, Some(nonce())).unwrap();
    let status = |serial: &[u8]| match serial {
        serial if serial == camera.serial() => CertificateStatus::Good,
        serial if serial == user.serial() => CertificateStatus::Revoked(revocation(&[])),
        [9] => CertificateStatus::Unknown,
        _ => panic!("asked about {serial:?}, which is not the authority's"),
    };
    let respond = |request: &[u8], moment: &str, next: &str| responder.respond(request, &status, at(moment), at(next));
    let verified = judge(&city, &respond(&request.to_der(), NOON, TOMORROW).unwrap()).unwrap();
    assert_eq!(verified.status_at(&camera, at(NOON)), OcspStatus::Good);
    assert_eq!(verified.status_at(&user, at(NOON)), OcspStatus::Revoked(&revocation(user.serial())));
    assert_eq!(verified.status_at(&city.issuing, at(NOON)), OcspStatus::NotAnswered);
    let refusal = |bytes: Vec<u8>| OcspResponse::from_der(&bytes).unwrap_err();
    let malformed = respond(b"a request", NOON, TOMORROW).unwrap();
    assert_eq!(refusal(malformed), OcspResponseError::Refused(OcspRefusal::MalformedRequest));
    let late = respond(&request.to_der(), "2036-01-01T00:00:01.000Z", "2036-01-02T00:00:00.000Z").unwrap();
    assert_eq!(refusal(late), OcspResponseError::Refused(OcspRefusal::TryLater), "the certificate had expired");
    let backwards = respond(&request.to_der(), TOMORROW, NOON).unwrap_err();
    assert!(matches!(backwards, MakeResponseError::Refused(OcspResponseError::Profile("the next one comes before it"))));
    let early = respond(&request.to_der(), "2026-11-18T11:59:59.000Z", TOMORROW).unwrap_err();
    assert!(matches!(early, MakeResponseError::Refused(OcspResponseError::Profile("a revocation is later than the answer"))));
}

/// With another serial number.
fn reissued(city: &City, certificate: &Certificate, serial: u8) -> Certificate {
    let identity: &Identity = certificate.identity().unwrap();
    let entity = EndEntity {
        identity,
        public_key: certificate.public_key(),
        purpose: certificate.purpose(),
        roles: certificate.roles(),
        server_names: &[],
    };
    issue_end_entity(&entity, &city.issuing, &city.issuing_key, &issuance(serial)).unwrap()
}

/// The city's authorities, a camera and the responder, as files for openssl.
fn city_folder(city: &City) -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    write(&folder, "root.pem", city.root.to_pem());
    write(&folder, "issuing.pem", city.issuing.to_pem());
    write(&folder, "camera.pem", city.camera().to_pem());
    write(&folder, "responder.pem", responder(city).to_pem());
    write(&folder, "responder.key", key(8).to_pkcs8_pem().as_bytes());
    folder
}

/// openssl's verdict on a response about the camera at noon. The times of the answer it compares with its own clock, generously.
const VERIFY: &str = "ocsp -issuer issuing.pem -sha256 -cert camera.pem -no_nonce -validity_period 3000000000 -CAfile root.pem -attime 1795176000 -respin response";

#[test]
fn openssl_asks_and_believes_our_responder() {
    let city = City::new();
    let folder = city_folder(&city);
    let (signer, certificate) = (key(8), responder(&city));
    let responder = OcspResponder::new(&certificate, &city.issuing, &signer).unwrap();
    for options in ["-sha256", "-sha384 -no_nonce", "-sha512"] {
        openssl(folder.path(), &format!("ocsp -issuer issuing.pem {options} -cert camera.pem -reqout request")).unwrap();
        let request = judged::read_ocsp_request(&read(&folder, "request")).unwrap();
        assert_eq!(request.nonce().is_none(), options.contains("-no_nonce"));
        for (status, line) in [
            (CertificateStatus::Good, "camera.pem: good"),
            (CertificateStatus::Revoked(revocation(&[])), "camera.pem: revoked"),
            (CertificateStatus::Unknown, "camera.pem: unknown"),
        ] {
            let response = responder.respond(&read(&folder, "request"), &|_| status.clone(), at(NOON), at(TOMORROW)).unwrap();
            write(&folder, "response", &response);
            let with_nonce = "ocsp -reqin request -issuer issuing.pem -CAfile root.pem -attime 1795176000 -respin response";
            assert!(openssl(folder.path(), with_nonce).unwrap().contains("Response verify OK"), "{options}");
            let text = openssl(folder.path(), &VERIFY.replace("-sha256", options.trim_end_matches(" -no_nonce"))).unwrap();
            assert!(text.contains("Response verify OK") && text.contains(line), "{options}: no {line:?} in {text}");
            if line.ends_with("revoked") {
                for line in ["Reason: keyCompromise", "Revocation Time: Nov 18 12:00:00 2026 GMT", "This Update: Nov 20 12:00:00 2026 GMT"]
                {
                    assert!(text.contains(line), "no {line:?} in {text}");
                }
            }
        }
    }
    openssl(folder.path(), "ocsp -issuer issuing.pem -cert camera.pem -reqout request").unwrap();
    assert_eq!(judged::read_ocsp_request(&read(&folder, "request")), None, "openssl's default, SHA-1, was understood");
    let refusal = responder.respond(&read(&folder, "request"), &|_| CertificateStatus::Good, at(NOON), at(TOMORROW)).unwrap();
    write(&folder, "response", refusal);
    let text = openssl(folder.path(), "ocsp -respin response -noverify").unwrap_or_else(|text| text);
    assert!(text.contains("malformedrequest"), "{text}");
    let ours = OcspRequest::new(vec![CertificateId::new(&city.issuing, city.camera().serial()).unwrap()], Some(nonce())).unwrap();
    write(&folder, "request", ours.to_der());
    let text = openssl(folder.path(), "ocsp -reqin request -req_text").unwrap();
    for line in ["Hash Algorithm: sha256", "Serial Number: 03030303030303030303030303030303", "OCSP Nonce", "0403090909"] {
        assert!(text.contains(line), "no {line:?} in {text}");
    }
}

#[test]
fn we_believe_the_responder_of_openssl() {
    let city = City::new();
    let folder = city_folder(&city);
    let serial = hex::encode_upper(city.camera().serial());
    for (entry, revoked) in
        [("V\t360101000000Z\t", false), ("R\t360101000000Z\t261118120000Z,keyCompromise", true), ("R\t360101000000Z\t261118120000Z", true)]
    {
        write(&folder, "index", format!("{entry}\t{serial}\tunknown\t/CN=camera\n"));
        write(&folder, "index.attr", "unique_subject = no\n");
        openssl(folder.path(), "ocsp -issuer issuing.pem -sha256 -cert camera.pem -reqout request").unwrap();
        let respond = "ocsp -index index -CA issuing.pem -rsigner responder.pem -rkey responder.key -rmd sha384 -reqin request";
        openssl(folder.path(), &format!("{respond} -ndays 1 -respout response")).unwrap();
        let request = judged::read_ocsp_request(&read(&folder, "request")).unwrap();
        let response = OcspResponse::from_der(&read(&folder, "response")).unwrap();
        let verified = response.verify(&city.issuing, request.nonce(), &RustCrypto).unwrap();
        match verified.status_at(&city.camera(), verified.produced()) {
            OcspStatus::Good => assert!(!revoked),
            OcspStatus::Revoked(found) => {
                assert!(revoked);
                assert_eq!(found.revoked, at("2026-11-18T12:00:00.000Z"));
                assert_eq!(found.reason, entry.contains("keyCompromise").then_some(RevocationReason::KeyCompromise));
            }
            other => panic!("{other:?}"),
        }
        // By key, which is SHA-1; with SHA-256; without a time for the next.
        openssl(folder.path(), &format!("{respond} -ndays 1 -resp_key_id -respout response")).unwrap();
        let by_key = OcspResponse::from_der(&read(&folder, "response")).unwrap_err();
        assert_eq!(by_key, OcspResponseError::Profile("it names its responder by a SHA-1 hash"));
        openssl(folder.path(), &format!("{respond} -respout response")).unwrap();
        let open = OcspResponse::from_der(&read(&folder, "response")).unwrap_err();
        assert_eq!(open, OcspResponseError::Profile("it does not say when the next one comes"));
    }
}

/// Both judge the same responses. Where they differ, the reason is written down here.
#[test]
fn openssl_judges_responses_as_we_do() {
    let city = City::new();
    let folder = city_folder(&city);
    let good = Response::good(&city);
    let camera = city.camera();
    let by = |forgery: &Forgery, signer: &exhibit_pki::SoftwareSigner| good.with(|r| r.certificates = vec![forgery.sign(signer)]);
    let responder = responder_forgery(&city);
    let mut expired = responder.clone();
    expired.not_after = tlv(0x17, &[b"261120115959Z"]);
    let by_authority = good.with(|r| {
        (r.responder, r.key) = (tlv(0xa1, &[city.issuing.subject_der()]), 2);
        r.certificates = vec![city.issuing.der().to_vec()];
    });
    let by_camera = good.with(|r| {
        (r.responder, r.key) = (tlv(0xa1, &[camera.subject_der()]), 3);
        r.certificates = vec![camera.der().to_vec()];
    });
    const THEY_ALLOW_WHAT_KEY_USAGE_FORBIDS: &str =
        "openssl lets an authority sign responses whose keyUsage has only certificates and lists";
    const NO_NOCHECK_NEEDED: &str = "openssl does not ask whether a responder was revoked";
    const NO_ROLE_FORBIDDEN: &str = "openssl knows no roles and no identities of ours";
    for (name, response, ours, theirs, why) in [
        ("good", good.clone(), true, true, ""),
        ("signed by another key", good.with(|r| r.key = 9), false, false, ""),
        ("no certificate", good.with(|r| r.certificates.clear()), false, false, ""),
        ("signed by a camera", by_camera, false, false, ""),
        ("a responder that signed itself", by(&responder, &key(8)), false, false, ""),
        ("a responder of the root", by(&responder, &city.root_key), false, false, ""),
        ("an expired responder", by(&expired, &city.issuing_key), false, false, ""),
        (
            "a responder for TLS",
            by(&responder.clone().replace(EXTENDED_USAGE, tlv(0x30, &[&oid("1.3.6.1.5.5.7.3.2")])), &city.issuing_key),
            false,
            false,
            "",
        ),
        ("another hash in the algorithm", good.with(|r| r.algorithm = tlv(0x30, &[&oid("1.2.840.10045.4.3.2")])), false, false, ""),
        ("signed by the authority", by_authority, false, true, THEY_ALLOW_WHAT_KEY_USAGE_FORBIDS),
        ("a responder without nocheck", by(&responder.clone().without(NO_CHECK), &city.issuing_key), false, true, NO_NOCHECK_NEEDED),
        (
            "a responder with a role",
            by(&responder.clone().with(POLICIES, false, policies(&["2.25.1586047359.2.7"])), &city.issuing_key),
            false,
            true,
            NO_ROLE_FORBIDDEN,
        ),
    ] {
        write(&folder, "response", response.der());
        let text = openssl(folder.path(), VERIFY).unwrap_or_else(|text| text);
        let verified = judge(&city, &response.der());
        assert_eq!(verified.is_ok(), ours, "{name}: we say {verified:?}");
        assert_eq!(text.contains("Response verify OK"), theirs, "{name}: openssl says {text}");
        assert_eq!(ours == theirs, why.is_empty(), "{name}: {why}");
        assert!(theirs || !ours, "{name}: we believe what openssl does not");
    }
}

#[test]
fn the_verifier_in_python_agrees_on_every_vector() {
    let tests: [fn(); 9] = [
        the_forger_can_write_responses_without_a_flaw,
        a_response_with_a_flaw_is_refused,
        who_is_no_responder_of_the_authority_is_not_believed,
        no_altered_byte_goes_unnoticed,
        a_request_with_a_flaw_is_not_understood,
        our_responder_answers_what_it_was_asked,
        openssl_asks_and_believes_our_responder,
        we_believe_the_responder_of_openssl,
        openssl_judges_responses_as_we_do,
    ];
    judged::assert_agrees_on(&tests, 900);
}

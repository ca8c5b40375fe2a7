//! Responses and responders, each with one flaw.

use exhibit_pki::{
    BadSignature, Certificate,
    ocsp::{OcspRefusal, OcspResponse, OcspResponseError, OcspStatus},
};

use crate::{forge::*, judged, support::*};

#[test]
pub fn the_forger_can_write_responses_without_a_flaw() {
    let city = City::new();
    let good = Response::good(&city);
    let camera = city.camera();
    let path = city.path(&camera);
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
        ("for ten days", good.answer(|a| a.next_update = tlv(0xa0, &[&time("20261130120000Z")])), OcspStatus::Good),
        ("of somebody else's certificate", good.answer(|a| a.id = id(&city.issuing, &[77])), OcspStatus::NotAnswered),
        ("about another authority's certificate", good.answer(|a| a.id = id(&city.root, camera.serial())), OcspStatus::NotAnswered),
    ] {
        let bytes = response.der();
        let verified = judge(&city, &bytes).unwrap();
        assert_eq!(verified.status_at(issued(&path), at(NOON)), status, "{name}");
        assert_eq!(verified.der(), bytes, "whoever keeps it keeps other bytes than came");
        assert_eq!(OcspResponse::from_der(&bytes).unwrap().der(), bytes);
    }
}

/// A defect, what is said of it, and the response that has it and no other.
type Case = (&'static str, OcspResponseError, Vec<u8>);

fn check(cases: Vec<Case>) {
    let city = City::new();
    for (defect, error, response) in cases {
        assert_eq!(judge(&city, &response).err(), Some(error), "{defect}");
    }
}

fn revoked(parts: &[&[u8]]) -> Vec<u8> {
    tlv(0xa1, parts)
}

/// A certificate's name by hashes of this kind, of so many bytes.
fn hashed(kind: &str, bytes: usize) -> Vec<u8> {
    let hash = tlv(4, &[&vec![1; bytes]]);
    tlv(0x30, &[&tlv(0x30, &[&oid(kind)]), &hash, &hash, &[2, 1, 77]])
}

#[test]
pub fn a_response_of_another_form_is_refused() {
    use OcspResponseError::{Malformed, Profile, Refused};
    let good = Response::good(&City::new());
    check(vec![
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
            "responder's name with an empty part",
            Profile("a part of its responder's name is empty"),
            good.with(|r| r.responder = tlv(0xa1, &[&tlv(0x30, &[&[0x31, 0]])])).der(),
        ),
        (
            "responder's name with a truth of BER",
            Malformed,
            good.with(|r| r.responder = tlv(0xa1, &[&tlv(0x30, &[&tlv(0x31, &[&tlv(0x30, &[&oid("2.5.4.99"), &[1, 1, 1]])])])])).der(),
        ),
        (
            "responder by key",
            Profile("it names its responder by a SHA-1 hash"),
            good.with(|r| r.responder = tlv(0xa2, &[&tlv(4, &[&[1; 20]])])).der(),
        ),
    ]);
}

#[test]
pub fn an_answer_with_a_flaw_is_refused() {
    use OcspResponseError::{Malformed, Profile};
    let city = City::new();
    let good = Response::good(&city);
    let not_ours = Profile("it names a certificate by a hash or a serial number that are not ours");
    check(vec![
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
        (
            "for ten days and a second",
            Profile("it would be current for more than ten days"),
            good.answer(|a| a.next_update = tlv(0xa0, &[&time("20261130120001Z")])).der(),
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
    ]);
}

#[test]
pub fn times_extensions_and_nonces_with_a_flaw_are_refused() {
    use OcspResponseError::{Malformed, Nonce, Profile};
    let good = Response::good(&City::new());
    let none = Profile("it has an empty list where there should be none");
    check(vec![
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
    ]);
}

#[test]
pub fn a_response_that_no_responder_signed_is_refused() {
    use OcspResponseError::{Profile, Responder, Signature};
    let city = City::new();
    let (good, camera) = (Response::good(&city), city.camera());
    check(vec![
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
    ]);
}

/// The responder's certificate is what makes it one: each flaw of it alone.
#[test]
pub fn who_is_no_responder_of_the_authority_is_not_believed() {
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
pub fn no_altered_byte_goes_unnoticed() {
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

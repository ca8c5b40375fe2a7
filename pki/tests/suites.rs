//! The suites beside P-384: the same vectors on every verifier, keys that are none, and who may have which.
#![allow(clippy::unwrap_used)]

mod support;
#[path = "support/token.rs"]
mod token;

use std::{fs, path::Path};

use exhibit_pki::{
    BadSignature, Certificate, CertificateRequest, EndEntity, KeyPurpose, PublicKey, RequestError, Role, RustCrypto, Signer, SignerError,
    Suite, Verifier, build_request_pem, issue_end_entity, issue_issuing_ca,
};
use serde_json::Value;
use support::*;
use token::{Token, openssl};
use zeroize::Zeroizing;

fn verifiers() -> Vec<(&'static str, Box<dyn Verifier>)> {
    vec![
        ("RustCrypto", Box::new(RustCrypto)),
        #[cfg(feature = "aws-lc")]
        ("aws-lc-rs", Box::new(exhibit_pki::AwsLc)),
    ]
}

/// `tests/vectors/suites/suites.json`, which suites.py beside it writes.
fn vectors(list: &str) -> Vec<Value> {
    let vectors: Value = serde_json::from_str(include_str!("vectors/suites/suites.json")).unwrap();
    vectors[list].as_array().unwrap().clone()
}

fn bytes(value: &Value) -> Vec<u8> {
    hex::decode(value.as_str().unwrap()).unwrap()
}

#[test]
fn every_verifier_gives_each_vector_its_answer() {
    let mut good = 0;
    for vector in vectors("signatures") {
        let key = PublicKey::from_spki_der(&bytes(&vector["key"])).unwrap();
        assert_eq!(key.to_spki_der(), bytes(&vector["key"]));
        let expected = if vector["good"] == true { Ok(()) } else { Err(BadSignature) };
        good += usize::from(expected.is_ok());
        for (name, verifier) in verifiers() {
            let found = verifier.verify(&key, &bytes(&vector["message"]), &bytes(&vector["signature"]));
            assert_eq!(found, expected, "{name}: {}", vector["name"]);
        }
    }
    assert_eq!(good, 5, "so many of them are good");
}

#[test]
fn one_bit_of_a_signature_is_seen_by_every_verifier() {
    for name in ["RSA of 3072 bits", "P-256"] {
        let vector = vectors("signatures").into_iter().find(|vector| vector["name"] == name).unwrap();
        let key = PublicKey::from_spki_der(&bytes(&vector["key"])).unwrap();
        let signature = bytes(&vector["signature"]);
        for position in (0..signature.len()).step_by(7) {
            let mut flipped = signature.clone();
            flipped[position] ^= 1;
            for (verifier_name, verifier) in verifiers() {
                let found = verifier.verify(&key, &bytes(&vector["message"]), &flipped);
                assert_eq!(found, Err(BadSignature), "{verifier_name}: {name}: byte {position}");
            }
        }
    }
}

#[test]
fn a_flawed_key_is_refused_for_its_flaw() {
    for vector in vectors("flawed_keys") {
        let refusal = PublicKey::from_spki_der(&bytes(&vector["spki"])).expect_err(vector["name"].as_str().unwrap()).to_string();
        assert!(refusal.contains(vector["refusal"].as_str().unwrap()), "{}: {refusal}", vector["name"]);
    }
}

/// Lengths that DER would write shorter: a key has one encoding, so that it is one key wherever it is compared.
#[test]
fn an_rsa_key_has_one_encoding() {
    let vector = vectors("signatures").into_iter().find(|vector| vector["name"] == "RSA of 3072 bits").unwrap();
    let good = PublicKey::from_spki_der(&bytes(&vector["key"])).unwrap();
    let numbers = &good.as_bytes()[4..];
    let (modulus, exponent) = numbers.split_at(numbers.len() - 5);
    let info = |key: &[u8]| tlv(0x30, &[&tlv(0x30, &[&oid("1.2.840.113549.1.1.1"), &[5, 0]]), &tlv(3, &[&[0], key])]);
    assert_eq!(PublicKey::from_spki_der(&info(&tlv(0x30, &[modulus, exponent]))), Ok(good.clone()));
    let long = |content: &[u8]| [&[0x30, 0x83, 0, (content.len() >> 8) as u8, content.len() as u8], content].concat();
    for (defect, key) in [
        ("a length of the exponent in two bytes", tlv(0x30, &[modulus, &[2, 0x81, 3, 1, 0, 1]])),
        ("a zero before the exponent", tlv(0x30, &[modulus, &[2, 4, 0, 1, 0, 1]])),
        ("a length of the modulus in four bytes", tlv(0x30, &[&[2, 0x83, 0], &modulus[2..], exponent])),
        ("a length of the whole in four bytes", long(numbers)),
        ("of no end", [&[0x30, 0x80], numbers, &[0, 0]].concat()),
    ] {
        let refusal = PublicKey::from_spki_der(&info(&key)).expect_err(defect).to_string();
        assert!(refusal.contains("not DER of an RSAPublicKey"), "{defect}: {refusal}");
    }
}

#[test]
fn a_statement_has_one_form_of_each_signature() {
    const N: &str = "ffffffff00000000ffffffffffffffffbce6faada7179e84f3b9cac2fc632551";
    const HALF_N: &str = "7fffffff800000007fffffffffffffffde737d56d38bcf4279dce5617e3192a8";
    const HALF_N_PLUS_1: &str = "7fffffff800000007fffffffffffffffde737d56d38bcf4279dce5617e3192a9";
    let value = |r: &str, s: &str| {
        let number = |hex_digits: &str| {
            let magnitude = hex::decode(hex_digits).unwrap();
            tlv(2, &[if magnitude[0] >= 0x80 { &[0] } else { &[] }, &magnitude])
        };
        tlv(0x30, &[&number(r), &number(s)])
    };
    let p256 = |r: &str, s: &str| Suite::EcdsaP256Sha256.is_canonical(&value(r, s));
    assert!(p256("01", HALF_N) && p256("01", "01"));
    for (r, s) in [("01", HALF_N_PLUS_1), ("00", "01"), ("01", "00"), (N, "01"), ("01", N)] {
        assert!(!p256(r, s), "r {r}, s {s}");
    }
    assert!(!Suite::EcdsaP384Sha384.is_canonical(&value("01", HALF_N_PLUS_1).repeat(2)));
    for (length, fits) in [(0, false), (383, false), (384, true), (385, true), (512, true), (513, false)] {
        assert_eq!(Suite::RsaPkcs1Sha384.is_canonical(&vec![1; length]), fits, "{length} bytes");
    }
}

#[test]
fn who_may_have_a_key_of_which_suite() {
    let city = City::new();
    let folder = tempfile::tempdir().unwrap();
    let keys = [Token::p256(folder.path()), Token::rsa_3072(folder.path()), Token::rsa_4096(folder.path())];
    let issue = |subject: &str, role: Role, purpose: KeyPurpose, key: &PublicKey| {
        let identity = identity(subject);
        let entity = EndEntity { identity: &identity, public_key: key, purpose, roles: &[role], server_names: &[] };
        issue_end_entity(&entity, &city.issuing, &city.issuing_key, &issuance(9)).map_err(|error| error.to_string())
    };
    let cases = [
        ("user/8c1", Role::Custodian, [None, None, None]),
        ("camera/102", Role::Camera, [None, Some("only people"), Some("only people")]),
        ("appliance/1", Role::Appliance, [Some("only cameras and people"), Some("only people"), Some("only people")]),
        ("authority/1", Role::Authority, [Some("only cameras and people"), Some("only people"), Some("only people")]),
    ];
    for (subject, role, refusals) in cases {
        for purpose in [KeyPurpose::Signing, KeyPurpose::Wrapping] {
            for (key, refusal) in keys.iter().zip(refusals) {
                let issued = issue(subject, role, purpose, key.public_key());
                let suite = key.public_key().suite();
                match (issued, refusal) {
                    (Ok(certificate), None) => {
                        assert_eq!((certificate.public_key(), certificate.purpose()), (key.public_key(), purpose));
                    }
                    (Err(error), Some(refusal)) => assert!(error.contains(refusal), "{subject}, {suite}: {error}"),
                    (issued, refusal) => panic!("{subject}, {suite}: {issued:?}, and not {refusal:?}"),
                }
            }
        }
    }
    for (key, refusal) in keys.iter().zip(["only cameras and people", "only people", "only people"]) {
        let authority = issue_issuing_ca("Lesser", key.public_key(), &[Role::Camera], &city.root, &city.root_key, &issuance(9));
        let error = authority.unwrap_err().to_string();
        assert!(error.contains(refusal), "an authority with {}: {error}", key.public_key().suite());
    }
}

#[test]
fn key_usage_is_that_of_the_kind_of_key() {
    let city = City::new();
    let folder = tempfile::tempdir().unwrap();
    const ENCIPHERMENT_USAGE: &[u8] = &[3, 2, 5, 0x20];
    let certificate = |key: &PublicKey, usage: &[u8]| {
        let mut forgery = Forgery::camera(&city).without(EXTENDED_USAGE).replace(KEY_USAGE, usage.to_vec());
        forgery = forgery.replace(ALTERNATIVE_NAME, uris(&["spiffe://city.example/user/8c1"]));
        forgery.public_key = key.to_spki_der();
        Certificate::from_der(&forgery.sign(&city.issuing_key)).map_err(|error| error.to_string())
    };
    let (p256, rsa, p384) = (Token::p256(folder.path()), Token::rsa_3072(folder.path()), key(3));
    for (key, usage, fits) in [
        (rsa.public_key(), ENCIPHERMENT_USAGE, true),
        (rsa.public_key(), AGREEMENT_USAGE, false),
        (p256.public_key(), AGREEMENT_USAGE, true),
        (p256.public_key(), ENCIPHERMENT_USAGE, false),
        (p384.public_key(), AGREEMENT_USAGE, true),
        (p384.public_key(), ENCIPHERMENT_USAGE, false),
    ] {
        match certificate(key, usage) {
            Ok(certificate) => assert!(fits && certificate.purpose() == KeyPurpose::Wrapping, "{} {usage:?}", key.suite()),
            Err(error) => assert!(!fits && error.contains("its key usage is not that of its kind of key"), "{} {error}", key.suite()),
        }
    }
    assert!(certificate(rsa.public_key(), &[3, 2, 3, 0x28]).is_err(), "encipherment and agreement in one");
}

#[test]
fn openssl_accepts_our_certificates_and_requests_of_every_suite() {
    let city = City::new();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path();
    fs::write(path.join("authorities.pem"), city.root.to_pem() + &city.issuing.to_pem()).unwrap();
    for token in [Token::p256(path), Token::rsa_3072(path), Token::rsa_4096(path)] {
        let identity = identity("user/8c1");
        let request = build_request_pem(&identity, &token).unwrap();
        fs::write(path.join("request.pem"), &request).unwrap();
        let verified = openssl(path, "req -in request.pem -verify -noout");
        assert!(verified.is_ok(), "{}: {verified:?}", token.public_key().suite());
        let request = CertificateRequest::from_pem(&request, &RustCrypto).unwrap();
        assert_eq!((request.public_key(), request.identity()), (token.public_key(), Some(&identity)));
        for purpose in [KeyPurpose::Signing, KeyPurpose::Wrapping] {
            let entity =
                EndEntity { identity: &identity, public_key: request.public_key(), purpose, roles: &[Role::Custodian], server_names: &[] };
            let certificate = issue_end_entity(&entity, &city.issuing, &city.issuing_key, &issuance(9)).unwrap();
            fs::write(path.join("certificate.pem"), certificate.to_pem()).unwrap();
            let moment = at(NOON).unix_s();
            let verified = openssl(path, &format!("verify -x509_strict -attime {moment} -CAfile authorities.pem certificate.pem"));
            assert!(verified.is_ok(), "{}: {verified:?}", token.public_key().suite());
        }
    }
}

#[test]
fn requests_of_openssl_are_taken_in_the_one_form_of_each_suite() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path();
    let request = |key: &str, hash: &str| {
        openssl(path, &format!("req -new -key {key} -{hash} -subj /CN=a -out request.pem")).unwrap();
        CertificateRequest::from_pem(&fs::read_to_string(path.join("request.pem")).unwrap(), &RustCrypto)
            .map(|request| request.public_key().clone())
    };
    let (p256, rsa) = (Token::p256(path), Token::rsa_3072(path));
    assert_eq!(request(&p256.file, "sha256").as_ref(), Ok(p256.public_key()));
    assert_eq!(request(&p256.file, "sha384"), Err(RequestError::Signature));
    assert_eq!(request(&rsa.file, "sha384").as_ref(), Ok(rsa.public_key()));
    assert_eq!(request(&rsa.file, "sha256"), Err(RequestError::Signature));
    let pss = "req -new -key rsa-3072.key.pem -sha384 -sigopt rsa_padding_mode:pss -subj /CN=a -out request.pem";
    openssl(path, pss).unwrap();
    let refused = CertificateRequest::from_pem(&fs::read_to_string(path.join("request.pem")).unwrap(), &RustCrypto);
    assert_eq!(refused.unwrap_err(), RequestError::Signature);
}

#[test]
fn what_a_token_signs_verifies_and_its_s_is_made_low() {
    let folder = tempfile::tempdir().unwrap();
    let tokens = [Token::p256(folder.path()), Token::rsa_3072(folder.path()), Token::rsa_4096(folder.path())];
    for token in &tokens {
        let suite = token.public_key().suite();
        // Of eight signatures on P-256 some have a high s before it is made low, but for one run in 256: no signature may be refused.
        for number in 0..8_u8 {
            let signature = token.sign(&[number]).unwrap();
            assert!(suite.is_canonical(&signature), "{suite}");
            for (name, verifier) in verifiers() {
                assert_eq!(verifier.verify(token.public_key(), &[number], &signature), Ok(()), "{suite}: {name}");
                for other in tokens.iter().filter(|other| other.public_key() != token.public_key()) {
                    assert!(verifier.verify(other.public_key(), &[number], &signature).is_err(), "{suite}: {name}");
                }
            }
        }
    }
}

/// A device that answers nonsense.
struct Broken(PublicKey, Vec<u8>);

impl Signer for Broken {
    fn public_key(&self) -> &PublicKey {
        &self.0
    }
    fn sign_digest(&self, _: &[u8]) -> Result<Vec<u8>, SignerError> {
        Ok(self.1.clone())
    }
}

/// What a fault in one half of the Chinese remainder theorem gives would factor the modulus for everybody who reads the statement.
#[test]
fn a_wrong_signature_of_a_device_does_not_leave() {
    let folder = tempfile::tempdir().unwrap();
    let (p256, rsa) = (Token::p256(folder.path()), Token::rsa_3072(folder.path()));
    let good = rsa.sign_digest(&Suite::RsaPkcs1Sha384.digest(b"x")).unwrap();
    let mut faulty = good.clone();
    faulty[200] ^= 1;
    assert!(Broken(rsa.public_key().clone(), good.clone()).sign(b"x").is_ok());
    for answer in [faulty, good[1..].to_vec(), vec![]] {
        assert!(Broken(rsa.public_key().clone(), answer).sign(b"x").is_err());
    }
    assert!(Broken(rsa.public_key().clone(), good).sign(b"y").is_err());
    for answer in [vec![0; 64], vec![0xff; 64], vec![1; 96], vec![1; 63], vec![]] {
        assert!(Broken(p256.public_key().clone(), answer).sign(b"x").is_err());
    }
}

fn oaep(folder: &Path, key: &str, options: &str) -> Result<Vec<u8>, String> {
    let given = format!("pkeyutl -decrypt -inkey {key} -in encrypted -out decrypted -pkeyopt rsa_padding_mode:oaep {options}");
    openssl(folder, &given)?;
    Ok(fs::read(folder.join("decrypted")).unwrap())
}

#[test]
fn openssl_decrypts_what_is_encrypted_with_oaep() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path();
    let sha_256 = "-pkeyopt rsa_oaep_md:sha256 -pkeyopt rsa_mgf1_md:sha256";
    for token in [Token::rsa_3072(path), Token::rsa_4096(path)] {
        for message in [&[7; 32][..], &[], &[1; 64]] {
            let encrypted = token.public_key().encrypt_oaep_sha256(message, &Zeroizing::new([5; 32])).unwrap();
            fs::write(path.join("encrypted"), encrypted).unwrap();
            assert_eq!(oaep(path, &token.file, sha_256).as_deref(), Ok(message));
            for others in ["", "-pkeyopt rsa_oaep_md:sha256 -pkeyopt rsa_mgf1_md:sha1", &format!("{sha_256} -pkeyopt rsa_oaep_label:61")] {
                assert!(oaep(path, &token.file, others).is_err(), "it opens with {others:?}");
            }
        }
        assert_eq!(token.public_key().encrypt_oaep_sha256(&[1; 65], &Zeroizing::new([5; 32])), None);
    }
    let seeds = [5, 6].map(|seed| Token::rsa_3072(path).public_key().encrypt_oaep_sha256(b"x", &Zeroizing::new([seed; 32])));
    assert_ne!(seeds[0], seeds[1], "the seed was not used");
    assert_eq!(key(1).public_key().encrypt_oaep_sha256(b"x", &Zeroizing::new([5; 32])), None);
    assert_eq!(Token::p256(path).public_key().encrypt_oaep_sha256(b"x", &Zeroizing::new([5; 32])), None);
}

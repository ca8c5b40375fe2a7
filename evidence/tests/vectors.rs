//! Golden vectors: what was written and signed once is written and signed the same for ever.
//!
//! `EXHIBIT_WRITE_VECTORS=1 cargo test -p exhibit-evidence --test vectors` writes those of the signature anew, for when the format changes.

#![allow(clippy::unwrap_used)]

use std::{collections::BTreeSet, env, fs, path::PathBuf};

use common::{P256Key, Pki, token::Token};
use exhibit_evidence::{
    Body, SignedStatement, Statement, body,
    log_lines::{self, LogLine},
    sign,
};
use exhibit_pki::{Certificate, Identity, KeyPurpose, Role, RustCrypto, Signer, Suite};

mod common;

fn vector(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/vectors").join(name)
}

#[test]
fn statements_of_every_type_are_read_and_written_as_ever() {
    let lines = fs::read_to_string(vector("statements.jsonl")).unwrap();
    let mut types = BTreeSet::new();
    for line in lines.lines() {
        let statement = Statement::parse(line.as_bytes()).unwrap();
        assert_eq!(String::from_utf8(statement.to_bytes()).unwrap(), line);
        if !matches!(statement.body, Body::Unknown { .. }) {
            types.insert(statement.type_name().to_owned());
        }
    }
    let known: BTreeSet<_> = Body::TYPES.iter().map(|name| (*name).to_owned()).collect();
    assert_eq!(types, known, "a type has no vector");
}

/// The worked examples of docs/formats/statement.md and attestation.md, by the values that stand there.
#[test]
fn the_pages_say_what_the_code_does() {
    let page = |name: &str| fs::read_to_string(PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../docs/formats").join(name)).unwrap();
    let lines = [LogLine { salt: [1; 32], text: "a" }, LogLine { salt: [2; 32], text: "b" }];
    assert!(page("statement.md").contains(&format!("root     {}\n", log_lines::root(&lines))));
    let content = hex::encode(log_lines::encode(&lines).unwrap());
    let shown = page("statement.md").split("content  ").nth(1).unwrap().split("root ").next().unwrap().replace([' ', '\n'], "");
    assert_eq!(shown, content);

    let attestation = page("attestation.md");
    let vectors = fs::read_to_string(vector("statements.jsonl")).unwrap();
    let attested = vectors.lines().find(|line| line.contains("attestation/v1")).unwrap();
    let qualifying = body::attestation_qualifying_data(&Statement::parse(attested.as_bytes()).unwrap());
    assert!(attestation.contains(&format!("`{}`", hex::encode(qualifying))));
    let started = vectors.lines().filter(|line| line.contains("start/v1")).nth(1).unwrap();
    let qualifying = body::start_qualifying_data(&Statement::parse(started.as_bytes()).unwrap());
    assert!(attestation.contains(&format!("`{}`", hex::encode(qualifying))), "{}", hex::encode(qualifying));
    let camera = Identity::parse("spiffe://city.example/camera/102").unwrap();
    assert!(attestation.contains(&format!("`{}`", hex::encode(body::enrolment_qualifying_data(&[0xcc; 32], &camera)))));
}

/// A statement of each suite, in the folder of its name: a camera's two, whose signatures are those of RFC 6979, and a person's by a card.
fn signed_in_each_suite() -> Vec<(&'static str, Certificate, SignedStatement)> {
    let pki = Pki::new();
    let camera = pki.camera();
    let p256 = P256Key::new(3);
    let p256_camera = pki.certify("camera/102", &[Role::Camera], KeyPurpose::Signing, 4, p256.public_key());
    let folder = tempfile::tempdir().unwrap();
    let card = Token::rsa_3072(folder.path());
    let person = pki.certify("user/7f3a", &[Role::Custodian], KeyPurpose::Signing, 5, card.public_key());
    let segment = common::segment_statement();
    // Of a type that no version changes.
    let weather = common::statement("user/7f3a/1", common::unknown());
    let signed = |statement: &Statement, certificate: &Certificate, key: &dyn Signer| sign(statement, certificate, key).unwrap();
    vec![
        ("signed-statement", camera.certificate.clone(), signed(&segment, &camera.certificate, &camera.key)),
        ("signed-statement-p256", p256_camera.clone(), signed(&segment, &p256_camera, &p256)),
        ("signed-statement-rsa", person.clone(), signed(&weather, &person, &card)),
    ]
}

#[test]
fn statements_are_signed_as_ever() {
    for (folder, certificate, signed) in signed_in_each_suite() {
        compare(folder, &certificate, &signed);
    }
}

fn compare(folder: &str, certificate: &Certificate, signed: &SignedStatement) {
    let pki = Pki::new();
    let hex: Vec<String> = signed.der().chunks(64).map(hex::encode).collect();
    let files = [
        ("root.pem", pki.root.to_pem()),
        ("issuing.pem", pki.issuing.to_pem()),
        ("signer.pem", certificate.to_pem()),
        ("statement.json", String::from_utf8(signed.statement_bytes().to_vec()).unwrap()),
        ("entry.hex", hex.join("\n") + "\n"),
        ("leaf.hex", format!("{}\n", signed.leaf_hash())),
    ];
    for (name, content) in files {
        let path = vector(folder).join(name);
        if env::var_os("EXHIBIT_WRITE_VECTORS").is_some() {
            fs::create_dir_all(vector(folder)).unwrap();
            fs::write(&path, &content).unwrap();
        }
        assert_eq!(fs::read_to_string(&path).unwrap(), content, "{folder}/{name} is not what it was");
    }
}

#[test]
fn what_was_signed_once_verifies() {
    let folders = [
        ("signed-statement", Suite::EcdsaP384Sha384),
        ("signed-statement-p256", Suite::EcdsaP256Sha256),
        ("signed-statement-rsa", Suite::RsaPkcs1Sha384),
    ];
    for (folder, suite) in folders {
        let read = |name: &str| fs::read_to_string(vector(folder).join(name)).unwrap();
        let entry = hex::decode(read("entry.hex").replace('\n', "")).unwrap();
        let signed = SignedStatement::parse(&entry).unwrap();
        assert_eq!(signed.suite(), suite);
        assert_eq!(signed.statement_bytes(), read("statement.json").as_bytes());
        assert_eq!(format!("{}\n", signed.leaf_hash()), read("leaf.hex"));
        let certificate = Certificate::from_pem(&read("signer.pem")).unwrap();
        signed.verify(&certificate, &RustCrypto).unwrap();
    }
}

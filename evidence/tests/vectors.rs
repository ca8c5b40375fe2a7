//! Golden vectors: what was written and signed once is written and signed the same for ever.
//!
//! `EXHIBIT_WRITE_VECTORS=1 cargo test -p exhibit-evidence --test vectors` writes those of the signature anew, for when the format changes.

#![allow(clippy::unwrap_used)]

use std::{collections::BTreeSet, env, fs, path::PathBuf};

use common::Pki;
use exhibit_evidence::{
    Body, SignedStatement, Statement, body,
    log_lines::{self, LogLine},
    sign,
};
use exhibit_pki::{Certificate, Identity, signature::RustCrypto};

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
    let camera = Identity::parse("spiffe://city.example/camera/102").unwrap();
    assert!(attestation.contains(&format!("`{}`", hex::encode(body::enrolment_qualifying_data(&[0xcc; 32], &camera)))));
}

#[test]
fn a_statement_is_signed_as_ever() {
    let pki = Pki::new();
    let camera = pki.camera();
    let signed = sign(&common::segment_statement(), &camera.certificate, &camera.key).unwrap();
    let hex: Vec<String> = signed.der().chunks(64).map(hex::encode).collect();
    let files = [
        ("root.pem", pki.root.to_pem()),
        ("issuing.pem", pki.issuing.to_pem()),
        ("signer.pem", camera.certificate.to_pem()),
        ("statement.json", String::from_utf8(signed.statement_bytes().to_vec()).unwrap()),
        ("entry.hex", hex.join("\n") + "\n"),
        ("leaf.hex", format!("{}\n", signed.leaf_hash())),
    ];
    for (name, content) in files {
        let path = vector("signed-statement").join(name);
        if env::var_os("EXHIBIT_WRITE_VECTORS").is_some() {
            fs::write(&path, &content).unwrap();
        }
        assert_eq!(fs::read_to_string(&path).unwrap(), content, "{name} is not what it was");
    }
}

#[test]
fn what_was_signed_once_verifies() {
    let read = |name: &str| fs::read_to_string(vector("signed-statement").join(name)).unwrap();
    let entry = hex::decode(read("entry.hex").replace('\n', "")).unwrap();
    let signed = SignedStatement::parse(&entry).unwrap();
    assert_eq!(signed.statement_bytes(), read("statement.json").as_bytes());
    assert_eq!(format!("{}\n", signed.leaf_hash()), read("leaf.hex"));
    let certificate = Certificate::from_pem(&read("signer.pem")).unwrap();
    signed.verify(&certificate, &RustCrypto).unwrap();
}

//! Who is revoked is so on the ledger before any list says it, and `openssl` reads the lists.
#![allow(clippy::unwrap_used)]

mod support;

use std::fs;
use std::process::{Command, Output};

use exhibit_evidence::{AttachmentRef, Body, body::CertificateRevocation};
use exhibit_pki::crl::RevocationReason;
use support::Manner;
use support::city::{City, certificate, code, program};

const CAMERA: &str = "camera.pem";

/// A city with two cameras.
fn city() -> City {
    let city = City::new();
    assert_eq!(code(&city.sign("camera.csr", CAMERA)), 0);
    assert_eq!(code(&city.sign("other.csr", "other.pem")), 0);
    city
}

fn revoke(city: &City, more: &str) -> Output {
    let ledger = format!("--appliance {} --anchor anchor.json", city.ledger.address);
    program(&city.folder, &format!("--json revoke --dir ca {more} {ledger}"))
}

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&[output.stdout.as_slice(), &output.stderr].concat()).into_owned()
}

/// The revocations on the ledger, in order.
fn revoked(city: &City) -> Vec<CertificateRevocation> {
    let entries = city.ledger.entries();
    let revocation = |body: &Body| if let Body::CertificateRevocation(body) = body { Some(body.clone()) } else { None };
    entries.iter().filter_map(|entry| revocation(&entry.statement().body)).collect()
}

fn openssl(city: &City, arguments: &str) -> (bool, String) {
    let output = Command::new("openssl").args(arguments.split(' ')).current_dir(city.folder.path()).output().unwrap();
    (output.status.success(), said(&output))
}

#[test]
fn what_is_revoked_is_on_the_ledger_and_openssl_refuses_it() {
    let city = city();
    let done = revoke(&city, "--certificate camera.pem --reason key-compromise --since 2026-11-20T12:00:00Z --out public.crl");
    assert_eq!(code(&done), 0, "{}", said(&done));
    let camera = certificate(&city.folder, CAMERA);
    let stated = revoked(&city);
    let list_der = fs::read(city.folder.path().join("public.crl")).unwrap();
    assert_eq!(stated.len(), 1);
    assert_eq!((stated[0].fingerprint, stated[0].reason), (*camera.fingerprint(), Some(RevocationReason::KeyCompromise)));
    assert_eq!(stated[0].since.to_string(), "2026-11-20T12:00:00.000Z");
    assert_eq!(stated[0].attachments, [AttachmentRef::of("crl", &list_der, false)], "the list on the ledger is the one that is given out");
    assert_eq!(fs::read(city.folder.path().join("ca/issuing.crl")).unwrap(), list_der);

    // Another's reader of lists.
    assert!(openssl(&city, "crl -inform DER -in public.crl -out list.pem").0);
    let verify = "verify -crl_check -no_check_time -CAfile ca/root.pem -untrusted ca/chain.pem -CRLfile list.pem";
    let (is_good, told) = openssl(&city, &format!("{verify} camera.pem"));
    assert!(!is_good && told.contains("certificate revoked"), "{told}");
    let (is_good, told) = openssl(&city, &format!("{verify} other.pem"));
    assert!(is_good, "{told}");
    let (_, text) = openssl(&city, "crl -in list.pem -noout -text");
    for word in ["Key Compromise", "Invalidity Date", "Nov 20 12:00:00 2026 GMT"] {
        assert!(text.contains(word), "{word}: {text}");
    }

    // A later list has both, and a higher number.
    assert_eq!(code(&revoke(&city, "--certificate other.pem --reason cessation-of-operation")), 0);
    assert_eq!(code(&program(&city.folder, "crl --dir ca --days 30 --out public.crl")), 0);
    let (_, text) = openssl(&city, "crl -inform DER -in public.crl -noout -text");
    assert_eq!(text.matches("Serial Number:").count(), 2, "{text}");
    assert!(text.contains("X509v3 CRL Number: \n                3"), "{text}");
}

#[test]
fn nothing_is_on_a_list_that_is_not_on_the_ledger() {
    let city = city();
    city.ledger.behave(Manner::Refuse);
    let refused = revoke(&city, "--certificate camera.pem --reason key-compromise");
    assert!(code(&refused) == 1 && said(&refused).contains("nothing is revoked"), "{}", said(&refused));
    assert!(!city.exists("ca/issuing.crl"), "a list was given out");
    assert_eq!(code(&program(&city.folder, "crl --dir ca --out public.crl")), 0);
    let (_, text) = openssl(&city, "crl -inform DER -in public.crl -noout -text");
    assert!(text.contains("No Revoked Certificates"), "{text}");

    // Cut short, it is finished by the same command.
    city.ledger.behave(Manner::AdmitAndDie);
    assert_eq!(code(&revoke(&city, "--certificate camera.pem --reason key-compromise")), 2);
    assert_eq!(code(&program(&city.folder, "crl --dir ca --out public.crl")), 0);
    let (_, text) = openssl(&city, "crl -inform DER -in public.crl -noout -text");
    assert!(text.contains("No Revoked Certificates"), "what may not be on the ledger is on a list: {text}");
    let told = program(&city.folder, "crl --dir ca");
    assert!(said(&told).contains("NOT ON IT"), "nobody is told: {}", said(&told));
    city.ledger.behave(Manner::Honest);
    let done = revoke(&city, "--certificate camera.pem --reason key-compromise");
    assert_eq!(code(&done), 0, "{}", said(&done));
    assert_eq!(revoked(&city).len(), 1, "it is stated twice");
    let (_, text) = openssl(&city, "crl -inform DER -in ca/issuing.crl -noout -text");
    assert_eq!(text.matches("Serial Number:").count(), 1, "{text}");
}

/// Whatever command delivers it: from then on it is on every list.
#[test]
fn what_another_command_delivers_is_on_the_next_list() {
    for manner in [Manner::AdmitAndDie, Manner::Overloaded, Manner::Rate] {
        let city = city();
        city.ledger.behave(manner);
        let cut = revoke(&city, "--certificate camera.pem --reason key-compromise");
        assert!(code(&cut) == 2 && said(&cut).contains("again to finish it"), "{}", said(&cut));
        city.ledger.behave(Manner::Honest);
        assert_eq!(code(&city.sign("camera.csr", "again.pem")), 0);
        assert_eq!(revoked(&city).len(), 1);
        assert_eq!(code(&program(&city.folder, "crl --dir ca")), 0);
        let (_, text) = openssl(&city, "crl -inform DER -in ca/issuing.crl -noout -text");
        assert_eq!(text.matches("Serial Number:").count(), 1, "a list hides who is revoked: {text}");
    }
}

#[test]
fn what_can_not_be_revoked_is_told_and_changes_nothing() {
    let (city, other) = (city(), city());
    fs::copy(other.folder.path().join(CAMERA), city.folder.path().join("strangers.pem")).unwrap();
    assert_eq!(code(&revoke(&city, "--certificate camera.pem --reason superseded --since 2026-11-20T12:00:00Z")), 0);
    let before = city.ledger.entries().len();
    for (words, exit, reason) in [
        ("--certificate strangers.pem --reason key-compromise", 1, "has not issued it"),
        ("--certificate ca/authority.pem --reason key-compromise", 1, "has not issued it"),
        ("--certificate other.pem --reason key-compromise --since 2099-01-01T00:00:00Z", 1, "has not come yet"),
        ("--certificate camera.pem --reason key-compromise", 0, "2026-11-20T12:00:00.000Z"),
        ("--certificate other.pem --reason certificate-hold", 64, "it is one of"),
        ("--certificate other.pem --reason stolen", 64, "it is one of unspecified, key-compromise"),
        ("--certificate anchor.json --reason key-compromise", 2, "anchor.json"),
    ] {
        let output = revoke(&city, words);
        assert!(code(&output) == exit && said(&output).contains(reason), "{words}: {}", said(&output));
    }
    assert_eq!(city.ledger.entries().len(), before);
    // Earlier than was thought.
    let earlier = revoke(&city, "--certificate camera.pem --reason key-compromise --since 2026-11-19T12:00:00Z");
    assert_eq!(code(&earlier), 0, "{}", said(&earlier));
    let (_, text) = openssl(&city, "crl -inform DER -in ca/issuing.crl -noout -text");
    assert!(text.matches("Serial Number:").count() == 1 && text.contains("Nov 19 12:00:00 2026 GMT"), "{text}");
}

#[test]
fn a_record_that_is_damaged_makes_nobody_good_again() {
    let city = city();
    assert_eq!(code(&revoke(&city, "--certificate camera.pem --reason key-compromise")), 0);
    let (path, lists) = (city.folder.path().join("ca/revoked.json"), fs::read(city.folder.path().join("ca/issuing.crl")).unwrap());
    let record = fs::read_to_string(&path).unwrap();
    for damaged in [
        String::new(),
        record.replace("exhibit-revoked/v1", "exhibit-revoked/v2"),
        record.replace("key-compromise", "key-compromised"),
        record.replace("\"stated\": true", "\"stated\": true, \"more\": 1"),
        record.replace("\"serial\": \"", "\"serial\": \"x"),
    ] {
        assert_ne!(damaged, record);
        fs::write(&path, &damaged).unwrap();
        let refused = program(&city.folder, "crl --dir ca");
        assert!(code(&refused) == 2 && said(&refused).contains("revoked.json"), "{}", said(&refused));
        assert_ne!(code(&revoke(&city, "--certificate other.pem --reason superseded")), 0);
    }
    assert_eq!(fs::read(city.folder.path().join("ca/issuing.crl")).unwrap(), lists);
}

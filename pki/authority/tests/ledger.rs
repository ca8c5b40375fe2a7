//! A certificate is on the ledger before it is in anybody's hands, whatever is cut short.
#![allow(clippy::unwrap_used)]

mod support;

use std::fs;

use exhibit_evidence::{AttachmentRef, Body};
use exhibit_pki::RustCrypto;
use exhibit_tlog::Hash;
use support::Manner;
use support::city::{City, certificate, code, request};

#[test]
fn the_authority_introduces_itself_and_then_each_certificate() {
    let city = City::new();
    let output = city.sign("camera.csr", "camera.pem");
    assert_eq!(code(&output), 0, "{}", String::from_utf8_lossy(&output.stderr));
    assert!(String::from_utf8_lossy(&output.stdout).contains("\"index\":1"));
    assert_eq!(code(&city.sign("other.csr", "other.pem")), 0);
    let [authority, issuing, root, camera, other] =
        ["ca/authority.pem", "ca/issuing.pem", "ca/root.pem", "camera.pem", "other.pem"].map(|name| certificate(&city.folder, name));
    assert_eq!(city.introduced(), [*authority.fingerprint(), *camera.fingerprint(), *other.fingerprint()]);
    let entries = city.ledger.entries();
    let mut prev = Hash::default();
    for (seq, entry) in entries.iter().enumerate() {
        entry.verify(&authority, &RustCrypto).unwrap();
        let statement = entry.statement();
        assert_eq!((statement.seq, statement.prev, statement.log), (seq as u64, prev, city.ledger.anchor.log));
        assert_eq!(statement.stream, entries[0].statement().stream);
        assert_eq!(statement.observed.size, seq as u64, "what was verified before was not observed");
        prev = entry.leaf_hash();
    }
    assert!(entries[0].statement().stream.as_str().starts_with("authority/1/"));
    let first = [("certificate", &authority), ("issuer-0", &issuing), ("issuer-1", &root)];
    let first = first.map(|(name, certificate)| AttachmentRef::of(name, certificate.der(), false));
    assert_eq!(entries[0].statement().body.attachments(), first);
    assert_eq!(entries[1].statement().body.attachments(), [AttachmentRef::of("certificate", camera.der(), false)]);
    assert_eq!(city.ledger.attachments()[0], [authority.der(), issuing.der(), root.der()].concat());
    assert_eq!(city.ledger.attachments()[1], camera.der());
}

#[test]
fn an_answer_that_was_lost_makes_no_second_certificate() {
    let city = City::new();
    assert_eq!(code(&city.sign("other.csr", "other.pem")), 0);
    city.ledger.behave(Manner::AdmitAndDie);
    assert_eq!(code(&city.sign("camera.csr", "camera.pem")), 2);
    assert!(!city.exists("camera.pem"), "a certificate was given out without a receipt");
    city.ledger.behave(Manner::Honest);
    let output = city.sign("camera.csr", "camera.pem");
    assert_eq!(code(&output), 0, "{}", String::from_utf8_lossy(&output.stderr));
    assert_eq!(city.introduced().len(), 3, "the same request was certified twice");
    assert_eq!(city.introduced()[2], *certificate(&city.folder, "camera.pem").fingerprint());
    let sent = city.ledger.sent();
    assert!(sent[2..].iter().all(|statement| *statement == sent[2]), "it was signed anew for the same place in the chain");
    // Once it is delivered, the same request gets a new certificate: that is a renewal.
    assert_eq!(code(&city.sign("camera.csr", "renewed.pem")), 0);
    assert_eq!(city.introduced().len(), 4);
}

/// A camera whose board was changed has another key. That is a matter for custodians, and the entry says in whose place it comes.
#[test]
fn another_key_says_what_it_replaces_and_what_is_to_be_approved() {
    let city = City::new();
    assert_eq!(code(&city.sign("camera.csr", "camera.pem")), 0);
    request(&city.folder, "board.csr", "camera/102", 6);
    let output = city.sign("board.csr", "board.pem --replaces camera.pem");
    assert_eq!(code(&output), 0, "{}", String::from_utf8_lossy(&output.stderr));
    let entry = &city.ledger.entries()[2];
    let Body::Certificate(body) = &entry.statement().body else { panic!("the authority stated something else") };
    assert_eq!(body.replaces, Some(*certificate(&city.folder, "camera.pem").fingerprint()));
    assert!(String::from_utf8_lossy(&output.stdout).contains(&format!("\"leaf\":\"{}\"", entry.leaf_hash())));
    let refusals = [
        ("other.csr", "camera.pem", "another holder"),
        ("camera.csr", "camera.pem", "the same key"),
        ("board.csr", "board.csr", "board.csr"),
    ];
    for (request, replaced, reason) in refusals {
        let output = city.sign(request, &format!("refused.pem --replaces {replaced}"));
        assert_ne!(code(&output), 0, "{reason}");
        assert!(String::from_utf8_lossy(&output.stderr).contains(reason), "{}", String::from_utf8_lossy(&output.stderr));
        assert!(!city.exists("refused.pem"));
    }
    assert_eq!(city.introduced().len(), 3);
}

#[test]
fn an_introduction_that_was_cut_short_is_sent_again_first() {
    let city = City::new();
    city.ledger.behave(Manner::AdmitAndDie);
    assert_eq!(code(&city.sign("camera.csr", "camera.pem")), 2);
    city.ledger.behave(Manner::Honest);
    assert_eq!(code(&city.sign("camera.csr", "camera.pem")), 0);
    let authority = certificate(&city.folder, "ca/authority.pem");
    assert_eq!(city.introduced(), [*authority.fingerprint(), *certificate(&city.folder, "camera.pem").fingerprint()]);
}

#[test]
fn another_request_does_not_get_the_unfinished_certificate() {
    let city = City::new();
    assert_eq!(code(&city.sign("other.csr", "other.pem")), 0);
    city.ledger.behave(Manner::AdmitAndDie);
    assert_eq!(code(&city.sign("camera.csr", "camera.pem")), 2);
    city.ledger.behave(Manner::Honest);
    assert_eq!(code(&city.sign("other.csr", "again.pem")), 0);
    let again = certificate(&city.folder, "again.pem");
    assert_eq!(again.identity().unwrap().subject.to_string(), "camera/103");
    assert_eq!(city.introduced().len(), 4);
}

#[test]
fn a_refusal_and_a_false_receipt_leave_no_certificate() {
    let city = City::new();
    assert_eq!(code(&city.sign("other.csr", "other.pem")), 0);
    for manner in [Manner::Refuse, Manner::FalseReceipt] {
        city.ledger.behave(manner);
        assert_eq!(code(&city.sign("camera.csr", "camera.pem")), 2);
        assert!(!city.exists("camera.pem"));
    }
    city.ledger.behave(Manner::Honest);
    assert_eq!(code(&city.sign("camera.csr", "camera.pem")), 0);
    assert_eq!(city.introduced().len(), 3);
}

#[test]
fn the_ledger_of_another_city_is_told_nothing() {
    let (here, there) = (City::new(), City::new());
    let anchor = fs::read(there.folder.path().join("anchor.json")).unwrap();
    fs::write(here.folder.path().join("anchor.json"), anchor).unwrap();
    let output = here.sign("camera.csr", "camera.pem");
    assert_eq!(code(&output), 2);
    let reason = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(reason.contains("does not trust this authority's root"), "the operator is not told what is wrong: {reason}");
    assert!(here.ledger.sent().is_empty() && !here.exists("camera.pem"));
    assert_eq!(fs::read_dir(here.folder.path().join("ca/issued")).unwrap().count(), 1, "only the appliance's was issued");
}

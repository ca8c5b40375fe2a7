//! Anchors and pins: what they say is read again, and what is not exactly one is refused with the error that it must give.

#![allow(clippy::unwrap_used)]

use common::{NOT_AFTER, NOT_BEFORE, Pki, key, time};
use exhibit_evidence::anchor::{AnchorPolicy, DeviceLevel, PinnedCustodians, TimestampAuthorityTrust, WitnessPolicy};
use exhibit_evidence::verdict::Axis;
use exhibit_evidence::{Anchor, Pin};
use exhibit_pki::issue::{Issuance, issue_root};
use exhibit_pki::{Certificate, ChainCertificate, KeyPurpose, Role, TrustDomain};
use exhibit_tlog::{Ed25519Cosigner, Ed25519NoteSigner, Hash, LogVerifier, MlDsa44NoteSigner, NoteSigner, VerifierKey};
use zeroize::Zeroizing;

mod common;

const ORIGIN: &str = "exhibit.example/log";

fn anchor() -> Anchor {
    let ed25519 = Ed25519NoteSigner::new(ORIGIN, &Zeroizing::new([1; 32])).unwrap();
    let ml_dsa = MlDsa44NoteSigner::new(ORIGIN, &Zeroizing::new([2; 32])).unwrap();
    let keys = vec![ed25519.verifier_key().clone(), ml_dsa.verifier_key().clone()];
    Anchor {
        log: Hash([0x11; 32]),
        verifier: LogVerifier { origin: ORIGIN.to_owned(), keys },
        roots: vec![Pki::new().root],
        policy: Default::default(),
    }
}

fn pin() -> Pin {
    let pki = Pki::new();
    let custodian = |id: &str, scalar| pki.party(id, &[Role::Custodian], KeyPurpose::Signing, scalar).certificate;
    Pin { anchor: anchor(), custodians: vec![custodian("user/7f3a", 6), custodian("user/51d0", 7)], threshold: 2 }
}

#[test]
fn what_is_written_is_read_again() {
    assert_eq!(Anchor::parse(anchor().to_json().as_bytes()), Ok(anchor()));
    assert_eq!(Pin::parse(pin().to_json().as_bytes()), Ok(pin()));
}

fn spoil(good: &str, from: &str, to: &str) -> String {
    assert!(good.contains(from), "{from} stands in the good one");
    good.replacen(from, to, 1)
}

#[test]
fn hostile_anchors_are_refused() {
    let good = anchor().to_json();
    let pki = Pki::new();
    let pem = |pem: String| serde_json::to_string(&pem).unwrap();
    let root = pem(pki.root.to_pem());
    let other_city = pem(root_of("other.example").to_pem());
    let camera = pem(pki.camera().certificate.to_pem());
    let key = serde_json::to_string(&anchor().verifier.keys[0].to_string()).unwrap();
    let witness = Ed25519Cosigner::new(ORIGIN, &Zeroizing::new([3; 32])).unwrap();
    let witness = serde_json::to_string(&witness.verifier_key().to_string()).unwrap();
    let cases = [
        ("a_pin", spoil(&good, "exhibit-anchor/v1", "exhibit-pin/v1"), "type is none of the words"),
        ("duplicate_member", spoil(&good, "{", r#"{"origin":"x","#), "member \"origin\" stands twice"),
        ("unknown_member", spoil(&good, "{", r#"{"note":1,"#), "\"note\" is unknown"),
        ("log_zeros", spoil(&good, &"1".repeat(64), &"0".repeat(64)), "log is zeros, which is no log"),
        ("origin_with_space", spoil(&good, ORIGIN, "exhibit log"), "origin is empty, too long or has characters"),
        (
            "no_keys",
            format!("{}{}", good.split(r#""keys""#).next().unwrap(), format_args!(r#""keys":[],"roots":[{root}]}}"#)),
            "keys does not have",
        ),
        ("key_twice", spoil(&good, &key, &format!("{key},{key}")), "keys names one twice"),
        ("key_of_a_witness", spoil(&good, &key, &witness), "keys.0 is the key of a witness"),
        ("key_spoilt", spoil(&good, &key, &key.replace('+', "-")), "keys.0 is not a verifier key"),
        ("root_twice", spoil(&good, &root, &format!("{root},{root}")), "roots names one twice"),
        ("no_roots", spoil(&good, &root, ""), "roots does not have 1 to 16 items"),
        ("root_of_another_trust_domain", spoil(&good, &root, &format!("{root},{other_city}")), "roots are of several trust domains"),
        ("root_that_is_a_camera", spoil(&good, &root, &camera), "roots.0 is a certificate for something else"),
        ("root_of_two_certificates", spoil(&good, &root, &pem(pki.root.to_pem() + &pki.issuing.to_pem())), "roots.0 is not"),
        ("too_long", format!("{good}{}", " ".repeat(256 * 1024)), "it is longer than 256 KiB"),
    ];
    for (defect, json, expected) in cases {
        let refusal = Anchor::parse(json.as_bytes()).unwrap_err().to_string();
        assert!(refusal.starts_with(&format!("not an anchor: {expected}")), "{defect}: expected `{expected}`, got `{refusal}`");
    }
    let renewed = pem(root_of("city.example").to_pem());
    let two_roots = spoil(&good, &root, &format!("{root},{renewed}"));
    assert_eq!(Anchor::parse(two_roots.as_bytes()).map(|anchor| anchor.roots.len()), Ok(2), "two roots of one trust domain are allowed");
    assert!(Anchor::parse(format!("{good}{}", " ".repeat(256 * 1024 - good.len())).as_bytes()).is_ok(), "256 KiB are allowed");
}

fn root_of(domain: &str) -> Certificate {
    let issuance = Issuance { not_before: time(NOT_BEFORE), not_after: time(NOT_AFTER), serial: [9; 16] };
    issue_root("Second Root", &TrustDomain::parse(domain).unwrap(), &key(9), &issuance).unwrap()
}

/// P-384's base point, as the key of a log's TPM.
fn tpm_key(origin: &str) -> VerifierKey {
    const INFO: &str = "3076301006072a8648ce3d020106052b8104002203620004aa87ca22be8b05378eb1c71ef320ad746e1d3b628ba79b9859f741e082542a38\
                        5502f25dbf55296c3a545e3872760ab73617de4a96262c6f5d9e98bf9292dc29f8f41dbd289a147ce9da3113b5f0b8c00a60b1ce1d7e819d7a\
                        431d7c90ea0e5f";
    VerifierKey::ecdsa(origin, &hex::decode(INFO).unwrap()).unwrap()
}

/// An anchor with every optional member.
fn demanding() -> Anchor {
    let witness = Ed25519Cosigner::new("w.example", &Zeroizing::new([3; 32])).unwrap();
    let text = format!("witness w {}\nquorum w\n", witness.verifier_key());
    let mut anchor = anchor();
    let custodians = pin().custodians;
    anchor.policy = AnchorPolicy {
        witnesses: Some(WitnessPolicy::parse(&text, &anchor.verifier).unwrap()),
        timestamp_authorities: vec![TimestampAuthorityTrust {
            name: "Notary time".to_owned(),
            independent: true,
            certificate: ChainCertificate::from_der(Pki::new().root.der()).unwrap(),
        }],
        custodians: Some(PinnedCustodians { certificates: custodians, threshold: 2 }),
        device: Some(DeviceLevel::AllowListed),
        endorsement_roots: vec![ChainCertificate::from_der(Pki::new().issuing.der()).unwrap()],
        tpm_key: Some(tpm_key(&anchor.verifier.origin)),
        demands: vec![Axis::Time, Axis::Witness, Axis::Revocation, Axis::Device],
    };
    anchor
}

#[test]
fn what_an_anchor_demands_is_read_again() {
    let json = demanding().to_json();
    assert_eq!(Anchor::parse(json.as_bytes()), Ok(demanding()));
    assert_eq!(Anchor::parse(anchor().to_json().as_bytes()).unwrap().policy, AnchorPolicy::default(), "an old anchor demands nothing");
}

#[test]
fn time_may_be_demanded_of_witnesses_alone_and_of_an_independent_authority_alone() {
    let mut of_witnesses = demanding();
    of_witnesses.policy.timestamp_authorities.clear();
    assert_eq!(Anchor::parse(of_witnesses.to_json().as_bytes()), Ok(of_witnesses));
    let mut of_an_authority = demanding();
    of_an_authority.policy.witnesses = None;
    of_an_authority.policy.demands.retain(|axis| *axis != Axis::Witness);
    assert_eq!(Anchor::parse(of_an_authority.to_json().as_bytes()), Ok(of_an_authority));
}

/// The script of the page, on files as it names them: what it writes is an anchor, and demands what it says.
#[test]
#[cfg(not(target_family = "wasm"))]
fn the_script_of_the_page_writes_an_anchor_that_demands() {
    let page = include_str!("../../docs/formats/bundle.md");
    let script = page.split("```python\n").nth(1).unwrap().split("```").next().unwrap();
    let folder = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &str| std::fs::write(folder.path().join(name), text).unwrap();
    let witness = Ed25519Cosigner::new("w.example", &Zeroizing::new([3; 32])).unwrap();
    let pki = Pki::new();
    write("anchor.json", &anchor().to_json());
    write("witnesses.txt", &format!("witness w {}\nquorum w\n", witness.verifier_key()));
    write("notary.pem", &pki.root.to_pem());
    write("custodian.pem", &pin().custodians[0].to_pem());
    write("tpm-vendor.pem", &pki.issuing.to_pem());
    let status = std::process::Command::new("/usr/bin/python3").args(["-c", script]).current_dir(folder.path()).status().unwrap();
    assert!(status.success(), "the page's script does not run");
    let written = Anchor::parse(&std::fs::read(folder.path().join("my-anchor.json")).unwrap()).unwrap();
    assert_eq!(written.policy.demands, [Axis::Witness, Axis::Time, Axis::Revocation, Axis::Device]);
    assert_eq!((&written.verifier, &written.roots), (&anchor().verifier, &anchor().roots), "it trusts another log");
    assert_eq!(written.policy.custodians.unwrap().threshold, 1);
    assert_eq!(written.policy.device, Some(DeviceLevel::Attested));
}

#[test]
fn a_witness_policy_of_64_kib_is_read() {
    let mut anchor = demanding();
    let text = anchor.policy.witnesses.as_ref().unwrap().text().to_owned();
    let padded = text.clone() + &"\n".repeat(64 * 1024 - text.len());
    anchor.policy.witnesses = Some(WitnessPolicy::parse(&padded, &anchor.verifier).unwrap());
    assert_eq!(Anchor::parse(anchor.to_json().as_bytes()), Ok(anchor.clone()));
    assert!(WitnessPolicy::parse(&(padded + "\n"), &anchor.verifier).is_err());
}

#[test]
fn demands_that_nobody_could_meet_are_refused() {
    let good = demanding().to_json();
    let own = VerifierKey::parse(&anchor().verifier.keys[0].to_string()).unwrap();
    let policy = |text: String| format!("\"witness_policy\":{}", serde_json::to_string(&text).unwrap());
    let now = policy(demanding().policy.witnesses.unwrap().text().to_owned());
    let tpm = tpm_key(&anchor().verifier.origin).to_string();
    let witness_key = Ed25519Cosigner::new("w.example", &Zeroizing::new([3; 32])).unwrap().verifier_key().to_string();
    let without = |member: &str| spoil(&good, &format!("{member},"), "");
    let authority = &good[good.find("\"timestamp_authorities\"").unwrap()..good.find(",\"custodians\"").unwrap()];
    let one = authority.strip_prefix("\"timestamp_authorities\":[").unwrap().strip_suffix(']').unwrap();
    let vendor = &serde_json::to_string(&Pki::new().issuing.to_pem()).unwrap();
    let cases = [
        ("policy_without_quorum", spoil(&good, &now, &policy("\n".to_owned())), "witness_policy is not a witness policy"),
        ("policy_too_long", spoil(&good, &now, &policy("\n".repeat(65_537))), "witness_policy is longer than 64 KiB"),
        (
            "witness_with_an_ed25519_log_key",
            spoil(&good, &now, &policy(format!("witness w {own}\nquorum w\n"))),
            "its key makes no cosignatures",
        ),
        ("witnesses_demanded_without_a_policy", without(&now), "demands asks for witnesses without a witness_policy"),
        (
            "time_demanded_of_the_operator",
            spoil(&without(&now), "\"independent\":true", "\"independent\":false").replace(",\"witness\"", ""),
            "demands asks for time without an independent",
        ),
        ("demand_twice", spoil(&good, "\"time\",", "\"time\",\"time\","), "demands "),
        ("demand_of_payload", spoil(&good, "\"time\",", "\"payload\","), "demands.0 is none of the words"),
        ("no_demands", spoil(&good, &good[good.find("\"time\",").unwrap()..good.rfind(']').unwrap()], ""), "demands does not have"),
        ("tpm_key_of_another_log", spoil(&good, &tpm, &tpm_key("city.example/log/2").to_string()), "tpm_key is of another log"),
        ("tpm_key_of_ed25519", spoil(&good, &tpm, &own.to_string()), "tpm_key is not of type 02"),
        (
            "tpm_key_that_the_log_signs_with",
            spoil(&good, "\"keys\":[", &format!("\"keys\":[{},", serde_json::to_string(&tpm).unwrap())),
            "or one that the log signs with",
        ),
        ("tpm_key_of_a_witness", spoil(&good, &tpm, &witness_key), "tpm_key is not of type 02"),
        ("tpm_key_that_is_none", spoil(&good, &tpm, "key"), "tpm_key is none"),
        ("endorsement_root_twice", spoil(&good, vendor, &format!("{vendor},{vendor}")), "endorsement_roots names one twice"),
        (
            "attested_by_nobody",
            spoil(&good, "allow-listed", "attested").replace(&format!("\"endorsement_roots\":[{vendor}],"), ""),
            "device asks for a vendor's word without endorsement_roots",
        ),
        ("device_of_no_kind", spoil(&good, "allow-listed", "certified"), "device is none of the words"),
        ("authority_twice", spoil(&good, one, &format!("{one},{one}")), "timestamp_authorities names one twice"),
        ("authority_without_a_label", spoil(&good, "\"independent\":true,", ""), "timestamp_authorities.0.independent is missing"),
        (
            "authority_with_more",
            spoil(&good, "\"independent\":true", "\"independent\":true,\"x\":1"),
            "timestamp_authorities.0.\"x\" is unknown",
        ),
        ("authority_with_no_name", spoil(&good, "Notary time", ""), "timestamp_authorities.0.name is empty"),
        (
            "threshold_alone",
            spoil(&good, &good[good.find("\"custodians\"").unwrap()..good.find("\"threshold\"").unwrap()], ""),
            "custodians is missing",
        ),
        ("threshold_above", spoil(&good, "\"threshold\":2", "\"threshold\":3"), "threshold is not in 1..=2"),
    ];
    for (defect, json, expected) in cases {
        let error = Anchor::parse(json.as_bytes()).expect_err(defect).to_string();
        assert!(error.contains(expected), "{defect}: {error}");
    }
    let ml_dsa = MlDsa44NoteSigner::new("w.example", &Zeroizing::new([2; 32])).unwrap();
    let text = format!("witness w {}\nquorum w\n", ml_dsa.verifier_key());
    let refused = WitnessPolicy::parse(&text, &anchor().verifier).expect_err("a log witnessed itself");
    assert!(refused.contains("the log itself"), "{refused}");
}

#[test]
fn hostile_pins_are_refused() {
    let good = pin().to_json();
    let pki = Pki::new();
    let pem = |pem: String| serde_json::to_string(&pem).unwrap();
    let custodian = pem(pin().custodians[0].to_pem());
    let second_key = pem(pki.party("user/51d0", &[Role::Custodian], KeyPurpose::Signing, 8).certificate.to_pem());
    let other = |role, purpose| pem(pki.party("user/7f3a", &[role], purpose, 6).certificate.to_pem());
    let cases = [
        ("an_anchor", anchor().to_json(), "type is none of the words"),
        ("anchor_of_another_type", spoil(&good, "exhibit-anchor/v1", "exhibit-pin/v1"), "anchor.type is none of the words"),
        ("threshold_zero", spoil(&good, r#""threshold":2"#, r#""threshold":0"#), "threshold is not in 1..=2"),
        ("threshold_beyond_the_custodians", spoil(&good, r#""threshold":2"#, r#""threshold":3"#), "threshold is not in 1..=2"),
        // One person who is counted twice would meet the threshold alone, with one certificate or with two.
        ("custodian_with_two_keys", spoil(&good, &custodian, &second_key), "custodians names one person twice"),
        ("custodian_twice", spoil(&good, &custodian, &format!("{custodian},{custodian}")), "custodians names one twice"),
        ("an_investigator", spoil(&good, &custodian, &other(Role::Investigator, KeyPurpose::Signing)), "custodians.0 is a certificate for"),
        (
            "a_wrapping_certificate",
            spoil(&good, &custodian, &other(Role::Custodian, KeyPurpose::Wrapping)),
            "custodians.0 is a certificate for",
        ),
        ("unknown_member", spoil(&good, "{", r#"{"note":1,"#), "\"note\" is unknown"),
        ("unknown_member_of_the_anchor", spoil(&good, r#""anchor":{"#, r#""anchor":{"note":1,"#), "anchor.\"note\" is unknown"),
    ];
    for (defect, json, expected) in cases {
        let refusal = Pin::parse(json.as_bytes()).unwrap_err().to_string();
        assert!(refusal.starts_with(&format!("not an anchor: {expected}")), "{defect}: expected `{expected}`, got `{refusal}`");
    }
}

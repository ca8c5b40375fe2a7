//! Anchors as they are written, and whether there is a verdict by each: what one verifier takes for an anchor, every other has to.

use exhibit_evidence::Anchor;
use exhibit_evidence::anchor::{AnchorPolicy, DeviceLevel, PinnedCustodians};
use exhibit_pki::issue::{Issuance, issue_root};
use exhibit_pki::{Certificate, ChainCertificate, KeyPurpose, Role, TrustDomain};
use exhibit_tlog::{Ed25519Cosigner, Ed25519NoteSigner, NoteSigner, VerifierKey};
use zeroize::Zeroizing;

use crate::authorities::{notary, witness_policy};
use crate::common::{NOT_AFTER, NOT_BEFORE, key as signer, time};
use crate::synthetic::{Case, ORIGIN, other_note_key};
use crate::witnessed::LogTpm;

/// What is written, the JSON, and whether anything is judged by it.
pub type Written = (&'static str, String, bool);

/// An anchor with every member.
fn whole(case: &Case) -> Anchor {
    let mut anchor = case.log.anchor();
    anchor.policy = AnchorPolicy {
        witnesses: Some(witness_policy(2, &anchor.verifier)),
        timestamp_authorities: vec![notary().trust("Notary", true)],
        custodians: Some(PinnedCustodians { certificates: vec![case.log.custodian.party.certificate.clone()], threshold: 1 }),
        device: Some(DeviceLevel::AllowListed),
        endorsement_roots: vec![ChainCertificate::from_der(case.log.pki.root.der()).unwrap()],
        tpm_key: None,
        demands: vec![exhibit_evidence::verdict::Axis::Witness],
    };
    anchor
}

fn root_of_another_domain() -> Certificate {
    let issuance = Issuance { not_before: time(NOT_BEFORE), not_after: time(NOT_AFTER), serial: [9; 16] };
    issue_root("Other Root", &TrustDomain::parse("other.example").unwrap(), &signer(9), &issuance).unwrap()
}

fn json(text: &str) -> String {
    serde_json::to_string(text).unwrap()
}

/// All of them, for the bundle of a case.
pub fn written(case: &Case) -> Vec<Written> {
    [of_the_log(case), of_roots(case), of_witnesses_and_time(case), of_people_and_devices(case), demanding_what_is_not_there(case)].concat()
}

/// The good one with one thing in another's place.
fn spoilt(good: &str, from: &str, to: &str) -> String {
    assert!(good.contains(from), "{from} stands in the good one");
    good.replacen(from, to, 1)
}

fn pem(certificate: &Certificate) -> String {
    json(&certificate.to_pem())
}

fn of_the_log(case: &Case) -> Vec<Written> {
    let anchor = whole(case);
    let good = anchor.to_json();
    let spoilt = |from: &str, to: &str| spoilt(&good, from, to);
    let key = |key: &VerifierKey| json(&key.to_string());
    let own = key(&anchor.verifier.keys[0]);
    let of_witness = Ed25519Cosigner::new(ORIGIN, &Zeroizing::new([3; 32])).unwrap();
    let foreign_name = Ed25519NoteSigner::new("é.example", &Zeroizing::new([4; 32])).unwrap();
    let foreign_name = key(foreign_name.verifier_key());
    let origin = |text: &str| spoilt(&format!("\"origin\":\"{ORIGIN}\""), &format!("\"origin\":{}", json(text)));
    let log = format!("\"log\":\"{}\"", anchor.log);
    let as_json = |spaces: usize| format!("{good}{}", " ".repeat(spaces));
    vec![
        ("as it is written", good.clone(), true),
        ("of 256 KiB", as_json((256 << 10) - good.len()), true),
        ("longer than 256 KiB", as_json((256 << 10) + 1 - good.len()), false),
        ("a member twice", spoilt("{", r#"{"origin":"x","#), false),
        ("a member that is unknown", spoilt("{", r#"{"note":1,"#), false),
        ("another type", spoilt("exhibit-anchor/v1", "exhibit-anchor/v2"), false),
        ("no log", spoilt(&format!("{log},"), ""), false),
        ("a log of zeros", spoilt(&log, &format!("\"log\":\"{}\"", "0".repeat(64))), false),
        ("an origin of nothing", origin(""), false),
        ("an origin of 255 characters", origin(&"o".repeat(255)), true),
        ("an origin of 256 characters", origin(&"o".repeat(256)), false),
        ("an origin with a space", origin("city.example/log 1"), false),
        ("an origin with a plus", origin("city.example+log"), false),
        ("an origin with other letters", origin("citý.example/log"), false),
        ("an origin with a control", origin("city.example/log\u{7f}"), false),
        ("a key twice", spoilt(&own, &format!("{own},{own}")), false),
        ("a key more", spoilt(&own, &format!("{own},{}", key(&other_note_key()))), true),
        ("eight keys more", spoilt(&own, &vec![own.clone(); 9].join(",")), false),
        ("no key", spoilt(&own, ""), false),
        ("a key of a witness", spoilt(&own, &format!("{own},{}", key(of_witness.verifier_key()))), false),
        ("a key whose name has other letters", spoilt(&own, &format!("{own},{foreign_name}")), false),
        ("a key whose id is another's", spoilt(&own, &own.replacen('+', "+0", 1)), false),
    ]
}

fn of_roots(case: &Case) -> Vec<Written> {
    let good = whole(case).to_json();
    let spoilt = |from: &str, to: &str| spoilt(&good, from, to);
    let root = case.log.pki.root.to_pem();
    let quoted = json(&root);
    let root_as = |pem: String| spoilt(&format!("\"roots\":[{quoted}"), &format!("\"roots\":[{}", json(&pem)));
    let camera = pem(&case.log.camera.party.certificate);
    vec![
        ("a root twice", spoilt(&quoted, &format!("{quoted},{quoted}")), false),
        ("no root", spoilt(&format!("\"roots\":[{quoted}]"), "\"roots\":[]"), false),
        ("a root that is a camera's", spoilt(&quoted, &format!("{quoted},{camera}")), false),
        ("the issuing authority as root", root_as(case.log.pki.issuing.to_pem()), true),
        ("a root of another domain", spoilt(&quoted, &format!("{quoted},{}", pem(&root_of_another_domain()))), false),
        ("a root with lines of CR LF", root_as(root.replace('\n', "\r\n")), true),
        ("a root with white space around", root_as(format!(" \n\t{root}\r\n ")), true),
        ("a root without its last line's end", root_as(root.trim_end().to_owned()), true),
        ("a root with words before", root_as(format!("Root\n{root}")), false),
        ("a root with words behind", root_as(format!("{root}Root\n")), false),
        ("a root with spaces in it", root_as(root.replacen("\nMII", "\n MII", 1)), false),
        ("a root on one line", root_as(root.replace('\n', "")), false),
        ("a root with an empty line", root_as(root.replacen("-----\n", "-----\n\n", 1)), false),
        ("a root with a header", root_as(root.replacen("-----\n", "-----\nName: root\n\n", 1)), false),
        ("a root under another label", root_as(root.replace("CERTIFICATE", "X509 CRL")), false),
        ("two roots in one text", root_as(root.clone() + &case.log.pki.issuing.to_pem()), false),
        ("a root in base64", root_as(root.lines().filter(|line| !line.starts_with('-')).collect()), false),
    ]
}

fn of_witnesses_and_time(case: &Case) -> Vec<Written> {
    let anchor = whole(case);
    let good = anchor.to_json();
    let spoilt = |from: &str, to: &str| spoilt(&good, from, to);
    let policy = json(anchor.policy.witnesses.as_ref().unwrap().text());
    let notary_pem = json(&notary().certificate.to_pem());
    vec![
        ("a policy of nothing", spoilt(&policy, "\"\""), false),
        ("a policy with a quorum of nobody", spoilt("quorum all-three", "quorum none"), true),
        ("a policy with a quorum of strangers", spoilt("quorum all-three", "quorum w9"), false),
        ("a policy of 64 KiB and one line", spoilt(&policy, &json(&format!("{}quorum none\n", "#\n".repeat(32 << 10)))), false),
        (
            "an authority twice",
            spoilt(
                r#""timestamp_authorities":["#,
                &format!(r#""timestamp_authorities":[{{"name":"N","independent":false,"certificate":{notary_pem}}},"#),
            ),
            false,
        ),
        ("an authority without a name", spoilt(r#""name":"Notary""#, r#""name":"""#), false),
        ("an authority with a tab in its name", spoilt(r#""name":"Notary""#, r#""name":"No\ttary""#), false),
        ("an authority with a name of 128", spoilt("Notary", &"n".repeat(128)), true),
        ("an authority with a name of 129", spoilt("Notary", &"n".repeat(129)), false),
        ("an authority that is 1", spoilt(r#""independent":true"#, r#""independent":1"#), false),
        ("an authority without a certificate", spoilt(&notary_pem, "\"\""), false),
        ("no authority in a list", spoilt(r#""timestamp_authorities":["#, r#""timestamp_authorities":[],"x":["#), false),
    ]
}

fn of_people_and_devices(case: &Case) -> Vec<Written> {
    let good = whole(case).to_json();
    let spoilt = |from: &str, to: &str| spoilt(&good, from, to);
    let custodian = pem(&case.log.custodian.party.certificate);
    let again = case.log.pki.party("user/aa", &[Role::Custodian], KeyPurpose::Signing, 16).certificate;
    let quoted = pem(&case.log.pki.root);
    vec![
        ("a custodian twice", spoilt(&custodian, &format!("{custodian},{custodian}")), false),
        ("a custodian by two certificates", spoilt(&custodian, &format!("{custodian},{}", pem(&again))), false),
        ("a custodian who is none", spoilt(&custodian, &pem(&case.log.investigator.party.certificate)), false),
        ("a threshold of none", spoilt(r#""threshold":1"#, r#""threshold":0"#), false),
        ("a threshold above the custodians", spoilt(r#""threshold":1"#, r#""threshold":2"#), false),
        ("custodians without a threshold", spoilt(r#","threshold":1"#, ""), false),
        ("a threshold without custodians", spoilt(&format!("\"custodians\":[{custodian}],"), ""), false),
        ("a device of no level", spoilt("allow-listed", "trusted"), false),
        ("an attested device", spoilt("allow-listed", "attested"), true),
        (
            "a vendor twice",
            spoilt(&format!("\"endorsement_roots\":[{quoted}"), &format!("\"endorsement_roots\":[{quoted},{quoted}")),
            false,
        ),
        ("no vendor in a list", spoilt(&format!("\"endorsement_roots\":[{quoted}]"), "\"endorsement_roots\":[]"), false),
        ("no demand in a list", spoilt(r#""demands":["witness"]"#, r#""demands":[]"#), false),
        ("a demand twice", spoilt(r#""demands":["witness"]"#, r#""demands":["witness","witness"]"#), false),
        ("a demand of every axis", spoilt(r#""demands":["witness"]"#, r#""demands":["device","time","revocation","witness"]"#), true),
        ("a demand of what always is", spoilt(r#""demands":["witness"]"#, r#""demands":["signature"]"#), false),
    ]
}

fn demanding_what_is_not_there(case: &Case) -> Vec<Written> {
    let notary_pem = json(&notary().certificate.to_pem());
    let bare = case.log.anchor().to_json();
    let with = |members: &str| bare.trim_end().strip_suffix('}').unwrap().to_owned() + "," + members + "}";
    let tpm = json(&LogTpm::new(7).key().to_string());
    let signing = case.log.anchor().verifier.keys[0].to_string();
    let with_tpm = with(&format!("\"tpm_key\":{tpm}"));
    vec![
        ("a TPM's key", with_tpm.clone(), true),
        ("a TPM's key that is Ed25519", with(&format!("\"tpm_key\":{}", json(&signing))), false),
        ("a TPM's key that the log signs with", spoilt(&with_tpm, "\"keys\":[", &format!("\"keys\":[{tpm},")), false),
        ("witnesses demanded and none named", with(r#""demands":["witness"]"#), false),
        ("time demanded of nobody", with(r#""demands":["time"]"#), false),
        (
            "time demanded of the operator",
            with(&format!(r#""timestamp_authorities":[{{"name":"N","independent":false,"certificate":{notary_pem}}}],"demands":["time"]"#)),
            false,
        ),
        ("an attested device without vendors", with(r#""device":"attested""#), false),
        (
            "the log as its own witness",
            {
                let itself = Ed25519Cosigner::new("w.example", &Zeroizing::new([21; 32])).unwrap();
                with(&format!("\"witness_policy\":{}", json(&format!("witness w {}\nquorum w\n", itself.verifier_key()))))
            },
            false,
        ),
    ]
}

#[test]
fn what_is_an_anchor_is_one_and_nothing_else() {
    for (name, json, is_one) in written(&Case::new()) {
        let parsed = Anchor::parse(json.as_bytes());
        assert_eq!(parsed.is_ok(), is_one, "{name}: {parsed:?}");
    }
}

//! The axis of the device: how a camera's key was enrolled, what its TPM attests, and what does not hold of either.

use exhibit_evidence::anchor::{AnchorPolicy, DeviceLevel};
use exhibit_evidence::body::{DevicePolicy, Enrolment, attestation_qualifying_data, start_qualifying_data};
use exhibit_evidence::bundle::attachment_path;
use exhibit_evidence::verdict::{Axis, FindingKind, Grade};
use exhibit_evidence::{Body, Statement};

use exhibit_pki::{ChainCertificate, KeyPurpose, PublicKey, Role};

use crate::soft_tpm::{SoftTpm, device_area, p256_device_area, replaced};
use crate::synthetic::{Case, Extra, ExtraAt, Log, Recording, STARTED_MS};
use crate::witnessed::worst;

fn enrol(log: &mut Log, body: Enrolment) {
    log.append(|log| &mut log.authority, STARTED_MS - 8_000, Body::Enrolment(body));
}

fn software(log: &mut Log) {
    let fingerprint = *log.camera.party.certificate.fingerprint();
    enrol(log, Enrolment { fingerprint, policy: DevicePolicy::Software, nonce: None, attachments: vec![] });
}

pub fn listed(log: &mut Log) {
    let body = SoftTpm::new().enrolment(log, DevicePolicy::AllowListed, &crate::common::key(13));
    enrol(log, body);
}

fn attested(log: &mut Log) {
    let body = SoftTpm::new().enrolment(log, DevicePolicy::Attested, &crate::common::key(13));
    enrol(log, body);
}

fn judged(before: Extra, least: Option<DeviceLevel>, demands: &[Axis]) -> (Grade, FindingKind) {
    let mut case = Case::recorded(Recording { before: Some(before), ..Recording::default() });
    case.log.policy = AnchorPolicy { device: least, demands: demands.to_vec(), ..AnchorPolicy::default() };
    worst(&case.judge().unwrap(), Axis::Device)
}

#[test]
fn a_device_is_told_by_its_level_and_held_against_what_the_anchor_accepts() {
    use DeviceLevel::{AllowListed, Attested, Software};
    let nothing: Extra = |_| ();
    let device: &[Axis] = &[Axis::Device];
    for (name, before, least, demands, expected) in [
        ("nothing", nothing, None, &[][..], (Grade::NotDemanded, FindingKind::NoEvidence)),
        ("nothing, demanded", nothing, None, device, (Grade::Undecided, FindingKind::NoEvidence)),
        ("nothing, and a level asked for", nothing, Some(Software), &[], (Grade::Undecided, FindingKind::NoEvidence)),
        ("software", software, None, &[], (Grade::NotDemanded, FindingKind::DeviceLevel)),
        ("software, demanded", software, None, device, (Grade::Undecided, FindingKind::DeviceLevel)),
        ("software, accepted", software, Some(Software), &[], (Grade::Good, FindingKind::Holds)),
        ("software, and more asked for", software, Some(AllowListed), &[], (Grade::Bad, FindingKind::DeviceLevel)),
        ("listed", listed, None, device, (Grade::Good, FindingKind::Holds)),
        ("listed, accepted", listed, Some(AllowListed), &[], (Grade::Good, FindingKind::Holds)),
        ("software and later listed", |log| (software(log), listed(log)).0, Some(AllowListed), &[], (Grade::Good, FindingKind::Holds)),
        ("listed and later software", |log| (listed(log), software(log)).0, Some(AllowListed), &[], (Grade::Good, FindingKind::Holds)),
        ("listed, and a vendor asked for", listed, Some(Attested), &[], (Grade::Bad, FindingKind::DeviceLevel)),
        ("attested by a vendor that the anchor does not name", attested, Some(AllowListed), &[], (Grade::Good, FindingKind::Holds)),
        ("the same, and a vendor asked for", attested, Some(Attested), &[], (Grade::Bad, FindingKind::DeviceLevel)),
    ] {
        assert_eq!(judged(before, least, demands), expected, "{name}");
    }
}

#[test]
fn a_device_is_told_in_words() {
    for (before, words) in [
        (software as Extra, "was enrolled without a TPM, and can be anywhere"),
        (listed, "is in a TPM by its authority's word; no vendor of the anchor stands behind it"),
    ] {
        let case = Case::recorded(Recording { before: Some(before), ..Recording::default() });
        let verdict = case.judge().unwrap();
        assert!(verdict.on(Axis::Device).any(|finding| finding.sentence.contains(words)), "{words}: {:#?}", verdict.findings);
    }
    let quoted: ExtraAt = |log, number| {
        if number < 2 {
            let enrolment = enrolment(log);
            SoftTpm::new().quote(log, enrolment, STARTED_MS, &[7; 32], &[7; 32]);
        }
    };
    let case = Case::recorded(Recording { before: Some(listed), between: Some(quoted), ..Recording::default() });
    let attestations = case.log.entries.iter().filter(|entry| matches!(entry.statement().body, Body::Attestation(_)));
    let words = format!("stated the values of its registers {} times", attestations.count());
    let verdict = case.judge().unwrap();
    assert!(verdict.on(Axis::Device).any(|finding| finding.sentence.contains(&words)), "{words}: {:#?}", verdict.findings);
}

#[test]
fn a_vendor_of_the_anchor_stands_behind_a_device() {
    let mut case = Case::recorded(Recording { before: Some(attested), ..Recording::default() });
    let root = ChainCertificate::from_der(case.log.pki.root.der()).unwrap();
    case.log.policy = AnchorPolicy { device: Some(DeviceLevel::Attested), endorsement_roots: vec![root], ..AnchorPolicy::default() };
    let verdict = case.judge().unwrap();
    assert_eq!(worst(&verdict, Axis::Device), (Grade::Good, FindingKind::Holds));
    assert_eq!(verdict.basis.policy.endorsement_roots, [hex::encode(case.log.pki.root.fingerprint())]);
    let sentence = &verdict.on(Axis::Device).next().unwrap().sentence;
    assert!(sentence.contains("IFX, SLB 9670"), "the vendor is not named: {sentence}");
    for suite in ["endorsement key is of P-384 with SHA-384 and AES-256", "attestation key of ECDSA P-384 with SHA-384"] {
        assert!(sentence.contains(suite), "a suite is not named: {sentence}");
    }
    let other = ChainCertificate::from_der(crate::synthetic::foreign_root().der()).unwrap();
    case.log.policy.endorsement_roots = vec![other];
    assert_eq!(worst(&case.judge().unwrap(), Axis::Device), (Grade::Bad, FindingKind::DeviceLevel), "any vendor was believed");
}

#[test]
fn enrolments_that_do_not_hold_are_bad() {
    let cases: [(&str, Extra); 7] = [
        ("the TPM certified another key", |log| {
            let body = SoftTpm::new().enrolment(log, DevicePolicy::AllowListed, &crate::common::key(14));
            enrol(log, body);
        }),
        ("the nonce is another", |log| {
            let mut body = SoftTpm::new().enrolment(log, DevicePolicy::AllowListed, &crate::common::key(13));
            body.nonce = Some([1; 32]);
            enrol(log, body);
        }),
        ("the certificate is another's", |log| {
            let mut body = SoftTpm::new().enrolment(log, DevicePolicy::AllowListed, &crate::common::key(13));
            body.fingerprint = *log.custodian.party.certificate.fingerprint();
            enrol(log, body);
        }),
        ("the certificate is not here", |log| {
            let mut body = SoftTpm::new().enrolment(log, DevicePolicy::AllowListed, &crate::common::key(13));
            body.fingerprint = [9; 32];
            enrol(log, body);
        }),
        ("the signature is not the attestation key's", |log| {
            let mut body = SoftTpm::new().enrolment(log, DevicePolicy::AllowListed, &crate::common::key(13));
            let other = log.keep("certify-signature", &[&[0, 0x18, 0, 0x0c, 0, 1, 1, 0, 1][..], &[1]].concat());
            replaced(&mut body.attachments, other);
            enrol(log, body);
        }),
        ("the endorsement key is no public area", |log| {
            let mut body = SoftTpm::new().enrolment(log, DevicePolicy::AllowListed, &crate::common::key(13));
            let other = log.keep("ek-public", b"none");
            replaced(&mut body.attachments, other);
            enrol(log, body);
        }),
        ("the endorsement certificate is for another key", |log| {
            let mut body = SoftTpm::new().enrolment(log, DevicePolicy::Attested, &crate::common::key(13));
            let other = log.camera.party.certificate.der().to_vec();
            let other = log.keep("ek-certificate", &other);
            replaced(&mut body.attachments, other);
            enrol(log, body);
        }),
    ];
    for (defect, before) in cases {
        assert_eq!(judged(before, None, &[]), (Grade::Bad, FindingKind::Enrolment), "{defect}");
    }
}

/// Else whoever hands over the bundle makes an attested device a listed one.
#[test]
fn an_attested_enrolment_without_its_endorsement_certificate_does_not_hold() {
    let mut case = Case::recorded(Recording { before: Some(attested), ..Recording::default() });
    let entry = case.log.entries.iter().find(|entry| matches!(entry.statement().body, Body::Enrolment(_))).unwrap();
    let named = entry.statement().body.attachments().iter().find(|attachment| attachment.name == "ek-certificate").unwrap();
    case.files.0.remove(&attachment_path(&named.sha256)).unwrap();
    case.log.policy = AnchorPolicy { device: Some(DeviceLevel::AllowListed), ..AnchorPolicy::default() };
    let verdict = case.judge().unwrap();
    let kinds: Vec<_> = verdict.on(Axis::Device).map(|finding| finding.kind).collect();
    assert!(kinds.contains(&FindingKind::Enrolment) && !kinds.contains(&FindingKind::Holds), "{kinds:?}");
}

fn enrolment(log: &Log) -> exhibit_tlog::Hash {
    log.entries.iter().find(|entry| matches!(entry.statement().body, Body::Enrolment(_))).unwrap().leaf_hash()
}

fn with_attestation(between: ExtraAt) -> (Grade, FindingKind) {
    let mut case = Case::recorded(Recording { before: Some(listed), between: Some(between), ..Recording::default() });
    case.log.policy = AnchorPolicy::default();
    worst(&case.judge().unwrap(), Axis::Device)
}

#[test]
fn what_a_tpm_attests_is_judged_in_its_place() {
    let value = [7; 32];
    let good = with_attestation(|log, _| {
        let enrolment = enrolment(log);
        SoftTpm::new().quote(log, enrolment, STARTED_MS, &[7; 32], &[7; 32]);
    });
    assert_eq!(good, (Grade::NotDemanded, FindingKind::Quote), "a quote is told, and its values are not judged");
    assert_eq!(value.len(), 32);
    let cases: [(&str, ExtraAt); 5] = [
        ("other values", |log, _| {
            let enrolment = enrolment(log);
            SoftTpm::new().quote(log, enrolment, STARTED_MS, &[7; 32], &[8; 32]);
        }),
        ("fewer values", |log, _| {
            let enrolment = enrolment(log);
            SoftTpm::new().quote(log, enrolment, STARTED_MS, &[7; 32], &[7; 31]);
        }),
        ("more values", |log, _| {
            let enrolment = enrolment(log);
            SoftTpm::new().quote(log, enrolment, STARTED_MS, &[7; 32], &[7; 64]);
        }),
        ("an enrolment that is not here", |log, _| {
            SoftTpm::new().quote(log, exhibit_tlog::Hash([5; 32]), STARTED_MS, &[7; 32], &[7; 32]);
        }),
        ("what was said in another place", |log, number| {
            let enrolment = enrolment(log);
            if number < 2 {
                SoftTpm::new().quote(log, enrolment, STARTED_MS, &[7; 32], &[7; 32]);
            } else if number == 2 {
                let of_attestation = |entry: &&exhibit_evidence::SignedStatement| matches!(entry.statement().body, Body::Attestation(_));
                let body = log.entries.iter().find(of_attestation).unwrap().statement().body.clone();
                log.append(|log| &mut log.camera, STARTED_MS, body);
            }
        }),
    ];
    for (defect, between) in cases {
        assert_eq!(with_attestation(between), (Grade::Bad, FindingKind::Attestation), "{defect}");
    }
}

fn enrol_appliance(log: &mut Log) {
    let certificate = log.appliance.party.certificate.clone();
    let body = SoftTpm::new().enrolment_of(log, &certificate, DevicePolicy::AllowListed, &device_area(&crate::common::key(11)));
    enrol(log, body);
}

/// The appliance and the camera are enrolled, by two enrolments that hold.
fn with_start(between: ExtraAt) -> Vec<(Grade, FindingKind)> {
    let before: Extra = |log| {
        enrol_appliance(log);
        listed(log);
    };
    let mut case = Case::recorded(Recording { before: Some(before), between: Some(between), ..Recording::default() });
    case.log.policy = AnchorPolicy::default();
    let verdict = case.judge().unwrap();
    let of_device = verdict.findings.iter().filter(|finding| finding.axis == Axis::Device);
    of_device.map(|finding| (finding.grade, finding.kind)).collect()
}

fn start(log: &mut Log, qualifying: fn(&Statement) -> [u8; 32], said: &[u8]) {
    let enrolment = enrolment_of(log, log.appliance.party.certificate.fingerprint());
    SoftTpm::new().start(log, enrolment, qualifying, said);
}

fn enrolment_of(log: &Log, fingerprint: &exhibit_pki::Fingerprint) -> exhibit_tlog::Hash {
    let of_certificate = |entry: &&exhibit_evidence::SignedStatement| matches!(&entry.statement().body, Body::Enrolment(body) if body.fingerprint == *fingerprint);
    log.entries.iter().find(of_certificate).unwrap().leaf_hash()
}

#[test]
fn what_an_appliance_quotes_at_its_start_is_judged_in_its_place() {
    let good = with_start(|log, _| start(log, start_qualifying_data, &[7; 32]));
    assert_eq!(
        good,
        [(Grade::NotDemanded, FindingKind::Quote), (Grade::Good, FindingKind::Holds)],
        "the camera, and the appliance's quote"
    );
    let cases: [(&str, ExtraAt); 7] = [
        ("other values", |log, _| start(log, start_qualifying_data, &[8; 32])),
        ("fewer values", |log, _| start(log, start_qualifying_data, &[7; 31])),
        ("more values", |log, _| start(log, start_qualifying_data, &[7; 64])),
        ("a quote for another type of statement", |log, _| start(log, attestation_qualifying_data, &[7; 32])),
        ("an enrolment that is not here", |log, _| {
            SoftTpm::new().start(log, exhibit_tlog::Hash([5; 32]), start_qualifying_data, &[7; 32]);
        }),
        ("the enrolment of a camera", |log, _| {
            let enrolment = enrolment_of(log, log.camera.party.certificate.fingerprint());
            SoftTpm::new().start(log, enrolment, start_qualifying_data, &[7; 32]);
        }),
        ("what was said in another place", |log, number| {
            if number < 2 {
                start(log, start_qualifying_data, &[7; 32]);
            } else if number == 2 {
                let of_start = |entry: &&exhibit_evidence::SignedStatement| matches!(entry.statement().body, Body::Start(_));
                let body = log.entries.iter().find(of_start).unwrap().statement().body.clone();
                log.append(|log| &mut log.appliance, STARTED_MS, body);
            }
        }),
    ];
    for (defect, between) in cases {
        assert!(with_start(between).contains(&(Grade::Bad, FindingKind::Attestation)), "{defect}");
    }
}

/// DESIGN section 3 has P-256 for TPMs that have no other curve.
#[test]
fn a_device_whose_tpm_has_p256_alone_is_enrolled_like_any() {
    fn enrolled_with(log: &mut Log, certified: u8, enrolled: u8) {
        let point = |scalar: u8| {
            let key = p256::SecretKey::from_slice(&[scalar; 32]).unwrap().public_key();
            <[u8; 65]>::try_from(key.to_sec1_bytes().as_ref()).unwrap()
        };
        let key = PublicKey::from_sec1(&point(certified)).unwrap();
        let certificate = log.pki.certify("camera/103", &[Role::Camera], KeyPurpose::Signing, 95, &key);
        log.certify(&certificate, &[]);
        let body = SoftTpm::new().enrolment_of(log, &certificate, DevicePolicy::AllowListed, &p256_device_area(&point(enrolled)));
        enrol(log, body);
    }
    assert_eq!(judged(|log| enrolled_with(log, 9, 9), None, &[]), (Grade::NotDemanded, FindingKind::NoEvidence), "it says nothing of 102");
    assert_eq!(
        judged(|log| enrolled_with(log, 9, 8), None, &[]),
        (Grade::Bad, FindingKind::Enrolment),
        "the certificate is of another key"
    );
}

/// For the verifier in Python, which judges the same bundles.
pub const TESTS: &[fn()] = &[
    a_device_is_told_by_its_level_and_held_against_what_the_anchor_accepts,
    a_vendor_of_the_anchor_stands_behind_a_device,
    enrolments_that_do_not_hold_are_bad,
    an_attested_enrolment_without_its_endorsement_certificate_does_not_hold,
    what_a_tpm_attests_is_judged_in_its_place,
    what_an_appliance_quotes_at_its_start_is_judged_in_its_place,
    a_device_whose_tpm_has_p256_alone_is_enrolled_like_any,
];

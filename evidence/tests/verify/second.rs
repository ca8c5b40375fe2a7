//! A second certificate of one identity: who may come by one, and from when on the first is none any more.

use exhibit_evidence::Body;
use exhibit_evidence::anchor::{AnchorPolicy, PinnedCustodians};
use exhibit_evidence::body::{CertificateBody, CertificateRevocation};
use exhibit_evidence::verdict::{FindingKind, Grade};
use exhibit_pki::{KeyPurpose, Role, Signer, Timestamp};
use exhibit_tlog::Hash;

use crate::authorities::{believing_time, notary};
use crate::common::{Party, stream};
use crate::dated::timestamp;
use crate::decided::{append, approval, approve, drop_index, introduce, issue_as, judged, set, twin};
use crate::synthetic::{Case, Extra, Log, Recording, STARTED_MS};

/// A hostile authority makes a second camera 102, whose key records; the first is live.
fn second_camera(log: &mut Log, replaces: bool) -> u64 {
    second_camera_at(log, replaces, STARTED_MS - 9_000)
}

fn second_camera_at(log: &mut Log, replaces: bool, issued_ms: u64) -> u64 {
    let first = *log.camera.party.certificate.fingerprint();
    log.camera.party = log.pki.party("camera/102", &[Role::Camera], KeyPurpose::Signing, 91);
    let certificate = log.camera.party.certificate.clone();
    let attachments = vec![log.keep("certificate", certificate.der())];
    let body = CertificateBody { fingerprint: *certificate.fingerprint(), replaces: replaces.then_some(first), attachments };
    log.append(|log| &mut log.authority, issued_ms, Body::Certificate(body))
}

#[test]
fn a_certificate_lives_to_the_end_of_its_last_second() {
    let cases: [(Extra, &[FindingKind]); 2] = [
        (|log| drop_index(second_camera_at(log, false, STARTED_MS - 8_001)), &[FindingKind::SecondCertificate]),
        (|log| drop_index(second_camera_at(log, false, STARTED_MS - 8_000)), &[]),
    ];
    for (before, expected) in cases {
        let how = Recording { expires_ms: Some(STARTED_MS - 9_000), before: Some(before), ..Recording::default() };
        assert_eq!(Case::recorded(how).faults(), expected);
    }
}

/// An authority has its times and its statuses signed by two keys; each has a certificate of its own, and neither is the other's second.
#[test]
fn services_of_one_authority_are_certified_apart() {
    let told = |before: Extra| {
        let verdict = Case::recorded(Recording { before: Some(before), ..Recording::default() }).judge().unwrap();
        verdict.findings.iter().filter(|finding| finding.kind == FindingKind::SecondCertificate).count()
    };
    assert_eq!(told(|log| certify_services(log, &SERVICES[..2])), 0);
    assert_eq!(told(|log| certify_services(log, SERVICES)), 1);
}

const SERVICES: &[(KeyPurpose, u8)] = &[(KeyPurpose::Timestamping, 92), (KeyPurpose::OcspSigning, 93), (KeyPurpose::Timestamping, 94)];

fn certify_services(log: &mut Log, purposes: &[(KeyPurpose, u8)]) {
    for (purpose, scalar) in purposes {
        let service = log.pki.party("authority/1", &[], *purpose, *scalar).certificate;
        log.certify(&service, &[]);
    }
}

#[test]
fn a_second_certificate_needs_to_replace_the_first_and_a_custodians_approval() {
    let approved: Extra = |log| {
        let index = second_camera(log, true);
        let body = approval(log, index);
        append(log, body);
    };
    assert_eq!(Case::recorded(Recording { before: Some(approved), ..Recording::default() }).faults(), []);
    let cases: [(&str, Extra); 5] = [
        ("nobody approved", |log| drop_index(second_camera(log, true))),
        ("it replaces nothing", |log| {
            let index = second_camera(log, false);
            let body = approval(log, index);
            append(log, body);
        }),
        ("an approval of another statement", |log| {
            let index = second_camera(log, true);
            let Body::Approve(mut body) = approval(log, index) else { unreachable!() };
            body.statement = Hash([3; 32]);
            append(log, Body::Approve(body));
        }),
        ("a custodian approves his own", |log| {
            let twin = twin(log);
            let first = *log.custodian.party.certificate.fingerprint();
            let attachments = vec![log.keep("certificate", twin.certificate.der())];
            let body = CertificateBody { fingerprint: *twin.certificate.fingerprint(), replaces: Some(first), attachments };
            let index = log.append(|log| &mut log.authority, STARTED_MS - 9_000, Body::Certificate(body));
            let body = approval(log, index);
            issue_as(log, twin, "user/aa/twin", body);
        }),
        ("approved after it was used", |log| {
            let index = second_camera(log, true);
            let used = log.draft(|log| &mut log.camera, STARTED_MS - 8_000, crate::common::gap());
            let mut other = used.clone();
            other.stream = stream("camera/102/events/20261120T115000Z");
            log.append_as_drafted(|log| &mut log.camera, &other);
            (log.camera.next_seq, log.camera.prev) = (0, Hash::default());
            let body = approval(log, index);
            append(log, body);
        }),
    ];
    for (defect, before) in cases {
        let faults = Case::recorded(Recording { before: Some(before), ..Recording::default() }).faults();
        assert_eq!(faults, [FindingKind::SecondCertificate], "{defect}");
    }
}

#[test]
fn only_custodians_whom_the_pinned_ones_decided_on_approve_of_second_certificates() {
    let before: Extra = |log| {
        introduce(log, 3..=3);
        let index = second_camera(log, true);
        approve(log, 3, index);
    };
    let mut case = Case::recorded(Recording { before: Some(before), ..Recording::default() });
    assert_eq!(case.faults(), [], "without pinned custodians any will do");
    let certificates = vec![case.log.custodian.party.certificate.clone()];
    case.log.policy.custodians = Some(PinnedCustodians { certificates, threshold: 1 });
    assert_eq!(case.faults(), [FindingKind::SecondCertificate], "an authority made its own custodian");
}

#[test]
fn a_custodian_who_was_dismissed_approves_of_nothing() {
    let dismissed: Extra = |log| {
        introduce(log, 1..=1);
        let body = set(log, 1, None, &[1], 1);
        append(log, body);
        let index = second_camera(log, true);
        let body = approval(log, index);
        append(log, body);
    };
    let successor: Extra = |log| {
        introduce(log, 1..=1);
        let body = set(log, 1, None, &[1], 1);
        append(log, body);
        let index = second_camera(log, true);
        approve(log, 1, index);
    };
    assert_eq!(judged(dismissed, &[0], 1).0, [FindingKind::SecondCertificate]);
    assert_eq!(judged(successor, &[0], 1).0, []);
}

fn revoke_camera(log: &mut Log, since_ms: u64) {
    let fingerprint = *log.camera.party.certificate.fingerprint();
    let since = Timestamp::from_unix_ms(since_ms).unwrap();
    let body = CertificateRevocation { fingerprint, since, reason: None, attachments: vec![] };
    log.append(|log| &mut log.authority, STARTED_MS - 9_500, Body::CertificateRevocation(body));
}

/// A hostile authority says that the first is not live, and lets it go on.
#[test]
fn a_certificate_is_taken_back_at_once_and_signs_no_more_or_is_live() {
    let cases: [(&str, Extra, &[FindingKind]); 3] = [
        (
            "it was taken back",
            |log| {
                revoke_camera(log, STARTED_MS - 9_600);
                second_camera(log, false);
            },
            &[],
        ),
        (
            "it is to be taken back one day",
            |log| {
                revoke_camera(log, STARTED_MS + 1_000_000_000);
                second_camera(log, false);
            },
            &[FindingKind::SecondCertificate],
        ),
        (
            "it goes on",
            |log| {
                let first = log.pki.party("camera/102", &[Role::Camera], KeyPurpose::Signing, 13);
                revoke_camera(log, STARTED_MS - 9_600);
                second_camera(log, false);
                let second = std::mem::replace(&mut log.camera.party, first);
                let mut gap = log.draft(|log| &mut log.camera, STARTED_MS - 8_000, crate::common::gap());
                gap.stream = stream("camera/102/events/20261120T115000Z");
                log.append_as_drafted(|log| &mut log.camera, &gap);
                (log.camera.party, log.camera.next_seq, log.camera.prev) = (second, 0, Hash::default());
            },
            &[FindingKind::SecondCertificate, FindingKind::RevocationUndecided],
        ),
    ];
    for (how, before, expected) in cases {
        let faults = Case::recorded(Recording { before: Some(before), ..Recording::default() }).faults();
        assert_eq!(faults, expected, "{how}");
    }
}

/// Findings of a recording after `before`, on second certificates: with `pinned`, the anchor pins the usual custodian.
fn told(before: Extra, pinned: bool, expires_ms: Option<u64>) -> Vec<(Grade, FindingKind)> {
    let mut case = Case::recorded(Recording { before: Some(before), expires_ms, ..Recording::default() });
    if pinned {
        let certificates = vec![case.log.custodian.party.certificate.clone()];
        case.log.policy.custodians = Some(PinnedCustodians { certificates, threshold: 1 });
    }
    told_of(&case)
}

fn told_of(case: &Case) -> Vec<(Grade, FindingKind)> {
    let verdict = case.judge().unwrap();
    let findings = verdict.findings.iter().map(|finding| (finding.grade, finding.kind));
    findings.filter(|(_, kind)| [FindingKind::SecondCertificate, FindingKind::KeyReplaced].contains(kind)).collect()
}

const TOLD: (Grade, FindingKind) = (Grade::NotDemanded, FindingKind::KeyReplaced);
const UNDECIDED: (Grade, FindingKind) = (Grade::Undecided, FindingKind::KeyReplaced);
const SECOND: (Grade, FindingKind) = (Grade::Bad, FindingKind::SecondCertificate);

/// The authority takes the first certificate back before it certifies another key, or waits until it has expired, by its own clock.
#[test]
fn another_key_instead_of_one_that_is_dead_is_told_and_undecided_where_custodians_are_pinned() {
    let revoked: Extra = |log| {
        revoke_camera(log, STARTED_MS - 9_600);
        second_camera(log, false);
    };
    let expired: Extra = |log| drop_index(second_camera_at(log, true, STARTED_MS - 8_000));
    let expires_ms = Some(STARTED_MS - 9_000);
    assert_eq!((told(revoked, false, None), told(revoked, true, None)), (vec![TOLD], vec![UNDECIDED]));
    assert_eq!((told(expired, false, expires_ms), told(expired, true, expires_ms)), (vec![TOLD], vec![UNDECIDED]));
    let unused: Extra = |log| {
        let first = log.pki.party("camera/102", &[Role::Camera], KeyPurpose::Signing, 13);
        revoke_camera(log, STARTED_MS + 1_000_000_000);
        second_camera_at(log, false, STARTED_MS + 1_000_000_000);
        log.camera.party = first;
    };
    assert_eq!(told(unused, true, None), [(Grade::NotDemanded, FindingKind::SecondCertificate)], "the first goes on, and so it is live");
    let of_nobody: Extra = |log| {
        for scalar in [96, 97] {
            let person = log.pki.party("user/b9", &[Role::Investigator], KeyPurpose::Signing, scalar).certificate;
            log.certify(&person, &[]);
            let body = CertificateRevocation { fingerprint: *person.fingerprint(), since: log_begins(), reason: None, attachments: vec![] };
            log.append(|log| &mut log.authority, STARTED_MS - 9_500, Body::CertificateRevocation(body));
        }
    };
    assert_eq!(told(of_nobody, true, None), [TOLD], "what signs nothing decides nothing");
    let approved: Extra = |log| {
        revoke_camera(log, STARTED_MS - 9_600);
        let index = second_camera(log, true);
        let body = approval(log, index);
        append(log, body);
    };
    assert_eq!((told(approved, false, None), told(approved, true, None)), (vec![TOLD], vec![TOLD]));
    let without_replaces: Extra = |log| {
        revoke_camera(log, STARTED_MS - 9_600);
        let index = second_camera(log, false);
        let body = approval(log, index);
        append(log, body);
    };
    assert_eq!(told(without_replaces, true, None), [UNDECIDED], "an approval that does not say of what");
}

fn log_begins() -> Timestamp {
    Timestamp::from_unix_ms(STARTED_MS - 60_000).unwrap()
}

/// Another certificate for a key of the camera, which records from then on.
fn renew(log: &mut Log, scalar: u8) {
    let renewed = crate::common::key(scalar);
    let certificate = log.pki.certify("camera/102", &[Role::Camera], KeyPurpose::Signing, 98, renewed.public_key());
    let attachments = vec![log.keep("certificate", certificate.der())];
    let body = CertificateBody { fingerprint: *certificate.fingerprint(), replaces: None, attachments };
    log.append(|log| &mut log.authority, STARTED_MS - 8_000, Body::Certificate(body));
    log.camera.party = Party { certificate, key: renewed };
}

/// Of which key, how, and what is found.
type Introduction = (&'static str, Extra, &'static [(Grade, FindingKind)]);

/// Keys 13, the first, and 91, of the second camera.
#[test]
fn a_renewal_is_of_a_key_that_counts() {
    let cases: [Introduction; 6] = [
        ("the first key", |log| renew(log, 13), &[]),
        (
            "a key that a custodian approved",
            |log| {
                let index = second_camera(log, true);
                let body = approval(log, index);
                append(log, body);
                renew(log, 91);
            },
            &[TOLD],
        ),
        (
            "a key that was replaced",
            |log| {
                let index = second_camera(log, true);
                let body = approval(log, index);
                append(log, body);
                renew(log, 13);
            },
            &[SECOND, TOLD],
        ),
        (
            "a key that a custodian approved only after that",
            |log| {
                let index = second_camera(log, true);
                renew(log, 91);
                let body = approval(log, index);
                append(log, body);
            },
            &[SECOND, TOLD],
        ),
        (
            "the first key, before a custodian approved of another",
            |log| {
                let index = second_camera(log, true);
                renew(log, 13);
                let body = approval(log, index);
                append(log, body);
            },
            &[TOLD],
        ),
        (
            "a key that nobody approved, which had signed nothing",
            |log| {
                second_camera(log, true);
                renew(log, 91);
            },
            &[SECOND, (Grade::NotDemanded, FindingKind::SecondCertificate)],
        ),
    ];
    for (which, before, expected) in cases {
        assert_eq!(told(before, true, None), expected, "{which}");
    }
}

/// A third camera 102, in the place of the first or of the second, of which a custodian approves.
fn third_camera(log: &mut Log, replaced: [u8; 32]) {
    log.camera.party = log.pki.party("camera/102", &[Role::Camera], KeyPurpose::Signing, 95);
    let certificate = log.camera.party.certificate.clone();
    let attachments = vec![log.keep("certificate", certificate.der())];
    let body = CertificateBody { fingerprint: *certificate.fingerprint(), replaces: Some(replaced), attachments };
    let index = log.append(|log| &mut log.authority, STARTED_MS - 8_500, Body::Certificate(body));
    let body = approval(log, index);
    append(log, body);
}

/// The first was taken back, and a custodian approved of the second: the first is replaced by nobody any more.
#[test]
fn of_two_that_of_the_live_one_is_the_place_to_take() {
    let cases: [Introduction; 2] = [
        (
            "that of the one that is live",
            |log| {
                let second = second_after_the_first(log);
                third_camera(log, second);
            },
            &[TOLD, TOLD],
        ),
        (
            "that of the one that is dead",
            |log| {
                let first = *log.camera.party.certificate.fingerprint();
                second_after_the_first(log);
                third_camera(log, first);
            },
            &[SECOND, TOLD],
        ),
    ];
    for (whose, before, expected) in cases {
        assert_eq!(told(before, true, None), expected, "{whose}");
    }
}

fn second_after_the_first(log: &mut Log) -> [u8; 32] {
    revoke_camera(log, STARTED_MS - 9_600);
    let index = second_camera(log, true);
    let body = approval(log, index);
    append(log, body);
    *log.camera.party.certificate.fingerprint()
}

/// Only certificates of another key are beside it: its own, which nobody approved either, is not.
#[test]
fn the_own_key_is_not_live_beside_itself() {
    let before: Extra = |log| {
        revoke_camera(log, STARTED_MS - 9_600);
        second_camera(log, false);
        renew(log, 91);
    };
    assert_eq!(told(before, true, None), [UNDECIDED, TOLD]);
}

/// Its own clock says that the first was dead by then, and a notary that it was not.
#[test]
fn the_authoritys_clock_does_not_outlive_a_certificate() {
    let revoked: Extra = |log| {
        revoke_camera(log, STARTED_MS + 10_000);
        second_camera_at(log, false, STARTED_MS + 20_000);
        timestamp(log, &notary(), STARTED_MS - 8_500);
    };
    let case = |policy| {
        let mut case = Case::recorded(Recording { before: Some(revoked), ..Recording::default() });
        case.log.policy = policy;
        case.prove_heads();
        told_of(&case)
    };
    assert_eq!(case(AnchorPolicy::default()), [TOLD], "by the authority's word");
    assert_eq!(case(believing_time()), [SECOND]);
    let later: Extra = |log| {
        revoke_camera(log, STARTED_MS - 8_700);
        second_camera_at(log, false, STARTED_MS - 9_000);
        timestamp(log, &notary(), STARTED_MS - 8_500);
    };
    let mut case = Case::recorded(Recording { before: Some(later), ..Recording::default() });
    case.log.policy = believing_time();
    case.prove_heads();
    assert_eq!(told_of(&case), [SECOND], "a bound that is later than its own word is no moment");
}

/// What these tests judge is judged by the verifier in Python too.
pub const TESTS: &[fn()] = &[
    a_certificate_lives_to_the_end_of_its_last_second,
    services_of_one_authority_are_certified_apart,
    a_second_certificate_needs_to_replace_the_first_and_a_custodians_approval,
    only_custodians_whom_the_pinned_ones_decided_on_approve_of_second_certificates,
    a_custodian_who_was_dismissed_approves_of_nothing,
    a_certificate_is_taken_back_at_once_and_signs_no_more_or_is_live,
    another_key_instead_of_one_that_is_dead_is_told_and_undecided_where_custodians_are_pinned,
    a_renewal_is_of_a_key_that_counts,
    of_two_that_of_the_live_one_is_the_place_to_take,
    the_own_key_is_not_live_beside_itself,
    the_authoritys_clock_does_not_outlive_a_certificate,
];

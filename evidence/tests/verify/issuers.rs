//! The authorities' certificates that paths are built from: those that the log has, as many as are kept.

use exhibit_evidence::verdict::FindingKind;
use exhibit_pki::issue::{EndEntity, Issuance, issue_end_entity, issue_issuing_ca};
use exhibit_pki::{Certificate, Identity, KeyPurpose, Role, Signer};

use crate::common::remembered::Remembering;
use crate::common::{NOT_AFTER, NOT_BEFORE, Party, key, time};
use crate::synthetic::{Case, Extra, Log, Recording};

/// As many are kept that are no roots.
const ISSUERS_MAX: u8 = 64;
/// The issuing authority, which comes with the log's own authority.
const USUAL: u8 = 1;

fn issuance(serial: u8) -> Issuance {
    Issuance { not_before: time(NOT_BEFORE), not_after: time(NOT_AFTER), serial: [serial; 16] }
}

/// Another issuing authority under the city's root.
fn authority(log: &Log, number: u8) -> Certificate {
    let (root, public_key) = (key(1), key(45));
    let name = format!("City Cameras {number}");
    let issuance = issuance(100 + number);
    issue_issuing_ca(&name, public_key.public_key(), &[Role::Camera], &log.pki.root, &Remembering(&root), &issuance).unwrap()
}

/// Camera 102 is certified by the last of so many further authorities, which are all introduced, and records.
fn certified_by_the_last_of(log: &mut Log, count: u8) {
    let custodian = log.custodian.party.certificate.clone();
    let authorities: Vec<Certificate> = (1..=count).map(|number| authority(log, number)).collect();
    for some in authorities.chunks(8) {
        log.certify(&custodian, some);
    }
    let identity = Identity::parse("spiffe://city.example/camera/102").unwrap();
    let (camera_key, issuing_key) = (key(46), key(45));
    let public_key = camera_key.public_key();
    let entity = EndEntity { identity: &identity, public_key, purpose: KeyPurpose::Signing, roles: &[Role::Camera], server_names: &[] };
    let issuer = authorities.last().unwrap();
    let certificate = issue_end_entity(&entity, issuer, &Remembering(&issuing_key), &issuance(99)).unwrap();
    log.camera.party = Party { certificate: certificate.clone(), key: camera_key };
    log.certify(&certificate, &[]);
}

/// Whether a path was found for the camera's certificate; that it is a second one is another matter.
fn leads_to_a_root(before: Extra) -> bool {
    let faults = Case::recorded(Recording { before: Some(before), ..Recording::default() }).faults();
    assert!(faults.iter().all(|kind| *kind != FindingKind::CertificateUnknown), "{faults:?}");
    !faults.contains(&FindingKind::CertificatePath)
}

#[test]
fn a_path_leads_through_any_authority_that_the_log_has() {
    let before = |log: &mut Log| certified_by_the_last_of(log, 1);
    assert!(leads_to_a_root(before), "the second authority was not tried");
}

/// Whoever keeps the log can put any number of authorities on it, and each is tried for every path.
#[test]
fn more_authorities_than_are_kept_are_passed_over() {
    let all = |log: &mut Log| certified_by_the_last_of(log, ISSUERS_MAX - USUAL);
    assert!(leads_to_a_root(all), "the last that is kept was not tried");
    let more = |log: &mut Log| certified_by_the_last_of(log, ISSUERS_MAX - USUAL + 1);
    assert!(!leads_to_a_root(more), "more are kept");
}

/// A certificate of an authority that is there again and again takes one place.
#[test]
fn an_authority_counts_once() {
    let again = |log: &mut Log| {
        let (custodian, first) = (log.custodian.party.certificate.clone(), authority(log, 1));
        for _ in 0..10 {
            log.certify(&custodian, &vec![first.clone(); 8]);
        }
        certified_by_the_last_of(log, 2);
    };
    assert!(leads_to_a_root(again), "one that is there often took the place of others");
}

/// Anybody can make a certificate that bears an authority's name and key; its own authority's signature is what they can not make.
#[test]
fn no_number_of_certificates_that_nobody_signed_hides_an_authority() {
    let before = |log: &mut Log| {
        let custodian = log.custodian.party.certificate.clone();
        let forged: Vec<Certificate> = (0..100).map(|number| unsigned(&authority(log, 1), number)).collect();
        for some in forged.chunks(8) {
            log.certify(&custodian, some);
        }
        certified_by_the_last_of(log, 1);
    };
    assert!(leads_to_a_root(before), "certificates that nobody signed took the place of one, or the time of its path");
}

/// The same with another serial number, which its signature is not over.
fn unsigned(certificate: &Certificate, number: u8) -> Certificate {
    let mut der = certificate.der().to_vec();
    let at = der.windows(certificate.serial().len()).position(|bytes| bytes == certificate.serial()).unwrap();
    der[at + 1] ^= number + 1;
    Certificate::from_der(&der).unwrap()
}

pub const TESTS: &[fn()] =
    &[a_path_leads_through_any_authority_that_the_log_has, no_number_of_certificates_that_nobody_signed_hides_an_authority];

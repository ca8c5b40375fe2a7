//! What is issued here must be accepted by the path building of rustls, which carries it on every connection.
#![cfg(not(target_family = "wasm"))]
#![allow(clippy::unwrap_used)]

mod support;

use std::time::Duration;

use exhibit_pki::{Certificate, KeyPurpose, Role};
use rustls_pki_types::{CertificateDer, UnixTime};
use support::*;
use webpki::{EndEntityCert, KeyUsage, anchor_from_trusted_cert, aws_lc_rs::ECDSA_P384_SHA384};

fn judge(leaf: &Certificate, city: &City, usage: KeyUsage, moment: &str) -> Result<(), webpki::Error> {
    let root = CertificateDer::from(city.root.der());
    let anchors = [anchor_from_trusted_cert(&root).unwrap()];
    let leaf = CertificateDer::from(leaf.der());
    let issuing = [CertificateDer::from(city.issuing.der())];
    let time = UnixTime::since_unix_epoch(Duration::from_millis(at(moment).unix_ms()));
    EndEntityCert::try_from(&leaf).unwrap().verify_for_usage(&[ECDSA_P384_SHA384], &anchors, &issuing, time, usage, None, None).map(drop)
}

#[test]
fn cameras_and_people_connect_and_the_appliance_answers() {
    let city = City::new();
    let appliance = city.issue("appliance/1", &[Role::Appliance], KeyPurpose::Signing, &["localhost", "127.0.0.1"], &key(4));
    let user = city.issue("user/8c1", &[Role::Custodian, Role::Auditor], KeyPurpose::Signing, &[], &key(5));
    for client in [&city.camera(), &user, &appliance] {
        assert_eq!(judge(client, &city, KeyUsage::client_auth(), NOON), Ok(()));
    }
    assert_eq!(judge(&appliance, &city, KeyUsage::server_auth(), NOON), Ok(()));
    let der = CertificateDer::from(appliance.der());
    for name in ["localhost", "127.0.0.1"] {
        EndEntityCert::try_from(&der).unwrap().verify_is_valid_for_subject_name(&name.try_into().unwrap()).unwrap();
    }
}

#[test]
fn a_camera_is_no_server_and_nobody_connects_after_the_end() {
    let city = City::new();
    assert!(judge(&city.camera(), &city, KeyUsage::server_auth(), NOON).is_err());
    assert!(judge(&city.camera(), &city, KeyUsage::client_auth(), "2036-01-01T00:00:01.000Z").is_err());
}

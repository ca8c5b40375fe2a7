//! What an authority of ours will not issue, and what the certificates it issues look like at the limits.
#![allow(clippy::unwrap_used)]

mod support;

use exhibit_pki::{
    Certificate, EndEntity, Identity, Issuance, IssueError, KeyPurpose, Role, Signer, Subject, TrustDomain, issue_end_entity,
    issue_issuing_ca, issue_root,
};
use support::*;

fn refused(result: Result<Certificate, IssueError>) -> bool {
    matches!(result, Err(IssueError::Refused(_)))
}

#[test]
fn an_authority_refuses_what_it_may_not_issue() {
    let city = City::new();
    let holder = key(3);
    let user = identity("user/8c1");
    let entity = EndEntity {
        identity: &user,
        public_key: holder.public_key(),
        purpose: KeyPurpose::Signing,
        roles: &[Role::Auditor],
        server_names: &[],
    };
    let issue = |entity: EndEntity<'_>| issue_end_entity(&entity, &city.issuing, &city.issuing_key, &issuance(3));
    issue(EndEntity { ..entity }).unwrap();
    assert!(refused(issue(EndEntity { roles: &[Role::Auditor, Role::Admin], ..entity })), "a role that the authority lacks");
    assert!(refused(issue(EndEntity { roles: &[], ..entity })), "no role");
    assert!(refused(issue(EndEntity { roles: &[Role::Auditor, Role::Auditor], ..entity })), "a role twice");
    assert!(refused(issue(EndEntity { purpose: KeyPurpose::Authority, ..entity })), "an authority as an end entity");
    let stranger = Identity::parse("spiffe://town.example/user/8c1").unwrap();
    assert!(refused(issue(EndEntity { identity: &stranger, ..entity })), "another trust domain");
    for id in ["", "8c1/../1", "8C1", "8c1 ", "8c1\u{e9}"] {
        let crooked = Identity { domain: TrustDomain::parse(DOMAIN).unwrap(), subject: Subject::User(id.to_owned()) };
        assert!(refused(issue(EndEntity { identity: &crooked, ..entity })), "{id:?}");
    }
    let wrapping_server = EndEntity { purpose: KeyPurpose::Wrapping, server_names: &["localhost".to_owned()], ..entity };
    assert!(refused(issue(wrapping_server)), "a wrapping certificate for a server");
    for name in ["", "*.city.example", "a b", "127.0.0.1:443", "[::1]"] {
        assert!(refused(issue(EndEntity { server_names: &[name.to_owned()], ..entity })), "{name:?}");
    }
    assert!(refused(issue_end_entity(&entity, &city.issuing, &city.root_key, &issuance(3))), "another key than the issuer's");
    assert!(
        refused(issue_end_entity(&EndEntity { roles: &[Role::Camera], ..entity }, &city.camera(), &key(3), &issuance(3))),
        "a camera as an authority"
    );
    let backwards = Issuance { not_before: at(TO), not_after: at(FROM), serial: [3; 16] };
    assert!(refused(issue_end_entity(&entity, &city.issuing, &city.issuing_key, &backwards)), "a validity that ends before it begins");
}

#[test]
fn an_authority_certifies_its_services() {
    let city = City::new();
    let (identity, holder) = (identity("authority/time"), key(8));
    let entity = EndEntity {
        identity: &identity,
        public_key: holder.public_key(),
        purpose: KeyPurpose::Timestamping,
        roles: &[],
        server_names: &[],
    };
    let issue = |entity: EndEntity<'_>| issue_end_entity(&entity, &city.issuing, &city.issuing_key, &issuance(3));
    for purpose in [KeyPurpose::Timestamping, KeyPurpose::OcspSigning] {
        assert_eq!(issue(EndEntity { purpose, ..entity }).unwrap().purpose(), purpose);
        assert!(refused(issue(EndEntity { purpose, roles: &[Role::Authority], ..entity })), "{purpose} with a role");
        assert!(refused(issue(EndEntity { purpose, server_names: &["localhost".to_owned()], ..entity })), "{purpose} for a server");
        let camera = self::identity("camera/102");
        assert!(refused(issue(EndEntity { purpose, identity: &camera, ..entity })), "{purpose} for a camera");
    }
    assert!(refused(issue(EndEntity { purpose: KeyPurpose::Signing, ..entity })), "a signing certificate without a role");
}

#[test]
fn an_issuing_authority_makes_no_authorities() {
    let city = City::new();
    let holder = key(6);
    let below = issue_issuing_ca("Below", holder.public_key(), &[Role::Camera], &city.issuing, &city.issuing_key, &issuance(4));
    assert!(refused(below));
    let nameless = issue_issuing_ca("", holder.public_key(), &[Role::Camera], &city.root, &city.root_key, &issuance(4));
    assert!(refused(nameless));
    assert!(refused(issue_root(&"x".repeat(65), &TrustDomain::parse(DOMAIN).unwrap(), &holder, &issuance(4))));
}

#[test]
fn serial_numbers_are_positive_whatever_was_drawn() {
    let domain = TrustDomain::parse(DOMAIN).unwrap();
    let serial = |drawn: [u8; 16]| {
        let issuance = Issuance { not_before: at(FROM), not_after: at(TO), serial: drawn };
        issue_root("Root", &domain, &key(1), &issuance).unwrap().serial().to_vec()
    };
    assert_eq!(serial([0; 16]), [1]);
    assert_eq!(serial([0x80, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]), [1]);
    assert_eq!(serial([0xff; 16]), [&[0x7f][..], &[0xff; 15]].concat());
}

#[test]
fn validity_is_written_in_whole_seconds_on_both_sides_of_2050() {
    let domain = TrustDomain::parse(DOMAIN).unwrap();
    let issuance = Issuance { not_before: at("2049-12-31T23:59:59.999Z"), not_after: at("2050-01-01T00:00:00.001Z"), serial: [1; 16] };
    let root = issue_root("Root", &domain, &key(1), &issuance).unwrap();
    assert_eq!((root.not_before(), root.not_after()), (at("2049-12-31T23:59:59.000Z"), at("2050-01-01T00:00:00.000Z")));
    assert!(root.der().windows(15).any(|window| window == b"\x17\x0d491231235959Z"), "not UTCTime before 2050");
    assert!(root.der().windows(17).any(|window| window == b"\x18\x0f20500101000000Z"), "not GeneralizedTime after 2049");
}

#[test]
fn the_common_name_is_the_subject_as_far_as_it_fits() {
    let city = City::new();
    assert_eq!(city.camera().common_name(), "camera/102");
    let long = "a".repeat(64);
    let user = city.issue(&format!("user/{long}"), &[Role::Auditor], KeyPurpose::Signing, &[], &key(3));
    assert_eq!(user.common_name(), long);
    assert_eq!(user.identity().unwrap().subject.to_string(), format!("user/{long}"));
}

#[test]
fn the_same_input_makes_the_same_certificate() {
    assert_eq!(City::new().camera().der(), City::new().camera().der());
}

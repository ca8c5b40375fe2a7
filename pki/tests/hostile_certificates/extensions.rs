//! Extensions of certificates: what a key is for, policies, and the form of their values.

use crate::support::*;
use crate::{check, client_and_server, judged};
use exhibit_pki::{CertificateError, Role};

#[test]
pub fn a_key_for_more_or_less_than_its_purpose_is_refused() {
    let camera = Forgery::camera(&City::new());
    check(vec![
        ("no key usage", "it has no key usage", camera.clone().without(KEY_USAGE)),
        ("key usage not critical", "an extension is not critical that must be", camera.clone().criticality(KEY_USAGE, false)),
        (
            "signing and key agreement in one",
            "its key usage is neither issuing, nor signing, nor key agreement, nor key encipherment alone",
            camera.clone().replace(KEY_USAGE, vec![3, 2, 3, 0x88]),
        ),
        (
            "signing and issuing in one",
            "its key usage is neither issuing, nor signing, nor key agreement, nor key encipherment alone",
            camera.clone().replace(KEY_USAGE, vec![3, 2, 2, 0x84]),
        ),
        ("key encipherment", "its extended key usage is not that of its purpose", camera.clone().replace(KEY_USAGE, vec![3, 2, 5, 0x20])),
        (
            "end entity that is a CA",
            "its basicConstraints are those of an authority, but its key usage is not",
            camera.clone().replace(BASIC_CONSTRAINTS, tlv(0x30, &[&[1, 1, 0xff]])),
        ),
        (
            "end entity with a path length",
            "its basicConstraints are those of an authority, but its key usage is not",
            camera.clone().replace(BASIC_CONSTRAINTS, tlv(0x30, &[&[2, 1, 0]])),
        ),
        ("no extended key usage", "its extended key usage is not that of its purpose", camera.clone().without(EXTENDED_USAGE)),
        (
            "any extended key usage",
            "its extended key usage is not that of its purpose",
            camera.clone().replace(EXTENDED_USAGE, tlv(0x30, &[&oid("2.5.29.37.0")])),
        ),
        (
            "server authentication without a server name",
            "its extended key usage is not that of its purpose",
            camera.clone().replace(EXTENDED_USAGE, client_and_server()),
        ),
        (
            "wrapping key for TLS",
            "its extended key usage is not that of its purpose",
            camera.clone().replace(KEY_USAGE, AGREEMENT_USAGE.to_vec()),
        ),
    ]);
}

#[test]
pub fn policies_and_extensions_with_a_flaw_are_refused() {
    let city = City::new();
    let (camera, authority) = (Forgery::camera(&city), Forgery::authority(&city));
    check(vec![
        ("no role", "it has no role", camera.clone().without(POLICIES)),
        ("no role but any policy", "it has no role", camera.clone().replace(POLICIES, policies(&["2.5.29.32.0"]))),
        ("critical policies", "an extension is critical that must not be", camera.clone().criticality(POLICIES, true)),
        (
            "a policy twice",
            "it has a policy twice",
            camera.clone().replace(POLICIES, policies(&["2.25.1586047359.2.1", "2.25.1586047359.2.1"])),
        ),
        ("unknown critical extension", "it has an unknown critical extension", camera.clone().with("2.25.1586047359.99", true, vec![5, 0])),
        (
            "name constraints",
            "it constrains names or policies, which is not supported",
            authority.clone().with("2.5.29.30", false, tlv(0x30, &[])),
        ),
        (
            "policy constraints",
            "it constrains names or policies, which is not supported",
            authority.clone().with("2.5.29.36", true, tlv(0x30, &[])),
        ),
        ("an extension twice", "it has an extension twice", camera.clone().with(KEY_USAGE, true, SIGNING_USAGE.to_vec())),
    ]);
}

#[test]
pub fn what_is_compared_each_with_each_is_counted_first() {
    let city = City::new();
    let camera = Forgery::camera(&city);
    let kinds: Vec<String> = (0..33).map(|number| format!("1.2.3.{number}")).collect();
    let refusal = |forgery: &Forgery| judged::read_certificate(&forgery.sign(&city.issuing_key)).err();
    let crowded =
        |count: usize| kinds[..count - camera.extensions.len()].iter().fold(camera.clone(), |f, kind| f.with(kind, false, vec![5, 0]));
    assert_eq!(refusal(&crowded(32)), None);
    assert_eq!(refusal(&crowded(33)), Some(CertificateError::Profile("it has too many extensions")));
    let named = |count: usize| {
        let list: Vec<&str> = std::iter::once("2.25.1586047359.2.1").chain(kinds.iter().map(String::as_str)).take(count).collect();
        camera.clone().replace(POLICIES, policies(&list))
    };
    assert_eq!(refusal(&named(32)), None);
    assert_eq!(refusal(&named(33)), Some(CertificateError::Profile("it has too many policies")));
}

/// The value of an extension is octets to whoever reads the certificate around it; it is DER all the same.
#[test]
pub fn the_values_of_extensions_are_der() {
    let city = City::new();
    let (camera, authority) = (Forgery::camera(&city), Forgery::authority(&city));
    let identifier = city.issuing.subject_key_identifier();
    let long_form = |tag: u8, content: &[u8]| [&[tag, 0x81, content.len() as u8][..], content].concat();
    let client = oid("1.3.6.1.5.5.7.3.2");
    let uri = tlv(0x86, &[b"spiffe://city.example/camera/102"]);
    let policy = tlv(0x30, &[&oid("2.25.1586047359.2.1")]);
    let constrained = |content: &[&[u8]]| authority.clone().replace(BASIC_CONSTRAINTS, tlv(0x30, content));
    for (flaw, forgery) in [
        ("key usage with a byte too many", camera.clone().replace(KEY_USAGE, vec![3, 3, 7, 0x80, 0])),
        ("key usage whose unused bits are set", camera.clone().replace(KEY_USAGE, vec![3, 2, 7, 0xff])),
        ("key usage with fewer unused bits than there are", camera.clone().replace(KEY_USAGE, vec![3, 2, 6, 0x80])),
        ("key usage with a bit that nobody defined", camera.clone().replace(KEY_USAGE, vec![3, 3, 6, 0x80, 0x40])),
        ("a default that is written", camera.clone().replace(BASIC_CONSTRAINTS, tlv(0x30, &[&[1, 1, 0]]))),
        ("true as 1", constrained(&[&[1, 1, 1], &[2, 1, 0]])),
        ("a path length with a zero too many", constrained(&[&[1, 1, 0xff], &[2, 2, 0, 0]])),
        ("a negative path length", constrained(&[&[1, 1, 0xff], &[2, 1, 0x80]])),
        ("a path length above 255", constrained(&[&[1, 1, 0xff], &[2, 2, 1, 0]])),
        ("basicConstraints in long form", camera.clone().replace(BASIC_CONSTRAINTS, vec![0x30, 0x81, 0])),
        ("a subject key identifier in long form", camera.clone().replace(SUBJECT_KEY, long_form(4, &[7; 20]))),
        ("an authority key identifier in long form", camera.clone().replace(AUTHORITY_KEY, tlv(0x30, &[&long_form(0x80, identifier)]))),
        ("an extended key usage in long form", camera.clone().replace(EXTENDED_USAGE, long_form(0x30, &client))),
        ("a subject alternative name in long form", camera.clone().replace(ALTERNATIVE_NAME, long_form(0x30, &uri))),
        ("a policy that is no sequence", camera.clone().replace(POLICIES, tlv(0x30, &[&tlv(0x0a, &[&oid("2.25.1586047359.2.1")])]))),
        (
            "a policy with a qualifier that is none",
            camera
                .clone()
                .replace(POLICIES, tlv(0x30, &[&tlv(0x30, &[&oid("2.25.1586047359.2.1"), &tlv(0x30, &[&tlv(0x31, &[&oid("1.2.3")])])])])),
        ),
        ("policies in long form", camera.clone().replace(POLICIES, long_form(0x30, &policy))),
    ] {
        let refusal = judged::read_certificate(&forgery.sign(&city.issuing_key)).err();
        assert_eq!(refusal, Some(CertificateError::Malformed), "{flaw}");
    }
    for most in [0, 1, 127] {
        assert_eq!(
            judged::read_certificate(&constrained(&[&[1, 1, 0xff], &[2, 1, most]]).sign(&city.root_key)).unwrap().path_length_max(),
            Some(most)
        );
    }
    let largest = constrained(&[&[1, 1, 0xff], &[2, 2, 0, 0xff]]).sign(&city.root_key);
    assert_eq!(judged::read_certificate(&largest).unwrap().path_length_max(), Some(255));
}

#[test]
pub fn what_is_unknown_and_not_critical_is_left_alone() {
    let city = City::new();
    let forgery = Forgery::camera(&city)
        .with("2.25.1586047359.99", false, vec![5, 0])
        .replace(POLICIES, policies(&["1.2.3.4", "2.25.1586047359.2.1", "2.25.1586047359.2.99", "2.5.29.32.0"]));
    let camera = judged::read_certificate(&forgery.sign(&city.issuing_key)).unwrap();
    assert_eq!(camera.roles(), [Role::Camera], "a policy that is no role gave one");
}

//! Certificates with one flaw each: none may be taken for one of our profiles.
#![allow(clippy::unwrap_used)]

#[path = "support/judged.rs"]
mod judged;
mod support;

use exhibit_pki::{Certificate, CertificateError, KeyPurpose, Role, Signer};
use support::*;

#[test]
fn the_forger_can_write_certificates_without_a_flaw() {
    let city = City::new();
    let camera = judged::read_certificate(&Forgery::camera(&city).sign(&city.issuing_key)).unwrap();
    assert_eq!(camera.identity(), Some(&identity("camera/102")));
    assert_eq!((camera.purpose(), camera.roles()), (KeyPurpose::Signing, &[Role::Camera][..]));
    assert_eq!((camera.not_before(), camera.not_after()), (at(FROM), at(TO)));
    assert_eq!(camera.serial(), [77]);
    assert_eq!(camera.common_name(), "camera/102");
    let authority = judged::read_certificate(&Forgery::authority(&city).sign(&city.root_key)).unwrap();
    assert_eq!((authority.purpose(), authority.identity()), (KeyPurpose::Authority, None));
    assert_eq!(authority.path_length_max(), Some(0));
}

/// A flaw, what is said of it, and the certificate that has it and no other.
type Case = (&'static str, &'static str, Forgery);

fn check(cases: Vec<Case>) {
    let city = City::new();
    for (flaw, reason, forgery) in cases {
        let refusal = judged::read_certificate(&forgery.sign(&city.issuing_key)).err();
        assert_eq!(refusal, Some(CertificateError::Profile(reason)), "{flaw}");
    }
}

fn with(base: &Forgery, change: &dyn Fn(&mut Forgery)) -> Forgery {
    let mut forgery = base.clone();
    change(&mut forgery);
    forgery
}

fn client_and_server() -> Vec<u8> {
    tlv(0x30, &[&oid("1.3.6.1.5.5.7.3.2"), &oid("1.3.6.1.5.5.7.3.1")])
}

#[test]
fn a_certificate_of_another_form_is_refused() {
    let camera = Forgery::camera(&City::new());
    let with_null = tlv(0x30, &[&oid("1.2.840.10045.4.3.3"), &[5, 0]]);
    let secp256k1 = hex::decode("3056301006072a8648ce3d020106052b8104000a0342000479be667ef9dcbbac55a06295ce870b07029bfcdb2dce28d959f2815b16f81798483ada7726a3c4655da4fbfc0e1108a8fd17b448a68554199c47d08ffb10d4b8").unwrap();
    let mut off_curve = camera.public_key.clone();
    *off_curve.last_mut().unwrap() ^= 1;
    check(vec![
        ("version 1", "it is not version 3 without unique identifiers", with(&camera, &|f| (f.version, f.extensions) = (vec![], vec![]))),
        ("version 2", "it is not version 3 without unique identifiers", with(&camera, &|f| f.version = tlv(0xa0, &[&[2, 1, 1]]))),
        (
            "a subject unique identifier",
            "it is not version 3 without unique identifiers",
            with(&camera, &|f| f.after_key = vec![0x82, 2, 0, 1]),
        ),
        (
            "an issuer unique identifier",
            "it is not version 3 without unique identifiers",
            with(&camera, &|f| f.after_key = vec![0x81, 2, 0, 1]),
        ),
        ("serial number zero", "its serial number is not positive, or longer than 20 bytes", with(&camera, &|f| f.serial = vec![2, 1, 0])),
        (
            "serial number negative",
            "its serial number is not positive, or longer than 20 bytes",
            with(&camera, &|f| f.serial = vec![2, 1, 0x80]),
        ),
        (
            "serial number of 21 bytes",
            "its serial number is not positive, or longer than 20 bytes",
            with(&camera, &|f| f.serial = tlv(2, &[&[1; 21]])),
        ),
        (
            "signature algorithm SHA-256",
            "it is not signed with ECDSA and SHA-384",
            with(&camera, &|f| {
                f.algorithm = tlv(0x30, &[&oid("1.2.840.10045.4.3.2")]);
                f.outer_algorithm = f.algorithm.clone();
            }),
        ),
        (
            "signature algorithm other inside than outside",
            "it is not signed with ECDSA and SHA-384",
            with(&camera, &|f| f.algorithm = tlv(0x30, &[&oid("1.2.840.10045.4.3.2")])),
        ),
        (
            "signature algorithm other outside than inside",
            "it is not signed with ECDSA and SHA-384",
            with(&camera, &|f| f.outer_algorithm = tlv(0x30, &[&oid("1.2.840.10045.4.3.2")])),
        ),
        (
            "signature algorithm with parameters",
            "it is not signed with ECDSA and SHA-384",
            with(&camera, &|f| (f.algorithm, f.outer_algorithm) = (with_null.clone(), with_null.clone())),
        ),
        (
            "wrong curve",
            "the key is of no suite in use (ECDSA on P-384 or P-256, RSA)",
            with(&camera, &|f| f.public_key = secp256k1.clone()),
        ),
        (
            "a key that is not on the curve",
            "the key is not an uncompressed point on its curve",
            with(&camera, &|f| f.public_key = off_curve.clone()),
        ),
        (
            "validity ends before it begins",
            "its validity ends before it begins",
            with(&camera, &|f| f.not_after = tlv(0x17, &[b"250101000000Z"])),
        ),
    ]);
}

#[test]
fn names_and_key_identifiers_with_a_flaw_are_refused() {
    let city = City::new();
    let camera = Forgery::camera(&city);
    let named = |more: &[&[u8]]| {
        let key = tlv(0x80, &[city.issuing.subject_key_identifier()]);
        camera.clone().replace(AUTHORITY_KEY, tlv(0x30, &[&key, &more.concat()]))
    };
    check(vec![
        ("no common name", "it does not have exactly one printable common name", with(&camera, &|f| f.subject = tlv(0x30, &[]))),
        (
            "two common names",
            "it does not have exactly one printable common name",
            with(&camera, &|f| f.subject = tlv(0x30, &[&common_name("a")[2..], &common_name("b")[2..]])),
        ),
        (
            "a line break in the common name",
            "it does not have exactly one printable common name",
            with(&camera, &|f| f.subject = common_name("camera/102\nadmin")),
        ),
        ("no subject key identifier", "it has no subject key identifier", camera.clone().without(SUBJECT_KEY)),
        ("empty subject key identifier", "a key identifier is empty or too long", camera.clone().replace(SUBJECT_KEY, tlv(4, &[]))),
        ("critical subject key identifier", "an extension is critical that must not be", camera.clone().criticality(SUBJECT_KEY, true)),
        ("critical authority key identifier", "an extension is critical that must not be", camera.clone().criticality(AUTHORITY_KEY, true)),
        ("no authority key identifier", "it has no authority key identifier", camera.clone().without(AUTHORITY_KEY)),
        (
            "authority key identifier without a key",
            "its authority key identifier has no key identifier",
            camera.clone().replace(AUTHORITY_KEY, tlv(0x30, &[])),
        ),
        (
            "authority key identifier with a serial number",
            "its authority key identifier has more than a key identifier",
            named(&[&tlv(0xa1, &[&tlv(0xa4, &[city.root.subject_der()])]), &[0x82, 1, 2]]),
        ),
        (
            "authority key identifier with a serial number alone",
            "its authority key identifier has more than a key identifier",
            named(&[&[0x82, 1, 2]]),
        ),
        (
            "authority key identifier with an issuer",
            "its authority key identifier has more than a key identifier",
            named(&[&tlv(0xa1, &[&tlv(0xa4, &[city.root.subject_der()])])]),
        ),
    ]);
}

#[test]
fn a_key_for_more_or_less_than_its_purpose_is_refused() {
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
fn an_alternative_name_with_a_flaw_is_refused() {
    let camera = Forgery::camera(&City::new());
    check(vec![
        ("no SAN", "it does not have exactly one URI in its subject alternative name", camera.clone().without(ALTERNATIVE_NAME)),
        (
            "empty SAN",
            "it does not have exactly one URI in its subject alternative name",
            camera.clone().replace(ALTERNATIVE_NAME, tlv(0x30, &[])),
        ),
        (
            "two SPIFFE URIs",
            "it does not have exactly one URI in its subject alternative name",
            camera.clone().replace(ALTERNATIVE_NAME, uris(&["spiffe://city.example/camera/102", "spiffe://city.example/camera/103"])),
        ),
        (
            "a SPIFFE URI and another",
            "it does not have exactly one URI in its subject alternative name",
            camera.clone().replace(ALTERNATIVE_NAME, uris(&["spiffe://city.example/camera/102", "https://city.example/"])),
        ),
        (
            "a SPIFFE URI without a path",
            "its URI is not an Exhibit identity",
            camera.clone().replace(ALTERNATIVE_NAME, uris(&["spiffe://city.example"])),
        ),
        (
            "a SPIFFE URI with a NUL",
            "its URI is not an Exhibit identity",
            camera.clone().replace(ALTERNATIVE_NAME, uris(&["spiffe://city.example/camera/102\0"])),
        ),
        (
            "an e-mail address in the SAN",
            "its subject alternative name has more than URIs, DNS names and IP addresses",
            camera.clone().replace(
                ALTERNATIVE_NAME,
                tlv(0x30, &[&tlv(0x86, &[b"spiffe://city.example/camera/102"]), &tlv(0x81, &[b"a@city.example"])]),
            ),
        ),
        (
            "a DNS name without server authentication",
            "its extended key usage is not that of its purpose",
            camera.clone().replace(
                ALTERNATIVE_NAME,
                tlv(0x30, &[&tlv(0x86, &[b"spiffe://city.example/camera/102"]), &tlv(0x82, &[b"city.example"])]),
            ),
        ),
        (
            "a wildcard DNS name",
            "its subject alternative name has more than URIs, DNS names and IP addresses",
            camera.clone().replace(EXTENDED_USAGE, client_and_server()).replace(
                ALTERNATIVE_NAME,
                tlv(0x30, &[&tlv(0x86, &[b"spiffe://city.example/camera/102"]), &tlv(0x82, &[b"*.city.example"])]),
            ),
        ),
        (
            "an IP address of five bytes",
            "an IP address has neither 4 nor 16 bytes",
            camera.clone().replace(EXTENDED_USAGE, client_and_server()).replace(
                ALTERNATIVE_NAME,
                tlv(0x30, &[&tlv(0x86, &[b"spiffe://city.example/camera/102"]), &tlv(0x87, &[&[127, 0, 0, 1, 0]])]),
            ),
        ),
    ]);
}

#[test]
fn policies_and_extensions_with_a_flaw_are_refused() {
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
fn an_authority_with_a_flaw_is_refused() {
    let city = City::new();
    let (camera, authority) = (Forgery::camera(&city), Forgery::authority(&city));
    let with_server = |uri: &str| tlv(0x30, &[&tlv(0x86, &[uri.as_bytes()]), &tlv(0x82, &[b"localhost"])]);
    check(vec![
        (
            "CA without basicConstraints",
            "it is to issue certificates, but its basicConstraints do not say so",
            authority.clone().without(BASIC_CONSTRAINTS),
        ),
        (
            "CA with basicConstraints that say no",
            "it is to issue certificates, but its basicConstraints do not say so",
            authority.clone().replace(BASIC_CONSTRAINTS, tlv(0x30, &[])),
        ),
        (
            "CA with basicConstraints not critical",
            "an extension is not critical that must be",
            authority.clone().criticality(BASIC_CONSTRAINTS, false),
        ),
        (
            "CA with an end entity's name",
            "an authority's URI is not that of a SPIFFE trust domain",
            authority.clone().replace(ALTERNATIVE_NAME, uris(&["spiffe://city.example/authority/1"])),
        ),
        (
            "CA with a server's name",
            "only a signing certificate may name servers",
            authority.clone().replace(ALTERNATIVE_NAME, with_server("spiffe://city.example")),
        ),
        (
            "wrapping certificate with a server's name",
            "only a signing certificate may name servers",
            camera
                .clone()
                .replace(KEY_USAGE, AGREEMENT_USAGE.to_vec())
                .without(EXTENDED_USAGE)
                .replace(ALTERNATIVE_NAME, with_server("spiffe://city.example/camera/102")),
        ),
        (
            "CA without a trust domain",
            "it does not have exactly one URI in its subject alternative name",
            authority.clone().without(ALTERNATIVE_NAME),
        ),
        (
            "CA for TLS",
            "its extended key usage is not that of its purpose",
            authority.with(EXTENDED_USAGE, false, tlv(0x30, &[&oid("1.3.6.1.5.5.7.3.2")])),
        ),
    ]);
}

/// What serves an authority, and the two ways in which its certificates differ from others.
#[test]
fn a_service_of_an_authority_is_nothing_else() {
    let city = City::new();
    let service = |purpose: &str| {
        Forgery::camera(&city)
            .replace(EXTENDED_USAGE, tlv(0x30, &[&oid(purpose)]))
            .replace(ALTERNATIVE_NAME, uris(&["spiffe://city.example/authority/1"]))
            .without(POLICIES)
    };
    let (times, statuses) =
        (service("1.3.6.1.5.5.7.3.8").criticality(EXTENDED_USAGE, true), service("1.3.6.1.5.5.7.3.9").with(NO_CHECK, false, vec![5, 0]));
    let parse = |forgery: Forgery| judged::read_certificate(&forgery.sign(&city.issuing_key));
    assert_eq!(parse(times.clone()).unwrap().purpose(), KeyPurpose::Timestamping);
    assert_eq!(parse(statuses.clone()).unwrap().purpose(), KeyPurpose::OcspSigning);
    let both = tlv(0x30, &[&oid("1.3.6.1.5.5.7.3.8"), &oid("1.3.6.1.5.5.7.3.9")]);
    let usage = "its extended key usage is not that of its purpose";
    let unchecked = "that its revocation is not checked stands in the certificates of responders, and in no others";
    let role = "it has a role, and its key only serves an authority";
    let identity = "it is of an authority's service, and its identity is not of an authority";
    let authority_role = || policies(&["2.25.1586047359.2.7"]);
    let camera = || uris(&["spiffe://city.example/camera/102"]);
    let with_server = tlv(0x30, &[&tlv(0x86, &[b"spiffe://city.example/authority/1"]), &tlv(0x82, &[b"localhost"])]);
    for (flaw, reason, forgery) in [
        ("a timestamping authority's role", role, times.clone().with(POLICIES, false, authority_role())),
        ("a responder's role", role, statuses.clone().with(POLICIES, false, authority_role())),
        ("a timestamping camera", identity, times.clone().replace(ALTERNATIVE_NAME, camera())),
        ("a responding camera", identity, statuses.clone().replace(ALTERNATIVE_NAME, camera())),
        ("timestamps not critical", "an extension is not critical that must be", times.clone().criticality(EXTENDED_USAGE, false)),
        ("both services", usage, times.clone().replace(EXTENDED_USAGE, both).with(POLICIES, false, authority_role())),
        ("a responder without nocheck", unchecked, statuses.clone().without(NO_CHECK)),
        ("a timestamping authority with nocheck", unchecked, times.clone().with(NO_CHECK, false, vec![5, 0])),
        ("a camera with nocheck", unchecked, Forgery::camera(&city).with(NO_CHECK, false, vec![5, 0])),
        ("an authority with nocheck", unchecked, Forgery::authority(&city).with(NO_CHECK, false, vec![5, 0])),
        ("nocheck critical", "an extension is critical that must not be", statuses.clone().criticality(NO_CHECK, true)),
        ("a timestamping server", "only a signing certificate may name servers", times.clone().replace(ALTERNATIVE_NAME, with_server)),
    ] {
        assert_eq!(parse(forgery).err(), Some(CertificateError::Profile(reason)), "{flaw}");
    }
    assert_eq!(parse(statuses.replace(NO_CHECK, vec![1, 1, 0xff])).err(), Some(CertificateError::Malformed), "nocheck with content");
}

#[test]
fn what_is_compared_each_with_each_is_counted_first() {
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

#[test]
fn bytes_that_are_not_one_certificate_in_der_are_refused() {
    let city = City::new();
    let camera = Forgery::camera(&city);
    let good = camera.sign(&city.issuing_key);
    let malformed = |flaw: &str, der: &[u8]| assert_eq!(judged::read_certificate(der), Err(CertificateError::Malformed), "{flaw}");
    malformed("nothing", &[]);
    malformed("trailing bytes", &[&good[..], &[0]].concat());
    malformed("two certificates", &[&good[..], &good[..]].concat());
    malformed("indefinite length", &[&[0x30, 0x80], &good[4..], &[0, 0]].concat());
    let mut generalized = camera.clone();
    generalized.not_after = tlv(0x18, &[b"20360101000000Z"]);
    malformed("GeneralizedTime before 2050", &generalized.sign(&city.issuing_key));
    for (flaw, moment) in [("a moment of 1950", b"500101000000Z"), ("a moment of 1969", b"691231235959Z")] {
        let mut early = camera.clone();
        early.not_before = tlv(0x17, &[moment]);
        malformed(flaw, &early.sign(&city.issuing_key));
    }
    let mut first = camera.clone();
    first.not_before = tlv(0x17, &[b"700101000000Z"]);
    assert!(judged::read_certificate(&first.sign(&city.issuing_key)).is_ok(), "the first moment that there is");
    let mut leap = camera.clone();
    leap.not_after = tlv(0x17, &[b"361231235960Z"]);
    malformed("a leap second", &leap.sign(&city.issuing_key));
    malformed(
        "trailing bytes in an extension",
        &camera.clone().replace(POLICIES, [policies(&["2.5.29.32.0"]), vec![0]].concat()).sign(&city.issuing_key),
    );
    malformed("too long", &camera.clone().with("2.25.1586047359.99", false, vec![0; 17_000]).sign(&city.issuing_key));
    for length in 0..good.len() {
        malformed("cut off", &good[..length]);
    }
}

/// The value of an extension is octets to whoever reads the certificate around it; it is DER all the same.
#[test]
fn the_values_of_extensions_are_der() {
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

/// X.501 has one attribute or more in each part of a name.
#[test]
fn a_part_of_a_name_that_is_empty_is_refused() {
    let city = City::new();
    let empty_first = |name: Vec<u8>| tlv(0x30, &[&tlv(0x31, &[]), &name[2..]]);
    let flaw = "a part of a name in it is empty";
    let (mut subject, mut issuer) = (Forgery::camera(&city), Forgery::camera(&city));
    (subject.subject, issuer.issuer) = (empty_first(subject.subject), empty_first(issuer.issuer));
    for forgery in [subject, issuer] {
        let der = forgery.sign(&city.issuing_key);
        assert_eq!(judged::read_certificate(&der).err(), Some(CertificateError::Profile(flaw)));
        assert_eq!(judged::read_chain_certificate(&der).map_err(|refusal| refusal.0), Err(flaw));
    }
}

/// Keys are compared: a key has one encoding.
#[test]
fn a_compressed_point_is_nobodys_key() {
    let city = City::new();
    let whole = key(6).public_key().as_bytes().to_vec();
    let compressed = [&[2 + (whole[96] & 1)][..], &whole[1..49]].concat();
    for (point, accepted) in [(whole, true), (compressed, false)] {
        let mut forgery = Forgery::camera(&city);
        let algorithm = tlv(0x30, &[&oid("1.2.840.10045.2.1"), &oid("1.3.132.0.34")]);
        forgery.public_key = tlv(0x30, &[&algorithm, &tlv(3, &[&[0], &point])]);
        let der = forgery.sign(&city.issuing_key);
        assert_eq!(judged::read_certificate(&der).is_ok(), accepted);
        assert_eq!(judged::read_chain_certificate(&der).is_ok(), accepted);
    }
}

/// Control characters (Cc) could move a cursor and end a line. What else is not printed is a matter of fonts, and is left alone.
#[test]
fn names_for_people_are_text_without_control_characters() {
    let city = City::new();
    let named = |tag: u8, text: &[u8]| {
        let mut forgery = Forgery::camera(&city);
        forgery.subject = tlv(0x30, &[&tlv(0x31, &[&tlv(0x30, &[&oid("2.5.4.3"), &tlv(tag, &[text])])])]);
        judged::read_certificate(&forgery.sign(&city.issuing_key))
    };
    let (utf8, printable) = (0x0c, 0x13);
    let two = "\u{e9}".repeat(64);
    for (what, tag, text) in [
        ("a space that does not break", utf8, "a\u{a0}b"),
        ("a space of no width", utf8, "a\u{200b}b"),
        ("a turn to the left", utf8, "a\u{202e}b"),
        ("what nobody assigned", utf8, "a\u{378}b"),
        ("a noncharacter", utf8, "a\u{fffe}b"),
        ("a private character", utf8, "a\u{e000}b"),
        ("a line separator", utf8, "a\u{2028}b"),
        ("64 characters of 128 bytes", utf8, two.as_str()),
        ("a PrintableString", printable, "camera 102"),
    ] {
        assert_eq!(named(tag, text.as_bytes()).map(|read| read.common_name().to_owned()), Ok(text.to_owned()), "{what}");
    }
    let refused = Some(CertificateError::Profile("it does not have exactly one printable common name"));
    let three = two.clone() + "a";
    for (flaw, tag, text) in [
        ("65 characters", utf8, three.as_bytes()),
        ("no character", utf8, b""),
        ("a NUL", utf8, b"a\0b"),
        ("a tabulator", utf8, b"a\tb"),
        ("DEL", utf8, b"a\x7fb"),
        ("the last of C1", utf8, "a\u{9f}b".as_bytes()),
        ("UTF-8 that is none", utf8, b"a\xffb"),
        ("a surrogate", utf8, b"a\xed\xa0\x80b"),
        ("a character in long form", utf8, b"a\xc1\xa1b"),
        ("a PrintableString that is not UTF-8", printable, b"a\xffb"),
        ("a PrintableString with a character that those have not", printable, b"a@b"),
        ("a TeletexString", 0x14, b"camera"),
        ("an IA5String", 0x16, b"camera"),
        ("a BMPString", 0x1e, b"\0c\0a"),
    ] {
        assert_eq!(named(tag, text).err(), refused, "{flaw}");
    }
}

/// RFC 1035: labels of 1 to 63, at most 255 in all, no hyphen at an end.
#[test]
fn names_of_domains_and_servers_have_labels() {
    let city = City::new();
    let of_domain = |domain: &str| {
        let uri = format!("spiffe://{domain}/camera/102");
        judged::read_certificate(&Forgery::camera(&city).replace(ALTERNATIVE_NAME, uris(&[&uri])).sign(&city.issuing_key))
    };
    let client_and_server = tlv(0x30, &[&oid("1.3.6.1.5.5.7.3.2"), &oid("1.3.6.1.5.5.7.3.1")]);
    let of_server = |name: &str| {
        let names = tlv(0x30, &[&tlv(0x86, &[b"spiffe://city.example/camera/102"]), &tlv(0x82, &[name.as_bytes()])]);
        let forgery = Forgery::camera(&city).replace(EXTENDED_USAGE, client_and_server.clone()).replace(ALTERNATIVE_NAME, names);
        judged::read_certificate(&forgery.sign(&city.issuing_key))
    };
    let label = |length: usize| "a".repeat(length);
    let whole = |length: usize| format!("{}.{}.{}.{}", label(63), label(63), label(63), label(length - 192));
    for name in ["a", "1", "a-b.c", "a--b", "xn--4ca.example", &label(63), &whole(255)] {
        assert!(of_domain(name).is_ok(), "{name}");
        assert!(of_server(name).is_ok(), "{name}");
    }
    assert!(of_server("City.Example").is_ok() && of_domain("City.example").is_err(), "a trust domain has small letters");
    for name in ["", ".", "a.", ".a", "a..b", "-a.b", "a-.b", "a.-b", "a.b-", "-", "a_b", "a b", "a:1", "\u{e9}", &label(64), &whole(256)] {
        assert!(of_domain(name).is_err(), "{name}");
        assert!(of_server(name).is_err(), "{name}");
    }
}

#[test]
fn what_is_unknown_and_not_critical_is_left_alone() {
    let city = City::new();
    let forgery = Forgery::camera(&city)
        .with("2.25.1586047359.99", false, vec![5, 0])
        .replace(POLICIES, policies(&["1.2.3.4", "2.25.1586047359.2.1", "2.25.1586047359.2.99", "2.5.29.32.0"]));
    let camera = judged::read_certificate(&forgery.sign(&city.issuing_key)).unwrap();
    assert_eq!(camera.roles(), [Role::Camera], "a policy that is no role gave one");
}

#[test]
fn pem_is_certificates_and_nothing_else() {
    let city = City::new();
    let (root, issuing) = (city.root.to_pem(), city.issuing.to_pem());
    assert!(root.starts_with("-----BEGIN CERTIFICATE-----\n") && root.ends_with("-----END CERTIFICATE-----\n") && !root.contains('\r'));
    assert_eq!(Certificate::from_pem(&root), Ok(city.root.clone()));
    assert_eq!(Certificate::all_from_pem(&format!("{root}\n{issuing}")), Ok(vec![city.root.clone(), city.issuing.clone()]));
    assert_eq!(Certificate::from_pem(&root.replace('\n', "\r\n")), Ok(city.root.clone()));
    let key = key(1).to_pkcs8_pem().to_string();
    for text in [
        "",
        "x",
        &key,
        &format!("{root}{key}"),
        &format!("{root}x"),
        &format!("x{root}"),
        &root[..root.len() - 2],
        &root.replace("CERTIFICATE", "X509 CRL"),
    ] {
        assert!(Certificate::all_from_pem(text).is_err(), "{text}");
        assert!(Certificate::from_pem(text).is_err(), "{text}");
    }
    assert!(Certificate::from_pem(&format!("{root}{issuing}")).is_err(), "the second certificate was dropped");
    assert!(Certificate::all_from_pem(&root.repeat(65)).is_err());
}

#[test]
fn the_verifier_in_python_agrees_on_every_vector() {
    let tests: [fn(); 16] = [
        a_compressed_point_is_nobodys_key,
        a_part_of_a_name_that_is_empty_is_refused,
        the_forger_can_write_certificates_without_a_flaw,
        a_certificate_of_another_form_is_refused,
        names_and_key_identifiers_with_a_flaw_are_refused,
        a_key_for_more_or_less_than_its_purpose_is_refused,
        an_alternative_name_with_a_flaw_is_refused,
        policies_and_extensions_with_a_flaw_are_refused,
        an_authority_with_a_flaw_is_refused,
        a_service_of_an_authority_is_nothing_else,
        what_is_compared_each_with_each_is_counted_first,
        bytes_that_are_not_one_certificate_in_der_are_refused,
        the_values_of_extensions_are_der,
        names_for_people_are_text_without_control_characters,
        names_of_domains_and_servers_have_labels,
        what_is_unknown_and_not_critical_is_left_alone,
    ];
    judged::assert_agrees_on(&tests, 150);
}

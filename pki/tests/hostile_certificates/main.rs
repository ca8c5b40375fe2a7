//! Certificates with one flaw each: none may be taken for one of our profiles.
#![allow(clippy::unwrap_used)]

mod extensions;
#[path = "../support/judged.rs"]
mod judged;
mod names;
#[path = "../support/mod.rs"]
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

/// Wherever it stands, and whoever knows it: in a name, and in an extension's value, which is octets to whoever reads the certificate around it.
#[test]
fn an_object_identifier_that_is_none_is_no_der() {
    let city = City::new();
    for (flaw, content) in OBJECT_IDENTIFIERS {
        let element = tlv(6, &[content]);
        let usage = tlv(0x30, &[&oid("1.3.6.1.5.5.7.3.2"), &element]);
        let value = Forgery::camera(&city).replace(EXTENDED_USAGE, usage);
        let mut named = Forgery::camera(&city);
        let attribute = tlv(0x31, &[&tlv(0x30, &[&element, &tlv(0x0c, &[b"x"])])]);
        named.issuer = tlv(0x30, &[&attribute, &named.issuer[2..]]);
        for (place, forgery) in [("an extended key usage", value), ("a name", named)] {
            let der = forgery.sign(&city.issuing_key);
            assert_eq!(judged::read_certificate(&der).err(), Some(CertificateError::Malformed), "{flaw}, in {place}");
            assert!(judged::read_chain_certificate(&der).is_err(), "{flaw}, in {place}");
        }
    }
}

const OBJECT_IDENTIFIERS: [(&str, &[u8]); 8] = [
    ("nothing", &[]),
    ("2.40", &[120]),
    ("2.999", &[0x88, 0x37]),
    ("an arc that is padded", &[0x55, 0x80, 0x04, 0x0a]),
    ("an arc that is cut", &[0x2a, 0x83]),
    ("an arc of 2^32", &[0x2a, 0x90, 0x80, 0x80, 0x80, 0x00]),
    ("an arc of 2^36, in six septets", &[0x2a, 0x82, 0x80, 0x80, 0x80, 0x80, 0x00]),
    ("40 bytes", &[0x2a; 40]),
];

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
    let tests: [fn(); 17] = [
        an_object_identifier_that_is_none_is_no_der,
        a_compressed_point_is_nobodys_key,
        names::a_part_of_a_name_that_is_empty_is_refused,
        the_forger_can_write_certificates_without_a_flaw,
        a_certificate_of_another_form_is_refused,
        names::names_and_key_identifiers_with_a_flaw_are_refused,
        extensions::a_key_for_more_or_less_than_its_purpose_is_refused,
        names::an_alternative_name_with_a_flaw_is_refused,
        extensions::policies_and_extensions_with_a_flaw_are_refused,
        an_authority_with_a_flaw_is_refused,
        a_service_of_an_authority_is_nothing_else,
        extensions::what_is_compared_each_with_each_is_counted_first,
        bytes_that_are_not_one_certificate_in_der_are_refused,
        extensions::the_values_of_extensions_are_der,
        names::names_for_people_are_text_without_control_characters,
        names::names_of_domains_and_servers_have_labels,
        extensions::what_is_unknown_and_not_critical_is_left_alone,
    ];
    judged::assert_agrees_on(&tests, 150);
}

//! Names in certificates: of people, devices, domains and servers, and identifiers of keys.

use crate::support::*;
use crate::{check, client_and_server, judged, with};
use exhibit_pki::CertificateError;

#[test]
pub fn names_and_key_identifiers_with_a_flaw_are_refused() {
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
pub fn an_alternative_name_with_a_flaw_is_refused() {
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

/// X.501 has one attribute or more in each part of a name.
#[test]
pub fn a_part_of_a_name_that_is_empty_is_refused() {
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

/// Control characters (Cc) could move a cursor and end a line. What else is not printed is a matter of fonts, and is left alone.
#[test]
pub fn names_for_people_are_text_without_control_characters() {
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
pub fn names_of_domains_and_servers_have_labels() {
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

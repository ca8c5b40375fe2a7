//! Tokens with one flaw each.

use exhibit_pki::{
    ChainError, TimestampTokenError,
    timestamp_token::{ResponseError, token_of_response},
};

use crate::{forge::*, judged, support::*};

#[test]
pub fn the_forger_can_write_tokens_without_a_flaw() {
    let city = City::new();
    let good = Token::good(&city);
    assert_eq!(judge(&city, &good.der()).unwrap(), ("2026-11-20T12:00:00.250Z".to_owned(), "2026-11-20T12:00:00.750Z".to_owned()));
    let certificate = authority_certificate(&city).sign(&city.issuing_key);
    let issuer = tlv(0x30, &[&tlv(0x30, &[&tlv(0xa4, &[city.issuing.subject_der()])]), &[2, 1, 77]]);
    for (name, token) in [
        ("named by key identifier", good.with(|t| (t.signer, t.signer_version) = (tlv(0x80, &[b"the authority"]), vec![2, 1, 3]))),
        (
            "certificate named with its issuer",
            good.with(|t| t.attributes[1] = signing_certificate(&[&tlv(4, &[&sha256(&certificate)]), &issuer])),
        ),
        (
            "a certificate that names its issuer by name alone",
            good.by(&authority_certificate(&city).without(AUTHORITY_KEY).sign(&city.issuing_key)),
        ),
        (
            "certificate named by SHA-384",
            good.with(|t| t.attributes[1] = signing_certificate(&[&tlv(0x30, &[&oid(SHA_384)]), &tlv(4, &[&sha384(&certificate)])])),
        ),
        ("its name in it", good.with(|t| t.optional.extend(tlv(0xa0, &[&tlv(0xa4, &[&common_name("City time")])])))),
        ("an extension that is not critical", good.with(|t| t.optional.extend(tlv(0xa1, &[&tlv(0x30, &[&oid("1.2.3"), &[4, 0]])])))),
        (
            "a further signed attribute",
            good.with(|t| t.attributes.push(attribute("1.2.840.113549.1.9.5", &[&tlv(0x17, &[b"261120120000Z"])]))),
        ),
        ("serial number of 20 bytes", good.with(|t| t.serial = tlv(2, &[&[1; 20]]))),
        (
            "16 certificates",
            good.with(|t| {
                let others: Vec<Vec<u8>> =
                    (0..15).map(|serial| with_serial(&authority_certificate(&city), serial + 1).sign(&key(2))).collect();
                t.certificates = tlv(0xa0, &[&certificate, &others.concat()]);
            }),
        ),
        ("NULL parameters", good.with(|t| t.imprint = tlv(0x30, &[&tlv(0x30, &[&oid(SHA_384), &[5, 0]]), &tlv(4, &[&sha384(MESSAGE)])]))),
    ] {
        assert!(judge(&city, &token.der()).is_ok(), "{name}: {:?}", judge(&city, &token.der()));
    }
    let unstated = good.with(|t| t.optional = vec![2, 1, 99]);
    assert_eq!(judge(&city, &unstated.der()).unwrap().0, "2026-11-20T11:59:59.500Z", "an accuracy that is not stated was taken for none");
}

/// Of a token with one flaw: what is told.
fn assert_refused(city: &City, cases: Vec<(&str, TimestampTokenError, Token)>) {
    for (name, error, token) in cases {
        assert_eq!(judge(city, &token.der()), Err(error), "{name}");
    }
}

#[test]
pub fn a_token_of_another_form_is_refused() {
    use TimestampTokenError::{Malformed, Profile};
    let city = City::new();
    let good = Token::good(&city);
    let cases = vec![
        ("content type data", Malformed, good.with(|t| t.content_info_type = oid("1.2.840.113549.1.7.1"))),
        ("SignedData of version 1", Profile("it is not version 3 without revocation lists"), good.with(|t| t.version = vec![2, 1, 1])),
        ("a revocation list", Profile("it is not version 3 without revocation lists"), good.with(|t| t.after_certificates = vec![0xa1, 0])),
        ("content that is not TSTInfo", Profile("its content is not TSTInfo"), good.with(|t| t.content_type = oid("1.2.840.113549.1.7.1"))),
        (
            "two digest algorithms",
            Profile("its digest algorithms are not that of its signer"),
            good.with(|t| t.digest_algorithms = tlv(0x31, &[&tlv(0x30, &[&oid(SHA_256)]), &tlv(0x30, &[&oid(SHA_384)])])),
        ),
        (
            "digest algorithms in no order",
            Malformed,
            good.with(|t| t.digest_algorithms = tlv(0x31, &[&tlv(0x30, &[&oid(SHA_384)]), &tlv(0x30, &[&oid(SHA_256)])])),
        ),
        ("content that is text", Profile("it has no content"), good.with(|t| t.content_tag = 0x0c)),
        ("no signer", Profile("it does not have exactly one signer"), good.with(|t| t.signers = 0)),
        ("two signers", Profile("it does not have exactly one signer"), good.with(|t| t.signers = 2)),
        (
            "signer of another version",
            Profile("its signer's version is not that of how it is named"),
            good.with(|t| t.signer_version = vec![2, 1, 3]),
        ),
        (
            "an unsigned attribute",
            Profile("it has attributes that are not signed"),
            good.with(|t| t.unsigned = tlv(0xa1, &[&attribute("1.2.3", &[&[5, 0]])])),
        ),
        (
            "digest SHA-1",
            Profile("its digest is not SHA-256, SHA-384 or SHA-512"),
            good.with(|t| t.digest_algorithm = tlv(0x30, &[&oid("1.3.14.3.2.26")])),
        ),
        (
            "signature with another hash than the digest",
            Profile("its signature is of no suite for tokens"),
            good.with(|t| t.signature_algorithm = tlv(0x30, &[&oid("1.2.840.10045.4.3.2")])),
        ),
        (
            "signature with SHA-1",
            Profile("its signature is of no suite for tokens"),
            good.with(|t| t.signature_algorithm = tlv(0x30, &[&oid("1.2.840.10045.4.1")])),
        ),
        (
            "signature algorithm with parameters",
            Profile("its signature is of no suite for tokens"),
            good.with(|t| t.signature_algorithm = tlv(0x30, &[&oid("1.2.840.10045.4.3.3"), &[5, 0]])),
        ),
    ];
    assert_refused(&city, cases);
}

#[test]
pub fn signed_attributes_with_a_flaw_are_refused() {
    use TimestampTokenError::{Malformed, Profile};
    let city = City::new();
    let good = Token::good(&city);
    let other_content = attribute(CONTENT_TYPE, &[&oid("1.2.840.113549.1.7.1")]);
    let cases = vec![
        ("no signed attributes", Profile("it has no signed attributes"), good.with(|t| t.attributes.clear())),
        ("no content type", Profile("a signed attribute is missing"), good.with(|t| drop(t.attributes.remove(0)))),
        ("content type of data", Profile("its signed content type is another"), good.with(|t| t.attributes[0] = other_content.clone())),
        ("two content types", Profile("a signed attribute is repeated"), good.with(|t| t.attributes.push(other_content.clone()))),
        (
            "content type with two values",
            Profile("a signed attribute does not have exactly one value"),
            good.with(|t| t.attributes[0] = attribute(CONTENT_TYPE, &[&oid("1.2.840.113549.1.7.1"), &oid(TST_INFO)])),
        ),
        ("an attribute with a truth of BER", Malformed, good.with(|t| t.attributes.push(attribute("1.2.3", &[&[1, 1, 1]])))),
        (
            "a signing time that stands twice",
            Profile("a signed attribute is repeated"),
            good.with(|t| {
                t.attributes.extend([b"261120120000Z", b"261120120001Z"].map(|time| attribute(SIGNING_TIME, &[&tlv(0x17, &[time])])))
            }),
        ),
        (
            "a signing time with two values",
            Profile("a signed attribute does not have exactly one value"),
            good.with(|t| t.attributes.push(attribute(SIGNING_TIME, &[&tlv(0x17, &[b"261120120000Z"]), &tlv(0x17, &[b"261120120001Z"])]))),
        ),
        ("no message digest", Profile("a signed attribute is missing"), good.with(|t| drop(t.attributes.remove(2)))),
        (
            "message digest of other content",
            Profile("its message digest is not that of its content"),
            good.with(|t| t.message_digest = Some(attribute(MESSAGE_DIGEST, &[&tlv(4, &[&sha384(b"other")])]))),
        ),
        ("no signing certificate", Profile("a signed attribute is missing"), good.with(|t| drop(t.attributes.remove(1)))),
        (
            "signing certificate of the first version only",
            Profile("a signed attribute is missing"),
            good.with(|t| {
                t.attributes[1] =
                    attribute("1.2.840.113549.1.9.16.2.12", &[&tlv(0x30, &[&tlv(0x30, &[&tlv(0x30, &[&tlv(4, &[&[0; 20]])])])])])
            }),
        ),
    ];
    assert_refused(&city, cases);
}

#[test]
pub fn a_signer_that_is_not_named_as_it_must_be_is_refused() {
    use TimestampTokenError::{Certificate, NoCertificate, Profile};
    let city = City::new();
    let good = Token::good(&city);
    let certificate = authority_certificate(&city);
    let cases = vec![
        (
            "signer's name with an empty part",
            Profile("a part of its signer's name is empty"),
            good.with(|t| t.signer = tlv(0x30, &[&tlv(0x30, &[&[0x31, 0]]), &[2, 1, 77]])),
        ),
        (
            "signing certificate that names none",
            Profile("it names no certificate"),
            good.with(|t| t.attributes[1] = attribute(SIGNING_CERTIFICATE_V2, &[&tlv(0x30, &[&tlv(0x30, &[])])])),
        ),
        (
            "signing certificate that is text",
            Profile("a signed attribute is malformed"),
            good.with(|t| t.attributes[1] = attribute(SIGNING_CERTIFICATE_V2, &[&tlv(0x0c, &[b"me"])])),
        ),
        ("signing certificate of another", NoCertificate, good.with(|t| t.attributes[1] = signing_certificate(&[&tlv(4, &[&[7; 32]])]))),
        (
            "signing certificate by SHA-1",
            NoCertificate,
            good.with(|t| t.attributes[1] = signing_certificate(&[&tlv(0x30, &[&oid("1.3.14.3.2.26")]), &tlv(4, &[&[7; 20]])])),
        ),
        (
            "signing certificate with another serial number",
            NoCertificate,
            good.with(|t| {
                let issuer = tlv(0x30, &[&tlv(0x30, &[&tlv(0xa4, &[city.issuing.subject_der()])]), &[2, 1, 78]]);
                t.attributes[1] = signing_certificate(&[&tlv(4, &[&sha256(&certificate.sign(&city.issuing_key))]), &issuer]);
            }),
        ),
        (
            "signing certificate with another issuer",
            NoCertificate,
            good.with(|t| {
                let issuer = tlv(0x30, &[&tlv(0x30, &[&tlv(0xa4, &[city.root.subject_der()])]), &[2, 1, 77]]);
                t.attributes[1] = signing_certificate(&[&tlv(4, &[&sha256(&certificate.sign(&city.issuing_key))]), &issuer]);
            }),
        ),
        ("no certificate", NoCertificate, good.with(|t| t.certificates.clear())),
        (
            "17 certificates",
            Profile("it has too many certificates"),
            good.with(|t| {
                let mut all: Vec<Vec<u8>> = (0..17).map(|serial| with_serial(&certificate, serial + 1).sign(&city.issuing_key)).collect();
                all.sort();
                t.certificates = tlv(0xa0, &all.iter().map(Vec::as_slice).collect::<Vec<_>>());
            }),
        ),
        (
            "signer of another serial number",
            Certificate("the signer is named as another than the certificate"),
            good.with(|t| t.signer = tlv(0x30, &[city.issuing.subject_der(), &[2, 1, 78]])),
        ),
        (
            "signer of another issuer",
            Certificate("the signer is named as another than the certificate"),
            good.with(|t| t.signer = tlv(0x30, &[city.root.subject_der(), &[2, 1, 77]])),
        ),
        (
            "signer of another key identifier",
            Certificate("the signer is named as another than the certificate"),
            good.with(|t| (t.signer, t.signer_version) = (tlv(0x80, &[b"another"]), vec![2, 1, 3])),
        ),
    ];
    assert_refused(&city, cases);
}

#[test]
pub fn a_token_that_says_something_with_a_flaw_is_refused() {
    use TimestampTokenError::{Imprint, Malformed, Nonce, Profile};
    let city = City::new();
    let good = Token::good(&city);
    let cases = vec![
        ("TSTInfo of version 2", Profile("its content is not version 1"), good.with(|t| t.info_version = vec![2, 1, 2])),
        (
            "imprint of SHA-1",
            Profile("its imprint is not SHA-256, SHA-384 or SHA-512"),
            good.with(|t| t.imprint = tlv(0x30, &[&tlv(0x30, &[&oid("1.3.14.3.2.26")]), &tlv(4, &[&[7; 20]])])),
        ),
        (
            "imprint of another length",
            Profile("its imprint is not SHA-256, SHA-384 or SHA-512"),
            good.with(|t| t.imprint = tlv(0x30, &[&tlv(0x30, &[&oid(SHA_384)]), &tlv(4, &[&sha384(MESSAGE)[..32]])])),
        ),
        (
            "imprint of another message",
            Imprint,
            good.with(|t| t.imprint = tlv(0x30, &[&tlv(0x30, &[&oid(SHA_384)]), &tlv(4, &[&sha384(b"another")])])),
        ),
        (
            "imprint by another hash",
            Imprint,
            good.with(|t| t.imprint = tlv(0x30, &[&tlv(0x30, &[&oid(SHA_256)]), &tlv(4, &[&sha256(MESSAGE)])])),
        ),
        ("serial number of 21 bytes", Profile("its serial number has more than 160 bits"), good.with(|t| t.serial = tlv(2, &[&[1; 21]]))),
        ("serial number in long form", Malformed, good.with(|t| t.serial = vec![2, 2, 0, 7])),
        ("serial number of no bytes", Malformed, good.with(|t| t.serial = vec![2, 0])),
        ("policy that is cut", Malformed, good.with(|t| t.policy = vec![6, 2, 0x2a, 0x83])),
        ("policy of 40 bytes", Malformed, good.with(|t| t.policy = tlv(6, &[&[0x2a; 40]]))),
        (
            "accuracy of 2^32 seconds",
            Malformed,
            good.with(|t| t.optional = [&tlv(0x30, &[&[2, 5, 1, 0, 0, 0, 0]])[..], &[2, 1, 99]].concat()),
        ),
        ("accuracy of no bytes", Malformed, good.with(|t| t.optional = vec![0x30, 2, 2, 0, 2, 1, 99])),
        ("extension that is empty", Malformed, good.with(|t| t.optional.extend(tlv(0xa1, &[&[0x30, 0]])))),
        ("serial number negative", Malformed, good.with(|t| t.serial = vec![2, 1, 0x80])),
        ("time without a zone", Malformed, good.with(|t| t.moment = tlv(0x18, &[b"20261120120000"]))),
        ("time with trailing zeros", Malformed, good.with(|t| t.moment = tlv(0x18, &[b"20261120120000.50Z"]))),
        (
            "time finer than microseconds",
            Profile("its time is not one to the microsecond"),
            good.with(|t| t.moment = tlv(0x18, &[b"20261120120000.0000005Z"])),
        ),
        (
            "time that there never was",
            Profile("its time is not one to the microsecond"),
            good.with(|t| t.moment = tlv(0x18, &[b"20260229120000Z"])),
        ),
        ("time as UTCTime", Profile("its time is not one to the microsecond"), good.with(|t| t.moment = tlv(0x17, &[b"261120120000Z"]))),
        (
            "accuracy of 1000 ms",
            Profile("its accuracy is empty or out of range"),
            good.with(|t| t.optional = [&tlv(0x30, &[&[0x80, 2, 3, 0xe8]])[..], &[2, 1, 99]].concat()),
        ),
        (
            "accuracy that says nothing",
            Profile("its accuracy is empty or out of range"),
            good.with(|t| t.optional = vec![0x30, 0, 2, 1, 99]),
        ),
        (
            "accuracy to before 1970",
            Profile("its time is out of range"),
            good.with(|t| t.optional = vec![0x30, 6, 2, 4, 0x7f, 0xff, 0xff, 0xff, 2, 1, 99]),
        ),
        ("ordering written out as false", Malformed, good.with(|t| t.optional = vec![1, 1, 0, 2, 1, 99])),
        ("no nonce", Nonce, good.with(|t| t.optional.clear())),
        ("another nonce", Nonce, good.with(|t| t.optional = vec![2, 1, 98])),
        ("nonce of 33 bytes", Profile("its nonce is too long"), good.with(|t| t.optional = tlv(2, &[&[1; 33]]))),
    ];
    assert_refused(&city, cases);
}

#[test]
pub fn what_a_token_says_beside_the_time_with_a_flaw_is_refused() {
    use TimestampTokenError::{Certificate, Profile, Signature};
    let city = City::new();
    let good = Token::good(&city);
    let cases = vec![
        (
            "name of another authority",
            Certificate("it is not of the name that the token says"),
            good.with(|t| t.optional.extend(tlv(0xa0, &[&tlv(0xa4, &[&common_name("Other time")])]))),
        ),
        (
            "authority named by a domain",
            Profile("it names its authority by something else than a distinguished name"),
            good.with(|t| t.optional.extend(tlv(0xa0, &[&tlv(0x82, &[b"localhost"])]))),
        ),
        (
            "unknown critical extension",
            Profile("it has an unknown critical extension"),
            good.with(|t| t.optional.extend(tlv(0xa1, &[&tlv(0x30, &[&oid("1.2.3"), &[1, 1, 0xff], &[4, 0]])]))),
        ),
        ("an accuracy of something else", TimestampTokenError::Malformed, good.with(|t| t.optional = tlv(0x30, &[&[0x82, 1, 1]]))),
        (
            "extensions that are none",
            Profile("it has an empty list where there should be none"),
            good.with(|t| t.optional.extend([0xa1, 0])),
        ),
        ("signature by another key", Signature, good.with(|t| t.key = 9)),
    ];
    assert_refused(&city, cases);
}

#[test]
pub fn an_authority_that_gives_no_timestamps_is_refused() {
    use TimestampTokenError::{Certificate, Path};
    let city = City::new();
    let good = Token::good(&city);
    let certificate = authority_certificate(&city);
    let by = |certificate: Forgery| good.by(&certificate.sign(&city.issuing_key));
    let expired = |field: &str| {
        let mut certificate = certificate.clone();
        match field {
            "after" => certificate.not_after = tlv(0x17, &[b"261120120000Z"]),
            _ => certificate.not_before = tlv(0x17, &[b"261120120001Z"]),
        }
        certificate
    };
    let cases = vec![
        (
            "certificate for TLS clients",
            Certificate("timestamping is not the one purpose of its key"),
            by(certificate.clone().replace(EXTENDED_USAGE, tlv(0x30, &[&oid("1.3.6.1.5.5.7.3.2")]))),
        ),
        (
            "certificate for timestamps and TLS",
            Certificate("timestamping is not the one purpose of its key"),
            by(certificate.clone().replace(EXTENDED_USAGE, tlv(0x30, &[&oid(TIME_STAMPING), &oid("1.3.6.1.5.5.7.3.2")]))),
        ),
        (
            "extended key usage not critical",
            Certificate("its extended key usage is not critical"),
            by(certificate.clone().criticality(EXTENDED_USAGE, false)),
        ),
        ("no extended key usage", Certificate("it has no extended key usage"), by(certificate.clone().without(EXTENDED_USAGE))),
        (
            "key usage for issuing",
            Certificate("its key usage is more than signatures"),
            by(certificate.clone().replace(KEY_USAGE, vec![3, 2, 2, 0x84])),
        ),
        (
            "key usage for nothing",
            Certificate("its key usage is more than signatures"),
            by(certificate.clone().replace(KEY_USAGE, vec![3, 1, 0])),
        ),
        (
            "certification authority",
            Certificate("it is a certification authority"),
            by(certificate.clone().replace(BASIC_CONSTRAINTS, tlv(0x30, &[&[1, 1, 0xff]]))),
        ),
        ("expired", Path(ChainError::Validity), by(expired("after")).with(|t| t.moment = tlv(0x18, &[b"20261120120001Z"]))),
        ("not yet valid", Path(ChainError::Validity), by(expired("before")).with(|t| t.moment = tlv(0x18, &[b"20261120120000.9Z"]))),
    ];
    assert_refused(&city, cases);
}

#[test]
pub fn an_authority_that_leads_to_no_anchor_is_refused() {
    use TimestampTokenError::{NoCertificate, Path};
    let city = City::new();
    let good = Token::good(&city);
    let certificate = authority_certificate(&city);
    let by = |certificate: Forgery| good.by(&certificate.sign(&city.issuing_key));
    // An authority key identifier that says whose certificate the issuer's is, by its issuer and serial number.
    let naming = |issuer: &exhibit_pki::Certificate, serial: u8| {
        let name = tlv(0xa1, &[&tlv(0x82, &[b"city.example"]), &tlv(0xa4, &[issuer.subject_der()])]);
        certificate.clone().replace(AUTHORITY_KEY, tlv(0x30, &[&name, &tlv(0x82, &[&[serial; 16]])]))
    };
    assert!(judge(&city, &by(naming(&city.root, 2)).der()).is_ok());
    let cases = vec![
        (
            "certificate of an unknown issuer",
            Path(ChainError::NoPath),
            good.by(&with_issuer(&certificate, "Other").sign(&city.issuing_key))
                .with(|t| t.signer = tlv(0x30, &[&common_name("Other"), &[2, 1, 77]])),
        ),
        (
            "certificate naming another key of its issuer",
            Path(ChainError::NoPath),
            by(certificate.clone().replace(AUTHORITY_KEY, tlv(0x30, &[&tlv(0x80, &[b"another"])]))),
        ),
        ("certificate naming another serial number of its issuer", Path(ChainError::NoPath), by(naming(&city.root, 3))),
        ("certificate naming another issuer of its issuer", Path(ChainError::NoPath), by(naming(&city.issuing, 2))),
        ("certificate that its issuer did not sign", Path(ChainError::Signature), good.by(&certificate.sign(&key(9)))),
        ("certificate constraining names", NoCertificate, by(certificate.clone().with("2.5.29.30", true, tlv(0x30, &[])))),
        ("certificate with an unknown critical extension", NoCertificate, by(certificate.clone().with("1.2.3", true, vec![5, 0]))),
        ("certificate with an extension twice", NoCertificate, by(certificate.clone().with(KEY_USAGE, true, SIGNING_USAGE.to_vec()))),
        (
            "certificate of version 2",
            NoCertificate,
            by({
                let mut c = certificate.clone();
                c.version = tlv(0xa0, &[&[2, 1, 1]]);
                c
            }),
        ),
        (
            "certificate naming two algorithms",
            NoCertificate,
            by({
                let mut c = certificate.clone();
                c.outer_algorithm = tlv(0x30, &[&oid("1.2.840.10045.4.3.2")]);
                c
            }),
        ),
    ];
    assert_refused(&city, cases);
}

#[test]
pub fn bytes_that_are_not_one_der_value_are_refused() {
    let city = City::new();
    let good = Token::good(&city).der();
    for (name, bytes) in [
        ("nothing", vec![]),
        ("cut off", good[..good.len() - 1].to_vec()),
        ("a byte too many", [&good[..], &[0]].concat()),
        ("65 KiB", vec![0x30; 65 * 1024]),
        ("length in too many bytes", [&[0x30, 0x83, 0], &good[2..]].concat()),
    ] {
        assert_eq!(judged::read_token(&bytes), Err(TimestampTokenError::Malformed), "{name}");
        assert_eq!(token_of_response(&bytes).err(), Some(ResponseError::Malformed), "{name}");
    }
    // Whatever bit is changed: an error and no panic, but in what is not signed and not used.
    let token = Token::good(&city).with(|token| token.certificates.clear()).der();
    for position in 0..token.len() {
        let mut bytes = token.clone();
        bytes[position] ^= 1;
        assert!(judge(&city, &bytes).is_err(), "byte {position}");
    }
}

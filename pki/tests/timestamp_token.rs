//! Timestamp tokens: openssl believes ours, we believe its, and neither believes what has a flaw.
#![allow(clippy::unwrap_used)]

#[path = "support/judged.rs"]
mod judged;
mod support;

use std::{fs, path::Path, process::Command};

use const_oid::ObjectIdentifier;
use exhibit_pki::{
    ChainCertificate, ChainError, DigestAlgorithm, KeyPurpose, Signer, TimestampAuthority, TimestampRequest, TimestampToken,
    TimestampTokenError, TimestampTrust,
    oid::TIMESTAMP_POLICY,
    timestamp_token::{AuthorityError, Imprint, Nonce, RequestRefusal, ResponseError, token_of_response},
};
use support::*;
use tempfile::TempDir;

/// Of the authority that openssl plays.
const POLICY: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.3.4.9");
const MESSAGE: &[u8] = b"a checkpoint";

/// Runs openssl in `folder`; its output if it says yes.
fn openssl(folder: &Path, arguments: &str) -> Result<String, String> {
    let run = Command::new("openssl").args(arguments.split(' ')).current_dir(folder).output();
    let run = run.expect("the openssl program is needed for this test: apt-get install openssl");
    let output = format!("{}{}", String::from_utf8_lossy(&run.stdout), String::from_utf8_lossy(&run.stderr));
    if run.status.success() { Ok(output) } else { Err(output) }
}

fn write(folder: &TempDir, name: &str, content: impl AsRef<[u8]>) {
    fs::write(folder.path().join(name), content).unwrap();
}

fn read(folder: &TempDir, name: &str) -> Vec<u8> {
    fs::read(folder.path().join(name)).unwrap()
}

/// The city's timestamping authority (key 8), its flawless certificate to be spoilt.
fn authority_certificate(city: &City) -> Forgery {
    let mut forgery = Forgery::camera(city)
        .replace(SUBJECT_KEY, tlv(4, &[b"the authority"]))
        .replace(EXTENDED_USAGE, tlv(0x30, &[&oid(TIME_STAMPING)]))
        .criticality(EXTENDED_USAGE, true);
    forgery.subject = common_name("City time");
    forgery.public_key = key(8).public_key().to_spki_der();
    forgery
}

const TIME_STAMPING: &str = "1.3.6.1.5.5.7.3.8";

fn chain(der: &[u8]) -> ChainCertificate {
    judged::read_chain_certificate(der).unwrap()
}

fn trust<'a>(anchors: &'a [ChainCertificate], certificates: &'a [ChainCertificate]) -> TimestampTrust<'a> {
    TimestampTrust { anchors, certificates, accuracy_unstated_ms: 1000 }
}

/// A token without a flaw over `MESSAGE`, of which each part can be replaced. It knows nothing of the crates that read tokens.
#[derive(Clone)]
struct Token {
    content_info_type: Vec<u8>,
    version: Vec<u8>,
    digest_algorithms: Vec<u8>,
    content_type: Vec<u8>,
    content_tag: u8,
    info_version: Vec<u8>,
    policy: Vec<u8>,
    imprint: Vec<u8>,
    serial: Vec<u8>,
    moment: Vec<u8>,
    /// Accuracy, ordering, nonce, authority's name, extensions.
    optional: Vec<u8>,
    certificates: Vec<u8>,
    after_certificates: Vec<u8>,
    signer_version: Vec<u8>,
    signer: Vec<u8>,
    digest_algorithm: Vec<u8>,
    /// In the order of DER.
    attributes: Vec<Vec<u8>>,
    /// In the place of the right one.
    message_digest: Option<Vec<u8>>,
    signature_algorithm: Vec<u8>,
    unsigned: Vec<u8>,
    signers: usize,
    key: u8,
}

const SHA_256: &str = "2.16.840.1.101.3.4.2.1";
const SHA_384: &str = "2.16.840.1.101.3.4.2.2";
const CONTENT_TYPE: &str = "1.2.840.113549.1.9.3";
const MESSAGE_DIGEST: &str = "1.2.840.113549.1.9.4";
const SIGNING_CERTIFICATE_V2: &str = "1.2.840.113549.1.9.16.2.47";
const TST_INFO: &str = "1.2.840.113549.1.9.16.1.4";

fn sha384(message: &[u8]) -> Vec<u8> {
    <sha2::Sha384 as sha2::Digest>::digest(message).to_vec()
}

fn sha256(message: &[u8]) -> Vec<u8> {
    <sha2::Sha256 as sha2::Digest>::digest(message).to_vec()
}

fn attribute(kind: &str, values: &[&[u8]]) -> Vec<u8> {
    tlv(0x30, &[&oid(kind), &tlv(0x31, values)])
}

/// SigningCertificateV2 with one ESSCertIDv2 of these parts.
fn signing_certificate(parts: &[&[u8]]) -> Vec<u8> {
    attribute(SIGNING_CERTIFICATE_V2, &[&tlv(0x30, &[&tlv(0x30, &[&tlv(0x30, parts)])])])
}

impl Token {
    fn good(city: &City) -> Self {
        let certificate = authority_certificate(city).sign(&city.issuing_key);
        Self {
            content_info_type: oid("1.2.840.113549.1.7.2"),
            version: vec![2, 1, 3],
            digest_algorithms: tlv(0x31, &[&tlv(0x30, &[&oid(SHA_384)])]),
            content_type: oid(TST_INFO),
            content_tag: 4,
            info_version: vec![2, 1, 1],
            policy: oid("1.2.3.4.9"),
            imprint: tlv(0x30, &[&tlv(0x30, &[&oid(SHA_384)]), &tlv(4, &[&sha384(MESSAGE)])]),
            serial: vec![2, 1, 7],
            moment: tlv(0x18, &[b"20261120120000.5Z"]),
            optional: [&tlv(0x30, &[&[0x80, 2, 0, 250]])[..], &[2, 1, 99]].concat(),
            certificates: tlv(0xa0, &[&certificate]),
            after_certificates: vec![],
            signer_version: vec![2, 1, 1],
            signer: tlv(0x30, &[city.issuing.subject_der(), &[2, 1, 77]]),
            digest_algorithm: tlv(0x30, &[&oid(SHA_384)]),
            attributes: vec![
                attribute(CONTENT_TYPE, &[&oid(TST_INFO)]),
                signing_certificate(&[&tlv(4, &[&sha256(&certificate)])]),
                attribute(MESSAGE_DIGEST, &[]),
            ],
            message_digest: None,
            signature_algorithm: ecdsa_with_sha384(),
            unsigned: vec![],
            signers: 1,
            key: 8,
        }
    }

    fn with(&self, change: impl Fn(&mut Self)) -> Self {
        let mut token = self.clone();
        change(&mut token);
        token
    }

    /// With a certificate in the place of the good one, named everywhere.
    fn by(&self, certificate: &[u8]) -> Self {
        self.with(|token| {
            token.certificates = tlv(0xa0, &[certificate]);
            token.attributes[1] = signing_certificate(&[&tlv(4, &[&sha256(certificate)])]);
        })
    }

    fn der(&self) -> Vec<u8> {
        let parts = [&self.info_version, &self.policy, &self.imprint, &self.serial, &self.moment, &self.optional].map(Vec::as_slice);
        let info = tlv(0x30, &parts);
        let digest = self.message_digest.clone().unwrap_or_else(|| attribute(MESSAGE_DIGEST, &[&tlv(4, &[&sha384(&info)])]));
        let empty = attribute(MESSAGE_DIGEST, &[]);
        let mut attributes: Vec<Vec<u8>> =
            self.attributes.iter().map(|attribute| if *attribute == empty { digest.clone() } else { attribute.clone() }).collect();
        attributes.sort();
        let attributes = attributes.concat();
        let signature = key(self.key).sign(&tlv(0x31, &[&attributes])).unwrap();
        let signer = tlv(
            0x30,
            &[
                &self.signer_version,
                &self.signer,
                &self.digest_algorithm,
                &if attributes.is_empty() { vec![] } else { tlv(0xa0, &[&attributes]) },
                &self.signature_algorithm,
                &tlv(4, &[&signature]),
                &self.unsigned,
            ],
        );
        let content = tlv(0x30, &[&self.content_type, &tlv(0xa0, &[&tlv(self.content_tag, &[&info])])]);
        let signed_data = tlv(
            0x30,
            &[
                &self.version,
                &self.digest_algorithms,
                &content,
                &self.certificates,
                &self.after_certificates,
                &tlv(0x31, &vec![&signer[..]; self.signers]),
            ],
        );
        tlv(0x30, &[&self.content_info_type, &tlv(0xa0, &[&signed_data])])
    }
}

/// What our verifier says of it, with the city's root as anchor.
fn judge(city: &City, token: &[u8]) -> Result<(String, String), TimestampTokenError> {
    let (root, issuing) = (chain(city.root.der()), chain(city.issuing.der()));
    let token = judged::read_token(token)?;
    let imprint = Imprint::of(DigestAlgorithm::Sha384, MESSAGE);
    let verified = judged::verify_token(&token, &imprint, &[99], &trust(&[root], &[issuing]))?;
    Ok((verified.earliest().to_string(), verified.latest().to_string()))
}

#[test]
fn the_forger_can_write_tokens_without_a_flaw() {
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

#[test]
fn a_token_with_a_flaw_is_refused() {
    use TimestampTokenError::{Certificate, Imprint, Malformed, NoCertificate, Nonce, Path, Profile, Signature};
    let city = City::new();
    let good = Token::good(&city);
    let certificate = authority_certificate(&city);
    let by = |certificate: Forgery| good.by(&certificate.sign(&city.issuing_key));
    let other_content = attribute(CONTENT_TYPE, &[&oid("1.2.840.113549.1.7.1")]);
    let expired = |field: &str| {
        let mut certificate = certificate.clone();
        match field {
            "after" => certificate.not_after = tlv(0x17, &[b"261120120000Z"]),
            _ => certificate.not_before = tlv(0x17, &[b"261120120001Z"]),
        }
        certificate
    };
    // An authority key identifier that says whose certificate the issuer's is, by its issuer and serial number.
    let naming = |issuer: &exhibit_pki::Certificate, serial: u8| {
        let name = tlv(0xa1, &[&tlv(0x82, &[b"city.example"]), &tlv(0xa4, &[issuer.subject_der()])]);
        certificate.clone().replace(AUTHORITY_KEY, tlv(0x30, &[&name, &tlv(0x82, &[&[serial; 16]])]))
    };
    assert!(judge(&city, &by(naming(&city.root, 2)).der()).is_ok());
    let cases: Vec<(&str, TimestampTokenError, Token)> = vec![
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
        ("no signed attributes", Profile("it has no signed attributes"), good.with(|t| t.attributes.clear())),
        (
            "no content type",
            Profile("a signed attribute that must be there once is missing or repeated"),
            good.with(|t| drop(t.attributes.remove(0))),
        ),
        ("content type of data", Profile("its signed content type is another"), good.with(|t| t.attributes[0] = other_content.clone())),
        (
            "two content types",
            Profile("a signed attribute that must be there once is missing or repeated"),
            good.with(|t| t.attributes.push(other_content.clone())),
        ),
        (
            "content type with two values",
            Profile("a signed attribute does not have exactly one value"),
            good.with(|t| t.attributes[0] = attribute(CONTENT_TYPE, &[&oid("1.2.840.113549.1.7.1"), &oid(TST_INFO)])),
        ),
        (
            "no message digest",
            Profile("a signed attribute that must be there once is missing or repeated"),
            good.with(|t| drop(t.attributes.remove(2))),
        ),
        (
            "message digest of other content",
            Profile("its message digest is not that of its content"),
            good.with(|t| t.message_digest = Some(attribute(MESSAGE_DIGEST, &[&tlv(4, &[&sha384(b"other")])]))),
        ),
        (
            "no signing certificate",
            Profile("a signed attribute that must be there once is missing or repeated"),
            good.with(|t| drop(t.attributes.remove(1))),
        ),
        (
            "signing certificate of the first version only",
            Profile("a signed attribute that must be there once is missing or repeated"),
            good.with(|t| {
                t.attributes[1] =
                    attribute("1.2.840.113549.1.9.16.2.12", &[&tlv(0x30, &[&tlv(0x30, &[&tlv(0x30, &[&tlv(4, &[&[0; 20]])])])])])
            }),
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
        ("serial number negative", Malformed, good.with(|t| t.serial = vec![2, 1, 0x80])),
        ("time without a zone", Profile("its time is not in the form of DER"), good.with(|t| t.moment = tlv(0x18, &[b"20261120120000"]))),
        (
            "time with trailing zeros",
            Profile("its time is not in the form of DER"),
            good.with(|t| t.moment = tlv(0x18, &[b"20261120120000.50Z"])),
        ),
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
        (
            "extensions that are none",
            Profile("it has an empty list where there should be none"),
            good.with(|t| t.optional.extend([0xa1, 0])),
        ),
        ("signature by another key", Signature, good.with(|t| t.key = 9)),
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
    for (name, error, token) in cases {
        assert_eq!(judge(&city, &token.der()), Err(error), "{name}");
    }
}

fn with_serial(certificate: &Forgery, serial: u8) -> Forgery {
    Forgery { serial: vec![2, 1, serial], ..certificate.clone() }
}

fn with_issuer(certificate: &Forgery, issuer: &str) -> Forgery {
    Forgery { issuer: common_name(issuer), ..certificate.clone() }
}

#[test]
fn bytes_that_are_not_one_der_value_are_refused() {
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

/// The city's authorities and its timestamping authority, as files for openssl.
fn city_folder(city: &City) -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    write(&folder, "root.pem", city.root.to_pem());
    write(&folder, "issuing.pem", city.issuing.to_pem());
    write(&folder, "authority.der", city.issue("authority/time", &[], KeyPurpose::Timestamping, &[], &key(8)).der());
    write(&folder, "message", MESSAGE);
    openssl(folder.path(), "x509 -inform DER -in authority.der -out authority.pem").unwrap();
    let both = [read(&folder, "issuing.pem"), read(&folder, "authority.pem")].concat();
    write(&folder, "both.pem", both);
    folder
}

#[test]
fn openssl_verifies_the_tokens_that_we_make_for_it() {
    let city = City::new();
    let folder = city_folder(&city);
    let (signer, certificate, others) = (key(8), chain(&read(&folder, "authority.der")), [chain(city.issuing.der())]);
    let authority = TimestampAuthority::new(&certificate, &others, &signer, 61_001).unwrap();
    let verify = "ts -verify -queryfile request -CAfile root.pem -attime 1795176000";
    for (query, untrusted) in [
        ("-sha384 -cert", ""),
        ("-sha256 -cert -no_nonce", ""),
        ("-sha512 -cert -tspolicy 2.25.1586047359.3.1", ""),
        ("-sha384", " -untrusted both.pem"),
    ] {
        openssl(folder.path(), &format!("ts -query -data message {query} -out request")).unwrap();
        let response = authority.respond(&read(&folder, "request"), at("2026-11-20T12:00:00.340Z"), [0x85; 16]).unwrap();
        write(&folder, "response", &response);
        openssl(folder.path(), &format!("{verify} -in response{untrusted}")).unwrap();
        let text = openssl(folder.path(), "ts -reply -in response -text").unwrap();
        for line in [
            "Status: Granted.",
            "Policy OID: 2.25.1586047359.3.1",
            "Time stamp: Nov 20 12:00:00.34 2026 GMT",
            "0x3D seconds, 0x01 millis",
            "Serial number: 0x85858585",
        ] {
            assert!(text.contains(line), "{query}: no {line:?} in {text}");
        }
        let request = TimestampRequest::from_der(&read(&folder, "request")).unwrap();
        assert_eq!((request.nonce.is_none(), request.with_certificates), (query.contains("-no_nonce"), query.contains("-cert")));
        let token = token_of_response(&response).unwrap();
        assert_eq!(token.imprint(), &request.imprint);
        let (roots, more) = ([chain(city.root.der())], [chain(city.issuing.der()), certificate.clone()]);
        let verified = token.verify(&request.imprint, request.nonce.as_ref(), &trust(&roots, &more)).unwrap();
        assert_eq!(
            (verified.earliest().to_string(), verified.latest().to_string()),
            ("2026-11-20T11:58:59.339Z".to_owned(), "2026-11-20T12:01:01.341Z".to_owned())
        );
        assert_eq!(
            (verified.authority(), verified.policy(), verified.serial()),
            (certificate.fingerprint(), TIMESTAMP_POLICY, &[0x85; 16][..])
        );
        assert_eq!(TimestampToken::from_der(token.der()), Ok(token));
    }
    write(&folder, "message", "another");
    openssl(folder.path(), "ts -query -data message -sha384 -cert -no_nonce -out request").unwrap();
    assert!(
        openssl(folder.path(), &format!("{verify} -in response -untrusted both.pem")).is_err(),
        "openssl verifies whatever it is given"
    );
}

#[test]
fn openssl_reads_our_requests_and_refusals() {
    let city = City::new();
    let folder = city_folder(&city);
    let (signer, certificate) = (key(8), chain(&read(&folder, "authority.der")));
    let authority = TimestampAuthority::new(&certificate, &[], &signer, 1000).unwrap();
    let good = TimestampRequest {
        imprint: Imprint::of(DigestAlgorithm::Sha384, MESSAGE),
        policy: None,
        nonce: Nonce::new(&[0, 0x85, 1]),
        with_certificates: true,
    };
    write(&folder, "request", good.to_der());
    let text = openssl(folder.path(), "ts -query -in request -text").unwrap();
    for line in ["Version: 1", "Hash Algorithm: sha384", "Nonce: 0x8501", "Certificate required: yes", "Policy OID: unspecified"] {
        assert!(text.contains(line), "no {line:?} in {text}");
    }
    assert_eq!(TimestampRequest::from_der(&good.to_der()), Ok(good.clone()));
    let imprint = |algorithm: &str, digest: &[u8]| tlv(0x30, &[&tlv(0x30, &[&oid(algorithm)]), &tlv(4, &[digest])]);
    let request = |parts: &[&[u8]]| tlv(0x30, parts);
    let sha384 = imprint(SHA_384, &sha384(MESSAGE));
    let noon = at(NOON);
    for (name, bytes, moment, refusal, failure) in [
        (
            "SHA-1",
            request(&[&[2, 1, 1], &imprint("1.3.14.3.2.26", &[7; 20])]),
            noon,
            Some(RequestRefusal::Algorithm),
            "unrecognized or unsupported algorithm identifier",
        ),
        (
            "a digest too short",
            request(&[&[2, 1, 1], &imprint(SHA_384, &[7; 47])]),
            noon,
            Some(RequestRefusal::Algorithm),
            "unrecognized or unsupported algorithm identifier",
        ),
        ("version 2", request(&[&[2, 1, 2], &sha384]), noon, Some(RequestRefusal::Format), "the data submitted has the wrong format"),
        (
            "nonce of 33 bytes",
            request(&[&[2, 1, 1], &sha384, &tlv(2, &[&[1; 33]])]),
            noon,
            Some(RequestRefusal::Format),
            "the data submitted has the wrong format",
        ),
        (
            "certReq written out as false",
            request(&[&[2, 1, 1], &sha384, &[1, 1, 0]]),
            noon,
            Some(RequestRefusal::Format),
            "the data submitted has the wrong format",
        ),
        ("5 KiB", vec![0x30; 5 * 1024], noon, Some(RequestRefusal::Format), "the data submitted has the wrong format"),
        (
            "an extension",
            request(&[&[2, 1, 1], &sha384, &tlv(0xa0, &[&tlv(0x30, &[&oid("1.2.3"), &[4, 0]])])]),
            noon,
            Some(RequestRefusal::Extension),
            "the requested extension is not supported by the TSA",
        ),
        (
            "another policy",
            request(&[&[2, 1, 1], &sha384, &oid("1.2.3.4.2")]),
            noon,
            None,
            "the requested TSA policy is not supported by the TSA",
        ),
        (
            "after the certificate has expired",
            good.to_der(),
            at("2036-01-01T00:00:01.000Z"),
            None,
            "the TSA's time source is not available",
        ),
    ] {
        assert_eq!(TimestampRequest::from_der(&bytes).err(), refusal, "{name}");
        let response = authority.respond(&bytes, moment, [1; 16]).unwrap();
        assert_eq!(token_of_response(&response), Err(ResponseError::Refused(2)), "{name}");
        write(&folder, "response", response);
        let text = openssl(folder.path(), "ts -reply -in response -text").unwrap();
        assert!(text.contains("Status: Rejected.") && text.contains(failure), "{name}: {text}");
    }
    let granted = authority.respond(&good.to_der(), noon, [1; 16]).unwrap();
    assert!(token_of_response(&granted).is_ok());
    let token = token_of_response(&granted).unwrap().der().to_vec();
    for (name, response) in [
        ("granted without a token", tlv(0x30, &[&tlv(0x30, &[&[2, 1, 0]])])),
        ("refused with a token", tlv(0x30, &[&tlv(0x30, &[&[2, 1, 2]]), &token])),
        ("granted with a failure", tlv(0x30, &[&tlv(0x30, &[&[2, 1, 0], &[3, 2, 7, 0x80]]), &token])),
        ("a status that there is not", tlv(0x30, &[&tlv(0x30, &[&[2, 1, 7]])])),
    ] {
        assert_eq!(token_of_response(&response), Err(ResponseError::Malformed), "{name}");
    }
    assert!(Nonce::new(&[0, 0]).is_none() && Nonce::new(&[1; 33]).is_none());
}

#[test]
fn an_authority_has_its_own_key_and_a_certificate_for_it() {
    let city = City::new();
    let (signer, other) = (key(8), key(9));
    let good = authority_certificate(&city);
    let certificate = |forgery: &Forgery| chain(&forgery.sign(&city.issuing_key));
    let new = |certificate: &ChainCertificate, signer: &exhibit_pki::SoftwareSigner, accuracy_ms| {
        TimestampAuthority::new(certificate, &[], signer, accuracy_ms).err()
    };
    assert_eq!(new(&certificate(&good), &signer, 1), None);
    assert_eq!(new(&certificate(&good), &other, 1), Some(AuthorityError::Key));
    assert_eq!(new(&certificate(&good), &signer, 0), Some(AuthorityError::Accuracy));
    let client = good.replace(EXTENDED_USAGE, tlv(0x30, &[&oid("1.3.6.1.5.5.7.3.2")]));
    let reason = "timestamping is not the one purpose of its key";
    assert_eq!(new(&certificate(&client), &signer, 1), Some(AuthorityError::Certificate(reason)));
}

/// Other people's timestamping authorities: keys of each suite, certified by openssl and answering with it.
#[test]
fn we_verify_the_tokens_of_openssl() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path();
    write(&folder, "message", MESSAGE);
    write(&folder, "serial", "01");
    write(
        &folder,
        "configuration",
        "[a]\nbasicConstraints=critical,CA:TRUE\nkeyUsage=critical,keyCertSign\nsubjectKeyIdentifier=hash\n\
         [t]\nextendedKeyUsage=critical,timeStamping\nkeyUsage=critical,digitalSignature\nauthorityKeyIdentifier=keyid\n\
         [tsa]\ndefault_tsa=service\n[service]\nserial=serial\ndefault_policy=1.2.3.4.9\ndigests=sha256,sha384,sha512\n\
         accuracy=secs:1,millisecs:500,microsecs:100\nclock_precision_digits=6\ntsa_name=yes\ness_cert_id_chain=yes\ness_cert_id_alg=sha256\n\
         signer_cert=t.pem\nsigner_key=t.key\ncerts=a.pem\nsigner_digest=sha512\n",
    );
    let noon = |moment: &exhibit_pki::VerifiedTimestamp| moment.latest().unix_ms() - moment.earliest().unix_ms();
    for (suite, options, digest, signing) in [
        ("P-384", "EC -pkeyopt ec_paramgen_curve:P-384", "sha384", "-sha384"),
        ("P-256", "EC -pkeyopt ec_paramgen_curve:P-256", "sha256", "-sha256"),
        ("RSA", "RSA -pkeyopt rsa_keygen_bits:2048", "sha256", "-sha256"),
        (
            "RSA with PSS below",
            "RSA -pkeyopt rsa_keygen_bits:3072",
            "sha512",
            "-sha384 -sigopt rsa_padding_mode:pss -sigopt rsa_pss_saltlen:digest",
        ),
    ] {
        for name in ["a", "t"] {
            openssl(path, &format!("genpkey -algorithm {options} -out {name}.key")).unwrap();
            openssl(path, &format!("req -new -key {name}.key -subj /CN={name} -out {name}.csr")).unwrap();
        }
        openssl(path, "x509 -req -in a.csr -signkey a.key -days 3000 -extfile configuration -extensions a -out a.pem").unwrap();
        openssl(
            path,
            &format!("x509 -req -in t.csr -CA a.pem -CAkey a.key -days 3000 -extfile configuration -extensions t -out t.pem {signing}"),
        )
        .unwrap();
        let pem = |name: &str| ChainCertificate::from_pem(&String::from_utf8(read(&folder, name)).unwrap()).unwrap();
        for query in [format!("-{digest} -cert"), format!("-{digest} -no_nonce")] {
            openssl(path, &format!("ts -query -data message {query} -out request")).unwrap();
            openssl(path, "ts -reply -config configuration -queryfile request -out response").unwrap();
            let request = TimestampRequest::from_der(&read(&folder, "request")).unwrap();
            let token = token_of_response(&read(&folder, "response")).unwrap();
            let (root, leaf) = ([pem("a.pem")], [pem("t.pem")]);
            let verified = token.verify(&request.imprint, request.nonce.as_ref(), &trust(&root, &leaf)).unwrap();
            assert!((3000..=3002).contains(&noon(&verified)), "{suite}: accuracy of {} ms", noon(&verified));
            assert_eq!(verified.policy(), POLICY);
            // The authority itself as the anchor.
            assert!(judged::verify_token(&token, &request.imprint, &[], &trust(&leaf, &[])).is_ok(), "{suite}");
            let nobody = judged::verify_token(&token, &request.imprint, &[], &trust(&[], &leaf));
            assert_eq!(nobody, Err(TimestampTokenError::Path(ChainError::NoPath)), "{suite}: believed without an anchor");
            let other = Imprint::of(request.imprint.algorithm(), b"another");
            assert_eq!(judged::verify_token(&token, &other, &[], &trust(&root, &leaf)), Err(TimestampTokenError::Imprint), "{suite}");
            let mut forged = token.der().to_vec();
            *forged.last_mut().unwrap() ^= 1;
            let forged = judged::read_token(&forged).unwrap();
            assert_eq!(
                judged::verify_token(&forged, &request.imprint, &[], &trust(&root, &leaf)),
                Err(TimestampTokenError::Signature),
                "{suite}"
            );
        }
    }
}

/// What openssl's own authority can not do: signatures of CMS with PSS and by key identifier.
#[test]
fn we_verify_tokens_with_pss() {
    let city = City::new();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path();
    openssl(path, "genpkey -algorithm RSA -pkeyopt rsa_keygen_bits:2048 -out t.key").unwrap();
    openssl(path, "rsa -in t.key -pubout -outform DER -out t.spki").unwrap();
    let mut certificate = authority_certificate(&city);
    certificate.public_key = read(&folder, "t.spki");
    let certificate = certificate.sign(&city.issuing_key);
    write(&folder, "t.der", &certificate);
    openssl(path, "x509 -inform DER -in t.der -out t.pem").unwrap();
    let imprint = tlv(0x30, &[&tlv(0x30, &[&oid(SHA_384)]), &tlv(4, &[&sha384(MESSAGE)])]);
    write(
        &folder,
        "info",
        tlv(0x30, &[&[2, 1, 1], &oid("1.2.3.4.9"), &imprint, &[2, 1, 7], &tlv(0x18, &[b"20261120120000Z"]), &[2, 1, 99]]),
    );
    let sign = |digest: &str, options: &str| {
        let sign = "cms -sign -binary -nodetach -cades -nosmimecap";
        openssl(path, &format!("{sign} -in info -econtent_type {TST_INFO} -signer t.pem -inkey t.key -md {digest} -keyopt rsa_padding_mode:pss {options} -outform DER -out token")).unwrap();
        judge(&city, &read(&folder, "token"))
    };
    for digest in ["sha256", "sha384", "sha512"] {
        assert!(sign(digest, "-keyopt rsa_pss_saltlen:digest").is_ok(), "{digest}: {:?}", sign(digest, "-keyopt rsa_pss_saltlen:digest"));
    }
    let mut forged = read(&folder, "token");
    *forged.last_mut().unwrap() ^= 1;
    assert_eq!(judge(&city, &forged), Err(TimestampTokenError::Signature), "another signature");
    let no_suite = Err(TimestampTokenError::Profile("its signature is of no suite for tokens"));
    assert_eq!(sign("sha256", "-keyopt rsa_pss_saltlen:8"), no_suite, "a short salt");
    assert_eq!(sign("sha384", "-keyopt rsa_pss_saltlen:digest -keyopt rsa_mgf1_md:sha256"), no_suite, "another hash for the mask");
}

#[test]
fn keys_and_certificates_of_no_suite_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path();
    for (name, options) in [
        ("P-521", "EC -pkeyopt ec_paramgen_curve:P-521"),
        ("secp256k1", "EC -pkeyopt ec_paramgen_curve:secp256k1"),
        ("RSA of 1024 bits", "RSA -pkeyopt rsa_keygen_bits:1024"),
        ("RSA of exponent 3", "RSA -pkeyopt rsa_keygen_bits:2048 -pkeyopt rsa_keygen_pubexp:3"),
        ("Ed25519", "ED25519"),
    ] {
        openssl(path, &format!("genpkey -algorithm {options} -out key")).unwrap();
        openssl(path, "req -x509 -new -key key -subj /CN=a -days 100 -out certificate").unwrap();
        let found = ChainCertificate::from_pem(&String::from_utf8(read(&folder, "certificate")).unwrap());
        assert_eq!(found.err().unwrap().0, "its key is not P-384, P-256 or RSA of 2048 bits", "{name}");
    }
}

/// The authorities above a timestamping authority, each with one flaw.
#[test]
fn an_authority_that_may_not_certify_does_not() {
    let city = City::new();
    let good = Forgery::authority(&city);
    let leaf = authority_certificate(&city);
    let root = chain(city.root.der());
    let verify = |issuing: &Forgery| {
        let issuing = chain(&issuing.sign(&city.root_key));
        let token = judged::read_token(&Token::good(&city).by(&leaf.sign(&city.issuing_key)).der()).unwrap();
        let imprint = Imprint::of(DigestAlgorithm::Sha384, MESSAGE);
        judged::verify_token(&token, &imprint, &[], &trust(std::slice::from_ref(&root), &[issuing])).err()
    };
    assert_eq!(verify(&good), None);
    assert_eq!(verify(&good.clone().with(EXTENDED_USAGE, false, tlv(0x30, &[&oid(TIME_STAMPING)]))), None);
    assert_eq!(verify(&good.clone().with(EXTENDED_USAGE, false, tlv(0x30, &[&oid("2.5.29.37.0")]))), None);
    let expired = Forgery { not_after: tlv(0x17, &[b"261119000000Z"]), ..good.clone() };
    for (name, error, issuing) in [
        ("no basic constraints", ChainError::NotAnIssuer, good.clone().without(BASIC_CONSTRAINTS)),
        ("not an authority", ChainError::NotAnIssuer, good.clone().replace(BASIC_CONSTRAINTS, tlv(0x30, &[]))),
        ("key usage without issuing", ChainError::NotAnIssuer, good.clone().replace(KEY_USAGE, SIGNING_USAGE.to_vec())),
        (
            "extended key usage for TLS",
            ChainError::NotAnIssuer,
            good.clone().with(EXTENDED_USAGE, false, tlv(0x30, &[&oid("1.3.6.1.5.5.7.3.2")])),
        ),
        ("expired", ChainError::Validity, expired),
    ] {
        assert_eq!(verify(&issuing), Some(TimestampTokenError::Path(error)), "{name}");
    }
    // Below an authority that may only certify end entities stands another authority.
    let mut second = good
        .clone()
        .replace(SUBJECT_KEY, tlv(4, &[b"second"]))
        .replace(AUTHORITY_KEY, tlv(0x30, &[&tlv(0x80, &[city.issuing.subject_key_identifier()])]));
    (second.issuer, second.subject, second.public_key) =
        (city.issuing.subject_der().to_vec(), common_name("Second"), key(6).public_key().to_spki_der());
    let mut deep = leaf.clone().replace(AUTHORITY_KEY, tlv(0x30, &[&tlv(0x80, &[b"second"])]));
    deep.issuer = common_name("Second");
    let token = Token::good(&city).by(&deep.sign(&key(6))).with(|t| t.signer = tlv(0x30, &[&common_name("Second"), &[2, 1, 77]]));
    let token = judged::read_token(&token.der()).unwrap();
    let others = [chain(city.issuing.der()), chain(&second.sign(&city.issuing_key))];
    let verified =
        judged::verify_token(&token, &Imprint::of(DigestAlgorithm::Sha384, MESSAGE), &[], &trust(std::slice::from_ref(&root), &others));
    assert_eq!(verified, Err(TimestampTokenError::Path(ChainError::NotAnIssuer)), "pathLen exceeded");
}

/// Without a flaw but for their size or the encoding of a part, so that only the one check refuses them.
#[test]
fn limits_hold_where_nothing_else_is_wrong() {
    let city = City::new();
    let good = Token::good(&city);
    let certificate = authority_certificate(&city);
    let padded = good.with(|t| t.certificates = tlv(0xa0, &[&certificate.sign(&city.issuing_key), &tlv(4, &[&vec![0; 64 * 1024]])]));
    assert_eq!(judge(&city, &padded.der()), Err(TimestampTokenError::Malformed), "a token of more than 64 KiB");
    let of = |bytes: usize| {
        let filled =
            |filling: usize| good.with(|t| t.certificates = tlv(0xa0, &[&t.certificates[4..], &tlv(4, &[&vec![0; filling]])])).der();
        // Certificates are not signed, so that the rest has the same length.
        filled(60_000 + bytes - filled(60_000).len())
    };
    assert_eq!((of(65_536).len(), judge(&city, &of(65_536)).is_ok()), (65_536, true));
    assert_eq!(judge(&city, &of(65_537)), Err(TimestampTokenError::Malformed), "a token of a byte more than 64 KiB");
    let talkative = tlv(0x30, &[&tlv(0x30, &[&[2, 1, 2], &tlv(0x30, &[&tlv(0x0c, &[&vec![b'a'; 70_000]])])])]);
    assert_eq!(token_of_response(&talkative), Err(ResponseError::Malformed), "a response of more than 68 KiB");
    let imprint = tlv(0x30, &[&tlv(0x30, &[&oid(SHA_384)]), &tlv(4, &[&sha384(MESSAGE)])]);
    let extension = tlv(0xa0, &[&tlv(0x30, &[&oid("1.2.3"), &tlv(4, &[&[0; 5000]])])]);
    let request = tlv(0x30, &[&[2, 1, 1], &imprint, &extension]);
    assert_eq!(TimestampRequest::from_der(&request), Err(RequestRefusal::Format), "a request of more than 4 KiB");
    let parse = |forgery: &Forgery| judged::read_chain_certificate(&forgery.sign(&city.issuing_key)).err().map(|error| error.0);
    let large = certificate.clone().with("1.2.3", false, vec![0; 17_000]);
    assert_eq!(parse(&large), Some("it is too large"), "a certificate of more than 16 KiB");
    let names = tlv(0x30, &[&tlv(0x82, &[b"city.example"])]);
    for (critical, refusal) in [(false, None), (true, Some("it has an unknown critical extension"))] {
        assert_eq!(parse(&certificate.clone().without(ALTERNATIVE_NAME).with(ALTERNATIVE_NAME, critical, names.clone())), refusal);
    }
    // Refused where they are not critical too: what is recognised must be processed.
    for kind in ["2.5.29.30", "2.5.29.33", "2.5.29.36", "2.5.29.54"] {
        let refusal = parse(&certificate.clone().with(kind, false, vec![0x30, 0]));
        assert_eq!(refusal, Some("it constrains names or policies, which is not supported"), "{kind}");
    }
    let many: Vec<String> = (0..28).map(|number| format!("1.2.3.{number}")).collect();
    let crowded = |count| many.iter().take(count).fold(certificate.clone(), |found, kind| found.with(kind, false, vec![5, 0]));
    assert_eq!(parse(&crowded(32 - certificate.extensions.len())), None);
    assert_eq!(parse(&crowded(33 - certificate.extensions.len())), Some("it has too many extensions"));
    let mut written_out = certificate.clone();
    written_out.extensions.clear();
    written_out.after_key = tlv(0xa3, &[&tlv(0x30, &[&tlv(0x30, &[&oid("1.2.3"), &[1, 1, 0], &[4, 0]])])]);
    assert_eq!(parse(&written_out), Some("it is not DER, or more than a certificate"), "critical written out as false");
    let with_parameters = good.with(|t| t.imprint = tlv(0x30, &[&tlv(0x30, &[&oid(SHA_384), &[2, 1, 1]]), &tlv(4, &[&sha384(MESSAGE)])]));
    let reason = "its imprint is not SHA-256, SHA-384 or SHA-512";
    assert_eq!(judge(&city, &with_parameters.der()), Err(TimestampTokenError::Profile(reason)), "a hash with parameters");
}

/// Of certificates that all bear one name there are more paths than anybody could try.
#[test]
fn a_maze_of_certificates_is_left_early() {
    let city = City::new();
    let maze: Vec<ChainCertificate> = (1..=60)
        .map(|serial| {
            let mut authority = with_serial(&with_issuer(&Forgery::authority(&city), "Maze"), serial);
            authority = authority.replace(BASIC_CONSTRAINTS, tlv(0x30, &[&[1, 1, 0xff]])).without(AUTHORITY_KEY);
            authority.subject = common_name("Maze");
            chain(&authority.sign(&city.issuing_key))
        })
        .collect();
    let leaf = with_issuer(&authority_certificate(&city), "Maze").sign(&city.issuing_key);
    let token = Token::good(&city).by(&leaf).with(|t| t.signer = tlv(0x30, &[&common_name("Maze"), &[2, 1, 77]]));
    let token = judged::read_token(&token.der()).unwrap();
    let verified =
        judged::verify_token(&token, &Imprint::of(DigestAlgorithm::Sha384, MESSAGE), &[], &trust(&[chain(city.root.der())], &maze));
    assert_eq!(verified, Err(TimestampTokenError::Path(ChainError::NoPath)));
}

#[test]
fn the_verifier_in_python_agrees_on_every_vector() {
    let tests: [fn(); 9] = [
        the_forger_can_write_tokens_without_a_flaw,
        a_token_with_a_flaw_is_refused,
        bytes_that_are_not_one_der_value_are_refused,
        we_verify_the_tokens_of_openssl,
        we_verify_tokens_with_pss,
        keys_and_certificates_of_no_suite_are_refused,
        an_authority_that_may_not_certify_does_not,
        limits_hold_where_nothing_else_is_wrong,
        a_maze_of_certificates_is_left_early,
    ];
    judged::assert_agrees_on(&tests, 600);
}

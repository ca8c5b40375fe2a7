//! A small city's authorities, and a writer of certificates that our own would never issue.
#![allow(clippy::unwrap_used, dead_code)]

mod stock;

use exhibit_pki::{
    Certificate, EndEntity, Identity, Issuance, IssuedCertificate, KeyPurpose, Role, RustCrypto, Signer, SoftwareSigner, Timestamp,
    TrustDomain, ValidatedPath, issue_end_entity, issue_issuing_ca, issue_root, validate_path,
};
#[allow(unused_imports, reason = "each test includes this module for itself, and none uses all of it")]
pub use stock::{openssl, read, write};
use zeroize::Zeroizing;

pub const DOMAIN: &str = "city.example";
pub const FROM: &str = "2026-01-01T00:00:00.000Z";
pub const NOON: &str = "2026-11-20T12:00:00.000Z";
pub const TO: &str = "2036-01-01T00:00:00.000Z";

/// A key that is the same in every run.
pub fn key(number: u8) -> SoftwareSigner {
    SoftwareSigner::from_scalar(&Zeroizing::new([number; 48])).unwrap()
}

pub fn at(text: &str) -> Timestamp {
    Timestamp::parse(text).unwrap()
}

pub fn identity(subject: &str) -> Identity {
    Identity::parse(&format!("spiffe://{DOMAIN}/{subject}")).unwrap()
}

pub fn issuance(serial: u8) -> Issuance {
    Issuance { not_before: at(FROM), not_after: at(TO), serial: [serial; 16] }
}

/// Root (key 1), issuing authority (key 2) for all roles but admin.
pub struct City {
    pub root: Certificate,
    pub root_key: SoftwareSigner,
    pub issuing: Certificate,
    pub issuing_key: SoftwareSigner,
}

impl City {
    pub fn new() -> Self {
        let (root_key, issuing_key) = (key(1), key(2));
        let root = issue_root("City root", &TrustDomain::parse(DOMAIN).unwrap(), &root_key, &issuance(1)).unwrap();
        let roles = [Role::Camera, Role::Custodian, Role::Investigator, Role::Auditor, Role::Appliance, Role::Authority];
        let issuing = issue_issuing_ca("City issuing", issuing_key.public_key(), &roles, &root, &root_key, &issuance(2)).unwrap();
        Self { root, root_key, issuing, issuing_key }
    }

    pub fn roots(&self) -> &[Certificate] {
        std::slice::from_ref(&self.root)
    }

    pub fn chain(&self) -> &[Certificate] {
        std::slice::from_ref(&self.issuing)
    }

    pub fn issue(&self, subject: &str, roles: &[Role], purpose: KeyPurpose, server_names: &[&str], holder: &SoftwareSigner) -> Certificate {
        let server_names: Vec<String> = server_names.iter().map(|name| (*name).to_owned()).collect();
        let identity = identity(subject);
        let entity = EndEntity { identity: &identity, public_key: holder.public_key(), purpose, roles, server_names: &server_names };
        issue_end_entity(&entity, &self.issuing, &self.issuing_key, &issuance(3)).unwrap()
    }

    pub fn camera(&self) -> Certificate {
        self.issue("camera/102", &[Role::Camera], KeyPurpose::Signing, &[], &key(3))
    }

    /// The path of a certificate of the city's.
    pub fn path(&self, certificate: &Certificate) -> ValidatedPath {
        validate_path(certificate, self.chain(), self.roots(), at(NOON), &RustCrypto).unwrap()
    }
}

/// The leaf of a path, with who issued it.
pub fn issued(path: &ValidatedPath) -> IssuedCertificate<'_> {
    path.issued().next().unwrap()
}

/// An authority that is like the city's issuing one but for one thing, above a camera with the serial number of the city's.
pub struct Namesake {
    pub other: &'static str,
    pub root: Certificate,
    pub authority: Certificate,
    pub camera: Certificate,
}

impl Namesake {
    pub fn path(&self) -> ValidatedPath {
        let (authorities, roots) = (std::slice::from_ref(&self.authority), std::slice::from_ref(&self.root));
        validate_path(&self.camera, authorities, roots, at(NOON), &RustCrypto).unwrap()
    }

    /// First the authority with a new certificate for its key, which is the same authority; then those that are another.
    pub fn all(city: &City) -> Vec<Self> {
        let key_identifier = |value: &[u8]| tlv(4, &[value]);
        let named = |value: &[u8]| tlv(0x30, &[&tlv(0x80, &[value])]);
        let (authority, mut camera) = (Forgery::authority(city), Forgery::camera(city));
        camera.serial = tlv(2, &[city.camera().serial()]);
        let with_key = |mut forgery: Forgery| {
            forgery.public_key = key(21).public_key().to_spki_der();
            forgery
        };
        let other_key = with_key(authority.clone());
        let identified = authority.clone().replace(SUBJECT_KEY, key_identifier(b"other"));
        let rolled = with_key(identified.clone());
        let of_identified = camera.clone().replace(AUTHORITY_KEY, named(b"other"));
        let (mut renamed, mut of_renamed) = (authority.clone(), camera.clone());
        (renamed.subject, of_renamed.issuer) = (common_name("Other"), common_name("Other"));
        let moved = authority.clone().replace(ALTERNATIVE_NAME, uris(&["spiffe://other.example"]));
        let of_moved = camera.clone().replace(ALTERNATIVE_NAME, uris(&["spiffe://other.example/camera/102"]));
        let other_root = issue_root("City root", &TrustDomain::parse("other.example").unwrap(), &city.root_key, &issuance(1)).unwrap();
        [
            ("certificate", &city.root, authority.clone(), camera.clone(), 2),
            ("key", &city.root, other_key, camera, 21),
            ("key and key identifier", &city.root, rolled, of_identified.clone(), 21),
            ("key identifier", &city.root, identified, of_identified, 2),
            ("name", &city.root, renamed, of_renamed, 2),
            ("trust domain", &other_root, moved, of_moved, 2),
        ]
        .map(|(other, root, authority, camera, signer)| Self {
            other,
            root: root.clone(),
            authority: Certificate::from_der(&authority.sign(&city.root_key)).unwrap(),
            camera: Certificate::from_der(&camera.sign(&key(signer))).unwrap(),
        })
        .into()
    }
}

/// The parts of a certificate as DER, each to be replaced by something worse. It knows nothing of x509-cert.
#[derive(Clone)]
pub struct Forgery {
    pub version: Vec<u8>,
    pub serial: Vec<u8>,
    pub algorithm: Vec<u8>,
    pub outer_algorithm: Vec<u8>,
    pub issuer: Vec<u8>,
    pub not_before: Vec<u8>,
    pub not_after: Vec<u8>,
    pub subject: Vec<u8>,
    pub public_key: Vec<u8>,
    pub after_key: Vec<u8>,
    /// Object identifier, critical, value.
    pub extensions: Vec<(String, bool, Vec<u8>)>,
}

pub const SUBJECT_KEY: &str = "2.5.29.14";
pub const KEY_USAGE: &str = "2.5.29.15";
pub const ALTERNATIVE_NAME: &str = "2.5.29.17";
pub const BASIC_CONSTRAINTS: &str = "2.5.29.19";
pub const POLICIES: &str = "2.5.29.32";
pub const AUTHORITY_KEY: &str = "2.5.29.35";
pub const EXTENDED_USAGE: &str = "2.5.29.37";
pub const NO_CHECK: &str = "1.3.6.1.5.5.7.48.1.5";

pub const SIGNING_USAGE: &[u8] = &[3, 2, 7, 0x80];
pub const AGREEMENT_USAGE: &[u8] = &[3, 2, 3, 0x08];
pub const ISSUING_USAGE: &[u8] = &[3, 2, 1, 0x06];

impl Forgery {
    /// A camera's certificate under the city's issuing authority, without a flaw: key 3.
    pub fn camera(city: &City) -> Self {
        Self {
            version: tlv(0xa0, &[&[2, 1, 2]]),
            serial: vec![2, 1, 77],
            algorithm: ecdsa_with_sha384(),
            outer_algorithm: ecdsa_with_sha384(),
            issuer: city.issuing.subject_der().to_vec(),
            not_before: tlv(0x17, &[b"260101000000Z"]),
            not_after: tlv(0x17, &[b"360101000000Z"]),
            subject: common_name("camera/102"),
            public_key: key(3).public_key().to_spki_der(),
            after_key: vec![],
            extensions: vec![
                (SUBJECT_KEY.to_owned(), false, tlv(4, &[b"the camera"])),
                (AUTHORITY_KEY.to_owned(), false, tlv(0x30, &[&tlv(0x80, &[city.issuing.subject_key_identifier()])])),
                (BASIC_CONSTRAINTS.to_owned(), true, tlv(0x30, &[])),
                (KEY_USAGE.to_owned(), true, SIGNING_USAGE.to_vec()),
                (EXTENDED_USAGE.to_owned(), false, tlv(0x30, &[&oid("1.3.6.1.5.5.7.3.2")])),
                (ALTERNATIVE_NAME.to_owned(), false, uris(&["spiffe://city.example/camera/102"])),
                (POLICIES.to_owned(), false, policies(&["2.25.1586047359.2.1"])),
            ],
        }
    }

    /// An issuing authority under the city's root, without a flaw: key 2, pathLen 0.
    pub fn authority(city: &City) -> Self {
        let mut forgery = Self::camera(city);
        forgery.issuer = city.root.subject_der().to_vec();
        forgery.subject = city.issuing.subject_der().to_vec();
        forgery.public_key = key(2).public_key().to_spki_der();
        forgery.extensions = vec![
            (SUBJECT_KEY.to_owned(), false, tlv(4, &[city.issuing.subject_key_identifier()])),
            (AUTHORITY_KEY.to_owned(), false, tlv(0x30, &[&tlv(0x80, &[city.root.subject_key_identifier()])])),
            (BASIC_CONSTRAINTS.to_owned(), true, tlv(0x30, &[&[1, 1, 0xff], &[2, 1, 0]])),
            (KEY_USAGE.to_owned(), true, ISSUING_USAGE.to_vec()),
            (ALTERNATIVE_NAME.to_owned(), false, uris(&["spiffe://city.example"])),
            (POLICIES.to_owned(), false, policies(&["2.25.1586047359.2.1"])),
        ];
        forgery
    }

    pub fn replace(mut self, extension: &str, value: Vec<u8>) -> Self {
        self.extensions.iter_mut().find(|found| found.0 == extension).unwrap().2 = value;
        self
    }

    pub fn without(mut self, extension: &str) -> Self {
        let before = self.extensions.len();
        self.extensions.retain(|found| found.0 != extension);
        assert_eq!(self.extensions.len() + 1, before, "the forgery had no {extension}");
        self
    }

    pub fn with(mut self, extension: &str, critical: bool, value: Vec<u8>) -> Self {
        self.extensions.push((extension.to_owned(), critical, value));
        self
    }

    pub fn criticality(mut self, extension: &str, critical: bool) -> Self {
        self.extensions.iter_mut().find(|found| found.0 == extension).unwrap().1 = critical;
        self
    }

    pub fn sign(&self, signer: &SoftwareSigner) -> Vec<u8> {
        let validity = tlv(0x30, &[&self.not_before, &self.not_after]);
        let extensions: Vec<Vec<u8>> = self.extensions.iter().map(|(id, critical, value)| extension(id, *critical, value)).collect();
        let extensions: Vec<&[u8]> = extensions.iter().map(Vec::as_slice).collect();
        let extensions = if extensions.is_empty() { vec![] } else { tlv(0xa3, &[&tlv(0x30, &extensions)]) };
        let tbs = tlv(
            0x30,
            &[
                &self.version,
                &self.serial,
                &self.algorithm,
                &self.issuer,
                &validity,
                &self.subject,
                &self.public_key,
                &self.after_key,
                &extensions,
            ],
        );
        let signature = signer.sign(&tbs).unwrap();
        tlv(0x30, &[&tbs, &self.outer_algorithm, &tlv(3, &[&[0], &signature])])
    }
}

pub fn tlv(tag: u8, parts: &[&[u8]]) -> Vec<u8> {
    let content = parts.concat();
    let length = content.len();
    let mut out = vec![tag];
    match length {
        0..=0x7f => out.push(length as u8),
        0x80..=0xff => out.extend([0x81, length as u8]),
        0x100..=0xffff => out.extend([0x82, (length >> 8) as u8, length as u8]),
        _ => out.extend([0x83, (length >> 16) as u8, (length >> 8) as u8, length as u8]),
    }
    out.extend(content);
    out
}

/// An extension as certificates, lists and responses have it.
pub fn extension(kind: &str, critical: bool, value: &[u8]) -> Vec<u8> {
    tlv(0x30, &[&oid(kind), if critical { &[1, 1, 0xff] } else { &[] }, &tlv(4, &[value])])
}

pub fn oid(text: &str) -> Vec<u8> {
    tlv(6, &[const_oid::ObjectIdentifier::new(text).unwrap().as_bytes()])
}

pub fn ecdsa_with_sha384() -> Vec<u8> {
    tlv(0x30, &[&oid("1.2.840.10045.4.3.3")])
}

pub fn common_name(text: &str) -> Vec<u8> {
    tlv(0x30, &[&tlv(0x31, &[&tlv(0x30, &[&oid("2.5.4.3"), &tlv(0x0c, &[text.as_bytes()])])])])
}

pub fn uris(uris: &[&str]) -> Vec<u8> {
    let names: Vec<Vec<u8>> = uris.iter().map(|uri| tlv(0x86, &[uri.as_bytes()])).collect();
    tlv(0x30, &names.iter().map(Vec::as_slice).collect::<Vec<_>>())
}

pub fn policies(policies: &[&str]) -> Vec<u8> {
    let policies: Vec<Vec<u8>> = policies.iter().map(|policy| tlv(0x30, &[&oid(policy)])).collect();
    tlv(0x30, &policies.iter().map(Vec::as_slice).collect::<Vec<_>>())
}

//! Writes tokens and the certificates of timestamping authorities, flawless or not, without knowing the crates that read them.

use const_oid::ObjectIdentifier;
use exhibit_pki::{ChainCertificate, DigestAlgorithm, KeyPurpose, Signer, TimestampTokenError, TimestampTrust, timestamp_token::Imprint};
use tempfile::TempDir;

use crate::{judged, support::*};

/// Of the authority that openssl plays.
pub const POLICY: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.3.4.9");
pub const MESSAGE: &[u8] = b"a checkpoint";

/// The city's timestamping authority (key 8), its flawless certificate to be spoilt.
pub fn authority_certificate(city: &City) -> Forgery {
    let mut forgery = Forgery::camera(city)
        .replace(SUBJECT_KEY, tlv(4, &[b"the authority"]))
        .replace(EXTENDED_USAGE, tlv(0x30, &[&oid(TIME_STAMPING)]))
        .criticality(EXTENDED_USAGE, true);
    forgery.subject = common_name("City time");
    forgery.public_key = key(8).public_key().to_spki_der();
    forgery
}

pub const TIME_STAMPING: &str = "1.3.6.1.5.5.7.3.8";

pub fn chain(der: &[u8]) -> ChainCertificate {
    judged::read_chain_certificate(der).unwrap()
}

pub fn trust<'a>(anchors: &'a [ChainCertificate], certificates: &'a [ChainCertificate]) -> TimestampTrust<'a> {
    TimestampTrust { anchors, certificates, accuracy_unstated_ms: 1000 }
}

/// A token without a flaw over `MESSAGE`, of which each part can be replaced. It knows nothing of the crates that read tokens.
#[derive(Clone)]
pub struct Token {
    pub content_info_type: Vec<u8>,
    pub version: Vec<u8>,
    pub digest_algorithms: Vec<u8>,
    pub content_type: Vec<u8>,
    pub content_tag: u8,
    pub info_version: Vec<u8>,
    pub policy: Vec<u8>,
    pub imprint: Vec<u8>,
    pub serial: Vec<u8>,
    pub moment: Vec<u8>,
    /// Accuracy, ordering, nonce, authority's name, extensions.
    pub optional: Vec<u8>,
    pub certificates: Vec<u8>,
    pub after_certificates: Vec<u8>,
    pub signer_version: Vec<u8>,
    pub signer: Vec<u8>,
    pub digest_algorithm: Vec<u8>,
    /// In the order of DER.
    pub attributes: Vec<Vec<u8>>,
    /// In the place of the right one.
    pub message_digest: Option<Vec<u8>>,
    pub signature_algorithm: Vec<u8>,
    pub unsigned: Vec<u8>,
    pub signers: usize,
    pub key: u8,
}

pub const SHA_256: &str = "2.16.840.1.101.3.4.2.1";
pub const SHA_384: &str = "2.16.840.1.101.3.4.2.2";
pub const CONTENT_TYPE: &str = "1.2.840.113549.1.9.3";
pub const MESSAGE_DIGEST: &str = "1.2.840.113549.1.9.4";
pub const SIGNING_CERTIFICATE_V2: &str = "1.2.840.113549.1.9.16.2.47";
pub const SIGNING_TIME: &str = "1.2.840.113549.1.9.5";
pub const TST_INFO: &str = "1.2.840.113549.1.9.16.1.4";

pub fn sha384(message: &[u8]) -> Vec<u8> {
    <sha2::Sha384 as sha2::Digest>::digest(message).to_vec()
}

pub fn sha256(message: &[u8]) -> Vec<u8> {
    <sha2::Sha256 as sha2::Digest>::digest(message).to_vec()
}

pub fn attribute(kind: &str, values: &[&[u8]]) -> Vec<u8> {
    tlv(0x30, &[&oid(kind), &tlv(0x31, values)])
}

/// SigningCertificateV2 with one ESSCertIDv2 of these parts.
pub fn signing_certificate(parts: &[&[u8]]) -> Vec<u8> {
    attribute(SIGNING_CERTIFICATE_V2, &[&tlv(0x30, &[&tlv(0x30, &[&tlv(0x30, parts)])])])
}

impl Token {
    pub fn good(city: &City) -> Self {
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

    pub fn with(&self, change: impl Fn(&mut Self)) -> Self {
        let mut token = self.clone();
        change(&mut token);
        token
    }

    /// With a certificate in the place of the good one, named everywhere.
    pub fn by(&self, certificate: &[u8]) -> Self {
        self.with(|token| {
            token.certificates = tlv(0xa0, &[certificate]);
            token.attributes[1] = signing_certificate(&[&tlv(4, &[&sha256(certificate)])]);
        })
    }

    pub fn der(&self) -> Vec<u8> {
        self.der_over(&self.info())
    }

    /// The TSTInfo.
    pub fn info(&self) -> Vec<u8> {
        let parts = [&self.info_version, &self.policy, &self.imprint, &self.serial, &self.moment, &self.optional].map(Vec::as_slice);
        tlv(0x30, &parts)
    }

    /// With another TSTInfo.
    pub fn der_over(&self, info: &[u8]) -> Vec<u8> {
        let digest = self.message_digest.clone().unwrap_or_else(|| attribute(MESSAGE_DIGEST, &[&tlv(4, &[&sha384(info)])]));
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
        let content = tlv(0x30, &[&self.content_type, &tlv(0xa0, &[&tlv(self.content_tag, &[info])])]);
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
pub fn judge(city: &City, token: &[u8]) -> Result<(String, String), TimestampTokenError> {
    let (root, issuing) = (chain(city.root.der()), chain(city.issuing.der()));
    let token = judged::read_token(token)?;
    let imprint = Imprint::of(DigestAlgorithm::Sha384, MESSAGE);
    let verified = judged::verify_token(&token, &imprint, &[99], &trust(&[root], &[issuing]))?;
    Ok((verified.earliest().to_string(), verified.latest().to_string()))
}

pub fn with_serial(certificate: &Forgery, serial: u8) -> Forgery {
    Forgery { serial: vec![2, 1, serial], ..certificate.clone() }
}

pub fn with_issuer(certificate: &Forgery, issuer: &str) -> Forgery {
    Forgery { issuer: common_name(issuer), ..certificate.clone() }
}

/// The city's authorities and its timestamping authority, as files for openssl.
pub fn city_folder(city: &City) -> TempDir {
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

//! The one DER encoding of a signed statement (docs/formats/signed-statement.md): builds it from its free parts, and takes them out again.
//!
//! It does not know certificates or keys. What it takes out of a stranger's bytes counts only once the template that is rebuilt from it
//! equals those bytes; the reader's own checks are there to say what is wrong.

use const_oid::{
    ObjectIdentifier,
    db::{rfc5911, rfc5912},
};
use exhibit_pki::{Fingerprint, Suite, Timestamp, oid};

use super::SignedStatementError;

/// A subjectKeyIdentifier is 20 bytes in our certificates; no method of RFC 7093 gives more than a SHA-512.
const KEY_IDENTIFIER_BYTES_MAX: usize = 64;
/// From here on signing-time is a GeneralizedTime (RFC 5652 section 11.3): 2050-01-01T00:00:00Z.
const GENERALIZED_TIME_FROM_UNIX_S: u64 = 2_524_608_000;

const INTEGER: u8 = 0x02;
const OCTET_STRING: u8 = 0x04;
const NULL: u8 = 0x05;
const OBJECT_IDENTIFIER: u8 = 0x06;
const UTC_TIME: u8 = 0x17;
const GENERALIZED_TIME: u8 = 0x18;
const SEQUENCE: u8 = 0x30;
const SET: u8 = 0x31;
/// `[0] IMPLICIT` of a primitive type.
const CONTEXT_0: u8 = 0x80;
/// `[0]` of a constructed type, IMPLICIT or EXPLICIT.
const CONTEXT_0_CONSTRUCTED: u8 = 0xa0;
/// `[1]` of a constructed type.
const CONTEXT_1_CONSTRUCTED: u8 = 0xa1;
/// SignedData with another content type than id-data, and SignerInfo by subjectKeyIdentifier, are of version 3 (RFC 5652 5.1, 5.3).
const VERSION: &[u8] = &[3];

/// FIPS 204 in CMS (RFC 9882).
const LATER_SUITES: [(ObjectIdentifier, &str); 3] = [
    (ObjectIdentifier::new_unwrap("2.16.840.1.101.3.4.3.17"), "ML-DSA-44"),
    (ObjectIdentifier::new_unwrap("2.16.840.1.101.3.4.3.18"), "ML-DSA-65"),
    (ObjectIdentifier::new_unwrap("2.16.840.1.101.3.4.3.19"), "ML-DSA-87"),
];

/// What is free in a signed statement; everything else follows from it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Parts<'a> {
    /// What it is signed with.
    pub suite: Suite,
    /// The statement's bytes.
    pub statement: &'a [u8],
    /// The statement's `issued`.
    pub issued: Timestamp,
    /// subjectKeyIdentifier of the signer's certificate.
    pub key_identifier: &'a [u8],
    /// SHA-256 of the signer's certificate.
    pub certificate: Fingerprint,
}

impl Parts<'_> {
    /// The signed attributes as they are signed: DER of a SET OF.
    pub fn signed_attributes(&self) -> Vec<u8> {
        tlv(SET, &[&self.attributes()])
    }

    /// The whole ContentInfo around a signature.
    pub fn content_info(&self, signature: &[u8]) -> Vec<u8> {
        let digest_algorithm = tlv(SEQUENCE, &[&digest_algorithm(self.suite)]);
        let signature_algorithm = tlv(SEQUENCE, &[&signature_algorithm(self.suite)]);
        let version = tlv(INTEGER, &[VERSION]);
        let signer = tlv(
            SEQUENCE,
            &[
                &version,
                &tlv(CONTEXT_0, &[self.key_identifier]),
                &digest_algorithm,
                &tlv(CONTEXT_0_CONSTRUCTED, &[&self.attributes()]),
                &signature_algorithm,
                &tlv(OCTET_STRING, &[signature]),
            ],
        );
        let content = tlv(CONTEXT_0_CONSTRUCTED, &[&tlv(OCTET_STRING, &[self.statement])]);
        let signed_data = tlv(
            SEQUENCE,
            &[&version, &tlv(SET, &[&digest_algorithm]), &tlv(SEQUENCE, &[&oid(oid::STATEMENT), &content]), &tlv(SET, &[&signer])],
        );
        tlv(SEQUENCE, &[&oid(rfc5911::ID_SIGNED_DATA), &tlv(CONTEXT_0_CONSTRUCTED, &[&signed_data])])
    }

    /// The four attributes in the order of DER's SET OF: ascending by their encodings.
    fn attributes(&self) -> Vec<u8> {
        let certificate_id = tlv(SEQUENCE, &[&tlv(OCTET_STRING, &[&self.certificate])]);
        let signing_certificate = tlv(SEQUENCE, &[&tlv(SEQUENCE, &[&certificate_id])]);
        let mut attributes = [
            attribute(rfc5911::ID_CONTENT_TYPE, &oid(oid::STATEMENT)),
            attribute(rfc5911::ID_MESSAGE_DIGEST, &tlv(OCTET_STRING, &[&self.suite.digest(self.statement)])),
            attribute(rfc5911::ID_SIGNING_TIME, &signing_time(self.issued)),
            attribute(rfc5911::ID_AA_SIGNING_CERTIFICATE_V_2, &signing_certificate),
        ];
        attributes.sort();
        attributes.concat()
    }
}

/// What the SEQUENCE of a suite's digest algorithm holds: parameters are absent (RFC 5754 section 2).
fn digest_algorithm(suite: Suite) -> Vec<u8> {
    match suite {
        Suite::EcdsaP384Sha384 | Suite::RsaPkcs1Sha384 => oid(rfc5912::ID_SHA_384),
        Suite::EcdsaP256Sha256 => oid(rfc5912::ID_SHA_256),
    }
}

/// What the SEQUENCE of a suite's signature algorithm holds: ECDSA's parameters are absent (RFC 5754 section 3.3). RSA is named without the
/// hash, which the digest algorithm names, and with NULL (RFC 3370 section 3.2), as every card's software writes it.
fn signature_algorithm(suite: Suite) -> Vec<u8> {
    match suite {
        Suite::EcdsaP384Sha384 => oid(rfc5912::ECDSA_WITH_SHA_384),
        Suite::EcdsaP256Sha256 => oid(rfc5912::ECDSA_WITH_SHA_256),
        Suite::RsaPkcs1Sha384 => [oid(rfc5912::RSA_ENCRYPTION), tlv(NULL, &[])].concat(),
    }
}

/// The suite whose signature algorithm this is. Others that there is room for are refused by name.
fn suite_of(algorithm: &[u8]) -> Result<Suite, SignedStatementError> {
    if let Some(suite) = Suite::ALL.into_iter().find(|suite| signature_algorithm(*suite) == algorithm) {
        return Ok(suite);
    }
    let later = LATER_SUITES.iter().find(|(identifier, _)| oid(*identifier) == algorithm);
    Err(later.map_or(SignedStatementError::Encoding("the signature algorithm is of no suite"), |(_, name)| {
        SignedStatementError::UnknownSuite(name)
    }))
}

/// `issued` to the second, as UTCTime before 2050 and as GeneralizedTime from then on.
fn signing_time(issued: Timestamp) -> Vec<u8> {
    let digits = issued.compact().replace('T', "");
    if issued.unix_s() < GENERALIZED_TIME_FROM_UNIX_S {
        tlv(UTC_TIME, &[&digits.as_bytes()["20".len()..]])
    } else {
        tlv(GENERALIZED_TIME, &[digits.as_bytes()])
    }
}

fn attribute(kind: ObjectIdentifier, value: &[u8]) -> Vec<u8> {
    tlv(SEQUENCE, &[&oid(kind), &tlv(SET, &[value])])
}

fn oid(identifier: ObjectIdentifier) -> Vec<u8> {
    tlv(OBJECT_IDENTIFIER, &[identifier.as_bytes()])
}

/// One DER value: tag, definite length in the fewest octets, content.
fn tlv(tag: u8, content: &[&[u8]]) -> Vec<u8> {
    let length: usize = content.iter().map(|part| part.len()).sum();
    let mut der = vec![tag];
    let octets = length.to_be_bytes();
    let significant = &octets[octets.iter().take_while(|octet| **octet == 0).count()..];
    match significant {
        [] => der.push(0),
        [short @ 0..=0x7f] => der.push(*short),
        long => {
            der.push(0x80 | u8::try_from(long.len()).expect("a length has at most eight octets"));
            der.extend_from_slice(long);
        }
    }
    for part in content {
        der.extend_from_slice(part);
    }
    der
}

/// What was taken out of a stranger's bytes.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Found<'a> {
    pub suite: Suite,
    pub statement: &'a [u8],
    pub key_identifier: &'a [u8],
    pub signature: &'a [u8],
    signed_attributes: &'a [u8],
}

/// Takes the free parts out, but for those in the signed attributes.
pub(super) fn read(der: &[u8]) -> Result<Found<'_>, SignedStatementError> {
    let mut outer = Reader(der);
    let mut content_info = Reader(outer.value(SEQUENCE, "ContentInfo")?);
    outer.end("there are bytes after the ContentInfo")?;
    content_info.exactly(OBJECT_IDENTIFIER, rfc5911::ID_SIGNED_DATA.as_bytes(), "the content type is not id-signedData")?;
    let mut explicit = Reader(content_info.value(CONTEXT_0_CONSTRUCTED, "content")?);
    let mut signed_data = Reader(explicit.value(SEQUENCE, "SignedData")?);

    signed_data.exactly(INTEGER, VERSION, "the version of SignedData is not 3")?;
    let mut algorithms = Reader(signed_data.value(SET, "digestAlgorithms")?);
    let digest_algorithms = algorithms.value(SEQUENCE, "there is no digest algorithm")?;
    algorithms.end("there is more than one digest algorithm")?;
    let mut encapsulated = Reader(signed_data.value(SEQUENCE, "encapContentInfo")?);
    encapsulated.exactly(OBJECT_IDENTIFIER, oid::STATEMENT.as_bytes(), "eContentType is not that of a statement")?;
    if encapsulated.0.is_empty() {
        return Err(SignedStatementError::Encoding("the statement is not attached"));
    }
    let statement = Reader(encapsulated.value(CONTEXT_0_CONSTRUCTED, "eContent")?).value(OCTET_STRING, "eContent")?;
    signed_data.absent(CONTEXT_0_CONSTRUCTED, "there are certificates in it")?;
    signed_data.absent(CONTEXT_1_CONSTRUCTED, "there are revocation lists in it")?;
    let mut signers = Reader(signed_data.value(SET, "signerInfos")?);
    signed_data.end("there is something after the signers")?;

    let mut signer = Reader(signers.value(SEQUENCE, "SignerInfo")?);
    signers.end("there is more than one signer")?;
    signer.absent_version_1()?;
    signer.exactly(INTEGER, VERSION, "the version of SignerInfo is not 3")?;
    let key_identifier = signer.value(CONTEXT_0, "the signer's subjectKeyIdentifier")?;
    if key_identifier.is_empty() || key_identifier.len() > KEY_IDENTIFIER_BYTES_MAX {
        return Err(SignedStatementError::Encoding("the subjectKeyIdentifier is empty or too long"));
    }
    let signer_digest_algorithm = signer.value(SEQUENCE, "the signer's digest algorithm")?;
    let signed_attributes = signer.value(CONTEXT_0_CONSTRUCTED, "signedAttrs")?;
    let suite = suite_of(signer.value(SEQUENCE, "the signature algorithm")?)?;
    let signature = signer.value(OCTET_STRING, "signature")?;
    signer.end("there are unsigned attributes")?;
    // A hash of another suite would leave an attacker the choice of the weaker one.
    if digest_algorithms != digest_algorithm(suite) {
        return Err(SignedStatementError::Encoding("the digest algorithm is not that of the suite"));
    }
    if signer_digest_algorithm != digest_algorithm(suite) {
        return Err(SignedStatementError::Encoding("the signer's digest algorithm is not that of the suite"));
    }
    Ok(Found { suite, statement, key_identifier, signature, signed_attributes })
}

impl Found<'_> {
    /// Takes the certificate's hash out of the signed attributes, and checks the others against what follows from the statement.
    pub fn certificate(&self, issued: Timestamp) -> Result<Fingerprint, SignedStatementError> {
        let refuse = |what| Err(SignedStatementError::Encoding(what));
        let content_type = self.attribute(rfc5911::ID_CONTENT_TYPE, "the attribute content-type is missing, or there twice")?;
        if content_type != oid(oid::STATEMENT) {
            return refuse("the attribute content-type is not that of a statement");
        }
        let digest = self.attribute(rfc5911::ID_MESSAGE_DIGEST, "the attribute message-digest is missing, or there twice")?;
        if digest != tlv(OCTET_STRING, &[&self.suite.digest(self.statement)]) {
            return refuse("the attribute message-digest is not that of the statement");
        }
        let time = self.attribute(rfc5911::ID_SIGNING_TIME, "the attribute signing-time is missing, or there twice")?;
        if time != signing_time(issued) {
            return refuse("the attribute signing-time is not the statement's issued, to the second");
        }
        let missing = "the attribute signing-certificate-v2 is missing, or there twice";
        let mut value = Reader(self.attribute(rfc5911::ID_AA_SIGNING_CERTIFICATE_V_2, missing)?);
        let mut identifiers = Reader(Reader(value.value(SEQUENCE, "SigningCertificateV2")?).value(SEQUENCE, "its certs")?);
        let mut identifier = Reader(identifiers.value(SEQUENCE, "ESSCertIDv2")?);
        identifiers.end("signing-certificate-v2 names more than one certificate")?;
        let hash = identifier.value(OCTET_STRING, "certHash (of SHA-256, which is not written)")?;
        identifier.end("ESSCertIDv2 says more than a hash")?;
        Fingerprint::try_from(hash).or(refuse("certHash is not 32 bytes"))
    }

    /// The single value of the attribute `kind`, which stands exactly once.
    fn attribute(&self, kind: ObjectIdentifier, missing: &'static str) -> Result<&[u8], SignedStatementError> {
        let mut attributes = Reader(self.signed_attributes);
        let mut found = None;
        while !attributes.0.is_empty() {
            let mut attribute = Reader(attributes.value(SEQUENCE, "a signed attribute")?);
            let name = attribute.value(OBJECT_IDENTIFIER, "a signed attribute's type")?;
            let values = attribute.value(SET, "a signed attribute's values")?;
            if name == kind.as_bytes() && found.replace(values).is_some() {
                return Err(SignedStatementError::Encoding(missing));
            }
        }
        found.ok_or(SignedStatementError::Encoding(missing))
    }
}

/// Walks over BER of definite lengths. It is lenient about the form of lengths, which the comparison with the template settles.
struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    /// The content of the next value, which must have the tag.
    fn value(&mut self, tag: u8, what: &'static str) -> Result<&'a [u8], SignedStatementError> {
        let refused = SignedStatementError::Encoding(what);
        let (found, rest) = self.0.split_first().ok_or(refused.clone())?;
        if *found != tag {
            return Err(refused);
        }
        let (first, rest) = rest.split_first().ok_or(refused.clone())?;
        let (length, rest) = match *first {
            0x80 => return Err(SignedStatementError::Encoding("a length is indefinite")),
            short @ 0..=0x7f => (usize::from(short), rest),
            long => {
                let (octets, rest) = rest.split_at_checked(usize::from(long & 0x7f)).ok_or(refused.clone())?;
                // An entry is shorter than 2^16, so more octets can only be zeros, which DER has not.
                let octets = <[u8; 2]>::try_from(octets).or_else(|_| <[u8; 1]>::try_from(octets).map(|[low]| [0, low]));
                (usize::from(u16::from_be_bytes(octets.map_err(|_| refused.clone())?)), rest)
            }
        };
        let (content, rest) = rest.split_at_checked(length).ok_or(refused)?;
        self.0 = rest;
        Ok(content)
    }
    /// A value that must be this one.
    fn exactly(&mut self, tag: u8, expected: &[u8], otherwise: &'static str) -> Result<(), SignedStatementError> {
        if self.value(tag, otherwise)? == expected { Ok(()) } else { Err(SignedStatementError::Encoding(otherwise)) }
    }
    /// Refuses a value of this tag.
    fn absent(&self, tag: u8, otherwise: &'static str) -> Result<(), SignedStatementError> {
        if self.0.first() == Some(&tag) { Err(SignedStatementError::Encoding(otherwise)) } else { Ok(()) }
    }
    /// Refuses the version that goes with issuerAndSerialNumber, by its own name.
    fn absent_version_1(&self) -> Result<(), SignedStatementError> {
        if self.0.starts_with(&[INTEGER, 1, 1]) {
            return Err(SignedStatementError::Encoding("the signer is not named by subjectKeyIdentifier"));
        }
        Ok(())
    }
    /// Refuses what is left.
    fn end(&self, otherwise: &'static str) -> Result<(), SignedStatementError> {
        if self.0.is_empty() { Ok(()) } else { Err(SignedStatementError::Encoding(otherwise)) }
    }
}

//! Endorsement keys, and the certificates that vendors keep for them in the TPM's non-volatile memory.
//!
//! It does not know any vendor: the certificate is read only as far as it takes to find its key; `vendor` verifies who signed it.

use const_oid::{
    ObjectIdentifier,
    db::rfc5912::{ID_EC_PUBLIC_KEY, ID_RSAES_OAEP, RSA_ENCRYPTION, SECP_256_R_1, SECP_384_R_1},
};
use der::{Decode, Reader as _, SliceReader, Tag, Tagged, asn1::AnyRef};
use x509_cert::spki::SubjectPublicKeyInfoRef;

use super::{
    judge::KeyDefect,
    public::{Attributes, Curve, KeyParameters, Name, PublicArea, SEC1_UNCOMPRESSED},
    suite::EndorsementSuite,
};

/// An endorsement certificate as far as it is read: its bytes, and the key that it is for.
///
/// Who signed it, and whether that is a vendor of TPMs, is judged by [`EndorsementCertificate::verify`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EndorsementCertificate {
    der: Vec<u8>,
    key: CertificateKey,
}

/// The key of a certificate, in the terms of a public area.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum CertificateKey {
    Rsa { modulus: Vec<u8>, exponent: u32 },
    Ecc { curve: Curve, point: Vec<u8> },
}

/// Why what was read from the TPM's memory is not an endorsement certificate.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum EndorsementCertificateError {
    /// There is nothing in it but padding.
    #[error("the TPM's vendor left no endorsement certificate there")]
    Blank,
    /// More than any certificate.
    #[error("it has {0} bytes, more than an endorsement certificate")]
    TooLong(usize),
    /// It is not laid out as an X.509 certificate.
    #[error("it is not an X.509 certificate")]
    Malformed,
    /// Something else than padding follows the certificate.
    #[error("at byte {offset} after the certificate there is neither 0x00 nor 0xff")]
    Padding {
        /// Counted from the start of what was read.
        offset: usize,
    },
    /// Its key is neither RSA nor on P-256 or P-384.
    #[error("its key is neither RSA nor on P-256 or P-384")]
    Key,
}

impl EndorsementCertificate {
    /// From what TPM2_NV_Read gave: a certificate, and then padding of 0x00 or 0xff to the size of the index, if any.
    ///
    /// Vendors' certificates break rules that ours keep (serial numbers, names, extensions), so nothing is parsed but the way to the key.
    pub fn from_nv(bytes: &[u8]) -> Result<Self, EndorsementCertificateError> {
        use EndorsementCertificateError::{Blank, Key, Malformed, Padding, TooLong};
        if bytes.len() > NV_BYTES_MAX {
            return Err(TooLong(bytes.len()));
        }
        if bytes.iter().all(is_padding) {
            return Err(Blank);
        }
        let der = SliceReader::new(bytes).and_then(|mut reader| reader.tlv_bytes()).map_err(|_| Malformed)?;
        let key = find_key(der).map_err(|_| Malformed)?;
        if let Some(position) = bytes[der.len()..].iter().position(|byte| !is_padding(byte)) {
            return Err(Padding { offset: der.len() + position });
        }
        Ok(Self { der: der.to_vec(), key: read_key(&key).ok_or(Key)? })
    }

    /// The certificate without its padding.
    pub fn der(&self) -> &[u8] {
        &self.der
    }

    pub(super) fn key(&self) -> &CertificateKey {
        &self.key
    }
}

/// An endorsement key whose attributes and suite are as they must be, and which is that of a certificate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EndorsementKey {
    public: PublicArea,
    suite: EndorsementSuite,
}

/// Why a key is not the endorsement key of a certificate.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum EndorsementKeyError {
    /// Its attributes are not those of an endorsement key.
    #[error("the endorsement key will not do: {0}")]
    Key(#[from] KeyDefect),
    /// The certificate is for another key.
    #[error("the endorsement certificate is for another key")]
    OtherKey,
}

impl EndorsementKey {
    /// Checks that the key is one that only its own TPM can use, only to open what a TPM wrapped, and that the certificate is for it.
    pub fn from_public(public: PublicArea, certificate: &EndorsementCertificate) -> Result<Self, EndorsementKeyError> {
        let key = Self::listed(public)?;
        let same = match (key.public.parameters(), &certificate.key) {
            (KeyParameters::Rsa { modulus, exponent }, CertificateKey::Rsa { modulus: certified, exponent: certified_exponent }) => {
                modulus == certified && exponent == certified_exponent
            }
            (KeyParameters::Ecc { curve, point, .. }, CertificateKey::Ecc { curve: certified_curve, point: certified }) => {
                curve == certified_curve && point == certified
            }
            _ => false,
        };
        if same { Ok(key) } else { Err(EndorsementKeyError::OtherKey) }
    }

    /// The same of a key that an authority knows by other means than a vendor's certificate, from a list: its attributes and its suite are checked.
    pub fn listed(public: PublicArea) -> Result<Self, KeyDefect> {
        KeyDefect::find_in_resident(&public)?;
        let has = |attribute| public.attributes().contains(attribute);
        if !has(Attributes::RESTRICTED) {
            return Err(KeyDefect::NotRestricted);
        }
        if !has(Attributes::DECRYPT) {
            return Err(KeyDefect::CanNotDecrypt);
        }
        if has(Attributes::SIGN) {
            return Err(KeyDefect::CanSign);
        }
        if public.storage_key_bits().is_none() {
            return Err(KeyDefect::NoStorageCipher);
        }
        let suite = EndorsementSuite::of(&public).ok_or(KeyDefect::EndorsementSuite)?;
        Ok(Self { public, suite })
    }

    /// Of what suite it is.
    pub fn suite(&self) -> EndorsementSuite {
        self.suite
    }

    /// Its public area.
    pub fn public(&self) -> &PublicArea {
        &self.public
    }

    /// Its qualified name, which is that of the place of the keys under it.
    pub fn qualified_name(&self) -> Name {
        self.public.qualified_name_in_endorsement()
    }
}

fn is_padding(byte: &u8) -> bool {
    matches!(byte, 0x00 | 0xff)
}

/// Walks to the subjectPublicKeyInfo and past everything before it, whatever that says.
fn find_key(der: &[u8]) -> der::Result<SubjectPublicKeyInfoRef<'_>> {
    let mut certificate = enter(AnyRef::from_der(der)?)?;
    let tbs = AnyRef::decode(&mut certificate)?;
    for _signature_algorithm_and_value in 0..2 {
        AnyRef::decode(&mut certificate)?;
    }
    certificate.finish()?;
    let mut tbs = enter(tbs)?;
    let mut field = AnyRef::decode(&mut tbs)?;
    if matches!(field.tag(), Tag::ContextSpecific { .. }) {
        // The version; it is left out in version 1.
        field = AnyRef::decode(&mut tbs)?;
    }
    for tag in [Tag::Integer, Tag::Sequence, Tag::Sequence, Tag::Sequence, Tag::Sequence] {
        // The serial number, the signature's algorithm, the issuer, the validity, the subject.
        field.tag().assert_eq(tag)?;
        field = AnyRef::decode(&mut tbs)?;
    }
    field.decode_as()
}

fn enter(sequence: AnyRef<'_>) -> der::Result<SliceReader<'_>> {
    sequence.tag().assert_eq(Tag::Sequence)?;
    SliceReader::new(sequence.value())
}

fn read_key(key: &SubjectPublicKeyInfoRef<'_>) -> Option<CertificateKey> {
    let bits = key.subject_public_key.as_bytes()?;
    match key.algorithm.oid {
        RSA_ENCRYPTION | ID_RSAES_OAEP => {
            let key = RsaPublicKey::from_der(bits).ok()?;
            Some(CertificateKey::Rsa { modulus: key.modulus.as_bytes().to_vec(), exponent: key.exponent })
        }
        ID_EC_PUBLIC_KEY => {
            let curve = match key.algorithm.parameters?.decode_as::<ObjectIdentifier>().ok()? {
                SECP_256_R_1 => Curve::P256,
                SECP_384_R_1 => Curve::P384,
                _ => return None,
            };
            let uncompressed = bits.len() == 1 + 2 * curve.coordinate_bytes() && bits[0] == SEC1_UNCOMPRESSED;
            uncompressed.then(|| CertificateKey::Ecc { curve, point: bits.to_vec() })
        }
        _ => None,
    }
}

/// `RSAPublicKey` (RFC 8017 appendix A.1.1).
#[derive(der::Sequence)]
struct RsaPublicKey<'a> {
    modulus: der::asn1::UintRef<'a>,
    exponent: u32,
}

/// An NV index holds at most 2 KiB in the TPMs in use, and an RSA-4096 certificate with its extensions is about as long.
const NV_BYTES_MAX: usize = 4096;

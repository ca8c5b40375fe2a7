//! The recorded vectors, ways to alter them, and an attestation key whose private half is here: so that what is altered can be signed
//! again, and it is not the signature that refuses it.

use std::ops::Range;

use exhibit_pki::{
    RustCrypto, Signer as _, SoftwareSigner,
    attestation::{
        AttestError, AttestationKey, CertifiedKey, EndorsementCertificate, EndorsementCertificateError, EndorsementKey,
        EndorsementKeyError, FormatError, HashAlgorithm, KeyDefect, PcrValues, PublicArea, QualifyingData, VerifiedQuote, VerifiedTime,
    },
};

#[path = "../../../tests/independent/ask.rs"]
mod independent;
pub use independent::assert_agrees_on;
use independent::judged;

// What the library judges, remembered, so that the verifier in Python can judge the same.

pub fn read_area(bytes: &[u8]) -> Result<PublicArea, FormatError> {
    judged("public-area", &[bytes], PublicArea::from_bytes(bytes))
}

pub fn read_nv(bytes: &[u8]) -> Result<EndorsementCertificate, EndorsementCertificateError> {
    judged("endorsement-certificate", &[bytes], EndorsementCertificate::from_nv(bytes))
}

pub fn endorse(public: PublicArea, certificate: &EndorsementCertificate) -> Result<EndorsementKey, EndorsementKeyError> {
    let area = public.as_bytes().to_vec();
    judged("endorsement-key", &[&area, certificate.der()], EndorsementKey::from_public(public, certificate))
}

pub fn list(public: PublicArea) -> Result<EndorsementKey, KeyDefect> {
    let area = public.as_bytes().to_vec();
    judged("endorsement-key", &[&area], EndorsementKey::listed(public))
}

pub fn attest_under(public: PublicArea, parent: &EndorsementKey) -> Result<AttestationKey, KeyDefect> {
    let area = public.as_bytes().to_vec();
    judged("attestation-key", &[&area, parent.public().as_bytes()], AttestationKey::from_public(public, parent))
}

/// An attestation key under a recorded endorsement key, and their public areas. It judges what was recorded for it, or is said to have been.
pub struct JudgedKey {
    key: AttestationKey,
    area: Vec<u8>,
    endorsement: Vec<u8>,
}

impl JudgedKey {
    pub fn under(endorsement: &EndorsementKey, area: Vec<u8>) -> Self {
        let key = attest_under(PublicArea::from_bytes(&area).unwrap(), endorsement).unwrap();
        Self { key, area, endorsement: endorsement.public().as_bytes().to_vec() }
    }

    pub fn certify(&self, attest: &[u8], signature: &[u8], certified: &PublicArea) -> Result<CertifiedKey, AttestError> {
        let expected = qualifying_data("certify");
        let ours = self.key.verify_certify(&RustCrypto, attest, signature, &expected, certified);
        self.judged("certify", [attest, signature, expected.as_bytes()], &[certified.as_bytes()], ours)
    }

    /// The values are those of registers that were recorded: a bank of SHA-256 and one of SHA-384.
    pub fn quote(&self, attest: &[u8], signature: &[u8], values: &[u8]) -> Result<VerifiedQuote, AttestError> {
        let expected = qualifying_data("quote");
        let selection = &vector("quote-attest")[BANKS_COUNT.start..SECOND_BANK.end];
        let ours = self.key.verify_quote(&RustCrypto, attest, signature, &expected, &pcr_values(values));
        self.judged("quote", [attest, signature, expected.as_bytes()], &[selection, values], ours)
    }

    pub fn time(&self, attest: &[u8], signature: &[u8], context: &str) -> Result<VerifiedTime, AttestError> {
        let expected = qualifying_data(context);
        let ours = self.key.verify_time(&RustCrypto, attest, signature, &expected);
        self.judged("time", [attest, signature, expected.as_bytes()], &[], ours)
    }

    fn judged<T>(&self, kind: &'static str, said: [&[u8]; 3], about: &[&[u8]], ours: Result<T, AttestError>) -> Result<T, AttestError> {
        judged(kind, &[&[&self.area[..], &self.endorsement], &said[..], about].concat(), ours)
    }
}

impl std::ops::Deref for JudgedKey {
    type Target = AttestationKey;

    fn deref(&self) -> &AttestationKey {
        &self.key
    }
}

pub fn public_of(key: &JudgedKey) -> PublicArea {
    PublicArea::from_bytes(&key.area).unwrap()
}

pub fn vector(name: &str) -> Vec<u8> {
    std::fs::read(format!("{}/tests/vectors/attestation/{name}.bin", env!("CARGO_MANIFEST_DIR"))).unwrap()
}

pub fn public(name: &str) -> PublicArea {
    PublicArea::from_bytes(&vector(name)).unwrap()
}

/// The bytes with what is at the range replaced, by more or less or as much.
pub fn splice(bytes: &[u8], range: Range<usize>, with: &[u8]) -> Vec<u8> {
    [&bytes[..range.start], with, &bytes[range.end..]].concat()
}

/// The same, with one byte altered.
pub fn flip(bytes: &[u8], position: usize, mask: u8) -> Vec<u8> {
    splice(bytes, position..position + 1, &[bytes[position] ^ mask])
}

pub fn sized(bytes: &[u8]) -> Vec<u8> {
    [&u16::try_from(bytes.len()).unwrap().to_be_bytes(), bytes].concat()
}

/// What the vectors were recorded with.
pub fn qualifying_data(context: &str) -> QualifyingData {
    QualifyingData::new(&[0x4e; 32], context.as_bytes())
}

pub fn endorsement_key() -> EndorsementKey {
    let certificate = EndorsementCertificate::from_nv(&vector("ek-p384-certificate")).unwrap();
    EndorsementKey::from_public(public("ek-p384-public"), &certificate).unwrap()
}

pub fn attestation_key() -> JudgedKey {
    JudgedKey::under(&endorsement_key(), vector("ak-public"))
}

pub fn pcr_values(bytes: &[u8]) -> PcrValues {
    let mut values = PcrValues::new();
    values.add(HashAlgorithm::Sha256, 4, &bytes[..32]).unwrap();
    values.add(HashAlgorithm::Sha384, 0, &bytes[32..80]).unwrap();
    values.add(HashAlgorithm::Sha384, 16, &bytes[80..]).unwrap();
    values
}

/// An attestation key that would sign anything; all but its point is the recorded one's.
pub struct Forger {
    signer: SoftwareSigner,
    pub key: JudgedKey,
    qualified_name: Vec<u8>,
}

impl Forger {
    pub fn new() -> Self {
        let signer = SoftwareSigner::from_scalar(&[5; 48].into()).unwrap();
        let point = signer.public_key().as_bytes();
        let public = splice(&splice(&vector("ak-public"), 22..70, &point[1..49]), 72..120, &point[49..]);
        let area = PublicArea::from_bytes(&public).unwrap();
        let qualified_name = area.qualified_name_under(&endorsement_key().qualified_name()).as_bytes().to_vec();
        Self { signer, key: JudgedKey::under(&endorsement_key(), public), qualified_name }
    }

    /// A recorded attestation with this key as its signer.
    pub fn attest(&self, name: &str) -> Vec<u8> {
        splice(&vector(name), QUALIFIED_SIGNER, &self.qualified_name)
    }

    /// A TPMT_SIGNATURE over anything.
    pub fn sign(&self, message: &[u8]) -> Vec<u8> {
        let digest: [u8; 48] = HashAlgorithm::Sha384.digest(message).try_into().unwrap();
        let raw = self.signer.sign_digest(&digest).unwrap();
        [&[0x00, 0x18, 0x00, 0x0c], sized(&raw[..48]).as_slice(), &sized(&raw[48..])].concat()
    }
}

/// A big-endian number of a recording.
pub fn number(name: &str, at: Range<usize>) -> u64 {
    vector(name)[at].iter().fold(0, |number, byte| number << 8 | u64::from(*byte))
}

// Where the fields of the recorded attestations are.
pub const MAGIC: Range<usize> = 0..4;
pub const TYPE: Range<usize> = 4..6;
/// With its length.
pub const SIZED_QUALIFIED_SIGNER: Range<usize> = 6..58;
pub const QUALIFIED_SIGNER: Range<usize> = 8..58;
/// With its length.
pub const SIZED_EXTRA_DATA: Range<usize> = 58..92;
pub const CLOCK: Range<usize> = 92..100;
pub const RESET_COUNT: Range<usize> = 100..104;
pub const RESTART_COUNT: Range<usize> = 104..108;
pub const SAFE: Range<usize> = 108..109;
pub const FIRMWARE_VERSION: Range<usize> = 109..117;
/// With its length.
pub const SIZED_CERTIFIED_NAME: Range<usize> = 117..169;
pub const CERTIFIED_NAME: Range<usize> = 119..169;
/// With its length.
pub const SIZED_CERTIFIED_QUALIFIED_NAME: Range<usize> = 169..221;
pub const BANKS_COUNT: Range<usize> = 117..121;
pub const FIRST_BANK: Range<usize> = 121..127;
pub const SECOND_BANK: Range<usize> = 127..133;
/// With its length.
pub const SIZED_PCR_DIGEST: Range<usize> = 133..183;
pub const TIME: Range<usize> = 117..125;
pub const TIME_CLOCK: Range<usize> = 125..133;
pub const TIME_RESET_COUNT: Range<usize> = 133..137;
pub const TIME_RESTART_COUNT: Range<usize> = 137..141;
pub const TIME_SAFE: Range<usize> = 141..142;
pub const TIME_FIRMWARE_VERSION: Range<usize> = 142..150;

// Where the fields of the recorded public areas on P-384 without a policy are.
pub const NAME_ALGORITHM: Range<usize> = 2..4;
pub const ATTRIBUTES: Range<usize> = 4..8;
/// With its length.
pub const SIZED_POLICY: Range<usize> = 8..10;
pub const SYMMETRIC: Range<usize> = 10..12;
/// With its hash.
pub const SCHEME: Range<usize> = 12..16;
pub const CURVE: Range<usize> = 16..18;
pub const KDF: Range<usize> = 18..20;
/// With its length.
pub const SIZED_X: Range<usize> = 20..70;
/// With its length.
pub const SIZED_Y: Range<usize> = 70..120;

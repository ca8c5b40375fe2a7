//! A small authority, its recipients, and envelopes taken apart.

#![allow(clippy::unwrap_used, dead_code)]

use cms::authenveloped_data::AuthEnvelopedData;
use cms::content_info::ContentInfo;
use cms::enveloped_data::{KeyAgreeRecipientInfo, OriginatorIdentifierOrKey, OriginatorPublicKey, RecipientInfo};
use const_oid::db::rfc5911;
use der::asn1::Any;
use der::{Decode, Encode};
use exhibit_evidence::envelope::{EnvelopeError, seal};
use exhibit_pki::{
    Certificate, EndEntity, Identity, Issuance, KeyPurpose, PublicKey, Role, Signer, SoftwareSigner, Timestamp, TrustDomain,
    issue_end_entity, issue_issuing_ca, issue_root,
};
use sha2::{Digest, Sha256};
use zeroize::Zeroizing;

#[path = "../../../tests/independent/ask.rs"]
mod independent;
pub use independent::{assert_agrees_on, judged};

/// Opens an envelope, and remembers it for the verifier in Python.
pub fn open(envelope: &[u8], certificate: &Certificate, key: &SoftwareSigner) -> Result<Zeroizing<Vec<u8>>, EnvelopeError> {
    let opened = exhibit_evidence::envelope::open(envelope, certificate, key);
    judged("envelope-opens", &[envelope, certificate.der(), key.to_pkcs8_pem().as_bytes()], opened)
}

/// Random enough to be different each time, and the same in every run.
pub fn entropy(seed: u8) -> impl FnMut(&mut [u8]) {
    let mut counter = 0_u64;
    move |bytes| {
        for chunk in bytes.chunks_mut(32) {
            counter += 1;
            let block = Sha256::new().chain_update([seed]).chain_update(counter.to_be_bytes()).finalize();
            chunk.copy_from_slice(&block[..chunk.len()]);
        }
    }
}

pub fn key(number: u8) -> SoftwareSigner {
    SoftwareSigner::from_scalar(&Zeroizing::new([number; 48])).unwrap()
}

pub fn issuance(serial: u8) -> Issuance {
    let at = |text: &str| Timestamp::parse(text).unwrap();
    Issuance { not_before: at("2026-01-01T00:00:00.000Z"), not_after: at("2036-01-01T00:00:00.000Z"), serial: [serial; 16] }
}

/// The certificate of `user/u<number>`, whose key is `key(number)`.
pub fn certificate(number: u8, purpose: KeyPurpose) -> Certificate {
    certify(number, purpose, key(number).public_key())
}

/// The certificate of `user/u<number>` with a key of any suite.
pub fn certify(number: u8, purpose: KeyPurpose, public_key: &PublicKey) -> Certificate {
    let (root_key, issuing_key) = (key(1), key(2));
    let root = issue_root("City root", &TrustDomain::parse("city.example").unwrap(), &root_key, &issuance(1)).unwrap();
    let roles = [Role::Custodian];
    let issuing = issue_issuing_ca("City issuing", issuing_key.public_key(), &roles, &root, &root_key, &issuance(2)).unwrap();
    let identity = Identity::parse(&format!("spiffe://city.example/user/u{number}")).unwrap();
    let entity = EndEntity { identity: &identity, public_key, purpose, roles: &roles, server_names: &[] };
    issue_end_entity(&entity, &issuing, &issuing_key, &issuance(number)).unwrap()
}

pub fn recipient(number: u8) -> Certificate {
    certificate(number, KeyPurpose::Wrapping)
}

pub const CONTENT: &[u8] = b"thirty-two bytes and a few more, not a multiple of sixteen";

pub fn sealed_for_two() -> Vec<u8> {
    seal(CONTENT, &[recipient(10), recipient(11)], &mut entropy(1)).unwrap()
}

pub fn parse(envelope: &[u8]) -> AuthEnvelopedData {
    ContentInfo::from_der(envelope).unwrap().content.decode_as().unwrap()
}

pub fn write(enveloped: &AuthEnvelopedData) -> Vec<u8> {
    let content = Any::encode_from(enveloped).unwrap();
    ContentInfo { content_type: rfc5911::ID_CT_AUTH_ENVELOPED_DATA, content }.to_der().unwrap()
}

pub fn kari(info: &RecipientInfo) -> &KeyAgreeRecipientInfo {
    let RecipientInfo::Kari(info) = info else { panic!("not by key agreement") };
    info
}

pub fn ephemeral(info: &KeyAgreeRecipientInfo) -> &OriginatorPublicKey {
    let OriginatorIdentifierOrKey::OriginatorKey(key) = &info.originator else { panic!("no ephemeral key") };
    key
}

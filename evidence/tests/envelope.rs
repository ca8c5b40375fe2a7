//! Envelopes against stock openssl, against envelopes with one defect each, and against the defect that would open them to everybody.

#![allow(clippy::unwrap_used)]

use std::fs;
use std::process::Command;

use exhibit_evidence::envelope::{EnvelopeError, open, seal};
use exhibit_pki::{
    Certificate, EndEntity, Identity, Issuance, KeyPurpose, Role, Signer, SoftwareSigner, Timestamp, TrustDomain, issue_end_entity,
    issue_issuing_ca, issue_root,
};
use sha2::{Digest, Sha256};
use zeroize::Zeroizing;

/// Random enough to be different each time, and the same in every run.
fn entropy(seed: u8) -> impl FnMut(&mut [u8]) {
    let mut counter = 0_u64;
    move |bytes| {
        for chunk in bytes.chunks_mut(32) {
            counter += 1;
            let block = Sha256::new().chain_update([seed]).chain_update(counter.to_be_bytes()).finalize();
            chunk.copy_from_slice(&block[..chunk.len()]);
        }
    }
}

fn key(number: u8) -> SoftwareSigner {
    SoftwareSigner::from_scalar(&Zeroizing::new([number; 48])).unwrap()
}

fn issuance(serial: u8) -> Issuance {
    let at = |text: &str| Timestamp::parse(text).unwrap();
    Issuance { not_before: at("2026-01-01T00:00:00.000Z"), not_after: at("2036-01-01T00:00:00.000Z"), serial: [serial; 16] }
}

/// The certificate of `user/u<number>`, whose key is `key(number)`.
fn certificate(number: u8, purpose: KeyPurpose) -> Certificate {
    let (root_key, issuing_key) = (key(1), key(2));
    let root = issue_root("City root", &TrustDomain::parse("city.example").unwrap(), &root_key, &issuance(1)).unwrap();
    let roles = [Role::Custodian];
    let issuing = issue_issuing_ca("City issuing", issuing_key.public_key(), &roles, &root, &root_key, &issuance(2)).unwrap();
    let identity = Identity::parse(&format!("spiffe://city.example/user/u{number}")).unwrap();
    let holder = key(number);
    let entity = EndEntity { identity: &identity, public_key: holder.public_key(), purpose, roles: &roles, server_names: &[] };
    issue_end_entity(&entity, &issuing, &issuing_key, &issuance(number)).unwrap()
}

fn recipient(number: u8) -> Certificate {
    certificate(number, KeyPurpose::Wrapping)
}

const CONTENT: &[u8] = b"thirty-two bytes and a few more, not a multiple of sixteen";

fn sealed_for_two() -> Vec<u8> {
    seal(CONTENT, &[recipient(10), recipient(11)], &mut entropy(1)).unwrap()
}

fn openssl_decrypts(envelope: &[u8], number: u8) -> Option<Vec<u8>> {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("envelope.der"), envelope).unwrap();
    fs::write(folder.path().join("key.pem"), key(number).to_pkcs8_pem().as_bytes()).unwrap();
    fs::write(folder.path().join("certificate.pem"), recipient(number).to_pem()).unwrap();
    let arguments = "cms -decrypt -binary -inform DER -in envelope.der -inkey key.pem -recip certificate.pem -out content";
    let output = Command::new("openssl").args(arguments.split(' ')).current_dir(folder.path()).output().unwrap();
    output.status.success().then(|| fs::read(folder.path().join("content")).unwrap())
}

#[test]
fn openssl_opens_it_for_each_recipient_and_for_nobody_else() {
    for content in [CONTENT.to_vec(), Vec::new(), vec![0x5a; 100_000]] {
        let envelope = seal(&content, &[recipient(10), recipient(11)], &mut entropy(1)).unwrap();
        assert_eq!(openssl_decrypts(&envelope, 10).as_ref(), Some(&content));
        assert_eq!(openssl_decrypts(&envelope, 11).as_ref(), Some(&content));
        assert_eq!(openssl_decrypts(&envelope, 12), None, "a stranger opened it");
    }
}

#[test]
fn each_recipient_opens_it_and_nobody_else() {
    let envelope = sealed_for_two();
    for number in [10, 11] {
        assert_eq!(**open(&envelope, &recipient(number), &key(number)).unwrap(), *CONTENT);
    }
    assert_eq!(open(&envelope, &recipient(12), &key(12)).unwrap_err(), EnvelopeError::NotARecipient);
    assert_eq!(open(&envelope, &recipient(10), &key(12)).unwrap_err(), EnvelopeError::Authentication, "another key opened it");
    assert_eq!(open(&envelope, &recipient(10), &key(11)).unwrap_err(), EnvelopeError::Authentication);
}

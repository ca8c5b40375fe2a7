//! Envelopes against stock openssl, and against the defect that would open them to everybody.

#![allow(clippy::unwrap_used)]

mod envelope_support;

use std::fs;
use std::process::Command;

use aes_gcm::aead::Aead;
use aes_gcm::{Aes256Gcm, KeyInit};
use aes_kw::AesKw;
use cms::enveloped_data::KeyAgreeRecipientInfo;
use envelope_support::{CONTENT, assert_agrees_on, certificate, entropy, ephemeral, kari, key, open, parse, recipient, sealed_for_two};
use exhibit_evidence::envelope::{CONTENT_BYTES_MAX, EnvelopeError, RECIPIENTS_MAX, UnwrappingKey, is_addressed_to, recipient_count, seal};
use exhibit_pki::{Certificate, KeyPurpose, SoftwareSigner};
use sha2::{Digest, Sha384};

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

/// A key does one of the two; what it does not do gives no secret, be it empty.
#[test]
fn a_key_that_does_nothing_opens_nothing() {
    struct Neither;
    impl UnwrappingKey for Neither {}
    assert!(matches!(Neither.agree(&[4; 97]), Err(EnvelopeError::Key(_))));
    assert!(matches!(Neither.decrypt_oaep_sha256(&[1; 384]), Err(EnvelopeError::Key(_))));
    let envelope = seal(CONTENT, &[recipient(10)], &mut entropy(1)).unwrap();
    let opened = exhibit_evidence::envelope::open(&envelope, &recipient(10), &Neither);
    assert!(matches!(opened, Err(EnvelopeError::Key(_))), "{opened:?}");
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

#[test]
fn who_is_addressed_is_seen_without_a_key() {
    let envelope = sealed_for_two();
    assert_eq!(recipient_count(&envelope), Ok(2));
    assert_eq!(is_addressed_to(&envelope, &recipient(11)), Ok(true));
    assert_eq!(is_addressed_to(&envelope, &recipient(12)), Ok(false));
}

/// The bytes are part of the format: what was wrapped before must open for as long as the key is kept.
#[test]
fn the_envelope_of_the_documentation_is_written_and_opens() {
    let envelope = include_bytes!("vectors/envelope.der");
    assert_eq!(sealed_for_two(), envelope);
    let key = SoftwareSigner::from_pkcs8_pem(include_str!("vectors/envelope.key.pem")).unwrap();
    let certificate = Certificate::from_pem(include_str!("vectors/envelope.certificate.pem")).unwrap();
    assert_eq!(**open(envelope, &certificate, &key).unwrap(), *CONTENT);
}

#[test]
fn sixty_four_recipients_and_no_more() {
    let all: Vec<Certificate> = (3..=3 + RECIPIENTS_MAX as u8).map(recipient).collect();
    let most = &all[..RECIPIENTS_MAX];
    let envelope = seal(CONTENT, most, &mut entropy(1)).unwrap();
    assert_eq!(recipient_count(&envelope), Ok(RECIPIENTS_MAX));
    assert_eq!(**open(&envelope, &most[63], &key(66)).unwrap(), *CONTENT);
    assert_eq!(seal(CONTENT, &all, &mut entropy(1)), Err(EnvelopeError::RecipientCount(65)));
    assert_eq!(seal(CONTENT, &[], &mut entropy(1)), Err(EnvelopeError::RecipientCount(0)));
}

#[test]
fn only_wrapping_certificates_receive_keys() {
    let signing = certificate(12, KeyPurpose::Signing);
    let refused = Err(EnvelopeError::NotForWrapping("user/u12".to_owned()));
    assert_eq!(seal(CONTENT, &[recipient(10), signing.clone()], &mut entropy(1)), refused);
    assert_eq!(open(&sealed_for_two(), &signing, &key(12)).map(|_| Vec::new()), refused);
}

#[test]
fn the_same_recipient_twice_is_refused() {
    let twice = seal(CONTENT, &[recipient(10), recipient(10)], &mut entropy(1));
    assert_eq!(twice, Err(EnvelopeError::Malformed("it names a recipient twice")));
}

#[test]
fn more_content_than_an_envelope_holds_is_refused() {
    let content = vec![0; CONTENT_BYTES_MAX + 1];
    assert_eq!(seal(&content, &[recipient(10)], &mut entropy(1)), Err(EnvelopeError::TooLong));
    let envelope = seal(&content[1..], &[recipient(10)], &mut entropy(1)).unwrap();
    assert_eq!(open(&envelope, &recipient(10), &key(10)).unwrap().len(), CONTENT_BYTES_MAX);
}

#[test]
fn a_source_of_zeros_is_noticed() {
    assert_eq!(seal(CONTENT, &[recipient(10)], &mut |bytes| bytes.fill(0)), Err(EnvelopeError::Entropy));
    assert_eq!(seal(CONTENT, &[recipient(10)], &mut |bytes| bytes.fill(0xff)), Err(EnvelopeError::Entropy));
}

#[test]
fn nothing_is_used_twice() {
    let parts = |seed| {
        let enveloped = parse(&seal(CONTENT, &[recipient(10), recipient(11)], &mut entropy(seed)).unwrap());
        let infos: Vec<_> = enveloped.recip_infos.0.iter().map(kari).collect();
        let ephemerals = infos.iter().map(|info| ephemeral(info).public_key.raw_bytes().to_vec()).collect::<Vec<_>>();
        let wrapped = infos.iter().map(|info| info.recipient_enc_keys[0].enc_key.as_bytes().to_vec()).collect::<Vec<_>>();
        let content = enveloped.auth_encrypted_content_info;
        (ephemerals, wrapped, content.content_enc_alg.parameters.unwrap(), content.encrypted_content.unwrap())
    };
    let (one, other) = (parts(1), parts(2));
    assert_ne!(one.0[0], one.0[1], "two recipients share an ephemeral key");
    assert_ne!(one.1[0], one.1[1]);
    assert!(one.0[0] != other.0[0] && one.1[0] != other.1[0] && one.2 != other.2 && one.3 != other.3, "two envelopes share a secret");
}

/// RFC 5753 section 7.2 in the test's own words: SHA-384 over the secret, a counter and ECC-CMS-SharedInfo.
fn key_encryption_key(secret: &[u8; 48]) -> [u8; 32] {
    let shared_info = hex::decode("3015300b060960864801650304012da206040400000100").unwrap();
    let digest = Sha384::new().chain_update(secret).chain_update([0, 0, 0, 1]).chain_update(shared_info).finalize();
    digest[..32].try_into().unwrap()
}

fn unwrap_content_key(info: &KeyAgreeRecipientInfo, key_encryption_key: [u8; 32]) -> Option<String> {
    let mut content_key = [0; 32];
    let wrapped = info.recipient_enc_keys[0].enc_key.as_bytes();
    let unwrapped = AesKw::<aes::Aes256>::new(&key_encryption_key.into()).unwrap_key(wrapped, &mut content_key);
    unwrapped.is_ok().then(|| hex::encode(content_key))
}

/// A well-known writer of these messages left the key-encryption key at zero, so that anybody could open them.
#[test]
fn no_known_key_unwraps_the_content_key() {
    let enveloped = parse(&sealed_for_two());
    for info in enveloped.recip_infos.0.iter().map(kari) {
        for known in [[0; 32], [0xff; 32], key_encryption_key(&[0; 48])] {
            assert_eq!(unwrap_content_key(info, known), None, "everybody can open it");
        }
    }
    // The same way with the true secret does lead to the content key (docs/formats/envelope.md has these values).
    let info = kari(enveloped.recip_infos.0.get(0).unwrap());
    let secret = key(10).agree(ephemeral(info).public_key.raw_bytes()).unwrap();
    let known = key_encryption_key(&secret);
    assert_eq!(hex::encode(known), "0316a96632c851b4ee9d8c9279f4f0943b9bd5cb7443188cf15fdfe364039a99");
    let content_key = "f52f3a746c2545658e1c6add32e5410365553ebaaa0433f5f8bd90c6f85fd6e2";
    assert_eq!(unwrap_content_key(info, known).as_deref(), Some(content_key));
    let content = enveloped.auth_encrypted_content_info;
    let parameters = content.content_enc_alg.parameters.unwrap();
    let nonce: [u8; 12] = parameters.value()[2..14].try_into().unwrap();
    let ciphertext = [content.encrypted_content.unwrap().as_bytes(), enveloped.mac.as_bytes()].concat();
    assert!(Aes256Gcm::new(&[0; 32].into()).decrypt(&nonce.into(), ciphertext.as_slice()).is_err(), "the content key is zero");
}

#[test]
fn the_verifier_in_python_agrees_on_every_vector() {
    let tests: [fn(); 10] = [
        each_recipient_opens_it_and_nobody_else,
        who_is_addressed_is_seen_without_a_key,
        the_envelope_of_the_documentation_is_written_and_opens,
        sixty_four_recipients_and_no_more,
        only_wrapping_certificates_receive_keys,
        the_same_recipient_twice_is_refused,
        more_content_than_an_envelope_holds_is_refused,
        a_source_of_zeros_is_noticed,
        nothing_is_used_twice,
        no_known_key_unwraps_the_content_key,
    ];
    assert_agrees_on(&tests, 8);
}

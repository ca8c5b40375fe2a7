//! The closed lists of suites: what a TPM without P-384 said is believed, and no mixture of two suites is.

use exhibit_pki::{
    Suite,
    attestation::{AttestError, ChallengeError, EndorsementKey, EndorsementSuite, HashAlgorithm, KeyDefect},
};
use p256::ecdsa::{Signature, SigningKey, signature::hazmat::PrehashSigner};

use crate::support::*;

/// The endorsement keys of the TPM without P-384, its certificate for that of RSA-2048.
fn endorsed(name: &str) -> EndorsementKey {
    let public = public(&format!("p256/{name}-ek-public"));
    match name {
        "rsa" => endorse(public, &read_nv(&vector("p256/ek-rsa-certificate")).unwrap()).unwrap(),
        _ => list(public).unwrap(),
    }
}

const SMALL: [(&str, EndorsementSuite); 2] = [("rsa", EndorsementSuite::Rsa2048), ("p256", EndorsementSuite::EccP256)];

#[test]
pub fn a_suite_is_told_in_words() {
    let suites = [EndorsementSuite::EccP384, EndorsementSuite::EccP256, EndorsementSuite::Rsa2048];
    let words = ["P-384 with SHA-384 and AES-256", "P-256 with SHA-256 and AES-128", "RSA-2048 with SHA-256 and AES-128"];
    assert_eq!(suites.map(|suite| suite.to_string()), words);
}

#[test]
pub fn a_tpm_without_p384_is_believed() {
    for (name, suite) in SMALL {
        let of = |what: &str| vector(&format!("p256/{name}-{what}"));
        let endorsement_key = endorsed(name);
        let key = JudgedKey::under(&endorsement_key, of("ak-public"));
        assert_eq!((endorsement_key.suite(), key.suite()), (suite, Suite::EcdsaP256Sha256));
        let device = public("p256/device-key-public");
        let certified = key.certify(&of("certify-attest"), &of("certify-signature"), &device).unwrap();
        assert_eq!(certified.public_key().suite(), Suite::EcdsaP256Sha256);
        assert_eq!(certified.public_key().as_bytes()[1..33], device.as_bytes()[22..54]);
        key.quote(&of("quote-attest"), &of("quote-signature"), &vector("p256/quote-values")).unwrap();
        key.time(&of("time-attest"), &of("time-signature"), "time 1").unwrap();
    }
}

/// A TPM has opened these (pki/tpm/tests/attestation/without_p384.rs makes the same for a TPM of its own each time).
#[test]
fn challenges_of_each_suite_are_made_the_same_again() {
    for (name, _) in SMALL {
        let endorsement_key = endorsed(name);
        let key = JudgedKey::under(&endorsement_key, vector(&format!("p256/{name}-ak-public")));
        let challenge = endorsement_key.challenge(&key, &[9; 32], &[7; 64].into()).unwrap();
        assert_eq!(challenge.credential_blob, vector(&format!("p256/{name}-challenge-blob")));
        assert_eq!(challenge.encrypted_secret, vector(&format!("p256/{name}-challenge-secret")));
    }
}

#[test]
fn what_each_byte_of_the_randomness_is_for() {
    for (endorsement_key, used) in [(endorsement_key(), 48), (endorsed("p256"), 32), (endorsed("rsa"), 64)] {
        let challenge = |randomness: [u8; 64]| endorsement_key.challenge(&attestation_key(), &[9; 32], &randomness.into()).unwrap();
        let first = challenge([7; 64]);
        for position in 0..64 {
            let mut randomness = [7; 64];
            randomness[position] ^= 1;
            let other = challenge(randomness);
            assert_eq!(first.encrypted_secret != other.encrypted_secret, position < used, "byte {position} of {}", endorsement_key.suite());
        }
    }
}

#[test]
fn challenges_that_can_not_be_made() {
    let (key, p256, rsa) = (attestation_key(), vector("p256/p256-ek-public"), vector("p256/rsa-ek-public"));
    for (defect, area) in [("not on P-256", flip(&p256, p256.len() - 1, 1)), ("an even modulus", flip(&rsa, rsa.len() - 1, 1))] {
        let endorsement_key = list(read_area(&area).unwrap()).unwrap();
        assert_eq!(endorsement_key.challenge(&key, &[9; 32], &[7; 64].into()), Err(ChallengeError::NotAKey), "{defect}");
    }
    for endorsement_key in [endorsement_key(), endorsed("p256")] {
        for scalar in [[0; 64], [0xff; 64]] {
            let refusal = endorsement_key.challenge(&key, &[9; 32], &scalar.into());
            assert_eq!(refusal, Err(ChallengeError::Scalar), "{}", endorsement_key.suite());
        }
    }
}

// Of a public area on P-256 without a policy.
const P256_X: std::ops::Range<usize> = 22..54;
const P256_Y: std::ops::Range<usize> = 56..88;

#[test]
pub fn keys_of_no_suite_do_not_attest() {
    let (p384, p256) = (vector("ak-public"), vector("p256/p256-ak-public"));
    let cipher = [0x00, 0x06, 0, 128, 0x00, 0x43];
    assert_eq!((p384.len(), p256.len()), (120, 88));
    let cases = [
        ("P-256 with SHA-384", splice(&p256, SCHEME, &[0x00, 0x18, 0x00, 0x0c])),
        ("P-256 named by SHA-384", splice(&p256, NAME_ALGORITHM, &[0x00, 0x0c])),
        ("P-256 named by SHA-512", splice(&p256, NAME_ALGORITHM, &[0x00, 0x0d])),
        ("P-256 with no scheme", splice(&p256, SCHEME, &[0x00, 0x10])),
        ("P-256 with a cipher", splice(&p256, SYMMETRIC, &cipher)),
        ("not on P-256", flip(&p256, P256_Y.end - 1, 1)),
        ("P-384 with SHA-256", splice(&p384, SCHEME, &[0x00, 0x18, 0x00, 0x0b])),
        ("P-384 with SHA-512", splice(&p384, SCHEME, &[0x00, 0x18, 0x00, 0x0d])),
        ("P-384 named by SHA-256", splice(&p384, NAME_ALGORITHM, &[0x00, 0x0b])),
        ("P-384 with a cipher", splice(&p384, SYMMETRIC, &cipher)),
    ];
    for (defect, area) in cases {
        assert_eq!(attest_under(read_area(&area).unwrap(), &endorsement_key()), Err(KeyDefect::Suite), "{defect}");
    }
}

#[test]
pub fn endorsement_keys_of_no_suite() {
    let (p384, p256, rsa) = (vector("ek-p384-public"), vector("p256/p256-ek-public"), vector("p256/rsa-ek-public"));
    let named = |area: &[u8], hash: u8, policy: std::ops::Range<usize>| splice(&splice(area, policy, &[0, 0]), NAME_ALGORITHM, &[0, hash]);
    let longer = [&[1, 0x80][..], &vector("p256/rsa-ek-public")[58..], &[1; 128]].concat();
    let cases = [
        ("P-384 with AES-128", splice(&p384, 60..62, &[0, 128])),
        ("P-384 with AES-192", splice(&p384, 60..62, &[0, 192])),
        ("P-384 named by SHA-256", named(&p384, 0x0b, 8..58)),
        ("P-384 with a scheme", splice(&p384, 64..66, &[0x00, 0x18, 0x00, 0x0c])),
        ("P-256 with AES-256", splice(&p256, 44..46, &[1, 0])),
        ("P-256 named by SHA-384", named(&p256, 0x0c, 8..42)),
        ("P-256 with a scheme", splice(&p256, 48..50, &[0x00, 0x18, 0x00, 0x0b])),
        ("RSA-2048 with AES-256", splice(&rsa, 44..46, &[1, 0])),
        ("RSA-2048 named by SHA-384", named(&rsa, 0x0c, 8..42)),
        ("RSA-2048 with the exponent 3", splice(&rsa, 52..56, &[0, 0, 0, 3])),
        ("RSA-3072", splice(&splice(&rsa, 56..314, &longer), 50..52, &[0x0c, 0])),
    ];
    for (defect, area) in cases {
        assert_eq!(list(read_area(&area).unwrap()), Err(KeyDefect::EndorsementSuite), "{defect}");
    }
}

/// A key on P-256 that would sign anything, in the place of the recorded one.
struct SmallForger {
    signer: SigningKey,
    key: JudgedKey,
}

impl SmallForger {
    fn new() -> Self {
        let signer = SigningKey::from_slice(&[5; 32]).unwrap();
        let point = signer.verifying_key().to_sec1_point(false);
        let area = splice(&vector("p256/p256-ak-public"), P256_X, &point.as_bytes()[1..33]);
        let area = splice(&area, P256_Y, &point.as_bytes()[33..]);
        Self { signer, key: JudgedKey::under(&endorsed("p256"), area) }
    }

    /// A recorded attestation with this key as its signer.
    fn attest(&self, name: &str) -> Vec<u8> {
        let signer = public_of(&self.key).qualified_name_under(&endorsed("p256").qualified_name());
        splice(&vector(name), 8..42, signer.as_bytes())
    }

    fn sign(&self, message: &[u8], hash: HashAlgorithm) -> Vec<u8> {
        let signature: Signature = self.signer.sign_prehash(&hash.digest(message)).unwrap();
        let raw = signature.to_bytes();
        [&[0x00, 0x18], &hash.id().to_be_bytes()[..], &sized(&raw[..32]), &sized(&raw[32..])].concat()
    }
}

#[test]
pub fn what_a_key_on_p256_signs_is_hashed_with_sha256() {
    let forger = SmallForger::new();
    let values = vector("p256/quote-values");
    let quote = forger.attest("p256/p256-quote-attest");
    let (sha256, sha384) = (HashAlgorithm::Sha256, HashAlgorithm::Sha384);
    let good = forger.sign(&quote, sha256);
    let judge = |attest: &[u8], signature: &[u8]| forger.key.quote(attest, signature, &values).map(drop);
    assert_eq!(judge(&quote, &good), Ok(()), "without a defect it is believed, so the cases below test theirs");
    assert_eq!(judge(&quote, &forger.sign(&quote, sha384)), Err(AttestError::SignatureHash), "signed with SHA-384");
    assert_eq!(judge(&quote, &splice(&good, 2..4, &[0x00, 0x0c])), Err(AttestError::SignatureHash), "said to be signed with SHA-384");
    assert_eq!(judge(&quote, &splice(&good, 4..38, &sized(&[1; 33]))), Err(AttestError::BadSignature), "r of 33 bytes");
    let by_sha384 = [&quote[..quote.len() - 34], &sized(&sha384.digest(&values))].concat();
    assert_eq!(judge(&by_sha384, &forger.sign(&by_sha384, sha256)), Err(AttestError::OtherPcrValues), "registers hashed with SHA-384");

    // A key on P-384 may be certified by one on P-256; the other way round too. Each is named for what it is.
    for (device, suite) in [("device-key-public", Suite::EcdsaP384Sha384), ("p256/device-key-public", Suite::EcdsaP256Sha256)] {
        let device = public(device);
        let of_small = forger.attest("p256/p256-certify-attest");
        let attest = splice(&of_small, 101..137, &sized(device.name().as_bytes()));
        assert_eq!(forger.key.certify(&attest, &forger.sign(&attest, sha256), &device).unwrap().public_key().suite(), suite);
        let forger = Forger::new();
        let attest = splice(&forger.attest("certify-attest"), SIZED_CERTIFIED_NAME, &sized(device.name().as_bytes()));
        assert_eq!(forger.key.certify(&attest, &forger.sign(&attest), &device).unwrap().public_key().suite(), suite);
    }
}

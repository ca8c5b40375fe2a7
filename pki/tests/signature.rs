//! The same vectors on every verifier.
#![allow(clippy::unwrap_used)]

mod support;

use exhibit_pki::{PublicKey, RustCrypto, Signer, SignerError, SoftwareSigner, Suite, Verifier};
use support::{key, tlv};
use zeroize::Zeroizing;

fn verifiers() -> Vec<(&'static str, Box<dyn Verifier>)> {
    vec![
        ("p384", Box::new(RustCrypto)),
        #[cfg(feature = "aws-lc")]
        ("aws-lc-rs", Box::new(exhibit_pki::AwsLc)),
    ]
}

/// RFC 6979 A.2.6, message "sample" with SHA-384.
const PRIVATE: &str = "6b9d3dad2e1b8c1c05b19875b6659f4de23c3b667bf297ba9aa47740787137d896d5724e4c70a825f872c9ea60d2edf5";
const X: &str = "ec3a4e415b4e19a4568618029f427fa5da9a8bc4ae92e02e06aae5286b300c64def8f0ea9055866064a254515480bc13";
const Y: &str = "8015d9b72d7d57244ea8ef9ac0c621896708a59367f9dfb9f54ca84b3f1c9db1288b231c3ae0d4fe7344fd2533264720";
const R: &str = "94edbb92a5ecb8aad4736e56c691916b3f88140666ce9fa73d64c4ea95ad133c81a648152e44acf96e36dd1e80fabe46";
const S: &str = "99ef4aeb15f178cea1fe40db2603138f130e740a19624526203b6351d0a3a94fa329c145786e679e7b82c71a38628ac8";
/// The order of the group: FIPS 186-4 D.1.2.4.
const N: &str = "ffffffffffffffffffffffffffffffffffffffffffffffffc7634d81f4372ddf581a0db248b0a77aecec196accc52973";
/// Half of it, rounded down: the highest s of a statement.
const HALF_N: &str = "7fffffffffffffffffffffffffffffffffffffffffffffffe3b1a6c0fa1b96efac0d06d9245853bd76760cb5666294b9";
/// One more.
const HALF_N_PLUS_1: &str = "7fffffffffffffffffffffffffffffffffffffffffffffffe3b1a6c0fa1b96efac0d06d9245853bd76760cb5666294ba";

fn rfc6979() -> SoftwareSigner {
    SoftwareSigner::from_scalar(&Zeroizing::new(hex::decode(PRIVATE).unwrap().try_into().unwrap())).unwrap()
}

fn integer(magnitude: &[u8]) -> Vec<u8> {
    let start = magnitude.iter().position(|byte| *byte != 0).unwrap_or(magnitude.len() - 1);
    let magnitude = &magnitude[start..];
    tlv(2, &[if magnitude[0] >= 0x80 { &[0] } else { &[] }, magnitude])
}

fn value(r: &str, s: &str) -> Vec<u8> {
    tlv(0x30, &[&integer(&hex::decode(r).unwrap()), &integer(&hex::decode(s).unwrap())])
}

#[test]
fn the_vector_of_rfc_6979() {
    let signer = rfc6979();
    assert_eq!(hex::encode(signer.public_key().as_bytes()), format!("04{X}{Y}"));
    let digest = Suite::EcdsaP384Sha384.digest(b"sample");
    assert_eq!(hex::encode(signer.sign_digest(&digest).unwrap()), format!("{R}{S}"));
    let low = signer.sign(b"sample").unwrap();
    let high = value(R, S);
    assert_ne!(low, high, "s was left high");
    assert!(Suite::EcdsaP384Sha384.is_canonical(&low) && !Suite::EcdsaP384Sha384.is_canonical(&high));
    for (name, verifier) in verifiers() {
        // Certificates of other authorities may have a high s; only statements may not.
        for signature in [&low, &high] {
            assert_eq!(verifier.verify(signer.public_key(), b"sample", signature), Ok(()), "{name}");
            assert!(verifier.verify(signer.public_key(), b"samplf", signature).is_err(), "{name} verified another message");
            assert!(verifier.verify(key(1).public_key(), b"sample", signature).is_err(), "{name} verified another key");
        }
    }
}

#[test]
fn hostile_signatures_are_refused_by_every_verifier() {
    let signer = rfc6979();
    let good = value(R, S);
    let (r, s) = (hex::decode(R).unwrap(), hex::decode(S).unwrap());
    let zero = "00".repeat(48);
    let cases: Vec<(&str, Vec<u8>)> = vec![
        ("empty", vec![]),
        ("r is 0", value(&zero, S)),
        ("s is 0", value(R, &zero)),
        ("r and s are 0", value(&zero, &zero)),
        ("r is n", value(N, S)),
        ("s is n", value(R, N)),
        ("r and s exchanged", value(S, R)),
        ("r of 49 bytes", value(&format!("01{R}"), S)),
        ("trailing bytes", [&good[..], &[0]].concat()),
        ("trailing bytes within", tlv(0x30, &[&integer(&r), &integer(&s), &[5, 0]])),
        ("s missing", tlv(0x30, &[&integer(&r)])),
        ("r negative", tlv(0x30, &[&tlv(2, &[&r]), &integer(&s)])),
        ("needless zero before s", tlv(0x30, &[&integer(&r), &tlv(2, &[&[0, 0], &s])])),
        ("length in two bytes", [&[0x30, 0x81, good[1]], &good[2..]].concat()),
        ("length in three bytes", [&[0x30, 0x82, 0, good[1]], &good[2..]].concat()),
        ("indefinite length", [&[0x30, 0x80], &good[2..], &[0, 0]].concat()),
        ("a set", [&[0x31, good[1]], &good[2..]].concat()),
        ("raw r and s", [r, s].concat()),
    ];
    for (flaw, signature) in &cases {
        assert!(!Suite::EcdsaP384Sha384.is_canonical(signature), "{flaw}");
        for (name, verifier) in verifiers() {
            assert!(verifier.verify(signer.public_key(), b"sample", signature).is_err(), "{flaw}: {name}");
        }
    }
    for position in 0..good.len() {
        let mut flipped = good.clone();
        flipped[position] ^= 1;
        for (name, verifier) in verifiers() {
            assert!(verifier.verify(signer.public_key(), b"sample", &flipped).is_err(), "{name}: bit 0 of byte {position}");
        }
    }
}

#[test]
fn low_s_ends_at_half_of_n() {
    assert!(Suite::EcdsaP384Sha384.is_canonical(&value(R, HALF_N)));
    assert!(!Suite::EcdsaP384Sha384.is_canonical(&value(R, HALF_N_PLUS_1)));
    assert!(Suite::EcdsaP384Sha384.is_canonical(&value("01", "01")));
    assert!(!Suite::EcdsaP384Sha384.is_canonical(&value("00", "01")));
    assert!(!Suite::EcdsaP384Sha384.is_canonical(&value(N, "01")));
}

#[test]
fn keys_that_are_not_points_on_the_curve_are_refused() {
    let good = key(1).public_key().to_spki_der();
    let point = key(1).public_key().as_bytes().to_vec();
    assert_eq!(PublicKey::from_spki_der(&good).as_ref(), Ok(key(1).public_key()));
    let mut off = point.clone();
    *off.last_mut().unwrap() ^= 1;
    let mut compressed = point[..49].to_vec();
    compressed[0] = 2 + (point[96] & 1);
    let mut hybrid = point.clone();
    hybrid[0] = 6 + (point[96] & 1);
    let zero = [&[4][..], &[0; 96]].concat();
    let field: Vec<u8> = [&[4_u8][..], &[0xff; 96]].concat();
    for bytes in [&off[..], &compressed, &hybrid, &zero, &field, &[0], &[], &point[..96], &[&point[..], &[0]].concat()] {
        assert!(PublicKey::from_sec1(bytes).is_err(), "{}", hex::encode(bytes));
        assert!(key(2).agree(bytes).is_err(), "agreed with {}", hex::encode(bytes));
    }
    for spki in [&good[1..], &[&good[..], &[0]].concat(), &point, &[]] {
        assert!(PublicKey::from_spki_der(spki).is_err());
    }
}

#[test]
fn private_keys_come_back_from_pem_and_never_from_elsewhere() {
    let pem = key(1).to_pkcs8_pem();
    assert!(pem.starts_with("-----BEGIN PRIVATE KEY-----\n"));
    let again = SoftwareSigner::from_pkcs8_pem(&pem).unwrap();
    assert_eq!(again.public_key(), key(1).public_key());
    assert_eq!(again.sign(b"x").unwrap(), key(1).sign(b"x").unwrap());
    assert!(!format!("{again:?}").contains(&"01".repeat(48)), "the private key is in the Debug output");
    assert!(SoftwareSigner::from_pkcs8_pem(&pem.replace("PRIVATE", "PUBLIC")).is_err());
    for scalar in ["00".repeat(48), N.to_owned(), "ff".repeat(48)] {
        assert!(SoftwareSigner::from_scalar(&Zeroizing::new(hex::decode(scalar).unwrap().try_into().unwrap())).is_err());
    }
}

#[test]
fn two_keys_agree_on_one_secret() {
    let (one, two) = (key(1), key(2));
    let secret = one.agree(two.public_key().as_bytes()).unwrap();
    assert_eq!(secret, two.agree(one.public_key().as_bytes()).unwrap());
    assert_ne!(secret, one.agree(key(3).public_key().as_bytes()).unwrap());
}

/// A device that answers nonsense.
struct Broken(PublicKey, [u8; 96]);

impl Signer for Broken {
    fn public_key(&self) -> &PublicKey {
        &self.0
    }
    fn sign_digest(&self, _: &[u8]) -> Result<Vec<u8>, SignerError> {
        Ok(self.1.to_vec())
    }
}

#[test]
fn numbers_out_of_range_from_a_device_are_an_error() {
    for answer in [[0; 96], [0xff; 96]] {
        assert!(Broken(key(1).public_key().clone(), answer).sign(b"x").is_err());
    }
}

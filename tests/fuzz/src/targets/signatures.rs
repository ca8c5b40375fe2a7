//! Public keys and signatures of every suite.

use std::sync::LazyLock;

use exhibit_pki::{PublicKey, RustCrypto, Suite, Verifier};

use super::pki::key;

/// Public keys: SubjectPublicKeyInfo and points.
pub fn public_key(input: &[u8]) -> bool {
    let agreed = key(3).agree(input).is_ok();
    let point = PublicKey::from_sec1(input);
    let on_p384 = point.as_ref().is_ok_and(|point| point.suite() == Suite::EcdsaP384Sha384);
    assert_eq!(agreed, on_p384, "a secret is agreed on with what is no key, or not with a key");
    if let Ok(key) = PublicKey::from_spki_der(input) {
        assert_eq!(key.to_spki_der(), input, "a key has two encodings");
        return true;
    }
    point.is_ok_and(|key| key.as_bytes() == input)
}

/// A good signature, recorded in `pki/tests/vectors/suites`: of P-256 with either s, of which statements take the lower.
struct Recorded {
    key: PublicKey,
    message: Vec<u8>,
    signature: Vec<u8>,
}

static RECORDED: LazyLock<Vec<Recorded>> = LazyLock::new(|| {
    let vectors = include_str!("../../../../pki/tests/vectors/suites/suites.json");
    let vectors: serde_json::Value = serde_json::from_str(vectors).expect("the vectors are JSON");
    let good = vectors["signatures"].as_array().expect("there are signatures").iter().filter(|vector| vector["good"] == true);
    let bytes = |value: &serde_json::Value| {
        let digits = value.as_str().expect("bytes are in hex").as_bytes();
        let byte = |pair: &[u8]| u8::from_str_radix(std::str::from_utf8(pair).expect("digits are ASCII"), 16).expect("they are digits");
        digits.chunks(2).map(byte).collect::<Vec<u8>>()
    };
    good.map(|vector| Recorded {
        key: PublicKey::from_spki_der(&bytes(&vector["key"])).expect("the key of a good signature is one"),
        message: bytes(&vector["message"]),
        signature: bytes(&vector["signature"]),
    })
    .collect()
});

/// The recorded signatures.
pub fn recorded() -> impl Iterator<Item = &'static [u8]> {
    RECORDED.iter().map(|recorded| recorded.signature.as_slice())
}

fn recorded_is(input: &[u8]) -> bool {
    recorded().any(|signature| signature == input)
}

/// Signatures: ECDSA's in DER, RSA's as long as a key. True for one that was recorded.
pub fn signature(input: &[u8]) -> bool {
    let theirs_p384 = p384::ecdsa::Signature::from_der(input).is_ok_and(|signature| signature.normalize_s() == signature);
    assert!(!Suite::EcdsaP384Sha384.is_canonical(input) || theirs_p384, "a signature was accepted that p384 refuses");
    let theirs_p256 = p256::ecdsa::Signature::from_der(input).is_ok_and(|signature| signature.normalize_s() == signature);
    assert!(!Suite::EcdsaP256Sha256.is_canonical(input) || theirs_p256, "a signature was accepted that p256 refuses");
    let mut accepted = false;
    for recorded in RECORDED.iter() {
        assert!(RustCrypto.verify(&recorded.key, b"nobody signed this", input).is_err(), "a signature over what nobody signed");
        let verifies = RustCrypto.verify(&recorded.key, &recorded.message, input).is_ok();
        assert!(!verifies || recorded_is(input), "a second signature over one message, made without the key");
        accepted |= verifies;
    }
    accepted
}

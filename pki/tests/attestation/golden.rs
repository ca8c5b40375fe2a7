//! What the TPM said, believed; and the names and digests computed by hand.

use std::ops::Range;

use exhibit_pki::{
    PublicKey,
    attestation::{
        Attest, AttestKind, Attested, Attributes, ClockInfo, Curve, EcdsaSignature, EndorsementCertificate, EndorsementKey, FormatError,
        HashAlgorithm, KeyParameters, PublicArea, QualifyingData, from_tpm2b,
    },
};
use sha2::{Digest as _, Sha256, Sha384};

use crate::support::*;

/// The TPM had power all the time, so its clock is safe.
fn clock(name: &str, at: Range<usize>, reset_count: Range<usize>, restart_count: Range<usize>) -> ClockInfo {
    ClockInfo {
        clock_ms: number(name, at),
        reset_count: number(name, reset_count).try_into().unwrap(),
        restart_count: number(name, restart_count).try_into().unwrap(),
        safe: true,
    }
}

#[test]
pub fn a_certified_key_is_the_one_that_was_asked_about() {
    let certified =
        attestation_key().certify(&vector("certify-attest"), &vector("certify-signature"), &public("device-key-public")).unwrap();
    let bytes = vector("device-key-public");
    let point = [&[4], &bytes[22..70], &bytes[72..]].concat();
    assert_eq!(certified.public_key(), &PublicKey::from_sec1(&point).unwrap());
    assert_eq!(certified.name().as_bytes(), [&[0x00, 0x0c], &Sha384::digest(&bytes)[..]].concat());
}

#[cfg(feature = "aws-lc")]
#[test]
pub fn the_fast_verifier_believes_the_same() {
    let (attest, signature, expected) = (vector("certify-attest"), vector("certify-signature"), qualifying_data("certify"));
    let device = public("device-key-public");
    (*attestation_key()).verify_certify(&exhibit_pki::AwsLc, &attest, &signature, &expected, &device).unwrap();
    (*attestation_key()).verify_certify(&exhibit_pki::AwsLc, &flip(&attest, 95, 1), &signature, &expected, &device).unwrap_err();
}

#[test]
pub fn a_quote_over_the_expected_values_is_believed() {
    let quote = attestation_key().quote(&vector("quote-attest"), &vector("quote-signature"), &vector("quote-values")).unwrap();
    assert_eq!(quote.clock(), clock("quote-attest", CLOCK, RESET_COUNT, RESTART_COUNT));
    assert_eq!(quote.firmware_version(), number("quote-attest", FIRMWARE_VERSION));

    let values = vector("quote-values");
    assert_eq!(pcr_values(&values).digest(HashAlgorithm::Sha384), Sha384::digest(&values)[..]);
    assert_eq!(
        pcr_values(&values).selection().banks().collect::<Vec<_>>(),
        [(HashAlgorithm::Sha256, vec![4]), (HashAlgorithm::Sha384, vec![0, 16])]
    );
}

#[test]
pub fn two_readings_of_the_clock_tell_the_time_between_them() {
    let reading = |number: u8| {
        let (attest, signature) = (vector(&format!("time-{number}-attest")), vector(&format!("time-{number}-signature")));
        attestation_key().time(&attest, &signature, &format!("time {number}")).unwrap()
    };
    let (first, second) = (reading(1), reading(2));
    assert_eq!(first.clock(), clock("time-1-attest", TIME_CLOCK, TIME_RESET_COUNT, TIME_RESTART_COUNT));
    assert_eq!(first.firmware_version(), number("time-1-attest", TIME_FIRMWARE_VERSION));
    let times = [number("time-1-attest", TIME), number("time-2-attest", TIME)];
    assert_eq!([first.time_ms(), second.time_ms()], times);
    assert_eq!(second.elapsed_ms_since(&first), Ok(times[1] - times[0]));
    assert_eq!(first.elapsed_ms_since(&first), Ok(0));
}

#[test]
pub fn attestations_are_read_field_by_field() {
    let attest = Attest::from_bytes(&vector("certify-attest")).unwrap();
    assert_eq!(attest.kind(), AttestKind::Certify);
    assert_eq!(attest.qualified_signer.as_bytes(), &vector("certify-attest")[QUALIFIED_SIGNER]);
    assert_eq!(attest.extra_data, qualifying_data("certify").as_bytes());
    assert_eq!(attest.clock, clock("certify-attest", CLOCK, RESET_COUNT, RESTART_COUNT));
    assert_eq!(attest.firmware_version, number("certify-attest", FIRMWARE_VERSION));
    let Attested::Certify { name, qualified_name } = attest.attested else { panic!("it is a certification") };
    assert_eq!(name, public("device-key-public").name());
    assert_eq!(qualified_name.as_bytes(), &vector("certify-attest")[171..]);
    for (name, kind) in [("quote-attest", AttestKind::Quote), ("time-1-attest", AttestKind::Time)] {
        assert_eq!(Attest::from_bytes(&vector(name)).unwrap().kind(), kind);
    }
}

#[test]
pub fn public_areas_are_read_field_by_field() {
    let device = public("device-key-public");
    assert_eq!(device.as_bytes(), vector("device-key-public"));
    assert_eq!(device.attributes().bits(), 0x0004_0472);
    assert!(device.attributes().contains(Attributes::SIGN));
    assert!(device.attributes().contains(Attributes::NO_DA));
    assert!(device.attributes().contains(Attributes::USER_WITH_AUTH));
    assert!(!device.attributes().contains(Attributes::RESTRICTED));
    assert_eq!(device.storage_key_bits(), None);
    assert_eq!(device.name_algorithm(), HashAlgorithm::Sha384);
    assert!(matches!(device.parameters(), KeyParameters::Ecc { curve: Curve::P384, ecdsa: Some(HashAlgorithm::Sha384), .. }));

    let p256 = public("ek-p256-public");
    let bytes = vector("ek-p256-public");
    let point = [&[4], &bytes[56..88], &bytes[90..]].concat();
    assert_eq!(p256.parameters(), &KeyParameters::Ecc { curve: Curve::P256, ecdsa: None, point });
    assert_eq!((p256.storage_key_bits(), p256.name_algorithm()), (Some(128), HashAlgorithm::Sha256));
    assert_eq!(p256.name().as_bytes(), [&[0x00, 0x0b], &Sha256::digest(&bytes)[..]].concat());

    let rsa = public("ek-rsa-public");
    assert_eq!(rsa.parameters(), &KeyParameters::Rsa { modulus: vector("ek-rsa-public")[58..].to_vec(), exponent: 65537 });
    // TPMs may write the exponent out as well.
    let written = splice(&vector("ek-rsa-public"), 52..56, &[0, 1, 0, 1]);
    assert_eq!(PublicArea::from_bytes(&written).unwrap().parameters(), rsa.parameters());
}

/// The defect that this prevents: a key refused or misread, once in 128 times, by TPMs that leave leading zeros out.
#[test]
pub fn short_coordinates_are_padded_and_named_as_they_came() {
    let with_zero = splice(&vector("device-key-public"), SIZED_X, &sized(&[&[0], [7; 47].as_slice()].concat()));
    let without = splice(&vector("device-key-public"), SIZED_X, &sized(&[7; 47]));
    let (with_zero, without) = (PublicArea::from_bytes(&with_zero).unwrap(), PublicArea::from_bytes(&without).unwrap());
    assert_eq!(with_zero.parameters(), without.parameters());
    assert_ne!(with_zero.name(), without.name());
}

#[test]
pub fn signatures_become_der_without_leading_zeros_and_with_a_sign() {
    let bytes = [&[0x00, 0x18, 0x00, 0x0c], sized(&[0, 0x80, 1]).as_slice(), &sized(&[0, 0, 2])].concat();
    let signature = EcdsaSignature::from_bytes(&bytes).unwrap();
    assert_eq!(signature.to_der(), [0x30, 8, 2, 3, 0, 0x80, 1, 2, 1, 2]);
    assert_eq!(signature.hash(), HashAlgorithm::Sha384);
}

/// Statements must have a low s; a TPM chooses as it likes, and its attestation is no less its own.
#[test]
pub fn a_high_s_is_believed_in_attestations() {
    let order = hex::decode("ffffffffffffffffffffffffffffffffffffffffffffffffc7634d81f4372ddf581a0db248b0a77aecec196accc52973").unwrap();
    let signature = vector("certify-signature");
    let mut other = [0; 48];
    let mut borrow = 0;
    for index in (0..48).rev() {
        let difference = i16::from(order[index]) - i16::from(signature[56 + index]) - borrow;
        borrow = i16::from(difference < 0);
        other[index] = u8::try_from(difference.rem_euclid(256)).unwrap();
    }
    for s in [&signature[56..104], &other] {
        attestation_key().certify(&vector("certify-attest"), &splice(&signature, 56..104, s), &public("device-key-public")).unwrap();
    }
}

#[test]
pub fn the_qualifying_data_is_the_hash_of_nonce_and_context() {
    let expected = Sha256::digest([[0x4e; 32].as_slice(), b"certify"].concat());
    assert_eq!(qualifying_data("certify").as_bytes()[..], expected[..]);
    assert_ne!(QualifyingData::new(&[0x4e; 32], b"certify"), QualifyingData::new(&[0x4f; 32], b"certify"));
}

#[test]
pub fn endorsement_keys_are_those_of_their_certificates() {
    for name in ["rsa", "p384"] {
        let nv = vector(&format!("ek-{name}-certificate"));
        let certificate = EndorsementCertificate::from_nv(&nv).unwrap();
        assert_eq!(certificate.der(), nv);
        let public = public(&format!("ek-{name}-public"));
        assert_eq!(EndorsementKey::from_public(public.clone(), &certificate).unwrap().public(), &public);
    }
}

#[test]
pub fn the_attestation_key_is_named_by_its_place() {
    let endorsement_name = public("ek-p384-public").name();
    let endorsement = Sha384::digest([&[0x40, 0, 0, 0x0b], endorsement_name.as_bytes()].concat());
    let endorsement = [&[0x00, 0x0c], &endorsement[..]].concat();
    assert_eq!(endorsement_key().qualified_name().as_bytes(), endorsement);
    let key = Sha384::digest([endorsement.as_slice(), attestation_key().name().as_bytes()].concat());
    assert_eq!(vector("time-1-attest")[QUALIFIED_SIGNER], [&[0x00, 0x0c], &key[..]].concat());
}

/// A TPM has opened this one (pki/tpm/tests/attestation.rs makes the same for a TPM of its own each time).
#[test]
pub fn a_challenge_is_made_the_same_again() {
    let challenge = endorsement_key().challenge(&attestation_key(), &[9; 32], &[7; 64].into()).unwrap();
    // A digest of 48 bytes and a sealed TPM2B of 34; a point.
    assert_eq!((challenge.credential_blob.len(), challenge.encrypted_secret.len()), (2 + 2 + 48 + 34, 2 + 2 + 48 + 2 + 48));
    assert_eq!(challenge.credential_blob, vector("challenge-blob"));
    assert_eq!(challenge.encrypted_secret, vector("challenge-secret"));
}

#[test]
pub fn a_tpm2b_holds_exactly_what_it_says() {
    assert_eq!(from_tpm2b(&[0, 0]), Ok([].as_slice()));
    assert_eq!(from_tpm2b(&[0, 2, 7, 8]), Ok([7, 8].as_slice()));
    assert_eq!(from_tpm2b(&[0]), Err(FormatError::Truncated { field: "TPM2B" }));
    assert_eq!(from_tpm2b(&[0, 2, 7]), Err(FormatError::Truncated { field: "TPM2B" }));
    assert_eq!(from_tpm2b(&[0, 2, 7, 8, 9]), Err(FormatError::TrailingBytes { count: 1 }));
}

/// Each line of the page that is indented and hexadecimal, without its spaces, is part of a recording or computed from one.
#[test]
pub fn the_page_shows_the_recordings() {
    let page = std::fs::read_to_string(format!("{}/../docs/formats/attestation.md", env!("CARGO_MANIFEST_DIR"))).unwrap();
    let shown: String = page.lines().filter_map(|line| line.strip_prefix("  ")).collect::<String>().replace(' ', "");
    let endorsement = endorsement_key();
    let parts = [
        vector("device-key-public"),
        public("device-key-public").name().as_bytes().to_vec(),
        endorsement.public().name().as_bytes().to_vec(),
        endorsement.qualified_name().as_bytes().to_vec(),
        attestation_key().name().as_bytes().to_vec(),
        public("ak-public").qualified_name_under(&endorsement.qualified_name()).as_bytes().to_vec(),
        vector("certify-attest"),
        qualifying_data("certify").as_bytes().to_vec(),
        vector("quote-attest")[117..].to_vec(),
        vector("time-1-attest")[117..].to_vec(),
    ];
    assert_eq!(shown, hex::encode(parts.concat()));
}

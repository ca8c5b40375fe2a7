//! What is read from a TPM's memory as an endorsement certificate: padded, malformed, of all ages; and keys that are not its own.

use exhibit_pki::attestation::{ChallengeError, EndorsementCertificateError as Refusal};

use crate::support::*;

fn tlv(tag: u8, parts: &[&[u8]]) -> Vec<u8> {
    let content = parts.concat();
    let length = match content.len() {
        short @ 0..0x80 => vec![u8::try_from(short).unwrap()],
        medium @ 0x80..0x100 => vec![0x81, u8::try_from(medium).unwrap()],
        long => [&[0x82], u16::try_from(long).unwrap().to_be_bytes().as_slice()].concat(),
    };
    [&[tag], length.as_slice(), &content].concat()
}

const SEQUENCE: u8 = 0x30;
const INTEGER: u8 = 0x02;
const BITS: u8 = 0x03;
const EC_PUBLIC_KEY: &[u8] = &[6, 7, 0x2a, 0x86, 0x48, 0xce, 0x3d, 2, 1];
const P256: &[u8] = &[6, 8, 0x2a, 0x86, 0x48, 0xce, 0x3d, 3, 1, 7];
const P384: &[u8] = &[6, 5, 0x2b, 0x81, 4, 0, 0x22];
const P521: &[u8] = &[6, 5, 0x2b, 0x81, 4, 0, 0x23];
const RSA: &[u8] = &[6, 9, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 1, 1];
const RSA_OAEP: &[u8] = &[6, 9, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 1, 7];
const NULL: &[u8] = &[5, 0];
const VERSION_3: &[u8] = &[0xa0, 3, INTEGER, 1, 2];

fn key(algorithm: &[&[u8]], bits: &[u8]) -> Vec<u8> {
    tlv(SEQUENCE, &[&tlv(SEQUENCE, algorithm), &tlv(BITS, &[&[0], bits])])
}

fn rsa_key(modulus: &[u8], exponent: &[u8]) -> Vec<u8> {
    tlv(SEQUENCE, &[&tlv(INTEGER, &[&[0], modulus]), &tlv(INTEGER, &[exponent])])
}

/// A certificate with nothing in it that is not needed, and nothing that is right.
fn certificate(version: &[u8], serial: &[u8], key: &[u8]) -> Vec<u8> {
    let empty = tlv(SEQUENCE, &[]);
    let tbs = tlv(SEQUENCE, &[version, &tlv(INTEGER, &[serial]), &empty, &empty, &empty, &empty, key]);
    tlv(SEQUENCE, &[&tbs, &empty, &tlv(BITS, &[&[0]])])
}

#[test]
pub fn padding_is_cut_off() {
    let certificate = vector("ek-p384-certificate");
    for padding in [[0x00; 700], [0xff; 700]] {
        let read = read_nv(&[&certificate[..], &padding].concat()).unwrap();
        assert_eq!(read.der(), certificate);
        assert_eq!(read, read_nv(&certificate).unwrap());
    }
}

#[test]
pub fn what_is_not_a_certificate_with_its_padding() {
    let good = vector("ek-p384-certificate");
    let cases = [
        ("nothing", vec![], Refusal::Blank),
        ("never written", vec![0xff; 1600], Refusal::Blank),
        ("erased", vec![0x00; 1600], Refusal::Blank),
        ("longer than any", vec![0xff; 4097], Refusal::TooLong(4097)),
        ("something after the certificate", [&good[..], &[1]].concat(), Refusal::Padding { offset: good.len() }),
        ("something after the padding", [&good[..], &[0; 8], &[0xfe]].concat(), Refusal::Padding { offset: good.len() + 8 }),
        ("two certificates", [&good[..], &good].concat(), Refusal::Padding { offset: good.len() }),
        ("text", b"-----BEGIN CERTIFICATE-----".to_vec(), Refusal::Malformed),
        ("behind a length", sized(&good), Refusal::Malformed),
        ("behind padding", [&[0xff], &good[..]].concat(), Refusal::Malformed),
        ("longer than it is", splice(&good, 2..4, &[0xff, 0xff]), Refusal::Malformed),
        ("a sequence of one", tlv(SEQUENCE, &[&tlv(SEQUENCE, &[])]), Refusal::Malformed),
        ("a certificate and one field more", tlv(SEQUENCE, &[&good[4..], NULL]), Refusal::Malformed),
    ];
    for (defect, bytes, expected) in cases {
        assert_eq!(read_nv(&bytes), Err(expected), "{defect}");
    }
    for end in 1..good.len() {
        let refusal = read_nv(&good[..end]);
        assert_eq!(refusal, Err(Refusal::Malformed), "cut at {end}");
    }
}

/// Vendors have left out the version, and written negative serial numbers and empty names: the key is found all the same.
#[test]
pub fn the_key_is_found_in_odd_certificates() {
    let bytes = vector("ek-p256-public");
    let key = key(&[EC_PUBLIC_KEY, P256], &[&[4], &bytes[56..88], &bytes[90..]].concat());
    for (oddity, version, serial) in [
        ("version 1", [].as_slice(), [1].as_slice()),
        ("negative serial number", VERSION_3, &[0xff]),
        ("padded serial number", VERSION_3, &[0, 0, 1]),
    ] {
        let certificate = read_nv(&certificate(version, serial, &key)).expect(oddity);
        endorse(public("ek-p256-public"), &certificate).expect(oddity);
    }
}

#[test]
pub fn rsa_keys_are_compared_by_their_numbers() {
    let modulus = &vector("ek-rsa-public")[58..];
    for (algorithm, exponent, accepted) in [(RSA, [1, 0, 1].as_slice(), true), (RSA_OAEP, &[1, 0, 1], true), (RSA, &[3], false)] {
        let key = key(&[algorithm, NULL], &rsa_key(modulus, exponent));
        let certificate = read_nv(&certificate(VERSION_3, &[1], &key)).unwrap();
        assert_eq!(endorse(public("ek-rsa-public"), &certificate).is_ok(), accepted);
    }
}

#[test]
pub fn keys_that_no_endorsement_key_has() {
    let public = vector("ek-p384-public");
    let point = [&[4], &public[72..120], &public[122..]].concat();
    let compressed = [&[2], &public[72..120]].concat();
    let modulus = &vector("ek-rsa-public")[58..];
    let cases = [
        ("Ed25519", key(&[&[6, 3, 0x2b, 0x65, 0x70]], &[1; 32])),
        ("on P-521", key(&[EC_PUBLIC_KEY, P521], &[&[4], [1; 132].as_slice()].concat())),
        ("on a curve without a name", key(&[EC_PUBLIC_KEY, NULL], &point)),
        ("without a curve", key(&[EC_PUBLIC_KEY], &point)),
        ("a compressed point", key(&[EC_PUBLIC_KEY, P384], &compressed)),
        ("a point of half a form", key(&[EC_PUBLIC_KEY, P384], &splice(&point, 0..1, &[6]))),
        ("a point of another curve", key(&[EC_PUBLIC_KEY, P256], &point)),
        ("RSA in no structure", key(&[RSA, NULL], modulus)),
        ("RSA with an exponent beyond 32 bits", key(&[RSA, NULL], &rsa_key(modulus, &[1, 0, 0, 0, 1]))),
    ];
    for (defect, key) in cases {
        assert_eq!(read_nv(&certificate(VERSION_3, &[1], &key)), Err(Refusal::Key), "{defect}");
    }
    let (tbs_fields, good) = (tlv(SEQUENCE, &[]), key(&[EC_PUBLIC_KEY, P384], &point));
    read_nv(&certificate(VERSION_3, &[1], &good)).expect("without a defect it is read");
    for (defect, malformed) in [
        ("no key", certificate(VERSION_3, &[1], &[])),
        ("a sequence in the key's place", certificate(VERSION_3, &[1], &tbs_fields)),
        ("one field less before the key", {
            let tbs = tlv(SEQUENCE, &[VERSION_3, &[INTEGER, 1, 1], &tbs_fields, &tbs_fields, &tbs_fields, &good]);
            tlv(SEQUENCE, &[&tbs, &tbs_fields, &tlv(BITS, &[&[0]])])
        }),
        ("no serial number", {
            let tbs = tlv(SEQUENCE, &[VERSION_3, &tbs_fields, &tbs_fields, &tbs_fields, &tbs_fields, &tbs_fields, &good]);
            tlv(SEQUENCE, &[&tbs, &tbs_fields, &tlv(BITS, &[&[0]])])
        }),
    ] {
        assert_eq!(read_nv(&malformed), Err(Refusal::Malformed), "{defect}");
    }
}

/// A point that is not on the curve would not give the secret away, which is the server's own, but nor could any TPM open it.
#[test]
pub fn no_challenge_is_made_for_a_point_off_the_curve() {
    let off_curve = flip(&vector("ek-p384-public"), 169, 1);
    let point = [&[4], &off_curve[72..120], &off_curve[122..]].concat();
    let nv = certificate(VERSION_3, &[1], &key(&[EC_PUBLIC_KEY, P384], &point));
    let certificate = read_nv(&nv).unwrap();
    let endorsement_key = endorse(read_area(&off_curve).unwrap(), &certificate).unwrap();
    let refusal = endorsement_key.challenge(&attestation_key(), &[9; 32], &[7; 64].into());
    assert_eq!(refusal, Err(ChallengeError::NotAKey));
}

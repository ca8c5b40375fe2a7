//! Public areas with one defect each: those that are not understood, and those of keys that will not do.

use exhibit_pki::attestation::{EndorsementKeyError, FormatError, KeyDefect};

use crate::support::*;

#[test]
pub fn public_areas_that_are_not_understood() {
    let (key, rsa, endorsement) = (vector("ak-public"), vector("ek-rsa-public"), vector("ek-p384-public"));
    let unsupported = |field, value| FormatError::Unsupported { field, value };
    let length = |field, length| FormatError::Length { field, length };
    let attributes = |bits: u32| splice(&key, ATTRIBUTES, &(0x0005_0072 | bits).to_be_bytes());
    let cases = [
        ("a keyed hash", splice(&key, 0..2, &[0x00, 0x08]), unsupported("type", 0x0008)),
        ("a symmetric key", splice(&key, 0..2, &[0x00, 0x25]), unsupported("type", 0x0025)),
        ("named by SHA-1", splice(&key, NAME_ALGORITHM, &[0x00, 0x04]), unsupported("nameAlg", 0x0004)),
        ("without a name", splice(&key, NAME_ALGORITHM, &[0x00, 0x10]), unsupported("nameAlg", 0x0010)),
        ("attribute bit 0", attributes(1), unsupported("objectAttributes", 1)),
        ("attribute bit 3", attributes(1 << 3), unsupported("objectAttributes", 1 << 3)),
        ("attribute x509sign", attributes(1 << 19), unsupported("objectAttributes", 1 << 19)),
        ("attribute bit 31", attributes(1 << 31), unsupported("objectAttributes", 1 << 31)),
        ("policy of another hash", splice(&key, SIZED_POLICY, &sized(&[0; 32])), length("authPolicy", 32)),
        ("policy beyond all hashes", splice(&key, SIZED_POLICY, &sized(&[0; 65])), length("authPolicy", 65)),
        ("with TDES", splice(&key, SYMMETRIC, &[0x00, 0x03]), unsupported("symmetric.algorithm", 0x0003)),
        ("AES of 64 bits", splice(&endorsement, 60..62, &[0, 64]), unsupported("symmetric.keyBits", 64)),
        ("AES in CBC", splice(&endorsement, 62..64, &[0x00, 0x42]), unsupported("symmetric.mode", 0x0042)),
        ("ECDAA", splice(&key, SCHEME, &[0x00, 0x1a, 0x00, 0x0c, 0, 0]), unsupported("scheme", 0x001a)),
        ("ECDSA with SHA-1", splice(&key, SCHEME, &[0x00, 0x18, 0x00, 0x04]), unsupported("scheme.hashAlg", 0x0004)),
        ("on P-521", splice(&key, CURVE, &[0x00, 0x05]), unsupported("curveID", 0x0005)),
        ("with a key derivation", splice(&key, KDF, &[0x00, 0x20]), unsupported("kdf", 0x0020)),
        ("a template, without x", splice(&key, SIZED_X, &[0, 0]), length("unique.x", 0)),
        ("a template, without y", splice(&key, SIZED_Y, &[0, 0]), length("unique.y", 0)),
        ("x of 49 bytes", splice(&key, SIZED_X, &sized(&[0; 49])), length("unique.x", 49)),
        ("y of 49 bytes", splice(&key, SIZED_Y, &sized(&[0; 49])), length("unique.y", 49)),
        ("a byte after the end", [&key[..], &[0]].concat(), FormatError::TrailingBytes { count: 1 }),
        ("in a TPM2B", sized(&key), unsupported("nameAlg", 0x0023)),
        ("RSA with a scheme", splice(&rsa, 48..50, &[0x00, 0x14, 0x00, 0x0b]), unsupported("scheme", 0x0014)),
        ("RSA of 1024 bits", splice(&rsa, 50..52, &[0x04, 0x00]), unsupported("keyBits", 1024)),
        ("RSA shorter than it says", splice(&rsa, 56..314, &sized(&[0xff; 255])), length("unique", 255)),
        ("RSA longer than it says", splice(&rsa, 56..314, &sized(&[0xff; 257])), length("unique", 257)),
        ("RSA with leading zeros", splice(&rsa, 58..59, &[0x7f]), unsupported("unique", 0x7f)),
    ];
    for (defect, bytes, expected) in cases {
        assert_eq!(read_area(&bytes), Err(expected), "{defect}");
    }
    assert!(read_area(&splice(&rsa, 58..59, &[0x80])).is_ok(), "an RSA key of just as many bits as it says");
    for (name, bytes) in [("attestation key", key), ("RSA key", rsa), ("endorsement key", endorsement)] {
        for end in 0..bytes.len() {
            let refusal = read_area(&bytes[..end]).unwrap_err();
            assert!(matches!(refusal, FormatError::Truncated { .. }), "{name} cut at {end}: {refusal}");
        }
    }
}

/// The bits of the attributes, as the specification numbers them.
#[test]
pub fn each_attribute_is_known() {
    for bit in [1, 2, 4, 5, 6, 7, 10, 11, 16, 17, 18] {
        let bits = 1_u32 << bit;
        let public = read_area(&splice(&vector("ak-public"), ATTRIBUTES, &bits.to_be_bytes())).unwrap();
        assert_eq!(public.attributes().bits(), bits);
    }
}

#[test]
pub fn attestation_keys_with_a_defect() {
    let good = vector("ak-public");
    let base: u32 = 0x0005_0072;
    let attributes = |bits: u32| splice(&good, ATTRIBUTES, &bits.to_be_bytes());
    let cases = [
        ("could be duplicated", attributes(base & !(1 << 1)), KeyDefect::NotFixedTpm),
        ("could be moved to another parent", attributes(base & !(1 << 4)), KeyDefect::NotFixedParent),
        ("brought into the TPM", attributes(base & !(1 << 5)), KeyDefect::NotMadeByTpm),
        ("signs what it is given", attributes(base & !(1 << 16)), KeyDefect::NotRestricted),
        ("decrypts as well", attributes(base | 1 << 17), KeyDefect::CanDecrypt),
        ("does not sign", attributes(base & !(1 << 18)), KeyDefect::CanNotSign),
        ("signs with SHA-256", splice(&good, SCHEME, &[0x00, 0x18, 0x00, 0x0b]), KeyDefect::Suite),
        ("has no scheme", splice(&good, SCHEME, &[0x00, 0x10]), KeyDefect::Suite),
        ("not on the curve", flip(&good, SIZED_Y.end - 1, 1), KeyDefect::Suite),
        ("the key of the camera", vector("device-key-public"), KeyDefect::NotRestricted),
        ("the endorsement key", vector("ek-p384-public"), KeyDefect::CanNotSign),
    ];
    for (defect, bytes, expected) in cases {
        let public = read_area(&bytes).unwrap();
        assert_eq!(attest_under(public, &endorsement_key()), Err(expected), "{defect}");
    }
}

#[test]
pub fn endorsement_keys_with_a_defect() {
    let good = vector("ek-p384-public");
    let base: u32 = 0x0003_00f2;
    let attributes = |bits: u32| splice(&good, ATTRIBUTES, &bits.to_be_bytes());
    let cases = [
        ("could be duplicated", attributes(base & !(1 << 1)), KeyDefect::NotFixedTpm),
        ("could be moved to another parent", attributes(base & !(1 << 4)), KeyDefect::NotFixedParent),
        ("brought into the TPM", attributes(base & !(1 << 5)), KeyDefect::NotMadeByTpm),
        ("opens what it is given", attributes(base & !(1 << 16)), KeyDefect::NotRestricted),
        ("does not decrypt", attributes(base & !(1 << 17)), KeyDefect::CanNotDecrypt),
        ("signs as well", attributes(base | 1 << 18), KeyDefect::CanSign),
        ("has no cipher", splice(&good, 58..64, &[0x00, 0x10]), KeyDefect::NoStorageCipher),
    ];
    let certificate = read_nv(&vector("ek-p384-certificate")).unwrap();
    for (defect, bytes, expected) in cases {
        let refusal = endorse(read_area(&bytes).unwrap(), &certificate);
        assert_eq!(refusal, Err(EndorsementKeyError::Key(expected)), "{defect}");
    }
}

#[test]
pub fn an_endorsement_key_that_is_not_its_certificates() {
    let refused = |public: &[u8], certificate: &str| {
        let certificate = read_nv(&vector(certificate)).unwrap();
        endorse(read_area(public).unwrap(), &certificate)
    };
    let (p384, rsa) = (vector("ek-p384-public"), vector("ek-rsa-public"));
    for (defect, public, certificate) in [
        ("another x", flip(&p384, 119, 1), "ek-p384-certificate"),
        ("another y", flip(&p384, 169, 1), "ek-p384-certificate"),
        ("another curve", vector("ek-p256-public"), "ek-p384-certificate"),
        ("another modulus", flip(&rsa, 313, 2), "ek-rsa-certificate"),
        ("the certificate of the other key", p384.clone(), "ek-rsa-certificate"),
        ("the key of the other certificate", rsa.clone(), "ek-p384-certificate"),
    ] {
        assert_eq!(refused(&public, certificate), Err(EndorsementKeyError::OtherKey), "{defect}");
    }
}

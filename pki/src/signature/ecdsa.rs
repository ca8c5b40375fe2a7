//! ECDSA signatures as strict DER (`ECDSA-Sig-Value`, RFC 3279 section 2.2.3), on each of the curves.
//!
//! It does not know keys.

use der::{Decode, Encode, Sequence, asn1::UintRef};

#[derive(Sequence)]
struct EcdsaSigValue<'a> {
    r: UintRef<'a>,
    s: UintRef<'a>,
}

/// Canonical DER with 0 < r, s < n.
pub fn parse_p384(der: &[u8]) -> Option<p384::ecdsa::Signature> {
    let (r, s) = numbers::<48>(der)?;
    p384::ecdsa::Signature::from_scalars(r, s).ok()
}

/// Canonical DER with 0 < r, s < n.
pub fn parse_p256(der: &[u8]) -> Option<p256::ecdsa::Signature> {
    let (r, s) = numbers::<32>(der)?;
    p256::ecdsa::Signature::from_scalars(r, s).ok()
}

/// From `r || s` to DER with s at most n/2; `None` if they are not two numbers in range.
pub fn low_s_der_p384(raw: &[u8]) -> Option<Vec<u8>> {
    let (r, s) = p384::ecdsa::Signature::from_slice(raw).ok()?.normalize_s().split_bytes();
    Some(to_der(&r, &s))
}

/// From `r || s` to DER with s at most n/2; `None` if they are not two numbers in range.
pub fn low_s_der_p256(raw: &[u8]) -> Option<Vec<u8>> {
    let (r, s) = p256::ecdsa::Signature::from_slice(raw).ok()?.normalize_s().split_bytes();
    Some(to_der(&r, &s))
}

/// DER has one encoding for a number, and the decoder takes no other.
fn numbers<const BYTES: usize>(der: &[u8]) -> Option<([u8; BYTES], [u8; BYTES])> {
    let value = EcdsaSigValue::from_der(der).ok()?;
    let padded = |number: UintRef<'_>| {
        let bytes = number.as_bytes();
        let mut scalar = [0; BYTES];
        scalar[BYTES.checked_sub(bytes.len())?..].copy_from_slice(bytes);
        Some(scalar)
    };
    Some((padded(value.r)?, padded(value.s)?))
}

fn to_der(r: &[u8], s: &[u8]) -> Vec<u8> {
    let number = "48 bytes are a number that DER can hold";
    EcdsaSigValue { r: UintRef::new(r).expect(number), s: UintRef::new(s).expect(number) }.to_der().expect(number)
}

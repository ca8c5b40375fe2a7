//! Whatever the bytes: an answer and no panic; and what is read from altered bytes is never what was recorded.

use exhibit_pki::attestation::{Attest, EcdsaSignature, EndorsementCertificate, Name, PublicArea, from_tpm2b};
use proptest::{collection::vec, prelude::*, sample::Index};

use crate::support::*;

const RECORDED: [&str; 13] = [
    "ak-public",
    "certify-attest",
    "certify-signature",
    "device-key-public",
    "ek-p256-public",
    "ek-p384-certificate",
    "ek-p384-public",
    "ek-rsa-certificate",
    "ek-rsa-public",
    "quote-attest",
    "quote-signature",
    "time-1-attest",
    "time-1-signature",
];

/// Every parser, whatever the bytes are meant to be.
fn read_as_everything(bytes: &[u8]) {
    let _ = Attest::from_bytes(bytes);
    let _ = PublicArea::from_bytes(bytes);
    let _ = Name::from_bytes(bytes);
    let _ = from_tpm2b(bytes);
    let _ = EndorsementCertificate::from_nv(bytes);
    if let Ok(signature) = EcdsaSignature::from_bytes(bytes) {
        let _ = signature.to_der();
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_bytes_are_answered(bytes in vec(any::<u8>(), 0..512)) {
        read_as_everything(&bytes);
    }

    #[test]
    fn altered_recordings_are_answered(name in 0..RECORDED.len(), edits in vec((any::<Index>(), any::<u8>()), 1..6), cut in any::<Index>()) {
        let mut bytes = vector(RECORDED[name]);
        for (position, value) in edits {
            let position = position.index(bytes.len());
            bytes[position] = value;
        }
        read_as_everything(&bytes);
        bytes.truncate(cut.index(bytes.len() + 1));
        read_as_everything(&bytes);
    }

    /// No second reading of a public area has the name of the first: what a TPM certifies is one key.
    #[test]
    fn an_altered_public_area_has_another_name(position in any::<Index>(), mask in 1_u8..) {
        let bytes = vector("device-key-public");
        let altered = flip(&bytes, position.index(bytes.len()), mask);
        if let Ok(altered) = PublicArea::from_bytes(&altered) {
            prop_assert_ne!(altered.name(), public("device-key-public").name());
            let refused = attestation_key().certify(&vector("certify-attest"), &vector("certify-signature"), &altered);
            prop_assert!(refused.is_err());
        }
    }
}

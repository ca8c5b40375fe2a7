//! What a TPM says: its structures, and the judgement of what it attested.

use std::sync::LazyLock;

use exhibit_pki::attestation::{
    Attest, AttestationKey, EcdsaSignature, EndorsementCertificate, EndorsementKey, HashAlgorithm, Name, PcrValues, PublicArea,
    QualifyingData, from_tpm2b,
};
use exhibit_pki::{RustCrypto, Suite, Verifier};

use super::pki::Credulous;

/// Each structure of a TPM, by the first byte.
pub fn structures(input: &[u8]) -> bool {
    let Some((which, input)) = input.split_first() else { return false };
    match which % 6 {
        0 => PublicArea::from_bytes(input).is_ok_and(|public| {
            assert_eq!(public.as_bytes(), input);
            assert_eq!(Name::from_bytes(public.name().as_bytes()).as_ref(), Ok(&public.name()), "a name reads otherwise than it was made");
            true
        }),
        1 => Attest::from_bytes(input).is_ok_and(|attest| {
            let _ = attest.kind();
            true
        }),
        2 => EcdsaSignature::from_bytes(input).is_ok_and(|signature| {
            let _ = Suite::EcdsaP384Sha384.is_canonical(&signature.to_der());
            true
        }),
        3 => EndorsementCertificate::from_nv(input).is_ok_and(|certificate| {
            assert!(input.starts_with(certificate.der()), "what is not padding was dropped");
            true
        }),
        4 => from_tpm2b(input).is_ok_and(|content| {
            assert_eq!(content.len() + 2, input.len());
            true
        }),
        _ => {
            // A public area and the certificate that is to be its, behind the area's length.
            let Some((length, rest)) = input.split_first_chunk() else { return false };
            let Some((public, certificate)) = rest.split_at_checked(usize::from(u16::from_be_bytes(*length))) else { return false };
            let (Ok(public), Ok(certificate)) = (PublicArea::from_bytes(public), EndorsementCertificate::from_nv(certificate)) else {
                return false;
            };
            let listed = EndorsementKey::listed(public.clone());
            if let Ok(key) = &listed {
                // Points off the curve and even moduli among them: a challenge is made, or it is said why not.
                if let Ok(challenge) = key.challenge(&RECORDED.0, &[9; 32], &[7; 64].into()) {
                    assert_eq!(from_tpm2b(&challenge.credential_blob).map(<[u8]>::len), Ok(challenge.credential_blob.len() - 2));
                    assert_eq!(from_tpm2b(&challenge.encrypted_secret).map(<[u8]>::len), Ok(challenge.encrypted_secret.len() - 2));
                }
            }
            let endorsed = EndorsementKey::from_public(public, &certificate);
            assert!(
                endorsed.is_err() || endorsed.as_ref().ok() == listed.as_ref().ok(),
                "a certificate makes up for a key that will not do"
            );
            endorsed.is_ok()
        }
    }
}

/// A recording of `pki/tests/vectors/attestation`.
macro_rules! recorded {
    ($name:literal) => {
        include_bytes!(concat!("../../../../pki/tests/vectors/attestation/", $name, ".bin"))
    };
}

/// The recorded attestation key, and the key of the device that it certified.
static RECORDED: LazyLock<(AttestationKey, PublicArea)> = LazyLock::new(|| {
    let public = |bytes: &[u8]| PublicArea::from_bytes(bytes).expect("a recording is a public area");
    let certificate = EndorsementCertificate::from_nv(recorded!("ek-p384-certificate")).expect("a recording is a certificate");
    let parent = EndorsementKey::from_public(public(recorded!("ek-p384-public")), &certificate).expect("they are of one key");
    let key = AttestationKey::from_public(public(recorded!("ak-public")), &parent).expect("a recording is an attestation key");
    (key, public(recorded!("device-key-public")))
});

/// `[which: 1][length: 2]`, an attestation of that length, `[length: 2]`, its signature, and then values of registers (`[bank: 1]
/// [register: 1]` and a digest each; the recorded ones if there are none): judged as an answer to what the recorded ones answer.
pub fn judgement(input: &[u8]) -> bool {
    let (key, device) = &*RECORDED;
    let Some((which, input)) = input.split_first() else { return false };
    let Some((attest, input)) = counted(input) else { return false };
    let Some((signature, registers)) = counted(input) else { return false };
    let values =
        if registers.is_empty() { values(RECORDED_REGISTERS.iter().copied(), recorded!("quote-values")) } else { claimed(registers) };
    let asked = |context: &[u8]| QualifyingData::new(&[0x4e; 32], context);
    let (believed, verified, answer): (bool, bool, &[u8]) = match which % 3 {
        0 => {
            let judge = |verifier: &dyn Verifier| key.verify_certify(verifier, attest, signature, &asked(b"certify"), device).is_ok();
            (judge(&Credulous), judge(&RustCrypto), recorded!("certify-attest"))
        }
        1 => {
            let judge = |verifier: &dyn Verifier| key.verify_quote(verifier, attest, signature, &asked(b"quote"), &values).is_ok();
            (judge(&Credulous), judge(&RustCrypto), recorded!("quote-attest"))
        }
        _ => {
            let judge = |verifier: &dyn Verifier| key.verify_time(verifier, attest, signature, &asked(b"time 1")).is_ok();
            (judge(&Credulous), judge(&RustCrypto), recorded!("time-1-attest"))
        }
    };
    assert!(believed || !verified, "an attestation was refused although its signature was believed");
    assert!(!verified || attest == answer, "what the TPM never attested was believed");
    verified
}

fn counted(input: &[u8]) -> Option<(&[u8], &[u8])> {
    let (length, rest) = input.split_first_chunk()?;
    rest.split_at_checked(usize::from(u16::from_be_bytes(*length)))
}

/// The registers whose values are recorded, one after the other.
const RECORDED_REGISTERS: &[(HashAlgorithm, u8)] = &[(HashAlgorithm::Sha256, 4), (HashAlgorithm::Sha384, 0), (HashAlgorithm::Sha384, 16)];

fn values(registers: impl Iterator<Item = (HashAlgorithm, u8)>, mut bytes: &[u8]) -> PcrValues {
    let mut values = PcrValues::new();
    for (bank, register) in registers {
        let (value, rest) = bytes.split_at(bank.digest_bytes());
        values.add(bank, register, value).expect("each register is recorded once");
        bytes = rest;
    }
    values
}

fn claimed(mut bytes: &[u8]) -> PcrValues {
    let mut values = PcrValues::new();
    while let Some(([bank, register], rest)) = bytes.split_first_chunk() {
        let bank = if bank % 2 == 0 { HashAlgorithm::Sha256 } else { HashAlgorithm::Sha384 };
        // Half a digest too: it is refused.
        let (value, rest) = rest.split_at(rest.len().min(bank.digest_bytes()));
        let added = values.add(bank, *register, value);
        assert!(added.is_err() || (*register < 24 && value.len() == bank.digest_bytes()), "a register that can not be was taken");
        bytes = rest;
    }
    values
}

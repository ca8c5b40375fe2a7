//! What a TPM that has no P-384 can say: its vendor's certificate is for RSA-2048, and all that it signs is on P-256 with SHA-256.

use exhibit_pki::{
    RustCrypto, Suite,
    attestation::{AttestationKey, EndorsementCertificate, EndorsementKey, EndorsementSuite, PublicArea},
};
use exhibit_tpm::swtpm::Swtpm;
use tss_esapi::{
    Context, TctiNameConf,
    abstraction::{ak, ek},
    handles::{KeyHandle, ObjectHandle},
    interface_types::{
        algorithm::{HashingAlgorithm, SignatureSchemeAlgorithm},
        ecc::EccCurve,
        resource_handles::Hierarchy,
    },
    structures::{EccScheme, HashScheme, SignatureScheme},
    traits::Marshall as _,
    utils::create_unrestricted_signing_ecc_public,
};

use super::*;

#[test]
fn a_tpm_without_p384_attests_and_is_challenged_too() {
    let folder = tempfile::tempdir().unwrap();
    manufacture(folder.path());
    let swtpm = Swtpm::start(folder.path()).unwrap();
    let mut context = Context::new(swtpm.tcti().parse::<TctiNameConf>().unwrap()).unwrap();
    let mut vectors = Vectors::new();
    let device_handle = make_device_key(&mut context);
    let device_public = read_public(&mut context, device_handle);
    let (selection, values, digests) = measure(&mut context);
    let certificate = ek::retrieve_ek_pubcert(&mut context, RSA).unwrap();
    for (name, bytes) in [("device-key-public", &device_public), ("quote-values", &digests), ("ek-rsa-certificate", &certificate)] {
        vectors.insert(format!("p256/{name}.bin"), bytes.clone());
    }
    for (algorithm, name, suite) in [(RSA, "rsa", EndorsementSuite::Rsa2048), (P256, "p256", EndorsementSuite::EccP256)] {
        let endorsement_handle = ek::create_ek_object_2(&mut context, algorithm, None).unwrap();
        let endorsement_public = read_public(&mut context, endorsement_handle);
        let area = PublicArea::from_bytes(&endorsement_public).unwrap();
        // swtpm's authority gives none for a key on P-256; an authority that lists such TPMs needs none.
        let endorsement_key = if algorithm == RSA {
            EndorsementKey::from_public(area, &EndorsementCertificate::from_nv(&certificate).unwrap()).unwrap()
        } else {
            EndorsementKey::listed(area).unwrap()
        };
        assert_eq!(endorsement_key.suite(), suite);
        let scheme = SignatureSchemeAlgorithm::EcDsa;
        let made = ak::create_ak_2(&mut context, endorsement_handle, HashingAlgorithm::Sha256, P256, scheme, None, None).unwrap();
        let attestation_handle = ak::load_ak(&mut context, endorsement_handle, None, made.out_private, made.out_public.clone()).unwrap();
        let attestation_public = made.out_public.marshall().unwrap();
        let challenge = challenge(&mut context, attestation_handle, endorsement_handle, &attestation_public, &endorsement_key);
        let key = AttestationKey::from_public(PublicArea::from_bytes(&attestation_public).unwrap(), &endorsement_key).unwrap();
        assert_eq!(key.suite(), Suite::EcdsaP256Sha256);

        let mut kept = |file: &str, bytes: Vec<u8>| vectors.insert(format!("p256/{name}-{file}.bin"), bytes);
        kept("ek-public", endorsement_public);
        kept("ak-public", attestation_public);
        kept("challenge-blob", challenge.credential_blob);
        kept("challenge-secret", challenge.encrypted_secret);
        let file = |what: &str| [format!("p256/{name}-{what}-attest.bin"), format!("p256/{name}-{what}-signature.bin")];

        let expected = qualifying_data("certify");
        let (attest, signature) = context
            .execute_with_sessions((PASSWORD, PASSWORD, None), |context| {
                context.certify(ObjectHandle::from(device_handle), attestation_handle, data(&expected), SignatureScheme::Null)
            })
            .unwrap();
        let (attest, signature) = keep(&mut vectors, file("certify").each_ref().map(String::as_str), &attest, &signature);
        let device = PublicArea::from_bytes(&device_public).unwrap();
        let certified = key.verify_certify(&RustCrypto, &attest, &signature, &expected, &device).unwrap();
        assert_eq!(certified.public_key().suite(), Suite::EcdsaP256Sha256);

        let expected = qualifying_data("quote");
        let (attest, signature) = context
            .execute_with_session(PASSWORD, |context| {
                context.quote(attestation_handle, data(&expected), SignatureScheme::Null, selection.clone())
            })
            .unwrap();
        let (attest, signature) = keep(&mut vectors, file("quote").each_ref().map(String::as_str), &attest, &signature);
        for (qualifying_data, believed) in [(expected, true), (qualifying_data("another quote"), false)] {
            assert_eq!(tpm2_tools_believe(&vectors, &format!("p256/{name}-"), "sha256", folder.path(), &qualifying_data), believed);
            let ours = key.verify_quote(&RustCrypto, &attest, &signature, &qualifying_data, &values);
            assert_eq!(ours.is_ok(), believed, "exhibit-pki and tpm2-tools differ");
        }

        let expected = qualifying_data("time 1");
        let (attest, signature) = context
            .execute_with_sessions((PASSWORD, PASSWORD, None), |context| {
                context.get_time(attestation_handle, data(&expected), SignatureScheme::Null)
            })
            .unwrap();
        let (attest, signature) = keep(&mut vectors, file("time").each_ref().map(String::as_str), &attest, &signature);
        key.verify_time(&RustCrypto, &attest, &signature, &expected).unwrap();
        for handle in [attestation_handle, endorsement_handle] {
            context.flush_context(handle.into()).unwrap();
        }
    }
    record(&vectors);
}

/// As a camera would make it in such a TPM: ECDSA on P-256 with SHA-256 and nothing else.
fn make_device_key(context: &mut Context) -> KeyHandle {
    let scheme = EccScheme::EcDsa(HashScheme::new(HashingAlgorithm::Sha256));
    let public = create_unrestricted_signing_ecc_public(scheme, EccCurve::NistP256).unwrap();
    let made = context.execute_with_session(PASSWORD, |context| context.create_primary(Hierarchy::Owner, public, None, None, None, None));
    made.unwrap().key_handle
}

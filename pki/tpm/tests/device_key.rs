//! Device keys in a real software TPM.
#![allow(clippy::unwrap_used)]

use std::{
    net::TcpListener,
    thread,
    time::{Duration, Instant},
};

use exhibit_pki::{Signer as _, Verifier as _, signature::RustCrypto};
use exhibit_tpm::{Tpm, TpmError, swtpm::Swtpm};

const HANDLE: u32 = 0x8101_0102;

#[test]
fn the_key_signs_and_survives_reopening_and_a_restart_of_the_tpm() {
    let folder = tempfile::tempdir().unwrap();
    let swtpm = Swtpm::start(folder.path()).unwrap();
    let first = Tpm::connect(&swtpm.tcti()).unwrap().device_key(HANDLE).unwrap();
    let public_key = first.public_key().clone();
    let signature = first.sign(b"a statement").unwrap();
    RustCrypto.verify(&public_key, b"a statement", &signature).unwrap();
    assert!(RustCrypto.verify(&public_key, b"another statement", &signature).is_err());
    drop(first);

    let again = Tpm::connect(&swtpm.tcti()).unwrap().device_key(HANDLE).unwrap();
    assert_eq!(again.public_key(), &public_key, "reopening made another key");
    drop((again, swtpm));

    let swtpm = Swtpm::start(folder.path()).unwrap();
    let after = Tpm::connect(&swtpm.tcti()).unwrap().device_key(HANDLE).unwrap();
    assert_eq!(after.public_key(), &public_key, "the key was lost with the power");
    RustCrypto.verify(&public_key, b"later", &after.sign(b"later").unwrap()).unwrap();
}

/// Signatures whose r or s is short would come out wrong if they were not padded: about one in 64 of these.
#[test]
fn several_threads_sign_at_once_and_every_signature_verifies() {
    let folder = tempfile::tempdir().unwrap();
    let swtpm = Swtpm::start(folder.path()).unwrap();
    let key = Tpm::connect(&swtpm.tcti()).unwrap().device_key(HANDLE).unwrap();
    thread::scope(|scope| {
        for thread in 0..4_u32 {
            let key = key.clone();
            scope.spawn(move || {
                for number in 0..100_u32 {
                    let message = [thread.to_be_bytes(), number.to_be_bytes()].concat();
                    RustCrypto.verify(key.public_key(), &message, &key.sign(&message).unwrap()).unwrap();
                }
            });
        }
    });
}

/// swtpm has three slots for transient objects: were they not flushed, the second key would fail.
#[test]
fn many_keys_at_their_own_handles() {
    let folder = tempfile::tempdir().unwrap();
    let swtpm = Swtpm::start(folder.path()).unwrap();
    let tpm = Tpm::connect(&swtpm.tcti()).unwrap();
    let keys: Vec<_> = (0..5).map(|number| tpm.device_key(HANDLE + number).unwrap()).collect();
    for (index, key) in keys.iter().enumerate() {
        assert!(keys[..index].iter().all(|other| other.public_key() != key.public_key()), "two handles share a key");
        RustCrypto.verify(key.public_key(), b"m", &key.sign(b"m").unwrap()).unwrap();
    }
}

#[test]
fn a_foreign_key_at_the_handle_is_refused() {
    use tss_esapi::{
        Context, TctiNameConf,
        attributes::ObjectAttributesBuilder,
        handles::PersistentTpmHandle,
        interface_types::{
            algorithm::HashingAlgorithm, dynamic_handles::Persistent, ecc::EccCurve, resource_handles::Hierarchy,
            resource_handles::Provision, session_handles::AuthSession,
        },
        structures::{EccPoint, EccScheme, HashScheme, PublicBuilder, PublicEccParametersBuilder},
    };
    let folder = tempfile::tempdir().unwrap();
    let swtpm = Swtpm::start(folder.path()).unwrap();
    {
        // A key that wrong passwords elsewhere could lock: all else is as ours.
        let attributes = ObjectAttributesBuilder::new()
            .with_fixed_tpm(true)
            .with_fixed_parent(true)
            .with_sensitive_data_origin(true)
            .with_user_with_auth(true)
            .with_sign_encrypt(true)
            .build()
            .unwrap();
        let scheme = EccScheme::EcDsa(HashScheme::new(HashingAlgorithm::Sha384));
        let foreign = PublicBuilder::new()
            .with_public_algorithm(tss_esapi::interface_types::algorithm::PublicAlgorithm::Ecc)
            .with_name_hashing_algorithm(HashingAlgorithm::Sha384)
            .with_object_attributes(attributes)
            .with_ecc_parameters(PublicEccParametersBuilder::new_unrestricted_signing_key(scheme, EccCurve::NistP384).build().unwrap())
            .with_ecc_unique_identifier(EccPoint::default())
            .build()
            .unwrap();
        let mut context = Context::new(swtpm.tcti().parse::<TctiNameConf>().unwrap()).unwrap();
        context
            .execute_with_session(Some(AuthSession::Password), |context| {
                let key = context.create_primary(Hierarchy::Owner, foreign, None, None, None, None)?.key_handle;
                context.evict_control(Provision::Owner, key.into(), Persistent::Persistent(PersistentTpmHandle::new(HANDLE)?))?;
                context.flush_context(key.into())
            })
            .unwrap();
    }
    let refusal = Tpm::connect(&swtpm.tcti()).unwrap().device_key(HANDLE).unwrap_err();
    assert!(matches!(refusal, TpmError::NotOurs { handle: HANDLE, reason } if reason.contains("noDA")), "{refusal}");
}

#[test]
fn a_handle_that_is_not_persistent_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let swtpm = Swtpm::start(folder.path()).unwrap();
    let refusal = Tpm::connect(&swtpm.tcti()).unwrap().device_key(0x8000_0001).unwrap_err();
    assert!(matches!(refusal, TpmError::NotOurs { .. }), "{refusal}");
}

#[test]
fn no_tpm_at_the_address_is_said_quickly() {
    let began = Instant::now();
    // The port was free a moment ago and nothing listens on it.
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    for address in [format!("swtpm:host=127.0.0.1,port={port}"), "device:/nonexistent/tpm".to_owned(), "nonsense".to_owned()] {
        let refusal = Tpm::connect(&address).unwrap_err();
        assert!(matches!(&refusal, TpmError::Unreachable { tcti, .. } if *tcti == address), "{refusal}");
    }
    assert!(began.elapsed() < Duration::from_secs(5), "it took {:?} to notice", began.elapsed());
}

#[test]
fn a_tpm_that_goes_away_fails_the_signature() {
    let folder = tempfile::tempdir().unwrap();
    let swtpm = Swtpm::start(folder.path()).unwrap();
    let key = Tpm::connect(&swtpm.tcti()).unwrap().device_key(HANDLE).unwrap();
    drop(swtpm);
    let error = key.sign(b"m").unwrap_err();
    assert!(error.to_string().contains("TPM2_Sign"), "{error}");
}

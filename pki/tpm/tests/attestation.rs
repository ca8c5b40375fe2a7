//! A software TPM, made with endorsement certificates as a vendor makes them, attests; the pure judgement of exhibit-pki believes it.
//!
//! With `EXHIBIT_RECORD_VECTORS=1` what it said is written to `pki/tests/vectors/attestation/`, where the tests of exhibit-pki judge it
//! without a TPM, and alter it.
#![allow(clippy::unwrap_used)]

#[path = "attestation/without_p384.rs"]
mod without_p384;

use std::{collections::BTreeMap, fs, path::Path, process::Command};

use exhibit_pki::{
    RustCrypto, Signer as _,
    attestation::{
        AttestationKey, Attributes, Challenge, EndorsementCertificate, EndorsementKey, HashAlgorithm, PcrValues, PublicArea,
        QualifyingData, from_tpm2b,
    },
};
use exhibit_tpm::{Tpm, swtpm::Swtpm};
use tss_esapi::{
    Context, TctiNameConf,
    abstraction::{AsymmetricAlgorithmSelection, ak, ek},
    constants::SessionType,
    handles::{AuthHandle, KeyHandle, ObjectHandle, PcrHandle, PersistentTpmHandle, SessionHandle, TpmHandle},
    interface_types::{
        algorithm::{HashingAlgorithm, SignatureSchemeAlgorithm},
        ecc::EccCurve,
        key_bits::RsaKeyBits,
        session_handles::{AuthSession, PolicySession},
    },
    structures::{
        Attest, Data, Digest, DigestValues, EncryptedSecret, IdObject, Nonce, PcrSelectionList, PcrSelectionListBuilder, PcrSlot,
        Signature, SignatureScheme, SymmetricDefinition,
    },
    traits::Marshall as _,
    tss2_esys::TPML_PCR_SELECTION,
};

const HANDLE: u32 = 0x8101_0102;
const PASSWORD: Option<AuthSession> = Some(AuthSession::Password);
const P256: AsymmetricAlgorithmSelection = AsymmetricAlgorithmSelection::Ecc(EccCurve::NistP256);
const P384: AsymmetricAlgorithmSelection = AsymmetricAlgorithmSelection::Ecc(EccCurve::NistP384);
const RSA: AsymmetricAlgorithmSelection = AsymmetricAlgorithmSelection::Rsa(RsaKeyBits::Rsa2048);
/// What a TPM said, by the names of the files.
type Vectors = BTreeMap<String, Vec<u8>>;

#[test]
fn a_tpm_attests_its_key_its_pcrs_and_its_clock() {
    let folder = tempfile::tempdir().unwrap();
    manufacture(folder.path());
    let swtpm = Swtpm::start(folder.path()).unwrap();
    let device_key = Tpm::connect(&swtpm.tcti()).unwrap().device_key(HANDLE).unwrap().public_key().clone();
    let mut context = Context::new(swtpm.tcti().parse::<TctiNameConf>().unwrap()).unwrap();
    let mut vectors = Vectors::new();

    endorse_by_other_keys(&mut context, &mut vectors);
    let endorsement_handle = ek::create_ek_object_2(&mut context, P384, None).unwrap();
    vectors.insert("ek-p384-public.bin".to_owned(), read_public(&mut context, endorsement_handle));
    vectors.insert("ek-p384-certificate.bin".to_owned(), ek::retrieve_ek_pubcert(&mut context, P384).unwrap());
    let made =
        ak::create_ak_2(&mut context, endorsement_handle, HashingAlgorithm::Sha384, P384, SignatureSchemeAlgorithm::EcDsa, None, None)
            .unwrap();
    let attestation_handle = ak::load_ak(&mut context, endorsement_handle, None, made.out_private, made.out_public.clone()).unwrap();
    vectors.insert("ak-public.bin".to_owned(), made.out_public.marshall().unwrap());

    let persistent = TpmHandle::Persistent(PersistentTpmHandle::new(HANDLE).unwrap());
    let device_handle: ObjectHandle = context.execute_without_session(|context| context.tr_from_tpm_public(persistent)).unwrap();
    vectors.insert("device-key-public.bin".to_owned(), read_public(&mut context, device_handle.into()));

    let certificate = EndorsementCertificate::from_nv(&vectors["ek-p384-certificate.bin"]).unwrap();
    let endorsement_key =
        EndorsementKey::from_public(PublicArea::from_bytes(&vectors["ek-p384-public.bin"]).unwrap(), &certificate).unwrap();
    let attestation_key =
        AttestationKey::from_public(PublicArea::from_bytes(&vectors["ak-public.bin"]).unwrap(), &endorsement_key).unwrap();
    let device_public = PublicArea::from_bytes(&vectors["device-key-public.bin"]).unwrap();

    let challenge = challenge(&mut context, attestation_handle, endorsement_handle, &vectors["ak-public.bin"], &endorsement_key);
    vectors.insert("challenge-blob.bin".to_owned(), challenge.credential_blob);
    vectors.insert("challenge-secret.bin".to_owned(), challenge.encrypted_secret);

    // Certify: the key of the camera's statements.
    let expected = qualifying_data("certify");
    let (attest, signature) = context
        .execute_with_sessions((PASSWORD, PASSWORD, None), |context| {
            context.certify(device_handle, attestation_handle, data(&expected), SignatureScheme::Null)
        })
        .unwrap();
    let (attest, signature) = keep(&mut vectors, ["certify-attest.bin", "certify-signature.bin"], &attest, &signature);
    let certified = attestation_key.verify_certify(&RustCrypto, &attest, &signature, &expected, &device_public).unwrap();
    assert_eq!(certified.public_key(), &device_key, "another key was certified than the one that signs");

    quote(&mut context, attestation_handle, &attestation_key, &mut vectors, folder.path());
    read_clock_twice(&mut context, attestation_handle, &attestation_key, &mut vectors);
    record(&vectors);
}

/// An endorsement key on RSA or P-256 is read, and compared with its certificate.
fn endorse_by_other_keys(context: &mut Context, vectors: &mut Vectors) {
    for (algorithm, public_name, certificate_name) in
        [(P256, "ek-p256-public.bin", None), (RSA, "ek-rsa-public.bin", Some("ek-rsa-certificate.bin"))]
    {
        let handle = ek::create_ek_object_2(context, algorithm, None).unwrap();
        let public = read_public(context, handle);
        context.flush_context(handle.into()).unwrap();
        if let Some(certificate_name) = certificate_name {
            let nv = ek::retrieve_ek_pubcert(context, algorithm).unwrap();
            let certificate = EndorsementCertificate::from_nv(&nv).unwrap();
            EndorsementKey::from_public(PublicArea::from_bytes(&public).unwrap(), &certificate).unwrap();
            vectors.insert(certificate_name.to_owned(), nv);
        }
        vectors.insert(public_name.to_owned(), public);
    }
}

/// Registers that something was measured into, in two banks.
fn quote(context: &mut Context, attestation_handle: KeyHandle, attestation_key: &AttestationKey, vectors: &mut Vectors, folder: &Path) {
    let (selection, values, digests) = measure(context);
    vectors.insert("quote-values.bin".to_owned(), digests);
    let expected = qualifying_data("quote");
    let (attest, signature) = context
        .execute_with_session(PASSWORD, |context| {
            context.quote(attestation_handle, data(&expected), SignatureScheme::Null, selection.clone())
        })
        .unwrap();
    let (attest, signature) = keep(vectors, ["quote-attest.bin", "quote-signature.bin"], &attest, &signature);
    for (qualifying_data, believed) in [(expected, true), (qualifying_data("another quote"), false)] {
        assert_eq!(tpm2_tools_believe(vectors, "", "sha384", folder, &qualifying_data), believed);
        let ours = attestation_key.verify_quote(&RustCrypto, &attest, &signature, &qualifying_data, &values);
        assert_eq!(ours.is_ok(), believed, "exhibit-pki and tpm2-tools differ");
    }
}

fn read_clock_twice(context: &mut Context, attestation_handle: KeyHandle, attestation_key: &AttestationKey, vectors: &mut Vectors) {
    let mut readings = Vec::new();
    for (context_name, names) in
        [("time 1", ["time-1-attest.bin", "time-1-signature.bin"]), ("time 2", ["time-2-attest.bin", "time-2-signature.bin"])]
    {
        let expected = qualifying_data(context_name);
        let (attest, signature) = context
            .execute_with_sessions((PASSWORD, PASSWORD, None), |context| {
                context.get_time(attestation_handle, data(&expected), SignatureScheme::Null)
            })
            .unwrap();
        let (attest, signature) = keep(vectors, names, &attest, &signature);
        readings.push(attestation_key.verify_time(&RustCrypto, &attest, &signature, &expected).unwrap());
    }
    readings[1].elapsed_ms_since(&readings[0]).unwrap();
}

/// The TPM opens what was wrapped to its two keys, and not what was wrapped for an attestation key with one other attribute.
fn challenge(
    context: &mut Context,
    attestation_handle: KeyHandle,
    endorsement_handle: KeyHandle,
    attestation_public: &[u8],
    endorsement_key: &EndorsementKey,
) -> Challenge {
    let secret = [9; 32];
    let made = |public: &[u8]| {
        let key = AttestationKey::from_public(PublicArea::from_bytes(public).unwrap(), endorsement_key).unwrap();
        endorsement_key.challenge(&key, &secret, &[7; 64].into()).unwrap()
    };
    let mut activate = |challenge: &Challenge| {
        let blob = IdObject::try_from(from_tpm2b(&challenge.credential_blob).unwrap().to_vec()).unwrap();
        let seed = EncryptedSecret::try_from(from_tpm2b(&challenge.encrypted_secret).unwrap().to_vec()).unwrap();
        let endorsement_session = authorised(context, endorsement_key);
        let opened = context.execute_with_sessions((PASSWORD, endorsement_session, None), |context| {
            context.activate_credential(attestation_handle, endorsement_handle, blob, seed)
        });
        // A session ends with the command that it authorised, unless that fails; a TPM has room for three.
        if let (Err(_), Some(session @ AuthSession::PolicySession(_))) = (&opened, endorsement_session) {
            context.flush_context(SessionHandle::from(session).into()).unwrap();
        }
        opened
    };
    let ours = made(attestation_public);
    let opened = activate(&ours).unwrap();
    assert_eq!(opened, Digest::try_from(secret.to_vec()).unwrap(), "the TPM found another secret");

    let mut other = attestation_public.to_vec();
    other[6] ^= 0x04;
    let refusal = activate(&made(&other)).unwrap_err();
    assert!(refusal.to_string().contains("integrity"), "{refusal}");
    ours
}

/// What an endorsement key is used with: a password where it may be, and in the TCG's older templates the policy that is the password of its hierarchy.
fn authorised(context: &mut Context, key: &EndorsementKey) -> Option<AuthSession> {
    if key.public().attributes().contains(Attributes::USER_WITH_AUTH) {
        return PASSWORD;
    }
    let (cipher, hash) = (SymmetricDefinition::AES_128_CFB, HashingAlgorithm::Sha256);
    let session = context.start_auth_session(None, None, None, SessionType::Policy, cipher, hash).unwrap().unwrap();
    let policy = PolicySession::try_from(session).unwrap();
    let asked = context.execute_with_session(PASSWORD, |context| {
        context.policy_secret(policy, AuthHandle::Endorsement, Nonce::default(), Digest::default(), Nonce::default(), None)
    });
    asked.unwrap();
    Some(session)
}

/// Extends three registers and reads them; the values are kept one after the other.
fn measure(context: &mut Context) -> (PcrSelectionList, PcrValues, Vec<u8>) {
    for (register, byte) in [(PcrHandle::Pcr0, 1), (PcrHandle::Pcr4, 2), (PcrHandle::Pcr16, 3)] {
        let mut digests = DigestValues::new();
        digests.set(HashingAlgorithm::Sha256, Digest::try_from(vec![byte; 32]).unwrap());
        digests.set(HashingAlgorithm::Sha384, Digest::try_from(vec![byte; 48]).unwrap());
        context.execute_with_session(PASSWORD, |context| context.pcr_extend(register, digests)).unwrap();
    }
    let mut selection = TPML_PCR_SELECTION::from(
        PcrSelectionListBuilder::new()
            .with_selection(HashingAlgorithm::Sha256, &[PcrSlot::Slot4])
            .with_selection(HashingAlgorithm::Sha384, &[PcrSlot::Slot0, PcrSlot::Slot16])
            .build()
            .unwrap(),
    );
    // The builder keeps its banks in an order that changes from run to run.
    selection.pcrSelections[..2].sort_by_key(|bank| bank.hash);
    let selection = PcrSelectionList::try_from(selection).unwrap();
    let (_, _, digests) = context.execute_without_session(|context| context.pcr_read(selection.clone())).unwrap();
    let digests: Vec<Vec<u8>> = digests.value().iter().map(|digest| digest.value().to_vec()).collect();
    let registers = [(HashAlgorithm::Sha256, 4), (HashAlgorithm::Sha384, 0), (HashAlgorithm::Sha384, 16)];
    let mut values = PcrValues::new();
    for ((bank, register), value) in registers.into_iter().zip(&digests) {
        values.add(bank, register, value).unwrap();
    }
    (selection, values, digests.concat())
}

/// The second judge of a quote.
fn tpm2_tools_believe(vectors: &Vectors, prefix: &str, hash: &str, folder: &Path, expected: &QualifyingData) -> bool {
    let mut command = Command::new("tpm2_checkquote");
    command.args(["--hash-algorithm", hash, "--qualification"]);
    command.arg(expected.as_bytes().iter().map(|byte| format!("{byte:02x}")).collect::<String>());
    for (option, name) in [("--public", "ak-public.bin"), ("--message", "quote-attest.bin"), ("--signature", "quote-signature.bin")] {
        fs::write(folder.join(name), &vectors[&format!("{prefix}{name}")]).unwrap();
        command.arg(option).arg(folder.join(name));
    }
    command.output().expect("tpm2_checkquote is installed (on Debian: apt-get install tpm2-tools)").status.success()
}

/// As a vendor does it: endorsement keys, and certificates for them in the TPM's memory, by an authority of this test's own.
fn manufacture(folder: &Path) {
    let authority = folder.join("vendor");
    fs::create_dir(&authority).unwrap();
    let path = |name: &str| authority.join(name).display().to_string();
    let authority_lines = format!(
        "statedir = {}\nsigningkey = {}\nissuercert = {}\ncertserial = {}\n",
        path(""),
        path("key.pem"),
        path("certificate.pem"),
        path("serial")
    );
    fs::write(path("authority.conf"), authority_lines).unwrap();
    fs::write(path("options"), "--platform-manufacturer Exhibit\n--platform-version 1\n--platform-model test\n").unwrap();
    let setup_lines = format!(
        "create_certs_tool = swtpm_localca\ncreate_certs_tool_config = {}\ncreate_certs_tool_options = {}\n",
        path("authority.conf"),
        path("options")
    );
    fs::write(path("setup.conf"), setup_lines).unwrap();
    let output = Command::new("swtpm_setup")
        .args(["--tpm2", "--ecc", "--create-ek-cert", "--pcr-banks", "sha256,sha384", "--config", &path("setup.conf"), "--tpmstate"])
        .arg(folder)
        .output()
        .expect("swtpm_setup is installed (on Debian: apt-get install swtpm-tools)");
    assert!(output.status.success(), "{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
}

fn read_public(context: &mut Context, handle: KeyHandle) -> Vec<u8> {
    context.execute_without_session(|context| context.read_public(handle)).unwrap().0.marshall().unwrap()
}

/// The tests of exhibit-pki use the same.
fn qualifying_data(context: &str) -> QualifyingData {
    QualifyingData::new(&[0x4e; 32], context.as_bytes())
}

fn data(expected: &QualifyingData) -> Data {
    Data::try_from(expected.as_bytes().to_vec()).unwrap()
}

fn keep(vectors: &mut Vectors, names: [&str; 2], attest: &Attest, signature: &Signature) -> (Vec<u8>, Vec<u8>) {
    let (attest, signature) = (attest.marshall().unwrap(), signature.marshall().unwrap());
    vectors.insert(names[0].to_owned(), attest.clone());
    vectors.insert(names[1].to_owned(), signature.clone());
    (attest, signature)
}

fn record(vectors: &Vectors) {
    if std::env::var_os("EXHIBIT_RECORD_VECTORS").is_none() {
        return;
    }
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/vectors/attestation");
    for (name, bytes) in vectors {
        let path = folder.join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, bytes).unwrap();
    }
}

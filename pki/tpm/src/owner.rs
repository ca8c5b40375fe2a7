//! The thread that owns the connection: it takes requests one at a time and answers each on its own channel.
//!
//! Knows nothing of who asks, and keeps no secret: the private key never leaves the TPM.

mod nv;

use std::{
    collections::HashMap,
    str::FromStr,
    sync::mpsc::{Receiver, Sender},
};

use exhibit_pki::PublicKey;
use tss_esapi::{
    Context, TctiNameConf,
    attributes::{ObjectAttributes, ObjectAttributesBuilder},
    constants::{CapabilityType, StructureTag, tss::TPM2_RH_NULL},
    handles::{KeyHandle, ObjectHandle, PersistentTpmHandle, TpmHandle},
    interface_types::{
        algorithm::{HashingAlgorithm, PublicAlgorithm},
        dynamic_handles::Persistent,
        ecc::EccCurve,
        resource_handles::{Hierarchy, Provision},
        session_handles::AuthSession,
    },
    structures::{
        CapabilityData, Digest, EccPoint, EccScheme, HashScheme, HashcheckTicket, KeyDerivationFunctionScheme, Public, PublicBuilder,
        PublicEccParameters, PublicEccParametersBuilder, Signature, SignatureScheme, SymmetricDefinitionObject,
    },
    tss2_esys::{TPM2_ECC_CURVE, TPMT_TK_HASHCHECK},
};

use crate::TpmError;

/// Our objects have no password: whoever may open the TPM may use the key, and the operating system says who may open it.
const SESSION: Option<AuthSession> = Some(AuthSession::Password);

/// What the thread is asked to do.
#[derive(Debug)]
pub(crate) enum Request {
    /// Finds the key at a persistent handle, or makes it.
    Key { handle: u32, kind: Kind, reply: Sender<Result<PublicKey, TpmError>> },
    /// Signs with a key that was found before; r and s, each padded on the left to the length of its curve. The digest is as long as that of
    /// the key's hash function.
    Sign { handle: u32, digest: Vec<u8>, reply: Sender<Result<Vec<u8>, TpmError>> },
    /// Reads an index of non-volatile storage.
    NvRead { index: u32, reply: Sender<Result<Option<Vec<u8>>, TpmError>> },
    /// Writes one.
    NvWrite { index: u32, bytes: Vec<u8>, reply: Sender<Result<(), TpmError>> },
}

/// What a key signs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// A device's statements: on P-384, or on P-256 where the TPM has no other.
    Device,
    /// A log's notes: on P-384, with SHA-256, for which no other digest is computed in the field (docs/formats/log.md).
    Note,
}

/// How a key is made: its curve, and the one hash function whose digests it signs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Form {
    curve: EccCurve,
    hash: HashingAlgorithm,
}

impl Kind {
    /// The forms that a key of this kind may have, the better first.
    const fn forms(self) -> &'static [Form] {
        match self {
            Self::Device => &[DEVICE_P384, DEVICE_P256],
            Self::Note => &[NOTE],
        }
    }

    /// The best form whose curve the TPM has.
    fn choose(self, mut has: impl FnMut(EccCurve) -> Result<bool, TpmError>) -> Result<Form, TpmError> {
        for form in self.forms() {
            if has(form.curve)? {
                return Ok(*form);
            }
        }
        Err(TpmError::Curve(match self {
            Self::Device => "neither P-384 nor P-256",
            Self::Note => "no P-384",
        }))
    }
}

const DEVICE_P384: Form = Form { curve: EccCurve::NistP384, hash: HashingAlgorithm::Sha384 };
const DEVICE_P256: Form = Form { curve: EccCurve::NistP256, hash: HashingAlgorithm::Sha256 };
const NOTE: Form = Form { curve: EccCurve::NistP384, hash: HashingAlgorithm::Sha256 };

impl Form {
    /// How long a coordinate or a scalar is.
    fn scalar_bytes(self) -> usize {
        if self.curve == EccCurve::NistP256 { 32 } else { 48 }
    }

    fn scheme(self) -> HashScheme {
        HashScheme::new(self.hash)
    }

    /// What its object is named by: a TPM without P-384 may lack SHA-384 too.
    fn name_hash(self) -> HashingAlgorithm {
        if self.curve == EccCurve::NistP256 { HashingAlgorithm::Sha256 } else { HashingAlgorithm::Sha384 }
    }

    fn is_not_ours(self) -> &'static str {
        match self {
            DEVICE_P256 => "it is not made for ECDSA on P-256 with SHA-256 alone",
            NOTE => "it is not made for ECDSA on P-384 with SHA-256 alone",
            _ => "it is not made for ECDSA on P-384 with SHA-384 alone",
        }
    }
}

/// Connects, says how that went, and serves until nobody can ask any more. An asker who has left is no error.
pub(crate) fn run(tcti: &str, connected: &Sender<Result<(), String>>, incoming: &Receiver<Request>) {
    let context = TctiNameConf::from_str(tcti)
        .map_err(|_| "the address is not understood; it looks like device:/dev/tpmrm0 or swtpm:host=127.0.0.1,port=2321".to_owned())
        .and_then(|address| Context::new(address).map_err(|error| format!("is it switched on, and may this user open it? ({error})")));
    let mut owner = match context {
        Ok(context) => Owner { context, keys: HashMap::new() },
        Err(reason) => {
            let _ = connected.send(Err(reason));
            return;
        }
    };
    let _ = connected.send(Ok(()));
    for request in incoming {
        match request {
            Request::Key { handle, kind, reply } => drop(reply.send(owner.key(handle, kind))),
            Request::Sign { handle, digest, reply } => drop(reply.send(owner.sign(handle, &digest))),
            Request::NvRead { index, reply } => drop(reply.send(owner.nv_read(index))),
            Request::NvWrite { index, bytes, reply } => drop(reply.send(owner.nv_write(index, &bytes))),
        }
    }
}

struct Owner {
    context: Context,
    /// Keys that were checked, by persistent handle.
    keys: HashMap<u32, (KeyHandle, Form)>,
}

impl Owner {
    fn key(&mut self, handle: u32, kind: Kind) -> Result<PublicKey, TpmError> {
        let persistent = PersistentTpmHandle::new(handle)
            .map_err(|_| TpmError::NotOurs { handle, reason: "not a persistent handle (0x81000000 to 0x817fffff)" })?;
        let form = kind.choose(|curve| self.has_curve(curve))?;
        if !self.is_taken(handle)? {
            self.make_key(persistent, form)?;
        }
        self.key_of(persistent, form)
    }

    fn key_of(&mut self, persistent: PersistentTpmHandle, form: Form) -> Result<PublicKey, TpmError> {
        let handle = u32::from(persistent);
        let object = self
            .context
            .execute_without_session(|context| context.tr_from_tpm_public(TpmHandle::Persistent(persistent)))
            .map_err(refused("TPM2_ReadPublic"))?;
        let key = KeyHandle::from(object);
        let (public, _, _) =
            self.context.execute_without_session(|context| context.read_public(key)).map_err(refused("TPM2_ReadPublic"))?;
        let public_key = check_public(&public, form).map_err(|reason| TpmError::NotOurs { handle, reason })?;
        self.keys.insert(handle, (key, form));
        Ok(public_key)
    }

    /// Asks for one curve: a list of all could name some that this library does not know, and be refused for it.
    fn has_curve(&mut self, curve: EccCurve) -> Result<bool, TpmError> {
        let number = u32::from(TPM2_ECC_CURVE::from(curve));
        match self.context.execute_without_session(|context| context.get_capability(CapabilityType::EccCurves, number, 1)) {
            // The list begins with the first curve at or above the one that was asked for.
            Ok((CapabilityData::EccCurves(curves), _)) => Ok(curves.into_inner().first() == Some(&curve.into())),
            Ok(_) | Err(tss_esapi::Error::WrapperError(_)) => Ok(false),
            Err(error) => Err(refused("TPM2_GetCapability")(error)),
        }
    }

    /// Asks for the list of handles: reading an empty one would be an error that can not be told from others.
    fn is_taken(&mut self, handle: u32) -> Result<bool, TpmError> {
        const COMMAND: &str = "TPM2_GetCapability";
        let (data, _) = self
            .context
            .execute_without_session(|context| context.get_capability(CapabilityType::Handles, handle, 1))
            .map_err(refused(COMMAND))?;
        let CapabilityData::Handles(handles) = data else {
            return Err(TpmError::Command { command: COMMAND, reason: "it answered something else than was asked".into() });
        };
        // The list begins with the first handle at or above the one that was asked for.
        Ok(handles.into_inner().first().is_some_and(|first| u32::from(*first) == handle))
    }

    /// Makes the key under the storage root key and lets it persist. Nothing transient stays behind, whatever fails: small TPMs have
    /// three slots.
    fn make_key(&mut self, persistent: PersistentTpmHandle, form: Form) -> Result<(), TpmError> {
        let root = self
            .context
            .execute_with_session(SESSION, |context| context.create_primary(Hierarchy::Owner, storage_root(form)?, None, None, None, None))
            .map_err(refused("TPM2_CreatePrimary (is the owner hierarchy protected by a password?)"))?
            .key_handle;
        let made = self
            .context
            .execute_with_session(SESSION, |context| {
                let key = context.create(root, signing_key(form)?, None, None, None, None)?;
                context.load(root, key.out_private, key.out_public)
            })
            .map_err(refused("TPM2_Create"));
        let root_flushed = self.flush(root);
        let key = made?;
        let kept = self
            .context
            .execute_with_session(SESSION, |context| {
                context.evict_control(Provision::Owner, key.into(), Persistent::Persistent(persistent))
            })
            .map_err(refused("TPM2_EvictControl (is its storage full? tpm2_getcap handles-persistent lists what is there)"));
        let key_flushed = self.flush(key);
        kept.and(root_flushed).and(key_flushed)
    }

    fn flush(&mut self, key: KeyHandle) -> Result<(), TpmError> {
        self.context.flush_context(ObjectHandle::from(key)).map_err(refused("TPM2_FlushContext"))
    }

    fn sign(&mut self, handle: u32, digest: &[u8]) -> Result<Vec<u8>, TpmError> {
        const COMMAND: &str = "TPM2_Sign";
        let (key, form) = *self.keys.get(&handle).expect("a key exists only after its handle was checked by this thread");
        let signature = self
            .context
            .execute_with_session(SESSION, |context| {
                context.sign(key, Digest::try_from(digest)?, SignatureScheme::EcDsa { hash_scheme: form.scheme() }, no_ticket()?)
            })
            .map_err(refused(COMMAND))?;
        let malformed =
            || TpmError::Command { command: COMMAND, reason: "it answered something else than a signature of the key's curve".into() };
        let Signature::EcDsa(signature) = signature else { return Err(malformed()) };
        let mut bytes = vec![0; 2 * form.scalar_bytes()];
        let (r, s) = bytes.split_at_mut(form.scalar_bytes());
        pad_left(signature.signature_r().value(), r).ok_or_else(malformed)?;
        pad_left(signature.signature_s().value(), s).ok_or_else(malformed)?;
        Ok(bytes)
    }
}

/// A TPM may leave out leading zeros.
fn pad_left(value: &[u8], into: &mut [u8]) -> Option<()> {
    let start = into.len().checked_sub(value.len())?;
    into[..start].fill(0);
    into[start..].copy_from_slice(value);
    Some(())
}

/// The public key, if it is of a key as [`signing_key`] asks for, attribute by attribute.
fn check_public(public: &Public, form: Form) -> Result<PublicKey, &'static str> {
    let Public::Ecc { object_attributes, name_hashing_algorithm, auth_policy, parameters, unique } = public else {
        return Err("it is not an elliptic-curve key");
    };
    if *parameters != signing_parameters(form).map_err(|_| "its parameters can not be compared")? {
        return Err(form.is_not_ours());
    }
    check_attributes(*object_attributes)?;
    if *name_hashing_algorithm != form.name_hash() {
        return Err("its name is not a hash of the function that we name keys by");
    }
    if !auth_policy.value().is_empty() {
        return Err("it has a policy of its own");
    }
    let mut point = vec![0; 1 + 2 * form.scalar_bytes()];
    point[0] = 4; // SEC 1: uncompressed.
    let (x, y) = point[1..].split_at_mut(form.scalar_bytes());
    pad_left(unique.x().value(), x).and(pad_left(unique.y().value(), y)).ok_or("its point is too long")?;
    PublicKey::from_sec1(&point).map_err(|_| "its point is not on the curve")
}

/// The attributes that make it a device's key, each with the harm that its lack would do; then that there is no other.
fn check_attributes(attributes: ObjectAttributes) -> Result<(), &'static str> {
    let required = [
        (attributes.fixed_tpm(), "it could be moved to another TPM (fixedTPM is not set)"),
        (attributes.fixed_parent(), "it could be moved to another parent (fixedParent is not set)"),
        (attributes.sensitive_data_origin(), "it was made outside the TPM (sensitiveDataOrigin is not set)"),
        (attributes.sign_encrypt(), "it can not sign"),
        (!attributes.restricted(), "it is restricted to what the TPM itself says"),
        (!attributes.decrypt(), "it can also be used for key agreement"),
        (attributes.user_with_auth(), "it can not be used with its own authorisation (userWithAuth is not set)"),
        (attributes.no_da(), "wrong passwords elsewhere could lock it (noDA is not set)"),
    ];
    for (holds, reason) in required {
        if !holds {
            return Err(reason);
        }
    }
    match signing_attributes() {
        Ok(ours) if attributes == ours => Ok(()),
        _ => Err("it has an attribute that we never set"),
    }
}

fn signing_attributes() -> tss_esapi::Result<ObjectAttributes> {
    ObjectAttributesBuilder::new()
        .with_fixed_tpm(true)
        .with_fixed_parent(true)
        .with_sensitive_data_origin(true)
        .with_user_with_auth(true)
        .with_no_da(true)
        .with_sign_encrypt(true)
        .build()
}

fn signing_parameters(form: Form) -> tss_esapi::Result<PublicEccParameters> {
    PublicEccParametersBuilder::new()
        .with_ecc_scheme(EccScheme::EcDsa(form.scheme()))
        .with_curve(form.curve)
        .with_is_signing_key(true)
        .with_key_derivation_function_scheme(KeyDerivationFunctionScheme::Null)
        .with_symmetric(SymmetricDefinitionObject::Null)
        .build()
}

fn signing_key(form: Form) -> tss_esapi::Result<Public> {
    ecc_public(signing_attributes()?, signing_parameters(form)?, form.name_hash())
}

/// The storage root key: a primary key, so the TPM makes the same one again each time and it need not persist.
fn storage_root(form: Form) -> tss_esapi::Result<Public> {
    let attributes = ObjectAttributesBuilder::new()
        .with_fixed_tpm(true)
        .with_fixed_parent(true)
        .with_sensitive_data_origin(true)
        .with_user_with_auth(true)
        .with_no_da(true)
        .with_decrypt(true)
        .with_restricted(true)
        .build()?;
    // As strong as what it protects, and of what a TPM has that has the curve.
    let symmetric =
        if form.curve == EccCurve::NistP256 { SymmetricDefinitionObject::AES_128_CFB } else { SymmetricDefinitionObject::AES_256_CFB };
    let parameters = PublicEccParametersBuilder::new_restricted_decryption_key(symmetric, form.curve).build()?;
    ecc_public(attributes, parameters, form.name_hash())
}

fn ecc_public(attributes: ObjectAttributes, parameters: PublicEccParameters, name: HashingAlgorithm) -> tss_esapi::Result<Public> {
    PublicBuilder::new()
        .with_public_algorithm(PublicAlgorithm::Ecc)
        .with_name_hashing_algorithm(name)
        .with_object_attributes(attributes)
        .with_ecc_parameters(parameters)
        .with_ecc_unique_identifier(EccPoint::default())
        .build()
}

/// "This digest was not made by the TPM": allowed, since the key is not restricted.
fn no_ticket() -> tss_esapi::Result<HashcheckTicket> {
    TPMT_TK_HASHCHECK { tag: StructureTag::Hashcheck.into(), hierarchy: TPM2_RH_NULL, digest: Default::default() }.try_into()
}

fn refused(command: &'static str) -> impl Fn(tss_esapi::Error) -> TpmError {
    move |error| TpmError::Command { command, reason: error.to_string() }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use exhibit_pki::{RustCrypto, Signer, SignerError, Verifier as _};

    use super::*;

    fn public(attributes: ObjectAttributes, parameters: PublicEccParameters) -> Public {
        ecc_public(attributes, parameters, HashingAlgorithm::Sha384).unwrap()
    }

    fn with(curves: &[EccCurve]) -> impl FnMut(EccCurve) -> Result<bool, TpmError> {
        move |curve| Ok(curves.contains(&curve))
    }

    #[test]
    fn a_devices_key_is_on_p_256_where_there_is_no_p_384_and_nowhere_else() {
        use EccCurve::{BnP256, NistP256, NistP384, NistP521};
        for (curves, device, note) in [
            (&[NistP256, NistP384][..], Some(DEVICE_P384), Some(NOTE)),
            (&[NistP384], Some(DEVICE_P384), Some(NOTE)),
            (&[NistP256], Some(DEVICE_P256), None),
            (&[NistP521, BnP256], None, None),
        ] {
            assert_eq!(Kind::Device.choose(with(curves)).ok(), device, "{curves:?}");
            assert_eq!(Kind::Note.choose(with(curves)).ok(), note, "{curves:?}");
        }
        let told = |kind: Kind| kind.choose(with(&[])).unwrap_err().to_string();
        assert!(told(Kind::Device).contains("neither P-384 nor P-256") && told(Kind::Note).contains("no P-384"));
        let unanswered = Kind::Device.choose(|_| Err(TpmError::Command { command: "TPM2_GetCapability", reason: "it is off".to_owned() }));
        assert!(matches!(unanswered, Err(TpmError::Command { .. })), "a TPM that does not answer was said to lack a curve");
    }

    /// What a TPM said to a digest.
    struct Said(PublicKey, Vec<u8>);

    impl Signer for Said {
        fn public_key(&self) -> &PublicKey {
            &self.0
        }

        fn sign_digest(&self, _: &[u8]) -> Result<Vec<u8>, SignerError> {
            Ok(self.1.clone())
        }
    }

    /// What a TPM without P-384 does, by one that has both.
    #[test]
    fn a_key_on_p_256_is_made_found_again_and_signs() {
        let folder = tempfile::tempdir().unwrap();
        let swtpm = crate::swtpm::Swtpm::start(folder.path()).unwrap();
        let context = Context::new(TctiNameConf::from_str(&swtpm.tcti()).unwrap()).unwrap();
        let mut owner = Owner { context, keys: HashMap::new() };
        assert!(owner.has_curve(EccCurve::NistP256).unwrap() && owner.has_curve(EccCurve::NistP384).unwrap());
        let handle = PersistentTpmHandle::new(0x8101_0102).unwrap();
        owner.make_key(handle, DEVICE_P256).unwrap();
        let made = owner.key_of(handle, DEVICE_P256).unwrap();
        assert_eq!(owner.key_of(handle, DEVICE_P256).unwrap(), made);
        let message = b"a statement";
        for _ in 0..16 {
            let signature = owner.sign(0x8101_0102, &made.suite().digest(message)).unwrap();
            let signature = Said(made.clone(), signature).sign(message).unwrap();
            RustCrypto.verify(&made, message, &signature).unwrap();
        }
        // With P-384 it is not the key that we would have made.
        assert!(matches!(owner.key(0x8101_0102, Kind::Device), Err(TpmError::NotOurs { .. })));
    }

    /// A reason per defect: what another program may have left at our handle.
    #[test]
    fn a_key_of_another_kind_is_not_ours() {
        let ours = || {
            ObjectAttributesBuilder::new()
                .with_fixed_tpm(true)
                .with_fixed_parent(true)
                .with_sensitive_data_origin(true)
                .with_user_with_auth(true)
                .with_no_da(true)
                .with_sign_encrypt(true)
        };
        for (attributes, expected) in [
            (ours().with_fixed_tpm(false), "fixedTPM"),
            (ours().with_fixed_parent(false), "fixedParent"),
            (ours().with_sensitive_data_origin(false), "sensitiveDataOrigin"),
            (ours().with_user_with_auth(false), "userWithAuth"),
            (ours().with_no_da(false), "noDA"),
            (ours().with_sign_encrypt(false).with_decrypt(true), "can not sign"),
            (ours().with_restricted(true), "restricted"),
            (ours().with_decrypt(true), "key agreement"),
            (ours().with_st_clear(true), "never set"),
            (ours().with_admin_with_policy(true), "never set"),
        ] {
            // Some of these no TPM would keep: the check must not lean on that. So bits are built without the builder's own checks.
            let bits = attributes.build().unwrap();
            let reason = check_attributes(bits).unwrap_err();
            assert!(reason.contains(expected), "{expected}: {reason}");
        }
        assert_eq!(check_attributes(ours().build().unwrap()), Ok(()));
    }

    #[test]
    fn a_key_of_another_curve_or_hash_is_not_ours() {
        let parameters =
            |curve, hash| PublicEccParametersBuilder::new_unrestricted_signing_key(EccScheme::EcDsa(HashScheme::new(hash)), curve);
        for (curve, hash, expected) in
            [(EccCurve::NistP256, HashingAlgorithm::Sha384, "on P-384"), (EccCurve::NistP384, HashingAlgorithm::Sha256, "SHA-384 alone")]
        {
            let other = public(signing_attributes().unwrap(), parameters(curve, hash).build().unwrap());
            assert!(check_public(&other, DEVICE_P384).unwrap_err().contains(expected));
        }
    }

    /// Each kind signs what the other does not: a statement can not be passed off as a note.
    #[test]
    fn a_devices_key_signs_no_notes() {
        let made = |form| public(signing_attributes().unwrap(), signing_parameters(form).unwrap());
        assert!(check_public(&made(DEVICE_P384), NOTE).unwrap_err().contains("SHA-256 alone"));
        assert!(check_public(&made(NOTE), DEVICE_P384).unwrap_err().contains("SHA-384 alone"));
        assert!(check_public(&made(DEVICE_P384), DEVICE_P256).unwrap_err().contains("P-256"));
    }

    #[test]
    fn a_key_with_another_name_a_policy_or_a_wrong_point_is_not_ours() {
        let unique = || EccPoint::new(vec![1; 48].try_into().unwrap(), vec![2; 48].try_into().unwrap());
        let made = |hash, policy: &[u8], unique| {
            PublicBuilder::new()
                .with_public_algorithm(PublicAlgorithm::Ecc)
                .with_name_hashing_algorithm(hash)
                .with_auth_policy(policy.to_vec().try_into().unwrap())
                .with_object_attributes(signing_attributes().unwrap())
                .with_ecc_parameters(signing_parameters(DEVICE_P384).unwrap())
                .with_ecc_unique_identifier(unique)
                .build()
                .unwrap()
        };
        for (key, expected) in [
            (made(HashingAlgorithm::Sha256, &[], unique()), "name is not"),
            (made(HashingAlgorithm::Sha384, &[7; 48], unique()), "policy"),
            (made(HashingAlgorithm::Sha384, &[], unique()), "not on the curve"),
        ] {
            let reason = check_public(&key, DEVICE_P384).unwrap_err();
            assert!(reason.contains(expected), "{expected}: {reason}");
        }
    }

    /// The defect that this prevents: a signature of 95 bytes, once in 128 times.
    #[test]
    fn short_scalars_are_padded_on_the_left_and_long_ones_refused() {
        let mut into = [0xff; 4];
        pad_left(&[1, 2], &mut into).unwrap();
        assert_eq!(into, [0, 0, 1, 2]);
        assert_eq!(pad_left(&[0; 5], &mut into), None);
    }
}

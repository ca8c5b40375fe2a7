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
    tss2_esys::TPMT_TK_HASHCHECK,
};

use crate::TpmError;

/// A coordinate or scalar of P-384.
const SCALAR_BYTES: usize = 48;
/// Our objects have no password: whoever may open the TPM may use the key, and the operating system says who may open it.
const SESSION: Option<AuthSession> = Some(AuthSession::Password);

/// What the thread is asked to do.
#[derive(Debug)]
pub(crate) enum Request {
    /// Finds the key at a persistent handle, or makes it.
    Key { handle: u32, kind: Kind, reply: Sender<Result<PublicKey, TpmError>> },
    /// Signs with a key that was found before; r and s, each padded on the left. The digest is as long as the key's kind has it.
    Sign { handle: u32, kind: Kind, digest: Vec<u8>, reply: Sender<Result<[u8; 96], TpmError>> },
    /// Reads an index of non-volatile storage.
    NvRead { index: u32, reply: Sender<Result<Option<Vec<u8>>, TpmError>> },
    /// Writes one.
    NvWrite { index: u32, bytes: Vec<u8>, reply: Sender<Result<(), TpmError>> },
}

/// What a P-384 key signs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Digests of SHA-384: a device's statements.
    Device,
    /// Digests of SHA-256: a log's notes, for which no other digest is computed in the field (docs/formats/log.md).
    Note,
}

impl Kind {
    fn hash(self) -> HashScheme {
        HashScheme::new(match self {
            Self::Device => HashingAlgorithm::Sha384,
            Self::Note => HashingAlgorithm::Sha256,
        })
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
            Request::Sign { handle, kind, digest, reply } => drop(reply.send(owner.sign(handle, kind, &digest))),
            Request::NvRead { index, reply } => drop(reply.send(owner.nv_read(index))),
            Request::NvWrite { index, bytes, reply } => drop(reply.send(owner.nv_write(index, &bytes))),
        }
    }
}

struct Owner {
    context: Context,
    /// Keys that were checked, by persistent handle.
    keys: HashMap<u32, KeyHandle>,
}

impl Owner {
    fn key(&mut self, handle: u32, kind: Kind) -> Result<PublicKey, TpmError> {
        let persistent = PersistentTpmHandle::new(handle)
            .map_err(|_| TpmError::NotOurs { handle, reason: "not a persistent handle (0x81000000 to 0x817fffff)" })?;
        if !self.is_taken(handle)? {
            self.make_key(persistent, kind)?;
        }
        let object = self
            .context
            .execute_without_session(|context| context.tr_from_tpm_public(TpmHandle::Persistent(persistent)))
            .map_err(refused("TPM2_ReadPublic"))?;
        let key = KeyHandle::from(object);
        let (public, _, _) =
            self.context.execute_without_session(|context| context.read_public(key)).map_err(refused("TPM2_ReadPublic"))?;
        let public_key = check_public(&public, kind).map_err(|reason| TpmError::NotOurs { handle, reason })?;
        self.keys.insert(handle, key);
        Ok(public_key)
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
    fn make_key(&mut self, persistent: PersistentTpmHandle, kind: Kind) -> Result<(), TpmError> {
        let root = self
            .context
            .execute_with_session(SESSION, |context| context.create_primary(Hierarchy::Owner, storage_root()?, None, None, None, None))
            .map_err(refused("TPM2_CreatePrimary (is the owner hierarchy protected by a password?)"))?
            .key_handle;
        let made = self
            .context
            .execute_with_session(SESSION, |context| {
                let key = context.create(root, signing_key(kind)?, None, None, None, None)?;
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

    fn sign(&mut self, handle: u32, kind: Kind, digest: &[u8]) -> Result<[u8; 96], TpmError> {
        const COMMAND: &str = "TPM2_Sign";
        let key = *self.keys.get(&handle).expect("a key exists only after its handle was checked by this thread");
        let signature = self
            .context
            .execute_with_session(SESSION, |context| {
                context.sign(key, Digest::try_from(digest)?, SignatureScheme::EcDsa { hash_scheme: kind.hash() }, no_ticket()?)
            })
            .map_err(refused(COMMAND))?;
        let malformed =
            || TpmError::Command { command: COMMAND, reason: "it answered something else than an ECDSA P-384 signature".into() };
        let Signature::EcDsa(signature) = signature else { return Err(malformed()) };
        let mut bytes = [0; 2 * SCALAR_BYTES];
        let (r, s) = bytes.split_at_mut(SCALAR_BYTES);
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
fn check_public(public: &Public, kind: Kind) -> Result<PublicKey, &'static str> {
    let Public::Ecc { object_attributes, name_hashing_algorithm, auth_policy, parameters, unique } = public else {
        return Err("it is not an elliptic-curve key");
    };
    if parameters.ecc_curve() != EccCurve::NistP384 {
        return Err("it is not on P-384");
    }
    if *parameters != signing_parameters(kind).map_err(|_| "its parameters can not be compared")? {
        return Err(match kind {
            Kind::Device => "it is not made for ECDSA with SHA-384 alone",
            Kind::Note => "it is not made for ECDSA with SHA-256 alone",
        });
    }
    check_attributes(*object_attributes)?;
    if *name_hashing_algorithm != HashingAlgorithm::Sha384 {
        return Err("its name is not a SHA-384 hash");
    }
    if !auth_policy.value().is_empty() {
        return Err("it has a policy of its own");
    }
    let mut point = [0; 1 + 2 * SCALAR_BYTES];
    point[0] = 4; // SEC 1: uncompressed.
    let (x, y) = point[1..].split_at_mut(SCALAR_BYTES);
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

fn signing_parameters(kind: Kind) -> tss_esapi::Result<PublicEccParameters> {
    PublicEccParametersBuilder::new()
        .with_ecc_scheme(EccScheme::EcDsa(kind.hash()))
        .with_curve(EccCurve::NistP384)
        .with_is_signing_key(true)
        .with_key_derivation_function_scheme(KeyDerivationFunctionScheme::Null)
        .with_symmetric(SymmetricDefinitionObject::Null)
        .build()
}

fn signing_key(kind: Kind) -> tss_esapi::Result<Public> {
    ecc_public(signing_attributes()?, signing_parameters(kind)?)
}

/// The storage root key: a primary key, so the TPM makes the same one again each time and it need not persist.
fn storage_root() -> tss_esapi::Result<Public> {
    let attributes = ObjectAttributesBuilder::new()
        .with_fixed_tpm(true)
        .with_fixed_parent(true)
        .with_sensitive_data_origin(true)
        .with_user_with_auth(true)
        .with_no_da(true)
        .with_decrypt(true)
        .with_restricted(true)
        .build()?;
    let parameters =
        PublicEccParametersBuilder::new_restricted_decryption_key(SymmetricDefinitionObject::AES_256_CFB, EccCurve::NistP384).build()?;
    ecc_public(attributes, parameters)
}

fn ecc_public(attributes: ObjectAttributes, parameters: PublicEccParameters) -> tss_esapi::Result<Public> {
    PublicBuilder::new()
        .with_public_algorithm(PublicAlgorithm::Ecc)
        .with_name_hashing_algorithm(HashingAlgorithm::Sha384)
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

    use super::*;

    fn public(attributes: ObjectAttributes, parameters: PublicEccParameters) -> Public {
        ecc_public(attributes, parameters).unwrap()
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
        for (curve, hash, expected) in [
            (EccCurve::NistP256, HashingAlgorithm::Sha384, "not on P-384"),
            (EccCurve::NistP384, HashingAlgorithm::Sha256, "SHA-384 alone"),
        ] {
            let other = public(signing_attributes().unwrap(), parameters(curve, hash).build().unwrap());
            assert!(check_public(&other, Kind::Device).unwrap_err().contains(expected));
        }
    }

    /// Each kind signs what the other does not: a statement can not be passed off as a note.
    #[test]
    fn a_devices_key_signs_no_notes() {
        let made = |kind| public(signing_attributes().unwrap(), signing_parameters(kind).unwrap());
        assert!(check_public(&made(Kind::Device), Kind::Note).unwrap_err().contains("SHA-256 alone"));
        assert!(check_public(&made(Kind::Note), Kind::Device).unwrap_err().contains("SHA-384 alone"));
    }

    #[test]
    fn a_key_with_another_name_a_policy_or_a_wrong_point_is_not_ours() {
        let unique = || EccPoint::new(vec![1; SCALAR_BYTES].try_into().unwrap(), vec![2; SCALAR_BYTES].try_into().unwrap());
        let made = |hash, policy: &[u8], unique| {
            PublicBuilder::new()
                .with_public_algorithm(PublicAlgorithm::Ecc)
                .with_name_hashing_algorithm(hash)
                .with_auth_policy(policy.to_vec().try_into().unwrap())
                .with_object_attributes(signing_attributes().unwrap())
                .with_ecc_parameters(signing_parameters(Kind::Device).unwrap())
                .with_ecc_unique_identifier(unique)
                .build()
                .unwrap()
        };
        for (key, expected) in [
            (made(HashingAlgorithm::Sha256, &[], unique()), "name is not"),
            (made(HashingAlgorithm::Sha384, &[7; 48], unique()), "policy"),
            (made(HashingAlgorithm::Sha384, &[], unique()), "not on the curve"),
        ] {
            let reason = check_public(&key, Kind::Device).unwrap_err();
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

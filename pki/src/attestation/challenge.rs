//! The pure half of TPM2_MakeCredential: a secret that only the TPM with this endorsement key and this attestation key can open
//! (part 1, section 24; annex C.6.4 for the key agreement).
//!
//! It draws nothing at random and remembers nothing: the caller brings secret and scalar, and compares what the TPM answers.

use aes::{
    Aes256,
    cipher::{Array, BlockCipherEncrypt, KeyInit as _},
};
use hmac::{Hmac, Mac};
use sha2::{Digest, Sha384};
use zeroize::Zeroizing;

use super::{
    endorsement::EndorsementKey,
    judge::AttestationKey,
    public::{Curve, KeyParameters},
    wire::{HashAlgorithm, to_tpm2b},
};
use crate::{Signer as _, SoftwareSigner};

/// What TPM2_ActivateCredential is given; its answer is the secret if the TPM holds both keys.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Challenge {
    /// TPM2B_ID_OBJECT: credentialBlob.
    pub credential_blob: Vec<u8>,
    /// TPM2B_ENCRYPTED_SECRET: secret.
    pub encrypted_secret: Vec<u8>,
}

/// Why no challenge can be made.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ChallengeError {
    /// The endorsement key is not of the template that is supported.
    #[error("challenges are made for endorsement keys on P-384 with SHA-384 and AES-256 alone")]
    Unsupported,
    /// The endorsement key's point is not on its curve.
    #[error("the endorsement key is not on its curve")]
    NotOnCurve,
    /// The scalar is 0 or not below the order of the curve: draw again.
    #[error("the random number is not a private key; draw another")]
    Scalar,
}

impl EndorsementKey {
    /// Wraps `secret`, which the caller drew and tells nobody, for the TPM that holds this key and `attestation_key`.
    ///
    /// `ephemeral_scalar` is drawn for this one challenge, and forgotten.
    pub fn challenge(
        &self,
        attestation_key: &AttestationKey,
        secret: &[u8; 32],
        ephemeral_scalar: &Zeroizing<[u8; 48]>,
    ) -> Result<Challenge, ChallengeError> {
        let public = self.public();
        let KeyParameters::Ecc { curve: Curve::P384, point, .. } = public.parameters() else { return Err(ChallengeError::Unsupported) };
        if public.name_algorithm() != HashAlgorithm::Sha384 || public.storage_key_bits() != Some(AES_KEY_BITS) {
            return Err(ChallengeError::Unsupported);
        }
        let ephemeral = SoftwareSigner::from_scalar(ephemeral_scalar).map_err(|_| ChallengeError::Scalar)?;
        let shared = ephemeral.agree(point).map_err(|_| ChallengeError::NotOnCurve)?;
        let (ephemeral_x, ephemeral_y) = coordinates(ephemeral.public_key().as_bytes());
        let seed = derive_from_agreement(&shared, ephemeral_x, coordinates(point).0);
        let name = attestation_key.name();

        let cipher_key = derive(&seed, b"STORAGE", name.as_bytes(), AES_KEY_BITS.into());
        let mut identity = Zeroizing::new(to_tpm2b(secret));
        encrypt_cfb(cipher_key[..AES_KEY_BYTES].try_into().expect("AES-256 has 32 bytes"), &mut identity);
        let integrity_key = derive(&seed, b"INTEGRITY", &[], HASH_BITS);
        let mut integrity = mac(integrity_key.as_slice());
        integrity.update(&identity);
        integrity.update(name.as_bytes());
        let integrity = integrity.finalize().into_bytes();

        Ok(Challenge {
            credential_blob: to_tpm2b(&[to_tpm2b(&integrity).as_slice(), &identity].concat()),
            encrypted_secret: to_tpm2b(&[to_tpm2b(ephemeral_x), to_tpm2b(ephemeral_y)].concat()),
        })
    }
}

/// x and y of an uncompressed point.
fn coordinates(point: &[u8]) -> (&[u8], &[u8]) {
    point[1..].split_at(Curve::P384.coordinate_bytes())
}

/// KDFe with SHA-384 for 384 bits, which is one round (part 1, section 11.4.10.3).
fn derive_from_agreement(shared: &[u8; 48], ephemeral_x: &[u8], endorsement_x: &[u8]) -> Zeroizing<[u8; 48]> {
    let hash = Sha384::new().chain_update(FIRST_ROUND).chain_update(shared).chain_update(b"IDENTITY\0");
    Zeroizing::new(hash.chain_update(ephemeral_x).chain_update(endorsement_x).finalize().into())
}

/// KDFa with SHA-384 for at most 384 bits, which is one round (part 1, section 11.4.10.2). The caller takes the first `bits`.
fn derive(seed: &[u8; 48], label: &[u8], context: &[u8], bits: u32) -> Zeroizing<[u8; 48]> {
    let mut round = mac(seed);
    for part in [&FIRST_ROUND, label, &[0], context, &bits.to_be_bytes()] {
        round.update(part);
    }
    Zeroizing::new(round.finalize().into_bytes().into())
}

fn mac(key: &[u8]) -> Hmac<Sha384> {
    Hmac::new_from_slice(key).expect("HMAC takes keys of any length")
}

/// AES-256 in CFB with whole blocks of feedback and an initial vector of zeros. The key is used for this once.
fn encrypt_cfb(key: &[u8; AES_KEY_BYTES], bytes: &mut [u8]) {
    let cipher = Aes256::new(key.into());
    let mut feedback = Array::from([0; AES_BLOCK_BYTES]);
    for block in bytes.chunks_mut(AES_BLOCK_BYTES) {
        cipher.encrypt_block(&mut feedback);
        for (byte, mask) in block.iter_mut().zip(&feedback) {
            *byte ^= mask;
        }
        feedback[..block.len()].copy_from_slice(block);
    }
}

const AES_KEY_BYTES: usize = 32;
const AES_KEY_BITS: u16 = 256;
const AES_BLOCK_BYTES: usize = 16;
/// The length of SHA-384's digests.
const HASH_BITS: u32 = 384;
/// The counter of the first round of either derivation.
const FIRST_ROUND: [u8; 4] = 1_u32.to_be_bytes();

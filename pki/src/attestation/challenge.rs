//! The pure half of TPM2_MakeCredential: a secret that only the TPM with this endorsement key and this attestation key can open
//! (part 1, section 24; annex B.10.4 for RSA, annex C.6.4 for the key agreement).
//!
//! It draws nothing at random and remembers nothing: the caller brings the randomness, and compares what the TPM answers.

use aes::{
    Aes128, Aes256,
    cipher::{Array, BlockCipherEncrypt, KeyInit, typenum::Unsigned as _},
};
use hmac::{Hmac, Mac};
use p256::elliptic_curve::{ecdh::diffie_hellman, sec1::ToSec1Point as _};
use sha2::{Digest, Sha256, Sha384};
use zeroize::Zeroizing;

use super::{endorsement::EndorsementKey, judge::AttestationKey, public::KeyParameters, suite::EndorsementSuite, wire::to_tpm2b};
use crate::{
    Signer as _, SoftwareSigner,
    signature::{encrypt_oaep_2048, parse_p256_point},
};

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
    /// The endorsement key's point is not on its curve, or its modulus is even.
    #[error("the endorsement key is not a key: its point is not on the curve, or its modulus is even")]
    NotAKey,
    /// What was drawn as a scalar is 0 or not below the order of the curve: draw again.
    #[error("the random bytes are not a private key; draw others")]
    Scalar,
}

impl EndorsementKey {
    /// Wraps `secret`, which the caller drew and tells nobody, for the TPM that holds this key and `attestation_key`.
    ///
    /// `randomness` is drawn for this one challenge, and forgotten. It begins with the ephemeral scalar of 48 or 32 bytes; for RSA it is 32 bytes of the
    /// seed and 32 of OAEP's. What a suite has no use for is left.
    pub fn challenge(
        &self,
        attestation_key: &AttestationKey,
        secret: &[u8; 32],
        randomness: &Zeroizing<[u8; CHALLENGE_RANDOM_BYTES]>,
    ) -> Result<Challenge, ChallengeError> {
        let (seed, encrypted_secret) = match (self.suite(), self.public().parameters()) {
            (EndorsementSuite::Rsa2048, KeyParameters::Rsa { modulus, .. }) => wrap_seed(modulus, randomness)?,
            (EndorsementSuite::EccP384, KeyParameters::Ecc { point, .. }) => agree::<Sha384>(&agree_p384(point, randomness)?, point),
            (EndorsementSuite::EccP256, KeyParameters::Ecc { point, .. }) => agree::<Sha256>(&agree_p256(point, randomness)?, point),
            _ => unreachable!("the suite was found by the kind of key"),
        };
        let name = attestation_key.name();
        let credential_blob = match self.suite() {
            EndorsementSuite::EccP384 => credential::<Hmac<Sha384>, Aes256>(&seed, name.as_bytes(), secret),
            EndorsementSuite::EccP256 | EndorsementSuite::Rsa2048 => credential::<Hmac<Sha256>, Aes128>(&seed, name.as_bytes(), secret),
        };
        Ok(Challenge { credential_blob, encrypted_secret: to_tpm2b(&encrypted_secret) })
    }
}

/// An ephemeral key's point, and the x coordinate that it shares with the endorsement key.
struct Agreement {
    point: Vec<u8>,
    shared: Zeroizing<Vec<u8>>,
}

fn agree_p384(endorsement: &[u8], randomness: &[u8; CHALLENGE_RANDOM_BYTES]) -> Result<Agreement, ChallengeError> {
    let mut scalar = Zeroizing::new([0; 48]);
    scalar.copy_from_slice(&randomness[..48]);
    let ephemeral = SoftwareSigner::from_scalar(&scalar).map_err(|_| ChallengeError::Scalar)?;
    let shared = ephemeral.agree(endorsement).map_err(|_| ChallengeError::NotAKey)?;
    Ok(Agreement { point: ephemeral.public_key().as_bytes().to_vec(), shared: Zeroizing::new(shared.to_vec()) })
}

fn agree_p256(endorsement: &[u8], randomness: &[u8; CHALLENGE_RANDOM_BYTES]) -> Result<Agreement, ChallengeError> {
    let ephemeral = p256::SecretKey::from_slice(&randomness[..32]).map_err(|_| ChallengeError::Scalar)?;
    let peer = parse_p256_point(endorsement).ok_or(ChallengeError::NotAKey)?;
    let shared = diffie_hellman(ephemeral.to_nonzero_scalar(), peer.as_affine());
    let point = ephemeral.public_key().to_sec1_point(false).as_bytes().to_vec();
    Ok(Agreement { point, shared: Zeroizing::new(shared.raw_secret_bytes().to_vec()) })
}

/// KDFe for as many bits as the hash has, which is one round (part 1, section 11.4.10.3): the seed, and the ephemeral point as a TPMS_ECC_POINT.
fn agree<H: Digest>(agreement: &Agreement, endorsement: &[u8]) -> (Zeroizing<Vec<u8>>, Vec<u8>) {
    let ((x, y), (endorsement_x, _)) = (coordinates(&agreement.point), coordinates(endorsement));
    let hash = H::new().chain_update(FIRST_ROUND).chain_update(&*agreement.shared).chain_update(IDENTITY);
    let seed = Zeroizing::new(hash.chain_update(x).chain_update(endorsement_x).finalize().to_vec());
    (seed, [to_tpm2b(x), to_tpm2b(y)].concat())
}

/// x and y of an uncompressed point.
fn coordinates(point: &[u8]) -> (&[u8], &[u8]) {
    point[1..].split_at(point.len() / 2)
}

/// A drawn seed, and it encrypted to the endorsement key: OAEP with the hash of its name and the label of what it is for.
fn wrap_seed(modulus: &[u8], randomness: &[u8; CHALLENGE_RANDOM_BYTES]) -> Result<(Zeroizing<Vec<u8>>, Vec<u8>), ChallengeError> {
    let ([seed, oaep], []) = randomness.as_chunks::<32>() else { unreachable!("64 bytes are two times 32") };
    let encrypted = encrypt_oaep_2048(modulus, IDENTITY, seed, oaep).ok_or(ChallengeError::NotAKey)?;
    Ok((Zeroizing::new(seed.to_vec()), encrypted))
}

/// TPM2B_ID_OBJECT (part 1, section 24.4): the secret encrypted for whoever has the seed, bound to the name of the attestation key.
fn credential<M: Mac + KeyInit, C: BlockCipherEncrypt + KeyInit>(seed: &[u8], name: &[u8], secret: &[u8; 32]) -> Vec<u8> {
    let cipher_bytes = C::KeySize::USIZE;
    let cipher_key = derive::<M>(seed, b"STORAGE", name, cipher_bytes);
    let mut identity = Zeroizing::new(to_tpm2b(secret));
    encrypt_cfb::<C>(&cipher_key, &mut identity);
    let integrity_key = derive::<M>(seed, b"INTEGRITY", &[], M::OutputSize::USIZE);
    let integrity = mac::<M>(&integrity_key, &[&identity, name]);
    to_tpm2b(&[to_tpm2b(&integrity).as_slice(), &identity].concat())
}

/// KDFa for at most as many bits as the hash has, which is one round (part 1, section 11.4.10.2).
fn derive<M: Mac + KeyInit>(seed: &[u8], label: &[u8], context: &[u8], bytes: usize) -> Zeroizing<Vec<u8>> {
    let bits = u32::try_from(8 * bytes).expect("a key has a few hundred bits").to_be_bytes();
    let mut round = mac::<M>(seed, &[&FIRST_ROUND, label, &[0], context, &bits]);
    round.truncate(bytes);
    round
}

fn mac<M: Mac + KeyInit>(key: &[u8], parts: &[&[u8]]) -> Zeroizing<Vec<u8>> {
    let mut mac = <M as KeyInit>::new_from_slice(key).expect("HMAC takes keys of any length");
    parts.iter().for_each(|part| mac.update(part));
    Zeroizing::new(mac.finalize().into_bytes().to_vec())
}

/// AES in CFB with whole blocks of feedback and an initial vector of zeros. The key is used for this once.
fn encrypt_cfb<C: BlockCipherEncrypt + KeyInit>(key: &[u8], bytes: &mut [u8]) {
    let cipher = C::new_from_slice(key).expect("the key was derived as long as the cipher's");
    let mut feedback = Array::<u8, C::BlockSize>::default();
    for block in bytes.chunks_mut(feedback.len()) {
        cipher.encrypt_block(&mut feedback);
        for (byte, mask) in block.iter_mut().zip(&feedback) {
            *byte ^= mask;
        }
        feedback[..block.len()].copy_from_slice(block);
    }
}

/// How much randomness a challenge takes at most.
pub const CHALLENGE_RANDOM_BYTES: usize = 64;
/// What the seed is for, with the zero that ends a label.
const IDENTITY: &[u8] = b"IDENTITY\0";
/// The counter of the first round of either derivation.
const FIRST_ROUND: [u8; 4] = 1_u32.to_be_bytes();

//! Private keys in memory: on P-384 only, since other suites are for devices and cards that have no other.
//!
//! It does not know where a key is kept when it is not in memory.

use p384::{
    NistP384, SecretKey,
    ecdsa::{Signature, SigningKey, signature::hazmat::PrehashSigner},
    elliptic_curve::ecdh::diffie_hellman,
    pkcs8::{DecodePrivateKey, EncodePrivateKey, LineEnding},
};
use zeroize::Zeroizing;

use super::{PublicKey, Signer, SignerError, key::parse_p384_point};

/// A private key in memory, zeroised when dropped; deterministic ECDSA (RFC 6979).
pub struct SoftwareSigner {
    key: SigningKey,
    public_key: PublicKey,
}

/// See `SoftwareSigner::draw`.
const DRAWS_MAX: usize = 4;

impl SoftwareSigner {
    /// From a 48-byte big-endian scalar, which the caller drew at random; an error (draw again) if it is 0 or not below n.
    pub fn from_scalar(scalar: &Zeroizing<[u8; 48]>) -> Result<Self, SignerError> {
        let key = SigningKey::from_slice(scalar.as_slice()).map_err(|_| SignerError("the number is not a private key".to_owned()))?;
        Ok(Self::from_key(key))
    }

    /// A new key from the randomness that the caller fills in, which is its error if there is none. One draw in 2^190 is no key: where several in
    /// a row are none, what fills them is not random.
    pub fn draw<E>(mut fill: impl FnMut(&mut [u8]) -> Result<(), E>) -> Result<Result<Self, SignerError>, E> {
        let mut refused = SignerError("nothing was drawn".to_owned());
        for _ in 0..DRAWS_MAX {
            let mut scalar = Zeroizing::new([0; 48]);
            fill(scalar.as_mut_slice())?;
            match Self::from_scalar(&scalar) {
                Ok(key) => return Ok(Ok(key)),
                Err(error) => refused = error,
            }
        }
        Ok(Err(refused))
    }

    /// From PKCS#8, PEM (`BEGIN PRIVATE KEY`).
    pub fn from_pkcs8_pem(pem: &str) -> Result<Self, SignerError> {
        let key = SecretKey::from_pkcs8_pem(pem).map_err(|_| SignerError("it is not a P-384 private key in PKCS#8 PEM".to_owned()))?;
        Ok(Self::from_key(SigningKey::from(&key)))
    }

    /// As PKCS#8, PEM.
    pub fn to_pkcs8_pem(&self) -> Zeroizing<String> {
        SecretKey::from(&self.key).to_pkcs8_pem(LineEnding::LF).expect("a P-384 key has a PKCS#8 form")
    }

    /// The raw ECDH shared secret (48-byte x coordinate) with a peer's uncompressed SEC 1 point: for keys that unwrap.
    pub fn agree(&self, peer_sec1: &[u8]) -> Result<Zeroizing<[u8; 48]>, SignerError> {
        // A point that is not on the curve would give the private key away bit by bit.
        let peer = parse_p384_point(peer_sec1).ok_or_else(|| SignerError("the other key is not a point on P-384".to_owned()))?;
        let shared = diffie_hellman::<NistP384>(self.key.as_nonzero_scalar(), peer.as_affine());
        let mut secret = Zeroizing::new([0; 48]);
        secret.copy_from_slice(shared.raw_secret_bytes());
        Ok(secret)
    }

    fn from_key(key: SigningKey) -> Self {
        let point = key.verifying_key().to_sec1_point(false);
        let public_key = PublicKey::from_sec1(point.as_bytes()).expect("a private key's public half is a point on the curve");
        Self { key, public_key }
    }
}

impl Signer for SoftwareSigner {
    fn public_key(&self) -> &PublicKey {
        &self.public_key
    }

    fn sign_digest(&self, digest: &[u8]) -> Result<Vec<u8>, SignerError> {
        let signature: Signature = self.key.sign_prehash(digest).map_err(|error| SignerError(error.to_string()))?;
        Ok(signature.to_bytes().to_vec())
    }
}

impl std::fmt::Debug for SoftwareSigner {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SoftwareSigner").field("public_key", &hex::encode(self.public_key.as_bytes())).finish_non_exhaustive()
    }
}

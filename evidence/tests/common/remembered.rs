//! Signatures and what verified them, remembered: the logs of the tests begin alike, and both are functions of what goes into them. So each
//! is made and verified once in a process, by the code that is tested, and not hundreds of times.

use std::collections::HashMap;
use std::sync::{LazyLock, Mutex, PoisonError};

use exhibit_pki::signature::{BadSignature, RustCrypto, Verifier};
use exhibit_pki::{PublicKey, Signer, SignerError};
use sha2::{Digest, Sha256};

/// What a function gave, by the hash of what went into it.
struct Memory<T>(LazyLock<Mutex<HashMap<[u8; 32], T>>>);

impl<T: Clone> Memory<T> {
    const fn new() -> Self {
        Self(LazyLock::new(Mutex::default))
    }

    fn recall(&self, parts: &[&[u8]], make: impl FnOnce() -> T) -> T {
        let mut hasher = Sha256::new();
        for part in parts {
            hasher.update((part.len() as u64).to_be_bytes());
            hasher.update(part);
        }
        let place = hasher.finalize().into();
        let known = || self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let found = known().get(&place).cloned();
        found.unwrap_or_else(|| {
            let made = make();
            known().insert(place, made.clone());
            made
        })
    }
}

/// Pure Rust's verifier, remembered.
pub struct Remembered;

static VERIFIED: Memory<Result<(), BadSignature>> = Memory::new();

impl Verifier for Remembered {
    fn verify(&self, key: &PublicKey, message: &[u8], signature: &[u8]) -> Result<(), BadSignature> {
        VERIFIED.recall(&[&key.to_spki_der(), message, signature], || RustCrypto.verify(key, message, signature))
    }
}

/// A key whose signatures are the same every time (RFC 6979), remembered.
pub struct Remembering<'a>(pub &'a dyn Signer);

static SIGNED: Memory<Vec<u8>> = Memory::new();

impl Signer for Remembering<'_> {
    fn public_key(&self) -> &PublicKey {
        self.0.public_key()
    }

    fn sign_digest(&self, digest: &[u8]) -> Result<Vec<u8>, SignerError> {
        Ok(SIGNED.recall(&[&self.public_key().to_spki_der(), digest], || self.0.sign_digest(digest).unwrap()))
    }
}

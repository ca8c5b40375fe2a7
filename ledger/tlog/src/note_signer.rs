//! Keys that sign notes: a log's (Ed25519, ML-DSA-44) and a witness's (Ed25519 cosignatures, ML-DSA-44).
//!
//! It does not know where seeds are made or kept, nor what time it is. ECDSA keys live in TPMs, which sign elsewhere.

use std::sync::Arc;

use ed25519_dalek::Signer as _;
use ml_dsa::MlDsa44;
use zeroize::Zeroizing;

use crate::cosignature::{NO_TIME, ed25519_message, ml_dsa_44_message, ml_dsa_44_subtree_message};
use crate::note_key::PublicKey;
use crate::{Hash, NoteError, NoteSignature, Subtree, VerifierKey};

/// Signs notes: a key of a log or a witness. Keys that sign notes sign nothing else.
pub trait NoteSigner: Send + Sync {
    /// The public half.
    fn verifier_key(&self) -> &VerifierKey;
    /// Signs the note's text at `unix_s`; the bytes that follow the key id in the line (an ML-DSA-44 line carries the time, see tlog-cosignature).
    fn sign(&self, text: &str, unix_s: u64) -> Result<Vec<u8>, NoteError>;
}

/// A log's Ed25519 note key (type 0x01). Zeroised when dropped.
pub struct Ed25519NoteSigner {
    key: ed25519_dalek::SigningKey,
    verifier: VerifierKey,
}

impl Ed25519NoteSigner {
    /// From a random seed, of which the caller keeps the zeroising copy. Fails for a name that no note could carry.
    pub fn new(name: &str, seed: &Zeroizing<[u8; 32]>) -> Result<Self, NoteError> {
        let key = ed25519_dalek::SigningKey::from_bytes(seed);
        let verifier = VerifierKey::new(name, PublicKey::Ed25519(key.verifying_key()))?;
        Ok(Self { key, verifier })
    }
}

impl NoteSigner for Ed25519NoteSigner {
    fn verifier_key(&self) -> &VerifierKey {
        &self.verifier
    }

    fn sign(&self, text: &str, _unix_s: u64) -> Result<Vec<u8>, NoteError> {
        Ok(self.key.sign(text.as_bytes()).to_bytes().to_vec())
    }
}

/// A witness's Ed25519 key (type 0x04), for verifiers that have no ML-DSA-44 yet. Zeroised when dropped. What it signs does not name
/// the witness, so a seed makes one witness only.
pub struct Ed25519Cosigner {
    key: ed25519_dalek::SigningKey,
    verifier: VerifierKey,
}

impl Ed25519Cosigner {
    /// From a random seed, of which the caller keeps the zeroising copy. Fails for a name that no note could carry.
    pub fn new(name: &str, seed: &Zeroizing<[u8; 32]>) -> Result<Self, NoteError> {
        let key = ed25519_dalek::SigningKey::from_bytes(seed);
        let verifier = VerifierKey::new(name, PublicKey::Ed25519Cosignature(key.verifying_key()))?;
        Ok(Self { key, verifier })
    }
}

impl NoteSigner for Ed25519Cosigner {
    fn verifier_key(&self) -> &VerifierKey {
        &self.verifier
    }

    /// The text has to be a checkpoint.
    fn sign(&self, text: &str, unix_s: u64) -> Result<Vec<u8>, NoteError> {
        let signature = self.key.sign(&ed25519_message(unix_s, text)?);
        Ok([&unix_s.to_be_bytes()[..], &signature.to_bytes()].concat())
    }
}

/// An ML-DSA-44 note key (type 0x06) of a log or a witness: both sign cosignatures under the key's own name. Zeroised when dropped.
pub struct MlDsa44NoteSigner {
    key: ml_dsa::SigningKey<MlDsa44>,
    verifier: VerifierKey,
}

impl MlDsa44NoteSigner {
    /// From a random seed, of which the caller keeps the zeroising copy. Fails for a name that no note could carry.
    pub fn new(name: &str, seed: &Zeroizing<[u8; 32]>) -> Result<Self, NoteError> {
        let seed: &ml_dsa::Seed = (&**seed).into();
        let key = ml_dsa::SigningKey::<MlDsa44>::from_seed(seed);
        let verifier = VerifierKey::new(name, PublicKey::MlDsa44(Arc::new(key.expanded_key().verifying_key())))?;
        Ok(Self { key, verifier })
    }

    /// Cosigns a subtree of the log named `origin`, without a time. The caller has verified that it is part of a tree that this key
    /// has cosigned.
    pub fn sign_subtree(&self, origin: &str, subtree: Subtree, root: &Hash) -> Result<NoteSignature, NoteError> {
        let message = ml_dsa_44_subtree_message(self.verifier.name(), origin, subtree, root)?;
        let signature = self.timestamped(NO_TIME, &message)?;
        Ok(NoteSignature { name: self.verifier.name().to_owned(), key_id: self.verifier.key_id(), signature })
    }

    fn timestamped(&self, unix_s: u64, message: &[u8]) -> Result<Vec<u8>, NoteError> {
        // The deterministic variant, since this crate has no randomness of its own.
        let signature =
            self.key.expanded_key().sign_deterministic(message, &[]).map_err(|_| NoteError::Signature(self.verifier.label()))?;
        Ok([&unix_s.to_be_bytes()[..], &signature.encode()].concat())
    }
}

impl NoteSigner for MlDsa44NoteSigner {
    fn verifier_key(&self) -> &VerifierKey {
        &self.verifier
    }

    /// The text has to be a checkpoint: its size and root are what is signed.
    fn sign(&self, text: &str, unix_s: u64) -> Result<Vec<u8>, NoteError> {
        self.timestamped(unix_s, &ml_dsa_44_message(self.verifier.name(), unix_s, text)?)
    }
}

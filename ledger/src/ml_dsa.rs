//! The log's ML-DSA-44 note key by aws-lc-rs, five times as fast as the pure one: every batch waits for this signature.
//!
//! It does not know what a checkpoint says, nor where seeds are kept.

use aws_lc_rs::signature::{ML_DSA_44_SIGNING, PqdsaKeyPair};
use exhibit_tlog::{MlDsa44NoteSigner, NoteError, NoteSigner, VerifierKey, ml_dsa_44_message};
use zeroize::Zeroizing;

/// The same key as tlog's, from the same seed. Signatures are hedged: two of one text differ. aws-lc-rs clears the key when it is dropped.
pub struct AwsLcMlDsa44NoteSigner {
    key: PqdsaKeyPair,
    verifier: VerifierKey,
}

impl AwsLcMlDsa44NoteSigner {
    /// From a random seed, of which the caller keeps the zeroising copy. Fails for a name that no note could carry.
    pub fn new(name: &str, seed: &Zeroizing<[u8; 32]>) -> Result<Self, NoteError> {
        // The public half comes from the implementation that verifies.
        let verifier = MlDsa44NoteSigner::new(name, seed)?.verifier_key().clone();
        let key = PqdsaKeyPair::from_seed(&ML_DSA_44_SIGNING, &**seed).map_err(|_| NoteError::Signature(verifier.name().to_owned()))?;
        Ok(Self { key, verifier })
    }
}

impl NoteSigner for AwsLcMlDsa44NoteSigner {
    fn verifier_key(&self) -> &VerifierKey {
        &self.verifier
    }

    /// The text has to be a checkpoint.
    fn sign(&self, text: &str, unix_s: u64) -> Result<Vec<u8>, NoteError> {
        let message = ml_dsa_44_message(self.verifier.name(), unix_s, text)?;
        let mut line = unix_s.to_be_bytes().to_vec();
        line.resize(TIME_BYTES + ML_DSA_44_SIGNING.signature_len(), 0);
        self.key.sign(&message, &mut line[TIME_BYTES..]).map_err(|_| NoteError::Signature(self.verifier.name().to_owned()))?;
        Ok(line)
    }
}

/// Before the signature in the line.
const TIME_BYTES: usize = 8;

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::sync::Arc;

    use exhibit_tlog::{Checkpoint, LogVerifier, leaf_hash};

    use super::*;

    #[test]
    fn what_it_signs_verifies_by_the_other_implementation() {
        let seed = Zeroizing::new([7; 32]);
        let fast = AwsLcMlDsa44NoteSigner::new("log.example/1", &seed).unwrap();
        let pure = MlDsa44NoteSigner::new("log.example/1", &seed).unwrap();
        assert_eq!(fast.verifier_key(), pure.verifier_key());
        let head = Checkpoint { origin: "log.example/1".into(), size: 5, root: leaf_hash(b"root") };
        let log = LogVerifier { origin: head.origin.clone(), keys: vec![pure.verifier_key().clone()] };
        let note = head.sign(&[&fast], 1_795_132_800).unwrap();
        assert_eq!(log.verify(&note).unwrap(), head);
        let other = LogVerifier {
            keys: vec![MlDsa44NoteSigner::new("log.example/1", &Zeroizing::new([8; 32])).unwrap().verifier_key().clone()],
            ..log
        };
        assert!(other.verify(&note).is_err());
    }

    #[test]
    fn it_signs_checkpoints_only() {
        let signer: Arc<dyn NoteSigner> = Arc::new(AwsLcMlDsa44NoteSigner::new("log.example/1", &Zeroizing::new([7; 32])).unwrap());
        assert!(signer.sign("log.example/1\n5\nnot a hash\n", 1).is_err());
    }
}

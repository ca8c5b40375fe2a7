//! The head that is signed: with which keys, and when.
//!
//! It does not know what the tree holds.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use exhibit_tlog::{Checkpoint, LogVerifier, MerkleFrontier, Note, NoteSigner, VerifierKey};

use crate::{LedgerError, Options};

/// A signed checkpoint and its head.
#[derive(Clone, Debug)]
pub(crate) struct Published {
    pub note: Arc<str>,
    pub head: Checkpoint,
}

/// Signs the heads of one log.
pub(crate) struct Signing {
    /// What verifies them: the origin and the signers' own public halves.
    pub log: LogVerifier,
    signers: Vec<Arc<dyn NoteSigner>>,
    pub clock: Arc<dyn Fn() -> u64 + Send + Sync>,
    /// The latest time that a key of this log has signed at, as far as is known.
    signed_unix_s: AtomicU64,
}

impl Signing {
    pub fn new(options: Options) -> Result<Self, LedgerError> {
        let Options { origin, signers, clock, .. } = options;
        if signers.is_empty() {
            return Err(LedgerError::WrongLog("no note key is configured, so nothing could be signed. Configure the log's keys".into()));
        }
        let keys = signers.iter().map(|signer| signer.verifier_key().clone()).collect();
        Ok(Self { log: LogVerifier { origin, keys }, signers, clock, signed_unix_s: AtomicU64::new(0) })
    }

    /// The options of the same log, without seals.
    pub fn into_options(self, batch_entries_max: usize) -> Options {
        Options { origin: self.log.origin, signers: self.signers, clock: self.clock, batch_entries_max, seals: Vec::new() }
    }

    /// Remembers when a checkpoint of this log was signed.
    pub fn know(&self, published: &Published) {
        let Ok(note) = Note::parse(&published.note) else { return };
        let line = |key: &VerifierKey| key.signed_unix_s(&note.signature_of(key).ok()??.signature);
        for unix_s in self.log.keys.iter().filter_map(line) {
            self.signed_unix_s.fetch_max(unix_s, Ordering::Relaxed);
        }
    }

    /// Signs the head of a tree with every key, at a time that is not before any of the times before: of one cosigner's heads the later is the
    /// larger (tlog-cosignature), whatever becomes of the clock.
    pub fn sign(&self, tree: &MerkleFrontier) -> Result<Published, LedgerError> {
        let head = Checkpoint { origin: self.log.origin.clone(), size: tree.size(), root: tree.root() };
        let signers: Vec<&dyn NoteSigner> = self.signers.iter().map(|signer| &**signer).collect();
        let clock_unix_s = (self.clock)();
        let unix_s = clock_unix_s.max(self.signed_unix_s.fetch_max(clock_unix_s, Ordering::Relaxed));
        let note = head.sign(&signers, unix_s).map_err(|error| LedgerError::Signing(error.to_string()))?;
        Ok(Published { note: note.into(), head })
    }
}

/// A log's public keys, one a line, in an order that does not depend on the configuration's.
pub(crate) fn keys_text(log: &LogVerifier) -> String {
    let mut keys: Vec<String> = log.keys.iter().map(|key| format!("{key}\n")).collect();
    keys.sort();
    keys.concat()
}

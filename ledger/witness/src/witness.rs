//! The witness: judges what a log asks to have cosigned, keeps it durably, and only then gives the cosignatures away.
//!
//! It knows no HTTP but the numbers of `tlog`, and no clock of its own: one is an argument.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use exhibit_tlog::witness::{FollowedLog, add_cosignatures, checkpoint_path, cosign_text};
use exhibit_tlog::{AddCheckpoint, Checkpoint, Note, NoteSigner, Refusal, VerifierKey};

use crate::store::{Store, StoreError};

/// Witnesses a fixed set of logs.
pub struct Witness {
    signers: Vec<Arc<dyn NoteSigner>>,
    keys: Vec<VerifierKey>,
    logs: HashMap<String, Log>,
    /// Origin by the hash in the path of a log's checkpoint.
    origins: HashMap<String, String>,
    store: Store,
}

struct Log {
    verifier: FollowedLog,
    hash: String,
    latest: Mutex<Option<Arc<Cosigned>>>,
    /// A checkpoint that the log has signed too, of the same size as one that was cosigned, with another root.
    fork: OnceLock<Fork>,
}

/// A log that has signed two trees of one size. Whoever holds both notes can show it to anybody.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fork {
    /// The other signed checkpoint, as it came.
    pub note: String,
    /// Its head.
    pub checkpoint: Checkpoint,
}

/// What a witness has cosigned last of a log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cosigned {
    /// The signed checkpoint, with the witness's own lines.
    pub note: String,
    /// Its head.
    pub checkpoint: Checkpoint,
    /// When, as the lines say.
    pub unix_s: u64,
}

/// Why there is no witness.
#[derive(Debug, thiserror::Error)]
pub enum WitnessError {
    /// What it keeps.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// A file that is not what this witness wrote.
    #[error("what is kept of the log {origin} is not what this witness cosigned: {reason}. Was a key or a file put in from elsewhere?")]
    Foreign {
        /// Which log.
        origin: String,
        /// What does not fit.
        reason: String,
    },
    /// A log would be its own witness.
    #[error("a key of the log {0} is this witness's own")]
    OwnLog(String),
    /// It would cosign nothing.
    #[error("a witness signs with cosignature keys, at least one")]
    Keys,
}

/// Why nothing was cosigned.
#[derive(Debug, thiserror::Error)]
pub enum AddError {
    /// By the rules of tlog-witness.
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// The clock says less than what was cosigned last: a cosignature would say that the tree had been smaller later.
    #[error("this witness's clock is behind its own last cosignature: its operator has to set it")]
    ClockBehind,
    /// The disk.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The keys.
    #[error("the checkpoint can not be cosigned: {0}")]
    Signing(String),
}

impl Witness {
    /// Opens what is kept of each log, and verifies that it is this witness's own.
    pub fn open(signers: Vec<Arc<dyn NoteSigner>>, logs: Vec<impl Into<FollowedLog>>, store: Store) -> Result<Self, WitnessError> {
        let keys: Vec<VerifierKey> = signers.iter().map(|signer| signer.verifier_key().clone()).collect();
        if keys.is_empty() || keys.iter().any(|key| !key.algorithm().is_cosignature()) {
            return Err(WitnessError::Keys);
        }
        let mut witness = Self { signers, keys, logs: HashMap::new(), origins: HashMap::new(), store };
        for verifier in logs.into_iter().map(Into::into) {
            let origin = verifier.origin.clone();
            if verifier.keys.iter().any(|key| witness.keys.iter().any(|own| own.has_key_of(key))) {
                return Err(WitnessError::OwnLog(origin));
            }
            let hash = origin_hash(&origin);
            let latest = witness.store.load(&hash)?.map(|note| own(&witness.keys, &origin, note)).transpose()?;
            witness.origins.insert(hash.clone(), origin.clone());
            let fork = OnceLock::new();
            if let Some(note) = witness.store.load_fork(&hash)? {
                match kept_fork(note) {
                    Ok(kept) => drop(fork.set(kept)),
                    Err(error) => tracing::error!(?origin, %error, "the checkpoint that was kept to convict this log is damaged"),
                }
            }
            witness.logs.insert(origin, Log { verifier, hash, latest: Mutex::new(latest.map(Arc::new)), fork });
        }
        Ok(witness)
    }

    /// Judges a request and gives the signature lines, and the note that has them, once the checkpoint is durably the log's last. Blocks.
    ///
    /// Judging and signing need no lock, so that forged requests hold nobody up; what was judged against is compared with what is the last
    /// by then, and kept, in one step.
    pub fn add_checkpoint(&self, body: &str, clock: &dyn Fn() -> u64) -> Result<(String, Arc<Cosigned>), AddError> {
        let request = AddCheckpoint::parse(body)?;
        let log = self.logs.get(&request.origin()?).ok_or(Refusal::UnknownLog)?;
        loop {
            let before = log.latest().clone();
            let checkpoint = match request.judge(&log.verifier, before.as_deref().map(|cosigned| &cosigned.checkpoint)) {
                Err(refusal) => {
                    self.look_for_fork(log, &request, before.as_deref())?;
                    return Err(refusal.into());
                }
                Ok(checkpoint) => checkpoint,
            };
            let unix_s = clock();
            if before.as_ref().is_some_and(|before| before.unix_s > unix_s) {
                return Err(AddError::ClockBehind);
            }
            let signers: Vec<&dyn NoteSigner> = self.signers.iter().map(|signer| &**signer).collect();
            let parsed = Note::parse(&request.checkpoint).map_err(|error| AddError::Signing(error.to_string()))?;
            let lines = cosign_text(parsed.text(), &signers, unix_s).map_err(|error| AddError::Signing(error.to_string()))?;
            let note = self.note_of(log, &request.checkpoint, &lines)?;
            let mut latest = log.latest();
            if *latest != before {
                // Another request was faster: this one is judged against what that one left.
                continue;
            }
            // Lines that nobody has seen bind nobody: they leave this function only if the checkpoint is kept.
            self.store.replace(&log.hash, &note)?;
            let cosigned = Arc::new(Cosigned { note, checkpoint, unix_s });
            *latest = Some(cosigned.clone());
            return Ok((lines, cosigned));
        }
    }

    /// A refused checkpoint that the log has signed and that can not be beside the one that was cosigned is evidence: the first is kept.
    fn look_for_fork(&self, log: &Log, request: &AddCheckpoint, latest: Option<&Cosigned>) -> Result<(), StoreError> {
        let Some(latest) = latest.filter(|_| log.fork.get().is_none()) else { return Ok(()) };
        let Ok(checkpoint) = log.verifier.verify(&request.checkpoint) else { return Ok(()) };
        if checkpoint.size != latest.checkpoint.size || checkpoint.root == latest.checkpoint.root {
            return Ok(());
        }
        tracing::error!(origin = ?checkpoint.origin, size = checkpoint.size, "the log has signed two trees of one size");
        // Of two requests at once both may come here; either note is evidence.
        match self.store.keep_fork(&log.hash, &request.checkpoint) {
            Err(error @ StoreError::Sync { .. }) => return Err(error),
            // The log is refused all the same, and the fork is shown until the process ends.
            Err(error) => tracing::error!(%error, "the checkpoint that convicts the log could not be kept"),
            Ok(()) => {}
        }
        log.fork.get_or_init(|| Fork { note: request.checkpoint.clone(), checkpoint });
        Ok(())
    }

    /// The checkpoint with the log's verified lines and ours, and no others: what strangers have put under it is not passed on.
    fn note_of(&self, log: &Log, checkpoint: &str, lines: &str) -> Result<String, AddError> {
        let signing = |error: exhibit_tlog::NoteError| AddError::Signing(error.to_string());
        let note = Note::parse(checkpoint).map_err(signing)?;
        let mut text = format!("{}\n", note.text());
        for key in &log.verifier.keys {
            text.extend(note.signature_of(key).map_err(signing)?.map(ToString::to_string));
        }
        add_cosignatures(&text, lines, &self.keys).map_err(signing)
    }

    /// What was cosigned last of the log with that origin hash; `None` for an unknown one and where nothing was.
    pub fn latest(&self, origin_hash: &str) -> Option<Arc<Cosigned>> {
        self.logs.get(self.origins.get(origin_hash)?)?.latest().clone()
    }

    /// The checkpoint that convicts the log with that origin hash.
    pub fn fork(&self, origin_hash: &str) -> Option<&Fork> {
        self.logs.get(self.origins.get(origin_hash)?)?.fork.get()
    }

    /// Every log's origin and its hash, in order of origin.
    pub fn logs(&self) -> Vec<(&str, &str)> {
        let mut all: Vec<_> = self.logs.iter().map(|(origin, log)| (origin.as_str(), log.hash.as_str())).collect();
        all.sort_unstable();
        all
    }

    /// The public halves.
    pub fn keys(&self) -> &[VerifierKey] {
        &self.keys
    }
}

impl Log {
    fn latest(&self) -> MutexGuard<'_, Option<Arc<Cosigned>>> {
        // The value is replaced in one assignment, so that a poisoned lock holds a whole one.
        self.latest.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The log's signatures were verified before it was kept, under the keys that it had then.
fn kept_fork(note: String) -> Result<Fork, exhibit_tlog::CheckpointError> {
    let checkpoint = Checkpoint::from_text_of_any_log(Note::parse(&note)?.text())?;
    Ok(Fork { note, checkpoint })
}

/// Reads back what was kept. The log's signatures are not asked for: its keys may have changed by now, ours vouch for the note.
pub(crate) fn own(keys: &[VerifierKey], origin: &str, note: String) -> Result<Cosigned, WitnessError> {
    let foreign = |reason: String| WitnessError::Foreign { origin: origin.to_owned(), reason };
    let parsed = Note::parse(&note).map_err(|error| foreign(error.to_string()))?;
    parsed.verify(keys).map_err(|error| foreign(error.to_string()))?;
    let checkpoint = Checkpoint::from_text_of_any_log(parsed.text()).map_err(|error| foreign(error.to_string()))?;
    if checkpoint.origin != origin {
        return Err(foreign(format!("it is of {:?}", checkpoint.origin)));
    }
    let line = parsed.signature_of(&keys[0]).ok().flatten();
    let unix_s = line.and_then(|line| keys[0].signed_unix_s(&line.signature));
    Ok(Cosigned { checkpoint, unix_s: unix_s.ok_or_else(|| foreign("it has no time".to_owned()))?, note })
}

/// SHA-256 of an origin in hex: a log's name in paths and on disk.
pub fn origin_hash(origin: &str) -> String {
    let path = checkpoint_path(origin);
    path.split('/').next().expect("a path has a first component").to_owned()
}

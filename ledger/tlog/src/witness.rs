//! C2SP tlog-witness: what a log asks a witness, how the witness decides, and what it answers.
//!
//! It knows nothing of HTTP but the numbers, has no clock, and keeps nothing: the caller compares and stores in one step.

use sha2::{Digest, Sha256};

use crate::cosignature::NO_TIME;
use crate::decimal::parse_decimal;
use crate::proof::PROOF_HASHES_MAX;
use crate::{
    Checkpoint, CheckpointError, EMPTY_ROOT, Hash, LogVerifier, Note, NoteAlgorithm, NoteError, NoteSignature, NoteSigner, ProofError,
    VerifierKey,
};
use crate::{note::NOTE_SIZE_BYTES_MAX, verify_consistency};

/// The largest request: the largest note, 63 hashes and two lines more.
pub const ADD_CHECKPOINT_SIZE_BYTES_MAX: usize = NOTE_SIZE_BYTES_MAX + 4096;

/// The `Content-Type` of [`Refusal::Conflict`].
pub const SIZE_CONTENT_TYPE: &str = "text/x.tlog.size";

/// The body of `POST <submission prefix>/add-checkpoint`. Nothing is verified yet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AddCheckpoint {
    /// Size of the last checkpoint that the log believes the witness has cosigned; 0 when there is none.
    pub old_size: u64,
    /// The consistency proof from that size.
    pub proof: Vec<Hash>,
    /// The signed checkpoint, verbatim.
    pub checkpoint: String,
}

/// Why a witness does not cosign.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// The request can not be read.
    #[error("not an add-checkpoint request: {0}")]
    Malformed(&'static str),
    /// The checkpoint in it can not be read.
    #[error(transparent)]
    Checkpoint(CheckpointError),
    /// It would shrink the tree.
    #[error("the old size is larger than the checkpoint's")]
    Shrinks,
    /// Not signed by the log's keys.
    #[error("the log has not signed: {0}")]
    Untrusted(CheckpointError),
    /// The witness does not follow this log.
    #[error("the log is unknown")]
    UnknownLog,
    /// The witness has cosigned another size than the log believes: this one.
    #[error("the last checkpoint cosigned has {0} entries")]
    Conflict(u64),
    /// The proof does not hold.
    #[error(transparent)]
    Proof(ProofError),
}

impl AddCheckpoint {
    /// Parses strictly (at most 63 hashes). That the checkpoint has the form of one is checked too.
    pub fn parse(body: &str) -> Result<Self, Refusal> {
        if body.len() > ADD_CHECKPOINT_SIZE_BYTES_MAX {
            return Err(Refusal::Malformed("it is too large"));
        }
        // No line above the checkpoint is empty, so the first blank line ends them.
        let (header, checkpoint) = body.split_once("\n\n").ok_or(Refusal::Malformed("it has no blank line before the checkpoint"))?;
        let mut lines = header.split('\n');
        let old_size = lines.next().and_then(|line| line.strip_prefix("old ")).and_then(parse_decimal);
        let old_size = old_size.ok_or(Refusal::Malformed("its first line is not the old size"))?;
        let mut proof = Vec::new();
        for line in lines {
            if proof.len() == PROOF_HASHES_MAX {
                return Err(Refusal::Malformed("it has too many hashes"));
            }
            proof.push(Hash::from_base64(line).ok_or(Refusal::Malformed("a hash is not 32 bytes of base64"))?);
        }
        claimed(checkpoint)?;
        Ok(Self { old_size, proof, checkpoint: checkpoint.to_owned() })
    }

    /// The body.
    pub fn to_text(&self) -> String {
        let mut text = format!("old {}\n", self.old_size);
        for hash in &self.proof {
            text.push_str(&hash.to_base64());
            text.push('\n');
        }
        text.push('\n');
        text.push_str(&self.checkpoint);
        text
    }

    /// The origin that the request claims, by which the witness finds the log's keys and its own last checkpoint of it.
    pub fn origin(&self) -> Result<String, Refusal> {
        Ok(claimed(&self.checkpoint)?.origin)
    }

    /// Whether the witness may cosign, and what. `latest` is the last checkpoint of this log that it has cosigned. The caller makes
    /// the one that is returned its latest, durably and only if `latest` is so still, before it answers with [`cosign`].
    pub fn judge(&self, log: &FollowedLog, latest: Option<&Checkpoint>) -> Result<Checkpoint, Refusal> {
        let checkpoint = log.verify(&self.checkpoint).map_err(|error| match error {
            CheckpointError::Origin(_) => Refusal::UnknownLog,
            error => Refusal::Untrusted(error),
        })?;
        if self.old_size > checkpoint.size {
            return Err(Refusal::Shrinks);
        }
        let (size, root) = latest.map_or((0, EMPTY_ROOT), |latest| (latest.size, latest.root));
        if self.old_size != size {
            return Err(Refusal::Conflict(size));
        }
        verify_consistency(size, &root, checkpoint.size, &checkpoint.root, &self.proof).map_err(Refusal::Proof)?;
        Ok(checkpoint)
    }
}

/// What a checkpoint says, whoever has signed it.
fn claimed(checkpoint: &str) -> Result<Checkpoint, Refusal> {
    let note = Note::parse(checkpoint).map_err(|error| Refusal::Checkpoint(error.into()))?;
    Checkpoint::from_text_of_any_log(note.text()).map_err(Refusal::Checkpoint)
}

/// A log that a witness follows: its checkpoints may have extension lines, and its keys may change one for another.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FollowedLog {
    /// The log's name.
    pub origin: String,
    /// The keys that are trusted for it.
    pub keys: Vec<VerifierKey>,
    /// One of the keys is enough. Else all of them have to sign.
    pub takes_any_key: bool,
}

impl From<LogVerifier> for FollowedLog {
    fn from(LogVerifier { origin, keys }: LogVerifier) -> Self {
        Self { origin, keys, takes_any_key: false }
    }
}

impl FollowedLog {
    /// Parses a signed checkpoint and verifies origin and signatures. A wrong line of a trusted key spoils it, needed or not.
    pub fn verify(&self, note: &str) -> Result<Checkpoint, CheckpointError> {
        let note = Note::parse(note)?;
        let checkpoint = Checkpoint::from_text_of_any_log(note.text())?;
        if checkpoint.origin != self.origin {
            return Err(CheckpointError::Origin(checkpoint.origin));
        }
        // A subtree's signature is of origin, size and root: whoever has one could put lines of their own behind those.
        let is_extended = note.text() != checkpoint.to_text();
        let covers = |key: &VerifierKey| !is_extended || key.algorithm() != NoteAlgorithm::MlDsa44;
        let mut is_signed = false;
        for key in &self.keys {
            is_signed |= note.signature_of(key)?.is_some() && covers(key);
        }
        if !self.takes_any_key {
            note.verify(&self.keys)?;
        }
        let missing = if is_extended { "any known key that signs extension lines" } else { "any known key" };
        if is_signed { Ok(checkpoint) } else { Err(NoteError::Missing(missing.to_owned()).into()) }
    }
}

impl Refusal {
    /// The HTTP status that tlog-witness gives it.
    pub fn status(&self) -> u16 {
        match self {
            Self::Checkpoint(CheckpointError::EmptyTree) | Self::Proof(_) => 422,
            Self::Malformed(_) | Self::Checkpoint(_) | Self::Shrinks => 400,
            Self::Untrusted(_) => 403,
            Self::UnknownLog => 404,
            Self::Conflict(_) => 409,
        }
    }

    /// What the answer says: of a conflict the size alone, which the log reads; else a sentence for people.
    pub fn body(&self) -> String {
        match self {
            Self::Conflict(size) => format!("{size}\n"),
            refusal => format!("{refusal}\n"),
        }
    }
}

/// The size in the answer to a conflict.
pub fn parse_conflict(body: &str) -> Option<u64> {
    body.strip_suffix('\n').and_then(parse_decimal)
}

/// The answer to a request that was judged good: a line of each of the witness's keys on the checkpoint, at `unix_s`.
pub fn cosign(checkpoint: &Checkpoint, signers: &[&dyn NoteSigner], unix_s: u64) -> Result<String, NoteError> {
    cosign_text(&checkpoint.to_text(), signers, unix_s)
}

/// The same on a checkpoint's text as it is, extension lines included: an Ed25519 cosignature covers them.
pub fn cosign_text(text: &str, signers: &[&dyn NoteSigner], unix_s: u64) -> Result<String, NoteError> {
    if unix_s == NO_TIME {
        return Err(NoteError::Malformed("a witness says when it cosigns"));
    }
    let mut answer = String::new();
    for signer in signers {
        if !signer.verifier_key().algorithm().is_cosignature() {
            return Err(NoteError::Key("it makes no cosignatures"));
        }
        answer.push_str(&NoteSignature::sign(text, *signer, unix_s)?.to_string());
    }
    Ok(answer)
}

/// The signed checkpoint with a witness's answer to it. Of the answer only lines of `keys` are taken, each verified, and at least
/// one has to be there; they replace earlier ones of the same key.
pub fn add_cosignatures(checkpoint: &str, answer: &str, keys: &[VerifierKey]) -> Result<String, NoteError> {
    let mut note = Note::parse(checkpoint)?;
    let mut is_cosigned = false;
    for line in NoteSignature::parse_lines(answer)? {
        let Some(key) = keys.iter().find(|key| line.is_of(key)) else { continue };
        if !key.verifies(note.text(), &line.signature) || key.signed_unix_s(&line.signature).is_none() {
            return Err(NoteError::Signature(key.label()));
        }
        note = note.with_signature(line);
        is_cosigned = true;
    }
    if !is_cosigned {
        return Err(NoteError::Missing("any key of the witness".to_owned()));
    }
    // Too many witnesses would make a note that nobody reads.
    let note = note.to_string();
    Note::parse(&note)?;
    Ok(note)
}

/// Where a witness serves its latest checkpoint of a log, below its monitoring prefix.
pub fn checkpoint_path(origin: &str) -> String {
    format!("{}/checkpoint", hex::encode(Sha256::digest(origin)))
}

//! What the library judges, remembered, so that the verifier in Python can judge the same. Each function judges as the one of the library
//! does that it is named after.
#![allow(dead_code, reason = "each test includes this module for itself, and none uses all of it")]

use exhibit_tlog::{
    AddCheckpoint, Checkpoint, CheckpointError, Hash, LogProof, LogProofError, LogVerifier, Note, NoteError, NoteSignature, PolicyError,
    ProofError, Refusal, Subtree, VerifierKey, WitnessError, WitnessedCheckpoint,
};

#[path = "../../../../tests/independent/ask.rs"]
mod independent;
pub use independent::{assert_agrees_on, judged};

pub fn read_key(text: &str) -> Result<VerifierKey, NoteError> {
    judged("verifier-key", &[text.as_bytes()], VerifierKey::parse(text))
}

pub fn read_note(text: &str) -> Result<Note, NoteError> {
    judged("note", &[text.as_bytes()], Note::parse(text))
}

pub fn read_text(text: &str) -> Result<Checkpoint, CheckpointError> {
    judged("checkpoint-text", &[text.as_bytes()], Checkpoint::from_text(text))
}

pub fn read_receipt(text: &str) -> Result<LogProof, LogProofError> {
    judged("receipt", &[text.as_bytes()], LogProof::parse(text))
}

pub fn verify_note(note: &Note, keys: &[VerifierKey]) -> Result<(), NoteError> {
    let (text, keys_text) = (note.to_string(), texts(keys));
    let with: Vec<&[u8]> = std::iter::once(&text).chain(&keys_text).map(String::as_bytes).collect();
    judged("note-by", &with, note.verify(keys))
}

pub fn verify_log(log: &LogVerifier, note: &str) -> Result<Checkpoint, CheckpointError> {
    checkpoint_judged(log, note, log.verify(note))
}

pub fn checkpoint_judged<T>(log: &LogVerifier, note: &str, ours: Result<T, CheckpointError>) -> Result<T, CheckpointError> {
    let keys = texts(&log.keys);
    let with: Vec<&[u8]> = [note.as_bytes(), log.origin.as_bytes()].into_iter().chain(keys.iter().map(String::as_bytes)).collect();
    judged("checkpoint-by", &with, ours)
}

pub fn verify_receipt(proof: &LogProof, leaf: &Hash, log: &LogVerifier) -> Result<Checkpoint, LogProofError> {
    receipt_judged(&proof.to_text(), leaf, log, proof.verify(leaf, log))
}

pub fn receipt_judged<T>(receipt: &str, leaf: &Hash, log: &LogVerifier, ours: Result<T, LogProofError>) -> Result<T, LogProofError> {
    let keys = texts(&log.keys);
    let with = [receipt.as_bytes(), &leaf.0, log.origin.as_bytes()].into_iter().chain(keys.iter().map(String::as_bytes));
    judged("receipt-by", &with.collect::<Vec<_>>(), ours)
}

fn texts(keys: &[VerifierKey]) -> Vec<String> {
    keys.iter().map(ToString::to_string).collect()
}

/// The key's line in a note, as `Note::signature_of` has it; the verifier in Python is asked where there is one.
pub fn signature_of(note: &str, key: &VerifierKey) -> Result<Option<NoteSignature>, NoteError> {
    let note = Note::parse(note)?;
    let found = note.signature_of(key).map(|line| line.cloned());
    if matches!(found, Ok(None)) {
        return found;
    }
    judged("note-by", &[note.to_string().as_bytes(), key.to_string().as_bytes()], found)
}

pub fn read_lines(lines: &str) -> Result<Vec<NoteSignature>, NoteError> {
    judged("signature-lines", &[lines.as_bytes()], NoteSignature::parse_lines(lines))
}

pub fn read_request(body: &str) -> Result<AddCheckpoint, Refusal> {
    judged("add-checkpoint", &[body.as_bytes()], AddCheckpoint::parse(body))
}

pub fn verify_subtree_line(key: &VerifierKey, origin: &str, of: Subtree, root: &Hash, line: &NoteSignature) -> Result<(), NoteError> {
    let (key_text, line_text) = (key.to_string(), line.to_string());
    let (start, end) = (of.start().to_string(), of.end().to_string());
    let with = [origin.as_bytes(), start.as_bytes(), end.as_bytes(), &root.0, line_text.as_bytes(), key_text.as_bytes()];
    judged("subtree-line", &with, key.verify_subtree(origin, of, root, line))
}

pub fn verify_inclusion(leaf: &Hash, index: u64, size: u64, path: &[Hash], root: &Hash) -> Result<(), ProofError> {
    let (index_text, size_text) = (index.to_string(), size.to_string());
    let with = [&leaf.0, index_text.as_bytes(), size_text.as_bytes(), &end_to_end(path), &root.0];
    judged("inclusion", &with, exhibit_tlog::verify_inclusion(leaf, index, size, path, root))
}

pub fn verify_consistency(old: u64, old_root: &Hash, new: u64, new_root: &Hash, path: &[Hash]) -> Result<(), ProofError> {
    let (old_text, new_text) = (old.to_string(), new.to_string());
    let with = [old_text.as_bytes(), &old_root.0, new_text.as_bytes(), &new_root.0, &end_to_end(path)];
    judged("consistency", &with, exhibit_tlog::verify_consistency(old, old_root, new, new_root, path))
}

pub fn verify_subtree(subtree: Subtree, root: &Hash, size: u64, whole: &Hash, path: &[Hash]) -> Result<(), ProofError> {
    let [start, end, size_text] = [subtree.start(), subtree.end(), size].map(|number| number.to_string());
    let with = [start.as_bytes(), end.as_bytes(), &root.0, size_text.as_bytes(), &whole.0, &end_to_end(path)];
    judged("subtree", &with, exhibit_tlog::verify_subtree(subtree, root, size, whole, path))
}

pub fn new_subtree(start: u64, end: u64) -> Option<Subtree> {
    let [start_text, end_text] = [start, end].map(|number| number.to_string());
    judged("subtree-range", &[start_text.as_bytes(), end_text.as_bytes()], Subtree::new(start, end).ok_or(())).ok()
}

fn end_to_end(path: &[Hash]) -> Vec<u8> {
    path.iter().flat_map(|hash| hash.0).collect()
}

/// A policy, and its text.
#[derive(Debug, PartialEq, Eq)]
pub struct Policy {
    text: String,
    pub inner: exhibit_tlog::Policy,
}

impl Policy {
    pub fn parse(text: &str) -> Result<Self, PolicyError> {
        let inner = judged("policy", &[text.as_bytes()], exhibit_tlog::Policy::parse(text))?;
        Ok(Self { text: text.to_owned(), inner })
    }

    pub fn verify(&self, note: &str) -> Result<WitnessedCheckpoint, WitnessError> {
        judged("witnessed-log", &[self.text.as_bytes(), note.as_bytes()], self.inner.verify(note))
    }

    pub fn verify_of(&self, log: &LogVerifier, note: &str) -> Result<WitnessedCheckpoint, WitnessError> {
        let keys = texts(&log.keys);
        let with = [self.text.as_bytes(), note.as_bytes(), log.origin.as_bytes()].into_iter().chain(keys.iter().map(String::as_bytes));
        judged("witnessed", &with.collect::<Vec<_>>(), self.inner.verify_of(log, note))
    }
}

impl std::ops::Deref for Policy {
    type Target = exhibit_tlog::Policy;

    fn deref(&self) -> &exhibit_tlog::Policy {
        &self.inner
    }
}

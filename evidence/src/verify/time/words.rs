//! Words: what timestamping authorities and witnesses of the anchor say of checkpoints of this log.
//!
//! It knows nothing of statements: what a word is good for, `bounds` says.

use std::rc::Rc;

use exhibit_pki::Timestamp;
use exhibit_tlog::{Cosigner, Note};

use super::super::entries::{Entries, Entry};
use super::super::heads::{HeadState, Heads, PROOF_BYTES_MAX};
use super::super::witness::cosigners;
use super::super::{BundleCheckpoint, Judgement};
use crate::Body;
use crate::body::TimestampBody;
use crate::bundle::{CHECKPOINT_TOKENS_MAX, SMALL_FILE_BYTES_MAX, SourceError, checkpoint_token_path, timestamp_proof_path};
use crate::verdict::{Axis, FindingKind, Grade, Place};

/// A cosignature says its time in whole seconds, rounded down.
const COSIGNATURE_RESOLUTION_MS: u64 = 1_000;

/// Somebody's word that a checkpoint existed.
#[derive(Clone, Debug)]
pub(super) struct Word {
    /// It was not given before.
    pub earliest: Timestamp,
    /// It was not given after: by then the checkpoint existed.
    pub latest: Timestamp,
    pub by: Rc<str>,
    /// False for the operator's own authority.
    pub independent: bool,
    /// The entry that holds it; `None` if it stands on the bundle's checkpoint.
    pub entry: Option<u64>,
    /// Size of the checkpoint, if that is proven to be of this log.
    pub covers: Option<u64>,
}

/// What is said of the bundle's own checkpoint, by cosignatures on it and by tokens beside it.
pub(super) fn of_checkpoint(judgement: &mut Judgement<'_>, checkpoint: &BundleCheckpoint) -> Result<Vec<Word>, SourceError> {
    // A cosignature that does not hold is told by the axis of witnesses.
    let mut words = cosigned(judgement, &checkpoint.note).unwrap_or_default();
    for number in 0..CHECKPOINT_TOKENS_MAX {
        let path = checkpoint_token_path(number);
        let Some(der) = judgement.optional(Axis::Time, &path, SMALL_FILE_BYTES_MAX)? else { break };
        words.extend(token(judgement, &der, &checkpoint.note, Place::file(&path)));
    }
    words.iter_mut().for_each(|word| word.covers = Some(checkpoint.head.size));
    Ok(words)
}

/// What `timestamp/v1` entries hold: the time at which the appliance got it there, and, where the checkpoint is proven to be of this log, a
/// time by which that existed.
pub(super) fn of_entries(judgement: &mut Judgement<'_>, entries: &Entries, heads: &mut Heads) -> Result<Vec<Word>, SourceError> {
    let mut words = Vec::new();
    for entry in &entries.held {
        let Body::Timestamp(body) = &entry.statement().body else { continue };
        let Some(note) = judgement.attachment(Axis::Time, entry, "checkpoint")? else { continue };
        let covers = match judge_note(judgement, entry, body, &note) {
            Ok(()) => covered(judgement, entry, body, heads)?,
            Err(reason) => {
                let sentence = format!("The timestamped checkpoint of entry {} does not count: {reason}.", entry.index);
                judgement.bad(Axis::Time, FindingKind::Timestamp, entry.place(), sentence);
                continue;
            }
        };
        let note = String::from_utf8(note).expect("it was verified as text");
        let mut own = match cosigned(judgement, &note) {
            Ok(own) => own,
            Err(reason) => {
                let sentence = format!("A line under the timestamped checkpoint of entry {} is no witness's: {reason}.", entry.index);
                judgement.bad(Axis::Witness, FindingKind::Cosignature, entry.place(), sentence);
                Vec::new()
            }
        };
        for attachment in body.attachments.iter().filter(|attachment| attachment.name.starts_with("token-")) {
            let Some(der) = judgement.attachment(Axis::Time, entry, &attachment.name)? else { continue };
            own.extend(token(judgement, &der, &note, entry.place()));
        }
        words.extend(own.into_iter().map(|word| Word { entry: Some(entry.index), covers, ..word }));
    }
    Ok(words)
}

/// The note is the log's, and of the head that the statement names, which was there before the statement.
fn judge_note(judgement: &Judgement<'_>, entry: &Entry, body: &TimestampBody, note: &[u8]) -> Result<(), String> {
    let note = std::str::from_utf8(note).map_err(|_| "it is not text".to_owned())?;
    let checkpoint = judgement.anchor.verifier.verify(note).map_err(|error| error.to_string())?;
    if (checkpoint.size, checkpoint.root) != (body.head.size, body.head.root) {
        return Err("it is not the one that the statement names".to_owned());
    }
    if checkpoint.size > entry.index {
        return Err("it covers what came after it".to_owned());
    }
    Ok(())
}

/// The size of the checkpoint, if it is proven to be of this log.
fn covered(judgement: &mut Judgement<'_>, entry: &Entry, body: &TimestampBody, heads: &mut Heads) -> Result<Option<u64>, SourceError> {
    let path = timestamp_proof_path(entry.index);
    let proof = judgement.optional(Axis::Signature, &path, PROOF_BYTES_MAX)?;
    match heads.judge(body.head, proof.as_deref()) {
        HeadState::Proven => return Ok(Some(body.head.size)),
        HeadState::Unknown => {}
        HeadState::Refuted => {
            let sentence = format!("The checkpoint that entry {} had timestamped is not of this log: two logs were shown.", entry.index);
            judgement.bad(Axis::Witness, FindingKind::Fork, entry.place(), sentence);
        }
        HeadState::Unproven(reason) => {
            let sentence = format!("The proof that the checkpoint of entry {} is of this log does not show it: {reason}.", entry.index);
            judgement.bad(Axis::Signature, FindingKind::Receipt, Place { file: Some(path), ..entry.place() }, sentence);
        }
    }
    Ok(None)
}

/// The times in the lines of the policy's witnesses on a note of the log.
pub(super) fn cosigned(judgement: &Judgement<'_>, note: &str) -> Result<Vec<Word>, String> {
    let Some(witnesses) = &judgement.anchor.policy.witnesses else { return Ok(Vec::new()) };
    let cosigned = cosigners(witnesses, &judgement.anchor.verifier, note).map_err(|error| error.to_string())?;
    Ok(cosigned.cosigners.iter().filter_map(of_cosigner).collect())
}

fn of_cosigner(cosigner: &Cosigner) -> Option<Word> {
    let earliest = Timestamp::from_unix_ms(cosigner.unix_s?.checked_mul(1_000)?)?;
    Some(Word {
        earliest,
        latest: earliest.checked_add_ms(COSIGNATURE_RESOLUTION_MS - 1)?,
        by: Rc::from(format!("witness {}", cosigner.witness)),
        independent: true,
        entry: None,
        covers: None,
    })
}

/// What a token says of a note, whose text it must be over; independent authorities are asked first.
pub(super) fn token(judgement: &mut Judgement<'_>, der: &[u8], note: &str, place: Place) -> Option<Word> {
    if judgement.anchor.policy.timestamp_authorities.is_empty() {
        return None;
    }
    let note = Note::parse(note).expect("the note was verified");
    let judged = judgement.anchor.policy.verify_token(der, note.text());
    match judged {
        Ok((authority, verified)) => Some(Word {
            earliest: verified.earliest(),
            latest: verified.latest(),
            by: Rc::from(format!("timestamping authority {}", authority.name)),
            independent: authority.independent,
            entry: None,
            covers: None,
        }),
        Err(error) => {
            let grade = if error.is_of_strangers() { Grade::NotDemanded } else { Grade::Bad };
            let sentence = format!("A timestamp token does not count: {error}.");
            judgement.find(Axis::Time, grade, FindingKind::Timestamp, place, sentence);
            None
        }
    }
}

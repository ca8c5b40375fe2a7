//! What can not be restored goes on in a successor, whose genesis names the log and the newest head of it that anybody knows.
//!
//! The same mechanism as after a succession by plan; the lost log's folder gets no ledger, and is never served again.

use std::fs;

use exhibit_evidence::body::Predecessor;
use exhibit_evidence::{Anchor, Head};
use exhibit_ledger::rebuild::RebuildError;
use exhibit_pki::Timestamp;

use super::backup::copy;
use super::place::Place;
use super::restore::{Gathered, RestoreError, Restored, whole};
use super::{at, sync_folder};
use crate::ended::EndedLog;
use crate::setup::{NewLog, SIGNERS_FILES};
use crate::state_lock::LockedFolder;

/// How it ended.
#[derive(Debug)]
pub enum Outcome {
    /// The log goes on.
    Restored(Restored),
    /// The log does not go on: a successor has begun.
    Succeeded(Box<Succeeded>),
}

/// A successor that was begun.
#[derive(Debug)]
pub struct Succeeded {
    /// Its anchor.
    pub anchor: Anchor,
    /// The last head of the old log that anybody knows: what genesis names.
    pub last: Head,
    /// Why the old log does not go on.
    pub reason: RestoreError,
}

/// The log that may follow.
pub struct Successor<'a> {
    /// Its folder, which `init` has made, with a certificate that the authority has signed.
    pub folder: &'a LockedFolder,
    /// Its name.
    pub origin: &'a str,
    /// Now.
    pub now: Timestamp,
}

/// Restores the log (see [`super::restore::restore`]), or begins its successor where the sources do not reach the newest head, or nobody tells it.
pub fn restore_or_succeed(
    folder: &LockedFolder,
    from: &[Place],
    known: &[String],
    successor: &Successor<'_>,
    progress: &dyn Fn(u64, u64),
) -> Result<Outcome, RestoreError> {
    let gathered = Gathered::of(folder, from, known)?;
    let last = gathered.sources.last();
    let note = last.and_then(|last| gathered.sources.note_of(&last));
    match (whole(folder, from, gathered, progress), last) {
        (Err(reason), Some(last)) if is_for_a_successor(&reason) => {
            let last = Head { size: last.size, root: last.root };
            let anchor = begin(folder, successor, last, note)?;
            Ok(Outcome::Succeeded(Box::new(Succeeded { anchor, last, reason })))
        }
        (restored, _) => restored.map(Outcome::Restored),
    }
}

/// Whether the log can not be brought to its newest head from what there is.
fn is_for_a_successor(error: &RestoreError) -> bool {
    match error {
        RestoreError::Behind { .. } | RestoreError::OtherTree(_) | RestoreError::Unbounded(_) => true,
        RestoreError::Rebuild(error) => matches!(error, RebuildError::Tree(_) | RebuildError::Missing { .. }),
        _ => false,
    }
}

fn begin(old: &LockedFolder, successor: &Successor<'_>, last: Head, note: Option<String>) -> Result<Anchor, RestoreError> {
    let new = successor.folder;
    for name in SIGNERS_FILES {
        let (here, there) = (old.path().join(name), new.path().join(name));
        if !there.exists() {
            copy(&here, &there)?;
        }
    }
    sync_folder(new.path())?;
    let pem = |name: &str| fs::read_to_string(new.path().join(name)).map_err(at(&new.path().join(name)));
    let [chain_pem, root_pem] = [pem(SIGNERS_FILES[0])?, pem(SIGNERS_FILES[1])?];
    let anchor = old.anchor()?;
    let named = Predecessor { log: anchor.log, head: last };
    // Where only a seal knows that head, nobody has a note of it: then what the custodians approve is all that shows it.
    let before = EndedLog { named, anchor, note, state: None };
    let log =
        NewLog { origin: successor.origin, chain_pem: &chain_pem, root_pem: &root_pem, predecessor: Some(before), now: successor.now };
    Ok(new.create_log(&log)?)
}

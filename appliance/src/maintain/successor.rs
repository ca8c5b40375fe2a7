//! What can not be restored goes on in a successor, whose genesis names the log and the newest head of it that anybody knows.
//!
//! The same mechanism as after a succession by plan: what people and authorities stated goes on, as far as the sources have it. What they have of the
//! lost log is put into its folder to be read, and never served again: whoever serves it comes to the successor.

use std::fs;
use std::path::Path;
use std::sync::Arc;

use exhibit_evidence::body::Predecessor;
use exhibit_evidence::{Anchor, Head};
use exhibit_ledger::rebuild::RebuildError;
use exhibit_pki::Timestamp;

use super::backup::copy;
use super::carry::carry;
use super::place::Place;
use super::restore::{Gathered, RestoreError, Restored, what_is_left, whole};
use super::{at, sync_folder};
use crate::appliance::Appliance;
use crate::ended::EndedLog;
use crate::predecessor::with_state;
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
    /// What is left of it, if anything can be read.
    pub left: Option<Left>,
}

/// What is left of a log that does not go on.
#[derive(Debug)]
pub struct Left {
    /// What was put into its folder.
    pub restored: Restored,
    /// Entries of people and authorities that go on in the successor.
    pub carried: u64,
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
    let canonical = |path: &Path| fs::canonicalize(path).map_err(at(path));
    if let Some(other) = folder.successor()
        && canonical(other.path())? != canonical(successor.folder.path())?
    {
        return Err(RestoreError::HasSuccessor(other.path().to_owned()));
    }
    let gathered = Gathered::of(folder, from, known)?;
    let last = gathered.sources.last();
    let note = last.and_then(|last| gathered.sources.note_of(&last));
    let (reason, last) = match (whole(folder, from, gathered, progress), last) {
        (Err(reason), Some(last)) if is_for_a_successor(&reason) => (reason, Head { size: last.size, root: last.root }),
        (restored, _) => return restored.map(Outcome::Restored),
    };
    let restored = match what_is_left(folder, from, Gathered::of(folder, from, known)?, progress) {
        Ok(restored) => Some(restored),
        Err(error) if is_for_a_successor(&error) || matches!(error, RestoreError::NoCheckpoint) => {
            tracing::warn!(%error, "nothing of the old log can be read, and nothing goes on");
            None
        }
        // The next attempt may succeed. A genesis that was made without what is left could never be made again.
        Err(error) => return Err(error),
    };
    let (anchor, left) = begin(folder, successor, last, note, restored)?;
    Ok(Outcome::Succeeded(Box::new(Succeeded { anchor, last, reason, left })))
}

/// Whether the log can not be brought to its newest head from what there is.
fn is_for_a_successor(error: &RestoreError) -> bool {
    match error {
        RestoreError::Behind { .. } | RestoreError::OtherTree(_) | RestoreError::Unbounded(_) => true,
        RestoreError::Rebuild(error) => matches!(error, RebuildError::Tree(_) | RebuildError::Missing { .. }),
        _ => false,
    }
}

fn begin(
    old: &LockedFolder,
    successor: &Successor<'_>,
    last: Head,
    note: Option<String>,
    restored: Option<Restored>,
) -> Result<(Anchor, Option<Left>), RestoreError> {
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
    let before = EndedLog { named, earlier: Vec::new(), genesis: None, anchor, note, state: None };
    let before = match &restored {
        Some(_) => with_state(before, &std::path::absolute(old.path()).map_err(at(old.path()))?, true)?,
        None => before,
    };
    let log = NewLog { origin: successor.origin, chain_pem: &chain_pem, root_pem: &root_pem, predecessor: None, now: successor.now };
    let anchor = new.create_successor(&log, before)?;
    let Some(restored) = restored else { return Ok((anchor, None)) };
    let now = successor.now;
    let (appliance, _) = Appliance::open(new, &new.config()?, Arc::new(move || now), Arc::new(|_: &str| {}))?;
    let carried = carry(&appliance)?;
    drop(appliance);
    // Last: whoever serves the old state comes to the new log, where all of it is.
    old.link_successor(new)?;
    Ok((anchor, Some(Left { restored, carried })))
}

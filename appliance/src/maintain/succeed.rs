//! A log that ends by plan: its last entry names the log that follows, whose genesis names it and its last head.
//!
//! Nothing is decided here about what issuers do: they begin new chains in the new log.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use exhibit_evidence::body::{Succession, SuccessionReason, Successor};
use exhibit_evidence::{Anchor, Body};
use exhibit_pki::Timestamp;

use super::backup::copy;
use super::carry::{CarryError, carry};
use super::{FileError, sync_folder};
use crate::appliance::Appliance;
use crate::begin::refuse_same;
use crate::chronicle::{ChronicleError, Clock};
use crate::ended::predecessor;
use crate::registry::RegistryError;
use crate::setup::{NewLog, SIGNERS_FILES, SetupError};
use crate::state_lock::LockedFolder;

/// When a log is to end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum When {
    /// Now, for this reason.
    Now(SuccessionReason),
    /// If it has so many entries at least, or is so many days old.
    Due {
        /// Entries.
        entries: Option<u64>,
        /// Days since genesis.
        days: Option<u64>,
    },
}

/// Why the log was not succeeded. The same call goes on from where it came to.
#[derive(Debug, thiserror::Error)]
pub enum SucceedError {
    /// One of the state folders.
    #[error(transparent)]
    Setup(#[from] SetupError),
    /// A file.
    #[error(transparent)]
    File(#[from] FileError),
    /// The last entry.
    #[error("the log could not be ended: {0}")]
    Chronicle(#[from] ChronicleError),
    /// The ledger could not be read.
    #[error(transparent)]
    Registry(#[from] RegistryError),
    /// What is carried over.
    #[error(transparent)]
    Carry(#[from] CarryError),
    /// It names another one.
    #[error("the log has ended already, and its last entry names {0} with other keys or another origin as its successor")]
    OtherSuccessor(String),
    /// The folder of the successor holds another log.
    #[error("{0} holds a log that is not the successor of this one")]
    OtherLog(String),
}

/// Ends the log in `old` and begins its successor, named `origin`, in `new`, which `init` has made and whose certificate the authority has
/// signed. `None` if it is not due. Ended half-way, the same call goes on: at no moment do both logs take entries.
pub fn succeed(old: &LockedFolder, new: &LockedFolder, origin: &str, when: When, clock: &Clock) -> Result<Option<Anchor>, SucceedError> {
    // Whatever the successor lacks is told before the log ends.
    for name in SIGNERS_FILES {
        let (here, there) = (old.path().join(name), new.path().join(name));
        if !there.exists() {
            copy(&here, &there)?;
        }
    }
    sync_folder(new.path())?;
    new.credentials(clock())?;
    new.config()?;
    let verifier = new.verifier(origin)?;
    refuse_same(&verifier, &old.anchor()?.verifier)?;
    let keys = verifier.keys.iter().map(ToString::to_string).collect();
    let pems = Pems { chain: read(&new.path().join(SIGNERS_FILES[0]))?, root: read(&new.path().join(SIGNERS_FILES[1]))? };
    let successor = Successor { origin: origin.to_owned(), keys };

    let fatal = Arc::new(|reason: &str| tracing::error!(reason, "the log could not be ended"));
    let (appliance, _) = Appliance::open(old, &old.config()?, clock.clone(), fatal)?;
    if appliance.ledger.is_ended().map_err(SetupError::from)? {
        let named = last_statement(&appliance)?;
        if named != successor {
            return Err(SucceedError::OtherSuccessor(named.origin));
        }
    } else {
        let Some(reason) = is_due(&appliance, when, clock)? else { return Ok(None) };
        // All of it is there before the old log ends, seals included: only genesis is missing, which names the last head.
        new.prepare_log(&pems.new_log(origin, clock()))?;
        appliance.chronicle.succession(successor, reason)?;
    }
    let (note, _) = appliance.ledger.checkpoint().expect("a log that has ended has entries, and its head is signed");
    let state = match new.path().parent() {
        Some(parent) if parent == old.path() => PathBuf::from(".."),
        _ => std::path::absolute(old.path()).map_err(super::at(old.path()))?,
    };
    let before = predecessor(&appliance.anchor, &note)?.with_genesis(&appliance.registry.statement_at(0)?).with_state(&state);
    // The head is sealed.
    drop(appliance);
    if new.anchor().is_err() || new.predecessor_anchor().is_ok_and(|named| named.log == before.named.log) {
        new.create_successor(&pems.new_log(origin, clock()), before.clone())?;
    }
    let (successor, _) = Appliance::open(new, &new.config()?, clock.clone(), Arc::new(|_: &str| {}))?;
    let genesis = successor.registry.statement_at(0)?;
    match &genesis.statement().body {
        Body::Genesis(genesis) if genesis.predecessor.as_ref() == Some(&before.named) && genesis.origin == origin => {}
        _ => return Err(SucceedError::OtherLog(new.path().display().to_string())),
    }
    let carried = carry(&successor)?;
    tracing::info!(carried, "what people and authorities stated goes on in the successor");
    let anchor = successor.anchor.clone();
    drop(successor);
    // Last: whoever follows it finds all of it there.
    old.link_successor(new)?;
    Ok(Some(anchor))
}

/// The certificates above the successor's.
struct Pems {
    chain: String,
    root: String,
}

impl Pems {
    fn new_log<'a>(&'a self, origin: &'a str, now: Timestamp) -> NewLog<'a> {
        NewLog { origin, chain_pem: &self.chain, root_pem: &self.root, predecessor: None, now }
    }
}

/// Why the log is to end now; `None` if it is not.
pub fn is_due(appliance: &Appliance, when: When, clock: &Clock) -> Result<Option<SuccessionReason>, SucceedError> {
    let (entries, days) = match when {
        When::Now(reason) => return Ok(Some(reason)),
        When::Due { entries, days } => (entries, days),
    };
    let began = appliance.registry.statement_at(0)?.statement().issued;
    let age_days = clock().unix_ms().saturating_sub(began.unix_ms()) / DAY_MS;
    Ok(if entries.is_some_and(|entries| appliance.ledger.size() >= entries) {
        Some(SuccessionReason::Size)
    } else if days.is_some_and(|days| age_days >= days) {
        Some(SuccessionReason::Year)
    } else {
        None
    })
}

fn last_statement(appliance: &Appliance) -> Result<Successor, SucceedError> {
    let last = appliance.registry.statement_at(appliance.ledger.size() - 1)?;
    match &last.statement().body {
        Body::Succession(Succession { successor, .. }) => Ok(successor.clone()),
        _ => Err(SetupError::OtherLog("it has ended, and its last entry names no successor").into()),
    }
}

fn read(path: &Path) -> Result<String, FileError> {
    std::fs::read_to_string(path).map_err(super::at(path))
}

const DAY_MS: u64 = 24 * 60 * 60 * 1000;

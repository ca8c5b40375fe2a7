//! What a camera must not forget besides its spool: the head of the log that it has verified, and the recipients that it obeyed.
//!
//! Neither ever falls. It is synced before anything is signed that depends on it. It does not know how a head is verified.

use std::{
    io,
    path::{Path, PathBuf},
};

use exhibit_evidence::Head;
use exhibit_tlog::{EMPTY_ROOT, Hash};
use serde::{Deserialize, Serialize};

use crate::storage;

/// A few lines.
const STATE_BYTES_MAX: u64 = 4096;

/// The state file, and what is in it.
#[derive(Debug)]
pub struct AgentState {
    path: PathBuf,
    /// The log that `observed` is of.
    log: Hash,
    observed: Head,
    /// What was observed of logs before, in this run: statements of their epochs may still be made.
    ended: Vec<(Hash, Head)>,
    recipients_number: u64,
}

/// Why the state cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum StateError {
    /// The disk.
    #[error("cannot keep the state in {path}: {source}")]
    Storage {
        /// Which file.
        path: PathBuf,
        /// What happened.
        source: io::Error,
    },
    /// Not written by us.
    #[error("the state in {0} is damaged: move the file away, and the camera begins from its pin")]
    Damaged(PathBuf),
    /// The log was seen larger before.
    #[error("the head of {offered} entries is older than that of {observed} which was verified before")]
    Older {
        /// What was verified.
        observed: u64,
        /// What was offered.
        offered: u64,
    },
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct StateFile {
    #[serde(rename = "type")]
    type_name: String,
    log: String,
    observed_size: u64,
    observed_root: String,
    recipients_number: u64,
}

const NOTHING: Head = Head { size: 0, root: EMPTY_ROOT };
const TYPE: &str = "exhibit-camera-state/v1";

impl AgentState {
    /// Reads it, or begins: nothing observed, no recipients. What was observed of another log than `log` is nothing of this one.
    pub fn open(path: &Path, log: Hash) -> Result<Self, StateError> {
        let storage = |source| StateError::Storage { path: path.to_owned(), source };
        let mut state = Self { path: path.to_owned(), log, observed: NOTHING, ended: Vec::new(), recipients_number: 0 };
        if let Some(bytes) = storage::read_bounded(path, STATE_BYTES_MAX).map_err(storage)? {
            let damaged = || StateError::Damaged(path.to_owned());
            let file: StateFile = serde_json::from_slice(&bytes).map_err(|_| damaged())?;
            if file.type_name != TYPE {
                return Err(damaged());
            }
            let observed = Head { size: file.observed_size, root: Hash::from_hex(&file.observed_root).ok_or_else(damaged)? };
            if Hash::from_hex(&file.log).ok_or_else(damaged)? == log {
                state.observed = observed;
            }
            state.recipients_number = file.recipients_number;
        }
        Ok(state)
    }

    /// The last head that was verified, and synced here.
    pub fn observed(&self) -> Head {
        self.observed
    }

    /// The same of any log that this run has stated to.
    pub fn observed_of(&self, log: &Hash) -> Head {
        let ended = self.ended.iter().find(|(ended, _)| ended == log);
        ended.map_or(if self.log == *log { self.observed } else { NOTHING }, |(_, observed)| *observed)
    }

    /// Goes on in another log, of which nothing was observed yet. Synced when this returns.
    pub fn go_on(&mut self, log: Hash) -> Result<(), StateError> {
        self.ended.push((self.log, self.observed));
        self.log = log;
        self.observed = NOTHING;
        // Where it can not be written, the file is of another log, and what it says was observed is nothing of this one.
        self.write(NOTHING, self.recipients_number)
    }

    /// The number of the last recipients that were accepted; 0 before the first.
    pub fn recipients_number(&self) -> u64 {
        self.recipients_number
    }

    /// Takes a head whose consistency with `observed` the caller has verified. Synced when this returns.
    pub fn advance(&mut self, head: Head) -> Result<(), StateError> {
        if head.size < self.observed.size {
            return Err(StateError::Older { observed: self.observed.size, offered: head.size });
        }
        if head.size > self.observed.size {
            self.write(head, self.recipients_number)?;
            self.observed = head;
        }
        Ok(())
    }

    /// Remembers the number of accepted recipients. Synced when this returns.
    pub fn accept_recipients(&mut self, number: u64) -> Result<(), StateError> {
        if number > self.recipients_number {
            self.write(self.observed, number)?;
            self.recipients_number = number;
        }
        Ok(())
    }

    fn write(&self, observed: Head, recipients_number: u64) -> Result<(), StateError> {
        let file = StateFile {
            type_name: TYPE.to_owned(),
            log: self.log.to_string(),
            observed_size: observed.size,
            observed_root: observed.root.to_string(),
            recipients_number,
        };
        let json = serde_json::to_vec_pretty(&file).expect("the state is plain data");
        storage::replace(&self.path, &json).map_err(|source| StateError::Storage { path: self.path.clone(), source })
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    const LOG: Hash = Hash([9; 32]);

    fn head(size: u64) -> Head {
        Head { size, root: Hash([size as u8; 32]) }
    }

    #[test]
    fn the_observed_head_never_falls_and_outlives_a_restart() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("state.json");
        let mut state = AgentState::open(&path, LOG).unwrap();
        assert_eq!(state.observed(), Head { size: 0, root: EMPTY_ROOT });
        state.advance(head(5)).unwrap();
        assert!(matches!(state.advance(head(4)), Err(StateError::Older { observed: 5, offered: 4 })), "a shrunken log was believed");
        state.accept_recipients(3).unwrap();
        state.accept_recipients(2).unwrap();
        let again = AgentState::open(&path, LOG).unwrap();
        assert_eq!((again.observed(), again.recipients_number()), (head(5), 3));
    }

    #[test]
    fn what_was_observed_of_one_log_is_nothing_of_another() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("state.json");
        let (mut state, next) = (AgentState::open(&path, LOG).unwrap(), Hash([8; 32]));
        state.advance(head(5)).unwrap();
        state.accept_recipients(3).unwrap();
        state.go_on(next).unwrap();
        assert_eq!((state.observed(), state.observed_of(&LOG), state.observed_of(&next)), (NOTHING, head(5), NOTHING));
        state.advance(head(2)).unwrap();
        let again = AgentState::open(&path, next).unwrap();
        assert_eq!((again.observed(), again.recipients_number()), (head(2), 3));
        assert_eq!(AgentState::open(&path, LOG).unwrap().observed(), NOTHING, "a head of one log was taken for another's");
    }

    #[test]
    fn a_damaged_state_is_not_taken_for_none() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("state.json");
        std::fs::write(&path, b"{").unwrap();
        assert!(matches!(AgentState::open(&path, LOG), Err(StateError::Damaged(_))));
    }

    #[test]
    fn a_head_that_cannot_be_synced_is_not_used() {
        let folder = tempfile::tempdir().unwrap();
        let mut state = AgentState::open(&folder.path().join("gone/state.json"), LOG).unwrap();
        assert!(state.advance(head(5)).is_err());
        assert_eq!(state.observed().size, 0, "a statement would name a head that a crash makes it forget");
    }
}

//! A disk that breaks one write when it is told to.
//!
//! A write that broke is the last of its process: what the ledger does after it is a failure of the ledger.

use std::sync::Mutex;

use exhibit_ledger::{Disk, DiskWrite, LedgerError};

/// Breaks one write of one start.
#[derive(Default)]
pub struct BreakingDisk {
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// Writes until the one that breaks, and whether it is done nevertheless.
    due: Option<(usize, bool)>,
    is_broken: bool,
}

impl BreakingDisk {
    /// The write after so many breaks.
    pub fn break_after(&self, writes: usize, is_done: bool) {
        let mut state = self.state.lock().expect("nobody panics with the lock");
        state.due.get_or_insert((writes, is_done));
    }

    /// Whether one has broken.
    pub fn is_broken(&self) -> bool {
        self.state.lock().expect("nobody panics with the lock").is_broken
    }
}

impl Disk for BreakingDisk {
    fn perform(&self, what: DiskWrite, write: &mut dyn FnMut() -> Result<(), LedgerError>) -> Result<(), LedgerError> {
        let fate = {
            let mut state = self.state.lock().expect("nobody panics with the lock");
            assert!(!state.is_broken, "{what:?} was written after a write had failed");
            match state.due {
                Some((0, is_done)) => {
                    state.is_broken = true;
                    Some(is_done)
                }
                Some((writes, is_done)) => {
                    state.due = Some((writes - 1, is_done));
                    None
                }
                None => None,
            }
        };
        match fate {
            None => write(),
            Some(is_done) => {
                if is_done {
                    write()?;
                }
                Err(LedgerError::Storage("the simulated disk failed".into()))
            }
        }
    }
}

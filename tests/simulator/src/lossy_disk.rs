//! The disk of a witness: what was not synced is gone after a power cut, and one operation fails when it is told to.
//!
//! It grants no more than POSIX does: content is durable once the file was synced, a name once its folder was.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard};
use std::{fs, io};

use exhibit_witness::disk::{Disk, LocalDisk};

/// Files as they are shown, and what of them is durable.
#[derive(Default)]
pub struct LossyDisk(Mutex<State>);

#[derive(Default)]
struct State {
    /// Of each file that there ever was, the content that is durable.
    files: Vec<Option<Vec<u8>>>,
    shown: BTreeMap<PathBuf, usize>,
    durable: BTreeMap<PathBuf, usize>,
    /// Operations until the one that fails, and whether it is done nevertheless.
    due: Option<(usize, bool)>,
    failed: usize,
}

impl LossyDisk {
    /// The operation after so many fails.
    pub fn break_after(&self, operations: usize, is_done: bool) {
        self.state().due = Some((operations, is_done));
    }

    /// How many have failed.
    pub fn failed(&self) -> usize {
        self.state().failed
    }

    /// Everything that is not durable is gone. Nobody has a file open.
    pub fn cut_power(&self) {
        let mut state = self.state();
        for path in state.shown.keys() {
            let _ = fs::remove_file(path);
        }
        for (path, file) in &state.durable {
            fs::write(path, state.files[*file].as_deref().unwrap_or_default()).expect("memory can be written");
        }
        state.shown = state.durable.clone();
        state.due = None;
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().expect("nobody panics with the lock")
    }

    fn perform(&self, operation: impl FnOnce(&mut State) -> io::Result<()>) -> io::Result<()> {
        let mut state = self.state();
        let fails = match &mut state.due {
            Some((0, is_done)) => Some(*is_done),
            Some((left, _)) => {
                *left -= 1;
                None
            }
            None => None,
        };
        match fails {
            None => operation(&mut state),
            Some(is_done) => {
                state.due = None;
                state.failed += 1;
                if is_done {
                    operation(&mut state)?;
                }
                Err(io::Error::other("the simulated disk failed"))
            }
        }
    }
}

impl Disk for LossyDisk {
    fn write(&self, path: &Path, bytes: &[u8]) -> io::Result<()> {
        self.perform(|state| {
            LocalDisk.write(path, bytes)?;
            if !state.shown.contains_key(path) {
                state.files.push(None);
                state.shown.insert(path.to_owned(), state.files.len() - 1);
            }
            Ok(())
        })
    }

    fn sync_file(&self, path: &Path) -> io::Result<()> {
        self.perform(|state| {
            let file = state.shown[path];
            state.files[file] = Some(fs::read(path)?);
            Ok(())
        })
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.perform(|state| {
            LocalDisk.rename(from, to)?;
            let file = state.shown.remove(from).expect("what is renamed was written");
            state.shown.insert(to.to_owned(), file);
            Ok(())
        })
    }

    fn sync_folder(&self, folder: &Path) -> io::Result<()> {
        self.perform(|state| {
            let is_in = |path: &PathBuf| path.parent() == Some(folder);
            state.durable.retain(|path, _| !is_in(path));
            let named: Vec<_> = state.shown.iter().filter(|(path, _)| is_in(path)).map(|(path, file)| (path.clone(), *file)).collect();
            state.durable.extend(named);
            Ok(())
        })
    }
}

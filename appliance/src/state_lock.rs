//! One program at a time has a state folder: it serves it, mends it, ends its log or begins one in it.
//!
//! It keeps nobody from reading: `fsck`, `anchor` and `seal` look at a folder that is in use.

use std::fs::{File, OpenOptions, TryLockError};
use std::ops::Deref;
use std::os::unix::fs::OpenOptionsExt;
use std::sync::Arc;

use crate::setup::{Folder, SetupError};

/// A state folder that no other program has, until the last clone is dropped.
#[derive(Clone)]
pub struct LockedFolder {
    folder: Folder,
    _lock: Arc<Lock>,
}

/// The kernel frees it with the process, however that ends.
struct Lock(File);

impl Drop for Lock {
    fn drop(&mut self) {
        // Closing alone would not: a program that is just being started (a TPM's) has our files until it is itself.
        if let Err(error) = self.0.unlock() {
            tracing::warn!(%error, "the lock of the state folder is freed later");
        }
    }
}

impl Folder {
    /// Takes the folder, which must exist. Fails at once where another program has it.
    pub fn lock(&self) -> Result<LockedFolder, SetupError> {
        let path = self.path().join(LOCK);
        let failed = |source| SetupError::File { path: path.clone(), source };
        let file = OpenOptions::new().write(true).create(true).truncate(false).mode(0o600).open(&path).map_err(failed)?;
        match file.try_lock() {
            Ok(()) => Ok(LockedFolder { folder: self.clone(), _lock: Arc::new(Lock(file)) }),
            Err(TryLockError::WouldBlock) => Err(SetupError::InUse(self.path().to_owned())),
            Err(TryLockError::Error(source)) => Err(failed(source)),
        }
    }
}

impl Deref for LockedFolder {
    type Target = Folder;
    fn deref(&self) -> &Folder {
        &self.folder
    }
}

/// It stays where it is: removing it would let two programs lock two files of that name.
const LOCK: &str = "lock";

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn who_lets_go_has_let_go_also_while_a_child_is_being_started() {
        let folder = tempfile::tempdir().unwrap();
        let state = Folder::new(folder.path());
        let locked = state.lock().unwrap();
        assert!(matches!(state.lock(), Err(SetupError::InUse(_))));
        // As a child has it between fork and exec.
        let of_child = locked._lock.0.try_clone().unwrap();
        drop(locked);
        let again = state.lock();
        assert!(again.is_ok(), "a folder that nobody uses is in use");
        drop(of_child);
        assert!(matches!(state.lock(), Err(SetupError::InUse(_))), "the child's end has freed what is ours by now");
    }
}

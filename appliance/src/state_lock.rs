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
    /// The kernel frees it with the process, however that ends.
    _lock: Arc<File>,
}

impl Folder {
    /// Takes the folder, which must exist. Fails at once where another program has it.
    pub fn lock(&self) -> Result<LockedFolder, SetupError> {
        let path = self.path().join(LOCK);
        let failed = |source| SetupError::File { path: path.clone(), source };
        let file = OpenOptions::new().write(true).create(true).truncate(false).mode(0o600).open(&path).map_err(failed)?;
        match file.try_lock() {
            Ok(()) => Ok(LockedFolder { folder: self.clone(), _lock: Arc::new(file) }),
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

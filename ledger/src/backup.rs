//! A copy of a ledger in use, as of one moment: RocksDB's checkpoint, synced, with the signed head beside it.
//!
//! It knows nothing of what lies beside the ledger: its owner copies that afterwards, so that everything that an entry names is there.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

use rocksdb::checkpoint::Checkpoint as Snapshot;

use crate::ledger::DATABASE_FOLDER;
use crate::{Ledger, LedgerError};

impl Ledger {
    /// Copies the ledger into `folder`, which must not exist; its parent must. Tables are hard links where that is on the same file system.
    /// The folder appears under its name once all of it is on disk: a cut leaves `<folder>.partial`, which the next backup replaces.
    ///
    /// The copy opens like any ledger. Gives the number of entries that it has at least.
    pub fn backup(&self, folder: &Path) -> Result<u64, LedgerError> {
        // What a failed sync has left is no ledger to go back to: the live one may go on without it.
        let size = self.readable_size()?;
        let partial = partial(folder);
        let failed = |path: &Path| {
            let path = path.display().to_string();
            move |error: io::Error| LedgerError::Storage(format!("the backup to {path}: {error}"))
        };
        if folder.exists() {
            return Err(failed(folder)(io::ErrorKind::AlreadyExists.into()));
        }
        match fs::remove_dir_all(&partial) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(failed(&partial)(error)),
            _ => fs::create_dir(&partial).map_err(failed(&partial))?,
        }
        let database = self.database();
        let snapshot = Snapshot::new(database).and_then(|snapshot| snapshot.create_checkpoint(partial.join(DATABASE_FOLDER)));
        snapshot.map_err(|error| LedgerError::Storage(error.into_string()))?;
        sync_all(&partial).map_err(failed(&partial))?;
        fs::rename(&partial, folder).map_err(failed(folder))?;
        let parent = folder.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
        File::open(parent).and_then(|parent| parent.sync_all()).map_err(failed(parent))?;
        Ok(size)
    }
}

fn partial(folder: &Path) -> PathBuf {
    let mut name = folder.as_os_str().to_owned();
    name.push(".partial");
    name.into()
}

/// Every file and every folder, whatever RocksDB has synced itself.
fn sync_all(folder: &Path) -> io::Result<()> {
    for file in fs::read_dir(folder)? {
        let file = file?;
        if file.file_type()?.is_dir() {
            sync_all(&file.path())?;
        } else {
            File::open(file.path())?.sync_all()?;
        }
    }
    File::open(folder)?.sync_all()
}

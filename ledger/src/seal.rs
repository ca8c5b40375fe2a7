//! The newest head once more, outside of the ledger's folder: it tells a ledger that is whole from one that is whole and old.
//!
//! It keeps a head and judges nothing. Who can write both places can still roll back both: a TPM, a witness and every receipt that somebody
//! holds are harder to take along.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use exhibit_tlog::note::NOTE_SIZE_BYTES_MAX;
use exhibit_tlog::{Checkpoint, Hash, LogVerifier};

/// A place outside of the ledger's folder that keeps the newest head. It is read at start, before anything is signed, and written at start,
/// at stop and in between.
pub trait HeadSeal: Send + Sync {
    /// The newest head that was written; `None` if there never was one.
    fn read(&self) -> Result<Option<SealedHead>, SealError>;
    /// Keeps a head in place of the one before, durable when this returns. `note` is the signed checkpoint.
    fn write(&self, head: &Checkpoint, note: &str) -> Result<(), SealError>;
    /// At least so many seconds lie between two writes while the ledger runs.
    fn interval_s(&self) -> u64;
    /// Keeps others from going on with the log while this value lives: asked for at start, before the head is read. A copy of the folder that is
    /// as new as the seal passes every other check. A seal that can not tell refuses nobody.
    fn claim(&self) -> Result<(), SealError> {
        Ok(())
    }
    /// Who keeps it, where that is somebody else: a refusal names them.
    fn holder(&self) -> Option<String> {
        None
    }
}

/// Size and root that were sealed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SealedHead {
    /// Number of entries.
    pub size: u64,
    /// Root over them.
    pub root: Hash,
}

/// Why a head was not read or written: the operator's to mend.
#[derive(Debug, thiserror::Error)]
#[error("{place}: {defect}")]
pub struct SealError {
    /// Which seal.
    pub place: String,
    /// What is wrong with it.
    pub defect: String,
}

/// A file that holds the signed checkpoint: it proves itself, and anybody can read it.
pub struct SealedFile {
    path: PathBuf,
    log: LogVerifier,
    /// Beside the file, which is replaced: taken by whoever goes on with the log.
    lock: Mutex<Option<File>>,
}

impl Drop for SealedFile {
    fn drop(&mut self) {
        if let Some(file) = self.lock.get_mut().unwrap_or_else(PoisonError::into_inner) {
            // Closing alone would not free it while another thread is starting a program, which has our files until it is itself.
            let _ = file.unlock();
        }
    }
}

impl SealedFile {
    /// The file need not exist; its folder must. `log` is whose checkpoint it has to be.
    #[must_use]
    pub fn new(path: &Path, log: LogVerifier) -> Self {
        Self { path: path.to_owned(), log, lock: Mutex::default() }
    }

    fn failed(&self, defect: impl ToString) -> SealError {
        SealError { place: self.path.display().to_string(), defect: defect.to_string() }
    }

    /// The whole name and more: seals whose names differ in their ends only must not share a file.
    fn beside(&self, end: &str) -> PathBuf {
        let mut name = self.path.as_os_str().to_owned();
        name.push(end);
        name.into()
    }

    /// Beside the file, synced, then in its place.
    fn replace(&self, note: &str) -> io::Result<()> {
        let beside = self.beside(".new");
        let folder = self.path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
        let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&beside)?;
        file.write_all(note.as_bytes())?;
        file.sync_all()?;
        fs::rename(&beside, &self.path)?;
        File::open(folder)?.sync_all()
    }
}

impl HeadSeal for SealedFile {
    fn read(&self) -> Result<Option<SealedHead>, SealError> {
        match fs::metadata(&self.path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(self.failed(error)),
            Ok(metadata) if metadata.len() > NOTE_SIZE_BYTES_MAX as u64 => return Err(self.failed("it is no signed checkpoint: too long")),
            Ok(_) => {}
        }
        let note = fs::read_to_string(&self.path).map_err(|error| self.failed(error))?;
        let head = self.log.verify(&note).map_err(|error| self.failed(error))?;
        Ok(Some(SealedHead { size: head.size, root: head.root }))
    }

    fn write(&self, _: &Checkpoint, note: &str) -> Result<(), SealError> {
        self.replace(note).map_err(|error| self.failed(error))
    }

    fn interval_s(&self) -> u64 {
        FILE_INTERVAL_S
    }

    fn claim(&self) -> Result<(), SealError> {
        let mut held = self.lock.lock().unwrap_or_else(PoisonError::into_inner);
        if held.is_some() {
            return Ok(());
        }
        let path = self.beside(".lock");
        let file =
            OpenOptions::new().write(true).create(true).truncate(false).mode(0o600).open(&path).map_err(|error| self.failed(error))?;
        match file.try_lock() {
            Ok(()) => *held = Some(file),
            Err(TryLockError::WouldBlock) => return Err(self.failed(TAKEN)),
            // Some file systems have no locks.
            Err(TryLockError::Error(error)) => {
                tracing::warn!(%error, path = %path.display(), "the seal can not be locked: two copies of the log could go on at once")
            }
        }
        Ok(())
    }
}

const TAKEN: &str = "another process goes on with this log, from this folder or from a copy of it. Two would fork the log: stop one of them, and keep \
    the folder whose process ran first";

/// One small synced file a minute costs nothing, and a minute is what a rollback to a copy could hide.
const FILE_INTERVAL_S: u64 = 60;

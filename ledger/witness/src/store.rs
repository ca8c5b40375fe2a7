//! What a witness must not forget: of each log the last checkpoint that it has cosigned, one file each, replaced whole.
//!
//! It judges no checkpoint. A file is a signed note, so that whoever reads it back verifies it; no checksum is needed beside that.

use std::collections::BTreeSet;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use exhibit_tlog::note::NOTE_SIZE_BYTES_MAX;

use crate::disk::Disk;

/// The files of one witness, opened by one process.
pub struct Store {
    folder: PathBuf,
    disk: Arc<dyn Disk>,
    /// Logs of which something has been cosigned. A file of one of these that is missing was lost.
    seen: Mutex<BTreeSet<String>>,
    lock: File,
}

/// Why a checkpoint was not kept.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// Nothing has changed: the one before is still the last.
    #[error("{path} could not be written: {source}. Nothing has changed; see that there is room on the disk")]
    Write {
        /// Which file.
        path: PathBuf,
        /// What happened.
        source: io::Error,
    },
    /// What is on the disk is not certain any more: the process has to end.
    #[error("{path} could not be made durable: {source}")]
    Sync {
        /// Which file or folder.
        path: PathBuf,
        /// What happened.
        source: io::Error,
    },
    /// The folder can not be read.
    #[error("{path}: {source}")]
    Read {
        /// Which file or folder.
        path: PathBuf,
        /// What happened.
        source: io::Error,
    },
    /// Another process has it.
    #[error("another witness is using {0}")]
    Busy(PathBuf),
    /// Something has been cosigned, and the file that says what is gone.
    #[error(
        "{0} is missing, and something has been cosigned of that log. Bring the file back as it was; where it is lost for good, this witness \
         must not go on for the log under the same keys: make a new witness"
    )]
    Lost(PathBuf),
}

impl Drop for Store {
    fn drop(&mut self) {
        // Closing alone would not free it while another thread is starting a program, which has our files until it is itself.
        let _ = self.lock.unlock();
    }
}

impl Store {
    /// Opens the folder, which is made if it is not there.
    pub fn open(folder: &Path, disk: Arc<dyn Disk>) -> Result<Self, StoreError> {
        let read = |path: &Path| {
            let path = path.to_owned();
            move |source| StoreError::Read { path, source }
        };
        if !folder.exists() {
            fs::create_dir(folder).map_err(read(folder))?;
            let parent = folder.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
            disk.sync_folder(parent).map_err(|source| StoreError::Sync { path: parent.to_owned(), source })?;
        }
        let lock_path = folder.join("lock");
        let lock = OpenOptions::new().create(true).truncate(false).write(true).open(&lock_path).map_err(read(&lock_path))?;
        lock.try_lock().map_err(|_| StoreError::Busy(folder.to_owned()))?;
        let mut seen = BTreeSet::new();
        if let Some(text) = read_text(&folder.join(SEEN), SEEN_SIZE_BYTES_MAX)? {
            seen.extend(text.lines().map(str::to_owned));
        }
        Ok(Self { folder: folder.to_owned(), disk, seen: Mutex::new(seen), lock })
    }

    /// The last note that was kept for a log, by the hash of its origin.
    pub fn load(&self, origin_hash: &str) -> Result<Option<String>, StoreError> {
        let path = self.folder.join(origin_hash);
        let note = read_text(&path, NOTE_SIZE_BYTES_MAX as u64)?;
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        match note {
            None if seen.contains(origin_hash) => Err(StoreError::Lost(path)),
            Some(note) => {
                // A crash may have come before the log was listed.
                self.list(&mut seen, origin_hash)?;
                Ok(Some(note))
            }
            None => Ok(None),
        }
    }

    /// Keeps a note in the place of the one before: when this returns, it is durable. The caller holds the log's lock.
    pub fn replace(&self, origin_hash: &str, note: &str) -> Result<(), StoreError> {
        self.write_aside_and_rename(origin_hash, note.as_bytes())?;
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        self.list(&mut seen, origin_hash)
    }

    /// The checkpoint that convicts a log, if one was kept.
    pub fn load_fork(&self, origin_hash: &str) -> Result<Option<String>, StoreError> {
        read_text(&self.folder.join(format!("{origin_hash}.fork")), NOTE_SIZE_BYTES_MAX as u64)
    }

    /// Keeps the checkpoint that convicts a log.
    pub fn keep_fork(&self, origin_hash: &str, note: &str) -> Result<(), StoreError> {
        // Two at once must not write one file aside.
        let _turn = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        self.write_aside_and_rename(&format!("{origin_hash}.fork"), note.as_bytes())
    }

    /// Once for each log, and after its file: a listed log without a file is a lost one.
    fn list(&self, seen: &mut BTreeSet<String>, origin_hash: &str) -> Result<(), StoreError> {
        if seen.contains(origin_hash) {
            return Ok(());
        }
        let listed: String = seen.iter().map(String::as_str).chain([origin_hash]).flat_map(|hash| [hash, "\n"]).collect();
        match self.write_aside_and_rename(SEEN, listed.as_bytes()) {
            // The log's own file is new already, so this is no failure that leaves all as it was.
            Err(StoreError::Write { path, source }) => return Err(StoreError::Sync { path, source }),
            other => other?,
        }
        seen.insert(origin_hash.to_owned());
        Ok(())
    }

    fn write_aside_and_rename(&self, name: &str, bytes: &[u8]) -> Result<(), StoreError> {
        let path = self.folder.join(name);
        let aside = self.folder.join(format!("{name}.part"));
        self.disk.write(&aside, bytes).map_err(|source| StoreError::Write { path: aside.clone(), source })?;
        let sync = |path: &Path| {
            let path = path.to_owned();
            move |source| StoreError::Sync { path, source }
        };
        self.disk.sync_file(&aside).map_err(sync(&aside))?;
        // A rename that fails may have happened all the same.
        self.disk.rename(&aside, &path).map_err(sync(&path))?;
        self.disk.sync_folder(&self.folder).map_err(sync(&self.folder))
    }
}

fn read_text(path: &Path, bytes_max: u64) -> Result<Option<String>, StoreError> {
    let failed = |source| StoreError::Read { path: path.to_owned(), source };
    let file = match File::open(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        file => file.map_err(failed)?,
    };
    let mut text = String::new();
    file.take(bytes_max + 1).read_to_string(&mut text).map_err(failed)?;
    if text.len() as u64 > bytes_max {
        return Err(failed(io::Error::new(io::ErrorKind::InvalidData, "it is too long to be what was written")));
    }
    Ok(Some(text))
}

/// Which logs something has been cosigned of: the hashes of their origins, a line each.
const SEEN: &str = "seen";
/// A quarter of a million logs.
const SEEN_SIZE_BYTES_MAX: u64 = 16 * 1024 * 1024;

//! The vault in a folder: written aside, synced, renamed, the folder synced; two hexadecimal digits of fan-out.
//!
//! It does not know what objects mean. It is used by one process at a time, which the ledger's lock beside it sees to.

use std::fs::{self, DirBuilder, File};
use std::io;
use std::os::unix::fs::{DirBuilderExt, FileExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use super::files::{FileLayer, LocalFiles};
use super::{Object, Staged, StoredObject, Vault, VaultError};

const STAGING: &str = "staging";
const PAYLOADS: &str = "payloads";
const ATTACHMENTS: &str = "attachments";
/// The folders that objects lie in, below one for each first byte of their hashes.
pub const OBJECT_FOLDERS: [&str; 2] = [PAYLOADS, ATTACHMENTS];

/// A vault in a folder.
pub struct LocalVault<F: FileLayer = LocalFiles> {
    shared: Arc<Shared<F>>,
}

struct Shared<F> {
    files: F,
    folder: PathBuf,
    /// Makes the names of staged files unique in this process; those of earlier ones are removed at start.
    staged: AtomicU64,
}

impl LocalVault {
    /// Opens or creates the vault in `folder`, and removes what an earlier process had staged and not committed.
    pub fn open(folder: &Path) -> Result<Self, VaultError> {
        Self::open_with(folder, LocalFiles)
    }
}

impl LocalVault {
    /// A vault for reading only, which may be in use: nothing is made or removed.
    pub fn as_it_is(folder: &Path) -> Arc<dyn Vault> {
        let shared = Shared { files: LocalFiles, folder: folder.to_owned(), staged: AtomicU64::new(0) };
        Arc::new(Self { shared: Arc::new(shared) })
    }

    /// Whether a vault was made in that folder.
    pub fn is_in(folder: &Path) -> bool {
        folder.join(PAYLOADS).is_dir()
    }

    /// A folder of a vault's own: without it, the disk that is to be mounted at `folder` is not.
    pub fn on_its_disk(folder: &Path) -> PathBuf {
        folder.join(PAYLOADS)
    }

    /// Removes an object that may be there, durably.
    pub fn remove(folder: &Path, object: Object) -> Result<(), VaultError> {
        let path = path_in(folder, object);
        match fs::remove_file(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            removed => removed.map_err(VaultError::Write)?,
        }
        LocalFiles.sync_folder(path.parent().expect("objects lie in folders")).map_err(VaultError::Sync)
    }
}

impl<F: FileLayer> LocalVault<F> {
    /// The same on another file layer.
    pub fn open_with(folder: &Path, files: F) -> Result<Self, VaultError> {
        // All folders exist before the first object, so that a commit has one folder to sync.
        create_folders(folder).map_err(VaultError::Write)?;
        // The vault's own name too, also if an earlier start made it.
        let parent = folder.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
        for made in [&folder.join(PAYLOADS), &folder.join(ATTACHMENTS), folder, parent] {
            files.sync_folder(made).map_err(VaultError::Sync)?;
        }
        for stale in fs::read_dir(folder.join(STAGING)).map_err(VaultError::Read)? {
            files.remove(&stale.map_err(VaultError::Read)?.path()).map_err(VaultError::Write)?;
        }
        Ok(Self { shared: Arc::new(Shared { files, folder: folder.to_owned(), staged: AtomicU64::new(0) }) })
    }
}

fn create_folders(folder: &Path) -> io::Result<()> {
    let mut builder = DirBuilder::new();
    builder.recursive(true).mode(0o700);
    builder.create(folder.join(STAGING))?;
    for kind in [PAYLOADS, ATTACHMENTS] {
        for first_byte in 0..=u8::MAX {
            builder.create(folder.join(kind).join(hex::encode([first_byte])))?;
        }
    }
    Ok(())
}

impl<F> Shared<F> {
    fn path_of(&self, object: Object) -> PathBuf {
        path_in(&self.folder, object)
    }
}

fn path_in(folder: &Path, object: Object) -> PathBuf {
    let (kind, hash) = match object {
        Object::Payload(hash) => (PAYLOADS, hash),
        Object::Attachment(hash) => (ATTACHMENTS, hash),
    };
    folder.join(kind).join(hex::encode(&hash.0[..1])).join(hash.to_string())
}

impl<F: FileLayer> Vault for LocalVault<F> {
    fn stage(&self) -> Result<Box<dyn Staged>, VaultError> {
        let number = self.shared.staged.fetch_add(1, Ordering::Relaxed);
        let path = self.shared.folder.join(STAGING).join(number.to_string());
        let file = self.shared.files.create_new(&path).map_err(VaultError::Write)?;
        Ok(Box::new(StagedFile { shared: self.shared.clone(), path: Some(path), file }))
    }

    fn open(&self, object: Object) -> Result<Option<Box<dyn StoredObject>>, VaultError> {
        let file = match File::open(self.shared.path_of(object)) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(VaultError::Read(error)),
        };
        stored(file).map(Some)
    }
}

fn stored(file: File) -> Result<Box<dyn StoredObject>, VaultError> {
    let length = file.metadata().map_err(VaultError::Read)?.len();
    Ok(Box::new(StoredFile { file, length }))
}

struct StagedFile<F: FileLayer> {
    shared: Arc<Shared<F>>,
    /// `None` once the file has its final name.
    path: Option<PathBuf>,
    file: F::File,
}

impl<F: FileLayer> Staged for StagedFile<F> {
    fn write(&mut self, pieces: &[&[u8]]) -> Result<(), VaultError> {
        self.shared.files.write_all(&mut self.file, pieces).map_err(VaultError::Write)
    }

    fn written(&self) -> Result<Box<dyn StoredObject>, VaultError> {
        stored(File::open(self.path.as_ref().expect("a staged file is committed once")).map_err(VaultError::Read)?)
    }

    fn commit(mut self: Box<Self>, object: Object) -> Result<(), VaultError> {
        let files = &self.shared.files;
        files.sync(&self.file).map_err(VaultError::Sync)?;
        let target = self.shared.path_of(object);
        let staged = self.path.as_ref().expect("a staged file is committed once");
        files.rename(staged, &target).map_err(VaultError::Write)?;
        self.path = None;
        files.sync_folder(target.parent().expect("objects lie in folders")).map_err(VaultError::Sync)
    }
}

impl<F: FileLayer> Drop for StagedFile<F> {
    fn drop(&mut self) {
        if let Some(path) = &self.path
            && let Err(error) = self.shared.files.remove(path)
        {
            // The next start removes it.
            tracing::warn!(%error, "a staged file could not be removed");
        }
    }
}

struct StoredFile {
    file: File,
    length: u64,
}

impl StoredObject for StoredFile {
    fn length(&self) -> u64 {
        self.length
    }
    fn read_exact_at(&self, buffer: &mut [u8], offset: u64) -> Result<(), VaultError> {
        self.file.read_exact_at(buffer, offset).map_err(VaultError::Read)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use exhibit_tlog::Hash;
    use std::sync::Mutex;

    /// Records the calls by name and final path component, and fails the call that it is told to.
    #[derive(Clone, Default)]
    struct Recorder {
        calls: Arc<Mutex<Vec<String>>>,
        failing: Arc<Mutex<Option<&'static str>>>,
    }

    impl Recorder {
        fn record(&self, call: &'static str, path: &Path) -> io::Result<()> {
            self.calls.lock().unwrap().push(format!("{call} {}", path.file_name().unwrap().display()));
            if *self.failing.lock().unwrap() == Some(call) { Err(io::Error::other("no space")) } else { Ok(()) }
        }
        fn take(&self) -> Vec<String> {
            std::mem::take(&mut self.calls.lock().unwrap())
        }
    }

    impl FileLayer for Recorder {
        type File = (PathBuf, File);
        fn create_new(&self, path: &Path) -> io::Result<Self::File> {
            self.record("create", path)?;
            Ok((path.to_owned(), LocalFiles.create_new(path)?))
        }
        fn write_all(&self, file: &mut Self::File, pieces: &[&[u8]]) -> io::Result<()> {
            self.record("write", &file.0)?;
            LocalFiles.write_all(&mut file.1, pieces)
        }
        fn sync(&self, file: &Self::File) -> io::Result<()> {
            self.record("sync", &file.0)?;
            LocalFiles.sync(&file.1)
        }
        fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
            self.record("rename", to)?;
            LocalFiles.rename(from, to)
        }
        fn sync_folder(&self, folder: &Path) -> io::Result<()> {
            self.record("sync-folder", folder)?;
            LocalFiles.sync_folder(folder)
        }
        fn remove(&self, path: &Path) -> io::Result<()> {
            self.record("remove", path)?;
            LocalFiles.remove(path)
        }
    }

    const OBJECT: Object = Object::Payload(Hash([0xab; 32]));

    #[test]
    fn an_object_is_synced_before_it_gets_its_name_and_its_folder_after() {
        let folder = tempfile::tempdir().unwrap();
        let recorder = Recorder::default();
        let vault = LocalVault::open_with(folder.path(), recorder.clone()).unwrap();
        recorder.take();
        let mut staged = vault.stage().unwrap();
        staged.write(&[b"first"]).unwrap();
        staged.write(&[b" second"]).unwrap();
        staged.commit(OBJECT).unwrap();
        let name = "ab".repeat(32);
        assert_eq!(recorder.take(), ["create 0", "write 0", "write 0", "sync 0", &format!("rename {name}"), "sync-folder ab"]);
        assert_eq!(vault.read(OBJECT, 12).unwrap().unwrap(), b"first second");
        assert!(vault.read(OBJECT, 11).is_err(), "an object longer than was asked for was read into memory");
        assert!(folder.path().join("payloads/ab").join(name).exists());
        assert!(vault.open(Object::Attachment(Hash([0xab; 32]))).unwrap().is_none(), "payloads and attachments share names");
    }

    #[test]
    fn what_fails_is_told_and_leaves_no_object() {
        for (failing, is_sync) in [("write", false), ("sync", true), ("rename", false)] {
            let folder = tempfile::tempdir().unwrap();
            let recorder = Recorder::default();
            let vault = LocalVault::open_with(folder.path(), recorder.clone()).unwrap();
            *recorder.failing.lock().unwrap() = Some(failing);
            let error = vault.put(OBJECT, b"bytes").unwrap_err();
            assert_eq!(matches!(error, VaultError::Sync(_)), is_sync, "{failing}");
            assert!(vault.open(OBJECT).unwrap().is_none(), "an object was shown though its {failing} failed");
            assert_eq!(fs::read_dir(folder.path().join(STAGING)).unwrap().count(), 0, "a failed {failing} left a staged file");
        }
    }

    #[test]
    fn a_folder_that_can_not_be_synced_is_an_unknown_state() {
        let folder = tempfile::tempdir().unwrap();
        let recorder = Recorder::default();
        let vault = LocalVault::open_with(folder.path(), recorder.clone()).unwrap();
        *recorder.failing.lock().unwrap() = Some("sync-folder");
        assert!(matches!(vault.put(OBJECT, b"bytes"), Err(VaultError::Sync(_))));
    }

    #[test]
    fn two_uploads_of_one_object_have_two_staging_files() {
        let folder = tempfile::tempdir().unwrap();
        let vault = LocalVault::open(folder.path()).unwrap();
        let (mut first, mut second) = (vault.stage().unwrap(), vault.stage().unwrap());
        first.write(&[b"by"]).unwrap();
        second.write(&[b"bytes"]).unwrap();
        first.write(&[b"tes"]).unwrap();
        first.commit(OBJECT).unwrap();
        second.commit(OBJECT).unwrap();
        assert_eq!(vault.read(OBJECT, 5).unwrap().unwrap(), b"bytes");
    }

    #[test]
    fn what_was_staged_before_a_crash_is_removed_at_start() {
        let folder = tempfile::tempdir().unwrap();
        let vault = LocalVault::open(folder.path()).unwrap();
        vault.put(OBJECT, b"kept").unwrap();
        let mut staged = vault.stage().unwrap();
        staged.write(&[b"half"]).unwrap();
        // As a SIGKILL leaves it.
        std::mem::forget(staged);
        let vault = LocalVault::open(folder.path()).unwrap();
        assert_eq!(fs::read_dir(folder.path().join(STAGING)).unwrap().count(), 0);
        assert_eq!(vault.read(OBJECT, 4).unwrap().unwrap(), b"kept");
        let mut staged = vault.stage().unwrap();
        staged.write(&[b"new"]).unwrap();
        drop(staged);
        assert_eq!(fs::read_dir(folder.path().join(STAGING)).unwrap().count(), 0, "a dropped upload left a file");
    }
}

//! A copy of an appliance in use: the ledger as of one moment, then everything that its entries name.
//!
//! Keys are not in it: they belong in a safe, and what holds them all can go on with the log, or fork it.

use std::ffi::{OsStr, OsString};
use std::fs;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt, symlink};
use std::path::Path;

use exhibit_ledger::{Ledger, LedgerError};
use rustix::fs::{AtFlags, CWD, Dir, FileType, Mode, OFlags, fstat, linkat, openat, readlinkat, statat};
use rustix::io::Errno;
use serde::{Deserialize, Serialize};

use super::{FileError, at, beside, remove_if_there, sync_folder};
use crate::ended::PREDECESSOR;
use crate::setup::{Folder, LEDGER, PUBLIC_FILES, VAULT};
use crate::vault::local::OBJECT_FOLDERS;

/// What was backed up.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Backup {
    /// Entries, at least.
    pub size: u64,
    /// Objects of the vault.
    pub objects: u64,
}

/// Why nothing was backed up: there is no folder of that name then.
#[derive(Debug, thiserror::Error)]
pub enum BackupError {
    /// A file.
    #[error(transparent)]
    File(#[from] FileError),
    /// The ledger.
    #[error(transparent)]
    Ledger(#[from] LedgerError),
    /// Not a place to back up to.
    #[error("{0} exists already: each backup is a new folder")]
    Exists(String),
    /// The appliance that was asked.
    #[error("{0}")]
    Refused(String),
}

/// Copies the appliance in `folder`, whose open ledger is `ledger`, into the new folder `to`.
pub fn back_up(folder: &Folder, ledger: &Ledger, to: &Path) -> Result<Backup, BackupError> {
    if to.exists() {
        return Err(BackupError::Exists(to.display().to_string()));
    }
    let partial = beside(to, ".partial");
    remove_if_there(&partial)?;
    let size = begin(folder, ledger, &partial)?;
    Ok(Backup { size, objects: finish(folder, &partial, to)? })
}

/// What a running appliance copies of itself into a new folder: all but the vault, which whoever asked copies. That may lie on another disk, and a
/// copy of it would fill the ledger's. Gives the entries that the copy has.
pub fn begin(folder: &Folder, ledger: &Ledger, partial: &Path) -> Result<u64, BackupError> {
    fs::create_dir(partial).map_err(at(partial))?;
    let size = ledger.backup(&partial.join(LEDGER))?;
    for name in PUBLIC_FILES {
        copy_if_there(&folder.path().join(name), &partial.join(name))?;
    }
    // A running appliance's file may have been changed to one that it would not start with: that is no reason to have no backup.
    for name in folder.config().map_or_else(|_| Vec::new(), |config| Folder::named_files(&config)) {
        copy_if_there(&folder.path().join(&name), &partial.join(&name))?;
    }
    link_predecessor(folder, partial)?;
    sync_folder(partial)?;
    Ok(size)
}

/// Adds the vault, and gives the backup its name. Objects come before their entries, and never change: all that its ledger names is there by now.
fn finish(folder: &Folder, partial: &Path, to: &Path) -> Result<u64, BackupError> {
    let vault = partial.join(VAULT);
    fs::create_dir(&vault).map_err(at(&vault))?;
    let objects = copy_objects(&folder.vault_path(), &vault)?;
    sync_folder(partial)?;
    fs::rename(partial, to).map_err(at(to))?;
    sync_folder(to.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new(".")))?;
    Ok(objects)
}

/// Takes what an appliance has begun where it belongs, on the same file system or another, and adds the vault; gives the number of its objects. Who
/// does it may be root, and the appliance may be in a thief's hands: no link is followed.
pub fn hand_over(folder: &Folder, made: &Path, to: &Path) -> Result<u64, BackupError> {
    let partial = beside(to, ".partial");
    remove_if_there(&partial)?;
    match fs::rename(made, &partial) {
        Err(error) if error.kind() == io::ErrorKind::CrossesDevices => {
            copy_all(open_folder(CWD, made.as_os_str()).map_err(at(made))?, made, &partial)?;
            remove_if_there(made)?;
        }
        renamed => renamed.map_err(at(&partial))?,
    }
    // Into a link that was put there, the vault would be written wherever it leads.
    open_folder(CWD, partial.as_os_str()).map_err(at(&partial))?;
    finish(folder, &partial, to)
}

/// A folder with all that is in it, synced; links as links.
fn copy_all(folder: OwnedFd, from: &Path, to: &Path) -> Result<(), FileError> {
    fs::create_dir(to).map_err(at(to))?;
    for name in names(&folder).map_err(at(from))? {
        let (source, target) = (from.join(&name), to.join(&name));
        match open_in(&folder, &name) {
            Err(Errno::LOOP) => {
                let named = readlinkat(&folder, &*name, Vec::new()).map_err(|error| at(&source)(error.into()))?;
                symlink(OsStr::from_bytes(named.to_bytes()), &target).map_err(at(&target))?;
            }
            opened => {
                let opened = opened.map_err(|error| at(&source)(error.into()))?;
                match FileType::from_raw_mode(fstat(&opened).map_err(|error| at(&source)(error.into()))?.st_mode) {
                    FileType::Directory => copy_all(opened, &source, &target)?,
                    FileType::RegularFile => copy_opened(opened.into(), &source, &target)?,
                    _ => return Err(at(&source)(io::Error::other("it is neither a file nor a folder"))),
                }
            }
        }
    }
    sync_folder(to)
}

/// Every object that `to` does not have yet; hard links where that is on the same file system. Objects are never changed, only replaced.
fn copy_objects(from: &Path, to: &Path) -> Result<u64, FileError> {
    let vault = fs::File::open(from).map_err(at(from))?;
    let mut objects = 0;
    for kind in OBJECT_FOLDERS {
        for first_byte in 0..=u8::MAX {
            let name = hex::encode([first_byte]);
            let (source, target) = (from.join(kind).join(&name), to.join(kind).join(&name));
            fs::create_dir_all(&target).map_err(at(&target))?;
            let folder = open_folder(&vault, OsStr::new(kind)).and_then(|kind| open_folder(&kind, OsStr::new(&name)));
            let folder = match folder {
                Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
                folder => folder.map_err(at(&source))?,
            };
            for file in names(&folder).map_err(at(&source))? {
                objects += u64::from(link_or_copy(&folder, &file, &source.join(&file), &target.join(&file))?);
            }
            sync_folder(&target)?;
        }
        sync_folder(&to.join(kind))?;
    }
    sync_folder(to)?;
    Ok(objects)
}

/// A copy of a folder names the same predecessor, where that is: without it a planned succession can not be shown.
pub(super) fn link_predecessor(folder: &Folder, copy: &Path) -> Result<(), FileError> {
    let (Some(before), link) = (folder.predecessor(), copy.join(PREDECESSOR)) else { return Ok(()) };
    if fs::symlink_metadata(&link).is_ok() { Ok(()) } else { symlink(before.path(), &link).map_err(at(&link)) }
}

fn copy_if_there(from: &Path, to: &Path) -> Result<(), FileError> {
    if from.exists() && !to.exists() { copy(from, to) } else { Ok(()) }
}

/// False where it is no file: the vault makes nothing else.
fn link_or_copy(folder: &OwnedFd, name: &OsStr, from: &Path, to: &Path) -> Result<bool, FileError> {
    let failed = |error: Errno| at(from)(error.into());
    if FileType::from_raw_mode(statat(folder, name, AtFlags::SYMLINK_NOFOLLOW).map_err(failed)?.st_mode) != FileType::RegularFile {
        return Ok(false);
    }
    match linkat(folder, name, CWD, to, AtFlags::empty()) {
        Ok(()) | Err(Errno::EXIST) => Ok(true),
        // Another file system, or one without hard links.
        Err(_) => copy_opened(open_in(folder, name).map_err(failed)?.into(), from, to).map(|()| true),
    }
}

fn names(folder: &OwnedFd) -> io::Result<Vec<OsString>> {
    let mut names = Vec::new();
    for entry in Dir::read_from(folder)? {
        let name = OsStr::from_bytes(entry?.file_name().to_bytes()).to_owned();
        if name != "." && name != ".." {
            names.push(name);
        }
    }
    Ok(names)
}

/// Of a pipe with a name it does not wait for who writes.
fn open_in(folder: impl AsFd, name: &OsStr) -> rustix::io::Result<OwnedFd> {
    openat(folder, name, OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC, Mode::empty())
}

/// A folder, and no link to one.
fn open_folder(folder: impl AsFd, name: &OsStr) -> io::Result<OwnedFd> {
    Ok(openat(folder, name, OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC, Mode::empty())?)
}

/// Beside, synced, and then under its name.
pub(super) fn copy(from: &Path, to: &Path) -> Result<(), FileError> {
    fs::File::open(from).map_err(at(from)).and_then(|opened| copy_opened(opened, from, to))
}

/// The standard library's copy changes modes, which a process that is confined can not.
fn copy_opened(mut opened: fs::File, from: &Path, to: &Path) -> Result<(), FileError> {
    let partial = beside(to, ".partial");
    let mode = opened.metadata().map_err(at(from))?.permissions().mode() & 0o777;
    let file = fs::OpenOptions::new().write(true).create(true).truncate(true).mode(mode).open(&partial);
    let mut file = file.map_err(at(&partial))?;
    io::copy(&mut opened, &mut file).map_err(at(&partial))?;
    file.sync_all().map_err(at(&partial))?;
    fs::rename(&partial, to).map_err(at(to))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use rustix::fs::{FileType, mknodat};

    use super::*;

    /// A state folder with one object, what an appliance has begun, and a folder of somebody else.
    fn state() -> (tempfile::TempDir, Folder) {
        let folder = tempfile::tempdir().unwrap();
        for made in ["state/vault", "state/made", "outside"] {
            fs::create_dir_all(folder.path().join(made)).unwrap();
        }
        let objects = folder.path().join("state/vault").join(OBJECT_FOLDERS[0]).join("ab");
        fs::create_dir_all(&objects).unwrap();
        fs::write(objects.join("object"), "sealed").unwrap();
        fs::write(folder.path().join("state/made/anchor.json"), "{}").unwrap();
        fs::write(folder.path().join("outside/secret"), "anothers").unwrap();
        let state = Folder::new(&folder.path().join("state"));
        (folder, state)
    }

    #[test]
    fn whoever_takes_a_backup_away_follows_no_link_of_the_appliances() {
        type Plant = fn(&Path);
        let planted: [(&str, Plant); 3] = [
            ("a folder of objects that is another's", |root| {
                symlink(root.join("outside"), root.join("state/vault").join(OBJECT_FOLDERS[0]).join("cd")).unwrap();
            }),
            ("a backup that is another's folder", |root| {
                fs::rename(root.join("state/made"), root.join("state/aside")).unwrap();
                symlink(root.join("outside"), root.join("state/made")).unwrap();
            }),
            ("a vault that is another's folder", |root| symlink(root.join("outside"), root.join("state/made/vault")).unwrap()),
        ];
        for (what, plant) in planted {
            let (folder, state) = state();
            plant(folder.path());
            let to = folder.path().join("backup");
            assert!(hand_over(&state, &folder.path().join("state/made"), &to).is_err(), "{what}");
            assert!(!to.exists() && fs::read_dir(folder.path().join("outside")).unwrap().count() == 1, "{what}");
        }
        let (folder, state) = state();
        let object = folder.path().join("state/vault").join(OBJECT_FOLDERS[0]).join("ab");
        symlink(folder.path().join("outside/secret"), object.join("link")).unwrap();
        let to = folder.path().join("backup");
        assert_eq!(hand_over(&state, &folder.path().join("state/made"), &to).unwrap(), 1);
        let names: Vec<_> =
            fs::read_dir(to.join(VAULT).join(OBJECT_FOLDERS[0]).join("ab")).unwrap().map(|file| file.unwrap().file_name()).collect();
        assert_eq!(names, ["object"], "a link is no object");
    }

    #[test]
    fn to_another_disk_links_go_as_links_and_nothing_but_files_and_folders() {
        let (folder, _) = state();
        let (from, to) = (folder.path().join("state/made"), folder.path().join("copied"));
        fs::create_dir(from.join("ledger")).unwrap();
        fs::write(from.join("ledger/1.sst"), "rows").unwrap();
        symlink(folder.path().join("outside/secret"), from.join("predecessor")).unwrap();
        let copied = || copy_all(open_folder(CWD, from.as_os_str()).unwrap(), &from, &to);
        copied().unwrap();
        assert_eq!(fs::read_to_string(to.join("ledger/1.sst")).unwrap(), "rows");
        assert!(fs::symlink_metadata(to.join("predecessor")).unwrap().is_symlink(), "anothers file is in the backup");
        fs::remove_dir_all(&to).unwrap();
        mknodat(CWD, from.join("pipe"), FileType::Fifo, Mode::RUSR, 0).unwrap();
        let refused = copied().unwrap_err().to_string();
        assert!(refused.contains("pipe") && refused.contains("neither a file nor a folder"), "{refused}");
    }
}

//! A copy of an appliance in use: the ledger as of one moment, then everything that its entries name.
//!
//! Keys are not in it: they belong in a safe, and what holds them all can go on with the log, or fork it.

use std::fs;
use std::io;
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt, symlink};
use std::path::Path;

use exhibit_ledger::{Ledger, LedgerError};
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
    fs::create_dir(&partial).map_err(at(&partial))?;
    // Objects come before their entries: all that this ledger names is in the vault by now.
    let size = ledger.backup(&partial.join(LEDGER))?;
    let objects = copy_objects(&folder.vault_path(), &partial.join(VAULT))?;
    for name in PUBLIC_FILES {
        copy_if_there(&folder.path().join(name), &partial.join(name))?;
    }
    // A running appliance's file may have been changed to one that it would not start with: that is no reason to have no backup.
    for name in folder.config().map_or_else(|_| Vec::new(), |config| Folder::named_files(&config)) {
        copy_if_there(&folder.path().join(&name), &partial.join(&name))?;
    }
    link_predecessor(folder, &partial)?;
    sync_folder(&partial)?;
    fs::rename(&partial, to).map_err(at(to))?;
    sync_folder(to.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new(".")))?;
    Ok(Backup { size, objects })
}

/// Takes a backup where it belongs, on the same file system or another.
pub fn hand_over(made: &Path, to: &Path) -> Result<(), BackupError> {
    let partial = beside(to, ".partial");
    remove_if_there(&partial)?;
    match fs::rename(made, &partial) {
        Err(error) if error.kind() == io::ErrorKind::CrossesDevices => {
            copy_all(made, &partial)?;
            remove_if_there(made)?;
        }
        renamed => renamed.map_err(at(&partial))?,
    }
    fs::rename(&partial, to).map_err(at(to))?;
    sync_folder(to.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new(".")))?;
    Ok(())
}

/// A folder with all that is in it, synced.
fn copy_all(from: &Path, to: &Path) -> Result<(), FileError> {
    fs::create_dir(to).map_err(at(to))?;
    for file in fs::read_dir(from).map_err(at(from))? {
        let file = file.map_err(at(from))?;
        let (source, target) = (file.path(), to.join(file.file_name()));
        let kind = file.file_type().map_err(at(&source))?;
        if kind.is_dir() {
            copy_all(&source, &target)?;
        } else if kind.is_symlink() {
            fs::read_link(&source).and_then(|named| symlink(named, &target)).map_err(at(&target))?;
        } else {
            copy(&source, &target)?;
        }
    }
    sync_folder(to)
}

/// Every object that `to` does not have yet; hard links where that is on the same file system. Objects are never changed, only replaced.
pub(super) fn copy_objects(from: &Path, to: &Path) -> Result<u64, FileError> {
    let mut objects = 0;
    for kind in OBJECT_FOLDERS {
        for first_byte in 0..=u8::MAX {
            let name = hex::encode([first_byte]);
            let (source, target) = (from.join(kind).join(&name), to.join(kind).join(&name));
            fs::create_dir_all(&target).map_err(at(&target))?;
            let files = match fs::read_dir(&source) {
                Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
                files => files.map_err(at(&source))?,
            };
            for file in files {
                let file = file.map_err(at(&source))?;
                link_or_copy(&file.path(), &target.join(file.file_name()))?;
                objects += 1;
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

fn link_or_copy(from: &Path, to: &Path) -> Result<(), FileError> {
    match fs::hard_link(from, to) {
        Ok(()) => Ok(()),
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        // Another file system, or one without hard links.
        Err(_) => copy(from, to),
    }
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

//! What an operator does about an appliance's disk: check it, back it up, and make it whole again (docs/operations.md).
//!
//! It serves nothing, and decides nothing about new statements.

pub mod backup;
pub mod by_itself;
pub mod carry;
pub mod control;
pub mod fsck;
mod objects;
pub mod place;
pub mod replay;
pub mod reseal;
pub mod restore;
pub mod sources;
pub mod succeed;
pub mod successor;
mod tile_url;

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

/// A file or folder that could not be read or written.
#[derive(Debug, thiserror::Error)]
#[error("{path}: {source}")]
pub struct FileError {
    /// Which.
    pub path: PathBuf,
    /// What happened.
    pub source: io::Error,
}

fn at(path: &Path) -> impl FnOnce(io::Error) -> FileError + '_ {
    move |source| FileError { path: path.to_owned(), source }
}

fn sync_folder(folder: &Path) -> Result<(), FileError> {
    File::open(folder).and_then(|folder| folder.sync_all()).map_err(at(folder))
}

/// Removes a folder that an earlier run has left half made.
fn remove_if_there(folder: &Path) -> Result<(), FileError> {
    match fs::remove_dir_all(folder) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(at(folder)(error)),
        _ => Ok(()),
    }
}

/// `<path><suffix>`.
fn beside(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    name.into()
}

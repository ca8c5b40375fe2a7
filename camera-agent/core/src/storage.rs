//! Files that are there whole or not at all, and stay there.
//!
//! It does not know what is in them.

use std::{
    fs::{self, File},
    io::{self, Write},
    path::{Path, PathBuf},
};

/// One step of putting something on disk. The order of steps is the promise: a crash between any two leaves what `open` understands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// Writes a file whole and syncs its content.
    Write(PathBuf, Vec<u8>),
    /// Renames within a folder.
    Rename(PathBuf, PathBuf),
    /// Makes names and removals in a folder last.
    SyncFolder(PathBuf),
}

impl Step {
    /// Does it.
    pub fn perform(&self) -> io::Result<()> {
        match self {
            Self::Write(path, bytes) => {
                let mut file = File::create(path)?;
                file.write_all(bytes)?;
                file.sync_all()
            }
            Self::Rename(from, to) => fs::rename(from, to),
            Self::SyncFolder(folder) => File::open(folder)?.sync_all(),
        }
    }

    /// Where it was at, for messages.
    pub fn path(&self) -> &Path {
        match self {
            Self::Write(path, _) | Self::Rename(_, path) | Self::SyncFolder(path) => path,
        }
    }
}

/// The steps that put a file there whole or not at all.
pub fn replace_steps(path: &Path, bytes: &[u8]) -> [Step; 3] {
    let aside = aside(path);
    let folder = path.parent().expect("a file of ours lies in a folder").to_owned();
    [Step::Write(aside.clone(), bytes.to_vec()), Step::Rename(aside, path.to_owned()), Step::SyncFolder(folder)]
}

/// Puts a file there whole or not at all.
pub fn replace(path: &Path, bytes: &[u8]) -> io::Result<()> {
    replace_steps(path, bytes).iter().try_for_each(Step::perform)
}

/// Reads a file of at most `limit` bytes, if it is there.
pub fn read_bounded(path: &Path, limit: u64) -> io::Result<Option<Vec<u8>>> {
    let length = match fs::metadata(path) {
        Ok(metadata) => metadata.len(),
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error),
    };
    if length > limit {
        return Err(io::Error::new(io::ErrorKind::InvalidData, format!("it has {length} bytes, more than {limit}")));
    }
    fs::read(path).map(Some)
}

/// Removes a file that may be gone already.
pub fn remove_if_there(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        other => other,
    }
}

/// Where a file is written before it takes its name.
pub fn aside(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(".part");
    PathBuf::from(name)
}

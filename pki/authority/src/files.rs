//! Files that are there whole or not at all, and are never overwritten. It does not know what is in them.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{ErrorKind, Read, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::Path;

use zeroize::Zeroizing;

use crate::failure::Failure;

/// Private keys: their owner's alone.
pub const MODE_SECRET: u32 = 0o600;
/// Certificates: anybody's.
pub const MODE_PUBLIC: u32 = 0o644;

/// Makes a folder that nobody else can look into.
pub fn create_folder(path: &Path) -> Result<(), Failure> {
    DirBuilder::new().mode(0o700).create(path).map_err(Failure::file("create", path))
}

/// Says early what would stand in the way of making a file, before anything is done that cannot be undone.
pub fn check_can_be_made(path: &Path) -> Result<(), Failure> {
    if path.symlink_metadata().is_ok() {
        return Err(Failure::Exists(path.to_owned()));
    }
    let folder = folder_of(path);
    fs::metadata(folder).map(drop).map_err(Failure::file("write in", folder))
}

/// Writes a new file and syncs it; the caller syncs the folder.
pub fn write_new(path: &Path, content: &[u8], mode: u32) -> Result<(), Failure> {
    let written = || {
        let mut file = OpenOptions::new().write(true).create_new(true).mode(mode).open(path)?;
        file.write_all(content)?;
        file.sync_all()
    };
    written().map_err(Failure::file("write", path))
}

/// Replaces a file of the authority's own records: written aside, synced, renamed, the folder synced.
pub fn replace(path: &Path, content: &[u8]) -> Result<(), Failure> {
    let aside = path.with_extension("part");
    let written = || {
        let mut file = File::create(&aside)?;
        file.write_all(content)?;
        file.sync_all()?;
        fs::rename(&aside, path)
    };
    written().map_err(Failure::file("write", path))?;
    sync_folder_of(path)
}

/// Removes a file if it is there, and syncs its folder.
pub fn remove(path: &Path) -> Result<(), Failure> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != ErrorKind::NotFound => Err(Failure::file("remove", path)(error)),
        _ => sync_folder_of(path),
    }
}

/// Makes what happened to the names in a folder last.
pub fn sync_folder(path: &Path) -> Result<(), Failure> {
    File::open(path).and_then(|folder| folder.sync_all()).map_err(Failure::file("sync", path))
}

/// The same for the folder that `path` is in.
pub fn sync_folder_of(path: &Path) -> Result<(), Failure> {
    sync_folder(folder_of(path))
}

fn folder_of(path: &Path) -> &Path {
    path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

/// Reads a text of at most 1 MiB; what is longer is none of ours.
pub fn read(path: &Path) -> Result<Zeroizing<String>, Failure> {
    read_up_to(path, FILE_BYTES_MAX)
}

fn read_up_to(path: &Path, bytes_max: u64) -> Result<Zeroizing<String>, Failure> {
    let mut text = Zeroizing::new(String::new());
    let file = File::open(path).map_err(Failure::file("read", path))?;
    let length = file.take(bytes_max + 1).read_to_string(&mut text).map_err(Failure::file("read", path))?;
    if length as u64 > bytes_max {
        return Err(Failure::content(path, "it is longer than any file of ours"));
    }
    Ok(text)
}

/// The same, where there may be no such file.
pub fn read_if_there(path: &Path) -> Result<Option<Zeroizing<String>>, Failure> {
    match read(path) {
        Err(Failure::File { source, .. }) if source.kind() == ErrorKind::NotFound => Ok(None),
        other => other.map(Some),
    }
}

/// A record of the authority's own, which grows with the years.
pub fn read_record_if_there(path: &Path) -> Result<Option<Zeroizing<String>>, Failure> {
    match read_up_to(path, RECORD_BYTES_MAX) {
        Err(Failure::File { source, .. }) if source.kind() == ErrorKind::NotFound => Ok(None),
        other => other.map(Some),
    }
}

/// Two hundred thousand revocations.
const RECORD_BYTES_MAX: u64 = 64 << 20;
/// Keys, certificates, requests and anchors are all far shorter.
const FILE_BYTES_MAX: u64 = 1 << 20;

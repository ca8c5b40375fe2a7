//! Files of the state folder: read with a bound, written whole or not at all.
//!
//! It does not know what is in them.

use std::{
    fs::{self, DirBuilder, File, OpenOptions},
    io::{Read as _, Write as _},
    os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _},
    path::Path,
};

use crate::Failure;

/// Certificates, pins and configurations are far shorter.
const FILE_BYTES_MAX: u64 = 1 << 20;

/// Reads a text of at most 1 MiB.
pub fn read_text(path: &Path) -> Result<String, Failure> {
    let mut text = String::new();
    let file = File::open(path).map_err(Failure::file("read", path))?;
    let length = file.take(FILE_BYTES_MAX + 1).read_to_string(&mut text).map_err(Failure::file("read", path))?;
    if length as u64 > FILE_BYTES_MAX {
        return Err(Failure::Content { path: path.to_owned(), reason: "it is longer than any file of ours".to_owned() });
    }
    Ok(text)
}

/// Makes the state folder, which nobody else can look into, if it is not there.
pub fn make_folder(path: &Path) -> Result<(), Failure> {
    DirBuilder::new().recursive(true).mode(0o700).create(path).map_err(Failure::file("create", path))
}

/// Replaces a file: written aside, synced, renamed, and the folder synced.
pub fn replace(path: &Path, content: &str) -> Result<(), Failure> {
    let aside = path.with_extension("part");
    let folder = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let written = || {
        let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o644).open(&aside)?;
        file.write_all(content.as_bytes())?;
        file.sync_all()?;
        fs::rename(&aside, path)?;
        File::open(folder)?.sync_all()
    };
    written().map_err(Failure::file("write", path))
}

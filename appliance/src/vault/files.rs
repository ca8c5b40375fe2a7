//! The few calls on a file system that durability rests on, so that tests can record their order and let each of them fail.
//!
//! It does not know what the files hold.

use std::fs::{self, File, OpenOptions};
use std::io::{self, ErrorKind, IoSlice, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

/// Creates, writes, syncs and renames.
pub trait FileLayer: Send + Sync + 'static {
    /// An open file.
    type File: Send + 'static;
    /// Creates a file that must not exist yet, readable by nobody else.
    fn create_new(&self, path: &Path) -> io::Result<Self::File>;
    /// Writes all pieces, one after the other, behind what is there.
    fn write_all(&self, file: &mut Self::File, pieces: &[&[u8]]) -> io::Result<()>;
    /// Returns once content and length are on disk.
    fn sync(&self, file: &Self::File) -> io::Result<()>;
    /// Gives a file another name, replacing what had it.
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()>;
    /// Returns once the names in a folder are on disk.
    fn sync_folder(&self, folder: &Path) -> io::Result<()>;
    /// Removes a file.
    fn remove(&self, path: &Path) -> io::Result<()>;
}

/// The file system of the machine.
#[derive(Clone, Copy, Debug, Default)]
pub struct LocalFiles;

impl FileLayer for LocalFiles {
    type File = File;

    fn create_new(&self, path: &Path) -> io::Result<File> {
        OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)
    }
    fn write_all(&self, file: &mut File, pieces: &[&[u8]]) -> io::Result<()> {
        // A call for each piece costs the file system more than the bytes do: a journal's handle, the inode, a page that is half full.
        let mut slices: Vec<IoSlice<'_>> = pieces.iter().map(|piece| IoSlice::new(piece)).collect();
        let mut rest = slices.as_mut_slice();
        // Empty ones in front would look like a file that takes nothing more.
        IoSlice::advance_slices(&mut rest, 0);
        while !rest.is_empty() {
            match file.write_vectored(rest) {
                Ok(0) => return Err(ErrorKind::WriteZero.into()),
                Ok(count) => IoSlice::advance_slices(&mut rest, count),
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }
    fn sync(&self, file: &File) -> io::Result<()> {
        // Syncs the length too, which is what makes the data reachable; times of access may be lost.
        file.sync_data()
    }
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        fs::rename(from, to)
    }
    fn sync_folder(&self, folder: &Path) -> io::Result<()> {
        File::open(folder)?.sync_all()
    }
    fn remove(&self, path: &Path) -> io::Result<()> {
        fs::remove_file(path)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn pieces_of_every_length_and_number_are_written_in_their_order() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("file");
        let mut file = LocalFiles.create_new(&path).unwrap();
        // More than the 1,024 that one call takes, empty ones among them and in front.
        let pieces: Vec<Vec<u8>> = (0..3000_usize).map(|number| vec![number as u8; number % 7]).collect();
        let slices: Vec<&[u8]> = pieces.iter().map(Vec::as_slice).collect();
        LocalFiles.write_all(&mut file, &slices).unwrap();
        LocalFiles.write_all(&mut file, &[]).unwrap();
        LocalFiles.write_all(&mut file, &[b"", b"end"]).unwrap();
        let expected = [pieces.concat().as_slice(), b"end"].concat();
        assert!(fs::read(&path).unwrap() == expected, "a file has other bytes than were written to it");
    }
}

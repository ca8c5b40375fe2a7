//! The newest signed checkpoint once more, in a file beside the database, so that a database that lost its end can be told from one that
//! was only cut off within a write.
//!
//! It does not judge the checkpoint, and it is never synced on the way of a batch: after a power cut it may be old, never ahead.

use std::fs::{File, OpenOptions};
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::Arc;

use exhibit_tlog::note::NOTE_SIZE_BYTES_MAX;
use sha2::{Digest, Sha256};

use crate::LedgerError;
use crate::disk::{Disk, DiskWrite};

/// Two slots, written in turn: a torn write costs the newer one only.
pub(crate) struct HeadFile {
    file: File,
    next_slot: u64,
    disk: Arc<dyn Disk>,
}

impl HeadFile {
    /// Opens or makes the file; gives the note of the largest size in a whole slot.
    pub fn open(folder: &Path, disk: Arc<dyn Disk>) -> Result<(Self, Option<String>), LedgerError> {
        let path = folder.join(FILE_NAME);
        if !path.exists() {
            disk.perform(DiskWrite::HeadFile, &mut || make(folder, &path).map_err(failed))?;
        }
        let file = OpenOptions::new().read(true).write(true).open(path).map_err(failed)?;
        let mut newest: Option<(u64, u64, String)> = None;
        for (slot, size, note) in slots(&file) {
            if newest.as_ref().is_none_or(|(newest_size, ..)| size > *newest_size) {
                newest = Some((size, slot, note));
            }
        }
        let next_slot = newest.as_ref().map_or(0, |(_, slot, _)| (slot + 1) % SLOTS);
        Ok((Self { file, next_slot, disk }, newest.map(|(.., note)| note)))
    }

    /// Puts a checkpoint in the place of the older one. It is with the kernel then: the end of the process does not take it.
    pub fn write(&mut self, size: u64, note: &str) -> Result<(), LedgerError> {
        let bytes = encode(size, note);
        assert!(bytes.len() <= SLOT_BYTES, "a note was signed, so it has at most its largest size");
        let (file, offset) = (&self.file, self.next_slot * SLOT_BYTES as u64);
        self.disk.perform(DiskWrite::Head, &mut || file.write_all_at(&bytes, offset).map_err(failed))?;
        self.next_slot = (self.next_slot + 1) % SLOTS;
        Ok(())
    }
}

/// The notes in the whole slots, without making or changing anything; none where there is no such file.
pub(crate) fn noted(folder: &Path) -> Vec<String> {
    File::open(folder.join(FILE_NAME)).map_or_else(|_| Vec::new(), |file| slots(&file).map(|(.., note)| note).collect())
}

/// Number, size and note of each whole slot.
fn slots(file: &File) -> impl Iterator<Item = (u64, u64, String)> {
    (0..SLOTS).filter_map(|slot| {
        let mut bytes = vec![0; SLOT_BYTES];
        // A file cut short has no whole slot behind the cut.
        file.read_exact_at(&mut bytes, slot * SLOT_BYTES as u64).ok()?;
        decode(&bytes).map(|(size, note)| (slot, size, note))
    })
}

fn make(folder: &Path, path: &Path) -> std::io::Result<()> {
    let file = OpenOptions::new().write(true).create_new(true).open(path)?;
    file.set_len(SLOTS * SLOT_BYTES as u64)?;
    file.sync_all()?;
    File::open(folder)?.sync_all()
}

/// `be64(size) || be32(length) || note || SHA-256 of all before`.
fn encode(size: u64, note: &str) -> Vec<u8> {
    let length = u32::try_from(note.len()).expect("a note was signed, so it has at most its largest size");
    let mut bytes = [&size.to_be_bytes()[..], &length.to_be_bytes(), note.as_bytes()].concat();
    let digest = Sha256::digest(&bytes);
    bytes.extend_from_slice(&digest);
    bytes
}

fn decode(bytes: &[u8]) -> Option<(u64, String)> {
    let (size, rest) = bytes.split_first_chunk()?;
    let (length, rest) = rest.split_first_chunk()?;
    let length = u32::from_be_bytes(*length) as usize;
    let (note, rest) = rest.split_at_checked(length)?;
    let (digest, _) = rest.split_first_chunk::<32>()?;
    let digest_holds = Sha256::digest(&bytes[..8 + 4 + length])[..] == digest[..];
    let note = String::from_utf8(note.to_vec()).ok()?;
    digest_holds.then_some((u64::from_be_bytes(*size), note))
}

fn failed(error: std::io::Error) -> LedgerError {
    LedgerError::Storage(format!("the file {FILE_NAME} beside the database: {error}"))
}

/// In the ledger's folder.
const FILE_NAME: &str = "head";
const SLOTS: u64 = 2;
/// Room for the largest note, on whole pages.
const SLOT_BYTES: usize = 128 * 1024;
const _: () = assert!(NOTE_SIZE_BYTES_MAX + 8 + 4 + 32 <= SLOT_BYTES);

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::LocalDisk;

    fn open(folder: &Path) -> (HeadFile, Option<String>) {
        HeadFile::open(folder, Arc::new(LocalDisk)).unwrap()
    }

    fn newest(folder: &Path) -> Option<String> {
        open(folder).1
    }

    #[test]
    fn the_newest_note_comes_back() {
        let folder = tempfile::tempdir().unwrap();
        assert_eq!(newest(folder.path()), None);
        for size in 1..6_u64 {
            // Opened anew each time, so that the slot to write next is found again.
            let (mut file, _) = open(folder.path());
            file.write(size, &format!("note {size}")).unwrap();
            file.write(size + 1, &format!("note {}", size + 1)).unwrap();
            assert_eq!(newest(folder.path()), Some(format!("note {}", size + 1)));
        }
        let longest = "n".repeat(NOTE_SIZE_BYTES_MAX);
        open(folder.path()).0.write(100, &longest).unwrap();
        assert_eq!(newest(folder.path()), Some(longest));
    }

    #[test]
    fn a_torn_slot_costs_the_newer_note_only() {
        let slot = encode(2, "note 2");
        for torn in 0..slot.len() {
            let folder = tempfile::tempdir().unwrap();
            let (mut file, _) = open(folder.path());
            file.write(1, "note 1").unwrap();
            file.write(2, "note 2").unwrap();
            let mut byte = [0];
            file.file.read_exact_at(&mut byte, (SLOT_BYTES + torn) as u64).unwrap();
            file.file.write_all_at(&[byte[0] ^ 1], (SLOT_BYTES + torn) as u64).unwrap();
            assert_eq!(newest(folder.path()).as_deref(), Some("note 1"), "byte {torn}");
        }
    }

    #[test]
    fn a_file_cut_short_or_empty_has_no_note() {
        let folder = tempfile::tempdir().unwrap();
        let (mut file, _) = open(folder.path());
        file.write(1, "note 1").unwrap();
        file.file.set_len(40).unwrap();
        assert_eq!(newest(folder.path()), None);
        file.file.set_len(0).unwrap();
        assert_eq!(newest(folder.path()), None);
    }
}

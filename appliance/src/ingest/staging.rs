//! Writes what arrives into the vault's staging area, on blocking threads, while the next bytes arrive.
//!
//! It holds twice `WRITE_BYTES` at most, whatever the length, and does not know what the bytes are.

use std::sync::Arc;

use bytes::Bytes;
use tokio::task::{JoinHandle, spawn_blocking};

use crate::vault::{Object, Staged, StoredObject, Vault, VaultError};

/// So much is gathered before a thread writes it: a hand-over costs about 10 microseconds, this much writing 100.
const WRITE_BYTES: usize = 256 * 1024;
/// In so many pieces at most: each has a handle of its own, and a sender may cut its bytes one by one.
const WRITE_PIECES: usize = 1024;

/// One object that is being written.
pub struct StagedWriter {
    vault: Arc<dyn Vault>,
    staged: Option<Box<dyn Staged>>,
    writing: Option<JoinHandle<Result<Box<dyn Staged>, VaultError>>>,
    gathered: Vec<Bytes>,
    gathered_bytes: usize,
}

impl StagedWriter {
    /// Nothing is created before the first bytes are written.
    pub fn new(vault: Arc<dyn Vault>) -> Self {
        Self { vault, staged: None, writing: None, gathered: Vec::new(), gathered_bytes: 0 }
    }

    /// Goes on behind what was written before.
    pub fn go_on(vault: Arc<dyn Vault>, staged: Box<dyn Staged>) -> Self {
        Self { staged: Some(staged), ..Self::new(vault) }
    }

    /// Takes the next bytes. Waits only if those before are still being written.
    pub async fn write(&mut self, piece: Bytes) -> Result<(), VaultError> {
        // What is gathered last is written by the thread that commits: a hand-over less.
        let is_full = self.gathered_bytes + piece.len() > WRITE_BYTES || self.gathered.len() >= WRITE_PIECES;
        if self.gathered_bytes > 0 && is_full {
            self.flush().await?;
        }
        self.gathered_bytes += piece.len();
        self.gathered.push(piece);
        Ok(())
    }

    /// All of it has come.
    pub async fn finish(mut self) -> Result<Arrived, VaultError> {
        self.settle().await?;
        Ok(Arrived { vault: self.vault, staged: self.staged, rest: self.gathered })
    }

    async fn flush(&mut self) -> Result<(), VaultError> {
        self.settle().await?;
        let (vault, staged, pieces) = (self.vault.clone(), self.staged.take(), std::mem::take(&mut self.gathered));
        self.gathered_bytes = 0;
        self.writing = Some(spawn_blocking(move || write(vault.as_ref(), staged, &pieces)));
        Ok(())
    }

    /// Waits for the write under way.
    async fn settle(&mut self) -> Result<(), VaultError> {
        if let Some(writing) = self.writing.take() {
            self.staged = Some(writing.await.expect("a write does not panic")?);
        }
        Ok(())
    }
}

/// An object that has come whole, of which the end is not written yet. Dropped, it leaves nothing behind.
pub struct Arrived {
    vault: Arc<dyn Vault>,
    staged: Option<Box<dyn Staged>>,
    rest: Vec<Bytes>,
}

impl Arrived {
    /// Writes the end; nothing is synced. Blocks.
    pub fn write_out(self) -> Result<Box<dyn Staged>, VaultError> {
        write(self.vault.as_ref(), self.staged, &self.rest)
    }

    /// The same by another thread, for who must not block.
    pub async fn written(self) -> Result<Box<dyn Staged>, VaultError> {
        spawn_blocking(move || self.write_out()).await.expect("a write does not panic")
    }
}

/// A whole object that is durable under its name already, whose entry is not on the ledger yet.
pub struct Stored {
    vault: Arc<dyn Vault>,
    object: Object,
}

impl Stored {
    /// `None` if it is not there.
    pub fn find(vault: Arc<dyn Vault>, object: Object) -> Option<Self> {
        vault.open(object).ok().flatten().map(|_| Self { vault, object })
    }
}

impl Staged for Stored {
    fn write(&mut self, pieces: &[&[u8]]) -> Result<(), VaultError> {
        let is_more = pieces.iter().any(|piece| !piece.is_empty());
        if is_more { Err(VaultError::Write(std::io::Error::other("an object that is whole has no more bytes"))) } else { Ok(()) }
    }
    fn written(&self) -> Result<Box<dyn StoredObject>, VaultError> {
        let gone = || VaultError::Read(std::io::Error::other("an object is not there any more"));
        self.vault.open(self.object)?.ok_or_else(gone)
    }
    fn commit(self: Box<Self>, object: Object) -> Result<(), VaultError> {
        let is_same = object == self.object;
        if is_same { Ok(()) } else { Err(VaultError::Write(std::io::Error::other("it was stored under another name"))) }
    }
}

/// Writes behind what is staged, or begins it.
fn write(vault: &dyn Vault, staged: Option<Box<dyn Staged>>, pieces: &[Bytes]) -> Result<Box<dyn Staged>, VaultError> {
    let mut staged = match staged {
        Some(staged) => staged,
        None => vault.stage()?,
    };
    let pieces: Vec<&[u8]> = pieces.iter().map(AsRef::as_ref).collect();
    staged.write(&pieces)?;
    Ok(staged)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::vault::LocalVault;
    use exhibit_tlog::Hash;

    #[tokio::test]
    async fn pieces_arrive_in_their_order() {
        let folder = tempfile::tempdir().unwrap();
        let vault: Arc<dyn Vault> = Arc::new(LocalVault::open(folder.path()).unwrap());
        let mut writer = StagedWriter::new(vault.clone());
        let mut expected = Vec::new();
        for number in 0..100_u8 {
            let piece = vec![number; 17_000];
            expected.extend_from_slice(&piece);
            writer.write(piece.into()).await.unwrap();
        }
        let object = Object::Payload(Hash([1; 32]));
        writer.finish().await.unwrap().write_out().unwrap().commit(object).unwrap();
        assert_eq!(vault.read(object, 2_000_000).unwrap().unwrap(), expected);
    }

    #[tokio::test]
    async fn bytes_that_come_one_by_one_take_no_more_memory() {
        let folder = tempfile::tempdir().unwrap();
        let vault: Arc<dyn Vault> = Arc::new(LocalVault::open(folder.path()).unwrap());
        let mut writer = StagedWriter::new(vault.clone());
        for number in 0..10_000_u32 {
            writer.write(Bytes::copy_from_slice(&[number as u8])).await.unwrap();
            assert!(writer.gathered.len() <= WRITE_PIECES, "each byte has a handle of its own");
        }
        let object = Object::Payload(Hash([1; 32]));
        writer.finish().await.unwrap().write_out().unwrap().commit(object).unwrap();
        let expected: Vec<u8> = (0..10_000_u32).map(|number| number as u8).collect();
        assert_eq!(vault.read(object, 20_000).unwrap().unwrap(), expected);
    }

    #[tokio::test]
    async fn an_object_without_a_byte_is_an_object() {
        let folder = tempfile::tempdir().unwrap();
        let vault: Arc<dyn Vault> = Arc::new(LocalVault::open(folder.path()).unwrap());
        let object = Object::Attachment(Hash([2; 32]));
        StagedWriter::new(vault.clone()).finish().await.unwrap().written().await.unwrap().commit(object).unwrap();
        assert_eq!(vault.read(object, 1).unwrap().unwrap(), Vec::<u8>::new());
    }

    #[tokio::test]
    async fn what_has_come_and_is_not_committed_leaves_nothing_behind() {
        let folder = tempfile::tempdir().unwrap();
        let vault: Arc<dyn Vault> = Arc::new(LocalVault::open(folder.path()).unwrap());
        let mut writer = StagedWriter::new(vault.clone());
        for _ in 0..3 {
            writer.write(vec![7; WRITE_BYTES].into()).await.unwrap();
        }
        let arrived = writer.finish().await.unwrap();
        let staged = || std::fs::read_dir(folder.path().join("staging")).unwrap().count();
        assert_eq!(staged(), 1, "nothing was written while it arrived");
        drop(arrived);
        assert_eq!(staged(), 0, "an upload that was refused at its end stays on the disk");
    }
}

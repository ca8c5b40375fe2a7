//! Writes what arrives into the vault's staging area, on blocking threads, while the next bytes arrive.
//!
//! It holds two pieces at most, whatever the length, and does not know what the bytes are.

use std::sync::Arc;

use bytes::Bytes;
use tokio::task::{JoinHandle, spawn_blocking};

use crate::vault::{Staged, Vault, VaultError};

/// So much is gathered before a thread writes it: a hand-over costs about 10 microseconds, this much writing 100.
const WRITE_BYTES: usize = 256 * 1024;

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
        self.gathered_bytes += piece.len();
        self.gathered.push(piece);
        if self.gathered_bytes >= WRITE_BYTES { self.flush().await } else { Ok(()) }
    }

    /// The staged object, written but not synced.
    pub async fn finish(mut self) -> Result<Box<dyn Staged>, VaultError> {
        self.flush().await?;
        self.settle().await?;
        Ok(self.staged.expect("a flush stages"))
    }

    async fn flush(&mut self) -> Result<(), VaultError> {
        self.settle().await?;
        let (vault, staged, pieces) = (self.vault.clone(), self.staged.take(), std::mem::take(&mut self.gathered));
        self.gathered_bytes = 0;
        self.writing = Some(spawn_blocking(move || {
            let mut staged = match staged {
                Some(staged) => staged,
                None => vault.stage()?,
            };
            pieces.iter().try_for_each(|piece| staged.write(piece))?;
            Ok(staged)
        }));
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

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::vault::{LocalVault, Object};
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
        writer.finish().await.unwrap().commit(object).unwrap();
        assert_eq!(vault.read(object, 2_000_000).unwrap().unwrap(), expected);
    }
}

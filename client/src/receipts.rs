//! Receipts made here, from the log's open hash tiles, all under one checkpoint: so a bundle needs no proof between checkpoints.
//!
//! It trusts no tile: each receipt is verified before it is given.

use exhibit_tlog::{Checkpoint, Hash, LogProof, prove_inclusion, verify_inclusion};

use crate::tiles::TileCache;
use crate::{Appliance, ClientError};

/// Makes receipts under one checkpoint; tiles are fetched once.
pub struct Receipts {
    note: String,
    head: Checkpoint,
    tiles: TileCache,
}

impl Receipts {
    /// Under the newest checkpoint.
    pub async fn newest(appliance: &mut Appliance) -> Result<Self, ClientError> {
        let (note, head) = appliance.signed_checkpoint(None).await?;
        let tiles = TileCache::new(head.size);
        Ok(Self { note, head, tiles })
    }

    /// The signed note that all of them stand under.
    pub fn checkpoint(&self) -> &str {
        &self.note
    }

    /// The receipt (`tlog-proof`) of the entry at `index`, whose leaf hash is `leaf`.
    pub async fn of(&mut self, appliance: &mut Appliance, index: u64, leaf: &Hash) -> Result<String, ClientError> {
        let Checkpoint { size, root, .. } = self.head;
        if index >= size {
            return Err(ClientError::Untrustworthy(format!("entry {index} was acknowledged, and the checkpoint has only {size}")));
        }
        let path = appliance.prove(&mut self.tiles, |tiles| prove_inclusion(tiles, index, size)).await?;
        verify_inclusion(leaf, index, size, &path, &root)
            .map_err(|error| ClientError::Untrustworthy(format!("the log's tiles do not prove entry {index}: {error}")))?;
        Ok(LogProof { index, path, checkpoint: self.note.clone() }.to_text())
    }
}

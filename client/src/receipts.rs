//! Receipts made here, from the log's open hash tiles, all under one checkpoint: so a bundle needs no proof between checkpoints.
//!
//! It trusts no tile: each receipt is verified before it is given.

use exhibit_evidence::Head;
use exhibit_evidence::body::Predecessor;
use exhibit_tlog::{Checkpoint, Hash, LogProof, prove_consistency, prove_inclusion, verify_consistency, verify_inclusion};

use crate::appliance::path_of_ended;
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
        Ok(Self::under(note, head))
    }

    /// Under the newest checkpoint that witnesses have cosigned, if it covers the entry at `index`.
    pub async fn witnessed(appliance: &mut Appliance, index: u64) -> Result<Option<Self>, ClientError> {
        let witnessed = appliance.witnessed_checkpoint().await?.filter(|(_, head)| index < head.size);
        Ok(witnessed.map(|(note, head)| Self::under(note, head)))
    }

    /// Under the newest checkpoint that the TPM of the log's machine has signed too, if it covers the entry at `index`.
    pub async fn tpm_signed(appliance: &mut Appliance, index: u64) -> Result<Option<Self>, ClientError> {
        let signed = appliance.tpm_checkpoint().await?.filter(|(_, head)| index < head.size);
        Ok(signed.map(|(note, head)| Self::under(note, head)))
    }

    fn under(note: String, head: Checkpoint) -> Self {
        let tiles = TileCache::new(head.size);
        Self { note, head, tiles }
    }

    /// Its head.
    pub fn head(&self) -> &Checkpoint {
        &self.head
    }

    /// The proof that the tree of `size` entries with `root` is what this checkpoint's tree begins with.
    pub async fn extends(&mut self, appliance: &mut Appliance, size: u64, root: &Hash) -> Result<Vec<Hash>, ClientError> {
        let head = self.head.clone();
        if size > head.size {
            return Err(ClientError::Untrustworthy(format!("a head of {size} entries was observed, and there are {}", head.size)));
        }
        let path = appliance.prove(&mut self.tiles, |tiles| prove_consistency(tiles, size, head.size)).await?;
        verify_consistency(size, root, head.size, &head.root, &path)
            .map_err(|error| ClientError::Untrustworthy(format!("the log does not extend the head of {size} entries: {error}")))?;
        Ok(path)
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

/// A log before the one that is asked: what it was once, up to where genesis says that it ended. Tiles are fetched once.
pub struct EndedLog {
    end: Predecessor,
    tiles: TileCache,
}

impl EndedLog {
    /// As genesis declares it.
    pub fn new(end: Predecessor) -> Self {
        let tiles = TileCache::new(end.head.size);
        Self { end, tiles }
    }

    /// Which log.
    pub fn log(&self) -> &Hash {
        &self.end.log
    }

    /// The proof that its end extends a head that somebody has observed; `None` for one beyond the end, and where the log is not to be had there.
    pub async fn extends(&mut self, appliance: &mut Appliance, observed: &Head) -> Result<Option<Vec<Hash>>, ClientError> {
        let end = self.end.head;
        if observed.size > end.size {
            return Ok(None);
        }
        let path = path_of_ended(&self.end.log);
        let proof = appliance.prove_of(&path, &mut self.tiles, |tiles| prove_consistency(tiles, observed.size, end.size)).await;
        let proof = match proof {
            Err(ClientError::Refused(problem)) if problem.status == NOT_FOUND => return Ok(None),
            proof => proof?,
        };
        verify_consistency(observed.size, &observed.root, end.size, &end.root, &proof).map_err(|error| {
            ClientError::Untrustworthy(format!("log {} does not extend the head of {} entries: {error}", self.end.log, observed.size))
        })?;
        Ok(Some(proof))
    }
}

/// HTTP: the log before is not there any more.
const NOT_FOUND: u16 = 404;

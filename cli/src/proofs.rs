//! Receipts made here, from the log's open hash tiles: all under one checkpoint, so that a bundle needs no proof between checkpoints.

use std::collections::HashMap;

use exhibit_client::{Appliance, ClientError};
use exhibit_tlog::tile::{TILE_WIDTH, TileId};
use exhibit_tlog::{Checkpoint, Hash, HashReader, LogProof, node_hash, prove_inclusion};

use crate::failure::Failure;

/// Tree levels in one level of tiles.
const LEVELS_PER_TILE: u8 = 8;

/// The tiles that the proofs of some entries need, fetched before they are proven.
pub struct Tiles {
    size: u64,
    tiles: HashMap<(u8, u64), Vec<Hash>>,
}

/// A tile that a proof needs is not there: the appliance served fewer hashes than its checkpoint promises.
#[derive(Debug, PartialEq, Eq)]
pub struct MissingHash {
    /// Level of the tile.
    pub level: u8,
    /// Index of the tile.
    pub index: u64,
}

impl Tiles {
    /// No tiles yet, of a tree of `size` leaves.
    pub fn new(size: u64) -> Self {
        Self { size, tiles: HashMap::new() }
    }

    /// Makes the receipt of entry `index` under the checkpoint, fetching tiles as they are needed, and verifies it.
    pub async fn receipt(
        &mut self,
        appliance: &mut Appliance,
        index: u64,
        leaf: &Hash,
        note: &str,
        head: &Checkpoint,
    ) -> Result<String, Failure> {
        let path = loop {
            match prove_inclusion(&*self, index, self.size) {
                Ok(path) => break path,
                Err(missing) => self.fetch(appliance, &missing).await?,
            }
        };
        exhibit_tlog::verify_inclusion(leaf, index, head.size, &path, &head.root)
            .map_err(|error| Failure::Untrustworthy(format!("the appliance's tiles do not prove entry {index}: {error}")))?;
        Ok(LogProof { index, path, checkpoint: note.to_owned() }.to_text())
    }

    async fn fetch(&mut self, appliance: &mut Appliance, missing: &MissingHash) -> Result<(), Failure> {
        let whole = self.size >> (u32::from(missing.level) * u32::from(LEVELS_PER_TILE));
        let before = missing.index * u64::from(TILE_WIDTH);
        let width = whole.saturating_sub(before).min(u64::from(TILE_WIDTH));
        let tile = TileId { level: missing.level, index: missing.index, width: u16::try_from(width).expect("at most 256") };
        let bytes = appliance.get_bytes(&format!("/log/tile/{}", tile.path()), width * 32).await?;
        let hashes: Vec<Hash> = bytes.as_chunks::<32>().0.iter().map(|hash| Hash(*hash)).collect();
        if bytes.len() as u64 != width * 32 || self.tiles.insert((missing.level, missing.index), hashes).is_some() {
            return Err(ClientError::Untrustworthy("a hash tile is shorter than the checkpoint demands".to_owned()).into());
        }
        Ok(())
    }
}

impl HashReader for Tiles {
    type Error = MissingHash;

    /// A node inside a tile is hashed together from the tile's row below it.
    fn hash(&self, level: u8, index: u64) -> Result<Hash, MissingHash> {
        let (tile_level, above) = (level / LEVELS_PER_TILE, level % LEVELS_PER_TILE);
        let first = index << above;
        let tile_index = first / u64::from(TILE_WIDTH);
        let missing = || MissingHash { level: tile_level, index: tile_index };
        let tile = self.tiles.get(&(tile_level, tile_index)).ok_or_else(missing)?;
        let offset = usize::try_from(first % u64::from(TILE_WIDTH)).expect("below 256");
        let mut row = tile.get(offset..offset + (1 << above)).ok_or_else(missing)?.to_vec();
        while row.len() > 1 {
            row = row.chunks(2).map(|pair| node_hash(&pair[0], &pair[1])).collect();
        }
        Ok(row[0])
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use exhibit_tlog::{leaf_hash, root_of, verify_inclusion};

    use super::*;

    /// The tiles of a tree over numbered leaves, cut as a server cuts them.
    fn tiles(leaves: &[Hash]) -> Tiles {
        let mut tiles = Tiles::new(leaves.len() as u64);
        let mut row = leaves.to_vec();
        for level in 0.. {
            if row.is_empty() {
                return tiles;
            }
            for (index, tile) in (0u64..).zip(row.chunks(usize::from(TILE_WIDTH))) {
                tiles.tiles.insert((level, index), tile.to_vec());
            }
            row = row.chunks_exact(usize::from(TILE_WIDTH)).map(root_of).collect();
        }
        unreachable!("each row is shorter than the one below it")
    }

    #[test]
    fn receipts_from_tiles_prove_every_leaf() {
        for size in [1u64, 2, 255, 256, 257, 700] {
            let leaves: Vec<Hash> = (0..size).map(|number| leaf_hash(&number.to_be_bytes())).collect();
            let (tiles, root) = (tiles(&leaves), root_of(&leaves));
            for index in [0, size / 2, size - 1] {
                let path = prove_inclusion(&tiles, index, size).unwrap();
                let leaf = &leaves[usize::try_from(index).unwrap()];
                assert_eq!(verify_inclusion(leaf, index, size, &path, &root), Ok(()), "leaf {index} of {size} was not proven");
            }
        }
    }

    #[test]
    fn a_missing_tile_is_named() {
        assert_eq!(prove_inclusion(&Tiles::new(2), 0, 2), Err(MissingHash { level: 0, index: 0 }));
    }
}

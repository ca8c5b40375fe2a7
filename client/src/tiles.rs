//! Reads the log's hashes out of its tiles (C2SP tlog-tiles), as far as a proof needs them.
//!
//! It trusts no tile: what is proven with them is verified against signed roots. It does not fetch; it says what is missing.

use std::collections::HashMap;

use exhibit_tlog::{
    Hash, HashReader, root_of,
    tile::{TILE_WIDTH, TileId},
};

/// Tree levels in a tile.
const TILE_HEIGHT: u8 = 8;

/// The tiles of a tree of one size, as they were fetched so far.
pub(crate) struct TileCache {
    size: u64,
    tiles: HashMap<TileId, Vec<Hash>>,
}

/// This tile has to be fetched first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Missing(pub(crate) TileId);

impl TileCache {
    pub(crate) fn new(size: u64) -> Self {
        Self { size, tiles: HashMap::new() }
    }

    /// Takes the bytes of a tile; `None` unless they are exactly as many hashes as its width says.
    pub(crate) fn insert(&mut self, id: TileId, bytes: &[u8]) -> Option<()> {
        let (hashes, rest) = bytes.as_chunks::<32>();
        if !rest.is_empty() || hashes.len() != usize::from(id.width) {
            return None;
        }
        self.tiles.insert(id, hashes.iter().map(|hash| Hash(*hash)).collect());
        Some(())
    }

    /// The tile that holds hash `index` of the lowest level of tile level `level`, as wide as a tree of this size has it.
    fn tile_of(&self, level: u8, index: u64) -> TileId {
        let width = u64::from(TILE_WIDTH);
        let hashes = self.size >> (u32::from(level) * u32::from(TILE_HEIGHT));
        let tile = index / width;
        let wide = if (tile + 1) * width <= hashes { width } else { hashes % width };
        TileId { level, index: tile, width: u16::try_from(wide).expect("at most 256") }
    }
}

impl HashReader for TileCache {
    type Error = Missing;

    fn hash(&self, level: u8, index: u64) -> Result<Hash, Missing> {
        let tile_level = level / TILE_HEIGHT;
        let below = level % TILE_HEIGHT;
        let first = index << below;
        let id = self.tile_of(tile_level, first);
        let hashes = self.tiles.get(&id).ok_or(Missing(id))?;
        let offset = usize::try_from(first % u64::from(TILE_WIDTH)).expect("below 256");
        let run = hashes.get(offset..offset + (1 << below)).ok_or(Missing(id))?;
        Ok(root_of(run))
    }
}

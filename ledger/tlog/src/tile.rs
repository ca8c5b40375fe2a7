//! C2SP tlog-tiles: the paths of tiles and entry bundles, and the bytes in them.

/// Hashes in a full tile, and entries in a full bundle.
pub const TILE_WIDTH: u16 = 256;

/// Which tile: level (in tiles, 8 tree levels each), index, width 1..=256 (256 is full, written without `.p`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct TileId {
    /// 0..=63
    pub level: u8,
    /// Index within the level.
    pub index: u64,
    /// 1..=256
    pub width: u16,
}

/// Which entry bundle.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct BundleId {
    /// Index.
    pub index: u64,
    /// 1..=256
    pub width: u16,
}
// TileId::{parse("0/x001/234.p/5"), path()}, BundleId::{parse, path} ("entries/…" without that prefix), strict: no leading zeros groups, canonical only.
// pub fn tile_exists(id, tree_size) -> bool: whether a tree of that size serves the tile at that width.
// pub fn encode_bundle(entries: &[&[u8]]) -> Vec<u8> (u16 length prefixes; entries at most 65,535 bytes), decode_bundle(bytes, width) -> Result<Vec<&[u8]>, TileError>.

//! C2SP tlog-tiles: the paths of tiles and entry bundles, and the bytes in them.
//!
//! It does not know where tiles are stored, nor how they are served.

use crate::decimal::parse_decimal;
use crate::merkle::HASH_SIZE_BYTES;
use crate::{Hash, MerkleFrontier};

/// Hashes in a full tile, and entries in a full bundle.
pub const TILE_WIDTH: u16 = 256;

/// Levels of the tree that a tile spans: 2^8 is its width.
pub const TILE_HEIGHT: u8 = 8;

/// The highest level of tiles that a path can name.
pub const TILE_LEVEL_MAX: u8 = 63;

/// The largest entry: a bundle counts its bytes in 16 bits.
pub const ENTRY_SIZE_BYTES_MAX: usize = u16::MAX as usize;

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

/// Why a tile, a bundle or the path of one was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TileError {
    /// Not the one spelling of a tile's path.
    #[error("not the path of a tile or an entry bundle")]
    Path,
    /// Not as many hashes or entries as asked for, or something after them.
    #[error("a tile or bundle does not have exactly the hashes or entries of its width")]
    Width,
    /// An entry that a bundle can not hold.
    #[error("an entry is larger than 65,535 bytes")]
    EntrySize,
}

impl TileId {
    /// Parses what follows `tile/`: `0/x001/234.p/5`. A path has one spelling.
    pub fn parse(path: &str) -> Result<Self, TileError> {
        let (level, rest) = path.split_once('/').ok_or(TileError::Path)?;
        let level = parse_decimal(level).and_then(|level| u8::try_from(level).ok()).ok_or(TileError::Path)?;
        if level > TILE_LEVEL_MAX {
            return Err(TileError::Path);
        }
        let (index, width) = parse_index_and_width(rest)?;
        Ok(Self { level, index, width })
    }

    /// What follows `tile/`.
    pub fn path(&self) -> String {
        format!("{}/{}", self.level, index_and_width_path(self.index, self.width))
    }

    /// The partial tile at the right edge of a level in a tree of that size; `None` where the last tile is full or there is none.
    pub fn partial_at(level: u8, tree_size: u64) -> Option<Self> {
        let hashes = hashes_at(level, tree_size);
        let width = (hashes % u64::from(TILE_WIDTH)) as u16;
        (width != 0).then_some(Self { level, index: hashes / u64::from(TILE_WIDTH), width })
    }
}

impl BundleId {
    /// Parses what follows `tile/entries/`: `x001/234.p/5`. A path has one spelling.
    pub fn parse(path: &str) -> Result<Self, TileError> {
        let (index, width) = parse_index_and_width(path)?;
        Ok(Self { index, width })
    }

    /// What follows `tile/entries/`.
    pub fn path(&self) -> String {
        index_and_width_path(self.index, self.width)
    }
}

/// How many full tiles a level of a tree of that size has: those with an index below.
pub fn full_tiles_at(level: u8, tree_size: u64) -> u64 {
    hashes_at(level, tree_size) / u64::from(TILE_WIDTH)
}

/// Whether a tree of that size serves the tile at that width. That is so for narrower widths of it too, since they were the
/// edge of a smaller tree, and whoever verified a checkpoint of that one may still ask.
pub fn tile_exists(id: TileId, tree_size: u64) -> bool {
    let start = id.index.checked_mul(u64::from(TILE_WIDTH));
    let end = start.and_then(|start| start.checked_add(u64::from(id.width)));
    (1..=TILE_WIDTH).contains(&id.width) && end.is_some_and(|end| end <= hashes_at(id.level, tree_size))
}

/// Whether a log of that size serves the bundle at that width: as for the tile of the leaf hashes of its entries.
pub fn bundle_exists(id: BundleId, tree_size: u64) -> bool {
    tile_exists(TileId { level: 0, index: id.index, width: id.width }, tree_size)
}

/// How many hashes a level of tiles has: one per perfect subtree of 256^level leaves.
fn hashes_at(level: u8, tree_size: u64) -> u64 {
    tree_size.checked_shr(u32::from(level) * u32::from(TILE_HEIGHT)).unwrap_or(0)
}

/// The bytes of a tile.
pub fn encode_tile(hashes: &[Hash]) -> Vec<u8> {
    hashes.iter().flat_map(|hash| hash.0).collect()
}

/// The hashes of a tile of `width`.
pub fn decode_tile(bytes: &[u8], width: u16) -> Result<Vec<Hash>, TileError> {
    let (hashes, rest) = bytes.as_chunks::<HASH_SIZE_BYTES>();
    if !(1..=TILE_WIDTH).contains(&width) || hashes.len() != usize::from(width) || !rest.is_empty() {
        return Err(TileError::Width);
    }
    Ok(hashes.iter().copied().map(Hash).collect())
}

/// The hash that stands for a full tile in the level above.
pub fn full_tile_root(hashes: &[Hash]) -> Result<Hash, TileError> {
    if hashes.len() != usize::from(TILE_WIDTH) {
        return Err(TileError::Width);
    }
    let mut frontier = MerkleFrontier::default();
    hashes.iter().for_each(|hash| frontier.push(*hash, |_, _, _| {}));
    Ok(frontier.root())
}

/// The bytes of a bundle: each entry after its length, 16 bits big-endian.
pub fn encode_bundle(entries: &[&[u8]]) -> Result<Vec<u8>, TileError> {
    if entries.is_empty() || entries.len() > usize::from(TILE_WIDTH) {
        return Err(TileError::Width);
    }
    let mut bundle = Vec::with_capacity(entries.iter().map(|entry| entry.len() + 2).sum());
    for entry in entries {
        let length = u16::try_from(entry.len()).map_err(|_| TileError::EntrySize)?;
        bundle.extend_from_slice(&length.to_be_bytes());
        bundle.extend_from_slice(entry);
    }
    Ok(bundle)
}

/// The entries of a bundle of `width`.
pub fn decode_bundle(bytes: &[u8], width: u16) -> Result<Vec<&[u8]>, TileError> {
    if !(1..=TILE_WIDTH).contains(&width) {
        return Err(TileError::Width);
    }
    let mut rest = bytes;
    let mut entries = Vec::with_capacity(usize::from(width));
    for _ in 0..width {
        let (length, after) = rest.split_first_chunk().ok_or(TileError::Width)?;
        let (entry, after) = after.split_at_checked(usize::from(u16::from_be_bytes(*length))).ok_or(TileError::Width)?;
        entries.push(entry);
        rest = after;
    }
    if rest.is_empty() { Ok(entries) } else { Err(TileError::Width) }
}

/// `x001/x234/067.p/5` for 1,234,067 at width 5.
fn index_and_width_path(index: u64, width: u16) -> String {
    let mut path = format!("{:03}", index % 1000);
    let mut above = index / 1000;
    while above > 0 {
        path = format!("x{:03}/{path}", above % 1000);
        above /= 1000;
    }
    if width < TILE_WIDTH {
        path.push_str(&format!(".p/{width}"));
    }
    path
}

fn parse_index_and_width(path: &str) -> Result<(u64, u16), TileError> {
    let (groups, width) = match path.split_once(".p/") {
        None => (path, TILE_WIDTH),
        Some((groups, width)) => {
            let width = parse_decimal(width).filter(|width| (1..u64::from(TILE_WIDTH)).contains(width)).ok_or(TileError::Path)?;
            (groups, width as u16)
        }
    };
    let mut index = 0_u64;
    for group in groups.split('/') {
        let group: u64 = group.trim_start_matches('x').parse().map_err(|_| TileError::Path)?;
        index = index.checked_mul(1000).and_then(|index| index.checked_add(group)).ok_or(TileError::Path)?;
    }
    // What is left to go wrong is the spelling: x marks, signs, too many or too few digits, groups of zeros in front.
    if index_and_width_path(index, width) == path { Ok((index, width)) } else { Err(TileError::Path) }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;
    use crate::{leaf_hash, root_of};

    #[test]
    fn paths_are_those_of_the_specification() {
        let path = |level, index, width| TileId { level, index, width }.path();
        assert_eq!(path(0, 1_234_067, 256), "0/x001/x234/067", "the example of tlog-tiles");
        assert_eq!(path(0, 0, 256), "0/000");
        assert_eq!(path(1, 999, 1), "1/999.p/1");
        assert_eq!(path(63, 1000, 255), "63/x001/000.p/255");
        assert_eq!(path(0, u64::MAX, 255), "0/x018/x446/x744/x073/x709/x551/615.p/255");
        assert_eq!(BundleId { index: 273, width: 112 }.path(), "273.p/112");
    }

    #[test]
    fn every_path_is_parsed_back() {
        for index in [0, 1, 999, 1000, 1001, 999_999, 1_000_000, 1_234_067, u64::MAX / 256, u64::MAX] {
            for width in [1, 9, 10, 255, 256] {
                let bundle = BundleId { index, width };
                assert_eq!(BundleId::parse(&bundle.path()), Ok(bundle));
                for level in [0, 1, 9, 10, 63] {
                    let tile = TileId { level, index, width };
                    assert_eq!(TileId::parse(&tile.path()), Ok(tile));
                }
            }
        }
    }

    #[test]
    fn a_path_has_one_spelling() {
        let refused = [
            ("no index", "0"),
            ("empty index", "0/"),
            ("empty level", "/000"),
            ("level 64", "64/000"),
            ("level 256", "256/000"),
            ("level with a leading zero", "00/000"),
            ("negative level", "-1/000"),
            ("two digits", "0/00"),
            ("four digits", "0/0000"),
            ("letters", "0/00a"),
            ("digits of another script", "0/٠٠١"),
            ("sign", "0/+01"),
            ("leading group of zeros", "0/x000/001"),
            ("x on the last group", "0/x001"),
            ("two x", "0/xx001/000"),
            ("no x on the first group", "0/001/000"),
            ("upper-case x", "0/X001/000"),
            ("empty group", "0/x001//000"),
            ("leading slash", "/0/000"),
            ("trailing slash", "0/000/"),
            ("climbing", "0/../000"),
            ("index beyond 64 bits", "0/x018/x446/x744/x073/x709/x551/616"),
            ("index far beyond 64 bits", "0/x999/x999/x999/x999/x999/x999/999"),
            ("one group too many", "0/x001/x018/x446/x744/x073/x709/x551/615"),
            ("width 0", "0/000.p/0"),
            ("width 256", "0/000.p/256"),
            ("width with a leading zero", "0/000.p/01"),
            ("no width", "0/000.p/"),
            ("two widths", "0/000.p/1.p/1"),
            ("width with a slash", "0/000.p/1/"),
            ("space", "0/000 "),
            ("newline", "0/000\n"),
        ];
        for (defect, path) in refused {
            assert_eq!(TileId::parse(path), Err(TileError::Path), "{defect}");
            if let Some(bundle) = path.strip_prefix("0/") {
                assert_eq!(BundleId::parse(bundle), Err(TileError::Path), "{defect}");
            }
        }
        assert_eq!(BundleId::parse(""), Err(TileError::Path));
    }

    #[test]
    fn a_tree_of_70_000_has_the_tiles_of_the_specification() {
        let at = |level| (full_tiles_at(level, 70_000), TileId::partial_at(level, 70_000).map(|tile| (tile.index, tile.width)));
        assert_eq!(at(0), (273, Some((273, 112))));
        assert_eq!(at(1), (1, Some((1, 17))));
        assert_eq!(at(2), (0, Some((0, 1))));
        assert_eq!(at(3), (0, None));
        assert_eq!(full_tiles_at(0, 256), 1);
        assert_eq!(TileId::partial_at(0, 256), None, "a partial tile is never empty");
        assert_eq!(TileId::partial_at(1, 256), Some(TileId { level: 1, index: 0, width: 1 }));
        for level in 8..=TILE_LEVEL_MAX {
            assert_eq!((full_tiles_at(level, u64::MAX), TileId::partial_at(level, u64::MAX)), (0, None));
        }
    }

    #[test]
    fn no_tile_reaches_beyond_the_tree() {
        let exists = |level, index, width, size| tile_exists(TileId { level, index, width }, size);
        assert!(exists(0, 273, 112, 70_000));
        assert!(exists(0, 273, 111, 70_000), "the edge of a smaller tree");
        assert!(exists(0, 272, 256, 70_000) && exists(0, 272, 3, 70_000));
        assert!(!exists(0, 273, 113, 70_000), "one leaf too many");
        assert!(!exists(0, 274, 1, 70_000), "the next tile");
        assert!(!exists(0, 0, 0, 70_000), "an empty tile");
        assert!(!exists(0, 0, 257, 70_000), "wider than a tile");
        assert!(exists(1, 1, 17, 70_000) && !exists(1, 1, 18, 70_000), "a partial tile is not hashed into the level above");
        assert!(!exists(1, 0, 1, 255) && exists(1, 0, 1, 256));
        assert!(!exists(0, 0, 1, 0), "the empty tree has none");
        assert!(!exists(0, u64::MAX, 256, u64::MAX) && !exists(63, 0, 1, u64::MAX));
        assert!(bundle_exists(BundleId { index: 273, width: 112 }, 70_000));
        assert!(!bundle_exists(BundleId { index: 273, width: 113 }, 70_000));
    }

    #[test]
    fn tiles_rebuild_the_tree() {
        let leaves: Vec<Hash> = (0..256_u16).map(|i| leaf_hash(&i.to_be_bytes())).collect();
        let bytes = encode_tile(&leaves);
        assert_eq!(bytes.len(), 8192);
        assert_eq!(decode_tile(&bytes, 256), Ok(leaves.clone()));
        assert_eq!(full_tile_root(&leaves), Ok(root_of(&leaves)));
        assert_eq!(full_tile_root(&leaves[..255]), Err(TileError::Width), "a partial tile");
        assert_eq!(decode_tile(&bytes, 255), Err(TileError::Width), "surplus hash");
        assert_eq!(decode_tile(&bytes[..8191], 256), Err(TileError::Width), "cut hash");
        assert_eq!(decode_tile(&bytes[..33], 1), Err(TileError::Width), "surplus byte");
        assert_eq!(decode_tile(&[], 0), Err(TileError::Width), "empty tile");
    }

    #[test]
    fn bundles_hold_exactly_their_entries() {
        let long = vec![7; ENTRY_SIZE_BYTES_MAX];
        let entries: [&[u8]; 3] = [b"", b"entry", &long];
        let bytes = encode_bundle(&entries).unwrap();
        assert_eq!(bytes[..11], *b"\0\0\0\x05entry\xff\xff");
        assert_eq!(decode_bundle(&bytes, 3), Ok(entries.to_vec()));
        assert_eq!(decode_bundle(&bytes, 2), Err(TileError::Width), "surplus entry");
        assert_eq!(decode_bundle(&bytes, 4), Err(TileError::Width), "missing entry");
        assert_eq!(decode_bundle(&bytes[..bytes.len() - 1], 3), Err(TileError::Width), "cut entry");
        assert_eq!(decode_bundle(&[&bytes[..], &[0]].concat(), 3), Err(TileError::Width), "surplus byte");
        assert_eq!(decode_bundle(&[], 0), Err(TileError::Width), "empty bundle");
        assert_eq!(decode_bundle(&[0; 514], 257), Err(TileError::Width), "wider than a bundle");
        let full = [b"entry".as_slice(); 256];
        assert_eq!(decode_bundle(&encode_bundle(&full).unwrap(), 256), Ok(full.to_vec()));
        assert_eq!(encode_bundle(&[]), Err(TileError::Width), "no entry");
        assert_eq!(encode_bundle(&[b"".as_slice(); 257]), Err(TileError::Width), "257 entries");
        assert_eq!(encode_bundle(&[&vec![0; ENTRY_SIZE_BYTES_MAX + 1]]), Err(TileError::EntrySize));
    }
}

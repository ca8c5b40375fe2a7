//! The whole log, fetched as entry bundles, with its tree rebuilt from nothing else and compared to the signed head and to every hash tile.
//!
//! It does not know what an entry says.

use exhibit_client::Appliance;
use exhibit_tlog::{
    Hash, MerkleFrontier, leaf_hash, root_of,
    tile::{BundleId, TILE_WIDTH, TileId, decode_bundle, decode_tile},
};

/// 256 entries of 64 KiB.
const BUNDLE_BYTES_MAX: u64 = 17 << 20;
/// 256 hashes.
const TILE_BYTES_MAX: u64 = 8 << 10;

/// A log as it was at one verified head.
pub(crate) struct Log {
    /// Every entry, by index.
    pub entries: Vec<Vec<u8>>,
    /// The leaf hash of each.
    pub leaves: Vec<Hash>,
    /// The root of the tree of every size from 1 on.
    roots: Vec<Hash>,
}

impl Log {
    /// Fetches all of it, and panics unless it is what the checkpoint and the tiles say.
    pub async fn fetch(appliance: &mut Appliance) -> Self {
        let head = appliance.checkpoint(None).await.expect("the log has a signed head");
        let mut entries: Vec<Vec<u8>> = Vec::new();
        for id in widths(head.size).map(|(index, width)| BundleId { index, width }) {
            let path = format!("/log/tile/entries/{}", id.path());
            let bytes = appliance.get_bytes(&path, BUNDLE_BYTES_MAX).await.expect("an auditor gets the entries of the log");
            let bundle = decode_bundle(&bytes, id.width).expect("an entry bundle is as long as its name says");
            entries.extend(bundle.into_iter().map(<[u8]>::to_vec));
        }
        let leaves: Vec<Hash> = entries.iter().map(|entry| leaf_hash(entry)).collect();
        let mut tree = MerkleFrontier::default();
        let mut roots = Vec::new();
        for leaf in &leaves {
            tree.push(*leaf, |_, _, _| {});
            roots.push(tree.root());
        }
        assert_eq!(leaves.len() as u64, head.size, "the log has other entries than its head says");
        assert_eq!(roots.last(), Some(&head.root), "the entries of the log are not those that its head signs");
        judge_tiles(appliance, &leaves).await;
        Self { entries, leaves, roots }
    }

    /// How many entries it has.
    pub fn size(&self) -> u64 {
        self.leaves.len() as u64
    }

    /// The root of the tree of its first `size` entries.
    pub fn root_at(&self, size: u64) -> Hash {
        let position = usize::try_from(size).ok().and_then(|size| size.checked_sub(1));
        let root = position.and_then(|position| self.roots.get(position));
        *root.unwrap_or_else(|| panic!("a head of {size} entries was signed, and the log has {}: entries were lost", self.size()))
    }
}

/// Every tile of every level holds the hashes that follow from the entries.
async fn judge_tiles(appliance: &mut Appliance, leaves: &[Hash]) {
    let mut row = leaves.to_vec();
    for level in 0.. {
        for (index, width) in widths(row.len() as u64) {
            let id = TileId { level, index, width };
            let bytes = appliance.get_bytes(&format!("/log/tile/{}", id.path()), TILE_BYTES_MAX).await.expect("anybody gets hash tiles");
            let hashes = decode_tile(&bytes, width).expect("a tile is as long as its name says");
            let first = usize::try_from(index).expect("logs of tests are small") * usize::from(TILE_WIDTH);
            assert_eq!(hashes, row[first..first + usize::from(width)], "tile {} does not follow from the entries", id.path());
        }
        row = row.chunks_exact(usize::from(TILE_WIDTH)).map(root_of).collect();
        if row.is_empty() {
            return;
        }
    }
}

/// Indexes and widths of the tiles over so many hashes.
fn widths(hashes: u64) -> impl Iterator<Item = (u64, u16)> {
    let width = u64::from(TILE_WIDTH);
    let width_of = move |index: u64| u16::try_from((hashes - index * width).min(width)).expect("at most 256");
    (0..hashes.div_ceil(width)).map(move |index| (index, width_of(index)))
}

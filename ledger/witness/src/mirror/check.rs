//! Re-hashes all of a copy, and names what is not what the checkpoint says. A tile is made again of what lies below it; an entry can only come from
//! the log, which fills the copy again from the first one that is damaged.
//!
//! It sets no pace and prints nothing; it runs beside a mirror that serves, since what is full never changes.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use exhibit_tlog::tile::{BundleId, TILE_WIDTH, TileId, decode_bundle, decode_tile, encode_tile};
use exhibit_tlog::{Checkpoint, Hash, leaf_hash};

use super::copy::{BUNDLE_BYTES_MAX, Copy, CopyError, TILE_BYTES, WIDTH, at_level, read, root_of_rows, tile_root};
use crate::disk::Disk;

/// What a check came to.
#[derive(Debug, Default)]
pub struct Checked {
    /// Entries that were hashed, and are what the checkpoint says.
    pub entries: u64,
    /// Files that are not, or are not there.
    pub damaged: Vec<PathBuf>,
    /// Tiles among them that were made again.
    pub remade: u64,
    /// Files that could not be read now, which says nothing of what is in them.
    pub unread: Vec<String>,
    /// The copy is filled again from this entry on, at the next start of the mirror.
    pub refill_from: Option<u64>,
}

impl Checked {
    /// Nothing is left that is not what the checkpoint says.
    pub fn is_whole(&self) -> bool {
        self.refill_from.is_none() && self.unread.is_empty() && self.damaged.len() as u64 == self.remade
    }
}

/// What a check is told to do, and tells.
pub trait Watch {
    /// So many bytes were read: it returns when the next ones may be.
    fn read(&mut self, bytes: u64);
    /// So many of the full bundles are checked.
    fn came_to(&mut self, bundles: u64, of: u64);
}

/// The files beside the copy of one log: named by the hash of its origin, like all that a mirror keeps of it.
pub(super) struct Beside {
    copy: PathBuf,
}

impl Beside {
    /// In a mirror's folder.
    pub fn of(folder: &Path, hash: &str) -> Self {
        Self { copy: folder.join(format!("{hash}.log")) }
    }

    /// From which entry on the copy is filled again: the decimal number is all that is in it.
    pub fn refill(&self) -> PathBuf {
        self.copy.with_extension("refill")
    }

    /// Says that what there is of the copy is not whole.
    pub fn filling(&self) -> PathBuf {
        self.copy.with_extension("filling")
    }

    /// So many full bundles were checked when a check ended half-way.
    fn checked(&self) -> PathBuf {
        self.copy.with_extension("checked")
    }
}

/// Checks the copy of one log in a mirror's folder below a checkpoint, which the caller has verified. A check that was ended goes on from where it was.
/// `None` if the copy is being filled again, or is going to be.
pub fn check(
    folder: &Path,
    hash: &str,
    head: &Checkpoint,
    disk: &Arc<dyn Disk>,
    watch: &mut dyn Watch,
) -> Result<Option<Checked>, CopyError> {
    let beside = Beside::of(folder, hash);
    if beside.refill().exists() || beside.filling().exists() {
        return Ok(None);
    }
    let copy = Copy::view(&beside.copy, head.size, disk.clone());
    let first = number_in(&beside.checked())?.unwrap_or(0);
    let mut check = Check { copy, beside, first, watch, done: Checked::default() };
    if head.size > 0 {
        check.all(&head.root)?;
    }
    let _ = fs::remove_file(check.beside.checked());
    Ok(Some(check.done))
}

struct Check<'a> {
    copy: Copy,
    beside: Beside,
    /// Full bundles that an earlier check has done.
    first: u64,
    watch: &'a mut dyn Watch,
    done: Checked,
}

impl Check<'_> {
    fn all(&mut self, root: &Hash) -> Result<(), CopyError> {
        let size = self.copy.next();
        let Some(edge) = self.edge(root)? else {
            // The mirror begins anew where its edge does not show the checkpoint.
            self.done.damaged.push(self.copy.tile_path(TileId { level: 0, index: size / WIDTH, width: TILE_WIDTH }));
            return self.refill(0);
        };
        for (level, row) in (0..edge.len() as u8).zip(&edge).rev().filter(|(level, _)| *level > 0) {
            let first = at_level(size, level) - row.len() as u64;
            for (index, hash) in (first..).zip(row) {
                self.tile(level - 1, index, hash)?;
            }
        }
        self.edge_files(&edge)?;
        self.last_bundle(&edge[0])
    }

    /// The files of tiles that are not full.
    fn edge_files(&mut self, edge: &[Vec<Hash>]) -> Result<(), CopyError> {
        for (level, row) in (0..).zip(edge).filter(|(_, row)| !row.is_empty()) {
            let id = TileId { level, index: at_level(self.copy.next(), level) / WIDTH, width: row.len() as u16 };
            let found = match self.copy.tile(id) {
                Err(CopyError::Damaged(_)) => None,
                found => found?,
            };
            let right = encode_tile(row);
            if found.as_ref() != Some(&right) {
                let path = self.copy.tile_path(id);
                self.copy.keep(&path, &right)?;
                self.done.damaged.push(path);
                self.done.remade += 1;
            }
        }
        Ok(())
    }

    /// The right edge of the tree with that root: by the tiles that are not full, or by what lies below them. `None` if neither has that root.
    fn edge(&self, root: &Hash) -> Result<Option<Vec<Vec<Hash>>>, CopyError> {
        let below = || self.copy.rows_below(self.copy.last_bundle()?.iter().map(|entry| leaf_hash(entry)).collect());
        for rows in [self.rows_of_files(), below()] {
            match rows {
                Ok(rows) if root_of_rows(&rows, self.copy.next()) == *root => return Ok(Some(rows)),
                Ok(_) | Err(CopyError::Damaged(_)) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(None)
    }

    /// Of each level the hashes of the tile that is not full, as its file has them.
    fn rows_of_files(&self) -> Result<Vec<Vec<Hash>>, CopyError> {
        let size = self.copy.next();
        let row = |level| {
            let count = at_level(size, level);
            let id = TileId { level, index: count / WIDTH, width: (count % WIDTH) as u16 };
            let bytes = if id.width == 0 { None } else { self.copy.tile(id)? };
            bytes.map_or(Ok(Vec::new()), |bytes| decode_tile(&bytes, id.width)).map_err(|_| CopyError::Damaged(self.copy.tile_path(id)))
        };
        (0..).take_while(|level| at_level(size, *level) > 0).map(row).collect()
    }

    /// A full tile, of which the hash is known, and all that lies below it.
    fn tile(&mut self, level: u8, index: u64, expected: &Hash) -> Result<(), CopyError> {
        // Bundles below a tile of this level, and the first of them.
        let below = WIDTH.pow(u32::from(level));
        if (index + 1).saturating_mul(below) <= self.first {
            return Ok(());
        }
        let unread = self.done.unread.len();
        let Some(hashes) = self.hashes(level, index, expected)? else {
            // What can not be read is told, and not taken for lost.
            return if self.done.unread.len() > unread { Ok(()) } else { self.refill(index * below * WIDTH) };
        };
        if level == 0 {
            return self.full_bundle(index, &hashes);
        }
        for (position, hash) in (0..).zip(&hashes) {
            self.tile(level - 1, index * WIDTH + position, hash)?;
        }
        Ok(())
    }

    /// What a tile has to hold: the file, or what lies below it, where the file is damaged.
    fn hashes(&mut self, level: u8, index: u64, expected: &Hash) -> Result<Option<Vec<Hash>>, CopyError> {
        let id = TileId { level, index, width: TILE_WIDTH };
        let path = self.copy.tile_path(id);
        let is_right = |hashes: &Vec<Hash>| tile_root(hashes) == *expected;
        if let Some(hashes) = self.read_tile(&path)?.filter(is_right) {
            return Ok(Some(hashes));
        }
        self.done.damaged.push(path.clone());
        let below = match level.checked_sub(1) {
            None => self.leaves(index)?,
            Some(below) => {
                let mut roots = Vec::new();
                for child in index * WIDTH..(index + 1) * WIDTH {
                    let child = self.copy.tile_path(TileId { level: below, index: child, width: TILE_WIDTH });
                    let Some(hashes) = self.read_tile(&child)? else { return Ok(None) };
                    roots.push(tile_root(&hashes));
                }
                Some(roots)
            }
        };
        let Some(hashes) = below.filter(is_right) else { return Ok(None) };
        self.copy.keep(&path, &encode_tile(&hashes))?;
        self.done.remade += 1;
        Ok(Some(hashes))
    }

    fn full_bundle(&mut self, index: u64, leaves: &[Hash]) -> Result<(), CopyError> {
        let unread = self.done.unread.len();
        match self.leaves(index)? {
            Some(found) if found == leaves => self.done.entries += WIDTH,
            _ if self.done.unread.len() > unread => {}
            _ => {
                self.done.damaged.push(self.copy.bundle_path(BundleId { index, width: TILE_WIDTH }));
                self.refill(index * WIDTH)?;
            }
        }
        let bundles = index + 1;
        self.watch.came_to(bundles, self.copy.next() / WIDTH);
        // A check that goes on from here would not tell again what this one could not read.
        if bundles.is_multiple_of(KEPT_BUNDLES) && self.done.unread.is_empty() {
            self.copy.keep(&self.beside.checked(), bundles.to_string().as_bytes())?;
        }
        Ok(())
    }

    /// That at the edge.
    fn last_bundle(&mut self, leaves: &[Hash]) -> Result<(), CopyError> {
        let found = match self.copy.last_bundle() {
            Err(CopyError::Damaged(_)) => Vec::new(),
            found => found?.iter().map(|entry| leaf_hash(entry)).collect(),
        };
        if found == leaves {
            self.done.entries += leaves.len() as u64;
            return Ok(());
        }
        let index = self.copy.next() / WIDTH;
        self.done.damaged.push(self.copy.bundle_path(BundleId { index, width: TILE_WIDTH }));
        self.refill(index * WIDTH)
    }

    /// Kept before anything else is looked at: a check that is ended would not find it again.
    fn refill(&mut self, from: u64) -> Result<(), CopyError> {
        if self.done.refill_from.is_none() {
            self.copy.keep(&self.beside.refill(), from.to_string().as_bytes())?;
            self.done.refill_from = Some(from);
        }
        Ok(())
    }

    /// The leaf hashes of a full bundle; `None` if it is damaged or can not be read.
    fn leaves(&mut self, index: u64) -> Result<Option<Vec<Hash>>, CopyError> {
        let bytes = self.read(&self.copy.bundle_path(BundleId { index, width: TILE_WIDTH }), BUNDLE_BYTES_MAX)?;
        Ok(bytes.and_then(|bytes| leaves_of(&bytes, TILE_WIDTH)))
    }

    fn read_tile(&mut self, path: &Path) -> Result<Option<Vec<Hash>>, CopyError> {
        Ok(self.read(path, TILE_BYTES)?.and_then(|bytes| decode_tile(&bytes, TILE_WIDTH).ok()))
    }

    fn read(&mut self, path: &Path, bytes_max: u64) -> Result<Option<Vec<u8>>, CopyError> {
        match read(path, bytes_max) {
            Ok(bytes) => {
                self.watch.read(bytes.as_ref().map_or(0, Vec::len) as u64);
                Ok(bytes)
            }
            Err(CopyError::Damaged(_)) => Ok(None),
            Err(error @ CopyError::Read { .. }) => {
                self.done.unread.push(error.to_string());
                Ok(None)
            }
            Err(error) => Err(error),
        }
    }
}

fn leaves_of(bundle: &[u8], width: u16) -> Option<Vec<Hash>> {
    Some(decode_bundle(bundle, width).ok()?.into_iter().map(leaf_hash).collect())
}

/// The number that is in a file; `None` if there is none, or no such file.
pub(super) fn number_in(path: &Path) -> Result<Option<u64>, CopyError> {
    let text = match read(path, NUMBER_BYTES_MAX) {
        Err(CopyError::Damaged(_)) => None,
        text => text?,
    };
    Ok(text.and_then(|text| str::from_utf8(&text).ok()?.parse().ok()))
}

/// What a check that is ended has to do again: some seconds of it.
const KEPT_BUNDLES: u64 = 256;
/// The digits of the largest.
const NUMBER_BYTES_MAX: u64 = 20;

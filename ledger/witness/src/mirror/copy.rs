//! A durable copy of one log as files in the layout of C2SP tlog-tiles, which anything that serves files can serve.
//!
//! Nothing is written that was not proven to be in a checkpoint that the log has signed. It knows no HTTP, and signs nothing.

use std::fs;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use exhibit_tlog::tile::{
    BundleId, ENTRY_SIZE_BYTES_MAX, TILE_HEIGHT, TILE_WIDTH, TileId, bundle_exists, decode_bundle, decode_tile, encode_bundle, encode_tile,
    full_tile_root, tile_exists,
};
use exhibit_tlog::{Checkpoint, Hash, HashReader, ProofError, Subtree, leaf_hash, root_at, root_of, verify_subtree};

use crate::disk::Disk;

/// Entries of a full bundle, and hashes of a full tile.
pub(super) const WIDTH: u64 = TILE_WIDTH as u64;
/// A full tile.
pub(super) const TILE_BYTES: u64 = WIDTH * 32;
/// A bundle of the longest entries.
pub(super) const BUNDLE_BYTES_MAX: u64 = WIDTH * (ENTRY_SIZE_BYTES_MAX as u64 + 2);

/// The copy.
pub struct Copy {
    folder: PathBuf,
    disk: Arc<dyn Disk>,
    /// Entries that are there, proven.
    next: u64,
    /// Of each level of tiles the hashes of the tile that is not full yet.
    rows: Vec<Vec<Hash>>,
    /// The entries of the bundle that is not full yet.
    bundle: Vec<Vec<u8>>,
    /// Size of the checkpoint that is served.
    committed: u64,
    /// The files of tiles and bundles that are not full, as they were settled last.
    partial: Vec<PathBuf>,
    /// What was cosigned before the copy was lost: size and root. What is filled in again has to be that tree.
    floor: Option<(u64, Hash)>,
}

/// Why entries were not taken.
#[derive(Debug, thiserror::Error)]
pub enum CopyError {
    /// They are not proven to be in the checkpoint.
    #[error("the entries are not those of the checkpoint: {0}")]
    Proof(ProofError),
    /// A file could not be written, and nothing has changed.
    #[error("{path} could not be written: {source}")]
    Write {
        /// Which.
        path: PathBuf,
        /// What happened.
        source: io::Error,
    },
    /// What is on the disk is not certain any more: the process has to end.
    #[error("{path} could not be made durable: {source}")]
    Sync {
        /// Which.
        path: PathBuf,
        /// What happened.
        source: io::Error,
    },
    /// The log has another tree than the one that was cosigned before the copy was lost.
    #[error("the first {0} entries are not those that this mirror has cosigned")]
    OtherTree(u64),
    /// A file that was written is not what it was.
    #[error("{0} is missing or damaged")]
    Damaged(PathBuf),
    /// A file could not be read, which says nothing of what is in it.
    #[error("{path} could not be read: {source}")]
    Read {
        /// Which.
        path: PathBuf,
        /// What happened.
        source: io::Error,
    },
    /// The client begins behind what is there: it was begun anew meanwhile.
    #[error("the first entry that is missing is {0}")]
    Beyond(u64),
}

impl Copy {
    /// Opens what there is below the checkpoint of `size` entries with `root`, which the caller has verified. What is beyond is asked for again.
    pub fn open(folder: &Path, size: u64, root: &Hash, disk: Arc<dyn Disk>) -> Result<Self, CopyError> {
        let mut copy = Self::view(folder, size, disk);
        if size > 0 {
            copy.bundle = copy.last_bundle()?;
            copy.rows = copy.rows_below(copy.bundle.iter().map(|entry| leaf_hash(entry)).collect())?;
            if copy.root() != *root {
                return Err(CopyError::Damaged(copy.folder.join("tile")));
            }
            copy.check_files()?;
            copy.partial = copy.partial_files()?;
        }
        Ok(copy)
    }

    /// What is there below the checkpoint of `size` entries, for whoever verifies what is read.
    pub(super) fn view(folder: &Path, size: u64, disk: Arc<dyn Disk>) -> Self {
        let (folder, none) = (folder.to_owned(), Vec::new());
        Self { folder, disk, next: size, rows: Vec::new(), bundle: Vec::new(), committed: size, partial: none, floor: None }
    }

    /// The first `next` entries, all in full bundles, of a copy that is damaged behind them, and of which a tree of `size` entries with `root` was
    /// cosigned.
    pub fn beginning(folder: &Path, next: u64, size: u64, root: Hash, disk: Arc<dyn Disk>) -> Result<Self, CopyError> {
        let partial = Self::view(folder, size, disk.clone()).partial_files()?;
        let mut copy = Self { partial, floor: Some((size, root)), ..Self::view(folder, next - next % WIDTH, disk) };
        copy.rows = copy.rows_below(Vec::new())?;
        copy.check_files()?;
        Ok(copy)
    }

    /// The entries of the bundle that is not full.
    pub(super) fn last_bundle(&self) -> Result<Vec<Vec<u8>>, CopyError> {
        let id = BundleId { index: self.next / WIDTH, width: (self.next % WIDTH) as u16 };
        if id.width == 0 {
            return Ok(Vec::new());
        }
        let damaged = || CopyError::Damaged(self.bundle_path(id));
        let bytes = self.bundle(id)?.ok_or_else(damaged)?;
        let entries = decode_bundle(&bytes, id.width).map_err(|_| damaged())?;
        Ok(entries.into_iter().map(<[u8]>::to_vec).collect())
    }

    /// Of each level the hashes of the tile that is not full, made of the full ones below it; `leaves` is that of level 0.
    pub(super) fn rows_below(&self, leaves: Vec<Hash>) -> Result<Vec<Vec<Hash>>, CopyError> {
        let mut rows = vec![leaves];
        for level in 0.. {
            let above = at_level(self.next, level + 1);
            if above == 0 {
                break;
            }
            let full = |index| self.full_tile(TileId { level, index, width: TILE_WIDTH });
            let row = (above - above % WIDTH..above).map(|index| full(index).map(|hashes| tile_root(&hashes)));
            rows.push(row.collect::<Result<_, _>>()?);
        }
        Ok(rows)
    }

    /// An empty copy in place of one that was lost, of which a tree of `size` entries with `root` was cosigned.
    pub fn empty(folder: &Path, size: u64, root: Hash, disk: Arc<dyn Disk>) -> Self {
        let floor = Some((size, root));
        Self { folder: folder.to_owned(), disk, next: 0, rows: Vec::new(), bundle: Vec::new(), committed: 0, partial: Vec::new(), floor }
    }

    /// How many entries are there: the index of the first that is missing.
    pub fn next(&self) -> u64 {
        self.next
    }

    /// Size of the checkpoint that is served.
    pub fn committed(&self) -> u64 {
        self.committed
    }

    /// Every full tile and bundle is there, and no tile is cut short. What is in those that are not at the edge is for whoever reads them to verify.
    fn check_files(&self) -> Result<(), CopyError> {
        let check = |path: PathBuf, bytes: Option<u64>| match fs::metadata(&path) {
            Ok(found) if found.is_file() && bytes.is_none_or(|bytes| found.len() == bytes) => Ok(()),
            Ok(_) => Err(CopyError::Damaged(path)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Err(CopyError::Damaged(path)),
            Err(source) => Err(CopyError::Read { path, source }),
        };
        let mut full = self.next / WIDTH;
        for index in 0..full {
            check(self.bundle_path(BundleId { index, width: TILE_WIDTH }), None)?;
        }
        for level in 0.. {
            for index in 0..full {
                check(self.tile_path(TileId { level, index, width: TILE_WIDTH }), Some(TILE_BYTES))?;
            }
            full /= WIDTH;
            if full == 0 {
                break;
            }
        }
        Ok(())
    }

    /// Takes the entries from `start` on, not beyond the end of their bundle, once they are proven to be in the tree of `head`. Those that
    /// are there already are passed over.
    pub fn take(&mut self, start: u64, entries: &[Vec<u8>], head: &Checkpoint, proof: &[Hash]) -> Result<(), CopyError> {
        if start > self.next {
            // Another upload has shown that what was filled in was of another tree.
            return Err(CopyError::Beyond(self.next));
        }
        let (first, end) = (start - start % WIDTH, start + entries.len() as u64);
        let mut leaves = match first / WIDTH == self.next / WIDTH {
            true => self.rows.first().map_or(&[][..], |row| &row[..(start - first) as usize]).to_vec(),
            false if start > first => {
                self.full_tile(TileId { level: 0, index: first / WIDTH, width: TILE_WIDTH })?[..(start - first) as usize].to_vec()
            }
            false => Vec::new(),
        };
        leaves.extend(entries.iter().map(|entry| leaf_hash(entry)));
        let subtree = Subtree::new(first, end).ok_or(CopyError::Proof(ProofError::OutOfRange))?;
        verify_subtree(subtree, &root_of(&leaves), head.size, &head.root, proof).map_err(CopyError::Proof)?;
        for (index, entry) in (start..).zip(entries) {
            if index >= self.next {
                self.push(entry)?;
                self.check_floor()?;
            }
        }
        Ok(())
    }

    /// Makes everything durable that a tree of `size` entries serves. The caller then puts its checkpoint in place, and says so with what this
    /// gives: the files of what is not full.
    pub fn settle(&mut self, head: &Checkpoint) -> Result<Vec<PathBuf>, CopyError> {
        assert!(head.size <= self.next, "what is not there is not committed");
        if head.size == self.next {
            // All of it was proven, so another root here is a fault of ours.
            assert_eq!(self.root(), head.root, "the copy is not the log that was proven entry by entry");
        }
        let bundles = self.next / WIDTH;
        let mut settled = Vec::new();
        if !self.bundle.is_empty() {
            let entries: Vec<&[u8]> = self.bundle.iter().map(Vec::as_slice).collect();
            let bytes = encode_bundle(&entries).expect("each entry came out of 16 bits of length");
            settled.push(self.bundle_path(BundleId { index: bundles, width: self.bundle.len() as u16 }));
            self.keep(&settled[0], &bytes)?;
        }
        for (level, row) in (0..).zip(&self.rows) {
            if !row.is_empty() {
                let index = at_level(self.next, level) / WIDTH;
                let path = self.tile_path(TileId { level, index, width: row.len() as u16 });
                self.keep(&path, &encode_tile(row))?;
                settled.push(path);
            }
        }
        self.partial.extend(settled.iter().filter(|path| !self.partial.contains(path)).cloned().collect::<Vec<_>>());
        Ok(settled)
    }

    /// The checkpoint that `settle` was for is in place: what it does not need any more goes. A narrower part is what a wider one, or the whole,
    /// begins with.
    pub fn committed_to(&mut self, size: u64, settled: Vec<PathBuf>) {
        self.committed = size;
        for path in self.partial.iter().filter(|path| !settled.contains(path)) {
            // What can not be removed takes room and nothing else. The folder goes with the last of them.
            let _ = fs::remove_file(path);
            let _ = path.parent().map(fs::remove_dir);
        }
        self.partial = settled;
    }

    /// The files of the tiles and the bundle at the edge, which are not full.
    fn partial_files(&self) -> Result<Vec<PathBuf>, CopyError> {
        let levels = (0..).take_while(|level| at_level(self.next, *level) > 0);
        let tile = |level| self.tile_path(TileId { level, index: at_level(self.next, level) / WIDTH, width: TILE_WIDTH });
        let bundle = self.bundle_path(BundleId { index: self.next / WIDTH, width: TILE_WIDTH });
        let mut files = Vec::new();
        for full in levels.map(tile).chain([bundle]) {
            files.extend(parts_of(&full)?);
        }
        Ok(files)
    }

    /// A tile of the tree that is served; `None` if that has none such.
    pub fn tile(&self, id: TileId) -> Result<Option<Vec<u8>>, CopyError> {
        if !tile_exists(id, self.committed) {
            return Ok(None);
        }
        let (bytes, width) = self.widest(&self.tile_path(TileId { width: TILE_WIDTH, ..id }), id.width)?;
        let hashes = decode_tile(&bytes, width).map_err(|_| CopyError::Damaged(self.tile_path(id)))?;
        Ok(Some(encode_tile(&hashes[..usize::from(id.width)])))
    }

    /// An entry bundle of the tree that is served; `None` if that has none such.
    pub fn bundle(&self, id: BundleId) -> Result<Option<Vec<u8>>, CopyError> {
        if !bundle_exists(id, self.committed) {
            return Ok(None);
        }
        let (bytes, width) = self.widest(&self.bundle_path(BundleId { width: TILE_WIDTH, ..id }), id.width)?;
        let damaged = |_| CopyError::Damaged(self.bundle_path(id));
        let entries = decode_bundle(&bytes, width).map_err(damaged)?;
        encode_bundle(&entries[..usize::from(id.width)]).map(Some).map_err(damaged)
    }

    /// Nothing of another tree than was cosigned is kept.
    fn check_floor(&mut self) -> Result<(), CopyError> {
        let Some((size, root)) = self.floor.filter(|(size, _)| *size == self.next) else { return Ok(()) };
        if self.root() != root {
            (self.next, self.rows, self.bundle) = (0, Vec::new(), Vec::new());
            return Err(CopyError::OtherTree(size));
        }
        Ok(())
    }

    fn push(&mut self, entry: &[u8]) -> Result<(), CopyError> {
        self.bundle.push(entry.to_vec());
        let mut hash = leaf_hash(entry);
        if self.bundle.len() == usize::from(TILE_WIDTH) {
            let entries: Vec<&[u8]> = self.bundle.iter().map(Vec::as_slice).collect();
            let bytes = encode_bundle(&entries).expect("each entry came out of 16 bits of length");
            let path = self.bundle_path(BundleId { index: self.next / WIDTH, width: TILE_WIDTH });
            if let Err(error) = self.keep(&path, &bytes) {
                self.bundle.pop();
                return Err(error);
            }
            self.bundle.clear();
        }
        self.next += 1;
        for level in 0.. {
            if self.rows.len() == usize::from(level) {
                self.rows.push(Vec::new());
            }
            let row = &mut self.rows[usize::from(level)];
            row.push(hash);
            if row.len() < usize::from(TILE_WIDTH) {
                break;
            }
            let full = std::mem::take(row);
            let index = (self.next >> (u32::from(level) * u32::from(TILE_HEIGHT))) / WIDTH - 1;
            // The bundle is there and the tile is not: only what failed to be written can say what to do.
            match self.keep(&self.tile_path(TileId { level, index, width: TILE_WIDTH }), &encode_tile(&full)) {
                Err(CopyError::Write { path, source }) => return Err(CopyError::Sync { path, source }),
                kept => kept?,
            }
            hash = tile_root(&full);
        }
        Ok(())
    }

    fn root(&self) -> Hash {
        root_of_rows(&self.rows, self.next)
    }

    fn full_tile(&self, id: TileId) -> Result<Vec<Hash>, CopyError> {
        let path = self.tile_path(id);
        let bytes = read(&path, BUNDLE_BYTES_MAX)?.ok_or_else(|| CopyError::Damaged(path.clone()))?;
        decode_tile(&bytes, TILE_WIDTH).map_err(|_| CopyError::Damaged(path))
    }

    /// The full file, or the narrowest part that is wide enough; what a file begins with never changes.
    fn widest(&self, full: &Path, width: u16) -> Result<(Vec<u8>, u16), CopyError> {
        if let Some(bytes) = read(full, BUNDLE_BYTES_MAX)? {
            return Ok((bytes, TILE_WIDTH));
        }
        let files = parts_of(full)?;
        let names = files.iter().filter_map(|file| file.file_name()?.to_str()?.parse::<u16>().ok());
        let wide = names.filter(|found| (width..TILE_WIDTH).contains(found)).min();
        let wide = wide.ok_or_else(|| CopyError::Damaged(full.to_owned()))?;
        let bytes = read(&PathBuf::from(format!("{}.p/{wide}", full.display())), BUNDLE_BYTES_MAX)?
            .ok_or_else(|| CopyError::Damaged(full.to_owned()))?;
        Ok((bytes, wide))
    }

    pub(super) fn tile_path(&self, id: TileId) -> PathBuf {
        self.folder.join("tile").join(id.path())
    }

    pub(super) fn bundle_path(&self, id: BundleId) -> PathBuf {
        self.folder.join("tile/entries").join(id.path())
    }

    /// Writes a file durably, with the folders that it needs.
    pub(super) fn keep(&self, path: &Path, bytes: &[u8]) -> Result<(), CopyError> {
        let folder = path.parent().expect("a tile lies in a folder");
        self.make_folder(folder)?;
        let aside = PathBuf::from(format!("{}.part", path.display()));
        self.disk.write(&aside, bytes).map_err(|source| CopyError::Write { path: aside.clone(), source })?;
        let sync = |path: &Path| {
            let path = path.to_owned();
            move |source| CopyError::Sync { path, source }
        };
        self.disk.sync_file(&aside).map_err(sync(&aside))?;
        self.disk.rename(&aside, path).map_err(sync(path))?;
        self.disk.sync_folder(folder).map_err(sync(folder))
    }

    fn make_folder(&self, folder: &Path) -> Result<(), CopyError> {
        if folder.is_dir() {
            return Ok(());
        }
        let parent = folder.parent().expect("the copy's folder is there");
        self.make_folder(parent)?;
        fs::create_dir(folder).map_err(|source| CopyError::Write { path: folder.to_owned(), source })?;
        self.disk.sync_folder(parent).map_err(|source| CopyError::Sync { path: parent.to_owned(), source })
    }
}

/// The right edge of the tree, which its root is made of.
struct Rows<'a> {
    rows: &'a [Vec<Hash>],
    size: u64,
}

impl HashReader for Rows<'_> {
    type Error = std::convert::Infallible;

    fn hash(&self, level: u8, index: u64) -> Result<Hash, Self::Error> {
        let (tile_level, below) = (level / TILE_HEIGHT, level % TILE_HEIGHT);
        let row = &self.rows[usize::from(tile_level)];
        let held = (self.size >> (u32::from(tile_level) * u32::from(TILE_HEIGHT))) - row.len() as u64;
        let first = ((index << below) - held) as usize;
        Ok(root_of(&row[first..first + (1 << below)]))
    }
}

pub(super) fn root_of_rows(rows: &[Vec<Hash>], size: u64) -> Hash {
    match root_at(&Rows { rows, size }, size) {
        Ok(root) => root,
        Err(never) => match never {},
    }
}

/// How many hashes a tree of `size` entries has at a level of tiles.
pub(super) fn at_level(size: u64, level: u8) -> u64 {
    size.checked_shr(u32::from(level) * u32::from(TILE_HEIGHT)).unwrap_or(0)
}

/// The files of a tile or bundle that is not full. What can not be listed may be whole.
fn parts_of(full: &Path) -> Result<Vec<PathBuf>, CopyError> {
    let folder = PathBuf::from(format!("{}.p", full.display()));
    let unread = |source| CopyError::Read { path: folder.clone(), source };
    let files = match fs::read_dir(&folder) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        files => files.map_err(unread)?,
    };
    files.map(|file| file.map(|file| file.path()).map_err(unread)).collect()
}

pub(super) fn tile_root(hashes: &[Hash]) -> Hash {
    full_tile_root(hashes).expect("the tile is full")
}

/// `None` if there is no such file.
pub(super) fn read(path: &Path, bytes_max: u64) -> Result<Option<Vec<u8>>, CopyError> {
    let unread = |source| CopyError::Read { path: path.to_owned(), source };
    let file = match fs::File::open(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        file => file.map_err(unread)?,
    };
    let mut bytes = Vec::new();
    file.take(bytes_max + 1).read_to_end(&mut bytes).map_err(unread)?;
    if bytes.len() as u64 > bytes_max { Err(CopyError::Damaged(path.to_owned())) } else { Ok(Some(bytes)) }
}

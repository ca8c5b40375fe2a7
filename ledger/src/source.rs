//! Where tiles and entries can be had from: a ledger's own rows, a folder in the layout of C2SP tlog-tiles, another ledger's folder.
//!
//! Nothing that a source gives is believed: whoever asks proves it against a signed head (proven.rs).

use std::fs;
use std::path::{Path, PathBuf};

use exhibit_tlog::tile::{BundleId, ENTRY_SIZE_BYTES_MAX, TILE_WIDTH, TileId, decode_bundle, decode_tile};
use exhibit_tlog::{Checkpoint, Hash};

use crate::checkpoint::Signing;
use crate::database::LogTail;
use crate::head_file;
use crate::ledger::DATABASE_FOLDER;
use crate::recover::starting_head;
use crate::store::{META_CHECKPOINT, Store};
use crate::{LedgerError, Options};

/// Gives tiles, entries and a checkpoint, right or wrong. What it can not give, for whatever reason, is `None`.
pub trait Source: Sync {
    /// What it calls itself.
    fn name(&self) -> String;
    /// The signed checkpoint that it has.
    fn checkpoint(&self) -> Option<String>;
    /// The hashes of a tile; may be more than its width.
    fn tile(&self, tile: TileId) -> Option<Vec<Hash>>;
    /// The entries of a bundle, `None` for each that is missing; may be more than its width.
    fn entries(&self, bundle: BundleId) -> Vec<Option<Vec<u8>>>;
}

/// A mirror on a file system: `checkpoint`, `tile/<level>/<index>`, `tile/entries/<index>`. A witness that mirrors keeps the checkpoint of the
/// folder `<name>.log` in the file `<name>` beside it.
pub struct TileFolder {
    path: PathBuf,
}

impl TileFolder {
    /// Of the folder that holds `checkpoint` and `tile/`.
    #[must_use]
    pub fn new(path: &Path) -> Self {
        Self { path: path.to_owned() }
    }

    /// The file of that width, of the whole, or of a wider part; with its width.
    fn read(&self, whole: &str, width: u16) -> Option<(Vec<u8>, u16)> {
        let folder = self.path.join("tile");
        let part = |width: u16| folder.join(format!("{whole}.p/{width}"));
        if width < TILE_WIDTH
            && let Some(bytes) = read_bounded(&part(width))
        {
            return Some((bytes, width));
        }
        if let Some(bytes) = read_bounded(&folder.join(whole)) {
            return Some((bytes, TILE_WIDTH));
        }
        let parts = fs::read_dir(folder.join(format!("{whole}.p"))).ok()?.flatten();
        let widths = parts.filter_map(|part| part.file_name().to_str()?.parse::<u16>().ok());
        let wider = widths.filter(|found| (width..TILE_WIDTH).contains(found)).max()?;
        Some((read_bounded(&part(wider))?, wider))
    }
}

impl Source for TileFolder {
    fn name(&self) -> String {
        self.path.display().to_string()
    }

    fn checkpoint(&self) -> Option<String> {
        let of_witness = || (self.path.extension()? == MIRROR_SUFFIX).then(|| read_bounded(&self.path.with_extension("")))?;
        String::from_utf8(read_bounded(&self.path.join("checkpoint")).or_else(of_witness)?).ok()
    }

    fn tile(&self, tile: TileId) -> Option<Vec<Hash>> {
        let (bytes, width) = self.read(&TileId { width: TILE_WIDTH, ..tile }.path(), tile.width)?;
        decode_tile(&bytes, width).ok()
    }

    fn entries(&self, bundle: BundleId) -> Vec<Option<Vec<u8>>> {
        let whole = format!("entries/{}", BundleId { width: TILE_WIDTH, ..bundle }.path());
        let read = self.read(&whole, bundle.width);
        let entries = read.as_ref().and_then(|(bytes, width)| decode_bundle(bytes, *width).ok()).unwrap_or_default();
        entries.into_iter().map(|entry| Some(entry.to_vec())).collect()
    }
}

fn read_bounded(path: &Path) -> Option<Vec<u8>> {
    let length = fs::metadata(path).ok()?.len();
    if length > BUNDLE_BYTES_MAX { None } else { fs::read(path).ok() }
}

/// The checkpoints that are noted beside the database in a ledger's folder, whether it opens or not. They are not verified.
#[must_use]
pub fn noted_checkpoints(ledger: &Path) -> Vec<String> {
    head_file::noted(ledger)
}

/// A ledger's folder as it is: closed, in use, or damaged. Nothing is changed in it.
pub struct LedgerFolder {
    path: PathBuf,
    /// Read before the database was opened: what is noted was in the database before.
    noted: Vec<String>,
    store: Store,
    is_whole: bool,
}

impl LedgerFolder {
    /// Opens the folder for reading.
    pub fn open(folder: &Path) -> Result<Self, LedgerError> {
        let (noted, database) = (noted_checkpoints(folder), folder.join(DATABASE_FOLDER));
        let whole = Store::open_beside(&database, LogTail::MustBeWhole);
        let is_whole = whole.is_ok();
        let store = whole.or_else(|_| Store::open_beside(&database, LogTail::MayBeTorn))?;
        Ok(Self { path: folder.to_owned(), noted, store, is_whole })
    }

    /// Where it is.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// How many entries it has, signed or not.
    pub fn size(&self) -> Result<u64, LedgerError> {
        Ok(self.store.tree()?.size())
    }

    /// Whether every record of its write-ahead log can be read. Else it may have lost what was synced.
    #[must_use]
    pub fn is_whole(&self) -> bool {
        self.is_whole
    }

    /// All checkpoints that are in the database or noted beside it, not verified.
    #[must_use]
    pub fn checkpoints(&self) -> Vec<String> {
        let stored = self.store.meta(META_CHECKPOINT).ok().flatten();
        self.noted.iter().cloned().chain(stored).collect()
    }

    /// The signed head that a start would go on from, seals aside: the newest checkpoint, or a new one of the tree where that was synced and
    /// not signed yet. It is proven as at a start. `None` if the ledger is empty. `options` are the log's.
    pub fn starting_head(&self, options: Options) -> Result<Option<(String, Checkpoint)>, LedgerError> {
        let published = starting_head(&self.store, &Signing::new(options)?, newest(self.noted.iter().cloned()))?;
        Ok(published.map(|published| (published.note.as_ref().to_owned(), published.head)))
    }

    pub(crate) fn store(&self) -> &Store {
        &self.store
    }
}

impl Source for LedgerFolder {
    fn name(&self) -> String {
        self.path.display().to_string()
    }

    fn checkpoint(&self) -> Option<String> {
        newest(self.checkpoints())
    }

    fn tile(&self, tile: TileId) -> Option<Vec<Hash>> {
        self.store.tile(tile.level, tile.index).ok().flatten()
    }

    fn entries(&self, bundle: BundleId) -> Vec<Option<Vec<u8>>> {
        let first = bundle.index.saturating_mul(u64::from(TILE_WIDTH));
        // All at once where all are there; one by one where something is missing or can not be read.
        match self.store.entries(first, u64::from(bundle.width)) {
            Ok(entries) => entries.into_iter().map(Some).collect(),
            Err(_) => (first..first.saturating_add(u64::from(bundle.width))).map(|index| self.store.entry(index).ok().flatten()).collect(),
        }
    }
}

/// The one that says to have the most entries; the last of equal ones.
pub(crate) fn newest(notes: impl IntoIterator<Item = String>) -> Option<String> {
    notes.into_iter().max_by_key(|note| Checkpoint::parse_unverified(note).map_or(0, |head| head.size))
}

/// The newest of the sources' checkpoints that verify.
pub fn newest_checkpoint(sources: &[&dyn Source], log: &exhibit_tlog::LogVerifier) -> Option<(String, Checkpoint)> {
    let notes = sources.iter().filter_map(|source| source.checkpoint());
    let verified = notes.filter_map(|note| log.verify(&note).ok().map(|head| (note, head)));
    verified.max_by_key(|(_, head)| head.size)
}

/// Of the folder that `exhibit-witness` keeps a log's tiles in.
const MIRROR_SUFFIX: &str = "log";
/// A whole bundle of the longest entries; a tile and a checkpoint are shorter.
const BUNDLE_BYTES_MAX: u64 = TILE_WIDTH as u64 * (ENTRY_SIZE_BYTES_MAX as u64 + 2);

//! A mirror that is reached by a URL: tiles and bundles as C2SP tlog-tiles has them, for a ledger that is made whole.
//!
//! Nothing that comes over the network is believed: the ledger proves it against a signed head.

use std::path::Path;
use std::sync::mpsc::{Sender, SyncSender, channel, sync_channel};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use exhibit_ledger::source::Source;
use exhibit_tlog::note::NOTE_SIZE_BYTES_MAX;
use exhibit_tlog::tile::{BundleId, ENTRY_SIZE_BYTES_MAX, TILE_HEIGHT, TILE_WIDTH, TileId, decode_bundle, decode_tile};
use exhibit_tlog::{Checkpoint, Hash};
use tokio::runtime::Builder;
use tokio::time::sleep;

use crate::witnessing::peer::Peer;

/// A mirror that is reached by a URL.
pub struct TileUrl {
    url: String,
    asks: Mutex<Sender<Ask>>,
    /// The checkpoint that it showed first, so that it does not change while it is read.
    checkpoint: Option<String>,
}

/// A request to the thread that speaks to the mirror.
struct Ask {
    path: String,
    bytes_max: usize,
    answer: SyncSender<Option<Vec<u8>>>,
}

impl TileUrl {
    /// Of the URL that `checkpoint` and `tile/` lie below. Blocks until the checkpoint is there, or the mirror was given up.
    pub fn open(url: &str, roots: &Path) -> Result<Self, String> {
        let peer = Peer::new(url, roots)?;
        // A thread of its own: whoever calls may be part of another runtime, where nothing may block.
        let (asks, asked) = channel::<Ask>();
        let runtime = Builder::new_current_thread().enable_all().build().map_err(|error| error.to_string())?;
        let name = url.to_owned();
        let speaking = std::thread::Builder::new().name("mirror-reader".into()).spawn(move || {
            let mut reader = Reader { url: name, peer, is_gone: false };
            for Ask { path, bytes_max, answer } in asked {
                // Whoever has asked waits.
                let _ = answer.send(runtime.block_on(reader.get(&path, bytes_max)));
            }
            runtime.shutdown_background();
        });
        speaking.map_err(|error| error.to_string())?;
        let mut mirror = Self { url: url.to_owned(), asks: Mutex::new(asks), checkpoint: None };
        let checkpoint = mirror.get("/checkpoint".to_owned(), NOTE_SIZE_BYTES_MAX).ok_or("it shows no checkpoint")?;
        mirror.checkpoint = Some(String::from_utf8(checkpoint).map_err(|_| "what it shows is no checkpoint")?);
        Ok(mirror)
    }

    fn get(&self, path: String, bytes_max: usize) -> Option<Vec<u8>> {
        let (answer, answered) = sync_channel(1);
        self.asks.lock().unwrap_or_else(PoisonError::into_inner).send(Ask { path, bytes_max, answer }).ok()?;
        answered.recv().ok()?
    }

    /// The file of that width, or one that begins with it: the whole one, or the part that its newest tree has. With its width.
    fn widest(&self, level: u8, index: u64, width: u16, path: impl Fn(u16) -> String, bytes_max: usize) -> Option<(Vec<u8>, u16)> {
        let size = self.checkpoint.as_deref().and_then(|note| Checkpoint::parse_unverified(note).ok()).map_or(0, |head| head.size);
        let hashes = size.checked_shr(u32::from(level) * u32::from(TILE_HEIGHT)).unwrap_or(0);
        let newest = (hashes / u64::from(TILE_WIDTH) == index).then_some((hashes % u64::from(TILE_WIDTH)) as u16);
        let mut widths = vec![width, TILE_WIDTH];
        widths.extend(newest.filter(|newest| *newest > width));
        widths.dedup();
        widths.into_iter().find_map(|width| Some((self.get(path(width), bytes_max)?, width)))
    }
}

impl Source for TileUrl {
    fn name(&self) -> String {
        self.url.clone()
    }

    fn checkpoint(&self) -> Option<String> {
        self.checkpoint.clone()
    }

    fn tile(&self, tile: TileId) -> Option<Vec<Hash>> {
        let TileId { level, index, width } = tile;
        let path = |width| format!("/tile/{}", TileId { level, index, width }.path());
        let (bytes, width) = self.widest(level, index, width, path, TILE_BYTES)?;
        decode_tile(&bytes, width).ok()
    }

    fn entries(&self, bundle: BundleId) -> Vec<Option<Vec<u8>>> {
        let BundleId { index, width } = bundle;
        let path = |width| format!("/tile/entries/{}", BundleId { index, width }.path());
        let read = self.widest(0, index, width, path, BUNDLE_BYTES_MAX);
        let entries = read.as_ref().and_then(|(bytes, width)| decode_bundle(bytes, *width).ok()).unwrap_or_default();
        entries.into_iter().map(|entry| Some(entry.to_vec())).collect()
    }
}

/// Speaks to one mirror.
struct Reader {
    url: String,
    peer: Peer,
    /// It was given up: what it may still have is not waited for again.
    is_gone: bool,
}

impl Reader {
    async fn get(&mut self, path: &str, bytes_max: usize) -> Option<Vec<u8>> {
        let mut wait = WAIT_FIRST;
        for tries_left in (0..TRIES).rev() {
            if self.is_gone {
                return None;
            }
            let reason = match self.peer.get(path, bytes_max).await {
                Ok(answer) if answer.status == 200 => return Some(answer.body.to_vec()),
                // It does not have it. Whatever else it answers may pass.
                Ok(answer) if answer.status == 404 => return None,
                Ok(answer) => format!("it answers {}", answer.status),
                Err(reason) => reason,
            };
            tracing::warn!(url = self.url, path, ?reason, tries_left, "a mirror does not give what it is asked for");
            if tries_left > 0 {
                sleep(wait).await;
                wait *= 2;
            }
        }
        self.is_gone = true;
        None
    }
}

/// A tile's 256 hashes.
const TILE_BYTES: usize = TILE_WIDTH as usize * 32;
/// A bundle of the longest entries.
const BUNDLE_BYTES_MAX: usize = TILE_WIDTH as usize * (ENTRY_SIZE_BYTES_MAX + 2);
/// A restart of a mirror, or of a router, takes seconds; what takes longer is the operator's to look at.
const TRIES: u32 = 5;
/// It doubles: 7.5 seconds in all.
const WAIT_FIRST: Duration = Duration::from_millis(500);

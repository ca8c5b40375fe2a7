//! Where a log's resources come from: a server, or a folder in the layout of tlog-tiles.
//!
//! It believes nothing that it gets, and judges nothing.

use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use exhibit_client::{ClientIdentity, Web, WebError, config_trusting};
use exhibit_tlog::Hash;
use exhibit_tlog::tile::{BundleId, TILE_WIDTH, TileId, decode_tile};
use rustls::{ClientConfig, RootCertStore};
use tokio::sync::Semaphore;

/// A signed note (docs/formats/log.md).
const CHECKPOINT_BYTES_MAX: u64 = 114_688;
/// 256 entries of 65,535 bytes, and their lengths.
const BUNDLE_BYTES_MAX: u64 = 256 * 65_537;
/// 256 hashes.
const TILE_BYTES_MAX: u64 = 256 * 32;
/// A certificate.
pub const CERTIFICATE_BYTES_MAX: u64 = 16 << 10;
/// What a `timestamp` or `contradiction` statement attaches: checkpoints are the longest, and what is erasable has a salt.
pub const OTHER_BYTES_MAX: u64 = 128 << 10;
/// Requests at a time: enough to fill a line whose round trip is long, too few to hurt a server.
pub const PARALLEL: usize = 8;

/// A log's resources.
pub struct Source {
    place: Place,
    idle: Mutex<Vec<Web>>,
    turns: Semaphore,
}

enum Place {
    Folder(PathBuf),
    Server { url: String, tls: Arc<ClientConfig>, answer_max: Duration },
}

impl Source {
    /// `log` is a URL, or a folder. TLS trusts `roots`, and shows `identity` where there is one.
    pub fn new(log: &str, identity: Option<&ClientIdentity>, roots: RootCertStore, answer_max: Duration) -> Result<Self, WebError> {
        let place = if log.contains("://") {
            let tls = config_trusting(identity, roots).map_err(|error| WebError::Local(error.to_string()))?;
            Web::new(log, tls.clone(), answer_max)?;
            Place::Server { url: log.to_owned(), tls, answer_max }
        } else {
            Place::Folder(PathBuf::from(log))
        };
        Ok(Self { place, idle: Mutex::default(), turns: Semaphore::new(PARALLEL) })
    }

    /// The newest checkpoint, as text.
    pub async fn checkpoint(&self) -> Result<String, WebError> {
        text(self.get("checkpoint", CHECKPOINT_BYTES_MAX).await?)
    }

    /// The newest checkpoint that has the cosignatures which the log's witness policy asks for; where the server knows of that.
    pub async fn witnessed(&self) -> Result<String, WebError> {
        text(self.get("witnessed", CHECKPOINT_BYTES_MAX).await?)
    }

    /// The newest checkpoint that the TPM of the log's machine has signed too; where there is one.
    pub async fn tpm_signed(&self) -> Result<String, WebError> {
        text(self.get("tpm", CHECKPOINT_BYTES_MAX).await?)
    }

    /// The hashes of a tile: as many as it is wide.
    pub async fn tile(&self, tile: TileId) -> Result<Vec<Hash>, WebError> {
        let bytes = self.get(&format!("tile/{}", tile.path()), TILE_BYTES_MAX).await;
        let (bytes, width) = match bytes {
            // A partial tile may go once the full one is there (C2SP tlog-tiles).
            Err(WebError::Absent) if tile.width < TILE_WIDTH => {
                (self.get(&format!("tile/{}", TileId { width: TILE_WIDTH, ..tile }.path()), TILE_BYTES_MAX).await?, TILE_WIDTH)
            }
            bytes => (bytes?, tile.width),
        };
        let mut hashes = decode_tile(&bytes, width).map_err(|_| WebError::Unfit(format!("it has {} bytes", bytes.len())))?;
        hashes.truncate(usize::from(tile.width));
        Ok(hashes)
    }

    /// The bytes of an entry bundle, and how many entries should be in it.
    pub async fn bundle(&self, bundle: BundleId) -> Result<(Vec<u8>, u16), WebError> {
        match self.get(&format!("tile/entries/{}", bundle.path()), BUNDLE_BYTES_MAX).await {
            Err(WebError::Absent) if bundle.width < TILE_WIDTH => {
                let full = BundleId { width: TILE_WIDTH, ..bundle };
                Ok((self.get(&format!("tile/entries/{}", full.path()), BUNDLE_BYTES_MAX).await?, TILE_WIDTH))
            }
            bytes => Ok((bytes?, bundle.width)),
        }
    }

    /// What an entry attaches, by the SHA-256 of what is stored: beside the log on the appliance; in a folder in `attachments`, as a mirror or as
    /// the appliance's vault has it. Its hash is the caller's to compare.
    pub async fn attachment(&self, sha256: &Hash, limit: u64) -> Result<Vec<u8>, WebError> {
        let name = sha256.to_string();
        match &self.place {
            Place::Folder(_) => match self.get(&format!("attachments/{name}"), limit).await {
                Err(WebError::Absent) => self.get(&format!("attachments/{}/{name}", &name[..2]), limit).await,
                got => got,
            },
            Place::Server { .. } => self.get(&format!("../v1/attachments/{name}"), limit).await,
        }
    }

    async fn get(&self, path: &str, limit: u64) -> Result<Vec<u8>, WebError> {
        let _turn = self.turns.acquire().await.expect("the semaphore is never closed");
        match &self.place {
            Place::Folder(folder) => {
                let path = folder.join(path);
                let read = tokio::task::spawn_blocking(move || read_file(&path, limit)).await;
                read.map_err(|_| WebError::Unavailable("reading a file failed".to_owned()))?
            }
            Place::Server { url, tls, answer_max } => {
                let kept = self.idle.lock().expect("nobody panics with the lock").pop();
                let mut web = match kept {
                    Some(web) => web,
                    None => Web::new(url, tls.clone(), *answer_max)?,
                };
                let got = web.get(path, limit).await;
                self.idle.lock().expect("nobody panics with the lock").push(web);
                got
            }
        }
    }
}

fn text(bytes: Vec<u8>) -> Result<String, WebError> {
    String::from_utf8(bytes).map_err(|_| WebError::Unfit("it is not text".to_owned()))
}

fn read_file(path: &Path, limit: u64) -> Result<Vec<u8>, WebError> {
    let unreadable = |error: std::io::Error| match error.kind() {
        std::io::ErrorKind::NotFound | std::io::ErrorKind::NotADirectory => WebError::Absent,
        _ => WebError::Unavailable(format!("{}: {error}", path.display())),
    };
    let mut bytes = Vec::new();
    let file = std::fs::File::open(path).map_err(unreadable)?;
    file.take(limit + 1).read_to_end(&mut bytes).map_err(unreadable)?;
    if bytes.len() as u64 > limit { Err(WebError::Unfit(format!("it is longer than {limit} bytes"))) } else { Ok(bytes) }
}

//! The mirror (C2SP tlog-mirror): keeps a durable copy of every log that the witness follows, and cosigns what it has a copy of.
//!
//! It is a cosigner apart from the witness, with a name and keys of its own. Pending checkpoints are those that the witness has accepted.

mod check;
mod copy;
mod upload;

use std::collections::{HashMap, VecDeque};
use std::fs;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use exhibit_tlog::mirror::{EntryPackage, MirrorInfo, UploadHeader};
use exhibit_tlog::tile::{BundleId, TileId};
use exhibit_tlog::witness::{add_cosignatures, cosign_text};
use exhibit_tlog::{Checkpoint, EMPTY_ROOT, Note, NoteSigner, VerifierKey};

use check::{Beside, number_in};
pub use check::{Checked, Watch, check};
use copy::Copy;
pub use copy::CopyError;
use upload::Upload;

use crate::disk::Disk;
use crate::store::{Store, StoreError};
use crate::witness::{Cosigned, Witness, WitnessError};

/// A client that uploads to a checkpoint which is not the newest any more need not begin again.
const PENDING_MAX: usize = 16;
/// More entries than these that are there already are a client's mistake: it asks where to go on.
const EXCESS_ENTRIES_MAX: u64 = 8192;

/// Mirrors the logs of a witness.
pub struct Mirror {
    signers: Vec<Arc<dyn NoteSigner>>,
    keys: Vec<VerifierKey>,
    logs: HashMap<String, Mutex<Mirrored>>,
    /// Logs that are not mirrored, and why: one that can not be does not stop the others.
    unfit: HashMap<String, String>,
    store: Store,
}

/// The copy of one log.
struct Mirrored {
    copy: Copy,
    /// The mirror checkpoint.
    latest: Option<Arc<Cosigned>>,
    /// The newest last.
    pending: VecDeque<Arc<Cosigned>>,
    /// The copy was lost or damaged and is being filled again: up to this checkpoint, below which nothing is cosigned.
    filling: Option<Filling>,
    /// A sync has failed: nothing is taken and nothing signed, however long the process takes to end.
    is_uncertain: bool,
}

/// What a lost copy has to come to.
struct Filling {
    floor: Checkpoint,
    /// Says that the copy is not whole: it is removed by whoever fills it, and not set aside.
    marker: PathBuf,
}

impl Mirrored {
    /// The size below which nothing is cosigned.
    fn floor(&self) -> u64 {
        self.filling.as_ref().map_or(0, |filling| filling.floor.size).max(self.copy.committed())
    }

    fn heed<T, E: Into<UploadError>>(&mut self, done: Result<T, E>) -> Result<T, UploadError> {
        let done = done.map_err(Into::into);
        self.is_uncertain |= done.as_ref().is_err_and(UploadError::is_fatal);
        done
    }
}

/// What an upload came to.
#[derive(Debug, PartialEq, Eq)]
pub enum Uploaded {
    /// All is there: the mirror's signature lines.
    Whole(String),
    /// Some is there, and the client goes on.
    Part(MirrorInfo),
}

/// Why nothing was taken.
#[derive(Debug, thiserror::Error)]
pub enum UploadError {
    /// The request can not be read.
    #[error("not an add-entries request, or its first package is cut off")]
    Malformed,
    /// The log is not followed.
    #[error("the log is unknown")]
    UnknownLog,
    /// There is no checkpoint to prove entries in.
    #[error("no checkpoint of the log is pending")]
    NothingPending,
    /// The upload begins or ends elsewhere than it could.
    #[error("the upload does not fit")]
    Conflict(MirrorInfo),
    /// Proof or disk.
    #[error(transparent)]
    Copy(#[from] CopyError),
    /// The mirror checkpoint could not be kept.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The clock says less than the last cosignature.
    #[error("this mirror's clock is behind its own last cosignature: its operator has to set it")]
    ClockBehind,
    /// The keys.
    #[error("the checkpoint can not be cosigned: {0}")]
    Signing(String),
    /// Its copy, or the checkpoint of it, can neither be read nor filled again.
    #[error("this log is not mirrored now: its operator has to see to it")]
    Unfit,
    /// A sync has failed before, or a copy was left half changed: the process is about to end.
    #[error("what this mirror has on its disk is not certain any more: it ends")]
    Ending,
}

impl UploadError {
    /// Whether what is on the disk is not certain any more, after which the process has to end.
    pub fn is_fatal(&self) -> bool {
        matches!(self, Self::Copy(CopyError::Sync { .. }) | Self::Store(StoreError::Sync { .. }) | Self::Ending)
    }
}

/// Without a ticket: a mirror that keeps what is pending itself needs none.
fn info(size: u64, next: u64) -> MirrorInfo {
    MirrorInfo { size, next, ticket: Vec::new() }
}

impl Mirror {
    /// Opens the copies of a witness's logs in `folder`, one each, named by the hash of its origin.
    pub fn open(signers: Vec<Arc<dyn NoteSigner>>, witness: &Witness, folder: &Path, disk: Arc<dyn Disk>) -> Result<Self, WitnessError> {
        let keys: Vec<VerifierKey> = signers.iter().map(|signer| signer.verifier_key().clone()).collect();
        if keys.is_empty()
            || keys.iter().any(|key| !key.algorithm().is_cosignature() || witness.keys().iter().any(|own| own.has_key_of(key)))
        {
            return Err(WitnessError::Keys);
        }
        let store = Store::open(folder, disk.clone())?;
        let mut mirror = Self { signers, keys, logs: HashMap::new(), unfit: HashMap::new(), store };
        for (origin, hash) in witness.logs() {
            match mirror.open_log(folder, origin, hash, witness, &disk) {
                Ok(mirrored) => drop(mirror.logs.insert(hash.to_owned(), Mutex::new(mirrored))),
                Err(error) => {
                    tracing::error!(?origin, %error, "this log is not mirrored");
                    mirror.unfit.insert(hash.to_owned(), error.to_string());
                }
            }
        }
        Ok(mirror)
    }

    /// The copy of one log. One that is lost or damaged is begun again.
    fn open_log(&self, folder: &Path, origin: &str, hash: &str, witness: &Witness, disk: &Arc<dyn Disk>) -> Result<Mirrored, WitnessError> {
        let of_witness = witness.latest(hash);
        let kept = self.store.load(hash).map_err(WitnessError::from);
        let kept = kept.and_then(|note| note.map(|note| crate::witness::own(&self.keys, origin, note)).transpose());
        let (latest, is_lost) = match (kept, &of_witness) {
            (Ok(latest), _) => (latest.map(Arc::new), false),
            // What was cosigned is not known any more; but the witness had accepted it before, and whatever it accepts extends that.
            (Err(error), Some(_)) => {
                tracing::error!(?origin, %error, "the mirror checkpoint is lost: its copy is filled again to what the witness has seen");
                (None, true)
            }
            (Err(error), None) => return Err(error),
        };
        let floor = if is_lost { of_witness.as_ref() } else { latest.as_ref() }.map(|cosigned| cosigned.checkpoint.clone());
        let (path, beside) = (folder.join(format!("{hash}.log")), Beside::of(folder, hash));
        let (marker, refill) = (beside.filling(), beside.refill());
        let (size, root) = floor.as_ref().map_or((0, EMPTY_ROOT), |head| (head.size, head.root));
        let foreign = |error: &dyn ToString| WitnessError::Foreign { origin: origin.to_owned(), reason: error.to_string() };
        // A check may have found what is damaged.
        let refill_from = number_in(&refill).map_err(|error| foreign(&error))?.filter(|from| *from > 0 && *from < size);
        let opened = match refill_from {
            _ if is_lost || (refill_from.is_none() && refill.exists()) => Err(CopyError::Damaged(path.clone())),
            Some(from) => Copy::beginning(&path, from, size, root, disk.clone()),
            None => Copy::open(&path, size, &root, disk.clone()),
        };
        let (copy, filling) = match (opened, floor) {
            (Ok(copy), Some(floor)) if refill_from.is_some() => {
                tracing::error!(
                    ?origin,
                    from = copy.next(),
                    "the copy of this log is damaged, and is filled again from there by whoever uploads it"
                );
                (copy, Some(Filling { floor, marker: refill }))
            }
            (Ok(copy), _) => {
                // It may be left from before a crash. It only says how the next damage is treated.
                let _ = fs::remove_file(&marker);
                (copy, None)
            }
            (Err(error @ CopyError::Damaged(_)), Some(floor)) => {
                tracing::error!(?origin, %error, "the copy of this log is filled again by whoever uploads it");
                let aside = set_aside(&path, &marker, &**disk).map_err(|error| foreign(&error))?;
                let _ = fs::remove_file(&refill);
                tracing::info!(?origin, aside = ?aside.map(|aside| aside.display().to_string()), "what was there of the copy is set aside");
                (Copy::empty(&path, floor.size, floor.root, disk.clone()), Some(Filling { floor, marker }))
            }
            (Err(error), _) => return Err(foreign(&error)),
        };
        let pending = of_witness.into_iter().collect();
        Ok(Mirrored { copy, latest, pending, filling, is_uncertain: false })
    }

    /// The witness has accepted a checkpoint: it is pending from now on.
    pub fn remember(&self, origin_hash: &str, pending: &Arc<Cosigned>) {
        let Some(mut mirrored) = self.mirrored(origin_hash) else { return };
        if mirrored.pending.back().is_none_or(|last| last.checkpoint.size < pending.checkpoint.size) {
            mirrored.pending.push_back(pending.clone());
        }
        while mirrored.pending.len() > PENDING_MAX {
            mirrored.pending.pop_front();
        }
    }

    /// Takes an upload as it comes. Blocks.
    pub fn add_entries(&self, body: &mut dyn Read, clock: &dyn Fn() -> u64) -> Result<Uploaded, UploadError> {
        let mut upload = Upload::new(body);
        let header = upload.header().map_err(|_| UploadError::Malformed)?;
        let hash = crate::witness::origin_hash(&header.origin);
        let pending = self.begin(&hash, &header)?;
        let mut start = header.start;
        while start < header.end {
            let Ok(package) = upload.package(start, header.end) else {
                let next = self.certain(&hash)?.copy.next();
                if start == header.start {
                    return Err(UploadError::Malformed);
                }
                return Ok(Uploaded::Part(info(header.end, next)));
            };
            let mut mirrored = self.certain(&hash)?;
            let taken = mirrored.copy.take(start, &package.entries, &pending.checkpoint, &package.proof);
            mirrored.heed(taken)?;
            start = EntryPackage::end(start, header.end);
        }
        self.commit(&hash, &pending, clock).map(Uploaded::Whole)
    }

    /// The pending checkpoint that an upload is for, if it can begin where it does.
    fn begin(&self, hash: &str, header: &UploadHeader) -> Result<Arc<Cosigned>, UploadError> {
        let mirrored = self.certain(hash)?;
        let (next, committed) = (mirrored.copy.next(), mirrored.floor());
        let newest = mirrored.pending.back().ok_or(UploadError::NothingPending)?;
        let known = mirrored.pending.iter().chain(&mirrored.latest).find(|known| known.checkpoint.size == header.end);
        let excess = header.end.min(next).saturating_sub(header.start);
        match known {
            Some(known) if header.end >= committed && header.start <= header.end => {
                let fits = header.start <= next && excess <= EXCESS_ENTRIES_MAX;
                if fits { Ok(known.clone()) } else { Err(UploadError::Conflict(info(header.end, next))) }
            }
            _ => Err(UploadError::Conflict(info(newest.checkpoint.size, next))),
        }
    }

    /// Cosigns what there is a durable copy of, and puts it in place; never a smaller one than is there.
    fn commit(&self, hash: &str, pending: &Cosigned, clock: &dyn Fn() -> u64) -> Result<String, UploadError> {
        let mut mirrored = self.certain(hash)?;
        let head = &pending.checkpoint;
        if head.size < mirrored.floor() {
            let size = mirrored.pending.back().map_or(head.size, |newest| newest.checkpoint.size);
            return Err(UploadError::Conflict(info(size, mirrored.copy.next())));
        }
        let unix_s = clock();
        if mirrored.latest.as_ref().is_some_and(|latest| latest.unix_s > unix_s) {
            return Err(UploadError::ClockBehind);
        }
        let settled = mirrored.copy.settle(head);
        let settled = mirrored.heed(settled)?;
        let signing = |error: exhibit_tlog::NoteError| UploadError::Signing(error.to_string());
        let signers: Vec<&dyn NoteSigner> = self.signers.iter().map(|signer| &**signer).collect();
        let parsed = Note::parse(&pending.note).map_err(signing)?;
        let lines = cosign_text(parsed.text(), &signers, unix_s).map_err(signing)?;
        let note = add_cosignatures(&pending.note, &lines, &self.keys).map_err(signing)?;
        mirrored.heed(self.store.replace(hash, &note))?;
        mirrored.copy.committed_to(head.size, settled);
        if let Some(Filling { marker, .. }) = mirrored.filling.take() {
            // If it stays, the next start removes it.
            let _ = fs::remove_file(marker);
            tracing::info!(size = head.size, "the copy of a log is whole again");
        }
        mirrored.latest = Some(Arc::new(Cosigned { note, checkpoint: head.clone(), unix_s }));
        Ok(lines)
    }

    /// The mirror checkpoint.
    pub fn latest(&self, origin_hash: &str) -> Option<Arc<Cosigned>> {
        self.mirrored(origin_hash)?.latest.clone()
    }

    /// The checkpoint that a lost copy has to be filled up to, before it serves again.
    pub fn filling(&self, origin_hash: &str) -> Option<u64> {
        self.mirrored(origin_hash)?.filling.as_ref().map(|filling| filling.floor.size)
    }

    /// Why a log is not mirrored.
    pub fn unfit(&self, origin_hash: &str) -> Option<&str> {
        self.unfit.get(origin_hash).map(String::as_str)
    }

    /// A hash tile of the copy.
    pub fn tile(&self, origin_hash: &str, id: TileId) -> Result<Option<Vec<u8>>, CopyError> {
        self.mirrored(origin_hash).map_or(Ok(None), |mirrored| mirrored.copy.tile(id))
    }

    /// An entry bundle of the copy.
    pub fn bundle(&self, origin_hash: &str, id: BundleId) -> Result<Option<Vec<u8>>, CopyError> {
        self.mirrored(origin_hash).map_or(Ok(None), |mirrored| mirrored.copy.bundle(id))
    }

    /// The public halves.
    pub fn keys(&self) -> &[VerifierKey] {
        &self.keys
    }

    /// A copy that may be changed. One that a panic or a failed sync has left half changed may not.
    fn certain(&self, hash: &str) -> Result<MutexGuard<'_, Mirrored>, UploadError> {
        if self.unfit.contains_key(hash) {
            return Err(UploadError::Unfit);
        }
        let mirrored = self.logs.get(hash).ok_or(UploadError::UnknownLog)?.lock().map_err(|_| UploadError::Ending)?;
        if mirrored.is_uncertain { Err(UploadError::Ending) } else { Ok(mirrored) }
    }

    fn mirrored(&self, hash: &str) -> Option<MutexGuard<'_, Mirrored>> {
        // For reading: what was committed is whole, whatever has become of what came behind it.
        Some(self.logs.get(hash)?.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// Makes room for a copy that is filled again. What is there may be all that is left of a log: it is kept, unless it is itself a copy that was not
/// filled to its end. Gives where it is.
fn set_aside(copy: &Path, marker: &Path, disk: &dyn Disk) -> io::Result<Option<PathBuf>> {
    let folder = copy.parent().expect("a copy lies in the mirror's folder");
    let mut aside = None;
    if copy.exists() && marker.exists() {
        fs::remove_dir_all(copy)?;
    } else if copy.exists() {
        let free = (1..).map(|number| copy.with_extension(format!("damaged-{number}"))).find(|path| !path.exists());
        let free = free.expect("there is always a higher number");
        fs::rename(copy, &free)?;
        aside = Some(free);
    }
    disk.write(marker, b"")?;
    disk.sync_file(marker)?;
    disk.sync_folder(folder)?;
    Ok(aside)
}

//! A mirror in the test's own process, and what lies in its folder.
#![allow(clippy::unwrap_used, dead_code)]

use std::net::SocketAddr;
use std::path::Path;
use std::sync::mpsc::{Receiver, channel};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use exhibit_tlog::tile::{BundleId, TileId, decode_bundle, decode_tile};
use exhibit_tlog::{Checkpoint, Ed25519Cosigner, Hash, Note, NoteSigner, VerifierKey, leaf_hash, root_of};
use exhibit_witness::api::Service;
use exhibit_witness::config::{Config, sample};
use exhibit_witness::disk::{Disk, LocalDisk};
use exhibit_witness::mirror::{Mirror, UploadError, Uploaded};
use exhibit_witness::serve::serve;
use exhibit_witness::store::Store;
use exhibit_witness::uploads::{NETWORK_UPLOADS_MAX, Uploads};
use exhibit_witness::witness::{Witness, WitnessError, origin_hash};
use zeroize::Zeroizing;

use super::{Log, NAME, ORIGIN, Upload};

/// The mirror's public keys.
pub fn keys() -> Vec<VerifierKey> {
    signers(&format!("{NAME}/mirror"), 10).iter().map(|signer| signer.verifier_key().clone()).collect()
}

/// What lies in the folder is the tree that the mirror has signed, and how large that is: read by nobody's code but this test's.
pub fn held(mirror: &Path, keys: &[VerifierKey]) -> u64 {
    let hash = origin_hash(ORIGIN);
    let Ok(note) = std::fs::read_to_string(mirror.join(&hash)) else { return 0 };
    let parsed = Note::parse(&note).unwrap();
    parsed.verify(keys).unwrap();
    let head = Checkpoint::from_text(parsed.text()).unwrap();
    let tiles = mirror.join(format!("{hash}.log/tile"));
    let mut leaves = Vec::new();
    for index in 0..head.size.div_ceil(256) {
        let width = (head.size - index * 256).min(256) as u16;
        let (bytes, found) = file(&tiles.join("entries").join(BundleId { index, width: 256 }.path()), width);
        let entries: Vec<Hash> = decode_bundle(&bytes, found).unwrap().into_iter().map(leaf_hash).collect();
        let (bytes, found) = file(&tiles.join(TileId { level: 0, index, width: 256 }.path()), width);
        let hashes = decode_tile(&bytes, found).unwrap();
        assert_eq!(entries[..usize::from(width)], hashes[..usize::from(width)], "entries and hashes of bundle {index} differ");
        leaves.extend_from_slice(&entries[..usize::from(width)]);
    }
    assert_eq!(root_of(&leaves), head.root, "the mirror has signed for {} entries that it does not hold", head.size);
    head.size
}

/// The whole file, or a part that is wide enough.
pub fn file(full: &Path, width: u16) -> (Vec<u8>, u16) {
    if let Ok(bytes) = std::fs::read(full) {
        return (bytes, 256);
    }
    let parts = std::fs::read_dir(format!("{}.p", full.display())).unwrap_or_else(|_| panic!("{} is not there", full.display()));
    let widths = parts.filter_map(|part| part.unwrap().file_name().to_str().unwrap().parse::<u16>().ok());
    let found = widths.filter(|found| *found >= width).min().unwrap_or_else(|| panic!("{} of width {width} is not there", full.display()));
    (std::fs::read(format!("{}.p/{found}", full.display())).unwrap(), found)
}

pub fn signers(name: &str, seed: u8) -> Vec<Arc<dyn NoteSigner>> {
    // The other kind takes most of the time of hundreds of runs, and changes nothing about writes.
    vec![Arc::new(Ed25519Cosigner::new(name, &Zeroizing::new([seed; 32])).unwrap())]
}

pub fn witness(folder: &Path, log: &Log) -> Witness {
    Witness::open(signers(NAME, 9), vec![log.verifier()], Store::open(folder, Arc::new(LocalDisk)).unwrap()).unwrap()
}

pub fn open(folder: &Path, witness: &Witness, disk: Arc<dyn Disk>) -> Result<Mirror, WitnessError> {
    Mirror::open(signers(&format!("{NAME}/mirror"), 10), witness, folder, disk)
}

pub const NOW: fn() -> u64 = || 1_795_176_002;

pub fn upload(mirror: &Mirror, log: &Log, start: u64, end: u64) -> Result<Uploaded, UploadError> {
    mirror.add_entries(&mut &*Upload::new(log, start, end).bytes(), &NOW)
}

/// From wherever the mirror is.
pub fn upload_rest(mirror: &Mirror, log: &Log, end: u64) {
    let start = match upload(mirror, log, end, end) {
        Err(UploadError::Conflict(info)) => info.next,
        other => return drop(other.unwrap()),
    };
    upload(mirror, log, start, end).unwrap();
}

/// A failing test waits so long.
pub const WAIT_MAX: Duration = Duration::from_secs(60);

/// Serves a mirror of `log` on a disk in this process, and gives what the process would have ended with.
pub fn serve_on(folder: &Path, log: &Log, disk: Arc<dyn Disk>) -> (SocketAddr, Receiver<String>) {
    let witness = witness(&folder.join("w"), log);
    let mirror = Some(Arc::new(open(&folder.join("mirror"), &witness, disk).unwrap()));
    let (ended, ends) = channel();
    let ended = Mutex::new(ended);
    let service = Service {
        witness,
        mirror,
        uploads: Arc::new(Uploads::new(NETWORK_UPLOADS_MAX)),
        name: NAME.to_owned(),
        clock: Arc::new(NOW),
        fatal: Arc::new(move |reason: &str| ended.lock().unwrap().send(reason.to_owned()).unwrap()),
    };
    let config = Config::parse(&sample(NAME).replace("127.0.0.1:7450", "127.0.0.1:0")).unwrap();
    let (ready, address) = channel();
    // It ends with this test's process.
    std::thread::spawn(move || serve(service, &config, Path::new("/nowhere"), |address| ready.send(address).unwrap()).unwrap());
    (address.recv_timeout(WAIT_MAX).unwrap(), ends)
}

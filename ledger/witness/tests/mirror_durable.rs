//! A mirror never signs for what it does not hold: killed at any moment while entries arrive, and on a disk that fails at every write.
#![allow(clippy::unwrap_used)]

mod common;

use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::channel;
use std::sync::{Mutex, mpsc::Receiver};
use std::time::Duration;

use common::disk::{FailingDisk, HangingDisk};
use common::{Log, NAME, ORIGIN, Serving, Upload, init, state_in};
use exhibit_tlog::tile::{BundleId, TileId, decode_bundle, decode_tile};
use exhibit_tlog::{Checkpoint, Ed25519Cosigner, Hash, Note, NoteSigner, VerifierKey, leaf_hash, root_of};
use exhibit_witness::api::Service;
use exhibit_witness::config::{Config, sample};
use exhibit_witness::disk::{Disk, LocalDisk};
use exhibit_witness::mirror::{CopyError, Mirror, UploadError, Uploaded};
use exhibit_witness::serve::serve;
use exhibit_witness::store::{Store, StoreError};
use exhibit_witness::witness::{Witness, WitnessError, origin_hash};
use zeroize::Zeroizing;

/// How often `make test` kills; `SOAK_KILLS` says another number.
const KILLS: u64 = 30;

/// What lies in the folder is the tree that the mirror has signed, and how large that is: read by nobody's code but this test's.
fn held(mirror: &Path, keys: &[VerifierKey]) -> u64 {
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
fn file(full: &Path, width: u16) -> (Vec<u8>, u16) {
    if let Ok(bytes) = std::fs::read(full) {
        return (bytes, 256);
    }
    let parts = std::fs::read_dir(format!("{}.p", full.display())).unwrap_or_else(|_| panic!("{} is not there", full.display()));
    let widths = parts.filter_map(|part| part.unwrap().file_name().to_str().unwrap().parse::<u16>().ok());
    let found = widths.filter(|found| *found >= width).min().unwrap_or_else(|| panic!("{} of width {width} is not there", full.display()));
    (std::fs::read(format!("{}.p/{found}", full.display())).unwrap(), found)
}

fn mirror_keys(state: &Path) -> Vec<VerifierKey> {
    let keys = common::program().args(["keys", "--mirror", "--json", "--state"]).arg(state).output().unwrap();
    let keys: serde_json::Value = serde_json::from_slice(&keys.stdout).unwrap();
    keys["keys"].as_array().unwrap().iter().map(|key| VerifierKey::parse(key.as_str().unwrap()).unwrap()).collect()
}

fn random(state: &mut u64) -> u64 {
    *state ^= *state << 13;
    *state ^= *state >> 7;
    *state ^= *state << 17;
    *state
}

#[test]
fn a_mirror_that_is_killed_holds_what_it_has_signed_for() {
    let kills = std::env::var("SOAK_KILLS").ok().and_then(|kills| kills.parse().ok()).unwrap_or(KILLS);
    let folder = tempfile::tempdir().unwrap();
    let state = state_in(&folder);
    let log = Arc::new(Log::new(ORIGIN, "a", 0, kills as usize * 800 + 10_000));
    init(&state, &[&log]);
    let keys = mirror_keys(&state);
    let mut seed = 0x2545_f491_4f6c_dd1d_u64;
    let given = Arc::new(AtomicU64::new(0));
    for round in 0..kills {
        let mut witness = Serving::start_with(&state, &["--mirror"]);
        let (answers, wanted) = (Arc::new(AtomicU64::new(0)), random(&mut seed) % 4);
        let feeding = {
            let (log, given, answers, address, seed) = (log.clone(), given.clone(), answers.clone(), witness.address, random(&mut seed));
            std::thread::spawn(move || feed(&log, address, &given, &answers, seed))
        };
        while answers.load(Ordering::Relaxed) < wanted && !feeding.is_finished() {
            std::thread::yield_now();
        }
        // In the middle of what comes next, at another moment each time.
        (0..random(&mut seed) % 200_000).for_each(|_| std::hint::spin_loop());
        witness.child.kill().unwrap();
        witness.child.wait().unwrap();
        feeding.join().unwrap();
        let (size, given) = (held(&state.join("mirror"), &keys), given.load(Ordering::Relaxed));
        assert!(size >= given, "round {round}: cosigned for {given} entries, and {size} are there");
    }
    assert!(given.load(Ordering::Relaxed) > 256, "nothing was cosigned");
}

/// Uploads to ever larger trees until the mirror is killed.
fn feed(log: &Log, address: std::net::SocketAddr, given: &AtomicU64, answers: &AtomicU64, mut seed: u64) {
    let mut size = given.load(Ordering::Relaxed);
    let ask = |path: &str, kind: &str, body: &[u8]| {
        let head = format!(
            "POST /{path} HTTP/1.1\r\nHost: m\r\nContent-Type: {kind}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n",
            body.len()
        );
        common::ask(address, &[head.as_bytes(), body].concat())
    };
    let mut pending = size;
    loop {
        size += 1 + random(&mut seed) % 300;
        // Another size may be pending since before the kill.
        loop {
            let Ok(answer) = ask("add-checkpoint", "text/plain", log.request(pending, size.max(pending)).to_text().as_bytes()) else {
                return;
            };
            match answer.status {
                200 => break,
                409 => pending = answer.body.trim().parse().unwrap(),
                status => panic!("{status}: {}", answer.body),
            }
        }
        (size, pending) = (size.max(pending), size.max(pending));
        let mut start = size;
        loop {
            let Ok(answer) = ask("add-entries", "application/octet-stream", &Upload::new(log, start, size).bytes()) else { return };
            match answer.status {
                200 => break,
                409 => start = answer.body.lines().nth(1).unwrap().parse().unwrap(),
                status => panic!("{status}: {}", answer.body),
            }
        }
        given.fetch_max(size, Ordering::Relaxed);
        answers.fetch_add(1, Ordering::Relaxed);
    }
}

fn signers(name: &str, seed: u8) -> Vec<Arc<dyn NoteSigner>> {
    // The other kind takes most of the time of hundreds of runs, and changes nothing about writes.
    vec![Arc::new(Ed25519Cosigner::new(name, &Zeroizing::new([seed; 32])).unwrap())]
}

fn witness(folder: &Path, log: &Log) -> Witness {
    // A child that another test is about to start holds our locks until it is itself.
    let store = loop {
        match Store::open(folder, Arc::new(LocalDisk)) {
            Err(StoreError::Busy(_)) => std::thread::yield_now(),
            store => break store.unwrap(),
        }
    };
    Witness::open(signers(NAME, 9), vec![log.verifier()], store).unwrap()
}

fn open(folder: &Path, witness: &Witness, disk: Arc<dyn Disk>) -> Result<Mirror, WitnessError> {
    loop {
        match Mirror::open(signers(&format!("{NAME}/mirror"), 10), witness, folder, disk.clone()) {
            Err(WitnessError::Store(StoreError::Busy(_))) => std::thread::yield_now(),
            mirror => return mirror,
        }
    }
}

const NOW: fn() -> u64 = || 1_795_176_002;

fn upload(mirror: &Mirror, log: &Log, start: u64, end: u64) -> Result<Uploaded, UploadError> {
    mirror.add_entries(&mut &*Upload::new(log, start, end).bytes(), &NOW)
}

/// From wherever the mirror is.
fn upload_rest(mirror: &Mirror, log: &Log, end: u64) {
    let start = match upload(mirror, log, end, end) {
        Err(UploadError::Conflict(info)) => info.next,
        other => return drop(other.unwrap()),
    };
    upload(mirror, log, start, end).unwrap();
}

#[test]
fn every_write_of_a_copy_fails_once_and_nothing_is_signed_that_is_not_held() {
    let log = Log::new(ORIGIN, "a", 0, 900);
    let keys: Vec<VerifierKey> = signers(&format!("{NAME}/mirror"), 10).iter().map(|signer| signer.verifier_key().clone()).collect();
    let (mut writes, mut syncs, mut call) = (0, 0, 0);
    loop {
        let mut has_failed = false;
        for persists in [false, true] {
            let folder = tempfile::tempdir().unwrap();
            let (path, witness) = (folder.path().join("mirror"), witness(&folder.path().join("w"), &log));
            let disk = Arc::new(FailingDisk::new(call, persists));
            let mut given = 0;
            if let Ok(mirror) = open(&path, &witness, disk.clone()) {
                let mut before = 0;
                for size in [3, 300, 310, 600] {
                    let (_, pending) = witness.add_checkpoint(&log.request(before, size).to_text(), &NOW).unwrap();
                    mirror.remember(&origin_hash(ORIGIN), &pending);
                    match upload(&mirror, &log, before, size) {
                        Ok(Uploaded::Whole(_)) => given = size,
                        // Nothing has changed for good, and the next upload goes on.
                        Err(UploadError::Copy(CopyError::Write { .. }) | UploadError::Store(StoreError::Write { .. })) => {
                            writes += 1;
                            upload_rest(&mirror, &log, size);
                            given = size;
                        }
                        // The process ends here.
                        Err(UploadError::Copy(CopyError::Sync { .. }) | UploadError::Store(StoreError::Sync { .. })) => {
                            syncs += 1;
                            break;
                        }
                        other => panic!("call {call}: {other:?}"),
                    }
                    before = size;
                }
            }
            has_failed |= disk.has_failed();
            let size = held(&path, &keys);
            assert!(size >= given, "call {call}, {persists}: cosigned for {given} entries, and {size} are there");
            // A process that starts again goes on from there.
            let mirror = open(&path, &witness, Arc::new(LocalDisk)).unwrap();
            let pending = witness.latest(&origin_hash(ORIGIN)).map_or(0, |latest| latest.checkpoint.size);
            let (_, newest) = witness.add_checkpoint(&log.request(pending, 900).to_text(), &NOW).unwrap();
            mirror.remember(&origin_hash(ORIGIN), &newest);
            upload_rest(&mirror, &log, 900);
            assert_eq!(held(&path, &keys), 900);
        }
        if !has_failed {
            break;
        }
        call += 1;
    }
    assert!(writes > 10 && syncs > 40, "{writes} writes and {syncs} syncs failed: what was to be tested was not");
}

/// A failing test waits so long.
const WAIT_MAX: Duration = Duration::from_secs(60);

/// Serves a mirror of `log` on a disk in this process, and gives what the process would have ended with.
fn serve_on(folder: &Path, log: &Log, disk: Arc<dyn Disk>) -> (SocketAddr, Receiver<String>) {
    let witness = witness(&folder.join("w"), log);
    let mirror = Some(Arc::new(open(&folder.join("mirror"), &witness, disk).unwrap()));
    let (ended, ends) = channel();
    let ended = Mutex::new(ended);
    let service = Service {
        witness,
        mirror,
        uploads: Arc::new(tokio::sync::Semaphore::new(4)),
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

#[test]
fn a_sync_that_fails_after_the_client_has_left_ends_the_mirror() {
    let folder = tempfile::tempdir().unwrap();
    let log = Log::new(ORIGIN, "a", 0, 300);
    let ((syncing, hangs), (go_on, goes_on)) = (channel(), channel());
    let disk = Arc::new(HangingDisk { syncing: Mutex::new(syncing), goes_on: Mutex::new(goes_on) });
    let (address, ends) = serve_on(folder.path(), &log, disk);
    let post = |path: &str, kind: &str, body: &[u8]| {
        let head = format!("POST /{path} HTTP/1.1\r\nHost: m\r\nContent-Type: {kind}\r\nContent-Length: {}\r\n", body.len());
        [head.as_bytes(), b"Connection: close\r\n\r\n", body].concat()
    };
    let pending = common::ask(address, &post("add-checkpoint", "text/plain", log.request(0, 300).to_text().as_bytes())).unwrap();
    assert_eq!(pending.status, 200, "{}", pending.body);
    let upload = post("add-entries", "application/octet-stream", &Upload::new(&log, 0, 300).bytes());
    let mut client = TcpStream::connect(address).unwrap();
    client.set_read_timeout(Some(WAIT_MAX)).unwrap();
    client.write_all(&upload).unwrap();
    hangs.recv_timeout(WAIT_MAX).expect("nothing was written");
    client.shutdown(Shutdown::Write).unwrap();
    assert_eq!(client.read_to_end(&mut Vec::new()).unwrap(), 0, "who has left was answered");
    drop(go_on);
    let reason = ends.recv_timeout(WAIT_MAX).expect("a sync has failed and the mirror goes on");
    assert!(reason.contains("could not be made durable"), "{reason}");
    // Until the process is gone, nothing more is taken.
    let again = common::ask(address, &upload).unwrap();
    assert_eq!(again.status, 503, "{}", again.body);
}

/// Every size from 1 on is committed: of what is not full, one file each is left, and none of what is.
#[test]
fn a_copy_does_not_keep_every_width_that_it_ever_had() {
    let log = Log::new(ORIGIN, "a", 0, 600);
    let folder = tempfile::tempdir().unwrap();
    let (path, witness) = (folder.path().join("mirror"), witness(&folder.path().join("w"), &log));
    let keys: Vec<VerifierKey> = signers(&format!("{NAME}/mirror"), 10).iter().map(|signer| signer.verifier_key().clone()).collect();
    let mut mirror = open(&path, &witness, Arc::new(LocalDisk)).unwrap();
    let mut before = 0;
    for size in (1..520).step_by(7) {
        if size % 3 == 0 {
            drop(mirror);
            mirror = open(&path, &witness, Arc::new(LocalDisk)).unwrap();
        }
        let (_, pending) = witness.add_checkpoint(&log.request(before, size).to_text(), &NOW).unwrap();
        mirror.remember(&origin_hash(ORIGIN), &pending);
        upload(&mirror, &log, before, size).unwrap();
        before = size;
        assert_eq!(held(&path, &keys), size);
        let mut parts = Vec::new();
        files(&path.join(format!("{}.log", origin_hash(ORIGIN))), &mut parts);
        let levels = 1 + usize::from(size >= 256);
        assert!(parts.len() <= levels + 1, "{size}: {parts:?}");
    }
}

/// Files of tiles and bundles that are not full.
fn files(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(folder).unwrap().map(Result::unwrap) {
        match entry.path().is_dir() {
            true => files(&entry.path(), found),
            false if folder.extension().is_some_and(|extension| extension == "p") => found.push(entry.path()),
            false => {}
        }
    }
}

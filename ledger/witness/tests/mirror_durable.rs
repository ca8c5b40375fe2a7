//! A mirror never signs for what it does not hold: killed at any moment while entries arrive, and on a disk that fails at every write.
#![allow(clippy::unwrap_used)]

mod common;

use std::io::{Read, Write};
use std::net::{Shutdown, TcpStream};
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::channel;
use std::sync::{Arc, Mutex};

use common::copies::{NOW, WAIT_MAX, held, keys, open, serve_on, upload, upload_rest, witness};
use common::disk::{FailingDisk, HangingDisk};
use common::{Log, ORIGIN, Serving, Upload, init, state_in};
use exhibit_tlog::VerifierKey;
use exhibit_witness::disk::LocalDisk;
use exhibit_witness::mirror::{CopyError, UploadError, Uploaded};
use exhibit_witness::store::StoreError;
use exhibit_witness::witness::origin_hash;

/// How often `make test` kills; `SOAK_KILLS` says another number.
const KILLS: u64 = 30;

fn mirror_keys(state: &std::path::Path) -> Vec<VerifierKey> {
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
        if round > 0 && round % 100 == 0 {
            eprintln!("{round} of {kills} kills");
        }
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

#[test]
fn every_write_of_a_copy_fails_once_and_nothing_is_signed_that_is_not_held() {
    let log = Log::new(ORIGIN, "a", 0, 900);
    let keys = keys();
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
    let keys = keys();
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
fn files(folder: &std::path::Path, found: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(folder).unwrap().map(Result::unwrap) {
        match entry.path().is_dir() {
            true => files(&entry.path(), found),
            false if folder.extension().is_some_and(|extension| extension == "p") => found.push(entry.path()),
            false => {}
        }
    }
}

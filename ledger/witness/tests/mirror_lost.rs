//! A copy that is lost or damaged is filled again, to what was cosigned and nothing else, and stops nobody meanwhile.
#![allow(clippy::unwrap_used)]

mod common;

use std::fs;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use common::copies::{NOW, held, keys, open, signers, upload, upload_rest, witness};
use common::{Log, NAME, ORIGIN, Serving, Upload, init, state_in};
use exhibit_tlog::tile::{BundleId, TileId};
use exhibit_witness::disk::LocalDisk;
use exhibit_witness::mirror::{CopyError, UploadError, Uploaded};
use exhibit_witness::store::Store;
use exhibit_witness::witness::{Witness, origin_hash};

/// A mirror of 600 entries, closed.
struct Bench {
    folder: tempfile::TempDir,
    log: Log,
}

impl Bench {
    fn new() -> Self {
        let bench = Self { folder: tempfile::tempdir().unwrap(), log: Log::new(ORIGIN, "a", 100, 900) };
        let witness = bench.witness();
        let mirror = open(&bench.mirror(), &witness, Arc::new(LocalDisk)).unwrap();
        let (_, pending) = witness.add_checkpoint(&bench.log.request(0, 600).to_text(), &NOW).unwrap();
        mirror.remember(&origin_hash(ORIGIN), &pending);
        upload_rest(&mirror, &bench.log, 600);
        bench
    }

    fn witness(&self) -> Witness {
        witness(&self.folder.path().join("w"), &self.log)
    }

    fn mirror(&self) -> PathBuf {
        self.folder.path().join("mirror")
    }

    fn checkpoint(&self) -> PathBuf {
        self.mirror().join(origin_hash(ORIGIN))
    }

    fn copy(&self) -> PathBuf {
        self.mirror().join(format!("{}.log", origin_hash(ORIGIN)))
    }

    fn beside(&self, end: &str) -> PathBuf {
        self.mirror().join(format!("{}.{end}", origin_hash(ORIGIN)))
    }
}

fn flip(path: &Path) {
    let mut bytes = fs::read(path).unwrap();
    bytes[9] ^= 1;
    fs::write(path, bytes).unwrap();
}

#[test]
fn a_lost_or_damaged_copy_is_filled_again_up_to_what_was_cosigned() {
    let bundle = BundleId { index: 2, width: 88 }.path();
    let tile = TileId { level: 0, index: 1, width: 256 }.path();
    type Loss = fn(&Bench, &str, &str);
    let losses: [(&str, bool, Loss); 6] = [
        ("a bundle that is not at the edge", true, |bench, _, _| fs::remove_file(bench.copy().join("tile/entries/000")).unwrap()),
        ("the copy", false, |bench, _, _| fs::remove_dir_all(bench.copy()).unwrap()),
        ("a tile", true, |bench, _, tile| fs::remove_file(bench.copy().join("tile").join(tile)).unwrap()),
        ("a bit of the last bundle", true, |bench, bundle, _| flip(&bench.copy().join("tile/entries").join(bundle))),
        ("the checkpoint", true, |bench, _, _| fs::remove_file(bench.checkpoint()).unwrap()),
        ("a bit of the checkpoint, and the copy", false, |bench, _, _| {
            flip(&bench.checkpoint());
            fs::remove_dir_all(bench.copy()).unwrap();
        }),
    ];
    for (lost, is_set_aside, lose) in losses {
        let bench = Bench::new();
        lose(&bench, &bundle, &tile);
        let (witness, hash) = (bench.witness(), origin_hash(ORIGIN));
        let mirror = open(&bench.mirror(), &witness, Arc::new(LocalDisk)).unwrap_or_else(|error| panic!("{lost}: {error}"));
        assert_eq!((mirror.filling(&hash), mirror.unfit(&hash)), (Some(600), None), "{lost}");
        assert_eq!(bench.beside("damaged-1").exists(), is_set_aside, "{lost}: what was left of the log");
        // Half-way it is killed, and begins again; what it had is no copy of anything.
        assert!(matches!(upload(&mirror, &bench.log, 300, 600), Err(UploadError::Conflict(info)) if info.next == 0), "{lost}");
        let some = Upload { packages: Upload::new(&bench.log, 0, 600).packages[..1].to_vec(), ..Upload::new(&bench.log, 0, 600) };
        assert!(matches!(mirror.add_entries(&mut &*some.bytes(), &NOW), Ok(Uploaded::Part(info)) if info.next == 256), "{lost}");
        drop(mirror);
        let mirror = open(&bench.mirror(), &witness, Arc::new(LocalDisk)).unwrap();
        assert!(!bench.beside("damaged-2").exists(), "{lost}: what was half filled was kept");
        // Nothing smaller than was cosigned.
        assert!(mirror.tile(&hash, TileId { level: 0, index: 0, width: 256 }).unwrap().is_none(), "{lost}: served before it is whole");
        upload_rest(&mirror, &bench.log, 600);
        assert_eq!(held(&bench.mirror(), &keys()), 600, "{lost}");
        assert_eq!((mirror.filling(&hash), bench.beside("filling").exists()), (None, false), "{lost}");
        assert!(mirror.tile(&hash, TileId { level: 0, index: 0, width: 256 }).unwrap().is_some(), "{lost}");
        drop(mirror);
        let mirror = open(&bench.mirror(), &witness, Arc::new(LocalDisk)).unwrap();
        assert_eq!(mirror.filling(&hash), None, "{lost}: it is lost again");
    }
}

/// What can not be read now may be whole: nothing is set aside for it, and nothing is cosigned.
#[test]
fn a_copy_that_can_not_be_read_is_left_as_it_is() {
    let bench = Bench::new();
    let bundle = bench.copy().join("tile/entries").join(BundleId { index: 2, width: 88 }.path());
    fs::remove_file(&bundle).unwrap();
    fs::create_dir(&bundle).unwrap();
    let mirror = open(&bench.mirror(), &bench.witness(), Arc::new(LocalDisk)).unwrap();
    let hash = origin_hash(ORIGIN);
    assert!(mirror.unfit(&hash).unwrap().contains("could not be read"), "{:?}", mirror.unfit(&hash));
    assert!(bench.copy().exists() && !bench.beside("damaged-1").exists());
    assert!(matches!(upload(&mirror, &bench.log, 0, 600), Err(UploadError::Unfit)));
}

/// One upload shows that what was filled in is of another tree, and begins the copy anew, while another one goes on.
#[test]
fn an_upload_does_not_go_on_behind_what_was_begun_anew() {
    let bench = Bench::new();
    fs::remove_dir_all(bench.copy()).unwrap();
    let other = Log::new(ORIGIN, "b", 100, 900);
    let store = Store::open(&bench.folder.path().join("new"), Arc::new(LocalDisk)).unwrap();
    let forgetful = Witness::open(signers(NAME, 9), vec![bench.log.verifier()], store).unwrap();
    let mirror = open(&bench.mirror(), &bench.witness(), Arc::new(LocalDisk)).unwrap();
    let (_, pending) = forgetful.add_checkpoint(&other.request(0, 900).to_text(), &NOW).unwrap();
    mirror.remember(&origin_hash(ORIGIN), &pending);
    let whole = Upload::new(&bench.log, 0, 600);
    let first = Upload { packages: whole.packages[..1].to_vec(), ..Upload::new(&bench.log, 0, 600) }.bytes();
    let rest = whole.bytes()[first.len()..].to_vec();
    let interrupt = || {
        let refused = upload(&mirror, &other, 256, 900);
        assert!(matches!(refused, Err(UploadError::Copy(CopyError::OtherTree(600)))), "{refused:?}");
        0
    };
    let mut body = (&first[..]).chain(Once(Some(interrupt))).chain(&rest[..]);
    let refused = mirror.add_entries(&mut body, &NOW);
    assert!(matches!(refused, Err(UploadError::Copy(CopyError::Beyond(0)))), "{refused:?}");
    drop(mirror);
    let mirror = open(&bench.mirror(), &bench.witness(), Arc::new(LocalDisk)).unwrap();
    upload_rest(&mirror, &bench.log, 600);
    assert_eq!(held(&bench.mirror(), &keys()), 600);
}

/// Does something when a reader comes by, and has nothing to read.
struct Once<F>(Option<F>);

impl<F: FnOnce() -> usize> Read for Once<F> {
    fn read(&mut self, _: &mut [u8]) -> std::io::Result<usize> {
        Ok(self.0.take().map_or(0, |happens| happens()))
    }
}

/// Also where the witness's own memory is gone, so that it accepts another tree: what the mirror has cosigned binds it.
#[test]
fn a_lost_copy_is_not_filled_with_another_tree() {
    let bench = Bench::new();
    fs::remove_dir_all(bench.copy()).unwrap();
    let other = Log::new(ORIGIN, "b", 100, 900);
    let store = Store::open(&bench.folder.path().join("new"), Arc::new(LocalDisk)).unwrap();
    let forgetful = Witness::open(signers(NAME, 9), vec![bench.log.verifier()], store).unwrap();
    let mirror = open(&bench.mirror(), &forgetful, Arc::new(LocalDisk)).unwrap();
    for _ in 0..2 {
        let pending = forgetful.latest(&origin_hash(ORIGIN)).map_or(0, |latest| latest.checkpoint.size);
        let (_, pending) = forgetful.add_checkpoint(&other.request(pending, 900).to_text(), &NOW).unwrap();
        mirror.remember(&origin_hash(ORIGIN), &pending);
        let refused = upload(&mirror, &other, 0, 900);
        assert!(matches!(refused, Err(UploadError::Copy(CopyError::OtherTree(600)))), "{refused:?}");
    }
    assert_eq!(mirror.latest(&origin_hash(ORIGIN)).unwrap().checkpoint.size, 600);
    drop((mirror, forgetful));
    let witness = bench.witness();
    let mirror = open(&bench.mirror(), &witness, Arc::new(LocalDisk)).unwrap();
    upload_rest(&mirror, &bench.log, 600);
    assert_eq!(held(&bench.mirror(), &keys()), 600);
}

/// Nothing smaller than what was cosigned is, however much of it was proven.
#[test]
fn a_lost_copy_is_cosigned_for_nothing_smaller() {
    let bench = Bench::new();
    fs::remove_dir_all(bench.copy()).unwrap();
    let store = Store::open(&bench.folder.path().join("new"), Arc::new(LocalDisk)).unwrap();
    let forgetful = Witness::open(signers(NAME, 9), vec![bench.log.verifier()], store).unwrap();
    let mirror = open(&bench.mirror(), &forgetful, Arc::new(LocalDisk)).unwrap();
    let (_, pending) = forgetful.add_checkpoint(&bench.log.request(0, 500).to_text(), &NOW).unwrap();
    mirror.remember(&origin_hash(ORIGIN), &pending);
    assert!(matches!(upload(&mirror, &bench.log, 0, 500), Err(UploadError::Conflict(_))));
}

#[test]
fn one_log_that_is_lost_stops_neither_the_witness_nor_the_others() {
    let folder = tempfile::tempdir().unwrap();
    let state = state_in(&folder);
    let logs = [Log::new(ORIGIN, "a", 0, 700), Log::new("exhibit.example/log/2", "a", 0, 700)];
    init(&state, &logs.each_ref());
    let post = |serving: &Serving, body: &[u8]| {
        let head = format!(
            "POST /add-entries HTTP/1.1\r\nHost: m\r\nContent-Type: application/octet-stream\r\nContent-Length: {}\r\n\
             Connection: close\r\n\r\n",
            body.len()
        );
        common::ask(serving.address, &[head.as_bytes(), body].concat()).unwrap()
    };
    let mut serving = Serving::start_with(&state, &["--mirror"]);
    for log in &logs {
        assert_eq!(serving.add(&log.request(0, 600)).status, 200);
        let uploaded = post(&serving, &Upload::new(log, 0, 600).bytes());
        assert_eq!((uploaded.status, uploaded.headers.get("accept-encoding").map(String::as_str)), (200, Some("gzip")));
    }
    serving.terminate();
    serving.child.wait().unwrap();
    let hash = origin_hash(ORIGIN);
    fs::remove_dir_all(state.join(format!("mirror/{hash}.log"))).unwrap();
    let serving = Serving::start_with(&state, &["--mirror"]);
    let status = serving.status();
    assert_eq!((&status["logs"][0]["mirror_filling"], &status["logs"][1]["mirror_filling"]), (&600.into(), &serde_json::Value::Null));
    // What was cosigned is still said, and what is not there now is not said to be none.
    assert_eq!(serving.get(&format!("/mirror/{hash}/checkpoint")).status, 200);
    let missing = serving.get(&format!("/mirror/{hash}/tile/0/000"));
    assert_eq!((missing.status, missing.headers.contains_key("retry-after")), (503, true));
    let other = origin_hash(&logs[1].origin);
    let (status, tile) = serving.get_bytes(&format!("/mirror/{other}/tile/0/000"));
    assert_eq!((status, tile.len()), (200, 8192));
    assert_eq!(serving.add(&logs[0].request(600, 700)).status, 200, "the witness is whole");
    assert_eq!(post(&serving, &Upload::new(&logs[0], 0, 700).bytes()).status, 200);
    assert_eq!(serving.get_bytes(&format!("/mirror/{hash}/tile/0/000")).0, 200);
    assert_eq!(serving.status()["logs"][0]["mirror_filling"], serde_json::Value::Null);
}

//! All of a copy is re-hashed: what is damaged is named, tiles are made again, and the log fills the copy from the first entry on that is damaged.
#![allow(clippy::unwrap_used)]

mod common;

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use common::copies::{NOW, held, keys, open, signers, upload, upload_rest, witness};
use common::{Log, NAME, ORIGIN, Serving, Upload, init, program, state_in};
use exhibit_tlog::tile::{BundleId, TileId, encode_bundle, encode_tile};
use exhibit_tlog::witness::{add_cosignatures, cosign_text};
use exhibit_tlog::{Hash, Note, NoteSigner, root_of};
use exhibit_witness::disk::{Disk, LocalDisk};
use exhibit_witness::mirror::{Checked, UploadError, Watch, check};
use exhibit_witness::witness::origin_hash;

/// Two full tiles of level 1 would be 131,072: one, and a part of the next.
const SIZE: u64 = 66_000;
const BUNDLES: u64 = SIZE / 256;

/// A copy as a mirror keeps it, made by nobody's code but this test's.
struct Made {
    folder: tempfile::TempDir,
}

fn local() -> Arc<dyn Disk> {
    Arc::new(LocalDisk)
}

fn write(path: &Path, bytes: &[u8]) {
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, bytes).unwrap();
}

impl Made {
    fn new(log: &Log, size: u64) -> Self {
        let made = Self { folder: tempfile::tempdir().unwrap() };
        fs::create_dir(made.mirror()).unwrap();
        for index in 0..size.div_ceil(256) {
            let entries: Vec<&[u8]> = (index * 256..size.min((index + 1) * 256)).map(|index| log.entry(index)).collect();
            let width = entries.len() as u16;
            write(&made.file(&format!("entries/{}", BundleId { index, width }.path())), &encode_bundle(&entries).unwrap());
        }
        let mut row: Vec<Hash> = log.leaf_hashes(0, size);
        for level in 0.. {
            for (index, hashes) in (0..).zip(row.chunks(256)) {
                write(&made.file(&TileId { level, index, width: hashes.len() as u16 }.path()), &encode_tile(hashes));
            }
            row = row.chunks_exact(256).map(root_of).collect();
            if row.is_empty() {
                break;
            }
        }
        let own = signers(&format!("{NAME}/mirror"), 10);
        let own: Vec<&dyn NoteSigner> = own.iter().map(|signer| &**signer).collect();
        let note = log.checkpoint(size);
        let lines = cosign_text(Note::parse(&note).unwrap().text(), &own, NOW() - 1).unwrap();
        write(&made.mirror().join(origin_hash(ORIGIN)), add_cosignatures(&note, &lines, &keys()).unwrap().as_bytes());
        made
    }

    fn mirror(&self) -> PathBuf {
        self.folder.path().join("mirror")
    }

    /// Below `tile/`.
    fn file(&self, name: &str) -> PathBuf {
        self.beside("log").join("tile").join(name)
    }

    fn beside(&self, end: &str) -> PathBuf {
        self.mirror().join(format!("{}.{end}", origin_hash(ORIGIN)))
    }

    fn flip(&self, name: &str) {
        let mut bytes = fs::read(self.file(name)).unwrap();
        bytes[9] ^= 1;
        fs::write(self.file(name), bytes).unwrap();
    }

    fn remove(&self, name: &str) {
        fs::remove_file(self.file(name)).unwrap();
    }

    fn check(&self, log: &Log, size: u64, watch: &mut dyn Watch) -> Option<Checked> {
        check(&self.mirror(), &origin_hash(ORIGIN), &log.head(size), &local(), watch).unwrap()
    }

    fn names(&self, checked: &Checked) -> Vec<String> {
        let below = self.beside("log").join("tile");
        checked.damaged.iter().map(|path| path.strip_prefix(&below).unwrap().display().to_string()).collect()
    }
}

/// What a check has told.
#[derive(Default)]
struct Told {
    bytes: u64,
    bundles: Vec<u64>,
    kept: Vec<Option<String>>,
    checked: PathBuf,
}

impl Watch for Told {
    fn read(&mut self, bytes: u64) {
        self.bytes += bytes;
    }
    fn came_to(&mut self, bundles: u64, of: u64) {
        assert_eq!(of, BUNDLES);
        self.bundles.push(bundles);
        self.kept.push(fs::read_to_string(&self.checked).ok());
    }
}

type Damages = fn(&Made);
/// What is damaged, the files that are named, how many of them are made again, and from which entry on the log has to fill the copy.
type Case = (&'static str, Damages, &'static [&'static str], u64, Option<u64>);

#[test]
fn each_kind_of_damage_is_named_and_mended_by_what_hashes_right() {
    let log = Log::new(ORIGIN, "a", 0, SIZE as usize);
    let edge = "entries/257.p/208";
    let cases: [Case; 11] = [
        ("nothing", |_| {}, &[], 0, None),
        ("a bit of a bundle", |made| made.flip("entries/000"), &["entries/000"], 0, Some(0)),
        ("a bundle is missing", |made| made.remove("entries/200"), &["entries/200"], 0, Some(200 * 256)),
        ("a bit of a tile", |made| made.flip("0/100"), &["0/100"], 1, None),
        (
            "a tile is cut short",
            |made| File::options().write(true).open(made.file("0/100")).unwrap().set_len(8191).unwrap(),
            &["0/100"],
            1,
            None,
        ),
        ("a tile above tiles is missing", |made| made.remove("1/000"), &["1/000"], 1, None),
        (
            "a tile and what it is made of",
            |made| {
                made.remove("0/100");
                made.flip("entries/100");
            },
            &["0/100"],
            0,
            Some(100 * 256),
        ),
        (
            "two bundles",
            |made| {
                made.flip("entries/200");
                made.flip("entries/210");
            },
            &["entries/200", "entries/210"],
            0,
            Some(200 * 256),
        ),
        ("the last bundle", |made| made.flip("entries/257.p/208"), &["entries/257"], 0, Some(257 * 256)),
        ("the last tile", |made| made.flip("0/257.p/208"), &["0/257.p/208"], 1, None),
        (
            "the last bundle and its tile",
            |made| {
                made.flip("entries/257.p/208");
                made.remove("0/257.p/208");
            },
            &["0/257"],
            0,
            Some(0),
        ),
    ];
    assert!(Made::new(&log, SIZE).file(edge).exists());
    for (what, damage, named, remade, refill_from) in cases {
        let made = Made::new(&log, SIZE);
        damage(&made);
        let mut told = Told::default();
        let checked = made.check(&log, SIZE, &mut told).unwrap();
        assert_eq!(
            (made.names(&checked), checked.remade, checked.refill_from),
            (named.iter().map(ToString::to_string).collect(), remade, refill_from),
            "{what}"
        );
        assert_eq!(checked.is_whole(), refill_from.is_none(), "{what}");
        if refill_from.is_none() {
            assert_eq!((checked.entries, told.bundles.last()), (SIZE, Some(&BUNDLES)), "{what}");
            assert!(told.bytes > SIZE * 32, "{what}: the pace is not told what is read");
            assert_eq!(held(&made.mirror(), &keys()), SIZE, "{what}");
            let again = made.check(&log, SIZE, &mut Told::default()).unwrap();
            assert!(again.is_whole() && again.damaged.is_empty(), "{what}: it is damaged still: {again:?}");
            continue;
        }
        assert!(made.check(&log, SIZE, &mut Told::default()).is_none(), "{what}: what waits to be filled is checked");
        // The mirror keeps what comes before, and begins where nothing of it is right.
        let witness = witness(&made.folder.path().join("w"), &log);
        witness.add_checkpoint(&log.request(0, SIZE).to_text(), &NOW).unwrap();
        let mirror = open(&made.mirror(), &witness, local()).unwrap();
        assert_eq!((mirror.filling(&origin_hash(ORIGIN)), mirror.unfit(&origin_hash(ORIGIN))), (Some(SIZE), None), "{what}");
        assert_eq!(made.beside("damaged-1").exists(), refill_from == Some(0), "{what}");
        let refused = upload(&mirror, &log, SIZE, SIZE);
        assert!(matches!(&refused, Err(UploadError::Conflict(info)) if Some(info.next) == refill_from), "{what}: {refused:?}");
    }
}

/// A file that can not be read may be whole: it is told, and nothing is filled again for it.
#[test]
fn what_can_not_be_read_is_not_taken_for_damaged() {
    let log = Log::new(ORIGIN, "a", 0, SIZE as usize);
    let made = Made::new(&log, SIZE);
    made.remove("entries/200");
    fs::create_dir(made.file("entries/200")).unwrap();
    let checked = made.check(&log, SIZE, &mut Told::default()).unwrap();
    assert_eq!((checked.unread.len(), checked.refill_from, checked.is_whole()), (1, None, false), "{checked:?}");
    assert_eq!((made.names(&checked), checked.entries), (vec![], SIZE - 256));
}

/// The same where a tile is damaged, and what it would be made of can not be read.
#[test]
fn what_a_tile_is_made_of_and_can_not_be_read_is_not_taken_for_lost() {
    let log = Log::new(ORIGIN, "a", 0, SIZE as usize);
    for (damaged, unread, entries) in [("0/100", "entries/100", SIZE - 256), ("1/000", "0/100", SIZE % 65_536)] {
        let made = Made::new(&log, SIZE);
        made.flip(damaged);
        made.remove(unread);
        fs::create_dir(made.file(unread)).unwrap();
        let checked = made.check(&log, SIZE, &mut Told::default()).unwrap();
        assert_eq!((made.names(&checked), checked.unread.len()), (vec![damaged.to_owned()], 1), "{checked:?}");
        assert_eq!((checked.refill_from, checked.remade, checked.is_whole()), (None, 0, false), "{damaged}: {checked:?}");
        assert_eq!(checked.entries, entries);
        assert!(!made.beside("refill").exists());
    }
}

/// A folder that can not be listed may have what is looked for: the copy stays where it is, and is not mirrored to.
#[test]
fn a_folder_that_can_not_be_listed_is_not_taken_for_empty() {
    let log = Log::new(ORIGIN, "a", 0, SIZE as usize);
    let made = Made::new(&log, SIZE);
    fs::remove_dir_all(made.file("0/257.p")).unwrap();
    fs::write(made.file("0/257.p"), "not a folder").unwrap();
    let mirror = open(&made.mirror(), &witness(&made.folder.path().join("w"), &log), local()).unwrap();
    let hash = origin_hash(ORIGIN);
    assert!(mirror.unfit(&hash).is_some() && mirror.filling(&hash).is_none());
    assert!(!made.beside("damaged-1").exists(), "a good copy was set aside");
}

#[test]
fn a_check_that_was_ended_goes_on_where_it_was() {
    let log = Log::new(ORIGIN, "a", 0, SIZE as usize);
    let made = Made::new(&log, SIZE);
    let mut told = Told { checked: made.beside("checked"), ..Told::default() };
    assert_eq!(made.check(&log, SIZE, &mut told).unwrap().entries, SIZE);
    assert_eq!((told.kept[0].clone(), told.kept[256].as_deref()), (None, Some("256")), "it would begin anew");
    assert!(!made.beside("checked").exists(), "the next check would begin at the end");
    made.flip("entries/050");
    fs::write(made.beside("checked"), "100").unwrap();
    let mut told = Told::default();
    let checked = made.check(&log, SIZE, &mut told).unwrap();
    assert_eq!((checked.is_whole(), told.bundles[0], checked.entries), (true, 101, SIZE - 100 * 256));
    assert_eq!(made.check(&log, SIZE, &mut Told::default()).unwrap().refill_from, Some(50 * 256), "only the rest is ever checked");
}

/// Every full tile of a copy is looked for when the mirror starts, and none may be cut short, also where the edge does not need it.
#[test]
fn a_start_sees_a_tile_that_is_missing_or_cut_short_behind_the_edge() {
    let log = Log::new(ORIGIN, "a", 0, SIZE as usize);
    let defects: [Damages; 2] =
        [|made| File::options().write(true).open(made.file("0/000")).unwrap().set_len(8191).unwrap(), |made| made.remove("0/000")];
    for defect in defects {
        let made = Made::new(&log, SIZE);
        let opens = || open(&made.mirror(), &witness(&made.folder.path().join("w"), &log), local()).unwrap();
        assert_eq!(opens().filling(&origin_hash(ORIGIN)), None);
        defect(&made);
        assert_eq!(opens().filling(&origin_hash(ORIGIN)), Some(SIZE));
        assert!(made.beside("damaged-1").exists());
    }
}

/// Of a copy that is damaged in the middle only the rest comes again; what is kept of it is served meanwhile.
#[test]
fn only_what_is_behind_the_damage_is_filled_again() {
    let log = Log::new(ORIGIN, "a", 100, 900);
    let made = Made::new(&log, 600);
    let hash = origin_hash(ORIGIN);
    made.flip("entries/001");
    let open_it = || {
        let witness = witness(&made.folder.path().join("w"), &log);
        if witness.latest(&hash).is_none() {
            witness.add_checkpoint(&log.request(0, 600).to_text(), &NOW).unwrap();
        }
        open(&made.mirror(), &witness, local()).unwrap()
    };
    assert_eq!(check(&made.mirror(), &hash, &log.head(600), &local(), &mut Quiet).unwrap().unwrap().refill_from, Some(256));
    for killed in [true, false] {
        let mirror = open_it();
        assert_eq!(mirror.filling(&hash), Some(600));
        assert!(mirror.bundle(&hash, BundleId { index: 0, width: 256 }).unwrap().is_some());
        assert!(mirror.bundle(&hash, BundleId { index: 1, width: 256 }).unwrap().is_none(), "served before it is whole");
        if killed {
            let part = Upload { packages: Upload::new(&log, 256, 600).packages[..1].to_vec(), ..Upload::new(&log, 256, 600) };
            mirror.add_entries(&mut &*part.bytes(), &NOW).unwrap();
            continue;
        }
        upload_rest(&mirror, &log, 600);
        assert_eq!((mirror.filling(&hash), made.beside("refill").exists()), (None, false));
    }
    assert_eq!(held(&made.mirror(), &keys()), 600);
    assert_eq!(open_it().filling(&hash), None, "it is filled once more");
    assert!(check(&made.mirror(), &hash, &log.head(600), &local(), &mut Quiet).unwrap().unwrap().is_whole());
}

struct Quiet;

impl Watch for Quiet {
    fn read(&mut self, _: u64) {}
    fn came_to(&mut self, _: u64, _: u64) {}
}

#[test]
fn the_program_checks_beside_one_that_serves_and_says_what_to_do() {
    let folder = tempfile::tempdir().unwrap();
    let state = state_in(&folder);
    let log = Log::new(ORIGIN, "a", 0, 700);
    init(&state, &[&log]);
    let run = |more: &[&str]| {
        let done = program().args(["check", "--json", "--state"]).arg(&state).args(more).output().unwrap();
        let json = serde_json::from_slice::<serde_json::Value>(&done.stdout).unwrap_or_default();
        (done.status.code().unwrap(), json)
    };
    assert_eq!(run(&[]).1["checked"], false);
    let mut serving = Serving::start_with(&state, &["--mirror"]);
    assert_eq!(serving.add(&log.request(0, 700)).status, 200);
    let body = Upload::new(&log, 0, 700).bytes();
    let head = format!(
        "POST /add-entries HTTP/1.1\r\nHost: m\r\nContent-Type: application/octet-stream\r\nContent-Length: {}\r\n\r\n",
        body.len()
    );
    assert_eq!(common::ask(serving.address, &[head.as_bytes(), &body].concat()).unwrap().status, 200);
    let (code, sound) = run(&["--origin", ORIGIN, "--mib-per-s", "100"]);
    assert_eq!((code, sound["entries"].as_u64(), sound["refill_from"].as_u64()), (0, Some(700), None), "{sound}");
    let bundle = state.join(format!("mirror/{}.log/tile/entries/001", origin_hash(ORIGIN)));
    fs::write(&bundle, b"rotten").unwrap();
    let (code, rotten) = run(&[]);
    assert_eq!((code, rotten["refill_from"].as_u64()), (1, Some(256)), "{rotten}");
    assert_eq!(rotten["damaged"][0].as_str(), bundle.to_str());
    assert_eq!(run(&["--origin", "another.example/log"]).0, 2);
    serving.terminate();
    serving.child.wait().unwrap();
    let serving = Serving::start_with(&state, &["--mirror"]);
    assert_eq!(serving.status()["logs"][0]["mirror_filling"], 700);
    let rest = Upload::new(&log, 256, 700).bytes();
    let head = format!(
        "POST /add-entries HTTP/1.1\r\nHost: m\r\nContent-Type: application/octet-stream\r\nContent-Length: {}\r\n\r\n",
        rest.len()
    );
    assert_eq!(common::ask(serving.address, &[head.as_bytes(), &rest].concat()).unwrap().status, 200);
    assert_eq!(run(&[]).0, 0);
}

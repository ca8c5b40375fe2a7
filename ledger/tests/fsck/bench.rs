//! A ledger to damage, what its owner knows of its entries, and what a check finds in it.

use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicBool;

use exhibit_ledger::fsck::{Claim, Damage, Fsck, Look, Owner, Report};
use exhibit_ledger::rebuild::Describe;
use exhibit_ledger::{Candidate, Ledger, LedgerError};
use exhibit_tlog::{Hash, leaf_hash};
use rocksdb::{DB, Options as RocksOptions, WriteBatch};

use crate::common::{Chain, append_all, copy, open, verifier};

/// Two full tiles and a part of a third, at level 0.
pub const SIZE: u64 = 700;

/// Reads the entries that common::Chain makes.
pub struct Reader;

impl Reader {
    pub fn candidate(entry: &[u8]) -> Result<Candidate, String> {
        let text = str::from_utf8(entry).map_err(|error| error.to_string())?;
        let (stream, rest) = text.split_once(' ').ok_or("it has no stream")?;
        let seq: u64 = rest.split(' ').next().unwrap().parse().map_err(|_| "it has no seq")?;
        let prev = seq.checked_sub(1).map_or(Hash::default(), |before| leaf_hash(&line(stream, before)));
        let identity = leaf_hash(format!("identity {stream} {seq}").as_bytes());
        let annotations = vec![(format!("seq/{stream}/{seq:08}").into_bytes(), vec![])];
        Ok(Candidate {
            stream: stream.into(),
            seq,
            prev,
            identity,
            entry: entry.to_vec(),
            annotations,
            is_last: stream == LAST_STREAM,
            may_leap: LEAP.contains(&(stream, seq)),
        })
    }
}

/// The log before this one has what this chain leaps over.
pub const LEAP: [(&str, u64); 1] = [("leaper", 9)];
/// An entry of this chain ends the log.
pub const LAST_STREAM: &str = "last";

pub fn line(stream: &str, seq: u64) -> Vec<u8> {
    Chain { stream: stream.into(), seq, prev: Hash::default() }.next(30).entry
}

impl Owner for Reader {
    fn claim(&self, entry: &[u8]) -> Result<Claim, String> {
        let Candidate { stream, seq, prev, identity, is_last, .. } = Self::candidate(entry)?;
        let may_leap = LEAP.contains(&(&stream, seq));
        Ok(Claim { stream, seq, prev, identity, is_last, may_leap })
    }

    fn inspect(&self, index: u64, _: &[u8], look: &Look<'_>, damages: &mut Vec<Damage>) {
        if index == 77 {
            damages.push(Damage::new("object", "of 77", "its owner says so"));
        }
        look.read(1000);
    }
}

impl Describe for Reader {
    fn describe(&mut self, ledger: &Ledger, first: u64, entries: &[Vec<u8>]) -> Result<Vec<Candidate>, String> {
        assert_eq!(ledger.size(), first, "an entry was described before those before it were there");
        // Groups of several sizes.
        entries.iter().take(1 + first as usize % 100).map(|entry| Self::candidate(entry)).collect()
    }

    fn progress(&mut self, _: u64, _: u64) {}
}

pub fn ledger_of(folder: &Path, size: u64) {
    let ledger = open(folder);
    let mut chains = ["a", "b", "c"].map(|stream| Chain::of(&ledger, stream));
    let from = ledger.size();
    append_all(&ledger, (from..size).map(|index| chains[(index % 3) as usize].next(30)))
        .into_iter()
        .for_each(|outcome| drop(outcome.unwrap()));
}

/// The ledger `SIZE` entries long, made once and copied.
pub fn bench() -> (tempfile::TempDir, PathBuf) {
    static MADE: std::sync::OnceLock<tempfile::TempDir> = std::sync::OnceLock::new();
    let made = MADE.get_or_init(|| {
        let folder = exhibit_power_loss::scratch();
        ledger_of(&folder.path().join("ledger"), SIZE);
        folder
    });
    let folder = exhibit_power_loss::scratch();
    copy(made.path(), folder.path());
    let ledger = folder.path().join("ledger");
    (folder, ledger)
}

pub fn check(folder: &Path) -> Report {
    check_with(folder, 2, None, &AtomicBool::new(false)).unwrap()
}

pub fn check_with(folder: &Path, threads: usize, state_file: Option<PathBuf>, stop: &AtomicBool) -> Result<Report, LedgerError> {
    let fsck = Fsck { log: verifier(), owner: &Reader, threads, bytes_per_s: None, state_file, progress: &|_| {}, stop };
    fsck.run(folder)
}

/// What was found, beside what the owner says of entry 77.
pub fn found(report: &Report) -> Vec<(&str, &str)> {
    let damages = report.damages.iter().filter(|damage| damage.part != "object");
    damages.map(|damage| (damage.part.as_str(), damage.name.as_str())).collect()
}

pub fn with_database(folder: &Path, change: impl FnOnce(&DB)) {
    let families = ["default", "entries", "places", "heads", "leaves", "tiles", "annotations", "meta"];
    change(&DB::open_cf(&RocksOptions::default(), folder.join("database"), families).unwrap());
}

pub fn put(db: &DB, family: &str, key: &[u8], value: Option<&[u8]>) {
    let family = db.cf_handle(family).unwrap();
    let mut batch = WriteBatch::default();
    match value {
        Some(value) => batch.put_cf(family, key, value),
        None => batch.delete_cf(family, key),
    }
    db.write(batch).unwrap();
}

pub fn flipped(db: &DB, family: &str, key: &[u8], byte: usize) {
    let mut value = db.get_cf(db.cf_handle(family).unwrap(), key).unwrap().unwrap();
    value[byte] ^= 1;
    put(db, family, key, Some(&value));
}

pub fn tile_key(level: u8, index: u64) -> Vec<u8> {
    [&[level][..], &index.to_be_bytes()].concat()
}

pub fn place_key(stream: &str, seq: u64) -> Vec<u8> {
    [stream.as_bytes(), &[0], &seq.to_be_bytes()].concat()
}

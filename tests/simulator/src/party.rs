//! Another party: the real witness and mirror, on a disk that loses what was not synced.
//!
//! It knows neither HTTP nor time: requests are given to the witness as text, and the clock is the world's.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use exhibit_ledger::Ledger;
use exhibit_ledger::source::TileFolder;
use exhibit_tlog::mirror::MirrorInfo;
use exhibit_tlog::tile::{BundleId, TILE_WIDTH, decode_bundle};
use exhibit_tlog::witness::add_cosignatures;
use exhibit_tlog::{
    AddCheckpoint, Ed25519Cosigner, Hash, HashReader, LogVerifier, NoteSigner, Refusal, Subtree, leaf_hash, prove_subtree, root_of,
};
use exhibit_witness::mirror::{CopyError, Mirror, UploadError, Uploaded};
use exhibit_witness::store::{Store, StoreError};
use exhibit_witness::witness::{AddError, Cosigned, Witness, origin_hash};
use zeroize::Zeroizing;

use crate::lossy_disk::LossyDisk;

/// A witness with a mirror.
pub struct Party {
    number: usize,
    folder: PathBuf,
    pub disk: Arc<LossyDisk>,
    follows: Vec<LogVerifier>,
    running: Option<(Witness, Mirror)>,
    /// Of every log the heads that the witness has given cosignatures of away.
    cosigned: BTreeMap<String, BTreeMap<u64, Hash>>,
    /// The same of the mirror.
    mirrored: BTreeMap<String, BTreeMap<u64, Hash>>,
}

impl Party {
    /// A new one, that follows no log yet.
    pub fn new(root: &Path, number: usize) -> Self {
        let folder = root.join(format!("party-{number}"));
        std::fs::create_dir(&folder).expect("a folder can be made");
        let (cosigned, mirrored) = Default::default();
        Self { number, folder, disk: Arc::default(), follows: Vec::new(), running: None, cosigned, mirrored }
    }

    /// Its operator adds a log, and starts it again.
    pub fn follow(&mut self, log: LogVerifier) {
        self.follows.push(log);
        self.restart(false);
    }

    /// Starts again, after a power cut or after the end of the process alone. What it gave away binds it.
    pub fn restart(&mut self, after_power_cut: bool) {
        self.running = None;
        if after_power_cut {
            self.disk.cut_power();
        }
        let store = Store::open(&self.folder.join("witness"), self.disk.clone()).unwrap_or_else(|error| panic!("{error}"));
        let witness = Witness::open(vec![self.signer("witness")], self.follows.clone(), store);
        let witness = witness.unwrap_or_else(|error| panic!("the witness does not start: {error}"));
        let mirror = Mirror::open(vec![self.signer("mirror")], &witness, &self.folder.join("mirror"), self.disk.clone());
        let mirror = mirror.unwrap_or_else(|error| panic!("the mirror does not start: {error}"));
        // It would fill again what a disk has lost; but no disk here loses what was synced.
        for log in &self.follows {
            let hash = origin_hash(&log.origin);
            let (filling, unfit) = (mirror.filling(&hash), mirror.unfit(&hash));
            assert!((filling, unfit) == (None, None), "the mirror has lost its copy: {filling:?} {unfit:?}");
        }
        for (what, given, latest) in [
            ("witness", &self.cosigned, &(|hash: &str| witness.latest(hash)) as &dyn Fn(&str) -> Option<Arc<Cosigned>>),
            ("mirror", &self.mirrored, &|hash: &str| mirror.latest(hash)),
        ] {
            for (origin, heads) in given {
                let kept = latest(&origin_hash(origin)).map_or(0, |latest| latest.checkpoint.size);
                let last = heads.last_key_value().map_or(0, |(size, _)| *size);
                assert!(kept >= last, "the {what} has cosigned {last} entries and remembers {kept}");
            }
        }
        self.running = Some((witness, mirror));
    }

    /// Asks for the witness's cosignature of a ledger's newest checkpoint; whether it was given.
    pub fn ask_witness(&mut self, ledger: &Ledger, log: &LogVerifier, clock: &dyn Fn() -> u64) -> bool {
        let Some((note, head)) = ledger.checkpoint() else { return false };
        let given = self.cosigned.entry(log.origin.clone()).or_default();
        let mut old_size = given.last_key_value().map_or(0, |(size, _)| *size);
        let (witness, mirror) = self.running.as_ref().expect("it runs between operations");
        loop {
            let proof =
                ledger.consistency(old_size, head.size).expect("it runs").unwrap_or_else(|| panic!("the log is behind its witness"));
            let request = AddCheckpoint { old_size, proof, checkpoint: note.as_ref().to_owned() };
            match witness.add_checkpoint(&request.to_text(), clock) {
                Ok((lines, cosigned)) => {
                    add_cosignatures(&note, &lines, witness.keys()).expect("a cosignature verifies");
                    give(given, head.size, head.root);
                    mirror.remember(&origin_hash(&log.origin), &cosigned);
                    return true;
                }
                // It has kept what it could not say any more.
                Err(AddError::Refused(Refusal::Conflict(size))) if size > old_size => old_size = size,
                Err(AddError::Store(error)) => {
                    self.failed(error);
                    return false;
                }
                Err(error) => panic!("the witness refuses an honest log: {error}"),
            }
        }
    }

    /// The ledger has another tree than the one that was cosigned, at least as large: it must be refused, and at the same size kept as evidence.
    pub fn ask_witness_for_fork(&mut self, fork: &Ledger, log: &LogVerifier, clock: &dyn Fn() -> u64) {
        let (note, head) = fork.checkpoint().expect("a fork has entries");
        let hash = origin_hash(&log.origin);
        let (witness, _) = self.running.as_ref().expect("it runs between operations");
        let latest = witness.latest(&hash).expect("there is no fork of what was not cosigned").checkpoint.size;
        let proof = fork.consistency(latest, head.size).expect("it runs").expect("it is at least as large");
        let request = AddCheckpoint { old_size: latest, proof, checkpoint: note.as_ref().to_owned() };
        match witness.add_checkpoint(&request.to_text(), clock) {
            Ok(_) => panic!("a fork was cosigned"),
            Err(AddError::Refused(Refusal::Proof(_))) => {
                assert!(head.size > latest || witness.fork(&hash).is_some(), "a fork was not kept as evidence");
            }
            Err(AddError::Store(error)) => self.failed(error),
            Err(error) => panic!("a fork was refused for another reason: {error}"),
        }
    }

    /// Brings the mirror to the newest head that the witness has cosigned of a log; whether it gave its cosignature.
    pub fn feed_mirror(&mut self, ledger: &Ledger, log: &LogVerifier, clock: &dyn Fn() -> u64) -> bool {
        let (witness, mirror) = self.running.as_ref().expect("it runs between operations");
        let hash = origin_hash(&log.origin);
        let Some(pending) = witness.latest(&hash) else { return false };
        let end = pending.checkpoint.size;
        let mut start = mirror.latest(&hash).map_or(0, |latest| latest.checkpoint.size);
        for _ in 0..2 {
            let body = upload(ledger, &log.origin, start, end);
            match mirror.add_entries(&mut body.as_slice(), clock) {
                Ok(Uploaded::Whole(lines)) => {
                    add_cosignatures(&pending.note, &lines, mirror.keys()).expect("a cosignature verifies");
                    give(self.mirrored.entry(log.origin.clone()).or_default(), end, pending.checkpoint.root);
                    return true;
                }
                Err(UploadError::Conflict(MirrorInfo { size, next, .. })) if size == end => start = next,
                Err(UploadError::Copy(CopyError::Write { .. })) | Err(UploadError::Store(StoreError::Write { .. })) => return false,
                Err(UploadError::Copy(CopyError::Sync { .. })) | Err(UploadError::Store(StoreError::Sync { .. })) => {
                    self.restart(true);
                    return false;
                }
                other => panic!("the mirror does not take an honest upload: {other:?}"),
            }
        }
        panic!("the mirror does not say where to go on");
    }

    /// The size and the note of what the witness has kept of a log, given away or not.
    pub fn newest(&self, origin: &str) -> Option<Arc<Cosigned>> {
        self.running.as_ref().expect("it runs between operations").0.latest(&origin_hash(origin))
    }

    /// The same of the mirror.
    pub fn mirrored(&self, origin: &str) -> Option<Arc<Cosigned>> {
        self.running.as_ref().expect("it runs between operations").1.latest(&origin_hash(origin))
    }

    /// The mirror's copy of a log.
    pub fn copy(&self, origin: &str) -> TileFolder {
        TileFolder::new(&self.folder.join("mirror").join(format!("{}.log", origin_hash(origin))))
    }

    /// Of all heads that were given away: each is of the tree with these leaves, and what was mirrored is there whole.
    pub fn judge(&self, origin: &str, leaves: &[Hash]) {
        let heads = |given: &BTreeMap<String, BTreeMap<u64, Hash>>| given.get(origin).cloned().unwrap_or_default();
        for (size, root) in heads(&self.cosigned).into_iter().chain(heads(&self.mirrored)) {
            let tree =
                leaves.get(..size as usize).unwrap_or_else(|| panic!("{size} entries were cosigned, and {} are there", leaves.len()));
            assert_eq!(root_of(tree), root, "a cosigned head of {size} entries is not of the log's tree");
        }
        let Some((size, _)) = heads(&self.mirrored).pop_last() else { return };
        let (_, mirror) = self.running.as_ref().expect("it runs between operations");
        for index in 0..size.div_ceil(WIDTH) {
            let width = (size - index * WIDTH).min(WIDTH) as u16;
            let bundle = mirror.bundle(&origin_hash(origin), BundleId { index, width }).expect("it can be read").expect("it was cosigned");
            for (entry, leaf) in decode_bundle(&bundle, width).expect("it has the form").iter().zip(&leaves[(index * WIDTH) as usize..]) {
                assert_eq!(leaf_hash(entry), *leaf, "an entry that was mirrored is lost");
            }
        }
    }

    /// A disk that may have failed to keep what was written ends the process, and the machine with it.
    fn failed(&mut self, error: StoreError) {
        match error {
            StoreError::Write { .. } => {}
            StoreError::Sync { .. } => self.restart(true),
            error => panic!("{error}"),
        }
    }

    fn signer(&self, what: &str) -> Arc<dyn NoteSigner> {
        let seed = Zeroizing::new([100 + 2 * self.number as u8 + u8::from(what == "mirror"); 32]);
        Arc::new(Ed25519Cosigner::new(&format!("party-{}.example/{what}", self.number), &seed).expect("a seed makes a key"))
    }
}

/// One size, one root.
fn give(given: &mut BTreeMap<u64, Hash>, size: u64, root: Hash) {
    let before = given.insert(size, root);
    assert!(before.is_none_or(|before| before == root), "two trees of {size} entries were cosigned");
}

/// The body of `add-entries` (C2SP tlog-mirror).
fn upload(ledger: &Ledger, origin: &str, start: u64, end: u64) -> Vec<u8> {
    let mut body = (origin.len() as u16).to_be_bytes().to_vec();
    body.extend_from_slice(origin.as_bytes());
    body.extend_from_slice(&start.to_be_bytes());
    body.extend_from_slice(&end.to_be_bytes());
    body.extend_from_slice(&[0, 0]);
    let leaves = Leaves((0..end).map(|index| leaf_hash(&entry(ledger, index))).collect());
    let mut from = start;
    while from < end {
        let (first, to) = (from - from % WIDTH, (from - from % WIDTH + WIDTH).min(end));
        for index in from..to {
            let entry = entry(ledger, index);
            body.extend_from_slice(&(entry.len() as u16).to_be_bytes());
            body.extend_from_slice(&entry);
        }
        let Ok(proof) = prove_subtree(&leaves, Subtree::new(first, to).expect("a bundle is a subtree"), end);
        body.push(proof.len() as u8);
        body.extend(proof.iter().flat_map(|hash| hash.0));
        from = to;
    }
    body
}

fn entry(ledger: &Ledger, index: u64) -> Vec<u8> {
    ledger.entry(index).expect("it runs").expect("it was cosigned")
}

/// Hashes of a tree out of all its leaves.
struct Leaves(Vec<Hash>);

impl HashReader for Leaves {
    type Error = std::convert::Infallible;

    fn hash(&self, level: u8, position: u64) -> Result<Hash, Self::Error> {
        let (first, count) = ((position << level) as usize, 1 << level);
        Ok(root_of(&self.0[first..first + count]))
    }
}

const WIDTH: u64 = TILE_WIDTH as u64;

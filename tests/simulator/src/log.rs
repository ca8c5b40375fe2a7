//! One log: its ledger, started and ended, and what an operator may do with its folder.
//!
//! It does not know cameras, nor what follows the log.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use exhibit_ledger::fsck::{Claim, Damage, Fsck, Look, Owner};
use exhibit_ledger::rebuild::{Describe, RebuildError, rebuild};
use exhibit_ledger::source::{LedgerFolder, Source};
use exhibit_ledger::{Candidate, Disk, HeadSeal, Ledger, LedgerError, LocalDisk, Options, SealedFile};
use exhibit_tlog::{Checkpoint, Ed25519NoteSigner, Hash, LogVerifier, NoteError, NoteSigner, VerifierKey, leaf_hash};
use zeroize::Zeroizing;

use crate::camera::read;
use crate::disk::BreakingDisk;

/// A log, and the machine that it is on.
pub struct Log {
    /// Which, in the order of succession.
    pub number: usize,
    /// The disk of the ledger that runs.
    pub disk: Arc<BreakingDisk>,
    root: PathBuf,
    clock_s: Arc<AtomicU64>,
    signed: Arc<Mutex<Vec<String>>>,
    ledger: Option<Ledger>,
    backups: usize,
}

impl Log {
    /// A new log in a folder of its own.
    pub fn create(root: &Path, number: usize, clock_s: Arc<AtomicU64>) -> Self {
        let root = root.join(format!("log-{number}"));
        fs::create_dir(&root).expect("a folder can be made");
        let mut log = Self { number, disk: Arc::default(), root, clock_s, signed: Arc::default(), ledger: None, backups: 0 };
        log.start();
        log
    }

    /// The ledger, which runs between operations.
    pub fn ledger(&self) -> Ledger {
        self.ledger.clone().expect("it is open between operations")
    }

    /// The log's name.
    pub fn origin(&self) -> String {
        format!("simulated.example/log/{}", self.number)
    }

    /// Its keys.
    pub fn verifier(&self) -> LogVerifier {
        LogVerifier { origin: self.origin(), keys: vec![self.signer().inner.verifier_key().clone()] }
    }

    /// Starts again, on a disk that works.
    pub fn restart(&mut self) {
        self.stop();
        self.start();
    }

    /// Ends the process.
    pub fn stop(&mut self) {
        self.ledger = None;
    }

    fn start(&mut self) {
        self.disk = Arc::default();
        let opened = self.open(self.disk.clone());
        self.ledger = Some(opened.unwrap_or_else(|error| panic!("it does not start: {error}")));
    }

    fn open(&self, disk: Arc<dyn Disk>) -> Result<Ledger, LedgerError> {
        Ledger::open_on(&self.folder(), self.options(), disk)
    }

    /// Copies the folder while the ledger is closed.
    pub fn copy(&mut self) {
        self.stop();
        let _ = fs::remove_dir_all(self.path("copy"));
        copy(&self.folder(), &self.path("copy"));
        self.start();
    }

    /// Puts the copy in the folder's place, and back again; whether it was older, and so refused.
    pub fn roll_back(&mut self) -> bool {
        let Some(old) = self.copied_size() else { return false };
        self.stop();
        let newest = self.path("newest");
        let is_older = old < self.seal().read().expect("a seal reads").map_or(0, |head| head.size);
        fs::rename(self.folder(), &newest).expect("a folder can be renamed");
        copy(&self.path("copy"), &self.folder());
        if is_older {
            let refused = self.open(Arc::new(BreakingDisk::default()));
            assert!(matches!(refused, Err(LedgerError::Behind(_))), "a rollback went unnoticed");
        }
        fs::remove_dir_all(self.folder()).expect("a folder can be removed");
        fs::rename(newest, self.folder()).expect("a folder can be renamed");
        self.start();
        is_older
    }

    /// Entries of the copy.
    pub fn copied_size(&self) -> Option<u64> {
        let copy = self.path("copy");
        copy.exists().then(|| LedgerFolder::open(&copy).expect("a copy opens").size().expect("it has a tree"))
    }

    /// What somebody with the keys and the copy can make: another log of the same name, without the seal. It goes on with `candidates`.
    pub fn fork(&self, candidates: impl IntoIterator<Item = Candidate>) -> Ledger {
        let forked = self.path("forked");
        let _ = fs::remove_dir_all(&forked);
        copy(&self.path("copy"), &forked);
        let signer = Signer { signed: Arc::default(), ..self.signer() };
        let options = Options { signers: vec![Arc::new(signer)], seals: Vec::new(), ..self.options() };
        let ledger = Ledger::open_on(&forked, options, Arc::new(LocalDisk)).expect("a copy opens without a seal");
        for candidate in candidates {
            ledger.append(candidate).expect("a copy can go on without a seal");
        }
        ledger
    }

    /// Backs up the ledger while it runs.
    pub fn back_up(&mut self) {
        self.backups += 1;
        self.ledger().backup(&self.backup()).unwrap_or_else(|error| panic!("no backup: {error}"));
    }

    fn backup(&self) -> PathBuf {
        self.path(&format!("backup-{}", self.backups))
    }

    /// The folder is gone.
    pub fn lose(&mut self) {
        self.stop();
        fs::remove_dir_all(self.folder()).expect("a folder can be removed");
    }

    /// Restores the lost folder to a signed head, out of the last backup and mirrors. What is refused leaves nothing to be served.
    pub fn restore(&mut self, note: &str, mirrors: &[&dyn Source]) -> Result<(), RebuildError> {
        if self.backups > 0 {
            copy(&self.backup(), &self.folder());
        } else {
            fs::create_dir(self.folder()).expect("a folder can be made");
        }
        match rebuild(&self.folder(), self.options(), note, mirrors, &mut Reader(self.number)) {
            Ok(ledger) => {
                // What was signed beyond was in the lost folder alone.
                let size = ledger.size();
                self.signed().retain(|text| Checkpoint::from_text(text).is_ok_and(|head| head.size <= size));
                drop(ledger);
                self.start();
                Ok(())
            }
            Err(error) => {
                fs::remove_dir_all(self.folder()).expect("a folder can be removed");
                Err(error)
            }
        }
    }

    /// The signed head that is kept outside of the folder.
    pub fn sealed_note(&self) -> Option<String> {
        fs::read_to_string(self.path("seal")).ok()
    }

    /// Everything re-hashed.
    pub fn fsck(&self) {
        let stop = AtomicBool::new(false);
        let fsck = Fsck {
            log: self.verifier(),
            owner: &Reader(self.number),
            threads: 2,
            bytes_per_s: None,
            state_file: None,
            progress: &|_| {},
            stop: &stop,
        };
        let report = fsck.run(&self.folder()).unwrap_or_else(|error| panic!("fsck can not check: {error}"));
        assert!(report.is_complete && report.damages.is_empty(), "damaged: {:?}", report.damages);
    }

    /// Of all heads that any key has signed, published or not: one size, one root, and all of the tree with these leaves.
    pub fn check_signed(&self, leaves: &[Hash]) {
        let mut roots = BTreeMap::new();
        for text in self.signed().iter() {
            let head = Checkpoint::from_text(text).expect("a signer is given checkpoints");
            let root = *roots.entry(head.size).or_insert(head.root);
            assert_eq!(root, head.root, "two trees of {} entries were signed: a fork", head.size);
        }
        for (size, root) in roots {
            let tree = leaves.get(..size as usize).unwrap_or_else(|| panic!("{size} entries were signed, and {} are there", leaves.len()));
            assert_eq!(exhibit_tlog::root_of(tree), root, "the signed tree of {size} entries is no part of the ledger");
        }
    }

    /// The entries that are published.
    pub fn entries(&self) -> Vec<Vec<u8>> {
        let ledger = self.ledger();
        (0..ledger.size()).map(|index| ledger.entry(index).expect("it runs").expect("it is there")).collect()
    }

    fn path(&self, name: &str) -> PathBuf {
        self.root.join(name)
    }

    fn folder(&self) -> PathBuf {
        self.path("ledger")
    }

    fn seal(&self) -> SealedFile {
        SealedFile::new(&self.path("seal"), self.verifier())
    }

    fn signed(&self) -> std::sync::MutexGuard<'_, Vec<String>> {
        self.signed.lock().expect("nobody panics with the lock")
    }

    fn signer(&self) -> Signer {
        let seed = Zeroizing::new([1 + self.number as u8; 32]);
        let inner = Ed25519NoteSigner::new(&self.origin(), &seed).expect("a seed makes a key");
        Signer { inner, signed: self.signed.clone() }
    }

    fn options(&self) -> Options {
        let clock_s = self.clock_s.clone();
        Options {
            origin: self.origin(),
            signers: vec![Arc::new(self.signer())],
            clock: Arc::new(move || clock_s.load(Ordering::SeqCst)),
            batch_entries_max: 8,
            seals: vec![Arc::new(self.seal())],
        }
    }
}

/// Reads the entries of cameras and operators on the log of that number.
struct Reader(usize);

impl Owner for Reader {
    fn claim(&self, entry: &[u8]) -> Result<Claim, String> {
        let candidate = read(entry, self.0).ok_or("nobody here has made it")?;
        let Candidate { stream, seq, prev, identity, is_last, may_leap, .. } = candidate;
        Ok(Claim { stream, seq, prev, identity, is_last, may_leap })
    }

    fn inspect(&self, _: u64, _: &[u8], _: &Look<'_>, _: &mut Vec<Damage>) {}
}

impl Describe for Reader {
    fn describe(&mut self, _: &Ledger, _: u64, entries: &[Vec<u8>]) -> Result<Vec<Candidate>, String> {
        entries.iter().map(|entry| read(entry, self.0)).collect::<Option<_>>().ok_or_else(|| "nobody here has made it".to_owned())
    }

    fn progress(&mut self, _: u64, _: u64) {}
}

/// Keeps every text that it signs.
struct Signer {
    inner: Ed25519NoteSigner,
    signed: Arc<Mutex<Vec<String>>>,
}

impl NoteSigner for Signer {
    fn verifier_key(&self) -> &VerifierKey {
        self.inner.verifier_key()
    }

    fn sign(&self, text: &str, unix_s: u64) -> Result<Vec<u8>, NoteError> {
        self.signed.lock().expect("nobody panics with the lock").push(text.to_owned());
        self.inner.sign(text, unix_s)
    }
}

/// The leaf hashes of entries.
pub fn leaves_of(entries: &[Vec<u8>]) -> Vec<Hash> {
    entries.iter().map(|entry| leaf_hash(entry)).collect()
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).expect("a folder can be made");
    for file in fs::read_dir(from).expect("a folder can be read").map(|file| file.expect("a folder can be read")) {
        let target = to.join(file.file_name());
        if file.path().is_dir() {
            copy(&file.path(), &target);
        } else {
            fs::copy(file.path(), target).expect("a file can be copied");
        }
    }
}

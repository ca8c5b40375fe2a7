//! The world that operations happen in, and what must hold in it at every moment and at the end.
//!
//! It has no time but its own, and no chance: operations come from outside.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::channel;
use std::sync::{Arc, Mutex};

use exhibit_ledger::fsck::{Claim, Damage, Fsck, Owner};
use exhibit_ledger::rebuild::{Describe, rebuild};
use exhibit_ledger::source::{LedgerFolder, Source};
use exhibit_ledger::{Admission, Candidate, HeadSeal, Ledger, LedgerError, Options, Refusal, SealedFile};
use exhibit_tlog::{
    AddCheckpoint, Checkpoint, Ed25519NoteSigner, LogProof, LogVerifier, NoteError, NoteSigner, VerifierKey, leaf_hash, root_of,
    verify_consistency,
};
use zeroize::Zeroizing;

use crate::Operation;
use crate::camera::{Camera, candidate, prev_of, read};
use crate::disk::BreakingDisk;

/// Everything, opened or not.
pub struct World {
    root: tempfile::TempDir,
    clock_s: Arc<AtomicU64>,
    signed: Arc<Mutex<Vec<String>>>,
    disk: Arc<BreakingDisk>,
    ledger: Option<Ledger>,
    cameras: Vec<Camera>,
    clients: Vec<Option<Checkpoint>>,
    witness: Option<Checkpoint>,
    backups: usize,
    summary: Summary,
}

/// What happened, so that a run in which nothing did does not pass.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Summary {
    /// Entries that were acknowledged.
    pub acknowledged: usize,
    /// Writes that broke.
    pub broken: usize,
    /// Rollbacks that were refused.
    pub refused: usize,
    /// Restores.
    pub restored: usize,
    /// Checkpoints that the witness took.
    pub witnessed: usize,
}

impl World {
    /// A new log.
    pub fn new() -> Self {
        let mut world = Self {
            root: exhibit_power_loss::scratch(),
            clock_s: Arc::new(AtomicU64::new(1_795_132_800)),
            signed: Arc::default(),
            disk: Arc::default(),
            ledger: None,
            cameras: (0..CAMERAS).map(Camera::new).collect(),
            clients: vec![None; CLIENTS],
            witness: None,
            backups: 0,
            summary: Summary::default(),
        };
        world.start();
        world
    }

    /// Lets one thing happen.
    pub fn apply(&mut self, operation: Operation) {
        match operation {
            Operation::Record { camera, count } => (0..count).for_each(|_| self.cameras[camera].record()),
            Operation::Upload { camera } => self.upload(&[camera]),
            Operation::UploadAll => self.upload(&(0..CAMERAS).collect::<Vec<_>>()),
            Operation::Resend { camera } => self.resend(camera),
            Operation::Contradict { camera } => self.contradict(camera),
            Operation::BreakWrite { after, is_done } => self.disk.break_after(after, is_done),
            Operation::Restart => self.restart(),
            Operation::Advance { seconds } => drop(self.clock_s.fetch_add(seconds, Ordering::SeqCst)),
            Operation::Witness => self.ask_witness(),
            Operation::Observe { client } => self.observe(client),
            Operation::Copy => self.copy(),
            Operation::RollBack => self.roll_back(),
            Operation::Backup => self.back_up(),
            Operation::Restore => self.restore(),
            Operation::Fsck => self.fsck(),
        }
        if self.disk.is_broken() {
            self.summary.broken += 1;
            self.restart();
        }
    }

    /// Everything sent, and everything judged from outside.
    pub fn judge(mut self) -> Summary {
        self.restart();
        self.apply(Operation::UploadAll);
        (0..CLIENTS).for_each(|client| self.observe(client));
        self.ask_witness();
        self.fsck();
        let ledger = self.ledger();
        let (note, head) = ledger.checkpoint().unwrap_or_else(|| panic!("nothing was recorded: a plan needs more operations"));
        assert_eq!(self.log().verify(&note).expect("the newest checkpoint verifies"), head);
        let leaves: Vec<_> = (0..head.size).map(|index| leaf_hash(&ledger.entry(index).expect("it runs").expect("it is there"))).collect();
        assert_eq!(root_of(&leaves), head.root, "the signed root is not that of the entries");
        let mut recorded = 0;
        for camera in &self.cameras {
            assert!(camera.waiting().is_empty(), "what was spooled was not taken");
            for (candidate, admission) in &camera.acknowledged {
                let index = admission.place.index;
                assert_eq!(leaves[index as usize], leaf_hash(&candidate.entry), "acknowledged entry {index} is lost or moved");
            }
            recorded += camera.acknowledged.len();
        }
        assert_eq!(leaves.len(), recorded, "an entry is on the ledger twice, or one that nobody recorded");
        self.check_signed(&ledger);
        self.summary.acknowledged = recorded;
        self.summary
    }

    /// Of all heads that any key has signed, published or not: one size, one root, and all of one tree.
    fn check_signed(&self, ledger: &Ledger) {
        let mut roots = BTreeMap::new();
        for text in self.signed.lock().expect("nobody panics with the lock").iter() {
            let head = Checkpoint::from_text(text).expect("a signer is given checkpoints");
            let root = *roots.entry(head.size).or_insert(head.root);
            assert_eq!(root, head.root, "two trees of {} entries were signed: a fork", head.size);
        }
        for (size, root) in roots {
            assert_eq!(ledger.root_at(size).expect("it runs"), Some(root), "the signed tree of {size} entries is no part of the ledger");
        }
    }

    fn upload(&mut self, cameras: &[usize]) {
        let ledger = self.ledger();
        let (sender, outcomes) = channel();
        let mut sent = 0;
        for number in cameras {
            for candidate in self.cameras[*number].waiting() {
                let (sender, number) = (sender.clone(), *number);
                ledger.append_then(candidate, Box::new(move |outcome| drop(sender.send((number, outcome)))));
                sent += 1;
            }
        }
        for (number, outcome) in outcomes.iter().take(sent) {
            match outcome {
                Ok(admission) => self.acknowledge(&ledger, number, admission),
                Err(LedgerError::Stopped(_)) => assert!(self.disk.is_broken(), "the writer stopped on a disk that works"),
                Err(error) => panic!("a good statement was refused: {error}"),
            }
        }
    }

    fn acknowledge(&mut self, ledger: &Ledger, camera: usize, admission: Admission) {
        assert_eq!(self.log().verify(&admission.checkpoint).expect("its checkpoint verifies"), admission.head);
        assert!(admission.head.size > admission.place.index, "acknowledged without a checkpoint that covers it");
        match ledger.receipt(admission.place.index) {
            Ok(receipt) => {
                let receipt = LogProof::parse(&receipt.expect("an acknowledged entry has a receipt")).expect("a receipt parses");
                receipt.verify(&admission.place.leaf, &self.log()).expect("a receipt verifies");
            }
            Err(error) => assert!(self.disk.is_broken(), "no receipt from a ledger that works: {error}"),
        }
        self.cameras[camera].acknowledge(admission);
    }

    fn resend(&mut self, camera: usize) {
        let ledger = self.ledger();
        for (candidate, first) in &self.cameras[camera].acknowledged {
            match ledger.append(candidate.clone()) {
                Ok(again) => assert_eq!((again.place, again.new), (first.place, false), "a statement was counted twice"),
                Err(error) => panic!("what is there was refused: {error}"),
            }
        }
    }

    fn contradict(&mut self, camera: usize) {
        if let Some(other) = self.cameras[camera].contradiction() {
            let outcome = self.ledger().append(other);
            assert!(matches!(outcome, Err(LedgerError::Refused(Refusal::Contradiction { .. }))), "one place got a second meaning");
        }
    }

    fn ask_witness(&mut self) {
        let ledger = self.ledger();
        let Some((note, head)) = ledger.checkpoint() else { return };
        let old_size = self.witness.as_ref().map_or(0, |latest| latest.size);
        let proof = ledger.consistency(old_size, head.size).expect("it runs").unwrap_or_else(|| panic!("the log is behind its witness"));
        let request = AddCheckpoint { old_size, proof, checkpoint: note.as_ref().to_owned() };
        let request = AddCheckpoint::parse(&request.to_text()).expect("a request parses");
        let cosigned = request.judge(&self.log(), self.witness.as_ref()).unwrap_or_else(|refusal| panic!("the witness refuses: {refusal}"));
        self.witness = Some(cosigned);
        self.summary.witnessed += 1;
    }

    fn observe(&mut self, client: usize) {
        let ledger = self.ledger();
        let Some((_, head)) = ledger.checkpoint() else { return };
        if let Some(last) = self.clients[client].replace(head.clone()) {
            let path = ledger.consistency(last.size, head.size).expect("it runs").unwrap_or_else(|| panic!("the log is behind a client"));
            verify_consistency(last.size, &last.root, head.size, &head.root, &path).expect("a client has seen a fork");
        }
    }

    fn restart(&mut self) {
        self.ledger = None;
        self.start();
    }

    fn start(&mut self) {
        self.disk = Arc::default();
        let opened = Ledger::open_on(&self.folder(), self.options(), self.disk.clone());
        self.ledger = Some(opened.unwrap_or_else(|error| panic!("it does not start: {error}")));
    }

    fn copy(&mut self) {
        self.ledger = None;
        let _ = fs::remove_dir_all(self.path("copy"));
        copy(&self.folder(), &self.path("copy"));
        self.start();
    }

    fn roll_back(&mut self) {
        if !self.path("copy").exists() {
            return;
        }
        self.ledger = None;
        let (old, newest) = (LedgerFolder::open(&self.path("copy")).expect("a copy opens"), self.path("newest"));
        let is_older = old.size().expect("it has a tree") < self.sealed().read().expect("a seal reads").map_or(0, |head| head.size);
        drop(old);
        fs::rename(self.folder(), &newest).expect("a folder can be renamed");
        copy(&self.path("copy"), &self.folder());
        if is_older {
            let refused = Ledger::open_on(&self.folder(), self.options(), Arc::new(BreakingDisk::default()));
            assert!(matches!(refused, Err(LedgerError::Behind(_))), "a rollback went unnoticed");
            self.summary.refused += 1;
        }
        fs::remove_dir_all(self.folder()).expect("a folder can be removed");
        fs::rename(newest, self.folder()).expect("a folder can be renamed");
        self.start();
    }

    fn back_up(&mut self) {
        self.backups += 1;
        let to = self.path(&format!("backup-{}", self.backups));
        self.ledger().backup(&to).unwrap_or_else(|error| panic!("no backup: {error}"));
    }

    /// The mirror is the lost folder itself, of which only what hashes right is taken.
    fn restore(&mut self) {
        if self.backups == 0 || self.ledger().checkpoint().is_none() {
            return;
        }
        let (note, _) = self.ledger().checkpoint().expect("there is one");
        self.ledger = None;
        let mirror = self.path("mirror");
        let _ = fs::remove_dir_all(&mirror);
        fs::rename(self.folder(), &mirror).expect("a folder can be renamed");
        copy(&self.path(&format!("backup-{}", self.backups)), &self.folder());
        let source = LedgerFolder::open(&mirror).expect("a mirror opens");
        let sources: [&dyn Source; 1] = [&source];
        let restored = rebuild(&self.folder(), self.options(), &note, &sources, &mut Reader);
        drop(restored.unwrap_or_else(|error| panic!("not restored: {error}")));
        self.summary.restored += 1;
        self.start();
    }

    fn fsck(&mut self) {
        let stop = AtomicBool::new(false);
        let fsck =
            Fsck { log: self.log(), owner: &Reader, threads: 2, bytes_per_s: None, state_file: None, progress: &|_| {}, stop: &stop };
        let report = fsck.run(&self.folder()).unwrap_or_else(|error| panic!("fsck can not check: {error}"));
        assert!(report.is_complete && report.damages.is_empty(), "damaged: {:?}", report.damages);
    }

    fn ledger(&self) -> Ledger {
        self.ledger.clone().expect("it is open between operations")
    }

    fn path(&self, name: &str) -> PathBuf {
        self.root.path().join(name)
    }

    fn folder(&self) -> PathBuf {
        self.path("ledger")
    }

    fn sealed(&self) -> SealedFile {
        SealedFile::new(&self.path("seal"), self.log())
    }

    fn signers(&self) -> Vec<Arc<dyn NoteSigner>> {
        let inner = Ed25519NoteSigner::new(ORIGIN, &Zeroizing::new([1; 32])).expect("a seed makes a key");
        vec![Arc::new(RecordingSigner { inner, signed: self.signed.clone() })]
    }

    fn log(&self) -> LogVerifier {
        LogVerifier { origin: ORIGIN.to_owned(), keys: self.signers().iter().map(|signer| signer.verifier_key().clone()).collect() }
    }

    fn options(&self) -> Options {
        let clock_s = self.clock_s.clone();
        Options {
            origin: ORIGIN.to_owned(),
            signers: self.signers(),
            clock: Arc::new(move || clock_s.load(Ordering::SeqCst)),
            batch_entries_max: 8,
            seals: vec![Arc::new(self.sealed())],
        }
    }
}

impl Default for World {
    fn default() -> Self {
        Self::new()
    }
}

/// Reads the cameras' entries.
struct Reader;

impl Owner for Reader {
    fn claim(&self, entry: &[u8]) -> Result<Claim, String> {
        let (stream, seq) = read(entry).ok_or("no camera has made it")?;
        let candidate = candidate(&stream, seq, prev_of(&stream, seq), entry.to_vec());
        Ok(Claim { stream, seq, prev: candidate.prev, identity: candidate.identity })
    }

    fn inspect(&self, _: u64, _: &[u8], _: &mut Vec<Damage>) -> u64 {
        0
    }
}

impl Describe for Reader {
    fn describe(&mut self, _: &Ledger, _: u64, entries: &[Vec<u8>]) -> Result<Vec<Candidate>, String> {
        let described = entries.iter().map(|entry| {
            let (stream, seq) = read(entry)?;
            Some(candidate(&stream, seq, prev_of(&stream, seq), entry.clone()))
        });
        described.collect::<Option<_>>().ok_or_else(|| "no camera has made it".to_owned())
    }

    fn progress(&mut self, _: u64, _: u64) {}
}

/// Keeps every text that it signs.
struct RecordingSigner {
    inner: Ed25519NoteSigner,
    signed: Arc<Mutex<Vec<String>>>,
}

impl NoteSigner for RecordingSigner {
    fn verifier_key(&self) -> &VerifierKey {
        self.inner.verifier_key()
    }

    fn sign(&self, text: &str, unix_s: u64) -> Result<Vec<u8>, NoteError> {
        self.signed.lock().expect("nobody panics with the lock").push(text.to_owned());
        self.inner.sign(text, unix_s)
    }
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

const ORIGIN: &str = "simulated.example/log";
/// Enough for entries of several to share batches.
pub const CAMERAS: usize = 4;
/// Who look now and then.
pub const CLIENTS: usize = 3;

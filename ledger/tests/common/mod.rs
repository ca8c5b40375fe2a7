//! What the tests of the ledger share: a log's keys, chains of candidates, and the oracle that re-verifies a whole ledger.
#![allow(clippy::unwrap_used, dead_code)]

use std::collections::BTreeMap;
use std::io::Write;
use std::path::Path;
use std::sync::{Arc, Mutex};

use exhibit_ledger::{Admission, AwsLcMlDsa44NoteSigner, Candidate, Ledger, LedgerError, Options, SealedFile};
use exhibit_tlog::tile::{BundleId, TileId, decode_bundle};
use exhibit_tlog::{
    Checkpoint, Ed25519NoteSigner, Hash, HashReader, LogProof, LogVerifier, NoteError, NoteSigner, VerifierKey, leaf_hash, root_at,
    root_of, verify_consistency,
};
use zeroize::Zeroizing;

pub const ORIGIN: &str = "ledger.example.org/test";
/// Signatures are dated so: 2026-11-20.
const UNIX_S: u64 = 1_795_132_800;

/// Both keys of a log, from a seed; as an appliance signs.
pub fn signers(seed: u8) -> Vec<Arc<dyn NoteSigner>> {
    vec![
        Arc::new(Ed25519NoteSigner::new(ORIGIN, &Zeroizing::new([seed; 32])).unwrap()),
        Arc::new(AwsLcMlDsa44NoteSigner::new(ORIGIN, &Zeroizing::new([seed; 32])).unwrap()),
    ]
}

pub fn options() -> Options {
    Options { origin: ORIGIN.into(), signers: signers(1), clock: Arc::new(|| UNIX_S), batch_entries_max: 256, seals: vec![] }
}

/// With the head sealed in this file.
pub fn sealed_options(seal: &Path) -> Options {
    Options { seals: vec![Arc::new(SealedFile::new(seal, verifier()))], ..options() }
}

pub fn verifier() -> LogVerifier {
    LogVerifier { origin: ORIGIN.into(), keys: signers(1).iter().map(|signer| signer.verifier_key().clone()).collect() }
}

pub fn open(folder: &Path) -> Ledger {
    Ledger::open(folder, options()).unwrap()
}

/// Makes candidates that follow each other.
#[derive(Clone)]
pub struct Chain {
    pub stream: String,
    pub seq: u64,
    pub prev: Hash,
}

impl Chain {
    pub fn new(stream: &str) -> Self {
        Self { stream: stream.into(), seq: 0, prev: Hash::default() }
    }

    /// Goes on where the ledger's chain ends.
    pub fn of(ledger: &Ledger, stream: &str) -> Self {
        match ledger.head(stream).unwrap() {
            Some(head) => Self { stream: head.stream, seq: head.next_seq, prev: head.leaf },
            None => Self::new(stream),
        }
    }

    /// The next candidate, of at least `length` bytes.
    pub fn next(&mut self, length: usize) -> Candidate {
        let mut entry = format!("{} {} ", self.stream, self.seq).into_bytes();
        entry.resize(length.max(entry.len()), b'.');
        let candidate = Candidate {
            stream: self.stream.clone(),
            seq: self.seq,
            prev: self.prev,
            identity: leaf_hash(format!("identity {} {}", self.stream, self.seq).as_bytes()),
            is_last: false,
            may_leap: false,
            annotations: vec![(format!("seq/{}/{:08}", self.stream, self.seq).into_bytes(), vec![])],
            entry,
        };
        self.seq += 1;
        self.prev = leaf_hash(&candidate.entry);
        candidate
    }
}

/// Waits for the outcomes of many candidates that are sent without waiting.
pub fn append_all(ledger: &Ledger, candidates: impl IntoIterator<Item = Candidate>) -> Vec<Result<Admission, LedgerError>> {
    let (sender, outcomes) = std::sync::mpsc::channel();
    let mut waiting = 0;
    let mut received = Vec::new();
    for candidate in candidates {
        // Below the queue's limit, so that nothing is refused as overload.
        while waiting - received.len() >= exhibit_ledger::QUEUE_CANDIDATES_MAX {
            received.push(outcomes.recv().unwrap());
        }
        let sender = sender.clone();
        let number: usize = waiting;
        ledger.append_then(candidate, Box::new(move |outcome| sender.send((number, outcome)).unwrap()));
        waiting += 1;
    }
    received.extend(outcomes.iter().take(waiting - received.len()));
    received.sort_by_key(|(number, _)| *number);
    received.into_iter().map(|(_, outcome)| outcome).collect()
}

/// Re-verifies everything that a ledger publishes, from the signed checkpoint down; gives the leaf hashes.
pub fn verify_all(ledger: &Ledger) -> Vec<Hash> {
    let Some((note, head)) = ledger.checkpoint() else {
        return Vec::new();
    };
    assert_eq!(verifier().verify(&note).unwrap(), head);
    let mut leaves = Vec::new();
    for index in 0..head.size {
        leaves.push(leaf_hash(&ledger.entry(index).unwrap().unwrap()));
    }
    assert_eq!(root_of(&leaves), head.root, "the signed root is not that of the entries");
    assert_eq!(ledger.entry(head.size).unwrap(), None);
    for (index, leaf) in leaves.iter().enumerate().step_by(7) {
        assert_eq!(ledger.index_of(leaf).unwrap(), Some(index as u64));
        let receipt = ledger.receipt(index as u64).unwrap().unwrap();
        assert_eq!(LogProof::parse(&receipt).unwrap().verify(leaf, &verifier()).unwrap(), head);
    }
    assert_eq!(root_at(&Tiles { ledger, size: head.size }, head.size).unwrap(), head.root, "the tiles do not lead to the root");
    assert_eq!(bundled_leaves(ledger, head.size), leaves);
    leaves
}

/// The leaf hashes of the entries in the bundles that a tree of `size` has.
pub fn bundled_leaves(ledger: &Ledger, size: u64) -> Vec<Hash> {
    let mut leaves = Vec::new();
    for index in 0..size.div_ceil(256) {
        let width = (size - index * 256).min(256) as u16;
        let bundle = ledger.bundle(BundleId { index, width }).unwrap().unwrap();
        leaves.extend(decode_bundle(&bundle, width).unwrap().iter().map(|entry| leaf_hash(entry)));
    }
    leaves
}

/// Reads hashes as a client of the tiles does that a tree of `size` has.
pub struct Tiles<'a> {
    pub ledger: &'a Ledger,
    pub size: u64,
}

impl HashReader for Tiles<'_> {
    type Error = String;

    fn hash(&self, tree_level: u8, position: u64) -> Result<Hash, String> {
        let (level, height) = (tree_level / 8, tree_level % 8);
        let first = position << height;
        let (index, start) = (first / 256, (first % 256) as usize);
        let width = ((self.size >> (8 * level)) - index * 256).min(256) as u16;
        let tile = self.ledger.tile(TileId { level, index, width }).map_err(|error| error.to_string())?;
        let tile = tile.ok_or_else(|| format!("no tile {level}/{index} of width {width}"))?;
        let (hashes, rest) = tile.as_chunks::<32>();
        assert_eq!((hashes.len(), rest.len()), (usize::from(width), 0), "a tile has another width than asked for");
        Ok(root_of(&hashes[start..start + (1 << height)].iter().copied().map(Hash).collect::<Vec<_>>()))
    }
}

/// Every head of `heads` must have been signed over a prefix of the same tree.
pub fn check_consistent(ledger: &Ledger, heads: &[Checkpoint]) {
    for pair in heads.windows(2) {
        let [old, new] = pair else { unreachable!("windows of two") };
        let path = ledger.consistency(old.size, new.size).unwrap().expect("both sizes were published");
        verify_consistency(old.size, &old.root, new.size, &new.root, &path).expect("two published heads are inconsistent");
        assert_eq!(ledger.root_at(old.size).unwrap(), Some(old.root));
    }
}

/// What a process said of its admissions (see `say`) before it ended.
#[derive(Default)]
pub struct Acknowledged {
    pub lines: u64,
    pub leaves: BTreeMap<u64, Hash>,
    pub heads: BTreeMap<u64, Hash>,
}

impl Acknowledged {
    /// Reads a whole line; others than acknowledgements are passed over.
    pub fn read_line(&mut self, line: &str) {
        let Some(text) = line.strip_prefix("acknowledged ") else {
            return;
        };
        let fields: Vec<&str> = text.split(' ').collect();
        let [index, leaf, size, root] = fields[..] else { panic!("{text}") };
        let leaf = Hash::from_hex(leaf).unwrap();
        assert_eq!(*self.leaves.entry(index.parse().unwrap()).or_insert(leaf), leaf, "one place for two entries");
        let root = Hash::from_hex(root).unwrap();
        assert_eq!(*self.heads.entry(size.parse().unwrap()).or_insert(root), root, "two roots of one size: a fork");
        self.lines += 1;
    }

    /// All of it is there, and every head that was told is a part of the tree; gives the leaf hashes.
    pub fn check(&self, ledger: &Ledger, what: &str) -> Vec<Hash> {
        let leaves = verify_all(ledger);
        for (index, leaf) in &self.leaves {
            assert_eq!(leaves.get(*index as usize), Some(leaf), "{what}: acknowledged entry {index} is lost");
        }
        let heads = self.heads.iter().map(|(size, root)| Checkpoint { origin: ORIGIN.to_owned(), size: *size, root: *root });
        let heads: Vec<Checkpoint> = heads.chain(ledger.checkpoint().map(|(_, head)| head)).collect();
        check_consistent(ledger, &heads);
        leaves
    }
}

/// One line in one write, so that a kill leaves whole lines.
pub fn say(admission: &Admission) {
    let (place, head) = (&admission.place, &admission.head);
    let line = format!("\nacknowledged {} {} {} {}\n", place.index, place.leaf, head.size, head.root);
    std::io::stdout().lock().write_all(line.as_bytes()).unwrap();
}

/// Signs so many times, then fails.
pub struct FailingSigner {
    inner: Arc<dyn NoteSigner>,
    after: Mutex<u32>,
}

impl FailingSigner {
    pub fn new(inner: Arc<dyn NoteSigner>, times: u32) -> Self {
        Self { inner, after: Mutex::new(times) }
    }
}

impl NoteSigner for FailingSigner {
    fn verifier_key(&self) -> &VerifierKey {
        self.inner.verifier_key()
    }

    fn sign(&self, text: &str, unix_s: u64) -> Result<Vec<u8>, NoteError> {
        let mut after = self.after.lock().unwrap();
        *after = after.checked_sub(1).ok_or(NoteError::Malformed("the token was removed"))?;
        self.inner.sign(text, unix_s)
    }
}

/// Copies what is in a folder.
pub fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for file in std::fs::read_dir(from).unwrap().map(Result::unwrap) {
        if file.file_type().unwrap().is_dir() {
            copy(&file.path(), &to.join(file.file_name()));
        } else {
            std::fs::copy(file.path(), to.join(file.file_name())).unwrap();
        }
    }
}

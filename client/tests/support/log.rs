//! An append-only log in memory, with the keys that sign it.

use std::convert::Infallible;

use base64ct::{Base64, Encoding};
use exhibit_evidence::{Head, exchange::EntryRecord};
use exhibit_tlog::{
    Checkpoint, EMPTY_ROOT, Ed25519NoteSigner, Hash, HashReader, LogProof, LogVerifier, MlDsa44NoteSigner, NoteSigner, leaf_hash,
    prove_consistency, prove_inclusion, root_of,
    tile::{TileId, encode_tile, tile_exists},
};
use zeroize::Zeroizing;

pub const ORIGIN: &str = "city.example/log/1";
/// Of the log that is said to go on.
pub const NEXT_ORIGIN: &str = "city.example/log/2";

/// An append-only log in memory.
pub struct Log {
    pub entries: Vec<Vec<u8>>,
    origin: String,
    ed25519: Ed25519NoteSigner,
    ml_dsa: MlDsa44NoteSigner,
    /// Which keys sign.
    pub signs_with_both: bool,
}

struct Leaves(Vec<Hash>);

impl HashReader for Leaves {
    type Error = Infallible;
    fn hash(&self, level: u8, index: u64) -> Result<Hash, Infallible> {
        let first = usize::try_from(index << level).unwrap();
        Ok(root_of(&self.0[first..first + (1 << level)]))
    }
}

impl Log {
    pub fn new() -> Self {
        Self::with_keys(60)
    }

    pub fn with_keys(seed: u8) -> Self {
        Self::named(ORIGIN, seed)
    }

    pub fn named(origin: &str, seed: u8) -> Self {
        Self {
            entries: Vec::new(),
            origin: origin.to_owned(),
            ed25519: Ed25519NoteSigner::new(origin, &Zeroizing::new([seed; 32])).unwrap(),
            ml_dsa: MlDsa44NoteSigner::new(origin, &Zeroizing::new([seed + 1; 32])).unwrap(),
            signs_with_both: true,
        }
    }

    pub fn verifier(&self) -> LogVerifier {
        LogVerifier { origin: self.origin.clone(), keys: vec![self.ed25519.verifier_key().clone(), self.ml_dsa.verifier_key().clone()] }
    }

    fn leaves(&self) -> Leaves {
        Leaves(self.entries.iter().map(|entry| leaf_hash(entry)).collect())
    }

    pub fn size(&self) -> u64 {
        self.entries.len() as u64
    }

    pub fn head(&self) -> Head {
        let leaves = self.leaves().0;
        Head { size: self.size(), root: if leaves.is_empty() { EMPTY_ROOT } else { root_of(&leaves) } }
    }

    pub fn checkpoint(&self) -> String {
        self.checkpoint_for(&self.origin)
    }

    pub fn checkpoint_for(&self, origin: &str) -> String {
        let head = self.head();
        let signers: &[&dyn NoteSigner] = if self.signs_with_both { &[&self.ed25519, &self.ml_dsa] } else { &[&self.ed25519] };
        Checkpoint { origin: origin.into(), size: head.size, root: head.root }.sign(signers, 1_790_000_000).unwrap()
    }

    pub fn receipt(&self, index: u64) -> LogProof {
        LogProof { index, path: prove_inclusion(&self.leaves(), index, self.size()).unwrap(), checkpoint: self.checkpoint() }
    }

    pub fn consistency(&self, old: u64) -> Vec<String> {
        if old > self.size() {
            return Vec::new();
        }
        prove_consistency(&self.leaves(), old, self.size()).unwrap().iter().map(Hash::to_base64).collect()
    }

    pub fn record(&self, index: u64) -> EntryRecord {
        let entry = Base64::encode_string(&self.entries[usize::try_from(index).unwrap()]);
        EntryRecord { index, entry, receipt: self.receipt(index).to_text(), is_final: true }
    }

    pub fn tile(&self, path: &str) -> Option<Vec<u8>> {
        let id = TileId::parse(path).ok()?;
        if !tile_exists(id, self.size()) {
            return None;
        }
        let leaves = self.leaves();
        let first = id.index * 256;
        let hashes: Vec<Hash> = (first..first + u64::from(id.width)).map(|index| leaves.hash(id.level * 8, index).unwrap()).collect();
        Some(encode_tile(&hashes))
    }
}

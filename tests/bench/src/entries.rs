//! Candidates for a ledger, and a load that keeps its queue full.
//!
//! It does not measure.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread::Thread;
use std::time::Duration;

use exhibit_ledger::{AwsLcMlDsa44NoteSigner, Candidate, Ledger, Options, QUEUE_CANDIDATES_MAX};
use exhibit_tlog::{Ed25519NoteSigner, Hash, leaf_hash};
use zeroize::Zeroizing;

use crate::Failure;
use crate::noise::Noise;

/// The log's name.
pub const ORIGIN: &str = "bench.example/log/1";
/// Bytes of an entry: a signed segment statement has about so many.
pub const ENTRY_BYTES: usize = 1024;
/// As the appliance is configured unless it is told otherwise.
const BATCH_ENTRIES_MAX: usize = 1024;
/// Chains that grow beside each other.
const CAMERAS: usize = 64;

/// A ledger as the appliance opens it.
pub fn options() -> Result<Options, Failure> {
    let seed = |byte: u8| Zeroizing::new([byte; 32]);
    let signers: [Arc<dyn exhibit_tlog::NoteSigner>; 2] =
        [Arc::new(Ed25519NoteSigner::new(ORIGIN, &seed(21))?), Arc::new(AwsLcMlDsa44NoteSigner::new(ORIGIN, &seed(22))?)];
    let clock = || std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).map_or(0, |since| since.as_secs());
    Ok(Options {
        origin: ORIGIN.to_owned(),
        signers: signers.into(),
        clock: Arc::new(clock),
        batch_entries_max: BATCH_ENTRIES_MAX,
        seals: Vec::new(),
    })
}

/// One who makes entries that follow each other.
pub struct Camera {
    stream: String,
    seq: u64,
    prev: Hash,
    noise: Noise,
}

impl Camera {
    /// The entries of all cameras in turn, without end.
    pub fn fleet() -> impl Iterator<Item = Candidate> {
        Self::fleet_since(0)
    }

    /// The same after so many restarts: each camera has begun a new chain.
    pub fn fleet_since(restarts: usize) -> impl Iterator<Item = Candidate> {
        let camera = |number: usize| Self {
            stream: format!("camera/{number}/main/{restarts}"),
            seq: 0,
            prev: Hash::default(),
            noise: Noise((restarts * CAMERAS + number) as u64 + 1),
        };
        let mut cameras: Vec<_> = (0..CAMERAS).map(camera).collect();
        (0..CAMERAS).cycle().map(move |number| cameras[number].next())
    }

    fn next(&mut self) -> Candidate {
        let entry = self.noise.bytes(ENTRY_BYTES);
        let leaf = leaf_hash(&entry);
        let candidate = Candidate {
            stream: self.stream.clone(),
            seq: self.seq,
            prev: self.prev,
            identity: leaf,
            entry,
            annotations: Vec::new(),
            is_last: false,
            may_leap: false,
        };
        self.seq += 1;
        self.prev = leaf;
        candidate
    }
}

/// Keeps candidates under way, and no more than are not refused as overload.
pub struct Load {
    ledger: Ledger,
    under_way_max: usize,
    under_way: Arc<AtomicUsize>,
    refused: Arc<AtomicUsize>,
}

impl Load {
    /// With the queue full.
    pub fn new(ledger: Ledger) -> Self {
        Self::with_at_most(ledger, QUEUE_CANDIDATES_MAX)
    }

    /// With so many candidates that wait for their answer.
    pub fn with_at_most(ledger: Ledger, under_way_max: usize) -> Self {
        Self { ledger, under_way_max, under_way: Arc::default(), refused: Arc::default() }
    }

    /// Returns when all were admitted.
    pub fn all(self, candidates: impl IntoIterator<Item = Candidate>) -> Result<(), Failure> {
        let waiter = std::thread::current();
        for candidate in candidates {
            self.wait_below(self.under_way_max);
            self.append(candidate, &waiter);
        }
        self.wait_below(1);
        match self.refused.load(Ordering::SeqCst) {
            0 => Ok(()),
            refused => Err(format!("{refused} entries were refused").into()),
        }
    }

    fn append(&self, candidate: Candidate, waiter: &Thread) {
        let (under_way, refused, waiter) = (self.under_way.clone(), self.refused.clone(), waiter.clone());
        let half = self.under_way_max / 2;
        under_way.fetch_add(1, Ordering::SeqCst);
        let done = move |outcome: Result<_, _>| {
            refused.fetch_add(usize::from(outcome.is_err()), Ordering::SeqCst);
            let left = under_way.fetch_sub(1, Ordering::SeqCst) - 1;
            if left == 0 || left == half {
                waiter.unpark();
            }
        };
        self.ledger.append_then(candidate, Box::new(done));
    }

    fn wait_below(&self, limit: usize) {
        while self.under_way.load(Ordering::SeqCst) >= limit {
            std::thread::park_timeout(Duration::from_millis(1));
        }
    }
}

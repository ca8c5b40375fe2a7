//! A camera as the ledger sees one: a chain of statements, spooled until they are acknowledged.
//!
//! It does not know video.

use std::collections::VecDeque;

use exhibit_ledger::{Admission, Candidate};
use exhibit_tlog::{Hash, leaf_hash};

/// One camera.
pub struct Camera {
    stream: String,
    seq: u64,
    prev: Hash,
    spool: VecDeque<Candidate>,
    /// What was acknowledged, in order.
    pub acknowledged: Vec<(Candidate, Admission)>,
}

impl Camera {
    /// A new camera.
    pub fn new(number: usize) -> Self {
        Self { stream: format!("camera/{number}"), seq: 0, prev: Hash::default(), spool: VecDeque::new(), acknowledged: Vec::new() }
    }

    /// Makes the next statement.
    pub fn record(&mut self) {
        let candidate = candidate(&self.stream, self.seq, self.prev, format!("{} {}", self.stream, self.seq).into_bytes());
        self.prev = leaf_hash(&candidate.entry);
        self.seq += 1;
        self.spool.push_back(candidate);
    }

    /// Everything that waits, oldest first.
    pub fn waiting(&self) -> Vec<Candidate> {
        self.spool.iter().cloned().collect()
    }

    /// The oldest that waits is on the ledger.
    pub fn acknowledge(&mut self, admission: Admission) {
        let candidate = self.spool.pop_front().expect("only what was sent is acknowledged");
        assert_eq!(admission.place.leaf, leaf_hash(&candidate.entry), "a receipt for another entry");
        self.acknowledged.push((candidate, admission));
    }

    /// What somebody with its key could sign for a place that is taken.
    pub fn contradiction(&self) -> Option<Candidate> {
        let (first, _) = self.acknowledged.first()?;
        let mut other = candidate(&self.stream, first.seq, first.prev, b"another story".to_vec());
        other.identity = leaf_hash(b"another story");
        Some(other)
    }
}

/// The candidate that an entry is.
pub fn candidate(stream: &str, seq: u64, prev: Hash, entry: Vec<u8>) -> Candidate {
    let identity = leaf_hash(&[b"identity of ", &entry[..]].concat());
    Candidate {
        stream: stream.to_owned(),
        seq,
        prev,
        identity,
        entry,
        is_last: false,
        annotations: vec![(stream.as_bytes().to_vec(), seq.to_be_bytes().to_vec())],
    }
}

/// Stream and seq of an entry that `record` made.
pub fn read(entry: &[u8]) -> Option<(String, u64)> {
    let (stream, seq) = str::from_utf8(entry).ok()?.split_once(' ')?;
    Some((stream.to_owned(), seq.parse().ok()?))
}

/// The leaf hash that an entry of that place follows.
pub fn prev_of(stream: &str, seq: u64) -> Hash {
    seq.checked_sub(1).map_or(Hash::default(), |before| leaf_hash(format!("{stream} {before}").as_bytes()))
}

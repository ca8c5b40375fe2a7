//! A camera as a log sees one: a chain of statements in each log, spooled until they are acknowledged.
//!
//! It does not know video.

use std::collections::VecDeque;

use exhibit_ledger::{Admission, Candidate};
use exhibit_tlog::{Hash, leaf_hash};

/// One camera.
pub struct Camera {
    number: usize,
    /// Of the chain, which is named after the log that it is for.
    log: usize,
    seq: u64,
    prev: Hash,
    recorded: u64,
    spool: VecDeque<Statement>,
    /// What was acknowledged, in order.
    pub acknowledged: Vec<Acknowledged>,
}

/// What a camera has made of something that it recorded.
#[derive(Clone, Debug)]
struct Statement {
    recording: u64,
    candidate: Candidate,
}

/// What a camera holds of a statement that is on a log.
pub struct Acknowledged {
    /// The number of the log.
    pub log: usize,
    /// Which of the camera's recordings it is of.
    pub recording: u64,
    /// What was sent.
    pub candidate: Candidate,
    /// What came back.
    pub admission: Admission,
    /// The receipt, unless the ledger broke in this moment.
    pub receipt: Option<String>,
}

impl Camera {
    /// A new camera, that sends to the first log.
    pub fn new(number: usize) -> Self {
        Self { number, log: 0, seq: 0, prev: Hash::default(), recorded: 0, spool: VecDeque::new(), acknowledged: Vec::new() }
    }

    /// Makes the next statement.
    pub fn record(&mut self) {
        self.recorded += 1;
        self.state(self.recorded - 1);
    }

    fn state(&mut self, recording: u64) {
        let candidate = candidate(&format!("camera/{}/{}", self.number, self.log), self.seq, self.prev, &recording.to_string());
        self.prev = leaf_hash(&candidate.entry);
        self.seq += 1;
        self.spool.push_back(Statement { recording, candidate });
    }

    /// Everything that waits, oldest first.
    pub fn waiting(&self) -> Vec<Candidate> {
        self.spool.iter().map(|statement| statement.candidate.clone()).collect()
    }

    /// The oldest that waits is on the ledger.
    pub fn acknowledge(&mut self, admission: Admission, receipt: Option<String>) {
        let Statement { recording, candidate } = self.spool.pop_front().expect("only what was sent is acknowledged");
        assert_eq!(admission.place.leaf, leaf_hash(&candidate.entry), "a receipt for another entry");
        self.acknowledged.push(Acknowledged { log: self.log, recording, candidate, admission, receipt });
    }

    /// Begins a chain in the next log with what was not acknowledged, and before that with `again`: recordings whose statements are lost.
    pub fn go_on_in(&mut self, log: usize, again: &[u64]) {
        let waiting: Vec<u64> = self.spool.drain(..).map(|statement| statement.recording).collect();
        (self.log, self.seq, self.prev) = (log, 0, Hash::default());
        again.iter().chain(&waiting).for_each(|recording| self.state(*recording));
    }

    /// How many things it has recorded.
    pub fn recorded(&self) -> u64 {
        self.recorded
    }

    /// What somebody with its key could sign for a place that is taken.
    pub fn contradiction(&self) -> Option<Candidate> {
        let first = &self.acknowledged.iter().find(|acknowledged| acknowledged.log == self.log)?.candidate;
        Some(candidate(&first.stream, first.seq, first.prev, "another story"))
    }
}

/// A statement: the entry says all that its owner has to know.
pub fn candidate(stream: &str, seq: u64, prev: Hash, content: &str) -> Candidate {
    read(format!("{stream} {seq} {prev} {content}").as_bytes()).expect("it has the form that is read")
}

/// The candidate that an entry is.
pub fn read(entry: &[u8]) -> Option<Candidate> {
    let mut words = str::from_utf8(entry).ok()?.splitn(4, ' ');
    let (stream, seq, prev) = (words.next()?.to_owned(), words.next()?.parse().ok()?, Hash::from_hex(words.next()?)?);
    let content = words.next()?;
    Some(Candidate {
        annotations: vec![(stream.as_bytes().to_vec(), u64::to_be_bytes(seq).to_vec())],
        stream,
        seq,
        prev,
        identity: leaf_hash(&[b"identity of ", entry].concat()),
        entry: entry.to_vec(),
        is_last: content.starts_with(SUCCESSION),
        may_leap: false,
    })
}

/// How the content of a log's last entry begins.
pub const SUCCESSION: &str = "succession ";

/// Statements that nobody else makes, so many of them, each of a chain of its own.
pub fn other_story(count: usize) -> Vec<Candidate> {
    (0..count).map(|number| candidate(&format!("forger/{number}"), 0, Hash::default(), "another story")).collect()
}

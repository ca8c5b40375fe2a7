//! A camera as a log sees one: a chain of statements in each log, spooled until they are acknowledged. Where a log ends, what it did not get of a chain
//! goes to the next one, behind the chain's first statement.
//!
//! It does not know video.

use std::collections::{BTreeMap, VecDeque};

use exhibit_ledger::{Admission, Candidate};
use exhibit_tlog::{Hash, leaf_hash};

/// One camera.
pub struct Camera {
    number: usize,
    /// What takes its statements. A chain is named after the log that it was begun for.
    log: usize,
    /// Of the chain that was begun for this log.
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

impl Acknowledged {
    fn statement(&self) -> Statement {
        Statement { recording: self.recording, candidate: self.candidate.clone() }
    }
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
        let candidate = candidate(&format!("camera/{}/{}", self.number, self.log), self.seq, self.prev, &recording.to_string(), self.log);
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

    /// Goes on in the next log: with what was not acknowledged, and with recordings whose statements are lost (`again`), the same statements, each chain
    /// behind its first one. What is recorded from now on begins a new chain.
    pub fn go_on_in(&mut self, log: usize, again: &[u64]) {
        let is_lost = |acknowledged: &&Acknowledged| acknowledged.log == self.log && again.contains(&acknowledged.recording);
        let lost = self.acknowledged.iter().filter(is_lost).map(Acknowledged::statement);
        let mut chains: Vec<(String, BTreeMap<u64, Statement>)> = Vec::new();
        for statement in lost.chain(self.spool.iter().cloned()) {
            let stream = statement.candidate.stream.clone();
            let position = chains.iter().position(|(name, _)| *name == stream).unwrap_or_else(|| {
                chains.push((stream, BTreeMap::new()));
                chains.len() - 1
            });
            chains[position].1.insert(statement.candidate.seq, statement);
        }
        let begins = |stream: &str| {
            let first = self.acknowledged.iter().find(|first| first.candidate.stream == stream && first.candidate.seq == 0);
            first.expect("a chain whose first statement does not wait was acknowledged").statement()
        };
        for (stream, chain) in &mut chains {
            chain.entry(0).or_insert_with(|| begins(stream));
        }
        (self.log, self.seq, self.prev) = (log, 0, Hash::default());
        let statements = chains.into_iter().flat_map(|(_, chain)| chain.into_values());
        self.spool = statements.map(|statement| Statement { candidate: of_log(statement.candidate, log), ..statement }).collect();
    }

    /// How many things it has recorded.
    pub fn recorded(&self) -> u64 {
        self.recorded
    }

    /// What somebody with its key could sign for a place that is taken.
    pub fn contradiction(&self) -> Option<Candidate> {
        let first = &self.acknowledged.iter().find(|acknowledged| acknowledged.log == self.log)?.candidate;
        Some(candidate(&first.stream, first.seq, first.prev, "another story", self.log))
    }
}

/// A statement, sent to the log of that number: the entry says all that its owner has to know.
pub fn candidate(stream: &str, seq: u64, prev: Hash, content: &str, log: usize) -> Candidate {
    read(format!("{stream} {seq} {prev} {content}").as_bytes(), log).expect("it has the form that is read")
}

/// The same statement, sent to another log: the chain of a camera that was begun for one before may leap over what that has.
fn of_log(candidate: Candidate, log: usize) -> Candidate {
    let begun_for = candidate.stream.strip_prefix("camera/").and_then(|rest| rest.split_once('/')?.1.parse::<usize>().ok());
    Candidate { may_leap: candidate.seq > 1 && begun_for.is_some_and(|begun_for| begun_for < log), ..candidate }
}

/// The candidate that an entry on the log of that number is.
pub fn read(entry: &[u8], log: usize) -> Option<Candidate> {
    let mut words = str::from_utf8(entry).ok()?.splitn(4, ' ');
    let (stream, seq, prev) = (words.next()?.to_owned(), words.next()?.parse().ok()?, Hash::from_hex(words.next()?)?);
    let content = words.next()?;
    let candidate = Candidate {
        annotations: vec![(stream.as_bytes().to_vec(), u64::to_be_bytes(seq).to_vec())],
        stream,
        seq,
        prev,
        identity: leaf_hash(&[b"identity of ", entry].concat()),
        entry: entry.to_vec(),
        is_last: content.starts_with(SUCCESSION),
        may_leap: false,
    };
    Some(of_log(candidate, log))
}

/// How the content of a log's last entry begins.
pub const SUCCESSION: &str = "succession ";

/// Statements that nobody else makes, so many of them, each of a chain of its own.
pub fn other_story(count: usize) -> Vec<Candidate> {
    (0..count).map(|number| candidate(&format!("forger/{number}"), 0, Hash::default(), "another story", 0)).collect()
}

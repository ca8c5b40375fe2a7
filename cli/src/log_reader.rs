//! Reads an appliance's log lines batch by batch, in the order of the ledger, and says what does not fit together.
//!
//! It fetches nothing, and takes statements whose signatures were verified.

use std::collections::BTreeMap;
use std::fmt;

use exhibit_evidence::body::LogBatch;
use exhibit_evidence::log_lines;
use exhibit_pki::Timestamp;
use exhibit_tlog::Hash;
use serde_json::{Value, json};

/// What there is of a batch's lines.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Content {
    /// The content of the attachment, of the hash that was signed.
    Lines(Vec<u8>),
    /// The appliance has none of that hash.
    Missing,
    /// What the appliance gives is another.
    Altered,
    /// Nobody wants these.
    NotAsked,
}

/// What was read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// A line, verified.
    Line {
        /// Its number over all batches.
        number: u64,
        /// The entry that states its batch.
        index: u64,
        /// As it was written.
        text: String,
    },
    /// What does not fit.
    Finding(Finding),
}

/// What does not fit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// What kind.
    pub kind: Kind,
    /// The entry where it shows.
    pub index: u64,
    /// A sentence.
    pub detail: String,
}

/// What kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Lines that were stated, or must have been, are not there.
    Missing,
    /// What is there is not what was stated.
    Altered,
    /// A statement says that they were erased, and why.
    Erased,
    /// Batches are not in the order in which they were made.
    Reordered,
}

impl Kind {
    fn as_str(self) -> &'static str {
        match self {
            Self::Missing => "missing",
            Self::Altered => "altered",
            Self::Erased => "erased",
            Self::Reordered => "reordered",
        }
    }
}

impl Finding {
    /// An erasure that is on the ledger is a decision that somebody answers for.
    pub fn is_allowed(&self) -> bool {
        self.kind == Kind::Erased
    }
}

impl Event {
    /// A line of JSON.
    pub fn to_json(&self) -> Value {
        match self {
            Self::Line { number, index, text } => {
                let value = serde_json::from_str::<Value>(text).unwrap_or_else(|_| text.as_str().into());
                json!({ "event": "line", "number": number, "entry": index, "line": value })
            }
            Self::Finding(Finding { kind, index, detail }) => {
                json!({ "event": "finding", "kind": kind.as_str(), "entry": index, "detail": detail })
            }
        }
    }
}

impl fmt::Display for Event {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Line { number, text, .. } => write!(formatter, "{number} {text}"),
            Self::Finding(Finding { kind, index, detail }) => {
                write!(formatter, "{}: entry {index}: {detail}", kind.as_str().to_uppercase())
            }
        }
    }
}

/// How far it has read.
#[derive(Default)]
pub struct LogReader {
    next_batch: u64,
    next_line: u64,
    last: Option<Timestamp>,
    /// Batches without lines, by leaf: an erasure comes after.
    without: BTreeMap<Hash, (u64, String)>,
    erased: BTreeMap<Hash, u64>,
}

impl LogReader {
    /// The next batch on the ledger.
    pub fn batch(&mut self, index: u64, leaf: Hash, batch: &LogBatch, content: Content) -> Vec<Event> {
        let LogBatch { number, first, count, root, from, to, .. } = batch;
        let mut events = Vec::new();
        let mut find = |kind, detail: String| events.push(Event::Finding(Finding { kind, index, detail }));
        if *number > self.next_batch {
            find(Kind::Missing, format!("batches {} to {} are not on the ledger", self.next_batch, number - 1));
        } else if *number < self.next_batch {
            find(Kind::Reordered, format!("batch {number} stands behind batch {}", self.next_batch - 1));
        }
        if *first > self.next_line {
            find(Kind::Missing, format!("lines {} to {} are in no batch", self.next_line, first - 1));
        } else if *first < self.next_line {
            find(Kind::Reordered, format!("batch {number} begins with line {first}, and lines to {} were before it", self.next_line - 1));
        }
        if self.last.is_some_and(|last| *from < last) {
            find(
                Kind::Reordered,
                format!(
                    "batch {number} begins at {from}, before the end of the batch before it: a clock was set back, or they were exchanged"
                ),
            );
        }
        self.next_batch = self.next_batch.max(number.saturating_add(1));
        self.next_line = self.next_line.max(first.saturating_add(*count));
        self.last = self.last.max(Some(*to));
        let named = format!("{count} lines from {first} on (batch {number}, {from} to {to})");
        match content {
            Content::NotAsked => {}
            Content::Missing => drop(self.without.insert(leaf, (index, named))),
            Content::Altered => find(Kind::Altered, format!("{named}: what the appliance has is not what it stated")),
            Content::Lines(content) => match log_lines::decode(&content) {
                Ok(lines) if lines.len() as u64 == *count && log_lines::root(&lines) == *root => {
                    let line = |(number, line): (u64, &log_lines::LogLine<'_>)| Event::Line { number, index, text: line.text.to_owned() };
                    events.extend((*first..).zip(&lines).map(line));
                }
                Ok(_) => find(Kind::Altered, format!("{named}: they do not make the root or the count that was stated")),
                Err(error) => find(Kind::Altered, format!("{named}: {error}")),
            },
        }
        events
    }

    /// A statement that says what was erased.
    pub fn erased(&mut self, index: u64, entries: impl Iterator<Item = Hash>) {
        self.erased.extend(entries.map(|entry| (entry, index)));
    }

    /// What is known only at the end: of batches without lines, whether a statement has erased them.
    pub fn end(&mut self) -> Vec<Event> {
        let without = std::mem::take(&mut self.without);
        let mut findings: Vec<Finding> = without
            .into_iter()
            .map(|(leaf, (index, named))| match self.erased.get(&leaf) {
                Some(by) => Finding { kind: Kind::Erased, index, detail: format!("{named}: erased, as entry {by} states") },
                None => {
                    Finding { kind: Kind::Missing, index, detail: format!("{named}: the appliance has none, and no statement erased them") }
                }
            })
            .collect();
        findings.sort_by_key(|finding| finding.index);
        findings.into_iter().map(Event::Finding).collect()
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use exhibit_evidence::log_lines::LogLine;

    fn at(second: u64) -> Timestamp {
        Timestamp::from_unix_ms(second * 1000).unwrap()
    }

    /// Batch `number` with two lines, at that second.
    fn batch(number: u64, first: u64, second: u64) -> (LogBatch, Content) {
        let texts = [format!("{{\"n\":{first}}}"), "not json".to_owned()];
        let lines: Vec<LogLine<'_>> = texts.iter().map(|text| LogLine { salt: [number as u8; 32], text }).collect();
        let root = log_lines::root(&lines);
        let batch = LogBatch { number, first, count: 2, root, from: at(second), to: at(second), attachments: Vec::new() };
        (batch, Content::Lines(log_lines::encode(&lines).unwrap()))
    }

    /// The findings of three batches, each as it is or changed.
    fn read(change: impl Fn(&mut Vec<(LogBatch, Content)>), erased: &[u8]) -> (usize, Vec<(Kind, u64)>) {
        let mut batches: Vec<_> = (0..3).map(|number| batch(number, 2 * number, 10 + number)).collect();
        change(&mut batches);
        let mut reader = LogReader::default();
        let mut events = Vec::new();
        for (index, (batch, content)) in (100..).zip(batches) {
            events.extend(reader.batch(index, Hash([index as u8; 32]), &batch, content));
        }
        reader.erased(200, erased.iter().map(|entry| Hash([*entry; 32])));
        events.extend(reader.end());
        let lines = events.iter().filter(|event| matches!(event, Event::Line { .. })).count();
        let findings = events.into_iter().filter_map(|event| match event {
            Event::Finding(finding) => Some((finding.kind, finding.index)),
            Event::Line { .. } => None,
        });
        (lines, findings.collect())
    }

    #[test]
    fn what_is_whole_is_shown_whole() {
        assert_eq!(read(|_| (), &[]), (6, vec![]));
        let mut reader = LogReader::default();
        let (first, content) = batch(0, 0, 10);
        let events = reader.batch(7, Hash([0; 32]), &first, content);
        assert_eq!(events[0].to_json(), json!({ "event": "line", "number": 0, "entry": 7, "line": { "n": 0 } }));
        assert_eq!(events[1].to_json()["line"], "not json");
        assert_eq!(events[1].to_string(), "1 not json");
    }

    #[test]
    fn what_is_not_whole_is_named() {
        type Change = fn(&mut Vec<(LogBatch, Content)>);
        type Case = (&'static str, Change, usize, Vec<(Kind, u64)>);
        let cases: [Case; 11] = [
            ("a batch is left out", |batches| drop(batches.remove(1)), 4, vec![(Kind::Missing, 101), (Kind::Missing, 101)]),
            ("the first is left out", |batches| drop(batches.remove(0)), 4, vec![(Kind::Missing, 100), (Kind::Missing, 100)]),
            (
                "two are exchanged",
                |batches| batches.swap(1, 2),
                6,
                vec![(Kind::Missing, 101), (Kind::Missing, 101), (Kind::Reordered, 102), (Kind::Reordered, 102), (Kind::Reordered, 102)],
            ),
            ("one stands twice", |batches| batches.insert(1, batches[0].clone()), 8, vec![(Kind::Reordered, 101), (Kind::Reordered, 101)]),
            ("lines are in no batch", |batches| batches[2].0.first += 1, 6, vec![(Kind::Missing, 102)]),
            ("a clock went back", |batches| batches[2].0.from = at(5), 6, vec![(Kind::Reordered, 102)]),
            ("another root", |batches| batches[1].0.root = Hash([0; 32]), 4, vec![(Kind::Altered, 101)]),
            ("another count", |batches| batches[2].0.count = 3, 4, vec![(Kind::Altered, 102)]),
            ("no lines at all", |batches| batches[1].1 = Content::Lines(vec![1, 2, 3]), 4, vec![(Kind::Altered, 101)]),
            ("other bytes", |batches| batches[1].1 = Content::Altered, 4, vec![(Kind::Altered, 101)]),
            ("none are there", |batches| batches[1].1 = Content::Missing, 4, vec![(Kind::Missing, 101)]),
        ];
        for (what, change, lines, findings) in cases {
            assert_eq!(read(change, &[]), (lines, findings), "{what}");
        }
    }

    #[test]
    fn what_a_statement_erased_is_told_and_no_alarm() {
        let without: fn(&mut Vec<(LogBatch, Content)>) = |batches| batches[1].1 = Content::Missing;
        assert_eq!(read(without, &[101]), (4, vec![(Kind::Erased, 101)]));
        assert_eq!(read(without, &[100, 102]), (4, vec![(Kind::Missing, 101)]), "others were erased");
        let finding = |kind| Finding { kind, index: 0, detail: String::new() };
        assert!(finding(Kind::Erased).is_allowed());
        assert!([Kind::Missing, Kind::Altered, Kind::Reordered].into_iter().all(|kind| !finding(kind).is_allowed()));
    }

    #[test]
    fn what_nobody_asked_for_is_followed_all_the_same() {
        assert_eq!(read(|batches| batches[0].1 = Content::NotAsked, &[]), (4, vec![]));
        let gap: fn(&mut Vec<(LogBatch, Content)>) = |batches| {
            batches.remove(1);
            batches.iter_mut().for_each(|batch| batch.1 = Content::NotAsked);
        };
        assert_eq!(read(gap, &[]), (0, vec![(Kind::Missing, 101), (Kind::Missing, 101)]));
    }
}

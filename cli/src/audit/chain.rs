//! Streams: each is a chain without a hole, a fork, or anything after its end; and nobody has seen what comes later.

use exhibit_evidence::Body;
use exhibit_tlog::Hash;

use super::finding::{Finding, Kind};
use super::judge::{Candidate, Judge, Observation};
use super::memory::End;

impl Judge {
    /// A stream has no hole, no fork, and nothing after its end.
    pub(super) fn chain(&mut self, candidate: &Candidate<'_>, findings: &mut Vec<Finding>) {
        let obeyed = self.obeyed(candidate, findings);
        let statement = candidate.signed.statement();
        let stream = statement.stream.as_str();
        // What lies between may be what the log does not show.
        let behind = self.behind.as_mut().filter(|behind| behind.is_before(candidate.index));
        let may_lack = behind.is_some_and(|behind| behind.may_lack(stream));
        let age = self.memory.rest.age(&statement.log);
        let mut chain = |sentence: String| findings.push(Finding::of(Kind::Chain, candidate.index, sentence));
        let leaf = Hash::default().to_string().into();
        let beginning = End { next_seq: 0, leaf, observed: 0, age, issued_ms: 0, closed: false, obeyed: 0 };
        let before = self.memory.streams.get(stream).unwrap_or(&beginning);
        // Events come in streams of their own, which have no epoch.
        let has_epoch = statement.stream.kind() == "camera" && !statement.stream.series().ends_with("/events");
        if has_epoch && matches!(statement.body, Body::Epoch(_)) != (statement.seq == 0) {
            chain(format!("{stream} does not begin with its epoch, or begins twice."));
        }
        if before.closed {
            chain(format!("{stream} goes on after its close."));
        }
        match statement.seq.cmp(&before.next_seq) {
            std::cmp::Ordering::Less => chain(format!("Statement {} of {stream} is on the log twice.", statement.seq)),
            std::cmp::Ordering::Greater if may_lack => {}
            // What lies between is on the log before this one. What people and authorities stated is carried over whole.
            std::cmp::Ordering::Greater
                if before.next_seq == 1 && statement.log != self.anchor.log && statement.stream.kind() == "camera" => {}
            std::cmp::Ordering::Greater => {
                chain(format!("{stream} has a hole: statement {} comes where {} belongs.", statement.seq, before.next_seq));
            }
            std::cmp::Ordering::Equal if *statement.prev.to_string() != *before.leaf => {
                chain(format!("Statement {} of {stream} does not follow the one before it.", statement.seq));
            }
            std::cmp::Ordering::Equal => {}
        }
        if statement.seq < before.next_seq {
            // The chain goes on from where it was.
            return;
        }
        // A log that succeeds another begins anew, and who has gone on to it does not go back.
        let observed = if age == before.age { before.observed } else { 0 };
        let end = End {
            next_seq: statement.seq + 1,
            leaf: candidate.signed.leaf_hash().to_string().into(),
            observed: observed.max(statement.observed.size),
            age,
            issued_ms: statement.issued.unix_ms(),
            closed: matches!(statement.body, Body::Close(_)),
            obeyed: obeyed.unwrap_or(before.obeyed),
        };
        if age > before.age {
            findings.push(Finding::of(Kind::Observed, candidate.index, format!("The issuer of {stream} went back to a log before.")));
        } else if statement.observed.size < observed {
            findings.push(Finding::of(Kind::Observed, candidate.index, format!("What the issuer of {stream} has observed has shrunk.")));
        }
        self.memory.streams.insert(stream, end);
        self.memory.rest.issued_ms = self.memory.rest.issued_ms.max(statement.issued.unix_ms());
    }

    /// What the issuer has seen. Nobody sees what comes after.
    pub(super) fn observation(&self, candidate: &Candidate<'_>, findings: &mut Vec<Finding>) -> Option<Observation> {
        let statement = candidate.signed.statement();
        let head = statement.observed;
        if let Some(ended) = self.memory.rest.ended(&statement.log) {
            // What was smaller is that log's affair, and what lies beyond its end is lost.
            if head.size == ended.size && head.root.to_string() != ended.root {
                let sentence =
                    format!("The issuer has seen a log of {} entries that is not the one which ended so: two logs were shown.", head.size);
                findings.push(Finding::of(Kind::Observed, candidate.index, sentence));
            }
            return None;
        }
        if head.size == 0 {
            return None;
        }
        if head.size > candidate.index {
            let sentence = format!("The issuer says that it has seen a log of {} entries, which came after it.", head.size);
            findings.push(Finding::of(Kind::Observed, candidate.index, sentence));
            return None;
        }
        Some(Observation { index: candidate.index, head, note: None })
    }
}

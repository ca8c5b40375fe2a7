//! What is behind something that the log does not show: entries that are not served, or not those that were signed, and certificates that are not to be
//! had. It is judged all the same, as far as it does not hang on them; what does is undecided until they come.
//!
//! Nothing of this is kept: the next round begins at the bundle in which the first was not there.

use std::collections::HashSet;

use super::finding::{Finding, Kind};

/// Kinds of findings that an entry which is not there could take back: it may have introduced, decided, approved, granted or fetched.
const HANG_ON_OTHERS: [Kind; 4] = [Kind::ContradictionFalse, Kind::SecondCertificate, Kind::Recipients, Kind::Rights];

/// What was met behind something that is not there.
#[derive(Debug, Default)]
pub struct Behind {
    /// The first that is not there, or that attaches something which is not.
    from: u64,
    /// Streams of which something came since the last entry that is not there: what is missing of them since then is a hole.
    whole: HashSet<String>,
    /// Entries that hang on what is not there.
    pub undecided: u64,
}

impl Behind {
    /// Behind the entry at an index.
    pub fn new(from: u64) -> Self {
        Self { from, ..Self::default() }
    }

    /// Whether an entry comes behind what is not there, so that it may hang on it.
    pub fn is_before(&self, index: u64) -> bool {
        self.from < index
    }

    /// An entry is not there: it could have been of any stream.
    pub fn lacks_entry(&mut self) {
        self.whole.clear();
    }

    /// Something came of a stream. True if what lies between may be what is not there.
    pub fn may_lack(&mut self, stream: &str) -> bool {
        self.whole.insert(stream.to_owned())
    }

    /// Takes away what an entry that is not there could take back.
    pub fn decide(&mut self, findings: &mut Vec<Finding>, from: usize) {
        let of_entry = findings.split_off(from);
        let count = of_entry.len();
        findings.extend(of_entry.into_iter().filter(|finding| !HANG_ON_OTHERS.contains(&finding.kind)));
        self.undecided += u64::from(findings.len() < from + count);
    }
}

//! The verdict on a bundle: a vector of axes, each with the findings that made it; the headline is the worst axis.
//!
//! It does not know how anything is checked; `verify` fills it in.

mod kinds;

use std::fmt;

use exhibit_pki::Timestamp;
use serde::Serialize;

pub use kinds::FindingKind;

use crate::anchor::DeviceLevel;
use crate::shown::{printable, printable_json};

/// What is judged apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Axis {
    /// Statements are signed by whom they name, with certificates that were on the ledger before, and are on the ledger themselves.
    Signature,
    /// The chain of statements has no hole, and the interval asked for is covered.
    Continuity,
    /// Others have seen the same log.
    Witness,
    /// When it was sealed, on somebody else's word than the camera's.
    Time,
    /// No certificate was revoked at the time.
    Revocation,
    /// The camera's key is in an attested device.
    Device,
    /// The disclosed fragments are what the camera sealed.
    Payload,
}

/// How an axis, and so the whole, stands. From best to worst.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Grade {
    /// Checked, and it holds.
    Good,
    /// Not proven here, and the policy of the anchor does not demand it. It is named, so that nobody takes it for proven.
    NotDemanded,
    /// It could be either; what is at hand does not decide.
    Undecided,
    /// Checked, and it does not hold.
    Bad,
}

impl Grade {
    /// The exit code of whatever judges (DESIGN section 7): 0 it holds as far as demanded, 1 it does not, 2 undecided.
    pub fn exit_code(self) -> u8 {
        match self {
            Self::Good | Self::NotDemanded => 0,
            Self::Bad => 1,
            Self::Undecided => 2,
        }
    }
}

/// Where in the evidence a finding is.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Place {
    /// Index of the entry on the ledger.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub index: Option<u64>,
    /// The stream.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub stream: Option<String>,
    /// The position in the stream.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub seq: Option<u64>,
    /// The fragment of the segment.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub fragment: Option<u32>,
    /// The time by the camera's clock, RFC 3339.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub time: Option<String>,
    /// The file of the bundle.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub file: Option<String>,
}

/// One thing found, explained in a sentence.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// Which axis it bears on.
    pub axis: Axis,
    /// How much.
    pub grade: Grade,
    /// What.
    pub kind: FindingKind,
    /// Where.
    pub place: Place,
    /// For people.
    pub sentence: String,
}

/// What the verdict was judged by; none of it came with the bundle.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Basis {
    /// The log, by the leaf hash of its genesis.
    pub log: String,
    /// Its name.
    pub origin: String,
    /// Fingerprints of the trusted roots.
    pub roots: Vec<String>,
    /// What the policy demands beyond signatures, continuity and payload.
    pub demands: Vec<Axis>,
    /// What else the anchor's policy says.
    pub policy: BasisPolicy,
    /// Size of the log at the checkpoint that everything is proven under.
    pub checkpoint_size: u64,
    /// Its root.
    pub checkpoint_root: String,
    /// What it is signed with: each key of the anchor, and all of them have to.
    pub checkpoint_suites: Vec<String>,
    /// The suites of statements that were met.
    pub suites: Vec<String>,
}

/// The anchor's policy, as far as it bears on a verdict.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct BasisPolicy {
    /// The witnesses that it knows.
    pub witnesses: Vec<String>,
    /// The timestamping authorities that it believes.
    pub timestamp_authorities: Vec<BasisAuthority>,
    /// Fingerprints of the pinned custodians' certificates.
    pub custodians: Vec<String>,
    /// How many of them decide; 0 if there are none.
    pub threshold: u64,
    /// The least that it accepts of a camera's device.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub device: Option<DeviceLevel>,
    /// Fingerprints of the roots of the TPM vendors that it believes.
    pub endorsement_roots: Vec<String>,
    /// The key that can not leave the TPM of the log's machine.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tpm_key: Option<String>,
}

/// A timestamping authority of the anchor.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct BasisAuthority {
    /// As the anchor names it.
    pub name: String,
    /// False for the operator's own.
    pub independent: bool,
    /// Fingerprint of the certificate in the anchor.
    pub certificate: String,
}

/// A bound of the time at which something was sealed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct TimeBound {
    /// RFC 3339.
    pub time: String,
    /// On whose word.
    pub by: String,
    /// False where it is the operator's own word.
    pub independent: bool,
    /// The entry that holds the word; absent where it stands on the bundle's checkpoint.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub entry: Option<u64>,
    /// Carried there by the count of the camera's TPM.
    pub tpm: bool,
}

/// When a segment was sealed: what the camera claims, and what others bound.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct SegmentTime {
    /// The stream.
    pub stream: String,
    /// The position in it.
    pub seq: u64,
    /// By the camera's clock: its first frame.
    pub claimed_start: String,
    /// By the camera's clock: its sealing.
    pub claimed_sealed: String,
    /// It was not sealed before: the latest bound on an independent word, and the latest on the operator's if that is later.
    pub not_before: Vec<TimeBound>,
    /// It was not sealed after: the earliest bound on an independent word, and the earliest on the operator's if that is earlier.
    pub not_after: Vec<TimeBound>,
}

/// What was judged, in numbers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Counts {
    /// Entries proven to be on the ledger.
    pub entries: u64,
    /// Segments whose statements were judged.
    pub segments: u64,
    /// Fragments whose content was checked against the camera's commitment.
    pub fragments: u64,
    /// Bytes of them.
    pub bytes: u64,
}

/// The verdict.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Verdict {
    /// The worst axis: the headline.
    pub grade: Grade,
    /// Every axis, in order.
    pub axes: Vec<(Axis, Grade)>,
    /// Worst first; at least one for each axis.
    pub findings: Vec<Finding>,
    /// By what.
    pub basis: Basis,
    /// Of how much.
    pub counts: Counts,
    /// When each segment of the interval was sealed.
    pub times: Vec<SegmentTime>,
    /// What it was judged by, in a sentence.
    pub trust: &'static str,
    /// What no verdict of this kind proves.
    pub not_proven: &'static [&'static str],
}

/// Where what a verdict is judged by came from, said with each (DESIGN section 3).
pub const TRUST: &str = "The log, its keys, the roots and the policy came with the anchor, and not with the bundle: who gave the anchor is \
                         who is trusted.";

/// What no verdict proves, said with each (DESIGN section 2).
pub const NOT_PROVEN: &[&str] = &[
    "the truth of the scene in front of the lens",
    "anything that happened before the encoder",
    "that no copies were made outside of the system",
    "what the exporter wrote beside the evidence, such as README.md",
    "that the log holds no certificate of these names but those in the bundle: an audit of the whole log tells",
    "that the log holds no later decision, revocation or contradiction that the exporter left out: an audit of the whole log tells",
];

impl Axis {
    /// All of them, in the order in which they are told.
    pub const ALL: [Self; 7] =
        [Self::Signature, Self::Continuity, Self::Witness, Self::Time, Self::Revocation, Self::Device, Self::Payload];
}

impl Verdict {
    /// Gathers findings into a verdict. Each axis is as bad as its worst finding.
    pub fn new(mut findings: Vec<Finding>, basis: Basis, counts: Counts) -> Self {
        let axes: Vec<_> = Axis::ALL
            .iter()
            .map(|axis| {
                let of_axis = findings.iter().filter(|finding| finding.axis == *axis);
                (*axis, of_axis.map(|finding| finding.grade).max().expect("every axis has a finding, good or bad"))
            })
            .collect();
        findings.sort_by_key(|finding| std::cmp::Reverse(finding.grade));
        let grade = axes.iter().map(|(_, grade)| *grade).max().expect("there are axes");
        Self { grade, axes, findings, basis, counts, times: Vec::new(), trust: TRUST, not_proven: NOT_PROVEN }
    }

    /// The same, with what is known of the segments' times.
    #[must_use]
    pub fn with_times(mut self, times: Vec<SegmentTime>) -> Self {
        self.times = times;
        self
    }

    /// As JSON, for programs (docs/formats/bundle.md): what `exhibit verify --json` prints. What strangers named is there exactly, and every
    /// character of it that a terminal could obey as `\u`.
    pub fn to_json(&self) -> String {
        printable_json(&serde_json::to_string_pretty(self).expect("a verdict is plain data")).into_owned()
    }

    /// The findings on one axis, worst first.
    pub fn on(&self, axis: Axis) -> impl Iterator<Item = &Finding> {
        self.findings.iter().filter(move |finding| finding.axis == axis)
    }
}

impl Finding {
    /// A finding without a place. What strangers wrote into the sentence is made safe to show, and a long one cut.
    pub fn new(axis: Axis, grade: Grade, kind: FindingKind, sentence: impl Into<String>) -> Self {
        debug_assert!(kind.axes().contains(&axis), "{kind:?} is not on the axis {axis}");
        Self { axis: kind.axis(axis), grade, kind, place: Place::default(), sentence: shown(&sentence.into()) }
    }

    /// Whether it says something of its axis. That a stranger's token is here, or a quote that nobody asked for, does not: whoever has
    /// the bundle could add one, and a demand is not met by that.
    pub(crate) fn speaks(&self) -> bool {
        self.grade != Grade::NotDemanded || !matches!(self.kind, FindingKind::Timestamp | FindingKind::Quote)
    }

    /// The same, somewhere.
    #[must_use]
    pub fn at(mut self, place: Place) -> Self {
        self.place = place;
        self
    }
}

/// A sentence is at most this many characters. Ours are shorter; a name in one may be of any length.
const SENTENCE_CHARACTERS_MAX: usize = 2_000;

fn shown(sentence: &str) -> String {
    match sentence.char_indices().nth(SENTENCE_CHARACTERS_MAX) {
        Some((end, _)) => format!("{} …", printable(&sentence[..end])),
        None => printable(sentence).into_owned(),
    }
}

impl Place {
    /// An entry.
    pub fn entry(index: u64) -> Self {
        Self { index: Some(index), ..Self::default() }
    }

    /// A file of the bundle.
    pub fn file(path: &str) -> Self {
        Self { file: Some(path.to_owned()), ..Self::default() }
    }

    /// A position in a stream.
    pub fn position(stream: &str, seq: u64) -> Self {
        Self { stream: Some(stream.to_owned()), seq: Some(seq), ..Self::default() }
    }

    /// A fragment of a segment, and the moment of it by the camera's clock.
    pub fn fragment(stream: &str, seq: u64, fragment: u32, time: Timestamp) -> Self {
        Self { fragment: Some(fragment), time: Some(time.to_string()), ..Self::position(stream, seq) }
    }
}

impl fmt::Display for Axis {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Signature => "signature",
            Self::Continuity => "continuity",
            Self::Witness => "witness",
            Self::Time => "time",
            Self::Revocation => "revocation",
            Self::Device => "device",
            Self::Payload => "payload",
        })
    }
}

impl fmt::Display for Grade {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Good => "good",
            Self::NotDemanded => "not demanded",
            Self::Undecided => "undecided",
            Self::Bad => "BAD",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Where nobody looks for bugs, too, another verifier finds each kind where the page has it.
    #[test]
    fn a_kind_is_on_its_own_axes_and_on_no_other() {
        for kind in FindingKind::ALL {
            for axis in Axis::ALL {
                let is_its = kind.axes().contains(&axis);
                assert_eq!(kind.axis(axis), if is_its { axis } else { kind.axes()[0] }, "{kind:?} on {axis}");
            }
        }
    }

    fn basis() -> Basis {
        Basis {
            log: String::new(),
            origin: String::new(),
            roots: vec![],
            demands: vec![],
            policy: BasisPolicy::default(),
            checkpoint_size: 0,
            checkpoint_root: String::new(),
            checkpoint_suites: vec![],
            suites: vec![],
        }
    }

    #[test]
    fn the_headline_is_the_worst_axis() {
        let mut findings: Vec<_> = Axis::ALL.iter().map(|axis| Finding::new(*axis, Grade::Good, FindingKind::Holds, "It holds.")).collect();
        assert_eq!(Verdict::new(findings.clone(), basis(), Counts::default()).grade, Grade::Good);
        findings.push(Finding::new(Axis::Payload, Grade::Bad, FindingKind::FragmentAltered, "It was changed."));
        let verdict = Verdict::new(findings, basis(), Counts::default());
        assert_eq!(verdict.grade, Grade::Bad, "one bad axis was hidden by good ones");
        assert_eq!(verdict.findings[0].kind, FindingKind::FragmentAltered, "the worst finding comes first");
        assert!(verdict.axes.contains(&(Axis::Payload, Grade::Bad)));
        assert!(verdict.axes.contains(&(Axis::Signature, Grade::Good)));
    }
}

//! What an audit finds: of which kind, whether an auditor must see it, and in words.

use serde::{Deserialize, Serialize};

/// Of which kind a finding is. The order is that of an outcome: the first that was found names it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub enum Kind {
    /// The log's keys have signed two logs.
    Forked,
    /// The log shows less than it has shown.
    Rewound,
    /// What is served under the log's name is not signed by it.
    Unsigned,
    /// A tile or an entry is not the one that the checkpoint signs.
    Altered,
    /// The checkpoint promises something that is not served.
    Missing,
    /// An entry is no signed statement of this log.
    Entry,
    /// An entry is not signed as it has to be: certificate, path, role, signature.
    Signature,
    /// A stream has a hole, a repetition, or goes on after its end.
    Chain,
    /// An issuer has seen another log than this one.
    Observed,
    /// An issuer has made two statements for one place.
    Contradiction,
    /// What the appliance calls a contradiction is none, or is not shown.
    ContradictionFalse,
    /// Somebody has a second certificate that no custodian has approved.
    SecondCertificate,
    /// A set of recipients that its custodians did not decide, or a camera that obeys one.
    Recipients,
    /// A `timestamp` statement whose checkpoint, cosignature or token does not hold.
    Timestamp,
    /// Somebody signed before or after the moment at which that could be.
    Time,
    /// Evidence was served, exported or redacted without a right to it.
    Rights,
    /// A line under a checkpoint bears the name of the log's TPM and is not its signature.
    TpmLine,
    /// Fewer witnesses have seen the checkpoint than the anchor demands.
    Witness,
    /// Nothing has come for longer than it may take.
    Late,
    /// Somebody was banned, or let in again.
    Ban,
    /// Something was erased.
    Erasure,
    /// Somebody asked for what they may not have.
    Refusal,
    /// A certificate was revoked.
    Revocation,
    /// A certificate was replaced by another.
    Replacement,
    /// The recovery recipient opened evidence.
    Reopening,
    /// The log has ended, and names its successor.
    Succession,
    /// A camera that has not ended has not been heard of for long.
    Silent,
    /// An entry of a type that this version does not judge.
    UnknownType,
}

impl Kind {
    /// True for what an auditor must see, whoever the auditor is. The others are told.
    pub fn is_alarm(self) -> bool {
        self <= Self::Late
    }

    /// As machines read it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Forked => "forked",
            Self::Rewound => "rewound",
            Self::Unsigned => "unsigned",
            Self::Altered => "altered",
            Self::Missing => "missing",
            Self::Entry => "entry",
            Self::Signature => "signature",
            Self::Chain => "chain",
            Self::Observed => "observed",
            Self::Contradiction => "contradiction",
            Self::ContradictionFalse => "contradiction-false",
            Self::SecondCertificate => "second-certificate",
            Self::Recipients => "recipients",
            Self::Timestamp => "timestamp",
            Self::Time => "time",
            Self::Rights => "rights",
            Self::TpmLine => "tpm-line",
            Self::Witness => "witness",
            Self::Late => "late",
            Self::Ban => "ban",
            Self::Erasure => "erasure",
            Self::Refusal => "refusal",
            Self::Revocation => "revocation",
            Self::Replacement => "replacement",
            Self::Reopening => "reopening",
            Self::Succession => "succession",
            Self::Silent => "silent",
            Self::UnknownType => "unknown-type",
        }
    }
}

/// One thing that was found.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Finding {
    /// What kind of thing.
    pub kind: Kind,
    /// The entry, where it is one.
    pub index: Option<u64>,
    /// In words.
    pub sentence: String,
}

impl Finding {
    /// Of the log as a whole.
    pub fn new(kind: Kind, sentence: impl Into<String>) -> Self {
        Self { kind, index: None, sentence: sentence.into() }
    }

    /// Of an entry.
    pub fn of(kind: Kind, index: u64, sentence: impl Into<String>) -> Self {
        Self { kind, index: Some(index), sentence: sentence.into() }
    }
}

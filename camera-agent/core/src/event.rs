//! What an agent tells while it works, what it has done at the end, and why it could not go on.
//!
//! It knows nothing of how it is displayed.

use exhibit_client::ClientError;
use exhibit_evidence::{StreamName, envelope::EnvelopeError};
use exhibit_pki::{SignerError, Timestamp};

use crate::{
    epoch::EpochError,
    spool::{SpoolError, is_full},
    state::StateError,
};

/// What happened, for logs and progress displays.
#[derive(Clone, Debug, PartialEq)]
pub enum AgentEvent {
    /// Waiting for what is needed to begin: say so, and go on waiting.
    Waiting(Delay),
    /// Recipients are known and an epoch has begun: the pipeline may be started at the first of these.
    EpochBegan {
        /// Its stream.
        stream: StreamName,
        /// The number of the recipients that it obeys.
        recipients_number: u64,
    },
    /// A segment is sealed, signed and synced in the spool.
    Sealed {
        /// Its stream.
        stream: StreamName,
        /// Its position.
        seq: u64,
        /// Of the ciphertext.
        bytes: u64,
        /// The camera's clock at its first frame.
        start: Timestamp,
        /// How long it plays.
        duration_ms: u64,
    },
    /// A statement is on the ledger; its receipt verified and is synced.
    Acknowledged {
        /// Its stream.
        stream: StreamName,
        /// Its position.
        seq: u64,
        /// Its index on the ledger.
        index: u64,
        /// How many statements are still to be sent.
        unsent: u64,
    },
    /// Witnesses have seen the log with a statement that was acknowledged before: its final receipt is synced.
    Witnessed {
        /// Its stream.
        stream: StreamName,
        /// Its position.
        seq: u64,
    },
    /// The log has ended and another goes on for it, which was shown: a new epoch begins there.
    WentOn {
        /// Its name.
        origin: String,
        /// True if the log that ended says so itself; else the custodians do, after a disaster.
        is_planned: bool,
        /// Entries that were verified of the log that ended, and that the new one knows to be lost.
        lost: u64,
    },
    /// Uploading waits; recording goes on.
    UploadDelayed(Delay),
    /// The spool is full of what could not be sent: segments are dropped until there is room, and a `gap` will say so.
    SpoolFull,
    /// The spool takes segments again.
    SpoolHasRoom,
    /// The recipients have expired: recording goes on, and somebody should look.
    RecipientsStale {
        /// Their number.
        number: u64,
        /// When they expired.
        expired: Timestamp,
    },
    /// Something that a person has to look at. The evidence concerned is kept.
    Finding {
        /// The stream that it concerns, if one.
        stream: Option<StreamName>,
        /// What was found, and what to do.
        text: String,
    },
    /// The epoch was closed.
    Closed {
        /// Its stream.
        stream: StreamName,
    },
}

/// Why and how long something waits.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Delay {
    /// What failed, and what to do.
    pub reason: String,
    /// The next attempt.
    pub retry_in_ms: u64,
}

/// What an agent has done.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AgentSummary {
    /// Segments sealed.
    pub segments: u64,
    /// Statements acknowledged in this run.
    pub acknowledged: u64,
    /// Statements left for the next start.
    pub unsent: u64,
    /// Findings reported.
    pub findings: u64,
}

/// Why an agent ended before it was asked to.
#[derive(Debug, thiserror::Error)]
pub enum AgentError {
    /// The appliance said something that does not verify. Everything is kept.
    #[error("{0}; nothing was deleted: have an auditor look at the log before this camera is started again")]
    Untrustworthy(String),
    /// Certificate, key and configuration do not belong together.
    #[error("the agent cannot begin: {0}")]
    Identity(String),
    /// The connection cannot be set up.
    #[error(transparent)]
    Client(#[from] ClientError),
    /// The spool.
    #[error(transparent)]
    Spool(#[from] SpoolError),
    /// The state file.
    #[error(transparent)]
    State(#[from] StateError),
    /// The signing key.
    #[error(transparent)]
    Signer(#[from] SignerError),
    /// The epoch's keys.
    #[error(transparent)]
    Epoch(#[from] EpochError),
    /// The wraps.
    #[error("the epoch's key cannot be wrapped to the recipients: {0}")]
    Wraps(#[from] EnvelopeError),
    /// The operating system gives no randomness.
    #[error("the operating system gives no randomness: {0}")]
    Randomness(getrandom::Error),
    /// A part of the agent panicked: a broken invariant, and our fault.
    #[error("the agent has failed: {0}")]
    Failed(String),
}

impl AgentError {
    /// True if there is no room on the disk: nothing was lost, and what is let go of makes room.
    pub fn is_full_disk(&self) -> bool {
        match self {
            Self::Spool(SpoolError::Full) => true,
            Self::Spool(SpoolError::Storage { source, .. }) | Self::State(StateError::Storage { source, .. }) => is_full(source),
            _ => false,
        }
    }

    /// 1 if the log does not verify, 2 if the agent could not do its work.
    pub fn exit_code(&self) -> u8 {
        match self {
            Self::Untrustworthy(_) => 1,
            _ => 2,
        }
    }
}

//! What to upload next, and what an answer means.
//!
//! Pure: time and jitter are arguments, and it sends nothing. It does not know what is in a statement.

use std::collections::{BTreeMap, BTreeSet};

use exhibit_evidence::{StreamName, body::EpochReason};

/// The first wait after a failure; it doubles.
const BACK_OFF_FIRST_MS: u64 = 500;
/// Longer than this nobody wants to wait for live video after a link came back.
const BACK_OFF_MAX_MS: u64 = 60_000;
/// So often at most is an epoch begun because its stream was refused: an appliance that refuses everything must not make a stream a second.
const RENEWAL_INTERVAL_MS: u64 = 60_000;
/// After an outage, with more than this unsent in the live stream (about a minute of video), a new epoch lets live video go first.
const BACKLOG_ITEMS: usize = 30;

/// What to do now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    /// Send this statement.
    Send(StreamName, u64),
    /// The ledger may have it already: ask for its entry.
    Collect(StreamName, u64),
    /// Nothing before that time (monotonic).
    WaitUntil(u64),
    /// Nothing until something is spooled.
    Rest,
}

/// What became of an action.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// On the ledger, with a receipt that verifies and is synced.
    Receipt,
    /// 409 `chain`: the ledger expects another position.
    Chain {
        /// What would fit, if the appliance said.
        expected_seq: Option<u64>,
        /// The reason given.
        reason: String,
    },
    /// Refused for what it is or who we are.
    Refused {
        /// HTTP status.
        status: u16,
        /// The reason given.
        reason: String,
    },
    /// Not now: unreachable, overloaded, out of space.
    Later(String),
    /// The spool cannot give it.
    Damaged(String),
    /// The answer does not verify.
    Untrustworthy(String),
}

/// What an outcome asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Consequence {
    /// Go on.
    Continue,
    /// Uploading waits.
    Delay {
        /// What failed.
        reason: String,
        /// Until then (monotonic).
        until_ms: u64,
        /// A person should look.
        finding: bool,
    },
    /// The stream is not sent any further in this run; everything is kept.
    Halt {
        /// What was found.
        finding: String,
    },
    /// The live stream goes on as a new epoch, so that live video need not wait for what is behind.
    Renew(EpochReason),
    /// Stop everything and keep everything.
    Stop(String),
}

#[derive(Debug, Default)]
struct Queue {
    unsent: BTreeSet<u64>,
    /// The ledger is ahead of what we hold receipts for, up to here: collect instead of sending.
    admitted_below: u64,
    halted: bool,
}

/// What is to be sent.
#[derive(Debug, Default)]
pub struct UploadPlan {
    queues: BTreeMap<StreamName, Queue>,
    live: Option<StreamName>,
    failures: u32,
    waits_until_ms: Option<u64>,
    renewed_ms: Option<u64>,
}

impl UploadPlan {
    /// Nothing to do.
    pub fn new() -> Self {
        Self::default()
    }

    /// A statement is in the spool, unsent.
    pub fn spooled(&mut self, stream: &StreamName, seq: u64) {
        self.queues.entry(stream.clone()).or_default().unsent.insert(seq);
    }

    /// This stream is the live one: it goes first.
    pub fn live(&mut self, stream: &StreamName) {
        self.live = Some(stream.clone());
    }

    /// How many are unsent, halted streams included.
    pub fn unsent(&self) -> u64 {
        self.queues.values().map(|queue| queue.unsent.len() as u64).sum()
    }

    /// The live stream first, then older ones, oldest first; within a stream in order of seq.
    pub fn next(&self, now_ms: u64) -> Action {
        let live = self.live.iter().filter_map(|stream| self.queues.get_key_value(stream));
        let mut candidates = live.chain(&self.queues).filter(|(_, queue)| !queue.halted);
        let Some((stream, queue, seq)) = candidates.find_map(|(stream, queue)| Some((stream, queue, *queue.unsent.first()?))) else {
            return Action::Rest;
        };
        match self.waits_until_ms {
            Some(until_ms) if until_ms > now_ms => Action::WaitUntil(until_ms),
            _ if seq < queue.admitted_below => Action::Collect(stream.clone(), seq),
            _ => Action::Send(stream.clone(), seq),
        }
    }

    /// True if the live stream was halted: live video should go on as a new epoch. At most once a minute.
    pub fn renewal_is_due(&mut self, now_ms: u64) -> bool {
        let halted = self.live.as_ref().and_then(|stream| self.queues.get(stream)).is_some_and(|queue| queue.halted);
        halted && self.may_renew(now_ms)
    }

    /// What the outcome of sending (or collecting) `seq` means. `jitter` is random, at least 0 and below 1.
    pub fn answered(&mut self, stream: &StreamName, seq: u64, outcome: Outcome, now_ms: u64, jitter: f64) -> Consequence {
        match outcome {
            Outcome::Receipt => self.acknowledged(stream, seq, now_ms),
            Outcome::Later(reason) => self.back_off(reason, now_ms, jitter, false),
            Outcome::Untrustworthy(reason) => Consequence::Stop(reason),
            Outcome::Damaged(reason) => self.halt(stream, reason),
            Outcome::Chain { expected_seq, reason } => self.resync(stream, seq, expected_seq, reason),
            // Seq 0 refused for who we are: nothing of this epoch would be taken, and a new one would be refused alike. It may be that our
            // certificate is not on the ledger yet.
            Outcome::Refused { status: 401 | 403, reason } if seq == 0 => {
                self.back_off(format!("{reason} (nothing of this camera is accepted until then)"), now_ms, jitter, true)
            }
            Outcome::Refused { status, reason } => self.halt(stream, format!("the appliance refused it ({status}): {reason}")),
        }
    }

    fn acknowledged(&mut self, stream: &StreamName, seq: u64, now_ms: u64) -> Consequence {
        let after_outage = self.failures > 0;
        self.failures = 0;
        self.waits_until_ms = None;
        let Some(queue) = self.queues.get_mut(stream) else { return Consequence::Continue };
        queue.unsent.remove(&seq);
        let behind = queue.unsent.len();
        if behind == 0 && self.live.as_ref() != Some(stream) {
            self.queues.remove(stream);
        }
        let is_live = self.live.as_ref() == Some(stream);
        if after_outage && is_live && behind > BACKLOG_ITEMS && self.may_renew(now_ms) {
            return Consequence::Renew(EpochReason::Backlog);
        }
        Consequence::Continue
    }

    fn back_off(&mut self, reason: String, now_ms: u64, jitter: f64, finding: bool) -> Consequence {
        let doubled = BACK_OFF_FIRST_MS.saturating_mul(1 << self.failures.min(20)).min(BACK_OFF_MAX_MS);
        // Between half and all of it: cameras that lost the same appliance must not come back in step.
        let delay_ms = (doubled as f64 * (0.5 + 0.5 * jitter.clamp(0.0, 1.0))) as u64;
        let first = self.failures == 0;
        self.failures = self.failures.saturating_add(1);
        let until_ms = now_ms.saturating_add(delay_ms);
        self.waits_until_ms = Some(until_ms);
        Consequence::Delay { reason, until_ms, finding: finding && first }
    }

    fn resync(&mut self, stream: &StreamName, seq: u64, expected_seq: Option<u64>, reason: String) -> Consequence {
        let queue = self.queues.entry(stream.clone()).or_default();
        match expected_seq {
            // Admitted before, and only the receipt was lost. Once: an appliance that says so and has no entry is not believed twice.
            Some(expected) if expected > seq && expected > queue.admitted_below => {
                queue.admitted_below = expected;
                Consequence::Continue
            }
            _ => self.halt(stream, format!("the ledger's chain does not fit ours: {reason}")),
        }
    }

    fn halt(&mut self, stream: &StreamName, finding: String) -> Consequence {
        self.queues.entry(stream.clone()).or_default().halted = true;
        Consequence::Halt { finding }
    }

    /// True at most once a `RENEWAL_INTERVAL_MS`.
    fn may_renew(&mut self, now_ms: u64) -> bool {
        let may = self.renewed_ms.is_none_or(|renewed_ms| now_ms >= renewed_ms.saturating_add(RENEWAL_INTERVAL_MS));
        if may {
            self.renewed_ms = Some(now_ms);
        }
        may
    }
}

/// What an HTTP status of a refusal means for a statement.
pub fn outcome_of_refusal(kind: &str, status: u16, expected_seq: Option<u64>, reason: String) -> Outcome {
    let kind = kind.rsplit(':').next().unwrap_or_default();
    match (status, kind) {
        (409, "chain") => Outcome::Chain { expected_seq, reason },
        (408 | 425 | 429, _) | (500.., _) => Outcome::Later(reason),
        _ => Outcome::Refused { status, reason },
    }
}

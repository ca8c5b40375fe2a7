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

/// So soon a final receipt is asked for again; it doubles while the witnesses have not seen the log.
const COLLECT_FIRST_MS: u64 = 1_000;
/// Nothing hangs on a final receipt but room in the spool.
const COLLECT_MAX_MS: u64 = 30_000;

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
    /// On the ledger, with a final receipt that verifies and is synced.
    Receipt,
    /// The same, but the receipt waits for witnesses.
    Durable,
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
    /// 410: the log has ended, or goes on as another that we do not know yet.
    Ended(String),
    /// Not now: unreachable, overloaded, out of space.
    Later(String),
    /// The spool cannot give it.
    Damaged(String),
    /// The answer does not verify.
    Untrustworthy(String),
    /// The answer is another log's, of which nothing is known here.
    OtherLog(String),
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
    /// On the ledger, and the final receipt is to be collected.
    durable: BTreeSet<u64>,
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
    /// No final receipt is asked for before then.
    collect_due_ms: u64,
    collect_wait_ms: u64,
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

    /// A statement of an earlier run is on the ledger, and its final receipt is to be collected.
    pub fn durable(&mut self, stream: &StreamName, seq: u64) {
        self.queues.entry(stream.clone()).or_default().durable.insert(seq);
    }

    /// Another log goes on for the one that these were meant for: they are sent to it, whatever became of them before.
    pub fn send_again(&mut self, left: &[(StreamName, u64)]) {
        for (stream, seq) in left {
            let queue = self.queues.entry(stream.clone()).or_default();
            queue.durable.remove(seq);
            queue.unsent.insert(*seq);
            queue.admitted_below = 0;
        }
        (self.failures, self.waits_until_ms) = (0, None);
    }

    /// This stream is the live one: it goes first.
    pub fn live(&mut self, stream: &StreamName) {
        self.live = Some(stream.clone());
    }

    /// The live stream, once one has begun.
    pub fn live_stream(&self) -> Option<&StreamName> {
        self.live.as_ref()
    }

    /// How many are unsent, halted streams included.
    pub fn unsent(&self) -> u64 {
        self.queues.values().map(|queue| queue.unsent.len() as u64).sum()
    }

    /// The live stream first, then older ones, oldest first; within a stream in order of seq. Final receipts are collected when nothing is to
    /// be sent.
    pub fn next(&self, now_ms: u64) -> Action {
        let live = self.live.iter().filter_map(|stream| self.queues.get_key_value(stream));
        let mut candidates = live.chain(&self.queues).filter(|(_, queue)| !queue.halted);
        let Some((stream, queue, seq)) = candidates.find_map(|(stream, queue)| Some((stream, queue, *queue.unsent.first()?))) else {
            return self.next_to_collect(now_ms);
        };
        match self.waits_until_ms {
            Some(until_ms) if until_ms > now_ms => Action::WaitUntil(until_ms),
            _ if seq < queue.admitted_below => Action::Collect(stream.clone(), seq),
            _ => Action::Send(stream.clone(), seq),
        }
    }

    /// Witnesses see the log from its beginning: the oldest that waits is final first.
    fn next_to_collect(&self, now_ms: u64) -> Action {
        let mut waiting = self.queues.iter().filter(|(_, queue)| !queue.halted);
        let Some((stream, seq)) = waiting.find_map(|(stream, queue)| Some((stream, *queue.durable.first()?))) else {
            return Action::Rest;
        };
        match self.collect_due_ms.max(self.waits_until_ms.unwrap_or(0)) {
            until_ms if until_ms > now_ms => Action::WaitUntil(until_ms),
            _ => Action::Collect(stream.clone(), seq),
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
            Outcome::Receipt => {
                // Where one is final, the next one may be.
                (self.collect_due_ms, self.collect_wait_ms) = (now_ms, COLLECT_FIRST_MS);
                self.acknowledged(stream, seq, now_ms, false)
            }
            Outcome::Durable => {
                let waited = self.queues.get(stream).is_some_and(|queue| queue.durable.contains(&seq));
                let doubled = self.collect_wait_ms.saturating_mul(2).clamp(COLLECT_FIRST_MS, COLLECT_MAX_MS);
                self.collect_wait_ms = if waited { doubled } else { COLLECT_FIRST_MS };
                self.collect_due_ms = now_ms.saturating_add(self.collect_wait_ms);
                self.acknowledged(stream, seq, now_ms, true)
            }
            Outcome::Later(reason) => self.back_off(reason, now_ms, jitter, false),
            // Nobody has shown which log goes on: all is kept until somebody does.
            Outcome::Ended(reason) => self.back_off(reason, now_ms, jitter, true),
            Outcome::Untrustworthy(reason) | Outcome::OtherLog(reason) => Consequence::Stop(reason),
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

    fn acknowledged(&mut self, stream: &StreamName, seq: u64, now_ms: u64, waits: bool) -> Consequence {
        let after_outage = self.failures > 0;
        self.failures = 0;
        self.waits_until_ms = None;
        let Some(queue) = self.queues.get_mut(stream) else { return Consequence::Continue };
        queue.unsent.remove(&seq);
        if waits {
            queue.durable.insert(seq)
        } else {
            queue.durable.remove(&seq)
        };
        let behind = queue.unsent.len();
        if behind == 0 && queue.durable.is_empty() && self.live.as_ref() != Some(stream) {
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
        (410, "ended") => Outcome::Ended(reason),
        // Custodians state them again, or others: until then it is kept.
        (409, "recipients-lost") => Outcome::Later(reason),
        (409, "chain") => Outcome::Chain { expected_seq, reason },
        (408 | 425 | 429, _) | (500.., _) => Outcome::Later(reason),
        _ => Outcome::Refused { status, reason },
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn stream(generation: &str) -> StreamName {
        StreamName::parse(&format!("camera/102/main/{generation}")).unwrap()
    }

    fn old() -> StreamName {
        stream("20261118T000000Z")
    }

    fn older() -> StreamName {
        stream("20261117T000000Z")
    }

    fn live() -> StreamName {
        stream("20261120T000000Z")
    }

    fn plan(items: &[(StreamName, u64)]) -> UploadPlan {
        let mut plan = UploadPlan::new();
        for (stream, seq) in items {
            plan.spooled(stream, *seq);
        }
        plan.live(&live());
        plan
    }

    fn later(plan: &mut UploadPlan, now_ms: u64, jitter: f64) -> u64 {
        match plan.answered(&live(), 0, Outcome::Later("down".into()), now_ms, jitter) {
            Consequence::Delay { until_ms, .. } => until_ms - now_ms,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn the_live_stream_goes_first_and_then_the_oldest_each_in_order() {
        let mut plan = plan(&[(old(), 9), (live(), 1), (older(), 5), (live(), 0), (old(), 8)]);
        let mut sent = Vec::new();
        while let Action::Send(stream, seq) = plan.next(0) {
            assert_eq!(plan.answered(&stream, seq, Outcome::Receipt, 0, 0.0), Consequence::Continue);
            sent.push((stream, seq));
        }
        assert_eq!(sent, [(live(), 0), (live(), 1), (older(), 5), (old(), 8), (old(), 9)]);
        assert_eq!((plan.next(0), plan.unsent()), (Action::Rest, 0));
        plan.spooled(&live(), 2);
        assert_eq!(plan.next(0), Action::Send(live(), 2));
    }

    #[test]
    fn waiting_doubles_is_spread_and_ends_at_a_minute_and_with_the_first_receipt() {
        let mut plan = plan(&[(live(), 0)]);
        assert_eq!((later(&mut plan, 0, 0.0), later(&mut plan, 0, 1.0), later(&mut plan, 0, 0.0)), (250, 1000, 1000));
        for _ in 0..100 {
            assert!(later(&mut plan, 0, 0.999) <= BACK_OFF_MAX_MS);
        }
        let wait_ms = later(&mut plan, 1000, 0.5);
        assert_eq!(plan.next(1000), Action::WaitUntil(1000 + wait_ms));
        assert_eq!(plan.next(1000 + wait_ms), Action::Send(live(), 0), "an upload was forgotten");
        plan.answered(&live(), 0, Outcome::Receipt, 1000, 0.0);
        plan.spooled(&live(), 1);
        assert_eq!(plan.next(1000), Action::Send(live(), 1));
        assert_eq!(later(&mut plan, 0, 1.0), BACK_OFF_FIRST_MS);
    }

    #[test]
    fn a_refused_stream_is_halted_and_the_others_go_on() {
        for outcome in [
            Outcome::Refused { status: 409, reason: "contradiction".into() },
            Outcome::Refused { status: 422, reason: "payload".into() },
            Outcome::Refused { status: 403, reason: "certificate".into() },
            Outcome::Chain { expected_seq: Some(2), reason: "chain".into() },
            Outcome::Damaged("gone".into()),
        ] {
            let mut plan = plan(&[(live(), 3), (old(), 8)]);
            assert!(matches!(plan.answered(&live(), 3, outcome.clone(), 0, 0.0), Consequence::Halt { .. }), "{outcome:?}");
            assert_eq!(plan.next(0), Action::Send(old(), 8), "one refusal holds everything up");
            assert_eq!(plan.unsent(), 2, "what was refused counts as sent");
        }
    }

    #[test]
    fn a_refused_live_stream_is_renewed_but_not_every_second() {
        let mut plan = plan(&[(live(), 0), (live(), 1)]);
        assert!(!plan.renewal_is_due(0));
        plan.answered(&live(), 0, Outcome::Refused { status: 409, reason: String::new() }, 0, 0.0);
        assert!(plan.renewal_is_due(0));
        assert!(!plan.renewal_is_due(1), "an epoch a second is begun against an appliance that refuses all");
        assert!(plan.renewal_is_due(RENEWAL_INTERVAL_MS));
        let next = stream("20261120T000100Z");
        plan.live(&next);
        plan.spooled(&next, 0);
        assert!(!plan.renewal_is_due(10 * RENEWAL_INTERVAL_MS));
        assert_eq!(plan.next(0), Action::Send(next, 0));
    }

    #[test]
    fn a_camera_that_is_not_known_yet_waits_and_says_so_once() {
        let mut plan = plan(&[(live(), 0)]);
        let mut refuse = || plan.answered(&live(), 0, Outcome::Refused { status: 403, reason: "unknown".into() }, 0, 0.0);
        assert!(matches!(refuse(), Consequence::Delay { finding: true, .. }));
        assert!(matches!(refuse(), Consequence::Delay { finding: false, .. }));
    }

    #[test]
    fn a_ledger_that_is_ahead_is_asked_and_not_believed_twice() {
        let mut plan = plan(&[(live(), 4), (live(), 5), (live(), 6)]);
        let ahead = || Outcome::Chain { expected_seq: Some(6), reason: "chain".into() };
        assert_eq!(plan.answered(&live(), 4, ahead(), 0, 0.0), Consequence::Continue);
        assert_eq!(plan.next(0), Action::Collect(live(), 4));
        plan.answered(&live(), 4, Outcome::Receipt, 0, 0.0);
        assert_eq!(plan.next(0), Action::Collect(live(), 5));
        assert!(matches!(plan.answered(&live(), 5, ahead(), 0, 0.0), Consequence::Halt { .. }), "it goes round for ever");
    }

    #[test]
    fn what_waits_for_witnesses_is_collected_when_nothing_is_to_be_sent() {
        let mut plan = plan(&[(live(), 0), (live(), 1)]);
        plan.durable(&old(), 9);
        assert_eq!(plan.answered(&live(), 0, Outcome::Durable, 1000, 0.0), Consequence::Continue);
        assert_eq!((plan.next(1000), plan.unsent()), (Action::Send(live(), 1), 1), "a witness holds the intake up");
        plan.answered(&live(), 1, Outcome::Durable, 1000, 0.0);
        assert_eq!(plan.next(1000), Action::WaitUntil(2000), "the appliance is asked without a pause");
        assert_eq!(plan.next(2000), Action::Collect(old(), 9));
        plan.answered(&old(), 9, Outcome::Durable, 2000, 0.0);
        assert_eq!(plan.next(2000), Action::WaitUntil(4000), "asking does not slow down");
        for _ in 0..10 {
            plan.answered(&old(), 9, Outcome::Durable, 4000, 0.0);
        }
        assert_eq!(plan.next(4000), Action::WaitUntil(4000 + COLLECT_MAX_MS));
        plan.answered(&old(), 9, Outcome::Receipt, 40_000, 0.0);
        assert_eq!(plan.next(40_000), Action::Collect(live(), 0), "where one is final, the next is asked for at once");
        plan.answered(&live(), 0, Outcome::Receipt, 40_000, 0.0);
        plan.answered(&live(), 1, Outcome::Receipt, 40_000, 0.0);
        assert_eq!(plan.next(40_000), Action::Rest);
    }

    #[test]
    fn what_does_not_verify_stops_everything() {
        let mut plan = plan(&[(live(), 0)]);
        assert_eq!(plan.answered(&live(), 0, Outcome::Untrustworthy("fork".into()), 0, 0.0), Consequence::Stop("fork".into()));
        assert_eq!(plan.unsent(), 1);
    }

    #[test]
    fn after_an_outage_live_video_overtakes_what_is_behind() {
        let items: Vec<_> = (0..=BACKLOG_ITEMS as u64 + 1).map(|seq| (live(), seq)).collect();
        let mut behind = plan(&items);
        assert_eq!(behind.answered(&live(), 0, Outcome::Receipt, 0, 0.0), Consequence::Continue, "there was no outage");
        later(&mut behind, 0, 0.0);
        behind.spooled(&live(), 99);
        assert_eq!(behind.answered(&live(), 1, Outcome::Receipt, 1000, 0.0), Consequence::Renew(EpochReason::Backlog));
        let mut abreast = plan(&items[..BACKLOG_ITEMS / 2]);
        later(&mut abreast, 0, 0.0);
        assert_eq!(abreast.answered(&live(), 0, Outcome::Receipt, 1000, 0.0), Consequence::Continue);
    }

    #[test]
    fn refusals_mean_what_their_status_says() {
        let outcome = |status, kind: &str| outcome_of_refusal(&format!("tag:exhibit,2026:{kind}"), status, Some(3), String::new());
        assert!(matches!(outcome(409, "chain"), Outcome::Chain { expected_seq: Some(3), .. }));
        assert!(matches!(outcome(409, "contradiction"), Outcome::Refused { status: 409, .. }));
        assert!(matches!(outcome(409, "recipients-lost"), Outcome::Later(_)), "what only waits for custodians is given up");
        for status in [422, 403, 400, 413, 404] {
            assert!(matches!(outcome(status, "x"), Outcome::Refused { .. }), "{status}");
        }
        for status in [503, 507, 500, 429] {
            assert!(matches!(outcome(status, "overloaded"), Outcome::Later(_)), "{status}");
        }
    }
}

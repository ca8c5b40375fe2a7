//! The uploading half of an agent: performs what the upload plan decides, checks receipts, watches for new recipients.
//!
//! It does not know what is recorded, and decides nothing that the plan can decide.

use std::{collections::BTreeSet, path::PathBuf, sync::Arc, time::Duration};

use exhibit_client::{Appliance, ClientError, Receipt};
use exhibit_evidence::{Anchor, Head, SignedStatement, StreamName, body::EpochReason};
use exhibit_pki::RustCrypto;
use tokio::{
    sync::{mpsc, watch},
    time::{sleep, timeout},
};

use crate::{
    AgentError, AgentEvent, AgentSummary, Delay,
    obtain::{Obtain, ObtainError},
    recipients::Obeyed,
    recorder::{Orders, Shared, Spooled},
    spool::{ItemState, SpoolError, SpooledStatement},
    succession::{NotBelieved, go_on, left_over},
    upload::{Action, Consequence, Outcome, UploadPlan, outcome_of_refusal},
};

/// Witnesses cosign within a second.
const WITNESSES_WAIT_MS: u64 = 5_000;

pub(crate) struct Courier {
    shared: Arc<Shared>,
    appliance: Appliance,
    orders: watch::Sender<Orders>,
    spooled: mpsc::UnboundedReceiver<Spooled>,
    plan: UploadPlan,
    recipients_due_ms: u64,
    /// When recording ended.
    ended_ms: Option<u64>,
    /// What was reported, so that it is not reported every minute.
    reported: BTreeSet<String>,
    summary: AgentSummary,
}

impl Courier {
    /// With what earlier runs left in the spool.
    pub(crate) fn new(
        shared: Arc<Shared>,
        appliance: Appliance,
        orders: watch::Sender<Orders>,
        spooled: mpsc::UnboundedReceiver<Spooled>,
    ) -> Self {
        let mut plan = UploadPlan::new();
        for (stream, seq) in shared.spool().unsent() {
            plan.spooled(stream, seq);
        }
        for (stream, seq) in shared.spool().durable() {
            plan.durable(stream, seq);
        }
        let current = shared.logs().current().log;
        plan.send_again(&left_over(&shared.spool(), &current, None));
        let recipients_due_ms = shared.clock.monotonic_ms().saturating_add(shared.config.limits.recipients_interval_ms);
        Self {
            shared,
            appliance,
            orders,
            spooled,
            plan,
            recipients_due_ms,
            ended_ms: None,
            reported: BTreeSet::new(),
            summary: AgentSummary::default(),
        }
    }

    /// Uploads until recording has ended and nothing is left to send (or the time for that is over).
    pub(crate) async fn run(mut self) -> Result<AgentSummary, AgentError> {
        loop {
            self.take_spooled();
            let now_ms = self.shared.clock.monotonic_ms();
            if self.plan.renewal_is_due(now_ms) {
                self.renew(EpochReason::Contradiction);
            }
            if self.ended_ms.is_none() && now_ms >= self.recipients_due_ms {
                self.watch_recipients().await?;
                continue;
            }
            let drain_ms = self.drain_ms(now_ms);
            if drain_ms == Some(0) {
                break;
            }
            if self.waits_for_witnesses_only(now_ms) {
                break;
            }
            match self.plan.next(now_ms) {
                Action::Rest if self.ended_ms.is_some() => break,
                Action::Rest => self.wait(self.recipients_due_ms.saturating_sub(now_ms)).await,
                Action::WaitUntil(until_ms) => {
                    let wait_ms = until_ms.saturating_sub(now_ms);
                    self.wait(drain_ms.unwrap_or(u64::MAX).min(wait_ms)).await;
                }
                action => match drain_ms {
                    // What is cut off here is sent again, the same bytes, at the next start.
                    Some(drain_ms) => match timeout(Duration::from_millis(drain_ms), self.perform(action)).await {
                        Ok(performed) => performed?,
                        Err(_) => break,
                    },
                    None => self.perform(action).await?,
                },
            }
        }
        self.summary.unsent = self.plan.unsent();
        Ok(self.summary)
    }

    /// How long uploading may go on after the end of recording.
    fn drain_ms(&self, now_ms: u64) -> Option<u64> {
        self.ended_ms.map(|ended_ms| ended_ms.saturating_add(self.shared.config.limits.drain_ms_max).saturating_sub(now_ms))
    }

    /// After the end of recording witnesses are not waited for long: the next start collects what is left.
    fn waits_for_witnesses_only(&self, now_ms: u64) -> bool {
        self.plan.unsent() == 0 && self.ended_ms.is_some_and(|ended_ms| now_ms >= ended_ms.saturating_add(WITNESSES_WAIT_MS))
    }

    fn take_spooled(&mut self) {
        loop {
            match self.spooled.try_recv() {
                Ok(spooled) => self.took(&spooled),
                Err(mpsc::error::TryRecvError::Empty) => return,
                Err(mpsc::error::TryRecvError::Disconnected) => {
                    self.ended_ms.get_or_insert(self.shared.clock.monotonic_ms());
                    return;
                }
            }
        }
    }

    fn took(&mut self, (stream, seq): &Spooled) {
        if *seq == 0 {
            self.plan.live(stream);
        }
        self.plan.spooled(stream, *seq);
    }

    /// Until something is spooled, recipients are due, or that time has passed.
    async fn wait(&mut self, wait_ms: u64) {
        let until_recipients_ms = self.recipients_due_ms.saturating_sub(self.shared.clock.monotonic_ms());
        let wait_ms = if self.ended_ms.is_none() { wait_ms.min(until_recipients_ms) } else { wait_ms };
        tokio::select! {
            () = sleep(Duration::from_millis(wait_ms)) => {}
            spooled = self.spooled.recv(), if self.ended_ms.is_none() => match spooled {
                Some(spooled) => self.took(&spooled),
                None => self.ended_ms = Some(self.shared.clock.monotonic_ms()),
            },
        }
    }

    async fn perform(&mut self, action: Action) -> Result<(), AgentError> {
        let (stream, seq, outcome) = match action {
            Action::Send(stream, seq) => {
                let outcome = unless_full(self.send(&stream, seq).await)?;
                (stream, seq, outcome)
            }
            Action::Collect(stream, seq) => {
                let outcome = unless_full(self.collect_spooled(&stream, seq).await)?;
                (stream, seq, outcome)
            }
            Action::WaitUntil(_) | Action::Rest => return Ok(()),
        };
        let outcome = match outcome {
            outcome @ (Outcome::Ended(_) | Outcome::Untrustworthy(_) | Outcome::OtherLog(_) | Outcome::Refused { status: 403, .. }) => {
                match self.go_on().await? {
                    Moved::GoneOn => {
                        // The log that goes on was believed for what others signed. What this answer was is for somebody to look at.
                        if let Outcome::Untrustworthy(reason) = outcome {
                            self.find(Some(&stream), format!("before the camera went on in another log: {reason}"));
                        }
                        return Ok(());
                    }
                    // A log that contradicts itself, under its own keys, is not excused by another that it shows.
                    Moved::Waits(_) if matches!(outcome, Outcome::Untrustworthy(_)) => outcome,
                    Moved::Waits(reason) => Outcome::Later(reason),
                    Moved::Stays => outcome,
                }
            }
            outcome => outcome,
        };
        let now_ms = self.shared.clock.monotonic_ms();
        match self.plan.answered(&stream, seq, outcome, now_ms, jitter()?) {
            Consequence::Continue => {}
            Consequence::Delay { reason, until_ms, finding } => {
                if finding {
                    self.find(Some(&stream), reason.clone());
                }
                self.shared.tell(AgentEvent::UploadDelayed(Delay { reason, retry_in_ms: until_ms.saturating_sub(now_ms) }));
            }
            Consequence::Halt { finding } => self.find(Some(&stream), format!("statement {seq} is not on the ledger: {finding}")),
            Consequence::Renew(reason) => self.renew(reason),
            Consequence::Stop(reason) => {
                self.find(Some(&stream), reason.clone());
                return Err(AgentError::Untrustworthy(reason));
            }
        }
        Ok(())
    }

    /// What the appliance says may be the word of a log that goes on for ours. If that was shown, what ours did not get is sent to it, and a new
    /// epoch begins there.
    async fn go_on(&mut self) -> Result<Moved, AgentError> {
        let in_force = Arc::clone(&self.orders.borrow().recipients);
        let went = match go_on(&self.shared, &mut self.appliance, Some(&in_force.accepted)).await {
            Err(error) if error.is_full_disk() => return Ok(Moved::Waits(error.to_string())),
            went => went?,
        };
        match went {
            Ok(true) => {}
            Ok(false) => return Ok(Moved::Stays),
            Err(NotBelieved { text, waits_for_custodians }) => {
                self.find(None, text.clone());
                return Ok(if waits_for_custodians { Moved::Waits(text) } else { Moved::Stays });
            }
        }
        let current = self.shared.logs().current().log;
        let left = left_over(&self.shared.spool(), &current, self.plan.live_stream());
        self.plan.send_again(&left);
        // An epoch is stated to the log that has the set which it obeys: the next one to this log as soon as that has one.
        self.recipients_due_ms = 0;
        Ok(Moved::GoneOn)
    }

    async fn send(&mut self, stream: &StreamName, seq: u64) -> Result<Outcome, AgentError> {
        let loaded = self.load(stream, seq).await?;
        let spooled = match loaded {
            Ok(spooled) => spooled,
            // A payload is only let go early when the disk is full and the ledger has it: ask before giving the stream up.
            Err(reason) => return self.collect_spooled(stream, seq).await.map(|outcome| damaged_unless_receipt(outcome, reason)),
        };
        let attachments: Vec<&[u8]> = spooled.attachments.iter().map(Vec::as_slice).collect();
        match self.appliance.put(&spooled.signed, &attachments, spooled.payload.as_deref()).await {
            Ok(receipt) => self.settle(&spooled.signed, receipt).await,
            Err(error) => Ok(outcome_of(error)),
        }
    }

    /// Asks for the entry of a statement that the ledger seems to have.
    async fn collect_spooled(&mut self, stream: &StreamName, seq: u64) -> Result<Outcome, AgentError> {
        let entry = self.shared.spool().entry(stream, seq);
        let signed = match entry {
            Ok(signed) => signed,
            Err(SpoolError::Damaged { path, reason }) => return Ok(Outcome::Damaged(format!("{}: {reason}", path.display()))),
            Err(error) => return Err(error.into()),
        };
        match self.appliance.entry(&signed.leaf_hash()).await {
            Ok((_, receipt)) => self.settle(&signed, receipt).await,
            Err(ClientError::Refused(problem)) if problem.status == 404 => Ok(Outcome::Refused {
                status: 404,
                reason: "the ledger says that it is further on, and does not have this statement".into(),
            }),
            Err(error) => Ok(outcome_of(error)),
        }
    }

    async fn load(&self, stream: &StreamName, seq: u64) -> Result<Result<SpooledStatement, String>, AgentError> {
        let (stream, shared) = (stream.clone(), Arc::clone(&self.shared));
        match on_disk(move || shared.spool().load(&stream, seq)).await? {
            Ok(spooled) => Ok(Ok(spooled)),
            Err(SpoolError::Damaged { path, reason }) => Ok(Err(format!("{} in the spool is damaged: {reason}", path.display()))),
            Err(error) => Err(error.into()),
        }
    }

    /// A receipt was verified against what its statement had observed. It must also fit the newest head that this camera knows: then it is
    /// synced, the ciphertext is let go, and the head moves on.
    async fn settle(&mut self, signed: &SignedStatement, receipt: Receipt) -> Result<Outcome, AgentError> {
        let statement = signed.statement();
        let head = Head { size: receipt.checkpoint.size, root: receipt.checkpoint.root };
        let observed = self.shared.state().observed();
        let (current, end) = {
            let logs = self.shared.logs();
            (logs.current().log, logs.end_of(&receipt.log))
        };
        if receipt.log != current {
            // Of a log that has ended, its last checkpoint is known, and nothing else is proven to be of it.
            if end != Some(head) {
                return Ok(Outcome::Untrustworthy("a receipt of a log that has ended is not under its last checkpoint".into()));
            }
        } else if (statement.log, statement.observed) != (current, observed) || head.size < observed.size {
            let (older, newer) = if observed.size <= head.size { (observed, head) } else { (head, observed) };
            if let Err(error) = self.appliance.extends(&older, &newer).await {
                return Ok(match error {
                    ClientError::Refused(problem) => Outcome::Later(format!("{}: {}", problem.title, problem.detail)),
                    error => outcome_of(error),
                });
            }
        }
        let (stream, seq, shared) = (statement.stream.clone(), statement.seq, Arc::clone(&self.shared));
        let Receipt { index, is_final, .. } = receipt;
        let was = self.shared.spool().state_of(&stream, seq);
        on_disk(move || -> Result<(), AgentError> {
            // First: where there is no room, the statement is asked for again.
            if receipt.log == current && head.size > observed.size {
                shared.state().advance(head)?;
            }
            match (is_final, was) {
                // Sent again for the sake of what follows it: the receipt that is kept is good.
                (_, Some(ItemState::Final)) => {}
                (true, _) => shared.spool().acknowledge(&stream, seq, &receipt.proof)?,
                // One receipt that is not final is as good as another.
                (false, Some(ItemState::Durable)) => {}
                (false, _) => shared.spool().keep_durable(&stream, seq, &receipt.proof)?,
            }
            Ok(())
        })
        .await??;
        let (stream, seq) = (statement.stream.clone(), statement.seq);
        if was == Some(ItemState::Final) {
            return Ok(Outcome::Receipt);
        }
        if was == Some(ItemState::Unsent) {
            self.summary.acknowledged += 1;
            let unsent = self.plan.unsent().saturating_sub(1);
            self.shared.tell(AgentEvent::Acknowledged { stream, seq, index, unsent });
        } else if is_final {
            self.shared.tell(AgentEvent::Witnessed { stream, seq });
        }
        Ok(if is_final { Outcome::Receipt } else { Outcome::Durable })
    }

    async fn watch_recipients(&mut self) -> Result<(), AgentError> {
        let in_force = Arc::clone(&self.orders.borrow().recipients);
        match newest_recipients(&self.shared, &mut self.appliance, Some(&in_force)).await {
            Ok(Some(obeyed)) => self.orders.send_modify(|orders| orders.recipients = Arc::new(obeyed)),
            Ok(None) => {}
            Err(RecipientsFailure::Obtain(ObtainError::Client(ClientError::Unreachable { .. }))) => {}
            Err(RecipientsFailure::Obtain(error)) if error.may_be_of_successor() => match self.go_on().await? {
                // Asked again at once: the log that goes on may have the set already.
                Moved::GoneOn => {
                    if error.is_contradiction() {
                        self.find(None, format!("before the camera went on in another log: {error}"));
                    }
                    return Ok(());
                }
                Moved::Waits(_) if error.is_excused_by_successor() => {}
                Moved::Waits(_) | Moved::Stays if error.is_untrustworthy() => {
                    self.find(None, error.to_string());
                    return Err(AgentError::Untrustworthy(error.to_string()));
                }
                Moved::Waits(_) | Moved::Stays => self.find(None, format!("{error}; recording goes on with those in force")),
            },
            Err(RecipientsFailure::Obtain(error)) => self.find(None, format!("{error}; recording goes on with those in force")),
            Err(RecipientsFailure::Agent(error)) if error.is_full_disk() => {
                self.find(None, format!("{error}; recording goes on with those in force"));
            }
            Err(RecipientsFailure::Agent(error)) => return Err(error),
        }
        let accepted = self.orders.borrow().recipients.accepted.clone();
        if self.shared.clock.now() > accepted.expires && self.reported.insert(format!("stale {}", accepted.number)) {
            self.shared.tell(AgentEvent::RecipientsStale { number: accepted.number, expired: accepted.expires });
        }
        self.recipients_due_ms = self.shared.clock.monotonic_ms().saturating_add(self.shared.config.limits.recipients_interval_ms);
        Ok(())
    }

    fn renew(&self, reason: EpochReason) {
        self.orders.send_modify(|orders| {
            orders.renewals += 1;
            orders.reason = reason;
        });
    }

    fn find(&mut self, stream: Option<&StreamName>, text: String) {
        if self.reported.insert(text.clone()) {
            self.summary.findings += 1;
            self.shared.tell(AgentEvent::Finding { stream: stream.cloned(), text });
        }
    }
}

/// Whether another log goes on for ours.
enum Moved {
    GoneOn,
    /// What it lacks so that it is believed, or kept: approvals of custodians, room on the disk.
    Waits(String),
    Stays,
}

pub(crate) enum RecipientsFailure {
    Obtain(ObtainError),
    Agent(AgentError),
}

/// Asks for newer recipients; what is accepted is synced, and its number remembered, before it is used.
pub(crate) async fn newest_recipients(
    shared: &Shared,
    appliance: &mut Appliance,
    in_force: Option<&Obeyed>,
) -> Result<Option<Obeyed>, RecipientsFailure> {
    let anchors = shared.logs().anchors();
    let obtain = obtain(shared, &anchors);
    let newest = obtain.newest(appliance, in_force, &recipients_path(shared)).await;
    let obeyed = newest.map_err(RecipientsFailure::Obtain)?;
    if let Some(obeyed) = &obeyed {
        let number = obeyed.accepted.number;
        shared.state().accept_recipients(number).map_err(|error| RecipientsFailure::Agent(error.into()))?;
    }
    Ok(obeyed)
}

pub(crate) fn obtain<'a>(shared: &'a Shared, anchors: &'a [Anchor]) -> Obtain<'a> {
    let config = &shared.config;
    Obtain { pin: &config.pin, anchors, camera: &config.camera, intermediates: &config.identity.chain, verifier: &RustCrypto }
}

/// Where accepted recipients are kept.
pub(crate) fn recipients_path(shared: &Shared) -> PathBuf {
    shared.config.state_folder.join("recipients.json")
}

/// Where there is no room to keep an answer, it is asked for again later: nothing was let go of.
fn unless_full(outcome: Result<Outcome, AgentError>) -> Result<Outcome, AgentError> {
    match outcome {
        Err(error) if error.is_full_disk() => Ok(Outcome::Later(error.to_string())),
        outcome => outcome,
    }
}

fn outcome_of(error: ClientError) -> Outcome {
    match error {
        ClientError::Refused(problem) => {
            let reason = format!("{}: {}", problem.title, problem.detail);
            outcome_of_refusal(&problem.kind, problem.status, problem.expected_seq, reason)
        }
        ClientError::Untrustworthy(reason) => Outcome::Untrustworthy(reason),
        error @ ClientError::OtherLog(_) => Outcome::OtherLog(error.to_string()),
        ClientError::Local(reason) => Outcome::Damaged(reason),
        error @ (ClientError::Unreachable { .. } | ClientError::Protocol(_)) => Outcome::Later(error.to_string()),
    }
}

fn damaged_unless_receipt(outcome: Outcome, reason: String) -> Outcome {
    match outcome {
        Outcome::Receipt | Outcome::Durable | Outcome::Later(_) | Outcome::Untrustworthy(_) | Outcome::OtherLog(_) => outcome,
        Outcome::Chain { .. } | Outcome::Ended(_) | Outcome::Refused { .. } | Outcome::Damaged(_) => Outcome::Damaged(reason),
    }
}

/// Disk work off the threads that serve the network.
async fn on_disk<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Result<T, AgentError> {
    tokio::task::spawn_blocking(work).await.map_err(|error| AgentError::Failed(error.to_string()))
}

/// At least 0, below 1.
fn jitter() -> Result<f64, AgentError> {
    let random = getrandom::u32().map_err(AgentError::Randomness)?;
    Ok(f64::from(random) / (f64::from(u32::MAX) + 1.0))
}

//! The recording half of an agent: fragments in, synced signed statements out. It runs on a thread of its own.
//!
//! It does not know whether there is a link. It blocks on the disk and the signing key, never on the network.

use std::sync::{Arc, Mutex, MutexGuard};

use exhibit_evidence::{
    AttachmentRef, Body, Head, SignedStatement, StreamName,
    body::{Close, CloseReason, Continues, Epoch, EpochReason, Gap, GapCause},
    envelope::KeyPackage,
    keytree::SLOTS,
};
use exhibit_pki::Timestamp;
use tokio::{
    runtime::Handle,
    sync::{mpsc, watch},
};
use zeroize::Zeroizing;

use crate::{
    AgentConfig, AgentError, AgentEvent, Clock, Fragment, Input,
    epoch::{EpochKeys, MediaClock, slot_of},
    recipients::Obeyed,
    seal::{Chain, OpenSegment, SEGMENT_BYTES_MAX, SegmentStart, initialisation},
    spool::{Spool, SpoolError},
    state::AgentState,
    succession::Logs,
};

/// An epoch ends this long before its tree does, so that no segment is left without a key.
const SLOTS_RESERVE: u32 = 3_600;

/// What both halves of an agent share.
pub(crate) struct Shared {
    pub(crate) config: AgentConfig,
    pub(crate) clock: Arc<dyn Clock>,
    spool: Mutex<Spool>,
    state: Mutex<AgentState>,
    logs: Mutex<Logs>,
    events: mpsc::Sender<AgentEvent>,
}

impl Shared {
    pub(crate) fn new(
        config: AgentConfig,
        clock: Arc<dyn Clock>,
        spool: Spool,
        state: AgentState,
        logs: Logs,
        events: mpsc::Sender<AgentEvent>,
    ) -> Self {
        Self { config, clock, spool: Mutex::new(spool), state: Mutex::new(state), logs: Mutex::new(logs), events }
    }
    pub(crate) fn spool(&self) -> MutexGuard<'_, Spool> {
        self.spool.lock().expect("nothing panics while it holds the spool")
    }
    pub(crate) fn state(&self) -> MutexGuard<'_, AgentState> {
        self.state.lock().expect("nothing panics while it holds the state")
    }
    pub(crate) fn logs(&self) -> MutexGuard<'_, Logs> {
        self.logs.lock().expect("nothing panics while it holds the logs")
    }
    /// Tells whoever listens. Recording never waits for a listener.
    pub(crate) fn tell(&self, event: AgentEvent) {
        drop(self.events.try_send(event));
    }
}

/// What the uploading half asks of the recording half; obeyed where a segment begins.
#[derive(Clone)]
pub(crate) struct Orders {
    /// Wrap to these; higher numbers begin a new epoch.
    pub(crate) recipients: Arc<Obeyed>,
    /// Begin a new epoch each time this rises.
    pub(crate) renewals: u64,
    /// Why.
    pub(crate) reason: EpochReason,
}

/// A statement that was synced: its stream and position. Position 0 begins the stream that is live from now on.
pub(crate) type Spooled = (StreamName, u64);

pub(crate) struct Recorder {
    shared: Arc<Shared>,
    orders: watch::Receiver<Orders>,
    spooled: mpsc::UnboundedSender<Spooled>,
    epoch: RunningEpoch,
    media_clock: MediaClock,
    segment: Option<(OpenSegment, u64)>,
    /// Since when nothing is kept, and why.
    gap: Option<(GapCause, Timestamp)>,
    initialisation: Vec<u8>,
    renewals: u64,
    segments: u64,
}

struct RunningEpoch {
    /// Its `close` is spooled, and the next epoch is not begun yet.
    is_closed: bool,
    keys: EpochKeys,
    chain: Chain,
    began_ms: u64,
    recipients_number: u64,
}

enum Next {
    Input(Input),
    Stop,
}

impl Recorder {
    /// Begins the first epoch.
    pub(crate) fn begin(
        shared: Arc<Shared>,
        orders: watch::Receiver<Orders>,
        spooled: mpsc::UnboundedSender<Spooled>,
        reason: EpochReason,
    ) -> Result<Self, AgentError> {
        let recipients = Arc::clone(&orders.borrow().recipients);
        let renewals = orders.borrow().renewals;
        let epoch = begin_epoch(&shared, &spooled, &recipients, reason)?;
        Ok(Self {
            shared,
            orders,
            spooled,
            epoch,
            media_clock: MediaClock::default(),
            segment: None,
            gap: None,
            initialisation: Vec::new(),
            renewals,
            segments: 0,
        })
    }

    /// Records until the inputs end, or until the uploading half is gone. Gives the number of segments.
    pub(crate) fn run(mut self, mut inputs: mpsc::Receiver<Input>, runtime: &Handle) -> Result<u64, AgentError> {
        loop {
            let reason = match runtime.block_on(next(&mut inputs, &mut self.orders)) {
                Next::Input(Input::Fragment(fragment)) => {
                    self.fragment(fragment)?;
                    continue;
                }
                Next::Input(Input::SourceLost) => {
                    self.source_lost()?;
                    continue;
                }
                Next::Input(Input::EndOfSource) => CloseReason::EndOfSource,
                Next::Input(Input::Stop) | Next::Stop => CloseReason::Stop,
            };
            self.finish_segment()?;
            match self.end(reason) {
                // As after a power cut: the next epoch continues what is there.
                Err(AgentError::Spool(SpoolError::Full)) => self.shared.tell(AgentEvent::SpoolFull),
                ended => ended?,
            }
            return Ok(self.segments);
        }
    }

    fn fragment(&mut self, mut fragment: Fragment) -> Result<(), AgentError> {
        if fragment.bytes.len() + self.initialisation.len() > SEGMENT_BYTES_MAX || fragment.bytes.is_empty() {
            let text = format!("a fragment of {} bytes cannot be recorded: lower the bit rate or the chunk duration", fragment.bytes.len());
            self.shared.tell(AgentEvent::Finding { stream: None, text });
            return self.source_lost();
        }
        if fragment.begins_segment {
            self.initialisation = initialisation(&fragment.bytes).to_vec();
            self.finish_segment()?;
            match self.obey() {
                // It is tried again where the next segment begins, and the gap says what is missing.
                Err(AgentError::Spool(SpoolError::Full)) => {
                    self.drop_from(earlier(self.shared.clock.now(), fragment.duration_ms));
                    return Ok(());
                }
                obeyed => obeyed?,
            }
            return self.begin_segment(fragment);
        }
        match &mut self.segment {
            Some((segment, _)) if segment.has_room_for(&fragment) => segment.push(fragment),
            Some(_) => {
                self.finish_segment()?;
                let mut bytes = self.initialisation.clone();
                bytes.append(&mut fragment.bytes);
                fragment.bytes = bytes;
                self.begin_segment(fragment)?;
            }
            // The rest of a segment whose beginning was not kept: the gap covers it.
            None => {}
        }
        Ok(())
    }

    fn begin_segment(&mut self, first: Fragment) -> Result<(), AgentError> {
        let clock = &self.shared.clock;
        let (arrived_ms, now) = (clock.monotonic_ms(), clock.now());
        let started_ms = self.media_clock.started_ms(arrived_ms, first.start_ms, first.duration_ms);
        let start = earlier(now, arrived_ms - started_ms);
        if !self.shared.spool().has_room_for(SEGMENT_BYTES_MAX as u64) {
            self.drop_from(start);
            return Ok(());
        }
        match self.state_gap(start) {
            // The disk is full below our own limit: the gap goes on.
            Err(AgentError::Spool(SpoolError::Full)) => return Ok(()),
            stated => stated?,
        }
        let slot = slot_of(started_ms, self.epoch.began_ms).max(self.epoch.keys.first_held());
        let key = self.epoch.keys.slot_key(slot)?;
        let mut salt = [0; 16];
        draw(&mut salt)?;
        let chain = &self.epoch.chain;
        let segment = OpenSegment::begin(chain.stream(), chain.next_seq(), key, SegmentStart { slot, salt, start }, first);
        self.segment = Some((segment, started_ms));
        Ok(())
    }

    fn finish_segment(&mut self) -> Result<(), AgentError> {
        let Some((segment, started_ms)) = self.segment.take() else { return Ok(()) };
        let (start, duration_ms) = (segment.start().start, segment.duration_ms());
        let (body, ciphertext) = segment.finish(&self.shared.config.media_type);
        match self.append(Body::Segment(body), &[], Some(&ciphertext)) {
            Err(AgentError::Spool(SpoolError::Full)) => {
                self.drop_from(start);
                return Ok(());
            }
            other => {
                let signed = other?;
                self.segments += 1;
                let (stream, seq) = (signed.statement().stream.clone(), signed.statement().seq);
                self.shared.tell(AgentEvent::Sealed { stream, seq, bytes: ciphertext.len() as u64, start, duration_ms });
            }
        }
        // The next segment starts where this one ends: what is before that is sealed for good.
        let ended = slot_of(started_ms.saturating_add(duration_ms), self.epoch.began_ms).min(SLOTS - 1);
        if ended > self.epoch.keys.first_held() {
            self.epoch.keys.forget_before(ended)?;
        }
        Ok(())
    }

    fn source_lost(&mut self) -> Result<(), AgentError> {
        let ended = self.segment.as_ref().and_then(|(segment, _)| segment.start().start.checked_add_ms(segment.duration_ms()));
        self.finish_segment()?;
        if self.gap.is_none() {
            self.gap = Some((GapCause::SourceLost, ended.unwrap_or_else(|| self.shared.clock.now())));
        }
        Ok(())
    }

    fn drop_from(&mut self, start: Timestamp) {
        if self.gap.is_none() {
            self.gap = Some((GapCause::EvictedOffline, start));
            self.shared.tell(AgentEvent::SpoolFull);
        }
    }

    fn state_gap(&mut self, to: Timestamp) -> Result<(), AgentError> {
        let Some((cause, from)) = self.gap else { return Ok(()) };
        self.append(Body::Gap(Gap { cause, from, to: to.max(from), attachments: Vec::new() }), &[], None)?;
        self.gap = None;
        if cause == GapCause::EvictedOffline {
            self.shared.tell(AgentEvent::SpoolHasRoom);
        }
        Ok(())
    }

    /// A new epoch where one is due: other recipients, a refused chain, a day gone by.
    fn obey(&mut self) -> Result<(), AgentError> {
        let orders = self.orders.borrow_and_update().clone();
        let age_ms = self.shared.clock.monotonic_ms().saturating_sub(self.epoch.began_ms);
        let old = age_ms >= self.shared.config.limits.epoch_ms_max || self.epoch.keys.first_held() >= SLOTS - SLOTS_RESERVE;
        let reason = if orders.renewals > self.renewals {
            orders.reason
        } else if orders.recipients.on != *self.epoch.chain.log() {
            EpochReason::Succession
        } else if old || self.epoch.is_closed || orders.recipients.accepted.number > self.epoch.recipients_number {
            EpochReason::Rotation
        } else {
            return Ok(());
        };
        if reason != EpochReason::Contradiction {
            self.close(CloseReason::Rotation)?;
        }
        self.epoch = begin_epoch(&self.shared, &self.spooled, &orders.recipients, reason)?;
        // Obeyed only now: a full disk may have been in the way of either.
        self.renewals = orders.renewals;
        Ok(())
    }

    /// The last word of a recording.
    fn end(&mut self, reason: CloseReason) -> Result<(), AgentError> {
        if self.epoch.is_closed {
            return Ok(());
        }
        self.state_gap(self.shared.clock.now())?;
        self.close(reason)
    }

    fn close(&mut self, reason: CloseReason) -> Result<(), AgentError> {
        if self.epoch.is_closed {
            return Ok(());
        }
        let signed = self.append(Body::Close(Close { reason, attachments: Vec::new() }), &[], None)?;
        self.epoch.is_closed = true;
        self.shared.tell(AgentEvent::Closed { stream: signed.statement().stream.clone() });
        Ok(())
    }

    fn append(&mut self, body: Body, attachments: &[&[u8]], payload: Option<&[u8]>) -> Result<SignedStatement, AgentError> {
        append(&self.shared, &self.spooled, &mut self.epoch.chain, body, attachments, payload)
    }
}

/// Signs, syncs, and only then lets the statement take its place and leave.
fn append(
    shared: &Shared,
    spooled: &mpsc::UnboundedSender<Spooled>,
    chain: &mut Chain,
    body: Body,
    attachments: &[&[u8]],
    payload: Option<&[u8]>,
) -> Result<SignedStatement, AgentError> {
    let observed: Head = shared.state().observed_of(chain.log());
    let signed = chain.state(body, shared.clock.now(), observed)?;
    shared.spool().append(&signed, attachments, payload)?;
    chain.took(&signed);
    // Nobody listens once uploading has ended; the spool has it, and the next start sends it.
    drop(spooled.send((signed.statement().stream.clone(), signed.statement().seq)));
    Ok(signed)
}

fn begin_epoch(
    shared: &Shared,
    spooled: &mpsc::UnboundedSender<Spooled>,
    recipients: &Obeyed,
    reason: EpochReason,
) -> Result<RunningEpoch, AgentError> {
    let log = recipients.on;
    let started = shared.clock.now();
    let began_ms = shared.clock.monotonic_ms();
    let stream = name_epoch(shared, started)?;
    let mut root = Zeroizing::new([0; 32]);
    draw(root.as_mut())?;
    let keys = EpochKeys::begin(root)?;
    let (commitment, package) = keys.root_package(log, &stream).expect("the root is held until the first slot is used");
    let wraps = wrap(&package, recipients)?;
    let epoch = Epoch {
        commitment,
        started,
        recipients: recipients.accepted.leaf,
        continues: Continues { reason, previous: shared.spool().newest_position().cloned() },
        attachments: vec![AttachmentRef::of("wraps", &wraps, true)],
    };
    let mut chain = Chain::begin(log, stream.clone(), shared.config.identity.clone());
    append(shared, spooled, &mut chain, Body::Epoch(epoch), &[&wraps], None)?;
    let recipients_number = recipients.accepted.number;
    shared.tell(AgentEvent::EpochBegan { stream, recipients_number });
    Ok(RunningEpoch { is_closed: false, keys, chain, began_ms, recipients_number })
}

/// The stored form: salt, then the envelope to every recipient.
fn wrap(package: &KeyPackage, recipients: &Obeyed) -> Result<Vec<u8>, AgentError> {
    let mut failed = None;
    let mut entropy = |bytes: &mut [u8]| {
        if let Err(error) = getrandom::fill(bytes) {
            failed = Some(error);
        }
    };
    let envelope = package.seal(&recipients.certificates, &mut entropy)?;
    if let Some(error) = failed {
        return Err(AgentError::Randomness(error));
    }
    let mut salt = [0; 32];
    draw(&mut salt)?;
    Ok(AttachmentRef::erasable_bytes(&salt, &envelope))
}

/// `camera/102/main/<time>`: a second later as long as that name is taken, since a name has one meaning for ever.
fn name_epoch(shared: &Shared, started: Timestamp) -> Result<StreamName, AgentError> {
    let spool = shared.spool();
    let mut at = started;
    loop {
        let name = format!("{}/main/{}", shared.config.camera, at.compact());
        let stream = StreamName::parse(&name).map_err(|error| AgentError::Identity(error.to_string()))?;
        if !spool.has_stream(&stream) {
            return Ok(stream);
        }
        at = at.checked_add_ms(1000).ok_or_else(|| AgentError::Identity("the clock is at the end of time: set it".into()))?;
    }
}

async fn next(inputs: &mut mpsc::Receiver<Input>, orders: &mut watch::Receiver<Orders>) -> Next {
    loop {
        tokio::select! {
            biased;
            changed = orders.changed() => match changed {
                // New orders are obeyed where a segment begins.
                Ok(()) => {}
                Err(_) => return Next::Stop,
            },
            input = inputs.recv() => return input.map_or(Next::Stop, Next::Input),
        }
    }
}

fn draw(bytes: &mut [u8]) -> Result<(), AgentError> {
    getrandom::fill(bytes).map_err(AgentError::Randomness)
}

fn earlier(now: Timestamp, ms: u64) -> Timestamp {
    Timestamp::from_unix_ms(now.unix_ms().saturating_sub(ms)).expect("an earlier moment is in range")
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use std::sync::atomic::{AtomicU64, Ordering};

    use exhibit_evidence::{Anchor, Pin};
    use exhibit_pki::Subject;
    use exhibit_tlog::Hash;

    use super::*;
    use crate::{
        AgentLimits,
        recipients::{Accepted, Custodians},
        spool::ItemState,
        support,
    };

    #[derive(Default)]
    struct SetClock(AtomicU64);

    impl Clock for SetClock {
        fn now(&self) -> Timestamp {
            support::time("2026-11-20T12:00:00.000Z").checked_add_ms(self.monotonic_ms()).unwrap()
        }
        fn monotonic_ms(&self) -> u64 {
            self.0.load(Ordering::Relaxed)
        }
    }

    struct Bench {
        clock: Arc<SetClock>,
        recorder: Recorder,
        orders: watch::Sender<Orders>,
        _folder: tempfile::TempDir,
    }

    fn bench() -> Bench {
        let pki = support::Pki::new(10);
        let folder = tempfile::tempdir().unwrap();
        let anchor = Anchor {
            log: Hash([1; 32]),
            verifier: support::Log::new().verifier(),
            roots: vec![pki.root.clone()],
            policy: Default::default(),
        };
        let config = AgentConfig {
            state_folder: folder.path().to_owned(),
            appliance_address: "localhost:1".into(),
            identity: pki.identity(&pki.camera()),
            pin: Pin { anchor, custodians: vec![], threshold: 1 },
            camera: Subject::parse("camera/102").unwrap(),
            media_type: "video/mp4".into(),
            limits: AgentLimits::default(),
        };
        let logs = Logs::open(&folder.path().join("logs.json"), &config.pin.anchor).unwrap();
        let anchor_log = logs.current().log;
        let accepted = Accepted {
            number: 1,
            leaf: Hash([2; 32]),
            log: anchor_log,
            next: Custodians { fingerprints: vec![], threshold: 1 },
            expires: support::time("2050-01-01T00:00:00.000Z"),
        };
        let recipients = Arc::new(Obeyed { accepted, certificates: vec![pki.custodian_wrapping().certificate], on: anchor_log });
        let (orders, ordered) = watch::channel(Orders { recipients, renewals: 0, reason: EpochReason::Rotation });
        let clock = Arc::new(SetClock(AtomicU64::new(1_000_000)));
        let spool = Spool::open(&folder.path().join("spool"), 1 << 30, 100).unwrap();
        let state = AgentState::open(&folder.path().join("state.json"), anchor_log).unwrap();
        let shared = Arc::new(Shared::new(config, clock.clone(), spool, state, logs, mpsc::channel(100).0));
        let recorder = Recorder::begin(shared, ordered, mpsc::unbounded_channel().0, EpochReason::Start).unwrap();
        Bench { clock, recorder, orders, _folder: folder }
    }

    impl Bench {
        /// A fragment of half a second that arrives when it has ended.
        fn fragment(&mut self, start_ms: u64, begins_segment: bool) {
            self.clock.0.store(1_000_000 + start_ms + 500, Ordering::Relaxed);
            let fragment = Fragment { bytes: vec![7; 100], begins_segment, random_access: begins_segment, start_ms, duration_ms: 500 };
            self.recorder.fragment(fragment).unwrap();
        }

        fn segment(&self, seq: u64) -> exhibit_evidence::body::Segment {
            let spool = self.recorder.shared.spool();
            assert_eq!(spool.state_of(self.recorder.epoch.chain.stream(), seq), Some(ItemState::Unsent));
            match &spool.entry(self.recorder.epoch.chain.stream(), seq).unwrap().statement().body {
                Body::Segment(segment) => segment.clone(),
                other => panic!("{other:?}"),
            }
        }
    }

    #[test]
    fn a_segment_has_the_key_of_the_second_in_which_it_starts_and_the_clock_of_its_first_frame() {
        let mut bench = bench();
        for part in 0..8 {
            bench.fragment(3_000 + part * 500, part % 4 == 0);
        }
        bench.recorder.finish_segment().unwrap();
        let first = bench.segment(1);
        let second = bench.segment(2);
        assert_eq!((first.slot, second.slot), (3, 5));
        let began = support::time("2026-11-20T12:00:00.000Z").checked_add_ms(1_000_000).unwrap();
        assert_eq!((first.start, first.duration_ms), (began.checked_add_ms(3_000).unwrap(), 2_000));
        assert_eq!(second.start, began.checked_add_ms(5_000).unwrap());
    }

    /// The disk is full where an epoch ends, or where the next begins: what comes meanwhile is dropped and named, and recording goes on.
    #[test]
    fn a_full_disk_where_an_epoch_ends_is_waited_for() {
        for room in [0, 1] {
            let mut bench = bench();
            for part in 0..4 {
                bench.fragment(3_000 + part * 500, part == 0);
            }
            bench.recorder.finish_segment().unwrap();
            let before = bench.recorder.epoch.chain.stream().clone();
            bench.orders.send_modify(|orders| orders.renewals += 1);
            bench.recorder.shared.spool().room = Some(room);
            for part in 0..8 {
                bench.fragment(5_000 + part * 500, part % 4 == 0);
            }
            assert_eq!(bench.recorder.epoch.chain.stream(), &before, "an epoch began that is not in the spool");
            assert_eq!(bench.recorder.epoch.is_closed, room == 1);
            bench.recorder.shared.spool().room = None;
            for part in 0..4 {
                bench.fragment(9_000 + part * 500, part == 0);
            }
            bench.recorder.finish_segment().unwrap();
            assert_ne!(bench.recorder.epoch.chain.stream(), &before, "the order was forgotten");
            let spool = bench.recorder.shared.spool();
            let stated = |seq| spool.entry(bench.recorder.epoch.chain.stream(), seq).unwrap().statement().body.clone();
            let Body::Gap(gap) = stated(1) else { panic!("{:?}", stated(1)) };
            assert_eq!(
                (gap.cause, gap.to.unix_ms() - gap.from.unix_ms()),
                (GapCause::EvictedOffline, 4_000),
                "what was dropped is not named"
            );
            assert!(matches!(stated(2), Body::Segment(_)));
            let Body::Epoch(epoch) = stated(0) else { panic!("{:?}", stated(0)) };
            let last = epoch.continues.previous.unwrap();
            assert!(matches!(spool.entry(&before, last.seq).unwrap().statement().body, Body::Close(_)), "the epoch was not closed");
        }
    }

    /// Where the log that was stated to is lost, and the one that goes on has no recipients yet, epochs go on being stated to the log before.
    #[test]
    fn an_epoch_is_stated_to_the_log_that_has_the_set_which_it_obeys() {
        let mut bench = bench();
        let before = *bench.recorder.epoch.chain.log();
        bench.orders.send_modify(|orders| orders.renewals += 1);
        let segment = |bench: &mut Bench, start_ms| (0..4_u64).for_each(|part| bench.fragment(start_ms + part * 500, part == 0));
        segment(&mut bench, 3_000);
        assert_eq!(*bench.recorder.epoch.chain.log(), before);
        let next = Hash([9; 32]);
        bench.orders.send_modify(|orders| orders.recipients = Arc::new(Obeyed { on: next, ..(*orders.recipients).clone() }));
        segment(&mut bench, 5_000);
        assert_eq!(*bench.recorder.epoch.chain.log(), next);
        let spool = bench.recorder.shared.spool();
        let stated = spool.entry(bench.recorder.epoch.chain.stream(), 0).unwrap();
        let Body::Epoch(epoch) = &stated.statement().body else { panic!("{stated:?}") };
        assert_eq!((stated.statement().log, epoch.continues.reason), (next, EpochReason::Succession));
    }

    #[test]
    fn a_full_disk_at_the_end_ends_the_recording_like_a_power_cut() {
        let bench = bench();
        bench.recorder.shared.spool().room = Some(0);
        let (inputs, for_recorder) = mpsc::channel(1);
        drop(inputs);
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        assert_eq!(bench.recorder.run(for_recorder, runtime.handle()).unwrap(), 0);
    }

    #[test]
    fn once_a_segment_is_sealed_whoever_takes_the_camera_cannot_open_it() {
        let mut bench = bench();
        for part in 0..4 {
            bench.fragment(3_000 + part * 500, part == 0);
        }
        assert_eq!(bench.recorder.epoch.keys.first_held(), 3);
        bench.recorder.finish_segment().unwrap();
        assert_eq!(bench.recorder.epoch.keys.first_held(), 5);
        let slot = bench.segment(1).slot;
        assert!(bench.recorder.epoch.keys.slot_key(slot).is_err());
    }
}

//! The agent at work against a server over real TLS that tells the truth, is away, or forges.
#![allow(clippy::unwrap_used)]

mod camera;
mod lost;
#[path = "../../../../client/tests/support/mod.rs"]
mod support;

use exhibit_camera_core::{AgentConfig, AgentError, AgentEvent, AgentSummary, CameraAgent, Clock, Fragment, Input, SystemClock};
use exhibit_evidence::body::{CloseReason, EpochReason, GapCause};
use exhibit_evidence::segment::SegmentOpener;
use exhibit_evidence::{Body, envelope};
use exhibit_pki::{KeyPurpose, Role, Subject, Timestamp};
use std::sync::Arc;
use tokio::sync::mpsc;

use camera::{appliance, config, kinds, logged, open_wraps, spooled, start, start_at, streams};
use support::{FakeAppliance, Mischief, time};

#[tokio::test]
async fn what_is_recorded_is_on_the_ledger_chained_and_opens_with_the_recipients_key() {
    let fake = appliance().await;
    let folder = tempfile::tempdir().unwrap();
    let mut camera = start(config(&fake, folder.path()));
    let stream = camera.until_begun().await;
    for content in ["first", "second", "third"] {
        camera.segment(content).await;
    }
    let summary = camera.end().await.unwrap();
    assert_eq!(summary, AgentSummary { segments: 3, acknowledged: 5, unsent: 0, findings: 0 });

    let statements = logged(&fake);
    assert_eq!(statements.len(), 5);
    let mut before = exhibit_tlog::Hash::default();
    let mut observed = 0;
    for (seq, (index, signed)) in statements.iter().enumerate() {
        let statement = signed.statement();
        assert_eq!((statement.seq, statement.prev, statement.log), (seq as u64, before, fake.anchor().log));
        assert!(statement.observed.size >= observed && statement.observed.size <= *index, "the observed head fell or is impossible");
        observed = statement.observed.size;
        before = signed.leaf_hash();
        signed.verify(&fake.pki.camera().certificate, &exhibit_pki::RustCrypto).unwrap();
    }

    let tree = open_wraps(&fake, &statements[0].1);
    let payloads = fake.world().payloads.clone();
    let mut slot = 0;
    for (seq, content) in [(1, "first"), (2, "second"), (3, "third")] {
        let statement = statements[seq].1.statement();
        let Body::Segment(segment) = &statement.body else { panic!("not a segment: {:?}", statement.body) };
        assert!(segment.slot >= slot, "the slot fell");
        slot = segment.slot;
        let opener = SegmentOpener::new(&statement.stream, statement.seq, segment, tree.slot_key(segment.slot).unwrap());
        let mut rest = payloads[&(stream.clone(), statement.seq)].as_slice();
        for (part, length) in segment.fragment_lengths.iter().enumerate() {
            let (sealed, after) = rest.split_at(*length as usize);
            assert_eq!(opener.open(part as u32, sealed).unwrap().plaintext, format!("{content}.{part}").into_bytes());
            rest = after;
        }
    }
    assert!(matches!(&statements[4].1.statement().body, Body::Close(close) if close.reason == CloseReason::EndOfSource));
    assert_eq!((spooled(folder.path(), "payload"), spooled(folder.path(), "receipt"), spooled(folder.path(), "entry")), (0, 5, 5));
}

#[tokio::test]
async fn statements_name_the_head_of_the_receipt_before_and_it_outlives_a_restart() {
    let fake = appliance().await;
    let folder = tempfile::tempdir().unwrap();
    for expected in [0, 6] {
        let mut camera = start(config(&fake, folder.path()));
        camera.until_at_work().await;
        let head = fake.head();
        camera.segment("after the receipt").await;
        camera.end().await.unwrap();
        let streams = streams(&fake);
        let last = streams.last().unwrap();
        assert_eq!((last[0].observed.size, last[1].observed), (expected, head));
    }
}

#[tokio::test]
async fn a_camera_without_recipients_waits_says_so_and_can_be_stopped() {
    let fake = FakeAppliance::start().await;
    let folder = tempfile::tempdir().unwrap();
    let mut camera = start(config(&fake, folder.path()));
    let AgentEvent::Waiting(delay) = camera.until(|_| true).await else { panic!("it does not wait") };
    assert!(delay.reason.contains("no custodian has set recipients"), "{}", delay.reason);
    fake.introduce(&fake.pki.custodian_wrapping().certificate, 0);
    fake.recipients(&fake.pki.custodian(), |_| {});
    camera.until_begun().await;
    camera.end().await.unwrap();

    let other = tempfile::tempdir().unwrap();
    let nobody = FakeAppliance::start().await;
    assert_eq!(start(config(&nobody, other.path())).end().await.unwrap(), AgentSummary::default());
}

#[tokio::test]
async fn recipients_that_no_pinned_custodian_signed_are_not_obeyed() {
    let fake = FakeAppliance::start().await;
    let intruder = fake.pki.party("user/x1", Role::Custodian, KeyPurpose::Signing, 70);
    fake.introduce(&fake.pki.custodian_wrapping().certificate, 0);
    fake.introduce(&intruder.certificate, 1);
    fake.recipients(&intruder, |_| {});
    let folder = tempfile::tempdir().unwrap();
    let mut camera = start(config(&fake, folder.path()));
    let AgentEvent::Waiting(delay) = camera.until(|_| true).await else { panic!("an intruder was obeyed") };
    assert!(delay.reason.contains("no custodian of this camera"), "{}", delay.reason);
    fake.recipients(&fake.pki.custodian(), |_| {});
    camera.until_begun().await;
    camera.end().await.unwrap();
}

#[tokio::test]
async fn recording_goes_on_while_the_appliance_is_away_and_everything_arrives_in_order() {
    let fake = appliance().await;
    let folder = tempfile::tempdir().unwrap();
    let mut camera = start(config(&fake, folder.path()));
    camera.until_at_work().await;
    fake.misbehave(Mischief::Unavailable);
    for content in ["a", "b", "c"] {
        camera.segment(content).await;
    }
    camera.until(|event| matches!(event, AgentEvent::UploadDelayed(delay) if delay.retry_in_ms > 0)).await;
    fake.misbehave(Mischief::None);
    let summary = camera.end().await.unwrap();
    assert_eq!((summary.segments, summary.acknowledged, summary.unsent), (3, 5, 0));
    let seqs: Vec<u64> = logged(&fake).iter().map(|(_, signed)| signed.statement().seq).collect();
    assert_eq!(seqs, [0, 1, 2, 3, 4]);
}

#[tokio::test]
async fn a_receipt_lost_on_the_way_is_fetched_again_and_nothing_is_logged_twice() {
    let fake = appliance().await;
    let folder = tempfile::tempdir().unwrap();
    let mut camera = start(config(&fake, folder.path()));
    camera.until_at_work().await;
    fake.misbehave_times(Mischief::TakeAndHangUp, 3);
    camera.segment("a").await;
    let summary = camera.end().await.unwrap();
    assert_eq!((summary.acknowledged, summary.unsent), (3, 0));
    assert_eq!(logged(&fake).len(), 3);
}

#[tokio::test]
async fn what_one_run_left_the_next_one_sends_and_its_epoch_continues_it() {
    let fake = appliance().await;
    let folder = tempfile::tempdir().unwrap();
    let mut limited = config(&fake, folder.path());
    limited.limits.drain_ms_max = 0;
    let mut camera = start(limited);
    let first_stream = camera.until_at_work().await;
    fake.misbehave(Mischief::Unavailable);
    camera.segment("left behind").await;
    let summary = camera.end().await.unwrap();
    assert_eq!((summary.segments, summary.unsent), (1, 2));
    assert_eq!(spooled(folder.path(), "payload"), 1);

    // The appliance is still away: what was kept is enough to begin.
    let mut camera = start(config(&fake, folder.path()));
    let second_stream = camera.until_begun().await;
    assert_ne!(first_stream, second_stream);
    fake.misbehave(Mischief::None);
    camera.segment("next").await;
    let summary = camera.end().await.unwrap();
    assert_eq!((summary.segments, summary.acknowledged, summary.unsent), (1, 5, 0));
    let streams = streams(&fake);
    let lengths: Vec<_> = streams.iter().map(|stream| (stream[0].stream.as_str().to_owned(), stream.len())).collect();
    assert_eq!(lengths, [(first_stream, 3), (second_stream, 3)]);
    let Body::Epoch(epoch) = &streams[1][0].body else { panic!("not an epoch") };
    let previous = epoch.continues.previous.as_ref().unwrap();
    let close = logged(&fake).iter().find(|(_, signed)| *signed.statement() == streams[0][2]).unwrap().1.leaf_hash();
    assert_eq!((epoch.continues.reason, previous.seq, previous.leaf), (EpochReason::Start, 2, close));
}

#[tokio::test]
async fn a_forged_receipt_stops_the_camera_and_lets_nothing_go() {
    for mischief in [Mischief::ForeignKeys, Mischief::ForkedLog, Mischief::OneSignatureOnly] {
        let fake = appliance().await;
        let folder = tempfile::tempdir().unwrap();
        let mut camera = start(config(&fake, folder.path()));
        camera.until_at_work().await;
        fake.misbehave(mischief);
        camera.segment("precious").await;
        camera.begin_segment().await;
        let error = camera.wait().await.unwrap_err();
        assert!(matches!(error, AgentError::Untrustworthy(_)), "{mischief:?}: {error}");
        assert_eq!(error.exit_code(), 1);
        assert!(spooled(folder.path(), "payload") >= 1, "{mischief:?} let the evidence go");
        assert_eq!(spooled(folder.path(), "receipt"), 1);
    }
}

#[tokio::test]
async fn a_fork_behind_the_statements_own_head_is_noticed_before_anything_is_let_go() {
    let fake = appliance().await;
    let folder = tempfile::tempdir().unwrap();
    let mut limited = config(&fake, folder.path());
    limited.limits.drain_ms_max = 0;
    let mut camera = start(limited);
    camera.until_at_work().await;
    fake.misbehave(Mischief::Unavailable);
    camera.segment("left behind, and observed little").await;
    camera.end().await.unwrap();

    // The second run verifies its own epoch on the log. Then what was left behind is admitted to a log without that epoch: consistent with
    // all that the old statement had observed, not with what the camera has.
    fake.misbehave(Mischief::ForksBehind);
    let camera = start(config(&fake, folder.path()));
    let error = camera.wait().await.unwrap_err();
    assert!(matches!(error, AgentError::Untrustworthy(_)), "{error}");
    assert_eq!(spooled(folder.path(), "payload"), 1, "the evidence was let go to a fork");
}

/// A log that contradicts itself would otherwise only have to show another one, which nobody ever approves.
#[tokio::test]
async fn a_fork_is_not_excused_by_a_log_that_nobody_has_approved() {
    let untrustworthy = |ended: Result<AgentSummary, AgentError>, what: &str| match ended {
        Err(error @ AgentError::Untrustworthy(_)) => assert_eq!(error.exit_code(), 1),
        other => panic!("{what}: {other:?}"),
    };
    // In what answers an upload, and in what recipients are asked for.
    for mischief in [Mischief::ForkedLog, Mischief::ForeignRecipients] {
        let fake = appliance().await;
        fake.show_successor(&[]);
        let folder = tempfile::tempdir().unwrap();
        let mut camera = start(config(&fake, folder.path()));
        camera.until_at_work().await;
        fake.misbehave(mischief);
        camera.segment("precious").await;
        camera.begin_segment().await;
        untrustworthy(camera.wait().await, "while it records");
        if mischief == Mischief::ForeignRecipients {
            untrustworthy(start(config(&fake, folder.path())).wait().await, "at its start");
        }
    }
}

/// Custodians may have approved another log because of that very contradiction: the camera goes on there, and says what it has seen.
#[tokio::test]
async fn a_fork_is_told_also_where_custodians_have_approved_another_log() {
    for mischief in [Mischief::ForkedLog, Mischief::ForeignRecipients] {
        let fake = appliance().await;
        fake.show_successor(&[&fake.pki.custodian()]);
        let folder = tempfile::tempdir().unwrap();
        let mut camera = start(config(&fake, folder.path()));
        camera.until_at_work().await;
        fake.misbehave(mischief);
        camera.segment("precious").await;
        camera.begin_segment().await;
        let told = |event: &AgentEvent| match event {
            AgentEvent::Finding { text, .. } if text.contains("does not verify") || text.contains("extend") => true,
            AgentEvent::Finding { text, .. } => panic!("{mischief:?}: {text}"),
            _ => false,
        };
        camera.until(|event| matches!(event, AgentEvent::WentOn { is_planned: false, .. })).await;
        camera.until(told).await;
    }
}

/// What another log says is no contradiction of ours: it may be the one that goes on.
#[tokio::test]
async fn a_camera_waits_for_approvals_while_another_log_answers() {
    let fake = appliance().await;
    fake.show_successor(&[]);
    let folder = tempfile::tempdir().unwrap();
    let mut camera = start(config(&fake, folder.path()));
    camera.until_at_work().await;
    fake.misbehave(Mischief::AnotherLog);
    camera.segment("kept").await;
    camera.begin_segment().await;
    let waits = |event: &AgentEvent| matches!(event, AgentEvent::UploadDelayed(delay) if delay.reason.contains("0 of 1 custodians"));
    camera.until(waits).await;
    assert!(spooled(folder.path(), "payload") >= 1, "evidence was let go to a log that nobody has approved");
}

#[tokio::test]
async fn a_contradicted_stream_is_kept_and_a_new_epoch_says_why() {
    let fake = appliance().await;
    let folder = tempfile::tempdir().unwrap();
    let mut camera = start(config(&fake, folder.path()));
    let first = camera.until_at_work().await;
    fake.misbehave_times(Mischief::Contradict, 1);
    camera.segment("disputed").await;
    camera.segment("after").await;
    camera.until(|event| matches!(event, AgentEvent::Finding { stream: Some(stream), .. } if stream.as_str() == first)).await;
    let second = camera.record_until_begun(|_| true).await;
    let summary = camera.end().await.unwrap();
    assert!(summary.findings > 0 && summary.unsent > 0);
    assert!(spooled(folder.path(), "payload") > 0, "disputed evidence was deleted");
    let streams = streams(&fake);
    let renewed = streams.iter().find(|stream| stream[0].stream.as_str() == second).unwrap();
    assert!(matches!(&renewed[0].body, Body::Epoch(epoch) if epoch.continues.reason == EpochReason::Contradiction));
    assert!(matches!(renewed.last().unwrap().body, Body::Close(_)));
}

#[tokio::test]
async fn newer_recipients_begin_a_new_epoch_wrapped_to_them() {
    let fake = appliance().await;
    let folder = tempfile::tempdir().unwrap();
    let mut camera = start(config(&fake, folder.path()));
    camera.until_begun().await;
    camera.segment("for the first").await;
    let other = fake.pki.party("user/c2", Role::Custodian, KeyPurpose::Wrapping, 71);
    fake.introduce(&other.certificate, 1);
    let replaced = {
        let world = fake.world();
        exhibit_tlog::leaf_hash(&world.log.entries[world.recipients.unwrap() as usize])
    };
    let second = fake.recipients(&fake.pki.custodian(), |set| {
        set.number = 2;
        set.replaces = Some(replaced);
        set.recipients = vec![*other.certificate.fingerprint()];
    });
    camera.record_until_begun(|number| number == 2).await;
    camera.end().await.unwrap();
    let streams = streams(&fake);
    let Body::Epoch(epoch) = &streams[1][0].body else { panic!("not an epoch") };
    assert_eq!((epoch.recipients, epoch.continues.reason), (second, EpochReason::Rotation));
    assert!(matches!(&streams[0].last().unwrap().body, Body::Close(close) if close.reason == CloseReason::Rotation));
    let stored = fake.world().attachments[&epoch.attachments[0].sha256].clone();
    let envelope = epoch.attachments[0].open(&stored).unwrap();
    envelope::open(envelope, &other.certificate, other.key.as_ref()).unwrap();
    let before = fake.pki.custodian_wrapping();
    assert!(envelope::open(envelope, &before.certificate, before.key.as_ref()).is_err(), "who was removed still gets keys");
}

#[tokio::test]
async fn a_full_spool_drops_new_segments_and_a_gap_says_so() {
    let fake = appliance().await;
    let folder = tempfile::tempdir().unwrap();
    let mut tight = config(&fake, folder.path());
    tight.limits.spool_bytes_max = (8 << 20) + 10;
    let mut camera = start(tight);
    camera.until_at_work().await;
    fake.misbehave(Mischief::Unavailable);
    camera.segment("kept").await;
    camera.segment("dropped").await;
    camera.segment("dropped too").await;
    camera.until(|event| *event == AgentEvent::SpoolFull).await;
    fake.misbehave(Mischief::None);
    camera.until_acknowledged(1).await;
    camera.segment("kept again").await;
    camera.until(|event| *event == AgentEvent::SpoolHasRoom).await;
    let summary = camera.end().await.unwrap();
    assert_eq!((summary.segments, summary.unsent), (2, 0));
    assert_eq!(kinds(&fake), ["epoch/v1", "segment/v1", "gap/v1", "segment/v1", "close/v1"]);
    let Body::Gap(gap) = logged(&fake)[2].1.statement().body.clone() else { panic!("not a gap") };
    assert_eq!(gap.cause, GapCause::EvictedOffline);
    assert!(gap.from <= gap.to);
}

#[tokio::test]
async fn a_lost_source_ends_the_segment_and_is_stated_when_it_comes_back() {
    let fake = appliance().await;
    let folder = tempfile::tempdir().unwrap();
    let mut camera = start(config(&fake, folder.path()));
    camera.until_begun().await;
    camera.segment("before").await;
    camera.inputs.send(Input::SourceLost).await.unwrap();
    camera.segment("after").await;
    camera.end().await.unwrap();
    assert_eq!(kinds(&fake), ["epoch/v1", "segment/v1", "gap/v1", "segment/v1", "close/v1"]);
    assert!(matches!(&logged(&fake)[2].1.statement().body, Body::Gap(gap) if gap.cause == GapCause::SourceLost));
}

#[tokio::test]
async fn a_fragment_that_no_segment_can_hold_is_a_finding_and_a_gap() {
    let fake = appliance().await;
    let folder = tempfile::tempdir().unwrap();
    let mut camera = start(config(&fake, folder.path()));
    camera.until_begun().await;
    let huge = Fragment { bytes: vec![0; (8 << 20) + 1], begins_segment: true, random_access: true, start_ms: 0, duration_ms: 500 };
    camera.inputs.send(Input::Fragment(huge)).await.unwrap();
    camera.until(|event| matches!(event, AgentEvent::Finding { .. })).await;
    camera.segment("after").await;
    camera.end().await.unwrap();
    assert_eq!(kinds(&fake), ["epoch/v1", "gap/v1", "segment/v1", "close/v1"]);
}

#[tokio::test]
async fn a_segment_without_end_is_cut_and_each_part_has_its_initialisation() {
    let fake = appliance().await;
    let folder = tempfile::tempdir().unwrap();
    let mut camera = start(config(&fake, folder.path()));
    camera.until_begun().await;
    let made = |kind: &[u8; 4], body: &[u8]| [&(body.len() as u32 + 8).to_be_bytes()[..], kind, body].concat();
    let head = [made(b"ftyp", b"cmf2"), made(b"moov", b"tracks")].concat();
    for part in 0..30_u64 {
        let media = made(b"moof", &[part as u8]);
        let bytes = if part == 0 { [head.clone(), media].concat() } else { media };
        let fragment = Fragment { bytes, begins_segment: part == 0, random_access: part == 0, start_ms: part * 500, duration_ms: 500 };
        camera.inputs.send(Input::Fragment(fragment)).await.unwrap();
    }
    camera.end().await.unwrap();
    let statements = logged(&fake);
    let tree = open_wraps(&fake, &statements[0].1);
    let mut cut = Vec::new();
    for (_, signed) in &statements[1..3] {
        let statement = signed.statement();
        let Body::Segment(segment) = &statement.body else { panic!("not a segment") };
        let opener = SegmentOpener::new(&statement.stream, statement.seq, segment, tree.slot_key(segment.slot).unwrap());
        let payload = fake.world().payloads[&(statement.stream.as_str().to_owned(), statement.seq)].clone();
        let first = opener.open(0, &payload[..segment.fragment_lengths[0] as usize]).unwrap().plaintext;
        assert!(first.starts_with(&head), "a part cannot be played alone");
        cut.push((segment.random_access, segment.duration_ms));
    }
    assert_eq!(cut, [(true, 10_000), (false, 5_000)]);
}

/// A wall clock that stands still: two starts within one second.
struct StoppedClock(SystemClock);

impl Clock for StoppedClock {
    fn now(&self) -> Timestamp {
        time("2026-11-20T11:59:58.000Z")
    }
    fn monotonic_ms(&self) -> u64 {
        self.0.monotonic_ms()
    }
}

#[tokio::test]
async fn two_starts_within_a_second_have_two_names() {
    let fake = appliance().await;
    let folder = tempfile::tempdir().unwrap();
    for expected in ["camera/102/main/20261120T115958Z", "camera/102/main/20261120T115959Z"] {
        let mut camera = start_at(config(&fake, folder.path()), Arc::new(StoppedClock(SystemClock::start())));
        assert_eq!(camera.until_begun().await, expected);
        camera.end().await.unwrap();
    }
}

#[tokio::test]
async fn a_day_old_epoch_is_rotated() {
    let fake = appliance().await;
    let folder = tempfile::tempdir().unwrap();
    let mut short = config(&fake, folder.path());
    short.limits.epoch_ms_max = 0;
    let mut camera = start(short);
    camera.until_begun().await;
    camera.segment("one").await;
    camera.segment("two").await;
    let summary = camera.end().await.unwrap();
    assert_eq!((summary.segments, summary.unsent), (2, 0));
    let streams = streams(&fake);
    assert_eq!(streams.len(), 3);
    let mut rotated = 0;
    for stream in &streams {
        rotated += u64::from(matches!(&stream[0].body, Body::Epoch(epoch) if epoch.continues.reason == EpochReason::Rotation));
    }
    assert_eq!(rotated, 2);
}

#[tokio::test]
async fn a_certificate_of_another_camera_or_role_does_not_begin() {
    let fake = appliance().await;
    let folder = tempfile::tempdir().unwrap();
    let begin = |config: AgentConfig| {
        let (_inputs, for_agent) = mpsc::channel(1);
        CameraAgent::start(config, Arc::new(SystemClock::start()), for_agent, mpsc::channel(1).0).err()
    };
    let mut other = config(&fake, folder.path());
    other.camera = Subject::parse("camera/103").unwrap();
    assert!(matches!(begin(other), Some(AgentError::Identity(_))));
    let mut person = config(&fake, folder.path());
    person.identity = fake.pki.identity(&fake.pki.custodian());
    person.camera = Subject::parse("user/c1").unwrap();
    assert!(matches!(begin(person), Some(AgentError::Identity(_))));
    assert!(begin(config(&fake, folder.path())).is_none());
}

#[tokio::test]
async fn older_recipients_put_back_on_the_disk_are_not_taken() {
    let fake = appliance().await;
    let folder = tempfile::tempdir().unwrap();
    let mut camera = start(config(&fake, folder.path()));
    camera.until_begun().await;
    camera.end().await.unwrap();
    let state = folder.path().join("state.json");
    let remembered = std::fs::read_to_string(&state).unwrap();
    assert!(remembered.contains("\"recipients_number\": 1"), "{remembered}");
    std::fs::write(&state, remembered.replace("\"recipients_number\": 1", "\"recipients_number\": 2")).unwrap();
    fake.misbehave(Mischief::Unavailable);
    let mut camera = start(config(&fake, folder.path()));
    camera.until(|event| matches!(event, AgentEvent::Finding { text, .. } if text.contains("older"))).await;
    camera.until(|event| matches!(event, AgentEvent::Waiting(_))).await;
    camera.end().await.unwrap();
}

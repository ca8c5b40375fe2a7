//! The intake over real sockets: what is admitted, what is refused, and that a refusal leaves nothing on the ledger.
#![allow(clippy::unwrap_used, missing_docs)]

mod common;

use common::*;
use exhibit_appliance::chronicle::ChronicleError;
use exhibit_appliance::ingest::judge::{Arrival, JudgeError, Judgement, judge};
use exhibit_appliance::ingest::logs;
use exhibit_appliance::vault::VaultError;
use exhibit_evidence::exchange::{Problem, StreamRecord};
use exhibit_evidence::{AttachmentRef, Body, SignedStatement, body, exchange::intake_prefix};
use exhibit_ledger::LedgerError;
use exhibit_pki::{KeyPurpose, Role};
use exhibit_tlog::Hash;

#[tokio::test(flavor = "multi_thread")]
async fn a_camera_is_admitted_on_one_connection_and_the_same_statement_keeps_its_index() {
    let world = World::new().await;
    let (_, recipients) = world.set_recipients().await;
    let mut camera = world.begin_epoch("20261120T115958Z", recipients).await;
    let mut connection = world.connect(&world.camera).await;
    let mut sent = Vec::new();
    for seq in 1..=3 {
        let (body, payload) = segment(&camera.stream, seq, 2 * seq as u32, &vec![seq as u8; 700_000]);
        let signed = camera.next(body);
        let admitted = connection.put(&signed, &[], &payload).await.admitted(201, &world.anchor, &mut camera, &signed);
        sent.push((signed, payload, admitted.index));
    }
    let size = world.size();
    // Sent again, on the same connection: answered before the payload was read, and the connection goes on.
    for (signed, payload, index) in &sent {
        let answer = connection.put(signed, &[], payload).await;
        assert!(!answer.closes());
        let mut scratch = world.begin_copy(&camera);
        assert_eq!(answer.admitted(200, &world.anchor, &mut scratch, signed).index, *index, "the same statement got another place");
    }
    assert_eq!(world.size(), size, "the same statement was logged twice");
    let stream: StreamRecord = connection.get(&format!("/v1/streams/{}", camera.stream)).await.json();
    assert_eq!(stream.next_seq, 4);
    assert_eq!(stream.leaf, camera.prev.to_string());
}

impl World {
    fn begin_copy(&self, writer: &Writer) -> Writer {
        Writer::new(writer.party.clone(), writer.stream.as_str(), &self.anchor)
    }
}

/// A world with a camera stream whose epoch is admitted.
async fn with_epoch() -> (World, Writer) {
    let world = World::new().await;
    let (_, recipients) = world.set_recipients().await;
    let camera = world.begin_epoch("20261120T115958Z", recipients).await;
    (world, camera)
}

#[tokio::test(flavor = "multi_thread")]
async fn payloads_other_than_signed_are_refused_and_nothing_is_logged() {
    let (world, mut camera) = with_epoch().await;
    let size = world.size();
    let (body, payload) = segment(&camera.stream, 1, 2, &[1; 100_000]);
    let signed = camera.next(body);

    let mut changed = payload.clone();
    changed[70_000] ^= 1;
    let longer = [payload.clone(), vec![0]].concat();
    for (defect, payload) in
        [("changed byte", &changed[..]), ("longer", &longer), ("shorter", &payload[..payload.len() - 1]), ("none", &[])]
    {
        let answer = world.connect(&world.camera).await.put(&signed, &[], payload).await;
        assert_eq!((answer.status, answer.kind().as_str()), (422, "payload"), "{defect}");
        assert!(answer.closes(), "{defect}: what was not read would be taken for a request");
    }

    // The sender ends before all that was announced has come.
    let mut connection = world.connect(&world.camera).await;
    let body = [intake_prefix(signed.der(), &[]), payload.clone()].concat();
    let head = format!("PUT {} HTTP/1.1\r\nHost: localhost\r\nContent-Length: {}\r\n\r\n", path_of(&signed), body.len());
    connection.send(head.as_bytes()).await.unwrap();
    connection.send(&body[..body.len() - 1]).await.unwrap();
    connection.end().await;
    // hyper may close without an answer; what counts is that nothing was admitted.
    let _ = connection.answer().await;

    assert_eq!(world.size(), size, "a payload that was not signed got onto the ledger");
    let staging = world.folder.path().join("state/vault/staging");
    let mut connection = world.connect(&world.camera).await;
    connection.put(&signed, &[], &payload).await.admitted(201, &world.anchor, &mut camera, &signed);
    assert_eq!(std::fs::read_dir(staging).unwrap().count(), 0, "refused uploads left files behind");
}

#[tokio::test(flavor = "multi_thread")]
async fn bodies_without_a_plain_length_are_refused() {
    let (world, camera) = with_epoch().await;
    let size = world.size();
    let (body, payload) = segment(&camera.stream, 1, 2, &[1; 1000]);
    let signed = camera.next(body);
    let body = [intake_prefix(signed.der(), &[]), payload].concat();
    let path = path_of(&signed);
    let chunked = [format!("{:x}\r\n", body.len()).as_bytes(), &body, b"\r\n0\r\n\r\n"].concat();
    let cases = [
        ("chunked", "Transfer-Encoding: chunked\r\n".to_owned(), chunked),
        ("no length", String::new(), Vec::new()),
        ("longer than signed", format!("Content-Length: {}\r\n", body.len() + 1), body.clone()),
        ("shorter than signed", format!("Content-Length: {}\r\n", body.len() - 1), body.clone()),
        ("shorter than the prefix", "Content-Length: 3\r\n".to_owned(), body[..3].to_vec()),
    ];
    for (defect, headers, body) in cases {
        let answer = world.connect(&world.camera).await.put_raw(&path, &headers, &body).await;
        assert!((400..500).contains(&answer.status), "{defect}: {answer:?}");
    }
    let entry_too_long = [&70_000_u32.to_be_bytes()[..], &[0; 70_000]].concat();
    let answer = world.connect(&world.camera).await.put_raw(&path, "Content-Length: 70004\r\n", &entry_too_long).await;
    assert_eq!((answer.status, answer.kind().as_str()), (413, "too-large"));
    assert_eq!(world.size(), size);
}

#[tokio::test(flavor = "multi_thread")]
async fn statements_that_do_not_belong_here_are_refused() {
    let (world, camera) = with_epoch().await;
    let size = world.size();
    let (body, payload) = segment(&camera.stream, 1, 2, &[1; 1000]);
    let good = camera.statement(body);
    let sign = |statement: &exhibit_evidence::Statement, party: &Party| {
        exhibit_evidence::sign(statement, &party.certificate, &party.signer).unwrap()
    };

    let mut other_log = good.clone();
    other_log.log = Hash([1; 32]);
    let mut broken_prev = good.clone();
    broken_prev.prev = Hash([1; 32]);
    let mut hole = good.clone();
    hole.seq = 2;
    let mut false_head = good.clone();
    false_head.observed.root = Hash([1; 32]);
    let mut future_head = good.clone();
    future_head.observed.size = size + 1;
    let unknown = world.pki.party("camera/102", &[Role::Camera], KeyPurpose::Signing);

    let cases = [
        ("other log", sign(&other_log, &world.camera), "log"),
        ("broken prev", sign(&broken_prev, &world.camera), "chain"),
        ("a hole in the chain", sign(&hole, &world.camera), "chain"),
        ("a head with another root", sign(&false_head, &world.camera), "observed"),
        ("a head of the future", sign(&future_head, &world.camera), "observed"),
        ("a certificate that is not on the ledger", sign(&good, &unknown), "certificate"),
    ];
    for (defect, signed, kind) in &cases {
        let answer = world.connect(&world.camera).await.put(signed, &[], &payload).await;
        assert_eq!(&answer.kind(), kind, "{defect}");
        assert!(answer.closes(), "{defect}");
        if *kind == "chain" {
            let problem: Problem = answer.json();
            assert_eq!((problem.expected_seq, problem.expected_prev), (Some(1), Some(camera.prev.to_string())), "{defect}");
        }
    }
    assert_eq!(world.size(), size, "something refused got onto the ledger");
    // The epoch had observed nothing yet: only behind a statement that has can a head fall.
    let mut camera = camera;
    let mut connection = world.connect(&world.camera).await;
    let signed = camera.next(good.body.clone());
    connection.put(&signed, &[], &payload).await.admitted(201, &world.anchor, &mut camera, &signed);
    let (body, payload) = segment(&camera.stream, 2, 4, &[1; 1000]);
    let mut fallen = camera.statement(body);
    (fallen.observed.size, fallen.observed.root) = (0, exhibit_tlog::EMPTY_ROOT);
    assert_eq!(connection.put(&sign(&fallen, &world.camera), &[], &payload).await.kind(), "observed", "a head that fell");

    // A good signature in a statement that it does not sign.
    let (body, payload) = segment(&camera.stream, 2, 4, &[2; 1000]);
    let signed = camera.next(body);
    let forged = with_signature_of_another(&signed, &camera);
    assert!(SignedStatement::parse(&forged).is_ok(), "the test would show another check");
    let body = [intake_prefix(&forged, &[]), payload].concat();
    let headers = format!("Content-Length: {}\r\n", body.len());
    let answer = world.connect(&world.camera).await.put_raw(&path_of(&signed), &headers, &body).await;
    assert_eq!((answer.status, answer.kind().as_str()), (422, "signature"));
    // Bytes that are no statement, and a statement on another path.
    let mut connection = world.connect(&world.camera).await;
    let answer = connection.put_raw(&path_of(&signed), "Content-Length: 12\r\n", &[0, 0, 0, 4, 1, 2, 3, 4, 0, 0, 0, 0]).await;
    assert_eq!((answer.status, answer.kind().as_str()), (400, "malformed"));
    let body = intake_prefix(signed.der(), &[]);
    let path = format!("/v1/streams/{}/3", camera.stream);
    let answer = world.connect(&world.camera).await.put_raw(&path, &format!("Content-Length: {}\r\n", body.len()), &body).await;
    assert_eq!(answer.kind(), "malformed");
}

/// The signed statement with a signature that the same key gave for another one. The signature stands at the end, in DER, whose length
/// varies: others are signed until one is as long.
fn with_signature_of_another(signed: &SignedStatement, writer: &Writer) -> Vec<u8> {
    let signature = |der: &[u8]| -> Vec<u8> {
        let lengths = (96..=104).find(|length| der[der.len() - length - 2..][..2] == [0x04, u8::try_from(*length).unwrap()]);
        der[der.len() - lengths.unwrap()..].to_vec()
    };
    let own = signature(signed.der());
    let other = (1..).find_map(|slot| {
        let (body, _) = segment(&writer.stream, writer.seq, slot, b"xy");
        Some(signature(writer.next(body).der())).filter(|other| other.len() == own.len())
    });
    [&signed.der()[..signed.der().len() - own.len()], &other.unwrap()].concat()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_judge_asks_for_the_owner_itself() {
    // Whoever may use a route is asked before; should that ever be forgotten, the judge still asks.
    let (world, camera) = with_epoch().await;
    let other = world.pki.party("camera/103", &[Role::Camera], KeyPurpose::Signing);
    let (body, _) = segment(&camera.stream, 1, 2, &[1; 1000]);
    let signed = camera.next(body);
    let appliance = &world.running.appliance;
    let judged_by = |peer: &exhibit_pki::Certificate| {
        let arrival = Arrival { stream: &camera.stream, seq: 1, peer, peer_chain: &[], knows: None, now: appliance.now() };
        judge(signed.clone(), &arrival, &logs(appliance))
    };
    assert!(matches!(judged_by(&world.camera.certificate), Ok(Judgement::Admit(_))));
    assert!(matches!(judged_by(&other.certificate), Err(JudgeError::NotOwner { .. })));
    assert!(matches!(judged_by(&world.pki.issuing), Err(JudgeError::NotOwner { .. })));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_certificate_that_has_expired_signs_nothing_more() {
    let mut world = World::new().await;
    let brief = world.pki.party_for("camera/102", &[Role::Camera], KeyPurpose::Signing, 0, 10);
    world.introduce(&brief.certificate).await;
    let (_, recipients) = world.set_recipients().await;
    let writer = Writer::new(brief, &format!("{SERIES}/20261120T115958Z"), &world.anchor);
    let (body, wraps) = epoch(&writer.stream, recipients);
    let signed = writer.next(body);
    // By a connection of the same camera whose certificate is still good.
    world.ahead_ms.store(11 * DAY_MS, std::sync::atomic::Ordering::Relaxed);
    let answer = world.connect(&world.camera).await.put(&signed, &[&wraps], &[]).await;
    assert_eq!((answer.status, answer.kind().as_str()), (403, "certificate"));
    world.ahead_ms.store(9 * DAY_MS, std::sync::atomic::Ordering::Relaxed);
    assert_eq!(world.connect(&world.camera).await.put(&signed, &[&wraps], &[]).await.status, 201);
    // Its path is known by now, which must not make it good for ever.
    world.ahead_ms.store(11 * DAY_MS, std::sync::atomic::Ordering::Relaxed);
    assert_eq!(world.connect(&world.camera).await.put(&signed, &[&wraps], &[]).await.kind(), "certificate");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_disk_refuses_and_a_failed_sync_ends_the_process() {
    let (world, mut camera) = with_epoch().await;
    let (body, payload) = segment(&camera.stream, 1, 2, &[1; 1000]);
    let signed = camera.next(body);
    let size = world.size();
    // Without the staging folder nothing can be created, as on a full disk.
    let staging = world.folder.path().join("state/vault/staging");
    std::fs::remove_dir(&staging).unwrap();
    let answer = world.connect(&world.camera).await.put(&signed, &[], &payload).await;
    assert_eq!((answer.status, answer.kind().as_str()), (507, "storage"));
    assert_eq!((world.size(), world.fatal.lock().unwrap().len()), (size, 0));
    std::fs::create_dir(&staging).unwrap();
    world.connect(&world.camera).await.put(&signed, &[], &payload).await.admitted(201, &world.anchor, &mut camera, &signed);

    let appliance = &world.running.appliance;
    let failed = || std::io::Error::other("no");
    appliance.heed_vault(&VaultError::Write(failed()));
    appliance.heed_ledger(&LedgerError::Overloaded);
    assert_eq!(world.fatal.lock().unwrap().len(), 0, "the process ended over what a sender can repeat");
    appliance.heed_vault(&VaultError::Sync(failed()));
    appliance.heed_ledger(&LedgerError::Stopped("a sync failed".to_owned()));
    appliance.heed_ledger(&LedgerError::Storage("no".to_owned()));
    appliance.heed_chronicle(&ChronicleError::Ledger(LedgerError::Stopped("a sync failed".to_owned())));
    assert_eq!(world.fatal.lock().unwrap().len(), 4, "the process went on though nobody knows what is on disk");
}

#[tokio::test(flavor = "multi_thread")]
async fn two_statements_for_one_place_convict_their_issuer_once() {
    let (world, mut camera) = with_epoch().await;
    let first_body = segment(&camera.stream, 1, 2, &[1; 1000]);
    let second_body = segment(&camera.stream, 1, 2, &[2; 1000]);
    let third_body = segment(&camera.stream, 1, 2, &[3; 1000]);
    let first = camera.next(first_body.0);
    let second = camera.next(second_body.0);
    let third = camera.next(third_body.0);
    let mut connection = world.connect(&world.camera).await;
    connection.put(&first, &[], &first_body.1).await.admitted(201, &world.anchor, &mut camera, &first);
    let size = world.size();
    for (statement, payload) in [(&second, &second_body.1), (&second, &second_body.1), (&third, &third_body.1)] {
        let answer = world.connect(&world.camera).await.put(statement, &[], payload).await;
        assert_eq!((answer.status, answer.kind().as_str()), (409, "contradiction"));
    }
    assert_eq!(world.size(), size + 1, "a contradiction is logged once for its place");
    let mut auditor = world.connect(&world.auditor).await;
    let (_, logged) = auditor.record(&format!("/v1/index/{size}")).await;
    let Body::Contradiction(body) = &logged.statement().body else { panic!("{logged:?}") };
    assert_eq!((&body.stream, body.seq), (&camera.stream, 1));
    for (attachment, statement) in body.attachments.iter().zip([&first, &second]) {
        let stored = auditor.get(&format!("/v1/attachments/{}", attachment.sha256)).await.body;
        assert_eq!(SignedStatement::parse(&stored).unwrap(), *statement, "the evidence against the issuer is not whole");
    }
    let answer = connection.get(&format!("/v1/attachments/{}", body.attachments[0].sha256)).await;
    assert_eq!((answer.status, answer.kind().as_str()), (403, "forbidden"));
    // The first statement stays, and the chain goes on after it.
    let (_, kept) = auditor.record(&format!("/v1/streams/{}/1", camera.stream)).await;
    assert_eq!(kept, first);
}

#[tokio::test(flavor = "multi_thread")]
async fn uploads_of_one_statement_at_once_end_with_one_entry() {
    let (world, camera) = with_epoch().await;
    let size = world.size();
    let (body, payload) = segment(&camera.stream, 1, 2, &vec![9; 3_000_000]);
    let signed = std::sync::Arc::new((camera.next(body), payload));
    let mut uploads = tokio::task::JoinSet::new();
    for _ in 0..4 {
        let (signed, mut connection) = (signed.clone(), world.connect(&world.camera).await);
        uploads.spawn(async move { connection.put(&signed.0, &[], &signed.1).await });
    }
    let mut statuses = Vec::new();
    while let Some(answer) = uploads.join_next().await {
        statuses.push(answer.unwrap().status);
    }
    assert!(statuses.iter().all(|status| matches!(status, 200 | 201)), "{statuses:?}");
    assert_eq!(statuses.iter().filter(|status| **status == 201).count(), 1, "{statuses:?}");
    assert_eq!(world.size(), size + 1, "a segment was counted twice");
    let name = signed.0.statement_hash().to_string();
    let stored = std::fs::read(world.folder.path().join("state/vault/payloads").join(&name[..2]).join(&name)).unwrap();
    assert!(stored == signed.1, "uploads at once were mixed into one file");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_rules_of_camera_streams() {
    let (world, mut camera) = with_epoch().await;
    let mut connection = world.connect(&world.camera).await;
    // Without an epoch first.
    let bare = Writer::new(world.camera.clone(), &format!("{SERIES}/20261121T115958Z"), &world.anchor);
    let (body, payload) = segment(&bare.stream, 0, 2, &[1; 1000]);
    assert_eq!(connection.put(&bare.next(body), &[], &payload).await.kind(), "rule", "a stream without an epoch");
    // An epoch that obeys recipients which are not there.
    let (body, wraps) = epoch(&bare.stream, Hash([9; 32]));
    let mut connection = world.connect(&world.camera).await;
    assert_eq!(connection.put(&bare.next(body), &[&wraps], &[]).await.kind(), "rule", "an epoch that obeys nobody");
    // A slot that falls.
    let mut connection = world.connect(&world.camera).await;
    for (seq, slot) in [(1, 10), (2, 10)] {
        let (body, payload) = segment(&camera.stream, seq, slot, &[1; 1000]);
        let signed = camera.next(body);
        connection.put(&signed, &[], &payload).await.admitted(201, &world.anchor, &mut camera, &signed);
    }
    let (body, payload) = segment(&camera.stream, 3, 9, &[1; 1000]);
    assert_eq!(connection.put(&camera.next(body), &[], &payload).await.kind(), "rule", "a slot that falls");
    // Nothing after a close.
    let mut connection = world.connect(&world.camera).await;
    let close = || Body::Close(body::Close { reason: body::CloseReason::Stop, attachments: vec![] });
    let signed = camera.next(close());
    connection.put(&signed, &[], &[]).await.admitted(201, &world.anchor, &mut camera, &signed);
    assert_eq!(connection.put(&camera.next(close()), &[], &[]).await.kind(), "rule", "a statement after the close");
    // A type that is not known, and one that is the appliance's own.
    let unknown = Writer::new(world.camera.clone(), &format!("{SERIES}/20261122T115958Z"), &world.anchor);
    let body = serde_json::json!({"attachments": []});
    let signed = unknown.next(Body::Unknown { type_name: "weather/v1".to_owned(), attachments: vec![], body });
    let mut connection = world.connect(&world.camera).await;
    assert_eq!(connection.put(&signed, &[], &[]).await.status, 422, "a type that is not known");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_attachment_other_than_signed_is_refused() {
    let world = World::new().await;
    let (_, recipients) = world.set_recipients().await;
    let size = world.size();
    let mut writer = Writer::new(world.camera.clone(), &format!("{SERIES}/20261120T115958Z"), &world.anchor);
    let (body, wraps) = epoch(&writer.stream, recipients);
    let signed = writer.next(body);
    let mut changed = wraps.clone();
    changed[40] ^= 1;
    let longer = [wraps.clone(), vec![0]].concat();
    for (defect, wraps) in [("changed byte", &changed[..]), ("longer", &longer), ("shorter", &wraps[1..])] {
        let answer = world.connect(&world.camera).await.put(&signed, &[wraps], &[]).await;
        assert_eq!((answer.status, answer.kind().as_str()), (422, "attachment"), "{defect}");
    }
    assert_eq!(world.size(), size);
    let mut connection = world.connect(&world.camera).await;
    connection.put(&signed, &[&wraps], &[]).await.admitted(201, &world.anchor, &mut writer, &signed);
}

#[tokio::test(flavor = "multi_thread")]
async fn after_a_restart_everything_goes_on() {
    let (world, mut camera) = with_epoch().await;
    let (body, payload) = segment(&camera.stream, 1, 2, &[1; 1000]);
    let signed = camera.next(body);
    world.connect(&world.camera).await.put(&signed, &[], &payload).await.admitted(201, &world.anchor, &mut camera, &signed);
    let size = world.size();
    let world = world.restart().await;
    assert_eq!(world.size(), size + 1, "a start is stated");
    let (_, start) = world.connect(&world.auditor).await.record(&format!("/v1/index/{size}")).await;
    assert!(matches!(start.statement().body, Body::Start(_)));
    let (body, payload) = segment(&camera.stream, 2, 4, &[1; 1000]);
    let signed = camera.next(body);
    world.connect(&world.camera).await.put(&signed, &[], &payload).await.admitted(201, &world.anchor, &mut camera, &signed);
}

#[tokio::test(flavor = "multi_thread")]
async fn two_statements_for_one_place_at_once_end_with_one_entry_and_one_contradiction() {
    let (world, camera) = with_epoch().await;
    let size = world.size();
    let mut uploads = Vec::new();
    for content in [1, 2] {
        let (body, payload) = segment(&camera.stream, 1, 2, &[content; 500_000]);
        let signed = camera.next(body);
        let body = [intake_prefix(signed.der(), &[]), payload].concat();
        let mut connection = world.connect(&world.camera).await;
        let head = format!("PUT {} HTTP/1.1\r\nHost: localhost\r\nContent-Length: {}\r\n\r\n", path_of(&signed), body.len());
        connection.send(head.as_bytes()).await.unwrap();
        connection.send(&body[..body.len() - 1]).await.unwrap();
        uploads.push((connection, body[body.len() - 1]));
    }
    // Both have been judged good, or are about to be: the ledger decides.
    let mut answers = Vec::new();
    for (connection, last) in &mut uploads {
        connection.send(&[*last]).await.unwrap();
    }
    for (connection, _) in &mut uploads {
        answers.push(connection.answer().await.unwrap());
    }
    answers.sort_by_key(|answer| answer.status);
    assert_eq!(answers[0].status, 201, "{answers:?}");
    assert_eq!((answers[1].status, answers[1].kind().as_str()), (409, "contradiction"));
    assert_eq!(world.size(), size + 2, "one segment and one contradiction");
}

#[tokio::test(flavor = "multi_thread")]
async fn only_one_of_two_first_recipients_is_admitted() {
    let mut world = World::new().await;
    let second = world.pki.party("user/s", &[Role::Custodian], KeyPurpose::Signing);
    world.introduce(&second.certificate).await;
    let parties = [world.custodian.clone(), second];
    for camera in 200..216 {
        let mut puts = tokio::task::JoinSet::new();
        for (number, party) in parties.iter().enumerate() {
            let mut body = world.recipients(1, None);
            body.scope = format!("camera/{camera}");
            let writer = Writer::new(party.clone(), &format!("user/{}/{camera}{number}", ["k", "s"][number]), &world.anchor);
            let signed = writer.next(Body::Recipients(body));
            let mut connection = world.connect(party).await;
            puts.spawn(async move { connection.put(&signed, &[], &[]).await.status });
        }
        let mut statuses = puts.join_all().await;
        statuses.sort_unstable();
        assert_eq!(statuses, [201, 422], "two sets of recipients are the first of camera {camera}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refusal_is_heard_though_much_is_still_being_sent() {
    let (world, mut camera) = with_epoch().await;
    camera.prev = Hash([1; 32]);
    let (body, payload) = segment(&camera.stream, 1, 2, &vec![1; 4_000_000]);
    let signed = camera.next(body);
    let mut connection = world.connect(&world.camera).await;
    assert_eq!(connection.put(&signed, &[], &payload).await.kind(), "chain");
    // A reset would come as an error, and could have come before the answer.
    assert_eq!(connection.rest().await.unwrap(), b"", "the connection was reset");
    // And before the payload has begun to come.
    let prefix = intake_prefix(signed.der(), &[]);
    let length = format!("Content-Length: {}\r\n", prefix.len() + payload.len());
    let answer = world.connect(&world.camera).await.put_raw(&path_of(&signed), &length, &prefix).await;
    assert_eq!(answer.kind(), "chain", "a payload was asked for that has no place");
}

#[tokio::test(flavor = "multi_thread")]
async fn more_than_is_taken_is_refused_before_it_comes() {
    let world = World::new().await;
    let (_, recipients) = world.set_recipients().await;
    let writer = Writer::new(world.camera.clone(), &format!("{SERIES}/20261120T115958Z"), &world.anchor);
    let (body, wraps) = epoch(&writer.stream, recipients);
    let Body::Epoch(mut long) = body.clone() else { panic!() };
    let mebibytes =
        |name: &str, length: u64| AttachmentRef { name: name.to_owned(), sha256: Hash([1; 32]), length: length << 20, erasable: true };
    long.attachments = vec![mebibytes("wraps", 16), mebibytes("a", 16), mebibytes("b", 16), mebibytes("c", 16), mebibytes("d", 1)];
    let signed = writer.next(Body::Epoch(long));
    let put_head =
        |signed: &SignedStatement| [&intake_prefix(signed.der(), &[])[..signed.der().len() + 4], &(65_u32 << 20).to_be_bytes()].concat();
    let head = put_head(&signed);
    let length = format!("Content-Length: {}\r\n", head.len() + (65 << 20));
    let answer = world.connect(&world.camera).await.put_raw(&path_of(&signed), &length, &head).await;
    assert_eq!((answer.status, answer.kind().as_str()), (413, "too-large"));
    for (party, stream, body) in [
        (
            &world.authority.party,
            world.authority.stream.as_str(),
            Body::Certificate(body::CertificateBody {
                fingerprint: [1; 32],
                replaces: None,
                attachments: vec![AttachmentRef { name: "certificate".to_owned(), sha256: Hash([1; 32]), length: 16_385, erasable: false }],
            }),
        ),
        (
            &world.custodian,
            "user/k/20261121T115958Z",
            Body::Grant(body::Grant { scope: "camera/102".to_owned(), attachments: vec![mebibytes("terms", 1), mebibytes("wraps", 1)] }),
        ),
    ] {
        let mut writer = Writer::new(party.clone(), stream, &world.anchor);
        if stream == world.authority.stream.as_str() {
            (writer.seq, writer.prev, writer.observed) = (world.authority.seq, world.authority.prev, world.authority.observed);
        }
        let signed = writer.next(body);
        let head = put_head(&signed);
        let length = format!("Content-Length: {}\r\n", head.len() + (65 << 20));
        let answer = world.connect(party).await.put_raw(&path_of(&signed), &length, &head).await;
        assert_eq!((answer.status, answer.kind().as_str()), (413, "too-large"), "{stream}");
    }

    // As many uploads as are allowed are under way.
    let appliance = &world.running.appliance;
    let places: Vec<_> = (0..).map_while(|number: u32| appliance.uploads.take(&number.to_string()).ok()).collect();
    let signed = writer.next(body);
    let answer = world.connect(&world.camera).await.put(&signed, &[&wraps], &[]).await;
    assert_eq!((answer.status, answer.kind().as_str()), (503, "overloaded"));
    assert_eq!(answer.headers["retry-after"], "1", "whoever is told to wait is not told how long");
    drop(places);
    assert_eq!(world.connect(&world.camera).await.put(&signed, &[&wraps], &[]).await.status, 201);
}

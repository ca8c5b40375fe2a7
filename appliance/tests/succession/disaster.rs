//! A log that was lost but for a backup, and the one that custodians approve in its place.

use std::fs;
use std::path::Path;
use std::sync::Arc;

use exhibit_appliance::ended::EndedLog;
use exhibit_appliance::predecessor::with_state;
use exhibit_appliance::setup::{Folder, NewLog, SetupError, now};
use exhibit_evidence::body::Predecessor;
use exhibit_evidence::exchange::{EntryRecords, SuccessorRecord};
use exhibit_evidence::succession::{Grounds, SuccessionError, SuccessorLog, Trusted, judge};
use exhibit_evidence::{Anchor, Body, Head};
use exhibit_pki::AwsLc;
use exhibit_tlog::Hash;

use crate::common::*;
use crate::{certified, put_knowing, receipt_of, refusal, run, whole};

/// A chain may go on behind any hole after a disaster: how long the hole is costs nobody anything who asks for the chain.
async fn leaps_far(connection: &mut Connection, [old, next]: [&Anchor; 2], camera: &Party, recipients: Hash) {
    let mut far = Writer::new(camera.clone(), "camera/102/main/20261120T145958Z", old);
    let (body, wraps) = epoch(&far.stream, recipients);
    let begun = far.next(body);
    receipt_of(&put_knowing(connection, &next.log, &begun, &[&wraps], &[]).await, 201, next, &begun);
    (far.seq, far.prev) = ((1 << 53) - 2, Hash([7; 32]));
    let (body, payload) = segment(&far.stream, far.seq, 6, &[3; 10_000]);
    let last = far.next(body);
    receipt_of(&put_knowing(connection, &next.log, &last, &[], &payload).await, 201, next, &last);
    let listing: EntryRecords = connection.get(&format!("/v1/streams/{}/entries", far.stream)).await.json();
    assert_eq!((listing.entries.len(), listing.next), (2, None));
    let listing: EntryRecords = connection.get(&format!("/v1/streams/{}/entries?last={}", far.stream, far.seq - 1)).await.json();
    assert_eq!((listing.entries.len(), listing.next), (1, None));
}

/// A state is taken for the log that was lost where it has the very head that is named: not one that lacks it, but where that is accepted; and never
/// one with entries behind it, or of another tree.
fn the_state_of_the_head_that_is_named(ended: impl Fn(&str) -> EndedLog, [earlier, last, newest]: [&str; 3], backup: &Path) -> EndedLog {
    let lacking = with_state(ended(newest), backup, false).unwrap_err();
    assert!(
        matches!(lacking, SetupError::OlderState { has, named } if has + 2 == named),
        "a state without the head that is named: {lacking}"
    );
    assert_eq!(with_state(ended(newest), backup, true).unwrap().state.as_deref(), Some(backup), "it was accepted, and is not");
    for accepts_older in [false, true] {
        let refused = with_state(ended(earlier), backup, accepts_older).unwrap_err();
        assert!(matches!(refused, SetupError::OtherLog(reason) if reason.contains("beyond")), "entries behind the end: {refused}");
        let other = EndedLog {
            named: Predecessor { head: Head { root: Hash([7; 32]), ..ended(last).named.head }, ..ended(last).named },
            ..ended(last)
        };
        let refused = with_state(other, backup, accepts_older).unwrap_err();
        assert!(matches!(refused, SetupError::OtherLog(reason) if reason.contains("another tree")), "another tree: {refused}");
    }
    with_state(ended(last), backup, false).unwrap()
}

/// The state is lost but for a backup: what the log had behind that is known to be lost, and a camera's chain goes on behind the hole.
#[tokio::test(flavor = "multi_thread")]
async fn after_a_disaster_custodians_approve_the_log_that_goes_on() {
    let world = World::new().await;
    let (_, recipients) = world.set_recipients().await;
    let earlier = world.running.appliance.ledger.checkpoint().unwrap().0;
    let mut camera = world.begin_epoch("20261120T115958Z", recipients).await;
    let root = world.folder.path().to_owned();
    let backup = root.join("backup");
    exhibit_appliance::maintain::backup::back_up(&Folder::new(&root.join("state")), &world.running.appliance.ledger, &backup).unwrap();
    let last = world.running.appliance.ledger.checkpoint().unwrap().0;
    let mut connection = world.connect(&world.camera).await;
    let begun = connection.record(&format!("/v1/streams/{}/0", camera.stream)).await.1;
    let (_, wraps) = epoch(&camera.stream, recipients);
    for seq in 1..=2 {
        let (body, payload) = segment(&camera.stream, seq, 2 * seq as u32, &[seq as u8; 10_000]);
        let signed = camera.next(body);
        connection.put(&signed, &[], &payload).await.admitted(201, &world.anchor, &mut camera, &signed);
    }
    let observed = camera.observed;
    let newest = world.running.appliance.ledger.checkpoint().unwrap().0;
    drop(connection);
    stop(world.running).await;
    // The disk did not survive, nor did a key: what has ended is only read.
    fs::remove_dir_all(root.join("state")).unwrap();
    let new = certified(&root, "new", &world.pki);
    let (chain_pem, root_pem) = (world.pki.issuing.to_pem(), world.pki.root.to_pem());
    let ended = |note: &str| exhibit_appliance::ended::predecessor(&world.anchor, note).unwrap();
    let before = the_state_of_the_head_that_is_named(ended, [&earlier, &last, &newest], &backup);
    let log = NewLog { origin: "city.example/log/2", chain_pem: &chain_pem, root_pem: &root_pem, predecessor: Some(before), now: now() };
    let next = new.lock().unwrap().create_log(&log).unwrap();
    {
        let config = new.config().unwrap();
        let (appliance, _) =
            exhibit_appliance::appliance::Appliance::open(&new.lock().unwrap(), &config, Arc::new(now), Arc::new(|_: &str| {})).unwrap();
        assert!(exhibit_appliance::maintain::carry::carry(&appliance).unwrap() > 7, "nobody was carried on");
    }
    let running = run(&new).await;
    let connect = async |party: &Party| Connection::new(running.addresses.intake.port(), &world.pki.root, Some(party)).await.unwrap();
    let path = format!("/v1/successor?log={}&size={}", world.anchor.log, observed.size);
    let custodians = [*world.custodian.certificate.fingerprint()];
    let trusted = Trusted { anchor: &world.anchor, observed, custodians: &custodians, threshold: 1, intermediates: &[], verifier: &AwsLc };
    let record: SuccessorRecord = connect(&world.camera).await.get(&path).await.json();
    assert!(judge(&record, &trusted).is_err(), "a log that nobody has approved");

    let genesis = running.appliance.registry.statement_at(0).unwrap();
    let approval = |entry: Hash, statement: Hash| Body::Approve(exhibit_evidence::body::Approve { entry, statement, attachments: vec![] });
    let mut custodian = Writer::new(world.custodian.clone(), "user/k/20261121T115958Z", &next);
    let other = custodian.next(approval(recipients, genesis.statement_hash()));
    assert_eq!(refusal(&connect(&world.custodian).await.put(&other, &[], &[]).await), (422, "rule".into()));
    let unread = custodian.next(approval(genesis.leaf_hash(), Hash([1; 32])));
    assert_eq!(refusal(&connect(&world.custodian).await.put(&unread, &[], &[]).await), (422, "rule".into()));
    let approved = custodian.next(approval(genesis.leaf_hash(), genesis.statement_hash()));
    connect(&world.custodian).await.put(&approved, &[], &[]).await.admitted(201, &next, &mut custodian, &approved);
    let record: SuccessorRecord = connect(&world.camera).await.get(&path).await.json();
    let judged = judge(&record, &trusted).unwrap();
    assert_eq!((judged.grounds, judged.anchor.log, judged.lost), (Grounds::Approval, next.log, 2));

    // Seq 1 and 2 are lost with their receipts; seq 3 waited in the spool.
    let (body, payload) = segment(&camera.stream, 3, 6, &[3; 10_000]);
    let tail = camera.next(body);
    let mut connection = connect(&world.camera).await;
    receipt_of(&put_knowing(&mut connection, &next.log, &begun, &[&wraps], &[]).await, 201, &next, &begun);
    receipt_of(&put_knowing(&mut connection, &next.log, &tail, &[], &payload).await, 201, &next, &tail);
    leaps_far(&mut connection, [&world.anchor, &next], &world.camera, recipients).await;
    stop(running).await;
    whole(&new);

    where_nobody_has_the_last_note(&new, &world.pki, [&world.camera, &world.custodian, &world.auditor], &path, &trusted, &judged).await;
}

/// Genesis names the last head, and the custodians have approved that.
async fn where_nobody_has_the_last_note(
    new: &Folder,
    pki: &Pki,
    [camera, custodian, auditor]: [&Party; 3],
    path: &str,
    trusted: &Trusted<'_>,
    judged: &SuccessorLog,
) {
    fs::remove_file(new.path().join("predecessor.checkpoint")).unwrap();
    let running = run(new).await;
    let mut connection = Connection::new(running.addresses.intake.port(), &pki.root, Some(camera)).await.unwrap();
    let record: SuccessorRecord = connection.get(path).await.json();
    assert_eq!(record.last_checkpoint, None);
    assert_eq!(judge(&record, trusted).unwrap(), *judged);
    // Whoever asks names whose approvals count; those of others do not come instead.
    let by = |party: &Party| format!("{path}&by={}", Hash(*party.certificate.fingerprint()));
    let record: SuccessorRecord = connection.get(&by(custodian)).await.json();
    assert_eq!(judge(&record, trusted).unwrap(), *judged);
    let of_others: SuccessorRecord = connection.get(&by(auditor)).await.json();
    assert_eq!(of_others.approvals, [""; 0]);
    let unapproved = SuccessorRecord { approvals: vec![], ..record };
    assert!(matches!(judge(&unapproved, trusted), Err(SuccessionError::NotApproved { given: 0, threshold: 1 })));
    stop(running).await;
}

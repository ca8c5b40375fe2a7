//! Logs that end one after the other: what was meant for the first goes on in the third.

use exhibit_appliance::maintain::backup::back_up;
use exhibit_appliance::maintain::place::Place;
use exhibit_appliance::maintain::restore::restore;
use exhibit_appliance::setup::Folder;
use exhibit_evidence::exchange::{EntryRecord, EntryRecords, SuccessorRecord};
use exhibit_evidence::succession::{Trusted, judge};
use exhibit_evidence::{Anchor, Body, Head};
use exhibit_ledger::source::{LedgerFolder, Source};
use exhibit_pki::AwsLc;
use exhibit_tlog::{EMPTY_ROOT, LogProof};

use crate::common::*;
use crate::{NOW, certified, put_knowing, receipt_of, refusal, run, try_succeed, whole};

/// Each step is shown to whoever knows the one before, also that the third log takes what was meant for the first.
async fn shown_step_by_step(running: &Started, camera: &Party, pki: &Pki, [first, second, third]: [&Anchor; 3]) {
    let mut connection = Connection::new(running.addresses.intake.port(), &pki.root, Some(camera)).await.unwrap();
    let mut known = first.clone();
    for next in [second, third] {
        let observed = Head { size: 0, root: EMPTY_ROOT };
        let record: SuccessorRecord = connection.get(&format!("/v1/successor?log={}&size=0", known.log)).await.json();
        let trusted = Trusted { anchor: &known, observed, custodians: &[], threshold: 1, intermediates: &[], verifier: &AwsLc };
        known = judge(&record, &trusted).unwrap().anchor;
        assert_eq!(known.log, next.log);
    }
    let genesis = running.appliance.registry.statement_at(0).unwrap();
    let Body::Genesis(genesis) = &genesis.statement().body else { panic!("{genesis:?}") };
    assert_eq!(genesis.before().map(|before| before.log).collect::<Vec<_>>(), [second.log, first.log]);
}

/// Two logs end, the third goes on: people, recipients and a grant of the first hold there, and so does what a camera had made for it.
#[tokio::test(flavor = "multi_thread")]
async fn what_was_meant_for_the_first_log_goes_on_in_the_third() {
    let world = World::new().await;
    let (mut custodian, recipients) = world.set_recipients().await;
    let mut camera = world.begin_epoch("20261120T115958Z", recipients).await;
    let (granted, stored) = grant(&terms(&world.investigator_wrapping, &camera.stream, 0, 30, exhibit_pki::Timestamp::MAX));
    let granted = custodian.next(granted);
    let stored: Vec<&[u8]> = stored.iter().map(Vec::as_slice).collect();
    world.connect(&world.custodian).await.put(&granted, &stored, &[]).await.admitted(201, &world.anchor, &mut custodian, &granted);
    let mut connection = world.connect(&world.camera).await;
    let begun = connection.record(&format!("/v1/streams/{}/0", camera.stream)).await.1;
    let (_, wraps) = epoch(&camera.stream, recipients);
    let mut chain = Vec::new();
    for seq in 1..=4 {
        let (body, payload) = segment(&camera.stream, seq, 2 * seq as u32, &[seq as u8; 10_000]);
        let signed = camera.next(body);
        if seq == 1 {
            connection.put(&signed, &[], &payload).await.admitted(201, &world.anchor, &mut camera, &signed);
        } else {
            (camera.seq, camera.prev) = (seq + 1, signed.leaf_hash());
        }
        chain.push((signed, payload));
    }
    drop(connection);
    stop(world.running).await;
    let root = world.folder.path();
    let first = Folder::new(&root.join("state"));
    let folders = ["second", "third"].map(|name| certified(root, name, &world.pki));
    let second_anchor = try_succeed(&first, &folders[0], "city.example/log/2", NOW).unwrap().unwrap();
    // A part of what was left comes to the second log, which then ends too.
    let running = run(&folders[0]).await;
    let mut connection = Connection::new(running.addresses.intake.port(), &world.pki.root, Some(&world.camera)).await.unwrap();
    let answer = put_knowing(&mut connection, &second_anchor.log, &begun, &[&wraps], &[]).await;
    receipt_of(&answer, 201, &second_anchor, &begun);
    let answer = put_knowing(&mut connection, &second_anchor.log, &chain[1].0, &[], &chain[1].1).await;
    receipt_of(&answer, 201, &second_anchor, &chain[1].0);
    drop(connection);
    stop(running).await;
    let third_anchor = try_succeed(&folders[0], &folders[1], "city.example/log/3", NOW).unwrap().unwrap();
    assert_eq!(first.newest().anchor().unwrap().log, third_anchor.log);

    let running = run(&folders[1]).await;
    let connect = async |party: &Party| Connection::new(running.addresses.intake.port(), &world.pki.root, Some(party)).await.unwrap();
    shown_step_by_step(&running, &world.camera, &world.pki, [&world.anchor, &second_anchor, &third_anchor]).await;
    let stated =
        [("/v1/recipients/camera/102".to_owned(), recipients), (format!("/v1/entries/{}", granted.leaf_hash()), granted.leaf_hash())];
    let mut connection = connect(&world.custodian).await;
    for (path, leaf) in stated {
        let record: EntryRecord = connection.get(&path).await.json();
        let proof = LogProof::parse(&record.receipt).unwrap();
        proof.verify(&leaf, &third_anchor.verifier).expect("what was stated to the first log is not on the third");
    }
    let grants: EntryRecords = connect(&world.investigator).await.get("/v1/grants").await.json();
    assert_eq!(grants.entries.len(), 1, "the grant is not found");

    // What each log before has keeps the receipt of that log; what none has goes on behind the end in the second.
    let mut connection = connect(&world.camera).await;
    let last = chain.len() - 1;
    receipt_of(&put_knowing(&mut connection, &third_anchor.log, &begun, &[&wraps], &[]).await, 201, &third_anchor, &begun);
    for (number, anchor) in [(0, &world.anchor), (1, &second_anchor)] {
        let (signed, payload) = &chain[number];
        receipt_of(&put_knowing(&mut connection, &third_anchor.log, signed, &[], payload).await, 200, anchor, signed);
    }
    let answer = put_knowing(&mut connection, &third_anchor.log, &chain[last].0, &[], &chain[last].1).await;
    assert_eq!(refusal(&answer), (409, "chain".into()), "a chain leapt over what was never sent");
    let mut connection = connect(&world.camera).await;
    for (signed, payload) in &chain[2..] {
        receipt_of(&put_knowing(&mut connection, &third_anchor.log, signed, &[], payload).await, 201, &third_anchor, signed);
    }
    let mut connection = connect(&world.camera).await;
    let mut liar = Writer::new(camera.party.clone(), camera.stream.as_str(), &world.anchor);
    (liar.seq, liar.prev) = (1, begun.leaf_hash());
    let (body, payload) = segment(&liar.stream, 1, 2, &[9; 10_000]);
    let answer = put_knowing(&mut connection, &third_anchor.log, &liar.next(body), &[], &payload).await;
    assert_eq!(refusal(&answer), (409, "contradiction".into()), "another statement for a place in the first log");
    // And what the first log has is read through the third.
    let old = format!("/v1/logs/{}/v1/streams/{}/1", world.anchor.log, camera.stream);
    let record: EntryRecord = connect(&world.auditor).await.get(&old).await.json();
    LogProof::parse(&record.receipt).unwrap().verify(&chain[0].0.leaf_hash(), &world.anchor.verifier).unwrap();
    stop(running).await;
    [&first, &folders[0], &folders[1]].into_iter().for_each(whole);
}

/// Without the log before, a planned succession could not be shown: a backup names it, and who restores that has it again.
#[tokio::test(flavor = "multi_thread")]
async fn a_backup_of_a_successor_names_the_log_before() {
    let world = World::new().await;
    stop(world.running).await;
    let root = world.folder.path();
    let (old, new, backup) = (Folder::new(&root.join("state")), certified(root, "new", &world.pki), root.join("backup"));
    try_succeed(&old, &new, "city.example/log/2", NOW).unwrap().unwrap();
    let running = run(&new).await;
    back_up(&new, &running.appliance.ledger, &backup).unwrap();
    stop(running).await;
    let named = |folder: &Folder| folder.predecessor().map(|folder| folder.path().to_owned());
    let before = Some(std::fs::canonicalize(old.path()).unwrap());
    assert_eq!((named(&new), named(&Folder::new(&backup))), (before.clone(), before.clone()));
    std::fs::remove_dir_all(new.ledger_path()).unwrap();
    std::fs::remove_file(new.path().join("predecessor")).unwrap();
    assert_eq!(named(&new), None);
    // What was sealed since is not in the backup: it is given up here, to see the rest.
    std::fs::remove_file(new.path().join("head.seal")).unwrap();
    let note = LedgerFolder::open(&backup.join("ledger")).unwrap().checkpoint().unwrap();
    restore(&new.lock().unwrap(), &[Place::Folder(backup)], &[note], &|_, _| {}).unwrap();
    assert_eq!(named(&new), before);
    whole(&new);
}

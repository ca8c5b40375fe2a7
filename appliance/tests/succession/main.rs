//! A log that ends by plan: its last entry names its successor, the old log takes nothing more, and the new one names it.
#![allow(clippy::unwrap_used)]

#[path = "../common/mod.rs"]
mod common;
mod disaster;
mod lost;
mod restated;
mod several;

use std::fs;
use std::sync::Arc;

use common::*;
use exhibit_appliance::chronicle::Clock;
use exhibit_appliance::config::Config;
use exhibit_appliance::maintain::by_itself;
use exhibit_appliance::maintain::fsck::{CheckOptions, check};
use exhibit_appliance::maintain::succeed::{SucceedError, When, succeed};
use exhibit_appliance::setup::{Folder, NewLog, SetupError, now};
use exhibit_evidence::body::{Succession, SuccessionReason};
use exhibit_evidence::exchange::{Admitted, EntryRecord, EntryRecords, Problem, SuccessorRecord, intake_prefix};
use exhibit_evidence::succession::{Grounds, Trusted, judge};
use exhibit_evidence::{Anchor, Body, Head, SignedStatement};
use exhibit_ledger::source::{LedgerFolder, Source};
use exhibit_pki::{AwsLc, Identity, Role};
use exhibit_tlog::tile::BundleId;
use exhibit_tlog::{EMPTY_ROOT, Hash, LogProof, leaf_hash};

const NOW: When = When::Now(SuccessionReason::Other);

/// What `init` and the authority make in the folder of that name.
fn certified(world: &std::path::Path, name: &str, pki: &Pki) -> Folder {
    let folder = Folder::new(&world.join(name));
    let request = folder.init(&Identity::parse("spiffe://city.example/appliance/1").unwrap()).unwrap();
    let certificate = pki.sign_request(&request, &[Role::Appliance], &["localhost", "127.0.0.1"]);
    fs::write(folder.path().join("appliance.pem"), certificate.to_pem()).unwrap();
    folder
}

fn try_succeed(old: &Folder, new: &Folder, origin: &str, when: When) -> Result<Option<Anchor>, SucceedError> {
    succeed(&old.lock()?, &new.lock()?, origin, when, &(Arc::new(now) as Clock))
}

fn statement(folder: &Folder, index: u64) -> SignedStatement {
    let ledger = LedgerFolder::open(&folder.ledger_path()).unwrap();
    let width = (ledger.size().unwrap() % 256) as u16;
    let entries = ledger.entries(BundleId { index: 0, width });
    SignedStatement::parse(entries[index as usize].as_ref().unwrap()).unwrap()
}

fn size(folder: &Folder) -> u64 {
    LedgerFolder::open(&folder.ledger_path()).unwrap().size().unwrap()
}

async fn run(folder: &Folder) -> Started {
    let config = Config::parse("intake = \"127.0.0.1:0\"\npublic = \"127.0.0.1:0\"\n").unwrap();
    Started::new(folder.clone(), config, Arc::new(now), |reason| panic!("{reason}")).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_log_ends_with_the_name_of_its_successor_and_takes_nothing_more() {
    let world = World::new().await;
    let mut writer = Writer::new(world.custodian.clone(), "user/k/20261120T115958Z", &world.anchor);
    let first = writer.next(Body::Recipients(world.recipients(1, None)));
    world.connect(&world.custodian).await.put(&first, &[], &[]).await.admitted(201, &world.anchor, &mut writer, &first);
    let later = writer.next(Body::Recipients(world.recipients(2, Some(first.leaf_hash()))));
    stop(world.running).await;
    let root = world.folder.path();
    let (old, new) = (Folder::new(&root.join("state")), certified(root, "new", &world.pki));
    let before = size(&old);

    let not_due = When::Due { entries: Some(before + 100), days: Some(1) };
    assert_eq!(try_succeed(&old, &new, "city.example/log/2", not_due).unwrap(), None);
    assert!(!new.ledger_path().exists());
    let due = When::Due { entries: Some(before), days: None };
    let anchor = try_succeed(&old, &new, "city.example/log/2", due).unwrap().expect("it is due");
    let last = statement(&old, before);
    let Body::Succession(Succession { successor, reason, .. }) = &last.statement().body else { panic!("{last:?}") };
    assert_eq!((&*successor.origin, *reason), ("city.example/log/2", SuccessionReason::Size));
    assert_eq!(successor.keys, anchor.verifier.keys.iter().map(ToString::to_string).collect::<Vec<_>>());
    let note = LedgerFolder::open(&old.ledger_path()).unwrap().checkpoint().unwrap();
    let head = world.anchor.verifier.verify(&note).unwrap();
    let genesis = statement(&new, 0);
    let Body::Genesis(genesis) = &genesis.statement().body else { panic!("{genesis:?}") };
    let named = genesis.predecessor.as_ref().expect("the successor names the log that ended");
    assert_eq!((named.log, named.head.size, named.head.root), (world.anchor.log, before + 1, head.root));

    // Twice is once; and there is one successor.
    assert_eq!(try_succeed(&old, &new, "city.example/log/2", NOW).unwrap(), Some(anchor));
    let other = certified(root, "other", &world.pki);
    let refused = try_succeed(&old, &other, "city.example/log/2", NOW).unwrap_err();
    assert!(matches!(refused, SucceedError::OtherSuccessor(_)), "a second successor: {refused}");
    assert!(!other.ledger_path().exists());

    // The old log is for reading.
    let running = run(&old).await;
    let mut connection = Connection::new(running.addresses.intake.port(), &world.pki.root, Some(&world.custodian)).await.unwrap();
    connection.put(&first, &[], &[]).await.admitted(200, &world.anchor, &mut writer, &first);
    let refused = connection.put(&later, &[], &[]).await;
    assert_eq!((refused.status, refused.kind()), (410, "ended".to_owned()));
    stop(running).await;
    assert_eq!(size(&old), before + 1, "something came behind the last entry");
    // And the new one takes what comes.
    let running = run(&new).await;
    assert_eq!(running.appliance.ledger.size(), 10, "genesis, seven certificates, recipients and a start");
    stop(running).await;
    // A log that ended by plan has a last checkpoint, without which no camera would go on.
    fs::remove_file(new.path().join("predecessor.checkpoint")).unwrap();
    let config = new.config().unwrap();
    let refused =
        exhibit_appliance::appliance::Appliance::open(&new.lock().unwrap(), &config, Arc::new(now), Arc::new(|_: &str| {})).err().unwrap();
    assert!(matches!(&refused, SetupError::OtherLog(reason) if reason.contains("last checkpoint")), "{refused}");
}

/// Whatever the successor lacks is told before the old log ends, and mended without a new folder.
#[tokio::test(flavor = "multi_thread")]
async fn a_log_does_not_end_for_a_successor_that_can_not_begin() {
    let world = World::new().await;
    stop(world.running).await;
    let root = world.folder.path();
    let (old, new) = (Folder::new(&root.join("state")), certified(root, "new", &world.pki));
    let before = size(&old);
    let refused = try_succeed(&old, &new, "city.example/log/1", NOW).unwrap_err();
    assert!(matches!(refused, SucceedError::Setup(SetupError::SameLog("origin"))), "a second log of one origin: {refused}");
    let config = fs::read_to_string(root.join("new/appliance.toml")).unwrap();
    for (seal, defect) in
        [(root.join("state/head.seal"), "another log's seal"), (root.join("nowhere/seal"), "a seal that can not be written")]
    {
        let named = config.replace("head_seal = \"head.seal\"", &format!("head_seal = {seal:?}"));
        assert_ne!(named, config);
        fs::write(root.join("new/appliance.toml"), named).unwrap();
        let kept = fs::read(&seal).ok();
        let refused = try_succeed(&old, &new, "city.example/log/2", NOW).unwrap_err();
        assert!(matches!(refused, SucceedError::Setup(SetupError::Ledger(_))), "{defect}: {refused}");
        assert_eq!((size(&old), fs::read(&seal).ok()), (before, kept), "the log ended for a successor that can not begin: {defect}");
    }
    fs::write(root.join("new/appliance.toml"), config).unwrap();
    try_succeed(&old, &new, "city.example/log/2", NOW).unwrap().unwrap();
    assert_eq!(size(&old), before + 1);
}

/// A folder that holds a log of its own is no successor, and nothing ends for it.
#[tokio::test(flavor = "multi_thread")]
async fn a_log_does_not_end_for_another_log() {
    let world = World::new().await;
    stop(world.running).await;
    let root = world.folder.path();
    let (old, rival) = (Folder::new(&root.join("state")), certified(root, "rival", &world.pki));
    let before = size(&old);
    let (chain_pem, root_pem) = (world.pki.issuing.to_pem(), world.pki.root.to_pem());
    let unrelated = NewLog { origin: "city.example/log/2", chain_pem: &chain_pem, root_pem: &root_pem, predecessor: None, now: now() };
    rival.lock().unwrap().create_log(&unrelated).unwrap();
    let refused = try_succeed(&old, &rival, "city.example/log/2", NOW).unwrap_err();
    assert!(matches!(refused, SucceedError::Setup(SetupError::Exists(_))), "{refused}");
    assert_eq!(size(&old), before, "the log ended without a successor");
}

/// The power went, or the certificate was not there yet: nothing is lost, and nothing is forked by trying again.
#[tokio::test(flavor = "multi_thread")]
async fn what_ended_half_way_goes_on() {
    let world = World::new().await;
    stop(world.running).await;
    let root = world.folder.path();
    let (old, new) = (Folder::new(&root.join("state")), certified(root, "new", &world.pki));
    let (before, certificate) = (size(&old), fs::read(root.join("new/appliance.pem")).unwrap());
    fs::remove_file(root.join("new/appliance.pem")).unwrap();
    assert!(try_succeed(&old, &new, "city.example/log/2", NOW).is_err());
    assert_eq!(size(&old), before, "the log ended without a successor that can be served");
    fs::write(root.join("new/appliance.pem"), certificate).unwrap();
    let anchor = try_succeed(&old, &new, "city.example/log/2", NOW).unwrap().unwrap();
    // As after a crash before the link.
    fs::remove_file(root.join("state/successor")).unwrap();
    assert_eq!(try_succeed(&old, &new, "city.example/log/2", NOW).unwrap(), Some(anchor.clone()), "another genesis");
    // As after a crash between the last entry and genesis.
    for gone in ["new/ledger", "new/vault"] {
        fs::remove_dir_all(root.join(gone)).unwrap();
    }
    fs::remove_file(root.join("new/anchor.json")).unwrap();
    fs::remove_file(root.join("new/head.seal")).unwrap();
    let again = try_succeed(&old, &new, "city.example/log/2", NOW).unwrap().unwrap();
    assert_eq!((size(&old), &again.verifier), (before + 1, &anchor.verifier), "the log ended twice");
    // A log of its own is no successor.
    let rival = certified(root, "rival", &world.pki);
    for name in ["note-ed25519.key", "note-ml-dsa-44.key"] {
        fs::copy(root.join("new").join(name), root.join("rival").join(name)).unwrap();
    }
    let (chain_pem, root_pem) = (world.pki.issuing.to_pem(), world.pki.root.to_pem());
    let unrelated = NewLog { origin: "city.example/log/2", chain_pem: &chain_pem, root_pem: &root_pem, predecessor: None, now: now() };
    rival.lock().unwrap().create_log(&unrelated).unwrap();
    assert!(matches!(try_succeed(&old, &rival, "city.example/log/2", NOW), Err(SucceedError::OtherLog(_))));
}

/// Sends what names the log before to somebody who is told which log the sender knows.
async fn put_knowing(connection: &mut Connection, log: &Hash, signed: &SignedStatement, attachments: &[&[u8]], payload: &[u8]) -> Answer {
    let body = [intake_prefix(signed.der(), attachments), payload.to_vec()].concat();
    let path = format!("{}?log={log}", path_of(signed));
    connection.put_raw(&path, &format!("Content-Length: {}\r\n", body.len()), &body).await
}

/// The receipt in an answer is that log's.
fn receipt_of(answer: &Answer, status: u16, anchor: &Anchor, signed: &SignedStatement) -> Admitted {
    assert_eq!(answer.status, status, "{}", String::from_utf8_lossy(&answer.body));
    let admitted: Admitted = answer.json();
    LogProof::parse(&admitted.receipt).unwrap().verify(&signed.leaf_hash(), &anchor.verifier).unwrap();
    admitted
}

fn refusal(answer: &Answer) -> (u16, String) {
    (answer.status, answer.kind())
}

/// Nothing is damaged.
fn whole(folder: &Folder) {
    let stop = std::sync::atomic::AtomicBool::new(false);
    let options = CheckOptions { threads: 2, bytes_per_s: None, state_file: None, progress: &|_| {}, stop: &stop };
    assert_eq!(check(folder, &options).unwrap().damages, []);
}

/// A stream whose epoch the old log has, and which nobody goes on with.
const NOT_SENT_AGAIN: &str = "camera/102/main/20261120T105958Z";

/// Two statements for one place, heads and recipients that the old log never had, statements of other logs.
async fn nothing_false_comes_with_it(
    root: &exhibit_pki::Certificate,
    running: &exhibit_appliance::serve::Running,
    [old, next]: [&Anchor; 2],
    (camera, recipients): (&Writer, Hash),
    begun: &SignedStatement,
) {
    let connect = async |party: &Party| Connection::new(running.addresses.intake.port(), root, Some(party)).await.unwrap();
    let mut connection = connect(&camera.party).await;
    // Two statements for one place convict their issuer across the logs too.
    let size_before = running.appliance.ledger.size();
    let mut liar = Writer::new(camera.party.clone(), camera.stream.as_str(), old);
    (liar.seq, liar.prev) = (1, begun.leaf_hash());
    let (body, payload) = segment(&liar.stream, 1, 2, &[9; 10_000]);
    let answer = put_knowing(&mut connection, &next.log, &liar.next(body), &[], &payload).await;
    assert_eq!(refusal(&answer), (409, "contradiction".into()));
    assert_eq!(running.appliance.ledger.size(), size_before + 1);
    // A head of the old log that it never had.
    let mut connection = connect(&camera.party).await;
    let mut dreamer = Writer::new(camera.party.clone(), "camera/102/main/20261120T125958Z", old);
    dreamer.observed = Head { size: 2, root: Hash([3; 32]) };
    let (body, wraps_of_dreamer) = common::epoch(&dreamer.stream, recipients);
    let answer = put_knowing(&mut connection, &next.log, &dreamer.next(body), &[&wraps_of_dreamer], &[]).await;
    assert_eq!(refusal(&answer), (422, "observed".into()));
    // Recipients that the old log never had.
    let mut connection = connect(&camera.party).await;
    dreamer.observed = Head { size: 0, root: EMPTY_ROOT };
    let (body, wraps_of_dreamer) = common::epoch(&dreamer.stream, Hash([5; 32]));
    let answer = put_knowing(&mut connection, &next.log, &dreamer.next(body), &[&wraps_of_dreamer], &[]).await;
    assert_eq!(refusal(&answer), (422, "rule".into()));
    // Another beginning of a chain that the old log has, and that has not come here yet.
    let mut connection = connect(&camera.party).await;
    let other = Writer::new(camera.party.clone(), NOT_SENT_AGAIN, old);
    let (body, wraps_of_other) = common::epoch(&other.stream, recipients);
    let answer = put_knowing(&mut connection, &next.log, &other.next(body), &[&wraps_of_other], &[]).await;
    assert_eq!(refusal(&answer), (409, "contradiction".into()));
    // Another log's.
    let mut connection = connect(&camera.party).await;
    let stranger = Writer { log: Hash([4; 32]), ..dreamer };
    let (body, wraps_of_stranger) = common::epoch(&stranger.stream, recipients);
    let answer = put_knowing(&mut connection, &next.log, &stranger.next(body), &[&wraps_of_stranger], &[]).await;
    assert_eq!(refusal(&answer), (422, "log".into()));
}

/// A camera that had not sent everything when its log ended goes on in the next one, and nobody's certificate is forgotten.
#[tokio::test(flavor = "multi_thread")]
async fn what_was_meant_for_the_log_before_goes_on_in_its_successor() {
    let world = World::new().await;
    let (_, recipients) = world.set_recipients().await;
    world.begin_epoch("20261120T105958Z", recipients).await;
    let mut camera = world.begin_epoch("20261120T115958Z", recipients).await;
    let (_, wraps) = epoch(&camera.stream, recipients);
    let mut chain = Vec::new();
    let mut connection = world.connect(&world.camera).await;
    for seq in 1..=4 {
        let (body, payload) = segment(&camera.stream, seq, 2 * seq as u32, &[seq as u8; 10_000]);
        let signed = camera.next(body);
        if seq <= 2 {
            connection.put(&signed, &[], &payload).await.admitted(201, &world.anchor, &mut camera, &signed);
        } else {
            (camera.seq, camera.prev) = (seq + 1, signed.leaf_hash());
        }
        chain.push((signed, payload));
    }
    let begun = connection.record(&format!("/v1/streams/{}/0", camera.stream)).await.1;
    drop(connection);
    stop(world.running).await;
    let root = world.folder.path();
    let (old, new) = (Folder::new(&root.join("state")), certified(root, "new", &world.pki));
    let next = try_succeed(&old, &new, "city.example/log/2", NOW).unwrap().unwrap();
    assert_eq!(old.newest().path(), root.join("state/successor"), "who serves the old state does not find the new one");

    let running = run(&new).await;
    let connect = async |party: &Party| Connection::new(running.addresses.intake.port(), &world.pki.root, Some(party)).await.unwrap();
    let mut connection = connect(&world.camera).await;
    let answer = connection.put(&chain[2].0, &[], &chain[2].1).await;
    assert_eq!(refusal(&answer), (410, "ended".into()), "who does not know the new log can not verify its receipt");

    // What an agent does before it goes on.
    let path = format!("/v1/successor?log={}&size={}", world.anchor.log, camera.observed.size);
    let record: SuccessorRecord = connect(&world.camera).await.get(&path).await.json();
    let trusted =
        Trusted { anchor: &world.anchor, observed: camera.observed, custodians: &[], threshold: 1, intermediates: &[], verifier: &AwsLc };
    let judged = judge(&record, &trusted).unwrap();
    assert_eq!((judged.grounds, &judged.anchor.verifier, judged.anchor.log), (Grounds::Plan, &next.verifier, next.log));
    let mut strange = connect(&world.pki.party("camera/777", &[Role::Camera], exhibit_pki::KeyPurpose::Signing)).await;
    assert_eq!(strange.get(&path).await.status, 200, "who was not carried on is not told where to go");
    assert_eq!(strange.get(&format!("/v1/successor?log={}", next.log)).await.status, 404, "a log that goes on has no successor");

    let mut connection = connect(&world.camera).await;
    let answer = put_knowing(&mut connection, &next.log, &chain[2].0, &[], &chain[2].1).await;
    let problem: Problem = answer.json();
    assert_eq!((answer.status, problem.expected_seq), (409, Some(0)), "a chain without its epoch");
    let mut connection = connect(&world.camera).await;
    let answer = put_knowing(&mut connection, &next.log, &begun, &[&wraps], &[]).await;
    assert!(receipt_of(&answer, 201, &next, &begun).consistency.is_empty());
    // What the old log has keeps the receipt of that log.
    let answer = put_knowing(&mut connection, &next.log, &chain[1].0, &[], &chain[1].1).await;
    receipt_of(&answer, 200, &world.anchor, &chain[1].0);
    let answer = put_knowing(&mut connection, &next.log, &chain[3].0, &[], &chain[3].1).await;
    assert_eq!(refusal(&answer), (409, "chain".into()), "a chain leapt over what was never sent");
    let mut connection = connect(&world.camera).await;
    for (signed, payload) in &chain[2..] {
        let answer = put_knowing(&mut connection, &next.log, signed, &[], payload).await;
        receipt_of(&answer, 201, &next, signed);
    }
    let answer = put_knowing(&mut connection, &next.log, &chain[2].0, &[], &chain[2].1).await;
    receipt_of(&answer, 200, &next, &chain[2].0);
    nothing_false_comes_with_it(&world.pki.root, &running, [&world.anchor, &next], (&camera, recipients), &begun).await;

    // Certificates and recipients hold without a hand, and an acknowledgement of the old log can still be had.
    let mut connection = connect(&world.camera).await;
    let record: EntryRecord = connection.get("/v1/recipients/camera/102").await.json();
    assert_eq!(leaf_hash(&<base64ct::Base64 as base64ct::Encoding>::decode_vec(&record.entry).unwrap()), recipients);
    let old_record: EntryRecord = connection.get(&format!("/v1/entries/{}", chain[0].0.leaf_hash())).await.json();
    LogProof::parse(&old_record.receipt).unwrap().verify(&chain[0].0.leaf_hash(), &world.anchor.verifier).unwrap();
    let mut fresh = Writer::new(camera.party.clone(), "camera/102/main/20261120T135958Z", &next);
    let (body, wraps) = common::epoch(&fresh.stream, recipients);
    let signed = fresh.next(body);
    connection.put(&signed, &[&wraps], &[]).await.admitted(201, &next, &mut fresh, &signed);
    let listing: EntryRecords = connection.get(&format!("/v1/streams/{}/entries", camera.stream)).await.json();
    assert_eq!(listing.entries.len(), 3, "the epoch, and what came here");
    stop(running).await;
    whole(&new);
    whole(&old);
}

/// The power goes at any step of a succession without a hand: the next start goes on, and nothing is ended or begun twice.
#[tokio::test(flavor = "multi_thread")]
async fn a_succession_without_a_hand_goes_on_from_any_step() {
    let world = World::new().await;
    world.set_recipients().await;
    stop(world.running).await;
    let root = world.folder.path();
    let (old, clock) = (Folder::new(&root.join("state")), Arc::new(now) as Clock);
    let config = fs::read_to_string(root.join("state/appliance.toml")).unwrap();
    by_itself::resume(&old, &clock).unwrap();
    assert!(old.successor().is_none(), "a log ended that nobody wanted to end");
    // Everything is due that is two days old.
    fs::write(root.join("state/appliance.toml"), format!("{config}\nsuccession_days = 2\n")).unwrap();
    by_itself::end(&old, &clock).unwrap();
    assert!(old.successor().is_none(), "a log of today ended");
    let later = Arc::new(|| now().checked_add_ms(2 * 86_400_000).unwrap()) as Clock;
    let (state, size_before) = (root.join("state/successor-state"), size(&old));
    assert!(state.exists(), "its keys are made by now");
    let anchor_of = || {
        by_itself::resume(&old, &later).unwrap();
        assert_eq!(size(&old), size_before + 1, "the log ended twice, or not at all");
        let next = old.successor().expect("it has a successor");
        whole(&next);
        (next.anchor().unwrap().verifier, size(&next))
    };
    let whole_one = anchor_of();
    assert_eq!(whole_one.0.origin, "city.example/log/2");
    assert!(whole_one.1 > 8, "people and authorities were left behind");
    // Whole, and not yet named.
    fs::remove_file(root.join("state/successor")).unwrap();
    assert_eq!(anchor_of(), whole_one);
    // The log has ended, and its successor has not begun.
    fs::remove_file(root.join("state/successor")).unwrap();
    for gone in ["ledger", "vault"] {
        fs::remove_dir_all(state.join(gone)).unwrap();
    }
    for gone in ["anchor.json", "head.seal", "predecessor.json", "predecessor.checkpoint", "predecessor"] {
        fs::remove_file(state.join(gone)).unwrap();
    }
    assert_eq!(anchor_of(), whole_one);
    // The state that was being made is begun again: nothing was ended by its keys.
    assert!(!root.join("state/successor-state.partial").exists());
    assert_eq!(old.newest().path(), root.join("state/successor"));
    let running = run(&old.newest()).await;
    assert_eq!(running.appliance.anchor.verifier, whole_one.0);
    stop(running).await;
}

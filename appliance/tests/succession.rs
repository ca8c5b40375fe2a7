//! A log that ends by plan: its last entry names its successor, the old log takes nothing more, and the new one names it.
#![allow(clippy::unwrap_used)]

mod common;

use std::fs;
use std::sync::Arc;

use common::*;
use exhibit_appliance::chronicle::Clock;
use exhibit_appliance::config::Config;
use exhibit_appliance::maintain::succeed::{SucceedError, When, succeed};
use exhibit_appliance::serve::Running;
use exhibit_appliance::setup::{Folder, NewLog, SetupError, now};
use exhibit_evidence::body::{Succession, SuccessionReason};
use exhibit_evidence::{Anchor, Body, SignedStatement};
use exhibit_ledger::source::{LedgerFolder, Source};
use exhibit_pki::{Identity, Role};
use exhibit_tlog::tile::BundleId;

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

async fn run(folder: &Folder) -> Running {
    let config = Config::parse("intake = \"127.0.0.1:0\"\npublic = \"127.0.0.1:0\"\n").unwrap();
    Running::start(folder.clone(), config, Arc::new(now), Arc::new(|reason: &str| panic!("{reason}"))).await.unwrap()
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
    assert_eq!(running.appliance.ledger.size(), 2, "genesis and a start");
    stop(running).await;
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
    // As after a crash between genesis and the anchor.
    fs::remove_file(root.join("new/anchor.json")).unwrap();
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

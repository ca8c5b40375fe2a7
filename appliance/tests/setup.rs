//! Making an appliance, and refusing to serve with what does not belong together.
#![allow(clippy::unwrap_used, missing_docs)]

mod common;

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::sync::Arc;

use common::*;
use exhibit_appliance::appliance::Appliance;
use exhibit_appliance::config::Config;
use exhibit_appliance::ended::predecessor;
use exhibit_appliance::setup::{Folder, NewLog, SetupError, now};
use exhibit_evidence::{Anchor, Body, SignedStatement};
use exhibit_ledger::source::{LedgerFolder, Source};
use exhibit_pki::{Identity, Role};
use exhibit_tlog::tile::BundleId;
use exhibit_tlog::{Ed25519Cosigner, MlDsa44NoteSigner, NoteSigner};
use zeroize::Zeroizing;

const ORIGIN: &str = "city.example/log/1";

fn identity() -> Identity {
    Identity::parse("spiffe://city.example/appliance/1").unwrap()
}

/// A folder that is made and certified, without a log.
fn certified(folder: &Path, pki: &Pki) -> Folder {
    let state = Folder::new(folder);
    let request = state.init(&identity()).unwrap();
    fs::write(folder.join("appliance.pem"), pki.sign_request(&request, &[Role::Appliance], &["localhost"]).to_pem()).unwrap();
    state
}

fn create(state: &Folder, pki: &Pki) -> Result<Anchor, SetupError> {
    let (chain_pem, root_pem) = (pki.issuing.to_pem(), pki.root.to_pem());
    state.lock()?.create_log(&NewLog { origin: ORIGIN, chain_pem: &chain_pem, root_pem: &root_pem, predecessor: None, now: now() })
}

fn open(state: &Folder) -> Result<(), String> {
    let config = Config::parse("intake = \"127.0.0.1:0\"\npublic = \"127.0.0.1:0\"\n").unwrap();
    let locked = state.lock().map_err(|error| error.to_string())?;
    let opened = Appliance::open(&locked, &config, Arc::new(now), Arc::new(|reason: &str| panic!("{reason}")));
    opened.map(|_| ()).map_err(|error| error.to_string())
}

#[test]
fn keys_are_made_once_and_for_nobody_else_to_read() {
    let folder = tempfile::tempdir().unwrap();
    let pki = Pki::new(1 << 40);
    let state = certified(folder.path(), &pki);
    for entry in fs::read_dir(folder.path()).unwrap() {
        let entry = entry.unwrap();
        if entry.file_name() != "appliance.pem" {
            assert_eq!(entry.metadata().unwrap().permissions().mode() & 0o077, 0, "{:?} can be read by others", entry.file_name());
        }
    }
    let before = fs::read(folder.path().join("appliance.key")).unwrap();
    assert!(matches!(state.init(&identity()), Err(SetupError::Exists(_))));
    fs::remove_file(folder.path().join("appliance.csr")).unwrap();
    assert!(matches!(state.init(&identity()), Err(SetupError::Exists(_))));
    assert_eq!(fs::read(folder.path().join("appliance.key")).unwrap(), before, "a key was written over");
    let seeds = ["note-ed25519.key", "note-ml-dsa-44.key"].map(|name| fs::read(folder.path().join(name)).unwrap());
    assert_ne!(seeds[0], seeds[1]);
    let camera = Identity::parse("spiffe://city.example/camera/1").unwrap();
    assert!(matches!(Folder::new(&folder.path().join("x")).init(&camera), Err(SetupError::NotAnAppliance(_))));
}

#[test]
fn a_log_begins_once_with_genesis_and_is_opened_again() {
    let folder = tempfile::tempdir().unwrap();
    let pki = Pki::new(1 << 40);
    let state = certified(folder.path(), &pki);
    assert!(open(&state).is_err(), "there is no log yet");
    let anchor = create(&state, &pki).unwrap();
    assert_eq!(state.anchor().unwrap(), anchor);
    assert_eq!((anchor.verifier.origin.as_str(), anchor.verifier.keys.len()), (ORIGIN, 2));
    assert_eq!(anchor.roots, std::slice::from_ref(&pki.root));
    open(&state).unwrap();
    assert!(matches!(create(&state, &pki), Err(SetupError::Exists(_))), "a second log was begun over the first");
    open(&state).unwrap();
}

#[test]
fn a_successor_names_its_predecessor_and_the_last_head_that_is_known() {
    let (folder, elsewhere) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let pki = Pki::new(1 << 40);
    let first = create(&certified(folder.path(), &pki), &pki).unwrap();
    let last = LedgerFolder::open(&folder.path().join("ledger")).unwrap().checkpoint().unwrap();
    let known = predecessor(&first, &last).unwrap();
    assert_eq!((known.named.log, known.named.head.size), (first.log, 1));

    let state = certified(elsewhere.path(), &pki);
    let (chain_pem, root_pem) = (pki.issuing.to_pem(), pki.root.to_pem());
    let new =
        NewLog { origin: "city.example/log/2", chain_pem: &chain_pem, root_pem: &root_pem, predecessor: Some(known.clone()), now: now() };
    let second = state.lock().unwrap().create_log(&new).unwrap();
    assert_ne!(second.log, first.log);
    let genesis = LedgerFolder::open(&elsewhere.path().join("ledger")).unwrap().entries(BundleId { index: 0, width: 1 });
    let genesis = SignedStatement::parse(genesis[0].as_ref().unwrap()).unwrap();
    assert!(matches!(&genesis.statement().body, Body::Genesis(genesis) if genesis.predecessor == Some(known.named)));
    open(&state).unwrap();
    assert!(matches!(predecessor(&second, &last), Err(SetupError::Predecessor(_))), "a head of another log");
}

#[test]
fn certificates_that_an_appliance_can_not_serve_with_are_refused() {
    let pki = Pki::new(1 << 40);
    let others = Pki::new(1 << 41);
    let with = |certificate: &dyn Fn(&Path) -> String| {
        let folder = tempfile::tempdir().unwrap();
        let state = certified(folder.path(), &pki);
        fs::write(folder.path().join("appliance.pem"), certificate(&folder.path().join("appliance.csr"))).unwrap();
        let created = create(&state, &pki);
        assert!(!folder.path().join("ledger").exists(), "a log was begun that can not be served");
        created.unwrap_err().to_string()
    };
    let other_key = with(&|_| pki.party("appliance/1", &[Role::Appliance], exhibit_pki::KeyPurpose::Signing).certificate.to_pem());
    assert!(other_key.contains("not for the key"), "{other_key}");
    let nameless = with(&|request| pki.sign_request(request, &[Role::Appliance], &[]).to_pem());
    assert!(nameless.contains("names no server"), "{nameless}");
    let other_root = with(&|request| others.sign_request(request, &[Role::Appliance], &["localhost"]).to_pem());
    assert!(other_root.contains("no path"), "{other_root}");
}

/// What is begun with them nobody could judge: no anchor with such roots is read.
#[test]
fn a_log_is_not_begun_with_roots_that_no_anchor_may_have() {
    let pki = Pki::new(1 << 40);
    let many: String = (1..=17).map(|number| Pki::new(number << 42).root.to_pem()).collect();
    for (roots, expected) in [
        (pki.root_of_other_domain().to_pem(), "several trust domains"),
        (pki.root.to_pem(), "not all different"),
        (
            pki.party("appliance/1", &[Role::Appliance], exhibit_pki::KeyPurpose::Signing).certificate.to_pem(),
            "not all certificates of authorities",
        ),
        (many, "more than 16"),
    ] {
        let folder = tempfile::tempdir().unwrap();
        let state = certified(folder.path(), &pki);
        let (chain_pem, root_pem) = (pki.issuing.to_pem(), pki.root.to_pem() + &roots);
        let new = NewLog { origin: ORIGIN, chain_pem: &chain_pem, root_pem: &root_pem, predecessor: None, now: now() };
        let refusal = state.lock().unwrap().create_log(&new).unwrap_err();
        assert!(matches!(refusal, SetupError::Roots { .. }) && refusal.to_string().contains(expected), "{refusal}");
        assert!(!folder.path().join("ledger").exists() && !folder.path().join("root.pem").exists(), "something was written");
        create(&state, &pki).unwrap();
    }
}

#[test]
fn a_folder_that_was_mixed_up_is_not_served() {
    let pki = Pki::new(1 << 40);
    let (folder, elsewhere) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let (state, other) = (certified(folder.path(), &pki), certified(elsewhere.path(), &pki));
    create(&state, &pki).unwrap();
    create(&other, &pki).unwrap();
    open(&state).unwrap();
    let with = |name: &str, bytes: &[u8]| {
        let path = folder.path().join(name);
        let own = fs::read(&path).unwrap();
        fs::write(&path, bytes).unwrap();
        let opened = open(&state);
        fs::write(&path, own).unwrap();
        opened.unwrap_err()
    };
    let foreign = |name: &str| fs::read(elsewhere.path().join(name)).unwrap();

    let anchor = with("anchor.json", &foreign("anchor.json"));
    assert!(anchor.contains("anchor.json names"), "another log's anchor: {anchor}");
    let renewed = pki.sign_request(&folder.path().join("appliance.csr"), &[Role::Appliance], &["localhost"]);
    let unknown = with("appliance.pem", renewed.to_pem().as_bytes());
    assert!(unknown.contains("not on it"), "a certificate that is not on the ledger: {unknown}");
    let two_roots = [pki.root.to_pem(), Pki::new(1 << 41).root.to_pem()].concat();
    let roots = with("root.pem", two_roots.as_bytes());
    assert!(roots.contains("roots that genesis names"), "a root that genesis does not name: {roots}");
    assert!(with("note-ed25519.key", &foreign("note-ed25519.key")).contains("ledger"), "another note key");
    assert!(with("note-ed25519.key", b"00").contains("seed"));
    open(&state).unwrap();
}

/// As a crash between any two steps leaves it.
#[test]
fn a_log_that_was_begun_half_way_goes_on() {
    let folder = tempfile::tempdir().unwrap();
    let pki = Pki::new(1 << 40);
    let state = certified(folder.path(), &pki);
    let (chain_pem, root_pem) = (pki.issuing.to_pem(), pki.root.to_pem());
    let new = NewLog { origin: ORIGIN, chain_pem: &chain_pem, root_pem: &root_pem, predecessor: None, now: now() };
    // What was being written, and an empty ledger.
    fs::write(folder.path().join("anchor.json.new"), "{").unwrap();
    state.lock().unwrap().prepare_log(&new).unwrap();
    assert!(open(&state).is_err());
    let anchor = create(&state, &pki).unwrap();
    // Genesis without its anchor.
    fs::remove_file(folder.path().join("anchor.json")).unwrap();
    assert_eq!(create(&state, &pki).unwrap(), anchor, "another genesis");
    open(&state).unwrap();
    // Another log, or one with more in it, is left alone.
    fs::remove_file(folder.path().join("anchor.json")).unwrap();
    let other = NewLog { origin: "city.example/log/2", ..new };
    assert!(matches!(state.lock().unwrap().create_log(&other), Err(SetupError::Ledger(_))), "a log of another name was gone on with");
    assert!(matches!(state.lock().unwrap().prepare_log(&NewLog { origin: ORIGIN, ..other }), Err(SetupError::Exists(_))));
    let elsewhere = tempfile::tempdir().unwrap();
    let before = certified(elsewhere.path(), &pki);
    let (chain_pem, root_pem) = (pki.issuing.to_pem(), pki.root.to_pem());
    let before_anchor = before.lock().unwrap().create_log(&NewLog {
        origin: "city.example/log/0",
        chain_pem: &chain_pem,
        root_pem: &root_pem,
        predecessor: None,
        now: now(),
    });
    let note = LedgerFolder::open(&before.ledger_path()).unwrap().checkpoint().unwrap();
    let known = predecessor(&before_anchor.unwrap(), &note).unwrap();
    let continued = NewLog { origin: ORIGIN, predecessor: Some(known), ..other };
    assert!(
        matches!(state.lock().unwrap().create_log(&continued), Err(SetupError::Exists(_))),
        "a genesis that names no predecessor was taken"
    );
    assert_eq!(create(&state, &pki).unwrap(), anchor);
}

/// Two logs of one origin, or with one key, would be two trees of one log.
#[test]
fn a_successor_has_an_origin_and_keys_of_its_own() {
    let (folder, elsewhere) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let pki = Pki::new(1 << 40);
    let first = create(&certified(folder.path(), &pki), &pki).unwrap();
    let known = predecessor(&first, &LedgerFolder::open(&folder.path().join("ledger")).unwrap().checkpoint().unwrap()).unwrap();
    let state = certified(elsewhere.path(), &pki);
    let (chain_pem, root_pem) = (pki.issuing.to_pem(), pki.root.to_pem());
    let refused = |origin: &str| {
        let new = NewLog { origin, chain_pem: &chain_pem, root_pem: &root_pem, predecessor: Some(known.clone()), now: now() };
        state.lock().unwrap().create_log(&new)
    };
    assert!(matches!(refused(ORIGIN), Err(SetupError::SameLog("origin"))));
    let name = "note-ml-dsa-44.key";
    let own = fs::read(elsewhere.path().join(name)).unwrap();
    fs::copy(folder.path().join(name), elsewhere.path().join(name)).unwrap();
    assert!(matches!(refused("city.example/log/2"), Err(SetupError::SameLog("keys"))));
    assert!(!elsewhere.path().join("ledger").exists());
    fs::write(elsewhere.path().join(name), own).unwrap();
    refused("city.example/log/2").unwrap();
}

/// Everybody else goes by the anchor: an appliance that forgot its policy would call receipts final that nobody takes for it.
#[test]
fn receipts_wait_for_the_witnesses_that_the_anchor_demands_whatever_is_configured() {
    let folder = tempfile::tempdir().unwrap();
    let pki = Pki::new(1 << 40);
    let state = certified(folder.path(), &pki);
    let key = |seed: u8| Ed25519Cosigner::new("witness.example/w1", &Zeroizing::new([seed; 32])).unwrap().verifier_key().to_string();
    let policy = |seed: u8, url: &str, quorum: &str| format!("# our witness\nwitness w1 {} {url}\nquorum {quorum}\n", key(seed));
    let write = |text: String| fs::write(folder.path().join("witness.policy"), text).unwrap();
    write(policy(1, "https://one.example/", "w1"));
    let config = folder.path().join("appliance.toml");
    fs::write(&config, fs::read_to_string(&config).unwrap().replace("# witness_policy", "witness_policy")).unwrap();
    assert!(create(&state, &pki).unwrap().policy.witnesses.is_some());
    let is_gated = |more: &str| {
        let config = Config::parse(&format!("intake = \"127.0.0.1:0\"\npublic = \"127.0.0.1:0\"\n{more}")).unwrap();
        let opened = Appliance::open(&state.lock().unwrap(), &config, Arc::new(now), Arc::new(|reason: &str| panic!("{reason}")));
        opened.map(|(appliance, _)| appliance.witnessing.status(&appliance.ledger).is_gated).map_err(|error| error.to_string())
    };
    assert_eq!(is_gated(""), Ok(true), "receipts without a witness are final");
    let configured = "witness_policy = \"witness.policy\"\n";
    assert_eq!(is_gated(configured), Ok(true));
    write(policy(1, "https://moved.example/", "w1").replace("# our witness\n", ""));
    assert_eq!(is_gated(configured), Ok(true), "a witness may move");
    for (defect, text) in
        [("another key", policy(2, "https://one.example/", "w1")), ("no quorum", policy(1, "https://one.example/", "none"))]
    {
        write(text);
        let refused = is_gated(configured).unwrap_err();
        assert!(refused.contains("is not the policy that anchor.json demands"), "{defect}: {refused}");
    }
}

/// A quorum of several witnesses, each with both kinds of keys, as `exhibit-witness keys` prints them.
#[test]
fn a_log_begins_with_as_many_as_fifteen_witnesses() {
    for witnesses in [5_u8, 15] {
        let folder = tempfile::tempdir().unwrap();
        let pki = Pki::new(1 << 40);
        let state = certified(folder.path(), &pki);
        let (mut lines, mut groups) = (String::new(), String::new());
        for number in 1..=witnesses {
            let (name, seed) = (format!("witness.example/w{number}"), Zeroizing::new([number; 32]));
            let keys: [Box<dyn NoteSigner>; 2] =
                [Box::new(Ed25519Cosigner::new(&name, &seed).unwrap()), Box::new(MlDsa44NoteSigner::new(&name, &seed).unwrap())];
            for (kind, key) in ["ed25519", "ml-dsa-44"].iter().zip(keys) {
                lines += &format!("witness w{number}-{kind} {} https://witness-{number}.example/\n", key.verifier_key());
            }
            lines += &format!("group w{number} any w{number}-ed25519 w{number}-ml-dsa-44\n");
            groups += &format!(" w{number}");
        }
        fs::write(folder.path().join("witness.policy"), format!("{lines}group enough 3{groups}\nquorum enough\n")).unwrap();
        let config = folder.path().join("appliance.toml");
        fs::write(&config, fs::read_to_string(&config).unwrap().replace("# witness_policy", "witness_policy")).unwrap();
        let anchor = create(&state, &pki).unwrap_or_else(|error| panic!("{witnesses} witnesses: {error}"));
        assert_eq!(anchor.policy.witnesses.unwrap().policy().witnesses().len(), usize::from(witnesses) * 2);
        open(&state).unwrap();
    }
}

//! Start asks witnesses and mirrors what they know: an older disk, a second copy or a fork is refused before anything is signed.
#![allow(clippy::unwrap_used)]

mod common;

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Arc, Mutex};

use common::World;
use common::http::serve_http;
use common::mirror::{Mirror, mirror_toml};
use common::watched::TIMESTAMPS_HOURLY;
use exhibit_appliance::appliance::Appliance;
use exhibit_appliance::config::Config;
use exhibit_appliance::setup::{Folder, SetupError, now};
use exhibit_ledger::LedgerError;
use exhibit_tlog::witness::cosign;
use exhibit_tlog::{Checkpoint, Ed25519Cosigner, Hash, NoteSigner};
use zeroize::Zeroizing;

fn copy(from: &Path, to: &Path) {
    assert!(Command::new("cp").arg("-a").arg(from).arg(to).status().unwrap().success());
}

/// Opens a state folder as `serve` does before it listens, or says why not.
async fn open(state: PathBuf, more: &str) -> Result<u64, SetupError> {
    let config = Config::parse(&format!("intake = \"127.0.0.1:0\"\npublic = \"127.0.0.1:0\"\n{more}")).unwrap();
    let opening = move || {
        let appliance = Appliance::open(&Folder::new(&state).lock()?, &config, Arc::new(now), Arc::new(|_: &str| {}))?.0;
        Ok(appliance.ledger.size())
    };
    tokio::task::spawn_blocking(opening).await.unwrap()
}

fn behind(opened: Result<u64, SetupError>) -> String {
    match opened {
        Err(SetupError::Ledger(LedgerError::Behind(told))) => told,
        other => panic!("{other:?}"),
    }
}

/// A copy of the state, its seal included, is started beside the running appliance, and after it.
#[tokio::test(flavor = "multi_thread")]
async fn an_old_copy_beside_the_running_one_is_refused() {
    let (world, mut camera) = World::with_camera().await;
    let folder = tempfile::tempdir().unwrap();
    let mut mirror = Mirror::start(folder.path(), "m", &world.anchor).await;
    let old = folder.path().join("old");
    let policy = format!("witness w {} {}\nquorum w\n", mirror.witness_keys[0], mirror.url());
    let world = world.watched(&policy, &format!("{TIMESTAMPS_HOURLY}{}", mirror.toml())).await;
    let (as_witness, as_mirror) = (format!("witness_policy = \"witness.policy\"\n{TIMESTAMPS_HOURLY}"), mirror.toml());
    let more = format!("{as_witness}{as_mirror}");
    world.until_final(world.size()).await;
    let world = world.restart_after(|folder| copy(&folder.join("state"), &old)).await;
    world.put_segment(&mut camera, 202).await;
    let size = world.size();
    world.until_final(size).await;
    world.until_status(|status| status.mirrors[0].size >= Some(size)).await;
    // Each alone is enough, and nothing is signed: what is refused is refused again with the same sizes.
    for (more, who) in [(&as_witness, "the witness w has seen"), (&as_mirror, "the mirror http"), (&more, "has seen"), (&more, "has seen")]
    {
        let told = behind(open(old.clone(), more).await);
        assert!(told.contains(who) && told.contains("operations.md"), "{told}");
    }
    // The newest starts, also where it is asked by a wrong address, which is no word of anybody.
    let world = world.restart().await;
    let wrong = format!("{as_witness}witness_monitoring = {{ {:?} = \"{}/status\" }}\n", mirror.url(), mirror.url());
    let refused = open(old.clone(), &format!("{wrong}unwitnessed_start = \"refuse\"\n")).await;
    assert!(matches!(refused, Err(SetupError::Unwitnessed(_))), "a wrong address is a witness: {refused:?}");
    let unknown = open(old.clone(), &format!("{as_witness}witness_monitoring = {{ \"https://x.example/\" = \"y\" }}\n")).await;
    assert!(matches!(unknown, Err(SetupError::Monitoring(_))), "a misspelt URL was passed over");

    // Nobody can be asked: by default it starts, and with `refuse` it does not.
    mirror.kill().await;
    let refused = open(old.clone(), &format!("unwitnessed_start = \"refuse\"\n{more}")).await;
    assert!(matches!(refused, Err(SetupError::Unwitnessed(_))), "{refused:?}");
    let grown = open(old.clone(), &more).await.unwrap();
    assert!(grown < world.size(), "the old copy is not old");
}

/// A fork of the same size and of a smaller one, shown by whoever has the log's signature, by its own or by nobody's.
#[tokio::test(flavor = "multi_thread")]
async fn what_a_witness_shows_counts_by_its_signatures() {
    let world = World::new().await;
    let (note, head) = world.running.appliance.ledger.checkpoint().unwrap();
    let state = world.folder.path().join("state");
    let signers = [7, 8].map(|seed| Ed25519Cosigner::new("w.example/w", &Zeroizing::new([seed; 32])).unwrap());
    let shown: Arc<Mutex<(u16, Vec<u8>)>> = Arc::default();
    let showing = shown.clone();
    let path = format!("/{}", exhibit_tlog::witness::checkpoint_path(&head.origin));
    let url = serve_http(Arc::new(move |asked, _| {
        let (status, body) = showing.lock().unwrap().clone();
        Some(if asked == path { (status, "text/plain", body) } else { (404, "text/plain", vec![]) })
    }));
    common::stop(world.running).await;
    let (_, anchor) = (Folder::new(&state), Folder::new(&state).anchor().unwrap());
    let options = Folder::new(&state).options(&anchor.verifier.origin, &Folder::new(&state).config().unwrap()).unwrap();
    let by_log = |head: &Checkpoint| {
        let signers: Vec<&dyn NoteSigner> = options.signers.iter().map(|signer| &**signer).collect();
        head.sign(&signers, 1_795_176_002).unwrap()
    };
    let by = |note: String, number: usize, head: &Checkpoint| note + &cosign(head, &[&signers[number]], 1_795_176_002).unwrap();
    let forked = Checkpoint { root: Hash([7; 32]), ..head.clone() };
    let small = Checkpoint { size: 2, ..forked.clone() };
    let later = Checkpoint { size: head.size + 7, ..forked.clone() };
    let other_log = Checkpoint { origin: "other.example/log".into(), ..later.clone() };
    let unsigned = format!("{}\n{}", later.to_text(), cosign(&later, &[&signers[0]], 1_795_176_002).unwrap());
    let configured = format!("unwitnessed_start = \"refuse\"\n{}", mirror_toml(&url, &[signers[0].verifier_key().clone()]));
    let configured = configured.replace("\nkeys", &format!("\nmonitoring_url = {url:?}\nkeys"));
    let lenient = configured.replace("unwitnessed_start = \"refuse\"\n", "");
    let is_refused = [
        ("beyond what is there", by(by_log(&later), 0, &later), true),
        ("another tree of this size", by(by_log(&forked), 0, &forked), true),
        ("another tree before", by(by_log(&small), 0, &small), true),
        ("of the log, and not its word", by_log(&later), true),
        ("of the log, by another witness's key", by(by_log(&later), 1, &later), true),
        ("what is there", by(note.to_string(), 0, &head), false),
    ];
    for (what, note, is_refused) in is_refused {
        *shown.lock().unwrap() = (200, note.into_bytes());
        let opened = open(state.clone(), if is_refused { &lenient } else { &configured }).await;
        match opened {
            Err(SetupError::Ledger(LedgerError::Behind(_))) if is_refused => {}
            Ok(_) if !is_refused => {}
            other => panic!("{what}: {other:?}"),
        }
    }
    *shown.lock().unwrap() = (404, vec![]);
    open(state.clone(), &configured).await.expect("who knows nothing of the log has answered");
    let nobodys = [
        ("the newest, by another witness's key", (200, by(note.to_string(), 1, &head).into_bytes())),
        ("not signed by the log", (200, unsigned.into_bytes())),
        ("of another log", (200, by(by_log(&other_log), 0, &other_log).into_bytes())),
        ("garbage", (200, vec![0xff; 100])),
        ("endless", (200, vec![b'x'; 1 << 20])),
        ("broken", (500, vec![])),
        ("elsewhere", (302, vec![])),
    ];
    for (what, answer) in nobodys {
        *shown.lock().unwrap() = answer;
        let opened = open(state.clone(), &configured).await;
        assert!(matches!(opened, Err(SetupError::Unwitnessed(_))), "{what}: {opened:?}");
        open(state.clone(), &lenient).await.unwrap_or_else(|error| panic!("{what}: whoever says nothing true stops the start: {error}"));
    }
}

/// A witness that accepts and says nothing holds a start up for seconds, and not for ever.
#[tokio::test(flavor = "multi_thread")]
async fn a_silent_witness_holds_a_start_up_for_a_bounded_time() {
    let world = World::new().await;
    let state = world.folder.path().join("state");
    common::stop(world.running).await;
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let key = Ed25519Cosigner::new("w.example/w", &Zeroizing::new([7; 32])).unwrap().verifier_key().clone();
    let silent: String =
        (0..8).map(|_| mirror_toml(&format!("http://{}", listener.local_addr().unwrap()), std::slice::from_ref(&key))).collect();
    let opened = tokio::time::timeout(std::time::Duration::from_secs(30), open(state, &silent)).await;
    opened.expect("eight silent mirrors are waited for one after the other, or for ever").unwrap();
}

//! An appliance that was lost or damaged is made whole from a mirror over HTTP: what hashes right, and nothing else. What nobody has leads to a
//! successor, and never to a fork.
#![allow(clippy::unwrap_used)]

mod common;

use std::fs;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Arc, Mutex};

use common::http::serve_http;
use common::mirror::Mirror;
use common::watched::TIMESTAMPS_HOURLY;
use common::{World, stop};
use exhibit_appliance::maintain::backup::back_up;
use exhibit_appliance::maintain::place::Place;
use exhibit_appliance::maintain::restore::{RestoreError, Restored, restore};
use exhibit_appliance::maintain::successor::{Outcome, Succeeded, Successor, restore_or_succeed};
use exhibit_appliance::setup::{Folder, now};
use exhibit_evidence::{Body, SignedStatement};
use exhibit_ledger::rebuild::RebuildError;
use exhibit_ledger::source::LedgerFolder;
use exhibit_pki::{Identity, Role};

/// A world that was backed up, has grown since, is in a mirror as a whole, and was stopped.
struct Lost {
    world_folder: tempfile::TempDir,
    mirror: Mirror,
    pki: common::Pki,
    size: u64,
    backed_up: u64,
    payloads: Vec<String>,
    _elsewhere: tempfile::TempDir,
}

impl Lost {
    async fn new() -> Self {
        let (world, mut camera) = World::with_camera().await;
        let elsewhere = tempfile::tempdir().unwrap();
        let mirror = Mirror::start(elsewhere.path(), "m", &world.anchor).await;
        let policy = format!("witness w {} {}\nquorum w\n", mirror.witness_keys[0], mirror.url());
        let more = format!("witness_policy = \"witness.policy\"\n{TIMESTAMPS_HOURLY}{}", mirror.toml());
        let world = world
            .restart_after(|folder| {
                fs::write(folder.join("state/witness.policy"), policy).unwrap();
                fs::write(folder.join("more.toml"), &more).unwrap();
                let config = format!("intake = \"127.0.0.1:0\"\npublic = \"127.0.0.1:0\"\n{more}");
                fs::write(folder.join("state/appliance.toml"), config).unwrap();
            })
            .await;
        let mut payloads = Vec::new();
        let mut put = async |world: &World| {
            let (signed, _) = world.put_segment(&mut camera, 202).await;
            payloads.push(signed.statement_hash().to_string());
        };
        put(&world).await;
        let (state, to) = (Folder::new(&world.folder.path().join("state")), world.folder.path().join("backup"));
        let backed_up = back_up(&state, &world.running.appliance.ledger, &to).unwrap().size;
        // More than a tile, so that there are levels.
        while world.size() < 300 {
            put(&world).await;
        }
        // Also what the appliance itself states about its witnesses, which is no more than one statement an hour.
        world.until_status(|status| status.mirrors[0].size == Some(status.size)).await;
        let size = world.size();
        stop(world.running).await;
        assert!(backed_up < size);
        Self { world_folder: world.folder, mirror, pki: world.pki, size, backed_up, payloads, _elsewhere: elsewhere }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.world_folder.path().join(name)
    }

    fn remove(&self, names: &[&str]) {
        for path in names.iter().map(|name| self.path(name)) {
            if path.is_dir() { fs::remove_dir_all(path).unwrap() } else { fs::remove_file(path).unwrap() }
        }
    }

    async fn run(&self, from: &[Place], successor: Option<(&str, &str)>) -> Result<Outcome, RestoreError> {
        let (state, from) = (self.path("state"), from.to_vec());
        let successor = successor.map(|(folder, origin)| (self.path(folder), origin.to_owned()));
        let running = move || {
            let folder = Folder::new(&state).lock()?;
            let Some((new, origin)) = successor else { return restore(&folder, &from, &[], &|_, _| {}).map(Outcome::Restored) };
            let successor = Successor { folder: &Folder::new(&new).lock()?, origin: &origin, now: now() };
            restore_or_succeed(&folder, &from, &[], &successor, &|_, _| {})
        };
        tokio::task::spawn_blocking(running).await.unwrap()
    }

    async fn restore(&self, from: &[Place]) -> Result<Restored, RestoreError> {
        match self.run(from, None).await? {
            Outcome::Restored(restored) => Ok(restored),
            Outcome::Succeeded(_) => panic!("nobody asked for a successor"),
        }
    }

    fn backup(&self) -> Place {
        Place::Folder(self.path("backup"))
    }

    /// A folder that a successor may begin in.
    fn successor(&self, name: &str) -> Folder {
        let new = Folder::new(&self.path(name));
        let request = new.init(&Identity::parse("spiffe://city.example/appliance/1").unwrap()).unwrap();
        let certificate = self.pki.sign_request(&request, &[Role::Appliance], &["localhost", "127.0.0.1"]);
        fs::write(new.path().join("appliance.pem"), certificate.to_pem()).unwrap();
        new
    }

    /// The configured mirror is not asked.
    fn without_configured_mirror(&self) {
        let path = self.path("state/appliance.toml");
        let config = fs::read_to_string(&path).unwrap();
        fs::write(path, config.split("\n[[mirror]]").next().unwrap()).unwrap();
    }

    fn rows(&self) -> Vec<(Vec<u8>, Vec<u8>)> {
        let folder = Folder::new(&self.path("state"));
        let ledger = folder.ledger(&folder.anchor().unwrap().verifier.origin, &folder.config().unwrap()).unwrap();
        ledger.annotations(b"", b"", 100_000).unwrap()
    }
}

fn copy(from: &Path, to: &Path) {
    assert!(Command::new("cp").arg("-a").arg(from).arg(to).status().unwrap().success());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lost_appliance_comes_back_from_a_backup_and_its_mirror_without_being_told_where_that_is() {
    let lost = Lost::new().await;
    let rows = lost.rows();
    lost.remove(&["state/ledger", "state/vault", "state/head.seal", "state/witnessed"]);
    let done = lost.restore(&[lost.backup()]).await.unwrap();
    assert_eq!((done.size, &done.set_aside), (lost.size, &None));
    let mut missing: Vec<&str> = lost.payloads[1..].iter().map(String::as_str).collect();
    missing.sort_unstable();
    let left: Vec<&str> = done.left.iter().filter(|damage| damage.part == "payload").map(|damage| damage.name.as_str()).collect();
    assert_eq!(left, missing, "what a mirror does not hold is named, each by its name");
    let others = done.left.iter().filter(|damage| damage.part != "payload").collect::<Vec<_>>();
    // The timestamp's note is an attachment, and was stated after the backup.
    assert!(others.iter().all(|damage| damage.part == "attachment") && others.len() <= 1, "{others:?}");
    assert_eq!(lost.rows(), rows, "the rebuilt ledger has other index rows");

    // A second restore gives the same, and sets aside what was there.
    let again = lost.restore(&[lost.backup()]).await.unwrap();
    assert_eq!((again.size, again.left), (lost.size, done.left));
    assert!(again.set_aside.is_some());

    // It goes on, and is lost once more before the mirror has what came: the seal knows.
    let folder = Folder::new(&lost.path("state"));
    let grow = move || {
        let config = folder.config().unwrap();
        let (appliance, _) =
            exhibit_appliance::appliance::Appliance::open(&folder.lock().unwrap(), &config, Arc::new(now), Arc::new(|_: &str| {})).unwrap();
        appliance.chronicle.start("test").unwrap();
        appliance.ledger.size()
    };
    assert_eq!(tokio::task::spawn_blocking(grow).await.unwrap(), lost.size + 1);
    lost.remove(&["state/ledger"]);
    let behind = lost.restore(&[lost.backup()]).await.unwrap_err();
    assert!(matches!(behind, RestoreError::Behind { known, newest } if (known, newest) == (lost.size + 1, lost.size)), "{behind}");
}

#[tokio::test(flavor = "multi_thread")]
async fn damage_is_repaired_from_a_url_and_nothing_else_is_taken() {
    let lost = Lost::new().await;
    let rows = lost.rows();
    lost.without_configured_mirror();
    // Entries and tiles are gone from the ledger: its database is an older copy's, with the newest head beside it.
    let (ledger, old) = (lost.path("state/ledger"), lost.path("backup/ledger"));
    fs::rename(&ledger, lost.path("newest")).unwrap();
    copy(&old, &ledger);
    let refused = lost.restore(&[]).await.unwrap_err();
    assert!(matches!(refused, RestoreError::Behind { .. }), "{refused}");
    let url = Place::Url(lost.mirror.copy_url());
    let done = lost.restore(std::slice::from_ref(&url)).await.unwrap();
    assert_eq!((done.size, done.left), (lost.size, vec![]), "the vault is whole");
    assert!(done.set_aside.is_some());
    assert_eq!(lost.rows(), rows);
    let gone = lost.restore(&[Place::Url("http://127.0.0.1:1/mirror".into())]).await.unwrap_err();
    assert!(matches!(gone, RestoreError::Mirror { .. }), "{gone}");
    let other = lost.restore(&[Place::Url(format!("{}/nothing", lost.mirror.url()))]).await.unwrap_err();
    assert!(matches!(other, RestoreError::Mirror { .. }), "{other}");
}

/// A mirror's answers, changed on the way.
type Change = Box<dyn Fn(&str, u16, Vec<u8>) -> (u16, Vec<u8>) + Send + Sync>;

fn between(to: String, change: Change) -> (String, Arc<Mutex<usize>>) {
    let asked = Arc::new(Mutex::new(0));
    let counted = asked.clone();
    let (host, prefix) =
        to.strip_prefix("http://").unwrap().split_once('/').map(|(host, path)| (host.to_owned(), format!("/{path}"))).unwrap();
    let url = serve_http(Arc::new(move |path, _| {
        *counted.lock().unwrap() += 1;
        let mut stream = std::net::TcpStream::connect(&host).unwrap();
        let request = format!("GET {prefix}{path} HTTP/1.1\r\nHost: m\r\nConnection: close\r\n\r\n");
        std::io::Write::write_all(&mut stream, request.as_bytes()).unwrap();
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).unwrap();
        let head = answer.windows(4).position(|four| four == b"\r\n\r\n").unwrap();
        let status = std::str::from_utf8(&answer[9..12]).unwrap().parse().unwrap();
        let (status, body) = change(path, status, answer[head + 4..].to_vec());
        Some((status, "application/octet-stream", body))
    }));
    (url, asked)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_mirror_that_lies_restores_nothing() {
    let lost = Lost::new().await;
    lost.without_configured_mirror();
    lost.remove(&["state/ledger", "state/head.seal"]);
    let cases: Vec<(&str, Change)> = vec![
        (
            "an altered entry",
            Box::new(|path, status, mut body| {
                if path.contains("/entries/") {
                    body[40] ^= 1;
                }
                (status, body)
            }),
        ),
        (
            "a bundle that is missing",
            Box::new(|path, status, body| if path.contains("/entries/000") { (404, vec![]) } else { (status, body) }),
        ),
        (
            "bundles exchanged",
            Box::new(
                |path, status, body| if path.contains("/entries/000") { (status, body[..body.len() / 2].to_vec()) } else { (status, body) },
            ),
        ),
        (
            "altered tiles, and no entries to make them of",
            Box::new(|path, status, mut body| {
                if path.contains("/entries/") {
                    return (404, vec![]);
                }
                if path.contains("/tile/") {
                    body[0] ^= 1;
                }
                (status, body)
            }),
        ),
        (
            "endless bundles",
            Box::new(|path, status, body| if path.contains("/entries/") { (status, vec![7; 20 << 20]) } else { (status, body) }),
        ),
    ];
    for (defect, change) in cases {
        let (url, _) = between(lost.mirror.copy_url(), change);
        let refused = lost.restore(&[lost.backup(), Place::Url(url)]).await.unwrap_err();
        let is_missing = matches!(refused, RestoreError::Rebuild(RebuildError::Missing { .. } | RebuildError::Tree(_)));
        let is_behind = matches!(refused, RestoreError::Behind { known, newest } if (known, newest) == (lost.size, lost.backed_up));
        assert!(is_missing || is_behind, "{defect}: {refused}");
        assert!(!lost.path("state/ledger").exists() && !lost.path("state/head.seal").exists(), "{defect}: something could be served");
        if lost.path("state/ledger.rebuilt").exists() {
            let size = LedgerFolder::open(&lost.path("state/ledger.rebuilt")).unwrap().size().unwrap();
            assert_eq!(size, 0, "{defect}: something was written though not all is there");
        }
    }
    // A checkpoint of nobody's.
    let forged: Change = Box::new(|path, status, body| match path {
        "/checkpoint" => (200, String::from_utf8(body).unwrap().replacen("\n3", "\n4", 1).into_bytes()),
        _ => (status, body),
    });
    let (url, _) = between(lost.mirror.copy_url(), forged);
    let refused = lost.restore(&[Place::Url(url)]).await.unwrap_err();
    assert!(matches!(refused, RestoreError::Mirror { .. }), "{refused}");
    // What fails now and then is asked again; altered tiles are made anew from entries.
    let flaky = Mutex::new(0);
    let change: Change = Box::new(move |path, status, mut body| {
        let mut count = flaky.lock().unwrap();
        *count += 1;
        if path.contains("/tile/0/") {
            body[0] ^= 1;
        }
        if *count % 5 == 2 { (503, vec![]) } else { (status, body) }
    });
    let (url, _) = between(lost.mirror.copy_url(), change);
    assert_eq!(lost.restore(&[lost.backup(), Place::Url(url)]).await.unwrap().size, lost.size);
}

/// A seal has no note of its head. The successor names that head all the same, and is served.
async fn only_the_seal_knows(lost: &mut Lost) {
    lost.mirror.kill().await;
    let new = lost.successor("unnoted");
    let outcome = lost.run(&[lost.backup()], Some(("unnoted", "city.example/log/2"))).await.unwrap();
    let Outcome::Succeeded(done) = outcome else { panic!("the log went on behind what was sealed") };
    assert_eq!((done.last.size, new.predecessor_note().unwrap()), (lost.size, None));
    let served = tokio::task::spawn_blocking(move || {
        let (folder, config) = (new.lock().unwrap(), new.config().unwrap());
        let (appliance, _) =
            exhibit_appliance::appliance::Appliance::open(&folder, &config, Arc::new(now), Arc::new(|_: &str| {})).unwrap();
        appliance.predecessor.as_ref().unwrap().end
    });
    assert_eq!(served.await.unwrap(), done.last);
    // Nobody opens a second one beside it.
    lost.successor("rival");
    let refused = lost.run(&[lost.backup()], Some(("rival", "city.example/log/3"))).await.unwrap_err();
    assert!(matches!(refused, RestoreError::HasSuccessor(_)), "two logs go on for one: {refused}");
    assert!(!lost.path("rival/ledger").exists());
    // The same call goes on.
    let again = lost.run(&[lost.backup()], Some(("unnoted", "city.example/log/2"))).await.unwrap();
    assert!(matches!(again, Outcome::Succeeded(again) if again.anchor == done.anchor), "another log was begun");
    // As if none of it had been.
    lost.remove(&["state/ledger", "state/vault", "state/successor"]);
    lost.mirror.go_on().await;
}

/// What witnesses know is not reached: the log does not go on, and its successor names it and the last head that they know.
#[tokio::test(flavor = "multi_thread")]
async fn a_restore_without_backfill_opens_the_successor() {
    let mut lost = Lost::new().await;
    lost.without_configured_mirror();
    lost.remove(&["state/ledger", "state/witnessed"]);
    only_the_seal_knows(&mut lost).await;
    lost.remove(&["state/head.seal"]);
    let refused = lost.restore(&[lost.backup()]).await.unwrap_err();
    let is_behind = matches!(refused, RestoreError::Behind { known, newest } if (known, newest) == (lost.size, lost.backed_up));
    assert!(is_behind && refused.to_string().contains("--successor"), "the witness was not asked: {refused}");

    let new = lost.successor("successor");
    // What is left can not be restored just now: a genesis without it could never be made again.
    fs::write(lost.path("state/vault"), b"no folder").unwrap();
    let refused = lost.run(&[lost.backup()], Some(("successor", "city.example/log/2"))).await.unwrap_err();
    assert!(matches!(refused, RestoreError::Setup(_)) && new.anchor().is_err(), "nobody was carried on, for good: {refused}");
    lost.remove(&["state/vault"]);
    let outcome = lost.run(&[lost.backup()], Some(("successor", "city.example/log/2"))).await.unwrap();
    let Outcome::Succeeded(done) = outcome else { panic!("the log went on behind what a witness has seen") };
    let Succeeded { anchor, last, reason, left } = *done;
    assert!(matches!(reason, RestoreError::Behind { .. }));
    assert_eq!((anchor.verifier.origin.as_str(), last.size), ("city.example/log/2", lost.size));
    // What the backup has can be read, and people go on; whoever serves the old state comes to the new log.
    let left = left.expect("nothing is left");
    assert_eq!((left.restored.size, left.restored.left), (lost.backed_up, vec![]));
    assert!(left.carried >= 7, "nobody was carried on: {}", left.carried);
    let old_state = Folder::new(&lost.path("state"));
    assert_eq!(old_state.newest().anchor().unwrap().log, anchor.log, "both logs could be served");
    assert!(LedgerFolder::open(&old_state.ledger_path()).unwrap().size().unwrap() < last.size);
    let ledger = new.ledger("city.example/log/2", &new.config().unwrap()).unwrap();
    let genesis = SignedStatement::parse(&ledger.entry(0).unwrap().unwrap()).unwrap();
    let Body::Genesis(genesis) = &genesis.statement().body else { panic!("no genesis") };
    let before = genesis.predecessor.as_ref().unwrap();
    let old = Folder::new(&lost.path("state")).anchor().unwrap();
    assert_eq!((before.log, before.head), (old.log, last));
    drop(ledger);
    // The witness had a note of that head.
    let note = new.predecessor_note().unwrap().expect("the witness's note was not kept");
    let signed = old.verifier.verify(&note).unwrap();
    assert_eq!((new.predecessor_anchor().unwrap().log, signed.size, signed.root), (old.log, last.size, last.root));
    // A log that can go on does, and no successor is opened beside it.
    fs::rename(lost.path("successor"), lost.path("other")).unwrap();
    lost.remove(&["state/ledger", "state/vault", "state/successor"]);
    fs::create_dir(lost.path("successor")).unwrap();
    let from = [lost.backup(), Place::Url(lost.mirror.copy_url())];
    let outcome = lost.run(&from, Some(("successor", "city.example/log/3"))).await.unwrap();
    assert!(matches!(outcome, Outcome::Restored(Restored { size, .. }) if size == lost.size));
    assert!(!lost.path("successor/ledger").exists() && !lost.path("successor/anchor.json").exists());
}

/// Of two witnesses one is silent: that the other knows no more than the backup has is no proof that nobody does.
#[tokio::test(flavor = "multi_thread")]
async fn where_most_are_silent_nothing_is_bounded() {
    let mut lost = Lost::new().await;
    lost.without_configured_mirror();
    let whole = lost.path("whole");
    fs::create_dir(&whole).unwrap();
    copy(&lost.path("state/ledger"), &whole.join("ledger"));
    lost.remove(&["state/ledger", "state/head.seal", "state/witnessed"]);
    let keys = lost.mirror.witness_keys.clone();
    let (state, url) = (lost.path("state/witness.policy"), lost.mirror.url());
    let policy = |more: &str| {
        let lines = format!("witness w {} {url}\n{more}quorum w\n", keys[0]);
        fs::write(&state, lines).unwrap();
    };
    policy(&format!("witness x {} http://127.0.0.1:1/\n", keys[1]));
    let from = [Place::Folder(whole.clone())];
    let refused = lost.restore(&from).await.unwrap_err();
    assert!(matches!(refused, RestoreError::Unbounded(_)), "one of two was taken for all: {refused}");
    assert!(!lost.path("state/ledger").exists());
    policy("");
    lost.mirror.kill().await;
    let refused = lost.restore(&from).await.unwrap_err();
    assert!(matches!(refused, RestoreError::Unbounded(_)), "nobody answered, and the backup was taken for the newest: {refused}");
    lost.mirror.go_on().await;
    assert_eq!(url, lost.mirror.url());
    assert_eq!(lost.restore(&from).await.unwrap().size, lost.size, "all have answered, and know nothing newer");
}

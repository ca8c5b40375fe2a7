//! Who makes wrong attempts is banned: on the ledger, after a restart too, told to somebody, and lifted by an operator; and nobody else is.
#![allow(clippy::unwrap_used, missing_docs)]

mod common;

use std::path::PathBuf;
use std::process::Command;
use std::time::{Duration, Instant};

use common::*;
use exhibit_appliance::maintain::control;
use exhibit_appliance::setup::Folder;
use exhibit_evidence::Body;
use exhibit_evidence::body::{Ban, BanKind, BanReason};
use exhibit_pki::{KeyPurpose, Role};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::spawn_blocking;
use tokio::time::timeout;

/// What is done beside is done within this on a busy machine.
const DONE_MAX: Duration = Duration::from_secs(20);
const BANS: &str = "[bans]\nattempts = 10\nslow_after = 100\n";

/// Where bans are told: a pipe that the alert program writes to.
struct Told(PathBuf);

impl Told {
    /// An appliance that tells its bans, with more lines of configuration behind those of `[bans]`.
    async fn start(world: World, more: &str) -> (World, Self) {
        let told = Self(world.folder.path().join("told"));
        if !told.0.exists() {
            assert!(Command::new("mkfifo").arg(&told.0).status().unwrap().success());
        }
        let config = format!("{BANS}alert = [\"/bin/sh\", \"-c\", \"cat > {}\"]\n{more}", told.0.display());
        (world.restart_with(&config).await, told)
    }

    /// The next, which is on the ledger by then.
    async fn next(&self) -> serde_json::Value {
        let pipe = self.0.clone();
        let read = spawn_blocking(move || std::fs::read_to_string(pipe).unwrap());
        let line = timeout(DONE_MAX, read).await.expect("nobody is told").unwrap();
        assert!(line.ends_with('\n'), "{line:?}");
        serde_json::from_str(&line).unwrap()
    }
}

/// The bans on the ledger, with the names in their attachments.
fn bans(world: &World) -> Vec<(Ban, Option<String>)> {
    let appliance = &world.running.appliance;
    let bodies = (0..world.size()).map(|index| appliance.registry.statement_at(index).unwrap().statement().body.clone());
    let bans = bodies.filter_map(|body| if let Body::Ban(ban) = body { Some(ban) } else { None });
    bans.map(|ban| {
        let subject = ban.attachments.first().map(|attachment| {
            let stored = appliance.vault.read(exhibit_appliance::vault::Object::Attachment(attachment.sha256), 1024).unwrap().unwrap();
            String::from_utf8(attachment.open(&stored).unwrap().to_vec()).unwrap()
        });
        (ban, subject)
    })
    .collect()
}

async fn operator<T: Send + 'static>(world: &World, ask: impl FnOnce(Folder) -> T + Send + 'static) -> T {
    let folder = Folder::new(&world.folder.path().join("state"));
    spawn_blocking(move || ask(folder)).await.unwrap()
}

async fn listed(world: &World) -> Vec<String> {
    let bans = operator(world, |folder| control::ask_for_bans(&folder).unwrap().unwrap().unwrap()).await;
    bans.into_iter().map(|ban| format!("{} {} {}", ban.kind, ban.subject, ban.reason)).collect()
}

/// Asks for what an auditor has no role for: 403, until it is banned.
async fn attempt(world: &World, times: usize) -> Vec<u16> {
    let mut statuses = Vec::new();
    let mut connection = world.connect(&world.auditor).await;
    for _ in 0..times {
        statuses.push(connection.get("/v1/grants").await.status);
    }
    statuses
}

#[tokio::test(flavor = "multi_thread")]
async fn an_identity_is_banned_until_it_is_lifted_and_nobody_else_is() {
    let (world, told) = Told::start(World::new().await, "").await;
    assert_eq!(attempt(&world, 10).await, [403; 10]);
    let mut connection = world.connect(&world.auditor).await;
    let banned = connection.get("/healthz").await;
    assert_eq!((banned.status, banned.kind().as_str()), (429, "banned"));
    let wait: u64 = banned.headers["retry-after"].parse().unwrap();
    assert!((3500..=3600).contains(&wait), "whoever is banned for an hour is told to wait for {wait} s");
    assert_eq!(world.connect(&world.custodian).await.get("/v1/grants").await.status, 200, "another pays for it");
    let line = told.next().await;
    let banned_subject = format!("user/a#{}", hex::encode(world.auditor.certificate.fingerprint()));
    let [(ban, subject)] = &bans(&world)[..] else { panic!("one ban") };
    assert_eq!((ban.kind, ban.reason, subject.as_ref()), (BanKind::Identity, BanReason::Unauthorised, Some(&banned_subject)));
    assert!(ban.until.is_some());
    assert_eq!(
        (line["kind"].as_str(), line["subject"].as_str(), line["reason"].as_str()),
        (Some("identity"), Some(&*banned_subject), Some("unauthorised"))
    );
    let in_force = world.running.appliance.guard.list(world.running.appliance.now());
    assert_eq!(line["leaf"].as_str(), in_force[0].leaf.as_deref(), "it is told without its entry");
    assert!(line["leaf"].is_string());

    let world = world.restart_with(BANS).await;
    assert_eq!(world.connect(&world.auditor).await.get("/healthz").await.status, 429, "a restart forgets whom it banned");
    assert_eq!(listed(&world).await, [format!("identity {banned_subject} unauthorised")]);
    for (subject, lifted) in [("user/a", false), (&*banned_subject, true), (&*banned_subject, false)] {
        let asked = subject.to_owned();
        let done = operator(&world, move |folder| control::ask_to_lift(&folder, &asked).unwrap().unwrap().unwrap()).await;
        assert_eq!(done, lifted, "{subject}");
    }
    assert_eq!(world.connect(&world.auditor).await.get("/healthz").await.status, 200, "what was lifted holds");
    assert_eq!(listed(&world).await, Vec::<String>::new());
    let [(first, _), (second, subject)] = &bans(&world)[..] else { panic!("a ban and its end") };
    assert!(second.lifts.is_some() && first.lifts.is_none() && subject.is_none());
    assert_eq!(second.reason, BanReason::Operator);

    let world = world.restart_with(BANS).await;
    assert_eq!(world.connect(&world.auditor).await.get("/healthz").await.status, 200, "a restart brings back what was lifted");
}

/// A thief has the name, and a certificate that was revoked or never counted: what they do is theirs.
#[tokio::test(flavor = "multi_thread")]
async fn another_certificate_of_the_same_name_bans_itself_alone() {
    let (world, told) = Told::start(World::new().await, "[limits]\nidentity_connections = 2\n").await;
    let twin = world.pki.party("camera/102", &[Role::Camera], KeyPurpose::Signing);
    let mut honest = world.connect(&world.camera).await;
    assert_eq!(honest.get("/v1/version").await.status, 200);
    let mut twins = Vec::new();
    for _ in 0..4 {
        twins.push(world.connect(&twin).await);
        assert_eq!(twins.last_mut().unwrap().get("/v1/version").await.status, 403);
    }
    assert_eq!(honest.get("/v1/version").await.status, 200, "connections of the one end those of the other");
    let mut connection = world.connect(&twin).await;
    for _ in twins.len()..10 {
        let refused = connection.get("/v1/recipients/camera/102").await;
        assert_eq!((refused.status, refused.kind().as_str()), (403, "certificate"));
    }
    assert_eq!(world.connect(&twin).await.get("/v1/recipients/camera/102").await.status, 429);
    told.next().await;
    assert_eq!(world.connect(&world.camera).await.get("/v1/recipients/camera/102").await.status, 404, "the honest one is banned too");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_ban_ends_by_itself() {
    let (world, told) = Told::start(World::new().await, "").await;
    attempt(&world, 10).await;
    told.next().await;
    world.ahead_ms.store(3_601_000, std::sync::atomic::Ordering::Relaxed);
    assert_eq!(world.connect(&world.auditor).await.get("/healthz").await.status, 200);
    assert_eq!(listed(&world).await, Vec::<String>::new());
}

/// What is no handshake at all.
async fn no_handshake(port: u16) {
    let mut stranger = TcpStream::connect(("127.0.0.1", port)).await.unwrap();
    stranger.write_all(b"GET / HTTP/1.1\r\n\r\n").await.unwrap();
    let _ = stranger.read_to_end(&mut Vec::new()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_peer_in_order_may_do_is_nobodys_attempt() {
    let world = World::new().await.restart_with(BANS).await;
    let (intake, public) = (world.running.addresses.intake.port(), world.running.addresses.public.port());
    for _ in 0..20 {
        // A link that breaks.
        let mut broken = TcpStream::connect(("127.0.0.1", intake)).await.unwrap();
        broken.write_all(&[0x16, 0x03, 0x01]).await.unwrap();
        broken.shutdown().await.unwrap();
        let _ = broken.read_to_end(&mut Vec::new()).await;
        // Whether somebody listens.
        drop(TcpStream::connect(("127.0.0.1", intake)).await.unwrap());
    }
    // Who does not believe the appliance: a clock that is wrong, another root, a certificate of ours that has expired.
    let other = Pki::new(1 << 40);
    for _ in 0..20 {
        assert!(Connection::new(public, &other.root, None).await.is_err());
        assert!(Connection::new(intake, &other.root, Some(&world.camera)).await.is_err());
    }
    assert!(Connection::new(public, &world.pki.root, None).await.is_ok(), "who loses links, or does not believe us, is banned");
    assert_eq!(bans(&world), []);
}

#[tokio::test(flavor = "multi_thread")]
async fn of_a_banned_network_those_with_a_certificate_are_served() {
    let (world, told) = Told::start(World::new().await, "[limits]\nhandshake_s = 600\n").await;
    let (intake, public) = (world.running.addresses.intake.port(), world.running.addresses.public.port());
    for _ in 0..10 {
        no_handshake(intake).await;
    }
    told.next().await;
    let [(ban, subject)] = &bans(&world)[..] else { panic!("one ban") };
    assert_eq!((ban.kind, subject.as_deref()), (BanKind::Network, Some("127.0.0.1/32")));
    assert!(Connection::new(public, &world.pki.root, None).await.is_err(), "a banned network reads on");
    // Strangers hold all the places that it has left: some say nothing, some have begun to speak.
    let mut strangers = Vec::new();
    for number in 0..8 {
        let mut stranger = TcpStream::connect(("127.0.0.1", intake)).await.unwrap();
        if number % 2 == 0 {
            // It may have been turned out already.
            let _ = stranger.write_all(&[0x16, 0x03, 0x01, 0x02, 0x00, 0x01]).await;
        }
        strangers.push(stranger);
    }
    // A camera tries again until it is let in.
    let served = async {
        loop {
            if let Ok(mut connection) = Connection::new(intake, &world.pki.root, Some(&world.camera)).await
                && let Ok(answer) = connection.try_get("/v1/version").await
            {
                return answer.status;
            }
        }
    };
    let status = timeout(DONE_MAX, served).await.expect("strangers who sit in the places of a banned network shut out its cameras");
    assert_eq!(status, 200);
    drop(strangers);
    // What it attempts meanwhile makes no second ban.
    for _ in 0..20 {
        no_handshake(intake).await;
    }
    assert_eq!(bans(&world).len(), 1, "banned twice");
    let lifted = operator(&world, |folder| control::ask_to_lift(&folder, "127.0.0.1/32").unwrap().unwrap().unwrap()).await;
    assert!(lifted);
    assert!(Connection::new(public, &world.pki.root, None).await.is_ok());
}

#[tokio::test(flavor = "multi_thread")]
async fn an_operator_lists_and_lifts_bans_with_the_program() {
    let (world, told) = Told::start(World::new().await, "").await;
    attempt(&world, 10).await;
    told.next().await;
    let subject = format!("user/a#{}", hex::encode(world.auditor.certificate.fingerprint()));
    let state = world.folder.path().join("state");
    let operate = async |arguments: &[&str]| {
        let (state, arguments) = (state.clone(), arguments.iter().map(|&argument| argument.to_owned()).collect::<Vec<_>>());
        let ran = spawn_blocking(move || {
            let mut program = Command::new(env!("CARGO_BIN_EXE_exhibit-appliance"));
            program.args(&arguments[..arguments.len().min(2)]).arg("--state").arg(state).args(&arguments[arguments.len().min(2)..]);
            program.output().unwrap()
        });
        let ran = ran.await.unwrap();
        (ran.status.code(), String::from_utf8(ran.stdout).unwrap(), String::from_utf8(ran.stderr).unwrap())
    };
    let (status, listed, _) = operate(&["bans", "list"]).await;
    assert!(listed.starts_with(&format!("identity {subject} until ")) && listed.ends_with(" (unauthorised)\n"), "{listed}");
    assert_eq!(status, Some(0));
    assert_eq!(operate(&["bans", "lift", "camera/7"]).await, (Some(1), "camera/7 is not banned\n".to_owned(), String::new()));
    assert_eq!(operate(&["bans", "lift", &subject]).await, (Some(0), format!("the ban of {subject} is lifted\n"), String::new()));
    assert_eq!(world.connect(&world.auditor).await.get("/healthz").await.status, 200, "what was lifted holds");
    assert_eq!(operate(&["bans", "list"]).await, (Some(0), "nobody is banned\n".to_owned(), String::new()));
    // An appliance that does not run has its bans too.
    attempt(&world, 10).await;
    told.next().await;
    let World { running, folder: _folder, .. } = world;
    stop(running).await;
    assert!(operate(&["bans", "list"]).await.1.starts_with("identity user/a#"));
    assert_eq!(operate(&["bans", "lift", &subject]).await.0, Some(0));
    assert_eq!(operate(&["bans", "list"]).await.1, "nobody is banned\n");
}

#[tokio::test(flavor = "multi_thread")]
async fn attempts_are_answered_more_slowly() {
    let world = World::new().await.restart_with("[bans]\nattempts = 1000\nwindow_s = 1000000\nslow_after = 5\n").await;
    attempt(&world, 5).await;
    let began = Instant::now();
    attempt(&world, 10).await;
    // 20 ms for the first, and 20 ms more for each.
    assert!(began.elapsed() >= Duration::from_millis(20 * 55), "{:?}", began.elapsed());
}

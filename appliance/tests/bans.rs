//! Who makes wrong attempts is banned: on the ledger, after a restart too, told to somebody, and lifted by an operator; and nobody else is.
#![allow(clippy::unwrap_used, missing_docs)]

mod common;

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

/// What is done beside is done within this on a busy machine.
const DONE_MAX: Duration = Duration::from_secs(20);
const BANS: &str = "[bans]\nattempts = 10\nslow_after = 100\n";

async fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let began = Instant::now();
    while !holds() {
        assert!(began.elapsed() < DONE_MAX, "{what}");
        tokio::time::sleep(Duration::from_millis(20)).await;
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
    let world = World::new().await;
    let told = world.folder.path().join("told");
    let config = format!("{BANS}alert = [\"/bin/sh\", \"-c\", \"cat >> {}\"]\n", told.display());
    let world = world.restart_with(&config).await;
    let size = world.size();
    assert_eq!(attempt(&world, 10).await, [403; 10]);
    let mut connection = world.connect(&world.auditor).await;
    let banned = connection.get("/healthz").await;
    assert_eq!((banned.status, banned.kind().as_str(), banned.headers["retry-after"].as_str()), (429, "banned", "1"));
    assert_eq!(world.connect(&world.custodian).await.get("/v1/grants").await.status, 200, "another pays for it");
    until("the ban is not on the ledger", || world.size() > size).await;
    let banned_subject = format!("user/a#{}", hex::encode(world.auditor.certificate.fingerprint()));
    let [(ban, subject)] = &bans(&world)[..] else { panic!("one ban") };
    assert_eq!((ban.kind, ban.reason, subject.as_ref()), (BanKind::Identity, BanReason::Unauthorised, Some(&banned_subject)));
    assert!(ban.until.is_some());
    until("nobody is told", || std::fs::read_to_string(&told).is_ok_and(|told| told.ends_with('\n'))).await;
    let line: serde_json::Value = serde_json::from_str(&std::fs::read_to_string(&told).unwrap()).unwrap();
    assert_eq!(
        (line["kind"].as_str(), line["subject"].as_str(), line["reason"].as_str()),
        (Some("identity"), Some(&*banned_subject), Some("unauthorised"))
    );
    until("it is not told with its entry", || {
        world.running.appliance.guard.list(world.running.appliance.now()).iter().all(|ban| ban.leaf.is_some())
    })
    .await;

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
    let world = World::new().await.restart_with(BANS).await;
    let twin = world.pki.party("camera/102", &[Role::Camera], KeyPurpose::Signing);
    let size = world.size();
    let mut connection = world.connect(&twin).await;
    for _ in 0..10 {
        let refused = connection.get("/v1/recipients/camera/102").await;
        assert_eq!((refused.status, refused.kind().as_str()), (403, "certificate"));
    }
    assert_eq!(world.connect(&twin).await.get("/v1/recipients/camera/102").await.status, 429);
    until("the ban is not on the ledger", || world.size() > size).await;
    assert_eq!(world.connect(&world.camera).await.get("/v1/recipients/camera/102").await.status, 404, "the honest one is banned too");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_ban_ends_by_itself() {
    let world = World::new().await.restart_with(BANS).await;
    let size = world.size();
    attempt(&world, 10).await;
    until("the ban is not on the ledger", || world.size() > size).await;
    world.ahead_ms.store(3_601_000, std::sync::atomic::Ordering::Relaxed);
    assert_eq!(world.connect(&world.auditor).await.get("/healthz").await.status, 200);
    assert_eq!(listed(&world).await, Vec::<String>::new());
}

#[tokio::test(flavor = "multi_thread")]
async fn of_a_banned_network_those_with_a_certificate_are_served() {
    let world = World::new().await.restart_with(BANS).await;
    let (intake, public) = (world.running.addresses.intake.port(), world.running.addresses.public.port());
    let size = world.size();
    // Links that break are nobody's attempts.
    for _ in 0..20 {
        let mut broken = TcpStream::connect(("127.0.0.1", intake)).await.unwrap();
        broken.write_all(&[0x16, 0x03, 0x01]).await.unwrap();
        broken.shutdown().await.unwrap();
        let mut heard = Vec::new();
        let _ = broken.read_to_end(&mut heard).await;
    }
    assert!(Connection::new(public, &world.pki.root, None).await.is_ok(), "who loses links is banned");
    for _ in 0..10 {
        let mut stranger = TcpStream::connect(("127.0.0.1", intake)).await.unwrap();
        stranger.write_all(b"GET / HTTP/1.1\r\n\r\n").await.unwrap();
        let mut heard = Vec::new();
        let _ = stranger.read_to_end(&mut heard).await;
    }
    until("the ban is not on the ledger", || world.size() > size).await;
    let [(ban, subject)] = &bans(&world)[..] else { panic!("one ban") };
    assert_eq!((ban.kind, subject.as_deref()), (BanKind::Network, Some("127.0.0.1/32")));
    assert!(Connection::new(public, &world.pki.root, None).await.is_err(), "a banned network reads on");
    assert_eq!(world.connect(&world.camera).await.get("/v1/version").await.status, 200, "a stranger shuts out the cameras of its network");
    let lifted = operator(&world, |folder| control::ask_to_lift(&folder, "127.0.0.1/32").unwrap().unwrap().unwrap()).await;
    assert!(lifted);
    assert!(Connection::new(public, &world.pki.root, None).await.is_ok());
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

//! A changed configuration and a renewed certificate count without a restart, and nobody is dropped for it.
#![allow(clippy::unwrap_used, missing_docs)]

mod common;

use std::fs;

use common::*;
use exhibit_appliance::config::Config;
use exhibit_appliance::setup::now;
use exhibit_evidence::{Body, body};
use exhibit_pki::Role;

const FIRST: &str = "intake = \"127.0.0.1:0\"\npublic = \"127.0.0.1:0\"\n";

/// As SIGHUP does.
async fn reload(world: &World, text: &str) -> Config {
    let state = world.folder.path().join("state");
    fs::write(state.join("appliance.toml"), text).unwrap();
    world.running.reload(&exhibit_appliance::setup::Folder::new(&state), Config::parse(FIRST).unwrap()).await
}

#[tokio::test(flavor = "multi_thread")]
async fn limits_change_and_connections_stay() {
    let world = World::new().await;
    let (_, recipients) = world.set_recipients().await;
    let mut camera = world.begin_epoch("20261120T115958Z", recipients).await;
    let mut connection = world.connect(&world.camera).await;
    let (body, payload) = segment(&camera.stream, 1, 2, &[1; 4096]);
    let signed = camera.next(body);

    reload(&world, &format!("{FIRST}disk_reserve_mib = 1000000000\n[bans]\nattempts = 3\n")).await;
    let refused = connection.put(&signed, &[], &payload).await;
    assert_eq!((refused.status, refused.kind().as_str()), (507, "storage"), "the new reserve does not count");
    // What was not read of a refused body ends its connection.
    let mut connection = world.connect(&world.camera).await;
    reload(&world, &format!("{FIRST}[limits]\nidentity_connections = 1\n[bans]\nattempts = 3\n")).await;
    connection.put(&signed, &[], &payload).await.admitted(201, &world.anchor, &mut camera, &signed);

    // One connection is what a certificate has now: the next ends it.
    let mut next = world.connect(&world.camera).await;
    assert_eq!(next.get("/healthz").await.status, 200);
    assert!(connection.try_get("/healthz").await.is_err(), "the old limit of connections counts");
    for _ in 0..3 {
        assert_eq!(next.get("/v1/index/0").await.status, 403);
    }
    assert_eq!(world.connect(&world.camera).await.get("/healthz").await.status, 429, "the old rule of bans counts");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_wrong_changes_nothing() {
    let world = World::new().await;
    let mut connection = world.connect(&world.auditor).await;
    for wrong in [
        "intake = \"127.0.0.1:0\"\n".to_owned(),
        format!("{FIRST}disk_reserve_mib = 1000000000\nno_such_member = 1\n"),
        format!("{FIRST}disk_reserve_mib = 1000000000\n[limits]\nhandshake_s = 0\n"),
    ] {
        let goes_by = reload(&world, &wrong).await;
        assert_eq!(goes_by, Config::parse(FIRST).unwrap(), "{wrong}");
        assert_eq!(connection.get("/healthz").await.status, 200, "{wrong}: a part of it counts");
    }
    let other = Config::parse("intake = \"127.0.0.1:1\"\npublic = \"127.0.0.1:0\"\ndrain_s = 3\nbatch_entries_max = 7\n").unwrap();
    assert_eq!(Config::parse(FIRST).unwrap().fixed(&other), ["intake", "batch_entries_max"], "what counts at the next start only is named");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_renewed_certificate_is_shown_and_signs_once_it_is_on_the_ledger() {
    let mut world = World::new().await;
    let state = world.folder.path().join("state");
    let served = |connection: &Connection| connection.server_certificate();
    let mut old = world.connect(&world.auditor).await;
    let first = served(&old);
    let renewed = world.pki.sign_request(&state.join("appliance.csr"), &[Role::Appliance], &["localhost", "127.0.0.1"]);
    assert_ne!(first, renewed.der());

    // Nobody could verify what it signs.
    fs::write(state.join("appliance.pem"), renewed.to_pem()).unwrap();
    reload(&world, FIRST).await;
    assert_eq!(served(&world.connect(&world.auditor).await), first, "a certificate that is not on the ledger is shown");

    world.introduce(&renewed).await;
    reload(&world, FIRST).await;
    assert_eq!(served(&world.connect(&world.auditor).await), renewed.der(), "the old certificate is shown");
    assert_eq!(old.get("/healthz").await.status, 200, "a connection was dropped");
    let appliance = world.running.appliance.clone();
    let admission = tokio::task::spawn_blocking(move || appliance.chronicle.start("after a reload").unwrap()).await.unwrap();
    let entry = world.running.appliance.registry.statement_at(admission.place.index).unwrap();
    assert!(matches!(entry.statement().body, Body::Start(_)));
    assert_eq!(entry.signer(), renewed.fingerprint(), "its statements are signed by the old certificate");

    // Nobody could believe anything that the log says from then on.
    let body = body::CertificateRevocation { fingerprint: *renewed.fingerprint(), since: now(), reason: None, attachments: vec![] };
    let revocation = world.authority.next(Body::CertificateRevocation(body));
    let refused = world.connect(&world.authority.party).await.put(&revocation, &[], &[]).await;
    assert_eq!((refused.status, refused.kind().as_str()), (422, "rule"));

    // Another appliance's is none of this folder's.
    let other = world.pki.sign_request_of(Some("appliance/2"), &state.join("appliance.csr"), &[Role::Appliance], &["localhost"]);
    world.introduce(&other).await;
    fs::write(state.join("appliance.pem"), other.to_pem()).unwrap();
    reload(&world, FIRST).await;
    assert_eq!(served(&world.connect(&world.auditor).await), renewed.der());
}

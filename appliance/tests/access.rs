//! Who gets in: TLS, certificates and roles over real sockets, and the programs' own command line.
#![allow(clippy::unwrap_used, missing_docs)]

mod common;

use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};
use std::sync::atomic::Ordering;

use common::*;
use exhibit_evidence::{AttachmentRef, Body, body, exchange::intake_prefix};
use exhibit_pki::{Certificate, KeyPurpose, Role};
use exhibit_tlog::Hash;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// True if the connection is refused, in the handshake or with the first bytes: a TLS 1.3 client hears of it only then.
async fn is_refused(port: u16, root: &Certificate, party: Option<&Party>) -> bool {
    let Ok(mut connection) = Connection::new(port, root, party).await else { return true };
    if connection.send(b"GET /v1/version HTTP/1.1\r\nHost: localhost\r\n\r\n").await.is_err() {
        return true;
    }
    connection.answer().await.is_err()
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_certificate_that_leads_to_the_root_nobody_is_heard() {
    let world = World::new().await;
    let intake = world.running.addresses.intake.port();
    assert!(!is_refused(intake, &world.pki.root, Some(&world.camera)).await, "the test itself refuses");
    assert!(is_refused(intake, &world.pki.root, None).await, "no certificate");
    let expired = world.pki.party_for("camera/102", &[Role::Camera], KeyPurpose::Signing, 400, 30);
    assert!(is_refused(intake, &world.pki.root, Some(&expired)).await, "an expired certificate");
    let others = Pki::new(2 << 32);
    let other = others.party("camera/102", &[Role::Camera], KeyPurpose::Signing);
    assert!(is_refused(intake, &world.pki.root, Some(&other)).await, "another city's camera");
}

#[tokio::test(flavor = "multi_thread")]
async fn tls_1_2_is_refused_on_both_listeners() {
    let world = World::new().await;
    // A ClientHello of TLS 1.2 with what browsers of its time sent: no supported_versions.
    let mut hello = vec![0x03, 0x03];
    hello.extend([7; 32]);
    hello.push(0);
    hello.extend([0x00, 0x04, 0xc0, 0x2c, 0xc0, 0x30, 0x01, 0x00]);
    let extensions = [
        vec![0x00, 0x0a, 0x00, 0x04, 0x00, 0x02, 0x00, 0x18],
        vec![0x00, 0x0d, 0x00, 0x06, 0x00, 0x04, 0x05, 0x03, 0x08, 0x05],
        vec![0x00, 0x0b, 0x00, 0x02, 0x01, 0x00],
    ]
    .concat();
    hello.extend(u16::try_from(extensions.len()).unwrap().to_be_bytes());
    hello.extend(extensions);
    let length = u16::try_from(hello.len()).unwrap();
    let handshake = [&[0x01, 0x00][..], &length.to_be_bytes(), &hello].concat();
    let record = [&[0x16, 0x03, 0x01][..], &(length + 4).to_be_bytes(), &handshake].concat();
    for address in [world.running.addresses.intake, world.running.addresses.public] {
        let mut stream = TcpStream::connect(address).await.unwrap();
        stream.write_all(&record).await.unwrap();
        let mut alert = Vec::new();
        stream.read_to_end(&mut alert).await.unwrap();
        assert_eq!(alert, [0x15, 0x03, 0x03, 0x00, 0x02, 0x02, 70], "not the alert protocol_version");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_certificate_counts_only_once_it_is_on_the_ledger() {
    let mut world = World::new().await;
    let auditor = world.pki.party("user/b", &[Role::Auditor], KeyPurpose::Signing);
    assert_eq!(world.connect(&auditor).await.get("/v1/index/0").await.kind(), "certificate");
    // A connection of a camera that is known does not help a statement signed with a certificate that is not.
    let unknown = world.pki.party("camera/102", &[Role::Camera], KeyPurpose::Signing);
    let (_, recipients) = world.set_recipients().await;
    let writer = Writer::new(unknown, &format!("{SERIES}/20261120T115958Z"), &world.anchor);
    let (body, wraps) = epoch(&writer.stream, recipients);
    let answer = world.connect(&world.camera).await.put(&writer.next(body), &[&wraps], &[]).await;
    assert_eq!(answer.kind(), "certificate");

    world.introduce(&auditor.certificate).await;
    assert_eq!(world.connect(&auditor).await.get("/v1/index/0").await.status, 200);
    let mut connection = world.connect(&world.camera).await;
    let (_, introduction) = connection.record(&format!("/v1/certificates/{}", hex::encode(auditor.certificate.fingerprint()))).await;
    let Body::Certificate(body) = &introduction.statement().body else { panic!("{introduction:?}") };
    assert_eq!(body.fingerprint, *auditor.certificate.fingerprint());
    let der = connection.get(&format!("/v1/attachments/{}", body.attachments[0].sha256)).await.body;
    assert_eq!(Certificate::from_der(&der).unwrap(), auditor.certificate);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_first_introduction_of_a_certificate_counts() {
    let mut world = World::new().await;
    let camera = world.camera.certificate.clone();
    let path = format!("/v1/certificates/{}", hex::encode(camera.fingerprint()));
    let (first, _) = world.connect(&world.camera).await.record(&path).await;
    world.introduce(&camera).await;
    let (now, _) = world.connect(&world.camera).await.record(&path).await;
    assert_eq!(now.index, first.index, "a certificate moved behind what it may have signed");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_certificate_that_expires_during_a_connection_is_refused() {
    let world = World::new().await;
    let mut connection = world.connect(&world.camera).await;
    assert_eq!(connection.get("/v1/version").await.status, 200);
    world.ahead_ms.store(366 * DAY_MS, Ordering::Relaxed);
    assert_eq!(connection.get("/v1/version").await.kind(), "certificate");
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_writes_for_another_or_beyond_their_role() {
    let mut world = World::new().await;
    let (_, recipients) = world.set_recipients().await;
    let size = world.size();
    // Another camera's stream, by TLS identity and by signature.
    let other = world.pki.party("camera/103", &[Role::Camera], KeyPurpose::Signing);
    world.introduce(&other.certificate).await;
    let writer = Writer::new(world.camera.clone(), &format!("{SERIES}/20261120T115958Z"), &world.anchor);
    let (body, wraps) = epoch(&writer.stream, recipients);
    let signed = writer.next(body);
    let answer = world.connect(&other).await.put(&signed, &[&wraps], &[]).await;
    assert_eq!((answer.status, answer.kind().as_str()), (403, "not-owner"), "camera 103 sent for camera 102");
    let mut foreign = Writer::new(other.clone(), &format!("{SERIES}/20261120T115958Z"), &world.anchor);
    foreign.stream = writer.stream.clone();
    let (body, wraps) = epoch(&foreign.stream, recipients);
    let answer = world.connect(&world.camera).await.put(&foreign.next(body), &[&wraps], &[]).await;
    assert_eq!((answer.status, answer.kind().as_str()), (403, "not-owner"), "camera 103 signed for camera 102");

    // An auditor is no custodian; a wrapping certificate signs nothing; people issue no certificates.
    let mut body = world.recipients(1, None);
    body.scope = "camera/103".to_owned();
    let auditors = Writer::new(world.auditor.clone(), "user/a/20261120T115958Z", &world.anchor);
    let answer = world.connect(&world.auditor).await.put(&auditors.next(Body::Recipients(body.clone())), &[], &[]).await;
    assert_eq!((answer.status, answer.kind().as_str()), (403, "role"));
    let wrapping = Writer::new(world.custodian_wrapping.clone(), "user/k/20261121T115958Z", &world.anchor);
    let answer = world.connect(&world.custodian).await.put(&wrapping.next(Body::Recipients(body)), &[], &[]).await;
    assert_eq!((answer.status, answer.kind().as_str()), (403, "certificate"));
    assert_eq!(world.size(), size + 1, "something refused got onto the ledger");
}

#[tokio::test(flavor = "multi_thread")]
async fn certificates_are_introduced_whole_and_by_authorities() {
    let world = World::new().await;
    let size = world.size();
    let fresh = world.pki.party("user/n", &[Role::Investigator], KeyPurpose::Signing).certificate;
    let introduction = |fingerprint: [u8; 32], parts: &[(&str, &[u8])]| {
        let attachments = parts.iter().map(|(name, der)| AttachmentRef::of(name, der, false)).collect();
        world.authority.next(Body::Certificate(body::CertificateBody { fingerprint, replaces: None, attachments }))
    };
    let others = Pki::new(3 << 32);
    let foreign = others.party("user/n", &[Role::Investigator], KeyPurpose::Signing).certificate;
    let not_der = [fresh.der(), &[0]].concat();
    type Parts<'a> = Vec<(&'a str, &'a [u8])>;
    let cases: Vec<(&str, [u8; 32], Parts<'_>, &str)> = vec![
        ("another fingerprint", [1; 32], vec![("certificate", fresh.der())], "rule"),
        ("an attachment that is none of it", *fresh.fingerprint(), vec![("certificate", fresh.der()), ("notes", b"x")], "rule"),
        ("a path to another root", *foreign.fingerprint(), vec![("certificate", foreign.der())], "attachment"),
        (
            "a path to another root, which it brings along",
            *foreign.fingerprint(),
            vec![("certificate", foreign.der()), ("issuer-0", others.issuing.der()), ("issuer-1", others.root.der())],
            "attachment",
        ),
        (
            "an authority that does not stand above",
            *fresh.fingerprint(),
            vec![("certificate", fresh.der()), ("issuer-0", others.issuing.der())],
            "attachment",
        ),
        (
            "somebody as if they were an authority",
            *fresh.fingerprint(),
            vec![("certificate", fresh.der()), ("issuer-0", fresh.der())],
            "attachment",
        ),
        (
            "an authority as if it were somebody",
            *world.pki.issuing.fingerprint(),
            vec![("certificate", world.pki.issuing.der())],
            "attachment",
        ),
        ("bytes behind it", exhibit_hash(&not_der), vec![("certificate", &not_der)], "attachment"),
    ];
    for (defect, fingerprint, parts, kind) in cases {
        let signed = introduction(fingerprint, &parts);
        let stored: Vec<&[u8]> = parts.iter().map(|(_, der)| *der).collect();
        let answer = world.connect(&world.authority.party).await.put(&signed, &stored, &[]).await;
        assert_eq!(answer.kind(), kind, "{defect}");
    }
    // A second authority that nobody knows may introduce itself, and nobody else first.
    let second = world.pki.party("authority/2", &[Role::Authority], KeyPurpose::Signing);
    let writer = Writer::new(second.clone(), "authority/2/20261120T115958Z", &world.anchor);
    let body = |certificate: &Certificate| {
        let attachments = vec![AttachmentRef::of("certificate", certificate.der(), false)];
        Body::Certificate(body::CertificateBody { fingerprint: *certificate.fingerprint(), replaces: None, attachments })
    };
    let answer = world.connect(&second).await.put(&writer.next(body(&fresh)), &[fresh.der()], &[]).await;
    assert_eq!(answer.kind(), "certificate", "an unknown authority introduced somebody else");
    assert_eq!(world.connect(&second).await.get("/v1/index/0").await.kind(), "certificate");
    assert_eq!(world.size(), size);
    let own = second.certificate.clone();
    assert_eq!(world.connect(&second).await.put(&writer.next(body(&own)), &[own.der()], &[]).await.status, 201);
}

fn exhibit_hash(bytes: &[u8]) -> [u8; 32] {
    AttachmentRef::of("x", bytes, false).sha256.0
}

#[tokio::test(flavor = "multi_thread")]
async fn the_public_listener_shows_hashes_and_nothing_else() {
    let world = World::new().await;
    let port = world.running.addresses.public.port();
    let mut public = Connection::new(port, &world.pki.root, None).await.unwrap();
    let checkpoint = public.get("/log/checkpoint").await;
    let head = world.anchor.verifier.verify(str::from_utf8(&checkpoint.body).unwrap()).unwrap();
    assert_eq!(head.size, world.size());
    let tile = public.get(&format!("/log/tile/0/000.p/{}", head.size)).await;
    assert_eq!(tile.body.len() as u64, 32 * head.size);
    assert_eq!(tile.body[..32], world.anchor.log.0, "the first leaf is genesis");
    let health = public.get("/healthz").await;
    assert_eq!(health.status, 200);
    for (name, value) in [
        ("content-security-policy", "default-src 'none'; frame-ancestors 'none'"),
        ("referrer-policy", "no-referrer"),
        ("strict-transport-security", "max-age=63072000"),
        ("x-content-type-options", "nosniff"),
    ] {
        assert_eq!(health.headers[name], value);
        assert_eq!(public.get("/v1/version").await.headers[name], value, "a refusal");
    }
    for path in ["/log/tile/entries/000.p/1", "/v1/index/0", "/v1/streams?prefix=", "/v1/version", "/log/tile/0/001"] {
        assert_eq!(public.get(path).await.status, 404, "{path}");
    }
    // Behind a certificate, auditors read entries too.
    let mut auditor = world.connect(&world.auditor).await;
    let bundle = auditor.get(&format!("/log/tile/entries/000.p/{}", head.size)).await.body;
    let entries = exhibit_tlog::tile::decode_bundle(&bundle, u16::try_from(head.size).unwrap()).unwrap();
    assert_eq!(exhibit_tlog::leaf_hash(entries[0]), world.anchor.log);
    assert_eq!(world.connect(&world.camera).await.get("/log/tile/entries/000.p/1").await.kind(), "forbidden");
}

#[tokio::test(flavor = "multi_thread")]
async fn heads_of_requests_are_bounded() {
    let world = World::new().await;
    let long = format!("GET /v1/version HTTP/1.1\r\nHost: localhost\r\nX-Long: {}\r\n\r\n", "x".repeat(100_000));
    let mut connection = world.connect(&world.camera).await;
    let _ = connection.send(long.as_bytes()).await;
    let answered = connection.answer().await.map(|answer| answer.status);
    assert!(!matches!(answered, Ok(200)), "a head of 100 kB was taken");
    let many = format!("GET /v1/version HTTP/1.1\r\nHost: localhost\r\n{}\r\n", "X: y\r\n".repeat(100));
    let mut connection = world.connect(&world.camera).await;
    connection.send(many.as_bytes()).await.unwrap();
    assert_eq!(connection.answer().await.map(|answer| answer.status).unwrap_or(431), 431);
}

/// The real program: made, served, ended by SIGTERM in the midst of an upload that has not come whole.
#[tokio::test(flavor = "multi_thread")]
async fn the_program_says_when_it_is_ready_and_ends_when_it_is_asked_to() {
    let World { pki, anchor, running, folder, camera, .. } = World::new().await;
    let state = folder.path().join("state");
    stop(running).await;
    let program = env!("CARGO_BIN_EXE_exhibit-appliance");
    let mut served = Command::new(program)
        .args(["serve", "--json", "--intake", "127.0.0.1:0", "--public", "127.0.0.1:0", "--state"])
        .arg(&state)
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(served.stdout.take().unwrap()).lines();
    let ready: serde_json::Value = serde_json::from_str(&lines.next().unwrap().unwrap()).unwrap();
    assert_eq!(ready["event"], "ready");
    let port: u16 = ready["intake"].as_str().unwrap().rsplit(':').next().unwrap().parse().unwrap();
    let mut connection = Connection::new(port, &pki.root, Some(&camera)).await.unwrap();
    let version: serde_json::Value = connection.get("/v1/version").await.json();
    assert_eq!(version["log"], anchor.log.to_string());

    // An upload has begun when SIGTERM comes: it may end. That it has begun is what 100 Continue says.
    let writer = Writer::new(camera.clone(), &format!("{SERIES}/20261120T115958Z"), &anchor);
    let (body, wraps) = epoch(&writer.stream, Hash([1; 32]));
    let signed = writer.next(body);
    let body = intake_prefix(signed.der(), &[&wraps]);
    let length = body.len();
    let head = format!("PUT {} HTTP/1.1\r\nHost: localhost\r\nExpect: 100-continue\r\nContent-Length: {length}\r\n\r\n", path_of(&signed));
    connection.send(head.as_bytes()).await.unwrap();
    connection.expect_continue().await;
    assert!(Command::new("kill").args(["-TERM", &served.id().to_string()]).status().unwrap().success());
    connection.send(&body).await.unwrap();
    assert_eq!(connection.answer().await.unwrap().kind(), "rule", "an upload under way was cut off");
    assert!(served.wait().unwrap().success());

    let anchor_printed = Command::new(program).args(["anchor", "--state"]).arg(&state).output().unwrap();
    assert_eq!(String::from_utf8(anchor_printed.stdout).unwrap(), anchor.to_json());
    let twice = Command::new(program).args(["create-log", "--origin", "x", "--chain", "x", "--root", "x", "--state"]).arg(&state).output();
    assert_eq!(twice.unwrap().status.code(), Some(2));
    let usage = Command::new(program).arg("serve").output().unwrap();
    assert_eq!(usage.status.code(), Some(64));
}

//! Senders that are slow, broken or hostile: each is given up within its limit, no request hides in another, and cameras go on.
#![allow(clippy::unwrap_used, missing_docs)]

mod common;

use std::time::{Duration, Instant};

use common::*;
use exhibit_evidence::exchange::intake_prefix;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

/// A time-out of a second is heard within this on a busy machine.
const HEARD_MAX: Duration = Duration::from_secs(20);

/// What comes back on a raw connection until the other side ends it.
async fn until_end(stream: &mut TcpStream) -> Vec<u8> {
    let mut bytes = Vec::new();
    // A reset is an end too.
    let _ = timeout(HEARD_MAX, stream.read_to_end(&mut bytes)).await.expect("the appliance does not end it");
    bytes
}

async fn answers(connection: &mut Connection, request: &[u8]) -> String {
    // It may be refused before all of it was sent.
    let _ = connection.send(request).await;
    let rest = timeout(HEARD_MAX, connection.rest()).await.expect("the appliance does not end it");
    String::from_utf8_lossy(&rest.unwrap_or_default()).into_owned()
}

fn statuses(answers: &str) -> Vec<u16> {
    answers.split("HTTP/1.1 ").skip(1).map(|answer| answer[..3].parse().unwrap()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn no_request_hides_in_another() {
    let world = World::new().await;
    let (_, recipients) = world.set_recipients().await;
    let camera = world.begin_epoch("20261120T115958Z", recipients).await;
    let size = world.size();
    let (body, payload) = segment(&camera.stream, 1, 2, &[1; 1000]);
    let signed = camera.next(body);
    let path = path_of(&signed);
    let body = [intake_prefix(signed.der(), &[]), payload].concat();
    let length = body.len();
    let hidden = "GET /v1/version HTTP/1.1\r\nHost: localhost\r\n\r\n";
    let chunk = format!("{length:x}\r\n");
    let put = |headers: &str, body: &[u8]| [format!("PUT {path} HTTP/1.1\r\nHost: localhost\r\n{headers}\r\n").as_bytes(), body].concat();
    let cases = [
        (
            "Content-Length and Transfer-Encoding",
            put(&format!("Content-Length: {length}\r\nTransfer-Encoding: chunked\r\n"), format!("0\r\n\r\n{hidden}").as_bytes()),
        ),
        (
            "Transfer-Encoding before Content-Length",
            put(
                &format!("Transfer-Encoding: chunked\r\nContent-Length: {length}\r\n"),
                &[chunk.as_bytes(), &body, b"\r\n0\r\n\r\n"].concat(),
            ),
        ),
        ("two Content-Lengths that differ", put(&format!("Content-Length: {length}\r\nContent-Length: 5\r\n"), &body)),
        ("a list of Content-Lengths", put(&format!("Content-Length: {length}, {length}\r\n"), &body)),
        ("a signed Content-Length", put(&format!("Content-Length: +{length}\r\n"), &body)),
        ("a Content-Length beyond 64 bits", put("Content-Length: 99999999999999999999999\r\n", &body)),
        ("a Content-Length in hexadecimal", put(&format!("Content-Length: 0x{length:x}\r\n"), &body)),
        ("an unknown transfer coding", put("Transfer-Encoding: xchunked\r\n", &body)),
        ("chunked twice", put("Transfer-Encoding: chunked, chunked\r\n", &body)),
        ("chunked and identity", put("Transfer-Encoding: chunked, identity\r\n", &body)),
        ("a folded header", put(&format!("X: a\r\n b\r\nContent-Length: {length}\r\n"), &body)),
        ("a blank before the colon", put(&format!("Content-Length : {length}\r\n"), &body)),
        ("a header without a name", put(&format!(": x\r\nContent-Length: {length}\r\n"), &body)),
        ("a NUL in a header", put(&format!("X: a\0b\r\nContent-Length: {length}\r\n"), &body)),
        ("a CR in a header", put(&format!("X: a\rb\r\nContent-Length: {length}\r\n"), &body)),
        ("a compressed body", put(&format!("Content-Encoding: gzip\r\nContent-Length: {length}\r\n"), &body)),
        (
            "two requests' lines",
            format!("PUT {path} HTTP/1.1 HTTP/1.1\r\nHost: localhost\r\nContent-Length: {length}\r\n\r\n").into_bytes(),
        ),
        ("another protocol", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0".to_vec()),
    ];
    for (defect, request) in cases {
        let mut connection = world.connect(&world.camera).await;
        let answers = answers(&mut connection, &request).await;
        let statuses = statuses(&answers);
        assert!(statuses.len() <= 1, "{defect}: something that was hidden was answered: {answers}");
        assert!(statuses.iter().all(|status| (400..500).contains(status)), "{defect}: {answers}");
        assert!(!answers.contains("exhibit-appliance"), "{defect}: the hidden request was answered: {answers}");
        assert_eq!(world.size(), size, "{defect}: it was admitted");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_that_nobody_asked_for_is_no_request() {
    let world = World::new().await;
    let hidden = "GET /v1/version HTTP/1.1\r\nHost: localhost\r\n\r\n";
    let (length, chunk) = (hidden.len(), format!("{:x}\r\n{hidden}\r\n0\r\n\r\n", hidden.len()));
    let last = "GET /healthz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";
    let upload = format!("/v1/uploads/{}", "0".repeat(64));
    // Its head but for the request line, its body, and whether all of it is refused.
    let shapes = [
        ("a length", format!("Content-Length: {length}\r\n\r\n"), hidden, false),
        ("chunks", "Transfer-Encoding: chunked\r\n\r\n".to_owned(), chunk.as_str(), false),
        ("lines that end with LF alone", format!("Content-Length: {length}\n\n"), hidden, false),
        ("one line that ends with LF alone", format!("X: y\nContent-Length: {length}\r\n\r\n"), hidden, false),
        ("a line that ends with CR alone", format!("X: y\rContent-Length: {length}\r\n\r\n"), hidden, true),
        ("a length that ends with CR alone", format!("Content-Length: {length}\rX: y\r\n\r\n"), hidden, true),
        ("a head that ends with CR alone", format!("Content-Length: {length}\r\n\r"), hidden, true),
        ("two lengths, the first of which hides it", format!("Content-Length: {length}\r\nContent-Length: 0\r\n\r\n"), hidden, true),
        ("two lengths, the last of which hides it", format!("Content-Length: 0\r\nContent-Length: {length}\r\n\r\n"), hidden, true),
        ("a length and chunks", format!("Content-Length: {length}\r\nTransfer-Encoding: chunked\r\n\r\n"), "0\r\n\r\n", false),
        ("chunks and a length", "Transfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n".to_owned(), &chunk, false),
        ("a blank before the colon", format!("Content-Length : {length}\r\n\r\n"), hidden, true),
        ("a tab before the colon", "Transfer-Encoding\t: chunked\r\n\r\n".to_owned(), &chunk, true),
        ("a folded length", format!("Content-Length:\r\n {length}\r\n\r\n"), hidden, true),
        ("a folded coding", "Transfer-Encoding:\r\n chunked\r\n\r\n".to_owned(), &chunk, true),
        ("a line that begins with a blank", format!(" Content-Length: {length}\r\n\r\n"), hidden, true),
        ("a coding behind a vertical tab", "Transfer-Encoding: \x0bchunked\r\n\r\n".to_owned(), &chunk, true),
        ("an unknown coding", "Transfer-Encoding: xchunked\r\n\r\n".to_owned(), &chunk, true),
        ("chunked, and then another coding", "Transfer-Encoding: chunked, identity\r\n\r\n".to_owned(), &chunk, true),
        ("a length with a NUL", format!("Content-Length: {length}\0\r\n\r\n"), hidden, true),
        ("a length with a sign", format!("Content-Length: +{length}\r\n\r\n"), hidden, true),
        ("a chunk's length that overflows", "Transfer-Encoding: chunked\r\n\r\n".to_owned(), "10000000000000001\r\nx\r\n", false),
        ("a chunk's length with a sign", "Transfer-Encoding: chunked\r\n\r\n".to_owned(), "+5\r\nhello\r\n0\r\n\r\n", false),
        ("a chunk longer than it says", "Transfer-Encoding: chunked\r\n\r\n".to_owned(), "1\r\nxx\r\n0\r\n\r\n", false),
    ];
    for method in [
        "GET /healthz",
        "HEAD /healthz",
        &format!("HEAD {upload}"),
        &format!("DELETE {upload}"),
        "OPTIONS /v1/streams/camera/102/main/1a/1",
    ] {
        for (shape, head, body, is_refused) in &shapes {
            let mut connection = world.connect(&world.camera).await;
            let request = format!("{method} HTTP/1.1\r\nHost: localhost\r\n{head}{body}{last}");
            let answers = answers(&mut connection, request.as_bytes()).await;
            assert!(!answers.contains("exhibit-appliance"), "{method}, {shape}: what a body has was answered: {answers}");
            let statuses = statuses(&answers);
            assert!(statuses.len() <= 2, "{method}, {shape}: {answers}");
            if *is_refused {
                assert!(matches!(statuses[..], [] | [400]), "{method}, {shape}: {answers}");
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn paths_have_one_spelling() {
    let world = World::new().await;
    let paths = [
        "//v1/version",
        "/v1//version",
        "/v1/./version",
        "/v1/x/../version",
        "/%76%31/version",
        "/v1/%2e%2e/v1/version",
        "/v1/version/",
        "/v1/version%00",
        "/v1/version;x=1",
        "/V1/version",
        "/v1\\version",
        "/v1/attachments/../../appliance.key",
        "/log/tile/../../state/appliance.key",
        "/log/tile/0/%2e%2e%2f",
    ];
    for path in paths {
        let mut connection = world.connect(&world.camera).await;
        let answers =
            answers(&mut connection, format!("GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n").as_bytes()).await;
        let statuses = statuses(&answers);
        assert!(matches!(statuses[..], [400 | 404]), "{path}: {answers}");
        assert!(!answers.contains("exhibit-appliance"), "{path}: {answers}");
    }
    let mut connection = world.connect(&world.camera).await;
    let nul = answers(&mut connection, b"GET /v1/version\0 HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n").await;
    assert_eq!(statuses(&nul), [400]);
    let long = format!("GET /{} HTTP/1.1\r\nHost: localhost\r\n\r\n", "a".repeat(100_000));
    let mut connection = world.connect(&world.camera).await;
    let statuses = statuses(&answers(&mut connection, long.as_bytes()).await);
    assert!(statuses.iter().all(|status| matches!(status, 414 | 431)), "{statuses:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn http_2_is_not_offered() {
    let world = World::new().await;
    for (port, party) in [(world.running.addresses.intake.port(), Some(&world.camera)), (world.running.addresses.public.port(), None)] {
        let refused = Connection::with_alpn(port, &world.pki.root, party, b"h2").await;
        assert!(refused.is_err(), "a listener speaks HTTP/2, whose streams it does not limit");
    }
}

const SHORT: &str = "[limits]\nhandshake_s = 1\nhead_s = 1\nbody_idle_s = 1\nbody_s = 2\nidle_s = 60\nnetwork_handshakes = 8\n";

#[tokio::test(flavor = "multi_thread")]
async fn who_says_nothing_is_given_up() {
    let world = World::with(SHORT).await;
    for port in [world.running.addresses.intake.port(), world.running.addresses.public.port()] {
        let mut silent = TcpStream::connect(("127.0.0.1", port)).await.unwrap();
        assert_eq!(until_end(&mut silent).await, b"", "a silent connection");
        // The beginning of a handshake, and no more.
        let mut half = TcpStream::connect(("127.0.0.1", port)).await.unwrap();
        half.write_all(&[0x16, 0x03, 0x01, 0x02, 0x00, 0x01]).await.unwrap();
        until_end(&mut half).await;
    }
    // A head that is never whole, byte by byte.
    let mut connection = world.connect(&world.camera).await;
    let began = Instant::now();
    let dripping = async {
        for byte in b"GET /healthz HTTP/1.1\r\nHost: localhost\r\nX: ".iter().chain(std::iter::repeat(&b'x')) {
            if connection.send(&[*byte]).await.is_err() || began.elapsed() > HEARD_MAX {
                break;
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    };
    dripping.await;
    assert!(began.elapsed() < HEARD_MAX, "a head drips in for ever");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_that_comes_too_slowly_is_given_up() {
    let world = World::with(SHORT).await;
    let (_, recipients) = world.set_recipients().await;
    let camera = world.begin_epoch("20261120T115958Z", recipients).await;
    let (body, payload) = segment(&camera.stream, 1, 2, &[1; 100_000]);
    let signed = camera.next(body);
    let whole = [intake_prefix(signed.der(), &[]), payload].concat();
    let head = format!("PUT {} HTTP/1.1\r\nHost: localhost\r\nContent-Length: {}\r\n\r\n", path_of(&signed), whole.len());
    for sent in [0, 3, 100, whole.len() - 1] {
        let mut connection = world.connect(&world.camera).await;
        connection.send(head.as_bytes()).await.unwrap();
        connection.send(&whole[..sent]).await.unwrap();
        let answer = timeout(HEARD_MAX, connection.answer()).await.expect("a silent body is waited for").unwrap();
        assert_eq!((answer.status, answer.kind().as_str()), (408, "timed-out"), "after {sent} bytes");
        assert!(answer.closes());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn heads_have_a_size() {
    let world = World::with("[limits]\nheaders = 8\nhead_bytes = 2048\n").await;
    let many = |count: usize| (0..count).map(|number| format!("X-{number}: y\r\n")).collect::<String>();
    for (what, headers, expected) in [
        ("seven headers and Host", many(7), 200),
        ("eight and Host", many(8), 431),
        ("a long one", format!("X: {}\r\n", "y".repeat(1500)), 200),
        ("one that is too long", format!("X: {}\r\n", "y".repeat(4000)), 431),
    ] {
        let mut connection = world.connect(&world.camera).await;
        let request = format!("GET /healthz HTTP/1.1\r\nHost: localhost\r\n{headers}\r\n");
        connection.send(request.as_bytes()).await.unwrap();
        let answer = timeout(HEARD_MAX, connection.answer()).await.unwrap().unwrap();
        assert_eq!(answer.status, expected, "{what}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_has_its_time_and_its_pace_and_a_statement_less() {
    // Each is what is looked at alone: the others would wait for a minute.
    const BODY: &str = "[limits]\nhead_s = 60\nidle_s = 60\n";
    let (idle, pace, time) =
        ("body_idle_s = 1\nbody_s = 60\n", "body_idle_s = 2\nbody_s = 60\nbody_bytes_per_s = 1000000\n", "body_idle_s = 60\nbody_s = 1\n");
    for (limit, config, drips) in [("body_idle_s", idle, false), ("body_bytes_per_s", pace, true), ("body_s", time, true)] {
        let world = World::with(&format!("{BODY}{config}")).await;
        let (_, recipients) = world.set_recipients().await;
        let camera = world.begin_epoch("20261120T115958Z", recipients).await;
        let (body, payload) = segment(&camera.stream, 1, 2, &[1; 1_000_000]);
        let signed = camera.next(body);
        let whole = [intake_prefix(signed.der(), &[]), payload].concat();
        let head = format!("PUT {} HTTP/1.1\r\nHost: localhost\r\nContent-Length: {}\r\n\r\n", path_of(&signed), whole.len());
        // In the statement, and behind it.
        for sent in [10, whole.len() / 2] {
            let mut connection = world.connect(&world.camera).await;
            connection.send(head.as_bytes()).await.unwrap();
            connection.send(&whole[..sent]).await.unwrap();
            let began = Instant::now();
            for byte in whole[sent..].iter().take_while(|_| drips && began.elapsed() < HEARD_MAX) {
                if connection.send(&[*byte]).await.is_err() {
                    break;
                }
                // What drips is the point.
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
            let answer =
                timeout(HEARD_MAX, connection.answer()).await.unwrap_or_else(|_| panic!("{limit}: after {sent} bytes it is waited for"));
            assert!(began.elapsed() < HEARD_MAX, "{limit}: after {sent} bytes");
            // The answer may have been lost behind what was sent after it.
            assert!(answer.is_err() || answer.unwrap().status == 408, "{limit}: after {sent} bytes");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn more_than_anything_can_have_is_refused_before_it_is_waited_for() {
    let world = World::new().await;
    for length in ["1000000000000000000", "100000000"] {
        let mut connection = world.connect(&world.camera).await;
        let headers = format!("Content-Length: {length}\r\n");
        let answer = connection.put_raw("/v1/streams/camera/102/main/1a/0", &headers, b"").await;
        assert_eq!((answer.status, answer.kind().as_str()), (413, "too-large"), "{length}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn who_asks_for_much_and_reads_nothing_is_given_up() {
    let world =
        World::with("[limits]\nbody_idle_s = 1\nbody_bytes_per_s = 1000000\nidle_s = 60\nhead_s = 60\nrequests_per_s = 1000000\n").await;
    // What lies in the kernel's buffers is not read, and not missed either: they are small, and the answers long.
    let socket = tokio::net::TcpSocket::new_v4().unwrap();
    socket.set_recv_buffer_size(4096).unwrap();
    let stream = socket.connect(world.running.addresses.intake).await.unwrap();
    let mut connection = Connection::over(stream, &world.pki.root, Some(&world.auditor), b"").await.unwrap();
    let path = format!("/v1/streams/{}/entries?first=0&last=6", world.authority.stream);
    let asked = format!("GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n").repeat(100);
    let asking = async { while connection.send(asked.as_bytes()).await.is_ok() {} };
    timeout(HEARD_MAX, asking).await.expect("answers wait for their reader without end");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_on_which_nothing_moves_is_ended() {
    for limits in ["idle_s = 1\nhead_s = 60\n", "idle_s = 60\nhead_s = 1\n"] {
        let world = World::with(&format!("[limits]\n{limits}")).await;
        let mut connection = world.connect(&world.camera).await;
        assert_eq!(connection.get("/healthz").await.status, 200);
        let _ = timeout(HEARD_MAX, connection.rest()).await.unwrap_or_else(|_| panic!("{limits}"));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_network_has_so_many_connections_where_nobody_says_who_they_are() {
    let world = World::with("[limits]\nnetwork_connections = 2\n").await;
    let (intake, public) = (world.running.addresses.intake.port(), world.running.addresses.public.port());
    let root = &world.pki.root;
    let mut open = Vec::new();
    for _ in 0..2 {
        let mut connection = Connection::new(public, root, None).await.unwrap();
        assert_eq!(connection.get("/healthz").await.status, 200);
        open.push(connection);
    }
    let third = async { Connection::new(public, root, None).await?.try_get("/healthz").await };
    assert!(third.await.is_err(), "one network takes all");
    let mut other = Connection::from_address(2, public, root, None).await.unwrap();
    assert_eq!(other.get("/healthz").await.status, 200, "another network pays for it");
    // On the intake they are their certificates'.
    let mut cameras = Vec::new();
    for _ in 0..3 {
        let mut connection = Connection::new(intake, root, Some(&world.camera)).await.unwrap();
        assert_eq!(connection.get("/healthz").await.status, 200, "cameras behind one address are too many");
        cameras.push(connection);
    }
    drop(open.pop());
    let again = async {
        // Its end is heard in a moment.
        loop {
            if let Ok(mut connection) = Connection::new(public, root, None).await
                && connection.try_get("/healthz").await.is_ok()
            {
                break;
            }
        }
    };
    timeout(HEARD_MAX, again).await.expect("what has ended counts on");
}

#[tokio::test(flavor = "multi_thread")]
async fn one_certificate_does_not_take_all_uploads_nor_who_has_not_said_what() {
    let world = World::with("[limits]\nidentity_uploads = 2\n").await;
    let (_, recipients) = world.set_recipients().await;
    let mut camera = world.begin_epoch("20261120T115958Z", recipients).await;
    let (body, payload) = segment(&camera.stream, 1, 2, &[1; 1000]);
    let signed = camera.next(body);
    // Whose statement has not come yet has no place: it is being waited for, which costs a connection.
    let mut slow = Vec::new();
    for _ in 0..4 {
        let mut connection = world.connect(&world.camera).await;
        let head = format!("PUT {} HTTP/1.1\r\nHost: localhost\r\nExpect: 100-continue\r\nContent-Length: 5000\r\n\r\n", path_of(&signed));
        connection.send(head.as_bytes()).await.unwrap();
        connection.expect_continue().await;
        slow.push(connection);
    }
    let uploads = &world.running.appliance.uploads;
    let party = format!("camera/102#{}", hex::encode(world.camera.certificate.fingerprint()));
    let places: Vec<_> = std::iter::from_fn(|| uploads.take(&party).ok()).collect();
    assert_eq!(places.len(), 2, "uploads that have not begun are under way, or one certificate may have all");
    let answer = world.connect(&world.camera).await.put(&signed, &[], &payload).await;
    assert_eq!((answer.status, answer.kind().as_str(), answer.headers["retry-after"].as_str()), (503, "overloaded", "1"));
    // Others have theirs.
    let writer = Writer::new(world.custodian.clone(), "user/k/20261121T115958Z", &world.anchor);
    let close = writer.next(exhibit_evidence::Body::Approve(exhibit_evidence::body::Approve {
        entry: recipients,
        statement: recipients,
        attachments: vec![],
    }));
    assert_eq!(world.connect(&world.custodian).await.put(&close, &[], &[]).await.kind(), "rule", "one camera's uploads are another's");
    drop(places);
    let answer = world.connect(&world.camera).await.put(&signed, &[], &payload).await;
    answer.admitted(201, &world.anchor, &mut camera, &signed);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_identity_has_so_many_connections_and_requests() {
    let world = World::new().await.restart_with("[limits]\nidentity_connections = 2\nrequests_per_s = 5\n").await;
    let mut first = world.connect(&world.auditor).await;
    assert_eq!(first.get("/healthz").await.status, 200);
    let mut others = [world.connect(&world.auditor).await, world.connect(&world.auditor).await];
    for other in &mut others {
        assert_eq!(other.get("/healthz").await.status, 200);
    }
    let ended = timeout(HEARD_MAX, first.rest()).await.expect("the oldest connection stays");
    assert!(ended.is_err() || ended.unwrap().is_empty());
    // One after the other they wait for their turn, and none is refused.
    let began = Instant::now();
    for _ in 0..10 {
        assert_eq!(others[0].get("/healthz").await.status, 200);
    }
    assert!(began.elapsed() >= Duration::from_millis(900), "ten requests at 5 a second, of which 5 are saved up: {:?}", began.elapsed());
    let mut camera = world.connect(&world.camera).await;
    let began = Instant::now();
    assert_eq!(camera.get("/healthz").await.status, 200, "one identity's requests are counted as another's");
    assert!(began.elapsed() < Duration::from_millis(900), "one waits for another's turn");
}

#[tokio::test(flavor = "multi_thread")]
async fn of_many_requests_at_once_those_that_would_wait_for_long_are_refused() {
    let world = World::with("[limits]\nrequests_per_s = 2\n[bans]\nattempts = 0\n").await;
    let mut connections = Vec::new();
    for _ in 0..8 {
        connections.push(world.connect(&world.auditor).await);
    }
    for connection in &mut connections {
        connection.send(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n").await.unwrap();
    }
    let (mut served, mut refused) = (0, 0);
    for connection in &mut connections {
        let answer = connection.answer().await.unwrap();
        if answer.status == 200 {
            served += 1;
            continue;
        }
        assert_eq!((answer.status, answer.kind().as_str(), answer.headers["retry-after"].as_str()), (429, "rate", "2"));
        refused += 1;
    }
    // Two that were saved up, and two that wait a second at most; a slow machine may take some of them later.
    assert!(served >= 4 && refused >= 1, "{served} served, {refused} refused");
}

/// How many silent connections are held.
const SILENT: usize = 1000;
/// How many requests drip in beside.
const DRIPPING: usize = 6;

#[tokio::test(flavor = "multi_thread")]
async fn a_camera_goes_on_while_a_thousand_connections_say_nothing() {
    // Fewer connections than there are silent ones, which would stay for ten minutes: they must not have the places of those that speak.
    let world = World::with("connections_max = 100\n[limits]\nhandshake_s = 600\nnetwork_handshakes = 400\nhandshakes = 400\n").await;
    let (_, recipients) = world.set_recipients().await;
    let mut camera = world.begin_epoch("20261120T115958Z", recipients).await;
    let mut connection = world.connect(&world.camera).await;
    let port = world.running.addresses.intake.port();
    let mut dripping = Vec::new();
    for _ in 0..DRIPPING {
        // Somebody with a certificate, who sends a body without end.
        let mut slow = Connection::new(port, &world.pki.root, Some(&world.auditor)).await.unwrap();
        slow.send(b"PUT /v1/streams/user/a/1/0 HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1000000\r\n\r\n\0").await.unwrap();
        dripping.push(slow);
    }
    let mut silent = Vec::new();
    for _ in 0..SILENT {
        silent.push(TcpStream::connect(("127.0.0.1", port)).await.unwrap());
    }
    let began = Instant::now();
    for seq in 1..=10 {
        let (body, payload) = segment(&camera.stream, seq, 2 * seq as u32, &vec![seq as u8; 200_000]);
        let signed = camera.next(body);
        let answer = timeout(HEARD_MAX, connection.put(&signed, &[], &payload)).await.expect("a camera is held up by others");
        answer.admitted(201, &world.anchor, &mut camera, &signed);
    }
    let took = began.elapsed();
    // Ten segments of two seconds each.
    assert!(took < Duration::from_secs(20), "the camera is slower than it records: {took:?}");
    // A camera that has lost its connection comes back, from the same network and from another one.
    for last in [1, 2] {
        // It tries again while all of them have only just come.
        let back = async {
            loop {
                if let Ok(mut connection) = Connection::from_address(last, port, &world.pki.root, Some(&world.camera)).await
                    && let Ok(answer) = connection.try_get("/v1/version").await
                {
                    return answer.status;
                }
            }
        };
        assert_eq!(timeout(HEARD_MAX, back).await.expect("nobody comes in any more"), 200);
    }
    // All beyond 400 were ended, whichever; without the limit they would stay.
    let mut ends = tokio::task::JoinSet::new();
    for mut stream in silent {
        ends.spawn(async move { stream.read_to_end(&mut Vec::new()).await });
    }
    let ended = async {
        for _ in 0..SILENT - 400 {
            let _ = ends.join_next().await;
        }
    };
    timeout(HEARD_MAX, ended).await.expect("a silent connection has a place although there are too many");
}

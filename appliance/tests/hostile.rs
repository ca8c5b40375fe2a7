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
    let lengths = [format!("Content-Length: {}\r\n", hidden.len()), "Transfer-Encoding: chunked\r\n".to_owned()];
    for headers in lengths {
        let mut connection = world.connect(&world.camera).await;
        let body = if headers.starts_with('T') { format!("{:x}\r\n{hidden}\r\n0\r\n\r\n", hidden.len()) } else { hidden.to_owned() };
        let last = "GET /healthz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";
        let request = format!("GET /healthz HTTP/1.1\r\nHost: localhost\r\n{headers}\r\n{body}{last}");
        let answers = answers(&mut connection, request.as_bytes()).await;
        assert!(!answers.contains("exhibit-appliance"), "{headers}: what a body has was answered: {answers}");
        assert!(answers.matches("\"status\":\"ok\"").count() <= 2, "{answers}");
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
    let mut refused = 0;
    for _ in 0..20 {
        let answer = others[0].get("/healthz").await;
        match answer.status {
            200 => {}
            _ => {
                assert_eq!((answer.status, answer.kind().as_str()), (429, "rate"));
                assert_eq!(answer.headers["retry-after"], "1");
                refused += 1;
            }
        }
    }
    assert!(refused > 5, "{refused} of 20 at once were refused, with 5 a second");
    let mut camera = world.connect(&world.camera).await;
    assert_eq!(camera.get("/healthz").await.status, 200, "one identity's requests are counted as another's");
}

/// How many silent connections are held.
const SILENT: usize = 1000;
/// How many requests drip in beside.
const DRIPPING: usize = 6;

#[tokio::test(flavor = "multi_thread")]
async fn a_camera_goes_on_while_a_thousand_connections_say_nothing() {
    // The test's connections are all of one network, the camera's too: what is left to it is what the limit leaves.
    let world = World::with("[limits]\nhandshake_s = 2\nnetwork_handshakes = 400\nhandshakes = 400\n").await;
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
    // And a camera that has lost its connection comes back: the silent ones are given up.
    let again = async {
        loop {
            if let Ok(mut connection) = Connection::new(port, &world.pki.root, Some(&world.camera)).await
                && let Ok(answer) = connection.try_get("/v1/version").await
            {
                return answer.status;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    assert_eq!(timeout(HEARD_MAX, again).await.expect("nobody comes in any more"), 200);
}

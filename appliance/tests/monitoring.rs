//! What monitoring reads: metrics that others' parsers understand and that name nobody, and health with reasons.
#![allow(clippy::unwrap_used, missing_docs)]

mod common;

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::process::{Command, Stdio};

use common::*;
use exhibit_appliance::health::{Code, Health, Status};
use exhibit_appliance::maintain::control::ask_for_status;
use exhibit_appliance::setup::Folder;
use serde_json::Value;

/// The parser of the Prometheus project: a list of samples for each family.
const PARSE: &str = "
import json, sys
from prometheus_client.openmetrics.parser import text_string_to_metric_families as families
print(json.dumps([[f.name, f.type, [[s.name, s.labels, s.value] for s in f.samples]] for f in families(sys.stdin.read())]))
";

fn ask(address: SocketAddr, request: &str) -> (u16, String) {
    let mut stream = TcpStream::connect(address).unwrap();
    stream.write_all(format!("{request} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n").as_bytes()).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    (head.split(' ').nth(1).unwrap().parse().unwrap(), body.to_owned())
}

async fn get(address: SocketAddr, path: &'static str) -> (u16, String) {
    tokio::task::spawn_blocking(move || ask(address, &format!("GET {path}"))).await.unwrap()
}

/// The sum of the samples that have all these labels.
fn value(families: &Value, sample: &str, labels: &[(&str, &str)]) -> f64 {
    let samples = families.as_array().unwrap().iter().flat_map(|family| family[2].as_array().unwrap());
    let fits = |found: &&Value| found[0] == sample && labels.iter().all(|(name, value)| found[1][name] == *value);
    samples.filter(fits).map(|found| found[2].as_f64().unwrap()).sum()
}

fn parse(metrics: &str) -> Value {
    let mut python = Command::new("/usr/bin/python3").args(["-c", PARSE]).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    python.stdin.take().unwrap().write_all(metrics.as_bytes()).unwrap();
    let output = python.wait_with_output().unwrap();
    assert!(output.status.success(), "Prometheus' own parser refuses:\n{metrics}");
    serde_json::from_slice(&output.stdout).unwrap()
}

fn has_parser() -> bool {
    let asked = Command::new("/usr/bin/python3").args(["-c", "import prometheus_client"]).stderr(Stdio::null()).status();
    let found = asked.is_ok_and(|status| status.success());
    assert!(found || std::env::var_os("EXHIBIT_TEST_ALL").is_none(), "python3-prometheus-client is missing: run make packages");
    if !found {
        println!("SKIPPED: Debian's python3-prometheus-client is missing; run make packages");
    }
    found
}

#[tokio::test(flavor = "multi_thread")]
async fn what_happens_is_counted_and_names_nobody() {
    if !has_parser() {
        return;
    }
    let world = World::with("monitoring = \"127.0.0.1:0\"\n").await;
    let address = world.running.addresses.monitoring.unwrap();
    let before = parse(&get(address, "/metrics").await.1);
    let (_, recipients) = world.set_recipients().await;
    let mut camera = world.begin_epoch("20261120T115958Z", recipients).await;
    let (body, payload) = segment(&camera.stream, 1, 2, &[7; 4096]);
    let signed = camera.next(body);
    let mut connection = world.connect(&world.camera).await;
    connection.put(&signed, &[], &payload).await.admitted(201, &world.anchor, &mut camera, &signed);
    // The same again is answered, and admitted once.
    connection.put(&signed, &[], &payload).await;
    assert_eq!(connection.get("/v1/nothing-of-that-name").await.status, 404);

    let (status, metrics) = get(address, "/metrics").await;
    assert_eq!(status, 200);
    let after = parse(&metrics);
    let grown = |sample: &str, labels: &[(&str, &str)]| value(&after, sample, labels) - value(&before, sample, labels);
    assert_eq!(grown("exhibit_admitted_total", &[("type", "segment/v1")]), 1.0);
    assert_eq!(grown("exhibit_admitted_payload_bytes_total", &[]), payload.len() as f64);
    assert_eq!(grown("exhibit_answers_total", &[("listener", "intake"), ("status", "404")]), 1.0);
    assert_eq!(grown("exhibit_refusals_total", &[("problem", "not-found")]), 1.0);
    assert!(grown("exhibit_answers_total", &[("listener", "intake"), ("status", "201")]) >= 3.0);
    assert!(grown("exhibit_durable_seconds_count", &[("of", "entry")]) >= 3.0);
    assert!(grown("exhibit_handshakes_total", &[("listener", "intake"), ("outcome", "done")]) >= 3.0);
    assert!(value(&after, "exhibit_connections", &[("listener", "intake")]) >= 1.0);
    assert_eq!(value(&after, "exhibit_log_entries", &[]), world.size() as f64);
    assert!(value(&after, "exhibit_disk_free_bytes", &[("disk", "vault")]) > 0.0);
    assert_eq!(value(&after, "exhibit_health", &[]), 0.0, "{metrics}");
    for secret in ["camera/", "user/", "127.0.0.1", "city.example", &signed.statement_hash().to_string()] {
        assert!(!metrics.contains(secret), "{secret} is in the metrics:\n{metrics}");
    }

    // A connection that ends is not counted any more, once its end was heard of.
    drop(connection);
    let status = ask_for_status(&Folder::new(&world.folder.path().join("state"))).unwrap().unwrap().unwrap();
    assert_eq!((status.health.status, status.witnessing.size, status.is_ended), (Status::Ok, world.size(), false));
    assert!(status.listens.iter().any(|(name, listens)| name == "monitoring" && *listens == address));
    assert!(status.text().starts_with("ok: city.example/log/1\n"), "{}", status.text());
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_wrong_is_told_with_what_to_do() {
    let world = World::with("monitoring = \"127.0.0.1:0\"\n").await;
    let address = world.running.addresses.monitoring.unwrap();
    let (status, health) = get(address, "/healthz").await;
    let health: Health = serde_json::from_str(&health).unwrap();
    assert_eq!((status, health.status, health.size, health.reasons.len()), (200, Status::Ok, world.size(), 0));

    // The certificate ends within a month: a warning. After that nobody believes the appliance.
    world.ahead_ms.store(340 * DAY_MS, std::sync::atomic::Ordering::Relaxed);
    let (status, health) = get(address, "/healthz").await;
    let health: Health = serde_json::from_str(&health).unwrap();
    assert_eq!((status, health.status, health.reasons[0].code), (200, Status::Warning, Code::CertificateEnds));
    world.ahead_ms.store(366 * DAY_MS, std::sync::atomic::Ordering::Relaxed);
    let (status, health) = get(address, "/healthz").await;
    let health: Health = serde_json::from_str(&health).unwrap();
    assert_eq!((status, health.status), (503, Status::Failing));
    assert!(!health.reasons[0].remedy.is_empty());
    world.ahead_ms.store(0, std::sync::atomic::Ordering::Relaxed);

    // More is kept of the disk than it has.
    let world = world.restart_with("disk_reserve_mib = 1000000000\n").await;
    let address = world.running.addresses.monitoring.unwrap();
    let (status, health) = get(address, "/healthz").await;
    let health: Health = serde_json::from_str(&health).unwrap();
    assert_eq!((status, health.status, health.reasons[0].code), (503, Status::Failing, Code::DiskFull));
    // Whoever balances loads asks the public listener.
    let public = world.running.addresses.public.port();
    let mut public = Connection::new(public, &world.pki.root, None).await.unwrap();
    let told = public.get("/healthz").await;
    let health: Health = told.json();
    assert_eq!((told.status, health.reasons[0].code), (503, Code::DiskFull));
    assert_eq!(health.reasons[0].detail, "", "strangers learn how large the disks are");
    let metrics = get(address, "/metrics").await.1;
    assert!(metrics.contains("exhibit_health{code=\"disk-full\"} 2"), "{metrics}");
}

#[tokio::test(flavor = "multi_thread")]
async fn monitoring_answers_nothing_else() {
    let world = World::with("monitoring = \"127.0.0.1:0\"\n").await;
    let address = world.running.addresses.monitoring.unwrap();
    assert_eq!(get(address, "/v1/streams?prefix=").await.0, 404);
    assert_eq!(get(address, "/log/checkpoint").await.0, 404);
    let posted = tokio::task::spawn_blocking(move || ask(address, "POST /metrics")).await.unwrap();
    assert_eq!(posted.0, 405);
    assert_eq!(World::new().await.running.addresses.monitoring, None, "it listens where nobody asked for it");
}

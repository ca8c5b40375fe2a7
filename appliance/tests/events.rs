//! Live changes as server-sent events, over real sockets: nothing is missed by who comes back, and nobody is hurt by who does not read.
#![allow(clippy::unwrap_used, missing_docs)]

mod common;

use std::collections::VecDeque;
use std::io::{BufRead, BufReader, Read};
use std::process::{Command, Stdio};
use std::sync::atomic::Ordering;
use std::time::Instant;

use common::watched::LIMIT;
use common::*;
use exhibit_appliance::appliance::{SUBSCRIBERS_EACH, SUBSCRIBERS_MAX};
use exhibit_pki::{KeyPurpose, Role};
use exhibit_tlog::Hash;
use serde_json::{Value, json};
use tokio::time::timeout;

const NO_BANS: &str = "[bans]\nattempts = 0\n";

#[derive(Debug)]
struct Event {
    name: String,
    id: Option<u64>,
    data: Value,
}

/// Whoever is told.
struct Subscriber {
    connection: Connection,
    events: VecDeque<Event>,
}

impl Subscriber {
    async fn new(world: &World, party: &Party, query: &str, headers: &str) -> Self {
        let mut connection = world.connect(party).await;
        let answer = connection.get_with(&format!("/v1/events{query}"), headers).await;
        assert_eq!(answer.status, 200, "{answer:?}");
        let field = |name: &str| answer.headers.get(name).map(String::as_str);
        assert_eq!((field("content-type"), field("cache-control")), (Some("text/event-stream"), Some("no-store")));
        assert_eq!((field("etag"), field("content-length")), (None, None));
        Self { connection, events: VecDeque::new() }
    }

    /// The next event; nothing at the end of the answer.
    async fn next(&mut self) -> Option<Event> {
        while self.events.is_empty() {
            let chunk = timeout(LIMIT, self.connection.chunk()).await.expect("nothing comes").unwrap()?;
            self.events = events(&chunk);
        }
        self.events.pop_front()
    }

    /// The next event of that name.
    async fn next_named(&mut self, name: &str) -> Event {
        loop {
            let event = self.next().await.unwrap();
            if event.name == name {
                return event;
            }
        }
    }

    /// The size of the next checkpoint that is told.
    async fn size(&mut self) -> u64 {
        let event = self.next_named("checkpoint").await;
        assert_eq!(event.data["size"].as_u64(), event.id);
        event.id.unwrap()
    }

    /// Reads to the end of the answer.
    async fn end(&mut self) {
        while self.next().await.is_some() {}
    }
}

/// Of whole events, as the specification reads them: lines of a field each, a blank line behind each event, comments passed over.
fn events(text: &str) -> VecDeque<Event> {
    let mut found = VecDeque::new();
    for block in text.strip_suffix("\n\n").expect("an event is cut").split("\n\n") {
        let (mut name, mut id, mut data) = (String::new(), None, None);
        for line in block.lines() {
            match line.split_once(": ").unwrap() {
                ("", _) => {}
                ("event", value) => value.clone_into(&mut name),
                ("id", value) => id = Some(value.parse().unwrap()),
                ("data", value) => data = Some(serde_json::from_str(value).unwrap()),
                other => panic!("{other:?}"),
            }
        }
        found.extend(data.map(|data| Event { name, id, data }));
    }
    found
}

#[tokio::test(flavor = "multi_thread")]
async fn who_comes_back_has_missed_nothing() {
    let (world, mut camera) = World::with_camera().await;
    let mut auditor = Subscriber::new(&world, &world.auditor, "", "").await;
    let first = auditor.next().await.unwrap();
    assert_eq!((first.name.as_str(), first.id), ("checkpoint", Some(world.size())), "{first:?}");
    // It says what the checkpoint does.
    let note = String::from_utf8(world.connect(&world.auditor).await.get("/log/checkpoint").await.body).unwrap();
    let lines: Vec<&str> = note.lines().collect();
    let root = Hash::from_base64(lines[2]).unwrap().to_string();
    assert_eq!(first.data, json!({ "origin": lines[0], "size": lines[1].parse::<u64>().unwrap(), "root": root }));
    let health = auditor.next_named("health").await;
    assert_eq!((health.id, health.data), (None, json!({ "status": "ok", "reasons": [] })));
    // However many batches there are, the last is told.
    for _ in 0..5 {
        world.put_segment(&mut camera, 201).await;
    }
    let mut known = first.id.unwrap();
    while known < world.size() {
        let size = auditor.size().await;
        assert!(size > known, "{size} after {known}");
        known = size;
    }
    drop(auditor);
    // What happens meanwhile is told at once to who comes back.
    world.put_segment(&mut camera, 201).await;
    let mut again = Subscriber::new(&world, &world.auditor, "", &format!("Last-Event-ID: {known}\r\n")).await;
    assert_eq!(again.size().await, world.size());
    // Who knows the newest is told the next.
    let size = world.size();
    let mut after = Subscriber::new(&world, &world.auditor, &format!("?after={size}"), "If-None-Match: *\r\n").await;
    assert_eq!(after.next().await.unwrap().name, "health");
    world.put_segment(&mut camera, 201).await;
    assert!(after.size().await > size, "what was known is told again");
    // Who knows more than there is knows another log; and what a client sends by itself is newer than what it was told to ask for.
    for (query, id) in [("", size + 1000), (&*format!("?after={}", world.size()), 0)] {
        let mut other = Subscriber::new(&world, &world.auditor, query, &format!("Last-Event-ID: {id}\r\n")).await;
        assert_eq!(other.size().await, world.size(), "{query} {id}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_no_id_is_refused() {
    let world = World::with(NO_BANS).await;
    let mut auditor = world.connect(&world.auditor).await;
    for headers in ["Last-Event-ID: x\r\n", "Last-Event-ID: 07\r\n", "Last-Event-ID: \r\n", "Last-Event-ID: 1\r\nLast-Event-ID: 1\r\n"] {
        let answer = auditor.get_with("/v1/events", headers).await;
        assert_eq!((answer.status, answer.kind().as_str()), (400, "malformed"), "{headers}");
    }
    for query in ["?after=x", "?after=-1", "?after=18446744073709551616", "?after=1&after=1", "?since=1"] {
        let answer = auditor.get(&format!("/v1/events{query}")).await;
        assert_eq!((answer.status, answer.kind().as_str()), (400, "malformed"), "{query}");
    }
    assert_eq!(auditor.ask("HEAD", "/v1/events").await.status, 405);
}

/// Who does not read has a place, and nothing else: others are told, cameras are served, and nobody has more places than their share.
#[tokio::test(flavor = "multi_thread")]
async fn places_are_bounded_and_who_does_not_read_hurts_nobody() {
    let mut world = World::with(NO_BANS).await;
    let mut silent = Vec::new();
    for _ in 0..SUBSCRIBERS_EACH {
        silent.push(Subscriber::new(&world, &world.custodian, "", "").await);
    }
    let mut custodian = world.connect(&world.custodian).await;
    let refused = custodian.get("/v1/events").await;
    assert_eq!((refused.status, refused.kind().as_str()), (503, "overloaded"));
    assert!(refused.headers.contains_key("retry-after"));
    let mut auditor = Subscriber::new(&world, &world.auditor, "", "").await;
    let known = auditor.size().await;
    let (_, recipients) = world.set_recipients().await;
    let mut camera = world.begin_epoch("20261120T115958Z", recipients).await;
    world.put_segment(&mut camera, 201).await;
    assert!(auditor.size().await > known);
    // One who is gone leaves a place: as soon as it is heard of.
    silent.pop();
    timeout(LIMIT, async { while world.connect(&world.custodian).await.get("/v1/events").await.status != 200 {} }).await.unwrap();
    // All together have as many as there are.
    drop(auditor);
    let subscribers = world.running.appliance.subscribers.clone();
    let are_gone = async {
        while subscribers.taken() >= SUBSCRIBERS_EACH {
            tokio::task::yield_now().await;
        }
    };
    timeout(LIMIT, are_gone).await.unwrap();
    let mut number = 0;
    while subscribers.taken() < SUBSCRIBERS_MAX {
        number += 1;
        let party = world.pki.party(&format!("user/a{number}"), &[Role::Auditor], KeyPurpose::Signing);
        world.introduce(&party.certificate).await;
        for _ in 0..SUBSCRIBERS_EACH.min(SUBSCRIBERS_MAX - subscribers.taken()) {
            silent.push(Subscriber::new(&world, &party, "", "").await);
        }
    }
    let refused = world.connect(&world.investigator).await.get("/v1/events").await;
    assert_eq!((refused.status, refused.kind().as_str()), (503, "overloaded"));
    world.put_segment(&mut camera, 201).await;
    // Nobody waits for those who do not read, or who would go on reading for ever.
    let began = Instant::now();
    let _world = world.restart().await;
    assert!(began.elapsed().as_secs() < 8, "the end waited for those who are told: {:?}", began.elapsed());
    for mut subscriber in silent {
        subscriber.end().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn who_may_not_be_told_any_more_is_not() {
    let mut world = World::with("[bans]\nattempts = 3\nslow_after = 1000\n").await;
    let mut auditor = Subscriber::new(&world, &world.auditor, "", "").await;
    let mut custodian = Subscriber::new(&world, &world.custodian, "", "").await;
    let mut investigator = Subscriber::new(&world, &world.investigator, "", "").await;
    let mut known = investigator.size().await;
    // Revoked.
    let revoked = world.auditor.clone();
    world.revoke(&revoked).await;
    auditor.end().await;
    assert!(investigator.size().await > known, "another's stream ended too");
    // Banned, for what is done on another connection.
    known = world.size();
    let mut attempting = world.connect(&world.custodian).await;
    for _ in 0..3 {
        assert_eq!(attempting.get("/v1/streams?").await.status, 400);
    }
    custodian.end().await;
    while investigator.size().await <= known {}
    // Expired.
    world.ahead_ms.store(366 * DAY_MS, Ordering::Relaxed);
    investigator.end().await;
}

/// A client that others wrote: it takes the answer for whole only if its end is told.
#[tokio::test(flavor = "multi_thread")]
async fn curl_is_told_and_hears_of_the_end() {
    let world = World::new().await;
    let folder = world.folder.path().to_owned();
    let chain: String = [&world.auditor.certificate, &world.pki.issuing].map(|certificate| certificate.to_pem()).concat();
    std::fs::write(folder.join("client.pem"), chain).unwrap();
    std::fs::write(folder.join("client.key"), world.auditor.signer.to_pkcs8_pem().as_bytes()).unwrap();
    std::fs::write(folder.join("ca.pem"), world.pki.root.to_pem()).unwrap();
    let mut command = Command::new("curl");
    command.current_dir(&folder).args(["--silent", "--show-error", "--no-buffer", "--include", "--noproxy", "*", "--max-time", "60"]);
    command.args(["--cacert", "ca.pem", "--cert", "client.pem", "--key", "client.key"]);
    command.arg(format!("https://localhost:{}/v1/events", world.running.addresses.intake.port()));
    let mut curl = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(curl.stdout.take().unwrap()).lines();
    let told = tokio::task::spawn_blocking(move || {
        let mut told = Vec::new();
        for line in lines.by_ref().map_while(Result::ok) {
            let is_event = line.starts_with("data: ");
            told.push(line);
            if is_event {
                break;
            }
        }
        (told, lines)
    });
    let (told, _lines) = told.await.unwrap();
    assert_eq!(told[0], "HTTP/1.1 200 OK", "{told:?}");
    assert!(told.iter().any(|line| line.eq_ignore_ascii_case("content-type: text/event-stream")), "{told:?}");
    let event = &told[told.len() - 3..];
    assert_eq!(event[..2], ["event: checkpoint".to_owned(), format!("id: {}", world.size())], "{told:?}");
    let World { running, .. } = world;
    stop(running).await;
    let ended = tokio::task::spawn_blocking(move || {
        let status = curl.wait().unwrap();
        let mut said = String::new();
        curl.stderr.take().unwrap().read_to_string(&mut said).unwrap();
        (status.code(), said)
    });
    assert_eq!(ended.await.unwrap(), (Some(0), String::new()));
}

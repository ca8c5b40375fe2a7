//! The appliance and its mirrors: each gets every entry, what it cosigns counts as the policy says, and one that lies, lags or is dead harms
//! nobody.
#![allow(clippy::unwrap_used)]

mod common;

use std::io::Read;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use common::http::serve_http;
use common::mirror::{Mirror, mirror_toml};
use common::watched::TIMESTAMPS_HOURLY;
use common::{World, python};
use exhibit_appliance::witnessing::WitnessState;
use exhibit_evidence::exchange::Admitted;
use exhibit_ledger::Candidate;
use exhibit_tlog::mirror::{EntryPackage, MirrorInfo, PACKAGE_SIZE_BYTES_MAX, UploadHeader};
use exhibit_tlog::{AddCheckpoint, Checkpoint, Ed25519Cosigner, Hash, NoteSigner, Policy, leaf_hash};
use zeroize::Zeroizing;

/// Until the mirror has cosigned all that there is now, and how much that is.
async fn until_mirrored(world: &World) -> u64 {
    let size = world.size();
    world.until_status(|status| status.mirrors[0].state == WitnessState::Cosigned && status.mirrors[0].size >= Some(size)).await;
    size
}

/// The client that knows the C2SP pages alone finds the whole log at the mirror, and how many entries.
async fn audited(world: &World, mirror: &Mirror) -> u64 {
    let mut arguments: Vec<String> = world.anchor.verifier.keys.iter().flat_map(|key| ["--vkey".to_owned(), key.to_string()]).collect();
    arguments.extend(["--all-widths".to_owned(), mirror.copy_url()]);
    let report = tokio::task::spawn_blocking(move || python::client(&arguments)).await.unwrap().unwrap();
    report["entries"].as_u64().unwrap()
}

/// Entries that are opaque to the ledger.
fn fill(world: &World, stream: &str, entries: impl Iterator<Item = Vec<u8>>) {
    let (sender, answers) = std::sync::mpsc::channel();
    let mut prev = Hash::default();
    for (seq, entry) in (0..).zip(entries) {
        let leaf = leaf_hash(&entry);
        let candidate =
            Candidate { stream: stream.into(), seq, prev, identity: leaf, entry, annotations: vec![], is_last: false, may_leap: false };
        let sender = sender.clone();
        world.running.appliance.ledger.append_then(candidate, Box::new(move |outcome| drop(sender.send(outcome.map(drop)))));
        prev = leaf;
        // Fewer at a time than may wait.
        if seq >= 500 {
            answers.recv().unwrap().unwrap();
        }
    }
    drop(sender);
    answers.iter().for_each(|answer| answer.unwrap());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_mirror_gets_every_entry_and_its_cosignature_counts() {
    let (world, mut camera) = World::with_camera().await;
    let folder = tempfile::tempdir().unwrap();
    let mut mirror = Mirror::start(folder.path(), "m", &world.anchor).await;
    let policy_text = format!("{}quorum m\n", mirror.policy_line("m"));
    let world = world.watched(&policy_text, &format!("{TIMESTAMPS_HOURLY}{}", mirror.toml())).await;
    world.put_segment(&mut camera, 202).await;
    let size = until_mirrored(&world).await;
    let status = world.until_status(|status| status.final_size >= size).await;
    assert_eq!((status.mirrors[0].names.as_slice(), status.witnesses.len()), (&["m.example/w/mirror".to_owned()][..], 0));
    let note = world.running.appliance.witnessing.witnessed().unwrap().note.clone();
    let witnessed = Policy::parse(&policy_text).unwrap().verify_of(&world.anchor.verifier, &note).unwrap();
    assert!(witnessed.checkpoint().size >= size, "what the mirror has a copy of is final");
    assert!(audited(&world, &mirror).await >= size);

    // It dies: the intake goes on, nothing becomes final, and it is told who lags.
    mirror.kill().await;
    let (_, Admitted { index, .. }) = world.put_segment(&mut camera, 202).await;
    let status = world.until_status(|status| status.mirrors[0].state == WitnessState::Unreachable).await;
    assert!(status.final_size <= index, "final without the mirror");
    let shown = world.connect(&world.camera).await.get("/v1/witnesses").await;
    assert!(String::from_utf8(shown.body).unwrap().contains("\"mirrors\":[{\"names\":[\"m.example/w/mirror\"]"), "a laggard is not seen");

    // Both come back, the appliance first.
    let world = world.restart().await;
    world.put_segment(&mut camera, 202).await;
    mirror.go_on().await;
    let size = until_mirrored(&world).await;
    assert!(audited(&world, &mirror).await >= size);
    mirror.kill().await;
    mirror.go_on().await;
    let world = world.restart().await;
    world.put_segment(&mut camera, 202).await;
    let size = until_mirrored(&world).await;
    assert!(audited(&world, &mirror).await >= size);
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_policy_a_mirror_is_fed_and_holds_nothing_back() {
    let (world, mut camera) = World::with_camera().await;
    let folder = tempfile::tempdir().unwrap();
    let mirror = Mirror::start(folder.path(), "m", &world.anchor).await;
    let world = world.watched("", &format!("{TIMESTAMPS_HOURLY}{}", mirror.toml())).await;
    world.put_segment(&mut camera, 201).await;
    until_mirrored(&world).await;
    world.put_segment(&mut camera, 201).await;
    until_mirrored(&world).await;
    let checkpoint = world.connect(&world.camera).await.get("/log/checkpoint").await;
    assert!(String::from_utf8(checkpoint.body).unwrap().contains("\u{2014} m.example/w/mirror "), "the checkpoint has not its cosignature");
}

/// A witness and a mirror at one address, each with its own keys in the policy.
#[tokio::test(flavor = "multi_thread")]
async fn a_witness_may_be_a_mirror_too_and_each_counts_for_itself() {
    let (world, mut camera) = World::with_camera().await;
    let folder = tempfile::tempdir().unwrap();
    let mirror = Mirror::start(folder.path(), "m", &world.anchor).await;
    let lines = format!("witness w {} {}\n{}", mirror.witness_keys[0], mirror.url(), mirror.policy_line("m"));
    let world = world.watched(&format!("{lines}group both all w m\nquorum both\n"), &format!("{TIMESTAMPS_HOURLY}{}", mirror.toml())).await;
    for _ in 0..3 {
        let (_, Admitted { index, .. }) = world.put_segment(&mut camera, 202).await;
        world.until_status(|status| status.final_size > index).await;
    }
    assert!(audited(&world, &mirror).await > camera.seq);
}

/// More than any request holds, by number and by bytes, while the log grows on.
#[tokio::test(flavor = "multi_thread")]
async fn a_mirror_catches_up_from_nothing_in_bounded_pieces() {
    let (world, mut camera) = World::with_camera().await;
    fill(&world, "small", (0..9000_u32).map(|number| number.to_be_bytes().to_vec()));
    // Nothing that gzip makes smaller.
    let mut random = 0x2545_f491_4f6c_dd1d_u64;
    let mut noise = || {
        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        random.to_be_bytes()
    };
    fill(&world, "large", (0..400).map(|_| (0..7500).flat_map(|_| noise()).collect()));
    let folder = tempfile::tempdir().unwrap();
    let mirror = Mirror::start(folder.path(), "m", &world.anchor).await;
    let (largest, requests) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let (to, seen) = (mirror.url(), (largest.clone(), requests.clone()));
    let between = serve_http(Arc::new(move |path, body| {
        seen.0.fetch_max(body.len(), Ordering::Relaxed);
        seen.1.fetch_add(1, Ordering::Relaxed);
        Some(pass_on(&to, path, body))
    }));
    let policy = format!("{}quorum m\n", mirror.policy_line("m"));
    let world = world.watched(&policy, &format!("{TIMESTAMPS_HOURLY}{}", mirror_toml(&between, &mirror.keys))).await;
    for _ in 0..3 {
        world.put_segment(&mut camera, 202).await;
    }
    let size = until_mirrored(&world).await;
    world.until_status(|status| status.final_size >= size).await;
    assert!(audited(&world, &mirror).await >= size);
    let largest = largest.load(Ordering::Relaxed);
    assert!(largest > 4 << 20, "the test's entries are too small: {largest}");
    assert!(largest < (5 << 20) + PACKAGE_SIZE_BYTES_MAX, "a request of {largest} bytes");
    assert!(requests.load(Ordering::Relaxed) >= 5, "all came at once");
}

/// A proxy.
fn pass_on(to: &str, path: &str, body: &[u8]) -> (u16, &'static str, Vec<u8>) {
    use std::io::Write;
    let mut stream = std::net::TcpStream::connect(to.strip_prefix("http://").unwrap()).unwrap();
    let gzip = if path == "/add-entries" { "Content-Encoding: gzip\r\n" } else { "" };
    let head = format!(
        "POST {path} HTTP/1.1\r\nHost: m\r\nContent-Type: application/octet-stream\r\n{gzip}Content-Length: {}\r\nConnection: close\r\n\r\n",
        body.len()
    );
    stream.write_all(&[head.as_bytes(), body].concat()).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    let status = answer.split(' ').nth(1).unwrap().parse().unwrap();
    (status, "text/plain", answer.split_once("\r\n\r\n").unwrap().1.as_bytes().to_vec())
}

/// What was uploaded: the header, and how many entries there are before the end of the log.
fn read_upload(body: &[u8]) -> (UploadHeader, Vec<EntryPackage>) {
    let mut plain = Vec::new();
    flate2::read::GzDecoder::new(body).read_to_end(&mut plain).unwrap();
    let (header, mut rest) = UploadHeader::parse(&plain).unwrap().unwrap();
    let (mut packages, mut start) = (Vec::new(), header.start);
    while !rest.is_empty() {
        let end = EntryPackage::end(start, header.end);
        let (package, after) = EntryPackage::parse(rest, (end - start) as u16).unwrap().unwrap();
        packages.push(package);
        (start, rest) = (end, after);
    }
    (header, packages)
}

type Answer = Option<(u16, &'static str, Vec<u8>)>;

fn info(status: u16, size: u64, next: u64) -> Answer {
    Some((status, "text/x.tlog.mirror-info", MirrorInfo { size, next, ticket: vec![] }.to_text().into_bytes()))
}

fn cosign(signer: &dyn NoteSigner, head: &Checkpoint) -> Answer {
    Some((200, "text/plain", exhibit_tlog::witness::cosign(head, &[signer], 1_795_176_002).unwrap().into_bytes()))
}

/// What a mirror answers to an upload, given the checkpoint that was pending.
type Lie = Box<dyn Fn(&UploadHeader, &Checkpoint) -> Answer + Send + Sync>;

struct Liar {
    url: String,
    signer: Arc<dyn NoteSigner>,
    uploads: Arc<AtomicUsize>,
}

fn signer(seed: u8) -> Arc<dyn NoteSigner> {
    Arc::new(Ed25519Cosigner::new("liar.example/m", &Zeroizing::new([seed; 32])).unwrap())
}

/// A mirror that takes every checkpoint, with an empty answer as a mirror that is no witness may give.
fn liar(seed: u8, lie: Lie) -> Liar {
    let uploads = Arc::new(AtomicUsize::new(0));
    let (pending, counted) = (Mutex::new(None), uploads.clone());
    let url = serve_http(Arc::new(move |path, body| match path {
        "/add-checkpoint" => {
            let request = AddCheckpoint::parse(std::str::from_utf8(body).unwrap()).unwrap();
            *pending.lock().unwrap() = Some(Checkpoint::parse_unverified(&request.checkpoint).unwrap());
            Some((200, "text/plain", vec![]))
        }
        "/add-entries" => {
            counted.fetch_add(1, Ordering::Relaxed);
            let pending = pending.lock().unwrap().clone().unwrap();
            lie(&read_upload(body).0, &pending)
        }
        _ => Some((404, "text/plain", vec![])),
    }));
    Liar { url, signer: signer(seed), uploads }
}

#[tokio::test(flavor = "multi_thread")]
async fn mirrors_that_lie_are_found_out_and_harm_nobody() {
    use WitnessState::{Refuses, Unreachable};
    let plain = |status, body: &'static [u8]| -> Lie { Box::new(move |_, _| Some((status, "text/plain", body.to_vec()))) };
    let cases: Vec<(&str, Lie, WitnessState, &str)> = vec![
        ("always at the beginning", Box::new(|header, _| info(409, header.end, 0)), Refuses, "takes nothing"),
        ("takes what it had already", Box::new(|header, _| info(202, header.end, 0)), Refuses, "takes nothing"),
        (
            "takes a little each time",
            Box::new(|header, _| info(202, header.end, (header.start + 1) % header.end)),
            Refuses,
            "takes nothing",
        ),
        ("forward and back", Box::new(|header, _| info(202, header.end, header.end - header.start.min(9))), Refuses, "takes nothing"),
        ("knows of no checkpoint but an older one", Box::new(|_, _| info(409, 1, 1)), Refuses, "takes nothing"),
        ("more than there is", Box::new(|_, head| info(409, head.size + 1_000_000, 0)), Refuses, "does not prove it"),
        ("says nothing of where it is", plain(409, b""), Refuses, "without saying"),
        ("a ticket that is none", plain(409, b"1\n1\n!\n"), Refuses, "without saying"),
        ("no cosignature", plain(200, b""), Refuses, "not its cosignature"),
        ("another's cosignature", Box::new(|_, head| cosign(&*signer(99), head)), Refuses, "not its cosignature"),
        (
            "a cosignature of another tree",
            Box::new(|_, head| cosign(&*signer(10), &Checkpoint { root: Hash([7; 32]), ..head.clone() })),
            Refuses,
            "not its cosignature",
        ),
        ("an endless answer", Box::new(|_, _| Some((200, "text/plain", vec![b'x'; 1 << 20]))), Unreachable, ""),
        ("no answer", Box::new(|_, _| None), Unreachable, ""),
        ("unwilling", plain(404, b"no such log\n"), Refuses, "no such log"),
        ("overloaded", plain(503, b"later\n"), Unreachable, "later"),
    ];
    let (mut told, mut liars) = (Vec::new(), Vec::new());
    for (seed, (defect, lie, state, word)) in (0..).zip(cases) {
        liars.push(liar(seed, lie));
        told.push((defect, state, word));
    }
    let key = |liar: &Liar| liar.signer.verifier_key().clone();
    let lines: String = liars.iter().enumerate().map(|(number, liar)| format!("witness m{number} {}\n", key(liar))).collect();
    let names: Vec<String> = (0..liars.len()).map(|number| format!("m{number}")).collect();
    let policy = format!("{lines}group one any {}\nquorum one\n", names.join(" "));
    let more: String = liars.iter().map(|liar| mirror_toml(&liar.url, &[key(liar)])).collect();
    let (world, mut camera) = World::with_camera().await;
    let world = world.watched(&policy, &format!("{TIMESTAMPS_HOURLY}{}", more)).await;
    world.put_segment(&mut camera, 202).await;
    for (number, (defect, state, word)) in told.into_iter().enumerate() {
        let failed = world.until_status(|status| ![WitnessState::Unasked, WitnessState::Filling].contains(&status.mirrors[number].state));
        let standing = failed.await.mirrors.swap_remove(number);
        assert!(standing.state == state && standing.detail.contains(word), "{defect}: {standing:?}");
        let uploads = liars[number].uploads.load(Ordering::Relaxed);
        assert!(uploads <= 30, "{defect}: {uploads} uploads, without waiting in between");
    }
    // Whatever they say, the intake goes on, and nothing is final.
    world.put_segment(&mut camera, 202).await;
    assert_eq!(world.until_status(|_| true).await.final_size, 0, "a lie made a receipt final");
    assert!(world.fatal.lock().unwrap().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_ticket_comes_back_as_it_was_given() {
    let (world, mut camera) = World::with_camera().await;
    let seen = Arc::new(Mutex::new(Vec::new()));
    let told = seen.clone();
    let lie: Lie = Box::new(move |header, head| {
        told.lock().unwrap().push(header.ticket.clone());
        match header.ticket.as_slice() {
            b"\0ticket\xff" => cosign(&*signer(1), head),
            _ => Some((409, "x", MirrorInfo { size: header.end, next: 0, ticket: b"\0ticket\xff".to_vec() }.to_text().into_bytes())),
        }
    });
    let liar = liar(1, lie);
    let policy = format!("witness m {}\nquorum m\n", liar.signer.verifier_key());
    let world =
        world.watched(&policy, &format!("{TIMESTAMPS_HOURLY}{}", mirror_toml(&liar.url, &[liar.signer.verifier_key().clone()]))).await;
    let (_, Admitted { index, .. }) = world.put_segment(&mut camera, 202).await;
    world.until_status(|status| status.final_size > index).await;
    assert_eq!(seen.lock().unwrap()[..2], [Vec::new(), b"\0ticket\xff".to_vec()]);
}

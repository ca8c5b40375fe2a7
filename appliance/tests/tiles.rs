//! The log as C2SP tlog-tiles over HTTP: what is there, how long it may be kept, what is open.
#![allow(clippy::unwrap_used, missing_docs)]

mod common;

use std::io::Read;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use common::*;
use exhibit_tlog::tile::{BundleId, TileId, decode_bundle, decode_tile};
use exhibit_tlog::{Checkpoint, leaf_hash};

async fn public(world: &World) -> Connection {
    Connection::new(world.running.addresses.public.port(), &world.pki.root, None).await.unwrap()
}

async fn checkpoint(connection: &mut Connection, world: &World) -> Checkpoint {
    let answer = connection.get("/log/checkpoint").await;
    assert_eq!(answer.status, 200);
    world.anchor.verifier.verify(&String::from_utf8(answer.body).unwrap()).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn resources_have_the_headers_of_the_specification() {
    let world = World::new().await;
    let mut public = public(&world).await;
    let size = checkpoint(&mut public, &world).await.size;
    let cases = [
        ("/log/checkpoint".to_owned(), "text/plain; charset=utf-8", "no-cache"),
        (format!("/log/tile/0/000.p/{size}"), "application/octet-stream", "public, max-age=31536000, immutable"),
    ];
    for (path, content_type, cache) in cases {
        let got = public.get(&path).await;
        assert_eq!(got.status, 200, "{path}");
        assert_eq!((got.headers["content-type"].as_str(), got.headers["cache-control"].as_str()), (content_type, cache), "{path}");
        let head = public.head(&path).await;
        assert_eq!(head.status, 200);
        for header in ["content-type", "content-length", "cache-control", "etag"] {
            assert_eq!(head.headers.get(header), got.headers.get(header), "{header} of HEAD {path}");
        }
        let known = public.get_with(&path, &format!("If-None-Match: {}\r\n", got.headers["etag"])).await;
        assert_eq!((known.status, known.body.len()), (304, 0), "{path} was sent again");
        assert_eq!(public.get_with(&path, "If-None-Match: \"0\"\r\n").await.body, got.body);
    }
    let beyond = public.get(&format!("/log/tile/0/000.p/{}", size + 1)).await;
    assert_eq!((beyond.status, beyond.headers["cache-control"].as_str()), (404, "no-store"), "a cache would hide the tile that comes");
}

#[tokio::test(flavor = "multi_thread")]
async fn bundles_come_as_gzip_to_whom_asks() {
    let world = World::new().await;
    let mut auditor = world.connect(&world.auditor).await;
    let size = checkpoint(&mut auditor, &world).await.size;
    let path = format!("/log/tile/entries/000.p/{size}");
    let plain = auditor.get(&path).await;
    assert!(!plain.headers.contains_key("content-encoding"));
    assert_eq!(plain.headers["cache-control"], "private, max-age=31536000, immutable", "a shared cache would show it to others");
    let packed = auditor.get_with(&path, "Accept-Encoding: gzip, identity\r\n").await;
    assert_eq!((packed.headers["content-encoding"].as_str(), packed.headers["vary"].as_str()), ("gzip", "accept-encoding"));
    assert!(packed.body.len() < plain.body.len());
    let mut unpacked = Vec::new();
    flate2::read::GzDecoder::new(packed.body.as_slice()).read_to_end(&mut unpacked).unwrap();
    assert_eq!(unpacked, plain.body);
}

#[tokio::test(flavor = "multi_thread")]
async fn every_width_that_was_ever_published_is_served_and_none_beyond() {
    let mut world = World::new().await;
    let more = world.pki.party("user/b", &[exhibit_pki::Role::Auditor], exhibit_pki::KeyPurpose::Signing).certificate;
    // Beyond one full tile.
    while world.size() < 260 {
        world.introduce(&more).await;
    }
    let mut auditor = world.connect(&world.auditor).await;
    let size = checkpoint(&mut auditor, &world).await.size;
    let mut leaves = Vec::new();
    for (index, width) in (1..=256).map(|width| (0, width)).chain((1..=size - 256).map(|width| (1, width as u16))) {
        let (tile, bundle) = (TileId { level: 0, index, width }, BundleId { index, width });
        let hashes = decode_tile(&auditor.get(&format!("/log/tile/{}", tile.path())).await.body, width).unwrap();
        let bytes = auditor.get(&format!("/log/tile/entries/{}", bundle.path())).await.body;
        let entries: Vec<_> = decode_bundle(&bytes, width).unwrap().into_iter().map(leaf_hash).collect();
        assert_eq!(entries, hashes, "entries and hashes of {} differ", tile.path());
        leaves.truncate(usize::try_from(index * 256).unwrap());
        leaves.extend(hashes);
    }
    assert_eq!(exhibit_tlog::root_of(&leaves), checkpoint(&mut auditor, &world).await.root);
    let above = auditor.get("/log/tile/1/000.p/1").await.body;
    assert_eq!(decode_tile(&above, 1).unwrap(), [exhibit_tlog::root_of(&leaves[..256])]);
    let beyond = format!("0/001.p/{}", size - 255);
    for path in ["1/000.p/2", "1/000", "2/000.p/1", "0/002.p/1", "0/001", "0/000.p/256", "0/000.p/0", "0/0", "64/000", &beyond] {
        assert_eq!(auditor.get(&format!("/log/tile/{path}")).await.status, 404, "{path}");
    }
}

/// Entries and hashes of a checkpoint are there before anybody can see it.
#[tokio::test(flavor = "multi_thread")]
async fn a_published_checkpoint_never_promises_what_is_not_there() {
    let mut world = World::new().await;
    let done = Arc::new(AtomicBool::new(false));
    let (mut hashes, mut entries) = (public(&world).await, world.connect(&world.auditor).await);
    let anchor = world.anchor.clone();
    let reader = tokio::spawn({
        let done = done.clone();
        async move {
            let mut heads = 0;
            let mut last = 0;
            while !done.load(Ordering::Relaxed) || heads == 0 {
                let note = hashes.get("/log/checkpoint").await.body;
                let head = anchor.verifier.verify(&String::from_utf8(note).unwrap()).unwrap();
                heads += u64::from(head.size > last);
                last = head.size;
                let level_0 =
                    TileId::partial_at(0, head.size).unwrap_or_else(|| TileId { level: 0, index: head.size / 256 - 1, width: 256 });
                let tile = hashes.get(&format!("/log/tile/{}", level_0.path())).await;
                assert_eq!(tile.status, 200, "the checkpoint of {} entries was there before its tile", head.size);
                let bundle = BundleId { index: level_0.index, width: level_0.width };
                let bundle = entries.get(&format!("/log/tile/entries/{}", bundle.path())).await;
                assert_eq!(bundle.status, 200, "the checkpoint of {} entries was there before its entries", head.size);
                let leaves: Vec<_> = decode_bundle(&bundle.body, level_0.width).unwrap().into_iter().map(leaf_hash).collect();
                assert_eq!(decode_tile(&tile.body, level_0.width).unwrap(), leaves);
            }
            heads
        }
    });
    let more = world.pki.party("user/b", &[exhibit_pki::Role::Auditor], exhibit_pki::KeyPurpose::Signing).certificate;
    for _ in 0..100 {
        world.introduce(&more).await;
    }
    done.store(true, Ordering::Relaxed);
    let heads = reader.await.unwrap();
    assert!(heads > 5, "only {heads} checkpoints were seen while the log grew");
}

#[tokio::test(flavor = "multi_thread")]
async fn entries_are_open_where_the_operator_says_so_with_what_judges_them() {
    let world = World::new().await;
    let (_, recipients) = world.set_recipients().await;
    let epoch = world.begin_epoch("20261120T115958Z", recipients).await;
    let wraps = exhibit_evidence::AttachmentRef::of("wraps", &common::epoch(&epoch.stream, recipients).1, true);
    let size = world.size();
    let path = format!("/log/tile/entries/000.p/{size}");
    let certificate = format!("/v1/attachments/{}", hex::encode(world.camera.certificate.fingerprint()));
    let closed = &mut public(&world).await;
    for path in [path.as_str(), &certificate] {
        assert_eq!(closed.get(path).await.status, 404, "{path} is open without the operator's word");
    }
    let world = world.restart_with("public_entries = true\n").await;
    let open = &mut public(&world).await;
    let bundle = open.get(&path).await;
    assert_eq!((bundle.status, bundle.headers["cache-control"].as_str()), (200, "public, max-age=31536000, immutable"));
    assert_eq!(open.get(&certificate).await.body, world.camera.certificate.der());
    let wraps = open.get(&format!("/v1/attachments/{}", wraps.sha256)).await;
    assert_eq!(wraps.kind(), "forbidden", "the keys of an epoch were shown to everybody");
    for path in ["/v1/streams?prefix=", "/v1/index/0", "/v1/version"] {
        assert_eq!(open.get(path).await.status, 404, "{path}");
    }
}

/// Somebody else's client, by `tests/c2sp/client.py`: written from the C2SP pages alone.
#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_knows_only_the_specifications_audits_the_log() {
    if !common::python::is_there() {
        return;
    }
    let mut world = World::new().await;
    let more = world.pki.party("user/b", &[exhibit_pki::Role::Auditor], exhibit_pki::KeyPurpose::Signing).certificate;
    while world.size() < 300 {
        world.introduce(&more).await;
    }
    let file = |name: &str, content: String| {
        let path = world.folder.path().join(name);
        std::fs::write(&path, content).unwrap();
        path.to_str().unwrap().to_owned()
    };
    let root = file("root.pem", world.pki.root.to_pem());
    let chain = file("auditor.pem", format!("{}{}", world.auditor.certificate.to_pem(), world.pki.issuing.to_pem()));
    let key = file("auditor.key", world.auditor.signer.to_pkcs8_pem().to_string());
    let addresses = world.running.addresses;
    let keys: Vec<String> = world.anchor.verifier.keys.iter().flat_map(|key| ["--vkey".to_owned(), key.to_string()]).collect();
    let ask = async |words: &[&str], port: u16| {
        let words: Vec<String> = words.iter().map(|word| (*word).to_owned()).collect();
        let arguments = [&["--ca".to_owned(), root.clone()][..], &keys, &words, &[format!("https://localhost:{port}/log")]].concat();
        tokio::task::spawn_blocking(move || common::python::client(&arguments)).await.unwrap()
    };
    let whole = ask(&["--cert", &chain, "--key", &key, "--all-widths"], addresses.intake.port()).await.unwrap();
    assert_eq!(
        (whole["size"].as_u64(), whole["entries"].as_u64(), whole["widths"].as_u64()),
        (Some(world.size()), Some(world.size()), Some(255))
    );
    assert_eq!(whole["signatures"][0], 1, "the Ed25519 line was not verified");
    // Anyone, without a certificate: the hashes; entries are for others.
    let hashes = ask(&["--hashes-only"], addresses.public.port()).await.unwrap();
    assert_eq!((hashes["size"].as_u64(), hashes["entries"].as_u64()), (Some(world.size()), Some(0)));
    let refused = ask(&[], addresses.public.port()).await.unwrap_err();
    assert!(refused.contains("promised by a checkpoint and is not there"), "{refused}");
}

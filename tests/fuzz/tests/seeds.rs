//! Makes seeds of the fuzz corpus out of the vectors of the project and of what its own writers write.

#![allow(clippy::unwrap_used)]

use std::path::Path;

use base64ct::{Base64, Encoding};
use exhibit_evidence::bundle::{entry_path, receipt_path};
use exhibit_evidence::envelope::{KeyPackage, StreamKeys, seal};
use exhibit_evidence::exchange::terms::TERMS_TYPE;
use exhibit_evidence::exchange::{
    Admitted, EntryRecord, EntryRecords, Problem, SlotRange, StreamRecord, StreamRecords, Terms, intake_prefix,
};
use exhibit_evidence::keytree::{KeyTree, Node};
use exhibit_evidence::log_lines::{self, LogLine};
use exhibit_evidence::{Pin, StreamName};
use exhibit_fuzz::targets::evidence::{CONTENT, RECIPIENT, recipient};
use exhibit_fuzz::targets::signatures::recorded;
use exhibit_fuzz::targets::tlog::{Leaves, ORIGIN, SIGNED_UNIX_S, cosigned_subtree, head, leaves, log_signers, nodes_of, witness};
use exhibit_fuzz::targets::{bundle, keys, mirror, pki};
use exhibit_pki::{KeyPurpose, Role};
use exhibit_tlog::mirror::{EntryPackage, MirrorInfo, UploadHeader};
use exhibit_tlog::tile::{encode_bundle, encode_tile};
use exhibit_tlog::witness::cosign;
use exhibit_tlog::{
    AddCheckpoint, Hash, LogProof, LogVerifier, NoteSigner, Subtree, TileId, prove_consistency, prove_inclusion, prove_subtree,
};
use serde::Serialize;
use zeroize::Zeroizing;

#[path = "../write.rs"]
mod write;

fn seed(target: &str, name: &str, input: impl AsRef<[u8]>) {
    write::seed(env!("CARGO_MANIFEST_DIR"), target, name, input.as_ref());
}

fn vector(path: &str) -> Vec<u8> {
    std::fs::read(Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").join(path)).unwrap()
}

#[test]
#[ignore = "writes the seeds of the fuzz corpus (docs/testing.md)"]
fn write_the_fuzz_corpus() {
    notes();
    proofs();
    tiles();
    statements();
    exchanges();
    key_trees();
    edits();
    signatures();
    attestations();
    seed("mp4", "two-segments", media());
    requests();
    uploads();
}

fn signed(size: u64) -> String {
    let (ed25519, ml_dsa) = log_signers();
    head(size).sign(&[&ed25519, &ml_dsa], SIGNED_UNIX_S).unwrap()
}

fn notes() {
    let (ed25519, ml_dsa) = log_signers();
    let cosignature = cosign(&head(8), &[&witness()], SIGNED_UNIX_S).unwrap();
    for target in ["note", "checkpoint"] {
        seed(target, "signed", signed(8));
        seed(target, "cosigned", signed(8) + &cosignature);
        seed(target, "one-key", head(5).sign(&[&ed25519], SIGNED_UNIX_S).unwrap());
        seed(target, "empty-tree", head(0).sign(&[&ed25519, &ml_dsa], SIGNED_UNIX_S).unwrap());
    }
    seed("checkpoint", "text", head(8).to_text());
    seed("note-lines", "witness", &cosignature);
    let (subtree, root) = cosigned_subtree();
    seed("note-lines", "subtree", ml_dsa.sign_subtree(ORIGIN, subtree, &root).unwrap().to_string());
    seed("cosignatures", "witness", &cosignature);
    seed("cosignatures", "conflict", "20852163\n");
    for vectors in ["p256", "p384", "cosigned"] {
        seed("note", vectors, vector(&format!("ledger/tlog/tests/vectors/{vectors}.note")));
        seed("verifier-key", vectors, String::from_utf8(vector(&format!("ledger/tlog/tests/vectors/{vectors}.vkey"))).unwrap().trim());
    }
    for (name, key) in [("ed25519", ed25519.verifier_key()), ("ml-dsa-44", ml_dsa.verifier_key()), ("witness", witness().verifier_key())] {
        seed("verifier-key", name, key.to_string());
    }
    seed("policy", "vector", vector("ledger/tlog/tests/vectors/witnessed.policy"));
    let lines = format!("log {} https://log.example/\nwitness w1 {}\n", ed25519.verifier_key(), witness().verifier_key());
    seed("policy", "group", format!("# for tests\n{lines}group g any w1\nquorum g\n"));
    seed("policy", "no-quorum", format!("{lines}quorum none\n"));
}

fn proofs() {
    for index in [0, 4, 7] {
        let path = prove_inclusion(&Leaves, index, 8).unwrap();
        seed("log-proof", &format!("entry-{index}"), LogProof { index, path, checkpoint: signed(8) }.to_text());
    }
    for old_size in [0, 3, 5] {
        let proof = prove_consistency(&Leaves, old_size, 8).unwrap();
        seed("add-checkpoint", &format!("from-{old_size}"), AddCheckpoint { old_size, proof, checkpoint: signed(8) }.to_text());
    }
    for (start, end) in [(0, 3), (3, 8), (8, 8)] {
        let header = UploadHeader { origin: ORIGIN.into(), start, end, ticket: vec![start as u8; 2] }.to_bytes().unwrap();
        let proof = prove_subtree(&Leaves, Subtree::new(0, end).unwrap(), 8).unwrap();
        let entries = vec![&b"entry"[..]; (end - start) as usize];
        seed("add-entries", &format!("from-{start}"), [header, EntryPackage::encode(&entries, &proof).unwrap_or_default()].concat());
        seed(
            "mirror-info",
            &format!("to-{end}-from-{start}"),
            MirrorInfo { size: end, next: start, ticket: vec![7; start as usize] }.to_text(),
        );
    }
    let items = |size: u64, path: &[Hash]| -> Vec<u8> {
        let nodes = nodes_of(size);
        path.iter().map(|hash| u8::try_from(nodes.iter().position(|node| node == hash).unwrap()).unwrap()).collect()
    };
    for size in [1_u64, 2, 7, 13, 32, 64] {
        let last = size - 1;
        let begins = |kind: u8, a: u64, b: u64| vec![last as u8, kind, a as u8, b as u8];
        let inclusion = prove_inclusion(&Leaves, last, size).unwrap();
        seed("proofs", &format!("inclusion-{size}"), [begins(0, last, 0), items(size, &inclusion)].concat());
        let old = size.div_ceil(2);
        let consistency = prove_consistency(&Leaves, old, size).unwrap();
        seed("proofs", &format!("consistency-{size}"), [begins(1, old, 0), items(size, &consistency)].concat());
        let start = last / 4 * 4;
        let subtree = Subtree::new(start, size).unwrap();
        let proof = prove_subtree(&Leaves, subtree, size).unwrap();
        seed("proofs", &format!("subtree-{size}"), [begins(2, start, size), items(size, &proof)].concat());
    }
}

fn tiles() {
    for (name, tile) in [
        ("full", TileId { level: 0, index: 1_234_067, width: 256 }),
        ("partial", TileId { level: 7, index: 5, width: 17 }),
        ("far", TileId { level: 63, index: u64::MAX, width: 1 }),
    ] {
        seed("tile-path", name, tile.path());
        seed("tile-path", &format!("entries-{name}"), tile.path().split_once('/').unwrap().1);
    }
    let widths: [u16; 3] = [1, 5, 64];
    for width in widths {
        let tile = encode_tile(&leaves()[..usize::from(width)]);
        seed("tile", &width.to_string(), [&width.to_be_bytes()[..], &tile].concat());
        let entries: Vec<Vec<u8>> = (0..width).map(|index| vec![index as u8; usize::from(index)]).collect();
        let entries: Vec<&[u8]> = entries.iter().map(Vec::as_slice).collect();
        seed("entry-bundle", &width.to_string(), [&width.to_be_bytes()[..], &encode_bundle(&entries).unwrap()].concat());
    }
    let full: Vec<Hash> = leaves().iter().copied().cycle().take(256).collect();
    seed("tile", "256", [&256_u16.to_be_bytes()[..], &encode_tile(&full)].concat());
}

fn statements() {
    for (number, line) in String::from_utf8(vector("evidence/tests/vectors/statements.jsonl")).unwrap().lines().enumerate() {
        let kind = serde_json::from_str::<serde_json::Value>(line).unwrap()["type"].as_str().unwrap().replace("/v1", "");
        seed("statement", &format!("{number:02}-{kind}"), line);
    }
    let hex = String::from_utf8(vector("evidence/tests/vectors/signed-statement/entry.hex")).unwrap();
    let digits: Vec<u8> = hex.bytes().filter(u8::is_ascii_hexdigit).collect();
    let byte = |pair: &[u8]| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap();
    seed("signed-statement", "vector", digits.chunks(2).map(byte).collect::<Vec<_>>());
    let mut counter = 0_u8;
    let mut entropy = |bytes: &mut [u8]| {
        for byte in bytes {
            counter = counter.wrapping_mul(5).wrapping_add(77);
            *byte = counter;
        }
    };
    seed("envelope", "one", seal(CONTENT, &[recipient(RECIPIENT)], &mut entropy).unwrap());
    seed("envelope", "two", seal(CONTENT, &[recipient(RECIPIENT), recipient(RECIPIENT + 1)], &mut entropy).unwrap());
    let tree = KeyTree::from_root(Zeroizing::new([1; 32]));
    let stream = |name: &str| StreamName::parse(name).unwrap();
    let streams = vec![
        StreamKeys { stream: stream("camera/102/main/20261120T115958Z"), nodes: tree.cover(3600, 7199).unwrap() },
        StreamKeys { stream: stream("camera/102/events/e"), nodes: tree.nodes().to_vec() },
    ];
    seed("key-package", "two-streams", KeyPackage { log: Hash([7; 32]), streams }.to_bytes());
    for name in ["camera/102/main/20261120T115958Z", "user/7f3a/1", "a/b/c/d/e/f"] {
        seed("stream-name", &name.replace('/', "-"), name);
    }
    let line = |number: u8, text| LogLine { salt: [number; 32], text };
    let lines = [line(1, "started"), line(2, "a second line, with \u{2014} more than ASCII")];
    seed("log-lines", "two", log_lines::encode(&lines).unwrap());
    seed("intake-prefix", "two-attachments", intake_prefix(b"entry", &[b"first", b"second"]));
}

fn exchanges() {
    let (ed25519, ml_dsa) = log_signers();
    let verifier = LogVerifier { origin: ORIGIN.to_owned(), keys: vec![ed25519.verifier_key().clone(), ml_dsa.verifier_key().clone()] };
    let anchor = exhibit_evidence::Anchor { log: Hash([7; 32]), verifier, roots: vec![pki::CITY.root.clone()], policy: Default::default() };
    seed("anchor", "anchor", anchor.to_json());
    let custodians = vec![
        pki::issue("user/aa", Role::Custodian, KeyPurpose::Signing, 6),
        pki::issue("user/bb", Role::Custodian, KeyPurpose::Signing, 7),
    ];
    seed("anchor", "pin", Pin { anchor, custodians, threshold: 2 }.to_json());
    fn json(name: &str, value: &impl Serialize) {
        seed("exchange", name, serde_json::to_vec(value).unwrap());
    }
    let hash = "7".repeat(64);
    let text = |text: &str| text.to_owned();
    json("admitted", &Admitted { index: 7, leaf: hash.clone(), receipt: text("receipt"), consistency: vec![hash.clone()] });
    let entry = EntryRecord { index: 7, entry: text("AAAA"), receipt: text("receipt"), is_final: true };
    json("entries", &EntryRecords { entries: vec![entry], next: Some(text("7")) });
    let stream = StreamRecord {
        stream: text("camera/102/main/a"),
        next_seq: 8,
        leaf: hash.clone(),
        first_issued: text("2026-11-20T12:00:00.000Z"),
        last_issued: text("2026-11-20T12:00:10.000Z"),
    };
    json("streams", &StreamRecords { streams: vec![stream] });
    let terms = Terms {
        type_name: text(TERMS_TYPE),
        grantee: hash.clone(),
        grantee_subject: text("user/bb"),
        from: text("2026-11-20T12:00:00.000Z"),
        to: text("2026-11-20T13:00:00.000Z"),
        ranges: vec![SlotRange { stream: text("camera/102/main/a"), first: 0, last: 3599 }],
        expires: text("2026-12-20T12:00:00.000Z"),
        purpose: text("case 7"),
    };
    json("terms", &terms);
    let problem = Problem {
        kind: text("chain"),
        title: text("Out of order"),
        status: 409,
        detail: text("…"),
        expected_seq: Some(7),
        expected_prev: Some(hash),
    };
    json("problem", &problem);
}

fn key_trees() {
    let disclosed = |first: u32, last: u32, now: u32, nodes: &[Node]| {
        let mut input = [first, last, now].map(u32::to_be_bytes).concat();
        for node in nodes {
            input.push(node.depth);
            input.extend_from_slice(&node.index.to_be_bytes());
        }
        input
    };
    let whole = KeyTree::from_root(Zeroizing::new([1; 32]));
    seed("key-tree", "root", disclosed(1, (1 << 20) - 2, 7, whole.nodes()));
    seed("key-tree", "hour", disclosed(3600, 7199, 5000, &whole.cover(3600, 7199).unwrap()));
    let holed = [whole.cover(0, 99).unwrap(), whole.cover(101, 200).unwrap()].concat();
    seed("key-tree", "holed", disclosed(50, 150, 99, &holed));
    let payload = keys::payload();
    seed("fragments", "whole", [&[0, 7], &payload[..]].concat());
    seed("fragments", "first", [&[0, 255], &payload[..34]].concat());
    seed("fragments", "last", [&[2, 1], &payload[payload.len() - 17..]].concat());
}

/// What an appliance is asked for and sent, and what it answers.
fn requests() {
    let hash = "7".repeat(64);
    for (name, target) in [
        ("put", "PUT /v1/streams/camera/102/main/20261120T115958Z/7".to_owned()),
        ("put-of-the-log-before", format!("PUT /v1/streams/camera/102/main/20261120T115958Z/7?log={hash}")),
        ("streams", "GET /v1/streams?prefix=camera%2F&after=camera%2F102".to_owned()),
        ("stream", "GET /v1/streams/camera/102/main/a".to_owned()),
        ("entry", "GET /v1/streams/camera/102/main/a/0".to_owned()),
        ("entries", "GET /v1/streams/camera/102/main/a/entries?first=3&last=9&after=4".to_owned()),
        (
            "segments",
            "GET /v1/segments?series=camera/102/main&from=2026-11-20T12:00:00.000Z&to=2026-11-20T13:00:00.000Z&after=camera/102/main/a/7"
                .to_owned(),
        ),
        ("leaf", format!("GET /v1/entries/{hash}")),
        ("index", "GET /v1/index/18446744073709551615".to_owned()),
        ("certificate", format!("GET /v1/certificates/{hash}")),
        ("attachment", format!("GET /v1/attachments/{hash}")),
        ("recipients", "GET /v1/recipients/camera/102".to_owned()),
        ("grants", "GET /v1/grants?after=7".to_owned()),
        ("payload", format!("GET /v1/payloads/camera/102/main/a/7?fetch={hash}")),
        ("checkpoint", "HEAD /log/checkpoint".to_owned()),
        ("tile", "GET /log/tile/0/x001/234.p/17".to_owned()),
        ("bundle", "GET /log/tile/entries/000".to_owned()),
        ("successor", format!("GET /v1/successor?log={hash}&size=4211")),
        ("tpm", "GET /log/tpm".to_owned()),
        ("version", "GET /v1/version".to_owned()),
        ("events", "GET /v1/events?after=4211".to_owned()),
    ] {
        seed("route", name, target);
    }
    let slots = SlotRange { stream: "camera/102/main/a".to_owned(), first: 0, last: 3599 };
    let terms = Terms {
        type_name: TERMS_TYPE.to_owned(),
        grantee: hash,
        grantee_subject: "user/bb".to_owned(),
        from: "2026-11-20T12:00:00.000Z".to_owned(),
        to: "2026-11-20T13:00:00.000Z".to_owned(),
        ranges: vec![slots],
        expires: "2026-12-20T12:00:00.000Z".to_owned(),
        purpose: "case 7".to_owned(),
    };
    seed("grant-terms", "hour", serde_json::to_vec(&terms).unwrap());
    for index in [0, 5, 9] {
        let entry = Base64::encode_string(&bundle::WHOLE.0[&entry_path(index)]);
        let receipt = String::from_utf8(bundle::WHOLE.0[&receipt_path(index)].clone()).unwrap();
        let record = EntryRecord { index, entry, receipt, is_final: true };
        seed("entry-record", &index.to_string(), serde_json::to_vec(&record).unwrap());
    }
}

/// To a mirror that has nothing: whole, cut off, and with a proof that is none.
fn uploads() {
    let whole = mirror::upload(0);
    seed("mirror", "whole", &whole);
    seed("mirror", "cut-off", &whole[..whole.len() - 100]);
    let mut changed = whole.clone();
    *changed.last_mut().unwrap() ^= 1;
    seed("mirror", "another-proof-at-the-end", changed);
}

/// Of a bundle no byte is changed, then one in each of its files.
fn edits() {
    seed("bundle-edited", "none", b"");
    let files = u8::try_from(bundle::WHOLE.0.len()).unwrap();
    let one_each: Vec<u8> = (0..files).flat_map(|file| [file, 0, file, 0x80]).collect();
    for (number, edits) in one_each.chunks(64).enumerate() {
        seed("bundle-edited", &format!("flips-{number}"), edits);
    }
    seed("bundle-edited", "removed", [3, 0, 0, 0]);
    // Once taken for a change that goes unnoticed: a space between two words of a disclosure, which is no change of what it says.
    let disclosure =
        bundle::WHOLE.0.keys().filter(|path| *path != bundle::ANCHOR).position(|path| path.ends_with("/disclosure.json")).unwrap();
    seed("bundle-edited", "space-in-a-disclosure", [u8::try_from(disclosure).unwrap(), 0, 32, 2]);
    seed("bundle-edited", "exchanged", [3, 0, 9, 3]);
    seed("bundle-resigned", "none", b"");
    for (name, edit) in [
        ("entry-removed", [3, 0, 4, 0, 0, 0, 0, 0]),
        ("entry-repeated", [3, 0, 6, 1, 0, 0, 0, 0]),
        ("entries-exchanged", [3, 0, 6, 2, 0, 0, 0, 3]),
        ("manifest", [16, 0, 3, 7, 0, 0, 0, 1]),
        ("later", [90, 0, 8, 0, 0, 0, 9, 9]),
        ("number", [91, 0, 9, 0, 0, 0, 0, 5]),
        ("lent", [97, 0, 4, 7, 0, 0, 0, 6]),
    ] {
        seed("bundle-resigned", name, edit);
    }
}

fn signatures() {
    for (number, signature) in recorded().enumerate() {
        seed("signature", &number.to_string(), signature);
    }
}

/// Each attestation behind the number by which the target tells what was asked, with its signature, counted.
fn attestations() {
    let counted = |name: &str| {
        let bytes = vector(&format!("pki/tests/vectors/attestation/{name}.bin"));
        [&u16::try_from(bytes.len()).unwrap().to_be_bytes()[..], &bytes].concat()
    };
    for (which, name) in [(0, "certify"), (1, "quote"), (2, "time-1")] {
        let judged = [&[which], &counted(&format!("{name}-attest"))[..], &counted(&format!("{name}-signature"))].concat();
        seed("attestation-judgement", name, &judged);
        if which == 1 {
            seed("attestation-judgement", "quote-of-claims", [&judged[..], &[0, 4], &[7; 32], &[1, 0], &[7; 48]].concat());
        }
    }
}

/// Two segments as a camera agent makes them, but for the samples: `ftyp`, `moov`, `moof`, `mdat`.
fn media() -> Vec<u8> {
    fn part(kind: &[u8; 4], content: &[u8]) -> Vec<u8> {
        [&u32::try_from(content.len() + 8).unwrap().to_be_bytes()[..], kind, content].concat()
    }
    let mdhd = part(b"mdhd", &[&[0; 12][..], &1000_u32.to_be_bytes(), &[0; 8]].concat());
    let header = [part(b"ftyp", b"cmfc"), part(b"moov", &part(b"trak", &part(b"mdia", &mdhd)))].concat();
    let chunk = |decode_time: u64| {
        let tfdt = part(b"tfdt", &[&[1, 0, 0, 0][..], &decode_time.to_be_bytes()].concat());
        [part(b"moof", &[part(b"mfhd", &[0; 8]), part(b"traf", &tfdt)].concat()), part(b"mdat", b"samples")].concat()
    };
    // The first byte says where the second begins: in the middle, where the halves are alike.
    [vec![128], header.clone(), chunk(0), header, chunk(2000)].concat()
}

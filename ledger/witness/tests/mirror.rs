//! The mirror over HTTP: uploads in packages, what is served of them, and hostile uploads named by their defect.
#![allow(clippy::unwrap_used)]

mod common;

use std::io::Write;

use common::{Log, NAME, ORIGIN, Serving, Upload, init, state_in};
use exhibit_tlog::tile::{BundleId, TileId, decode_bundle, decode_tile};
use exhibit_tlog::{Note, VerifierKey};
use exhibit_witness::witness::origin_hash;

fn send(witness: &Serving, body: &[u8], more: &str) -> common::Answer {
    let head = format!(
        "POST /add-entries HTTP/1.1\r\nHost: w\r\nContent-Type: application/octet-stream\r\nContent-Length: {}\r\n{more}\r\n",
        body.len()
    );
    common::ask(witness.address, &[head.as_bytes(), body].concat()).unwrap()
}

fn mirror_keys(state: &std::path::Path) -> Vec<VerifierKey> {
    let keys = common::program().args(["keys", "--mirror", "--json", "--state"]).arg(state).output().unwrap();
    let keys: serde_json::Value = serde_json::from_slice(&keys.stdout).unwrap();
    keys["keys"].as_array().unwrap().iter().map(|key| VerifierKey::parse(key.as_str().unwrap()).unwrap()).collect()
}

/// Every tile and bundle of a tree of that size is served, is right, and nothing beyond it is.
fn serves_all(witness: &Serving, log: &Log, size: u64) {
    let at = |path: &str| witness.get_bytes(&format!("/mirror/{}/{path}", origin_hash(ORIGIN)));
    for index in 0..=size / 256 {
        let width = (size - index * 256).min(256) as u16;
        if width == 0 {
            continue;
        }
        let (status, bytes) = at(&format!("tile/entries/{}", BundleId { index, width }.path()));
        assert_eq!(status, 200, "bundle {index} of width {width}");
        for (entry, expected) in decode_bundle(&bytes, width).unwrap().into_iter().zip(index * 256..) {
            assert_eq!(entry, log.entry(expected), "entry {expected}");
        }
        let (status, bytes) = at(&format!("tile/{}", TileId { level: 0, index, width }.path()));
        assert_eq!(status, 200);
        assert_eq!(decode_tile(&bytes, width).unwrap(), log.leaf_hashes(index * 256, u64::from(width)));
    }
    let above = size / 256;
    if above > 0 {
        let width = above.min(256) as u16;
        let (status, bytes) = at(&format!("tile/{}", TileId { level: 1, index: 0, width }.path()));
        assert_eq!(status, 200);
        let roots: Vec<_> = (0..u64::from(width)).map(|index| exhibit_tlog::root_of(&log.leaf_hashes(index * 256, 256))).collect();
        assert_eq!(decode_tile(&bytes, width).unwrap(), roots);
    }
    let beyond = BundleId { index: size / 256, width: (size % 256) as u16 + 1 };
    assert_eq!(at(&format!("tile/entries/{}", beyond.path())).0, 404, "more than was cosigned is served");
}

#[test]
fn what_is_uploaded_is_proven_kept_cosigned_and_served() {
    let folder = tempfile::tempdir().unwrap();
    let state = state_in(&folder);
    let log = Log::new(ORIGIN, "a", 0, 1500);
    init(&state, &[&log]);
    let keys = mirror_keys(&state);
    assert_eq!(keys[0].name(), format!("{NAME}/mirror"));
    let path = format!("/mirror/{}/checkpoint", origin_hash(ORIGIN));
    let sizes = [3, 256, 300, 1300, 1301];
    for (number, size) in sizes.into_iter().enumerate() {
        // Started anew each time: what was kept is found again.
        let witness = Serving::start_with(&state, &["--mirror"]);
        let before = if number == 0 { 0 } else { sizes[number - 1] };
        assert_eq!(witness.add(&log.request(before, size)).status, 200);
        assert_ne!(witness.get(&path).body.lines().nth(1), Some(size.to_string().as_str()), "cosigned before there is a copy");
        let body = Upload::new(&log, before, size).bytes();
        let answer = match number % 2 {
            0 => send(&witness, &body, ""),
            _ => {
                let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
                encoder.write_all(&body).unwrap();
                send(&witness, &encoder.finish().unwrap(), "Content-Encoding: gzip\r\n")
            }
        };
        assert_eq!(answer.status, 200, "to {size}: {}", answer.body);
        let note = Note::parse(&witness.get(&path).body).unwrap();
        note.verify(&keys).unwrap();
        note.verify(&log.keys()).unwrap();
        assert_eq!(note.text(), log.head(size).to_text());
        serves_all(&witness, &log, size);
        // Once more, of nothing: the same checkpoint is cosigned again.
        assert_eq!(send(&witness, &Upload::new(&log, size, size).bytes(), "").status, 200);
    }
}

#[test]
fn an_upload_goes_on_where_it_broke_off() {
    let folder = tempfile::tempdir().unwrap();
    let state = state_in(&folder);
    let log = Log::new(ORIGIN, "a", 0, 1500);
    init(&state, &[&log]);
    let witness = Serving::start_with(&state, &["--mirror"]);
    assert_eq!(witness.add(&log.request(0, 1000)).status, 200);
    let mut part = Upload::new(&log, 0, 1000);
    part.packages.truncate(2);
    let mut bytes = part.bytes();
    bytes.extend_from_slice(&[0, 7, b'c', b'u', b't']);
    let answer = send(&witness, &bytes, "");
    assert_eq!((answer.status, answer.body.as_str()), (202, "1000\n512\n\n"));
    assert_eq!(answer.headers["content-type"], "text/x.tlog.mirror-info");
    assert_eq!(witness.get(&format!("/mirror/{}/checkpoint", origin_hash(ORIGIN))).status, 404, "half a copy was cosigned");
    // The log has grown meanwhile; the upload to the older checkpoint goes on, and what is there already is passed over.
    assert_eq!(witness.add(&log.request(1000, 1200)).status, 200);
    assert_eq!(send(&witness, &Upload::new(&log, 256, 1000).bytes(), "").status, 200);
    serves_all(&witness, &log, 1000);
    assert_eq!(send(&witness, &Upload::new(&log, 1000, 1200).bytes(), "").status, 200);
    serves_all(&witness, &log, 1200);
    let rewound = send(&witness, &Upload::new(&log, 1000, 1000).bytes(), "");
    assert_eq!((rewound.status, rewound.body.as_str()), (409, "1200\n1200\n\n"), "the mirror went back");
}

#[test]
fn hostile_uploads_leave_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let state = state_in(&folder);
    let log = Log::new(ORIGIN, "a", 0, 1500);
    let fork = Log::new(ORIGIN, "b", 100, 1500);
    init(&state, &[&log]);
    let witness = Serving::start_with(&state, &["--mirror"]);
    assert_eq!(send(&witness, &Upload::new(&log, 0, 600).bytes(), "").status, 422, "nothing is pending");
    assert_eq!(witness.add(&log.request(0, 600)).status, 200);
    let good = || Upload::new(&log, 0, 600);
    let changed = |change: &dyn Fn(&mut Upload)| {
        let mut upload = good();
        change(&mut upload);
        upload.bytes()
    };
    let cases: Vec<(&str, Vec<u8>, u16)> = vec![
        ("entries of another branch", Upload::new(&fork, 0, 600).bytes(), 422),
        ("one changed byte", changed(&|upload| upload.packages[0][4] ^= 1), 422),
        ("two entries exchanged", changed(&|upload| upload.packages[0].swap(8, 17)), 422),
        ("packages exchanged", changed(&|upload| upload.packages.swap(0, 1)), 422),
        (
            "proof of another package",
            changed(&|upload| {
                let length = 32 * log.subtree_proof(0, 256, 600).len();
                let [first, second] = [0, 1].map(|number| upload.packages[number].len() - length);
                let proof = upload.packages[1][second..].to_vec();
                upload.packages[0][first..].copy_from_slice(&proof);
            }),
            422,
        ),
        (
            "64 hashes",
            changed(&|upload| {
                let end = upload.packages[0].len() - 32 * log.subtree_proof(0, 256, 600).len() - 1;
                upload.packages[0].truncate(end);
                upload.packages[0].push(64);
                upload.packages[0].extend([1; 64 * 32]);
            }),
            400,
        ),
        ("first package cut off", changed(&|upload| upload.packages[0].truncate(100)), 400),
        ("no package", changed(&|upload| upload.packages.clear()), 400),
        ("header cut off", good().bytes()[..10].to_vec(), 400),
        ("unknown log", changed(&|upload| upload.origin = "exhibit.example/other".to_owned()), 404),
        ("begins beyond what is there", Upload::new(&log, 1, 600).bytes(), 409),
        ("ends at no checkpoint", Upload::new(&log, 0, 599).bytes(), 409),
        ("ends before it begins", changed(&|upload| upload.start = 601), 409),
        ("far beyond", changed(&|upload| (upload.start, upload.end) = (u64::MAX, u64::MAX)), 409),
    ];
    for (defect, body, status) in cases {
        let answer = send(&witness, &body, "");
        assert_eq!(answer.status, status, "{defect}: {}", answer.body);
        assert!(!answer.body.contains('\u{2014}'), "{defect}: a refusal has a signature line");
    }
    assert_eq!(send(&witness, b"\x1f\x8b garbage", "Content-Encoding: gzip\r\n").status, 400, "no gzip");
    assert_eq!(send(&witness, &good().bytes(), "Content-Encoding: br\r\n").status, 415, "an unknown coding");
    assert_eq!(witness.get(&format!("/mirror/{}/checkpoint", origin_hash(ORIGIN))).status, 404, "a refusal left a checkpoint");
    assert_eq!(send(&witness, &good().bytes(), "").status, 200, "a refusal stands in the way");
    serves_all(&witness, &log, 600);
}

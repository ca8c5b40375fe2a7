//! Whoever hands over a bundle writes its manifest: the longest one there can be, of things that are not there, takes memory in proportion.

#![allow(clippy::unwrap_used)]

use std::fmt::Write;

use exhibit_evidence::bundle::{LISTED_MAX, MANIFEST, MANIFEST_BYTES_MAX, Manifest, RECORDS_MAX};
use exhibit_evidence::verify::verify;
use exhibit_fuzz::allocation::peak_bytes_of;
use exhibit_fuzz::targets::bundle::{ANCHOR, Files, WHOLE, WHOLE_ANCHOR};
use exhibit_pki::RustCrypto;

/// Of the manifest, how often its length is taken: it, what it says, and what is looked up in that.
const TIMES: usize = 12;
/// What the rest of the bundle takes, and a thousand findings of each kind.
const BESIDE_BYTES_MAX: usize = 16 << 20;

/// The bundle of the corpus, with another manifest.
fn with(manifest: &Manifest) -> Files {
    let mut files = WHOLE.clone();
    files.0.remove(ANCHOR);
    files.0.insert(MANIFEST.to_owned(), serde_json::to_vec(manifest).unwrap());
    files
}

fn judged(what: &str, files: &Files) {
    let manifest_bytes = files.0[MANIFEST].len();
    assert!(manifest_bytes as u64 <= MANIFEST_BYTES_MAX, "{what}: {manifest_bytes} bytes are refused before they are read");
    let (verdict, peak_bytes) =
        peak_bytes_of(|| verify(files, &WHOLE_ANCHOR, &RustCrypto).map(|verdict| (verdict.to_json().len(), verdict)));
    let (json_bytes, verdict) = verdict.unwrap_or_else(|error| panic!("{what}: {error}"));
    assert!(verdict.findings.len() > 1_000, "{what}: it was not looked at");
    assert!(json_bytes < 4 << 20, "{what}: a verdict of {json_bytes} bytes");
    let limit_bytes = manifest_bytes * TIMES + BESIDE_BYTES_MAX;
    assert!(peak_bytes < limit_bytes, "{what}: {manifest_bytes} bytes took {peak_bytes} of memory, not {limit_bytes}");
}

#[test]
fn a_manifest_of_a_million_things_that_are_not_there_takes_little_memory() {
    let whole = Manifest::parse(&WHOLE.0[MANIFEST]).unwrap();
    let mut entries = whole.clone();
    entries.entries.extend((1_000..).take(LISTED_MAX - whole.entries.len()));
    judged("entries", &with(&entries));

    let mut segments = whole.clone();
    let (stream, room) = ("user/a/z".to_owned(), MANIFEST_BYTES_MAX as usize - 8_192);
    let mut named = whole.segments[0].clone();
    let mut used = 0;
    for seq in 0..LISTED_MAX as u64 {
        (named.stream, named.seq) = (stream.clone(), seq);
        used += serde_json::to_string(&named).unwrap().len() + 1;
        if used > room || segments.segments.len() == LISTED_MAX {
            break;
        }
        segments.segments.push(named.clone());
    }
    judged("segments", &with(&segments));

    let mut files = whole.clone();
    let mut record = whole.files[0].clone();
    for number in 0..RECORDS_MAX - whole.files.len() {
        record.path.clear();
        write!(record.path, "working/{number:0200}").unwrap();
        files.files.push(record.clone());
    }
    judged("files", &with(&files));
}

/// What no manifest has is refused while it is read, and not after.
#[test]
fn a_manifest_of_something_else_takes_little_memory() {
    let room = MANIFEST_BYTES_MAX as usize - 64;
    for item in ["[],", "{},", "0,", "{\"a\":0},", "\"\",", "["] {
        for member in ["entries", "segments", "files", "type", "unknown"] {
            let mut json = format!("{{\"{member}\":[").into_bytes();
            json.extend(item.bytes().cycle().take(room));
            let (parsed, peak_bytes) = peak_bytes_of(|| Manifest::parse(&json).is_ok());
            assert!(!parsed);
            assert!(peak_bytes < json.len() * TIMES, "{member} of {item} took {peak_bytes} bytes of memory");
        }
    }
}

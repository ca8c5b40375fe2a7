//! The least that a player would take for CMAF: fragments for the synthetic camera, and the playable copy that they make.

use exhibit_evidence::bundle::{Disclosure, fragment_path};
use exhibit_evidence::working_copy::WorkingCopies;
use exhibit_pki::Timestamp;

use crate::synthetic::Files;

/// Units of the decode time in a second.
const TIMESCALE: u32 = 1_000;
/// Where the encoder's clock stood at the first segment.
const ENCODER_STARTED: u64 = 500_000;

pub fn mp4_box(kind: &[u8; 4], content: &[u8]) -> Vec<u8> {
    [&u32::try_from(content.len() + 8).unwrap().to_be_bytes()[..], kind, content].concat()
}

/// `ftyp` and `moov`, the same in every segment.
fn header() -> Vec<u8> {
    let mdhd = mp4_box(b"mdhd", &[&[0; 12][..], &TIMESCALE.to_be_bytes(), &[0; 8]].concat());
    let moov = mp4_box(b"moov", &mp4_box(b"trak", &mp4_box(b"mdia", &mdhd)));
    [mp4_box(b"ftyp", b"cmfc"), moov].concat()
}

/// A chunk of samples that begins so long after the recording did.
fn chunk(after_ms: u64, samples: &str) -> Vec<u8> {
    let tfdt = mp4_box(b"tfdt", &[&[1, 0, 0, 0][..], &(ENCODER_STARTED + after_ms).to_be_bytes()].concat());
    let mfhd = mp4_box(b"mfhd", &[0, 0, 0, 0, 0, 0, 0, 99]);
    [mp4_box(b"moof", &[mfhd, mp4_box(b"traf", &tfdt)].concat()), mp4_box(b"mdat", samples.as_bytes())].concat()
}

/// The two fragments of a segment of two seconds.
pub fn fragments(number: u64) -> [Vec<u8>; 2] {
    let starts_ms = (number - 1) * 2_000;
    let first = chunk(starts_ms, &format!("segment {number}, first fragment"));
    [[header(), first].concat(), chunk(starts_ms + 1_000, &format!("segment {number}, the second one"))]
}

/// The copy that disclosed segments make, each with its start by the camera's clock.
pub fn working_copy(disclosures: &[(Timestamp, Disclosure)], files: &Files) -> Vec<u8> {
    let (mut copies, mut copy) = (WorkingCopies::default(), Vec::new());
    for (start, disclosure) in disclosures {
        for fragment in &disclosure.fragments {
            let plaintext = &files.0[&fragment_path(&disclosure.stream, disclosure.seq, fragment.index)];
            let piece = match fragment.index {
                0 => copies.first_fragment(&disclosure.stream, *start, plaintext),
                _ => copies.next_fragment(plaintext),
            };
            copy.extend(piece.unwrap().bytes);
        }
    }
    copy
}

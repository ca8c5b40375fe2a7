//! Segments out of fragments, and the chain of signed statements of one epoch.
//!
//! It has no clock, no randomness and no disk; a statement that it makes counts only after the spool has synced it.

use exhibit_client::ClientIdentity;
use exhibit_evidence::{
    Body, Head, SignedStatement, Statement, StreamName,
    body::{SEGMENT_DURATION_MAX_MS, Segment, StreamPosition},
    keytree::SlotKey,
    segment::{FRAGMENTS_MAX, SegmentSealer, TAG_BYTES},
    sign,
};
use exhibit_pki::{SignerError, Timestamp};
use exhibit_tlog::Hash;
use zeroize::Zeroizing;

use crate::Fragment;

/// A segment is cut before it is longer than this.
pub const SEGMENT_BYTES_MAX: usize = 8 << 20;
/// A segment is cut before it plays longer than this.
pub const SEGMENT_MS_MAX: u64 = 10_000;

/// The chain of one stream: where the next statement goes.
pub struct Chain {
    log: Hash,
    stream: StreamName,
    next_seq: u64,
    prev: Hash,
    observed_size: u64,
    identity: ClientIdentity,
}

impl Chain {
    /// The log that it is stated to.
    pub fn log(&self) -> &Hash {
        &self.log
    }

    /// A new stream.
    pub fn begin(log: Hash, stream: StreamName, identity: ClientIdentity) -> Self {
        Self { log, stream, next_seq: 0, prev: Hash::default(), observed_size: 0, identity }
    }

    /// Its name.
    pub fn stream(&self) -> &StreamName {
        &self.stream
    }

    /// The position of the next statement.
    pub fn next_seq(&self) -> u64 {
        self.next_seq
    }

    /// Signs the next statement. It takes its place by `took` only: until it is synced it must not leave, and nothing may be chained to it.
    ///
    /// `observed` must have been synced before, and must not fall within the stream.
    pub fn state(&self, body: Body, issued: Timestamp, observed: Head) -> Result<SignedStatement, SignerError> {
        assert!(observed.size >= self.observed_size, "the state file never lets the observed head fall");
        let statement =
            Statement { log: self.log, stream: self.stream.clone(), seq: self.next_seq, prev: self.prev, issued, observed, body };
        sign(&statement, &self.identity.certificate, self.identity.signer.as_ref())
    }

    /// The statement is synced in the spool: the next one comes after it.
    pub fn took(&mut self, signed: &SignedStatement) {
        let statement = signed.statement();
        assert!(statement.seq == self.next_seq && statement.stream == self.stream, "only the next statement of this chain takes its place");
        self.next_seq += 1;
        self.prev = signed.leaf_hash();
        self.observed_size = statement.observed.size;
    }

    /// The last statement that took its place.
    pub fn position(&self) -> Option<StreamPosition> {
        let seq = self.next_seq.checked_sub(1)?;
        Some(StreamPosition { stream: self.stream.clone(), seq, leaf: self.prev })
    }
}

/// When and where a segment begins.
#[derive(Clone, Copy, Debug)]
pub struct SegmentStart {
    /// Second of the epoch.
    pub slot: u32,
    /// Fresh.
    pub salt: [u8; 16],
    /// The camera's clock at its first frame.
    pub start: Timestamp,
}

/// A segment that takes fragments. The newest waits unsealed, because whether it is the last is part of what is sealed.
pub struct OpenSegment {
    sealer: SegmentSealer,
    start: SegmentStart,
    random_access: bool,
    first_ms: u64,
    end_ms: u64,
    waiting: Zeroizing<Vec<u8>>,
    fragments: usize,
    ciphertext: Vec<u8>,
}

impl OpenSegment {
    /// Begins with its first fragment; the segment will be `seq` of `stream`.
    pub fn begin(stream: &StreamName, seq: u64, key: SlotKey, start: SegmentStart, first: Fragment) -> Self {
        Self {
            sealer: SegmentSealer::new(stream, seq, key, start.salt),
            start,
            random_access: first.random_access,
            first_ms: first.start_ms,
            end_ms: first.start_ms.saturating_add(first.duration_ms),
            waiting: Zeroizing::new(first.bytes),
            fragments: 1,
            ciphertext: Vec::new(),
        }
    }

    /// True if the fragment still fits: bytes, time, number.
    pub fn has_room_for(&self, fragment: &Fragment) -> bool {
        let bytes = self.ciphertext.len() + self.waiting.len() + fragment.bytes.len() + 2 * TAG_BYTES;
        let end_ms = fragment.start_ms.saturating_add(fragment.duration_ms);
        bytes <= SEGMENT_BYTES_MAX && end_ms.saturating_sub(self.first_ms) <= SEGMENT_MS_MAX && self.fragments < FRAGMENTS_MAX
    }

    /// Takes the next fragment.
    pub fn push(&mut self, fragment: Fragment) {
        let before = std::mem::replace(&mut self.waiting, Zeroizing::new(fragment.bytes));
        self.ciphertext.extend_from_slice(&self.sealer.seal(&before, false));
        self.end_ms = self.end_ms.max(fragment.start_ms.saturating_add(fragment.duration_ms));
        self.fragments += 1;
    }

    /// How long it plays so far.
    pub fn duration_ms(&self) -> u64 {
        self.end_ms.saturating_sub(self.first_ms).min(SEGMENT_DURATION_MAX_MS)
    }

    /// Where it begins.
    pub fn start(&self) -> &SegmentStart {
        &self.start
    }

    /// Seals the last fragment: what the statement says, and the ciphertext end to end.
    pub fn finish(mut self, media_type: &str) -> (Segment, Vec<u8>) {
        let last = self.sealer.seal(&self.waiting, true);
        self.ciphertext.extend_from_slice(&last);
        let duration_ms = self.duration_ms();
        let sealed = self.sealer.finish();
        let segment = Segment {
            slot: self.start.slot,
            salt: self.start.salt,
            start: self.start.start,
            duration_ms,
            media_type: media_type.to_owned(),
            random_access: self.random_access,
            fragment_lengths: sealed.fragment_lengths,
            ciphertext_root: sealed.ciphertext_root,
            commitment_root: sealed.commitment_root,
            attachments: Vec::new(),
        };
        (segment, self.ciphertext)
    }
}

/// The initialisation at the head of a segment's first fragment (`ftyp` and `moov`): what a segment that was cut needs to play alone.
pub fn initialisation(fragment: &[u8]) -> &[u8] {
    let mut end = 0;
    while let Some((length, kind)) = box_at(&fragment[end..]) {
        if !matches!(&kind, b"ftyp" | b"moov" | b"free") {
            break;
        }
        end += length;
    }
    &fragment[..end]
}

/// Length and kind of the box at the start; `None` if there is no whole one. Boxes of 64-bit length do not occur before a `moof`.
fn box_at(bytes: &[u8]) -> Option<(usize, [u8; 4])> {
    let (length, rest) = bytes.split_first_chunk::<4>()?;
    let kind = rest.first_chunk::<4>()?;
    let length = usize::try_from(u32::from_be_bytes(*length)).ok()?;
    (length >= 8 && length <= bytes.len()).then_some((length, *kind))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use exhibit_evidence::{keytree::KeyTree, segment::SegmentOpener};
    use zeroize::Zeroizing;

    use super::*;
    use crate::support;

    fn fragment(bytes: Vec<u8>, start_ms: u64) -> Fragment {
        Fragment { bytes, begins_segment: start_ms == 0, random_access: start_ms == 0, start_ms, duration_ms: 500 }
    }

    fn stream() -> StreamName {
        StreamName::parse("camera/102/main/20261120T115958Z").unwrap()
    }

    fn key() -> SlotKey {
        KeyTree::from_root(Zeroizing::new([3; 32])).slot_key(5).unwrap()
    }

    fn begin(first: Fragment) -> OpenSegment {
        let start = SegmentStart { slot: 5, salt: [8; 16], start: support::time("2026-11-20T12:00:00.120Z") };
        OpenSegment::begin(&stream(), 7, key(), start, first)
    }

    #[test]
    fn a_segment_opens_to_its_fragments_and_nothing_lies_between_them() {
        let mut segment = begin(fragment(b"one".to_vec(), 0));
        segment.push(fragment(b"two".to_vec(), 500));
        segment.push(fragment(b"three".to_vec(), 1000));
        let (body, ciphertext) = segment.finish("video/mp4");
        assert_eq!((body.duration_ms, body.slot, body.random_access), (1500, 5, true));
        let opener = SegmentOpener::new(&stream(), 7, &body, key());
        let mut rest = ciphertext.as_slice();
        for (index, plaintext) in [(0, &b"one"[..]), (1, b"two"), (2, b"three")] {
            let (sealed, after) = rest.split_at(body.fragment_lengths[index as usize] as usize);
            assert_eq!(opener.open(index, sealed).unwrap().plaintext, plaintext);
            rest = after;
        }
        assert!(rest.is_empty());
    }

    #[test]
    fn a_segment_is_cut_by_bytes_by_time_and_by_number() {
        let mut segment = begin(fragment(vec![0; 1000], 0));
        assert!(segment.has_room_for(&fragment(vec![0; SEGMENT_BYTES_MAX - 1000 - 2 * TAG_BYTES], 500)));
        assert!(!segment.has_room_for(&fragment(vec![0; SEGMENT_BYTES_MAX - 999 - 2 * TAG_BYTES], 500)), "more than 8 MiB");
        assert!(segment.has_room_for(&fragment(vec![0], SEGMENT_MS_MAX - 500)));
        assert!(!segment.has_room_for(&fragment(vec![0], SEGMENT_MS_MAX - 499)), "more than 10 s");
        for _ in 1..FRAGMENTS_MAX {
            assert!(segment.has_room_for(&fragment(vec![0], 500)));
            segment.push(fragment(vec![0], 500));
        }
        assert!(!segment.has_room_for(&fragment(vec![0], 500)), "more than 256 fragments");
        assert_eq!(segment.finish("video/mp4").0.fragment_lengths.len(), FRAGMENTS_MAX);
    }

    #[test]
    fn a_statement_takes_its_place_only_when_it_is_said_to_be_synced() {
        let pki = support::Pki::new(10);
        let mut chain = Chain::begin(Hash([1; 32]), stream(), pki.identity(&pki.camera()));
        let observed = Head { size: 0, root: exhibit_tlog::EMPTY_ROOT };
        let close =
            || Body::Close(exhibit_evidence::body::Close { reason: exhibit_evidence::body::CloseReason::Stop, attachments: vec![] });
        let lost = chain.state(close(), support::time("2026-11-20T12:00:00.000Z"), observed).unwrap();
        assert_eq!((lost.statement().seq, chain.next_seq(), chain.position()), (0, 0, None));
        let first = chain.state(close(), support::time("2026-11-20T12:00:01.000Z"), observed).unwrap();
        chain.took(&first);
        let second = chain.state(close(), support::time("2026-11-20T12:00:02.000Z"), observed).unwrap();
        assert_eq!((second.statement().seq, second.statement().prev), (1, first.leaf_hash()));
    }

    #[test]
    fn the_initialisation_is_what_stands_before_the_first_moof() {
        let made = |kind: &[u8; 4], body: &[u8]| [&(body.len() as u32 + 8).to_be_bytes()[..], kind, body].concat();
        let head = [made(b"ftyp", b"cmf2"), made(b"moov", b"tracks")].concat();
        let whole = [head.clone(), made(b"moof", b"x"), made(b"mdat", b"moov")].concat();
        assert_eq!(initialisation(&whole), head);
        for hostile in [&b""[..], b"\0\0\0\0ftyp", b"\0\0\0\x07ftyp", b"\xff\xff\xff\xffmoov", b"\0\0"] {
            assert_eq!(initialisation(hostile), b"");
        }
    }
}

//! Makes fragments of segments out of CMAF chunks: where a segment begins, and where one that is too long is cut.
//!
//! It knows no GStreamer, no clock and no keys.

use exhibit_camera_core::Fragment;

/// A segment is at most this long, however rare the camera's key frames are.
pub const SEGMENT_MS_MAX: u64 = 10_000;
/// And at most this large.
pub const SEGMENT_BYTES_MAX: usize = 8 << 20;

/// A CMAF chunk as the muxer made it.
#[derive(Clone, PartialEq, Eq)]
pub struct Chunk {
    /// `moof` and `mdat`.
    pub bytes: Vec<u8>,
    /// It begins with a key frame at which the muxer began a CMAF fragment.
    pub key_frame: bool,
    /// Running time of its first frame.
    pub start_ms: u64,
    /// How long it plays.
    pub duration_ms: u64,
}

/// Why a chunk can not be part of a segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SegmenterError {
    /// There was no `ftyp` and `moov`.
    #[error("the muxer sent pictures before their header")]
    NoHeader,
    /// It would not fit into a segment alone.
    #[error("half a second of video has {0} bytes, more than a segment may have: lower the camera's bit rate")]
    TooLarge(usize),
}

/// Where we are in the current segment.
#[derive(Debug, Default)]
pub struct Segmenter {
    /// `ftyp` and `moov`: they stand before the first fragment of every segment, so that each plays alone.
    header: Vec<u8>,
    /// Of the current segment, if one has begun.
    current: Option<Current>,
}

#[derive(Debug)]
struct Current {
    start_ms: u64,
    bytes: usize,
}

impl Segmenter {
    /// A new header (`ftyp` and `moov`): what follows belongs to a new segment.
    pub fn header(&mut self, bytes: Vec<u8>) {
        self.header = bytes;
        self.current = None;
    }

    /// The next chunk as a fragment.
    pub fn chunk(&mut self, chunk: Chunk) -> Result<Fragment, SegmenterError> {
        if self.header.is_empty() {
            return Err(SegmenterError::NoHeader);
        }
        if self.header.len() + chunk.bytes.len() > SEGMENT_BYTES_MAX {
            return Err(SegmenterError::TooLarge(chunk.bytes.len()));
        }
        let end_ms = chunk.start_ms + chunk.duration_ms;
        let fits = |current: &Current| {
            end_ms.saturating_sub(current.start_ms) <= SEGMENT_MS_MAX && current.bytes + chunk.bytes.len() <= SEGMENT_BYTES_MAX
        };
        let begins_segment = chunk.key_frame || !self.current.as_ref().is_some_and(fits);
        let bytes = if begins_segment { [self.header.as_slice(), &chunk.bytes].concat() } else { chunk.bytes };
        match &mut self.current {
            Some(current) if !begins_segment => current.bytes += bytes.len(),
            current => *current = Some(Current { start_ms: chunk.start_ms, bytes: bytes.len() }),
        }
        Ok(Fragment { bytes, begins_segment, random_access: chunk.key_frame, start_ms: chunk.start_ms, duration_ms: chunk.duration_ms })
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    const HALF_MS: u64 = 500;

    fn chunk(number: u64, key_frame: bool, size_bytes: usize) -> Chunk {
        Chunk { bytes: vec![7; size_bytes], key_frame, start_ms: number * HALF_MS, duration_ms: HALF_MS }
    }

    #[test]
    fn every_segment_begins_with_the_header_and_a_key_frame() {
        let mut segmenter = Segmenter::default();
        segmenter.header(b"header".to_vec());
        for number in 0..12 {
            let fragment = segmenter.chunk(chunk(number, number % 4 == 0, 100)).unwrap();
            let first = number % 4 == 0;
            assert_eq!((fragment.begins_segment, fragment.random_access), (first, first));
            assert_eq!(fragment.bytes.starts_with(b"header"), first, "segment {number} does not play alone");
            assert_eq!(fragment.bytes.len(), if first { 106 } else { 100 });
            assert_eq!((fragment.start_ms, fragment.duration_ms), (number * HALF_MS, HALF_MS));
        }
    }

    /// A camera with a key frame a minute: cut at 10 s, flagged, and nothing lost or doubled.
    #[test]
    fn a_long_group_of_pictures_is_cut_and_flagged() {
        let mut segmenter = Segmenter::default();
        segmenter.header(b"header".to_vec());
        let fragments: Vec<_> = (0..120).map(|number| segmenter.chunk(chunk(number, number == 0, 100)).unwrap()).collect();
        let begins: Vec<_> = fragments.iter().filter(|fragment| fragment.begins_segment).map(|fragment| fragment.start_ms).collect();
        assert_eq!(begins, [0, 10_000, 20_000, 30_000, 40_000, 50_000]);
        assert!(fragments[0].random_access && fragments[1..].iter().all(|fragment| !fragment.random_access));
        assert_eq!(fragments.iter().map(|fragment| fragment.bytes.len()).sum::<usize>(), 120 * 100 + 6 * 6);
    }

    #[test]
    fn a_large_group_of_pictures_is_cut_below_the_limit() {
        let mut segmenter = Segmenter::default();
        segmenter.header(b"header".to_vec());
        let third = SEGMENT_BYTES_MAX / 3;
        let mut sizes = vec![];
        for number in 0..9 {
            let fragment = segmenter.chunk(chunk(number, number == 0, third)).unwrap();
            if fragment.begins_segment {
                sizes.push(0);
            }
            *sizes.last_mut().unwrap() += fragment.bytes.len();
        }
        assert!(sizes.iter().all(|size| *size <= SEGMENT_BYTES_MAX), "{sizes:?}");
        assert_eq!(sizes.len(), 5, "the header counts, so only two thirds fit: {sizes:?}");
    }

    #[test]
    fn a_chunk_beyond_a_segment_is_refused() {
        let mut segmenter = Segmenter::default();
        segmenter.header(b"header".to_vec());
        assert_eq!(segmenter.chunk(chunk(0, true, SEGMENT_BYTES_MAX)), Err(SegmenterError::TooLarge(SEGMENT_BYTES_MAX)));
    }

    #[test]
    fn pictures_without_a_header_are_refused() {
        assert_eq!(Segmenter::default().chunk(chunk(0, true, 1)), Err(SegmenterError::NoHeader));
    }

    /// A camera that changes its resolution: the old header must not stand before new pictures.
    #[test]
    fn a_new_header_begins_a_segment() {
        let mut segmenter = Segmenter::default();
        segmenter.header(b"old".to_vec());
        segmenter.chunk(chunk(0, true, 10)).unwrap();
        segmenter.header(b"new".to_vec());
        let fragment = segmenter.chunk(chunk(1, false, 10)).unwrap();
        assert!(fragment.begins_segment && fragment.bytes.starts_with(b"new"));
    }
}

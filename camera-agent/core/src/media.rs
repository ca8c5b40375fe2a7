//! What a media pipeline hands to the agent: fragments of segments, and the end.
//!
//! It does not know how they were made.

/// One CMAF chunk (`moof` and `mdat`), about half a second; the first of a segment has `ftyp` and `moov` before it.
#[derive(Clone, PartialEq, Eq)]
pub struct Fragment {
    /// The bytes.
    pub bytes: Vec<u8>,
    /// The first fragment of a segment: it has `ftyp` and `moov`.
    pub begins_segment: bool,
    /// It begins with a key frame.
    pub random_access: bool,
    /// Running time (monotonic, as the pipeline counts it) of its first frame.
    pub start_ms: u64,
    /// How long it plays.
    pub duration_ms: u64,
}

impl std::fmt::Debug for Fragment {
    /// Tells sizes and times: pictures have no place in a log.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Fragment")
            .field("bytes", &self.bytes.len())
            .field("begins_segment", &self.begins_segment)
            .field("random_access", &self.random_access)
            .field("start_ms", &self.start_ms)
            .field("duration_ms", &self.duration_ms)
            .finish()
    }
}

/// What comes out of a pipeline. Dropping the sender means the same as `Stop`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Input {
    /// The next fragment.
    Fragment(Fragment),
    /// The source delivers nothing: what was recorded so far of the segment is sealed, and a `gap` is stated when fragments come again.
    SourceLost,
    /// The source has ended: the segment and the epoch are closed.
    EndOfSource,
    /// Somebody asked to stop: the segment and the epoch are closed.
    Stop,
}

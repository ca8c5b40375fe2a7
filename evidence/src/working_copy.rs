//! Working copies: the disclosed CMAF fragments of a run of segments as fragmented MP4 files that play (ISO/IEC 14496-12).
//!
//! Native segments are the master. Each carries its own `ftyp` and `moov` and the encoder's running decode time; a player wants one header and
//! times from zero. So the header is written once, `mfhd` sequence numbers and `tfdt` decode times are renumbered, and where the header
//! changes a new file begins. Samples are copied as they are. The same fragments make the same bytes: an exporter writes them, and a verifier
//! makes them again and compares, so that nothing of a copy has to be understood (docs/formats/bundle.md).

use exhibit_pki::Timestamp;

/// The length and the type before a box's content.
const HEADER_BYTES: usize = 8;

/// Why a fragment can not be copied.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the media can not be copied into a playable file: {0}")]
pub struct CopyError(&'static str);

/// Makes playable files out of fragments, in order.
#[derive(Default)]
pub struct WorkingCopies {
    current: Option<Current>,
}

/// What a fragment adds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Piece {
    /// Whether it is the first of a new file.
    pub begins_file: bool,
    /// What to append.
    pub bytes: Vec<u8>,
}

/// The file being made.
struct Current {
    /// `ftyp` and `moov`, as they came.
    header: Vec<u8>,
    /// Units of the decode time in a second.
    timescale: u64,
    /// The camera's clock at the first segment of the file.
    started: Timestamp,
    /// What to add to the decode times of a stream (its encoder started at its own zero).
    shift: Option<(String, i128)>,
    sequence_number: u32,
}

impl WorkingCopies {
    /// Adds the first fragment of a segment, which holds `ftyp` and `moov`, then the first chunk. `start` is the segment's.
    pub fn first_fragment(&mut self, stream: &str, start: Timestamp, fragment: &[u8]) -> Result<Piece, CopyError> {
        let (header, chunks) = split_header(fragment)?;
        let timescale = timescale(header)?;
        let begins_file = self.current.as_ref().is_none_or(|current| current.header != header);
        let mut bytes = Vec::with_capacity(fragment.len());
        if begins_file {
            bytes.extend_from_slice(header);
            self.current = Some(Current { header: header.to_vec(), timescale, started: start, shift: None, sequence_number: 0 });
        }
        let current = self.current.as_mut().expect("a file was begun above");
        if current.shift.as_ref().is_none_or(|(of, _)| of != stream) {
            let elapsed_ms = start.unix_ms().saturating_sub(current.started.unix_ms());
            let wanted = i128::from(elapsed_ms) * i128::from(current.timescale) / 1_000;
            current.shift = Some((stream.to_owned(), wanted - i128::from(first_decode_time(chunks)?)));
        }
        current.copy(chunks, &mut bytes)?;
        Ok(Piece { begins_file, bytes })
    }

    /// Adds the next fragment of the segment.
    pub fn next_fragment(&mut self, fragment: &[u8]) -> Result<Piece, CopyError> {
        let current = self.current.as_mut().ok_or(CopyError("the first fragment is not there"))?;
        let mut bytes = Vec::with_capacity(fragment.len());
        current.copy(fragment, &mut bytes)?;
        Ok(Piece { begins_file: false, bytes })
    }
}

impl Current {
    fn copy(&mut self, chunks: &[u8], copy: &mut Vec<u8>) -> Result<(), CopyError> {
        let shift = self.shift.as_ref().map_or(0, |(_, shift)| *shift);
        for item in boxes(chunks) {
            let item = item?;
            let at = copy.len();
            match &item.kind {
                b"moof" => {
                    copy.extend_from_slice(item.whole);
                    self.sequence_number = self.sequence_number.wrapping_add(1);
                    renumber(&mut copy[at..], self.sequence_number, shift)?;
                }
                b"mdat" => copy.extend_from_slice(item.whole),
                // styp, sidx, prft and the like index the segment, not the copy.
                _ => {}
            }
        }
        Ok(())
    }
}

/// A box: its type, all of it, and its content.
struct Mp4Box<'a> {
    kind: [u8; 4],
    whole: &'a [u8],
    content: &'a [u8],
}

/// The boxes that stand side by side in `bytes`. 64-bit sizes and "to the end" do not occur in what a camera agent makes.
fn boxes(bytes: &[u8]) -> impl Iterator<Item = Result<Mp4Box<'_>, CopyError>> {
    let mut rest = bytes;
    std::iter::from_fn(move || {
        if rest.is_empty() {
            return None;
        }
        let parsed = (|| {
            let (size, after) = rest.split_first_chunk::<4>()?;
            let kind = after.first_chunk::<4>()?;
            let size = u32::from_be_bytes(*size) as usize;
            let whole = rest.get(..size).filter(|_| size >= HEADER_BYTES)?;
            Some(Mp4Box { kind: *kind, whole, content: &whole[HEADER_BYTES..] })
        })();
        match parsed {
            Some(item) => {
                rest = &rest[item.whole.len()..];
                Some(Ok(item))
            }
            None => {
                rest = &[];
                Some(Err(CopyError("a box is malformed")))
            }
        }
    })
}

fn child<'a>(bytes: &'a [u8], kind: &[u8; 4]) -> Result<Option<&'a [u8]>, CopyError> {
    for item in boxes(bytes) {
        let item = item?;
        if item.kind == *kind {
            return Ok(Some(item.content));
        }
    }
    Ok(None)
}

/// `ftyp` and `moov`, and what follows.
fn split_header(media: &[u8]) -> Result<(&[u8], &[u8]), CopyError> {
    let mut length = 0;
    for item in boxes(media) {
        let item = item?;
        length += item.whole.len();
        if item.kind == *b"moov" {
            return Ok(media.split_at(length));
        }
    }
    Err(CopyError("a segment has no moov"))
}

fn timescale(header: &[u8]) -> Result<u64, CopyError> {
    let mut bytes = header;
    for kind in [b"moov", b"trak", b"mdia", b"mdhd"] {
        bytes = child(bytes, kind)?.ok_or(CopyError("the moov has no track"))?;
    }
    // version 0: two 32-bit times before the timescale; version 1: two of 64 bits.
    let at = match bytes.first() {
        Some(0) => 12,
        Some(1) => 20,
        _ => return Err(CopyError("the mdhd is of an unknown version")),
    };
    let field = bytes.get(at..at + 4).and_then(|field| field.first_chunk::<4>());
    field.map(|field| u64::from(u32::from_be_bytes(*field))).filter(|scale| *scale > 0).ok_or(CopyError("the mdhd is cut short"))
}

fn first_decode_time(chunks: &[u8]) -> Result<u64, CopyError> {
    let moof = child(chunks, b"moof")?.ok_or(CopyError("a segment has no moof"))?;
    let traf = child(moof, b"traf")?.ok_or(CopyError("a moof has no traf"))?;
    let tfdt = child(traf, b"tfdt")?.ok_or(CopyError("a traf has no tfdt"))?;
    match tfdt.first() {
        Some(0) => tfdt.get(4..8).and_then(|time| time.first_chunk::<4>()).map(|time| u64::from(u32::from_be_bytes(*time))),
        Some(1) => tfdt.get(4..12).and_then(|time| time.first_chunk::<8>()).map(|time| u64::from_be_bytes(*time)),
        _ => None,
    }
    .ok_or(CopyError("a tfdt is malformed"))
}

/// Writes the sequence number and shifts every decode time of one `moof`, in place.
fn renumber(moof: &mut [u8], sequence_number: u32, shift: i128) -> Result<(), CopyError> {
    let mut at = HEADER_BYTES;
    while let Some((kind, size)) = box_at(moof, at)? {
        match &kind {
            b"mfhd" => {
                let field = moof.get_mut(at + 12..at + 16).filter(|_| size >= 16).ok_or(CopyError("the mfhd is cut short"))?;
                field.copy_from_slice(&sequence_number.to_be_bytes());
            }
            b"traf" => {
                let traf = moof.get_mut(at..at + size).ok_or(CopyError("a box is malformed"))?;
                shift_track(traf, shift)?;
            }
            _ => {}
        }
        at += size;
    }
    Ok(())
}

fn shift_track(traf: &mut [u8], shift: i128) -> Result<(), CopyError> {
    let mut at = HEADER_BYTES;
    while let Some((kind, size)) = box_at(traf, at)? {
        if kind == *b"tfdt" {
            let tfdt = traf.get_mut(at + HEADER_BYTES..at + size).ok_or(CopyError("a box is malformed"))?;
            let version = *tfdt.first().ok_or(CopyError("a tfdt is malformed"))?;
            let width = if version == 1 { 8 } else { 4 };
            let field = tfdt.get_mut(4..4 + width).ok_or(CopyError("a tfdt is malformed"))?;
            let before = field.iter().fold(0i128, |value, byte| (value << 8) | i128::from(*byte));
            let after = u64::try_from((before + shift).max(0)).map_err(|_| CopyError("a decode time is out of range"))?;
            let bytes = after.to_be_bytes();
            let (surplus, kept) = bytes.split_at(8 - width);
            if surplus.iter().any(|byte| *byte != 0) {
                return Err(CopyError("a decode time is out of range"));
            }
            field.copy_from_slice(kept);
        }
        at += size;
    }
    Ok(())
}

fn box_at(bytes: &[u8], at: usize) -> Result<Option<([u8; 4], usize)>, CopyError> {
    let Some(rest) = bytes.get(at..).filter(|rest| !rest.is_empty()) else { return Ok(None) };
    let first = boxes(rest).next().ok_or(CopyError("a box is malformed"))??;
    Ok(Some((first.kind, first.whole.len())))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    fn mp4_box(kind: &[u8; 4], content: &[u8]) -> Vec<u8> {
        let size = u32::try_from(content.len() + HEADER_BYTES).unwrap();
        [&size.to_be_bytes()[..], kind, content].concat()
    }

    fn header(timescale: u32) -> Vec<u8> {
        header_of(&[&[0; 12][..], &timescale.to_be_bytes(), &[0; 8]].concat())
    }

    fn header_of(mdhd: &[u8]) -> Vec<u8> {
        let mdhd = mp4_box(b"mdhd", mdhd);
        let moov = mp4_box(b"moov", &mp4_box(b"trak", &mp4_box(b"mdia", &mdhd)));
        [mp4_box(b"ftyp", b"cmfc"), moov].concat()
    }

    /// With the tfhd that stands before a tfdt.
    fn chunk(decode_time: u64) -> Vec<u8> {
        let tfhd = mp4_box(b"tfhd", &[0; 8]);
        let tfdt = mp4_box(b"tfdt", &[&[1, 0, 0, 0][..], &decode_time.to_be_bytes()].concat());
        let mfhd = mp4_box(b"mfhd", &[0, 0, 0, 0, 0, 0, 0, 99]);
        [
            mp4_box(b"styp", b"cmfl"),
            mp4_box(b"moof", &[mfhd, mp4_box(b"traf", &[tfhd, tfdt].concat())].concat()),
            mp4_box(b"mdat", b"samples"),
        ]
        .concat()
    }

    fn decode_times(file: &[u8]) -> Vec<u64> {
        let moofs = boxes(file).map(Result::unwrap).filter(|item| item.kind == *b"moof");
        moofs.map(|item| first_decode_time(item.whole).unwrap()).collect()
    }

    fn at(ms: u64) -> Timestamp {
        Timestamp::from_unix_ms(1_700_000_000_000 + ms).unwrap()
    }

    /// The files that segments of whole chunks make: stream, start and fragments of each.
    fn files(segments: &[(&str, u64, &[Vec<u8>])]) -> Vec<Vec<u8>> {
        let (mut copies, mut files) = (WorkingCopies::default(), Vec::<Vec<u8>>::new());
        for (stream, start_ms, fragments) in segments {
            for (index, fragment) in fragments.iter().enumerate() {
                let piece = match index {
                    0 => copies.first_fragment(stream, at(*start_ms), fragment),
                    _ => copies.next_fragment(fragment),
                }
                .unwrap();
                if piece.begins_file {
                    files.push(Vec::new());
                }
                files.last_mut().unwrap().extend(piece.bytes);
            }
        }
        files
    }

    #[test]
    fn times_begin_at_zero_and_a_pause_between_epochs_stays() {
        let first = |timescale, decode_time| [header(timescale), chunk(decode_time)].concat();
        let files = files(&[
            ("a", 0, &[first(1_000, 50_000), chunk(50_500)]),
            ("a", 1_003, &[first(1_000, 51_000)]),
            // A new epoch, ten seconds after the first: its encoder began at zero again.
            ("b", 10_000, &[first(1_000, 0)]),
        ]);
        assert_eq!(files.len(), 1, "the header did not change, and neither did the file");
        assert_eq!(decode_times(&files[0]), [0, 500, 1_000, 10_000]);
        assert_eq!(files[0].windows(4).filter(|bytes| bytes == b"moov").count(), 1, "a player stumbles over a second header");
        assert_eq!(files[0].windows(4).filter(|bytes| bytes == b"styp").count(), 0, "what indexes a segment indexes no copy");
    }

    #[test]
    fn a_new_header_begins_a_new_file() {
        let first = |timescale, decode_time| [header(timescale), chunk(decode_time)].concat();
        let files = files(&[("a", 0, &[first(1_000, 0)]), ("a", 2_000, &[first(90_000, 180_000)])]);
        assert_eq!(files.iter().map(|file| decode_times(file)).collect::<Vec<_>>(), [vec![0], vec![0]]);
    }

    #[test]
    fn malformed_boxes_are_refused() {
        let whole = [header(1_000), chunk(0)].concat();
        let boundaries: Vec<usize> = boxes(&whole)
            .scan(0, |end, item| {
                Some({
                    *end += item.unwrap().whole.len();
                    *end
                })
            })
            .collect();
        for length in 0..whole.len() {
            // Without the moof it is no first fragment either; without the mdat it is one of no samples.
            let cut = WorkingCopies::default().first_fragment("a", at(0), &whole[..length]);
            assert_eq!(cut.is_ok(), boundaries[3..].contains(&length), "cut to {length} bytes");
        }
        let mut zero_size = whole.clone();
        zero_size[..4].copy_from_slice(&0u32.to_be_bytes());
        assert!(WorkingCopies::default().first_fragment("a", at(0), &zero_size).is_err());
        assert!(WorkingCopies::default().next_fragment(&chunk(0)).is_err(), "a copy without a header does not play");
    }

    #[test]
    fn the_timescale_stands_behind_two_times_of_either_width() {
        let read = |mdhd: &[u8]| timescale(&header_of(mdhd));
        let of_version = |version: u8, times: usize| [&[version, 0, 0, 0][..], &vec![9; times], &[0, 1, 0x5f, 0x90], &[9; 12]].concat();
        assert_eq!(read(&of_version(0, 8)), Ok(90_000));
        assert_eq!(read(&of_version(1, 16)), Ok(90_000));
        assert!(read(&of_version(2, 16)).is_err());
        assert!(read(&[0; 24]).is_err(), "no second has no units");
        assert!(read(&of_version(0, 8)[..15]).is_err());
    }

    #[test]
    fn a_number_is_not_written_over_what_follows_a_short_mfhd() {
        let tfdt = mp4_box(b"tfdt", &[&[1, 0, 0, 0][..], &[0; 8]].concat());
        let moof = mp4_box(b"moof", &[mp4_box(b"mfhd", &[0; 4]), mp4_box(b"traf", &tfdt)].concat());
        assert!(WorkingCopies::default().first_fragment("a", at(0), &[header(1_000), moof].concat()).is_err());
    }

    #[test]
    fn a_decode_time_that_does_not_fit_is_refused() {
        let short = |decode_time: u32| mp4_box(b"tfdt", &[&[0, 0, 0, 0][..], &decode_time.to_be_bytes()].concat());
        let moof = |tfdt: &[u8]| mp4_box(b"moof", &[mp4_box(b"mfhd", &[0; 8]), mp4_box(b"traf", tfdt)].concat());
        let mut copies = WorkingCopies::default();
        copies.first_fragment("a", at(0), &[header(1_000), moof(&short(0))].concat()).unwrap();
        let late = copies.first_fragment("b", at(5_000_000_000), &[header(1_000), moof(&short(0))].concat());
        assert!(late.is_err(), "a time of more than 32 bits was cut to 32");
    }
}

//! Playable working copies: the disclosed CMAF fragments of a run of segments as one fragmented MP4 (ISO/IEC 14496-12).
//!
//! Native segments are the master. Each carries its own `ftyp` and `moov` and the encoder's running decode time; a player wants one header and
//! times from zero. So the header is written once, `mfhd` sequence numbers and `tfdt` decode times are renumbered, and where the header
//! changes a new file begins. Samples are copied as they are.

use exhibit_pki::Timestamp;

/// Boxes in boxes are searched to this depth: moov/trak/mdia/mdhd is four.
const HEADER_BYTES: usize = 8;

/// Why a fragment could not be copied.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the media can not be copied into a playable file: {0}")]
pub struct Mp4Error(&'static str);

/// Playable files being made, in order.
#[derive(Default)]
pub struct WorkingCopies {
    files: Vec<Vec<u8>>,
    current: Option<Current>,
}

/// The file being written.
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
    /// Adds a segment: its fragments end to end, of which the first holds `ftyp` and `moov`.
    pub fn push_segment(&mut self, stream: &str, start: Timestamp, media: &[u8]) -> Result<(), Mp4Error> {
        let (header, chunks) = split_header(media)?;
        let timescale = timescale(header)?;
        if self.current.as_ref().is_none_or(|current| current.header != header) {
            self.files.push(header.to_vec());
            self.current = Some(Current { header: header.to_vec(), timescale, started: start, shift: None, sequence_number: 0 });
        }
        let current = self.current.as_mut().expect("a file was begun above");
        let file = self.files.last_mut().expect("a file was begun above");
        if current.shift.as_ref().is_none_or(|(of, _)| of != stream) {
            let elapsed_ms = start.unix_ms().saturating_sub(current.started.unix_ms());
            let wanted = i128::from(elapsed_ms) * i128::from(current.timescale) / 1_000;
            current.shift = Some((stream.to_owned(), wanted - i128::from(first_decode_time(chunks)?)));
        }
        let shift = current.shift.as_ref().map_or(0, |(_, shift)| *shift);
        for item in boxes(chunks) {
            let item = item?;
            let at = file.len();
            match &item.kind {
                b"moof" => {
                    file.extend_from_slice(item.whole);
                    current.sequence_number += 1;
                    renumber(&mut file[at..], current.sequence_number, shift)?;
                }
                b"mdat" => file.extend_from_slice(item.whole),
                // styp, sidx, prft and the like index the segment, not the copy.
                _ => {}
            }
        }
        Ok(())
    }

    /// The files.
    pub fn finish(self) -> Vec<Vec<u8>> {
        self.files
    }
}

/// A box: its type, all of it, and its content.
struct Mp4Box<'a> {
    kind: [u8; 4],
    whole: &'a [u8],
    content: &'a [u8],
}

/// The boxes that stand side by side in `bytes`. 64-bit sizes and "to the end" do not occur in what a camera agent makes.
fn boxes(bytes: &[u8]) -> impl Iterator<Item = Result<Mp4Box<'_>, Mp4Error>> {
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
                Some(Err(Mp4Error("a box is malformed")))
            }
        }
    })
}

fn child<'a>(bytes: &'a [u8], kind: &[u8; 4]) -> Result<Option<&'a [u8]>, Mp4Error> {
    for item in boxes(bytes) {
        let item = item?;
        if item.kind == *kind {
            return Ok(Some(item.content));
        }
    }
    Ok(None)
}

/// `ftyp` and `moov`, and what follows.
fn split_header(media: &[u8]) -> Result<(&[u8], &[u8]), Mp4Error> {
    let mut length = 0;
    for item in boxes(media) {
        let item = item?;
        length += item.whole.len();
        if item.kind == *b"moov" {
            return Ok(media.split_at(length));
        }
    }
    Err(Mp4Error("a segment has no moov"))
}

fn timescale(header: &[u8]) -> Result<u64, Mp4Error> {
    let mut bytes = header;
    for kind in [b"moov", b"trak", b"mdia", b"mdhd"] {
        bytes = child(bytes, kind)?.ok_or(Mp4Error("the moov has no track"))?;
    }
    // version 0: two 32-bit times before the timescale; version 1: two of 64 bits.
    let at = match bytes.first() {
        Some(0) => 12,
        Some(1) => 20,
        _ => return Err(Mp4Error("the mdhd is of an unknown version")),
    };
    let field = bytes.get(at..at + 4).and_then(|field| field.first_chunk::<4>());
    field.map(|field| u64::from(u32::from_be_bytes(*field))).filter(|scale| *scale > 0).ok_or(Mp4Error("the mdhd is cut short"))
}

fn first_decode_time(chunks: &[u8]) -> Result<u64, Mp4Error> {
    let moof = child(chunks, b"moof")?.ok_or(Mp4Error("a segment has no moof"))?;
    let traf = child(moof, b"traf")?.ok_or(Mp4Error("a moof has no traf"))?;
    let tfdt = child(traf, b"tfdt")?.ok_or(Mp4Error("a traf has no tfdt"))?;
    match tfdt.first() {
        Some(0) => tfdt.get(4..8).and_then(|time| time.first_chunk::<4>()).map(|time| u64::from(u32::from_be_bytes(*time))),
        Some(1) => tfdt.get(4..12).and_then(|time| time.first_chunk::<8>()).map(|time| u64::from_be_bytes(*time)),
        _ => None,
    }
    .ok_or(Mp4Error("a tfdt is malformed"))
}

/// Writes the sequence number and shifts every decode time of one `moof`, in place.
fn renumber(moof: &mut [u8], sequence_number: u32, shift: i128) -> Result<(), Mp4Error> {
    let mut at = HEADER_BYTES;
    while let Some((kind, size)) = box_at(moof, at)? {
        match &kind {
            b"mfhd" => {
                let field = moof.get_mut(at + 12..at + 16).ok_or(Mp4Error("the mfhd is cut short"))?;
                field.copy_from_slice(&sequence_number.to_be_bytes());
            }
            b"traf" => {
                let traf = moof.get_mut(at..at + size).ok_or(Mp4Error("a box is malformed"))?;
                shift_track(traf, shift)?;
            }
            _ => {}
        }
        at += size;
    }
    Ok(())
}

fn shift_track(traf: &mut [u8], shift: i128) -> Result<(), Mp4Error> {
    let mut at = HEADER_BYTES;
    while let Some((kind, size)) = box_at(traf, at)? {
        if kind == *b"tfdt" {
            let tfdt = traf.get_mut(at + HEADER_BYTES..at + size).ok_or(Mp4Error("a box is malformed"))?;
            let version = *tfdt.first().ok_or(Mp4Error("a tfdt is malformed"))?;
            let width = if version == 1 { 8 } else { 4 };
            let field = tfdt.get_mut(4..4 + width).ok_or(Mp4Error("a tfdt is malformed"))?;
            let before = field.iter().fold(0i128, |value, byte| (value << 8) | i128::from(*byte));
            let after = u64::try_from((before + shift).max(0)).map_err(|_| Mp4Error("a decode time is out of range"))?;
            let bytes = after.to_be_bytes();
            let (surplus, kept) = bytes.split_at(8 - width);
            if surplus.iter().any(|byte| *byte != 0) {
                return Err(Mp4Error("a decode time is out of range"));
            }
            field.copy_from_slice(kept);
        }
        at += size;
    }
    Ok(())
}

fn box_at(bytes: &[u8], at: usize) -> Result<Option<([u8; 4], usize)>, Mp4Error> {
    let Some(rest) = bytes.get(at..).filter(|rest| !rest.is_empty()) else { return Ok(None) };
    let first = boxes(rest).next().ok_or(Mp4Error("a box is malformed"))??;
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
        let mdhd = mp4_box(b"mdhd", &[&[0; 12][..], &timescale.to_be_bytes(), &[0; 8]].concat());
        let moov = mp4_box(b"moov", &mp4_box(b"trak", &mp4_box(b"mdia", &mdhd)));
        [mp4_box(b"ftyp", b"cmfc"), moov].concat()
    }

    fn chunk(decode_time: u64) -> Vec<u8> {
        let tfdt = mp4_box(b"tfdt", &[&[1, 0, 0, 0][..], &decode_time.to_be_bytes()].concat());
        let mfhd = mp4_box(b"mfhd", &[0, 0, 0, 0, 0, 0, 0, 99]);
        [mp4_box(b"moof", &[mfhd, mp4_box(b"traf", &tfdt)].concat()), mp4_box(b"mdat", b"samples")].concat()
    }

    fn decode_times(file: &[u8]) -> Vec<u64> {
        let moofs = boxes(file).map(Result::unwrap).filter(|item| item.kind == *b"moof");
        moofs.map(|item| first_decode_time(item.whole).unwrap()).collect()
    }

    fn at(ms: u64) -> Timestamp {
        Timestamp::from_unix_ms(1_700_000_000_000 + ms).unwrap()
    }

    #[test]
    fn times_begin_at_zero_and_a_pause_between_epochs_stays() {
        let mut copies = WorkingCopies::default();
        copies.push_segment("a", at(0), &[header(1_000), chunk(50_000), chunk(50_500)].concat()).unwrap();
        copies.push_segment("a", at(1_003), &[header(1_000), chunk(51_000)].concat()).unwrap();
        // A new epoch, ten seconds after the first: its encoder began at zero again.
        copies.push_segment("b", at(10_000), &[header(1_000), chunk(0)].concat()).unwrap();
        let files = copies.finish();
        assert_eq!(files.len(), 1, "the header did not change, and neither did the file");
        assert_eq!(decode_times(&files[0]), [0, 500, 1_000, 10_000]);
        assert_eq!(files[0].windows(4).filter(|bytes| bytes == b"moov").count(), 1, "a player stumbles over a second header");
    }

    #[test]
    fn a_new_header_begins_a_new_file() {
        let mut copies = WorkingCopies::default();
        copies.push_segment("a", at(0), &[header(1_000), chunk(0)].concat()).unwrap();
        copies.push_segment("a", at(2_000), &[header(90_000), chunk(180_000)].concat()).unwrap();
        let files = copies.finish();
        assert_eq!(files.iter().map(|file| decode_times(file)).collect::<Vec<_>>(), [vec![0], vec![0]]);
    }

    #[test]
    fn malformed_boxes_are_refused() {
        let whole = [header(1_000), chunk(0)].concat();
        for length in 1..whole.len() {
            // Cut anywhere but between boxes, it is an error; and never a panic.
            let _ = WorkingCopies::default().push_segment("a", at(0), &whole[..length]);
        }
        let mut zero_size = whole.clone();
        zero_size[..4].copy_from_slice(&0u32.to_be_bytes());
        assert!(WorkingCopies::default().push_segment("a", at(0), &zero_size).is_err());
    }
}

//! The parser of media that writes working copies, compiled in from the command line's source.

// The command line is a program, not a library.
#[path = "../../../../cli/src/mp4.rs"]
mod mp4_source;

use exhibit_pki::Timestamp;

/// Two segments, cut where the first byte says.
pub fn mp4(input: &[u8]) -> bool {
    let Some((cut, media)) = input.split_first() else { return false };
    let (first, second) = media.split_at(media.len() * usize::from(*cut) / 255);
    let at = |ms: u64| Timestamp::from_unix_ms(1_795_176_000_000 + ms).expect("it is a moment");
    let mut copies = mp4_source::WorkingCopies::default();
    let accepted = copies.push_segment("camera/102/main/a", at(0), first).is_ok();
    let _ = copies.push_segment("camera/102/main/b", at(2_000), second);
    let written: usize = copies.finish().iter().map(Vec::len).sum();
    assert!(written <= input.len(), "a working copy is longer than the media");
    accepted
}

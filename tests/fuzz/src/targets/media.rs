//! The maker of working copies, whose input is what a camera sealed.

use exhibit_evidence::working_copy::WorkingCopies;
use exhibit_pki::Timestamp;

/// Two segments of two fragments, cut where the first byte says.
pub fn mp4(input: &[u8]) -> bool {
    let Some((cut, media)) = input.split_first() else { return false };
    let (first, second) = media.split_at(media.len() * usize::from(*cut) / 255);
    let at = |ms: u64| Timestamp::from_unix_ms(1_795_176_000_000 + ms).expect("it is a moment");
    let mut copies = WorkingCopies::default();
    let pieces = [
        copies.first_fragment("camera/102/main/a", at(0), first),
        copies.next_fragment(second),
        copies.first_fragment("camera/102/main/b", at(2_000), second),
    ];
    for (piece, fragment) in pieces.iter().zip([first, second, second]) {
        let Ok(piece) = piece else { continue };
        assert!(piece.bytes.len() <= fragment.len(), "a working copy is longer than the media");
    }
    pieces[0].is_ok()
}

//! Working copies: what people play, against what the disclosed fragments make.
//!
//! Nothing of a copy is parsed. It is made again from fragments that led to the camera's commitments, and is those bytes or is not: so no second
//! track, edit list, or header of another codec can show something else out of the same samples.

use exhibit_pki::Timestamp;
use exhibit_tlog::Hash;
use sha2::{Digest, Sha256};

use super::Judgement;
use crate::body::Segment;
use crate::bundle::{FileRecord, WORKING_FOLDER};
use crate::verdict::{Axis, FindingKind, Grade, Place};
use crate::working_copy::{CopyError, WorkingCopies};

/// The copies that the disclosed fragments make, while these come by.
pub(super) struct Copies<'a> {
    /// The files that claim to be such copies.
    claimed: Vec<&'a FileRecord>,
    maker: WorkingCopies,
    made: Vec<Made>,
    /// Why they could not all be made.
    broken: Option<String>,
}

/// A copy made here.
struct Made {
    hasher: Sha256,
    length: u64,
    from: Timestamp,
}

impl<'a> Copies<'a> {
    pub fn new(judgement: &Judgement<'a>) -> Self {
        let claimed = judgement.manifest.files.iter().filter(|file| file.path.starts_with(WORKING_FOLDER)).collect();
        Self { claimed, maker: WorkingCopies::default(), made: Vec::new(), broken: None }
    }

    /// Adds a fragment that is what the camera sealed.
    pub fn add(&mut self, stream: &str, segment: &Segment, index: u32, plaintext: &[u8]) {
        // Without copies there is nothing to compare, and after a break nothing to compare with.
        if self.claimed.is_empty() || self.broken.is_some() {
            return;
        }
        if let Err(error) = self.try_add(stream, segment, index, plaintext) {
            self.broken = Some(error.to_string());
        }
    }

    /// A fragment is not here, or is not what the camera sealed.
    pub fn lack(&mut self, what: &str) {
        self.broken.get_or_insert_with(|| what.to_owned());
    }

    fn try_add(&mut self, stream: &str, segment: &Segment, index: u32, plaintext: &[u8]) -> Result<(), CopyError> {
        let piece = match index {
            0 => self.maker.first_fragment(stream, segment.start, plaintext)?,
            _ => self.maker.next_fragment(plaintext)?,
        };
        if piece.begins_file {
            self.made.push(Made { hasher: Sha256::new(), length: 0, from: segment.start });
        }
        let made = self.made.last_mut().expect("the first fragment begins a file");
        made.hasher.update(&piece.bytes);
        made.length += piece.bytes.len() as u64;
        Ok(())
    }

    pub fn judge(self, judgement: &mut Judgement<'_>) {
        let made: Vec<(String, u64, Timestamp)> =
            self.made.into_iter().map(|made| (Hash(made.hasher.finalize().into()).to_string(), made.length, made.from)).collect();
        for file in self.claimed {
            let path = &file.path;
            let same = made.iter().find(|(sha256, length, _)| *sha256 == file.sha256 && *length == file.length);
            let (grade, sentence) = match (same, &self.broken) {
                (Some((_, _, from)), None) => (
                    Grade::Good,
                    format!("The playable copy {path} is made of the disclosed fragments, in order, from {from} by the camera's clock."),
                ),
                (_, Some(reason)) => (
                    Grade::Undecided,
                    format!(
                        "Whether the playable copy {path} shows what the camera sealed is not known: it can not be made again, since {reason}."
                    ),
                ),
                (None, None) => {
                    (Grade::Bad, format!("The playable copy {path} is not what the disclosed fragments make: it can show something else."))
                }
            };
            judgement.find(Axis::Payload, grade, FindingKind::WorkingCopy, Place::file(path), sentence);
        }
    }
}

//! Working copies: what people play, against what the disclosed fragments make.
//!
//! Nothing of a copy is parsed. It is made again from fragments that led to the camera's commitments, and is those bytes or is not: so no second
//! track, edit list, or header of another codec can show something else out of the same samples.

use exhibit_pki::Timestamp;
use exhibit_tlog::Hash;
use sha2::{Digest, Sha256};

use super::Judgement;
use crate::body::Segment;
use crate::bundle::{BundleSource, FileBeside, FileRecord, WORKING_FOLDER};
use crate::verdict::{Axis, FindingKind, Grade, Place};
use crate::working_copy::{CopyError, WorkingCopies};

/// The copies that the disclosed fragments make, while these come by.
pub(super) struct Copies<'a> {
    source: &'a dyn BundleSource,
    /// The files that claim to be such copies.
    claimed: Vec<&'a FileRecord>,
    /// The one that should be what is being made, as far as it was.
    beside: Option<Beside<'a>>,
    maker: WorkingCopies,
    made: Vec<Made<'a>>,
    /// Why they could not all be made.
    broken: Option<String>,
}

/// A copy made here.
struct Made<'a> {
    hasher: Sha256,
    length: u64,
    from: Timestamp,
    /// The file that was found to be this copy, byte for byte.
    found_in: Option<&'a str>,
}

/// A claimed copy that goes by beside the one being made, so that it is hashed once for both.
struct Beside<'a> {
    path: &'a str,
    file: Box<dyn FileBeside + 'a>,
    buffer: Vec<u8>,
}

impl<'a> Beside<'a> {
    /// The same file further on, if it goes on with these bytes.
    fn goes_on(mut self, bytes: &[u8]) -> Option<Self> {
        self.buffer.resize(bytes.len(), 0);
        let count = self.file.fill(&mut self.buffer).ok()?;
        (count == bytes.len() && self.buffer == bytes).then_some(self)
    }

    /// Its name, if it ends here.
    fn ends(mut self) -> Option<&'a str> {
        (self.file.fill(&mut [0]).ok()? == 0).then_some(self.path)
    }
}

impl<'a> Copies<'a> {
    pub fn new(judgement: &Judgement<'a>) -> Self {
        let claimed = judgement.manifest.files.iter().filter(|file| file.path.starts_with(WORKING_FOLDER)).collect();
        Self { source: judgement.source, claimed, beside: None, maker: WorkingCopies::default(), made: Vec::new(), broken: None }
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
            self.end_file();
            // Exporters name the copies in the order in which they are made. Where one does not, or it can not be read, it is hashed later.
            let claimed = self.claimed.get(self.made.len());
            self.beside = claimed.and_then(|claimed| {
                let file = self.source.beside(&claimed.path).ok()??;
                Some(Beside { path: &claimed.path, file, buffer: Vec::new() })
            });
            self.made.push(Made { hasher: Sha256::new(), length: 0, from: segment.start, found_in: None });
        }
        self.beside = self.beside.take().and_then(|beside| beside.goes_on(&piece.bytes));
        let made = self.made.last_mut().expect("the first fragment begins a file");
        made.hasher.update(&piece.bytes);
        made.length += piece.bytes.len() as u64;
        Ok(())
    }

    /// Nothing is added to the file that is being made.
    fn end_file(&mut self) {
        if let (Some(beside), Some(made)) = (self.beside.take(), self.made.last_mut()) {
            made.found_in = beside.ends();
        }
    }

    pub fn judge(mut self, judgement: &mut Judgement<'_>) {
        self.end_file();
        let mut copies = Vec::new();
        for made in self.made {
            let sha256 = Hash(made.hasher.finalize().into());
            if let Some(path) = made.found_in {
                judgement.hashed.insert(path.to_owned(), (sha256, made.length));
            }
            copies.push((sha256.to_string(), made.length, made.from));
        }
        for file in self.claimed {
            let path = &file.path;
            let same = copies.iter().find(|(sha256, length, _)| *sha256 == file.sha256 && *length == file.length);
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

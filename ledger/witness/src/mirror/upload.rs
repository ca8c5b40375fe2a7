//! The body of `add-entries` as it comes: what has arrived is kept until there is a package of it.
//!
//! It verifies nothing, and holds one package and a piece at most.

use std::io::{self, Read};

use exhibit_tlog::mirror::{EntryPackage, PACKAGE_SIZE_BYTES_MAX, UPLOAD_HEADER_SIZE_BYTES_MAX, UploadError, UploadHeader};

/// What is read at a time.
const PIECE_BYTES: usize = 64 * 1024;

/// A body.
pub struct Upload<'a> {
    source: &'a mut dyn Read,
    /// What has come and is not read yet.
    waiting: Vec<u8>,
}

impl<'a> Upload<'a> {
    /// Of what `source` gives.
    pub fn new(source: &'a mut dyn Read) -> Self {
        Self { source, waiting: Vec::new() }
    }

    /// What stands before the packages.
    pub fn header(&mut self) -> io::Result<UploadHeader> {
        self.read(UPLOAD_HEADER_SIZE_BYTES_MAX, UploadHeader::parse)
    }

    /// The package that begins with entry `start`, in an upload to `end`.
    pub fn package(&mut self, start: u64, end: u64) -> io::Result<EntryPackage> {
        let count = (EntryPackage::end(start, end) - start) as u16;
        self.read(PACKAGE_SIZE_BYTES_MAX, |bytes| EntryPackage::parse(bytes, count))
    }

    fn read<T>(&mut self, bytes_max: usize, parse: impl Fn(&[u8]) -> Result<Option<(T, &[u8])>, UploadError>) -> io::Result<T> {
        loop {
            let invalid = |error: UploadError| io::Error::new(io::ErrorKind::InvalidData, error);
            if let Some((parsed, rest)) = parse(&self.waiting).map_err(invalid)? {
                let read = self.waiting.len() - rest.len();
                self.waiting.drain(..read);
                return Ok(parsed);
            }
            let had = self.waiting.len();
            assert!(had < bytes_max, "the longest is not too short to be read");
            self.waiting.resize(had + PIECE_BYTES, 0);
            let came = self.source.read(&mut self.waiting[had..]);
            self.waiting.truncate(had + *came.as_ref().unwrap_or(&0));
            if came? == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
        }
    }
}

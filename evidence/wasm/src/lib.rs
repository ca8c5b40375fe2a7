//! The verifier for WebAssembly: judges a bundle whose files a host hands over one at a time, and answers as `exhibit verify --json` does.
//!
//! It knows no folder, no browser and no Node.js: `verify.mjs` does. Byte level: docs/formats/verifier-wasm.md.

#[cfg(target_family = "wasm")]
mod abi;

use exhibit_evidence::Anchor;
use exhibit_evidence::bundle::{BundleSource, SourceError, listed_name};
use exhibit_evidence::verify::verify;
use exhibit_pki::signature::RustCrypto;
use exhibit_tlog::Hash;
use sha2::{Digest, Sha256};

/// What `Host::open` answers where there is no such file.
pub const ABSENT: i64 = -1;

/// Bytes hashed at a time: as many as a disk gives at once, and little beside a fragment.
const HASH_BUFFER_BYTES: usize = 256 << 10;

/// What the list of all files is called in errors.
const LISTING: &str = "the list of files";

/// The list of all files is at most this long: a week of segments with ten fragments each takes some 500 MB, of which a browser has not
/// enough; this is a day's.
const LISTING_BYTES_MAX: u64 = 128 << 20;

/// Where the files of the bundle are.
pub trait Host {
    /// Opens the file at `path`, relative to the bundle; the one opened before is closed. Its length in bytes; `ABSENT` where there is
    /// none; any other negative number where there is one that cannot or must not be read.
    fn open(&self, path: &str) -> i64;
    /// Opens the list of all files of the bundle as if it were one of them: the bytes of each name, followed by a zero byte. Answers as
    /// `open` does.
    fn list(&self) -> i64;
    /// Reads the next bytes of the opened file into `buffer`: how many, 0 at its end; a negative number where that failed.
    fn read(&self, buffer: &mut [u8]) -> i32;
}

/// Judges the bundle of `host` by the anchor, and gives the exit code and the JSON of `exhibit verify --json`.
///
/// Memory: the statements, and one fragment.
pub fn judge(anchor: &[u8], host: &impl Host) -> (u8, String) {
    let anchor = match Anchor::parse(anchor) {
        Ok(anchor) => anchor,
        Err(error) => return cannot_judge(&error.to_string()),
    };
    match verify(&HostFiles(host), &anchor, &RustCrypto) {
        Ok(verdict) => (verdict.grade.exit_code(), verdict.to_json()),
        Err(error) => cannot_judge(&error.to_string()),
    }
}

fn cannot_judge(reason: &str) -> (u8, String) {
    (EXIT_CANNOT, serde_json::json!({ "error": reason, "exit": EXIT_CANNOT }).to_string())
}

/// It could not be judged (DESIGN section 7).
const EXIT_CANNOT: u8 = 2;

/// The files of a bundle, through the host.
struct HostFiles<'a, H>(&'a H);

impl<H: Host> HostFiles<'_, H> {
    /// The length of the file, which is open from here on.
    fn open(&self, path: &str, limit_bytes: u64) -> Result<Option<u64>, SourceError> {
        match self.0.open(path) {
            ABSENT => Ok(None),
            length => {
                let length = u64::try_from(length).map_err(|_| unreadable(path))?;
                let fits = length <= limit_bytes;
                fits.then_some(Some(length)).ok_or_else(|| SourceError::TooLong { path: path.to_owned(), limit_bytes })
            }
        }
    }

    /// The whole of the file that is open.
    fn whole(&self, path: &str, length: u64) -> Result<Vec<u8>, SourceError> {
        // One byte more than there should be: a file that grew is not the one whose length was asked.
        let mut bytes = vec![0; usize::try_from(length).map_err(|_| unreadable(path))? + 1];
        let filled = self.fill(path, &mut bytes)?;
        if filled as u64 != length {
            return Err(changed(path));
        }
        bytes.truncate(filled);
        Ok(bytes)
    }

    /// Reads until `buffer` is full or the file ends, and says how much that was.
    fn fill(&self, path: &str, buffer: &mut [u8]) -> Result<usize, SourceError> {
        let mut filled = 0;
        while filled < buffer.len() {
            let count = usize::try_from(self.0.read(&mut buffer[filled..])).map_err(|_| unreadable(path))?;
            if count == 0 {
                break;
            }
            if count > buffer.len() - filled {
                return Err(unreadable(path));
            }
            filled += count;
        }
        Ok(filled)
    }
}

impl<H: Host> BundleSource for HostFiles<'_, H> {
    fn read(&self, path: &str, limit_bytes: u64) -> Result<Option<Vec<u8>>, SourceError> {
        let Some(length) = self.open(path, limit_bytes)? else { return Ok(None) };
        self.whole(path, length).map(Some)
    }

    fn hash(&self, path: &str, limit_bytes: u64) -> Result<Option<(Hash, u64)>, SourceError> {
        let Some(length) = self.open(path, limit_bytes)? else { return Ok(None) };
        let mut hasher = Sha256::new();
        let mut buffer = vec![0; HASH_BUFFER_BYTES];
        let mut total = 0;
        loop {
            let count = self.fill(path, &mut buffer)?;
            if count == 0 {
                let hash = Hash(hasher.finalize().into());
                return if total == length { Ok(Some((hash, total))) } else { Err(changed(path)) };
            }
            hasher.update(&buffer[..count]);
            total += count as u64;
        }
    }

    fn list(&self, files_max: usize) -> Result<Vec<String>, SourceError> {
        let length = u64::try_from(self.0.list()).map_err(|_| unreadable(LISTING))?;
        if length > LISTING_BYTES_MAX {
            return Err(error(LISTING, format!("it is longer than {LISTING_BYTES_MAX} bytes")));
        }
        let listing = self.whole(LISTING, length)?;
        // The last name ends in a zero byte too, and nothing stands after it.
        let names = listing.split(|byte| *byte == 0).filter(|name| !name.is_empty());
        if names.clone().count() > files_max {
            return Err(SourceError::TooManyFiles { files_max });
        }
        let mut names: Vec<String> = names.map(listed_name).collect();
        names.sort_unstable();
        Ok(names)
    }
}

fn error(path: &str, reason: String) -> SourceError {
    SourceError::Unreadable { path: path.to_owned(), reason }
}

fn unreadable(path: &str) -> SourceError {
    error(path, "the host does not give it".to_owned())
}

fn changed(path: &str) -> SourceError {
    error(path, "its length changed while it was read".to_owned())
}

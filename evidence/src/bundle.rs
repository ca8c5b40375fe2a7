//! The bundle: what is handed to a court, as files with names (docs/formats/bundle.md).
//!
//! It does not know whether the files lie in a folder or elsewhere, and judges nothing; `verify` does.

mod manifest;

use exhibit_tlog::Hash;

pub use manifest::{DisclosedFragment, DisclosedSegment, Disclosure, FileRecord, Manifest, Question};

use crate::shown::printable;

/// The manifest's name.
pub const MANIFEST: &str = "manifest.json";
/// The checkpoint that every receipt of the bundle stands under.
pub const CHECKPOINT: &str = "checkpoint";
/// The exporter's signed statement about this bundle.
pub const EXPORT_ENTRY: &str = "export.p7s";
/// Its receipt.
pub const EXPORT_RECEIPT: &str = "export.tlog-proof";
/// `type` of a manifest.
pub const MANIFEST_TYPE: &str = "exhibit-bundle/v1";
/// `type` of a disclosure.
pub const DISCLOSURE_TYPE: &str = "exhibit-disclosure/v1";
/// A manifest is at most this long: some 400,000 segments, a camera's week of two seconds each.
pub const MANIFEST_BYTES_MAX: u64 = 32 << 20;
/// A manifest lists at most this many entries, and as many segments: more than it has room for, in either verifier's memory.
pub const LISTED_MAX: usize = 1_000_000;
/// A manifest lists at most this many other files: playable copies, of which a camera's hour makes one or two, and revocation lists.
pub const RECORDS_MAX: usize = 100_000;
/// The path of such a file is at most this long: what unpacks on every machine.
pub const PATH_BYTES_MAX: usize = 1_024;
/// Such a path has at most this many components: ours have four, and what nests without end can not be listed.
pub const PATH_COMPONENTS_MAX: usize = 8;
/// A disclosure is at most this long: 256 fragments at about 160 bytes each, and room.
pub const DISCLOSURE_BYTES_MAX: u64 = 128 << 10;
/// A plaintext fragment is at most this long: the 8 MiB of a segment.
pub const FRAGMENT_BYTES_MAX: u64 = 8 << 20;
/// A bundle has at most this many files: a week of segments with ten fragments each.
pub const FILES_MAX: usize = 8 << 20;
/// At most this many tokens stand over the bundle's checkpoint.
pub const CHECKPOINT_TOKENS_MAX: usize = 8;
/// Where the playable copies are. What lies there is taken for the camera's.
pub const WORKING_FOLDER: &str = "working/";
/// What says to whoever opens the folder what it is.
pub const README: &str = "README.md";
/// Where a manifest's revocation lists are.
pub const REVOCATION_FOLDER: &str = "crls/";
/// A bundle has at most this many of them: one for each authority on a path, and of several moments.
pub const REVOCATION_LISTS_MAX: usize = 64;
/// A revocation list is at most this long.
pub const REVOCATION_LIST_BYTES_MAX: u64 = 8 << 20;
/// A small file (entry, receipt, checkpoint, certificate) is at most this long.
pub const SMALL_FILE_BYTES_MAX: u64 = 1 << 20;

/// Files of a bundle, wherever they are.
pub trait BundleSource {
    /// The bytes of a file; `None` if there is no such file. One longer than `limit_bytes` is not read: `SourceError::TooLong`.
    fn read(&self, path: &str, limit_bytes: u64) -> Result<Option<Vec<u8>>, SourceError>;
    /// SHA-256 and length of a file that may be too large to hold; `None` if there is no such file.
    fn hash(&self, path: &str, limit_bytes: u64) -> Result<Option<(Hash, u64)>, SourceError>;
    /// The names of all files as `listed_name` has them, in order. More than `files_max` are not listed: `SourceError::TooManyFiles`.
    fn list(&self, files_max: usize) -> Result<Vec<String>, SourceError>;
    /// A file to be read beside others, for a comparison with what is made out of them; `None` if there is no such file, or where a source
    /// gives one file at a time. What can not be compared in passing is hashed, so this saves time and decides nothing.
    fn beside(&self, _path: &str) -> Result<Option<Box<dyn FileBeside + '_>>, SourceError> {
        Ok(None)
    }
}

/// A file that is read from its beginning while others are.
pub trait FileBeside {
    /// Puts the next bytes into `buffer` and says how many: fewer than it holds only at the end of the file.
    fn fill(&mut self, buffer: &mut [u8]) -> Result<usize, SourceError>;
}

/// Why files of a bundle were not read. The first two are the bundle's fault, which a verdict tells; the last is the machine's, and there is none.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SourceError {
    /// A file is longer than anything of its kind.
    #[error("{} is longer than {limit_bytes} bytes", printable(path))]
    TooLong {
        /// The file, by its path in the bundle.
        path: String,
        /// What is read at most.
        limit_bytes: u64,
    },
    /// There are more files than any bundle has.
    #[error("there are more than {files_max} files")]
    TooManyFiles {
        /// How many are listed at most.
        files_max: usize,
    },
    /// A file is there, and this machine does not give it.
    #[error("cannot read {}: {}", printable(path), printable(reason))]
    Unreadable {
        /// The file, by its path in the bundle.
        path: String,
        /// What the system said.
        reason: String,
    },
}

/// A file's name, relative to the bundle, as it is listed: each byte that belongs to no UTF-8 as `\xff`. A manifest's path has no backslash, so
/// it names no such file; of a name that is only made readable, two files could have the same, and one of them be named.
pub fn listed_name(name: &[u8]) -> String {
    let mut listed = String::with_capacity(name.len());
    for chunk in name.utf8_chunks() {
        listed.push_str(chunk.valid());
        chunk.invalid().iter().for_each(|byte| listed.push_str(&format!("\\x{byte:02x}")));
    }
    listed
}

/// Where the signed statement of an entry is.
pub fn entry_path(index: u64) -> String {
    format!("entries/{index:010}.p7s")
}

/// Where its receipt is.
pub fn receipt_path(index: u64) -> String {
    format!("entries/{index:010}.tlog-proof")
}

/// Where the proof is that the head which an entry observed is a part of this log.
pub fn observed_proof_path(index: u64) -> String {
    format!("entries/{index:010}.observed")
}

/// Where the proof is that the checkpoint which a `timestamp/v1` entry holds is a part of this log.
pub fn timestamp_proof_path(index: u64) -> String {
    format!("entries/{index:010}.consistency")
}

/// The first line of a proof of consistency.
pub(crate) const CONSISTENCY_HEADER: &str = "exhibit-consistency/v1";

/// A proof of consistency, as a file of a bundle.
pub fn consistency_file(path: &[Hash]) -> String {
    let lines: Vec<String> = path.iter().map(|hash| format!("{}\n", hash.to_base64())).collect();
    format!("{CONSISTENCY_HEADER}\n{}", lines.concat())
}

/// Where a timestamp token over the bundle's checkpoint is, from 0 on without holes.
pub fn checkpoint_token_path(number: usize) -> String {
    format!("checkpoint.token-{number}")
}

/// Where an attachment is, by the SHA-256 of its stored bytes.
pub fn attachment_path(sha256: &Hash) -> String {
    format!("attachments/{sha256}")
}

/// Where a segment's disclosure is.
pub fn disclosure_path(stream: &str, seq: u64) -> String {
    format!("{}/disclosure.json", segment_folder(stream, seq))
}

/// Where the plaintext of a fragment is.
pub fn fragment_path(stream: &str, seq: u64, index: u32) -> String {
    format!("{}/{index:03}.bin", segment_folder(stream, seq))
}

/// The folder of a disclosed segment. `~` stands for the `/` of a stream's name and occurs in none.
fn segment_folder(stream: &str, seq: u64) -> String {
    format!("disclosed/{}/{seq:010}", stream.replace('/', "~"))
}

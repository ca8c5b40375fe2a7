//! The bundle: what is handed to a court, as files with names (docs/formats/bundle.md).
//!
//! It does not know whether the files lie in a folder or elsewhere, and judges nothing; `verify` does.

use exhibit_tlog::Hash;
use serde::{Deserialize, Serialize};

use crate::objects::{object, objects};
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
/// A manifest is at most this long: about a hundred thousand segments, a camera's week.
pub const MANIFEST_BYTES_MAX: u64 = 32 << 20;
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

/// `manifest.json`: what the bundle answers and holds. Its SHA-256 stands in the exporter's statement.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Manifest {
    /// `exhibit-bundle/v1`
    #[serde(rename = "type")]
    pub type_name: String,
    /// The log, by the leaf hash of its genesis, hex.
    pub log: String,
    /// When it was made, by the exporter's clock.
    pub created: String,
    /// Program and version that made it.
    pub software: String,
    /// What was asked for.
    #[serde(deserialize_with = "object")]
    pub question: Question,
    /// Indexes of the entries held, rising. Each is `entries/<index>.p7s` with its receipt.
    pub entries: Vec<u64>,
    /// Segments whose content is disclosed, in order.
    #[serde(deserialize_with = "objects")]
    pub segments: Vec<DisclosedSegment>,
    /// Other files, by hash: working copies, the README.
    #[serde(deserialize_with = "objects")]
    pub files: Vec<FileRecord>,
}

/// What was asked for: a series of streams and an interval by the camera's clock.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Question {
    /// `camera/102/main`
    pub series: String,
    /// From.
    pub from: String,
    /// To.
    pub to: String,
}

/// A segment whose content is disclosed, whole or in part.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DisclosedSegment {
    /// Its stream.
    pub stream: String,
    /// Its position there.
    pub seq: u64,
}

/// A file by its hash.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FileRecord {
    /// Relative to the bundle, `/` between components.
    pub path: String,
    /// SHA-256, hex.
    pub sha256: String,
    /// Bytes.
    pub length: u64,
}

/// `disclosed/<stream>/<seq>/disclosure.json`: the commitments of all fragments of a segment, and the keys of those disclosed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Disclosure {
    /// `exhibit-disclosure/v1`
    #[serde(rename = "type")]
    pub type_name: String,
    /// The stream.
    pub stream: String,
    /// The position.
    pub seq: u64,
    /// The commitment of every fragment of the segment, hex; their root is what the camera signed.
    pub commitments: Vec<String>,
    /// The fragments disclosed, rising.
    #[serde(deserialize_with = "objects")]
    pub fragments: Vec<DisclosedFragment>,
}

/// A disclosed fragment; its plaintext is `disclosed/<stream>/<seq>/<index>.bin`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DisclosedFragment {
    /// Position in the segment.
    pub index: u32,
    /// The key of its commitment, hex. It opens nothing.
    pub key: String,
}

/// Files of a bundle, wherever they are.
pub trait BundleSource {
    /// The bytes of a file; `None` if there is no such file. A file longer than `limit_bytes` is an error, not read.
    fn read(&self, path: &str, limit_bytes: u64) -> Result<Option<Vec<u8>>, SourceError>;
    /// SHA-256 and length of a file that may be too large to hold; `None` if there is no such file.
    fn hash(&self, path: &str, limit_bytes: u64) -> Result<Option<(Hash, u64)>, SourceError>;
    /// The names of all files, in order. More than `files_max` are an error.
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

/// A file could not be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("cannot read {}: {}", printable(path), printable(reason))]
pub struct SourceError {
    /// Which.
    pub path: String,
    /// Why.
    pub reason: String,
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

impl Manifest {
    /// Parses strictly: unknown and doubled members are refused, entries and segments must rise.
    pub fn parse(json: &[u8]) -> Result<Self, String> {
        let manifest: Self = parse(json)?;
        if manifest.type_name != MANIFEST_TYPE {
            return Err(format!("its type is {:?}, not {MANIFEST_TYPE}", manifest.type_name));
        }
        if !manifest.entries.is_sorted_by(|a, b| a < b) {
            return Err("its entries are not in rising order".to_owned());
        }
        if !manifest.segments.is_sorted_by(|a, b| (&a.stream, a.seq) < (&b.stream, b.seq)) {
            return Err("its segments are not in rising order".to_owned());
        }
        let mut paths: Vec<&str> = manifest.files.iter().map(|file| file.path.as_str()).collect();
        paths.sort_unstable();
        if paths.windows(2).any(|pair| pair[0] == pair[1]) {
            return Err("a file is listed twice".to_owned());
        }
        Ok(manifest)
    }
}

impl Disclosure {
    /// Parses strictly; the fragments must rise.
    pub fn parse(json: &[u8]) -> Result<Self, String> {
        let disclosure: Self = parse(json)?;
        if disclosure.type_name != DISCLOSURE_TYPE {
            return Err(format!("its type is {:?}, not {DISCLOSURE_TYPE}", disclosure.type_name));
        }
        if !disclosure.fragments.is_sorted_by(|a, b| a.index < b.index) {
            return Err("its fragments are not in rising order".to_owned());
        }
        Ok(disclosure)
    }
}

fn parse<'a, T: Deserialize<'a>>(json: &'a [u8]) -> Result<T, String> {
    let mut deserializer = serde_json::Deserializer::from_slice(json);
    let parsed = object(&mut deserializer).map_err(|error| error.to_string())?;
    deserializer.end().map_err(|error| error.to_string())?;
    Ok(parsed)
}

//! The two JSON files of a bundle: `manifest.json` and a segment's `disclosure.json`.
//!
//! Read strictly into what they are, and never into values of any form: of those a hostile file could make fifty times its own length. It knows
//! nothing of what the files that they name hold.

use exhibit_pki::Timestamp;
use exhibit_tlog::Hash;
use serde::{Deserialize, Serialize};

use super::{DISCLOSURE_TYPE, LISTED_MAX, MANIFEST_TYPE, PATH_BYTES_MAX, PATH_COMPONENTS_MAX, RECORDS_MAX};
use crate::StreamName;
use crate::body::read::is_of_camera;
use crate::json::INTEGER_MAX;
use crate::objects::{object, objects};
use crate::segment::FRAGMENTS_MAX;

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
    /// The beginning of the interval, by the camera's clock, RFC 3339.
    pub from: String,
    /// Its end, not before that.
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

impl Manifest {
    /// Parses strictly (docs/formats/bundle.md): no member unknown, doubled or missing, everything in its form and within its limits, entries
    /// and segments rising, no file listed twice.
    pub fn parse(json: &[u8]) -> Result<Self, String> {
        let manifest: Self = parse(json)?;
        need(manifest.type_name == MANIFEST_TYPE, || format!("its type is not {MANIFEST_TYPE}"))?;
        need(is_hash(&manifest.log), || "its log is not a hash".to_owned())?;
        need(Timestamp::parse(&manifest.created).is_ok(), || "created is not a time".to_owned())?;
        manifest.question.interval()?;
        need(manifest.question.is_of_camera(), || "what is asked for is no series of a camera's streams".to_owned())?;
        for (name, count, max) in [
            ("entries", manifest.entries.len(), LISTED_MAX),
            ("segments", manifest.segments.len(), LISTED_MAX),
            ("files", manifest.files.len(), RECORDS_MAX),
        ] {
            need(count <= max, || format!("its {name} are more than {max}"))?;
        }
        need(manifest.entries.is_sorted_by(|a, b| a < b), || "its entries are not in rising order".to_owned())?;
        need(manifest.entries.last().is_none_or(|last| *last <= INTEGER_MAX), || "an entry is not below 2^53".to_owned())?;
        manifest.segments.iter().try_for_each(|segment| of_stream(&segment.stream, segment.seq))?;
        let rise = manifest.segments.is_sorted_by(|a, b| (&a.stream, a.seq) < (&b.stream, b.seq));
        need(rise, || "its segments are not in rising order".to_owned())?;
        manifest.files.iter().try_for_each(FileRecord::check)?;
        let mut paths: Vec<&str> = manifest.files.iter().map(|file| file.path.as_str()).collect();
        paths.sort_unstable();
        need(paths.is_sorted_by(|a, b| a < b), || "a file is listed twice".to_owned())?;
        Ok(manifest)
    }
}

impl Question {
    /// The interval asked for.
    pub fn interval(&self) -> Result<(Timestamp, Timestamp), String> {
        let parse = |text: &str| Timestamp::parse(text).map_err(|_| "the interval asked for is not one of two times".to_owned());
        let (from, to) = (parse(&self.from)?, parse(&self.to)?);
        need(from <= to, || "the interval asked for ends before it begins".to_owned())?;
        Ok((from, to))
    }

    /// What is disclosed, and all that is judged of cameras, is of one series: whoever makes the manifest must not make it of none.
    fn is_of_camera(&self) -> bool {
        StreamName::parse(&format!("{}/0", self.series)).is_ok_and(|stream| is_of_camera(&stream))
    }
}

impl FileRecord {
    fn check(&self) -> Result<(), String> {
        need(is_path(&self.path), || "a file's path is not one within a bundle".to_owned())?;
        need(is_hash(&self.sha256), || "a file's sha256 is not a hash".to_owned())?;
        need(self.length <= INTEGER_MAX, || "a file's length is not below 2^53".to_owned())
    }
}

impl Disclosure {
    /// Parses strictly, as a manifest. The fragments rise, and there is a commitment for each.
    pub fn parse(json: &[u8]) -> Result<Self, String> {
        let disclosure: Self = parse(json)?;
        need(disclosure.type_name == DISCLOSURE_TYPE, || format!("its type is not {DISCLOSURE_TYPE}"))?;
        of_stream(&disclosure.stream, disclosure.seq)?;
        let count = disclosure.commitments.len();
        need((1..=FRAGMENTS_MAX).contains(&count), || format!("there are not 1 to {FRAGMENTS_MAX} commitments"))?;
        need(disclosure.commitments.iter().all(|text| is_hash(text)), || "a commitment is not a hash".to_owned())?;
        need(disclosure.fragments.is_sorted_by(|a, b| a.index < b.index), || "its fragments are not in rising order".to_owned())?;
        let within = disclosure.fragments.last().is_none_or(|last| (last.index as usize) < count);
        need(within, || "it discloses a fragment without a commitment".to_owned())?;
        need(disclosure.fragments.iter().all(|fragment| is_hash(&fragment.key)), || "a key is not 32 bytes of hex".to_owned())?;
        Ok(disclosure)
    }
}

fn parse<'a, T: Deserialize<'a>>(json: &'a [u8]) -> Result<T, String> {
    let mut deserializer = serde_json::Deserializer::from_slice(json);
    let parsed = object(&mut deserializer).map_err(|error| error.to_string())?;
    deserializer.end().map_err(|error| error.to_string())?;
    Ok(parsed)
}

fn need(holds: bool, otherwise: impl FnOnce() -> String) -> Result<(), String> {
    if holds { Ok(()) } else { Err(otherwise()) }
}

fn is_hash(text: &str) -> bool {
    Hash::from_hex(text).is_some()
}

fn of_stream(stream: &str, seq: u64) -> Result<(), String> {
    need(StreamName::parse(stream).is_ok(), || "a stream's name is none".to_owned())?;
    need(seq <= INTEGER_MAX, || "a seq is not below 2^53".to_owned())
}

/// One spelling for each file, which leads nowhere else on any machine.
fn is_path(path: &str) -> bool {
    let component = |part: &str| !matches!(part, "" | "." | "..") && !part.contains(|character| character < ' ' || character == '\\');
    path.len() <= PATH_BYTES_MAX && path.split('/').count() <= PATH_COMPONENTS_MAX && path.split('/').all(component)
}

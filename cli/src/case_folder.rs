//! What `fetch` leaves and `export` takes: the entries, certificates and opened fragments of a case, laid out as in a bundle, with `case.json`.

use std::fs;
use std::path::{Path, PathBuf};

use exhibit_evidence::bundle::{self, DisclosedSegment, Question};
use exhibit_tlog::Hash;
use serde::{Deserialize, Serialize};

use crate::bundle_folder;
use crate::evidence_access::Found;
use crate::failure::Failure;

/// `case.json`, written last: a folder without it is a fetch that was cut off.
const CASE: &str = "case.json";
/// Its `type`.
const CASE_TYPE: &str = "exhibit-case/v1";

/// `case.json`
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Case {
    #[serde(rename = "type")]
    type_name: String,
    /// The log.
    pub log: String,
    /// What was asked for.
    pub question: Question,
    /// Leaf hash of the `fetch` statement.
    pub fetch: String,
    /// Indexes of the entries held, rising.
    pub entries: Vec<u64>,
    /// Segments opened, in order.
    pub segments: Vec<DisclosedSegment>,
}

/// A case folder being filled.
pub struct CaseFolder {
    root: PathBuf,
    entries: Vec<u64>,
    segments: Vec<DisclosedSegment>,
}

impl CaseFolder {
    /// Makes the folder.
    pub fn create(root: &Path) -> Result<Self, Failure> {
        bundle_folder::create_empty(root)?;
        Ok(Self { root: root.to_owned(), entries: Vec::new(), segments: Vec::new() })
    }

    /// Keeps an entry. True if it is new here.
    pub fn keep(&mut self, found: &Found) -> Result<bool, Failure> {
        let index = found.receipt.index;
        let Err(position) = self.entries.binary_search(&index) else { return Ok(false) };
        bundle_folder::write(&self.root, &bundle::entry_path(index), found.signed.der())?;
        self.entries.insert(position, index);
        Ok(true)
    }

    /// Keeps an attachment's stored bytes.
    pub fn keep_attachment(&self, sha256: &Hash, stored: &[u8]) -> Result<(), Failure> {
        bundle_folder::write(&self.root, &bundle::attachment_path(sha256), stored)
    }

    /// Keeps the plaintext of a fragment.
    pub fn keep_fragment(&self, stream: &str, seq: u64, index: u32, plaintext: &[u8]) -> Result<(), Failure> {
        bundle_folder::write(&self.root, &bundle::fragment_path(stream, seq, index), plaintext)
    }

    /// Keeps a segment's disclosure: the segment is whole.
    pub fn keep_segment(&mut self, disclosure: &bundle::Disclosure) -> Result<(), Failure> {
        let json = serde_json::to_vec(disclosure).expect("a disclosure is plain data");
        bundle_folder::write(&self.root, &bundle::disclosure_path(&disclosure.stream, disclosure.seq), &json)?;
        self.segments.push(DisclosedSegment { stream: disclosure.stream.clone(), seq: disclosure.seq });
        Ok(())
    }

    /// Number of segments opened.
    pub fn segment_count(&self) -> usize {
        self.segments.len()
    }

    /// Writes `case.json`.
    pub fn finish(mut self, log: &Hash, question: Question, fetch: &Hash) -> Result<(), Failure> {
        self.segments.sort_by(|a, b| (&a.stream, a.seq).cmp(&(&b.stream, b.seq)));
        let case = Case {
            type_name: CASE_TYPE.to_owned(),
            log: log.to_string(),
            question,
            fetch: fetch.to_string(),
            entries: self.entries,
            segments: self.segments,
        };
        bundle_folder::write(&self.root, CASE, &serde_json::to_vec_pretty(&case).expect("a case is plain data"))
    }
}

impl Case {
    /// Reads `case.json`.
    pub fn read(root: &Path) -> Result<Self, Failure> {
        let path = root.join(CASE);
        let json = fs::read(&path).map_err(Failure::file("read", &path))?;
        let case: Self = serde_json::from_slice(&json).map_err(|error| Failure::content(&path, error))?;
        if case.type_name != CASE_TYPE {
            return Err(Failure::content(&path, format!("its type is {:?}, not {CASE_TYPE}", case.type_name)));
        }
        Ok(case)
    }
}

//! C2SP tlog-mirror: the body of `add-entries`, and what a mirror says of its state.
//!
//! It verifies no proof, knows nothing of HTTP, and keeps nothing: a body of any length is read one package at a time.

use base64ct::{Base64, Encoding};

use crate::Hash;
use crate::decimal::parse_decimal;
use crate::proof::PROOF_HASHES_MAX;
use crate::tile::{ENTRY_SIZE_BYTES_MAX, TILE_WIDTH, TileError, encode_bundle};

/// So many packages a client sends in one request at most.
pub const REQUEST_PACKAGES_MAX: u64 = 32;
/// The `Content-Type` of `add-entries`.
pub const ADD_ENTRIES_CONTENT_TYPE: &str = "application/octet-stream";
/// The `Content-Type` of [`MirrorInfo`].
pub const MIRROR_INFO_CONTENT_TYPE: &str = "text/x.tlog.mirror-info";
/// The longest package: a bundle of the longest entries, and the longest proof.
pub const PACKAGE_SIZE_BYTES_MAX: usize = TILE_WIDTH as usize * (ENTRY_SIZE_BYTES_MAX + 2) + 1 + PROOF_HASHES_MAX * 32;
/// The longest header: two fields with 16 bits of length, and two numbers.
pub const UPLOAD_HEADER_SIZE_BYTES_MAX: usize = 2 * (2 + u16::MAX as usize) + 16;
/// The longest [`MirrorInfo`]: the longest ticket in base64, and two numbers of 20 digits.
pub const MIRROR_INFO_SIZE_BYTES_MAX: usize = (u16::MAX as usize).div_ceil(3) * 4 + 43;

/// What stands before the packages.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UploadHeader {
    /// The log.
    pub origin: String,
    /// The first entry.
    pub start: u64,
    /// The size of the checkpoint that the entries are proven in.
    pub end: u64,
    /// What the mirror gave the last time; empty at first.
    pub ticket: Vec<u8>,
}

/// Entries up to the end of their bundle or of the upload, and the proof that they are in the checkpoint.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EntryPackage {
    /// The entries.
    pub entries: Vec<Vec<u8>>,
    /// The subtree consistency proof from the bundle up to there.
    pub proof: Vec<Hash>,
}

/// What a mirror says where an upload did not fit (409), or was not whole (202).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MirrorInfo {
    /// Size of a pending checkpoint.
    pub size: u64,
    /// The first entry that it does not have.
    pub next: u64,
    /// To be sent with what comes next.
    pub ticket: Vec<u8>,
}

/// Why bytes are no part of an upload, and no more of them will make them one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum UploadError {
    /// The origin is not UTF-8.
    #[error("the log's name is not UTF-8")]
    Origin,
    /// More than 63 hashes.
    #[error("a proof has too many hashes")]
    Proof,
}

impl UploadHeader {
    /// Reads what `bytes` begin with, and gives what is behind it; `None` if they end too early.
    pub fn parse(bytes: &[u8]) -> Result<Option<(Self, &[u8])>, UploadError> {
        let Some((header, rest)) = Self::split(bytes) else { return Ok(None) };
        let (origin, start, end, ticket) = header;
        let origin = std::str::from_utf8(origin).map_err(|_| UploadError::Origin)?.to_owned();
        Ok(Some((Self { origin, start, end, ticket: ticket.to_vec() }, rest)))
    }

    #[allow(clippy::type_complexity)]
    fn split(bytes: &[u8]) -> Option<((&[u8], u64, u64, &[u8]), &[u8])> {
        let (origin, rest) = split_field(bytes)?;
        let (start, rest) = rest.split_first_chunk()?;
        let (end, rest) = rest.split_first_chunk()?;
        let (ticket, rest) = split_field(rest)?;
        Some(((origin, u64::from_be_bytes(*start), u64::from_be_bytes(*end), ticket), rest))
    }

    /// The bytes; `None` if origin or ticket is longer than 65,535.
    pub fn to_bytes(&self) -> Option<Vec<u8>> {
        let length = |field: &[u8]| u16::try_from(field.len()).map(u16::to_be_bytes).ok();
        let mut bytes = length(self.origin.as_bytes())?.to_vec();
        bytes.extend_from_slice(self.origin.as_bytes());
        bytes.extend_from_slice(&self.start.to_be_bytes());
        bytes.extend_from_slice(&self.end.to_be_bytes());
        bytes.extend_from_slice(&length(&self.ticket)?);
        bytes.extend_from_slice(&self.ticket);
        Some(bytes)
    }
}

impl EntryPackage {
    /// Where the package that begins with entry `start` ends, in an upload that ends with `upload_end`.
    pub fn end(start: u64, upload_end: u64) -> u64 {
        let width = u64::from(TILE_WIDTH);
        (start - start % width).saturating_add(width).min(upload_end)
    }

    /// Reads the package of `count` entries that `bytes` begin with, and gives what is behind it; `None` if they end too early. Nothing is
    /// copied before all of it is there.
    pub fn parse(bytes: &[u8], count: u16) -> Result<Option<(Self, &[u8])>, UploadError> {
        let mut rest = bytes;
        for _ in 0..count {
            let Some((_, after)) = split_field(rest) else { return Ok(None) };
            rest = after;
        }
        let Some((hashes, rest)) = rest.split_first() else { return Ok(None) };
        if usize::from(*hashes) > PROOF_HASHES_MAX {
            return Err(UploadError::Proof);
        }
        let Some((proof, rest)) = rest.split_at_checked(usize::from(*hashes) * 32) else { return Ok(None) };
        let mut fields = bytes;
        let mut entries = Vec::with_capacity(usize::from(count));
        while let (true, Some((entry, after))) = (entries.len() < usize::from(count), split_field(fields)) {
            entries.push(entry.to_vec());
            fields = after;
        }
        let (proof, _) = proof.as_chunks::<32>();
        Ok(Some((Self { entries, proof: proof.iter().copied().map(Hash).collect() }, rest)))
    }

    /// The bytes; refuses more than 256 entries, none, and entries that are too long. `proof` has at most 63 hashes, as every proof has.
    pub fn encode(entries: &[&[u8]], proof: &[Hash]) -> Result<Vec<u8>, TileError> {
        let mut bytes = encode_bundle(entries)?;
        bytes.push(u8::try_from(proof.len()).map_err(|_| TileError::Width)?);
        bytes.extend(proof.iter().flat_map(|hash| hash.0));
        Ok(bytes)
    }
}

impl MirrorInfo {
    /// Parses strictly.
    pub fn parse(text: &str) -> Option<Self> {
        if text.len() > MIRROR_INFO_SIZE_BYTES_MAX {
            return None;
        }
        let mut lines = text.strip_suffix('\n')?.split('\n');
        let (size, next) = (parse_decimal(lines.next()?)?, parse_decimal(lines.next()?)?);
        let ticket = Base64::decode_vec(lines.next()?).ok()?;
        // One that does not fit into the next request is of no use.
        let fits = ticket.len() <= usize::from(u16::MAX);
        (lines.next().is_none() && fits).then_some(Self { size, next, ticket })
    }

    /// The body of the answer.
    pub fn to_text(&self) -> String {
        format!("{}\n{}\n{}\n", self.size, self.next, Base64::encode_string(&self.ticket))
    }
}

/// What stands after 16 bits of length.
fn split_field(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let (length, rest) = bytes.split_first_chunk()?;
    rest.split_at_checked(usize::from(u16::from_be_bytes(*length)))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn what_is_read_is_what_was_written_and_any_part_of_it_waits_for_more() {
        let header = UploadHeader { origin: "exhibit.example/log".into(), start: 300, end: 1000, ticket: vec![1, 2, 3] };
        let entries: Vec<&[u8]> = vec![b"one", b"", b"three"];
        let package = EntryPackage { entries: entries.iter().map(|entry| entry.to_vec()).collect(), proof: vec![Hash([7; 32]); 2] };
        let (header_bytes, package_bytes) = (header.to_bytes().unwrap(), EntryPackage::encode(&entries, &package.proof).unwrap());
        let more = |bytes: &[u8]| [bytes, b"more"].concat();
        assert_eq!(UploadHeader::parse(&more(&header_bytes)), Ok(Some((header, &b"more"[..]))));
        assert_eq!(EntryPackage::parse(&more(&package_bytes), 3), Ok(Some((package, &b"more"[..]))));
        let bare = EntryPackage { entries: entries.iter().map(|entry| entry.to_vec()).collect(), proof: vec![] };
        let bare_bytes = EntryPackage::encode(&entries, &[]).unwrap();
        let looks_like_an_entry = &b"\0\x01x"[..];
        assert_eq!(EntryPackage::parse(&[&bare_bytes[..], looks_like_an_entry].concat(), 3), Ok(Some((bare, looks_like_an_entry))));
        (0..header_bytes.len()).for_each(|cut| assert_eq!(UploadHeader::parse(&header_bytes[..cut]), Ok(None)));
        (0..package_bytes.len()).for_each(|cut| assert_eq!(EntryPackage::parse(&package_bytes[..cut], 3), Ok(None)));
        // The example of docs/formats/witness.md.
        assert_eq!(hex::encode(&header_bytes[21..]), "000000000000012c00000000000003e80003010203");
    }

    #[test]
    fn what_no_more_bytes_can_mend_is_refused_at_once() {
        assert_eq!(UploadHeader::parse(&[&b"\0\x02\xff\xff"[..], &[0; 18]].concat()), Err(UploadError::Origin));
        assert_eq!(EntryPackage::parse(b"\0\x01a\x40", 1), Err(UploadError::Proof), "64 hashes");
        assert_eq!(EntryPackage::parse(b"\0\x01a\x3f", 1), Ok(None));
        assert_eq!(EntryPackage::encode(&[], &[]), Err(TileError::Width), "a package of nothing");
        let long = UploadHeader { origin: "x".repeat(65_536), start: 0, end: 0, ticket: vec![] };
        assert_eq!(long.to_bytes(), None);
    }

    #[test]
    fn a_package_ends_with_its_bundle_or_with_the_upload() {
        for ((start, upload_end), end) in [((0, 1000), 256), ((255, 1000), 256), ((256, 1000), 512), ((900, 1000), 1000), ((300, 310), 310)]
        {
            assert_eq!(EntryPackage::end(start, upload_end), end);
        }
        assert_eq!(EntryPackage::end(u64::MAX - 1, u64::MAX), u64::MAX);
    }

    #[test]
    fn what_a_mirror_says_is_read_strictly() {
        let info = MirrorInfo { size: 1000, next: 512, ticket: b"ticket".to_vec() };
        assert_eq!(info.to_text(), "1000\n512\ndGlja2V0\n");
        assert_eq!(MirrorInfo::parse(&info.to_text()), Some(info));
        assert_eq!(MirrorInfo::parse("0\n0\n\n"), Some(MirrorInfo { size: 0, next: 0, ticket: vec![] }));
        for (defect, text) in [
            ("nothing", String::new()),
            ("no ticket", "1000\n512\n".into()),
            ("no last newline", "1000\n512\ndGlja2V0".into()),
            ("a sign", "+1000\n512\n\n".into()),
            ("a leading zero", "1000\n0512\n\n".into()),
            ("a fourth line", "1000\n512\n\n\n".into()),
            ("a ticket that is no base64", "1000\n512\n!\n".into()),
            ("a ticket without padding", "1000\n512\ndGlja2V0cw\n".into()),
            ("a ticket too long to be sent", MirrorInfo { size: 1, next: 1, ticket: vec![0; 65_536] }.to_text()),
        ] {
            assert_eq!(MirrorInfo::parse(&text), None, "{defect}");
        }
        let longest = MirrorInfo { size: u64::MAX, next: u64::MAX, ticket: vec![0; 65_535] };
        assert_eq!(longest.to_text().len(), MIRROR_INFO_SIZE_BYTES_MAX);
        assert_eq!(MirrorInfo::parse(&longest.to_text()), Some(longest));
    }
}

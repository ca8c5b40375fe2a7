//! Reads and writes what stands in the bodies of several types, each within its limit.
//!
//! It does not know the types.

use exhibit_pki::{Fingerprint, Subject, Timestamp};
use exhibit_tlog::{Hash, VerifierKey};

use super::{
    ATTACHMENT_BYTES_MAX, ATTACHMENT_NAME_BYTES_MAX, ATTACHMENTS_MAX, AttachmentRef, ERASABLE_SALT_BYTES, LOG_KEY_BYTES_MAX, LOG_KEYS_MAX,
    RANGES_MAX, SeqRange,
};
use crate::{
    StreamName,
    json::{self, JsonError, Object, ObjectWriter},
};

/// `attachments`: every body has them.
pub(crate) fn attachments(object: &mut Object) -> Result<Vec<AttachmentRef>, JsonError> {
    let attachments = object.array("attachments", 0, ATTACHMENTS_MAX, |item, position| {
        let mut reference = item.object(position)?;
        let name = reference.text("name", ATTACHMENT_NAME_BYTES_MAX, name_byte)?;
        let sha256 = reference.hash("sha256")?;
        let length = reference.integer("length", 0, ATTACHMENT_BYTES_MAX)?;
        let erasable = reference.boolean("erasable")?;
        if erasable && length < ERASABLE_SALT_BYTES as u64 {
            return Err(reference.error("length", "is too short for the salt of an erasable attachment"));
        }
        reference.finish()?;
        Ok(AttachmentRef { name, sha256, length, erasable })
    })?;
    if (1..attachments.len()).any(|end| attachments[..end].iter().any(|before| before.name == attachments[end].name)) {
        return Err(object.error("attachments", "names one twice"));
    }
    Ok(attachments)
}

/// An attachment as a body names it.
pub(crate) fn attachment_json(reference: &AttachmentRef) -> String {
    ObjectWriter::new()
        .string("name", &reference.name)
        .bytes("sha256", &reference.sha256.0)
        .integer("length", reference.length)
        .boolean("erasable", reference.erasable)
        .finish()
}

/// `scope`: whose evidence.
pub(crate) fn scope(object: &mut Object) -> Result<String, JsonError> {
    let scope = object.string("scope")?;
    match Subject::parse(&scope) {
        Ok(Subject::Camera(_)) => Ok(scope),
        _ => Err(object.error("scope", "is not a camera like camera/102")),
    }
}

/// `series`: the streams of a camera of one name, such as `camera/102/main`.
pub(crate) fn series(object: &mut Object) -> Result<String, JsonError> {
    let series = object.string("series")?;
    // A generation makes a stream of a series.
    match StreamName::parse(&format!("{series}/0")) {
        Ok(stream) if is_of_camera(&stream) && stream.series() != stream.owner() => Ok(series),
        _ => Err(object.error("series", "is not a series of a camera like camera/102/main")),
    }
}

/// `ranges`: runs of statements.
pub(crate) fn ranges(object: &mut Object) -> Result<Vec<SeqRange>, JsonError> {
    object.array("ranges", 1, RANGES_MAX, |item, position| {
        let mut range = item.object(position)?;
        let stream = range.stream("stream")?;
        let first = range.integer("first", 0, json::INTEGER_MAX)?;
        let last = range.integer("last", first, json::INTEGER_MAX)?;
        range.finish()?;
        Ok(SeqRange { stream, first, last })
    })
}

/// `ranges`, all of cameras' streams.
pub(crate) fn ranges_of_cameras(object: &mut Object) -> Result<Vec<SeqRange>, JsonError> {
    let ranges = ranges(object)?;
    if !ranges.iter().all(|range| is_of_camera(&range.stream)) {
        return Err(object.error("ranges", "has a stream that is no camera's"));
    }
    Ok(ranges)
}

/// Ranges as a body writes them.
pub(crate) fn ranges_json(ranges: &[SeqRange]) -> impl Iterator<Item = String> + '_ {
    ranges.iter().map(|range| {
        ObjectWriter::new().string("stream", range.stream.as_str()).integer("first", range.first).integer("last", range.last).finish()
    })
}

/// Fingerprints as a body writes them.
pub(crate) fn fingerprints_json(fingerprints: &[Fingerprint]) -> impl Iterator<Item = String> + '_ {
    fingerprints.iter().map(|fingerprint| json::string(&hex::encode(fingerprint)))
}

/// `from` and `to`.
pub(crate) fn not_backwards(object: &mut Object) -> Result<(Timestamp, Timestamp), JsonError> {
    let (from, to) = (object.time("from")?, object.time("to")?);
    if to < from {
        return Err(object.error("to", "is before from"));
    }
    Ok((from, to))
}

/// `media_type`, one of those that are allowed.
pub(crate) fn media_type(object: &mut Object, allowed: &[&str]) -> Result<String, JsonError> {
    let media_type = object.string("media_type")?;
    if !allowed.contains(&media_type.as_str()) {
        return Err(object.error("media_type", "is neither video/mp4 nor image/jpeg"));
    }
    Ok(media_type)
}

/// A member that is a fingerprint or null.
pub(crate) fn optional_fingerprint(object: &mut Object, name: &str) -> Result<Option<Fingerprint>, JsonError> {
    Ok(object.optional_hash(name)?.map(|hash| hash.0))
}

/// How a fingerprint or null is written.
pub(crate) fn as_hash(fingerprint: Option<Fingerprint>) -> Option<Hash> {
    fingerprint.map(Hash)
}

pub(crate) fn is_of_camera(stream: &StreamName) -> bool {
    matches!(Subject::parse(stream.owner()), Ok(Subject::Camera(_)))
}

/// Names of attachments, groups and rules.
pub(crate) fn name_byte(byte: u8) -> bool {
    matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'-')
}

pub(crate) fn printable(byte: u8) -> bool {
    byte.is_ascii_graphic()
}

pub(crate) fn printable_or_space(byte: u8) -> bool {
    byte.is_ascii_graphic() || byte == b' '
}

/// `keys`: verifier keys of a log's notes. A witness's signs cosignatures: it says that a log was seen, and not that it is one.
pub(crate) fn log_keys(object: &mut Object) -> Result<Vec<VerifierKey>, JsonError> {
    let keys = object.array("keys", 1, LOG_KEYS_MAX, |item, position| {
        let text = item.text(position, LOG_KEY_BYTES_MAX, printable)?;
        let key = VerifierKey::parse(&text).map_err(|error| item.error(position, &format!("is {error}")))?;
        if key.algorithm().is_log_signature() { Ok(key) } else { Err(item.error(position, "is the key of a witness")) }
    })?;
    if (1..keys.len()).any(|end| keys[..end].contains(&keys[end])) {
        return Err(object.error("keys", "names one twice"));
    }
    Ok(keys)
}

/// A C2SP key name, which a log's name is too, has neither white space nor a plus sign.
pub(crate) fn origin_byte(byte: u8) -> bool {
    byte.is_ascii_graphic() && byte != b'+'
}

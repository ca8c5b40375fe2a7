//! Writes bodies: members in the order of docs/formats/statement.md, no white space.
//!
//! It checks nothing: what it writes is read again before it is signed.

use super::*;
use crate::json::{self, ObjectWriter};

/// The JSON of a body.
pub(crate) fn body(body: &Body) -> String {
    let members = ObjectWriter::new();
    let members = match body {
        Body::Epoch(epoch) => members
            .bytes("commitment", &epoch.commitment.0)
            .time("started", epoch.started)
            .bytes("recipients", &epoch.recipients.0)
            .json("continues", &continues(&epoch.continues)),
        Body::Segment(segment) => members
            .integer("slot", segment.slot.into())
            .bytes("salt", &segment.salt)
            .time("start", segment.start)
            .integer("duration_ms", segment.duration_ms)
            .string("media_type", &segment.media_type)
            .boolean("random_access", segment.random_access)
            .array("fragment_lengths", segment.fragment_lengths.iter().map(u32::to_string))
            .bytes("ciphertext_root", &segment.ciphertext_root.0)
            .bytes("commitment_root", &segment.commitment_root.0),
        Body::Gap(gap) => members.string("cause", gap.cause.as_str()).time("from", gap.from).time("to", gap.to),
        Body::Close(close) => members.string("reason", close.reason.as_str()),
        Body::Recipients(set) => members
            .string("scope", &set.scope)
            .integer("number", set.number)
            .optional_hash("replaces", set.replaces.as_ref())
            .array("recipients", fingerprints(&set.recipients))
            .array("custodians", fingerprints(&set.custodians))
            .integer("threshold", set.threshold)
            .time("expires", set.expires),
        Body::Grant(grant) => members.string("scope", &grant.scope),
        Body::Fetch(fetch) => members.optional_hash("grant", fetch.grant.as_ref()).array("ranges", ranges(&fetch.ranges)),
        Body::Export(export) => {
            members.bytes("fetch", &export.fetch.0).array("ranges", ranges(&export.ranges)).bytes("manifest", &export.manifest.0)
        }
        Body::Certificate(certificate) => {
            members.bytes("fingerprint", &certificate.fingerprint).optional_hash("replaces", certificate.replaces.map(Hash).as_ref())
        }
        Body::Genesis(genesis) => members
            .string("origin", &genesis.origin)
            .array("keys", genesis.keys.iter().map(|key| json::string(key)))
            .array("roots", fingerprints(&genesis.roots))
            .string("witness_policy", &genesis.witness_policy)
            .json("predecessor", &predecessor(genesis.predecessor.as_ref())),
        Body::Start(start) => members.string("version", &start.version),
        Body::Access(access) => members.bytes("fetch", &access.fetch.0).boolean("granted", access.granted),
        Body::Contradiction(contradiction) => members.string("stream", contradiction.stream.as_str()).integer("seq", contradiction.seq),
        Body::Unknown { body, .. } => return json::sorted(body),
    };
    members.array("attachments", body.attachments().iter().map(attachment)).finish()
}

fn attachment(reference: &AttachmentRef) -> String {
    ObjectWriter::new()
        .string("name", &reference.name)
        .bytes("sha256", &reference.sha256.0)
        .integer("length", reference.length)
        .boolean("erasable", reference.erasable)
        .finish()
}

fn continues(continues: &Continues) -> String {
    let previous = match &continues.previous {
        None => "null".to_owned(),
        Some(position) => ObjectWriter::new()
            .string("stream", position.stream.as_str())
            .integer("seq", position.seq)
            .bytes("leaf", &position.leaf.0)
            .finish(),
    };
    ObjectWriter::new().string("reason", continues.reason.as_str()).json("previous", &previous).finish()
}

fn predecessor(predecessor: Option<&Predecessor>) -> String {
    match predecessor {
        None => "null".to_owned(),
        Some(Predecessor { log, head }) => {
            ObjectWriter::new().bytes("log", &log.0).integer("size", head.size).bytes("root", &head.root.0).finish()
        }
    }
}

fn ranges(ranges: &[SeqRange]) -> impl Iterator<Item = String> + '_ {
    ranges.iter().map(|range| {
        ObjectWriter::new().string("stream", range.stream.as_str()).integer("first", range.first).integer("last", range.last).finish()
    })
}

fn fingerprints(fingerprints: &[Fingerprint]) -> impl Iterator<Item = String> + '_ {
    fingerprints.iter().map(|fingerprint| json::string(&hex::encode(fingerprint)))
}

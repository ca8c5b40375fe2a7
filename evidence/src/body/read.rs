//! Reads bodies: exactly the members of docs/formats/statement.md, each within its limit.
//!
//! It does not know the statement around the body.

use exhibit_pki::Subject;
use serde_json::Value;

use super::*;
use crate::{
    json::{JsonError, Object, quoted},
    keytree, segment,
};

/// Reads the body of a statement of type `type_name`.
pub(crate) fn body(type_name: String, value: Value) -> Result<Body, JsonError> {
    let mut object = Object::new(value.clone(), "body")?;
    let body = match type_name.as_str() {
        "epoch/v1" => Body::Epoch(epoch(&mut object)?),
        "segment/v1" => Body::Segment(segment(&mut object)?),
        "gap/v1" => Body::Gap(gap(&mut object)?),
        "close/v1" => Body::Close(Close { reason: object.one_of("reason", &CLOSE_REASONS)?, attachments: attachments(&mut object)? }),
        "recipients/v1" => Body::Recipients(recipients(&mut object)?),
        "grant/v1" => Body::Grant(Grant { scope: scope(&mut object)?, attachments: attachments(&mut object)? }),
        "fetch/v1" => Body::Fetch(Fetch {
            grant: object.optional_hash("grant")?,
            ranges: ranges(&mut object)?,
            attachments: attachments(&mut object)?,
        }),
        "export/v1" => Body::Export(Export {
            fetch: object.hash("fetch")?,
            ranges: ranges(&mut object)?,
            manifest: object.hash("manifest")?,
            attachments: attachments(&mut object)?,
        }),
        "certificate/v1" => Body::Certificate(CertificateBody {
            fingerprint: object.bytes("fingerprint")?,
            replaces: object.optional_hash("replaces")?.map(|hash| hash.0),
            attachments: attachments(&mut object)?,
        }),
        "genesis/v1" => Body::Genesis(genesis(&mut object)?),
        "start/v1" => Body::Start(Start {
            version: object.text("version", VERSION_BYTES_MAX, printable_or_space)?,
            attachments: attachments(&mut object)?,
        }),
        "access/v1" => Body::Access(Access {
            fetch: object.hash("fetch")?,
            granted: object.boolean("granted")?,
            attachments: attachments(&mut object)?,
        }),
        "contradiction/v1" => Body::Contradiction(Contradiction {
            stream: object.stream("stream")?,
            seq: object.integer("seq", 0, json::INTEGER_MAX)?,
            attachments: attachments(&mut object)?,
        }),
        _ => {
            if !is_type_name(&type_name) {
                return Err(JsonError("type is not a name like segment/v1".to_owned()));
            }
            // What else such a body holds is its own type's affair, so nothing is refused as unknown.
            return Ok(Body::Unknown { type_name, attachments: attachments(&mut object)?, body: value });
        }
    };
    object.finish()?;
    demand_attachments(&body)?;
    Ok(body)
}

fn epoch(object: &mut Object) -> Result<Epoch, JsonError> {
    let commitment = object.hash("commitment")?;
    let started = object.time("started")?;
    let recipients = object.hash("recipients")?;
    let mut continued = object.object("continues")?;
    let reason = continued.one_of("reason", &EPOCH_REASONS)?;
    let previous = match continued.optional_object("previous")? {
        None => None,
        Some(mut position) => {
            let found = StreamPosition {
                stream: position.stream("stream")?,
                seq: position.integer("seq", 0, json::INTEGER_MAX)?,
                leaf: position.hash("leaf")?,
            };
            position.finish()?;
            Some(found)
        }
    };
    continued.finish()?;
    Ok(Epoch { commitment, started, recipients, continues: Continues { reason, previous }, attachments: attachments(object)? })
}

fn segment(object: &mut Object) -> Result<Segment, JsonError> {
    let slot = object.integer("slot", 0, u64::from(keytree::SLOTS) - 1)?;
    let segment = Segment {
        slot: u32::try_from(slot).expect("slots are below 2^20"),
        salt: object.bytes("salt")?,
        start: object.time("start")?,
        duration_ms: object.integer("duration_ms", 0, SEGMENT_DURATION_MAX_MS)?,
        media_type: object.string("media_type")?,
        random_access: object.boolean("random_access")?,
        fragment_lengths: object.array("fragment_lengths", 1, segment::FRAGMENTS_MAX, |item, position| {
            // A fragment of no plaintext would be a tag and nothing else.
            let length = item.integer(position, segment::TAG_BYTES as u64 + 1, SEGMENT_CIPHERTEXT_BYTES_MAX)?;
            Ok(u32::try_from(length).expect("segments are far below 4 GiB"))
        })?,
        ciphertext_root: object.hash("ciphertext_root")?,
        commitment_root: object.hash("commitment_root")?,
        attachments: attachments(object)?,
    };
    if !MEDIA_TYPES.contains(&segment.media_type.as_str()) {
        return Err(object.error("media_type", "is neither video/mp4 nor image/jpeg"));
    }
    let tags = (segment.fragment_lengths.len() * segment::TAG_BYTES) as u64;
    let ciphertext: u64 = segment.fragment_lengths.iter().map(|length| u64::from(*length)).sum();
    if ciphertext > SEGMENT_BYTES_MAX + tags {
        return Err(object.error("fragment_lengths", "is a segment of more than 8 MiB"));
    }
    Ok(segment)
}

fn gap(object: &mut Object) -> Result<Gap, JsonError> {
    let gap = Gap {
        cause: object.one_of("cause", &GAP_CAUSES)?,
        from: object.time("from")?,
        to: object.time("to")?,
        attachments: attachments(object)?,
    };
    if gap.to < gap.from {
        return Err(object.error("to", "is before from"));
    }
    Ok(gap)
}

fn recipients(object: &mut Object) -> Result<Recipients, JsonError> {
    let scope = scope(object)?;
    let number = object.integer("number", 1, json::INTEGER_MAX)?;
    let replaces = object.optional_hash("replaces")?;
    let recipients = object.fingerprints("recipients", RECIPIENTS_MAX)?;
    let custodians = object.fingerprints("custodians", CUSTODIANS_MAX)?;
    let threshold = object.integer("threshold", 1, custodians.len() as u64)?;
    let expires = object.time("expires")?;
    Ok(Recipients { scope, number, replaces, recipients, custodians, threshold, expires, attachments: attachments(object)? })
}

fn genesis(object: &mut Object) -> Result<Genesis, JsonError> {
    let origin = object.text("origin", ORIGIN_BYTES_MAX, origin_byte)?;
    let keys = object.array("keys", 1, LOG_KEYS_MAX, |item, position| item.text(position, LOG_KEY_BYTES_MAX, printable))?;
    if (1..keys.len()).any(|end| keys[..end].contains(&keys[end])) {
        return Err(object.error("keys", "names one twice"));
    }
    let roots = object.fingerprints("roots", ROOTS_MAX)?;
    let witness_policy = object.string("witness_policy")?;
    if witness_policy.len() > WITNESS_POLICY_BYTES_MAX {
        return Err(object.error("witness_policy", "is too long"));
    }
    let predecessor = match object.optional_object("predecessor")? {
        None => None,
        Some(mut log) => {
            let id = log.hash("log")?;
            // A log that was succeeded had a genesis at least.
            let head = Head { size: log.integer("size", 1, json::INTEGER_MAX)?, root: log.hash("root")? };
            log.finish()?;
            Some(Predecessor { log: id, head })
        }
    };
    Ok(Genesis { origin, keys, roots, witness_policy, predecessor, attachments: attachments(object)? })
}

fn scope(object: &mut Object) -> Result<String, JsonError> {
    let scope = object.string("scope")?;
    match Subject::parse(&scope) {
        Ok(Subject::Camera(_)) => Ok(scope),
        _ => Err(object.error("scope", "is not a camera like camera/102")),
    }
}

fn ranges(object: &mut Object) -> Result<Vec<SeqRange>, JsonError> {
    object.array("ranges", 1, RANGES_MAX, |item, position| {
        let mut range = item.object(position)?;
        let stream = range.stream("stream")?;
        let first = range.integer("first", 0, json::INTEGER_MAX)?;
        let last = range.integer("last", first, json::INTEGER_MAX)?;
        range.finish()?;
        Ok(SeqRange { stream, first, last })
    })
}

fn attachments(object: &mut Object) -> Result<Vec<AttachmentRef>, JsonError> {
    let attachments = object.array("attachments", 0, ATTACHMENTS_MAX, |item, position| {
        let mut reference = item.object(position)?;
        let name = reference.text("name", ATTACHMENT_NAME_BYTES_MAX, |byte| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'-'))?;
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

/// What a type can not do without, and whether it may be erased: certificates and signed statements never, what tells of people always.
fn demand_attachments(body: &Body) -> Result<(), JsonError> {
    let demanded: &[(&str, bool)] = match body {
        Body::Epoch(_) => &[("wraps", true)],
        Body::Grant(_) => &[("terms", true), ("wraps", true)],
        Body::Certificate(_) | Body::Genesis(_) => &[("certificate", false)],
        Body::Contradiction(_) => &[("first", false), ("second", false)],
        _ => &[],
    };
    for (name, erasable) in demanded {
        match body.attachment(name) {
            None => return Err(JsonError(format!("body.attachments lacks {}", quoted(name)))),
            Some(found) if found.erasable != *erasable => {
                let form = if *erasable { "must" } else { "must not" };
                return Err(JsonError(format!("body.attachments has {}, which {form} be erasable", quoted(name))));
            }
            Some(_) => {}
        }
    }
    match body.attachment("purpose") {
        Some(purpose) if !purpose.erasable => Err(JsonError("body.attachments has \"purpose\", which must be erasable".to_owned())),
        _ => Ok(()),
    }
}

/// `<words>/v<number>`, such as `segment/v1`.
fn is_type_name(name: &str) -> bool {
    let Some((words, number)) = name.split_once("/v") else { return false };
    name.len() <= TYPE_NAME_BYTES_MAX
        && !words.is_empty()
        && words.bytes().all(|byte| matches!(byte, b'a'..=b'z' | b'-'))
        && !number.is_empty()
        && !number.starts_with('0')
        && number.bytes().all(|byte| byte.is_ascii_digit())
}

fn printable(byte: u8) -> bool {
    byte.is_ascii_graphic()
}

fn printable_or_space(byte: u8) -> bool {
    byte.is_ascii_graphic() || byte == b' '
}

/// A C2SP key name, which a log's name is too, has neither white space nor a plus sign.
pub(crate) fn origin_byte(byte: u8) -> bool {
    byte.is_ascii_graphic() && byte != b'+'
}

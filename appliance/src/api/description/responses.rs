//! What each operation is answered with: content, fields of the head, and the kinds of problems that it can meet.
//!
//! It lists no kind: those are in `problem`.

use std::collections::BTreeMap;

use exhibit_evidence::exchange::Operation;
use exhibit_evidence::exchange::route::{Gives, Takes, Who};
use exhibit_evidence::exchange::{Admitted, EntryRecord, EntryRecords, StreamRecord, StreamRecords, SuccessorRecord, VersionRecord};
use schemars::{JsonSchema, SchemaGenerator};
use serde_json::{Map, Value, json};

use crate::api::problem::Kind;
use crate::health::Health;
use crate::witnessing::Status;

/// The answers that are no refusals, by status.
pub fn responses(operation: &Operation, schemas: &mut SchemaGenerator) -> Map<String, Value> {
    let mut answers = Map::new();
    let mut answer = |status: &str, words: &str, content: Option<(&str, Value)>, fields: &[&str]| {
        let mut response = json!({ "description": words });
        if let Some((content_type, schema)) = content {
            response["content"] = json!({ content_type: { "schema": schema } });
        }
        let fields: Map<String, Value> = fields.iter().map(|name| ((*name).to_owned(), field(name))).collect();
        if !fields.is_empty() {
            response["headers"] = fields.into();
        }
        answers.insert(status.to_owned(), response);
    };
    let bytes = ("application/octet-stream", json!({}));
    let tag = ["ETag", "Cache-Control"];
    let pages = ["Link", "ETag", "Cache-Control"];
    match operation.gives {
        Gives::Admitted => {
            let admitted = json_of::<Admitted>(schemas);
            let upload = ["Upload-Complete", "Upload-Offset", "Upload-Length", "Upload-Limit", "Accept-Patch", "Cache-Control"];
            answer("200", "The same statement is on the ledger already.", Some(admitted.clone()), &upload[..1]);
            answer("202", "On the ledger; the log's witnesses have not seen it yet.", Some(admitted.clone()), &upload[..1]);
            if operation.takes == Takes::Statement {
                answer(
                    "201",
                    "On the ledger. Or, with `Upload-Complete: ?0`, an upload that goes on at `Location`, without a body.",
                    Some(admitted),
                    &[&upload[..], &["Location"]].concat(),
                );
            } else {
                answer("201", "On the ledger.", Some(admitted), &upload[..1]);
                answer("204", "More is to come.", None, &upload);
            }
        }
        Gives::Progress => {
            answer("204", "How far it is.", None, &["Upload-Complete", "Upload-Offset", "Upload-Length", "Upload-Limit", "Cache-Control"])
        }
        Gives::Limits => answer("204", "What uploads may be.", None, &["Upload-Limit", "Accept-Patch", "Allow", "Cache-Control"]),
        Gives::Nothing => answer("204", "Nothing is kept any more.", None, &[]),
        Gives::Stream => answer("200", "A stream.", Some(json_of::<StreamRecord>(schemas)), &tag),
        Gives::Streams => answer("200", "A page of streams.", Some(json_of::<StreamRecords>(schemas)), &pages),
        Gives::Entry => answer("200", "An entry.", Some(json_of::<EntryRecord>(schemas)), &tag),
        Gives::Entries => {
            answer("200", "A page of entries. It may be empty and yet have a `next`.", Some(json_of::<EntryRecords>(schemas)), &pages)
        }
        Gives::Successor => answer("200", "What shows it.", Some(json_of::<SuccessorRecord>(schemas)), &tag),
        Gives::Witnesses => answer("200", "How it stands.", Some(json_of::<Status>(schemas)), &tag),
        Gives::Version => answer("200", "Who answers.", Some(json_of::<VersionRecord>(schemas)), &tag),
        Gives::Health => {
            answer("200", "It serves, perhaps with reasons for somebody to look.", Some(json_of::<Health>(schemas)), &tag);
            answer("503", "It fails at what it is for: the reasons say at what.", Some(json_of::<Health>(schemas)), &[]);
        }
        Gives::Events => answer(
            "200",
            "Events, until the appliance or the caller ends it.",
            Some(("text/event-stream", json!({ "type": "string" }))),
            &tag[1..],
        ),
        Gives::Attachment => answer("200", "The bytes as stored, with the salt where erasable.", Some(bytes), &tag),
        Gives::Ciphertext => {
            answer("200", "All of it.", Some(bytes.clone()), &["Accept-Ranges", "ETag", "Cache-Control"]);
            answer("206", "The range that was asked for.", Some(bytes), &["Accept-Ranges", "Content-Range", "ETag", "Cache-Control"]);
        }
        Gives::Note => answer("200", "A signed note.", Some(("text/plain; charset=utf-8", json!({ "type": "string" }))), &tag),
        Gives::Tile => answer("200", "Hashes, end to end.", Some(bytes), &tag),
        Gives::Bundle => {
            answer("200", "Entries, each behind its 16-bit length.", Some(bytes), &["ETag", "Cache-Control", "Vary", "Content-Encoding"])
        }
        Gives::Description => answer("200", "This document.", Some(("application/json", json!({ "type": "object" }))), &tag),
        Gives::Page => answer("200", "A page in HTML.", Some(("text/html; charset=utf-8", json!({ "type": "string" }))), &tag),
    }
    if has_etag(operation) {
        answer("304", "It is what `If-None-Match` names.", None, &tag);
    }
    answers
}

/// Of what is read all has a validator; ciphertext for `If-Range` alone, since each access is on the ledger.
fn has_etag(operation: &Operation) -> bool {
    use Gives::{Admitted, Ciphertext, Events, Limits, Nothing, Progress};
    !matches!(operation.gives, Admitted | Progress | Limits | Nothing | Ciphertext | Events)
}

fn json_of<T: JsonSchema>(schemas: &mut SchemaGenerator) -> (&'static str, Value) {
    ("application/json", schemas.subschema_for::<T>().into())
}

/// A field of the head.
fn field(name: &str) -> Value {
    let words = match name {
        "ETag" => "a strong validator, for If-None-Match",
        "Cache-Control" => "how long it may be kept",
        "Vary" => "always accept-encoding",
        "Content-Encoding" => "gzip, where it was accepted",
        "Accept-Ranges" => "bytes",
        "Content-Range" => "which bytes these are",
        "Location" => "where the upload goes on",
        "Upload-Complete" => "whether all of it has come",
        "Upload-Offset" => "how far it is",
        "Upload-Length" => "the length of all of it",
        "Upload-Limit" => "max-age: for how long what has come is kept, in seconds",
        "Accept-Patch" => "application/partial-upload",
        "Allow" => "the methods of this path",
        "Retry-After" => "when it is worth to try again, in seconds",
        _ => "where this is explained: rel=\"help\"; of a list, the next page: rel=\"next\"",
    };
    json!({ "description": words, "schema": { "type": "string" } })
}

/// The refusals, by status: references to what `shared` has of them.
pub fn problem_responses(operation: &Operation, is_head: bool, shared: &mut Map<String, Value>) -> Map<String, Value> {
    let mut by_status: BTreeMap<u16, Vec<Kind>> = BTreeMap::new();
    for kind in Kind::ALL.iter().filter(|kind| meets(operation, **kind)) {
        by_status.entry(kind.status()).or_default().push(*kind);
    }
    let responses = by_status.into_iter().map(|(status, kinds)| {
        let names: Vec<&str> = kinds.iter().map(|kind| kind.name()).collect();
        let name = format!("{status}.{}{}", names.join("."), if is_head { ".head" } else { "" });
        let reference = format!("#/components/responses/{name}");
        shared.entry(name).or_insert_with(|| problem_response(status, &kinds, is_head));
        (status.to_string(), json!({ "$ref": reference }))
    });
    responses.collect()
}

fn problem_response(status: u16, kinds: &[Kind], is_head: bool) -> Value {
    let words: Vec<String> =
        kinds.iter().map(|kind| format!("`{}`: {}. {}", kind.name(), kind.words().title, kind.words().remedy)).collect();
    let names: Vec<String> = kinds.iter().map(|kind| kind.uri()).collect();
    let mut headers = json!({ "Link": field("Link"), "Cache-Control": field("Cache-Control") });
    if matches!(status, 429 | 503) {
        headers["Retry-After"] = field("Retry-After");
    }
    let mut response = json!({ "description": words.join(" "), "headers": headers });
    if !is_head {
        let schema =
            json!({ "allOf": [{ "$ref": "#/components/schemas/ProblemDetails" }, { "properties": { "type": { "enum": names } } }] });
        response["content"] = json!({ "application/problem+json": { "schema": schema } });
    }
    response
}

/// Whether an operation can meet it.
fn meets(operation: &Operation, kind: Kind) -> bool {
    use Kind::{
        Attachment, Banned, Certificate, Chain, Coding, Contradiction, Ended, Forbidden, Internal, Log, Malformed, Method, NotFound,
        NotOwner, Observed, Overloaded, Payload, Range, Rate, RecipientsLost, Role, Rule, Signature, Storage, TimedOut, TooLarge,
        UploadLength, UploadOffset,
    };
    let brings = operation.takes != Takes::Nothing;
    match kind {
        // A path that is known, asked for here or on the other listener; a query or a certificate that is not; too often; a disk that fails.
        Malformed | NotFound | Certificate | Rate | Banned | Internal => true,
        // What is no operation is answered so.
        Method => false,
        NotOwner => brings || matches!(operation.who, Who::Owner),
        Forbidden => matches!(operation.who, Who::Roles(_) | Who::OwnerOr(_) | Who::ScopeOr(_)) || operation.gives == Gives::Attachment,
        Range => operation.gives == Gives::Ciphertext,
        Overloaded => {
            brings || operation.gives == Gives::Progress || matches!(operation.gives, Gives::Ciphertext | Gives::Bundle | Gives::Events)
        }
        // An access is put on the ledger.
        Storage => brings || operation.gives == Gives::Ciphertext,
        TimedOut | Chain | Contradiction | UploadOffset | UploadLength | RecipientsLost | Ended | TooLarge | Coding | Role | Signature
        | Log | Payload | Attachment | Observed | Rule => brings,
    }
}

/// All the types there are.
pub fn problem_type() -> Value {
    let names: Vec<String> = Kind::ALL.iter().map(|kind| kind.uri()).collect();
    json!({ "type": "string", "format": "uri", "enum": names, "description": "The kind: what programs go by." })
}

//! The OpenAPI 3.1 document (<https://spec.openapis.org/oas/v3.1.1.html>), in its order: paths with operations, then what they refer to.
//!
//! It lists no route, no kind and no field of its own: those are the table's, the list's and the types'.

use exhibit_evidence::exchange::route::{Gives, Member, Open, Shape, Stranger, Takes, Who};
use exhibit_evidence::exchange::{OPERATIONS, Operation};
use exhibit_pki::Role;
use schemars::SchemaGenerator;
use schemars::generate::SchemaSettings;
use serde_json::{Map, Value, json};

use super::responses::{problem_responses, problem_type, responses};
use crate::api::problem::ProblemDetails;
use crate::limits::Limits;
use crate::query::{PAGE_ENTRIES, PAGE_STREAMS};

/// The document.
pub fn document() -> Value {
    let settings = SchemaSettings::draft2020_12().with(|settings| {
        settings.definitions_path = "/components/schemas".into();
        // It is within another document, which says what it is.
        settings.meta_schema = None;
    });
    let mut paths = Map::new();
    let mut shared = Shared { schemas: settings.for_serialize().into_generator(), responses: Map::new() };
    for operation in OPERATIONS {
        add(&mut paths, operation, false, &mut shared);
    }
    for operation in OPERATIONS.iter().filter(|operation| operation.before) {
        add(&mut paths, operation, true, &mut shared);
    }
    json!({
        "openapi": "3.1.0",
        "info": {
            "title": "Exhibit appliance",
            "version": env!("CARGO_PKG_VERSION"),
            "license": { "name": "Apache-2.0 OR MIT", "identifier": "Apache-2.0 OR MIT" },
            "description": ABOUT,
        },
        "servers": [{ "url": "/" }],
        "security": [{ "certificate": [] }],
        "paths": paths,
        "components": components(shared),
    })
}

/// What operations refer to.
struct Shared {
    schemas: SchemaGenerator,
    responses: Map<String, Value>,
}

const ABOUT: &str = "What an appliance and its clients say to each other: HTTP/1.1 over TLS 1.3 with client certificates. Formats of statements, receipts and \
    checkpoints are in docs/formats. A path that is known and asked with another method is answered 405 with `Allow`; every refusal is a problem of RFC 9457, \
    with what to do in `remedy`, and a `Link` of `rel=\"help\"` to the page that explains it. What is limited is in the schema `Limits`, with its defaults.";

fn add(paths: &mut Map<String, Value>, operation: &Operation, is_before: bool, shared: &mut Shared) {
    let path = if is_before { format!("/v1/logs/{{log}}{}", operation.path) } else { operation.path.to_owned() };
    let item = paths.entry(path).or_insert_with(|| json!({}));
    item[operation.method.to_lowercase()] = described(operation, is_before, false, shared);
    if operation.head {
        item["head"] = described(operation, is_before, true, shared);
    }
}

fn described(operation: &Operation, is_before: bool, is_head: bool, shared: &mut Shared) -> Value {
    let before = if is_before { "OfLogBefore" } else { "" };
    let head = if is_head { "Head" } else { "" };
    let mut parameters: Vec<Value> = if is_before { vec![path_parameter("log")] } else { Vec::new() };
    parameters.extend(variables(operation.path).map(path_parameter));
    parameters.extend(operation.query.iter().map(query_parameter));
    parameters.extend(header_parameters(operation));
    let mut answers = responses(operation, &mut shared.schemas);
    if is_head {
        for response in answers.values_mut().filter_map(Value::as_object_mut) {
            response.remove("content");
        }
    }
    answers.extend(problem_responses(operation, is_head, &mut shared.responses));
    let mut described = json!({
        "operationId": format!("{}{head}{before}", operation.id),
        "summary": operation.summary,
        "description": who(operation, is_before),
        "tags": [tag(operation)],
        "parameters": parameters,
        "responses": answers,
    });
    if operation.open == Open::Everyone && !is_before {
        described["security"] = json!([{}, { "certificate": [] }]);
    }
    if let Some(body) = body(operation.takes) {
        described["requestBody"] = body;
    }
    described
}

fn tag(operation: &Operation) -> &'static str {
    match operation.path {
        path if path.starts_with("/log/") => "log",
        path if operation.takes != Takes::Nothing || path.starts_with("/v1/uploads") || operation.method == "OPTIONS" => "intake",
        "/v1/openapi.json" | "/v1/docs" | "/v1/version" | "/v1/events" | "/healthz" | "/v1/witnesses" => "appliance",
        _ => "reading",
    }
}

/// Who may ask, in words.
fn who(operation: &Operation, is_before: bool) -> String {
    let with = match operation.who {
        Who::Anyone => "Everyone whose certificate counts".to_owned(),
        Who::Roles(roles) => roles_in_words(roles),
        Who::Owner => "Whose stream it is".to_owned(),
        Who::OwnerOr(roles) => format!("Whose stream it is; {}", roles_in_words(roles)),
        Who::ScopeOr(roles) => format!("Whose scope it is; {}", roles_in_words(roles)),
    };
    let stranger = match operation.stranger {
        _ if is_before => "",
        Stranger::Nothing => "",
        Stranger::AuthorityOwn => "; of its own streams, an authority that no entry has introduced yet",
        Stranger::Authority => "; an authority that no entry has introduced yet",
        Stranger::Anyone => "; whoever has a certificate of the roots, introduced or not",
    };
    let open = match operation.open {
        _ if is_before => "",
        Open::Closed => "",
        Open::Entries => "; without a certificate, where `public_entries = true`",
        Open::Everyone => "; without a certificate, on the public listener",
    };
    format!("Who may ask: {with}{stranger}{open}.")
}

fn roles_in_words(roles: &[Role]) -> String {
    roles.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
}

/// The names within braces.
fn variables(template: &str) -> impl Iterator<Item = &str> {
    template.split('{').skip(1).filter_map(|rest| rest.split_once('}')).map(|(name, _)| name)
}

const HASH: &str = "^[0-9a-f]{64}$";
const STREAM: &str = "^[a-z0-9TZ-]+(/[a-z0-9TZ-]+){2,5}$";

fn path_parameter(name: &str) -> Value {
    let (pattern, example, words) = match name {
        "stream" => (STREAM, "camera/102/main/20261120T115958Z", "a stream's name, 3 to 6 components, at most 128 bytes"),
        "seq" => (NUMBER, "7", "a position in the stream"),
        "index" => (NUMBER, "17", "an index in the log"),
        "scope" => ("^(camera|user|appliance|authority)/[a-z0-9-]+$", "camera/102", "somebody's name"),
        "tile" => (
            r"^([0-9]|[1-5][0-9]|6[0-3])/(x[0-9]{3}/)*[0-9]{3}(\.p/[0-9]{1,3})?$",
            "0/000",
            "level, index and width of a tile (C2SP tlog-tiles)",
        ),
        "bundle" => (r"^(x[0-9]{3}/)*[0-9]{3}(\.p/[0-9]{1,3})?$", "000", "index and width of a bundle (C2SP tlog-tiles)"),
        "log" => (HASH, EXAMPLE_HASH, "the name of a log before this one: the leaf hash of its genesis"),
        "fingerprint" => (HASH, EXAMPLE_HASH, "SHA-256 of a certificate"),
        "statement" => (HASH, EXAMPLE_HASH, "SHA-256 of the statement whose upload it is"),
        "leaf" => (HASH, EXAMPLE_HASH, "the leaf hash of an entry"),
        _ => (HASH, EXAMPLE_HASH, "SHA-256 of the stored bytes"),
    };
    json!({ "name": name, "in": "path", "required": true, "description": words,
        "schema": { "type": "string", "pattern": pattern }, "example": example })
}

const NUMBER: &str = "^(0|[1-9][0-9]{0,18})$";
const EXAMPLE_HASH: &str = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

fn query_parameter(member: &Member) -> Value {
    let string = |pattern: &str| json!({ "type": "string", "pattern": pattern });
    let schema = match member.shape {
        Shape::Hash => string(HASH),
        Shape::Number => string(NUMBER),
        Shape::Series => string("^[a-z0-9TZ-]+(/[a-z0-9TZ-]+){1,4}$"),
        Shape::Place => string("^[a-z0-9TZ-]+(/[a-z0-9TZ-]+){2,5}/(0|[1-9][0-9]{0,18})$"),
        Shape::Time => string(r"^20[0-9]{2}-(0[1-9]|1[0-2])-(0[1-9]|1[0-9]|2[0-8])T([01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9]\.[0-9]{3}Z$"),
        Shape::Fingerprints => string("^[0-9a-f]{64}(,[0-9a-f]{64}){0,63}$"),
        Shape::Moment => string("^[0-9a-f]{16}-[0-9a-f]{64}$"),
        Shape::Text => json!({ "type": "string" }),
    };
    json!({ "name": member.name, "in": "query", "required": member.is_required, "description": member.summary, "schema": schema })
}

fn header_parameters(operation: &Operation) -> Vec<Value> {
    let header = |name: &str, pattern: &str, required: bool, words: &str| json!({ "name": name, "in": "header", "required": required, "description": words, "schema": { "type": "string", "pattern": pattern } });
    match operation.takes {
        Takes::Nothing if operation.gives == Gives::Events => {
            vec![header("Last-Event-ID", NUMBER, false, "the `id` of the last event that has one, as clients send it that connect again")]
        }
        Takes::Nothing => Vec::new(),
        Takes::Statement => vec![
            header(
                "Upload-Complete",
                r"^\?[01]$",
                false,
                "?1 if this is all of it, ?0 if more is to come: what has come is kept when it is cut off",
            ),
            header("Upload-Length", "^[0-9]{1,15}$", false, "the length of all of it"),
        ],
        Takes::Part => vec![
            header("Upload-Complete", r"^\?[01]$", true, "?1 if this is all that is still to come"),
            header("Upload-Offset", "^[0-9]{1,15}$", true, "how far the upload is"),
        ],
    }
}

fn body(takes: Takes) -> Option<Value> {
    let (content_type, words) = match takes {
        Takes::Nothing => return None,
        Takes::Statement => (
            "application/octet-stream",
            "be32 length, signed statement, be32 length of all attachments, attachments, payload. With `Content-Length`, and without any coding.",
        ),
        Takes::Part => ("application/partial-upload", "What comes at that offset. With `Content-Length`."),
    };
    Some(json!({ "required": true, "description": words, "content": { content_type: { "schema": {} } } }))
}

/// What paths refer to: the types' schemas, and how whoever asks shows who they are.
fn components(shared: Shared) -> Value {
    let Shared { mut schemas, responses } = shared;
    schemas.subschema_for::<ProblemDetails>();
    schemas.subschema_for::<Limits>();
    let mut definitions = schemas.take_definitions(true);
    definitions["ProblemDetails"]["properties"]["type"] = problem_type();
    definitions["EntryRecords"]["properties"]["entries"]["maxItems"] = PAGE_ENTRIES.into();
    definitions["StreamRecords"]["properties"]["streams"]["maxItems"] = PAGE_STREAMS.into();
    json!({
        "schemas": definitions,
        "responses": responses,
        "securitySchemes": { "certificate": { "type": "mutualTLS",
            "description": "A client certificate of one of the profiles in docs/formats/certificates.md, whose chain leads to a root of genesis, and which is on the ledger." } },
    })
}

//! The one table of what an appliance answers. Which path and method asks for what, who may ask, what `Allow` names, which listener serves it, and
//! the OpenAPI document all come from here.
//!
//! It does not know the answers.

use exhibit_pki::Role;
use exhibit_pki::Role::{Admin, Auditor, Authority, Camera, Custodian, Investigator};

use super::path::Parts;
use super::query::Query;
use super::{Route, RouteError, malformed, place};
use crate::StreamName;

/// A row: something that can be asked for.
pub struct Operation {
    /// Its name in the OpenAPI document.
    pub id: &'static str,
    /// The method.
    pub method: &'static str,
    /// The template of the path.
    pub path: &'static str,
    /// What it is, in a sentence.
    pub summary: &'static str,
    /// Who may ask, of those whose certificate counts.
    pub who: Who,
    /// Who may ask before an entry has introduced the certificate.
    pub stranger: Stranger,
    /// Whether it is served without a certificate.
    pub open: Open,
    /// HEAD is answered too. Not where a read may leave a trace on the ledger, or costs as much as the whole.
    pub head: bool,
    /// Asked of a log before this one too, at `/v1/logs/{log}/…`.
    pub before: bool,
    /// The members of its query.
    pub query: &'static [Member],
    /// What its request brings.
    pub takes: Takes,
    /// What it is answered with.
    pub gives: Gives,
    pub(super) read: fn(Parts, &mut Query) -> Result<Route, RouteError>,
}

/// Who may ask, of those whose certificate counts.
#[derive(Clone, Copy, Debug)]
pub enum Who {
    /// Everyone.
    Anyone,
    /// Whoever has one of these roles.
    Roles(&'static [Role]),
    /// Whose name it is.
    Owner,
    /// Whose name it is, and whoever has one of these roles.
    OwnerOr(&'static [Role]),
    /// Whose scope it is, and whoever has one of these roles.
    ScopeOr(&'static [Role]),
}

/// What is had with a certificate that leads to a root, and that no entry has introduced.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stranger {
    /// Nothing.
    Nothing,
    /// Under their own name, by authorities: an authority puts its own certificate on the ledger.
    AuthorityOwn,
    /// By authorities.
    Authority,
    /// By anyone: who is told where its log goes on may not be known there yet.
    Anyone,
}

/// Whether something is served without a certificate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Open {
    /// Never.
    Closed,
    /// Where the operator has opened the entries (`public_entries`).
    Entries,
    /// Always: it tells sizes and hashes, and nothing else.
    Everyone,
}

/// A member of a query.
#[derive(Clone, Copy, Debug)]
pub struct Member {
    /// Its name.
    pub name: &'static str,
    /// How it is written.
    pub shape: Shape,
    /// The request is malformed without it.
    pub is_required: bool,
    /// What it says.
    pub summary: &'static str,
}

/// How a value is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shape {
    /// SHA-256 in hex.
    Hash,
    /// A number up to 2^64 - 1, without zeros in front.
    Number,
    /// A stream's name without its generation.
    Series,
    /// A stream's name and a seq, with a slash between.
    Place,
    /// RFC 3339 in UTC, with milliseconds.
    Time,
    /// Fingerprints, with commas between.
    Fingerprints,
    /// A time in milliseconds as 16 hex digits, a hyphen, and a hash.
    Moment,
    /// Any text.
    Text,
}

/// What a request brings.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Takes {
    /// Nothing.
    Nothing,
    /// A statement with attachments and payload.
    Statement,
    /// More of an upload.
    Part,
}

/// What an operation is answered with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Gives {
    /// `Admitted`; 201, 200 or 202, or how far an upload is.
    Admitted,
    /// How far an upload is, in fields of the head: 204.
    Progress,
    /// Nothing: 204.
    Nothing,
    /// What uploads may be, in fields of the head: 204.
    Limits,
    /// `StreamRecord`
    Stream,
    /// `StreamRecords`
    Streams,
    /// `EntryRecord`
    Entry,
    /// `EntryRecords`
    Entries,
    /// `SuccessorRecord`
    Successor,
    /// How it stands with the witnesses.
    Witnesses,
    /// Who answers.
    Version,
    /// How the appliance is.
    Health,
    /// What changes, as it does: an answer without an end.
    Events,
    /// An attachment as it is stored.
    Attachment,
    /// Ciphertext, in ranges.
    Ciphertext,
    /// A signed note.
    Note,
    /// A tile of hashes.
    Tile,
    /// A bundle of entries.
    Bundle,
    /// The OpenAPI document.
    Description,
    /// A page for people.
    Page,
}

impl Operation {
    /// Whether it answers a method.
    pub fn answers(&self, method: &str) -> bool {
        self.method == method || (self.head && method == "HEAD")
    }
}

impl std::fmt::Debug for Operation {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.id)
    }
}

impl PartialEq for Operation {
    fn eq(&self, other: &Self) -> bool {
        self.id == other.id
    }
}

impl Eq for Operation {}

/// What most rows are.
const READ: Operation = Operation {
    id: "",
    method: "GET",
    path: "",
    summary: "",
    who: Who::Anyone,
    stranger: Stranger::Nothing,
    open: Open::Closed,
    head: false,
    before: true,
    query: &[],
    takes: Takes::Nothing,
    gives: Gives::Entry,
    read: |_, _| Err(RouteError::NotFound),
};

/// What the log publishes.
const PUBLIC: Operation = Operation { stranger: Stranger::Authority, open: Open::Everyone, head: true, gives: Gives::Note, ..READ };

/// What is not asked of logs before.
const HERE: Operation = Operation { before: false, ..READ };

const READERS: &[Role] = &[Custodian, Investigator, Auditor, Authority];
const AFTER: Member = member("after", Shape::Moment, "`next` of the page before");
const BY: Member = member("by", Shape::Fingerprints, "fingerprints of the custodians whose approvals count");

const fn member(name: &'static str, shape: Shape, summary: &'static str) -> Member {
    Member { name, shape, is_required: false, summary }
}

const fn required(name: &'static str, shape: Shape, summary: &'static str) -> Member {
    Member { name, shape, is_required: true, summary }
}

/// The table. Where a path has two readings the first one counts: a last component of digits only is a seq, and `entries` a listing, wherever what
/// stands before is a stream's name.
pub const OPERATIONS: &[Operation] = &[
    Operation {
        id: "putStatement",
        method: "PUT",
        path: "/v1/streams/{stream}/{seq}",
        summary: "Puts a statement on the ledger, with its attachments and payload.",
        who: Who::Owner,
        stranger: Stranger::AuthorityOwn,
        query: &[member("log", Shape::Hash, "the log that the sender knows, where the statement is for one before it")],
        takes: Takes::Statement,
        gives: Gives::Admitted,
        read: |mut parts, query| Ok(Route::Put { stream: parts.stream()?, seq: parts.number()?, log: query.hash("log", "a leaf hash")? }),
        ..HERE
    },
    Operation {
        id: "getUploadLimits",
        method: "OPTIONS",
        path: "/v1/streams/{stream}/{seq}",
        summary: "Tells what uploads may be.",
        who: Who::Owner,
        gives: Gives::Limits,
        read: |mut parts, _| Ok(Route::UploadLimits { stream: parts.stream()? }),
        ..HERE
    },
    Operation {
        id: "getUpload",
        path: UPLOAD,
        summary: "Tells how far an upload of the caller's is.",
        head: true,
        gives: Gives::Progress,
        read: |parts, _| Ok(Route::UploadState(parts.hash()?)),
        ..HERE
    },
    Operation {
        id: "appendToUpload",
        method: "PATCH",
        path: UPLOAD,
        summary: "Goes on with an upload of the caller's.",
        takes: Takes::Part,
        gives: Gives::Admitted,
        read: |parts, _| Ok(Route::UploadAppend(parts.hash()?)),
        ..HERE
    },
    Operation {
        id: "cancelUpload",
        method: "DELETE",
        path: UPLOAD,
        summary: "Drops what is kept of an upload of the caller's.",
        gives: Gives::Nothing,
        read: |parts, _| Ok(Route::UploadCancel(parts.hash()?)),
        ..HERE
    },
    Operation {
        id: "listStreams",
        path: "/v1/streams",
        summary: "Lists the streams whose names begin with a prefix, in order of name.",
        who: Who::OwnerOr(READERS),
        stranger: Stranger::AuthorityOwn,
        query: &[
            required("prefix", Shape::Text, "what the names begin with; empty for all"),
            member("after", Shape::Text, "the last name of the page before"),
        ],
        gives: Gives::Streams,
        read: |_, query| Ok(Route::Streams { prefix: query.required("prefix")?, after: query.take("after") }),
        ..READ
    },
    Operation {
        id: "getEntry",
        path: "/v1/streams/{stream}/{seq}",
        summary: "Gives an entry by its place in a stream, with its receipt.",
        who: Who::OwnerOr(READERS),
        stranger: Stranger::AuthorityOwn,
        read: |mut parts, _| Ok(Route::Entry { stream: parts.stream()?, seq: parts.number()? }),
        ..READ
    },
    Operation {
        id: "listEntries",
        path: "/v1/streams/{stream}/entries",
        summary: "Lists the entries of a stream, in order of seq.",
        who: Who::OwnerOr(READERS),
        stranger: Stranger::AuthorityOwn,
        query: &[
            member("first", Shape::Number, "from this seq on"),
            member("last", Shape::Number, "up to this seq"),
            member("after", Shape::Number, "`next` of the page before"),
        ],
        gives: Gives::Entries,
        read: entries,
        ..READ
    },
    Operation {
        id: "getStream",
        path: "/v1/streams/{stream}",
        summary: "Tells how far a stream is.",
        who: Who::OwnerOr(READERS),
        stranger: Stranger::AuthorityOwn,
        gives: Gives::Stream,
        read: |mut parts, _| Ok(Route::Stream { stream: parts.stream()? }),
        ..READ
    },
    Operation {
        id: "listSegments",
        path: "/v1/segments",
        summary: "Lists the segments of a series that overlap an interval by the camera's clock, in order of stream and seq.",
        who: Who::Roles(&[Custodian, Investigator, Auditor]),
        query: &[
            required("series", Shape::Series, "a stream's name without its generation"),
            required("from", Shape::Time, "the beginning of the interval"),
            required("to", Shape::Time, "its end"),
            member("after", Shape::Place, "`next` of the page before"),
        ],
        gives: Gives::Entries,
        read: segments,
        ..READ
    },
    Operation {
        id: "getEntryByLeaf",
        path: "/v1/entries/{leaf}",
        summary: "Gives an entry by its leaf hash, with its receipt.",
        who: Who::Roles(&[Custodian, Investigator, Auditor, Authority, Camera]),
        read: |parts, _| Ok(Route::EntryByLeaf(parts.hash()?)),
        ..READ
    },
    Operation {
        id: "listApprovals",
        path: "/v1/approvals/{leaf}",
        summary: "Lists the approvals of an entry, the first by each certificate.",
        who: Who::Roles(&[Custodian, Investigator, Auditor, Authority, Camera]),
        query: &[BY, member("after", Shape::Hash, "`next` of the page before")],
        gives: Gives::Entries,
        read: approvals,
        ..READ
    },
    Operation {
        id: "getEntryByIndex",
        path: "/v1/index/{index}",
        summary: "Gives an entry by its index in the log, with its receipt.",
        who: Who::Roles(&[Custodian, Investigator, Auditor]),
        read: |parts, _| Ok(Route::EntryByIndex(parts.number()?)),
        ..READ
    },
    Operation {
        id: "getCertificate",
        path: "/v1/certificates/{fingerprint}",
        summary: "Gives the entry that introduced a certificate.",
        read: |parts, _| Ok(Route::Certificate(parts.hash()?.0)),
        ..READ
    },
    Operation {
        id: "getAttachment",
        path: "/v1/attachments/{sha256}",
        summary: "Gives an attachment as it is stored, if what it is attached to allows the caller to have it.",
        open: Open::Entries,
        gives: Gives::Attachment,
        read: |parts, _| Ok(Route::Attachment(parts.hash()?)),
        ..READ
    },
    Operation {
        id: "getRecipients",
        path: "/v1/recipients/{scope}",
        summary: "Gives the newest `recipients` of a camera.",
        who: Who::ScopeOr(&[Custodian, Auditor]),
        read: |mut parts, _| Ok(Route::Recipients { scope: parts.scope()? }),
        ..READ
    },
    Operation {
        id: "listGrants",
        path: "/v1/grants",
        summary: "Lists the grants by and to the caller, in order of their time.",
        who: Who::Roles(&[Custodian, Investigator]),
        query: &[AFTER],
        gives: Gives::Entries,
        read: |_, query| Ok(Route::Grants { after: query.take("after") }),
        ..READ
    },
    Operation {
        id: "getPayload",
        path: "/v1/payloads/{stream}/{seq}",
        summary: "Gives the ciphertext of a segment, if the `fetch` that is named allows it. The access is put on the ledger first.",
        who: Who::Roles(&[Custodian, Investigator]),
        query: &[required("fetch", Shape::Hash, "the leaf hash of the caller's `fetch`")],
        gives: Gives::Ciphertext,
        read: |mut parts, query| {
            let (stream, seq) = (parts.stream()?, parts.number()?);
            let fetch = query.hash("fetch", "a leaf hash")?.ok_or_else(|| malformed("the query lacks fetch"))?;
            Ok(Route::Payload { stream, seq, fetch })
        },
        ..READ
    },
    Operation {
        id: "getWitnesses",
        path: "/v1/witnesses",
        summary: "Tells how it stands with the log's witnesses and mirrors.",
        gives: Gives::Witnesses,
        read: |_, _| Ok(Route::Witnesses),
        ..READ
    },
    Operation {
        id: "getEvents",
        path: "/v1/events",
        summary: "Tells live what changes, as server-sent events: the newest checkpoint, what is final, and how the appliance is.",
        // People, and programs of theirs. What is told is told to everyone who asks for it; what is bounded is how many are told by themselves.
        who: Who::Roles(&[Custodian, Investigator, Auditor, Admin]),
        query: &[member("after", Shape::Number, "the size of the newest checkpoint that is known; `Last-Event-ID` counts before it")],
        gives: Gives::Events,
        read: |_, query| Ok(Route::Events { after: query.number("after")? }),
        ..HERE
    },
    Operation {
        id: "getSuccessor",
        path: "/v1/successor",
        summary: "Shows that this log goes on for one that has ended.",
        stranger: Stranger::Anyone,
        query: &[
            required("log", Shape::Hash, "the log that has ended"),
            member("size", Shape::Number, "how many of its entries were verified"),
            BY,
        ],
        gives: Gives::Successor,
        read: |_, query| {
            let log = query.hash("log", "a leaf hash")?.ok_or_else(|| malformed("the query lacks log"))?;
            Ok(Route::Successor { log, size: query.number("size")?.unwrap_or(0), by: query.by()? })
        },
        ..HERE
    },
    Operation {
        id: "getVersion",
        path: "/v1/version",
        summary: "Tells which program and which log answers.",
        stranger: Stranger::Authority,
        gives: Gives::Version,
        read: |_, _| Ok(Route::Version),
        ..HERE
    },
    Operation {
        id: "getCheckpoint",
        path: "/log/checkpoint",
        summary: "The newest checkpoint (C2SP tlog-checkpoint), with the cosignatures that it has by now.",
        read: |_, _| Ok(Route::Checkpoint),
        ..PUBLIC
    },
    Operation {
        id: "getWitnessedCheckpoint",
        path: "/log/witnessed",
        summary: "The newest checkpoint that satisfies the log's witness policy.",
        read: |_, _| Ok(Route::Witnessed),
        ..PUBLIC
    },
    Operation {
        id: "getTpmCheckpoint",
        path: "/log/tpm",
        summary: "The newest checkpoint that the appliance's TPM has signed too.",
        before: false,
        read: |_, _| Ok(Route::TpmSigned),
        ..PUBLIC
    },
    Operation {
        id: "getEntryBundle",
        path: "/log/tile/entries/{bundle}",
        summary: "A bundle of entries (C2SP tlog-tiles).",
        who: Who::Roles(&[Auditor, Custodian]),
        open: Open::Entries,
        stranger: Stranger::Nothing,
        gives: Gives::Bundle,
        read: |parts, _| Ok(Route::Bundle(parts.bundle()?)),
        ..PUBLIC
    },
    Operation {
        id: "getTile",
        path: "/log/tile/{tile}",
        summary: "A tile of hashes (C2SP tlog-tiles).",
        gives: Gives::Tile,
        read: |parts, _| Ok(Route::Tile(parts.tile()?)),
        ..PUBLIC
    },
    Operation {
        id: "getDescription",
        path: "/v1/openapi.json",
        summary: "This API as an OpenAPI 3.1 document.",
        before: false,
        gives: Gives::Description,
        read: |_, _| Ok(Route::Description),
        ..PUBLIC
    },
    Operation {
        id: "getDocs",
        path: "/v1/docs",
        summary: "This API as a page for people: operations, answers, and what to do about each refusal.",
        before: false,
        gives: Gives::Page,
        read: |_, _| Ok(Route::Docs),
        ..PUBLIC
    },
    Operation {
        id: "getHealth",
        path: "/healthz",
        summary: "Tells whether the appliance serves.",
        before: false,
        gives: Gives::Health,
        read: |_, _| Ok(Route::Health),
        ..PUBLIC
    },
];

const UPLOAD: &str = "/v1/uploads/{statement}";

fn entries(mut parts: Parts, query: &mut Query) -> Result<Route, RouteError> {
    let stream = parts.stream()?;
    let first = query.number("first")?.unwrap_or(0);
    let last = query.number("last")?.unwrap_or(u64::MAX);
    let first = query.number("after")?.map_or(first, |after| first.max(after.saturating_add(1)));
    Ok(Route::Entries { stream, first, last })
}

fn segments(_: Parts, query: &mut Query) -> Result<Route, RouteError> {
    let series = query.required("series")?;
    if StreamName::parse(&format!("{series}/1")).is_err() {
        return Err(malformed("series is not a stream's name without its generation, like camera/102/main"));
    }
    let (from, to) = (query.time("from")?, query.time("to")?);
    let after = match query.take("after") {
        None => None,
        Some(cursor) => Some(place(&cursor).ok_or_else(|| malformed("after is not what a page before gave as next"))?),
    };
    Ok(Route::Segments { series, from, to, after })
}

fn approvals(parts: Parts, query: &mut Query) -> Result<Route, RouteError> {
    let (leaf, by, after) = (parts.hash()?, query.by()?, query.hash("after", "a fingerprint")?.map(|after| after.0));
    Ok(Route::Approvals { leaf, by, after })
}

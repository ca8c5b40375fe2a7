//! What a request to an appliance asks for: method, path and query, parsed strictly by the one [table](OPERATIONS) of what there is.
//!
//! It does not know who asks, nor whether there is such a thing.

use exhibit_pki::{Fingerprint, Subject, Timestamp};
use exhibit_tlog::{BundleId, Hash, TileId};

use crate::{StreamName, body::CUSTODIANS_MAX};
use path::Parts;
use query::Query;

mod path;
mod query;
mod table;

pub use table::{Gives, Member, OPERATIONS, Open, Operation, Shape, Stranger, Takes, Who};

/// A request of the API (docs/formats/api.md).
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Route {
    /// `PUT /v1/streams/{stream}/{seq}?log=`
    Put {
        /// The stream of the statement.
        stream: StreamName,
        /// Its position in the stream.
        seq: u64,
        /// The log that the sender knows, which it says where the statement is for the log before.
        log: Option<Hash>,
    },
    /// `OPTIONS /v1/streams/{stream}/{seq}`: what uploads may be
    UploadLimits {
        /// The stream.
        stream: StreamName,
    },
    /// `HEAD` or `GET /v1/uploads/{statement hash}`: how far an upload is
    UploadState(Hash),
    /// `PATCH /v1/uploads/{statement hash}`: goes on with it
    UploadAppend(Hash),
    /// `DELETE /v1/uploads/{statement hash}`: drops it
    UploadCancel(Hash),
    /// `GET /v1/streams?prefix=&after=`
    Streams {
        /// What the names begin with.
        prefix: String,
        /// The last name of the page before.
        after: Option<String>,
    },
    /// `GET /v1/streams/{stream}`
    Stream {
        /// The stream.
        stream: StreamName,
    },
    /// `GET /v1/streams/{stream}/{seq}`
    Entry {
        /// The stream of the statement.
        stream: StreamName,
        /// Its position in the stream.
        seq: u64,
    },
    /// `GET /v1/streams/{stream}/entries?first=&last=&after=`
    Entries {
        /// The stream.
        stream: StreamName,
        /// From this seq on.
        first: u64,
        /// To this one.
        last: u64,
    },
    /// `GET /v1/segments?series=&from=&to=&after=`
    Segments {
        /// A stream's name without its generation: `camera/102/main`.
        series: String,
        /// The beginning of the interval, by the camera's clock.
        from: Timestamp,
        /// Its end.
        to: Timestamp,
        /// The place of the last segment of the page before.
        after: Option<(StreamName, u64)>,
    },
    /// `GET /v1/entries/{leaf}`
    EntryByLeaf(Hash),
    /// `GET /v1/approvals/{leaf}?by=&after=`
    Approvals {
        /// Leaf hash of what is approved.
        leaf: Hash,
        /// Whose approvals; of everybody with the role if there are none.
        by: Vec<Fingerprint>,
        /// `next` of the page before.
        after: Option<Fingerprint>,
    },
    /// `GET /v1/index/{n}`
    EntryByIndex(u64),
    /// `GET /v1/certificates/{fingerprint}`
    Certificate(Fingerprint),
    /// `GET /v1/attachments/{sha256}`
    Attachment(Hash),
    /// `GET /v1/recipients/{scope}`
    Recipients {
        /// `camera/102`
        scope: Subject,
    },
    /// `GET /v1/grants?after=`
    Grants {
        /// `next` of the page before.
        after: Option<String>,
    },
    /// `GET /v1/payloads/{stream}/{seq}?fetch=`
    Payload {
        /// The stream of the segment.
        stream: StreamName,
        /// Its position in the stream.
        seq: u64,
        /// Leaf hash of the `fetch` statement that it is asked for with.
        fetch: Hash,
    },
    /// `GET /log/checkpoint`
    Checkpoint,
    /// `GET /log/witnessed`
    Witnessed,
    /// `GET /log/tpm`
    TpmSigned,
    /// `GET /v1/witnesses`
    Witnesses,
    /// `GET /log/tile/{level}/…`
    Tile(TileId),
    /// `GET /log/tile/entries/…`
    Bundle(BundleId),
    /// `GET /v1/successor?log=&size=&by=`
    Successor {
        /// The log that has ended.
        log: Hash,
        /// Entries that whoever asks has observed of it.
        size: u64,
        /// Whose approvals count for whoever asks.
        by: Vec<Fingerprint>,
    },
    /// `GET /v1/logs/{log}/…`: what a log before this one answers, where it can be read.
    Before {
        /// Its name.
        log: Hash,
        /// What is asked of it.
        route: Box<Self>,
    },
    /// `GET /v1/events?after=`: what changes, as it does
    Events {
        /// The size of the newest checkpoint that whoever asks knows.
        after: Option<u64>,
    },
    /// `GET /v1/version`
    Version,
    /// `GET /v1/openapi.json`
    Description,
    /// `GET /v1/docs`
    Docs,
    /// `GET /healthz`
    Health,
}

/// Why a request asks for nothing.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RouteError {
    /// No such path.
    #[error("there is nothing at this path")]
    NotFound,
    /// The path is known, and the method is none that it has: see [`allowed`].
    #[error("this path has other methods: Allow names them")]
    Method,
    /// The path is known, and its query is not what it demands.
    #[error("{0}")]
    Malformed(String),
}

/// A request's target: the row of the table, and what it asks for.
#[derive(Clone, Debug)]
pub struct Target {
    /// The row.
    pub operation: &'static Operation,
    /// What is asked for.
    pub route: Route,
}

impl Target {
    /// Parses. Unknown paths are not found, known ones have the methods of the table; anything unknown in a query is malformed.
    pub fn parse(method: &str, path: &str, query: Option<&str>) -> Result<Self, RouteError> {
        let (log, asked) = match path::log_before(path) {
            Some((log, rest)) => (Some(log), rest),
            None => (None, path),
        };
        let rows = OPERATIONS.iter().filter(|operation| operation.answers(method) && (log.is_none() || operation.before));
        for operation in rows {
            let Some(parts) = Parts::of(operation.path, asked) else { continue };
            let mut query = Query::parse(query.unwrap_or_default())?;
            let route = (operation.read)(parts, &mut query)?;
            query.finish()?;
            let route = match log {
                None => route,
                Some(log) => Route::Before { log, route: Box::new(route) },
            };
            return Ok(Self { operation, route });
        }
        Err(if at(path).next().is_some() { RouteError::Method } else { RouteError::NotFound })
    }
}

impl Target {
    /// Whether it is had without a certificate. What is had of logs before is for those who are known here.
    pub fn open(&self) -> Open {
        if matches!(self.route, Route::Before { .. }) { Open::Closed } else { self.operation.open }
    }
}

/// The methods that a path has, as `Allow` names them, of what is `shown`. Empty where there is none.
pub fn allowed(path: &str, shown: impl Fn(Open) -> bool) -> Vec<&'static str> {
    let mut methods: Vec<&'static str> = Vec::new();
    let is_before = path::log_before(path).is_some();
    for operation in at(path).filter(|operation| shown(if is_before { Open::Closed } else { operation.open })) {
        methods.extend([operation.method].into_iter().chain(operation.head.then_some("HEAD")));
    }
    if !methods.is_empty() {
        methods.push("OPTIONS");
    }
    methods.sort_unstable();
    methods.dedup();
    methods
}

/// What there is at a path.
fn at(path: &str) -> impl Iterator<Item = &'static Operation> {
    let log = path::log_before(path);
    let asked = log.map_or(path, |(_, rest)| rest);
    OPERATIONS.iter().filter(move |operation| (log.is_none() || operation.before) && Parts::of(operation.path, asked).is_some())
}

impl Route {
    /// The name by which it is judged whether what is asked for is the caller's own.
    pub fn name(&self) -> Option<&str> {
        match self {
            Self::Put { stream, .. }
            | Self::UploadLimits { stream }
            | Self::Stream { stream }
            | Self::Entry { stream, .. }
            | Self::Entries { stream, .. } => Some(stream.as_str()),
            Self::Streams { prefix, .. } => Some(prefix),
            Self::Before { route, .. } => route.name(),
            _ => None,
        }
    }

    /// Whose scope is asked for.
    pub fn scope(&self) -> Option<&Subject> {
        match self {
            Self::Recipients { scope } => Some(scope),
            Self::Before { route, .. } => route.scope(),
            _ => None,
        }
    }
}

fn malformed(detail: &str) -> RouteError {
    RouteError::Malformed(detail.to_owned())
}

/// The member `by` of a query; empty for nobody.
pub fn by_query(fingerprints: &[Fingerprint]) -> String {
    let list: Vec<String> = fingerprints.iter().take(CUSTODIANS_MAX).map(|fingerprint| Hash(*fingerprint).to_string()).collect();
    if list.is_empty() { String::new() } else { format!("by={}", list.join(",")) }
}

/// `camera/102/main/20261120T115958Z/7`
fn place(text: &str) -> Option<(StreamName, u64)> {
    let (stream, seq) = text.rsplit_once('/')?;
    Some((StreamName::parse(stream).ok()?, decimal(seq)?))
}

/// A number has one spelling.
fn decimal(text: &str) -> Option<u64> {
    let canonical = text.bytes().all(|byte| byte.is_ascii_digit()) && (text == "0" || !text.starts_with('0'));
    if canonical { text.parse().ok() } else { None }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn get(target: &str) -> Result<Route, RouteError> {
        let (path, query) = target.split_once('?').map_or((target, None), |(path, query)| (path, Some(query)));
        parse("GET", path, query)
    }

    fn parse(method: &str, path: &str, query: Option<&str>) -> Result<Route, RouteError> {
        Target::parse(method, path, query).map(|target| target.route)
    }

    #[test]
    fn a_stream_an_entry_and_a_listing_are_told_apart() {
        let stream = StreamName::parse("camera/102/main/20261120T115958Z").unwrap();
        assert_eq!(get("/v1/streams/camera/102/main/20261120T115958Z").unwrap(), Route::Stream { stream: stream.clone() });
        assert_eq!(get("/v1/streams/camera/102/main/20261120T115958Z/7").unwrap(), Route::Entry { stream: stream.clone(), seq: 7 });
        let listing = get("/v1/streams/camera/102/main/20261120T115958Z/entries?first=3&last=9").unwrap();
        assert_eq!(listing, Route::Entries { stream: stream.clone(), first: 3, last: 9 });
        let next = get("/v1/streams/camera/102/main/20261120T115958Z/entries?first=3&last=9&after=5").unwrap();
        assert_eq!(next, Route::Entries { stream: stream.clone(), first: 6, last: 9 });
        assert_eq!(parse("PUT", "/v1/streams/camera/102/main/20261120T115958Z/7", None).unwrap(), Route::Put { stream, seq: 7, log: None });
    }

    #[test]
    fn an_upload_is_asked_for_gone_on_with_and_dropped() {
        let path = format!("/v1/uploads/{}", "0a".repeat(32));
        let hash = Hash([10; 32]);
        let routes = [
            ("HEAD", Route::UploadState(hash)),
            ("GET", Route::UploadState(hash)),
            ("PATCH", Route::UploadAppend(hash)),
            ("DELETE", Route::UploadCancel(hash)),
        ];
        for (method, route) in routes {
            assert_eq!(parse(method, &path, None).unwrap(), route, "{method}");
        }
        assert_eq!(parse("PUT", &path, None).unwrap_err(), RouteError::Method);
        let stream = StreamName::parse("camera/102/main/1a").unwrap();
        assert_eq!(parse("OPTIONS", "/v1/streams/camera/102/main/1a/7", None).unwrap(), Route::UploadLimits { stream });
        assert_eq!(parse("OPTIONS", "/v1/streams/camera/102/main/1a", None).unwrap_err(), RouteError::Method);
    }

    #[test]
    fn approvals_are_asked_for_by_custodian_or_in_pages() {
        let (leaf, zeros) = (Hash([0; 32]), "0".repeat(64));
        let plain = Route::Approvals { leaf, by: Vec::new(), after: None };
        assert_eq!(get(&format!("/v1/approvals/{zeros}")).unwrap(), plain);
        let page = Route::Approvals { leaf, by: Vec::new(), after: Some([0; 32]) };
        assert_eq!(get(&format!("/v1/approvals/{zeros}?after={zeros}")).unwrap(), page);
        let some = [[1; 32], [2; 32]];
        let asked = get(&format!("/v1/approvals/{zeros}?{}", by_query(&some))).unwrap();
        assert_eq!(asked, Route::Approvals { leaf, by: some.to_vec(), after: None });
        let both = get(&format!("/v1/approvals/{zeros}?after={zeros}&{}", by_query(&some))).unwrap();
        assert_eq!(both, Route::Approvals { leaf, by: some.to_vec(), after: Some([0; 32]) });
        let successor = get(&format!("/v1/successor?log={zeros}&size=3&{}", by_query(&some))).unwrap();
        assert_eq!(successor, Route::Successor { log: leaf, size: 3, by: some.to_vec() });
        let many = vec![[3; 32]; CUSTODIANS_MAX + 1];
        assert!(get(&format!("/v1/approvals/{zeros}?{}", by_query(&many))).is_ok(), "what is written is not what is read");
    }

    #[test]
    fn queries_may_be_percent_encoded() {
        let plain = get("/v1/segments?series=camera/102/main&from=2026-11-20T12:00:00.000Z&to=2026-11-20T12:00:10.000Z").unwrap();
        let encoded = get("/v1/segments?series=camera%2F102%2Fmain&from=2026-11-20T12%3A00%3A00.000Z&to=2026-11-20T12%3a00%3a10.000Z");
        assert_eq!(encoded.unwrap(), plain);
    }

    #[test]
    fn hostile_targets_are_refused() {
        let zeros = "0".repeat(64);
        let cases = [
            ("unknown path", "/v2/streams".to_owned(), RouteError::NotFound),
            ("upper-case hash", format!("/v1/entries/{}", "A".repeat(64)), RouteError::NotFound),
            ("short hash", "/v1/entries/00".to_owned(), RouteError::NotFound),
            ("climbing", "/v1/streams/camera/../main/1".to_owned(), RouteError::NotFound),
            ("signed index", "/v1/index/+1".to_owned(), RouteError::NotFound),
            ("index with a leading zero", "/v1/index/01".to_owned(), RouteError::NotFound),
            ("index beyond 64 bits", "/v1/index/18446744073709551616".to_owned(), RouteError::NotFound),
            ("unknown member", "/v1/streams?prefix=a&limit=9".to_owned(), malformed("the query has a member that is not known here")),
            ("member where none is known", format!("/v1/entries/{zeros}?x=1"), malformed("the query has a member that is not known here")),
            ("member twice", "/v1/streams?prefix=a&prefix=b".to_owned(), malformed("a member of the query is there twice")),
            ("member without value", "/v1/streams?prefix".to_owned(), malformed("a member of the query has no value")),
            ("missing member", "/v1/streams".to_owned(), malformed("the query lacks prefix")),
            ("cut percent-encoding", "/v1/streams?prefix=%2".to_owned(), malformed("a value in the query is not percent-encoded UTF-8")),
            (
                "percent-encoding that is not UTF-8",
                "/v1/streams?prefix=%ff".to_owned(),
                malformed("a value in the query is not percent-encoded UTF-8"),
            ),
            ("payload without fetch", "/v1/payloads/camera/1/main/a/0".to_owned(), malformed("the query lacks fetch")),
            (
                "series that is a kind",
                "/v1/segments?series=camera&from=2026-11-20T12:00:00.000Z&to=2026-11-20T12:00:00.000Z".to_owned(),
                malformed("series is not a stream's name without its generation, like camera/102/main"),
            ),
            ("log before a log before", format!("/v1/logs/{zeros}/v1/logs/{zeros}/v1/index/0"), RouteError::NotFound),
            ("successor of a log before", format!("/v1/logs/{zeros}/v1/successor?log={zeros}"), RouteError::NotFound),
            ("version of a log before", format!("/v1/logs/{zeros}/v1/version"), RouteError::NotFound),
            ("health of a log before", format!("/v1/logs/{zeros}/healthz"), RouteError::NotFound),
            ("events of a log before", format!("/v1/logs/{zeros}/v1/events"), RouteError::NotFound),
            ("events after no number", "/v1/events?after=x".to_owned(), malformed("after is not a number")),
            ("events after a number with a zero in front", "/v1/events?after=07".to_owned(), malformed("after is not a number")),
            ("events of a kind", "/v1/events?kind=ban".to_owned(), malformed("the query has a member that is not known here")),
            ("TPM's line of a log before", format!("/v1/logs/{zeros}/log/tpm"), RouteError::NotFound),
            ("log of no hash", "/v1/logs/1/log/checkpoint".to_owned(), RouteError::NotFound),
            ("approvals by nobody", format!("/v1/approvals/{zeros}?by="), malformed("by is not a list of fingerprints")),
            (
                "approvals by somebody twice cut",
                format!("/v1/approvals/{zeros}?by={zeros},"),
                malformed("by is not a list of fingerprints"),
            ),
            (
                "approvals by more than can decide",
                format!("/v1/approvals/{zeros}?by={}", vec![&*zeros; CUSTODIANS_MAX + 1].join(",")),
                malformed("by names more than a set of recipients can"),
            ),
            ("approvals after no fingerprint", format!("/v1/approvals/{zeros}?after=1"), malformed("after is not a fingerprint")),
            ("successor by nobody", format!("/v1/successor?log={zeros}&by=1"), malformed("by is not a list of fingerprints")),
            ("scope of nobody", "/v1/recipients/camera".to_owned(), RouteError::NotFound),
        ];
        for (defect, target, error) in cases {
            assert_eq!(get(&target).unwrap_err(), error, "{defect}");
        }
        assert_eq!(parse("HEAD", "/v1/version", None).unwrap_err(), RouteError::Method);
        assert_eq!(parse("HEAD", "/v1/payloads/camera/1/main/a/0", Some(&format!("fetch={zeros}"))).unwrap_err(), RouteError::Method);
        assert_eq!(parse("HEAD", "/log/checkpoint", None).unwrap(), Route::Checkpoint);
        let before = Route::Before { log: Hash([0; 32]), route: Box::new(Route::EntryByIndex(7)) };
        assert_eq!(get(&format!("/v1/logs/{zeros}/v1/index/7")).unwrap(), before);
        assert_eq!(parse("POST", "/v1/streams/a/b/c/0", None).unwrap_err(), RouteError::Method);
        assert_eq!(parse("DELETE", "/v1/streams/a/b/c/0", None).unwrap_err(), RouteError::Method, "what is stated stays");
        for method in ["GET", "HEAD", "PATCH", "DELETE"] {
            let parsed = |path: &str, query| parse(method, path, query).unwrap_err();
            assert_eq!(parsed("/v1/uploads/00", None), RouteError::NotFound, "{method}: a short hash");
            assert_eq!(parsed(&format!("/v1/uploads/{}", "A".repeat(64)), None), RouteError::NotFound, "{method}: upper case");
            assert!(matches!(parsed(&format!("/v1/uploads/{zeros}"), Some("x=1")), RouteError::Malformed(_)), "{method}: a query");
        }
        assert_eq!(parse("PUT", "/v1/streams/a/b/c", None).unwrap_err(), RouteError::Method, "a place has a seq");
        assert_eq!(parse("PUT", "/v1/index/0", None).unwrap_err(), RouteError::Method);
    }
}

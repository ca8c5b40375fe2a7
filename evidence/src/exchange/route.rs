//! What a request to an appliance asks for: method, path and query, parsed strictly.
//!
//! It does not know who asks, nor whether there is such a thing.

use exhibit_pki::{Fingerprint, Subject, Timestamp};
use exhibit_tlog::{BundleId, Hash, TileId};

use crate::{StreamName, body::CUSTODIANS_MAX};

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
    /// `GET /v1/version`
    Version,
    /// `GET /healthz`
    Health,
}

/// Why a request asks for nothing.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RouteError {
    /// No such path.
    #[error("there is nothing at this path")]
    NotFound,
    /// Another method than those of the API.
    #[error("only GET, HEAD, PUT, OPTIONS, PATCH and DELETE are known")]
    Method,
    /// The path is known, and its query is not what it demands.
    #[error("{0}")]
    Malformed(String),
}

impl Route {
    /// Parses. Unknown paths are not found; anything unknown in a query is malformed.
    pub fn parse(method: &str, path: &str, query: Option<&str>) -> Result<Self, RouteError> {
        let mut query = Query::parse(query.unwrap_or_default())?;
        let route = match (method, path) {
            ("PUT", _) => {
                let (stream, seq) = path.strip_prefix("/v1/streams/").and_then(place).ok_or(RouteError::NotFound)?;
                let log = query.take("log").map(|log| Hash::from_hex(&log).ok_or_else(|| malformed("log is not a leaf hash")));
                Self::Put { stream, seq, log: log.transpose()? }
            }
            ("OPTIONS", _) => {
                let (stream, _) = path.strip_prefix("/v1/streams/").and_then(place).ok_or(RouteError::NotFound)?;
                Self::UploadLimits { stream }
            }
            ("PATCH", _) => Self::UploadAppend(upload(path)?),
            ("DELETE", _) => Self::UploadCancel(upload(path)?),
            ("GET" | "HEAD", _) if path.starts_with(UPLOADS) => Self::UploadState(upload(path)?),
            ("GET", _) => Self::get(path, &mut query)?,
            // Of the log's resources only: what else is read may leave a trace on the ledger, or costs as much as the whole.
            ("HEAD", _) => Some(Self::get(path, &mut query)?).filter(Self::is_of_log).ok_or(RouteError::NotFound)?,
            _ => return Err(RouteError::Method),
        };
        query.finish()?;
        Ok(route)
    }

    /// What anyone may have, without a certificate: it tells sizes and hashes, and nothing else.
    pub fn is_public(&self) -> bool {
        matches!(self, Self::Checkpoint | Self::Witnessed | Self::TpmSigned | Self::Tile(_) | Self::Health)
    }

    /// What tells entries, and is public where the operator has said so.
    pub fn is_of_entries(&self) -> bool {
        matches!(self, Self::Bundle(_) | Self::Attachment(_))
    }

    /// What can be asked of a log that has ended.
    fn is_of_ended(&self) -> bool {
        match self {
            Self::Streams { .. }
            | Self::Stream { .. }
            | Self::Entry { .. }
            | Self::Entries { .. }
            | Self::Segments { .. }
            | Self::EntryByLeaf(_)
            | Self::EntryByIndex(_)
            | Self::Approvals { .. }
            | Self::Certificate(_)
            | Self::Attachment(_)
            | Self::Recipients { .. }
            | Self::Grants { .. }
            | Self::Payload { .. }
            | Self::Checkpoint
            | Self::Witnessed
            | Self::Witnesses
            | Self::Tile(_)
            | Self::Bundle(_) => true,
            Self::Put { .. }
            | Self::UploadLimits { .. }
            | Self::UploadState(_)
            | Self::UploadAppend(_)
            | Self::UploadCancel(_)
            | Self::TpmSigned
            | Self::Successor { .. }
            | Self::Before { .. }
            | Self::Version
            | Self::Health => false,
        }
    }

    /// A static resource of the log.
    fn is_of_log(&self) -> bool {
        matches!(self, Self::Checkpoint | Self::Witnessed | Self::TpmSigned | Self::Tile(_) | Self::Bundle(_) | Self::Health)
    }

    fn get(path: &str, query: &mut Query) -> Result<Self, RouteError> {
        match path {
            "/healthz" => return Ok(Self::Health),
            "/v1/version" => return Ok(Self::Version),
            "/log/checkpoint" => return Ok(Self::Checkpoint),
            "/log/witnessed" => return Ok(Self::Witnessed),
            "/log/tpm" => return Ok(Self::TpmSigned),
            "/v1/witnesses" => return Ok(Self::Witnesses),
            "/v1/successor" => {
                let log = Hash::from_hex(&query.required("log")?).ok_or_else(|| malformed("log is not a leaf hash"))?;
                return Ok(Self::Successor { log, size: query.number("size")?.unwrap_or(0), by: by(query)? });
            }
            "/v1/streams" => {
                return Ok(Self::Streams { prefix: query.required("prefix")?, after: query.take("after") });
            }
            "/v1/segments" => return Self::segments(query),
            "/v1/grants" => return Ok(Self::Grants { after: query.take("after") }),
            _ => {}
        }
        if let Some(bundle) = path.strip_prefix("/log/tile/entries/") {
            return Ok(Self::Bundle(BundleId::parse(bundle).map_err(|_| RouteError::NotFound)?));
        }
        if let Some(tile) = path.strip_prefix("/log/tile/") {
            return Ok(Self::Tile(TileId::parse(tile).map_err(|_| RouteError::NotFound)?));
        }
        let (kind, rest) = path.strip_prefix("/v1/").and_then(|path| path.split_once('/')).ok_or(RouteError::NotFound)?;
        if let Some((log, path)) = rest.find('/').filter(|_| kind == "logs").map(|end| rest.split_at(end)) {
            // A log names itself, and not by way of another.
            if path.starts_with("/v1/logs/") {
                return Err(RouteError::NotFound);
            }
            let route = Box::new(Self::get(path, query)?);
            return if route.is_of_ended() { Ok(Self::Before { log: hash(log)?, route }) } else { Err(RouteError::NotFound) };
        }
        match kind {
            "streams" => Self::stream(rest, query),
            "entries" => Ok(Self::EntryByLeaf(hash(rest)?)),
            "approvals" => {
                let after = query.take("after").map(|after| Hash::from_hex(&after).ok_or_else(|| malformed("after is not a fingerprint")));
                let (leaf, by, after) = (hash(rest)?, by(query)?, after.transpose()?.map(|after| after.0));
                if after.is_some() && !by.is_empty() {
                    return Err(malformed("after is for the approvals of everybody, and by for those of some"));
                }
                Ok(Self::Approvals { leaf, by, after })
            }
            "index" => Ok(Self::EntryByIndex(decimal(rest).ok_or(RouteError::NotFound)?)),
            "certificates" => Ok(Self::Certificate(hash(rest)?.0)),
            "attachments" => Ok(Self::Attachment(hash(rest)?)),
            "recipients" => Ok(Self::Recipients { scope: Subject::parse(rest).map_err(|_| RouteError::NotFound)? }),
            "payloads" => {
                let (stream, seq) = place(rest).ok_or(RouteError::NotFound)?;
                let fetch = Hash::from_hex(&query.required("fetch")?);
                Ok(Self::Payload { stream, seq, fetch: fetch.ok_or_else(|| malformed("fetch is not a leaf hash"))? })
            }
            _ => Err(RouteError::NotFound),
        }
    }

    /// A last component of digits only is a seq, and `entries` a listing, wherever what stands before is a stream's name.
    fn stream(rest: &str, query: &mut Query) -> Result<Self, RouteError> {
        if let Some((stream, seq)) = place(rest) {
            return Ok(Self::Entry { stream, seq });
        }
        if let Some(stream) = rest.strip_suffix("/entries").and_then(|name| StreamName::parse(name).ok()) {
            let first = query.number("first")?.unwrap_or(0);
            let last = query.number("last")?.unwrap_or(u64::MAX);
            let first = match query.number("after")? {
                Some(after) => first.max(after.saturating_add(1)),
                None => first,
            };
            return Ok(Self::Entries { stream, first, last });
        }
        Ok(Self::Stream { stream: StreamName::parse(rest).map_err(|_| RouteError::NotFound)? })
    }

    fn segments(query: &mut Query) -> Result<Self, RouteError> {
        let series = query.required("series")?;
        // A series is a stream's name without its generation.
        if StreamName::parse(&format!("{series}/1")).is_err() {
            return Err(malformed("series is not a stream's name without its generation, like camera/102/main"));
        }
        let mut time = |name: &str| -> Result<Timestamp, RouteError> {
            Timestamp::parse(&query.required(name)?).map_err(|error| malformed(&format!("{name} is {error}")))
        };
        let (from, to) = (time("from")?, time("to")?);
        let after = match query.take("after") {
            None => None,
            Some(cursor) => Some(place(&cursor).ok_or_else(|| malformed("after is not what a page before gave as next"))?),
        };
        Ok(Self::Segments { series, from, to, after })
    }
}

/// Where uploads that were begun are asked for.
const UPLOADS: &str = "/v1/uploads/";

fn upload(path: &str) -> Result<Hash, RouteError> {
    hash(path.strip_prefix(UPLOADS).ok_or(RouteError::NotFound)?)
}

fn malformed(detail: &str) -> RouteError {
    RouteError::Malformed(detail.to_owned())
}

/// Fingerprints of custodians, as many as a set can name.
fn by(query: &mut Query) -> Result<Vec<Fingerprint>, RouteError> {
    let Some(list) = query.take("by") else { return Ok(Vec::new()) };
    let fingerprints: Option<Vec<Fingerprint>> = list.split(',').map(|text| Some(Hash::from_hex(text)?.0)).collect();
    let fingerprints = fingerprints.ok_or_else(|| malformed("by is not a list of fingerprints"))?;
    if fingerprints.len() > CUSTODIANS_MAX {
        return Err(malformed("by names more than a set of recipients can"));
    }
    Ok(fingerprints)
}

/// The member `by` of a query; empty for nobody.
pub fn by_query(fingerprints: &[Fingerprint]) -> String {
    let list: Vec<String> = fingerprints.iter().take(CUSTODIANS_MAX).map(|fingerprint| Hash(*fingerprint).to_string()).collect();
    if list.is_empty() { String::new() } else { format!("by={}", list.join(",")) }
}

fn hash(text: &str) -> Result<Hash, RouteError> {
    Hash::from_hex(text).ok_or(RouteError::NotFound)
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

/// The members of a query that have not been asked for.
struct Query(Vec<(String, String)>);

impl Query {
    fn parse(text: &str) -> Result<Self, RouteError> {
        let mut members: Vec<(String, String)> = Vec::new();
        for member in text.split('&').filter(|member| !member.is_empty()) {
            let (name, value) = member.split_once('=').ok_or_else(|| malformed("a member of the query has no value"))?;
            let value = decode_percent(value).ok_or_else(|| malformed("a value in the query is not percent-encoded UTF-8"))?;
            if members.iter().any(|(known, _)| known == name) {
                return Err(malformed("a member of the query is there twice"));
            }
            members.push((name.to_owned(), value));
        }
        Ok(Self(members))
    }

    fn take(&mut self, name: &str) -> Option<String> {
        let position = self.0.iter().position(|(known, _)| known == name)?;
        Some(self.0.swap_remove(position).1)
    }

    fn required(&mut self, name: &str) -> Result<String, RouteError> {
        self.take(name).ok_or_else(|| malformed(&format!("the query lacks {name}")))
    }

    fn number(&mut self, name: &str) -> Result<Option<u64>, RouteError> {
        let Some(text) = self.take(name) else { return Ok(None) };
        decimal(&text).map(Some).ok_or_else(|| malformed(&format!("{name} is not a number")))
    }

    fn finish(self) -> Result<(), RouteError> {
        if self.0.is_empty() { Ok(()) } else { Err(malformed("the query has a member that is not known here")) }
    }
}

fn decode_percent(text: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((first, after)) = rest.split_first() {
        rest = after;
        if *first == b'%' {
            let (digits, after) = rest.split_at_checked(2)?;
            let mut byte = [0];
            hex::decode_to_slice(digits, &mut byte).ok()?;
            bytes.extend_from_slice(&byte);
            rest = after;
        } else {
            bytes.push(*first);
        }
    }
    String::from_utf8(bytes).ok()
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn get(target: &str) -> Result<Route, RouteError> {
        let (path, query) = target.split_once('?').map_or((target, None), |(path, query)| (path, Some(query)));
        Route::parse("GET", path, query)
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
        assert_eq!(
            Route::parse("PUT", "/v1/streams/camera/102/main/20261120T115958Z/7", None).unwrap(),
            Route::Put { stream, seq: 7, log: None }
        );
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
            assert_eq!(Route::parse(method, &path, None).unwrap(), route, "{method}");
        }
        assert_eq!(Route::parse("PUT", &path, None).unwrap_err(), RouteError::NotFound);
        let stream = StreamName::parse("camera/102/main/1a").unwrap();
        assert_eq!(Route::parse("OPTIONS", "/v1/streams/camera/102/main/1a/7", None).unwrap(), Route::UploadLimits { stream });
        assert_eq!(Route::parse("OPTIONS", "/v1/streams/camera/102/main/1a", None).unwrap_err(), RouteError::NotFound);
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
            (
                "approvals of some in pages",
                format!("/v1/approvals/{zeros}?by={zeros}&after={zeros}"),
                malformed("after is for the approvals of everybody, and by for those of some"),
            ),
            ("successor by nobody", format!("/v1/successor?log={zeros}&by=1"), malformed("by is not a list of fingerprints")),
            ("scope of nobody", "/v1/recipients/camera".to_owned(), RouteError::NotFound),
        ];
        for (defect, target, error) in cases {
            assert_eq!(get(&target).unwrap_err(), error, "{defect}");
        }
        assert_eq!(Route::parse("HEAD", "/v1/version", None).unwrap_err(), RouteError::NotFound);
        assert_eq!(
            Route::parse("HEAD", "/v1/payloads/camera/1/main/a/0", Some(&format!("fetch={zeros}"))).unwrap_err(),
            RouteError::NotFound
        );
        assert_eq!(Route::parse("HEAD", "/log/checkpoint", None).unwrap(), Route::Checkpoint);
        let before = Route::Before { log: Hash([0; 32]), route: Box::new(Route::EntryByIndex(7)) };
        assert_eq!(get(&format!("/v1/logs/{zeros}/v1/index/7")).unwrap(), before);
        assert_eq!(Route::parse("POST", "/v1/streams/a/b/c/0", None).unwrap_err(), RouteError::Method);
        assert_eq!(Route::parse("DELETE", "/v1/streams/a/b/c/0", None).unwrap_err(), RouteError::NotFound, "what is stated stays");
        for method in ["GET", "HEAD", "PATCH", "DELETE"] {
            let parsed = |path: &str, query| Route::parse(method, path, query).unwrap_err();
            assert_eq!(parsed("/v1/uploads/00", None), RouteError::NotFound, "{method}: a short hash");
            assert_eq!(parsed(&format!("/v1/uploads/{}", "A".repeat(64)), None), RouteError::NotFound, "{method}: upper case");
            assert!(matches!(parsed(&format!("/v1/uploads/{zeros}"), Some("x=1")), RouteError::Malformed(_)), "{method}: a query");
        }
        assert_eq!(Route::parse("PUT", "/v1/streams/a/b/c", None).unwrap_err(), RouteError::NotFound, "a place has a seq");
        assert_eq!(Route::parse("PUT", "/v1/index/0", None).unwrap_err(), RouteError::NotFound);
    }
}

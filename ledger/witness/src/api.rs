//! From a request to an answer (docs/formats/witness.md).
//!
//! It accepts no connection, and decides nothing about logs.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use exhibit_program::log_resource::{self, Kind};
use exhibit_tlog::Refusal;
use exhibit_tlog::witness::{ADD_CHECKPOINT_SIZE_BYTES_MAX, SIZE_CONTENT_TYPE};
use http_body_util::{BodyExt, Full};
use hyper::body::{Body, Incoming};
use hyper::header::{ALLOW, CACHE_CONTROL, CONNECTION, CONTENT_TYPE, HeaderMap, HeaderValue, RETRY_AFTER};
use hyper::{Method, Request, Response, StatusCode};
use serde_json::json;
use tokio::task::spawn_blocking;
use tokio::time::timeout;

use crate::mirror::Mirror;
use crate::mirror_api;
use crate::store::StoreError;
use crate::uploads::Uploads;
use crate::witness::{AddError, Witness, origin_hash};

/// A request is at most 116 KiB: whoever needs longer for it holds a place that another could have.
const BODY_MAX: Duration = Duration::from_secs(30);
/// What is read of a request that is too large, so that its sender reads the answer instead of a broken connection.
const SURPLUS_BYTES_MAX: usize = 1024 * 1024;

/// A disk that is full, a clock that is behind, a log that others upload: seconds to minutes.
const RETRY_AFTER_S: &str = "5";

/// An answer.
pub type Answer = Response<Full<Bytes>>;

/// What ends the process: called with the reason, it logs it and does not come back.
pub type Fatal = Arc<dyn Fn(&str) + Send + Sync>;

/// Seconds since the Unix epoch.
pub type Clock = Arc<dyn Fn() -> u64 + Send + Sync>;

/// Everything that requests work with.
pub struct Service {
    /// The witness.
    pub witness: Witness,
    /// The mirror, if it is one.
    pub mirror: Option<Arc<Mirror>>,
    /// Places for uploads to it.
    pub uploads: Arc<Uploads>,
    /// Its name.
    pub name: String,
    /// The clock.
    pub clock: Clock,
    /// The end.
    pub fatal: Fatal,
}

/// Answers one request, which came from that address.
pub async fn handle(service: Arc<Service>, from: IpAddr, request: Request<Incoming>) -> Answer {
    let path = request.uri().path().to_owned();
    let has_body = !request.body().is_end_stream();
    let mut answer = match (request.method(), path.as_str()) {
        (&Method::POST, "/add-checkpoint") => return add_checkpoint(service, request).await,
        (&Method::POST, "/add-entries") => return mirror_api::add_entries(service, from, request).await,
        (_, "/add-checkpoint" | "/add-entries") => only(Method::POST),
        (&Method::GET | &Method::HEAD, path) if path.starts_with("/mirror/") => {
            let (path, headers) = (path.to_owned(), request.headers().clone());
            let read = spawn_blocking(move || match path["/mirror/".len()..].split_once('/') {
                Some((hash, rest)) => mirror_api::read(&service, hash, rest, &headers),
                None => not_found(),
            });
            read.await.unwrap_or_else(|_| text(StatusCode::INTERNAL_SERVER_ERROR, "the mirror failed\n"))
        }
        (&Method::GET | &Method::HEAD, "/healthz") => json_answer(&json!({ "status": "ok" })),
        (&Method::GET | &Method::HEAD, _) => {
            let (path, headers) = (path.clone(), request.headers().clone());
            // Whoever keeps a checkpoint has the log's lock while it syncs.
            let read = spawn_blocking(move || read(&service, &path, &headers));
            read.await.unwrap_or_else(|_| text(StatusCode::INTERNAL_SERVER_ERROR, "the witness failed\n"))
        }
        _ => only(Method::GET),
    };
    if has_body {
        // What was not read of a body would be taken for the next request.
        answer.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
    }
    answer
}

async fn add_checkpoint(service: Arc<Service>, request: Request<Incoming>) -> Answer {
    let body = match timeout(BODY_MAX, read_body(request.into_body())).await {
        Err(_) => return closing(text(StatusCode::REQUEST_TIMEOUT, "the request took too long\n")),
        Ok(Err(())) => return closing(text(StatusCode::BAD_REQUEST, "the request broke off\n")),
        Ok(Ok(None)) => return closing(text(StatusCode::PAYLOAD_TOO_LARGE, "the request is too large\n")),
        Ok(Ok(Some(body))) => body,
    };
    let Ok(body) = String::from_utf8(body) else {
        return text(StatusCode::BAD_REQUEST, "the request is not UTF-8\n");
    };
    let judged = spawn_blocking(move || {
        let answered = service.witness.add_checkpoint(&body, &*service.clock);
        if let (Ok((_, cosigned)), Some(mirror)) = (&answered, &service.mirror) {
            mirror.remember(&origin_hash(&cosigned.checkpoint.origin), cosigned);
        }
        if let Err(AddError::Store(error @ StoreError::Sync { .. })) = &answered {
            // A sync may succeed when it is asked again, without the data: nothing is tried again.
            (service.fatal)(&error.to_string());
        }
        answered
    });
    match judged.await {
        Ok(Ok((lines, _))) => text(StatusCode::OK, lines),
        Ok(Err(AddError::Refused(refusal))) => refused(&refusal),
        Ok(Err(error)) => {
            tracing::error!(%error, "a checkpoint could not be cosigned");
            unavailable("the witness can not cosign now: try again later\n")
        }
        Err(_) => text(StatusCode::INTERNAL_SERVER_ERROR, "the witness failed\n"),
    }
}

fn refused(refusal: &Refusal) -> Answer {
    tracing::info!(status = refusal.status(), %refusal, "refused");
    let status = StatusCode::from_u16(refusal.status()).expect("tlog-witness names HTTP statuses");
    let mut answer = text(status, refusal.body());
    if matches!(refusal, Refusal::Conflict(_)) {
        answer.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(SIZE_CONTENT_TYPE));
    }
    answer
}

/// The whole body; `None` if it is larger than any request can be.
async fn read_body(mut body: Incoming) -> Result<Option<Vec<u8>>, ()> {
    let (mut read, mut surplus) = (Vec::new(), 0);
    while let Some(frame) = body.frame().await {
        let Ok(data) = frame.map_err(|_| ())?.into_data() else { continue };
        if surplus == 0 && read.len() + data.len() <= ADD_CHECKPOINT_SIZE_BYTES_MAX {
            read.extend_from_slice(&data);
            continue;
        }
        surplus += data.len();
        if surplus > SURPLUS_BYTES_MAX {
            break;
        }
    }
    Ok((surplus == 0).then_some(read))
}

fn read(service: &Service, path: &str, headers: &HeaderMap) -> Answer {
    match path.split('/').collect::<Vec<_>>()[..] {
        ["", "status"] => json_answer(&status(service)),
        ["", hash, "checkpoint"] => match service.witness.latest(hash) {
            Some(cosigned) => checkpoint(&cosigned.note, headers),
            None => not_found(),
        },
        ["", hash, "fork"] => match service.witness.fork(hash) {
            Some(fork) => checkpoint(&fork.note, headers),
            None => not_found(),
        },
        _ => not_found(),
    }
}

/// What the witness is, and what it has seen of each log.
fn status(service: &Service) -> serde_json::Value {
    let witness = &service.witness;
    let logs = witness.logs().into_iter().map(|(origin, hash)| {
        let latest = witness.latest(hash);
        json!({
            "origin": origin,
            "hash": hash,
            "size": latest.as_ref().map(|latest| latest.checkpoint.size),
            "root": latest.as_ref().map(|latest| latest.checkpoint.root.to_string()),
            "cosigned_unix_s": latest.as_ref().map(|latest| latest.unix_s),
            "mirrored": service.mirror.as_ref().and_then(|mirror| mirror.latest(hash)).map(|latest| latest.checkpoint.size),
            "mirror_filling": service.mirror.as_ref().and_then(|mirror| mirror.filling(hash)),
            "mirror_fault": service.mirror.as_ref().and_then(|mirror| mirror.unfit(hash)),
            "fork": witness.fork(hash).map(|fork| json!({ "size": fork.checkpoint.size, "root": fork.checkpoint.root.to_string() })),
        })
    });
    json!({
        "name": service.name,
        "version": exhibit_program::version(),
        "keys": witness.keys().iter().map(ToString::to_string).collect::<Vec<_>>(),
        "mirror_keys": service.mirror.iter().flat_map(|mirror| mirror.keys()).map(ToString::to_string).collect::<Vec<_>>(),
        "unix_s": (service.clock)(),
        "logs": logs.collect::<Vec<_>>(),
    })
}

pub(crate) fn text(status: StatusCode, body: impl Into<Bytes>) -> Answer {
    let mut answer = Response::new(Full::new(body.into()));
    *answer.status_mut() = status;
    answer.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
    answer
}

fn json_answer(value: &serde_json::Value) -> Answer {
    let mut answer = fresh(text(StatusCode::OK, format!("{value}\n")));
    answer.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    answer
}

/// A checkpoint, which changes: caches ask each time.
pub(crate) fn checkpoint(note: &str, headers: &HeaderMap) -> Answer {
    log_resource::answer(Kind::Checkpoint, note.as_bytes().to_vec(), headers).map(|bytes| Full::new(bytes.into()))
}

/// What can not be done now.
pub(crate) fn unavailable(body: &'static str) -> Answer {
    let mut answer = text(StatusCode::SERVICE_UNAVAILABLE, body);
    answer.headers_mut().insert(RETRY_AFTER, HeaderValue::from_static(RETRY_AFTER_S));
    answer
}

fn fresh(mut answer: Answer) -> Answer {
    answer.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    answer
}

pub(crate) fn closing(mut answer: Answer) -> Answer {
    answer.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
    answer
}

pub(crate) fn not_found() -> Answer {
    let mut answer = text(StatusCode::NOT_FOUND, "there is no such thing here\n");
    // It may come: a cache that kept this would hide a tile after it.
    answer.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    answer
}

fn only(method: Method) -> Answer {
    let mut answer = text(StatusCode::METHOD_NOT_ALLOWED, format!("only {method} is known here\n"));
    let value = HeaderValue::from_str(method.as_str()).expect("a method is a header's value");
    answer.headers_mut().insert(ALLOW, value);
    answer
}

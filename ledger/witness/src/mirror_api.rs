//! `add-entries` and the copies over HTTP (docs/formats/witness.md).
//!
//! It accepts no connection, and decides nothing about logs.

use std::io::{self, Read};
use std::sync::Arc;
use std::time::Duration;

use bytes::{Buf, Bytes};
use exhibit_tlog::mirror::{ADD_ENTRIES_CONTENT_TYPE, MIRROR_INFO_CONTENT_TYPE, MirrorInfo};
use exhibit_tlog::tile::{BundleId, TileId};
use flate2::read::GzDecoder;
use http_body_util::BodyExt;
use hyper::body::Incoming;
use hyper::header::{CACHE_CONTROL, CONTENT_ENCODING, CONTENT_TYPE, HeaderValue};
use hyper::{Request, StatusCode};
use tokio::sync::mpsc;
use tokio::task::spawn_blocking;
use tokio::time::timeout;

use crate::api::{Answer, Fatal, Service, closing, fresh, not_found, text};
use crate::mirror::{CopyError, UploadError, Uploaded};

/// No byte of an upload comes: a link pauses for seconds.
const SILENCE_MAX: Duration = Duration::from_secs(30);
/// Pieces of an upload that wait to be read.
const PIECES_MAX: usize = 4;

/// Takes an upload.
pub async fn add_entries(service: Arc<Service>, request: Request<Incoming>) -> Answer {
    let Some(mirror) = service.mirror.clone() else { return closing(not_found()) };
    let Ok(permit) = service.uploads.clone().try_acquire_owned() else {
        return closing(text(StatusCode::SERVICE_UNAVAILABLE, "too many uploads at once: try again later\n"));
    };
    let header = |name| request.headers().get(name).map(|value: &HeaderValue| value.as_bytes().to_vec());
    if header(CONTENT_TYPE).as_deref() != Some(ADD_ENTRIES_CONTENT_TYPE.as_bytes()) {
        return closing(text(StatusCode::BAD_REQUEST, "the Content-Type is not application/octet-stream\n"));
    }
    let is_gzip = match header(CONTENT_ENCODING).as_deref() {
        None | Some(b"identity") => false,
        Some(b"gzip") => true,
        Some(_) => return closing(text(StatusCode::UNSUPPORTED_MEDIA_TYPE, "only gzip is known as a Content-Encoding\n")),
    };
    let (pieces, received) = mpsc::channel(PIECES_MAX);
    let shared = service.clone();
    // It goes on to its end also where the client leaves, and nobody is there to be answered.
    let mut reading = spawn_blocking(move || {
        let _permit = permit;
        let _ends = EndsOnPanic(shared.fatal.clone());
        let pieces = Pieces { received, piece: Bytes::new() };
        let mut body: Box<dyn Read> = if is_gzip { Box::new(GzDecoder::new(pieces)) } else { Box::new(pieces) };
        let uploaded = mirror.add_entries(&mut *body, &*shared.clock);
        if let Err(error) = &uploaded
            && error.is_fatal()
        {
            // A sync may succeed when it is asked again, without the data: nothing is tried again.
            (shared.fatal)(&error.to_string());
        }
        uploaded
    });
    let mut incoming = request.into_body();
    let forward = async move {
        while let Ok(Some(Ok(frame))) = timeout(SILENCE_MAX, incoming.frame()).await {
            let Ok(piece) = frame.into_data() else { continue };
            if pieces.send(piece).await.is_err() {
                break;
            }
        }
    };
    let done = tokio::select! {
        biased;
        done = &mut reading => done,
        () = forward => reading.await,
    };
    // What was not read of the body would be taken for the next request.
    closing(match done {
        Ok(Ok(Uploaded::Whole(lines))) => text(StatusCode::OK, lines),
        Ok(Ok(Uploaded::Part(info))) => told(StatusCode::ACCEPTED, &info),
        Ok(Err(error)) => refused(&error),
        Err(_) => text(StatusCode::INTERNAL_SERVER_ERROR, "the mirror failed\n"),
    })
}

/// A panic may have left a copy half changed: nothing more is taken from it.
struct EndsOnPanic(Fatal);

impl Drop for EndsOnPanic {
    fn drop(&mut self) {
        if std::thread::panicking() {
            (self.0)("a copy of a log is not what was proven");
        }
    }
}

fn refused(error: &UploadError) -> Answer {
    match error {
        UploadError::Malformed => text(StatusCode::BAD_REQUEST, format!("{error}\n")),
        UploadError::UnknownLog => text(StatusCode::NOT_FOUND, format!("{error}\n")),
        UploadError::NothingPending | UploadError::Copy(CopyError::Proof(_)) => {
            text(StatusCode::UNPROCESSABLE_ENTITY, format!("{error}\n"))
        }
        UploadError::Conflict(info) => told(StatusCode::CONFLICT, info),
        UploadError::Copy(_) | UploadError::Store(_) | UploadError::ClockBehind | UploadError::Signing(_) | UploadError::Ending => {
            tracing::error!(%error, "an upload could not be taken");
            text(StatusCode::SERVICE_UNAVAILABLE, "the mirror can not take it now: try again later\n")
        }
    }
}

fn told(status: StatusCode, info: &MirrorInfo) -> Answer {
    let mut answer = text(status, info.to_text());
    answer.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(MIRROR_INFO_CONTENT_TYPE));
    answer
}

/// What is read below `/mirror/<origin hash>/`. Blocks.
pub fn read(service: &Service, hash: &str, path: &str) -> Answer {
    let Some(mirror) = &service.mirror else { return not_found() };
    if path == "checkpoint" {
        return mirror.latest(hash).map_or_else(not_found, |latest| fresh(text(StatusCode::OK, latest.note.clone())));
    }
    let Some(tile) = path.strip_prefix("tile/") else { return not_found() };
    let found = match tile.strip_prefix("entries/") {
        Some(bundle) => BundleId::parse(bundle).ok().map(|bundle| mirror.bundle(hash, bundle)),
        None => TileId::parse(tile).ok().map(|tile| mirror.tile(hash, tile)),
    };
    match found {
        Some(Ok(Some(bytes))) => {
            let mut answer = text(StatusCode::OK, bytes);
            let headers = answer.headers_mut();
            headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/octet-stream"));
            headers.insert(CACHE_CONTROL, HeaderValue::from_static("public, max-age=31536000, immutable"));
            answer
        }
        Some(Ok(None)) | None => not_found(),
        Some(Err(error)) => {
            tracing::error!(%error, "the copy of a log can not be read");
            text(StatusCode::INTERNAL_SERVER_ERROR, "the mirror failed\n")
        }
    }
}

/// The pieces of a body, for whoever reads and waits.
struct Pieces {
    received: mpsc::Receiver<Bytes>,
    piece: Bytes,
}

impl Read for Pieces {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        while self.piece.is_empty() {
            match self.received.blocking_recv() {
                Some(piece) => self.piece = piece,
                None => return Ok(0),
            }
        }
        let length = buffer.len().min(self.piece.len());
        self.piece.copy_to_slice(&mut buffer[..length]);
        Ok(length)
    }
}

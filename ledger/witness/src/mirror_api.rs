//! `add-entries` and the copies over HTTP (docs/formats/witness.md).
//!
//! It accepts no connection, and decides nothing about logs.

use std::io::{self, Read};
use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::{Buf, Bytes};
use exhibit_program::log_resource::{self, Kind};
use exhibit_tlog::mirror::{ADD_ENTRIES_CONTENT_TYPE, MIRROR_INFO_CONTENT_TYPE, MirrorInfo};
use exhibit_tlog::tile::{BundleId, TileId};
use flate2::read::GzDecoder;
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::header::{ACCEPT_ENCODING, CONTENT_ENCODING, CONTENT_TYPE, HeaderMap, HeaderValue};
use hyper::{Request, StatusCode};
use tokio::sync::mpsc;
use tokio::task::spawn_blocking;
use tokio::time::timeout;

use crate::api::{Answer, Fatal, Service, checkpoint, closing, not_found, text, unavailable};
use crate::mirror::{CopyError, UploadError, Uploaded};

/// No byte of an upload comes: a link pauses for seconds.
const SILENCE_MAX: Duration = Duration::from_secs(30);
/// With these a package of the longest entries comes in the time that a connection has. Whoever drips holds one of few places that another could have.
const RATE_BYTES_PER_S_MIN: u64 = 32 * 1024;
/// So long an upload may be slower: links pause, and begin slowly.
const RATE_AFTER: Duration = Duration::from_secs(30);
/// Pieces of an upload that wait to be read.
const PIECES_MAX: usize = 4;

/// Takes an upload. Every answer says what bodies may be compressed with.
pub async fn add_entries(service: Arc<Service>, from: IpAddr, request: Request<Incoming>) -> Answer {
    let mut answer = taken(service, from, request).await;
    answer.headers_mut().insert(ACCEPT_ENCODING, HeaderValue::from_static("gzip"));
    answer
}

async fn taken(service: Arc<Service>, from: IpAddr, request: Request<Incoming>) -> Answer {
    let Some(mirror) = service.mirror.clone() else { return closing(not_found()) };
    let Some(place) = service.uploads.enter(from) else {
        return closing(unavailable("too many uploads at once: try again later\n"));
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
        let _place = place;
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
        let mut rate = Rate::default();
        loop {
            let asked = Instant::now();
            let Ok(Some(Ok(frame))) = timeout(SILENCE_MAX, incoming.frame()).await else { break };
            let Ok(piece) = frame.into_data() else { continue };
            if !rate.keeps_up(asked.elapsed(), piece.len()) {
                tracing::info!("an upload is slower than the slowest link that is worth its place");
                break;
            }
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

/// How fast a body comes, without the time in which we did not read.
#[derive(Default)]
struct Rate {
    waited: Duration,
    bytes: u64,
}

impl Rate {
    fn keeps_up(&mut self, waited: Duration, bytes: usize) -> bool {
        self.waited += waited;
        self.bytes += bytes as u64;
        self.waited <= RATE_AFTER || self.bytes >= self.waited.as_secs() * RATE_BYTES_PER_S_MIN
    }
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
        UploadError::NothingPending | UploadError::Copy(CopyError::Proof(_) | CopyError::OtherTree(_)) => {
            text(StatusCode::UNPROCESSABLE_ENTITY, format!("{error}\n"))
        }
        UploadError::Conflict(info) => told(StatusCode::CONFLICT, info),
        UploadError::Copy(_)
        | UploadError::Store(_)
        | UploadError::ClockBehind
        | UploadError::Signing(_)
        | UploadError::Unfit
        | UploadError::Ending => {
            tracing::error!(%error, "an upload could not be taken");
            unavailable("the mirror can not take it now: try again later\n")
        }
    }
}

fn told(status: StatusCode, info: &MirrorInfo) -> Answer {
    let mut answer = text(status, info.to_text());
    answer.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(MIRROR_INFO_CONTENT_TYPE));
    answer
}

/// What is read below `/mirror/<origin hash>/`. Blocks.
pub fn read(service: &Service, hash: &str, path: &str, headers: &HeaderMap) -> Answer {
    let Some(mirror) = &service.mirror else { return not_found() };
    if path == "checkpoint" {
        return mirror.latest(hash).map_or_else(not_found, |latest| checkpoint(&latest.note, headers));
    }
    let Some(tile) = path.strip_prefix("tile/") else { return not_found() };
    let (kind, found) = match tile.strip_prefix("entries/") {
        Some(bundle) => (Kind::Bundle { is_open: true }, BundleId::parse(bundle).ok().map(|bundle| mirror.bundle(hash, bundle))),
        None => (Kind::Tile, TileId::parse(tile).ok().map(|tile| mirror.tile(hash, tile))),
    };
    match found {
        Some(Ok(Some(bytes))) => log_resource::answer(kind, bytes, headers).map(|bytes| Full::new(bytes.into())),
        // It was there, and will be.
        Some(Ok(None)) if mirror.filling(hash).is_some() => unavailable("the copy of this log is being filled again\n"),
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_drips_does_not_keep_a_place_and_who_pauses_does() {
        let second = Duration::from_secs(1);
        let mut dripping = Rate::default();
        assert!((0..30).all(|_| dripping.keeps_up(second, 1)), "a beginning may be slow");
        assert!(!dripping.keeps_up(second, 1), "a byte a second holds a place for as long as it likes");
        let mut slow = Rate::default();
        assert!((0..600).all(|_| slow.keeps_up(second, RATE_BYTES_PER_S_MIN as usize)));
        let mut pausing = Rate::default();
        assert!(pausing.keeps_up(second, 4 << 20) && pausing.keeps_up(SILENCE_MAX, 1), "a pause after much");
    }
}

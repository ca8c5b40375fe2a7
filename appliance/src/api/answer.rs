//! Bodies of answers: bytes in memory, or an object of the vault that is read as it is sent.
//!
//! It does not know what is answered.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use hyper::body::{Body, Frame, SizeHint};
use hyper::header::{
    CACHE_CONTROL, CONNECTION, CONTENT_SECURITY_POLICY, CONTENT_TYPE, HeaderValue, LINK, REFERRER_POLICY, RETRY_AFTER,
    STRICT_TRANSPORT_SECURITY, X_CONTENT_TYPE_OPTIONS,
};
use hyper::{Response, StatusCode};
use serde::Serialize;
use tokio::sync::mpsc;
use tokio::task::spawn_blocking;

use super::problem::Refusal;
use crate::places::Place;
use crate::vault::StoredObject;

/// An answer.
pub type Answer = Response<AnswerBody>;

/// The body of an answer.
pub enum AnswerBody {
    /// Bytes in memory.
    Whole(Option<Bytes>),
    /// Pieces as they are read.
    Pieces {
        /// Where they come from.
        pieces: mpsc::Receiver<io::Result<Bytes>>,
        /// Bytes still to come.
        remaining: u64,
    },
    /// What is told as it happens, without an end that is known.
    Events(mpsc::Receiver<Bytes>),
    /// Many bytes in memory, which are sent in pieces: who reads slowly keeps the permit as long as the memory.
    Held {
        /// What is still to come.
        rest: Bytes,
        /// One of those that bound the memory.
        _permit: Place,
    },
}

impl Body for AnswerBody {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, io::Error>>> {
        match &mut *self {
            Self::Whole(bytes) => Poll::Ready(bytes.take().map(|bytes| Ok(Frame::data(bytes)))),
            Self::Pieces { remaining: 0, .. } => Poll::Ready(None),
            Self::Held { rest, .. } if rest.is_empty() => Poll::Ready(None),
            Self::Held { rest, .. } => Poll::Ready(Some(Ok(Frame::data(rest.split_to(rest.len().min(READ_BYTES)))))),
            Self::Events(events) => events.poll_recv(context).map(|event| event.map(|event| Ok(Frame::data(event)))),
            Self::Pieces { pieces, remaining } => pieces.poll_recv(context).map(|piece| {
                let piece = piece.unwrap_or_else(|| Err(io::Error::other("an object could not be read to its end")));
                Some(piece.map(|piece| {
                    *remaining = remaining.saturating_sub(piece.len() as u64);
                    Frame::data(piece)
                }))
            }),
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Whole(bytes) => bytes.is_none(),
            Self::Events(_) => false,
            Self::Pieces { remaining, .. } => *remaining == 0,
            Self::Held { rest, .. } => rest.is_empty(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(match self {
            Self::Events(_) => return SizeHint::default(),
            Self::Whole(bytes) => bytes.as_ref().map_or(0, |bytes| bytes.len() as u64),
            Self::Pieces { remaining, .. } => *remaining,
            Self::Held { rest, .. } => rest.len() as u64,
        })
    }
}

impl AnswerBody {
    /// Bytes that are sent in pieces. The permit is kept until the last is.
    pub fn held(bytes: Bytes, permit: Place) -> Self {
        Self::Held { rest: bytes, _permit: permit }
    }

    /// `length` bytes of an object from `first` on. The permit is kept until the last one is sent.
    pub fn of_object(object: Arc<dyn StoredObject>, first: u64, length: u64, permit: Place) -> Self {
        // One piece is read while another is sent.
        let (sender, pieces) = mpsc::channel(1);
        tokio::spawn(async move {
            let _permit = permit;
            let (mut offset, end) = (first, first + length);
            while offset < end {
                let piece_bytes = usize::try_from(end - offset).unwrap_or(usize::MAX).min(READ_BYTES);
                let object = object.clone();
                let read = spawn_blocking(move || {
                    let mut piece = vec![0; piece_bytes];
                    object.read_exact_at(&mut piece, offset).map(|()| Bytes::from(piece))
                });
                let piece = read.await.map_err(io::Error::other).and_then(|read| read.map_err(io::Error::other));
                let failed = piece.is_err();
                if sender.send(piece).await.is_err() || failed {
                    // Whoever asked is gone, or the disk has failed.
                    return;
                }
                offset += piece_bytes as u64;
            }
        });
        Self::Pieces { pieces, remaining: length }
    }
}

/// Read at a time: as much as is written at a time on the way in.
const READ_BYTES: usize = 256 * 1024;

/// An answer with bytes.
pub fn bytes(status: StatusCode, content_type: &'static str, body: impl Into<Bytes>) -> Answer {
    let mut answer = Response::new(AnswerBody::Whole(Some(body.into())));
    *answer.status_mut() = status;
    answer.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    answer
}

/// An answer in JSON.
pub fn json(status: StatusCode, value: &impl Serialize) -> Answer {
    bytes(status, "application/json", serde_json::to_vec(value).expect("answers are plain data"))
}

/// Where each kind of refusal is explained.
pub const DOCS: &str = "/v1/docs";

/// A refusal. `closes` says that the connection ends with it, since a body was not read to its end.
pub fn refusal(refusal: &Refusal, closes: bool) -> Answer {
    let status = StatusCode::from_u16(refusal.kind.status()).expect("statuses are between 400 and 507");
    let problem = serde_json::to_vec(&refusal.problem()).expect("problems are plain data");
    let mut answer = bytes(status, "application/problem+json", problem);
    // What is not there may come: a cache that kept a 404 would hide the tile after it.
    answer.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    let help = format!("<{DOCS}#{}>; rel=\"help\"", refusal.kind.name());
    answer.headers_mut().insert(LINK, HeaderValue::from_str(&help).expect("names of kinds are a header's value"));
    answer.extensions_mut().insert(refusal.kind);
    if closes {
        answer.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
    }
    if let Some(seconds) = refusal.retry_after_s {
        answer.headers_mut().insert(RETRY_AFTER, HeaderValue::from(seconds));
    }
    answer
}

/// An answer that no browser runs, frames, guesses the type of, or asks for without TLS: what is served is data.
pub fn for_browsers(mut answer: Answer) -> Answer {
    for (name, value) in [
        (CONTENT_SECURITY_POLICY, "default-src 'none'; frame-ancestors 'none'"),
        (REFERRER_POLICY, "no-referrer"),
        (STRICT_TRANSPORT_SECURITY, "max-age=63072000"),
        (X_CONTENT_TYPE_OPTIONS, "nosniff"),
    ] {
        answer.headers_mut().entry(name).or_insert(HeaderValue::from_static(value));
    }
    answer
}

//! Reads a request's body in bounded pieces, and gives up on senders that stall.
//!
//! It does not know what the bytes are.

use bytes::{Buf, Bytes};
use http_body_util::BodyExt;
use hyper::body::Body;
use tokio::time::{Instant, timeout_at};

use crate::api::problem::{Kind, Refusal};
use crate::limits::BodyPace;

/// Why a body ended early.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BodyError {
    /// The sender closed, or the connection broke.
    #[error("the body ended before what was announced")]
    Ended,
    /// Nothing came for too long, or it all took too long.
    #[error("the body came too slowly: try again")]
    TimedOut,
}

impl From<BodyError> for Refusal {
    fn from(error: BodyError) -> Self {
        let kind = match error {
            BodyError::Ended => Kind::Payload,
            BodyError::TimedOut => Kind::TimedOut,
        };
        Self::new(kind, error.to_string())
    }
}

/// A body that is being read.
pub struct BodyReader<B> {
    body: B,
    buffer: Bytes,
    /// Announced and not yet given out.
    remaining: u64,
    pace: BodyPace,
    began: Instant,
    end: Instant,
}

impl<B: Body<Data = Bytes> + Unpin> BodyReader<B> {
    /// `length` is what Content-Length announced. It gives no time yet: what stands before a payload is short.
    pub fn new(body: B, length: u64, pace: BodyPace) -> Self {
        let began = Instant::now();
        Self { body, buffer: Bytes::new(), remaining: length, pace, began, end: began + pace.time_for(0) }
    }

    /// It is known what comes, and that it may: all that is announced has its time, from the beginning on.
    pub fn goes_on(&mut self) {
        self.end = self.began + self.pace.time_for(self.remaining);
    }

    /// Bytes announced and not yet given out.
    pub fn remaining(&self) -> u64 {
        self.remaining
    }

    /// The next bytes: at least one, at most `length_max`.
    pub async fn piece(&mut self, length_max: u64) -> Result<Bytes, BodyError> {
        while self.buffer.is_empty() {
            let end = self.end.min(Instant::now() + self.pace.idle_max);
            let frame = timeout_at(end, self.body.frame()).await.map_err(|_| BodyError::TimedOut)?;
            match frame {
                None | Some(Err(_)) => return Err(BodyError::Ended),
                // Trailers say nothing to us.
                Some(Ok(frame)) => self.buffer = frame.into_data().unwrap_or_default(),
            }
        }
        let length = usize::try_from(length_max).unwrap_or(usize::MAX).min(self.buffer.len());
        let piece = self.buffer.split_to(length);
        // hyper gives no more than was announced.
        self.remaining = self.remaining.saturating_sub(length as u64);
        Ok(piece)
    }

    /// Exactly `length` bytes, which the caller has bounded.
    pub async fn exact(&mut self, length: usize) -> Result<Vec<u8>, BodyError> {
        let mut bytes = Vec::with_capacity(length);
        while bytes.len() < length {
            let piece = self.piece((length - bytes.len()) as u64).await?;
            bytes.extend_from_slice(&piece);
        }
        Ok(bytes)
    }

    /// A length of 32 bits.
    pub async fn length(&mut self) -> Result<u32, BodyError> {
        Ok(self.exact(4).await?.as_slice().get_u32())
    }

    /// Reads what is left and drops it, so that the connection can go on.
    pub async fn drain(mut self) {
        while self.remaining > 0 && self.piece(u64::MAX).await.is_ok() {}
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::limits::Limits;
    use http_body_util::Full;
    use std::time::Duration;

    fn reader<B: Body<Data = Bytes> + Unpin>(body: B, length: u64) -> BodyReader<B> {
        let mut reader = BodyReader::new(body, length, Limits::default().body_pace());
        reader.goes_on();
        reader
    }

    #[tokio::test]
    async fn pieces_are_cut_as_asked_for_and_the_end_is_told() {
        let mut reader = reader(Full::new(Bytes::from_static(b"\0\0\0\x02abcdef")), 10);
        assert_eq!(reader.length().await, Ok(2));
        assert_eq!(reader.exact(2).await.unwrap(), b"ab");
        assert_eq!(reader.piece(3).await.unwrap(), b"cde"[..]);
        assert_eq!(reader.remaining(), 1);
        assert_eq!(reader.exact(2).await, Err(BodyError::Ended), "a body that is cut short was taken for whole");
    }

    /// The pieces of a body, all there at once.
    struct Pieces(std::collections::VecDeque<Bytes>);

    impl Body for Pieces {
        type Data = Bytes;
        type Error = std::convert::Infallible;
        fn poll_frame(
            mut self: std::pin::Pin<&mut Self>,
            _: &mut std::task::Context<'_>,
        ) -> std::task::Poll<Option<Result<hyper::body::Frame<Bytes>, Self::Error>>> {
            std::task::Poll::Ready(self.0.pop_front().map(|piece| Ok(hyper::body::Frame::data(piece))))
        }
    }

    #[tokio::test]
    async fn a_body_reads_the_same_in_pieces_of_any_length() {
        let body = b"\0\0\0\x05entry\0\0\0\x03abcpayload";
        for length in 1..=body.len() {
            // An empty piece is none.
            let pieces = body.chunks(length).flat_map(|piece| [Bytes::new(), Bytes::copy_from_slice(piece)]).collect();
            let mut reader = reader(Pieces(pieces), body.len() as u64);
            for part in [&b"entry"[..], b"abc"] {
                assert_eq!(reader.length().await, Ok(part.len() as u32));
                assert_eq!(reader.exact(part.len()).await.as_deref(), Ok(part), "in pieces of {length}");
            }
            assert_eq!(reader.remaining(), 7);
            assert_eq!(reader.exact(7).await.as_deref(), Ok(&b"payload"[..]));
            assert_eq!(reader.piece(1).await, Err(BodyError::Ended), "there is more than was sent");
        }
    }

    /// Never gives a byte.
    struct Silent;

    impl Body for Silent {
        type Data = Bytes;
        type Error = std::io::Error;
        fn poll_frame(
            self: std::pin::Pin<&mut Self>,
            _: &mut std::task::Context<'_>,
        ) -> std::task::Poll<Option<Result<hyper::body::Frame<Bytes>, Self::Error>>> {
            std::task::Poll::Pending
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_silent_sender_is_given_up() {
        let started = Instant::now();
        assert_eq!(reader(Silent, 10).exact(1).await, Err(BodyError::TimedOut));
        assert_eq!(started.elapsed().as_secs(), Limits::default().body_idle_s);
    }

    /// Gives one byte now and then.
    struct Dripping(std::pin::Pin<Box<tokio::time::Sleep>>);

    const DRIP: Duration = Duration::from_secs(20);

    impl Body for Dripping {
        type Data = Bytes;
        type Error = std::io::Error;
        fn poll_frame(
            mut self: std::pin::Pin<&mut Self>,
            context: &mut std::task::Context<'_>,
        ) -> std::task::Poll<Option<Result<hyper::body::Frame<Bytes>, Self::Error>>> {
            std::task::ready!(self.0.as_mut().poll(context));
            self.0.as_mut().reset(Instant::now() + DRIP);
            std::task::Poll::Ready(Some(Ok(hyper::body::Frame::data(Bytes::from_static(b"x")))))
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_body_that_drips_does_not_hold_an_upload_for_ever() {
        let Limits { body_idle_s, body_s, body_bytes_per_s, .. } = Limits::default();
        for (length, held_s) in [(1000, body_idle_s), (body_bytes_per_s * 100, body_idle_s + 100), (1 << 23, body_s)] {
            let started = Instant::now();
            let mut reader = reader(Dripping(Box::pin(tokio::time::sleep(DRIP))), length);
            assert_eq!(reader.exact(1 << 20).await, Err(BodyError::TimedOut));
            assert_eq!(started.elapsed().as_secs(), held_s, "{length} bytes");
        }
        let started = Instant::now();
        let mut reader = BodyReader::new(Dripping(Box::pin(tokio::time::sleep(DRIP))), u64::MAX, Limits::default().body_pace());
        assert_eq!(reader.exact(1 << 20).await, Err(BodyError::TimedOut));
        assert_eq!(started.elapsed().as_secs(), body_idle_s, "who announces much holds an upload before it is known what it is");
    }
}

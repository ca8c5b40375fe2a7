//! The body of a PUT: a prefix in memory, then a file, streamed in bounded pieces.
//!
//! It does not know what the bytes mean.

use std::{
    io,
    pin::Pin,
    task::{Context, Poll, ready},
};

use bytes::{Bytes, BytesMut};
use hyper::body::{Body, Frame, SizeHint};
use tokio::{
    fs::File,
    io::{AsyncRead, ReadBuf},
};

/// One read of the payload: large enough for few system calls, small enough to hold one per connection.
const READ_BYTES: usize = 256 * 1024;

/// What is sent. Its length is known, so that `Content-Length` is sent.
pub(crate) struct PutBody {
    prefix: Option<Bytes>,
    file: Option<File>,
    file_remaining: u64,
}

impl PutBody {
    pub(crate) fn empty() -> Self {
        Self { prefix: None, file: None, file_remaining: 0 }
    }

    /// `prefix`, then exactly `length` bytes of `file` from where that stands.
    pub(crate) fn new(prefix: Bytes, payload: Option<(File, u64)>) -> Self {
        let (file, file_remaining) = payload.map_or((None, 0), |(file, length)| (Some(file), length));
        Self { prefix: Some(prefix).filter(|prefix| !prefix.is_empty()), file, file_remaining }
    }
}

impl Body for PutBody {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, io::Error>>> {
        if let Some(prefix) = self.prefix.take() {
            return Poll::Ready(Some(Ok(Frame::data(prefix))));
        }
        if self.file_remaining == 0 {
            return Poll::Ready(None);
        }
        let wanted = usize::try_from(self.file_remaining).unwrap_or(usize::MAX).min(READ_BYTES);
        let mut bytes = BytesMut::zeroed(wanted);
        let mut buffer = ReadBuf::new(&mut bytes);
        let file = self.file.as_mut().expect("bytes remain only where there is a file");
        ready!(Pin::new(file).poll_read(context, &mut buffer))?;
        let filled = buffer.filled().len();
        if filled == 0 {
            return Poll::Ready(Some(Err(io::Error::new(
                io::ErrorKind::UnexpectedEof,
                "the payload file is shorter than its statement says",
            ))));
        }
        bytes.truncate(filled);
        self.file_remaining -= filled as u64;
        Poll::Ready(Some(Ok(Frame::data(bytes.freeze()))))
    }

    fn is_end_stream(&self) -> bool {
        self.prefix.is_none() && self.file_remaining == 0
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.prefix.as_ref().map_or(0, |prefix| prefix.len() as u64) + self.file_remaining)
    }
}

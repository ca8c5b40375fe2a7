//! A connection that remembers when bytes last moved, so that one on which nothing moves can be closed.
//!
//! It does not know what the bytes are.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Instant, sleep};

/// When bytes last moved.
#[derive(Clone)]
pub struct Activity {
    began: Instant,
    /// Milliseconds after `began`.
    last_ms: Arc<AtomicU64>,
}

impl Activity {
    /// Just now.
    pub fn new() -> Self {
        Self { began: Instant::now(), last_ms: Arc::default() }
    }

    fn mark(&self) {
        let now_ms = u64::try_from(self.began.elapsed().as_millis()).unwrap_or(u64::MAX);
        self.last_ms.store(now_ms, Ordering::Relaxed);
    }

    /// Returns once nothing has moved for so long.
    pub async fn ceased(&self, idle_max: Duration) {
        loop {
            let last = self.began + Duration::from_millis(self.last_ms.load(Ordering::Relaxed));
            let idle = last.elapsed();
            if idle >= idle_max {
                return;
            }
            sleep(idle_max - idle).await;
        }
    }
}

/// A stream whose activity is remembered.
pub struct Watched<S> {
    stream: S,
    activity: Activity,
}

impl<S> Watched<S> {
    /// Watches a stream.
    pub fn new(stream: S, activity: Activity) -> Self {
        Self { stream, activity }
    }

    /// The stream.
    pub fn into_inner(self) -> S {
        self.stream
    }

    fn marked<T>(&self, moved: Poll<io::Result<T>>) -> Poll<io::Result<T>> {
        if matches!(moved, Poll::Ready(Ok(_))) {
            self.activity.mark();
        }
        moved
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Watched<S> {
    fn poll_read(mut self: Pin<&mut Self>, context: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let moved = Pin::new(&mut self.stream).poll_read(context, buffer);
        self.marked(moved)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Watched<S> {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let moved = Pin::new(&mut self.stream).poll_write(context, bytes);
        self.marked(moved)
    }
    fn poll_write_vectored(mut self: Pin<&mut Self>, context: &mut Context<'_>, slices: &[IoSlice<'_>]) -> Poll<io::Result<usize>> {
        let moved = Pin::new(&mut self.stream).poll_write_vectored(context, slices);
        self.marked(moved)
    }
    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }
    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }
    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    #[tokio::test(start_paused = true)]
    async fn a_connection_lives_while_bytes_move() {
        let (mut near, far) = tokio::io::duplex(1);
        let activity = Activity::new();
        let mut watched = Watched::new(far, activity.clone());
        let idle_max = Duration::from_secs(90);
        let started = Instant::now();
        sleep(Duration::from_secs(60)).await;
        near.write_all(b"x").await.unwrap();
        watched.read_exact(&mut [0]).await.unwrap();
        activity.ceased(idle_max).await;
        assert_eq!(started.elapsed().as_secs(), 150, "60 s of silence, then 90 s after the last byte");
    }
}

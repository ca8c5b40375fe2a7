//! A connection that remembers when bytes last moved, and how long an answer has waited for its reader, so that one on which nothing moves, or not
//! enough, can be closed.
//!
//! It does not know what the bytes are.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Instant, sleep};

use crate::limits::BodyPace;

/// When bytes last moved, and how those of an answer do.
#[derive(Clone)]
pub struct Activity {
    began: Instant,
    /// Milliseconds after `began`.
    last_ms: Arc<AtomicU64>,
    answer: Arc<Mutex<Answering>>,
}

/// An answer on its way.
#[derive(Default)]
struct Answering {
    /// Bytes that were taken off us.
    taken: u64,
    /// How long it waited for its reader, all together.
    waited: Duration,
    /// Since when it waits again.
    waits_since: Option<Instant>,
}

/// How exactly it is looked whether an answer is read fast enough.
const LOOK: Duration = Duration::from_millis(100);

impl Activity {
    /// Just now.
    pub fn new() -> Self {
        Self { began: Instant::now(), last_ms: Arc::default(), answer: Arc::default() }
    }

    fn mark(&self) {
        let now_ms = u64::try_from(self.began.elapsed().as_millis()).unwrap_or(u64::MAX);
        self.last_ms.store(now_ms, Ordering::Relaxed);
    }

    /// An answer begins: it has the time that its own length gives it.
    pub fn answers(&self) {
        *self.answering() = Answering::default();
    }

    /// Returns once an answer is read more slowly than a body may be sent. Only the time counts in which it waits for its reader.
    pub async fn lagged(&self, pace: BodyPace) {
        loop {
            let left = {
                let answering = self.answering();
                let waits = answering.waits_since.map_or(Duration::ZERO, |since| since.elapsed());
                pace.time_for(answering.taken).saturating_sub(answering.waited + waits)
            };
            if left.is_zero() {
                return;
            }
            sleep(left.max(LOOK)).await;
        }
    }

    /// What became of bytes that were to be sent.
    fn sent(&self, moved: &Poll<io::Result<usize>>) {
        let mut answering = self.answering();
        match moved {
            Poll::Pending => drop(answering.waits_since.get_or_insert_with(Instant::now)),
            Poll::Ready(taken) => {
                if let Some(since) = answering.waits_since.take() {
                    answering.waited += since.elapsed();
                }
                answering.taken += taken.as_ref().map_or(0, |taken| *taken as u64);
            }
        }
    }

    fn answering(&self) -> MutexGuard<'_, Answering> {
        self.answer.lock().unwrap_or_else(PoisonError::into_inner)
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

    fn sent(&self, moved: Poll<io::Result<usize>>) -> Poll<io::Result<usize>> {
        self.activity.sent(&moved);
        self.marked(moved)
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
        self.sent(moved)
    }
    fn poll_write_vectored(mut self: Pin<&mut Self>, context: &mut Context<'_>, slices: &[IoSlice<'_>]) -> Poll<io::Result<usize>> {
        let moved = Pin::new(&mut self.stream).poll_write_vectored(context, slices);
        self.sent(moved)
    }
    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }
    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let flushed = Pin::new(&mut self.stream).poll_flush(context);
        // What was taken may still lie before the socket.
        let moved = flushed.map(|flushed| flushed.map(|()| 0));
        self.activity.sent(&moved);
        moved.map(|flushed| flushed.map(drop))
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

    /// Reads some bytes every 20 seconds, of an answer that has no end; how long that goes on.
    async fn read_slowly(bytes_each: usize) -> u64 {
        let (mut near, far) = tokio::io::duplex(1024);
        let activity = Activity::new();
        let mut watched = Watched::new(far, activity.clone());
        let started = Instant::now();
        activity.answers();
        let sending = async { while watched.write_all(&[0; 64]).await.is_ok() {} };
        let reading = async {
            loop {
                sleep(Duration::from_secs(20)).await;
                near.read_exact(&mut vec![0; bytes_each]).await.unwrap();
            }
        };
        let pace = BodyPace { idle_max: Duration::from_secs(30), time_max: Duration::from_secs(600), bytes_per_s: 100 };
        tokio::select! {
            () = activity.lagged(pace) => started.elapsed().as_secs(),
            () = sending => panic!("the reader is gone"),
            () = reading => panic!("it reads without end"),
        }
    }

    #[tokio::test(start_paused = true)]
    async fn an_answer_that_is_read_in_drops_does_not_hold_what_it_holds_for_ever() {
        // The 1024 bytes that lie between the two are taken at once.
        assert!((39..=41).contains(&read_slowly(1).await), "a drop now and then");
        assert!((60..=90).contains(&read_slowly(1000).await), "half as fast as it has to");
        assert!((599..=601).contains(&read_slowly(4000).await), "fast enough, and longer than any answer may take");
    }

    #[tokio::test(start_paused = true)]
    async fn what_was_read_fast_gives_no_time_to_what_comes_after() {
        let (mut near, far) = tokio::io::duplex(1 << 20);
        let activity = Activity::new();
        let mut watched = Watched::new(far, activity.clone());
        let pace = BodyPace { idle_max: Duration::from_secs(30), time_max: Duration::from_secs(600), bytes_per_s: 100 };
        activity.answers();
        watched.write_all(&[0; 1 << 20]).await.unwrap();
        near.read_exact(&mut vec![0; 1 << 20]).await.unwrap();
        // An hour in which nothing waits is nobody's fault.
        assert!(tokio::time::timeout(Duration::from_secs(3600), activity.lagged(pace)).await.is_err());
        activity.answers();
        let started = Instant::now();
        let sending = async { while watched.write_all(&[0; 1 << 20]).await.is_ok() {} };
        tokio::select! {
            () = activity.lagged(BodyPace { bytes_per_s: 1 << 20, ..pace }) => {}
            () = sending => panic!("nobody reads"),
        }
        assert!((30..=32).contains(&started.elapsed().as_secs()), "{:?}", started.elapsed());
    }
}

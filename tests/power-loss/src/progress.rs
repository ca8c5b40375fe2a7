//! How far a long test is, for whoever watches it. A short one says nothing.

use std::time::{Duration, Instant};

const TELL_EVERY: Duration = Duration::from_secs(30);

/// Tells every half a minute, on standard error.
pub struct Progress {
    what: &'static str,
    total: usize,
    began: Instant,
    told: Duration,
}

impl Progress {
    /// Of so many of something.
    #[must_use]
    pub fn new(total: usize, what: &'static str) -> Self {
        Self { what, total, began: Instant::now(), told: Duration::ZERO }
    }

    /// So many are done.
    pub fn at(&mut self, done: usize) {
        let elapsed = self.began.elapsed();
        if elapsed - self.told >= TELL_EVERY {
            self.told = elapsed;
            eprintln!("{done} of {} {}, {} s", self.total, self.what, elapsed.as_secs());
        }
    }
}

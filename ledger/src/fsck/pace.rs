//! How fast a check may read: whoever reads says so piece by piece, and waits until it is time for the next.
//!
//! It does not know what is read.

use std::cell::Cell;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// One rate for all threads of a check.
pub(super) struct Pace<'a> {
    bytes_per_s: Option<u64>,
    stop: &'a AtomicBool,
    bytes: AtomicU64,
    /// When what was read so far has had its time. Time in which less was read is not made up for: a disk that was slow is not flooded.
    due: Mutex<Instant>,
}

impl<'a> Pace<'a> {
    /// At most so many bytes a second; `None` and 0 are no limit.
    pub fn new(bytes_per_s: Option<u64>, stop: &'a AtomicBool) -> Self {
        let bytes_per_s = bytes_per_s.filter(|limit| *limit > 0);
        Self { bytes_per_s, stop, bytes: AtomicU64::new(0), due: Mutex::new(Instant::now()) }
    }

    /// Bytes read so far.
    pub fn bytes(&self) -> u64 {
        self.bytes.load(Ordering::Relaxed)
    }

    /// Whether the check is to end.
    pub fn is_stopped(&self) -> bool {
        self.stop.load(Ordering::Relaxed)
    }

    fn read(&self, bytes: u64) {
        self.bytes.fetch_add(bytes, Ordering::Relaxed);
        let Some(limit) = self.bytes_per_s else { return };
        let due = {
            let mut due = self.due.lock().unwrap_or_else(PoisonError::into_inner);
            *due = (*due).max(Instant::now()) + Duration::from_secs_f64(bytes as f64 / limit as f64);
            *due
        };
        while !self.is_stopped() {
            let wait = due.saturating_duration_since(Instant::now());
            if wait.is_zero() {
                break;
            }
            std::thread::sleep(wait.min(STOP_EVERY));
        }
    }
}

/// One look at a part of what is checked, by one thread.
pub struct Look<'a> {
    pace: &'a Pace<'a>,
    unsaid_bytes: Cell<u64>,
    is_needed_again: Cell<bool>,
}

impl<'a> Look<'a> {
    pub(super) fn new(pace: &'a Pace<'a>) -> Self {
        Self { pace, unsaid_bytes: Cell::new(0), is_needed_again: Cell::new(false) }
    }

    /// So many bytes were read: comes back when more may be. False if the check is to end: what has not been looked at then is looked at by the
    /// next, and what was found of it counts for nothing.
    pub fn read(&self, bytes: u64) -> bool {
        let unsaid = self.unsaid_bytes.get() + bytes;
        if unsaid >= SAID_BYTES {
            self.pace.read(unsaid);
        }
        self.unsaid_bytes.set(if unsaid >= SAID_BYTES { 0 } else { unsaid });
        !self.pace.is_stopped()
    }

    /// A check that goes on after an end has to look at this once more: it tells of other entries.
    pub fn again(&self) {
        self.is_needed_again.set(true);
    }

    pub(super) fn is_needed_again(&self) -> bool {
        self.is_needed_again.get()
    }
}

impl Drop for Look<'_> {
    fn drop(&mut self) {
        self.pace.read(self.unsaid_bytes.take());
    }
}

/// Small pieces are told together: a row has a hundred bytes.
const SAID_BYTES: u64 = 64 * 1024;
/// Somebody who ends the check waits so long.
const STOP_EVERY: Duration = Duration::from_millis(200);

//! When a disk will be full, from how its room has shrunk so far.
//!
//! It asks no disk and no clock: both are arguments. What it knows ends with the process.

use std::collections::VecDeque;

/// What a disk had left, and when.
#[derive(Debug, Default)]
pub struct Forecast {
    /// Seconds since 1970, bytes; oldest first.
    samples: VecDeque<(u64, u64)>,
}

/// So often it is looked. Ciphertext comes in every second: a hundredth of a day is fine enough for what takes days.
pub const SAMPLE_S: u64 = 300;
/// A day: nights and days are one mean.
const SAMPLES_MAX: usize = 288;
/// Less than a quarter of an hour says nothing.
const SAMPLES_LEAST: usize = 4;

impl Forecast {
    /// The disk has so much left. What comes too soon after the last is passed over.
    pub fn observe(&mut self, at_s: u64, free_bytes: u64) {
        match self.samples.back() {
            Some((last, _)) if at_s < *last => self.samples.clear(),
            Some((last, _)) if at_s - last < SAMPLE_S => return,
            _ => {}
        }
        // Somebody has made more room than was used since: what went before says nothing any more.
        if self.samples.front().is_some_and(|(_, first)| free_bytes > *first) {
            self.samples.clear();
        }
        if self.samples.len() == SAMPLES_MAX {
            self.samples.pop_front();
        }
        self.samples.push_back((at_s, free_bytes));
    }

    /// In how many seconds from the last look no more than `kept_bytes` will be left, at the mean pace of the last day. `None` while too little is
    /// known, or if it does not shrink.
    pub fn seconds_until(&self, kept_bytes: u64) -> Option<u64> {
        let (_, free) = *self.samples.back()?;
        if free <= kept_bytes {
            return Some(0);
        }
        if self.samples.len() < SAMPLES_LEAST {
            return None;
        }
        let bytes_per_s = -self.slope()?;
        let seconds = (free - kept_bytes) as f64 / bytes_per_s;
        (bytes_per_s > 0.0 && seconds < FAR_S).then_some(seconds as u64)
    }

    /// Least squares, in bytes a second.
    fn slope(&self) -> Option<f64> {
        let (first_at, first_free) = *self.samples.front()?;
        let count = self.samples.len() as f64;
        let points = || self.samples.iter().map(|(at, free)| ((at - first_at) as f64, *free as f64 - first_free as f64));
        let (mean_at, mean_free) =
            points().fold((0.0, 0.0), |(at_sum, free_sum), (at, free)| (at_sum + at / count, free_sum + free / count));
        let (up, down) = points()
            .fold((0.0, 0.0), |(up, down), (at, free)| (up + (at - mean_at) * (free - mean_free), down + (at - mean_at) * (at - mean_at)));
        (down > 0.0).then(|| up / down)
    }
}

/// Ten years: nobody plans for more.
const FAR_S: f64 = 10.0 * 365.0 * 86_400.0;

#[cfg(test)]
mod tests {
    use super::*;

    const GIB: u64 = 1 << 30;

    #[test]
    fn a_disk_that_fills_evenly_is_full_when_it_is() {
        let mut forecast = Forecast::default();
        for step in 0..SAMPLES_LEAST as u64 - 1 {
            forecast.observe(1000 + step * SAMPLE_S, 100 * GIB - step * GIB);
            assert_eq!(forecast.seconds_until(GIB), None, "{step}: it guesses");
        }
        for step in SAMPLES_LEAST as u64 - 1..20 {
            forecast.observe(1000 + step * SAMPLE_S, 100 * GIB - step * GIB);
            let expected = (100 - step - 10) * SAMPLE_S;
            let told = forecast.seconds_until(10 * GIB).unwrap_or_default();
            assert!(told.abs_diff(expected) <= 1, "{step}: {told} instead of {expected}");
        }
        assert_eq!(forecast.seconds_until(90 * GIB), Some(0), "it is full already");
    }

    #[test]
    fn what_does_not_shrink_is_never_full_and_room_that_was_made_counts() {
        let mut forecast = Forecast::default();
        for step in 0..10 {
            forecast.observe(step * SAMPLE_S, 100 * GIB);
        }
        assert_eq!(forecast.seconds_until(GIB), None);
        for step in 10..20 {
            forecast.observe(step * SAMPLE_S, (110 - step) * GIB);
        }
        assert!(forecast.seconds_until(GIB).is_some());
        forecast.observe(20 * SAMPLE_S, 500 * GIB);
        assert_eq!(forecast.seconds_until(GIB), None, "the pace of before somebody made room");
        // Seen more often than it is kept.
        for second in 0..1000 {
            forecast.observe(20 * SAMPLE_S + second % 200, 500 * GIB - second);
        }
        assert_eq!(forecast.seconds_until(GIB), None);
        // A clock that was set back.
        forecast.observe(5, 400 * GIB);
        assert_eq!(forecast.samples.len(), 1);
    }

    #[test]
    fn a_day_is_kept() {
        let mut forecast = Forecast::default();
        for step in 0..10_000 {
            forecast.observe(step * SAMPLE_S, 100_000 * GIB - step);
        }
        assert_eq!(forecast.samples.len(), SAMPLES_MAX);
    }
}

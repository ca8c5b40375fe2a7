//! Latencies of an open loop: from when something was due until it was there, also while everything stalls.
//!
//! It does not know what was due.

use std::time::Duration;

use hdrhistogram::Histogram;

/// Two digits: 20 KiB for each of thousands of cameras.
const DIGITS: u8 = 2;
/// What takes longer than any run counts as this.
const LATENCY_MAX_US: u64 = 3_600_000_000;

/// Latencies, counted in microseconds.
#[derive(Clone, Debug)]
pub struct Latencies(Histogram<u64>);

impl Default for Latencies {
    fn default() -> Self {
        Self(Histogram::new_with_bounds(1, LATENCY_MAX_US, DIGITS).expect("the bounds are in order"))
    }
}

impl Latencies {
    /// One more.
    pub fn record(&mut self, latency: Duration) {
        self.0.saturating_record(u64::try_from(latency.as_micros()).unwrap_or(LATENCY_MAX_US).max(1));
    }

    /// All of another.
    pub fn add(&mut self, other: &Self) {
        self.0.add(&other.0).expect("both have the same bounds");
    }

    /// How many.
    pub fn count(&self) -> u64 {
        self.0.len()
    }

    /// The latency that so many of a hundred do not exceed, in milliseconds.
    pub fn percentile_ms(&self, percent: f64) -> f64 {
        self.0.value_at_percentile(percent) as f64 / 1000.0
    }

    /// The longest, in milliseconds.
    pub fn max_ms(&self) -> f64 {
        self.0.max() as f64 / 1000.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_that_stalled_is_seen_at_the_end_of_the_scale_only() {
        let mut all = Latencies::default();
        for _ in 0..99 {
            all.record(Duration::from_millis(4));
        }
        let mut stalled = Latencies::default();
        stalled.record(Duration::from_secs(30));
        all.add(&stalled);
        assert_eq!(all.count(), 100);
        assert!((3.9..4.1).contains(&all.percentile_ms(50.0)) && (3.9..4.1).contains(&all.percentile_ms(99.0)));
        assert!((29_500.0..30_500.0).contains(&all.max_ms()));
        all.record(Duration::from_secs(1_000_000));
        assert!(all.max_ms() > 3_000_000.0, "what is beyond the scale was not counted");
    }
}

//! How often each does something: a bucket for each, which fills with time.
//!
//! It knows no clock: time is an argument.

use std::collections::HashMap;
use std::hash::Hash;
use std::time::{Duration, Instant};

/// The buckets of all who do it.
pub struct Paces<K> {
    known: HashMap<K, Pace>,
}

#[derive(Clone, Copy)]
struct Pace {
    /// Below zero where some wait for their turn.
    tokens: f64,
    at: Instant,
    rate: f64,
}

/// So many are remembered before those are forgotten whose bucket is full.
const PACES_MAX: usize = 4096;

impl<K> Default for Paces<K> {
    fn default() -> Self {
        Self { known: HashMap::new() }
    }
}

impl<K: Clone + Eq + Hash> Paces<K> {
    /// How long until there is a turn for this one, which may do it `rate` times a second, and save up a second's.
    pub fn wait(&self, who: &K, rate: f64, now: Instant) -> Duration {
        let tokens = self.known.get(who).map_or(rate, |pace| pace.filled(rate, now));
        // Rounded up, so that whoever waits for so long finds it.
        if tokens >= 1.0 { Duration::ZERO } else { Duration::from_secs_f64((1.0 - tokens) / rate) + Duration::from_nanos(1) }
    }

    /// Takes a turn, which may be one that has still to come.
    pub fn take(&mut self, who: &K, rate: f64, now: Instant) {
        if self.known.len() >= PACES_MAX {
            self.known.retain(|_, pace| pace.filled(pace.rate, now) < pace.rate);
        }
        let pace = self.known.entry(who.clone()).or_insert(Pace { tokens: rate, at: now, rate });
        *pace = Pace { tokens: pace.filled(rate, now) - 1.0, at: now, rate };
    }
}

impl Pace {
    fn filled(&self, rate: f64, now: Instant) -> f64 {
        (self.tokens + now.saturating_duration_since(self.at).as_secs_f64() * rate).min(rate)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_waits_as_long_as_was_said_has_a_turn() {
        let (mut paces, mut now) = (Paces::default(), Instant::now());
        for _ in 0..1000 {
            let wait = paces.wait(&1, 7.0, now);
            now += wait;
            assert_eq!(paces.wait(&1, 7.0, now), Duration::ZERO, "after {wait:?}");
            paces.take(&1, 7.0, now);
        }
    }

    #[test]
    fn who_did_it_long_ago_is_forgotten() {
        let (mut paces, now) = (Paces::default(), Instant::now());
        for number in 0..3 * PACES_MAX as u64 {
            paces.take(&number, 10.0, now + Duration::from_secs(number));
        }
        assert!(paces.known.len() <= PACES_MAX, "everybody who ever asked is remembered");
    }
}

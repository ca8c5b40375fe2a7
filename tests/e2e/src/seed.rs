//! Chance that can be repeated: every choice of a test comes from one seed, which is printed.
//!
//! EXHIBIT_SEED takes the seed of an earlier run. It is no source of keys.

use std::time::Duration;

use crate::world::fill_random;

/// A generator of choices (SplitMix64).
#[derive(Clone, Debug)]
pub struct Dice {
    state: u64,
}

impl Dice {
    /// From EXHIBIT_SEED, or a new one; it says which, since that is what repeats a failure.
    pub fn new(test: &str) -> Self {
        let seed = match std::env::var("EXHIBIT_SEED") {
            Ok(text) => text.parse().expect("EXHIBIT_SEED is a number"),
            Err(_) => {
                let mut bytes = [0; 8];
                fill_random(&mut bytes);
                u64::from_le_bytes(bytes)
            }
        };
        eprintln!("{test}: EXHIBIT_SEED={seed}");
        Self { state: seed }
    }

    /// From a number: one of many generators of a run.
    pub fn of(seed: u64) -> Self {
        Self { state: seed }
    }

    /// A number below `end`.
    pub fn below(&mut self, end: u64) -> u64 {
        self.state = self.state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.state;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ (mixed >> 31)) % end
    }

    /// A while below `max`.
    pub fn while_below(&mut self, max: Duration) -> Duration {
        Duration::from_micros(self.below(u64::try_from(max.as_micros()).expect("waits of tests are short")))
    }
}

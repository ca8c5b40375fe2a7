//! What is left to chance in comparisons of the two verifiers: a seed makes the same again. Tests include this file by its path.
//!
//! It is no source of keys.

/// SplitMix64.
pub struct Random(u64);

impl Random {
    /// Of one round of a seed.
    pub fn of(seed: u64, round: u64) -> Self {
        Self(seed.wrapping_mul(1_000_003).wrapping_add(round))
    }

    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ self.0 >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ mixed >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ mixed >> 31
    }

    pub fn below(&mut self, end: usize) -> usize {
        (self.next() % end.max(1) as u64) as usize
    }

    #[allow(dead_code, reason = "each test includes this file for itself, and not all choose among things")]
    pub fn one_of<'a, T>(&mut self, items: &'a [T]) -> &'a T {
        &items[self.below(items.len())]
    }
}

/// `EXHIBIT_SEED=<number>` makes other changes, `EXHIBIT_ROUNDS=<number>` more: the seed, and the rounds.
pub fn seed_and_rounds(seed: u64, rounds: u64) -> (u64, std::ops::Range<u64>) {
    let number = |name: &str, otherwise| std::env::var(name).map_or(otherwise, |text| text.parse().unwrap());
    (number("EXHIBIT_SEED", seed), 0..number("EXHIBIT_ROUNDS", rounds))
}

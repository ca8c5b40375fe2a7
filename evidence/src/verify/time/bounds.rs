//! Bounds: the latest moment before which, and the earliest after which, something was not sealed; on an independent word, on such a one that no
//! camera's TPM carried on, and on anybody's.

use std::rc::Rc;

use exhibit_pki::Timestamp;

use super::words::Word;
use crate::verdict::TimeBound;

/// One bound, and on whose word.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in super::super) struct Bound {
    pub at: Timestamp,
    pub by: Rc<str>,
    pub independent: bool,
    pub entry: Option<u64>,
    /// Carried here by the count of a TPM.
    pub tpm: bool,
}

/// The tightest bounds in one direction.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(in super::super) struct Side {
    /// On a word that is not the operator's, as it was given: that a TPM counted, and not whoever claims to be one, is the authority's word.
    pub external: Option<Bound>,
    /// On a word that is not the operator's.
    pub independent: Option<Bound>,
    /// On anybody's.
    pub any: Option<Bound>,
}

/// Between which moments something was sealed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(in super::super) struct Bounds {
    pub not_before: Side,
    pub not_after: Side,
}

/// In which direction a bound is tighter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Tighter {
    Later,
    Earlier,
}

impl Bound {
    /// The statement above an entry that holds the word was not sealed before the word was given.
    pub(super) fn not_before(word: &Word) -> Self {
        Self { at: word.earliest, by: Rc::clone(&word.by), independent: word.independent, entry: word.entry, tpm: false }
    }

    /// What the checkpoint covers was not sealed after the word was given.
    pub(super) fn not_after(word: &Word) -> Self {
        Self { at: word.latest, ..Self::not_before(word) }
    }

    fn told(&self) -> TimeBound {
        TimeBound { time: self.at.to_string(), by: self.by.to_string(), independent: self.independent, entry: self.entry, tpm: self.tpm }
    }
}

impl Side {
    /// Takes over what is tighter.
    pub(super) fn tighten(&mut self, tighter: Tighter, other: &Self) {
        tighten(tighter, &mut self.external, other.external.as_ref());
        tighten(tighter, &mut self.independent, other.independent.as_ref());
        tighten(tighter, &mut self.any, other.any.as_ref());
    }

    /// Takes over one bound, if it is tighter.
    pub(super) fn tighten_by(&mut self, tighter: Tighter, bound: &Bound) {
        if bound.independent {
            tighten(tighter, &mut self.external, Some(bound));
            tighten(tighter, &mut self.independent, Some(bound));
        }
        tighten(tighter, &mut self.any, Some(bound));
    }

    /// The independent one first; anybody's, if that says more.
    pub fn told(&self) -> Vec<TimeBound> {
        let more = self.any.as_ref().filter(|any| self.independent.as_ref() != Some(any));
        self.independent.iter().chain(more).map(Bound::told).collect()
    }
}

fn tighten(tighter: Tighter, own: &mut Option<Bound>, other: Option<&Bound>) {
    let Some(other) = other else { return };
    let better = own.as_ref().is_none_or(|own| match tighter {
        Tighter::Later => other.at > own.at,
        Tighter::Earlier => other.at < own.at,
    });
    if better {
        *own = Some(other.clone());
    }
}

/// Bounds by position on the log: each holds for all positions on one side of it, and the tightest is found by bisection.
pub(super) struct Steps {
    tighter: Tighter,
    /// Positions, rising.
    at: Vec<u64>,
    tightest: Vec<Side>,
}

impl Steps {
    /// Of entries that hold words: what stands above (whose observed size is larger than the entry's index) is not sealed before.
    pub fn rising(words: &[Word]) -> Self {
        let mut steps: Vec<(u64, Bound)> = words.iter().filter_map(|word| Some((word.entry?, Bound::not_before(word)))).collect();
        steps.sort_by_key(|(at, _)| *at);
        Self::new(Tighter::Later, steps)
    }

    /// Of checkpoints: what they cover (whose index is smaller than the size) is not sealed after.
    pub fn falling(words: &[Word]) -> Self {
        let mut steps: Vec<(u64, Bound)> = words.iter().filter_map(|word| Some((word.covers?, Bound::not_after(word)))).collect();
        steps.sort_by_key(|(at, _)| std::cmp::Reverse(*at));
        Self::new(Tighter::Earlier, steps)
    }

    fn new(tighter: Tighter, steps: Vec<(u64, Bound)>) -> Self {
        let mut side = Side::default();
        let (mut at, mut tightest) = (Vec::new(), Vec::new());
        for (position, bound) in steps {
            side.tighten_by(tighter, &bound);
            at.push(position);
            tightest.push(side.clone());
        }
        Self { tighter, at, tightest }
    }

    /// Rising: the tightest of all steps below `position`. Falling: of all steps above it.
    pub fn find(&self, position: u64) -> Side {
        let count = self.at.partition_point(|at| match self.tighter {
            Tighter::Later => *at < position,
            Tighter::Earlier => *at > position,
        });
        count.checked_sub(1).map(|last| self.tightest[last].clone()).unwrap_or_default()
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn word(unix_ms: u64, entry: u64, covers: u64) -> Word {
        let at = Timestamp::from_unix_ms(unix_ms).unwrap();
        Word { earliest: at, latest: at, by: "a notary".into(), independent: true, entry: Some(entry), covers: Some(covers) }
    }

    fn of(side: &Side) -> Option<u64> {
        side.any.as_ref().map(|bound| bound.at.unix_ms())
    }

    /// A tree of seven entries does not have the entry at index 7.
    #[test]
    fn a_word_bounds_who_has_seen_the_entry_that_holds_it_and_what_its_checkpoint_covers() {
        let words = [word(1_000, 7, 5), word(2_000, 9, 8)];
        let rising = Steps::rising(&words);
        assert_eq!([0, 7, 8, 9, 10].map(|seen| of(&rising.find(seen))), [None, None, Some(1_000), Some(1_000), Some(2_000)]);
        let falling = Steps::falling(&words);
        assert_eq!([0, 4, 5, 7, 8].map(|index| of(&falling.find(index))), [Some(1_000), Some(1_000), Some(2_000), Some(2_000), None]);
    }

    #[test]
    fn the_tightest_of_several_words_counts_wherever_it_stands() {
        let words = [word(3_000, 1, 20), word(1_000, 2, 30), word(2_000, 3, 10)];
        let rising = Steps::rising(&words);
        assert_eq!([2, 3, 4].map(|seen| of(&rising.find(seen))), [Some(3_000); 3]);
        let falling = Steps::falling(&words);
        assert_eq!([9, 19, 29].map(|index| of(&falling.find(index))), [Some(1_000); 3]);
    }
}

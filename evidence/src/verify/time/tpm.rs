//! The count of a camera's TPM: between two readings that it signed, as much time passed as it counted, give or take what its clock may err.
//!
//! So bounds of one reading carry to another, and a camera that was offline is bounded by what it read before and after.

use std::collections::HashMap;

use exhibit_pki::Timestamp;
use exhibit_pki::attestation::VerifiedTime;

use super::super::entries::Entry;
use super::bounds::{Bound, Bounds, Side, Tighter};

/// Of the milliseconds that a TPM counts, at least and at most so many of a hundred pass. Its oscillator is within 15 % (TPM 2.0 Library,
/// Part 1, clause 33.3.6), and its owner can set the divisor of 30,000 to between 25,000 and 35,000 (Part 4, CLOCK_ADJUST_LIMIT):
/// 25/30 / 1.15 and 35/30 / 0.85, rounded outwards.
const ELAPSED_PERCENT_MIN: u64 = 72;
const ELAPSED_PERCENT_MAX: u64 = 138;

/// Narrows the bounds of the statements of a run by the readings in it.
pub(super) fn narrow(run: &[&Entry], readings: &HashMap<u64, VerifiedTime>, bounds: &mut HashMap<u64, Bounds>) {
    let read: Vec<(usize, &VerifiedTime)> =
        run.iter().enumerate().filter_map(|(position, entry)| Some((position, readings.get(&entry.index)?))).collect();
    // Where the TPM was reset, or the count went back, nothing carries over.
    for group in read.chunk_by(|(_, earlier), (_, later)| later.elapsed_ms_since(earlier).is_ok()) {
        narrow_group(run, group, bounds);
    }
}

/// The moment of a reading lies after its statement's predecessor and what that had observed, and before its statement: within the
/// statement's bounds. What is found of it bounds the statement from below, and the one before it from above.
fn narrow_group(run: &[&Entry], group: &[(usize, &VerifiedTime)], bounds: &mut HashMap<u64, Bounds>) {
    let mut moments: Vec<Bounds> = group.iter().map(|(position, _)| bounds[&run[*position].index].clone()).collect();
    let elapsed = |earlier: usize, later: usize| group[later].1.elapsed_ms_since(group[earlier].1).unwrap_or(0);
    for later in 1..group.len() {
        let counted_ms = elapsed(later - 1, later);
        let earlier = moments[later - 1].clone();
        moments[later].not_before.tighten(Tighter::Later, &shifted(&earlier.not_before, |at| at.checked_add(least(counted_ms))));
        moments[later].not_after.tighten(Tighter::Earlier, &shifted(&earlier.not_after, |at| at.checked_add(most(counted_ms))));
    }
    for earlier in (0..group.len() - 1).rev() {
        let counted_ms = elapsed(earlier, earlier + 1);
        let later = moments[earlier + 1].clone();
        moments[earlier].not_before.tighten(Tighter::Later, &shifted(&later.not_before, |at| at.checked_sub(most(counted_ms))));
        moments[earlier].not_after.tighten(Tighter::Earlier, &shifted(&later.not_after, |at| at.checked_sub(least(counted_ms))));
    }
    for ((position, _), moment) in group.iter().zip(&moments) {
        let own = bounds.entry(run[*position].index).or_default();
        own.not_before.tighten(Tighter::Later, &moment.not_before);
        if let Some(before) = position.checked_sub(1) {
            let before = bounds.entry(run[before].index).or_default();
            before.not_after.tighten(Tighter::Earlier, &moment.not_after);
        }
    }
}

fn least(counted_ms: u64) -> u64 {
    counted_ms.saturating_mul(ELAPSED_PERCENT_MIN) / 100
}

fn most(counted_ms: u64) -> u64 {
    counted_ms.saturating_mul(ELAPSED_PERCENT_MAX).div_ceil(100)
}

/// The same words at another moment; none where that is before 1970 or after the year 9999.
fn shifted(side: &Side, shift: impl Fn(u64) -> Option<u64>) -> Side {
    let move_bound = |bound: &Option<Bound>| {
        let bound = bound.as_ref()?;
        Some(Bound { at: Timestamp::from_unix_ms(shift(bound.at.unix_ms())?)?, tpm: true, ..bound.clone() })
    };
    Side { external: None, independent: move_bound(&side.independent), any: move_bound(&side.any) }
}

//! Chains with defects, each alone and then at random together: openssl and we say the same, but for the differences that are listed here.
#![allow(clippy::unwrap_used)]

mod chain;
mod defects;
mod several_paths;
#[path = "../support/mod.rs"]
mod support;

use std::collections::BTreeSet;

use tempfile::TempDir;

use chain::{Chain, ours, theirs};
use defects::{DEFECTS, Defect, Difference};
use support::*;

/// Compares the two verdicts, and gives the differences that were met.
fn compare<'a>(folder: &TempDir, chain: &Chain, defects: &[&'a Defect], context: &str) -> (bool, Option<&'a str>) {
    let der = chain.der();
    let (ours, theirs) = (ours(&der), theirs(folder, &der));
    if ours.is_ok() == theirs.is_ok() {
        return (ours.is_ok(), None);
    }
    let allowed = defects.iter().find(|defect| match defect.difference {
        Difference::None => false,
        Difference::WeRefuse(_) => ours.is_err(),
        Difference::WeAccept(_) => ours.is_ok(),
    });
    let allowed = allowed.unwrap_or_else(|| panic!("{context}: we say {ours:?}, openssl {theirs:?}"));
    (ours.is_ok(), Some(allowed.name))
}

#[test]
fn each_defect_alone_is_judged_as_openssl_does() {
    let city = City::new();
    let folder = tempfile::tempdir().unwrap();
    for authorities in 0..=3 {
        let (ours, difference) = compare(&folder, &Chain::good(&city, authorities), &[], "a good chain");
        // Without an authority there is nobody to assert a role, and a root may do so alone.
        assert!(ours && difference.is_none(), "{authorities} authorities");
    }
    let mut met = BTreeSet::new();
    for defect in DEFECTS {
        for level in 0..4 {
            let mut chain = Chain::good(&city, 2);
            if !defect.at.contains(&chain.level(level)) {
                continue;
            }
            (defect.apply)(&mut chain, level);
            met.extend(compare(&folder, &chain, &[defect], &format!("{} at level {level}", defect.name)).1);
        }
    }
    let listed: BTreeSet<&str> = DEFECTS.iter().filter(|defect| defect.difference != Difference::None).map(|defect| defect.name).collect();
    let never: Vec<&&str> = listed.difference(&met).collect();
    assert!(never.is_empty(), "differences are listed that there are not: {never:?}");
}

#[test]
fn defects_together_are_judged_as_openssl_does() {
    let city = City::new();
    let folder = tempfile::tempdir().unwrap();
    // xorshift64*, so that every run makes the same chains.
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let mut draw = |below: usize| {
        state ^= state >> 12;
        state ^= state << 25;
        state ^= state >> 27;
        usize::try_from(state.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 33).unwrap() % below
    };
    let (mut accepted, mut refused) = (0, 0);
    for case in 0..CASES {
        let mut chain = Chain::good(&city, draw(4));
        let mut defects = Vec::new();
        for _ in 0..draw(4) {
            let (defect, level) = (&DEFECTS[draw(DEFECTS.len())], draw(chain.levels.len()));
            // One for each certificate, so that none is applied to what another has taken away.
            if defect.at.contains(&chain.level(level)) && defects.iter().all(|(_, at): &(&Defect, usize)| *at != level) {
                (defect.apply)(&mut chain, level);
                defects.push((defect, level));
            }
        }
        let names: Vec<String> = defects.iter().map(|(defect, level)| format!("{} at level {level}", defect.name)).collect();
        let applied: Vec<&Defect> = defects.iter().map(|(defect, _)| *defect).collect();
        let (ours, _) = compare(&folder, &chain, &applied, &format!("case {case}: {}", names.join(", ")));
        if ours { accepted += 1 } else { refused += 1 }
    }
    assert!(accepted > CASES / 5 && refused > CASES / 5, "{accepted} accepted and {refused} refused: one verdict would do for all");
}

/// Each starts a program.
const CASES: usize = 120;

//! The rows of chains: every entry has its place, every place its entry, and every head is its chain's last place.
//!
//! It does not read entries again: their leaves were proven, and lead to them.

use std::collections::BTreeSet;
use std::sync::atomic::Ordering;

use exhibit_tlog::Hash;

use super::{Claim, Damage, Run};
use crate::store::HeadRow;
use crate::{EntryPlace, LedgerError, StreamHead};

impl Run<'_> {
    /// The row of the place that an entry claims, and the link to the one before.
    pub(super) fn check_claim(&self, place: EntryPlace, claim: &Claim, damages: &mut Vec<Damage>) {
        let Claim { stream, seq, prev, may_leap, .. } = claim;
        let name = format!("{stream}/{seq}");
        match self.store.place(stream, *seq) {
            Ok(Some(row)) if row == place => {}
            Ok(Some(row)) => {
                damages.push(Damage::new("place", &name, format_args!("names entry {} and belongs to entry {}", row.index, place.index)))
            }
            Ok(None) => damages.push(Damage::new("place", &name, format_args!("of entry {} is missing", place.index))),
            Err(error) => damages.push(Damage::new("place", &name, error)),
        }
        let before = match seq.checked_sub(1) {
            None => Ok(Some(Hash::default())),
            Some(before) => self.store.place(stream, before).map(|row| row.map(|row| row.leaf)),
        };
        // The rows alone do not tell a leap from a hole, which `check_chains` passes over for that behind the first entry.
        if !may_leap && *seq > 1 && matches!(before, Ok(None)) && matches!(self.store.place(stream, 1), Ok(None)) {
            damages.push(Damage::new("chain", &name, "seq 1 is missing before it"));
        }
        // A missing or unreadable row of the one before is named with that entry.
        if let Ok(Some(leaf)) = before
            && leaf != *prev
        {
            damages.push(Damage::new(
                "chain",
                &name,
                format_args!("entry {} does not follow the entry before it in its chain", place.index),
            ));
        }
    }

    /// What the entries can not tell: places without an entry, holes, and the ends of chains. False if it was stopped.
    pub(super) fn check_chains(&self, damages: &mut BTreeSet<Damage>) -> Result<bool, LedgerError> {
        let size = self.tiles.head().size;
        let (mut places, mut last): (u64, Option<(String, u64, EntryPlace)>) = (0, None);
        for row in self.store.places() {
            if self.fsck.stop.load(Ordering::Relaxed) {
                return Ok(false);
            }
            let (stream, seq, place) = match row {
                Ok(row) => row,
                Err(error) => {
                    damages.insert(Damage::new("place", "", error));
                    continue;
                }
            };
            if place.index >= size {
                continue;
            }
            places += 1;
            let before = last.as_ref().filter(|(before, ..)| *before == stream);
            let expected = before.map_or(0, |(_, seq, _)| seq + 1);
            let name = format!("{stream}/{seq}");
            let may_be_a_leap = expected == 1 && seq > 1;
            if seq != expected && !may_be_a_leap {
                damages.insert(Damage::new("chain", &name, format_args!("seq {expected} is missing before it")));
            }
            if before.is_some_and(|(.., before)| before.index >= place.index) {
                damages.insert(Damage::new("chain", &name, "comes earlier in the log than the entry before it in its chain"));
            }
            if !self.has_leaf(place.index, &place.leaf) {
                damages.insert(Damage::new("place", &name, format_args!("entry {} has another leaf hash", place.index)));
            }
            if let Some((ended, seq, place)) = last.take_if(|(before, ..)| *before != stream) {
                self.check_head(&ended, seq, place, damages);
            }
            last = Some((stream, seq, place));
        }
        if let Some((ended, seq, place)) = last {
            self.check_head(&ended, seq, place, damages);
        }
        if places != size {
            damages.insert(Damage::new("place", "all", format_args!("there are {places} places for {size} entries")));
        }
        self.check_heads(damages);
        Ok(true)
    }

    /// The head of a chain whose last place below the checkpoint is this one. The chain may have grown since.
    fn check_head(&self, stream: &str, seq: u64, place: EntryPlace, damages: &mut BTreeSet<Damage>) {
        let damage = match self.store.head(stream) {
            Ok(Some(HeadRow { head: StreamHead { next_seq, leaf, .. }, last_index })) => {
                let is_this = (next_seq, leaf, last_index) == (seq + 1, place.leaf, place.index);
                let has_grown = next_seq > seq + 1 && last_index >= self.tiles.head().size;
                if is_this || has_grown {
                    return;
                }
                Damage::new("head", stream, format_args!("is not the chain's last entry, seq {seq}"))
            }
            Ok(None) => Damage::new("head", stream, "is missing"),
            Err(error) => Damage::new("head", stream, error),
        };
        damages.insert(damage);
    }

    /// Heads of chains that have no place.
    fn check_heads(&self, damages: &mut BTreeSet<Damage>) {
        for row in self.store.heads(&[]) {
            match row {
                Ok(HeadRow { head, .. }) => {
                    if matches!(self.store.place(&head.stream, 0), Ok(None)) {
                        damages.insert(Damage::new("head", &head.stream, "is that of a chain without entries"));
                    }
                }
                Err(error) => drop(damages.insert(Damage::new("head", "", error))),
            }
        }
    }
}

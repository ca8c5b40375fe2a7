//! The rows of chains: every entry has its place, every place its entry, and every head is its chain's last place.
//!
//! It does not read entries again: their leaves were proven, and lead to them.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use exhibit_tlog::Hash;
use exhibit_tlog::tile::TILE_WIDTH;

use super::{Claim, Damage, Look, Run};
use crate::proven::ProvenTiles;
use crate::store::{HeadRow, Store};
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
    pub(super) fn check_chains(&self) -> Result<bool, LedgerError> {
        let parts = self.done().chains.begin(self.store);
        self.on_all_threads(|| {
            while !self.pace.is_stopped() {
                let number = self.next_part.fetch_add(1, Ordering::Relaxed);
                let Some(part) = parts.get(number) else { break };
                let (look, mut damages) = (Look::new(&self.pace), Vec::new());
                let places = self.check_part(part, &look, &mut damages);
                if self.pace.is_stopped() {
                    break;
                }
                let mut done = self.done();
                done.chains.checked[number] = Some(Checked { places, is_damaged: !damages.is_empty() });
                done.add(damages);
                self.tell_and_keep(&mut done);
            }
        });
        let mut done = self.done();
        let is_complete = done.chains.checked.iter().all(Option::is_some);
        let (places, size) = (done.chains.places(), self.tiles.head().size);
        if is_complete && places != size {
            done.add([Damage::new("place", "all", format_args!("there are {places} places for {size} entries"))]);
        }
        Ok(is_complete)
    }

    /// Gives the number of places that entries of the signed tree have in these chains.
    fn check_part(&self, part: &Part, look: &Look<'_>, damages: &mut Vec<Damage>) -> u64 {
        let size = self.tiles.head().size;
        let (mut places, mut last, mut leaves): (u64, Option<(String, u64, EntryPlace)>, _) = (0, None, LastTile::default());
        for row in self.store.places(&part.from) {
            let (stream, seq, place) = match row {
                Ok(row) => row,
                Err(error) => {
                    damages.push(Damage::new("place", "", error));
                    continue;
                }
            };
            if part.until.as_ref().is_some_and(|until| stream >= *until) || !look.read(stream.len() as u64 + ROW_BYTES) {
                break;
            }
            if place.index >= size {
                continue;
            }
            places += 1;
            let before = last.as_ref().filter(|(before, ..)| *before == stream);
            let expected = before.map_or(0, |(_, seq, _)| seq + 1);
            let name = format!("{stream}/{seq}");
            let may_be_a_leap = expected == 1 && seq > 1;
            if seq != expected && !may_be_a_leap {
                damages.push(Damage::new("chain", &name, format_args!("seq {expected} is missing before it")));
            }
            if before.is_some_and(|(.., before)| before.index >= place.index) {
                damages.push(Damage::new("chain", &name, "comes earlier in the log than the entry before it in its chain"));
            }
            if leaves.leaf(self.tiles, place.index, look) != Some(place.leaf) {
                damages.push(Damage::new("place", &name, format_args!("entry {} has another leaf hash", place.index)));
            }
            if let Some((ended, seq, place)) = last.take_if(|(before, ..)| *before != stream) {
                self.check_head(&ended, seq, place, damages);
            }
            last = Some((stream, seq, place));
        }
        if let Some((ended, seq, place)) = last {
            self.check_head(&ended, seq, place, damages);
        }
        self.check_heads(part, look, damages);
        places
    }

    /// The head of a chain whose last place below the checkpoint is this one. The chain may have grown since.
    fn check_head(&self, stream: &str, seq: u64, place: EntryPlace, damages: &mut Vec<Damage>) {
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
        damages.push(damage);
    }

    /// Heads of chains that have no place.
    fn check_heads(&self, part: &Part, look: &Look<'_>, damages: &mut Vec<Damage>) {
        for row in self.store.heads(part.from.as_bytes()) {
            match row {
                Ok(HeadRow { head, .. }) => {
                    if part.until.as_ref().is_some_and(|until| head.stream >= *until) || !look.read(ROW_BYTES) {
                        break;
                    }
                    if matches!(self.store.place(&head.stream, 0), Ok(None)) {
                        damages.push(Damage::new("head", &head.stream, "is that of a chain without entries"));
                    }
                }
                Err(error) => damages.push(Damage::new("head", "", error)),
            }
        }
    }
}

/// Chains that one thread checks at a time: those whose names are from `from` on, and below `until`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Part {
    from: String,
    until: Option<String>,
}

/// Of a part.
struct Checked {
    places: u64,
    is_damaged: bool,
}

/// How far the chains are checked.
pub(super) struct Done {
    /// Of an earlier run: how many places, and where it goes on.
    earlier: (u64, String),
    parts: Vec<Part>,
    checked: Vec<Option<Checked>>,
}

impl Done {
    pub fn new(earlier: Option<(u64, String)>) -> Self {
        Self { earlier: earlier.unwrap_or_default(), parts: Vec::new(), checked: Vec::new() }
    }

    /// Parts what is left into parts of about as many places. A chain is never parted.
    fn begin(&mut self, store: &Store) -> Vec<Part> {
        let first = self.earlier.1.clone();
        let (mut from, mut places) = (first.clone(), 0_u64);
        // What can not be read is told by whoever checks that part.
        for HeadRow { head, .. } in store.heads(first.as_bytes()).map_while(Result::ok) {
            if places >= PART_PLACES {
                self.parts.push(Part { from: std::mem::replace(&mut from, head.stream.clone()), until: Some(head.stream) });
                places = 0;
            }
            places = places.saturating_add(head.next_seq);
        }
        self.parts.push(Part { from, until: None });
        self.checked = self.parts.iter().map(|_| None).collect();
        self.parts.clone()
    }

    /// Places that were checked.
    pub fn places(&self) -> u64 {
        self.earlier.0 + self.checked.iter().flatten().map(|checked| checked.places).sum::<u64>()
    }

    /// What the next check need not look at again: places before the chain with this name. A damaged part is looked at again.
    pub fn kept(&self) -> (u64, String) {
        let mut kept = self.earlier.clone();
        for (checked, next) in self.checked.iter().zip(self.parts.iter().skip(1)) {
            let Some(checked) = checked.as_ref().filter(|checked| !checked.is_damaged) else { break };
            kept = (kept.0 + checked.places, next.from.clone());
        }
        kept
    }
}

/// The tile that was asked for last: entries of one chain often lie in one.
#[derive(Default)]
struct LastTile(Option<(u64, Option<Arc<[Hash]>>)>);

impl LastTile {
    fn leaf(&mut self, tiles: &ProvenTiles<'_>, index: u64, look: &Look<'_>) -> Option<Hash> {
        let (tile, place) = (index / u64::from(TILE_WIDTH), (index % u64::from(TILE_WIDTH)) as usize);
        if self.0.as_ref().is_none_or(|(known, _)| *known != tile) {
            self.0 = Some((tile, tiles.tile(0, tile)));
            look.read(TILE_BYTES);
        }
        self.0.as_ref()?.1.as_ref()?.get(place).copied()
    }
}

/// So much work is lost at most when a check is ended by force: a second, where no chain is longer.
const PART_PLACES: u64 = 16_384;
/// The row of a place beside the chain's name.
const ROW_BYTES: u64 = 96;
/// A full tile.
const TILE_BYTES: u64 = TILE_WIDTH as u64 * 32;

//! A person as a log sees one: what they have stated is kept by them for good, and is put on the next log, the same bytes: by its operator where the log
//! before ended by plan, by themselves where it was lost.
//!
//! What one statement needs of others is for the appliance to judge.

use std::collections::BTreeMap;

use exhibit_ledger::{Admission, Candidate, LedgerError, Refusal};
use exhibit_tlog::{Hash, leaf_hash};

use crate::camera::{candidate, read};
use crate::world::World;

/// How the names of their chains begin.
const PEOPLE: &str = "user/";

/// One of them, with all that they have stated, in order.
#[derive(Default)]
pub(crate) struct Person {
    pub kept: Vec<Kept>,
}

/// A statement that was acknowledged.
pub(crate) struct Kept {
    pub candidate: Candidate,
    /// By the number of the log, where it is.
    pub on: BTreeMap<usize, Admission>,
}

impl World {
    /// A person states something to the log that takes entries, in a chain that was begun for it.
    pub(crate) fn state(&mut self, person: usize) {
        let log = self.log.number;
        let (stream, content) = (format!("{PEOPLE}{person}/{log}"), self.people[person].kept.len().to_string());
        let before = self.people[person].kept.iter().rev().find(|kept| kept.candidate.stream == stream);
        let (seq, prev) = before.map_or((0, Hash::default()), |before| (before.candidate.seq + 1, leaf_hash(&before.candidate.entry)));
        let candidate = candidate(&stream, seq, prev, &content, log);
        let admission = self.append_until_done(&candidate);
        self.people[person].kept.push(Kept { candidate, on: BTreeMap::from([(log, admission)]) });
    }

    /// A person sends all that they keep to the log that takes entries: what was lost with another comes back, and what is there is there once.
    pub(crate) fn restate(&mut self, person: usize) {
        let log = self.log.number;
        for position in 0..self.people[person].kept.len() {
            let candidate = self.people[person].kept[position].candidate.clone();
            let admission = self.append_until_done(&candidate);
            assert_eq!(admission.place.leaf, leaf_hash(&candidate.entry), "other bytes than were stated");
            match self.people[person].kept[position].on.get(&log) {
                Some(there) => assert_eq!((admission.place, admission.new), (there.place, false), "a statement was counted twice"),
                None => {
                    self.summary.restated += 1;
                    self.people[person].kept[position].on.insert(log, admission);
                }
            }
        }
        if let Some(first) = self.people[person].kept.first().map(|first| &first.candidate) {
            let other = candidate(&first.stream, first.seq, first.prev, "another story", log);
            let outcome = self.log.ledger().append(other);
            assert!(matches!(outcome, Err(LedgerError::Refused(Refusal::Contradiction { .. }))), "one place got a second meaning");
        }
    }

    /// What people have stated to a log that ended by plan is put on the next by its operator, who reads the entries of both.
    pub(crate) fn carry(&mut self, ended: &[Vec<u8>]) {
        let log = self.log.number;
        for entry in ended {
            let Some(candidate) = read(entry, log).filter(|candidate| candidate.stream.starts_with(PEOPLE)) else { continue };
            let admission = self.append_until_done(&candidate);
            let kept = self.people.iter_mut().flat_map(|person| &mut person.kept).find(|kept| kept.candidate.entry == *entry);
            kept.expect("nobody has stated it").on.insert(log, admission);
            self.summary.carried += 1;
        }
    }

    /// All that anybody has stated is on the log of `leaves`, in the order of its chain.
    pub(crate) fn judge_people(&self, leaves: &[Hash]) {
        for person in &self.people {
            let mut chains: BTreeMap<&str, u64> = BTreeMap::new();
            for kept in &person.kept {
                let place = kept.on.get(&self.log.number).expect("what a person keeps was not put on the log that goes on").place;
                assert_eq!(
                    leaves.get(place.index as usize),
                    Some(&leaf_hash(&kept.candidate.entry)),
                    "what a person has stated is lost or moved"
                );
                let last = chains.insert(&kept.candidate.stream, place.index);
                assert!(last.is_none_or(|last| last < place.index), "a person's chain is on the log in another order");
            }
        }
    }
}

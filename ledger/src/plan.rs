//! What a batch of candidates becomes: decided in memory, before anything is written.
//!
//! No I/O, no clock: what is stored of the chains comes in as a value.

use std::collections::HashMap;

use exhibit_tlog::{Hash, leaf_hash};

use crate::{EntryPlace, StreamHead};

/// An entry that wants a place on the ledger.
#[derive(Clone, Debug)]
pub struct Candidate {
    /// The chain's name (opaque, at most 128 bytes, no zero byte).
    pub stream: String,
    /// The place it claims in the chain.
    pub seq: u64,
    /// The leaf hash that it claims to follow; zeros at seq 0.
    pub prev: Hash,
    /// What "the same" means: equal identities at one (stream, seq) are the same statement, perhaps signed again.
    pub identity: Hash,
    /// The entry, at most 65,535 bytes.
    pub entry: Vec<u8>,
    /// Rows that the owner wants written in the same batch, under `annotations`: its indexes. Keys are the owner's; the value may be empty.
    /// They are written only if the candidate becomes a new entry, and seen from the checkpoint on that covers it. A key that is written
    /// again has the new value from then on.
    pub annotations: Vec<Annotation>,
    /// Whether the log ends with it: after it nothing new gets a place, for ever.
    pub is_last: bool,
    /// Whether the chain may leap to here from its first entry: what lies between is in the log before this one, on the owner's word.
    pub may_leap: bool,
}

/// A candidate with its leaf hash, which nobody can have set otherwise. Hashing takes as long as all else that is decided of an entry: it is
/// done by whoever brings the candidate, and not by the one writer.
#[derive(Clone, Debug)]
pub struct HashedCandidate {
    candidate: Candidate,
    leaf: Hash,
}

impl HashedCandidate {
    /// Hashes the entry.
    pub fn new(candidate: Candidate) -> Self {
        Self { leaf: leaf_hash(&candidate.entry), candidate }
    }
}

impl std::ops::Deref for HashedCandidate {
    type Target = Candidate;
    fn deref(&self) -> &Candidate {
        &self.candidate
    }
}

/// Key and value of a row that belongs to the owner.
pub type Annotation = (Vec<u8>, Vec<u8>);

/// Why a candidate got no place.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// It does not follow the chain's last entry.
    #[error("the chain continues at seq {expected_seq} after {expected_prev}")]
    BrokenChain {
        /// The seq that would fit.
        expected_seq: u64,
        /// The prev that would fit.
        expected_prev: Hash,
    },
    /// Another statement has that place already: kept for ever.
    #[error("another entry has this place already, at index {index}")]
    Contradiction {
        /// Its index.
        index: u64,
    },
    /// The log has ended: nothing new gets a place.
    #[error("the log has ended: send it to its successor")]
    Ended,
    /// Empty, too long, or a bad stream name.
    #[error("the entry can not be stored: {0}")]
    Form(&'static str),
}

/// What one candidate becomes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Decision {
    /// A new entry at this place.
    New(EntryPlace),
    /// The statement that is at this place already, in the database or earlier in the same batch.
    Same(EntryPlace),
    /// Nothing.
    Refused(Refusal),
}

/// Decides what each candidate becomes, in their order; new entries are numbered from `first_index`.
///
/// `chains` must know the head of every chain that a candidate of good form names, and every place below a head that one claims, unless the
/// chain has leapt over it.
pub fn plan(candidates: &[HashedCandidate], mut chains: Chains, first_index: u64) -> Vec<Decision> {
    let mut index = first_index;
    let decide = |candidate: &HashedCandidate| {
        if let Err(refusal) = check_form(candidate) {
            return Decision::Refused(refusal);
        }
        let chain = chains.by_stream.get_mut(&candidate.stream).expect("the head of every chain of the batch was read before");
        if candidate.seq < chain.next_seq {
            // What a chain has leapt over has no place here, and gets none.
            let Some(place) = chain.places.get(&candidate.seq) else { return Decision::Refused(chain.broken()) };
            // Whole identities: a shortened one once let a log give a receipt for an entry that it had never logged.
            return if place.identity == candidate.identity {
                Decision::Same(*place)
            } else {
                Decision::Refused(Refusal::Contradiction { index: place.index })
            };
        }
        if chains.is_ended {
            return Decision::Refused(Refusal::Ended);
        }
        let leaps = candidate.may_leap && chain.next_seq == 1 && candidate.seq > 1;
        if !leaps && (candidate.seq != chain.next_seq || candidate.prev != chain.leaf) {
            return Decision::Refused(chain.broken());
        }
        let place = EntryPlace { index, leaf: candidate.leaf, identity: candidate.identity };
        index += 1;
        chain.next_seq = candidate.seq + 1;
        chain.leaf = place.leaf;
        chain.places.insert(candidate.seq, place);
        chains.is_ended = candidate.is_last;
        Decision::New(place)
    };
    candidates.iter().map(decide).collect()
}

/// Whether a candidate can be stored at all, whatever the ledger holds.
pub fn check_form(candidate: &Candidate) -> Result<(), Refusal> {
    let annotation_bytes: usize = candidate.annotations.iter().map(|(key, value)| key.len() + value.len()).sum();
    let complaint = if candidate.stream.is_empty() {
        "the stream has no name"
    } else if candidate.stream.len() > STREAM_NAME_BYTES_MAX {
        "the stream's name is longer than 128 bytes"
    } else if candidate.stream.as_bytes().contains(&0) {
        "the stream's name has a zero byte"
    } else if candidate.seq == u64::MAX {
        "the seq leaves no room for the next one"
    } else if candidate.entry.is_empty() {
        "the entry is empty"
    } else if candidate.entry.len() > ENTRY_BYTES_MAX {
        "the entry is longer than 65,535 bytes"
    } else if candidate.annotations.iter().any(|(key, _)| key.is_empty()) {
        "an annotation has no key"
    } else if annotation_bytes > ANNOTATION_BYTES_MAX {
        "the annotations are longer than 64 KiB"
    } else {
        return Ok(());
    };
    Err(Refusal::Form(complaint))
}

/// What is stored of the chains that a batch touches, before it.
#[derive(Debug, Default)]
pub struct Chains {
    by_stream: HashMap<String, Chain>,
    is_ended: bool,
}

#[derive(Debug, Default)]
struct Chain {
    next_seq: u64,
    leaf: Hash,
    places: HashMap<u64, EntryPlace>,
}

impl Chain {
    fn broken(&self) -> Refusal {
        Refusal::BrokenChain { expected_seq: self.next_seq, expected_prev: self.leaf }
    }
}

impl Chains {
    /// The log has ended before this batch.
    pub fn know_end(&mut self) {
        self.is_ended = true;
    }

    /// The seq that comes next in a chain, if its head is known here.
    pub fn next_seq(&self, stream: &str) -> Option<u64> {
        self.by_stream.get(stream).map(|chain| chain.next_seq)
    }

    /// Takes in the head of a chain; `None` if the ledger has no such chain yet.
    pub fn know_head(&mut self, stream: &str, head: Option<&StreamHead>) {
        let chain = head.map(|head| Chain { next_seq: head.next_seq, leaf: head.leaf, places: HashMap::new() });
        self.by_stream.insert(stream.to_owned(), chain.unwrap_or_default());
    }

    /// Takes in a place below the head of a chain that is known.
    pub fn know_place(&mut self, stream: &str, seq: u64, place: EntryPlace) {
        if let Some(chain) = self.by_stream.get_mut(stream) {
            chain.places.insert(seq, place);
        }
    }
}

/// Bounds the keys of the database; the longest name of the statement format is shorter.
pub const STREAM_NAME_BYTES_MAX: usize = 128;
/// An entry bundle has a length prefix of 16 bits (C2SP tlog-tiles).
pub const ENTRY_BYTES_MAX: usize = u16::MAX as usize;
/// Bounds what one entry can add to a batch; indexes are far smaller.
pub const ANNOTATION_BYTES_MAX: usize = 64 * 1024;

#[cfg(test)]
mod tests {
    use super::*;

    fn plan(candidates: &[Candidate], chains: Chains, first_index: u64) -> Vec<Decision> {
        let hashed: Vec<_> = candidates.iter().cloned().map(HashedCandidate::new).collect();
        super::plan(&hashed, chains, first_index)
    }

    const ZERO: Hash = Hash([0; 32]);

    fn candidate(stream: &str, seq: u64, prev: Hash, entry: &str) -> Candidate {
        Candidate {
            stream: stream.into(),
            seq,
            prev,
            identity: leaf_hash(format!("identity of {entry}").as_bytes()),
            entry: entry.into(),
            annotations: vec![],
            is_last: false,
            may_leap: false,
        }
    }

    fn place_of(candidate: &Candidate, index: u64) -> EntryPlace {
        EntryPlace { index, leaf: leaf_hash(&candidate.entry), identity: candidate.identity }
    }

    /// Two chains: `a` with the given entries stored from index 10 on, `b` without any.
    fn chains(stored: &[&Candidate]) -> Chains {
        let mut chains = Chains::default();
        let head = stored.last().map(|last| StreamHead { stream: "a".into(), next_seq: last.seq + 1, leaf: leaf_hash(&last.entry) });
        chains.know_head("a", head.as_ref());
        chains.know_head("b", None);
        for (offset, candidate) in stored.iter().enumerate() {
            chains.know_place("a", candidate.seq, place_of(candidate, 10 + offset as u64));
        }
        chains
    }

    #[test]
    fn chains_grow_within_a_batch() {
        let a0 = candidate("a", 0, ZERO, "a0");
        let b0 = candidate("b", 0, ZERO, "b0");
        let a1 = candidate("a", 1, leaf_hash(b"a0"), "a1");
        let decisions = plan(&[a0.clone(), b0.clone(), a1.clone()], chains(&[]), 40);
        assert_eq!(decisions, [Decision::New(place_of(&a0, 40)), Decision::New(place_of(&b0, 41)), Decision::New(place_of(&a1, 42))]);
    }

    #[test]
    fn the_same_statement_gets_its_first_place() {
        let a0 = candidate("a", 0, ZERO, "a0");
        let a1 = candidate("a", 1, leaf_hash(b"a0"), "a1");
        let again = Candidate { entry: "a0 under another signature".into(), ..a0.clone() };
        let a1_again = Candidate { entry: "a1 under another signature".into(), ..a1.clone() };
        let decisions = plan(&[again, a1.clone(), a1_again], chains(&[&a0]), 40);
        assert_eq!(
            decisions,
            [Decision::Same(place_of(&a0, 10)), Decision::New(place_of(&a1, 40)), Decision::Same(place_of(&a1, 40))],
            "an entry was counted twice"
        );
    }

    #[test]
    fn another_statement_at_a_taken_place_contradicts() {
        let a0 = candidate("a", 0, ZERO, "a0");
        let a1 = candidate("a", 1, leaf_hash(b"a0"), "a1");
        let other0 = candidate("a", 0, ZERO, "another a0");
        let other1 = candidate("a", 1, leaf_hash(b"a0"), "another a1");
        let decisions = plan(&[other0, a1, other1], chains(&[&a0]), 40);
        assert_eq!(decisions[0], Decision::Refused(Refusal::Contradiction { index: 10 }));
        assert_eq!(decisions[2], Decision::Refused(Refusal::Contradiction { index: 40 }), "two meanings for one place in a batch");
    }

    #[test]
    fn identities_are_compared_to_their_last_byte() {
        let a0 = candidate("a", 0, ZERO, "a0");
        for byte in 0..32 {
            let mut other = a0.clone();
            other.identity.0[byte] ^= 1;
            let decisions = plan(&[other], chains(&[&a0]), 40);
            assert_eq!(decisions, [Decision::Refused(Refusal::Contradiction { index: 10 })], "byte {byte} was not compared");
        }
    }

    #[test]
    fn what_does_not_follow_is_refused_and_takes_no_place() {
        let a0 = candidate("a", 0, ZERO, "a0");
        let expected = Decision::Refused(Refusal::BrokenChain { expected_seq: 1, expected_prev: leaf_hash(b"a0") });
        let hole = candidate("a", 2, leaf_hash(b"a0"), "a2");
        let wrong_prev = candidate("a", 1, ZERO, "a1");
        let a1 = candidate("a", 1, leaf_hash(b"a0"), "a1");
        let decisions = plan(&[hole, wrong_prev, a1.clone()], chains(&[&a0]), 40);
        assert_eq!(decisions, [expected.clone(), expected, Decision::New(place_of(&a1, 40))]);

        let begins_late = candidate("b", 1, ZERO, "b1");
        let begins_after_something = candidate("b", 0, leaf_hash(b"a0"), "b0");
        let expected = Decision::Refused(Refusal::BrokenChain { expected_seq: 0, expected_prev: ZERO });
        assert_eq!(plan(&[begins_late, begins_after_something], chains(&[]), 40), [expected.clone(), expected]);
    }

    #[test]
    fn nothing_new_gets_a_place_behind_the_last() {
        let a0 = candidate("a", 0, ZERO, "a0");
        let last = Candidate { is_last: true, ..candidate("a", 1, leaf_hash(b"a0"), "a1") };
        let behind = candidate("b", 0, ZERO, "b0");
        let decisions = plan(&[last.clone(), behind.clone(), last.clone()], chains(&[&a0]), 40);
        let ended = Decision::Refused(Refusal::Ended);
        assert_eq!(decisions, [Decision::New(place_of(&last, 40)), ended.clone(), Decision::Same(place_of(&last, 40))]);
        let mut later = chains(&[&a0]);
        later.know_end();
        let another = candidate("a", 0, ZERO, "another a0");
        let decisions = plan(&[behind, a0.clone(), another], later, 41);
        let contradiction = Decision::Refused(Refusal::Contradiction { index: 10 });
        assert_eq!(decisions, [ended, Decision::Same(place_of(&a0, 10)), contradiction], "receipts of an ended log are still given");
    }

    #[test]
    fn bad_form_is_refused() {
        let good = candidate("a", 0, ZERO, "a0");
        assert_eq!(check_form(&good), Ok(()));
        let longest = Candidate {
            stream: "s".repeat(STREAM_NAME_BYTES_MAX),
            entry: vec![1; ENTRY_BYTES_MAX],
            annotations: vec![(vec![1; ANNOTATION_BYTES_MAX], vec![])],
            ..good.clone()
        };
        assert_eq!(check_form(&longest), Ok(()));
        let bad = [
            Candidate { stream: String::new(), ..good.clone() },
            Candidate { stream: "s".repeat(STREAM_NAME_BYTES_MAX + 1), ..good.clone() },
            Candidate { stream: "a\0".into(), ..good.clone() },
            Candidate { seq: u64::MAX, ..good.clone() },
            Candidate { entry: vec![], ..good.clone() },
            Candidate { entry: vec![1; ENTRY_BYTES_MAX + 1], ..good.clone() },
            Candidate { annotations: vec![(vec![], vec![1])], ..good.clone() },
            Candidate { annotations: vec![(vec![1; ANNOTATION_BYTES_MAX], vec![1])], ..good.clone() },
        ];
        for candidate in bad {
            let decisions = plan(std::slice::from_ref(&candidate), Chains::default(), 40);
            assert!(matches!(decisions[0], Decision::Refused(Refusal::Form(_))), "{:?}", candidate.stream);
        }
    }

    #[test]
    fn a_chain_leaps_once_from_its_first_entry_where_its_owner_says_so() {
        let leap = |seq| Candidate { may_leap: true, ..candidate("b", seq, Hash([7; 32]), "tail") };
        let first = candidate("b", 0, ZERO, "b0");
        let broken = |decision: &Decision| matches!(decision, Decision::Refused(Refusal::BrokenChain { .. }));
        let of = |candidates: &[Candidate]| {
            let mut chains = Chains::default();
            chains.know_head("b", None);
            plan(candidates, chains, 0)
        };
        let next = candidate("b", 10, leaf_hash(b"tail"), "b10");
        let decided = of(&[first.clone(), leap(9), next.clone(), candidate("b", 5, ZERO, "b5"), leap(20)]);
        assert!(matches!(decided[..3], [Decision::New(_), Decision::New(_), Decision::New(_)]), "{decided:?}");
        assert!(broken(&decided[3]), "what was leapt over got a place: {decided:?}");
        assert!(broken(&decided[4]), "a chain leapt twice: {decided:?}");
        assert!(broken(&of(&[leap(9)])[0]), "a chain began with a leap");
        assert!(broken(&of(&[first.clone(), leap(1)])[1]), "what follows the first entry must follow it");
        assert!(broken(&of(&[first, Candidate { may_leap: false, ..leap(9) }])[1]), "a chain leapt by itself");
    }
}

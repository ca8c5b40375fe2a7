//! What must hold at the end: everything is sent, and judged from outside.
//!
//! It believes nobody: trees are made again from the entries.

use std::collections::BTreeSet;

use exhibit_ledger::{Candidate, LedgerError, Refusal};
use exhibit_tlog::{Hash, LogProof, leaf_hash, root_of, verify_consistency};

use crate::Operation;
use crate::camera::{Acknowledged, Camera, candidate, read};
use crate::log::{Log, leaves_of};
use crate::succession::Ended;
use crate::world::{CLIENTS, PARTIES, PEOPLE, Summary, World};

impl World {
    /// Sends everything, and judges.
    pub fn judge(mut self) -> Summary {
        self.log.restart();
        self.apply(Operation::UploadAll);
        (0..PEOPLE).for_each(|person| self.apply(Operation::Restate { person }));
        (0..CLIENTS).for_each(|client| self.observe(client));
        for party in 0..PARTIES {
            self.parties[party].restart(true);
            self.apply(Operation::Mirror { party });
            self.summary.failed += self.parties[party].disk.failed();
        }
        self.log.fsck();
        // A list that was shortened may have recorded nothing.
        let Some((note, head)) = self.log.ledger().checkpoint() else { return self.summary };
        assert_eq!(self.log.verifier().verify(&note).expect("the newest checkpoint verifies"), head);
        let leaves = self.judge_log(&self.log);
        self.judge_people(&leaves);
        assert_eq!(root_of(&leaves), head.root, "the signed root is not that of the entries");
        for ended in &self.ended {
            self.judge_seam(ended);
        }
        for position in 0..self.ended.len() {
            self.judge_ended(position);
        }
        self.judge_recordings();
        self.summary.leapt =
            self.cameras.iter().map(|camera| camera.acknowledged.iter().filter(|one| is_behind_a_hole(camera, one)).count()).sum();
        self.summary.acknowledged = self.cameras.iter().map(|camera| camera.acknowledged.len()).sum();
        self.summary
    }

    /// Everything acknowledged is in its place, nothing twice, and all that was ever signed or cosigned is of this tree.
    fn judge_log(&self, log: &Log) -> Vec<Hash> {
        let entries = log.entries();
        let leaves = leaves_of(&entries);
        let mut places = BTreeSet::new();
        for entry in &entries {
            let candidate = read(entry, log.number).expect("an entry is on the ledger that nobody has made");
            assert!(places.insert((candidate.stream, candidate.seq)), "one place has two entries");
        }
        self.judge_leaves(log, &leaves);
        leaves
    }

    fn judge_leaves(&self, log: &Log, leaves: &[Hash]) {
        for acknowledged in self.acknowledged_in(log) {
            let (index, leaf) = (acknowledged.admission.place.index, leaf_hash(&acknowledged.candidate.entry));
            assert_eq!(leaves.get(index as usize), Some(&leaf), "acknowledged entry {index} is lost or moved");
            let head = &acknowledged.admission.head;
            assert_eq!(root_of(&leaves[..head.size as usize]), head.root, "a receipt's checkpoint is of another tree");
            if let Some(receipt) = &acknowledged.receipt {
                let receipt = LogProof::parse(receipt).expect("a receipt parses");
                let head = receipt.verify(&leaf, &log.verifier()).expect("a receipt has become invalid");
                assert_eq!(root_of(&leaves[..head.size as usize]), head.root, "a receipt is of another tree");
            }
        }
        log.check_signed(leaves);
        self.parties.iter().for_each(|party| party.judge(&log.origin(), leaves));
    }

    /// The successor's first entry names a head of this log that has all that was acknowledged.
    fn judge_seam(&self, ended: &Ended) {
        let named = &ended.named;
        let tree = ended.leaves.get(..named.size as usize).expect("the named head is of the log");
        assert_eq!(root_of(tree), named.root, "the successor names another tree");
        for acknowledged in self.acknowledged_in(&ended.log) {
            let index = acknowledged.admission.place.index;
            assert!(index < named.size, "acknowledged entry {index} is behind the head that the successor names");
        }
        for seen in &ended.seen {
            let tree = ended.leaves.get(..seen.size as usize).filter(|_| seen.size <= named.size);
            assert_eq!(tree.map(root_of), Some(seen.root), "a client has seen what the successor does not name");
        }
        self.judge_leaves(&ended.log, &ended.leaves);
    }

    /// A log that ended by plan is served, and takes nothing.
    fn judge_ended(&mut self, position: usize) {
        let number = self.ended[position].log.number;
        let genesis =
            format!("after {} {} {}", self.ended[position].named.origin, self.ended[position].named.size, self.ended[position].named.root);
        let genesis = leaf_hash(&candidate(&format!("genesis/{}", number + 1), 0, Hash::default(), &genesis, number + 1).entry);
        let successor = self
            .ended
            .get(position + 1)
            .map_or_else(|| self.log.entries().first().map(|entry| leaf_hash(entry)), |next| next.leaves.first().copied());
        assert_eq!(successor, Some(genesis), "a successor does not begin with the log before it");
        if self.ended[position].is_lost {
            return;
        }
        self.ended[position].log.restart();
        let Ended { log, named, seen, .. } = &self.ended[position];
        let ledger = log.ledger();
        assert_eq!(
            ledger.checkpoint().map(|(_, head)| head).as_ref(),
            Some(named),
            "the ended log has another head than its successor names"
        );
        self.judge_log(log);
        for seen in seen {
            let path = ledger.consistency(seen.size, named.size).expect("it runs").expect("both were signed");
            verify_consistency(seen.size, &seen.root, named.size, &named.root, &path).expect("a client can not follow to the named head");
        }
        let late = candidate("late/0", 0, Hash::default(), "0", number);
        assert!(matches!(ledger.append(late), Err(LedgerError::Refused(Refusal::Ended))), "an ended log takes entries");
        if let Some(first) = self.acknowledged_in(log).next() {
            let again = ledger.append(first.candidate.clone()).expect("what is there is answered");
            assert_eq!((again.place, again.new), (first.admission.place, false));
        }
        log.fsck();
        self.ended[position].log.stop();
    }

    /// Whatever a camera has recorded is on a log whose entries are there, or was final on one that is lost: a cosigned head has it.
    fn judge_recordings(&self) {
        let kept = |log: usize, index: u64| {
            let Some(ended) = self.ended.iter().find(|ended| ended.log.number == log) else { return true };
            let newest = self.parties.iter().filter_map(|party| party.newest(&ended.log.origin()));
            !ended.is_lost || newest.map(|newest| newest.checkpoint.size).max().is_some_and(|size| index < size)
        };
        for camera in &self.cameras {
            assert!(camera.waiting().is_empty(), "what was spooled was not taken");
            let there = camera.acknowledged.iter().filter(|acknowledged| kept(acknowledged.log, acknowledged.admission.place.index));
            let there: BTreeSet<u64> = there.map(|acknowledged| acknowledged.recording).collect();
            assert!(there.into_iter().eq(0..camera.recorded()), "a recording is lost");
        }
    }

    fn acknowledged_in(&self, log: &Log) -> impl Iterator<Item = &Acknowledged> {
        let number = log.number;
        self.cameras.iter().flat_map(|camera| &camera.acknowledged).filter(move |acknowledged| acknowledged.log == number)
    }
}

/// What is before it in its chain is on a log before the one that it is on.
fn is_behind_a_hole(camera: &Camera, one: &Acknowledged) -> bool {
    let Candidate { stream, seq, .. } = &one.candidate;
    let follows = |other: &Acknowledged| other.log == one.log && other.candidate.stream == *stream && other.candidate.seq + 1 == *seq;
    *seq > 0 && !camera.acknowledged.iter().any(follows)
}

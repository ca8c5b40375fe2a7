//! Logs that end: by plan, with an entry that says so, or lost with their folder.
//!
//! It knows of the entries at the seam only that they name the other log.

use exhibit_ledger::rebuild::RebuildError;
use exhibit_ledger::source::Source;
use exhibit_ledger::{Admission, Candidate, LedgerError};
use exhibit_tlog::{Checkpoint, Hash};

use crate::camera::{SUCCESSION, candidate};
use crate::log::{Log, leaves_of};
use crate::world::{CAMERAS, World};

/// A log that takes nothing any more.
pub(crate) struct Ended {
    /// It, stopped.
    pub log: Log,
    /// The head that its successor's genesis names.
    pub named: Checkpoint,
    /// The leaf hashes that it had in its last moment. What the simulator knows, and nobody in it.
    pub leaves: Vec<Hash>,
    /// The last heads that clients have seen of it.
    pub seen: Vec<Checkpoint>,
    /// Whether its folder is gone.
    pub is_lost: bool,
}

impl World {
    /// The log ends with an entry that names its successor, while cameras send. A disk that breaks on the way costs a start: the same is done again.
    pub(crate) fn succeed(&mut self) {
        let number = self.log.number;
        let last = candidate(&format!("succession/{number}"), 0, Hash::default(), &format!("{SUCCESSION}log/{}", number + 1), number);
        // Cameras send before and behind it: the same batch may have it in its middle.
        let (before, behind) =
            (0..CAMERAS).flat_map(|camera| self.waiting(camera)).partition::<Vec<_>, _>(|(camera, _)| *camera < Some(CAMERAS / 2));
        self.send([before, vec![(None, last.clone())], behind].concat(), true);
        self.restart_if_broken();
        self.append_until_done(&last);
        let ledger = self.log.ledger();
        assert!(ledger.is_ended().expect("it runs"), "the log has not ended");
        let (_, head) = ledger.checkpoint().expect("it has an entry at least");
        drop(ledger);
        let again = vec![Vec::new(); self.cameras.len()];
        self.replace_log(head, None, &again);
        self.summary.planned += 1;
    }

    /// The folder is gone. With the newest head that anybody holds, and mirrors that have what it signs, the log goes on; else a successor
    /// names that head.
    pub(crate) fn lose(&mut self) {
        let Some((note, head)) = self.newest_known() else { return };
        let leaves = leaves_of(&self.log.entries());
        self.log.lose();
        let origin = self.log.origin();
        let copies: Vec<_> = self.parties.iter().map(|party| party.copy(&origin)).collect();
        let mirrors: Vec<&dyn Source> = copies.iter().map(|copy| copy as &dyn Source).collect();
        self.restore_too_little(&mirrors);
        match self.log.restore(&note, &mirrors) {
            Ok(()) => self.summary.restored += 1,
            Err(RebuildError::Tree(_) | RebuildError::Missing { .. }) => {
                self.summary.lost += 1;
                let final_size = self.parties.iter().filter_map(|party| party.newest(&origin)).map(|newest| newest.checkpoint.size).max();
                self.begin_successor_of_lost(head, leaves, final_size.unwrap_or(0));
            }
            Err(error) => panic!("not restored: {error}"),
        }
    }

    /// A mirror may lag: whoever takes what it has for all there was is stopped by the seal.
    fn restore_too_little(&mut self, mirrors: &[&dyn Source]) {
        let copied = self.parties.iter().filter_map(|party| party.mirrored(&self.log.origin())).max_by_key(|copied| copied.checkpoint.size);
        let sealed = self.log.sealed_note().and_then(|note| self.log.verifier().verify(&note).ok());
        if let (Some(copied), Some(sealed)) = (copied, sealed)
            && sealed.size > copied.checkpoint.size
        {
            let refused = self.log.restore(&copied.note, mirrors);
            assert!(matches!(refused, Err(RebuildError::Ledger(LedgerError::Behind(_)))), "a log was restored to less than was sealed");
            self.summary.refused += 1;
        }
    }

    /// Cameras send again what was not final: nobody but them and the lost log has ever had it.
    fn begin_successor_of_lost(&mut self, head: Checkpoint, leaves: Vec<Hash>, final_size: u64) {
        let number = self.log.number;
        let again = self.cameras.iter().map(|camera| {
            let here = camera.acknowledged.iter().filter(|acknowledged| acknowledged.log == number);
            here.filter(|acknowledged| acknowledged.admission.place.index >= final_size)
                .map(|acknowledged| acknowledged.recording)
                .collect()
        });
        let again: Vec<Vec<u64>> = again.collect();
        self.replace_log(head, Some(leaves), &again);
    }

    fn replace_log(&mut self, named: Checkpoint, lost: Option<Vec<Hash>>, again: &[Vec<u64>]) {
        let is_lost = lost.is_some();
        // Of one that was lost, nobody reads anything.
        let entries = if is_lost { Vec::new() } else { self.log.entries() };
        let leaves = lost.unwrap_or_else(|| leaves_of(&entries));
        self.log.stop();
        let next = self.new_log();
        let log = std::mem::replace(&mut self.log, next);
        let seen = self.clients.iter_mut().filter_map(|client| client.last.take()).map(|(_, head)| head).collect();
        let content = format!("after {} {} {}", named.origin, named.size, named.root);
        let number = self.log.number;
        let genesis = candidate(&format!("genesis/{number}"), 0, Hash::default(), &content, number);
        let admission = self.append_until_done(&genesis);
        assert_eq!(admission.place.index, 0, "something came before genesis");
        self.carry(&entries);
        self.ended.push(Ended { log, named, leaves, seen, is_lost });
        for (camera, again) in self.cameras.iter_mut().zip(again) {
            camera.go_on_in(number, again);
        }
    }

    /// Of every head that was given to anybody the largest: by the seal, witnesses, mirrors, receipts and clients.
    fn newest_known(&self) -> Option<(String, Checkpoint)> {
        let (origin, log, number) = (self.log.origin(), self.log.verifier(), self.log.number);
        let received = self.cameras.iter().flat_map(|camera| &camera.acknowledged).filter(|acknowledged| acknowledged.log == number);
        let observed = self.clients.iter().filter_map(|client| client.last.as_ref());
        let notes = received.map(|acknowledged| acknowledged.admission.checkpoint.to_string());
        let notes = notes.chain(observed.map(|(note, _)| note.to_string()));
        let notes = notes.chain(self.parties.iter().filter_map(|party| Some(party.newest(&origin)?.note.clone())));
        let notes = notes.chain(self.log.sealed_note());
        let verified = notes.map(|note| {
            let head = log.verify(&note).expect("nobody was given what the log has not signed");
            (note, head)
        });
        verified.max_by_key(|(_, head)| head.size).filter(|(_, head)| head.size > 0)
    }

    pub(crate) fn append_until_done(&mut self, candidate: &Candidate) -> Admission {
        loop {
            // Nobody holds the ledger when it is to end.
            let outcome = self.log.ledger().append(candidate.clone());
            match outcome {
                Ok(admission) => return admission,
                Err(LedgerError::Stopped(_)) => {
                    assert!(self.log.disk.is_broken(), "the writer stopped on a disk that works");
                    self.restart_if_broken();
                }
                Err(error) => panic!("the operator's entry was refused: {error}"),
            }
        }
    }
}

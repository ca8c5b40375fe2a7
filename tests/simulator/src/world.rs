//! The world that operations happen in, and what must hold in it at every moment.
//!
//! It has no time but its own, and no chance: operations come from outside. What must hold at the end is in `oracle`.

use std::ops::AddAssign;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::channel;

use exhibit_ledger::{Admission, Candidate, Ledger, LedgerError, Refusal};
use exhibit_tlog::{Checkpoint, LogProof, LogVerifier, verify_consistency};

use crate::Operation;
use crate::camera::{Camera, other_story};
use crate::log::Log;
use crate::party::Party;
use crate::person::Person;
use crate::succession::Ended;

/// Everything, opened or not.
pub struct World {
    root: tempfile::TempDir,
    clock_s: Arc<AtomicU64>,
    /// The one that takes entries.
    pub(crate) log: Log,
    /// Those before it.
    pub(crate) ended: Vec<Ended>,
    pub(crate) cameras: Vec<Camera>,
    pub(crate) people: Vec<Person>,
    pub(crate) clients: Vec<Client>,
    pub(crate) parties: Vec<Party>,
    pub(crate) summary: Summary,
}

/// Somebody who looks at a log now and then, and remembers what was shown.
#[derive(Default)]
pub(crate) struct Client {
    /// Of the log that takes entries: the signed checkpoint and its head.
    pub last: Option<(Arc<str>, Checkpoint)>,
}

/// What happened, so that a run in which nothing did does not pass.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Summary {
    /// Entries that were acknowledged.
    pub acknowledged: usize,
    /// Writes of the ledger that broke.
    pub broken: usize,
    /// Rollbacks, and restores to less than was sealed, that were refused.
    pub refused: usize,
    /// Lost logs that were restored and went on.
    pub restored: usize,
    /// Checkpoints that a witness has cosigned.
    pub witnessed: usize,
    /// Checkpoints that a mirror has cosigned.
    pub mirrored: usize,
    /// Operations of the parties' disks that failed.
    pub failed: usize,
    /// Forks that witnesses were asked to cosign.
    pub forks: usize,
    /// Logs that ended by plan.
    pub planned: usize,
    /// Logs that were lost and succeeded.
    pub lost: usize,
    /// Statements that went on in a chain behind what only a log before has.
    pub leapt: usize,
    /// Statements of people that an operator put on the next log.
    pub carried: usize,
    /// Those that people put there themselves.
    pub restated: usize,
}

impl AddAssign for Summary {
    fn add_assign(&mut self, other: Self) {
        self.acknowledged += other.acknowledged;
        self.broken += other.broken;
        self.refused += other.refused;
        self.restored += other.restored;
        self.witnessed += other.witnessed;
        self.mirrored += other.mirrored;
        self.failed += other.failed;
        self.forks += other.forks;
        self.planned += other.planned;
        self.lost += other.lost;
        self.leapt += other.leapt;
        self.carried += other.carried;
        self.restated += other.restated;
    }
}

impl World {
    /// A new log.
    pub fn new() -> Self {
        let root = exhibit_power_loss::scratch();
        let clock_s = Arc::new(AtomicU64::new(1_795_132_800));
        let log = Log::create(root.path(), 0, clock_s.clone());
        let mut parties: Vec<Party> = (0..PARTIES).map(|number| Party::new(root.path(), number)).collect();
        parties.iter_mut().for_each(|party| party.follow(log.verifier()));
        Self {
            root,
            clock_s,
            log,
            ended: Vec::new(),
            cameras: (0..CAMERAS).map(Camera::new).collect(),
            people: (0..PEOPLE).map(|_| Person::default()).collect(),
            clients: (0..CLIENTS).map(|_| Client::default()).collect(),
            parties,
            summary: Summary::default(),
        }
    }

    /// Lets one thing happen.
    pub fn apply(&mut self, operation: Operation) {
        match operation {
            Operation::Record { camera, count } => (0..count).for_each(|_| self.cameras[camera].record()),
            Operation::Upload { camera } => self.upload(&[camera]),
            Operation::UploadAll => self.upload(&(0..CAMERAS).collect::<Vec<_>>()),
            Operation::Resend { camera } => self.resend(camera),
            Operation::Contradict { camera } => self.contradict(camera),
            Operation::BreakWrite { after, is_done } => self.log.disk.break_after(after, is_done),
            Operation::Restart => self.log.restart(),
            Operation::Advance { seconds } => drop(self.clock_s.fetch_add(seconds, Ordering::SeqCst)),
            Operation::Witness { party } => self.ask_witness(party),
            Operation::Mirror { party } => {
                self.ask_witness(party);
                self.feed_mirror(party);
            }
            Operation::Fork { party } => self.fork(party),
            Operation::BreakParty { party, after, is_done } => self.parties[party].disk.break_after(after, is_done),
            Operation::RestartParty { party, after_power_cut } => self.parties[party].restart(after_power_cut),
            Operation::Observe { client } => self.observe(client),
            Operation::State { person } => self.state(person),
            Operation::Restate { person } => self.restate(person),
            Operation::Copy => self.log.copy(),
            Operation::RollBack => self.summary.refused += usize::from(self.log.roll_back()),
            Operation::Backup => self.log.back_up(),
            Operation::Lose => self.lose(),
            Operation::Succeed => self.succeed(),
            Operation::Fsck => self.log.fsck(),
        }
        self.restart_if_broken();
    }

    /// The end of a process whose disk has failed.
    pub(crate) fn restart_if_broken(&mut self) {
        if self.log.disk.is_broken() {
            self.summary.broken += 1;
            self.log.restart();
        }
    }

    fn upload(&mut self, cameras: &[usize]) {
        let sent = cameras.iter().flat_map(|number| self.waiting(*number)).collect();
        self.send(sent, false);
    }

    /// What a camera would send, with its number.
    pub(crate) fn waiting(&self, camera: usize) -> Vec<(Option<usize>, Candidate)> {
        self.cameras[camera].waiting().into_iter().map(|candidate| (Some(camera), candidate)).collect()
    }

    /// All at once, so that candidates share batches. Whether the log may end meanwhile says what a camera may be answered.
    pub(crate) fn send(&mut self, candidates: Vec<(Option<usize>, Candidate)>, may_end: bool) {
        let ledger = self.log.ledger();
        let (sender, outcomes) = channel();
        let sent = candidates.len();
        for (camera, candidate) in candidates {
            let sender = sender.clone();
            ledger.append_then(candidate, Box::new(move |outcome| drop(sender.send((camera, outcome)))));
        }
        let log = self.log.verifier();
        for (camera, outcome) in outcomes.iter().take(sent) {
            match (camera, outcome) {
                (Some(camera), Ok(admission)) => {
                    let receipt = self.receipt(&ledger, &log, &admission);
                    self.cameras[camera].acknowledge(admission, receipt);
                }
                (_, Err(LedgerError::Stopped(_))) => assert!(self.log.disk.is_broken(), "the writer stopped on a disk that works"),
                (_, Err(LedgerError::Refused(Refusal::Ended))) if may_end => {}
                (_, Err(error)) => panic!("a good statement was refused: {error}"),
                (None, Ok(_)) => {}
            }
        }
    }

    /// `None` from a ledger that broke meanwhile.
    fn receipt(&self, ledger: &Ledger, log: &LogVerifier, admission: &Admission) -> Option<String> {
        assert_eq!(log.verify(&admission.checkpoint).expect("its checkpoint verifies"), admission.head);
        assert!(admission.head.size > admission.place.index, "acknowledged without a checkpoint that covers it");
        match ledger.receipt(admission.place.index) {
            Ok(receipt) => {
                let receipt = receipt.expect("an acknowledged entry has a receipt");
                let proof = LogProof::parse(&receipt).expect("a receipt parses");
                proof.verify(&admission.place.leaf, log).expect("a receipt verifies");
                Some(receipt)
            }
            Err(error) => {
                assert!(self.log.disk.is_broken(), "no receipt from a ledger that works: {error}");
                None
            }
        }
    }

    fn resend(&mut self, camera: usize) {
        let ledger = self.log.ledger();
        for first in self.cameras[camera].acknowledged.iter().filter(|acknowledged| acknowledged.log == self.log.number) {
            match ledger.append(first.candidate.clone()) {
                Ok(again) => assert_eq!((again.place, again.new), (first.admission.place, false), "a statement was counted twice"),
                Err(error) => panic!("what is there was refused: {error}"),
            }
        }
    }

    fn contradict(&mut self, camera: usize) {
        if let Some(other) = self.cameras[camera].contradiction() {
            let outcome = self.log.ledger().append(other);
            assert!(matches!(outcome, Err(LedgerError::Refused(Refusal::Contradiction { .. }))), "one place got a second meaning");
        }
    }

    pub(crate) fn ask_witness(&mut self, party: usize) {
        let clock = self.clock();
        let is_given = self.parties[party].ask_witness(&self.log.ledger(), &self.log.verifier(), &clock);
        self.summary.witnessed += usize::from(is_given);
    }

    pub(crate) fn feed_mirror(&mut self, party: usize) {
        let clock = self.clock();
        let is_given = self.parties[party].feed_mirror(&self.log.ledger(), &self.log.verifier(), &clock);
        self.summary.mirrored += usize::from(is_given);
    }

    /// Whoever has the keys and an old copy shows a witness another story, of the size that it knows and beyond. Where the copy has all that the
    /// witness knows, there is nothing to see: a witness takes whichever branch comes first.
    fn fork(&mut self, party: usize) {
        let Some(size) = self.log.copied_size() else { return };
        let known = self.parties[party].newest(&self.log.origin()).map_or(0, |newest| newest.checkpoint.size);
        if known <= size {
            return;
        }
        let candidates = other_story((known - size) as usize + 1);
        self.summary.forks += 1;
        let (clock, log) = (self.clock(), self.log.verifier());
        let fork = self.log.fork(candidates[1..].iter().cloned());
        self.parties[party].ask_witness_for_fork(&fork, &log, &clock);
        drop(fork);
        let fork = self.log.fork(candidates);
        self.parties[party].ask_witness_for_fork(&fork, &log, &clock);
    }

    pub(crate) fn observe(&mut self, client: usize) {
        let ledger = self.log.ledger();
        let Some((note, head)) = ledger.checkpoint() else { return };
        if let Some((_, last)) = self.clients[client].last.replace((note, head.clone())) {
            let path = ledger.consistency(last.size, head.size).expect("it runs").unwrap_or_else(|| panic!("the log is behind a client"));
            verify_consistency(last.size, &last.root, head.size, &head.root, &path).expect("a client has seen a fork");
        }
    }

    /// A new log, that the parties follow.
    pub(crate) fn new_log(&mut self) -> Log {
        let log = Log::create(self.root.path(), self.log.number + 1, self.clock_s.clone());
        self.parties.iter_mut().for_each(|party| party.follow(log.verifier()));
        log
    }

    fn clock(&self) -> impl Fn() -> u64 + use<> {
        let clock_s = self.clock_s.clone();
        move || clock_s.load(Ordering::SeqCst)
    }
}

impl Default for World {
    fn default() -> Self {
        Self::new()
    }
}

/// Enough for entries of several to share batches.
pub const CAMERAS: usize = 4;
/// Custodians and authorities.
pub const PEOPLE: usize = 2;
/// Who look now and then.
pub const CLIENTS: usize = 3;
/// Witnesses with mirrors.
pub const PARTIES: usize = 2;

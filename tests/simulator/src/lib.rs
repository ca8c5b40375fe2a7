//! Cameras that spool, people who state, a ledger whose disk fails, starts, rollbacks, backups, successors, witnesses with mirrors whose disks fail, forgers and
//! clients, in one process and in virtual time: a seed gives a list of operations, and the list gives the same run again.
//!
//! It does not know statements or sockets: the programs themselves are run by tests/e2e. Threads are the ledger's own, and every operation waits
//! for its outcome.

mod camera;
mod disk;
mod log;
mod lossy_disk;
mod oracle;
mod party;
mod person;
mod succession;
mod world;

use std::panic::{AssertUnwindSafe, catch_unwind};

use exhibit_power_loss::Random;

pub use world::{Summary, World};

/// One thing that happens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Operation {
    /// A camera makes its next statements, and spools them.
    Record {
        /// Which.
        camera: usize,
        /// How many.
        count: usize,
    },
    /// A camera sends what it has spooled, oldest first.
    Upload {
        /// Which.
        camera: usize,
    },
    /// All cameras send at once, so that their entries share batches.
    UploadAll,
    /// A camera sends again what was acknowledged.
    Resend {
        /// Which.
        camera: usize,
    },
    /// A stolen key signs another statement for a place that is taken.
    Contradict {
        /// Which camera's.
        camera: usize,
    },
    /// One of the next writes fails.
    BreakWrite {
        /// After so many that do not.
        after: usize,
        /// It is done nevertheless.
        is_done: bool,
    },
    /// The ledger ends and starts again, on a disk that works.
    Restart,
    /// Time goes on.
    Advance {
        /// So many seconds.
        seconds: u64,
    },
    /// A witness is asked to cosign the newest checkpoint.
    Witness {
        /// Which party's.
        party: usize,
    },
    /// A witness is asked to cosign the newest checkpoint, and its mirror is brought to it.
    Mirror {
        /// Which party's.
        party: usize,
    },
    /// A witness is asked to cosign what somebody with the log's keys has made of an old copy.
    Fork {
        /// Which party's.
        party: usize,
    },
    /// One of the next operations of a party's disk fails.
    BreakParty {
        /// Whose.
        party: usize,
        /// After so many that do not.
        after: usize,
        /// It is done nevertheless.
        is_done: bool,
    },
    /// A party's process ends and starts again.
    RestartParty {
        /// Which.
        party: usize,
        /// What it had not synced is gone.
        after_power_cut: bool,
    },
    /// A client takes the newest checkpoint and proves it consistent with its last.
    Observe {
        /// Which.
        client: usize,
    },
    /// A person states something.
    State {
        /// Who.
        person: usize,
    },
    /// A person sends again all that they have ever stated, to the log that takes entries.
    Restate {
        /// Who.
        person: usize,
    },
    /// The folder is copied while the ledger is closed.
    Copy,
    /// The copy is put in the folder's place.
    RollBack,
    /// The ledger is backed up while it runs.
    Backup,
    /// The folder is lost. It is restored from the last backup and the mirrors if they have all that anybody was told of; else another log
    /// succeeds it.
    Lose,
    /// The log ends by plan, and another succeeds it.
    Succeed,
    /// Everything is re-hashed.
    Fsck,
}

/// What a seed makes happen.
#[must_use]
pub fn plan(seed: u64, operations: usize) -> Vec<Operation> {
    let mut random = Random::new(seed);
    // The first numbers of neighbouring seeds are alike.
    for _ in 0..8 {
        random.below(2);
    }
    // Of chances of their own: what seeds made happen before there were people stays.
    let mut people = Random::new(seed ^ PEOPLES_CHANCES);
    (0..operations).flat_map(|_| [Some(operation(&mut random)), what_people_do(&mut people)]).flatten().collect()
}

const PEOPLES_CHANCES: u64 = 0x7065_6f70_6c65;

fn what_people_do(random: &mut Random) -> Option<Operation> {
    let person = random.below(world::PEOPLE as u64) as usize;
    match random.below(24) {
        0..3 => Some(Operation::State { person }),
        3 => Some(Operation::Restate { person }),
        _ => None,
    }
}

fn operation(random: &mut Random) -> Operation {
    let camera = random.below(world::CAMERAS as u64) as usize;
    let party = random.below(world::PARTIES as u64) as usize;
    match random.below(128) {
        0..22 => Operation::Record { camera, count: 1 + random.below(12) as usize },
        22..40 => Operation::Upload { camera },
        40..50 => Operation::UploadAll,
        50..55 => Operation::Resend { camera },
        55..58 => Operation::Contradict { camera },
        58..66 => Operation::BreakWrite { after: random.below(6) as usize, is_done: random.below(2) == 0 },
        66..72 => Operation::Restart,
        72..77 => Operation::Advance { seconds: 1 + random.below(90) },
        77..85 => Operation::Witness { party },
        85..93 => Operation::Mirror { party },
        93..97 => Operation::Fork { party },
        97..102 => Operation::BreakParty { party, after: random.below(10) as usize, is_done: random.below(2) == 0 },
        102..106 => Operation::RestartParty { party, after_power_cut: random.below(2) == 0 },
        106..113 => Operation::Observe { client: random.below(world::CLIENTS as u64) as usize },
        113..117 => Operation::Copy,
        117..120 => Operation::RollBack,
        120..122 => Operation::Backup,
        122..124 => Operation::Lose,
        124..125 => Operation::Succeed,
        _ => Operation::Fsck,
    }
}

/// Does all operations and judges what came of them. On a failure: the shortest list found that fails too, and how.
pub fn run(operations: &[Operation]) -> Result<Summary, (Vec<Operation>, String)> {
    let failure = match attempt(operations) {
        Ok(summary) => return Ok(summary),
        Err(failure) => failure,
    };
    let (mut shortest, mut told) = (operations.to_vec(), failure);
    let mut position = shortest.len();
    // Without each operation in turn, the last first.
    while position > 0 {
        position -= 1;
        let mut shorter = shortest.clone();
        shorter.remove(position);
        if let Err(failure) = attempt(&shorter) {
            (shortest, told) = (shorter, failure);
        }
    }
    Err((shortest, told))
}

fn attempt(operations: &[Operation]) -> Result<Summary, String> {
    let outcome = catch_unwind(AssertUnwindSafe(|| {
        let mut world = World::new();
        operations.iter().for_each(|operation| world.apply(*operation));
        world.judge()
    }));
    outcome.map_err(|panic| {
        let text = panic.downcast_ref::<String>().cloned().or_else(|| panic.downcast_ref::<&str>().map(|text| (*text).to_owned()));
        text.unwrap_or_else(|| "a panic without a message".to_owned())
    })
}

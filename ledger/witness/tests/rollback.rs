//! A witness never goes back and never cosigns two trees of one size: killed at any moment, asked by two at once, on a disk that fails.
#![allow(clippy::unwrap_used)]

mod common;

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use common::disk::FailingDisk;
use common::{Log, NAME, ORIGIN, Serving, init, state_in};
use exhibit_tlog::witness::parse_conflict;
use exhibit_tlog::{Checkpoint, Ed25519Cosigner, Hash, MlDsa44NoteSigner, NoteSigner};
use exhibit_witness::disk::{Disk, LocalDisk};
use exhibit_witness::store::{Store, StoreError};
use exhibit_witness::witness::{AddError, Witness, WitnessError, origin_hash};
use zeroize::Zeroizing;

/// How often `make test` kills; `SOAK_KILLS` says another number.
const KILLS: u64 = 30;

/// What was cosigned, and given away: size to root.
type Given = Arc<Mutex<BTreeMap<u64, Hash>>>;

fn give(given: &Given, head: &Checkpoint) {
    let mut given = given.lock().unwrap();
    let before = given.insert(head.size, head.root);
    assert!(before.is_none_or(|root| root == head.root), "two trees of {} entries were cosigned", head.size);
}

#[test]
fn what_was_cosigned_before_a_kill_binds_after_it() {
    let kills = std::env::var("SOAK_KILLS").ok().and_then(|kills| kills.parse().ok()).unwrap_or(KILLS);
    let folder = tempfile::tempdir().unwrap();
    let state = state_in(&folder);
    // Two logs with the same keys that part at 3: whichever is cosigned first beyond, the other must never be.
    let size = kills as usize * 20 + 40;
    let branches = ["a", "b"].map(|branch| Arc::new(Log::new(ORIGIN, branch, 3, size)));
    init(&state, &[&branches[0]]);
    let given = Given::default();
    let mut random = 0x2545_f491_4f6c_dd1d_u64;
    for round in 0..kills {
        if round > 0 && round % 100 == 0 {
            eprintln!("{round} of {kills} kills");
        }
        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        let mut witness = Serving::start(&state);
        let last = given.lock().unwrap().last_key_value().map(|(size, _)| *size);
        let seen = witness.status()["logs"][0]["size"].as_u64();
        assert!(seen >= last, "round {round}: {last:?} was given away, and {seen:?} is what it remembers");
        let answers = Arc::new(AtomicU64::new(0));
        let asking: Vec<_> = branches
            .iter()
            .map(|log| {
                let (log, given, answers, address) = (log.clone(), given.clone(), answers.clone(), witness.address);
                std::thread::spawn(move || climb(&log, address, &given, &answers))
            })
            .collect();
        // Killed after so many answers, in the middle of the next ones.
        let wanted = 1 + random % 12;
        while answers.load(Ordering::Relaxed) < wanted && asking.iter().any(|thread| !thread.is_finished()) {
            std::thread::yield_now();
        }
        witness.child.kill().unwrap();
        asking.into_iter().for_each(|thread| thread.join().unwrap());
        assert!(answers.load(Ordering::Relaxed) > 0, "round {round}: nothing was cosigned");
    }
    let given = given.lock().unwrap();
    let (last, root) = given.last_key_value().unwrap();
    let (branch, other) = if branches[0].head(*last).root == *root { (0, 1) } else { (1, 0) };
    assert!(given.iter().all(|(size, root)| branches[branch].head(*size).root == *root), "both branches were cosigned");
    assert!(*last > 3 && branches[other].head(*last).root != *root);
}

/// Asks for ever larger trees until the witness is killed or the branch is refused for good.
fn climb(log: &Log, address: std::net::SocketAddr, given: &Given, answers: &AtomicU64) {
    let mut old = 0;
    loop {
        let request = log.request(old, old + 1);
        let body = request.to_text();
        let head = format!("POST /add-checkpoint HTTP/1.1\r\nHost: w\r\nContent-Length: {}\r\nConnection: close\r\n\r\n", body.len());
        let Ok(answer) = common::ask(address, format!("{head}{body}").as_bytes()) else { return };
        match answer.status {
            200 => {
                give(given, &log.head(old + 1));
                answers.fetch_add(1, Ordering::Relaxed);
                old += 1;
            }
            409 => old = parse_conflict(&answer.body).unwrap(),
            422 => return,
            status => panic!("{status}: {}", answer.body),
        }
    }
}

#[test]
fn of_requests_at_once_one_after_the_other_counts() {
    let folder = tempfile::tempdir().unwrap();
    let state = state_in(&folder);
    let branches = ["a", "b"].map(|branch| Log::new(ORIGIN, branch, 3, 40));
    init(&state, &[&branches[0]]);
    let witness = Serving::start(&state);
    assert_eq!(witness.add(&branches[0].request(0, 3)).status, 200);
    let given = Given::default();
    // Sixteen at once, all from 3 to different sizes of two trees: exactly one can be right.
    let good: u64 = std::thread::scope(|scope| {
        let asking: Vec<_> = (0..16)
            .map(|number| {
                let (witness, given, log) = (&witness, &given, &branches[number % 2]);
                scope.spawn(move || {
                    let size = 4 + number as u64;
                    let answer = witness.add(&log.request(3, size));
                    assert!([200, 409, 422].contains(&answer.status), "{}", answer.body);
                    if answer.status == 200 {
                        give(given, &log.head(size));
                    }
                    u64::from(answer.status == 200)
                })
            })
            .collect();
        asking.into_iter().map(|thread| thread.join().unwrap()).sum()
    });
    assert_eq!(good, 1, "two requests were judged against the same checkpoint");
}

fn signers() -> Vec<Arc<dyn NoteSigner>> {
    let seed = Zeroizing::new([9; 32]);
    vec![Arc::new(Ed25519Cosigner::new(NAME, &seed).unwrap()), Arc::new(MlDsa44NoteSigner::new(NAME, &seed).unwrap())]
}

fn open(folder: &Path, log: &Log, disk: Arc<dyn Disk>) -> Result<Witness, WitnessError> {
    Witness::open(signers(), vec![log.verifier()], Store::open(folder, disk)?)
}

const NOW: fn() -> u64 = || 1_795_176_002;

#[test]
fn every_write_fails_once_and_nothing_is_given_away_that_is_not_kept() {
    let log = Log::new(ORIGIN, "a", 0, 20);
    let fork = Log::new(ORIGIN, "b", 2, 20);
    let mut failures = 0;
    for (fails_at, persists) in (0..30).flat_map(|call| [(call, false), (call, true)]) {
        let folder = tempfile::tempdir().unwrap();
        let given = Given::default();
        let disk = Arc::new(FailingDisk::new(fails_at, persists));
        if let Ok(witness) = open(&folder.path().join("w"), &log, disk) {
            for (old, size) in [(0, 3), (3, 7), (7, 8)] {
                match witness.add_checkpoint(&log.request(old, size).to_text(), &NOW) {
                    Ok(_) => give(&given, &log.head(size)),
                    // As it was: the next one is judged against the one before, as a test of that is asked for again.
                    Err(AddError::Store(StoreError::Write { .. })) => {
                        failures += 1;
                        witness.add_checkpoint(&log.request(old, size).to_text(), &NOW).unwrap();
                        give(&given, &log.head(size));
                    }
                    // The process ends here.
                    Err(AddError::Store(StoreError::Sync { .. })) => {
                        failures += 1;
                        break;
                    }
                    other => panic!("call {fails_at}: {other:?}"),
                }
            }
        }
        let witness = open(&folder.path().join("w"), &log, Arc::new(LocalDisk)).unwrap();
        let size = witness.latest(&origin_hash(ORIGIN)).map_or(0, |latest| latest.checkpoint.size);
        let last = given.lock().unwrap().last_key_value().map_or(0, |(size, _)| *size);
        assert!(size >= last, "call {fails_at}, {persists}: {last} was given away and {size} kept");
        if size > 2 {
            let forked = witness.add_checkpoint(&fork.request(size, size + 1).to_text(), &NOW);
            assert!(matches!(forked, Err(AddError::Refused(_))), "call {fails_at}: a fork was cosigned");
        }
        witness.add_checkpoint(&log.request(size, size + 1).to_text(), &NOW).unwrap();
    }
    assert!(failures >= 24, "only {failures} writes failed: what was to be tested was not");
}

#[test]
fn a_file_that_is_lost_or_foreign_ends_the_start() {
    let log = Log::new(ORIGIN, "a", 0, 20);
    let folder = tempfile::tempdir().unwrap();
    let state = folder.path().join("w");
    let kept = state.join(origin_hash(ORIGIN));
    let local = || Arc::new(LocalDisk);
    open(&state, &log, local()).unwrap().add_checkpoint(&log.request(0, 9).to_text(), &NOW).unwrap();
    let note = std::fs::read_to_string(&kept).unwrap();

    std::fs::remove_file(&kept).unwrap();
    let lost = open(&state, &log, local());
    assert!(matches!(lost, Err(WitnessError::Store(StoreError::Lost(_)))), "a log whose checkpoint is lost is begun anew");
    // Put in by somebody without the witness's keys: a smaller tree, and one that only the log has signed.
    for foreign in [note.replacen("\n9\n", "\n8\n", 1), log.checkpoint(5), String::new()] {
        std::fs::write(&kept, foreign).unwrap();
        assert!(matches!(open(&state, &log, local()), Err(WitnessError::Foreign { .. })));
    }
    std::fs::write(&kept, &note).unwrap();
    let witness = open(&state, &log, local()).unwrap();
    assert_eq!(witness.latest(&origin_hash(ORIGIN)).unwrap().note, note);
    // Of another log of the same witness, by its name.
    let second = Log::new("exhibit.example/log/2", "a", 0, 3);
    drop(witness);
    std::fs::copy(&kept, state.join(origin_hash(&second.origin))).unwrap();
    assert!(matches!(open(&state, &second, local()), Err(WitnessError::Foreign { .. })));
}

#[test]
fn a_clock_that_goes_back_cosigns_nothing() {
    let log = Log::new(ORIGIN, "a", 0, 20);
    let folder = tempfile::tempdir().unwrap();
    let witness = open(&folder.path().join("w"), &log, Arc::new(LocalDisk)).unwrap();
    let at = |old, size, unix_s: u64| witness.add_checkpoint(&log.request(old, size).to_text(), &move || unix_s);
    at(0, 3, 1_795_176_002).unwrap();
    assert!(matches!(at(3, 5, 1_795_176_001), Err(AddError::ClockBehind)), "a larger tree was cosigned for an earlier time");
    at(3, 5, 1_795_176_002).unwrap();
    assert!(matches!(at(5, 6, 0), Err(AddError::ClockBehind)));
}

#[test]
fn a_log_is_not_its_own_witness() {
    let log = Log::new(ORIGIN, "a", 0, 20);
    let folder = tempfile::tempdir().unwrap();
    let seed = Zeroizing::new([7; 32]);
    let own: Vec<Arc<dyn NoteSigner>> = vec![Arc::new(Ed25519Cosigner::new(NAME, &seed).unwrap())];
    let store = Store::open(&folder.path().join("w"), Arc::new(LocalDisk)).unwrap();
    assert!(matches!(Witness::open(own, vec![log.verifier()], store), Err(WitnessError::OwnLog(_))));
}

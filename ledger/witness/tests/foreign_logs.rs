//! Logs that are not ours: checkpoints with extension lines, keys that change; and what convicts a log stays, whatever becomes of keys and disks.
#![allow(clippy::unwrap_used)]

mod common;

use std::sync::Arc;

use common::copies::{NOW, signers};
use common::disk::FailingDisk;
use common::{Log, NAME, ORIGIN, Serving, init, state_in};
use exhibit_tlog::{AddCheckpoint, Ed25519NoteSigner, MlDsa44NoteSigner, Note, NoteSigner};
use exhibit_witness::store::{Store, StoreError};
use exhibit_witness::witness::{AddError, Witness, origin_hash};
use zeroize::Zeroizing;

/// As [`Log`] has them.
fn log_signers(seed: u8) -> [Box<dyn NoteSigner>; 2] {
    let seed = Zeroizing::new([seed; 32]);
    [Box::new(Ed25519NoteSigner::new(ORIGIN, &seed).unwrap()), Box::new(MlDsa44NoteSigner::new(ORIGIN, &seed).unwrap())]
}

fn signed(text: &str, signers: &[&dyn NoteSigner]) -> String {
    Note::sign(text, signers, 1_795_000_000).unwrap()
}

#[test]
fn extension_lines_are_cosigned_with_the_rest() {
    let folder = tempfile::tempdir().unwrap();
    let state = state_in(&folder);
    let log = Log::new(ORIGIN, "a", 0, 20);
    let keys = init(&state, &[&log]);
    let [ed25519, ml_dsa] = log_signers(7);
    let text = format!("{}one more\nand another\n", log.head(7).to_text());
    let note = signed(&text, &[&*ed25519, &*ml_dsa]);
    assert!(log.verifier().verify(&note).is_err(), "a log of ours is followed by its own verifier only without them");
    let witness = Serving::start(&state);
    let answer = witness.add(&AddCheckpoint { checkpoint: note.clone(), ..log.request(0, 7) });
    assert_eq!(answer.status, 200, "{}", answer.body);
    // Both cosignatures hold on the text as it is; that of Ed25519 on no other.
    let cosigned = Note::parse(&witness.get(&format!("/{}/checkpoint", origin_hash(ORIGIN))).body).unwrap();
    assert_eq!(cosigned.text(), text);
    cosigned.verify(&keys).unwrap();
    cosigned.verify(&log.keys()).unwrap();
    let without = Note::parse(&format!("{}\n{}", log.head(7).to_text(), answer.body)).unwrap();
    assert!(without.verify(&keys[..1]).is_err() && without.verify(&keys[1..]).is_ok());
    // Without them, after a start, it goes on.
    drop(witness);
    let witness = Serving::start(&state);
    assert_eq!(witness.status()["logs"][0]["size"], 7);
    assert_eq!(witness.add(&log.request(7, 20)).status, 200);
    let empty = signed(&format!("{}\nx\n", log.head(20).to_text()), &[&*ed25519]);
    assert_eq!(witness.add(&AddCheckpoint { checkpoint: empty, ..log.request(20, 20) }).status, 400, "an empty extension line");
}

#[test]
fn a_log_that_changes_its_keys_may_be_followed_by_any_of_them() {
    let folder = tempfile::tempdir().unwrap();
    let state = state_in(&folder);
    let log = Log::new(ORIGIN, "a", 0, 20);
    let (old, new, stranger) = (log_signers(7), log_signers(8), log_signers(9));
    init(&state, &[]);
    let path = state.join("witness.toml");
    let config = std::fs::read_to_string(&path).unwrap();
    let keys = [&old[0], &new[0]].map(|signer| format!("{:?}", signer.verifier_key().to_string())).join(", ");
    let entry = format!("\n[[log]]\norigin = {ORIGIN:?}\nkeys = [{keys}]\n");
    let add = |any_key: &str, old_size, size, note: String| {
        std::fs::write(&path, format!("{config}{entry}{any_key}")).unwrap();
        Serving::start(&state).add(&AddCheckpoint { checkpoint: note, ..log.request(old_size, size) }).status
    };
    let by = |size: u64, signers: &[&dyn NoteSigner]| signed(&log.head(size).to_text(), signers);
    assert_eq!(add("", 0, 5, by(5, &[&*new[0]])), 403, "all keys were asked for");
    assert_eq!(add("any_key = true\n", 0, 5, by(5, &[&*new[0]])), 200);
    assert_eq!(add("any_key = true\n", 5, 6, by(6, &[&*old[0]])), 200);
    assert_eq!(add("any_key = true\n", 6, 7, by(7, &[&*stranger[0]])), 403, "signed by nobody who is known");
    // A wrong line of a known key spoils the note, also where the other one's is right.
    let line_of = |size| by(size, &[&*old[0]]).lines().last().unwrap().to_owned();
    let forged = by(7, &[&*new[0], &*old[0]]).replace(&line_of(7), &line_of(8));
    assert_eq!(add("any_key = true\n", 6, 7, forged), 403);
    assert_eq!(add("", 6, 7, by(7, &[&*new[0], &*old[0]])), 200);
}

/// The two notes are evidence for ever, under the keys that the log had.
#[test]
fn what_convicts_a_log_stays_when_its_keys_are_changed() {
    let folder = tempfile::tempdir().unwrap();
    let state = state_in(&folder);
    let (log, fork) = (Log::new(ORIGIN, "a", 3, 20), Log::new(ORIGIN, "b", 3, 20));
    init(&state, &[&log]);
    let witness = Serving::start(&state);
    assert_eq!(witness.add(&log.request(0, 9)).status, 200);
    assert_eq!(witness.add(&fork.request(9, 9)).status, 422);
    let shown = witness.get(&format!("/{}/fork", origin_hash(ORIGIN)));
    assert_eq!(shown.status, 200);
    drop(witness);
    let path = state.join("witness.toml");
    let mut config = std::fs::read_to_string(&path).unwrap();
    for (old, new) in log_signers(7).iter().zip(&log_signers(8)) {
        config = config.replace(&old.verifier_key().to_string(), &new.verifier_key().to_string());
    }
    std::fs::write(&path, config).unwrap();
    let witness = Serving::start(&state);
    assert_eq!(witness.get(&format!("/{}/fork", origin_hash(ORIGIN))).body, shown.body);
    // A file that is damaged is no reason to stop either.
    drop(witness);
    std::fs::write(state.join(format!("checkpoints/{}.fork", origin_hash(ORIGIN))), "damaged").unwrap();
    assert_eq!(Serving::start(&state).get(&format!("/{}/fork", origin_hash(ORIGIN))).status, 404);
}

/// The log is told what tlog-witness says, and the fork is shown as long as the process runs.
#[test]
fn a_fork_that_can_not_be_kept_is_refused_and_shown_all_the_same() {
    let (log, fork) = (Log::new(ORIGIN, "a", 3, 20), Log::new(ORIGIN, "b", 3, 20));
    let (mut writes, mut syncs) = (0, 0);
    for call in 0..20 {
        let folder = tempfile::tempdir().unwrap();
        let disk = Arc::new(FailingDisk::new(call, false));
        let Ok(store) = Store::open(&folder.path().join("w"), disk.clone()) else { continue };
        let witness = Witness::open(signers(NAME, 9), vec![log.verifier()], store).unwrap();
        if witness.add_checkpoint(&log.request(0, 9).to_text(), &NOW).is_err() {
            continue;
        }
        match witness.add_checkpoint(&fork.request(9, 9).to_text(), &NOW) {
            Err(AddError::Refused(refusal)) => {
                assert_eq!(refusal.status(), 422);
                assert_eq!(witness.fork(&origin_hash(ORIGIN)).map(|fork| fork.checkpoint.clone()), Some(fork.head(9)));
                writes += u32::from(disk.has_failed());
            }
            Err(AddError::Store(StoreError::Sync { .. })) => syncs += 1,
            other => panic!("call {call}: {other:?}"),
        }
    }
    assert!(writes == 1 && syncs == 3, "{writes} writes and {syncs} syncs failed: what was to be tested was not");
}

//! An operator's work on real state: what fsck finds, what a backup holds, what repair and restore bring back, and what they refuse.
#![allow(clippy::unwrap_used)]

mod bench;
mod check;
#[path = "../common/mod.rs"]
mod common;
mod crash;
mod newest;
mod objects;

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use bench::{Bench, found};
use exhibit_appliance::config::Config;
use exhibit_appliance::maintain::backup::{BackupError, back_up};
use exhibit_appliance::maintain::control::ask_for_backup;
use exhibit_appliance::maintain::reseal::accept_present_head;
use exhibit_appliance::maintain::restore::RestoreError;
use exhibit_appliance::setup::{Folder, SetupError};
use exhibit_appliance::tpm_seal::TpmSealConfig;
use exhibit_evidence::SignedStatement;
use exhibit_ledger::{Candidate, LedgerError};
use exhibit_tlog::Hash;

#[tokio::test(flavor = "multi_thread")]
async fn a_running_appliance_is_checked_and_backed_up_and_the_backup_is_whole() {
    let bench = Bench::new().await;
    assert_eq!(found(&bench.path("state")), []);
    let (backup, folder) = (bench.path("backup"), bench.folder());
    assert_eq!(found(&backup), [], "a backup is a state without keys");
    for secret in ["appliance.key", "note-ed25519.key", "note-ml-dsa-44.key"] {
        assert!(!backup.join(secret).exists(), "{secret} is in the backup");
    }
    let again = tokio::task::spawn_blocking(move || ask_for_backup(&folder, &backup)).await.unwrap().unwrap().unwrap();
    assert!(matches!(again.unwrap_err(), BackupError::Exists(_)), "a backup was written over");
    let stopped = bench.stop().await;
    let folder = Folder::new(&stopped.path("state"));
    assert!(ask_for_backup(&folder, &stopped.path("later")).unwrap().is_none(), "nobody answers for an appliance that was stopped");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lost_appliance_is_restored_to_the_newest_head_that_is_known_and_never_behind_it() {
    let stopped = Bench::new().await.stop().await;
    let (size, rows) = (stopped.size(), stopped.rows());
    for lost in ["state/ledger", "state/vault"] {
        fs::remove_dir_all(stopped.path(lost)).unwrap();
    }
    let behind = stopped.restore(&["backup"]).unwrap_err();
    assert!(matches!(behind, RestoreError::Behind { known, newest } if known == size && newest < size), "{behind}");
    fs::remove_file(stopped.path("state/head.seal")).unwrap();
    let unbounded = stopped.restore(&["backup"]).unwrap_err();
    assert!(matches!(unbounded, RestoreError::Unbounded(_)), "{unbounded}");
    assert!(!stopped.path("state/ledger").exists(), "a refused restore left a ledger that could be served");

    let done = stopped.restore(&["backup", "mirror"]).unwrap();
    assert_eq!((done.size, done.set_aside), (size, None));
    let left: Vec<&str> = done.left.iter().map(|damage| damage.name.as_str()).collect();
    assert_eq!(left, [stopped.payloads[2].to_string()], "what was taken after the backup is named, and only that");
    assert_eq!(stopped.rows(), rows);
    let folder = Folder::new(&stopped.path("state"));
    let seals = folder.head_seals(&folder.config().unwrap(), &folder.anchor().unwrap().verifier);
    assert_eq!(seals[0].read().unwrap().unwrap().size, size);
}

/// What a witness, an auditor or a camera holds bounds a restore as a seal does.
#[tokio::test(flavor = "multi_thread")]
async fn a_checkpoint_that_somebody_else_holds_bounds_a_restore() {
    let stopped = Bench::new().await.stop().await;
    let size = stopped.size();
    for lost in ["state/ledger", "state/vault", "backup/head.seal"] {
        let _ = fs::remove_dir_all(stopped.path(lost));
    }
    fs::remove_file(stopped.path("state/head.seal")).unwrap();
    let newest = fs::read_to_string(stopped.path("mirror/checkpoint")).unwrap();
    let behind = stopped.restore_knowing(&["backup"], std::slice::from_ref(&newest)).unwrap_err();
    assert!(matches!(behind, RestoreError::Behind { known, newest } if known == size && newest < size), "{behind}");
    let RestoreError::Behind { newest: in_backup, .. } = behind else { unreachable!() };
    let older = stopped.restore_knowing(&["backup"], &[stopped.sign(in_backup - 1, Hash([7; 32]))]).unwrap_err();
    assert!(matches!(older, RestoreError::Unbounded(_)), "an old checkpoint made an old backup the newest: {older}");
    let altered = newest.replacen(&size.to_string(), &(size - 1).to_string(), 1);
    assert!(matches!(stopped.restore_knowing(&["backup"], &[altered]), Err(RestoreError::Known(_))), "an altered checkpoint counted");
    let forked = stopped.sign(size - 2, Hash([7; 32]));
    let other = stopped.restore_knowing(&["backup", "mirror"], &[newest.clone(), forked]).unwrap_err();
    assert!(matches!(other, RestoreError::OtherTree(forked) if forked == size - 2), "{other}");
    for refused in ["state/ledger", "state/head.seal"] {
        assert!(!stopped.path(refused).exists(), "a refused restore left something that could be served: {refused}");
    }
    assert_eq!(stopped.restore_knowing(&["backup", "mirror"], &[newest]).unwrap().size, size);
}

/// The program that speaks to the TPM, with a file for one: pki/tpm tests the real one.
fn tpm_seal(folder: &Path) -> TpmSealConfig {
    let program = folder.join("tpm-seal");
    fs::write(&program, "#!/bin/sh\ncase $1 in read) [ -f \"$3\" ] || exit 1; cat \"$3\";; write) printf %s \"$6\" > \"$3\";; esac\n")
        .unwrap();
    fs::set_permissions(&program, fs::Permissions::from_mode(0o700)).unwrap();
    TpmSealConfig { tcti: folder.join("tpm").display().to_string(), index: 0x0150_0e00, program }
}

/// A snapshot of the whole machine, its sealed file included, is put back: the TPM is no part of it.
#[tokio::test(flavor = "multi_thread")]
async fn a_tpm_tells_a_state_that_was_put_back_as_a_whole() {
    let stopped = Bench::new().await.stop().await;
    let (state, size) = (stopped.path("state"), stopped.size());
    let (folder, config) = (Folder::new(&state), Folder::new(&state).config().unwrap());
    let origin = folder.anchor().unwrap().verifier.origin;
    let with_tpm = Config { tpm_seal: Some(tpm_seal(stopped.folder.path())), ..config };
    let unsealed = folder.ledger(&origin, &with_tpm).err().expect("nothing is in the TPM yet");
    assert!(unsealed.to_string().contains("nothing is sealed"), "{unsealed}");
    let (note, head) = folder.ledger(&origin, &Config { tpm_seal: None, ..with_tpm.clone() }).unwrap().checkpoint().unwrap();
    folder.head_seals(&with_tpm, &folder.anchor().unwrap().verifier).iter().for_each(|seal| seal.write(&head, &note).unwrap());
    copy(&state, &stopped.path("snapshot"));
    let entry = b"an entry that is opaque to the ledger".to_vec();
    let candidate = Candidate {
        stream: "a".into(),
        seq: 0,
        prev: Hash::default(),
        identity: Hash([1; 32]),
        entry,
        annotations: vec![],
        is_last: false,
        may_leap: false,
    };
    folder.ledger(&origin, &with_tpm).unwrap().append(candidate).unwrap();
    assert_eq!(folder.ledger(&origin, &with_tpm).unwrap().size(), size + 1, "the newest state starts");
    fs::remove_dir_all(&state).unwrap();
    fs::rename(stopped.path("snapshot"), &state).unwrap();
    let refused = folder.ledger(&origin, &with_tpm).err().expect("a snapshot that was put back went unnoticed");
    assert!(refused.to_string().contains(&format!("{} entries were sealed", size + 1)), "{refused}");
    drop(folder.ledger(&origin, &Config { tpm_seal: None, ..with_tpm }).expect("the sealed file alone does not tell"));
}

pub(crate) fn copy(from: &Path, to: &Path) {
    fs::create_dir(to).unwrap();
    for file in fs::read_dir(from).unwrap().map(Result::unwrap) {
        let target = to.join(file.file_name());
        if file.path().is_dir() {
            copy(&file.path(), &target);
        } else {
            fs::copy(file.path(), target).unwrap();
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_erased_since_the_backup_does_not_come_back_and_is_not_called_lost() {
    let bench = Bench::new().await;
    let appliance = &bench.world.running.appliance;
    let entries = (0..appliance.ledger.size()).map(|index| appliance.ledger.entry(index).unwrap().unwrap());
    let statements = entries.map(|entry| SignedStatement::parse(&entry).unwrap());
    let (entry, wraps) = statements
        .filter_map(|signed| {
            let erasable = signed.statement().body.attachments().iter().find(|attachment| attachment.erasable).cloned();
            erasable.map(|attachment| (signed.leaf_hash(), attachment))
        })
        .next()
        .expect("the epoch's wraps are erasable");
    let path = bench.path("state/vault/attachments").join(&wraps.sha256.to_string()[..2]).join(wraps.sha256.to_string());
    fs::remove_file(&path).unwrap();
    assert_eq!(found(&bench.path("state")), [("attachment".to_owned(), wraps.sha256.to_string())], "missing without an erasure is lost");
    bench.erase(entry, &wraps.name, wraps.sha256);
    assert_eq!(found(&bench.path("state")), []);
    bench.mirror();
    let stopped = bench.stop().await;
    let done = stopped.restore(&["backup", "mirror"]).unwrap();
    assert_eq!((done.left, done.objects), (vec![], 0));
    assert!(!path.exists(), "a backup brought back what was erased");
    // As a crash leaves it between the statement and the removal, or an operator who copies a vault.
    fs::copy(stopped.path("backup").join(path.strip_prefix(stopped.path("state")).unwrap()), &path).unwrap();
    stopped.restore(&["backup", "mirror"]).unwrap();
    assert!(!path.exists(), "what was erased is still there");
}

/// It is for a seal that was lost, and no way around one that refuses.
#[tokio::test(flavor = "multi_thread")]
async fn a_seal_that_proves_a_rollback_is_not_written_over() {
    let stopped = Bench::new().await.stop().await;
    let (folder, size) = (Folder::new(&stopped.path("state")), stopped.size());
    let seal = stopped.path("state/head.seal");
    let good = fs::read_to_string(&seal).unwrap();
    for (defect, sealed) in [("ahead", stopped.sign(size + 3, Hash([7; 32]))), ("another tree", stopped.sign(size - 1, Hash([7; 32])))] {
        fs::write(&seal, &sealed).unwrap();
        let refused = accept_present_head(&folder.lock().unwrap()).unwrap_err();
        assert!(matches!(&refused, SetupError::Ledger(LedgerError::Behind(_))), "{defect}: {refused}");
        assert_eq!(fs::read_to_string(&seal).unwrap(), sealed, "the proof of a rollback is gone: {defect}");
    }
    fs::write(&seal, "no checkpoint").unwrap();
    assert!(matches!(accept_present_head(&folder.lock().unwrap()), Err(SetupError::Ledger(LedgerError::Seal(_)))));
    fs::remove_file(&seal).unwrap();
    accept_present_head(&folder.lock().unwrap()).unwrap();
    let seals = folder.head_seals(&folder.config().unwrap(), &folder.anchor().unwrap().verifier);
    assert_eq!(seals[0].read().unwrap().unwrap().size, size);
    fs::write(&seal, good).unwrap();
    accept_present_head(&folder.lock().unwrap()).unwrap();
}

/// What the configuration names is needed to go on as much as the configuration.
#[tokio::test(flavor = "multi_thread")]
async fn a_backup_has_the_configuration_and_the_files_that_it_names() {
    let stopped = Bench::new().await.stop().await;
    let state = Folder::new(&stopped.path("state"));
    let text = fs::read_to_string(stopped.path("state/appliance.toml")).unwrap() + "witness_policy = \"witness.policy\"\n";
    fs::write(stopped.path("state/appliance.toml"), &text).unwrap();
    fs::write(stopped.path("state/witness.policy"), "quorum none\n").unwrap();
    {
        let (locked, config) = (state.lock().unwrap(), state.config().unwrap());
        let ledger = locked.ledger(&locked.anchor().unwrap().verifier.origin, &config).unwrap();
        back_up(&locked, &ledger, &stopped.path("later")).unwrap();
    }
    for lost in ["appliance.toml", "witness.policy", "anchor.json"] {
        fs::remove_file(stopped.path("state").join(lost)).unwrap();
    }
    stopped.restore(&["later"]).unwrap();
    assert_eq!(fs::read_to_string(stopped.path("state/appliance.toml")).unwrap(), text);
    assert_eq!(fs::read_to_string(stopped.path("state/witness.policy")).unwrap(), "quorum none\n");
}

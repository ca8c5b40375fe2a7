//! An operator's work on real state: what fsck finds, what a backup holds, what repair and restore bring back, and what they refuse.
#![allow(clippy::unwrap_used)]

mod common;

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicBool;

use common::{World, segment};
use exhibit_appliance::chronicle::own_candidate;
use exhibit_appliance::config::Config;
use exhibit_appliance::maintain::control::ask_for_backup;
use exhibit_appliance::maintain::fsck::{CheckOptions, check};
use exhibit_appliance::maintain::restore::{RestoreError, Restored, restore};
use exhibit_appliance::setup::{Folder, now};
use exhibit_appliance::tpm_seal::TpmSealConfig;
use exhibit_evidence::{Body, Head, SignedStatement, Statement, StreamName, body};
use exhibit_ledger::Candidate;
use exhibit_ledger::source::LedgerFolder;
use exhibit_pki::SoftwareSigner;
use exhibit_tlog::tile::{BundleId, TileId, encode_bundle};
use exhibit_tlog::{Checkpoint, Ed25519NoteSigner, Hash, MlDsa44NoteSigner};
use zeroize::Zeroizing;

/// A world with two segments and a grant's worth of statements, backed up while it ran; then one segment more, and stopped.
struct Bench {
    world: World,
    payloads: Vec<Hash>,
}

impl Bench {
    async fn new() -> Self {
        let world = World::new().await;
        let (_, recipients) = world.set_recipients().await;
        let mut camera = world.begin_epoch("20261120T115958Z", recipients).await;
        let mut payloads = Vec::new();
        let mut bench = Self { world, payloads: Vec::new() };
        for seq in 1..=3 {
            if seq == 3 {
                let folder = bench.folder();
                let to = bench.path("backup");
                let asked = tokio::task::spawn_blocking(move || ask_for_backup(&folder, &to)).await.unwrap();
                asked.unwrap().expect("the appliance runs").unwrap();
            }
            let (body, ciphertext) = segment(&camera.stream, seq, seq as u32, b"some video, as it were");
            let signed = camera.next(body);
            let mut connection = bench.world.connect(&bench.world.camera).await;
            let answer = connection.put(&signed, &[], &ciphertext).await;
            answer.admitted(201, &bench.world.anchor, &mut camera, &signed);
            payloads.push(signed.statement_hash());
        }
        bench.payloads = payloads;
        bench.mirror();
        bench
    }

    fn folder(&self) -> Folder {
        Folder::new(&self.path("state"))
    }

    fn path(&self, name: &str) -> PathBuf {
        self.world.folder.path().join(name)
    }

    /// What a mirror would hold, from the running ledger.
    fn mirror(&self) {
        let ledger = &self.world.running.appliance.ledger;
        let (note, head) = ledger.checkpoint().unwrap();
        let write = |name: String, bytes: &[u8]| {
            let path = self.path("mirror").join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, bytes).unwrap();
        };
        let width = u16::try_from(head.size).expect("one tile");
        let entries: Vec<Vec<u8>> = (0..head.size).map(|index| ledger.entry(index).unwrap().unwrap()).collect();
        let entries: Vec<&[u8]> = entries.iter().map(Vec::as_slice).collect();
        write(format!("tile/entries/{}", BundleId { index: 0, width }.path()), &encode_bundle(&entries).unwrap());
        let tile = TileId { level: 0, index: 0, width };
        write(format!("tile/{}", tile.path()), &ledger.tile(tile).unwrap().unwrap());
        write("checkpoint".into(), note.as_bytes());
    }

    /// States an erasure, as the appliance will once it erases.
    fn erase(&self, entry: Hash, name: &str, sha256: Hash) {
        let appliance = &self.world.running.appliance;
        let credentials = self.folder().credentials(now()).unwrap();
        let end = appliance.ledger.heads("appliance/", None, 1).unwrap().remove(0);
        let stream = StreamName::parse(&end.stream).unwrap();
        let erased = vec![body::Erased { entry, name: name.to_owned(), sha256 }];
        let body = body::Erasure { erased, reason: body::ErasureReason::Policy, order: None, attachments: vec![] };
        let (_, head) = appliance.ledger.checkpoint().unwrap();
        let statement = Statement {
            log: appliance.anchor.log,
            stream: stream.clone(),
            seq: end.next_seq,
            prev: end.leaf,
            issued: now(),
            observed: Head { size: head.size, root: head.root },
            body: Body::Erasure(body),
        };
        let signer = SoftwareSigner::from_pkcs8_pem(&credentials.key_pem).unwrap();
        let signed = exhibit_evidence::sign(&statement, &credentials.certificate, &signer).unwrap();
        let before = appliance.registry.stream(&stream).unwrap();
        appliance.ledger.append(own_candidate(&signed, before, None, vec![])).unwrap();
    }

    async fn stop(self) -> Stopped {
        self.world.running.stop(std::time::Duration::from_secs(5)).await;
        Stopped { folder: self.world.folder, payloads: self.payloads }
    }
}

struct Stopped {
    folder: tempfile::TempDir,
    payloads: Vec<Hash>,
}

impl Stopped {
    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn restore(&self, from: &[&str]) -> Result<Restored, RestoreError> {
        self.restore_knowing(from, &[])
    }

    fn restore_knowing(&self, from: &[&str], known: &[String]) -> Result<Restored, RestoreError> {
        let folder = Folder::new(&self.path("state"));
        let from: Vec<PathBuf> = from.iter().map(|name| self.path(name)).collect();
        restore(&folder, &folder.config().unwrap(), &from, known, &|_, _| {})
    }

    fn payload(&self, number: usize) -> PathBuf {
        let hash = self.payloads[number].to_string();
        self.path("state/vault/payloads").join(&hash[..2]).join(hash)
    }

    /// All rows of the appliance's indexes, for comparison.
    fn rows(&self) -> Vec<(Vec<u8>, Vec<u8>)> {
        let folder = Folder::new(&self.path("state"));
        let ledger = folder.ledger(&folder.anchor().unwrap().verifier.origin, &folder.config().unwrap()).unwrap();
        ledger.annotations(b"", b"", 100_000).unwrap()
    }

    /// A checkpoint by the log's own keys.
    fn sign(&self, size: u64, root: Hash) -> String {
        let seed = |name: &str| {
            let mut seed = Zeroizing::new([0; 32]);
            hex::decode_to_slice(fs::read_to_string(self.path("state").join(name)).unwrap().trim(), seed.as_mut_slice()).unwrap();
            seed
        };
        let origin = "city.example/log/1";
        let ed25519 = Ed25519NoteSigner::new(origin, &seed("note-ed25519.key")).unwrap();
        let ml_dsa = MlDsa44NoteSigner::new(origin, &seed("note-ml-dsa-44.key")).unwrap();
        Checkpoint { origin: origin.to_owned(), size, root }.sign(&[&ed25519, &ml_dsa], 1_795_132_800).unwrap()
    }

    fn size(&self) -> u64 {
        LedgerFolder::open(&self.path("state/ledger")).unwrap().size().unwrap()
    }
}

fn found(state: &Path) -> Vec<(String, String)> {
    let stop = AtomicBool::new(false);
    let options = CheckOptions { threads: 2, bytes_per_s: None, state_file: None, progress: &|_| {}, stop: &stop };
    let report = check(&Folder::new(state), &options).unwrap();
    assert!(report.is_complete);
    report.damages.into_iter().map(|damage| (damage.part, damage.name)).collect()
}

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
    assert!(again.unwrap_err().contains("exists"), "a backup was written over");
    let stopped = bench.stop().await;
    let folder = Folder::new(&stopped.path("state"));
    assert!(ask_for_backup(&folder, &stopped.path("later")).unwrap().is_none(), "nobody answers for an appliance that was stopped");
}

#[tokio::test(flavor = "multi_thread")]
async fn damaged_and_missing_objects_are_named_and_brought_back_if_they_are_right() {
    let stopped = Bench::new().await.stop().await;
    let rows = stopped.rows();
    let altered = fs::read(stopped.payload(0)).unwrap();
    // Another file, not the one that the backup has a hard link to.
    fs::remove_file(stopped.payload(0)).unwrap();
    fs::write(stopped.payload(0), altered.iter().map(|byte| byte ^ 1).collect::<Vec<u8>>()).unwrap();
    fs::remove_file(stopped.payload(1)).unwrap();
    fs::remove_file(stopped.payload(2)).unwrap();
    let attachments =
        fs::read_dir(stopped.path("state/vault/attachments")).unwrap().flat_map(|part| fs::read_dir(part.unwrap().path()).unwrap());
    let attachment = attachments.map(|file| file.unwrap().path()).next().unwrap();
    fs::remove_file(&attachment).unwrap();
    let mut expected: Vec<(String, String)> = stopped.payloads.iter().map(|hash| ("payload".into(), hash.to_string())).collect();
    expected.push(("attachment".into(), attachment.file_name().unwrap().to_str().unwrap().into()));
    expected.sort();
    let names = found(&stopped.path("state"));
    let distinct: std::collections::BTreeSet<_> = names.into_iter().collect();
    assert_eq!(distinct.into_iter().collect::<Vec<_>>(), expected);

    // The backup has the first two. Its copy of the second is wrong, and is not taken.
    let hash = stopped.payloads[1].to_string();
    let wrong = stopped.path("backup/vault/payloads").join(&hash[..2]).join(&hash);
    fs::remove_file(&wrong).unwrap();
    fs::write(&wrong, altered.iter().map(|byte| byte ^ 2).collect::<Vec<u8>>()).unwrap();
    let done = stopped.restore(&["backup"]).unwrap();
    let left: Vec<&str> = done.left.iter().map(|damage| damage.name.as_str()).collect();
    let mut lost = [hash.as_str(), &stopped.payloads[2].to_string()].map(str::to_owned);
    lost.sort();
    assert_eq!(left, lost, "{:?}", done.left);
    assert_eq!(fs::read(stopped.payload(0)).unwrap(), altered);
    assert!(attachment.exists());
    assert_eq!(stopped.rows(), rows, "the rebuilt ledger has other index rows");
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
    assert!(matches!(unbounded, RestoreError::Unbounded), "{unbounded}");
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
    assert!(matches!(older, RestoreError::Unbounded), "an old checkpoint made an old backup the newest: {older}");
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
    };
    folder.ledger(&origin, &with_tpm).unwrap().append(candidate).unwrap();
    assert_eq!(folder.ledger(&origin, &with_tpm).unwrap().size(), size + 1, "the newest state starts");
    fs::remove_dir_all(&state).unwrap();
    fs::rename(stopped.path("snapshot"), &state).unwrap();
    let refused = folder.ledger(&origin, &with_tpm).err().expect("a snapshot that was put back went unnoticed");
    assert!(refused.to_string().contains(&format!("{} entries were sealed", size + 1)), "{refused}");
    drop(folder.ledger(&origin, &Config { tpm_seal: None, ..with_tpm }).expect("the sealed file alone does not tell"));
}

fn copy(from: &Path, to: &Path) {
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
    assert_eq!(done.left, []);
    assert!(!path.exists(), "a backup brought back what was erased");
}

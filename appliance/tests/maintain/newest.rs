//! No restore goes on from less than the newest head: what is known of it, from whom, and what is refused where nobody tells.

use std::fs;
use std::path::Path;
use std::process::{Command, Output};
use std::sync::Arc;

use exhibit_appliance::chronicle::own_candidate;
use exhibit_appliance::maintain::restore::RestoreError;
use exhibit_appliance::registry::Registry;
use exhibit_appliance::setup::{Folder, SetupError};
use exhibit_ledger::rebuild::SignedTree;
use exhibit_ledger::source::{LedgerFolder, Source};
use exhibit_ledger::{Ledger, LedgerError, Options};
use exhibit_tlog::{Hash, NoteError, NoteSigner, VerifierKey};
use sha2::{Digest, Sha256};

use crate::bench::{Bench, Stopped};

/// Signs nothing more.
struct Mute(Arc<dyn NoteSigner>);

impl NoteSigner for Mute {
    fn verifier_key(&self) -> &VerifierKey {
        self.0.verifier_key()
    }

    fn sign(&self, _: &str, _: u64) -> Result<Vec<u8>, NoteError> {
        Err(NoteError::Malformed("the power went"))
    }
}

/// One more entry that is stored and synced, and no checkpoint of it: what a power cut can leave of acknowledged ones too, since notes are
/// not synced.
fn store_unsigned(stopped: &Stopped) {
    let folder = Folder::new(&stopped.path("state"));
    let (config, origin) = (folder.config().unwrap(), folder.anchor().unwrap().verifier.origin);
    let statement = {
        let ledger = folder.ledger(&origin, &config).unwrap();
        let registry = Registry::new(ledger.clone(), vec![], vec![]);
        let signed = stopped.own_statement(&ledger);
        let before = registry.stream(&signed.statement().stream).unwrap();
        own_candidate(&signed, before, None, vec![])
    };
    let options = folder.options(&origin, &config).unwrap();
    let signers = options.signers.iter().map(|signer| Arc::new(Mute(signer.clone())) as Arc<dyn NoteSigner>).collect();
    let ledger = Ledger::open(&folder.ledger_path(), Options { signers, ..options }).unwrap();
    assert!(matches!(ledger.append(statement), Err(LedgerError::Stopped(_))));
}

/// Puts a note into a slot of the file beside the database (docs/formats/ledger.md).
fn note_beside(ledger: &Path, size: u64, note: &str) {
    let mut slot = [&size.to_be_bytes()[..], &u32::try_from(note.len()).unwrap().to_be_bytes(), note.as_bytes()].concat();
    slot.extend(Sha256::digest(&slot));
    slot.resize(131_072, 0);
    fs::write(ledger.join("head"), [slot.clone(), slot].concat()).unwrap();
}

fn is_behind(refused: Result<impl Sized, RestoreError>, expected: u64) -> bool {
    matches!(refused, Err(RestoreError::Behind { known, newest }) if known == expected && newest < known)
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_stored_beyond_the_newest_note_stays() {
    let stopped = Bench::new().await.stop().await;
    let size = stopped.size();
    store_unsigned(&stopped);
    assert_eq!(stopped.size(), size + 1);
    let done = stopped.restore(&["backup", "mirror"]).unwrap();
    assert_eq!(done.size, size + 1, "an acknowledged entry was dropped");
    // A copy that has more than anything that was signed is not cut off either, and nothing tells that it has all.
    let aside = stopped.path("state/ledger.damaged-1");
    fs::create_dir(stopped.path("copy")).unwrap();
    fs::rename(aside, stopped.path("copy/ledger")).unwrap();
    fs::copy(stopped.path("mirror/checkpoint"), stopped.path("state/head.seal")).unwrap();
    fs::remove_dir_all(stopped.path("state/ledger")).unwrap();
    let unbounded = stopped.restore(&["copy"]).unwrap_err();
    assert!(matches!(unbounded, RestoreError::Unbounded(newest) if newest == size + 1), "{unbounded}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_note_beside_a_database_is_a_head_that_is_known() {
    let stopped = Bench::new().await.stop().await;
    let size = stopped.size();
    let note = stopped.sign(size + 2, Hash([7; 32]));
    let before = fs::read(stopped.path("state/ledger/head")).unwrap();
    note_beside(&stopped.path("state/ledger"), size + 2, &note);
    for from in [&["backup"][..], &["mirror"], &[]] {
        assert!(is_behind(stopped.restore(from), size + 2), "the head that was noted was forgotten: from {from:?}");
    }
    // Though the database is gone altogether.
    fs::rename(stopped.path("state/ledger/database"), stopped.path("database")).unwrap();
    assert!(is_behind(stopped.restore(&["mirror"]), size + 2));
    fs::rename(stopped.path("database"), stopped.path("state/ledger/database")).unwrap();
    fs::write(stopped.path("state/ledger/head"), before).unwrap();
    // And of a copy.
    note_beside(&stopped.path("backup/ledger"), size + 2, &note);
    assert!(is_behind(stopped.restore(&["backup"]), size + 2));
    fs::remove_file(stopped.path("backup/ledger/head")).unwrap();
    assert_eq!(stopped.restore(&["backup"]).unwrap().size, size);
}

/// A start would refuse it: nothing is sealed. So does a repair, unless somebody else has the very head.
#[tokio::test(flavor = "multi_thread")]
async fn a_ledger_without_its_seal_is_no_bound_of_itself() {
    let stopped = Bench::new().await.stop().await;
    fs::remove_file(stopped.path("state/head.seal")).unwrap();
    assert!(matches!(stopped.restore(&[]), Err(RestoreError::Unbounded(_))), "a repair went on from what a start refuses");
    let newest = fs::read_to_string(stopped.path("mirror/checkpoint")).unwrap();
    assert_eq!(stopped.restore_knowing(&[], &[newest]).unwrap().size, stopped.size());
}

/// Its last entries were synced and their note was not; then their end was damaged. They may have been acknowledged.
#[tokio::test(flavor = "multi_thread")]
async fn entries_that_are_stored_and_can_not_be_proven_are_not_cut_off() {
    let stopped = Bench::new().await.stop().await;
    let size = stopped.size();
    store_unsigned(&stopped);
    // A note that does not fit makes the database one that would not start.
    note_beside(&stopped.path("state/ledger"), size - 1, &stopped.sign(size - 1, Hash([7; 32])));
    let refused = stopped.restore(&["backup", "mirror"]).unwrap_err();
    assert!(matches!(refused, RestoreError::Behind { known, newest } if (known, newest) == (size + 1, size)), "{refused}");
}

/// A disaster, after which this is all that is there beside a backup.
async fn lost() -> (Stopped, u64, u64) {
    let stopped = Bench::new().await.stop().await;
    let size = stopped.size();
    for lost in ["state/ledger", "state/vault"] {
        fs::remove_dir_all(stopped.path(lost)).unwrap();
    }
    fs::remove_file(stopped.path("state/head.seal")).unwrap();
    let in_backup = LedgerFolder::open(&stopped.path("backup/ledger")).unwrap().size().unwrap();
    assert!(in_backup < size);
    (stopped, in_backup, size)
}

/// The log's own signature on an earlier head.
fn earlier(stopped: &Stopped, size: u64) -> String {
    let backup = LedgerFolder::open(&stopped.path("backup/ledger")).unwrap();
    let verifier = Folder::new(&stopped.path("backup")).anchor().unwrap().verifier;
    let head = verifier.verify(&backup.checkpoint().unwrap()).unwrap();
    let sources: [&dyn Source; 1] = [&backup];
    stopped.sign(size, SignedTree::prove(&head, &sources).unwrap().root_at(size).unwrap())
}

#[tokio::test(flavor = "multi_thread")]
async fn only_the_very_head_that_somebody_else_has_bounds_a_restore() {
    let (stopped, in_backup, size) = lost().await;
    let older = earlier(&stopped, in_backup - 1);
    fs::create_dir_all(stopped.path("empty/tile")).unwrap();
    let refused = stopped.restore(&["backup", "empty"]).unwrap_err();
    assert!(matches!(&refused, RestoreError::Mirror { defect, .. } if defect == "it has none"), "an empty folder: {refused}");
    fs::write(stopped.path("empty/checkpoint"), "no checkpoint").unwrap();
    assert!(matches!(stopped.restore(&["backup", "empty"]), Err(RestoreError::Mirror { .. })), "a checkpoint that does not verify");
    fs::write(stopped.path("empty/checkpoint"), &older).unwrap();
    let is_unbounded = |refused: Result<_, RestoreError>| matches!(refused, Err(RestoreError::Unbounded(newest)) if newest == in_backup);
    assert!(is_unbounded(stopped.restore(&["backup", "empty"]).map(drop)), "a mirror that is older than the backup");
    let empty = stopped.sign(0, Hash(Sha256::digest([]).into()));
    for (seal, what) in [(&older, "a seal that is older"), (&empty, "the seal of a new log")] {
        fs::write(stopped.path("state/head.seal"), seal).unwrap();
        assert!(is_unbounded(stopped.restore(&["backup"]).map(drop)), "{what} than the backup");
        assert_eq!(&fs::read_to_string(stopped.path("state/head.seal")).unwrap(), seal, "a refused restore changed the seal");
    }
    assert!(!stopped.path("state/ledger").exists(), "a refused restore left a ledger that could be served");
    let held = earlier(&stopped, in_backup);
    assert_eq!(stopped.restore_knowing(&["backup"], &[held]).unwrap().size, in_backup, "of the very head");
    assert!(size > in_backup);
}

/// The folder that `exhibit-witness --mirror` makes: tiles in `<hash>.log`, the checkpoint in `<hash>`.
#[tokio::test(flavor = "multi_thread")]
async fn the_copy_that_a_witness_mirrors_is_a_mirror() {
    let (stopped, _, size) = lost().await;
    let name = hex::encode(Sha256::digest("city.example/log/1"));
    fs::create_dir_all(stopped.path(&format!("witness/{name}.log"))).unwrap();
    fs::rename(stopped.path("mirror/tile"), stopped.path(&format!("witness/{name}.log/tile"))).unwrap();
    fs::rename(stopped.path("mirror/checkpoint"), stopped.path(&format!("witness/{name}"))).unwrap();
    assert_eq!(stopped.restore(&["backup", &format!("witness/{name}.log")]).unwrap().size, size);
}

/// A fork that two sources show is not passed over because the newer one is taken.
#[tokio::test(flavor = "multi_thread")]
async fn sources_that_show_two_trees_are_a_fork() {
    let stopped = Bench::new().await.stop().await;
    let size = stopped.size();
    fs::create_dir_all(stopped.path("other/tile")).unwrap();
    fs::write(stopped.path("other/checkpoint"), stopped.sign(size - 3, Hash([7; 32]))).unwrap();
    let refused = stopped.restore(&["backup", "mirror", "other"]).unwrap_err();
    assert!(matches!(refused, RestoreError::OtherTree(other) if other == size - 3), "{refused}");
}

/// Between the two renames of a repair.
#[tokio::test(flavor = "multi_thread")]
async fn a_repair_that_ended_before_the_new_ledger_had_its_name_goes_on() {
    let stopped = Bench::new().await.stop().await;
    let (size, rows) = (stopped.size(), stopped.rows());
    let folder = Folder::new(&stopped.path("state"));
    for (from, is_rebuilt_there) in [(&[][..], true), (&[], false), (&["backup"], true)] {
        let done = stopped.restore(from).unwrap();
        assert_eq!(done.size, size);
        if is_rebuilt_there {
            fs::rename(stopped.path("state/ledger"), stopped.path("state/ledger.rebuilt")).unwrap();
        } else {
            fs::remove_dir_all(stopped.path("state/ledger")).unwrap();
            // An operator may have cleared what was set aside before.
            fs::remove_dir_all(stopped.path("state/ledger.damaged-1")).unwrap();
        }
        let origin = folder.anchor().unwrap().verifier.origin;
        let refused = folder.ledger(&origin, &folder.config().unwrap()).err().expect("there is no ledger");
        assert!(refused.to_string().contains("give the same command again"), "{refused}");
        let done = stopped.restore(from).unwrap();
        assert_eq!((done.size, done.left), (size, vec![]));
        assert_eq!(stopped.rows(), rows);
        assert!(!stopped.path("state/ledger.rebuilt").exists() && !stopped.path("state/ledger.earlier-attempt").exists());
    }
}

fn program(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_exhibit-appliance")).args(arguments).env("RUST_LOG", "off").output().unwrap()
}

/// Two programs on one folder would sign two trees.
#[tokio::test(flavor = "multi_thread")]
async fn two_programs_never_work_in_one_folder() {
    let bench = Bench::new().await;
    let path = |name: &str| bench.path(name).display().to_string();
    let (state, backup, other) = (path("state"), path("backup"), path("other"));
    program(&["init", "--state", &other, "--identity", "spiffe://city.example/appliance/2", "--server-name", "localhost"]);
    let held = path("mirror/checkpoint");
    let (chain, root) = (path("state/chain.pem"), path("state/root.pem"));
    let changing: [&[&str]; 7] = [
        &["serve", "--state", &state, "--intake", "127.0.0.1:0", "--public", "127.0.0.1:0"],
        &["repair", "--state", &state, "--from", &backup],
        &["restore", "--state", &state, "--from", &backup, "--checkpoint", &held],
        &["succeed", "--state", &state, "--by", &other, "--origin", "city.example/log/2"],
        &["succeed", "--state", &other, "--by", &state, "--origin", "city.example/log/2"],
        &["create-log", "--state", &state, "--origin", "city.example/log/2", "--chain", &chain, "--root", &root],
        &["seal", "--state", &state, "--accept-present-head"],
    ];
    let refuse_all = |holder: &str| {
        for arguments in changing {
            let told = program(arguments);
            let error = String::from_utf8_lossy(&told.stderr).into_owned();
            assert!(told.status.code() == Some(2) && error.contains("is in use"), "{arguments:?} beside {holder}: {error}");
        }
    };
    refuse_all("serve");
    let copied = path("second-backup");
    let reading: [&[&str]; 4] = [
        &["fsck", "--state", &state],
        &["seal", "--state", &state],
        &["anchor", "--state", &state],
        &["backup", "--state", &state, &copied],
    ];
    for arguments in reading {
        assert_eq!(program(arguments).status.code(), Some(0), "{arguments:?} beside serve");
    }
    let stopped = bench.stop().await;
    // As any of the others has it.
    let folder = Folder::new(&stopped.path("state"));
    let lock = folder.lock().unwrap();
    refuse_all("repair");
    let third = stopped.path("third").display().to_string();
    assert_eq!(program(&["backup", "--state", &state, &third]).status.code(), Some(2), "a backup of what is being repaired");
    assert!(matches!(folder.lock(), Err(SetupError::InUse(_))));
    drop(lock);
    assert_eq!(program(&["backup", "--state", &state, &third]).status.code(), Some(0));
}

//! Objects of the vault: what was damaged or lost comes back where a backup has it right, and nothing else comes with it.

use std::fs;
use std::path::{Path, PathBuf};

use crate::bench::{Bench, Stopped, found};

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
    assert!(!stopped.payload(1).exists(), "an object that is wrong was put into the vault");
}

/// Every attachment in the state, among them all certificates.
fn attachments(stopped: &Stopped) -> Vec<PathBuf> {
    let parts = fs::read_dir(stopped.path("state/vault/attachments")).unwrap();
    parts.flat_map(|part| fs::read_dir(part.unwrap().path()).unwrap()).map(|file| file.unwrap().path()).collect()
}

/// The rows of a ledger are made of certificates and grants: those come first.
#[tokio::test(flavor = "multi_thread")]
async fn attachments_that_are_damaged_are_mended_before_rows_are_made_of_them() {
    let stopped = Bench::new().await.stop().await;
    let rows = stopped.rows();
    let attachments = attachments(&stopped);
    assert!(attachments.len() > 7, "every party's certificate");
    for attachment in &attachments {
        replace(attachment, |bytes| bytes.iter_mut().for_each(|byte| *byte ^= 1));
    }
    let done = stopped.restore(&["backup"]).unwrap();
    assert_eq!((done.left, done.objects), (vec![], attachments.len() as u64));
    assert_eq!(stopped.rows(), rows, "who was known before is not known any more");
}

/// Changes a file and leaves what has another name of it alone.
fn replace(path: &Path, change: impl FnOnce(&mut Vec<u8>)) {
    let mut bytes = fs::read(path).unwrap();
    change(&mut bytes);
    fs::remove_file(path).unwrap();
    fs::write(path, bytes).unwrap();
}

/// What one backup can not give, another may; and nothing comes along that no entry names.
#[tokio::test(flavor = "multi_thread")]
async fn an_object_that_one_backup_can_not_give_comes_from_another() {
    let stopped = Bench::new().await.stop().await;
    crate::copy(&stopped.path("backup"), &stopped.path("second"));
    let in_backup = |name: &str, number: usize| {
        let hash = stopped.payloads[number].to_string();
        stopped.path(name).join("vault/payloads").join(&hash[..2]).join(hash)
    };
    for number in [0, 1] {
        fs::remove_file(stopped.payload(number)).unwrap();
    }
    // One is a folder, one is too long, one has a name that nothing has.
    fs::remove_file(in_backup("backup", 0)).unwrap();
    fs::create_dir(in_backup("backup", 0)).unwrap();
    replace(&in_backup("backup", 1), |bytes| bytes.push(0));
    let unknown = Path::new("vault/attachments/ab").join("ab".repeat(32));
    fs::write(stopped.path("backup").join(&unknown), "what no entry names").unwrap();
    let done = stopped.restore(&["backup", "second"]).unwrap();
    assert_eq!((done.left, done.objects), (vec![], 2));
    assert!(!stopped.path("state").join(unknown).exists(), "something came along");
    assert_eq!(found(&stopped.path("state")), []);
}

/// The damage is deep in an object: its length is right, and it is found by the check that comes last.
#[tokio::test(flavor = "multi_thread")]
async fn a_payload_that_is_damaged_comes_back() {
    let stopped = Bench::new().await.stop().await;
    let before = fs::read(stopped.payload(0)).unwrap();
    replace(&stopped.payload(0), |bytes| bytes[5] ^= 1);
    let done = stopped.restore(&["backup"]).unwrap();
    assert_eq!((done.left, done.objects), (vec![], 1));
    assert_eq!(fs::read(stopped.payload(0)).unwrap(), before);
}

/// A ledger in a backup that does not open is no reason to give up: its vault is good.
#[tokio::test(flavor = "multi_thread")]
async fn a_backup_whose_ledger_is_damaged_still_gives_objects() {
    let stopped = Bench::new().await.stop().await;
    fs::remove_file(stopped.payload(0)).unwrap();
    fs::remove_dir_all(stopped.path("backup/ledger/database")).unwrap();
    let done = stopped.restore(&["backup"]).unwrap();
    assert_eq!((done.left, done.objects), (vec![], 1));
}

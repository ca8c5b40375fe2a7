//! The power goes at any moment: an object whose commit has returned is in every image of the disk that a cut can leave, whole.
#![allow(clippy::unwrap_used)]

use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};

use exhibit_appliance::vault::{LocalVault, Object, Vault};
use exhibit_power_loss::{Cut, Disk, Operation, Shim, read_trace, scratch};
use exhibit_tlog::leaf_hash;

const CHILD_FOLDER: &str = "EXHIBIT_APPLIANCE_TEST_FOLDER";
const THIS_TEST: &str = "what_was_committed_to_the_vault_is_in_every_image_that_a_power_cut_leaves";
const OBJECTS: usize = 12;

#[test]
fn what_was_committed_to_the_vault_is_in_every_image_that_a_power_cut_leaves() {
    if let Some(folder) = std::env::var_os(CHILD_FOLDER) {
        return commit(Path::new(&folder));
    }
    let (shim, folder) = (Shim::compile(), scratch());
    let (root, trace) = (folder.path().join("root"), folder.path().join("trace"));
    std::fs::create_dir(&root).unwrap();
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args([THIS_TEST, "--exact", "--nocapture"]).env(CHILD_FOLDER, root.join("vault"));
    shim.preload(&mut command, &root, &trace, None);
    assert!(command.stdin(Stdio::null()).output().unwrap().status.success());
    let operations = read_trace(&trace);
    let (mut disk, mut committed) = (Disk::default(), 0);
    for (moment, operation) in operations.iter().enumerate() {
        disk.apply(operation);
        let is_change = matches!(operation, Operation::Sync(_) | Operation::Rename(..) | Operation::Write { .. } | Operation::Output(_));
        if let Operation::Output(bytes) = operation {
            committed += String::from_utf8_lossy(bytes).lines().filter(|line| *line == "committed").count();
        }
        // From the first commit on: an empty vault needs no image.
        if is_change && committed > 0 {
            let cuts = [Cut::Strict, Cut::NamesOnly, Cut::Torn(moment as u64)];
            check(&disk, cuts[moment % cuts.len()], committed, moment);
        }
    }
    assert_eq!(committed, OBJECTS);
}

fn check(disk: &Disk, cut: Cut, committed: usize, moment: usize) {
    let image = scratch();
    disk.write_image(cut, image.path());
    let vault = LocalVault::open(&image.path().join("vault")).unwrap();
    for number in 0..OBJECTS {
        let (object, bytes) = object(number);
        match vault.read(object, u64::MAX).unwrap() {
            Some(found) => assert!(found == bytes, "object {number} is not whole: {cut:?} after operation {moment}"),
            None => assert!(number >= committed, "committed object {number} is lost: {cut:?} after operation {moment}"),
        }
    }
}

fn object(number: usize) -> (Object, Vec<u8>) {
    let bytes: Vec<u8> = (0..2000 + number * 100).map(|byte| (byte * (number + 1)) as u8).collect();
    let hash = leaf_hash(&bytes);
    (if number.is_multiple_of(2) { Object::Payload(hash) } else { Object::Attachment(hash) }, bytes)
}

fn commit(folder: &Path) {
    let vault = LocalVault::open(folder).unwrap();
    for number in 0..OBJECTS {
        let (object, bytes) = object(number);
        let mut staged = vault.stage().unwrap();
        // In several pieces a call, of which the shim takes one at a time.
        for part in bytes.chunks(1400) {
            staged.write(&part.chunks(500).collect::<Vec<_>>()).unwrap();
        }
        staged.commit(object).unwrap();
        std::io::stdout().lock().write_all(b"\ncommitted\n").unwrap();
    }
}

//! The power goes, or the process is killed, while an appliance is made whole: from every image of the disk that this leaves, no start goes on
//! from less than the newest head, and the same command finishes. A shim records what a restore does to its files (tests/power-loss).
//!
//! `SOAK_CUTS=2000` tries that many images; `EXHIBIT_SEED` chooses others.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use exhibit_appliance::maintain::restore::restore;
use exhibit_appliance::setup::Folder;
use exhibit_power_loss::{Cut, Disk, Operation, Random, Shim, read_trace, scratch};

use crate::bench::{Bench, Stopped};

/// Set for the child: the folder that holds state, backup and mirror, and the one to work in.
const TEMPLATE: &str = "EXHIBIT_RESTORE_TEMPLATE";
const ROOT: &str = "EXHIBIT_RESTORE_ROOT";
const THIS_TEST: &str = "crash::a_restore_that_ends_anywhere_is_finished_by_the_same_command";
/// How many images of each restore `make test` opens.
const CUTS: usize = 14;
const BEGIN: &str = "the restore begins";

#[test]
fn a_restore_that_ends_anywhere_is_finished_by_the_same_command() {
    if let (Some(template), Some(root)) = (std::env::var_os(TEMPLATE), std::env::var_os(ROOT)) {
        return work(Path::new(&template), Path::new(&root));
    }
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    let stopped = runtime.block_on(async { Bench::new().await.stop().await });
    fs::remove_file(stopped.payload(0)).unwrap();
    let shim = Shim::compile();
    // A repair, then a restore of what was lost altogether.
    check_images(&shim, &stopped, 1);
    for lost in ["state/ledger", "state/vault"] {
        fs::remove_dir_all(stopped.path(lost)).unwrap();
    }
    fs::remove_file(stopped.path("state/head.seal")).unwrap();
    check_images(&shim, &stopped, 1);
}

fn check_images(shim: &Shim, stopped: &Stopped, lost_payloads: usize) {
    let template = stopped.folder.path();
    let operations = record(shim, template);
    let begin = operations
        .iter()
        .position(|operation| matches!(operation, Operation::Output(told) if String::from_utf8_lossy(told).contains(BEGIN)));
    let begin = begin.expect("the restore began");
    let is_moment = |operation: &&Operation| matches!(operation, Operation::Rename(..) | Operation::Sync(_) | Operation::Unlink(_));
    let moments = operations[begin..].iter().filter(is_moment).count();
    let wanted = std::env::var("SOAK_CUTS").ok().and_then(|number| number.parse().ok()).unwrap_or(CUTS);
    let seed = std::env::var("EXHIBIT_SEED").ok().and_then(|seed| seed.parse().ok()).unwrap_or(20_261_121);
    let (mut random, mut disk, mut tried, mut swaps) = (Random::new(seed), Disk::default(), 0, 0);
    for (moment, operation) in operations.iter().enumerate() {
        disk.apply(operation);
        if moment < begin || !is_moment(&operation) {
            continue;
        }
        // Each moment at which a ledger has another name, as a kill leaves it and as a power cut does.
        let is_swap = matches!(operation, Operation::Rename(from, _) if from.starts_with("state/ledger") && from.matches('/').count() == 1);
        let mut cuts = if is_swap { vec![Cut::Everything, Cut::Strict] } else { vec![] };
        swaps += usize::from(is_swap);
        if random.below((moments / wanted + 1) as u64) == 0 {
            cuts.push([Cut::Strict, Cut::NamesOnly, Cut::Everything, Cut::Torn(seed ^ moment as u64)][random.below(4) as usize]);
        }
        for cut in cuts {
            check_image(
                &disk,
                cut,
                template,
                lost_payloads,
                &format!("EXHIBIT_SEED={seed}: {cut:?} after operation {moment}, {operation:?}"),
            );
            tried += 1;
        }
    }
    assert!(swaps > 0 && tried > 4, "{swaps} names were changed, {tried} images tried");
    eprintln!("{tried} images of {moments} moments");
}

/// Neither a start nor the same command goes on from less than the mirror has.
fn check_image(disk: &Disk, cut: Cut, template: &Path, lost_payloads: usize, what: &str) {
    let image = scratch();
    disk.write_image(cut, image.path());
    let folder = Folder::new(&image.path().join("state"));
    let anchor = folder.anchor().unwrap_or_else(|error| panic!("{what}: {error}"));
    let (origin, config) = (&anchor.verifier.origin, folder.config().unwrap());
    let mirror = fs::read_to_string(template.join("mirror/checkpoint")).unwrap();
    let head = anchor.verifier.verify(&mirror).unwrap();
    if let Ok(ledger) = folder.ledger(origin, &config) {
        assert_eq!(ledger.checkpoint().map(|(_, head)| head), Some(head.clone()), "{what}: a start goes on from another head");
    }
    let done = restore(&folder.lock().unwrap(), &sources(template), &[], &|_, _| {}).unwrap_or_else(|error| panic!("{what}: {error}"));
    assert_eq!(done.size, head.size, "{what}");
    assert!(done.left.len() <= lost_payloads, "{what}: {:?}", done.left);
    let ledger = folder.ledger(origin, &config).unwrap_or_else(|error| panic!("{what}: {error}"));
    assert_eq!(ledger.checkpoint().map(|(_, head)| head), Some(head), "{what}");
}

fn sources(template: &Path) -> Vec<PathBuf> {
    vec![template.join("backup"), template.join("mirror")]
}

/// What the child did.
fn record(shim: &Shim, template: &Path) -> Vec<Operation> {
    let folder = scratch();
    let (root, trace) = (folder.path().join("root"), folder.path().join("trace"));
    fs::create_dir(&root).unwrap();
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args([THIS_TEST, "--exact", "--nocapture"]).env(TEMPLATE, template).env(ROOT, &root);
    shim.preload(&mut command, &root, &trace, None);
    let output = command.stdin(Stdio::null()).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    read_trace(&trace)
}

/// In the child: the state is copied, durably, and made whole.
fn work(template: &Path, root: &Path) {
    copy_synced(&template.join("state"), &root.join("state"));
    File::open(root).unwrap().sync_all().unwrap();
    println!("\n{BEGIN}\n");
    restore(&Folder::new(&root.join("state")).lock().unwrap(), &sources(template), &[], &|_, _| {}).unwrap();
}

fn copy_synced(from: &Path, to: &Path) {
    fs::create_dir(to).unwrap();
    for file in fs::read_dir(from).unwrap().map(Result::unwrap) {
        let target = to.join(file.file_name());
        let kind = file.file_type().unwrap();
        if kind.is_dir() {
            copy_synced(&file.path(), &target);
        } else if kind.is_file() {
            fs::write(&target, fs::read(file.path()).unwrap()).unwrap();
            File::open(&target).unwrap().sync_all().unwrap();
        }
    }
    File::open(to).unwrap().sync_all().unwrap();
}

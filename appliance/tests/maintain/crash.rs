//! The power goes, or the process is killed, while an appliance is made whole, or its log is succeeded: from every image of the disk that this
//! leaves, no start goes on from less than the newest head, and the same command finishes. A shim records what is done to files
//! (tests/power-loss).
//!
//! `SOAK_CUTS=2000` tries that many images; `EXHIBIT_SEED` chooses others.

use std::fs::{self, File};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;

use exhibit_appliance::chronicle::Clock;
use exhibit_appliance::maintain::by_itself;
use exhibit_appliance::maintain::place::Place;
use exhibit_appliance::maintain::restore::restore;
use exhibit_appliance::maintain::succeed::{SucceedError, When, succeed};
use exhibit_appliance::setup::{Folder, now};
use exhibit_evidence::body::SuccessionReason;
use exhibit_ledger::source::LedgerFolder;
use exhibit_pki::{Identity, Role};
use exhibit_power_loss::{Cut, Disk, Operation, Random, Shim, read_trace, scratch};

use crate::bench::{Bench, Stopped};

/// Set for the child: the folder that holds state, backup and mirror, and the one to work in.
const TEMPLATE: &str = "EXHIBIT_RESTORE_TEMPLATE";
const ROOT: &str = "EXHIBIT_RESTORE_ROOT";
const RESTORE_TEST: &str = "crash::a_restore_that_ends_anywhere_is_finished_by_the_same_command";
const SUCCEED_TEST: &str = "crash::a_succession_that_ends_anywhere_is_finished_by_the_same_command";
const LIMIT_TEST: &str = "crash::an_end_by_limit_that_ends_anywhere_is_finished_by_the_next_start";
/// About so many images of each does `make test` open.
const CUTS: usize = 14;
const NOW: When = When::Now(SuccessionReason::Other);
const BEGIN: &str = "the work begins";

#[test]
fn a_restore_that_ends_anywhere_is_finished_by_the_same_command() {
    if is_child(&["state"], |template, root| {
        restore(&Folder::new(&root.join("state")).lock().unwrap(), &sources(template), &[], &|_, _| {}).unwrap();
    }) {
        return;
    }
    let stopped = stopped();
    fs::remove_file(stopped.payload(0)).unwrap();
    let shim = Shim::compile();
    // A repair, then a restore of what was lost altogether.
    let template = stopped.folder.path();
    check_images(&shim, RESTORE_TEST, template, "state/ledger", |image, what| check_restored(image, template, 0, what));
    for lost in ["state/ledger", "state/vault"] {
        fs::remove_dir_all(stopped.path(lost)).unwrap();
    }
    fs::remove_file(stopped.path("state/head.seal")).unwrap();
    check_images(&shim, RESTORE_TEST, template, "state/ledger", |image, what| check_restored(image, template, 1, what));
}

#[test]
fn a_succession_that_ends_anywhere_is_finished_by_the_same_command() {
    let succeed = |root: &Path| {
        let [old, new] = ["state", "new"].map(|name| Folder::new(&root.join(name)));
        let done = succeed(&old.lock().unwrap(), &new.lock().unwrap(), "city.example/log/2", NOW, &(Arc::new(now) as Clock));
        (old, new, done)
    };
    if is_child(&["state", "new"], |_, root| drop(succeed(root).2.unwrap().unwrap())) {
        return;
    }
    let stopped = stopped();
    let new = Folder::new(&stopped.path("new"));
    let request = new.init(&Identity::parse("spiffe://city.example/appliance/1").unwrap()).unwrap();
    let certificate = stopped.pki.sign_request(&request, &[Role::Appliance], &["localhost"]);
    fs::write(stopped.path("new/appliance.pem"), certificate.to_pem()).unwrap();
    let before = stopped.size();
    let size = |folder: &Folder| LedgerFolder::open(&folder.ledger_path()).and_then(|ledger| ledger.size()).unwrap();
    check_images(&Shim::compile(), SUCCEED_TEST, stopped.folder.path(), "new/", |image, what| {
        let (old, new, done) = succeed(image);
        let anchor = done.unwrap_or_else(|error| panic!("{what}: {error}")).unwrap_or_else(|| panic!("{what}: not due"));
        assert_eq!(
            (size(&old), size(&new)),
            (before + 1, 1 + CARRIED),
            "{what}: a log ended or began twice, or carried too little or too much"
        );
        assert_eq!(new.anchor().unwrap(), anchor, "{what}");
        let again = succeed(image).2.unwrap_or_else(|error| panic!("{what}: {error}"));
        assert_eq!(again, Some(anchor), "{what}");
    });
}

/// The same of a log that has reached its limit: the next start, which nobody watches, goes on from wherever the last one came to.
#[test]
fn an_end_by_limit_that_ends_anywhere_is_finished_by_the_next_start() {
    // The limit of the test's configuration is two days.
    let clock = Arc::new(|| now().checked_add_ms(2 * 86_400_000).unwrap()) as Clock;
    let next_start = |root: &Path| {
        let old = Folder::new(&root.join("state"));
        // What `serve` does before it serves, and when the log is due.
        by_itself::resume(&old, &clock).and_then(|()| if old.successor().is_none() { by_itself::end(&old, &clock) } else { Ok(()) })?;
        Ok::<_, SucceedError>(old)
    };
    if is_child(&["state"], |_, root| drop(next_start(root).unwrap())) {
        return;
    }
    let stopped = stopped();
    let config = stopped.path("state/appliance.toml");
    fs::write(&config, format!("{}\nsuccession_days = 2\n", fs::read_to_string(&config).unwrap())).unwrap();
    let before = stopped.size();
    let size = |folder: &Folder| LedgerFolder::open(&folder.ledger_path()).and_then(|ledger| ledger.size()).unwrap();
    check_images(&Shim::compile(), LIMIT_TEST, stopped.folder.path(), "state/successor-state", |image, what| {
        let old = next_start(image).unwrap_or_else(|error| panic!("{what}: {error}"));
        let new = old.successor().unwrap_or_else(|| panic!("{what}: it has no successor"));
        assert_eq!(
            (size(&old), size(&new)),
            (before + 1, 1 + CARRIED),
            "{what}: a log ended or began twice, or carried too little or too much"
        );
        let (ours, anchor) = (old.anchor().unwrap().verifier, new.anchor().unwrap());
        assert!(anchor.verifier.keys.iter().all(|key| !ours.keys.contains(key)), "{what}: the successor has a key of the log before");
        next_start(image).unwrap_or_else(|error| panic!("{what}: {error}"));
        assert_eq!((size(&old), size(&new), new.anchor().unwrap()), (before + 1, 1 + CARRIED, anchor), "{what}: done, and done again");
    });
}

/// What is carried over behind genesis: seven certificates, the recipients, and two words on one certificate.
const CARRIED: u64 = 10;

fn stopped() -> Stopped {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    runtime.block_on(async { Bench::new().await.stop().await })
}

/// Records what the test's child does, and looks at every image at which a file below `names` gets its name, and at some others.
fn check_images(shim: &Shim, test: &str, template: &Path, names: &str, check: impl Fn(&Path, &str)) {
    let operations = record(shim, test, template);
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
        // As a kill leaves it, and as a power cut does.
        let is_swap = matches!(operation, Operation::Rename(from, _) if from.starts_with(names) && from.matches('/').count() == 1);
        let mut cuts = if is_swap { vec![Cut::Everything, Cut::Strict] } else { vec![] };
        swaps += usize::from(is_swap);
        if random.below((moments / wanted + 1) as u64) == 0 {
            cuts.push([Cut::Strict, Cut::NamesOnly, Cut::Everything, Cut::Torn(seed ^ moment as u64)][random.below(4) as usize]);
        }
        for cut in cuts {
            let image = scratch();
            disk.write_image(cut, image.path());
            check(image.path(), &format!("EXHIBIT_SEED={seed}: {cut:?} after operation {moment}, {operation:?}"));
            tried += 1;
        }
    }
    assert!(swaps > 0 && tried > 4, "{swaps} names were changed, {tried} images tried");
    eprintln!("{tried} images of {moments} moments");
}

/// Neither a start nor the same command goes on from less than the mirror has.
fn check_restored(image: &Path, template: &Path, lost_payloads: usize, what: &str) {
    let folder = Folder::new(&image.join("state"));
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

fn sources(template: &Path) -> Vec<Place> {
    ["backup", "mirror"].map(|name| Place::Folder(template.join(name))).to_vec()
}

/// What the child did.
fn record(shim: &Shim, test: &str, template: &Path) -> Vec<Operation> {
    let folder = scratch();
    let (root, trace) = (folder.path().join("root"), folder.path().join("trace"));
    fs::create_dir(&root).unwrap();
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args([test, "--exact", "--nocapture"]).env(TEMPLATE, template).env(ROOT, &root);
    shim.preload(&mut command, &root, &trace, None);
    let output = command.stdin(Stdio::null()).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    read_trace(&trace)
}

/// In the child: folders are copied, durably, and worked in.
fn is_child(folders: &[&str], work: impl FnOnce(&Path, &Path)) -> bool {
    let (Some(template), Some(root)) = (std::env::var_os(TEMPLATE), std::env::var_os(ROOT)) else { return false };
    let (template, root) = (Path::new(&template), Path::new(&root));
    folders.iter().for_each(|name| copy_synced(&template.join(name), &root.join(name)));
    File::open(root).unwrap().sync_all().unwrap();
    println!("\n{BEGIN}\n");
    work(template, root);
    true
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

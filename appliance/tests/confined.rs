//! The real program gives up what it does not need: what it starts, which has all that it has, can do no more than it is meant to.
#![allow(clippy::unwrap_used, missing_docs)]

mod common;

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use common::served::Served;
use common::*;
use exhibit_appliance::maintain::control::ask_for_backup;
use exhibit_appliance::setup::Folder;

/// It takes what it is told, tries what it should not be able to, and says what became of each.
const PROBE: &str = r#"#!/bin/sh
try() { name=$1; shift; if "$@" >/dev/null 2>&1; then echo "$name yes"; else echo "$name no"; fi >> "$STATE/tried.partial"; }
try reads_the_systems_libraries ls /usr/lib
try reads_its_state cat "$STATE/appliance.toml"
try writes_its_state touch "$STATE/probe"
try reads_anothers_files cat "$OUTSIDE/secret"
try writes_anothers_files touch "$OUTSIDE/made"
try makes_links_to_anothers_files ln "$OUTSIDE/secret" "$STATE/link"
try reads_users cat /etc/passwd
try reads_homes ls /root /home
try reads_keys_of_other_services ls /etc/ssl/private
try reads_the_systems_certificates ls /etc/ssl/certs
try makes_namespaces unshare --user true
try mounts mount -t tmpfs none "$STATE"
try sets_the_clock date -s @0
try traces python3 -c 'import ctypes, sys; sys.exit(ctypes.CDLL(None).ptrace(0, 0, 0, 0) != 0)'
try opens_raw_packets python3 -c 'import socket; socket.socket(socket.AF_PACKET, socket.SOCK_RAW)'
try opens_sockets python3 -c 'import socket; socket.socket(socket.AF_INET, socket.SOCK_STREAM)'
try starts_more_programs /bin/true
try changes_anothers_mode chmod 4755 "$OUTSIDE/secret"
try changes_its_own_mode python3 -c 'import os; os.fchmod(os.open(os.environ["STATE"] + "/probe", os.O_RDONLY), 0o777)'
try makes_programs_that_run_as_it python3 -c 'import os; os.open(os.environ["STATE"] + "/set-id", os.O_CREAT | os.O_WRONLY, 0o4755)'
try makes_programs_that_run_as_its_group python3 -c 'import os; os.open(os.environ["STATE"] + "/set-id", os.O_CREAT | os.O_WRONLY, 0o2755)'
try makes_programs_without_a_name python3 -c 'import os; os.open(os.environ["STATE"], os.O_TMPFILE | os.O_WRONLY, 0o4755)'
try makes_files_without_a_name python3 -c 'import os; os.open(os.environ["STATE"], os.O_TMPFILE | os.O_WRONLY, 0o755)'
try opens_with_flags_that_no_filter_sees python3 -c 'import ctypes, sys; sys.exit(ctypes.CDLL(None).syscall(437, -100, b"/dev/null", ctypes.create_string_buffer(24), 24) < 0)'
try changes_anothers_times touch -d @0 "$OUTSIDE"
try cuts_anothers_files python3 -c 'import os; os.truncate(os.environ["OUTSIDE"] + "/secret", 0)'
try cuts_its_own_files_by_name python3 -c 'import os; os.truncate(os.environ["STATE"] + "/probe", 0)'
try watches_others python3 -c 'import ctypes, sys; sys.exit(ctypes.CDLL(None).inotify_init1(0) < 0)'
try limits_others python3 -c 'import os, resource; resource.prlimit(os.getppid(), resource.RLIMIT_CORE, (0, 0))'
try limits_itself python3 -c 'import resource; resource.setrlimit(resource.RLIMIT_CORE, (0, 0))'
cat "$STATE/tried.partial" > "$STATE/tried"
"#;

/// Thirty small programs, on a busy machine.
const PROBED_MAX: Duration = Duration::from_secs(60);

/// A state folder, and a folder of somebody else.
async fn stopped() -> (World, PathBuf, PathBuf) {
    let world = World::new().await;
    let (state, outside) = (world.folder.path().join("state"), world.folder.path().join("outside"));
    fs::create_dir(&outside).unwrap();
    fs::write(outside.join("secret"), "anothers").unwrap();
    (world, state, outside)
}

/// What serving, a backup and an alert need.
const CAN: &[&str] = &[
    "reads_the_systems_libraries",
    "reads_its_state",
    "writes_its_state",
    "opens_sockets",
    "starts_more_programs",
    "reads_the_systems_certificates",
    "makes_files_without_a_name",
    "limits_itself",
];

/// What a thief of the process would try.
const CAN_NOT: &[&str] = &[
    "reads_anothers_files",
    "writes_anothers_files",
    "makes_links_to_anothers_files",
    "reads_users",
    "reads_homes",
    "reads_keys_of_other_services",
    "makes_namespaces",
    "mounts",
    "sets_the_clock",
    "traces",
    "opens_raw_packets",
    "changes_anothers_mode",
    "changes_its_own_mode",
    "makes_programs_that_run_as_it",
    "makes_programs_that_run_as_its_group",
    "makes_programs_without_a_name",
    "opens_with_flags_that_no_filter_sees",
    "changes_anothers_times",
    "cuts_anothers_files",
    "cuts_its_own_files_by_name",
    "watches_others",
    "limits_others",
];

#[tokio::test(flavor = "multi_thread")]
async fn what_it_starts_can_do_no_more_than_it() {
    let (world, state, outside) = stopped().await;
    let World { running, folder, .. } = world;
    stop(running).await;
    let probe = folder.path().join("probe.sh");
    fs::write(&probe, PROBE).unwrap();
    fs::set_permissions(&probe, fs::Permissions::from_mode(0o755)).unwrap();
    // Root is not served with what it demands: see below.
    let wish = if is_root() { "possible" } else { "required" };
    let bans = format!("confinement = {wish:?}\n[bans]\nattempts = 3\nalert = [{:?}]\n", probe.to_str().unwrap());
    // Tables end the file: what stands before them is at its top.
    let config = fs::read_to_string(state.join("appliance.toml")).unwrap().replace("confinement = \"possible\"\n", "");
    let (top, tables) = bans.split_once('\n').unwrap();
    fs::write(state.join("appliance.toml"), format!("{config}\n{tables}")).unwrap();
    let served = Served::start(&state, top, &[("OUTSIDE", &outside)]);

    let status = served.status();
    assert_eq!((&*status["NoNewPrivs"], &*status["Seccomp"]), ("1", "2"));
    for sets in ["CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"] {
        let is_bounded = sets != "CapBnd" || is_root();
        assert!(!is_bounded || status[sets].chars().all(|digit| digit == '0'), "{sets} {}", status[sets]);
    }
    let limits = fs::read_to_string(format!("/proc/{}/limits", served.child.id())).unwrap();
    let core = limits.lines().find(|line| line.starts_with("Max core file size")).unwrap();
    assert_eq!(core.split_whitespace().nth(4), Some("0"), "keys would be in a core dump: {core}");

    // A pipe with a name: whoever reads waits until it is written.
    let tried = state.join("tried");
    assert!(Command::new("mkfifo").arg(&tried).status().unwrap().success());
    served.is_attacked(3);
    let tried = tokio::task::spawn_blocking(move || fs::read_to_string(tried).unwrap());
    let tried = tokio::time::timeout(PROBED_MAX, tried).await.expect("what it starts says what it could do").unwrap();
    let tried: Vec<String> = tried.lines().map(str::to_owned).collect();
    let can = |what: &str| tried.iter().find_map(|line| line.strip_prefix(what)).map(str::trim) == Some("yes");
    for what in CAN.iter().copied() {
        assert!(can(what), "{what}: {tried:?}");
    }
    for what in CAN_NOT {
        assert!(tried.iter().any(|line| line == &format!("{what} no")), "{what}: {tried:?}");
    }

    let socket = fs::metadata(state.join("control.sock")).unwrap().permissions().mode();
    assert_eq!(socket & 0o077, 0, "others ask it for what its operators may");

    // It writes nowhere else, and a backup comes all the same where it is wanted.
    let (of, to) = (Folder::new(&served.state), outside.join("backup"));
    let backup = tokio::task::spawn_blocking(move || ask_for_backup(&of, &to)).await.unwrap().unwrap().unwrap().unwrap();
    assert!(backup.size > 0 && outside.join("backup/anchor.json").exists());
    let said = served.terminate();
    assert!(said.contains(&format!("confined files={}", kept())), "{said}");
}

#[tokio::test(flavor = "multi_thread")]
async fn root_becomes_who_is_named_or_does_not_serve() {
    if !is_root() {
        println!("SKIPPED: only root can become somebody else");
        return;
    }
    let (World { running, folder, .. }, state, _) = stopped().await;
    stop(running).await;
    let config = fs::read_to_string(state.join("appliance.toml")).unwrap();
    let refused = |config: &str, why: &str| {
        fs::write(state.join("appliance.toml"), config).unwrap();
        let refused = Command::new(env!("CARGO_BIN_EXE_exhibit-appliance")).args(["serve", "--state"]).arg(&state).output().unwrap();
        let told = String::from_utf8_lossy(&refused.stderr).into_owned();
        assert!(refused.status.code() == Some(2) && told.contains(why), "{why}: {told}");
    };
    refused(&format!("user = \"nobody-of-that-name\"\n{config}"), "it serves as nobody-of-that-name");
    refused(&format!("user = \"nobody\"\n{config}"), "it serves as nobody");
    refused(&config.replace("confinement = \"possible\"", "confinement = \"required\""), "it would serve as root");
    fs::set_permissions(&state, fs::Permissions::from_mode(0o777)).unwrap();
    refused(&config, "others may write in");
    fs::set_permissions(&state, fs::Permissions::from_mode(0o700)).unwrap();

    fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o755)).unwrap();
    assert!(Command::new("chown").args(["-R", "nobody"]).arg(&state).status().unwrap().success());
    refused(&format!("user = \"root\"\n{config}"), "it serves as root");
    fs::write(state.join("appliance.toml"), config).unwrap();
    // Whoever may write the configuration could leave out any name: they become nobody else by it.
    for named in ["user = \"nobody\"", ""] {
        let served = Served::start(&state, named, &[]);
        let status = served.status();
        assert!(status["Uid"].split_whitespace().all(|uid| uid != "0"), "{}", status["Uid"]);
        assert!(status["Gid"].split_whitespace().all(|gid| gid != "0") && !status["Groups"].split_whitespace().any(|gid| gid == "0"));
        let said = served.terminate();
        assert!(said.contains("is_root=false") && !said.contains("it serves as root"), "{said}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_backup_of_a_vault_on_another_disk_copies_nothing_to_the_ledgers() {
    let (World { running, folder, .. }, state, _) = stopped().await;
    stop(running).await;
    let elsewhere = tempfile::tempdir_in("/dev/shm").unwrap();
    let (vault, device) = (elsewhere.path().join("vault"), |path: &Path| fs::metadata(path).unwrap().dev());
    if device(elsewhere.path()) == device(&state) {
        println!("SKIPPED: there is one disk only");
        return;
    }
    assert!(Command::new("cp").arg("-r").arg(state.join("vault")).arg(&vault).status().unwrap().success());
    fs::remove_dir_all(state.join("vault")).unwrap();
    symlink(&vault, state.join("vault")).unwrap();
    let served = Served::start(&state, "", &[]);
    let (of, to) = (Folder::new(&state), elsewhere.path().join("backup"));
    let backup = tokio::task::spawn_blocking(move || ask_for_backup(&of, &to)).await.unwrap().unwrap().unwrap().unwrap();
    served.terminate();
    // What was copied by way of the other disk is another file.
    let listed = |folder: &str| {
        let listed =
            Command::new("find").args([".", "-type", "f", "-printf", "%i %p\n"]).current_dir(elsewhere.path().join(folder)).output();
        let mut listed: Vec<_> = String::from_utf8(listed.unwrap().stdout).unwrap().lines().map(str::to_owned).collect();
        listed.sort();
        listed
    };
    let copied = listed("backup/vault");
    assert!(backup.objects > 0 && backup.objects == copied.len() as u64, "{backup:?}");
    assert!(copied.iter().all(|file| listed("vault").contains(file)), "{copied:?}");
    drop(folder);
}

/// As far as this kernel can: all that is asked came with Linux 6.15.
fn kept() -> &'static str {
    let release = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap();
    let mut numbers = release.split(['.', '-']).map_while(|number| number.parse::<u32>().ok());
    if (numbers.next(), numbers.next()) >= (Some(6), Some(15)) { "Kept" } else { "InPart" }
}

fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

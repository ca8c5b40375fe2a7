//! The program under a service manager and an operator: what it tells systemd, what SIGHUP does, what `status` and `doctor` say and exit with.
#![allow(clippy::unwrap_used, missing_docs)]

mod common;

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::time::{Duration, Instant};

use common::served::Served;
use common::*;
use serde_json::Value;

/// Starts and stops take a second on a busy machine.
const TOLD_MAX: Duration = Duration::from_secs(60);

async fn stopped() -> (tempfile::TempDir, PathBuf) {
    let World { running, folder, .. } = World::new().await;
    stop(running).await;
    let state = folder.path().join("state");
    (folder, state)
}

/// What systemd's socket is told, until it is told this.
fn told_until(socket: &UnixDatagram, wanted: &str) -> Vec<String> {
    told_until_any(socket, |line| line == wanted)
}

fn told_until_any(socket: &UnixDatagram, is_wanted: impl Fn(&str) -> bool) -> Vec<String> {
    let (mut told, mut buffer, began) = (Vec::new(), [0; 4096], Instant::now());
    while began.elapsed() < TOLD_MAX {
        let Ok(length) = socket.recv(&mut buffer) else { continue };
        let text = String::from_utf8_lossy(&buffer[..length]).into_owned();
        let has_come = text.lines().any(&is_wanted);
        told.push(text);
        if has_come {
            return told;
        }
    }
    panic!("what was wanted was not told, but {told:?}");
}

fn operator(command: &str, state: &Path) -> (Output, Value) {
    let mut program = Command::new(env!("CARGO_BIN_EXE_exhibit-appliance"));
    let output = program.args(["--json", command, "--state"]).arg(state).output().unwrap();
    let value = serde_json::from_slice(&output.stdout).unwrap_or_default();
    (output, value)
}

#[tokio::test(flavor = "multi_thread")]
async fn systemd_is_told_that_it_serves_lives_reloads_and_ends() {
    let (folder, state) = stopped().await;
    let path = folder.path().join("notify");
    let socket = UnixDatagram::bind(&path).unwrap();
    socket.set_read_timeout(Some(Duration::from_secs(1))).unwrap();
    let watchdog = Path::new("4000000");
    let served = Served::start(&state, "", &[("NOTIFY_SOCKET", &path), ("WATCHDOG_USEC", watchdog)]);
    told_until(&socket, "READY=1");
    // Twice: it goes on telling, from within its confinement.
    told_until(&socket, "WATCHDOG=1");
    told_until(&socket, "WATCHDOG=1");

    let (output, status) = operator("status", &state);
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    assert_eq!((&status["running"], &status["status"]["pid"]), (&Value::Bool(true), &served.child.id().into()));

    // What is wrong is not taken, and it serves on; what is right is.
    let config = fs::read_to_string(state.join("appliance.toml")).unwrap();
    fs::write(state.join("appliance.toml"), format!("disk_reserve = 1\n{config}")).unwrap();
    served.signal("HUP");
    let reloading = told_until(&socket, "READY=1");
    assert!(reloading.iter().any(|told| told.contains("RELOADING=1") && told.contains("MONOTONIC_USEC=")), "{reloading:?}");
    assert_eq!(operator("status", &state).1["status"]["health"]["status"], "ok");
    fs::write(state.join("appliance.toml"), config.replace("disk_reserve_mib = 1024", "disk_reserve_mib = 1000000000")).unwrap();
    served.signal("HUP");
    told_until(&socket, "READY=1");
    let (output, status) = operator("status", &state);
    assert_eq!((output.status.code(), &status["status"]["health"]["reasons"][0]["code"]), (Some(1), &"disk-full".into()));
    // systemctl status shows it within ten seconds.
    told_until_any(&socket, |told| told.starts_with("STATUS=failing: the disk of the vault has"));

    served.signal("TERM");
    told_until(&socket, "STOPPING=1");
    let said = served.terminate();
    assert!(said.contains("the configuration is not taken"), "{said}");
    let (output, status) = operator("status", &state);
    assert_eq!((output.status.code(), &status["running"]), (Some(1), &Value::Bool(false)));
}

/// The findings of `doctor` that are as bad as this, by their checks.
fn found(state: &Path, level: &str) -> (Option<i32>, Vec<String>) {
    let (output, told) = operator("doctor", state);
    let findings = told["findings"].as_array().unwrap_or_else(|| panic!("{output:?}"));
    assert!(findings.iter().all(|finding| finding["status"] == "ok" || !finding["remedy"].as_str().unwrap().is_empty()), "{findings:?}");
    let bad = findings.iter().filter(|finding| finding["status"] == level).map(|finding| finding["check"].as_str().unwrap().to_owned());
    (output.status.code(), bad.collect())
}

#[tokio::test(flavor = "multi_thread")]
async fn the_doctor_finds_what_is_wrong_and_nothing_else() {
    let (_folder, state) = stopped().await;
    // The sample's ports may be another program's here.
    let config = fs::read_to_string(state.join("appliance.toml")).unwrap().replace(":7443", ":0").replace(":7444", ":0");
    fs::write(state.join("appliance.toml"), &config).unwrap();
    let with = |more: &str| fs::write(state.join("appliance.toml"), format!("{more}\n{config}")).unwrap();
    assert_eq!(found(&state, "failing"), (Some(0), vec![]), "all is well");
    assert!(found(&state, "warning").1.contains(&"head seal".to_owned()), "a seal beside the ledger is no word of another");

    let mode = |name: &str, mode| fs::set_permissions(state.join(name), fs::Permissions::from_mode(mode)).unwrap();
    for (name, kept, open, check) in [("note-ed25519.key", 0o600, 0o640, "keys"), ("", 0o700, 0o711, "state folder")] {
        mode(name, open);
        assert_eq!(found(&state, "failing"), (Some(1), vec![check.to_owned()]), "{name}");
        mode(name, kept);
    }
    for (name, check) in
        [("appliance.pem", "certificate"), ("appliance.key", "keys"), ("anchor.json", "log"), ("ledger", "log"), ("vault", "disk")]
    {
        fs::rename(state.join(name), state.join("aside")).unwrap();
        assert!(found(&state, "failing").1.contains(&check.to_owned()), "{name} is not missed");
        fs::rename(state.join("aside"), state.join(name)).unwrap();
    }
    let seed = fs::read(state.join("note-ed25519.key")).unwrap();
    fs::write(state.join("note-ed25519.key"), format!("{}\n", "ab".repeat(32))).unwrap();
    assert_eq!(found(&state, "failing"), (Some(1), vec!["log".to_owned()]), "another log's keys");
    fs::write(state.join("note-ed25519.key"), seed).unwrap();

    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    with(&format!("monitoring = \"{}\"", taken.local_addr().unwrap()));
    assert_eq!(found(&state, "failing"), (Some(1), vec!["addresses".to_owned()]));
    with("no_such_member = 1");
    assert_eq!(found(&state, "failing"), (Some(1), vec!["configuration".to_owned()]));
    let config = config.replace("disk_reserve_mib = 1024", "disk_reserve_mib = 1000000000");
    fs::write(state.join("appliance.toml"), &config).unwrap();
    assert_eq!(found(&state, "failing"), (Some(1), vec!["disk".to_owned(); 2]));
    let config = config.replace("disk_reserve_mib = 1000000000", "disk_reserve_mib = 1024");
    fs::write(state.join("appliance.toml"), format!("{config}\n[bans]\nalert = [\"/no/such/program\"]\n")).unwrap();
    assert_eq!(found(&state, "failing"), (Some(1), vec!["programs".to_owned()]));
    fs::write(state.join("appliance.toml"), &config).unwrap();

    // Right after `init`, what comes next is what is missing.
    let begun = state.with_file_name("begun");
    exhibit_appliance::setup::Folder::new(&begun)
        .init(&exhibit_pki::Identity::parse("spiffe://city.example/appliance/2").unwrap())
        .unwrap();
    fs::write(begun.join("appliance.toml"), &config).unwrap();
    assert_eq!(found(&begun, "failing"), (Some(1), vec!["certificate".to_owned(), "log".to_owned()]));

    // It may look while the appliance runs, and the appliance is what listens then.
    let served = Served::start(&state, "", &[]);
    assert_eq!(found(&state, "failing"), (Some(0), vec![]));
    served.terminate();
}

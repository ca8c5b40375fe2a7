//! A mirror, end to end: what a camera recorded is at the mirror, another's client audits it there, and an appliance that was lost comes back from it,
//! as docs/operations.md says.
#![allow(clippy::unwrap_used)]

use std::{fs, path::Path, process::Command, time::Duration};

use exhibit_client::Appliance;
use exhibit_e2e::{
    agent::AgentCamera,
    process::{program, run},
    witness::Witness,
    world::World,
};
use exhibit_tlog::witness::checkpoint_path;
use serde_json::Value;
use tokio::time::{sleep, timeout};

/// A mirror is fed within a second, and again within a minute where it failed.
const MIRROR_MAX: Duration = Duration::from_secs(100);

/// Waits until the mirror has all that there is, and everything of it is final; how much that is.
async fn until_mirrored(appliance: &mut Appliance) -> u64 {
    let mut last = Value::Null;
    let found = timeout(MIRROR_MAX, async {
        loop {
            last = appliance.get_json("/v1/witnesses").await.unwrap();
            if last["mirrors"][0]["size"] == last["size"] && last["final_size"] == last["size"] {
                return last["size"].as_u64().unwrap();
            }
            sleep(Duration::from_millis(100)).await;
        }
    });
    found.await.unwrap_or_else(|_| panic!("the mirror lags: {last}"))
}

fn copy(from: &Path, to: &Path) {
    assert!(Command::new("cp").arg("-a").arg(from).arg(to).status().unwrap().success());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_lost_appliance_comes_back_from_its_mirror_and_an_old_copy_beside_it_is_refused() {
    let elsewhere = tempfile::tempdir().unwrap();
    let mut mirror = Witness::new(elsewhere.path(), "blue");
    let mut world = World::start_with(|state| {
        // Final is what there is a copy of.
        let policy =
            format!("{}witness copy {}\ngroup enough all blue copy\nquorum enough\n", mirror.policy_lines(), mirror.mirror_keys[0]);
        fs::write(state.join("witness.policy"), policy).unwrap();
        let config = fs::read_to_string(state.join("appliance.toml")).unwrap();
        let config =
            config.replace("# witness_policy", "witness_policy").replace("timestamp_interval_s = 60", "timestamp_interval_s = 3600");
        fs::write(state.join("appliance.toml"), config + &mirror.mirror_toml()).unwrap();
    });
    mirror.follow(&world.anchor());
    mirror.start_with(elsewhere.path(), &["--mirror"]);
    let custodian = world.person("custodian", "custodian");
    let camera = AgentCamera::enrol(&world, "102", &custodian);
    world.set_recipients(&custodian, &camera.subject);
    camera.record(&world, "test:40", &["--no-live-speed"]);
    let mut client = custodian.connect(&world);
    until_mirrored(&mut client).await;
    let appliance =
        |words: &[&str], path: &Path| run(Command::new(program("exhibit-appliance")).arg("--json").args(words).arg("--state").arg(path));
    let (backup, old) = (world.folder().join("backup"), elsewhere.path().join("old"));
    run(Command::new(program("exhibit-appliance")).arg("backup").arg("--state").arg(world.state()).arg(&backup)).expect(0);
    copy(&world.state(), &old);

    // The mirror is killed while the camera goes on, and so is the appliance afterwards.
    mirror.kill();
    camera.record(&world, "test:40", &["--no-live-speed"]);
    world.kill_appliance();
    mirror.start_with(elsewhere.path(), &["--mirror"]);
    world.start_appliance();
    let size = until_mirrored(&mut client).await;

    // A client that knows the C2SP pages alone finds all of it there.
    let anchor = world.anchor();
    let prefix = format!("{}/mirror/{}", mirror.url(), checkpoint_path(&anchor.verifier.origin).trim_end_matches("/checkpoint"));
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/../c2sp/client.py");
    let mut audit = Command::new("/usr/bin/python3");
    audit.args(["-B", script]);
    for key in &anchor.verifier.keys {
        audit.args(["--vkey", &key.to_string()]);
    }
    let has_cryptography =
        Command::new("/usr/bin/python3").args(["-c", "import cryptography"]).status().is_ok_and(|status| status.success());
    // Without Debian's python3-cryptography nothing is audited, which is a failure under `make test`.
    if has_cryptography || std::env::var_os("EXHIBIT_TEST_ALL").is_some() {
        let audited = run(audit.arg("--all-widths").arg(&prefix)).expect(0).json();
        assert_eq!(audited["entries"].as_u64(), Some(size));
    }

    // An old copy beside the running appliance.
    let refused = run(Command::new(program("exhibit-appliance"))
        .args(["serve", "--intake", "127.0.0.1:0", "--public", "127.0.0.1:0", "--state"])
        .arg(&old));
    let refused = refused.expect(2).stderr;
    assert!(refused.contains("has seen") && refused.contains("docs/operations.md"), "{refused}");

    // The state is lost but for its keys and appliance.toml, the seal included.
    world.kill_appliance();
    let keep = ["appliance.key", "note-ed25519.key", "note-ml-dsa-44.key", "appliance.toml"];
    let lost = elsewhere.path().join("lost");
    fs::rename(world.state(), &lost).unwrap();
    fs::create_dir(world.state()).unwrap();
    for name in keep {
        fs::copy(lost.join(name), world.state().join(name)).unwrap();
    }
    let from = backup.to_str().unwrap();
    let restored = appliance(&["restore", "--from", from], &world.state()).expect(1).json();
    assert_eq!(restored["size"].as_u64(), Some(size), "{restored}");
    let missing = restored["damages"].as_array().unwrap();
    assert!(!missing.is_empty() && missing.iter().all(|damage| damage["part"] != "entry"), "{restored}");
    world.start_appliance();
    // The camera holds receipts of this very log, and goes on with it.
    camera.record(&world, "test:40", &["--no-live-speed"]);
    assert!(until_mirrored(&mut client).await > size);
}

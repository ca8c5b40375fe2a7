//! Witnesses, end to end: two of three are enough, the intake waits for none, a bundle tells what they saw, and an old disk is found out.
#![allow(clippy::unwrap_used)]

use std::{fs, path::Path, process::Command, time::Duration};

use exhibit_client::Appliance;
use exhibit_e2e::{
    agent::AgentCamera,
    process::{program, run},
    witness::Witness,
    world::World,
};
use serde_json::{Value, json};
use tokio::time::{sleep, timeout};

/// Witnesses are asked within a second, and again within a minute where they failed.
const WITNESS_MAX: Duration = Duration::from_secs(100);

/// Asks the appliance how it stands with its witnesses until that is as wanted.
async fn until(appliance: &mut Appliance, what: &str, wanted: impl Fn(&Value) -> bool) -> Value {
    let mut last = Value::Null;
    let found = timeout(WITNESS_MAX, async {
        loop {
            last = appliance.get_json("/v1/witnesses").await.unwrap();
            if wanted(&last) {
                return;
            }
            sleep(Duration::from_millis(100)).await;
        }
    });
    assert!(found.await.is_ok(), "{what}: {last}");
    last
}

fn state_of<'a>(status: &'a Value, witness: &str) -> &'a str {
    let of = |standing: &&Value| standing["names"][0].as_str().unwrap().starts_with(witness);
    status["witnesses"].as_array().unwrap().iter().find(of).unwrap()["state"].as_str().unwrap()
}

fn files_with(folder: &Path, extension: &str) -> usize {
    let Ok(entries) = fs::read_dir(folder) else { return 0 };
    let count = |path: std::path::PathBuf| match path.is_dir() {
        true => files_with(&path, extension),
        false => usize::from(path.extension().is_some_and(|found| found == extension)),
    };
    entries.map(|entry| count(entry.unwrap().path())).sum()
}

fn copy(from: &Path, to: &Path) {
    assert!(Command::new("cp").arg("-a").arg(from).arg(to).status().unwrap().success());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_of_three_witnesses_make_receipts_final_and_an_old_disk_is_found_out() {
    let elsewhere = tempfile::tempdir().unwrap();
    let mut witnesses = ["red", "green", "blue"].map(|name| Witness::new(elsewhere.path(), name));
    let lines: String = witnesses.iter().map(Witness::policy_lines).collect();
    let policy = format!("{lines}group enough 2 red green blue\nquorum enough\n");
    let mut world = World::start_with(|state| {
        fs::write(state.join("witness.policy"), &policy).unwrap();
        let config = fs::read_to_string(state.join("appliance.toml")).unwrap();
        let config = config.replace("# witness_policy", "witness_policy").replace("timestamp_interval_s = 60", "timestamp_interval_s = 1");
        fs::write(state.join("appliance.toml"), config).unwrap();
    });
    assert_eq!(world.anchor().policy.witnesses.unwrap().text(), policy, "the anchor does not demand the witnesses");
    let [red, _, blue] = &mut witnesses;
    // Green is dead; blue is held: it accepts connections and says nothing.
    for witness in [&mut *red, &mut *blue] {
        witness.follow(&world.anchor());
        witness.start(elsewhere.path());
    }
    blue.hold();
    let custodian = world.person("custodian", "custodian");
    let investigator = world.person("investigator", "investigator");
    let camera = AgentCamera::enrol(&world, "102", &custodian);
    world.set_recipients(&custodian, &camera.subject);

    // Nothing is final, and nothing waits: all is on the ledger, and the ciphertext stays in the spool.
    let first = camera.record(&world, "test:60", &["--no-live-speed"]);
    assert_eq!((first.ended("unsent"), first.ended("findings")), (0, 0));
    let spool = camera.state().join("spool");
    let (durable, payloads) = (files_with(&spool, "durable"), files_with(&spool, "payload"));
    assert_eq!((durable, files_with(&spool, "receipt")), (first.of("acknowledged").len(), 0), "one witness of two was enough");
    assert_eq!(payloads, first.of("sealed").len(), "ciphertext was let go before witnesses had seen it");
    let mut client = investigator.connect(&world);
    let status = until(&mut client, "red cosigns", |status| state_of(status, "red") == "cosigned").await;
    assert_eq!((status["final_size"].as_u64(), state_of(&status, "green")), (Some(0), "unreachable"));

    // Blue goes on, and red is killed and comes back: what is on the ledger becomes final, and so does a statement about that.
    blue.release();
    red.kill();
    red.start(elsewhere.path());
    let before = status["size"].as_u64().unwrap();
    until(&mut client, "what others saw is on the ledger, and seen again", |status| status["final_size"].as_u64() > Some(before)).await;
    let second = camera.record(&world, "test:60", &["--no-live-speed"]);
    assert!(second.of("witnessed").len() >= durable, "final receipts of the first run were not collected: {:?}", second.events);
    assert_eq!(files_with(&spool, "durable"), 0, "something is not final");
    assert_eq!(files_with(&spool, "payload"), 0, "ciphertext of final statements is kept");

    world.kill_appliance();
    let old = elsewhere.path().join("old");
    copy(&world.state(), &old);
    world.start_appliance();
    let third = camera.record(&world, "test:60", &["--no-live-speed"]);
    let bundle = export(&world, &custodian, &investigator, &third.of("sealed"));
    judged(&world, &bundle);

    // The old disk again, which knows nothing of the third run.
    until(&mut client, "all is final", |status| status["final_size"] == status["size"]).await;
    world.kill_appliance();
    fs::remove_dir_all(world.state()).unwrap();
    copy(&old, &world.state());
    let refused = world.serve_refused();
    assert!(refused.contains("behind what was signed") && refused.contains("has seen"), "the old disk is not found out: {refused}");
    // Nobody outside can be asked: it starts, and is found out as soon as a witness is back.
    red.kill();
    blue.kill();
    world.start_appliance();
    red.start(elsewhere.path());
    let status = until(&mut client, "the old disk is found out", |status| status["contradicted"] == true).await;
    assert_eq!(state_of(&status, "red"), "contradicts");
}

/// Shares, fetches and exports what was sealed.
fn export(
    world: &World,
    custodian: &exhibit_e2e::world::Person,
    investigator: &exhibit_e2e::world::Person,
    sealed: &[&Value],
) -> std::path::PathBuf {
    let time = |event: &Value| exhibit_pki::Timestamp::parse(event["start"].as_str().unwrap()).unwrap();
    let (first, last) = (sealed.first().unwrap(), sealed.last().unwrap());
    let to = time(last).checked_add_ms(last["duration_ms"].as_u64().unwrap()).unwrap().to_string();
    let from = time(first).to_string();
    let grantee = investigator.path("wrapping.pem");
    let share = ["share", "--scope", "camera/102", "--from", &from, "--to", &to, "--grantee", &grantee, "--purpose", "case 7"];
    let grant = world.exhibit(custodian, &share).expect(0).text("grant");
    let folder = |name: &str| world.folder().join(name).to_str().unwrap().to_owned();
    let (case, bundle) = (folder("case"), folder("bundle"));
    world.exhibit(investigator, &["fetch", "--grant", &grant, "--out", &case]).expect(0);
    world.exhibit(investigator, &["export", "--case", &case, "--out", &bundle]).expect(0);
    bundle.into()
}

/// By an anchor that demands witnesses and times, and by one that demands a witness more than there is.
fn judged(world: &World, bundle: &Path) {
    let anchor: Value = serde_json::from_slice(&fs::read(world.anchor_path()).unwrap()).unwrap();
    let judge = |name: &str, threshold: &str| {
        let mut demanding = anchor.clone();
        let policy = anchor["witness_policy"].as_str().unwrap().replace("group enough 2", &format!("group enough {threshold}"));
        demanding["witness_policy"] = policy.into();
        demanding["demands"] = json!(["witness", "time"]);
        let path = world.folder().join(name);
        fs::write(&path, demanding.to_string()).unwrap();
        run(Command::new(program("exhibit")).args(["--json", "verify"]).arg(bundle).arg("--anchor").arg(path)).json()
    };
    let good = judge("two-of-three.json", "2");
    let grade = |verdict: &Value, axis: &str| {
        let axes = verdict["axes"].as_array().unwrap().iter();
        axes.filter(|found| found[0] == axis).map(|found| found[1].as_str().unwrap().to_owned()).next().unwrap()
    };
    assert_eq!((grade(&good, "witness").as_str(), grade(&good, "time").as_str()), ("good", "good"), "{good:#}");
    for segment in good["times"].as_array().unwrap() {
        assert!(!segment["not_before"].as_array().unwrap().is_empty() && !segment["not_after"].as_array().unwrap().is_empty(), "{segment}");
    }
    let strict = judge("three-of-three.json", "3");
    assert_eq!(grade(&strict, "witness"), "undecided", "a witness that is dead has witnessed");
}

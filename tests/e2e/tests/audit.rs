//! `exhibit audit` follows the log of a real appliance: as an auditor over mutual TLS, and as anybody, by its hashes alone.
#![allow(clippy::unwrap_used)]

use exhibit_e2e::process::Outcome;
use exhibit_e2e::world::{Person, World};
use serde_json::Value;

/// The last line says what came of it.
fn checked(outcome: &Outcome) -> Value {
    serde_json::from_str(outcome.stdout.lines().last().unwrap()).unwrap()
}

fn audit(world: &World, person: &Person, address: &str, state: &str, words: &[&str]) -> Outcome {
    let (log, state) = (format!("https://{address}/log"), world.folder().join(state));
    world.exhibit(person, &[&["audit", &log, "--state", state.to_str().unwrap()][..], words].concat())
}

#[test]
fn an_auditor_follows_the_log_and_anybody_its_hashes() {
    let world = World::start();
    let (auditor, custodian) = (world.person("auditor", "auditor"), world.person("custodian", "custodian"));
    let address = world.address().to_owned();
    let first = checked(&audit(&world, &auditor, &address, "audit", &[]).expect(0));
    assert_eq!((first["outcome"].as_str(), first["judged"].as_u64()), (Some("sound"), first["size"].as_u64()), "{first}");

    world.set_recipients(&custodian, "camera/7");
    let second = checked(&audit(&world, &auditor, &address, "audit", &[]).expect(0));
    assert_eq!((second["outcome"].as_str(), second["new"].as_u64()), (Some("sound"), Some(1)), "{second}");

    let public = world.public_address().to_owned();
    let hashes = checked(&audit(&world, &auditor, &public, "hashes", &["--hashes-only"]).expect(0));
    assert_eq!((hashes["outcome"].as_str(), hashes["judged"].as_u64()), (Some("sound"), second["size"].as_u64()), "{hashes}");
    // Entries are not open: that they are not served is seen, and not taken for a sound log.
    let closed = checked(&audit(&world, &auditor, &public, "closed", &[]).expect(1));
    assert_eq!(closed["outcome"], "missing", "{closed}");
    // A custodian has the role for entries too; a person without one is refused, which is no news of the log.
    let admin = world.person("admin", "admin");
    let refused = checked(&audit(&world, &admin, &address, "refused", &[]).expect(2));
    assert_eq!(refused["outcome"], "unavailable", "{refused}");
}

/// An appliance that was put back to an older copy, seal and all, can not tell: its next entry makes another log of it. The auditor can.
#[test]
fn a_log_that_was_put_back_and_went_on_otherwise_is_forked() {
    let mut world = World::start();
    let (auditor, custodian) = (world.person("auditor", "auditor"), world.person("custodian", "custodian"));
    let address = world.address().to_owned();
    world.kill_appliance();
    let (state, copy) = (world.folder().join("appliance"), world.folder().join("copy"));
    copy_folder(&state, &copy);
    world.start_appliance();
    for camera in ["camera/1", "camera/2", "camera/3"] {
        world.set_recipients(&custodian, camera);
    }
    audit(&world, &auditor, &address, "audit", &[]).expect(0);
    world.kill_appliance();
    std::fs::remove_dir_all(&state).unwrap();
    copy_folder(&copy, &state);
    world.start_appliance();
    let shorter = audit(&world, &auditor, &address, "audit", &[]).expect(1);
    assert_eq!(checked(&shorter)["outcome"], "forked", "{}", shorter.stdout);
    // It grows beyond where it was.
    for name in ["one", "two"] {
        world.person(name, "investigator");
    }
    let longer = audit(&world, &auditor, &address, "audit", &["--acknowledge"]).expect(1);
    assert_eq!(checked(&longer)["outcome"], "forked", "{}", longer.stdout);
    let proofs = std::fs::read_dir(world.folder().join("audit")).unwrap();
    let proofs = proofs.filter(|entry| entry.as_ref().unwrap().file_name().to_str().unwrap().starts_with("proof-"));
    assert_eq!(proofs.count(), 2, "both pairs of signed checkpoints are kept");
}

fn copy_folder(from: &std::path::Path, to: &std::path::Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let (path, copy) = (entry.path(), to.join(entry.file_name()));
        if path.is_dir() {
            copy_folder(&path, &copy);
        } else if path.is_file() {
            std::fs::copy(&path, &copy).unwrap();
        }
    }
}

//! The command lines that people and scripts rely on: help, wrong use, and what is said when something is missing.
#![allow(clippy::unwrap_used)]

use std::{path::Path, process::Command};

use exhibit_e2e::{
    process::{Outcome, program, run},
    world::{DOMAIN, World},
};

/// Every program, with its commands.
const PROGRAMS: [(&str, &[&str]); 4] = [
    (
        "exhibit",
        &[
            "identity",
            "pin",
            "recipients",
            "approve",
            "restate",
            "share",
            "streams",
            "fetch",
            "export",
            "verify",
            "audit",
            "completions",
            "manual",
        ],
    ),
    ("exhibit-authority", &["init", "sign", "restate"]),
    ("exhibit-appliance", &["init", "create-log", "anchor", "serve", "fsck", "backup", "repair", "restore", "bans", "seal"]),
    ("exhibit-camera-agent", &["enrol", "install", "run"]),
];

/// Runs a program with words, in a folder, with nothing of ours in its environment.
fn said(name: &str, words: &[&str], folder: &Path) -> Outcome {
    let mut command = Command::new(program(name));
    for variable in ["EXHIBIT_APPLIANCE", "EXHIBIT_ANCHOR", "EXHIBIT_IDENTITY"] {
        command.env_remove(variable);
    }
    run(command.args(words).current_dir(folder).env("TSS2_LOG", "all+NONE"))
}

#[test]
fn help_suffices() {
    let folder = tempfile::tempdir().unwrap();
    for (name, commands) in PROGRAMS {
        let help = said(name, &["--help"], folder.path()).expect(0).stdout;
        for words in ["Usage:", "Exit codes:", "64"] {
            assert!(help.contains(words), "{name} --help does not say {words}:\n{help}");
        }
        for command in commands {
            assert!(help.contains(command), "{name} --help does not list {command}:\n{help}");
            let help = said(name, &[command, "--help"], folder.path()).expect(0).stdout;
            assert!(help.contains("Usage:"), "{name} {command} --help:\n{help}");
        }
        let version = said(name, &["--version"], folder.path()).expect(0).stdout;
        assert!(version.starts_with(&format!("{name} {} (", env!("CARGO_PKG_VERSION"))), "{version}");
    }
    for shell in ["bash", "zsh", "fish"] {
        assert!(said("exhibit", &["completions", shell], folder.path()).expect(0).stdout.contains("exhibit"));
    }
    assert!(said("exhibit", &["manual"], folder.path()).expect(0).stdout.contains(".TH exhibit"));
}

#[test]
fn wrong_use_is_64_and_changes_nothing() {
    let folder = tempfile::tempdir().unwrap();
    for (name, commands) in PROGRAMS {
        for words in [&["--no-such-option"][..], &["no-such-command"], &[commands[0], "--no-such-option"]] {
            let outcome = said(name, words, folder.path()).expect(64);
            assert!(outcome.stderr.contains("no-such"), "{name} does not say what is wrong: {}", outcome.stderr);
        }
        said(name, &[], folder.path()).expect(64);
    }
    let wrong: [(&str, &[&str]); 12] = [
        ("exhibit", &["audit", "http://127.0.0.1:1/log", "--state", "x", "--anchor", "y", "--once", "--follow"]),
        ("exhibit", &["audit", "http://127.0.0.1:1/log", "--state", "x", "--anchor", "y", "--alarm", "everything"]),
        ("exhibit", &["verify"]),
        ("exhibit", &["identity", "new", "--dir", "x", "--domain", "City Example"]),
        ("exhibit", &["completions", "no-such-shell"]),
        ("exhibit-authority", &["init", "--dir", "x"]),
        ("exhibit-authority", &["init", "--dir", "x", "--domain", "not a domain"]),
        ("exhibit-authority", &["sign", "--dir", "x", "--csr", "y", "--role", "king", "--out", "z"]),
        ("exhibit-appliance", &["init", "--state", "x", "--server-name", "localhost", "--identity", "appliance/1"]),
        ("exhibit-appliance", &["serve", "--state", "x", "--intake", "localhost"]),
        ("exhibit-camera-agent", &["enrol", "--state", "x", "--identity", "spiffe://city.example/user/1"]),
        ("exhibit-camera-agent", &["run", "--state", "x", "--source", "telegraph:"]),
    ];
    for (name, words) in wrong {
        let outcome = said(name, words, folder.path()).expect(64);
        assert!(!outcome.stderr.trim().is_empty(), "{name} {words:?} says nothing");
    }
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0, "wrong use left something behind");
}

#[test]
fn what_is_missing_is_named_with_what_to_do() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::create_dir(folder.path().join("empty")).unwrap();
    let connection = ["--appliance", "127.0.0.1:1", "--anchor", "no-anchor.json", "--identity", "no-identity"];
    let with_connection = |words: &[&'static str]| [words, &connection].concat();
    let cases: Vec<(&str, Vec<&str>, &[&str])> = vec![
        ("exhibit", vec!["verify", "no-bundle", "--anchor", "no-anchor.json"], &["no-"]),
        ("exhibit", vec!["verify", "empty"], &["--anchor", "ask the operator"]),
        ("exhibit", vec!["pin", "--anchor", "no-anchor.json", "--custodian", "no.pem", "--out", "pin"], &["cannot read no.pem"]),
        ("exhibit", vec!["identity", "show", "--dir", "no-identity"], &["no-identity/signing.pem"]),
        ("exhibit", with_connection(&["streams"]), &["cannot read no-anchor.json"]),
        ("exhibit", with_connection(&["export", "--case", "no-case", "--out", "bundle"]), &["no-case/case.json"]),
        ("exhibit", vec!["audit", "mirror", "--state", "state", "--anchor", "no-anchor.json"], &["cannot read no-anchor.json"]),
        ("exhibit-authority", vec!["sign", "--dir", "no-pki", "--csr", "a.csr", "--role", "camera", "--out", "a.pem"], &["no-pki"]),
        ("exhibit-appliance", vec!["serve", "--state", "no-state"], &["no-state"]),
        ("exhibit-appliance", vec!["anchor", "--state", "no-state"], &["no-state", "anchor.json"]),
        ("exhibit-appliance", vec!["fsck", "--state", "no-state"], &["no-state", "anchor.json"]),
        ("exhibit-appliance", vec!["restore", "--state", "no-state", "--from", "no-backup"], &["no-state"]),
        (
            "exhibit-camera-agent",
            vec!["run", "--state", "no-state", "--source", "test:", "--appliance", "127.0.0.1:1", "--tcti", "swtpm:host=127.0.0.1,port=1"],
            &["enrol this camera first"],
        ),
        (
            "exhibit-camera-agent",
            vec!["enrol", "--state", "camera", "--identity", "spiffe://city.example/camera/1", "--tcti", "swtpm:host=127.0.0.1,port=1"],
            &["no TPM answers at swtpm:host=127.0.0.1,port=1"],
        ),
    ];
    for (name, words, expected) in cases {
        let outcome = said(name, &words, folder.path()).expect(2);
        let speaks = outcome.stderr.lines().any(|line| line.starts_with(&format!("{name}: ")));
        assert!(speaks, "{name} {words:?} does not say who speaks: {}", outcome.stderr);
        for word in expected {
            assert!(outcome.stderr.contains(word), "{name} {words:?} does not say {word}: {}", outcome.stderr);
        }
        assert!(!outcome.stderr.contains("panicked"), "{}", outcome.stderr);
    }
}

#[test]
fn keys_and_logs_are_never_overwritten() {
    let mut world = World::start();
    let folder = &world.folder().to_owned();
    let person = world.person("custodian", "custodian");
    let key = std::fs::read(person.path("signing.key")).unwrap();
    let again = said("exhibit", &["identity", "new", "--dir", "custodian", "--domain", DOMAIN], folder).expect(2);
    assert!(again.stderr.contains("signing.key"), "{}", again.stderr);
    assert_eq!(std::fs::read(person.path("signing.key")).unwrap(), key, "a key was overwritten");

    let root = std::fs::read(world.pki().join("root.key")).unwrap();
    said("exhibit-authority", &["init", "--dir", "pki", "--domain", DOMAIN], folder).expect(2);
    assert_eq!(std::fs::read(world.pki().join("root.key")).unwrap(), root, "the root's key was overwritten");

    // One program at a time has the appliance's folder.
    let init = ["init", "--state", "appliance", "--identity", "spiffe://city.example/appliance/1", "--server-name", "localhost"];
    let serve = ["serve", "--state", "appliance", "--intake", "127.0.0.1:0", "--public", "127.0.0.1:0"];
    for words in [&init[..], &serve] {
        let refused = said("exhibit-appliance", words, folder).expect(2);
        assert!(refused.stderr.contains("in use"), "two programs wrote in one folder: {}", refused.stderr);
    }

    world.kill_appliance();
    let refused = said("exhibit-appliance", &init, folder).expect(2);
    assert!(refused.stderr.contains("exists already"), "{}", refused.stderr);
    let create =
        ["create-log", "--state", "appliance", "--origin", "city.example/log/9", "--chain", "pki/chain.pem", "--root", "pki/root.pem"];
    said("exhibit-appliance", &create, folder).expect(2);
    assert!(world.anchor().verifier.origin.ends_with("/log/1"), "the log was replaced by another");
}

#[test]
fn who_can_not_be_reached_is_named() {
    let mut world = World::start();
    let person = world.person("custodian", "custodian");
    world.kill_appliance();
    let words = ["streams", "--prefix", "camera/"];
    let outcome = world.exhibit(&person, &words).expect(2);
    assert!(outcome.stderr.contains("cannot reach the appliance at") && outcome.stderr.contains(world.address()), "{}", outcome.stderr);
    assert_eq!(outcome.json()["exit"], 2, "machines are told too: {}", outcome.stdout);
    // A statement that could not be delivered goes out with the next, once.
    let (wrapping, signing) = (person.path("wrapping.pem"), person.path("signing.pem"));
    let set = ["recipients", "set", "--scope", "camera/7", "--recipient", &wrapping, "--custodian", &signing];
    world.exhibit(&person, &set).expect(2);
    world.start_appliance();
    world.set_recipients(&person, "camera/7");
}

//! What the appliance logs about its own security stands on the ledger: an auditor reads it, verified, and sees what was done to it.
#![allow(clippy::unwrap_used)]

use std::fs;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use exhibit_e2e::process::Outcome;
use exhibit_e2e::world::{Person, World};
use serde_json::Value;

/// A line is on the ledger a second after it was written, and read by a command that takes a second on a busy machine.
const STATED_MAX: Duration = Duration::from_secs(30);

struct Reading {
    lines: Vec<Value>,
    findings: Vec<String>,
    code: i32,
    said: String,
}

fn world() -> World {
    World::start_with(|state| {
        let config = fs::read_to_string(state.join("appliance.toml")).unwrap();
        fs::write(state.join("appliance.toml"), config.replace("log_interval_s = 300", "log_interval_s = 1")).unwrap();
    })
}

fn dump(world: &World, auditor: &Person, words: &[&str]) -> Reading {
    let outcome: Outcome = world.exhibit(auditor, &[&["log", "dump"][..], words].concat());
    let events: Vec<Value> = outcome.stdout.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let of = |event: &str| events.iter().filter(|value| value["event"] == event).cloned().collect::<Vec<_>>();
    let findings = of("finding").iter().map(|finding| finding["kind"].as_str().unwrap().to_owned()).collect();
    let lines = of("line").into_iter().map(|mut line| line["line"].take()).collect();
    Reading { lines, findings, code: outcome.code.unwrap(), said: outcome.stderr }
}

/// Waits until a line of this kind is on the ledger.
fn stated(world: &World, auditor: &Person, message: &str) -> Reading {
    let began = Instant::now();
    loop {
        let read = dump(world, auditor, &[]);
        if read.lines.iter().any(|line| line["message"] == message) {
            return read;
        }
        assert!(began.elapsed() < STATED_MAX, "{message} is not on the ledger: {:?}, {}", read.lines, read.said);
    }
}

/// Says something that is not TLS, in words that would be a line of their own.
fn attack(world: &World) {
    let mut stream = TcpStream::connect(world.address()).unwrap();
    stream.write_all(b"GET /\n2026-11-22T00:00:00Z INFO exhibit: all is well\n").unwrap();
    // What it answers, if anything, is not read: the connection ends.
    let _ = stream.read_to_end(&mut Vec::new());
}

/// The vault's objects that hold log lines: there are no others with such words in them.
fn stored_lines(world: &World) -> Vec<PathBuf> {
    let folders = fs::read_dir(world.state().join("vault/attachments")).unwrap();
    let files = folders.flat_map(|folder| fs::read_dir(folder.unwrap().path()).unwrap()).map(|file| file.unwrap().path());
    files.filter(|file| String::from_utf8_lossy(&fs::read(file).unwrap()).contains("\"message\":\"confined\"")).collect()
}

#[test]
fn an_auditor_reads_what_happened_and_sees_what_was_done_to_it() {
    let mut world = world();
    let (auditor, custodian) = (world.person("auditor", "auditor"), world.person("custodian", "custodian"));
    attack(&world);
    let read = stated(&world, &auditor, "a handshake was refused");
    assert_eq!((read.code, read.findings.len()), (0, 0));
    assert!(read.lines.iter().any(|line| line["message"] == "confined" && line["at"].is_string()), "{:?}", read.lines);
    let denied = world.exhibit(&custodian, &["log", "dump"]);
    assert!(denied.code != Some(0), "who has no business with it reads it: {}", denied.stdout);

    // What was not on the ledger yet when the process was killed is there after the next start, once: its answer came after its line.
    world.kill_appliance();
    world.start_appliance();
    let again = {
        let began = Instant::now();
        loop {
            let read = dump(&world, &auditor, &[]);
            let count = |message: &str| read.lines.iter().filter(|line| line["message"] == message).count();
            if count("confined") == 2 && count("a wrong attempt") == 1 {
                break read;
            }
            assert!(began.elapsed() < STATED_MAX, "lines were lost: {:?}, {}", read.lines, read.said);
        }
    };
    assert_eq!((again.code, again.findings), (0, vec![]));
    let later = dump(&world, &auditor, &["--from", "2100-01-01T00:00:00.000Z"]);
    assert_eq!((later.code, later.lines.len()), (0, 0), "a time is not heeded");

    // A line is changed in the vault, then is gone; neither passes.
    let stored = stored_lines(&world);
    let file = stored.first().expect("the lines are in the vault");
    let whole = fs::read(file).unwrap();
    let changed = String::from_utf8_lossy(&whole).contains("confined");
    assert!(changed);
    let position = whole.windows(8).position(|words| words == b"confined").unwrap();
    let mut bytes = whole.clone();
    bytes[position] = b'C';
    fs::write(file, &bytes).unwrap();
    let read = dump(&world, &auditor, &[]);
    assert_eq!((read.code, read.findings), (1, vec!["altered".to_owned()]));
    fs::remove_file(file).unwrap();
    let read = dump(&world, &auditor, &[]);
    assert_eq!((read.code, read.findings), (1, vec!["missing".to_owned()]));
    fs::write(file, &whole).unwrap();
    assert_eq!(dump(&world, &auditor, &[]).code, 0);
}

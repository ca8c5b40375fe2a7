//! The program over HTTP: every status of tlog-witness, what monitors read, and hostile requests named by their defect.
#![allow(clippy::unwrap_used)]

mod common;

use std::io::{BufReader, Write};
use std::net::TcpStream;
use std::path::Path;

use common::{Answer, Log, NAME, ORIGIN, Serving, ask, init, program, read_answer, state_in};
use exhibit_tlog::witness::{ADD_CHECKPOINT_SIZE_BYTES_MAX, add_cosignatures, checkpoint_path};
use exhibit_tlog::{AddCheckpoint, Checkpoint, EMPTY_ROOT, Hash, Note, Policy};

fn status_of(answer: &Answer) -> u16 {
    answer.status
}

#[test]
fn what_extends_the_tree_is_cosigned_with_both_keys_and_monitors_see_it() {
    let folder = tempfile::tempdir().unwrap();
    let (log, other) = (Log::new(ORIGIN, "a", 0, 20), Log::new("exhibit.example/log/2", "a", 0, 20));
    let keys = init(&state_in(&folder), &[&log, &other]);
    let witness = Serving::start(&state_in(&folder));
    let path = format!("/{}", checkpoint_path(ORIGIN));
    assert_eq!(witness.get(&path).status, 404, "there is nothing yet");
    for (old, size) in [(0, 0), (0, 5), (5, 5), (5, 9), (9, 17)] {
        let request = log.request(old, size);
        let answer = witness.add(&request);
        assert_eq!(answer.status, 200, "from {old} to {size}: {}", answer.body);
        let cosigned = add_cosignatures(&request.checkpoint, &answer.body, &keys).unwrap();
        let note = Note::parse(&cosigned).unwrap();
        note.verify(&keys).unwrap();
        assert_eq!(note.signatures().len(), 4);
        let policy = format!("witness one {}\nwitness two {}\ngroup both all one two\nquorum both\n", keys[0], keys[1]);
        let witnessed = Policy::parse(&policy).unwrap().verify_of(&log.verifier(), &cosigned).unwrap();
        assert!(witnessed.cosigners().iter().all(|cosigner| cosigner.unix_s.is_some_and(|unix_s| unix_s > 1_700_000_000)));
        let monitored = witness.get(&path);
        assert_eq!((monitored.status, &monitored.body), (200, &cosigned), "monitors see something else than was cosigned");
        assert_eq!(monitored.headers["content-type"], "text/plain; charset=utf-8");
    }
    // The other log has its own state.
    assert_eq!(witness.add(&other.request(0, 3)).status, 200);
    assert_eq!(witness.add(&log.request(17, 18)).status, 200);
    let status = witness.status();
    assert_eq!((status["name"].as_str(), status["keys"][0].as_str()), (Some(NAME), Some(keys[0].to_string().as_str())));
    assert_eq!((status["logs"][0]["size"].as_u64(), status["logs"][1]["size"].as_u64()), (Some(18), Some(3)));
    assert_eq!(status["logs"][0]["root"].as_str(), Some(log.head(18).root.to_string().as_str()));
}

#[test]
fn every_refusal_has_its_status_and_leaves_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let log = Log::new(ORIGIN, "a", 0, 20);
    init(&state_in(&folder), &[&log]);
    let witness = Serving::start(&state_in(&folder));
    assert_eq!(witness.add(&log.request(0, 9)).status, 200);

    let fork = Log::new(ORIGIN, "b", 4, 20);
    let stranger = Log::new("exhibit.example/unknown", "a", 0, 20);
    let mut unsigned = log.request(9, 12);
    let text_end = unsigned.checkpoint.rfind("\n\n").unwrap();
    let lines = unsigned.checkpoint[text_end + 2..].to_owned();
    let mut one_key = unsigned.clone();
    one_key.checkpoint = format!("{}\n\n{}\n", &unsigned.checkpoint[..text_end], lines.lines().next().unwrap());
    let mut foreign_key = unsigned.clone();
    foreign_key.checkpoint = unsigned.checkpoint.replace("exhibit.example/log/1 ", "exhibit.example/other ");
    let moved = log.checkpoint(13).split_once("\n\n").unwrap().0.to_owned();
    unsigned.checkpoint = format!("{moved}\n\n{lines}");
    let other_root = Checkpoint { origin: ORIGIN.to_owned(), size: 0, root: Hash([1; 32]) };
    let empty_text = format!("old 0\n\n{}\n{lines}", other_root.to_text());
    let mut no_proof = log.request(9, 12);
    no_proof.proof.clear();
    let mut long_proof = log.request(9, 12);
    long_proof.proof.push(Hash([1; 32]));
    let mut proof_of_nothing = log.request(9, 9);
    proof_of_nothing.proof.push(Hash([1; 32]));
    let cases: Vec<(&str, String, u16)> = vec![
        ("shrinks", AddCheckpoint { old_size: 13, ..log.request(9, 12) }.to_text(), 400),
        ("older than the last", log.request(5, 7).to_text(), 409),
        ("from nothing again", log.request(0, 12).to_text(), 409),
        ("from beyond the last", log.request(10, 12).to_text(), 409),
        ("smaller tree, rightly named", AddCheckpoint { old_size: 9, ..log.request(5, 7) }.to_text(), 400),
        ("unknown log", stranger.request(9, 12).to_text(), 404),
        ("signature of another text", unsigned.to_text(), 403),
        ("one key of two", one_key.to_text(), 403),
        ("keys of another name", foreign_key.to_text(), 403),
        ("fork", fork.request(9, 12).to_text(), 422),
        ("fork of the same size", fork.request(9, 9).to_text(), 422),
        ("no proof", no_proof.to_text(), 422),
        ("proof that is too long", long_proof.to_text(), 422),
        ("proof where none belongs", proof_of_nothing.to_text(), 422),
        ("empty tree with another root", empty_text, 422),
        ("no request", String::new(), 400),
        ("old with a leading zero", log.request(9, 12).to_text().replacen("old 9", "old 09", 1), 400),
        ("old with a sign", log.request(9, 12).to_text().replacen("old 9", "old +9", 1), 400),
        ("no old", log.request(9, 12).to_text().replacen("old 9\n", "", 1), 400),
        ("carriage returns", log.request(9, 12).to_text().replace('\n', "\r\n"), 400),
        ("64 hashes", AddCheckpoint { proof: vec![Hash([1; 32]); 64], ..log.request(9, 12) }.to_text(), 400),
        ("hash that is cut", log.request(9, 12).to_text().replacen("=\n", "\n", 1), 400),
        ("extension line", log.request(9, 12).to_text().replacen("\n12\n", "\n12\nmore\n", 1), 400),
        ("no signature", format!("old 9\n\n{}\n", log.head(12).to_text()), 400),
    ];
    for (defect, body, status) in cases {
        let answer = witness.post(body.as_bytes());
        assert_eq!(answer.status, status, "{defect}: {}", answer.body);
        assert!(!answer.body.contains('\u{2014}'), "{defect}: a refusal has a signature line");
        if status == 409 {
            assert_eq!((answer.body.as_str(), answer.headers["content-type"].as_str()), ("9\n", "text/x.tlog.size"), "{defect}");
        }
    }
    assert_eq!(witness.status()["logs"][0]["size"].as_u64(), Some(9), "a refusal left something");
    assert_eq!(witness.add(&log.request(9, 12)).status, 200, "a refusal stands in the way");
    assert_eq!(log.head(0).root, EMPTY_ROOT);
}

#[test]
fn a_log_that_signs_two_trees_of_one_size_is_convicted_for_good() {
    let folder = tempfile::tempdir().unwrap();
    let log = Log::new(ORIGIN, "a", 0, 20);
    init(&state_in(&folder), &[&log]);
    let fork = Log::new(ORIGIN, "b", 4, 20);
    let hash = checkpoint_path(ORIGIN).split('/').next().unwrap().to_owned();
    {
        let witness = Serving::start(&state_in(&folder));
        assert_eq!(witness.add(&log.request(0, 9)).status, 200);
        // What proves nothing is not kept: another size may be an older or newer tree, and anybody can break a signature.
        assert_eq!(witness.add(&fork.request(9, 12)).status, 422);
        let mut forged = fork.request(9, 9);
        forged.checkpoint = forged.checkpoint.replace("\n9\n", "\n09\n");
        witness.add(&forged);
        assert_eq!(witness.get(&format!("/{hash}/fork")).status, 404);
        assert_eq!(witness.add(&fork.request(9, 9)).status, 422);
    }
    let witness = Serving::start(&state_in(&folder));
    let kept = witness.get(&format!("/{hash}/fork"));
    assert_eq!((kept.status, kept.body), (200, fork.checkpoint(9)), "the evidence is gone");
    assert_eq!(witness.status()["logs"][0]["fork"]["root"].as_str(), Some(fork.head(9).root.to_string().as_str()));
}

#[test]
fn hostile_http_is_answered_and_nothing_more() {
    let folder = tempfile::tempdir().unwrap();
    let log = Log::new(ORIGIN, "a", 0, 20);
    init(&state_in(&folder), &[&log]);
    let witness = Serving::start(&state_in(&folder));
    let cases: [(&str, Vec<u8>, u16); 8] = [
        ("GET of add-checkpoint", b"GET /add-checkpoint HTTP/1.1\r\nHost: w\r\n\r\n".to_vec(), 405),
        ("DELETE", b"DELETE /status HTTP/1.1\r\nHost: w\r\n\r\n".to_vec(), 405),
        ("climbing path", b"GET /../witness.toml HTTP/1.1\r\nHost: w\r\n\r\n".to_vec(), 404),
        ("key by its name", b"GET /witness-ed25519.key/checkpoint HTTP/1.1\r\nHost: w\r\n\r\n".to_vec(), 404),
        ("upper-case hash", format!("GET /{} HTTP/1.1\r\nHost: w\r\n\r\n", checkpoint_path(ORIGIN).to_uppercase()).into_bytes(), 404),
        ("head too large", format!("GET /{} HTTP/1.1\r\nHost: w\r\n\r\n", "a".repeat(40_000)).into_bytes(), 431),
        ("too many headers", format!("GET / HTTP/1.1\r\nHost: w\r\n{}\r\n", "A: b\r\n".repeat(100)).into_bytes(), 431),
        ("no HTTP", b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n".to_vec(), 400),
    ];
    for (defect, request, status) in cases {
        let answer = ask(witness.address, &request).unwrap_or_else(|error| panic!("{defect}: {error}"));
        assert_eq!(answer.status, status, "{defect}");
    }
    let large = vec![b'a'; ADD_CHECKPOINT_SIZE_BYTES_MAX + 1];
    assert_eq!(status_of(&witness.post(&large)), 413, "a request that is too large");
    assert_eq!(status_of(&witness.post(b"old 0\n\n\xff\xfe")), 400, "not UTF-8");
    // Cut off in the middle: the connection ends, and the witness goes on.
    let cut = b"POST /add-checkpoint HTTP/1.1\r\nHost: w\r\nContent-Length: 1000\r\n\r\nold 0\n";
    let mut stream = TcpStream::connect(witness.address).unwrap();
    stream.write_all(cut).unwrap();
    stream.shutdown(std::net::Shutdown::Write).unwrap();
    drop(stream);
    assert_eq!(witness.add(&log.request(0, 9)).status, 200);
}

#[test]
fn a_connection_is_kept_and_sigterm_lets_a_request_end() {
    let folder = tempfile::tempdir().unwrap();
    let log = Log::new(ORIGIN, "a", 0, 20);
    init(&state_in(&folder), &[&log]);
    let mut witness = Serving::start(&state_in(&folder));
    let mut stream = TcpStream::connect(witness.address).unwrap();
    let mut reader = BufReader::new(stream.try_clone().unwrap());
    let post = |request: &AddCheckpoint| {
        let body = request.to_text();
        format!("POST /add-checkpoint HTTP/1.1\r\nHost: w\r\nContent-Length: {}\r\n\r\n{body}", body.len()).into_bytes()
    };
    for (old, size) in [(0, 3), (3, 8)] {
        stream.write_all(&post(&log.request(old, size))).unwrap();
        assert_eq!(read_answer(&mut reader).unwrap().status, 200);
    }
    let request = post(&log.request(8, 12));
    let (begun, rest) = request.split_at(request.len() / 2);
    stream.write_all(begun).unwrap();
    // An answer on another connection shows that the half request has come before it, most likely; the signal comes after both.
    witness.get("/healthz");
    witness.terminate();
    while TcpStream::connect(witness.address).is_ok() {
        std::thread::yield_now();
    }
    stream.write_all(rest).unwrap();
    assert_eq!(read_answer(&mut reader).unwrap().status, 200, "a request that had begun was cut off");
    assert!(witness.child.wait().unwrap().success());
}

#[test]
fn https_is_served_with_certificate_files() {
    let folder = tempfile::tempdir().unwrap();
    let state = state_in(&folder);
    let log = Log::new(ORIGIN, "a", 0, 20);
    init(&state, &[&log]);
    common::certify(&state);
    let witness = Serving::start(&state);
    let asked = format!(
        "printf 'GET /healthz HTTP/1.0\\r\\n\\r\\n' | openssl s_client -quiet -tls1_3 -verify_return_error -CAfile tls.pem -connect {}",
        witness.address
    );
    let answer = std::process::Command::new("sh").args(["-c", &asked]).current_dir(&state).output().unwrap();
    assert!(String::from_utf8_lossy(&answer.stdout).contains("200 OK"), "{}", String::from_utf8_lossy(&answer.stderr));
    let old = asked.replace("-tls1_3", "-tls1_2");
    let answer = std::process::Command::new("sh").args(["-c", &old]).current_dir(&state).output().unwrap();
    assert!(answer.stdout.is_empty(), "TLS 1.2 was spoken");
}

#[test]
fn wrong_use_is_told_and_keys_are_never_written_over() {
    let folder = tempfile::tempdir().unwrap();
    let state = state_in(&folder);
    let log = Log::new(ORIGIN, "a", 0, 2);
    let keys = init(&state, &[&log]);
    let run = |arguments: &[&str], state: &Path| program().args(arguments).arg("--state").arg(state).output().unwrap();
    assert_eq!(run(&["init", "--name", NAME], &state).status.code(), Some(2), "keys were written over");
    assert_eq!(init_again(&state), keys);
    assert_eq!(run(&["init", "--name", "a name"], &folder.path().join("new")).status.code(), Some(2));
    assert!(!folder.path().join("new").exists(), "a folder was made for a name that no key can bear");
    assert_eq!(run(&["serve", "--listen", "0.0.0.0:0"], &state).status.code(), Some(2), "plain HTTP for everybody");
    assert_eq!(program().arg("sing").output().unwrap().status.code(), Some(64));
    let witness = Serving::start(&state);
    let second = run(&["serve", "--listen", "127.0.0.1:0"], &state);
    assert!(String::from_utf8_lossy(&second.stderr).contains("another witness"), "two processes serve one state");
    drop(witness);
}

fn init_again(state: &Path) -> Vec<exhibit_tlog::VerifierKey> {
    let keys = program().args(["keys", "--json", "--state"]).arg(state).output().unwrap();
    let keys: serde_json::Value = serde_json::from_slice(&keys.stdout).unwrap();
    keys["keys"].as_array().unwrap().iter().map(|key| exhibit_tlog::VerifierKey::parse(key.as_str().unwrap()).unwrap()).collect()
}

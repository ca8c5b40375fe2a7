//! Places for uploads, where the mirror speaks TLS itself and so knows whose connection is whose: nobody has them all.
#![allow(clippy::unwrap_used)]

mod common;

use std::io::{BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use common::{Answer, Log, ORIGIN, Serving, certify, init, read_answer, state_in};

/// The program answers within milliseconds; a busy machine takes longer.
const LIMIT: Duration = Duration::from_secs(60);

/// A connection that openssl holds.
struct Tls {
    openssl: Child,
}

impl Tls {
    fn to(witness: &Serving, state: &Path) -> Self {
        let mut openssl = Command::new("openssl");
        openssl.args(["s_client", "-quiet", "-tls1_3", "-verify_return_error", "-CAfile", "tls.pem", "-connect"]);
        openssl.arg(witness.address.to_string()).current_dir(state).stdin(Stdio::piped()).stdout(Stdio::piped());
        Self { openssl: openssl.stderr(Stdio::null()).spawn().unwrap() }
    }

    fn send(&mut self, kind: &str, length: usize, body: &[u8]) {
        let head = format!("POST /add-entries HTTP/1.1\r\nHost: m\r\nContent-Type: {kind}\r\nContent-Length: {length}\r\n\r\n");
        let input = self.openssl.stdin.as_mut().unwrap();
        input.write_all(&[head.as_bytes(), body].concat()).unwrap();
        input.flush().unwrap();
    }

    fn answer(&mut self) -> Answer {
        read_answer(&mut BufReader::new(self.openssl.stdout.as_mut().unwrap())).unwrap()
    }
}

impl Drop for Tls {
    fn drop(&mut self) {
        let _ = self.openssl.kill();
        let _ = self.openssl.wait();
    }
}

/// What one more upload is told: 400 if it has a place, since it is none.
fn one_more(witness: &Serving, state: &Path) -> Answer {
    let mut more = Tls::to(witness, state);
    more.send("text/plain", 0, &[]);
    more.answer()
}

fn until(status: u16, witness: &Serving, state: &Path) -> Answer {
    let began = Instant::now();
    loop {
        let answer = one_more(witness, state);
        if answer.status == status {
            return answer;
        }
        assert!(began.elapsed() < LIMIT, "{status} was never answered, but {answer:?}");
    }
}

fn serving(folder: &tempfile::TempDir) -> (PathBuf, Serving) {
    let state = state_in(folder);
    init(&state, &[&Log::new(ORIGIN, "a", 0, 20)]);
    certify(&state);
    let serving = Serving::start_with(&state, &["--mirror"]);
    (state, serving)
}

#[test]
fn an_address_has_two_places_for_uploads_and_gets_them_back() {
    let folder = tempfile::tempdir().unwrap();
    let (state, witness) = serving(&folder);
    let held = || {
        let mut held = Tls::to(&witness, &state);
        held.send("application/octet-stream", 1000, &[0, 1]);
        held
    };
    let first = held();
    let second = held();
    let refused = until(503, &witness, &state);
    assert!(refused.headers.contains_key("retry-after"), "{refused:?}");
    assert_eq!(one_more(&witness, &state).status, 503, "the refusal took or gave a place");
    drop(first);
    until(400, &witness, &state);
    let third = held();
    until(503, &witness, &state);
    drop((second, third));
    until(400, &witness, &state);
}

#[test]
fn one_upload_leaves_a_place() {
    let folder = tempfile::tempdir().unwrap();
    let (state, witness) = serving(&folder);
    let mut only = Tls::to(&witness, &state);
    only.send("application/octet-stream", 1000, &[0, 1]);
    for _ in 0..10 {
        assert_eq!(one_more(&witness, &state).status, 400);
    }
}

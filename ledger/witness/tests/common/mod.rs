//! A log that a test can fork, the witness's program, and a client that sends what it is told to.
#![allow(clippy::unwrap_used, dead_code)]

pub mod copies;
pub mod disk;

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Mutex;
use std::time::Duration;

use exhibit_tlog::{
    AddCheckpoint, Checkpoint, Ed25519NoteSigner, Hash, HashReader, LogVerifier, MlDsa44NoteSigner, NoteSigner, Subtree, VerifierKey,
    leaf_hash, prove_consistency, prove_subtree, root_of,
};
use zeroize::Zeroizing;

pub const ORIGIN: &str = "exhibit.example/log/1";
pub const NAME: &str = "witness.example/w1";

/// A log with both keys. A branch says of which of two logs with the same keys an entry is, from `forked_at` on.
pub struct Log {
    pub origin: String,
    signers: [Box<dyn NoteSigner>; 2],
    entries: Vec<Vec<u8>>,
    leaves: Vec<Hash>,
    /// Signed once each: that takes a millisecond.
    checkpoints: Mutex<BTreeMap<u64, String>>,
}

struct Leaves<'a>(&'a [Hash]);

impl HashReader for Leaves<'_> {
    type Error = std::convert::Infallible;
    fn hash(&self, level: u8, index: u64) -> Result<Hash, Self::Error> {
        let first = (index << level) as usize;
        Ok(root_of(&self.0[first..first + (1 << level)]))
    }
}

impl Log {
    pub fn new(origin: &str, branch: &str, forked_at: usize, size: usize) -> Self {
        let seed = Zeroizing::new([7; 32]);
        let entry = |index| match index < forked_at {
            true => format!("entry {index}").into_bytes(),
            false => format!("entry {index} of {branch}").into_bytes(),
        };
        let entries: Vec<_> = (0..size).map(entry).collect();
        Self {
            origin: origin.to_owned(),
            signers: [Box::new(Ed25519NoteSigner::new(origin, &seed).unwrap()), Box::new(MlDsa44NoteSigner::new(origin, &seed).unwrap())],
            leaves: entries.iter().map(|entry| leaf_hash(entry)).collect(),
            entries,
            checkpoints: Mutex::default(),
        }
    }

    pub fn keys(&self) -> Vec<VerifierKey> {
        self.signers.iter().map(|signer| signer.verifier_key().clone()).collect()
    }

    pub fn verifier(&self) -> LogVerifier {
        LogVerifier { origin: self.origin.clone(), keys: self.keys() }
    }

    pub fn head(&self, size: u64) -> Checkpoint {
        Checkpoint { origin: self.origin.clone(), size, root: root_of(&self.leaves[..size as usize]) }
    }

    pub fn checkpoint(&self, size: u64) -> String {
        self.checkpoints.lock().unwrap().entry(size).or_insert_with(|| self.signed(&self.head(size))).clone()
    }

    pub fn signed(&self, head: &Checkpoint) -> String {
        let signers: Vec<&dyn NoteSigner> = self.signers.iter().map(|signer| &**signer).collect();
        head.sign(&signers, 1_795_000_000).unwrap()
    }

    pub fn request(&self, old_size: u64, size: u64) -> AddCheckpoint {
        let proof = match old_size <= size {
            true => prove_consistency(&Leaves(&self.leaves), old_size, size).unwrap(),
            false => Vec::new(),
        };
        AddCheckpoint { old_size, proof, checkpoint: self.checkpoint(size) }
    }

    pub fn entry(&self, index: u64) -> &[u8] {
        &self.entries[index as usize]
    }

    pub fn leaf_hashes(&self, first: u64, count: u64) -> Vec<Hash> {
        self.leaves[first as usize..(first + count) as usize].to_vec()
    }

    pub fn subtree_proof(&self, start: u64, end: u64, size: u64) -> Vec<Hash> {
        prove_subtree(&Leaves(&self.leaves), Subtree::new(start, end).unwrap(), size).unwrap()
    }

    pub fn toml(&self) -> String {
        let keys: Vec<_> = self.keys().iter().map(|key| format!("{:?}", key.to_string())).collect();
        format!("\n[[log]]\norigin = {:?}\nkeys = [{}]\n", self.origin, keys.join(", "))
    }
}

/// An upload as it is sent: the header, and packages that a test may change.
pub struct Upload {
    pub origin: String,
    pub start: u64,
    pub end: u64,
    pub packages: Vec<Vec<u8>>,
}

impl Upload {
    pub fn new(log: &Log, start: u64, end: u64) -> Self {
        let mut packages = Vec::new();
        let mut from = start;
        while from < end {
            let to = (from - from % 256 + 256).min(end);
            let mut package = Vec::new();
            for index in from..to {
                let entry = log.entry(index);
                package.extend_from_slice(&(entry.len() as u16).to_be_bytes());
                package.extend_from_slice(entry);
            }
            let proof = log.subtree_proof(from - from % 256, to, end);
            package.push(proof.len() as u8);
            package.extend(proof.iter().flat_map(|hash| hash.0));
            packages.push(package);
            from = to;
        }
        Self { origin: log.origin.clone(), start, end, packages }
    }

    pub fn bytes(&self) -> Vec<u8> {
        let mut bytes = (self.origin.len() as u16).to_be_bytes().to_vec();
        bytes.extend_from_slice(self.origin.as_bytes());
        bytes.extend_from_slice(&self.start.to_be_bytes());
        bytes.extend_from_slice(&self.end.to_be_bytes());
        bytes.extend_from_slice(&[0, 0]);
        bytes.extend(self.packages.concat());
        bytes
    }
}

/// Makes a state folder that follows these logs, and gives the witness's keys.
pub fn init(state: &Path, logs: &[&Log]) -> Vec<VerifierKey> {
    let made = program().args(["init", "--name", NAME, "--state"]).arg(state).output().unwrap();
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    let path = state.join("witness.toml");
    let mut config = std::fs::read_to_string(&path).unwrap();
    logs.iter().for_each(|log| config.push_str(&log.toml()));
    std::fs::write(path, config).unwrap();
    let keys = program().args(["keys", "--json", "--state"]).arg(state).output().unwrap();
    let keys: serde_json::Value = serde_json::from_slice(&keys.stdout).unwrap();
    keys["keys"].as_array().unwrap().iter().map(|key| VerifierKey::parse(key.as_str().unwrap()).unwrap()).collect()
}

/// Makes the certificate files that the sample names, and has them used.
pub fn certify(state: &Path) {
    let config = std::fs::read_to_string(state.join("witness.toml")).unwrap();
    let config = config.replace("# [tls]", "[tls]").replace("# certificate =", "certificate =").replace("# key =", "key =");
    std::fs::write(state.join("witness.toml"), config).unwrap();
    let made = Command::new("openssl")
        .args(["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-subj", "/CN=localhost"])
        .args(["-keyout", "tls.key", "-out", "tls.pem"])
        .current_dir(state)
        .output()
        .unwrap();
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
}

pub fn program() -> Command {
    Command::new(env!("CARGO_BIN_EXE_exhibit-witness"))
}

/// The program, serving. Killed when dropped.
pub struct Serving {
    pub child: Child,
    pub address: SocketAddr,
}

impl Serving {
    pub fn start(state: &Path) -> Self {
        Self::start_with(state, &[])
    }

    pub fn start_with(state: &Path, more: &[&str]) -> Self {
        let mut child = program()
            .args(["serve", "--json", "--listen", "127.0.0.1:0", "--state"])
            .arg(state)
            .args(more)
            .env("RUST_LOG", "warn")
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let ready: serde_json::Value = serde_json::from_str(&line).unwrap_or_else(|_| panic!("it did not start: {line:?}"));
        Self { child, address: ready["listen"].as_str().unwrap().parse().unwrap() }
    }

    pub fn add(&self, request: &AddCheckpoint) -> Answer {
        self.post(request.to_text().as_bytes())
    }

    pub fn post(&self, body: &[u8]) -> Answer {
        let head = format!("POST /add-checkpoint HTTP/1.1\r\nHost: w\r\nContent-Length: {}\r\nConnection: close\r\n\r\n", body.len());
        ask(self.address, &[head.as_bytes(), body].concat()).unwrap()
    }

    pub fn get(&self, path: &str) -> Answer {
        ask(self.address, format!("GET {path} HTTP/1.1\r\nHost: w\r\nConnection: close\r\n\r\n").as_bytes()).unwrap()
    }

    pub fn get_bytes(&self, path: &str) -> (u16, Vec<u8>) {
        let mut stream = TcpStream::connect(self.address).unwrap();
        stream.write_all(format!("GET {path} HTTP/1.1\r\nHost: w\r\nConnection: close\r\n\r\n").as_bytes()).unwrap();
        let mut answer = Vec::new();
        BufReader::new(stream).read_to_end(&mut answer).unwrap();
        let head = answer.windows(4).position(|four| four == b"\r\n\r\n").unwrap();
        let status = std::str::from_utf8(&answer[..head]).unwrap().split(' ').nth(1).unwrap().parse().unwrap();
        (status, answer[head + 4..].to_vec())
    }

    pub fn status(&self) -> serde_json::Value {
        serde_json::from_str(&self.get("/status").body).unwrap()
    }

    pub fn terminate(&mut self) {
        let id = self.child.id().to_string();
        assert!(Command::new("kill").args(["-TERM", &id]).status().unwrap().success());
    }
}

impl Drop for Serving {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    pub headers: BTreeMap<String, String>,
    pub body: String,
}

/// Sends bytes as they are; an error where the connection breaks before there is a whole answer.
pub fn ask(address: SocketAddr, request: &[u8]) -> std::io::Result<Answer> {
    let mut stream = TcpStream::connect(address)?;
    stream.set_read_timeout(Some(Duration::from_secs(60)))?;
    stream.write_all(request)?;
    read_answer(&mut BufReader::new(stream))
}

pub fn read_answer(reader: &mut impl BufRead) -> std::io::Result<Answer> {
    let broken = || std::io::Error::from(std::io::ErrorKind::UnexpectedEof);
    let mut line = String::new();
    reader.read_line(&mut line)?;
    let status = line.split(' ').nth(1).and_then(|status| status.parse().ok()).ok_or_else(broken)?;
    let mut headers = BTreeMap::new();
    loop {
        let mut line = String::new();
        reader.read_line(&mut line)?;
        let Some((name, value)) = line.trim_end().split_once(": ") else { break };
        headers.insert(name.to_ascii_lowercase(), value.to_owned());
    }
    let length = headers.get("content-length").and_then(|length| length.parse().ok()).ok_or_else(broken)?;
    let mut body = vec![0; length];
    reader.read_exact(&mut body)?;
    Ok(Answer { status, headers, body: String::from_utf8(body).map_err(|_| broken())? })
}

pub fn state_in(folder: &tempfile::TempDir) -> PathBuf {
    folder.path().join("state")
}

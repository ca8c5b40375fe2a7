//! A small ledger behind TLS that answers the authority, and misbehaves on demand. It verifies nothing: the appliance's own tests do that.
#![allow(dead_code, clippy::unwrap_used)]

pub mod city;

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpListener;
use std::sync::{Arc, Mutex};

use base64ct::{Base64, Encoding};
use exhibit_evidence::{Anchor, Body, SignedStatement, exchange};
use exhibit_pki::Certificate;
use exhibit_tlog::{
    Checkpoint, Ed25519NoteSigner, Hash, HashReader, LogProof, LogVerifier, NoteSigner, prove_consistency, prove_inclusion, root_of,
};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject};
use rustls::{RootCertStore, ServerConfig, ServerConnection, StreamOwned, server::WebPkiClientVerifier};
use zeroize::Zeroizing;

/// What the ledger does with the next statement.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Manner {
    /// Admits it.
    Honest,
    /// Admits it, and goes away before it answers.
    AdmitAndDie,
    /// Refuses it.
    Refuse,
    /// Says that it can not take it now.
    Overloaded,
    /// Says that too much is asked.
    Rate,
    /// Answers with a receipt that another key signed.
    FalseReceipt,
}

pub struct Ledger {
    pub address: String,
    pub anchor: Anchor,
    state: Arc<State>,
}

struct State {
    signer: Ed25519NoteSigner,
    manner: Mutex<Manner>,
    entries: Mutex<Vec<SignedStatement>>,
    /// Every statement that was sent, admitted or not, in order.
    sent: Mutex<Vec<Vec<u8>>>,
    /// Attachments of each statement sent, end to end.
    attachments: Mutex<Vec<Vec<u8>>>,
}

const ORIGIN: &str = "city.example/log/1";

impl Ledger {
    /// Serves with the certificate and key of an appliance, to clients whose chain leads to `root`.
    pub fn start(certificates: &[&Certificate], key_pem: &str, root: &Certificate) -> Self {
        let signer = note_signer(1);
        let verifier = LogVerifier { origin: ORIGIN.to_owned(), keys: vec![signer.verifier_key().clone()] };
        let anchor = Anchor { log: Hash([7; 32]), verifier, roots: vec![root.clone()], policy: Default::default() };
        let config = server_config(certificates, key_pem, root);
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = format!("localhost:{}", listener.local_addr().unwrap().port());
        let state = Arc::new(State {
            signer,
            manner: Mutex::new(Manner::Honest),
            entries: Mutex::default(),
            sent: Mutex::default(),
            attachments: Mutex::default(),
        });
        let served = state.clone();
        // The thread ends with the test's process.
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let (config, state) = (config.clone(), served.clone());
                std::thread::spawn(move || {
                    let connection = ServerConnection::new(config).unwrap();
                    let mut stream = BufReader::new(StreamOwned::new(connection, stream.unwrap()));
                    while state.answer(&mut stream).is_some() {}
                });
            }
        });
        Self { address, anchor, state }
    }

    pub fn behave(&self, manner: Manner) {
        *self.state.manner.lock().unwrap() = manner;
    }

    pub fn entries(&self) -> Vec<SignedStatement> {
        self.state.entries.lock().unwrap().clone()
    }

    pub fn sent(&self) -> Vec<Vec<u8>> {
        self.state.sent.lock().unwrap().clone()
    }

    pub fn attachments(&self) -> Vec<Vec<u8>> {
        self.state.attachments.lock().unwrap().clone()
    }
}

impl State {
    /// One request and its answer; `None` when the connection is to end.
    fn answer(&self, stream: &mut (impl BufRead + Peer)) -> Option<()> {
        let mut line = String::new();
        stream.read_line(&mut line).ok()?;
        let mut words = line.split(' ');
        let (method, path) = (words.next()?.to_owned(), words.next()?.to_owned());
        let mut length = 0;
        loop {
            let mut header = String::new();
            stream.read_line(&mut header).ok()?;
            if header == "\r\n" {
                break;
            }
            if let Some(value) = header.to_ascii_lowercase().strip_prefix("content-length:") {
                length = value.trim().parse().unwrap();
            }
        }
        let mut body = vec![0; length];
        stream.read_exact(&mut body).ok()?;
        let (status, answer) = if method == "PUT" { self.put(&body)? } else { self.find(path.strip_prefix("/v1/certificates/")?) };
        let head = format!("HTTP/1.1 {status} x\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n", answer.len());
        stream.send(format!("{head}{answer}").as_bytes()).ok()
    }

    fn put(&self, body: &[u8]) -> Option<(u16, String)> {
        let (entry, attachments) = exchange::split_intake_prefix(body).unwrap();
        self.sent.lock().unwrap().push(entry.to_vec());
        self.attachments.lock().unwrap().push(attachments.to_vec());
        let manner = *self.manner.lock().unwrap();
        if manner == Manner::Rate {
            return Some(problem(429, "rate"));
        }
        if manner == Manner::Overloaded {
            return Some(problem(503, "overloaded"));
        }
        if manner == Manner::Refuse {
            return Some(problem(403, "role"));
        }
        let signed = SignedStatement::parse(entry).unwrap();
        let mut entries = self.entries.lock().unwrap();
        let known = entries.iter().position(|known| known.statement_bytes() == signed.statement_bytes());
        let index = known.unwrap_or_else(|| {
            entries.push(signed.clone());
            entries.len() - 1
        });
        if manner == Manner::AdmitAndDie {
            return None;
        }
        let stranger = note_signer(2);
        let signer = if manner == Manner::FalseReceipt { &stranger } else { &self.signer };
        let tree = Tree::of(&entries);
        let admitted = exchange::Admitted {
            index: index as u64,
            leaf: entries[index].leaf_hash().to_string(),
            receipt: tree.receipt(index, signer),
            consistency: tree.consistency(signed.statement().observed.size),
        };
        Some((if known.is_some() { 200 } else { 201 }, encode(&admitted)))
    }

    fn find(&self, fingerprint: &str) -> (u16, String) {
        let entries = self.entries.lock().unwrap();
        let introduces = |entry: &SignedStatement| match &entry.statement().body {
            Body::Certificate(body) => hex::encode(body.fingerprint) == fingerprint,
            _ => false,
        };
        let Some(index) = entries.iter().position(introduces) else { return problem(404, "not-found") };
        let record = exchange::EntryRecord {
            index: index as u64,
            entry: Base64::encode_string(entries[index].der()),
            receipt: Tree::of(&entries).receipt(index, &self.signer),
            is_final: true,
        };
        (200, encode(&record))
    }
}

/// What a request comes over.
trait Peer {
    fn send(&mut self, bytes: &[u8]) -> std::io::Result<()>;
}

impl<S: Read + Write> Peer for BufReader<S> {
    fn send(&mut self, bytes: &[u8]) -> std::io::Result<()> {
        self.get_mut().write_all(bytes)?;
        self.get_mut().flush()
    }
}

struct Tree(Vec<Hash>);

impl Tree {
    fn of(entries: &[SignedStatement]) -> Self {
        Self(entries.iter().map(SignedStatement::leaf_hash).collect())
    }

    fn receipt(&self, index: usize, signer: &Ed25519NoteSigner) -> String {
        let size = self.0.len() as u64;
        let checkpoint = Checkpoint { origin: ORIGIN.to_owned(), size, root: root_of(&self.0) };
        let path = prove_inclusion(self, index as u64, size).unwrap();
        LogProof { index: index as u64, path, checkpoint: checkpoint.sign(&[signer], 0).unwrap() }.to_text()
    }

    fn consistency(&self, old: u64) -> Vec<String> {
        prove_consistency(self, old, self.0.len() as u64).unwrap().iter().map(Hash::to_base64).collect()
    }
}

impl HashReader for Tree {
    type Error = std::convert::Infallible;
    fn hash(&self, level: u8, index: u64) -> Result<Hash, Self::Error> {
        let first = usize::try_from(index).unwrap() << level;
        Ok(root_of(&self.0[first..first + (1 << level)]))
    }
}

fn server_config(certificates: &[&Certificate], key_pem: &str, root: &Certificate) -> Arc<ServerConfig> {
    let provider = Arc::new(exhibit_client::crypto_provider());
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from(root.der())).unwrap();
    let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider.clone()).build().unwrap();
    let chain = certificates.iter().map(|certificate| CertificateDer::from(certificate.der().to_vec())).collect();
    let config = ServerConfig::builder_with_provider(provider).with_protocol_versions(&[&rustls::version::TLS13]).unwrap();
    let key = PrivateKeyDer::from_pem_slice(key_pem.as_bytes()).unwrap();
    let mut config = config.with_client_cert_verifier(verifier).with_single_cert(chain, key).unwrap();
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Arc::new(config)
}

fn problem(status: u16, kind: &str) -> (u16, String) {
    let problem = exchange::Problem {
        kind: format!("tag:exhibit,2026:{kind}"),
        title: "refused by the test".to_owned(),
        status,
        detail: "nothing to do".to_owned(),
        expected_seq: None,
        expected_prev: None,
    };
    (status, encode(&problem))
}

fn encode(answer: &impl serde::Serialize) -> String {
    serde_json::to_string(answer).unwrap()
}

fn note_signer(number: u8) -> Ed25519NoteSigner {
    Ed25519NoteSigner::new(ORIGIN, &Zeroizing::new([number; 32])).unwrap()
}

//! A small PKI, a log in memory, and a server over TLS that says of it what a test wants: the truth, or forgeries named by their defect.
//!
//! It knows the API only as far as clients use it; the real appliance is tested elsewhere.
#![allow(dead_code, unused_imports, clippy::unwrap_used, missing_docs)]

mod answers;
mod log;
mod pki;

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, atomic::AtomicU64},
};

use base64ct::{Base64, Encoding};
use exhibit_client::crypto_provider;
use exhibit_evidence::{
    Anchor, AttachmentRef, Body, Head, Pin,
    body::{Approve, CertificateBody, Genesis, Predecessor, Recipients},
    exchange::SuccessorRecord,
};
use exhibit_pki::{Certificate, Fingerprint};
use exhibit_tlog::{EMPTY_ROOT, Hash, leaf_hash};
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use rustls::{
    RootCertStore, ServerConfig,
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject},
    server::WebPkiClientVerifier,
};
use tokio::net::TcpListener;

pub use answers::ENDLESS_BYTES;
use answers::answer;
pub use log::{Log, NEXT_ORIGIN, ORIGIN};
pub use pki::{ALL_ROLES, Party, Pki, key, signed, time};

/// What the server does to what it is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mischief {
    None,
    /// The receipt is for another entry that is on the log too.
    ReceiptOfAnotherEntry,
    /// The receipt proves another leaf under the right index.
    PathOfAnotherEntry,
    /// The receipt is right, the leaf named beside it is not.
    LeafOfAnotherEntry,
    /// Asked for an entry, gives the one at index 2.
    AnotherRecord,
    /// The answer and the receipt name different indexes.
    WrongIndex,
    /// Only one of the log's two keys has signed.
    OneSignatureOnly,
    /// Signed by keys that are not the log's.
    ForeignKeys,
    /// The log was replaced by one that does not contain what was observed.
    ForkedLog,
    /// Replaces what came after the head that the statement observed.
    ForksBehind,
    /// The consistency proof has a hash too many.
    SurplusConsistencyHash,
    /// Answers a PUT without reading its body, and closes.
    RefuseEarly,
    /// 503 to everything.
    Unavailable,
    /// 429 to every PUT.
    Rate,
    /// 403 to every PUT.
    Forbid,
    /// 409 contradiction to PUTs with seq above 0.
    Contradict,
    /// Takes the statement, and closes the connection without an answer.
    TakeAndHangUp,
    /// 200 and something that is not the API's JSON.
    Gibberish,
    /// An answer without an end.
    Endless,
    /// Says that it is further on than it is.
    ClaimsToBeAhead,
    /// Its receipts are of a log of another name and other keys.
    AnotherLog,
    /// Refuses what an upload goes on with, since what was kept of it is not what was signed, and keeps it no more.
    SpoiltUpload,
    /// Recipients with a receipt by keys that are not the log's.
    ForeignRecipients,
}

pub struct World {
    pub log: Log,
    pub attachments: HashMap<Hash, Vec<u8>>,
    pub payloads: HashMap<(String, u64), Vec<u8>>,
    pub certificates: HashMap<Fingerprint, u64>,
    pub recipients: Option<u64>,
    /// What is said to go on for the log.
    pub successor: Option<SuccessorRecord>,
    /// Index of each statement on the log.
    pub positions: HashMap<(String, u64), u64>,
    pub mischief: Mischief,
    /// The same for so many requests only, then none.
    pub mischief_left: Option<u32>,
    pub connections: usize,
    /// Content-Length of the uploads that were cut off.
    pub announced: Vec<Option<u64>>,
    /// How far uploads are said to be: all that is sent is cut off then.
    pub upload_offset: Option<u64>,
    /// So many questions are answered as if nothing of the upload had been seen yet.
    pub upload_unseen: usize,
    /// Requests that were cut off.
    pub cut_off: usize,
    pub puts: Vec<(String, u64)>,
    pub negotiated: Vec<(rustls::ProtocolVersion, rustls::CipherSuite, rustls::NamedGroup)>,
}

/// A server on a free port of 127.0.0.1, until it is dropped.
pub struct FakeAppliance {
    pub pki: Pki,
    pub world: Arc<Mutex<World>>,
    pub address: String,
    /// Bytes of endless answers that were asked for.
    pub served: Arc<AtomicU64>,
    task: tokio::task::JoinHandle<()>,
}

impl Drop for FakeAppliance {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl FakeAppliance {
    /// With genesis (entry 0, whose leaf is the log's id) and nothing else.
    pub async fn start() -> Self {
        Self::start_with(None).await
    }

    /// With a server's TLS of a test's own.
    pub async fn start_with(tls: Option<ServerConfig>) -> Self {
        let pki = Pki::new(10);
        let mut log = Log::new();
        log.entries.push(b"genesis, as far as these tests care".to_vec());
        let world = Arc::new(Mutex::new(World {
            log,
            attachments: HashMap::new(),
            payloads: HashMap::new(),
            certificates: HashMap::new(),
            recipients: None,
            successor: None,
            positions: HashMap::new(),
            mischief: Mischief::None,
            mischief_left: None,
            connections: 0,
            announced: Vec::new(),
            upload_offset: None,
            upload_unseen: 0,
            cut_off: 0,
            puts: Vec::new(),
            negotiated: Vec::new(),
        }));
        let acceptor = tokio_rustls::TlsAcceptor::from(Arc::new(tls.unwrap_or_else(|| server_config(&pki, &pki.appliance()))));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let served = Arc::new(AtomicU64::new(0));
        let (of_task, counter) = (Arc::clone(&world), Arc::clone(&served));
        let task = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (acceptor, world, counter) = (acceptor.clone(), Arc::clone(&of_task), Arc::clone(&counter));
                tokio::spawn(async move {
                    let Ok(stream) = acceptor.accept(stream).await else { return };
                    {
                        let connection = stream.get_ref().1;
                        let mut world = world.lock().unwrap();
                        world.connections += 1;
                        world.negotiated.push((
                            connection.protocol_version().unwrap(),
                            connection.negotiated_cipher_suite().unwrap().suite(),
                            connection.negotiated_key_exchange_group().unwrap().name(),
                        ));
                    }
                    let service = service_fn(move |request| answer(Arc::clone(&world), Arc::clone(&counter), request));
                    drop(hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), service).await);
                });
            }
        });
        Self { pki, world, address, served, task }
    }

    pub fn world(&self) -> MutexGuard<'_, World> {
        self.world.lock().unwrap()
    }

    pub fn head(&self) -> Head {
        self.world().log.head()
    }

    pub fn anchor(&self) -> Anchor {
        let world = self.world();
        Anchor {
            log: leaf_hash(&world.log.entries[0]),
            verifier: world.log.verifier(),
            roots: vec![self.pki.root.clone()],
            policy: Default::default(),
        }
    }

    pub fn pin(&self) -> Pin {
        Pin { anchor: self.anchor(), custodians: vec![self.pki.custodian().certificate], threshold: 1 }
    }

    pub fn misbehave(&self, mischief: Mischief) {
        let mut world = self.world();
        world.mischief = mischief;
        world.mischief_left = None;
    }

    pub fn misbehave_times(&self, mischief: Mischief, times: u32) {
        let mut world = self.world();
        world.mischief = mischief;
        world.mischief_left = Some(times);
    }

    /// Puts a certificate on the log.
    pub fn introduce(&self, certificate: &Certificate, seq: u64) {
        let authority = self.pki.authority();
        let attachment = AttachmentRef::of("certificate", certificate.der(), false);
        let body = Body::Certificate(CertificateBody {
            fingerprint: *certificate.fingerprint(),
            replaces: None,
            attachments: vec![attachment.clone()],
        });
        let index = self.append(&authority, "authority/1/20261101T000000Z", seq, body);
        let mut world = self.world();
        world.attachments.insert(attachment.sha256, certificate.der().to_vec());
        world.certificates.insert(*certificate.fingerprint(), index);
    }

    /// Puts recipients on the log.
    pub fn recipients(&self, custodian: &Party, change: impl FnOnce(&mut Recipients)) -> Hash {
        let mut set = Recipients {
            scope: "camera/102".into(),
            number: 1,
            replaces: None,
            recipients: vec![*self.pki.custodian_wrapping().certificate.fingerprint()],
            custodians: vec![*self.pki.custodian().certificate.fingerprint()],
            threshold: 1,
            expires: time("2050-01-01T00:00:00.000Z"),
            attachments: Vec::new(),
        };
        change(&mut set);
        let seq = set.number - 1;
        let subject = custodian.certificate.identity().unwrap().subject.to_string();
        let index = self.append(custodian, &format!("{subject}/20261102T000000Z"), seq, Body::Recipients(set));
        let mut world = self.world();
        world.recipients = Some(index);
        leaf_hash(&world.log.entries[usize::try_from(index).unwrap()])
    }

    /// Puts a custodian's approval of an entry on the log.
    pub fn approve(&self, custodian: &Party, approved: &Hash, change: impl FnOnce(&mut Approve)) -> u64 {
        let entry = {
            let world = self.world();
            world.log.entries.iter().find(|entry| leaf_hash(entry) == *approved).unwrap().clone()
        };
        let statement = exhibit_evidence::SignedStatement::parse(&entry).unwrap().statement_hash();
        let mut body = Approve { entry: *approved, statement, attachments: Vec::new() };
        change(&mut body);
        let subject = custodian.certificate.identity().unwrap().subject.to_string();
        self.append(custodian, &format!("{subject}/20261103T000000Z"), 0, Body::Approve(body))
    }

    /// Shows a log that says to go on for this one, approved by these.
    pub fn show_successor(&self, approved_by: &[&Party]) {
        let (appliance, mut next) = (self.pki.appliance(), Log::named(NEXT_ORIGIN, 80));
        let genesis = Genesis {
            origin: NEXT_ORIGIN.into(),
            keys: next.verifier().keys.iter().map(ToString::to_string).collect(),
            roots: vec![*self.pki.root.fingerprint()],
            witness_policy: String::new(),
            predecessor: Some(Predecessor { log: self.anchor().log, head: Head { size: 1, root: self.anchor().log } }),
            earlier: Vec::new(),
            attachments: vec![AttachmentRef::of("certificate", appliance.certificate.der(), false)],
        };
        let nothing = Head { size: 0, root: EMPTY_ROOT };
        let stream = "appliance/1/log/20261201T000000Z";
        let genesis = signed(&appliance, Hash::default(), stream, 0, Hash::default(), nothing, Body::Genesis(genesis));
        next.entries.push(genesis.der().to_vec());
        let body = Body::Approve(Approve { entry: genesis.leaf_hash(), statement: genesis.statement_hash(), attachments: Vec::new() });
        let approval = |party: &&Party| {
            let subject = party.certificate.identity().unwrap().subject.to_string();
            let stream = format!("{subject}/20261201T000000Z");
            let approval = signed(party, genesis.leaf_hash(), &stream, 0, Hash::default(), nothing, body.clone());
            Base64::encode_string(approval.der())
        };
        let approvals = approved_by.iter().map(approval).collect();
        let certificates = approved_by.iter().map(|party| &party.certificate).chain([&appliance.certificate, &self.pki.issuing]);
        let certificates = certificates.map(|certificate| Base64::encode_string(certificate.der())).collect();
        let genesis = next.record(0);
        self.world().successor = Some(SuccessorRecord {
            last_checkpoint: None,
            consistency: None,
            succession: None,
            ended_genesis: None,
            genesis,
            certificates,
            approvals,
        });
    }

    pub fn append(&self, party: &Party, stream: &str, seq: u64, body: Body) -> u64 {
        let log = self.anchor().log;
        let prev = if seq == 0 { Hash::default() } else { Hash([1; 32]) };
        let signed = signed(party, log, stream, seq, prev, Head { size: 0, root: EMPTY_ROOT }, body);
        let mut world = self.world();
        let index = world.log.size();
        world.log.entries.push(signed.der().to_vec());
        world.positions.insert((stream.to_owned(), seq), index);
        index
    }
}

pub fn server_config(pki: &Pki, server: &Party) -> ServerConfig {
    let provider = Arc::new(crypto_provider());
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from(pki.root.der().to_vec())).unwrap();
    let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), Arc::clone(&provider)).build().unwrap();
    let chain = [&server.certificate, &pki.issuing].map(|certificate| CertificateDer::from(certificate.der().to_vec())).to_vec();
    let private_key = PrivateKeyDer::from_pem_slice(server.key.to_pkcs8_pem().as_bytes()).unwrap();
    let mut config = ServerConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&rustls::version::TLS13])
        .unwrap()
        .with_client_cert_verifier(verifier)
        .with_single_cert(chain, private_key)
        .unwrap();
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    config
}

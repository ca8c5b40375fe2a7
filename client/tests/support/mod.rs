//! A small PKI, a log in memory, and a server over TLS that says of it what a test wants: the truth, or forgeries named by their defect.
//!
//! It knows the API only as far as clients use it; the real appliance is tested elsewhere.
#![allow(dead_code, clippy::unwrap_used, missing_docs)]

use std::{
    collections::HashMap,
    convert::Infallible,
    pin::Pin as StdPin,
    sync::{
        Arc, Mutex, MutexGuard,
        atomic::{AtomicU64, Ordering},
    },
    task::{Context, Poll},
};

use base64ct::{Base64, Encoding};
use bytes::Bytes;
use exhibit_client::{ClientIdentity, crypto_provider};
use exhibit_evidence::{
    Anchor, AttachmentRef, Body, Head, Pin, SignedStatement, Statement, StreamName,
    body::{CertificateBody, Recipients},
    exchange::{Admitted, EntryRecord, Problem},
    sign,
};
use exhibit_pki::{
    Certificate, Fingerprint, Identity, KeyPurpose, Role, Signer, SoftwareSigner, Timestamp, TrustDomain,
    issue::{EndEntity, Issuance, issue_end_entity, issue_issuing_ca, issue_root},
};
use exhibit_tlog::{
    Checkpoint, EMPTY_ROOT, Ed25519NoteSigner, Hash, HashReader, LogProof, LogVerifier, MlDsa44NoteSigner, NoteSigner, leaf_hash,
    prove_consistency, prove_inclusion, root_of,
    tile::{TileId, encode_tile, tile_exists},
};
use http_body_util::{BodyExt, Full, combinators::BoxBody};
use hyper::{
    Method, Request, Response, StatusCode,
    body::{Body as HttpBody, Frame, Incoming},
    service::service_fn,
};
use hyper_util::rt::TokioIo;
use rustls::{
    RootCertStore, ServerConfig,
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject},
    server::WebPkiClientVerifier,
};
use tokio::net::TcpListener;
use zeroize::Zeroizing;

pub const ORIGIN: &str = "city.example/log/1";
pub const ALL_ROLES: [Role; 7] =
    [Role::Camera, Role::Custodian, Role::Investigator, Role::Auditor, Role::Admin, Role::Appliance, Role::Authority];

/// A root, an issuing authority, and whom it certified.
pub struct Pki {
    pub root: Certificate,
    pub issuing: Certificate,
    issuing_key: SoftwareSigner,
}

/// A certificate with its key.
#[derive(Clone)]
pub struct Party {
    pub certificate: Certificate,
    pub key: Arc<SoftwareSigner>,
}

pub fn time(text: &str) -> Timestamp {
    Timestamp::parse(text).unwrap()
}

pub fn key(scalar: u8) -> SoftwareSigner {
    SoftwareSigner::from_scalar(&Zeroizing::new([scalar; 48])).unwrap()
}

fn issuance(serial: u8) -> Issuance {
    Issuance { not_before: time("2020-01-01T00:00:00.000Z"), not_after: time("2056-01-01T00:00:00.000Z"), serial: [serial; 16] }
}

impl Pki {
    /// Two PKIs with other `seed`s have nothing in common.
    pub fn new(seed: u8) -> Self {
        let (root_key, issuing_key) = (key(seed), key(seed + 1));
        let domain = TrustDomain::parse("city.example").unwrap();
        let root = issue_root("City Root", &domain, &root_key, &issuance(seed)).unwrap();
        let issuing = issue_issuing_ca("City Issuing", issuing_key.public_key(), &ALL_ROLES, &root, &root_key, &issuance(2)).unwrap();
        Self { root, issuing, issuing_key }
    }

    pub fn party(&self, subject: &str, role: Role, purpose: KeyPurpose, scalar: u8) -> Party {
        self.certify(subject, role, purpose, scalar, &[])
    }

    fn certify(&self, subject: &str, role: Role, purpose: KeyPurpose, scalar: u8, server_names: &[String]) -> Party {
        let key = key(scalar);
        let identity = Identity::parse(&format!("spiffe://city.example/{subject}")).unwrap();
        let entity = EndEntity { identity: &identity, public_key: key.public_key(), purpose, roles: &[role], server_names };
        let certificate = issue_end_entity(&entity, &self.issuing, &self.issuing_key, &issuance(scalar)).unwrap();
        Party { certificate, key: Arc::new(key) }
    }

    pub fn appliance(&self) -> Party {
        self.certify("appliance/1", Role::Appliance, KeyPurpose::Signing, 40, &["localhost".into(), "127.0.0.1".into()])
    }

    pub fn camera(&self) -> Party {
        self.party("camera/102", Role::Camera, KeyPurpose::Signing, 41)
    }

    pub fn custodian(&self) -> Party {
        self.party("user/c1", Role::Custodian, KeyPurpose::Signing, 42)
    }

    pub fn custodian_wrapping(&self) -> Party {
        self.party("user/c1", Role::Custodian, KeyPurpose::Wrapping, 43)
    }

    pub fn authority(&self) -> Party {
        self.party("authority/1", Role::Authority, KeyPurpose::Signing, 44)
    }

    pub fn identity(&self, party: &Party) -> ClientIdentity {
        ClientIdentity { certificate: party.certificate.clone(), chain: vec![self.issuing.clone()], signer: party.key.clone() }
    }
}

/// An append-only log in memory.
pub struct Log {
    pub entries: Vec<Vec<u8>>,
    origin: String,
    ed25519: Ed25519NoteSigner,
    ml_dsa: MlDsa44NoteSigner,
    /// Which keys sign.
    pub signs_with_both: bool,
}

struct Leaves(Vec<Hash>);

impl HashReader for Leaves {
    type Error = Infallible;
    fn hash(&self, level: u8, index: u64) -> Result<Hash, Infallible> {
        let first = usize::try_from(index << level).unwrap();
        Ok(root_of(&self.0[first..first + (1 << level)]))
    }
}

impl Log {
    pub fn new() -> Self {
        Self::with_keys(60)
    }

    pub fn with_keys(seed: u8) -> Self {
        Self::named(ORIGIN, seed)
    }

    pub fn named(origin: &str, seed: u8) -> Self {
        Self {
            entries: Vec::new(),
            origin: origin.to_owned(),
            ed25519: Ed25519NoteSigner::new(origin, &Zeroizing::new([seed; 32])).unwrap(),
            ml_dsa: MlDsa44NoteSigner::new(origin, &Zeroizing::new([seed + 1; 32])).unwrap(),
            signs_with_both: true,
        }
    }

    pub fn verifier(&self) -> LogVerifier {
        LogVerifier { origin: self.origin.clone(), keys: vec![self.ed25519.verifier_key().clone(), self.ml_dsa.verifier_key().clone()] }
    }

    fn leaves(&self) -> Leaves {
        Leaves(self.entries.iter().map(|entry| leaf_hash(entry)).collect())
    }

    pub fn size(&self) -> u64 {
        self.entries.len() as u64
    }

    pub fn head(&self) -> Head {
        let leaves = self.leaves().0;
        Head { size: self.size(), root: if leaves.is_empty() { EMPTY_ROOT } else { root_of(&leaves) } }
    }

    pub fn checkpoint(&self) -> String {
        self.checkpoint_for(&self.origin)
    }

    pub fn checkpoint_for(&self, origin: &str) -> String {
        let head = self.head();
        let signers: &[&dyn NoteSigner] = if self.signs_with_both { &[&self.ed25519, &self.ml_dsa] } else { &[&self.ed25519] };
        Checkpoint { origin: origin.into(), size: head.size, root: head.root }.sign(signers, 1_790_000_000).unwrap()
    }

    pub fn receipt(&self, index: u64) -> LogProof {
        LogProof { index, path: prove_inclusion(&self.leaves(), index, self.size()).unwrap(), checkpoint: self.checkpoint() }
    }

    pub fn consistency(&self, old: u64) -> Vec<String> {
        if old > self.size() {
            return Vec::new();
        }
        prove_consistency(&self.leaves(), old, self.size()).unwrap().iter().map(Hash::to_base64).collect()
    }

    pub fn record(&self, index: u64) -> EntryRecord {
        let entry = Base64::encode_string(&self.entries[usize::try_from(index).unwrap()]);
        EntryRecord { index, entry, receipt: self.receipt(index).to_text(), is_final: true }
    }

    fn tile(&self, path: &str) -> Option<Vec<u8>> {
        let id = TileId::parse(path).ok()?;
        if !tile_exists(id, self.size()) {
            return None;
        }
        let leaves = self.leaves();
        let first = id.index * 256;
        let hashes: Vec<Hash> = (first..first + u64::from(id.width)).map(|index| leaves.hash(id.level * 8, index).unwrap()).collect();
        Some(encode_tile(&hashes))
    }
}

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
}

pub struct World {
    pub log: Log,
    pub attachments: HashMap<Hash, Vec<u8>>,
    pub payloads: HashMap<(String, u64), Vec<u8>>,
    pub certificates: HashMap<Fingerprint, u64>,
    pub recipients: Option<u64>,
    /// Index of each statement on the log.
    pub positions: HashMap<(String, u64), u64>,
    pub mischief: Mischief,
    /// The same for so many requests only, then none.
    pub mischief_left: Option<u32>,
    pub connections: usize,
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
            positions: HashMap::new(),
            mischief: Mischief::None,
            mischief_left: None,
            connections: 0,
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

pub fn signed(party: &Party, log: Hash, stream: &str, seq: u64, prev: Hash, observed: Head, body: Body) -> SignedStatement {
    let stream = StreamName::parse(stream).unwrap();
    let statement = Statement { log, stream, seq, prev, issued: time("2026-11-20T12:00:02.000Z"), observed, body };
    sign(&statement, &party.certificate, party.key.as_ref()).unwrap()
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

type Answer = Response<BoxBody<Bytes, Infallible>>;

fn whole(bytes: impl Into<Bytes>) -> BoxBody<Bytes, Infallible> {
    Full::new(bytes.into()).boxed()
}

/// What an answer without end has in the end, so that a test of it does.
pub const ENDLESS_BYTES: u64 = 64 << 20;

/// Counts what was asked of it.
struct Endless {
    served: Arc<AtomicU64>,
}

impl HttpBody for Endless {
    type Data = Bytes;
    type Error = Infallible;
    fn poll_frame(self: StdPin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        let served = self.served.fetch_add(1 << 16, Ordering::Relaxed);
        Poll::Ready((served < ENDLESS_BYTES).then(|| Ok(Frame::data(Bytes::from(vec![b'x'; 1 << 16])))))
    }
}

async fn answer(world: Arc<Mutex<World>>, served: Arc<AtomicU64>, request: Request<Incoming>) -> Result<Answer, std::io::Error> {
    let path = request.uri().path().to_owned();
    let mischief = {
        let mut world = world.lock().unwrap();
        let applies = request.method() == Method::PUT || world.mischief == Mischief::Unavailable || world.mischief == Mischief::Gibberish;
        match &mut world.mischief_left {
            Some(0) => Mischief::None,
            Some(left) if applies => {
                *left -= 1;
                world.mischief
            }
            _ => world.mischief,
        }
    };
    match mischief {
        Mischief::Unavailable => return Ok(problem(503, "overloaded", None)),
        Mischief::Gibberish => return Ok(Response::new(whole("<html>welcome to the hotel's network</html>"))),
        Mischief::Endless if request.method() == Method::GET => return Ok(Response::new(Endless { served }.boxed())),
        Mischief::AnotherRecord if path.starts_with("/v1/entries/") => {
            let record = world.lock().unwrap().log.record(2);
            return Ok(Response::new(whole(serde_json::to_vec(&record).unwrap())));
        }
        _ => {}
    }
    if request.method() == Method::PUT {
        return put(&world, &path, request, mischief).await;
    }
    Ok(get(&world.lock().unwrap(), &path).unwrap_or_else(|| problem(404, "not-found", None)))
}

fn get(world: &World, path: &str) -> Option<Answer> {
    let json = |index: u64| Response::new(whole(serde_json::to_vec(&world.log.record(index)).unwrap()));
    if path == "/log/checkpoint" {
        return Some(Response::new(whole(world.log.checkpoint())));
    }
    if let Some(tile) = path.strip_prefix("/log/tile/") {
        return Some(Response::new(whole(world.log.tile(tile)?)));
    }
    if path == "/v1/recipients/camera/102" {
        return Some(json(world.recipients?));
    }
    if let Some(hex) = path.strip_prefix("/v1/certificates/") {
        return Some(json(*world.certificates.get(&Hash::from_hex(hex)?.0)?));
    }
    if let Some(hex) = path.strip_prefix("/v1/attachments/") {
        return Some(Response::new(whole(world.attachments.get(&Hash::from_hex(hex)?)?.clone())));
    }
    if let Some(hex) = path.strip_prefix("/v1/entries/") {
        let leaf = Hash::from_hex(hex)?;
        let index = world.log.entries.iter().position(|entry| leaf_hash(entry) == leaf)?;
        return Some(json(index as u64));
    }
    None
}

async fn put(world: &Mutex<World>, path: &str, request: Request<Incoming>, mischief: Mischief) -> Result<Answer, std::io::Error> {
    match mischief {
        Mischief::RefuseEarly => return Ok(problem(413, "too-large", None)),
        Mischief::Forbid => return Ok(problem(403, "certificate", None)),
        _ => {}
    }
    let body = request.into_body().collect().await.map_err(std::io::Error::other)?.to_bytes();
    let length = |at: usize| u32::from_be_bytes(body[at..at + 4].try_into().unwrap()) as usize;
    let entry = body[4..4 + length(0)].to_vec();
    let attachments_at = 8 + entry.len();
    let payload_at = attachments_at + length(attachments_at - 4);
    let signed = SignedStatement::parse(&entry).unwrap();
    let statement = signed.statement();
    let place = (statement.stream.as_str().to_owned(), statement.seq);
    assert_eq!(path, format!("/v1/streams/{}/{}", place.0, place.1));
    let mut world = world.lock().unwrap();
    world.puts.push(place.clone());
    match mischief {
        Mischief::Contradict if statement.seq > 0 => return Ok(problem(409, "contradiction", None)),
        Mischief::ClaimsToBeAhead => return Ok(problem(409, "chain", Some(statement.seq + 1))),
        _ => {}
    }
    let known = world.positions.get(&place).copied();
    if let Some(index) = known
        && world.log.entries[usize::try_from(index).unwrap()] != entry
    {
        return Ok(problem(409, "contradiction", None));
    }
    let index = known.unwrap_or(world.log.size());
    if mischief == Mischief::ForksBehind {
        for (behind, entry) in world.log.entries.iter_mut().enumerate().skip(usize::try_from(statement.observed.size).unwrap()) {
            *entry = format!("another history of entry {behind}").into_bytes();
        }
    }
    if known.is_none() {
        let before = statement.seq.checked_sub(1).map(|before| (place.0.clone(), before));
        if before.is_some_and(|before| !world.positions.contains_key(&before)) {
            return Ok(problem(409, "chain", Some(0)));
        }
        world.log.entries.push(entry.clone());
        world.positions.insert(place.clone(), index);
        world.payloads.insert(place, body[payload_at..].to_vec());
        let mut at = attachments_at;
        for attachment in statement.body.attachments() {
            let end = at + usize::try_from(attachment.length).unwrap();
            world.attachments.insert(attachment.sha256, body[at..end].to_vec());
            at = end;
        }
    }
    if mischief == Mischief::TakeAndHangUp {
        return Err(std::io::Error::other("hanging up"));
    }
    let admitted = admitted(&mut world, &signed, index, mischief);
    let status = if known.is_some() { StatusCode::OK } else { StatusCode::CREATED };
    Ok(Response::builder().status(status).body(whole(serde_json::to_vec(&admitted).unwrap())).unwrap())
}

/// The answer, forged as wanted.
fn admitted(world: &mut World, signed: &SignedStatement, index: u64, mischief: Mischief) -> Admitted {
    let observed = signed.statement().observed.size;
    if mischief == Mischief::ForkedLog {
        // Another history of the same length, which has this entry, signed with the log's own keys.
        world.log.entries[0] = b"another genesis".to_vec();
    }
    let mut receipt = world.log.receipt(index);
    let mut consistency = world.log.consistency(observed);
    let mut leaf = signed.leaf_hash();
    let mut named = index;
    match mischief {
        Mischief::ReceiptOfAnotherEntry => {
            receipt = world.log.receipt(0);
            named = 0;
            leaf = leaf_hash(&world.log.entries[0]);
        }
        Mischief::PathOfAnotherEntry => receipt.path = world.log.receipt(0).path,
        Mischief::WrongIndex => named += 1,
        Mischief::LeafOfAnotherEntry => leaf = leaf_hash(&world.log.entries[0]),
        Mischief::OneSignatureOnly => {
            world.log.signs_with_both = false;
            receipt.checkpoint = world.log.checkpoint();
            world.log.signs_with_both = true;
        }
        Mischief::ForeignKeys => {
            let mut foreign = Log::with_keys(90);
            foreign.entries.clone_from(&world.log.entries);
            receipt = foreign.receipt(index);
        }
        Mischief::SurplusConsistencyHash => consistency.push(Hash([1; 32]).to_base64()),
        _ => {}
    }
    Admitted { index: named, leaf: leaf.to_string(), receipt: receipt.to_text(), consistency }
}

fn problem(status: u16, kind: &str, expected_seq: Option<u64>) -> Answer {
    let problem = Problem {
        kind: format!("tag:exhibit,2026:{kind}"),
        title: format!("refused: {kind}"),
        status,
        detail: "as the test wants it".into(),
        expected_seq,
        expected_prev: None,
    };
    Response::builder().status(status).body(whole(serde_json::to_vec(&problem).unwrap())).unwrap()
}

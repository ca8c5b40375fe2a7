//! A whole small world for tests: a PKI in memory, an appliance in a temporary folder that listens on free ports, and parties that speak to
//! it over real sockets.
#![allow(dead_code, unused_imports, clippy::unwrap_used, missing_docs)]

mod connection;
pub mod http;
pub mod mirror;
pub mod python;
mod running;
pub mod served;
pub mod small_disk;
pub mod tools;
pub mod watched;

use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use exhibit_appliance::setup::{Folder, NewLog, now};
use exhibit_evidence::exchange::{SlotRange, Terms};
use exhibit_evidence::keytree::KeyTree;
use exhibit_evidence::segment::SegmentSealer;
use exhibit_evidence::{Anchor, AttachmentRef, Body, Head, SignedStatement, Statement, StreamName, body, sign};
use exhibit_pki::{
    Certificate, CertificateRequest, EndEntity, Identity, Issuance, KeyPurpose, Role, RustCrypto, Signer, SoftwareSigner, Timestamp,
    TrustDomain, issue_end_entity, issue_issuing_ca, issue_root,
};
use exhibit_tlog::{EMPTY_ROOT, Hash};
use zeroize::Zeroizing;

pub use connection::{Answer, Connection, path_of, stream_from};
pub use running::{Started, start, stop};

pub const DAY_MS: u64 = 86_400_000;
pub const SERIES: &str = "camera/102/main";

/// Root, issuing CA, and what they issue.
pub struct Pki {
    pub root: Certificate,
    pub issuing: Certificate,
    root_key: SoftwareSigner,
    issuing_key: SoftwareSigner,
    serial: AtomicU64,
}

/// Somebody with a key.
pub struct Party {
    pub certificate: Certificate,
    pub chain: Vec<Certificate>,
    pub signer: SoftwareSigner,
}

fn scalar(number: u64) -> Zeroizing<[u8; 48]> {
    let mut scalar = Zeroizing::new([0x5a; 48]);
    scalar[..8].copy_from_slice(&number.to_be_bytes());
    scalar
}

impl Pki {
    /// `first` makes the keys of one world differ from those of another.
    pub fn new(first: u64) -> Self {
        let serial = AtomicU64::new(first);
        let domain = TrustDomain::parse("city.example").unwrap();
        let issuance = || issuance(&serial, 0, 3650);
        let (root_key, issuing_key) =
            (SoftwareSigner::from_scalar(&scalar(first + 1)).unwrap(), SoftwareSigner::from_scalar(&scalar(first + 2)).unwrap());
        let root = issue_root("Root", &domain, &root_key, &issuance()).unwrap();
        let issuing = issue_issuing_ca("Issuing", issuing_key.public_key(), &Role::ALL, &root, &root_key, &issuance()).unwrap();
        serial.fetch_add(1000, Ordering::Relaxed);
        Self { root, issuing, root_key, issuing_key, serial }
    }

    /// A root of another trust domain, by the same key.
    pub fn root_of_other_domain(&self) -> Certificate {
        let domain = TrustDomain::parse("other.example").unwrap();
        issue_root("Other root", &domain, &self.root_key, &issuance(&self.serial, 0, 3650)).unwrap()
    }

    /// For tools that issue what we would not.
    pub fn issuing_key_pem(&self) -> String {
        self.issuing_key.to_pkcs8_pem().to_string()
    }

    pub fn party(&self, subject: &str, roles: &[Role], purpose: KeyPurpose) -> Party {
        self.party_for(subject, roles, purpose, 0, 365)
    }

    /// Valid from so many days ago for so many days.
    pub fn party_for(&self, subject: &str, roles: &[Role], purpose: KeyPurpose, days_ago: u64, days: u64) -> Party {
        let signer = SoftwareSigner::from_scalar(&scalar(self.serial.fetch_add(1, Ordering::Relaxed))).unwrap();
        let identity = Identity::parse(&format!("spiffe://city.example/{subject}")).unwrap();
        let entity = EndEntity { identity: &identity, public_key: signer.public_key(), purpose, roles, server_names: &[] };
        let issuance = issuance(&self.serial, days_ago, days);
        let certificate = issue_end_entity(&entity, &self.issuing, &self.issuing_key, &issuance).unwrap();
        Party { certificate, chain: vec![self.issuing.clone()], signer }
    }

    /// Signs the appliance's request.
    pub fn sign_request(&self, path: &Path, roles: &[Role], server_names: &[&str]) -> Certificate {
        self.sign_request_of(None, path, roles, server_names)
    }

    /// Its key, by another name than it asks for.
    pub fn sign_request_of(&self, subject: Option<&str>, path: &Path, roles: &[Role], server_names: &[&str]) -> Certificate {
        let request = CertificateRequest::from_pem(&std::fs::read_to_string(path).unwrap(), &RustCrypto).unwrap();
        let asked = || request.identity().unwrap().clone();
        let identity = subject.map_or_else(asked, |subject| Identity::parse(&format!("spiffe://city.example/{subject}")).unwrap());
        let entity = EndEntity {
            identity: &identity,
            public_key: request.public_key(),
            purpose: KeyPurpose::Signing,
            roles,
            server_names: &server_names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>(),
        };
        issue_end_entity(&entity, &self.issuing, &self.issuing_key, &issuance(&self.serial, 0, 365)).unwrap()
    }
}

fn issuance(serial: &AtomicU64, days_ago: u64, days: u64) -> Issuance {
    let mut bytes = [0; 16];
    bytes[8..].copy_from_slice(&serial.fetch_add(1, Ordering::Relaxed).to_be_bytes());
    bytes[0] = 1;
    let from_ms = now().unix_ms() - 60_000 - days_ago * DAY_MS;
    let at = |unix_ms| Timestamp::from_unix_ms(unix_ms).unwrap();
    Issuance { not_before: at(from_ms), not_after: at(from_ms + days * DAY_MS), serial: bytes }
}

/// The appliance and everybody around it, all introduced on the ledger.
pub struct World {
    pub pki: Pki,
    pub anchor: Anchor,
    pub running: Started,
    pub folder: tempfile::TempDir,
    /// Milliseconds by which the appliance's clock is ahead.
    pub ahead_ms: Arc<AtomicU64>,
    /// Why the process would have ended.
    pub fatal: Arc<Mutex<Vec<String>>>,
    pub authority: Writer,
    pub camera: Party,
    pub custodian: Party,
    pub custodian_wrapping: Party,
    pub investigator: Party,
    pub investigator_wrapping: Party,
    pub auditor: Party,
}

impl World {
    pub async fn new() -> Self {
        Self::with("").await
    }

    /// With more lines in the configuration, for good.
    pub async fn with(more: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("more.toml"), more).unwrap();
        let pki = Pki::new(1 << 32);
        let state = Folder::new(&folder.path().join("state"));
        let request = state.init(&Identity::parse("spiffe://city.example/appliance/1").unwrap()).unwrap();
        let certificate = pki.sign_request(&request, &[Role::Appliance], &["localhost", "127.0.0.1"]);
        std::fs::write(folder.path().join("state/appliance.pem"), certificate.to_pem()).unwrap();
        let (chain_pem, root_pem) = (pki.issuing.to_pem(), pki.root.to_pem());
        let new = NewLog { origin: "city.example/log/1", chain_pem: &chain_pem, root_pem: &root_pem, predecessor: None, now: now() };
        let anchor = state.lock().unwrap().create_log(&new).unwrap();
        let ahead_ms = Arc::new(AtomicU64::new(0));
        let fatal = Arc::default();
        let running = start(folder.path(), &ahead_ms, &fatal, "").await;
        let authority = pki.party("authority/1", &[Role::Authority], KeyPurpose::Signing);
        let mut world = Self {
            camera: pki.party("camera/102", &[Role::Camera], KeyPurpose::Signing),
            custodian: pki.party("user/k", &[Role::Custodian], KeyPurpose::Signing),
            custodian_wrapping: pki.party("user/k", &[Role::Custodian], KeyPurpose::Wrapping),
            investigator: pki.party("user/i", &[Role::Investigator], KeyPurpose::Signing),
            investigator_wrapping: pki.party("user/i", &[Role::Investigator], KeyPurpose::Wrapping),
            auditor: pki.party("user/a", &[Role::Auditor], KeyPurpose::Signing),
            authority: Writer::new(authority, "authority/1/20261120T115958Z", &anchor),
            pki,
            anchor,
            running,
            folder,
            ahead_ms,
            fatal,
        };
        world.introduce_authority().await;
        for certificate in
            [&world.camera, &world.custodian, &world.custodian_wrapping, &world.investigator, &world.investigator_wrapping, &world.auditor]
                .map(|party| party.certificate.clone())
        {
            world.introduce(&certificate).await;
        }
        world
    }

    async fn introduce_authority(&mut self) {
        let own = self.authority.party.certificate.clone();
        let parts = [("certificate", &own), ("issuer-0", &self.pki.issuing), ("issuer-1", &self.pki.root)];
        let attachments = parts.map(|(name, certificate)| AttachmentRef::of(name, certificate.der(), false)).to_vec();
        let stored = parts.map(|(_, certificate)| certificate.der().to_vec());
        let body = body::CertificateBody { fingerprint: *own.fingerprint(), replaces: None, attachments };
        let signed = self.authority.next(Body::Certificate(body));
        let mut connection = self.connect(&self.authority.party).await;
        let stored: Vec<&[u8]> = stored.iter().map(Vec::as_slice).collect();
        connection.put(&signed, &stored, &[]).await.admitted(201, &self.anchor, &mut self.authority, &signed);
    }

    /// Puts a certificate on the ledger.
    pub async fn introduce(&mut self, certificate: &Certificate) {
        let attachments = vec![AttachmentRef::of("certificate", certificate.der(), false)];
        let body = body::CertificateBody { fingerprint: *certificate.fingerprint(), replaces: None, attachments };
        let signed = self.authority.next(Body::Certificate(body));
        let mut connection = self.connect(&self.authority.party).await;
        connection.put(&signed, &[certificate.der()], &[]).await.admitted(201, &self.anchor, &mut self.authority, &signed);
    }

    /// From now on nobody is to believe what has that certificate.
    pub async fn revoke(&mut self, party: &Party) {
        let fingerprint = *party.certificate.fingerprint();
        let body = body::CertificateRevocation { fingerprint, reason: None, since: now(), attachments: vec![] };
        let signed = self.authority.next(Body::CertificateRevocation(body));
        let mut connection = self.connect(&self.authority.party).await;
        connection.put(&signed, &[], &[]).await.admitted(201, &self.anchor, &mut self.authority, &signed);
    }

    pub async fn connect(&self, party: &Party) -> Connection {
        Connection::new(self.running.addresses.intake.port(), &self.pki.root, Some(party)).await.unwrap()
    }

    /// Stops the appliance and starts it again on the same folder.
    pub async fn restart(self) -> Self {
        self.restart_with("").await
    }

    /// The same, with more lines in the configuration.
    pub async fn restart_with(self, more: &str) -> Self {
        self.restarted(more, |_| {}).await
    }

    /// The same, with a change to the files in between.
    pub async fn restart_after(self, change: impl FnOnce(&Path)) -> Self {
        self.restarted("", change).await
    }

    async fn restarted(mut self, more: &str, change: impl FnOnce(&Path)) -> Self {
        stop(self.running).await;
        change(self.folder.path());
        self.running = start(self.folder.path(), &self.ahead_ms, &self.fatal, more).await;
        self
    }

    /// The first `recipients` of camera 102: the custodian.
    pub async fn set_recipients(&self) -> (Writer, Hash) {
        let mut writer = Writer::new(self.custodian.clone(), "user/k/20261120T115958Z", &self.anchor);
        let signed = writer.next(Body::Recipients(self.recipients(1, None)));
        let mut connection = self.connect(&self.custodian).await;
        connection.put(&signed, &[], &[]).await.admitted(201, &self.anchor, &mut writer, &signed);
        (writer, signed.leaf_hash())
    }

    pub fn recipients(&self, number: u64, replaces: Option<Hash>) -> body::Recipients {
        body::Recipients {
            scope: "camera/102".to_owned(),
            number,
            replaces,
            recipients: vec![*self.custodian_wrapping.certificate.fingerprint()],
            custodians: vec![*self.custodian.certificate.fingerprint()],
            threshold: 1,
            expires: Timestamp::MAX,
            attachments: vec![],
        }
    }

    /// A camera stream with its epoch admitted.
    pub async fn begin_epoch(&self, generation: &str, recipients: Hash) -> Writer {
        let mut writer = Writer::new(self.camera.clone(), &format!("{SERIES}/{generation}"), &self.anchor);
        let (epoch, wraps) = epoch(&writer.stream, recipients);
        let signed = writer.next(epoch);
        let mut connection = self.connect(&self.camera).await;
        connection.put(&signed, &[&wraps], &[]).await.admitted(201, &self.anchor, &mut writer, &signed);
        writer
    }

    /// The newest head, as an auditor sees it.
    pub fn size(&self) -> u64 {
        self.running.appliance.ledger.size()
    }
}

pub fn tree() -> KeyTree {
    KeyTree::from_root(Zeroizing::new([7; 32]))
}

pub fn epoch(stream: &StreamName, recipients: Hash) -> (Body, Vec<u8>) {
    let wraps = AttachmentRef::erasable_bytes(&[1; 32], b"wraps are opaque to the appliance");
    let body = body::Epoch {
        commitment: tree().commitment(stream).unwrap(),
        started: time("2026-11-20T11:59:58.000Z"),
        recipients,
        continues: body::Continues { reason: body::EpochReason::Start, previous: None },
        attachments: vec![AttachmentRef::of("wraps", &wraps, true)],
    };
    (Body::Epoch(body), wraps)
}

/// Seals a segment of two fragments that starts in second `slot` of the epoch.
pub fn segment(stream: &StreamName, seq: u64, slot: u32, plaintext: &[u8]) -> (Body, Vec<u8>) {
    let salt = [3; 16];
    let mut sealer = SegmentSealer::new(stream, seq, tree().slot_key(slot).unwrap(), salt);
    let (first, last) = plaintext.split_at(plaintext.len() / 2);
    let payload = [sealer.seal(first, false), sealer.seal(last, true)].concat();
    let sealed = sealer.finish();
    let start = time("2026-11-20T11:59:58.000Z").checked_add_ms(u64::from(slot) * 1000).unwrap();
    let body = body::Segment {
        slot,
        salt,
        start,
        duration_ms: 2000,
        media_type: "video/mp4".to_owned(),
        random_access: true,
        fragment_lengths: sealed.fragment_lengths,
        ciphertext_root: sealed.ciphertext_root,
        commitment_root: sealed.commitment_root,
        attachments: vec![],
    };
    (Body::Segment(body), payload)
}

pub fn terms(investigator: &Party, stream: &StreamName, first: u32, last: u32, expires: Timestamp) -> Terms {
    Terms {
        type_name: exhibit_evidence::exchange::terms::TERMS_TYPE.to_owned(),
        grantee: hex::encode(investigator.certificate.fingerprint()),
        grantee_subject: investigator.certificate.identity().unwrap().subject.to_string(),
        from: "2026-11-20T12:00:00.000Z".to_owned(),
        to: "2026-11-20T12:00:30.000Z".to_owned(),
        ranges: vec![SlotRange { stream: stream.as_str().to_owned(), first, last }],
        expires: expires.to_string(),
        purpose: "case 17".to_owned(),
    }
}

/// A grant and its two attachments as stored.
pub fn grant(terms: &Terms) -> (Body, [Vec<u8>; 2]) {
    let terms = AttachmentRef::erasable_bytes(&[5; 32], &serde_json::to_vec(terms).unwrap());
    let wraps = AttachmentRef::erasable_bytes(&[6; 32], b"wrapped nodes");
    let attachments = vec![AttachmentRef::of("terms", &terms, true), AttachmentRef::of("wraps", &wraps, true)];
    (Body::Grant(body::Grant { scope: "camera/102".to_owned(), attachments }), [terms, wraps])
}

pub fn time(text: &str) -> Timestamp {
    Timestamp::parse(text).unwrap()
}

impl Clone for Party {
    fn clone(&self) -> Self {
        let signer = SoftwareSigner::from_pkcs8_pem(&self.signer.to_pkcs8_pem()).unwrap();
        Self { certificate: self.certificate.clone(), chain: self.chain.clone(), signer }
    }
}

/// The chain of one issuer.
#[derive(Clone)]
pub struct Writer {
    pub party: Party,
    pub stream: StreamName,
    pub log: Hash,
    pub seq: u64,
    pub prev: Hash,
    pub observed: Head,
}

impl Writer {
    pub fn new(party: Party, stream: &str, anchor: &Anchor) -> Self {
        let stream = StreamName::parse(stream).unwrap();
        Self { party, stream, log: anchor.log, seq: 0, prev: Hash([0; 32]), observed: Head { size: 0, root: EMPTY_ROOT } }
    }

    pub fn statement(&self, body: Body) -> Statement {
        Statement {
            log: self.log,
            stream: self.stream.clone(),
            seq: self.seq,
            prev: self.prev,
            issued: now(),
            observed: self.observed,
            body,
        }
    }

    /// Signs what comes next, without going on.
    pub fn next(&self, body: Body) -> SignedStatement {
        sign(&self.statement(body), &self.party.certificate, &self.party.signer).unwrap()
    }
}

//! A log in memory with one camera's recording on it, and the bundle of that recording, to be spoilt by the tests.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::path::Path;

use exhibit_evidence::anchor::AnchorPolicy;
use exhibit_evidence::body::{
    AttachmentRef, CertificateBody, Close, CloseReason, Continues, Epoch, EpochReason, Export, Fetch, Genesis, Grant, Predecessor,
    Recipients, Segment, SeqRange, StreamPosition,
};
use exhibit_evidence::bundle::{
    BundleSource, DISCLOSURE_TYPE, DisclosedFragment, DisclosedSegment, Disclosure, FileBeside, FileRecord, MANIFEST_TYPE, Manifest,
    Question, SourceError, disclosure_path, entry_path, fragment_path, observed_proof_path, receipt_path, timestamp_proof_path,
};
use exhibit_evidence::keytree::KeyTree;
use exhibit_evidence::segment::{SegmentOpener, SegmentSealer};
use exhibit_evidence::verdict::{FindingKind, Verdict};
use exhibit_evidence::verify::{CannotJudge, verify};
use exhibit_evidence::{Anchor, Body, Head, SignedStatement, Statement, StreamName, sign};
use exhibit_pki::issue::{EndEntity, Issuance, issue_end_entity, issue_issuing_ca, issue_root};
use exhibit_pki::signature::RustCrypto;
use exhibit_pki::{Certificate, Fingerprint, KeyPurpose, Role, Signer, SoftwareSigner, Timestamp};
use exhibit_tlog::{
    Checkpoint, EMPTY_ROOT, Ed25519NoteSigner, Hash, HashReader, LogProof, LogVerifier, NoteSignature, NoteSigner, VerifierKey, leaf_hash,
    prove_consistency, prove_inclusion, root_of,
};
use sha2::{Digest, Sha256};
use zeroize::Zeroizing;

use crate::common::{NOT_AFTER, Party, Pki, stream, time};

pub const ORIGIN: &str = "city.example/log/1";
pub const CAMERA_STREAM: &str = "camera/102/main/20261120T115958Z";
/// Segments recorded, of two seconds each, from this moment on.
pub const SEGMENTS: u64 = 6;
pub const STARTED_MS: u64 = 1_795_176_000_000;
/// Those asked for and disclosed: 2 to 4.
pub const ASKED: std::ops::RangeInclusive<u64> = 2..=4;

/// The playable copy.
pub const WORKING_COPY: &str = "working/copy.mp4";

/// The log before, if there is one, and how many entries it has.
pub const PREDECESSOR: Hash = Hash([0xab; 32]);
pub const PREDECESSOR_SIZE: u64 = 10;

/// Half an hour before the recording.
const BEFORE_THE_EPOCH: &str = "2026-11-20T11:30:00.000Z";

/// Files in memory.
#[derive(Clone, Default)]
pub struct Files(pub BTreeMap<String, Vec<u8>>);

impl Files {
    /// Writes them into a folder, which is made.
    pub fn write_to(&self, folder: &Path) {
        for (path, bytes) in &self.0 {
            let file = folder.join(path);
            std::fs::create_dir_all(file.parent().unwrap()).unwrap();
            std::fs::write(file, bytes).unwrap();
        }
    }
}

impl BundleSource for Files {
    fn read(&self, path: &str, limit_bytes: u64) -> Result<Option<Vec<u8>>, SourceError> {
        let bytes = self.0.get(path).cloned();
        match bytes {
            Some(bytes) if bytes.len() as u64 > limit_bytes => Err(SourceError { path: path.to_owned(), reason: "too long".to_owned() }),
            bytes => Ok(bytes),
        }
    }

    fn hash(&self, path: &str, _limit_bytes: u64) -> Result<Option<(Hash, u64)>, SourceError> {
        Ok(self.0.get(path).map(|bytes| (Hash(Sha256::digest(bytes).into()), bytes.len() as u64)))
    }

    fn list(&self, _files_max: usize) -> Result<Vec<String>, SourceError> {
        Ok(self.0.keys().cloned().collect())
    }

    fn beside(&self, path: &str) -> Result<Option<Box<dyn FileBeside + '_>>, SourceError> {
        Ok(self.0.get(path).map(|bytes| Box::new(Rest(bytes)) as Box<dyn FileBeside>))
    }
}

/// What is left of a file.
struct Rest<'a>(&'a [u8]);

impl FileBeside for Rest<'_> {
    fn fill(&mut self, buffer: &mut [u8]) -> Result<usize, SourceError> {
        let (now, later) = self.0.split_at(buffer.len().min(self.0.len()));
        buffer[..now.len()].copy_from_slice(now);
        self.0 = later;
        Ok(now.len())
    }
}

/// Who issues statements, and where their chain stands.
pub struct Issuer {
    pub party: Party,
    pub stream: StreamName,
    pub next_seq: u64,
    pub prev: Hash,
}

/// The log, its issuers, and what lies beside it.
pub struct Log {
    pub pki: Pki,
    pub id: Hash,
    pub entries: Vec<SignedStatement>,
    pub attachments: BTreeMap<Hash, Vec<u8>>,
    pub appliance: Issuer,
    pub authority: Issuer,
    pub camera: Issuer,
    pub custodian: Issuer,
    pub investigator: Issuer,
    /// The roots that the log's anchor trusts.
    pub roots: Vec<Certificate>,
    /// What the log's anchor demands beyond the log.
    pub policy: AnchorPolicy,
}

/// Plain hashes of perfect subtrees, computed when asked for.
struct Leaves(Vec<Hash>);

impl HashReader for Leaves {
    type Error = std::convert::Infallible;
    fn hash(&self, level: u8, index: u64) -> Result<Hash, Self::Error> {
        let first = usize::try_from(index << level).unwrap();
        Ok(root_of(&self.0[first..first + (1 << level)]))
    }
}

impl Log {
    fn new() -> Self {
        let pki = Pki::new();
        let issuer = |subject: &str, role, scalar, name: &str| Issuer {
            party: pki.party(subject, &[role], KeyPurpose::Signing, scalar),
            stream: stream(name),
            next_seq: 0,
            prev: Hash::default(),
        };
        Self {
            appliance: issuer("appliance/1", Role::Appliance, 11, "appliance/1/log/20261120T110000Z"),
            authority: issuer("authority/1", Role::Authority, 12, "authority/1/20261120T110000Z"),
            camera: issuer("camera/102", Role::Camera, 13, CAMERA_STREAM),
            custodian: issuer("user/aa", Role::Custodian, 14, "user/aa/20261120T110000Z"),
            investigator: issuer("user/bb", Role::Investigator, 15, "user/bb/20261120T110000Z"),
            roots: vec![pki.root.clone()],
            pki,
            id: Hash::default(),
            policy: AnchorPolicy::default(),
            entries: Vec::new(),
            attachments: BTreeMap::new(),
        }
    }

    /// Appends a statement of one of the issuers and gives its index.
    pub fn append(&mut self, who: fn(&mut Self) -> &mut Issuer, issued_ms: u64, body: Body) -> u64 {
        let statement = self.draft(who, issued_ms, body);
        self.append_as_drafted(who, &statement)
    }

    /// The next statement of an issuer.
    pub fn draft(&mut self, who: fn(&mut Self) -> &mut Issuer, issued_ms: u64, body: Body) -> Statement {
        let log = self.id;
        let observed = Head { size: self.entries.len() as u64, root: self.root() };
        let observed = if self.entries.is_empty() { Head { size: 0, root: EMPTY_ROOT } } else { observed };
        let issuer = who(self);
        Statement {
            log,
            stream: issuer.stream.clone(),
            seq: issuer.next_seq,
            prev: issuer.prev,
            issued: Timestamp::from_unix_ms(issued_ms).unwrap(),
            observed,
            body,
        }
    }

    /// Signs and appends a draft, perhaps after it was spoilt.
    pub fn append_as_drafted(&mut self, who: fn(&mut Self) -> &mut Issuer, statement: &Statement) -> u64 {
        let issuer = who(self);
        let signed = sign(statement, &issuer.party.certificate, &issuer.party.key).unwrap();
        issuer.next_seq += 1;
        issuer.prev = signed.leaf_hash();
        self.entries.push(signed);
        self.entries.len() as u64 - 1
    }

    /// Puts another signature under the newest entry, well-formed and not its signer's, and gives the new leaf hash.
    fn forge_last(&mut self) -> Hash {
        let mut der = self.entries.pop().unwrap().der().to_vec();
        *der.last_mut().unwrap() ^= 1;
        self.entries.push(SignedStatement::parse(&der).unwrap());
        self.entries.last().unwrap().leaf_hash()
    }

    pub fn keep(&mut self, name: &str, bytes: &[u8]) -> AttachmentRef {
        let named = AttachmentRef::of(name, bytes, false);
        self.attachments.insert(named.sha256, bytes.to_vec());
        named
    }

    pub fn certify(&mut self, certificate: &Certificate, issuers: &[Certificate]) -> u64 {
        self.certify_as(certificate, *certificate.fingerprint(), issuers)
    }

    fn certify_as(&mut self, certificate: &Certificate, fingerprint: Fingerprint, issuers: &[Certificate]) -> u64 {
        let mut attachments = vec![self.keep("certificate", certificate.der())];
        for (number, issuer) in issuers.iter().enumerate() {
            attachments.push(self.keep(&format!("issuer-{number}"), issuer.der()));
        }
        let body = CertificateBody { fingerprint, replaces: None, attachments };
        self.append(|log| &mut log.authority, STARTED_MS - 10_000, Body::Certificate(body))
    }

    pub fn leaf(&self, index: u64) -> Hash {
        self.entries[usize::try_from(index).unwrap()].leaf_hash()
    }

    pub fn root(&self) -> Hash {
        root_of(&self.entries.iter().map(SignedStatement::leaf_hash).collect::<Vec<_>>())
    }

    pub fn checkpoint(&self) -> String {
        let head = Checkpoint { origin: ORIGIN.to_owned(), size: self.entries.len() as u64, root: self.root() };
        head.sign(&[&note_signer()], STARTED_MS / 1_000).unwrap()
    }

    /// The proof that the log of `size` entries is a part of the log as it stands.
    pub fn consistency(&self, size: u64) -> Vec<u8> {
        let leaves = Leaves(self.entries.iter().map(SignedStatement::leaf_hash).collect());
        let path = prove_consistency(&leaves, size, leaves.0.len() as u64).unwrap();
        exhibit_evidence::bundle::consistency_file(&path).into_bytes()
    }

    pub fn receipt(&self, index: u64, checkpoint: &str) -> String {
        let leaves = Leaves(self.entries.iter().map(SignedStatement::leaf_hash).collect());
        let path = prove_inclusion(&leaves, index, leaves.0.len() as u64).unwrap();
        LogProof { index, path, checkpoint: checkpoint.to_owned() }.to_text()
    }

    pub fn anchor(&self) -> Anchor {
        Anchor {
            log: self.id,
            verifier: LogVerifier { origin: ORIGIN.to_owned(), keys: vec![note_signer().verifier_key().clone()] },
            roots: self.roots.clone(),
            policy: self.policy.clone(),
        }
    }
}

pub fn note_signer() -> Ed25519NoteSigner {
    Ed25519NoteSigner::new(ORIGIN, &Zeroizing::new([21; 32])).unwrap()
}

/// A note key of the same name that the log does not have.
pub fn other_note_key() -> VerifierKey {
    Ed25519NoteSigner::new(ORIGIN, &Zeroizing::new([22; 32])).unwrap().verifier_key().clone()
}

thread_local! {
    /// The bundles that this thread has judged, each with its anchor.
    pub static JUDGED: RefCell<Vec<(Files, Anchor)>> = const { RefCell::new(Vec::new()) };
}

/// A recording on a log, and its bundle.
pub struct Case {
    pub log: Log,
    pub files: Files,
    pub manifest: Manifest,
    /// Index of the entry of each seq of the camera's stream.
    pub camera_index: Vec<u64>,
    pub fetch_index: u64,
}

/// What is logged besides a recording, once.
pub type Extra = fn(&mut Log);
/// The same after the epoch (0) and each segment (its number).
pub type ExtraAt = fn(&mut Log, u64);

/// How a recording may differ from the usual one, before it is signed and logged.
#[derive(Clone, Copy, Default)]
pub struct Recording {
    /// This segment starts so much later than it should, by the camera's clock.
    pub late: Option<(u64, u64)>,
    /// The camera's certificate is put on the ledger after the recording.
    pub certificate_late: bool,
    /// The recipients are of another camera.
    pub other_scope: bool,
    /// The epoch continues another one, which the exporter leaves out, and more is asked for than the epoch covers.
    pub epoch_hidden: bool,
    /// The statement that introduces the camera's certificate names another.
    pub other_fingerprint: bool,
    /// The investigator's fetch asks for fewer segments than are exported.
    pub fetch_less: bool,
    /// The fetch was made by the custodian.
    pub fetch_by_other: bool,
    /// The grant that the fetch names is logged after it.
    pub grant_late: bool,
    /// The camera's certificate is signed by a CA that nobody trusts.
    pub foreign_certificate: bool,
    /// The camera's certificate is valid up to this moment alone.
    pub expires_ms: Option<u64>,
    /// The name of the camera's stream, if it is not `CAMERA_STREAM`.
    pub stream: Option<&'static str>,
    /// This segment can not be decoded without the one before it.
    pub dependent: Option<u64>,
    /// The signature of this segment's statement is forged.
    pub forged: Option<u64>,
    /// This segment's statement follows another than the one before it.
    pub unchained: Option<u64>,
    /// The log succeeds one of ten entries.
    pub successor: bool,
    /// Sets the recipients otherwise; the last set on the log is obeyed.
    pub recipients: Option<Extra>,
    /// What else is logged before the recipients are set,
    pub before: Option<Extra>,
    /// after the epoch (0) and each segment (its number),
    pub between: Option<ExtraAt>,
    /// and after the recording.
    pub after: Option<Extra>,
}

impl Case {
    pub fn new() -> Self {
        Self::recorded(Recording::default())
    }

    pub fn recorded(how: Recording) -> Self {
        let mut log = Log::new();
        if how.foreign_certificate {
            log.camera.party = foreign_camera();
        }
        if let Some(expires_ms) = how.expires_ms {
            log.camera.party = short_lived_camera(&log.pki, expires_ms);
        }
        let name = how.stream.unwrap_or(CAMERA_STREAM);
        log.camera.stream = stream(name);
        begin_log(&mut log, how);
        how.before.inspect(|hook| hook(&mut log));
        let recipients = match how.recipients {
            Some(set) => {
                set(&mut log);
                let sets = |entry: &&SignedStatement| matches!(entry.statement().body, Body::Recipients(_));
                log.entries.iter().rfind(sets).unwrap().leaf_hash()
            }
            None => set_recipients(&mut log, if how.other_scope { "camera/103" } else { "camera/102" }),
        };
        let (camera_index, disclosures, mut files) = record(&mut log, recipients, how);
        how.after.inspect(|hook| hook(&mut log));
        if how.certificate_late {
            let certificate = log.camera.party.certificate.clone();
            log.certify(&certificate, &[]);
        }
        let disclosed: Vec<_> =
            disclosures.iter().map(|disclosure| DisclosedSegment { stream: name.to_owned(), seq: disclosure.seq }).collect();
        let grant = Grant {
            scope: "camera/102".to_owned(),
            attachments: vec![AttachmentRef::of("terms", &[1; 40], true), AttachmentRef::of("wraps", &[2; 40], true)],
        };
        let grant = log.draft(|log| &mut log.custodian, STARTED_MS + 60_000, Body::Grant(grant));
        let granted = sign(&grant, &log.custodian.party.certificate, &log.custodian.party.key).unwrap().leaf_hash();
        if !how.grant_late {
            log.append_as_drafted(|log| &mut log.custodian, &grant);
        }
        let ranges = vec![SeqRange {
            stream: stream(name),
            first: disclosed[0].seq,
            last: if how.fetch_less { disclosed[0].seq } else { disclosed[disclosed.len() - 1].seq },
        }];
        let fetch = Body::Fetch(Fetch { grant: Some(granted), ranges, attachments: vec![] });
        let fetch_index = if how.fetch_by_other {
            log.append(|log| &mut log.custodian, STARTED_MS + 61_000, fetch)
        } else {
            log.append(|log| &mut log.investigator, STARTED_MS + 61_000, fetch)
        };
        if how.grant_late {
            log.append_as_drafted(|log| &mut log.custodian, &grant);
        }
        assert!(log.entries.iter().any(|entry| entry.leaf_hash() == granted), "the fetch names no grant of the log");
        for disclosure in disclosures {
            files.0.insert(disclosure_path(name, disclosure.seq), serde_json::to_vec(&disclosure).unwrap());
        }
        let manifest = Manifest {
            type_name: MANIFEST_TYPE.to_owned(),
            log: log.id.to_string(),
            created: Timestamp::from_unix_ms(STARTED_MS + 62_000).unwrap().to_string(),
            software: "test".to_owned(),
            question: Question {
                series: stream(name).series().to_owned(),
                from: if how.epoch_hidden { BEFORE_THE_EPOCH.to_owned() } else { moment(*ASKED.start()) },
                to: moment(*ASKED.end() + 1),
            },
            entries: (0..log.entries.len() as u64)
                .filter(|index| how.epoch_hidden || how.between.is_some() || *index != camera_index[1])
                .collect(),
            segments: disclosed,
            files: vec![],
        };
        for (sha256, stored) in &log.attachments {
            files.0.insert(exhibit_evidence::bundle::attachment_path(sha256), stored.clone());
        }
        let mut case = Self { log, files, manifest, camera_index, fetch_index };
        case.make_copy();
        case.export();
        case
    }

    /// Discloses one segment less, with the copy that the others make.
    pub fn withhold(&mut self, seq: u64) {
        self.manifest.segments.retain(|segment| segment.seq != seq);
        self.make_copy();
        self.export();
    }

    /// Makes the playable copy of what is disclosed.
    fn make_copy(&mut self) {
        let made = |segment: &DisclosedSegment| {
            let disclosure = Disclosure::parse(&self.files.0[&disclosure_path(&segment.stream, segment.seq)]).unwrap();
            (segment_of(&self.log, segment).start, disclosure)
        };
        let disclosures: Vec<_> = self.manifest.segments.iter().map(made).collect();
        let copy = crate::media::working_copy(&disclosures, &self.files);
        self.manifest.files = vec![recorded(WORKING_COPY, &copy)];
        self.files.0.insert(WORKING_COPY.to_owned(), copy);
    }

    /// Signs the manifest as it stands and proves everything under a new checkpoint.
    pub fn export(&mut self) {
        let manifest = serde_json::to_vec(&self.manifest).unwrap();
        let seqs = || self.manifest.segments.iter().map(|segment| segment.seq);
        let (first, last) = (seqs().min().unwrap_or(0), seqs().max().unwrap_or(0));
        let name = self.manifest.segments.first().map_or(CAMERA_STREAM, |segment| &segment.stream);
        let ranges = vec![SeqRange { stream: stream(name), first, last }];
        let body = Export {
            fetch: self.log.leaf(self.fetch_index),
            ranges,
            manifest: Hash(Sha256::digest(&manifest).into()),
            attachments: vec![],
        };
        let index = self.log.append(|log| &mut log.investigator, STARTED_MS + 63_000, Body::Export(body));
        self.files.0.insert("manifest.json".to_owned(), manifest);
        self.prove(index);
    }

    /// Writes entries and receipts under a checkpoint of the log as it stands; the export is at `index`.
    pub fn prove(&mut self, index: u64) {
        let checkpoint = self.log.checkpoint();
        self.prove_under(index, &checkpoint);
    }

    /// The same for the last export, under a checkpoint with other lines.
    pub fn reprove(&mut self, checkpoint: &str) {
        self.prove_under(self.log.entries.len() as u64 - 1, checkpoint);
    }

    /// Has witnesses cosign the bundle's checkpoint.
    pub fn cosign(&mut self, witnesses: &[u8], unix_s: u64) {
        let mut checkpoint = self.log.checkpoint();
        let text = crate::authorities::note_text(&checkpoint);
        for number in witnesses {
            let witness = crate::authorities::witness(*number);
            checkpoint.push_str(&NoteSignature::sign(&text, &witness, unix_s).unwrap().to_string());
        }
        self.reprove(&checkpoint);
    }

    fn prove_under(&mut self, index: u64, checkpoint: &str) {
        for listed in &self.manifest.entries {
            let der = self.log.entries[usize::try_from(*listed).unwrap()].der().to_vec();
            self.files.0.insert(entry_path(*listed), der);
            self.files.0.insert(receipt_path(*listed), self.log.receipt(*listed, checkpoint).into_bytes());
        }
        self.files.0.insert("export.p7s".to_owned(), self.log.entries[usize::try_from(index).unwrap()].der().to_vec());
        self.files.0.insert("export.tlog-proof".to_owned(), self.log.receipt(index, checkpoint).into_bytes());
        self.files.0.insert("checkpoint".to_owned(), checkpoint.as_bytes().to_vec());
    }

    /// Puts other bytes in the place of an entry, and proves everything under a checkpoint of the log that has them.
    pub fn replace_entry(&mut self, index: u64, bytes: &[u8]) {
        let mut leaves = Leaves(self.log.entries.iter().map(SignedStatement::leaf_hash).collect());
        leaves.0[usize::try_from(index).unwrap()] = leaf_hash(bytes);
        let size = leaves.0.len() as u64;
        let head = Checkpoint { origin: ORIGIN.to_owned(), size, root: root_of(&leaves.0) };
        let checkpoint = head.sign(&[&note_signer()], STARTED_MS / 1_000).unwrap();
        let receipt = |index| {
            let path = prove_inclusion(&leaves, index, size).unwrap();
            LogProof { index, path, checkpoint: checkpoint.clone() }.to_text().into_bytes()
        };
        for listed in &self.manifest.entries {
            self.files.0.insert(receipt_path(*listed), receipt(*listed));
        }
        self.files.0.insert("export.tlog-proof".to_owned(), receipt(size - 1));
        self.files.0.insert("checkpoint".to_owned(), checkpoint.clone().into_bytes());
        self.files.0.insert(entry_path(index), bytes.to_vec());
    }

    /// Adds the proofs that what every entry of the bundle observed and had timestamped is of this log.
    pub fn prove_heads(&mut self) {
        for (index, entry) in (0..).zip(&self.log.entries) {
            let statement = entry.statement();
            let is_export = self.files.0.get("export.p7s").is_some_and(|export| export == entry.der());
            if (self.manifest.entries.contains(&index) || is_export) && statement.observed.size > 0 {
                self.files.0.insert(observed_proof_path(index), self.log.consistency(statement.observed.size));
            }
            if let Body::Timestamp(body) = &statement.body {
                self.files.0.insert(timestamp_proof_path(index), self.log.consistency(body.head.size));
            }
        }
    }

    pub fn judge(&self) -> Result<Verdict, CannotJudge> {
        let anchor = self.log.anchor();
        JUDGED.with_borrow_mut(|all| all.push((self.files.clone(), anchor.clone())));
        verify(&self.files, &anchor, &RustCrypto)
    }

    /// The kinds of the findings that are bad or undecided.
    pub fn faults(&self) -> Vec<FindingKind> {
        let verdict = self.judge().expect("the bundle can be judged");
        let faulty = verdict.findings.iter().filter(|finding| finding.grade > exhibit_evidence::verdict::Grade::NotDemanded);
        faulty.map(|finding| finding.kind).collect()
    }

    pub fn file(&mut self, path: &str) -> &mut Vec<u8> {
        self.files.0.get_mut(path).unwrap_or_else(|| panic!("the bundle holds {path}"))
    }
}

/// A file as the manifest records it.
pub fn recorded(path: &str, bytes: &[u8]) -> FileRecord {
    FileRecord { path: path.to_owned(), sha256: hex::encode(Sha256::digest(bytes)), length: bytes.len() as u64 }
}

/// The statement of a disclosed segment.
fn segment_of<'a>(log: &'a Log, disclosed: &DisclosedSegment) -> &'a Segment {
    let statements = log.entries.iter().map(SignedStatement::statement);
    let found = statements.filter(|statement| (statement.stream.as_str(), statement.seq) == (disclosed.stream.as_str(), disclosed.seq));
    let mut segments = found.filter_map(|statement| if let Body::Segment(segment) = &statement.body { Some(segment) } else { None });
    segments.next_back().unwrap()
}

/// When segment `seq` begins, by the camera's clock.
pub fn moment(seq: u64) -> String {
    Timestamp::from_unix_ms(segment_start_ms(seq)).unwrap().to_string()
}

fn segment_start_ms(seq: u64) -> u64 {
    STARTED_MS + (seq - 1) * 2_000
}

fn begin_log(log: &mut Log, how: Recording) {
    let own = log.appliance.party.certificate.clone();
    let genesis = Genesis {
        origin: ORIGIN.to_owned(),
        keys: vec![note_signer().verifier_key().to_string()],
        roots: [&log.pki.root, &log.pki.issuing].map(|root| *root.fingerprint()).to_vec(),
        witness_policy: String::new(),
        predecessor: how
            .successor
            .then_some(Predecessor { log: PREDECESSOR, head: Head { size: PREDECESSOR_SIZE, root: Hash([0xac; 32]) } }),
        attachments: vec![log.keep("certificate", own.der())],
    };
    log.append(|log| &mut log.appliance, STARTED_MS - 20_000, Body::Genesis(genesis));
    log.id = log.leaf(0);
    let (authority, issuing, root) = (log.authority.party.certificate.clone(), log.pki.issuing.clone(), log.pki.root.clone());
    log.certify(&authority, &[issuing, root]);
    for certificate in [&log.custodian, &log.investigator].map(|issuer| issuer.party.certificate.clone()) {
        log.certify(&certificate, &[]);
    }
    if !how.certificate_late {
        let camera = log.camera.party.certificate.clone();
        let named = if how.other_fingerprint { [9; 32] } else { *camera.fingerprint() };
        log.certify_as(&camera, named, &[]);
    }
}

fn set_recipients(log: &mut Log, scope: &str) -> Hash {
    let set = Recipients {
        scope: scope.to_owned(),
        number: 1,
        replaces: None,
        recipients: vec![[5; 32]],
        custodians: vec![*log.custodian.party.certificate.fingerprint()],
        threshold: 1,
        expires: time(NOT_AFTER),
        attachments: vec![],
    };
    let index = log.append(|log| &mut log.custodian, STARTED_MS - 5_000, Body::Recipients(set));
    log.leaf(index)
}

/// Records: an epoch, segments of two fragments, a close. Gives the index of each, and what is disclosed.
fn record(log: &mut Log, recipients: Hash, how: Recording) -> (Vec<u64>, Vec<Disclosure>, Files) {
    let name = log.camera.stream.clone();
    let tree = KeyTree::from_root(Zeroizing::new([31; 32]));
    let epoch = Epoch {
        commitment: tree.commitment(&name).unwrap(),
        started: Timestamp::from_unix_ms(STARTED_MS).unwrap(),
        recipients,
        continues: Continues {
            reason: if how.epoch_hidden { EpochReason::Rotation } else { EpochReason::Start },
            previous: how.epoch_hidden.then(|| StreamPosition {
                stream: stream("camera/102/main/20261120T105958Z"),
                seq: 300,
                leaf: Hash([6; 32]),
            }),
        },
        attachments: vec![AttachmentRef::of("wraps", &[3; 40], true)],
    };
    log.append(|log| &mut log.camera, STARTED_MS, Body::Epoch(epoch));
    how.between.inspect(|hook| hook(log, 0));
    let (disclosures, files) = (RefCell::new(Vec::new()), RefCell::new(Files::default()));
    for number in 1..=SEGMENTS {
        let seq = log.camera.next_seq;
        let late_ms = how.late.filter(|(late, _)| *late <= number).map_or(0, |(_, ms)| ms);
        let slot = u32::try_from((number - 1) * 2).unwrap();
        let slot_key = || tree.slot_key(slot).unwrap();
        let plaintexts = crate::media::fragments(number);
        let mut sealer = SegmentSealer::new(&name, seq, slot_key(), [9; 16]);
        let ciphertexts: Vec<_> = plaintexts.iter().enumerate().map(|(index, plaintext)| sealer.seal(plaintext, index == 1)).collect();
        let sealed = sealer.finish();
        let segment = Segment {
            slot,
            salt: [9; 16],
            start: Timestamp::from_unix_ms(segment_start_ms(number) + late_ms).unwrap(),
            duration_ms: 2_000,
            media_type: "video/mp4".to_owned(),
            random_access: how.dependent != Some(number),
            fragment_lengths: sealed.fragment_lengths,
            ciphertext_root: sealed.ciphertext_root,
            commitment_root: sealed.commitment_root,
            attachments: vec![],
        };
        if ASKED.contains(&number) {
            let opener = SegmentOpener::new(&name, seq, &segment, slot_key());
            let opened: Vec<_> = (0u32..).zip(&ciphertexts).map(|(index, bytes)| opener.open(index, bytes).unwrap()).collect();
            for (index, fragment) in (0u32..).zip(&opened) {
                files.borrow_mut().0.insert(fragment_path(name.as_str(), seq, index), fragment.plaintext.clone());
            }
            disclosures.borrow_mut().push(Disclosure {
                type_name: DISCLOSURE_TYPE.to_owned(),
                stream: name.as_str().to_owned(),
                seq,
                commitments: opened.iter().map(|fragment| fragment.commitment.to_string()).collect(),
                fragments: (0u32..)
                    .zip(&opened)
                    .map(|(index, fragment)| DisclosedFragment { index, key: hex::encode(*fragment.key.0) })
                    .collect(),
            });
        }
        if how.unchained == Some(number) {
            log.camera.prev = Hash([8; 32]);
        }
        log.append(|log| &mut log.camera, segment_start_ms(number) + late_ms + 2_100, Body::Segment(segment));
        if how.forged == Some(number) {
            log.camera.prev = log.forge_last();
        }
        how.between.inspect(|hook| hook(log, number));
    }
    let close = Close { reason: CloseReason::Stop, attachments: vec![] };
    log.append(|log| &mut log.camera, segment_start_ms(SEGMENTS) + 2_200, Body::Close(close));
    let of_camera = |(index, entry): (u64, &SignedStatement)| (entry.statement().stream == name).then_some(index);
    let indexes = (0..).zip(&log.entries).filter_map(of_camera).collect();
    (indexes, disclosures.into_inner(), files.into_inner())
}

/// Camera 102 with a certificate that is valid up to a moment alone.
fn short_lived_camera(pki: &Pki, expires_ms: u64) -> Party {
    let key = crate::common::key(13);
    let identity = exhibit_pki::Identity::parse("spiffe://city.example/camera/102").unwrap();
    let entity = EndEntity {
        identity: &identity,
        public_key: key.public_key(),
        purpose: KeyPurpose::Signing,
        roles: &[Role::Camera],
        server_names: &[],
    };
    let issuance = Issuance { not_after: Timestamp::from_unix_ms(expires_ms).unwrap(), ..foreign_issuance(44) };
    let certificate = issue_end_entity(&entity, &pki.issuing, &crate::common::key(2), &issuance).unwrap();
    Party { certificate, key }
}

/// Camera 102 as another authority would certify it: same names, other root.
fn foreign_camera() -> Party {
    let (_, issuing, issuing_key) = foreign_authority();
    let camera_key = crate::common::key(13);
    let identity = exhibit_pki::Identity::parse("spiffe://city.example/camera/102").unwrap();
    let entity = EndEntity {
        identity: &identity,
        public_key: camera_key.public_key(),
        purpose: KeyPurpose::Signing,
        roles: &[Role::Camera],
        server_names: &[],
    };
    let certificate = issue_end_entity(&entity, &issuing, &issuing_key, &foreign_issuance(43)).unwrap();
    Party { certificate, key: camera_key }
}

/// The root that certified that camera, which has the name of the true one.
pub fn foreign_root() -> Certificate {
    foreign_authority().0
}

fn foreign_authority() -> (Certificate, Certificate, SoftwareSigner) {
    let (root_key, issuing_key) = (crate::common::key(41), crate::common::key(42));
    let domain = exhibit_pki::TrustDomain::parse("city.example").unwrap();
    let root = issue_root("City Root", &domain, &root_key, &foreign_issuance(41)).unwrap();
    let issuing =
        issue_issuing_ca("City Issuing", issuing_key.public_key(), &[Role::Camera], &root, &root_key, &foreign_issuance(42)).unwrap();
    (root, issuing, issuing_key)
}

fn foreign_issuance(serial: u8) -> Issuance {
    Issuance { not_before: time(crate::common::NOT_BEFORE), not_after: time(NOT_AFTER), serial: [serial; 16] }
}

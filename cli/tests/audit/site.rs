//! A log in memory, with everybody who writes to it, and its resources as files: what an appliance publishes, and what a lying one could.

use std::collections::HashMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{SystemTime, UNIX_EPOCH};

use exhibit_evidence::anchor::AnchorPolicy;
use exhibit_evidence::body::{Approve, CertificateBody, Genesis, Predecessor};
use exhibit_evidence::{Anchor, AttachmentRef, Body, Head, Statement, StreamName, sign};
use exhibit_pki::issue::{EndEntity, Issuance, issue_end_entity, issue_issuing_ca, issue_root};
use exhibit_pki::{Certificate, ChainCertificate, Identity, KeyPurpose, Role, Signer, SoftwareSigner, Timestamp, TrustDomain};
use exhibit_tlog::tile::{BundleId, TileId, encode_bundle, encode_tile};
use exhibit_tlog::{
    Checkpoint, EMPTY_ROOT, Ed25519Cosigner, Ed25519NoteSigner, Hash, LogVerifier, MlDsa44NoteSigner, NoteSignature, NoteSigner,
    VerifierKey, leaf_hash, root_of,
};
use p384::ecdsa::signature::hazmat::PrehashSigner;
use p384::ecdsa::{Signature, SigningKey};
use serde_json::Value;
use sha2::{Digest, Sha256};
use zeroize::Zeroizing;

pub const ORIGIN: &str = "city.example/log/1";
const DAY_MS: u64 = 86_400_000;

pub fn now() -> Timestamp {
    let unix_ms = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_millis();
    Timestamp::from_unix_ms(u64::try_from(unix_ms).unwrap()).unwrap()
}

/// So many milliseconds ago.
pub fn ago(ms: u64) -> Timestamp {
    Timestamp::from_unix_ms(now().unix_ms() - ms).unwrap()
}

/// Somebody with a key and a stream.
#[derive(Clone)]
pub struct Writer {
    pub certificate: Certificate,
    pub scalar: u8,
    pub stream: String,
    pub seq: u64,
    pub prev: Hash,
}

/// The authority, the log, and what it has published.
#[derive(Clone)]
pub struct Site {
    root: Certificate,
    issuing: Certificate,
    pub entries: Vec<Vec<u8>>,
    pub certificates: HashMap<Hash, Vec<u8>>,
    pub log: Hash,
    pub policy: AnchorPolicy,
    pub appliance: Writer,
    pub authority: Writer,
    pub custodian: Writer,
    /// What the next statement says that its issuer has seen.
    pub observed: Head,
    /// When the witness has cosigned, if it has.
    pub cosigned_unix_s: Option<u64>,
    /// How long ago statements are issued.
    pub age_ms: u64,
}

fn key(scalar: u8) -> SoftwareSigner {
    SoftwareSigner::from_scalar(&Zeroizing::new([scalar; 48])).unwrap()
}

fn issuance(serial: u8) -> Issuance {
    let at = |ms| Timestamp::from_unix_ms(ms).unwrap();
    let now_ms = now().unix_ms();
    Issuance { not_before: at(now_ms - 300 * DAY_MS), not_after: at(now_ms + 300 * DAY_MS), serial: [serial.max(1); 16] }
}

impl Writer {
    fn new(certificate: Certificate, scalar: u8, stream: &str) -> Self {
        Self { certificate, scalar, stream: stream.to_owned(), seq: 0, prev: Hash([0; 32]) }
    }
}

impl Site {
    /// Genesis, an authority, and a custodian.
    pub fn new() -> Self {
        Self::of(1, 0)
    }

    /// The same of another city, whose authority has other keys, and begun so long ago.
    pub fn of(scalar: u8, age_ms: u64) -> Self {
        Self::begun(scalar, age_ms, None, None)
    }

    /// The same whose machine has a TPM with a key for checkpoints.
    pub fn with_tpm_key() -> Self {
        Self::begun(1, 0, None, Some(tpm_line("text\n\n").0.to_string()))
    }

    /// A log that goes on for another.
    pub fn after(predecessor: Predecessor) -> Self {
        Self::begun(1, 0, Some(predecessor), None)
    }

    fn begun(scalar: u8, age_ms: u64, predecessor: Option<Predecessor>, tpm_key: Option<String>) -> Self {
        let domain = TrustDomain::parse("city.example").unwrap();
        let roles = Role::ALL;
        let root = issue_root("City Root", &domain, &key(scalar), &issuance(1)).unwrap();
        let issuing = issue_issuing_ca("City Issuing", key(2).public_key(), &roles, &root, &key(scalar), &issuance(2)).unwrap();
        let party = |subject: &str, role: Role, scalar: u8| certify(&issuing, subject, &[role], scalar, scalar);
        let mut site = Self {
            appliance: Writer::new(party("appliance/1", Role::Appliance, 3), 3, "appliance/1/log/1"),
            authority: Writer::new(party("authority/1", Role::Authority, 4), 4, "authority/1/1"),
            custodian: Writer::new(party("user/k", Role::Custodian, 5), 5, "user/k/1"),
            root,
            issuing,
            entries: Vec::new(),
            certificates: HashMap::new(),
            log: Hash([0; 32]),
            policy: AnchorPolicy::default(),
            observed: Head { size: 0, root: EMPTY_ROOT },
            age_ms,
            cosigned_unix_s: None,
        };
        let own = AttachmentRef::of("certificate", site.appliance.certificate.der(), false);
        site.certificates.insert(own.sha256, site.appliance.certificate.der().to_vec());
        let genesis = Genesis {
            origin: ORIGIN.to_owned(),
            keys: keys().1.keys.iter().map(ToString::to_string).collect(),
            roots: vec![*site.root.fingerprint()],
            witness_policy: String::new(),
            predecessor,
            earlier: Vec::new(),
            attachments: [own].into_iter().chain(tpm_key.map(|key| AttachmentRef::of("tpm-key", key.as_bytes(), false))).collect(),
        };
        let mut appliance = site.appliance.clone();
        site.log = site.put(&mut appliance, Body::Genesis(genesis));
        site.appliance = appliance;
        let parts =
            [("certificate", site.authority.certificate.clone()), ("issuer-0", site.issuing.clone()), ("issuer-1", site.root.clone())];
        site.introduce_with(&parts);
        site.introduce(&site.custodian.certificate.clone());
        site
    }

    /// Another certificate of somebody.
    pub fn certify(&self, subject: &str, role: Role, scalar: u8) -> Certificate {
        certify(&self.issuing, subject, &[role], scalar, scalar)
    }

    /// Somebody whose certificate is not on the log, unless it is introduced.
    pub fn writer(&self, subject: &str, role: Role, scalar: u8, stream: &str) -> Writer {
        Writer::new(self.certify(subject, role, scalar), scalar, stream)
    }

    pub fn introduce(&mut self, certificate: &Certificate) -> Hash {
        self.introduce_with(&[("certificate", certificate.clone())])
    }

    fn introduce_with(&mut self, parts: &[(&str, Certificate)]) -> Hash {
        let attachments: Vec<_> = parts.iter().map(|(name, certificate)| AttachmentRef::of(name, certificate.der(), false)).collect();
        for (attachment, (_, certificate)) in attachments.iter().zip(parts) {
            self.certificates.insert(attachment.sha256, certificate.der().to_vec());
        }
        let body = CertificateBody { fingerprint: *parts[0].1.fingerprint(), replaces: None, attachments };
        let mut authority = self.authority.clone();
        let leaf = self.put(&mut authority, Body::Certificate(body));
        self.authority = authority;
        leaf
    }

    /// A signed entry, without putting it anywhere.
    pub fn signed(&self, writer: &Writer, body: Body) -> Vec<u8> {
        let is_genesis = matches!(body, Body::Genesis(_));
        let statement = Statement {
            log: if is_genesis { Hash([0; 32]) } else { self.log },
            stream: StreamName::parse(&writer.stream).unwrap(),
            seq: writer.seq,
            prev: writer.prev,
            issued: Timestamp::from_unix_ms(now().unix_ms() - self.age_ms).unwrap(),
            observed: self.observed,
            body,
        };
        sign(&statement, &writer.certificate, &key(writer.scalar)).unwrap().der().to_vec()
    }

    /// Puts what comes next in a stream on the log.
    pub fn put(&mut self, writer: &mut Writer, body: Body) -> Hash {
        let entry = self.signed(writer, body);
        let leaf = leaf_hash(&entry);
        self.entries.push(entry);
        (writer.seq, writer.prev) = (writer.seq + 1, leaf);
        leaf
    }

    /// The custodian's next statement.
    pub fn by_custodian(&mut self, body: Body) -> Hash {
        let mut custodian = self.custodian.clone();
        let leaf = self.put(&mut custodian, body);
        self.custodian = custodian;
        leaf
    }

    /// The appliance's next statement.
    pub fn by_appliance(&mut self, body: Body) -> Hash {
        let mut appliance = self.appliance.clone();
        let leaf = self.put(&mut appliance, body);
        self.appliance = appliance;
        leaf
    }

    /// The authority's next statement.
    pub fn by_authority(&mut self, body: Body) -> Hash {
        let mut authority = self.authority.clone();
        let leaf = self.put(&mut authority, body);
        self.authority = authority;
        leaf
    }

    /// Somebody whose certificate is on the log.
    pub fn member(&mut self, subject: &str, role: Role, scalar: u8, stream: &str) -> Writer {
        let writer = self.writer(subject, role, scalar, stream);
        self.introduce(&writer.certificate);
        writer
    }

    /// A certificate in place of another.
    pub fn replace(&mut self, replaced: Option<&Certificate>, own: &Certificate) -> Hash {
        let attachments = vec![AttachmentRef::of("certificate", own.der(), false)];
        self.certificates.insert(attachments[0].sha256, own.der().to_vec());
        let replaces = replaced.map(|replaced| *replaced.fingerprint());
        self.by_authority(Body::Certificate(CertificateBody { fingerprint: *own.fingerprint(), replaces, attachments }))
    }

    /// The approval of an entry that is on the log, by its leaf and its statement.
    pub fn approval(&self, leaf: Hash) -> Body {
        let entry = self.entries.iter().find(|entry| leaf_hash(entry) == leaf).unwrap();
        let statement = exhibit_evidence::SignedStatement::parse(entry).unwrap().statement_hash();
        Body::Approve(Approve { entry: leaf, statement, attachments: vec![] })
    }

    /// A wrapping certificate, of a person who gets keys.
    pub fn wrapping(&self, subject: &str, role: Role, scalar: u8) -> Certificate {
        self.issue(subject, &[role], KeyPurpose::Wrapping, scalar, &issuance(scalar))
    }

    /// A certificate that expires so long ago or hence.
    pub fn expiring(&self, subject: &str, role: Role, scalar: u8, not_after: Timestamp) -> Certificate {
        self.issue(subject, &[role], KeyPurpose::Signing, scalar, &Issuance { not_after, ..issuance(scalar) })
    }

    /// A timestamping authority of the city.
    pub fn timestamping(&self, scalar: u8) -> (ChainCertificate, SoftwareSigner) {
        let certificate = self.issue("authority/time", &[], KeyPurpose::Timestamping, scalar, &issuance(scalar));
        (ChainCertificate::from_der(certificate.der()).unwrap(), key(scalar))
    }

    fn issue(&self, subject: &str, roles: &[Role], purpose: KeyPurpose, scalar: u8, issuance: &Issuance) -> Certificate {
        let (key, identity) = (key(scalar), Identity::parse(&format!("spiffe://city.example/{subject}")).unwrap());
        let entity = EndEntity { identity: &identity, public_key: key.public_key(), purpose, roles, server_names: &[] };
        issue_end_entity(&entity, &self.issuing, &self::key(2), issuance).unwrap()
    }

    /// What does no harm: the custodian approves something.
    pub fn approve(&mut self, entry: Hash) {
        let mut custodian = self.custodian.clone();
        self.put(&mut custodian, Body::Approve(Approve { entry, statement: Hash([7; 32]), attachments: vec![] }));
        self.custodian = custodian;
    }

    /// So many entries more.
    pub fn grow(&mut self, count: usize) {
        (0..count).for_each(|number| self.approve(leaf_hash(&(number + self.entries.len()).to_be_bytes())));
    }

    pub fn leaves(&self) -> Vec<Hash> {
        self.entries.iter().map(|entry| leaf_hash(entry)).collect()
    }

    pub fn head(&self) -> Head {
        Head { size: self.entries.len() as u64, root: root_of(&self.leaves()) }
    }

    pub fn checkpoint(&self) -> String {
        let note = checkpoint(self.head());
        self.cosigned_unix_s.map_or(note.clone(), |unix_s| cosigned(&note, unix_s))
    }

    pub fn anchor(&self) -> Anchor {
        Anchor { log: self.log, verifier: keys().1, roots: vec![self.root.clone()], policy: self.policy.clone() }
    }

    /// Everything that is published, by its path below the prefix. Only what the newest checkpoint needs: earlier partial tiles are gone.
    pub fn resources(&self) -> HashMap<String, Vec<u8>> {
        let mut resources = HashMap::from([("checkpoint".to_owned(), self.checkpoint().into_bytes())]);
        for (index, chunk) in (0..).zip(self.entries.chunks(256)) {
            let entries: Vec<&[u8]> = chunk.iter().map(Vec::as_slice).collect();
            let id = BundleId { index, width: chunk.len() as u16 };
            resources.insert(format!("tile/entries/{}", id.path()), encode_bundle(&entries).unwrap());
        }
        let mut row = self.leaves();
        for level in 0.. {
            for (index, chunk) in (0..).zip(row.chunks(256)) {
                resources.insert(format!("tile/{}", TileId { level, index, width: chunk.len() as u16 }.path()), encode_tile(chunk));
            }
            row = row.chunks_exact(256).map(root_of).collect();
            if row.is_empty() {
                break;
            }
        }
        resources.extend(self.certificates.iter().map(|(sha256, der)| (format!("attachments/{sha256}"), der.clone())));
        resources
    }
}

fn certify(issuing: &Certificate, subject: &str, roles: &[Role], scalar: u8, serial: u8) -> Certificate {
    let (key, identity) = (key(scalar), Identity::parse(&format!("spiffe://city.example/{subject}")).unwrap());
    let entity = EndEntity { identity: &identity, public_key: key.public_key(), purpose: KeyPurpose::Signing, roles, server_names: &[] };
    issue_end_entity(&entity, issuing, &self::key(2), &issuance(serial)).unwrap()
}

/// Somebody else, who watches the log.
pub fn witness() -> Ed25519Cosigner {
    Ed25519Cosigner::new("witness.example/w1", &Zeroizing::new([62; 32])).unwrap()
}

pub fn keys() -> ((Ed25519NoteSigner, MlDsa44NoteSigner), LogVerifier) {
    let ed25519 = Ed25519NoteSigner::new(ORIGIN, &Zeroizing::new([60; 32])).unwrap();
    let ml_dsa = MlDsa44NoteSigner::new(ORIGIN, &Zeroizing::new([61; 32])).unwrap();
    let verifier = LogVerifier { origin: ORIGIN.into(), keys: vec![ed25519.verifier_key().clone(), ml_dsa.verifier_key().clone()] };
    ((ed25519, ml_dsa), verifier)
}

/// Signed by the log, whatever it says.
pub fn checkpoint(head: Head) -> String {
    let ((ed25519, ml_dsa), _) = keys();
    let signers: [&dyn NoteSigner; 2] = [&ed25519, &ml_dsa];
    Checkpoint { origin: ORIGIN.into(), size: head.size, root: head.root }.sign(&signers, 1_790_000_000).unwrap()
}

/// A checkpoint with the witness's line.
pub fn cosigned(note: &str, unix_s: u64) -> String {
    let text = note.split_once("\n\n").unwrap().0;
    format!("{note}{}", NoteSignature::sign(&format!("{text}\n"), &witness(), unix_s).unwrap())
}

/// The key of a TPM, and its line under a checkpoint.
pub fn tpm_line(note: &str) -> (VerifierKey, String) {
    let key = SigningKey::from_slice(&[9; 48]).unwrap();
    // SubjectPublicKeyInfo of a point on P-384 (RFC 5480).
    let prefix = hex::decode("3076301006072a8648ce3d020106052b81040022036200").unwrap();
    let public = VerifierKey::ecdsa(ORIGIN, &[&prefix, key.verifying_key().to_sec1_point(false).as_bytes()].concat()).unwrap();
    let text = format!("{}\n", note.split_once("\n\n").unwrap().0);
    let signature: Signature = key.sign_prehash(&Sha256::digest(text)).unwrap();
    let line = NoteSignature { name: ORIGIN.to_owned(), key_id: public.key_id(), signature: signature.to_der().as_bytes().to_vec() };
    (public, line.to_string())
}

/// A desk with an anchor, a state folder and a mirror.
pub struct Desk {
    folder: tempfile::TempDir,
}

/// What a run has said.
#[derive(Debug)]
pub struct Said {
    pub code: i32,
    pub lines: Vec<Value>,
    pub stderr: String,
}

impl Desk {
    pub fn new(site: &Site) -> Self {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("anchor.json"), site.anchor().to_json()).unwrap();
        Self { folder }
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Publishes into the mirror, in place of what was there.
    pub fn publish(&self, resources: &HashMap<String, Vec<u8>>) {
        let mirror = self.path("mirror");
        let _ = fs::remove_dir_all(&mirror);
        for (path, bytes) in resources {
            let path = mirror.join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, bytes).unwrap();
        }
    }

    pub fn command(&self, log: &str, words: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_exhibit"));
        command.env_remove("EXHIBIT_IDENTITY").args(["--json", "audit", log, "--anchor"]).arg(self.path("anchor.json"));
        command.arg("--state").arg(self.path("state")).args(words);
        command
    }

    /// Audits a log once.
    pub fn audit_at(&self, log: &str, words: &[&str]) -> Said {
        let output = self.command(log, words).output().unwrap();
        let lines = String::from_utf8(output.stdout).unwrap().lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        Said { code: output.status.code().unwrap(), lines, stderr: String::from_utf8(output.stderr).unwrap() }
    }

    /// Audits the mirror once.
    pub fn audit(&self, words: &[&str]) -> Said {
        self.audit_at(self.path("mirror").to_str().unwrap(), words)
    }

    /// Publishes all of a site and audits it.
    pub fn audit_of(&self, site: &Site) -> Said {
        self.publish(&site.resources());
        self.audit(&[])
    }

    /// The folders in which proofs were kept.
    pub fn proofs(&self) -> Vec<PathBuf> {
        let all = fs::read_dir(self.path("state")).unwrap().map(|entry| entry.unwrap().path());
        all.filter(|path| name(path).starts_with("proof-")).collect()
    }
}

fn name(path: &Path) -> &str {
    path.file_name().unwrap().to_str().unwrap()
}

impl Said {
    /// The last line.
    pub fn checked(&self) -> &Value {
        let last = self.lines.last().unwrap_or_else(|| panic!("nothing was said: {self:?}"));
        assert_eq!(last["event"], "checked", "{self:?}");
        last
    }

    pub fn outcome(&self) -> &str {
        self.checked()["outcome"].as_str().unwrap()
    }

    /// Kind and index of each new finding.
    pub fn findings(&self) -> Vec<(String, Option<u64>)> {
        let findings = self.lines.iter().filter(|line| line["event"] == "finding" && line["new"] == true);
        findings.map(|line| (line["kind"].as_str().unwrap().to_owned(), line["index"].as_u64())).collect()
    }

    /// Demands an outcome, an exit code and these new findings.
    #[track_caller]
    pub fn expect(&self, code: i32, outcome: &str, findings: &[(&str, Option<u64>)]) {
        let expected: Vec<_> = findings.iter().map(|(kind, index)| ((*kind).to_owned(), *index)).collect();
        assert_eq!((self.code, self.outcome()), (code, outcome), "{self:?}");
        assert_eq!(self.findings(), expected, "{self:?}");
    }
}

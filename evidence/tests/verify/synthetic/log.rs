//! A log in memory: its issuers, what they append, and the proofs of it.

use std::collections::BTreeMap;

use exhibit_evidence::anchor::AnchorPolicy;
use exhibit_evidence::body::{AttachmentRef, CertificateBody};
use exhibit_evidence::{Anchor, Body, Head, SignedStatement, Statement, StreamName, sign};
use exhibit_pki::{Certificate, Fingerprint, KeyPurpose, Role, Timestamp};
use exhibit_tlog::{
    Checkpoint, EMPTY_ROOT, Ed25519NoteSigner, Hash, HashReader, LogProof, LogVerifier, NoteSigner, VerifierKey, leaf_hash,
    prove_consistency, prove_inclusion, root_of,
};
use zeroize::Zeroizing;

use super::{CAMERA_STREAM, ORIGIN, PREDECESSOR_SIZE, STARTED_MS};
use crate::common::remembered::Remembering;
use crate::common::{Party, Pki, stream};

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
pub struct Leaves(pub Vec<Hash>);

impl HashReader for Leaves {
    type Error = std::convert::Infallible;
    fn hash(&self, level: u8, index: u64) -> Result<Hash, Self::Error> {
        let first = usize::try_from(index << level).unwrap();
        Ok(root_of(&self.0[first..first + (1 << level)]))
    }
}

impl Log {
    pub fn new() -> Self {
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
        let signed = sign(statement, &issuer.party.certificate, &Remembering(&issuer.party.key)).unwrap();
        issuer.next_seq += 1;
        issuer.prev = signed.leaf_hash();
        self.entries.push(signed);
        self.entries.len() as u64 - 1
    }

    /// Puts another signature under the newest entry, well-formed and not its signer's, and gives the new leaf hash.
    pub fn forge_last(&mut self) -> Hash {
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

    pub fn certify_as(&mut self, certificate: &Certificate, fingerprint: Fingerprint, issuers: &[Certificate]) -> u64 {
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

    /// The head of the log before this one when it had so many entries.
    pub fn predecessor_head(size: u64) -> Head {
        Head { size, root: root_of(&predecessor_leaves(size)) }
    }

    /// The proof that the log before this one had that head on its way to the head that genesis names.
    pub fn predecessor_proof(size: u64) -> Vec<u8> {
        let path = prove_consistency(&Leaves(predecessor_leaves(PREDECESSOR_SIZE)), size, PREDECESSOR_SIZE).unwrap();
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

fn predecessor_leaves(size: u64) -> Vec<Hash> {
    (0..size).map(|index| leaf_hash(&index.to_be_bytes())).collect()
}

//! A camera with its key in memory, whose statements can be made wrong in any way before they are sent.
//!
//! It has no spool and no pipeline: fragments are bytes that a test makes up.

use std::{path::PathBuf, sync::Arc};

use exhibit_client::{Appliance, ClientError, ClientIdentity, Receipt};
use exhibit_evidence::{
    AttachmentRef, Body, Head, SignedStatement, Statement, StreamName,
    body::{Continues, Epoch, EpochReason, Segment},
    envelope::{KeyPackage, StreamKeys},
    keytree::KeyTree,
    segment::SegmentSealer,
    sign,
};
use exhibit_pki::{Certificate, PublicKey, Signer, SignerError, SoftwareSigner, Timestamp};
use exhibit_tlog::{EMPTY_ROOT, Hash};
use zeroize::Zeroizing;

use crate::world::{World, draw_key, fill_random, now, past};

/// So long ago was its slot 0: what it records in the first slots is past when a test asks for it.
const BEGAN_BEFORE_MS: u64 = 600_000;
/// How long each of its segments plays.
pub const SEGMENT_MS: u64 = 2_000;

/// A camera, and where its chain stands.
pub struct SoftwareCamera {
    /// Certificate and key.
    pub identity: ClientIdentity,
    /// The log that it states to.
    pub log: Hash,
    /// Its stream.
    pub stream: StreamName,
    /// The seq that comes next.
    pub next_seq: u64,
    /// Leaf hash of the statement before.
    pub prev: Hash,
    /// The head that it has verified.
    pub observed: Head,
    /// The camera's clock at slot 0.
    pub started: Timestamp,
    root: Zeroizing<[u8; 32]>,
    payload: PathBuf,
}

impl SoftwareCamera {
    /// Certifies `camera/<id>` and begins a stream, of which nothing is stated yet.
    pub fn enrol(world: &World, id: &str) -> Self {
        let key = draw_key();
        let certificate = world.certify(&format!("camera/{id}"), &key, &["camera"], &[]);
        let identity = ClientIdentity { certificate, chain: world.chain(), signer: Arc::new(key) };
        Self::with_identity(world, id, identity)
    }

    /// The same with a certificate that was made elsewhere.
    pub fn with_identity(world: &World, id: &str, identity: ClientIdentity) -> Self {
        let (named, started) = (now(), past(BEGAN_BEFORE_MS));
        let mut root = Zeroizing::new([0; 32]);
        fill_random(root.as_mut_slice());
        Self {
            identity,
            log: world.anchor().log,
            stream: StreamName::parse(&format!("camera/{id}/main/{}", named.compact())).expect("the name is well-formed"),
            next_seq: 0,
            prev: Hash::default(),
            observed: Head { size: 0, root: EMPTY_ROOT },
            started,
            root,
            payload: world.folder().join(format!("camera-{id}.payload")),
        }
    }

    /// A connection of its own.
    pub fn connect(&self, world: &World) -> Appliance {
        Appliance::new(world.address(), &self.identity, &world.anchor()).expect("the address is well-formed")
    }

    /// What begins the stream, with the wraps as they are stored.
    pub fn epoch(&self, recipients: Hash, certificates: &[Certificate]) -> (Body, Vec<u8>) {
        let tree = KeyTree::from_root(self.root.clone());
        let commitment = tree.commitment(&self.stream).expect("the root is held");
        let streams = vec![StreamKeys { stream: self.stream.clone(), nodes: tree.into_nodes() }];
        let package = KeyPackage { log: self.log, streams };
        let wraps = package.seal(certificates, &mut fill_random).expect("the recipients have wrapping certificates");
        let mut salt = [0; 32];
        fill_random(&mut salt);
        let stored = AttachmentRef::erasable_bytes(&salt, &wraps);
        let body = Epoch {
            commitment,
            started: self.started,
            recipients,
            continues: Continues { reason: EpochReason::Start, previous: None },
            attachments: vec![AttachmentRef::of("wraps", &stored, true)],
        };
        (Body::Epoch(body), stored)
    }

    /// The segment of a slot, sealed as the next of the stream, with its ciphertext.
    pub fn segment(&self, slot: u32, fragments: &[&[u8]]) -> (Segment, Vec<u8>) {
        let tree = KeyTree::from_root(self.root.clone());
        let mut salt = [0; 16];
        fill_random(&mut salt);
        let key = tree.slot_key(slot).expect("the whole tree is held");
        let mut sealer = SegmentSealer::new(&self.stream, self.next_seq, key, salt);
        let mut ciphertext = Vec::new();
        for (number, fragment) in (1..).zip(fragments) {
            ciphertext.extend(sealer.seal(fragment, number == fragments.len()));
        }
        let sealed = sealer.finish();
        let segment = Segment {
            slot,
            salt,
            start: self.started.checked_add_ms(u64::from(slot) * 1_000).expect("long before the year 9999"),
            duration_ms: SEGMENT_MS,
            media_type: "video/mp4".to_owned(),
            random_access: true,
            fragment_lengths: sealed.fragment_lengths,
            ciphertext_root: sealed.ciphertext_root,
            commitment_root: sealed.commitment_root,
            attachments: vec![],
        };
        (segment, ciphertext)
    }

    /// The next statement of the chain. It takes its place by `took` only.
    pub fn statement(&self, body: Body) -> Statement {
        Statement {
            log: self.log,
            stream: self.stream.clone(),
            seq: self.next_seq,
            prev: self.prev,
            issued: now(),
            observed: self.observed,
            body,
        }
    }

    /// Signs with its own key.
    pub fn sign(&self, statement: &Statement) -> SignedStatement {
        sign(statement, &self.identity.certificate, self.identity.signer.as_ref()).expect("the statement is valid and the key is in memory")
    }

    /// The statement is on the ledger: the next one comes after it.
    pub fn took(&mut self, signed: &SignedStatement, receipt: &Receipt) {
        self.next_seq = signed.statement().seq + 1;
        self.prev = signed.leaf_hash();
        self.observed = Head { size: receipt.checkpoint.size, root: receipt.checkpoint.root };
    }

    /// Sends a signed statement with what belongs to it, whatever place it claims.
    pub async fn send(
        &self,
        appliance: &mut Appliance,
        signed: &SignedStatement,
        attachments: &[&[u8]],
        payload: &[u8],
    ) -> Result<Receipt, ClientError> {
        std::fs::write(&self.payload, payload).expect("the folder of this test can be written");
        appliance.put(signed, attachments, (!payload.is_empty()).then_some(self.payload.as_path())).await
    }

    /// Signs the next statement, sends it, and takes its place.
    pub async fn state(&mut self, appliance: &mut Appliance, body: Body, attachments: &[&[u8]], payload: &[u8]) -> SignedStatement {
        let signed = self.sign(&self.statement(body));
        let receipt = self.send(appliance, &signed, attachments, payload).await.expect("the statement is as it must be");
        self.took(&signed, &receipt);
        signed
    }

    /// Begins the stream by what the newest recipients of `world` say.
    pub async fn begin(&mut self, appliance: &mut Appliance, recipients: Hash, certificates: &[Certificate]) -> SignedStatement {
        let (body, wraps) = self.epoch(recipients, certificates);
        self.state(appliance, body, &[&wraps], &[]).await
    }

    /// States one segment of made-up content in `slot`; what was in its fragments.
    pub async fn record(&mut self, appliance: &mut Appliance, slot: u32, fragments: &[&[u8]]) -> SignedStatement {
        let (segment, ciphertext) = self.segment(slot, fragments);
        self.state(appliance, Body::Segment(segment), &[], &ciphertext).await
    }
}

/// Claims to hold a key, and signs with another.
pub struct Impostor {
    claimed: PublicKey,
    key: SoftwareSigner,
}

impl Impostor {
    /// One who has the certificate, and not its key.
    pub fn of(certificate: &Certificate) -> Self {
        Self { claimed: certificate.public_key().clone(), key: draw_key() }
    }
}

impl Signer for Impostor {
    fn public_key(&self) -> &PublicKey {
        &self.claimed
    }

    fn sign_digest(&self, digest: &[u8]) -> Result<Vec<u8>, SignerError> {
        self.key.sign_digest(digest)
    }
}

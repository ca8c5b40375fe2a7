//! The bodies of statements, one type each. Types that this version does not judge are carried as `Unknown`.

use exhibit_pki::{Fingerprint, Timestamp};
use exhibit_tlog::Hash;

use crate::{Head, StreamName};

/// What lies beside the ledger and is named by a statement. JSON: `{"name":…,"sha256":…,"length":…,"erasable":…}` in `body.attachments`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AttachmentRef {
    /// What it is in this statement: `wraps`, `terms`, `certificate`, … (`[a-z-]`, unique in the statement).
    pub name: String,
    /// SHA-256 of the stored bytes (salt included where erasable).
    pub sha256: Hash,
    /// Length of the stored bytes, at most 16 MiB.
    pub length: u64,
    /// The stored bytes are `salt[32] || bytes`, so that the hash says nothing after erasure.
    pub erasable: bool,
}

/// The body of a statement, by type. `attachments` (always an array, perhaps empty, last member of the body) is common to all.
#[derive(Clone, Debug, PartialEq)]
pub enum Body {
    /// `epoch/v1`, camera: seq 0 of a camera stream. Attachment `wraps` (erasable).
    Epoch(Epoch),
    /// `segment/v1`, camera. The payload is the ciphertext fragments, end to end.
    Segment(Segment),
    /// `gap/v1`, camera.
    Gap(Gap),
    /// `close/v1`, camera: the clean end of an epoch.
    Close(Close),
    /// `recipients/v1`, custodian.
    Recipients(Recipients),
    /// `grant/v1`, custodian. Attachments `terms` (erasable, JSON) and `wraps` (erasable).
    Grant(Grant),
    /// `fetch/v1`, custodian or investigator. Attachment `purpose` (erasable).
    Fetch(Fetch),
    /// `export/v1`, custodian or investigator. Attachment `purpose` (erasable).
    Export(Export),
    /// `certificate/v1`, authority. Attachment `certificate` (DER), and at seq 0 also `issuer-0`, `issuer-1` … up to the root.
    Certificate(CertificateBody),
    /// `genesis/v1`, appliance: entry 0. Attachment `certificate`: the appliance's own.
    Genesis(Genesis),
    /// `start/v1`, appliance.
    Start(Start),
    /// `access/v1`, appliance: what it served or refused.
    Access(Access),
    /// `contradiction/v1`, appliance. Attachments `first` and `second`: both signed statements.
    Contradiction(Contradiction),
    /// A type that this version does not know: an entry like any other, reported as not judged.
    Unknown {
        /// The `type` member.
        type_name: String,
        /// `attachments` of its body (it must have them).
        attachments: Vec<AttachmentRef>,
        /// The body as parsed.
        body: serde_json::Value,
    },
}

/// `epoch/v1`
#[derive(Clone, Debug, PartialEq)]
pub struct Epoch {
    /// `HMAC-SHA-256(root, "exhibit/epoch/v1" || u16-length stream)`: every recipient checks it.
    pub commitment: Hash,
    /// The camera's clock at slot 0.
    pub started: Timestamp,
    /// Leaf hash of the `recipients` entry that was obeyed.
    pub recipients: Hash,
    /// What this epoch continues. JSON: `{"reason":…,"previous":null|{"stream":…,"seq":…,"leaf":…}}`.
    pub continues: Continues,
    /// `wraps`
    pub attachments: Vec<AttachmentRef>,
}

/// Why an epoch began, and after what.
#[derive(Clone, Debug, PartialEq)]
pub struct Continues {
    /// Why.
    pub reason: EpochReason,
    /// The last statement of the stream before that its issuer remembers.
    pub previous: Option<StreamPosition>,
}

/// A statement's place: stream, seq and leaf hash.
#[derive(Clone, Debug, PartialEq)]
pub struct StreamPosition {
    /// The stream.
    pub stream: StreamName,
    /// The position in it.
    pub seq: u64,
    /// The leaf hash of the entry there.
    pub leaf: Hash,
}

/// JSON: `start`, `rotation`, `backlog`, `state-lost`, `contradiction`, `device-replaced`, `succession`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EpochReason {
    /// The agent started.
    Start,
    /// The epoch was a day old, or its recipients changed.
    Rotation,
    /// Live video goes first while the chain before drains.
    Backlog,
    /// The camera lost its state.
    StateLost,
    /// The chain before was contradicted.
    Contradiction,
    /// Another device took the place.
    DeviceReplaced,
    /// The log was succeeded.
    Succession,
}

/// `segment/v1`
#[derive(Clone, Debug, PartialEq)]
pub struct Segment {
    /// Second of the epoch in which it starts (monotonic), below 2^20.
    pub slot: u32,
    /// Fresh, 16 bytes, hex.
    pub salt: [u8; 16],
    /// The camera's clock at its first frame.
    pub start: Timestamp,
    /// At most 600,000.
    pub duration_ms: u64,
    /// `video/mp4` or `image/jpeg`.
    pub media_type: String,
    /// Begins with a key frame.
    pub random_access: bool,
    /// Ciphertext lengths in bytes (plaintext and 16), 1 to 256 of them.
    pub fragment_lengths: Vec<u32>,
    /// RFC 6962 root of the ciphertext fragments.
    pub ciphertext_root: Hash,
    /// RFC 6962 root of the commitments.
    pub commitment_root: Hash,
    /// Usually empty.
    pub attachments: Vec<AttachmentRef>,
}

/// `gap/v1`
#[derive(Clone, Debug, PartialEq)]
pub struct Gap {
    /// JSON: `evicted-offline`, `source-lost`, `power`, `mode`.
    pub cause: GapCause,
    /// From.
    pub from: Timestamp,
    /// To.
    pub to: Timestamp,
    /// Usually empty.
    pub attachments: Vec<AttachmentRef>,
}

/// Why nothing was recorded or kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum GapCause {
    /// The spool was full while the link was down.
    EvictedOffline,
    /// The source delivered nothing.
    SourceLost,
    /// No power.
    Power,
    /// Not recorded by mode.
    Mode,
}

/// `close/v1`
#[derive(Clone, Debug, PartialEq)]
pub struct Close {
    /// JSON: `stop`, `rotation`, `end-of-source`.
    pub reason: CloseReason,
    /// Usually empty.
    pub attachments: Vec<AttachmentRef>,
}

/// Why an epoch ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CloseReason {
    /// The agent was asked to stop.
    Stop,
    /// The next epoch follows.
    Rotation,
    /// The source ended.
    EndOfSource,
}

/// `recipients/v1`: signed by the threshold of the custodians before.
#[derive(Clone, Debug, PartialEq)]
pub struct Recipients {
    /// Whose evidence: `camera/102`.
    pub scope: String,
    /// Strictly rising, from 1.
    pub number: u64,
    /// Leaf hash of the entry that it replaces.
    pub replaces: Option<Hash>,
    /// Fingerprints of the wrapping certificates, 1 to 64.
    pub recipients: Vec<Fingerprint>,
    /// Fingerprints of the signing certificates of the custodians of the next set, 1 to 64.
    pub custodians: Vec<Fingerprint>,
    /// How many of them must sign the next set, 1 to their number.
    pub threshold: u64,
    /// When it is stale (alarmed; recording goes on).
    pub expires: Timestamp,
    /// Usually empty.
    pub attachments: Vec<AttachmentRef>,
}

/// `grant/v1`: range and grantee stand in `terms`, which can be erased; see `exchange::Terms`.
#[derive(Clone, Debug, PartialEq)]
pub struct Grant {
    /// Whose evidence: `camera/102`.
    pub scope: String,
    /// `terms` and `wraps`
    pub attachments: Vec<AttachmentRef>,
}

/// `fetch/v1`: demanded before a byte of ciphertext is served.
#[derive(Clone, Debug, PartialEq)]
pub struct Fetch {
    /// Leaf hash of the grant; absent (`null`) for a recipient of the epoch itself.
    pub grant: Option<Hash>,
    /// What is fetched, 1 to 256 ranges. JSON: `{"stream":…,"first":…,"last":…}` (seqs, inclusive).
    pub ranges: Vec<SeqRange>,
    /// `purpose`, if one was given
    pub attachments: Vec<AttachmentRef>,
}

/// A run of statements of a stream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SeqRange {
    /// The stream.
    pub stream: StreamName,
    /// First seq.
    pub first: u64,
    /// Last seq, inclusive.
    pub last: u64,
}

/// `export/v1`
#[derive(Clone, Debug, PartialEq)]
pub struct Export {
    /// Leaf hash of the fetch.
    pub fetch: Hash,
    /// What is disclosed.
    pub ranges: Vec<SeqRange>,
    /// SHA-256 of the bundle's `manifest.json`… see docs/formats/bundle.md.
    pub manifest: Hash,
    /// `purpose`, if one was given
    pub attachments: Vec<AttachmentRef>,
}

/// `certificate/v1`
#[derive(Clone, Debug, PartialEq)]
pub struct CertificateBody {
    /// Fingerprint of the certificate put on the ledger.
    pub fingerprint: Fingerprint,
    /// Fingerprint of the live one that it replaces.
    pub replaces: Option<Fingerprint>,
    /// `certificate`, `issuer-0` …
    pub attachments: Vec<AttachmentRef>,
}

/// `genesis/v1`
#[derive(Clone, Debug, PartialEq)]
pub struct Genesis {
    /// The log's name.
    pub origin: String,
    /// Verifier keys of the notes, all of which must sign.
    pub keys: Vec<String>,
    /// Fingerprints of the root certificates.
    pub roots: Vec<Fingerprint>,
    /// A C2SP tlog-policy, or empty: no witnesses are demanded.
    pub witness_policy: String,
    /// The log before: its id and last checkpoint. JSON: `null` or `{"log":…,"size":…,"root":…}`.
    pub predecessor: Option<Predecessor>,
    /// `certificate`
    pub attachments: Vec<AttachmentRef>,
}

/// A log that was succeeded.
#[derive(Clone, Debug, PartialEq)]
pub struct Predecessor {
    /// Its id.
    pub log: Hash,
    /// Its last head.
    pub head: Head,
}

/// `start/v1`
#[derive(Clone, Debug, PartialEq)]
pub struct Start {
    /// Version and commit.
    pub version: String,
    /// Usually empty.
    pub attachments: Vec<AttachmentRef>,
}

/// `access/v1`
#[derive(Clone, Debug, PartialEq)]
pub struct Access {
    /// Leaf hash of the `fetch`.
    pub fetch: Hash,
    /// Served, or refused.
    pub granted: bool,
    /// Usually empty.
    pub attachments: Vec<AttachmentRef>,
}

/// `contradiction/v1`
#[derive(Clone, Debug, PartialEq)]
pub struct Contradiction {
    /// The stream.
    pub stream: StreamName,
    /// The position that was claimed twice.
    pub seq: u64,
    /// `first` and `second`
    pub attachments: Vec<AttachmentRef>,
}

impl Body {
    /// The `type` member.
    pub fn type_name(&self) -> &str {
        todo!()
    }
    /// What lies beside the ledger.
    pub fn attachments(&self) -> &[AttachmentRef] {
        todo!()
    }
    /// The attachment of that name.
    pub fn attachment(&self, name: &str) -> Option<&AttachmentRef> {
        self.attachments().iter().find(|attachment| attachment.name == name)
    }
    /// Length of the payload that follows the attachments: the ciphertext of a segment, else 0.
    pub fn payload_length(&self) -> u64 {
        todo!()
    }
}

impl AttachmentRef {
    /// Names stored bytes.
    pub fn of(name: &str, stored: &[u8], erasable: bool) -> Self {
        todo!()
    }
    /// Checks stored bytes against hash and length, and gives the content (without the salt where erasable).
    pub fn open<'a>(&self, stored: &'a [u8]) -> Option<&'a [u8]> {
        todo!()
    }
    /// What an erasable attachment is stored as: `salt || bytes`.
    pub fn erasable_bytes(salt: &[u8; 32], bytes: &[u8]) -> Vec<u8> {
        todo!()
    }
}

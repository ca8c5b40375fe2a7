//! The bodies of statements, one type each. Types that this version does not judge are carried as `Unknown`.
//!
//! It does not know who signed a statement, nor what stands before or after it in its stream.

pub(crate) mod read;
pub(crate) mod write;

use exhibit_pki::{Fingerprint, Timestamp};
use exhibit_tlog::Hash;
use sha2::{Digest, Sha256};

use crate::{Head, StreamName, json, segment};

/// A statement names at most this many attachments.
pub const ATTACHMENTS_MAX: usize = 16;
/// An attachment is at most this long as stored: certificates, wraps and log lines are far smaller.
pub const ATTACHMENT_BYTES_MAX: u64 = 16 * 1024 * 1024;
/// An attachment's name is at most this long.
pub const ATTACHMENT_NAME_BYTES_MAX: usize = 32;
/// What stands before the content of an erasable attachment.
pub const ERASABLE_SALT_BYTES: usize = 32;
/// A segment's plaintext is at most this long; a longer one is cut by its camera.
pub const SEGMENT_BYTES_MAX: u64 = 8 * 1024 * 1024;
/// A segment's ciphertext is at most this long: the plaintext, and a tag for each fragment.
pub const SEGMENT_CIPHERTEXT_BYTES_MAX: u64 = SEGMENT_BYTES_MAX + (segment::FRAGMENTS_MAX * segment::TAG_BYTES) as u64;
/// A segment is at most this long: nothing records one frame in ten minutes.
pub const SEGMENT_DURATION_MAX_MS: u64 = 600_000;
/// What a segment may be.
pub const MEDIA_TYPES: [&str; 2] = ["video/mp4", "image/jpeg"];
/// A set names at most this many recipients, which is what an envelope may have.
pub const RECIPIENTS_MAX: usize = 64;
/// A set names at most this many custodians.
pub const CUSTODIANS_MAX: usize = 64;
/// A fetch or export names at most this many ranges.
pub const RANGES_MAX: usize = 256;
/// A log has at most this many note keys: two algorithms today, and room to rotate both.
pub const LOG_KEYS_MAX: usize = 8;
/// A note key is at most this long: ML-DSA-87 would take 3.5 KiB in base64.
pub const LOG_KEY_BYTES_MAX: usize = 4096;
/// A log trusts at most this many roots.
pub const ROOTS_MAX: usize = 16;
/// A log's name is at most this long: that of a DNS name.
pub const ORIGIN_BYTES_MAX: usize = 255;
/// A witness policy is at most this long.
pub const WITNESS_POLICY_BYTES_MAX: usize = 8 * 1024;
/// A program's version is at most this long.
pub const VERSION_BYTES_MAX: usize = 128;
/// A type's name is at most this long.
pub const TYPE_NAME_BYTES_MAX: usize = 64;

/// What lies beside the ledger and is named by a statement. JSON: `{"name":…,"sha256":…,"length":…,"erasable":…}` in `body.attachments`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AttachmentRef {
    /// What it is in this statement: `wraps`, `terms`, `certificate`, … (`[a-z0-9-]`, unique in the statement).
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
        match self {
            Body::Epoch(_) => "epoch/v1",
            Body::Segment(_) => "segment/v1",
            Body::Gap(_) => "gap/v1",
            Body::Close(_) => "close/v1",
            Body::Recipients(_) => "recipients/v1",
            Body::Grant(_) => "grant/v1",
            Body::Fetch(_) => "fetch/v1",
            Body::Export(_) => "export/v1",
            Body::Certificate(_) => "certificate/v1",
            Body::Genesis(_) => "genesis/v1",
            Body::Start(_) => "start/v1",
            Body::Access(_) => "access/v1",
            Body::Contradiction(_) => "contradiction/v1",
            Body::Unknown { type_name, .. } => type_name,
        }
    }
    /// What lies beside the ledger.
    pub fn attachments(&self) -> &[AttachmentRef] {
        match self {
            Body::Epoch(body) => &body.attachments,
            Body::Segment(body) => &body.attachments,
            Body::Gap(body) => &body.attachments,
            Body::Close(body) => &body.attachments,
            Body::Recipients(body) => &body.attachments,
            Body::Grant(body) => &body.attachments,
            Body::Fetch(body) => &body.attachments,
            Body::Export(body) => &body.attachments,
            Body::Certificate(body) => &body.attachments,
            Body::Genesis(body) => &body.attachments,
            Body::Start(body) => &body.attachments,
            Body::Access(body) => &body.attachments,
            Body::Contradiction(body) => &body.attachments,
            Body::Unknown { attachments, .. } => attachments,
        }
    }
    /// The attachment of that name.
    pub fn attachment(&self, name: &str) -> Option<&AttachmentRef> {
        self.attachments().iter().find(|attachment| attachment.name == name)
    }
    /// Length of the payload that follows the attachments: the ciphertext of a segment, else 0.
    pub fn payload_length(&self) -> u64 {
        match self {
            Body::Segment(segment) => segment.fragment_lengths.iter().map(|length| u64::from(*length)).sum(),
            _ => 0,
        }
    }
    /// The kind of the streams that this type stands in: `camera`, `user`, `authority` or `appliance`; `None` where that is not known.
    pub fn stream_kind(&self) -> Option<&'static str> {
        match self {
            Body::Epoch(_) | Body::Segment(_) | Body::Gap(_) | Body::Close(_) => Some("camera"),
            Body::Recipients(_) | Body::Grant(_) | Body::Fetch(_) | Body::Export(_) => Some("user"),
            Body::Certificate(_) => Some("authority"),
            Body::Genesis(_) | Body::Start(_) | Body::Access(_) | Body::Contradiction(_) => Some("appliance"),
            Body::Unknown { .. } => None,
        }
    }
}

impl AttachmentRef {
    /// Names stored bytes.
    pub fn of(name: &str, stored: &[u8], erasable: bool) -> Self {
        let sha256 = Hash(Sha256::digest(stored).into());
        Self { name: name.to_owned(), sha256, length: stored.len() as u64, erasable }
    }
    /// Checks stored bytes against hash and length, and gives the content (without the salt where erasable).
    pub fn open<'a>(&self, stored: &'a [u8]) -> Option<&'a [u8]> {
        if stored.len() as u64 != self.length || Sha256::digest(stored).as_slice() != self.sha256.0 {
            return None;
        }
        stored.get(if self.erasable { ERASABLE_SALT_BYTES } else { 0 }..)
    }
    /// What an erasable attachment is stored as: `salt || bytes`.
    pub fn erasable_bytes(salt: &[u8; ERASABLE_SALT_BYTES], bytes: &[u8]) -> Vec<u8> {
        [salt.as_slice(), bytes].concat()
    }
}

/// The word that stands for a meaning in the JSON.
fn word<T: PartialEq>(words: &[(&'static str, T)], meaning: T) -> &'static str {
    words.iter().find(|(_, found)| *found == meaning).expect("every meaning has a word").0
}

impl EpochReason {
    /// The word in the JSON.
    pub fn as_str(self) -> &'static str {
        word(&EPOCH_REASONS, self)
    }
}

impl GapCause {
    /// The word in the JSON.
    pub fn as_str(self) -> &'static str {
        word(&GAP_CAUSES, self)
    }
}

impl CloseReason {
    /// The word in the JSON.
    pub fn as_str(self) -> &'static str {
        word(&CLOSE_REASONS, self)
    }
}

/// The words of `continues.reason`.
const EPOCH_REASONS: [(&str, EpochReason); 7] = [
    ("start", EpochReason::Start),
    ("rotation", EpochReason::Rotation),
    ("backlog", EpochReason::Backlog),
    ("state-lost", EpochReason::StateLost),
    ("contradiction", EpochReason::Contradiction),
    ("device-replaced", EpochReason::DeviceReplaced),
    ("succession", EpochReason::Succession),
];
/// The words of a gap's `cause`.
const GAP_CAUSES: [(&str, GapCause); 4] = [
    ("evicted-offline", GapCause::EvictedOffline),
    ("source-lost", GapCause::SourceLost),
    ("power", GapCause::Power),
    ("mode", GapCause::Mode),
];
/// The words of a close's `reason`.
const CLOSE_REASONS: [(&str, CloseReason); 3] =
    [("stop", CloseReason::Stop), ("rotation", CloseReason::Rotation), ("end-of-source", CloseReason::EndOfSource)];

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn an_attachment_opens_to_what_was_named_and_to_nothing_else() {
        let stored = AttachmentRef::erasable_bytes(&[7; 32], b"terms");
        let reference = AttachmentRef::of("terms", &stored, true);
        assert_eq!(reference.length, 37);
        assert_eq!(reference.open(&stored), Some(&b"terms"[..]), "the salt is not content");
        let plain = AttachmentRef::of("certificate", b"der", false);
        assert_eq!(plain.open(b"der"), Some(&b"der"[..]));
        assert_eq!(plain.open(b"dex"), None, "other bytes of the same length were accepted");
        assert_eq!(plain.open(b"der\0"), None, "longer bytes were accepted");
        let misnamed = AttachmentRef { length: 4, ..plain.clone() };
        assert_eq!(misnamed.open(b"der"), None, "the length was not compared");
        let without_salt = AttachmentRef { erasable: true, ..plain };
        assert_eq!(without_salt.open(b"der"), None, "bytes that are shorter than a salt have no content");
    }
}

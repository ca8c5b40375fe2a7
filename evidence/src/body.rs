//! The bodies of statements, one type each. Types that this version does not judge are carried as `Unknown`.
//!
//! It does not know who signed a statement, nor what stands before or after it in its stream.

mod appliance;
mod authority;
mod camera;
mod device;
mod form;
mod log;
mod person;
pub(crate) mod read;
mod sharing;

use exhibit_pki::Role;
use exhibit_tlog::Hash;
use serde_json::Value;
use sha2::{Digest, Sha256};

pub use appliance::{Access, Ban, BanKind, BanReason, Contradiction, Erased, Erasure, ErasureReason, Retention};
pub use authority::{
    CertificateBody, CertificateRevocation, DevicePolicy, ENROLMENT_CONTEXT, Enrolment, REVOCATION_REASONS, enrolment_qualifying_data,
};
pub use camera::{Close, CloseReason, Continues, Epoch, EpochReason, Gap, GapCause, Segment, StreamPosition};
pub use device::{
    ATTESTATION_CONTEXT, Attestation, AttestationKind, Config, Event, EventKind, Heartbeat, Mode, START_CONTEXT, Source, SourceKind,
    attestation_qualifying_data, start_qualifying_data,
};
pub use log::{Genesis, LogBatch, Predecessor, Start, Succession, SuccessionReason, Successor, TimestampBody};
pub use person::{Approve, Hold, Login, Release, Reopen};
pub use sharing::{Export, Fetch, Grant, Group, Output, Recipients, Redaction, Request, Revoke};

use crate::{
    Statement, StreamName,
    json::{self, JsonError, Object, ObjectWriter},
    segment,
};
use form::{BodyForm, Issuer};

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
/// A segment is at most this long: it is the least that can be lost alone, and a camera cuts what is longer.
pub const SEGMENT_DURATION_MAX_MS: u64 = 10_000;
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
/// A log names at most this many before its predecessor: a log a year, and room for its keys and policy beside them. What people stated to older ones
/// they state anew.
pub const EARLIER_LOGS_MAX: usize = 32;
/// A log's name is at most this long: that of a DNS name.
pub const ORIGIN_BYTES_MAX: usize = 255;
/// A witness policy is at most this long: fifteen witnesses with both kinds of keys (2 KiB each), and genesis still fits in a statement.
pub const WITNESS_POLICY_BYTES_MAX: usize = 32 * 1024;
/// A program's version is at most this long.
pub const VERSION_BYTES_MAX: usize = 128;
/// Names of groups and of rules of retention are at most this long.
pub const NAME_BYTES_MAX: usize = 64;
/// A group has at most this many members, who must fit an envelope like the recipients of a set.
pub const GROUP_MEMBERS_MAX: usize = RECIPIENTS_MAX;
/// The description of a camera's source is at most this long: a URL without its query, or a device's name.
pub const SOURCE_DESCRIPTION_BYTES_MAX: usize = 255;
/// What an event tells beside its kind is at most this long: a line or two for people.
pub const EVENT_DETAIL_BYTES_MAX: usize = 512;
/// A login may be shown for at most this long: the time to find a card and type a PIN, and clocks that differ by a minute.
pub const LOGIN_LIFETIME_MAX_MS: u64 = 5 * 60 * 1000;
/// An erasure names at most this many attachments, as far as they fit a statement; more take another.
pub const ERASED_MAX: usize = 256;
/// A type's name is at most this long.
pub const TYPE_NAME_BYTES_MAX: usize = 64;
/// Where logins stand, and nothing else of a user's.
const LOGIN_SERIES: &str = "login";
/// Where a camera's events stand.
const EVENTS_SERIES: &str = "events";

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

/// Lists the types: the enumeration, and for each what `BodyForm` says of it.
macro_rules! bodies {
    ($($(#[$doc:meta])* $variant:ident($form:ty),)+) => {
        /// The body of a statement, by type. `attachments` (always an array, perhaps empty, last member of the body) is common to all.
        #[derive(Clone, Debug, PartialEq)]
        pub enum Body {
            $($(#[$doc])* $variant($form),)+
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

        impl Body {
            /// The types that this version knows.
            pub const TYPES: &'static [&'static str] = &[$(<$form as BodyForm>::TYPE),+];

            /// The `type` member.
            pub fn type_name(&self) -> &str {
                match self {
                    $(Self::$variant(_) => <$form as BodyForm>::TYPE,)+
                    Self::Unknown { type_name, .. } => type_name,
                }
            }
            /// What lies beside the ledger.
            pub fn attachments(&self) -> &[AttachmentRef] {
                match self {
                    $(Self::$variant(body) => body.attachments(),)+
                    Self::Unknown { attachments, .. } => attachments,
                }
            }
            fn issuer(&self) -> Option<Issuer> {
                match self {
                    $(Self::$variant(_) => Some(<$form as BodyForm>::ISSUER),)+
                    Self::Unknown { .. } => None,
                }
            }
            fn write_members(&self, members: ObjectWriter) -> ObjectWriter {
                match self {
                    $(Self::$variant(body) => body.write(members),)+
                    Self::Unknown { .. } => members,
                }
            }
            fn check_form(&self, statement: &Statement) -> Result<(), JsonError> {
                match self {
                    $(Self::$variant(body) => body.check(statement),)+
                    Self::Unknown { .. } => Ok(()),
                }
            }
            /// Reads the body of a statement of type `type_name`.
            pub(crate) fn read(type_name: &str, value: Value) -> Result<Self, JsonError> {
                match type_name {
                    $(<$form as BodyForm>::TYPE => {
                        let mut object = Object::new(value, "body")?;
                        let body = Self::$variant(<$form as BodyForm>::read(&mut object)?);
                        object.finish()?;
                        form::check_attachments(&body, <$form as BodyForm>::ATTACHMENTS)?;
                        Ok(body)
                    })+
                    _ => unknown(type_name, value),
                }
            }
        }
    };
}

bodies! {
    /// `epoch/v1`, camera: seq 0 of a camera stream. Attachment `wraps` (erasable).
    Epoch(Epoch),
    /// `segment/v1`, camera. The payload is the ciphertext fragments, end to end.
    Segment(Segment),
    /// `gap/v1`, camera.
    Gap(Gap),
    /// `close/v1`, camera: the clean end of an epoch.
    Close(Close),
    /// `heartbeat/v1`, camera.
    Heartbeat(Heartbeat),
    /// `config/v1`, camera.
    Config(Config),
    /// `event/v1`, camera, in `camera/<id>/events/<epoch>`.
    Event(Event),
    /// `attestation/v1`, camera. Attachments `attest`, `signature`, and of a quote `values`.
    Attestation(Attestation),
    /// `recipients/v1`, custodian.
    Recipients(Recipients),
    /// `group/v1`, custodian.
    Group(Group),
    /// `request/v1`, custodian or investigator. Attachments `terms` and `purpose` (erasable).
    Request(Request),
    /// `grant/v1`, custodian. Attachments `terms` (erasable, JSON) and `wraps` (erasable).
    Grant(Grant),
    /// `revoke/v1`, custodian.
    Revoke(Revoke),
    /// `approve/v1`, custodian.
    Approve(Approve),
    /// `fetch/v1`, custodian or investigator. Attachment `purpose` (erasable).
    Fetch(Fetch),
    /// `export/v1`, custodian or investigator. Attachment `purpose` (erasable).
    Export(Export),
    /// `redaction/v1`, custodian or investigator. Attachment `mask` (erasable), if it is kept.
    Redaction(Redaction),
    /// `reopen/v1`, custodian. Attachments `wraps` and `purpose` (erasable).
    Reopen(Reopen),
    /// `hold/v1`, custodian. Attachment `purpose` (erasable).
    Hold(Hold),
    /// `release/v1`, custodian.
    Release(Release),
    /// `login/v1`, any person, alone in `user/<id>/login/<generation>`; never on a ledger.
    Login(Login),
    /// `certificate/v1`, authority. Attachment `certificate` (DER), and at seq 0 also `issuer-0`, `issuer-1` … up to the root.
    Certificate(CertificateBody),
    /// `certificate-revocation/v1`, authority. Attachment `crl`, if a list was made with it.
    CertificateRevocation(CertificateRevocation),
    /// `enrolment/v1`, authority. Attachments by policy.
    Enrolment(Enrolment),
    /// `genesis/v1`, appliance: entry 0. Attachment `certificate`: the appliance's own.
    Genesis(Genesis),
    /// `succession/v1`, appliance: the last entry of a log.
    Succession(Succession),
    /// `start/v1`, appliance. Attachments `attest`, `signature` and `values` of a quote, or none.
    Start(Start),
    /// `log/v1`, appliance. Attachment `lines` (erasable).
    Log(LogBatch),
    /// `access/v1`, appliance: what it served or refused.
    Access(Access),
    /// `ban/v1`, appliance. Attachment `subject` (erasable), unless it lifts one.
    Ban(Ban),
    /// `retention/v1`, appliance.
    Retention(Retention),
    /// `erasure/v1`, appliance.
    Erasure(Erasure),
    /// `contradiction/v1`, appliance. Attachments `first` and `second`: both signed statements.
    Contradiction(Contradiction),
    /// `timestamp/v1`, appliance. Attachments `checkpoint`, `token-0` …
    Timestamp(TimestampBody),
}

impl Body {
    /// The attachment of that name.
    pub fn attachment(&self, name: &str) -> Option<&AttachmentRef> {
        self.attachments().iter().find(|attachment| attachment.name == name)
    }
    /// Length of the payload that follows the attachments: the ciphertext of a segment, else 0.
    pub fn payload_length(&self) -> u64 {
        match self {
            Body::Segment(segment) => segment.ciphertext_length(),
            _ => 0,
        }
    }
    /// The kind of the streams that this type stands in: `camera`, `user`, `authority` or `appliance`; `None` where that is not known.
    pub fn stream_kind(&self) -> Option<&'static str> {
        self.issuer().map(|issuer| issuer.kind)
    }
    /// The roles of which one is needed to issue this type; `None` for types that this version does not judge.
    pub fn roles(&self) -> Option<&'static [Role]> {
        self.issuer().map(|issuer| issuer.roles)
    }

    /// The JSON: members in the order of docs/formats/statement.md, no white space. It checks nothing: what is written is read again before
    /// it is signed.
    pub(crate) fn to_json(&self) -> String {
        match self {
            Self::Unknown { body, .. } => json::sorted(body),
            known => {
                let attachments = known.attachments().iter().map(read::attachment_json);
                known.write_members(ObjectWriter::new()).array("attachments", attachments).finish()
            }
        }
    }
    /// Checks the body against the statement around it.
    pub(crate) fn check(&self, statement: &Statement) -> Result<(), JsonError> {
        let Some(issuer) = self.issuer() else { return Ok(()) };
        let refuse = |what: &str| Err(JsonError(what.to_owned()));
        let stream = &statement.stream;
        if issuer.kind != stream.kind() {
            return refuse("stream is not of the kind that the type stands in");
        }
        let name = stream.series().strip_prefix(stream.owner()).and_then(|name| name.strip_prefix('/'));
        let alone = matches!(self, Self::Login(_));
        if issuer.series.is_some_and(|series| name != Some(series)) || (name == Some(LOGIN_SERIES) && !alone && issuer.kind == "user") {
            return refuse("stream is not of the series that the type stands in");
        }
        self.check_form(statement)
    }
}

/// A type that this version does not know. What else such a body holds is its own type's affair, so nothing is refused as unknown.
fn unknown(type_name: &str, value: Value) -> Result<Body, JsonError> {
    if !is_type_name(type_name) {
        return Err(JsonError("type is not a name like segment/v1".to_owned()));
    }
    let attachments = read::attachments(&mut Object::new(value.clone(), "body")?)?;
    Ok(Body::Unknown { type_name: type_name.to_owned(), attachments, body: value })
}

/// `<words>/v<number>`, such as `segment/v1`.
fn is_type_name(name: &str) -> bool {
    let Some((words, number)) = name.split_once("/v") else { return false };
    name.len() <= TYPE_NAME_BYTES_MAX
        && !words.is_empty()
        && words.bytes().all(|byte| matches!(byte, b'a'..=b'z' | b'-'))
        && !number.is_empty()
        && !number.starts_with('0')
        && number.bytes().all(|byte| byte.is_ascii_digit())
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

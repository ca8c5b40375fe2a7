//! Refusals as the API tells them (RFC 9457): what failed, what to do.
//!
//! It does not decide who is refused. Nothing in a refusal comes out of a key, and names only from certificates and paths that were parsed.

use std::time::Duration;

use exhibit_evidence::body::BanReason;
use exhibit_evidence::exchange::{Problem, RouteError};
use exhibit_tlog::Hash;
use schemars::JsonSchema;
use serde::Serialize;

use crate::places::Full;
use crate::registry::RegistryError;
use crate::vault::VaultError;

/// What becomes of a kind: its name behind `tag:exhibit,2026:` (or all of its type), its status, what failed in few words, why, and what to do.
#[derive(Clone, Copy, Debug)]
pub struct Words {
    /// The name.
    pub name: &'static str,
    /// HTTP status.
    pub status: u16,
    /// What failed.
    pub title: &'static str,
    /// Why.
    pub cause: &'static str,
    /// What to do.
    pub remedy: &'static str,
}

/// The one list of kinds: refusals, the OpenAPI document and the page at `/v1/docs` come from it.
macro_rules! kinds {
    ($($(#[$doc:meta])* $kind:ident { $name:expr, $status:literal, $title:literal, $cause:literal, $remedy:literal, })*) => {
        /// What kind of thing failed.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum Kind {
            $($(#[$doc])* $kind,)*
        }

        impl Kind {
            /// All of them, in the order of the page.
            pub const ALL: &[Self] = &[$(Self::$kind,)*];

            /// What is said of it.
            pub const fn words(self) -> Words {
                match self {
                    $(Self::$kind => Words { name: $name, status: $status, title: $title, cause: $cause, remedy: $remedy },)*
                }
            }
        }
    };
}

kinds! {
    /// Not the protocol.
    Malformed {
        "malformed", 400, "The request is malformed",
        "The path, the query, a header or the body is not what this API has.",
        "Read `detail`, and mend the request: the same bytes are refused again.",
    }
    /// The certificate is unknown to the ledger, expired, or has no path.
    Certificate {
        "certificate", 403, "The certificate does not count here",
        "The certificate of the connection, or that of a statement's signer, is not on the ledger, not valid now, revoked, or of another profile.",
        "Renew it, or have its authority put it on the ledger, and try again.",
    }
    /// The stream is somebody else's.
    NotOwner {
        "not-owner", 403, "The stream belongs to somebody else",
        "A stream is written by the identity that its name begins with, and by nobody else.",
        "Write to a stream of your own, or connect with the certificate of whoever owns this one.",
    }
    /// The certificate has no role for this type of statement.
    Role {
        "role", 403, "The certificate has no role for this",
        "Each type of statement is for certain roles, which the signer's certificate does not assert.",
        "Have it stated by somebody with the role, or ask the authority for a certificate that has it.",
    }
    /// Whoever asks may not have this.
    Forbidden {
        "forbidden", 403, "This may not be had",
        "The certificate of the connection has no role for what is asked, or what was stated does not allow it.",
        "Ask somebody with the role, or a custodian for a grant that covers this.",
    }
    /// There is no such thing.
    NotFound {
        "not-found", 404, "There is no such thing",
        "Nothing is known under this path or name, here and now; without a certificate most paths are unknown.",
        "Look at the spelling: a name has one. What is not there may come.",
    }
    /// The path has other methods.
    Method {
        "method", 405, "The path has no such method",
        "The path is known, and is not asked with this method.",
        "Use one of those that `Allow` names.",
    }
    /// The request took too long.
    TimedOut {
        "timed-out", 408, "The request took too long",
        "The body came too slowly, or another request went on with the same upload.",
        "Connect again. Ask how far the upload is, and go on from there.",
    }
    /// The statement does not follow its chain.
    Chain {
        "chain", 409, "The statement does not follow its chain",
        "`seq` or `prev` is not what follows the last statement of the stream.",
        "Send what is missing in order: `expected_seq` and `expected_prev` say what fits.",
    }
    /// Another statement has this place.
    Contradiction {
        "contradiction", 409, "Another statement has this place already",
        "A statement with the same stream and seq, and with other content, is on the ledger. Both are kept as evidence.",
        "Nothing mends it: begin a new stream, and find out who else signs with this key.",
    }
    /// An upload goes on elsewhere than where it is.
    UploadOffset {
        UPLOAD_OFFSET, 409, "The upload is not as far as that, or further",
        "`Upload-Offset` is not how far the upload is.",
        "Go on from `expected-offset`.",
    }
    /// What is announced is not what the upload lacks.
    UploadLength {
        UPLOAD_LENGTH, 400, "The lengths of the upload do not agree",
        "The request brings more than is missing, or says that it is all and brings less.",
        "Ask how far the upload is, and send the rest of it.",
    }
    /// What an epoch obeys was lost, and may be stated again.
    RecipientsLost {
        "recipients-lost", 409, "The recipients that the epoch obeys are not here yet",
        "They were lost with the log before, and whoever stated them has not stated them again yet.",
        "Keep the epoch and what follows it, and try again later.",
    }
    /// The log has ended.
    Ended {
        "ended", 410, "The log has ended",
        "The log takes nothing more. Another one may go on for it.",
        "Keep everything. Ask `/v1/successor` for the log that goes on.",
    }
    /// More than is accepted.
    TooLarge {
        "too-large", 413, "The request is too large",
        "The body, or a part of it, is longer than its format allows.",
        "Make it smaller: the same is refused again.",
    }
    /// A coding or media type that is not taken.
    Coding {
        "coding", 415, "The body is coded otherwise than it may be",
        "The body has a content coding, or another media type than the one that is taken.",
        "Send what was signed, without a coding; what is appended has `application/partial-upload`.",
    }
    /// No byte of what was asked for.
    Range {
        "range", 416, "The range is outside the payload",
        "No byte of the range is there.",
        "Ask for a range within the length that `Content-Range` names, or for the whole.",
    }
    /// The signature does not verify.
    Signature {
        "signature", 422, "The signature does not verify",
        "The signature is not that of the certificate's key over these bytes.",
        "Sign the statement again, with the key that belongs to the certificate.",
    }
    /// A statement for another log.
    Log {
        "log", 422, "The statement is for another log",
        "`log` names neither this log nor one that it goes on for.",
        "Connect to the appliance of that log, or state it for this one.",
    }
    /// The payload is not what was signed.
    Payload {
        "payload", 422, "The payload is not what was signed",
        "Its length or its root is another than the statement's.",
        "Send the very bytes that were signed.",
    }
    /// An attachment is not what was signed.
    Attachment {
        "attachment", 422, "An attachment is not what was signed",
        "Its length, its hash or its content is not what the statement and its type demand.",
        "Send the very bytes that were named, in the order in which the statement names them.",
    }
    /// The observed head is none of ours.
    Observed {
        "observed", 422, "The observed head is not one of this log",
        "`observed` is no head that this log had, or falls within the stream itself.",
        "Verify the newest checkpoint against the one that you hold: if it does not extend it, keep both, and tell an auditor.",
    }
    /// What the type demands does not hold.
    Rule {
        "rule", 422, "The statement breaks a rule of its type",
        "A rule of the type does not hold: `detail` says which.",
        "Mend what `detail` names, and state it anew.",
    }
    /// Too many requests of one sender.
    Rate {
        "rate", 429, "Too many requests",
        "One certificate, or one network without one, asks more often than it may.",
        "Wait as long as `Retry-After` says.",
    }
    /// Not served for a while.
    Banned {
        "banned", 429, "You are banned",
        "Too many wrong attempts were made with this certificate, or from this network.",
        "Wait as long as `Retry-After` says, or ask the operator to lift the ban. Keep what you have to send.",
    }
    /// Ours.
    Internal {
        "internal", 500, "The appliance failed",
        "The appliance could not do what it has to.",
        "Try again later; its operator has to see to it.",
    }
    /// Too much at once.
    Overloaded {
        "overloaded", 503, "The appliance is overloaded",
        "There is no place for one more, of yours or of all.",
        "Try again after the seconds that `Retry-After` names.",
    }
    /// The disk.
    Storage {
        "storage", 507, "The appliance could not store this",
        "Its disk is full or fails; nothing was admitted.",
        "Keep it and try again later; the operator has to make room.",
    }
}

impl Kind {
    /// The URI of RFC 9457. A tag is no address: where help is found says `Link`, so that it is the appliance's own page, in its own version.
    pub fn uri(self) -> String {
        let Words { name, .. } = self.words();
        if name.starts_with("https:") { name.to_owned() } else { format!("tag:exhibit,2026:{name}") }
    }

    /// The last part of its type: by it the page at `/v1/docs` has it.
    pub fn name(self) -> &'static str {
        self.words().name.rsplit(['#', '/']).next().unwrap_or_default()
    }

    /// HTTP status.
    pub fn status(self) -> u16 {
        self.words().status
    }

    /// As what it counts against whoever made it. What a camera in order may do is none: to lag, to lose its state or its link.
    pub fn attempt(self) -> Option<BanReason> {
        match self {
            Self::Malformed | Self::Coding | Self::TooLarge => Some(BanReason::Malformed),
            Self::Certificate | Self::NotOwner | Self::Role | Self::Forbidden | Self::Signature => Some(BanReason::Unauthorised),
            Self::Rate => Some(BanReason::Rate),
            _ => None,
        }
    }

    /// True where the next request may find what this one did not: what was kept of an upload is kept on.
    pub fn leaves_upload(self) -> bool {
        use Kind::{Banned, Internal, NotFound, Overloaded, Rate, Storage, TimedOut, UploadLength, UploadOffset};
        matches!(self, UploadOffset | UploadLength | NotFound | TimedOut | Rate | Banned | Overloaded | Storage | Internal)
    }
}

/// Problem types of draft-ietf-httpbis-resumable-upload-11, section "Problem Types".
const UPLOAD_OFFSET: &str = "https://iana.org/assignments/http-problem-types#mismatching-upload-offset";
const UPLOAD_LENGTH: &str = "https://iana.org/assignments/http-problem-types#inconsistent-upload-length";

/// A refusal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// What kind of thing failed.
    pub kind: Kind,
    /// What failed and what to do, for people.
    pub detail: String,
    /// For `chain`: the seq and prev that would fit.
    pub expected: Option<(u64, Hash)>,
    /// For uploads: how far this one is, and where the request would have gone on.
    pub upload_offset: Option<(u64, u64)>,
    /// The upload that it is about, where the request alone does not tell: the SHA-256 of its statement.
    pub upload: Option<Box<Hash>>,
    /// When it is worth to try again, in seconds: what HTTP can tell.
    pub retry_after_s: Option<u32>,
}

impl Refusal {
    /// A refusal with words for people.
    pub fn new(kind: Kind, detail: impl Into<String>) -> Self {
        // A full queue of the ledger is done in a tenth of it, an upload in a few.
        let retry_after_s = (kind == Kind::Overloaded).then_some(1);
        Self { kind, detail: detail.into(), expected: None, upload_offset: None, upload: None, retry_after_s }
    }

    /// Says how long to wait, in whole seconds: none would be no wait.
    pub fn for_now(self, wait: Duration) -> Self {
        let seconds = (wait.as_secs() + u64::from(wait.subsec_nanos() > 0)).max(1);
        Self { retry_after_s: Some(u32::try_from(seconds).unwrap_or(u32::MAX)), ..self }
    }

    /// The offset that was given is not that of the upload.
    pub fn upload_offset(expected: u64, provided: u64) -> Self {
        let detail = format!("{expected} bytes of the upload are here: go on from there");
        Self { upload_offset: Some((expected, provided)), ..Self::new(Kind::UploadOffset, detail) }
    }

    /// There is no place for one more.
    pub fn overloaded(of_what: &str, full: Full) -> Self {
        let whose = match full {
            Full::All => "at once",
            Full::Own => "of yours at once",
        };
        Self::new(Kind::Overloaded, format!("too many {of_what} {whose}: try again in a moment"))
    }

    /// There is no such thing.
    pub fn not_found() -> Self {
        Self::new(Kind::NotFound, "nothing is known under this name")
    }

    /// The document.
    pub fn problem(&self) -> ProblemDetails {
        let words = self.kind.words();
        ProblemDetails {
            problem: Problem {
                kind: self.kind.uri(),
                title: words.title.to_owned(),
                status: words.status,
                detail: self.detail.clone(),
                expected_seq: self.expected.map(|(seq, _)| seq),
                expected_prev: self.expected.map(|(_, prev)| prev.to_string()),
            },
            remedy: words.remedy.to_owned(),
            expected_offset: self.upload_offset.map(|(expected, _)| expected),
            provided_offset: self.upload_offset.map(|(_, provided)| provided),
        }
    }
}

/// A refusal as it is told (RFC 9457).
#[derive(Serialize, JsonSchema)]
pub struct ProblemDetails {
    #[serde(flatten)]
    problem: Problem,
    /// What to do.
    remedy: String,
    /// For `mismatching-upload-offset`: how far the upload is.
    #[serde(rename = "expected-offset", skip_serializing_if = "Option::is_none")]
    expected_offset: Option<u64>,
    /// For `mismatching-upload-offset`: where the request would have gone on.
    #[serde(rename = "provided-offset", skip_serializing_if = "Option::is_none")]
    provided_offset: Option<u64>,
}

impl From<RouteError> for Refusal {
    fn from(error: RouteError) -> Self {
        match error {
            RouteError::NotFound => Self::not_found(),
            RouteError::Method => Self::new(Kind::Method, error.to_string()),
            RouteError::Malformed(detail) => Self::new(Kind::Malformed, detail),
        }
    }
}

impl From<RegistryError> for Refusal {
    fn from(error: RegistryError) -> Self {
        // The operator reads the reason in the log; a stranger learns nothing of our storage.
        tracing::error!(%error, "the ledger could not be read");
        Self::new(Kind::Internal, "the appliance could not read its ledger: its operator has to see to it")
    }
}

impl From<VaultError> for Refusal {
    fn from(error: VaultError) -> Self {
        tracing::error!(%error, "the vault failed");
        match error {
            VaultError::Read(_) => Self::new(Kind::Internal, "the appliance could not read its vault: its operator has to see to it"),
            VaultError::Write(_) | VaultError::Sync(_) => {
                Self::new(Kind::Storage, "nothing was admitted: keep it and try again once the operator has made room")
            }
        }
    }
}

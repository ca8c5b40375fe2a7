//! Refusals as the API tells them (RFC 9457): what failed, what to do.
//!
//! It does not decide who is refused. Nothing in a refusal comes out of a key, and names only from certificates and paths that were parsed.

use std::time::Duration;

use exhibit_evidence::body::BanReason;
use exhibit_evidence::exchange::{Problem, RouteError};
use exhibit_tlog::Hash;

use crate::places::Full;
use crate::registry::RegistryError;
use crate::vault::VaultError;

/// What kind of thing failed. The name and the status go together.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Kind {
    /// Not the protocol.
    Malformed,
    /// The certificate is unknown to the ledger, expired, or has no path.
    Certificate,
    /// The stream is somebody else's.
    NotOwner,
    /// The certificate has no role for this type of statement.
    Role,
    /// Whoever asks may not have this.
    Forbidden,
    /// There is no such thing.
    NotFound,
    /// The path has other methods.
    Method,
    /// The request took too long.
    TimedOut,
    /// The statement does not follow its chain.
    Chain,
    /// Another statement has this place.
    Contradiction,
    /// An upload goes on elsewhere than where it is.
    UploadOffset,
    /// What is announced is not what the upload lacks.
    UploadLength,
    /// The log has ended.
    Ended,
    /// More than is accepted.
    TooLarge,
    /// A coding or media type that is not taken.
    Coding,
    /// No byte of what was asked for.
    Range,
    /// The signature does not verify.
    Signature,
    /// A statement for another log.
    Log,
    /// The payload is not what was signed.
    Payload,
    /// An attachment is not what was signed.
    Attachment,
    /// The observed head is none of ours.
    Observed,
    /// What the type demands does not hold.
    Rule,
    /// What an epoch obeys, or a set replaces, was lost, and may be stated again.
    RecipientsLost,
    /// Ours.
    Internal,
    /// Too many requests of one sender.
    Rate,
    /// Not served for a while.
    Banned,
    /// Too much at once.
    Overloaded,
    /// The disk.
    Storage,
}

impl Kind {
    /// The name behind `tag:exhibit,2026:`, the status, and what failed in few words.
    fn words(self) -> (&'static str, u16, &'static str) {
        match self {
            Self::Malformed => ("malformed", 400, "The request is malformed"),
            Self::Certificate => ("certificate", 403, "The certificate does not count here"),
            Self::NotOwner => ("not-owner", 403, "The stream belongs to somebody else"),
            Self::Role => ("role", 403, "The certificate has no role for this"),
            Self::Forbidden => ("forbidden", 403, "This may not be had"),
            Self::NotFound => ("not-found", 404, "There is no such thing"),
            Self::Method => ("method", 405, "The path has no such method"),
            Self::TimedOut => ("timed-out", 408, "The request took too long"),
            Self::Chain => ("chain", 409, "The statement does not follow its chain"),
            Self::Contradiction => ("contradiction", 409, "Another statement has this place already"),
            Self::UploadOffset => (UPLOAD_OFFSET, 409, "The upload is not as far as that, or further"),
            Self::UploadLength => (UPLOAD_LENGTH, 400, "The lengths of the upload do not agree"),
            Self::Ended => ("ended", 410, "The log has ended"),
            Self::TooLarge => ("too-large", 413, "The request is too large"),
            Self::Coding => ("coding", 415, "The body is coded otherwise than it may be"),
            Self::Range => ("range", 416, "The range is outside the payload"),
            Self::Signature => ("signature", 422, "The signature does not verify"),
            Self::Log => ("log", 422, "The statement is for another log"),
            Self::Payload => ("payload", 422, "The payload is not what was signed"),
            Self::Attachment => ("attachment", 422, "An attachment is not what was signed"),
            Self::Observed => ("observed", 422, "The observed head is not one of this log"),
            Self::Rule => ("rule", 422, "The statement breaks a rule of its type"),
            Self::RecipientsLost => ("recipients-lost", 409, "Recipients that this needs are not here yet"),
            Self::Rate => ("rate", 429, "Too many requests"),
            Self::Banned => ("banned", 429, "You are banned"),
            Self::Internal => ("internal", 500, "The appliance failed"),
            Self::Overloaded => ("overloaded", 503, "The appliance is overloaded"),
            Self::Storage => ("storage", 507, "The appliance could not store this"),
        }
    }

    /// The last part of its type.
    pub fn name(self) -> &'static str {
        self.words().0.rsplit(['#', '/']).next().unwrap_or_default()
    }

    /// HTTP status.
    pub fn status(self) -> u16 {
        self.words().1
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
    pub fn problem(&self) -> Problem {
        let (name, status, title) = self.kind.words();
        Problem {
            kind: if name.starts_with("https:") { name.to_owned() } else { format!("tag:exhibit,2026:{name}") },
            title: title.to_owned(),
            status,
            detail: self.detail.clone(),
            expected_seq: self.expected.map(|(seq, _)| seq),
            expected_prev: self.expected.map(|(_, prev)| prev.to_string()),
        }
    }
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

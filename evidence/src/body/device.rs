//! What a camera states of itself: heartbeats, configuration, events and what its TPM says.
//!
//! It does not judge a TPM's words: see `exhibit_pki::attestation`.

use exhibit_pki::Timestamp;
use exhibit_tlog::Hash;
use sha2::{Digest, Sha256};

use super::{
    AttachmentRef, EVENT_DETAIL_BYTES_MAX, EVENTS_SERIES, MEDIA_TYPES, SOURCE_DESCRIPTION_BYTES_MAX, VERSION_BYTES_MAX,
    form::{BodyForm, Demand, Issuer, lacks, words},
    read::{attachments, media_type, printable_or_space},
};
use crate::{
    Statement,
    json::{self, JsonError, Object, ObjectWriter},
};

/// What stands first in the context of a camera's attestation.
pub const ATTESTATION_CONTEXT: &[u8] = b"exhibit/attestation/v1";
/// What stands first in the context of the quote of an appliance that starts.
pub const START_CONTEXT: &[u8] = b"exhibit/start/v1";

/// `heartbeat/v1`: the camera is there, and how far behind it is.
#[derive(Clone, Debug, PartialEq)]
pub struct Heartbeat {
    /// Seconds since the agent started.
    pub uptime_s: u64,
    /// Statements in the spool that the appliance has not acknowledged.
    pub unsent: u64,
    /// Bytes of ciphertext that belong to them.
    pub unsent_bytes: u64,
    /// The camera's clock at the first frame of the newest segment; `None` before the first of this run.
    pub last_segment: Option<Timestamp>,
    /// What is attached beside the ledger: this type asks for nothing.
    pub attachments: Vec<AttachmentRef>,
}

/// `config/v1`: what holds from here on.
#[derive(Clone, Debug, PartialEq)]
pub struct Config {
    /// When it records.
    pub mode: Mode,
    /// From what.
    pub source: Source,
    /// `video/mp4` or `image/jpeg`.
    pub media_type: String,
    /// Version and commit of the agent.
    pub version: String,
    /// What is attached beside the ledger: this type asks for nothing.
    pub attachments: Vec<AttachmentRef>,
}

/// What a camera records from. JSON: `{"kind":…,"description":…}`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Source {
    /// What kind of source.
    pub kind: SourceKind,
    /// For people; without user name or password.
    pub description: String,
}

/// `event/v1`, in a stream of its own: `camera/<id>/events/<epoch>`.
#[derive(Clone, Debug, PartialEq)]
pub struct Event {
    /// What happened.
    pub kind: EventKind,
    /// Since when; of a jump of the clock, what it showed before.
    pub from: Timestamp,
    /// Until when, `None` if it lasts; of a jump of the clock, what it showed after, perhaps earlier than before.
    pub to: Option<Timestamp>,
    /// For people, perhaps empty.
    pub detail: String,
    /// What is attached beside the ledger: this type asks for nothing.
    pub attachments: Vec<AttachmentRef>,
}

/// `attestation/v1`: what the camera's TPM says of its registers or its clock.
#[derive(Clone, Debug, PartialEq)]
pub struct Attestation {
    /// What is attested.
    pub kind: AttestationKind,
    /// Leaf hash of the `enrolment` that introduced the attestation key.
    pub enrolment: Hash,
    /// `attest` (TPMS_ATTEST), `signature` (TPMT_SIGNATURE), and of a quote `values` (the registers' values, end to end).
    pub attachments: Vec<AttachmentRef>,
}

words! {
    /// When a camera records.
    Mode {
        /// Always.
        Continuous = "continuous",
        /// At set hours.
        Scheduled = "scheduled",
        /// When something moves.
        Motion = "motion",
        /// Not.
        Off = "off",
    }
    /// What kind of source a camera has.
    SourceKind {
        /// A camera on the network.
        Rtsp = "rtsp",
        /// A device of this machine.
        Device = "device",
        /// A file.
        File = "file",
        /// A test picture.
        Test = "test",
    }
    /// What happened to a camera.
    EventKind {
        /// Its case was opened, it was moved or covered.
        Tamper = "tamper",
        /// Something moved.
        Motion = "motion",
        /// Its clock was set, by more than its drift.
        ClockJump = "clock-jump",
        /// The source delivers nothing.
        SourceLost = "source-lost",
        /// The source delivers again.
        SourceBack = "source-back",
        /// Its storage fails or is full.
        Storage = "storage",
    }
    /// What a TPM attests.
    AttestationKind {
        /// TPM2_Quote: its registers.
        Quote = "quote",
        /// TPM2_GetTime: its clock.
        Time = "time",
    }
}

/// The qualifying data that an attestation at this place must be made for: SHA-256 of the nonce, which is the observed root, and the
/// context, which is the place (docs/formats/attestation.md). So the TPM spoke after that root was known and for this statement alone.
pub fn attestation_qualifying_data(statement: &Statement) -> [u8; 32] {
    qualifying_data_at(statement, ATTESTATION_CONTEXT)
}

/// The same of the quote in a `start/v1` at this place, which so serves no other type of statement.
pub fn start_qualifying_data(statement: &Statement) -> [u8; 32] {
    qualifying_data_at(statement, START_CONTEXT)
}

fn qualifying_data_at(statement: &Statement, context: &[u8]) -> [u8; 32] {
    let stream = statement.stream.as_str();
    let length = u16::try_from(stream.len()).expect("a stream's name has at most 128 bytes");
    Sha256::new()
        .chain_update(statement.observed.root.0)
        .chain_update(context)
        .chain_update(length.to_be_bytes())
        .chain_update(stream)
        .chain_update(statement.seq.to_be_bytes())
        .chain_update(statement.prev.0)
        .finalize()
        .into()
}

impl BodyForm for Heartbeat {
    const TYPE: &'static str = "heartbeat/v1";
    const ISSUER: Issuer = Issuer::CAMERA;

    fn read(object: &mut Object) -> Result<Self, JsonError> {
        Ok(Self {
            uptime_s: object.integer("uptime_s", 0, json::INTEGER_MAX)?,
            unsent: object.integer("unsent", 0, json::INTEGER_MAX)?,
            unsent_bytes: object.integer("unsent_bytes", 0, json::INTEGER_MAX)?,
            last_segment: object.optional_time("last_segment")?,
            attachments: attachments(object)?,
        })
    }
    fn write(&self, members: ObjectWriter) -> ObjectWriter {
        members
            .integer("uptime_s", self.uptime_s)
            .integer("unsent", self.unsent)
            .integer("unsent_bytes", self.unsent_bytes)
            .optional_time("last_segment", self.last_segment)
    }
    fn attachments(&self) -> &[AttachmentRef] {
        &self.attachments
    }
}

impl BodyForm for Config {
    const TYPE: &'static str = "config/v1";
    const ISSUER: Issuer = Issuer::CAMERA;

    fn read(object: &mut Object) -> Result<Self, JsonError> {
        let mode = object.one_of("mode", Mode::WORDS)?;
        let mut source = object.object("source")?;
        let kind = source.one_of("kind", SourceKind::WORDS)?;
        let description = source.text("description", SOURCE_DESCRIPTION_BYTES_MAX, printable_or_space)?;
        if has_user_information(&description) {
            return Err(source.error("description", "has a user name or a password"));
        }
        source.finish()?;
        Ok(Self {
            mode,
            source: Source { kind, description },
            media_type: media_type(object, &MEDIA_TYPES)?,
            version: object.text("version", VERSION_BYTES_MAX, printable_or_space)?,
            attachments: attachments(object)?,
        })
    }
    fn write(&self, members: ObjectWriter) -> ObjectWriter {
        let source = ObjectWriter::new().string("kind", self.source.kind.as_str()).string("description", &self.source.description).finish();
        members
            .string("mode", self.mode.as_str())
            .json("source", &source)
            .string("media_type", &self.media_type)
            .string("version", &self.version)
    }
    fn attachments(&self) -> &[AttachmentRef] {
        &self.attachments
    }
}

/// True for what is, or may be, a URL with user information (RFC 3986 section 3.2.1): passwords do not belong on a ledger. Whatever holds an
/// `@` is taken for one; nobody's description needs it.
fn has_user_information(description: &str) -> bool {
    description.contains('@')
}

impl BodyForm for Event {
    const TYPE: &'static str = "event/v1";
    const ISSUER: Issuer = Issuer::CAMERA.in_series(EVENTS_SERIES);

    fn read(object: &mut Object) -> Result<Self, JsonError> {
        let event = Self {
            kind: object.one_of("kind", EventKind::WORDS)?,
            from: object.time("from")?,
            to: object.optional_time("to")?,
            detail: object.text_or_empty("detail", EVENT_DETAIL_BYTES_MAX, printable_or_space)?,
            attachments: attachments(object)?,
        };
        if event.kind == EventKind::ClockJump {
            if event.to.is_none() {
                return Err(object.error("to", "is null, and a jump of the clock has an end"));
            }
        } else if event.to.is_some_and(|to| to < event.from) {
            return Err(object.error("to", "is before from"));
        }
        Ok(event)
    }
    fn write(&self, members: ObjectWriter) -> ObjectWriter {
        members.string("kind", self.kind.as_str()).time("from", self.from).optional_time("to", self.to).string("detail", &self.detail)
    }
    fn attachments(&self) -> &[AttachmentRef] {
        &self.attachments
    }
}

impl BodyForm for Attestation {
    const TYPE: &'static str = "attestation/v1";
    const ISSUER: Issuer = Issuer::CAMERA;
    const ATTACHMENTS: &'static [Demand] = &[Demand::kept("attest"), Demand::kept("signature"), Demand::kept("values").or_none()];

    fn read(object: &mut Object) -> Result<Self, JsonError> {
        Ok(Self {
            kind: object.one_of("kind", AttestationKind::WORDS)?,
            enrolment: object.hash("enrolment")?,
            attachments: attachments(object)?,
        })
    }
    fn write(&self, members: ObjectWriter) -> ObjectWriter {
        members.string("kind", self.kind.as_str()).bytes("enrolment", &self.enrolment.0)
    }
    fn attachments(&self) -> &[AttachmentRef] {
        &self.attachments
    }
    fn check(&self, statement: &Statement) -> Result<(), JsonError> {
        let values = self.attachments.iter().any(|attachment| attachment.name == "values");
        if self.kind == AttestationKind::Quote && !values {
            return Err(lacks("values"));
        }
        if self.kind == AttestationKind::Time && values {
            return Err(JsonError("body.attachments has \"values\", which a clock has not".to_owned()));
        }
        if statement.observed.size == 0 {
            return Err(JsonError("observed.size is 0 in an attestation, whose nonce everybody knew before".to_owned()));
        }
        Ok(())
    }
}

//! What a camera states of what it recorded: epochs, segments, gaps and closes.
//!
//! It does not know keys and ciphertext: see `keytree` and `segment`.

use exhibit_pki::Timestamp;
use exhibit_tlog::Hash;

use super::{
    AttachmentRef, MEDIA_TYPES, SEGMENT_BYTES_MAX, SEGMENT_CIPHERTEXT_BYTES_MAX, SEGMENT_DURATION_MAX_MS,
    form::{BodyForm, Demand, Issuer, words},
    read::{attachments, media_type, not_backwards},
};
use crate::{
    Statement, StreamName,
    json::{self, JsonError, Object, ObjectWriter},
    keytree, segment,
};

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
    /// Why the epoch began.
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

/// `segment/v1`
#[derive(Clone, Debug, PartialEq)]
pub struct Segment {
    /// Second of the epoch in which it starts (monotonic), below 2^20.
    pub slot: u32,
    /// Fresh, 16 bytes, hex.
    pub salt: [u8; 16],
    /// The camera's clock at its first frame.
    pub start: Timestamp,
    /// From `start` to the end of its last frame, in milliseconds; at most `SEGMENT_DURATION_MAX_MS`.
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
    /// What is attached beside the ledger: this type asks for nothing.
    pub attachments: Vec<AttachmentRef>,
}

/// `gap/v1`
#[derive(Clone, Debug, PartialEq)]
pub struct Gap {
    /// Why there is nothing.
    pub cause: GapCause,
    /// From when on there is nothing, by the camera's clock.
    pub from: Timestamp,
    /// Until when, by the same clock, that moment not included.
    pub to: Timestamp,
    /// What is attached beside the ledger: this type asks for nothing.
    pub attachments: Vec<AttachmentRef>,
}

/// `close/v1`
#[derive(Clone, Debug, PartialEq)]
pub struct Close {
    /// Why the chain ends.
    pub reason: CloseReason,
    /// What is attached beside the ledger: this type asks for nothing.
    pub attachments: Vec<AttachmentRef>,
}

words! {
    /// Why an epoch began.
    EpochReason {
        /// The agent started.
        Start = "start",
        /// The epoch was a day old, or its recipients changed.
        Rotation = "rotation",
        /// Live video goes first while the chain before drains.
        Backlog = "backlog",
        /// The camera lost its state.
        StateLost = "state-lost",
        /// The chain before was contradicted.
        Contradiction = "contradiction",
        /// Another device took the place.
        DeviceReplaced = "device-replaced",
        /// The log was succeeded.
        Succession = "succession",
    }
    /// Why nothing was recorded or kept.
    GapCause {
        /// The spool was full while the link was down.
        EvictedOffline = "evicted-offline",
        /// The source delivered nothing.
        SourceLost = "source-lost",
        /// No power.
        Power = "power",
        /// Not recorded by mode.
        Mode = "mode",
    }
    /// Why an epoch ended.
    CloseReason {
        /// The agent was asked to stop.
        Stop = "stop",
        /// The next epoch follows.
        Rotation = "rotation",
        /// The source ended.
        EndOfSource = "end-of-source",
    }
}

impl BodyForm for Epoch {
    const TYPE: &'static str = "epoch/v1";
    const ISSUER: Issuer = Issuer::CAMERA;
    const ATTACHMENTS: &'static [Demand] = &[Demand::erasable("wraps")];

    fn read(object: &mut Object) -> Result<Self, JsonError> {
        let commitment = object.hash("commitment")?;
        let started = object.time("started")?;
        let recipients = object.hash("recipients")?;
        let continues = continues(object.object("continues")?)?;
        Ok(Self { commitment, started, recipients, continues, attachments: attachments(object)? })
    }
    fn write(&self, members: ObjectWriter) -> ObjectWriter {
        let previous = match &self.continues.previous {
            None => "null".to_owned(),
            Some(position) => ObjectWriter::new()
                .string("stream", position.stream.as_str())
                .integer("seq", position.seq)
                .bytes("leaf", &position.leaf.0)
                .finish(),
        };
        let continues = ObjectWriter::new().string("reason", self.continues.reason.as_str()).json("previous", &previous).finish();
        members
            .bytes("commitment", &self.commitment.0)
            .time("started", self.started)
            .bytes("recipients", &self.recipients.0)
            .json("continues", &continues)
    }
    fn attachments(&self) -> &[AttachmentRef] {
        &self.attachments
    }
    fn check(&self, statement: &Statement) -> Result<(), JsonError> {
        if statement.seq != 0 {
            return Err(JsonError("seq is 0 in an epoch, which begins its stream".to_owned()));
        }
        Ok(())
    }
}

fn continues(mut object: Object) -> Result<Continues, JsonError> {
    let reason = object.one_of("reason", EpochReason::WORDS)?;
    let previous = match object.optional_object("previous")? {
        None => None,
        Some(mut position) => {
            let found = StreamPosition {
                stream: position.stream("stream")?,
                seq: position.integer("seq", 0, json::INTEGER_MAX)?,
                leaf: position.hash("leaf")?,
            };
            position.finish()?;
            Some(found)
        }
    };
    object.finish()?;
    Ok(Continues { reason, previous })
}

impl BodyForm for Segment {
    const TYPE: &'static str = "segment/v1";
    const ISSUER: Issuer = Issuer::CAMERA;

    fn read(object: &mut Object) -> Result<Self, JsonError> {
        let slot = object.integer("slot", 0, u64::from(keytree::SLOTS) - 1)?;
        let segment = Self {
            slot: u32::try_from(slot).expect("slots are below 2^20"),
            salt: object.bytes("salt")?,
            start: object.time("start")?,
            duration_ms: object.integer("duration_ms", 0, SEGMENT_DURATION_MAX_MS)?,
            media_type: media_type(object, &MEDIA_TYPES)?,
            random_access: object.boolean("random_access")?,
            fragment_lengths: object.array("fragment_lengths", 1, segment::FRAGMENTS_MAX, |item, position| {
                // A fragment of no plaintext would be a tag and nothing else.
                let length = item.integer(position, segment::TAG_BYTES as u64 + 1, SEGMENT_CIPHERTEXT_BYTES_MAX)?;
                Ok(u32::try_from(length).expect("segments are far below 4 GiB"))
            })?,
            ciphertext_root: object.hash("ciphertext_root")?,
            commitment_root: object.hash("commitment_root")?,
            attachments: attachments(object)?,
        };
        let tags = (segment.fragment_lengths.len() * segment::TAG_BYTES) as u64;
        if segment.ciphertext_length() > SEGMENT_BYTES_MAX + tags {
            return Err(object.error("fragment_lengths", "is a segment of more than 8 MiB"));
        }
        Ok(segment)
    }
    fn write(&self, members: ObjectWriter) -> ObjectWriter {
        members
            .integer("slot", self.slot.into())
            .bytes("salt", &self.salt)
            .time("start", self.start)
            .integer("duration_ms", self.duration_ms)
            .string("media_type", &self.media_type)
            .boolean("random_access", self.random_access)
            .array("fragment_lengths", self.fragment_lengths.iter().map(u32::to_string))
            .bytes("ciphertext_root", &self.ciphertext_root.0)
            .bytes("commitment_root", &self.commitment_root.0)
    }
    fn attachments(&self) -> &[AttachmentRef] {
        &self.attachments
    }
}

impl Segment {
    /// Length of its ciphertext in bytes, which is its payload.
    pub fn ciphertext_length(&self) -> u64 {
        self.fragment_lengths.iter().map(|length| u64::from(*length)).sum()
    }

    /// Whether some of it lies between two moments, by the camera's clock. What only touches them does not.
    pub fn overlaps(&self, from: Timestamp, to: Timestamp) -> bool {
        let starts_ms = self.start.unix_ms();
        starts_ms < to.unix_ms() && starts_ms.saturating_add(self.duration_ms) > from.unix_ms()
    }
}

impl BodyForm for Gap {
    const TYPE: &'static str = "gap/v1";
    const ISSUER: Issuer = Issuer::CAMERA;

    fn read(object: &mut Object) -> Result<Self, JsonError> {
        let cause = object.one_of("cause", GapCause::WORDS)?;
        let (from, to) = not_backwards(object)?;
        Ok(Self { cause, from, to, attachments: attachments(object)? })
    }
    fn write(&self, members: ObjectWriter) -> ObjectWriter {
        members.string("cause", self.cause.as_str()).time("from", self.from).time("to", self.to)
    }
    fn attachments(&self) -> &[AttachmentRef] {
        &self.attachments
    }
}

impl BodyForm for Close {
    const TYPE: &'static str = "close/v1";
    const ISSUER: Issuer = Issuer::CAMERA;

    fn read(object: &mut Object) -> Result<Self, JsonError> {
        Ok(Self { reason: object.one_of("reason", CloseReason::WORDS)?, attachments: attachments(object)? })
    }
    fn write(&self, members: ObjectWriter) -> ObjectWriter {
        members.string("reason", self.reason.as_str())
    }
    fn attachments(&self) -> &[AttachmentRef] {
        &self.attachments
    }
}

//! What an appliance states of single dealings: what it served, whom it banned, what it deleted, and what contradicts itself.
//!
//! It does not decide any of it.

use exhibit_pki::Timestamp;
use exhibit_tlog::Hash;

use super::{
    ATTACHMENT_NAME_BYTES_MAX, AttachmentRef, ERASED_MAX, NAME_BYTES_MAX, SeqRange,
    form::{BodyForm, Demand, Issuer, lacks, words},
    read::{attachments, name_byte, ranges_json, ranges_of_cameras},
};
use crate::{
    Statement, StreamName,
    json::{self, JsonError, Object, ObjectWriter},
};

/// `access/v1`
#[derive(Clone, Debug, PartialEq)]
pub struct Access {
    /// Leaf hash of the `fetch`.
    pub fetch: Hash,
    /// Served, or refused.
    pub granted: bool,
    /// What is attached beside the ledger: this type asks for nothing.
    pub attachments: Vec<AttachmentRef>,
}

/// `ban/v1`: somebody is not served, or is again.
#[derive(Clone, Debug, PartialEq)]
pub struct Ban {
    /// What is banned.
    pub kind: BanKind,
    /// What it did that it is banned for.
    pub reason: BanReason,
    /// Until when, later than `issued`; `None` until it is lifted.
    pub until: Option<Timestamp>,
    /// Leaf hash of the ban that this one lifts; then it has no `until` and no `subject`.
    pub lifts: Option<Hash>,
    /// `subject`: who is banned
    pub attachments: Vec<AttachmentRef>,
}

/// `retention/v1`: the payload of these segments was deleted by policy. Their statements stay.
#[derive(Clone, Debug, PartialEq)]
pub struct Retention {
    /// Which, in streams of cameras.
    pub ranges: Vec<SeqRange>,
    /// The rule's name: 1 to 64 of `[a-z0-9-]`.
    pub rule: String,
    /// What is attached beside the ledger: this type asks for nothing.
    pub attachments: Vec<AttachmentRef>,
}

/// `erasure/v1`: these attachments were erased. What is missing and not named by one was lost.
#[derive(Clone, Debug, PartialEq)]
pub struct Erasure {
    /// Which, 1 to 256.
    pub erased: Vec<Erased>,
    /// On whose word it was erased.
    pub reason: ErasureReason,
    /// Leaf hash of a custodian's `approve`; `None` only where policy is the reason.
    pub order: Option<Hash>,
    /// What is attached beside the ledger: this type asks for nothing.
    pub attachments: Vec<AttachmentRef>,
}

/// An attachment that was erased. JSON: `{"entry":…,"name":…,"sha256":…}`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Erased {
    /// Leaf hash of the entry that names it.
    pub entry: Hash,
    /// Its name there.
    pub name: String,
    /// SHA-256 of what was stored.
    pub sha256: Hash,
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

words! {
    /// What is banned.
    BanKind {
        /// Somebody with a certificate.
        Identity = "identity",
        /// Addresses.
        Network = "network",
    }
    /// Why somebody is banned, or why no longer.
    BanReason {
        /// What came could not be read.
        Malformed = "malformed",
        /// Who it was could not be shown.
        Unauthorised = "unauthorised",
        /// Too much of it came.
        Rate = "rate",
        /// It contradicted itself.
        Contradiction = "contradiction",
        /// An operator decided it.
        Operator = "operator",
    }
    /// Why attachments were erased.
    ErasureReason {
        /// A rule of the operator's.
        Policy = "policy",
        /// A court ordered it.
        Court = "court",
        /// Somebody asked for what concerns them.
        Request = "request",
    }
}

impl BodyForm for Access {
    const TYPE: &'static str = "access/v1";
    const ISSUER: Issuer = Issuer::APPLIANCE;

    fn read(object: &mut Object) -> Result<Self, JsonError> {
        Ok(Self { fetch: object.hash("fetch")?, granted: object.boolean("granted")?, attachments: attachments(object)? })
    }
    fn write(&self, members: ObjectWriter) -> ObjectWriter {
        members.bytes("fetch", &self.fetch.0).boolean("granted", self.granted)
    }
    fn attachments(&self) -> &[AttachmentRef] {
        &self.attachments
    }
}

impl BodyForm for Ban {
    const TYPE: &'static str = "ban/v1";
    const ISSUER: Issuer = Issuer::APPLIANCE;
    const ATTACHMENTS: &'static [Demand] = &[Demand::erasable("subject").or_none()];

    fn read(object: &mut Object) -> Result<Self, JsonError> {
        Ok(Self {
            kind: object.one_of("kind", BanKind::WORDS)?,
            reason: object.one_of("reason", BanReason::WORDS)?,
            until: object.optional_time("until")?,
            lifts: object.optional_hash("lifts")?,
            attachments: attachments(object)?,
        })
    }
    fn write(&self, members: ObjectWriter) -> ObjectWriter {
        members
            .string("kind", self.kind.as_str())
            .string("reason", self.reason.as_str())
            .optional_time("until", self.until)
            .optional_hash("lifts", self.lifts.as_ref())
    }
    fn attachments(&self) -> &[AttachmentRef] {
        &self.attachments
    }
    fn check(&self, statement: &Statement) -> Result<(), JsonError> {
        let refuse = |what: &str| Err(JsonError(what.to_owned()));
        let subject = self.attachments.iter().any(|attachment| attachment.name == "subject");
        match self.lifts {
            None if !subject => Err(lacks("subject")),
            None if self.until.is_some_and(|until| until <= statement.issued) => refuse("body.until is not after issued"),
            Some(_) if subject => refuse("body.attachments has \"subject\", which is named by the ban that is lifted"),
            Some(_) if self.until.is_some() => refuse("body.until is not null, and what is lifted has no end"),
            _ => Ok(()),
        }
    }
}

impl BodyForm for Retention {
    const TYPE: &'static str = "retention/v1";
    const ISSUER: Issuer = Issuer::APPLIANCE;

    fn read(object: &mut Object) -> Result<Self, JsonError> {
        Ok(Self {
            ranges: ranges_of_cameras(object)?,
            rule: object.text("rule", NAME_BYTES_MAX, name_byte)?,
            attachments: attachments(object)?,
        })
    }
    fn write(&self, members: ObjectWriter) -> ObjectWriter {
        members.array("ranges", ranges_json(&self.ranges)).string("rule", &self.rule)
    }
    fn attachments(&self) -> &[AttachmentRef] {
        &self.attachments
    }
}

impl BodyForm for Erasure {
    const TYPE: &'static str = "erasure/v1";
    const ISSUER: Issuer = Issuer::APPLIANCE;

    fn read(object: &mut Object) -> Result<Self, JsonError> {
        let erased = object.array("erased", 1, ERASED_MAX, |item, position| {
            let mut attachment = item.object(position)?;
            let erased = Erased {
                entry: attachment.hash("entry")?,
                name: attachment.text("name", ATTACHMENT_NAME_BYTES_MAX, name_byte)?,
                sha256: attachment.hash("sha256")?,
            };
            attachment.finish()?;
            Ok(erased)
        })?;
        let same = |one: &Erased, other: &Erased| one.entry == other.entry && one.name == other.name;
        if (1..erased.len()).any(|end| erased[..end].iter().any(|before| same(before, &erased[end]))) {
            return Err(object.error("erased", "names one twice"));
        }
        let reason = object.one_of("reason", ErasureReason::WORDS)?;
        let order = object.optional_hash("order")?;
        if order.is_none() && reason != ErasureReason::Policy {
            return Err(object.error("order", "is null, and the reason is not policy"));
        }
        Ok(Self { erased, reason, order, attachments: attachments(object)? })
    }
    fn write(&self, members: ObjectWriter) -> ObjectWriter {
        let erased = self.erased.iter().map(|erased| {
            ObjectWriter::new().bytes("entry", &erased.entry.0).string("name", &erased.name).bytes("sha256", &erased.sha256.0).finish()
        });
        members.array("erased", erased).string("reason", self.reason.as_str()).optional_hash("order", self.order.as_ref())
    }
    fn attachments(&self) -> &[AttachmentRef] {
        &self.attachments
    }
}

impl BodyForm for Contradiction {
    const TYPE: &'static str = "contradiction/v1";
    const ISSUER: Issuer = Issuer::APPLIANCE;
    const ATTACHMENTS: &'static [Demand] = &[Demand::kept("first"), Demand::kept("second")];

    fn read(object: &mut Object) -> Result<Self, JsonError> {
        Ok(Self { stream: object.stream("stream")?, seq: object.integer("seq", 0, json::INTEGER_MAX)?, attachments: attachments(object)? })
    }
    fn write(&self, members: ObjectWriter) -> ObjectWriter {
        members.string("stream", self.stream.as_str()).integer("seq", self.seq)
    }
    fn attachments(&self) -> &[AttachmentRef] {
        &self.attachments
    }
}

//! What people state beside sharing: approvals, recoveries, holds and logins.
//!
//! It does not know whether what is named is on the ledger.

use exhibit_pki::{Fingerprint, Identity, Subject, Timestamp};
use exhibit_tlog::Hash;

use super::{
    AttachmentRef, LOGIN_LIFETIME_MAX_MS, LOGIN_SERIES, SeqRange,
    form::{BodyForm, Demand, Issuer},
    read::{attachments, not_backwards, ranges, ranges_json, scope, series},
};
use crate::{
    Statement,
    json::{JsonError, Object, ObjectWriter},
};

/// `approve/v1`: a second person's word for what one alone may not do.
#[derive(Clone, Debug, PartialEq)]
pub struct Approve {
    /// Leaf hash of the entry that is approved.
    pub entry: Hash,
    /// SHA-256 of its statement's bytes: what was read, whatever signature it is under.
    pub statement: Hash,
    /// What is attached beside the ledger: this type asks for nothing.
    pub attachments: Vec<AttachmentRef>,
}

/// `reopen/v1`: the recovery recipient opens for somebody else. It counts with an `approve` of another custodian.
#[derive(Clone, Debug, PartialEq)]
pub struct Reopen {
    /// Whose evidence: `camera/102`.
    pub scope: String,
    /// What is opened: statements of streams of the scope.
    pub ranges: Vec<SeqRange>,
    /// Fingerprint of the wrapping certificate that it is opened for.
    pub recipient: Fingerprint,
    /// `wraps` and `purpose`
    pub attachments: Vec<AttachmentRef>,
}

/// `hold/v1`: nothing of this is deleted by policy until it is released.
#[derive(Clone, Debug, PartialEq)]
pub struct Hold {
    /// Streams of a camera: `camera/102/main`.
    pub series: String,
    /// From, by the camera's clock.
    pub from: Timestamp,
    /// The end of the interval, not before `from`.
    pub to: Timestamp,
    /// `purpose`
    pub attachments: Vec<AttachmentRef>,
}

/// `release/v1`: ends a hold.
#[derive(Clone, Debug, PartialEq)]
pub struct Release {
    /// Leaf hash of the hold.
    pub hold: Hash,
    /// `purpose`, if one was given
    pub attachments: Vec<AttachmentRef>,
}

/// `login/v1`: shown to an appliance and never put on a ledger. It is the one statement of its stream,
/// `user/<id>/login/<first 16 bytes of the nonce>`: nonces are fresh, so that no place is used twice without anybody having to remember.
#[derive(Clone, Debug, PartialEq)]
pub struct Login {
    /// The appliance that it is for. JSON: its SPIFFE ID.
    pub audience: Identity,
    /// Drawn by the appliance for this login.
    pub nonce: [u8; 32],
    /// SHA-256 of the TLS exporter of the connection (RFC 9266), where the client can tell it.
    pub exporter: Option<Hash>,
    /// Until when it may be shown: after `issued`, by at most `LOGIN_LIFETIME_MAX_MS`.
    pub expires: Timestamp,
    /// What is attached beside the ledger: this type asks for nothing.
    pub attachments: Vec<AttachmentRef>,
}

impl Login {
    /// The generation of the stream of a login with this nonce.
    pub fn generation(nonce: &[u8; 32]) -> String {
        hex::encode(&nonce[..LOGIN_NAME_BYTES])
    }
}

/// So much of its nonce names the stream of a login: as many random bytes as never meet twice, in a name that stays short.
const LOGIN_NAME_BYTES: usize = 16;

impl BodyForm for Approve {
    const TYPE: &'static str = "approve/v1";
    const ISSUER: Issuer = Issuer::CUSTODIAN;

    fn read(object: &mut Object) -> Result<Self, JsonError> {
        Ok(Self { entry: object.hash("entry")?, statement: object.hash("statement")?, attachments: attachments(object)? })
    }
    fn write(&self, members: ObjectWriter) -> ObjectWriter {
        members.bytes("entry", &self.entry.0).bytes("statement", &self.statement.0)
    }
    fn attachments(&self) -> &[AttachmentRef] {
        &self.attachments
    }
}

impl BodyForm for Reopen {
    const TYPE: &'static str = "reopen/v1";
    const ISSUER: Issuer = Issuer::CUSTODIAN;
    const ATTACHMENTS: &'static [Demand] = &[Demand::erasable("wraps"), Demand::erasable("purpose")];

    fn read(object: &mut Object) -> Result<Self, JsonError> {
        let (scope, ranges) = (scope(object)?, ranges(object)?);
        if ranges.iter().any(|range| range.stream.owner() != scope) {
            return Err(object.error("ranges", "has a stream outside of the scope"));
        }
        Ok(Self { scope, ranges, recipient: object.bytes("recipient")?, attachments: attachments(object)? })
    }
    fn write(&self, members: ObjectWriter) -> ObjectWriter {
        members.string("scope", &self.scope).array("ranges", ranges_json(&self.ranges)).bytes("recipient", &self.recipient)
    }
    fn attachments(&self) -> &[AttachmentRef] {
        &self.attachments
    }
}

impl BodyForm for Hold {
    const TYPE: &'static str = "hold/v1";
    const ISSUER: Issuer = Issuer::CUSTODIAN;
    const ATTACHMENTS: &'static [Demand] = &[Demand::erasable("purpose")];

    fn read(object: &mut Object) -> Result<Self, JsonError> {
        let series = series(object)?;
        let (from, to) = not_backwards(object)?;
        Ok(Self { series, from, to, attachments: attachments(object)? })
    }
    fn write(&self, members: ObjectWriter) -> ObjectWriter {
        members.string("series", &self.series).time("from", self.from).time("to", self.to)
    }
    fn attachments(&self) -> &[AttachmentRef] {
        &self.attachments
    }
}

impl BodyForm for Release {
    const TYPE: &'static str = "release/v1";
    const ISSUER: Issuer = Issuer::CUSTODIAN;

    fn read(object: &mut Object) -> Result<Self, JsonError> {
        Ok(Self { hold: object.hash("hold")?, attachments: attachments(object)? })
    }
    fn write(&self, members: ObjectWriter) -> ObjectWriter {
        members.bytes("hold", &self.hold.0)
    }
    fn attachments(&self) -> &[AttachmentRef] {
        &self.attachments
    }
}

impl BodyForm for Login {
    const TYPE: &'static str = "login/v1";
    const ISSUER: Issuer = Issuer::PERSON.in_series(LOGIN_SERIES);

    fn read(object: &mut Object) -> Result<Self, JsonError> {
        let audience = object.string("audience")?;
        let audience = match Identity::parse(&audience) {
            Ok(identity) if matches!(identity.subject, Subject::Appliance(_)) => identity,
            _ => return Err(object.error("audience", "is not an appliance like spiffe://city.example/appliance/a1")),
        };
        Ok(Self {
            audience,
            nonce: object.bytes("nonce")?,
            exporter: object.optional_hash("exporter")?,
            expires: object.time("expires")?,
            attachments: attachments(object)?,
        })
    }
    fn write(&self, members: ObjectWriter) -> ObjectWriter {
        members
            .string("audience", &self.audience.to_string())
            .bytes("nonce", &self.nonce)
            .optional_hash("exporter", self.exporter.as_ref())
            .time("expires", self.expires)
    }
    fn attachments(&self) -> &[AttachmentRef] {
        &self.attachments
    }
    fn check(&self, statement: &Statement) -> Result<(), JsonError> {
        let refuse = |what: &str| Err(JsonError(what.to_owned()));
        if statement.seq != 0 {
            return refuse("seq is 0 in a login, which is alone in its stream");
        }
        if statement.stream.generation() != Self::generation(&self.nonce) {
            return refuse("stream does not end in the first 16 bytes of the login's nonce");
        }
        let latest_ms = statement.issued.unix_ms().saturating_add(LOGIN_LIFETIME_MAX_MS);
        if self.expires <= statement.issued || self.expires.unix_ms() > latest_ms {
            return refuse("body.expires is not after issued, or by more than five minutes");
        }
        Ok(())
    }
}

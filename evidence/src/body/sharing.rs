//! What people state of who may see what: recipients, groups, requests, grants, and what was done with them.
//!
//! It does not know wrapped keys, nor the terms in the attachments: see `envelope` and `exchange`.

use exhibit_pki::{Fingerprint, Timestamp};
use exhibit_tlog::Hash;

use super::{
    AttachmentRef, CUSTODIANS_MAX, GROUP_MEMBERS_MAX, MEDIA_TYPES, NAME_BYTES_MAX, RECIPIENTS_MAX, SeqRange,
    form::{BodyForm, Demand, Issuer},
    read::{attachments, fingerprints_json, media_type, name_byte, ranges, ranges_json, scope},
};
use crate::json::{self, JsonError, Object, ObjectWriter};

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
    /// What is attached beside the ledger: this type asks for nothing.
    pub attachments: Vec<AttachmentRef>,
}

/// `group/v1`: people to whom a custodian grants together.
#[derive(Clone, Debug, PartialEq)]
pub struct Group {
    /// Whose evidence: `camera/102`.
    pub scope: String,
    /// Its name in the scope: 1 to 64 of `[a-z0-9-]`.
    pub name: String,
    /// Strictly rising, from 1.
    pub number: u64,
    /// Leaf hash of the entry that it replaces.
    pub replaces: Option<Hash>,
    /// Fingerprints of the members' wrapping certificates, 1 to 64.
    pub members: Vec<Fingerprint>,
    /// What is attached beside the ledger: this type asks for nothing.
    pub attachments: Vec<AttachmentRef>,
}

/// `request/v1`: somebody asks for a grant. Range and reason stand in the attachments, which can be erased.
#[derive(Clone, Debug, PartialEq)]
pub struct Request {
    /// Whose evidence: `camera/102`.
    pub scope: String,
    /// `terms` and `purpose`
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

/// `revoke/v1`: the appliance serves no more under this grant. Keys that were fetched are not recalled.
#[derive(Clone, Debug, PartialEq)]
pub struct Revoke {
    /// Leaf hash of the grant.
    pub grant: Hash,
    /// `purpose`, if one was given
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

/// `redaction/v1`: what was fetched was made unrecognisable in parts, and this came of it.
#[derive(Clone, Debug, PartialEq)]
pub struct Redaction {
    /// Leaf hash of the fetch.
    pub fetch: Hash,
    /// What it was made of.
    pub ranges: Vec<SeqRange>,
    /// What came of it.
    pub output: Output,
    /// `mask` (what was covered, where), if it is kept, and `purpose`, if one was given
    pub attachments: Vec<AttachmentRef>,
}

/// A file that was made of evidence. JSON: `{"sha256":…,"length":…,"media_type":…}`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Output {
    /// SHA-256 of it.
    pub sha256: Hash,
    /// Its length in bytes, at least 1.
    pub length: u64,
    /// `video/mp4` or `image/jpeg`.
    pub media_type: String,
}

impl BodyForm for Recipients {
    const TYPE: &'static str = "recipients/v1";
    const ISSUER: Issuer = Issuer::CUSTODIAN;

    fn read(object: &mut Object) -> Result<Self, JsonError> {
        let scope = scope(object)?;
        let number = object.integer("number", 1, json::INTEGER_MAX)?;
        let replaces = object.optional_hash("replaces")?;
        let recipients = object.fingerprints("recipients", RECIPIENTS_MAX)?;
        let custodians = object.fingerprints("custodians", CUSTODIANS_MAX)?;
        let threshold = object.integer("threshold", 1, custodians.len() as u64)?;
        let expires = object.time("expires")?;
        Ok(Self { scope, number, replaces, recipients, custodians, threshold, expires, attachments: attachments(object)? })
    }
    fn write(&self, members: ObjectWriter) -> ObjectWriter {
        members
            .string("scope", &self.scope)
            .integer("number", self.number)
            .optional_hash("replaces", self.replaces.as_ref())
            .array("recipients", fingerprints_json(&self.recipients))
            .array("custodians", fingerprints_json(&self.custodians))
            .integer("threshold", self.threshold)
            .time("expires", self.expires)
    }
    fn attachments(&self) -> &[AttachmentRef] {
        &self.attachments
    }
}

impl BodyForm for Group {
    const TYPE: &'static str = "group/v1";
    const ISSUER: Issuer = Issuer::CUSTODIAN;

    fn read(object: &mut Object) -> Result<Self, JsonError> {
        Ok(Self {
            scope: scope(object)?,
            name: object.text("name", NAME_BYTES_MAX, name_byte)?,
            number: object.integer("number", 1, json::INTEGER_MAX)?,
            replaces: object.optional_hash("replaces")?,
            members: object.fingerprints("members", GROUP_MEMBERS_MAX)?,
            attachments: attachments(object)?,
        })
    }
    fn write(&self, members: ObjectWriter) -> ObjectWriter {
        members
            .string("scope", &self.scope)
            .string("name", &self.name)
            .integer("number", self.number)
            .optional_hash("replaces", self.replaces.as_ref())
            .array("members", fingerprints_json(&self.members))
    }
    fn attachments(&self) -> &[AttachmentRef] {
        &self.attachments
    }
}

impl BodyForm for Request {
    const TYPE: &'static str = "request/v1";
    const ISSUER: Issuer = Issuer::VIEWER;
    const ATTACHMENTS: &'static [Demand] = &[Demand::erasable("terms"), Demand::erasable("purpose")];

    fn read(object: &mut Object) -> Result<Self, JsonError> {
        Ok(Self { scope: scope(object)?, attachments: attachments(object)? })
    }
    fn write(&self, members: ObjectWriter) -> ObjectWriter {
        members.string("scope", &self.scope)
    }
    fn attachments(&self) -> &[AttachmentRef] {
        &self.attachments
    }
}

impl BodyForm for Grant {
    const TYPE: &'static str = "grant/v1";
    const ISSUER: Issuer = Issuer::CUSTODIAN;
    const ATTACHMENTS: &'static [Demand] = &[Demand::erasable("terms"), Demand::erasable("wraps")];

    fn read(object: &mut Object) -> Result<Self, JsonError> {
        Ok(Self { scope: scope(object)?, attachments: attachments(object)? })
    }
    fn write(&self, members: ObjectWriter) -> ObjectWriter {
        members.string("scope", &self.scope)
    }
    fn attachments(&self) -> &[AttachmentRef] {
        &self.attachments
    }
}

impl BodyForm for Revoke {
    const TYPE: &'static str = "revoke/v1";
    const ISSUER: Issuer = Issuer::CUSTODIAN;

    fn read(object: &mut Object) -> Result<Self, JsonError> {
        Ok(Self { grant: object.hash("grant")?, attachments: attachments(object)? })
    }
    fn write(&self, members: ObjectWriter) -> ObjectWriter {
        members.bytes("grant", &self.grant.0)
    }
    fn attachments(&self) -> &[AttachmentRef] {
        &self.attachments
    }
}

impl BodyForm for Fetch {
    const TYPE: &'static str = "fetch/v1";
    const ISSUER: Issuer = Issuer::VIEWER;

    fn read(object: &mut Object) -> Result<Self, JsonError> {
        Ok(Self { grant: object.optional_hash("grant")?, ranges: ranges(object)?, attachments: attachments(object)? })
    }
    fn write(&self, members: ObjectWriter) -> ObjectWriter {
        members.optional_hash("grant", self.grant.as_ref()).array("ranges", ranges_json(&self.ranges))
    }
    fn attachments(&self) -> &[AttachmentRef] {
        &self.attachments
    }
}

impl BodyForm for Export {
    const TYPE: &'static str = "export/v1";
    const ISSUER: Issuer = Issuer::VIEWER;

    fn read(object: &mut Object) -> Result<Self, JsonError> {
        Ok(Self {
            fetch: object.hash("fetch")?,
            ranges: ranges(object)?,
            manifest: object.hash("manifest")?,
            attachments: attachments(object)?,
        })
    }
    fn write(&self, members: ObjectWriter) -> ObjectWriter {
        members.bytes("fetch", &self.fetch.0).array("ranges", ranges_json(&self.ranges)).bytes("manifest", &self.manifest.0)
    }
    fn attachments(&self) -> &[AttachmentRef] {
        &self.attachments
    }
}

impl BodyForm for Redaction {
    const TYPE: &'static str = "redaction/v1";
    const ISSUER: Issuer = Issuer::VIEWER;
    const ATTACHMENTS: &'static [Demand] = &[Demand::erasable("mask").or_none()];

    fn read(object: &mut Object) -> Result<Self, JsonError> {
        let fetch = object.hash("fetch")?;
        let ranges = ranges(object)?;
        let mut output = object.object("output")?;
        let file = Output {
            sha256: output.hash("sha256")?,
            length: output.integer("length", 1, json::INTEGER_MAX)?,
            media_type: media_type(&mut output, &MEDIA_TYPES)?,
        };
        output.finish()?;
        Ok(Self { fetch, ranges, output: file, attachments: attachments(object)? })
    }
    fn write(&self, members: ObjectWriter) -> ObjectWriter {
        let output = ObjectWriter::new()
            .bytes("sha256", &self.output.sha256.0)
            .integer("length", self.output.length)
            .string("media_type", &self.output.media_type)
            .finish();
        members.bytes("fetch", &self.fetch.0).array("ranges", ranges_json(&self.ranges)).json("output", &output)
    }
    fn attachments(&self) -> &[AttachmentRef] {
        &self.attachments
    }
}

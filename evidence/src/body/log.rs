//! What an appliance states of its log as a whole: how it begins and ends, who witnessed it, and what the appliance wrote of its own work.
//!
//! It does not know tokens, notes and policies: see `exhibit_pki::timestamp_token` and `exhibit_tlog`.

use std::collections::BTreeSet;

use exhibit_pki::{Fingerprint, Timestamp};
use exhibit_tlog::Hash;

use super::{
    AttachmentRef, EARLIER_LOGS_MAX, ORIGIN_BYTES_MAX, ROOTS_MAX, VERSION_BYTES_MAX, WITNESS_POLICY_BYTES_MAX,
    form::{BodyForm, Demand, Issuer, lacks, words},
    read::{attachments, fingerprints_json, log_keys, not_backwards, origin_byte, printable_or_space},
};
use crate::{
    Head, Statement,
    json::{self, JsonError, Object, ObjectWriter},
    log_lines::LINES_MAX,
};

/// `genesis/v1`
#[derive(Clone, Debug, PartialEq)]
pub struct Genesis {
    /// The log's name.
    pub origin: String,
    /// Verifier keys of the notes (docs/formats/log.md), all of which must sign.
    pub keys: Vec<String>,
    /// Fingerprints of the root certificates.
    pub roots: Vec<Fingerprint>,
    /// A C2SP tlog-policy, or empty: no witnesses are demanded.
    pub witness_policy: String,
    /// The log before: its id and last checkpoint. JSON: `null` or `{"log":…,"size":…,"root":…}`.
    pub predecessor: Option<Predecessor>,
    /// The logs before that one, newest first: statements that were made for them go on here too. JSON: absent if there are none.
    pub earlier: Vec<Predecessor>,
    /// `certificate`
    pub attachments: Vec<AttachmentRef>,
}

impl Genesis {
    /// All logs that this one goes on for, newest first.
    pub fn before(&self) -> impl Iterator<Item = &Predecessor> {
        self.predecessor.iter().chain(&self.earlier)
    }

    /// What the log that follows has to declare of those before this one: as many as one genesis holds, newest first.
    pub fn declared(&self) -> Vec<Predecessor> {
        self.before().take(EARLIER_LOGS_MAX).cloned().collect()
    }
}

/// A log that was succeeded.
#[derive(Clone, Debug, PartialEq)]
pub struct Predecessor {
    /// Its id.
    pub log: Hash,
    /// Its last head.
    pub head: Head,
}

/// `succession/v1`: the last entry of a log that ends by plan.
#[derive(Clone, Debug, PartialEq)]
pub struct Succession {
    /// The log that follows. JSON: `{"origin":…,"keys":[…]}`.
    pub successor: Successor,
    /// Why the log ends.
    pub reason: SuccessionReason,
    /// What is attached beside the ledger: this type asks for nothing.
    pub attachments: Vec<AttachmentRef>,
}

/// The log that follows: its genesis names this one, and is not made yet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Successor {
    /// Its name.
    pub origin: String,
    /// Verifier keys of its notes.
    pub keys: Vec<String>,
}

/// `start/v1`: the appliance has started, and what its TPM says of the registers then.
#[derive(Clone, Debug, PartialEq)]
pub struct Start {
    /// Version and commit.
    pub version: String,
    /// Leaf hash of the `enrolment` that introduced the key which signed the quote; `None` of an appliance that makes none.
    pub enrolment: Option<Hash>,
    /// With an enrolment `attest` (TPMS_ATTEST), `signature` (TPMT_SIGNATURE) and `values` (the registers' values, end to end), else none of these.
    pub attachments: Vec<AttachmentRef>,
}

/// `log/v1`: a batch of the appliance's own log lines, each of which can be shown alone; see `log_lines`.
#[derive(Clone, Debug, PartialEq)]
pub struct LogBatch {
    /// Number of the batch, from 0.
    pub number: u64,
    /// Number of its first line, counted over all batches from 0.
    pub first: u64,
    /// How many lines, at least 1.
    pub count: u64,
    /// RFC 6962 root of the salted lines.
    pub root: Hash,
    /// When the first line was written.
    pub from: Timestamp,
    /// When the last line was written.
    pub to: Timestamp,
    /// `lines`
    pub attachments: Vec<AttachmentRef>,
}

/// `timestamp/v1`: what others say of a checkpoint. The tokens are over a SHA-2 digest of the text of the note in `checkpoint`.
#[derive(Clone, Debug, PartialEq)]
pub struct TimestampBody {
    /// The checkpoint that is witnessed, not beyond what the issuer observed.
    pub head: Head,
    /// `checkpoint` (the signed note with its cosignatures, byte for byte), `token-0` … (TimeStampToken, DER)
    pub attachments: Vec<AttachmentRef>,
}

words! {
    /// Why a log ends.
    SuccessionReason {
        /// It is large.
        Size = "size",
        /// The year is over.
        Year = "year",
        /// It was damaged.
        Disaster = "disaster",
        /// Something else.
        Other = "other",
    }
}

fn origin(object: &mut Object) -> Result<String, JsonError> {
    object.text("origin", ORIGIN_BYTES_MAX, origin_byte)
}

fn keys(object: &mut Object) -> Result<Vec<String>, JsonError> {
    Ok(log_keys(object)?.iter().map(ToString::to_string).collect())
}

fn keys_json(keys: &[String]) -> impl Iterator<Item = String> + '_ {
    keys.iter().map(|key| json::string(key))
}

fn read_log(mut log: Object) -> Result<Predecessor, JsonError> {
    let id = log.hash("log")?;
    if id == Hash::default() {
        return Err(log.error("log", "is of no log"));
    }
    // A log that was succeeded had a genesis at least.
    let head = Head { size: log.integer("size", 1, json::INTEGER_MAX)?, root: log.hash("root")? };
    log.finish()?;
    Ok(Predecessor { log: id, head })
}

fn log_json(Predecessor { log, head }: &Predecessor) -> String {
    ObjectWriter::new().bytes("log", &log.0).integer("size", head.size).bytes("root", &head.root.0).finish()
}

impl BodyForm for Genesis {
    const TYPE: &'static str = "genesis/v1";
    const ISSUER: Issuer = Issuer::APPLIANCE;
    const ATTACHMENTS: &'static [Demand] = &[Demand::kept("certificate")];

    fn read(object: &mut Object) -> Result<Self, JsonError> {
        let (origin, keys) = (origin(object)?, keys(object)?);
        let roots = object.fingerprints("roots", ROOTS_MAX)?;
        let witness_policy = object.string("witness_policy")?;
        if witness_policy.len() > WITNESS_POLICY_BYTES_MAX {
            return Err(object.error("witness_policy", "is too long"));
        }
        let predecessor = object.optional_object("predecessor")?.map(read_log).transpose()?;
        let earlier = if object.has("earlier") {
            object.array("earlier", 1, EARLIER_LOGS_MAX, |item, position| read_log(item.object(position)?))?
        } else {
            Vec::new()
        };
        if predecessor.is_none() && !earlier.is_empty() {
            return Err(object.error("earlier", "stands without a predecessor"));
        }
        let genesis = Self { origin, keys, roots, witness_policy, predecessor, earlier, attachments: attachments(object)? };
        let mut logs = BTreeSet::new();
        if !genesis.before().all(|before| logs.insert(before.log)) {
            return Err(object.error("earlier", "names one twice"));
        }
        Ok(genesis)
    }
    fn write(&self, members: ObjectWriter) -> ObjectWriter {
        let members = members
            .string("origin", &self.origin)
            .array("keys", keys_json(&self.keys))
            .array("roots", fingerprints_json(&self.roots))
            .string("witness_policy", &self.witness_policy)
            .json("predecessor", &self.predecessor.as_ref().map_or("null".to_owned(), log_json));
        if self.earlier.is_empty() { members } else { members.array("earlier", self.earlier.iter().map(log_json)) }
    }
    fn attachments(&self) -> &[AttachmentRef] {
        &self.attachments
    }
    fn check(&self, statement: &Statement) -> Result<(), JsonError> {
        if statement.seq != 0 || statement.observed.size != 0 {
            return Err(JsonError("seq and observed.size are 0 in genesis, before which nothing was".to_owned()));
        }
        Ok(())
    }
}

impl BodyForm for Succession {
    const TYPE: &'static str = "succession/v1";
    const ISSUER: Issuer = Issuer::APPLIANCE;

    fn read(object: &mut Object) -> Result<Self, JsonError> {
        let mut log = object.object("successor")?;
        let successor = Successor { origin: origin(&mut log)?, keys: keys(&mut log)? };
        log.finish()?;
        Ok(Self { successor, reason: object.one_of("reason", SuccessionReason::WORDS)?, attachments: attachments(object)? })
    }
    fn write(&self, members: ObjectWriter) -> ObjectWriter {
        let successor =
            ObjectWriter::new().string("origin", &self.successor.origin).array("keys", keys_json(&self.successor.keys)).finish();
        members.json("successor", &successor).string("reason", self.reason.as_str())
    }
    fn attachments(&self) -> &[AttachmentRef] {
        &self.attachments
    }
}

impl BodyForm for Start {
    const TYPE: &'static str = "start/v1";
    const ISSUER: Issuer = Issuer::APPLIANCE;
    const ATTACHMENTS: &'static [Demand] =
        &[Demand::kept("attest").or_none(), Demand::kept("signature").or_none(), Demand::kept("values").or_none()];

    fn read(object: &mut Object) -> Result<Self, JsonError> {
        Ok(Self {
            version: object.text("version", VERSION_BYTES_MAX, printable_or_space)?,
            enrolment: object.optional_hash("enrolment")?,
            attachments: attachments(object)?,
        })
    }
    fn write(&self, members: ObjectWriter) -> ObjectWriter {
        members.string("version", &self.version).optional_hash("enrolment", self.enrolment.as_ref())
    }
    fn attachments(&self) -> &[AttachmentRef] {
        &self.attachments
    }
    fn check(&self, statement: &Statement) -> Result<(), JsonError> {
        for Demand { name, .. } in Self::ATTACHMENTS {
            let is_there = self.attachments.iter().any(|attachment| attachment.name == *name);
            match self.enrolment {
                Some(_) if !is_there => return Err(lacks(name)),
                None if is_there => return Err(JsonError(format!("body.attachments has \"{name}\", and no enrolment's key signed it"))),
                _ => {}
            }
        }
        if self.enrolment.is_some() && statement.observed.size == 0 {
            return Err(JsonError("observed.size is 0 in a start with a quote, whose nonce everybody knew before".to_owned()));
        }
        Ok(())
    }
}

impl BodyForm for LogBatch {
    const TYPE: &'static str = "log/v1";
    const ISSUER: Issuer = Issuer::APPLIANCE;
    const ATTACHMENTS: &'static [Demand] = &[Demand::erasable("lines")];

    fn read(object: &mut Object) -> Result<Self, JsonError> {
        let number = object.integer("number", 0, json::INTEGER_MAX)?;
        let first = object.integer("first", 0, json::INTEGER_MAX)?;
        let count = object.integer("count", 1, LINES_MAX as u64)?;
        let root = object.hash("root")?;
        let (from, to) = not_backwards(object)?;
        Ok(Self { number, first, count, root, from, to, attachments: attachments(object)? })
    }
    fn write(&self, members: ObjectWriter) -> ObjectWriter {
        members
            .integer("number", self.number)
            .integer("first", self.first)
            .integer("count", self.count)
            .bytes("root", &self.root.0)
            .time("from", self.from)
            .time("to", self.to)
    }
    fn attachments(&self) -> &[AttachmentRef] {
        &self.attachments
    }
}

impl BodyForm for TimestampBody {
    const TYPE: &'static str = "timestamp/v1";
    const ISSUER: Issuer = Issuer::APPLIANCE;
    const ATTACHMENTS: &'static [Demand] = &[Demand::kept("checkpoint"), Demand::kept("token-").numbered()];

    fn read(object: &mut Object) -> Result<Self, JsonError> {
        let head = Head { size: object.integer("size", 1, json::INTEGER_MAX)?, root: object.hash("root")? };
        Ok(Self { head, attachments: attachments(object)? })
    }
    fn write(&self, members: ObjectWriter) -> ObjectWriter {
        members.integer("size", self.head.size).bytes("root", &self.head.root.0)
    }
    fn attachments(&self) -> &[AttachmentRef] {
        &self.attachments
    }
    fn check(&self, statement: &Statement) -> Result<(), JsonError> {
        let observed = &statement.observed;
        if self.head.size > observed.size || (self.head.size == observed.size && self.head.root != observed.root) {
            return Err(JsonError("body.size and body.root are not of a head that the issuer observed".to_owned()));
        }
        Ok(())
    }
}

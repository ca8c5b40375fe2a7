//! Statements: one JSON object by one issuer, parsed strictly (docs/formats/statement.md).
//!
//! It does not know signatures, nor what stands before or after a statement in its stream.

use exhibit_pki::Timestamp;
use exhibit_tlog::{EMPTY_ROOT, Hash};

use crate::{
    Body, StreamName,
    json::{self, JsonError, Object, ObjectWriter},
};

/// A statement is at most this long, so that with its signature it fits an entry.
pub const STATEMENT_BYTES_MAX: usize = 48 * 1024;

/// A head of the log: its size and root.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Head {
    /// Number of entries.
    pub size: u64,
    /// Root of the tree of that size.
    pub root: Hash,
}

/// A statement. `parse` and `to_bytes` are the only ways in and out.
#[derive(Clone, Debug, PartialEq)]
pub struct Statement {
    /// Leaf hash of the log's genesis; zeros in genesis itself.
    pub log: Hash,
    /// The chain that it belongs to.
    pub stream: StreamName,
    /// Position in the chain, from 0 without holes, below 2^53.
    pub seq: u64,
    /// Leaf hash of the entry before; zeros at 0.
    pub prev: Hash,
    /// The issuer's clock, a claim.
    pub issued: Timestamp,
    /// The last checkpoint that the issuer has verified; size 0 and the empty root before the first.
    pub observed: Head,
    /// What is stated.
    pub body: Body,
}

/// Why bytes are not a statement.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum StatementError {
    /// More than 48 KiB.
    #[error("the statement is longer than 48 KiB")]
    TooLong,
    /// Not the strict JSON of docs/formats/statement.md.
    #[error("not strict JSON: {0}")]
    Json(String),
    /// A member is missing, unknown, doubled or of the wrong form.
    #[error("the statement's member {0}")]
    Member(String),
}

impl From<JsonError> for StatementError {
    fn from(error: JsonError) -> Self {
        Self::Member(error.0)
    }
}

impl Statement {
    /// Parses strictly: UTF-8 without BOM, no lone surrogates, no unknown or duplicate members, integers below 2^53 only, bounded depth.
    /// Order of members and white space are free; the bytes are what is hashed.
    pub fn parse(bytes: &[u8]) -> Result<Self, StatementError> {
        if bytes.len() > STATEMENT_BYTES_MAX {
            return Err(StatementError::TooLong);
        }
        let as_json = |error: JsonError| StatementError::Json(error.0);
        let mut members = json::parse(bytes).and_then(|value| Object::new(value, "")).map_err(as_json)?;
        let type_name = members.string("type")?;
        let statement = Self {
            log: members.hash("log")?,
            stream: members.stream("stream")?,
            seq: members.integer("seq", 0, json::INTEGER_MAX)?,
            prev: members.hash("prev")?,
            issued: members.time("issued")?,
            observed: head(members.object("observed")?)?,
            body: Body::read(&type_name, members.take("body")?)?,
        };
        members.finish()?;
        statement.check_agreement()?;
        Ok(statement)
    }

    /// Our writer: members in the order of the struct, no white space.
    pub fn to_bytes(&self) -> Vec<u8> {
        let observed = ObjectWriter::new().integer("size", self.observed.size).bytes("root", &self.observed.root.0).finish();
        ObjectWriter::new()
            .string("type", self.type_name())
            .bytes("log", &self.log.0)
            .string("stream", self.stream.as_str())
            .integer("seq", self.seq)
            .bytes("prev", &self.prev.0)
            .time("issued", self.issued)
            .json("observed", &observed)
            .json("body", &self.body.to_json())
            .finish()
            .into_bytes()
    }

    /// The `type` member, such as `segment/v1`.
    pub fn type_name(&self) -> &str {
        self.body.type_name()
    }

    /// What no member says alone.
    fn check_agreement(&self) -> Result<(), JsonError> {
        let zeros = Hash([0; 32]);
        let refuse = |what: &str| Err(JsonError(what.to_owned()));
        if (self.seq == 0) != (self.prev == zeros) {
            return refuse("prev is zeros at seq 0 and only there");
        }
        if (self.observed.size == 0) != (self.observed.root == EMPTY_ROOT) {
            return refuse("observed.root is the empty root at size 0 and only there");
        }
        let genesis = matches!(self.body, Body::Genesis(_));
        if genesis != (self.log == zeros) {
            return refuse("log is zeros in genesis and only there");
        }
        self.body.check(self)
    }
}

fn head(mut members: Object) -> Result<Head, JsonError> {
    let head = Head { size: members.integer("size", 0, json::INTEGER_MAX)?, root: members.hash("root")? };
    members.finish()?;
    Ok(head)
}

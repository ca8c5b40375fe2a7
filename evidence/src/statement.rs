//! Statements: one JSON object by one issuer, parsed strictly (docs/formats/statement.md).

use exhibit_pki::Timestamp;
use exhibit_tlog::Hash;

use crate::{Body, StreamName};

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

impl Statement {
    /// Parses strictly: UTF-8 without BOM, no lone surrogates, no unknown or duplicate members, integers below 2^53 only, bounded depth.
    /// Order of members and white space are free; the bytes are what is hashed.
    pub fn parse(bytes: &[u8]) -> Result<Self, StatementError> {
        todo!()
    }
    /// Our writer: members in the order of the struct, no white space.
    pub fn to_bytes(&self) -> Vec<u8> {
        todo!()
    }
    /// The `type` member, such as `segment/v1`.
    pub fn type_name(&self) -> &str {
        todo!()
    }
}

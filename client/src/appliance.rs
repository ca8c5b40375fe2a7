//! The appliance's API as typed calls (docs/formats/api.md).

use std::path::Path;

use exhibit_evidence::{Anchor, Head, SignedStatement, exchange};
use exhibit_tlog::{Checkpoint, Hash};

use crate::ClientIdentity;

/// A verified receipt: the entry is on the log that the anchor names, and that log extends what was observed before.
#[derive(Clone, Debug, PartialEq)]
pub struct Receipt {
    /// Index of the entry.
    pub index: u64,
    /// The `tlog-proof`, verbatim.
    pub proof: String,
    /// Its checkpoint, verified.
    pub checkpoint: Checkpoint,
}

/// Why a call failed, by what a caller does about it.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// The appliance could not be reached or the connection broke: try again later.
    #[error("cannot reach the appliance at {address}: {source}")]
    Unreachable {
        /// Where.
        address: String,
        /// What happened.
        source: std::io::Error,
    },
    /// The appliance refused, and said why.
    #[error("{}: {}", .0.title, .0.detail)]
    Refused(Box<exchange::Problem>),
    /// The appliance said something that does not verify: a finding, never to be ignored.
    #[error("the appliance's answer does not verify: {0}")]
    Untrustworthy(String),
    /// It spoke another protocol.
    #[error("the appliance's answer is not understood: {0}")]
    Protocol(String),
}

/// One keep-alive connection to the appliance, reconnecting when it broke. Not for concurrent use: one each.
pub struct Appliance {
    // address, tls config, anchor, connection
}

impl Appliance {
    /// `address` is `host:port`. Nothing is sent yet.
    pub fn new(address: &str, identity: &ClientIdentity, anchor: &Anchor) -> Result<Self, ClientError> {
        todo!()
    }
    /// Sends a statement with its attachments (in the order named) and its payload (a file, streamed), and verifies the receipt: signatures
    /// and origin of the checkpoint, inclusion of this very entry, consistency with `statement.observed`.
    pub async fn put(&mut self, signed: &SignedStatement, attachments: &[&[u8]], payload: Option<&Path>) -> Result<Receipt, ClientError> {
        todo!()
    }
    /// Fetches and verifies a head: the newest checkpoint, consistent with `observed`.
    pub async fn checkpoint(&mut self, observed: Option<&Head>) -> Result<Checkpoint, ClientError> {
        todo!()
    }
    /// GET with an `Accept`-less request; JSON answers. `path` begins with `/v1/`.
    pub async fn get_json<T: serde::de::DeserializeOwned>(&mut self, path: &str) -> Result<T, ClientError> {
        todo!()
    }
    /// GET of bytes, at most `limit`.
    pub async fn get_bytes(&mut self, path: &str, limit: u64) -> Result<Vec<u8>, ClientError> {
        todo!()
    }
    /// Checks an `EntryRecord`: base64, form, receipt against the anchor. The signature of the statement is the caller's to judge.
    pub fn open_record(&self, record: &exchange::EntryRecord) -> Result<(SignedStatement, Receipt), ClientError> {
        todo!()
    }
    /// GET of an attachment by hash, checked against it.
    pub async fn attachment(&mut self, attachment: &exhibit_evidence::AttachmentRef) -> Result<Vec<u8>, ClientError> {
        todo!()
    }
    /// The leaf-hash addressed entry: `GET /v1/entries/{leaf}`.
    pub async fn entry(&mut self, leaf: &Hash) -> Result<(SignedStatement, Receipt), ClientError> {
        todo!()
    }
}

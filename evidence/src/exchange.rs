//! What clients and the appliance say to each other beside statements (docs/formats/api.md): JSON with serde, unknown members ignored by
//! clients, so that a server may say more.

pub mod route;
pub mod terms;

pub use route::{OPERATIONS, Operation, Route, RouteError, Target, by_query};
pub use terms::{SlotRange, Terms, TermsError};

use serde::{Deserialize, Serialize};

/// The answer to an admitted statement (201 new, 200 the same as before, 202 durable and waiting for witnesses).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Admitted {
    /// Index of the entry.
    pub index: u64,
    /// Its leaf hash, hex.
    pub leaf: String,
    /// `tlog-proof` under the newest checkpoint.
    pub receipt: String,
    /// Consistency proof (base64 hashes) from the statement's observed head to that checkpoint.
    pub consistency: Vec<String>,
}

/// An entry with its receipt.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct EntryRecord {
    /// Index of the entry.
    pub index: u64,
    /// The signed statement, base64 (standard, padded).
    pub entry: String,
    /// `tlog-proof` under the newest checkpoint that the log's witnesses have cosigned, where it covers the entry; else under the newest.
    pub receipt: String,
    /// True if the receipt does not wait for witnesses (any more).
    #[serde(default, rename = "final")]
    pub is_final: bool,
}

/// What shows that a log goes on for one that has ended; `succession::judge` judges it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct SuccessorRecord {
    /// The last checkpoint of the log that ended, with its witnesses' cosignatures: a signed note. Absent after a disaster where nobody has one
    /// of that head.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_checkpoint: Option<String>,
    /// Consistency proof (base64 hashes) from the size that was asked for to that checkpoint; absent where the appliance can not give it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub consistency: Option<Vec<String>>,
    /// The last entry of the log that ended, a `succession`; absent after a disaster.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub succession: Option<EntryRecord>,
    /// Genesis of the log that ended: a signed statement, base64. It says which logs were before that. Absent where the appliance can not give it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ended_genesis: Option<String>,
    /// Genesis of the log that follows.
    pub genesis: EntryRecord,
    /// The certificates that signed these, and those above them: DER, base64.
    pub certificates: Vec<String>,
    /// The custodians' `approve` statements for that genesis: signed statements, base64.
    pub approvals: Vec<String>,
}

/// Several entries.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct EntryRecords {
    /// In order of index or seq.
    pub entries: Vec<EntryRecord>,
    /// Where the next page begins (pass it as `after`); absent on the last page.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next: Option<String>,
}

/// What is known of a stream.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct StreamRecord {
    /// Its name.
    pub stream: String,
    /// The seq that comes next.
    pub next_seq: u64,
    /// Leaf hash of the last entry, hex.
    pub leaf: String,
    /// `issued` of its first statement, RFC 3339.
    pub first_issued: String,
    /// `issued` of its last statement, RFC 3339.
    pub last_issued: String,
}

/// Several streams.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct StreamRecords {
    /// In order of name.
    pub streams: Vec<StreamRecord>,
}

/// Which program and which log answers.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct VersionRecord {
    /// `exhibit-appliance`
    pub name: String,
    /// Version and commit.
    pub version: String,
    /// The log's origin.
    pub origin: String,
    /// The log's name: the leaf hash of its genesis, hex.
    pub log: String,
}

/// An error (RFC 9457, `application/problem+json`).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Problem {
    /// `https://` or `tag:` name of the kind; ours are `tag:exhibit,2026:<kind>`.
    #[serde(rename = "type")]
    pub kind: String,
    /// What failed.
    pub title: String,
    /// HTTP status.
    pub status: u16,
    /// What to do.
    pub detail: String,
    /// For `chain`: the seq that would fit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expected_seq: Option<u64>,
    /// For `chain`: the `prev` that would fit, the leaf hash of the last statement, hex.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expected_prev: Option<String>,
}

/// The body of `PUT /v1/streams/{stream}/{seq}`: `be32 length, signed statement, be32 length, attachments, payload`. This writes all but the
/// payload; attachments stand end to end in the order in which the statement names them.
pub fn intake_prefix(entry: &[u8], attachments: &[&[u8]]) -> Vec<u8> {
    let total: usize = attachments.iter().map(|attachment| attachment.len()).sum();
    let mut prefix = Vec::with_capacity(8 + entry.len() + total);
    prefix.extend_from_slice(&u32::try_from(entry.len()).expect("entries are below 64 KiB").to_be_bytes());
    prefix.extend_from_slice(entry);
    prefix.extend_from_slice(&u32::try_from(total).expect("attachments are bounded by their statement").to_be_bytes());
    for attachment in attachments {
        prefix.extend_from_slice(attachment);
    }
    prefix
}

/// Takes an intake prefix apart again: the entry, and the attachments end to end. `None` if lengths and bytes do not agree.
pub fn split_intake_prefix(prefix: &[u8]) -> Option<(&[u8], &[u8])> {
    let (entry, rest) = split_lengthened(prefix)?;
    let (attachments, rest) = split_lengthened(rest)?;
    rest.is_empty().then_some((entry, attachments))
}

fn split_lengthened(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let (length, rest) = bytes.split_first_chunk::<4>()?;
    rest.split_at_checked(usize::try_from(u32::from_be_bytes(*length)).ok()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_prefix_comes_apart_as_it_was_put_together() {
        let prefix = intake_prefix(b"entry", &[b"first", b"second"]);
        assert_eq!(split_intake_prefix(&prefix), Some((&b"entry"[..], &b"firstsecond"[..])));
        assert_eq!(split_intake_prefix(&prefix[..prefix.len() - 1]), None, "a prefix that was cut short was accepted");
        assert_eq!(split_intake_prefix(&[prefix, vec![0]].concat()), None, "surplus bytes were accepted");
    }
}

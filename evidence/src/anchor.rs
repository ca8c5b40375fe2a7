//! What a verifier trusts, and what a camera pins: the log, its keys, the roots, the custodians. Never taken out of the bundle judged.

use exhibit_pki::Certificate;
use exhibit_tlog::{Hash, LogVerifier};

/// The anchor: JSON `{"type":"exhibit-anchor/v1","log":hex,"origin":…,"keys":[vkey…],"roots":[PEM…]}`.
#[derive(Clone, Debug, PartialEq)]
pub struct Anchor {
    /// Leaf hash of genesis.
    pub log: Hash,
    /// Origin and keys, all of which must sign.
    pub verifier: LogVerifier,
    /// Trusted root certificates.
    pub roots: Vec<Certificate>,
}

/// What a camera pins at enrolment: JSON `{"type":"exhibit-pin/v1","anchor":{…},"custodians":[PEM…],"threshold":n}`.
#[derive(Clone, Debug, PartialEq)]
pub struct Pin {
    /// The log.
    pub anchor: Anchor,
    /// Signing certificates of the custodians.
    pub custodians: Vec<Certificate>,
    /// How many of them must sign the first `recipients`.
    pub threshold: u64,
}

/// Not an anchor or pin.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not an anchor: {0}")]
pub struct AnchorError(pub String);

impl Anchor {
    /// Parses strictly.
    pub fn parse(json: &[u8]) -> Result<Self, AnchorError> {
        todo!()
    }
    /// The JSON, for people to read too.
    pub fn to_json(&self) -> String {
        todo!()
    }
}

impl Pin {
    /// Parses strictly.
    pub fn parse(json: &[u8]) -> Result<Self, AnchorError> {
        todo!()
    }
    /// The JSON.
    pub fn to_json(&self) -> String {
        todo!()
    }
}

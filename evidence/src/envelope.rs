//! Wraps: CMS AuthEnvelopedData (RFC 5083), AES-256-GCM, to P-384 recipients (ephemeral-static ECDH, sha384kdf, aes256-wrap; RFC 5753), and
//! the key packages in them, whose content names log, stream and epoch.

use exhibit_pki::{Certificate, SoftwareSigner};
use exhibit_tlog::Hash;
use zeroize::Zeroizing;

use crate::{StreamName, keytree::Node};

/// An envelope has at most this many recipients.
pub const RECIPIENTS_MAX: usize = 64;

/// Draws cryptographic randomness: fills the slice.
pub type Entropy<'a> = &'a mut dyn FnMut(&mut [u8]);

/// Keys of some streams of a log, as they are wrapped: strict JSON
/// `{"type":"exhibit-keys/v1","log":hex,"streams":[{"stream":…,"nodes":[{"depth":n,"index":n,"key":hex}]}]}`.
pub struct KeyPackage {
    /// The log.
    pub log: Hash,
    /// Per stream (its name ends in the epoch), the nodes held. An epoch's own wrap has one stream with the root: depth 0, index 0.
    pub streams: Vec<StreamKeys>,
}

/// Nodes of one stream.
pub struct StreamKeys {
    /// The stream.
    pub stream: StreamName,
    /// Disjoint, in order.
    pub nodes: Vec<Node>,
}

/// Opens wraps: the private half of a wrapping certificate, wherever it is.
pub trait KeyAgreement {
    /// The raw ECDH secret (48-byte x coordinate) with an uncompressed SEC 1 point on P-384.
    fn agree(&self, peer_sec1: &[u8]) -> Result<Zeroizing<[u8; 48]>, EnvelopeError>;
}

/// Why an envelope did not open.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum EnvelopeError {
    /// Not the CMS that we write (docs/formats/envelope.md).
    #[error("not an envelope of this project: {0}")]
    Malformed(&'static str),
    /// None of its recipients is this certificate.
    #[error("the envelope is not addressed to this certificate")]
    NotARecipient,
    /// The private key could not be used.
    #[error("the private key could not be used: {0}")]
    Key(String),
    /// It does not authenticate: damaged, or another key.
    #[error("the envelope does not open: it is damaged, or the key is another")]
    Authentication,
    /// A recipient's certificate is not for wrapping.
    #[error("certificate \"{0}\" is not for wrapping keys")]
    NotForWrapping(String),
}

/// Seals `content` to the wrapping certificates `recipients` (1 to 64).
pub fn seal(content: &[u8], recipients: &[Certificate], entropy: Entropy<'_>) -> Result<Vec<u8>, EnvelopeError> {
    todo!()
}

/// Opens an envelope with the key of `certificate`.
pub fn open(envelope: &[u8], certificate: &Certificate, key: &dyn KeyAgreement) -> Result<Zeroizing<Vec<u8>>, EnvelopeError> {
    todo!()
}

/// The fingerprint-less names (issuer and serial) of the recipients say who can open it: how many.
pub fn recipient_count(envelope: &[u8]) -> Result<usize, EnvelopeError> {
    todo!()
}

impl KeyPackage {
    /// The JSON.
    pub fn to_bytes(&self) -> Zeroizing<Vec<u8>> {
        todo!()
    }
    /// Parses strictly; checks that nodes are disjoint and in order.
    pub fn parse(bytes: &[u8]) -> Result<Self, EnvelopeError> {
        todo!()
    }
}

impl KeyAgreement for SoftwareSigner {
    fn agree(&self, peer_sec1: &[u8]) -> Result<Zeroizing<[u8; 48]>, EnvelopeError> {
        SoftwareSigner::agree(self, peer_sec1).map_err(|error| EnvelopeError::Key(error.to_string()))
    }
}

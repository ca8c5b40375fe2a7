//! The signature of a statement: CMS SignedData (RFC 5652) in the one encoding of docs/formats/signed-statement.md.

use exhibit_pki::{BadSignature, Certificate, Fingerprint, Signer, SignerError, Verifier};
use exhibit_tlog::Hash;

use crate::{Statement, StatementError};

/// An entry is at most this long: a tlog-tiles bundle prefixes it with 16 bits.
pub const ENTRY_BYTES_MAX: usize = 65_535;

/// A signed statement whose form was checked, and nothing else: signer and signature are still claims.
#[derive(Clone, Debug, PartialEq)]
pub struct SignedStatement {
    // der, statement, statement_bytes (range), signer fingerprint, ski, signed_attributes DER, signature
}

/// Why bytes are not a signed statement.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SignedStatementError {
    /// More than an entry may be.
    #[error("the signed statement is longer than 65,535 bytes")]
    TooLong,
    /// Not the one encoding.
    #[error("not the CMS encoding of a signed statement: {0}")]
    Encoding(&'static str),
    /// The statement in it.
    #[error(transparent)]
    Statement(#[from] StatementError),
}

/// Why a signed statement was not accepted as its signer's.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum VerifyError {
    /// Another certificate than the one that the signature names.
    #[error("the certificate is not the one that the signature names")]
    WrongCertificate,
    /// The certificate's key is not for signing.
    #[error("the certificate is not for signing")]
    NotForSigning,
    /// The identity in the certificate does not own the stream.
    #[error("{identity} does not own stream {stream}")]
    NotOwner {
        /// Whose certificate.
        identity: String,
        /// Which stream.
        stream: String,
    },
    /// The certificate has none of the roles that may issue this type.
    #[error("the certificate has no role that may issue {0}")]
    Role(String),
    /// The signature.
    #[error(transparent)]
    Signature(#[from] BadSignature),
}

/// Holding one is the proof that the certificate's key signed the statement, and that the certificate owns the stream and has a role for the
/// type. Whether the certificate itself is to be believed (path, ledger, revocation) is judged apart.
#[derive(Clone, Debug)]
pub struct VerifiedStatement {
    // signed: SignedStatement
}

impl SignedStatement {
    /// Parses, rebuilds the template and compares it byte for byte, and parses the statement.
    pub fn parse(der: &[u8]) -> Result<Self, SignedStatementError> {
        todo!()
    }
    /// The bytes as they came: the ledger's entry.
    pub fn der(&self) -> &[u8] {
        todo!()
    }
    /// The statement.
    pub fn statement(&self) -> &Statement {
        todo!()
    }
    /// The statement's bytes as they came.
    pub fn statement_bytes(&self) -> &[u8] {
        todo!()
    }
    /// SHA-256 of the statement's bytes: what "the same statement" means.
    pub fn statement_hash(&self) -> Hash {
        todo!()
    }
    /// RFC 6962 leaf hash of the entry.
    pub fn leaf_hash(&self) -> Hash {
        todo!()
    }
    /// The signer's certificate, by ESSCertIDv2 hash.
    pub fn signer(&self) -> &Fingerprint {
        todo!()
    }
    /// Checks certificate, key identifier, purpose, ownership of the stream, role for the type, and the signature.
    pub fn verify(&self, certificate: &Certificate, verifier: &dyn Verifier) -> Result<VerifiedStatement, VerifyError> {
        todo!()
    }
}

impl VerifiedStatement {
    /// The signed statement.
    pub fn signed(&self) -> &SignedStatement {
        todo!()
    }
    /// The statement.
    pub fn statement(&self) -> &Statement {
        self.signed().statement()
    }
}

/// Signs a statement with the key of `certificate`. Panics if the entry would exceed 65,535 bytes (statements are at most 48 KiB).
pub fn sign(statement: &Statement, certificate: &Certificate, signer: &dyn Signer) -> Result<SignedStatement, SignerError> {
    todo!()
}

//! The signature of a statement: CMS SignedData (RFC 5652) in the one encoding of docs/formats/signed-statement.md.
//!
//! It does not know whether a certificate is to be believed: path, ledger and revocation are judged apart.

mod template;

use exhibit_pki::{BadSignature, Certificate, Fingerprint, KeyPurpose, Signer, SignerError, Suite, Verifier};
use exhibit_tlog::{Hash, leaf_hash};
use sha2::{Digest, Sha256};

use crate::{Statement, StatementError};
use template::Parts;

/// An entry is at most this long: a tlog-tiles bundle prefixes it with 16 bits.
pub const ENTRY_BYTES_MAX: usize = 65_535;

/// A signed statement whose form was checked, and nothing else: signer and signature are still claims.
#[derive(Clone, Debug, PartialEq)]
pub struct SignedStatement {
    der: Vec<u8>,
    statement: Statement,
    statement_bytes: Vec<u8>,
    suite: Suite,
    /// ESSCertIDv2's hash.
    signer: Fingerprint,
    key_identifier: Vec<u8>,
    /// What is signed: the DER of the SET OF attributes.
    signed_attributes: Vec<u8>,
    signature: Vec<u8>,
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
    /// Signed with a suite that there is room for and that this version does not verify: a later one may judge it.
    #[error("it is signed with {0}, which this version does not verify: try a newer one")]
    UnknownSuite(&'static str),
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
    /// The certificate's key is of another suite than the signature.
    #[error("the statement is signed with {signature}, but the certificate's key is for {certificate}")]
    WrongSuite {
        /// As the statement says.
        signature: Suite,
        /// As the key is.
        certificate: Suite,
    },
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
    signed: SignedStatement,
}

impl SignedStatement {
    /// Parses, rebuilds the template and compares it byte for byte, and parses the statement.
    pub fn parse(der: &[u8]) -> Result<Self, SignedStatementError> {
        if der.len() > ENTRY_BYTES_MAX {
            return Err(SignedStatementError::TooLong);
        }
        let found = template::read(der)?;
        let statement = Statement::parse(found.statement)?;
        let signer = found.certificate(statement.issued)?;
        // Without this, (r, n - s) would make a second entry of every signed statement.
        if !found.suite.is_canonical(found.signature) {
            return Err(SignedStatementError::Encoding(match found.suite {
                Suite::EcdsaP384Sha384 | Suite::EcdsaP256Sha256 => "the signature is not DER of 0 < r < n and 0 < s <= n/2",
                Suite::RsaPkcs1Sha384 => "the signature is not as long as an RSA key",
            }));
        }
        let parts = Parts {
            suite: found.suite,
            statement: found.statement,
            issued: statement.issued,
            key_identifier: found.key_identifier,
            certificate: signer,
        };
        if parts.content_info(found.signature) != der {
            return Err(SignedStatementError::Encoding("it differs from the one encoding of what it holds"));
        }
        Ok(Self {
            statement_bytes: found.statement.to_vec(),
            suite: found.suite,
            signer,
            key_identifier: found.key_identifier.to_vec(),
            signed_attributes: parts.signed_attributes(),
            signature: found.signature.to_vec(),
            der: der.to_vec(),
            statement,
        })
    }
    /// The bytes as they came: the ledger's entry.
    pub fn der(&self) -> &[u8] {
        &self.der
    }
    /// The statement.
    pub fn statement(&self) -> &Statement {
        &self.statement
    }
    /// The statement's bytes as they came.
    pub fn statement_bytes(&self) -> &[u8] {
        &self.statement_bytes
    }
    /// SHA-256 of the statement's bytes: what "the same statement" means.
    pub fn statement_hash(&self) -> Hash {
        Hash(Sha256::digest(self.statement_bytes()).into())
    }
    /// RFC 6962 leaf hash of the entry.
    pub fn leaf_hash(&self) -> Hash {
        leaf_hash(&self.der)
    }
    /// The suite that it says to be signed with, which `verify` finds to be that of the key.
    pub fn suite(&self) -> Suite {
        self.suite
    }
    /// The signer's certificate, by ESSCertIDv2 hash.
    pub fn signer(&self) -> &Fingerprint {
        &self.signer
    }
    /// Checks certificate, key identifier, suite, purpose, ownership of the stream, role for the type, and the signature.
    pub fn verify(&self, certificate: &Certificate, verifier: &dyn Verifier) -> Result<VerifiedStatement, VerifyError> {
        if certificate.fingerprint() != &self.signer || certificate.subject_key_identifier() != self.key_identifier {
            return Err(VerifyError::WrongCertificate);
        }
        let suite = certificate.public_key().suite();
        if suite != self.suite {
            return Err(VerifyError::WrongSuite { signature: self.suite, certificate: suite });
        }
        if certificate.purpose() != KeyPurpose::Signing {
            return Err(VerifyError::NotForSigning);
        }
        let stream = self.statement.stream.as_str();
        if !certificate.identity().is_some_and(|identity| identity.owns_stream(stream)) {
            let identity = certificate.identity().map_or_else(|| certificate.common_name().to_owned(), ToString::to_string);
            return Err(VerifyError::NotOwner { identity, stream: stream.to_owned() });
        }
        if let Some(roles) = self.statement.body.roles()
            && !roles.iter().any(|role| certificate.has_role(*role))
        {
            return Err(VerifyError::Role(self.statement.type_name().to_owned()));
        }
        verifier.verify(certificate.public_key(), &self.signed_attributes, &self.signature)?;
        Ok(VerifiedStatement { signed: self.clone() })
    }
}

impl VerifiedStatement {
    /// The signed statement.
    pub fn signed(&self) -> &SignedStatement {
        &self.signed
    }
    /// The statement.
    pub fn statement(&self) -> &Statement {
        self.signed().statement()
    }
}

/// Signs a statement with the key of `certificate`. Nothing is signed that `parse` would refuse, nor with another key than the
/// certificate's: that is an error which says why.
pub fn sign(statement: &Statement, certificate: &Certificate, signer: &dyn Signer) -> Result<SignedStatement, SignerError> {
    if signer.public_key() != certificate.public_key() {
        return Err(SignerError("the key is not that of the certificate".to_owned()));
    }
    let bytes = statement.to_bytes();
    let refuse = |reason: String| SignerError(format!("the statement is not valid: {reason}"));
    if &Statement::parse(&bytes).map_err(|error| refuse(error.to_string()))? != statement {
        return Err(refuse("it reads otherwise than it was written".to_owned()));
    }
    let parts = Parts {
        suite: signer.public_key().suite(),
        statement: &bytes,
        issued: statement.issued,
        key_identifier: certificate.subject_key_identifier(),
        certificate: *certificate.fingerprint(),
    };
    let signature = signer.sign(&parts.signed_attributes())?;
    SignedStatement::parse(&parts.content_info(&signature))
        .map_err(|error| SignerError(format!("the key gave a signature that would be refused: {error}")))
}

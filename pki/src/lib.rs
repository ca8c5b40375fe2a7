//! Certificate profiles, requests, path validation at a moment, and signatures.
//!
//! Pure: no clock, no randomness, no file, no socket; they come in as arguments.

pub mod attestation;
pub mod certificate;
pub mod crl;
pub mod distinguished;
mod extensions;
pub mod foreign;
pub mod identity;
pub mod issue;
mod links;
mod name;
pub mod ocsp;
pub mod oid;
pub mod path;
mod pem;
pub mod request;
pub mod signature;
pub mod timestamp;
pub mod timestamp_token;

pub use certificate::{Certificate, CertificateError, Fingerprint, KeyPurpose};
pub use crl::{RevocationList, RevocationListError, VerifiedRevocationList, make_revocation_list};
pub use foreign::{ChainCertificate, ChainCertificateError, ChainError, DigestAlgorithm};
pub use identity::{Identity, IdentityError, Role, Subject, TrustDomain};
pub use issue::{EndEntity, Issuance, IssueError, issue_end_entity, issue_issuing_ca, issue_root};
pub use ocsp::{OcspRequest, OcspResponder, OcspResponse, VerifiedOcspResponse};
pub use path::{Authorities, IssuedCertificate, PathError, ValidatedPath, validate_path};
pub use request::{CertificateRequest, RequestError, build_request_pem};
#[cfg(feature = "aws-lc")]
pub use signature::AwsLc;
pub use signature::{BadSignature, KeyError, PublicKey, RustCrypto, Signer, SignerError, SoftwareSigner, Suite, Verifier};
pub use timestamp::{Timestamp, TimestampError};
pub use timestamp_token::{TimestampAuthority, TimestampRequest, TimestampToken, TimestampTokenError, TimestampTrust, VerifiedTimestamp};

//! Certificate profiles, requests, path validation at a moment, and signatures.
//!
//! Pure: no clock, no randomness, no file, no socket; they come in as arguments.

pub mod certificate;
pub mod identity;
pub mod issue;
pub mod oid;
pub mod path;
pub mod request;
pub mod signature;
pub mod timestamp;

pub use certificate::{Certificate, CertificateError, Fingerprint, KeyPurpose};
pub use identity::{Identity, IdentityError, Role, Subject, TrustDomain};
pub use path::{PathError, ValidatedPath, validate_path};
pub use request::{CertificateRequest, RequestError};
pub use signature::{BadSignature, PublicKey, Signer, SignerError, SoftwareSigner, Suite, Verifier};
pub use timestamp::{Timestamp, TimestampError};

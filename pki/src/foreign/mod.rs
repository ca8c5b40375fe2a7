//! Other people's X.509: certificates of timestamping authorities and of TPM vendors, with the keys and signature algorithms that these use.
//!
//! Apart from the closed suites of statements and of our own certificates (`signature`), none of which it adds to. It only verifies, and
//! knows no clock and no revocation.

mod certificate;
mod path;
mod suite;

pub(crate) use certificate::{Body, directory_name};
pub use certificate::{ChainCertificate, ChainCertificateError};
pub use path::ChainError;
pub(crate) use path::check_path;
pub use suite::DigestAlgorithm;
pub(crate) use suite::{Key, Scheme};

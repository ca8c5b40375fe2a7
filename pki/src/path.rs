//! Path validation at a moment (RFC 5280 section 6, restricted to our profiles).

use crate::{Certificate, Fingerprint, Role, Timestamp, Verifier};

/// Holding one is the proof that a chain led from a leaf to a trusted root at a moment, with its roles along the whole chain.
#[derive(Clone, Debug)]
pub struct ValidatedPath {
    // leaf, chain, root, at
}

/// Why there is no valid path.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PathError {
    /// No chain of the given certificates leads to a trusted root.
    #[error("no path from the certificate to a trusted root")]
    NoPath,
    /// A certificate on the path is not yet or no longer valid at the moment asked.
    #[error("certificate \"{common_name}\" is not valid at {at}: its validity is {not_before} to {not_after}")]
    Validity {
        /// Whose.
        common_name: String,
        /// The moment asked.
        at: Timestamp,
        /// From.
        not_before: Timestamp,
        /// To.
        not_after: Timestamp,
    },
    /// A signature on the path does not verify.
    #[error("the signature on certificate \"{0}\" does not verify")]
    Signature(String),
    /// An issuer on the path is not a CA, or its path length is exceeded.
    #[error("certificate \"{0}\" may not issue certificates here")]
    NotAnIssuer(String),
    /// A role of the leaf is not asserted by every CA above it (the root, as trust anchor, is exempt).
    #[error("role {0} is not allowed by the issuing authority")]
    RoleNotAllowed(Role),
}

/// Validates `leaf` at `at` through `intermediates` to one of `roots` (trusted as given).
pub fn validate_path(
    leaf: &Certificate,
    intermediates: &[Certificate],
    roots: &[Certificate],
    at: Timestamp,
    verifier: &dyn Verifier,
) -> Result<ValidatedPath, PathError> {
    todo!()
}

impl ValidatedPath {
    /// The leaf.
    pub fn leaf(&self) -> &Certificate {
        todo!()
    }
    /// The fingerprint of the root that the path ended in.
    pub fn root(&self) -> &Fingerprint {
        todo!()
    }
}

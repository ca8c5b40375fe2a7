//! Path validation at a moment (RFC 5280 section 6, restricted to our profiles).
//!
//! It knows no clock (the moment comes in), no revocation and no ledger.

use crate::{Certificate, Fingerprint, KeyPurpose, PublicKey, Role, Timestamp, TrustDomain, Verifier};

/// Holding one is the proof that a chain led from a leaf to a trusted root at a moment, with its roles along the whole chain.
#[derive(Clone, Debug)]
pub struct ValidatedPath {
    /// Leaf first, root last.
    certificates: Vec<Certificate>,
    at: Timestamp,
}

/// A certificate on a path, and the authority above it, whose key was found to have signed it: for this its status is asked.
#[derive(Clone, Copy, Debug)]
pub struct IssuedCertificate<'a> {
    certificate: &'a Certificate,
    issuer: &'a Certificate,
}

/// The authority that is behind a list or a response which was verified. Whoever makes a certificate chooses its name, its key identifier and
/// its trust domain, and other authorities may have the same: the key is what they do not have.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Issuer {
    domain: TrustDomain,
    name_der: Vec<u8>,
    key_identifier: Vec<u8>,
    key: PublicKey,
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
    /// A certificate is of another trust domain than its issuer.
    #[error("certificate \"{0}\" is outside the trust domain of the authority that issued it")]
    TrustDomain(String),
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
    check_validity(leaf, at)?;
    let mut search = Search { intermediates, roots, at, verifier, signatures_left: SIGNATURES_MAX };
    let mut path = vec![leaf];
    search.extend(&mut path)?;
    Ok(ValidatedPath { certificates: path.into_iter().cloned().collect(), at })
}

impl ValidatedPath {
    /// The leaf.
    pub fn leaf(&self) -> &Certificate {
        &self.certificates[0]
    }

    /// The fingerprint of the root that the path ended in.
    pub fn root(&self) -> &Fingerprint {
        self.certificates.last().expect("a path has a leaf and a root").fingerprint()
    }

    /// The whole path: leaf first, root last.
    pub fn certificates(&self) -> &[Certificate] {
        &self.certificates
    }

    /// Each certificate below the root with the one that issued it; the leaf first.
    pub fn issued(&self) -> impl Iterator<Item = IssuedCertificate<'_>> {
        self.certificates.windows(2).map(|link| IssuedCertificate { certificate: &link[0], issuer: &link[1] })
    }

    /// The moment at which it holds.
    pub fn at(&self) -> Timestamp {
        self.at
    }
}

impl<'a> IssuedCertificate<'a> {
    /// The certificate.
    pub fn certificate(self) -> &'a Certificate {
        self.certificate
    }

    /// Whose key signed it.
    pub fn issuer(self) -> &'a Certificate {
        self.issuer
    }
}

impl Issuer {
    pub(crate) fn of(certificate: &Certificate) -> Self {
        Self {
            domain: certificate.trust_domain().clone(),
            name_der: certificate.subject_der().to_vec(),
            key_identifier: certificate.subject_key_identifier().to_vec(),
            key: certificate.public_key().clone(),
        }
    }

    /// True if the certificate was issued by this authority, with this key.
    pub(crate) fn issued(&self, certificate: IssuedCertificate<'_>) -> bool {
        let issuer = certificate.issuer;
        self.key == *issuer.public_key()
            && self.domain == *issuer.trust_domain()
            && self.name_der == issuer.subject_der()
            && self.key_identifier == issuer.subject_key_identifier()
    }
}

struct Search<'a> {
    intermediates: &'a [Certificate],
    roots: &'a [Certificate],
    at: Timestamp,
    verifier: &'a dyn Verifier,
    signatures_left: usize,
}

impl<'a> Search<'a> {
    /// Extends `path` to a root, depth first; leaves it as it was where there is none. Of several dead ends the first is reported.
    fn extend(&mut self, path: &mut Vec<&'a Certificate>) -> Result<(), PathError> {
        let subject = *path.last().expect("the path begins with the leaf");
        let mut dead_end = PathError::NoPath;
        let candidates = self.roots.iter().map(|root| (root, true)).chain(self.intermediates.iter().map(|other| (other, false)));
        for (issuer, is_root) in candidates.filter(|(issuer, _)| names(subject, issuer)) {
            let seen = path.iter().any(|earlier| earlier.fingerprint() == issuer.fingerprint());
            if (seen && !is_root) || path.len() == PATH_CERTIFICATES_MAX {
                continue;
            }
            // Certificates that all bear one name make a search of factorial size: it is cut short.
            let Some(left) = self.signatures_left.checked_sub(1) else { break };
            self.signatures_left = left;
            let mut attempt = self.check_link(subject, issuer, path.len() - 1);
            if attempt.is_ok() {
                path.push(issuer);
                // A path that lacks a role is a dead end: an authority's other certificate, of the same key, may assert more.
                attempt = if is_root { check_roles(path) } else { self.extend(path) };
                if attempt.is_ok() {
                    return Ok(());
                }
                path.pop();
            }
            if let (Err(error), PathError::NoPath) = (attempt, &dead_end) {
                dead_end = error;
            }
        }
        Err(dead_end)
    }

    /// Judges that `issuer` issued `subject` and was allowed to, with `authorities_below` of them between it and the leaf.
    fn check_link(&self, subject: &Certificate, issuer: &Certificate, authorities_below: usize) -> Result<(), PathError> {
        let within_length = issuer.path_length_max().is_none_or(|most| authorities_below <= usize::from(most));
        if issuer.purpose() != KeyPurpose::Authority || !within_length {
            return Err(PathError::NotAnIssuer(issuer.common_name().to_owned()));
        }
        self.verifier
            .verify(issuer.public_key(), subject.tbs_der(), subject.signature())
            .map_err(|_| PathError::Signature(subject.common_name().to_owned()))?;
        if subject.trust_domain() != issuer.trust_domain() {
            return Err(PathError::TrustDomain(subject.common_name().to_owned()));
        }
        check_validity(issuer, self.at)
    }
}

/// True if `subject` says that `issuer` issued it: by name and key identifier.
fn names(subject: &Certificate, issuer: &Certificate) -> bool {
    // Only a certificate that signs itself may leave out whose key signed it.
    let key = subject.authority_key_identifier().unwrap_or(subject.subject_key_identifier());
    subject.issuer_der() == issuer.subject_der() && key == issuer.subject_key_identifier()
}

/// A role counts if every authority between the leaf and the root asserts it; the root, as trust anchor, is exempt.
fn check_roles(path: &[&Certificate]) -> Result<(), PathError> {
    let authorities = &path[1..path.len() - 1];
    let missing = path[0].roles().iter().find(|role| !authorities.iter().all(|authority| authority.has_role(**role)));
    missing.map_or(Ok(()), |role| Err(PathError::RoleNotAllowed(*role)))
}

fn check_validity(certificate: &Certificate, at: Timestamp) -> Result<(), PathError> {
    if certificate.is_valid_at(at) {
        return Ok(());
    }
    Err(PathError::Validity {
        common_name: certificate.common_name().to_owned(),
        at,
        not_before: certificate.not_before(),
        not_after: certificate.not_after(),
    })
}

/// Leaf, issuing authority and root are three; a customer's hierarchy may be deeper, but not by much.
const PATH_CERTIFICATES_MAX: usize = 6;
/// How many signatures are verified in search of one path.
const SIGNATURES_MAX: usize = 32;

//! Path validation at a moment (RFC 5280 section 6, restricted to our profiles).
//!
//! It knows no clock (the moment comes in), no revocation and no ledger.

use std::collections::{HashMap, HashSet};

use crate::{Certificate, Fingerprint, KeyPurpose, PublicKey, Role, Timestamp, TrustDomain, Verifier, links::Links};

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

pub use crate::links::AUTHORITIES_MAX;

/// The roots that are believed, and the other authorities that lead to one of them by signatures: what paths are made of. Certificates that
/// nobody believed has signed are left out at once, so that there may be any number of them, in any order.
#[derive(Clone, Debug)]
pub struct Authorities {
    /// The roots first, then the others as they were found.
    certificates: Vec<Certificate>,
    links: Links,
    roots: usize,
    /// By name and key identifier: why an authority that bears them leads to no root.
    refused: HashMap<(Vec<u8>, Vec<u8>), PathError>,
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
    Authorities::new(roots, intermediates, verifier).path(leaf, at, verifier)
}

impl Authorities {
    /// Finds which of `others` the roots have certified, themselves or through one another, as far as path lengths allow; of more than
    /// [`AUTHORITIES_MAX`] the first that are found. Each is verified under each that it names and that leads to a root with room below it:
    /// with one root, a signature each.
    pub fn new<'a>(roots: &'a [Certificate], others: impl IntoIterator<Item = &'a Certificate>, verifier: &dyn Verifier) -> Self {
        let mut seen: HashSet<&Fingerprint> = roots.iter().map(Certificate::fingerprint).collect();
        let mut certificates: Vec<&Certificate> = roots.iter().collect();
        certificates.extend(others.into_iter().filter(|other| seen.insert(other.fingerprint())));
        let mut refused = HashMap::new();
        let below_max = |place: usize| certificates[place].path_length_max().map_or(usize::MAX, usize::from);
        let (links, places) = Links::find(roots.len(), certificates.len() - roots.len(), below_max, |subject, issuer, may_certify| {
            let (subject, issuer) = (certificates[subject], certificates[issuer]);
            if !names(subject, issuer) {
                return false;
            }
            let has_room = if may_certify { Ok(()) } else { Err(PathError::NotAnIssuer(issuer.common_name().to_owned())) };
            let judged = check_authority(subject)
                .and_then(|()| check_authority(issuer))
                .and(has_room)
                .and_then(|()| check_link(subject, issuer, verifier));
            if let Err(error) = &judged {
                let name = (subject.subject_der().to_vec(), subject.subject_key_identifier().to_vec());
                refused.entry(name).or_insert_with(|| error.clone());
            }
            judged.is_ok()
        });
        let certificates = places.into_iter().map(|place| certificates[place].clone()).collect();
        Self { certificates, links, roots: roots.len(), refused }
    }

    /// Those that are no roots, as they were found.
    pub fn others(&self) -> &[Certificate] {
        &self.certificates[self.roots..]
    }

    /// Validates `leaf` at `at`: the shortest path to a root that holds then, of several the first.
    pub fn path(&self, leaf: &Certificate, at: Timestamp, verifier: &dyn Verifier) -> Result<ValidatedPath, PathError> {
        check_validity(leaf, at)?;
        let may = |authority: usize, below: usize| {
            let (issuer, is_root) = (&self.certificates[authority], authority < self.roots);
            check_authority(issuer)?;
            if issuer.path_length_max().is_some_and(|most| below > usize::from(most)) {
                return Err(PathError::NotAnIssuer(issuer.common_name().to_owned()));
            }
            check_validity(issuer, at)?;
            // A role counts if every authority between the leaf and the root asserts it; the root, as trust anchor, is exempt.
            if let Some(role) = leaf.roles().iter().find(|role| !is_root && !issuer.has_role(**role)) {
                return Err(PathError::RoleNotAllowed(*role));
            }
            // Last, since it alone costs time. Who stands higher was found to have signed the one below.
            if below == 0 { check_link(leaf, issuer, verifier) } else { Ok(()) }
        };
        let named: Vec<usize> = (0..self.certificates.len()).filter(|authority| names(leaf, &self.certificates[*authority])).collect();
        let unbelieved = self.refused.get(&(leaf.issuer_der().to_vec(), named_key(leaf).to_vec()));
        let way = self.links.path(&named, may, unbelieved.cloned().unwrap_or(PathError::NoPath))?;
        let certificates = std::iter::once(leaf).chain(way.into_iter().map(|authority| &self.certificates[authority]));
        Ok(ValidatedPath { certificates: certificates.cloned().collect(), at })
    }
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

/// True if `subject` says that `issuer` issued it: by name and key identifier.
fn names(subject: &Certificate, issuer: &Certificate) -> bool {
    subject.issuer_der() == issuer.subject_der() && named_key(subject) == issuer.subject_key_identifier()
}

/// Only a certificate that signs itself may leave out whose key signed it.
fn named_key(subject: &Certificate) -> &[u8] {
    subject.authority_key_identifier().unwrap_or(subject.subject_key_identifier())
}

fn check_authority(certificate: &Certificate) -> Result<(), PathError> {
    let is_authority = certificate.purpose() == KeyPurpose::Authority;
    if is_authority { Ok(()) } else { Err(PathError::NotAnIssuer(certificate.common_name().to_owned())) }
}

/// Judges that `issuer` issued `subject`, at whatever moment: what costs nothing is asked first.
fn check_link(subject: &Certificate, issuer: &Certificate, verifier: &dyn Verifier) -> Result<(), PathError> {
    if subject.trust_domain() != issuer.trust_domain() {
        return Err(PathError::TrustDomain(subject.common_name().to_owned()));
    }
    let judged = verifier.verify(issuer.public_key(), subject.tbs_der(), subject.signature());
    judged.map_err(|_| PathError::Signature(subject.common_name().to_owned()))
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

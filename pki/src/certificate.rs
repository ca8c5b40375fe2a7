//! X.509 certificates of our profiles, parsed strictly. A value of this type has been checked against its profile, not against a chain.
//!
//! It knows no clock and no other certificate: whether this one is to be believed is asked of `path`.

use std::ops::Range;

use const_oid::db::rfc5912::ECDSA_WITH_SHA_384;
use der::{Decode, Encode};
use sha2::{Digest, Sha256};
use x509_cert::certificate::Version;

use crate::{
    Identity, PublicKey, Role, Subject, Suite, Timestamp, TrustDomain,
    distinguished::is_der,
    extensions::{Extensions, Holder},
    name, pem,
};

/// SHA-256 of a certificate's DER: its ESSCertIDv2 hash, and how statements name it.
pub type Fingerprint = [u8; 32];

/// What the key of a certificate is for. Signing and wrapping are separate certificates for people.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum KeyPurpose {
    /// Signs certificates and CRLs.
    Authority,
    /// Signs statements and TLS handshakes (digitalSignature).
    Signing,
    /// Receives wrapped keys (keyAgreement, or keyEncipherment with RSA).
    Wrapping,
    /// Signs timestamp tokens and nothing else (extendedKeyUsage timeStamping).
    Timestamping,
    /// Signs OCSP responses about its issuer's certificates and nothing else (extendedKeyUsage OCSPSigning).
    OcspSigning,
}

impl std::fmt::Display for KeyPurpose {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.pad(match self {
            Self::Authority => "authority",
            Self::Signing => "signing",
            Self::Wrapping => "wrapping",
            Self::Timestamping => "timestamping",
            Self::OcspSigning => "OCSP signing",
        })
    }
}

/// A certificate whose form is one of our profiles (docs/formats/certificates.md).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Certificate {
    der: Vec<u8>,
    tbs: Range<usize>,
    fingerprint: Fingerprint,
    signature: Vec<u8>,
    serial: Vec<u8>,
    issuer_der: Vec<u8>,
    subject_der: Vec<u8>,
    common_name: String,
    not_before: Timestamp,
    not_after: Timestamp,
    public_key: PublicKey,
    purpose: KeyPurpose,
    path_length_max: Option<u8>,
    subject_key_identifier: Vec<u8>,
    authority_key_identifier: Option<Vec<u8>>,
    domain: TrustDomain,
    identity: Option<Identity>,
    server_names: Vec<String>,
    roles: Vec<Role>,
}

/// Why bytes are not a certificate of ours.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CertificateError {
    /// Not DER, or more than a certificate.
    #[error("not a DER certificate")]
    Malformed,
    /// Well-formed but outside the profiles.
    #[error("not a certificate of our profiles: {0}")]
    Profile(&'static str),
}

impl Certificate {
    /// Parses and checks the profile: version 3, a key of a suite that its holder may have, key usage one of the four, subjectKeyIdentifier present,
    /// basicConstraints consistent, no unknown critical extension; end entities have exactly one SPIFFE URI in the SAN (DNS names and IP
    /// addresses may stand beside it) and at least one role; authorities have the SPIFFE URI of their trust domain.
    pub fn from_der(der: &[u8]) -> Result<Self, CertificateError> {
        use CertificateError::{Malformed, Profile};
        if der.len() > CERTIFICATE_BYTES_MAX {
            return Err(Malformed);
        }
        let certificate = x509_cert::Certificate::from_der(der).ok().filter(|_| is_der(der)).ok_or(Malformed)?;
        let tbs = certificate.tbs_certificate();
        let tbs_range = canonical_tbs(&certificate, der).ok_or(Malformed)?;
        if tbs.version() != Version::V3 || tbs.issuer_unique_id().is_some() || tbs.subject_unique_id().is_some() {
            return Err(Profile("it is not version 3 without unique identifiers"));
        }
        let algorithm = certificate.signature_algorithm();
        if algorithm != tbs.signature() || algorithm.oid != ECDSA_WITH_SHA_384 || algorithm.parameters.is_some() {
            return Err(Profile("it is not signed with ECDSA and SHA-384"));
        }
        let serial = tbs.serial_number().as_bytes();
        if !is_serial(serial) {
            return Err(Profile("its serial number is not positive, or longer than 20 bytes"));
        }
        let moment = |time: x509_cert::time::Time| Timestamp::from_date_time(time.to_date_time());
        let (not_before, not_after) = (moment(tbs.validity().not_before), moment(tbs.validity().not_after));
        if not_before > not_after {
            return Err(Profile("its validity ends before it begins"));
        }
        let extensions = Extensions::parse(tbs.extensions().map_or(&[], Vec::as_slice))?;
        let (issuer_der, subject_der) = (encode(tbs.issuer())?, encode(tbs.subject())?);
        if extensions.authority_key_identifier.is_none() && issuer_der != subject_der {
            return Err(Profile("it has no authority key identifier"));
        }
        let (domain, identity) = match extensions.holder {
            Holder::Authority(domain) => (domain, None),
            Holder::EndEntity(identity) => (identity.domain.clone(), Some(identity)),
        };
        if ![tbs.issuer(), tbs.subject()].into_iter().all(name::is_well_formed) {
            return Err(Profile("a part of a name in it is empty"));
        }
        let public_key = PublicKey::from_spki_der(&encode(tbs.subject_public_key_info())?).map_err(|error| Profile(error.0))?;
        let holder = identity.as_ref().map(|identity| &identity.subject);
        check_suite(public_key.suite(), holder)?;
        if extensions.purpose == KeyPurpose::Wrapping && extensions.encipherment != (public_key.suite() == Suite::RsaPkcs1Sha384) {
            return Err(Profile("its key usage is not that of its kind of key: key encipherment of RSA, key agreement of the others"));
        }
        Ok(Self {
            tbs: tbs_range,
            fingerprint: Sha256::digest(der).into(),
            signature: certificate.signature().as_bytes().ok_or(Malformed)?.to_vec(),
            serial: serial.to_vec(),
            issuer_der,
            subject_der,
            common_name: name::common_name(tbs.subject()).ok_or(Profile("it does not have exactly one printable common name"))?,
            not_before,
            not_after,
            public_key,
            purpose: extensions.purpose,
            path_length_max: extensions.path_length_max,
            subject_key_identifier: extensions.subject_key_identifier,
            authority_key_identifier: extensions.authority_key_identifier,
            domain,
            identity,
            server_names: extensions.server_names,
            roles: extensions.roles,
            der: der.to_vec(),
        })
    }

    /// From PEM: one `CERTIFICATE` block.
    pub fn from_pem(pem: &str) -> Result<Self, CertificateError> {
        Self::from_der(&pem::decode_one(pem, PEM_LABEL).ok_or(CertificateError::Malformed)?)
    }

    /// All certificates of a PEM file, in order: at least one, at most 64.
    pub fn all_from_pem(pem: &str) -> Result<Vec<Self>, CertificateError> {
        let blocks = pem::decode_all(pem, PEM_LABEL, PEM_CERTIFICATES_MAX).filter(|blocks| !blocks.is_empty());
        blocks.ok_or(CertificateError::Malformed)?.iter().map(|der| Self::from_der(der)).collect()
    }

    /// The bytes as they came.
    pub fn der(&self) -> &[u8] {
        &self.der
    }

    /// PEM with LF line ends.
    pub fn to_pem(&self) -> String {
        pem::encode(PEM_LABEL, &self.der)
    }

    /// SHA-256 of the DER.
    pub fn fingerprint(&self) -> &Fingerprint {
        &self.fingerprint
    }

    /// The subjectKeyIdentifier.
    pub fn subject_key_identifier(&self) -> &[u8] {
        &self.subject_key_identifier
    }

    /// The key identifier in the authorityKeyIdentifier; `None` in certificates that sign themselves.
    pub fn authority_key_identifier(&self) -> Option<&[u8]> {
        self.authority_key_identifier.as_deref()
    }

    /// The DER of the issuer's Name: with the serial number, how CMS recipients name it.
    pub fn issuer_der(&self) -> &[u8] {
        &self.issuer_der
    }

    /// The DER of the subject's Name.
    pub fn subject_der(&self) -> &[u8] {
        &self.subject_der
    }

    /// The serial number's content octets.
    pub fn serial(&self) -> &[u8] {
        &self.serial
    }

    /// The subject's common name, for people to read.
    pub fn common_name(&self) -> &str {
        &self.common_name
    }

    /// The SPIFFE identity; `None` for CA certificates.
    pub fn identity(&self) -> Option<&Identity> {
        self.identity.as_ref()
    }

    /// The trust domain: of the identity, or that for which a CA issues.
    pub fn trust_domain(&self) -> &TrustDomain {
        &self.domain
    }

    /// DNS names and IP addresses, as text, that TLS clients may reach it by.
    pub fn server_names(&self) -> &[String] {
        &self.server_names
    }

    /// The roles that this certificate asserts.
    pub fn roles(&self) -> &[Role] {
        &self.roles
    }

    /// True if `role` is asserted.
    pub fn has_role(&self, role: Role) -> bool {
        self.roles().contains(&role)
    }

    /// What the key is for.
    pub fn purpose(&self) -> KeyPurpose {
        self.purpose
    }

    /// How many authorities may stand between this one and an end entity; `None` if it is not limited, or not an authority.
    pub fn path_length_max(&self) -> Option<u8> {
        self.path_length_max
    }

    /// The key.
    pub fn public_key(&self) -> &PublicKey {
        &self.public_key
    }

    /// First moment of validity.
    pub fn not_before(&self) -> Timestamp {
        self.not_before
    }

    /// Last second of validity.
    pub fn not_after(&self) -> Timestamp {
        self.not_after
    }

    /// True at each moment from `not_before` to the end of the second `not_after`, which is how others compare times of whole seconds.
    pub fn is_valid_at(&self, at: Timestamp) -> bool {
        (self.not_before.unix_s()..=self.not_after.unix_s()).contains(&at.unix_s())
    }

    /// The signed part's DER.
    pub fn tbs_der(&self) -> &[u8] {
        &self.der[self.tbs.clone()]
    }

    /// The issuer's signature over `tbs_der` (DER ECDSA-Sig-Value).
    pub fn signature(&self) -> &[u8] {
        &self.signature
    }
}

/// True if these content octets are a serial number of RFC 5280 section 4.1.2.2: positive, at most 20 bytes.
pub(crate) fn is_serial(octets: &[u8]) -> bool {
    let positive = octets.first().is_some_and(|first| *first < 0x80) && octets.iter().any(|byte| *byte != 0);
    positive && octets.len() <= SERIAL_BYTES_MAX
}

/// Who may have a key of which suite (docs/formats/certificates.md): P-384 is everybody's, the others are for those who have no choice.
fn check_suite(suite: Suite, holder: Option<&Subject>) -> Result<(), CertificateError> {
    use CertificateError::Profile;
    match (suite, holder) {
        (Suite::EcdsaP384Sha384, _)
        | (Suite::EcdsaP256Sha256, Some(Subject::Camera(_) | Subject::User(_)))
        | (Suite::RsaPkcs1Sha384, Some(Subject::User(_))) => Ok(()),
        (Suite::EcdsaP256Sha256, _) => Err(Profile("only cameras and people may have a key on P-256")),
        (Suite::RsaPkcs1Sha384, _) => Err(Profile("only people may have an RSA key")),
    }
}

/// Where the signed part stands, provided that `der` is the one DER encoding of `certificate`.
fn canonical_tbs(certificate: &x509_cert::Certificate, der: &[u8]) -> Option<Range<usize>> {
    if certificate.to_der().ok()? != der {
        return None;
    }
    signed_part(der, certificate.tbs_certificate(), certificate.signature_algorithm(), certificate.signature())
}

/// Where `tbs` stands in `der`, which is the encoding of a sequence of these three and nothing else.
pub(crate) fn signed_part(der: &[u8], tbs: &impl Encode, algorithm: &impl Encode, signature: &impl Encode) -> Option<Range<usize>> {
    let length = |part: der::Result<der::Length>| usize::try_from(part.ok()?).ok();
    let tbs = length(tbs.encoded_len())?;
    let after = length(algorithm.encoded_len())? + length(signature.encoded_len())?;
    let end = der.len().checked_sub(after)?;
    Some(end.checked_sub(tbs)?..end)
}

fn encode(part: &impl Encode) -> Result<Vec<u8>, CertificateError> {
    part.to_der().map_err(|_| CertificateError::Malformed)
}

const PEM_LABEL: &str = "CERTIFICATE";
/// Ours have about 600 bytes; a stranger's may carry policies and distribution points, but not megabytes.
const CERTIFICATE_BYTES_MAX: usize = 16 * 1024;
/// A file of roots or of a chain has a handful.
const PEM_CERTIFICATES_MAX: usize = 64;
/// RFC 5280 section 4.1.2.2.
const SERIAL_BYTES_MAX: usize = 20;

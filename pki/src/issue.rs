//! Issuing certificates of our profiles.
//!
//! It knows no clock and draws nothing at random: validity and serial number come in. Whom to certify is the caller's decision; what is
//! issued here always fits the profile and the authority that issues it.

use core::net::IpAddr;

use const_oid::{
    AssociatedOid,
    db::{
        rfc5912::{
            ECDSA_WITH_SHA_256, ECDSA_WITH_SHA_384, ID_KP_CLIENT_AUTH, ID_KP_OCSP_SIGNING, ID_KP_SERVER_AUTH, ID_KP_TIME_STAMPING,
            SHA_384_WITH_RSA_ENCRYPTION,
        },
        rfc6960::ID_PKIX_OCSP_NOCHECK,
    },
};
use der::{
    Any, Decode, Encode, Sequence,
    asn1::{BitString, Ia5String, Null, OctetString},
};
use sha2::{Digest, Sha256};
use x509_cert::{
    certificate::Version,
    ext::{
        Extension,
        pkix::{
            AuthorityKeyIdentifier, BasicConstraints, CertificatePolicies, ExtendedKeyUsage, KeyUsage, KeyUsages, SubjectAltName,
            SubjectKeyIdentifier, certpolicy::PolicyInformation, name::GeneralName,
        },
    },
    name::Name,
    serial_number::SerialNumber,
    spki::{AlgorithmIdentifierOwned, SubjectPublicKeyInfoOwned},
    time::{Time, Validity},
};

use crate::{
    Certificate, CertificateError, Identity, KeyPurpose, PublicKey, Role, Signer, SignerError, Suite, Timestamp, TrustDomain,
    identity::is_dns_name, name,
};

/// What goes into an end entity's certificate.
pub struct EndEntity<'a> {
    /// The SPIFFE identity; the common name is its subject (`camera/102`).
    pub identity: &'a Identity,
    /// The certified key.
    pub public_key: &'a PublicKey,
    /// Signing (with clientAuth, and serverAuth where there are server names), wrapping, or a service of an authority's.
    pub purpose: KeyPurpose,
    /// The roles: at least one, but none for timestamping and OCSP signing.
    pub roles: &'a [Role],
    /// DNS names and IP addresses (as text) that TLS clients reach it by.
    pub server_names: &'a [String],
}

/// Validity and serial number of a new certificate.
pub struct Issuance {
    /// From, rounded down to the second.
    pub not_before: Timestamp,
    /// To, rounded down to the second.
    pub not_after: Timestamp,
    /// 16 random bytes; the top bit is cleared and the value made non-zero.
    pub serial: [u8; 16],
}

/// Why a certificate was not issued.
#[derive(Debug, thiserror::Error)]
pub enum IssueError {
    /// It would not fit the profile, or its issuer may not issue it.
    #[error("such a certificate is not issued: {0}")]
    Refused(&'static str),
    /// The issuer's key.
    #[error(transparent)]
    Signer(#[from] SignerError),
}

/// A self-signed root of a trust domain. `common_name` is for people.
pub fn issue_root(common_name: &str, domain: &TrustDomain, signer: &dyn Signer, issuance: &Issuance) -> Result<Certificate, IssueError> {
    let name = authority_name(common_name)?;
    let mut extensions = ExtensionList::new(signer.public_key(), None)?;
    extensions.authority(None, domain, &[])?;
    sign(&name, &name, signer.public_key(), extensions, signer, issuance)
}

/// An issuing CA (pathLen 0) under `issuer`, of the same trust domain, which may assert `roles`.
pub fn issue_issuing_ca(
    common_name: &str,
    public_key: &PublicKey,
    roles: &[Role],
    issuer: &Certificate,
    signer: &dyn Signer,
    issuance: &Issuance,
) -> Result<Certificate, IssueError> {
    check_issuer(issuer, signer, issuer.trust_domain(), roles)?;
    if issuer.path_length_max() == Some(0) {
        return Err(IssueError::Refused("the issuer may only issue to end entities"));
    }
    let mut extensions = ExtensionList::new(public_key, Some(issuer))?;
    extensions.authority(Some(0), issuer.trust_domain(), roles)?;
    sign(&authority_name(common_name)?, &subject_name(issuer)?, public_key, extensions, signer, issuance)
}

/// An end entity's certificate under `issuer`.
pub fn issue_end_entity(
    entity: &EndEntity<'_>,
    issuer: &Certificate,
    signer: &dyn Signer,
    issuance: &Issuance,
) -> Result<Certificate, IssueError> {
    check_issuer(issuer, signer, &entity.identity.domain, entity.roles)?;
    let mut extensions = ExtensionList::new(entity.public_key, Some(issuer))?;
    extensions.end_entity(entity)?;
    let subject = name::of_identity(entity.identity).ok_or(IssueError::Refused("the identity is not well-formed"))?;
    sign(&subject, &subject_name(issuer)?, entity.public_key, extensions, signer, issuance)
}

/// A root may assert any role, as `path` exempts it; an issuing CA only those that its own certificate asserts.
fn check_issuer(issuer: &Certificate, signer: &dyn Signer, domain: &TrustDomain, roles: &[Role]) -> Result<(), IssueError> {
    let is_root = issuer.issuer_der() == issuer.subject_der();
    if issuer.purpose() != KeyPurpose::Authority {
        return Err(IssueError::Refused("the issuer is not an authority"));
    }
    if signer.public_key() != issuer.public_key() {
        return Err(IssueError::Refused("the key is not that of the issuer's certificate"));
    }
    if issuer.trust_domain() != domain {
        return Err(IssueError::Refused("the identity is outside the issuer's trust domain"));
    }
    if !is_root && !roles.iter().all(|role| issuer.has_role(*role)) {
        return Err(IssueError::Refused("the issuer may not assert that role"));
    }
    Ok(())
}

struct ExtensionList(Vec<Extension>);

impl ExtensionList {
    /// Key identifiers come first, of the key and of the issuer's.
    fn new(public_key: &PublicKey, issuer: Option<&Certificate>) -> Result<Self, IssueError> {
        let mut list = Self(Vec::new());
        list.add(false, &SubjectKeyIdentifier(OctetString::new(key_identifier(public_key)).map_err(encoding)?))?;
        if let Some(issuer) = issuer {
            let key_identifier = Some(OctetString::new(issuer.subject_key_identifier()).map_err(encoding)?);
            list.add(false, &AuthorityKeyIdentifier { key_identifier, ..Default::default() })?;
        }
        Ok(list)
    }

    fn authority(&mut self, path_len_constraint: Option<u8>, domain: &TrustDomain, roles: &[Role]) -> Result<(), IssueError> {
        self.add(true, &BasicConstraints { ca: true, path_len_constraint })?;
        self.add(true, &KeyUsage(KeyUsages::KeyCertSign | KeyUsages::CRLSign))?;
        self.add(false, &SubjectAltName(vec![uri(&domain.uri()).map_err(encoding)?]))?;
        self.policies(roles)
    }

    fn end_entity(&mut self, entity: &EndEntity<'_>) -> Result<(), IssueError> {
        self.add(true, &BasicConstraints { ca: false, path_len_constraint: None })?;
        let (usage, mut extended) = match entity.purpose {
            KeyPurpose::Signing => (KeyUsages::DigitalSignature, vec![ID_KP_CLIENT_AUTH]),
            KeyPurpose::Timestamping => (KeyUsages::DigitalSignature, vec![ID_KP_TIME_STAMPING]),
            KeyPurpose::OcspSigning => (KeyUsages::DigitalSignature, vec![ID_KP_OCSP_SIGNING]),
            KeyPurpose::Wrapping if !entity.server_names.is_empty() => {
                return Err(IssueError::Refused("only a signing certificate may name servers"));
            }
            // RFC 4055 section 1.2 and RFC 5480 section 3.
            KeyPurpose::Wrapping if entity.public_key.suite() == Suite::RsaPkcs1Sha384 => (KeyUsages::KeyEncipherment, vec![]),
            KeyPurpose::Wrapping => (KeyUsages::KeyAgreement, vec![]),
            KeyPurpose::Authority => return Err(IssueError::Refused("an authority is not an end entity")),
        };
        let mut names = vec![uri(&entity.identity.to_string()).map_err(encoding)?];
        for name in entity.server_names {
            names.push(server_name(name)?);
        }
        if names.len() > 1 {
            extended.push(ID_KP_SERVER_AUTH);
        }
        self.add(true, &KeyUsage(usage.into()))?;
        if !extended.is_empty() {
            self.add(entity.purpose == KeyPurpose::Timestamping, &ExtendedKeyUsage(extended))?;
        }
        if entity.purpose == KeyPurpose::OcspSigning {
            let extn_value = OctetString::new(Null.to_der().map_err(encoding)?).map_err(encoding)?;
            self.0.push(Extension { extn_id: ID_PKIX_OCSP_NOCHECK, critical: false, extn_value });
        }
        self.add(false, &SubjectAltName(names))?;
        self.policies(entity.roles)
    }

    fn policies(&mut self, roles: &[Role]) -> Result<(), IssueError> {
        if roles.is_empty() {
            return Ok(());
        }
        let policy = |role: &Role| PolicyInformation { policy_identifier: role.oid(), policy_qualifiers: None };
        self.add(false, &CertificatePolicies(roles.iter().map(policy).collect()))
    }

    fn add<T: AssociatedOid + Encode>(&mut self, critical: bool, extension: &T) -> Result<(), IssueError> {
        let extn_value = OctetString::new(extension.to_der().map_err(encoding)?).map_err(encoding)?;
        self.0.push(Extension { extn_id: T::OID, critical, extn_value });
        Ok(())
    }
}

/// `TBSCertificate` (RFC 5280 section 4.1) with what our profiles have. x509-cert's own can only be made by its builder, which wants the
/// key in hand.
#[derive(Sequence)]
struct TbsCertificate {
    #[asn1(context_specific = "0", tag_mode = "EXPLICIT")]
    version: Version,
    serial_number: SerialNumber,
    signature: AlgorithmIdentifierOwned,
    issuer: Name,
    validity: Validity,
    subject: Name,
    subject_public_key_info: SubjectPublicKeyInfoOwned,
    #[asn1(context_specific = "3", tag_mode = "EXPLICIT")]
    extensions: Vec<Extension>,
}

#[derive(Sequence)]
struct SignedCertificate {
    tbs_certificate: TbsCertificate,
    signature_algorithm: AlgorithmIdentifierOwned,
    signature: BitString,
}

fn sign(
    subject: &Name,
    issuer: &Name,
    public_key: &PublicKey,
    extensions: ExtensionList,
    signer: &dyn Signer,
    issuance: &Issuance,
) -> Result<Certificate, IssueError> {
    let tbs_certificate = TbsCertificate {
        version: Version::V3,
        serial_number: serial_number(issuance.serial)?,
        signature: ecdsa_with_sha384(),
        issuer: issuer.clone(),
        validity: Validity::new(time(issuance.not_before), time(issuance.not_after)),
        subject: subject.clone(),
        subject_public_key_info: SubjectPublicKeyInfoOwned::from_der(&public_key.to_spki_der()).map_err(encoding)?,
        extensions: extensions.0,
    };
    let signature = signer.sign(&tbs_certificate.to_der().map_err(encoding)?)?;
    let signature = BitString::from_bytes(&signature).map_err(encoding)?;
    let der = SignedCertificate { tbs_certificate, signature_algorithm: ecdsa_with_sha384(), signature }.to_der().map_err(encoding)?;
    // What is issued is judged by the same parser that will judge it everywhere else.
    Certificate::from_der(&der).map_err(|error| match error {
        CertificateError::Profile(reason) => IssueError::Refused(reason),
        CertificateError::Malformed => IssueError::Refused("it would not be well-formed"),
    })
}

/// Signatures of certificates name their algorithm without parameters (RFC 5758 section 3.2).
pub(crate) fn ecdsa_with_sha384() -> AlgorithmIdentifierOwned {
    signature_algorithm(Suite::EcdsaP384Sha384)
}

/// How a request names the suite that it is signed with: ECDSA without parameters (RFC 5758 section 3.2), RSA with NULL (RFC 4055 section 5).
pub(crate) fn signature_algorithm(suite: Suite) -> AlgorithmIdentifierOwned {
    match suite {
        Suite::EcdsaP384Sha384 => AlgorithmIdentifierOwned { oid: ECDSA_WITH_SHA_384, parameters: None },
        Suite::EcdsaP256Sha256 => AlgorithmIdentifierOwned { oid: ECDSA_WITH_SHA_256, parameters: None },
        Suite::RsaPkcs1Sha384 => AlgorithmIdentifierOwned { oid: SHA_384_WITH_RSA_ENCRYPTION, parameters: Some(Any::null()) },
    }
}

/// A SPIFFE URI as a name.
pub(crate) fn uri(uri: &str) -> der::Result<GeneralName> {
    Ia5String::new(uri).map(GeneralName::UniformResourceIdentifier)
}

fn server_name(name: &str) -> Result<GeneralName, IssueError> {
    match name.parse::<IpAddr>() {
        Ok(IpAddr::V4(address)) => OctetString::new(address.octets()).map(GeneralName::IpAddress).map_err(encoding),
        Ok(IpAddr::V6(address)) => OctetString::new(address.octets()).map(GeneralName::IpAddress).map_err(encoding),
        Err(_) if is_dns_name(name) => Ia5String::new(name).map(GeneralName::DnsName).map_err(encoding),
        Err(_) => Err(IssueError::Refused("a server name is neither a DNS name nor an IP address")),
    }
}

fn authority_name(common_name: &str) -> Result<Name, IssueError> {
    name::of_common_name(common_name).ok_or(IssueError::Refused("the common name is not 1 to 64 printable characters"))
}

fn subject_name(certificate: &Certificate) -> Result<Name, IssueError> {
    Name::from_der(certificate.subject_der()).map_err(encoding)
}

/// RFC 7093 section 2 method 1: the leftmost 160 bits of the SHA-256 of what the BIT STRING subjectPublicKey holds.
fn key_identifier(public_key: &PublicKey) -> Vec<u8> {
    Sha256::digest(public_key.as_bytes())[..KEY_IDENTIFIER_BYTES].to_vec()
}

fn serial_number(mut serial: [u8; 16]) -> Result<SerialNumber, IssueError> {
    serial[0] &= 0x7f;
    if serial == [0; 16] {
        serial[15] = 1;
    }
    SerialNumber::new(&serial).map_err(encoding)
}

/// UTCTime until 2049, GeneralizedTime after (RFC 5280 section 4.1.2.5).
fn time(moment: Timestamp) -> Time {
    Time::from(moment.date_time())
}

fn encoding(_: der::Error) -> IssueError {
    IssueError::Refused("it cannot be encoded")
}

const KEY_IDENTIFIER_BYTES: usize = 20;

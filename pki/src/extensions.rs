//! The extensions of our certificates: which may stand there, and what each may say. It does not know the rest of a certificate.

use core::net::IpAddr;

use const_oid::{
    AssociatedOid,
    db::{
        rfc5280::{ID_CE_INHIBIT_ANY_POLICY, ID_CE_NAME_CONSTRAINTS, ID_CE_POLICY_CONSTRAINTS, ID_CE_POLICY_MAPPINGS},
        rfc5912::{ID_KP_CLIENT_AUTH, ID_KP_OCSP_SIGNING, ID_KP_SERVER_AUTH, ID_KP_TIME_STAMPING},
        rfc6960::ID_PKIX_OCSP_NOCHECK,
    },
};
use der::{Decode, Encode, asn1::Null};
use x509_cert::ext::{
    Extension,
    pkix::{
        AuthorityKeyIdentifier, BasicConstraints, CertificatePolicies, ExtendedKeyUsage, KeyUsage, KeyUsages, SubjectAltName,
        SubjectKeyIdentifier, name::GeneralName,
    },
};

use crate::{CertificateError, Identity, KeyPurpose, Role, Subject, TrustDomain, distinguished::is_der, identity::is_dns_name};

/// What the extensions of a certificate say, each in its profile.
pub(crate) struct Extensions {
    pub subject_key_identifier: Vec<u8>,
    pub authority_key_identifier: Option<Vec<u8>>,
    pub purpose: KeyPurpose,
    /// keyEncipherment, which goes with RSA keys, and not keyAgreement, which goes with the others.
    pub encipherment: bool,
    pub path_length_max: Option<u8>,
    pub holder: Holder,
    pub server_names: Vec<String>,
    pub roles: Vec<Role>,
}

/// Whom the subject alternative name names.
pub(crate) enum Holder {
    /// A certificate authority, by its trust domain.
    Authority(TrustDomain),
    /// Anybody else.
    EndEntity(Identity),
}

/// The names in a subject alternative name, sorted by kind.
#[derive(Default)]
pub(crate) struct AlternativeNames {
    pub uris: Vec<String>,
    /// DNS names and IP addresses, as text.
    pub server_names: Vec<String>,
}

impl Extensions {
    pub(crate) fn parse(extensions: &[Extension]) -> Result<Self, CertificateError> {
        let found = Found::collect(extensions)?;
        let purpose = found.purpose()?;
        let names = found.alternative_names.unwrap_or_default();
        let [uri] = names.uris.as_slice() else {
            return Err(Profile("it does not have exactly one URI in its subject alternative name"));
        };
        let holder = match purpose {
            KeyPurpose::Authority => Holder::Authority(
                TrustDomain::parse_uri(uri).map_err(|_| Profile("an authority's URI is not that of a SPIFFE trust domain"))?,
            ),
            _ => Holder::EndEntity(Identity::parse(uri).map_err(|_| Profile("its URI is not an Exhibit identity"))?),
        };
        if purpose != KeyPurpose::Signing && !names.server_names.is_empty() {
            return Err(Profile("only a signing certificate may name servers"));
        }
        check_roles(purpose, &holder, &found.roles)?;
        check_extended_usage(purpose, found.extended_usage.as_ref(), &names.server_names)?;
        if found.unchecked != (purpose == KeyPurpose::OcspSigning) {
            return Err(Profile("that its revocation is not checked stands in the certificates of responders, and in no others"));
        }
        Ok(Self {
            subject_key_identifier: found.subject_key_identifier.ok_or(Profile("it has no subject key identifier"))?,
            authority_key_identifier: found.authority_key_identifier,
            purpose,
            encipherment: found.usage.is_some_and(|usage| usage.0 == KeyUsages::KeyEncipherment),
            path_length_max: found.constraints.and_then(|constraints| constraints.path_len_constraint),
            holder,
            server_names: names.server_names,
            roles: found.roles,
        })
    }
}

/// The extensions as they were found, each at most once.
#[derive(Default)]
struct Found {
    subject_key_identifier: Option<Vec<u8>>,
    authority_key_identifier: Option<Vec<u8>>,
    constraints: Option<BasicConstraints>,
    usage: Option<KeyUsage>,
    /// Critical, and what for.
    extended_usage: Option<(bool, ExtendedKeyUsage)>,
    alternative_names: Option<AlternativeNames>,
    roles: Vec<Role>,
    /// id-pkix-ocsp-nocheck: nobody can ask a responder about itself.
    unchecked: bool,
}

impl Found {
    fn collect(extensions: &[Extension]) -> Result<Self, CertificateError> {
        // Before they are compared each with each.
        if extensions.len() > EXTENSIONS_MAX {
            return Err(Profile("it has too many extensions"));
        }
        let mut found = Self::default();
        for (position, extension) in extensions.iter().enumerate() {
            if extensions[..position].iter().any(|earlier| earlier.extn_id == extension.extn_id) {
                return Err(Profile("it has an extension twice"));
            }
            let Extension { extn_id, critical, extn_value } = extension;
            let value = extn_value.as_bytes();
            match *extn_id {
                SubjectKeyIdentifier::OID if !critical => {
                    found.subject_key_identifier = Some(key_identifier(&decode::<SubjectKeyIdentifier>(value)?.0)?);
                }
                AuthorityKeyIdentifier::OID if !critical => {
                    let found_key = decode::<AuthorityKeyIdentifier>(value)?;
                    // They would have to be compared with the issuer's, and say no more than the key identifier.
                    if found_key.authority_cert_issuer.is_some() || found_key.authority_cert_serial_number.is_some() {
                        return Err(Profile("its authority key identifier has more than a key identifier"));
                    }
                    let identifier = found_key.key_identifier.ok_or(Profile("its authority key identifier has no key identifier"))?;
                    found.authority_key_identifier = Some(key_identifier(&identifier)?);
                }
                BasicConstraints::OID if *critical => found.constraints = Some(decode(value)?),
                KeyUsage::OID if *critical => found.usage = Some(decode(value)?),
                ExtendedKeyUsage::OID => found.extended_usage = Some((*critical, decode(value)?)),
                SubjectAltName::OID => found.alternative_names = Some(AlternativeNames::of(&decode(value)?)?),
                CertificatePolicies::OID if !critical => found.roles = roles(&decode(value)?)?,
                ID_PKIX_OCSP_NOCHECK if !critical => {
                    decode::<Null>(value)?;
                    found.unchecked = true;
                }
                SubjectKeyIdentifier::OID | AuthorityKeyIdentifier::OID | CertificatePolicies::OID | ID_PKIX_OCSP_NOCHECK => {
                    return Err(Profile("an extension is critical that must not be"));
                }
                BasicConstraints::OID | KeyUsage::OID => return Err(Profile("an extension is not critical that must be")),
                // RFC 5280 section 4.2: what is recognised must be processed, and these are not processed here.
                ID_CE_NAME_CONSTRAINTS | ID_CE_POLICY_MAPPINGS | ID_CE_POLICY_CONSTRAINTS | ID_CE_INHIBIT_ANY_POLICY => {
                    return Err(Profile("it constrains names or policies, which is not supported"));
                }
                _ if *critical => return Err(Profile("it has an unknown critical extension")),
                _ => {}
            }
        }
        Ok(found)
    }

    /// The key usage decides which profile it is; basicConstraints must say the same.
    fn purpose(&self) -> Result<KeyPurpose, CertificateError> {
        let usage = self.usage.as_ref().ok_or(Profile("it has no key usage"))?.0;
        let purpose = if usage == KeyUsages::KeyCertSign || usage == (KeyUsages::KeyCertSign | KeyUsages::CRLSign) {
            KeyPurpose::Authority
        } else if usage == KeyUsages::DigitalSignature {
            match &self.extended_usage {
                Some((_, usage)) if usage.0 == [ID_KP_TIME_STAMPING] => KeyPurpose::Timestamping,
                Some((_, usage)) if usage.0 == [ID_KP_OCSP_SIGNING] => KeyPurpose::OcspSigning,
                _ => KeyPurpose::Signing,
            }
        } else if usage == KeyUsages::KeyAgreement || usage == KeyUsages::KeyEncipherment {
            KeyPurpose::Wrapping
        } else {
            return Err(Profile("its key usage is neither issuing, nor signing, nor key agreement, nor key encipherment alone"));
        };
        match (purpose, &self.constraints) {
            (KeyPurpose::Authority, Some(constraints)) if constraints.ca => Ok(purpose),
            (KeyPurpose::Authority, _) => Err(Profile("it is to issue certificates, but its basicConstraints do not say so")),
            (_, Some(constraints)) if constraints.ca || constraints.path_len_constraint.is_some() => {
                Err(Profile("its basicConstraints are those of an authority, but its key usage is not"))
            }
            _ => Ok(purpose),
        }
    }
}

impl AlternativeNames {
    pub(crate) fn of(names: &SubjectAltName) -> Result<Self, CertificateError> {
        let mut found = Self::default();
        for name in &names.0 {
            match name {
                GeneralName::UniformResourceIdentifier(uri) => found.uris.push(uri.as_str().to_owned()),
                GeneralName::DnsName(name) if is_dns_name(name.as_str()) => found.server_names.push(name.as_str().to_owned()),
                GeneralName::IpAddress(octets) => {
                    let address = <[u8; 4]>::try_from(octets.as_bytes()).map(IpAddr::from);
                    let address = address.or_else(|_| <[u8; 16]>::try_from(octets.as_bytes()).map(IpAddr::from));
                    found.server_names.push(address.map_err(|_| Profile("an IP address has neither 4 nor 16 bytes"))?.to_string());
                }
                _ => return Err(Profile("its subject alternative name has more than URIs, DNS names and IP addresses")),
            }
        }
        Ok(found)
    }
}

/// Who signs for an authority, be it times or statuses, has no role: nothing else that the key signs counts.
fn check_roles(purpose: KeyPurpose, holder: &Holder, roles: &[Role]) -> Result<(), CertificateError> {
    let of_authority = matches!(holder, Holder::EndEntity(Identity { subject: Subject::Authority(_), .. }));
    match purpose {
        KeyPurpose::Authority => Ok(()),
        KeyPurpose::Signing | KeyPurpose::Wrapping if roles.is_empty() => Err(Profile("it has no role")),
        KeyPurpose::Signing | KeyPurpose::Wrapping => Ok(()),
        KeyPurpose::Timestamping | KeyPurpose::OcspSigning if !roles.is_empty() => {
            Err(Profile("it has a role, and its key only serves an authority"))
        }
        KeyPurpose::Timestamping | KeyPurpose::OcspSigning if !of_authority => {
            Err(Profile("it is of an authority's service, and its identity is not of an authority"))
        }
        KeyPurpose::Timestamping | KeyPurpose::OcspSigning => Ok(()),
    }
}

fn check_extended_usage(
    purpose: KeyPurpose,
    usage: Option<&(bool, ExtendedKeyUsage)>,
    server_names: &[String],
) -> Result<(), CertificateError> {
    let expected: &[_] = match purpose {
        KeyPurpose::Timestamping => &[ID_KP_TIME_STAMPING],
        KeyPurpose::OcspSigning => &[ID_KP_OCSP_SIGNING],
        KeyPurpose::Authority | KeyPurpose::Wrapping => &[],
        KeyPurpose::Signing if server_names.is_empty() => &[ID_KP_CLIENT_AUTH],
        KeyPurpose::Signing => &[ID_KP_CLIENT_AUTH, ID_KP_SERVER_AUTH],
    };
    // RFC 3161 section 2.3.
    if purpose == KeyPurpose::Timestamping && usage.is_some_and(|(critical, _)| !critical) {
        return Err(Profile("an extension is not critical that must be"));
    }
    let found = usage.map_or(&[][..], |(_, usage)| &usage.0);
    let same = found.len() == expected.len() && expected.iter().all(|usage| found.contains(usage));
    if same { Ok(()) } else { Err(Profile("its extended key usage is not that of its purpose")) }
}

fn roles(policies: &CertificatePolicies) -> Result<Vec<Role>, CertificateError> {
    // Before they are compared each with each.
    if policies.0.len() > POLICIES_MAX {
        return Err(Profile("it has too many policies"));
    }
    let mut roles = Vec::new();
    for (position, policy) in policies.0.iter().enumerate() {
        if policies.0[..position].iter().any(|earlier| earlier.policy_identifier == policy.policy_identifier) {
            return Err(Profile("it has a policy twice"));
        }
        // A policy that is not a role, anyPolicy among them, gives no role.
        roles.extend(Role::from_oid(policy.policy_identifier));
    }
    Ok(roles)
}

fn key_identifier(identifier: &der::asn1::OctetString) -> Result<Vec<u8>, CertificateError> {
    let bytes = identifier.as_bytes();
    let fits = (1..=KEY_IDENTIFIER_BYTES_MAX).contains(&bytes.len());
    if fits { Ok(bytes.to_vec()) } else { Err(Profile("a key identifier is empty or too long")) }
}

/// The value of an extension, which is the one DER encoding of what it says: no default is written, and no unused bit is set.
fn decode<'a, T: Decode<'a> + Encode>(value: &'a [u8]) -> Result<T, CertificateError> {
    let decoded = T::from_der(value).map_err(|_| CertificateError::Malformed)?;
    let is_one_form = is_der(value) && decoded.to_der().is_ok_and(|der| der == value);
    if is_one_form { Ok(decoded) } else { Err(CertificateError::Malformed) }
}

use CertificateError::Profile;

/// Longer than any digest that makes key identifiers (RFC 7093).
const KEY_IDENTIFIER_BYTES_MAX: usize = 64;
/// RFC 5280 has 17, and strangers add a few of their own.
const EXTENSIONS_MAX: usize = 32;
/// There are seven roles, and strangers have policies of their own.
const POLICIES_MAX: usize = 32;

//! What a vendor says of a TPM: endorsement certificates and their chains to pinned roots (TCG EK Credential Profile for TPM 2.0).
//!
//! It has no list of vendors: which roots are believed, and which models, is for the caller to say. It knows no revocation.

use const_oid::ObjectIdentifier;
use der::{Any, Decode, Tag, Tagged};
use x509_cert::{ext::pkix::KeyUsages, name::Name};

use super::endorsement::{CertificateKey, EndorsementCertificate};
use crate::{
    ChainCertificate, ChainError, Fingerprint, Timestamp,
    distinguished::is_der_but_for_order,
    foreign::{Body, check_path, directory_name},
    name,
};

/// Whose word about TPMs is believed.
#[derive(Clone, Copy, Debug)]
pub struct VendorTrust<'a> {
    /// Vendors' roots, pinned.
    pub roots: &'a [ChainCertificate],
    /// Vendors' certificates that may stand between a root and an endorsement certificate.
    pub certificates: &'a [ChainCertificate],
}

/// Holding one is the proof that a vendor that is believed certified the endorsement key, and what it says of the TPM.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VerifiedEndorsement {
    device: Device,
    root: Fingerprint,
}

/// Why an endorsement certificate is not believed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum EndorsementChainError {
    /// It is not as RFC 5280 and the TCG's profile have it.
    #[error("not an endorsement certificate of the profile: {0}")]
    Profile(&'static str),
    /// No vendor that is believed certified it.
    #[error("the endorsement certificate is of no vendor that is believed: {0}")]
    Path(#[from] ChainError),
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Device {
    manufacturer: [u8; 4],
    model: String,
    firmware: u32,
}

impl EndorsementCertificate {
    /// Judges that the certificate is one of the profile, and led to one of the pinned roots at `at`.
    pub fn verify(&self, trust: &VendorTrust<'_>, at: Timestamp) -> Result<VerifiedEndorsement, EndorsementChainError> {
        let body = Body::from_der(self.der()).map_err(Profile)?;
        check_profile(&body, self.key())?;
        let device = device(&body)?;
        let others: Vec<&ChainCertificate> = trust.certificates.iter().collect();
        let root = check_path(&body, TCG_KP_EK_CERTIFICATE, &others, trust.roots, at)?;
        Ok(VerifiedEndorsement { device, root: *root.fingerprint() })
    }
}

impl VerifiedEndorsement {
    /// The TPM's manufacturer, as the TCG's registry of vendors has it: four bytes, mostly ASCII padded with zeros (`IFX\0`).
    pub fn manufacturer(&self) -> [u8; 4] {
        self.device.manufacturer
    }

    /// The vendor's name for the model: 1 to 64 printable characters.
    pub fn model(&self) -> &str {
        &self.device.model
    }

    /// The firmware version, in its vendor's own numbering.
    pub fn firmware(&self) -> u32 {
        self.device.firmware
    }

    /// The pinned root that the path ended in.
    pub fn root(&self) -> &Fingerprint {
        &self.root
    }
}

fn check_profile(body: &Body, key: &CertificateKey) -> Result<(), EndorsementChainError> {
    let extensions = &body.extensions;
    match &extensions.constraints {
        Some(constraints) if !constraints.ca && constraints.path_len_constraint.is_none() => {}
        _ => return Err(Profile("its basicConstraints do not say that it is no authority")),
    }
    let usage = match key {
        CertificateKey::Rsa { .. } => KeyUsages::KeyEncipherment,
        CertificateKey::Ecc { .. } => KeyUsages::KeyAgreement,
    };
    if extensions.usage.is_none_or(|found| found.0 != usage) {
        return Err(Profile("its key usage is not that of a key that only opens what is wrapped to it"));
    }
    if !extensions.extended_usage.as_ref().is_some_and(|(_, usage)| usage.0.contains(&TCG_KP_EK_CERTIFICATE)) {
        return Err(Profile("its extended key usage is not that of an endorsement certificate"));
    }
    let critical = extensions.alternative_names.as_ref().is_some_and(|(critical, _)| *critical);
    if body.subject == EMPTY_NAME && !critical {
        // RFC 5280 section 4.1.2.6.
        return Err(Profile("it has no subject, and its subject alternative name is not critical"));
    }
    Ok(())
}

/// The one directory name in the subject alternative name that describes a TPM; names of other kinds may stand beside it.
fn device(body: &Body) -> Result<Device, EndorsementChainError> {
    let (_, names) = body.extensions.alternative_names.as_ref().ok_or(Profile("it has no subject alternative name"))?;
    const MALFORMED: EndorsementChainError = Profile("its subject alternative name is malformed");
    let names = Vec::<Any>::from_der(names).ok().filter(|_| is_der_but_for_order(names)).ok_or(MALFORMED)?;
    let mut directory = names.iter().filter_map(directory_name);
    let (Some(name), None) = (directory.next(), directory.next()) else {
        return Err(Profile("it does not have exactly one directory name in its subject alternative name"));
    };
    let name = &Name::from_der(name).ok().filter(name::is_well_formed).ok_or(MALFORMED)?;
    let manufacturer = attribute(name, TPM_MANUFACTURER).and_then(|text| hexadecimal(text, 8..=8));
    let model = attribute(name, TPM_MODEL).filter(|model| {
        let characters = model.chars().count();
        (1..=MODEL_CHARACTERS_MAX).contains(&characters) && !model.chars().any(char::is_control)
    });
    Ok(Device {
        manufacturer: manufacturer.ok_or(Profile("it does not say the TPM's manufacturer once, as id: and 8 digits"))?.to_be_bytes(),
        model: model.ok_or(Profile("it does not say the TPM's model once, in 1 to 64 printable characters"))?.to_owned(),
        firmware: attribute(name, TPM_VERSION)
            .and_then(|text| hexadecimal(text, 1..=8))
            .ok_or(Profile("it does not say the TPM's version once, as id: and 1 to 8 digits"))?,
    })
}

/// The one value of an attribute, if it is UTF8String or PrintableString.
fn attribute(name: &Name, kind: ObjectIdentifier) -> Option<&str> {
    let mut values = name.iter().filter(|attribute| attribute.oid == kind).map(|attribute| &attribute.value);
    let (Some(value), None) = (values.next(), values.next()) else { return None };
    let text = matches!(value.tag(), Tag::Utf8String | Tag::PrintableString);
    std::str::from_utf8(value.value()).ok().filter(|_| text)
}

/// `id:` and hexadecimal digits, of which vendors write either case.
fn hexadecimal(text: &str, digits: std::ops::RangeInclusive<usize>) -> Option<u32> {
    let text = text.strip_prefix("id:")?;
    let fits = digits.contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_hexdigit());
    fits.then(|| u32::from_str_radix(text, 16).ok())?
}

use EndorsementChainError::Profile;

/// tcg-kp-EKCertificate.
const TCG_KP_EK_CERTIFICATE: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.23.133.8.1");
/// tcg-at-tpmManufacturer, -tpmModel and -tpmVersion.
const TPM_MANUFACTURER: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.23.133.2.1");
const TPM_MODEL: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.23.133.2.2");
const TPM_VERSION: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.23.133.2.3");
/// DER of a name without a part.
const EMPTY_NAME: &[u8] = &[0x30, 0];
/// As for common names; vendors' models have about ten.
const MODEL_CHARACTERS_MAX: usize = 64;

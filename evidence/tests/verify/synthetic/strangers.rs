//! Cameras whose certificates are not what they should be.

use exhibit_pki::issue::{EndEntity, Issuance, issue_end_entity, issue_issuing_ca, issue_root};
use exhibit_pki::{Certificate, KeyPurpose, Role, Signer, SoftwareSigner, Timestamp};

use crate::common::{NOT_AFTER, Party, Pki, time};

/// Camera 102 with a certificate that is valid up to a moment alone.
pub fn short_lived_camera(pki: &Pki, expires_ms: u64) -> Party {
    let key = crate::common::key(13);
    let identity = exhibit_pki::Identity::parse("spiffe://city.example/camera/102").unwrap();
    let entity = EndEntity {
        identity: &identity,
        public_key: key.public_key(),
        purpose: KeyPurpose::Signing,
        roles: &[Role::Camera],
        server_names: &[],
    };
    let issuance = Issuance { not_after: Timestamp::from_unix_ms(expires_ms).unwrap(), ..foreign_issuance(44) };
    let certificate = issue_end_entity(&entity, &pki.issuing, &crate::common::key(2), &issuance).unwrap();
    Party { certificate, key }
}

/// Camera 102 as another authority would certify it: same names, other root.
pub fn foreign_camera() -> Party {
    let (_, issuing, issuing_key) = foreign_authority();
    let camera_key = crate::common::key(13);
    let identity = exhibit_pki::Identity::parse("spiffe://city.example/camera/102").unwrap();
    let entity = EndEntity {
        identity: &identity,
        public_key: camera_key.public_key(),
        purpose: KeyPurpose::Signing,
        roles: &[Role::Camera],
        server_names: &[],
    };
    let certificate = issue_end_entity(&entity, &issuing, &issuing_key, &foreign_issuance(43)).unwrap();
    Party { certificate, key: camera_key }
}

/// The root that certified that camera, which has the name of the true one.
pub fn foreign_root() -> Certificate {
    foreign_authority().0
}

fn foreign_authority() -> (Certificate, Certificate, SoftwareSigner) {
    let (root_key, issuing_key) = (crate::common::key(41), crate::common::key(42));
    let domain = exhibit_pki::TrustDomain::parse("city.example").unwrap();
    let root = issue_root("City Root", &domain, &root_key, &foreign_issuance(41)).unwrap();
    let issuing =
        issue_issuing_ca("City Issuing", issuing_key.public_key(), &[Role::Camera], &root, &root_key, &foreign_issuance(42)).unwrap();
    (root, issuing, issuing_key)
}

fn foreign_issuance(serial: u8) -> Issuance {
    Issuance { not_before: time(crate::common::NOT_BEFORE), not_after: time(NOT_AFTER), serial: [serial; 16] }
}

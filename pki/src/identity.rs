//! Who somebody is: SPIFFE URIs in the subject alternative name, and roles as certificate policies.
//!
//! It does not know certificates, and decides nothing about who may have which role beyond what kind of party it is for.

use const_oid::ObjectIdentifier;

use crate::oid;

/// A SPIFFE trust domain, such as `city.example`.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct TrustDomain(String);

/// What kind of party an identity names, with its id (`[a-z0-9-]`, 1 to 64 characters).
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Subject {
    /// `/camera/<id>`
    Camera(String),
    /// `/user/<id>`
    User(String),
    /// `/appliance/<id>`
    Appliance(String),
    /// `/authority/<id>`
    Authority(String),
}

/// A SPIFFE ID of this project: `spiffe://<domain>/<kind>/<id>`.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Identity {
    /// The trust domain.
    pub domain: TrustDomain,
    /// Who in it.
    pub subject: Subject,
}

/// What a certificate allows its subject to do; a non-critical certificate policy, asserted along the whole chain.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Role {
    /// A camera.
    Camera,
    /// Owns evidence keys: sets recipients, grants, revokes.
    Custodian,
    /// Finds, requests, decrypts and exports.
    Investigator,
    /// Follows the whole log.
    Auditor,
    /// Runs the appliance.
    Admin,
    /// An appliance.
    Appliance,
    /// A certificate authority's own statement signer.
    Authority,
}

/// Why a name is not one of ours.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not an Exhibit identity: {0}")]
pub struct IdentityError(pub &'static str);

impl Identity {
    /// Parses `spiffe://<domain>/<kind>/<id>` strictly.
    pub fn parse(uri: &str) -> Result<Self, IdentityError> {
        let rest = uri.strip_prefix(SCHEME).ok_or(IdentityError("it does not begin with spiffe://"))?;
        let (domain, subject) = rest.split_once('/').ok_or(IdentityError("it has no path"))?;
        Ok(Self { domain: TrustDomain::parse(domain)?, subject: Subject::parse(subject)? })
    }

    /// True if this identity may write the stream: the name begins with `<kind>/<id>/`.
    pub fn owns_stream(&self, stream: &str) -> bool {
        let rest = stream.strip_prefix(self.subject.kind()).and_then(|rest| rest.strip_prefix('/'));
        let rest = rest.and_then(|rest| rest.strip_prefix(self.subject.id())).and_then(|rest| rest.strip_prefix('/'));
        rest.is_some_and(|rest| !rest.is_empty())
    }
}

impl std::fmt::Display for Identity {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{SCHEME}{}/{}", self.domain.as_str(), self.subject)
    }
}

impl std::str::FromStr for Identity {
    type Err = IdentityError;

    fn from_str(uri: &str) -> Result<Self, IdentityError> {
        Self::parse(uri)
    }
}

impl Subject {
    /// Parses `camera/102`.
    pub fn parse(text: &str) -> Result<Self, IdentityError> {
        let (kind, id) = text.split_once('/').ok_or(IdentityError("its path is not <kind>/<id>"))?;
        let known = |byte: u8| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'-');
        if id.is_empty() || id.len() > ID_BYTES_MAX || !id.bytes().all(known) {
            return Err(IdentityError("its id is not 1 to 64 of the characters a-z, 0-9 and -"));
        }
        match kind {
            "camera" => Ok(Self::Camera(id.to_owned())),
            "user" => Ok(Self::User(id.to_owned())),
            "appliance" => Ok(Self::Appliance(id.to_owned())),
            "authority" => Ok(Self::Authority(id.to_owned())),
            _ => Err(IdentityError("its kind is not camera, user, appliance or authority")),
        }
    }

    /// `camera`, `user`, `appliance` or `authority`.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Camera(_) => "camera",
            Self::User(_) => "user",
            Self::Appliance(_) => "appliance",
            Self::Authority(_) => "authority",
        }
    }

    /// What stands behind the kind.
    pub fn id(&self) -> &str {
        match self {
            Self::Camera(id) | Self::User(id) | Self::Appliance(id) | Self::Authority(id) => id,
        }
    }
}

impl std::fmt::Display for Subject {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}/{}", self.kind(), self.id())
    }
}

impl std::str::FromStr for Subject {
    type Err = IdentityError;

    fn from_str(text: &str) -> Result<Self, IdentityError> {
        Self::parse(text)
    }
}

impl TrustDomain {
    /// Parses a trust domain: lower-case DNS characters, at most 255.
    pub fn parse(text: &str) -> Result<Self, IdentityError> {
        if text.len() > DOMAIN_BYTES_MAX || !is_dns_name(text) || text.bytes().any(|byte| byte.is_ascii_uppercase()) {
            return Err(IdentityError("its trust domain is not a lower-case DNS name"));
        }
        Ok(Self(text.to_owned()))
    }

    /// Parses `spiffe://<domain>`: how the certificates of authorities name their trust domain.
    pub(crate) fn parse_uri(uri: &str) -> Result<Self, IdentityError> {
        Self::parse(uri.strip_prefix(SCHEME).ok_or(IdentityError("it does not begin with spiffe://"))?)
    }

    /// `spiffe://<domain>`
    pub(crate) fn uri(&self) -> String {
        format!("{SCHEME}{}", self.0)
    }

    /// The domain.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl std::fmt::Display for TrustDomain {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::str::FromStr for TrustDomain {
    type Err = IdentityError;

    fn from_str(text: &str) -> Result<Self, IdentityError> {
        Self::parse(text)
    }
}

impl Role {
    /// All roles, in the order of their object identifiers.
    pub const ALL: [Self; 7] =
        [Self::Camera, Self::Custodian, Self::Investigator, Self::Auditor, Self::Admin, Self::Appliance, Self::Authority];

    /// The certificate policy that asserts it.
    pub fn oid(self) -> ObjectIdentifier {
        let arc = match self {
            Self::Camera => 1,
            Self::Custodian => 2,
            Self::Investigator => 3,
            Self::Auditor => 4,
            Self::Admin => 5,
            Self::Appliance => 6,
            Self::Authority => 7,
        };
        oid::ROLES.push_arc(arc).expect("the arc of the roles is far from the longest identifier")
    }

    /// The role that a certificate policy asserts; `None` if it is not one of ours.
    pub fn from_oid(policy: ObjectIdentifier) -> Option<Self> {
        Self::ALL.into_iter().find(|role| role.oid() == policy)
    }

    /// True if parties of this kind may have the role: people for what people do, machines for their own.
    pub fn fits(self, subject: &Subject) -> bool {
        match self {
            Self::Camera => matches!(subject, Subject::Camera(_)),
            Self::Custodian | Self::Investigator | Self::Auditor | Self::Admin => matches!(subject, Subject::User(_)),
            Self::Appliance => matches!(subject, Subject::Appliance(_)),
            Self::Authority => matches!(subject, Subject::Authority(_)),
        }
    }

    fn name(self) -> &'static str {
        match self {
            Self::Camera => "camera",
            Self::Custodian => "custodian",
            Self::Investigator => "investigator",
            Self::Auditor => "auditor",
            Self::Admin => "admin",
            Self::Appliance => "appliance",
            Self::Authority => "authority",
        }
    }
}

impl std::fmt::Display for Role {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.pad(self.name())
    }
}

impl std::str::FromStr for Role {
    type Err = IdentityError;

    fn from_str(text: &str) -> Result<Self, IdentityError> {
        let known = Self::ALL.into_iter().find(|role| role.name() == text);
        known.ok_or(IdentityError("a role is camera, custodian, investigator, auditor, admin, appliance or authority"))
    }
}

/// True for a DNS name: letters, digits and hyphens in labels of 1 to 63 that neither begin nor end with a hyphen.
pub(crate) fn is_dns_name(text: &str) -> bool {
    text.len() <= DOMAIN_BYTES_MAX
        && text.split('.').all(|label| {
            (1..=LABEL_BYTES_MAX).contains(&label.len())
                && !label.starts_with('-')
                && !label.ends_with('-')
                && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
        })
}

/// The scheme of SPIFFE IDs, in the one spelling that is accepted here.
const SCHEME: &str = "spiffe://";
/// Ids go into names of streams, which are at most 128 bytes.
const ID_BYTES_MAX: usize = 64;
/// SPIFFE-ID section 2.1.
const DOMAIN_BYTES_MAX: usize = 255;
/// RFC 1035 section 2.3.4.
const LABEL_BYTES_MAX: usize = 63;

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn identities_are_read_and_written() {
        for uri in ["spiffe://city.example/camera/102", "spiffe://x/user/0-a", "spiffe://a-b.c/appliance/1", "spiffe://1/authority/1"] {
            assert_eq!(Identity::parse(uri).unwrap().to_string(), uri);
        }
        let long = format!("spiffe://city.example/user/{}", "a".repeat(64));
        assert_eq!(Identity::parse(&long).unwrap().to_string(), long);
    }

    #[test]
    fn names_that_only_look_like_identities_are_refused() {
        let long_id = format!("spiffe://city.example/user/{}", "a".repeat(65));
        let long_domain = format!("spiffe://{}/user/1", "a.".repeat(127) + "ab");
        for uri in [
            "",
            "camera/102",
            "SPIFFE://city.example/camera/102",
            "spiffe:/city.example/camera/102",
            "https://city.example/camera/102",
            "spiffe://City.example/camera/102",
            "spiffe://city.example",
            "spiffe://city.example/",
            "spiffe://city.example/camera",
            "spiffe://city.example/camera/",
            "spiffe://city.example//102",
            "spiffe://city.example/camera/102/",
            "spiffe://city.example/camera/102/main",
            "spiffe://city.example/camera/1%302",
            "spiffe://city.example/camera/../102",
            "spiffe://city.example/camera/1.2",
            "spiffe://city.example/camera/A",
            "spiffe://city.example/Camera/102",
            "spiffe://city.example/camera/102?x",
            "spiffe://city.example/camera/102#x",
            "spiffe://city.example/camera/102\0",
            "spiffe://city.example:443/camera/102",
            "spiffe://root@city.example/camera/102",
            "spiffe:///camera/102",
            "spiffe://.example/camera/102",
            "spiffe://city..example/camera/102",
            "spiffe://-city.example/camera/102",
            "spiffe://city.example/door/102",
            &long_id,
            &long_domain,
        ] {
            assert!(Identity::parse(uri).is_err(), "{uri:?}");
        }
    }

    #[test]
    fn nobody_writes_the_stream_of_another() {
        let camera = Identity::parse("spiffe://city.example/camera/102").unwrap();
        assert!(camera.owns_stream("camera/102/main/20261120T115958Z"));
        for stream in
            ["camera/1023/main/x", "camera/10/main/x", "camera/102", "camera/102/", "user/102/x", "camera", "xcamera/102/main", ""]
        {
            assert!(!camera.owns_stream(stream), "{stream:?}");
        }
    }

    #[test]
    fn each_role_has_its_own_name_and_policy() {
        for role in Role::ALL {
            assert_eq!(role.to_string().parse(), Ok(role));
            assert_eq!(Role::from_oid(role.oid()), Some(role));
        }
        assert_eq!(Role::Camera.oid().to_string(), "2.25.1586047359.2.1");
        assert_eq!(Role::Authority.oid().to_string(), "2.25.1586047359.2.7");
        assert_eq!(Role::from_oid(oid::ROLES), None);
        assert!("Camera".parse::<Role>().is_err());
    }

    #[test]
    fn a_role_fits_one_kind_of_party() {
        let camera = Subject::parse("camera/102").unwrap();
        let user = Subject::parse("user/102").unwrap();
        assert!(Role::Camera.fits(&camera) && !Role::Camera.fits(&user));
        assert!(Role::Custodian.fits(&user) && !Role::Custodian.fits(&camera));
    }
}

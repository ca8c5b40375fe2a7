//! Who somebody is: SPIFFE URIs in the subject alternative name, and roles as certificate policies.

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
        todo!()
    }
    /// True if this identity may write the stream: the name begins with `<kind>/<id>/`.
    pub fn owns_stream(&self, stream: &str) -> bool {
        todo!()
    }
}
// impl TrustDomain::parse/as_str, Subject::parse("camera/102")/Display ("camera/102"), Identity Display (URI), Role Display/FromStr, Role::oid()/from_oid.
impl std::fmt::Display for Role {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        todo!()
    }
}
impl std::fmt::Display for Subject {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        todo!()
    }
}
impl std::fmt::Display for Identity {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        todo!()
    }
}
impl Subject {
    /// Parses `camera/102`.
    pub fn parse(text: &str) -> Result<Self, IdentityError> {
        todo!()
    }
}
impl TrustDomain {
    /// Parses a trust domain: lower-case DNS characters, at most 255.
    pub fn parse(text: &str) -> Result<Self, IdentityError> {
        todo!()
    }
    /// The domain.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

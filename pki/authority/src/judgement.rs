//! What is certified, and what is refused: a decision on a request and on what the operator asks, without any file or key.

use exhibit_pki::{Certificate, CertificateRequest, EndEntity, Identity, KeyPurpose, PublicKey, Role, Subject, Timestamp};

use crate::failure::Failure;

/// What the operator asks, beside the request.
pub struct Asked<'a> {
    /// The identity to certify; the request's, if there is none.
    pub identity: Option<&'a Identity>,
    /// What the holder may do.
    pub roles: &'a [Role],
    /// What the key is for.
    pub purpose: KeyPurpose,
    /// How TLS clients reach it.
    pub server_names: &'a [String],
}

/// What is to be certified.
#[derive(Debug)]
pub struct Decision {
    /// Who.
    pub identity: Identity,
    /// Sorted, each once.
    pub roles: Vec<Role>,
    public_key: PublicKey,
    purpose: KeyPurpose,
    server_names: Vec<String>,
}

/// Judges what is asked. The request proves that its sender holds the key; who that is, the operator answers for.
pub fn judge(request: &CertificateRequest, asked: &Asked<'_>) -> Result<Decision, Failure> {
    let refused = |reason: String| Err(Failure::Refused(reason));
    let identity = match (request.identity(), asked.identity) {
        (Some(wish), Some(identity)) if wish != identity => {
            return refused(format!("the request asks for {wish}, and --identity is {identity}: they must be equal"));
        }
        (Some(identity), _) | (None, Some(identity)) => identity.clone(),
        (None, None) => return refused("the request asks for no identity: give one with --identity".to_owned()),
    };
    let subject = &identity.subject;
    if matches!(subject, Subject::Authority(_)) {
        return refused("an authority's certificates are made by init alone".to_owned());
    }
    if let Some(role) = asked.roles.iter().find(|role| !role.fits(subject)) {
        return refused(format!("{subject} cannot have role {role}: it is for another kind of party"));
    }
    if let Some(wish) = request.purpose().filter(|wish| *wish != asked.purpose) {
        return refused(format!("the request asks for a {wish} certificate, and a {} one is to be made", asked.purpose));
    }
    if asked.purpose == KeyPurpose::Wrapping && !matches!(subject, Subject::User(_)) {
        return refused(format!("{subject} receives no wrapped keys: wrapping certificates are for users"));
    }
    if !asked.server_names.is_empty() && !matches!(subject, Subject::Appliance(_)) {
        return refused(format!("{subject} is not a server: server names are for appliances"));
    }
    let mut roles = asked.roles.to_vec();
    roles.sort_unstable();
    roles.dedup();
    Ok(Decision {
        identity,
        roles,
        public_key: request.public_key().clone(),
        purpose: asked.purpose,
        server_names: asked.server_names.to_vec(),
    })
}

impl Decision {
    /// What goes into the certificate.
    pub fn entity(&self) -> EndEntity<'_> {
        EndEntity {
            identity: &self.identity,
            public_key: &self.public_key,
            purpose: self.purpose,
            roles: &self.roles,
            server_names: &self.server_names,
        }
    }

    /// True if `certificate` is already what was decided, and still good: it need not be issued again.
    pub fn is_met_by(&self, certificate: &Certificate, now: Timestamp) -> bool {
        certificate.identity() == Some(&self.identity)
            && certificate.public_key() == &self.public_key
            && certificate.purpose() == self.purpose
            && certificate.roles() == self.roles
            && certificate.server_names() == self.server_names
            && certificate.is_valid_at(now)
    }

    /// Refuses to replace what is another's, for something else, or of the same key.
    pub fn check_replaces(&self, replaced: &Certificate) -> Result<(), Failure> {
        let refused = |reason: String| Err(Failure::Refused(reason));
        if replaced.identity() != Some(&self.identity) {
            return refused(format!("--replaces names a certificate of another holder than {}", self.identity));
        }
        if replaced.purpose() != self.purpose {
            return refused(format!("--replaces names a {} certificate, and a {} one is to be made", replaced.purpose(), self.purpose));
        }
        if *replaced.public_key() == self.public_key {
            return refused("--replaces names a certificate of the same key: a renewal replaces nothing".to_owned());
        }
        Ok(())
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use exhibit_pki::{RustCrypto, SoftwareSigner, build_request_pem};
    use zeroize::Zeroizing;

    use super::*;

    fn request(subject: &str) -> CertificateRequest {
        let key = SoftwareSigner::from_scalar(&Zeroizing::new([7; 48])).unwrap();
        CertificateRequest::from_pem(&build_request_pem(&identity(subject), &key).unwrap(), &RustCrypto).unwrap()
    }

    fn identity(subject: &str) -> Identity {
        Identity::parse(&format!("spiffe://city.example/{subject}")).unwrap()
    }

    fn asked(roles: &[Role]) -> Asked<'_> {
        Asked { identity: None, roles, purpose: KeyPurpose::Signing, server_names: &[] }
    }

    fn is_refused(result: Result<Decision, Failure>) -> bool {
        matches!(result, Err(Failure::Refused(_)))
    }

    #[test]
    fn each_kind_of_party_gets_its_roles() {
        for (subject, roles) in [
            ("camera/102", &[Role::Camera][..]),
            ("appliance/1", &[Role::Appliance]),
            ("user/8c1", &[Role::Custodian, Role::Investigator, Role::Auditor, Role::Admin]),
        ] {
            assert_eq!(judge(&request(subject), &asked(roles)).unwrap().roles, roles);
        }
        for (subject, role) in [
            ("camera/102", Role::Custodian),
            ("camera/102", Role::Appliance),
            ("user/8c1", Role::Camera),
            ("user/8c1", Role::Appliance),
            ("user/8c1", Role::Authority),
            ("appliance/1", Role::Custodian),
            ("appliance/1", Role::Camera),
            ("authority/2", Role::Authority),
        ] {
            assert!(is_refused(judge(&request(subject), &asked(&[role]))), "{subject} became {role}");
        }
        let mixed = [Role::Camera, Role::Custodian];
        assert!(is_refused(judge(&request("camera/102"), &asked(&mixed))), "the second role was not judged");
    }

    #[test]
    fn the_request_and_the_operator_agree_on_who_it_is() {
        let (camera, other) = (identity("camera/102"), identity("camera/103"));
        let roles = [Role::Camera];
        let decide = |identity| judge(&request("camera/102"), &Asked { identity, ..asked(&roles) });
        assert_eq!(decide(None).unwrap().identity, camera);
        assert_eq!(decide(Some(&camera)).unwrap().identity, camera);
        assert!(is_refused(decide(Some(&other))));
    }

    #[test]
    fn nobody_gets_a_certificate_for_another_purpose_than_they_ask_for() {
        let request = CertificateRequest::from_pem(SIGNING_REQUEST, &RustCrypto).unwrap();
        let decide = |purpose| judge(&request, &Asked { purpose, ..asked(&[Role::Custodian]) });
        assert!(decide(KeyPurpose::Signing).is_ok());
        assert!(is_refused(decide(KeyPurpose::Wrapping)));
    }

    /// By openssl, for `user/8c1`, with `keyUsage=critical,digitalSignature`.
    const SIGNING_REQUEST: &str = "\
-----BEGIN CERTIFICATE REQUEST-----
MIIBUzCB2gIBADAPMQ0wCwYDVQQDDAR1c2VyMHYwEAYHKoZIzj0CAQYFK4EEACID
YgAE7GYNx+Kj82+XYwp1ha3FkvsNCHzK1QCbGxcEclrZzybcotrboow25BTsbOMz
zZpM5A2FjGQzcfJS3UeH5b8HFx320yrImQGVcPmZ9ZjLQOriHBBVgoBYjPDf2fgG
uiqLoEwwSgYJKoZIhvcNAQkOMT0wOzApBgNVHREEIjAghh5zcGlmZmU6Ly9jaXR5
LmV4YW1wbGUvdXNlci84YzEwDgYDVR0PAQH/BAQDAgeAMAoGCCqGSM49BAMDA2gA
MGUCMGC0+OL2FsRSiwHjphtbi12eR970Ni/pS7bM/YIBNYBg0JNBLpeepnT4gsph
NnKLnAIxAMrmBErLz+bYC10Z/Clw6dDbeRUIP0kd6UYkh6hL3DbsK47dD1eU93un
/k9Fbbgd/w==
-----END CERTIFICATE REQUEST-----
";

    #[test]
    fn only_users_unwrap_and_only_appliances_serve() {
        let wrapping = |subject, roles| judge(&request(subject), &Asked { purpose: KeyPurpose::Wrapping, ..asked(roles) });
        assert!(wrapping("user/8c1", &[Role::Custodian]).is_ok());
        assert!(is_refused(wrapping("camera/102", &[Role::Camera])));
        let names = ["localhost".to_owned()];
        let serving = |subject, roles| judge(&request(subject), &Asked { server_names: &names, ..asked(roles) });
        assert!(serving("appliance/1", &[Role::Appliance]).is_ok());
        assert!(is_refused(serving("user/8c1", &[Role::Admin])));
    }
}

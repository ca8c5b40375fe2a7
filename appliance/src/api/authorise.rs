//! Whether whoever asks may: what the [table of routes](exhibit_evidence::exchange::OPERATIONS) demands, looked at before anything else is done for a
//! request.
//!
//! It does not know what a grant covers (see `share`), nor whether a signature is good.

use exhibit_evidence::exchange::route::{Route, Stranger, Target, Who};
use exhibit_pki::{Role, Subject};

use super::problem::{Kind, Refusal};
use crate::rows::AttachmentRow;
use crate::tpm_note::KEY_ATTACHMENT;
use Role::{Auditor, Authority, Custodian, Investigator};

/// Whoever asks: the certificate of the connection.
#[derive(Clone, Copy, Debug)]
pub struct Caller<'a> {
    /// Who.
    pub subject: &'a Subject,
    /// Which roles the certificate asserts.
    pub roles: &'a [Role],
    /// An entry introduced the certificate.
    pub on_ledger: bool,
    /// It, or one above it, is revoked at the time of the request.
    pub is_revoked: bool,
    /// It is valid at the time of the request.
    pub is_valid: bool,
}

impl Caller<'_> {
    fn has_one_of(&self, roles: &[Role]) -> bool {
        roles.iter().any(|role| self.roles.contains(role))
    }

    /// True for names that begin with the caller's own: `camera/102/…`.
    fn owns(&self, name: &str) -> bool {
        name.strip_prefix(&self.subject.to_string()).is_some_and(|rest| rest.starts_with('/'))
    }
}

/// Decides whether the caller may ask for it at all.
pub fn authorise(caller: &Caller<'_>, target: &Target) -> Result<(), Refusal> {
    if !caller.is_valid {
        return Err(Refusal::new(Kind::Certificate, "the certificate of this connection is not valid now: renew it"));
    }
    if caller.is_revoked {
        return Err(Refusal::new(Kind::Certificate, "the certificate of this connection, or one above it, is revoked: get another"));
    }
    let Target { operation, route } = target;
    let is_own = route.name().is_some_and(|name| caller.owns(name));
    if !caller.on_ledger {
        let is_authority = caller.roles.contains(&Authority);
        let may = match operation.stranger {
            // What logs before have is for those who are known here.
            _ if matches!(route, Route::Before { .. }) => false,
            Stranger::Nothing => false,
            Stranger::AuthorityOwn => is_authority && is_own,
            Stranger::Authority => is_authority,
            Stranger::Anyone => true,
        };
        let detail = "the certificate of this connection is not on the ledger: its authority has to put it there first";
        return if may { Ok(()) } else { Err(Refusal::new(Kind::Certificate, detail)) };
    }
    let may = match operation.who {
        Who::Anyone => true,
        Who::Owner if is_own => true,
        Who::Owner => return Err(Refusal::new(Kind::NotOwner, format!("{} does not own this stream", caller.subject))),
        Who::Roles(roles) => caller.has_one_of(roles),
        Who::OwnerOr(roles) => is_own || caller.has_one_of(roles),
        Who::ScopeOr(roles) => route.scope() == Some(caller.subject) || caller.has_one_of(roles),
    };
    if may { Ok(()) } else { Err(Refusal::new(Kind::Forbidden, "the certificate of this connection has no role for this")) }
}

/// Certificates: who has an entry needs them to judge its signature.
pub fn is_open_attachment(row: &AttachmentRow) -> bool {
    match (row.type_name.as_str(), row.name.as_str()) {
        ("certificate/v1" | "genesis/v1", "certificate") | ("genesis/v1", KEY_ATTACHMENT) => true,
        ("certificate-revocation/v1", "crl") => true,
        ("certificate/v1", name) => name.starts_with("issuer-"),
        _ => false,
    }
}

/// Decides whether the caller may read an attachment, by one of the statements that named it.
pub fn may_read_attachment(caller: &Caller<'_>, row: &AttachmentRow) -> bool {
    let subject = caller.subject.to_string();
    let is_issuer = row.issuer == subject;
    if is_open_attachment(row) {
        return true;
    }
    match (row.type_name.as_str(), row.name.as_str()) {
        ("epoch/v1", "wraps") => caller.has_one_of(&[Custodian, Investigator]),
        ("grant/v1", "terms" | "wraps") => is_issuer || row.grantee.as_ref() == Some(&subject),
        ("fetch/v1" | "export/v1", "purpose") => is_issuer || caller.has_one_of(&[Auditor]),
        // They stand in bundles, and tell one device from all others.
        ("enrolment/v1", _) => caller.has_one_of(&[Custodian, Investigator]),
        ("contradiction/v1", "first" | "second") | ("ban/v1", "subject") | ("log/v1", "lines") => caller.has_one_of(&[Auditor]),
        // They stand in bundles, and tell of the log as a whole.
        ("timestamp/v1", _) => caller.has_one_of(&[Auditor, Custodian, Investigator]),
        _ => false,
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use Role::Camera;

    fn subject(text: &str) -> Subject {
        Subject::parse(text).unwrap()
    }

    /// One caller of each kind, by the letter that stands for it in the matrix.
    const CALLERS: [(char, &str, &[Role]); 8] = [
        ('c', "camera/102", &[Camera]),
        ('o', "camera/103", &[Camera]),
        ('k', "user/k", &[Custodian]),
        ('i', "user/i", &[Investigator]),
        ('a', "user/a", &[Auditor]),
        ('d', "user/d", &[Role::Admin]),
        ('p', "appliance/1", &[Role::Appliance]),
        ('y', "authority/1", &[Authority]),
    ];

    #[test]
    fn an_id_that_another_begins_with_is_not_the_other() {
        let caller = Caller { subject: &subject("camera/10"), roles: &[Camera], on_ledger: true, is_revoked: false, is_valid: true };
        let target = Target::parse("PUT", "/v1/streams/camera/102/main/1a/0", None).unwrap();
        assert_eq!(authorise(&caller, &target).unwrap_err().kind, Kind::NotOwner, "camera 10 wrote as camera 102");
    }

    #[test]
    fn attachments_by_what_they_are() {
        let row = |type_name: &str, name: &str| AttachmentRow {
            type_name: type_name.to_owned(),
            name: name.to_owned(),
            issuer: "user/k".to_owned(),
            grantee: Some("user/i".to_owned()),
            length: 1,
        };
        let everyone = "cokiadpy";
        let cases = [
            (row("certificate/v1", "certificate"), everyone),
            (row("certificate/v1", "issuer-0"), everyone),
            (row("certificate/v1", "other"), ""),
            (row("genesis/v1", "certificate"), everyone),
            (row("epoch/v1", "wraps"), "ki"),
            (row("grant/v1", "terms"), "ki"),
            (row("grant/v1", "wraps"), "ki"),
            (row("fetch/v1", "purpose"), "ka"),
            (row("export/v1", "purpose"), "ka"),
            (row("contradiction/v1", "first"), "a"),
            (row("ban/v1", "subject"), "a"),
            (row("log/v1", "lines"), "a"),
            (row("certificate-revocation/v1", "crl"), everyone),
            (row("enrolment/v1", "ek-public"), "ki"),
            (row("timestamp/v1", "checkpoint"), "kia"),
            (row("timestamp/v1", "token-0"), "kia"),
            (row("segment/v1", "anything"), ""),
        ];
        for (row, allowed) in cases {
            for (letter, id, roles) in CALLERS {
                let caller = Caller { subject: &subject(id), roles, on_ledger: true, is_revoked: false, is_valid: true };
                assert_eq!(may_read_attachment(&caller, &row), allowed.contains(letter), "{} of {} by {id}", row.name, row.type_name);
            }
        }
        // Another custodian and another investigator than those of the grant.
        let other =
            Caller { subject: &subject("user/z"), roles: &[Custodian, Investigator], on_ledger: true, is_revoked: false, is_valid: true };
        assert!(!may_read_attachment(&other, &row("grant/v1", "terms")), "a grant was shown to a third party");
    }
}

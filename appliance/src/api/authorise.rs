//! Who may ask for what: one table (docs/formats/api.md), looked up before anything else is done for a request.
//!
//! It does not know what a grant covers (see `share`), nor whether a signature is good.

use exhibit_evidence::exchange::Route;
use exhibit_pki::{Role, Subject};

use super::problem::{Kind, Refusal};
use crate::rows::AttachmentRow;
use crate::tpm_note::KEY_ATTACHMENT;
use Role::{Auditor, Authority, Camera, Custodian, Investigator};

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

/// What a route demands.
enum Demand<'a> {
    /// A certificate that counts.
    Anyone,
    /// One of these roles.
    Roles(&'static [Role]),
    /// One of these roles, or that the name is the caller's own.
    OwnOr(&'a str, &'static [Role]),
    /// That the stream is the caller's own.
    Owner(&'a str),
}

/// The table.
fn demand(route: &Route) -> Demand<'_> {
    match route {
        Route::Before { route, .. } => demand(route),
        Route::Put { stream, .. } | Route::UploadLimits { stream } => Demand::Owner(stream.as_str()),
        // An upload is looked up among the caller's own: there are no others for them.
        Route::UploadState(_) | Route::UploadAppend(_) | Route::UploadCancel(_) => Demand::Anyone,
        Route::Streams { prefix, .. } => Demand::OwnOr(prefix, &[Custodian, Investigator, Auditor, Authority]),
        Route::Stream { stream } | Route::Entry { stream, .. } | Route::Entries { stream, .. } => {
            Demand::OwnOr(stream.as_str(), &[Custodian, Investigator, Auditor, Authority])
        }
        Route::Segments { .. } => Demand::Roles(&[Custodian, Investigator, Auditor]),
        Route::EntryByLeaf(_) | Route::Approvals { .. } => Demand::Roles(&[Custodian, Investigator, Auditor, Authority, Camera]),
        Route::EntryByIndex(_) => Demand::Roles(&[Auditor, Custodian, Investigator]),
        // What an attachment is decides: see `may_read_attachment`.
        Route::Certificate(_) | Route::Attachment(_) => Demand::Anyone,
        // A camera's own scope is judged below, since a scope has nothing behind the id.
        Route::Recipients { .. } => Demand::Roles(&[Custodian, Auditor]),
        Route::Grants { .. } => Demand::Roles(&[Custodian, Investigator]),
        Route::Payload { .. } => Demand::Roles(&[Custodian, Investigator]),
        Route::Bundle(_) => Demand::Roles(&[Auditor, Custodian]),
        Route::Checkpoint
        | Route::TpmSigned
        | Route::Witnessed
        | Route::Witnesses
        | Route::Tile(_)
        | Route::Version
        | Route::Successor { .. }
        | Route::Health => Demand::Anyone,
    }
}

/// Decides whether the caller may ask for the route at all.
pub fn authorise(caller: &Caller<'_>, route: &Route) -> Result<(), Refusal> {
    if !caller.is_valid {
        return Err(Refusal::new(Kind::Certificate, "the certificate of this connection is not valid now: renew it"));
    }
    if caller.is_revoked {
        return Err(Refusal::new(Kind::Certificate, "the certificate of this connection, or one above it, is revoked: get another"));
    }
    // A log that goes on may not know yet who asks it for the proof that it does.
    if matches!(route, Route::Successor { .. }) {
        return Ok(());
    }
    if !caller.on_ledger && !is_bootstrap(caller, route) {
        let detail = "the certificate of this connection is not on the ledger: its authority has to put it there first";
        return Err(Refusal::new(Kind::Certificate, detail));
    }
    let asked = if let Route::Before { route, .. } = route { route } else { route };
    if matches!(asked, Route::Recipients { scope } if scope == caller.subject) {
        return Ok(());
    }
    match demand(route) {
        Demand::Anyone => Ok(()),
        Demand::Owner(stream) if caller.owns(stream) => Ok(()),
        Demand::Owner(_) => Err(Refusal::new(Kind::NotOwner, format!("{} does not own this stream", caller.subject))),
        Demand::OwnOr(name, _) if caller.owns(name) => Ok(()),
        Demand::Roles(roles) | Demand::OwnOr(_, roles) if caller.has_one_of(roles) => Ok(()),
        Demand::Roles(_) | Demand::OwnOr(..) => {
            Err(Refusal::new(Kind::Forbidden, "the certificate of this connection has no role for this"))
        }
    }
}

/// An authority puts its own certificate on the ledger: until then it may write and read its own streams, and what is public anyway.
fn is_bootstrap(caller: &Caller<'_>, route: &Route) -> bool {
    let own = match route {
        Route::Put { stream, .. } | Route::Stream { stream } | Route::Entry { stream, .. } | Route::Entries { stream, .. } => {
            caller.owns(stream.as_str())
        }
        Route::Streams { prefix, .. } => caller.owns(prefix),
        Route::Version => true,
        route => route.is_public(),
    };
    caller.roles.contains(&Authority) && own
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
    use exhibit_evidence::StreamName;
    use exhibit_pki::Timestamp;
    use exhibit_tlog::{BundleId, Hash, TileId};

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

    fn routes() -> Vec<(&'static str, Route, &'static str)> {
        let camera = StreamName::parse("camera/102/main/1a").unwrap();
        let time = Timestamp::MAX;
        let hash = Hash([0; 32]);
        let tile = TileId { level: 0, index: 0, width: 1 };
        let before = |route| Route::Before { log: hash, route: Box::new(route) };
        let prefix = |prefix: &str| Route::Streams { prefix: prefix.to_owned(), after: None };
        vec![
            ("put", Route::Put { stream: camera.clone(), seq: 0, log: None }, "c"),
            ("limits of uploads", Route::UploadLimits { stream: camera.clone() }, "c"),
            ("state of an upload", Route::UploadState(hash), "cokiadpy"),
            ("append to an upload", Route::UploadAppend(hash), "cokiadpy"),
            ("cancel an upload", Route::UploadCancel(hash), "cokiadpy"),
            ("streams of a camera", prefix("camera/102/"), "ckiay"),
            ("streams of a camera and those that its name begins", prefix("camera/102"), "kiay"),
            ("all streams", prefix(""), "kiay"),
            ("streams of a user", prefix("user/d/"), "kiayd"),
            ("stream", Route::Stream { stream: camera.clone() }, "ckiay"),
            ("entry", Route::Entry { stream: camera.clone(), seq: 0 }, "ckiay"),
            ("entries", Route::Entries { stream: camera.clone(), first: 0, last: 1 }, "ckiay"),
            ("segments", Route::Segments { series: "camera/102/main".to_owned(), from: time, to: time, after: None }, "kia"),
            ("entry by leaf", Route::EntryByLeaf(hash), "cokiay"),
            ("approvals", Route::Approvals { leaf: hash, by: Vec::new(), after: None }, "cokiay"),
            ("entry by index", Route::EntryByIndex(0), "kia"),
            ("certificate", Route::Certificate([0; 32]), "cokiadpy"),
            ("attachment", Route::Attachment(hash), "cokiadpy"),
            ("recipients", Route::Recipients { scope: subject("camera/102") }, "cka"),
            ("grants", Route::Grants { after: None }, "ki"),
            ("payload", Route::Payload { stream: camera.clone(), seq: 0, fetch: hash }, "ki"),
            ("checkpoint", Route::Checkpoint, "cokiadpy"),
            ("witnessed checkpoint", Route::Witnessed, "cokiadpy"),
            ("signed by the TPM", Route::TpmSigned, "cokiadpy"),
            ("witnesses", Route::Witnesses, "cokiadpy"),
            ("tile", Route::Tile(tile), "cokiadpy"),
            ("bundle", Route::Bundle(BundleId { index: 0, width: 1 }), "ka"),
            ("payload of a log before", before(Route::Payload { stream: camera.clone(), seq: 0, fetch: hash }), "ki"),
            ("bundle of a log before", before(Route::Bundle(BundleId { index: 0, width: 1 })), "ka"),
            ("recipients of a log before", before(Route::Recipients { scope: subject("camera/102") }), "cka"),
            ("successor", Route::Successor { log: hash, size: 0, by: Vec::new() }, "cokiadpy"),
            ("version", Route::Version, "cokiadpy"),
            ("health", Route::Health, "cokiadpy"),
        ]
    }

    #[test]
    fn every_route_by_every_role() {
        for (name, route, allowed) in routes() {
            for (letter, id, roles) in CALLERS {
                let caller = Caller { subject: &subject(id), roles, on_ledger: true, is_revoked: false, is_valid: true };
                assert_eq!(authorise(&caller, &route).is_ok(), allowed.contains(letter), "{name} by {id}");
            }
        }
    }

    #[test]
    fn an_expired_certificate_has_nothing() {
        for (name, route, _) in routes() {
            for (_, id, roles) in CALLERS {
                let caller = Caller { subject: &subject(id), roles, on_ledger: true, is_revoked: false, is_valid: false };
                assert_eq!(authorise(&caller, &route).unwrap_err().kind, Kind::Certificate, "{name} by {id}");
            }
        }
    }

    #[test]
    fn a_revoked_certificate_has_nothing() {
        for (name, route, _) in routes() {
            for (_, id, roles) in CALLERS {
                let caller = Caller { subject: &subject(id), roles, on_ledger: true, is_revoked: true, is_valid: true };
                assert_eq!(authorise(&caller, &route).unwrap_err().kind, Kind::Certificate, "{name} by {id}");
            }
        }
    }

    #[test]
    fn a_certificate_that_is_not_on_the_ledger_has_nothing_but_an_authority_its_own_stream() {
        let own = StreamName::parse("authority/1/a").unwrap();
        let bootstrap = [Route::Put { stream: own.clone(), seq: 0, log: None }, Route::Stream { stream: own }];
        for (name, route, _) in routes().into_iter().chain(bootstrap.clone().map(|route| ("own stream", route, ""))) {
            for (letter, id, roles) in CALLERS {
                let caller = Caller { subject: &subject(id), roles, on_ledger: false, is_revoked: false, is_valid: true };
                let allowed = letter == 'y' && (route.is_public() || route == Route::Version || bootstrap.contains(&route));
                // Who is told where its log goes on may not be known there yet.
                let allowed = allowed || name == "successor";
                assert_eq!(authorise(&caller, &route).is_ok(), allowed, "{name} by {id}");
            }
        }
    }

    #[test]
    fn an_id_that_another_begins_with_is_not_the_other() {
        let caller = Caller { subject: &subject("camera/10"), roles: &[Camera], on_ledger: true, is_revoked: false, is_valid: true };
        let route = Route::Put { stream: StreamName::parse("camera/102/main/1a").unwrap(), seq: 0, log: None };
        assert_eq!(authorise(&caller, &route).unwrap_err().kind, Kind::NotOwner, "camera 10 wrote as camera 102");
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

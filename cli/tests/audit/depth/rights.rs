//! Evidence is served and exported within rights.

use exhibit_evidence::body::{Access, Export, Fetch, Grant, Revoke, SeqRange};
use exhibit_evidence::{AttachmentRef, Body, StreamName};
use exhibit_pki::{Certificate, Role};
use exhibit_tlog::Hash;

use super::{Story, expect, found, set};
use crate::site::{Site, Writer};

fn ranges(camera: &str, first: u64, last: u64) -> Vec<SeqRange> {
    vec![SeqRange { stream: StreamName::parse(&format!("{camera}/main/1")).unwrap(), first, last }]
}

/// An investigator i, a custodian k whose the cameras are, and a grant for camera 1.
struct Office {
    site: Site,
    i: Writer,
    grant: Hash,
    from: usize,
}

impl Office {
    fn new() -> Self {
        let mut site = Site::new();
        let i = site.member("user/i", Role::Investigator, 44, "user/i/1");
        let wrapping: Certificate = site.wrapping("user/i", Role::Investigator, 47);
        site.introduce(&wrapping);
        let Body::Recipients(mut set) = set("camera/9", 1, None, &[&site.custodian.clone()], 1) else { unreachable!() };
        set.recipients = vec![*wrapping.fingerprint()];
        site.by_custodian(Body::Recipients(set));
        let attachments = vec![AttachmentRef::of("terms", &[0; 48], true), AttachmentRef::of("wraps", &[0; 48], true)];
        let grant = site.by_custodian(Body::Grant(Grant { scope: "camera/1".to_owned(), attachments }));
        let from = site.entries.len();
        Self { site, i, grant, from }
    }

    fn fetch(&mut self, grant: Option<Hash>, camera: &str) -> Hash {
        self.site.put(&mut self.i, Body::Fetch(Fetch { grant, ranges: ranges(camera, 5, 9), attachments: vec![] }))
    }

    fn serve(&mut self, fetch: Hash, granted: bool) {
        self.site.by_appliance(Body::Access(Access { fetch, granted, attachments: vec![] }));
    }

    fn export(&mut self, fetch: Hash, camera: &str, last: u64) {
        let body = Export { fetch, ranges: ranges(camera, 6, last), manifest: Hash([1; 32]), attachments: vec![] };
        self.site.put(&mut self.i, Body::Export(body));
    }
}

/// Who is served or exports what, and what is wrong with it.
const DISCLOSURES: [Story<Office>; 12] = [
    (
        "with a grant",
        |office| {
            let fetch = office.fetch(Some(office.grant), "camera/1");
            office.serve(fetch, true);
            office.export(fetch, "camera/1", 9);
        },
        &[],
    ),
    (
        "as a recipient",
        |office| {
            let fetch = office.fetch(None, "camera/9");
            office.serve(fetch, true);
        },
        &[],
    ),
    (
        "as a custodian",
        |office| {
            let fetch = office.site.by_custodian(Body::Fetch(Fetch { grant: None, ranges: ranges("camera/1", 0, 1), attachments: vec![] }));
            office.serve(fetch, true);
        },
        &[],
    ),
    (
        "without anything",
        |office| {
            let fetch = office.fetch(None, "camera/1");
            office.serve(fetch, true);
        },
        &[("rights", 1)],
    ),
    (
        "without anything, and refused",
        |office| {
            let fetch = office.fetch(None, "camera/1");
            office.serve(fetch, false);
        },
        &[("refusal", 1)],
    ),
    (
        "with a grant for another camera",
        |office| {
            let fetch = office.fetch(Some(office.grant), "camera/2");
            office.serve(fetch, true);
        },
        &[("rights", 1)],
    ),
    (
        "with a grant that is none",
        |office| {
            let fetch = office.fetch(Some(Hash([3; 32])), "camera/1");
            office.serve(fetch, true);
        },
        &[("rights", 1)],
    ),
    (
        "with a grant that was taken back",
        |office| {
            office.site.by_custodian(Body::Revoke(Revoke { grant: office.grant, attachments: vec![] }));
            let fetch = office.fetch(Some(office.grant), "camera/1");
            office.serve(fetch, true);
        },
        &[("rights", 2)],
    ),
    ("what nobody fetched", |office| office.serve(Hash([3; 32]), true), &[("rights", 0)]),
    (
        "more than was fetched",
        |office| {
            let fetch = office.fetch(Some(office.grant), "camera/1");
            office.export(fetch, "camera/1", 10);
            office.export(fetch, "camera/2", 9);
        },
        &[("rights", 1), ("rights", 2)],
    ),
    ("what was never fetched", |office| office.export(Hash([3; 32]), "camera/1", 9), &[("rights", 0)]),
    (
        "by somebody else's fetch",
        |office| {
            let body = Body::Fetch(Fetch { grant: None, ranges: ranges("camera/1", 5, 9), attachments: vec![] });
            let fetch = office.site.by_custodian(body);
            office.export(fetch, "camera/1", 9);
        },
        &[("rights", 1)],
    ),
];

#[test]
fn evidence_is_served_and_exported_within_rights() {
    for (what, story, expected) in DISCLOSURES {
        let mut office = Office::new();
        story(&mut office);
        expect(what, &found(&office.site, office.from), expected);
    }
}

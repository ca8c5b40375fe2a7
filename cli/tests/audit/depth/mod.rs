//! What a verdict would call bad, an auditor sees on the log: who decided on recipients, second certificates, stamps, and rights.

mod certificates;
mod recipients;
mod rights;
mod stamps;

use exhibit_evidence::anchor::PinnedCustodians;
use exhibit_evidence::body::{Continues, Epoch, EpochReason, Recipients, StreamPosition};
use exhibit_evidence::{AttachmentRef, Body, Head};
use exhibit_pki::{Role, Timestamp};
use exhibit_tlog::Hash;

use crate::site::{self, Desk, Site, Writer};

/// What an audit finds in a log, on first sight and once in a second run, as kind and how far behind the given entry.
fn found(site: &Site, from: usize) -> Vec<(String, Option<usize>)> {
    let desk = Desk::new(site);
    let said = desk.audit_of(site);
    assert_eq!(desk.audit(&[]).findings(), [], "told twice");
    // The same log, seen entry by entry, is the same.
    let desk = Desk::new(site);
    let mut slowly = Vec::new();
    for size in from..=site.entries.len() {
        let mut part = site.clone();
        part.entries.truncate(size);
        part.observed = Head { size: 0, root: exhibit_tlog::EMPTY_ROOT };
        slowly.extend(desk.audit_of(&part).findings());
    }
    assert_eq!(slowly, said.findings(), "what is found depends on when it is seen");
    assert_eq!(said.code, i32::from(!matches!(said.outcome(), "sound")), "{said:?}");
    said.findings().into_iter().map(|(kind, index)| (kind, index.map(|index| index as usize - from))).collect()
}

/// Kinds, and how far behind the beginning of a story.
type Found = &'static [(&'static str, usize)];

/// What happens, how, and what an audit finds of it.
type Story<Scene> = (&'static str, fn(&mut Scene), Found);

fn expect(what: &str, found: &[(String, Option<usize>)], expected: &[(&str, usize)]) {
    let expected: Vec<_> = expected.iter().map(|(kind, index)| ((*kind).to_owned(), Some(*index))).collect();
    assert_eq!(found, expected, "{what}");
}

/// Custodians k and m of the anchor, both needed; n has the role only. And camera 1.
struct Board {
    site: Site,
    m: Writer,
    n: Writer,
    camera: Writer,
    from: usize,
}

impl Board {
    fn new() -> Self {
        let mut site = Site::new();
        let m = site.member("user/m", Role::Custodian, 41, "user/m/1");
        let n = site.member("user/n", Role::Custodian, 42, "user/n/1");
        let camera = site.member("camera/1", Role::Camera, 43, "camera/1/main/1");
        let certificates = vec![site.custodian.certificate.clone(), m.certificate.clone()];
        site.policy.custodians = Some(PinnedCustodians { certificates, threshold: 2 });
        let from = site.entries.len();
        Self { site, m, n, camera, from }
    }

    fn set(&self, number: u64, replaces: Option<Hash>, custodians: &[&Writer], threshold: u64) -> Body {
        set("camera/1", number, replaces, custodians, threshold)
    }

    fn k(&self) -> Writer {
        self.site.custodian.clone()
    }

    /// A set by k and m, in force with the second entry.
    fn decided(&mut self, number: u64, replaces: Option<Hash>, custodians: &[&Writer], threshold: u64) -> Hash {
        let leaf = self.site.by_custodian(set("camera/1", number, replaces, custodians, threshold));
        let approval = self.site.approval(leaf);
        self.site.put(&mut self.m, approval);
        leaf
    }

    fn obey(&mut self, recipients: Hash) -> Hash {
        let epoch = epoch(recipients, None);
        self.site.put(&mut self.camera, epoch)
    }
}

fn set(scope: &str, number: u64, replaces: Option<Hash>, custodians: &[&Writer], threshold: u64) -> Body {
    Body::Recipients(Recipients {
        scope: scope.to_owned(),
        number,
        replaces,
        recipients: vec![[9; 32]],
        custodians: custodians.iter().map(|custodian| *custodian.certificate.fingerprint()).collect(),
        threshold,
        expires: Timestamp::from_unix_ms(site::now().unix_ms() + 86_400_000).unwrap(),
        attachments: vec![],
    })
}

fn epoch(recipients: Hash, previous: Option<StreamPosition>) -> Body {
    let reason = if previous.is_some() { EpochReason::Rotation } else { EpochReason::Start };
    Body::Epoch(Epoch {
        commitment: Hash([4; 32]),
        started: site::now(),
        recipients,
        continues: Continues { reason, previous },
        attachments: vec![AttachmentRef::of("wraps", &[0; 48], true)],
    })
}

/// A request for what somebody would like to see.
fn harmless() -> Body {
    let attachments = vec![AttachmentRef::of("terms", &[0; 48], true), AttachmentRef::of("purpose", &[0; 48], true)];
    Body::Request(exhibit_evidence::body::Request { scope: "camera/1".to_owned(), attachments })
}

#[test]
fn genesis_fits_the_anchor() {
    let site = Site::new();
    let desk = Desk::new(&site);
    let mut anchor = site.anchor();
    anchor.roots.push(Site::of(40, 0).anchor().roots[0].clone());
    std::fs::write(desk.path("anchor.json"), anchor.to_json()).unwrap();
    desk.audit_of(&site).expect(1, "entry", &[("entry", Some(0))]);
}

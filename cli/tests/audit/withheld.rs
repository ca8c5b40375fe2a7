//! What a log does not show, and what hangs on it.

use exhibit_evidence::body::{Access, Fetch, SeqRange};
use exhibit_evidence::{Body, StreamName};
use exhibit_pki::{Role, Timestamp};
use exhibit_tlog::Hash;

use crate::issuers::filler;
use crate::long;
use crate::site::{self, Desk, Site};

#[test]
fn what_was_withheld_is_judged_when_it_comes() {
    let mut site = long();
    let desk = Desk::new(&site);
    let mut resources = site.resources();
    resources.remove("tile/entries/001");
    desk.publish(&resources);
    let said = desk.audit(&[]);
    said.expect(1, "missing", &[("missing", None)]);
    assert_eq!(said.checked()["judged"], 256, "what came before was not judged");
    // The log is held to the checkpoint that was seen, though its entries were not.
    site.entries[400] = site.entries[399].clone();
    site.grow(1);
    desk.audit_of(&site).expect(1, "forked", &[("forked", None)]);
}

/// Publishes the log without some of its resources, and audits that.
pub fn audit_without(desk: &Desk, site: &Site, withheld: &[String]) -> site::Said {
    let mut resources = site.resources();
    for path in withheld {
        assert!(resources.remove(path).is_some(), "{path}");
    }
    desk.publish(&resources);
    desk.audit(&[])
}

/// One entry bundle or certificate that is not served hides nothing of what is behind it but what hangs on it.
#[test]
fn what_is_behind_something_withheld_is_judged() {
    let mut site = long();
    let mut flipped = site.signed(&site.custodian, Body::Approve(filler()));
    let last = flipped.len() - 1;
    flipped[last] ^= 1;
    site.entries.push(flipped);
    // A real hole, after the stream was heard of again.
    site.custodian.seq += 1;
    site.grow(2);
    let bundle = vec!["tile/entries/001".to_owned()];
    let desk = Desk::new(&site);
    let said = audit_without(&desk, &site, &bundle);
    said.expect(1, "missing", &[("missing", None), ("signature", Some(600)), ("chain", Some(601))]);
    let counts = |said: &site::Said| ["judged", "behind", "undecided"].map(|name| said.checked()[name].as_u64().unwrap());
    assert_eq!(counts(&said), [256, 347, 0]);
    // It is told once, however often it is looked at.
    audit_without(&desk, &site, &bundle).expect(1, "missing", &[("missing", None)]);
    let said = desk.audit_of(&site);
    assert_eq!((said.findings(), counts(&said)), (vec![("signature".into(), Some(600)), ("chain".into(), Some(601))], [603, 0, 0]));

    // A single entry that is altered: all others of its bundle are judged.
    let desk = Desk::new(&site);
    let mut resources = site.resources();
    let mut entries = site.entries.clone();
    entries[300][9] ^= 1;
    let chunk: Vec<&[u8]> = entries[256..512].iter().map(Vec::as_slice).collect();
    resources.insert("tile/entries/001".to_owned(), exhibit_tlog::tile::encode_bundle(&chunk).unwrap());
    desk.publish(&resources);
    let said = desk.audit(&[]);
    said.expect(1, "altered", &[("altered", Some(300)), ("signature", Some(600)), ("chain", Some(601))]);

    // A tile that is not served is made of its entries.
    let said = audit_without(&Desk::new(&site), &site, &["tile/0/001".to_owned()]);
    said.expect(1, "missing", &[("missing", None), ("signature", Some(600)), ("chain", Some(601))]);
    assert_eq!(counts(&said), [603, 0, 0]);
}

/// Who could have been introduced, or allowed, by what is not there is not accused.
#[test]
fn what_hangs_on_something_withheld_is_undecided() {
    let mut site = long();
    let mut late = site.member("user/late", Role::Custodian, 24, "user/late/1");
    for _ in 0..3 {
        site.put(&mut late, Body::Approve(filler()));
    }
    let certificate = format!("attachments/{}", Hash(*late.certificate.fingerprint()));
    let desk = Desk::new(&site);
    let said = audit_without(&desk, &site, &[certificate]);
    said.expect(1, "missing", &[("missing", None)]);
    assert_eq!(said.checked()["undecided"], 4, "the introduction, and what was signed with it");
    desk.audit_of(&site).expect(1, "missing", &[]);

    // The same where the entry that introduces it is not served; the rest is judged.
    site.grow(600);
    let mut stranger = site.writer("user/s", Role::Custodian, 25, "user/s/1");
    site.put(&mut stranger, Body::Approve(filler()));
    let desk = Desk::new(&site);
    let said = audit_without(&desk, &site, &["tile/entries/002".to_owned()]);
    said.expect(1, "missing", &[("missing", None)]);
    assert_eq!(said.checked()["undecided"], 1, "a stranger may have been introduced there");
    let said = desk.audit_of(&site);
    let [(kind, Some(index))] = &said.findings()[..] else { panic!("{said:?}") };
    assert_eq!((&**kind, *index), ("signature", site.entries.len() as u64 - 1), "a stranger is none, once all is there");
}

/// What a set of recipients, a second certificate or a right stands on may be what is not there.
#[test]
fn decisions_behind_something_withheld_are_undecided() {
    let mut site = long();
    let range = SeqRange { stream: StreamName::parse("camera/102/main/1").unwrap(), first: 0, last: 0 };
    let fetch = Fetch { grant: Some(Hash([7; 32])), ranges: vec![range], attachments: vec![] };
    let fetch = site.by_custodian(Body::Fetch(fetch));
    site.by_appliance(Body::Access(Access { fetch, granted: true, attachments: vec![] }));
    let desk = Desk::new(&site);
    audit_without(&desk, &site, &["tile/entries/001".to_owned()]).expect(1, "missing", &[("missing", None)]);
    let said = desk.audit_of(&site);
    assert_eq!(said.findings(), [("rights".to_owned(), Some(601))]);
}

/// What was signed with a certificate that is not to be had takes no place in its stream, and what comes after it is no hole.
#[test]
fn a_stream_has_no_hole_where_a_certificate_is_withheld() {
    let mut site = long();
    let mut writer = site.member("user/late", Role::Custodian, 24, "user/late/1");
    let until = Timestamp::from_unix_ms(writer.certificate.not_after().unix_ms() + 86_400_000).unwrap();
    let renewed = site.expiring("user/late", Role::Custodian, 24, until);
    site.introduce(&renewed);
    let first = writer.certificate.clone();
    for certificate in [&first, &renewed, &first] {
        writer.certificate = certificate.clone();
        site.put(&mut writer, Body::Approve(filler()));
    }
    let desk = Desk::new(&site);
    let said = audit_without(&desk, &site, &[format!("attachments/{}", Hash(*renewed.fingerprint()))]);
    said.expect(1, "missing", &[("missing", None)]);
    assert_eq!(said.checked()["undecided"], 2, "the introduction, and what was signed with it");
    desk.audit_of(&site).expect(1, "missing", &[]);
}

/// What stands before it in its bundle hangs on nothing that is not there.
#[test]
fn what_is_before_something_withheld_is_decided() {
    let mut site = Site::new();
    let range = SeqRange { stream: StreamName::parse("camera/102/main/1").unwrap(), first: 0, last: 0 };
    let fetch = site.by_custodian(Body::Fetch(Fetch { grant: Some(Hash([7; 32])), ranges: vec![range], attachments: vec![] }));
    site.by_appliance(Body::Access(Access { fetch, granted: true, attachments: vec![] }));
    let index = site.entries.len() - 1;
    site.grow(2);
    let mut resources = site.resources();
    let mut entries = site.entries.clone();
    entries[index + 1][9] ^= 1;
    let chunk: Vec<&[u8]> = entries.iter().map(Vec::as_slice).collect();
    let path = format!("tile/entries/000.p/{}", entries.len());
    assert!(resources.insert(path, exhibit_tlog::tile::encode_bundle(&chunk).unwrap()).is_some());
    let desk = Desk::new(&site);
    desk.publish(&resources);
    let index = Some(index as u64);
    desk.audit(&[]).expect(1, "altered", &[("altered", index.map(|index| index + 1)), ("rights", index)]);
}

/// Whoever withholds one bundle and puts much that is bad behind it fills nobody's disk, however often it is looked at.
#[test]
fn what_is_found_behind_something_withheld_is_bounded() {
    const OPEN_MAX: usize = 1_000;
    let mut site = long();
    site.entries.extend((0..OPEN_MAX + 200).map(|number| format!("no statement {number}").into_bytes()));
    let desk = Desk::new(&site);
    let bundle = vec!["tile/entries/000".to_owned()];
    let lines = || std::fs::read_to_string(desk.path("state/findings.jsonl")).unwrap().lines().count();
    audit_without(&desk, &site, &bundle);
    assert_eq!(lines(), OPEN_MAX);
    audit_without(&desk, &site, &bundle);
    assert_eq!(lines(), OPEN_MAX, "what is open was told again");
}

//! What issuers put on a log: chains, heads that they have seen, contradictions and keys that were taken back.

use exhibit_evidence::body::{Approve, CertificateBody, CertificateRevocation, Contradiction, Heartbeat, Predecessor};
use exhibit_evidence::{AttachmentRef, Body, Head, StreamName};
use exhibit_pki::Role;
use exhibit_tlog::Hash;

use crate::long;
use crate::site::{self, Desk, Site, Writer};

/// What lies between is on the log before. What people stated there is carried over whole: who leaves out the middle of it hides something.
#[test]
fn only_a_cameras_chain_leaps_over_what_the_log_before_has() {
    let before = Predecessor { log: Hash([7; 32]), head: Head { size: 9, root: Hash([8; 32]) } };
    for (subject, role, stream, findings) in
        [("camera/102", Role::Camera, "camera/102/events/1", 0), ("user/p", Role::Custodian, "user/p/1", 1)]
    {
        let mut site = Site::after(before.clone());
        let mut writer = site.member(subject, role, 21, stream);
        let body = || if role == Role::Camera { Body::Heartbeat(beat()) } else { Body::Approve(filler()) };
        let own = std::mem::replace(&mut site.log, before.log);
        site.put(&mut writer, body());
        writer.seq = 6;
        site.put(&mut writer, body());
        site.log = own;
        let said = Desk::new(&site).audit_of(&site);
        assert_eq!(said.findings().iter().filter(|(kind, _)| kind == "chain").count(), findings, "{subject}: {said:?}");
        assert_eq!(said.findings().len(), findings, "{subject}: {said:?}");
    }
}

/// What is seen of the log before, or of this one, and how many findings that makes.
type Seen<'a> = (&'a str, &'a [(bool, Head)], usize);

/// The log before ended with nine entries: who has seen nine others was shown another log, and who has gone on does not go back.
#[test]
fn what_was_seen_of_the_log_before_is_held_to_how_it_ended() {
    let end = Head { size: 9, root: Hash([8; 32]) };
    let before = Predecessor { log: Hash([7; 32]), head: end };
    let head = |size, number| Head { size, root: Hash([number; 32]) };
    let cases: [Seen<'_>; 7] = [
        ("as it ended", &[(true, end)], 0),
        ("smaller", &[(true, head(5, 3))], 0),
        ("beyond the end, which is lost", &[(true, head(12, 3))], 0),
        ("another end", &[(true, head(9, 3))], 1),
        ("on to this log, which is smaller", &[(true, end), (false, head(0, 0))], 0),
        ("back to the log before", &[(false, head(0, 0)), (true, end)], 1),
        ("less of the log before", &[(true, end), (true, head(8, 3))], 1),
    ];
    for (what, seen, findings) in cases {
        let mut site = Site::after(before.clone());
        let mut writer = site.member("camera/102", Role::Camera, 21, "camera/102/events/1");
        let own = (site.log, site.observed);
        for (of_before, observed) in seen {
            (site.log, site.observed) = if *of_before { (before.log, *observed) } else { own };
            site.put(&mut writer, Body::Heartbeat(beat()));
        }
        (site.log, site.observed) = own;
        let said = Desk::new(&site).audit_of(&site);
        assert_eq!(said.findings().iter().filter(|(kind, _)| kind == "observed").count(), findings, "{what}: {said:?}");
        assert_eq!(said.findings().len(), findings, "{what}: {said:?}");
    }
}

pub fn beat() -> Heartbeat {
    Heartbeat { uptime_s: 1, unsent: 0, unsent_bytes: 0, last_segment: None, attachments: vec![] }
}

pub fn filler() -> Approve {
    Approve { entry: Hash([1; 32]), statement: Hash([2; 32]), attachments: vec![] }
}

#[test]
fn heads_that_issuers_have_seen_must_be_of_this_log() {
    let honest = long();
    for (defect, size, root) in [("another root", 300, Hash([3; 32])), ("one that came after", 900, Hash([3; 32]))] {
        let mut site = honest.clone();
        site.observed = Head { size, root };
        site.grow(1);
        let desk = Desk::new(&site);
        let said = desk.audit_of(&site);
        assert_eq!((said.outcome(), said.findings()), ("observed", vec![("observed".to_owned(), Some(600))]), "{defect}");
    }
    let mut site = honest;
    site.observed = site.head();
    site.grow(1);
    site.observed = Head { size: 5, root: exhibit_tlog::root_of(&site.leaves()[..5]) };
    site.grow(1);
    Desk::new(&site).audit_of(&site).expect(1, "observed", &[("observed", Some(601))]);
}

/// Two statements of the custodian's for place 7 of a stream of its own, and the appliance's word for them.
struct Contradicted {
    site: Site,
    first: Vec<u8>,
    second: Vec<u8>,
    log: Hash,
    is_served: bool,
}

/// What is wrong with it, and how it comes to that.
type Flaw = (&'static str, fn(&mut Contradicted));

const CONTRADICTED: &str = "user/k/9";

impl Contradicted {
    fn new() -> Self {
        let site = Site::new();
        let signed = |age_ms| {
            let mut site = site.clone();
            site.age_ms = age_ms;
            site.signed(
                &Writer { seq: 7, prev: Hash([3; 32]), stream: CONTRADICTED.to_owned(), ..site.custodian.clone() },
                Body::Approve(filler()),
            )
        };
        let (first, second) = (signed(0), signed(1_000));
        Self { first, second, log: site.log, site, is_served: true }
    }

    fn stated_by(&self, writer: &Writer, seq: u64) -> Vec<u8> {
        self.site.signed(&Writer { seq, prev: Hash([3; 32]), stream: CONTRADICTED.to_owned(), ..writer.clone() }, Body::Approve(filler()))
    }

    fn state(mut self) -> Site {
        let attachments = [("first", &self.first), ("second", &self.second)].map(|(name, signed)| {
            let attachment = AttachmentRef::of(name, signed, false);
            if self.is_served {
                self.site.certificates.insert(attachment.sha256, signed.clone());
            }
            attachment
        });
        let stream = StreamName::parse(CONTRADICTED).unwrap();
        self.site.by_appliance(Body::Contradiction(Contradiction { stream, seq: 7, attachments: attachments.to_vec() }));
        self.site
    }
}

#[test]
fn contradictions_are_alarms_and_so_is_what_is_none() {
    let desk = |contradicted: Contradicted| {
        let site = contradicted.state();
        let desk = Desk::new(&site);
        (desk.audit_of(&site).findings(), desk)
    };
    let (found, desk_of_it) = desk(Contradicted::new());
    assert_eq!(found, [("contradiction".to_owned(), Some(3))]);
    desk_of_it.audit(&["--acknowledge"]).expect(0, "sound", &[]);
    let cases: [Flaw; 7] = [
        ("the same statement twice", |it| it.second = it.first.clone()),
        ("the second is no statement", |it| it.second = b"2".to_vec()),
        ("the first is of another place", |it| it.first = it.stated_by(&it.site.custodian, 8)),
        ("the second is of another log", |it| {
            it.site.log = Hash([9; 32]);
            it.second = it.stated_by(&it.site.custodian, 7);
            it.site.log = it.log;
        }),
        ("a certificate that nobody introduced", |it| {
            let stranger = it.site.writer("user/k", Role::Custodian, 71, CONTRADICTED);
            it.second = it.stated_by(&stranger, 7);
        }),
        ("a signature that is not its signer's", |it| *it.second.last_mut().unwrap() ^= 1),
        ("both are kept back", |it| it.is_served = false),
    ];
    for (flaw, change) in cases {
        let mut contradicted = Contradicted::new();
        change(&mut contradicted);
        assert_eq!(desk(contradicted).0, [("contradiction-false".to_owned(), Some(3))], "{flaw}");
    }
}

/// In the same bundle and in a later one: a key that is not to be believed any more signs nothing, and introduces nobody.
#[test]
fn a_revoked_certificate_signs_nothing_more() {
    let mut site = Site::new();
    let mut thief = site.writer("authority/2", Role::Authority, 32, "authority/2/1");
    site.introduce(&thief.certificate.clone());
    let introduction = |of: &exhibit_pki::Certificate| {
        let attachments = vec![AttachmentRef::of("certificate", of.der(), false)];
        Body::Certificate(CertificateBody { fingerprint: *of.fingerprint(), replaces: None, attachments })
    };
    let fingerprint = *thief.certificate.fingerprint();
    let body = CertificateRevocation { fingerprint, since: site::ago(60_000), reason: None, attachments: vec![] };
    let mut authority = site.authority.clone();
    site.put(&mut authority, Body::CertificateRevocation(body));
    site.authority = authority;
    let mut guest = site.writer("user/g", Role::Custodian, 33, "user/g/1");
    site.certificates.insert(Hash(*guest.certificate.fingerprint()), guest.certificate.der().to_vec());
    site.put(&mut thief, introduction(&guest.certificate));
    site.put(&mut guest, Body::Approve(Approve { entry: Hash([1; 32]), statement: Hash([2; 32]), attachments: vec![] }));
    let desk = Desk::new(&site);
    let told = [("revocation", Some(4)), ("signature", Some(5)), ("signature", Some(6))];
    desk.audit_of(&site).expect(1, "signature", &told);
    site.put(&mut guest, Body::Approve(Approve { entry: Hash([1; 32]), statement: Hash([3; 32]), attachments: vec![] }));
    desk.audit_of(&site).expect(1, "signature", &[("signature", Some(7))]);
}

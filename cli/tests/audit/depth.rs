//! What a verdict would call bad, an auditor sees on the log: who decided on recipients, second certificates, stamps, and rights.

use exhibit_evidence::anchor::{PinnedCustodians, TimestampAuthorityTrust, WitnessPolicy};
use exhibit_evidence::body::{
    Access, CertificateRevocation, Continues, Epoch, EpochReason, Export, Fetch, Grant, Recipients, Revoke, Segment, SeqRange,
    StreamPosition, TimestampBody,
};
use exhibit_evidence::{AttachmentRef, Body, Head, StreamName};
use exhibit_pki::timestamp_token::{Imprint, token_of_response};
use exhibit_pki::{Certificate, DigestAlgorithm, Role, Timestamp, TimestampAuthority, TimestampRequest};
use exhibit_tlog::{Hash, root_of};

use crate::site::{self, Desk, Site, Writer, ago, checkpoint, cosigned};

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

#[test]
fn recipients_are_decided_by_the_custodians_in_force() {
    type Story = fn(&mut Board);
    let stories: [(&str, Story, Found); 12] = [
        (
            "decided by both",
            |board| {
                let leaf = board.decided(1, None, &[&board.k(), &board.m.clone()], 2);
                board.obey(leaf);
            },
            &[],
        ),
        (
            "by one of two",
            |board| {
                let leaf = board.site.by_custodian(board.set(1, None, &[&board.k()], 1));
                board.obey(leaf);
            },
            &[("recipients", 1)],
        ),
        (
            "the second comes after the camera has obeyed",
            |board| {
                let leaf = board.site.by_custodian(board.set(1, None, &[&board.k()], 1));
                board.obey(leaf);
                let approval = board.site.approval(leaf);
                board.site.put(&mut board.m, approval);
            },
            &[("recipients", 1)],
        ),
        (
            "an approval of another statement",
            |board| {
                let leaf = board.site.by_custodian(board.set(1, None, &[&board.k()], 1));
                let Body::Approve(mut approval) = board.site.approval(leaf) else { unreachable!() };
                approval.statement = Hash([7; 32]);
                board.site.put(&mut board.m, Body::Approve(approval));
                board.obey(leaf);
            },
            &[("recipients", 2)],
        ),
        (
            "an approval by one who is none",
            |board| {
                let leaf = board.site.by_custodian(board.set(1, None, &[&board.k()], 1));
                let approval = board.site.approval(leaf);
                board.site.put(&mut board.n, approval);
                board.obey(leaf);
            },
            &[("recipients", 2)],
        ),
        (
            "signed by one who is none",
            |board| {
                let set = board.set(1, None, &[&board.n.clone()], 1);
                board.site.put(&mut board.n, set);
            },
            &[("recipients", 0)],
        ),
        (
            "a number that does not rise",
            |board| {
                let leaf = board.decided(5, None, &[&board.k(), &board.m.clone()], 2);
                board.site.by_custodian(board.set(5, Some(leaf), &[&board.k()], 1));
            },
            &[("recipients", 2)],
        ),
        (
            "in place of another than the one in force",
            |board| {
                board.decided(1, None, &[&board.k(), &board.m.clone()], 2);
                board.site.by_custodian(board.set(2, None, &[&board.k()], 1));
            },
            &[("recipients", 2)],
        ),
        (
            "one who was dismissed signs",
            |board| {
                let leaf = board.decided(1, None, &[&board.m.clone(), &board.n.clone()], 1);
                board.site.by_custodian(board.set(2, Some(leaf), &[&board.k()], 1));
            },
            &[("recipients", 2)],
        ),
        (
            "one who was dismissed approves",
            |board| {
                let first = board.decided(1, None, &[&board.m.clone(), &board.n.clone()], 2);
                let set = board.set(2, Some(first), &[&board.m.clone()], 1);
                let second = board.site.put(&mut board.m, set);
                let approval = board.site.approval(second);
                board.site.by_custodian(approval);
                board.obey(second);
            },
            &[("recipients", 4)],
        ),
        (
            "of another camera, or of none",
            |board| {
                let leaf = board.site.by_custodian(set("camera/2", 1, None, &[&board.k()], 1));
                let approval = board.site.approval(leaf);
                board.site.put(&mut board.m, approval);
                board.obey(leaf);
                board.camera.stream = "camera/1/main/2".to_owned();
                (board.camera.seq, board.camera.prev) = (0, Hash([0; 32]));
                board.obey(Hash([6; 32]));
            },
            &[("recipients", 2), ("recipients", 3)],
        ),
        (
            "a camera is set back",
            |board| {
                let old = board.decided(1, None, &[&board.k(), &board.m.clone()], 2);
                let new = board.decided(2, Some(old), &[&board.k(), &board.m.clone()], 2);
                let leaf = board.obey(new);
                let previous = StreamPosition { stream: StreamName::parse("camera/1/main/1").unwrap(), seq: 0, leaf };
                board.camera.stream = "camera/1/main/2".to_owned();
                (board.camera.seq, board.camera.prev) = (0, Hash([0; 32]));
                board.site.put(&mut board.camera, epoch(old, Some(previous)));
            },
            &[("recipients", 5)],
        ),
    ];
    for (what, story, expected) in stories {
        let mut board = Board::new();
        story(&mut board);
        expect(what, &found(&board.site, board.from), expected);
    }
    // Two sets wait, one on the other: when both have their approvals, both were decided.
    let mut board = Board::new();
    let first = board.site.by_custodian(board.set(1, None, &[&board.k(), &board.m.clone()], 2));
    let second = board.site.by_custodian(board.set(2, Some(first), &[&board.k(), &board.m.clone()], 2));
    for leaf in [second, first] {
        let approval = board.site.approval(leaf);
        board.site.put(&mut board.m, approval);
    }
    board.obey(second);
    expect("one on the other", &found(&board.site, board.from), &[]);
    // Who pins nobody judges no decision.
    let mut board = Board::new();
    board.site.policy.custodians = None;
    let set = board.set(1, None, &[&board.n.clone()], 1);
    let leaf = board.site.put(&mut board.n, set);
    board.obey(leaf);
    expect("nobody is pinned", &found(&board.site, board.from), &[]);
}

/// Somebody with a first certificate, and a second one that is not on the log yet.
struct Twice {
    board: Board,
    first: Writer,
    second: Writer,
}

impl Twice {
    fn new() -> Self {
        let mut board = Board::new();
        let first = board.site.member("user/i", Role::Investigator, 44, "user/i/1");
        let second = board.site.writer("user/i", Role::Investigator, 45, "user/i/2");
        board.from = board.site.entries.len();
        Self { board, first, second }
    }

    fn introduce(&mut self, replaces: bool) -> Hash {
        let replaced = replaces.then_some(&self.first.certificate);
        self.board.site.replace(replaced, &self.second.certificate)
    }

    fn approve(&mut self, leaf: Hash) {
        let approval = self.board.site.approval(leaf);
        self.board.site.put(&mut self.board.m, approval);
    }

    fn revoke(&mut self, since: Timestamp) {
        let fingerprint = *self.first.certificate.fingerprint();
        let body = CertificateRevocation { fingerprint, since, reason: None, attachments: vec![] };
        self.board.site.by_authority(Body::CertificateRevocation(body));
    }

    fn use_first(&mut self) {
        self.board.site.put(&mut self.first, harmless());
    }

    fn use_second(&mut self) {
        self.board.site.put(&mut self.second, harmless());
    }
}

/// A request for what somebody would like to see.
fn harmless() -> Body {
    let attachments = vec![AttachmentRef::of("terms", &[0; 48], true), AttachmentRef::of("purpose", &[0; 48], true)];
    Body::Request(exhibit_evidence::body::Request { scope: "camera/1".to_owned(), attachments })
}

#[test]
fn second_certificates_count_with_a_custodians_approval_before_they_are_used() {
    type Story = fn(&mut Twice);
    let stories: [(&str, Story, Found); 12] = [
        (
            "replaced and approved",
            |twice| {
                let leaf = twice.introduce(true);
                twice.approve(leaf);
                twice.use_second();
                twice.use_first();
            },
            &[("replacement", 0)],
        ),
        ("replaced, and not in use", |twice| _ = twice.introduce(true), &[("replacement", 0)]),
        ("beside the first", |twice| _ = twice.introduce(false), &[("second-certificate", 0)]),
        (
            "approved, but it does not say that it replaces the first",
            |twice| {
                let leaf = twice.introduce(false);
                twice.approve(leaf);
                twice.use_second();
            },
            &[("second-certificate", 0)],
        ),
        (
            "used without approval",
            |twice| {
                twice.introduce(true);
                twice.use_second();
                twice.use_second();
            },
            &[("replacement", 0), ("second-certificate", 1)],
        ),
        (
            "approved when it was used",
            |twice| {
                let leaf = twice.introduce(true);
                twice.use_second();
                twice.approve(leaf);
            },
            &[("replacement", 0), ("second-certificate", 1)],
        ),
        (
            "approved by a custodian whom nobody put in force",
            |twice| {
                let leaf = twice.introduce(true);
                let approval = twice.board.site.approval(leaf);
                twice.board.site.put(&mut twice.board.n, approval);
                twice.use_second();
            },
            &[("replacement", 0), ("second-certificate", 2)],
        ),
        (
            "approved by one who was dismissed",
            |twice| {
                twice.board.decided(1, None, &[&twice.board.k()], 1);
                let leaf = twice.introduce(true);
                twice.approve(leaf);
                twice.use_second();
            },
            &[("replacement", 2), ("second-certificate", 4)],
        ),
        (
            "the first was taken back",
            |twice| {
                twice.revoke(ago(3_600_000));
                twice.introduce(false);
                twice.use_second();
            },
            &[("revocation", 0)],
        ),
        (
            "the first is to be taken back some day",
            |twice| {
                twice.revoke(Timestamp::from_unix_ms(site::now().unix_ms() + 3_600_000).unwrap());
                twice.introduce(false);
            },
            &[("revocation", 0), ("second-certificate", 1)],
        ),
        (
            "approved when it was in use already, and the first goes on",
            |twice| {
                twice.revoke(ago(3_600_000));
                let leaf = twice.introduce(true);
                twice.use_second();
                twice.approve(leaf);
                twice.board.site.age_ms = 2 * 3_600_000;
                twice.use_first();
                twice.board.site.age_ms = 0;
            },
            &[("revocation", 0), ("replacement", 1), ("second-certificate", 4)],
        ),
        (
            "the first was taken back, and goes on",
            |twice| {
                twice.revoke(ago(3_600_000));
                twice.introduce(false);
                twice.use_second();
                twice.board.site.age_ms = 2 * 3_600_000;
                twice.use_first();
                twice.board.site.age_ms = 0;
            },
            &[("revocation", 0), ("second-certificate", 3)],
        ),
    ];
    for (what, story, expected) in stories {
        let mut twice = Twice::new();
        story(&mut twice);
        expect(what, &found(&twice.board.site, twice.board.from), expected);
    }
    // Of a camera, its own custodians count: who is in force for another approves of nothing here.
    let mut board = Board::new();
    board.decided(1, None, &[&board.n.clone()], 1);
    let mut second = board.site.writer("camera/1", Role::Camera, 46, "camera/1/main/2");
    let from = board.site.entries.len();
    let leaf = board.site.replace(Some(&board.camera.certificate.clone()), &second.certificate);
    let approval = board.site.approval(leaf);
    board.site.put(&mut board.m, approval);
    board.site.put(&mut second, epoch(Hash([6; 32]), None));
    expect("dismissed of the camera", &found(&board.site, from), &[("replacement", 0), ("recipients", 2), ("second-certificate", 2)]);
}

/// A log of thirty entries that a witness and an authority for time watch.
fn stamped_site() -> (Site, exhibit_pki::ChainCertificate, exhibit_pki::SoftwareSigner) {
    let mut site = Site::new();
    site.grow(27);
    let policy = format!("witness w1 {}\nquorum w1\n", exhibit_tlog::NoteSigner::verifier_key(&site::witness()));
    site.policy.witnesses = Some(WitnessPolicy::parse(&policy, &site.anchor().verifier).unwrap());
    let (certificate, key) = site.timestamping(50);
    let trust = TimestampAuthorityTrust { name: "Notary".to_owned(), independent: true, certificate: certificate.clone() };
    site.policy.timestamp_authorities = vec![trust];
    site.cosigned_unix_s = Some(site::now().unix_ms() / 1000);
    (site, certificate, key)
}

fn token(certificate: &exhibit_pki::ChainCertificate, key: &exhibit_pki::SoftwareSigner, note: &str, at: Timestamp) -> Vec<u8> {
    let text = format!("{}\n", note.split_once("\n\n").unwrap().0);
    let authority = TimestampAuthority::new(certificate, &[], key, 500).unwrap();
    let imprint = Imprint::of(DigestAlgorithm::Sha256, text.as_bytes());
    let request = TimestampRequest { imprint, policy: None, nonce: None, with_certificates: true };
    let response = authority.respond(&request.to_der(), at, [7; 16]).unwrap();
    token_of_response(&response).unwrap().der().to_vec()
}

fn stamp(site: &mut Site, head: Head, note: &[u8], tokens: &[Vec<u8>]) {
    let mut attachments = vec![AttachmentRef::of("checkpoint", note, false)];
    site.certificates.insert(attachments[0].sha256, note.to_vec());
    for (number, token) in tokens.iter().enumerate() {
        let attachment = AttachmentRef::of(&format!("token-{number}"), token, false);
        site.certificates.insert(attachment.sha256, token.clone());
        attachments.push(attachment);
    }
    site.observed = site.head();
    site.by_appliance(Body::Timestamp(TimestampBody { head, attachments }));
    site.observed = Head { size: 0, root: exhibit_tlog::EMPTY_ROOT };
}

#[test]
fn what_is_said_to_be_stamped_is_a_checkpoint_of_this_log_and_its_stamps_hold() {
    let (site, certificate, key) = stamped_site();
    let at = |size: usize| Head { size: size as u64, root: root_of(&site.leaves()[..size]) };
    let (head, unix_s) = (at(20), site::now().unix_ms() / 1000);
    let note = cosigned(&checkpoint(head), unix_s);
    let good = token(&certificate, &key, &note, site::now());
    let (strange, strangers) = site.timestamping(51);
    let fork = Head { size: 20, root: Hash([8; 32]) };
    let tail = note.len() - 10;
    let spoilt = format!("{}{}{}", &note[..tail], if &note[tail..=tail] == "A" { "B" } else { "A" }, &note[tail + 1..]);
    type Case = (&'static str, Head, String, Vec<Vec<u8>>, &'static str);
    let cases: Vec<Case> = vec![
        ("all is well", head, note.clone(), vec![good.clone()], ""),
        ("a stranger's token beside it", head, note.clone(), vec![token(&strange, &strangers, &note, site::now()), good.clone()], ""),
        ("a token of another text", head, note.clone(), vec![token(&certificate, &key, &checkpoint(at(19)), site::now())], "timestamp"),
        ("no token", head, note.clone(), vec![b"no token".to_vec()], "timestamp"),
        ("another head than it names", at(19), note.clone(), vec![good.clone()], "timestamp"),
        ("not signed by the log", head, note.replacen("\n20\n", "\n21\n", 1), vec![], "timestamp"),
        ("a witness's line that is none", head, spoilt, vec![], "timestamp"),
        ("another log", fork, checkpoint(fork), vec![], "forked"),
    ];
    for (what, head, note, tokens, kind) in cases {
        let mut site = site.clone();
        stamp(&mut site, head, note.as_bytes(), &tokens);
        let desk = Desk::new(&site);
        let said = desk.audit_of(&site);
        let expected: Vec<(String, Option<u64>)> = if kind.is_empty() { vec![] } else { vec![(kind.to_owned(), Some(30))] };
        assert_eq!(said.findings(), expected, "{what}: {said:?}");
        assert_eq!(desk.proofs().len(), usize::from(kind == "forked"), "{what}");
    }
    // What is not served, or served otherwise, is that entry's finding; all else is judged.
    let mut site = site.clone();
    stamp(&mut site, head, note.as_bytes(), std::slice::from_ref(&good));
    site.grow(3);
    let name = format!("attachments/{}", AttachmentRef::of("token-0", &good, false).sha256);
    for (bytes, kind) in [(None, "missing"), (Some(b"other".to_vec()), "altered")] {
        let mut resources = site.resources();
        resources.remove(&name);
        resources.extend(bytes.map(|bytes| (name.clone(), bytes)));
        let desk = Desk::new(&site);
        desk.publish(&resources);
        let said = desk.audit(&[]);
        said.expect(1, kind, &[(kind, Some(30))]);
        assert_eq!(said.checked()["judged"], 34);
    }
}

/// A log that says each hour that it was stamped is late all the same, if nobody has stamped it.
#[test]
fn only_stamps_that_hold_are_news_of_time() {
    let (mut site, certificate, key) = stamped_site();
    let head = Head { size: 20, root: root_of(&site.leaves()[..20]) };
    let note = checkpoint(head);
    stamp(&mut site, head, note.as_bytes(), &[token(&certificate, &key, &note, ago(2 * 86_400_000))]);
    let said = Desk::new(&site).audit_of(&site);
    assert_eq!(said.outcome(), "sound", "genesis is of today: {said:?}");
    let mut old = Site::of(1, 3 * 86_400_000);
    (old.policy, old.cosigned_unix_s) = (site.policy.clone(), site.cosigned_unix_s);
    old.grow(27);
    old.age_ms = 0;
    let head = Head { size: 20, root: root_of(&old.leaves()[..20]) };
    let note = checkpoint(head);
    for (at, outcome) in [(ago(2 * 86_400_000), "late"), (ago(60_000), "sound")] {
        let mut site = old.clone();
        stamp(&mut site, head, note.as_bytes(), &[token(&certificate, &key, &note, at)]);
        let said = Desk::new(&site).audit_of(&site);
        assert_eq!(said.outcome(), outcome, "{said:?}");
    }
}

#[test]
fn nobody_has_seen_what_was_stamped_later_than_they_signed() {
    let (mut site, certificate, key) = stamped_site();
    let mut camera = site.member("camera/1", Role::Camera, 43, "camera/1/main/1");
    let head = site.head();
    let note = checkpoint(head);
    let expired = site.expiring("user/e", Role::Investigator, 46, ago(7_200_000));
    let mut guest = Writer { certificate: expired.clone(), ..site.writer("user/e", Role::Investigator, 46, "user/e/1") };
    site.introduce(&expired);
    stamp(&mut site, head, note.as_bytes(), &[token(&certificate, &key, &note, ago(3_600_000))]);
    site.put(&mut camera, epoch(Hash([6; 32]), None));
    let segment = |start_ms: u64| {
        Body::Segment(Segment {
            slot: 0,
            salt: [0; 16],
            start: ago(start_ms),
            duration_ms: 1000,
            media_type: "video/mp4".to_owned(),
            random_access: true,
            fragment_lengths: vec![100],
            ciphertext_root: Hash([3; 32]),
            commitment_root: Hash([4; 32]),
            attachments: vec![],
        })
    };
    let from = site.entries.len();
    // An hour ago the head was stamped: who has seen it and says "two hours ago" is wrong, and who has not seen it may be right.
    for (age_ms, observed) in [(7_300_000, site.observed), (7_300_000, head), (60_000, head)] {
        (site.age_ms, site.observed) = (age_ms, observed);
        site.put(&mut camera, segment(age_ms + 1000));
    }
    (site.age_ms, site.observed) = (7_300_000, Head { size: 0, root: exhibit_tlog::EMPTY_ROOT });
    site.put(&mut guest, harmless());
    site.observed = head;
    site.put(&mut guest, harmless());
    let said = Desk::new(&site).audit_of(&site);
    let times: Vec<_> =
        said.findings().into_iter().filter(|(kind, _)| kind == "time").map(|(_, index)| index.unwrap() as usize - from).collect();
    assert_eq!(times, [1, 4], "{said:?}");
}

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

#[test]
fn evidence_is_served_and_exported_within_rights() {
    type Story = fn(&mut Office);
    let stories: [(&str, Story, Found); 12] = [
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
                let fetch =
                    office.site.by_custodian(Body::Fetch(Fetch { grant: None, ranges: ranges("camera/1", 0, 1), attachments: vec![] }));
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
    for (what, story, expected) in stories {
        let mut office = Office::new();
        story(&mut office);
        expect(what, &found(&office.site, office.from), expected);
    }
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

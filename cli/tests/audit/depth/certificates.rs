//! Second certificates of one identity.

use exhibit_evidence::Body;
use exhibit_evidence::body::CertificateRevocation;
use exhibit_pki::{Role, Timestamp};
use exhibit_tlog::Hash;

use super::{Board, Story, epoch, expect, found, harmless};
use crate::site::{self, Writer, ago};

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

    /// Another certificate of the same key, which says to replace nothing.
    fn renew(&mut self, scalar: u8, of: &Writer) {
        let until = Timestamp::from_unix_ms(of.certificate.not_after().unix_ms() + 86_400_000).unwrap();
        let renewed = self.board.site.expiring("user/i", Role::Investigator, scalar, until);
        assert_eq!(renewed.public_key(), of.certificate.public_key());
        self.board.site.replace(None, &renewed);
    }

    fn use_first(&mut self) {
        self.board.site.put(&mut self.first, harmless());
    }

    /// When it was taken back already.
    fn use_first_late(&mut self) {
        self.board.site.age_ms = 2 * 3_600_000;
        self.use_first();
        self.board.site.age_ms = 0;
    }

    fn use_second(&mut self) {
        self.board.site.put(&mut self.second, harmless());
    }
}

/// How somebody comes to a second certificate, and what is wrong with it.
const REPLACEMENTS: [Story<Twice>; 20] = [
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
        &[("revocation", 0), ("second-certificate", 1)],
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
            twice.use_first_late();
        },
        &[("revocation", 0), ("replacement", 1), ("second-certificate", 2)],
    ),
    (
        "the first was taken back, and goes on",
        |twice| {
            twice.revoke(ago(3_600_000));
            twice.introduce(false);
            twice.use_second();
            twice.use_first_late();
        },
        &[("revocation", 0), ("second-certificate", 1)],
    ),
    (
        "the first was taken back, and a custodian approved of what replaces it",
        |twice| {
            twice.revoke(ago(3_600_000));
            let leaf = twice.introduce(true);
            twice.approve(leaf);
            twice.use_second();
        },
        &[("revocation", 0), ("replacement", 1)],
    ),
    (
        "one that is dead is replaced, and another is live",
        |twice| {
            twice.revoke(ago(3_600_000));
            let leaf = twice.introduce(true);
            twice.approve(leaf);
            twice.use_second();
            let third = twice.board.site.writer("user/i", Role::Investigator, 48, "user/i/3").certificate;
            let leaf = twice.board.site.replace(Some(&twice.first.certificate.clone()), &third);
            twice.approve(leaf);
        },
        &[("revocation", 0), ("replacement", 1), ("replacement", 4), ("second-certificate", 4)],
    ),
    ("renewed", |twice| twice.renew(44, &twice.first.clone()), &[]),
    (
        "another key that counts is renewed",
        |twice| {
            let leaf = twice.introduce(true);
            twice.approve(leaf);
            twice.renew(45, &twice.second.clone());
            twice.use_second();
        },
        &[("replacement", 0)],
    ),
    (
        "what was replaced is renewed",
        |twice| {
            let leaf = twice.introduce(true);
            twice.approve(leaf);
            twice.renew(44, &twice.first.clone());
        },
        &[("replacement", 0), ("second-certificate", 2)],
    ),
    (
        "another key is renewed before a custodian approved of it",
        |twice| {
            let leaf = twice.introduce(true);
            twice.renew(45, &twice.second.clone());
            twice.approve(leaf);
        },
        &[("replacement", 0), ("second-certificate", 1)],
    ),
    (
        "the first is renewed before a custodian approved of another key",
        |twice| {
            let leaf = twice.introduce(true);
            twice.renew(44, &twice.first.clone());
            twice.approve(leaf);
        },
        &[("replacement", 0)],
    ),
    (
        "a key that nobody approved of is renewed",
        |twice| {
            twice.introduce(true);
            twice.renew(45, &twice.second.clone());
        },
        &[("replacement", 0), ("second-certificate", 1)],
    ),
];

#[test]
fn second_certificates_count_with_a_custodians_approval_before_they_are_used() {
    for (what, story, expected) in REPLACEMENTS {
        let mut twice = Twice::new();
        story(&mut twice);
        expect(what, &found(&twice.board.site, twice.board.from), expected);
    }
    // Where nobody pins custodians, what comes after a first that is dead is told.
    let mut twice = Twice::new();
    twice.board.site.policy.custodians = None;
    twice.revoke(ago(3_600_000));
    twice.introduce(false);
    twice.use_second();
    expect("not pinned", &found(&twice.board.site, twice.board.from), &[("revocation", 0), ("replacement", 1)]);
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

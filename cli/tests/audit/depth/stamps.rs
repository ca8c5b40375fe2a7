//! What was stamped, and what follows for time.

use exhibit_evidence::anchor::{TimestampAuthorityTrust, WitnessPolicy};
use exhibit_evidence::body::{Segment, TimestampBody};
use exhibit_evidence::{AttachmentRef, Body, Head};
use exhibit_pki::timestamp_token::{Imprint, token_of_response};
use exhibit_pki::{DigestAlgorithm, Role, Timestamp, TimestampAuthority, TimestampRequest};
use exhibit_tlog::{Hash, root_of};

use super::{epoch, harmless};
use crate::site::{self, Desk, Site, Writer, ago, checkpoint, cosigned};

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

//! `exhibit audit` against logs whose operator lies, each named by what it does, with the outcome that it must give.
#![allow(clippy::unwrap_used, missing_docs)]

mod depth;
mod heads;
mod server;
mod site;

use exhibit_evidence::anchor::WitnessPolicy;
use exhibit_evidence::body::{
    Access, Approve, CertificateBody, CertificateRevocation, Contradiction, Fetch, Heartbeat, Predecessor, SeqRange, Succession,
    SuccessionReason, Successor,
};
use exhibit_evidence::{AttachmentRef, Body, Head, StreamName};
use exhibit_pki::Role;
use exhibit_tlog::{Hash, leaf_hash, verify_consistency};
use site::{Desk, Site, checkpoint};

/// Two full bundles and a part of the third.
fn long() -> Site {
    let mut site = Site::new();
    site.grow(597);
    site
}

#[test]
fn a_sound_log_is_followed_from_where_it_was() {
    let mut site = long();
    let desk = Desk::new(&site);
    let first = desk.audit_of(&site);
    first.expect(0, "sound", &[]);
    assert_eq!((first.checked()["judged"].as_u64(), first.checked()["streams"].as_u64()), (Some(600), Some(3)));
    assert_eq!(desk.audit(&[]).checked()["new"], 0, "entries were judged twice");
    // Across the edge of a bundle, observing heads old and new: of a bundle's edge, of its middle, of the last one.
    for size in [1, 256, 300, 512, 599, 600] {
        site.observed = Head { size, root: exhibit_tlog::root_of(&site.leaves()[..size as usize]) };
        site.custodian = site::Writer { stream: format!("user/k/at-{size}"), seq: 0, prev: Hash([0; 32]), ..site.custodian.clone() };
        site.grow(70);
    }
    let later = desk.audit_of(&site);
    later.expect(0, "sound", &[]);
    assert_eq!((later.checked()["new"].as_u64(), later.checked()["judged"].as_u64()), (Some(420), Some(1020)));
    assert_eq!(later.checked()["streams"], 9);
}

/// Genesis and the appliance's start come before the authority that certified the appliance.
#[test]
fn a_young_log_waits_for_its_authority() {
    let site = Site::new();
    let desk = Desk::new(&site);
    let mut young = site.clone();
    young.entries.truncate(1);
    desk.audit_of(&young).expect(0, "sound", &[]);
    desk.audit_of(&site).expect(0, "sound", &[]);
    // An authority that did not certify it is none.
    let mut anchor = site.anchor();
    anchor.roots = vec![Site::of(40, 0).anchor().roots[0].clone()];
    let desk = Desk::new(&site);
    std::fs::write(desk.path("anchor.json"), anchor.to_json()).unwrap();
    // Nor does genesis name it.
    desk.audit_of(&young).expect(1, "entry", &[("entry", Some(0))]);
    let said = desk.audit_of(&site);
    assert!(said.findings().contains(&("signature".to_owned(), Some(0))), "{said:?}");
}

#[test]
fn hashes_alone_show_that_a_log_only_grows() {
    let mut site = long();
    let desk = Desk::new(&site);
    let only_hashes = |site: &Site| {
        let mut resources = site.resources();
        resources.retain(|path, _| !path.starts_with("tile/entries") && !path.starts_with("attachments"));
        desk.publish(&resources);
        desk.audit(&["--hashes-only"])
    };
    only_hashes(&site).expect(0, "sound", &[]);
    site.grow(100);
    only_hashes(&site).expect(0, "sound", &[]);
    site.entries[550] = b"another".to_vec();
    site.grow(1);
    only_hashes(&site).expect(1, "forked", &[("forked", None)]);
    desk.audit(&[]).code.eq(&2).then_some(()).expect("entries were taken for judged that never were");
}

#[test]
fn an_altered_entry_is_named() {
    let site = long();
    for index in [0, 299, 511, 512, 599] {
        let desk = Desk::new(&site);
        let mut resources = site.resources();
        let mut entries = site.entries.clone();
        let last = entries[index].len() - 1;
        entries[index][last] ^= 1;
        let bundle = index / 256;
        let chunk: Vec<&[u8]> = entries.chunks(256).nth(bundle).unwrap().iter().map(Vec::as_slice).collect();
        let path = if bundle == 2 { "tile/entries/002.p/88".to_owned() } else { format!("tile/entries/{bundle:03}") };
        assert!(resources.insert(path, exhibit_tlog::tile::encode_bundle(&chunk).unwrap()).is_some());
        desk.publish(&resources);
        desk.audit(&[]).expect(1, "altered", &[("altered", Some(index as u64))]);
        // Put right, it goes on from where it was; what was seen stays seen until somebody takes note.
        desk.publish(&site.resources());
        let again = desk.audit(&[]);
        again.expect(1, "altered", &[]);
        assert_eq!(again.checked()["judged"], 600);
        desk.audit(&["--acknowledge"]).expect(0, "sound", &[]);
    }
}

#[test]
fn an_altered_tile_is_named() {
    let site = long();
    // At the edge the signed root can not be made; elsewhere the entries show that only the tile is wrong, and all is judged.
    for (path, judged) in [("tile/0/000", 600), ("tile/0/001", 600), ("tile/0/002.p/88", 0), ("tile/1/000.p/2", 0)] {
        let desk = Desk::new(&site);
        let mut resources = site.resources();
        resources.get_mut(path).unwrap()[33] ^= 1;
        desk.publish(&resources);
        let said = desk.audit(&[]);
        said.expect(1, "altered", &[("altered", None)]);
        assert_eq!(said.checked()["judged"], judged, "{path}");
    }
}

#[test]
fn garbage_is_altered_and_what_is_not_served_is_missing() {
    let site = long();
    for path in ["tile/0/000", "tile/0/002.p/88", "tile/1/000.p/2", "tile/entries/001", "tile/entries/002.p/88"] {
        for (defect, bytes) in
            [("empty", vec![]), ("cut", site.resources()[path][1..].to_vec()), ("surplus", [&site.resources()[path][..], b"x"].concat())]
        {
            let desk = Desk::new(&site);
            let mut resources = site.resources();
            resources.insert(path.to_owned(), bytes);
            desk.publish(&resources);
            let said = desk.audit(&[]);
            assert_eq!((said.code, said.outcome()), (1, "altered"), "{path} {defect}: {said:?}");
        }
        let desk = Desk::new(&site);
        let mut resources = site.resources();
        resources.remove(path);
        desk.publish(&resources);
        desk.audit(&[]).expect(1, "missing", &[("missing", None)]);
    }
    // Of attachments, one that is withheld; where there are none at all, it is no place that has them.
    let der = site.custodian.certificate.fingerprint();
    let withheld = format!("attachments/{}", Hash(*der));
    for (kept, code, outcome) in [(true, 1, "missing"), (false, 2, "unavailable")] {
        let desk = Desk::new(&site);
        let mut resources = site.resources();
        resources.retain(|path, _| if kept { *path != withheld } else { !path.starts_with("attachments") });
        desk.publish(&resources);
        let said = desk.audit(&[]);
        assert_eq!((said.code, said.outcome()), (code, outcome), "{said:?}");
    }
}

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
fn audit_without(desk: &Desk, site: &Site, withheld: &[String]) -> site::Said {
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

/// A genesis may attach more than certificates: the key of the log's TPM, say.
#[test]
fn what_else_genesis_attaches_is_no_certificate() {
    let site = Site::with_tpm_key();
    Desk::new(&site).audit_of(&site).expect(0, "sound", &[]);
}

/// A line in the name of the log's TPM is its signature, wherever it stands; nobody demands one.
#[test]
fn a_false_line_of_the_tpm_is_told() {
    let site = long();
    let (key, line) = site::tpm_line(&site.checkpoint());
    let anchored = |desk: &Desk| {
        let mut anchor = site.anchor();
        anchor.policy.tpm_key = Some(key.clone());
        std::fs::write(desk.path("anchor.json"), anchor.to_json()).unwrap();
    };
    let true_note = format!("{}{line}", site.checkpoint());
    let (_, other) = site::tpm_line(&checkpoint(Head { size: 1, root: site.leaves()[0] }));
    let false_note = format!("{}{other}", site.checkpoint());
    let twice = format!("{true_note}{line}");
    for (name, note, code) in
        [("checkpoint", &true_note, 0), ("tpm", &true_note, 0), ("checkpoint", &false_note, 1), ("tpm", &false_note, 1), ("tpm", &twice, 1)]
    {
        let desk = Desk::new(&site);
        anchored(&desk);
        let mut resources = site.resources();
        resources.insert(name.to_owned(), note.clone().into_bytes());
        desk.publish(&resources);
        let findings: &[(&str, Option<u64>)] = if code == 0 { &[] } else { &[("tpm-line", None)] };
        desk.audit(&[]).expect(code, if code == 0 { "sound" } else { "tpm-line" }, findings);
    }
    // What the TPM has signed binds the log like any other checkpoint.
    let desk = Desk::new(&site);
    anchored(&desk);
    let mut resources = site.resources();
    resources.insert("tpm".to_owned(), checkpoint(Head { size: 500, root: Hash([9; 32]) }).into_bytes());
    desk.publish(&resources);
    assert_eq!(desk.audit(&[]).outcome(), "forked");
}

#[test]
fn a_fork_is_told_with_both_signed_checkpoints() {
    let site = long();
    for (defect, size, other) in [("same size", 600, 599), ("beyond", 700, 10), ("beyond, within the open bundle", 601, 599)] {
        let desk = Desk::new(&site);
        desk.audit_of(&site).expect(0, "sound", &[]);
        let mut fork = site.clone();
        fork.entries[other] = fork.entries[3].clone();
        fork.grow(size - 600);
        let said = desk.audit_of(&fork);
        said.expect(1, "forked", &[("forked", None)]);
        let [proof] = &desk.proofs()[..] else { panic!("{defect}: {:?}", desk.proofs()) };
        let note = |name: &str| site.anchor().verifier.verify(&std::fs::read_to_string(proof.join(name)).unwrap()).unwrap();
        let (earlier, later) = (note("earlier.checkpoint"), note("later.checkpoint"));
        assert_eq!((earlier.root, later.root), (site.head().root, fork.head().root), "{defect}");
        let shown: serde_json::Value = serde_json::from_slice(&std::fs::read(proof.join("proof.json")).unwrap()).unwrap();
        if size > 600 {
            // Anybody can check it: the later tree has another root at the earlier size.
            let root = Hash::from_hex(shown["later_root_at_earlier_size"].as_str().unwrap()).unwrap();
            let path: Vec<Hash> =
                shown["consistency"].as_array().unwrap().iter().map(|hash| Hash::from_base64(hash.as_str().unwrap()).unwrap()).collect();
            verify_consistency(earlier.size, &root, later.size, &later.root, &path).unwrap();
            assert_ne!(root, earlier.root);
        }
        // The log that was seen first is still the one.
        desk.publish(&site.resources());
        desk.audit(&["--acknowledge"]).expect(0, "sound", &[]);
    }
}

#[test]
fn what_is_not_signed_by_the_log_is_not_the_log() {
    let site = long();
    let note = site.checkpoint();
    let other = checkpoint(Head { size: 601, root: site.head().root });
    let cases = [
        ("another text under the signatures", note.replacen("600", "601", 1), "unsigned"),
        ("another origin", note.replace("log/1", "log/2"), "unsigned"),
        ("one signature of two", note.lines().take(5).map(|line| format!("{line}\n")).collect(), "unsigned"),
        ("no note", "<html>Welcome</html>\n".to_owned(), "unsigned"),
        ("a root that no tile gives", other, "missing"),
    ];
    for (defect, note, outcome) in cases {
        let desk = Desk::new(&site);
        let mut resources = site.resources();
        resources.insert("checkpoint".to_owned(), note.into_bytes());
        desk.publish(&resources);
        let said = desk.audit(&[]);
        assert_eq!((said.code, said.outcome()), (1, outcome), "{defect}: {said:?}");
    }
}

#[test]
fn entries_that_do_not_hold_are_named_by_their_defect() {
    type Lie = fn(&mut Site);
    let cases: [(&str, Lie, &str); 9] = [
        ("no statement", |site| site.entries.push(b"not a statement".to_vec()), "entry"),
        ("a second genesis", |site| site.entries.push(site.entries[0].clone()), "entry"),
        (
            "a signer who was never introduced",
            |site| {
                let mut stranger = site.writer("user/s", Role::Custodian, 20, "user/s/1");
                site.put(&mut stranger, Body::Approve(filler()));
            },
            "signature",
        ),
        (
            "a certificate that is introduced later",
            |site| {
                let mut early = site.writer("user/e", Role::Custodian, 21, "user/e/1");
                site.put(&mut early, Body::Approve(filler()));
                site.introduce(&early.certificate.clone());
            },
            "signature",
        ),
        (
            "without the role",
            |site| {
                let mut auditor = site.writer("user/a", Role::Auditor, 22, "user/a/1");
                site.introduce(&auditor.certificate.clone());
                site.put(&mut auditor, Body::Approve(filler()));
            },
            "signature",
        ),
        (
            "a flipped signature",
            |site| {
                let mut entry = site.signed(&site.custodian, Body::Approve(filler()));
                let last = entry.len() - 1;
                entry[last] ^= 1;
                site.entries.push(entry);
            },
            "signature",
        ),
        (
            "a hole",
            |site| {
                site.custodian.seq += 1;
                site.grow(1);
            },
            "chain",
        ),
        ("twice", |site| site.entries.push(site.entries.last().unwrap().clone()), "chain"),
        (
            "another one before it",
            |site| {
                site.custodian.prev = Hash([9; 32]);
                site.grow(1);
            },
            "chain",
        ),
    ];
    for (defect, lie, kind) in cases {
        let mut site = Site::new();
        site.grow(3);
        let desk = Desk::new(&site);
        let index = site.entries.len() as u64;
        lie(&mut site);
        let said = desk.audit_of(&site);
        assert_eq!((said.code, said.outcome()), (1, kind), "{defect}: {said:?}");
        let found = said.findings();
        assert_eq!(found.len(), 1, "{defect}: {said:?}");
        assert!(found[0].1.is_some_and(|found| found >= index), "{defect}: {said:?}");
        assert_eq!(said.checked()["judged"], site.entries.len(), "{defect}: what came after was not judged");
        assert_eq!(desk.audit(&[]).findings(), [], "{defect} was found twice");
    }
}

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

fn beat() -> Heartbeat {
    Heartbeat { uptime_s: 1, unsent: 0, unsent_bytes: 0, last_segment: None, attachments: vec![] }
}

fn filler() -> Approve {
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

#[test]
fn contradictions_are_alarms() {
    let mut site = Site::new();
    let (first, second) = (AttachmentRef::of("first", b"1", false), AttachmentRef::of("second", b"2", false));
    let stream = StreamName::parse("camera/102/main/1").unwrap();
    let mut appliance = site.appliance.clone();
    site.put(&mut appliance, Body::Contradiction(Contradiction { stream, seq: 7, attachments: vec![first, second] }));
    site.appliance = appliance;
    let desk = Desk::new(&site);
    desk.audit_of(&site).expect(1, "contradiction", &[("contradiction", Some(3))]);
    desk.audit(&["--acknowledge"]).expect(0, "sound", &[]);
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

#[test]
fn the_anchors_witnesses_must_have_seen_the_checkpoint_and_lately() {
    let mut site = Site::new();
    let policy = format!("witness w1 {}\nquorum w1\n", exhibit_tlog::NoteSigner::verifier_key(&site::witness()));
    site.policy.witnesses = Some(WitnessPolicy::parse(&policy, &site.anchor().verifier).unwrap());
    let unix_s = site::now().unix_ms() / 1000;
    for (cosigned, outcome) in [(None, "witness"), (Some(unix_s), "sound"), (Some(unix_s - 2 * 86_400), "late")] {
        site.cosigned_unix_s = cosigned;
        let said = Desk::new(&site).audit_of(&site);
        assert_eq!(said.outcome(), outcome, "{said:?}");
    }
}

#[test]
fn what_is_told_to_all_may_be_an_alarm_for_one() {
    let mut site = Site::new();
    let mut appliance = site.appliance.clone();
    site.put(&mut appliance, Body::Access(Access { fetch: Hash([1; 32]), granted: false, attachments: vec![] }));
    let desk = Desk::new(&site);
    desk.audit_of(&site).expect(0, "sound", &[("refusal", Some(3))]);
    let strict = Desk::new(&site);
    strict.publish(&site.resources());
    strict.audit(&["--alarm", "refusal"]).expect(1, "refusal", &[("refusal", Some(3))]);
}

#[test]
fn a_log_that_has_ended_does_not_go_on() {
    let mut site = Site::new();
    let mut appliance = site.appliance.clone();
    let successor = Successor { origin: "city.example/log/2".to_owned(), keys: vec![site::keys().1.keys[0].to_string()] };
    site.put(&mut appliance, Body::Succession(Succession { successor, reason: SuccessionReason::Size, attachments: vec![] }));
    let desk = Desk::new(&site);
    desk.audit_of(&site).expect(0, "sound", &[("succession", Some(3))]);
    site.grow(1);
    desk.audit_of(&site).expect(1, "chain", &[("chain", Some(4))]);
}

#[test]
fn merely_late_is_told_apart() {
    let mut site = Site::of(1, 3 * 3600 * 1000);
    site.grow(3);
    let desk = Desk::new(&site);
    desk.publish(&site.resources());
    desk.audit(&["--late-s", "14400"]).expect(0, "sound", &[]);
    desk.audit(&["--late-s", "3600"]).expect(1, "late", &[("late", None)]);
    site.age_ms = 0;
    site.grow(1);
    desk.publish(&site.resources());
    desk.audit(&["--late-s", "3600", "--acknowledge"]).expect(0, "sound", &[]);
}

#[test]
fn one_state_is_of_one_log_and_one_audit() {
    let site = Site::new();
    let desk = Desk::new(&site);
    desk.audit_of(&site).expect(0, "sound", &[]);
    let mut other = site.anchor();
    other.log = leaf_hash(b"another");
    std::fs::write(desk.path("anchor.json"), other.to_json()).unwrap();
    let said = desk.audit(&[]);
    assert_eq!(said.code, 2, "{said:?}");
    assert!(said.stderr.contains("another log"), "{}", said.stderr);
    std::fs::write(desk.path("anchor.json"), site.anchor().to_json()).unwrap();
    let lock = std::fs::File::open(desk.path("state/lock")).unwrap();
    lock.lock().unwrap();
    assert!(desk.audit(&[]).stderr.contains("another audit"), "two audits wrote one state");
    drop(lock);
    std::fs::write(desk.path("state/state.json"), b"{}").unwrap();
    assert_eq!(desk.audit(&[]).code, 2, "a damaged state was taken for a new one");
}

#[test]
fn a_crash_between_two_writes_loses_nothing() {
    let mut site = long();
    let desk = Desk::new(&site);
    desk.audit_of(&site).expect(0, "sound", &[]);
    let state = std::fs::read(desk.path("state/state.json")).unwrap();
    site.grow(300);
    desk.audit_of(&site).expect(0, "sound", &[]);
    // The roots of bundles were appended, and the state that counts them was not written; or something was torn behind them.
    std::fs::write(desk.path("state/state.json"), &state).unwrap();
    let again = desk.audit(&[]);
    again.expect(0, "sound", &[]);
    assert_eq!(again.checked()["new"], 300);
    std::fs::write(desk.path("state/state.json"), &state).unwrap();
    let bundles = std::fs::read(desk.path("state/bundles")).unwrap();
    std::fs::write(desk.path("state/bundles"), [&bundles[..64], &[7; 5]].concat()).unwrap();
    desk.audit(&[]).expect(0, "sound", &[]);
    assert_eq!(std::fs::read(desk.path("state/bundles")).unwrap(), bundles);
}

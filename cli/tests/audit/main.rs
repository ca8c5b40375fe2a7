//! `exhibit audit` against logs whose operator lies, each named by what it does, with the outcome that it must give.
#![allow(clippy::unwrap_used, missing_docs)]

mod depth;
mod heads;
mod issuers;
mod server;
mod site;
mod withheld;

use exhibit_evidence::anchor::WitnessPolicy;
use exhibit_evidence::body::{Access, Succession, SuccessionReason, Successor};
use exhibit_evidence::{Body, Head};
use exhibit_pki::Role;
use exhibit_tlog::{Hash, leaf_hash, verify_consistency};
use issuers::filler;
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

//! Checkpoints: what a log has signed binds it, whatever it shows of it; what witnesses have seen; and mirrors.

use std::io::{BufRead, BufReader};
use std::net::TcpListener;
use std::process::{Command, Stdio};

use exhibit_evidence::Head;
use exhibit_evidence::anchor::WitnessPolicy;
use exhibit_tlog::{Hash, root_of};

use crate::site::{self, Desk, Site, checkpoint, cosigned};

fn long() -> Site {
    let mut site = Site::new();
    site.grow(597);
    site
}

/// A site whose anchor names a witness.
fn watched() -> Site {
    let mut site = long();
    let policy = format!("witness w1 {}\nquorum w1\n", exhibit_tlog::NoteSigner::verifier_key(&site::witness()));
    site.policy.witnesses = Some(WitnessPolicy::parse(&policy, &site.anchor().verifier).unwrap());
    site
}

fn head_at(site: &Site, size: usize) -> Head {
    Head { size: size as u64, root: root_of(&site.leaves()[..size]) }
}

/// Whatever the run before has in memory: a cron job remembers hashes only, and the server that was set back can give none.
#[test]
fn a_log_is_rewound_or_forked_at_any_size_and_the_proof_is_kept() {
    let site = long();
    for size in [550, 512, 300, 1] {
        for (altered, outcome) in [(None, "rewound"), (Some(size - 1), "forked"), (Some(size / 2), "forked")] {
            let desk = Desk::new(&site);
            desk.audit_of(&site).expect(0, "sound", &[]);
            let mut shorter = site.clone();
            shorter.entries.truncate(size);
            if let Some(altered) = altered {
                shorter.entries[altered] = site.entries[599].clone();
            }
            desk.audit_of(&shorter).expect(1, outcome, &[(outcome, None)]);
            let [proof] = &desk.proofs()[..] else { panic!("{size} {altered:?}: {:?}", desk.proofs()) };
            let shown: serde_json::Value = serde_json::from_slice(&std::fs::read(proof.join("proof.json")).unwrap()).unwrap();
            assert_eq!(shown["earlier_root_at_later_size"], head_at(&site, size).root.to_string(), "{size} {altered:?}");
            desk.publish(&site.resources());
            desk.audit(&["--acknowledge"]).expect(0, "sound", &[]);
        }
    }
}

/// The leaves that it takes are on disk: what was changed there is no proof against the log.
#[test]
fn a_state_whose_hashes_were_changed_accuses_nobody() {
    let site = long();
    let desk = Desk::new(&site);
    desk.audit_of(&site).expect(0, "sound", &[]);
    let path = desk.path("state/leaves");
    let mut leaves = std::fs::read(&path).unwrap();
    leaves[300 * 32] ^= 1;
    std::fs::write(&path, leaves).unwrap();
    let mut shorter = site.clone();
    shorter.entries.truncate(400);
    desk.publish(&shorter.resources());
    let said = desk.audit(&[]);
    assert_eq!((said.code, desk.proofs().len()), (2, 0), "{said:?}");
    assert!(said.stderr.contains("leaves"), "{}", said.stderr);
}

#[test]
fn a_signed_checkpoint_binds_though_its_tree_is_not_shown() {
    let site = long();
    let desk = Desk::new(&site);
    desk.audit_of(&site).expect(0, "sound", &[]);
    let mut fork = site.clone();
    fork.entries[599] = fork.entries[3].clone();
    fork.grow(100);
    let mut resources = site.resources();
    resources.insert("checkpoint".to_owned(), fork.checkpoint().into_bytes());
    desk.publish(&resources);
    desk.audit(&[]).expect(1, "missing", &[("missing", None)]);
    // It goes back to what it has shown, as if nothing had been signed.
    desk.publish(&site.resources());
    desk.audit(&["--acknowledge"]).expect(1, "rewound", &[("rewound", None)]);
    assert_eq!(desk.proofs().len(), 1);
    // It grows beyond that: what was signed then is a fork of it, and both notes are kept. All else of it is judged.
    let mut grown = site.clone();
    grown.grow(200);
    desk.publish(&grown.resources());
    let said = desk.audit(&["--acknowledge"]);
    said.expect(1, "forked", &[("forked", None)]);
    assert_eq!(said.checked()["judged"], 800);
    let proofs = desk.proofs();
    let note = |name: &str| {
        let kept = proofs.iter().map(|proof| std::fs::read_to_string(proof.join(name)).unwrap());
        kept.map(|note| site.anchor().verifier.verify(&note).unwrap().root).collect::<Vec<Hash>>()
    };
    assert_eq!(proofs.len(), 2);
    assert!(note("earlier.checkpoint").iter().all(|root| *root == fork.head().root));
    assert!(note("later.checkpoint").contains(&grown.head().root));
    desk.audit(&["--acknowledge"]).expect(0, "sound", &[]);
}

/// What was signed and not shown may be shown later: then it was no lie.
#[test]
fn a_checkpoint_whose_tree_comes_later_is_no_finding() {
    let site = long();
    let desk = Desk::new(&site);
    desk.audit_of(&site).expect(0, "sound", &[]);
    let mut grown = site.clone();
    grown.grow(100);
    let mut resources = site.resources();
    resources.insert("checkpoint".to_owned(), grown.checkpoint().into_bytes());
    desk.publish(&resources);
    desk.audit(&[]).expect(1, "missing", &[("missing", None)]);
    grown.grow(100);
    desk.publish(&grown.resources());
    desk.audit(&["--acknowledge"]).expect(0, "sound", &[]);
}

/// A log that floods an auditor with checkpoints is held to the first of them all the same.
#[test]
fn no_number_of_checkpoints_makes_the_first_forgotten() {
    let site = long();
    let desk = Desk::new(&site);
    desk.audit_of(&site).expect(0, "sound", &[]);
    for number in 0..40u8 {
        let mut resources = site.resources();
        let note = checkpoint(Head { size: 700 + u64::from(number), root: Hash([number; 32]) });
        resources.insert("checkpoint".to_owned(), note.into_bytes());
        desk.publish(&resources);
        desk.audit(&[]);
    }
    let state: serde_json::Value = serde_json::from_slice(&std::fs::read(desk.path("state/state.json")).unwrap()).unwrap();
    assert_eq!(state["seen"].as_array().unwrap().len(), 16);
    let mut grown = site.clone();
    grown.grow(150);
    desk.publish(&grown.resources());
    desk.audit(&["--acknowledge"]);
    let kept = |root: Hash| {
        let notes = desk.proofs().into_iter().map(|proof| std::fs::read_to_string(proof.join("earlier.checkpoint")).unwrap());
        notes.map(|note| site.anchor().verifier.verify(&note).unwrap()).any(|head| head.root == root)
    };
    assert!(kept(Hash([0; 32])), "the first checkpoint that was not shown was let go");
}

#[test]
fn a_server_without_a_checkpoint_is_no_log_and_a_log_that_withholds_it_is_seen() {
    let site = long();
    let mut resources = site.resources();
    resources.remove("checkpoint");
    let desk = Desk::new(&site);
    desk.publish(&resources);
    desk.audit(&[]).expect(2, "unavailable", &[]);
    desk.audit_of(&site).expect(0, "sound", &[]);
    desk.publish(&resources);
    let said = desk.audit(&[]);
    said.expect(1, "missing", &[("missing", None)]);
    assert!(said.lines[0]["sentence"].as_str().unwrap().contains("serves none"), "{said:?}");
}

/// Of a busy log nobody has seen the very newest checkpoint yet: `witnessed` is what has the lines.
#[test]
fn a_busy_log_is_witnessed_below_its_newest_checkpoint() {
    let site = watched();
    let unix_s = site::now().unix_ms() / 1000;
    let other = Head { size: 590, root: Hash([7; 32]) };
    let behind = head_at(&site, 590);
    let cases = [
        ("lately", cosigned(&checkpoint(behind), unix_s), "sound"),
        ("long ago", cosigned(&checkpoint(behind), unix_s - 2 * 86_400), "late"),
        ("by nobody", checkpoint(behind), "witness"),
        ("another log", cosigned(&checkpoint(other), unix_s), "forked"),
        ("of the very size", cosigned(&checkpoint(Head { size: 600, ..other }), unix_s), "forked"),
        ("beyond what is shown", cosigned(&checkpoint(Head { size: 601, ..other }), unix_s), "rewound"),
        ("not by the log", cosigned(&checkpoint(behind), unix_s).replacen("590", "591", 1), "unsigned"),
    ];
    for (what, note, outcome) in cases {
        let desk = Desk::new(&site);
        let mut resources = site.resources();
        resources.insert("witnessed".to_owned(), note.into_bytes());
        desk.publish(&resources);
        let said = desk.audit(&[]);
        assert_eq!((said.outcome(), said.code), (outcome, i32::from(outcome != "sound")), "{what}: {said:?}");
        assert_eq!(desk.audit(&["--hashes-only"]).code, 2, "one state is of one kind of audit");
    }
}

/// A mirror has tiles and entries only, and may be behind: the rest is the log's own to give.
#[test]
fn a_mirror_is_audited_with_what_stands_beside_the_log() {
    let site = watched();
    let mut later = site.clone();
    later.grow(30);
    later.cosigned_unix_s = Some(site::now().unix_ms() / 1000);
    let mut mirror = site.resources();
    mirror.retain(|path, _| !path.starts_with("attachments"));
    let log = Desk::new(&site);
    let mut resources = later.resources();
    resources.insert("witnessed".to_owned(), later.checkpoint().into_bytes());
    log.publish(&resources);
    let origin = log.path("mirror");
    let words = ["--mirror-of", origin.to_str().unwrap()];

    let desk = Desk::new(&site);
    desk.publish(&mirror);
    let alone = desk.audit(&[]);
    assert_eq!((alone.code, alone.checked()["judged"].as_u64()), (1, Some(0)), "{alone:?}");
    assert!(alone.checked()["unavailable"].as_str().unwrap().contains("--mirror-of"), "{alone:?}");
    let desk = Desk::new(&site);
    desk.publish(&mirror);
    let said = desk.audit(&words);
    said.expect(0, "sound", &[]);
    assert_eq!((said.checked()["size"].as_u64(), said.checked()["judged"].as_u64()), (Some(600), Some(600)));
    // The mirror catches up, with another log than the one that witnesses saw.
    let mut fork = site.clone();
    fork.entries.push(site.entries[5].clone());
    fork.grow(40);
    let mut resources = fork.resources();
    resources.retain(|path, _| !path.starts_with("attachments"));
    desk.publish(&resources);
    desk.audit(&words).expect(1, "forked", &[("chain", Some(600)), ("forked", None)]);
}

/// TLS says who serves, the log's keys what is served: a mirror of another party is trusted by roots that the auditor names.
#[test]
fn an_https_mirror_of_another_party_is_read_with_its_own_roots() {
    let site = long();
    let desk = Desk::new(&site);
    desk.publish(&site.resources());
    let tls = tempfile::tempdir().unwrap();
    let openssl = |words: &str| {
        let output = Command::new("openssl").args(words.split(' ')).current_dir(tls.path()).output().unwrap();
        assert!(output.status.success(), "{words}: {}", String::from_utf8_lossy(&output.stderr));
    };
    std::fs::write(tls.path().join("leaf.cnf"), "subjectAltName=IP:127.0.0.1\n").unwrap();
    openssl("req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout ca.key -out ca.pem -subj /CN=Other -days 2");
    openssl("req -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout leaf.key -out leaf.csr -subj /CN=mirror");
    openssl("x509 -req -in leaf.csr -CA ca.pem -CAkey ca.key -CAcreateserial -extfile leaf.cnf -out leaf.pem -days 2");
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let mut server = Command::new("openssl")
        .args(["s_server", "-WWW", "-cert"])
        .arg(tls.path().join("leaf.pem"))
        .arg("-key")
        .arg(tls.path().join("leaf.key"))
        .args(["-accept", &port.to_string()])
        .current_dir(desk.path("mirror"))
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(server.stdout.take().unwrap()).lines();
    assert!(lines.any(|line| line.unwrap().contains("ACCEPT")));
    std::thread::spawn(move || lines.for_each(drop));
    let url = format!("https://127.0.0.1:{port}");
    let (beside, roots) = (desk.path("mirror"), tls.path().join("ca.pem"));
    let words = ["--mirror-of", beside.to_str().unwrap()];
    desk.audit_at(&url, &words).expect(2, "unavailable", &[]);
    let said = desk.audit_at(&url, &[&words[..], &["--tls-roots", roots.to_str().unwrap()]].concat());
    server.kill().unwrap();
    server.wait().unwrap();
    said.expect(0, "sound", &[]);
    assert_eq!(desk.audit_at(&url, &["--tls-roots", desk.path("anchor.json").to_str().unwrap()]).code, 2, "no roots were taken for some");
}

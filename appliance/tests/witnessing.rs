//! The appliance and its witnesses: receipts wait for enough of them, the intake for none, and a log that was rolled back is told so.
#![allow(clippy::unwrap_used)]

mod common;

use std::collections::VecDeque;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex};

use common::http::serve_http;
use common::watched::{LIMIT, TIMESTAMPS_HOURLY};
use common::{Started, World, segment, stop};
use exhibit_appliance::chronicle::Clock;
use exhibit_appliance::config::Config;
use exhibit_appliance::maintain::by_itself;
use exhibit_appliance::setup::{Folder, now};
use exhibit_appliance::witnessing::WitnessState;
use exhibit_evidence::exchange::EntryRecord;
use exhibit_evidence::{Anchor, Body, SignedStatement};
use exhibit_pki::DigestAlgorithm;
use exhibit_pki::foreign::ChainCertificate;
use exhibit_pki::timestamp_token::{Imprint, TimestampToken, TimestampTrust};
use exhibit_tlog::{AddCheckpoint, Ed25519Cosigner, LogProof, LogVerifier, MlDsa44NoteSigner, NoteSigner, Policy, Refusal, VerifierKey};
use exhibit_witness::disk::LocalDisk;
use exhibit_witness::store::Store;
use exhibit_witness::witness::{AddError, Witness};
use zeroize::Zeroizing;

#[derive(Clone, Copy, PartialEq, Eq)]
enum Mood {
    Good,
    /// It breaks every connection.
    Dead,
    /// It answers once the mood is another.
    Slow,
    /// It signs with keys that nobody knows.
    Forged,
}

/// A real witness behind a server that behaves as it is told to.
struct TestWitness {
    url: String,
    keys: Vec<VerifierKey>,
    mood: Arc<(Mutex<Mood>, Condvar)>,
    /// Whether it shows what it has cosigned.
    shows: Arc<AtomicBool>,
}

fn signers(name: &str, seed: u8) -> Vec<Arc<dyn NoteSigner>> {
    let seed = Zeroizing::new([seed; 32]);
    vec![Arc::new(Ed25519Cosigner::new(name, &seed).unwrap()), Arc::new(MlDsa44NoteSigner::new(name, &seed).unwrap())]
}

impl TestWitness {
    fn start(folder: &Path, number: u8, anchor: &Anchor, mood: Mood) -> Self {
        Self::of_logs(folder, number, vec![anchor.verifier.clone()], mood)
    }

    fn of_logs(folder: &Path, number: u8, logs: Vec<LogVerifier>, mood: Mood) -> Self {
        let name = format!("witness.example/w{number}");
        let signers = signers(&name, number);
        let keys = signers.iter().map(|signer| signer.verifier_key().clone()).collect();
        let store = Store::open(&folder.join(format!("witness-{number}")), Arc::new(LocalDisk)).unwrap();
        let witness = Witness::open(signers, logs, store).unwrap();
        let mood = Arc::new((Mutex::new(mood), Condvar::new()));
        let told = mood.clone();
        let shows = Arc::new(AtomicBool::new(false));
        let is_shown = shows.clone();
        let url = serve_http(Arc::new(move |path, body| {
            if let Some(hash) = path.strip_suffix("/checkpoint").map(|path| path.trim_start_matches('/')) {
                let latest = witness.latest(hash).filter(|_| is_shown.load(Ordering::SeqCst));
                return Some(
                    latest.map_or((404, "text/plain", Vec::new()), |latest| (200, "text/plain", latest.note.clone().into_bytes())),
                );
            }
            let (mood, changed) = &*told;
            let mood = *changed.wait_while(mood.lock().unwrap(), |mood| *mood == Mood::Slow).unwrap();
            if mood == Mood::Dead {
                return None;
            }
            let clock = || exhibit_appliance::setup::now().unix_s();
            let text = String::from_utf8(body.to_vec()).unwrap();
            if mood == Mood::Forged {
                let checkpoint = AddCheckpoint::parse(&text).unwrap().checkpoint;
                let checkpoint = exhibit_tlog::Checkpoint::parse_unverified(&checkpoint).unwrap();
                // In the name of the witness, by another key: the key's id is another too.
                let forger = Ed25519Cosigner::new("witness.example/w1", &Zeroizing::new([99; 32])).unwrap();
                return Some((200, "text/plain", exhibit_tlog::witness::cosign(&checkpoint, &[&forger], clock()).unwrap().into_bytes()));
            }
            Some(match witness.add_checkpoint(&text, &clock) {
                Ok((lines, _)) => (200, "text/plain", lines.into_bytes()),
                Err(AddError::Refused(refusal @ Refusal::Conflict(_))) => (409, "text/x.tlog.size", refusal.body().into_bytes()),
                Err(AddError::Refused(refusal)) => (refusal.status(), "text/plain", refusal.body().into_bytes()),
                Err(error) => panic!("{error}"),
            })
        }));
        Self { url, keys, mood, shows }
    }

    fn become_(&self, mood: Mood) {
        *self.mood.0.lock().unwrap() = mood;
        self.mood.1.notify_all();
    }
}

fn policy(witnesses: &[&TestWitness], threshold: usize) -> String {
    let mut lines = String::new();
    let mut groups = Vec::new();
    for (number, TestWitness { url, keys, .. }) in witnesses.iter().enumerate() {
        lines.push_str(&format!("witness w{number}-a {} {url}\nwitness w{number}-b {} {url}\n", keys[0], keys[1]));
        lines.push_str(&format!("group w{number} all w{number}-a w{number}-b\n"));
        groups.push(format!("w{number}"));
    }
    format!("{lines}group enough {threshold} {}\nquorum enough\n", groups.join(" "))
}

async fn record(world: &World, signed: &SignedStatement) -> EntryRecord {
    world.connect(&world.camera).await.record(&format!("/v1/entries/{}", signed.leaf_hash())).await.0
}

#[tokio::test(flavor = "multi_thread")]
async fn receipts_wait_for_enough_witnesses_and_the_intake_for_none() {
    let (world, mut camera) = World::with_camera().await;
    let folder = tempfile::tempdir().unwrap();
    let witness = |number, mood| TestWitness::start(folder.path(), number, &world.anchor, mood);
    let (good, dead, slow) = (witness(1, Mood::Good), witness(2, Mood::Dead), witness(3, Mood::Slow));
    let policy_text = policy(&[&good, &dead, &slow], 2);
    let world = world.watched(&policy_text, TIMESTAMPS_HOURLY).await;

    let (first, admitted) = world.put_segment(&mut camera, 202).await;
    assert!(!record(&world, &first).await.is_final);
    let status = world.until_status(|status| status.witnesses[0].state == WitnessState::Cosigned).await;
    assert_eq!((status.is_gated, status.final_size, status.contradicted), (true, 0, false));
    assert_eq!(world.connect(&world.camera).await.get("/log/witnessed").await.status, 404, "one of two is enough");

    slow.become_(Mood::Good);
    world.until_final(admitted.index + 1).await;
    let last = record(&world, &first).await;
    assert!(last.is_final);
    // Whoever is told live what changes is told so.
    let mut auditor = world.connect(&world.auditor).await;
    assert_eq!(auditor.get("/v1/events").await.status, 200);
    let told = auditor.chunk().await.unwrap().unwrap();
    assert!(told.contains(&format!("event: final\ndata: {{\"size\":{}}}\n\n", admitted.index + 1)), "{told}");
    let note = LogProof::parse(&last.receipt).unwrap().checkpoint;
    let policy = Policy::parse(&policy_text).unwrap();
    let witnessed = policy.verify_of(&world.anchor.verifier, &note).unwrap();
    assert!(witnessed.cosigners().len() >= 4, "both keys of two witnesses");
    let served = world.connect(&world.camera).await.get("/log/witnessed").await;
    assert_eq!(served.status, 200);
    let status = world.until_status(|status| status.witnesses[1].state == WitnessState::Unreachable).await;
    assert_eq!(status.witnesses[2].names, ["w2-a", "w2-b"]);
    let asked = world.connect(&world.camera).await.get("/v1/witnesses").await;
    assert!(String::from_utf8(asked.body).unwrap().contains("\"state\":\"unreachable\""), "a laggard is not seen");

    // The same statement again is told as final now; a new one waits again, and is not held up.
    let (body, ciphertext) = segment(&camera.stream, 1, 1, b"some video, as it were");
    assert_eq!(first.statement().body, body);
    let again = world.connect(&world.camera).await.put(&first, &[], &ciphertext).await;
    assert_eq!(again.status, 200);
    slow.become_(Mood::Dead);
    good.become_(Mood::Dead);
    let (second, _) = world.put_segment(&mut camera, 202).await;
    let world = world.restart().await;
    assert!(record(&world, &first).await.is_final, "what was final is not any more");
    assert!(!record(&world, &second).await.is_final);

    // A dead one comes back, and the rest is final with the newest.
    good.become_(Mood::Good);
    dead.become_(Mood::Good);
    let (third, admitted) = world.put_segment(&mut camera, 202).await;
    world.until_final(admitted.index + 1).await;
    assert!(record(&world, &second).await.is_final && record(&world, &third).await.is_final);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cosignature_by_another_key_counts_for_nothing() {
    let (world, mut camera) = World::with_camera().await;
    let folder = tempfile::tempdir().unwrap();
    let witness = TestWitness::start(folder.path(), 1, &world.anchor, Mood::Forged);
    let world = world.watched(&policy(&[&witness], 1), "").await;
    world.put_segment(&mut camera, 202).await;
    let status = world.until_status(|status| status.witnesses[0].state == WitnessState::Refuses).await;
    assert_eq!(status.final_size, 0, "a forged line made a receipt final");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_policy_that_asks_for_nobody_holds_nothing_back() {
    let (world, mut camera) = World::with_camera().await;
    let world = world.watched("quorum none\n", "").await;
    let (signed, _) = world.put_segment(&mut camera, 201).await;
    assert!(record(&world, &signed).await.is_final);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_older_disk_is_refused_by_witnesses_and_says_so() {
    let (world, mut camera) = World::with_camera().await;
    let folder = tempfile::tempdir().unwrap();
    let witness = TestWitness::start(folder.path(), 1, &world.anchor, Mood::Good);
    let world = world.watched(&policy(&[&witness], 1), TIMESTAMPS_HOURLY).await;
    let copy = folder.path().join("copy");
    let copy_of = |from: PathBuf, to: PathBuf| {
        assert!(Command::new("cp").arg("-a").arg(from).arg(to).status().unwrap().success());
    };
    let world = world.restart_after(|folder| copy_of(folder.join("state"), copy.clone())).await;
    let older = camera.clone();
    for _ in 0..3 {
        world.put_segment(&mut camera, 202).await;
    }
    world.until_final(world.size()).await;
    let put_back = |folder: &Path| {
        std::fs::remove_dir_all(folder.join("state")).unwrap();
        copy_of(copy.clone(), folder.join("state"));
    };
    let world = world.restart_after(put_back).await;
    // Its word alone is none: what it has cosigned, the log has signed.
    let status = world.until_status(|status| status.witnesses[0].state == WitnessState::Refuses).await;
    assert!(!status.contradicted && status.witnesses[0].detail.contains("does not prove it"), "{:?}", status.witnesses[0]);
    let kept = world.folder.path().join("state/contradicting-checkpoint");
    assert!(!kept.exists());
    witness.shows.store(true, Ordering::SeqCst);
    world.until_status(|status| status.contradicted).await;
    assert!(world.anchor.verifier.verify(&std::fs::read_to_string(kept).unwrap()).is_ok(), "what convicts the log is not kept");
    // It grows past what was witnessed, another way.
    let mut camera = older;
    for _ in 0..8 {
        world.put_segment(&mut camera, 202).await;
    }
    let status = world.until_status(|status| status.contradicted && status.witnesses[0].detail.contains("begins with")).await;
    assert!(status.final_size < status.size, "a fork was made final");
}

/// Any number beyond the log, and any refusal of a proof, by one of several witnesses: nobody stops an appliance for that.
#[tokio::test(flavor = "multi_thread")]
async fn a_witness_that_only_says_so_convicts_nobody() {
    for (status, kind, answer) in [(409, "text/x.tlog.size", "999999999\n"), (422, "text/plain", "no\n")] {
        for shows_the_log in [false, true] {
            let (world, mut camera) = World::with_camera().await;
            let newest = Arc::new(Mutex::new(String::new()));
            let shown = newest.clone();
            let url = serve_http(Arc::new(move |path, _| match path.ends_with("/checkpoint") {
                true if shows_the_log => Some((200, "text/plain", shown.lock().unwrap().clone().into_bytes())),
                true => Some((404, "text/plain", vec![])),
                false => Some((status, kind, answer.as_bytes().to_vec())),
            }));
            let key = signers("witness.example/w1", 1)[0].verifier_key().clone();
            *newest.lock().unwrap() = world.running.appliance.ledger.checkpoint().unwrap().0.to_string();
            let world = world.watched(&format!("witness w1 {key} {url}\nquorum w1\n"), "").await;
            world.put_segment(&mut camera, 202).await;
            let told = world.until_status(|status| status.witnesses[0].state != WitnessState::Unasked).await;
            assert!(told.witnesses[0].state == WitnessState::Refuses && !told.contradicted, "{:?}", told.witnesses[0]);
            assert!(told.witnesses[0].detail.contains("does not prove it"), "{:?}", told.witnesses[0]);
            assert!(!world.folder.path().join("state/contradicting-checkpoint").exists());
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_others_say_goes_back_on_the_ledger() {
    let (world, mut camera) = World::with_camera().await;
    let folder = tempfile::tempdir().unwrap();
    let witness = TestWitness::start(folder.path(), 1, &world.anchor, Mood::Good);
    let (tsa, certificate) = timestamp_authority(folder.path());
    std::fs::write(world.folder.path().join("state/tsa.pem"), &certificate).unwrap();
    let policy_text = policy(&[&witness], 1);
    let more = format!("timestamp_interval_s = 0\n\n[[timestamp_authority]]\nurl = {tsa:?}\ncertificate = \"tsa.pem\"\n");
    let world = world.watched(&policy_text, &more).await;
    let mut stamped = VecDeque::new();
    for _ in 0..3 {
        let (_, admitted) = world.put_segment(&mut camera, 202).await;
        let before = world.size();
        world.until_final(admitted.index + 1).await;
        // The statement about it is seen by the witness in turn.
        world.until_final(before + 1).await;
        stamped.push_back(admitted.index);
    }
    let appliance = &world.running.appliance;
    let mut statements = Vec::new();
    for index in 0..world.size() {
        let entry = appliance.ledger.entry(index).unwrap().unwrap();
        let signed = SignedStatement::parse(&entry).unwrap();
        if let Body::Timestamp(body) = &signed.statement().body {
            statements.push((index, body.clone()));
        }
    }
    assert!(!statements.is_empty() && statements.len() <= 6, "{} statements for three segments: they feed themselves", statements.len());
    let policy = Policy::parse(&policy_text).unwrap();
    let anchors = [ChainCertificate::from_pem(&certificate).unwrap()];
    for (index, body) in statements {
        let mut connection = world.connect(&world.investigator).await;
        let mut read = Vec::new();
        for attachment in &body.attachments {
            let answer = connection.get(&format!("/v1/attachments/{}", attachment.sha256)).await;
            assert_eq!(answer.status, 200, "an investigator can not put it into a bundle");
            read.push(answer.body);
        }
        let note = String::from_utf8(read[0].clone()).unwrap();
        let witnessed = policy.verify_of(&world.anchor.verifier, &note).unwrap();
        assert_eq!((witnessed.checkpoint().size, witnessed.checkpoint().root), (body.head.size, body.head.root));
        assert!(body.head.size <= index);
        let text = note.split("\n\n").next().unwrap();
        let imprint = Imprint::of(DigestAlgorithm::Sha256, format!("{text}\n").as_bytes());
        let trust = TimestampTrust { anchors: &anchors, certificates: &[], accuracy_unstated_ms: 1000 };
        TimestampToken::from_der(&read[1]).unwrap().verify(&imprint, None, &trust).unwrap();
    }
}

/// docs/operations.md, "By its size or age": the operators of witnesses are told the successor's keys before the log ends by itself.
#[tokio::test(flavor = "multi_thread")]
async fn witnesses_that_were_told_its_keys_cosign_the_successor_of_a_log_that_ends_by_itself() {
    let world = World::new().await;
    let state = Folder::new(&world.folder.path().join("state"));
    let told = by_itself::foretell(&state).unwrap();
    assert_eq!(by_itself::foretell(&state).unwrap(), told, "other keys than the witnesses were told");
    let keys = told.keys.iter().map(|key| VerifierKey::parse(key).unwrap()).collect();
    let next = LogVerifier { origin: told.origin.clone(), keys };
    let folder = tempfile::tempdir().unwrap();
    let witness = TestWitness::of_logs(folder.path(), 1, vec![world.anchor.verifier.clone(), next.clone()], Mood::Good);
    let world = world.watched(&policy(&[&witness], 1), "succession_days = 2\n").await;
    stop(world.running).await;
    let mut config = std::fs::read_to_string(state.path().join("appliance.toml")).unwrap();
    config.push_str("witness_policy = \"witness.policy\"\nsuccession_days = 2\n");
    std::fs::write(state.path().join("appliance.toml"), config).unwrap();
    let later = Arc::new(|| now().checked_add_ms(2 * 86_400_000).unwrap()) as Clock;
    by_itself::end(&state, &later).unwrap();
    let successor = state.newest();
    assert_eq!(successor.anchor().unwrap().verifier, next);
    assert_eq!(by_itself::foretell(&state).unwrap(), told);
    assert!(!state.path().join("successor-keys").exists(), "keys of a log that is served lie in two places");
    let config =
        Config::parse(&format!("{}\nintake = \"127.0.0.1:0\"\npublic = \"127.0.0.1:0\"\n", "witness_policy = \"witness.policy\"")).unwrap();
    std::fs::copy(state.path().join("witness.policy"), successor.path().join("witness.policy")).unwrap();
    let running = Started::new(successor, config, Arc::new(now), |reason| panic!("{reason}")).await;
    let mut final_size = running.appliance.witnessing.final_size();
    let size = running.appliance.ledger.size();
    tokio::time::timeout(LIMIT, final_size.wait_for(|known| *known >= size)).await.expect("nothing becomes final").unwrap();
    stop(running).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_timestamping_authority_that_is_gone_delays_nothing() {
    let (world, mut camera) = World::with_camera().await;
    let folder = tempfile::tempdir().unwrap();
    let witness = TestWitness::start(folder.path(), 1, &world.anchor, Mood::Good);
    let (_, certificate) = timestamp_authority(folder.path());
    std::fs::write(world.folder.path().join("state/tsa.pem"), &certificate).unwrap();
    let nobody = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let more = format!("timestamp_interval_s = 0\n\n[[timestamp_authority]]\nurl = \"http://{nobody}/\"\ncertificate = \"tsa.pem\"\n");
    let world = world.watched(&policy(&[&witness], 1), &more).await;
    let (_, admitted) = world.put_segment(&mut camera, 202).await;
    world.until_final(admitted.index + 2).await;
    let entry = world.running.appliance.ledger.entry(admitted.index + 1).unwrap().unwrap();
    let signed = SignedStatement::parse(&entry).unwrap();
    let Body::Timestamp(body) = &signed.statement().body else { panic!("{:?}", signed.statement().body) };
    let names: Vec<_> = body.attachments.iter().map(|attachment| attachment.name.as_str()).collect();
    assert_eq!(names, ["checkpoint"], "what the witnesses said goes on the ledger without tokens");
}

/// `openssl ts` behind HTTP, and its certificate.
fn timestamp_authority(folder: &Path) -> (String, String) {
    let config = "[tsa]\ndefault_tsa = t\n[t]\nserial = serial\nsigner_digest = sha256\ndefault_policy = 1.2.3.4.1\ndigests = sha256\naccuracy = secs:1\ness_cert_id_chain = no\ness_cert_id_alg = sha256\n[req]\ndistinguished_name = dn\nx509_extensions = ext\n[dn]\n[ext]\nextendedKeyUsage = critical,timeStamping\nkeyUsage = critical,digitalSignature\nbasicConstraints = critical,CA:FALSE\nsubjectKeyIdentifier = hash\n";
    std::fs::write(folder.join("ts.cnf"), config).unwrap();
    let openssl = |words: &str| {
        let made = Command::new("openssl").args(words.split(' ')).current_dir(folder).output().unwrap();
        assert!(made.status.success(), "openssl {words}: {}", String::from_utf8_lossy(&made.stderr));
    };
    openssl(
        "req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -subj /CN=TSA -days 10 -config ts.cnf -keyout ts.key -out ts.pem",
    );
    let certificate = std::fs::read_to_string(folder.join("ts.pem")).unwrap();
    let folder = folder.to_owned();
    let turn = Mutex::new(());
    let url = serve_http(Arc::new(move |_, query| {
        let _turn = turn.lock().unwrap();
        std::fs::write(folder.join("q.tsq"), query).unwrap();
        let words = "ts -reply -config ts.cnf -queryfile q.tsq -inkey ts.key -signer ts.pem -out r.tsr";
        let made = Command::new("openssl").args(words.split(' ')).current_dir(&folder).output().unwrap();
        assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
        Some((200, "application/timestamp-reply", std::fs::read(folder.join("r.tsr")).unwrap()))
    }));
    (url, certificate)
}

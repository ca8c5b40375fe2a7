//! A camera goes on in the log that follows its own: while it records, and when it comes back with a spool full of what it could not send.
#![allow(clippy::unwrap_used)]

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;

use exhibit_client::{Appliance, ClientIdentity};
use exhibit_e2e::agent::{AgentCamera, END_MAX, EVENT_MAX, event, wait_acknowledged};
use exhibit_e2e::process::{program, run};
use exhibit_e2e::world::{Person, World, now, past};
use exhibit_evidence::anchor::WitnessPolicy;
use exhibit_evidence::body::{EpochReason, Fetch, SeqRange};
use exhibit_evidence::exchange::EntryRecords;
use exhibit_evidence::verdict::Axis;
use exhibit_evidence::{Anchor, Body, Head, SignedStatement, Statement, StreamName};
use exhibit_tlog::{EMPTY_ROOT, Ed25519Cosigner, Hash, Note, NoteSignature, NoteSigner};
use zeroize::Zeroizing;

/// A moving test picture without end, as fast as it can be encoded: there is always something on its way.
const SOURCE: (&str, &[&str]) = ("test:", &["--no-live-speed"]);

struct Installation {
    world: World,
    custodian: Person,
    auditor: Person,
    camera: AgentCamera,
}

impl Installation {
    fn make() -> Self {
        let (world, custodian, auditor, camera) = AgentCamera::installed();
        Self { world, custodian, auditor, camera }
    }

    /// Ends the log, and serves where its successor is.
    fn succeed(&mut self) -> PathBuf {
        self.succeed_by(&self.world.state(), "next", "city.example/log/2")
    }

    fn succeed_by(&mut self, old: &Path, name: &str, origin: &str) -> PathBuf {
        let new = self.world.initialise(name);
        let mut succeed = Command::new(program("exhibit-appliance"));
        succeed.arg("succeed").arg("--state").arg(old).arg("--by").arg(&new).args(["--origin", origin]);
        run(&mut succeed).expect(0);
        self.world.start_appliance();
        new
    }

    /// Everything that the agent told to be acknowledged is on one of the two logs, in chains without a hole, and both are whole.
    async fn judge(&self, new: &Path) -> BTreeMap<String, Vec<SignedStatement>> {
        let anchor = Anchor::parse(&std::fs::read(new.join("anchor.json")).unwrap()).unwrap();
        let mut told: BTreeMap<String, Vec<u64>> = BTreeMap::new();
        for told_one in self.camera.told(&self.world) {
            told.entry(told_one.stream).or_default().push(told_one.seq);
        }
        let mut appliance = Appliance::new(self.world.address(), &self.custodian.identity(), &anchor).unwrap();
        let mut there = BTreeMap::new();
        for (stream, seqs) in &mut told {
            seqs.sort_unstable();
            let expected: Vec<u64> = (0..seqs.len() as u64).collect();
            assert_eq!(*seqs, expected, "{stream}: a statement was acknowledged twice or never");
            let mut statements = Vec::new();
            let mut after = String::new();
            loop {
                let page: EntryRecords = match appliance.get_json(&format!("/v1/streams/{stream}/entries?last=100000{after}")).await {
                    Ok(page) => page,
                    // All of it is on the log before.
                    Err(_) => break,
                };
                statements.extend(page.entries.iter().map(|record| appliance.open_record(record).unwrap().0));
                let Some(next) = page.next else { break };
                after = format!("&after={next}");
            }
            there.insert(stream.clone(), statements);
        }
        for state in [self.world.state(), new.to_owned()] {
            run(Command::new(program("exhibit-appliance")).arg("fsck").arg("--state").arg(state)).expect(0);
        }
        let state = self.world.folder().join("audit");
        let mut audit = Command::new(program("exhibit"));
        audit.args(["audit", "--once"]).arg(format!("https://{}/log", self.world.address())).arg("--anchor").arg(new.join("anchor.json"));
        run(audit.arg("--identity").arg(&self.auditor.folder).arg("--state").arg(state)).expect(0);
        there
    }
}

impl Installation {
    /// Fetches and exports all segments that one of the logs has, and has both verifiers judge the bundle by that log's anchor. Gives their number.
    async fn export(&self, new: &Path, is_ended: bool) -> usize {
        let (name, of_log) = if is_ended { ("old", self.world.anchor_path()) } else { ("new", new.join("anchor.json")) };
        let anchor = Anchor::parse(&std::fs::read(&of_log).unwrap()).unwrap();
        let open = if is_ended { Appliance::of_ended } else { Appliance::new };
        let mut appliance = open(self.world.address(), &self.custodian.identity(), &anchor).unwrap();
        let series = format!("{}/main", self.camera.subject);
        let (early, late) = (past(3_600_000), now());
        let mut segments = Vec::new();
        let mut after = String::new();
        loop {
            let page: EntryRecords =
                appliance.get_json(&format!("/v1/segments?series={series}&from={early}&to={late}{after}")).await.unwrap();
            segments.extend(page.entries.iter().map(|record| appliance.open_record(record).unwrap().0));
            let Some(next) = page.next else { break };
            after = format!("&after={next}");
        }
        let time = |signed: &SignedStatement| match &signed.statement().body {
            Body::Segment(segment) => (segment.start, segment.start.checked_add_ms(segment.duration_ms).unwrap()),
            other => panic!("{other:?}"),
        };
        let from = segments.iter().map(|signed| time(signed).0).min().unwrap();
        let to = segments.iter().map(|signed| time(signed).1).max().unwrap();
        let path = |kind: &str| self.world.folder().join(format!("{kind}-{name}"));
        let exhibit = |words: &[&str]| {
            let mut command = self.world.exhibit_command(&self.custodian);
            command.env("EXHIBIT_ANCHOR", new.join("anchor.json")).arg("--json").args(words);
            if is_ended {
                command.arg("--of-log").arg(&of_log);
            }
            command
        };
        let mut fetch = exhibit(&["fetch", "--series", &series, "--from", &from.to_string(), "--to", &to.to_string()]);
        let fetched = run(fetch.arg("--out").arg(path("case"))).expect(0);
        assert_eq!(fetched.json()["segments"].as_u64(), Some(segments.len() as u64), "what the log has was not fetched");
        let mut export = exhibit(&["export", "--purpose", "court"]);
        run(export.arg("--out").arg(path("bundle")).arg("--case").arg(path("case"))).expect(0);
        run(Command::new(program("exhibit")).arg("verify").arg(path("bundle")).arg("--anchor").arg(&of_log)).expect(0);
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../independent/verify_bundle.py");
        run(Command::new("/usr/bin/python3").arg(&script).arg("--anchor").arg(&of_log).arg(path("bundle"))).expect(0);
        // Every head that was observed is proven, of the logs before this one too: all that a witness has to add is a word.
        let demanding = path("demanding").with_extension("json");
        std::fs::write(&demanding, cosigned(&path("bundle"), anchor).to_json()).unwrap();
        run(Command::new(program("exhibit")).arg("verify").arg(path("bundle")).arg("--anchor").arg(&demanding)).expect(0);
        run(Command::new("/usr/bin/python3").arg(&script).arg("--anchor").arg(&demanding).arg(path("bundle"))).expect(0);
        segments.len()
    }
}

/// Puts the line of a witness under the checkpoint of a bundle, wherever it stands, and gives an anchor that demands it.
fn cosigned(bundle: &Path, mut anchor: Anchor) -> Anchor {
    let witness = Ed25519Cosigner::new("witness.example", &Zeroizing::new([7; 32])).unwrap();
    let checkpoint = std::fs::read_to_string(bundle.join("checkpoint")).unwrap();
    let line = NoteSignature::sign(Note::parse(&checkpoint).unwrap().text(), &witness, now().unix_s()).unwrap();
    let cosigned = format!("{checkpoint}{line}");
    let receipts = std::fs::read_dir(bundle.join("entries")).unwrap().map(|entry| entry.unwrap().path());
    for path in receipts.chain(["checkpoint", "export.tlog-proof"].map(|name| bundle.join(name))).filter(|path| path.exists()) {
        if path.extension().is_none_or(|extension| extension == "tlog-proof") {
            let text = std::fs::read_to_string(&path).unwrap();
            assert!(text.ends_with(&checkpoint), "{}", path.display());
            std::fs::write(&path, text.replace(&checkpoint, &cosigned)).unwrap();
        }
    }
    let policy = format!("witness w {}\nquorum w\n", witness.verifier_key());
    anchor.policy.witnesses = Some(WitnessPolicy::parse(&policy, &anchor.verifier).unwrap());
    anchor.policy.demands = vec![Axis::Witness];
    anchor
}

/// What came to the new log of a chain that began in the old one: its epoch, and everything behind the end there.
#[track_caller]
fn check_tail(tail: &[SignedStatement]) {
    let seqs: Vec<u64> = tail.iter().map(|signed| signed.statement().seq).collect();
    assert!(seqs.len() > 1 && seqs[0] == 0 && seqs[1] > 1, "the chain did not go on: {seqs:?}");
    assert!(seqs[1..].windows(2).all(|pair| pair[1] == pair[0] + 1), "a hole: {seqs:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_camera_that_records_goes_on_in_the_log_that_follows() {
    let mut made = Installation::make();
    let mut agent = made.camera.start(&made.world, SOURCE.0, SOURCE.1);
    let before = wait_acknowledged(&mut agent, |_, seq| seq >= 3);
    made.world.kill_appliance();
    let new = made.succeed();
    let went_on = agent.wait_for("going on", EVENT_MAX, event("went-on"));
    assert_eq!((went_on["origin"].as_str(), went_on["lost"].as_u64()), (Some("city.example/log/2"), Some(0)));
    let after = wait_acknowledged(&mut agent, |stream, seq| stream != before && seq >= 2);
    agent.ask_to_end();
    let ended = agent.wait_for("end", END_MAX, event("ended"));
    assert_eq!((ended["unsent"].as_u64(), ended["findings"].as_u64()), (Some(0), Some(0)), "{ended}");
    assert_eq!(agent.wait_exit(END_MAX).code(), Some(0));
    let there = made.judge(&new).await;
    check_tail(&there[&before]);
    let Body::Epoch(epoch) = &there[&after][0].statement().body else { panic!("a stream without its epoch") };
    let last = there[&before].last().unwrap();
    let previous = epoch.continues.previous.as_ref().unwrap();
    assert_eq!((epoch.continues.reason, previous.leaf), (EpochReason::Succession, last.leaf_hash()), "the epochs are not one recording");
    // All of it can be shown: what the old log has under its last checkpoint, what came since under the new one's.
    let shown = made.export(&new, true).await + made.export(&new, false).await;
    let segments = |signed: &&SignedStatement| matches!(signed.statement().body, Body::Segment(_));
    assert!(shown > there.values().flatten().filter(segments).count(), "the old log shows nothing");
    assert_eq!(shown as u64, ended["segments"].as_u64().unwrap(), "what was recorded is not shown");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_camera_that_comes_back_sends_what_it_had_for_the_old_log() {
    let mut made = Installation::make();
    let mut agent = made.camera.start(&made.world, SOURCE.0, SOURCE.1);
    let before = wait_acknowledged(&mut agent, |_, seq| seq >= 3);
    made.world.kill_appliance();
    for _ in 0..3 {
        agent.wait_for("segment", EVENT_MAX, event("sealed"));
    }
    agent.kill();
    let new = made.succeed();
    let mut agent = made.camera.start(&made.world, SOURCE.0, SOURCE.1);
    agent.wait_for("going on", EVENT_MAX, event("went-on"));
    let begun = agent.wait_for("epoch", EVENT_MAX, event("epoch"));
    wait_acknowledged(&mut agent, |stream, _| stream == before);
    agent.ask_to_end();
    let ended = agent.wait_for("end", END_MAX, event("ended"));
    assert_eq!(ended["unsent"].as_u64(), Some(0), "{ended}");
    assert_eq!(agent.wait_exit(END_MAX).code(), Some(0));
    let there = made.judge(&new).await;
    check_tail(&there[&before]);
    let Body::Epoch(epoch) = &there[begun["stream"].as_str().unwrap()][0].statement().body else { panic!("a stream without its epoch") };
    assert_eq!(epoch.continues.reason, EpochReason::Succession);
    made.export(&new, false).await;
}

/// What it had for the first log comes to the third, whose people, recipients and rights are those of the first; and what the first has is shown there.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_camera_that_was_away_for_two_successions_goes_on_in_the_third_log() {
    let mut made = Installation::make();
    let mut agent = made.camera.start(&made.world, SOURCE.0, SOURCE.1);
    let before = wait_acknowledged(&mut agent, |_, seq| seq >= 3);
    made.world.kill_appliance();
    for _ in 0..3 {
        agent.wait_for("segment", EVENT_MAX, event("sealed"));
    }
    agent.kill();
    let second = made.succeed();
    made.world.kill_appliance();
    let third = made.succeed_by(&second, "third", "city.example/log/3");
    let mut agent = made.camera.start(&made.world, SOURCE.0, SOURCE.1);
    for origin in ["city.example/log/2", "city.example/log/3"] {
        assert_eq!(agent.wait_for("going on", END_MAX, event("went-on"))["origin"], origin);
    }
    wait_acknowledged(&mut agent, |stream, _| stream == before);
    agent.ask_to_end();
    let ended = agent.wait_for("end", END_MAX, event("ended"));
    assert_eq!((ended["unsent"].as_u64(), ended["findings"].as_u64()), (Some(0), Some(0)), "{ended}");
    assert_eq!(agent.wait_exit(END_MAX).code(), Some(0));
    let there = made.judge(&third).await;
    check_tail(&there[&before]);
    assert!(made.export(&third, true).await > 0, "the first log shows nothing");
    made.export(&third, false).await;
}

/// Nobody gives a command: the appliance ends its log where the configuration says, and serves what goes on at the same place.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_log_that_has_reached_its_size_ends_by_itself() {
    let mut made = Installation::make();
    made.world.kill_appliance();
    let config = made.world.state().join("appliance.toml");
    std::fs::write(&config, format!("{}\nsuccession_entries = {ENTRIES_MAX}\n", std::fs::read_to_string(&config).unwrap())).unwrap();
    made.world.start_appliance();
    let mut agent = made.camera.start(&made.world, SOURCE.0, SOURCE.1);
    let before = wait_acknowledged(&mut agent, |_, seq| seq >= 3);
    made.fill(ENTRIES_MAX).await;
    let went_on = agent.wait_for("going on", END_MAX, event("went-on"));
    assert_eq!((went_on["origin"].as_str(), went_on["planned"].as_bool()), (Some("city.example/log/2"), Some(true)));
    wait_acknowledged(&mut agent, |stream, seq| stream != before && seq >= 2);
    agent.ask_to_end();
    let ended = agent.wait_for("end", END_MAX, event("ended"));
    assert_eq!((ended["unsent"].as_u64(), ended["findings"].as_u64()), (Some(0), Some(0)), "{ended}");
    assert_eq!(agent.wait_exit(END_MAX).code(), Some(0));
    made.judge(&made.world.state().join("successor-state")).await;
}

/// The least that can be configured.
const ENTRIES_MAX: u64 = 1_000;
/// Half of the connections that one certificate may have.
const ISSUERS: u64 = 8;

impl Installation {
    /// States so much that the log has that many entries. A log that ends meanwhile takes the last of them no more.
    async fn fill(&self, entries: u64) {
        // Each statement waits for a sync, which all share that wait at that moment.
        let mut issuing = tokio::task::JoinSet::new();
        for number in 0..ISSUERS {
            let (identity, appliance) = (self.custodian.identity(), self.custodian.connect(&self.world));
            let stream = StreamName::parse(&format!("{}/{}", self.custodian.subject, past(number * 1000).compact())).unwrap();
            issuing.spawn(fill_one(identity, appliance, stream, self.world.anchor().log, entries));
        }
        issuing.join_all().await;
    }
}

async fn fill_one(identity: ClientIdentity, mut appliance: Appliance, stream: StreamName, log: Hash, entries: u64) {
    let (mut prev, nothing) = (Hash([0; 32]), Head { size: 0, root: EMPTY_ROOT });
    for seq in 0..entries {
        let ranges = vec![SeqRange { stream: StreamName::parse("camera/102/main/1").unwrap(), first: 0, last: 0 }];
        let body = Body::Fetch(Fetch { grant: None, ranges, attachments: Vec::new() });
        let statement = Statement { log, stream: stream.clone(), seq, prev, issued: now(), observed: nothing, body };
        let signed = exhibit_evidence::sign(&statement, &identity.certificate, identity.signer.as_ref()).unwrap();
        prev = signed.leaf_hash();
        match appliance.put(&signed, &[], None).await {
            Ok(receipt) if receipt.index < entries => {}
            _ => return,
        }
    }
}

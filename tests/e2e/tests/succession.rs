//! A camera goes on in the log that follows its own: while it records, and when it comes back with a spool full of what it could not send.
#![allow(clippy::unwrap_used)]

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;

use exhibit_client::Appliance;
use exhibit_e2e::agent::{AgentCamera, END_MAX, EVENT_MAX, event, wait_acknowledged};
use exhibit_e2e::process::{program, run};
use exhibit_e2e::world::{Person, World};
use exhibit_evidence::body::EpochReason;
use exhibit_evidence::exchange::EntryRecords;
use exhibit_evidence::{Anchor, Body, SignedStatement};

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
        let (old, new) = (self.world.state(), self.world.initialise("next"));
        let mut succeed = Command::new(program("exhibit-appliance"));
        succeed.arg("succeed").arg("--state").arg(&old).arg("--by").arg(&new).args(["--origin", "city.example/log/2"]);
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
}

//! A log is lost, and nothing of it can be read: its authority and its custodian state again what they had stated to it, and what a camera recorded
//! under recipients that were lost with it comes to the log that goes on, and is exported.
#![allow(clippy::unwrap_used)]

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use exhibit_client::Appliance;
use exhibit_e2e::agent::{AgentCamera, END_MAX, EVENT_MAX, event, wait_acknowledged};
use exhibit_e2e::process::{Outcome, Running, program, run};
use exhibit_e2e::world::{Person, World, now, past};
use exhibit_evidence::exchange::EntryRecords;
use exhibit_evidence::{Body, SignedStatement};
use serde_json::Value;

/// A moving test picture without end, as fast as it can be encoded: there is always something on its way.
const SOURCE: (&str, &[&str]) = ("test:", &["--no-live-speed"]);

struct Installation {
    world: World,
    custodian: Person,
    auditor: Person,
    camera: AgentCamera,
}

impl Installation {
    /// The anchor of the lost log is all that is left of it, beside one of its checkpoints.
    fn lose(&mut self) -> (PathBuf, PathBuf) {
        let (anchor, checkpoint) = (self.world.folder().join("lost-anchor.json"), self.world.folder().join("checkpoint"));
        fs::copy(self.world.anchor_path(), &anchor).unwrap();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let note = runtime.block_on(async { self.custodian.connect(&self.world).signed_checkpoint(None).await.unwrap().0 });
        fs::write(&checkpoint, note).unwrap();
        self.world.kill_appliance();
        fs::remove_dir_all(self.world.state()).unwrap();
        (anchor, checkpoint)
    }

    fn begin_anew(&mut self, anchor: &Path, checkpoint: &Path) {
        let new = self.world.initialise("appliance");
        let mut create = Command::new(program("exhibit-appliance"));
        create.arg("create-log").arg("--state").arg(&new).args(["--origin", "city.example/log/2"]);
        create.arg("--chain").arg(self.world.pki().join("chain.pem")).arg("--root").arg(self.world.pki().join("root.pem"));
        run(create.arg("--predecessor").arg(anchor).arg("--last-checkpoint").arg(checkpoint)).expect(0);
        self.world.start_appliance();
    }

    fn authority_restates(&self, of_log: &Path) -> Outcome {
        let mut restate = Command::new(program("exhibit-authority"));
        restate.args(["--json", "restate", "--appliance", self.world.address()]).arg("--dir").arg(self.world.pki());
        run(restate.arg("--anchor").arg(self.world.anchor_path()).arg("--of-log").arg(of_log))
    }

    fn restates(&self, of_log: &Path) -> Outcome {
        run(self.world.exhibit_command(&self.custodian).args(["--json", "restate", "--of-log"]).arg(of_log))
    }

    fn approves(&self) {
        let mut approve = self.world.exhibit_command(&self.custodian);
        run(approve.args(["--json", "approve", "genesis", "--yes", "--pin"]).arg(self.camera.pin_path(&self.world))).expect(0);
    }

    /// All segments that the log has, in the order of their chains.
    async fn segments(&self) -> Vec<SignedStatement> {
        let mut appliance = Appliance::new(self.world.address(), &self.custodian.identity(), &self.world.anchor()).unwrap();
        let (series, mut segments, mut after) = (format!("{}/main", self.camera.subject), Vec::new(), String::new());
        loop {
            let path = format!("/v1/segments?series={series}&from={}&to={}{after}", past(3_600_000), now());
            let page: EntryRecords = appliance.get_json(&path).await.unwrap();
            segments.extend(page.entries.iter().map(|record| appliance.open_record(record).unwrap().0));
            let Some(next) = page.next else { return segments };
            after = format!("&after={next}");
        }
    }

    /// Both verifiers find nothing bad in a bundle of all segments, and nothing undecided.
    fn export(&self, segments: &[SignedStatement]) {
        let span = |signed: &SignedStatement| match &signed.statement().body {
            Body::Segment(segment) => (segment.start, segment.start.checked_add_ms(segment.duration_ms).unwrap()),
            other => panic!("{other:?}"),
        };
        let (from, to) =
            (segments.iter().map(|signed| span(signed).0).min().unwrap(), segments.iter().map(|signed| span(signed).1).max().unwrap());
        let (case, bundle) = (self.world.folder().join("case"), self.world.folder().join("bundle"));
        let mut fetch = self.world.exhibit_command(&self.custodian);
        fetch.args([
            "--json",
            "fetch",
            "--series",
            &format!("{}/main", self.camera.subject),
            "--from",
            &from.to_string(),
            "--to",
            &to.to_string(),
        ]);
        let fetched = run(fetch.arg("--out").arg(&case)).expect(0);
        assert_eq!(fetched.json()["segments"].as_u64(), Some(segments.len() as u64), "what the log has was not fetched");
        let mut export = self.world.exhibit_command(&self.custodian);
        run(export.args(["--json", "export", "--purpose", "court"]).arg("--case").arg(&case).arg("--out").arg(&bundle)).expect(0);
        let verdict =
            run(Command::new(program("exhibit")).args(["--json", "verify"]).arg(&bundle).arg("--anchor").arg(self.world.anchor_path()));
        let verdict = verdict.expect(0).json();
        let findings = verdict["findings"].as_array().unwrap();
        let not_good: Vec<&Value> =
            findings.iter().filter(|finding| ["bad", "undecided"].contains(&finding["grade"].as_str().unwrap())).collect();
        assert!(not_good.is_empty(), "{not_good:?}");
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../independent/verify_bundle.py");
        run(Command::new("/usr/bin/python3").arg(script).arg("--anchor").arg(self.world.anchor_path()).arg(&bundle)).expect(0);
    }
}

fn waits_for(words: &'static str) -> impl Fn(&str) -> Option<Value> {
    move |line| event("upload-delayed")(line).filter(|event| event["reason"].as_str().is_some_and(|reason| reason.contains(words)))
}

fn until_sealed(agent: &mut Running, count: usize) {
    (0..count).for_each(|_| drop(agent.wait_for("segment", EVENT_MAX, event("sealed"))));
}

#[test]
fn what_was_recorded_under_recipients_that_were_lost_with_their_log_arrives_and_is_exported() {
    let (world, custodian, auditor, camera) = AgentCamera::installed();
    let mut made = Installation { world, custodian, auditor, camera };
    let mut agent = made.camera.start(&made.world, SOURCE.0, SOURCE.1);
    let before = wait_acknowledged(&mut agent, |_, seq| seq >= 3);
    let (lost, checkpoint) = made.lose();
    until_sealed(&mut agent, 2);
    agent.kill();
    // An epoch that the lost log never had.
    let mut agent = made.camera.start(&made.world, SOURCE.0, SOURCE.1);
    let offline = agent.wait_for("epoch", EVENT_MAX, event("epoch"))["stream"].as_str().unwrap().to_owned();
    until_sealed(&mut agent, 2);

    made.begin_anew(&lost, &checkpoint);
    // Nobody is known there: whoever stated something states it again, the authority first.
    let refused = made.restates(&lost).expect(2);
    assert!(refused.stderr.contains("certificate"), "{}", refused.stderr);
    assert_eq!(made.authority_restates(&lost).expect(0).json()["restated"].as_u64(), Some(6), "itself, two people with two each, a camera");
    made.approves();
    let went_on = agent.wait_for("going on", END_MAX, event("went-on"));
    assert_eq!(went_on["planned"].as_bool(), Some(false));
    let waiting = agent.wait_for("waiting", EVENT_MAX, waits_for("were lost with their log"));
    assert!(waiting["reason"].as_str().unwrap().contains("exhibit restate"), "it does not say what to do: {waiting}");
    assert_eq!(made.restates(&lost).expect(0).json()["restated"].as_u64(), Some(1));
    assert_eq!(made.restates(&lost).expect(0).json()["restated"].as_u64(), Some(1), "twice is once");
    wait_acknowledged(&mut agent, |stream, _| stream == before);
    wait_acknowledged(&mut agent, |stream, seq| stream == offline && seq >= 1);
    // Once the set is there, epochs are stated to the log that goes on.
    let after = wait_acknowledged(&mut agent, |stream, seq| stream != before && stream != offline && seq >= 2);
    agent.ask_to_end();
    let ended = agent.wait_for("end", END_MAX, event("ended"));
    assert_eq!(ended["unsent"].as_u64(), Some(0), "{ended}");
    assert_eq!(agent.wait_exit(END_MAX).code(), Some(0));

    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let segments = runtime.block_on(made.segments());
    let of = |stream: &str| segments.iter().filter(|signed| signed.statement().stream.as_str() == stream).count();
    assert!(of(&before) >= 1 && of(&offline) >= 2 && of(&after) >= 1, "{} {} {}", of(&before), of(&offline), of(&after));
    made.export(&segments);
    run(Command::new(program("exhibit-appliance")).arg("fsck").arg("--state").arg(made.world.state())).expect(0);
    let mut audit = Command::new(program("exhibit"));
    audit.args(["audit", "--once"]).arg(format!("https://{}/log", made.world.address())).arg("--anchor").arg(made.world.anchor_path());
    audit.arg("--identity").arg(&made.auditor.folder).arg("--state").arg(made.world.folder().join("audit"));
    run(&mut audit).expect(0);
    numbers_begin_where_they_are_told(&made);
}

/// Where a set can not be stated again, the first one here has a number above the last that cameras have obeyed.
fn numbers_begin_where_they_are_told(made: &Installation) {
    let (wrapping, signing) = (made.custodian.path("wrapping.pem"), made.custodian.path("signing.pem"));
    let set = |more: &[&str], exit: i32| {
        let words = ["recipients", "set", "--scope", "camera/104", "--recipient", &wrapping, "--custodian", &signing];
        made.world.exhibit(&made.custodian, &[&words[..], more].concat()).expect(exit)
    };
    assert_eq!(set(&["--number", "7"], 0).json()["number"].as_u64(), Some(7));
    assert!(set(&["--number", "9"], 64).stderr.contains("the next number follows"));
    assert_eq!(set(&[], 0).json()["number"].as_u64(), Some(8));
}

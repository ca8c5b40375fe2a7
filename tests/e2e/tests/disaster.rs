//! A log is lost but for a backup: custodians approve the one that goes on, each with their own key, and a camera that records goes on in it.
#![allow(clippy::unwrap_used)]

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use exhibit_e2e::agent::{AgentCamera, END_MAX, EVENT_MAX, event, wait_acknowledged};
use exhibit_e2e::process::{Outcome, program, run};
use exhibit_e2e::world::{Person, World, past, read_certificate};
use exhibit_evidence::anchor::PinnedCustodians;
use exhibit_evidence::bundle::{Manifest, entry_path};
use exhibit_evidence::{Body, SignedStatement};
use serde_json::Value;

const SOURCE: (&str, &[&str]) = ("test:", &["--no-live-speed"]);

/// Two of three custodians decide.
struct Installation {
    world: World,
    custodians: [Person; 3],
    camera: AgentCamera,
}

impl Installation {
    fn make() -> Self {
        let world = World::start();
        let custodians = ["first", "second", "third"].map(|name| world.person(name, "custodian"));
        let camera = AgentCamera::enrol_with(&world, "102", &custodians.each_ref(), 2);
        Self { world, custodians, camera }
    }

    /// One states the set, and no camera obeys it before another has approved it.
    fn set_recipients(&self, by: &Person) -> String {
        let mut set = self.set_command(by, "2");
        for custodian in &self.custodians {
            set.args(["--custodian", &custodian.path("signing.pem")]);
        }
        run(&mut set).expect(0).text("leaf")
    }

    fn set_command(&self, by: &Person, threshold: &str) -> Command {
        let mut set = self.world.exhibit_command(by);
        set.args(["--json", "recipients", "set", "--scope", &self.camera.subject, "--threshold", threshold]);
        set.args(["--recipient", &self.custodians[0].path("wrapping.pem")]);
        set
    }

    /// A set that one of them states alone waits, and bars nobody else's; the one that comes behind it can be approved, and it no more.
    fn sets_that_wait(&self) {
        let [first, second, third] = &self.custodians;
        let shown = |person: &Person| {
            let shown = self.world.exhibit(person, &["recipients", "show", "--scope", &self.camera.subject]).expect(0).json();
            (shown["leaf"].as_str().unwrap().to_owned(), shown["number"].as_u64().unwrap(), shown["waits"].as_bool().unwrap())
        };
        assert_eq!((shown(first).1, shown(first).2), (1, false));
        let alone = self.set_recipients(first);
        assert_eq!(shown(first), (alone.clone(), 2, true));
        let other = self.set_recipients(second);
        assert_eq!(shown(first), (other.clone(), 2, true), "the number of a set that waits is taken");
        self.world.exhibit(third, &["approve", "entry", "--yes", "--entry", &alone]).expect(2);
        // Nobody signs what was not shown, nor without having said yes.
        let unasked = self.world.exhibit(third, &["approve", "entry", "--entry", &other]).expect(64);
        assert!(unasked.stderr.contains("recipients/v1") && unasked.stderr.contains("--yes"), "{}", unasked.stderr);
        let declined = self.approve_at_terminal(third, &other, "no").expect(2);
        assert!(declined.stdout.contains("recipients/v1") && declined.stdout.contains("nothing was signed"), "{}", declined.stdout);
        assert_eq!(shown(first), (other.clone(), 2, true));
        self.approve_at_terminal(third, &other, "yes").expect(0);
        assert_eq!(shown(first), (other, 2, false));
        let mut twice = self.set_command(first, "2");
        for _ in 0..2 {
            twice.args(["--custodian", &first.path("signing.pem")]);
        }
        let refused = run(&mut twice).expect(64);
        assert!(refused.stderr.contains("different people"), "{}", refused.stderr);
    }

    /// What was recorded, as a bundle that is judged from the pinned custodians on: with the approvals that it brings, and without.
    fn exports_who_decided(&self, stream: &str, to: &str) {
        let first = &self.custodians[0];
        let folder = |name: &str| self.world.folder().join(name);
        let (case, bundle) = (folder("case"), folder("bundle"));
        let from = past(3_600_000).to_string();
        let series = stream.rsplit_once('/').unwrap().0;
        let mut fetch = self.world.exhibit_command(first);
        fetch.args(["--json", "fetch", "--series", series, "--from", &from, "--to", to, "--out"]).arg(&case);
        run(&mut fetch).expect(0);
        let mut export = self.world.exhibit_command(first);
        export.args(["--json", "export", "--purpose", "court", "--case"]).arg(&case).arg("--out").arg(&bundle);
        run(&mut export).expect(0);

        let mut anchor = self.world.anchor();
        let certificates = self.custodians.iter().map(|person| read_certificate(person.path("signing.pem").as_ref())).collect();
        anchor.policy.custodians = Some(PinnedCustodians { certificates, threshold: 2 });
        let pinned = folder("pinned-anchor.json");
        fs::write(&pinned, anchor.to_json()).unwrap();
        let verify = || run(Command::new(program("exhibit")).args(["--json", "verify"]).arg(&bundle).arg("--anchor").arg(&pinned));
        let verdict = verify().expect(0);
        assert!(!verdict.stdout.contains("recipients-threshold"), "{}", verdict.stdout);

        let approvals = entries(&bundle).into_iter().filter(|(_, signed)| matches!(signed.statement().body, Body::Approve(_)));
        let approvals: Vec<u64> = approvals.map(|(index, _)| index).collect();
        assert_eq!(approvals.len(), 1, "the approval of the set that was obeyed");
        let manifest_path = bundle.join("manifest.json");
        let mut manifest: Value = serde_json::from_slice(&fs::read(&manifest_path).unwrap()).unwrap();
        manifest["entries"].as_array_mut().unwrap().retain(|index| !approvals.contains(&index.as_u64().unwrap()));
        fs::write(&manifest_path, serde_json::to_vec(&manifest).unwrap()).unwrap();
        let verdict = verify().expect(1);
        assert!(verdict.stdout.contains("recipients-threshold"), "nobody asked who decided: {}", verdict.stdout);
    }

    /// What the backup has of the log that was lost is read through the one that goes on. Who exported it is stated there, which nothing in the bundle can
    /// show: that is undecided, and all else holds.
    fn exports_what_is_left(&self, stream: &str, to: &str) {
        let folder = |name: &str| self.world.folder().join(name);
        let (case, bundle, of_log) = (folder("case-of-lost"), folder("bundle-of-lost"), folder("lost").join("anchor.json"));
        let from = past(3_600_000).to_string();
        let series = stream.rsplit_once('/').unwrap().0;
        let mut fetch = self.world.exhibit_command(&self.custodians[0]);
        fetch.args(["--json", "fetch", "--series", series, "--from", &from, "--to", to, "--of-log"]).arg(&of_log).arg("--out").arg(&case);
        run(&mut fetch).expect(0);
        let mut export = self.world.exhibit_command(&self.custodians[0]);
        export.args(["--json", "export", "--purpose", "court", "--of-log"]).arg(&of_log);
        run(export.arg("--case").arg(&case).arg("--out").arg(&bundle)).expect(2);
        let verdict =
            run(Command::new(program("exhibit")).args(["--json", "verify"]).arg(&bundle).arg("--anchor").arg(&of_log)).expect(2).json();
        let findings = verdict["findings"].as_array().unwrap();
        let bad: Vec<&Value> = findings.iter().filter(|finding| finding["grade"] == "bad").collect();
        assert!(bad.is_empty(), "what only the loss made unprovable is bad: {bad:?}");
        let undecided: Vec<&Value> =
            findings.iter().filter(|finding| finding["grade"] == "undecided").map(|finding| &finding["kind"]).collect();
        assert_eq!(undecided, ["export-elsewhere"], "{verdict}");
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../independent/verify_bundle.py");
        run(Command::new("/usr/bin/python3").arg(script).arg("--anchor").arg(&of_log).arg(&bundle)).expect(2);
    }

    /// The disk is lost; what is left is a backup without any key, and a checkpoint. Another log goes on.
    fn lose_and_begin_anew(&mut self, backup: &PathBuf, checkpoint: &PathBuf) {
        let (state, lost) = (self.world.state(), self.world.folder().join("lost"));
        self.world.kill_appliance();
        fs::rename(&state, &lost).unwrap();
        let new = self.world.initialise("appliance");
        let mut create = Command::new(program("exhibit-appliance"));
        create.arg("create-log").arg("--state").arg(&new).args(["--origin", "city.example/log/2"]);
        create.arg("--chain").arg(self.world.pki().join("chain.pem")).arg("--root").arg(self.world.pki().join("root.pem"));
        create.arg("--predecessor").arg(lost.join("anchor.json")).arg("--last-checkpoint").arg(checkpoint);
        create.arg("--predecessor-state").arg(backup);
        let refused = run(&mut create).expect(2);
        assert!(refused.stderr.contains("--accept-older-state"), "a backup without the last head was taken: {}", refused.stderr);
        run(create.arg("--accept-older-state")).expect(0);
        // What is interrupted goes on by the same command.
        run(&mut create).expect(0);
        self.world.start_appliance();
    }

    /// `approve entry` as somebody at a terminal, who answers.
    fn approve_at_terminal(&self, custodian: &Person, leaf: &str, answer: &str) -> Outcome {
        let approve = self.world.exhibit_command(custodian);
        let program = approve.get_program().to_str().unwrap();
        let mut terminal = Command::new("sh");
        terminal.envs(approve.get_envs().filter_map(|(name, value)| Some((name, value?))));
        let line = format!("printf '{answer}\\n' | script --quiet --return --command '{program} approve entry --entry {leaf}' /dev/null");
        run(terminal.arg("-c").arg(line))
    }

    fn approve(&self, custodian: &Person, words: &[&str], exit: i32) -> Value {
        let mut approve = self.world.exhibit_command(custodian);
        approve.args(["--json", "approve"]).args(words).arg("--pin").arg(self.camera.pin_path(&self.world));
        serde_json::from_str(&run(&mut approve).expect(exit).stdout).unwrap()
    }

    fn back_up(&self) -> (PathBuf, PathBuf) {
        let (backup, checkpoint) = (self.world.folder().join("backup"), self.world.folder().join("checkpoint"));
        run(Command::new(program("exhibit-appliance")).arg("backup").arg("--state").arg(self.world.state()).arg(&backup)).expect(0);
        // Somebody has seen more than the backup has.
        self.set_recipients(&self.custodians[0]);
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let note = runtime.block_on(async { self.custodians[0].connect(&self.world).signed_checkpoint(None).await.unwrap().0 });
        fs::write(&checkpoint, note).unwrap();
        (backup, checkpoint)
    }
}

fn entries(bundle: &Path) -> Vec<(u64, SignedStatement)> {
    let manifest = Manifest::parse(&fs::read(bundle.join("manifest.json")).unwrap()).unwrap();
    let read = |index: u64| SignedStatement::parse(&fs::read(bundle.join(entry_path(index))).unwrap()).unwrap();
    manifest.entries.into_iter().map(|index| (index, read(index))).collect()
}

fn waits_for_approvals(given: u64) -> impl Fn(&str) -> Option<Value> {
    let words = format!("{given} of 2 custodians have approved the successor");
    move |line| event("upload-delayed")(line).filter(|event| event["reason"].as_str().is_some_and(|reason| reason.contains(&words)))
}

#[test]
fn two_of_three_custodians_approve_and_a_camera_goes_on() {
    let mut made = Installation::make();
    let set = made.set_recipients(&made.custodians[0]);
    let mut agent = made.camera.start(&made.world, SOURCE.0, SOURCE.1);
    let waiting = agent
        .wait_for("waiting", EVENT_MAX, |line| event("waiting")(line).filter(|event| event["reason"].to_string().contains("1 of the 2")));
    assert!(waiting["reason"].to_string().contains("exhibit approve entry"), "{waiting}");
    made.world.exhibit(&made.custodians[1], &["approve", "entry", "--yes", "--entry", &set]).expect(0);
    let third_start = agent.wait_for("sealed", EVENT_MAX, |line| event("sealed")(line).filter(|event| event["seq"] == 3))["start"].clone();
    let before = wait_acknowledged(&mut agent, |_, seq| seq >= 4);
    made.exports_who_decided(&before, third_start.as_str().unwrap());
    made.sets_that_wait();
    let (backup, checkpoint) = made.back_up();
    // Something that the backup has not.
    let size: u64 = fs::read_to_string(&checkpoint).unwrap().lines().nth(1).unwrap().parse().unwrap();
    let is_behind = |event: &Value| event["index"].as_u64().is_some_and(|index| index >= size);
    agent.wait_for("an acknowledgement", EVENT_MAX, |line| event("acknowledged")(line).filter(is_behind));

    made.lose_and_begin_anew(&backup, &checkpoint);
    agent.wait_for("waiting", EVENT_MAX, waits_for_approvals(0));
    let [first, second, third] = &made.custodians;
    assert_eq!(made.approve(first, &["status"], 1)["approved"], 0);
    let approved = made.approve(first, &["genesis", "--yes"], 0);
    assert_eq!((approved["approved"].as_u64(), approved["is_approved"].as_bool()), (Some(1), Some(false)), "{approved}");
    assert_eq!(approved["missing"].as_array().unwrap().len(), 2);
    // With one it waits and says for what; once more by the same is nothing more; and it does so also when it is started again.
    agent.wait_for("waiting", EVENT_MAX, waits_for_approvals(1));
    assert_eq!(made.approve(first, &["genesis", "--yes"], 0)["approved"], 1, "one custodian counted twice");
    agent.kill();
    let mut agent = made.camera.start(&made.world, SOURCE.0, SOURCE.1);
    agent.wait_for("recording", EVENT_MAX, event("sealed"));
    agent.wait_for("waiting", EVENT_MAX, waits_for_approvals(1));

    let approved = made.approve(third, &["genesis", "--yes"], 0);
    assert_eq!((approved["approved"].as_u64(), approved["is_approved"].as_bool()), (Some(2), Some(true)), "{approved}");
    let went_on = agent.wait_for("going on", END_MAX, event("went-on"));
    assert_eq!((went_on["origin"].as_str(), went_on["planned"].as_bool()), (Some("city.example/log/2"), Some(false)));
    assert!(went_on["lost"].as_u64().unwrap() > 0, "what was lost is not told");
    wait_acknowledged(&mut agent, |stream, seq| stream != before && seq >= 2);
    agent.ask_to_end();
    let ended = agent.wait_for("end", END_MAX, event("ended"));
    assert_eq!(ended["unsent"].as_u64(), Some(0), "{ended}");
    assert_eq!(agent.wait_exit(END_MAX).code(), Some(0));
    assert_eq!(made.approve(second, &["status"], 0)["approved"], 2);
    made.exports_what_is_left(&before, third_start.as_str().unwrap());
    run(Command::new(program("exhibit-appliance")).arg("fsck").arg("--state").arg(made.world.state())).expect(0);
}

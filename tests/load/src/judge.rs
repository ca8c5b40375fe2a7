//! The end of every run: all that cameras were promised is there, once, in its chain and with its ciphertext, and the rest is in their spools.
//!
//! It believes neither the cameras' events nor the appliance's answers: the ledger, the vault and the spools are read.

use std::collections::BTreeSet;
use std::process::Command;

use exhibit_camera_core::spool::Spool;
use exhibit_e2e::oracle::{self, Case, Report, Spooling};
use exhibit_e2e::process::{program, run};

use crate::camera::Camera;
use crate::run::{Outcome, Site, runtime};

/// What was judged and found good.
#[derive(Clone, Copy, Debug)]
pub struct Judged {
    /// By the oracle of the end-to-end tests.
    pub oracle: Report,
    /// Segments that cameras sealed.
    pub sealed: u64,
    /// Of those, the ones that cameras had verified receipts of.
    pub acknowledged: u64,
    /// And those that are whole in the cameras' spools. The ledger may have some of them: it is the answer that was lost.
    pub spooled: u64,
    /// Entries that `fsck` hashed, with every object that they name.
    pub checked: u64,
}

/// Judges everything, and ends the appliance by SIGKILL.
///
/// # Panics
/// With the harm.
pub fn judge(site: &mut Site, outcome: &Outcome) -> Judged {
    let cameras: Vec<&dyn Spooling> = outcome.cameras.iter().map(|camera| camera as &dyn Spooling).collect();
    let case =
        Case { world: &site.world, auditor: &site.auditor, custodian: &site.custodian, cameras: &cameras, told: &[], remembered: &[] };
    let report = runtime().block_on(oracle::judge(&case));
    let mut judged = Judged { oracle: report, sealed: 0, acknowledged: 0, spooled: 0, checked: 0 };
    outcome.cameras.iter().for_each(|camera| judge_camera(camera, &mut judged));
    assert_eq!(report.contradictions, 0, "a camera was convicted of saying two things");
    assert!(
        judged.acknowledged <= report.segments,
        "{} segments were acknowledged, {} are on the ledger",
        judged.acknowledged,
        report.segments
    );
    assert!(report.segments <= judged.sealed, "{} segments were sealed, {} are on the ledger", judged.sealed, report.segments);
    site.world.kill_appliance();
    let fsck = run(Command::new(program("exhibit-appliance")).args(["--json", "fsck", "--state"]).arg(site.world.state())).expect(0).json();
    assert_eq!(fsck["complete"], true, "the vault was not checked to its end");
    judged.checked = fsck["entries"].as_u64().expect("counts are numbers");
    assert!(judged.checked >= report.entries, "fsck saw fewer entries than the oracle");
    judged
}

/// Whatever it has sealed is acknowledged, or whole in its spool and known to be unsent.
fn judge_camera(camera: &Camera, judged: &mut Judged) {
    let name = &camera.subject;
    assert_eq!(camera.findings, Vec::<String>::new(), "{name} found something that a person would have to look at");
    let spool = Spool::open(&camera.state().join("spool"), u64::MAX, usize::MAX);
    let spool = spool.unwrap_or_else(|error| panic!("{name}: {error}"));
    assert_eq!(spool.findings(), Vec::<String>::new(), "{name}: its spool is damaged");
    let unsent: BTreeSet<(String, u64)> = spool.unsent().map(|(stream, seq)| (stream.as_str().to_owned(), seq)).collect();
    for ((stream, seq), segment) in &camera.segments {
        let waits = unsent.contains(&(stream.clone(), *seq));
        judged.sealed += 1;
        match (segment.acknowledged.is_some(), waits) {
            (true, false) => judged.acknowledged += 1,
            (false, true) => {
                let parsed = exhibit_evidence::StreamName::parse(stream).expect("it was read from a stream's name");
                let spooled =
                    spool.load(&parsed, *seq).unwrap_or_else(|error| panic!("{name}: segment {seq} of {stream} is lost: {error}"));
                assert!(spooled.payload.is_some_and(|payload| payload.is_file()), "{name}: the ciphertext of segment {seq} is lost");
                judged.spooled += 1;
            }
            (false, false) => panic!("{name}: segment {seq} of {stream} is neither acknowledged nor in the spool"),
            (true, true) => panic!("{name}: segment {seq} of {stream} was acknowledged, and its spool does not know it"),
        }
    }
}

//! Bundles in folders, good, bad and not to be judged, with what our verifier says of each: for other verifiers to agree with.

use std::collections::BTreeSet;
use std::path::PathBuf;

use exhibit_evidence::Anchor;
use exhibit_evidence::bundle::fragment_path;
use exhibit_evidence::verdict::{FindingKind, Verdict};
use exhibit_evidence::verify::verify;
use exhibit_tlog::Hash;

use crate::anchors::written;
use crate::common::remembered::Remembered;
use crate::copies::{TRICKS, exported_with};
use crate::defects::{DEFECTS, WRONGS};
use crate::synthetic::{CAMERA_STREAM, Case, Files, JUDGED, Recording, other_note_key};

/// A bundle in a folder, and what our verifier says of it.
pub struct Trial {
    pub name: String,
    /// Holds `anchor.json` and the folder `bundle`.
    pub place: PathBuf,
    pub files: Files,
    /// Or why there is no verdict.
    pub ours: Result<Verdict, String>,
}

/// Bundles to be judged by several.
pub struct Trials {
    root: tempfile::TempDir,
    pub all: Vec<Trial>,
}

/// Every synthetic bundle: each defect and each wrong, anchors that do not fit, what is no bundle, and what the tests of the axes judge.
pub fn trials() -> Trials {
    let mut trials = Trials::new();
    trials.add("untouched", &Case::new(), |_| ());
    for (defect, spoil, _) in DEFECTS {
        let mut case = Case::new();
        spoil(&mut case);
        trials.add(defect, &case, |_| ());
    }
    for (wrong, how, _) in WRONGS {
        trials.add(wrong, &Case::recorded(*how), |_| ());
    }
    for late_ms in [1_000, 1_001] {
        let how = Recording { late: Some((3, late_ms)), ..Recording::default() };
        trials.add(&format!("a segment begins {late_ms} ms late"), &Case::recorded(how), |_| ());
    }
    let mut case = Case::new();
    case.withhold(3);
    trials.add("a segment is withheld", &case, |_| ());
    for (trick, how) in TRICKS {
        trials.add(&format!("the playable copy: {trick}"), &exported_with(*how), |_| ());
    }
    let mut case = Case::new();
    case.replace_entry(case.fetch_index, b"not a signed statement");
    trials.add("an entry is no statement", &case, |_| ());
    let mut case = Case::new();
    case.file(&fragment_path(CAMERA_STREAM, 3, 1))[4] ^= 1;
    trials.add("a byte of a fragment is changed", &case, |_| ());
    let case = Case::new();
    trials.add("the anchor is another log's", &case, |anchor| anchor.log = Hash([7; 32]));
    trials.add("the anchor has another key", &case, |anchor| anchor.verifier.keys = vec![other_note_key()]);
    trials.add("the anchor has one key more", &case, |anchor| anchor.verifier.keys.push(other_note_key()));
    trials.add("the anchor has another origin", &case, |anchor| anchor.verifier.origin.push('2'));
    trials.add("the anchor trusts another root", &case, |anchor| {
        anchor.roots = vec![crate::synthetic::foreign_root()];
    });
    for manifest in [&b"{}"[..], b"", b"\xff", b"{\"type\":\"exhibit-bundle/v2\"}"] {
        let mut case = Case::new();
        *case.file("manifest.json") = manifest.to_vec();
        trials.add("the manifest is none", &case, |_| ());
    }
    trials.add_anchors();
    trials.add_all_that_tests_judge();
    trials
}

impl Trials {
    /// Each kind of finding is met on each of its axes: so that both verifiers have told it, and the page's table says no more than is true.
    pub fn assert_every_kind_is_met(&self) {
        let findings = self.all.iter().filter_map(|trial| trial.ours.as_ref().ok()).flat_map(|verdict| &verdict.findings);
        let met: BTreeSet<_> = findings.map(|finding| (finding.kind, finding.axis)).collect();
        let all = FindingKind::ALL.iter().flat_map(|kind| kind.axes().iter().map(|axis| (*kind, *axis)));
        let unmet: Vec<_> = all.filter(|pair| !met.contains(pair)).collect();
        assert!(unmet.is_empty(), "no bundle among those that are compared shows {unmet:?}");
    }

    pub fn new() -> Self {
        Self { root: tempfile::tempdir().unwrap(), all: Vec::new() }
    }

    /// Adds a case, judged by its log's anchor as `change` leaves that.
    fn add(&mut self, name: &str, case: &Case, change: fn(&mut Anchor)) {
        let mut anchor = case.log.anchor();
        change(&mut anchor);
        self.add_files(name, &case.files, &anchor);
    }

    /// One bundle, by whatever is written as an anchor.
    fn add_anchors(&mut self) {
        let case = Case::new();
        for (name, json, _) in written(&case) {
            self.add_written(&format!("an anchor: {name}"), &case.files, &json);
        }
    }

    /// What the tests of the axes judge, one after the other.
    fn add_all_that_tests_judge(&mut self) {
        let tests = [
            crate::asked_for::TESTS,
            crate::continued::TESTS,
            crate::dated::TESTS,
            crate::decided::TESTS,
            crate::second::TESTS,
            crate::devices::TESTS,
            crate::folders::TESTS,
            crate::introduced::TESTS,
            crate::issuers::TESTS,
            crate::limits::TESTS,
            crate::named::TESTS,
            crate::revoked::TESTS,
            crate::witnessed::TESTS,
        ]
        .concat();
        for (number, test) in tests.into_iter().enumerate() {
            JUDGED.take();
            test();
            for (place, (files, anchor)) in JUDGED.take().into_iter().enumerate() {
                self.add_files(&format!("bundle {place} of test {number} of the axes"), &files, &anchor);
            }
        }
    }

    pub fn add_files(&mut self, name: &str, files: &Files, anchor: &Anchor) {
        self.add_written(name, files, &anchor.to_json());
    }

    /// The same, by an anchor as it is written, which may be none.
    fn add_written(&mut self, name: &str, files: &Files, anchor: &str) {
        let place = self.root.path().join(self.all.len().to_string());
        files.write_to(&place.join("bundle"));
        std::fs::write(place.join("anchor.json"), anchor).unwrap();
        let ours = match Anchor::parse(anchor.as_bytes()) {
            Ok(anchor) => verify(files, &anchor, &Remembered).map_err(|error| error.to_string()),
            Err(error) => Err(error.to_string()),
        };
        self.all.push(Trial { name: name.to_owned(), place, files: files.clone(), ours });
    }
}

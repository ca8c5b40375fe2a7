//! Bundles in folders, good, bad and not to be judged, with what our verifier says of each: for other verifiers to agree with.

use std::path::PathBuf;

use exhibit_evidence::Anchor;
use exhibit_evidence::bundle::fragment_path;
use exhibit_evidence::verdict::Verdict;
use exhibit_evidence::verify::{CannotJudge, verify};
use exhibit_tlog::Hash;

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
    pub ours: Result<Verdict, CannotJudge>,
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
    trials.add_all_that_tests_judge();
    trials
}

impl Trials {
    pub fn new() -> Self {
        Self { root: tempfile::tempdir().unwrap(), all: Vec::new() }
    }

    /// Adds a case, judged by its log's anchor as `change` leaves that.
    fn add(&mut self, name: &str, case: &Case, change: fn(&mut Anchor)) {
        let mut anchor = case.log.anchor();
        change(&mut anchor);
        self.add_files(name, &case.files, &anchor);
    }

    /// What the tests of the axes judge, one after the other.
    fn add_all_that_tests_judge(&mut self) {
        let tests = [
            crate::asked_for::TESTS,
            crate::continued::TESTS,
            crate::dated::TESTS,
            crate::decided::TESTS,
            crate::devices::TESTS,
            crate::introduced::TESTS,
            crate::issuers::TESTS,
            crate::limits::TESTS,
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
        let place = self.root.path().join(self.all.len().to_string());
        files.write_to(&place.join("bundle"));
        let json = anchor.to_json();
        std::fs::write(place.join("anchor.json"), &json).unwrap();
        // Some tests make anchors that are none, to show what they would do.
        let ours = match Anchor::parse(json.as_bytes()) {
            Ok(anchor) => verify(files, &anchor, &Remembered),
            Err(error) => Err(CannotJudge::NotABundle(error.to_string())),
        };
        self.all.push(Trial { name: name.to_owned(), place, files: files.clone(), ours });
    }
}

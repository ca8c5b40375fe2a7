//! What a camera was promised: each receipt in its spool is of an entry that is on the ledger once, at that index.
//!
//! It reads the spool's files as docs/formats/spool.md has them, and does not use the agent's own reader.

use std::{
    fs,
    path::{Path, PathBuf},
};

use exhibit_evidence::{Anchor, SignedStatement};
use exhibit_tlog::LogProof;

use super::{Log, Report};

/// Judges every receipt below a camera's state folder.
pub(crate) fn judge(camera: &Path, anchor: &Anchor, log: &Log, report: &mut Report) {
    for path in files_below(camera).into_iter().filter(|path| path.extension().is_some_and(|extension| extension == "entry")) {
        let name = path.display();
        let receipt_path = path.with_extension("receipt");
        if !receipt_path.exists() {
            report.unsent += 1;
            continue;
        }
        let entry = fs::read(&path).expect("the spool can be read");
        let signed = SignedStatement::parse(&entry).unwrap_or_else(|error| panic!("{name} was acknowledged, and is malformed: {error}"));
        let leaf = signed.leaf_hash();
        let text = fs::read_to_string(&receipt_path).expect("the spool can be read");
        let proof = LogProof::parse(&text).unwrap_or_else(|error| panic!("the receipt of {name} is none: {error}"));
        let head = proof.verify(&leaf, &anchor.verifier).unwrap_or_else(|error| panic!("the receipt of {name} does not verify: {error}"));
        assert_eq!(log.root_at(head.size), head.root, "the receipt of {name} stands under a head that is not of this log");
        let times = log.leaves.iter().filter(|found| **found == leaf).count();
        assert!(times > 0, "{name} was acknowledged, and is not on the ledger");
        assert_eq!(times, 1, "{name} is on the ledger twice");
        let index = usize::try_from(proof.index).expect("logs of tests are small");
        assert_eq!(log.leaves[index], leaf, "{name} was acknowledged at index {index}, and stands elsewhere");
        report.receipts += 1;
    }
}

/// All files in a folder and the folders in it.
fn files_below(folder: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    let mut waiting = vec![folder.to_owned()];
    while let Some(folder) = waiting.pop() {
        for entry in fs::read_dir(&folder).unwrap_or_else(|error| panic!("{} can not be read: {error}", folder.display())) {
            let path = entry.expect("a folder can be read to its end").path();
            if path.is_dir() { waiting.push(path) } else { files.push(path) }
        }
    }
    files
}

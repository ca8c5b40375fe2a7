//! Makes the synthetic bundles seeds of the fuzz corpus.

use std::path::Path;

use crate::defects::WRONGS;
use crate::synthetic::Case;

#[path = "../../../tests/fuzz/write.rs"]
mod write;

#[test]
#[ignore = "writes the seeds of the fuzz corpus (docs/testing.md)"]
fn write_the_fuzz_corpus() {
    let seed = |name: &str, case: &Case| write::seed(env!("CARGO_MANIFEST_DIR"), "bundle", name, &packed(case));
    seed("whole", &Case::new());
    for (wrong, how, _) in WRONGS {
        seed(&wrong.replace(|character: char| !character.is_ascii_alphanumeric(), "-"), &Case::recorded(*how));
    }
    let case = Case::new();
    for (name, file) in [("manifest", "manifest.json"), ("disclosure", "/disclosure.json")] {
        let (_, json) = case.files.0.iter().find(|(path, _)| path.ends_with(file)).unwrap();
        write::seed(env!("CARGO_MANIFEST_DIR"), "manifest", name, json);
    }
    let (_, entry) = case.files.0.iter().find(|(path, _)| Path::new(path).extension().is_some_and(|kind| kind == "p7s")).unwrap();
    write::seed(env!("CARGO_MANIFEST_DIR"), "signed-statement", "genesis", entry);
    write::seed(env!("CARGO_MANIFEST_DIR"), "anchor", "synthetic", case.log.anchor().to_json().as_bytes());
}

/// All files of a bundle and its anchor in one, as the fuzz targets read them: each path after its length, each file after its.
fn packed(case: &Case) -> Vec<u8> {
    let anchor = ("anchor.json".to_owned(), case.log.anchor().to_json().into_bytes());
    let mut packed = Vec::new();
    for (path, bytes) in [anchor].iter().map(|(path, bytes)| (path, bytes)).chain(&case.files.0) {
        packed.extend_from_slice(&u16::try_from(path.len()).unwrap().to_be_bytes());
        packed.extend_from_slice(path.as_bytes());
        packed.extend_from_slice(&u32::try_from(bytes.len()).unwrap().to_be_bytes());
        packed.extend_from_slice(bytes);
    }
    packed
}

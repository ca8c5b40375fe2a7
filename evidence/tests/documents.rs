//! The worked examples of docs/formats/ are what the vectors beside the tests hold, byte for byte.

#![allow(clippy::unwrap_used)]

#[path = "../../tests/documents/rows.rs"]
mod rows;

use std::{fs, path::PathBuf};

fn read(path: &str) -> String {
    fs::read_to_string(PathBuf::from(env!("CARGO_MANIFEST_DIR")).join(path)).unwrap()
}

#[test]
fn signed_statements_are_as_documented() {
    let page = read("../docs/formats/signed-statement.md");
    let mut examples = 0;
    for example in page.split("`evidence/tests/vectors/").skip(1) {
        let (folder, text) = example.split_once("/`").unwrap();
        let entry = hex::decode(read(&format!("tests/vectors/{folder}/entry.hex")).replace('\n', "")).unwrap();
        assert!(rows::check(folder, text, &entry) > 5, "{folder}: the example is incomplete");
        examples += 1;
    }
    assert_eq!(examples, 3, "one for each suite");
}

#[test]
fn the_envelope_to_cards_is_as_documented() {
    let page = read("../docs/formats/envelope.md");
    let example = page.split("`evidence/tests/vectors/envelope-cards.der`").nth(1).unwrap();
    let envelope = fs::read(PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/vectors/envelope-cards.der")).unwrap();
    assert!(rows::check("envelope-cards.der", example, &envelope) > 5, "the example is incomplete");
}

//! The worked examples of docs/formats/ are what the vectors beside the tests hold, byte for byte.

#![allow(clippy::unwrap_used)]

#[path = "../../tests/documents/rows.rs"]
mod rows;

use std::collections::BTreeMap;
use std::{fs, path::PathBuf};

use exhibit_evidence::exchange::Terms;
use exhibit_evidence::verdict::{Axis, FindingKind};

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

/// Demands, and the agreement of two verifiers, hang on the axis of what is found. That the code keeps to these axes, it checks itself at each
/// finding of a test; that each of them is met, `verify/trials.rs`.
#[test]
fn the_axes_of_every_kind_of_finding_are_as_documented() {
    let page = read("../docs/formats/bundle.md");
    let (_, table) = page.split_once("| kind | axis | step | means |\n").unwrap();
    let mut documented = BTreeMap::new();
    for row in table.lines().skip(1).take_while(|line| line.starts_with("| ")) {
        let cells: Vec<_> = row.split(" | ").collect();
        let kinds: Vec<&str> = cells[0].trim_start_matches("| ").split(", ").map(|kind| kind.trim_matches('`')).collect();
        kinds.into_iter().for_each(|kind| assert_eq!(documented.insert(kind, cells[1]), None, "{kind} stands twice"));
    }
    let in_words = |axes: &[Axis]| match axes {
        axes if axes == Axis::ALL => "each".to_owned(),
        axes => axes.iter().map(ToString::to_string).collect::<Vec<_>>().join(", "),
    };
    for kind in FindingKind::ALL {
        let name = serde_json::to_value(kind).unwrap();
        assert_eq!(documented.remove(name.as_str().unwrap()), Some(in_words(kind.axes()).as_str()), "{name}");
    }
    assert!(documented.is_empty(), "no finding is of the kinds {documented:?}");
}

#[test]
fn the_terms_of_a_grant_are_as_documented() {
    let page = read("../docs/formats/statement.md");
    let (_, example) = page.split_once("```json\n{\"type\":\"exhibit-terms/v1\"").unwrap();
    let json = format!("{{\"type\":\"exhibit-terms/v1\"{}", example.split("```").next().unwrap());
    let terms = Terms::parse(json.as_bytes(), "camera/102").unwrap();
    assert_eq!(serde_json::to_string(&terms).unwrap(), json.replace("\n ", "").trim_end(), "in the order of the page");
}

//! The worked examples of docs/formats/ are what the vectors beside the tests hold, byte for byte.

#![allow(clippy::unwrap_used)]

use std::{fs, path::PathBuf};

fn read(path: &str) -> String {
    fs::read_to_string(PathBuf::from(env!("CARGO_MANIFEST_DIR")).join(path)).unwrap()
}

/// A row `| at | bytes | what |`: where, and what stands before and behind "…".
struct Row {
    at: usize,
    start: Vec<u8>,
    /// `None` where there is no "…" and the bytes are all there are before the next row.
    end: Option<Vec<u8>>,
}

fn row(line: &str) -> Option<Row> {
    let mut cells = line.strip_prefix("| ")?.split(" | ");
    let at = cells.next()?.parse().ok()?;
    let bytes = cells.next()?.trim_matches('`');
    let hex = |text: &str| hex::decode(text.replace(' ', "")).unwrap();
    Some(match bytes.split_once('…') {
        Some((start, end)) => Row { at, start: hex(start), end: Some(hex(end)) },
        None => Row { at, start: hex(bytes), end: None },
    })
}

/// The rows of a table must leave nothing out between them.
fn check(file: &str, bytes: &[u8], rows: &[Row]) {
    assert!(rows.len() > 5 && rows[0].at == 0, "{file}: the example is incomplete");
    for (position, row) in rows.iter().enumerate() {
        let until = rows.get(position + 1).map_or(bytes.len(), |next| next.at);
        let found = &bytes[row.at..until];
        match &row.end {
            None => assert_eq!(hex::encode(found), hex::encode(&row.start), "{file} at {}", row.at),
            Some(end) => {
                assert!(found.starts_with(&row.start) && found.ends_with(end), "{file} at {}: {}", row.at, hex::encode(found));
            }
        }
    }
}

#[test]
fn signed_statements_are_as_documented() {
    let page = read("../docs/formats/signed-statement.md");
    let mut examples = 0;
    for example in page.split("`evidence/tests/vectors/").skip(1) {
        let (folder, text) = example.split_once("/`").unwrap();
        let entry = hex::decode(read(&format!("tests/vectors/{folder}/entry.hex")).replace('\n', "")).unwrap();
        check(folder, &entry, &text.lines().filter_map(row).collect::<Vec<_>>());
        examples += 1;
    }
    assert_eq!(examples, 3, "one for each suite");
}

#[test]
fn the_envelope_to_cards_is_as_documented() {
    let page = read("../docs/formats/envelope.md");
    let example = page.split("`evidence/tests/vectors/envelope-cards.der`").nth(1).unwrap();
    let envelope = fs::read(PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/vectors/envelope-cards.der")).unwrap();
    check("envelope-cards.der", &envelope, &example.lines().filter_map(row).collect::<Vec<_>>());
}

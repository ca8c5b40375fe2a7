//! The worked examples of docs/formats/ as tables `| at | bytes | what |`, against the bytes that they are of. Included by tests of several crates.

/// A row: where its bytes begin, and what stands before and behind "…".
struct Row {
    at: usize,
    start: Vec<u8>,
    /// `None` where there is no "…" and the bytes are all there are before the next row.
    end: Option<Vec<u8>>,
}

/// Compares the rows in a part of a page with the bytes that they show: each byte stands in a row, or between the two ends that a row shows.
/// Gives how many rows there are.
pub fn check(what: &str, text: &str, bytes: &[u8]) -> usize {
    let rows: Vec<Row> = text.lines().filter_map(row).collect();
    assert!(rows.first().is_none_or(|first| first.at == 0), "{what}: its beginning is not shown");
    for (position, row) in rows.iter().enumerate() {
        let until = rows.get(position + 1).map_or(bytes.len(), |next| next.at);
        let found = &bytes[row.at..until];
        let (start, end) = (&row.start[..], row.end.as_deref().unwrap_or_default());
        assert!(found.starts_with(start) && found.ends_with(end), "{what} at {}: {}", row.at, hex::encode(found));
        assert!(row.end.is_some() || found.len() == start.len(), "{what} at {}: more than is shown", row.at);
    }
    rows.len()
}

fn row(line: &str) -> Option<Row> {
    let mut cells = line.strip_prefix("| ")?.split(" | ");
    let at = cells.next()?.parse().ok()?;
    let bytes = cells.next()?.strip_prefix('`')?.strip_suffix('`')?;
    let hex = |text: &str| hex::decode(text.replace(' ', "")).expect("a row shows hex");
    Some(match bytes.split_once('…') {
        Some((start, end)) => Row { at, start: hex(start), end: Some(hex(end)) },
        None => Row { at, start: hex(bytes), end: None },
    })
}

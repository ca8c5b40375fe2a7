//! The hostile vectors that docs/testing.md counts are there, as many of each family as it says.
//!
//! It counts what is named and does not judge it: that each vector gives its error is what the tests that hold them show.

use std::fs;

use exhibit_tidy::Workspace;

/// What the table stands under, and how its rows begin.
const HEADING: &str = "## Hostile vectors";
const ROW: &str = "| ";
/// As many as issue and design ask for; there are more, and less would be a loss.
const VECTORS_MIN: usize = 1000;
/// Calls that judge one hostile input each, where a test is named after its defect.
const JUDGING: [&str; 3] = ["assert_refused(", "assert_malformed(", "assert_does_not_authenticate("];

/// Rows of tables of cases that begin with a case's name, as rustfmt lays them out, and calls that judge one.
fn vectors_in(source: &str) -> usize {
    let mut lines = source.lines().map(str::trim).peekable();
    let mut count = 0;
    while let Some(line) = lines.next() {
        let first = if line == "(" { lines.peek().copied().unwrap_or_default() } else { line.strip_prefix('(').unwrap_or_default() };
        let is_named = first.strip_prefix('"').and_then(|rest| rest.split_once('"')).is_some_and(|(_, rest)| rest.starts_with(','));
        count += usize::from(is_named || JUDGING.iter().any(|call| line.starts_with(call)));
    }
    count
}

/// The same in a file of vectors that another program wrote: those that are to be refused.
fn vectors_in_json(text: &str) -> usize {
    text.lines().filter(|line| line.contains("\"good\": false") || line.contains("\"refusal\":")).count()
}

#[test]
fn every_family_has_as_many_hostile_vectors_as_the_page_says() {
    let workspace = Workspace::load();
    let page = fs::read_to_string(workspace.root.join("docs/testing.md")).expect("the page is text");
    let (_, section) = page.split_once(HEADING).expect("the page counts hostile vectors");
    let section = section.split("\n## ").next().unwrap_or_default();
    let mut total = 0;
    // Below the names of the columns and the rule.
    for row in section.lines().filter(|line| line.starts_with(ROW)).skip(1) {
        let cells: Vec<&str> = row.trim_matches('|').split('|').map(str::trim).collect();
        let [family, files, stated] = cells[..] else { panic!("not a family, its files and their number: {row}") };
        let stated: usize = stated.parse().unwrap_or_else(|_| panic!("{family}: {stated} is no number"));
        // Each file stands between backquotes.
        let found: usize = files
            .split('`')
            .skip(1)
            .step_by(2)
            .map(|file| {
                let text = fs::read_to_string(workspace.root.join(file)).unwrap_or_else(|_| panic!("{family}: there is no {file}"));
                if file.ends_with(".json") { vectors_in_json(&text) } else { vectors_in(&text) }
            })
            .sum();
        assert!(found >= stated, "{family}: {found} hostile vectors, and the page says {stated}");
        total += stated;
    }
    assert!(total >= VECTORS_MIN, "the page counts {total} hostile vectors");
}

//! The table of faults in docs/operations.md: each row names tests, and all of them exist.

use std::collections::BTreeSet;
use std::fs;

use exhibit_tidy::Workspace;

/// Where the table stands.
const HEADING: &str = "## What may go wrong";
/// Fault, what happens, what to do, tests.
const COLUMNS: usize = 4;
/// One that was cut short would still pass.
const ROWS_MIN: usize = 30;

#[test]
fn each_fault_is_a_test() {
    let workspace = Workspace::load();
    let page = fs::read_to_string(workspace.root.join("docs/operations.md")).expect("the page is there");
    let (_, section) = page.split_once(HEADING).expect("the table has its heading");
    let rows: Vec<&str> =
        section.lines().skip_while(|line| !line.starts_with("|---")).skip(1).take_while(|line| line.starts_with('|')).collect();
    assert!(rows.len() >= ROWS_MIN, "{} rows", rows.len());
    let tests = tests(&workspace);
    let mut wrong = Vec::new();
    for row in rows {
        let cells: Vec<&str> = row.trim_matches('|').split(" | ").collect();
        let named: Vec<&str> = cells.last().unwrap_or(&"").split('`').skip(1).step_by(2).collect();
        if cells.len() != COLUMNS || named.is_empty() || cells.iter().any(|cell| cell.trim().is_empty()) {
            wrong.push(format!("not four cells with a test: {row}"));
        }
        wrong.extend(named.into_iter().filter(|name| !tests.contains(*name)).map(|name| format!("there is no test {name}")));
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// The names of all tests of the workspace.
fn tests(workspace: &Workspace) -> BTreeSet<String> {
    let mut names = BTreeSet::new();
    for member in workspace.members.keys() {
        for path in workspace.sources(member).into_iter().chain(workspace.integration_tests(member)) {
            let source = fs::read_to_string(&path).expect("sources are text");
            let mut is_test = false;
            for line in source.lines().map(str::trim) {
                match line.strip_prefix("async ").unwrap_or(line).strip_prefix("fn ").and_then(|rest| rest.split_once('(')) {
                    Some((name, _)) if is_test => {
                        names.insert(name.to_owned());
                        is_test = false;
                    }
                    Some(_) => is_test = false,
                    None => is_test |= line == "#[test]" || line.starts_with("#[tokio::test"),
                }
            }
        }
    }
    names
}

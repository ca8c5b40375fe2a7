//! What source files look like, and what pure crates must not touch.

use std::fs;

use exhibit_tidy::{Workspace, before_tests};

/// Crates without a clock, randomness, files, sockets or threads of their own.
const PURE: &[&str] = &["exhibit-evidence", "exhibit-tlog", "exhibit-pki", "exhibit-verifier-wasm"];

/// What would make a crate impure.
const IMPURE: &[&str] = &[
    "std::fs",
    "std::net",
    "std::process",
    "std::thread",
    "SystemTime",
    "Instant::now",
    "getrandom::",
    "rand::",
    "OsRng",
    "tokio::",
    "File::open",
    "std::env",
];

/// Past this many lines before its tests, a file holds a second module that wants a name. Tests are lists of cases, and may be longer.
const SOURCE_LINES_MAX: usize = 600;

#[test]
fn pure_crates_have_no_world_of_their_own() {
    let workspace = Workspace::load();
    let mut wrong = Vec::new();
    for member in PURE {
        for path in workspace.sources(member) {
            let source = fs::read_to_string(&path).expect("sources are text");
            let code = before_tests(&source).lines().filter(|line| !line.trim_start().starts_with("//"));
            for line in code {
                wrong.extend(IMPURE.iter().filter(|word| line.contains(**word)).map(|word| format!("{}: {word}", path.display())));
            }
        }
    }
    assert!(wrong.is_empty(), "pure crates get the world as arguments:\n{}", wrong.join("\n"));
}

#[test]
fn every_source_says_what_it_is_and_is_one_thing() {
    let workspace = Workspace::load();
    let mut wrong = Vec::new();
    for path in workspace.files().into_iter().filter(|path| path.extension().is_some_and(|extension| extension == "rs")) {
        let source = fs::read_to_string(workspace.root.join(&path)).expect("sources are text");
        if !source.starts_with("//!") {
            wrong.push(format!("{}: the first line says what the module is (//!)", path.display()));
        }
        let is_test = path.iter().any(|part| part == "tests" || part == "tests.rs");
        let lines = before_tests(&source).lines().count();
        if lines > SOURCE_LINES_MAX && !is_test {
            wrong.push(format!("{}: {lines} lines before its tests; look for the second module", path.display()));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn unsafe_code_stands_only_where_memory_is_locked_or_counted_and_where_webassembly_ends() {
    let workspace = Workspace::load();
    let mut users = Vec::new();
    for member in workspace.members.keys().filter(|member| *member != "exhibit-tidy") {
        for path in workspace.sources(member) {
            let source = fs::read_to_string(&path).expect("sources are text");
            if source.lines().any(|line| line.contains("allow(unsafe_code)")) {
                users.push(path.strip_prefix(&workspace.root).expect("members lie below the root").display().to_string());
            }
        }
    }
    // The allocator that counts what parsers take is linked by tests and by no program.
    let homes = ["camera-agent/core/src/locked.rs", "tests/fuzz/src/allocation.rs", "evidence/wasm/src/abi.rs"];
    assert_eq!(users, homes, "unsafe code has three homes");
}

#[test]
fn links_in_the_documents_lead_somewhere() {
    let workspace = Workspace::load();
    let mut wrong = Vec::new();
    for path in workspace.files().into_iter().filter(|path| path.extension().is_some_and(|extension| extension == "md")) {
        let text = fs::read_to_string(workspace.root.join(&path)).expect("documents are text");
        for target in text.split("](").skip(1).filter_map(|rest| rest.split(')').next()) {
            let file = target.split('#').next().unwrap_or_default();
            if file.is_empty() || file.contains("://") {
                continue;
            }
            let folder = workspace.root.join(&path);
            if !folder.parent().expect("a file lies in a folder").join(file).exists() {
                wrong.push(format!("{}: {target}", path.display()));
            }
        }
    }
    assert!(wrong.is_empty(), "links that lead nowhere:\n{}", wrong.join("\n"));
}

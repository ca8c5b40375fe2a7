//! The crates and their directions (ARCHITECTURE.md), over `cargo metadata`.

use std::collections::{BTreeMap, BTreeSet};

use exhibit_tidy::Workspace;

/// What each of our crates may use of ours. A crate that is not listed fails the test, so that the map is extended on purpose.
const ALLOWED: &[(&str, &[&str])] = &[
    ("exhibit-tlog", &[]),
    ("exhibit-pki", &["exhibit-tlog"]),
    ("exhibit-evidence", &["exhibit-pki", "exhibit-tlog"]),
    ("exhibit-verifier-wasm", &["exhibit-evidence", "exhibit-pki", "exhibit-tlog"]),
    ("exhibit-ledger", &["exhibit-tlog"]),
    ("exhibit-witness", &["exhibit-program", "exhibit-tlog"]),
    ("exhibit-tpm", &["exhibit-pki", "exhibit-program"]),
    ("exhibit-program", &[]),
    ("exhibit-client", &["exhibit-evidence", "exhibit-pki", "exhibit-program", "exhibit-tlog"]),
    ("exhibit-authority", &["exhibit-client", "exhibit-evidence", "exhibit-pki", "exhibit-program", "exhibit-tlog"]),
    ("exhibit-appliance", &["exhibit-evidence", "exhibit-ledger", "exhibit-pki", "exhibit-program", "exhibit-tlog"]),
    ("exhibit-camera-core", &["exhibit-client", "exhibit-evidence", "exhibit-pki", "exhibit-tlog"]),
    (
        "exhibit-camera-agent",
        &["exhibit-camera-core", "exhibit-client", "exhibit-evidence", "exhibit-pki", "exhibit-program", "exhibit-tlog", "exhibit-tpm"],
    ),
    ("exhibit-cli", &["exhibit-client", "exhibit-evidence", "exhibit-pki", "exhibit-program", "exhibit-tlog"]),
    ("exhibit-e2e", &["exhibit-camera-core", "exhibit-client", "exhibit-evidence", "exhibit-pki", "exhibit-tlog", "exhibit-tpm"]),
    ("exhibit-power-loss", &[]),
    ("exhibit-simulator", &["exhibit-ledger", "exhibit-power-loss", "exhibit-tlog", "exhibit-witness"]),
    ("exhibit-fuzz", &["exhibit-client", "exhibit-evidence", "exhibit-pki", "exhibit-tlog", "exhibit-witness"]),
    (
        "exhibit-bench",
        &["exhibit-client", "exhibit-e2e", "exhibit-evidence", "exhibit-ledger", "exhibit-load", "exhibit-pki", "exhibit-tlog"],
    ),
    ("exhibit-load", &["exhibit-camera-core", "exhibit-client", "exhibit-e2e", "exhibit-evidence", "exhibit-pki", "exhibit-tlog"]),
    ("exhibit-tidy", &[]),
];

/// Each dangerous library and its one owner; `openssl` may be linked by nobody yet.
const OWNERS: &[(&str, Option<&str>)] = &[
    ("rocksdb", Some("exhibit-ledger")),
    ("librocksdb-sys", None),
    ("gstreamer", Some("exhibit-camera-agent")),
    ("gstreamer-app", Some("exhibit-camera-agent")),
    ("gst-plugin-fmp4", Some("exhibit-camera-agent")),
    ("tss-esapi", Some("exhibit-tpm")),
    ("tss-esapi-sys", None),
    ("openssl", None),
];

/// Who uses such a library all the same: the benchmarks compare the ledger with RocksDB alone.
const EXEMPT: &[(&str, &str)] = &[("exhibit-bench", "rocksdb")];

/// What the verifier must never link: the prover's parts.
const PROVER: &[&str] = &["rocksdb", "librocksdb-sys", "gstreamer", "gst-plugin-fmp4", "tss-esapi", "tss-esapi-sys", "openssl"];

#[test]
fn crates_use_only_what_the_map_allows() {
    let workspace = Workspace::load();
    let allowed: BTreeMap<&str, &[&str]> = ALLOWED.iter().copied().collect();
    let mut wrong = Vec::new();
    for member in workspace.members.keys() {
        let Some(allowed) = allowed.get(member.as_str()) else {
            wrong.push(format!("{member} is not on the map: add it to ALLOWED and to ARCHITECTURE.md"));
            continue;
        };
        let ours = workspace.uses(member).iter().filter(|used| workspace.members.contains_key(*used));
        wrong.extend(ours.filter(|used| !allowed.contains(&used.as_str())).map(|used| format!("{member} must not use {used}")));
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn each_dangerous_library_has_one_owner() {
    let workspace = Workspace::load();
    let mut wrong = Vec::new();
    for member in workspace.members.keys() {
        for (library, owner) in OWNERS {
            let is_exempt = EXEMPT.contains(&(member.as_str(), *library));
            if workspace.uses(member).contains(*library) && *owner != Some(member.as_str()) && !is_exempt {
                wrong.push(format!("{member} uses {library} directly"));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn the_verifier_never_links_the_prover() {
    let workspace = Workspace::load();
    for verifier in ["exhibit-cli", "exhibit-verifier-wasm", "exhibit-evidence", "exhibit-tlog", "exhibit-pki"] {
        let links = workspace.links(verifier);
        let wrong: Vec<_> = PROVER.iter().filter(|library| links.contains(**library)).collect();
        assert!(wrong.is_empty(), "{verifier} links {wrong:?}");
    }
    // The check can see: the programs that need these libraries do link them.
    assert!(workspace.links("exhibit-appliance").contains("rocksdb"));
    assert!(workspace.links("exhibit-camera-agent").contains("tss-esapi"));
}

#[test]
fn the_appliance_links_no_media_and_no_tpm_stack() {
    let links = Workspace::load().links("exhibit-appliance");
    for library in ["gstreamer", "gst-plugin-fmp4", "tss-esapi"] {
        assert!(!links.contains(library), "the appliance is blind and must not link {library}");
    }
}

#[test]
fn a_bare_cargo_test_needs_neither_gstreamer_nor_tss() {
    let workspace = Workspace::load();
    for member in &workspace.default_members {
        let links = workspace.links(member);
        for library in ["gstreamer", "gst-plugin-fmp4", "tss-esapi"] {
            assert!(!links.contains(library), "{member} is a default member and links {library}");
        }
    }
    let all: BTreeSet<_> = workspace.members.keys().cloned().collect();
    let needing: BTreeSet<_> = all.difference(&workspace.default_members).map(String::as_str).collect();
    let expected = BTreeSet::from(["exhibit-bench", "exhibit-camera-agent", "exhibit-e2e", "exhibit-load", "exhibit-tpm"]);
    assert_eq!(needing, expected, "only what needs GStreamer or TSS stays out of a bare `cargo test`");
}

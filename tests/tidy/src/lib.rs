//! Rules of the house that a machine can check: who may use whom, what pure crates must not touch, what files look like.
//!
//! It knows the map of DESIGN section 4 and nothing of what the crates do; the rules themselves are the tests in tests/.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::Command;

use serde::Deserialize;

/// The workspace as `cargo metadata` resolves it with all features.
pub struct Workspace {
    /// Folder of the workspace's Cargo.toml.
    pub root: PathBuf,
    /// Our packages: name to folder.
    pub members: BTreeMap<String, PathBuf>,
    /// Names of our packages that a bare `cargo test` covers.
    pub default_members: BTreeSet<String>,
    /// Package name to the names of its direct normal and build dependencies (tests' own dependencies left out).
    edges: BTreeMap<String, BTreeSet<String>>,
}

#[derive(Deserialize)]
struct Metadata {
    packages: Vec<Package>,
    resolve: Resolve,
    workspace_members: Vec<String>,
    workspace_default_members: Vec<String>,
    workspace_root: PathBuf,
}

#[derive(Deserialize)]
struct Package {
    id: String,
    name: String,
    manifest_path: PathBuf,
}

#[derive(Deserialize)]
struct Resolve {
    nodes: Vec<Node>,
}

#[derive(Deserialize)]
struct Node {
    id: String,
    deps: Vec<Dependency>,
}

#[derive(Deserialize)]
struct Dependency {
    pkg: String,
    dep_kinds: Vec<DependencyKind>,
}

#[derive(Deserialize)]
struct DependencyKind {
    kind: Option<String>,
}

impl Workspace {
    /// Asks cargo. Panics with cargo's own message where it fails.
    pub fn load() -> Self {
        let output = Command::new(env!("CARGO"))
            .args(["metadata", "--format-version", "1", "--locked", "--all-features"])
            .current_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/../.."))
            .output()
            .expect("cargo can be started, since it started this test");
        assert!(output.status.success(), "cargo metadata failed: {}", String::from_utf8_lossy(&output.stderr));
        let metadata: Metadata = serde_json::from_slice(&output.stdout).expect("cargo metadata has the documented form");
        let names: BTreeMap<&str, &str> = metadata.packages.iter().map(|package| (package.id.as_str(), package.name.as_str())).collect();
        let mut edges: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
        for node in &metadata.resolve.nodes {
            let used = edges.entry(names[node.id.as_str()].to_owned()).or_default();
            let counted = node.deps.iter().filter(|dependency| dependency.dep_kinds.iter().any(|kind| kind.kind.as_deref() != Some("dev")));
            used.extend(counted.map(|dependency| names[dependency.pkg.as_str()].to_owned()));
        }
        let members = metadata.packages.iter().filter(|package| metadata.workspace_members.contains(&package.id));
        Self {
            root: metadata.workspace_root.clone(),
            members: members
                .map(|package| (package.name.clone(), package.manifest_path.parent().expect("a manifest lies in a folder").to_owned()))
                .collect(),
            default_members: metadata.workspace_default_members.iter().map(|id| names[id.as_str()].to_owned()).collect(),
            edges,
        }
    }

    /// What `package` uses directly.
    pub fn uses(&self, package: &str) -> &BTreeSet<String> {
        &self.edges[package]
    }

    /// What `package` links in the end.
    pub fn links(&self, package: &str) -> BTreeSet<String> {
        let mut seen = BTreeSet::new();
        let mut waiting = vec![package.to_owned()];
        while let Some(next) = waiting.pop() {
            for used in self.edges.get(&next).into_iter().flatten() {
                if seen.insert(used.clone()) {
                    waiting.push(used.clone());
                }
            }
        }
        seen
    }

    /// Every file that git tracks or would track, relative to the root.
    pub fn files(&self) -> Vec<PathBuf> {
        let output = Command::new("git")
            .args(["ls-files", "-z", "--cached", "--others", "--exclude-standard"])
            .current_dir(&self.root)
            .output()
            .expect("git lists the files");
        assert!(output.status.success(), "git ls-files failed: {}", String::from_utf8_lossy(&output.stderr));
        let names = output.stdout.split(|byte| *byte == 0).filter(|name| !name.is_empty());
        let paths = names.map(|name| PathBuf::from(String::from_utf8_lossy(name).into_owned()));
        paths.filter(|path| self.root.join(path).is_file()).collect()
    }

    /// Rust sources below a member's `src`, without other members that lie below it.
    pub fn sources(&self, member: &str) -> Vec<PathBuf> {
        let mut found = Vec::new();
        collect_sources(&self.members[member].join("src"), &mut found);
        found
    }

    /// Its integration tests.
    pub fn integration_tests(&self, member: &str) -> Vec<PathBuf> {
        let (folder, mut found) = (self.members[member].join("tests"), Vec::new());
        if folder.is_dir() {
            collect_sources(&folder, &mut found);
        }
        found
    }
}

fn collect_sources(folder: &Path, found: &mut Vec<PathBuf>) {
    let entries = std::fs::read_dir(folder).expect("a member has sources");
    for entry in entries.map(|entry| entry.expect("the folder can be read").path()) {
        if entry.is_dir() {
            collect_sources(&entry, found);
        } else if entry.extension().is_some_and(|extension| extension == "rs") {
            found.push(entry);
        }
    }
}

/// The part of a source file before its tests.
pub fn before_tests(source: &str) -> &str {
    let begins = ["\n#[cfg(test)]\nmod ", "\n#[cfg(test)]\n#[allow("];
    begins.iter().filter_map(|begin| source.find(begin)).min().map_or(source, |end| &source[..end])
}

//! The shipped unit's own filter of system calls: within it, with no capabilities, the real program starts, confines itself and works.
#![allow(clippy::unwrap_used, missing_docs)]

mod common;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::{Read, Write};
use std::path::Path;
use std::process::{Command, Stdio};
use std::thread;

use common::served::Served;
use common::*;
use exhibit_appliance::maintain::control::ask_for_backup;
use exhibit_appliance::setup::Folder;
use rustix::thread::{CapabilitySet, CapabilitySets, remove_capability_from_bounding_set, set_capabilities};
use seccompiler::{BpfProgram, SeccompAction, SeccompCmpArgLen, SeccompCmpOp, SeccompCondition, SeccompFilter, SeccompRule, apply_filter};

/// What `SystemCallErrorNumber=EPERM` says.
const EPERM: u32 = 1;
/// As `RestrictAddressFamilies=` names them.
const FAMILIES: [(&str, u64); 4] = [("AF_UNIX", 1), ("AF_INET", 2), ("AF_INET6", 10), ("AF_NETLINK", 16)];

/// The values of a setting of the shipped unit, in order.
fn settings(name: &str) -> Vec<String> {
    let unit = Path::new(env!("CARGO_MANIFEST_DIR")).join("../systemd/exhibit-appliance.service");
    let unit = fs::read_to_string(unit).unwrap();
    unit.lines().filter_map(|line| line.strip_prefix(name)?.strip_prefix('=')).map(str::to_owned).collect()
}

/// The calls of a group, as the installed systemd has them. `None` where it is not installed.
fn group(name: &str) -> Option<BTreeSet<String>> {
    let listed = Command::new("systemd-analyze").args(["syscall-filter", "--no-pager", name]).output();
    let Ok(listed) = listed else {
        assert!(std::env::var_os("EXHIBIT_TEST_ALL").is_none(), "systemd-analyze is missing: run make packages");
        return None;
    };
    assert!(listed.status.success(), "systemd has no group {name}: {}", String::from_utf8_lossy(&listed.stderr));
    let mut calls = BTreeSet::new();
    for member in String::from_utf8(listed.stdout).unwrap().lines().skip(1).map(str::trim).filter(|line| !line.starts_with('#')) {
        match member.starts_with('@') {
            true => calls.extend(group(member)?),
            false => calls.extend([member.to_owned()]),
        }
    }
    Some(calls)
}

/// Which calls the unit allows: the first line begins an allow-list, which has systemd's `@default` too; the others add to it and take from it.
fn allowed() -> Option<BTreeSet<String>> {
    let mut allowed = group("@default")?;
    for line in settings("SystemCallFilter") {
        let (takes_away, names) = line.strip_prefix('~').map_or((false, line.as_str()), |names| (true, names));
        for name in names.split_whitespace() {
            let calls = if name.starts_with('@') { group(name)? } else { BTreeSet::from([name.to_owned()]) };
            match takes_away {
                true => allowed.retain(|call| !calls.contains(call)),
                false => allowed.extend(calls),
            }
        }
    }
    Some(allowed)
}

/// The numbers of this machine's calls, by the C compiler that builds the ledger's library.
fn numbers() -> BTreeMap<String, i64> {
    let mut compiler =
        Command::new("cc").args(["-E", "-dM", "-xc", "-"]).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("a C compiler");
    compiler.stdin.take().unwrap().write_all(b"#include <asm/unistd.h>\n").unwrap();
    let mut text = String::new();
    compiler.stdout.take().unwrap().read_to_string(&mut text).unwrap();
    assert!(compiler.wait().unwrap().success());
    let defined: BTreeMap<&str, &str> = text.lines().filter_map(|line| line.strip_prefix("#define ")?.split_once(' ')).collect();
    defined.iter().filter_map(|(name, value)| Some((name.strip_prefix("__NR_")?.to_owned(), number(&defined, value)?))).collect()
}

/// Some are defined by others.
fn number(defined: &BTreeMap<&str, &str>, value: &str) -> Option<i64> {
    defined.get(value).map_or_else(|| value.parse().ok(), |next| number(defined, next))
}

/// The unit's filter, as far as it is of system calls and families of sockets.
fn filter() -> Option<BpfProgram> {
    let numbers = numbers();
    let named = allowed()?;
    let mut rules: BTreeMap<i64, Vec<SeccompRule>> =
        named.iter().filter_map(|name| numbers.get(name)).map(|number| (*number, Vec::new())).collect();
    let families = settings("RestrictAddressFamilies").join(" ");
    let families = families.split_whitespace().map(|name| FAMILIES.iter().find(|(known, _)| *known == name).expect("a family").1);
    let only = |family| SeccompCondition::new(0, SeccompCmpArgLen::Dword, SeccompCmpOp::Eq, family).unwrap();
    rules.insert(numbers["socket"], families.map(|family| SeccompRule::new(vec![only(family)]).unwrap()).collect());
    let architecture = std::env::consts::ARCH.try_into().unwrap();
    Some(SeccompFilter::new(rules, SeccompAction::Errno(EPERM), SeccompAction::Allow, architecture).unwrap().try_into().unwrap())
}

/// As the unit starts it: `CapabilityBoundingSet=` is empty, and so are the other sets.
fn give_up_capabilities() {
    for capability in CapabilitySet::all().iter() {
        // This kernel may not know it, and who is not root has none to take away.
        let _ = remove_capability_from_bounding_set(capability);
    }
    let none = CapabilitySet::empty();
    set_capabilities(None, CapabilitySets { effective: none, permitted: none, inheritable: none }).unwrap();
}

/// Filters and capabilities are a thread's own, and go to what it starts.
fn start(state: &Path, within: Option<BpfProgram>) -> Served {
    let state = state.to_owned();
    let start = move || {
        give_up_capabilities();
        within.inspect(|filter| apply_filter(filter).unwrap());
        Served::start(&state, "", &[])
    };
    thread::spawn(start).join().unwrap()
}

/// What it said of its confinement.
fn confined(served: Served) -> String {
    let said = served.terminate();
    said.lines().find_map(|line| line.split_once("confined ")).unwrap_or_else(|| panic!("{said}")).1.to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_shipped_unit_starts_and_confines_itself_as_well_as_without() {
    let Some(filter) = filter() else { return };
    let World { running, folder, .. } = World::new().await;
    let state = folder.path().join("state");
    stop(running).await;

    let served = start(&state, Some(filter));
    let (of, to) = (Folder::new(&served.state), folder.path().join("backup"));
    let backup = tokio::task::spawn_blocking(move || ask_for_backup(&of, &to)).await.unwrap().unwrap().unwrap().unwrap();
    assert!(backup.size > 0);
    let within = confined(served);

    let without = confined(start(&state, None));
    assert_eq!(within, without, "the unit keeps the program from confining itself");
}

#[test]
fn what_the_filter_of_the_test_is_made_from_is_a_filter() {
    let Some(allowed) = allowed() else { return };
    for (call, is_allowed) in [("read", true), ("execve", true), ("seccomp", true), ("mount", false), ("chown", false), ("capset", false)] {
        assert_eq!(allowed.contains(call), is_allowed, "{call}");
    }
    assert!(numbers()["read"] < numbers()["landlock_restrict_self"]);
}

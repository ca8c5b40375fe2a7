//! How far a check has come, in a file: entries never change, so that what was checked need not be checked again to go on.
//!
//! It is no proof of anything: whoever can write it can make a check skip. What was found damaged is not kept, but looked at again.

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::fmt::Write as _;
use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

use exhibit_tlog::Hash;

/// What was checked before.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct State {
    /// Entries of the tree that it was checked against.
    pub size: u64,
    /// Its root.
    pub root: Hash,
    /// Whole bundles that were checked, from the first on.
    pub bundles: u64,
    /// Those of them that have to be looked at again.
    pub again: BTreeSet<u64>,
    /// Once all bundles were checked: how many places, and the name of the first chain whose places were not.
    pub chains: Option<(u64, String)>,
}

/// What was kept; none if it is not the state of a check.
pub(super) fn read(path: Option<&Path>) -> Option<State> {
    let mut text = String::new();
    File::open(path?).ok()?.take(STATE_BYTES_MAX).read_to_string(&mut text).ok()?;
    parse(&text)
}

/// `exhibit-fsck/2`, size, root, bundles; a line `again` for each bundle to look at again; perhaps a line `chains`.
fn parse(text: &str) -> Option<State> {
    let mut lines = text.lines();
    let head: Vec<&str> = lines.next()?.split('\t').collect();
    let [FORMAT, size, root, bundles] = head[..] else { return None };
    let mut state = State { size: size.parse().ok()?, root: Hash::from_hex(root)?, bundles: bundles.parse().ok()?, ..State::default() };
    for line in lines {
        match line.split('\t').collect::<Vec<_>>()[..] {
            ["again", bundle] => drop(state.again.insert(bundle.parse().ok()?)),
            ["chains", places, below] if state.chains.is_none() => state.chains = Some((places.parse().ok()?, below.to_owned())),
            _ => return None,
        }
    }
    // Whole bundles only: the last one may have grown since.
    let is_possible = state.bundles <= state.size / 256 && state.again.last().is_none_or(|last| *last < state.bundles);
    is_possible.then_some(state)
}

pub(super) fn write(path: &Path, state: &State) -> io::Result<()> {
    let mut text = format!("{FORMAT}\t{}\t{}\t{}\n", state.size, state.root, state.bundles);
    for bundle in &state.again {
        let _ = writeln!(text, "again\t{bundle}");
    }
    // A name that would not be read back as it is begins the chains anew.
    if let Some((places, below)) = state.chains.as_ref().filter(|(_, below)| !below.contains(['\t', '\n', '\r'])) {
        let _ = writeln!(text, "chains\t{places}\t{below}");
    }
    let beside = beside(path);
    File::create(&beside)?.write_all(text.as_bytes())?;
    fs::rename(beside, path)
}

/// The whole name and more: files whose names differ in their ends only must not share it.
fn beside(path: &Path) -> PathBuf {
    let mut name: OsString = path.as_os_str().to_owned();
    name.push(".new");
    name.into()
}

pub(super) fn remove(path: &Path) {
    if let Err(error) = fs::remove_file(path)
        && error.kind() != io::ErrorKind::NotFound
    {
        tracing::warn!(%error, path = %path.display(), "the state of a complete check could not be removed: the next one would begin with it");
    }
}

const FORMAT: &str = "exhibit-fsck/2";
/// Each of the bundles of half a thousand million entries to be looked at again.
const STATE_BYTES_MAX: u64 = 32 * 1024 * 1024;

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read_and_nothing_else() {
        let folder = exhibit_power_loss::scratch();
        let path = folder.path().join("state");
        let whole = State { size: 1000, root: Hash([7; 32]), bundles: 3, again: [0, 2].into(), chains: Some((900, "camera/1".into())) };
        for state in [whole.clone(), State { chains: None, ..whole.clone() }, State { again: BTreeSet::new(), ..whole.clone() }] {
            write(&path, &state).unwrap();
            assert_eq!(read(Some(&path)), Some(state));
        }
        let odd = State { chains: Some((1, "a\tb".into())), ..whole.clone() };
        write(&path, &odd).unwrap();
        assert_eq!(read(Some(&path)), Some(State { chains: None, ..whole }));
        let root = Hash([7; 32]);
        for (defect, text) in [
            ("another format", format!("exhibit-fsck/1\t1000\t{root}\t3\n")),
            ("bundles beyond the tree", format!("{FORMAT}\t1000\t{root}\t4\n")),
            ("a bundle that was not checked", format!("{FORMAT}\t1000\t{root}\t3\nagain\t3\n")),
            ("a line of another kind", format!("{FORMAT}\t1000\t{root}\t3\nentry\t3\tdamaged\n")),
            ("chains twice", format!("{FORMAT}\t1000\t{root}\t3\nchains\t1\ta\nchains\t2\tb\n")),
            ("no root", format!("{FORMAT}\t1000\tabc\t3\n")),
            ("empty", String::new()),
        ] {
            assert_eq!(parse(&text), None, "{defect}");
        }
        assert_eq!(read(None), None);
    }
}

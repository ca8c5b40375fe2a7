//! A disk with a cache: what was written is shown at once, and is there after a power cut only if it was synced before, or by luck.
//!
//! It grants no more than POSIX does: a name is durable once its folder was synced, content once its file was.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use crate::{Operation, Random};

/// What a power cut leaves of that which was not synced.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cut {
    /// Nothing: neither content nor names.
    Strict,
    /// All names, no content: as a journal of metadata leaves it.
    NamesOnly,
    /// Everything: as the end of the process leaves it.
    Everything,
    /// By this seed: names up to some moment, and of the content any sectors.
    Torn(u64),
}

/// The files of a program, after some of its operations.
#[derive(Clone, Debug, Default)]
pub struct Disk {
    nodes: Vec<Node>,
    shown: BTreeMap<String, usize>,
    durable: BTreeMap<String, usize>,
    /// Names since the last sync of their folder, in order.
    pending: Vec<Naming>,
    open: BTreeMap<i32, usize>,
    folder_of: BTreeMap<i32, String>,
}

#[derive(Clone, Debug, Default)]
struct Node {
    is_folder: bool,
    shown: Vec<u8>,
    durable: Vec<u8>,
    pending: Vec<Change>,
}

#[derive(Clone, Debug)]
enum Change {
    Write(usize, Vec<u8>),
    Truncate(usize),
}

#[derive(Clone, Debug)]
enum Naming {
    Put(String, usize),
    Remove(String),
    /// One operation: never both names, never none.
    Move {
        from: String,
        to: String,
        node: usize,
    },
}

impl Naming {
    fn apply(&self, names: &mut BTreeMap<String, usize>) {
        match self {
            Self::Put(path, node) => drop(names.insert(path.clone(), *node)),
            Self::Remove(path) => drop(names.remove(path)),
            Self::Move { from, to, node } => {
                names.remove(from);
                names.insert(to.clone(), *node);
                // What lies in a folder moves with it.
                let below = format!("{from}/");
                let inside: Vec<String> =
                    names.range(below.clone()..).map(|(path, _)| path.clone()).take_while(|path| path.starts_with(&below)).collect();
                for path in inside {
                    let node = names.remove(&path).expect("it was just listed");
                    names.insert(format!("{to}/{}", &path[below.len()..]), node);
                }
            }
        }
    }

    fn is_in(&self, folder: &str) -> bool {
        match self {
            Self::Put(path, _) | Self::Remove(path) | Self::Move { to: path, .. } => parent(path) == folder,
        }
    }

    fn is_of(&self, name: &str) -> bool {
        matches!(self, Self::Put(path, _) | Self::Remove(path) | Self::Move { to: path, .. } if path == name)
    }
}

impl Change {
    fn apply(&self, bytes: &mut Vec<u8>) {
        match self {
            Self::Write(offset, written) => {
                bytes.resize(bytes.len().max(offset + written.len()), 0);
                bytes[*offset..offset + written.len()].copy_from_slice(written);
            }
            Self::Truncate(length) => bytes.resize(*length, 0),
        }
    }

    /// The sectors of it that reached the disk.
    fn apply_torn(&self, bytes: &mut Vec<u8>, random: &mut Random) {
        match self {
            Self::Write(offset, written) => {
                let mut from = 0;
                while from < written.len() {
                    let sector_end = (offset + from) / SECTOR_BYTES * SECTOR_BYTES + SECTOR_BYTES;
                    let to = (sector_end - offset).min(written.len());
                    if random.below(2) == 0 {
                        Self::Write(offset + from, written[from..to].to_vec()).apply(bytes);
                    }
                    from = to;
                }
            }
            Self::Truncate(_) if random.below(2) == 0 => self.apply(bytes),
            Self::Truncate(_) => {}
        }
    }
}

impl Disk {
    /// Another process begins: it has no descriptors.
    pub fn begin_process(&mut self) {
        self.open.clear();
        self.folder_of.clear();
    }

    /// Does what the program did.
    ///
    /// # Panics
    /// If the program changes what it has not opened, which means that the shim has missed something.
    pub fn apply(&mut self, operation: &Operation) {
        match operation {
            Operation::Open { descriptor, flags, path } => self.open(*descriptor, *flags, path),
            Operation::Close(descriptor) => {
                self.open.remove(descriptor);
                self.folder_of.remove(descriptor);
            }
            Operation::Write { descriptor, offset, bytes } => self.change(*descriptor, Change::Write(*offset as usize, bytes.clone())),
            Operation::Truncate { descriptor, length } => self.change(*descriptor, Change::Truncate(*length as usize)),
            Operation::Sync(descriptor) => self.sync(*descriptor),
            Operation::SyncFailed(descriptor) => {
                if let Some(node) = self.open.get(descriptor) {
                    self.nodes[*node].pending.clear();
                }
            }
            // RocksDB's diagnostic log is written by other ways, and is nobody's state.
            Operation::Rename(from, _) | Operation::Unlink(from) if !self.shown.contains_key(from) => {
                assert!(is_diagnostic(from), "{from}")
            }
            Operation::Rename(from, to) => {
                self.name(Naming::Move { from: from.clone(), to: to.clone(), node: self.shown[from] });
            }
            Operation::Unlink(path) => self.name(Naming::Remove(path.clone())),
            Operation::Link(from, to) => self.name(Naming::Put(to.clone(), self.shown[from])),
            Operation::Mkdir(path) => {
                self.nodes.push(Node { is_folder: true, ..Node::default() });
                self.name(Naming::Put(path.clone(), self.nodes.len() - 1));
            }
            Operation::Output(_) => {}
        }
    }

    fn open(&mut self, descriptor: i32, flags: i32, path: &str) {
        let known = self.shown.get(path).copied();
        if path.is_empty() || known.is_some_and(|node| self.nodes[node].is_folder) {
            self.folder_of.insert(descriptor, path.to_owned());
            return;
        }
        let node = known.unwrap_or_else(|| {
            assert!(flags & O_CREAT != 0 || is_diagnostic(path), "{path} was there before the record began");
            self.nodes.push(Node::default());
            self.name(Naming::Put(path.to_owned(), self.nodes.len() - 1));
            self.nodes.len() - 1
        });
        self.open.insert(descriptor, node);
        if flags & O_TRUNC != 0 {
            self.change(descriptor, Change::Truncate(0));
        }
    }

    fn name(&mut self, naming: Naming) {
        naming.apply(&mut self.shown);
        self.pending.push(naming);
    }

    fn change(&mut self, descriptor: i32, change: Change) {
        let node = &mut self.nodes[*self.open.get(&descriptor).expect("a file is opened before it is written")];
        change.apply(&mut node.shown);
        node.pending.push(change);
    }

    fn sync(&mut self, descriptor: i32) {
        if let Some(folder) = self.folder_of.get(&descriptor) {
            // What was named in another folder before it was moved here has no other name left.
            let is_moved = |naming: &Naming, later: &[Naming]| {
                later.iter().any(|move_| matches!(move_, Naming::Move { from, .. } if move_.is_in(folder) && naming.is_of(from)))
            };
            let all = std::mem::take(&mut self.pending);
            for (position, naming) in all.iter().enumerate() {
                if naming.is_in(folder) || is_moved(naming, &all[position + 1..]) {
                    naming.apply(&mut self.durable);
                } else {
                    self.pending.push(naming.clone());
                }
            }
        } else {
            let node = &mut self.nodes[*self.open.get(&descriptor).expect("a file is opened before it is synced")];
            for change in std::mem::take(&mut node.pending) {
                change.apply(&mut node.durable);
            }
        }
    }

    /// Makes in the folder `into`, which exists and is empty, what a power cut now would leave of the root.
    ///
    /// # Panics
    /// If it can not be written.
    pub fn write_image(&self, cut: Cut, into: &Path) {
        let mut random = Random::new(if let Cut::Torn(seed) = cut { seed } else { 0 });
        let mut names = self.durable.clone();
        let kept = match cut {
            Cut::Strict => 0,
            Cut::NamesOnly | Cut::Everything => self.pending.len(),
            Cut::Torn(_) => random.below(self.pending.len() as u64 + 1) as usize,
        };
        self.pending[..kept].iter().for_each(|naming| naming.apply(&mut names));
        // In the order of their names a folder comes before what is in it; what has lost its folder is lost with it.
        for (path, node) in &names {
            let (node, target) = (&self.nodes[*node], into.join(path));
            if !target.parent().is_some_and(Path::is_dir) {
                continue;
            }
            if node.is_folder {
                fs::create_dir(&target).expect("a folder of the image can be made");
            } else {
                fs::write(&target, node.content(cut, &mut random)).expect("a file of the image can be written");
            }
        }
    }
}

impl Node {
    fn content(&self, cut: Cut, random: &mut Random) -> Vec<u8> {
        if cut == Cut::Everything {
            return self.shown.clone();
        }
        let mut bytes = self.durable.clone();
        if let Cut::Torn(_) = cut {
            self.pending.iter().for_each(|change| change.apply_torn(&mut bytes, random));
        }
        bytes
    }
}

fn parent(path: &str) -> &str {
    path.rsplit_once('/').map_or("", |(parent, _)| parent)
}

fn is_diagnostic(path: &str) -> bool {
    path.rsplit('/').next().is_some_and(|name| name.starts_with("LOG"))
}

/// Of Linux on all machines that matter here.
const O_CREAT: i32 = 0o100;
const O_TRUNC: i32 = 0o1000;
/// What a disk writes at once or not at all.
const SECTOR_BYTES: usize = 512;

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn after(operations: &[Operation], cut: Cut) -> BTreeMap<String, Vec<u8>> {
        let mut disk = Disk::default();
        operations.iter().for_each(|operation| disk.apply(operation));
        let folder = crate::scratch();
        disk.write_image(cut, folder.path());
        let files = fs::read_dir(folder.path()).unwrap().map(|file| file.unwrap());
        files.map(|file| (file.file_name().into_string().unwrap(), fs::read(file.path()).unwrap())).collect()
    }

    fn open(descriptor: i32, path: &str, flags: i32) -> Operation {
        Operation::Open { descriptor, flags, path: path.to_owned() }
    }

    fn write(descriptor: i32, offset: u64, bytes: &[u8]) -> Operation {
        Operation::Write { descriptor, offset, bytes: bytes.to_vec() }
    }

    fn files(of: &[(&str, &[u8])]) -> BTreeMap<String, Vec<u8>> {
        of.iter().map(|(name, bytes)| ((*name).to_owned(), bytes.to_vec())).collect()
    }

    #[test]
    fn a_file_is_there_once_it_and_its_folder_were_synced() {
        let mut done = vec![open(3, "a", O_CREAT), write(3, 0, b"one")];
        assert_eq!(after(&done, Cut::Strict), files(&[]));
        assert_eq!(after(&done, Cut::NamesOnly), files(&[("a", b"")]));
        assert_eq!(after(&done, Cut::Everything), files(&[("a", b"one")]));
        done.push(Operation::Sync(3));
        assert_eq!(after(&done, Cut::Strict), files(&[]), "a name is not durable by its file's sync");
        done.extend([open(4, "", 0), Operation::Sync(4)]);
        assert_eq!(after(&done, Cut::Strict), files(&[("a", b"one")]));
        done.push(write(3, 3, b"two"));
        assert_eq!(after(&done, Cut::Strict), files(&[("a", b"one")]));
        assert_eq!(after(&done, Cut::Everything), files(&[("a", b"onetwo")]));
    }

    #[test]
    fn a_rename_happens_at_once_or_not_at_all() {
        let mut done = vec![open(3, "a", O_CREAT), write(3, 0, b"one"), Operation::Sync(3), open(4, "", 0), Operation::Sync(4)];
        done.push(Operation::Rename("a".into(), "b".into()));
        assert_eq!(after(&done, Cut::Strict), files(&[("a", b"one")]));
        assert_eq!(after(&done, Cut::NamesOnly), files(&[("b", b"one")]));
        done.push(Operation::Sync(4));
        assert_eq!(after(&done, Cut::Strict), files(&[("b", b"one")]));
    }

    #[test]
    fn what_is_moved_into_a_synced_folder_is_there_whatever_became_of_its_first_name() {
        let made = [Operation::Mkdir("to".into()), open(4, "", 0), open(5, "to", 0), open(3, "a", O_CREAT), write(3, 0, b"one")];
        let moved = [&made[..], &[Operation::Sync(3), Operation::Rename("a".into(), "to/b".into()), Operation::Sync(5)]].concat();
        let mut disk = Disk::default();
        moved.iter().for_each(|operation| disk.apply(operation));
        disk.apply(&Operation::Sync(4));
        let folder = crate::scratch();
        disk.write_image(Cut::Strict, folder.path());
        assert_eq!(fs::read(folder.path().join("to/b")).unwrap(), b"one");
        assert!(!folder.path().join("a").exists(), "two names");
    }

    #[test]
    fn what_lies_in_a_folder_moves_with_it() {
        let made = [Operation::Mkdir("from".into()), open(4, "", 0), open(5, "from", 0), open(3, "from/a", O_CREAT), write(3, 0, b"one")];
        let moved =
            [&made[..], &[Operation::Sync(3), Operation::Sync(5), Operation::Sync(4), Operation::Rename("from".into(), "to".into())]];
        for (synced, name) in [(None, "from/a"), (Some(Operation::Sync(4)), "to/a")] {
            let mut disk = Disk::default();
            moved.concat().iter().chain(&synced).for_each(|operation| disk.apply(operation));
            let folder = crate::scratch();
            disk.write_image(Cut::Strict, folder.path());
            assert_eq!(fs::read(folder.path().join(name)).unwrap(), b"one");
            assert!(folder.path().join("from").exists() != folder.path().join("to").exists());
        }
    }

    #[test]
    fn what_a_failed_sync_dropped_no_later_sync_brings_back() {
        let begin = [open(4, "", 0), open(3, "a", O_CREAT), Operation::Sync(4), write(3, 0, b"one")];
        let failed = [&begin[..], &[Operation::SyncFailed(3), write(3, 3, b"two"), Operation::Sync(3)]].concat();
        assert_eq!(after(&failed, Cut::Strict), files(&[("a", b"\0\0\0two")]));
        assert_eq!(after(&failed, Cut::Everything), files(&[("a", b"onetwo")]), "the program still sees it");
    }

    #[test]
    fn sectors_are_torn_in_every_way() {
        let done = [open(4, "", 0), open(3, "a", O_CREAT), Operation::Sync(4), write(3, 0, &[1; 3 * SECTOR_BYTES])];
        let seen: std::collections::BTreeSet<Vec<u8>> =
            (0..200).map(|seed| after(&done, Cut::Torn(seed))["a"].chunks(SECTOR_BYTES).map(|sector| sector[0]).collect()).collect();
        assert_eq!(seen.len(), 8, "{seen:?}");
    }
}

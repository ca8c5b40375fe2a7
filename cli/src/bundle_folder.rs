//! A bundle in a folder: the only place where names out of a bundle become paths of this machine.

use std::cell::RefCell;
use std::fs::{self, DirBuilder, File};
use std::io::{self, ErrorKind, Read, Write};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Component, Path, PathBuf};

use exhibit_evidence::bundle::{BundleSource, FileBeside, PATH_COMPONENTS_MAX, SourceError, listed_name};
use exhibit_tlog::Hash;
use sha2::{Digest, Sha256};

use crate::failure::Failure;

/// Bytes hashed at a time.
const HASH_BUFFER_BYTES: usize = 1 << 20;

/// A folder that is read as a bundle.
pub struct BundleFolder {
    root: PathBuf,
    /// The folder within that a file was last asked for in, and whether no link leads there: finding that out for each file takes time.
    last: RefCell<(PathBuf, bool)>,
}

impl BundleFolder {
    /// The folder must exist.
    pub fn open(root: &Path) -> Result<Self, Failure> {
        let root = root.canonicalize().map_err(Failure::file("read", root))?;
        if !root.is_dir() {
            return Err(Failure::content(&root, "this is not a folder; a bundle is one"));
        }
        let last = RefCell::new((PathBuf::new(), true));
        Ok(Self { root, last })
    }

    /// Opens a file of the bundle for reading; `None` if there is none, which is so too where a link, a folder or a pipe is in its place:
    /// what is no plain file in the folder itself is not in the bundle. A name that leads out of the folder is an error: a bundle comes
    /// from anybody.
    fn file(&self, path: &str) -> Result<Option<(File, u64)>, SourceError> {
        let error = |reason: &str| SourceError::Unreadable { path: path.to_owned(), reason: reason.to_owned() };
        let relative = Path::new(path);
        if path.is_empty() || !relative.components().all(|component| matches!(component, Component::Normal(_))) {
            return Err(error("it leads out of the bundle"));
        }
        let opened = self.plain_file(relative).and_then(|found| match found {
            Some((path, length)) => File::open(path).map(|file| Some((file, length))),
            None => Ok(None),
        });
        match opened {
            Err(source) if is_nowhere(source.kind()) => Ok(None),
            opened => opened.map_err(|source| error(&source.to_string())),
        }
    }

    /// Where a file is, and how long; `None` if it is none, or a symbolic link leads to it.
    fn plain_file(&self, relative: &Path) -> io::Result<Option<(PathBuf, u64)>> {
        let parent = relative.parent().unwrap_or(Path::new(""));
        let mut last = self.last.borrow_mut();
        if last.0 != parent {
            *last = (parent.to_owned(), self.is_plain_folder(parent)?);
        }
        if !last.1 {
            return Ok(None);
        }
        let path = self.root.join(relative);
        // Before it is opened: opening a pipe would wait for somebody who writes into it.
        let metadata = fs::symlink_metadata(&path)?;
        Ok(metadata.is_file().then_some((path, metadata.len())))
    }

    /// Whether each component is a folder, and none a symbolic link.
    fn is_plain_folder(&self, relative: &Path) -> io::Result<bool> {
        let mut path = self.root.clone();
        for component in relative.components() {
            path.push(component);
            if !fs::symlink_metadata(&path)?.is_dir() {
                return Ok(false);
            }
        }
        Ok(true)
    }
}

/// A file of the bundle that is read while others are.
struct OpenFile {
    path: String,
    file: File,
}

impl FileBeside for OpenFile {
    fn fill(&mut self, buffer: &mut [u8]) -> Result<usize, SourceError> {
        let mut filled = 0;
        while filled < buffer.len() {
            match self.file.read(&mut buffer[filled..]) {
                Ok(0) => break,
                Ok(count) => filled += count,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(SourceError::Unreadable { path: self.path.clone(), reason: error.to_string() }),
            }
        }
        Ok(filled)
    }
}

/// No file has such a name, or is there. Whatever else keeps a file from being read is no word about the bundle.
fn is_nowhere(kind: ErrorKind) -> bool {
    use ErrorKind::{InvalidFilename, InvalidInput, NotADirectory, NotFound};
    matches!(kind, InvalidFilename | InvalidInput | NotADirectory | NotFound)
}

impl BundleSource for BundleFolder {
    fn read(&self, path: &str, limit_bytes: u64) -> Result<Option<Vec<u8>>, SourceError> {
        let Some((file, length)) = self.file(path)? else { return Ok(None) };
        if length > limit_bytes {
            return Err(SourceError::TooLong { path: path.to_owned(), limit_bytes });
        }
        let mut bytes = Vec::with_capacity(usize::try_from(length).unwrap_or(0));
        file.take(limit_bytes + 1)
            .read_to_end(&mut bytes)
            .map_err(|source| SourceError::Unreadable { path: path.to_owned(), reason: source.to_string() })?;
        if bytes.len() as u64 > limit_bytes {
            return Err(SourceError::TooLong { path: path.to_owned(), limit_bytes });
        }
        Ok(Some(bytes))
    }

    fn hash(&self, path: &str, limit_bytes: u64) -> Result<Option<(Hash, u64)>, SourceError> {
        let Some((mut file, length)) = self.file(path)? else { return Ok(None) };
        if length > limit_bytes {
            return Err(SourceError::TooLong { path: path.to_owned(), limit_bytes });
        }
        let mut hasher = Sha256::new();
        let mut buffer = vec![0; HASH_BUFFER_BYTES];
        let mut total = 0;
        loop {
            let count =
                file.read(&mut buffer).map_err(|source| SourceError::Unreadable { path: path.to_owned(), reason: source.to_string() })?;
            if count == 0 {
                return Ok(Some((Hash(hasher.finalize().into()), total)));
            }
            hasher.update(&buffer[..count]);
            total += count as u64;
        }
    }

    fn beside(&self, path: &str) -> Result<Option<Box<dyn FileBeside + '_>>, SourceError> {
        let found = self.file(path)?;
        Ok(found.map(|(file, _)| Box::new(OpenFile { path: path.to_owned(), file }) as Box<dyn FileBeside>))
    }

    /// Symbolic links are listed and not followed: a bundle comes from anybody. One to a folder has a slash at its end: who opens
    /// `working` sees a folder, and the files in it are none of the bundle's. So has a folder that is as deep as any path.
    fn list(&self, files_max: usize) -> Result<Vec<String>, SourceError> {
        let mut files = Vec::new();
        let mut folders = vec![(self.root.clone(), String::new())];
        while let Some((folder, prefix)) = folders.pop() {
            let error = |reason: String| SourceError::Unreadable { path: prefix.clone(), reason };
            for entry in fs::read_dir(&folder).map_err(|source| error(source.to_string()))? {
                let entry = entry.map_err(|source| error(source.to_string()))?;
                let kind = entry.file_type().map_err(|source| error(source.to_string()))?;
                let name = format!("{prefix}{}", listed_name(entry.file_name().as_bytes()));
                if kind.is_dir() && name.split('/').count() < PATH_COMPONENTS_MAX {
                    folders.push((entry.path(), format!("{name}/")));
                } else if files.len() < files_max {
                    let shows_folder = kind.is_dir() || kind.is_symlink() && fs::metadata(entry.path()).is_ok_and(|shown| shown.is_dir());
                    files.push(if shows_folder { name + "/" } else { name });
                } else {
                    return Err(SourceError::TooManyFiles { files_max });
                }
            }
        }
        files.sort_unstable();
        Ok(files)
    }
}

/// Writes a file below `root`, making its folders.
pub fn write(root: &Path, path: &str, bytes: &[u8]) -> Result<(), Failure> {
    let target = root.join(path);
    if let Some(folder) = target.parent() {
        fs::create_dir_all(folder).map_err(Failure::file("create", folder))?;
    }
    File::create(&target).and_then(|mut file| file.write_all(bytes)).map_err(Failure::file("write", &target))
}

/// Makes a new folder that nobody else can look into, since it will hold opened video; one that exists already must be empty, so that
/// nothing is mixed or lost.
pub fn create_empty(root: &Path) -> Result<(), Failure> {
    DirBuilder::new().recursive(true).mode(0o700).create(root).map_err(Failure::file("create", root))?;
    let mut entries = fs::read_dir(root).map_err(Failure::file("read", root))?;
    if entries.next().is_some() {
        return Err(Failure::content(root, "the folder is not empty; name a new one"));
    }
    Ok(())
}

#[cfg(test)]
#[path = "../../evidence/tests/common/hostile_folder.rs"]
mod hostile_folder;

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    use super::hostile_folder::{ABSENT, LISTED, PLAIN, REFUSED, hostile_folder};

    /// The host of the WebAssembly verifier says so too (evidence/wasm/tests/verifier.rs), and the verifier in Python. A forger must not be
    /// able to turn "bad" into "cannot judge", nor to have a film played that nobody compared.
    #[test]
    fn what_is_no_plain_file_of_the_folder_is_not_there() {
        let outside = tempfile::tempdir().unwrap();
        let bundle = BundleFolder::open(&hostile_folder(outside.path())).unwrap();
        let long = "a".repeat(300);
        for name in ABSENT.into_iter().chain(["a\0b", &long]) {
            assert_eq!(bundle.read(name, 100).unwrap(), None, "{name:?} was read");
            assert_eq!(bundle.hash(name, 100).unwrap(), None, "{name:?} was hashed");
        }
        for name in PLAIN {
            assert_eq!(bundle.read(name, 100).unwrap().unwrap(), b"1", "{name:?}");
        }
        for name in REFUSED {
            assert!(bundle.read(name, 100).is_err(), "{name:?} was read");
        }
        assert_eq!(bundle.list(LISTED.len()).unwrap(), LISTED, "something that is played, or is there, is not told");
    }

    /// Opening a pipe for reading waits for a writer, who never comes: the check must stand before the opening.
    #[test]
    fn a_pipe_in_a_bundle_does_not_hang_the_verifier() {
        let folder = tempfile::tempdir().unwrap();
        let made = std::process::Command::new("mkfifo").arg(folder.path().join("pipe")).status().unwrap();
        assert!(made.success());
        let bundle = BundleFolder::open(folder.path()).unwrap();
        let (done, outcome) = std::sync::mpsc::channel();
        std::thread::spawn(move || done.send((bundle.read("pipe", 100), bundle.hash("pipe", 100))));
        let outcome = outcome.recv_timeout(std::time::Duration::from_secs(20));
        assert_eq!(outcome, Ok((Ok(None), Ok(None))), "a pipe was waited for, or read");
    }

    #[test]
    fn opened_video_lies_where_nobody_else_can_look() {
        use std::os::unix::fs::PermissionsExt;
        let outside = tempfile::tempdir().unwrap();
        let folder = outside.path().join("case");
        create_empty(&folder).unwrap();
        assert_eq!(fs::metadata(&folder).unwrap().permissions().mode() & 0o777, 0o700, "others can look into the folder");
        write(&folder, "a", b"1").unwrap();
        assert!(create_empty(&folder).is_err(), "a folder that holds something was taken for a new one");
    }

    #[test]
    fn a_folder_of_endless_files_is_not_listed_for_ever() {
        let folder = tempfile::tempdir().unwrap();
        for file in ["working/a.mp4", "manifest.json", "a"] {
            write(folder.path(), file, b"1").unwrap();
        }
        let bundle = BundleFolder::open(folder.path()).unwrap();
        assert_eq!(bundle.list(3).unwrap(), ["a", "manifest.json", "working/a.mp4"]);
        assert_eq!(bundle.list(2), Err(SourceError::TooManyFiles { files_max: 2 }));
    }

    /// A working copy may be as long as a day of video.
    #[test]
    fn a_long_file_is_hashed_in_little_memory() {
        const LENGTH: u64 = 1 << 28;
        let folder = tempfile::tempdir().unwrap();
        File::create(folder.path().join("long")).unwrap().set_len(LENGTH).unwrap();
        let bundle = BundleFolder::open(folder.path()).unwrap();
        let before_kib = peak_memory_kib();
        let (_, length) = bundle.hash("long", LENGTH).unwrap().unwrap();
        assert_eq!(length, LENGTH);
        let grown_kib = peak_memory_kib() - before_kib;
        assert!(grown_kib * 1024 < LENGTH / 4, "hashing {LENGTH} bytes took {grown_kib} KiB of memory");
    }

    fn peak_memory_kib() -> u64 {
        let status = fs::read_to_string("/proc/self/status").unwrap();
        let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
        peak.trim().trim_end_matches("kB").trim().parse().unwrap()
    }

    #[test]
    fn a_file_beyond_its_limit_is_not_read() {
        let folder = tempfile::tempdir().unwrap();
        write(folder.path(), "a/b", b"12345").unwrap();
        let bundle = BundleFolder::open(folder.path()).unwrap();
        assert_eq!(bundle.read("a/b", 5).unwrap().unwrap(), b"12345");
        let too_long = SourceError::TooLong { path: "a/b".to_owned(), limit_bytes: 4 };
        assert_eq!(bundle.read("a/b", 4), Err(too_long.clone()), "a file longer than its limit was held in memory");
        assert_eq!(bundle.hash("a/b", 4), Err(too_long));
    }
}

//! Files of a bundle in memory.

use std::collections::BTreeMap;
use std::path::Path;

use exhibit_evidence::bundle::{BundleSource, FileBeside, SourceError, listed_name};
use exhibit_tlog::Hash;
use sha2::{Digest, Sha256};

/// Files in memory, and what else lies in the folder.
#[derive(Clone, Default)]
pub struct Files(pub BTreeMap<String, Vec<u8>>, pub Vec<Oddity>);

/// What no statement and no manifest can name.
#[derive(Clone, Debug)]
pub enum Oddity {
    /// A file of this name, whose bytes are no UTF-8.
    Name(&'static [u8]),
    /// A symbolic link of this name, relative to the bundle; one to a folder has a slash at its end.
    Link(&'static str, &'static str),
    /// A folder with nothing in it; one as deep as any path has a slash at its end, and is listed.
    Folder(&'static str),
    /// A name that is listed once more, by a host that does not tell two files apart. No folder has that.
    Again(&'static str),
}

impl Files {
    /// Writes them into a folder, which is made.
    pub fn write_to(&self, folder: &Path) {
        for (path, bytes) in &self.0 {
            let file = folder.join(path);
            std::fs::create_dir_all(file.parent().unwrap()).unwrap();
            std::fs::write(file, bytes).unwrap();
        }
        for oddity in &self.1 {
            oddity.make_in(folder);
        }
    }
}

impl Oddity {
    #[cfg(unix)]
    fn make_in(&self, folder: &Path) {
        use std::os::unix::ffi::OsStrExt;
        match self {
            Self::Name(name) => {
                let file = folder.join(std::ffi::OsStr::from_bytes(name));
                std::fs::create_dir_all(file.parent().unwrap()).unwrap();
                std::fs::write(file, b"another scene").unwrap();
            }
            Self::Link(name, target) => {
                let link = folder.join(name.trim_end_matches('/'));
                std::fs::create_dir_all(link.parent().unwrap()).unwrap();
                std::os::unix::fs::symlink(target, link).unwrap();
            }
            Self::Folder(name) => std::fs::create_dir_all(folder.join(name)).unwrap(),
            Self::Again(name) => panic!("no folder lists {name} twice"),
        }
    }

    #[cfg(not(unix))]
    fn make_in(&self, folder: &Path) {
        panic!("nothing is written to {} in WebAssembly", folder.display());
    }

    fn listed(&self) -> Option<String> {
        match self {
            Self::Name(name) => Some(listed_name(name)),
            Self::Link(name, _) | Self::Again(name) => Some((*name).to_owned()),
            Self::Folder(name) => name.ends_with('/').then(|| (*name).to_owned()),
        }
    }
}

impl BundleSource for Files {
    fn read(&self, path: &str, limit_bytes: u64) -> Result<Option<Vec<u8>>, SourceError> {
        let bytes = self.0.get(path).cloned();
        match bytes {
            Some(bytes) if bytes.len() as u64 > limit_bytes => Err(SourceError::TooLong { path: path.to_owned(), limit_bytes }),
            bytes => Ok(bytes),
        }
    }

    fn hash(&self, path: &str, _limit_bytes: u64) -> Result<Option<(Hash, u64)>, SourceError> {
        Ok(self.0.get(path).map(|bytes| (Hash(Sha256::digest(bytes).into()), bytes.len() as u64)))
    }

    fn list(&self, _files_max: usize) -> Result<Vec<String>, SourceError> {
        let mut listed: Vec<_> = self.0.keys().cloned().chain(self.1.iter().filter_map(Oddity::listed)).collect();
        listed.sort_unstable();
        Ok(listed)
    }

    fn beside(&self, path: &str) -> Result<Option<Box<dyn FileBeside + '_>>, SourceError> {
        Ok(self.0.get(path).map(|bytes| Box::new(Rest(bytes)) as Box<dyn FileBeside>))
    }
}

/// What is left of a file.
struct Rest<'a>(&'a [u8]);

impl FileBeside for Rest<'_> {
    fn fill(&mut self, buffer: &mut [u8]) -> Result<usize, SourceError> {
        let (now, later) = self.0.split_at(buffer.len().min(self.0.len()));
        buffer[..now.len()].copy_from_slice(now);
        self.0 = later;
        Ok(now.len())
    }
}

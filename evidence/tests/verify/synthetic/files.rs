//! Files of a bundle in memory.

use std::collections::BTreeMap;
use std::path::Path;

use exhibit_evidence::bundle::{BundleSource, FileBeside, SourceError};
use exhibit_tlog::Hash;
use sha2::{Digest, Sha256};

/// Files in memory.
#[derive(Clone, Default)]
pub struct Files(pub BTreeMap<String, Vec<u8>>);

impl Files {
    /// Writes them into a folder, which is made.
    pub fn write_to(&self, folder: &Path) {
        for (path, bytes) in &self.0 {
            let file = folder.join(path);
            std::fs::create_dir_all(file.parent().unwrap()).unwrap();
            std::fs::write(file, bytes).unwrap();
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
        Ok(self.0.keys().cloned().collect())
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

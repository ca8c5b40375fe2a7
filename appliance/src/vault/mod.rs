//! Where ciphertext and attachments lie: staged while they arrive, then durable under the name of a hash.
//!
//! It does not know statements, who may read what, or whether bytes are what was signed: whoever commits has checked that.

pub mod files;
pub mod local;

use std::io;

use exhibit_tlog::Hash;

pub use local::LocalVault;

/// What an object is, and the hash that names it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Object {
    /// The ciphertext of a segment, named by the SHA-256 of its statement.
    Payload(Hash),
    /// An attachment as stored, named by its own SHA-256.
    Attachment(Hash),
}

/// Keeps objects for ever. Calls block: make them from a blocking thread.
pub trait Vault: Send + Sync {
    /// Begins an object that nobody sees yet.
    fn stage(&self) -> Result<Box<dyn Staged>, VaultError>;
    /// Opens an object for reading; `None` if there is none of that name.
    fn open(&self, object: Object) -> Result<Option<Box<dyn StoredObject>>, VaultError>;

    /// Stages and commits bytes that are in memory already.
    fn put(&self, object: Object, bytes: &[u8]) -> Result<(), VaultError> {
        let mut staged = self.stage()?;
        staged.write(&[bytes])?;
        staged.commit(object)
    }
    /// A whole object of at most `length_max` bytes.
    fn read(&self, object: Object, length_max: u64) -> Result<Option<Vec<u8>>, VaultError> {
        let Some(stored) = self.open(object)? else { return Ok(None) };
        if stored.length() > length_max {
            return Err(VaultError::Read(io::Error::other("an object is longer than its statement says")));
        }
        let mut bytes = vec![0; usize::try_from(stored.length()).expect("lengths of objects are bounded")];
        stored.read_exact_at(&mut bytes, 0)?;
        Ok(Some(bytes))
    }
}

/// An object that is being written. Dropped without `commit`, it leaves nothing behind.
pub trait Staged: Send {
    /// Writes pieces, one after the other, behind what is there.
    fn write(&mut self, pieces: &[&[u8]]) -> Result<(), VaultError>;
    /// What was written so far, as it lies there now.
    fn written(&self) -> Result<Box<dyn StoredObject>, VaultError>;
    /// Makes it durable under its name: once this returns, a power cut does not lose it.
    fn commit(self: Box<Self>, object: Object) -> Result<(), VaultError>;
}

/// An object that is read.
pub trait StoredObject: Send + Sync {
    /// How many bytes it has.
    fn length(&self) -> u64;
    /// Fills the buffer with what stands at `offset`.
    fn read_exact_at(&self, buffer: &mut [u8], offset: u64) -> Result<(), VaultError>;
}

/// Why the vault failed: by what is done about it.
#[derive(Debug, thiserror::Error)]
pub enum VaultError {
    /// Nothing was kept; the sender may try again once there is room.
    #[error("the vault could not write: {0}")]
    Write(#[source] io::Error),
    /// Whether the bytes are on disk is unknown, and asking again may say yes without their being there: the process must end.
    #[error("the vault could not sync: {0}")]
    Sync(#[source] io::Error),
    /// What is stored could not be read.
    #[error("the vault could not read: {0}")]
    Read(#[source] io::Error),
}

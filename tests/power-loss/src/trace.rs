//! The record that shim.c writes, read back. One process writes at its end, killed or not.
//!
//! It does not know what the operations come to (disk.rs).

use std::path::Path;

/// One change or sync, in the order in which they happened. Paths are below the root; the root itself is the empty one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Operation {
    /// A file or folder was opened.
    Open {
        /// As the process knows it from now on.
        descriptor: i32,
        /// O_CREAT, O_TRUNC and the rest.
        flags: i32,
        /// Which.
        path: String,
    },
    /// A descriptor was closed.
    Close(i32),
    /// Bytes were written.
    Write {
        /// To which file.
        descriptor: i32,
        /// From which byte on.
        offset: u64,
        /// What.
        bytes: Vec<u8>,
    },
    /// A file was cut or extended.
    Truncate {
        /// Which.
        descriptor: i32,
        /// To so many bytes.
        length: u64,
    },
    /// A file or folder was synced.
    Sync(i32),
    /// A sync failed: what was written until then is shown, and no later sync makes it durable.
    SyncFailed(i32),
    /// A file got another name.
    Rename(String, String),
    /// A name was removed.
    Unlink(String),
    /// A file got a second name.
    Link(String, String),
    /// A folder was made.
    Mkdir(String),
    /// The process printed something.
    Output(Vec<u8>),
}

/// Reads a whole record; a process that was killed may have left the last one cut off.
///
/// # Panics
/// If there is none, or it is not what the shim writes.
#[must_use]
pub fn read_trace(path: &Path) -> Vec<Operation> {
    let bytes = std::fs::read(path).expect("the shim has written a trace");
    let mut reader = Reader(&bytes);
    let mut operations = Vec::new();
    while let Some(operation) = reader.operation() {
        operations.push(operation);
    }
    operations
}

struct Reader<'a>(&'a [u8]);

impl Reader<'_> {
    fn operation(&mut self) -> Option<Operation> {
        let kind = self.fixed::<1>()?[0];
        let descriptor = i32::from_le_bytes(self.fixed()?);
        let offset = u64::from_le_bytes(self.fixed()?);
        let (first, second) = (self.bytes()?, self.bytes()?);
        Some(match kind {
            1 => Operation::Open { descriptor, flags: offset as u32 as i32, path: text(first) },
            2 => Operation::Close(descriptor),
            3 => Operation::Write { descriptor, offset, bytes: first },
            4 => Operation::Truncate { descriptor, length: offset },
            5 => Operation::Sync(descriptor),
            6 => Operation::SyncFailed(descriptor),
            7 => Operation::Rename(text(first), text(second)),
            8 => Operation::Unlink(text(first)),
            9 => Operation::Link(text(first), text(second)),
            10 => Operation::Mkdir(text(first)),
            11 => Operation::Output(first),
            other => panic!("the trace has an operation {other}"),
        })
    }

    fn fixed<const LENGTH: usize>(&mut self) -> Option<[u8; LENGTH]> {
        let (taken, rest) = self.0.split_first_chunk()?;
        self.0 = rest;
        Some(*taken)
    }

    fn bytes(&mut self) -> Option<Vec<u8>> {
        let length = u32::from_le_bytes(self.fixed()?) as usize;
        let (taken, rest) = self.0.split_at_checked(length)?;
        self.0 = rest;
        Some(taken.to_vec())
    }
}

fn text(bytes: Vec<u8>) -> String {
    String::from_utf8(bytes).expect("the programs under test use names of UTF-8")
}

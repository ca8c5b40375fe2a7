//! What a power cut could leave of a program's files: a preloaded shim records every change and every sync, and a model of a disk replays the
//! record up to any moment, without what was not synced by then.
//!
//! It does not know what the files mean; whoever uses it opens each image and says what must be in it.

mod disk;
mod progress;
mod trace;

use std::path::{Path, PathBuf};
use std::process::Command;

pub use disk::{Cut, Disk};
pub use progress::Progress;
pub use trace::{Operation, read_trace};

/// The compiled shim, in a folder that vanishes with it.
pub struct Shim {
    folder: tempfile::TempDir,
}

/// A change that fails with EIO.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Failure {
    /// Which, counted from 0.
    pub number: usize,
    /// Whether it is done nevertheless.
    pub is_done: bool,
}

impl Shim {
    /// Compiles the shim with `cc`.
    ///
    /// # Panics
    /// If there is no C compiler: what RocksDB needs too.
    #[must_use]
    pub fn compile() -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder can be made");
        let source = folder.path().join("shim.c");
        std::fs::write(&source, include_str!("shim.c")).expect("the temporary folder can be written");
        let compiled = Command::new("cc")
            .args(["-O1", "-Wall", "-Werror", "-shared", "-fPIC", "-o"])
            .arg(folder.path().join("shim.so"))
            .arg(source)
            .arg("-lpthread")
            .status()
            .expect("there is a C compiler named cc");
        assert!(compiled.success(), "the shim does not compile");
        Self { folder }
    }

    /// Has `command` record what it does below `root` (an absolute path, and the program uses such) at the end of the file `trace`.
    pub fn preload(&self, command: &mut Command, root: &Path, trace: &Path, failure: Option<Failure>) {
        command.env("LD_PRELOAD", self.folder.path().join("shim.so")).env("POWER_LOSS_ROOT", root).env("POWER_LOSS_TRACE", trace);
        if let Some(Failure { number, is_done }) = failure {
            command.env("POWER_LOSS_FAIL", format!("{number} {}", u8::from(is_done)));
        }
    }
}

/// A temporary folder in memory where there is one: images are many and short-lived, and what they were synced with is in the record.
///
/// # Panics
/// If none can be made.
#[must_use]
pub fn scratch() -> tempfile::TempDir {
    let memory = PathBuf::from("/dev/shm");
    let made = if memory.is_dir() { tempfile::tempdir_in(memory) } else { tempfile::tempdir() };
    made.expect("a temporary folder can be made")
}

/// Small and reproducible: xorshift64.
#[derive(Clone, Debug)]
pub struct Random(u64);

impl Random {
    /// Begins at a seed.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        // Zero would stay zero.
        Self(seed ^ 0x2545_f491_4f6c_dd1d)
    }

    /// The next number below `limit`, which is not 0.
    pub fn below(&mut self, limit: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % limit
    }
}

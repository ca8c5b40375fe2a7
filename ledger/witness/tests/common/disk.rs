//! Disks that fail.

use std::io;
use std::path::Path;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, Sender};

use exhibit_witness::disk::{Disk, LocalDisk};

/// Fails the call with that number, before or after it is performed.
pub struct FailingDisk {
    calls: AtomicU64,
    fails_at: u64,
    persists: bool,
}

impl FailingDisk {
    pub fn new(fails_at: u64, persists: bool) -> Self {
        Self { calls: AtomicU64::new(0), fails_at, persists }
    }

    /// Whether that call has come.
    pub fn has_failed(&self) -> bool {
        self.calls.load(Ordering::Relaxed) > self.fails_at
    }

    fn call(&self, perform: impl Fn() -> io::Result<()>) -> io::Result<()> {
        let fails = self.calls.fetch_add(1, Ordering::Relaxed) == self.fails_at;
        if !fails || self.persists {
            perform()?;
        }
        if fails { Err(io::Error::other("the test's disk fails")) } else { Ok(()) }
    }
}

impl Disk for FailingDisk {
    fn write(&self, path: &Path, bytes: &[u8]) -> io::Result<()> {
        self.call(|| LocalDisk.write(path, bytes))
    }
    fn sync_file(&self, path: &Path) -> io::Result<()> {
        self.call(|| LocalDisk.sync_file(path))
    }
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.call(|| LocalDisk.rename(from, to))
    }
    fn sync_folder(&self, path: &Path) -> io::Result<()> {
        self.call(|| LocalDisk.sync_folder(path))
    }
}

/// Says that a file is to be synced, waits until it may go on, and then fails.
pub struct HangingDisk {
    pub syncing: Mutex<Sender<()>>,
    pub goes_on: Mutex<Receiver<()>>,
}

impl Disk for HangingDisk {
    fn write(&self, path: &Path, bytes: &[u8]) -> io::Result<()> {
        LocalDisk.write(path, bytes)
    }
    fn sync_file(&self, _: &Path) -> io::Result<()> {
        self.syncing.lock().unwrap().send(()).unwrap();
        let _ = self.goes_on.lock().unwrap().recv();
        Err(io::Error::other("the test's disk fails"))
    }
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        LocalDisk.rename(from, to)
    }
    fn sync_folder(&self, path: &Path) -> io::Result<()> {
        LocalDisk.sync_folder(path)
    }
}

//! How much room the disk has left, and for whom: a disk that uploads fill must not take from the ledger what it needs to go on.
//!
//! It frees nothing, and knows nothing of quotas. What others put on the same disk it only sees.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use exhibit_evidence::body::SEGMENT_CIPHERTEXT_BYTES_MAX;

/// What room is asked for. Who asks for less important things is refused while there is still some for the others.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Use {
    /// What cameras send: they keep it and try again. Needs the whole reserve to be left.
    Camera,
    /// What people and authorities state: three quarters.
    Person,
    /// What the appliance states itself, such as who has read what: half of it. The rest is the database's, which writes its logs anew at start and
    /// merges its files.
    Own,
}

impl Use {
    fn eighths(self) -> u64 {
        match self {
            Self::Camera => 8,
            Self::Person => 6,
            Self::Own => 4,
        }
    }
}

/// There is none.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the disk has {free_mib} MiB left, and {kept_mib} MiB of them are kept: make room on it")]
pub struct NoRoom {
    free_mib: u64,
    kept_mib: u64,
}

/// A disk, by the folder that lies on it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Disk {
    /// What lies on it: `vault` or `ledger`.
    pub name: &'static str,
    /// What it has left for the appliance, without what is kept for the administrator. `None` where it can not be asked.
    pub free_bytes: Option<u64>,
    /// All of it.
    pub total_bytes: u64,
    /// A segment of the largest would not be refused for lack of room.
    pub takes_segments: bool,
    /// Nothing can be written to it: mounted so, or by the kernel after an error.
    pub is_read_only: bool,
}

/// The room on the disks of some folders, of which a part is kept.
pub struct Room {
    folders: Vec<(&'static str, PathBuf)>,
    reserve_bytes: AtomicU64,
    /// What uploads that have begun may still write.
    promised_bytes: AtomicU64,
    /// So that the log tells it once.
    is_short: AtomicBool,
}

impl Room {
    /// Of these folders, each with so much kept. A reserve of 0 refuses nobody.
    pub fn new(folders: Vec<(&'static str, PathBuf)>, reserve_bytes: u64) -> Self {
        Self { folders, reserve_bytes: AtomicU64::new(reserve_bytes), promised_bytes: AtomicU64::new(0), is_short: AtomicBool::new(false) }
    }

    /// Promises so many bytes, until the promise is dropped.
    pub fn promise(&self, length: u64, by: Use) -> Result<Promise<'_>, NoRoom> {
        let reserve_bytes = self.reserve_bytes();
        let kept = reserve_bytes / 8 * by.eighths();
        let promised = self.promised_bytes.fetch_add(length, Ordering::Relaxed).saturating_add(length);
        let promise = Promise { room: self, length };
        let short = self.free().into_iter().find(|free| free.saturating_sub(promised) < kept);
        if reserve_bytes > 0
            && let Some(free) = short
        {
            if !self.is_short.swap(true, Ordering::Relaxed) {
                let (free_mib, reserve_mib) = (free / MIB, reserve_bytes / MIB);
                tracing::error!(free_mib, reserve_mib, "the disk is full up to its reserve: cameras keep what they send. Make room on it");
            }
            return Err(NoRoom { free_mib: free / MIB, kept_mib: kept / MIB });
        }
        if by == Use::Camera {
            self.is_short.store(false, Ordering::Relaxed);
        }
        Ok(promise)
    }

    /// The disks as they are.
    pub fn disks(&self) -> Vec<Disk> {
        let disk = |(name, folder): &(&'static str, PathBuf)| match rustix::fs::statvfs(folder) {
            Ok(disk) => Disk {
                name,
                free_bytes: Some(disk.f_bavail.saturating_mul(disk.f_frsize)),
                total_bytes: disk.f_blocks.saturating_mul(disk.f_frsize),
                takes_segments: self.has_room(disk.f_bavail.saturating_mul(disk.f_frsize)),
                is_read_only: disk.f_flag.contains(rustix::fs::StatVfsMountFlags::RDONLY),
            },
            Err(_) => Disk { name, free_bytes: None, total_bytes: 0, takes_segments: false, is_read_only: false },
        };
        self.folders.iter().map(disk).collect()
    }

    /// For a segment of the largest, beside what is promised and kept.
    fn has_room(&self, free: u64) -> bool {
        let (promised, reserve_bytes) = (self.promised_bytes.load(Ordering::Relaxed), self.reserve_bytes());
        reserve_bytes == 0 || free.saturating_sub(promised.saturating_add(SEGMENT_CIPHERTEXT_BYTES_MAX)) >= reserve_bytes
    }

    /// So much is kept of each.
    pub fn reserve_bytes(&self) -> u64 {
        self.reserve_bytes.load(Ordering::Relaxed)
    }

    /// From now on so much is.
    pub fn keep(&self, reserve_bytes: u64) {
        self.reserve_bytes.store(reserve_bytes, Ordering::Relaxed);
    }

    /// Bytes that are free for the appliance, on each disk. One that can not be asked fails when it is written to.
    fn free(&self) -> Vec<u64> {
        self.folders.iter().filter_map(|(_, folder)| free_bytes(folder).ok()).collect()
    }
}

/// Room that was promised.
pub struct Promise<'a> {
    room: &'a Room,
    length: u64,
}

impl Drop for Promise<'_> {
    fn drop(&mut self) {
        self.room.promised_bytes.fetch_sub(self.length, Ordering::Relaxed);
    }
}

/// Without what is kept for the administrator.
fn free_bytes(folder: &Path) -> io::Result<u64> {
    let disk = rustix::fs::statvfs(folder)?;
    Ok(disk.f_bavail.saturating_mul(disk.f_frsize))
}

const MIB: u64 = 1024 * 1024;

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn what_is_promised_and_kept_is_not_given_twice() {
        let folder = tempfile::tempdir().unwrap();
        let free = free_bytes(folder.path()).unwrap();
        // Other programs write to this disk meanwhile: all is measured in eighths of what is free, and compared by sixteenths.
        let eighth = free / 8;
        let room = Room::new(vec![("vault", folder.path().to_owned())], eighth * 4);
        let first = room.promise(eighth * 3, Use::Camera).expect("three eighths and the reserve fit");
        assert!(room.promise(eighth * 3 / 2, Use::Camera).is_err(), "promised twice");
        assert!(room.promise(eighth * 3 / 2, Use::Person).is_ok(), "people are refused with the cameras");
        assert!(room.promise(eighth * 5 / 2, Use::Person).is_err(), "people take what is kept for the ledger");
        assert!(room.promise(eighth * 5 / 2, Use::Own).is_ok(), "nobody can read any more");
        assert!(room.promise(eighth * 7 / 2, Use::Own).is_err(), "the last half is the database's");
        drop(first);
        assert!(room.promise(eighth * 3, Use::Camera).is_ok(), "what was promised stays so");
        assert!(Room::new(vec![("vault", folder.path().to_owned())], 0).promise(u64::MAX, Use::Camera).is_ok());
        let elsewhere = Room::new(vec![("ledger", folder.path().to_owned()), ("vault", folder.path().join("none"))], eighth);
        assert!(elsewhere.promise(1, Use::Camera).is_ok(), "a folder that is not there is no full disk");
    }
}

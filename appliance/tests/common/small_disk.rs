//! Small disks (tmpfs) in a namespace of their own: nobody else sees them, and they go with the test.

use std::path::Path;
use std::process::Command;

const DISK: &str = "EXHIBIT_SMALL_DISK";

/// Runs a test, which has that name in this binary, with its temporary folders on a disk of so many MiB: this process runs itself again in a namespace
/// where it is root. Says so where the system allows none.
pub fn on_a_small_disk(test: &str, mib: u64, run: impl Future<Output = ()>) {
    if std::env::var_os(DISK).is_some() {
        tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap().block_on(run);
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let mount = format!("mount -t tmpfs -o size={mib}m none \"${DISK}\" && exec \"$0\" \"$@\"");
    let mut command = Command::new("unshare");
    command.args(["--user", "--map-root-user", "--mount", "/bin/sh", "-c"]).arg(mount).arg(std::env::current_exe().unwrap());
    command.args([test, "--exact", "--nocapture"]).env(DISK, folder.path()).env("TMPDIR", folder.path());
    let probe = Command::new("unshare").args(["--user", "--map-root-user", "--mount", "true"]).status();
    if !probe.is_ok_and(|probe| probe.success()) {
        println!("SKIPPED: this system gives nobody a namespace with a disk of its own");
        return;
    }
    let ran = command.output().unwrap();
    assert!(ran.status.success(), "{}{}", String::from_utf8_lossy(&ran.stdout), String::from_utf8_lossy(&ran.stderr));
    assert!(String::from_utf8_lossy(&ran.stdout).contains("1 passed"), "{test} is no test of this binary");
}

/// A file of somebody else's on the disk.
pub fn fill(path: &Path, length: u64) {
    let file = std::fs::File::create(path).unwrap();
    rustix::fs::fallocate(&file, rustix::fs::FallocateFlags::empty(), 0, length).unwrap();
}

/// What it has left.
pub fn free(folder: &Path) -> u64 {
    let disk = rustix::fs::statvfs(folder).unwrap();
    disk.f_bavail * disk.f_frsize
}

/// `mount` with these words, in the namespace.
pub fn mount(words: &[&str], folder: &Path) {
    let mounted = Command::new("mount").args(words).arg(folder).output().unwrap();
    assert!(mounted.status.success(), "mount {words:?}: {}", String::from_utf8_lossy(&mounted.stderr));
}

/// The disk that is mounted there goes away.
pub fn unmount(folder: &Path) {
    let unmounted = Command::new("umount").arg(folder).output().unwrap();
    assert!(unmounted.status.success(), "umount: {}", String::from_utf8_lossy(&unmounted.stderr));
}

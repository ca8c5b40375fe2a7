//! What a server gives up before it serves: root, capabilities, files that it has no business with, system calls that it never
//! needs, core dumps. Whoever takes over the process has no more than this, nor have the programs that it starts.
//!
//! It does not know what is served. All of it is about the thread that calls and what comes of it: call it before there are others.

mod system_calls;

use std::ffi::CString;
use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use landlock::{
    ABI, Access, AccessFs, BitFlags, CompatLevel, Compatible, Ruleset, RulesetAttr, RulesetCreatedAttr, RulesetError, RulesetStatus, Scope,
    path_beneath_rules,
};
use nix::unistd::{Gid, Uid, User, initgroups, setgroups, setresgid, setresuid};
use rustix::fs::Mode;
use rustix::process::{DumpableBehavior, Resource, Rlimit, geteuid, set_dumpable_behavior, setrlimit, umask};
use rustix::thread::{
    CapabilitySet, CapabilitySets, capabilities, clear_ambient_capability_set, remove_capability_from_bounding_set, set_capabilities,
    set_no_new_privs,
};

/// What a process keeps.
#[derive(Clone, Debug, Default)]
pub struct Confinement {
    /// Files and folders that it reads, besides the system's own. What is not there is passed over.
    pub reads: Vec<PathBuf>,
    /// Files and folders that it writes too.
    pub writes: Vec<PathBuf>,
    /// Programs that it starts. Without any it starts none.
    pub programs: Vec<PathBuf>,
}

/// What came of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Confined {
    /// How much of what was asked about files the kernel knows.
    pub files: Files,
    /// It is root still.
    pub is_root: bool,
}

/// Whether the kernel keeps it from others' files (Landlock).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Files {
    /// From all that was asked.
    Kept,
    /// From what this kernel knows of.
    InPart,
    /// The kernel has no Landlock, or the first.
    Not,
}

/// Why it does not serve: what it would give up is not given up.
#[derive(Debug, thiserror::Error)]
pub enum ConfineError {
    /// Who writes there decides what is done as root.
    #[error(
        "root starts it, and others may write in {0}, which is root's: give it to a user of its own (chown -R), whom it becomes, or take \
         their rights (chmod go-w)"
    )]
    Shared(PathBuf),
    /// The kernel refuses.
    #[error("{0} can not be given up: {1}")]
    Kept(&'static str, io::Error),
    /// Landlock is there and fails.
    #[error("files can not be given up: {0}")]
    Files(#[from] RulesetError),
    /// The filter is not a filter.
    #[error("system calls can not be given up: {0}")]
    Calls(String),
}

/// The system's own files that a program reads: libraries, programs, names and addresses, time zones, certificates, what the kernel tells.
const SYSTEM_READS: [&str; 24] = [
    "/usr",
    "/bin",
    "/sbin",
    "/lib",
    "/lib64",
    "/etc/ld.so.cache",
    "/etc/alternatives",
    "/etc/ssl/certs",
    "/etc/ssl/openssl.cnf",
    "/etc/ca-certificates",
    "/etc/hosts",
    "/etc/host.conf",
    "/etc/resolv.conf",
    "/etc/nsswitch.conf",
    "/etc/gai.conf",
    "/etc/services",
    "/etc/protocols",
    "/etc/localtime",
    "/etc/tpm2-tss",
    // Where resolv.conf leads to: what makes it replaces it, and a rule is of the file that was there, or of its folder.
    "/run/systemd/resolve",
    "/run/NetworkManager",
    "/run/resolvconf",
    "/proc",
    "/sys",
];
/// Devices that are nobody's.
const SYSTEM_DEVICES: [&str; 4] = ["/dev/null", "/dev/zero", "/dev/random", "/dev/urandom"];
/// What is asked of a kernel that knows it: an older one keeps what it can.
const LANDLOCK: ABI = ABI::V7;
/// What a kernel has to know. The first Landlock (Linux 5.13) refuses each rename and link into another folder, whatever is asked: no object would get
/// its name.
const LANDLOCK_LEAST: ABI = ABI::V2;

/// Whether this kernel has a Landlock that can be used. Asks for rules, and binds nobody by them.
pub fn has_landlock() -> bool {
    let ruleset = Ruleset::default().set_compatibility(CompatLevel::HardRequirement);
    ruleset.handle_access(AccessFs::from_all(LANDLOCK_LEAST)).and_then(|ruleset| ruleset.create()).is_ok()
}

/// Becomes the owner of a folder, if it is root, with that user's groups: before anything in it is read, since whoever writes there must not say what
/// root does. It stays root where the folder is root's and nobody else may write there.
pub fn become_owner(folder: &Path) -> Result<(), ConfineError> {
    let failed = |error: nix::Error| ConfineError::Kept("root", error.into());
    // What is not there is told by whoever reads it.
    let Some(owned) = fs::metadata(folder).ok().filter(|_| geteuid().is_root()) else { return Ok(()) };
    if owned.uid() == 0 {
        return if owned.mode() & OTHERS_WRITE == 0 { Ok(()) } else { Err(ConfineError::Shared(folder.to_owned())) };
    }
    let uid = Uid::from_raw(owned.uid());
    let group = match User::from_uid(uid).map_err(failed)? {
        Some(user) => {
            let name = CString::new(user.name).map_err(|error| ConfineError::Kept("root", error.into()))?;
            initgroups(&name, user.gid).map_err(failed)?;
            user.gid
        }
        // A number that has no name, as containers have.
        None => {
            let group = Gid::from_raw(owned.gid());
            setgroups(&[group]).map_err(failed)?;
            group
        }
    };
    setresgid(group, group, group).map_err(failed)?;
    setresuid(uid, uid, uid).map_err(failed)
}

/// Whether the process is that user.
pub fn is_user(name: &str) -> bool {
    User::from_name(name).is_ok_and(|user| user.is_some_and(|user| user.uid.as_raw() == geteuid().as_raw()))
}

/// Of a mode.
const OTHERS_WRITE: u32 = 0o022;

impl Confinement {
    /// Gives up all else, for good.
    pub fn enter(&self) -> Result<Confined, ConfineError> {
        let kept = |what| move |error: rustix::io::Errno| ConfineError::Kept(what, error.into());
        // Keys are in memory: neither a crash nor another process of the same user gets at it.
        setrlimit(Resource::Core, Rlimit { current: Some(0), maximum: Some(0) }).map_err(kept("core dumps"))?;
        // What it makes is its own: it can not change the mode of a file afterwards.
        umask(Mode::RWXG | Mode::RWXO);
        drop_capabilities()?;
        set_dumpable_behavior(DumpableBehavior::NotDumpable).map_err(kept("core dumps"))?;
        set_no_new_privs(true).map_err(kept("new privileges"))?;
        let files = self.give_up_files()?;
        system_calls::give_up(!self.programs.is_empty())?;
        Ok(Confined { files, is_root: geteuid().is_root() })
    }

    fn give_up_files(&self) -> Result<Files, ConfineError> {
        let all = AccessFs::from_all(LANDLOCK);
        let run = if self.programs.is_empty() { BitFlags::empty() } else { AccessFs::Execute.into() };
        let read = AccessFs::ReadFile | AccessFs::ReadDir;
        let status = Ruleset::default()
            .set_compatibility(CompatLevel::SoftRequirement)
            .handle_access(AccessFs::from_all(LANDLOCK_LEAST))?
            .set_compatibility(CompatLevel::BestEffort)
            .handle_access(all)?
            .scope(Scope::from_all(LANDLOCK))?
            .create()?
            .add_rules(path_beneath_rules(SYSTEM_READS, read | run))?
            .add_rules(path_beneath_rules(SYSTEM_DEVICES, read | AccessFs::WriteFile))?
            .add_rules(path_beneath_rules(&self.reads, read))?
            .add_rules(path_beneath_rules(&self.programs, read | run))?
            .add_rules(path_beneath_rules(&self.writes, all & !BitFlags::from(AccessFs::Execute)))?
            .restrict_self()?;
        Ok(match status.ruleset {
            RulesetStatus::FullyEnforced => Files::Kept,
            RulesetStatus::PartiallyEnforced => Files::InPart,
            RulesetStatus::NotEnforced => Files::Not,
        })
    }
}

/// None is left, and none comes back with a program that has some.
fn drop_capabilities() -> Result<(), ConfineError> {
    let kept = |error: rustix::io::Errno| ConfineError::Kept("capabilities", error.into());
    if geteuid().is_root() {
        for capability in CapabilitySet::all().iter() {
            match remove_capability_from_bounding_set(capability) {
                // This kernel does not know it, or root has none of them here.
                Err(rustix::io::Errno::INVAL | rustix::io::Errno::PERM) => {}
                removed => removed.map_err(kept)?,
            }
        }
    }
    match clear_ambient_capability_set() {
        Err(rustix::io::Errno::INVAL) => {}
        cleared => cleared.map_err(kept)?,
    }
    let none = CapabilitySet::empty();
    let none = CapabilitySets { effective: none, permitted: none, inheritable: none };
    // Where there are none, as in a unit of systemd's, the call may be given up already.
    if capabilities(None).map_err(kept)? == none { Ok(()) } else { set_capabilities(None, none).map_err(kept) }
}

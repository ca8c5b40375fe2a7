//! What a server gives up before it serves: another user than root, capabilities, files that it has no business with, system calls that it never
//! needs, core dumps. Whoever takes over the process has no more than this, nor have the programs that it starts.
//!
//! It does not know what is served. All of it is about the thread that calls and what comes of it: call it before there are others.

mod system_calls;

use std::io;
use std::path::PathBuf;

use landlock::{
    ABI, Access, AccessFs, BitFlags, CompatLevel, Compatible, Ruleset, RulesetAttr, RulesetCreatedAttr, RulesetError, RulesetStatus, Scope,
    path_beneath_rules,
};
use nix::unistd::{User, initgroups, setresgid, setresuid};
use rustix::fs::Mode;
use rustix::process::{DumpableBehavior, Resource, Rlimit, geteuid, set_dumpable_behavior, setrlimit, umask};
use rustix::thread::{
    CapabilitySet, CapabilitySets, capabilities, clear_ambient_capability_set, remove_capability_from_bounding_set, set_capabilities,
    set_no_new_privs,
};

/// What a process keeps.
#[derive(Clone, Debug, Default)]
pub struct Confinement {
    /// Who it becomes if it is root.
    pub user: Option<String>,
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
    /// It is root still, since nobody said who else.
    pub is_root: bool,
}

/// Whether the kernel keeps it from others' files (Landlock).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Files {
    /// From all that was asked.
    Kept,
    /// From what this kernel knows of.
    InPart,
    /// The kernel has no Landlock.
    Not,
}

/// Why it does not serve: what it would give up is not given up.
#[derive(Debug, thiserror::Error)]
pub enum ConfineError {
    /// There is no such user.
    #[error("there is no user {0}: make one, or name another")]
    NoUser(String),
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
const SYSTEM_READS: [&str; 20] = [
    "/usr",
    "/bin",
    "/sbin",
    "/lib",
    "/lib64",
    "/etc/ld.so.cache",
    "/etc/alternatives",
    "/etc/ssl",
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
    "/proc",
    "/sys",
];
/// Devices that are nobody's.
const SYSTEM_DEVICES: [&str; 4] = ["/dev/null", "/dev/zero", "/dev/random", "/dev/urandom"];
/// What is asked of a kernel that knows it: an older one keeps what it can.
const LANDLOCK: ABI = ABI::V7;

/// Whether this kernel has Landlock. Asks for rules, and binds nobody by them.
pub fn has_landlock() -> bool {
    let ruleset = Ruleset::default().set_compatibility(CompatLevel::HardRequirement);
    ruleset.handle_access(AccessFs::from_all(ABI::V1)).and_then(|ruleset| ruleset.create()).is_ok()
}

impl Confinement {
    /// Gives up all else, for good.
    pub fn enter(&self) -> Result<Confined, ConfineError> {
        let kept = |what| move |error: rustix::io::Errno| ConfineError::Kept(what, error.into());
        // Keys are in memory: neither a crash nor another process of the same user gets at it.
        setrlimit(Resource::Core, Rlimit { current: Some(0), maximum: Some(0) }).map_err(kept("core dumps"))?;
        // What it makes is its own: it can not change the mode of a file afterwards.
        umask(Mode::RWXG | Mode::RWXO);
        self.become_user()?;
        drop_capabilities()?;
        // After the user: to change it makes this as it was.
        set_dumpable_behavior(DumpableBehavior::NotDumpable).map_err(kept("core dumps"))?;
        set_no_new_privs(true).map_err(kept("new privileges"))?;
        let files = self.give_up_files()?;
        system_calls::give_up(!self.programs.is_empty())?;
        Ok(Confined { files, is_root: geteuid().is_root() })
    }

    fn become_user(&self) -> Result<(), ConfineError> {
        let Some(name) = self.user.as_ref().filter(|_| geteuid().is_root()) else { return Ok(()) };
        let failed = |error: nix::Error| ConfineError::Kept("root", error.into());
        let user = User::from_name(name).map_err(failed)?.ok_or_else(|| ConfineError::NoUser(name.clone()))?;
        let c_name = std::ffi::CString::new(name.as_str()).map_err(|_| ConfineError::NoUser(name.clone()))?;
        initgroups(&c_name, user.gid).map_err(failed)?;
        setresgid(user.gid, user.gid, user.gid).map_err(failed)?;
        setresuid(user.uid, user.uid, user.uid).map_err(failed)
    }

    fn give_up_files(&self) -> Result<Files, ConfineError> {
        let all = AccessFs::from_all(LANDLOCK);
        let run = if self.programs.is_empty() { BitFlags::empty() } else { AccessFs::Execute.into() };
        let read = AccessFs::ReadFile | AccessFs::ReadDir;
        let status = Ruleset::default()
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

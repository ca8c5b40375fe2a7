//! The system calls that a server needs, and the programs that it starts. All others fail with EPERM.
//!
//! It is what systemd calls `@system-service`, without what changes users, owners and clocks of the machine, and without shared memory of System V.
//! Landlock judges neither modes nor times of files, nor who is told of their use, and root needs no privilege for those of root's own: what changes or
//! watches them by name is left out too.

use std::collections::BTreeMap;

use libc::{AF_INET, AF_INET6, AF_NETLINK, AF_UNIX, c_long};
use seccompiler::{
    BackendError, BpfProgram, SeccompAction, SeccompCmpArgLen, SeccompCmpOp, SeccompCondition, SeccompFilter, SeccompRule, apply_filter,
};

use super::ConfineError;

/// Memory, threads, time, signals, what the C library and Rust's runtime ask without being asked to.
const PROCESS: &[c_long] = &[
    libc::SYS_brk,
    libc::SYS_madvise,
    libc::SYS_membarrier,
    libc::SYS_mincore,
    libc::SYS_mlock,
    libc::SYS_mlock2,
    libc::SYS_mlockall,
    libc::SYS_mmap,
    libc::SYS_mprotect,
    libc::SYS_mremap,
    libc::SYS_msync,
    libc::SYS_munlock,
    libc::SYS_munlockall,
    libc::SYS_munmap,
    libc::SYS_capget,
    libc::SYS_capset,
    libc::SYS_clock_getres,
    libc::SYS_clock_gettime,
    libc::SYS_clock_nanosleep,
    libc::SYS_clone3,
    libc::SYS_exit,
    libc::SYS_exit_group,
    libc::SYS_futex,
    libc::SYS_futex_waitv,
    libc::SYS_get_robust_list,
    libc::SYS_set_robust_list,
    libc::SYS_set_tid_address,
    libc::SYS_rseq,
    libc::SYS_getcpu,
    libc::SYS_getitimer,
    libc::SYS_setitimer,
    libc::SYS_getpgid,
    libc::SYS_getpid,
    libc::SYS_getppid,
    libc::SYS_getpriority,
    libc::SYS_setpriority,
    libc::SYS_getrandom,
    libc::SYS_getrlimit,
    libc::SYS_getrusage,
    libc::SYS_getsid,
    libc::SYS_gettid,
    libc::SYS_gettimeofday,
    libc::SYS_getuid,
    libc::SYS_geteuid,
    libc::SYS_getgid,
    libc::SYS_getegid,
    libc::SYS_getgroups,
    libc::SYS_getresuid,
    libc::SYS_getresgid,
    libc::SYS_kill,
    libc::SYS_tgkill,
    libc::SYS_tkill,
    libc::SYS_nanosleep,
    libc::SYS_pidfd_open,
    libc::SYS_pidfd_send_signal,
    libc::SYS_prctl,
    libc::SYS_restart_syscall,
    libc::SYS_rt_sigaction,
    libc::SYS_rt_sigpending,
    libc::SYS_rt_sigprocmask,
    libc::SYS_rt_sigqueueinfo,
    libc::SYS_rt_sigreturn,
    libc::SYS_rt_sigsuspend,
    libc::SYS_rt_sigtimedwait,
    libc::SYS_rt_tgsigqueueinfo,
    libc::SYS_sigaltstack,
    libc::SYS_sched_getaffinity,
    libc::SYS_sched_setaffinity,
    libc::SYS_sched_get_priority_max,
    libc::SYS_sched_get_priority_min,
    libc::SYS_sched_getattr,
    libc::SYS_sched_getparam,
    libc::SYS_sched_getscheduler,
    libc::SYS_sched_setscheduler,
    libc::SYS_sched_yield,
    libc::SYS_setpgid,
    libc::SYS_setsid,
    libc::SYS_sysinfo,
    libc::SYS_times,
    libc::SYS_timer_create,
    libc::SYS_timer_delete,
    libc::SYS_timer_getoverrun,
    libc::SYS_timer_gettime,
    libc::SYS_timer_settime,
    libc::SYS_timerfd_create,
    libc::SYS_timerfd_gettime,
    libc::SYS_timerfd_settime,
    libc::SYS_umask,
    libc::SYS_uname,
    libc::SYS_wait4,
    libc::SYS_waitid,
    // Landlock and filters can be added to, never taken from.
    libc::SYS_landlock_create_ruleset,
    libc::SYS_landlock_add_rule,
    libc::SYS_landlock_restrict_self,
    libc::SYS_seccomp,
];

/// Files, pipes, events.
const FILES: &[c_long] = &[
    libc::SYS_chdir,
    libc::SYS_close,
    libc::SYS_close_range,
    libc::SYS_copy_file_range,
    libc::SYS_dup,
    libc::SYS_dup3,
    libc::SYS_epoll_create1,
    libc::SYS_epoll_ctl,
    libc::SYS_epoll_pwait,
    libc::SYS_epoll_pwait2,
    libc::SYS_eventfd2,
    libc::SYS_faccessat,
    libc::SYS_faccessat2,
    libc::SYS_fadvise64,
    libc::SYS_fallocate,
    libc::SYS_fchdir,
    libc::SYS_fcntl,
    libc::SYS_fdatasync,
    libc::SYS_fgetxattr,
    libc::SYS_flock,
    libc::SYS_fstat,
    libc::SYS_fstatfs,
    libc::SYS_fsync,
    libc::SYS_ftruncate,
    libc::SYS_getcwd,
    libc::SYS_getdents64,
    libc::SYS_getxattr,
    libc::SYS_ioctl,
    libc::SYS_lgetxattr,
    libc::SYS_linkat,
    libc::SYS_lseek,
    libc::SYS_memfd_create,
    libc::SYS_mkdirat,
    libc::SYS_newfstatat,
    libc::SYS_openat,
    libc::SYS_pipe2,
    libc::SYS_ppoll,
    libc::SYS_pread64,
    libc::SYS_preadv,
    libc::SYS_preadv2,
    libc::SYS_pselect6,
    libc::SYS_pwrite64,
    libc::SYS_pwritev,
    libc::SYS_pwritev2,
    libc::SYS_read,
    libc::SYS_readahead,
    libc::SYS_readlinkat,
    libc::SYS_readv,
    libc::SYS_renameat,
    libc::SYS_renameat2,
    libc::SYS_sendfile,
    libc::SYS_signalfd4,
    libc::SYS_splice,
    libc::SYS_statfs,
    libc::SYS_statx,
    libc::SYS_symlinkat,
    libc::SYS_sync_file_range,
    libc::SYS_syncfs,
    libc::SYS_tee,
    libc::SYS_unlinkat,
    libc::SYS_write,
    libc::SYS_writev,
];

/// What a machine with an older table of calls has beside these.
#[cfg(target_arch = "x86_64")]
const OLDER: &[c_long] = &[
    libc::SYS_access,
    libc::SYS_alarm,
    libc::SYS_arch_prctl,
    libc::SYS_dup2,
    libc::SYS_epoll_create,
    libc::SYS_epoll_wait,
    libc::SYS_eventfd,
    libc::SYS_getdents,
    libc::SYS_getpgrp,
    libc::SYS_link,
    libc::SYS_lstat,
    libc::SYS_mkdir,
    libc::SYS_open,
    libc::SYS_pause,
    libc::SYS_pipe,
    libc::SYS_poll,
    libc::SYS_readlink,
    libc::SYS_rename,
    libc::SYS_rmdir,
    libc::SYS_select,
    libc::SYS_signalfd,
    libc::SYS_stat,
    libc::SYS_symlink,
    libc::SYS_time,
    libc::SYS_unlink,
];
#[cfg(not(target_arch = "x86_64"))]
const OLDER: &[c_long] = &[];

/// Sockets of the kinds that are let through below.
const NETWORK: &[c_long] = &[
    libc::SYS_accept,
    libc::SYS_accept4,
    libc::SYS_bind,
    libc::SYS_connect,
    libc::SYS_getpeername,
    libc::SYS_getsockname,
    libc::SYS_getsockopt,
    libc::SYS_listen,
    libc::SYS_recvfrom,
    libc::SYS_recvmmsg,
    libc::SYS_recvmsg,
    libc::SYS_sendmmsg,
    libc::SYS_sendmsg,
    libc::SYS_sendto,
    libc::SYS_setsockopt,
    libc::SYS_shutdown,
    libc::SYS_socketpair,
];

/// To start a program.
#[cfg(target_arch = "x86_64")]
const PROGRAMS: &[c_long] = &[libc::SYS_execve, libc::SYS_execveat, libc::SYS_vfork, libc::SYS_fork];
#[cfg(not(target_arch = "x86_64"))]
const PROGRAMS: &[c_long] = &[libc::SYS_execve, libc::SYS_execveat];

/// The machine itself, and those that it reaches; netlink is how the C library learns which addresses the machine has.
const SOCKET_FAMILIES: [i32; 4] = [AF_UNIX, AF_INET, AF_INET6, AF_NETLINK];

/// Namespaces are where a process would be root again.
const NAMESPACES: i32 = libc::CLONE_NEWCGROUP
    | libc::CLONE_NEWIPC
    | libc::CLONE_NEWNET
    | libc::CLONE_NEWNS
    | libc::CLONE_NEWPID
    | libc::CLONE_NEWUSER
    | libc::CLONE_NEWUTS;

/// What types into the terminal that it was started from: whoever sits there would run it (TIOCSTI, TIOCLINUX).
const TERMINAL_INPUT: [u64; 2] = [0x5412, 0x541c];

/// A program that its owner made so runs as the owner, whoever starts it.
const SET_IDS: [u32; 2] = [libc::S_ISUID, libc::S_ISGID];
/// With these, what opens a file makes one, and its mode counts.
#[cfg(target_arch = "x86_64")]
const OPENERS: [(c_long, u8); 2] = [(libc::SYS_openat, 2), (libc::SYS_open, 1)];
#[cfg(not(target_arch = "x86_64"))]
const OPENERS: [(c_long, u8); 1] = [(libc::SYS_openat, 2)];
/// Either makes a file; the second is one bit more than that of folders.
const MAKES: [i32; 2] = [libc::O_CREAT, libc::O_TMPFILE & !libc::O_DIRECTORY];

/// Gives up all others.
pub fn give_up(starts_programs: bool) -> Result<(), ConfineError> {
    for filter in filters(starts_programs).map_err(|error| ConfineError::Calls(error.to_string()))? {
        apply_filter(&filter).map_err(|error| ConfineError::Calls(error.to_string()))?;
    }
    Ok(())
}

/// What a list can not say is refused by filters of their own: the strictest answer counts.
fn filters(starts_programs: bool) -> Result<[BpfProgram; 3], BackendError> {
    let architecture = std::env::consts::ARCH.try_into()?;
    let refused = |errno: i32| SeccompAction::Errno(errno.unsigned_abs());
    let list = SeccompFilter::new(listed(starts_programs)?, refused(libc::EPERM), SeccompAction::Allow, architecture)?;
    // Their flags lie in memory, where no filter looks: told that there is no such call, the C library takes the older one.
    let mut unseen = BTreeMap::from([(libc::SYS_clone3, Vec::new()), (libc::SYS_openat2, Vec::new())]);
    let terminal = TERMINAL_INPUT.map(|request| rule([(1, SeccompCmpOp::Eq, request)]));
    unseen.insert(libc::SYS_ioctl, terminal.into_iter().collect::<Result<_, _>>()?);
    let unseen = SeccompFilter::new(unseen, SeccompAction::Allow, refused(libc::ENOSYS), architecture)?;
    let mut set_ids = BTreeMap::new();
    for (call, flags) in OPENERS {
        let made = MAKES.into_iter().flat_map(|makes| SET_IDS.map(|id| (bits(makes), u64::from(id))));
        let rules =
            made.map(|(makes, id)| rule([(flags, SeccompCmpOp::MaskedEq(makes), makes), (flags + 1, SeccompCmpOp::MaskedEq(id), id)]));
        set_ids.insert(call, rules.collect::<Result<_, _>>()?);
    }
    let set_ids = SeccompFilter::new(set_ids, SeccompAction::Allow, refused(libc::EPERM), architecture)?;
    Ok([list.try_into()?, unseen.try_into()?, set_ids.try_into()?])
}

/// All that are let through, and those that are let through for some arguments.
fn listed(starts_programs: bool) -> Result<BTreeMap<c_long, Vec<SeccompRule>>, BackendError> {
    let programs = if starts_programs { PROGRAMS } else { &[] };
    let always = [PROCESS, FILES, OLDER, NETWORK, programs].into_iter().flatten();
    let mut listed: BTreeMap<c_long, Vec<SeccompRule>> = always.map(|call| (*call, Vec::new())).collect();
    let families = SOCKET_FAMILIES.map(|family| rule([(0, SeccompCmpOp::Eq, bits(family))]));
    listed.insert(libc::SYS_socket, families.into_iter().collect::<Result<_, _>>()?);
    listed.insert(libc::SYS_clone, vec![rule([(0, SeccompCmpOp::MaskedEq(bits(NAMESPACES)), 0)])?]);
    // Its own limits, not those of others of the same user.
    listed.insert(libc::SYS_prlimit64, vec![rule([(0, SeccompCmpOp::Eq, 0)])?]);
    // Times of a file that it has opened: then there is no name.
    let no_name = SeccompCondition::new(1, SeccompCmpArgLen::Qword, SeccompCmpOp::Eq, 0)?;
    listed.insert(libc::SYS_utimensat, vec![SeccompRule::new(vec![no_name])?]);
    Ok(listed)
}

/// Where these arguments, of 32 bits each, compare so.
fn rule<const N: usize>(conditions: [(u8, SeccompCmpOp, u64); N]) -> Result<SeccompRule, BackendError> {
    let conditions =
        conditions.map(|(argument, comparison, value)| SeccompCondition::new(argument, SeccompCmpArgLen::Dword, comparison, value));
    SeccompRule::new(conditions.into_iter().collect::<Result<_, _>>()?)
}

fn bits(value: i32) -> u64 {
    u64::try_from(value).expect("the kernel's constants are not negative")
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::io;
    use std::process::Command;
    use std::thread;

    use super::*;

    /// Filters are a thread's own, and go to what it starts.
    fn started(starts_programs: bool) -> io::Result<bool> {
        let starts = move || {
            give_up(starts_programs).unwrap();
            Command::new("/bin/true").status().map(|status| status.success())
        };
        thread::spawn(starts).join().unwrap()
    }

    #[test]
    fn what_starts_no_program_can_start_none() {
        assert!(started(true).unwrap(), "what starts programs can not");
        assert_eq!(started(false).unwrap_err().kind(), io::ErrorKind::PermissionDenied);
    }
}

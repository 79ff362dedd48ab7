//! The filter on system calls.

use std::collections::BTreeMap;
use std::io;

use seccompiler::{
    BpfProgram, SeccompAction, SeccompCmpArgLen::Dword, SeccompCmpOp, SeccompCondition,
    SeccompFilter, SeccompRule, apply_filter,
};

/// Allowed with any arguments.
const ALLOWED: [i64; 33] = [
    libc::SYS_read,
    libc::SYS_write,
    libc::SYS_writev,
    libc::SYS_lseek,
    libc::SYS_fstat,
    libc::SYS_close,
    libc::SYS_mmap,
    libc::SYS_munmap,
    libc::SYS_mprotect,
    libc::SYS_mremap,
    libc::SYS_madvise,
    libc::SYS_brk,
    libc::SYS_futex,
    // Looked at by the other filter.
    libc::SYS_clone3,
    libc::SYS_set_robust_list,
    libc::SYS_rseq,
    libc::SYS_rt_sigaction,
    libc::SYS_rt_sigprocmask,
    libc::SYS_rt_sigreturn,
    libc::SYS_sigaltstack,
    libc::SYS_sched_getaffinity,
    libc::SYS_sched_yield,
    libc::SYS_membarrier,
    libc::SYS_getrandom,
    libc::SYS_clock_gettime,
    libc::SYS_clock_nanosleep,
    libc::SYS_nanosleep,
    libc::SYS_gettid,
    libc::SYS_getpid,
    libc::SYS_prlimit64,
    libc::SYS_restart_syscall,
    libc::SYS_exit,
    libc::SYS_exit_group,
];

/// Gives up every system call that compiling does not need. Returns whether the kernel supports
/// that.
pub(in super::super) fn enter() -> bool {
    let given_up = || {
        let [not_found, allowed] = programs()?;
        rustix::thread::set_no_new_privs(true).map_err(io::Error::from)?;
        apply_filter(&not_found).map_err(io::Error::other)?;
        apply_filter(&allowed).map_err(io::Error::other)
    };
    given_up().is_ok()
}

fn programs() -> io::Result<[BpfProgram; 2]> {
    let arch = std::env::consts::ARCH
        .try_into()
        .map_err(io::Error::other)?;
    let only = |argument, operator, value: u64| {
        let condition =
            SeccompCondition::new(argument, Dword, operator, value).map_err(io::Error::other)?;
        SeccompRule::new(vec![condition]).map_err(io::Error::other)
    };
    let program = |rules, otherwise, matched| -> io::Result<BpfProgram> {
        let filter =
            SeccompFilter::new(rules, otherwise, matched, arch).map_err(io::Error::other)?;
        filter.try_into().map_err(io::Error::other)
    };
    let mut rules: BTreeMap<i64, Vec<SeccompRule>> =
        ALLOWED.into_iter().map(|call| (call, Vec::new())).collect();
    let threads = libc::CLONE_THREAD as u64;
    rules.insert(
        libc::SYS_clone,
        vec![only(0, SeccompCmpOp::MaskedEq(threads), threads)?],
    );
    // Aborting sends a signal, to this process only.
    rules.insert(
        libc::SYS_tgkill,
        vec![only(0, SeccompCmpOp::Eq, u64::from(std::process::id()))?],
    );
    // Names of threads and of memory.
    let names = [libc::PR_SET_NAME as u64, libc::PR_SET_VMA as u64];
    let names = names
        .into_iter()
        .map(|option| only(0, SeccompCmpOp::Eq, option))
        .collect::<io::Result<_>>()?;
    rules.insert(libc::SYS_prctl, names);
    let denied = SeccompAction::Errno(libc::EPERM as u32);
    let allowed = program(rules, denied, SeccompAction::Allow)?;
    // Its flags are in memory, where no filter sees them. The C library goes back to `clone` where
    // there is none.
    let clone3 = [(libc::SYS_clone3, Vec::new())].into_iter().collect();
    let not_found = program(
        clone3,
        SeccompAction::Allow,
        SeccompAction::Errno(libc::ENOSYS as u32),
    )?;
    Ok([not_found, allowed])
}

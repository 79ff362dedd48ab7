//! The rights that the compiling process gives up before it reads an untrusted byte.
//!
//! There are two barriers. Limits of the kernel on memory, time and files hold everywhere. On Linux
//! a filter of system calls leaves it memory, its own threads, the clock, and its open files: its
//! order, its answer and its standard error. It can't open a file or a socket, start a program,
//! look at another process or send it a signal.

use std::io;

use rustix::process::{Resource, Rlimit, getrlimit, nice, setrlimit};

/// Machine code of the largest component has a hundred megabytes.
const LARGEST_ARTEFACT: u64 = 512 << 20;
/// Programs, libraries and reserved stacks are addresses too, and take no memory.
const ADDRESSES: u64 = 2 << 30;
/// Of the first thread, which does nothing.
const STACK: u64 = 8 << 20;
/// Standard input, output and error are open; nothing else can be opened.
const DESCRIPTORS: u64 = 3;

/// Allowed with any arguments.
#[cfg(all(
    target_os = "linux",
    any(
        target_arch = "x86_64",
        target_arch = "aarch64",
        target_arch = "riscv64"
    )
))]
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

/// Gives up the resources that could harm the machine or slow it down.
pub(super) fn limit(memory: u64, cpu_seconds: u64) -> io::Result<()> {
    // The kernel signals the process at the first number and kills it at the second. A limit that
    // is lower already stays, because it can't be raised.
    let set = |resource, current: u64, maximum: u64| {
        let maximum = getrlimit(resource)
            .maximum
            .map_or(maximum, |least| least.min(maximum));
        let limit = Rlimit {
            current: Some(current.min(maximum)),
            maximum: Some(maximum),
        };
        setrlimit(resource, limit).map_err(io::Error::from)
    };
    set(Resource::Core, 0, 0)?;
    set(Resource::Cpu, cpu_seconds, cpu_seconds + 1)?;
    set(Resource::Data, memory, memory)?;
    set(
        Resource::As,
        memory.saturating_add(ADDRESSES),
        memory.saturating_add(ADDRESSES),
    )?;
    set(Resource::Fsize, LARGEST_ARTEFACT, LARGEST_ARTEFACT)?;
    set(Resource::Stack, STACK, STACK)?;
    set(Resource::Nofile, DESCRIPTORS, DESCRIPTORS)?;
    // Requests come first, but a policy that waits for its code decides nothing, so the priority is
    // low and not idle. Failing to lower it is no reason not to compile.
    let _ = nice(5);
    #[cfg(target_os = "linux")]
    {
        use rustix::process::{Signal, set_parent_process_death_signal};
        // The proxy is gone and would not read the answer.
        set_parent_process_death_signal(Some(Signal::KILL))?;
    }
    Ok(())
}

/// Gives up every system call that compiling does not need. Returns whether the kernel supports
/// that.
#[cfg(all(
    target_os = "linux",
    any(
        target_arch = "x86_64",
        target_arch = "aarch64",
        target_arch = "riscv64"
    )
))]
pub(super) fn enter() -> bool {
    use seccompiler::apply_filter;
    let given_up = || {
        let [not_found, allowed] = programs()?;
        rustix::thread::set_no_new_privs(true).map_err(io::Error::from)?;
        apply_filter(&not_found).map_err(io::Error::other)?;
        apply_filter(&allowed).map_err(io::Error::other)
    };
    given_up().is_ok()
}

#[cfg(not(all(
    target_os = "linux",
    any(
        target_arch = "x86_64",
        target_arch = "aarch64",
        target_arch = "riscv64"
    )
)))]
pub(super) fn enter() -> bool {
    false
}

#[cfg(all(
    target_os = "linux",
    any(
        target_arch = "x86_64",
        target_arch = "aarch64",
        target_arch = "riscv64"
    )
))]
fn programs() -> io::Result<[seccompiler::BpfProgram; 2]> {
    use seccompiler::{
        BpfProgram, SeccompAction, SeccompCmpArgLen::Dword, SeccompCmpOp, SeccompCondition,
        SeccompFilter, SeccompRule,
    };
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
    let mut rules: std::collections::BTreeMap<i64, Vec<SeccompRule>> =
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

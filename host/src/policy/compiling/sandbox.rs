//! The rights that the compiling process gives up before it reads an untrusted byte.
//!
//! There are two barriers. Limits of the kernel on memory, time and files hold everywhere. On Linux
//! a filter of system calls leaves it memory, its own threads, the clock, and its open files: its
//! order, its answer and its standard error. It can't open a file or a socket, start a program,
//! look at another process or send it a signal.

#[cfg_attr(
    not(all(
        target_os = "linux",
        any(
            target_arch = "x86_64",
            target_arch = "aarch64",
            target_arch = "riscv64"
        )
    )),
    path = "sandbox/no_filter.rs"
)]
mod filter;

use std::io;

pub(super) use filter::enter;
use rustix::process::{Resource, Rlimit, getrlimit, nice, setrlimit};

/// Machine code of the largest component has a hundred megabytes.
const LARGEST_ARTEFACT: u64 = 512 << 20;
/// Programs, libraries and reserved stacks are addresses too, and take no memory.
const ADDRESSES: u64 = 2 << 30;
/// Of the first thread, which does nothing.
const STACK: u64 = 8 << 20;
/// Standard input, output and error are open; nothing else can be opened.
const DESCRIPTORS: u64 = 3;

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

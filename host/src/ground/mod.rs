//! Ground: how does a line leave the process, and how does the process survive a panic?
//!
//! Outputs that write whole lines, queues before them with a thread each, the operational log, and
//! the panic hook. Every room uses this one; it uses no other. Nothing here makes a worker or the
//! control side wait for a descriptor.

mod fault;
#[cfg(test)]
mod limit;
mod log;
mod outlet;
mod output;
mod panics;

use std::sync::atomic::AtomicU64;

pub use fault::point as fault_point;
#[cfg(test)]
pub use limit::limit_this_test;
pub use log::{Manner, complain, finish, line, stamp, start};
pub use outlet::{Keeper, Outlet, Target};
pub use output::{Lost, print, print_aside};
pub use panics::{Panicked, caught, goes_on, keeps_running, last as last_panic, stays};

/// Counters of the process itself. Any thread may write them, and only when something goes wrong.
#[derive(Debug, Default)]
pub struct Counters {
    /// Lines of the operational log that were lost.
    pub log_lines_lost: AtomicU64,
    /// Lines of the access log that its thread could not write.
    pub access_log_lines_lost: AtomicU64,
    /// Panics of any thread.
    pub panics: AtomicU64,
}

static COUNTERS: Counters = Counters {
    log_lines_lost: AtomicU64::new(0),
    access_log_lines_lost: AtomicU64::new(0),
    panics: AtomicU64::new(0),
};

/// The counters of this process.
pub fn counters() -> &'static Counters {
    &COUNTERS
}

/// How many lines these bytes hold.
pub fn lines(bytes: &[u8]) -> u64 {
    memchr::memchr_iter(b'\n', bytes).count() as u64
}

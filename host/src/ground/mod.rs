//! Ground: how does a line leave the process, and how does the process survive a panic?
//!
//! Outputs that write whole lines, queues before them with a thread each, the operational log, and
//! the panic hook. Every room uses this one; it uses no other. Nothing here makes a worker or the
//! control side wait for a descriptor.

mod counters;
mod fault;
mod json;
#[cfg(test)]
mod limit;
mod log;
mod moment;
mod outlet;
mod output;
mod panic_hook;
mod panics;
mod reopened;

use std::io;

use tracing_subscriber::EnvFilter;

pub use counters::{Counters, counters};
pub use fault::point as fault_point;
#[cfg(test)]
pub use limit::limit_this_test;
pub use log::{Form, Manner, complain, finish, line};
pub use moment::stamp;
pub use outlet::{Keeper, Outlet, Target};
pub use output::{Lost, lines, print, print_aside, print_on};
pub use panic_hook::last as last_panic;
pub use panics::{Panicked, caught, goes_on, keeps_running, stays};
pub use reopened::{Reopened, Reopening};

/// Starts the log of this process and reports panics in it.
pub fn start(filter: EnvFilter, manner: Manner, form: Form) -> io::Result<()> {
    log::start(filter, manner, form)?;
    panic_hook::install();
    Ok(())
}

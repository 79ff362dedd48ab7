//! Upstream: who exists, who is well, the wire to them.
//!
//! Pools as the operator meant them with every name resolved ([`PoolTopology`]), and for each
//! worker the connections, the health and the live facts of their backends ([`WorkerPools`]). `app`
//! resolves and builds, `proxy` leases and reports how it went, `policy` reads the facts through
//! [`crate::policy::BackendFacts`]. Never knows a client, a route or a policy's answer; never waits
//! but for a connect and for a place in a full backend's queue, which the caller limits. What ends
//! an attempt, and whose doing that was, is in `outcome`; what may as well have been the request's
//! is in `doubt`.

mod backend;
mod doubt;
mod facts;
mod outcome;
mod places;
mod pool;
mod resolve;

pub use backend::{Backend, InFlight, Lease, Probe};
pub use doubt::Doubt;
pub use facts::Facts;
pub use outcome::{Outcome, Verdict};
pub use places::{Place, Places, SlowPlace, Turn};
pub use pool::{WorkerPool, WorkerPools};
pub use resolve::{PoolTopology, ResolveError, ResolvedBackend, resolve};

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::panic, reason = "a test ends by a panic")]
mod tests;

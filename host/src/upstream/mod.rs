//! Upstream: which endpoints exist, which of them are well, and the connections to them.
//!
//! Pools as the operator meant them with every name resolved ([`PoolTopology`]), and for each
//! worker the connections and the live facts of their endpoints ([`WorkerPools`]). A request holds
//! a [`Lease`] for each attempt, and [`Lease::finish`] is the one report of how it went: from there
//! the health of the endpoint ([`Health`]) and the statistics follow. `outcome` says what can end
//! an attempt and whose doing that was; `doubt` says what may as well have been the request's.
//! `app` resolves and builds, `proxy` leases, `policy` reads through [`BackendFacts`].
//!
//! Imports nothing of `policy`, `route` or `proxy`; of a client it knows the address, for the queue
//! and for doubt. It waits for resolving, connecting and a place in the queue of a full endpoint;
//! the caller limits the last two.

mod doubt;
mod endpoint;
mod facts;
mod health;
mod ids;
mod lease;
mod outcome;
mod places;
mod pool;
mod resolve;
mod topology;

pub use doubt::Doubt;
pub use endpoint::{Connection, Turn, WorkerEndpoint};
pub use facts::{BackendFacts, Facts};
pub use health::Health;
pub use ids::{EndpointId, PoolId, Registry};
pub use lease::Lease;
pub use outcome::{AttemptOutcome, FailedAttempt, Failure, Verdict};
pub use places::{Place, Places, SlowPlace};
pub use pool::{WorkerPool, WorkerPools};
pub use resolve::{ResolveError, resolve, resolve_pool};
pub use topology::{Endpoint, PoolTopology, Protocol, Tls, Topology};

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::panic, reason = "a test ends by a panic")]
mod tests;

//! Upstream: which endpoints exist, which are healthy, and which connections lead to them?
//!
//! The configured pools with every name resolved ([`PoolTopology`]), and for each worker the
//! connections and the live facts of their endpoints ([`WorkerPools`]). A request holds a [`Lease`]
//! for each attempt, and only [`Lease::finish`] reports how it went: the health of the endpoint
//! ([`Health`]) and the statistics follow from that. `outcome` lists how an attempt can end and
//! whether that counts against the endpoint; `doubt` decides when the request itself may be the
//! cause. `app` resolves and builds, `proxy` leases, `policy` reads through [`BackendFacts`].
//!
//! Imports nothing of `policy`, `route` or `proxy`; it knows a client's address, for the queue and
//! for doubt, and nothing else about it. It waits for name resolution, for connects and for a place
//! in the queue of a full endpoint; the caller limits the last two.

mod allowance;
mod budget;
mod connect;
mod doubt;
mod endpoint;
mod facts;
mod health;
mod idle;
mod ids;
mod lease;
mod multiplexed;
mod opening;
mod outcome;
mod places;
mod pool;
mod protocol;
mod resets;
mod resolve;
mod streams;
mod topology;
mod watched;

pub use budget::{Budget, Room};
pub use doubt::Doubt;
use endpoint::Idle;
pub use endpoint::{Carrier, Connection, Turn, WorkerEndpoint};
pub use facts::{BackendFacts, Facts};
use health::sums_are_asked_for;
pub use health::{BackendHealth, Health, Review};
pub use ids::{EndpointId, PoolId, Registry};
pub use lease::{InFlight, Lease};
pub use outcome::{AttemptOutcome, FailedAttempt, Failure, Verdict};
pub use places::{Place, Places, SlowPlace, network};
pub use pool::{WorkerPool, WorkerPools};
pub use protocol::{Protocol, StreamRules};
pub use resolve::{ResolveError, resolve, resolve_pool};
pub use streams::Slot;
pub use topology::{Endpoint, PoolTopology, Topology};
pub use watched::is_cut_off;

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::panic, reason = "a test ends by a panic")]
mod tests;

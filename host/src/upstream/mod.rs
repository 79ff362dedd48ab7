//! Upstream: which endpoints exist, which are healthy, and which connections lead to them?
//!
//! What is known of names and was changed beside the configuration ([`Discovery`]), the pools that
//! follow from that ([`PoolTopology`]), and for each worker the connections and the live facts of
//! their endpoints ([`WorkerPools`]). A request holds a [`Lease`] for each attempt, and only
//! [`Lease::finish`] reports how it went: the health of the endpoint ([`Health`]) and the
//! statistics follow from that. `outcome` lists how an attempt can end and whether that counts
//! against the endpoint; `doubt` decides when the request itself may be the cause. `app` looks
//! names up and builds, `proxy` leases, `policy` reads through [`BackendFacts`].
//!
//! Imports nothing of `policy`, `route` or `proxy`; it knows a client's address, for the queue and
//! for doubt, and nothing else about it. It waits for connects and for a place in the queue of a
//! full endpoint; the caller limits both.

mod adaptive;
mod allowance;
mod budget;
mod completion;
mod connect;
mod destinations;
mod discovery;
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
mod recent;
mod repeats;
mod requests;
mod resets;
mod resolve;
mod rights;
mod seldom;
mod streams;
mod topology;
mod watched;

pub use budget::{Budget, Room};
pub use completion::{Completion, RequestFailure};
pub use connect::is_ours;
pub use destinations::Destinations;
pub use discovery::{
    AdminState, Discovery, Edit, Family, Name, NameState, NameStatus, News, Origin, Outcome,
    Overlay, Record, Remembered, Target,
};
pub use doubt::Doubt;
use endpoint::Idle;
pub use endpoint::{Carrier, Connection, Turn, WorkerEndpoint};
pub use facts::{BackendFacts, Facts};
use health::sums_are_asked_for;
pub use health::{BackendHealth, CarriedHealth, Health, Review, some_are_sought};
pub use ids::{EndpointId, PoolId, Presence, Registry};
pub use lease::{Contender, InFlight, Lease};
pub use outcome::{AttemptOutcome, FailedAttempt, Failure, Verdict};
pub use places::{Place, Places, SlowPlace, network};
pub use pool::{WorkerPool, WorkerPools};
pub use protocol::{Protocol, StreamRules};
pub use repeats::Repeat;
pub use requests::{RequestLimit, RequestPlace};
pub use resolve::{ResolveError, TlsFiles, pool_topology, topology, unresolved};
pub use streams::Slot;
pub use topology::{Endpoint, PoolTopology, Topology, authority};
pub use watched::is_cut_off;

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::panic, reason = "a test ends by a panic")]
mod tests;

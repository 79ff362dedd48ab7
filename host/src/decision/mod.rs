//! Decision: in which order are the policies of a route asked, and what do they decide together?
//!
//! A [`PolicyChain`] asks the policies of one route about one request: hook by hook, policy by
//! policy, and handles absent and failing policies (`chain`, [`Stop`]). Each `Link` asks one
//! policy: its active generation, or the one on trial (`trial`, `shadow`), and notes the calls if
//! the request is captured (`capture`: a trace in `explain`, a record in `record`, what has chosen
//! in `choice`). After the request the policies that were asked hear what became of it
//! (`completion`). What a worker holds of each policy is a [`PolicySlot`], made from the snapshot's
//! [`PolicyEntry`].
//!
//! `proxy` drives it for requests, `rehearsal` for scenarios and recordings; what differs between
//! them is behind [`Environment`]. Never names wasmtime, a status code that the operator did not
//! write, or a connection.

mod ask;
mod capture;
mod chain;
mod choice;
mod completion;
mod environment;
mod explain;
mod faults;
mod link;
mod record;
mod shadow;
mod slot;
mod state;
mod stop;
mod trial;
mod trial_fault;
mod ways;

pub use ask::{HookFacts, ask_hook};
pub use chain::{ChainRoute, PolicyChain, may_ask_for_range};
pub use environment::{Caller, Environment};
pub use explain::{EXPLAIN, TRACE, Tokens};
pub use faults::FaultLog;
pub use record::{RecordedRequest, lineup};
pub use slot::{PolicyEntry, PolicySlot, WorkerPolicies, WorkerSide};
pub use state::RequestPolicyState;
pub use stop::Stop;

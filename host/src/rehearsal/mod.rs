//! Rehearsal: what would a policy do, without traffic?
//!
//! A [`Stage`] holds a component in an engine of its own, with backends, facts, draws, time and
//! store as somebody says, and asks it about requests in the proxy's order. On it stand `waypost
//! policy test` (`scenario`, `run`, `judge`, `report`, `junit`) and `bench`; `inspect` and `pack`
//! need none. `replay` asks about what a proxy recorded. Called by `app` with what `cli` read.
//! Never opens a socket, never touches a running proxy, never decides anything that the proxy would
//! decide otherwise.

mod bench;
mod commands;
mod error;
mod facts;
mod inspect;
mod judge;
mod junit;
#[cfg(feature = "authoring")]
mod pack;
mod replay;
mod report;
mod run;
mod scenario;
mod source;
mod stage;
mod times;

#[cfg(test)]
mod tests;

#[doc(hidden)]
pub use commands::rehearse;
pub use commands::{Manner, Outcome, execute};
pub use error::RehearsalError;
pub use facts::{BackendState, GivenFacts};
pub use source::Source;
pub use stage::{Call, Given, GivenPool, House, Question, Response, Stage, Told};

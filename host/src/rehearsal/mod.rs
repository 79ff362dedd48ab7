//! Rehearsal: what would a policy do, without traffic?
//!
//! A `Host` holds a component in a separate engine, with the backends, facts, draws, time and store
//! of a `Setup` and a script, and calls it through a chain of `decision`. `waypost policy test`
//! (`scenario`, `run`, `judge`, `report`, `junit`) and `bench` use it; `inspect` and `pack` need
//! none. `replay` repeats the calls that a proxy recorded. Called by `app` with a command of
//! `options`. Never opens a socket, never touches a running proxy, never asks a hook otherwise than
//! through `decision`.

mod bench;
mod columns;
mod commands;
mod decisions;
mod engine;
mod error;
mod facts;
mod harness;
mod host;
mod inspect;
mod judge;
mod junit;
mod manner;
mod measured;
mod options;
#[cfg(feature = "authoring")]
mod pack;
mod replay;
mod report;
mod run;
mod scenario;
mod script;
mod shown;
mod source;
mod times;

#[cfg(test)]
mod tests;

pub use commands::execute;
#[doc(hidden)]
pub use commands::rehearse;
pub use error::RehearsalError;
pub use harness::Harness;
pub use manner::{Manner, Outcome};
#[cfg(feature = "authoring")]
pub use options::Pack;
pub use options::{Bench, Command, Component, Diff, Inspect, Playback, Replay, Test};
pub use source::Source;

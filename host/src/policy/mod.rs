//! Policy: what does the policy say?
//!
//! The wasmtime engine, the contract of `wit/`, instances and their limits, the host interfaces,
//! and generations. `app` loads a [`Generation`] on the control side; each worker adopts it into a
//! [`PolicyHandle`], which `decision` asks, inline and synchronously. A guest's fault is a
//! [`Fault`], never a fault of the process; everything that a guest returns is validated here
//! before another room sees it. Never names hyper, never does I/O itself, never compiles in this
//! process.

mod answer;
mod ask;
mod beside;
mod bindings;
mod builder;
mod builtin;
mod bulk;
mod cache;
mod compiling;
mod component;
mod contract;
mod deadline;
mod digest;
mod edits;
mod engine;
mod entropy;
mod error;
mod generation;
mod glue;
mod handle;
mod hook;
mod host;
mod ids;
mod inspect;
mod instance;
mod last_words;
mod lines;
mod lists;
mod names;
mod octets;
mod output;
mod places;
mod profiles;
mod recorded;
mod resources;
mod spec;
mod state;
mod store;
mod streams;
mod suspension;
mod tape;
mod ticker;
mod trial;
mod verdict;
mod wasi;
mod wasi_context;

#[cfg(test)]
mod tests;

pub use answer::{
    Attempt, ByteRange, Edited, Fault, FaultKind, Heard, LocalSource, NO_POOL, RangeVerdict, Reply,
    RoutePools, Routed, Selected,
};
pub use ask::{
    Ask, CheckRange, Completed, Decide, EditLocalResponse, EditRequest, EditResponse, EditTarget,
    HookAnswer, Message, Positions, Route, Select,
};
pub use builtin::{builtin, builtin_names};
/// For `fuzz/`, which tests it separately.
#[doc(hidden)]
pub use bulk::in_pieces;
pub use compiling::{ARGUMENT as COMPILER, Compiler, MAX_COMPONENT, serve as serve_compiler};
pub use contract::Hooks;
pub use digest::digest;
pub use engine::Engine;
pub use error::{PolicyError, Refusal};
pub use generation::Generation;
pub use handle::PolicyHandle;
pub use hook::Hook;
pub use ids::{PolicyId, PolicyIds};
pub use inspect::{Anatomy, Form, Interface};
pub use lines::LogLine;
pub use lists::Lists;
pub use octets::Octets;
pub use recorded::Recorded;
pub use spec::{BackendSpec, EngineOptions, PolicySpec, PoolSpec};
pub use store::{ENTRY_BYTES, Store, StoreError, StoredEntry};
pub use tape::{Script, Tape};
pub use trial::{LEAST_JUDGED, Mode, Sample, Stickiness, Trial, WHOLE};

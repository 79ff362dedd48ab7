//! What does it take to write a policy for the Waypost proxy? One file: a trait for each hook that
//! the policy wants, and [`export!`], which makes a component of it. It never decides anything by
//! itself.
//!
//! The contract between the proxy and a policy is a set of interfaces for WebAssembly components.
//! This crate puts Rust's manners on them: a policy is a type with its state, errors are `Result`s,
//! and on any other target than `wasm32` the same code runs against the host of [`testing`], so
//! that `cargo test` is all a test needs. See [`export!`] for the smallest policy, and README.md
//! for a whole one with its test.

#![cfg_attr(
    not(target_arch = "wasm32"),
    allow(
        clippy::useless_conversion,
        reason = "the host for tests speaks this crate's own types, the generated bindings do not"
    )
)]

// Elsewhere a C library has the same memory (`wasm32-wasip1`), or several threads do.
#[cfg(all(
    target_arch = "wasm32",
    target_os = "unknown",
    not(target_feature = "atomics"),
    feature = "allocator"
))]
mod allocator;
mod attempt;
#[cfg(target_arch = "wasm32")]
mod bindings;
mod capabilities;
pub mod cookie;
#[cfg(target_arch = "wasm32")]
#[doc(hidden)]
pub mod deferred;
#[doc(hidden)]
pub mod export;
#[cfg(target_arch = "wasm32")]
#[doc(hidden)]
pub mod glue;
pub mod hash;
mod hooks;
mod network;
mod outcome;
#[cfg(target_arch = "wasm32")]
mod panics;
mod peer;
mod request;
mod response;
mod ring;
mod settings;
#[cfg(not(target_arch = "wasm32"))]
pub mod testing;
mod topology;
mod ways;

#[cfg(target_arch = "wasm32")]
use bindings::imports::waypost::policy as contract;
#[cfg(not(target_arch = "wasm32"))]
use testing::contract;

pub use self::{
    attempt::{Attempt, FailedAttempt, Failure},
    capabilities::{Counter, StoreError, clock, facts, log, random, store},
    hooks::{
        ByteRange, CheckRange, Completed, Configure, DecideDestination, Decision,
        EditLocalResponse, EditRequest, EditResponse, EditTarget, RangeVerdict, Route, Select,
        Topology,
    },
    network::{Network, Networks},
    outcome::{Chosen, Outcome, RequestFailure},
    peer::{HttpVersion, SubjectName, TlsVersion, client_certificate, connection},
    request::{HeaderError, Headers, Request},
    response::Response,
    settings::Settings,
    topology::{Backend, Groups, Pool, Pools},
    ways::{Destination, PoolDecision, ResponseSource, Target, TargetError},
};

/// What nearly every policy uses.
pub mod prelude {
    pub use crate::{
        Attempt, Backend, Completed, Configure, Counter, DecideDestination, Decision, Destination,
        EditLocalResponse, EditRequest, EditResponse, EditTarget, Groups, Headers, Outcome, Pool,
        PoolDecision, Pools, Request, Response, ResponseSource, Route, Select, Settings, Target,
        Topology, facts, log,
    };
}

/// The example of README.md is a test.
#[cfg(all(doctest, feature = "serde"))]
#[doc = include_str!("../README.md")]
pub struct Readme;

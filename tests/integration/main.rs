//! Waypost from the outside: the real binary, real sockets, one file per subject.
//!
//! A test is three nouns and a claim: a [`TestUpstream`](fixtures::TestUpstream) (a backend that
//! follows a script), a [`TestProxy`](fixtures::TestProxy) (the binary as an operator starts it)
//! and a [`Client`](fixtures::Client). Ports are chosen by the kernel, every socket has a time-out,
//! and nothing sleeps to wait for something else.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::needless_pass_by_value,
    reason = "a test ends by a panic, and reads better when it takes what it is given"
)]

mod fixtures;

#[cfg(feature = "acme")]
mod acme;
mod backend_hygiene;
mod backend_nonsense;
mod backends;
mod bodies;
mod builtin_policies;
mod clients_that_leave;
mod completions;
#[cfg(feature = "compress")]
mod compression;
mod configuration;
mod conformance;
mod containment;
mod cookbook;
mod demo;
mod docs;
mod early_answers;
mod expectations;
mod forward_proxy;
mod forwarding;
mod health;
mod hostile_components;
mod hot_swap;
mod http2;
mod installed;
mod interim_and_trailers;
mod large_bodies;
mod layer4;
mod limits;
mod lingering;
mod listeners;
mod logged;
mod loops;
mod names;
mod page;
mod passed_on;
mod paths;
mod policy_commands;
mod policy_faults;
mod policy_hooks;
mod policy_panics;
mod pooled_connections;
mod process;
mod proxy_protocol;
mod queueing;
mod ranges;
mod recording;
mod refused_requests;
mod rehearsal;
mod reload;
mod repeats;
mod replaced;
mod requests_at_fault;
mod retries;
mod rollout;
mod routing;
mod slow_clients;
mod slow_uploads;
mod statistics;
mod stopping;
mod store;
mod stream_backends;
mod strictness;
mod structure;
mod tap;
mod tidy;
mod tls;
mod tls_backends;
mod tolerated_requests;
mod traced;
mod tunnels;
mod upgrades;
mod ways;
mod websocket;
mod weights;

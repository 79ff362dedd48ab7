//! Waypost: a routing proxy whose decisions are made by sandboxed WebAssembly components.
//!
//! Each module is a room that answers one question; ARCHITECTURE.md is the map.

#![warn(unreachable_pub)]
// Not in tests, where long functions are tables of cases.
#![cfg_attr(not(test), warn(clippy::too_many_lines))]

pub mod admin;
pub mod app;
pub mod cli;
pub mod config;
pub mod decision;
pub mod document;
pub mod files;
pub mod ground;
pub mod h1;
pub mod h2;
pub mod message;
pub mod net;
pub mod observe;
#[cfg(feature = "demo")]
pub mod origin;
pub mod policy;
pub mod proxy;
pub mod recording;
pub mod rehearsal;
pub mod remote;
pub mod rollout;
pub mod route;
#[cfg(feature = "authoring")]
pub mod scaffold;
pub mod stats;
pub mod text;
pub mod units;
pub mod upstream;
pub mod users;

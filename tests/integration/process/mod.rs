//! The process among others: signals, descriptors that take nothing, and panics.
//!
//! Of Linux: `/proc`, `/dev/full` and the size of pipes are its own.
#![cfg(target_os = "linux")]

mod commands;
mod logs;
mod own_log;
#[cfg(debug_assertions)]
mod panics;
mod signals;

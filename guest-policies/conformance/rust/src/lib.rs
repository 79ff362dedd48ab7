//! The `conformance` policy in Rust; `../SPEC.md` says what it does.

#![cfg(target_arch = "wasm32")]

mod command;
mod hooks;
mod report;
mod settings;
mod ways;

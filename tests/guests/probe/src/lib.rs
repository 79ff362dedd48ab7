//! Does what the request (or the settings) tells it to; ../README.md lists the actions.

#![cfg(target_arch = "wasm32")]

mod act;
mod action;
mod flood;
mod hooks;
mod report;

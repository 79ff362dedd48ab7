//! The `least-loaded` policy: of two random healthy backends, the one that will likely answer sooner.

pub mod choice;

#[cfg(target_arch = "wasm32")]
mod policy;

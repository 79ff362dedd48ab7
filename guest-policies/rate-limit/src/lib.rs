//! The `rate-limit` policy: a token bucket for each client, shared by all workers.

pub mod bucket;
pub mod key;
pub mod settings;

#[cfg(target_arch = "wasm32")]
mod policy;

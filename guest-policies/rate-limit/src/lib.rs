//! The `rate-limit` policy: a token bucket for each client, shared by all workers.

pub mod bucket;
pub mod key;
pub mod settings;

mod policy;

pub use policy::RateLimit;

//! The `sticky` policy: a client stays on its backend, by a cookie, by what the workers remember,
//! and by hashing.

pub mod choice;
pub mod cookie;
pub mod settings;

mod policy;

pub use policy::Sticky;

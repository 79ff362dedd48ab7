//! The `least-loaded` policy: of two random healthy backends, the one that will likely answer
//! sooner.

pub mod choice;

mod policy;

pub use policy::LeastLoaded;

//! The built-in `range` policy: what a `Range` field and a `range` query parameter ask for (RFC
//! 9110 section 14).

pub mod parse;
pub mod query;
pub mod verdict;

mod policy;

pub use policy::Range;

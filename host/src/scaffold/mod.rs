//! Scaffold: what does a new policy look like before its author has written anything?
//!
//! Writes the project that `waypost policy new` makes, which builds and passes its test as it is,
//! and the bindings for C. Called by `app` with what `cli` read. Never overwrites a file, never
//! runs a tool.

mod bindings;
mod error;
mod name;
mod project;
mod templates;

#[cfg(test)]
mod tests;

pub use bindings::write as write_bindings;
pub use error::ScaffoldError;
pub use project::{Made, create};
pub use templates::Language;

//! Document: what does a TOML file say, and where?
//!
//! Reads a file into a tree of values that know their key and place (`Node`, `Section`), and
//! collects everything that is wrong (`Findings`), so that the author sees all of it at once.
//! Called by `config`, and by `rehearsal` for scenario files. Opens no file and knows no key.

mod findings;
mod parse;
mod tree;

pub(crate) use findings::{At, Findings, brief};
pub use findings::{ConfigError, ConfigErrors, Place};
pub(crate) use parse::parse;
pub(crate) use tree::{Node, Section};

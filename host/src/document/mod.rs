//! Document: what does a file of TOML or JSON say, and where?
//!
//! Reads a file into a tree of values that know their key and place (`Node`, `Section`), and
//! collects everything that is wrong (`Findings`), so that the author sees all of it at once.
//! Called by `config`, and by `rehearsal` for scenario files. Opens no file and knows no key.

mod findings;
mod json;
mod parse;
mod tree;

pub(crate) use findings::{At, Findings, brief};
pub use findings::{ConfigError, ConfigErrors, ConfigWarning, Place};
pub(crate) use json::parse_json;
pub(crate) use parse::parse;
pub(crate) use tree::{Node, Places, Section};

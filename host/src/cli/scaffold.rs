//! The arguments of `waypost policy new|bindings`.

use std::path::PathBuf;

use clap::{Args, Subcommand, ValueEnum};

/// The commands that begin a policy.
#[derive(Debug, Clone, PartialEq, Eq, Subcommand)]
pub enum Begin {
    /// Create the project of a new policy, which builds and passes its test unchanged.
    ///
    /// The project has a build script, scenarios of the policy's decisions, and a configuration
    /// that runs a proxy with it.
    #[command(after_long_help = NEW_HELP)]
    New(New),
    /// Write the C bindings of a world: a header, its implementation, and the object file with the
    /// world's types.
    #[command(after_long_help = BINDINGS_HELP)]
    Bindings(Bindings),
}

/// Flags of `policy new`.
#[derive(Debug, Clone, PartialEq, Eq, Args)]
pub struct New {
    /// The policy's name: lower-case letters, digits and hyphens.
    pub name: String,
    /// Its language.
    #[arg(long, value_enum, value_name = "LANGUAGE")]
    pub lang: Lang,
    /// The folder, new or empty (default: named like the policy).
    #[arg(long, value_name = "DIR")]
    pub dir: Option<PathBuf>,
}

/// Flags of `policy bindings`.
#[derive(Debug, Clone, PartialEq, Eq, Args)]
pub struct Bindings {
    /// The folder of the world, with the contract in `deps`.
    #[arg(default_value = "wit")]
    pub wit: PathBuf,
    /// The folder for the files.
    #[arg(long, short, value_name = "DIR", default_value = "bindings")]
    pub output: PathBuf,
}

/// The languages of policies.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Lang {
    /// Rust, with the SDK.
    Rust,
    /// JavaScript.
    #[value(alias = "javascript")]
    Js,
    /// Python.
    #[value(alias = "py")]
    Python,
    /// C.
    C,
    /// Zig.
    Zig,
}

const NEW_HELP: &str = "\
Examples:
  waypost policy new blue-green --lang rust
  waypost policy new blue-green --lang python --dir policies/blue-green

Then:
  cd blue-green && ./test

Exit codes:
  0 written; 2 the name is invalid, or the folder is not empty.";

const BINDINGS_HELP: &str = "\
Examples:
  waypost policy bindings
  waypost policy bindings wit --output bindings

Other languages have their own tools: wit-bindgen, componentize-js, componentize-py.

Exit codes:
  0 written; 2 the folder contains no world, or can't be written.";

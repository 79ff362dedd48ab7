//! `waypost policy new|bindings`: how a policy begins, as written.

use std::path::PathBuf;

use clap::{Args, Subcommand, ValueEnum};

/// How a policy begins.
#[derive(Debug, Clone, PartialEq, Eq, Subcommand)]
pub enum Begin {
    /// Write the project of a new policy, which builds and passes its test as it is.
    ///
    /// With a build script, scenarios that say what the policy decides, and a configuration to run
    /// a proxy with it.
    #[command(after_long_help = NEW_HELP)]
    New(New),
    /// Write the C bindings of a world: a header, its implementation, and the object that carries
    /// the world's types.
    #[command(after_long_help = BINDINGS_HELP)]
    Bindings(Bindings),
}

/// Flags of `policy new`.
#[derive(Debug, Clone, PartialEq, Eq, Args)]
pub struct New {
    /// The policy's name: small letters, digits and hyphens.
    pub name: String,
    /// What it is written in.
    #[arg(long, value_enum, value_name = "LANGUAGE")]
    pub lang: Lang,
    /// The folder, new or empty (default: one of the policy's name).
    #[arg(long, value_name = "DIR")]
    pub dir: Option<PathBuf>,
}

/// Flags of `policy bindings`.
#[derive(Debug, Clone, PartialEq, Eq, Args)]
pub struct Bindings {
    /// The folder of the world, with the contract below `deps`.
    #[arg(default_value = "wit")]
    pub wit: PathBuf,
    /// Where the files are written.
    #[arg(long, short, value_name = "DIR", default_value = "bindings")]
    pub output: PathBuf,
}

/// What policies are written in.
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
}

const NEW_HELP: &str = "\
Examples:
  waypost policy new blue-green --lang rust
  waypost policy new blue-green --lang python --dir policies/blue-green

Then:
  cd blue-green && ./test

Exit codes:
  0 written; 2 the name can't be one, or the folder is not empty.";

const BINDINGS_HELP: &str = "\
Examples:
  waypost policy bindings
  waypost policy bindings wit --output bindings

Other languages bring tools of their own: wit-bindgen, componentize-js, componentize-py.

Exit codes:
  0 written; 2 the folder holds no world, or can't be written.";

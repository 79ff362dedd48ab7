//! The arguments of `waypost backends`.

use clap::{Args, Subcommand};

use super::Remote;

/// Flags of `backends`.
#[derive(Debug, Clone, Default, PartialEq, Args)]
pub struct Backends {
    /// The proxy, and how it is reached.
    #[command(flatten)]
    pub remote: Remote,
    /// The command (default: list).
    #[command(subcommand)]
    pub task: Option<BackendsTask>,
}

/// The commands of `backends`.
#[derive(Debug, Clone, PartialEq, Eq, Subcommand)]
pub enum BackendsTask {
    /// Show all pools, or the backends of one: where they come from, and how they are.
    #[command(after_long_help = LIST_HELP)]
    List {
        /// The pool (default: all).
        pool: Option<String>,
    },
    /// Add backends to a pool, beside those of the configuration and of its file.
    ///
    /// One with the same address that was added before is replaced. Without `state-dir` they are
    /// gone after a restart, though not after an upgrade.
    #[command(after_long_help = ADD_HELP)]
    Add {
        /// The pool.
        pool: String,
        /// Their addresses, as in the configuration.
        #[arg(required = true, value_name = "ADDRESS")]
        addresses: Vec<String>,
        /// The weight of each, 0 to 65535 (default: 1).
        #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(..=65_535))]
        weight: Option<u32>,
        /// A label of each; repeatable.
        #[arg(long = "label", value_name = "NAME=VALUE", value_parser = label)]
        labels: Vec<(String, String)>,
    },
    /// Remove backends that were added.
    #[command(after_long_help = REMOVE_HELP)]
    Remove(Named),
    /// Send backends no new requests; those under way go on.
    #[command(after_long_help = DRAIN_HELP)]
    Drain(Named),
    /// Send backends requests again.
    #[command(after_long_help = UP_HELP)]
    Up(Named),
    /// Take backends for out of order: they get no new requests either.
    #[command(after_long_help = DOWN_HELP)]
    Down(Named),
    /// Set the weight of a backend, whatever is configured; 0 drains it.
    #[command(after_long_help = WEIGHT_HELP)]
    SetWeight {
        /// The pool.
        pool: String,
        /// The backend's address.
        address: String,
        /// The weight, 0 to 65535, or `configured`.
        #[arg(value_name = "N", value_parser = weight)]
        weight: Weight,
    },
}

/// Backends of a pool.
#[derive(Debug, Clone, PartialEq, Eq, Args)]
pub struct Named {
    /// The pool.
    pub pool: String,
    /// Their addresses, as written or as resolved.
    #[arg(required = true, value_name = "ADDRESS")]
    pub addresses: Vec<String>,
}

/// A weight; `None` = as it is configured.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Weight(pub Option<u32>);

fn weight(written: &str) -> Result<Weight, String> {
    if written == "configured" {
        return Ok(Weight(None));
    }
    let number = written.parse::<u32>().ok().filter(|n| *n <= 65_535);
    let mistake = || format!("{written:?} is not a weight; write 0 to 65535, or configured");
    Ok(Weight(Some(number.ok_or_else(mistake)?)))
}

fn label(written: &str) -> Result<(String, String), String> {
    match written.split_once('=') {
        Some((name, value)) if !name.is_empty() => Ok((name.to_owned(), value.to_owned())),
        _ => Err(format!("{written:?} is not a label; write NAME=VALUE")),
    }
}

/// The help of `backends` itself.
pub(super) const BACKENDS_HELP: &str = "\
Examples:
  waypost backends
  waypost backends list web
  waypost backends add web 10.0.0.7:80 10.0.0.8:80 --weight 2
  waypost backends drain web 10.0.0.3:80
  waypost backends up web 10.0.0.3:80

A change returns when all workers follow it. What is said of a backend holds over reloads; without
`state-dir` it ends with the process, and an upgrade passes it on. A command that names several
backends changes all of them or none. docs/discovery.md has the rest.

Exit codes:
  0 done; 1 refused or unreachable, with the reason; 2 a mistake in the command line, or the
  token file can't be read.

Environment:
  WAYPOST_ADMIN_LISTEN is as --admin; WAYPOST_ADMIN_TOKEN is the admin token.";

const LIST_HELP: &str = "\
Examples:
  waypost backends list
  waypost backends list web
  waypost backends list web --json | jq '.endpoints[] | select(.state != \"healthy\")'";

const ADD_HELP: &str = "\
Examples:
  waypost backends add web 10.0.0.7:80
  waypost backends add web app7.internal:8000 --weight 2 --label zone=b";

const REMOVE_HELP: &str = "\
Examples:
  waypost backends remove web 10.0.0.7:80

Those of the configuration or of the pool's file are removed there.";

const DRAIN_HELP: &str = "\
Examples:
  waypost backends drain web 10.0.0.3:80";

const UP_HELP: &str = "\
Examples:
  waypost backends up web 10.0.0.3:80";

const DOWN_HELP: &str = "\
Examples:
  waypost backends down web 10.0.0.3:80";

const WEIGHT_HELP: &str = "\
Examples:
  waypost backends set-weight web 10.0.0.3:80 5
  waypost backends set-weight web 10.0.0.3:80 configured";

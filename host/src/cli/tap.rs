//! The arguments of `waypost tap`.

use clap::Args;

use super::Remote;

/// Flags of `tap`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Args)]
pub struct Tap {
    /// The proxy, and how it is reached.
    #[command(flatten)]
    pub remote: Remote,
    /// Only requests of routes whose names begin so, such as `www.example.com/api`.
    #[arg(long, value_name = "ROUTE")]
    pub route: Option<String>,
    /// Only requests that were answered so: `503`, or `5xx` for all from 500 to 599.
    #[arg(long, value_name = "STATUS")]
    pub status: Option<String>,
    /// Only requests of routes with this policy.
    #[arg(long, value_name = "NAME")]
    pub policy: Option<String>,
    /// Only requests that went to this pool.
    #[arg(long, value_name = "POOL")]
    pub pool: Option<String>,
    /// End after this many.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    pub limit: Option<u64>,
}

pub(super) const TAP_HELP: &str = "\
Examples:
  waypost tap
  waypost tap --route www.example.com --status 5xx
  waypost tap --policy spread --limit 10
  waypost tap --json | jq -c '[.status, .choices[0].chosen.backend, .microseconds]'

A worker samples at most 50 requests a second for each command that watches, of which there may be
8; a proxy without watchers samples none. What is lost because it is not read in time is said on
standard error. --json prints each request as one line. docs/tap.md explains what is shown.

Exit codes:
  0 interrupted, or --limit is reached; 1 refused, unreachable, or the proxy has ended it; 2 a
  mistake in the command line, or the token file can't be read.

Environment:
  WAYPOST_ADMIN_LISTEN is as --admin; WAYPOST_ADMIN_TOKEN is the admin token.";

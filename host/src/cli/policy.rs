//! The arguments of `waypost policy`: commands for a running proxy.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Subcommand, ValueEnum};

use super::offline::Offline;
use super::remote::{Reach, Remote};
#[cfg(feature = "authoring")]
use super::scaffold::Begin;

/// The longest `--promote-after`.
const LONGEST_TRIAL: Duration = Duration::from_secs(30 * 24 * 3600);

/// Flags of `policy`.
#[derive(Debug, Clone, PartialEq, Args)]
pub struct Policy {
    /// Print the result as JSON, for scripts.
    #[arg(long, global = true)]
    pub json: bool,
    /// The command.
    #[command(subcommand)]
    pub task: Task,
}

/// The commands of `policy`, by where they run.
#[derive(Debug, Clone, PartialEq, Subcommand)]
pub enum Task {
    /// In a running proxy.
    #[command(flatten)]
    Remote(Action),
    /// Here, without a proxy.
    #[command(flatten)]
    Offline(Offline),
    /// Here, to begin a policy.
    #[cfg(feature = "authoring")]
    #[command(flatten)]
    Begin(Begin),
}

/// Flags of `reload`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Args)]
pub struct Reload {
    /// The proxy, and how it is reached.
    #[command(flatten)]
    pub remote: Remote,
    /// Only say what would change: listeners, routes, pools, policies, settings.
    #[arg(long)]
    pub check: bool,
}

/// Flags of `upgrade`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Args)]
pub struct Upgrade {
    /// The proxy, and how it is reached.
    #[command(flatten)]
    pub remote: Remote,
    /// Start this file instead of the one that the proxy was started from. Needs an admin token.
    #[arg(long, value_name = "PATH")]
    pub binary: Option<PathBuf>,
}

/// The commands for a running proxy.
#[derive(Debug, Clone, PartialEq, Subcommand)]
pub enum Action {
    /// Show all policies, or one with its generations, history and trial.
    #[command(after_long_help = STATUS_HELP)]
    Status {
        /// The policy (default: all).
        name: Option<String>,
        /// The proxy, and how it is reached.
        #[command(flatten)]
        reach: Reach,
    },
    /// Deploy a component: for all requests, as a shadow, or as a canary.
    ///
    /// The proxy compiles, links and configures the component before anything changes; a refused
    /// component changes nothing. A canary that traps, misses deadlines, or fails more requests
    /// than the active generation is withdrawn automatically.
    #[command(after_long_help = DEPLOY_HELP)]
    Deploy(Deploy),
    /// Let the generation on trial decide all requests.
    #[command(after_long_help = PROMOTE_HELP)]
    Promote {
        /// The policy.
        name: String,
        /// The generation to promote; refused if another one is on trial.
        #[arg(long, value_name = "N")]
        generation: Option<u64>,
        /// The proxy, and how it is reached.
        #[command(flatten)]
        reach: Reach,
    },
    /// Withdraw the canary; without one, return to the previous generation.
    #[command(after_long_help = ROLLBACK_HELP)]
    Rollback {
        /// The policy.
        name: String,
        /// The generation to remove: the canary, else the active one; refused if it is another.
        #[arg(long, value_name = "N")]
        generation: Option<u64>,
        /// The proxy, and how it is reached.
        #[command(flatten)]
        reach: Reach,
    },
    /// End the shadow or the canary; the active generation stays.
    #[command(after_long_help = WITHDRAW_HELP)]
    Withdraw {
        /// The policy.
        name: String,
        /// The proxy, and how it is reached.
        #[command(flatten)]
        reach: Reach,
    },
    /// Set the share of requests that the generation on trial decides; a shadow becomes a canary.
    #[command(after_long_help = CANARY_HELP)]
    Canary {
        /// The policy.
        name: String,
        /// The share, 0.01 to 100.
        #[arg(long, value_name = "P", value_parser = parse_percent)]
        percent: f64,
        /// How requests are chosen (default: as before, else by client).
        #[arg(long, value_enum, value_name = "WHAT")]
        by: Option<By>,
        /// The proxy, and how it is reached.
        #[command(flatten)]
        reach: Reach,
    },
    /// Print a token for explaining requests, and how to use it.
    #[command(after_long_help = TOKEN_HELP)]
    Token {
        /// The proxy, and how it is reached.
        #[command(flatten)]
        reach: Reach,
    },
}

impl Action {
    /// The proxy, and how it is reached.
    pub fn reach(&self) -> &Reach {
        match self {
            Self::Deploy(Deploy { reach, .. })
            | Self::Status { reach, .. }
            | Self::Promote { reach, .. }
            | Self::Rollback { reach, .. }
            | Self::Withdraw { reach, .. }
            | Self::Canary { reach, .. }
            | Self::Token { reach } => reach,
        }
    }
}

/// Flags of `policy deploy`.
#[derive(Debug, Clone, PartialEq, Args)]
pub struct Deploy {
    /// The policy, as the configuration names it.
    pub name: String,
    /// The component, or `builtin:NAME`.
    pub file: PathBuf,
    /// Its role.
    #[arg(long, value_enum, value_name = "MODE", default_value_t = Mode::Active)]
    pub mode: Mode,
    /// The share of the requests, 0.01 to 100 (a shadow's default is 100).
    #[arg(long, value_name = "P", value_parser = parse_percent, required_if_eq("mode", "canary"))]
    pub percent: Option<f64>,
    /// How a canary's requests are chosen: by client, or sampled one by one (default: client).
    #[arg(long, value_enum, value_name = "WHAT")]
    pub by: Option<By>,
    /// Show the trial's progress until it is over (the default at a terminal).
    #[arg(long)]
    pub watch: bool,
    /// Return as soon as the trial runs.
    #[arg(long, conflicts_with = "watch")]
    pub no_watch: bool,
    /// Promote the canary after this time, such as 10m, if it has decided at least one request.
    #[arg(long, value_name = "DURATION", value_parser = parse_trial, conflicts_with = "no_watch")]
    pub promote_after: Option<Duration>,
    /// The proxy, and how it is reached.
    #[command(flatten)]
    pub reach: Reach,
}

/// The role of a deployed component.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Mode {
    /// Decides all requests.
    Active,
    /// Sees live traffic; its answers are compared and discarded.
    Shadow,
    /// Decides a share of the requests.
    Canary,
}

/// How a canary's requests are chosen.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum By {
    /// By the client's address: a client keeps its generation while the share grows.
    Client,
    /// Each request is sampled.
    Request,
}

impl Deploy {
    /// Why these flags can't be combined, as a sentence.
    pub fn slip(&self) -> Option<&'static str> {
        match self.mode {
            Mode::Active if self.percent.is_some() || self.by.is_some() => Some(
                "--percent and --by are for --mode shadow and --mode canary; an active policy \
                 decides all requests",
            ),
            Mode::Active if self.watch => Some("--watch is for --mode shadow and --mode canary"),
            Mode::Shadow if self.by.is_some() => {
                Some("--by is for --mode canary; a shadow sees sampled requests")
            }
            Mode::Active | Mode::Shadow if self.promote_after.is_some() => {
                Some("--promote-after is for --mode canary")
            }
            _ => None,
        }
    }
}

fn parse_percent(written: &str) -> Result<f64, String> {
    let number = written
        .trim()
        .trim_end_matches('%')
        .trim_end()
        .parse::<f64>()
        .ok();
    number
        .filter(|n| (0.01..=100.0).contains(n))
        .ok_or_else(|| format!("{written:?} is not a share of the requests; use 0.01 to 100"))
}

fn parse_trial(written: &str) -> Result<Duration, String> {
    let duration = crate::units::parse_duration(written).ok();
    duration
        .filter(|d| !d.is_zero() && *d <= LONGEST_TRIAL)
        .ok_or_else(|| {
            format!(
                "{written:?} is not a duration of a trial; use 30s, 10m or 2h, for example \
             (at most 30 days)"
            )
        })
}

/// The help of `policy` itself.
pub(super) const POLICY_HELP: &str = "\
Examples:
  waypost policy status
  waypost policy deploy mine mine.wasm --mode canary --percent 5
  waypost policy promote mine
  waypost policy status mine --admin http://proxy-1:9090 --token-file token
  waypost policy inspect mine.wasm
  waypost policy test mine.wasm scenarios.toml

Commands for a running proxy talk to its admin listener; the others need no proxy.

Exit codes:
  0 done; 1 refused, withdrawn, failed or unreachable, with the reason; 2 a mistake in the command
  line, or a file that can't be read.

Environment:
  WAYPOST_ADMIN_LISTEN is as --admin; WAYPOST_ADMIN_TOKEN is the admin token. There is no flag for
  the token itself, because a list of processes would show it.";

const STATUS_HELP: &str = "\
Examples:
  waypost policy status
  waypost policy status mine
  waypost policy status mine --json | jq .trial";

const DEPLOY_HELP: &str = "\
Examples:
  For all requests:
    waypost policy deploy mine mine.wasm

  As a shadow, to compare its decisions with the active generation's:
    waypost policy deploy mine mine.wasm --mode shadow

  One that is built in:
    waypost policy deploy mine builtin:least-loaded

  For 5 % of the clients, promoted after ten minutes; exits with 1 if it is withdrawn before:
    waypost policy deploy mine mine.wasm --mode canary --percent 5 --promote-after 10m

Ctrl-C stops watching, not the trial.";

const PROMOTE_HELP: &str = "\
Examples:
  waypost policy promote mine";

const ROLLBACK_HELP: &str = "\
Examples:
  waypost policy rollback mine

This is instant: the previous generation stays compiled.";

const WITHDRAW_HELP: &str = "\
Examples:
  waypost policy withdraw mine";

const CANARY_HELP: &str = "\
Examples:
  waypost policy canary mine --percent 25";

pub(super) const REOPEN_HELP: &str = "\
Examples:
  waypost reopen
  mv access.log access.log.1 && waypost reopen

Exits with 0 if both are open, with 1 if one can't be opened, which is said, or if the proxy can't
be asked, and with 2 if the token file can't be read.";

pub(super) const CONFIG_HELP: &str = "\
Examples:
  waypost config
  waypost config | jq .reload.digest

The answer is JSON, with and without --json. Exits with 0 if it was printed, else with 1, or with 2
if the token file can't be read.";

pub(super) const RELOAD_HELP: &str = "\
Examples:
  waypost reload --check
  waypost reload

Exits with 0 if the configuration runs now (with --check: if it could), else with 1. All may change
but `workers` and `state-dir`, which need a restart. What stayed the same keeps its connections,
its health, its instances and its counters; requests under way end as they began. While `waypost
upgrade` has another process started a reload waits; that process reads the file anew in any case.
docs/reload.md has the rest.";

pub(super) const UPGRADE_HELP: &str = "\
Examples:
  install waypost-new /usr/local/bin/waypost && waypost upgrade
  waypost upgrade --binary /opt/waypost-2/bin/waypost --token-file /etc/waypost/token

Exits with 0 if another process serves now, else with 1: then the old one goes on, and why is on
standard error. With --binary the file has to belong to root or to the user that the proxy runs as,
and nobody else may write to it or to a folder above it. docs/upgrade.md has the rest.";

const TOKEN_HELP: &str = "\
Examples:
  waypost policy token

The response to a request with the token shows which policies were called, in which generation,
what they answered, how long that took and which backends were tried.";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_and_times_are_read_and_mistakes_are_explained() {
        for (written, meant) in [("5", 5.0), ("5%", 5.0), ("0.01", 0.01), ("100", 100.0)] {
            assert_eq!(parse_percent(written), Ok(meant));
        }
        for mistake in ["0", "101", "nan", "five", "", "-1"] {
            assert!(parse_percent(mistake).is_err(), "{mistake}");
        }
        assert_eq!(parse_trial("1m 30s"), Ok(Duration::from_secs(90)));
        for mistake in ["0s", "10", "forever", "31days"] {
            assert!(parse_trial(mistake).is_err(), "{mistake}");
        }
    }
}

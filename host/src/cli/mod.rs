//! Cli: what was asked for on the command line?
//!
//! Commands and flags as plain values, and the sources of a configuration from flags and
//! environment. Called by `main` and `app`. Never does what a command says, never reads a file; the
//! environment only through what it is given.

#[cfg(feature = "demo")]
mod demo;
mod left_out;
mod offline;
mod policy;
mod replay;
#[cfg(feature = "authoring")]
mod scaffold;
#[cfg(test)]
mod tests;

use std::ffi::OsString;
use std::path::PathBuf;

use clap::error::ErrorKind;
use clap::{Args, CommandFactory, Parser, Subcommand};
use tracing_subscriber::EnvFilter;

use crate::config::{ConfigError, ConfigErrors, FileSource, Overrides, Place, Sources};

#[cfg(feature = "demo")]
pub use demo::{Demo, Origin};
#[cfg(feature = "authoring")]
pub use offline::Pack;
pub use offline::{Bench, Format, Inspect, Offline, Test};
pub use policy::{Action, Address, By, Deploy, Mode, Policy, Remote, Task};
pub use replay::{Diff, Playing, Rehearsed, Replay};
#[cfg(feature = "authoring")]
pub use scaffold::{Begin, Bindings, Lang, New};

/// What is logged if nobody says.
const DEFAULT_LOG: &str = "info";
/// The same for commands that need no proxy.
const OFFLINE_LOG: &str = "error";

#[cfg(feature = "demo")]
const AFTER_HELP: &str = "\
Start with `waypost demo`: three small web servers and the proxy in front of them.
`waypost help run` explains flags, environment variables and the configuration file.";
#[cfg(not(feature = "demo"))]
const AFTER_HELP: &str = "\
`waypost help run` explains flags, environment variables and the configuration file.";

/// A routing proxy whose decisions are made by sandboxed WebAssembly components.
///
/// Each request is shown to policies: components that pick the backend, edit header fields and
/// validate ranges. They are replaced while traffic flows, and nothing that they do can crash or
/// hang the proxy.
#[derive(Debug, Parser)]
#[command(
    name = "waypost",
    version,
    after_help = AFTER_HELP
)]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
    /// What goes to the log, such as `info` or `waypost=debug` (default: WAYPOST_LOG, else `info`).
    #[arg(long, global = true, value_name = "FILTER")]
    pub log: Option<String>,
}

/// The commands.
#[derive(Debug, Clone, PartialEq, Subcommand)]
pub enum Command {
    /// Run the proxy.
    ///
    /// Everything is optional; flags beat environment variables beat the file. SIGTERM, SIGINT and
    /// SIGQUIT stop the proxy once what is in flight is finished; a second SIGTERM or SIGINT stops
    /// it at once. SIGUSR1 opens the access log and the recording again.
    #[command(after_long_help = RUN_HELP)]
    Run(Settings),
    /// Validate a configuration and load every policy, without serving.
    ///
    /// Takes what `run` takes, reads the same environment variables, and tells everything that is
    /// wrong with key and line. Exits with 0 if the proxy would start with this, else with 1.
    #[command(after_long_help = CHECK_HELP)]
    Check(Settings),
    /// Run three small web servers and the proxy in front of them, on this machine only.
    ///
    /// Prints what to try with curl. Ctrl-C stops all of it.
    #[cfg(feature = "demo")]
    #[command(after_long_help = demo::DEMO_HELP)]
    Demo(Demo),
    /// Run a small web server to put behind a proxy.
    ///
    /// Serves pages, images, a large file and, with --dir, a folder with listing, metadata and
    /// ranges. Each answer names the server that gave it.
    #[cfg(feature = "demo")]
    #[command(after_long_help = demo::ORIGIN_HELP)]
    Origin(Origin),
    /// Inspect, test and measure policies; deploy, watch, promote and roll them back in a running
    /// proxy.
    ///
    /// What asks a proxy asks its admin listener. Nothing that is refused has changed anything.
    #[command(after_long_help = policy::POLICY_HELP)]
    Policy(Policy),
}

/// Flags of `run` and `check`, as written.
#[derive(Debug, Clone, Default, PartialEq, Eq, Args)]
pub struct Settings {
    /// The configuration file, TOML (also WAYPOST_CONFIG).
    #[arg(long, short, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Where clients connect; may be repeated (also WAYPOST_LISTEN; default 0.0.0.0:8080).
    #[arg(long, value_name = "ADDR")]
    pub listen: Vec<String>,
    /// Where statistics and policies are served, or `off` (also WAYPOST_ADMIN_LISTEN; default
    /// 127.0.0.1:9090).
    #[arg(long, value_name = "ADDR")]
    pub admin_listen: Option<String>,
    /// A host and its backends; may be repeated (also WAYPOST_HOSTS, where `;` separates hosts).
    #[arg(long = "host", value_name = "NAME=ADDR,ADDR")]
    pub hosts: Vec<String>,
    /// Data-plane threads (also WAYPOST_WORKERS; default: one for each core).
    #[arg(long, value_name = "N")]
    pub workers: Option<String>,
}

impl Settings {
    /// The sources of the configuration: these flags, the environment, and the file that either of
    /// them names. `environment` is [`std::env::var_os`] outside of tests.
    pub fn sources(
        self,
        environment: impl Fn(&str) -> Option<OsString>,
    ) -> Result<Sources, ConfigErrors> {
        let named = || {
            environment("WAYPOST_CONFIG")
                .filter(|path| !path.is_empty())
                .map(PathBuf::from)
        };
        Ok(Sources {
            file: self.config.or_else(named).map(FileSource::Path),
            environment: Overrides::from_environment(&environment)?,
            flags: Overrides {
                listen: self.listen,
                admin_listen: self.admin_listen,
                // A flag would show it to everyone who lists the processes.
                admin_token: None,
                workers: self.workers,
                hosts: self.hosts,
            },
        })
    }
}

impl Command {
    /// Whether it runs until a signal stops it.
    pub fn serves(&self) -> bool {
        match self {
            Self::Run(_) => true,
            #[cfg(feature = "demo")]
            Self::Demo(_) | Self::Origin(_) => true,
            Self::Check(_) | Self::Policy(_) => false,
        }
    }
}

impl Cli {
    /// Reads the process's arguments. What can't be read, and what asks for help, ends it.
    pub fn from_arguments() -> Self {
        Self::try_parse().unwrap_or_else(|error| left_out::explained(error).exit())
    }

    /// What is wrong with flags that are right by themselves.
    pub fn slip(&self) -> Option<clap::Error> {
        let Command::Policy(Policy {
            task: Task::Remote(Action::Deploy(deploy)),
            ..
        }) = &self.command
        else {
            return None;
        };
        let sentence = deploy.slip()?;
        let mut command = Self::command();
        // So that the usage that is shown is that of the command.
        command.build();
        let named = ["policy", "deploy"]
            .into_iter()
            .try_fold(&mut command, |c, name| c.find_subcommand_mut(name))?;
        Some(named.error(ErrorKind::ArgumentConflict, sentence))
    }

    /// What goes to the log: the flag, else `WAYPOST_LOG`, else `info`.
    pub fn log_filter(
        &self,
        environment: impl Fn(&str) -> Option<OsString>,
    ) -> Result<EnvFilter, ConfigErrors> {
        let set = environment("WAYPOST_LOG").filter(|filter| !filter.is_empty());
        // Without a proxy, what is asked for is on standard output, and only what is wrong is worth
        // a line beside it.
        let offline = matches!(
            &self.command,
            Command::Policy(Policy {
                task: Task::Offline(_),
                ..
            })
        );
        let default = if offline { OFFLINE_LOG } else { DEFAULT_LOG };
        let (text, place) = match (&self.log, set) {
            (Some(flag), _) => (flag.clone(), Place::Flag("--log")),
            (None, Some(set)) => (
                set.to_string_lossy().into_owned(),
                Place::Environment("WAYPOST_LOG"),
            ),
            (None, None) => (default.to_owned(), Place::Default("log")),
        };
        EnvFilter::builder().parse(&text).map_err(|error| {
            let message = format!(
                "{text:?} is not a log filter ({error}); write for example info or waypost=debug"
            );
            ConfigErrors::from(ConfigError { place, message })
        })
    }
}

const RUN_HELP: &str = "\
Examples:
  Two backends for one host, chosen at random, and one for all other hosts:
    waypost run --host 'www.example.com=10.0.0.1:80,10.0.0.2:80' --host '*=10.0.0.9:80'

  From a file, on another port:
    waypost run --config waypost.toml --listen 127.0.0.1:8000

  From the environment only:
    WAYPOST_HOSTS='www.example.com=app1:80,app2:80;*=app3:80' waypost run

Addresses:
  --listen takes IP:PORT, [IPV6]:PORT or localhost:PORT. A backend is a host name or an IP address, with or without a
  port (80). Every address that a host name resolves to is a backend. A host `*.example.com` is any host that ends
  so, `*` any other.

Environment:
  WAYPOST_CONFIG, WAYPOST_LISTEN, WAYPOST_ADMIN_LISTEN, WAYPOST_HOSTS, WAYPOST_WORKERS and WAYPOST_LOG as the flags;
  WAYPOST_ADMIN_TOKEN is the token that the admin listener wants. It must be set if that is not a loopback address.
  A host that is given by flag or environment replaces the same host of the file; the file's others stay.";

const CHECK_HELP: &str = "\
Examples:
  waypost check --config waypost.toml
  waypost check --host 'www.example.com=10.0.0.1:80'";

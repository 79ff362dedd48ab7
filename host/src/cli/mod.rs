//! Cli: what was asked for on the command line?
//!
//! Commands and flags as plain values, and the sources of a configuration from flags and
//! environment. Called by `main` and `app`. Never does what a command says, never reads a file; the
//! environment only through what it is given.

mod offline;
mod policy;
mod replay;
mod scaffold;

use std::ffi::OsString;
use std::net::SocketAddr;
use std::path::PathBuf;

use clap::error::ErrorKind;
use clap::{Args, CommandFactory, Parser, Subcommand};
use tracing_subscriber::EnvFilter;

use crate::config::{
    ConfigError, ConfigErrors, FileSource, Overrides, Place, Sources, parse_listen,
};

pub use offline::{Bench, Format, Inspect, Offline, Pack, Test};
pub use policy::{Action, Address, By, Deploy, Mode, Policy, Remote, Task};
pub use replay::{Diff, Playing, Rehearsed, Replay};
pub use scaffold::{Begin, Bindings, Lang, New};

/// What is logged if nobody says.
const DEFAULT_LOG: &str = "info";
/// The same for commands that need no proxy.
const OFFLINE_LOG: &str = "error";

/// A routing proxy whose decisions are made by sandboxed WebAssembly components.
///
/// Each request is shown to policies: components that pick the backend, edit header fields and
/// validate ranges. They are replaced while traffic flows, and nothing that they do can crash or
/// hang the proxy.
#[derive(Debug, Parser)]
#[command(
    name = "waypost",
    version,
    after_help = "\
Start with `waypost demo`: three small web servers and the proxy in front of them.
`waypost help run` explains flags, environment variables and the configuration file."
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
    #[command(after_long_help = DEMO_HELP)]
    Demo(Demo),
    /// Run a small web server to put behind a proxy.
    ///
    /// Serves pages, images, a large file and, with --dir, a folder with listing, metadata and
    /// ranges. Each answer names the server that gave it.
    #[command(after_long_help = ORIGIN_HELP)]
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

/// Flags of `demo`.
#[derive(Debug, Clone, PartialEq, Eq, Args)]
pub struct Demo {
    /// Where the proxy listens.
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:8080", value_parser = parse_listen)]
    pub listen: SocketAddr,
    /// Where statistics and policies are served.
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:9090", value_parser = parse_listen)]
    pub admin_listen: SocketAddr,
    /// How many web servers stand behind the proxy.
    #[arg(long, value_name = "N", default_value_t = 3, value_parser = clap::value_parser!(u16).range(1..=64))]
    pub origins: u16,
}

/// Flags of `origin`.
#[derive(Debug, Clone, PartialEq, Eq, Args)]
pub struct Origin {
    /// Where it listens.
    #[arg(long, value_name = "ADDR", value_parser = parse_listen)]
    pub listen: SocketAddr,
    /// A folder to serve as well.
    #[arg(long, value_name = "DIR")]
    pub dir: Option<PathBuf>,
    /// What it calls itself in its answers (default: its address).
    #[arg(long, value_name = "NAME")]
    pub name: Option<String>,
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

impl Cli {
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

const DEMO_HELP: &str = "\
Examples:
  waypost demo
  waypost demo --listen 127.0.0.1:8000 --admin-listen 127.0.0.1:9000 --origins 5

Then, from another terminal:
  curl http://127.0.0.1:8080/page_one
  curl http://127.0.0.1:9090/stats";

const ORIGIN_HELP: &str = "\
Examples:
  waypost origin --listen 127.0.0.1:8001
  waypost origin --listen 127.0.0.1:8002 --dir ./public --name second";

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Config;

    fn parse(args: &[&str]) -> Cli {
        Cli::try_parse_from(std::iter::once(&"waypost").chain(args)).unwrap()
    }

    fn settings(args: &[&str]) -> Settings {
        match parse(args).command {
            Command::Run(settings) | Command::Check(settings) => settings,
            other => panic!("{other:?}"),
        }
    }

    fn no_environment(_: &str) -> Option<OsString> {
        None
    }

    #[test]
    fn the_commands_are_well_formed() {
        Cli::command().debug_assert();
    }

    #[test]
    fn every_command_has_help_with_examples() {
        let mut path = Vec::new();
        let mut seen = 0;
        assert_help(&Cli::command(), &mut path, &mut seen);
        assert!(seen >= 12, "{seen}");
    }

    /// Of all commands below this one.
    fn assert_help(command: &clap::Command, path: &mut Vec<String>, seen: &mut usize) {
        for command in command.get_subcommands() {
            path.push(command.get_name().to_owned());
            let args = ["waypost"]
                .into_iter()
                .chain(path.iter().map(String::as_str))
                .chain(["--help"]);
            let help = Cli::try_parse_from(args).unwrap_err().to_string();
            assert!(
                help.contains("Examples:") && help.contains(&format!("waypost {}", path.join(" "))),
                "{help}"
            );
            *seen += 1;
            assert_help(command, path, seen);
            path.pop();
        }
    }

    #[test]
    fn flags_that_do_not_go_together_are_told() {
        for (flags, told) in [
            ("--percent 5", "--mode canary"),
            ("--by client", "--mode canary"),
            ("--watch", "--mode canary"),
            ("--promote-after 1m", "--mode canary"),
            ("--mode shadow --by request", "by lot"),
            ("--mode shadow --promote-after 1m", "--mode canary"),
        ] {
            let args = ["policy", "deploy", "mine", "mine.wasm"]
                .into_iter()
                .chain(flags.split(' '));
            let slip = parse(&args.collect::<Vec<_>>())
                .slip()
                .unwrap_or_else(|| panic!("{flags}"));
            assert!(slip.to_string().contains(told), "{flags}: {slip}");
            assert!(slip.to_string().contains("waypost policy deploy"), "{slip}");
            assert_eq!(slip.exit_code(), 2);
        }
        let good = "policy deploy mine mine.wasm --mode canary --percent 5 --by request --promote-after 1m --admin a:1";
        assert!(parse(&good.split(' ').collect::<Vec<_>>()).slip().is_none());
        for wrong in [
            "policy deploy mine mine.wasm --mode canary",
            "policy deploy mine mine.wasm --mode canary --percent 5 --watch --no-watch",
            "policy deploy mine mine.wasm --mode canary --percent 5 --promote-after 1m --no-watch",
            "policy deploy mine mine.wasm --mode canary --percent 500",
            "policy deploy mine",
            "policy canary mine",
            "policy promote",
            "policy",
            "policy status --token secret",
            "policy status --admin https://a",
        ] {
            assert!(
                Cli::try_parse_from(["waypost"].into_iter().chain(wrong.split(' '))).is_err(),
                "{wrong}"
            );
        }
    }

    #[test]
    fn demo_has_its_documented_defaults() {
        let expected = Demo {
            listen: "127.0.0.1:8080".parse().unwrap(),
            admin_listen: "127.0.0.1:9090".parse().unwrap(),
            origins: 3,
        };
        assert_eq!(parse(&["demo"]).command, Command::Demo(expected));
    }

    #[test]
    fn origin_needs_an_address_and_takes_a_folder() {
        let origin = parse(&["origin", "--listen", "localhost:8001", "--dir", "public"]).command;
        let expected = Origin {
            listen: "127.0.0.1:8001".parse().unwrap(),
            dir: Some(PathBuf::from("public")),
            name: None,
        };
        assert_eq!(origin, Command::Origin(expected));
        assert!(Cli::try_parse_from(["waypost", "origin"]).is_err());
        let error = Cli::try_parse_from(["waypost", "origin", "--listen", "8001"])
            .unwrap_err()
            .to_string();
        assert!(error.contains("127.0.0.1:8001"), "{error}");
    }

    #[test]
    fn flags_beat_environment_beats_defaults() {
        let environment = |name: &str| match name {
            "WAYPOST_LISTEN" => Some(OsString::from("127.0.0.1:1001")),
            "WAYPOST_WORKERS" => Some(OsString::from("3")),
            _ => None,
        };
        let args = [
            "run",
            "--listen",
            "127.0.0.1:2001",
            "--listen",
            "[::1]:2001",
            "--host",
            "a.example=10.0.0.1",
        ];
        let config = Config::load(settings(&args).sources(environment).unwrap()).unwrap();
        assert_eq!(
            config.listen,
            [
                "127.0.0.1:2001".parse().unwrap(),
                "[::1]:2001".parse().unwrap()
            ]
        );
        assert_eq!(config.workers, 3);
        assert_eq!(
            config.admin.unwrap().listen,
            "127.0.0.1:9090".parse().unwrap()
        );
        assert_eq!(config.pools[0].backends[0].address, "10.0.0.1:80");
    }

    #[test]
    fn the_file_of_the_flag_beats_that_of_the_environment() {
        let environment =
            |name: &str| (name == "WAYPOST_CONFIG").then(|| OsString::from("environment.toml"));
        let path = |args: &[&str]| match settings(args).sources(environment).unwrap().file {
            Some(FileSource::Path(path)) => path,
            _ => panic!("no path"),
        };
        assert_eq!(path(&["check"]), PathBuf::from("environment.toml"));
        assert_eq!(
            path(&["check", "--config", "flag.toml"]),
            PathBuf::from("flag.toml")
        );
        assert!(
            settings(&["check"])
                .sources(no_environment)
                .unwrap()
                .file
                .is_none()
        );
    }

    #[test]
    fn a_wrong_log_filter_names_where_it_was_set() {
        let wrong = |name: &str| (name == "WAYPOST_LOG").then(|| OsString::from("waypost=loud"));
        let error = parse(&["run"]).log_filter(wrong).unwrap_err().to_string();
        assert!(
            error.starts_with("environment variable WAYPOST_LOG: \"waypost=loud\""),
            "{error}"
        );
        let error = parse(&["run", "--log", "x=y=z"])
            .log_filter(wrong)
            .unwrap_err()
            .to_string();
        assert!(error.starts_with("option --log"), "{error}");
        assert_eq!(
            parse(&["--log", "debug", "run"])
                .log_filter(wrong)
                .unwrap()
                .to_string(),
            "debug"
        );
        assert_eq!(
            parse(&["run"])
                .log_filter(no_environment)
                .unwrap()
                .to_string(),
            "info"
        );
    }

    #[test]
    fn a_file_that_is_not_there_is_named() {
        let sources = settings(&["run", "--config", "no/such/waypost.toml"])
            .sources(no_environment)
            .unwrap();
        let error = Config::load(sources).unwrap_err().to_string();
        assert!(
            error.starts_with("no/such/waypost.toml: there is no such file"),
            "{error}"
        );
    }
}

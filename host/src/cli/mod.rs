//! Cli: what does the command line say?
//!
//! Commands and flags as plain values, and the sources of a configuration from flags and
//! environment. Called by `main` and `app`. This room runs no command, reads no file, and sees the
//! environment only through a closure.

mod backends;
#[cfg(feature = "demo")]
mod demo;
mod healthcheck;
mod left_out;
mod offline;
mod pages;
mod policy;
mod remote;
mod replay;
#[cfg(feature = "authoring")]
mod scaffold;
mod shared_flags;
mod tap;
#[cfg(test)]
mod tests;

use std::ffi::OsString;
use std::path::PathBuf;

use clap::error::ErrorKind;
use clap::{Args, CommandFactory, Parser, Subcommand, ValueEnum};
use tracing_subscriber::EnvFilter;

use crate::config::{ConfigError, ConfigErrors, FileSource, Overrides, Place, Sources};

pub use backends::{Backends, BackendsTask, Named, Weight};
#[cfg(feature = "demo")]
pub use demo::{Demo, Origin};
pub use healthcheck::Healthcheck;
#[cfg(feature = "authoring")]
pub use offline::Pack;
pub use offline::{Bench, Inspect, Offline, Test};
pub use pages::{Completions, Page, Pages, Shell, pages};
pub use policy::{Action, By, Deploy, Mode, Policy, Reload, Task, Upgrade};
pub use remote::{Reach, Remote};
pub use replay::{Diff, Playing, Rehearsed, Replay};
#[cfg(feature = "authoring")]
pub use scaffold::{Begin, Bindings, Lang, New};
pub use shared_flags::{Compiling, Format};
pub use tap::Tap;

/// Where `--tls-self-signed` listens.
const SELF_SIGNED: &str = "127.0.0.1:8443";
/// The default log filter.
const DEFAULT_LOG: &str = "info";
/// The same for commands that need no proxy.
const OFFLINE_LOG: &str = "error";
/// Libraries that log errors only, unless the filter names them.
const NOISY: [&str; 2] = ["h2", "hickory"];

#[cfg(feature = "demo")]
const AFTER_HELP: &str = "\
Start with `waypost demo`: three small web servers and the proxy in front of them.
`waypost help run` explains flags, environment variables and the configuration file.";
#[cfg(not(feature = "demo"))]
const AFTER_HELP: &str = "\
`waypost help run` explains flags, environment variables and the configuration file.";

/// A routing proxy whose decisions are made by sandboxed WebAssembly components.
///
/// Policies are components that see each request, pick its backend, edit header fields and validate
/// ranges. They can be replaced while traffic flows, and a faulty one can neither crash nor hang
/// the proxy.
#[derive(Debug, Parser)]
#[command(
    name = "waypost",
    version,
    after_help = AFTER_HELP
)]
pub struct Cli {
    /// The command.
    #[command(subcommand)]
    pub command: Command,
    /// The log filter, such as `info` or `waypost=debug` (default: WAYPOST_LOG, else `info`).
    #[arg(long, global = true, value_name = "FILTER")]
    pub log: Option<String>,
    /// How lines of the log are written (default: WAYPOST_LOG_FORMAT, else `text`).
    #[arg(long, global = true, value_enum, value_name = "FORMAT")]
    pub log_format: Option<Format>,
}

/// The commands.
#[derive(Debug, Clone, PartialEq, Subcommand)]
pub enum Command {
    /// Run the proxy.
    ///
    /// Everything is optional. Flags override environment variables, which override the file.
    /// SIGTERM, SIGINT and SIGQUIT drain the proxy and stop it; a second SIGTERM or SIGINT stops it
    /// immediately. SIGUSR1 reopens the access log and the recording. SIGHUP reloads the
    /// configuration, and so does a change of its file. SIGUSR2 lets a new process of the binary
    /// take over (`waypost upgrade`).
    #[command(after_long_help = RUN_HELP)]
    Run(Settings),
    /// Validate a configuration and load every policy, without serving.
    ///
    /// Accepts the flags of `run`, reads the same environment variables, and reports every mistake
    /// with its key and line.
    #[command(after_long_help = CHECK_HELP)]
    Check(Check),
    /// Run three small web servers and the proxy in front of them, on this machine only.
    ///
    /// Prints commands to try. Ctrl-C stops everything.
    #[cfg(feature = "demo")]
    #[command(after_long_help = demo::DEMO_HELP)]
    Demo(Demo),
    /// Run a small web server to put behind a proxy.
    ///
    /// Serves pages, images, a large file and, with --dir, a folder with listings, metadata and
    /// ranges. Each answer names its server.
    #[cfg(feature = "demo")]
    #[command(after_long_help = demo::ORIGIN_HELP)]
    Origin(Origin),
    /// Have a running proxy read its configuration again.
    ///
    /// The whole configuration is read, validated and made ready, and then published at once; or it
    /// is refused with every mistake, and nothing has changed. The proxy also does this when the
    /// file changes, and at SIGHUP.
    #[command(after_long_help = policy::RELOAD_HELP)]
    Reload(Reload),
    /// Replace the binary of a running proxy without losing a connection.
    ///
    /// The proxy starts its binary again, as it lies on the disk now, with the same arguments. The
    /// new process reads its configuration and loads its policies; once it is ready, it takes over
    /// all listening sockets, and the old one finishes what it has begun. If the new one refuses
    /// its configuration, fails or takes too long, the old one goes on. SIGUSR2 does the same.
    #[command(after_long_help = policy::UPGRADE_HELP)]
    Upgrade(Upgrade),
    /// Have a running proxy open its access log and its recording anew.
    ///
    /// For tools that move log files away, as SIGUSR1 is. Ends when they are open, or says which
    /// file can't be opened.
    #[command(after_long_help = policy::REOPEN_HELP)]
    Reopen(Remote),
    /// Print the configuration of a running proxy as JSON, with the digest of its file.
    ///
    /// Secrets are left out.
    #[command(after_long_help = policy::CONFIG_HELP)]
    Config(Remote),
    /// Show the backends of a running proxy, add some, drain them, and set their weights.
    ///
    /// Changes hold beside the configuration. A refused command changes nothing.
    #[command(after_long_help = backends::BACKENDS_HELP)]
    Backends(Backends),
    /// Watch sampled requests of a running proxy: where they went, and why.
    ///
    /// For each: what its policies decided and how long that took, which backends there were and
    /// what was known of them, what chose, and the attempts.
    #[command(after_long_help = tap::TAP_HELP)]
    Tap(Tap),
    /// Inspect, test and measure policies; deploy, watch, promote and roll them back in a running
    /// proxy.
    ///
    /// Commands for a running proxy talk to its admin listener. A refused command changes nothing.
    #[command(after_long_help = policy::POLICY_HELP)]
    Policy(Policy),
    /// Ask a running proxy whether it is ready.
    ///
    /// For `HEALTHCHECK` of an image and for probes that run a command.
    #[command(after_long_help = healthcheck::HEALTHCHECK_HELP)]
    Healthcheck(Healthcheck),
    /// Print the script by which a shell completes this command's arguments.
    #[command(after_long_help = pages::COMPLETIONS_HELP)]
    Completions(Completions),
    /// Print the manual page of a command, or write those of all commands into a folder.
    #[command(after_long_help = pages::MAN_HELP)]
    Man(Pages),
}

/// `check`, as written.
#[derive(Debug, Clone, PartialEq, Eq, Args)]
pub struct Check {
    /// What a start would be given.
    #[command(flatten)]
    pub settings: Settings,
    /// Look up no names of backends, for a machine that does not know them.
    #[arg(long, conflicts_with = "strict")]
    pub offline: bool,
    /// Print what was found as JSON, for scripts and editors.
    #[arg(long)]
    pub json: bool,
}

/// Flags of `run` and `check`, as written.
#[derive(Debug, Clone, Default, PartialEq, Eq, Args)]
pub struct Settings {
    /// The configuration file, TOML (also WAYPOST_CONFIG).
    #[arg(long, short, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// An address where clients connect; repeatable (also WAYPOST_LISTEN; default 0.0.0.0:8080).
    #[arg(long, value_name = "ADDR")]
    pub listen: Vec<String>,
    /// Serve HTTPS too, with a certificate for localhost that is made in memory (default address
    /// 127.0.0.1:8443).
    #[arg(
        long,
        value_name = "ADDR",
        num_args = 0..=1,
        require_equals = true,
        default_missing_value = SELF_SIGNED
    )]
    pub tls_self_signed: Option<String>,
    /// The address of the admin listener, or `off` (also WAYPOST_ADMIN_LISTEN; default
    /// 127.0.0.1:9090).
    #[arg(long, value_name = "ADDR")]
    pub admin_listen: Option<String>,
    /// A host and its backends; repeatable (also WAYPOST_HOSTS, where `;` separates hosts).
    #[arg(long = "host", value_name = "NAME=ADDR,ADDR")]
    pub hosts: Vec<String>,
    /// Data-plane threads (also WAYPOST_WORKERS; default: one per core).
    #[arg(long, value_name = "N")]
    pub workers: Option<String>,
    /// Refuse to start, or to reload, if a backend's name can't be resolved. `check` always does.
    #[arg(long)]
    pub strict: bool,
}

impl Settings {
    /// The sources of the configuration: these flags, the environment, and the file that one of
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
                tls_self_signed: self.tls_self_signed,
                admin_listen: self.admin_listen,
                // A list of processes would show a flag.
                admin_token: None,
                workers: self.workers,
                hosts: self.hosts,
            },
            strict: self.strict,
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
            Self::Check(_)
            | Self::Policy(_)
            | Self::Reload(_)
            | Self::Upgrade(_)
            | Self::Reopen(_)
            | Self::Config(_)
            | Self::Backends(_)
            | Self::Tap(_)
            | Self::Healthcheck(_)
            | Self::Completions(_)
            | Self::Man(_) => false,
        }
    }
}

impl Cli {
    /// Reads the process's arguments. What can't be read, and what asks for help, ends it.
    pub fn from_arguments() -> Self {
        Self::try_parse().unwrap_or_else(|error| left_out::explained(error, Self::command).exit())
    }

    /// The error of flags that are valid alone but can't be combined.
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
        // So that the usage line is the command's own.
        command.build();
        let named = ["policy", "deploy"]
            .into_iter()
            .try_fold(&mut command, |c, name| c.find_subcommand_mut(name))?;
        Some(named.error(ErrorKind::ArgumentConflict, sentence))
    }

    /// How lines of the log are written: the flag, else `WAYPOST_LOG_FORMAT`, else as text.
    pub fn form_of_log(
        &self,
        environment: impl Fn(&str) -> Option<OsString>,
    ) -> Result<Format, ConfigErrors> {
        const VARIABLE: &str = "WAYPOST_LOG_FORMAT";
        let set = environment(VARIABLE).filter(|form| !form.is_empty());
        match (self.log_format, set) {
            (Some(flag), _) => Ok(flag),
            (None, None) => Ok(Format::Text),
            (None, Some(set)) => Format::from_str(&set.to_string_lossy(), true).map_err(|_| {
                let message = format!("{:?} is not known; use text or json", set.display());
                let place = Place::Environment(VARIABLE);
                ConfigErrors::from(ConfigError { place, message })
            }),
        }
    }

    /// The log filter: the flag, else `WAYPOST_LOG`, else `info`.
    pub fn log_filter(
        &self,
        environment: impl Fn(&str) -> Option<OsString>,
    ) -> Result<EnvFilter, ConfigErrors> {
        let set = environment("WAYPOST_LOG").filter(|filter| !filter.is_empty());
        // Commands without a proxy print their result on standard output; only errors are worth a
        // log line.
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
        // Their warnings are about single frames and datagrams: any client, and any sender of
        // forged DNS answers, may cause them without end. A target is the beginning of a path.
        let mut quiet = text.clone();
        for library in NOISY.into_iter().filter(|name| !text.contains(name)) {
            quiet += &format!(",{library}=error");
        }
        EnvFilter::builder().parse(&quiet).map_err(|error| {
            let message = format!(
                "{text:?} is not a log filter ({error}); use info or waypost=debug, for example"
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

  With HTTPS on 127.0.0.1:8443 (curl -k https://127.0.0.1:8443/):
    waypost run --host '*=10.0.0.1:80' --tls-self-signed

Addresses:
  --listen takes IP:PORT, [IPV6]:PORT or localhost:PORT. A backend is a host name or an IP address,
  with or without a port (default 80). Every address of a host name is a separate backend. The
  host `*.example.com` matches all its subdomains, `*` every other host. Listeners with TLS, on Unix
  sockets, or behind a load balancer that sends the PROXY protocol are `[[listeners]]` of the file,
  all of which --listen replaces.

Environment:
  WAYPOST_CONFIG, WAYPOST_LISTEN, WAYPOST_ADMIN_LISTEN, WAYPOST_HOSTS, WAYPOST_WORKERS, WAYPOST_LOG
  and WAYPOST_LOG_FORMAT are as the flags. WAYPOST_ADMIN_TOKEN is the admin token, which is required
  unless the admin listener has a loopback address. A host of a flag or of the environment replaces
  the same host of the file; the file's other hosts stay.";

const CHECK_HELP: &str = "\
Examples:
  waypost check --config waypost.toml
  waypost check --host 'www.example.com=10.0.0.1:80'
  waypost check --offline --json --config waypost.toml

`--json` prints an object with ok, errors and warnings (message and, of what stands in the file,
file, line, column, key), routes, pools and policies. `--offline` looks up no names of backends.

Exit codes:
  0 the proxy would start; 1 it would not, or not serve all routes; 2 a mistake in the command line,
  or the configuration file can't be read.";
